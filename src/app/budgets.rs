//! Follows what the budgets of the day have left, and tells people when one is nearly, and when it is used up.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{in_force::InForce, news};
use crate::{shutdown::Shutdown, tell::Teller};

/// Between two looks; where the catalog is a table, each is a request.
const LOOK: Duration = Duration::from_secs(10);
/// From here on a budget is nearly used up.
const NEARLY: f64 = 0.8;

/// How much of a budget of the day is gone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Used {
    /// Whose: a route's shadow, or else the generator.
    pub(super) route: Option<Arc<str>>,
    pub(super) spent_usd: f64,
    pub(super) limit_usd: f64,
    /// Something was not done because it would have cost more than was left.
    pub(super) is_used_up: bool,
}

/// What people are told of a budget, once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Nearly,
    UsedUp,
}

impl Used {
    /// The share of it that is gone.
    pub(super) fn share(&self) -> f64 {
        if self.limit_usd > 0.0 { self.spent_usd / self.limit_usd } else { 1.0 }
    }

    fn level(&self) -> Option<Level> {
        if self.is_used_up { Some(Level::UsedUp) } else { (self.share() >= NEARLY).then_some(Level::Nearly) }
    }
}

/// What was said today.
#[derive(Debug, Default)]
struct Said {
    day: Date,
    levels: HashMap<Option<Arc<str>>, Level>,
}

impl Said {
    /// What is new of `used` on `day`.
    fn news(&mut self, used: &Used, day: Date) -> Option<Level> {
        if self.day != day {
            *self = Self { day, levels: HashMap::new() };
        }
        let level = used.level()?;
        if self.levels.get(&used.route).is_some_and(|said| *said >= level) {
            return None;
        }
        self.levels.insert(used.route.clone(), level);
        Some(level)
    }
}

/// Follows them until `shutdown`.
pub(super) async fn follow(in_force: Arc<InForce>, teller: Teller, shutdown: Shutdown) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Said::default();
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
        }
        let now = Timestamp::now();
        let day = TimeZone::UTC.to_datetime(now).date();
        for used in all(&in_force).await {
            let Some(level) = said.news(&used, day) else { continue };
            let Used { route, spent_usd, limit_usd, .. } = &used;
            let route = route.as_deref();
            match level {
                Level::Nearly => {
                    tracing::warn!(route, spent_usd, limit_usd, "a budget of today is nearly used up");
                }
                Level::UsedUp => {
                    tracing::error!(route, spent_usd, limit_usd, "a budget of today is used up");
                }
            }
            teller.tell(&news::of_budget(&used, level, now));
        }
    }
}

async fn all(in_force: &InForce) -> Vec<Used> {
    let parallel_run = in_force.parallel_run().clone();
    // Nobody but a panic keeps it from ending.
    let shadows = spawn_blocking(move || parallel_run.spent_today()).await.unwrap_or_default();
    let shadows = shadows.into_iter().map(|spent| Used {
        route: Some(spent.route),
        spent_usd: spent.spent_usd,
        limit_usd: spent.limit_usd,
        is_used_up: spent.is_used_up,
    });
    let mut used: Vec<Used> = shadows.collect();
    let generator = in_force.rules().load().generator.clone();
    match generator.spent_today().await {
        Ok(Some(spent)) => used.push(Used {
            route: None,
            spent_usd: spent.spent.as_dollars(),
            limit_usd: spent.limit.as_dollars(),
            is_used_up: spent.is_used_up,
        }),
        Ok(None) => {}
        Err(error) => tracing::debug!(error, "the catalog cannot be asked what today has cost"),
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_budget_is_told_of_twice_a_day_at_most() {
        let mut said = Said::default();
        let (today, tomorrow) = (Date::constant(2026, 11, 28), Date::constant(2026, 11, 29));
        let used = |route: Option<&str>, spent_usd, is_used_up| Used {
            route: route.map(Into::into),
            spent_usd,
            limit_usd: 1.0,
            is_used_up,
        };
        assert_eq!(said.news(&used(None, 0.79, false), today), None);
        assert_eq!(said.news(&used(None, 0.8, false), today), Some(Level::Nearly));
        assert_eq!(said.news(&used(None, 0.9, false), today), None);
        assert_eq!(said.news(&used(Some("images"), 0.9, false), today), Some(Level::Nearly));
        assert_eq!(said.news(&used(None, 0.98, true), today), Some(Level::UsedUp));
        assert_eq!(
            said.news(&used(None, 0.9, false), today),
            None,
            "one job has cost less than was reserved"
        );
        assert_eq!(said.news(&used(None, 0.1, false), tomorrow), None);
        assert_eq!(said.news(&used(None, 0.98, true), tomorrow), Some(Level::UsedUp));
        let nothing = Used { limit_usd: 0.0, ..used(None, 0.0, false) };
        assert!((nothing.share() - 1.0).abs() < f64::EPSILON);
    }
}
