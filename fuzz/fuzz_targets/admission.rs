//! Whatever sound head comes: what is admitted has one meaning, and the guard would let it through again (RFC 9112, 3.2).
#![no_main]

use figueira::{
    gateway::fuzzing::admit,
    listener::guard::{HeadLimits, inspect},
};
use figueira_fuzz::{LIMITS, parsed, written};
use http::{Method, header::HOST};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if !matches!(inspect(bytes, 0, LIMITS), Ok(Some(_))) {
        return;
    }
    let (mut head, _) = parsed(bytes).expect("another parser refuses what the guard lets through");
    let asked = head.clone();
    if let Err(status) = admit(&mut head) {
        assert!(status.is_client_error() || status.is_server_error() || asked.method == Method::OPTIONS);
        return;
    }
    assert!(head.uri.scheme().is_none() && head.uri.authority().is_none(), "{}", head.uri);
    let path = head.uri.path();
    assert!(path.starts_with('/') || (path == "*" && head.method == Method::OPTIONS), "{}", head.uri);
    if let Some(authority) = asked.uri.authority() {
        assert_eq!(head.headers[HOST].as_bytes(), authority.as_str().as_bytes());
    } else {
        assert_eq!(head.headers, asked.headers);
        assert_eq!(head.uri, asked.uri);
    }
    if head.headers.contains_key(HOST) {
        let again = written(&head.method, &head.uri, &head.headers);
        // Of an absolute target a `Host` is made.
        let limits = HeadLimits { head: 2 * LIMITS.head, fields: LIMITS.fields + 1, ..LIMITS };
        assert!(
            matches!(inspect(&again, 0, limits), Ok(Some(judged)) if judged.len == again.len()),
            "not sound any more: {:?}",
            String::from_utf8_lossy(&again)
        );
    }
});
