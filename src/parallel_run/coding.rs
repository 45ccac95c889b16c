//! Takes the content coding off a body (RFC 9110, 8.4), so that what two arms say can be compared however it travelled.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};

use super::answer::Answer;

/// The largest window of `zstd` as a content coding: 8 MiB (RFC 9659, 3).
const ZSTD_WINDOW: u32 = 23;
/// What brotli reads at once.
const BUFFER: usize = 4096;

/// Why a coding stays on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stays {
    /// It is unknown, or broken: no client reads it either.
    Unreadable,
    /// It hides more than is looked at.
    TooLarge,
}

/// Takes the coding off an answer, and the header that told of it; leaves both where the body would be more than `limit`
/// bytes, or cannot be read.
pub(crate) fn take_off(answer: &mut Answer, limit: usize) -> Result<(), Stays> {
    answer.body = plain(&answer.headers, &answer.body, limit)?;
    answer.headers.remove(CONTENT_ENCODING);
    Ok(())
}

/// The plain body, at most `limit` bytes.
fn plain(headers: &HeaderMap, body: &Bytes, limit: usize) -> Result<Bytes, Stays> {
    let mut plain = body.clone();
    // A coding of nothing is nothing: the answer to HEAD, or 304.
    if plain.is_empty() {
        return Ok(plain);
    }
    // Codings are listed in the order in which they were put on.
    for coding in codings(headers).ok_or(Stays::Unreadable)?.iter().rev() {
        plain = match coding.as_str() {
            "gzip" | "x-gzip" => read(MultiGzDecoder::new(&*plain), limit),
            "deflate" => match read(ZlibDecoder::new(&*plain), limit) {
                // Some servers have always sent it without its wrapper.
                Err(Stays::Unreadable) => read(DeflateDecoder::new(&*plain), limit),
                read => read,
            },
            "br" => read(Decompressor::new(&*plain, BUFFER), limit),
            "zstd" => zstd(&plain, limit),
            _ => Err(Stays::Unreadable),
        }?;
    }
    Ok(plain)
}

fn codings(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().ok()?.split(',').map(|name| name.trim().to_ascii_lowercase());
        codings.extend(names.filter(|name| !name.is_empty() && name != "identity"));
    }
    // More than two is somebody's bomb.
    (codings.len() <= 2).then_some(codings)
}

fn zstd(body: &[u8], limit: usize) -> Result<Bytes, Stays> {
    let decoder = || -> io::Result<_> {
        let mut decoder = zstd::Decoder::with_buffer(body)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        Ok(decoder)
    };
    read(decoder().map_err(|_| Stays::Unreadable)?, limit)
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, Stays> {
    let mut plain = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut plain);
    read.map_err(|_| Stays::Unreadable)?;
    if plain.len() > limit { Err(Stays::TooLarge) } else { Ok(plain.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use http::HeaderValue;

    use super::*;

    const TEXT: &[u8] = br#"{"imagem":"a1.png"}"#;
    /// The same, by the reference encoder.
    const BROTLI: [u8; 23] =
        [11, 9, 128, 123, 34, 105, 109, 97, 103, 101, 109, 34, 58, 34, 97, 49, 46, 112, 110, 103, 34, 125, 3];
    /// 16 MiB of nothing.
    const BROTLI_BOMB: [u8; 27] = [
        203, 255, 255, 63, 248, 39, 0, 226, 177, 64, 32, 247, 254, 143, 255, 255, 127, 240, 79, 0, 196, 97,
        17, 128, 238, 253, 223,
    ];

    fn coded(coding: &'static str, body: Vec<u8>) -> Result<Bytes, Stays> {
        let headers = [(CONTENT_ENCODING, HeaderValue::from_static(coding))].into_iter().collect();
        plain(&headers, &body.into(), 1_000)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_put_on_is_taken_off() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(TEXT).unwrap();
        raw.write_all(TEXT).unwrap();
        let cases = [
            ("gzip", gzip(TEXT)),
            ("X-Gzip", gzip(TEXT)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("gzip, gzip", gzip(&gzip(TEXT))),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd::encode_all(TEXT, 3).unwrap()),
            ("zstd, gzip", gzip(&zstd::encode_all(TEXT, 3).unwrap())),
            ("identity", TEXT.to_vec()),
        ];
        for (coding, body) in cases {
            assert_eq!(coded(coding, body).as_deref(), Ok(TEXT), "{coding}");
        }
    }

    #[test]
    fn what_is_unknown_broken_or_a_bomb_is_left_alone() {
        let mut cut = gzip(TEXT);
        cut.truncate(cut.len() - 9);
        assert_eq!(coded("gzip", cut), Err(Stays::Unreadable));
        assert_eq!(coded("br", TEXT.to_vec()), Err(Stays::Unreadable));
        assert_eq!(coded("br", BROTLI[..BROTLI.len() - 3].to_vec()), Err(Stays::Unreadable));
        assert_eq!(coded("compress", TEXT.to_vec()), Err(Stays::Unreadable));
        assert_eq!(coded("zstd", TEXT.to_vec()), Err(Stays::Unreadable));
        let cut = zstd::encode_all(TEXT, 3).unwrap();
        assert_eq!(coded("zstd", cut[..cut.len() - 4].to_vec()), Err(Stays::Unreadable));
        // A thousand times larger than they look, and far beyond the limit: never held.
        assert_eq!(
            coded("zstd", zstd::encode_all(std::io::repeat(0).take(64 << 20), 3).unwrap()),
            Err(Stays::TooLarge)
        );
        assert_eq!(coded("br", BROTLI_BOMB.to_vec()), Err(Stays::TooLarge));
        assert_eq!(coded("gzip", gzip(&[0; 1_001])), Err(Stays::TooLarge));
        assert_eq!(coded("gzip", gzip(&[0; 1_000])).map(|body| body.len()), Ok(1_000));
        assert_eq!(coded("gzip, gzip, gzip", gzip(&gzip(&gzip(TEXT)))), Err(Stays::Unreadable));
    }
}
