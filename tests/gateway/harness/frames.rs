//! HTTP/2 in frames that a story makes itself (RFC 9113, 4): a client that may break every rule.

use std::time::Instant;

use super::{
    Gateway, Wire,
    wire::{PATIENCE, bytes},
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITIZED: u8 = 0x20;

/// Error codes (RFC 9113, 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const SETTINGS_TIMEOUT: u32 = 4;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What a client says first (3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The 32 bits at `at` of the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status that a response's block begins with (RFC 7541, 6; a server's first field is `:status`).
    pub(crate) fn status(&self) -> u16 {
        let mut block = &self.payload[..];
        // An update of the table's size comes before all fields.
        while block[0] & 0xe0 == 0x20 {
            block = &block[1..];
        }
        match block[0] {
            first @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(first & 0x7f) - 8],
            first if first & 0xc0 == 0x40 || first & 0xe0 == 0 => {
                let (length, text) = (usize::from(block[1] & 0x7f), &block[2..]);
                let digits = if block[1] & 0x80 == 0 {
                    text[..length].to_vec()
                } else {
                    huffman_digits(&text[..length])
                };
                String::from_utf8(digits).unwrap().parse().unwrap()
            }
            first => panic!("a field that begins with {first:#x}"),
        }
    }
}

/// Digits of the static code (RFC 7541, appendix B): `0` to `2` have five bits, the others six.
fn huffman_digits(text: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0_u8, |value, bit| value << 1 | bit);
    let (mut digits, mut at) = (Vec::new(), 0);
    while at + 5 <= bits.len() {
        match value(&bits[at..at + 5]) {
            digit @ 0..=2 => {
                digits.push(b'0' + digit);
                at += 5;
            }
            _ if at + 6 <= bits.len() && (25..=31).contains(&value(&bits[at..at + 6])) => {
                digits.push(b'3' + value(&bits[at..at + 6]) - 25);
                at += 6;
            }
            _ => break,
        }
    }
    digits
}

/// A block of literal fields without indexing and without Huffman (RFC 7541, 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, &bytes(name));
        text(&mut block, &bytes(value));
    }
    block
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    // An integer with a prefix of seven bits (5.1).
    let mut left = text.len();
    if left < 127 {
        block.push(u8::try_from(left).unwrap());
    } else {
        block.push(127);
        left -= 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend_from_slice(text);
}

/// The pseudo-fields of a GET of `path`.
pub(crate) fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "shop.test"), (":path", path)]
}

/// The same of a POST.
pub(crate) fn post(path: &str) -> [(&str, &str); 4] {
    [(":method", "POST"), (":scheme", "http"), (":authority", "shop.test"), (":path", path)]
}

/// HEADERS, whole.
pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Frame {
    Frame::new(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

pub(crate) fn data(stream: u32, flags: u8, payload: &[u8]) -> Frame {
    Frame::new(DATA, flags, stream, payload)
}

pub(crate) fn settings(settings: &[(u16, u32)]) -> Frame {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    Frame::new(SETTINGS, 0, 0, &settings.iter().flat_map(one).collect::<Vec<u8>>())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Frame {
    Frame::new(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn reset(stream: u32, code: u32) -> Frame {
    Frame::new(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(crate) fn ping(payload: [u8; 8]) -> Frame {
    Frame::new(PING, 0, 0, &payload)
}

/// A client's connection that speaks HTTP/2.
pub(crate) struct H2(pub(crate) Wire);

impl H2 {
    /// With preface and settings sent.
    pub(crate) fn connect(gateway: &Gateway) -> Self {
        Self::on(gateway.connect())
    }

    /// The same on a connection that stands.
    pub(crate) fn on(wire: Wire) -> Self {
        let mut client = Self(wire);
        client.send_bytes(PREFACE);
        // No table: what the other end says is said in full each time.
        client.send(&settings(&[(1, 0)]));
        client
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes());
    }

    /// The other end may have gone: what it said last is what counts.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.send_bytes(bytes).ok();
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = self.0.read_exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.0.read_exactly(usize::try_from(length).unwrap())?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame for which this holds, or the end.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let began = Instant::now();
        while let Some(frame) = self.next() {
            if wanted(&frame) {
                return Some(frame);
            }
            assert!(began.elapsed() < PATIENCE, "only other frames come, such as {frame:?}");
        }
        None
    }

    /// How the other end rejects what was sent; requests that it answers well meanwhile are no matter.
    pub(crate) fn rejection(&mut self) -> Verdict {
        while let Some(frame) = self.next() {
            match frame.kind {
                GOAWAY if frame.number(4) != NO_ERROR => return Verdict::Connection(frame.number(4)),
                RST_STREAM => return Verdict::Stream(frame.stream, frame.number(0)),
                HEADERS if frame.status() >= 400 => return Verdict::Answered(frame.stream, frame.status()),
                _ => {}
            }
        }
        if self.0.is_at_end() { Verdict::Closed } else { Verdict::Nothing }
    }

    /// The status of the answer on `stream`; `None` where the connection, or the stream, ends without.
    pub(crate) fn answer(&mut self, stream: u32) -> Option<u16> {
        let wanted = |frame: &Frame| {
            frame.kind == GOAWAY || (frame.stream == stream && [HEADERS, RST_STREAM].contains(&frame.kind))
        };
        let frame = self.until(wanted)?;
        (frame.kind == HEADERS).then(|| frame.status())
    }
}

/// How the other end rejects something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// GOAWAY with this error.
    Connection(u32),
    /// The connection ended without a word.
    Closed,
    /// `RST_STREAM` of this stream with this error.
    Stream(u32, u32),
    /// This stream was answered with this status.
    Answered(u32, u16),
    /// Not at all.
    Nothing,
}
