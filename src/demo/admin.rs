//! Asks the gateway's admin listener which rules are in force.

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
        let client = Client::builder().no_proxy().tls_certs_only([]).timeout(RELOAD).build()?;
        Ok(Self { client, metrics: format!("http://{address}/metrics") })
    }

    /// The generation of the rules in force.
    pub(crate) async fn generation(&self) -> anyhow::Result<u64> {
        let response = self.client.get(&self.metrics).send().await?.error_for_status()?;
        let metrics = response.text().await?;
        value(&metrics, GENERATION).with_context(|| format!("{} shows no {GENERATION}", self.metrics))
    }

    /// Waits until rules later than `generation` are in force.
    pub(crate) async fn later_than(&self, generation: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + RELOAD;
        let mut pace = tokio::time::interval(PACE);
        while self.generation().await? <= generation {
            ensure!(
                Instant::now() < deadline,
                "the gateway did not take up the edited rules within {RELOAD:?}"
            );
            pace.tick().await;
        }
        Ok(())
    }
}

/// The value of a gauge without labels, in Prometheus' text format; `None` where it is not there.
fn value(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_among_others() {
        let metrics = "# TYPE figueira_config_generation gauge\nfigueira_config_generation_at 7\n\
            figueira_config_generation 3\n# EOF\n";
        assert_eq!(value(metrics, GENERATION), Some(3));
        assert_eq!(value("# EOF\n", GENERATION), None);
    }
}
