//! One connection that speaks HTTP/2: how many exchanges it carries, and whether its other end is still there.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Connection, SendRequest},
};

use super::{Handshaken, STREAMS};
use crate::{
    forwarding::{
        address::{Address, Standpoint},
        last_word::LastWord,
        tally::Lone,
    },
    timer::LazyTimer,
};

/// While exchanges wait, the other end is asked this often whether it is there (RFC 9113, 6.7): one that vanished without
/// a word would hold them all until each is late.
const ASK: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, shared by the exchanges of one worker.
#[derive(Debug)]
pub(in crate::forwarding) struct Session {
    sender: SendRequest<Bytes>,
    address: Arc<Address>,
    load: Arc<Mutex<Load>>,
    /// Exchanges that were answered.
    answered: Arc<Lone>,
}

#[derive(Debug)]
struct Load {
    exchanges: usize,
    /// Since when it carries some or none, or was last answered.
    since: Instant,
    /// How many there have been.
    carried: u64,
}

impl Load {
    fn new() -> Self {
        Self { exchanges: 0, since: Instant::now(), carried: 0 }
    }

    /// One more. That says nothing of the other end, which may have been silent for long.
    fn begin(&mut self) {
        if self.exchanges == 0 {
            self.since = Instant::now();
        }
        self.exchanges += 1;
        self.carried += 1;
    }

    /// The other end has answered one.
    fn answered(&mut self) {
        self.since = Instant::now();
    }

    fn end(&mut self) {
        self.exchanges -= 1;
        if self.exchanges == 0 {
            self.since = Instant::now();
        }
    }

    /// Since when exchanges wait for a word of the other end.
    fn waits(&self) -> Option<Instant> {
        (self.exchanges > 0).then_some(self.since)
    }
}

impl Session {
    /// Begins to drive a connection to `address`.
    pub(in crate::forwarding) fn start(
        handshaken: Handshaken,
        address: &Arc<Address>,
        answered: Arc<Lone>,
    ) -> Arc<Self> {
        let Handshaken { sender, connection } = handshaken;
        let load = Arc::new(Mutex::new(Load::new()));
        // Not tracked by the drain: it ends once nobody holds the session and its last stream is closed.
        tokio::spawn(drive(connection, load.clone(), address.connected()));
        Arc::new(Self { sender, address: address.clone(), load, answered })
    }

    pub(super) fn leads_to(&self, address: &Arc<Address>) -> bool {
        Arc::ptr_eq(&self.address, address)
    }

    pub(super) fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// Whether it can be kept: its upstream takes further exchanges, and it was not idle for longer than `keep`.
    pub(super) fn is_open(&self, keep: Duration) -> bool {
        let mut sender = self.sender.clone();
        let mut cx = Context::from_waker(Waker::noop());
        let load = self.load();
        let rested = load.exchanges == 0 && load.since.elapsed() >= keep;
        drop(load);
        // An error once the other end has said goodbye, or is gone.
        matches!(sender.poll_ready(&mut cx), Poll::Ready(Ok(()))) && !rested && !self.address.is_retired()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.load().exchanges == 0
    }

    /// A place for one exchange, where one is left (RFC 9113, 5.1.2).
    pub(in crate::forwarding) fn slot(self: &Arc<Self>) -> Option<Slot> {
        let most = self.sender.current_max_send_streams().min(STREAMS);
        let mut load = self.load();
        if load.exchanges >= most {
            return None;
        }
        load.begin();
        Some(Slot { reused: load.carried > 1, session: self.clone() })
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        locked(&self.load)
    }
}

fn locked(load: &Mutex<Load>) -> MutexGuard<'_, Load> {
    load.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of one exchange on a session.
#[derive(Debug)]
pub(in crate::forwarding) struct Slot {
    session: Arc<Session>,
    /// The connection has carried an exchange before, so the upstream may have closed it meanwhile.
    pub(in crate::forwarding) reused: bool,
}

impl Slot {
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.session.sender.clone()
    }

    /// Whether a stream may carry another protocol (RFC 8441, 3).
    pub(in crate::forwarding) fn takes_extended_connect(&self) -> bool {
        self.session.sender.is_extended_connect_protocol_enabled()
    }

    /// The head of an answer has come.
    pub(in crate::forwarding) fn answered(&self) {
        self.session.answered.add();
        self.session.address.answered();
        self.session.load().answered();
    }

    /// No answer came, and that was the upstream's doing.
    pub(in crate::forwarding) fn failed(&self, error: &str) {
        self.session.address.failed(error);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.session.load().end();
    }
}

/// Drives the connection until it ends, or its other end does not answer any more; its streams then fail.
async fn drive(mut connection: Connection<LastWord, Bytes>, load: Arc<Mutex<Load>>, standpoint: Standpoint) {
    let mut presence = connection.ping_pong().map(|pings| Presence::new(pings, ASK, PATIENCE));
    let upstream = standpoint.at();
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        let Some(presence) = &mut presence else { return Poll::Pending };
        let since = locked(&load).waits();
        presence.poll_gone(cx, since).map(|()| Err(format!("it answered no ping within {PATIENCE:?}")))
    });
    if let Err(error) = ended.await {
        tracing::debug!(%upstream, error, "a connection to an upstream ended");
    }
}

/// Whether the other end is there.
struct Presence {
    pings: PingPong,
    /// How long it may be silent.
    ask: Duration,
    /// How long it may take to say that it is there.
    patience: Duration,
    asked: Option<Instant>,
    /// When it was last there.
    heard: Option<Instant>,
    timer: LazyTimer,
}

impl Presence {
    fn new(pings: PingPong, ask: Duration, patience: Duration) -> Self {
        Self { pings, ask, patience, asked: None, heard: None, timer: LazyTimer::new() }
    }

    /// Ready when it has not answered in time. It is asked while there have been exchanges `since` then.
    fn poll_gone(&mut self, cx: &mut Context<'_>, since: Option<Instant>) -> Poll<()> {
        loop {
            let Some(asked) = self.asked else {
                let Some(since) = since else { return Poll::Pending };
                let since = self.heard.map_or(since, |heard| heard.max(since));
                if self.timer.poll_until(cx, since + self.ask).is_pending() {
                    return Poll::Pending;
                }
                if self.pings.send_ping(Ping::opaque()).is_err() {
                    return Poll::Pending;
                }
                self.asked = Some(Instant::now());
                continue;
            };
            match self.pings.poll_pong(cx) {
                Poll::Ready(Ok(_)) => (self.asked, self.heard) = (None, Some(Instant::now())),
                // The connection says why itself.
                Poll::Ready(Err(_)) => return Poll::Pending,
                Poll::Pending => return self.timer.poll_until(cx, asked + self.patience),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
        time::timeout,
    };

    use super::*;

    const PREFACE: usize = 24;
    const PING: u8 = 6;

    /// The other end of a connection, in frames (RFC 9113, 4.1): answers so many pings, and then no more.
    async fn answer(mut io: DuplexStream, most: u32, asked: Arc<AtomicU32>) {
        io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        io.read_exact(&mut [0; PREFACE]).await.unwrap();
        loop {
            let mut head = [0; 9];
            if io.read_exact(&mut head).await.is_err() {
                return;
            }
            let mut payload = vec![0; usize::from(head[2])];
            io.read_exact(&mut payload).await.unwrap();
            if head[3] == PING && head[4] == 0 && asked.fetch_add(1, SeqCst) < most {
                head[4] = 1;
                io.write_all(&[&head[..], &payload].concat()).await.unwrap();
            }
        }
    }

    /// Whether the other end is given up within `time`, and how often it was asked by then. An exchange waits all the while.
    async fn watch(most: u32, (ask, patience): (Duration, Duration), time: Duration) -> (bool, u32) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(answer(far, most, asked.clone()));
        let (_sender, mut connection) = h2::client::handshake(near).await.unwrap();
        let mut presence = Presence::new(connection.ping_pong().unwrap(), ask, patience);
        let since = Instant::now();
        let gone = poll_fn(|cx| {
            assert!(Pin::new(&mut connection).poll(cx).is_pending());
            presence.poll_gone(cx, Some(since))
        });
        let gone = timeout(time, gone).await.is_ok();
        (gone, asked.load(SeqCst))
    }

    #[tokio::test]
    async fn who_is_there_is_asked_once_in_a_while() {
        let (pace, time) = ((Duration::from_millis(50), Duration::from_mins(1)), Duration::from_millis(500));
        let (gone, asked) = watch(u32::MAX, pace, time).await;
        assert!(!gone);
        assert!((1..=10).contains(&asked), "asked {asked} times in ten pauses");
    }

    /// Who vanishes in the midst of traffic would else be asked only when nobody comes any more.
    #[test]
    fn who_comes_next_does_not_put_the_question_off() {
        let mut load = Load::new();
        assert_eq!(load.waits(), None);
        load.begin();
        let since = load.waits();
        load.begin();
        load.end();
        load.begin();
        assert_eq!((load.waits(), load.carried), (since, 3));
        load.answered();
        assert!(load.waits() > since);
        load.end();
        load.end();
        assert_eq!(load.waits(), None);
    }

    #[tokio::test]
    async fn who_has_vanished_is_given_up() {
        for answered in [0, 1] {
            let pace = (Duration::from_millis(20), Duration::from_millis(500));
            let (gone, asked) = watch(answered, pace, Duration::from_mins(1)).await;
            assert_eq!((gone, asked), (true, answered + 1));
        }
    }
}
