//! Which arm answers a subject.
//!
//! A canary gives every subject a fixed place in `0..1_000_000` and takes the places below its share. Places depend
//! on nothing but the route's name and the subject, so that every gateway of a fleet agrees, raising the share moves
//! nobody back, and lowering it moves only as many as it must. Routes draw independently of each other.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{Arm, Canary, Mode, Route, Share, SubjectValue};

/// Why an arm answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The mode has one arm for everybody.
    Mode,
    /// The request belongs to nobody that could be assigned, so the control answers.
    Subjectless,
    /// The subject is in `canary.deny`.
    Denied,
    /// The subject is in `canary.allow`.
    Allowed,
    /// The subject's place is below the canary's share, or is not.
    Place(Share),
}

/// The arm that answers `subject` while `mode` is in force.
pub(super) fn arm(route: &Route, mode: Mode, subject: Option<SubjectValue<'_>>) -> (Arm, Reason) {
    match mode {
        Mode::Monolith | Mode::Learn | Mode::Shadow => (Arm::Control, Reason::Mode),
        Mode::Migrated => (Arm::Candidate, Reason::Mode),
        Mode::Canary => subject.map_or((Arm::Control, Reason::Subjectless), |subject| {
            assign(&route.canary, &route.name, subject)
        }),
    }
}

fn assign(canary: &Canary, route: &str, subject: SubjectValue<'_>) -> (Arm, Reason) {
    let listed = |list: &[Box<str>]| list.iter().any(|entry| subject.is(entry));
    if listed(&canary.deny) {
        return (Arm::Control, Reason::Denied);
    }
    if listed(&canary.allow) {
        return (Arm::Candidate, Reason::Allowed);
    }
    let place = place(route, subject);
    (if place < canary.share { Arm::Candidate } else { Arm::Control }, Reason::Place(place))
}

/// A subject's place on a route, uniform in `0..1_000_000`.
///
/// Specified, because it must never change: SHA-256 of the route's name, a zero byte and the subject (a cookie's or
/// header's bytes; an address as its 4 or 16 octets); the digest's first eight bytes as a big-endian `h`; and
/// `floor(h * 1_000_000 / 2^64)`.
fn place(route: &str, subject: SubjectValue<'_>) -> Share {
    let hash = Sha256::new().chain_update(route).chain_update([0]);
    let digest = match subject {
        SubjectValue::Bytes(bytes) => hash.chain_update(bytes),
        SubjectValue::Address(IpAddr::V4(address)) => hash.chain_update(address.octets()),
        SubjectValue::Address(IpAddr::V6(address)) => hash.chain_update(address.octets()),
    }
    .finalize();
    let h = digest.iter().take(8).fold(0, |h, byte| h << 8 | u64::from(*byte));
    Share::from_position(h)
}

impl SubjectValue<'_> {
    /// True when an `allow` or `deny` entry names it.
    fn is(&self, entry: &str) -> bool {
        match self {
            Self::Bytes(bytes) => entry.as_bytes() == *bytes,
            Self::Address(address) => {
                entry.parse::<IpAddr>().is_ok_and(|entry| entry.to_canonical() == *address)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canary(fraction: f64) -> Canary {
        Canary { share: Share::from_fraction(fraction).unwrap(), ..Canary::default() }
    }

    fn taken(canary: &Canary, subject: &str) -> bool {
        takes(canary, "generate-image", SubjectValue::Bytes(subject.as_bytes()))
    }

    fn takes(canary: &Canary, route: &str, subject: SubjectValue<'_>) -> bool {
        assign(canary, route, subject).0 == Arm::Candidate
    }

    /// Computed with Python's `hashlib`; a change here moves users between arms.
    #[test]
    fn places_are_as_specified() {
        let bytes = |subject: &'static str| SubjectValue::Bytes(subject.as_bytes());
        let address = |text: &str| SubjectValue::Address(text.parse().unwrap());
        let places = [
            place("generate-image", bytes("ana")),
            place("generate-image", bytes("")),
            place("other", bytes("ana")),
            place("generate-image", address("192.0.2.7")),
            place("generate-image", address("2001:db8::1")),
        ];
        assert_eq!(
            places.map(|place| format!("{:.6}", place.fraction())),
            ["0.878810", "0.646423", "0.587199", "0.153001", "0.414003"]
        );
    }

    #[test]
    fn places_are_uniform() {
        let width = 0.05;
        let mut buckets = [0_u32; 20];
        for n in 0..40_000 {
            let place = place("r", SubjectValue::Bytes(format!("user-{n}").as_bytes())).fraction();
            let bucket = (1..20).take_while(|edge| place >= f64::from(*edge) * width).count();
            buckets[bucket] += 1;
        }
        // Chi-squared with 19 degrees of freedom exceeds 43.8 once in a thousand; the subjects are fixed.
        let statistic: f64 = buckets.iter().map(|n| (f64::from(*n) - 2000.0).powi(2) / 2000.0).sum();
        assert!(statistic < 43.8, "{statistic}");
    }

    #[test]
    fn routes_draw_independently() {
        let share = Share::from_fraction(0.5).unwrap();
        let on = |route: &str, n: u32| place(route, SubjectValue::Bytes(n.to_string().as_bytes())) < share;
        let agree = (0..10_000).filter(|n| on("a", *n) == on("b", *n)).count();
        // Half of them, within five standard deviations; the subjects are fixed.
        assert!((4750..5250).contains(&agree), "{agree}");
    }

    #[test]
    fn nobody_in_particular_is_answered_by_the_control() {
        let route = Route {
            mode: Mode::Canary,
            canary: Canary { share: Share::ALL, ..Canary::default() },
            ..crate::routing::table::tests::route("r", "/r")
        };
        assert_eq!(arm(&route, Mode::Canary, None), (Arm::Control, Reason::Subjectless));
        assert_eq!(arm(&route, Mode::Migrated, None), (Arm::Candidate, Reason::Mode));
    }

    #[test]
    fn the_ends_of_the_scale_are_nobody_and_everybody() {
        for n in 0..2000 {
            assert!(!taken(&canary(0.0), &n.to_string()));
            assert!(taken(&canary(1.0), &n.to_string()));
        }
    }

    #[test]
    fn lists_win_over_the_share_and_deny_over_allow() {
        let list = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>();
        let canary = Canary { share: Share::NONE, allow: list(&["ana", "eva"]), deny: list(&["eva"]) };
        assert!(taken(&canary, "ana"));
        assert!(!taken(&canary, "eva"));
        assert!(!taken(&Canary { share: Share::ALL, ..canary }, "eva"));

        let canary = Canary { allow: list(&["::ffff:192.0.2.7"]), ..Canary::default() };
        assert!(takes(&canary, "r", SubjectValue::Address("192.0.2.7".parse().unwrap())));
    }

    proptest! {
        #[test]
        fn raising_the_share_moves_nobody_back(subject in ".{1,40}", a in 0.0..=1.0, b in 0.0..=1.0) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(!taken(&canary(low), &subject) || taken(&canary(high), &subject));
        }

        #[test]
        fn a_subject_moves_only_when_the_share_passes_its_place(subject in ".{1,40}", a in 0.0..=1.0, b in 0.0..=1.0) {
            let place = place("generate-image", SubjectValue::Bytes(subject.as_bytes()));
            let passes = (place < canary(a).share) != (place < canary(b).share);
            prop_assert_eq!(taken(&canary(a), &subject) != taken(&canary(b), &subject), passes);
        }

        #[test]
        fn lists_win_whatever_the_share(subject in "[a-z]{1,9}", share in 0.0..=1.0) {
            let allow = Canary { allow: vec![subject.as_str().into()], ..canary(share) };
            prop_assert!(taken(&allow, &subject));
            let deny = Canary { deny: vec![subject.as_str().into()], ..allow };
            prop_assert!(!taken(&deny, &subject));
        }
    }
}
