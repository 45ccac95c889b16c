//! All routes as one matcher, and the decision it takes for a request.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::{Arm, Mode, Route};

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
#[derive(Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
}

impl Table {
    /// Builds the matcher; every tie is reported.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<Conflict>> {
        Ok(Self { routes })
    }

    /// The routes, in the file's order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The decision for a request, or `None` where no route takes it.
    pub fn decide<'t>(&'t self, _head: &Head<'t>) -> Option<Decision<'t>> {
        None
    }
}
