//! The registry of everything that is counted, and how it is read.
//!
//! Cold figures are ordinary `prometheus-client` families. Hot ones are relaxed counters that belong to one worker; a
//! [`Collector`](prometheus_client::collector::Collector) sums them when somebody scrapes, with [`counter`], [`gauge`]
//! and [`Totals`](super::histogram::Totals).

mod process;

use std::{fmt, time::SystemTime};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use process::Process;

/// The format of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that this process counts.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// A registry with what is known of any process; `started` is when this one did.
    pub fn new(started: SystemTime) -> Self {
        let mut registry = Registry::default();
        registry.register(
            "figueira_build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(Process::new(started)));
        Self(registry)
    }

    /// Where each module registers its own.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.0
    }

    /// All values now, as OpenMetrics text. Fails only where a collector does.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8 * 1024);
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Writes one counter that is kept elsewhere; `_total` is appended to its name.
pub fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// The same with labels: one value for each set of them.
pub fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Writes a gauge with labels: one value for each set of them.
pub fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Writes one gauge that is kept elsewhere; `unit` is appended to its name.
pub fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::collector::Collector;

    use super::*;
    use crate::telemetry::histogram::{Histogram, Totals};

    #[derive(Debug)]
    struct Workers(Vec<Arc<Histogram>>);

    impl Collector for Workers {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let totals: Totals = self.0.iter().map(AsRef::as_ref).collect();
            let arms = [([("arm", "control")], totals.count()), ([("arm", "candidate")], 0)];
            counters(&mut encoder, "figueira_requests", "Requests", arms)?;
            let kind = MetricType::Histogram;
            totals.encode(encoder.encode_descriptor(
                "figueira_request",
                "Time",
                Some(&Unit::Seconds),
                kind,
            )?)
        }
    }

    #[test]
    fn a_scrape_sums_the_workers_and_describes_the_process() {
        let workers = vec![Arc::new(Histogram::default()), Arc::new(Histogram::default())];
        let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
        metrics.registry().register_collector(Box::new(Workers(workers.clone())));
        for worker in &workers {
            worker.observe(std::time::Duration::from_millis(2));
        }
        let text = metrics.encode().unwrap();
        for line in [
            "figueira_build_info{version=\"0.1.0\"} 1",
            "figueira_requests_total{arm=\"control\"} 2",
            "figueira_requests_total{arm=\"candidate\"} 0",
            "figueira_request_seconds_bucket{le=\"0.0025\"} 2",
            "figueira_request_seconds_bucket{le=\"+Inf\"} 2",
            "figueira_request_seconds_sum 0.004",
            "process_start_time_seconds 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));

        assert!(text.contains("\nprocess_resident_memory_bytes ") && text.contains("\nprocess_open_fds "));
    }
}
