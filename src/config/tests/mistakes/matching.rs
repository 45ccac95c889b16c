//! Of what routes take: paths and conditions, each by itself and beside others.

use super::{in_a_route, said};

#[test]
fn two_routes_that_tie() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "also-images"
path = "/api/images"
mode = "monolith"
contract = "article""#
    ));
}

#[test]
fn two_routes_whose_conditions_could_both_hold() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
headers = { x-beta = "1" }

[[route]]
name = "of-gold"
path = "/api/images"
cookies = { tier = "gold" }
mode = "monolith"
contract = "article""#
    ));
}

#[test]
fn conditions_that_ask_for_nothing_sensible() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
headers = { x-beta = { regexp = "^a" }, x-b = { regex = "(" }, X-c = "1", x-C = "2", cookie = "a=b" }
cookies = { a = { present = false }, "b c" = "1", d = { prefix = "1", regex = "2" }, e = 1 }
query = { q = "caf\u00e9", "a=b" = "1" }"#
    ));
}

#[test]
fn conditions_that_are_no_table() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
headers = ["x-beta"]
host = "*.example.*""#
    ));
}

#[test]
fn a_path_that_is_none() {
    insta::assert_snapshot!(said(
        r#"monolith.url = "http://h"
[[route]]
name = "Images"
path = "/api/{a}{b}"
mode = "monolith"
contract = "article"
"#
    ));
}

#[test]
fn a_route_that_no_request_reaches() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "pictures"
methods = ["GET"]
path = "/figueira/images/{id}"
mode = "monolith"
contract = "article"

[[route]]
name = "tunnel"
methods = ["CONNECT"]
path = "/tunnel"
mode = "monolith"
contract = "article""#
    ));
}

/// A provider that has to be paid, asked by routes that say nothing of it.
#[test]
fn a_path_that_clients_resolve() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "above"
path = "/shop/../api/{id}"
mode = "monolith"
contract = "article""#
    ));
}

#[test]
fn a_path_in_the_notation_of_others() {
    let paths = ["/a/:id", "/b/<id>/edit", "/c/*", "/d/*rest", "/v1/images:generate", "/e/*.png", "/f/{id}"];
    let routes: Vec<_> = paths
        .iter()
        .enumerate()
        .map(|(n, path)| {
            format!(
                "[[route]]\nname = \"r{n}\"\npath = \"{path}\"\nmode = \"monolith\"\ncontract = \"article\"\n"
            )
        })
        .collect();
    insta::assert_snapshot!(said(&format!("monolith.url = \"http://127.0.0.1:8000\"\n{}", routes.concat())));
}
