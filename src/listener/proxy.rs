//! The PROXY protocol, versions 1 and 2: who a connection is from, as the proxy in front says ahead of its first byte.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. Read strictly, and never a byte further: what is
//! mistaken for the end of a header becomes the first bytes of a client.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What a header of version 2 begins with (2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Its signature, command, family and length.
const FIXED: usize = 16;
/// What a header of version 1 begins with (2.1).
const WORD: &[u8] = b"PROXY ";
/// A header of version 1 at most, its CRLF included.
const LINE: usize = 107;
/// What is looked at at once: as much as any header without extensions.
const PIECE: usize = 256;

/// Why a connection cannot be told whose it is.
#[derive(Debug, Error)]
pub(super) enum ProxyError {
    /// It is from nobody whose word counts.
    #[error("the connection is not from a trusted proxy")]
    Stranger,
    /// It does not say in time.
    #[error("no PROXY header within {0:?}")]
    Late(Duration),
    /// It does not say.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// It says it wrongly.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
    /// It ended within.
    #[error("the connection ended before its PROXY header did")]
    Ended,
    /// It broke.
    #[error("the connection failed before its PROXY header was read: {0}")]
    Failed(#[from] io::Error),
}

/// Takes the header off `socket`, and nothing of what follows. `None` where the proxy speaks for itself (LOCAL), or
/// cannot say for whom (UNKNOWN, and families that are no addresses of TCP).
pub(super) async fn receive(socket: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let (mut header, mut piece) = (Vec::with_capacity(PIECE), vec![0; PIECE]);
    loop {
        let seen = socket.peek(&mut piece).await?;
        if seen == 0 {
            return Err(ProxyError::Ended);
        }
        let before = header.len();
        header.extend_from_slice(piece.get(..seen).unwrap_or_default());
        let parsed = parse(&header)?;
        // While the header has no end, all that came is its.
        let len = parsed.map_or(header.len(), |parsed| parsed.len);
        header.truncate(len);
        let taken = piece.get_mut(..len.saturating_sub(before)).unwrap_or_default();
        socket.read_exact(taken).await?;
        if let Some(Header { source, .. }) = parsed {
            return Ok(source);
        }
    }
}

/// A header that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    len: usize,
    source: Option<SocketAddr>,
}

/// Reads the header at the start of `bytes`; `None` while more of it has to come.
fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, WORD) {
        line(bytes)
    } else {
        Err(ProxyError::Absent)
    }
}

/// Whether `bytes` begins with `start`, as far as it goes.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let most = bytes.len().min(start.len());
    bytes.get(..most) == start.get(..most)
}

/// Version 1: a line.
fn line(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    const END: &[u8] = b"\r\n";
    let within = bytes.get(..LINE).unwrap_or(bytes);
    let Some(end) = within.windows(END.len()).position(|window| window == END) else {
        let longest = bytes.len() >= LINE;
        return if longest { Err(ProxyError::Malformed("its line does not end")) } else { Ok(None) };
    };
    let words = bytes.get(WORD.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(words).map_err(|_| ProxyError::Malformed("it is no text"))?;
    let is_unknown = text == "UNKNOWN" || text.starts_with("UNKNOWN ");
    let source = if is_unknown { None } else { Some(source(text).ok_or(UNCLEAR)?) };
    Ok(Some(Header { len: end + END.len(), source }))
}

const UNCLEAR: ProxyError = ProxyError::Malformed("it does not name two addresses and two ports");

/// `TCP4 source destination port port`, or the same with `TCP6`.
fn source(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let source = match words.next()? {
        "TCP4" => pair::<Ipv4Addr>(&mut words)?,
        "TCP6" => pair::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    let (from, _to) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() { None } else { Some(SocketAddr::new(source, from)) }
}

/// The first of two addresses of one family.
fn pair<'t, A: FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'t str>) -> Option<IpAddr> {
    let (source, destination) = (words.next()?.parse::<A>().ok()?, words.next()?.parse::<A>());
    destination.is_ok().then(|| source.into())
}

/// Digits, without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Version 2: fixed fields, addresses, extensions, of which none is needed here.
fn binary(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else { return Ok(None) };
    let len = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed("its version or command is unknown")),
    };
    // UDP and sockets of a file system are known, and say nothing of a peer.
    let addresses = match family {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ if is_local => 0,
        _ => return Err(ProxyError::Malformed("its address family is unknown")),
    };
    if !is_local && len < FIXED + addresses {
        return Err(ProxyError::Malformed("it is too short for its addresses"));
    }
    let Some(body) = bytes.get(FIXED..len) else { return Ok(None) };
    let source = match (is_local, family) {
        (false, 0x11) => body.first_chunk::<4>().map(|ip| IpAddr::from(*ip)).zip(port_at(body, 8)),
        (false, 0x21) => body.first_chunk::<16>().map(|ip| IpAddr::from(*ip)).zip(port_at(body, 32)),
        _ => None,
    };
    Ok(Some(Header { len, source: source.map(SocketAddr::from) }))
}

fn port_at(body: &[u8], at: usize) -> Option<u16> {
    body.get(at..)?.first_chunk().map(|port| u16::from_be_bytes(*port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source_of(bytes: &[u8]) -> Option<SocketAddr> {
        parse(bytes).unwrap().unwrap().source
    }

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, body].concat()
    }

    fn body(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let octets = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let port = |address: SocketAddr| address.port().to_be_bytes().to_vec();
        [octets(source), octets(destination), port(source), port(destination)].concat()
    }

    #[test]
    fn both_versions_and_families() {
        let (v4, v6) = ("192.0.2.7:1234".parse().unwrap(), "[2001:db8::7]:1234".parse().unwrap());
        assert_eq!(source_of(b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n"), Some(v4));
        assert_eq!(source_of(b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 443\r\n"), Some(v6));
        assert_eq!(source_of(&version_2(0x21, 0x11, &body(v4, v4))), Some(v4));
        assert_eq!(source_of(&version_2(0x21, 0x21, &body(v6, v6))), Some(v6));
    }

    #[test]
    fn who_speaks_for_itself_or_does_not_know() {
        let v4 = "192.0.2.7:1234".parse().unwrap();
        for bytes in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 whatever else\r\n".to_vec(),
            version_2(0x20, 0x00, b""),
            version_2(0x20, 0x11, &body(v4, v4)),
            version_2(0x20, 0xff, b"some extension"),
            version_2(0x21, 0x00, b""),
            version_2(0x21, 0x12, &body(v4, v4)),
            version_2(0x21, 0x31, &[0; 216]),
        ] {
            let header = parse(&bytes).unwrap().unwrap();
            assert_eq!(header, Header { len: bytes.len(), source: None }, "{bytes:?}");
        }
    }

    #[test]
    fn a_header_is_exact() {
        let v4 = "192.0.2.7:1234".parse().unwrap();
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXYTCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            b"PROXY tcp4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            b"PROXY UNKNOWNS\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n".to_vec(),
            b"PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(),
            b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            [b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat(),
            version_2(0x11, 0x11, &body(v4, v4)),
            version_2(0x22, 0x11, &body(v4, v4)),
            version_2(0x21, 0x11, &[0; 11]),
            version_2(0x21, 0x21, &[0; 35]),
            version_2(0x21, 0x41, &[0; 36]),
        ] {
            assert!(parse(&bytes).is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    fn any_address() -> impl Strategy<Value = SocketAddr> {
        let v4 = any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)));
        let v6 = any::<([u8; 16], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_to_its_end_and_no_further(
            source in any_address(),
            extensions in prop::collection::vec(any::<u8>(), 0..300),
            after in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let family = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            let (ip, port) = (source.ip(), source.port());
            let text = format!("PROXY {} {ip} {ip} {port} {port}\r\n", family.0).into_bytes();
            let binary = version_2(0x21, family.1, &[body(source, source), extensions].concat());
            for header in [text, binary] {
                let whole = [header.clone(), after.clone()].concat();
                let parsed = Header { len: header.len(), source: Some(source) };
                prop_assert_eq!(parse(&whole).unwrap(), Some(parsed));
                for len in 0..header.len() {
                    prop_assert_eq!(parse(&header[..len]).unwrap(), None);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(parse(&bytes));
            drop(parse(&[SIGNATURE, &bytes].concat()));
            drop(parse(&[WORD, &bytes].concat()));
        }
    }
}
