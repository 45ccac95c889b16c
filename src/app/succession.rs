//! How another process takes this one's place: it asks for the sockets over a Unix socket in the data folder, and says
//! when it serves.
//!
//! Both have the same sockets open then, not two on one port: what waits in a queue is accepted by whoever comes first,
//! and no queue is closed with somebody in it.

use std::{
    fs::{self, File},
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::AsFd,
    process,
    time::Duration,
};

use rustix::{
    cmsg_space,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

use super::inheritance::{Passed, name, path, word};
use crate::config::Start;

/// How long a successor may take until it serves.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two tries to accept one while descriptors have run out.
const PAUSE: Duration = Duration::from_secs(1);

/// Stands ready for a successor. Dropped, its sockets are no longer kept open.
pub(super) struct Succession {
    door: UnixListener,
    sockets: Vec<Passed>,
}

impl Succession {
    /// Opens the door; to be called on the runtime that will wait at it. That of a process before is replaced.
    pub(super) fn open(start: &Start, sockets: Vec<Passed>) -> io::Result<Self> {
        let (folder, name) = (File::open(&start.data)?, name(start));
        let fresh = format!("{name}.{}", process::id());
        let door = UnixListener::bind(path(&folder, &fresh))?;
        fs::rename(start.data.join(fresh), start.data.join(name))?;
        Ok(Self { door, sockets })
    }

    /// Resolves when a successor serves: its process id, where that is known.
    pub(super) async fn succeeded(&self) -> Option<i32> {
        loop {
            let (line, successor) = match self.door.accept().await {
                Ok((line, _)) => match line.peer_cred() {
                    Ok(peer) if peer.uid() == rustix::process::geteuid().as_raw() || peer.uid() == 0 => {
                        (line, peer.pid())
                    }
                    _ => continue,
                },
                Err(error) => {
                    tracing::warn!(%error, "no process can take over now");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let handed = timeout(PATIENCE, self.hand_over(line)).await;
            match handed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(()) => return successor,
                Err(error) => {
                    tracing::warn!(successor, %error, "a process that was to take over did not; this one goes on");
                }
            }
        }
    }

    /// Hands every socket over, and waits until the other end serves.
    async fn hand_over(&self, mut line: UnixStream) -> io::Result<()> {
        for passed in &self.sockets {
            let (word, socket) = match passed {
                Passed::Site(socket) => (word::SITE, socket),
                Passed::Admin(socket) => (word::ADMIN, socket),
            };
            line.async_io(Interest::WRITABLE, || send(&line, word, Some(socket))).await?;
        }
        line.async_io(Interest::WRITABLE, || send(&line, word::END, None)).await?;
        while line.read_u8().await? != word::READY {}
        Ok(())
    }
}

fn send(line: &UnixStream, word: u8, socket: Option<&TcpListener>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = socket.map(AsFd::as_fd);
    if let Some(socket) = &sockets {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(socket)));
    }
    sendmsg(line, &[IoSlice::new(&[word])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
