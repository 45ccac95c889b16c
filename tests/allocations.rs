//! Deciding allocates nothing: neither where no route takes the request nor where one does.

use allocation_counter::measure;
use figueira::{
    config,
    routing::{Head, Table},
};
use http::{HeaderMap, HeaderValue, Method};

/// Routes of every kind, so that whatever a route can ask for is asked.
const ROUTES: &str = r#"
monolith.url = "http://127.0.0.1:1"
upstreams.other.url = "http://127.0.0.1:2"
[[route]]
name = "wide"
methods = ["POST"]
host = "*.example.com"
path = "/{*rest}"
mode = "canary"
candidate = "other"
subject = "cookie:session"
[[route]]
name = "conditions"
path = "/api/{a}/{b}/{c}/images"
headers = { x-beta = { regex = "^(yes|no)+$" }, x-b = { present = true } }
cookies = { tier = "gold" }
query = { v = { prefix = "2" } }
mode = "canary"
candidate = "other"
subject = "client-ip"
[[route]]
name = "suffix"
methods = ["GET"]
host = "shop.example.com"
path = "/img/{name}.png"
mode = "migrated"
candidate = "other"
"#;

#[test]
fn deciding_allocates_nothing() {
    let config = config::parse(ROUTES, std::path::Path::new("routes.toml")).unwrap();
    let table: &Table = &config.routes;
    let headers = |beta: &'static str| -> HeaderMap {
        [("x-beta", beta), ("x-b", "1"), ("cookie", "a=b; tier=gold; session=ana")]
            .into_iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value)))
            .collect()
    };
    let (yes, odd) = (headers("yesnoyes"), headers("yesnomaybe"));
    let client = [192, 0, 2, 7].into();
    let at = |host, path, headers| Head {
        method: &Method::GET,
        host,
        path,
        query: Some("a=1&v=2"),
        headers,
        client,
    };
    let requests = [
        (at("shop.example.com:8080", "/img/a.png", &yes), true),
        (at("shop.example.com", "/api/1/2/3/images", &yes), true),
        (at("shop.example.com", "/api/1/2/3/images", &odd), false),
        (at("shop.example.com", "/api/1/2/3/4/5/6/images", &yes), false),
        (at("other.example", "/img/a.png", &yes), false),
        (at("www.example.com", "/nowhere/at/all", &yes), false),
    ];
    for (head, taken) in requests {
        // The first search with an expression sets up what the later ones reuse.
        assert_eq!(table.decide(&head).is_some(), taken, "{head:?}");
        let counted = measure(|| assert_eq!(table.decide(&head).is_some(), taken));
        assert_eq!(counted.count_total, 0, "{head:?}");
    }
}
