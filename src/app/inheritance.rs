//! What a process begins with: sockets that listened before it did.
//!
//! They come from the process that it succeeds, which hands them over a Unix socket in the data folder (`succession.rs`
//! is the other end), or from a service manager that opened them (`sd_listen_fds(3)`).

use std::{
    fs::File,
    io::{self, ErrorKind, IoSliceMut, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

use listenfd::ListenFd;
use rustix::{
    cmsg_space,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};

use crate::config::Start;

/// How long the running process may take to hand over one socket.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said along with each socket, a byte long. What is not known is skipped, so that a later version can say more.
pub(super) mod word {
    /// The site's.
    pub(crate) const SITE: u8 = b's';
    /// The operator's.
    pub(crate) const ADMIN: u8 = b'a';
    /// No more come.
    pub(crate) const END: u8 = b'.';
    /// Said by the successor: it serves.
    pub(crate) const READY: u8 = b'r';
}

/// One socket, and what it is for.
#[derive(Debug)]
pub(super) enum Passed {
    Site(TcpListener),
    Admin(TcpListener),
}

/// What a process begins with.
#[derive(Debug, Default)]
pub struct Inheritance {
    pub(super) site: Vec<TcpListener>,
    pub(super) admin: Option<TcpListener>,
    /// Whose place this process takes.
    pub(super) predecessor: Option<Predecessor>,
}

/// The process that runs until this one does.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Inheritance {
    /// What the service manager has opened, if one has (`LISTEN_FDS`); `admin` is the operator's address.
    pub fn of_service_manager(admin: Option<SocketAddr>) -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut inheritance = Self::default();
        for place in 0..passed.len() {
            let Some(socket) = passed.take_tcp_listener(place)? else { continue };
            if admin.is_some() && socket.local_addr().ok() == admin {
                inheritance.admin = Some(socket);
            } else {
                inheritance.site.push(socket);
            }
        }
        Ok(inheritance)
    }

    /// Asks the process that serves by `start` already for its sockets, if there is one.
    pub fn take_over(mut self, start: &Start) -> io::Result<Self> {
        let line = match reach(start) {
            Ok(line) => line,
            // Nobody has ever served here, or nobody does now.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(self);
            }
            Err(error) => return Err(error),
        };
        line.set_read_timeout(Some(PATIENCE))?;
        loop {
            match next(&line)? {
                (word::SITE, Some(socket)) => self.site.push(socket.into()),
                (word::ADMIN, Some(socket)) => self.admin = Some(socket.into()),
                (word::END, _) => break,
                _ => {}
            }
        }
        self.predecessor = Some(Predecessor(line));
        Ok(self)
    }
}

impl Predecessor {
    /// Tells it that this process serves, upon which it drains.
    pub(super) fn relieve(mut self) -> io::Result<()> {
        self.0.write_all(&[word::READY])
    }
}

/// The name of the socket in the data folder of a process that is configured so: several may share the folder.
pub(super) fn name(start: &Start) -> String {
    let address = start.listen.first().map(SocketAddr::to_string).unwrap_or_default();
    format!("takeover-{address}.sock")
}

/// The path of a socket in `data`, however long that is: an address of a Unix socket is short. Valid while `folder` is
/// open.
pub(super) fn path(folder: &File, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).into()
}

fn reach(start: &Start) -> io::Result<UnixStream> {
    let folder = File::open(&start.data)?;
    UnixStream::connect(path(&folder, &name(start)))
}

/// The next word, and the socket that came with it.
fn next(line: &UnixStream) -> io::Result<(u8, Option<OwnedFd>)> {
    let (mut word, mut space) = ([0], [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut word)];
    let came =
        rustix::io::retry_on_intr(|| recvmsg(line, &mut pieces, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    if came.bytes == 0 {
        return Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the running process ended while it handed over",
        ));
    }
    let mut sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let socket = sockets.next().and_then(|mut sockets| sockets.next());
    Ok((word[0], socket))
}
