//! Ways to behave, by name: well, or in one of the ways in which the real API, or what lies before it, goes wrong.

use std::time::Duration;

use bytes::Bytes;

use super::{answer::Failure, picture, request::Wanted};

/// One way to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// As asked.
    Well,
    /// As asked, later.
    Slow(Duration),
    /// 400 `moderation_blocked`.
    Moderation,
    /// 400 `billing_hard_limit_reached`.
    Billing,
    /// 400 `invalid_value`.
    Invalid,
    /// 401 `invalid_api_key`.
    Key,
    /// 403.
    Forbidden,
    /// 404 `model_not_found`.
    Model,
    /// 429, to be tried again in some milliseconds.
    RateLimit,
    /// 429, to be tried again in an hour.
    RateLimitLong,
    /// 429 `insufficient_quota`.
    Quota,
    /// 503 that says so.
    Overload,
    /// 503 of something in between.
    Unavailable,
    /// 500, nothing charged.
    Error,
    /// 502 of something in between.
    BadGateway,
    /// RST, nothing charged.
    Reset,
    /// 500, charged.
    ErrorAfterCharge,
    /// RST, charged.
    ResetAfterCharge,
    /// FIN without an answer, charged.
    HangUpAfterCharge,
    /// No answer ever, charged.
    Hang,
    /// Half an answer, charged.
    Cut,
    /// 200 with a page.
    Html,
    /// 200 without `data`.
    NoData,
    /// 200 with an empty `data`.
    EmptyData,
    /// One image less than asked.
    Fewer,
    /// Images that do not decode from Base64.
    BadBase64,
    /// Another size than asked.
    WrongSize,
    /// Half an image.
    BrokenImage,
    /// No bytes in the image.
    EmptyImage,
    /// A picture that is a program.
    Svg,
    /// A page where an image should be.
    Page,
    /// A head that promises more pixels than anybody has memory for.
    Bomb,
    /// Images by URL.
    Url,
    /// Images at a URL that nobody should fetch.
    UrlAtMetadata,
}

/// All of them but `slow`, which has its time behind it: `slow:1500`.
const NAMES: [(&str, Behaviour); 33] = [
    ("ok", Behaviour::Well),
    ("moderation", Behaviour::Moderation),
    ("billing", Behaviour::Billing),
    ("invalid", Behaviour::Invalid),
    ("key", Behaviour::Key),
    ("forbidden", Behaviour::Forbidden),
    ("model", Behaviour::Model),
    ("rate-limit", Behaviour::RateLimit),
    ("rate-limit-long", Behaviour::RateLimitLong),
    ("quota", Behaviour::Quota),
    ("overload", Behaviour::Overload),
    ("unavailable", Behaviour::Unavailable),
    ("error", Behaviour::Error),
    ("bad-gateway", Behaviour::BadGateway),
    ("reset", Behaviour::Reset),
    ("error-after-charge", Behaviour::ErrorAfterCharge),
    ("reset-after-charge", Behaviour::ResetAfterCharge),
    ("hang-up-after-charge", Behaviour::HangUpAfterCharge),
    ("hang", Behaviour::Hang),
    ("cut", Behaviour::Cut),
    ("html", Behaviour::Html),
    ("no-data", Behaviour::NoData),
    ("empty-data", Behaviour::EmptyData),
    ("fewer", Behaviour::Fewer),
    ("bad-base64", Behaviour::BadBase64),
    ("wrong-size", Behaviour::WrongSize),
    ("broken-image", Behaviour::BrokenImage),
    ("empty-image", Behaviour::EmptyImage),
    ("svg", Behaviour::Svg),
    ("page", Behaviour::Page),
    ("bomb", Behaviour::Bomb),
    ("url", Behaviour::Url),
    ("url-at-metadata", Behaviour::UrlAtMetadata),
];

/// What it can be told.
pub(super) fn names() -> Vec<&'static str> {
    NAMES.iter().map(|(name, _)| *name).chain(["slow:MILLISECONDS"]).collect()
}

impl Behaviour {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(millis) = name.strip_prefix("slow:") {
            return millis.parse().ok().map(|millis| Self::Slow(Duration::from_millis(millis)));
        }
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, behaviour)| *behaviour)
    }

    /// The error that it answers before anything is charged.
    pub(super) fn refusal(self) -> Option<Failure> {
        let request = "invalid_request_error";
        Some(match self {
            Self::Moderation => Failure::new(
                400,
                "image_generation_user_error",
                Some("moderation_blocked"),
                None,
                "Your request was rejected by the safety system.",
            ),
            Self::Billing => Failure::new(
                400,
                "billing_limit_user_error",
                Some("billing_hard_limit_reached"),
                None,
                "Billing hard limit has been reached",
            ),
            Self::Invalid => Failure::new(400, request, Some("invalid_value"), Some("size"), "Invalid size."),
            Self::Key => Failure::wrong_key("sk-told-to"),
            Self::Forbidden => Failure::new(
                403,
                request,
                None,
                None,
                "Your organization must be verified to use this model.",
            ),
            Self::Model => Failure::no_model("gpt-image-0"),
            Self::RateLimit => Failure::rate_limit("15"),
            Self::RateLimitLong => Failure::rate_limit("3600000"),
            Self::Quota => Failure::new(
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                None,
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            Self::Overload => Failure::new(
                503,
                "server_error",
                None,
                None,
                "The engine is currently overloaded, please try again later",
            ),
            Self::Unavailable => Failure::of_a_proxy(503),
            Self::BadGateway => Failure::of_a_proxy(502),
            Self::Error => Failure::server_error(),
            _ => return None,
        })
    }

    /// The image of this index, sound or not.
    pub(super) fn picture(self, wanted: &Wanted, index: u64) -> Option<Bytes> {
        let (width, height) = wanted.pixels;
        let size = if self == Self::WrongSize { (width / 2, height / 2) } else { (width, height) };
        let picture = picture::paint(&wanted.prompt, index, size, wanted.format)?;
        Some(match self {
            Self::BrokenImage => picture.slice(..picture.len() / 2),
            Self::EmptyImage => Bytes::new(),
            Self::Svg => Bytes::from_static(picture::SVG),
            Self::Page => Bytes::from_static(picture::PAGE),
            Self::Bomb => picture::bomb(),
            _ => picture,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_thing() {
        for (name, behaviour) in NAMES {
            assert_eq!(Behaviour::named(name), Some(behaviour));
            assert_eq!(NAMES.iter().filter(|(_, other)| *other == behaviour).count(), 1, "{name}");
        }
        assert_eq!(Behaviour::named("slow:40"), Some(Behaviour::Slow(Duration::from_millis(40))));
        assert_eq!(Behaviour::named("nonsense"), None);
    }
}
