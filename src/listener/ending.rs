//! How a connection ends: so that its client reads what it was told.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::stream::{Duplex as _, Stream};

/// How much that nobody reads is taken off a client's hands, so that it sees the answer and not a reset (RFC 9112, 9.6).
const LINGER_BYTES: usize = 256 * 1024;
/// For how long; a client that has a request to end may pause as long.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
/// And how long it may go on: most send all of it before they read.
const UPLOAD_TIME: Duration = Duration::from_secs(10);

/// How a connection ends.
pub(super) enum Ending {
    /// Nothing of the client's is unread, nor will be.
    Clean,
    /// It may still be sending.
    Unread,
    /// It is still sending a request that was answered.
    Uploading,
    /// With this answer to what was not a request.
    Refused(Vec<u8>),
    /// In the middle of an answer that ends with it: nothing may look like that end (RFC 9112, 8).
    Reset,
}

/// Ends a connection so that the client can read what it was told.
pub(super) async fn close(mut stream: Stream, ending: Ending) {
    let is_uploading = matches!(ending, Ending::Uploading);
    let lingers = timeout(LINGER_TIME, take_leave(&mut stream, ending)).await;
    if !lingers.unwrap_or(false) {
        return;
    }
    let (most, time) = if is_uploading { (usize::MAX, UPLOAD_TIME) } else { (LINGER_BYTES, LINGER_TIME) };
    let lingering = async {
        let mut scrap = vec![0; 8 * 1024];
        let mut read: usize = 0;
        while read < most
            && let Ok(Ok(n @ 1..)) = timeout(LINGER_TIME, stream.read(&mut scrap)).await
        {
            read = read.saturating_add(n);
        }
    };
    // Whether the client was done or the time was: the connection ends.
    let _in_time = timeout(time, lingering).await;
}

/// Says what is left to be said; true where the client is to be given time to hear it.
async fn take_leave(stream: &mut Stream, ending: Ending) -> bool {
    match ending {
        Ending::Clean if stream.ends_with_an_alert() => {
            // Whether it is heard or not: nothing follows.
            drop(stream.shutdown().await);
            return false;
        }
        Ending::Clean => return false,
        Ending::Reset => {
            stream.reset_at_end();
            return false;
        }
        Ending::Unread | Ending::Uploading => {}
        Ending::Refused(answer) => {
            if stream.write_all(&answer).await.is_err() {
                return false;
            }
        }
    }
    stream.shutdown().await.is_ok()
}
