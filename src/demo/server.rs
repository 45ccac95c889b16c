//! What the servers of the demo have in common: accepting.

use std::{future::Future, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use crate::shutdown::Shutdown;

/// How long accepting rests after a failure, such as too many open files.
const REST: Duration = Duration::from_millis(50);

/// Gives each connection to `serve`, in a task of its own, until `shutdown` begins.
pub(super) async fn accept<F>(
    listener: TcpListener,
    shutdown: Shutdown,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.draining() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a server of the demo cannot set TCP_NODELAY");
                }
                shutdown.spawn(serve(stream));
            }
            Err(error) => {
                tracing::warn!(%error, "a server of the demo cannot accept");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
