//! Colours: what the hour, the weather and the land make of them.

use tiny_skia::Color;

use super::{
    dice::Dice,
    theme::{Motif, Theme},
};

/// A colour, each part from 0 to 1, not premultiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tint {
    r: f32,
    g: f32,
    b: f32,
    a: f32,
}

impl Tint {
    /// From `0xrrggbb`.
    pub(super) const fn hex(rgb: u32) -> Self {
        let [_, r, g, b] = rgb.to_be_bytes();
        Self { r: r as f32 / 255.0, g: g as f32 / 255.0, b: b as f32 / 255.0, a: 1.0 }
    }

    /// This far from here to `other`.
    pub(super) fn mix(self, other: Self, share: f32) -> Self {
        let part = |from: f32, to: f32| (to - from).mul_add(share, from);
        Self {
            r: part(self.r, other.r),
            g: part(self.g, other.g),
            b: part(self.b, other.b),
            a: part(self.a, other.a),
        }
    }

    /// With this opacity.
    pub(super) const fn faint(self, a: f32) -> Self {
        Self { a, ..self }
    }

    /// As the renderer wants it.
    pub(super) fn color(self) -> Color {
        let part = |part: f32| part.clamp(0.0, 1.0);
        Color::from_rgba(part(self.r), part(self.g), part(self.b), part(self.a)).unwrap_or(Color::TRANSPARENT)
    }
}

/// The colours of one picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// The sky overhead.
    pub(super) top: Tint,
    /// The sky half-way.
    pub(super) middle: Tint,
    /// The sky at the horizon.
    pub(super) horizon: Tint,
    /// Land far away.
    pub(super) far: Tint,
    /// Land at one's feet.
    pub(super) near: Tint,
    /// Sun, moon, lamps.
    pub(super) light: Tint,
}

impl Palette {
    /// The colours of a theme, a little different each time.
    pub(super) fn of(theme: &Theme, dice: &mut Dice) -> Self {
        let of = |[top, middle, horizon, far, near, light]: [u32; 6]| Self {
            top: Tint::hex(top),
            middle: Tint::hex(middle),
            horizon: Tint::hex(horizon),
            far: Tint::hex(far),
            near: Tint::hex(near),
            light: Tint::hex(light),
        };
        let mut palette = if theme.has(Motif::Night) {
            of([0x0006_0a22, 0x0014_2654, 0x0042_6399, 0x002e_4878, 0x0005_0a1a, 0x00f6_f1d8])
        } else if theme.has(Motif::Sunset) {
            of([0x002a_1f5c, 0x00c8_4b6e, 0x00ff_b65c, 0x00b0_5a78, 0x001f_1233, 0x00ff_e9a8])
        } else if theme.has(Motif::Dawn) {
            of([0x0040_569c, 0x00d3_8fb0, 0x00ff_ddb0, 0x00ad_8bb2, 0x002b_2a4c, 0x00ff_f2cf])
        } else {
            of([0x0029_78c8, 0x0082_c2ec, 0x00fb_ecd0, 0x009c_c0d4, 0x0017_4650, 0x00ff_f8de])
        };
        if theme.has(Motif::Rain) {
            palette = palette.toward(
                of([0x0035_414f, 0x0066_7685, 0x00ac_b9bf, 0x0075_8690, 0x001c_262d, 0x00e6_ecee]),
                0.72,
            );
        }
        if theme.has(Motif::Snow) {
            palette = palette.toward(
                of([0x006d_8db8, 0x00b4_cce2, 0x00f6_f1f2, 0x00b4_c8dc, 0x0040_5c7c, 0x00ff_ffff]),
                0.5,
            );
        }
        let mood = Tint::hex(dice.pick(0x00ff_7a59, &[0x0059_c3ff, 0x00b3_7aff, 0x005f_e0b0, 0x00ff_d166]));
        let share = dice.between(0.0, 0.14);
        Self { middle: palette.middle.mix(mood, share), far: palette.far.mix(mood, share), ..palette }
    }

    /// The colour of land at a distance from 0 (here) to 1 (the horizon), which the air tints with the sky.
    pub(super) fn land(&self, own: Tint, distance: f32) -> Tint {
        self.near.mix(own, 0.45).mix(self.far, distance).mix(self.horizon, distance * distance * 0.45)
    }

    fn toward(self, other: Self, share: f32) -> Self {
        Self {
            top: self.top.mix(other.top, share),
            middle: self.middle.mix(other.middle, share),
            horizon: self.horizon.mix(other.horizon, share),
            far: self.far.mix(other.far, share),
            near: self.near.mix(other.near, share),
            light: self.light.mix(other.light, share),
        }
    }
}
