//! Asks the gateway's admin listener which rules are in force.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use reqwest::Client;

/// How often to ask, and for how long.
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// The gauge that counts the rules taken up.
const GENERATION: &str = "figueira_config_generation";

/// The admin listener.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    client: Client,
    metrics: String,
}

impl Admin {
    /// The one at `address`.
    pub(crate) fn new(address: SocketAddr) -> reqwest::Result<Self> {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { client, metrics: format!("http://{address}/metrics") })
    }

    /// The generation of the rules in force.
    pub(crate) async fn generation(&self) -> anyhow::Result<u64> {
        let response = self.client.get(&self.metrics).send().await?.error_for_status()?;
        let metrics = response.text().await?;
        gauge(&metrics, GENERATION).with_context(|| format!("{} shows no {GENERATION}", self.metrics))
    }

    /// Waits until rules later than `generation` are in force.
    pub(crate) async fn later_than(&self, generation: u64) -> anyhow::Result<()> {
        let asking = async {
            let mut pace = tokio::time::interval(PACE);
            loop {
                pace.tick().await;
                if self.generation().await? > generation {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(asked) => asked,
            Err(_) => bail!("the gateway did not take up the edited rules within {PATIENCE:?}"),
        }
    }
}

/// The value of a metric without labels, in Prometheus' text format.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_found_among_others() {
        let metrics = "# TYPE figueira_config_generation gauge\nfigueira_config_generation_at 7\n\
            figueira_config_generation 3\n# EOF\n";
        assert_eq!(gauge(metrics, GENERATION), Some(3));
        assert_eq!(gauge("# EOF\n", GENERATION), None);
    }
}
