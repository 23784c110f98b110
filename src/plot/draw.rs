//! How a figure becomes SVG or PNG. Lengths are in pixels of the screen, positions in the axes' units.

use super::canvas::{BOTTOM_RIGHT, CENTER, Canvas, LEFT, RIGHT, TOP, TOP_LEFT, Type, drawing};
use super::palette::{INK, PAPER};
use super::{Key, LEGEND_ABOVE, Layer, Panel, Plot, Stroke};
use crate::error::Result;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};

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

    fn draw<B: DrawingBackend<ErrorType: 'static>>(
        &self,
        backend: &mut B,
        scale: f64,
        sink: f64,
    ) -> Result<()> {
        let mut canvas = Canvas::new(backend, scale, sink)?;
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        canvas.rectangle((0.0, 0.0), (width, height), PAPER)?;
        let within = width - 2.0 * MARGIN;
        let top = match self.title.is_empty() && self.note.is_empty() {
            true => 4.0,
            false => {
                let below = canvas.paragraph(&self.title, (MARGIN, MARGIN), within, Type::TITLE)?;
                canvas.paragraph(&self.note, (MARGIN, below + 4.0), within, Type::NOTE)? + 12.0
            }
        };
        let (beside, top) = match self.size.0 < LEGEND_ABOVE {
            true => (0.0, self.draw_legend_above(&mut canvas, top)?),
            false => (self.draw_legend(&mut canvas, top)?, top),
        };
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
        canvas.finish()
    }

    /// Draws the legend in lines below each other and returns where the next thing may start.
    fn draw_legend_above<B: DrawingBackend<ErrorType: 'static>>(
        &self,
        canvas: &mut Canvas<B>,
        top: f64,
    ) -> Result<f64> {
        for (index, key) in self.legend.iter().enumerate() {
            draw_key(canvas, key, (MARGIN, top + 8.0 + 22.0 * index as f64))?;
        }
        Ok(top + 22.0 * self.legend.len() as f64)
    }

    /// Draws the legend at the right and returns the width it takes.
    fn draw_legend<B: DrawingBackend<ErrorType: 'static>>(
        &self,
        canvas: &mut Canvas<B>,
        top: f64,
    ) -> Result<f64> {
        let mut widest = 0f64;
        for key in &self.legend {
            widest = widest.max(canvas.width(&key.label, Type::LABEL)?);
        }
        if self.legend.is_empty() {
            return Ok(0.0);
        }
        let takes = widest + 44.0;
        let left = f64::from(self.size.0) - takes - MARGIN + 10.0;
        for (index, key) in self.legend.iter().enumerate() {
            draw_key(canvas, key, (left, top + 34.0 + 24.0 * index as f64))?;
        }
        Ok(takes)
    }
}

fn draw_key<B: DrawingBackend<ErrorType: 'static>>(
    canvas: &mut Canvas<B>,
    key: &Key,
    (left, y): (f64, f64),
) -> Result<()> {
    if let Some(stroke) = key.line {
        let stroke = Stroke { width: 2.0, opacity: 1.0, ..stroke };
        canvas.line(&[(left, y), (left + 24.0, y)], stroke)?;
    }
    if let Some(look) = key.mark {
        canvas.mark((left + 12.0, y), look, 5.5, true)?;
    }
    canvas.text(&key.label, (left + 34.0, y), Type::LABEL, LEFT)
}

const MARGIN: f64 = 18.0;
/// Height of an axis' name.
const NAME_X: f64 = 20.0;

impl Panel {
    fn draw<B: DrawingBackend<ErrorType: 'static>>(
        &self,
        canvas: &mut Canvas<B>,
        from: (f64, f64),
        to: (f64, f64),
        name_x: bool,
    ) -> Result<()> {
        let head = if self.heading.is_some() { 24.0 } else { 10.0 };
        // names of categories may need more room than numbers
        let mut names = 0f64;
        for name in &self.y.categories {
            names = names.max(canvas.width(name, Type::TICK)?);
        }
        let (left, right) = (from.0 + f64::max(58.0, names + 26.0), to.0 - 12.0);
        let (top, bottom) = (from.1 + head, to.1 - 26.0 - if name_x { NAME_X } else { 0.0 });
        let at = |(x, y): (f64, f64)| {
            (left + self.x.place(x) * (right - left), bottom - self.y.place(y) * (bottom - top))
        };
        if let Some((heading, color)) = &self.heading {
            canvas.rectangle((left, from.1 + 4.0), (left + 10.0, from.1 + 14.0), *color)?;
            canvas.text(heading, (left + 16.0, from.1 + 9.0), Type::LABEL, LEFT)?;
        }
        let grid = INK.stroke(1.0).opacity(0.1);
        let mut free = f64::NEG_INFINITY;
        for tick in self.x.ticks() {
            let (x, _) = at((tick, self.y.from));
            canvas.line(&[(x, top), (x, bottom)], grid)?;
            let text = self.x.tick(tick);
            // what would run into the tick before is left out
            let half = canvas.width(&text, Type::TICK)? / 2.0;
            if x - half >= free {
                canvas.text(&text, (x, bottom + 8.0), Type::TICK, TOP)?;
                free = x + half + 4.0;
            }
        }
        for tick in self.y.ticks() {
            let (_, y) = at((self.x.from, tick));
            canvas.line(&[(left, y), (right, y)], grid)?;
            canvas.text(&self.y.tick(tick), (left - 8.0, y), Type::TICK, RIGHT)?;
        }
        canvas
            .line(&[(left, top), (left, bottom), (right, bottom)], INK.stroke(1.0).opacity(0.6))?;
        if name_x && !self.x.label.is_empty() {
            canvas.text(&self.x.label, ((left + right) / 2.0, bottom + 28.0), Type::LABEL, TOP)?;
        }
        if !self.y.label.is_empty() {
            let middle = (from.0 + 8.0, (top + bottom) / 2.0);
            canvas.text(&self.y.label, middle, Type::UPWARDS, CENTER)?;
        }
        let inside = |&(x, y): &(f64, f64)| self.x.holds(x) && self.y.holds(y);
        for layer in &self.layers {
            match layer {
                Layer::Line { points, stroke } => {
                    let points: Vec<(f64, f64)> =
                        points.iter().copied().filter(inside).map(at).collect();
                    canvas.line(&points, *stroke)?;
                }
                Layer::Marks { points, look, size, filled } => {
                    for point in points.iter().copied().filter(inside) {
                        canvas.mark(at(point), *look, *size, *filled)?;
                    }
                }
                Layer::Spread { at: center, x, y, color } => {
                    let across = [(x.0, center.1), (x.1, center.1)].map(at);
                    let upright = [(center.0, y.0), (center.0, y.1)].map(at);
                    let stroke = color.stroke(1.5).opacity(0.6);
                    canvas.line(&across, stroke)?;
                    canvas.line(&upright, stroke)?;
                }
                Layer::Bars { bars, color } => {
                    for &(x0, x1, y) in bars {
                        canvas.rectangle(at((x0, y)), at((x1, self.y.from.max(0.0))), *color)?;
                    }
                }
                Layer::Upright { x, label, color } if self.x.holds(*x) => {
                    let (x, _) = at((*x, self.y.from));
                    canvas.line(&[(x, top), (x, bottom)], color.stroke(1.5).dashed())?;
                    canvas.text(label, (x + 5.0, top + 2.0), Type::TICK, TOP_LEFT)?;
                }
                Layer::Level { y, label, color } if self.y.holds(*y) => {
                    let (_, y) = at((self.x.from, *y));
                    canvas.line(&[(left, y), (right, y)], color.stroke(1.5).dashed())?;
                    canvas.text(label, (right - 2.0, y - 4.0), Type::TICK, BOTTOM_RIGHT)?;
                }
                Layer::Upright { .. } | Layer::Level { .. } => {}
            }
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_takes_means() {
        let large = [0, 0, 0, 4, 4, 4, 8, 8, 8, 12, 12, 12];
        assert_eq!(halved(&large, 1, 1), [6, 6, 6]);
    }
}
