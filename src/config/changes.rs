//! What changed between two configurations, in the words of the file.

use std::collections::BTreeMap;

use super::{
    Config, generator_settings::Contract, guard_settings::Settings as Guard, parallel_run_settings::Plan,
};
use crate::routing::diff::diff;

impl Config {
    /// What is not as it was in `before`, one sentence a table or route; empty when only comments changed.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let tables = [
            ("[gateway]", self.gateway != before.gateway),
            ("[log]", self.log != before.log),
            ("[monolith]", self.monolith != before.monolith),
            ("[upstreams]", self.upstreams != before.upstreams),
            ("[generator]", self.generator != before.generator),
            ("[parallel_run]", self.parallel_run != before.parallel_run),
        ];
        let tables =
            tables.into_iter().filter(|(_, differs)| *differs).map(|(table, _)| format!("{table} changed"));
        let routes = diff(&before.routes, &self.routes).into_iter().map(|change| change.to_string());

        let beside = self.judged_otherwise_than(before).into_iter();
        let beside =
            beside.map(|name| format!("route {name}: contract, shadow, compare, gate or guard changed"));
        tables.chain(routes).chain(beside).collect()
    }

    /// The routes, known to `before` too, of which what other modules keep is not what it was there.
    pub(crate) fn judged_otherwise_than(&self, before: &Self) -> Vec<&str> {
        let was = before.by_route();
        let is = self.by_route().into_iter();
        is.filter(|(name, beside)| was.get(name).is_some_and(|was| was != beside))
            .map(|(name, _)| name)
            .collect()
    }

    /// What other modules keep at a route's place, by its name.
    fn by_route(&self) -> BTreeMap<&str, ((&Option<Contract>, &Plan), &Guard)> {
        let beside = self.contracts.iter().zip(&self.plans).zip(&self.guards);
        self.routes.routes().iter().map(|route| &*route.name).zip(beside).collect()
    }
}
