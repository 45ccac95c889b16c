//! All patterns of a table as a few matchit routers, so that every pattern that takes a path is found, the most
//! specific first.
//!
//! One matchit router refuses `/a/{*rest}` beside `/a/{id}/b`, and of several patterns it finds only one, though the
//! routes there may decline the request by method or host. So the patterns lie in *layers*, each a router: no two
//! patterns of a layer take the same path, and of two that could, the more specific lies in the earlier layer. Real
//! tables need two or three. What makes matchit miss its way lies in different layers too.

use std::collections::HashMap;

use matchit::Router;

use super::{Pattern, Route};

/// Every pattern, each with the routes on it by their places in the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    layers: Vec<Router<Vec<usize>>>,
}

/// Two routes, by their places in the file's order, whose patterns take a common path and say equally much about it.
pub(super) type EqualPair = (usize, usize);

/// A pattern and the routes on it.
struct Node<'r> {
    pattern: &'r Pattern,
    routes: Vec<usize>,
}

impl Paths {
    /// Lays out the patterns of `routes`. `rank` orders the routes that share a pattern.
    pub(super) fn new<K: Ord>(routes: &[Route], rank: impl Fn(&Route) -> K) -> (Self, Vec<EqualPair>) {
        let mut nodes = nodes(routes);
        // Literal patterns sort first, so that the common case below needs no search.
        nodes.sort_by(|a, b| a.pattern.specificity(b.pattern));

        let mut paths = Self::default();
        let mut equals: Vec<EqualPair> = Vec::new();
        let mut placed: Vec<(Node<'_>, usize)> = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let mut floor = 0;
            if !node.pattern.is_literal() {
                for (earlier, layer) in &placed {
                    let overlaps = earlier.pattern.overlaps(node.pattern);
                    if overlaps || earlier.pattern.hinders(node.pattern) {
                        floor = floor.max(layer + 1);
                    }
                    if overlaps && earlier.pattern.specificity(node.pattern).is_eq() {
                        equals.extend(across(&earlier.routes, &node.routes));
                    }
                }
            }
            equals.extend(pairs(&node.routes));
            node.routes.sort_by_key(|&place| routes.get(place).map(&rank));
            let layer = paths.insert(&node, floor);
            placed.push((node, layer));
        }
        equals.sort_unstable();
        (paths, equals)
    }

    /// The routes whose pattern takes `path`, the most specific pattern first.
    pub(super) fn at(&self, path: &str) -> impl Iterator<Item = usize> {
        self.layers
            .iter()
            .filter_map(move |layer| layer.at(path).ok())
            .flat_map(|hit| hit.value.iter().copied())
    }

    /// Puts `node` into the first layer from `floor` on that takes it; matchit may refuse patterns that do not overlap.
    fn insert(&mut self, node: &Node<'_>, floor: usize) -> usize {
        let shape = node.pattern.shape();
        let open = self
            .layers
            .iter_mut()
            .skip(floor)
            .position(|layer| layer.insert(&shape, node.routes.clone()).is_ok());
        open.map_or_else(
            || {
                let mut layer = Router::new();
                let inserted = layer.insert(&shape, node.routes.clone());
                debug_assert_eq!(inserted, Ok(()), "a `Pattern` is one that matchit takes");
                self.layers.push(layer);
                self.layers.len() - 1
            },
            |above_floor| floor + above_floor,
        )
    }
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

/// Every two of `routes`.
fn pairs(routes: &[usize]) -> impl Iterator<Item = EqualPair> {
    routes.iter().enumerate().flat_map(|(nth, a)| routes.iter().skip(nth + 1).map(|b| (*a, *b)))
}

/// Every one of `a` with every one of `b`.
fn across(a: &[usize], b: &[usize]) -> impl Iterator<Item = EqualPair> {
    a.iter().flat_map(|a| b.iter().map(|b| (*a.min(b), *a.max(b))))
}
