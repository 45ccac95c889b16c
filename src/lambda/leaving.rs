//! How an answer leaves: whole, as an event of its front, or as a stream, where that front was set up to take one.

use std::{mem, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Collected};
use lambda_runtime::{FunctionResponse, StreamResponse, streaming};
use tokio::time::Instant;

use super::{
    Answer,
    function::{Function, plain},
    moments::Moments,
    wire::{self, Wire},
};
use crate::{
    generator::{EventBody, settings::Contract, too_large},
    telemetry::log::{Access, access},
};

/// What Lambda hands over as a stream, in bytes.
const LARGEST_STREAM: usize = 200 << 20;

/// How an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As an event of its front.
    Buffered(Wire),
    /// As a stream.
    Streamed,
}

/// What an answer carries.
#[derive(Debug)]
pub(super) enum Carried {
    /// All of it.
    Whole(Bytes),
    /// What is still to come.
    Events(EventBody),
}

/// An answer that is to leave.
#[derive(Debug)]
pub(super) struct Leaving<'f> {
    pub(super) response: Response<Carried>,
    /// By which it was made.
    pub(super) contract: Option<&'f Contract>,
    pub(super) entry: Entry,
}

/// What the log says of a request, its answer aside.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) request_id: String,
    pub(super) invocation: String,
    pub(super) client: IpAddr,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) began: Instant,
    pub(super) by: &'static str,
    pub(super) route: Option<Arc<str>>,
}

impl Way {
    /// The largest body that is no text, in bytes, that certainly leaves this way.
    pub(super) fn largest_binary(self) -> u64 {
        match self {
            Self::Buffered(wire) => wire.largest_binary(),
            Self::Streamed => LARGEST_STREAM as u64,
        }
    }
}

impl Leaving<'_> {
    /// Answers instead of what is larger than the `most` bytes that may leave.
    fn refused(&self, most: usize) -> Response<Bytes> {
        self.contract.map_or_else(
            || {
                let why = "the answer is too large for a function";
                plain(StatusCode::BAD_GATEWAY, why, &self.entry.request_id)
            },
            |contract| too_large(contract, most),
        )
    }
}

impl Function {
    /// An answer as an event of its front.
    pub(super) async fn buffered(&self, mut leaving: Leaving<'_>, wire: Wire) -> serde_json::Result<String> {
        let nothing = Response::new(Carried::Whole(Bytes::new()));
        let (head, carried) = mem::replace(&mut leaving.response, nothing).into_parts();
        let body = match carried {
            Carried::Whole(body) => body,
            // It has no way to fail.
            Carried::Events(events) => events.collect().await.map(Collected::to_bytes).unwrap_or_default(),
        };
        let mut response = Response::from_parts(head, body);
        let mut answer = serde_json::to_string(&wire.written(&response))?;
        if answer.len() > wire.largest() {
            response = leaving.refused(wire.largest());
            answer = serde_json::to_string(&wire.written(&response))?;
        }
        self.note(&leaving.entry, response.status(), response.body().len());
        Ok(answer)
    }

    /// An answer as a stream, which ends when nothing is left to do.
    pub(super) fn streamed(self: Arc<Self>, mut leaving: Leaving<'_>, moments: Moments) -> Answer {
        if matches!(leaving.response.body(), Carried::Whole(body) if body.len() > LARGEST_STREAM) {
            leaving.response = leaving.refused(LARGEST_STREAM).map(Carried::Whole);
        }
        let Leaving { response, entry, .. } = leaving;
        let (head, carried) = response.into_parts();
        let metadata_prelude = wire::prelude(&head);
        let (mut sender, stream) = streaming::channel();
        let life = self.life().clone();
        drop(life.spawn(async move {
            let bytes = match carried {
                Carried::Whole(body) => sent(&mut sender, body).await,
                Carried::Events(mut events) => {
                    let mut bytes = 0;
                    while let Some(Ok(frame)) = events.frame().await {
                        if let Ok(event) = frame.into_data() {
                            bytes += sent(&mut sender, event).await;
                        }
                    }
                    bytes
                }
            };
            self.note(&entry, head.status, bytes);
            self.settle(moments).await;
            drop(sender);
        }));
        FunctionResponse::StreamingResponse(StreamResponse { metadata_prelude, stream })
    }

    fn note(&self, entry: &Entry, status: StatusCode, bytes: usize) {
        let Entry { request_id, invocation, client, method, target, began, by, route } = entry;
        let is_wanted = match self.access() {
            Access::All => true,
            Access::Errors => status.is_client_error() || status.is_server_error(),
            Access::Off => false,
        };
        if is_wanted {
            access::Request {
                request_id,
                client: &client.to_string(),
                method: method.as_str(),
                host: None,
                target: &target.to_string(),
                version: None,
                tls: None,
                status: Some(status.as_u16()),
                bytes: bytes as u64,
                duration: began.elapsed(),
                upstream: None,
                answered_by: by,
                route: route.as_deref(),
                mode: None,
                fallback: None,
                generation: None,
                invocation: Some(invocation),
                cut: false,
                error: None,
                visitor: None,
            }
            .say();
        }
    }
}

/// How many bytes went. Who does not listen any more misses them; the images are kept all the same.
async fn sent(sender: &mut streaming::Sender, piece: Bytes) -> usize {
    let length = piece.len();
    if !piece.is_empty() && sender.send_data(piece).await.is_ok() { length } else { 0 }
}
