//! Answers one event: a request by the route that takes it, as the gateway answers it; a schedule by keeping house.

mod generating;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION},
};
use http_body_util::BodyExt as _;
use lambda_runtime::{Diagnostic, FunctionResponse, LambdaEvent};
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use self::generating::{Denied, granted};
use super::{
    Answer, ELSEWHERE, InvokeMode,
    call::{Call, Caller},
    event::Event,
    failed,
    leaving::{Carried, Entry, Leaving, Way},
    moments::Moments,
};
use crate::{
    config::Config,
    gateway::{client_of, problem, settings::Authorize, strip},
    generator::{Chores, Generator, ImageAnswer, Serving, Until, settings::Contract, unpermitted},
    routing::{Candidate, Head, Route, table::SubjectValue},
    shutdown::Shutdown,
    telemetry::log::{Access, Control},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The routes of a configuration and the generator behind them.
#[derive(Debug)]
pub(super) struct Function {
    config: Config,
    generator: Generator,
    mode: InvokeMode,
    life: Shutdown,
    log: Control,
}

/// A request from whoever sent it, as far as that can be believed.
struct Asked {
    request: Request<Bytes>,
    caller: Caller,
    client: IpAddr,
    /// What URLs in answers start with.
    origin: String,
    drawn: Instant,
}

/// An answer, and what the log tells of it.
struct Told<'f> {
    response: Response<Carried>,
    by: &'static str,
    route: Option<&'f Route>,
    contract: Option<&'f Contract>,
}

impl Function {
    /// Of a configuration that is fit for it.
    pub(super) fn new(
        config: Config,
        generator: Generator,
        mode: InvokeMode,
        life: Shutdown,
        log: Control,
    ) -> Self {
        Self { config, generator, mode, life, log }
    }

    /// Answers an event, and leaves nothing of it to do. What is streamed ends no sooner.
    pub(super) async fn answer(self: &Arc<Self>, event: LambdaEvent<Value>) -> Result<Answer, Diagnostic> {
        let LambdaEvent { payload, context } = event;
        let now = (SystemTime::now(), Instant::now());
        let moments = Moments::of(context.deadline(), self.generator.settings().deadline, now);
        // The runtime logs it.
        let event = Event::read(payload).map_err(|error| failed("UnreadableEvent", &error))?;
        let answer = match event {
            Event::Call(call) => {
                let way = match (self.mode, call.wire) {
                    (InvokeMode::ResponseStream, wire) if wire.can_stream() => Way::Streamed,
                    (_, wire) => Way::Buffered(wire),
                };
                let leaving = self.call(*call, way, moments, context.request_id).await;
                match way {
                    Way::Streamed => return Ok(self.clone().streamed(leaving, moments)),
                    Way::Buffered(wire) => self.buffered(leaving, wire).await,
                }
            }
            Event::Article(body) => self.article(&body, moments).await,
            Event::Begin(job) => {
                let begun = self.generator.begin_accepted(job, Until(moments.drawn)).await;
                // Lambda invokes it again.
                begun.map_err(|error| failed("NotBegun", &error))?;
                Ok(json!({ "figueira": "begin" }).to_string())
            }
            Event::House(chores) => {
                self.generator.keep_house_once(chores, moments.drawn).await;
                let did = match chores {
                    Chores::Unfinished => "janitor",
                    Chores::Everything => "reconcile",
                };
                Ok(json!({ "figueira": did }).to_string())
            }
        };
        self.settle(moments).await;
        let answer = answer.map_err(|error| failed("Unwritable", &error))?;
        let answer = RawValue::from_string(answer).map_err(|error| failed("Unwritable", &error))?;
        Ok(FunctionResponse::BufferedResponse(answer))
    }

    /// Waits for all that has begun: the sandbox may stand still from then on, for ever.
    pub(super) async fn settle(&self, moments: Moments) {
        self.generator.settle(Until(moments.drawn), moments.over).await;
        let log = self.log.clone();
        drop(tokio::task::spawn_blocking(move || log.flush()).await);
    }

    /// What its tasks belong to.
    pub(super) fn life(&self) -> &Shutdown {
        &self.life
    }

    /// Which requests leave a line in the log.
    pub(super) fn access(&self) -> Access {
        self.config.log.access
    }

    /// A request by a front, and its answer.
    async fn call(&self, call: Call, way: Way, moments: Moments, invocation: String) -> Leaving<'_> {
        let began = Instant::now();
        let Call { mut request, source, caller, origin, wire: _ } = call;
        if caller == Caller::Stranger {
            let (mut head, body) = request.into_parts();
            strip(&mut head.headers, &[]);
            request = Request::from_parts(head, body);
        }
        let asked = self.asked(request, source, caller, origin, moments.drawn);
        let (method, target) = (asked.request.method().clone(), asked.request.uri().clone());
        let request_id = asked.request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
        let request_id = request_id.filter(|_| caller == Caller::Known).unwrap_or(&invocation).to_owned();
        let client = asked.client;
        let Told { response, by, route, contract } = self.told(asked, way, &request_id).await;
        let route = route.map(|route| route.name.clone());
        let entry = Entry { request_id, invocation, client, method, target, began, by, route };
        Leaving { response, contract, entry }
    }

    /// An article's body, and the body of its answer.
    async fn article(&self, body: &Value, moments: Moments) -> serde_json::Result<String> {
        let mut routes = (0..).map_while(|index| self.at(index));
        let found = routes.find(|(_, contract, _)| matches!(contract, Some(Contract::Article)));
        let Some((route, Some(contract), authorize)) = found else {
            let message = "no route of this function has the contract \"article\"";
            return Ok(json!({ "processamento": 404, "msg": message }).to_string());
        };
        let mut request =
            Request::post(route.path.to_string()).body(Bytes::from(body.to_string())).unwrap_or_default();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let caller = Caller::Known;
        let asked = self.asked(request, None, caller, String::new(), moments.drawn);
        let body = match self.generated(route, contract, authorize, asked, Vec::new()).await.into_body() {
            Carried::Whole(body) => body,
            // An article is never told in pieces.
            Carried::Events(_) => Bytes::new(),
        };
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// What can be believed of where a request comes from: who is known may speak for others.
    fn asked(
        &self,
        request: Request<Bytes>,
        source: Option<IpAddr>,
        caller: Caller,
        origin: String,
        drawn: Instant,
    ) -> Asked {
        let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical();
        let mut proxies = self.config.gateway.trusted_proxies.clone();
        if caller == Caller::Known {
            proxies.push(source.into());
        }
        let headers = request.headers();
        let (mut client, mut origin) = (source, origin);
        if proxies.iter().any(|network| network.contains(&source)) {
            client = client_of(headers, source, &proxies);
            let claimed = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            if let (Some(proto), Some(host)) = (claimed(&X_PROTO), claimed(&X_HOST)) {
                origin = format!("{proto}://{host}");
            }
        }
        Asked { request, caller, client, origin, drawn }
    }

    /// Who answers a request, and what.
    async fn told(&self, asked: Asked, way: Way, request_id: &str) -> Told<'_> {
        let whole = |response: Response<Bytes>, by| Told {
            response: response.map(Carried::Whole),
            by,
            route: None,
            contract: None,
        };
        let nothing = |status, why: &str| whole(plain(status, why, request_id), "gateway");
        let (method, uri) = (asked.request.method(), asked.request.uri());
        if let Some(serving) = self.generator.serves(method, uri.path(), uri.query()) {
            if serving.authorize().is_some() && asked.caller == Caller::Stranger {
                return nothing(
                    StatusCode::FORBIDDEN,
                    "the site says who may see this, and nobody has asked it",
                );
            }
            let Some(response) = self.image(serving, asked.request.headers(), way).await else {
                return nothing(StatusCode::NOT_FOUND, "no image of ours has this name");
            };
            return whole(response, "images");
        }
        if let Some(poll) = self.generator.polls(method, uri.path()) {
            let job = match self.generator.job(poll).await {
                Ok(Some(job)) => job,
                Ok(None) => return nothing(StatusCode::NOT_FOUND, "there is no such job"),
                Err(unseen) => {
                    let route = unseen.route().and_then(|route| self.named(route));
                    let contract = route.and_then(|(_, contract, _)| contract);
                    return whole(unseen.answer(contract), "candidate");
                }
            };
            if let Some((route, Some(contract), authorize)) = self.named(job.route()) {
                let grant = granted(authorize, &asked);
                let response = match &grant {
                    Ok(grant) => self.generator.progress(contract, &job, grant.as_ref(), &asked.origin).await,
                    Err(Denied) => unpermitted(contract),
                };
                let told = whole(response, "candidate");
                return Told { route: Some(route), contract: Some(contract), ..told };
            }
        }
        let headers = asked.request.headers();
        let host = headers.get(&X_HOST).filter(|_| asked.caller == Caller::Known).or(headers.get(HOST));
        let head = Head {
            method,
            host: host.and_then(|host| host.to_str().ok()).unwrap_or_default(),
            path: uri.path(),
            query: uri.query(),
            headers,
            client: asked.client,
        };
        let decision = self.config.routes.decide(&head);
        let subject = match decision.and_then(|decision| decision.subject) {
            Some(SubjectValue::Bytes(value)) => value.to_vec(),
            Some(SubjectValue::Address(client)) => client.to_string().into_bytes(),
            None => Vec::new(),
        };
        let taken = decision.and_then(|decision| self.at(decision.index));
        let Some((route, Some(contract), authorize)) = taken else {
            return nothing(StatusCode::NOT_FOUND, "no route of this function takes this request");
        };
        let response = self.generated(route, contract, authorize, asked, subject).await;
        Told { response, by: "candidate", route: Some(route), contract: Some(contract) }
    }

    /// A route, and the contract by which it is answered here.
    fn at(&self, index: usize) -> Option<(&Route, Option<&Contract>, &Authorize)> {
        let Config { routes, contracts, authorizations, .. } = &self.config;
        let route = routes.routes().get(index)?;
        let contract = contracts.get(index)?.as_ref();
        let is_ours = route.candidate == Candidate::Generator;
        Some((route, contract.filter(|_| is_ours), authorizations.get(index)?))
    }

    fn named(&self, name: &str) -> Option<(&Route, Option<&Contract>, &Authorize)> {
        self.at(self.config.routes.routes().iter().position(|route| *route.name == *name)?)
    }

    /// An image of ours, or where it is to be had if an answer cannot carry it; none of ours is `None`.
    async fn image(&self, serving: Serving, headers: &HeaderMap, way: Way) -> Option<Response<Bytes>> {
        let ImageAnswer::Answered(response) = self.generator.image(serving.clone(), headers).await else {
            return None;
        };
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_empty = http_body::Body::is_end_stream(response.body());
        if !is_empty && length.is_some_and(|length: u64| length > way.largest_binary()) {
            // Nobody will read it here.
            drop(response);
            let url = self.generator.image_elsewhere(&serving, ELSEWHERE).await;
            let Some(url) = url.and_then(|url| HeaderValue::try_from(url).ok()) else {
                let why = "the image is too large to be shown here, and its bucket signs no URL now";
                return Some(plain(StatusCode::SERVICE_UNAVAILABLE, why, ""));
            };
            let mut moved = Response::new(Bytes::new());
            *moved.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            moved.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            moved.headers_mut().insert(LOCATION, url);
            return Some(moved);
        }
        let (head, body) = response.into_parts();
        Some(match body.collect().await {
            Ok(body) => Response::from_parts(head, body.to_bytes()),
            Err(error) => {
                tracing::error!(%error, "a committed image could not be read");
                plain(StatusCode::SERVICE_UNAVAILABLE, "the image cannot be read now", "")
            }
        })
    }
}

/// An answer that no contract shapes.
pub(super) fn plain(status: StatusCode, why: &str, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(problem(status, why, Some(request_id))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
