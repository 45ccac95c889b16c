//! The demo's traffic: a few visitors of the shop, each making its own requests one after another.

pub(crate) mod plan;
pub(crate) mod tally;
pub(crate) mod visitor;

use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use self::{
    plan::{Leg, Plan, Visit},
    tally::{Due, Tally},
    visitor::Visitor,
};
use super::monolith::shop::GUEST;

/// Visitors who keep coming while the switch is thrown, and how long each waits between two requests.
const BRIDGE_VISITORS: usize = 3;
const BRIDGE_PACE: Duration = Duration::from_millis(60);

/// All visitors.
#[derive(Debug)]
pub(crate) struct Crowd {
    visitors: Vec<Visitor>,
    progress: ProgressBar,
}

impl Crowd {
    /// Those whom `plan` needs, on their way to `site`.
    pub(crate) fn gather(plan: &Plan, site: &str, progress: ProgressBar) -> reqwest::Result<Self> {
        let names = (1..=plan.visitors).map(|number| format!("visitor-{number}"));
        let visitors = names
            .chain(plan.guest.map(|_| GUEST.to_owned()))
            .map(|name| Visitor::new(name, site))
            .collect::<reqwest::Result<_>>()?;
        Ok(Self { visitors, progress })
    }

    /// Goes through one leg of the walk. While `switch` puts its mode in force, a few requests flow.
    pub(crate) async fn walk(
        &mut self,
        leg: Leg,
        switch: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let mut shares = vec![Vec::new(); BRIDGE_VISITORS.min(self.visitors.len())];
        let hands = shares.len();
        for (at, visit) in leg.bridge.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(at % hands) {
                share.push(visit);
            }
        }
        let (bridged, switched) = tokio::join!(self.make(shares, Due::Any, BRIDGE_PACE, &mut tally), switch);
        bridged?;
        switched?;
        self.make(leg.rounds, Due::of(leg.mode), Duration::ZERO, &mut tally).await?;
        Ok(tally)
    }

    /// Every visitor makes its own visits, all visitors at once.
    async fn make(
        &mut self,
        rounds: Vec<Vec<Visit>>,
        due: Due,
        rest: Duration,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let busy = rounds.len().min(self.visitors.len());
        let mut errands = JoinSet::new();
        for (place, (mut visitor, visits)) in self.visitors.drain(..busy).zip(rounds).enumerate() {
            let progress = self.progress.clone();
            errands.spawn(async move {
                let mut results = Vec::with_capacity(visits.len());
                for visit in visits {
                    let result = visitor.make(&visit).await;
                    results.push((visit, result));
                    progress.inc(1);
                    tokio::time::sleep(rest).await;
                }
                (place, visitor, results)
            });
        }
        let mut back = Vec::with_capacity(busy);
        while let Some(errand) = errands.join_next().await {
            let (place, visitor, results) = errand.context("a visitor was lost")?;
            for (visit, result) in results {
                tally.enter(visitor.name(), &visit, due, result);
            }
            back.push((place, visitor));
        }
        back.sort_unstable_by_key(|(place, _)| *place);
        self.visitors.splice(0..0, back.into_iter().map(|(_, visitor)| visitor));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        demo::monolith::{Monolith, Settings, counts::Kind},
        routing::Mode,
        shutdown::Shutdown,
    };

    /// Walks the plan of `requests` against a monolith with nothing in front, in the mode of the first leg.
    async fn walked(requests: usize, settings: Settings) -> (Monolith, Vec<Tally>) {
        let shutdown = Shutdown::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings { slowest_at_best: Duration::ZERO, slower_by: Duration::ZERO, ..settings };
        let monolith = Monolith::open(listener, settings, &shutdown).await.unwrap();
        let plan = plan::lay_out(requests);
        let site = format!("http://{}", monolith.address());
        let mut crowd = Crowd::gather(&plan, &site, ProgressBar::hidden()).unwrap();
        let mut tallies = Vec::new();
        for leg in plan.legs {
            let leg = Leg { mode: Mode::Monolith, ..leg };
            tallies.push(crowd.walk(leg, ready(Ok(()))).await.unwrap());
        }
        (monolith, tallies)
    }

    #[tokio::test]
    async fn the_whole_plan_holds_against_the_monolith_alone() {
        let (monolith, tallies) = walked(80, Settings { breakdown_every: 5, ..Settings::default() }).await;
        let failures: Vec<_> = tallies.iter().flat_map(|tally| &tally.failures).collect();
        assert!(failures.is_empty(), "{failures:#?}");
        let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
        assert_eq!(sum(|tally| tally.requests), 80);
        assert_eq!(monolith.counts().all(), 80);
        assert_eq!(sum(|tally| tally.orders_at_monolith) as u64, monolith.counts().of(Kind::Order));
        assert_eq!(sum(|tally| tally.breakdowns) as u64, monolith.counts().breakdowns());
        assert!(monolith.counts().breakdowns() >= 2);
        assert_eq!(sum(|tally| tally.by_generator), 0);
    }

    #[tokio::test]
    async fn a_wrong_answer_is_a_failure() {
        let (_monolith, tallies) = walked(8, Settings { credits: 0, ..Settings::default() }).await;
        let failures: Vec<_> = tallies.iter().flat_map(|tally| &tally.failures).collect();
        assert!(!failures.is_empty());
        assert!(failures.iter().all(|failure| failure.contains("402")), "{failures:#?}");
    }

    #[tokio::test]
    async fn a_site_that_is_down_fails_every_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let plan = plan::lay_out(4);
        let mut crowd = Crowd::gather(&plan, &site, ProgressBar::hidden()).unwrap();
        let mut failures = 0;
        for leg in plan.legs {
            failures += crowd.walk(leg, ready(Ok(()))).await.unwrap().failures.len();
        }
        assert_eq!(failures, 4);
    }
}
