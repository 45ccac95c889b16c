//! What a catalog keeps, as values: claims, jobs, and the news of jobs that somebody waits to be told.

use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    generator::{
        budget::Reservation,
        digest::Digest,
        money::Usd,
        order::Size,
        provider::Receipt,
        state::{Reason, Standing, State, Step},
    },
    routing::Arm,
};

/// Who works on a job: a gateway, which is a data folder, and one of its boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Owner {
    /// The data folder, where a spool of the job would be.
    pub(crate) gateway: Uuid,
    /// The process.
    pub(crate) boot: Uuid,
}

impl Owner {
    /// Reads what `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (gateway, boot) = text.split_once('/')?;
        Some(Self { gateway: Uuid::try_parse(gateway).ok()?, boot: Uuid::try_parse(boot).ok()? })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.gateway.hyphenated(), self.boot.hyphenated())
    }
}

/// One image of a job, as the record names it before the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Its stored name.
    pub(crate) name: String,
    /// What its bytes are.
    pub(crate) media_type: String,
    /// How many bytes.
    pub(crate) bytes: u64,
    /// Their hash.
    pub(crate) sha256: Digest,
}

/// Whose key, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClaimKey {
    /// The route, and the tenant's hash behind a `/` where there is a tenant.
    pub(crate) scope: String,
    /// The client's key, or a fresh one.
    pub(crate) key: String,
}

/// Who took a key first, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The arm that the key stays with.
    pub(crate) arm: Arm,
    /// Its job; a key that only has its arm has none.
    pub(crate) job: Option<Uuid>,
    /// Hash of what was asked.
    pub(crate) request: Option<Digest>,
}

impl Claim {
    /// Whether it makes room for another: it only has its arm, or its job is the one that is replaced.
    pub(crate) fn gives_way(&self, replaces: Option<Uuid>) -> bool {
        self.arm == Arm::Candidate && (self.job.is_none() || self.job == replaces)
    }
}

/// A claim and its job, before either exists.
#[derive(Clone, Debug)]
pub(crate) struct NewJob {
    /// A `UUIDv7` of its own.
    pub(crate) id: Uuid,
    /// What it is claimed by.
    pub(crate) claim: ClaimKey,
    /// The job that refused, whose claim this one takes over.
    pub(crate) replaces: Option<Uuid>,
    /// Hash of what was asked.
    pub(crate) request: Digest,
    /// When the claim may be forgotten.
    pub(crate) claim_expires: SystemTime,
    /// `accepted` or `drawing`.
    pub(crate) state: State,
    /// The route's name.
    pub(crate) route: String,
    /// Whose it is: the hash of the tenant.
    pub(crate) tenant: Option<Digest>,
    /// Whose it is where there is no tenant: the hash of the route's subject.
    pub(crate) subject: Option<Digest>,
    /// Who draws.
    pub(crate) provider: &'static str,
    /// With what.
    pub(crate) model: String,
    /// Hash of the prompt.
    pub(crate) prompt_sha256: Digest,
    /// Length of the prompt in characters.
    pub(crate) prompt_chars: usize,
    /// The prompt, where it may be kept.
    pub(crate) prompt: Option<String>,
    /// How many images.
    pub(crate) count: u32,
    /// How large.
    pub(crate) size: Size,
    /// The order itself, for whoever starts an accepted job; forgotten as soon as it is started.
    pub(crate) ordered: Option<String>,
    /// What the monolith is to be told with, where it is to be told: it makes every end of the job news.
    pub(crate) notify: Option<String>,
    /// What it may cost, and when.
    pub(crate) reserved: Reservation,
    /// The most that all jobs of that day may cost.
    pub(crate) daily_budget: Option<Usd>,
    /// Which boot does the work.
    pub(crate) owner: Owner,
    /// Now.
    pub(crate) at: SystemTime,
}

impl NewJob {
    /// What its first transition is conditional on.
    pub(crate) fn lease(&self) -> Lease {
        Lease {
            job: self.id,
            standing: self.state.into(),
            owner: self.owner,
            fence: 0,
            reserved: self.reserved,
        }
    }
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// Claim, job and reservation are written.
    New(Lease),
    /// The key is taken.
    Held(Claim),
    /// The day's budget does not have it; nothing is written.
    OverBudget,
}

/// What a transition is conditional on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// The job.
    pub(crate) job: Uuid,
    /// Where it stands.
    pub(crate) standing: Standing,
    /// Whose it is.
    pub(crate) owner: Owner,
    /// How often it changed hands.
    pub(crate) fence: u64,
    /// What it may cost; never changes.
    pub(crate) reserved: Reservation,
}

impl Lease {
    /// As it will be after `step`; `None` where that may not be taken.
    pub(crate) fn after(self, step: Step) -> Option<Self> {
        self.standing.after(step).map(|standing| Self { standing, ..self })
    }

    /// As it is for `owner` when the one that it names is gone; `None` where there is nothing to take. A job in
    /// `drawing` is given up and stays its owner's, who may still get the bytes.
    pub(crate) fn taken_over(self, owner: Owner) -> Option<Self> {
        match self.standing.state {
            State::Drawing => self.after(Step::Fail(Reason::Unknown)),
            state if state.is_open() => Some(Self { owner, fence: self.fence.saturating_add(1), ..self }),
            _ => None,
        }
    }
}

/// An open job as a janitor sees it: the same twice, `lease` apart, and its owner is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What taking it over is conditional on.
    pub(crate) lease: Lease,
    /// The owner's sign of life.
    pub(crate) beat: u64,
}

/// A job as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// What a transition from here is conditional on.
    pub(crate) lease: Lease,
    /// The owner's sign of life.
    pub(crate) beat: u64,
    /// The route's name.
    pub(crate) route: String,
    /// Whose it is: the hash of the tenant.
    pub(crate) tenant: Option<Digest>,
    /// Who draws, and with what.
    pub(crate) provider: String,
    /// With what.
    pub(crate) model: String,
    /// Hash of the prompt.
    pub(crate) prompt_sha256: Digest,
    /// The prompt, where it was kept.
    pub(crate) prompt: Option<String>,
    /// How many images were ordered.
    pub(crate) count: u32,
    /// How large.
    pub(crate) size: Size,
    /// The order, while the job is accepted.
    pub(crate) ordered: Option<String>,
    /// What the monolith is to be told with.
    pub(crate) notify: Option<String>,
    /// What the provider said besides.
    pub(crate) receipt: Receipt,
    /// When it was claimed.
    pub(crate) created: SystemTime,
    /// When it last moved.
    pub(crate) updated: SystemTime,
    /// Its images, in order; none before `storing`.
    pub(crate) objects: Vec<Object>,
}

/// A step with what it carries.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    /// [`Step::Start`].
    Start,
    /// [`Step::Store`].
    Store(Vec<Object>, Receipt),
    /// [`Step::Commit`].
    Commit,
    /// [`Step::Fail`]: what was paid all the same is in the receipt.
    Fail(Reason, Receipt),
    /// [`Step::HandOver`].
    HandOver,
    /// [`Step::Undo`].
    Undo,
    /// [`Step::Lose`].
    Lose,
}

impl Transition {
    /// What the pure machine knows of it.
    pub(crate) fn step(&self) -> Step {
        match self {
            Self::Start => Step::Start,
            Self::Store(..) => Step::Store,
            Self::Commit => Step::Commit,
            Self::Fail(reason, _) => Step::Fail(*reason),
            Self::HandOver => Step::HandOver,
            Self::Undo => Step::Undo,
            Self::Lose => Step::Lose,
        }
    }

    /// What the provider said, where this step learned it.
    pub(crate) fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Store(_, receipt) | Self::Fail(_, receipt) => Some(receipt),
            Self::Start | Self::Commit | Self::HandOver | Self::Undo | Self::Lose => None,
        }
    }

    /// What the day's budget held before and holds after this step from `from`. Once a job is `storing`, nothing
    /// changes any more, so that the cost recorded then need not be known here.
    pub(crate) fn spent(&self, from: &Lease, to: &Lease) -> (Usd, Usd) {
        let reserved = from.reserved.usd;
        match self.receipt() {
            None if self.step() != Step::HandOver => (reserved, reserved),
            receipt => {
                let cost = receipt.and_then(|receipt| receipt.cost);
                (from.standing.spent(reserved, None), to.standing.spent(reserved, cost))
            }
        }
    }
}

/// What came of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// It happened; the next one is conditional on this.
    Moved(Lease),
    /// The record is elsewhere: another state, owner or fence. The record says where.
    Refused,
}

/// News of a job that the monolith waits for. Written by the step that makes it, in one transaction with it; what is
/// told is the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// The job.
    pub(crate) job: Uuid,
    /// What it tells: the state that the job came to.
    pub(crate) news: State,
    /// Why, where it failed.
    pub(crate) reason: Option<Reason>,
    /// Times that it was sent in vain.
    pub(crate) tries: u32,
    /// Since when it has been refused each time.
    pub(crate) refused: Option<SystemTime>,
    /// When it was written.
    pub(crate) written: SystemTime,
}

impl Letter {
    /// Whether its job has no other news, ever: of what nobody knows, something may come to light.
    pub(crate) fn is_last(&self) -> bool {
        self.reason != Some(Reason::Unknown)
    }
}

/// Which of the letters that are due come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// Those that have become due last.
    Latest,
    /// Those that have been due for longest.
    Longest,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It was taken. What the job carries to be told goes with the last one.
    Delivered,
    /// Not yet.
    Again {
        /// When it is to be sent again.
        due: SystemTime,
        /// Since when it has been refused each time.
        refused: Option<SystemTime>,
    },
    /// It will not be sent again; a person has to look.
    Dead,
}
