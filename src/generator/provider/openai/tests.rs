//! Against a server that answers as it is told, counts what it was asked, and breaks off where it is told to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use uuid::Uuid;

use super::*;
use crate::{
    generator::{
        admission::memory::Pool,
        arrival::Landing,
        events::Previews,
        order::{AskedSize, Format, Options, Prompt, Wish},
        provider::{Cause, Usage},
        settings::{Credential, FetchHost, Price},
        spool::Spool,
    },
    shutdown::Shutdown,
};

/// What the server does with one request.
#[derive(Clone)]
enum Act {
    /// Answers, and closes.
    Say(u16, &'static str, String),
    /// Announces a longer body than it sends.
    Cut(String),
    /// Announces a longer body than it sends, and does not close.
    Stall(&'static str, String),
    /// Reads the request and closes.
    HangUp,
}

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Does one act a request.
    async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        tokio::spawn(async move {
            let mut open = Vec::new();
            for act in acts {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 16 << 10];
                while !is_whole(&request) {
                    let read = socket.read(&mut piece).await.unwrap();
                    assert!(read > 0, "half a request");
                    request.extend_from_slice(&piece[..read]);
                }
                seen.lock().unwrap().push(String::from_utf8(request).unwrap());
                let stalls = matches!(act, Act::Stall(..));
                let (status, headers, body, length) = match act {
                    Act::Say(status, headers, body) => (status, headers, body.clone(), body.len()),
                    Act::Cut(body) => (200, "", body.clone(), body.len() + 1),
                    Act::Stall(headers, body) => (200, headers, body.clone(), body.len() + 1),
                    Act::HangUp => continue,
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nx-request-id: req_1\r\n{headers}content-length: {length}\r\n\r\n"
                );
                socket.write_all(head.as_bytes()).await.unwrap();
                socket.write_all(body.as_bytes()).await.unwrap();
                if stalls {
                    open.push(socket);
                } else {
                    socket.shutdown().await.unwrap();
                }
            }
            if !open.is_empty() {
                std::future::pending::<()>().await;
            }
        });
        Self { address, asked }
    }

    fn requests(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_ascii_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
    });
    body.len() >= length.unwrap_or(0)
}

fn settings(address: SocketAddr) -> Settings {
    Settings {
        base_url: format!("http://{address}/v1"),
        api_key: Some(Credential::fixed("sk-canary".into())),
        model: "gpt-image-2".into(),
        max_count: 4,
        prices: vec![Price { size: (64, 64), quality: "auto".into(), usd: Usd::micros(40_000) }],
        retries: 2,
        fetch_hosts: vec![FetchHost::Loopback { port: address.port() }],
    }
}

fn provider(settings: Settings) -> OpenAi {
    let metrics = Metrics::register(&mut Registry::default());
    OpenAi::new(Arc::new(settings), 1 << 20, Plane::current(Shutdown::default()), metrics)
}

fn order(provider: &OpenAi) -> Order {
    let wish = Wish {
        prompt: Prompt::new("a \"sea\"".into()).unwrap(),
        count: 2,
        size: AskedSize::Auto,
        format: Format::Png,
        compression: 100,
        options: Options::default(),
    };
    provider.abilities().agree(wish).unwrap()
}

async fn draw(acts: Vec<Act>) -> (Result<Drawing, ProviderError>, Vec<String>) {
    let server = Server::start(acts).await;
    let drawn = drawn_by(&provider(settings(server.address)), 30).await;
    (drawn, server.requests())
}

/// What it draws in so many seconds.
async fn drawn_by(provider: &OpenAi, seconds: u64) -> Result<Drawing, ProviderError> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    provider.draw(&order(provider), deadline, &Arrival::Awaited).await
}

fn two_images() -> String {
    json!({
        "created": 1, "data": [{ "b64_json": "aGk=" }, { "b64_json": "aG8=" }],
        "usage": { "input_tokens": 2, "output_tokens": 3, "total_tokens": 5 },
    })
    .to_string()
}

fn soon(status: u16, code: &str) -> Act {
    Act::Say(
        status,
        "retry-after-ms: 1\r\n",
        json!({ "error": { "code": code, "message": "sk-canary" } }).to_string(),
    )
}

#[tokio::test]
async fn a_call_says_all_that_is_wanted_and_no_more() {
    let (drawn, requests) = draw(vec![Act::Say(200, "", two_images())]).await;
    let Drawing { images, receipt, .. } = drawn.unwrap();
    assert_eq!(images, ["hi", "ho"]);
    assert_eq!(
        receipt,
        Receipt {
            request_id: Some("req_1".into()),
            usage: Some(Usage { input_tokens: 2, output_tokens: 3 }),
            cost: Some(Usd::micros(80_000)),
            cause: None,
        }
    );
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/images/generations HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer sk-canary\r\n"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({ "model": "gpt-image-2", "prompt": "a \"sea\"", "n": 2, "size": "64x64" }));
}

#[tokio::test]
async fn what_cannot_have_been_charged_is_asked_again_and_nothing_else() {
    let (drawn, requests) = draw(vec![
        soon(429, "rate_limit_exceeded"),
        soon(503, "overloaded"),
        Act::Say(200, "", two_images()),
    ])
    .await;
    assert!(drawn.is_ok() && requests.len() == 3);
    let (drawn, requests) = draw(vec![soon(429, "x"), soon(429, "x"), soon(429, "x"), Act::HangUp]).await;
    assert!(matches!(drawn, Err(ProviderError::Refused(Refused { why: WhyRefused::RateLimit, .. }))));
    assert_eq!(requests.len(), 3, "as often as the settings say");
    for act in [
        soon(400, "moderation_blocked"),
        soon(400, "billing_hard_limit_reached"),
        soon(401, "invalid_api_key"),
        soon(404, "model_not_found"),
        soon(429, "insufficient_quota"),
        soon(500, "server_error"),
        soon(503, "down"),
        Act::HangUp,
        Act::Cut(two_images()),
        Act::Say(200, "", "<html>".into()),
        Act::Say(200, "", json!({ "data": [] }).to_string()),
    ] {
        let (drawn, requests) = draw(vec![act, Act::Say(200, "", two_images())]).await;
        let error = drawn.unwrap_err();
        assert_eq!(requests.len(), 1, "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown_and_one_without_images_is_paid() {
    for act in [Act::HangUp, Act::Cut(two_images()), soon(500, "server_error"), soon(503, "down")] {
        assert!(matches!(draw(vec![act]).await.0, Err(ProviderError::Unknown { .. })));
    }
    for body in
        [json!({ "data": [{ "b64_json": "a" }] }), json!({ "data": [{ "url": "https://10.0.0.1/" }] })]
    {
        let (drawn, _) = draw(vec![Act::Say(200, "", body.to_string())]).await;
        let Err(ProviderError::Unusable { paid, receipt, .. }) = drawn else { panic!("{drawn:?}") };
        assert_eq!(paid, [body.to_string()]);
        assert_eq!(receipt.request_id.as_deref(), Some("req_1"));
    }
    let (drawn, _) = draw(vec![Act::Say(200, "", " ".repeat(1 << 20))]).await;
    assert!(matches!(drawn, Err(ProviderError::Unusable { .. })), "longer than any answer can be");
}

/// A server that has one image, for who comes first.
async fn one_image() -> SocketAddr {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = elsewhere.accept().await.unwrap();
        let _read = socket.read(&mut [0; 4096]).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nimage").await.unwrap();
    });
    address
}

/// A provider that gives this answer, and whose images may be downloaded there.
async fn answering(body: &Value, there: SocketAddr) -> OpenAi {
    let server = Server::start(vec![Act::Say(200, "", body.to_string())]).await;
    let mut settings = settings(server.address);
    settings.fetch_hosts = vec![FetchHost::Loopback { port: there.port() }];
    provider(settings)
}

fn here_and_at(address: SocketAddr) -> Value {
    json!({ "data": [{ "url": format!("http://{address}/1.png") }, { "b64_json": "aGk=" }] })
}

#[tokio::test]
async fn images_elsewhere_are_downloaded() {
    let address = one_image().await;
    let drawn = drawn_by(&answering(&here_and_at(address), address).await, 30).await.unwrap();
    assert_eq!(drawn.images, ["image", "hi"]);
}

/// How long the images are that an answer only names is not said in it.
#[tokio::test]
async fn images_elsewhere_have_memory_before_they_come() {
    let address = one_image().await;
    let provider = answering(&here_and_at(address), address).await;
    let order = order(&provider);
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::new(1 << 30);
    let spool = Spool::open(folder.path().into(), Plane::current(Shutdown::default())).unwrap();
    let landing =
        Landing { pool: pool.clone(), spool, job: Uuid::nil(), metrics: provider.0.metrics.clone() };
    let deadline = Instant::now() + Duration::from_secs(30);
    let drawn = provider.draw(&order, deadline, &Arrival::Landing(landing.into())).await.unwrap();
    assert_eq!(drawn.images, ["image", "hi"]);
    let most = arrival::needed(provider.largest_answer(&order)) + image::fitting_bytes(&order);
    assert_eq!((1 << 20) - pool.free_kib(), usize::try_from(most.div_ceil(1024)).unwrap());
}

#[tokio::test]
async fn an_image_that_does_not_come_in_time_was_paid_for_all_the_same() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let body = here_and_at(address);
    let drawn = drawn_by(&answering(&body, address).await, 1).await;
    let Err(ProviderError::Unusable { paid, receipt, .. }) = drawn else { panic!("{drawn:?}") };
    assert_eq!((paid, receipt.cost), (vec![body.to_string().into()], Some(Usd::micros(80_000))));
}

#[tokio::test]
async fn nobody_waits_past_the_deadline_to_ask_again() {
    let later = Act::Say(429, "retry-after: 30\r\n", String::new());
    let server = Server::start(vec![later]).await;
    let drawn = drawn_by(&provider(settings(server.address)), 20).await;
    let Err(ProviderError::Refused(refused)) = drawn else { panic!("{drawn:?}") };
    assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let provider = provider(Settings { retries: 0, ..settings(free) });
    let drawn = drawn_by(&provider, 30).await;
    let Err(ProviderError::Refused(refused)) = drawn else { panic!("{drawn:?}") };
    assert_eq!(refused.why, WhyRefused::Unreachable);
    assert!(!refused.message.contains("http://"), "{}", refused.message);
}

#[test]
fn options_are_said_and_what_is_scaled_here_arrives_without_loss() {
    let options = Options {
        quality: Some("high".into()),
        background: Some("transparent".into()),
        moderation: Some("low".into()),
        style: None,
        user: Some("u1".into()),
    };
    let size = Size { width: 1024, height: 1024 };
    let prompt = Prompt::new("x".into()).unwrap();
    let (asked, format) = (AskedSize::Exact(size), Format::WebP);
    let exact = Order { prompt, count: 1, asked, size, drawn: size, format, compression: 60, options };
    let body = request("m", &exact, None);
    assert_eq!(
        body,
        json!({ "model": "m", "prompt": "x", "n": 1, "size": "1024x1024", "quality": "high",
                "background": "transparent", "moderation": "low", "user": "u1",
                "output_format": "webp", "output_compression": 60 })
    );
    let scaled = Order { size: Size { width: 256, height: 256 }, ..exact };
    assert_eq!(request("m", &scaled, None).get("output_format"), None);
}

#[tokio::test]
async fn what_came_before_an_image_that_cannot_be_downloaded_is_kept() {
    let address = one_image().await;
    let body =
        json!({ "data": [{ "url": format!("http://{address}/1.png") }, { "url": "https://10.0.0.1/" }] });
    let drawn = drawn_by(&answering(&body, address).await, 30).await;
    let Err(ProviderError::Unusable { paid, .. }) = drawn else { panic!("{drawn:?}") };
    assert_eq!(paid, [body.to_string().into(), Bytes::from_static(b"image")]);
}

const STREAM: &str = "content-type: text/event-stream\r\n";

fn event(kind: &str, image: &str, more: &Value) -> String {
    let mut event = json!({ "type": format!("image_generation.{kind}"), "b64_json": image });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("event: image_generation.{kind}\ndata: {event}\n\n")
}

/// What is drawn of a stream that says this.
async fn streamed(said: String) -> Result<Drawing, ProviderError> {
    let server = Server::start(vec![Act::Say(200, STREAM, said)]).await;
    let provider = provider(settings(server.address));
    let (previews, _shown) = Previews::new(2);
    provider
        .draw(&order(&provider), Instant::now() + Duration::from_secs(30), &Arrival::Shown(previews))
        .await
}

#[tokio::test]
async fn every_image_of_a_stream_is_kept_whatever_is_wrong_with_others() {
    let (good, bad) = (event("completed", "aGk=", &json!({})), event("completed", "a", &json!({})));
    let kept = bad.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    let good_one = Bytes::from_static(b"hi");
    for (said, images) in [
        (format!("{good}{bad}"), [good_one.clone(), kept.clone().into()]),
        (format!("{bad}{good}"), [kept.clone().into(), good_one.clone()]),
    ] {
        let Err(ProviderError::Unusable { paid, receipt, .. }) = streamed(said).await else {
            panic!("it is no image")
        };
        assert_eq!((&paid[..], receipt.cost), (&images[..], Some(Usd::micros(80_000))));
    }
    // The last one has no end.
    let said = format!("{good}{good}");
    assert_eq!(streamed(said.trim_end().to_owned()).await.unwrap().images, ["hi", "hi"]);
}

/// What has come is paid for, and the others may be.
#[tokio::test]
async fn images_of_a_stream_that_takes_too_long_are_kept() {
    let image = event("completed", "aGk=", &json!({}));
    for (said, kept) in [(image.clone(), true), (event("partial_image", "aGE=", &json!({})), false)] {
        let server = Server::start(vec![Act::Stall(STREAM, said)]).await;
        let provider = provider(settings(server.address));
        let (previews, _shown) = Previews::new(1);
        let deadline = Instant::now() + Duration::from_millis(300);
        match provider.draw(&order(&provider), deadline, &Arrival::Shown(previews)).await {
            Ok(drawn) if kept => {
                assert_eq!(
                    (drawn.images, drawn.receipt.cost, drawn.receipt.cause.as_deref()),
                    (vec!["hi".into()], Some(Usd::micros(80_000)), Some(&Cause::Late))
                );
            }
            Err(ProviderError::Late) if !kept => {}
            drawn => panic!("{drawn:?}"),
        }
    }
}

#[tokio::test]
async fn previews_are_shown_and_the_images_come_at_the_end() {
    let body = [
        event("partial_image", "aGE=", &json!({ "partial_image_index": 0 })),
        event("completed", "aGk=", &json!({})),
        event("completed", "aG8=", &json!({ "usage": { "input_tokens": 1, "output_tokens": 2 } })),
    ];
    let server = Server::start(vec![Act::Say(200, STREAM, body.concat())]).await;
    let provider = provider(settings(server.address));
    let (previews, mut shown) = Previews::new(2);
    let deadline = Instant::now() + Duration::from_secs(30);
    let drawn = provider.draw(&order(&provider), deadline, &Arrival::Shown(previews)).await.unwrap();
    assert_eq!(drawn.images, ["hi", "ho"]);
    assert_eq!(drawn.receipt.usage, Some(Usage { input_tokens: 1, output_tokens: 2 }));
    assert_eq!(shown.recv().await.unwrap().image, "aGE=");
    assert!(server.requests()[0].contains("\"stream\":true,\"partial_images\":2"));

    // Whatever a stream says after an image, that one was paid for.
    for ending in ["", "event: error\ndata: {\"error\": {\"code\": \"moderation_blocked\"}}\n\n"] {
        let begun = event("completed", "aGk=", &json!({})) + ending;
        let drawn = streamed(begun).await.unwrap();
        assert_eq!((drawn.images, drawn.receipt.cost), (vec!["hi".into()], Some(Usd::micros(40_000))));
    }

    let partial = event("partial_image", "aGE=", &json!({}));
    // Once it has drawn, that its account is empty says nothing of what that has cost.
    for (beginning, code, refused) in [
        (&*partial, "", false),
        (&partial, "moderation_blocked", true),
        (&partial, "server_error", false),
        (&partial, "insufficient_quota", false),
        ("", "moderation_blocked", true),
        ("", "insufficient_quota", true),
    ] {
        let failed = format!("event: error\ndata: {{\"error\": {{\"code\": \"{code}\"}}}}\n\n");
        let ending = if code.is_empty() { "" } else { &failed };
        let error = streamed(format!("{beginning}{ending}")).await.unwrap_err();
        assert_eq!(matches!(error, ProviderError::Refused(_)), refused, "{beginning}{ending}: {error}");
    }
}
