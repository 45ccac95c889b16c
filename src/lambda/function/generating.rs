//! The generator's answer to a request, for whoever may ask; and what a gateway that asks may do where there is none.

use http::{HeaderName, HeaderValue, Response};

use super::{Asked, Carried, Function};
use crate::{
    gateway::settings::{Ask, Authorize},
    generator::{
        Belonging, Declined, ExternalOrigin, Grant, Instead, MayFallBack, Outcome, RouteName, Until, Why,
        settings::Contract, undecided, unpermitted,
    },
    lambda::call::Caller,
    routing::{Fallback, Route},
    text,
};

const CHARGED: HeaderName = HeaderName::from_static("figueira-charged");
const SHADOW: HeaderName = HeaderName::from_static("figueira-shadow");
const REQUEST: HeaderName = HeaderName::from_static("figueira-request");
/// Whose a shadow's images are: they can be erased as any tenant's.
const NOBODY: &str = "figueira-shadow";

/// The site says who may ask, and the caller has not asked it.
pub(super) struct Denied;

/// What the site said of a request when a gateway asked it, as that passes it on.
pub(super) fn granted(authorize: &Authorize, asked: &Asked) -> Result<Option<Grant>, Denied> {
    let Authorize::Ask(ask) = authorize else { return Ok(None) };
    let Ask { copy, tenant, .. } = &**ask;
    let headers = asked.request.headers();
    let text = |name: &HeaderName| headers.get(name).map(|value| text::read(value.as_bytes()).into_owned());
    match (asked.caller, text(&REQUEST)) {
        (Caller::Known, Some(request)) => {
            let facts = copy.iter().filter_map(|name| Some((name.to_string(), text(name)?))).collect();
            Ok(Some(Grant { request, tenant: tenant.as_ref().and_then(text), facts }))
        }
        _ => Err(Denied),
    }
}

impl Function {
    /// The generator's answer.
    pub(super) async fn generated(
        &self,
        route: &Route,
        contract: &Contract,
        authorize: &Authorize,
        asked: Asked,
        subject: Vec<u8>,
    ) -> Response<Carried> {
        let is_shadow = asked.caller == Caller::Known && asked.request.headers().contains_key(&SHADOW);
        // Nobody asks the site for a shadow.
        let granted = if is_shadow { Ok(None) } else { granted(authorize, &asked) };
        let Ok(grant) = granted else { return unpermitted(contract).map(Carried::Whole) };
        let Asked { mut request, caller, origin, drawn, .. } = asked;
        let extensions = request.extensions_mut();
        extensions.insert(ExternalOrigin(origin));
        extensions.insert(Until(drawn));
        if is_shadow {
            // Drawn and stored as any other, so that it can be looked at; but under no key, and nobody is told.
            extensions.insert(RouteName(format!("{}/shadow", route.name).into()));
            extensions.insert(Grant { tenant: Some(NOBODY.to_owned()), ..Grant::default() });
        } else {
            extensions.insert(RouteName(route.name.clone()));
            extensions.insert(Belonging(subject));
            if let Some(grant) = grant {
                extensions.insert(grant);
            }
            if caller == Caller::Known && route.fallback == Fallback::WhenSafe {
                extensions.insert(MayFallBack);
            }
        }
        let may_fall_back = request.extensions().get::<MayFallBack>().is_some();
        let is_keyed = self.generator.key(&request).is_some();
        // What its key is known by and what is held for it, should another answer.
        let is_held = request.extensions().get::<Grant>().is_some();
        let asked = ((may_fall_back && is_keyed) || is_held).then(|| request.clone());
        match self.generator.answer(contract, request).await {
            Outcome::Answered(response) => response.map(Carried::Whole),
            Outcome::Streamed(response) => response.map(Carried::Events),
            Outcome::Declined(Declined { why, mut response }) => {
                let is_left = may_fall_back && why.is_for_others();
                if let Some(asked) = &asked
                    && is_left
                    && is_keyed
                    && !self.generator.leave(asked).await
                {
                    return undecided(contract).map(Carried::Whole);
                }
                // Under a key the next try finds the same hold; what was begun is told of by its own record.
                let instead = if is_left { Instead::Control } else { Instead::Nobody };
                if let Some(asked) = asked
                    && why != Why::HandedOver
                    && (is_left || !is_keyed)
                    && let Some(telling) = self.generator.release(contract, &asked, instead)
                {
                    telling.await.ok();
                }
                if why.is_for_others() {
                    // So that whoever asked may ask another.
                    response.headers_mut().insert(CHARGED, HeaderValue::from_static("no"));
                }
                response.map(Carried::Whole)
            }
        }
    }
}
