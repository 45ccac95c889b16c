//! Answers one request: which page, file, picture or order it is.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Channel, Limited};
use hyper::body::Incoming;

use super::{
    assets,
    counts::Kind,
    credits,
    order::Order,
    pages, painter,
    responses::{
        Body, breakdown, empty, file, json, moved, not_found, page, refusal, set_cookie, streamed, text,
        too_large, wrong_method,
    },
    shop::{self, Customer, Shop, Turn},
    upload,
};
use crate::shutdown::Shutdown;

/// What the shop says it runs on.
const POWERED_BY: HeaderValue = HeaderValue::from_static("Atelier/2.4 (legacy)");

/// Most bytes of an upload, and of any other body.
const UPLOAD: usize = 16 << 20;
const FORM: usize = 64 << 10;
/// Between two pieces of the streamed page.
const PRESS: Duration = Duration::from_millis(40);
const ON_THE_FRONT: usize = 24;

/// The shop behind its door. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Site {
    shop: Arc<Shop>,
    spelling: Extensions,
    shutdown: Shutdown,
}

impl Site {
    pub(super) fn new(shop: Arc<Shop>, spelling: Extensions, shutdown: Shutdown) -> Self {
        Self { shop, spelling, shutdown }
    }

    /// Answers `request`, in the shop's handwriting.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let (kind, mut response) = self.route(&path, request).await;
        self.shop.counts().saw(kind);
        response.extensions_mut().extend(self.spelling.clone());
        let headers = response.headers_mut();
        headers.insert("x-powered-by", POWERED_BY);
        headers.insert(header::SERVER, HeaderValue::from_static("Aurora-HTTPD/1.3.41"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.append(header::VARY, HeaderValue::from_static("Cookie"));
        response
    }

    async fn route(&self, path: &str, request: Request<Incoming>) -> (Kind, Response<Body>) {
        let token = session(request.headers());
        let customer = token.and_then(|token| self.shop.customer(token));
        let post = request.method() == Method::POST;
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/" if read => (
                Kind::Page,
                page(StatusCode::OK, pages::home(customer.as_ref(), &self.shop.newest(ON_THE_FRONT))),
            ),
            "/login" if read => (Kind::Account, page(StatusCode::OK, pages::login(None))),
            "/login" if post => (Kind::Account, self.sign_in(request).await),
            "/logout" if post => (Kind::Account, self.sign_out(token)),
            "/account" if read => (Kind::Page, account(customer.as_ref())),
            "/galeria" if read => (Kind::Page, moved(StatusCode::MOVED_PERMANENTLY, "/")),
            "/live" if read => (Kind::Stream, self.live()),
            "/healthz" if read => (Kind::Other, text(StatusCode::OK, "ok\n")),
            "/upload" if post => (Kind::Upload, receive(customer.as_ref(), request).await),
            "/api/credits" if read => (Kind::Account, self.balance(customer.as_ref())),
            "/internal/may-generate" if read => {
                (Kind::Other, self.may_generate(customer.as_ref(), request.headers()))
            }
            "/internal/image-created" if post => (Kind::Other, self.image_created(request).await),
            "/api/images" if post => (Kind::Order, self.order(customer, request).await),
            "/api/images" | "/upload" | "/logout" => (Kind::Other, wrong_method("POST")),
            "/login" => (Kind::Other, wrong_method("GET, HEAD, POST")),
            _ if !read => (Kind::Other, wrong_method("GET, HEAD")),
            _ => self.file(path, request.headers()),
        }
    }

    fn file(&self, path: &str, asked: &HeaderMap) -> (Kind, Response<Body>) {
        if let Some(name) = path.strip_prefix("/static/") {
            let found = assets::named(name).map(|asset| {
                let content = Bytes::from_static(asset.content.as_bytes());
                file(
                    asked,
                    content,
                    asset.media_type,
                    &shop::etag(asset.content.as_bytes()),
                    "public, max-age=3600",
                )
            });
            return (Kind::Static, found.unwrap_or_else(not_found));
        }
        if let Some(name) = path.strip_prefix("/img/") {
            let found = self.shop.picture(name).map(|picture| {
                file(asked, picture.png, "image/png", &picture.etag, "private, max-age=86400")
            });
            return (Kind::Picture, found.unwrap_or_else(not_found));
        }
        (Kind::Page, not_found())
    }

    async fn sign_in(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok(form) = collect(request.into_body(), FORM).await else { return too_large() };
        let field = |wanted: &str| {
            form_urlencoded::parse(&form)
                .find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
                .unwrap_or_default()
        };
        match self.shop.sign_in(&field("name"), &field("password")) {
            Ok(token) => {
                let mut response = moved(StatusCode::SEE_OTHER, "/account");
                for cookie in [
                    format!("session={token}; Path=/; HttpOnly; SameSite=Lax"),
                    "theme=classic; Path=/".to_owned(),
                ] {
                    set_cookie(&mut response, &cookie);
                }
                // Browsers of 2009 needed this one.
                set_cookie(&mut response, "p3p=; Path=/; Max-Age=0");
                response
            }
            Err(stranger) => page(StatusCode::FORBIDDEN, pages::login(Some(stranger))),
        }
    }

    fn sign_out(&self, token: Option<&str>) -> Response<Body> {
        if let Some(token) = token {
            self.shop.sign_out(token);
        }
        let mut response = moved(StatusCode::FOUND, "/");
        set_cookie(&mut response, "session=; Path=/; Max-Age=0");
        response
    }

    /// Whether a customer may have images drawn elsewhere; where so, their price is held.
    fn may_generate(&self, customer: Option<&Customer>, asked: &HeaderMap) -> Response<Body> {
        let text = |name: &str| asked.get(name).and_then(|value| value.to_str().ok());
        let Some(customer) = customer else { return refusal(StatusCode::FORBIDDEN, "sign in first") };
        let price = text("figueira-images").and_then(|count| count.parse().ok()).unwrap_or(0);
        let request = text("figueira-request").unwrap_or_default();
        let Some(hold) = self.shop.hold(&customer.name, request, price) else {
            return refusal(StatusCode::PAYMENT_REQUIRED, "you have no credits left");
        };
        let mut response = empty(StatusCode::NO_CONTENT);
        for (name, value) in [("x-user-id", &customer.name), ("x-hold", &hold)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn image_created(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Ok(body) = collect(body, FORM).await else { return too_large() };
        match credits::read(&head.headers, &body, self.shop.notify_secret()) {
            Ok(notice) => {
                self.shop.settle(&notice);
                empty(StatusCode::NO_CONTENT)
            }
            Err(why) => refusal(StatusCode::UNAUTHORIZED, why),
        }
    }

    fn balance(&self, customer: Option<&Customer>) -> Response<Body> {
        let Some(customer) = customer else { return refusal(StatusCode::FORBIDDEN, "sign in first") };
        let (credits, held, pictures) = self.shop.balance(&customer.name);
        json(StatusCode::OK, &serde_json::json!({ "credits": credits, "held": held, "pictures": pictures }))
    }

    /// The order's turn: slow, and now and then in vain.
    async fn order(&self, customer: Option<Customer>, request: Request<Incoming>) -> Response<Body> {
        let Ok(body) = collect(request.into_body(), FORM).await else { return too_large() };
        let Some(customer) = customer else { return refusal(StatusCode::FORBIDDEN, "sign in first") };
        let order = match Order::parse(&body) {
            Ok(order) => order,
            Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
        };
        let (number, takes) = match self.shop.take_order(&customer, order.n) {
            Turn::Accepted { number, takes } => (number, takes),
            Turn::Broke => return refusal(StatusCode::PAYMENT_REQUIRED, "you have no credits left"),
            Turn::Breakdown { number } => return breakdown(number),
        };
        tokio::time::sleep(takes).await;
        let shop = Arc::clone(&self.shop);
        let painted = tokio::task::spawn_blocking(move || {
            (0..order.n)
                .map(|copy| {
                    let png = painter::paint(&order.prompt, number << 8 | copy, order.size)?;
                    Some(shop.hang(&order.prompt, order.size, png))
                })
                .collect::<Option<Vec<_>>>()
        });
        match painted.await {
            Ok(Some(names)) => self.delivered(number, &names),
            Ok(None) | Err(_) => breakdown(number),
        }
    }

    fn delivered(&self, number: u64, names: &[String]) -> Response<Body> {
        let mut answer = serde_json::json!({
            "processamento": 200,
            "imagem": names.first(),
            "pedido": format!("A-{number:06}"),
            "criado_em": self.shop.now().to_string(),
        });
        if names.len() > 1
            && let Some(fields) = answer.as_object_mut()
        {
            fields.insert("imagens".to_owned(), names.into());
        }
        json(StatusCode::OK, &answer)
    }

    /// A page that is written while it is read.
    fn live(&self) -> Response<Body> {
        let (mut press, paper) = Channel::new(1);
        let head = pages::news_head(self.shop.now()).into_string();
        self.shutdown.spawn(async move {
            let items =
                pages::NEWS.iter().enumerate().map(|(at, text)| pages::news_item(at + 1, text).into_string());
            for piece in std::iter::once(head).chain(items) {
                if press.send_data(piece.into()).await.is_err() {
                    // The reader has left.
                    return;
                }
                tokio::time::sleep(PRESS).await;
            }
        });
        streamed(paper)
    }
}

/// The value of the cookie `session`.
fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("session="))
}

async fn collect(body: Incoming, limit: usize) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, limit).collect().await?.to_bytes())
}

async fn receive(customer: Option<&Customer>, request: Request<Incoming>) -> Response<Body> {
    let boundary = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(upload::boundary)
        .map(str::to_owned);
    let Ok(body) = collect(request.into_body(), UPLOAD).await else { return too_large() };
    let Some(file) = boundary.and_then(|boundary| upload::first_file(&body, &boundary)) else {
        return page(
            StatusCode::BAD_REQUEST,
            pages::trouble("No file", "There was no file in what you sent."),
        );
    };
    let seal = shop::seal(file.content);
    page(StatusCode::OK, pages::receipt(customer, file.name, file.content.len(), &seal))
}

fn account(customer: Option<&Customer>) -> Response<Body> {
    match customer {
        Some(customer) => page(StatusCode::OK, pages::account(customer)),
        None => moved(StatusCode::FOUND, "/login"),
    }
}
