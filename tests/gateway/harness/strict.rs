//! A reader of HTTP/1.1 that gives nothing the benefit of the doubt (RFC 9112): the judge of what crossed a hop. It shares
//! no line with the gateway's own parsers.

/// What stands at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read<T> {
    /// A message, and how many bytes it took.
    Whole(T, usize),
    /// What may yet become one.
    Partial,
    /// What is none.
    Malformed(String),
}

/// A request without its framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As in the request line.
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// A response without its framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Only the connection's end was its own.
    pub(crate) until_close: bool,
}

/// Why a message is none, or that it is not all there.
enum Stop {
    More,
    Bad(String),
}

type Result<T> = std::result::Result<T, Stop>;

fn bad<T>(why: &str, what: &[u8]) -> Result<T> {
    Err(Stop::Bad(format!("{why}: {:?}", String::from_utf8_lossy(&what[..what.len().min(100)]))))
}

fn read<T>(bytes: &[u8], parse: impl FnOnce(&mut Cursor<'_>) -> Result<T>) -> Read<T> {
    let mut cursor = Cursor { bytes, at: 0 };
    match parse(&mut cursor) {
        Ok(message) => Read::Whole(message, cursor.at),
        Err(Stop::More) => Read::Partial,
        Err(Stop::Bad(why)) => Read::Malformed(why),
    }
}

/// Whose request it is that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Anybody's: HTTP/1.0 too, empty lines before it, and a target of any form.
    Client,
    /// The gateway's own: HTTP/1.1, one `Host`, a path or `*`.
    Gateway,
}

/// Reads a request.
pub(crate) fn request(bytes: &[u8], from: From) -> Read<Request> {
    read(bytes, |cursor| {
        while from == From::Client && cursor.rest().starts_with(b"\r\n") {
            cursor.at += 2;
        }
        let line = cursor.line()?.to_vec();
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [method, target, version] = words[..] else { return bad("request line", &line) };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return bad("method", method);
        }
        if target.is_empty() || target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f || *byte == b'#') {
            return bad("target", target);
        }
        if from == From::Gateway && !(target.starts_with(b"/") || target == b"*") {
            return bad("target of a gateway", target);
        }
        let old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" if from == From::Client => true,
            _ => return bad("version", version),
        };
        let fields = cursor.fields()?;
        let hosts = fields.all("host").count();
        if hosts > 1 || (hosts == 0 && !old) {
            return bad("Host fields", &line);
        }
        let body = match fields.framing()? {
            Framing::Chunked if old => return bad("chunks in HTTP/1.0", &line),
            Framing::Chunked => cursor.chunks()?,
            Framing::Length(length) => cursor.take(length)?.to_vec(),
            Framing::None => Vec::new(),
        };
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        Ok(Request { method: text(method), target: text(target), body })
    })
}

/// Whether the head at the start of `bytes` is there and asks to be told to continue.
pub(crate) fn expects_to_be_told(bytes: &[u8]) -> bool {
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.line().is_ok()
        && cursor
            .fields()
            .is_ok_and(|fields| fields.all("expect").any(|value| value.eq_ignore_ascii_case(b"100-continue")))
}

/// Reads a response to a request of this method, interim ones included; `ended` when nothing comes after `bytes`.
pub(crate) fn response(bytes: &[u8], method: &str, ended: bool) -> Read<Response> {
    read(bytes, |cursor| {
        let line = cursor.line()?.to_vec();
        let status = match &line[..] {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', code @ ..] => {
                let (digits, rest) = code.split_at(code.len().min(3));
                let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
                number.filter(|number| *number >= 100 && (rest.is_empty() || rest.starts_with(b" ")))
            }
            _ => None,
        };
        let Some(status) = status else { return bad("status line", &line) };
        let fields = cursor.fields()?;
        let framing = fields.framing()?;
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        let (body, until_close) = match framing {
            _ if bodiless => (Vec::new(), false),
            Framing::Chunked => (cursor.chunks()?, false),
            Framing::Length(length) => (cursor.take(length)?.to_vec(), false),
            Framing::None if ended => (cursor.take(cursor.rest().len())?.to_vec(), true),
            Framing::None => return Err(Stop::More),
        };
        Ok(Response { status, body, until_close })
    })
}

enum Framing {
    None,
    Length(usize),
    Chunked,
}

struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |field| field.0.eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| &field.1[..])
    }

    /// RFC 9112, 6.
    fn framing(&self) -> Result<Framing> {
        let lengths: Vec<_> = self.all("content-length").collect();
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(Framing::None),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            ([length], [])
                if !length.is_empty() && length.len() <= 20 && length.iter().all(u8::is_ascii_digit) =>
            {
                let digits = std::str::from_utf8(length).unwrap();
                // What cannot be counted is more than will ever come.
                Ok(Framing::Length(digits.parse().unwrap_or(usize::MAX)))
            }
            _ => bad("framing", format!("{lengths:?} {codings:?}").as_bytes()),
        }
    }
}

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    fn rest(&self) -> &'b [u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let taken = self.rest().get(..length).ok_or(Stop::More)?;
        self.at += length;
        Ok(taken)
    }

    /// A line without its CRLF, and without any other CR, LF or NUL.
    fn line(&mut self) -> Result<&'b [u8]> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)).ok_or(Stop::More)?;
        match (rest[end], rest.get(end + 1)) {
            (b'\r', Some(b'\n')) => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            (b'\r', None) => Err(Stop::More),
            _ => bad("end of line", &rest[..=end]),
        }
    }

    /// RFC 9112, 5, without folding.
    fn fields(&mut self) -> Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Fields(fields));
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let Some((name, value)) = colon.map(|at| (&line[..at], line[at + 1..].trim_ascii())) else {
                return bad("no colon", line);
            };
            if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
                return bad("field name", line);
            }
            if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
                return bad("field value", line);
            }
            fields.push((name.to_vec(), value.to_vec()));
        }
    }

    /// RFC 9112, 7.1, with extensions and trailers; what these say of the framing is not believed.
    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
            if digits == 0 || digits > 32 || line.get(digits).is_some_and(|byte| *byte != b';') {
                return bad("chunk size", line);
            }
            let size =
                u128::from_str_radix(std::str::from_utf8(&line[..digits]).unwrap(), 16).unwrap_or(u128::MAX);
            let Ok(size) = usize::try_from(size) else { return bad("chunk size", line) };
            if size == 0 {
                self.fields()?;
                return Ok(body);
            }
            body.extend_from_slice(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return bad("end of a chunk", line);
            }
        }
    }
}

/// `tchar` (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
