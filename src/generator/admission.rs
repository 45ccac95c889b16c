//! Who may draw now, who waits, and who is turned away: places, and bytes of memory.

use std::{sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    metrics::{Metrics, Present},
    settings::Settings,
};

/// What a turned-away client is told to wait.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The places and the memory of one set of settings.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    drawing: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_kib: u32,
}

/// A place and its memory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: OwnedSemaphorePermit,
    _drawing: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
    _present: Present,
}

/// No place was free in time.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too many images are being generated; try again shortly")]
pub(crate) struct Full;

impl Admission {
    /// All places free.
    pub(crate) fn new(settings: &Settings) -> Self {
        let memory_kib = kib(settings.memory).max(1);
        Self {
            places: Arc::new(Semaphore::new(
                settings.max_in_flight.saturating_add(settings.queue).min(Semaphore::MAX_PERMITS),
            )),
            drawing: Arc::new(Semaphore::new(settings.max_in_flight.min(Semaphore::MAX_PERMITS))),
            memory: Arc::new(Semaphore::new(usize::try_from(memory_kib).unwrap_or(Semaphore::MAX_PERMITS))),
            memory_kib,
        }
    }

    /// Waits for a place and `bytes` of memory, if the queue has room and until `deadline`. A job that needs more than
    /// all memory gets all of it, alone.
    pub(crate) async fn enter(
        &self,
        bytes: u64,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Permit, Full> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Full)?;
        let need = kib(usize::try_from(bytes).unwrap_or(usize::MAX)).clamp(1, self.memory_kib);
        let waiting = Present::on(&metrics.queued);
        let entered = timeout_at(deadline, async {
            let drawing = self.drawing.clone().acquire_owned().await.map_err(|_| Full)?;
            let memory = self.memory.clone().acquire_many_owned(need).await.map_err(|_| Full)?;
            Ok((drawing, memory))
        });
        let (drawing, memory) = entered.await.map_err(|_| Full)??;
        drop(waiting);
        Ok(Permit {
            _place: place,
            _drawing: drawing,
            _memory: memory,
            _present: Present::on(&metrics.in_flight),
        })
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Waker},
        time::Duration,
    };

    use prometheus_client::registry::Registry;
    use tokio::time::Instant;

    use super::{Admission, Full};
    use crate::generator::{metrics::Metrics, testing};

    #[tokio::test]
    async fn beyond_the_queue_nobody_waits() {
        let metrics = Metrics::register(&mut Registry::default());
        let mut settings = testing::settings();
        (settings.max_in_flight, settings.queue) = (1, 1);
        let admission = Admission::new(&settings);
        let deadline = Instant::now() + Duration::from_secs(5);
        let first = admission.enter(10, deadline, &metrics).await.unwrap();
        let second = admission.enter(10, deadline, &metrics);
        let mut second = std::pin::pin!(second);
        let waits = second.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(waits.is_pending(), "the second waits");
        assert_eq!(metrics.queued.get(), 1);
        assert_eq!(admission.enter(10, deadline, &metrics).await.unwrap_err(), Full);
        drop(first);
        let second = second.await.unwrap();
        assert_eq!((metrics.queued.get(), metrics.in_flight.get()), (0, 1));
        drop(second);
        assert_eq!(metrics.in_flight.get(), 0);
    }

    #[tokio::test]
    async fn memory_is_a_limit_of_its_own() {
        let metrics = Metrics::register(&mut Registry::default());
        let mut settings = testing::settings();
        settings.memory = 1 << 20;
        let admission = Admission::new(&settings);
        let soon = Instant::now() + Duration::from_secs(5);
        let greedy = admission.enter(u64::MAX, soon, &metrics).await.unwrap();
        let now = Instant::now();
        assert_eq!(admission.enter(1, now, &metrics).await.unwrap_err(), Full, "waited until its deadline");
        drop(greedy);
        assert!(admission.enter(1, soon, &metrics).await.is_ok());
    }
}
