//! What bytes are an image, and what text holds one in Base64.

use std::borrow::Cow;

use base64::{
    DecodeError, Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

/// What some servers write before UTF-8, and no JSON begins with (RFC 8259, 8.1).
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The type of an image by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
}

impl ImageKind {
    /// `png`, `jpeg`, `webp`, `gif`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }
}

/// What was encoded in Base64 (RFC 4648, 4 and 5): of either alphabet, padded or not, in lines (RFC 2045, 6.8) or not.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, DecodeError> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let line: Cow<'_, [u8]> = if text.bytes().any(|byte| is_space(&byte)) {
        text.bytes().filter(|byte| !is_space(byte)).collect()
    } else {
        text.as_bytes().into()
    };
    STANDARD.decode(&line).or_else(|error| URL_SAFE.decode(&line).map_err(|_| error))
}

/// The type of the image that these bytes begin.
pub(crate) fn image_kind(bytes: &[u8]) -> Option<ImageKind> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(ImageKind::Png),
        [0xff, 0xd8, 0xff, ..] => Some(ImageKind::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageKind::Webp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(ImageKind::Gif),
        _ => None,
    }
}

/// The type of the image that a text begins in Base64, or a `data:` URL.
pub(crate) fn base64_image(text: &str) -> Option<ImageKind> {
    let (_, encoded) = text.split_once(";base64,").unwrap_or(("", text));
    image_kind(&from_base64(encoded.get(..24)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_it_is_written_anywhere() {
        for text in ["+/+/QQ==", "-_-_QQ==", "+/+/QQ", "+/+/\r\nQQ==\n"] {
            assert_eq!(from_base64(text).unwrap(), [0xfb, 0xff, 0xbf, b'A'], "{text}");
        }
        assert!(from_base64("no base64!").is_err());
    }
}
