//! What the operator's listener answers, and to whom.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;

use super::*;
use crate::shutdown::Shutdown;

fn admin(token: Option<&str>) -> Admin {
    admin_of(token, line())
}

fn line() -> RouteLine {
    RouteLine {
        name: "generate-image".into(),
        line: 12,
        takes: "POST /api/<script>alert(1)</script>".into(),
        mode: Mode::Canary,
        effective_mode: Mode::Canary,
        held: false,
        share: Share::from_fraction(0.05).unwrap(),
        control: 95,
        candidate: 5,
        subjectless: 3,
        verdict: "COLLECTING".into(),
    }
}

fn admin_of(token: Option<&str>, line: RouteLine) -> Admin {
    let readiness = Arc::new(Readiness::new(Shutdown::default()));
    readiness.rules_in_force(7);
    readiness.listening();
    let token = token.map(SecretString::from);
    let sources = Sources { routes: Box::new(move || vec![line.clone()]), ..Sources::none() };
    let address = "127.0.0.1:9901".parse().unwrap();
    Admin::new(address, token.as_ref(), readiness, Metrics::new(SystemTime::now()), sources).unwrap()
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "127.0.0.1:9901")
}

#[tokio::test]
async fn routes_come_in_pages_and_under_their_generation() {
    let admin = admin(None);
    let response = admin.answer(&get("/api/routes?limit=1").body(()).unwrap());
    assert_eq!(response.headers()["etag"], "\"7\"");
    let page: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&page["generation"], &page["next"]), (&7.into(), &serde_json::Value::Null));
    assert_eq!(page["routes"].as_array().unwrap().len(), 1);
    let page = admin.answer(&get("/api/routes?after=generate-image").body(()).unwrap());
    let page: serde_json::Value = serde_json::from_str(&text(page).await).unwrap();
    assert_eq!(page["routes"], serde_json::json!([]));
    for question in ["limit=0", "limit=many", "after=nobody", "page=2"] {
        let response = admin.answer(&get(&format!("/api/routes?{question}")).body(()).unwrap());
        assert_eq!(response.status(), 400, "{question}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

async fn text(response: Response<Full<Bytes>>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_dashboard_shows_routes_and_cannot_be_scripted() {
    let response = admin(None).answer(&get("/").body(()).unwrap());
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'sha256-"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let html = text(response).await;
    for shown in ["generate-image", "canary 5 %", "COLLECTING", "95", "generation 7"] {
        assert!(html.contains(shown), "no {shown} in {html}");
    }
    assert_eq!(html.matches("<script").count(), 1, "only our own: {html}");
}

#[tokio::test]
async fn a_brake_is_shown_also_where_the_file_asks_for_no_more() {
    let said = async |mode| {
        let line = RouteLine { mode, effective_mode: Mode::Shadow, held: true, ..line() };
        text(admin_of(None, line).answer(&get("/").body(()).unwrap())).await
    };
    assert!(said(Mode::Shadow).await.contains("<td>shadow, held</td>"));
    assert!(said(Mode::Canary).await.contains("<td>shadow, held: the file says canary</td>"));
}

#[tokio::test]
async fn the_api_answers_in_json() {
    let admin = admin(None);
    let said = async |path: &str| {
        let response = admin.answer(&get(path).body(()).unwrap());
        let status = response.status().as_u16();
        (status, serde_json::from_str::<serde_json::Value>(&text(response).await).unwrap())
    };
    let (status, routes) = said("/api/routes").await;
    assert_eq!(status, 200);
    let route = &routes["routes"][0];
    assert_eq!(
        (&route["name"], &route["mode"], &route["percent"]),
        (&"generate-image".into(), &"canary".into(), &5.0.into())
    );
    assert_eq!(route["requests"], serde_json::json!({ "control": 95, "candidate": 5, "subjectless": 3 }));
    assert_eq!(said("/api/coverage").await, (200, serde_json::json!({ "modes": [] })));

    let (status, explained) =
        said("/api/routes/explain?method=POST&url=/a%3Fb=1&header=x-a:%201&client=192.0.2.7").await;
    assert_eq!(
        (status, &explained["route"], &explained["answered_by"]),
        (200, &serde_json::Value::Null, &"monolith".into())
    );
    for question in [
        "",
        "url=/",
        "method=GET",
        "method=GET&url=a%20b",
        "method=GET&url=/&header=x",
        "method=GET&url=/&client=x",
        "method=GET&url=/&host=h",
    ] {
        let (status, problem) = said(&format!("/api/routes/explain?{question}")).await;
        assert_eq!((status, &problem["status"]), (400, &400.into()), "{question}: {problem}");
    }
    assert_eq!(said("/api/elsewhere").await.0, 404);
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let response = admin(None).answer(&get("/metrics").body(()).unwrap());
    assert_eq!(response.headers()["content-type"], metrics::CONTENT_TYPE);
    let text = text(response).await;
    assert!(text.contains("\nfigueira_ready 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_token_guards_all_but_the_probes() {
    let admin = admin(Some("open sesame"));
    let status = |path: &str, authorization: &str| {
        let request =
            Request::get(path).header("host", "gateway.example").header("authorization", authorization);
        admin.answer(&request.body(()).unwrap()).status().as_u16()
    };
    for path in ["/", "/metrics", "/api/routes", "/api/coverage", "/elsewhere"] {
        assert_eq!(status(path, "Bearer open sesam"), 401, "{path}");
        assert_eq!(status(path, "Basic open sesame"), 401, "{path}");
    }
    assert_eq!(status("/", "Bearer open sesame"), 200);
    assert_eq!(status("/", "bearer  open sesame"), 200);
    assert_eq!(status("/healthz", ""), 200);
    assert_eq!(status("/readyz", ""), 200);
}

#[test]
fn a_browser_may_send_the_token_as_a_password() {
    let admin = admin(Some("open: s\u{e9}same"));
    let status = |authorization: &str| {
        let request =
            Request::get("/").header("host", "gateway.example").header("authorization", authorization);
        let response = admin.answer(&request.body(()).unwrap());
        let mut asked = response.headers().get_all("www-authenticate").iter();
        (response.status().as_u16(), asked.any(|asked| asked.as_bytes().starts_with(b"Basic realm=")))
    };
    let basic = |credentials: &str| format!("basic {}", STANDARD.encode(credentials));
    assert_eq!(status(&basic("ana:open: s\u{e9}same")), (200, false));
    assert_eq!(status(&basic(":open: s\u{e9}same")), (200, false), "whatever the name");
    for wrong in [
        &basic("ana:open sesame"),
        &basic("open: s\u{e9}same"),
        &basic("ana:"),
        &basic(""),
        "Basic open: sesame",
        "Basic",
        "",
    ] {
        assert_eq!(status(wrong), (401, true), "{wrong}: and the browser asks");
    }
}

#[test]
fn other_methods_and_places_are_refused() {
    let admin = admin(None);
    let post = Request::post("/").header("host", "localhost").body(()).unwrap();
    let response = admin.answer(&post);
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    assert_eq!(response.headers()["x-frame-options"], "DENY");
    for (method, path, allowed) in [
        ("GET", "/api/brakes/a", "PUT, DELETE"),
        ("GET", "/api/routes/a", "PATCH"),
        ("POST", "/api/routes/explain", "GET, HEAD, PATCH"),
        ("GET", "/api/alarms/a/ack", "POST"),
        ("HEAD", "/api/comparisons/a/label", "PUT"),
        ("POST", "/api/brakes/a", "PUT, DELETE"),
        ("DELETE", "/metrics", "GET, HEAD"),
    ] {
        let request =
            Request::builder().method(method).uri(path).header("host", "localhost").body(()).unwrap();
        let response = admin.answer(&request);
        assert_eq!(response.status(), 405, "{method} {path}");
        assert_eq!(response.headers()["allow"], allowed, "{method} {path}");
    }
    assert_eq!(admin.answer(&get("/admin").body(()).unwrap()).status(), 404);
}

#[test]
fn a_public_address_needs_a_token() {
    let address = "0.0.0.0:9901".parse().unwrap();
    let readiness = Arc::new(Readiness::new(Shutdown::default()));
    let metrics = Metrics::new(SystemTime::now());
    let error = Admin::new(address, None, readiness, metrics, Sources::none()).unwrap_err();
    assert!(error.to_string().contains("0.0.0.0:9901"));
}
