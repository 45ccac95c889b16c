//! Where an image ends, by what it says itself: decoders forgive a missing end, and none looks behind it. A cut download
//! and a smuggled tail show here.

use crate::generator::order::Format;

const PNG_HEAD: usize = 8;
/// A chunk's length and name before its data, and its checksum behind.
const PNG_FRAME: usize = 12;
const JPEG_HEAD: usize = 2;

/// Whether `bytes` end where the image in them does.
pub(super) fn is_at_the_end(format: Format, bytes: &[u8]) -> bool {
    let end = match format {
        Format::Png => png(bytes),
        Format::Jpeg => jpeg(bytes),
        Format::WebP => webp(bytes),
    };
    end == Some(bytes.len())
}

/// Behind the first `IEND`.
fn png(bytes: &[u8]) -> Option<usize> {
    let mut at = PNG_HEAD;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?);
        let name = bytes.get(at.checked_add(4)?..at.checked_add(8)?)?;
        at = at.checked_add(PNG_FRAME)?.checked_add(usize::try_from(length).ok()?)?;
        if name == b"IEND" {
            return Some(at);
        }
    }
}

/// Behind the first end-of-image marker (ITU T.81, B.1.1) that is in no segment, as those of a thumbnail are.
fn jpeg(bytes: &[u8]) -> Option<usize> {
    let mut at = JPEG_HEAD;
    loop {
        // What is no marker is a scan's data.
        at = at.checked_add(bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?)?;
        let marker = *bytes.get(at.checked_add(1)?)?;
        at = match marker {
            // Filling.
            0xff => at.checked_add(1)?,
            // A byte of a scan, what stands between two parts of one, or a marker of nothing.
            0x00 | 0x01 | 0xd0..=0xd7 => at.checked_add(2)?,
            0xd9 => return at.checked_add(2),
            _ => {
                let length = u16::from_be_bytes(bytes.get(at.checked_add(2)?..)?.first_chunk().copied()?);
                at.checked_add(2)?.checked_add(usize::from(length).max(2))?
            }
        };
    }
}

/// As its head says.
fn webp(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(4..)?.first_chunk().copied()?);
    usize::try_from(length).ok()?.checked_add(8)
}
