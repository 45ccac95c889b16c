//! A landscape, painted from the horizon to one's feet.

mod land;
mod sky;
mod thing;

use super::{
    canvas::Canvas,
    dice::Dice,
    palette::Palette,
    theme::{Motif, Theme},
};

/// Where sky and land meet, and where the light stands.
#[derive(Clone, Copy, Debug)]
struct Frame {
    horizon: f32,
    sun: (f32, f32),
}

/// Paints a theme.
pub(super) fn compose(canvas: &mut Canvas, theme: &Theme, dice: &mut Dice) {
    let palette = Palette::of(theme, dice);
    let low = theme.has_any(&[Motif::Sunset, Motif::Dawn]) && !theme.has(Motif::City);
    let horizon = dice.between(0.58, 0.66);
    let height = if low { horizon - dice.between(0.06, 0.14) } else { dice.between(0.18, 0.3) };
    let side = dice.pick(0.3, &[0.38, 0.5, 0.62, 0.7]);
    let frame = Frame { horizon, sun: (canvas.aspect * side, height) };

    sky::paint(canvas, theme, &palette, frame, dice);
    land::paint(canvas, theme, &palette, frame, dice);
    thing::paint(canvas, theme, &palette, frame, dice);
    sky::weather(canvas, theme, &palette, dice);
}
