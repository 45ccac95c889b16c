//! What clients send, and what they get.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{Shop, post, said};
use crate::generator::{
    Outcome,
    metrics::Why,
    settings::Contract::{self, Article, OpenAi},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_contract_answers_by_url_and_in_base64() {
    let shop = Shop::open().await;
    let body = shop.answer(&OpenAi, 200, &json!({ "prompt": "sun", "size": "256x256", "n": 2 })).await;
    assert!(body["created"].as_u64().is_some_and(|at| at > 1_600_000_000));
    assert_eq!((&body["size"], &body["output_format"]), (&json!("256x256"), &json!("png")));
    assert_eq!((body.get("quality"), body.get("background")), (None, None), "nobody knows what was chosen");
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    let url = body["data"][1]["url"].as_str().unwrap();
    let name = url.strip_prefix("http://shop.example/figueira/images/").unwrap();
    assert_eq!(shop.get(name).await.status(), StatusCode::OK);

    for (format, magic) in [("png", &b"\x89PNG"[..]), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")] {
        let ask = json!({ "prompt": "sun", "size": "256x256", "response_format": "b64_json", "output_format": format });
        let body = shop.answer(&OpenAi, 200, &ask).await;
        assert_eq!(body["output_format"], format);
        let bytes = BASE64_STANDARD.decode(body["data"][0]["b64_json"].as_str().unwrap()).unwrap();
        assert!(bytes.starts_with(magic), "{format}");
    }
    let modern = shop
        .answer(&OpenAi, 200, &json!({ "prompt": "sun", "size": "256x256", "model": "gpt-image-2" }))
        .await;
    assert!(modern["data"][0]["b64_json"].is_string(), "as GPT image models do");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_in_their_own_shape() {
    let shop = Shop::open().await;
    let long = "x".repeat(32_001);
    for (param, body) in [
        ("prompt", json!({})),
        ("prompt", json!({ "prompt": null })),
        ("prompt", json!({ "prompt": "  \n" })),
        ("prompt", json!({ "prompt": 7 })),
        ("prompt", json!({ "prompt": long })),
        ("n", json!({ "prompt": "x", "n": 0 })),
        ("n", json!({ "prompt": "x", "n": -1 })),
        ("n", json!({ "prompt": "x", "n": 1.5 })),
        ("n", json!({ "prompt": "x", "n": "2" })),
        ("size", json!({ "prompt": "x", "size": "big" })),
        ("size", json!({ "prompt": "x", "size": "0x0" })),
        ("size", json!({ "prompt": "x", "size": 1024 })),
    ] {
        let article = shop.answer(&Article, 400, &body).await;
        assert_eq!(article["processamento"], 400);
        assert!(article["msg"].as_str().is_some_and(|msg| !msg.is_empty()));
        let openai = shop.answer(&OpenAi, 400, &body).await;
        assert_eq!(
            (&openai["error"]["param"], &openai["error"]["type"]),
            (&json!(param), &json!("invalid_request_error"))
        );
        assert!(openai["error"]["code"].is_string());
    }
    for body in [&b""[..], b"{", b"[]", b"\"prompt\"", b"{\"prompt\": \"\xff\"}", b"null"] {
        let Outcome::Answered(response) = shop.generator.answer(&Article, post(body)).await else {
            panic!("declined")
        };
        assert_eq!(said(400, &response)["processamento"], 400);
    }
    assert!(shop.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bodies_than_plain_json_are_refused() {
    let shop = Shop::open().await;
    for (status, name, value) in [
        (415, "content-type", "application/x-www-form-urlencoded"),
        (415, "content-type", "text/json"),
        (415, "content-encoding", "gzip"),
        (400, "content-type", "application/json; charset=utf-8"),
        (400, "content-type", "application/vnd.shop+json"),
    ] {
        let request = Request::post("/").header(name, value).body(Bytes::from_static(b"{}")).unwrap();
        let Outcome::Answered(response) = shop.generator.answer(&Article, request).await else {
            panic!("declined")
        };
        assert_eq!(said(status, &response)["processamento"], status);
    }
    let long = format!("{{\"prompt\": \"{}\"}}", " ".repeat(1 << 20));
    let Outcome::Answered(response) = shop.generator.answer(&OpenAi, post(long)).await else {
        panic!("declined")
    };
    assert_eq!(said(413, &response)["error"]["code"], "request_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_events_is_whole_once_it_is_committed() {
    let shop = Shop::open().await;
    let ask = json!({ "prompt": "sun", "size": "256x256", "n": 2, "stream": true, "partial_images": 2 });
    let Outcome::Answered(response) = shop.ask(&OpenAi, &ask).await else { panic!("declined") };
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = String::from_utf8(response.body().to_vec()).unwrap();
    let events: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(events.len(), 2, "the local provider shows nothing unfinished");
    for event in events {
        assert_eq!(
            (&event["type"], &event["size"], &event["output_format"], &event["usage"]["total_tokens"]),
            (&json!("image_generation.completed"), &json!("256x256"), &json!("png"), &json!(0))
        );
        let bytes = BASE64_STANDARD.decode(event["b64_json"].as_str().unwrap()).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
    }
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
    for wrong in [json!(4), json!(-1), json!("1")] {
        let ask = json!({ "prompt": "x", "stream": true, "partial_images": wrong });
        let refused = &shop.answer(&OpenAi, 400, &ask).await["error"];
        assert_eq!(refused["param"], "partial_images");
        assert_eq!(refused["message"], "partial_images must be an integer from 0 to 3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_our_tables_is_left_to_the_monolith() {
    let shop = Shop::open().await;
    let both: [Contract; 2] = [Article, OpenAi];
    let beyond = |contracts: &'static [Contract], param: Value, body: Value| (contracts, param, body);
    let cases = [
        beyond(&[Article, OpenAi], json!("n"), json!({ "prompt": "x", "n": 11 })),
        beyond(&[Article, OpenAi], json!("n"), json!({ "prompt": "x", "n": 1e30 })),
        beyond(&[Article, OpenAi], json!("size"), json!({ "prompt": "x", "size": "1792x1024" })),
        beyond(&[Article, OpenAi], json!("size"), json!({ "prompt": "x", "size": "99999999999x1" })),
        beyond(&[OpenAi], json!("quality"), json!({ "prompt": "x", "quality": "ultra" })),
        beyond(&[OpenAi], json!("background"), json!({ "prompt": "x", "background": "transparent" })),
        beyond(&[OpenAi], json!("output_format"), json!({ "prompt": "x", "output_format": "svg" })),
        beyond(&[OpenAi], json!("output_compression"), json!({ "prompt": "x", "output_compression": 50 })),
        beyond(&[OpenAi], Value::Null, json!({ "prompt": "x", "seed": 4 })),
    ];
    for (contracts, param, body) in cases {
        for contract in contracts.iter().filter(|contract| both.contains(contract)) {
            let Outcome::Declined(declined) = shop.ask(contract, &body).await else {
                panic!("answered {body}")
            };
            assert_eq!(declined.why, Why::BeyondTables);
            let said = said(400, &declined.response);
            if *contract == OpenAi {
                assert_eq!(said["error"]["param"], param, "{body}");
            }
        }
    }
    let get = Request::get("/api/images").body(Bytes::new()).unwrap();
    let Outcome::Declined(declined) = shop.generator.answer(&Article, get).await else { panic!("answered") };
    assert_eq!(declined.response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(shop.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_refused_clearly_whatever_their_body_is() {
    let shop = Shop::open().await;
    for (path, what) in [("/v1/images/edits", "edits"), ("/v1/images/variations/", "variations")] {
        let request = Request::post(path).header("content-type", "multipart/form-data; boundary=b");
        let request = request.body(Bytes::from_static(b"--b--")).unwrap();
        let Outcome::Declined(declined) = shop.generator.answer(&OpenAi, request).await else {
            panic!("answered")
        };
        assert_eq!(declined.why, Why::BeyondTables);
        let error = &said(404, &declined.response)["error"];
        assert_eq!(
            (&error["code"], &error["type"]),
            (&json!("unknown_url"), &json!("invalid_request_error"))
        );
        assert!(error["message"].as_str().unwrap().contains(what), "{error}");
    }
}

/// What a parallel run holds an answer against.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_asks_for_is_told() {
    let shop = Shop::open().await;
    let wanted = |body: Value| shop.generator.wanted(&OpenAi, &post(body.to_string()));
    let asked = wanted(json!({ "prompt": "x", "size": "256x256", "n": 2, "output_format": "webp" }));
    assert_eq!((asked.size, asked.count, asked.format), (Some((256, 256)), Some(2), Some("webp")));
    for (background, transparent) in [("transparent", true), ("opaque", false), ("auto", false)] {
        assert_eq!(wanted(json!({ "prompt": "x", "background": background })).transparent, transparent);
    }
}
