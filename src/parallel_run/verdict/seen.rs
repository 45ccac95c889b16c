//! The trials of each subject: a million of them are looked up for one report.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
};

/// So many of the last trials can be taken back.
const KEPT: usize = 1 << 15;

/// How many trials each subject has had.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// By their pseudonyms, which are hashes already, and keyed: nobody outside chooses where they fall.
    pseudonyms: HashMap<[u64; 2], u64, BuildHasherDefault<Low>>,
    /// The anonymous one, and those of any other name.
    others: HashMap<Option<Box<str>>, u64>,
    /// Whose the last trials were.
    last: VecDeque<Subject>,
    /// How many there were in all.
    taken: u64,
}

#[derive(Clone, Debug)]
enum Subject {
    Pseudonym([u64; 2]),
    Other(Option<Box<str>>),
}

impl Seen {
    /// One more trial of `subject`, unless it has had `most`; whether it is one.
    pub(super) fn take(&mut self, subject: Option<&str>, most: u64) -> bool {
        let subject = match subject.and_then(pseudonym) {
            Some(pseudonym) => Subject::Pseudonym(pseudonym),
            None => Subject::Other(subject.map(Box::from)),
        };
        let trials = match &subject {
            Subject::Pseudonym(pseudonym) => self.pseudonyms.entry(*pseudonym).or_default(),
            Subject::Other(other) => self.others.entry(other.clone()).or_default(),
        };
        if *trials >= most {
            return false;
        }
        *trials += 1;
        self.taken += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(subject);
        true
    }

    /// How many trials there were.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether all but the first `taken` can be taken back.
    pub(super) fn reaches(&self, taken: u64) -> bool {
        self.taken.checked_sub(taken).is_some_and(|more| more <= self.last.len() as u64)
    }

    /// Takes back all but the first `taken`; false where that cannot be done.
    pub(super) fn back_to(&mut self, taken: u64) -> bool {
        if !self.reaches(taken) {
            return false;
        }
        while self.taken > taken {
            match self.last.pop_back() {
                Some(Subject::Pseudonym(pseudonym)) => take_back(&mut self.pseudonyms, pseudonym),
                Some(Subject::Other(other)) => take_back(&mut self.others, other),
                None => return false,
            }
            self.taken -= 1;
        }
        true
    }

    /// How many subjects there are.
    pub(super) fn len(&self) -> usize {
        self.pseudonyms.len() + self.others.len()
    }
}

fn take_back<K: Eq + Hash, S: BuildHasher>(trials: &mut HashMap<K, u64, S>, subject: K) {
    if let Entry::Occupied(mut trials) = trials.entry(subject) {
        match trials.get() {
            0 | 1 => drop(trials.remove()),
            more => *trials.get_mut() = more - 1,
        }
    }
}

/// 32 digits as a pseudonym is written, and nothing that another text could be read as too.
fn pseudonym(text: &str) -> Option<[u64; 2]> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let (high, low) = text.split_at_checked(16).filter(|(_, low)| low.len() == 16)?;
    let half = |digits| u64::from_str_radix(digits, 16).ok();
    text.bytes().all(is_digit).then(|| Some([half(low)?, half(high)?])).flatten()
}

/// The first half of what is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |half| u64::from_ne_bytes(*half));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_a_subject_of_its_own(texts in proptest::collection::vec("[0-9a-fA-F+]{31,33}|[0-9a-f]{32}|é{16}", 0..40)) {
            let mut seen = Seen::default();
            let mut plain: HashMap<Option<String>, u64> = HashMap::new();
            let twice = texts.iter().chain(&texts).map(Some).chain([None, None]);
            for text in twice {
                prop_assert!(seen.take(text.map(String::as_str), u64::MAX));
                *plain.entry(text.cloned()).or_default() += 1;
            }
            prop_assert_eq!(seen.len(), plain.len());
            for (text, trials) in plain {
                prop_assert!(!seen.take(text.as_deref(), trials));
                prop_assert!(seen.take(text.as_deref(), trials + 1));
            }
        }

        #[test]
        fn what_is_taken_back_was_never_taken(
            before in proptest::collection::vec(0u8..20, 0..60),
            after in proptest::collection::vec(0u8..20, 0..60),
        ) {
            let take = |seen: &mut Seen, subjects: &[u8]| {
                for subject in subjects {
                    let text = if subject % 2 == 0 { format!("{subject:032x}") } else { subject.to_string() };
                    seen.take((*subject > 1).then_some(&text), 3);
                }
            };
            let mut plain = Seen::default();
            take(&mut plain, &before);
            let mut seen = plain.clone();
            take(&mut seen, &after);
            prop_assert!(seen.back_to(plain.taken()));
            prop_assert_eq!(
                (&seen.pseudonyms, &seen.others, seen.taken()),
                (&plain.pseudonyms, &plain.others, plain.taken())
            );
        }
    }

    #[test]
    fn what_is_too_long_ago_cannot_be_taken_back() {
        let mut seen = Seen::default();
        let most = KEPT as u64;
        for n in 0..=most {
            seen.take(Some(&format!("{n:032x}")), 1);
        }
        assert!(!seen.reaches(0) && !seen.back_to(0));
        assert_eq!(seen.taken(), most + 1, "and nothing is");
        assert!(seen.back_to(1));
        assert_eq!(seen.len(), 1);
    }
}
