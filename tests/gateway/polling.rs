//! Images that nobody waits for: started at once, asked for later by whoever may use the route.

use serde_json::json;

use crate::{
    harness::{
        Gateway, Origin, Rules, Wire,
        gateway::{ask_admin, eventually},
        wire::Message,
    },
    modes::route,
};

fn ask(client: &mut Wire, path: &str, fields: &str) -> Message {
    let body = json!({ "prompt": "mar", "size": "256x256" }).to_string();
    client.send(&format!(
        "POST {path} HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client.read_message()
}

fn look(gateway: &Gateway, path: &str) -> Message {
    let mut client = gateway.connect();
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    client.read_message()
}

/// What is said at `path` once it is no longer that the job runs.
fn finished(gateway: &Gateway, path: &str, runs: impl Fn(&Message) -> bool) -> Message {
    eventually("the job's end", || {
        let said = look(gateway, path);
        if runs(&said) { Err(said.status()) } else { Ok(said) }
    })
}

/// RFC 7240, 4.1.
#[test]
fn a_client_that_does_not_want_to_wait_is_told_where_to_look() {
    let origin = Origin::open();
    let gateway = Gateway::start(&route(Rules::forwarding_to(origin.address()), "migrated", ""));
    let mut client = gateway.connect();
    let started = ask(&mut client, "/api/images", "Prefer: handling=lenient, respond-async\r\n");
    assert_eq!(started.status(), 202);
    assert_eq!(started.head.value("preference-applied"), Some("respond-async"));
    let place = started.head.value("location").unwrap().to_owned();
    assert!(place.starts_with("/figueira/jobs/"), "{place}");
    let done = finished(&gateway, &place, |said| said.status() == 202);
    assert_eq!((done.status(), &done.json()["processamento"]), (200, &json!(200)));
    let mut client = gateway.connect();
    client.send(&format!("HEAD {place} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    assert_eq!(client.read_head().status(), 200);
    let name = done.json()["imagem"].as_str().unwrap().to_owned();
    assert_eq!(look(&gateway, &format!("/img/{name}")).status(), 200);
    // And the operator sees it.
    let listed = &ask_admin(gateway.admin(), "/api/jobs").json()["jobs"][0];
    assert_eq!((&listed["state"], &listed["images"]), (&json!("done"), &json!([name])));
    assert!(place.ends_with(listed["job"].as_str().unwrap()), "{listed}");
    assert!(origin.is_left_alone());
    // What is no job of ours is the site's.
    let mut client = gateway.connect();
    client.send("GET /figueira/jobs/018f0000-0000-7000-8000-000000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_message().status(), 404);
}

#[test]
fn a_site_whose_clients_poll_keeps_its_own_words() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).tables(
        r#"
        [[route]]
        name = "pedidos"
        methods = ["POST"]
        path = "/api/pedidos"
        mode = "migrated"
        contract = "custom"
        [route.request]
        prompt = "json:/prompt"
        size = "json:/size"
        [route.response]
        status = 201
        body = '{"pedido":"{{ job }}","texto":"{{ prompt }}"}'
        error_body = '{"erro":{{ status }}}'
        [route.poll]
        path = "/api/pedidos/{job}"
        pending = '{"estado":"processando"}'
        body = '{"estado":"pronto","imagem":"{{ images[0].name }}"}'
        "#,
    );
    let gateway = Gateway::start(&rules);
    let started = ask(&mut gateway.connect(), "/api/pedidos", "");
    assert_eq!((started.status(), &started.json()["texto"]), (201, &json!("mar")));
    let job = started.json()["pedido"].as_str().unwrap().to_owned();
    let done =
        finished(&gateway, &format!("/api/pedidos/{job}"), |said| said.json()["estado"] == "processando");
    let name = done.json()["imagem"].as_str().unwrap().to_owned();
    assert_eq!((done.status(), name.contains(&job)), (200, true));
    assert_eq!(ask(&mut gateway.connect(), "/api/pedidos", "Content-Encoding: gzip\r\n").json()["erro"], 415);
    // Also where nobody knows what became of it.
    let catalog = rusqlite::Connection::open(gateway.data().join("catalog.sqlite")).unwrap();
    catalog.execute("ALTER TABLE jobs RENAME TO elsewhere", []).unwrap();
    let unknown = look(&gateway, &format!("/api/pedidos/{job}"));
    assert_eq!((unknown.status(), &unknown.json()["erro"]), (503, &json!(503)));
    assert!(unknown.head.value("retry-after").is_some());
}

#[test]
fn nobody_looks_at_a_job_who_may_not_use_its_route() {
    let origin = Origin::open();
    let keys = "[route.authorize]\nurl = \"/internal/may\"\ncopy = [\"x-user-id\"]\ntenant = \"x-user-id\"\n";
    let gateway = Gateway::start(&route(Rules::forwarding_to(origin.address()), "migrated", keys));
    let permit = |user: &str| {
        let mut upstream = origin.accept();
        let question = upstream.read_head();
        upstream.send(&format!("HTTP/1.1 204 No Content\r\nX-User-Id: {user}\r\nConnection: close\r\n\r\n"));
        question
    };
    let mut client = gateway.connect();
    let body = json!({ "prompt": "mar", "size": "256x256" }).to_string();
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nPrefer: respond-async\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    // As an older site writes it: a name that is not ASCII is somebody's all the same.
    assert_eq!(permit("João").value("figueira-images"), Some("1"));
    let place = client.read_message().head.value("location").unwrap().to_owned();
    let asked_by = |user: &str| {
        let mut client = gateway.connect();
        client.send(&format!("GET {place} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(permit(user).value("figueira-images"), None, "nothing is to be drawn");
        client.read_message()
    };
    assert_eq!(asked_by("eva").status(), 404);
    assert_ne!(asked_by("João").status(), 404);
    let mut client = gateway.connect();
    client.send(&format!("GET {place} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let mut upstream = origin.accept();
    upstream.read_head();
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_message().status(), 403);
}
