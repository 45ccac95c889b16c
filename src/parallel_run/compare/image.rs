//! Images, judged by what they are and never by how alike they look: two artists never draw the same pixels, and a
//! black picture is as near to the control as a good one.

mod thumbnail;

use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits, metadata::Orientation};
use sha2::{Digest as _, Sha256};

use super::{Findings, header::media_type, status};
use crate::parallel_run::{
    answer::{Answer, FetchedImage},
    calibration::class,
    comparison::{Alarm, DifferenceKind, ImageRecord, Outcome},
    settings::ImageLimits,
};

/// Pixels of one image, decoded.
const MAX_PIXELS: u64 = 64 << 20;
/// Pixels that are looked at for entropy and brightness: every k-th row and column of larger images.
const LOOKED_AT: u32 = 512;

/// What is known of one image.
struct Seen {
    record: ImageRecord,
    traits: Option<Traits>,
    /// Why it could not be had or decoded.
    problem: Option<String>,
}

/// What must agree and is not in the record.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Traits {
    grey: bool,
    alpha: bool,
    orientation: Orientation,
}

pub(super) fn compare(limits: &ImageLimits, control: &Answer, candidate: &Answer, findings: &mut Findings) {
    let look = |answer: &Answer, arm| -> Vec<Seen> {
        answer.images.iter().enumerate().map(|(index, image)| inspect(image, index, arm)).collect()
    };
    let (ours, theirs) = (look(control, Arm::Control), look(candidate, Arm::Candidate));
    let wanted = candidate.asked.n.map_or(ours.len(), |n| n as usize);
    let refused = status::outcome(control.status) != Outcome::Ok;
    if !refused && (theirs.len() != ours.len() || theirs.len() != wanted && ours.len() == wanted) {
        let (ours, theirs) = (ours.len().to_string(), theirs.len().to_string());
        findings.failure("images", DifferenceKind::Length, Some(&ours), Some(&theirs));
        findings.alarm(Alarm::WrongCount);
    }
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        Pair { path: format!("image:{index}"), ours, theirs, asked: candidate, limits, findings }.judge();
    }
    findings.images.extend(ours.into_iter().chain(theirs).map(|seen| seen.record));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Control,
    Candidate,
}

/// One image of each arm.
struct Pair<'a> {
    path: String,
    ours: &'a Seen,
    theirs: &'a Seen,
    asked: &'a Answer,
    limits: &'a ImageLimits,
    findings: &'a mut Findings,
}

impl Pair<'_> {
    fn judge(mut self) {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        self.must_match("delivery", &ours.delivery, &theirs.delivery);
        match (&self.ours.problem, &self.theirs.problem) {
            (Some(ours), Some(theirs)) => return self.tell(ours, theirs),
            (Some(ours), None) => self.tell(ours, "an image"),
            (None, Some(theirs)) => return self.fail("an image", theirs),
            (None, None) => {}
        }
        self.format();
        self.size();
        self.traits();
        self.content();
    }

    /// Declared, sniffed and asked are one type.
    fn format(&mut self) {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        let sniffed = theirs.sniffed.as_deref().unwrap_or("unknown");
        if let Some(declared) = theirs.declared.as_deref()
            && !same_type(declared, sniffed)
        {
            self.fail(&format!("declared {declared}"), &format!("is {sniffed}"));
        }
        match (self.asked.asked.format.as_deref(), ours.sniffed.as_deref()) {
            (Some(asked), _) if !same_type(asked, sniffed) => self.fail(&format!("asked {asked}"), sniffed),
            (None, Some(control)) if control != sniffed => self.fail(control, sniffed),
            _ => {}
        }
    }

    /// As asked; where nothing was asked, as the control's.
    fn size(&mut self) {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        let control = (self.ours.problem.is_none()).then_some((ours.width, ours.height));
        let Some(wanted) = self.asked.asked.size.or(control) else { return };
        let is = (theirs.width, theirs.height);
        let text = |(width, height): (u32, u32)| format!("{width}x{height}");
        if is != wanted {
            self.fail(&text(wanted), &text(is));
            self.findings.alarm(Alarm::WrongSize);
        } else if let Some(control) = control
            && control != is
        {
            self.tell(&text(control), &text(is));
        }
    }

    fn traits(&mut self) {
        let (Some(ours), Some(theirs)) = (self.ours.traits, self.theirs.traits) else { return };
        let colour = |traits: Traits| if traits.grey { "grey" } else { "colour" };
        self.must_match("colours", colour(ours), colour(theirs));
        let orientation = |traits: Traits| format!("{:?}", traits.orientation).to_lowercase();
        self.must_match("orientation", &orientation(ours), &orientation(theirs));
        if ours.alpha != theirs.alpha {
            let alpha = |traits: Traits| if traits.alpha { "alpha" } else { "no alpha" };
            self.tell(alpha(ours), alpha(theirs));
        }
    }

    fn content(&mut self) {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        if ours.hash == theirs.hash {
            self.fail("an image", "the control's image, byte for byte");
            self.findings.alarm(Alarm::CopyOfControl);
        }
        let blank = |record: &ImageRecord| {
            record.luma_deviation < self.limits.min_luma_deviation
                || record.entropy < self.limits.min_entropy
                || record.dominant > self.limits.max_dominant
        };
        if blank(theirs) && (self.ours.problem.is_some() || !blank(ours)) {
            let text = |record: &ImageRecord| {
                format!(
                    "luma deviation {:.1}, entropy {:.2} bit, one colour {:.1} %",
                    record.luma_deviation,
                    record.entropy,
                    record.dominant * 100.0
                )
            };
            self.fail(&text(ours), &format!("blank: {}", text(theirs)));
            self.findings.alarm(Alarm::Blank);
        }
    }

    fn must_match(&mut self, what: &str, control: &str, candidate: &str) {
        if control != candidate {
            self.fail(&format!("{what} {control}"), &format!("{what} {candidate}"));
        }
    }

    fn fail(&mut self, control: &str, candidate: &str) {
        self.findings.failure(self.path.as_str(), DifferenceKind::Image, Some(control), Some(candidate));
    }

    fn tell(&mut self, control: &str, candidate: &str) {
        self.findings.info(self.path.as_str(), DifferenceKind::Image, Some(control), Some(candidate));
    }
}

/// `image/jpg`, `jpg` and `jpeg` are one type.
fn same_type(one: &str, two: &str) -> bool {
    let bare = |name: &str| match media_type(name).trim_start_matches("image/") {
        "jpg" | "pjpeg" => "jpeg".to_owned(),
        other => other.to_owned(),
    };
    bare(one) == bare(two)
}

fn inspect(image: &FetchedImage, index: usize, arm: Arm) -> Seen {
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
        thumbnail: None,
    };
    let bytes = match &image.bytes {
        Ok(bytes) => bytes,
        Err(why) => return Seen { record, traits: None, problem: Some(format!("not to be had: {why}")) },
    };
    record.bytes = bytes.len() as u64;
    record.hash = sha256_hex(bytes);
    record.sniffed = class::image_kind(bytes).map(|kind| kind.as_str().to_owned());
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
            let traits = Traits { grey: !color.has_color(), alpha: color.has_alpha(), orientation };
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

/// What tells a picture from a blank.
struct Statistics {
    entropy: f64,
    luma_deviation: f64,
    dominant: f64,
}

impl Statistics {
    fn of(pixels: &DynamicImage) -> Self {
        let step = |side: u32| (side.div_ceil(LOOKED_AT)).max(1) as usize;
        let (columns, rows) = (step(pixels.width()), step(pixels.height()));
        let rgba = pixels.to_rgba8();
        let mut luma = [0u32; 256];
        let mut colours = std::collections::HashMap::<[u8; 4], u32>::new();
        let mut total = 0u32;
        for row in rgba.rows().step_by(rows) {
            for pixel in row.step_by(columns) {
                let [red, green, blue, alpha] = pixel.0;
                *colours.entry([red, green, blue, alpha]).or_default() += 1;
                // What nobody can see has no brightness.
                let visible = u32::from(alpha);
                let weighted = u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114;
                let level = (weighted * visible / 255_000).min(255) as usize;
                if let Some(count) = luma.get_mut(level) {
                    *count += 1;
                }
                total += 1;
            }
        }
        let all = f64::from(total.max(1));
        let shares =
            || luma.iter().zip(0u32..).map(|(count, level)| (f64::from(*count) / all, f64::from(level)));
        let mean: f64 = shares().map(|(share, level)| share * level).sum();
        let variance: f64 = shares().map(|(share, level)| share * (level - mean).powi(2)).sum();
        let bits = shares().filter(|(share, _)| *share > 0.0).map(|(share, _)| -share * share.log2());
        let commonest = colours.values().copied().max().unwrap_or_default();
        Self { entropy: bits.sum(), luma_deviation: variance.sqrt(), dominant: f64::from(commonest) / all }
    }
}

/// SHA-256, hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
