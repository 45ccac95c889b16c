//! What a provider answers, as it comes: into memory where there is some, and else onto the disk until there is. So a job
//! takes memory from when its answer is here, and not for the minutes that it is drawn.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::{
    admission::memory::{Memory, Pool},
    events::Previews,
    metrics::Metrics,
    spool::Spool,
};

/// What is written to the disk at once.
const PIECE: usize = 1 << 20;

/// How an answer is taken in.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    /// Into memory that was taken before anything was asked.
    Awaited,
    /// The same, shown while it is drawn.
    Shown(Previews),
    /// Where there is room when it comes.
    Landing(Arc<Landing>),
}

/// Where an answer comes to that has no memory yet.
#[derive(Debug)]
pub(crate) struct Landing {
    /// Where its memory is taken.
    pub(crate) pool: Pool,
    /// Where it waits for that.
    pub(crate) spool: Spool,
    /// Whose it is.
    pub(crate) job: Uuid,
    /// Where it is counted.
    pub(crate) metrics: Metrics,
}

/// What has come of an answer, whose length nobody knows before its end.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What is not on the disk.
    rest: BytesMut,
    place: Place,
    /// Bytes that it can have at most.
    most: usize,
    /// Memory that it takes besides what it holds.
    beside: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Memory),
    Disk {
        landing: Arc<Landing>,
        /// Bytes that lie there.
        landed: usize,
    },
}

/// The memory of an answer of so many bytes, and of the images in its Base64.
pub(crate) fn needed(answer: u64) -> u64 {
    answer.saturating_add(answer / 4 * 3)
}

impl Arrival {
    /// Who looks at what is not finished.
    pub(crate) fn previews(&self) -> Option<&Previews> {
        match self {
            Self::Shown(previews) => Some(previews),
            Self::Awaited | Self::Landing(_) => None,
        }
    }

    /// Finds memory, or else a place on the disk, for an answer of `announced` or at most `most` bytes, which takes as much
    /// memory as is [`needed`] and `beside`.
    pub(crate) fn begin(&self, announced: Option<usize>, most: usize, beside: u64) -> Incoming {
        let expected = announced.unwrap_or(most).min(most);
        let place = match self {
            Self::Awaited | Self::Shown(_) => Place::Memory(Memory::default()),
            Self::Landing(landing) => match landing.pool.try_take(in_all(expected, beside)) {
                Some(memory) => Place::Memory(memory),
                None => Place::Disk { landing: landing.clone(), landed: 0 },
            },
        };
        let rest = match &place {
            // To grow to a hundred megabytes is to copy them, and to take as much again.
            Place::Memory(_) => BytesMut::with_capacity(announced.unwrap_or(0).min(most)),
            Place::Disk { landing, .. } => {
                landing.metrics.landed.inc();
                BytesMut::new()
            }
        };
        Incoming { rest, place, most, beside }
    }
}

impl Incoming {
    /// Bytes that have come.
    pub(crate) fn len(&self) -> usize {
        match self.place {
            Place::Memory(_) => self.rest.len(),
            Place::Disk { landed, .. } => landed.saturating_add(self.rest.len()),
        }
    }

    /// Takes in what comes next. Where the disk does not, its sender waits until there is memory. An error is of a disk
    /// that does not give back what it took.
    pub(crate) async fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(piece);
        let Place::Disk { landing, landed } = &mut self.place else { return Ok(()) };
        if self.rest.len() < PIECE {
            return Ok(());
        }
        let piece = self.rest.split().freeze();
        let Err(error) = landing.spool.land(landing.job, *landed, piece.clone()).await else {
            *landed += piece.len();
            return Ok(());
        };
        tracing::warn!(job = %landing.job, %error, "an answer that there is no memory for cannot wait on the disk");
        self.rest = piece.into();
        self.lift(self.most).await
    }

    /// All of it, in memory, which is waited for. An error is of a disk that does not give back what it took.
    pub(crate) async fn whole(mut self) -> io::Result<(Bytes, Memory)> {
        let length = self.len();
        self.lift(length).await?;
        let memory = match self.place {
            Place::Memory(memory) => memory,
            Place::Disk { .. } => Memory::default(),
        };
        let kept = usize::try_from(in_all(length, self.beside)).unwrap_or(usize::MAX);
        Ok((self.rest.freeze(), memory.shrunk(kept)))
    }

    /// Brings it from the disk into memory for an answer of `length` bytes, as soon as there is some.
    async fn lift(&mut self, length: usize) -> io::Result<()> {
        let Place::Disk { landing, landed } = &self.place else { return Ok(()) };
        let memory = landing.pool.take(in_all(length, self.beside)).await;
        let mut whole = landing.spool.landed(landing.job, *landed, self.len()).await?;
        whole.extend_from_slice(&self.rest);
        self.rest = Bytes::from(whole).into();
        self.place = Place::Memory(memory);
        Ok(())
    }
}

fn in_all(answer: usize, beside: u64) -> u64 {
    needed(u64::try_from(answer).unwrap_or(u64::MAX)).saturating_add(beside)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use prometheus_client::registry::Registry;
    use tempfile::TempDir;
    use tokio::join;
    use uuid::Uuid;

    use super::{Arrival, Incoming, Landing, PIECE, in_all};
    use crate::{
        generator::{admission::memory::Pool, metrics::Metrics, plane::Plane, spool::Spool},
        shutdown::Shutdown,
    };

    const MOST: usize = 8 * PIECE;
    const BESIDE: u64 = 1 << 20;

    /// Memory for one answer of [`MOST`] bytes, and a disk.
    struct Shore {
        landing: Arc<Landing>,
        folder: TempDir,
    }

    impl Shore {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let spool =
                Spool::open(folder.path().join("spool"), Plane::current(Shutdown::default())).unwrap();
            let pool = Pool::new(usize::try_from(in_all(MOST, BESIDE)).unwrap());
            let metrics = Metrics::register(&mut Registry::default());
            Self { landing: Landing { pool, spool, job: Uuid::from_u128(7), metrics }.into(), folder }
        }

        fn begin(&self) -> Incoming {
            Arrival::Landing(self.landing.clone()).begin(None, MOST, BESIDE)
        }

        fn landed(&self) -> u64 {
            self.landing.metrics.landed.get()
        }
    }

    /// An answer, in pieces as a socket gives them.
    fn answer() -> (Vec<u8>, usize) {
        ((0..=250).cycle().take(3 * PIECE + 17).collect(), PIECE / 3)
    }

    #[tokio::test]
    async fn an_answer_takes_what_it_has_and_no_more() {
        let (shore, (answer, piece)) = (Shore::open(), answer());
        let all = shore.landing.pool.free_kib();
        let mut incoming = shore.begin();
        assert_eq!(shore.landing.pool.free_kib(), 0, "nobody knows how long it will be");
        for piece in answer.chunks(piece) {
            incoming.push(piece).await.unwrap();
        }
        let (whole, memory) = incoming.whole().await.unwrap();
        let taken = usize::try_from(in_all(answer.len(), BESIDE).div_ceil(1024)).unwrap();
        assert_eq!((all - shore.landing.pool.free_kib(), shore.landed()), (taken, 0));
        assert!(whole == answer);
        drop(memory);
        assert_eq!(shore.landing.pool.free_kib(), all);
    }

    #[tokio::test]
    async fn without_memory_it_waits_on_the_disk() {
        let (shore, (answer, piece)) = (Shore::open(), answer());
        shore.landing.spool.reserve(shore.landing.job, 1, 1 << 20).await.unwrap();
        let others = shore.landing.pool.take(u64::MAX).await;
        let mut incoming = shore.begin();
        for piece in answer.chunks(piece) {
            incoming.push(piece).await.unwrap();
        }
        assert_eq!((incoming.len(), shore.landed()), (answer.len(), 1));
        assert!(incoming.rest.len() < PIECE);
        let ((whole, _memory), ()) = join!(async { incoming.whole().await.unwrap() }, async { drop(others) });
        assert!(whole == answer);
    }

    #[tokio::test]
    async fn where_the_disk_takes_nothing_its_sender_waits() {
        let (shore, (answer, piece)) = (Shore::open(), answer());
        let others = shore.landing.pool.take(u64::MAX).await;
        let mut incoming = shore.begin();
        fs::remove_dir_all(shore.folder.path()).unwrap();
        let push = async {
            for piece in answer.chunks(piece) {
                incoming.push(piece).await.unwrap();
            }
        };
        join!(biased; push, async { drop(others) });
        assert_eq!(shore.landing.pool.free_kib(), 0, "all that it may need");
        assert!(incoming.whole().await.unwrap().0 == answer);
    }

    #[tokio::test]
    async fn what_the_disk_lost_is_not_made_up() {
        let shore = Shore::open();
        shore.landing.spool.reserve(shore.landing.job, 1, 1 << 20).await.unwrap();
        let others = shore.landing.pool.take(u64::MAX).await;
        let mut incoming = shore.begin();
        incoming.push(&vec![1; PIECE]).await.unwrap();
        drop(others);
        shore.landing.spool.discard(shore.landing.job).await.unwrap();
        assert!(incoming.whole().await.is_err());
    }
}
