//! Is this a sound image? Nothing is stored and nothing is served that did not pass here.

mod end;
mod scale;

use std::io::Cursor;

use ::image::{
    DynamicImage, ImageDecoder, ImageError, Limits as DecodeLimits,
    codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder},
};
use bytes::Bytes;
use thiserror::Error;

use super::order::{Format, Order, Size};

/// How large an image may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Encoded, in bytes.
    pub(crate) bytes: usize,
    /// Decoded, in pixels.
    pub(crate) pixels: u64,
}

/// Why bytes are no image of ours.
#[derive(Debug, Error)]
pub(crate) enum Unsound {
    /// No bytes at all.
    #[error("the image is empty")]
    Empty,
    /// Longer than `max_image`.
    #[error("the image has {bytes} bytes, allowed are {limit}")]
    TooLong {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Not PNG, JPEG or WebP by its first bytes: HTML, SVG, anything.
    #[error("the bytes are neither PNG, JPEG nor WebP")]
    Foreign,
    /// It ends early, or something follows it.
    #[error("the {} does not end where it should", .0.name())]
    Cut(Format),
    /// More pixels than `max_pixels`; it was not decoded.
    #[error("the image is {0}, more than is decoded")]
    TooManyPixels(Size),
    /// Another size than asked.
    #[error("the image is {found}, asked was {asked}")]
    WrongSize {
        /// What it is.
        found: Size,
        /// What it should be.
        asked: Size,
    },
    /// More than one frame.
    #[error("the image is animated")]
    Animated,
    /// It does not decode.
    #[error("the image does not decode")]
    Broken(#[from] ImageError),
}

/// The image that `order` asks for, made of what was drawn for it: the same bytes, or the picture at the size that was
/// asked for where a larger one was drawn. Blocks: costs a decode, and where it scales an encoding.
pub(crate) fn fit(drawn: Bytes, order: &Order, limits: Limits) -> Result<(Format, Bytes), Unsound> {
    let (format, picture) = open(&drawn, order.drawn, limits)?;
    if order.size == order.drawn {
        return Ok((format, drawn));
    }
    let scaled = scale::smaller(picture, order.size, order.format, order.compression)?;
    Ok((order.format, scaled.into()))
}

/// How much memory [`fit`] takes at most, beside what was drawn.
pub(crate) fn fitting_bytes(order: &Order) -> u64 {
    let Order { size, drawn, .. } = *order;
    // Four channels of 16 bits.
    let each = 8;
    if size == drawn { drawn.pixels().saturating_mul(each) } else { scale::scaling_bytes(drawn, each, size) }
}

/// Decodes all of `bytes` within `limits` and says what they are. Blocks: costs a decode.
#[cfg(any(test, fuzzing))]
pub(crate) fn examine(bytes: &[u8], asked: Size, limits: Limits) -> Result<Format, Unsound> {
    open(bytes, asked, limits).map(|(format, _)| format)
}

fn open(bytes: &[u8], asked: Size, limits: Limits) -> Result<(Format, DynamicImage), Unsound> {
    if bytes.is_empty() {
        return Err(Unsound::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(Unsound::TooLong { bytes: bytes.len(), limit: limits.bytes });
    }
    let format = sniff(bytes).ok_or(Unsound::Foreign)?;
    if !end::is_at_the_end(format, bytes) {
        return Err(Unsound::Cut(format));
    }
    let picture = match format {
        Format::Png => {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), decode_limits(limits))?;
            if decoder.is_apng()? {
                return Err(Unsound::Animated);
            }
            decode(decoder, asked, limits)?
        }
        Format::Jpeg => decode(JpegDecoder::new(Cursor::new(bytes))?, asked, limits)?,
        Format::WebP => {
            let decoder = WebPDecoder::new(Cursor::new(bytes))?;
            if decoder.has_animation() {
                return Err(Unsound::Animated);
            }
            decode(decoder, asked, limits)?
        }
    };
    Ok((format, picture))
}

/// What the first twelve bytes say.
pub(crate) fn sniff(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Format::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(Format::Jpeg)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Format::WebP)
    } else {
        None
    }
}

fn decode(mut decoder: impl ImageDecoder, asked: Size, limits: Limits) -> Result<DynamicImage, Unsound> {
    let (width, height) = decoder.dimensions();
    let found = Size { width, height };
    if found.pixels() > limits.pixels {
        return Err(Unsound::TooManyPixels(found));
    }
    if found != asked {
        return Err(Unsound::WrongSize { found, asked });
    }
    decoder.set_limits(decode_limits(limits))?;
    Ok(DynamicImage::from_decoder(decoder)?)
}

fn decode_limits(limits: Limits) -> DecodeLimits {
    let mut decode = DecodeLimits::no_limits();
    // Four channels of 16 bits, and as much again for the decoder's own rows.
    decode.max_alloc = Some(limits.pixels.saturating_mul(16));
    decode
}

#[cfg(test)]
mod tests {
    use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
    use bytes::Bytes;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Limits, Unsound, examine, fit, fitting_bytes};
    use crate::generator::order::{AskedSize, Format, Options, Order, Prompt, Size};

    const ASKED: Size = Size { width: 24, height: 16 };
    const LIMITS: Limits = Limits { bytes: 1 << 20, pixels: 1 << 16 };

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let pixels = RgbImage::from_fn(24, 16, |x, y| {
            Rgb([u8::try_from(x * 10).unwrap(), u8::try_from(y * 15).unwrap(), 90])
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(pixels).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn the_three_formats_pass() {
        for (format, expected) in [
            (ImageFormat::Png, Format::Png),
            (ImageFormat::Jpeg, Format::Jpeg),
            (ImageFormat::WebP, Format::WebP),
        ] {
            assert_eq!(examine(&encoded(format), ASKED, LIMITS).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_image_is_told_apart() {
        let png = encoded(ImageFormat::Png);
        assert!(matches!(examine(b"", ASKED, LIMITS), Err(Unsound::Empty)));
        for foreign in
            [&b"<!doctype html><p>502"[..], b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"RIFF"]
        {
            assert!(matches!(examine(foreign, ASKED, LIMITS), Err(Unsound::Foreign)));
        }
        let small = Limits { bytes: 10, ..LIMITS };
        assert!(matches!(examine(&png, ASKED, small), Err(Unsound::TooLong { limit: 10, .. })));
        let few = Limits { pixels: 24 * 16 - 1, ..LIMITS };
        assert!(matches!(examine(&png, ASKED, few), Err(Unsound::TooManyPixels(_) | Unsound::Broken(_))));
        let other = Size { width: 16, height: 24 };
        assert!(matches!(examine(&png, other, LIMITS), Err(Unsound::WrongSize { found: ASKED, .. })));
    }

    #[test]
    fn a_bomb_is_refused_by_its_head() {
        let mut png = encoded(ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let mut crc = 0xffff_ffff_u32;
        for byte in &png[12..29] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        png[29..33].copy_from_slice(&(!crc).to_be_bytes());
        let bomb = Size { width: 0xffff, height: 0xffff };
        let verdict = examine(&png, bomb, LIMITS);
        assert!(matches!(verdict, Err(Unsound::TooManyPixels(size)) if size == bomb), "{verdict:?}");
    }

    #[test]
    fn animations_are_refused() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 24, 16);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_animated(2, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0; 24 * 16]).unwrap();
        writer.write_image_data(&[9; 24 * 16]).unwrap();
        writer.finish().unwrap();
        assert!(matches!(examine(&bytes, ASKED, LIMITS), Err(Unsound::Animated)));
    }

    #[test]
    fn a_cut_anywhere_or_a_tail_is_refused() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let whole = encoded(format);
            for end in 0..whole.len() {
                assert!(examine(&whole[..end], ASKED, LIMITS).is_err(), "{format:?} cut at {end}");
            }
            let mut longer = whole.clone();
            longer.extend_from_slice(b"<script>");
            assert!(matches!(examine(&longer, ASKED, LIMITS), Err(Unsound::Cut(_))));
            // Nor one that ends as an image does.
            longer.extend_from_slice(&whole);
            assert!(matches!(examine(&longer, ASKED, LIMITS), Err(Unsound::Cut(_))));
        }
    }

    /// Cameras and editors put a small picture into the head of a large one, which ends before that does.
    #[test]
    fn an_image_in_an_images_head_ends_nothing() {
        let small = encoded(ImageFormat::Jpeg);
        let mut whole = small[..2].to_vec();
        whole.extend_from_slice(b"\xff\xe1");
        whole.extend_from_slice(&u16::try_from(small.len() + 2).unwrap().to_be_bytes());
        whole.extend_from_slice(&small);
        whole.extend_from_slice(&small[2..]);
        assert_eq!(examine(&whole, ASKED, LIMITS).unwrap(), Format::Jpeg);
        // Filling before a marker.
        whole.splice(2..2, [0xff, 0xff]);
        assert_eq!(examine(&whole, ASKED, LIMITS).unwrap(), Format::Jpeg);
    }

    #[test]
    fn no_more_memory_is_taken_than_is_counted() {
        let drawn = Size { width: 512, height: 512 };
        let noise = RgbaImage::from_fn(512, 512, |x, y| {
            Rgba([x * 7 + y * 13, x * y, x ^ y, x + y].map(|part| u8::try_from(part % 256).unwrap()))
        });
        let noise = DynamicImage::from(noise);
        let opaque = DynamicImage::from(noise.to_rgb8());
        let pictures = [
            (&noise, ImageFormat::Png),
            (&DynamicImage::from(noise.to_rgba16()), ImageFormat::Png),
            (&opaque, ImageFormat::Png),
            (&opaque, ImageFormat::Jpeg),
            (&noise, ImageFormat::WebP),
        ];
        for (picture, format) in pictures {
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).unwrap();
            let bytes = Bytes::from(bytes.into_inner());
            for side in [512, 256, 128] {
                let order = Order {
                    prompt: Prompt::new("mar".into()).unwrap(),
                    count: 1,
                    asked: AskedSize::Auto,
                    size: Size { width: side, height: side },
                    drawn,
                    format: Format::Png,
                    compression: 90,
                    options: Options::default(),
                };
                let limits = Limits { bytes: 1 << 22, pixels: drawn.pixels() };
                let used = allocation_counter::measure(|| drop(fit(bytes.clone(), &order, limits).unwrap()));
                // Decoders have tables and rows of their own, and one of them a copy of what it reads.
                let counted = fitting_bytes(&order) + u64::try_from(bytes.len()).unwrap() + (256 << 10);
                assert!(
                    used.bytes_max <= counted,
                    "{format:?} {:?} to {side}: {} bytes, counted are {counted}",
                    picture.color(),
                    used.bytes_max
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), head in 0..3_usize) {
            let heads: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"];
            bytes.splice(0..0, heads[head].iter().copied());
            prop_assert!(examine(&bytes, ASKED, LIMITS).is_err());
        }
    }
}
