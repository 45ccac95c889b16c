//! The shop over real sockets.

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{counts::Kind, *};

async fn opened(settings: Settings) -> (Monolith, Shutdown) {
    let shutdown = Shutdown::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { slowest_at_best: Duration::ZERO, slower_by: Duration::ZERO, ..settings };
    (Monolith::open(listener, settings, &shutdown).await.unwrap(), shutdown)
}

fn client() -> Client {
    Client::builder().cookie_store(true).redirect(Policy::none()).no_proxy().build().unwrap()
}

async fn sign_in(client: &Client, shop: &Monolith, name: &str) -> reqwest::Response {
    let body = format!("name={name}&password=p");
    client
        .post(format!("http://{}/login", shop.address()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn order(client: &Client, shop: &Monolith, body: Value) -> (StatusCode, Value) {
    let url = format!("http://{}/api/images", shop.address());
    let response = client.post(url).json(&body).send().await.unwrap();
    (response.status(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn an_order_is_painted_hung_and_charged() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    let client = client();
    let redirect = sign_in(&client, &shop, "ana").await;
    assert_eq!(redirect.status(), StatusCode::SEE_OTHER);
    assert_eq!(redirect.headers()["location"], "/account");

    let (status, answer) = order(&client, &shop, json!({"prompt": "a cat", "n": 2, "size": "256x256"})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["processamento"], 200);
    assert_eq!(answer["imagens"].as_array().unwrap().len(), 2);
    assert_eq!(answer["imagens"][0], answer["imagem"]);
    let name = answer["imagem"].as_str().unwrap();
    let picture = client.get(format!("http://{}/img/{name}", shop.address())).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/png");
    let picture = image::load_from_memory(&picture.bytes().await.unwrap()).unwrap();
    assert_eq!((picture.width(), picture.height()), (256, 256));

    let account = client.get(format!("http://{}/account", shop.address())).send().await.unwrap();
    assert!(account.text().await.unwrap().contains(r#"<strong id="credits">98</strong>"#));
    assert_eq!(shop.counts().of(Kind::Order), 1);
    assert_eq!(shop.counts().of(Kind::Picture), 1);
}

#[tokio::test]
async fn no_two_answers_are_alike() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    let client = client();
    sign_in(&client, &shop, "ana").await;
    let (_, first) = order(&client, &shop, json!({"prompt": "a cat", "size": "256x256"})).await;
    let (_, second) = order(&client, &shop, json!({"prompt": "a cat", "size": "256x256"})).await;
    for field in ["imagem", "pedido", "criado_em"] {
        assert_ne!(first[field], second[field], "{field}");
    }
}

#[tokio::test]
async fn refusals_are_in_the_contracts_shape() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    let client = client();
    let cat = json!({"prompt": "a cat"});
    let (status, answer) = order(&client, &shop, cat.clone()).await;
    assert_eq!((status.as_u16(), answer["processamento"].as_u64()), (403, Some(403)));
    sign_in(&client, &shop, shop::GUEST).await;
    let (status, answer) = order(&client, &shop, json!({"prompt": ""})).await;
    assert_eq!((status.as_u16(), answer["processamento"].as_u64()), (400, Some(400)));
    let (status, answer) = order(&client, &shop, cat).await;
    assert_eq!((status.as_u16(), answer["processamento"].as_u64()), (402, Some(402)));
    assert!(answer["msg"].as_str().unwrap().contains("credits"));
}

#[tokio::test]
async fn every_kth_order_breaks_down_and_costs_nothing() {
    let (shop, _shutdown) = opened(Settings { breakdown_every: 2, credits: 2, ..Settings::default() }).await;
    let client = client();
    sign_in(&client, &shop, "ana").await;
    let cat = json!({"prompt": "a cat", "size": "256x256"});
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(order(&client, &shop, cat.clone()).await.0.as_u16());
    }
    assert_eq!(statuses, [200, 500, 200, 402]);
    assert_eq!(shop.counts().breakdowns(), 1);
}

#[tokio::test]
async fn a_name_belongs_to_its_password() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    sign_in(&client(), &shop, "ana").await;
    let url = format!("http://{}/login", shop.address());
    for body in ["name=ana&password=q", "name=A%20B&password=p", ""] {
        let refused = client().post(&url).body(body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{body}");
    }
}

#[tokio::test]
async fn static_files_are_not_sent_twice() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    let url = format!("http://{}/static/style.css", shop.address());
    let first = client().get(&url).send().await.unwrap();
    let etag = first.headers()["etag"].clone();
    assert_eq!(first.text().await.unwrap(), assets::named("style.css").unwrap().content);
    let again = client().get(&url).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

/// The answer to `request` as it stood on the wire; the request must ask for the connection's end.
async fn raw(shop: &Monolith, request: &str) -> String {
    let mut stream = TcpStream::connect(shop.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn headers_are_spelt_oddly_and_repeated() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    let answer = raw(
        &shop,
        "POST /login HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 8\r\n\r\nname=ana",
    )
    .await;
    for line in [
        "\r\nX-Powered-BY: Atelier",
        "\r\nSERVER: ",
        "\r\nSet-Cookie: session=",
        "\r\nset-cookie: theme=",
        "\r\nSET-COOKIE: p3p=",
        "\r\nVARY: ",
        "\r\nLocation: ",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
}

#[tokio::test]
async fn the_news_is_chunked() {
    let (shop, _shutdown) = opened(Settings::default()).await;
    let answer = raw(&shop, "GET /live HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await;
    assert!(answer.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked"), "{answer}");
    assert_eq!(answer.matches("<p id=\"news-").count(), 5);
    assert!(answer.ends_with("\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn closing_time_ends_every_connection() {
    let (shop, shutdown) = opened(Settings::default()).await;
    let mut idle = TcpStream::connect(shop.address()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    let mut piece = [0; 512];
    assert!(idle.read(&mut piece).await.unwrap() > 0);
    shutdown.begin();
    assert!(shutdown.drained(Duration::from_secs(5)).await);
}
