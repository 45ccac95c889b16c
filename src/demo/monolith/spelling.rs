//! How the shop spells its header names, which no modern server would.
//!
//! Hyper writes a name as it once read it and has no other way to be told. So one response is read here, on a pipe in
//! memory, and what hyper remembers of it goes along with every answer. Names not spelt here are written in title case.

use bytes::Bytes;
use http::Extensions;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

/// Duplicates of one name are spelt in this order.
const RESPONSE: &[u8] = b"HTTP/1.1 204 No Content\r\n\
    X-Powered-BY: -\r\n\
    SERVER: -\r\n\
    ETag: -\r\n\
    Content-type: -\r\n\
    Set-Cookie: -\r\n\
    set-cookie: -\r\n\
    SET-COOKIE: -\r\n\
    Vary: -\r\n\
    VARY: -\r\n\
    \r\n";

/// Room for the request that nobody reads, and for the response.
const PIPE: usize = 4096;

/// What to lay into a response so that its names are spelt in the shop's way.
pub(super) async fn learn() -> hyper::Result<Extensions> {
    let (near, mut far) = tokio::io::duplex(PIPE);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(near))
        .await?;
    let exchange = async {
        let response = sender.send_request(http::Request::new(Empty::new())).await;
        drop(sender);
        response
    };
    let answer = async {
        // A pipe in memory that is too short would show as an incomplete response.
        let _ = far.write_all(RESPONSE).await;
        far
    };
    let (response, _, _far) = tokio::join!(exchange, connection, answer);
    Ok(response?.into_parts().0.extensions)
}
