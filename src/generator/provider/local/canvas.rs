//! A canvas one unit high, whatever its size in pixels, with the few strokes that the scenes are made of.

use tiny_skia::{
    FillRule, GradientStop, LineCap, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point, RadialGradient,
    Rect, Shader, SpreadMode, Stroke, Transform,
};

use super::palette::Tint;
use crate::generator::order::Size;

/// What a shape is filled with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ink {
    /// One colour.
    Flat(Tint),
    /// From one colour at a height to another further down.
    Down {
        /// Above.
        from: (f32, Tint),
        /// Below.
        to: (f32, Tint),
    },
}

/// Pixels without alpha, rows from the top.
#[derive(Debug)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rgb: Vec<u8>,
}

/// What is painted on: 0 to 1 down, 0 to `aspect` across.
pub(super) struct Canvas {
    pixmap: Pixmap,
    scale: f32,
    /// Width in heights.
    pub(super) aspect: f32,
}

impl Canvas {
    /// An empty one; `None` without memory for it.
    #[expect(clippy::cast_precision_loss, reason = "sizes of the table are far below 2^24")]
    pub(super) fn new(size: Size) -> Option<Self> {
        let pixmap = Pixmap::new(size.width, size.height)?;
        let scale = size.height as f32;
        Some(Self { pixmap, scale, aspect: size.width as f32 / scale })
    }

    /// What was painted.
    pub(super) fn into_pixels(self) -> Pixels {
        let (width, height) = (self.pixmap.width(), self.pixmap.height());
        // The sky covers everything, so every pixel is opaque.
        let rgb = self
            .pixmap
            .pixels()
            .iter()
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .collect();
        Pixels { width, height, rgb }
    }

    /// Fills a closed shape.
    pub(super) fn fill(&mut self, shape: PathBuilder, ink: Ink) {
        if let (Some(path), Some(paint)) = (shape.finish(), paint(ink)) {
            self.fill_path(&path, &paint);
        }
    }

    /// Draws along a line, `width` thick.
    pub(super) fn stroke(&mut self, line: PathBuilder, ink: Ink, width: f32) {
        if let (Some(path), Some(paint)) = (line.finish(), paint(ink)) {
            let stroke = Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
            self.pixmap.stroke_path(&path, &paint, &stroke, self.transform(), None);
        }
    }

    /// A filled circle.
    pub(super) fn disc(&mut self, x: f32, y: f32, radius: f32, ink: Ink) {
        let mut shape = PathBuilder::new();
        shape.push_circle(x, y, radius);
        self.fill(shape, ink);
    }

    /// A filled rectangle.
    pub(super) fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, ink: Ink) {
        if let (Some(rect), Some(paint)) = (Rect::from_xywh(x, y, width, height), paint(ink)) {
            self.pixmap.fill_rect(rect, &paint, self.transform(), None);
        }
    }

    /// Light that fades away from a point.
    pub(super) fn glow(&mut self, x: f32, y: f32, radius: f32, light: Tint, strength: f32) {
        let stops = vec![
            GradientStop::new(0.0, light.faint(strength).color()),
            GradientStop::new(0.22, light.faint(strength * 0.55).color()),
            GradientStop::new(0.5, light.faint(strength * 0.2).color()),
            GradientStop::new(0.78, light.faint(strength * 0.045).color()),
            GradientStop::new(1.0, light.faint(0.0).color()),
        ];
        let center = Point::from_xy(x, y);
        let shader =
            RadialGradient::new(center, 0.0, center, radius, stops, SpreadMode::Pad, Transform::identity());
        let square = Rect::from_xywh(x - radius, y - radius, radius * 2.0, radius * 2.0);
        if let (Some(shader), Some(square)) = (shader, square) {
            let paint = Paint { shader, ..Paint::default() };
            self.pixmap.fill_rect(square, &paint, self.transform(), None);
        }
    }

    fn fill_path(&mut self, path: &Path, paint: &Paint<'_>) {
        self.pixmap.fill_path(path, paint, FillRule::Winding, self.transform(), None);
    }

    fn transform(&self) -> Transform {
        Transform::from_scale(self.scale, self.scale)
    }
}

fn paint(ink: Ink) -> Option<Paint<'static>> {
    let shader = match ink {
        Ink::Flat(tint) => Shader::SolidColor(tint.color()),
        Ink::Down { from: (above, upper), to: (below, lower) } => LinearGradient::new(
            Point::from_xy(0.0, above),
            Point::from_xy(0.0, below),
            vec![GradientStop::new(0.0, upper.color()), GradientStop::new(1.0, lower.color())],
            SpreadMode::Pad,
            Transform::identity(),
        )?,
    };
    Some(Paint { shader, ..Paint::default() })
}
