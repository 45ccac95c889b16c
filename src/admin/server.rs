//! Accepts the operator's connections, few of them and none for long.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};

use super::Admin;
use crate::shutdown::Shutdown;

/// Connections at once; those beyond wait to be accepted.
const CONNECTIONS: usize = 64;
/// A whole request head, from when the connection waits for it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
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
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            // The semaphore is never closed, so there is always a place in the end.
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = shutdown.draining() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let admin = admin.clone();
                let ending = shutdown.clone();
                shutdown.spawn(async move {
                    connection(socket, peer, &admin, &ending).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, peer: SocketAddr, admin: &Admin, ending: &Shutdown) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(admin.serve(request, peer).await)
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
        () = ending.draining() => {}
        () = time::sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    time::timeout(FAREWELL, connection).await.ok();
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
    async fn a_large_head_or_a_body_does_no_harm() {
        let (address, _, _own) = start().await;
        let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(2 * HEAD));
        assert!(say(address, &head).await.starts_with("HTTP/1.1 431 "));
        let body =
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\nconnection: close\r\n\r\n";
        assert!(say(address, body).await.starts_with("HTTP/1.1 405 "));
    }
}
