//! Who is sampled, and under which name: both by hash, so that a record can be recomputed from a request.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::routing::Share;

/// One request's draw: a hash of its id, its route and the epoch. The same request draws the same lot again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot([u8; 32]);

impl Lot {
    /// Draws for one request.
    pub fn draw(request_id: &str, route: &str, epoch: &str) -> Self {
        Self(digest([b"lot", request_id.as_bytes(), route.as_bytes(), epoch.as_bytes()]))
    }

    /// Whether the request is among `share` of all requests.
    pub fn is_within(&self, share: Share) -> bool {
        let drawn = self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        // 53 bits: the integers that an f64 holds exactly, so that the fraction lies in [0, 1).
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let fraction = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        fraction < share.fraction()
    }

    /// The comparison's id: a `UUIDv7` (RFC 9562, 5.7) of the time and of bits that the decision did not use.
    pub fn id(&self, at: Timestamp) -> Uuid {
        let unused = self.0.last_chunk().copied().unwrap_or_default();
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &unused).into_uuid()
    }
}

/// Turns what names a person or a request into a name that only this evidence understands.
#[derive(Clone)]
pub struct Pseudonyms {
    key: [u8; 32],
}

impl Pseudonyms {
    /// With the evidence's own key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Of a subject. Scoped to the process' evidence, not to a route: one person is one name.
    pub fn subject(&self, value: &[u8]) -> Pseudonym {
        Pseudonym::of(digest([b"subject", &self.key, value]))
    }

    /// Of a request: its method, its target as it came, its body.
    pub fn request(&self, method: &str, target: &str, body: &[u8]) -> Pseudonym {
        Pseudonym::of(digest([b"request", &self.key, method.as_bytes(), target.as_bytes(), body]))
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pseudonyms").finish_non_exhaustive()
    }
}

/// A keyed hash, cut to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pseudonym(u128);

impl Pseudonym {
    fn of(hash: [u8; 32]) -> Self {
        let (half, _) = hash.split_at(16);
        Self(half.iter().fold(0, |sum, byte| (sum << 8) | u128::from(*byte)))
    }
}

impl std::fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for Pseudonym {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// SHA-256 as lower-case hex.
pub(crate) fn sha256_hex<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.extend([byte >> 4, byte & 15].map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or('0')));
        hex
    })
}

/// SHA-256 of the parts, each after its length: no two lists of parts run together.
fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_request_draws_the_same_lot() {
        assert_eq!(Lot::draw("r1", "images", "e1"), Lot::draw("r1", "images", "e1"));
        assert_ne!(Lot::draw("r1", "images", "e1"), Lot::draw("r1", "images", "e2"));
        assert_ne!(Lot::draw("r1", "images", "e1"), Lot::draw("r1i", "mages", "e1"));
    }

    #[test]
    fn everything_and_nothing_are_exact_and_a_share_is_near() {
        let share = Share::from_fraction(0.1).unwrap();
        let lots: Vec<Lot> = (0..20_000).map(|n| Lot::draw(&format!("r{n}"), "images", "e1")).collect();
        assert!(lots.iter().all(|lot| lot.is_within(Share::ALL)));
        assert!(!lots.iter().any(|lot| lot.is_within(Share::NONE)));
        let taken = lots.iter().filter(|lot| lot.is_within(share)).count();
        // Five standard deviations of a binomial(20000, 0.1).
        assert!((1790..=2210).contains(&taken), "{taken}");
    }

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let lot = |n: u32| Lot::draw(&n.to_string(), "images", "e1");
        let earlier = lot(1).id(Timestamp::from_millisecond(1_000).unwrap());
        let later = lot(2).id(Timestamp::from_millisecond(2_000).unwrap());
        assert_eq!(earlier.get_version_num(), 7);
        assert!(earlier < later);
    }

    #[test]
    fn another_key_gives_another_name() {
        let subject = |key| Pseudonyms::new([key; 32]).subject(b"session-7");
        assert_eq!(subject(1), subject(1));
        assert_ne!(subject(1), subject(2));
        assert_eq!(
            sha256_hex([b"abc".as_slice()]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    proptest! {
        #[test]
        fn a_wider_share_never_drops_a_request(id in ".{0,40}", a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
            let lot = Lot::draw(&id, "images", "e");
            let (narrow, wide) = (Share::from_fraction(a.min(b)).unwrap(), Share::from_fraction(a.max(b)).unwrap());
            prop_assert!(!lot.is_within(narrow) || lot.is_within(wide));
        }

        #[test]
        fn a_pseudonym_survives_its_text(value in any::<u128>()) {
            let name = Pseudonym(value);
            prop_assert_eq!(name.to_string().parse::<Pseudonym>().unwrap(), name);
        }
    }
}
