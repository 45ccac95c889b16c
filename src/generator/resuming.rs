//! Jobs that were promised to clients who do not wait, and that the process which promised them did not live to begin.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::interval};
use uuid::Uuid;

use super::{
    Generator, Inner, Live, Until,
    admission::Place,
    keyed::Keyed,
    order::Wish,
    saga::{Intent, failure::chain},
    settling,
    state::State,
};

/// Between two looks at what was taken over.
const LOOK: Duration = Duration::from_secs(1);

impl Generator {
    /// Begins what was promised and is taken over, from now on until the process drains. Who is there for a moment only
    /// begins it when there is time to see it to its end: [`settle`](Self::settle),
    /// [`keep_house_once`](Self::keep_house_once).
    pub fn keep_promises(&self) {
        drop(self.0.saga.plane.spawn(Self::resume_always(Arc::downgrade(&self.0))));
    }

    /// Begins nothing more of what was promised: it is on record, and the next process begins it, once this one has ended.
    pub fn leave_promises(&self) {
        self.0.saga.promising.begin();
    }

    async fn resume_always(inner: Weak<Inner>) {
        let Some(promising) = inner.upgrade().map(|inner| inner.saga.promising.clone()) else { return };
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                biased;
                () = promising.draining() => return,
                _ = look.tick() => {}
            }
            let Some(inner) = inner.upgrade() else { return };
            drop(Self::of(inner).resume(None));
        }
    }

    /// Begins what was taken over and nobody has begun, to be drawn before `until` where there is an end.
    pub(super) fn resume(&self, until: Option<Until>) -> Vec<JoinHandle<()>> {
        let saga = &self.0.saga;
        let begin = |job| {
            let generator = self.clone();
            saga.plane.spawn(self.0.jobs.track_future(async move { generator.begin(job, until).await }))
        };
        saga.promised.take().into_iter().map(begin).collect()
    }

    async fn begin(&self, job: Uuid, until: Option<Until>) {
        let Live { settings, admission, provider, .. } = &*self.live().clone();
        let saga = &self.0.saga;
        let record = match saga.catalog.record(job).await {
            Ok(Some(record))
                if record.lease.owner == saga.owner && record.lease.standing == State::Accepted.into() =>
            {
                record
            }
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%job, error = chain(&error), "an accepted job cannot be begun now");
                return saga.parked.add(job);
            }
        };
        let Some(order) =
            record.ordered.as_deref().and_then(Wish::read).and_then(|wish| provider.agree(wish).ok())
        else {
            tracing::warn!(%job, "an accepted job is nothing that can be drawn here any more");
            return saga.refuse(record.lease).await;
        };
        // With a full queue, at the janitor's next visit.
        let Ok(seat) = admission.queue(record.tenant.as_ref(), &saga.metrics) else {
            return saga.parked.add(job);
        };
        let intent = Intent {
            id: job,
            keyed: Keyed::default(),
            may_hand_over: None,
            scope: Arc::from(&*record.route),
            tenant: record.tenant,
            subject: None,
            notify: record.notify,
            order,
            accepted: record.ordered,
            provider: provider.clone(),
            claimed: Arc::new(Notify::new()),
            arrival: saga.arrival(provider, admission, job),
            settings: settings.clone(),
            queues_until: settling::queues_until(settings, until),
            until,
        };
        // It is logged and counted where it ends, and nobody waits for it.
        drop(saga.resume(&intent, record.lease, &mut Place::Queued(seat.into())).await);
    }
}
