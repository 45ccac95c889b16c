//! An upstream on a thread of its own that speaks HTTP/2, or whatever TLS agrees on, by a story's conduct.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

type Conducting = Pin<Box<dyn Future<Output = ()> + Send>>;
type Conduct = Arc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Conducting + Send + Sync>;

/// How it is spoken to.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Streams at once, on one connection.
    pub(crate) streams: Option<u32>,
    /// Streams of one connection before it says goodbye.
    pub(crate) goodbye_after: Option<usize>,
    /// Takes extended CONNECT (RFC 8441).
    pub(crate) websockets: bool,
}

/// Dropped, it is gone.
pub(crate) struct Modern {
    address: SocketAddr,
    counts: Arc<Counts>,
    over: Arc<Notify>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
}

impl Modern {
    pub(crate) fn open<F>(
        manners: Manners,
        conduct: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::open_at(SocketAddr::from(([127, 0, 0, 1], 0)), manners, conduct)
    }

    /// The same where another one was.
    pub(crate) fn open_at<F>(
        address: SocketAddr,
        manners: Manners,
        conduct: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (counts, over) = (Arc::new(Counts::default()), Arc::new(Notify::new()));
        let conduct: Conduct = Arc::new(move |request, respond| Box::pin(conduct(request, respond)));
        let (counted, ended) = (counts.clone(), over.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, manners, conduct, counted) => {}
                    () = ended.notified() => {}
                }
            });
        });
        Self { address, counts, over, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were ever opened.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }
}

impl Drop for Modern {
    fn drop(&mut self) {
        self.over.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: TcpListener, manners: Manners, conduct: Conduct, counts: Arc<Counts>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        counts.connections.fetch_add(1, SeqCst);
        let (manners, conduct) = (manners.clone(), conduct.clone());
        tokio::spawn(async move {
            match manners.tls.clone() {
                None => serve(socket, manners, conduct).await,
                Some(config) => {
                    let Ok(stream) = TlsAcceptor::from(config).accept(socket).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        serve(stream, manners, conduct).await;
                    } else {
                        answer_in_http1(stream).await;
                    }
                }
            }
        });
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, manners: Manners, conduct: Conduct) {
    let mut builder = h2::server::Builder::new();
    if let Some(streams) = manners.streams {
        builder.max_concurrent_streams(streams);
    }
    if manners.websockets {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        count += 1;
        tokio::spawn(conduct(request, respond));
        if Some(count) == manners.goodbye_after {
            connection.graceful_shutdown();
        }
    }
}

/// Every request, of which none has a body, is answered with its head.
async fn answer_in_http1(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = io.read(&mut piece).await {
        seen.extend_from_slice(&piece[..read]);
        if !seen.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.len());
        let answer = [head.as_bytes(), &seen].concat();
        let closes = String::from_utf8_lossy(&seen).to_ascii_lowercase().contains("/last");
        if io.write_all(&answer).await.is_err() || io.flush().await.is_err() {
            return;
        }
        if closes {
            drop(io.shutdown().await);
            return;
        }
        seen.clear();
    }
}

/// All of a body, and its trailers.
pub(crate) async fn whole(mut body: RecvStream) -> Result<(String, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok((String::from_utf8(all).unwrap(), body.trailers().await?))
}

/// Answers with a text and nothing else.
pub(crate) fn say(mut respond: SendResponse<Bytes>, text: impl Into<Bytes>) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    // The other end may have left.
    drop(stream.send_data(text.into(), true));
}
