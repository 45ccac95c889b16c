//! `authorize` of a route: a word, or `[route.authorize]`.

use std::{sync::Arc, time::Duration};

use http::{StatusCode, Uri};

use crate::{
    config::{
        kind::{Choice, DURATION, HEADER, List, Text, Whole},
        section::Section,
    },
    gateway::settings::{Ask, Authorize},
};

/// A path of an upstream, with a query if need be.
pub(in crate::config) const TARGET: Text<Uri> = Text::new(
    "a path of the upstream such as \"/internal/may-generate\"",
    |text| match text.parse::<Uri>() {
        Ok(uri) if text.starts_with('/') && !text.contains('#') && uri.authority().is_none() => Ok(uri),
        Ok(_) => {
            Err(format!("cannot be \"{text}\": it begins with a slash, and has no host and no fragment"))
        }
        Err(error) => Err(format!("is no path: {error}")),
    },
    Uri::to_string,
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Off,
    Public,
}

pub(super) fn read(route: &mut Section<'_>) -> Authorize {
    let words = Choice(&[("off", Word::Off), ("public", Word::Public)]);
    match route.word_or_section("authorize", words, Word::Off, ask) {
        Ok(Word::Off) => Authorize::Off,
        Ok(Word::Public) => Authorize::Public,
        // Without a url it is an error already.
        Err(asked) => asked.map_or(Authorize::Off, |ask| Authorize::Ask(Arc::new(ask))),
    }
}

fn ask(authorize: &mut Section<'_>) -> Option<Ask> {
    let url = authorize.required("url", TARGET);
    let expect = authorize.or("expect", List(Whole(200..=499)), Vec::<u16>::new());
    let copy = authorize.or("copy", List(HEADER), Vec::new());
    let tenant = authorize.optional("tenant", HEADER);
    let timeout = authorize.or("timeout", DURATION, Duration::from_secs(5));
    if let Some(tenant) = &tenant
        && !copy.contains(tenant)
    {
        authorize.error(
            "tenant",
            format!("\"{tenant}\" is not among the headers of `copy`"),
            format!("copy = [\"{tenant}\"]"),
        );
    }
    let expect = expect.into_iter().filter_map(|status| StatusCode::from_u16(status).ok()).collect();
    Some(Ask { url: url?, expect, copy, tenant, timeout })
}
