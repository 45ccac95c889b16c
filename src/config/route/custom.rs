//! `[route.request]` and `[route.response]`: a contract of the operator's own.

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use toml::de::DeValue;

use crate::{
    config::{
        kind::{HEADER, Item, Kind, Text, WORDS, Whole, Wrong, cannot_be, nearest},
        section::Section,
    },
    generator::settings::{Answers, Custom, Escape, Parameter, Polled, Source, Template},
    routing::Pattern,
};

const WHERE: &str = "json:/pointer, form:field, query:name, path:parameter, header:name or literal:text";

const SOURCE: Text<Source> = Text::new(WHERE, source, |source| match source {
    Source::Json(pointer) => format!("json:{pointer}"),
    Source::Form(name) => format!("form:{name}"),
    Source::Query(name) => format!("query:{name}"),
    Source::Path(name) => format!("path:{name}"),
    Source::Header(name) => format!("header:{name}"),
    Source::Literal(text) => format!("literal:{text}"),
});

fn source(text: &str) -> Result<Source, String> {
    let Some((kind, rest)) = text.split_once(':') else {
        return Err(format!("{}: it does not say where", cannot_be(text)));
    };
    let named = |make: fn(String) -> Source| {
        if rest.is_empty() {
            Err(format!("{}: it names nothing", cannot_be(text)))
        } else {
            Ok(make(rest.to_owned()))
        }
    };
    match kind {
        "json" if rest.is_empty() || rest.starts_with('/') => Ok(Source::Json(rest.to_owned())),
        "json" => Err(format!("{}: a JSON pointer begins with a slash, \"json:/{rest}\"", cannot_be(text))),
        "form" => named(Source::Form),
        "query" => named(Source::Query),
        "path" => named(Source::Path),
        "literal" => Ok(Source::Literal(rest.to_owned())),
        "header" => rest.parse().map(Source::Header).map_err(|_| cannot_be(text)),
        _ => Err(match nearest(kind, ["json", "form", "query", "path", "header", "literal"]) {
            Some(near) => format!("{}: did you mean \"{near}:{rest}\"?", cannot_be(text)),
            None => cannot_be(text),
        }),
    }
}

const KNOWN: &str = "it knows job, images (each with name, url, width, height, bytes, media_type and sha256), prompt, status and message";

const JOB_PATH: Text<String> = Text::new(
    "a path with one parameter, {job}, such as \"/api/pedidos/{job}\"",
    |text| {
        Pattern::new(text).map_err(|error| format!("{}: {error}", cannot_be(text)))?;
        let is_named = text.matches('{').count() == 1 && text.contains("{job}");
        if is_named { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
    String::clone,
);

/// Headers and their templates.
struct Headers;

impl Kind for Headers {
    type Value = Vec<(HeaderName, Template)>;

    fn expects(&self) -> String {
        "a table of headers, such as { x-pedido = \"{{ job }}\" }".to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>> {
        let DeValue::Table(table) = item.get_ref() else { return Err(vec![Wrong::type_of(item)]) };
        let (mut headers, mut wrongs) = (Vec::new(), Vec::new());
        for (name, value) in table {
            let text = value.get_ref().as_str().ok_or_else(|| Wrong::type_of(value));
            let template = text.and_then(|text| {
                Template::part(text).map_err(|why| Wrong::new(value, format!("is no template: {why}")))
            });
            match (HEADER.check(name.get_ref()), template) {
                (Ok(name), Ok(template)) => headers.push((name, template)),
                (Err(because), _) => wrongs.push(Wrong::new(value, because)),
                (_, Err(wrong)) => wrongs.push(wrong),
            }
        }
        if wrongs.is_empty() { Ok(headers) } else { Err(wrongs) }
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

/// Where the parameters are; `None` without a prompt, which has been reported then.
pub(super) fn request(request: &mut Section<'_>, path: Option<&str>) -> Option<Vec<(Parameter, Source)>> {
    let mut mapped = Vec::new();
    for parameter in Parameter::ALL {
        let source = match parameter {
            Parameter::Prompt => request.required("prompt", SOURCE),
            other => request.optional(other.name(), SOURCE),
        };
        let Some(source) = source else { continue };
        if let (Source::Path(name), Some(path)) = (&source, path)
            && !path.contains(&format!("{{{name}}}"))
            && !path.contains(&format!("{{*{name}}}"))
        {
            request.error(
                parameter.name(),
                format!("the route's path has no parameter \"{name}\""),
                format!("the path is \"{path}\"; a parameter is written {{{name}}} there"),
            );
        }
        mapped.push((parameter, source));
    }
    let of = |wanted: fn(&Source) -> bool| mapped.iter().find(|(_, source)| wanted(source));
    if let (Some(_), Some((form, _))) =
        (of(|source| matches!(source, Source::Json(_))), of(|source| matches!(source, Source::Form(_))))
    {
        let message = "one body is never JSON and a form at once";
        request.error(form.name(), message, "take all of them from json: or all from form:");
    }
    mapped.iter().any(|(parameter, _)| *parameter == Parameter::Prompt).then_some(mapped)
}

/// How answers are written; `None` where that is not said, which has been reported then.
pub(super) fn response(response: &mut Section<'_>) -> Option<Answers> {
    let status = response.or("status", Whole(200..=299), 200_u16);
    let content_type = response.or("content_type", WORDS, "application/json".to_owned());
    let headers = response.or("headers", Headers, Vec::new());
    let (body, error_body) = (response.required("body", WORDS), response.required("error_body", WORDS));
    let escape = Escape::of(&content_type);
    if escape.is_none() {
        response.error(
            "content_type",
            format!("how values are escaped in \"{content_type}\" is not known"),
            "JSON, a form, HTML, XML or plain text: application/json, application/x-www-form-urlencoded, text/html, text/plain",
        );
    }
    let escape = escape.unwrap_or(Escape::Plain);
    let template = |key: &str, text: String| {
        let read = Template::new(&text, escape);
        read.map_err(|why| {
            response.error(key, format!("`{key}` is no template: {why}"), KNOWN);
        })
        .ok()
    };
    let body = body.and_then(|text| template("body", text));
    let error_body = error_body.and_then(|text| template("error_body", text));
    Some(Answers {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        content_type: HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static("text/plain")),
        headers,
        body: body?,
        error_body: error_body?,
    })
}

/// Where clients ask again; `None` where that is not said, which has been reported then.
fn poll(poll: &mut Section<'_>, escape: Escape) -> Option<Polled> {
    let path = poll.required("path", JOB_PATH);
    let (pending, body) = (poll.required("pending", WORDS), poll.required("body", WORDS));
    let template = |key: &str, text: Option<String>| {
        Template::new(&text?, escape)
            .map_err(|why| poll.error(key, format!("`{key}` is no template: {why}"), KNOWN))
            .ok()
    };
    let (pending, body) = (template("pending", pending), template("body", body));
    Some(Polled { path: path?, pending: pending?, body: body? })
}

/// All of them as a contract.
pub(super) fn contract(route: &mut Section<'_>, path: Option<&str>) -> Option<Custom> {
    let request = route.optional_section("request", |section| request(section, path)).flatten();
    let response = route.optional_section("response", response).flatten();
    let escape = response.as_ref().and_then(|response| Escape::of(response.content_type.to_str().ok()?));
    let poll =
        route.optional_section("poll", |section| poll(section, escape.unwrap_or(Escape::Plain))).flatten();
    Some(Custom { path: path?.to_owned(), request: request?, response: response?, poll })
}
