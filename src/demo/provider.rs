//! A stand-in for the provider's API: speaks the Images API as its schemas say, keeps a ledger of what it charged, and
//! fails in every way that the real one fails, when it is told to.
//!
//! It is told in the prompt (`a fig tree [[rate-limit]]`), in a header (`Stand-In: rate-limit`), or beforehand, for the
//! next requests in turn: `POST /stand-in/next` with `["rate-limit", "ok"]`. `GET /stand-in/ledger` shows what was
//! asked and charged. Whatever is said there is said by tests and people at a demo; the real API has none of it.

mod answer;
mod behaviour;
mod ledger;
mod picture;
mod request;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Channel, Either, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use self::{
    answer::{Failure, Made},
    behaviour::Behaviour,
    ledger::{Charge, Ledger},
    request::Wanted,
};
use super::server;
use crate::shutdown::Shutdown;

const LARGEST_REQUEST: usize = 1 << 20;
/// The header in which one is told how to behave.
const TOLD: &str = "stand-in";

/// A whole body, or one that comes in pieces and may break off.
type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// How the stand-in is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The only key that it takes; none: any.
    pub key: Option<String>,
    /// How long a drawing takes.
    pub takes: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { key: None, takes: Duration::from_millis(30) }
    }
}

/// A stand-in that serves.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
}

#[derive(Debug)]
struct Api {
    settings: Settings,
    address: SocketAddr,
    ledger: Ledger,
    next: Mutex<VecDeque<Behaviour>>,
    /// What was answered by URL, to be downloaded once or more.
    pictures: Mutex<Vec<(String, Bytes)>>,
    serial: AtomicU64,
    shutdown: Shutdown,
}

impl Provider {
    /// Serves on `listener`, on the current runtime, until `shutdown` begins.
    pub fn open(listener: TcpListener, settings: Settings, shutdown: &Shutdown) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let api = Arc::new(Api {
            settings,
            address,
            ledger: Ledger::default(),
            next: Mutex::default(),
            pictures: Mutex::default(),
            serial: AtomicU64::new(1),
            shutdown: shutdown.clone(),
        });
        let connections = shutdown.clone();
        let serve = move |stream| connection(stream, api.clone(), connections.clone());
        shutdown.spawn(server::accept(listener, shutdown.clone(), serve));
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn connection(stream: TcpStream, api: Arc<Api>, shutdown: Shutdown) {
    let Ok((stream, line)) = with_second_handle(stream) else { return };
    let service = service_fn(|request: Request<Incoming>| api.answer(request, &line));
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the stand-in broke, perhaps on purpose");
    }
}

/// The connection, and a second handle by which it can be reset while hyper has it.
fn with_second_handle(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let first = stream.into_std()?;
    let second = first.try_clone()?;
    Ok((TcpStream::from_std(first)?, second))
}

impl Api {
    /// An error breaks the connection off without an answer.
    async fn answer(
        &self,
        request: Request<Incoming>,
        line: &std::net::TcpStream,
    ) -> io::Result<Response<Body>> {
        let path = request.uri().path().to_owned();
        let post = request.method() == Method::POST;
        let mut response = match path.as_str() {
            "/v1/images/generations" if post => return self.generate(request, line).await,
            "/v1/images/edits" | "/v1/images/variations" if post => {
                Failure::new(404, "invalid_request_error", None, None, "this stand-in only generates")
                    .response()
            }
            "/stand-in/ledger" => json(StatusCode::OK, &self.ledger.shown()),
            "/stand-in/next" if post => self.told(request).await,
            _ => match path.strip_prefix("/pictures/").and_then(|name| self.picture(name)) {
                Some(picture) => whole(StatusCode::OK, "application/octet-stream", picture),
                None => Failure::unknown_url(request.method(), &path).response(),
            },
        };
        response.headers_mut().insert("x-stand-in", header::HeaderValue::from_static("1"));
        Ok(response)
    }

    /// Takes orders for the next requests.
    async fn told(&self, request: Request<Incoming>) -> Response<Body> {
        let body = read(request.into_body()).await.unwrap_or_default();
        let names: Vec<String> = serde_json::from_slice(&body).unwrap_or_default();
        let behaviours: Option<Vec<_>> = names.iter().map(|name| Behaviour::named(name)).collect();
        match behaviours.filter(|behaviours| !behaviours.is_empty()) {
            Some(behaviours) => {
                self.lock_next().extend(behaviours);
                json(StatusCode::OK, &serde_json::json!({ "waiting": self.lock_next().len() }))
            }
            None => json(
                StatusCode::BAD_REQUEST,
                &serde_json::json!({ "error": "a JSON list of behaviours", "behaviours": behaviour::names() }),
            ),
        }
    }

    async fn generate(
        &self,
        request: Request<Incoming>,
        line: &std::net::TcpStream,
    ) -> io::Result<Response<Body>> {
        let id = format!("req_{:08x}", self.serial.fetch_add(1, Relaxed));
        let header =
            |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (told, authorization) = (header(TOLD), header("authorization"));
        let body = read(request.into_body()).await.map_err(io::Error::other)?;
        self.ledger.asked();
        let answered = match self.admit(authorization.as_deref(), &body) {
            Ok(wanted) => {
                let behaviour = self.behaviour(told.as_deref(), &wanted.prompt);
                self.behave(behaviour, wanted, &id, line).await
            }
            Err(failure) => Ok(failure.response()),
        };
        answered.map(|mut response| {
            answer::sign(response.headers_mut(), &id);
            response
        })
    }

    fn admit(&self, authorization: Option<&str>, body: &Bytes) -> Result<Wanted, Failure> {
        let key = authorization.and_then(|value| value.strip_prefix("Bearer "));
        match (key, &self.settings.key) {
            (None | Some(""), _) => Err(Failure::no_key()),
            (Some(key), Some(known)) if key != known => Err(Failure::wrong_key(key)),
            _ => Wanted::read(body),
        }
    }

    /// What was said of this request, or beforehand.
    fn behaviour(&self, told: Option<&str>, prompt: &str) -> Behaviour {
        let marked =
            || prompt.split_once("[[").and_then(|(_, rest)| rest.split_once("]]")).map(|(name, _)| name);
        let waiting = self.lock_next().pop_front();
        told.or_else(marked).and_then(Behaviour::named).or(waiting).unwrap_or(Behaviour::Well)
    }

    async fn behave(
        &self,
        behaviour: Behaviour,
        wanted: Wanted,
        id: &str,
        line: &std::net::TcpStream,
    ) -> io::Result<Response<Body>> {
        if let Some(failure) = behaviour.refusal() {
            return Ok(failure.response());
        }
        match behaviour {
            Behaviour::Reset => return Err(reset(line)),
            Behaviour::Slow(longer) => sleep(longer).await,
            _ => sleep(self.settings.takes).await,
        }
        // From here on it is paid for, whatever becomes of the answer.
        let charge = Charge::of(&wanted, id);
        let usage = answer::usage(&wanted);
        self.ledger.charge(charge);
        match behaviour {
            Behaviour::ResetAfterCharge => return Err(reset(line)),
            Behaviour::HangUpAfterCharge => return Err(io::Error::other("told to hang up")),
            Behaviour::ErrorAfterCharge => return Ok(Failure::server_error().response()),
            Behaviour::Hang => {
                self.shutdown.draining().await;
                return Err(io::Error::other("told to hang"));
            }
            Behaviour::Html => {
                return Ok(whole(StatusCode::OK, "text/html", "<!doctype html><p>Bad gateway".into()));
            }
            _ => {}
        }
        let (shape, count) = (wanted.clone(), wanted.n);
        let painted = tokio::task::spawn_blocking(move || {
            (0..count).map(|index| behaviour.picture(&shape, index)).collect::<Option<Vec<_>>>()
        });
        let Ok(Some(mut pictures)) = painted.await else { return Ok(Failure::server_error().response()) };
        if behaviour == Behaviour::Fewer {
            pictures.pop();
        }
        let made = Made { wanted: &wanted, pictures: &pictures, usage: &usage };
        if wanted.stream {
            return Ok(self.streamed(&made, behaviour));
        }
        let body = match behaviour {
            Behaviour::NoData => made.without_data(),
            Behaviour::EmptyData => made.json(&[]),
            Behaviour::BadBase64 => made.json(&[serde_json::json!({ "b64_json": "%%%" })]),
            Behaviour::Url => made.json(&self.by_url(id, &pictures)),
            Behaviour::UrlAtMetadata => {
                made.json(&[serde_json::json!({ "url": "https://169.254.169.254/latest/meta-data/" })])
            }
            _ => made.json(&made.inside()),
        };
        if behaviour == Behaviour::Cut {
            return Ok(self.cut(body.to_string()));
        }
        Ok(json(StatusCode::OK, &body))
    }

    /// Server-sent events: the previews that were asked for, then the images.
    fn streamed(&self, made: &Made<'_>, behaviour: Behaviour) -> Response<Body> {
        let mut events = made.events();
        if behaviour == Behaviour::Cut {
            events.pop();
        }
        let (mut sender, body) = Channel::new(1);
        let pause = self.settings.takes;
        self.shutdown.spawn(async move {
            for event in events {
                if sender.send_data(event.into()).await.is_err() {
                    return;
                }
                sleep(pause).await;
            }
            if behaviour == Behaviour::Cut {
                sender.abort(io::Error::other("told to break off"));
            }
        });
        let mut response = Response::new(Either::Right(body));
        let value = header::HeaderValue::from_static("text/event-stream; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, value);
        response
    }

    /// Half of a body, and then no more.
    fn cut(&self, body: String) -> Response<Body> {
        let (mut sender, channel) = Channel::new(1);
        let mut whole = Bytes::from(body);
        let half = whole.split_to(whole.len() / 2);
        self.shutdown.spawn(async move {
            if sender.send_data(half).await.is_ok() {
                sender.abort(io::Error::other("told to break off"));
            }
        });
        let mut response = Response::new(Either::Right(channel));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }

    fn by_url(&self, id: &str, pictures: &[Bytes]) -> Vec<serde_json::Value> {
        let mut kept = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        let links = pictures.iter().enumerate().map(|(index, picture)| {
            let name = format!("{id}-{index}");
            kept.push((name.clone(), picture.clone()));
            serde_json::json!({ "url": format!("http://{}/pictures/{name}?sig=stand-in", self.address) })
        });
        links.collect()
    }

    fn picture(&self, name: &str) -> Option<Bytes> {
        let kept = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == name).map(|(_, picture)| picture.clone())
    }

    fn lock_next(&self) -> std::sync::MutexGuard<'_, VecDeque<Behaviour>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection ends with RST, not FIN, when hyper lets go of it.
fn reset(line: &std::net::TcpStream) -> io::Error {
    let told = socket2::SockRef::from(line).set_linger(Some(Duration::ZERO));
    told.err().unwrap_or_else(|| io::Error::other("told to reset"))
}

async fn read(body: Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, LARGEST_REQUEST).collect().await?.to_bytes())
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    whole(status, "application/json", body.to_string().into())
}

fn whole(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    response
}
