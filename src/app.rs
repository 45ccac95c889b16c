//! The composition root: a [`Config`] becomes an [`App`] with its sockets bound, and an `App` runs until it is told to
//! drain.

mod applied;
mod arms;
mod assembly;
mod brakes;
mod budgets;
pub(crate) mod courier;
mod evidence;
mod exports;
mod fleet;
mod guard;
mod in_force;
mod inheritance;
mod limits;
mod manager;
mod news;
mod operator;
mod planes;
mod renewal;
pub mod replay;
mod running;
mod sockets;
mod sources;
mod succession;
mod tls;
mod verdicts;
pub(crate) mod visiting;
mod workers;

use std::{
    collections::HashMap,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, Semaphore};

use crate::{
    admin::{self, Admin, Exposed, Readiness},
    audit,
    brake::{Lever, Watch},
    config::Config,
    evidence::{Ledger, fleet::Fleet},
    forwarding::{self, resolver},
    gateway::{Gateway, counters::Scrape, upstreams},
    generator::{self, Generator},
    listener::Opening,
    parallel_run::{self, ParallelRun, Surroundings},
    private,
    reload::{self, Reload},
    reserve,
    shutdown::Shutdown,
    telemetry::{log::Control, metrics::Metrics},
    tell::{self, Teller},
};
use applied::Applied;
use assembly::Assembly;
use courier::ToUpstreams;
use evidence::Opened;
use in_force::InForce;
use inheritance::Predecessor;
use news::follow;
use operator::Operator;
use planes::Planes;
use running::Running;
use sockets::Sockets;
use sources::{planned, sources};
use succession::Succession;
use verdicts::{Glance, Verdicts};
use workers::Workers;

pub use inheritance::Inheritance;
pub use sockets::Addresses;

/// Where the rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file, watched from now on.
    File(PathBuf),
    /// The same, broken as it stands: what it said when it was last good serves.
    LastGood {
        /// The file.
        path: PathBuf,
        /// Why it cannot be used.
        rejected: Arc<str>,
    },
    /// The command line: they stay as they are.
    CommandLine,
}

impl Source {
    /// The file, and why it cannot be used as it stands.
    fn file(self) -> Option<(PathBuf, Option<Arc<str>>)> {
        match self {
            Self::File(path) => Some((path, None)),
            Self::LastGood { path, rejected } => Some((path, Some(rejected))),
            Self::CommandLine => None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that had begun was finished.
    Drained,
    /// The drain's deadline cut something off.
    Cut,
}

impl Outcome {
    /// Says so in the log, and how long the drain took that `began` then.
    fn told(self, began: Instant) -> Self {
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(duration_ms, outcome = ?self, "drained");
        self
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Drained => Self::SUCCESS,
            Outcome::Cut => Self::FAILURE,
        }
    }
}

/// Why it does not start without them: nobody could tell what a person or the guard had held back.
const BRAKES: &str = "cannot open the brakes; to start with none, move brake.sqlite out of the data folder";

/// The whole gateway, ready to run.
pub struct App {
    config: Arc<Config>,
    source: Source,
    log: Option<Control>,
    sockets: Sockets,
    predecessor: Option<Predecessor>,
    secure: Option<tls::Secure>,
    planes: Planes,
    in_force: Arc<InForce>,
    brakes: Watch,
    lever: Lever,
    ledger: Arc<Ledger>,
    fleet: Option<Fleet>,
    metrics: Metrics,
}

impl App {
    /// Opens everything and binds every socket that was not inherited; no request is accepted yet.
    pub fn build(config: Config, source: Source, inheritance: Inheritance) -> anyhow::Result<Self> {
        let Inheritance { site, admin, predecessor } = inheritance;
        let start = &config.start;
        if let Some(address) = start.admin {
            Exposed::check(address, start.admin_token.as_ref())?;
        }
        let data = &start.data;
        private::folders(data).with_context(|| {
            format!("cannot create the data folder {} ([gateway] data names another)", data.display())
        })?;
        if reserve::give_up_if_full(data) {
            tracing::error!(path = %data.display(), "the disk of the data folder is full: this start takes what was kept in reserve");
        }
        let planes = Planes::start()?;
        let Planes { work, beside, compute, crews, life } = &planes;
        let mut metrics = Metrics::new(SystemTime::now());

        let generator_metrics = generator::Metrics::register(metrics.registry());
        let opening = Generator::open(
            config.generator.clone(),
            data,
            life.clone(),
            generator_metrics,
            compute.clone(),
            SystemTime::now,
        );
        let generator = work.block_on(opening).context("cannot open the generator")?;
        generator.keep_promises();
        let Opened { fleet, ledger, may_pass } = evidence::open(&config, work);
        let ledger = Arc::new(ledger);
        let around = Surroundings {
            plane: beside.handle().clone(),
            crews: crews.clone(),
            compute: compute.clone(),
            lifetime: life.clone(),
            archive: ledger.clone(),
            metrics: parallel_run::Metrics::register(metrics.registry()),
            clock: Timestamp::now,
            gateway: format!("{:08x}", rand::random::<u32>()).into(),
        };
        let parallel_run = ParallelRun::new(config.parallel_run.clone(), around);
        let around = forwarding::Surroundings {
            plane: work.handle().clone(),
            lifetime: life.clone(),
            resolver: Arc::new(resolver::System),
            pace: resolver::Pace::default(),
            seed: rand::random,
        };
        let assembly = Assembly { generator, parallel_run, workers: start.workers, around };
        let lever = Lever::open(&config.brakes(), work.handle(), Timestamp::now).context(BRAKES)?;
        let brakes = Watch::new(lever.store().clone(), Timestamp::now()).context(BRAKES)?;
        // As much as there is room for.
        reserve::keep(data).ok();

        let secure = tls::open(start, &mut metrics)?;
        let sockets = Sockets::open(start, site, admin)?;
        limits::raise(config.gateway.limits.connections);
        let config = Arc::new(config);
        let in_force = Arc::new(InForce::new(assembly, config.clone(), brakes.brakes().clone()));
        if may_pass {
            let _entered = work.enter();
            life.spawn(evidence::open_later(ledger.clone(), in_force.clone(), life.clone()));
        }
        metrics.registry().register_collector(Box::new(upstreams::Scrape::new(in_force.rules().clone())));
        let log = None;
        Ok(Self {
            config,
            source,
            log,
            sockets,
            predecessor,
            secure,
            planes,
            in_force,
            brakes,
            lever,
            ledger,
            fleet,
            metrics,
        })
    }

    /// Lets a reload change the log.
    #[must_use]
    pub fn with_log(self, log: Control) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Where it listens; a port 0 of the configuration is a real one here.
    pub fn addresses(&self) -> &Addresses {
        &self.sockets.addresses
    }

    /// Drains at the first SIGTERM or SIGINT; starts a successor at SIGUSR2; reads its file again at SIGHUP, where it has
    /// one.
    pub fn obey_signals(&self, shutdown: &Shutdown) {
        shutdown.obey_signals(self.planes.work.handle());
        self.planes.work.spawn(async {
            if let Err(error) = renewal::on_signal().await {
                tracing::error!(%error, "SIGUSR2 cannot be heard");
            }
        });
        if matches!(self.source, Source::CommandLine) {
            self.planes.work.spawn(async {
                if let Err(error) = manager::decline_hangups().await {
                    tracing::error!(%error, "SIGHUP cannot be heard");
                }
            });
        }
    }

    /// Runs both planes until `shutdown` has begun and everything has drained, or the deadline has come.
    pub fn run(self, shutdown: &Shutdown) -> anyhow::Result<Outcome> {
        let Self {
            config,
            source,
            log,
            sockets: Sockets { addresses, site, admin, heritage },
            predecessor,
            secure,
            planes,
            in_force,
            brakes,
            lever,
            ledger,
            fleet,
            mut metrics,
        } = self;
        let Planes { work, life, .. } = &planes;
        let readiness = Readiness::new(shutdown.clone()).with_evidence(ledger.good().clone());
        let readiness = Arc::new(readiness);
        readiness.brakes_are(brakes.standing().as_str());
        let rules = in_force.rules().clone();
        let gateway = Arc::new(Gateway::new(rules.clone(), site.len()));
        metrics.registry().register_collector(Box::new(Scrape::new(&gateway)));
        if let Some(log) = &log {
            metrics.registry().register_collector(Box::new(log.clone()));
        }
        let reload_metrics = reload::Metrics::register(metrics.registry());
        let room = Arc::new(Semaphore::new(config.gateway.limits.connections));

        let told = tell::Metrics::register(metrics.registry());
        let teller = Teller::new(config.hooks.clone(), work.handle().clone(), life.clone(), told)
            .context("cannot tell anybody")?;
        let courier = ToUpstreams::of_rules(rules.clone(), config.start.workers);
        rules.load().generator.tell_by(Arc::new(courier), teller.clone());
        reload_metrics.in_force(1);
        // Before anybody hears that the file was refused.
        readiness.rules_in_force(1);
        let mut owner = None;
        if let Some((path, rejected)) = source.file() {
            let (reload, handle) = Reload::new(path, config.clone(), rejected, reload_metrics);
            owner = Some(handle.clone());
            let _entered = work.enter();
            handle.on_hangup(life, |handle| async move { manager::reread(&handle).await })?;
            life.spawn(follow(handle.clone(), readiness.clone(), teller.clone(), life.clone()));
            let applied = Applied {
                log,
                teller: teller.clone(),
                evidence: ledger.clone(),
                room: room.clone(),
                life: life.clone(),
                in_force: in_force.clone(),
            };
            let apply = move |generation, config| applied.apply(generation, config);
            life.spawn(reload.run(apply, life.clone()));
        }
        let (pulled, glance) = (Arc::new(Notify::new()), Arc::new(Glance::new(HashMap::new())));
        let verdicts = Verdicts {
            in_force: in_force.clone(),
            data: config.start.data.clone(),
            lever: lever.clone(),
            pulled: pulled.clone(),
            teller,
            glance: glance.clone(),
        };
        let exports = exports::start(work, life, &in_force, &ledger, metrics.registry());
        let fleet = fleet.map(|fleet| fleet::start(fleet, work, life, metrics.registry()));
        work.block_on(async { hold_back(verdicts, brakes, &readiness, metrics.registry(), life) });

        let tls = secure.map(|secure| {
            let _entered = work.enter();
            secure.follow(&readiness, life)
        });
        let opening = Opening { proxy_protocol: config.start.proxy_protocol, tls };
        let data_plane = Shutdown::default();
        let workers = Workers::start(&gateway, &planes.crews.forwarding, site, &opening, &room, &data_plane)?;
        readiness.listening();
        let desk = life.child();
        if let (Some(listener), Some(address)) = (admin, addresses.admin) {
            let sources = sources(&in_force, glance, gateway.clone());
            let audit = audit::Log::in_folder(&config.start.data);
            let reports = admin::Reports::new(config.start.data.clone(), planned(&in_force), Timestamp::now);
            let operator = Operator { rules: rules.clone(), in_force, lever, audit, pulled, file: owner };
            let admin = Admin::new(address, config.start.admin_token.as_ref(), readiness, metrics, sources)?
                .operated_by(Arc::new(operator))
                .reporting(Arc::new(reports));
            let _entered = work.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            life.spawn(admin::serve(listener, Arc::new(admin), desk.clone()));
        }
        let succession = work.block_on(async {
            life.spawn(manager::watch(workers.pulses(), life.clone()));
            Succession::open(&config.start, heritage)
        });
        addresses.tell(workers.len());
        running::begun(predecessor);
        let running = Running { planes, data_plane, desk, workers, ledger, exports, fleet, rules };
        Ok(running.until_its_end(succession, shutdown))
    }
}

/// Follows the brakes, those who pull them by themselves, the guard and the verdict, and what the budgets have left.
fn hold_back(
    verdicts: Verdicts,
    brakes: Watch,
    readiness: &Arc<Readiness>,
    registry: &mut Registry,
    life: &Shutdown,
) {
    let Verdicts { in_force, lever, pulled, teller, .. } = &verdicts;
    let (in_force, teller, metrics) = (in_force.clone(), teller.clone(), brakes::Metrics::register(registry));
    life.spawn(guard::watch(in_force.rules().clone(), lever.clone(), pulled.clone(), life.clone()));
    life.spawn(budgets::follow(in_force.clone(), teller.clone(), life.clone()));
    let concerned = brakes::Concerned { in_force, metrics, readiness: readiness.clone(), teller };
    life.spawn(brakes::follow(brakes, concerned, pulled.clone(), life.clone()));
    life.spawn(verdicts.follow(life.clone()));
}
