//! What the monolith is told of a job, or of a request that has none, and how that is written.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Envelope;
use crate::generator::{
    catalog::{Object, Record},
    order::Size,
    state::{Reason, State},
};

/// What the monolith is told of.
pub(crate) struct Told<'r> {
    /// `done` or `failed`.
    pub(crate) event: &'static str,
    /// Its id, of which there is a record or not.
    pub(crate) job: Uuid,
    /// By which route it came.
    pub(crate) route: &'r str,
    /// How many images were asked for.
    pub(crate) count: u32,
    /// How large.
    pub(crate) size: Size,
    /// Those that there are.
    pub(crate) objects: &'r [Object],
    /// Why there are none.
    pub(crate) reason: Option<&'static str>,
}

impl<'r> Told<'r> {
    pub(super) fn of(record: &'r Record, event: &'static str) -> Self {
        let standing = record.lease.standing;
        let is_done = standing.state == State::Done;
        Self {
            event,
            job: record.lease.job,
            route: &record.route,
            count: record.count,
            size: record.size,
            objects: if is_done { &record.objects } else { &[] },
            reason: (!is_done).then(|| standing.reason.map_or(standing.state.name(), Reason::name)),
        }
    }

    /// The body of its notice.
    pub(super) fn written(&self, envelope: &Envelope) -> String {
        let &Self { event, job, route, count, size, objects, reason } = self;
        let images = objects.iter().map(|object| {
            json!({
                "name": object.name,
                "media_type": object.media_type,
                "bytes": object.bytes,
                "sha256": object.sha256.as_str(),
                "width": size.width,
                "height": size.height,
            })
        });
        let facts = envelope.facts.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let mut body = json!({
            "event": event,
            "job": job.to_string(),
            "route": route,
            "request": envelope.request,
            "tenant": envelope.tenant,
            "facts": facts.collect::<serde_json::Map<_, _>>(),
            "n": count,
            "size": size.to_string(),
            "images": images.collect::<Vec<_>>(),
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(reason) = reason {
                members.insert("reason".to_owned(), reason.into());
            }
            if let Some(prompt) = &envelope.prompt {
                members.insert("prompt".to_owned(), prompt.as_str().into());
            }
        }
        body.to_string()
    }
}
