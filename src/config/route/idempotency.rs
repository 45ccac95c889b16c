//! `[route.idempotency]`.

use crate::{
    config::{
        kind::{Choice, Text, cannot_be},
        section::Section,
    },
    gateway::settings::Authorize,
    generator::settings::{Idempotency, KeyPlace, Running},
    routing::Subject,
};

const RUNNING: Choice<Running> = Choice(&[("wait", Running::Wait), ("409", Running::Refuse)]);
const KEY: Text<KeyPlace> = Text::new(
    "\"header:NAME\", \"json:/POINTER\", \"form:FIELD\" or \"query:NAME\"",
    |text| {
        let place = match text.split_once(':') {
            Some(("header", name)) => name.parse().ok().map(KeyPlace::Header),
            Some(("json", pointer)) => pointer.starts_with('/').then(|| KeyPlace::Json(pointer.to_owned())),
            Some(("form", name)) => (!name.is_empty()).then(|| KeyPlace::Form(name.to_owned())),
            Some(("query", name)) => (!name.is_empty()).then(|| KeyPlace::Query(name.to_owned())),
            _ => None,
        };
        place.ok_or_else(|| cannot_be(text))
    },
    |place| match place {
        KeyPlace::Header(name) => format!("header:{name}"),
        KeyPlace::Json(pointer) => format!("json:{pointer}"),
        KeyPlace::Form(name) => format!("form:{name}"),
        KeyPlace::Query(name) => format!("query:{name}"),
    },
);

pub(super) fn read(route: &mut Section<'_>, subject: Option<&Subject>, authorize: &Authorize) -> Idempotency {
    let named = matches!(authorize, Authorize::Ask(ask) if ask.tenant.is_some());
    if route.has("idempotency") && subject.is_none() && !named {
        route.warning(
            "idempotency",
            "no key is honoured: nobody says whose it is",
            "subject = \"cookie:session\", or `tenant` in [route.authorize]",
        );
    }
    route.section("idempotency", |idempotency| Idempotency {
        key: idempotency.or("key", KEY, KeyPlace::Header(http::HeaderName::from_static("idempotency-key"))),
        running: idempotency.or("running", RUNNING, Running::Wait),
    })
}
