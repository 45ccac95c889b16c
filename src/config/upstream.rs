//! `[monolith]` and `[upstreams.NAME]`.

use std::time::Duration;

use http::{
    HeaderName, Uri,
    header::{AUTHORIZATION, COOKIE},
};

use super::{
    diagnostic::{Problem, Span},
    kind::{Choice, DURATION, HEADER, Kind, List, NAME, Text, Whole},
    section::Section,
};
use crate::forwarding::{Eject, health, upstream::Settings};

/// Host and port of a service. Requests bring their own paths, so the URL has none.
const ORIGIN: Text<(Box<str>, u16)> =
    Text::new("a URL such as \"http://127.0.0.1:8000\", without a path", origin, |(host, port)| {
        format!("http://{host}:{port}")
    });

/// What a health check asks for.
const CHECKED: Text<Uri> = Text::new(
    "a path such as \"/healthz\", with a query if need be",
    |text| match text.parse::<Uri>() {
        Ok(uri) if text.starts_with('/') && !text.contains('#') => Ok(uri),
        Ok(_) if text.contains('#') => Err("cannot have a fragment".to_owned()),
        Ok(_) => Err(format!("has to begin with a slash, and \"{text}\" does not")),
        Err(error) => Err(format!("is no path: {error}")),
    },
    Uri::to_string,
);

/// What a candidate in a parallel run does not get unless it is said: all else passes.
const CREDENTIAL: Choice<Credential> =
    Choice(&[("cookie", Credential::Cookie), ("authorization", Credential::Authorization)]);

/// A header that lets whoever has it be the user.
#[derive(Clone, Copy, PartialEq)]
enum Credential {
    Cookie,
    Authorization,
}

impl Credential {
    fn header(self) -> HeaderName {
        match self {
            Self::Cookie => COOKIE,
            Self::Authorization => AUTHORIZATION,
        }
    }
}

/// How often something has to happen in a row.
const TIMES: Whole<u32> = Whole(1..=1_000_000);

/// One of `[upstreams]`, under the name that the operator chose.
pub(super) fn read_named(name: &str, span: Span, upstream: &mut Section<'_>) -> Settings {
    let document = upstream.document();
    let complaint = match name {
        "monolith" | "generator" => Some(format!("\"{name}\" has a meaning of its own: choose another name")),
        _ => NAME
            .check(name)
            .err()
            .map(|because| format!("an upstream {because}: it takes {}", NAME.expects())),
    };
    if let Some(complaint) = complaint {
        document.report(Problem::error(complaint).at(span));
    }
    read(name, upstream)
}

/// Either of them.
pub(super) fn read(name: &str, upstream: &mut Section<'_>) -> Settings {
    let origin = upstream.required("url", ORIGIN);
    let (connect_timeout, first_byte_timeout) = (
        upstream.or("connect_timeout", DURATION, Duration::from_secs(3)),
        upstream.or("first_byte_timeout", DURATION, Duration::from_mins(5)),
    );
    let (idle_connections, idle_connection_timeout) = (
        upstream.or("idle_connections", Whole(0..=100_000), 256),
        upstream.or("idle_connection_timeout", DURATION, Duration::from_secs(30)),
    );
    let retries = upstream.or("retries", Whole(0..=10), 1);
    let health = upstream.optional_section("health", health).flatten();
    let eject = upstream.optional_section("eject", eject);
    let pass = upstream.or("pass", List(CREDENTIAL), Vec::new());
    let version_header = upstream.optional("version_header", HEADER);
    let (host, port) = origin.unwrap_or_default();
    Settings {
        name: name.into(),
        host,
        port,
        connect_timeout,
        first_byte_timeout,
        idle_connections,
        idle_connection_timeout,
        retries,
        health,
        eject,
        pass: pass.into_iter().map(Credential::header).collect(),
        version_header,
    }
}

/// Without a path it is an error already, and means nothing.
fn health(health: &mut Section<'_>) -> Option<health::Settings> {
    let path = health.required("path", CHECKED);
    let every = health.or("every", DURATION, Duration::from_secs(5));
    let (fall, rise) = (health.or("fall", TIMES, 3), health.or("rise", TIMES, 2));
    Some(health::Settings { path: path?, every, fall, rise })
}

fn eject(eject: &mut Section<'_>) -> Eject {
    Eject {
        consecutive_errors: eject.or("consecutive_errors", TIMES, 10),
        rest: eject.or("for", DURATION, Duration::from_secs(10)),
    }
}

fn origin(text: &str) -> Result<(Box<str>, u16), String> {
    // The text is not repeated in what is said of it: it may hold a password.
    let rest = text.strip_prefix("http://").ok_or("has to begin with \"http://\"")?;
    if rest.contains('@') {
        return Err("cannot hold a user or a password".to_owned());
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("cannot have a path: requests bring their own".to_owned());
    }
    let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| format!("is no URL: {error}"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("has to name a host")?;
    let port = match uri.port() {
        Some(port) if port.as_u16() == 0 => return Err("has to have a port from 1 to 65535".to_owned()),
        Some(port) => port.as_u16(),
        None if authority.len() > host.len() => return Err("has to have a port from 1 to 65535".to_owned()),
        None => 80,
    };
    Ok((host.trim_matches(['[', ']']).into(), port))
}
