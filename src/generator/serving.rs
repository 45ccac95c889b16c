//! Where clients find images: which paths are ours, and the answer to a GET or HEAD of one. Everything is served
//! through its record, so what is not committed does not exist.

pub(crate) mod body;
mod conditional;

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ETAG, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    },
};

use self::{body::ImageBody, conditional::Selected};
use super::{
    catalog::{Catalog, Object},
    name,
    plane::Plane,
    saga::failure::chain,
    settings::{PublicUrl, Query, Serve, Settings, Unknown},
    store::Store,
};

/// `Cache-Control` at `public_url`.
const PUBLIC_CACHE: &str = "private, max-age=86400";
/// What a client waits when the catalog or the store is down.
const RETRY: Duration = Duration::from_secs(5);

/// The paths under which images are found, for one set of settings.
#[derive(Debug)]
pub(crate) struct Paths {
    router: matchit::Router<Serve>,
}

/// A request that is ours to look into.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The name, where it may be one of ours.
    name: Option<String>,
    head: Head,
    unknown: Unknown,
    cache: String,
    authorize: Option<Uri>,
}

/// Whether the body is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Only,
    AndBody,
}

/// What became of a request for an image.
#[derive(Debug)]
pub enum ImageAnswer {
    /// Ours.
    Answered(Response<ImageBody>),
    /// No image of ours has this name, and the monolith may know it.
    Monolith,
}

impl Paths {
    /// `public_url` and every `[[generator.serve]]`.
    pub(crate) fn new(settings: &Settings) -> Self {
        let public = match &settings.public_url {
            PublicUrl::Path(path) => Some(Serve {
                path: format!("{path}/{{name}}"),
                unknown: Unknown::NotFound,
                query: Query::Ignore,
                cache: PUBLIC_CACHE.to_owned(),
                authorize: None,
            }),
            // Whoever has a signed address needs none of ours.
            PublicUrl::Presigned(_) => None,
        };
        let mut router = matchit::Router::new();
        for serve in public.iter().chain(&settings.serve) {
            if let Err(error) = router.insert(&serve.path, serve.clone()) {
                tracing::warn!(path = serve.path, %error, "images are not served at this path");
            }
        }
        Self { router }
    }

    /// Whether a request is ours to look into. Pure; no look-up.
    pub(crate) fn find(&self, method: &Method, path: &str, query: Option<&str>) -> Option<Serving> {
        let head = match *method {
            Method::GET => Head::AndBody,
            Method::HEAD => Head::Only,
            _ => return None,
        };
        let found = self.router.at(path).ok()?;
        let serve = found.value;
        if query.is_some() && serve.query == Query::Monolith {
            return None;
        }
        let name = found.params.get("name").filter(|name| name::is_ours(name)).map(str::to_owned);
        if name.is_none() && serve.unknown == Unknown::Monolith {
            return None;
        }
        let Serve { unknown, cache, authorize, .. } = serve.clone();
        Some(Serving { name, head, unknown, cache, authorize })
    }
}

impl Serving {
    /// Whom to ask first, at the monolith.
    pub fn authorize(&self) -> Option<&Uri> {
        self.authorize.as_ref()
    }

    /// The name that is asked for, where it may be one of ours.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Answers from the record. To be awaited on the work plane.
    pub(crate) async fn answer(
        self,
        headers: HeaderMap,
        catalog: &Catalog,
        store: &Store,
        plane: &Plane,
    ) -> ImageAnswer {
        let object = match &self.name {
            None => None,
            Some(name) => match catalog.visible(name.clone()).await {
                Ok(object) => object,
                Err(error) => {
                    tracing::error!(name, error = chain(&error), "an image could not be looked up");
                    return ImageAnswer::Answered(unavailable());
                }
            },
        };
        let Some(object) = object else {
            return match self.unknown {
                Unknown::Monolith => ImageAnswer::Monolith,
                Unknown::NotFound => ImageAnswer::Answered(plain(StatusCode::NOT_FOUND, "no such image\n")),
            };
        };
        ImageAnswer::Answered(self.serve(&object, &headers, store, plane).await)
    }

    async fn serve(
        &self,
        object: &Object,
        headers: &HeaderMap,
        store: &Store,
        plane: &Plane,
    ) -> Response<ImageBody> {
        let etag = format!("\"{}\"", object.sha256);
        let selected = match self.head {
            Head::AndBody => conditional::select(headers, &etag, object.bytes),
            // Range is defined for GET alone (RFC 9110, 14.2).
            Head::Only => conditional::nothing(headers, &etag).unwrap_or(Selected::Whole),
        };
        let whole = 0..object.bytes;
        let (status, range) = match selected {
            Selected::Unchanged => (StatusCode::NOT_MODIFIED, None),
            Selected::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, None),
            Selected::Refused => (StatusCode::PRECONDITION_FAILED, None),
            Selected::Whole => (StatusCode::OK, Some(whole)),
            Selected::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        };
        let mut response = Response::new(ImageBody::empty());
        *response.status_mut() = status;
        let answer = response.headers_mut();
        let mut set = |name, text: String| {
            // What is written here is ASCII of our own, but for a `cache` that `check` has read.
            answer.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
        };
        set(ETAG, etag);
        // What one client's conditions and ranges came to is nobody else's image.
        let cache = if status.is_client_error() { "no-store" } else { &self.cache };
        set(CACHE_CONTROL, cache.to_owned());
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            set(CONTENT_RANGE, format!("bytes */{}", object.bytes));
        }
        if status.is_client_error() {
            set(CONTENT_LENGTH, "0".to_owned());
        }
        let Some(range) = range else { return response };
        if status == StatusCode::PARTIAL_CONTENT {
            set(
                CONTENT_RANGE,
                format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.bytes),
            );
        }
        set(CONTENT_LENGTH, range.end.saturating_sub(range.start).to_string());
        set(CONTENT_TYPE, object.media_type.clone());
        set(ACCEPT_RANGES, "bytes".to_owned());
        set(X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
        set(CONTENT_SECURITY_POLICY, "default-src 'none'".to_owned());
        if self.head == Head::AndBody {
            match store.read(&object.name, object.bytes, range.clone()).await {
                Ok(reader) => *response.body_mut() = ImageBody::stream(plane, reader, range),
                Err(error) => {
                    tracing::error!(
                        name = object.name,
                        error = chain(&error),
                        "a committed image could not be read"
                    );
                    return unavailable();
                }
            }
        }
        response
    }
}

/// The catalog or the store is down: never a false 404.
pub(crate) fn unavailable() -> Response<ImageBody> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "the image cannot be read now\n");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY.as_secs()));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<ImageBody> {
    let mut response = Response::new(ImageBody::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Paths;
    use crate::generator::{
        settings::{Query, Serve, Unknown},
        testing,
    };

    fn paths(unknown: Unknown, query: Query) -> Paths {
        let mut settings = testing::settings();
        settings.serve = vec![Serve {
            path: "/img/{name}".into(),
            unknown,
            query,
            cache: "no-cache".into(),
            authorize: None,
        }];
        Paths::new(&settings)
    }

    const OURS: &str = "fg-01890a5d-ac96-774b-bcce-b302099a8057-0.png";

    #[test]
    fn our_names_at_our_paths_are_ours() {
        let paths = paths(Unknown::Monolith, Query::Monolith);
        let site = format!("/img/{OURS}");
        assert!(paths.find(&Method::GET, &site, None).is_some());
        assert!(paths.find(&Method::HEAD, &site, None).is_some());
        assert!(paths.find(&Method::POST, &site, None).is_none());
        assert!(paths.find(&Method::GET, &site, Some("w=200")).is_none(), "a resizer of the site's");
        assert!(paths.find(&Method::GET, &format!("/figueira/images/{OURS}"), Some("w=200")).is_some());
        assert!(paths.find(&Method::GET, "/img/logo.png", None).is_none(), "the site's own");
        assert!(paths.find(&Method::GET, &format!("/other/{OURS}"), None).is_none());
        assert!(paths.find(&Method::GET, &format!("/img/{OURS}/x"), None).is_none());
    }

    #[test]
    fn a_path_may_be_all_ours() {
        let paths = paths(Unknown::NotFound, Query::Ignore);
        assert!(
            paths.find(&Method::GET, "/img/logo.png", None).is_some_and(|serving| serving.name.is_none())
        );
        assert!(paths.find(&Method::GET, &format!("/img/{OURS}"), Some("")).is_some());
    }
}
