//! What is overhead: the light, the stars, the clouds, and what falls from them.

use tiny_skia::PathBuilder;

use super::Frame;
use crate::generator::provider::local::{
    canvas::{Canvas, Ink},
    dice::Dice,
    palette::{Palette, Tint},
    theme::{Motif, Theme},
};

const WHITE: Tint = Tint::hex(0x00ff_ffff);

/// Sky, stars, sun or moon, clouds.
pub(super) fn paint(canvas: &mut Canvas, theme: &Theme, palette: &Palette, frame: Frame, dice: &mut Dice) {
    let (wide, middle) = (canvas.aspect, frame.horizon * 0.55);
    canvas.rect(
        0.0,
        0.0,
        wide,
        middle + 0.002,
        Ink::Down { from: (0.0, palette.top), to: (middle, palette.middle) },
    );
    let below = Ink::Down { from: (middle, palette.middle), to: (frame.horizon, palette.horizon) };
    canvas.rect(0.0, middle, wide, 1.0 - middle, below);

    let night = theme.has(Motif::Night);
    if night && !theme.has(Motif::Rain) || theme.has(Motif::Stars) {
        stars(canvas, frame, dice);
    }
    let overcast = theme.has_any(&[Motif::Rain, Motif::Fog]) && !theme.has_any(&[Motif::Sun, Motif::Moon]);
    if !overcast {
        light(canvas, palette, frame, if night || theme.has(Motif::Moon) { Motif::Moon } else { Motif::Sun });
    }
    let count = if theme.has_any(&[Motif::Cloud, Motif::Rain]) { 9 } else { dice.pick(2, &[3, 4]) };
    let tint = if night { palette.middle.mix(palette.top, 0.3) } else { palette.horizon.mix(WHITE, 0.55) };
    for _ in 0..count {
        let (x, y) = (dice.between(-0.1, wide), dice.between(0.08, frame.horizon * 0.72));
        cloud(canvas, (x, y), dice.between(0.1, 0.26), tint, dice);
    }
}

/// What falls, and what hangs in the air.
pub(super) fn weather(canvas: &mut Canvas, theme: &Theme, palette: &Palette, dice: &mut Dice) {
    let wide = canvas.aspect;
    if theme.has(Motif::Fog) {
        for band in [0.46_f32, 0.58, 0.7] {
            let (clear, thick) = (palette.horizon.faint(0.0), palette.horizon.faint(0.55));
            canvas.rect(0.0, band, wide, 0.08, Ink::Down { from: (band, clear), to: (band + 0.08, thick) });
            canvas.rect(
                0.0,
                band + 0.08,
                wide,
                0.1,
                Ink::Down { from: (band + 0.08, thick), to: (band + 0.18, clear) },
            );
        }
    }
    if theme.has(Motif::Rain) {
        for width in [0.0011, 0.0022] {
            let mut streaks = PathBuilder::new();
            for _ in 0..110 {
                let (x, y) = (dice.between(-0.1, wide), dice.between(-0.1, 1.0));
                let length = dice.between(0.03, 0.08);
                streaks.move_to(x, y);
                streaks.line_to(length.mul_add(-0.22, x), y + length);
            }
            canvas.stroke(streaks, Ink::Flat(palette.light.faint(0.34)), width);
        }
    }
    if theme.has(Motif::Snow) {
        for (count, radius, strength) in [(170, 0.0022, 0.75), (70, 0.0044, 0.85), (18, 0.0085, 0.6)] {
            let mut flakes = PathBuilder::new();
            for _ in 0..count {
                flakes.push_circle(
                    dice.between(0.0, wide),
                    dice.between(0.0, 1.0),
                    radius * dice.between(0.7, 1.3),
                );
            }
            canvas.fill(flakes, Ink::Flat(WHITE.faint(strength)));
        }
    }
}

fn stars(canvas: &mut Canvas, frame: Frame, dice: &mut Dice) {
    for (count, radius, strength) in [(150, 0.0011, 0.6), (50, 0.0018, 0.85), (9, 0.0028, 1.0)] {
        let mut stars = PathBuilder::new();
        for _ in 0..count {
            let height = dice.unit().powf(1.4) * frame.horizon;
            stars.push_circle(dice.between(0.0, canvas.aspect), height, radius * dice.between(0.7, 1.2));
        }
        canvas.fill(stars, Ink::Flat(WHITE.faint(strength)));
    }
}

fn light(canvas: &mut Canvas, palette: &Palette, frame: Frame, which: Motif) {
    let (x, y) = frame.sun;
    let (disc, reach, strength) = if which == Motif::Moon { (0.058, 0.34, 0.4) } else { (0.07, 0.52, 0.75) };
    canvas.glow(x, y, reach, palette.light, strength);
    canvas.disc(x, y, disc, Ink::Flat(palette.light));
    if which == Motif::Moon {
        let sea = Ink::Flat(palette.light.mix(palette.middle, 0.16));
        for (across, down, size) in
            [(-0.35, -0.2, 0.26), (0.25, 0.3, 0.34), (0.3, -0.4, 0.16), (-0.25, 0.5, 0.14)]
        {
            canvas.disc(disc.mul_add(across, x), disc.mul_add(down, y), disc * size, sea);
        }
    }
}

/// A flat-bottomed heap of discs.
fn cloud(canvas: &mut Canvas, (x, y): (f32, f32), width: f32, tint: Tint, dice: &mut Dice) {
    let mut shape = PathBuilder::new();
    let count = 5_u8;
    for puff in 0..count {
        let along = (f32::from(puff) + 0.5) / f32::from(count);
        let radius = width * (0.09 + 0.13 * (along * std::f32::consts::PI).sin()) * dice.between(0.8, 1.2);
        shape.push_circle(width.mul_add(along, x), radius.mul_add(-0.5, y), radius);
    }
    let depth = width * 0.16;
    canvas.fill(
        shape,
        Ink::Down { from: (y - depth * 1.6, tint.faint(0.82)), to: (y + depth, tint.faint(0.0)) },
    );
}
