//! A connection that is a tunnel: bytes, both ways.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, copy_bidirectional};

use super::handler::Far;
use crate::stream::{Duplex, Stream};

/// Carries a client's bytes until it is over.
pub(super) async fn tunnel(mut client: Stream, ahead: BytesMut, far: Far) {
    client.probe_when_silent();
    if let Err(error) = relay(&mut client, ahead, far).await {
        tracing::debug!(%error, "tunnel ended");
    }
}

/// Carries bytes both ways until both sides have ended. Where one breaks, so does the other: an error is which.
pub(super) async fn relay(
    client: &mut impl Duplex,
    ahead: BytesMut,
    (mut upstream, early): Far,
) -> io::Result<()> {
    let relayed = carry(client, ahead, &mut *upstream, early).await;
    if relayed.is_err() {
        client.reset_at_end();
        upstream.reset_at_end();
    }
    relayed
}

async fn carry(
    client: &mut impl Duplex,
    ahead: BytesMut,
    upstream: &mut dyn Duplex,
    early: Bytes,
) -> io::Result<()> {
    client.write_all(&early).await?;
    client.flush().await?;
    upstream.write_all(&ahead).await?;
    upstream.flush().await?;
    drop((early, ahead));
    copy_bidirectional(client, &mut *upstream).await.map(drop)
}
