//! Draws the shop's pictures: a sky, a sun or moon, and hills, in colours that follow from the order.

use image::{
    ExtendedColorType, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use sha2::{Digest, Sha256};
use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, PathBuilder, Pixmap, Point, Shader, SpreadMode,
    Transform,
};

const HILLS: u8 = 4;
/// Points of a ridge.
const STEPS: u16 = 48;

/// Draws a square PNG of `size` pixels; `None` where `size` is none that can be drawn.
pub(in crate::demo) fn paint(prompt: &str, order: u64, size: u32) -> Option<Vec<u8>> {
    let mut dice = Dice::new(prompt, order);
    let mut canvas = Pixmap::new(size, size)?;
    #[expect(clippy::cast_precision_loss, reason = "sizes are a few thousand pixels at most")]
    let edge = size as f32;
    let hue = dice.roll();
    let night = dice.roll() < 0.4;

    let (zenith, horizon) = if night { (0.12, 0.34) } else { (0.52, 0.88) };
    let sky = LinearGradient::new(
        Point::from_xy(0.0, 0.0),
        Point::from_xy(0.0, edge),
        vec![
            GradientStop::new(0.0, tint(hue, 0.65, zenith)),
            GradientStop::new(1.0, tint(hue + 0.12, 0.8, horizon)),
        ],
        SpreadMode::Pad,
        Transform::identity(),
    )?;
    let everything = tiny_skia::Rect::from_xywh(0.0, 0.0, edge, edge)?;
    canvas.fill_rect(everything, &filled(sky), Transform::identity(), None);

    let light = PathBuilder::from_circle(
        edge * (0.2 + 0.6 * dice.roll()),
        edge * (0.15 + 0.3 * dice.roll()),
        edge * (0.05 + 0.07 * dice.roll()),
    )?;
    let glow = filled(Shader::SolidColor(tint(hue + 0.55, 0.7, 0.9)));
    canvas.fill_path(&light, &glow, FillRule::Winding, Transform::identity(), None);

    for hill in 0..HILLS {
        let depth = f32::from(hill + 1) / f32::from(HILLS);
        let ridge = ridge(&mut dice, edge, 0.45 + 0.4 * depth)?;
        let ground =
            filled(Shader::SolidColor(tint(hue + 0.05 * depth, 0.5, horizon * (1.0 - depth * 0.75))));
        canvas.fill_path(&ridge, &ground, FillRule::Winding, Transform::identity(), None);
    }
    encode(&canvas, size)
}

/// Hills from one edge to the other whose tops lie about `height` of the way down.
fn ridge(dice: &mut Dice, edge: f32, height: f32) -> Option<tiny_skia::Path> {
    let (phase, waves, swell) = (dice.roll() * 6.3, 1.0 + 2.5 * dice.roll(), 0.04 + 0.07 * dice.roll());
    let mut path = PathBuilder::new();
    path.move_to(0.0, edge);
    for step in 0..=STEPS {
        let along = f32::from(step) / f32::from(STEPS);
        let wave = (phase + along * waves * 6.3).sin() + 0.4 * (phase + along * waves * 17.0).sin();
        path.line_to(along * edge, edge * (height + swell * wave));
    }
    path.line_to(edge, edge);
    path.close();
    path.finish()
}

fn filled(shader: Shader<'_>) -> Paint<'_> {
    Paint { shader, ..Paint::default() }
}

/// A colour by hue (in turns), saturation and lightness.
fn tint(hue: f32, saturation: f32, lightness: f32) -> Color {
    let reach = saturation * lightness.min(1.0 - lightness);
    let channel = |offset: f32| {
        let k = (offset + hue.rem_euclid(1.0) * 12.0) % 12.0;
        (lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)).clamp(0.0, 1.0)
    };
    Color::from_rgba(channel(0.0), channel(8.0), channel(4.0), 1.0).unwrap_or(Color::BLACK)
}

fn encode(canvas: &Pixmap, size: u32) -> Option<Vec<u8>> {
    let opaque: Vec<u8> =
        canvas.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
        .write_image(&opaque, size, size, ExtendedColorType::Rgb8)
        .ok()?;
    Some(png)
}

/// Numbers in `0.0..1.0` that follow from the order.
struct Dice {
    faces: std::vec::IntoIter<u8>,
    seed: Vec<u8>,
}

impl Dice {
    fn new(prompt: &str, order: u64) -> Self {
        Self { faces: Vec::new().into_iter(), seed: [prompt.as_bytes(), &order.to_be_bytes()].concat() }
    }

    fn roll(&mut self) -> f32 {
        loop {
            if let Some(face) = self.faces.next() {
                return f32::from(face) / 256.0;
            }
            self.seed = Sha256::digest(&self.seed).to_vec();
            self.faces = self.seed.clone().into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_asked_size_and_is_not_blank() {
        let png = paint("a lighthouse", 1, 256).unwrap();
        let picture = image::load_from_memory(&png).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (256, 256));
        let (darkest, lightest) =
            picture.pixels().fold((255, 0), |(low, high), pixel| (pixel.0[0].min(low), pixel.0[0].max(high)));
        assert!(lightest - darkest > 40, "{darkest}..{lightest}");
    }

    #[test]
    fn every_order_is_another_picture() {
        assert_ne!(paint("a lighthouse", 1, 256), paint("a lighthouse", 2, 256));
        assert_eq!(paint("a lighthouse", 1, 256), paint("a lighthouse", 1, 256));
    }

    #[test]
    fn nothing_can_be_drawn_on_no_canvas() {
        assert_eq!(paint("a lighthouse", 1, 0), None);
    }
}
