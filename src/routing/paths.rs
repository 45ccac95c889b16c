//! All patterns of a table as a few matchit routers, so that every pattern that takes a path is found, the most
//! specific first.
//!
//! One matchit router refuses `/a/{*rest}` beside `/a/{id}/b`, and of several patterns it finds only one, though the
//! routes there may decline the request by method, host or header. So the patterns lie in *layers*, each a router: no two
//! patterns of a layer take the same path, and of two that could, the more specific lies in the earlier layer. Real
//! tables need two or three. What makes matchit miss its way lies in different layers too.

use std::collections::{BTreeMap, HashMap};

use matchit::Router;

use super::{Host, Pattern, Route, precedence};

/// Every pattern, each with the routes on it by their places in the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    layers: Vec<Router<Shelf>>,
}

/// The routes on one pattern, the winner of what two take first.
#[derive(Clone, Debug, Default)]
struct Shelf {
    /// Those of exact hosts, by host.
    exact: Vec<(Box<str>, Vec<usize>)>,
    /// Those of wildcards and of any host.
    others: Vec<usize>,
}

/// Two routes, by their places in the file's order, that could both take one request with neither to win it.
pub(super) type Tie = (usize, usize);

/// A pattern and the routes on it.
struct Node<'r> {
    pattern: &'r Pattern,
    routes: Vec<usize>,
}

/// The patterns that have their layers, by their first segments: of two that differ there, one is no other's concern.
#[derive(Default)]
struct Placed<'r> {
    by_text: HashMap<&'r str, Vec<(Node<'r>, usize)>>,
    by_parameter: Vec<(Node<'r>, usize)>,
}

impl<'r> Placed<'r> {
    fn push(&mut self, node: Node<'r>, layer: usize) {
        match node.pattern.first_text() {
            Some(text) => self.by_text.entry(text).or_default().push((node, layer)),
            None => self.by_parameter.push((node, layer)),
        }
    }

    /// All that could take a path that `pattern` takes.
    fn neighbours(&self, pattern: &Pattern) -> impl Iterator<Item = &(Node<'r>, usize)> {
        let (same, every) = match pattern.first_text() {
            Some(text) => (self.by_text.get(text), None),
            None => (None, Some(self.by_text.values().flatten())),
        };
        same.into_iter().flatten().chain(every.into_iter().flatten()).chain(&self.by_parameter)
    }
}

impl Paths {
    /// Lays out the patterns of `routes`, those that share a pattern in their precedence.
    pub(super) fn new(routes: &[Route]) -> (Self, Vec<Tie>) {
        let of = |rule: fn(&Route, &Route) -> bool| {
            move |(a, b): &Tie| routes.get(*a).zip(routes.get(*b)).is_some_and(|(a, b)| rule(a, b))
        };
        let mut nodes = nodes(routes);
        // Literal patterns sort first, so that the common case below needs no search.
        nodes.sort_by(|a, b| a.pattern.specificity(b.pattern));

        let mut paths = Self::default();
        let mut ties: Vec<Tie> = Vec::new();
        let mut placed = Placed::default();
        for mut node in nodes {
            let mut floor = 0;
            if !node.pattern.is_literal() {
                for (earlier, layer) in placed.neighbours(node.pattern) {
                    let overlaps = earlier.pattern.overlaps(node.pattern);
                    if overlaps || earlier.pattern.hinders(node.pattern) {
                        floor = floor.max(layer + 1);
                    }
                    if overlaps && earlier.pattern.specificity(node.pattern).is_eq() {
                        // The earlier layer would win, whatever the routes on it say: so none may be rivals.
                        ties.extend(across(&earlier.routes, &node.routes).filter(of(precedence::meet)));
                    }
                }
            }
            for rivals in by_host(routes, &node.routes).values() {
                let mut own: Vec<Tie> = pairs(rivals).filter(of(precedence::tie)).collect();
                own.retain(|(a, b)| !is_settled(routes, rivals, *a, *b));
                ties.extend(own);
            }
            node.routes.sort_by_key(|&place| routes.get(place).map(precedence::rank));
            let layer = paths.insert(node.pattern, &Shelf::new(routes, &node.routes), floor);
            placed.push(node, layer);
        }
        ties.sort_unstable();
        (paths, ties)
    }

    /// The routes whose pattern takes `path` and whose host could be `host`, the most specific first.
    pub(super) fn at(&self, path: &str, host: &str) -> impl Iterator<Item = usize> {
        self.layers
            .iter()
            .filter_map(move |layer| layer.at(path).ok())
            .flat_map(move |hit| hit.value.at(host))
    }

    /// Puts a pattern into the first layer from `floor` on that takes it; matchit may refuse patterns that do not overlap.
    fn insert(&mut self, pattern: &Pattern, routes: &Shelf, floor: usize) -> usize {
        let shape = pattern.shape();
        let open =
            self.layers.iter_mut().skip(floor).position(|layer| layer.insert(&shape, routes.clone()).is_ok());
        open.map_or_else(
            || {
                let mut layer = Router::new();
                let inserted = layer.insert(&shape, routes.clone());
                debug_assert_eq!(inserted, Ok(()), "a `Pattern` is one that matchit takes");
                self.layers.push(layer);
                self.layers.len() - 1
            },
            |above_floor| floor + above_floor,
        )
    }
}

impl Shelf {
    /// Of routes that stand in their precedence.
    fn new(routes: &[Route], places: &[usize]) -> Self {
        let mut shelf = Self::default();
        let mut exact: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, route) in places.iter().filter_map(|place| Some((*place, routes.get(*place)?))) {
            match &route.host {
                Host::Exact(name) => exact.entry(name).or_default().push(place),
                Host::Below(_) | Host::Any => shelf.others.push(place),
            }
        }
        shelf.exact = exact.into_iter().map(|(name, places)| (name.into(), places)).collect();
        shelf
    }

    fn at(&self, host: &str) -> impl Iterator<Item = usize> {
        let lower = || host.bytes().map(|byte| byte.to_ascii_lowercase());
        let found = self.exact.binary_search_by(|(name, _)| name.bytes().cmp(lower())).ok();
        let exact = found.and_then(|at| self.exact.get(at)).map(|(_, places)| places);
        exact.into_iter().flatten().chain(&self.others).copied()
    }
}

/// The routes on one pattern by their hosts: only those of one host can tie.
fn by_host<'r>(routes: &'r [Route], places: &[usize]) -> HashMap<&'r Host, Vec<usize>> {
    let mut by_host: HashMap<&Host, Vec<usize>> = HashMap::new();
    for (place, route) in places.iter().filter_map(|place| Some((*place, routes.get(*place)?))) {
        by_host.entry(&route.host).or_default().push(place);
    }
    by_host
}

/// The routes by pattern, in the order of their first appearance.
fn nodes(routes: &[Route]) -> Vec<Node<'_>> {
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut by_shape: HashMap<String, usize> = HashMap::new();
    for (place, route) in routes.iter().enumerate() {
        let next = nodes.len();
        match nodes.get_mut(*by_shape.entry(route.path.shape()).or_insert(next)) {
            Some(node) => node.routes.push(place),
            None => nodes.push(Node { pattern: &route.path, routes: vec![place] }),
        }
    }
    nodes
}

/// Whether a third of the routes on one pattern takes all that the two could both take.
fn is_settled(routes: &[Route], on_pattern: &[usize], a: usize, b: usize) -> bool {
    let Some((a, b)) = routes.get(a).zip(routes.get(b)) else { return false };
    on_pattern.iter().filter_map(|place| routes.get(*place)).any(|third| precedence::settles(third, a, b))
}

/// Every two of `routes`.
fn pairs(routes: &[usize]) -> impl Iterator<Item = Tie> {
    routes.iter().enumerate().flat_map(|(nth, a)| routes.iter().skip(nth + 1).map(|b| (*a, *b)))
}

/// Every one of `a` with every one of `b`.
fn across(a: &[usize], b: &[usize]) -> impl Iterator<Item = Tie> {
    a.iter().flat_map(|a| b.iter().map(|b| (*a.min(b), *a.max(b))))
}
