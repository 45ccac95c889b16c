//! The generator of a process that is there for a moment: of a janitor's visit, or of a function.

use std::{path::Path, sync::Arc, time::SystemTime};

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::courier::ToUpstreams;
use crate::{
    compute::Compute,
    config::Config,
    forwarding::Surroundings,
    generator::{Generator, Metrics},
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
