//! All routes as one matcher, and the decision it takes for a request.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::{Arm, Mode, Route, assignment, paths::Paths};

/// What routing looks at: the head, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host, as sent; may carry a port and any case.
    pub host: &'a str,
    /// The path's raw bytes, without the query.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: Option<&'a str>,
    /// The fields.
    pub headers: &'a HeaderMap,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
}

/// What is to happen with a request that a route takes.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'t> {
    /// The route's place in the table; per-route settings of other modules stand at the same place.
    pub index: usize,
    /// The route.
    pub route: &'t Route,
    /// The mode in force.
    pub mode: Mode,
    /// Who answers.
    pub arm: Arm,
    /// The subject's raw value, where the route names one and the request carries it.
    pub subject: Option<SubjectValue<'t>>,
}

/// The raw value of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectValue<'t> {
    /// Text of a cookie or header.
    Bytes(&'t [u8]),
    /// An address.
    Address(IpAddr),
}

/// Two routes that could both take a request, with neither more specific.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Name and line of the one that stands first.
    pub first: (String, usize),
    /// Name and line of the other.
    pub second: (String, usize),
}

/// An immutable table of routes.
///
/// Of the routes that take a request, the one whose path says most about it wins: segment by segment from the left,
/// text before a parameter before a catch-all. Where paths say equally much, a named host wins over any, then named
/// methods over any.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
    paths: Paths,
}

impl Table {
    /// Builds the matcher; every tie is reported.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<Conflict>> {
        let (paths, equal_pairs) = Paths::new(&routes, rank);
        let conflicts: Vec<_> = equal_pairs
            .into_iter()
            .filter_map(|(a, b)| Some((routes.get(a)?, routes.get(b)?)))
            .filter(|(first, second)| tie(first, second))
            .map(|(first, second)| Conflict {
                first: (first.name.to_string(), first.line),
                second: (second.name.to_string(), second.line),
            })
            .collect();
        if conflicts.is_empty() { Ok(Self { routes, paths }) } else { Err(conflicts) }
    }

    /// The routes, in the file's order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The routes, to be held or let go; what they take must stay as it is.
    pub(super) fn routes_mut(&mut self) -> impl Iterator<Item = &mut Route> {
        self.routes.iter_mut()
    }

    /// The decision for a request, or `None` where no route takes it.
    pub fn decide<'t>(&'t self, head: &Head<'t>) -> Option<Decision<'t>> {
        let host = bare_host(head.host);
        let (index, route) = self
            .paths
            .at(head.path)
            .filter_map(|index| Some((index, self.routes.get(index)?)))
            .find(|(_, route)| admits(route, head.method, host))?;
        let subject = route.subject.as_ref().and_then(|subject| subject.of(head));
        let mode = route.effective_mode();
        Some(Decision { index, route, mode, arm: assignment::arm(route, mode, subject), subject })
    }
}

/// Whether a route whose path fits takes the request.
fn admits(route: &Route, method: &Method, host: &str) -> bool {
    (route.methods.is_empty() || route.methods.contains(method))
        && route.host.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
}

/// Orders the routes on one path, the most specific first.
fn rank(route: &Route) -> impl Ord + use<> {
    (route.host.is_none(), route.methods.is_empty())
}

/// Whether one request could be taken by either, though neither says more: their paths are known to be equal in that.
fn tie(a: &Route, b: &Route) -> bool {
    let share_a_method = match (a.methods.is_empty(), b.methods.is_empty()) {
        (true, true) => true,
        (false, false) => a.methods.iter().any(|method| b.methods.contains(method)),
        (true, false) | (false, true) => false,
    };
    share_a_method && a.host == b.host
}

/// The host without its port and without the root's dot.
fn bare_host(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
pub(super) mod tests;
