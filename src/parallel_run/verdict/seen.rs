//! The trials of each subject: a million of them are looked up for one report.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// How many trials each subject has had.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// By their pseudonyms, which are hashes already, and keyed: nobody outside chooses where they fall.
    pseudonyms: HashMap<[u64; 2], u64, BuildHasherDefault<Low>>,
    /// The anonymous one, and those of any other name.
    others: HashMap<Option<Box<str>>, u64>,
}

impl Seen {
    /// The trials of `subject` so far.
    pub(super) fn trials(&mut self, subject: Option<&str>) -> &mut u64 {
        match subject.and_then(pseudonym) {
            Some(pseudonym) => self.pseudonyms.entry(pseudonym).or_default(),
            None => self.others.entry(subject.map(Box::from)).or_default(),
        }
    }

    /// How many subjects there are.
    pub(super) fn len(&self) -> usize {
        self.pseudonyms.len() + self.others.len()
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
                *seen.trials(text.map(String::as_str)) += 1;
                *plain.entry(text.cloned()).or_default() += 1;
            }
            prop_assert_eq!(seen.len(), plain.len());
            for (text, trials) in plain {
                prop_assert_eq!(*seen.trials(text.as_deref()), trials);
            }
        }
    }
}
