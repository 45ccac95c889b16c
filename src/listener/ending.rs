//! How a connection ends: so that its client reads what it was told.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::stream::Stream;

/// How much of an abandoned request is read so that the client sees the answer and not a reset (RFC 9112, 9.6).
const LINGER_BYTES: usize = 256 * 1024;
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);

/// How a connection ends.
pub(super) enum Ending {
    /// Nothing of the client's is unread, nor will be.
    Clean,
    /// It may still be sending.
    Unread,
    /// With this answer to what was not a request.
    Refused(Vec<u8>),
    /// In the middle of an answer that ends with it: nothing may look like that end (RFC 9112, 8).
    Reset,
}

/// Ends a connection so that the client can read what it was told.
pub(super) async fn close(mut stream: Stream, ending: Ending) {
    let lingering = async {
        match ending {
            Ending::Clean if stream.ends_with_an_alert() => {
                // Whether it is heard or not: nothing follows.
                drop(stream.shutdown().await);
                return;
            }
            Ending::Clean => return,
            Ending::Reset => {
                if let Err(error) = stream.socket().set_zero_linger() {
                    tracing::debug!(%error, "a connection ends without a reset");
                }
                return;
            }
            Ending::Unread => {}
            Ending::Refused(answer) => {
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut scrap = vec![0; 8 * 1024];
        let mut read = 0;
        while read < LINGER_BYTES
            && let Ok(n @ 1..) = stream.read(&mut scrap).await
        {
            read += n;
        }
    };
    // Whether the client was done or the time was: the connection ends.
    let _in_time = timeout(LINGER_TIME, lingering).await;
}
