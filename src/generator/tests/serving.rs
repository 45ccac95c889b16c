//! Images on their way to a browser.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;

use super::{Shop, bytes, small};
use crate::generator::{
    ImageAnswer,
    settings::{Contract, Query, Serve, Unknown},
    testing,
};

async fn one(shop: &Shop) -> String {
    shop.answer(&Contract::Article, 200, &small()).await["imagem"].as_str().unwrap().to_owned()
}

fn with(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_served_whole_in_part_and_not_at_all() {
    let shop = Shop::open().await;
    let name = one(&shop).await;
    let response = shop.get(&name).await;
    let headers = response.headers().clone();
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let whole = bytes(response).await;
    assert_eq!(headers["content-length"], whole.len().to_string());
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-security-policy"], "default-src 'none'");
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(headers["cache-control"], "private, max-age=86400");

    let head = shop.fetch(&Method::HEAD, &name, &HeaderMap::new()).await;
    assert_eq!((head.status(), head.headers()), (StatusCode::OK, &headers));
    assert!(head.body().is_end_stream());

    let part = shop.fetch(&Method::GET, &name, &with("range", "bytes=100-299")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 100-299/{}", whole.len()));
    assert_eq!(part.headers()["content-length"], "200");
    assert_eq!(bytes(part).await, whole[100..300]);

    let outside = shop.fetch(&Method::GET, &name, &with("range", "bytes=99999999-")).await;
    assert_eq!(outside.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(outside.headers()["content-range"], format!("bytes */{}", whole.len()));
    assert_eq!(outside.headers()["cache-control"], "no-store", "it is of one client's range");

    for method in [Method::GET, Method::HEAD] {
        let known = shop.fetch(&method, &name, &with("if-none-match", &etag)).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(known.headers()["etag"], etag.as_str());
        assert!(known.body().is_end_stream() && !known.headers().contains_key("content-length"));
        let other = shop.fetch(&method, &name, &with("if-match", "\"another\"")).await;
        assert_eq!(other.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(other.headers()["cache-control"], "no-store");
        assert_eq!(
            (&other.headers()["content-length"], other.body().is_end_stream()),
            (&"0".parse().unwrap(), true)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_image_is_streamed_in_pieces() {
    let shop = Shop::open().await;
    let ask = serde_json::json!({ "prompt": "stars over the city in snow", "size": "1024x1024" });
    let name = shop.answer(&Contract::Article, 200, &ask).await["imagem"].as_str().unwrap().to_owned();
    let stored = std::fs::read(shop.data.path().join("images").join(&name)).unwrap();
    assert!(stored.len() > 2 * 64 * 1024, "several pieces, {} bytes", stored.len());
    assert_eq!(bytes(shop.get(&name).await).await, stored);
    drop(shop.get(&name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sites_own_path_serves_ours_and_leaves_the_rest() {
    let shop = Shop::open().await;
    let name = one(&shop).await;
    let mut settings = testing::settings();
    let serve = |path: &str, unknown| Serve {
        path: path.into(),
        unknown,
        query: Query::Monolith,
        cache: "no-cache".into(),
        authorize: None,
    };
    settings.serve = vec![serve("/img/{name}", Unknown::Monolith), serve("/new/{name}", Unknown::NotFound)];
    shop.generator.reconfigure(settings);
    let ask = async |path: String| match shop.generator.serves(&Method::GET, &path, None) {
        Some(serving) => shop.generator.image(serving, &HeaderMap::new()).await,
        None => ImageAnswer::Monolith,
    };
    let status = |answer| match answer {
        ImageAnswer::Answered(response) => Some(response.status()),
        ImageAnswer::Monolith => None,
    };
    let nobody = name.replace("-0.png", "-1.png");
    assert_eq!(status(ask(format!("/img/{name}")).await), Some(StatusCode::OK));
    assert_eq!(status(ask(format!("/img/{nobody}")).await), None, "no job of ours made it");
    assert_eq!(status(ask("/img/logo.png".into()).await), None);
    assert_eq!(status(ask(format!("/new/{name}")).await), Some(StatusCode::OK));
    assert_eq!(status(ask(format!("/new/{nobody}")).await), Some(StatusCode::NOT_FOUND));
    assert_eq!(status(ask("/new/logo.png".into()).await), Some(StatusCode::NOT_FOUND));
}
