//! Whether a configuration is one that a function can work by.

use thiserror::Error;

use crate::{
    config::Config,
    gateway::settings::Authorize,
    generator::settings::{Draws, Images, Records},
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
const WALLET: &str = "a [[route]] without `authorize` is an open wallet, whatever its `mode`: whoever calls the function \
     is drawn for, and the provider is paid; [route.authorize] has the gateway ask the monolith first, authorize = \
     \"public\" is open on purpose";

/// Everything at once that is wrong with it.
pub(super) fn check(config: &Config) -> Result<(), Unfit> {
    let routes = config.routes.routes().iter().zip(&config.authorizations);
    let ours = routes.filter(|(route, _)| route.candidate == Candidate::Generator);
    let authorizations: Vec<_> = ours.map(|(_, authorize)| authorize).collect();
    let is_paid = config.generator.draws != Draws::Local;
    let wrong: Vec<_> = [
        (config.generator.store == Images::Filesystem, STORE),
        (config.generator.catalog == Records::Sqlite, CATALOG),
        (authorizations.is_empty(), ROUTES),
        (is_paid && authorizations.contains(&&Authorize::Off), WALLET),
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

    /// Who is sent here is decided by who calls, and by no mode.
    #[test]
    fn who_pays_a_provider_says_who_may_ask_in_every_mode() {
        let kept = "[generator]\nprovider = \"openai\"\n[generator.store]\nkind = \"s3\"\nbucket = \"images\"\n\
                    [generator.catalog]\nkind = \"dynamodb\"\ntable = \"jobs\"\n\
                    [generator.openai]\nbase_url = \"http://127.0.0.1:8100/v1\"\n";
        let in_a_route = |keys: &str| {
            of(&format!(
                "{kept}[[route]]\nname = \"images\"\npath = \"/api/images\"\nmode = \"monolith\"\n\
                 contract = \"article\"\n{keys}"
            ))
        };
        assert_eq!(in_a_route(""), Err(Unfit(vec![WALLET])));
        assert_eq!(in_a_route("authorize = \"public\"\n"), Ok(()));
        assert_eq!(in_a_route("[route.authorize]\nurl = \"/may\"\n"), Ok(()));
    }
}
