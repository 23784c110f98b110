//! A plot as plain data, and how it becomes SVG or PNG.
//!
//! A [`Plot`] says what is shown; [`Plot::svg`] and [`Plot::write_png`] draw it through plotters with a font that is part of the program, so that a
//! machine without fonts draws the same picture. Lengths are in pixels of the screen, positions in the axes' units.

use crate::error::{Error, Result};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontStyle, FontTransform, IntoFont, RGBAColor, ShapeStyle, TextStyle, register_font,
};
use std::path::Path;
use std::sync::OnceLock;

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// Text and axes.
pub const INK: Color = Color(0x1a, 0x1a, 0x1a);
/// The background.
pub const PAPER: Color = Color(0xff, 0xff, 0xff);

/// The shape that stands for one thing besides its color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the shapes
pub enum Mark {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Right,
    Cross,
    Plus,
}

/// A whole figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What it shows, as a sentence.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// One above the other.
    pub panels: Vec<Panel>,
    /// Beside the panels.
    pub legend: Vec<Key>,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

/// One pair of axes with what is drawn on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What this panel shows, where there are several.
    pub heading: Option<(String, Color)>,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// Drawn in this order.
    pub layers: Vec<Layer>,
}

/// One axis; positions outside `from..to` are not drawn there.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The quantity with its unit.
    pub label: String,
    /// The lower end.
    pub from: f64,
    /// The upper end, above `from`.
    pub to: f64,
    /// Whether equal ratios are equally long; both ends are then above 0.
    pub log: bool,
}

/// Something drawn on axes.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the fields say it
pub enum Layer {
    Line {
        points: Vec<(f64, f64)>,
        color: Color,
        width: f64,
        opacity: f64,
        dashed: bool,
    },
    Marks {
        points: Vec<(f64, f64)>,
        color: Color,
        mark: Mark,
        size: f64,
        filled: bool,
    },
    /// From the lowest to the highest value of each axis.
    Spread {
        at: (f64, f64),
        x: (f64, f64),
        y: (f64, f64),
        color: Color,
    },
    /// `(from, to, height)` above 0.
    Bars {
        bars: Vec<(f64, f64, f64)>,
        color: Color,
    },
    /// A dashed line through the whole panel, with its name.
    Upright {
        x: f64,
        label: String,
        color: Color,
    },
    /// A dashed line through the whole panel, with its name.
    Level {
        y: f64,
        label: String,
        color: Color,
    },
}

/// One line of the legend.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Key {
    pub label: String,
    pub color: Color,
    pub mark: Option<Mark>,
    pub line: bool,
    pub dashed: bool,
}

impl Axis {
    /// From the smallest value to the largest with a margin; `least` is the smallest length it may have.
    pub fn around(label: &str, values: impl Iterator<Item = f64>, least: f64) -> Self {
        let (from, to) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), value| {
                (from.min(value), to.max(value))
            });
        let (from, to) = if from > to { (0.0, 1.0) } else { (from, to) };
        let (middle, half) = ((from + to) / 2.0, (0.55 * (to - from)).max(least / 2.0));
        Self { label: label.to_owned(), from: middle - half, to: middle + half, log: false }
    }

    /// Ends where the quantity itself does: a share has nothing below 0.
    pub fn within(self, from: f64, to: f64) -> Self {
        Self { from: self.from.max(from), to: self.to.min(to), ..self }
    }

    /// 0 at the lower end, 1 at the upper.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| {
            if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value }
        };
        (scale(value) - scale(self.from)) / (scale(self.to) - scale(self.from))
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
            let steps: &[f64] = if high - low > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let all = (low..=high)
                .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
            let inside = |tick: &f64| (self.from * 0.999..=self.to * 1.001).contains(tick);
            return all.filter(inside).collect();
        }
        let rough = (self.to - self.from) / 6.0;
        let unit = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|step| step * unit)
            .find(|step| *step >= rough)
            .unwrap_or(unit);
        let first = (self.from / step - 1e-9).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

impl Plot {
    /// The figure as an SVG document.
    pub fn svg(&self) -> Result<String> {
        // Plotters places on whole units: four units a pixel keep curves smooth.
        const FINE: u32 = 4;
        let (width, height) = self.size;
        let mut text = String::new();
        let mut backend = SVGBackend::with_string(&mut text, (FINE * width, FINE * height));
        self.draw(&mut backend, f64::from(FINE), 0.0)?;
        drop(backend);
        let fine = format!("width=\"{}\" height=\"{}\"", FINE * width, FINE * height);
        Ok(text.replacen(&fine, &format!("width=\"{width}\" height=\"{height}\""), 1))
    }

    /// The figure as a PNG file, two image pixels for one of the screen.
    pub fn png(&self) -> Result<Vec<u8>> {
        // Plotters does not smooth lines: draw twice as large as needed and take means.
        const SHARP: u32 = 2;
        let (width, height) = (SHARP * self.size.0, SHARP * self.size.1);
        let mut large = vec![0; (3 * 4 * width * height) as usize];
        let mut backend = BitMapBackend::with_buffer(&mut large, (2 * width, 2 * height));
        self.draw(&mut backend, f64::from(2 * SHARP), 0.12)?;
        drop(backend);
        let small = halved(&large, width as usize, height as usize);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Best);
        encoder.set_filter(png::FilterType::NoFilter); // much of it is white
        let mut writer = encoder.write_header().map_err(drawing)?;
        writer.write_image_data(&small).map_err(drawing)?;
        writer.finish().map_err(drawing)?;
        Ok(file)
    }

    /// Writes [`Plot::png`] to a file.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.png()?).map_err(Error::io("writing a figure", path))
    }

    fn draw<B: DrawingBackend>(&self, backend: &mut B, scale: f64, sink: f64) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        if !fonts() {
            return Err(Error::invalid("figure", "the built-in font cannot be read"));
        }
        let mut canvas = Canvas { backend, scale, sink };
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        canvas.rectangle((0.0, 0.0), (width, height), PAPER, 1.0)?;
        let top =
            canvas.paragraph(&self.title, (MARGIN, MARGIN), width - 2.0 * MARGIN, &Type::TITLE)?;
        let top =
            canvas.paragraph(&self.note, (MARGIN, top + 4.0), width - 2.0 * MARGIN, &Type::NOTE)?
                + 12.0;
        let beside = self.legend(&mut canvas, top)?;
        // Panels that name their axis need that much more to have equally high axes.
        let each = (height - top - MARGIN - NAME_X) / self.panels.len().max(1) as f64;
        for (index, panel) in self.panels.iter().enumerate() {
            let from = top + each * index as f64;
            // Panels that share an axis name it once, below the last.
            let last = self.panels.get(index + 1).is_none_or(|next| next.x.label != panel.x.label);
            panel.draw(
                &mut canvas,
                (MARGIN, from),
                (width - beside - MARGIN, from + each + if last { NAME_X } else { 0.0 }),
                last,
            )?;
        }
        canvas.backend.present().map_err(drawing)
    }

    /// Draws the legend at the right and returns the width it takes.
    fn legend<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, top: f64) -> Result<f64>
    where
        B::ErrorType: 'static,
    {
        let mut widest = 0f64;
        for key in &self.legend {
            widest = widest.max(canvas.width(&key.label, &Type::LABEL)?);
        }
        if self.legend.is_empty() {
            return Ok(0.0);
        }
        let takes = widest + 44.0;
        let left = f64::from(self.size.0) - takes - MARGIN + 10.0;
        for (index, key) in self.legend.iter().enumerate() {
            let y = top + 34.0 + 24.0 * index as f64;
            if key.line {
                canvas.line(&[(left, y), (left + 24.0, y)], key.color, 2.0, 1.0, key.dashed)?;
            }
            if let Some(mark) = key.mark {
                canvas.mark((left + 12.0, y), mark, key.color, 5.5, true)?;
            }
            canvas.text(&key.label, (left + 34.0, y), &Type::LABEL, (HPos::Left, VPos::Center))?;
        }
        Ok(takes)
    }
}

const MARGIN: f64 = 18.0;
/// Height of an axis' name.
const NAME_X: f64 = 20.0;

impl Panel {
    fn draw<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        from: (f64, f64),
        to: (f64, f64),
        name_x: bool,
    ) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let head = if self.heading.is_some() { 24.0 } else { 10.0 };
        let (left, right) = (from.0 + 58.0, to.0 - 12.0);
        let (top, bottom) = (from.1 + head, to.1 - 26.0 - if name_x { NAME_X } else { 0.0 });
        let at = |(x, y): (f64, f64)| {
            (left + self.x.place(x) * (right - left), bottom - self.y.place(y) * (bottom - top))
        };
        if let Some((heading, color)) = &self.heading {
            canvas.rectangle((left, from.1 + 4.0), (left + 10.0, from.1 + 14.0), *color, 1.0)?;
            canvas.text(
                heading,
                (left + 16.0, from.1 + 9.0),
                &Type::LABEL,
                (HPos::Left, VPos::Center),
            )?;
        }
        for tick in self.x.ticks() {
            let (x, _) = at((tick, self.y.from));
            canvas.line(&[(x, top), (x, bottom)], INK, 1.0, 0.1, false)?;
            canvas.text(
                &number(tick),
                (x, bottom + 8.0),
                &Type::TICK,
                (HPos::Center, VPos::Top),
            )?;
        }
        for tick in self.y.ticks() {
            let (_, y) = at((self.x.from, tick));
            canvas.line(&[(left, y), (right, y)], INK, 1.0, 0.1, false)?;
            canvas.text(
                &number(tick),
                (left - 8.0, y),
                &Type::TICK,
                (HPos::Right, VPos::Center),
            )?;
        }
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], INK, 1.0, 0.6, false)?;
        if name_x {
            canvas.text(
                &self.x.label,
                ((left + right) / 2.0, bottom + 28.0),
                &Type::LABEL,
                (HPos::Center, VPos::Top),
            )?;
        }
        canvas.text(
            &self.y.label,
            (from.0 + 8.0, (top + bottom) / 2.0),
            &Type::UPWARDS,
            (HPos::Center, VPos::Center),
        )?;
        let inside = |x: f64, y: f64| {
            (-1e-9..=1.0 + 1e-9).contains(&self.x.place(x))
                && (-1e-9..=1.0 + 1e-9).contains(&self.y.place(y))
        };
        for layer in &self.layers {
            match layer {
                Layer::Line { points, color, width, opacity, dashed } => {
                    let points: Vec<(f64, f64)> =
                        points.iter().copied().filter(|&(x, y)| inside(x, y)).map(at).collect();
                    canvas.line(&points, *color, *width, *opacity, *dashed)?;
                }
                Layer::Marks { points, color, mark, size, filled } => {
                    for &point in points.iter().filter(|&&(x, y)| inside(x, y)) {
                        canvas.mark(at(point), *mark, *color, *size, *filled)?;
                    }
                }
                Layer::Spread { at: center, x, y, color } => {
                    let across = [(x.0, center.1), (x.1, center.1)].map(at);
                    let upright = [(center.0, y.0), (center.0, y.1)].map(at);
                    canvas.line(&across, *color, 1.5, 0.6, false)?;
                    canvas.line(&upright, *color, 1.5, 0.6, false)?;
                }
                Layer::Bars { bars, color } => {
                    for &(x0, x1, y) in bars {
                        canvas.rectangle(
                            at((x0, y)),
                            at((x1, self.y.from.max(0.0))),
                            *color,
                            1.0,
                        )?;
                    }
                }
                Layer::Upright { x, label, color } if inside(*x, self.y.from) => {
                    let (x, _) = at((*x, self.y.from));
                    canvas.line(&[(x, top), (x, bottom)], *color, 1.5, 1.0, true)?;
                    canvas.text(
                        label,
                        (x + 5.0, top + 2.0),
                        &Type::TICK,
                        (HPos::Left, VPos::Top),
                    )?;
                }
                Layer::Level { y, label, color } if inside(self.x.from, *y) => {
                    let (_, y) = at((self.x.from, *y));
                    canvas.line(&[(left, y), (right, y)], *color, 1.5, 1.0, true)?;
                    canvas.text(
                        label,
                        (right - 2.0, y - 4.0),
                        &Type::TICK,
                        (HPos::Right, VPos::Bottom),
                    )?;
                }
                Layer::Upright { .. } | Layer::Level { .. } => {}
            }
        }
        Ok(())
    }
}

/// How a text is set.
struct Type {
    size: f64,
    bold: bool,
    opacity: f64,
    upwards: bool,
}

impl Type {
    const TITLE: Self = Self { size: 19.0, bold: true, opacity: 1.0, upwards: false };
    const NOTE: Self = Self { size: 13.5, bold: false, opacity: 0.8, upwards: false };
    const LABEL: Self = Self { size: 14.0, bold: false, opacity: 1.0, upwards: false };
    const UPWARDS: Self = Self { upwards: true, ..Self::LABEL };
    const TICK: Self = Self { size: 12.5, bold: false, opacity: 0.8, upwards: false };

    fn style(&self, scale: f64, anchor: (HPos, VPos)) -> TextStyle<'static> {
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
            pos: Pos::new(anchor.0, anchor.1),
        }
    }
}

/// A backend that is drawn on in pixels of the screen.
struct Canvas<'a, B> {
    backend: &'a mut B,
    scale: f64,
    /// How much lower to set centred text, as a share of its size: bitmaps are centred on the line and not on its letters.
    sink: f64,
}

impl<B: DrawingBackend> Canvas<'_, B>
where
    B::ErrorType: 'static,
{
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn rectangle(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        color: Color,
        opacity: f64,
    ) -> Result<()> {
        let style = shape(color, opacity, 0.0, true);
        let (from, to) = (self.at(from), self.at(to));
        self.backend.draw_rect(from, to, &style, true).map_err(drawing)
    }

    fn line(
        &mut self,
        points: &[(f64, f64)],
        color: Color,
        width: f64,
        opacity: f64,
        dashed: bool,
    ) -> Result<()> {
        let style = shape(color, opacity, width * self.scale, false);
        let pieces = if dashed { dashes(points, 6.0, 4.0) } else { vec![points.to_vec()] };
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
    fn mark(
        &mut self,
        (x, y): (f64, f64),
        mark: Mark,
        color: Color,
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
                    self.line(&around(arm, size), color, width, 1.0, false)?;
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

    fn text(
        &mut self,
        text: &str,
        place: (f64, f64),
        font: &Type,
        anchor: (HPos, VPos),
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

    fn width(&self, text: &str, font: &Type) -> Result<f64> {
        let style = font.style(self.scale, (HPos::Left, VPos::Top));
        let (width, _) = self.backend.estimate_text_size(text, &style).map_err(drawing)?;
        // A reader's sans-serif font runs wider than ours, and bold is wider still.
        Ok(f64::from(width) / self.scale * if font.bold { 1.12 } else { 1.05 })
    }

    /// Text in lines of at most `width`; returns where the next thing may start.
    fn paragraph(
        &mut self,
        text: &str,
        (x, mut y): (f64, f64),
        width: f64,
        font: &Type,
    ) -> Result<f64> {
        let mut line = String::new();
        for word in text.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if !line.is_empty() && self.width(&longer, font)? > width {
                self.text(&line, (x, y), font, (HPos::Left, VPos::Top))?;
                y += 1.3 * font.size;
                line = word.to_owned();
            } else {
                line = longer;
            }
        }
        if !line.is_empty() {
            self.text(&line, (x, y), font, (HPos::Left, VPos::Top))?;
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

/// The mean of each four pixels of an RGB image twice as wide and high.
fn halved(large: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut small = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let at = |dx: usize, dy: usize| {
                    u32::from(large[3 * ((2 * y + dy) * 2 * width + 2 * x + dx) + channel])
                };
                small.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    small
}

fn shape(color: Color, opacity: f64, width: f64, filled: bool) -> ShapeStyle {
    ShapeStyle { color: rgba(color, opacity), filled, stroke_width: width.round().max(1.0) as u32 }
}

fn rgba(Color(red, green, blue): Color, opacity: f64) -> RGBAColor {
    RGBAColor(red, green, blue, opacity)
}

/// A tick's number, no longer than needed.
fn number(value: f64) -> String {
    let text = if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    crate::table::minus(&text)
}

/// Makes the built-in font known to plotters, once; whether that worked.
fn fonts() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok()
    })
}

fn drawing<E: std::error::Error + Send + Sync + 'static>(error: E) -> Error {
    Error::library("drawing a figure")(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(from: f64, to: f64, log: bool) -> Axis {
        Axis { label: String::new(), from, to, log }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(axis(-0.3, 10.2, false).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(axis(0.0, 1.0, false).ticks().len(), 6);
        assert_eq!(
            axis(1.0, 1000.0, true).ticks(),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        );
    }

    #[test]
    fn an_axis_around_one_value_still_has_a_length() {
        let axis = Axis::around("", [3.0].into_iter(), 1.0);
        assert_eq!((axis.from, axis.to), (2.5, 3.5));
        let empty = Axis::around("", std::iter::empty(), 1.0);
        assert!(empty.from < empty.to);
    }

    #[test]
    fn dashes_cover_the_line_with_gaps() {
        let pieces = dashes(&[(0.0, 0.0), (20.0, 0.0)], 6.0, 4.0);
        assert_eq!(pieces, [vec![(0.0, 0.0), (6.0, 0.0)], vec![(10.0, 0.0), (16.0, 0.0)]]);
    }

    #[test]
    fn halving_takes_means() {
        let large = [0, 0, 0, 4, 4, 4, 8, 8, 8, 12, 12, 12];
        assert_eq!(halved(&large, 1, 1), [6, 6, 6]);
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.5, "0.5");
        check(100.0, "100");
        check(-20.0, "−20");
        check(0.1 + 0.2, "0.3");
    }
}
