//! What a route may still spend: calls of this minute, US dollars of this day.
//!
//! The price is reserved before a call and settled after it. A call whose end nobody hears of has cost what was
//! reserved. Days and minutes are UTC.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::{comparison::Skip, settings::Plan};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// One route's, across reloads.
#[derive(Debug)]
pub(crate) struct Purse(Mutex<Spent>);

#[derive(Debug)]
struct Spent {
    day: i64,
    dollars: f64,
    /// What of them previews have cost, as far as it was heard.
    previewed: f64,
    minute: i64,
    calls: u32,
    /// The budget as it was at the last call that had a price.
    limit: Option<f64>,
    /// Whether a call of the day was not made for it.
    is_used_up: bool,
}

/// What the candidates of a route have cost today, of what they may.
#[derive(Clone, Debug, PartialEq)]
pub struct SpentToday {
    /// The route.
    pub route: Arc<str>,
    /// In US dollars.
    pub spent_usd: f64,
    /// In US dollars.
    pub limit_usd: f64,
    /// Whether a call was not made because it would have cost more than was left.
    pub is_used_up: bool,
}

impl Spent {
    /// Begins the day of `now`, where it is another one.
    fn turn_to(&mut self, now: Timestamp) {
        let day = now.as_second().div_euclid(DAY);
        if self.day != day {
            (self.day, self.dollars, self.previewed, self.is_used_up) = (day, 0.0, 0.0, false);
        }
    }
}

impl Purse {
    /// So much was spent on the day of `now`, and of it so much on previews.
    pub(crate) fn new(spent_today: f64, previewed: f64, now: Timestamp) -> Arc<Self> {
        let day = now.as_second().div_euclid(DAY);
        Arc::new(Self(Mutex::new(Spent {
            day,
            dollars: spent_today,
            previewed,
            minute: 0,
            calls: 0,
            limit: None,
            is_used_up: false,
        })))
    }

    /// Reserves one call of the candidate, and its price where it has one; or says why it is not called.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        price: Option<f64>,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Reservation, Skip> {
        let mut spent = self.lock();
        spent.turn_to(now);
        let minute = now.as_second().div_euclid(MINUTE);
        if spent.minute != minute {
            (spent.minute, spent.calls) = (minute, 0);
        }
        if plan.max_per_minute.is_some_and(|most| spent.calls >= most) {
            return Err(Skip::Rate);
        }
        if let Some(price) = price {
            let budget = plan.budget_usd_per_day.unwrap_or_default();
            spent.limit = plan.budget_usd_per_day;
            if spent.dollars + price > budget {
                spent.is_used_up = true;
                return Err(Skip::Budget);
            }
            spent.dollars += price;
        }
        spent.calls += 1;
        Ok(Reservation { purse: Arc::clone(self), day: spent.day, price: price.unwrap_or_default() })
    }

    /// Previews of the day of `now` have cost so much by now, all together.
    pub(crate) fn previewed(&self, dollars: f64, now: Timestamp) {
        let mut spent = self.lock();
        spent.turn_to(now);
        spent.dollars += dollars - spent.previewed;
        spent.previewed = dollars;
    }

    /// Whether a call had a price.
    pub(crate) fn is_used(&self) -> bool {
        self.lock().limit.is_some()
    }

    /// What the day of `now` has cost `route`, where it has a budget and has asked for some of it.
    pub(crate) fn today(&self, route: &Arc<str>, now: Timestamp) -> Option<SpentToday> {
        let spent = self.lock();
        let is_today = spent.day == now.as_second().div_euclid(DAY);
        Some(SpentToday {
            route: route.clone(),
            spent_usd: spent.dollars,
            limit_usd: spent.limit.filter(|_| is_today)?,
            is_used_up: spent.is_used_up,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was taken out for one call. Dropped, it is spent.
#[derive(Debug)]
pub(crate) struct Reservation {
    purse: Arc<Purse>,
    day: i64,
    price: f64,
}

impl Reservation {
    /// The call cost this much.
    pub(crate) fn settle(self, cost: f64) {
        let mut spent = self.purse.lock();
        if spent.day == self.day {
            spent.dollars += cost - self.price;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel_run::testing;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_057_600 + second).unwrap()
    }

    #[test]
    fn a_price_is_reserved_before_the_call_and_settled_after_it() {
        let plan = Plan { budget_usd_per_day: Some(0.10), ..testing::plan() };
        let purse = Purse::new(0.02, 0.0, at(0));
        let route: Arc<str> = "images".into();
        assert_eq!(purse.today(&route, at(0)), None, "nothing was asked for yet");
        let first = purse.reserve(Some(0.04), &plan, at(0)).unwrap();
        let second = purse.reserve(Some(0.04), &plan, at(0)).unwrap();
        assert_eq!(purse.reserve(Some(0.04), &plan, at(0)).unwrap_err(), Skip::Budget);
        first.settle(0.0);
        drop(second);
        let today = purse.today(&route, at(1)).unwrap();
        assert_eq!((today.limit_usd, today.is_used_up), (0.10, true));
        assert!((today.spent_usd - 0.06).abs() < 1e-9, "{today:?}");
        assert_eq!(purse.today(&route, at(DAY)), None);
        assert!(purse.reserve(Some(0.04), &plan, at(0)).is_ok(), "what was not spent is there again");
        assert_eq!(
            purse.reserve(Some(0.04), &plan, at(0)).unwrap_err(),
            Skip::Budget,
            "what was dropped is spent"
        );
        assert!(purse.reserve(Some(0.10), &plan, at(DAY)).is_ok(), "another day");
        assert!(purse.reserve(None, &plan, at(DAY)).is_ok(), "what costs nothing needs no money");
    }

    #[test]
    fn what_previews_cost_is_spent_once() {
        let plan = Plan { budget_usd_per_day: Some(0.10), ..testing::plan() };
        let purse = Purse::new(0.05, 0.04, at(0));
        let may_call =
            || purse.reserve(Some(0.04), &plan, at(1)).map(|reserved| reserved.settle(0.0)).is_ok();
        purse.previewed(0.04, at(1));
        assert!(may_call(), "it was heard of at the start");
        purse.previewed(0.06, at(1));
        purse.previewed(0.06, at(1));
        assert!(!may_call());
        purse.previewed(0.0, at(DAY));
        assert!(purse.reserve(Some(0.10), &plan, at(DAY)).is_ok(), "another day");
    }

    #[test]
    fn without_a_budget_nothing_is_spent() {
        let purse = Purse::new(0.0, 0.0, at(0));
        assert_eq!(purse.reserve(Some(0.01), &testing::plan(), at(0)).unwrap_err(), Skip::Budget);
    }

    #[test]
    fn a_minute_has_so_many_calls() {
        let plan = Plan { max_per_minute: Some(2), ..testing::plan() };
        let purse = Purse::new(0.0, 0.0, at(0));
        for second in [0, 59] {
            drop(purse.reserve(None, &plan, at(second)).unwrap());
        }
        assert_eq!(purse.reserve(None, &plan, at(59)).unwrap_err(), Skip::Rate);
        assert!(purse.reserve(None, &plan, at(60)).is_ok());
    }
}
