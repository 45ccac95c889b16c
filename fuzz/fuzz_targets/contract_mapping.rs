//! Whatever a client posts: a contract makes a generation of it, or an answer that says what was wrong.
#![no_main]

use bytes::Bytes;
use figueira::generator::fuzzing::read;
use http::{Method, Request, header::CONTENT_TYPE};
use libfuzzer_sys::fuzz_target;

const TYPES: [&str; 3] =
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else { return };
    let media_type = TYPES[usize::from(*kind) % TYPES.len()];
    let mut request = Request::new(Bytes::copy_from_slice(body));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, media_type.parse().unwrap());
    read(&request);
});
