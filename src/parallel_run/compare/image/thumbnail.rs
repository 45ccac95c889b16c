//! A small picture of an image, for people who compare two by eye.

use bytes::Bytes;
use image::{DynamicImage, GenericImageView as _, Rgb, RgbImage, codecs::jpeg::JpegEncoder};

/// Pixels of the longer side.
const SIDE: u32 = 320;
/// JPEG quality: a page holds dozens of them.
const QUALITY: u8 = 72;
/// Pixels of one square of the board that shows through what is transparent.
const SQUARE: u32 = 8;

/// `pixels` as a JPEG, no side longer than [`SIDE`]; transparent parts show a chequered board.
pub(super) fn of(pixels: &DynamicImage) -> Option<Bytes> {
    let (width, height) = pixels.dimensions();
    let small = if width.max(height) > SIDE { pixels.thumbnail(SIDE, SIDE) } else { pixels.clone() };
    let small = small.to_rgba8();
    let board = RgbImage::from_fn(small.width(), small.height(), |x, y| {
        let [red, green, blue, alpha] = small.get_pixel(x, y).0;
        let under = if (x / SQUARE + y / SQUARE).is_multiple_of(2) { 0xee } else { 0xcc };
        Rgb([red, green, blue].map(|over| blend(over, under, alpha)))
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&board).ok()?;
    Some(jpeg.into())
}

fn blend(over: u8, under: u8, alpha: u8) -> u8 {
    let (over, under, alpha) = (u32::from(over), u32::from(under), u32::from(alpha));
    u8::try_from((over * alpha + under * (255 - alpha)) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    #[test]
    fn a_large_image_becomes_a_small_jpeg_of_its_shape() {
        let large = DynamicImage::ImageRgba8(RgbaImage::from_pixel(1536, 1024, Rgba([200, 30, 30, 255])));
        let jpeg = of(&large).unwrap();
        assert!(jpeg.len() < 20_000, "{}", jpeg.len());
        let small = image::load_from_memory(&jpeg).unwrap().to_rgb8();
        assert_eq!(small.dimensions(), (320, 213));
        let Rgb([red, green, _]) = *small.get_pixel(100, 100);
        assert!(red > 180 && green < 60, "{red} {green}");
    }

    #[test]
    fn what_is_transparent_shows_the_board() {
        let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(64, 64, Rgba([0, 0, 0, 0])));
        let small = image::load_from_memory(&of(&clear).unwrap()).unwrap().to_luma8();
        assert_eq!(small.dimensions(), (64, 64));
        let (light, dark) = (small.get_pixel(3, 3).0[0], small.get_pixel(11, 3).0[0]);
        assert!(light > 225 && (190..=215).contains(&dark), "{light} {dark}");
    }
}
