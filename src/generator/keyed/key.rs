//! Where a request's key stands, and whose it is.

use bytes::Bytes;
use http::Request;

use super::Belonging;
use crate::{
    generator::{
        Grant, RouteName,
        catalog::ClaimKey,
        contract::form,
        digest::Digest,
        settings::{Idempotency, KeyPlace, Settings},
    },
    text,
};

/// Keys longer than this are kept as their hash.
const LONGEST: usize = 200;

/// Whose request it is: the tenant that the monolith named, else the route's subject; hashed, because a subject may be
/// a session.
pub(crate) fn tenant(request: &Request<Bytes>) -> Option<Digest> {
    let granted = request.extensions().get::<Grant>().and_then(|grant| grant.tenant.as_deref());
    let subject = || request.extensions().get::<Belonging>().map(|Belonging(subject)| subject.as_slice());
    granted.map(str::as_bytes).or_else(subject).filter(|subject| !subject.is_empty()).map(Digest::of)
}

/// Whose request it is by the route's subject, where the monolith has named no tenant.
pub(crate) fn subject(request: &Request<Bytes>) -> Option<Digest> {
    let is_named = request.extensions().get::<Grant>().is_some_and(|grant| grant.tenant.is_some());
    if is_named { None } else { tenant(request) }
}

/// Where a request's key stands, if its route has such.
pub(crate) fn place<'s>(settings: &'s Settings, request: &Request<Bytes>) -> Option<&'s KeyPlace> {
    let RouteName(route) = request.extensions().get()?;
    Some(&settings.idempotency.get(route)?.key)
}

/// The claim that a request asks for; none without a key, or without somebody whose key it is.
pub(super) fn claim_of(settings: &Settings, request: &Request<Bytes>) -> Option<(ClaimKey, Idempotency)> {
    let RouteName(route) = request.extensions().get()?;
    let idempotency = settings.idempotency.get(route)?;
    let key = short(idempotency.key.read(request)?);
    let scope = format!("{route}/{}", tenant(request)?);
    Some((ClaimKey { scope, key }, idempotency.clone()))
}

/// The same where it only matters which arm the key has: a key that is nobody's is everybody's.
pub(super) fn claim_of_route(settings: &Settings, request: &Request<Bytes>) -> Option<ClaimKey> {
    let RouteName(route) = request.extensions().get()?;
    let key = short(place(settings, request)?.read(request)?);
    let scope = tenant(request).map_or_else(|| route.to_string(), |tenant| format!("{route}/{tenant}"));
    Some(ClaimKey { scope, key })
}

fn short(key: String) -> String {
    if key.len() <= LONGEST { key } else { Digest::of(key.as_bytes()).to_string() }
}

impl KeyPlace {
    /// The member of a JSON body that it is, or that it is in (RFC 6901).
    pub(crate) fn member(&self) -> Option<String> {
        let Self::Json(pointer) = self else { return None };
        let member = pointer.strip_prefix('/')?.split('/').next()?;
        Some(member.replace("~1", "/").replace("~0", "~"))
    }

    /// The key of a request, if it has one.
    pub(super) fn read(&self, request: &Request<Bytes>) -> Option<String> {
        let in_form =
            |name: &str, form: &[u8]| text::fields(form).find(|(key, _)| key == name).map(|(_, value)| value);
        let key = match self {
            Self::Header(name) => text::read(request.headers().get(name)?.as_bytes()).into_owned(),
            Self::Query(name) => in_form(name, request.uri().query()?.as_bytes())?,
            Self::Form(name) => form::field(request, name)?,
            Self::Json(pointer) => {
                let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
                match body.pointer(pointer)? {
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Number(number) => number.to_string(),
                    _ => return None,
                }
            }
        };
        let key = key.trim();
        (!key.is_empty()).then(|| key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::KeyPlace;

    #[test]
    fn keys_are_found_where_the_site_has_them() {
        let request = Request::post("/api/images?pedido=17&x=%20")
            .header("idempotency-key", " abc ")
            .body(Bytes::from_static(br#"{"pedido": 17, "order": {"id": "k 1"}, "empty": ""}"#))
            .unwrap();
        let json = |pointer: &str| KeyPlace::Json(pointer.into()).read(&request);
        assert_eq!(
            KeyPlace::Header("idempotency-key".parse().unwrap()).read(&request).as_deref(),
            Some("abc")
        );
        assert_eq!(KeyPlace::Query("pedido".into()).read(&request).as_deref(), Some("17"));
        assert_eq!(KeyPlace::Query("x".into()).read(&request), None, "blank");
        assert_eq!(json("/pedido").as_deref(), Some("17"));
        assert_eq!(json("/order/id").as_deref(), Some("k 1"));
        assert_eq!((json("/empty"), json("/order"), json("/nothing")), (None, None, None));
        for (pointer, member) in [("/pedido", "pedido"), ("/order/id", "order"), ("/a~1b~01", "a/b~1")] {
            assert_eq!(KeyPlace::Json(pointer.into()).member().as_deref(), Some(member));
        }
        assert_eq!(KeyPlace::Query("pedido".into()).member(), None);
        let parts = "--b\r\nContent-Disposition: form-data; name=\"pedido\"\r\n\r\n9\r\n--b--";
        let parts =
            Request::post("/").header("content-type", "multipart/form-data; boundary=b").body(parts.into());
        assert_eq!(KeyPlace::Form("pedido".into()).read(&parts.unwrap()).as_deref(), Some("9"));
        let form = Request::post("/").body(Bytes::from_static(b"a=1&pedido=n%C3%BAmero+9")).unwrap();
        assert_eq!(KeyPlace::Form("pedido".into()).read(&form).as_deref(), Some("número 9"));
    }

    /// A key that could not be read would be no key, and its second try a second generation.
    #[test]
    fn keys_may_be_in_any_letters() {
        let header = |key: &[u8]| {
            let request = Request::post("/").header("k", key).body(Bytes::new()).unwrap();
            KeyPlace::Header("k".parse().unwrap()).read(&request)
        };
        let query = |query: &str| {
            let request = Request::post(format!("/?k={query}")).body(Bytes::new()).unwrap();
            KeyPlace::Query("k".into()).read(&request)
        };
        assert_eq!(header("pão 1".as_bytes()).as_deref(), Some("pão 1"));
        assert_eq!(header(b"p\xe3o 1").as_deref(), Some("pão 1"));
        assert_ne!(query("caf%E8"), query("caf%E9"), "two keys are not one because nobody could read them");
    }
}
