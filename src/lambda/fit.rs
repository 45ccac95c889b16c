//! Whether a configuration is one that a function can work by.

use thiserror::Error;

use crate::{
    config::Config,
    generator::settings::{Images, Records},
    routing::Candidate,
};

/// Why it is not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a function cannot work so:\n  {}", .0.join("\n  "))]
pub(super) struct Unfit(Vec<&'static str>);

const STORE: &str = "[generator.store] kind = \"filesystem\": a function's disk is lost with its sandbox, and no other \
     sandbox sees it; write kind = \"s3\" and a bucket";
const CATALOG: &str = "[generator.catalog] kind = \"sqlite\": a function's disk is lost with its sandbox, and no other \
     sandbox sees it; write kind = \"dynamodb\" and a table";
const ROUTES: &str = "no [[route]] has the candidate \"generator\": there is nothing that it could answer";

/// Everything at once that is wrong with it.
pub(super) fn check(config: &Config) -> Result<(), Unfit> {
    let has_route = config.routes.routes().iter().any(|route| route.candidate == Candidate::Generator);
    let wrong: Vec<_> = [
        (config.generator.store == Images::Filesystem, STORE),
        (config.generator.catalog == Records::Sqlite, CATALOG),
        (!has_route, ROUTES),
    ]
    .into_iter()
    .filter_map(|(is_wrong, why)| is_wrong.then_some(why))
    .collect();
    if wrong.is_empty() { Ok(()) } else { Err(Unfit(wrong)) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn of(text: &str) -> Result<(), Unfit> {
        check(&config::parse(&format!("[monolith]\nurl = \"http://shop\"\n{text}"), Path::new("r")).unwrap())
    }

    #[test]
    fn what_is_lost_with_the_sandbox_is_no_place_for_images_and_records() {
        assert_eq!(of(""), Err(Unfit(vec![STORE, CATALOG, ROUTES])));
        let kept = "[generator.store]\nkind = \"s3\"\nbucket = \"images\"\n\
                    [generator.catalog]\nkind = \"dynamodb\"\ntable = \"jobs\"\n";
        let route = "[[route]]\nname = \"images\"\npath = \"/api/images\"\nmode = \"migrated\"\ncontract = \"article\"\n";
        assert_eq!(of(kept), Err(Unfit(vec![ROUTES])));
        assert_eq!(of(&format!("{kept}{route}")), Ok(()));
    }
}
