//! All routes as one matcher, and the decision it takes for a request.
//!
//! Of the routes that take a request, the one whose path says most about it wins: segment by segment from the left, text
//! before a parameter before a catch-all. Where paths say equally much, the more exact host wins, then named methods over
//! any, then the conditions that ask for all that the other's do and more.
//!
//! Two routes that could both take a request with neither to win it are an error.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::{Arm, Mode, Reason, Route, assignment, host, paths::Paths, precedence::admits};

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
    /// Why that one.
    pub reason: Reason,
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

/// An immutable table of routes, in which at most one route wins any request.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
    paths: Paths,
}

impl Table {
    /// Builds the matcher; every tie is reported.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<Conflict>> {
        let (paths, ties) = Paths::new(&routes);
        let conflicts: Vec<_> = ties
            .into_iter()
            .filter_map(|(a, b)| Some((routes.get(a)?, routes.get(b)?)))
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

    /// Whether some route is about `path` and `method`, whatever it asks of a host or of headers.
    pub fn names(&self, method: &Method, path: &str) -> bool {
        self.routes.iter().any(|route| {
            (route.methods.is_empty() || route.methods.contains(method)) && route.path.takes(path)
        })
    }

    /// The routes, to be held or let go; what they take must stay as it is.
    pub(super) fn routes_mut(&mut self) -> impl Iterator<Item = &mut Route> {
        self.routes.iter_mut()
    }

    /// The decision for a request, or `None` where no route takes it.
    pub fn decide<'t>(&'t self, head: &Head<'t>) -> Option<Decision<'t>> {
        let (index, route) = self
            .paths
            .at(head.path, host::bare(head.host))
            .filter_map(|index| Some((index, self.routes.get(index)?)))
            .find(|(_, route)| admits(route, head))?;
        let subject = route.subject.as_ref().and_then(|subject| subject.of(head));
        let mode = route.effective_mode();
        let (arm, reason) = assignment::arm(route, mode, subject);
        Some(Decision { index, route, mode, arm, reason, subject })
    }
}

#[cfg(test)]
pub(super) mod tests;
