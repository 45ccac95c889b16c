//! Who may draw now, who waits, and who is turned away: places, and bytes of memory.

pub(crate) mod memory;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use self::memory::{Memory, Pool};
use super::{
    digest::Digest,
    metrics::{Metrics, Present},
    settings::Settings,
};

/// The least that a turned-away client is told to wait.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The most.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// The places and the memory of one set of settings. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    drawing: Arc<Semaphore>,
    memory: Pool,
    most_in_flight: usize,
    most_of_a_tenant: Option<usize>,
    crowd: Crowd,
}

/// Who is here, and how long one stays. Clones are one.
#[derive(Clone, Debug, Default)]
struct Crowd(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    tenants: HashMap<Digest, usize>,
    /// How long a job kept its place, of late.
    stay: Duration,
}

/// A place in the queue, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    admission: Admission,
    place: OwnedSemaphorePermit,
    member: Option<Member>,
    metrics: Metrics,
    waiting: Present,
}

/// Where a job waits to be drawn, or is.
#[derive(Debug)]
pub(crate) enum Place {
    /// In the queue.
    Queued(Box<Seat>),
    /// At a place of its own.
    Taken {
        /// It is the job's for as long as it is here.
        permit: Permit,
    },
    /// Nowhere: its time is over.
    Lost,
}

/// A place and its memory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: OwnedSemaphorePermit,
    _drawing: OwnedSemaphorePermit,
    memory: Memory,
    _present: Present,
    _member: Option<Member>,
    _stay: Stay,
}

/// One request of a tenant, until this is dropped.
#[derive(Debug)]
struct Member {
    crowd: Crowd,
    tenant: Digest,
}

/// How long a place is kept, noted when it is given back.
#[derive(Debug)]
struct Stay {
    crowd: Crowd,
    since: Instant,
}

/// No place was free in time.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are too many requests.
    #[error("too many images are being generated; try again shortly")]
    Everybody {
        /// When a place will probably be free.
        retry_after: Duration,
    },
    /// There are too many of one tenant.
    #[error("too many images are being generated for you; try again when some are finished")]
    Tenant {
        /// When a place will probably be free.
        retry_after: Duration,
    },
}

impl Full {
    /// For programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Everybody { .. } => "queue_full",
            Self::Tenant { .. } => "tenant_full",
        }
    }

    /// When a place will probably be free.
    pub(crate) fn retry_after(self) -> Duration {
        let (Self::Everybody { retry_after } | Self::Tenant { retry_after }) = self;
        retry_after
    }
}

impl Admission {
    /// All places free.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            places: Arc::new(Semaphore::new(
                settings.max_in_flight.saturating_add(settings.queue).min(Semaphore::MAX_PERMITS),
            )),
            drawing: Arc::new(Semaphore::new(settings.max_in_flight.min(Semaphore::MAX_PERMITS))),
            memory: Pool::new(settings.memory),
            most_in_flight: settings.max_in_flight,
            most_of_a_tenant: settings.tenant_max_in_flight,
            crowd: Crowd::default(),
        }
    }

    /// Takes a place in the queue, and waits there.
    #[cfg(test)]
    async fn enter(
        &self,
        tenant: Option<&Digest>,
        bytes: u64,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Permit, Full> {
        self.queue(tenant, metrics)?.wait(bytes, deadline).await
    }

    /// Takes a place in the queue, if it has room.
    pub(crate) fn queue(&self, tenant: Option<&Digest>, metrics: &Metrics) -> Result<Seat, Full> {
        let member = match (tenant, self.most_of_a_tenant) {
            (Some(tenant), Some(most)) => Some(self.crowd.admit(tenant, most)?),
            _ => None,
        };
        let full = |_| Full::Everybody { retry_after: self.wait(metrics) };
        let place = self.places.clone().try_acquire_owned().map_err(full)?;
        let waiting = Present::on(&metrics.queued);
        Ok(Seat { admission: self.clone(), place, member, metrics: metrics.clone(), waiting })
    }

    /// When whoever comes now would have a place, as things went of late: all who wait, and one more, a place each.
    fn wait(&self, metrics: &Metrics) -> Duration {
        let before = u32::try_from(metrics.queued.get()).unwrap_or(0).saturating_add(1);
        let places = u32::try_from(self.most_in_flight).unwrap_or(u32::MAX).max(1);
        self.crowd.stay().saturating_mul(before.div_ceil(places)).clamp(RETRY_AFTER, LONGEST_WAIT)
    }
}

impl Admission {
    /// Memory alone, for what is no job: waited for until `deadline`.
    pub(crate) async fn room(
        &self,
        bytes: u64,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Memory, Full> {
        let full = |_| Full::Everybody { retry_after: self.wait(metrics) };
        timeout_at(deadline, self.memory.take(bytes)).await.map_err(full)
    }

    /// All of its memory.
    pub(crate) fn memory(&self) -> &Pool {
        &self.memory
    }
}

impl Seat {
    /// Waits for a place and `bytes` of memory until `deadline`. A job that needs more than all memory gets all of it,
    /// alone.
    pub(crate) async fn wait(self, bytes: u64, deadline: Instant) -> Result<Permit, Full> {
        let Self { admission, place, member, metrics, waiting } = self;
        let entered = timeout_at(deadline, async {
            let drawing = admission.drawing.clone().acquire_owned().await?;
            Ok::<_, AcquireError>((drawing, admission.memory.take(bytes).await))
        });
        let late = || Full::Everybody { retry_after: admission.wait(&metrics) };
        let (drawing, memory) = entered.await.map_err(|_| late())?.map_err(|_| late())?;
        drop(waiting);
        Ok(Permit {
            _place: place,
            _drawing: drawing,
            memory,
            _present: Present::on(&metrics.in_flight),
            _member: member,
            _stay: Stay { crowd: admission.crowd.clone(), since: Instant::now() },
        })
    }
}

impl Place {
    /// Waits in the queue, if it is there, for a place and `bytes` of memory until `deadline`.
    pub(crate) async fn take(&mut self, bytes: u64, deadline: Instant) -> Result<(), Full> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Queued(seat) => Self::Taken { permit: seat.wait(bytes, deadline).await? },
            place => place,
        };
        Ok(())
    }

    /// Takes to the place what was taken later.
    pub(crate) fn hold(&mut self, memory: Memory) {
        if let Self::Taken { permit } = self
            && !memory.is_none()
        {
            permit.memory = memory;
        }
    }

    /// Gives the place back, and of its memory all but so many bytes.
    pub(crate) fn left(self, bytes: usize) -> Memory {
        match self {
            Self::Taken { permit } => permit.memory.shrunk(bytes),
            Self::Queued(_) | Self::Lost => Memory::default(),
        }
    }
}

impl Crowd {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stay(&self) -> Duration {
        self.counts().stay
    }

    /// One more of a tenant, if it has fewer than `most`.
    fn admit(&self, tenant: &Digest, most: usize) -> Result<Member, Full> {
        let mut counts = self.counts();
        let stay = counts.stay;
        let present = counts.tenants.entry(tenant.clone()).or_default();
        if *present >= most {
            return Err(Full::Tenant { retry_after: stay.clamp(RETRY_AFTER, LONGEST_WAIT) });
        }
        *present += 1;
        Ok(Member { crowd: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        if let Some(present) = counts.tenants.get_mut(&self.tenant) {
            *present -= 1;
            if *present == 0 {
                counts.tenants.remove(&self.tenant);
            }
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        let stayed = self.since.elapsed();
        counts.stay =
            if counts.stay.is_zero() { stayed } else { counts.stay.mul_f64(0.8) + stayed.mul_f64(0.2) };
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

    use super::{Admission, Full, LONGEST_WAIT, RETRY_AFTER};
    use crate::generator::{digest::Digest, metrics::Metrics, testing};

    #[tokio::test]
    async fn beyond_the_queue_nobody_waits() {
        let metrics = Metrics::register(&mut Registry::default());
        let mut settings = testing::settings();
        (settings.max_in_flight, settings.queue) = (1, 1);
        let admission = Admission::new(&settings);
        let deadline = Instant::now() + Duration::from_secs(5);
        let first = admission.enter(None, 10, deadline, &metrics).await.unwrap();
        let second = admission.enter(None, 10, deadline, &metrics);
        let mut second = std::pin::pin!(second);
        let waits = second.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(waits.is_pending(), "the second waits");
        assert_eq!(metrics.queued.get(), 1);
        let full = admission.enter(None, 10, deadline, &metrics).await.unwrap_err();
        assert!(matches!(full, Full::Everybody { .. }));
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
        let greedy = admission.enter(None, u64::MAX, soon, &metrics).await.unwrap();
        let now = Instant::now();
        let full = admission.enter(None, 1, now, &metrics).await.unwrap_err();
        assert!(matches!(full, Full::Everybody { .. }), "waited until its deadline");
        drop(greedy);
        assert!(admission.enter(None, 1, soon, &metrics).await.is_ok());
    }

    #[tokio::test]
    async fn one_tenant_does_not_take_every_place() {
        let metrics = Metrics::register(&mut Registry::default());
        let mut settings = testing::settings();
        settings.tenant_max_in_flight = Some(2);
        let admission = Admission::new(&settings);
        let soon = Instant::now() + Duration::from_secs(5);
        let (maria, joao) = (Digest::of(b"maria"), Digest::of(b"joao"));
        let first = admission.enter(Some(&maria), 1, soon, &metrics).await.unwrap();
        let _second = admission.enter(Some(&maria), 1, soon, &metrics).await.unwrap();
        let full = admission.enter(Some(&maria), 1, soon, &metrics).await.unwrap_err();
        assert!(matches!(full, Full::Tenant { .. }), "{full:?}");
        assert!(admission.enter(Some(&joao), 1, soon, &metrics).await.is_ok());
        assert!(admission.enter(None, 1, soon, &metrics).await.is_ok());
        drop(first);
        assert!(admission.enter(Some(&maria), 1, soon, &metrics).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_is_turned_away_is_told_when_there_will_be_room() {
        let metrics = Metrics::register(&mut Registry::default());
        let mut settings = testing::settings();
        (settings.max_in_flight, settings.queue) = (1, 0);
        let admission = Admission::new(&settings);
        let late = Instant::now() + Duration::from_hours(1);
        drop(admission.enter(None, 1, late, &metrics).await.unwrap());
        let _held = admission.enter(None, 1, late, &metrics).await.unwrap();
        let retry_after = async || admission.enter(None, 1, late, &metrics).await.unwrap_err().retry_after();
        assert_eq!(retry_after().await, RETRY_AFTER, "at least");
        admission.crowd.counts().stay = Duration::from_secs(30);
        assert_eq!(retry_after().await, Duration::from_secs(30));
        metrics.queued.set(9);
        assert_eq!(retry_after().await, LONGEST_WAIT, "ten would have to go before");
    }
}
