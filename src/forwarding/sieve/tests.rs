//! Heads whole and cut, odd and plain.

use super::*;

/// What hyper sees of `pieces`, and the reason.
fn sieved(pieces: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
    let sieve = Sieve::of(4096);
    sieve.listen();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        sieve.pass(&mut piece).unwrap();
        seen.append(&mut piece);
    }
    (seen, sieve.reason().map(|reason| reason.as_bytes().to_vec()))
}

fn reason(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    sieved(pieces).1
}

/// The lines of a head, however it was cut.
fn lines(head: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(head).split("\r\n").map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_phrase_beyond_ascii_is_remembered() {
    let line = "HTTP/1.1 404 N\u{e3}o encontrado\r\nA: b\r\n\r\n".as_bytes();
    let wanted = Some("N\u{e3}o encontrado".as_bytes().to_vec());
    assert_eq!(reason(&[line]), wanted);
    for cut in 1..line.len() {
        assert_eq!(sieved(&[&line[..cut], &line[cut..]]), (line.to_vec(), wanted.clone()), "cut at {cut}");
    }
    assert_eq!(reason(&[b"HTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 100 \xe9\r\n\r\n", line]), wanted);
}

#[test]
fn nothing_is_heard_but_the_answers_own_line() {
    assert_eq!(reason(&[b"HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 200 caf\xe9\r\n"]), None);
    assert_eq!(reason(&[b"HTTP/1.1 200 \r\n\r\n", b"HTTP/1.1 200 caf\xe9\r\n"]), None);
    assert_eq!(reason(&[b"HTTP/1.1 200 a\xe9\0\r\n"]), None, "no phrase at all");
    assert_eq!(reason(&[&b"\xe9".repeat(2000), b"\r\n"]), None, "too long");
    let sieve = Sieve::of(4096);
    sieve.pass(&mut b"HTTP/1.1 200 caf\xe9\r\n".to_vec()).unwrap();
    assert!(sieve.reason().is_none(), "nothing was asked");
}

#[test]
fn what_goes_without_saying_is_made_white_space() {
    let head = b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nC: d\r\n\r\nConnection: keep-alive\r\n\r\n";
    let seen = sieved(&[head]).0;
    assert_eq!(seen.len(), head.len());
    assert_eq!(lines(&seen), ["HTTP/1.1 200 OK", "A: b", "C: d", "", "Connection: keep-alive", "", ""]);
    for cut in 1..head.len() {
        let (seen, _) = sieved(&[&head[..cut], &head[cut..]]);
        assert_eq!(seen.len(), head.len(), "cut at {cut}");
        let mut left = lines(&seen);
        // What is cut may stay: then its fields are left behind later.
        left.retain(|line| !line.starts_with("Keep-Alive") && line != "Connection: keep-alive");
        assert_eq!(left, ["HTTP/1.1 200 OK", "A: b", "C: d", "", "", ""], "cut at {cut}");
    }
}

#[test]
fn what_says_something_of_the_connection_stays() {
    for head in [
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.0 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive, X-Hop\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n , close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\nConnection: keep-alive\n\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nKeep-Alive-Really: 1\r\nConnections: keep-alive\r\n\r\n",
    ] {
        assert_eq!(sieved(&[head.as_bytes()]).0, head.as_bytes(), "{head}");
    }
}

#[test]
fn interim_responses_end_some_time() {
    const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let sieve = Sieve::of(2 * INTERIM.len());
    for _ in 0..3 {
        sieve.listen();
        for _ in 0..2 {
            sieve.pass(&mut INTERIM.to_vec()).unwrap();
        }
        sieve.pass(&mut b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).unwrap();
        sieve.pass(&mut [b'z'; 4096]).unwrap();
    }
    sieve.listen();
    let passed = (0..9).take_while(|_| sieve.pass(&mut INTERIM.to_vec()).is_ok()).count();
    assert_eq!(passed, 2);
}
