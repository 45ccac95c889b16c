//! A provider that is paid, played over a socket: what its clients are told, at once and later.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use super::{Bytes, Shop, post, said};
use crate::generator::{
    Belonging, Outcome, RouteName, Until,
    settings::{
        Contract::{Article, OpenAi},
        Draws, Idempotency, KeyPlace, OpenAi as Provider, Price, Running, Settings, Usd,
    },
    testing,
};

const PROMPT: &str = "um canario sobre o mar";

/// An answer of the provider's.
fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn refusal(status: u16, error: &Value) -> String {
    answer(status, &json!({ "error": error }).to_string())
}

/// A shop whose provider gives these answers, one a call; an empty one never comes.
async fn shop(answers: Vec<String>) -> Shop {
    let deadline = if answers.iter().any(String::is_empty) {
        Duration::from_millis(500)
    } else {
        Duration::from_mins(1)
    };
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { deadline, ..of_provider(&provider, 64) };
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for answer in answers {
            let mut socket = asked(&provider).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                silent.push(socket);
            }
        }
        std::future::pending::<()>().await;
    });
    let shop = Shop::awake(Arc::new(tempfile::tempdir().unwrap())).await;
    shop.generator.reconfigure(settings);
    shop
}

/// Of a provider that draws pictures this wide and high.
fn of_provider(provider: &TcpListener, side: u32) -> Settings {
    let mut settings = testing::settings();
    settings.draws = Draws::OpenAi(Arc::new(Provider {
        base_url: format!("http://{}/v1", provider.local_addr().unwrap()),
        api_key: None,
        model: "gpt-image-2".into(),
        max_count: 2,
        prices: vec![Price { size: (side, side), quality: "auto".into(), usd: Usd::ZERO }],
        retries: 0,
        fetch_hosts: Vec::new(),
    }));
    let key = KeyPlace::Header("idempotency-key".parse().unwrap());
    settings.idempotency.insert("generate-image".into(), Idempotency { key, running: Running::Wait });
    settings
}

/// The next client of the provider, once it has asked.
async fn asked(provider: &TcpListener) -> TcpStream {
    let (mut socket, _) = provider.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        assert!(socket.read_buf(&mut asked).await.unwrap() > 0, "half a request");
    }
    socket
}

fn request(key: &str) -> Request<Bytes> {
    let mut request = post(json!({ "prompt": PROMPT }).to_string());
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request.extensions_mut().insert(RouteName("generate-image".into()));
    request.extensions_mut().insert(Belonging(b"maria".to_vec()));
    request
}

async fn ask(shop: &Shop, request: Request<Bytes>) -> Response<Bytes> {
    match shop.generator.answer(&OpenAi, request).await {
        Outcome::Answered(response) => response,
        other => panic!("not answered whole: {other:?}"),
    }
}

fn is_final(headers: &HeaderMap) -> bool {
    headers.get("x-should-retry").is_some_and(|value| value == "false")
}

/// A picture as the provider sends it.
fn picture() -> Value {
    let mut png = Vec::new();
    let picture = ::image::DynamicImage::new_rgb8(64, 64);
    picture.write_to(&mut std::io::Cursor::new(&mut png), ::image::ImageFormat::Png).unwrap();
    json!({ "b64_json": BASE64_STANDARD.encode(png) })
}

#[tokio::test(flavor = "multi_thread")]
async fn more_images_than_were_asked_for_are_no_failure_and_fewer_are() {
    let drawn = |count| answer(200, &json!({ "data": vec![picture(); count] }).to_string());
    let shop = shop(vec![drawn(3), drawn(0)]).await;
    let told = said(200, &ask(&shop, request("1")).await);
    assert_eq!((told["data"].as_array().unwrap().len(), shop.files("images").len()), (1, 1));
    said(502, &ask(&shop, request("2")).await);
    let paid_invalid = ("failed".to_owned(), Some("paid-invalid".to_owned()));
    assert_eq!(shop.jobs(), [("done".to_owned(), None), paid_invalid]);
}

/// A picture that no encoding makes smaller, as the provider sends it.
fn grain(side: u32) -> Value {
    let mut png = Vec::new();
    let mut state = 1_u32;
    let picture = ::image::RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, r, g, b] = state.to_le_bytes();
        ::image::Rgb([r, g, b])
    });
    picture.write_to(&mut std::io::Cursor::new(&mut png), ::image::ImageFormat::Png).unwrap();
    json!({ "b64_json": BASE64_STANDARD.encode(png) })
}

/// What is drawn takes minutes at the provider and milliseconds of memory here.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_drawn_at_once_whose_answers_have_memory_one_by_one() {
    const JOBS: usize = 4;
    // Too little for two of them.
    const MEMORY: usize = 12 << 20;
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { memory: MEMORY, ..of_provider(&provider, 1024) };
    let whole = answer(200, &json!({ "data": [grain(1024)] }).to_string());
    // It answers nobody until all have asked.
    tokio::spawn(async move {
        let mut clients = Vec::new();
        for _ in 0..JOBS {
            clients.push(asked(&provider).await);
        }
        for mut client in clients {
            let whole = whole.clone();
            tokio::spawn(async move { client.write_all(whole.as_bytes()).await });
        }
        std::future::pending::<()>().await;
    });
    let shop = Shop::open().await;
    shop.generator.reconfigure(settings);
    let mut asks = JoinSet::new();
    for key in 0..JOBS {
        let generator = shop.generator.clone();
        asks.spawn(async move { generator.answer(&OpenAi, request(&key.to_string())).await });
    }
    for outcome in asks.join_all().await {
        let Outcome::Answered(answer) = outcome else { panic!("not answered whole: {outcome:?}") };
        said(200, &answer);
    }
    assert_eq!(shop.files("images").len(), JOBS);
    assert!(shop.files("spool").is_empty());
    let free = shop.generator.0.live.load().admission.memory().free_kib();
    assert_eq!(free, MEMORY >> 10, "all of it is free again");
    assert!(shop.generator.0.saga.metrics.landed.get() > 0, "some have waited on the disk");
}

/// Libraries of this API send a request again by themselves after a 5xx, without a key.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_paid_is_not_sent_again_by_a_clients_library() {
    for (provider, status) in [
        (refusal(500, &json!({ "code": "server_error" })), 502),
        (answer(200, "<html>"), 502),
        (String::new(), 504),
    ] {
        let shop = shop(vec![provider]).await;
        let first = ask(&shop, request("1")).await;
        said(status, &first);
        assert!(is_final(first.headers()), "{status}");
        let again = ask(&shop, request("1")).await;
        assert_eq!(again.headers()["idempotent-replayed"], "true");
        assert!(is_final(again.headers()), "{status}, again");
    }
    let shop = shop(vec![refusal(429, &json!({ "code": "rate_limit_exceeded" }))]).await;
    let refused = ask(&shop, request("1")).await;
    said(503, &refused);
    assert!(!is_final(refused.headers()), "nothing was paid");
}

/// What a poll of the job of `request` says when it is over.
async fn polled(shop: &Shop, mut request: Request<Bytes>) -> Response<Bytes> {
    request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    let accepted = ask(shop, request).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let soon = Instant::now() + Duration::from_mins(1);
    shop.generator.settle(Until(soon), soon).await;
    let place = accepted.headers()["location"].to_str().unwrap();
    let poll = shop.generator.polls(&Method::GET, place).unwrap();
    let job = shop.generator.job(poll).await.unwrap().unwrap();
    shop.generator.progress(&OpenAi, &job, None, "http://shop.example").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_and_the_same_key_tell_what_the_answer_told() {
    for (provider, status, code) in [
        (refusal(400, &json!({ "code": "moderation_blocked" })), 400, "moderation_blocked"),
        (refusal(400, &json!({ "code": "invalid_value", "param": "size" })), 400, "invalid_value"),
        (refusal(401, &json!({ "code": "invalid_api_key" })), 502, "provider_failed"),
        (refusal(429, &json!({ "code": "rate_limit_exceeded" })), 503, "rate_limited"),
        (refusal(500, &json!({ "code": "server_error" })), 502, "provider_failed"),
        (answer(200, "<html>"), 502, "invalid_image"),
        (String::new(), 504, "timeout"),
    ] {
        let shop = shop(vec![provider; 2]).await;
        let told = said(status, &ask(&shop, request("1")).await);
        assert_eq!(told["error"]["code"], code);
        let later = polled(&shop, request("2")).await;
        assert_eq!(said(status, &later), told, "a poll");
        assert!(!later.headers().contains_key("retry-after"), "it is over");
        let is_kept = shop.jobs().iter().all(|(_, reason)| reason.as_deref() != Some("refused"));
        if is_kept {
            assert_eq!(said(status, &ask(&shop, request("1")).await), told, "the same key");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_takes_for_wrong_is_the_clients_to_mend_and_what_is_wrong_with_us_is_not() {
    let wrong = |param: Value| json!({ "code": "invalid_value", "param": param, "message": PROMPT });
    for (provider, status, param, code) in [
        (refusal(400, &wrong(json!("background"))), 400, json!("background"), "invalid_value"),
        (refusal(422, &wrong(json!("size"))), 400, json!("size"), "invalid_value"),
        (refusal(400, &json!({ "message": PROMPT })), 400, Value::Null, "provider_refused"),
        (refusal(400, &wrong(json!("model"))), 502, Value::Null, "provider_refused"),
        (refusal(405, &json!({})), 502, Value::Null, "provider_refused"),
        (refusal(403, &wrong(json!("size"))), 502, Value::Null, "provider_failed"),
    ] {
        let shop = shop(vec![provider.clone(); 2]).await;
        let told = said(status, &ask(&shop, request("1")).await);
        let error = &told["error"];
        assert_eq!((&error["param"], &error["code"]), (&param, &json!(code)), "{provider}");
        let kind = if status == 400 { "invalid_request_error" } else { "server_error" };
        assert_eq!(error["type"], kind);
        assert!(!told.to_string().contains("canario"), "{told}");
        let Outcome::Answered(article) = shop.generator.answer(&Article, request("2")).await else {
            panic!("declined")
        };
        let message = said(status, &article)["msg"].as_str().unwrap().to_owned();
        assert_eq!(message.contains("invalid_value"), code == "invalid_value", "{message}");
    }
}
