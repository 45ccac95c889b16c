//! The gateway of the demo, on a thread of its own: the one place where the demo touches the assembled product.

use std::{
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use jiff::Timestamp;

use crate::{
    app::{self, App},
    config,
    evidence::Evidence,
    report::{self, Report},
    shutdown::Shutdown,
    telemetry::log::{self, Sink},
};

/// How often to look whether the evidence is whole.
const PACE: Duration = Duration::from_millis(100);
/// For how long candidates may still be at work when the last user has been answered.
const SETTLING: Duration = Duration::from_mins(1);

/// A gateway that is running.
#[derive(Debug)]
pub(crate) struct Gateway {
    site: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    thread: thread::JoinHandle<anyhow::Result<app::Outcome>>,
    /// Its last lines are written when this goes.
    _log: log::Guard,
}

impl Gateway {
    /// Starts one by the rules in `rules`.
    pub(crate) fn start(rules: &Path) -> anyhow::Result<Self> {
        let config = config::load(rules)?;
        let log = log::init(&config.log, Sink::Stderr)?;
        let app = App::build(config, app::Source::File(rules.to_owned()), app::Inheritance::default())?
            .with_log(log.control());
        let addresses = app.addresses();
        let site = addresses.listen.first().copied().context("the gateway listens nowhere")?;
        let admin = addresses.admin.context("the gateway has no admin listener")?;
        let shutdown = Shutdown::default();
        let run = {
            let shutdown = shutdown.clone();
            move || app.run(&shutdown)
        };
        let thread = thread::Builder::new().name("demo-gateway".to_owned()).spawn(run)?;
        Ok(Self { site, admin, shutdown, thread, _log: log })
    }

    /// Where the shop is reached through it.
    pub(crate) fn site(&self) -> SocketAddr {
        self.site
    }

    /// Its admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Lets it drain and waits for its end.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.shutdown.begin();
        self.thread.join().map_err(|_| anyhow!("the gateway panicked"))??;
        Ok(())
    }
}

/// What the parallel run has proved when `due` sampled requests stand in the evidence, or at the end of our patience.
pub(crate) async fn report(rules: &Path, due: u64) -> anyhow::Result<Report> {
    let config = config::load(rules)?;
    let deadline = Instant::now() + SETTLING;
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        let now = Timestamp::now();
        let evidence = Evidence::open(&config.start.data, now)?;
        let routes = config.routes.routes().iter().zip(&config.plans);
        let report = report::build(Some(&evidence), routes, now)?;
        if recorded(&report) >= due || Instant::now() >= deadline {
            return Ok(report);
        }
    }
}

/// Sampled requests that a report knows of; one whose candidate is still at work is none yet.
pub(crate) fn recorded(report: &Report) -> u64 {
    report.routes.iter().map(|route| route.counts.sampled).sum()
}
