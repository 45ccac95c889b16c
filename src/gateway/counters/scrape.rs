//! The counters of all workers and routes, as a scrape reads them.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Unit,
};

use super::{Answerer, CLASSES, Counters, FailureKind, PROTOCOLS, of};
use crate::{
    gateway::{Gateway, Rules},
    routing::{Arm, Live},
    telemetry::{histogram::Totals, metrics},
};

/// Sums the counters of all workers and routes at a scrape.
#[derive(Debug)]
pub struct Scrape {
    workers: Vec<Arc<Counters>>,
    rules: Arc<Live<Rules>>,
}

impl Scrape {
    /// Of `gateway`.
    pub fn new(gateway: &Gateway) -> Self {
        Self { workers: gateway.counters.clone(), rules: gateway.rules.clone() }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sum =
            |value: &dyn Fn(&Counters) -> u64| self.workers.iter().map(|worker| value(worker)).sum::<u64>();
        let requests = Answerer::ALL.into_iter().flat_map(|answerer| {
            let sum = &sum;
            CLASSES.into_iter().enumerate().map(move |(at, class)| {
                let count = sum(&|worker| worker.requests.get(answerer as usize).map_or(0, |by| of(by, at)));
                ([("answered_by", answerer.name()), ("class", class)], count)
            })
        });
        metrics::counters(&mut encoder, "figueira_requests", "Requests, by who answered", requests)?;
        let failures = FailureKind::ALL.into_iter().map(|kind| {
            let count =
                sum(&|worker| worker.failures.get(kind as usize).map_or(0, |counter| counter.load(Relaxed)));
            ([("kind", kind.name())], count)
        });
        metrics::counters(
            &mut encoder,
            "figueira_failures",
            "Requests that the gateway answered for an arm",
            failures,
        )?;
        let protocols = PROTOCOLS.into_iter().enumerate().map(|(at, protocol)| {
            let count = sum(&|worker| worker.protocols.get(at).map_or(0, |counter| counter.load(Relaxed)));
            ([("protocol", protocol)], count)
        });
        let help = "Requests, by the protocol that they came by";
        metrics::counters(&mut encoder, "figueira_protocol_requests", help, protocols)?;
        metrics::counter(
            &mut encoder,
            "figueira_accept_failures",
            "Times that no connection could be accepted",
            sum(&|worker| worker.accept_failures.load(Relaxed)),
        )?;
        let totals: Totals = self.workers.iter().map(|worker| &worker.duration).collect();
        totals.encode(encoder.encode_descriptor(
            "figueira_request_duration",
            "From the head's arrival to the answer's last byte",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?)?;
        let rules = self.rules.load();
        let routes = || rules.table.routes().iter().zip(&rules.arms);
        let by_route = routes().flat_map(|(route, arms)| {
            [(Arm::Control, "control"), (Arm::Candidate, "candidate")].into_iter().flat_map(
                move |(arm, name)| {
                    CLASSES.into_iter().enumerate().map(move |(at, class)| {
                        let labels = [
                            ("route", route.name.to_string()),
                            ("arm", name.to_owned()),
                            ("class", class.to_owned()),
                        ];
                        (labels, of(arms.counters.of_arm(arm), at))
                    })
                },
            )
        });
        metrics::counters(&mut encoder, "figueira_route_requests", "Requests of a route, by arm", by_route)?;
        let fallbacks = routes().map(|(route, arms)| {
            ([("route", route.name.to_string())], arms.counters.fallbacks.load(Relaxed))
        });
        metrics::counters(
            &mut encoder,
            "figueira_route_fallbacks",
            "Requests left to the control",
            fallbacks,
        )?;
        let subjectless = routes().map(|(route, arms)| {
            ([("route", route.name.to_string())], arms.counters.requests_without_subject())
        });
        let help = "Requests of a canary that belonged to nobody, answered by the control";
        metrics::counters(&mut encoder, "figueira_route_subjectless", help, subjectless)
    }
}
