//! What tells a picture from a blank, from noise, and from one that was cut and filled up: the statistics of one image.

use std::collections::HashMap;

use image::{DynamicImage, Rgba, RgbaImage, imageops::FilterType};

/// Pixels that are looked at: every k-th row and column of larger images, each with its own neighbours.
const LOOKED_AT: u32 = 512;

pub(super) struct Statistics {
    /// Bits of luma entropy.
    pub(super) entropy: f64,
    /// Standard deviation of luma.
    pub(super) luma_deviation: f64,
    /// Share of the commonest colour.
    pub(super) dominant: f64,
    /// Pearson's correlation of a pixel's luma with those to its right and below it; 1 where all are alike.
    pub(super) correlation: f64,
    /// Share of rows at the bottom that are all of one neutral grey.
    pub(super) grey_tail: f64,
    /// Whether there is a colour that is seen.
    pub(super) has_colour: bool,
}

impl Statistics {
    pub(super) fn of(pixels: &DynamicImage) -> Self {
        let rgba = pixels.to_rgba8();
        let step = |side: u32| side.div_ceil(LOOKED_AT).max(1) as usize;
        let (columns, rows) = (step(rgba.width()), step(rgba.height()));
        let mut levels = [0u32; 256];
        let mut colours = HashMap::<[u8; 4], u32>::new();
        let (mut total, mut coloured, mut pairs) = (0u32, 0u32, Pairs::default());
        for y in (0..rgba.height()).step_by(rows) {
            for x in (0..rgba.width()).step_by(columns) {
                let Some(pixel) = rgba.get_pixel_checked(x, y) else { continue };
                *colours.entry(pixel.0).or_default() += 1;
                let level = luma(*pixel);
                if let Some(count) = levels.get_mut(usize::from(level)) {
                    *count += 1;
                }
                total += 1;
                coloured += u32::from(has_colour(*pixel));
                let neighbours = [rgba.get_pixel_checked(x + 1, y), rgba.get_pixel_checked(x, y + 1)];
                for neighbour in neighbours.into_iter().flatten() {
                    pairs.add(brightness(*pixel), brightness(*neighbour));
                }
            }
        }
        let all = f64::from(total.max(1));
        let shares =
            || levels.iter().zip(0u32..).map(|(count, level)| (f64::from(*count) / all, f64::from(level)));
        let mean: f64 = shares().map(|(share, level)| share * level).sum();
        let variance: f64 = shares().map(|(share, level)| share * (level - mean).powi(2)).sum();
        let bits = shares().filter(|(share, _)| *share > 0.0).map(|(share, _)| share * share.recip().log2());
        let commonest = colours.values().copied().max().unwrap_or_default();
        Self {
            entropy: bits.sum(),
            luma_deviation: variance.sqrt(),
            dominant: f64::from(commonest) / all,
            correlation: pairs.correlation(),
            grey_tail: grey_tail(&rgba),
            has_colour: coloured > total / 1000,
        }
    }
}

/// More than a lossy coding makes of a grey.
fn has_colour(pixel: Rgba<u8>) -> bool {
    let [red, green, blue, alpha] = pixel.0;
    alpha > 0 && red.max(green).max(blue) - red.min(green).min(blue) > 12
}

/// Brightness, 0 to 255 (Rec. 601). What nobody can see has none.
fn luma(pixel: Rgba<u8>) -> u8 {
    let [.., alpha] = pixel.0;
    u8::try_from(thousandths(pixel) * u32::from(alpha) / 255_000).unwrap_or(u8::MAX)
}

/// The same of the colour alone: a cut-out's edge is no noise.
fn brightness(pixel: Rgba<u8>) -> f64 {
    f64::from(thousandths(pixel)) / 1000.0
}

fn thousandths(pixel: Rgba<u8>) -> u32 {
    let [red, green, blue, _] = pixel.0;
    u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114
}

/// Sums over pairs of neighbours.
#[derive(Default)]
struct Pairs {
    count: f64,
    one: f64,
    other: f64,
    one_squared: f64,
    other_squared: f64,
    product: f64,
}

impl Pairs {
    fn add(&mut self, one: f64, other: f64) {
        self.count += 1.0;
        self.one += one;
        self.other += other;
        self.one_squared += one * one;
        self.other_squared += other * other;
        self.product += one * other;
    }

    fn correlation(&self) -> f64 {
        let n = self.count.max(1.0);
        let covariance = self.product / n - self.one / n * (self.other / n);
        let variance = |sum: f64, squares: f64| squares / n - (sum / n).powi(2);
        let spread = (variance(self.one, self.one_squared) * variance(self.other, self.other_squared)).sqrt();
        if spread < 1e-9 { 1.0 } else { covariance / spread }
    }
}

/// What decoders fill in where data ends: zero coefficients, which are mid-grey.
fn grey_tail(rgba: &RgbaImage) -> f64 {
    let is_grey = |pixel: &Rgba<u8>| {
        let [red, green, blue, _] = pixel.0;
        (120..=136).contains(&red) && red.abs_diff(green) <= 2 && green.abs_diff(blue) <= 2
    };
    let rows = rgba.rows().rev().take_while(|row| row.clone().all(is_grey)).count();
    #[expect(clippy::cast_precision_loss, reason = "rows of an image")]
    let rows = rows as f64;
    rows / f64::from(rgba.height().max(1))
}

/// 64 bits of whether a pixel is brighter than the one to its left, of 9 by 8: near for pictures that look alike.
pub(super) fn difference_hash(pixels: &DynamicImage) -> u64 {
    let small = pixels.resize_exact(9, 8, FilterType::Triangle).to_luma8();
    let mut hash = 0;
    for row in small.rows() {
        let levels: Vec<u8> = row.map(|pixel| pixel.0.first().copied().unwrap_or_default()).collect();
        for pair in levels.windows(2) {
            let brighter = matches!(pair, [left, right] if right > left);
            hash = hash << 1 | u64::from(brighter);
        }
    }
    hash
}
