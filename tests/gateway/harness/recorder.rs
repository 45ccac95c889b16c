//! An upstream that writes down all that reaches it, and judges it strictly. It answers each request with what was asked.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{
    strict::{self, From, Read, Request},
    wire::bytes,
};

/// What reached the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole and sound request.
    Request(Request),
    /// What no gateway may send.
    Malformed(String),
}

/// A listener with a thread for each connection; they end with the gateway's connections.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    /// `answer` is what it answers to a request, and whether its connection ends there.
    pub(crate) fn open(answer: impl Fn(&Request) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Event>>>::default();
        let (notes, answer) = (seen.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (notes, answer) = (notes.clone(), answer.clone());
                thread::spawn(move || serve(stream, &notes, &*answer));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has reached it since this was last asked.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
}

/// The answer that says what was asked for.
pub(crate) fn echo(request: &Request) -> (Vec<u8>, Then) {
    let body = bytes(&request.target);
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(&body);
    }
    (answer, Then::Keep)
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Event>>, answer: &dyn Fn(&Request) -> (Vec<u8>, Then)) {
    let note = |event| seen.lock().unwrap().push(event);
    let (mut came, mut piece, mut told) = (Vec::new(), [0; 16 * 1024], false);
    loop {
        match strict::request(&came, From::Gateway) {
            Read::Whole(request, length) => {
                came.drain(..length);
                told = false;
                let (text, then) = answer(&request);
                note(Event::Request(request));
                if stream.write_all(&text).is_err() || then == Then::Close {
                    return;
                }
            }
            Read::Malformed(why) => return note(Event::Malformed(why)),
            Read::Partial => {
                if !told && strict::expects_to_be_told(&came) {
                    told = true;
                    if stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
                        return;
                    }
                }
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => return,
                    Ok(read) => came.extend_from_slice(&piece[..read]),
                }
            }
        }
    }
}
