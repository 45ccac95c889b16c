//! What must not be shown: secrets, and the addresses of hooks.

use super::*;
use crate::tell::Topic;

#[test]
fn a_secret_comes_from_a_file_or_a_variable_and_shows_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "hunter2\n").unwrap();
    let at = |token: &str| {
        parse(&format!("gateway.admin_token = {token}\n{SMALLEST}"), &folder.path().join("routes.toml"))
    };
    let config = at("{ file = \"token\" }").unwrap();
    assert_eq!(config.start.admin_token.as_ref().unwrap().expose_secret(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    // Set by cargo for every test.
    let config = at("{ env = \"CARGO_PKG_NAME\" }").unwrap();
    assert_eq!(config.start.admin_token.as_ref().unwrap().expose_secret(), "figueira");

    let misspelt =
        parse(&format!("gateway.admin_tokn = \"hunter2\"\n{SMALLEST}"), Path::new("x")).unwrap_err();
    assert!(misspelt.to_string().contains("gateway.admin_tokn = *********"), "{misspelt}");

    for literal in [
        "\"hunter2\"",
        "{ env = \"hunter2\" }",
        "{ value = \"hunter2\" }",
        "hunter2",
        "\"hunter2",
        "[\"hunter2\"]",
    ] {
        let errors = at(literal).unwrap_err();
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
        assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
    }
}

#[test]
fn hooks_and_guards_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let config = read(&format!(
        r#"
        [[tell]]
        url = "http://127.0.0.1:9000/figueira"
        on = ["brake", "dead-letter"]
        secret = {{ file = {secret:?} }}
        [[tell]]
        url = "https://hooks.example/T000/B000"
        [monolith]
        url = "http://127.0.0.1:8000"
        [[route]]
        name = "r"
        path = "/r"
        mode = "monolith"
        contract = "article"
        [route.guard]
        window = "30s"
        max_latency_ratio = "off"
        "#
    ));
    let [first, second] = &config.hooks[..] else { panic!("{:?}", config.hooks) };
    assert_eq!(first.on, [Topic::Brake, Topic::DeadLetter].into());
    assert_eq!(
        first.secret.as_ref().map(|secret| secret.expose_secret().to_owned()),
        Some("s3cret".to_owned())
    );
    assert_eq!((second.on.len(), second.secret.is_some()), (5, false));
    let guard = &config.guards[0];
    assert_eq!((guard.window.as_secs(), guard.min_requests, guard.max_latency_ratio), (30, 20, None));
    assert_eq!((guard.max_error_rate, guard.max_fallback_rate), (Some(0.05), Some(0.05)));
}

#[test]
fn what_is_wrong_with_a_hook_never_repeats_its_address() {
    for url in ["ftp://hooks.example/s3cret", "http://user@hooks.example/s3cret", "http:///s3cret", "s3cret"]
    {
        let found = errors(&format!("{SMALLEST}[[tell]]\nurl = \"{url}\"\n")).concat();
        assert!(found.contains("`url`") && !found.contains("s3cret"), "{found}");
    }
    for said in [
        parse(&format!("{SMALLEST}[[tell]]\nurl = \"ftp://hooks.example/s3cret\"\n"), Path::new("x"))
            .unwrap_err(),
        read(&format!("{SMALLEST}[[tell]]\nurl = \"http://hooks.example/s3cret\"\n")).warnings,
    ] {
        assert!(said.to_string().contains("url = **") && !said.to_string().contains("s3cret"), "{said}");
    }
    let found = errors(&format!("{SMALLEST}[[tell]]\nurl = \"http://a\"\non = [\"brakes\"]\n")).concat();
    assert_eq!(found, "`on` cannot be \"brakes\"");
}
