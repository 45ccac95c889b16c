//! A contract of the operator's own: where the site's request holds what a generation needs, and how the site writes
//! its answers.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Asked, Made, Refusal, Rejection, Reply,
    fields::{self, Fields},
    form,
    template::{Shown, Template, Values},
};
use crate::{
    generator::{
        digest::Digest,
        order::{Format, Options, Prompt, Wish},
        polling::Place,
    },
    text,
};

/// `[route.request]` and `[route.response]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// The route's own pattern, for what is in the path.
    pub path: String,
    /// Where each parameter of a generation is found, by its name.
    pub request: Vec<(Parameter, Source)>,
    /// How an answer is written.
    pub response: Answers,
    /// Where its clients ask again, if they do.
    pub poll: Option<Polled>,
}

/// `[route.poll]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// A pattern with the parameter `{job}`.
    pub path: String,
    /// What is said while the images are drawn.
    pub pending: Template,
    /// What is said when they are there.
    pub body: Template,
}

/// What a generation can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// What to draw.
    Prompt,
    /// How many images.
    N,
    /// How large.
    Size,
    /// How much work to put into it.
    Quality,
    /// Opaque or transparent.
    Background,
    /// `png`, `jpeg` or `webp`.
    OutputFormat,
    /// Quality of the encoding in percent.
    OutputCompression,
    /// How strictly to judge.
    Moderation,
    /// Who asks.
    User,
}

/// Where a parameter is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a JSON body, at this pointer (RFC 6901).
    Json(String),
    /// In a form's field.
    Form(String),
    /// In the query.
    Query(String),
    /// In the path, at the pattern's parameter of this name.
    Path(String),
    /// In a header.
    Header(HeaderName),
    /// Nowhere: it is always this.
    Literal(String),
}

/// How answers are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Of a success.
    pub status: StatusCode,
    /// Of all of them.
    pub content_type: HeaderValue,
    /// Further fields of a success.
    pub headers: Vec<(HeaderName, Template)>,
    /// Of a success.
    pub body: Template,
    /// Of an error.
    pub error_body: Template,
}

impl Parameter {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Prompt,
        Self::N,
        Self::Size,
        Self::Quality,
        Self::Background,
        Self::OutputFormat,
        Self::OutputCompression,
        Self::Moderation,
        Self::User,
    ];

    /// As the Images API, `routes.toml` and our errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::N => "n",
            Self::Size => "size",
            Self::Quality => "quality",
            Self::Background => "background",
            Self::OutputFormat => "output_format",
            Self::OutputCompression => "output_compression",
            Self::Moderation => "moderation",
            Self::User => "user",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::N | Self::OutputCompression)
    }
}

impl Custom {
    /// Of everything that it says: another mapping or another template is another contract.
    pub(crate) fn digest(&self) -> Digest {
        let Self { path, request, response, poll } = self;
        let Answers { status, content_type, headers, body, error_body } = response;
        let mut said = format!("{path:?} {request:?} {status} {content_type:?}");
        let polled = poll.iter().flat_map(|poll| [&poll.pending, &poll.body]);
        let in_headers = headers.iter().map(|(name, template)| {
            let _ = write!(said, " {name}");
            template
        });
        let templates: Vec<_> = in_headers.chain([body, error_body]).chain(polled).collect();
        for template in templates {
            let _ = write!(said, " {:?}", template.text());
        }
        Digest::of(said.as_bytes())
    }

    pub(super) fn pending(&self, job: Uuid) -> Option<Response<Bytes>> {
        let poll = self.poll.as_ref()?;
        let values = Values { job: job.hyphenated().to_string(), status: 200, ..Values::default() };
        Some(self.response.written(StatusCode::OK, &poll.pending, &values))
    }

    pub(super) fn finished(&self, made: &Made, place: Place) -> Response<Bytes> {
        match (&self.poll, place) {
            (Some(poll), Place::Sites) => {
                self.response.written(StatusCode::OK, &poll.body, &values(made, StatusCode::OK))
            }
            _ => self.response.answer(made),
        }
    }

    /// Whether a request of this method can be one for images.
    pub(super) fn takes(&self, method: &Method) -> bool {
        let in_body = |source: &Source| matches!(source, Source::Json(_) | Source::Form(_));
        match *method {
            Method::POST | Method::PUT | Method::PATCH => true,
            Method::GET => !self.request.iter().any(|(_, source)| in_body(source)),
            _ => false,
        }
    }

    pub(super) fn read(&self, request: &Request<Bytes>) -> Result<Asked, Rejection> {
        let found = Found::of(self, request)?;
        let mut members = Map::new();
        for (parameter, source) in &self.request {
            if let Some(value) = found.get(source) {
                members.insert(parameter.name().to_owned(), fitting(*parameter, value));
            }
        }
        let fields = Fields::from(members);
        let format = match fields.text("output_format")? {
            None | Some("png") => Format::Png,
            Some("jpeg" | "jpg") => Format::Jpeg,
            Some("webp") => Format::WebP,
            Some(_) => {
                let message = "output_format must be png, jpeg or webp";
                return Err(Rejection::BeyondTables(Refusal::parameter(
                    "output_format",
                    "invalid_value",
                    message,
                )));
            }
        };
        let word =
            |name| Ok::<_, Refusal>(fields.text(name)?.filter(|word| *word != "auto").map(ToOwned::to_owned));
        let wish = Wish {
            prompt: fields.prompt()?,
            count: fields.count()?,
            size: fields.size()?,
            format,
            compression: fields.up_to(100, "output_compression")?.unwrap_or(100),
            options: Options {
                quality: word("quality")?,
                background: word("background")?,
                moderation: word("moderation")?,
                style: None,
                user: word("user")?,
            },
        };
        Ok(Asked { wish, reply: Reply::Custom(self.response.clone().into()) })
    }
}

/// The parts of a request in which parameters are looked for.
struct Found<'r> {
    body: Value,
    form: Vec<(String, String)>,
    query: Vec<(String, String)>,
    path: Vec<(String, String)>,
    headers: &'r HeaderMap,
}

impl<'r> Found<'r> {
    fn of(custom: &Custom, request: &'r Request<Bytes>) -> Result<Self, Refusal> {
        let needs = |wanted: fn(&Source) -> bool| custom.request.iter().any(|(_, source)| wanted(source));
        let body = if needs(|source| matches!(source, Source::Json(_))) {
            fields::json(request)?
        } else {
            Value::Null
        };
        let form =
            if needs(|source| matches!(source, Source::Form(_))) { form::read(request)? } else { Vec::new() };
        Ok(Self {
            body,
            form,
            query: request
                .uri()
                .query()
                .map(|query| text::fields(query.as_bytes()).collect())
                .unwrap_or_default(),
            path: parameters(&custom.path, request.uri().path()),
            headers: request.headers(),
        })
    }

    fn get(&self, source: &Source) -> Option<Value> {
        let among = |pairs: &[(String, String)], wanted: &str| {
            pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| Value::from(value.as_str()))
        };
        match source {
            Source::Json(pointer) => self.body.pointer(pointer).cloned(),
            Source::Form(name) => among(&self.form, name),
            Source::Query(name) => among(&self.query, name),
            Source::Path(name) => among(&self.path, name),
            Source::Header(name) => {
                let value = self.headers.get(name)?;
                Some(text::read(value.as_bytes()).into_owned().into())
            }
            Source::Literal(text) => Some(text.as_str().into()),
        }
    }
}

/// A number that came as a text is one, and a text that came as a number; an empty field of a form is none at all.
fn fitting(parameter: Parameter, value: Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() && parameter != Parameter::Prompt => Value::Null,
        Value::String(text) if parameter.is_number() => match text.trim().parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
        Value::Number(number) if !parameter.is_number() => number.to_string().into(),
        value => value,
    }
}

/// What a pattern's parameters are in a path, percent-decoded.
fn parameters(pattern: &str, path: &str) -> Vec<(String, String)> {
    let mut router = matchit::Router::new();
    if router.insert(pattern, ()).is_err() {
        return Vec::new();
    }
    let Ok(found) = router.at(path) else { return Vec::new() };
    found
        .params
        .iter()
        .map(|(name, value)| (name.to_owned(), text::percent_decoded(value.as_bytes())))
        .collect()
}

impl Answers {
    /// The answer to a start that nobody waits for: there are no images yet.
    pub(super) fn started(&self, job: Uuid, prompt: &Prompt) -> Response<Bytes> {
        let (job, prompt) = (job.hyphenated().to_string(), prompt.text().to_owned());
        self.success(&Values { job, prompt, status: self.status.as_u16(), ..Values::default() })
    }

    pub(super) fn answer(&self, made: &Made) -> Response<Bytes> {
        self.success(&values(made, self.status))
    }

    fn success(&self, values: &Values) -> Response<Bytes> {
        let mut response = self.written(self.status, &self.body, values);
        for (name, template) in &self.headers {
            match HeaderValue::try_from(template.fill(values)) {
                Ok(value) => drop(response.headers_mut().insert(name, value)),
                Err(_) => {
                    tracing::warn!(%name, "a header's template gives what no header can hold; it is left out");
                }
            }
        }
        response
    }

    pub(super) fn refusal(&self, refusal: &Refusal) -> Response<Bytes> {
        let values =
            Values { status: refusal.status.as_u16(), message: refusal.message.clone(), ..Values::default() };
        self.written(refusal.status, &self.error_body, &values)
    }

    fn written(&self, status: StatusCode, template: &Template, values: &Values) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(template.fill(values)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, self.content_type.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn values(made: &Made, status: StatusCode) -> Values {
    let images = made.images.iter().map(|image| Shown {
        name: image.object.name.clone(),
        url: image.url.clone(),
        width: made.size.width,
        height: made.size.height,
        bytes: image.object.bytes,
        media_type: image.object.media_type.clone(),
        sha256: image.object.sha256.to_string(),
    });
    Values {
        job: made.job.clone(),
        images: images.collect(),
        prompt: made.prompt.as_ref().map_or_else(String::new, |prompt| prompt.text().to_owned()),
        status: status.as_u16(),
        message: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Parameter, fitting};

    #[test]
    fn numbers_and_texts_become_what_is_wanted() {
        for (parameter, value, fits) in [
            (Parameter::N, json!("2"), json!(2)),
            (Parameter::N, json!(2), json!(2)),
            (Parameter::N, json!("two"), json!("two")),
            (Parameter::User, json!(17), json!("17")),
            (Parameter::Prompt, json!(1984), json!("1984")),
            (Parameter::User, json!(""), Value::Null),
            (Parameter::User, json!([17]), json!([17])),
        ] {
            assert_eq!(fitting(parameter, value.clone()), fits, "{parameter:?} {value}");
        }
    }
}
