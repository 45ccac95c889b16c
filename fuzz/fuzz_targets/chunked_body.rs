//! Whatever bytes come as a chunked body: they end at the same place in one piece and in two, and where a plain decoder
//! says that they end (RFC 9112, 7.1).
#![no_main]

use figueira::listener::fuzzing::end_of_chunks;
use libfuzzer_sys::fuzz_target;

/// Where the body ends by the letter of its grammar, where it does.
fn plainly(bytes: &[u8]) -> Option<usize> {
    let line = |at: usize| {
        let rest = bytes.get(at..)?;
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        Some((&rest[..end], at + end + 2))
    };
    let mut at = 0;
    loop {
        let (size, next) = line(at)?;
        let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = u64::from_str_radix(std::str::from_utf8(&size[..digits]).ok()?, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        if bytes.get(at..at.checked_add(2)?)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some(at);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = end_of_chunks(&[bytes]);
    let cut = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (bytes.len() + 1);
    let (first, rest) = bytes.split_at(cut);
    assert_eq!(end_of_chunks(&[first, rest]), whole, "cut at {cut}");
    if let Ok(Some(end)) = whole {
        assert_eq!(plainly(bytes), Some(end));
    }
});
