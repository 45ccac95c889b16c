//! The generator of a process that is there for a moment: of a janitor's visit, or of a function.

use std::{
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::{runtime::Handle, time};

use super::{Outcome, courier::ToUpstreams};
use crate::{
    compute::Compute,
    config::Config,
    forwarding::Surroundings,
    generator::{Chores, Generator, Metrics},
    shutdown::Shutdown,
    tell::{self, Teller},
};

/// Opens it in `data`. Whoever is to be told of generations is told while somebody settles. Nobody asks it for metrics.
pub(crate) async fn open(config: &Config, data: &Path, life: &Shutdown) -> anyhow::Result<Generator> {
    let metrics = Metrics::register(&mut Registry::default());
    let opening = Generator::open(
        config.generator.clone(),
        data,
        life.clone(),
        metrics,
        Compute::default(),
        SystemTime::now,
    );
    let generator = opening.await.context("cannot open the generator")?;
    // Where nobody is told, nobody looks for what is to be told.
    if !config.generator.notify.is_empty() {
        let told = tell::Metrics::default();
        let teller = Teller::new(config.hooks.clone(), Handle::current(), life.clone(), told)
            .context("cannot tell anybody")?;
        let courier = ToUpstreams::of_config(config, &Surroundings::current(life.clone()));
        generator.tell_when_settling(Arc::new(courier), teller);
    }
    Ok(generator)
}

/// A janitor's whole visit. A signal ends it as it ends a gateway: what has begun has `drain` to be finished.
pub(crate) async fn janitor(config: Config) -> anyhow::Result<Outcome> {
    let (life, drain) = (Shutdown::default(), config.gateway.drain);
    life.obey_signals(&Handle::current());
    let lives = life.clone();
    let visit = life.spawn(async move {
        let generator = open(&config, &config.start.data, &lives).await?;
        // It ends by itself once a lease is over, and what it has begun by then has had its place and its images.
        let settings = generator.settings();
        let stay = settings.lease.saturating_add(settings.deadline).saturating_mul(2);
        generator.keep_house_once(Chores::Everything, time::Instant::now() + stay).await;
        anyhow::Ok(())
    });
    tokio::select! {
        visited = visit => visited.context("the visit ended in a panic")??,
        () = life.draining() => {}
    }
    life.begin();
    let began = Instant::now();
    let outcome = if life.drained(drain).await { Outcome::Drained } else { Outcome::Cut };
    Ok(outcome.told(began))
}
