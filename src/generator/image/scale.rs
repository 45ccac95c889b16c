//! Makes a picture smaller, well: Lanczos over all pixels, with colours weighted by how much of them can be seen.

use std::io::Cursor;

use ::image::{
    DynamicImage, ImageEncoder as _, ImageResult, Rgba32FImage,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType as PngFilter, PngEncoder},
        webp::WebPEncoder,
    },
    imageops::{FilterType, resize},
};

use crate::generator::order::{Format, Size};

/// How much memory it takes at most to make a picture smaller of which a pixel has up to `each` bytes: while its pixels
/// become four numbers of 4 bytes, and while there are these, as many of its width and the new height, and the new ones.
pub(super) fn scaling_bytes(from: Size, each: u64, to: Size) -> u64 {
    let numbers = |size: Size| size.pixels().saturating_mul(16);
    let between = Size { width: from.width, height: to.height };
    let read = from.pixels().saturating_mul(each).saturating_add(numbers(from));
    read.max(numbers(from).saturating_add(numbers(between)).saturating_add(numbers(to)))
}

/// `picture` at `size`, encoded as `format`; `compression` is the quality of JPEG in percent.
pub(super) fn smaller(
    picture: DynamicImage,
    size: Size,
    format: Format,
    compression: u8,
) -> ImageResult<Vec<u8>> {
    let scaled = if picture.color().has_alpha() {
        let mut pixels = picture.into_rgba32f();
        weigh(&mut pixels);
        let mut scaled = resize(&pixels, size.width, size.height, FilterType::Lanczos3);
        drop(pixels);
        unweigh(&mut scaled);
        DynamicImage::ImageRgba32F(scaled).to_rgba8().into()
    } else {
        DynamicImage::from(resize(&picture.into_rgb8(), size.width, size.height, FilterType::Lanczos3))
    };
    encode(&scaled, format, compression)
}

/// A colour that nobody sees must not bleed into its neighbours.
fn weigh(pixels: &mut Rgba32FImage) {
    for pixel in pixels.pixels_mut() {
        let [red, green, blue, alpha] = pixel.0;
        pixel.0 = [red * alpha, green * alpha, blue * alpha, alpha];
    }
}

fn unweigh(pixels: &mut Rgba32FImage) {
    for pixel in pixels.pixels_mut() {
        let [red, green, blue, alpha] = pixel.0;
        if alpha > 0.0 {
            pixel.0 = [red / alpha, green / alpha, blue / alpha, alpha].map(|part| part.clamp(0.0, 1.0));
        } else {
            pixel.0 = [0.0; 4];
        }
    }
}

fn encode(picture: &DynamicImage, format: Format, compression: u8) -> ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match format {
        Format::Png => {
            let encoder =
                PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, PngFilter::Adaptive);
            picture.write_with_encoder(encoder)?;
        }
        Format::Jpeg => {
            let opaque = picture.to_rgb8();
            JpegEncoder::new_with_quality(&mut bytes, compression.max(1)).write_image(
                &opaque,
                opaque.width(),
                opaque.height(),
                ::image::ExtendedColorType::Rgb8,
            )?;
        }
        Format::WebP => picture.write_with_encoder(WebPEncoder::new_lossless(&mut bytes))?,
    }
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use ::image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    const SMALL: Size = Size { width: 32, height: 32 };

    #[test]
    fn fine_stripes_become_grey_and_not_stripes() {
        let stripes = RgbImage::from_fn(128, 128, |x, _| Rgb([if x % 2 == 0 { 255 } else { 0 }; 3]));
        for format in [Format::Png, Format::Jpeg, Format::WebP] {
            let bytes = smaller(stripes.clone().into(), SMALL, format, 90).unwrap();
            let grey = ::image::load_from_memory(&bytes).unwrap().to_luma8();
            assert_eq!(grey.dimensions(), (32, 32));
            assert!(grey.pixels().all(|pixel| (110..146).contains(&pixel.0[0])), "{format:?}");
        }
    }

    #[test]
    fn what_is_transparent_does_not_darken_the_edge() {
        let red =
            RgbaImage::from_fn(
                128,
                128,
                |x, _| {
                    if x < 62 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 0, 0, 0]) }
                },
            );
        let bytes = smaller(red.into(), SMALL, Format::Png, 100).unwrap();
        let scaled = ::image::load_from_memory(&bytes).unwrap().to_rgba8();
        let visible = scaled.pixels().filter(|pixel| pixel.0[3] > 8);
        assert!(visible.clone().count() > 32 * 14);
        assert!(visible.into_iter().all(|pixel| pixel.0[0] > 250), "no dark fringe");
    }
}
