//! The same key again: one generation, however often and wherever it is asked for. A key stays with the arm that first
//! took it, and with what was asked for then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::RETRY_AFTER};
use tokio::{
    io::AsyncReadExt as _,
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use super::{
    Generator, Grant, Links, Outcome, RouteName, Why,
    catalog::{Claim, ClaimKey, Record},
    contract,
    contract::{Asked, Image, Made, Refusal, Reply},
    digest::Digest,
    events,
    order::{Format, Order, Prompt},
    polling,
    saga::failure::chain,
    settings::{Contract, Idempotency, KeyPlace, Running, Settings},
    state::{Again, Reason, State},
};
use crate::routing::Arm;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Keys longer than this are kept as their hash.
const LONGEST: usize = 200;
/// Between two looks at a job that another process runs.
const LOOK: Duration = Duration::from_millis(300);
/// How long a job that is only to be stored is waited for: longer, and its store is down.
const STORING: Duration = Duration::from_secs(5);
/// What a client is told to wait whose job still runs.
const BUSY: Duration = Duration::from_secs(3);

/// Who a request belongs to, as the route's `subject` says. A request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging(pub Vec<u8>);

/// The monolith may answer, if the generator has not. A request extension.
#[derive(Clone, Copy, Debug)]
pub struct MayFallBack;

/// The keys that requests of this process have in hand. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<ClaimKey, Arc<tokio::sync::Mutex<()>>>>>);

/// A key in hand, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    key: ClaimKey,
    _held: OwnedMutexGuard<()>,
}

/// Under which key a job is claimed.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    /// The client's; none: a fresh one.
    pub(crate) claim: Option<ClaimKey>,
    /// The job that refused, whose key it was.
    pub(crate) replaces: Option<Uuid>,
    /// The key is in hand for as long as the job runs.
    pub(crate) _turn: Option<Turn>,
}

impl Turns {
    fn of(&self, key: &ClaimKey) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    async fn wait(&self, key: ClaimKey) -> Turn {
        let held = self.of(&key).lock_owned().await;
        Turn { turns: self.clone(), key, _held: held }
    }

    fn take(&self, key: ClaimKey) -> Option<Turn> {
        let held = self.of(&key).try_lock_owned().ok()?;
        Some(Turn { turns: self.clone(), key, _held: held })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One is the map's and one is ours: nobody waits.
        if turns.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) <= 2) {
            turns.remove(&self.key);
        }
    }
}

/// Whose request it is: the tenant that the monolith named, else the route's subject; hashed, because a subject may be
/// a session.
pub(crate) fn tenant(request: &Request<Bytes>) -> Option<Digest> {
    let granted = request.extensions().get::<Grant>().and_then(|grant| grant.tenant.as_deref());
    let subject = || request.extensions().get::<Belonging>().map(|Belonging(subject)| subject.as_slice());
    granted.map(str::as_bytes).or_else(subject).filter(|subject| !subject.is_empty()).map(Digest::of)
}

/// The claim that a request asks for; none without a key, or without somebody whose key it is.
fn claim_of(settings: &Settings, request: &Request<Bytes>) -> Option<(ClaimKey, Idempotency)> {
    let RouteName(route) = request.extensions().get()?;
    let idempotency = settings.idempotency.get(route)?;
    let key = short(idempotency.key.read(request)?);
    let scope = format!("{route}/{}", tenant(request)?);
    Some((ClaimKey { scope, key }, idempotency.clone()))
}

fn short(key: String) -> String {
    if key.len() <= LONGEST { key } else { Digest::of(key.as_bytes()).to_string() }
}

impl KeyPlace {
    /// The key of a request, if it has one.
    fn read(&self, request: &Request<Bytes>) -> Option<String> {
        let in_form = |name: &str, form: &[u8]| {
            form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let key = match self {
            Self::Header(name) => request.headers().get(name)?.to_str().ok()?.to_owned(),
            Self::Query(name) => in_form(name, request.uri().query()?.as_bytes())?,
            Self::Form(name) => in_form(name, request.body())?,
            Self::Json(pointer) => {
                let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
                match body.pointer(pointer)? {
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Number(number) => number.to_string(),
                    _ => return None,
                }
            }
        };
        let key = key.trim();
        (!key.is_empty()).then(|| key.to_owned())
    }
}

impl Generator {
    /// Gives a request's key to `arm` unless it has one; the arm that it has. Only keys that stand in the head: what is
    /// forwarded is not held back for its body. Without an answer from the catalog, a key stays where it would go.
    pub async fn arm_of(&self, request: &Request<Bytes>, arm: Arm) -> Arm {
        let settings = self.settings();
        let Some(RouteName(route)) = request.extensions().get() else { return arm };
        let place = settings.idempotency.get(route).map(|idempotency| &idempotency.key);
        let Some(place @ (KeyPlace::Header(_) | KeyPlace::Query(_))) = place else { return arm };
        let Some(key) = place.read(request) else { return arm };
        let scope = tenant(request).map_or_else(|| route.to_string(), |tenant| format!("{route}/{tenant}"));
        let claim = ClaimKey { scope, key: short(key) };
        let inner = self.0.clone();
        let pinned = self.0.saga.plane.spawn(async move {
            let now = (inner.saga.clock)();
            let expires = now.checked_add(settings.idempotency_ttl).unwrap_or(now);
            inner.saga.catalog.pin(claim, arm, now, expires).await
        });
        match pinned.await {
            Ok(Ok(pinned)) => pinned,
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "which arm a key has is not known");
                arm
            }
            Err(_) => arm,
        }
    }

    /// Waits until a request's key is nobody else's, and says under what it is claimed; an error is the answer that the
    /// key has already.
    pub(super) async fn keyed(
        &self,
        contract: &Contract,
        request: &Request<Bytes>,
    ) -> Result<Keyed, Outcome> {
        let live = self.0.live.load_full();
        let settings = &live.settings;
        let Some((claim, idempotency)) = claim_of(settings, request) else { return Ok(Keyed::default()) };
        // What is wrong with it is said where it is read for good.
        let Ok(Asked { wish, reply }) = contract::read(contract, request, settings.max_request) else {
            return Ok(Keyed::default());
        };
        let Ok(order) = live.provider.agree(wish) else { return Ok(Keyed::default()) };
        let busy = || {
            let message = "this request is being worked on; ask again for its answer";
            let refusal = Refusal::new(StatusCode::CONFLICT, "still_running", message);
            let mut response = refusal.answer(contract);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(BUSY.as_secs()));
            Outcome::Answered(response)
        };
        let deadline = Instant::now() + settings.deadline;
        let turns = self.0.turns.clone();
        let turn = match idempotency.running {
            Running::Wait => timeout_at(deadline, turns.wait(claim.clone())).await.map_err(|_| busy())?,
            Running::Refuse => turns.take(claim.clone()).ok_or_else(busy)?,
        };
        let mut storing = None;
        loop {
            let (job, request_hash) =
                match self.holder(&claim).await.map_err(|()| Outcome::Answered(unknown(contract)))? {
                    None | Some(Claim { arm: Arm::Candidate, job: None, .. }) => {
                        return Ok(Keyed { claim: Some(claim), replaces: None, _turn: Some(turn) });
                    }
                    Some(Claim { arm: Arm::Control, .. }) => return Err(self.leave(contract)),
                    Some(Claim { job: Some(job), request, .. }) => (job, request),
                };
            if request_hash.is_some_and(|hash| hash != order.sha256()) {
                let message = "this key was used for another request; use a new one";
                let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message);
                return Err(Outcome::Answered(refusal.answer(contract)));
            }
            let record = self.record(job).await.map_err(|()| Outcome::Answered(unknown(contract)))?;
            let Some(record) = record else {
                return Ok(Keyed { claim: Some(claim), replaces: Some(job), _turn: Some(turn) });
            };
            let again = record.lease.standing.again();
            let asynchronous = contract.is_polled() || polling::is_wanted(request.headers());
            if asynchronous && !matches!(again, Again::NewJob | Again::Monolith) {
                return Err(Outcome::Answered(replayed(contract.started(job, settings))));
            }
            match again {
                Again::Running => {
                    let since = *storing.get_or_insert_with(Instant::now);
                    if record.lease.standing.state != State::Storing {
                        storing = None;
                    } else if since.elapsed() > STORING {
                        return Err(Outcome::Answered(stored_later(contract)));
                    }
                    if idempotency.running == Running::Refuse || Instant::now() >= deadline {
                        return Err(busy());
                    }
                    sleep(LOOK).await;
                }
                Again::Replay => return Err(self.replay(contract, request, &reply, &order, record).await),
                Again::SameError(reason) => {
                    let response = told_again(reason).answer(contract);
                    return Err(Outcome::Answered(replayed(response)));
                }
                Again::NewJob => {
                    return Ok(Keyed { claim: Some(claim), replaces: Some(job), _turn: Some(turn) });
                }
                Again::Monolith => return Err(self.leave(contract)),
            }
        }
    }

    /// The key is the monolith's.
    fn leave(&self, contract: &Contract) -> Outcome {
        let message = "this key was answered by the site itself";
        self.decline(contract, Why::KeyOfControl, &Refusal::unavailable("unavailable", message, BUSY))
    }

    async fn holder(&self, claim: &ClaimKey) -> Result<Option<Claim>, ()> {
        let (inner, claim) = (self.0.clone(), claim.clone());
        let found = self
            .0
            .saga
            .plane
            .spawn(async move { inner.saga.catalog.holder(claim, (inner.saga.clock)()).await });
        answered(found.await)
    }

    async fn record(&self, job: Uuid) -> Result<Option<Record>, ()> {
        let inner = self.0.clone();
        answered(self.0.saga.plane.spawn(async move { inner.saga.catalog.record(job).await }).await)
    }

    /// The stored answer, written as this request wants it.
    async fn replay(
        &self,
        contract: &Contract,
        request: &Request<Bytes>,
        reply: &Reply,
        order: &Order,
        record: Record,
    ) -> Outcome {
        let bytes = if reply.carries_bytes() { self.stored(&record).await } else { Some(Vec::new()) };
        let Some(bytes) = bytes else { return Outcome::Answered(stored_later(contract)) };
        let links = Links::of(request, &self.settings());
        let mut made = made(&record, &links, bytes);
        self.0.address(&mut made).await;
        match reply.stream(order) {
            Some((_, writer)) => {
                let mut response = events::response(writer.completed(&made));
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                Outcome::Answered(response)
            }
            None => Outcome::Answered(replayed(reply.answer(&made))),
        }
    }

    /// The images of a job, whole.
    async fn stored(&self, record: &Record) -> Option<Vec<Bytes>> {
        let (inner, objects) = (self.0.clone(), record.objects.clone());
        let read = self.0.saga.plane.spawn(async move {
            let mut images = Vec::new();
            for object in objects {
                let mut image = BytesMut::new();
                let reader = inner.saga.store.read(&object.name, object.bytes, 0..object.bytes).await;
                let mut reader = reader
                    .inspect_err(|error| {
                        tracing::error!(
                            name = object.name,
                            error = chain(error),
                            "a committed image could not be read"
                        );
                    })
                    .ok()?;
                while reader.read_buf(&mut image).await.ok()? > 0 {}
                images.push(image.freeze());
            }
            Some(images)
        });
        read.await.ok().flatten()
    }
}

fn answered<T, E: std::error::Error, J>(found: Result<Result<T, E>, J>) -> Result<T, ()> {
    match found {
        Ok(found) => {
            found.map_err(|error| tracing::error!(error = chain(&error), "a key could not be looked up"))
        }
        Err(_) => Err(()),
    }
}

/// The images of a record, with their bytes where those are wanted.
pub(crate) fn made(record: &Record, links: &Links, bytes: Vec<Bytes>) -> Made {
    let mut bytes = bytes.into_iter();
    let images = record.objects.iter().map(|object| Image {
        url: links.url(&object.name),
        object: object.clone(),
        bytes: bytes.next().unwrap_or_default(),
    });
    let format = record.objects.first().and_then(|object| Format::of_media_type(&object.media_type));
    Made {
        job: record.lease.job.hyphenated().to_string(),
        prompt: record.prompt.clone().and_then(|text| Prompt::new(text).ok()),
        usage: record.receipt.usage,
        at: record.updated,
        size: record.size,
        format: format.unwrap_or(Format::Png),
        images: images.collect(),
    }
}

fn replayed(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// What the first request of this key was told.
fn told_again(reason: Reason) -> Refusal {
    let (code, message) = match reason {
        Reason::PaidInvalid => ("invalid_image", "what was generated is no usable image"),
        Reason::Refused | Reason::Unknown | Reason::PaidLost => {
            ("provider_failed", "the image could not be generated")
        }
    };
    Refusal::new(StatusCode::BAD_GATEWAY, code, message)
}

fn stored_later(contract: &Contract) -> Response<Bytes> {
    let message =
        "the image was generated and is kept; it cannot be stored now, and will be as soon as possible";
    Refusal::unavailable("storing", message, BUSY).answer(contract)
}

/// Whether the key was used is not known: nobody may answer.
fn unknown(contract: &Contract) -> Response<Bytes> {
    let message = "whether this request was answered before is not known now; try again later";
    Refusal::unavailable("unavailable", message, BUSY).answer(contract)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::{KeyPlace, Turns};
    use crate::generator::catalog::ClaimKey;

    #[test]
    fn keys_are_found_where_the_site_has_them() {
        let request = Request::post("/api/images?pedido=17&x=%20")
            .header("idempotency-key", " abc ")
            .body(Bytes::from_static(br#"{"pedido": 17, "order": {"id": "k 1"}, "empty": ""}"#))
            .unwrap();
        let json = |pointer: &str| KeyPlace::Json(pointer.into()).read(&request);
        assert_eq!(
            KeyPlace::Header("idempotency-key".parse().unwrap()).read(&request).as_deref(),
            Some("abc")
        );
        assert_eq!(KeyPlace::Query("pedido".into()).read(&request).as_deref(), Some("17"));
        assert_eq!(KeyPlace::Query("x".into()).read(&request), None, "blank");
        assert_eq!(json("/pedido").as_deref(), Some("17"));
        assert_eq!(json("/order/id").as_deref(), Some("k 1"));
        assert_eq!((json("/empty"), json("/order"), json("/nothing")), (None, None, None));
        let form = Request::post("/").body(Bytes::from_static(b"a=1&pedido=n%C3%BAmero+9")).unwrap();
        assert_eq!(KeyPlace::Form("pedido".into()).read(&form).as_deref(), Some("número 9"));
    }

    #[tokio::test]
    async fn a_key_is_in_one_hand_and_forgotten_afterwards() {
        let turns = Turns::default();
        let key = ClaimKey { scope: "images/maria".into(), key: "1".into() };
        let first = turns.take(key.clone()).unwrap();
        assert!(turns.take(key.clone()).is_none());
        let mut second = std::pin::pin!(turns.wait(key.clone()));
        let waker = std::task::Waker::noop();
        assert!(second.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        drop(first);
        drop(second.await);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
