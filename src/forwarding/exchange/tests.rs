//! What is never sent, whoever asks for it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use http_body::Frame;

use super::*;
use crate::{
    forwarding::{
        addresses::tests::settings,
        resolver::{Pace, System},
        upstream::Settings,
        watched::Surroundings,
    },
    shutdown::Shutdown,
};

/// A body of one piece, or of none.
#[derive(Debug, Default)]
pub(in crate::forwarding) struct One(Option<Bytes>);

impl Body for One {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Poll::Ready(self.0.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// Where `port` is, and of little patience.
pub(in crate::forwarding) fn upstream<B>(port: u16) -> Upstream<B> {
    let settings = Settings {
        port,
        h2: Http2::Off,
        first_byte_timeout: Duration::from_millis(500),
        idle_connections: 2,
        ..settings("127.0.0.1", None)
    };
    let around = Surroundings {
        plane: tokio::runtime::Handle::current(),
        lifetime: Shutdown::default(),
        resolver: Arc::new(System),
        pace: Pace::default(),
        seed: || 0,
    };
    Upstream::new(settings, 1 << 14, 1, &around, None)
}

/// RFC 9112, 6.3: the upstream would take the next request of the connection for this one's body.
#[tokio::test]
async fn a_length_without_a_body_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let upstream = upstream(listener.local_addr().unwrap().port());
    let forward = Forward { upstream: &upstream, worker: 0, gained: &[], on_interim: None };
    let asked = Request::post("/").header("host", "shop.test").header("content-length", "12");
    let mut client = asked.body(()).unwrap().into_parts().0;
    let failed = forward.send(&mut client, One::default()).await.unwrap_err();
    assert!(matches!(failed, Failed { fault: Fault::Client { .. }, sent: Sent::Nothing(_) }), "{failed:?}");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// RFC 9110, 7.8: the request comes before the new protocol, to its last byte. Of who switches before it has taken that, the
/// first bytes of a tunnel would be the last of the request.
#[tokio::test]
async fn a_switch_before_the_request_is_through_opens_no_tunnel() {
    /// More than the kernel holds for who does not read.
    const LARGE: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = upstream(listener.local_addr().unwrap().port());
    let switching = thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        socket.read_exact(&mut [0]).unwrap();
        socket
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
            .unwrap();
        socket
    });
    let forward = Forward { upstream: &upstream, worker: 0, gained: &[], on_interim: None };
    let asked = Request::post("/").header("host", "shop.test").header("content-length", LARGE);
    let asked = asked.header("connection", "upgrade").header("upgrade", "chat");
    let mut client = asked.body(()).unwrap().into_parts().0;
    let body = One(Some(vec![b'a'; LARGE].into()));
    let answer = tokio::time::timeout(Duration::from_secs(20), forward.send(&mut client, body)).await;
    let failed = answer.expect("it is waited for").expect_err("nobody has read the request");
    assert!(matches!(failed.sent, Sent::Perhaps), "{failed:?}");
    let mut socket = switching.join().unwrap();
    assert_eq!(socket.read_to_end(&mut Vec::new()).unwrap_err().kind(), ErrorKind::ConnectionReset);
}
