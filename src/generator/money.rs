//! US dollars as whole millionths, so that sums are exact.

use std::{fmt, iter::Sum};

use serde::{Deserialize, Serialize};

const MILLION: u64 = 1_000_000;

/// An amount of US dollars, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Usd(u64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many millionths of a dollar.
    pub const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A price as a person writes it, rounded to a millionth; nothing for what is no amount.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let micros = (dollars * 1e6).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the range just checked"
        )]
        (0.0..1e15).contains(&micros).then_some(Self(micros as u64))
    }

    /// In millionths of a dollar.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// For figures that need no exactness.
    pub fn as_dollars(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 millionths nobody asks for cents")]
        let micros = self.0 as f64;
        micros / 1e6
    }

    /// So many times this.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(u64::from(count)))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.fold(0, |sum, Self(micros)| sum.saturating_add(micros)))
    }
}

/// In dollars, without trailing zeros: `0.04`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, micros) = (self.0 / MILLION, self.0 % MILLION);
        if micros == 0 {
            return write!(f, "{dollars}");
        }
        let fraction = format!("{micros:06}");
        write!(f, "{dollars}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::Usd;

    #[test]
    fn amounts_are_exact_and_shown_as_they_were_written() {
        for text in ["0", "0.04", "12.5", "0.000001", "7"] {
            assert_eq!(Usd::from_dollars(text.parse().unwrap()).unwrap().to_string(), text);
        }
        assert_eq!([Usd::from_dollars(0.1).unwrap(); 3].into_iter().sum::<Usd>().to_string(), "0.3");
        assert_eq!(Usd::from_dollars(0.06).unwrap().times(10).as_micros(), 600_000);
        for wrong in [-0.01, f64::NAN, f64::INFINITY, 1e12] {
            assert_eq!(Usd::from_dollars(wrong), None);
        }
    }
}
