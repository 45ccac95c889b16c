//! What the monolith holds for a request that it has permitted and that no job was begun for: it hears that it need not.

use bytes::Bytes;
use http::Request;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    Generator, Grant, RouteName,
    answering::RELEASE,
    contract::Asked,
    new_id,
    notify::{Envelope, Told},
    order::AskedSize,
    settings::{Contract, News},
    state::{Reason, State},
};

/// Who answers a request that was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The monolith.
    Control,
    /// Nobody: it may be tried again.
    Nobody,
}

impl Generator {
    /// Tells the upstream, where its route wants to know of failures, that nothing was begun for a request that it has
    /// permitted. Once: what it holds expires by itself. `None` where there is nothing to tell.
    pub fn release(
        &self,
        contract: &Contract,
        request: &Request<Bytes>,
        instead: Instead,
    ) -> Option<JoinHandle<()>> {
        let (grant, RouteName(route)) = (request.extensions().get::<Grant>()?, request.extensions().get()?);
        let (live, post) = (self.live(), self.0.post.get()?.clone());
        let notify = live.settings.notify.get(route)?.clone();
        let Asked { wish, .. } = live.read(contract, request).ok()?;
        let envelope = Envelope::new(&notify, grant, wish.prompt.text());
        let count = u32::try_from(wish.count).ok()?;
        let size = match wish.size {
            AskedSize::Exact(size) => size,
            AskedSize::Auto => live.provider.agree(wish).ok()?.size,
        };
        let (job, route) = (new_id((self.0.saga.clock)()), route.clone());
        let reason = match instead {
            Instead::Control => State::HandedOver.name(),
            Instead::Nobody => Reason::Refused.name(),
        };
        Some(self.0.saga.plane.spawn(self.0.jobs.track_future(async move {
            let told = Told {
                event: News::Failed.name(),
                job,
                route: &route,
                count,
                size,
                objects: &[],
                reason: Some(reason),
            };
            // Whoever waits for it waits no longer than that.
            timeout(RELEASE, post.release(notify, envelope, told)).await.ok();
        })))
    }
}
