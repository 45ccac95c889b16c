//! Changes that are made, and requests that make none.

use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use http::header::AUTHORIZATION;
use secrecy::SecretString;

use super::*;
use crate::{
    admin::{Admin, Readiness, Sources},
    audit::What,
    shutdown::Shutdown,
    telemetry::metrics::Metrics,
};

/// Knows one route, and does what it is told.
#[derive(Default)]
struct Desk {
    held: Mutex<Option<Brake>>,
    changes: Mutex<Vec<Change>>,
}

impl Operate for Desk {
    fn brakes(&self) -> Brakes {
        self.held.lock().unwrap().iter().map(|brake| ("images".into(), brake.clone())).collect()
    }

    fn knows(&self, route: &str) -> bool {
        route == "images"
    }

    fn pull(&self, wish: Wish, at: Hold) -> Doing<Result<Vec<Pulled>, BrakeError>> {
        let since = Timestamp::UNIX_EPOCH;
        *self.held.lock().unwrap() =
            Some(Brake { at, since, by: wish.by.into(), reason: wish.reason.into() });
        Box::pin(async { Ok(vec![Pulled::Now { before: None }]) })
    }

    fn release(&self, _wish: Wish) -> Doing<Result<Option<Brake>, BrakeError>> {
        let held = self.held.lock().unwrap().take();
        Box::pin(async { Ok(held) })
    }

    fn change(&self, change: Change) -> Doing<Result<Changed, Refused>> {
        let stale = change.generation.filter(|asked| *asked != 7);
        self.changes.lock().unwrap().push(change);
        Box::pin(async move {
            match stale {
                Some(asked) => Err(Refused::Stale { current: 7, asked }),
                None => Ok(Changed { generation: 8, diff: "-a\n+b\n".into() }),
            }
        })
    }

    /// A line a second, from the one after `after`.
    fn audit(&self, after: Option<Timestamp>, most: usize) -> Doing<io::Result<Vec<Line>>> {
        let first = after.map_or(0, |after| after.as_second() + 1);
        let line = |second| Line {
            at: Timestamp::from_second(second).unwrap(),
            what: What::File,
            who: "ana".into(),
            route: None,
            from: None,
            to: None,
            why: None,
            generation: None,
            file: None,
        };
        let lines = (first..5).take(most).map(line).collect();
        Box::pin(async { Ok(lines) })
    }

    fn jobs(&self, before: Option<Uuid>, _most: usize) -> Doing<Result<Vec<Listed>, String>> {
        Box::pin(async move {
            match before {
                None => Ok(Vec::new()),
                Some(_) => Err("the catalog failed".to_owned()),
            }
        })
    }
}

fn admin(token: Option<&str>) -> (Admin, Arc<Desk>) {
    let readiness = Arc::new(Readiness::new(Shutdown::default()));
    let token = token.map(SecretString::from);
    let metrics = Metrics::new(SystemTime::now());
    let address = "127.0.0.1:9901".parse().unwrap();
    let desk = Arc::new(Desk::default());
    let admin = Admin::new(address, token.as_ref(), readiness, metrics, Sources::none()).unwrap();
    (admin.operated_by(desk.clone()), desk)
}

const HOLD: &str = r#"{"at":"shadow","reason":"blank images"}"#;

fn put(path: &str) -> request::Builder {
    Request::put(path).header(HOST, "127.0.0.1:9901").header(CONTENT_TYPE, "application/json")
}

async fn ask(admin: &Admin, request: request::Builder, body: &'static str) -> (u16, Value) {
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
    let response = admin.serve(request, "127.0.0.1:5555".parse().unwrap()).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_brake_is_pulled_shown_and_released() {
    let (admin, _) = admin(None);
    let (status, held) = ask(&admin, put("/api/brakes/images"), HOLD).await;
    let expected = json!({
        "route": "images", "at": "shadow", "since": "1970-01-01T00:00:00Z",
        "by": "the admin listener, from 127.0.0.1", "reason": "blank images",
    });
    assert_eq!((status, &held), (200, &expected));
    let get = Request::get("/api/brakes").header(HOST, "localhost");
    assert_eq!(ask(&admin, get, "").await, (200, json!({ "brakes": [expected], "next": null })));
    let delete = || put("/api/brakes/images").method("DELETE");
    let (status, answer) = ask(&admin, delete(), r#"{"reason":"mended"}"#).await;
    assert_eq!((status, &answer["released"]["at"]), (200, &json!("shadow")));
    assert_eq!(ask(&admin, delete(), r#"{"reason":"mended"}"#).await.0, 404);
}

#[tokio::test]
async fn a_change_that_a_page_elsewhere_could_send_is_refused() {
    let (admin, desk) = admin(None);
    let bare = || Request::put("/api/brakes/images").header(HOST, "127.0.0.1:9901");
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "text/json"]
    {
        assert_eq!(ask(&admin, bare().header(CONTENT_TYPE, media_type), HOLD).await.0, 415, "{media_type}");
    }
    assert_eq!(ask(&admin, bare(), HOLD).await.0, 415);
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:8080",
        "http://127.0.0.1:9901.evil.example",
        "ftp://127.0.0.1:9901",
    ] {
        assert_eq!(
            ask(&admin, put("/api/brakes/images").header(ORIGIN, origin), HOLD).await.0,
            403,
            "{origin}"
        );
    }
    for site in ["cross-site", "same-site", "x"] {
        assert_eq!(
            ask(&admin, put("/api/brakes/images").header(FETCH_SITE, site), HOLD).await.0,
            403,
            "{site}"
        );
    }
    let rebound = Request::put("/api/brakes/images").header(HOST, "evil.example");
    assert_eq!(ask(&admin, rebound.header(CONTENT_TYPE, "application/json"), HOLD).await.0, 421);
    assert_eq!(*desk.held.lock().unwrap(), None, "none of them did anything");

    let own =
        put("/api/brakes/images").header(ORIGIN, "http://127.0.0.1:9901").header(FETCH_SITE, "same-origin");
    assert_eq!(ask(&admin, own, HOLD).await.0, 200);
}

#[tokio::test]
async fn a_token_is_needed_where_there_is_one() {
    let (admin, desk) = admin(Some("open sesame"));
    assert_eq!(ask(&admin, put("/api/brakes/images"), HOLD).await.0, 401);
    let get = Request::get("/api/brakes").header(HOST, "localhost");
    assert_eq!(ask(&admin, get, "").await.0, 401);
    assert_eq!(*desk.held.lock().unwrap(), None);
    let known = put("/api/brakes/images").header(AUTHORIZATION, "Bearer open sesame");
    assert_eq!(ask(&admin, known, HOLD).await.0, 200);
}

#[tokio::test]
async fn what_is_not_understood_changes_nothing() {
    let (admin, desk) = admin(None);
    for (path, body, status) in [
        ("/api/brakes/other", HOLD, 404),
        ("/api/brakes/images", "", 422),
        ("/api/brakes/images", "{", 422),
        ("/api/brakes/images", r#"{"at":"shadow"}"#, 422),
        ("/api/brakes/images", r#"{"at":"shadow","reason":"  "}"#, 422),
        ("/api/brakes/images", r#"{"at":"canary","reason":"x"}"#, 422),
        ("/api/brakes/images", r#"{"at":"shadow","reason":"x","now":true}"#, 422),
        ("/api/brakes/../images", HOLD, 405),
        ("/api/brakes/", HOLD, 405),
        ("/api/brakes/%3Cscript%3E", HOLD, 405),
    ] {
        assert_eq!(ask(&admin, put(path), body).await.0, status, "{path} {body}");
    }
    let large: &'static str =
        Box::leak(format!("{{\"reason\":\"{}\"}}", "x".repeat(2 * BODY)).into_boxed_str());
    assert_eq!(ask(&admin, put("/api/brakes/images"), large).await.0, 413);
    assert_eq!(*desk.held.lock().unwrap(), None);
}

#[tokio::test]
async fn a_route_is_walked_only_from_the_generation_that_was_looked_at() {
    let (admin, desk) = admin(None);
    let patch = || put("/api/routes/images").method("PATCH");
    let (status, answer) =
        ask(&admin, patch().header(IF_MATCH, "\"7\""), r#"{"mode":"canary","percent":5}"#).await;
    assert_eq!((status, answer), (200, json!({ "generation": 8, "diff": "-a\n+b\n" })));
    let asked = desk.changes.lock().unwrap().pop().unwrap();
    assert_eq!((asked.mode, asked.share.map(Share::percent)), (Some(Mode::Canary), Some(5.0)));
    assert_eq!((asked.generation, asked.force), (Some(7), false));

    assert_eq!(ask(&admin, patch().header(IF_MATCH, "6"), r#"{"mode":"shadow"}"#).await.0, 412);
    assert_eq!(ask(&admin, patch().header(IF_MATCH, "x"), r#"{"mode":"shadow"}"#).await.0, 400);
    for body in ["{}", r#"{"mode":"far"}"#, r#"{"percent":101}"#, r#"{"mode":"shadow","reason":""}"#] {
        assert_eq!(ask(&admin, patch(), body).await.0, 422, "{body}");
    }
}

#[tokio::test]
async fn jobs_are_asked_for_by_page() {
    let (admin, _) = admin(None);
    let get = |query: &str| Request::get(format!("/api/jobs{query}")).header(HOST, "localhost");
    assert_eq!(ask(&admin, get(""), "").await, (200, json!({ "jobs": [], "next": null })));
    for (query, status) in [
        ("?after=0", 400),
        ("?limit=0", 400),
        ("?state=done", 400),
        ("?after=018f0000-0000-7000-8000-000000000000&limit=5", 503),
    ] {
        assert_eq!(ask(&admin, get(query), "").await.0, status, "{query}");
    }
}

#[tokio::test]
async fn the_audit_log_is_asked_for_by_page() {
    let (admin, _) = admin(None);
    let get = |query: &str| Request::get(format!("/api/audit{query}")).header(HOST, "localhost");
    let mut seen = Vec::new();
    let mut after = "1970-01-01T00:00:00Z".to_owned();
    loop {
        let (status, page) = ask(&admin, get(&format!("?limit=2&after={after}")), "").await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["lines"].as_array().unwrap().iter().map(|line| line["at"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(seen, [1, 2, 3, 4].map(|second| format!("1970-01-01T00:00:0{second}Z")));
    let (_, last) = ask(&admin, get(""), "").await;
    assert_eq!((last["lines"].as_array().unwrap().len(), &last["next"]), (5, &Value::Null));
    for query in ["?limit=0", "?limit=x", "?after=x", "?since=x"] {
        assert_eq!(ask(&admin, get(query), "").await.0, 400, "{query}");
    }
}
