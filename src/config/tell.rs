//! `[[tell]]`.

use std::net::IpAddr;

use super::{
    kind::{Choice, List, Text},
    secret::Secret,
    section::Section,
};
use crate::tell::{Hook, Topic};

const TOPIC: Choice<Topic> = Choice(&[
    ("brake", Topic::Brake),
    ("verdict", Topic::Verdict),
    ("budget", Topic::Budget),
    ("config", Topic::Config),
    ("dead-letter", Topic::DeadLetter),
]);

/// The text is not repeated in what is said of it: hooks carry their secrets in their paths.
const URL: Text<String> =
    Text::new("a URL such as \"https://hooks.example.net/figueira\"", url, String::clone)
        .spelled("^https?://");

fn url(text: &str) -> Result<String, String> {
    let rest = ["https://", "http://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or("has to begin with \"https://\" or \"http://\"")?;
    let uri: http::Uri = text.parse().map_err(|_| "is no URL")?;
    match uri.host() {
        Some(host) if !host.is_empty() && !rest.contains('@') => Ok(text.to_owned()),
        _ => Err("has to name a host, and no user".to_owned()),
    }
}

/// Whether others can read along.
pub(super) fn is_open(url: &str) -> bool {
    let host =
        url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    url.starts_with("http://") && host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
}

pub(super) fn read(tell: &mut Section<'_>) -> Option<Hook> {
    let document = tell.document();
    let url = tell.required("url", URL);
    let on = tell.or("on", List(TOPIC), Topic::ALL.into());
    let secret = tell.optional("secret", Secret(document));
    if url.as_deref().is_some_and(is_open) {
        tell.warning(
            "url",
            "what is told, and whatever is secret in this address, goes over the network unencrypted",
            "https://, or a relay on this machine",
        );
    }
    if on.is_empty() {
        tell.warning("on", "this hook hears of nothing", "leave `on` out for everything");
    }
    Some(Hook { url: url?.into(), on: on.into_iter().collect(), secret })
}
