//! What changed between two configurations, in the words of the file.

use std::collections::BTreeMap;

use super::Config;
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

        let (was, is) = (before.by_route(), self.by_route());
        let beside = is.iter().filter_map(|(name, (contract, plan))| {
            let (old_contract, old_plan) = was.get(name)?;
            (contract != old_contract || plan != old_plan)
                .then(|| format!("route {name}: contract, shadow, compare or gate changed"))
        });
        tables.chain(routes).chain(beside).collect()
    }

    /// What other modules keep at a route's place, by its name.
    fn by_route(
        &self,
    ) -> BTreeMap<&str, (&Option<super::generator_settings::Contract>, &super::parallel_run_settings::Plan)>
    {
        let beside = self.contracts.iter().zip(&self.plans);
        self.routes.routes().iter().map(|route| &*route.name).zip(beside).collect()
    }
}
