//! Images, judged by what they are and never by how alike they look: two artists never draw the same pixels, and a
//! black picture is as near to the control as a good one.

mod inspect;
mod statistics;
mod thumbnail;

use self::inspect::{Arm, Colours, Seen, Traits, inspect};
use super::{Findings, Readable, header::media_type, status};
use crate::parallel_run::{
    answer::Answer,
    comparison::{Alarm, DifferenceKind, ImageRecord, Outcome},
    sample::sha256_hex,
    settings::ImageLimits,
};

/// Correlation of neighbours below which an image is noise: of white noise it is 0, of noise that JPEG has smoothed at
/// most 0.35, and of the busiest photograph or drawing more than 0.7.
const MIN_CORRELATION: f64 = 0.5;
/// Share of rows at the bottom, all of one neutral grey, from which on an image was cut and filled up.
const MAX_GREY_TAIL: f64 = 0.04;

pub(super) fn compare(
    limits: &ImageLimits,
    control: &Answer,
    candidate: &Answer,
    findings: &mut Findings,
) -> Readable {
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
    let mut readable = Readable::Yes;
    for (index, (one, other)) in ours.iter().zip(&theirs).enumerate() {
        let path = format!("image:{index}");
        let pair =
            Pair { path, ours: one, controls: &ours, theirs: other, asked: candidate, limits, findings };
        if pair.judge() == Readable::No {
            readable = Readable::No;
        }
    }
    findings.images.extend(ours.into_iter().chain(theirs).map(|seen| seen.record));
    readable
}

/// One image of each arm.
struct Pair<'a> {
    path: String,
    ours: &'a Seen,
    /// Every image of the control's answer.
    controls: &'a [Seen],
    theirs: &'a Seen,
    asked: &'a Answer,
    limits: &'a ImageLimits,
    findings: &'a mut Findings,
}

impl Pair<'_> {
    fn judge(mut self) -> Readable {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        self.must_match("delivery", &ours.delivery, &theirs.delivery);
        match (&self.ours.problem, &self.theirs.problem) {
            (Some(problem), Some(others)) => {
                self.tell(problem, others);
                // What nobody has seen of the control is held against nobody; what both have and nobody can read is
                // as good as not compared.
                return if self.ours.is_had() { self.unread() } else { Readable::Yes };
            }
            (Some(ours), None) => self.tell(ours, "an image"),
            (None, Some(theirs)) => {
                self.fail("an image", theirs);
                return Readable::Yes;
            }
            (None, None) => {}
        }
        self.format();
        self.size();
        self.traits();
        self.content();
        Readable::Yes
    }

    /// Bytes of a kind that is not decoded here, as far as they tell themselves.
    fn unread(&mut self) -> Readable {
        if !self.theirs.is_had() {
            self.fail("an image", self.theirs.problem.as_deref().unwrap_or_default());
            return Readable::Yes;
        }
        self.format();
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        if ours.hash == theirs.hash { Readable::Yes } else { Readable::No }
    }

    /// Declared, sniffed and asked are one type.
    fn format(&mut self) {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        let sniffed = theirs.sniffed.as_deref().unwrap_or("unknown");
        // Of a kind that is not known by its first bytes nothing can be said, where the control's is none either.
        let is_told = theirs.sniffed.is_some() || ours.sniffed.is_some();
        if let Some(declared) = theirs.declared.as_deref()
            && is_told
            && !same_type(declared, sniffed)
        {
            self.fail(&format!("declared {declared}"), &format!("is {sniffed}"));
        }
        match (self.asked.asked.format.as_deref(), ours.sniffed.as_deref()) {
            (Some(asked), _) if is_told && !same_type(asked, sniffed) => {
                self.fail(&format!("asked {asked}"), sniffed);
            }
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
        let colour = |traits: Traits| if traits.colours == Colours::None { "grey" } else { "colour" };
        // A grey picture may be written with colours that it has not.
        if [ours, theirs].iter().any(|traits| traits.colours == Colours::Seen) {
            self.must_match("colours", colour(ours), colour(theirs));
        }
        let orientation = |traits: Traits| format!("{:?}", traits.orientation).to_lowercase();
        self.must_match("orientation", &orientation(ours), &orientation(theirs));
        let moves = |traits: Traits| if traits.animated { "animated" } else { "still" };
        self.must_match("picture", moves(ours), moves(theirs));
        if self.asked.asked.transparent && !theirs.alpha {
            self.fail("asked for transparency", "no alpha");
        } else if ours.alpha != theirs.alpha {
            let alpha = |traits: Traits| if traits.alpha { "alpha" } else { "no alpha" };
            self.tell(alpha(ours), alpha(theirs));
        }
    }

    fn content(&mut self) {
        let (ours, theirs) = (&self.ours.record, &self.theirs.record);
        if self.controls.iter().any(|control| control.record.hash == theirs.hash) {
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
        } else if is_noise(theirs) && (self.ours.problem.is_some() || !is_noise(ours)) {
            let text = |record: &ImageRecord| format!("neighbours correlate by {:.2}", record.correlation);
            self.fail(&text(ours), &format!("noise: {}", text(theirs)));
        }
        let tail = |seen: &Seen| seen.traits.map_or(0.0, |traits| traits.grey_tail);
        if tail(self.theirs) > MAX_GREY_TAIL && tail(self.ours) <= MAX_GREY_TAIL {
            let share = tail(self.theirs) * 100.0;
            self.fail("a whole picture", &format!("grey from {:.0} % of its height on", 100.0 - share));
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

fn is_noise(record: &ImageRecord) -> bool {
    record.correlation < MIN_CORRELATION
}

/// The hash by which bodies and images are told apart.
pub(crate) fn hash(bytes: &[u8]) -> String {
    sha256_hex([bytes])
}
