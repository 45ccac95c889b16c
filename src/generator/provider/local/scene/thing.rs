//! What stands, swims or flies in the landscape.

use std::f32::consts::{FRAC_PI_2, TAU};

use tiny_skia::PathBuilder;

use super::Frame;
use crate::generator::provider::local::{
    canvas::{Canvas, Ink},
    dice::Dice,
    palette::{Palette, Tint},
    theme::{Motif, Theme},
};

const SAIL: Tint = Tint::hex(0x00fd_f6e8);
const RED: Tint = Tint::hex(0x00d6_4545);
const GOLD: Tint = Tint::hex(0x00e9_b44c);
const INK: Tint = Tint::hex(0x001b_1f33);

/// Every thing that the theme names.
pub(super) fn paint(canvas: &mut Canvas, theme: &Theme, palette: &Palette, frame: Frame, dice: &mut Dice) {
    let wide = canvas.aspect;
    if theme.has(Motif::Boat) || theme.has(Motif::Sea) && !theme.has(Motif::City) && dice.chance(0.6) {
        let at = (wide * dice.between(0.25, 0.75), frame.horizon + dice.between(0.07, 0.14));
        boat(canvas, palette, at, dice.between(0.13, 0.19));
    }
    if theme.has(Motif::House) {
        house(canvas, palette, (wide * dice.between(0.2, 0.7), 0.86), 0.17);
    }
    if theme.has(Motif::Flower) {
        flowers(canvas, palette, dice);
    }
    if theme.has(Motif::Balloon) {
        for (size, drop) in [(0.11, 0.3), (0.06, 0.2), (0.045, 0.4)] {
            let at = (wide * dice.between(0.15, 0.85), drop + dice.between(-0.05, 0.05));
            balloon(canvas, at, size, dice);
        }
    }
    if theme.has(Motif::Bird) || theme.has_any(&[Motif::Day, Motif::Sunset]) && !theme.has(Motif::Rain) {
        birds(canvas, palette, frame, dice);
    }
    if theme.has(Motif::Clock) {
        let side = if frame.sun.0 > wide / 2.0 { 0.36 } else { 0.64 };
        clock(canvas, palette, (wide * side, 0.4), 0.2, dice);
    }
}

fn boat(canvas: &mut Canvas, palette: &Palette, (x, y): (f32, f32), size: f32) {
    let at = |across: f32, up: f32| (size.mul_add(across, x), size.mul_add(-up, y));
    let mut hull = PathBuilder::new();
    for (index, point) in [(-0.5, 0.1), (0.55, 0.1), (0.38, -0.1), (-0.34, -0.1)].into_iter().enumerate() {
        let (x, y) = at(point.0, point.1);
        if index == 0 { hull.move_to(x, y) } else { hull.line_to(x, y) }
    }
    hull.close();
    canvas.fill(hull, Ink::Flat(palette.near.mix(RED, 0.35)));
    for (foot, side, top, shade) in [(0.02_f32, 0.5_f32, 0.95_f32, 0.0), (-0.05, -0.36, 0.8, 0.16)] {
        let mut sail = PathBuilder::new();
        let (ax, ay) = at(foot, top);
        let (bx, by) = at(foot, 0.16);
        let (cx, cy) = at(side, 0.2);
        let (mx, my) = at(side * 0.75, top * 0.62);
        sail.move_to(ax, ay);
        sail.line_to(bx, by);
        sail.line_to(cx, cy);
        sail.quad_to(mx, my, ax, ay);
        sail.close();
        canvas.fill(sail, Ink::Flat(SAIL.mix(palette.middle, 0.15 + shade)));
    }
    canvas.rect(
        size.mul_add(-0.4, x),
        size.mul_add(0.13, y),
        size * 0.84,
        size * 0.02,
        Ink::Flat(palette.near.faint(0.4)),
    );
}

fn house(canvas: &mut Canvas, palette: &Palette, (x, ground): (f32, f32), size: f32) {
    let wall = palette.near.mix(SAIL, 0.5);
    canvas.rect(x, ground - size * 0.6, size, size * 0.7, Ink::Flat(wall));
    canvas.rect(size.mul_add(0.68, x), ground - size * 1.1, size * 0.12, size * 0.4, Ink::Flat(palette.near));
    let mut roof = PathBuilder::new();
    roof.move_to(size.mul_add(-0.12, x), ground - size * 0.58);
    roof.line_to(size.mul_add(0.5, x), ground - size * 1.12);
    roof.line_to(size.mul_add(1.12, x), ground - size * 0.58);
    roof.close();
    canvas.fill(roof, Ink::Flat(palette.near.mix(RED, 0.5)));
    canvas.glow(size.mul_add(0.3, x), ground - size * 0.3, size * 0.5, GOLD, 0.4);
    for across in [0.18, 0.62] {
        canvas.rect(
            size.mul_add(across, x),
            ground - size * 0.42,
            size * 0.2,
            size * 0.2,
            Ink::Flat(Tint::hex(0x00ff_e0a0)),
        );
    }
    canvas.rect(
        size.mul_add(0.43, x),
        ground - size * 0.26,
        size * 0.15,
        size * 0.36,
        Ink::Flat(palette.near),
    );
}

fn flowers(canvas: &mut Canvas, palette: &Palette, dice: &mut Dice) {
    for row in 0_u8..3 {
        let depth = f32::from(row) / 2.0;
        let petal = 0.008 + 0.012 * depth;
        for _ in 0..(30 - 8 * row) {
            let (x, y) = (dice.between(0.0, canvas.aspect), 0.8 + 0.17 * depth + dice.between(-0.03, 0.03));
            let tint = dice.pick(0x00ff_5d73, &[0x00ff_c145, 0x00f7_f7ff, 0x00c7_7dff, 0x00ff_8fab]);
            let mut stem = PathBuilder::new();
            stem.move_to(x, y);
            stem.line_to(x + dice.between(-0.006, 0.006), y + petal * 4.0);
            canvas.stroke(stem, Ink::Flat(palette.near.mix(Tint::hex(0x0046_8c3a), 0.5)), petal * 0.22);
            let mut head = PathBuilder::new();
            for leaf in 0_u8..5 {
                let (sin, cos) = (f32::from(leaf) * TAU / 5.0).sin_cos();
                head.push_circle(petal.mul_add(cos * 0.8, x), petal.mul_add(sin * 0.8, y), petal * 0.62);
            }
            canvas.fill(head, Ink::Flat(Tint::hex(tint).mix(palette.far, 0.25 * (1.0 - depth))));
            canvas.disc(x, y, petal * 0.45, Ink::Flat(GOLD));
        }
    }
}

fn balloon(canvas: &mut Canvas, (x, y): (f32, f32), size: f32, dice: &mut Dice) {
    let first = Tint::hex(dice.pick(0x00d6_4545, &[0x002a_9d8f, 0x00f4_a261, 0x0045_7b9d]));
    for (width, tint) in [(1.0, first), (0.62, SAIL), (0.26, first)] {
        let mut envelope = PathBuilder::new();
        let half = size * width;
        envelope.move_to(x, y - size);
        envelope.cubic_to(
            x + half * 1.3,
            y - size,
            x + half * 1.25,
            y + size * 0.35,
            half.mul_add(0.22, x),
            y + size,
        );
        envelope.line_to(half.mul_add(-0.22, x), y + size);
        envelope.cubic_to(x - half * 1.25, y + size * 0.35, x - half * 1.3, y - size, x, y - size);
        envelope.close();
        canvas.fill(
            envelope,
            Ink::Down { from: (y - size, tint.mix(SAIL, 0.15)), to: (y + size, tint.mix(INK, 0.2)) },
        );
    }
    let mut ropes = PathBuilder::new();
    for side in [-0.16, 0.16] {
        ropes.move_to(size.mul_add(side, x), y + size);
        ropes.line_to(size.mul_add(side * 0.7, x), y + size * 1.28);
    }
    canvas.stroke(ropes, Ink::Flat(INK), size * 0.02);
    canvas.rect(
        size.mul_add(-0.15, x),
        y + size * 1.26,
        size * 0.3,
        size * 0.22,
        Ink::Flat(Tint::hex(0x007a_4a26)),
    );
}

fn birds(canvas: &mut Canvas, palette: &Palette, frame: Frame, dice: &mut Dice) {
    let (flock_x, flock_y) =
        (canvas.aspect * dice.between(0.2, 0.7), frame.horizon * dice.between(0.25, 0.6));
    for _ in 0..dice.pick(4, &[5, 6, 7]) {
        let (x, y) = (flock_x + dice.between(-0.14, 0.14), flock_y + dice.between(-0.06, 0.06));
        let span = dice.between(0.009, 0.019);
        let mut wings = PathBuilder::new();
        wings.move_to(x - span, span.mul_add(-0.35, y));
        wings.quad_to(span.mul_add(-0.4, x), span.mul_add(-0.6, y), x, y);
        wings.quad_to(span.mul_add(0.4, x), span.mul_add(-0.6, y), x + span, span.mul_add(-0.35, y));
        canvas.stroke(wings, Ink::Flat(palette.near.faint(0.8)), span * 0.14);
    }
}

/// A great clock face, hanging in the sky like a second moon.
fn clock(canvas: &mut Canvas, palette: &Palette, (x, y): (f32, f32), radius: f32, dice: &mut Dice) {
    canvas.glow(x, y, radius * 1.9, palette.light, 0.5);
    canvas.disc(
        x,
        y,
        radius * 1.09,
        Ink::Down { from: (y - radius, GOLD.mix(SAIL, 0.3)), to: (y + radius, GOLD.mix(INK, 0.45)) },
    );
    canvas.disc(x, y, radius, Ink::Flat(INK));
    canvas.disc(
        x,
        y,
        radius * 0.965,
        Ink::Down { from: (y - radius, SAIL), to: (y + radius, SAIL.mix(palette.middle, 0.3)) },
    );
    let spoke = |turn: f32, from: f32, to: f32| {
        let (sin, cos) = turn.mul_add(TAU, -FRAC_PI_2).sin_cos();
        let mut line = PathBuilder::new();
        line.move_to((radius * from).mul_add(cos, x), (radius * from).mul_add(sin, y));
        line.line_to((radius * to).mul_add(cos, x), (radius * to).mul_add(sin, y));
        line
    };
    for minute in 0_u8..60 {
        let (from, thick) = if minute % 15 == 0 {
            (0.74, 0.034)
        } else if minute % 5 == 0 {
            (0.8, 0.02)
        } else {
            (0.87, 0.008)
        };
        canvas.stroke(spoke(f32::from(minute) / 60.0, from, 0.9), Ink::Flat(INK), radius * thick);
    }
    let (hour, minutes) = (dice.between(0.0, 12.0).floor(), dice.between(0.0, 60.0).floor());
    canvas.stroke(spoke((hour + minutes / 60.0) / 12.0, -0.1, 0.5), Ink::Flat(INK), radius * 0.055);
    canvas.stroke(spoke(minutes / 60.0, -0.14, 0.78), Ink::Flat(INK), radius * 0.034);
    canvas.stroke(spoke(dice.unit(), -0.2, 0.84), Ink::Flat(RED), radius * 0.012);
    canvas.disc(x, y, radius * 0.05, Ink::Flat(GOLD));
}
