//! Pixels into PNG, JPEG or WebP. A PNG says in a text chunk where it comes from.

use image::{
    ExtendedColorType, ImageEncoder as _,
    codecs::{jpeg::JpegEncoder, webp::WebPEncoder},
};
use thiserror::Error;

use super::canvas::Pixels;
use crate::generator::order::{Format, Order};

/// The pixels could not be encoded.
#[derive(Debug, Error)]
pub(super) enum EncodeError {
    /// As PNG.
    #[error(transparent)]
    Png(#[from] png::EncodingError),
    /// As JPEG or WebP.
    #[error(transparent)]
    Other(#[from] image::ImageError),
}

pub(super) fn encode(pixels: &Pixels, order: &Order) -> Result<Vec<u8>, EncodeError> {
    let Pixels { width, height, rgb } = pixels;
    let mut bytes = Vec::with_capacity(rgb.len() / 2);
    match order.format {
        Format::Png => {
            let mut encoder = png::Encoder::new(&mut bytes, *width, *height);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_compression(png::Compression::Fast);
            encoder.add_text_chunk("Software".into(), "figueira local provider".into())?;
            let mut writer = encoder.write_header()?;
            writer.write_image_data(rgb)?;
            writer.finish()?;
        }
        Format::Jpeg => {
            let quality = order.compression.max(1);
            JpegEncoder::new_with_quality(&mut bytes, quality).write_image(
                rgb,
                *width,
                *height,
                ExtendedColorType::Rgb8,
            )?;
        }
        Format::WebP => {
            WebPEncoder::new_lossless(&mut bytes).write_image(
                rgb,
                *width,
                *height,
                ExtendedColorType::Rgb8,
            )?;
        }
    }
    Ok(bytes)
}
