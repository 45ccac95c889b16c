//! The arithmetic of the verdict: two mixtures of likelihood ratios over `n` trials, `x` of which failed.
//!
//! Each is a test supermartingale on its null, so that by Ville's inequality the chance that it *ever* reaches
//! `1 / alpha` while its null holds is at most `alpha`: an operator may look at every pair and stop when they like.
//! (Howard, Ramdas, `McAuliffe`, Sekhon: Time-uniform, nonparametric, nonasymptotic confidence sequences, 2021.)

/// Alternatives of "the candidate fails less often than p0", as multiples of p0.
const BETTER: [f64; 4] = [0.02, 0.1, 0.25, 0.5];
/// Alternatives of "the candidate fails more often than p0", as multiples of p0, each at most [`WORST_RATE`].
const WORSE: [f64; 4] = [1.5, 2.0, 4.0, 10.0];
const WORST_RATE: f64 = 0.9;

/// An equal mixture of four likelihood ratios against one failure rate p0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    terms: [Step; 4],
}

/// What one trial adds to the natural logarithm of one likelihood ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    failure: f64,
    success: f64,
}

impl Mixture {
    /// E+: grows while the failure rate is below `p0`.
    pub fn below(p0: f64) -> Self {
        Self::against(p0, BETTER.map(|factor| p0 * factor))
    }

    /// E-: grows while the failure rate is above `p0`.
    pub fn above(p0: f64) -> Self {
        Self::against(p0, WORSE.map(|factor| (p0 * factor).min(WORST_RATE)))
    }

    fn against(p0: f64, alternatives: [f64; 4]) -> Self {
        let terms =
            alternatives.map(|g| Step { failure: (g / p0).ln(), success: (-g).ln_1p() - (-p0).ln_1p() });
        Self { terms }
    }

    /// log10 of the mixture after `trials`, `failures` of which failed.
    pub fn log10(&self, trials: u64, failures: u64) -> f64 {
        let (logs, highest) = self.logs(trials, failures);
        let sum: f64 = logs.into_iter().map(|log| (log - highest).exp()).sum();
        (highest + (sum / 4.0).ln()) / std::f64::consts::LN_10
    }

    /// Whether [`log10`](Self::log10) is at least `needed`. It is asked after each pair, and mostly answered without a
    /// power: the mean of four lies between a fourth of the greatest and the greatest.
    pub fn reaches(&self, trials: u64, failures: u64, needed: f64) -> bool {
        let (_, highest) = self.logs(trials, failures);
        let (least, most) = (highest + 0.25_f64.ln(), highest);
        least / std::f64::consts::LN_10 >= needed
            || most / std::f64::consts::LN_10 >= needed && self.log10(trials, failures) >= needed
    }

    /// The natural logarithm of each term, and the greatest of them.
    fn logs(&self, trials: u64, failures: u64) -> ([f64; 4], f64) {
        let failed = real(failures);
        let passed = real(trials.saturating_sub(failures));
        let logs = self.terms.map(|step| failed * step.failure + passed * step.success);
        (logs, logs.into_iter().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// log10 of what a mixture must reach at error `alpha`, divided among `shares` simultaneous tests.
pub fn threshold(alpha: f64, shares: u64) -> f64 {
    real(shares.max(1)).log10() - alpha.log10()
}

/// The smallest p0 for which these trials would already be SAFE; 1 while there is none.
///
/// E+ rises with p0, so that the bound holds for all p0 at once, at every look.
pub fn upper_bound(trials: u64, failures: u64, alpha: f64) -> f64 {
    let needed = threshold(alpha, 1);
    let (mut refused, mut proved) = (0.0, 1.0);
    loop {
        let middle = f64::midpoint(refused, proved);
        if middle <= refused || middle >= proved {
            return proved;
        }
        if Mixture::below(middle).log10(trials, failures) >= needed {
            proved = middle;
        } else {
            refused = middle;
        }
    }
}

/// The failure rate if every pair that was not compared had failed: `missing` is their share of all.
pub fn worst_case(upper_bound: f64, missing: f64) -> f64 {
    (1.0 - missing) * upper_bound + missing
}

/// How many trials prove `p0` when exactly `failures` of them fail.
pub fn trials_to_prove(failures: u64, p0: f64, alpha: f64) -> u64 {
    let (safe, needed) = (Mixture::below(p0), threshold(alpha, 1));
    let proves = |trials| safe.log10(trials, failures) >= needed;
    let mut enough = failures.max(1);
    while !proves(enough) {
        let Some(doubled) = enough.checked_mul(2) else { return u64::MAX };
        enough = doubled;
    }
    let mut short = failures;
    while enough - short > 1 {
        let middle = short.midpoint(enough);
        if proves(middle) {
            enough = middle;
        } else {
            short = middle;
        }
    }
    enough
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "counts of trials stay far below 2^53")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALPHA: f64 = 0.05;

    fn first_safe(p0: f64) -> u64 {
        let safe = Mixture::below(p0);
        (1..1_000).find(|&n| safe.log10(n, 0) >= threshold(ALPHA, 1)).unwrap()
    }

    #[test]
    fn safe_comes_first_where_it_was_computed_by_hand() {
        assert_eq!((first_safe(0.05), first_safe(0.02), first_safe(0.01)), (70, 178, 358));
        let safe = Mixture::below(0.05);
        assert!((10f64.powf(safe.log10(69, 0)) - 19.24).abs() < 0.005);
        assert!((10f64.powf(safe.log10(70, 0)) - 20.13).abs() < 0.005);
    }

    #[test]
    fn two_failures_in_two_pairs_are_unsafe_at_one_per_cent() {
        let log = Mixture::above(0.01).log10(2, 2);
        assert!((10f64.powf(log) - 30.5625).abs() < 1e-9, "(1.5^2 + 2^2 + 4^2 + 10^2) / 4");
    }

    #[test]
    fn no_evidence_proves_nothing() {
        for mixture in [Mixture::below(0.01), Mixture::above(0.01)] {
            assert!(mixture.log10(0, 0).abs() < 1e-15);
        }
        assert!((upper_bound(0, 0, ALPHA) - 1.0).abs() < 1e-15);
        assert!((upper_bound(7, 7, ALPHA) - 1.0).abs() < 1e-12, "all failed");
    }

    #[test]
    fn the_price_to_prove_is_in_units_of_cost_over_p0() {
        for (failures, factor) in [(0, 3.58), (1, 6.3), (2, 8.5)] {
            let price = real(trials_to_prove(failures, 0.01, ALPHA)) * 0.01;
            assert!((price - factor).abs() < 0.06, "{failures} failures: {price}");
        }
    }

    #[test]
    fn the_worst_case_counts_what_was_not_compared_as_failed() {
        let bound = upper_bound(358, 0, ALPHA);
        assert!((worst_case(bound, 12.0 / 370.0) - 0.042).abs() < 0.0005);
    }

    /// Probability that `absorbed` is ever reached by a candidate that fails at exactly `p0`, within 40 / p0 trials.
    fn ever(p0: f64, horizon: u64, absorbed: impl Fn(u64, u64) -> bool) -> f64 {
        let mut alive = vec![1.0];
        let mut gone = 0.0;
        for n in 1..=horizon {
            let mut next = vec![0.0; alive.len() + 1];
            for (x, mass) in alive.iter().enumerate() {
                next[x] += mass * (1.0 - p0);
                next[x + 1] += mass * p0;
            }
            for (x, mass) in next.iter_mut().enumerate() {
                if *mass > 0.0 && absorbed(n, x as u64) {
                    gone += *mass;
                    *mass = 0.0;
                } else if *mass < 1e-14 {
                    *mass = 0.0;
                }
            }
            while next.last() == Some(&0.0) {
                next.pop();
            }
            alive = next;
        }
        gone
    }

    #[test]
    fn errors_stay_below_alpha_at_every_look() {
        let p0 = 0.01;
        let (safe, unsafe_) = (Mixture::below(p0), Mixture::above(p0));
        let needed = threshold(ALPHA, 1);
        let false_safe = ever(p0, 4000, |n, x| safe.log10(n, x) >= needed);
        let false_unsafe = ever(p0, 4000, |n, x| unsafe_.log10(n, x) >= needed);
        assert!((false_safe - 0.048).abs() < 0.0005, "{false_safe}");
        assert!((false_unsafe - 0.031).abs() < 0.0005, "{false_unsafe}");
    }

    /// Probability that a candidate at which 2 % of the users always fail is ever SAFE at 1 %, within 4000 pairs, when
    /// each user comes with `burst` pairs in a row.
    fn ever_safe_in_bursts(burst: u64) -> f64 {
        let (safe, needed) = (Mixture::below(0.01), threshold(ALPHA, 1));
        // Each pass raises E+: whoever is SAFE within a burst of passes is so at its end.
        ever(0.02, 4000 / burst, |users, bad| safe.log10(users * burst, bad * burst) >= needed)
    }

    #[test]
    fn users_who_fail_in_bursts_would_fool_it_and_one_trial_of_each_does_not() {
        assert!(ever_safe_in_bursts(36) > 0.81, "{}", ever_safe_in_bursts(36));
        assert!(ever_safe_in_bursts(1) < ALPHA, "{}", ever_safe_in_bursts(1));
    }

    #[test]
    fn the_errors_of_other_rates_stay_below_alpha_too() {
        for p0 in [0.02, 0.05] {
            let (safe, unsafe_) = (Mixture::below(p0), Mixture::above(p0));
            let needed = threshold(ALPHA, 1);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small whole number"
            )]
            let horizon = (40.0 / p0) as u64;
            assert!(ever(p0, horizon, |n, x| safe.log10(n, x) >= needed) < ALPHA);
            assert!(ever(p0, horizon, |n, x| unsafe_.log10(n, x) >= needed) < ALPHA);
        }
    }

    proptest! {
        #[test]
        fn what_is_reached_is_what_the_logarithm_says(n in 0u64..3_000, x in 0u64..60, p0 in 0.001f64..0.5, k in 1u64..9) {
            prop_assume!(x <= n);
            for mixture in [Mixture::below(p0), Mixture::above(p0)] {
                let log = mixture.log10(n, x);
                for needed in [threshold(ALPHA, k), log, log + 1e-9, log - 1e-9, log - 0.3, log + 0.3] {
                    prop_assert_eq!(mixture.reaches(n, x, needed), log >= needed);
                }
            }
        }

        #[test]
        fn the_upper_bound_is_where_safe_begins(n in 1u64..50_000, share in 0.0f64..0.5) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
            let x = (real(n) * share) as u64;
            let bound = upper_bound(n, x, ALPHA);
            let needed = threshold(ALPHA, 1);
            prop_assert!(Mixture::below(bound).log10(n, x) >= needed);
            prop_assert!(Mixture::below(bound - 1e-9).log10(n, x) < needed);
        }

        #[test]
        fn the_log_form_agrees_with_the_formula(n in 0u64..200, x in 0u64..20, p0 in 0.005f64..0.5) {
            prop_assume!(x <= n);
            let direct = |alternatives: [f64; 4]| -> f64 {
                let (x, passed) = (i32::try_from(x).unwrap(), i32::try_from(n - x).unwrap());
                let term = |g: f64| (g / p0).powi(x) * ((1.0 - g) / (1.0 - p0)).powi(passed);
                alternatives.map(term).iter().sum::<f64>() / 4.0
            };
            let better = direct(BETTER.map(|factor| p0 * factor)).log10();
            let worse = direct(WORSE.map(|factor| (p0 * factor).min(WORST_RATE))).log10();
            prop_assert!((Mixture::below(p0).log10(n, x) - better).abs() < 1e-6);
            prop_assert!(worse < -290.0 || (Mixture::above(p0).log10(n, x) - worse).abs() < 1e-6);
        }

        #[test]
        fn a_pass_speaks_for_the_candidate_and_a_failure_against(n in 1u64..5_000, x in 0u64..50, p0 in 0.001f64..0.5) {
            prop_assume!(x < n);
            let (safe, unsafe_) = (Mixture::below(p0), Mixture::above(p0));
            prop_assert!(safe.log10(n + 1, x) > safe.log10(n, x));
            prop_assert!(safe.log10(n + 1, x + 1) < safe.log10(n, x));
            prop_assert!(unsafe_.log10(n + 1, x) < unsafe_.log10(n, x));
            prop_assert!(unsafe_.log10(n + 1, x + 1) > unsafe_.log10(n, x));
        }
    }
}
