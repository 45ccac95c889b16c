//! One entry of `routes.toml` as a value: what it matches, its mode, and who its two arms are.

use std::{fmt, sync::Arc, time::Duration};

use http::Method;

use super::{Brake, Condition, Host, Pattern};

/// How far a route has walked from the monolith to its candidate. Ordered: a brake can only lower it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The monolith answers; nothing else happens.
    Monolith,
    /// The monolith answers and is recorded alone, to propose the route's settings.
    Learn,
    /// The monolith answers; a sample also runs on the candidate, and the answers are compared.
    Shadow,
    /// A stable share of subjects is answered by the candidate.
    Canary,
    /// The candidate answers.
    Migrated,
}

impl Mode {
    /// Every mode, from the monolith to the candidate.
    pub const ALL: [Self; 5] = [Self::Monolith, Self::Learn, Self::Shadow, Self::Canary, Self::Migrated];

    /// As in `routes.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monolith => "monolith",
            Self::Learn => "learn",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Migrated => "migrated",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the two arms answers the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The monolith, or the upstream that the route names in its place.
    Control,
    /// What is to replace it.
    Candidate,
}

impl Arm {
    /// As records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Candidate => "candidate",
        }
    }
}

/// Who the candidate arm is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// The generator in this binary.
    Generator,
    /// A named upstream.
    Upstream(Arc<str>),
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator => f.write_str("generator"),
            Self::Upstream(name) => f.write_str(name),
        }
    }
}

/// Who a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The value of this cookie.
    Cookie(Box<str>),
    /// The value of this header.
    Header(http::HeaderName),
    /// The client's address, behind trusted proxies.
    ClientIp,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::ClientIp => f.write_str("client-ip"),
        }
    }
}

/// A share of a whole, held in millionths so that it is exact and ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u32);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// From a fraction in `0.0..=1.0`; `None` outside it.
    pub fn from_fraction(fraction: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in 0..=1_000_000 by the check"
        )]
        (0.0..=1.0).contains(&fraction).then(|| Self((fraction * 1e6).round() as u32))
    }

    /// Where `position` of `0..=u64::MAX` lies on the scale, rounded down: uniform if it is.
    pub(super) fn from_position(position: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "below 1_000_000 by the shift")]
        Self(((u128::from(position) * 1_000_000) >> 64) as u32)
    }

    /// As a fraction in `0.0..=1.0`.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// In percent, `0.0..=100.0`.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 1e4
    }
}

/// Which subjects a canary takes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Canary {
    /// Share of subjects.
    pub share: Share,
    /// Subjects always on the candidate.
    pub allow: Vec<Box<str>>,
    /// Subjects never on it; wins over `allow`.
    pub deny: Vec<Box<str>>,
}

/// Whether the monolith may answer when the candidate failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Where nothing can have been charged and no byte was sent.
    WhenSafe,
    /// Never.
    Never,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhenSafe => "when-safe",
            Self::Never => "never",
        })
    }
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique, of `a-z 0-9 -`.
    pub name: Arc<str>,
    /// Its line in `routes.toml`, for explanations.
    pub line: usize,
    /// Methods it takes; empty is any.
    pub methods: Vec<Method>,
    /// Matched on the raw bytes of the path.
    pub path: Pattern,
    /// Hosts it takes.
    pub host: Host,
    /// What else it asks of a request; no two of one field.
    pub conditions: Vec<Condition>,
    /// The file's mode.
    pub mode: Mode,
    /// What holds it lower, where anything does.
    pub brake: Option<Arc<Brake>>,
    /// The candidate arm.
    pub candidate: Candidate,
    /// The upstream that is the control arm.
    pub control: Arc<str>,
    /// Who a request belongs to.
    pub subject: Option<Subject>,
    /// Canary assignment.
    pub canary: Canary,
    /// May the monolith answer for a failed candidate?
    pub fallback: Fallback,
    /// Limit of the whole exchange.
    pub timeout: Option<Duration>,
}

impl Route {
    /// The mode in force: the lower of the file's and the brake's.
    pub fn effective_mode(&self) -> Mode {
        self.brake.as_ref().map_or(self.mode, |brake| self.mode.min(brake.at.mode()))
    }

    /// What it takes, as `POST /api/images`, or `GET *.example.com/img/{id} with headers.x-beta = "1"`.
    pub fn takes(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() { "*".to_owned() } else { methods.join("|") };
        let host = if self.host == Host::Any { String::new() } else { self.host.to_string() };
        let takes = format!("{methods} {host}{}", self.path);
        self.conditions.iter().enumerate().fold(takes, |takes, (nth, condition)| {
            format!("{takes}{}{condition}", if nth == 0 { " with " } else { ", " })
        })
    }
}
