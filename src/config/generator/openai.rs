//! `[generator.openai]` and the table of its model.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    config::{
        diagnostic::Span,
        kind::{List, Number, Text, WORDS, Whole, cannot_be},
        secret::Named,
        section::Section,
        tell::is_open,
    },
    generator::settings::{FetchHost, OpenAi, Price, Usd},
};

const DEFAULT_BASE: &str = "https://api.openai.com/v1";
const DEFAULT_KEY: &str = "OPENAI_API_KEY";
const DEFAULT_MODEL: &str = "gpt-image-2";
/// What the default model takes and costs while the file has no table of it.
const DEFAULT_PRICES: [((u32, u32), u64); 3] =
    [((1024, 1024), 40_000), ((1536, 1024), 60_000), ((1024, 1536), 60_000)];

/// The root of an API, without the slash at its end.
const BASE: Text<String> = Text::new("a URL such as \"https://api.openai.com/v1\"", base, String::clone);
/// A size that a model takes.
const PIXELS: Text<(u32, u32)> = Text::new(
    "a size such as \"1024x1024\"",
    |text| {
        let edge = |digits: &str| digits.parse().ok().filter(|edge| (1..=16_384).contains(edge));
        let (width, height) = text.split_once('x').ok_or_else(|| cannot_be(text))?;
        edge(width).zip(edge(height)).ok_or_else(|| cannot_be(text))
    },
    |(width, height)| format!("{width}x{height}"),
);
const HOSTS: Text<FetchHost> = Text::new(
    "a host such as \"images.example.net\", with a port other than 443 if need be; or \"127.0.0.1:PORT\"",
    host,
    FetchHost::to_string,
);

/// One table of a model.
struct Model {
    name: String,
    max_count: u32,
    prices: Vec<Price>,
}

/// Whether the provider is asked at all: where it is not, nothing needs to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It draws.
    Draws,
    /// Another draws.
    Idle,
}

pub(super) fn read(openai: &mut Section<'_>, needed: Use) -> OpenAi {
    let document = openai.document();
    let base_url = openai.or("base_url", BASE, DEFAULT_BASE.to_owned());
    let named = openai.sound_or("api_key", Named, Named::env(DEFAULT_KEY));
    let model = openai.or("model", WORDS, DEFAULT_MODEL.to_owned());
    let retries = openai.or("retries", Whole(0..=10), 2);
    let fetch_hosts = openai.or("fetch_hosts", List(HOSTS), Vec::new());
    let models = openai.named("models", |name, _: Span, table| Model {
        name: name.to_owned(),
        max_count: table.or("max_n", Whole(1..=100), 10),
        prices: table.list("prices", price).into_iter().flatten().collect(),
    });

    if needed == Use::Draws && base_url.starts_with("http://") && is_open(&base_url) {
        openai.warning("base_url", "the key, prompts and images go over the network unencrypted", "https://");
    }
    let api_key = match named.map(|named| named.credential(document)) {
        None => None,
        Some(Ok(key)) => Some(key),
        // Servers of one's own often ask for no key.
        Some(Err(_)) if needed == Use::Idle || (!openai.has("api_key") && base_url != DEFAULT_BASE) => None,
        Some(Err(because)) => {
            openai.error(
                "api_key",
                format!("`api_key` {because}"),
                "set it, or name another: api_key = { env = \"NAME\" } or { file = \"path\" } in [generator.openai];\n\
                 or provider = \"local\", which needs no account",
            );
            None
        }
    };
    let known = models.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ");
    let table = models.into_iter().find(|table| table.name == model);
    if table.is_none() && !known.is_empty() && needed == Use::Draws {
        openai.warning(
            "model",
            format!("there is no table of \"{model}\": its sizes and prices are not known"),
            format!("[generator.openai.models.\"{model}\"]; there are: {known}"),
        );
    }
    let Model { max_count, prices, .. } = table.unwrap_or_else(|| unwritten(&model));
    OpenAi { base_url, api_key, model, max_count, prices, retries, fetch_hosts }
}

/// A model of which the file says nothing.
fn unwritten(model: &str) -> Model {
    let known = DEFAULT_PRICES.iter().filter(|_| model == DEFAULT_MODEL);
    let price = |&(size, micros)| Price { size, quality: "auto".to_owned(), usd: Usd::micros(micros) };
    Model { name: model.to_owned(), max_count: 10, prices: known.map(price).collect() }
}

fn price(price: &mut Section<'_>) -> Option<Price> {
    let size = price.required("size", PIXELS);
    let quality = price.or("quality", WORDS, "auto".to_owned());
    let usd = price.required("usd", Number(0.0..=1000.0));
    Some(Price { size: size?, quality, usd: Usd::from_dollars(usd?)? })
}

fn base(text: &str) -> Result<String, String> {
    let url: http::Uri = text.parse().map_err(|_| "is no URL")?;
    match (url.scheme_str(), url.host()) {
        (Some("https" | "http"), Some(host)) if !host.is_empty() => {}
        _ => return Err("has to begin with \"https://\" or \"http://\", and to name a host".to_owned()),
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("cannot hold a user or a password".to_owned());
    }
    if url.query().is_some() || text.contains('#') {
        return Err("cannot have a query or a fragment".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn host(text: &str) -> Result<FetchHost, String> {
    if text.contains(['/', '@', '*', ' ']) {
        return Err(format!("{}: it is a host alone, without a scheme or a path", cannot_be(text)));
    }
    let authority: http::uri::Authority = text.parse().map_err(|_| cannot_be(text))?;
    let host = authority.host().to_ascii_lowercase();
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    match (literal, authority.port_u16()) {
        (Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), Some(port)) => Ok(FetchHost::Loopback { port }),
        (Some(address), _) if address.is_loopback() => {
            Err(format!("{}: this machine is written \"127.0.0.1:PORT\"", cannot_be(text)))
        }
        (_, port) if !host.is_empty() => Ok(FetchHost::Named { host, port: port.unwrap_or(443) }),
        _ => Err(cannot_be(text)),
    }
}
