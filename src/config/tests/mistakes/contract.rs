//! Of contracts, and of who draws.

use super::{beside_a_monolith, in_a_route};

/// A route with a contract of its own that is right but for `text`.
fn in_a_custom_contract(text: &str) -> String {
    in_a_route(&format!("mode = \"migrated\"\nauthorize = \"public\"\ncontract = \"custom\"\n{text}"))
}

const ANSWERS: &str = "[route.response]\nbody = '{\"image\":\"{{ images[0].url }}\"}'\nerror_body = '{\"error\":\"{{ message }}\"}'\n";

#[test]
fn a_custom_contract_of_nothing() {
    insta::assert_snapshot!(in_a_custom_contract(""));
}

#[test]
fn a_mapping_that_finds_nothing() {
    insta::assert_snapshot!(in_a_custom_contract(&format!(
        "[route.request]\nn = \"jsn:/n\"\nsize = \"size\"\nquality = \"json:quality\"\nuser = \"path:user\"\nmoderation = \"form:m\"\nprompt = \"json:/prompt\"\n{ANSWERS}"
    )));
}

#[test]
fn a_mapping_without_a_prompt() {
    insta::assert_snapshot!(in_a_custom_contract(&format!("[route.request]\nn = \"query:n\"\n{ANSWERS}")));
}

#[test]
fn answers_that_are_no_templates() {
    insta::assert_snapshot!(in_a_custom_contract(
        "[route.request]\nprompt = \"query:q\"\n[route.response]\nheaders = { x-job = \"{{ job\" }\nbody = '{\"image\":{{ images[0].url }}}'\nerror_body = '{\"error\":\"{{ mesage }}\"}'"
    ));
}

#[test]
fn an_answer_of_an_unknown_kind() {
    insta::assert_snapshot!(in_a_custom_contract(
        "[route.request]\nprompt = \"query:q\"\n[route.response]\nstatus = 404\ncontent_type = \"text/javascript\"\nbody = \"x\"\nerror_body = \"x\""
    ));
}

#[test]
fn a_mapping_for_another_contract() {
    insta::assert_snapshot!(in_a_route(
        "mode = \"monolith\"\ncontract = \"article\"\n[route.request]\nprompt = \"json:/prompt\""
    ));
}

#[test]
fn images_that_go_before_their_keys() {
    insta::assert_snapshot!(beside_a_monolith("[generator]\nkeep_images = \"1h\""));
}

#[test]
fn a_provider_without_a_key() {
    insta::assert_snapshot!(beside_a_monolith(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\napi_key = { file = \"no-such-file\" }"
    ));
}

#[test]
fn a_key_that_is_written_here_is_wrong_once() {
    let said = beside_a_monolith(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\napi_key = \"sk-hunter2\"\n[generator.openai.models.\"gpt-image-2\"]",
    );
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    assert!(said.contains("never written here") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_provider_that_cannot_be_asked() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[generator.openai]
base_url = "https://user:pw@api.example/v1"
api_key = "sk-hunter2"
retries = 11
fetch_hosts = ["https://images.example", "[::1]:80", "127.0.0.1", "images.example:8443"]
[generator.openai.models."m"]
max_n = 0
prices = [{ size = "1024" }, { size = "64x64", usd = -1 }]"#
    ));
}
