//! An upstream without a will of its own: the story accepts its connections, reads what came and writes the answer.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

use socket2::SockRef;

use super::wire::{Message, PATIENCE, Wire};

/// A listener whose connections the story accepts by itself.
#[derive(Debug)]
pub(crate) struct Origin(TcpListener);

impl Origin {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // On Linux the limit of reads is one of accepts too.
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).unwrap();
        Self(listener)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> Wire {
        let accepted = self.0.accept();
        Wire::new(accepted.unwrap_or_else(|error| panic!("no connection came to the origin: {error}")).0)
    }

    /// The next connection and its first request, answered with `answer`.
    #[track_caller]
    pub(crate) fn serve(&self, answer: &str) -> (Wire, Message) {
        let mut wire = self.accept();
        let request = wire.read_message();
        wire.send(answer);
        (wire, request)
    }

    /// Whether no connection waits to be accepted.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let accepted = self.0.accept();
        self.0.set_nonblocking(false).unwrap();
        accepted.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}
