//! Whose letter is being delivered: by one at a time, and whoever needs it delivered can wait for that one.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

/// The jobs whose letters are being delivered. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    jobs: Mutex<HashSet<Uuid>>,
    ended: Notify,
}

/// A delivery, until this is dropped.
#[derive(Debug)]
pub(super) struct Delivery {
    under_way: UnderWay,
    job: Uuid,
}

impl UnderWay {
    fn jobs(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a delivery; none where another is under way.
    pub(super) fn begin(&self, job: Uuid) -> Option<Delivery> {
        self.jobs().insert(job).then(|| Delivery { under_way: self.clone(), job })
    }

    /// Begins a delivery as soon as no other is under way.
    pub(super) async fn begin_next(&self, job: Uuid) -> Delivery {
        loop {
            // It hears of every end from here on.
            let ended = self.0.ended.notified();
            if let Some(delivery) = self.begin(job) {
                return delivery;
            }
            ended.await;
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.under_way.jobs().remove(&self.job);
        self.under_way.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[tokio::test]
    async fn who_needs_a_letter_delivered_waits_for_who_carries_it() {
        let under_way = UnderWay::default();
        let (job, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = under_way.begin(job).unwrap();
        assert!(under_way.begin(job).is_none());
        let mut second = pin!(under_way.begin_next(job));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(under_way.begin(other));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(first);
        drop(second.await);
        assert!(under_way.jobs().is_empty());
    }
}
