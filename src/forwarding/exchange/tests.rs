//! What is never sent, whoever asks for it.

use std::{
    io::ErrorKind,
    net::TcpListener,
    pin::Pin,
    task::{Context, Poll},
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

/// A body that has ended.
#[derive(Debug, Default)]
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

fn upstream(port: u16) -> Upstream<Nothing> {
    let settings = Settings { port, h2: Http2::Off, ..settings("127.0.0.1", None) };
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
    let failed = forward.send(&mut client, Nothing).await.unwrap_err();
    assert!(matches!(failed, Failed { fault: Fault::Client { .. }, sent: Sent::Nothing(_) }), "{failed:?}");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
