//! What a client is told when no arm can answer: the one table from failures to statuses.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use thiserror::Error;

use super::{admission::Rejection, counters::FailureKind};
use crate::{
    backend::Fault,
    generator::{SHOULD_RETRY, settings::Contract, unanswered},
    listener::Refusal,
};

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why the gateway answers by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Failure {
    /// The request was not let in.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// An arm failed.
    #[error("{upstream}: {fault}")]
    Arm {
        /// Which.
        upstream: String,
        /// How.
        fault: Fault,
    },
    /// The route's time is over, and what the generator makes may be paid for.
    #[error("route: {0}")]
    Generating(Fault),
    /// The client failed while its body was read here.
    #[error(transparent)]
    Client(Fault),
    /// One of these, of a request that spoke a contract: so does what its client is told.
    #[error("{failure}")]
    Spoken {
        /// Which.
        contract: Contract,
        /// What went wrong.
        failure: Box<Self>,
    },
}

impl Failure {
    /// The same, told as `contract` tells of errors.
    pub(super) fn spoken(self, contract: &Contract) -> Self {
        Self::Spoken { contract: contract.clone(), failure: Box::new(self) }
    }

    /// What went wrong, and the contract in which it is told.
    fn parts(&self) -> (&Self, Option<&Contract>) {
        match self {
            Self::Spoken { contract, failure } => (failure.parts().0, Some(contract)),
            _ => (self, None),
        }
    }

    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Rejected(_) => None,
            Self::Arm { fault, .. } | Self::Generating(fault) | Self::Client(fault) => Some(fault),
            Self::Spoken { failure, .. } => failure.fault(),
        }
    }

    /// What it is counted as.
    pub(super) fn kind(&self) -> FailureKind {
        self.fault().map_or(FailureKind::Rejected, kind)
    }

    /// The status, and what a stranger may know of the cause; the log has the rest.
    fn told(&self) -> (StatusCode, String) {
        let (status, detail) = match (self, self.fault()) {
            (Self::Rejected(rejection), _) => return (rejection.status(), rejection.to_string()),
            (Self::Generating(_), _) => (StatusCode::GATEWAY_TIMEOUT, "the image took too long to generate"),
            (_, Some(fault @ Fault::TooLarge { .. })) => {
                return (StatusCode::PAYLOAD_TOO_LARGE, fault.to_string());
            }
            (_, Some(Fault::Connect { .. } | Fault::Unsigned { .. })) => {
                (StatusCode::BAD_GATEWAY, "the site cannot be reached")
            }
            (_, Some(Fault::Unavailable { .. })) => {
                (StatusCode::SERVICE_UNAVAILABLE, "the site is not available at the moment")
            }
            (_, Some(Fault::Protocol { .. }) | None) => {
                (StatusCode::BAD_GATEWAY, "the site gave no usable answer")
            }
            (_, Some(Fault::Client { .. })) => (StatusCode::BAD_REQUEST, "the request is broken"),
            (_, Some(fault @ Fault::ClientStalled)) => {
                return (StatusCode::REQUEST_TIMEOUT, fault.to_string());
            }
            (_, Some(_)) => (StatusCode::GATEWAY_TIMEOUT, "the site did not answer in time"),
        };
        (status, detail.to_owned())
    }
}

/// What a fault is counted as.
pub(super) fn kind(fault: &Fault) -> FailureKind {
    match fault {
        Fault::TooLarge { .. } => FailureKind::Rejected,
        Fault::Connect { .. } | Fault::Unsigned { .. } => FailureKind::Connect,
        Fault::ConnectTimeout { .. }
        | Fault::FirstByteTimeout { .. }
        | Fault::Stalled { .. }
        | Fault::Deadline { .. } => FailureKind::Timeout,
        Fault::Unavailable { .. } => FailureKind::Unavailable,
        Fault::Protocol { .. } => FailureKind::Protocol,
        Fault::Client { .. } | Fault::ClientStalled => FailureKind::Client,
    }
}

/// The answer to a failure, in the contract of who asked, else as RFC 9457 has it.
pub(super) fn response(failure: &Failure, request_id: &str) -> Response<Bytes> {
    let (failure, contract) = failure.parts();
    let (status, detail) = failure.told();
    if status == StatusCode::OK {
        // OPTIONS that may go no further: we are the last hop, and allow nothing of our own.
        return Response::new(Bytes::new());
    }
    let mut response = if let Some(contract) = contract {
        unanswered(contract, status, failure.kind().name(), detail)
    } else {
        let mut response = Response::new(problem(status, &detail, Some(request_id)).into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM);
        response
    };
    if matches!(failure, Failure::Rejected(_) | Failure::Client(_)) {
        // What else such a client has sent is not to be read as a request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(failure, Failure::Generating(_)) {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(Fault::Unavailable { retry_after, .. }) = failure.fault() {
        // Whole seconds, and never none (RFC 9110, 10.2.3).
        let seconds = retry_after.as_millis().div_ceil(1000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    response
}

/// The answer to what never became a request, whole.
pub(super) fn raw(refusal: &Refusal) -> Vec<u8> {
    let body = problem(refusal.status, refusal.detail, None);
    let status = refusal.status;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_str(),
        body.len()
    );
    answer.push_str(&body);
    answer.into_bytes()
}

/// The body of an answer that says what went wrong (RFC 9457).
pub(crate) fn problem(status: StatusCode, detail: &str, request_id: Option<&str>) -> String {
    let mut problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    if let (Some(id), Some(fields)) = (request_id.filter(|id| !id.is_empty()), problem.as_object_mut()) {
        fields.insert("request_id".to_owned(), id.into());
    }
    format!("{problem}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_spoke_a_contract_is_told_in_it() {
        let retry_after = Duration::from_millis(1200);
        let failures = [
            (Failure::Rejected(Rejection::Forged), 403, "invalid_request_error", "rejected"),
            (Failure::Client(Fault::ClientStalled), 408, "invalid_request_error", "client"),
            (
                Failure::Arm {
                    upstream: "monolith".to_owned(),
                    fault: Fault::Unavailable { address: "a".to_owned(), retry_after },
                },
                503,
                "server_error",
                "unavailable",
            ),
            (
                Failure::Generating(Fault::Deadline { after: Duration::from_secs(1) }),
                504,
                "server_error",
                "timeout",
            ),
        ];
        for (failure, status, kind, code) in failures {
            let plain = response(&failure, "id");
            assert_eq!(plain.headers()[CONTENT_TYPE], PROBLEM);
            for contract in [Contract::OpenAi, Contract::Article] {
                let failure = failure.clone().spoken(&contract);
                let told = response(&failure, "id");
                let said: serde_json::Value = serde_json::from_slice(told.body()).unwrap();
                match contract {
                    Contract::OpenAi => {
                        assert_eq!(
                            (&said["error"]["type"], &said["error"]["code"]),
                            (&kind.into(), &code.into())
                        );
                    }
                    _ => assert_eq!(said["processamento"], status),
                }
                assert_eq!((told.status().as_u16(), plain.status().as_u16()), (status, status));
                // Whether the connection goes on, and when to try again, is no matter of words.
                for name in [CONNECTION, RETRY_AFTER, SHOULD_RETRY] {
                    assert_eq!(told.headers().get(&name), plain.headers().get(&name), "{name}");
                }
            }
        }
    }
}
