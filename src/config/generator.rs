//! `[generator]` and its tables.

mod openai;
pub(super) mod storage;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use self::{openai::Use, storage::Kept};

use super::{
    diagnostic::{Problem, Span},
    document::Document,
    kind::{Choice, DURATION, Flag, Number, OrForever, OrOff, SIZE, Text, WEB_PATH, WORDS, Whole, cannot_be},
    route::authorize::TARGET,
    section::Section,
};
use crate::{
    generator::settings::{Aws, Draws, Query, Serve, Settings, Unknown, Usd},
    routing::Pattern,
};

const UNKNOWN: Choice<Unknown> = Choice(&[("monolith", Unknown::Monolith), ("404", Unknown::NotFound)]);
const QUERY: Choice<Query> = Choice(&[("monolith", Query::Monolith), ("ignore", Query::Ignore)]);
/// What our names start with; they are parts of URLs and of file names.
pub(super) const PREFIX: Text<String> = Text::new(
    "a text of a-z, 0-9 and -, at most 32",
    |text| {
        let fits = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits && text.len() <= 32 { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
    String::clone,
);
const NAMED_PATH: Text<String> = Text::new(
    "a path with one parameter, {name}, such as \"/img/{name}\"",
    |text| {
        Pattern::new(text).map_err(|error| format!("{}: {error}", cannot_be(text)))?;
        let is_named = text.matches('{').count() == 1 && text.contains("{name}");
        if is_named { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
    String::clone,
);

pub(super) fn read(generator: &mut Section<'_>, aws: Aws) -> Settings {
    let provider =
        generator.or("provider", Choice(&[("local", Use::Idle), ("openai", Use::Draws)]), Use::Idle);
    let openai = generator.section("openai", |openai| openai::read(openai, provider));
    let catalog = generator.section("catalog", storage::catalog);
    let Kept { store, name_prefix, public_url } = generator.section("store", storage::store);
    let serve = without_ties(generator.document(), generator.list("serve", serve));
    let settings = Settings {
        draws: match provider {
            Use::Draws => Draws::OpenAi(Arc::new(openai)),
            Use::Idle => Draws::Local,
        },
        max_in_flight: generator.or("max_in_flight", Whole(1..=10_000), 16),
        queue: generator.or("queue", Whole(0..=100_000), 64),
        memory: generator.or("memory", SIZE, 1 << 30),
        deadline: generator.or("deadline", DURATION, Duration::from_mins(5)),
        max_request: generator.or("max_request", SIZE, 1 << 20),
        max_image: generator.or("max_image", SIZE, 50 << 20),
        max_pixels: generator.or("max_pixels", Whole(1..=1 << 30), 33_554_432),
        fallback_max_in_flight: generator.or("fallback_max_in_flight", Whole(0..=10_000), 8),
        tenant_max_in_flight: generator.or("tenant_max_in_flight", OrOff(Whole(1..=10_000)), None),
        lease: generator.or("lease", DURATION, Duration::from_mins(1)),
        daily_budget: generator
            .or("daily_budget_usd", OrOff(Number(0.0..=1e9)), None)
            .and_then(Usd::from_dollars),
        idempotency_ttl: generator.or("idempotency_ttl", DURATION, Duration::from_hours(24)),
        keep_images: generator.or("keep_images", OrForever(DURATION), None),
        keep_paid: generator.or("keep_paid", DURATION, Duration::from_hours(7 * 24)),
        spool_grace: generator.or("spool_grace", DURATION, Duration::from_hours(24)),
        keep_prompts: generator.or("keep_prompts", Flag, false),
        name_prefix,
        public_url,
        store,
        catalog,
        aws,
        serve,
        jobs_url: generator.or("jobs_url", WEB_PATH, "/figueira/jobs".to_owned()),
        // Of the routes, which are read later.
        idempotency: BTreeMap::new(),
        polls: Vec::new(),
        notify: BTreeMap::new(),
    };
    if settings.keep_images.is_some_and(|keep| keep < settings.idempotency_ttl) {
        generator.error(
            "keep_images",
            "`keep_images` is shorter than `idempotency_ttl`: a key goes with its images, and would be paid for again",
            "raise it, or lower `idempotency_ttl`",
        );
    }
    settings
}

/// The paths that were right, once it is sure that no two of them take the same image.
fn without_ties(document: &Document<'_>, list: Vec<Option<(Serve, Span)>>) -> Vec<Serve> {
    let mut paths = matchit::Router::new();
    let mut insert = |(serve, span): (Serve, Span)| {
        if paths.insert(&serve.path, ()).is_err() {
            let problem = Problem::error(format!("\"{}\" takes the same images as another path", serve.path));
            document.report(problem.at(span).help("leave one of them out"));
        }
        serve
    };
    list.into_iter().flatten().map(&mut insert).collect()
}

fn serve(serve: &mut Section<'_>) -> Option<(Serve, Span)> {
    let path = serve.required("path", NAMED_PATH);
    let (unknown, query) =
        (serve.or("unknown", UNKNOWN, Unknown::Monolith), serve.or("query", QUERY, Query::Monolith));
    let cache = serve.or("cache", WORDS, "private, max-age=86400".to_owned());
    let authorize = serve.or("authorize", OrOff(TARGET), None);
    Some((Serve { path: path?, unknown, query, cache, authorize }, serve.span_of("path")))
}
