//! Pictures of the stand-in: the shop's own painter, cut to any size; and some that no one should take for one.

use std::io::Cursor;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};

use super::request::Format;
use crate::demo::monolith::painter;

/// A picture that runs a script where a browser is told that it is one.
pub(super) const SVG: &[u8] =
    b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(document.domain)</script></svg>";
/// No picture.
pub(super) const PAGE: &[u8] = b"<!doctype html><title>not a picture</title>";

/// Paints one.
pub(super) fn paint(prompt: &str, index: u64, (width, height): (u32, u32), format: Format) -> Option<Bytes> {
    let square = painter::paint(prompt, index, width.max(height))?;
    if width == height && format == Format::Png {
        return Some(square.into());
    }
    let square = image::load_from_memory_with_format(&square, ImageFormat::Png).ok()?;
    let cut: DynamicImage = square.crop_imm(0, 0, width, height).to_rgb8().into();
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::WebP => ImageFormat::WebP,
    };
    let mut bytes = Cursor::new(Vec::new());
    cut.write_to(&mut bytes, format).ok()?;
    Some(bytes.into_inner().into())
}

/// A PNG of 65,535 by 65,535 pixels in a few dozen bytes, with every checksum right.
pub(super) fn bomb() -> Bytes {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let edge = 0xffff_u32.to_be_bytes();
    let head = [edge.as_slice(), &edge, &[8, 2, 0, 0, 0]].concat();
    // The first bytes of a zlib stream that never gets to its pixels.
    for (kind, content) in [(b"IHDR", head.as_slice()), (b"IDAT", &[0x78, 0x01, 0x03, 0x00]), (b"IEND", &[])]
    {
        let named = [kind.as_slice(), content].concat();
        png.extend(u32::try_from(content.len()).unwrap_or_default().to_be_bytes());
        png.extend(&named);
        png.extend(crc32(&named).to_be_bytes());
    }
    png.into()
}

/// CRC-32 as PNG has it (RFC 2083, 15).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
