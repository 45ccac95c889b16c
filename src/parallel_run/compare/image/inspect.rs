//! What one image is: its type, size, colours and pixels, as far as it decodes.

use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits, metadata::Orientation};

use super::{
    statistics::{self, Statistics},
    thumbnail,
};
use crate::parallel_run::{
    answer::FetchedImage,
    comparison::ImageRecord,
    encoding::{self, ImageKind},
};

/// Pixels of one image, decoded.
const MAX_PIXELS: u64 = 64 << 20;

/// What is known of one image.
pub(super) struct Seen {
    pub(super) record: ImageRecord,
    pub(super) traits: Option<Traits>,
    /// Why it could not be had or decoded.
    pub(super) problem: Option<String>,
}

/// What must agree and is not in the record.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Traits {
    pub(super) colours: Colours,
    pub(super) alpha: bool,
    pub(super) animated: bool,
    pub(super) orientation: Orientation,
    /// Share of rows at the bottom that are all of one neutral grey.
    pub(super) grey_tail: f64,
}

/// What an image has of colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// It is written in grey.
    None,
    /// It could have some, and shows none.
    Unseen,
    /// It shows them.
    Seen,
}

impl Seen {
    /// Whether its bytes are there, readable or not.
    pub(super) fn is_had(&self) -> bool {
        !self.record.hash.is_empty()
    }
}

/// Which arm an image is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    Control,
    Candidate,
}

/// Looks at one image, the `index`th of its answer.
pub(super) fn inspect(image: &FetchedImage, index: usize, arm: Arm) -> Seen {
    let mut record = ImageRecord {
        candidate: arm == Arm::Candidate,
        index,
        delivery: image.delivery.as_str().to_owned(),
        sniffed: None,
        declared: image.declared.clone(),
        width: 0,
        height: 0,
        color: String::new(),
        bytes: 0,
        decodes: false,
        entropy: 0.0,
        luma_deviation: 0.0,
        dominant: 0.0,
        hash: String::new(),
        alpha: false,
        orientation: String::new(),
        correlation: 0.0,
        difference_hash: None,
        thumbnail: None,
    };
    let bytes = match &image.bytes {
        Ok(bytes) => bytes,
        Err(why) => return Seen { record, traits: None, problem: Some(format!("not to be had: {why}")) },
    };
    record.bytes = bytes.len() as u64;
    record.hash = super::hash(bytes);
    record.sniffed = encoding::image_kind(bytes).map(|kind| kind.as_str().to_owned());
    match decode(bytes) {
        Ok((pixels, orientation)) => {
            let color = pixels.color();
            (record.width, record.height) = (pixels.width(), pixels.height());
            record.color = format!("{color:?}").to_lowercase();
            record.decodes = true;
            record.thumbnail = thumbnail::of(&pixels);
            let statistics = Statistics::of(&pixels);
            record.entropy = statistics.entropy;
            record.luma_deviation = statistics.luma_deviation;
            record.dominant = statistics.dominant;
            record.correlation = statistics.correlation;
            record.difference_hash = Some(statistics::difference_hash(&pixels));
            record.alpha = color.has_alpha();
            record.orientation = format!("{orientation:?}").to_lowercase();
            let traits = Traits {
                colours: match (color.has_color(), statistics.has_colour) {
                    (false, _) => Colours::None,
                    (true, false) => Colours::Unseen,
                    (true, true) => Colours::Seen,
                },
                alpha: color.has_alpha(),
                animated: is_animated(bytes),
                orientation,
                grey_tail: statistics.grey_tail,
            };
            Seen { record, traits: Some(traits), problem: None }
        }
        Err(why) => Seen { record, traits: None, problem: Some(format!("does not decode: {why}")) },
    }
}

/// The whole image, within limits; a cut one is an error even where the decoder would fill in the rest.
fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    let mut reader = ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let ended = match reader.format() {
        Some(ImageFormat::Jpeg) => {
            bytes.ends_with(&[0xff, 0xd9]) || bytes.windows(2).rev().take(1024).any(|w| w == [0xff, 0xd9])
        }
        Some(ImageFormat::Png) => bytes.windows(4).rev().take(1024).any(|w| w == b"IEND"),
        Some(ImageFormat::WebP) => riff_is_whole(bytes),
        _ => true,
    };
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width}x{height} is too large"));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let pixels = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    if ended { Ok((pixels, orientation)) } else { Err("it ends before its end".to_owned()) }
}

/// RFC 9649, 2.4: the size that the file says it has.
fn riff_is_whole(bytes: &[u8]) -> bool {
    let Some([a, b, c, d]) = bytes.get(4..8) else { return false };
    let said = u32::from_le_bytes([*a, *b, *c, *d]);
    usize::try_from(said).is_ok_and(|said| said.saturating_add(8) <= bytes.len())
}

/// Whether it holds more than one frame: an animation control chunk before a PNG's first data, or the flag of a WebP.
fn is_animated(bytes: &[u8]) -> bool {
    match encoding::image_kind(bytes) {
        Some(ImageKind::Png) => {
            let data = bytes.windows(4).position(|chunk| chunk == b"IDAT").unwrap_or(bytes.len());
            bytes.get(..data).is_some_and(|head| head.windows(4).any(|chunk| chunk == b"acTL"))
        }
        Some(ImageKind::Webp) => {
            bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 0b10 != 0)
        }
        Some(ImageKind::Jpeg | ImageKind::Gif) | None => false,
    }
}
