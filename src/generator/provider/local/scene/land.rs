//! What lies below the sky: ridges, water, woods, houses, sand, grass.

use tiny_skia::PathBuilder;

use super::Frame;
use crate::generator::provider::local::{
    canvas::{Canvas, Ink},
    dice::Dice,
    palette::{Palette, Tint},
    theme::{Motif, Theme},
};

const GREEN: Tint = Tint::hex(0x001f_5a3c);
const MEADOW: Tint = Tint::hex(0x006c_9a3e);
const SAND: Tint = Tint::hex(0x00d9_9a55);
const STONE: Tint = Tint::hex(0x0043_5a78);
const WATER: Tint = Tint::hex(0x0014_6b80);
const SNOW: Tint = Tint::hex(0x00f6_f8fc);
const LAMP: Tint = Tint::hex(0x00ff_d58a);

/// Everything from the horizon down.
pub(super) fn paint(canvas: &mut Canvas, theme: &Theme, palette: &Palette, frame: Frame, dice: &mut Dice) {
    let sea = theme.has(Motif::Sea);
    if theme.has(Motif::Mountain) || !theme.has_any(&[Motif::Sea, Motif::City]) {
        let own = if theme.has(Motif::Desert) { SAND } else { STONE };
        let tall = if theme.has(Motif::Mountain) { 1.0 } else { 0.5 };
        mountains(canvas, theme, palette, frame, own, tall, dice);
    }
    if theme.has(Motif::City) {
        city(canvas, theme, palette, frame, dice);
    }
    if sea {
        water(canvas, palette, frame, dice);
    }
    if theme.has(Motif::Desert) {
        hills(canvas, palette, frame, SAND, 0.62, dice);
    } else if theme.has(Motif::Field) {
        hills(canvas, palette, frame, MEADOW, 0.55, dice);
    }
    if theme.has(Motif::Forest) {
        let floor = if sea { 0.86 } else { frame.horizon + 0.02 };
        forest(canvas, theme, palette, floor, dice);
    } else if theme.has(Motif::Mountain)
        && !theme.has_any(&[Motif::Sea, Motif::City, Motif::Desert, Motif::Field])
    {
        forest(canvas, theme, palette, 0.84, dice);
    }
}

/// A jagged line from left to right, as heights above zero and below one, by midpoint displacement.
fn ridge(dice: &mut Dice, roughness: f32) -> Vec<f32> {
    let mut heights = vec![dice.unit(), dice.unit(), dice.unit()];
    let mut swing = roughness;
    for _ in 0..6 {
        let mut finer = Vec::with_capacity(heights.len() * 2);
        for pair in heights.windows(2) {
            if let [left, right] = *pair {
                finer.extend([left, f32::midpoint(left, right) + dice.between(-swing, swing)]);
            }
        }
        finer.extend(heights.last());
        heights = finer;
        swing *= 0.52;
    }
    heights
}

fn across(index: usize, count: usize, wide: f32) -> f32 {
    let part = |number: usize| f32::from(u16::try_from(number).unwrap_or(u16::MAX));
    wide * part(index) / part(count.saturating_sub(1).max(1))
}

fn mountains(
    canvas: &mut Canvas,
    theme: &Theme,
    palette: &Palette,
    frame: Frame,
    own: Tint,
    tall: f32,
    dice: &mut Dice,
) {
    let wide = canvas.aspect;
    let ranges = [(0.95_f32, 0.30_f32, 0.0_f32), (0.72, 0.24, 0.05), (0.48, 0.17, 0.11)];
    // Low hills stay behind what lies before them.
    let count = if tall < 1.0 { 2 } else { ranges.len() };
    for (distance, height, sink) in ranges.into_iter().take(count) {
        let heights = ridge(dice, 0.42);
        let (base, height) = (frame.horizon + sink, height * tall);
        let top = |index: usize| {
            heights.get(index).map_or(base, |rise| (rise.clamp(-0.2, 1.2)).mul_add(-height, base))
        };
        let mut shape = PathBuilder::new();
        shape.move_to(0.0, 1.0);
        for index in 0..heights.len() {
            shape.line_to(across(index, heights.len(), wide), top(index));
        }
        shape.line_to(wide, 1.0);
        shape.close();
        let (upper, lower) =
            (palette.land(own, distance), palette.land(own, distance).mix(palette.horizon, 0.4));
        canvas.fill(shape, Ink::Down { from: (base - height, upper), to: (base + 0.08, lower) });
        if distance > 0.6 && tall > 0.9 {
            let line = base - height * if theme.has(Motif::Snow) { 0.35 } else { 0.62 };
            caps(canvas, &heights, top, line, palette, dice);
        }
    }
}

/// Snow on what reaches above `line`.
fn caps(
    canvas: &mut Canvas,
    heights: &[f32],
    top: impl Fn(usize) -> f32,
    line: f32,
    palette: &Palette,
    dice: &mut Dice,
) {
    let (wide, count) = (canvas.aspect, heights.len());
    let mut shape = PathBuilder::new();
    for index in 0..count.saturating_sub(1) {
        let (left, right) = (top(index), top(index + 1));
        if left < line && right < line {
            let (from, to) = (across(index, count, wide), across(index + 1, count, wide));
            let depth = |height: f32, roll: f32| height + (line - height) * roll;
            shape.move_to(from, left);
            shape.line_to(to, right);
            shape.line_to(to, depth(right, dice.between(0.35, 0.85)));
            shape.line_to(f32::midpoint(from, to), depth(f32::midpoint(left, right), dice.between(0.2, 0.6)));
            shape.line_to(from, depth(left, dice.between(0.35, 0.85)));
            shape.close();
        }
    }
    canvas.fill(shape, Ink::Flat(SNOW.mix(palette.horizon, 0.35).faint(0.85)));
}

fn water(canvas: &mut Canvas, palette: &Palette, frame: Frame, dice: &mut Dice) {
    let (wide, shore) = (canvas.aspect, frame.horizon);
    // Water shows the sky: the horizon far away, what is overhead near by.
    let far = palette.horizon.mix(palette.middle, 0.6).mix(WATER, 0.18);
    let near = palette.near.mix(WATER, 0.32).mix(palette.top, 0.2);
    canvas.rect(0.0, shore, wide, 1.0 - shore, Ink::Down { from: (shore, far), to: (1.0, near) });
    let depth = 1.0 - shore;
    for (count, ink, spread) in [
        (70, Ink::Flat(palette.light.faint(0.14)), wide),
        (60, Ink::Flat(palette.near.faint(0.2)), wide),
        (80, Ink::Flat(palette.light.faint(0.5)), 0.0),
    ] {
        for _ in 0..count {
            let down = dice.unit().powf(1.5);
            let y = shore + 0.004 + depth * down;
            let length = dice.between(0.02, 0.09) * (0.25 + down);
            let x = if spread > 0.0 {
                dice.between(-0.05, spread)
            } else {
                // The light's road over the water: narrow far away, broad near.
                frame.sun.0 + dice.between(-0.5, 0.5) * (0.07 + 0.2 * down) - length / 2.0
            };
            let thick = 0.0012 + 0.005 * down;
            let mut wave = PathBuilder::new();
            wave.move_to(x, y);
            wave.quad_to(x + length / 2.0, y - thick, x + length, y);
            wave.quad_to(x + length / 2.0, y + thick, x, y);
            wave.close();
            canvas.fill(wave, ink);
        }
    }
}

fn hills(canvas: &mut Canvas, palette: &Palette, frame: Frame, own: Tint, vivid: f32, dice: &mut Dice) {
    let wide = canvas.aspect;
    for layer in 0_u8..4 {
        let depth = f32::from(layer) / 3.0;
        let base = frame.horizon + 0.02 + depth * 0.27;
        let (swing, turns, turn) = (0.02 + 0.025 * depth, dice.between(0.6, 1.5), dice.between(0.0, 6.3));
        let mut shape = PathBuilder::new();
        shape.move_to(0.0, 1.0);
        for step in 0_u8..=40 {
            let x = f32::from(step) / 40.0;
            let y = base
                + swing
                    * ((x * turns).mul_add(6.3, turn).sin() + 0.4 * (x * turns).mul_add(13.0, turn).sin());
            shape.line_to(x * wide, y);
        }
        shape.line_to(wide, 1.0);
        shape.close();
        let tint = palette.land(own, 0.75 * (1.0 - depth)).mix(own, vivid * 0.55 * (1.0 - depth * 0.4));
        let lit = tint.mix(palette.light, 0.22);
        canvas.fill(
            shape,
            Ink::Down { from: (base - swing, lit), to: (base + 0.2, tint.mix(palette.near, 0.35)) },
        );
    }
}

/// Rows of firs, each nearer, taller and darker, with mist between them.
fn forest(canvas: &mut Canvas, theme: &Theme, palette: &Palette, floor: f32, dice: &mut Dice) {
    let wide = canvas.aspect;
    let snowy = theme.has(Motif::Snow);
    for row in 0_u8..4 {
        let depth = f32::from(row) / 3.0;
        let ground = (1.02 - floor).mul_add(depth.powf(0.9), floor);
        let tall = 0.1 + 0.13 * depth;
        let tint = palette.land(GREEN, 0.7 * (1.0 - depth));
        let mut firs = PathBuilder::new();
        let mut white = PathBuilder::new();
        let mut x = -0.04;
        while x < wide + 0.04 {
            let height = tall * dice.between(0.65, 1.25);
            fir(&mut firs, (x, ground), height, 1.0);
            if snowy && dice.chance(0.8) {
                fir(&mut white, (x, ground - height * 0.3), height * 0.7, 0.62);
            }
            x += tall * dice.between(0.16, 0.42);
        }
        let misty = tint.mix(palette.horizon, 0.35 * (1.0 - depth));
        canvas.fill(firs, Ink::Down { from: (ground - tall, tint), to: (ground, misty) });
        canvas.fill(white, Ink::Flat(SNOW.faint(0.25 + 0.3 * depth)));
        canvas.rect(
            0.0,
            ground - 0.004,
            wide,
            1.01 - ground,
            Ink::Flat(misty.mix(palette.near, 0.2 * depth)),
        );
    }
}

fn fir(shape: &mut PathBuilder, (x, ground): (f32, f32), height: f32, breadth: f32) {
    let half = height * 0.2 * breadth;
    for (from, to, width) in [(0.0_f32, 0.5_f32, 1.0_f32), (0.26, 0.76, 0.74), (0.52, 1.0, 0.48)] {
        shape.move_to(x - half * width, ground - height * from);
        shape.line_to(x, ground - height * to);
        shape.line_to(x + half * width, ground - height * from);
        shape.close();
    }
}

fn city(canvas: &mut Canvas, theme: &Theme, palette: &Palette, frame: Frame, dice: &mut Dice) {
    let wide = canvas.aspect;
    let lit = theme.has_any(&[Motif::Night, Motif::Sunset, Motif::Rain]);
    let front = if theme.has(Motif::Sea) { frame.horizon + 0.01 } else { 1.0 };
    for row in 0_u8..3 {
        let depth = f32::from(row) / 2.0;
        let ground = (front - frame.horizon - 0.02).max(0.0).mul_add(depth * 0.75, frame.horizon + 0.02);
        let tint = palette.land(STONE, 0.8 * (1.0 - depth));
        let mut walls = PathBuilder::new();
        let mut windows = PathBuilder::new();
        let mut x = -0.03;
        while x < wide {
            let width = dice.between(0.05, 0.1) * (0.7 + 0.6 * depth);
            let height = dice.between(0.08, 0.3) * (1.1 - 0.1 * depth);
            tower(&mut walls, &mut windows, (x, ground), (width, height), dice);
            x += width + dice.between(0.0, 0.012);
        }
        canvas.fill(
            walls,
            Ink::Down { from: (ground - 0.3, tint), to: (ground + 0.1, tint.mix(palette.horizon, 0.3)) },
        );
        let glass = if lit { LAMP.faint(0.45 + 0.45 * depth) } else { palette.horizon.faint(0.3) };
        canvas.fill(windows, Ink::Flat(glass));
    }
}

fn tower(
    walls: &mut PathBuilder,
    windows: &mut PathBuilder,
    (x, ground): (f32, f32),
    (width, height): (f32, f32),
    dice: &mut Dice,
) {
    let top = ground - height;
    let mut wall = |x: f32, y: f32, width: f32, height: f32| {
        walls.move_to(x, y);
        walls.line_to(x + width, y);
        walls.line_to(x + width, y + height);
        walls.line_to(x, y + height);
        walls.close();
    };
    wall(x, top, width, 1.05 - top);
    if dice.chance(0.4) {
        wall(x + width * 0.2, top - height * 0.12, width * 0.6, height * 0.13);
    }
    if dice.chance(0.25) {
        wall(x + width * 0.48, top - height * 0.34, width * 0.05, height * 0.35);
    }
    let (column, floor) = (width / 5.0, 0.019);
    let mut y = top + 0.014;
    while y < ground + 0.2 {
        for across in 0_u8..4 {
            if dice.chance(0.42) {
                let left = column.mul_add(f32::from(across) + 0.65, x);
                windows.move_to(left, y);
                windows.line_to(left + column * 0.6, y);
                windows.line_to(left + column * 0.6, y + 0.009);
                windows.line_to(left, y + 0.009);
                windows.close();
            }
        }
        y += floor;
    }
}
