//! Whom a permission is asked for, what it says, and under which rules.

use serde_json::json;

use crate::{
    harness::{Gateway, Origin, Rules},
    modes::route,
};

const ASK: &str = "[route.authorize]\nurl = \"/may\"\ncopy = [\"x-user\"]\n";

/// Its head came under rules that asked nobody and drew at no cost; those of now ask, and pay.
#[test]
fn a_request_is_drawn_by_the_provider_of_the_rules_that_let_it_in() {
    let (origin, provider) = (Origin::open(), Origin::open());
    let rules = || Rules::forwarding_to(origin.address());
    let gateway = Gateway::start(&route(rules(), "migrated", ""));
    let body = json!({ "prompt": "mar", "size": "256x256" }).to_string();
    let mut client = gateway.connect();
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.read_head().status(), 100, "it waits for the rest");
    let paid = format!(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\nbase_url = \"http://{}/v1\"",
        provider.address()
    );
    gateway.obey(&route(rules().tables(&paid), "migrated", ASK));
    client.send(&body);
    assert_eq!(client.read_message().json()["processamento"], 200);
    assert!(provider.is_left_alone() && origin.is_left_alone());
}
