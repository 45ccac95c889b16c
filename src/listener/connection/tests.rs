//! What only a handler of a test's own brings about: an answer that hyper has whole long before its client does.

use std::{error::Error, fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{Connection, Limits};
use crate::{
    listener::{Answer, Handler, Incoming, Interim, Peer, Refusal, Transport, guard::HeadLimits},
    shutdown::Shutdown,
};

/// More than the kernel takes for a client that does not read.
const LARGE: usize = 16 << 20;

/// Answers every request without reading its body.
#[derive(Clone)]
struct AtOnce;

impl Answer for Full<Bytes> {
    fn stalled(&mut self, after: Duration) -> Box<dyn Error + Send + Sync> {
        unreachable!("it has all of it, {after:?} or not")
    }

    fn cut(&mut self) {}
}

impl Handler for AtOnce {
    type Body = Full<Bytes>;

    async fn handle(self, _: Request<Incoming>, _: Peer, _: Interim) -> Response<Full<Bytes>> {
        Response::new(Full::new(vec![b'a'; LARGE].into()))
    }

    fn refuse(&self, refusal: &Refusal, _: Peer) -> Vec<u8> {
        format!("HTTP/1.1 {} No\r\n\r\n", refusal.status.as_str()).into_bytes()
    }

    fn trusts(&self, _: IpAddr) -> bool {
        false
    }

    fn turned_away(&self, _: &dyn fmt::Display, _: Peer) {}

    fn accept_failed(&self) {}

    fn limits(&self) -> Limits {
        let minute = Duration::from_mins(1);
        Limits {
            head: HeadLimits { head: 16 << 10, target: 1024, fields: 1000 },
            head_timeout: minute,
            idle_timeout: minute,
            body_timeout: minute,
            farewell: Duration::ZERO,
        }
    }
}

/// The ends of a connection that is served.
async fn served() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let peer = Peer { address, transport: Transport::Plain };
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut connection = Connection::new(stream, peer, AtOnce, Shutdown::default(), place);
    tokio::spawn(async move { connection.serve().await });
    client
}

/// hyper drains the five bytes, and is at the next head while it writes: a head that ends its work waits, and is judged as
/// ever then.
#[tokio::test]
async fn a_next_request_costs_the_answer_before_it_nothing() {
    let crowded = format!("GET /next HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(150));
    for (next, status) in [
        ("GET /next HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
        ("GET /next HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        (&*crowded, "200"),
    ] {
        let mut client = served().await;
        let first = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
        client.write_all(format!("{first}{next}").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let mut body = vec![0; LARGE];
        client.read_exact(&mut body).await.unwrap();
        assert!(body.iter().all(|byte| *byte == b'a'), "before {next:.40}");
        let mut line = [0; 12];
        client.read_exact(&mut line).await.unwrap();
        assert_eq!(&line[9..], status.as_bytes(), "to {next:.40}");
    }
}
