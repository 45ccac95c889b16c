//! An answer as it stood on the wire, its framing taken off (RFC 9112, 6).

/// What came for one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Interim responses, but for 100: when one is needed is between neighbours.
    pub(super) interim: Vec<Head>,
    /// The final one; nothing where none came.
    pub(super) head: Option<Head>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<Field>,
    pub(super) end: End,
}

impl Answer {
    /// Whether it began, and could not be read to its end nor to any other.
    pub(super) fn is_endless(&self) -> bool {
        match (&self.head, self.end) {
            (Some(_), End::Late) => true,
            (None, End::Late | End::Unread) => !self.interim.is_empty(),
            _ => false,
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// Where its framing says.
    Whole,
    /// Before that.
    #[default]
    Cut,
    /// It took too long.
    Late,
    /// Not at all as far as it was read: it is larger than what is compared.
    Unread,
    /// Where its framing says, and something that no request asked for came after it.
    Followed,
}

/// A status line and the fields below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) line: Vec<u8>,
    pub(super) fields: Vec<Field>,
}

/// A name as it was written, and a value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunks,
    UntilClose,
}

impl Head {
    /// Reads the bytes of a head, its empty line included.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut lines = lines(bytes);
        let line = lines.next().unwrap_or_default().to_vec();
        Self { line, fields: fields(lines) }
    }

    pub(super) fn status(&self) -> Option<u16> {
        let code = self.line.split(|byte| *byte == b' ').nth(1)?;
        std::str::from_utf8(code).ok()?.parse().ok()
    }

    /// The version, and what follows it.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        let space = self.line.iter().position(|byte| *byte == b' ');
        let (version, rest) = self.line.split_at(space.unwrap_or(self.line.len()));
        (version, rest.get(1..).unwrap_or_default())
    }

    /// The first value of this name.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    pub(super) fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        let named = self.fields.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| &value[..])
    }

    /// How the body behind it is framed.
    pub(super) fn framing(&self, method: &str) -> Framing {
        let is_bodiless = method == "HEAD" || matches!(self.status(), Some(100..=199 | 204 | 304));
        let length = || std::str::from_utf8(self.value("content-length")?).ok()?.parse().ok();
        if is_bodiless {
            Framing::Length(0)
        } else if self.values("transfer-encoding").any(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
            Framing::Chunks
        } else {
            length().map_or(Framing::UntilClose, Framing::Length)
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).take_while(|line| !line.is_empty())
}

/// Field lines. What old sites write and a gateway makes harmless is made so here (RFC 9112, 5.1 and 5.2).
pub(super) fn fields<'b>(lines: impl Iterator<Item = &'b [u8]>) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for line in lines {
        if let ([b' ' | b'\t', ..], Some((_, value))) = (line, fields.last_mut()) {
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        fields.push((name.trim_ascii_end().to_vec(), value.trim_ascii().to_vec()));
    }
    fields
}

/// The field lines of a trailer section.
pub(super) fn trailers(bytes: &[u8]) -> Vec<Field> {
    fields(lines(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_stands() {
        let head = Head::read(b"HTTP/1.1 404 N\xe3o\r\nServer : x\r\nset-cookie:a=1 \r\nX: a\r\n  b\r\n\r\n");
        assert_eq!((head.status(), head.parts().1), (Some(404), &b"404 N\xe3o"[..]));
        let field = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
        assert_eq!(head.fields, [field(b"Server", b"x"), field(b"set-cookie", b"a=1"), field(b"X", b"a b")]);
    }

    #[test]
    fn framing_is_told_by_method_status_and_fields() {
        let framing = |head: &str, method: &str| Head::read(head.as_bytes()).framing(method);
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET"), Framing::Length(5));
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"), Framing::Length(0));
        assert_eq!(framing("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "GET"), Framing::Length(0));
        assert_eq!(framing("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n", "GET"), Framing::Chunks);
        assert_eq!(framing("HTTP/1.0 200 OK\r\n\r\n", "GET"), Framing::UntilClose);
    }
}
