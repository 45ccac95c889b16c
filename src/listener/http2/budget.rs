//! How many frames a client may send that carry nothing.

use std::time::{Duration, Instant};

/// A leaky bucket.
#[derive(Debug)]
pub(super) struct Budget {
    level: f64,
    at: Instant,
    burst: f64,
    /// What leaks out in a second.
    rate: f64,
}

impl Budget {
    pub(super) fn new(burst: u32, rate: u32, now: Instant) -> Self {
        Self { level: 0.0, at: now, burst: burst.into(), rate: rate.into() }
    }

    /// Takes one; false when there is none left.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let passed = now.checked_duration_since(self.at).unwrap_or(Duration::ZERO);
        self.at = now;
        self.level = (self.level - passed.as_secs_f64() * self.rate).max(0.0) + 1.0;
        self.level <= self.burst
    }

    /// Gives some back.
    pub(super) fn earn(&mut self, count: u32) {
        self.level = (self.level - f64::from(count)).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let began = Instant::now();
        let mut budget = Budget::new(10, 5, began);
        assert!((0..10).all(|_| budget.spend(began)));
        assert!(!budget.spend(began));
        let later = began + Duration::from_secs(1);
        assert!((0..4).all(|_| budget.spend(later)));
        assert!(!budget.spend(later));
    }

    #[test]
    fn what_is_earned_can_be_spent() {
        let now = Instant::now();
        let mut budget = Budget::new(2, 0, now);
        assert!((0..100).all(|_| {
            let within = budget.spend(now);
            budget.earn(1);
            within
        }));
    }
}
