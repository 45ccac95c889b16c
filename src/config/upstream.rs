//! `[monolith]` and `[upstreams.NAME]`.

use std::time::{Duration, SystemTime};

use http::{
    HeaderName, Uri,
    header::{AUTHORIZATION, COOKIE},
    uri::Scheme,
};
use rustls::pki_types::ServerName;

use super::{
    diagnostic::{Problem, Span},
    document::Purpose,
    headers::Headers,
    kind::{Choice, DURATION, FILE, HEADER, Kind, List, NAME, OrOff, Text, Whole},
    section::Section,
    tls::pair,
};
use crate::forwarding::{
    Eject, Http2, Sign, health,
    tls::{self, Unusable},
    upstream::Settings,
};

/// Where a service is. Requests bring their own paths, so its URL has none.
struct Origin {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
}

const ORIGIN: Text<Origin> = Text::new(
    "a URL such as \"http://127.0.0.1:8000\" or \"https://origin.example\", without a path",
    origin,
    |Origin { scheme, host, port }| format!("{scheme}://{host}:{port}"),
)
.spelled(r"^https?://[^/?#@]+/?$");

/// Whether HTTP/2 is spoken.
const H2: Choice<Http2> =
    Choice(&[("auto", Http2::Auto), ("prior-knowledge", Http2::PriorKnowledge), ("off", Http2::Off)]);

/// A name that a certificate proves.
const SERVER_NAME: Text<ServerName<'static>> = Text::new(
    "a name or an address such as \"origin.internal\"",
    |text| {
        ServerName::try_from(text.to_owned())
            .map_err(|_| format!("cannot be \"{text}\": no certificate is for that"))
    },
    |name| name.to_str().into_owned(),
);

/// How AWS's services tell who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signature {
    Version4,
}

const SIGNATURE: Choice<Signature> = Choice(&[("sigv4", Signature::Version4)]);

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
)
.spelled("^/[^#]*$");

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
    let settings = read(name, upstream);
    let headers = upstream.optional("headers", Headers(document)).unwrap_or_default();
    let signature = upstream.or("sign", OrOff(SIGNATURE), None);
    if signature.is_some() && !cfg!(feature = "aws") {
        upstream.error("sign", "this build signs nothing", "build it with the feature `aws`");
    }
    let sign = signature.map(|Signature::Version4| Sign::of_host(&settings.host));
    Settings { headers, sign, ..settings }
}

/// Either of them.
pub(super) fn read(name: &str, upstream: &mut Section<'_>) -> Settings {
    let origin = upstream.required("url", ORIGIN);
    let h2 = upstream.or("h2", H2, Http2::Auto);
    let secure = upstream.optional_section("tls", tls_settings);
    let (connect_timeout, first_byte_timeout) = (
        upstream.or("connect_timeout", DURATION, Duration::from_secs(3)),
        upstream.or("first_byte_timeout", DURATION, Duration::from_mins(5)),
    );
    let (idle_connections, idle_connection_timeout) = (
        upstream.or("idle_connections", Whole(0..=100_000), 256),
        upstream.or("idle_connection_timeout", DURATION, Duration::from_secs(30)),
    );
    let retries = upstream.or("retries", Whole(0..=1), 1);
    let health = upstream.optional_section("health", health).flatten();
    let eject = upstream.optional_section("eject", eject);
    let pass = upstream.or("pass", List(CREDENTIAL), Vec::new());
    let version_header = upstream.optional("version_header", HEADER);
    let Origin { scheme, host, port } =
        origin.unwrap_or_else(|| Origin { scheme: Scheme::HTTP, host: Box::default(), port: 0 });
    let tls = if scheme == Scheme::HTTPS {
        let secure = secure.unwrap_or_default();
        if secure.server_name.is_none() && ServerName::try_from(&*host).is_err() {
            upstream.error("url", "no certificate is for such a host", "set `tls.server_name`");
        }
        Some(secure)
    } else {
        if secure.is_some() && !host.is_empty() {
            upstream.error("tls", "nothing is encrypted to an http:// URL", "make `url` one of https://");
        }
        None
    };
    Settings {
        name: name.into(),
        host,
        port,
        tls,
        h2,
        headers: Vec::new(),
        sign: None,
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

fn tls_settings(section: &mut Section<'_>) -> tls::Settings {
    let document = section.document();
    let ca = section.optional("ca", FILE).map(|path| document.beside(&path));
    let (certificate, key) = (section.optional("certificate", FILE), section.optional("key", FILE));
    for (given, missing) in [("certificate", "key"), ("key", "certificate")] {
        if section.has(given) && !section.has(missing) {
            let help = "a certificate and its key belong together";
            section.error(given, format!("`tls.{missing}` is missing"), help);
        }
    }
    let identity = pair(section, certificate, key);
    let server_name = section.optional("server_name", SERVER_NAME);
    let settings = tls::Settings { ca, identity, server_name };
    // The pair was judged by itself.
    let issuers = tls::Settings { identity: None, ..settings.clone() };
    if document.purpose == Purpose::Start
        && let Err(error @ Unusable::Ca(_)) = tls::judge(&issuers, SystemTime::now())
    {
        section.error("ca", error.to_string(), "it takes the certificates of issuers, in PEM");
    }
    settings
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

fn origin(text: &str) -> Result<Origin, String> {
    // The text is not repeated in what is said of it: it may hold a password.
    let (scheme, rest) = [Scheme::HTTP, Scheme::HTTPS]
        .into_iter()
        .find_map(|scheme| {
            let rest = text.strip_prefix(scheme.as_str())?.strip_prefix("://")?;
            Some((scheme, rest))
        })
        .ok_or("has to begin with \"http://\" or \"https://\"")?;
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
        None if scheme == Scheme::HTTPS => 443,
        None => 80,
    };
    Ok(Origin { scheme, host: host.trim_matches(['[', ']']).into(), port })
}
