//! The gateway of the demo, on a thread of its own: the one place where the demo touches the assembled product.

use std::{net::SocketAddr, path::Path, thread};

use anyhow::{Context, anyhow};
use jiff::Timestamp;

use crate::{
    app::{self, App},
    config,
    evidence::read::{Evidence, ReadError},
    report::{self, render},
    shutdown::Shutdown,
    telemetry::log::{self, Sink},
};

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
        let app = App::build(config, app::Source::File(rules.to_owned()))?.with_log(log.control());
        let addresses = app.addresses();
        let site = addresses.listen.first().copied().context("the gateway listens nowhere")?;
        let admin = addresses.admin.context("the gateway has no admin listener")?;
        let shutdown = Shutdown::default();
        let run = {
            let shutdown = shutdown.clone();
            move || app.run(shutdown)
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

/// What the parallel run has proved so far, as text.
pub(crate) fn report(rules: &Path) -> anyhow::Result<String> {
    let config = config::load(rules)?;
    let now = Timestamp::now();
    let evidence = match Evidence::open(&config.start.data, now) {
        Ok(evidence) => Some(evidence),
        Err(ReadError::Missing(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let report = report::build(evidence.as_ref(), config.routes.routes().iter().zip(&config.plans), now)?;
    Ok(render::text(&report, render::Detail::Full))
}
