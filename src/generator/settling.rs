//! What is done in one go, for who is not always at work: a function, which stands still between two events, and a
//! janitor who is called.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    Generator, Inner,
    notify::{Courier, Envelope, Post},
    saga::janitor::{SWEEP, Watch},
    settings::Settings,
};
use crate::tell::Teller;

/// Between two tries to store what a store did not take.
const AGAIN: Duration = Duration::from_millis(500);

/// When the provider must have answered, where that is sooner than `[generator] deadline`. A request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until(pub Instant);

/// What a janitor does who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chores {
    /// Jobs that nobody works on any more.
    Unfinished,
    /// Those; news that are due are told, what has had its time is let go, and store and catalog are compared. Reads the
    /// whole catalog.
    Everything,
}

/// When what begins now has to be over.
pub(super) fn deadline(settings: &Settings, until: Option<Until>) -> Instant {
    let own = Instant::now() + settings.deadline;
    until.map_or(own, |Until(until)| own.min(until))
}

/// For how long a place may be waited for: what is to be over by `until` is drawn in the other half of its time.
pub(super) fn queues_until(settings: &Settings, until: Option<Until>) -> Instant {
    let now = Instant::now();
    let half = until.map(|Until(until)| Until(now + until.saturating_duration_since(now) / 2));
    deadline(settings, half)
}

impl Generator {
    /// Tells upstreams as [`tell_by`](Self::tell_by) does, but only while [`settle`](Self::settle) or
    /// [`keep_house_once`](Self::keep_house_once) is awaited.
    pub fn tell_when_settling(&self, courier: Arc<dyn Courier>, teller: Teller) {
        // Who was named first is kept.
        drop(self.0.post.set(Post::new(self.0.saga.clone(), courier, teller)));
    }

    /// Waits for all that has begun: jobs that no request waits for, which are to be drawn by `drawn`, those whose store
    /// or catalog has failed, and news that are due, each tried once. At most until `until`; what is left then is for a
    /// janitor.
    pub async fn settle(&self, drawn: Until, until: Instant) {
        let inner = self.0.clone();
        // A task of its own: what has begun is not to be dropped half-way.
        let settling = self.0.saga.plane.spawn(async move {
            drop(Self::of(inner.clone()).resume(Some(drawn)));
            inner.jobs.wait().await;
            inner.saga.sweep().await;
            while !inner.saga.parked.is_empty() && Instant::now() + AGAIN < until {
                sleep(AGAIN).await;
                inner.saga.sweep().await;
            }
            inner.tell_due().await;
        });
        if timeout_at(until, settling).await.is_err() {
            tracing::warn!("what has begun is not finished in time; it is left to a janitor");
        }
    }

    /// One visit of a janitor who is called. Where others share the catalog he stays for a `lease`, if jobs of theirs are
    /// open, to see whether they show a sign of life; at most until `until`. Where the process drains he begins nothing
    /// more, and finishes what he has begun.
    pub async fn keep_house_once(&self, chores: Chores, until: Instant) {
        let (saga, settings) = (&self.0.saga, self.settings());
        let mut watch = Watch::default();
        let mut known = saga.visit(None, &mut watch, &settings).await;
        // What looks the same after it has been looked at for that long is taken over.
        let over = (Instant::now() + settings.lease + SWEEP).min(until);
        while !watch.is_empty()
            && Instant::now() < over
            && saga.unless_draining(sleep_until(over.min(Instant::now() + SWEEP))).await
        {
            known = saga.visit(known, &mut watch, &settings).await;
        }
        for begun in self.resume(Some(Until(until))) {
            // It says itself what became of it.
            drop(begun.await);
        }
        let rest = async {
            // Before what may take long: a hold waits for it.
            if timeout_at(until, self.0.clone().tell_due()).await.is_err() {
                tracing::warn!("not all that is due could be told in time");
            }
            saga.tidy(&settings).await;
            saga.reconcile().await;
        };
        if chores == Chores::Everything {
            saga.unless_draining(Box::pin(rest)).await;
        }
    }
}

impl Inner {
    /// Tells what is due, each of it tried once.
    async fn tell_due(self: Arc<Self>) {
        if let Some(post) = self.post.get() {
            let notified = self.clone();
            let notify_of = move |route: &str, letter: &Envelope| notified.notify_of(route, letter);
            post.deliver_due(Arc::new(notify_of)).await;
        }
    }
}
