//! Chance that always falls the same way: `SplitMix64` (Steele, Lea and Flood, 2014) from a hash of the input.

use sha2::{Digest as _, Sha256};

/// A stream of numbers that depends on its seed alone.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Seeded by a text.
    pub(super) fn new(seed: &str) -> Self {
        Self(
            Sha256::digest(seed.as_bytes())
                .iter()
                .take(8)
                .fold(0, |state, byte| (state << 8) | u64::from(*byte)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 16_777_216.0
    }

    /// From `low` up to `high`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        (high - low).mul_add(self.unit(), low)
    }

    /// True this share of the time.
    pub(super) fn chance(&mut self, share: f32) -> bool {
        self.unit() < share
    }

    /// One of some things; there is at least `first`.
    pub(super) fn pick<T: Copy>(&mut self, first: T, rest: &[T]) -> T {
        let count = u64::try_from(rest.len()).unwrap_or(u64::MAX).saturating_add(1);
        let index = usize::try_from(self.next() % count).unwrap_or(0);
        index.checked_sub(1).and_then(|index| rest.get(index)).copied().unwrap_or(first)
    }
}
