//! The states of a job, which step leads from which to which, and what each means to whoever meets it: the janitor, the
//! same key again, the day's budget. Nothing here does anything.
//!
//! ```text
//! (accepted) -> drawing -> storing -> done
//!     |            |  ^       |
//!     |            |  |       +-> undoing -> failed(paid-lost)
//!     +------------+--|--> failed(refused) <-+
//!                  +--+--> failed(unknown) --+-> storing
//!                  +-----> failed(paid-invalid)
//!                  +-----> handed-over
//! ```

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};

use super::money::Usd;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    /// Promised to a client that does not wait; nothing was called.
    Accepted,
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
    /// Over: the monolith answers instead.
    HandedOver,
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// A state, and why where it is `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Standing {
    /// Where.
    pub(crate) state: State,
    /// Why; of `failed` alone.
    pub(crate) reason: Option<Reason>,
}

/// One transition, without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The provider is about to be called.
    Start,
    /// The images are in the spool.
    Store,
    /// The images are in the store.
    Commit,
    /// There will be no images.
    Fail(Reason),
    /// Nothing was charged, and the monolith is about to be asked.
    HandOver,
    /// Neither store nor spool has them.
    Undo,
    /// What was left of them is deleted.
    Lose,
}

/// What becomes of a request whose key was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The job runs: wait for it.
    Running,
    /// The stored answer.
    Replay,
    /// The stored error; never a new call.
    SameError(Reason),
    /// Nothing was charged: a new job under the same key.
    NewJob,
    /// The key is the monolith's.
    Monolith,
}

/// What a janitor does with a job whose owner is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Starts it: nothing was called.
    Start,
    /// Gives it up as unknown, and never calls again. It stays its owner's, who may still get the bytes.
    GiveUp,
    /// Looks for its objects in store and spool, and goes forward where they are.
    Forward,
    /// Deletes again.
    Delete,
    /// Nothing: it is over.
    Nothing,
}

impl State {
    /// Every state.
    pub(crate) const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Drawing,
        Self::Storing,
        Self::Done,
        Self::Undoing,
        Self::Failed,
        Self::HandedOver,
    ];

    /// As it is written down.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Drawing => "drawing",
            Self::Storing => "storing",
            Self::Done => "done",
            Self::Undoing => "undoing",
            Self::Failed => "failed",
            Self::HandedOver => "handed-over",
        }
    }

    /// Reads [`name`](Self::name).
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether somebody has to move it on.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Accepted | Self::Drawing | Self::Storing | Self::Undoing)
    }

    /// What a janitor does here.
    pub(crate) fn care(self) -> Care {
        match self {
            Self::Accepted => Care::Start,
            Self::Drawing => Care::GiveUp,
            Self::Storing => Care::Forward,
            Self::Undoing => Care::Delete,
            Self::Done | Self::Failed | Self::HandedOver => Care::Nothing,
        }
    }
}

impl Reason {
    /// Every reason.
    pub(crate) const ALL: [Self; 4] = [Self::Refused, Self::Unknown, Self::PaidInvalid, Self::PaidLost];

    /// As it is written down.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::PaidInvalid => "paid-invalid",
            Self::PaidLost => "paid-lost",
        }
    }

    /// Reads [`name`](Self::name).
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl From<State> for Standing {
    fn from(state: State) -> Self {
        Self { state, reason: None }
    }
}

impl Standing {
    /// `failed` for this reason.
    pub(crate) const fn failed(reason: Reason) -> Self {
        Self { state: State::Failed, reason: Some(reason) }
    }

    /// Where `step` leads from here; `None` where it may not be taken.
    pub(crate) fn after(self, step: Step) -> Option<Self> {
        let failed = |reason| Some(Self::failed(reason));
        match (self.state, step) {
            (State::Accepted, Step::Start) => Some(State::Drawing.into()),
            (State::Accepted | State::Drawing, Step::Fail(Reason::Refused)) => failed(Reason::Refused),
            (State::Drawing, Step::Fail(reason @ (Reason::Unknown | Reason::PaidInvalid))) => failed(reason),
            (State::Drawing, Step::HandOver) => Some(State::HandedOver.into()),
            (State::Drawing, Step::Store) => Some(State::Storing.into()),
            // Its owner, who was taken for dead, knows: the bytes came after all, or nothing was paid.
            (State::Failed, Step::Store) if self.reason == Some(Reason::Unknown) => {
                Some(State::Storing.into())
            }
            (State::Failed, Step::Fail(Reason::Refused)) if self.reason == Some(Reason::Unknown) => {
                failed(Reason::Refused)
            }
            (State::Storing, Step::Commit) => Some(State::Done.into()),
            (State::Storing, Step::Undo) => Some(State::Undoing.into()),
            (State::Undoing, Step::Lose) => failed(Reason::PaidLost),
            _ => None,
        }
    }

    /// What becomes of another request with the job's key.
    pub(crate) fn again(self) -> Again {
        match (self.state, self.reason) {
            (State::Accepted | State::Drawing | State::Storing | State::Undoing, _) => Again::Running,
            (State::Done, _) => Again::Replay,
            (State::HandedOver, _) => Again::Monolith,
            (State::Failed, Some(Reason::Refused)) => Again::NewJob,
            (State::Failed, reason) => Again::SameError(reason.unwrap_or(Reason::Unknown)),
        }
    }

    /// What the budget of its day holds for a job of this reservation, whose answer had this cost. What nobody knows
    /// stays spent.
    pub(crate) fn spent(self, reserved: Usd, cost: Option<Usd>) -> Usd {
        match (self.state, self.reason) {
            (State::HandedOver, _) | (State::Failed, Some(Reason::Refused)) => Usd::ZERO,
            (State::Accepted | State::Drawing, _) | (State::Failed, Some(Reason::Unknown) | None) => reserved,
            (State::Storing | State::Done | State::Undoing, _)
            | (State::Failed, Some(Reason::PaidInvalid | Reason::PaidLost)) => cost.unwrap_or(reserved),
        }
    }
}

impl Step {
    /// Every step.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::Start,
        Self::Store,
        Self::Commit,
        Self::Fail(Reason::Refused),
        Self::Fail(Reason::Unknown),
        Self::Fail(Reason::PaidInvalid),
        Self::Fail(Reason::PaidLost),
        Self::HandOver,
        Self::Undo,
        Self::Lose,
    ];
}
