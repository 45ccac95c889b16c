//! One visitor of the shop: a client with its own cookies, who looks hard at every answer.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, Response, multipart, redirect::Policy};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::plan::Visit;
use crate::{demo::monolith, routing::Arm};

/// What stored names of the generator start with, as the demo's `routes.toml` says.
pub(crate) const NAME_PREFIX: &str = "fg-";

/// Longest that any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a visit that was answered as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With what was asked for.
    Served,
    /// With a refusal that was due.
    Refused,
    /// With the monolith's own error, passed on.
    Breakdown,
}

/// An answer that was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Who gave it.
    pub(crate) by: Arm,
    /// What it was.
    pub(crate) outcome: Outcome,
    /// From the request to the last byte.
    pub(crate) took: Duration,
}

/// An answer that is not what it should be, or none.
#[derive(Debug, Error)]
pub(crate) enum Untrue {
    /// There was none, or not all of it.
    #[error("no whole answer: {0}")]
    Broken(#[from] reqwest::Error),
    /// Another status.
    #[error("status {got} in place of {due}: {text}")]
    Status {
        /// The right one.
        due: StatusCode,
        /// The one that came.
        got: StatusCode,
        /// How the body begins.
        text: String,
    },
    /// The right status, the wrong content.
    #[error("{0}")]
    Content(String),
}

/// A head and the whole body.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// One visitor.
#[derive(Debug)]
pub(crate) struct Visitor {
    name: String,
    site: String,
    client: Client,
    style: Option<header::HeaderValue>,
    picture: Option<(String, u32)>,
}

impl Visitor {
    /// A visitor called `name` who goes to `site`, an origin without a slash at its end.
    pub(crate) fn new(name: String, site: &str) -> reqwest::Result<Self> {
        let client = Client::builder()
            .cookie_store(true)
            .redirect(Policy::none())
            .no_proxy()
            .tls_certs_only([])
            .timeout(PATIENCE)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { name, site: site.to_owned(), client, style: None, picture: None })
    }

    /// The visitor's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes one request and looks at what comes back.
    pub(crate) async fn make(&mut self, visit: &Visit) -> Result<Answer, Untrue> {
        let started = Instant::now();
        let whole = whole(self.send(visit).await?).await?;
        let took = started.elapsed();
        let by = if whole.headers.contains_key("x-powered-by") { Arm::Control } else { Arm::Candidate };
        let outcome = self.judge(visit, &whole, by)?;
        Ok(Answer { by, outcome, took })
    }

    async fn send(&self, visit: &Visit) -> reqwest::Result<Response> {
        let get = |path: &str| self.client.get(format!("{}{path}", self.site));
        let post = |path: &str| self.client.post(format!("{}{path}", self.site));
        let order = |prompt: &str, size: u32| {
            post("/api/images")
                .json(&serde_json::json!({ "prompt": prompt, "n": 1, "size": format!("{size}x{size}") }))
        };
        let request = match visit {
            Visit::SignIn => post("/login")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(format!("name={}&password=figueira", self.name)),
            Visit::Home => get("/"),
            Visit::Account => get("/account"),
            Visit::Style => match &self.style {
                Some(etag) => get("/static/style.css").header(header::IF_NONE_MATCH, etag),
                None => get("/static/style.css"),
            },
            Visit::Upload(size) => {
                let sketch = multipart::Part::bytes(sketch(*size)).file_name("sketch.bin");
                post("/upload").multipart(multipart::Form::new().text("note", "by hand").part("file", sketch))
            }
            Visit::Live => get("/live"),
            Visit::Order { prompt, size } => order(prompt, *size),
            Visit::Picture => match &self.picture {
                Some((name, _)) => get(&format!("/img/{name}")),
                None => get("/static/logo.svg"),
            },
            Visit::EmptyPrompt => order("", 256),
            Visit::NoCredit => order("a picture for nothing", 256),
        };
        request.send().await
    }

    fn judge(&mut self, visit: &Visit, whole: &Whole, by: Arm) -> Result<Outcome, Untrue> {
        match visit {
            Visit::SignIn => {
                whole.expect(StatusCode::SEE_OTHER)?;
                let cookies = whole.headers.get_all(header::SET_COOKIE).iter().count();
                ensure(cookies == 3, || format!("{cookies} cookies in place of 3"))?;
            }
            Visit::Home => whole.expect_text("On the wall")?,
            Visit::Account => whole.expect_text(&format!(r#"<span id="customer">{}</span>"#, self.name))?,
            Visit::Style => self.judge_style(whole)?,
            Visit::Upload(size) => {
                let seal = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(sketch(*size)));
                whole.expect_text(&format!(r#"<code id="seal">{seal}</code>"#))?;
            }
            Visit::Live => {
                let pieces = whole.expect_ok()?.matches("<p id=\"news-").count();
                ensure(pieces == 5, || format!("{pieces} pieces of news in place of 5"))?;
            }
            Visit::Order { size, .. } => return self.judge_order(whole, by, *size),
            Visit::Picture => match &self.picture {
                Some((name, size)) => judge_picture(whole, by, name, *size)?,
                None => whole.expect_text("<svg")?,
            },
            Visit::EmptyPrompt => return whole.expect_refusal(StatusCode::BAD_REQUEST),
            Visit::NoCredit => return whole.expect_refusal(StatusCode::PAYMENT_REQUIRED),
        }
        Ok(Outcome::Served)
    }

    fn judge_style(&mut self, whole: &Whole) -> Result<(), Untrue> {
        if self.style.is_some() {
            whole.expect(StatusCode::NOT_MODIFIED)?;
            return ensure(whole.body.is_empty(), || "a 304 with a body".to_owned());
        }
        let style = whole.expect_ok()?;
        ensure(style == monolith::STYLE, || "a style sheet that is not the shop's".to_owned())?;
        self.style = whole.headers.get(header::ETAG).cloned();
        ensure(self.style.is_some(), || "a static file without ETag".to_owned())
    }

    fn judge_order(&mut self, whole: &Whole, by: Arm, size: u32) -> Result<Outcome, Untrue> {
        if whole.status == StatusCode::INTERNAL_SERVER_ERROR && by == Arm::Control {
            let own = whole.text().contains("Atelier breakdown");
            ensure(own, || "a 500 of the monolith that it did not write".to_owned())?;
            return Ok(Outcome::Breakdown);
        }
        let answer = whole.expect_contract(StatusCode::OK)?;
        let name = answer.get("imagem").and_then(serde_json::Value::as_str).unwrap_or_default();
        let expected = if name.starts_with(NAME_PREFIX) { Arm::Candidate } else { Arm::Control };
        ensure(!name.is_empty() && by == expected, || format!("the image {name:?} from the wrong hand"))?;
        self.picture = Some((name.to_owned(), size));
        Ok(Outcome::Served)
    }
}

fn judge_picture(whole: &Whole, by: Arm, name: &str, size: u32) -> Result<(), Untrue> {
    whole.expect(StatusCode::OK)?;
    let ours = name.starts_with(NAME_PREFIX);
    ensure(ours == (by == Arm::Candidate), || format!("{name} from the wrong store"))?;
    // Width and height stand at a fixed place of every PNG (its specification, 11.2.1).
    let pixels = size.to_be_bytes();
    let right = whole.body.starts_with(b"\x89PNG\r\n\x1a\n")
        && whole.body.get(16..24).is_some_and(|sides| sides == [pixels, pixels].concat());
    ensure(right, || format!("{name} is no PNG of {size}x{size}"))
}

impl Whole {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    fn expect(&self, due: StatusCode) -> Result<(), Untrue> {
        if self.status == due {
            return Ok(());
        }
        Err(Untrue::Status { due, got: self.status, text: self.text().chars().take(160).collect() })
    }

    fn expect_ok(&self) -> Result<std::borrow::Cow<'_, str>, Untrue> {
        self.expect(StatusCode::OK)?;
        Ok(self.text())
    }

    fn expect_text(&self, part: &str) -> Result<(), Untrue> {
        let found = self.expect_ok()?.contains(part);
        ensure(found, || format!("a page without {part:?}"))
    }

    /// A body of the `article` contract.
    fn expect_contract(&self, due: StatusCode) -> Result<serde_json::Value, Untrue> {
        self.expect(due)?;
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = body.get("processamento").and_then(serde_json::Value::as_u64);
        ensure(said == Some(due.as_u16().into()), || format!("processamento {said:?} beside {due}"))?;
        Ok(body)
    }

    fn expect_refusal(&self, due: StatusCode) -> Result<Outcome, Untrue> {
        let body = self.expect_contract(due)?;
        ensure(body.get("msg").is_some_and(serde_json::Value::is_string), || {
            "a refusal without msg".to_owned()
        })?;
        Ok(Outcome::Refused)
    }
}

async fn whole(response: Response) -> reqwest::Result<Whole> {
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Whole { status, headers, body: response.bytes().await? })
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Untrue> {
    if holds { Ok(()) } else { Err(Untrue::Content(otherwise())) }
}

/// Some bytes to upload, which look like a boundary now and then.
fn sketch(size: usize) -> Vec<u8> {
    b"\r\n--sketch\0\xff".iter().copied().cycle().take(size).collect()
}
