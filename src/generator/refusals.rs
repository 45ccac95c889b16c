//! What a client is told of a job that gave no images, at once, later, or to the same key again.

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use uuid::Uuid;

use super::{
    admission::RETRY_AFTER,
    contract::{self, Refusal},
    provider::{Blame, Cause, ProviderError, Refused, WhyRefused},
    saga::failure::Failure,
    settings::Contract,
    state::Reason,
};

/// The code of a provider that refused, without a better one.
const REFUSED: &str = "provider_refused";
/// What a client is told to wait whose job still runs.
pub(super) const BUSY: Duration = Duration::from_secs(3);

/// What a client is told of a job that gave no images. Where it may be paid for, its library is not to ask for it again by
/// itself.
pub(super) fn told(failure: &Failure, job: Uuid) -> Refusal {
    match failure {
        Failure::Provider(ProviderError::Refused(refused)) => told_of_refusal(refused),
        Failure::Provider(ProviderError::Unusable { receipt, .. })
        | Failure::Unsound { receipt, .. }
        | Failure::Count { receipt, .. } => unusable(receipt.cause.as_deref()),
        Failure::Provider(ProviderError::Late) => late(),
        Failure::Provider(_) | Failure::Taken(_) => failed().once(),
        Failure::Crashed(_) => {
            let message =
                format!("it is not known yet whether the image could be generated: ask for job {job}");
            Refusal { message, ..failed().once() }
        }
        Failure::Unrecorded { why, .. } => {
            let told = told(why, job);
            let message = format!("{} (job {job}, not on record yet)", told.message);
            Refusal { message, ..told }.once()
        }
        Failure::Store(_) | Failure::Catalog(_) => stored_later(job, RETRY_AFTER),
        Failure::NotBegun(_) => told_why(WhyRefused::NoRoom, None),
        Failure::Lost { .. } | Failure::Elsewhere(_) => not_now().once(),
        Failure::Unclaimed(_)
        | Failure::Ambiguous(_)
        | Failure::Held
        | Failure::Left
        | Failure::HandedOver(_) => not_now(),
    }
}

/// What a client is told of a provider that did not draw, and when that wants to be asked again.
pub(super) fn told_of_refusal(refused: &Refused) -> Refusal {
    let told = told_why(refused.why, refused.blame.as_deref());
    let retry_after = told.retry_after.map(|after| refused.retry_after.unwrap_or(after));
    Refusal { retry_after, ..told }
}

/// What is wrong between us and a provider is none of the client's.
fn told_why(why: WhyRefused, blame: Option<&Blame>) -> Refusal {
    let later = |code| {
        let message = "images cannot be generated now; try again later";
        Refusal::unavailable(code, message, RETRY_AFTER)
    };
    match (why, blame) {
        (WhyRefused::Moderation, _) => Refusal::new(
            StatusCode::BAD_REQUEST,
            "moderation_blocked",
            "the prompt was refused by the safety system of the provider",
        ),
        (WhyRefused::Request, Some(Blame { param, code })) => {
            let words = [Some("the provider does not take this request"), code.as_deref(), param.as_deref()];
            let message = words.into_iter().flatten().collect::<Vec<_>>().join(": ");
            let code = code.clone().map_or(Cow::Borrowed(REFUSED), Cow::Owned);
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, code, message);
            Refusal { param: param.clone().map(Cow::Owned), ..refusal }
        }
        (WhyRefused::Request, None) => {
            Refusal::new(StatusCode::BAD_GATEWAY, REFUSED, "the provider does not take this request")
        }
        (WhyRefused::RateLimit, _) => later("rate_limited"),
        (WhyRefused::Overload, _) => later("overloaded"),
        (WhyRefused::Unreachable | WhyRefused::NoRoom, _) => later("unavailable"),
        (WhyRefused::Key | WhyRefused::Model | WhyRefused::Quota, _) => failed(),
    }
}

/// What a client was told of a job that is over, told again. To ask for it once more is of no use.
pub(super) fn told_again(reason: Reason, cause: Option<&Cause>) -> Refusal {
    let told = match (reason, cause) {
        (Reason::Refused, Some(Cause::Refused { why, blame })) => told_why(*why, blame.as_deref()),
        (Reason::Refused, _) => Refusal { code: Cow::Borrowed(REFUSED), ..failed() },
        (Reason::Unknown, Some(Cause::Late)) => late(),
        (Reason::PaidInvalid, cause) => unusable(cause),
        (Reason::Unknown | Reason::PaidLost, _) => failed(),
    };
    Refusal { retry_after: None, ..told.once() }
}

fn failed() -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, "provider_failed", "the image could not be generated")
}

fn unusable(cause: Option<&Cause>) -> Refusal {
    if let Some(Cause::Late) = cause {
        return late();
    }
    Refusal::new(StatusCode::BAD_GATEWAY, "invalid_image", "what was generated is no usable image").once()
}

fn late() -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the image took too long to generate").once()
}

fn not_now() -> Refusal {
    Refusal::unavailable("unavailable", "the image could not be generated; try again later", RETRY_AFTER)
}

/// It was paid for, and its store is down.
pub(super) fn stored_later(job: Uuid, retry_after: Duration) -> Refusal {
    let message = format!(
        "the image was generated and is kept; it cannot be stored now, and will be as soon as possible (job {job})"
    );
    Refusal::unavailable("storing", message, retry_after).once()
}

/// It is stored, and a thread ended while the answer that carries it was written.
pub(super) fn unwritten(job: impl fmt::Display) -> Refusal {
    let message =
        format!("the image was generated and is stored; its answer could not be written: ask for job {job}");
    Refusal::unavailable("unavailable", message, BUSY).once()
}

/// Whether the request's key was used is not known, as `contract` says it: nobody may answer.
pub fn undecided(contract: &Contract) -> Response<Bytes> {
    let message = "whether this request was answered before is not known now; try again later";
    Refusal::unavailable("unavailable", message, BUSY).answer(contract)
}

/// What was made is more than an answer of at most `most` bytes can carry, as `contract` says it. Not a status after
/// which clients try again: the images are paid for.
pub fn too_large(contract: &Contract, most: usize) -> Response<Bytes> {
    let message = format!(
        "the images were generated and are stored; an answer that carries them is larger than the {most} bytes that it \
         may have here: ask for their URLs"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "answer_too_large", message).answer(contract)
}

/// It has more than `most` bytes, as `contract` says it: what was read of it is no request, and nobody's to answer.
pub fn too_long(contract: &Contract, most: usize) -> Response<Bytes> {
    contract::too_long(most).answer(contract)
}

/// The gateway has no answer to a request, as `contract` says it. `code` is its word for why.
pub fn unanswered(
    contract: &Contract,
    status: StatusCode,
    code: &'static str,
    message: String,
) -> Response<Bytes> {
    Refusal::new(status, code, message).answer(contract)
}

/// Nobody who may ask on behalf of users has asked, as `contract` says it.
pub fn unpermitted(contract: &Contract) -> Response<Bytes> {
    let message = "this is answered only to a caller that has proved who it is and has asked the site";
    Refusal::new(StatusCode::FORBIDDEN, "not_permitted", message).answer(contract)
}
