//! The one word for each thing that a record can say: in the evidence, in metrics, in reports.

use super::{Alarm, Class, DifferenceKind, Direction, Outcome, Severity, Skip};

/// A value that is written as one word, and read back from it.
pub trait Word: Copy + PartialEq + Sized + 'static {
    /// Every value with its word.
    const WORDS: &'static [(Self, &'static str)];

    /// The value's word.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(value, _)| *value == self).map_or("", |(_, word)| word)
    }

    /// The value of a word.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
    }
}

impl Word for Class {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Match, "match"),
        (Self::Expected, "expected"),
        (Self::Mismatch, "mismatch"),
        (Self::CandidateFailed, "candidate-failed"),
        (Self::ControlFailed, "control-failed"),
        (Self::Incomparable, "incomparable"),
        (Self::Calibration, "calibration"),
        (Self::DuplicateSubject, "duplicate-subject"),
        (Self::Skipped(Skip::Queue), "skipped-queue"),
        (Self::Skipped(Skip::Lagged), "skipped-lagged"),
        (Self::Skipped(Skip::Budget), "skipped-budget"),
        (Self::Skipped(Skip::Rate), "skipped-rate"),
        (Self::Skipped(Skip::Control), "skipped-control"),
        (Self::Skipped(Skip::ClientGone), "skipped-client-gone"),
        (Self::Skipped(Skip::Shutdown), "skipped-shutdown"),
    ];
}

impl Word for Outcome {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Ok, "ok"),
        (Self::Refused, "refused"),
        (Self::HttpError, "http-error"),
        (Self::Timeout, "timeout"),
        (Self::Transport, "transport"),
        (Self::Panic, "panic"),
        (Self::TooLarge, "too-large"),
        (Self::SkippedBudget, "skipped-budget"),
        (Self::SkippedQueue, "skipped-queue"),
        (Self::SkippedControl, "skipped-control"),
    ];
}

impl Word for Direction {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Shadow, "shadow"),
        (Self::Reverse, "reverse"),
        (Self::Replay, "replay"),
        (Self::ControlRepeat, "control-repeat"),
        (Self::Learn, "learn"),
    ];
}

impl Word for DifferenceKind {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Status, "status"),
        (Self::Header, "header"),
        (Self::Missing, "missing"),
        (Self::Extra, "extra"),
        (Self::Type, "type"),
        (Self::Shape, "shape"),
        (Self::Value, "value"),
        (Self::Order, "order"),
        (Self::Length, "length"),
        (Self::Image, "image"),
    ];
}

impl Word for Severity {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Info, "info"), (Self::Expected, "expected"), (Self::Failure, "failure")];
}

impl Word for Alarm {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::WrongSize, "wrong-size"),
        (Self::WrongCount, "wrong-count"),
        (Self::Blank, "blank"),
        (Self::CopyOfControl, "copy-of-control"),
        (Self::Panic, "panic"),
        (Self::OtherSubject, "other-subject"),
        (Self::Secret, "secret"),
    ];
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn every_word_is_its_values_own<W: Word + std::fmt::Debug>() {
        let words: HashSet<&str> = W::WORDS.iter().map(|(_, word)| *word).collect();
        assert_eq!(words.len(), W::WORDS.len());
        for (value, word) in W::WORDS {
            assert_eq!((value.word(), W::from_word(word)), (*word, Some(*value)));
        }
    }

    #[test]
    fn words_and_values_are_one_to_one() {
        every_word_is_its_values_own::<Class>();
        every_word_is_its_values_own::<Outcome>();
        every_word_is_its_values_own::<Direction>();
        every_word_is_its_values_own::<DifferenceKind>();
        every_word_is_its_values_own::<Severity>();
        every_word_is_its_values_own::<Alarm>();
        assert_eq!(Class::from_word("nothing"), None);
    }
}
