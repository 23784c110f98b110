//! A pair of axes, and what is drawn on them.

use super::axis::Axis;
use super::color::{Color, Look, Stroke};
use crate::stats::{self, Estimate, Spread};

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

/// A value somewhere on the x axis, and from where to where it may lie.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct Measured {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

impl Measured {
    /// The mean over seeds, from the lowest seed to the highest; `None` for no values.
    pub fn over_seeds(x: f64, values: &[f64]) -> Option<Self> {
        let Spread { min, max } = Spread::of(values)?;
        Some(Self { x, y: stats::mean(values)?, low: min, high: max })
    }

    /// An estimate, one standard error to each side.
    pub fn estimate(x: f64, Estimate { value, se }: Estimate) -> Self {
        let se = se.unwrap_or(0.0);
        Self { x, y: value, low: value - se, high: value + se }
    }

    /// Where the value lies.
    pub fn at(&self) -> (f64, f64) {
        (self.x, self.y)
    }

    /// For an axis that holds them.
    pub fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }
}

/// Something drawn on axes; lengths are in pixels, positions in the axes' units.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the fields say it
pub enum Layer {
    Line {
        points: Vec<(f64, f64)>,
        stroke: Stroke,
    },
    Marks {
        points: Vec<(f64, f64)>,
        look: Look,
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

impl Panel {
    /// Empty axes.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self { heading: None, x, y, layers: Vec::new() }
    }

    /// Says above the axes what they show, beside a square of a color.
    pub fn heading(self, heading: impl Into<String>, color: Color) -> Self {
        Self { heading: Some((heading.into(), color)), ..self }
    }

    fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// A line from point to point.
    pub fn line(self, points: impl IntoIterator<Item = (f64, f64)>, stroke: Stroke) -> Self {
        self.layer(Layer::Line { points: points.into_iter().collect(), stroke })
    }

    /// A filled mark at each point, `size` pixels from its middle to its edge.
    pub fn marks(
        self,
        points: impl IntoIterator<Item = (f64, f64)>,
        look: Look,
        size: f64,
    ) -> Self {
        let points = points.into_iter().collect();
        self.layer(Layer::Marks { points, look, size, filled: true })
    }

    /// As [`Panel::marks`], the inside white.
    pub fn open_marks(
        self,
        points: impl IntoIterator<Item = (f64, f64)>,
        look: Look,
        size: f64,
    ) -> Self {
        let points = points.into_iter().collect();
        self.layer(Layer::Marks { points, look, size, filled: false })
    }

    /// Bars that stand on 0, each `(from, to, height)`.
    pub fn bars(self, bars: impl IntoIterator<Item = (f64, f64, f64)>, color: Color) -> Self {
        self.layer(Layer::Bars { bars: bars.into_iter().collect(), color })
    }

    /// A cross from the lowest to the highest value of each axis.
    pub fn spread(self, at: (f64, f64), x: (f64, f64), y: (f64, f64), color: Color) -> Self {
        self.layer(Layer::Spread { at, x, y, color })
    }

    /// Upright bars from the low end to the high one.
    pub fn error_bars<'a>(
        self,
        bars: impl IntoIterator<Item = &'a Measured>,
        color: Color,
    ) -> Self {
        bars.into_iter().fold(self, |panel, bar| {
            panel.spread(bar.at(), (bar.x, bar.x), (bar.low, bar.high), color)
        })
    }

    /// A mark with its error bar.
    pub fn interval(self, interval: Measured, look: Look) -> Self {
        self.error_bars([&interval], look.color).marks([interval.at()], look, 6.0)
    }

    /// Means over seeds, between the thin lines of the lowest and the highest seed.
    pub fn seeds(self, means: &[Measured], color: Color) -> Self {
        let thin = color.stroke(1.0).opacity(0.3);
        self.line(means.iter().map(|mean| (mean.x, mean.low)), thin)
            .line(means.iter().map(|mean| (mean.x, mean.high)), thin)
            .line(means.iter().map(Measured::at), color.stroke(2.0))
    }

    /// A dashed line across at `y`, with its name.
    pub fn level(self, y: f64, label: impl Into<String>, color: Color) -> Self {
        self.layer(Layer::Level { y, label: label.into(), color })
    }

    /// A dashed line from below to above at `x`, with its name.
    pub fn upright(self, x: f64, label: impl Into<String>, color: Color) -> Self {
        self.layer(Layer::Upright { x, label: label.into(), color })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::palette::{GRAY, STM};

    #[test]
    fn layers_lie_in_the_order_in_which_they_are_said() {
        let seeds = Measured::over_seeds(1.0, &[2.0, 6.0]).unwrap();
        assert_eq!((seeds.at(), seeds.ends()), ((1.0, 4.0), [2.0, 6.0]));
        assert_eq!(Measured::over_seeds(1.0, &[]), None);
        let se = Measured::estimate(1.0, Estimate { value: 4.0, se: Some(0.5) });
        assert_eq!(se.ends(), [3.5, 4.5]);
        let axis = || Axis::new("", 0.0, 9.0);
        let panel = Panel::new(axis(), axis()).level(3.0, "base", GRAY).seeds(&[seeds], GRAY);
        let panel = panel.interval(se, STM);
        let kinds = panel.layers.iter().map(|layer| match layer {
            Layer::Line { stroke, .. } => format!("line {}", stroke.width),
            Layer::Marks { filled, .. } => format!("marks {filled}"),
            Layer::Spread { x, y, .. } => format!("spread {} {}", x.1 - x.0, y.1 - y.0),
            Layer::Level { y, .. } => format!("level {y}"),
            other => format!("{other:?}"),
        });
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            ["level 3", "line 1", "line 1", "line 2", "spread 0 1", "marks true"]
        );
    }
}
