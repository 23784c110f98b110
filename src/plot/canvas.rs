//! What plotters' backends are drawn on by: lines, marks and text in pixels of the screen, in a font that is part of the program, so that a
//! machine without fonts draws the same picture.

use super::color::{Color, Look, Mark, Stroke};
use super::palette::{INK, PAPER};
use crate::error::{Error, Result};
use plotters::backend::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontStyle, FontTransform, IntoFont, RGBAColor, ShapeStyle, TextStyle, register_font,
};
use std::sync::OnceLock;

/// What of a text stands at its place.
type Anchor = (HPos, VPos);
pub(super) const TOP_LEFT: Anchor = (HPos::Left, VPos::Top);
pub(super) const TOP: Anchor = (HPos::Center, VPos::Top);
pub(super) const LEFT: Anchor = (HPos::Left, VPos::Center);
pub(super) const RIGHT: Anchor = (HPos::Right, VPos::Center);
pub(super) const CENTER: Anchor = (HPos::Center, VPos::Center);
pub(super) const BOTTOM_RIGHT: Anchor = (HPos::Right, VPos::Bottom);

/// How a text is set.
#[derive(Clone, Copy)]
pub(super) struct Type {
    size: f64,
    bold: bool,
    opacity: f64,
    upwards: bool,
}

impl Type {
    pub(super) const TITLE: Self = Self { size: 19.0, bold: true, opacity: 1.0, upwards: false };
    pub(super) const NOTE: Self = Self { size: 13.5, bold: false, opacity: 0.8, upwards: false };
    pub(super) const LABEL: Self = Self { size: 14.0, bold: false, opacity: 1.0, upwards: false };
    pub(super) const UPWARDS: Self = Self { upwards: true, ..Self::LABEL };
    pub(super) const TICK: Self = Self { size: 12.5, bold: false, opacity: 0.8, upwards: false };

    fn style(self, scale: f64, (horizontal, vertical): Anchor) -> TextStyle<'static> {
        // Plotters' size is the height of a line, 1.24 times the size of the letters.
        let font = ("sans-serif", self.size * 1.24 * scale).into_font();
        let font = font.style(if self.bold { FontStyle::Bold } else { FontStyle::Normal });
        let font = font.transform(if self.upwards {
            FontTransform::Rotate270
        } else {
            FontTransform::None
        });
        TextStyle {
            font,
            color: rgba(INK, self.opacity).to_backend_color(),
            pos: Pos::new(horizontal, vertical),
        }
    }
}

/// A backend that is drawn on in pixels of the screen.
pub(super) struct Canvas<'a, B> {
    backend: &'a mut B,
    scale: f64,
    /// How much lower to set centered text, as a share of its size: bitmaps are centered on the line and not on its letters.
    sink: f64,
}

impl<'a, B: DrawingBackend<ErrorType: 'static>> Canvas<'a, B> {
    pub(super) fn new(backend: &'a mut B, scale: f64, sink: f64) -> Result<Self> {
        if !fonts() {
            return Err(Error::invalid("figure", "the built-in font cannot be read"));
        }
        Ok(Self { backend, scale, sink })
    }

    /// Nothing more is drawn.
    pub(super) fn finish(self) -> Result<()> {
        self.backend.present().map_err(drawing)
    }

    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    pub(super) fn rectangle(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        color: Color,
    ) -> Result<()> {
        let style = shape(color, 1.0, 0.0, true);
        let (from, to) = (self.at(from), self.at(to));
        self.backend.draw_rect(from, to, &style, true).map_err(drawing)
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) -> Result<()> {
        let style = shape(stroke.color, stroke.opacity, stroke.width * self.scale, false);
        let pieces = if stroke.dashed { dashes(points, 6.0, 4.0) } else { vec![points.to_vec()] };
        for piece in pieces.iter().filter(|piece| piece.len() > 1) {
            let path: Vec<(i32, i32)> = piece.iter().map(|&point| self.at(point)).collect();
            self.backend.draw_path(path, &style).map_err(drawing)?;
        }
        Ok(())
    }

    fn polygon(&mut self, corners: &[(f64, f64)], color: Color) -> Result<()> {
        let path: Vec<(i32, i32)> = corners.iter().map(|&corner| self.at(corner)).collect();
        self.backend.fill_polygon(path, &shape(color, 1.0, 0.0, true)).map_err(drawing)
    }

    /// Hollow marks are filled with paper, so that lines do not run through them.
    pub(super) fn mark(
        &mut self,
        (x, y): (f64, f64),
        Look { color, mark }: Look,
        size: f64,
        filled: bool,
    ) -> Result<()> {
        let around = |corners: &[(f64, f64)], by: f64| -> Vec<(f64, f64)> {
            corners.iter().map(|(dx, dy)| (x + dx * by, y + dy * by)).collect()
        };
        let corners: &[(f64, f64)] = match mark {
            Mark::Circle => {
                let radius = (size * self.scale).round() as u32;
                let center = self.at((x, y));
                self.backend
                    .draw_circle(center, radius, &shape(color, 1.0, 0.0, true), true)
                    .map_err(drawing)?;
                if !filled {
                    let inner = ((size - 1.8) * self.scale).round() as u32;
                    self.backend
                        .draw_circle(center, inner, &shape(PAPER, 1.0, 0.0, true), true)
                        .map_err(drawing)?;
                }
                return Ok(());
            }
            Mark::Cross | Mark::Plus => {
                let arms: &[[(f64, f64); 2]] = match mark {
                    Mark::Cross => &[[(-0.9, -0.9), (0.9, 0.9)], [(-0.9, 0.9), (0.9, -0.9)]],
                    _ => &[[(-1.2, 0.0), (1.2, 0.0)], [(0.0, -1.2), (0.0, 1.2)]],
                };
                let width = if filled { 0.55 * size } else { 0.4 * size };
                for arm in arms {
                    self.line(&around(arm, size), color.stroke(width))?;
                }
                return Ok(());
            }
            Mark::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Mark::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Mark::Up => &[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
            Mark::Right => &[(1.2, 0.0), (-0.9, 1.15), (-0.9, -1.15)],
            Mark::Down => &[(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
        };
        self.polygon(&around(corners, size), color)?;
        if !filled {
            self.polygon(&around(corners, size - 2.2), PAPER)?;
        }
        Ok(())
    }

    pub(super) fn text(
        &mut self,
        text: &str,
        place: (f64, f64),
        font: Type,
        anchor: Anchor,
    ) -> Result<()> {
        let style = font.style(self.scale, anchor);
        let sink = if matches!(anchor.1, VPos::Center) && !font.upwards {
            self.sink * font.size
        } else {
            0.0
        };
        let place = self.at((place.0, place.1 + sink));
        self.backend.draw_text(text, &style, place).map_err(drawing)
    }

    pub(super) fn width(&self, text: &str, font: Type) -> Result<f64> {
        let style = font.style(self.scale, TOP_LEFT);
        let (width, _) = self.backend.estimate_text_size(text, &style).map_err(drawing)?;
        // A reader's sans-serif font runs wider than ours, and bold is wider still.
        Ok(f64::from(width) / self.scale * if font.bold { 1.12 } else { 1.05 })
    }

    /// Text in lines of at most `width`; returns where the next thing may start.
    pub(super) fn paragraph(
        &mut self,
        text: &str,
        (x, mut y): (f64, f64),
        width: f64,
        font: Type,
    ) -> Result<f64> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last_mut().expect("there is always a line");
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || self.width(&longer, font)? <= width {
                *line = longer;
            } else {
                lines.push(word.to_owned());
            }
        }
        for line in lines.iter().filter(|line| !line.is_empty()) {
            self.text(line, (x, y), font, TOP_LEFT)?;
            y += 1.3 * font.size;
        }
        Ok(y)
    }
}

/// Cuts a line into dashes of length `on` with gaps of length `off`.
fn dashes(points: &[(f64, f64)], on: f64, off: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let (mut drawing, mut left) = (true, on);
    let mut piece: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((mut x, mut y), (x1, y1)) = (pair[0], pair[1]);
        let mut rest = (x1 - x).hypot(y1 - y);
        while rest > left {
            let share = left / rest;
            (x, y) = (x + (x1 - x) * share, y + (y1 - y) * share);
            rest -= left;
            if drawing {
                piece.push((x, y));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![(x, y)];
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        left -= rest;
        if drawing {
            piece.push((x1, y1));
        }
    }
    if drawing && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

fn shape(color: Color, opacity: f64, width: f64, filled: bool) -> ShapeStyle {
    ShapeStyle { color: rgba(color, opacity), filled, stroke_width: width.round().max(1.0) as u32 }
}

fn rgba(Color(red, green, blue): Color, opacity: f64) -> RGBAColor {
    RGBAColor(red, green, blue, opacity)
}

/// Makes the built-in font known to plotters, once; whether that worked.
fn fonts() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok()
    })
}

pub(super) fn drawing<E: std::error::Error + Send + Sync + 'static>(error: E) -> Error {
    Error::library("drawing a figure")(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_the_line_with_gaps() {
        let pieces = dashes(&[(0.0, 0.0), (20.0, 0.0)], 6.0, 4.0);
        assert_eq!(pieces, [vec![(0.0, 0.0), (6.0, 0.0)], vec![(10.0, 0.0), (16.0, 0.0)]]);
    }
}
