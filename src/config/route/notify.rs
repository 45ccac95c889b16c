//! `[route.notify]`.

use crate::{
    config::{
        kind::{Choice, DURATION, Flag, List, OrOff},
        secret::Named,
        section::Section,
    },
    generator::settings::{News, Notify},
};

use super::authorize::TARGET;

const NEWS: Choice<News> = Choice(&[("done", News::Done), ("failed", News::Failed)]);

/// Without a url it is an error already.
pub(super) fn read(notify: &mut Section<'_>, upstream: &str) -> Option<Notify> {
    let document = notify.document();
    let url = notify.required("url", TARGET);
    let on = notify.or("on", List(NEWS), vec![News::Done, News::Failed]);
    let wait = notify.or("wait", OrOff(DURATION), None);
    let prompt = notify.or("prompt", Flag, false);
    let secret = notify.optional("secret", Named);
    let secret = secret.and_then(|named| match named.credential(document) {
        Ok(secret) => Some(secret),
        Err(because) => {
            notify.error("secret", format!("`secret` {because}"), "set it, or name another");
            None
        }
    });
    if on.is_empty() {
        notify.warning("on", "nothing is told", "leave `on` out for both; or leave out [route.notify]");
    }
    if secret.is_none() && !notify.has("secret") && notify.has("url") {
        notify.warning(
            "url",
            "what is told is not signed: whoever reaches the upstream can say the same",
            "secret = { env = \"FIGUEIRA_NOTIFY_SECRET\" }",
        );
    }
    Some(Notify { url: url?, upstream: upstream.into(), on, wait, prompt, secret })
}
