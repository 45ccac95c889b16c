//! The record of one pair: what each arm answered, where they disagreed, and whether it counts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

pub mod words;

/// One sampled request. Every sampled request leaves exactly one, whatever became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// `UUIDv7`, the order of arrival.
    pub id: Uuid,
    /// When the request was sampled.
    pub at: Timestamp,
    /// Which gateway process.
    pub gateway: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
    /// What the answers depend on, hashed.
    pub epoch: Arc<str>,
    /// Which way the pair was run.
    pub direction: Direction,
    /// Size, n and model of the request, as `1024x1024/1/local`; `-` where the contract does not say.
    pub stratum: String,
    /// The rate at which it was sampled.
    pub sample_rate: f64,
    /// Keyed hash of the subject; `None` is the shared anonymous subject.
    pub subject: Option<String>,
    /// Keyed hash of method, target and body.
    pub request: String,
    /// What the control answered.
    pub control: ArmRecord,
    /// What the candidate answered; `None` where it was never called.
    pub candidate: Option<ArmRecord>,
    /// What came of it.
    pub class: Class,
    /// What a person must see before this route walks on.
    pub alarms: Vec<Alarm>,
    /// Every path at which the arms disagree.
    pub differences: Vec<Difference>,
    /// Every image that was judged.
    pub images: Vec<ImageRecord>,
    /// The rules that spoke for a path of it, by theirs.
    pub rules: Vec<String>,
}

/// Which way a pair was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The user got the control's answer.
    Shadow,
    /// The user got the candidate's answer.
    Reverse,
    /// A stored control against today's candidate: never counts.
    Replay,
    /// The control asked twice, to learn its noise.
    ControlRepeat,
    /// The control alone.
    Learn,
}

impl Direction {
    /// Whether its pairs are of the evidence: no preview is, and no repeat.
    pub fn counts(self) -> bool {
        matches!(self, Self::Shadow | Self::Reverse)
    }
}

/// One arm's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmRecord {
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status, where there was one.
    pub status: Option<u16>,
    /// Time to the first byte of the head.
    pub first_byte: Option<Duration>,
    /// Time to the last byte.
    pub total: Option<Duration>,
    /// Bytes of the body.
    pub bytes: u64,
    /// `Content-Type` without parameters.
    pub media_type: Option<String>,
    /// SHA-256 of the body, hex.
    pub body_hash: Option<String>,
    /// What it cost, in US dollars; `None` where nobody knows.
    pub cost_usd: Option<f64>,
}

/// How an arm ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 2xx or 3xx.
    Ok,
    /// A refusal that is part of the contract: 400, 402, 403, 413, 422.
    Refused,
    /// Any other status.
    HttpError,
    /// Too late.
    Timeout,
    /// No answer, or a broken one.
    Transport,
    /// The candidate panicked.
    Panic,
    /// More than `max_body`.
    TooLarge,
    /// Not called: the budget was used up.
    SkippedBudget,
    /// Not called: too many pairs were waiting.
    SkippedQueue,
    /// Not called: the control was not ok.
    SkippedControl,
}

/// What came of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A trial without a difference that counts.
    Match,
    /// A trial whose differences a rule expects.
    Expected,
    /// A failed trial: the arms disagree.
    Mismatch,
    /// A failed trial: control ok, candidate not.
    CandidateFailed,
    /// No trial: the control was not ok; or refused, while its noise was to be learned.
    ControlFailed,
    /// No trial: a body was too large, or cut.
    Incomparable,
    /// No trial: never run.
    Skipped(Skip),
    /// No trial: the control alone, to learn its noise.
    Calibration,
    /// No trial: its subject has had its share.
    DuplicateSubject,
}

/// Why a sampled pair was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// Too many pairs were waiting.
    Queue,
    /// The tee lagged behind the user, or the plane that called the candidate behind its times.
    Lagged,
    /// The budget was used up.
    Budget,
    /// So many candidates had been called in this minute already.
    Rate,
    /// The control refused, and a candidate with a price is not called for strangers.
    Control,
    /// The client left before the control had answered.
    ClientGone,
    /// The gateway was shutting down.
    Shutdown,
}

/// What a person must see before this route walks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// An image has other dimensions than were asked for.
    WrongSize,
    /// More or fewer images than were asked for.
    WrongCount,
    /// An image is blank where the control's is not.
    Blank,
    /// The candidate's image is the control's, byte for byte.
    CopyOfControl,
    /// The candidate panicked.
    Panic,
    /// The candidate's image is one of another subject's.
    OtherSubject,
    /// The candidate's answer holds a key or a credential that the control's does not.
    Secret,
}

/// One path at which the arms disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `status`, `header:content-type`, `/data/*/url`, `image:0`.
    pub path: String,
    /// What kind of disagreement.
    pub kind: DifferenceKind,
    /// The control's side, redacted and cut at 256 bytes.
    pub control: Option<String>,
    /// The candidate's side, likewise.
    pub candidate: Option<String>,
    /// Whether it fails the trial.
    pub severity: Severity,
    /// The rule that applied, by its path.
    pub rule: Option<String>,
}

/// What kind of disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Status codes.
    Status,
    /// A contractual header.
    Header,
    /// Only the control has it.
    Missing,
    /// Only the candidate has it.
    Extra,
    /// JSON types.
    Type,
    /// Same type, another class of value.
    Shape,
    /// Same class, another value.
    Value,
    /// Same elements, another order.
    Order,
    /// Another number of elements.
    Length,
    /// An image's properties.
    Image,
}

/// Whether a difference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Info,
    /// Expected by a rule.
    Expected,
    /// Fails the trial.
    Failure,
}

/// One judged image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRecord {
    /// True for the candidate's arm.
    pub candidate: bool,
    /// Its place in the answer.
    pub index: usize,
    /// `body`, `base64`, `url` or `name`.
    pub delivery: String,
    /// Type by its bytes.
    pub sniffed: Option<String>,
    /// Type by what was claimed.
    pub declared: Option<String>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `l8`, `la8`, `rgb8`, `rgba8`, ...
    pub color: String,
    /// Encoded bytes.
    pub bytes: u64,
    /// Whether it decodes to its end.
    pub decodes: bool,
    /// Bits of luma entropy.
    pub entropy: f64,
    /// Standard deviation of luma.
    pub luma_deviation: f64,
    /// Share of the commonest colour.
    pub dominant: f64,
    /// SHA-256 of the encoded bytes, hex.
    pub hash: String,
    /// Whether it can be seen through.
    pub alpha: bool,
    /// How it is to be turned, by its EXIF: `notransforms`, `rotate90`, ...
    pub orientation: String,
    /// How far a pixel's luma tells those of its neighbours: 0 of noise.
    pub correlation: f64,
    /// Near for pictures that look alike: 64 bits of brighter or darker than the neighbour.
    pub difference_hash: Option<u64>,
    /// A small JPEG of it, where it decodes: kept with the pair's bodies, for as long as they are.
    pub thumbnail: Option<Bytes>,
}
