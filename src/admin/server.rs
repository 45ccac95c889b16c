//! Accepts the operator's connections, few of them and none for long.
//!
//! Whoever comes may have no token, and the probes that need none have to be answered: of a crowd that says nothing, those
//! who have said nothing for longest make room.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::Admin;
use crate::shutdown::Shutdown;

/// Connections at once; those beyond wait until one of these makes room.
const CONNECTIONS: usize = 64;
/// A whole request head, from when the connection waits for it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// So long a connection may wait for a head though others wait for its place: enough for whoever means to ask.
const GRACE: Duration = Duration::from_millis(250);
/// Between two looks for a place.
const GLANCE: Duration = Duration::from_millis(5);
/// A connection's life, however busy or slow it is.
const LIFE: Duration = Duration::from_mins(5);
/// What a connection has begun may finish in this time.
const FAREWELL: Duration = Duration::from_secs(3);
/// Between two tries to accept while descriptors have run out.
const BREATH: Duration = Duration::from_millis(50);
/// A whole request head, in bytes.
const HEAD: usize = 16 * 1024;

/// Answers until `shutdown` begins. It is the listener's own lifetime and not the one that is drained: an operator, and a
/// balancer that asks `/readyz`, watch the drain to its end.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, shutdown: Shutdown) {
    let mut guests = Guests::default();
    loop {
        let accepted = async {
            let accepted = listener.accept().await;
            (accepted, guests.admit().await)
        };
        let (accepted, guest) = tokio::select! {
            () = shutdown.draining() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let admin = admin.clone();
                let ending = shutdown.clone();
                shutdown.spawn(async move { connection(socket, peer, &admin, &guest, &ending).await });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, peer: SocketAddr, admin: &Admin, guest: &Guest, ending: &Shutdown) {
    let service = service_fn(|request: Request<Incoming>| async move {
        guest.asks();
        let answer = admin.serve(request, peer).await;
        guest.waits();
        Ok::<_, Infallible>(answer)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(HEAD)
            .serve_connection(TokioIo::new(socket), service)
    );
    // How it ends is the client's affair: nothing here can be lost.
    tokio::select! {
        _ = &mut connection => return,
        () = guest.leaving.cancelled() => return,
        () = ending.draining() => {}
        () = time::sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    time::timeout(FAREWELL, connection).await.ok();
}

/// One connection.
#[derive(Debug)]
struct Guest {
    /// Since when a head is waited for; `None` while a request is answered.
    waiting: Mutex<Option<Instant>>,
    leaving: CancellationToken,
}

impl Guest {
    fn new() -> Self {
        Self { waiting: Mutex::new(Some(Instant::now())), leaving: CancellationToken::new() }
    }

    fn asks(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn waits(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn waiting(&self) -> Option<Instant> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that are open.
#[derive(Debug, Default)]
struct Guests(Vec<Weak<Guest>>);

impl Guests {
    /// Resolves when there is a place for another.
    async fn admit(&mut self) -> Arc<Guest> {
        while !self.has_room() {
            time::sleep(GLANCE).await;
        }
        let guest = Arc::new(Guest::new());
        self.0.push(Arc::downgrade(&guest));
        guest
    }

    /// Whether there is a place; where there is none, whoever has waited for longest is sent away.
    fn has_room(&mut self) -> bool {
        self.0.retain(|guest| guest.strong_count() > 0);
        if self.0.len() < CONNECTIONS {
            return true;
        }
        let guests = self.0.iter().filter_map(Weak::upgrade);
        let longest =
            guests.filter_map(|guest| Some((guest.waiting()?, guest))).min_by_key(|(since, _)| *since);
        if let Some((since, guest)) = longest
            && since.elapsed() >= GRACE
        {
            guest.leaving.cancel();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        admin::{Readiness, Sources},
        telemetry::metrics::Metrics,
    };

    async fn start() -> (SocketAddr, Shutdown, Shutdown) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drained, own) = (Shutdown::default(), Shutdown::default());
        let readiness = Arc::new(Readiness::new(drained.clone()));
        readiness.rules_in_force(1);
        readiness.listening();
        let metrics = Metrics::new(SystemTime::now());
        let admin = Admin::new(address, None, readiness, metrics, Sources::none()).unwrap();
        own.spawn(serve(listener, Arc::new(admin), own.clone()));
        (address, drained, own)
    }

    async fn say(address: SocketAddr, request: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_drain_is_seen_and_the_end_is_clean() {
        let (address, drained, own) = start().await;
        let probe = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert!(say(address, probe).await.starts_with("HTTP/1.1 200 OK\r\n"));
        drained.begin();
        let answer = say(address, probe).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("draining"), "{answer}");

        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.unwrap();
        own.begin();
        assert!(own.drained(Duration::from_secs(2)).await);
    }

    #[tokio::test]
    async fn a_crowd_that_says_nothing_makes_room_for_whoever_asks() {
        let (address, _, _own) = start().await;
        let mut crowd = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(b"GET / HT").await.unwrap();
            crowd.push(socket);
        }
        let probe = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let answer = time::timeout(HEAD_TIMEOUT, say(address, probe)).await;
        assert!(answer.expect("nobody has to be late for it").starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn a_large_head_or_a_body_does_no_harm() {
        let (address, _, _own) = start().await;
        let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(2 * HEAD));
        assert!(say(address, &head).await.starts_with("HTTP/1.1 431 "));
        let body =
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\nconnection: close\r\n\r\n";
        assert!(say(address, body).await.starts_with("HTTP/1.1 405 "));
    }
}
