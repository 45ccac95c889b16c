//! Asks the gateway's admin listener which rules are in force, and how many pairs have left a record.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::Client;

/// How often to ask.
const PACE: Duration = Duration::from_millis(20);
/// For how long edited rules may not be in force.
const RELOAD: Duration = Duration::from_secs(10);
/// For how long candidates may still be at work when the last user has been answered.
const SETTLING: Duration = Duration::from_secs(60);

/// The gauge that counts the rules taken up.
const GENERATION: &str = "figueira_config_generation";
/// The counters of the parallel run's records.
const COMPARISONS: &str = "figueira_comparisons_total";

/// The admin listener.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    client: Client,
    metrics: String,
}

impl Admin {
    /// The one at `address`.
    pub(crate) fn new(address: SocketAddr) -> reqwest::Result<Self> {
        let client = Client::builder().no_proxy().timeout(RELOAD).build()?;
        Ok(Self { client, metrics: format!("http://{address}/metrics") })
    }

    /// The generation of the rules in force.
    pub(crate) async fn generation(&self) -> anyhow::Result<u64> {
        self.read(GENERATION).await?.with_context(|| format!("{} shows no {GENERATION}", self.metrics))
    }

    /// Waits until rules later than `generation` are in force.
    pub(crate) async fn later_than(&self, generation: u64) -> anyhow::Result<()> {
        let taken_up = self.wait_for(GENERATION, generation + 1, RELOAD).await?;
        ensure!(taken_up > generation, "the gateway did not take up the edited rules within {RELOAD:?}");
        Ok(())
    }

    /// Waits until `due` pairs have left a record, in vain at most for a while; returns how many have.
    pub(crate) async fn comparisons(&self, due: u64) -> anyhow::Result<u64> {
        self.wait_for(COMPARISONS, due, SETTLING).await
    }

    /// The metric's value when it has reached `least`, or at the end of our `patience`.
    async fn wait_for(&self, metric: &str, least: u64, patience: Duration) -> anyhow::Result<u64> {
        let deadline = Instant::now() + patience;
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let value = self.read(metric).await?.unwrap_or(0);
            if value >= least || Instant::now() >= deadline {
                return Ok(value);
            }
        }
    }

    async fn read(&self, metric: &str) -> anyhow::Result<Option<u64>> {
        let response = self.client.get(&self.metrics).send().await?.error_for_status()?;
        Ok(total(&response.text().await?, metric))
    }
}

/// The sum of a metric over all its labels, in Prometheus' text format; `None` where it is not there.
fn total(metrics: &str, name: &str) -> Option<u64> {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{'])))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
        .reduce(|sum: u64, value: u64| sum.saturating_add(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_among_others_and_summed() {
        let metrics = "# TYPE figueira_config_generation gauge\nfigueira_config_generation_at 7\n\
            figueira_config_generation 3\n\
            figueira_comparisons_total{route=\"a b\",class=\"match\"} 20\n\
            figueira_comparisons_total{route=\"a b\",class=\"expected\"} 2\n# EOF\n";
        assert_eq!(total(metrics, GENERATION), Some(3));
        assert_eq!(total(metrics, COMPARISONS), Some(22));
        assert_eq!(total("# EOF\n", GENERATION), None);
    }
}
