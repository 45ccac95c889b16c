//! The demonstration: a sample monolith, the gateway in front of it, and traffic, while one route walks all the way.

pub mod monolith;
pub mod provider;
mod server;
mod admin;
mod gateway;
mod rules;
mod summary;
mod traffic;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use self::{
    admin::Admin, gateway::Gateway, monolith::Monolith, rules::Rules, summary::Summary, traffic::Crowd,
};
use crate::{
    report::{Report, render},
    routing::Mode,
    shutdown::Shutdown,
};

pub use self::summary::Ink;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Threads of the monolith and its visitors together; the gateway has its own.
const THREADS: usize = 2;
/// How long the monolith's connections may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests in all.
    pub requests: usize,
    /// What to do after them.
    pub afterwards: Afterwards,
    /// Whether the output may be coloured.
    pub ink: Ink,
}

/// What to do when the route has walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Stay up until SIGINT or SIGTERM.
    Stay,
    /// End.
    Exit,
}

/// How the demonstration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every answer was as it should be.
    Clean,
    /// This many were not.
    Failures(usize),
    /// Somebody ended it before the route had walked.
    Interrupted,
}

/// Shows everything; the story goes to `out`.
pub fn run(options: Options, out: &mut impl Write) -> anyhow::Result<Ending> {
    let runtime = runtime()?;
    let shutdown = Shutdown::default();
    // Nobody but the guest may run out of credits, however long the demo.
    let settings = monolith::Settings { credits: options.requests as u64, ..monolith::Settings::default() };
    let monolith = runtime.block_on(open(LOOPBACK, settings, &shutdown))?;
    let mut rules = Rules::write(monolith.address())?;
    let gateway = Gateway::start(&rules.file())?;
    let shown = runtime.block_on(async {
        tokio::select! {
            // The signal that both wait for at the end is the invited one, and no interruption.
            biased;
            shown = show(options, &monolith, &mut rules, &gateway, out) => shown,
            interrupted = interrupted() => interrupted.map(|()| Ending::Interrupted),
        }
    });
    let stopped = gateway.stop();
    shutdown.begin();
    runtime.block_on(shutdown.drained(DRAIN));
    let ending = shown?;
    stopped?;
    Ok(ending)
}

/// Serves nothing but the sample monolith, until SIGINT or SIGTERM.
pub fn run_monolith(listen: SocketAddr, out: &mut impl Write) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let shutdown = Shutdown::default();
    let notify_secret = std::env::var("FIGUEIRA_NOTIFY_SECRET").ok();
    let settings =
        monolith::Settings { seed: rand::random(), notify_secret, ..monolith::Settings::default() };
    runtime.block_on(async {
        let monolith = open(listen, settings, &shutdown).await?;
        writeln!(out, "The sample monolith is at http://{}/ (Ctrl-C ends).", monolith.address())?;
        out.flush()?;
        interrupted().await?;
        shutdown.begin();
        shutdown.drained(DRAIN).await;
        Ok(())
    })
}

/// Serves nothing but the stand-in for the provider's API, until SIGINT or SIGTERM.
pub fn run_provider(
    listen: SocketAddr,
    settings: provider::Settings,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let shutdown = Shutdown::default();
    runtime.block_on(async {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let provider = provider::Provider::open(listener, settings, &shutdown)?;
        writeln!(out, "The stand-in for the provider is at http://{}/v1 (Ctrl-C ends).", provider.address())?;
        out.flush()?;
        interrupted().await?;
        shutdown.begin();
        shutdown.drained(DRAIN).await;
        Ok(())
    })
}

/// Walks the route, tells what happened, and stays or ends.
async fn show(
    options: Options,
    monolith: &Monolith,
    rules: &mut Rules,
    gateway: &Gateway,
    out: &mut impl Write,
) -> anyhow::Result<Ending> {
    let ink = options.ink;
    writeln!(out, "{}", ink.strong("figueira demo"))?;
    writeln!(out, "  monolith  http://{}/   a small image shop, slow and old", monolith.address())?;
    writeln!(out, "  gateway   http://{}/   in front of it", gateway.site())?;
    writeln!(out, "  admin     http://{}/\n", gateway.admin())?;
    out.flush()?;

    let (summary, report) = walk(options.requests, monolith, rules, gateway).await?;
    let mut table = String::new();
    summary.write(&mut table, ink)?;
    writeln!(out, "{table}")?;
    writeln!(out, "{}", ink.strong("What the parallel run found"))?;
    write!(out, "{}", render::text(&report, render::Detail::Full))?;

    let ending = match summary.failures() {
        0 => Ending::Clean,
        failures => Ending::Failures(failures),
    };
    if options.afterwards == Afterwards::Stay {
        invite(gateway, rules, ink, out)?;
        interrupted().await?;
    }
    Ok(ending)
}

/// Sends the traffic, and edits `routes.toml` between the legs. The report knows of every pair.
async fn walk(
    requests: usize,
    monolith: &Monolith,
    rules: &mut Rules,
    gateway: &Gateway,
) -> anyhow::Result<(Summary, Report)> {
    let plan = traffic::plan::lay_out(requests);
    let progress = ProgressBar::new(requests as u64).with_style(
        ProgressStyle::with_template("  {msg:<9} {bar:44.green/dim} {pos:>4}/{len} requests  {elapsed}")
            .context("the progress bar's template")?,
    );
    let admin = Admin::new(gateway.admin())?;
    let mut crowd = Crowd::gather(&plan, &format!("http://{}", gateway.site()), progress.clone())?;
    let mut summary = Summary::default();
    let mut in_force = Mode::Monolith;
    for leg in plan.legs {
        let mode = leg.mode;
        progress.set_message(mode.as_str());
        let switch = async {
            if mode != in_force {
                let generation = admin.generation().await?;
                rules.set_mode(mode)?;
                admin.later_than(generation).await?;
            }
            Ok(())
        };
        summary.add(mode, crowd.walk(leg, switch).await?);
        in_force = mode;
    }
    progress.set_message("report");
    let report = gateway::report(&rules.file(), summary.comparisons_due()).await?;
    summary.reconcile_comparisons(gateway::recorded(&report));
    progress.finish_and_clear();
    let counts = monolith.counts();
    summary.reconcile_monolith(counts.of(monolith::counts::Kind::Order), counts.breakdowns());
    Ok((summary, report))
}

fn invite(gateway: &Gateway, rules: &Rules, ink: Ink, out: &mut impl Write) -> io::Result<()> {
    let show = |path: &Path| path.display().to_string();
    writeln!(out, "\n{}", ink.strong("Now you"))?;
    for (what, place) in [
        ("the shop", format!("http://{}/", gateway.site())),
        ("the operator's page", format!("http://{}/", gateway.admin())),
        ("the rules, to edit", show(&rules.file())),
        ("all that is kept", show(&rules.folder().join("figueira-data"))),
    ] {
        writeln!(out, "  {what:<20} {}", ink.strong(&place))?;
    }
    writeln!(out, "  {}", ink.faint("Ctrl-C ends, and removes the folder."))?;
    out.flush()
}

async fn open(
    listen: SocketAddr,
    settings: monolith::Settings,
    shutdown: &Shutdown,
) -> anyhow::Result<Monolith> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    Monolith::open(listener, settings, shutdown).await.context("the sample monolith does not start")
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("demo")
        .enable_all()
        .build()
}

/// Resolves at SIGINT or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}
