//! One end of a connection, in raw bytes. Texts stand for bytes: each character is one byte (ISO 8859-1), so that a
//! test can write and compare any byte as text.

use std::{
    fmt, fs,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connected socket, and what was read from it ahead.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order, by FIN.
    Closed,
    /// By RST.
    Reset,
}

/// What one read brought.
enum Came {
    Bytes,
    End(End),
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    /// Sends all of `text`.
    pub(crate) fn send(&mut self, text: &str) {
        self.stream
            .write_all(&bytes(text))
            .unwrap_or_else(|error| panic!("cannot send {text:.200}: {error}"));
    }

    /// Sends, where the other end may have had enough already.
    pub(crate) fn send_in_vain(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&bytes(text))
    }

    /// The same, in bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent, where the other end may be gone.
    pub(crate) fn finish_in_vain(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Sends up to `most` bytes for as long as the other end takes them: how many it took before it paused.
    pub(crate) fn send_while_taken(&mut self, most: usize) -> usize {
        const PAUSE: Duration = Duration::from_millis(300);
        self.stream.set_write_timeout(Some(PAUSE)).unwrap();
        let piece = vec![b'x'; 64 * 1024];
        let mut taken = 0;
        while taken < most
            && let Ok(written) = self.stream.write(&piece[..piece.len().min(most - taken)])
        {
            taken += written;
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        taken
    }

    /// Waits longer for the other end, to send and to take.
    pub(crate) fn is_patient(&self) {
        self.stream.set_read_timeout(Some(20 * PATIENCE)).unwrap();
        self.stream.set_write_timeout(Some(20 * PATIENCE)).unwrap();
    }

    /// Whether the kernel asks on behalf of the other end, which is of this machine, if this one is still there: the
    /// timer of its connection is that of keep-alive.
    pub(crate) fn is_asked_for(&self) -> bool {
        const KEEP_ALIVE: &str = "02:";
        let row = |address: SocketAddr| match address {
            SocketAddr::V4(address) => {
                format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port())
            }
            SocketAddr::V6(_) => panic!("the tests are of 127.0.0.1"),
        };
        let ends = [row(self.stream.peer_addr().unwrap()), row(self.stream.local_addr().unwrap())];
        let connections = fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let of_other_end = rows.find(|row| row.get(1..3) == Some(&[&*ends[0], &*ends[1]])).unwrap();
        of_other_end[5].starts_with(KEEP_ALIVE)
    }

    /// Says that nothing more will be sent (FIN); still reads.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection at once (RST).
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Lets the kernel take only this much for a reader that does not read.
    pub(crate) fn hold_little(&self) {
        SockRef::from(&self.stream).set_recv_buffer_size(16 * 1024).unwrap();
    }

    /// Reads up to and with `end`.
    pub(crate) fn read_to(&mut self, end: &str) -> String {
        let end = bytes(end);
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                return text(&self.take(at + end.len()));
            }
            self.more(&format!("{:?}", text(&end)));
        }
    }

    /// Reads so many bytes.
    pub(crate) fn read(&mut self, length: usize) -> String {
        while self.ahead.len() < length {
            self.more(&format!("{length} bytes"));
        }
        text(&self.take(length))
    }

    /// Reads so many bytes, where they still come.
    pub(crate) fn read_exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut piece = [0; 16 * 1024];
        while self.ahead.len() < length {
            match self.stream.read(&mut piece) {
                Ok(read @ 1..) => self.ahead.extend_from_slice(&piece[..read]),
                Ok(0) | Err(_) => return None,
            }
        }
        Some(self.take(length))
    }

    /// Whether the other end is done.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        peeked.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |came| came == 0)
    }

    /// Reads a head, its empty line included.
    pub(crate) fn read_head(&mut self) -> Head {
        Head(self.read_to("\r\n\r\n"))
    }

    /// Reads the next head, where one still comes.
    pub(crate) fn next_head(&mut self) -> Option<Head> {
        while self.ahead.is_empty() {
            if let Came::End(_) = self.fill("the next head") {
                return None;
            }
        }
        Some(self.read_head())
    }

    /// Reads the next message, where it still comes whole; its body has a length or none.
    pub(crate) fn next_message(&mut self) -> Option<Message> {
        let missing = |ahead: &[u8]| {
            let seen = text(ahead);
            let Some(end) = seen.find("\r\n\r\n") else { return true };
            let head = Head(seen[..end + 4].to_owned());
            let length: usize = head.value("content-length").map_or(0, |length| length.parse().unwrap());
            seen.len() < end + 4 + length
        };
        let mut piece = [0; 16 * 1024];
        while missing(&self.ahead) {
            match self.stream.read(&mut piece) {
                Ok(read @ 1..) => self.ahead.extend_from_slice(&piece[..read]),
                Ok(0) | Err(_) => return None,
            }
        }
        Some(self.read_message())
    }

    /// Another handle on the same connection.
    pub(crate) fn twin(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), ahead: Vec::new() }
    }

    /// Reads a head and the body that it announces.
    pub(crate) fn read_message(&mut self) -> Message {
        let head = self.read_head();
        let (mut body, mut trailers) = (String::new(), String::new());
        if head.value("transfer-encoding") == Some("chunked") {
            while let size @ 1.. = usize::from_str_radix(self.read_to("\r\n").trim_end(), 16).unwrap() {
                body += &self.read(size);
                assert_eq!(self.read(2), "\r\n", "after a chunk of {head}");
            }
            loop {
                match self.read_to("\r\n") {
                    end if end == "\r\n" => break,
                    trailer => trailers += &trailer,
                }
            }
        } else if let Some(length) = head.value("content-length") {
            body = self.read(length.parse().unwrap());
        }
        Message { head, body, trailers }
    }

    /// Reads everything until the other end is done.
    pub(crate) fn read_to_end(&mut self) -> (String, End) {
        loop {
            if let Came::End(end) = self.fill("the end of the connection") {
                return (text(&std::mem::take(&mut self.ahead)), end);
            }
        }
    }

    /// Waits for the end, before which nothing more may come.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> End {
        let (rest, end) = self.read_to_end();
        assert_eq!(rest, "", "before the end of the connection");
        end
    }

    /// Whether there is nothing to read at this moment.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        self.ahead.is_empty() && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(length);
        std::mem::replace(&mut self.ahead, rest)
    }

    #[track_caller]
    fn more(&mut self, wanted: &str) {
        if let Came::End(end) = self.fill(wanted) {
            panic!("{end:?} while waiting for {wanted}; came: {:?}", text(&self.ahead));
        }
    }

    #[track_caller]
    fn fill(&mut self, wanted: &str) -> Came {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Came::End(End::Closed),
            Ok(read) => {
                self.ahead.extend_from_slice(&piece[..read]);
                Came::Bytes
            }
            // A process that was stopped and goes on.
            Err(error) if error.kind() == ErrorKind::Interrupted => Came::Bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Came::End(End::Reset),
            Err(error) => panic!("{error} while waiting for {wanted}; came: {:?}", text(&self.ahead)),
        }
    }
}

/// A head as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head(String);

impl Head {
    /// The request line or the status line.
    pub(crate) fn line(&self) -> &str {
        self.0.lines().next().unwrap()
    }

    /// A response's status.
    pub(crate) fn status(&self) -> u16 {
        self.line().split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The field lines, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip(1).filter(|line| !line.is_empty())
    }

    /// The values of all fields of this name, whatever its case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let field = |line| str::split_once(line, ':');
        self.fields()
            .filter_map(field)
            .filter_map(|(given, value)| given.eq_ignore_ascii_case(name).then_some(value.trim()))
            .collect()
    }

    /// The only value of this name; `None` without one.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "two of {name} in {self}");
        values.first().copied()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole message, its framing taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: Head,
    pub(crate) body: String,
    /// Lines after the last chunk.
    pub(crate) trailers: String,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&bytes(&self.body)).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it is one of the gateway's own answers (RFC 9457) with this status.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(self.head.value("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json()["status"], status, "{self:?}");
    }

    /// That it is one of the gateway's own answers with this status, as the `article` contract writes errors.
    #[track_caller]
    pub(crate) fn is_articles_error(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(self.head.value("content-type"), Some("application/json"), "{self:?}");
        let said = self.json();
        assert_eq!(said["processamento"], status, "{self:?}");
        assert!(said["msg"].is_string() && said.as_object().is_some_and(|said| said.len() == 2), "{self:?}");
    }
}

/// The bytes that a text stands for.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(letter).expect("each character is one byte")).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
