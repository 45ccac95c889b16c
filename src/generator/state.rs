//! The states of a job, and which step leads from which to which. Nothing here does anything.

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// The provider may have been called.
    Drawing,
    /// Names and hashes are recorded, and the spool holds the bytes.
    Storing,
    /// Committed: the names are visible.
    Done,
    /// Its objects are being deleted again.
    Undoing,
    /// Over, without images.
    Failed,
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The provider did not draw, and was not paid.
    Refused,
    /// Nobody knows whether it drew.
    Unknown,
    /// It drew something that is no sound image of the asked size.
    PaidInvalid,
    /// It drew, and the images are gone.
    PaidLost,
}

/// One transition, without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The images are in the spool.
    Store,
    /// The images are in the store.
    Commit,
    /// There will be no images.
    Fail(Reason),
    /// Neither store nor spool has them.
    Undo,
    /// What was left of them is deleted.
    Lose,
}

impl State {
    /// Every state.
    pub(crate) const ALL: [Self; 5] = [Self::Drawing, Self::Storing, Self::Done, Self::Undoing, Self::Failed];

    /// Where `step` leads from here; `None` where it may not be taken.
    pub(crate) fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Drawing, Step::Store) => Some(Self::Storing),
            (Self::Drawing, Step::Fail(Reason::Refused | Reason::Unknown | Reason::PaidInvalid)) => {
                Some(Self::Failed)
            }
            (Self::Storing, Step::Commit) => Some(Self::Done),
            (Self::Storing, Step::Undo) => Some(Self::Undoing),
            (Self::Undoing, Step::Lose) => Some(Self::Failed),
            _ => None,
        }
    }

    /// As it is written down.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drawing => "drawing",
            Self::Storing => "storing",
            Self::Done => "done",
            Self::Undoing => "undoing",
            Self::Failed => "failed",
        }
    }

    /// Reads [`name`](Self::name).
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl Reason {
    /// As it is written down.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::PaidInvalid => "paid-invalid",
            Self::PaidLost => "paid-lost",
        }
    }
}

impl Step {
    /// The reason that the record gets with this step.
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Self::Fail(reason) => Some(reason),
            Self::Lose => Some(Reason::PaidLost),
            Self::Store | Self::Commit | Self::Undo => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{
        prelude::{Just, Strategy, prop_assert, prop_assert_eq, proptest},
        prop_oneof,
    };

    use super::{Reason, State, Step};

    pub(crate) fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Store),
            Just(Step::Commit),
            Just(Step::Fail(Reason::Refused)),
            Just(Step::Fail(Reason::Unknown)),
            Just(Step::Fail(Reason::PaidInvalid)),
            Just(Step::Fail(Reason::PaidLost)),
            Just(Step::Undo),
            Just(Step::Lose),
        ]
    }

    proptest! {
        #[test]
        fn every_walk_ends_and_stays_ended(steps in proptest::collection::vec(any_step(), 0..40)) {
            let mut state = State::Drawing;
            let mut stored = false;
            let mut moves = 0;
            for step in steps {
                let Some(next) = state.after(step) else { continue };
                prop_assert!(!matches!(state, State::Done | State::Failed), "nothing leaves {state:?}");
                prop_assert!(next != State::Done || state == State::Storing, "done only after storing");
                prop_assert!(!(stored && step.reason().is_some_and(|reason| reason != Reason::PaidLost)), "what was stored is lost or done");
                stored |= next == State::Storing;
                moves += 1;
                state = next;
            }
            prop_assert!(moves <= 3, "no way round");
        }

        #[test]
        fn names_are_read_again(index in 0..State::ALL.len()) {
            let state = State::ALL[index];
            prop_assert_eq!(State::named(state.name()), Some(state));
        }
    }
}
