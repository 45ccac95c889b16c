//! Whatever bytes come: the guard judges them alike in one piece and in two, and what it lets through another parser
//! reads as the same message (RFC 9112, 3 to 6).
#![no_main]

use figueira::listener::guard::{Framing, inspect};
use figueira_fuzz::{LIMITS, parsed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = inspect(bytes, 0, LIMITS);
    let cut = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (bytes.len() + 1);
    let pieces = match inspect(&bytes[..cut], 0, LIMITS) {
        Ok(None) => inspect(bytes, cut, LIMITS),
        early => early,
    };
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces, "cut at {cut}"),
        (Err(_), Err(_)) => {}
        _ => panic!("cut at {cut}: {pieces:?}, whole: {whole:?}"),
    }

    let Ok(Some(head)) = whole else { return };
    let (parts, length) = parsed(bytes).expect("another parser refuses what the guard lets through");
    assert_eq!(length, head.len, "the head ends elsewhere");
    let hosts = parts.headers.get_all("host").iter().count();
    assert!(hosts == 1 || (hosts == 0 && parts.version == http::Version::HTTP_10), "{hosts} hosts");
    let lengths: Vec<_> = parts.headers.get_all("content-length").iter().collect();
    let codings: Vec<_> = parts.headers.get_all("transfer-encoding").iter().collect();
    match (head.framing, &lengths[..], &codings[..]) {
        (Framing::Length(0), [], []) => {}
        (Framing::Length(length), [digits], []) => {
            assert_eq!(digits.to_str().unwrap().parse(), Ok(length), "another length");
        }
        (Framing::Chunked, [], [coding]) => {
            assert!(
                coding.as_bytes().eq_ignore_ascii_case(b"chunked") && parts.version == http::Version::HTTP_11
            );
        }
        framings => panic!("ambiguous: {framings:?}"),
    }
});
