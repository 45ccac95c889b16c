//! Routes that did not take a request and could have been meant to.

use std::{cmp::Reverse, fmt};

use crate::routing::{Condition, Decision, Head, Pattern, Route, Table, host, precedence};

/// More than these are only counted.
const SHOWN: usize = 8;

/// A route that did not take the request.
#[derive(Clone, Debug)]
pub struct NearMiss<'t> {
    /// Which.
    pub route: &'t Route,
    /// What stood against it; all of it.
    pub because: Miss<'t>,
}

/// Why a route did not take a request.
#[derive(Clone, Debug)]
pub enum Miss<'t> {
    /// It would have, but this one wins, and so it says.
    Outranked {
        /// The winner.
        by: &'t Route,
        /// What the winner says more about.
        says_more: &'static str,
    },
    /// The request lacks this.
    Lacks(Vec<Lack<'t>>),
}

/// What a request lacks to be a route's.
#[derive(Clone, Debug)]
pub enum Lack<'t> {
    /// One of the route's methods.
    Method(&'t Route),
    /// One of the route's hosts.
    Host(&'t Route),
    /// A path that fits but for a slash at its end.
    Slash,
    /// A path that fits but for upper and lower case.
    Case,
    /// A path that fits but for percent-encoding.
    Encoding,
    /// A path that fits beyond this segment, from 1.
    Segment(usize),
    /// A value that passes the route's condition.
    Condition {
        /// What it asks.
        asked: &'t Condition,
        /// The value that came, if any did.
        found: Option<String>,
    },
}

/// All near misses that are shown, and how many more there are.
pub(super) fn misses<'t>(
    table: &'t Table,
    head: &Head<'t>,
    decision: Option<&Decision<'t>>,
) -> (Vec<NearMiss<'t>>, usize) {
    let winner = decision.map(|decision| decision.index);
    let others = table.routes().iter().enumerate().filter(|(place, _)| Some(*place) != winner);
    let mut near: Vec<_> =
        others.filter_map(|(_, route)| miss(route, head, decision.map(|decision| decision.route))).collect();
    near.sort_by_key(|(nearness, _)| Reverse(*nearness));
    let more = near.len().saturating_sub(SHOWN);
    (near.into_iter().take(SHOWN).map(|(_, miss)| miss).collect(), more)
}

/// How near a route is: what it lacks least, then how far its path agrees.
type Nearness = (Reverse<usize>, usize);

fn miss<'t>(
    route: &'t Route,
    head: &Head<'t>,
    winner: Option<&'t Route>,
) -> Option<(Nearness, NearMiss<'t>)> {
    let path = lack_of_path(&route.path, head.path);
    let agreeing = match path {
        // A path that has only its beginning in common is another one, unless that beginning says something.
        Some(Lack::Segment(1)) => return None,
        Some(Lack::Segment(at)) => at,
        _ => usize::MAX,
    };
    let method = !route.methods.is_empty() && !route.methods.contains(head.method);
    let host = !route.host.takes(host::bare(head.host));
    let conditions = route.conditions.iter().filter(|condition| !condition.holds(head)).map(|asked| {
        let found = asked.field.of(head).map(|value| String::from_utf8_lossy(value).into_owned());
        Lack::Condition { asked, found }
    });
    let lacks: Vec<_> = path
        .into_iter()
        .chain(method.then_some(Lack::Method(route)))
        .chain(host.then_some(Lack::Host(route)))
        .chain(conditions)
        .collect();
    let nearness = (Reverse(lacks.len()), agreeing);
    let because = match winner {
        Some(by) if lacks.is_empty() => Miss::Outranked { by, says_more: says_more(by, route) },
        _ => Miss::Lacks(lacks),
    };
    Some((nearness, NearMiss { route, because }))
}

fn lack_of_path<'t>(pattern: &Pattern, path: &str) -> Option<Lack<'t>> {
    if pattern.takes(path) {
        return None;
    }
    let other_slash = path.strip_suffix('/').map_or_else(|| format!("{path}/"), ToOwned::to_owned);
    let lower = Pattern::new(&pattern.as_str().to_ascii_lowercase());
    Some(if pattern.takes(&other_slash) {
        Lack::Slash
    } else if lower.is_ok_and(|lower| lower.takes(&path.to_ascii_lowercase())) {
        Lack::Case
    } else if decoded(path).is_some_and(|path| pattern.takes(&path)) {
        Lack::Encoding
    } else {
        Lack::Segment(1 + pattern.agreeing(path))
    })
}

/// `path` with its percent-encoding undone; `None` where there is none, or the result is not text.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, after) = after.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    (rest.len() < path.len()).then(|| String::from_utf8(bytes).ok())?
}

fn says_more(winner: &Route, loser: &Route) -> &'static str {
    if winner.path.specificity(&loser.path).is_lt() {
        "the path"
    } else if winner.host != loser.host {
        "the host"
    } else if winner.methods.is_empty() != loser.methods.is_empty() {
        "the method"
    } else {
        debug_assert!(precedence::rank(winner) < precedence::rank(loser), "the table has no ties");
        "headers, cookies or query"
    }
}

impl fmt::Display for Lack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(route) => {
                let methods: Vec<_> = route.methods.iter().map(http::Method::as_str).collect();
                write!(f, "method: it takes {}", methods.join(", "))
            }
            Self::Host(route) => write!(f, "host: it takes {}", route.host),
            Self::Slash => f.write_str("path: only the slash at the end differs"),
            Self::Case => f.write_str("path: only upper and lower case differ"),
            Self::Encoding => {
                f.write_str("path: only the percent-encoding differs; paths are matched as they come")
            }
            Self::Segment(at) => write!(f, "path: it differs at segment {at}"),
            Self::Condition { asked, found: Some(found) } => write!(f, "{asked}, and here it is {found:?}"),
            Self::Condition { asked, found: None } => write!(f, "{asked}, and here there is none"),
        }
    }
}

impl fmt::Display for Miss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outranked { by, says_more } => write!(f, "{} says more about {says_more}", by.name),
            Self::Lacks(lacks) => lacks.iter().enumerate().try_for_each(|(nth, lack)| {
                if nth > 0 {
                    f.write_str("; ")?;
                }
                lack.fmt(f)
            }),
        }
    }
}
