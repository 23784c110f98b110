//! Figures: plain data, built as one would say it, and drawn as SVG or PNG.
//!
//! A [`Plot`] has a title, a note, panels one above the other and a legend; a [`Panel`] has two axes and what is drawn on them, in that
//! order. [`spikes`], [`thresholds`], [`loss_panel`] and [`spectrum`] are the kinds of figures that several places show; [`palette`] says how an
//! arm looks in all of them.
//!
//! ```
//! use unforget::plot::{Axis, Panel, Plot, palette};
//! let look = palette::look("stm(2.5)", &["ground_truth", "stm(2.5)"]);
//! let scores = Panel::new(Axis::new("rate", 0.0, 4.0), Axis::new("score, percent", 0.0, 100.0))
//!     .level(40.0, palette::BASE, palette::GRAY)
//!     .line([(1.0, 44.0), (3.0, 52.0)], look.stroke(1.5))
//!     .marks([(1.0, 44.0), (3.0, 52.0)], look, 4.5);
//! let plot = Plot::new("STM learns at every rate").note("One seed.").panel(scores).legend([look.key("STM 2.5")]);
//! assert!(plot.svg()?.starts_with("<svg"));
//! # Ok::<(), unforget::error::Error>(())
//! ```

mod axis;
mod canvas;
mod color;
mod draw;
mod kinds;
mod legend;
pub mod palette;
mod panel;

pub use axis::{Axis, SCORES};
pub use color::{Color, Look, Mark, Stroke};
pub use kinds::{ShareCurve, Spectra, Spikes, loss_panel, spectrum, spikes, thresholds};
pub use legend::{Key, keys, line_keys};
pub use panel::{Layer, Measured, Panel};

/// Pixels of a narrow figure.
const NARROW: u32 = 360;
/// Below this width the legend stands above the panels.
const LEGEND_ABOVE: u32 = 600;

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

impl Plot {
    /// Nothing but a title yet, 960 pixels wide and 480 high.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            note: String::new(),
            panels: Vec::new(),
            legend: Vec::new(),
            size: (960, 480),
        }
    }

    /// Says below the title how to read it.
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Adds a panel below those that are there.
    pub fn panel(self, panel: Panel) -> Self {
        self.panels([panel])
    }

    /// Adds panels below those that are there.
    pub fn panels(mut self, panels: impl IntoIterator<Item = Panel>) -> Self {
        self.panels.extend(panels);
        self
    }

    /// Adds lines to the legend.
    pub fn legend(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.legend.extend(keys);
        self
    }

    /// The same for a narrow page, such as a phone's: 360 pixels wide, the legend above the panels.
    pub fn narrow(mut self) -> Self {
        let lines = self.legend.len() as u32;
        let panels = self.panels.len().max(1) as u32;
        let (width, height) = self.size;
        // panels keep their height, unless one alone would stand upright
        let high = if panels == 1 { height.min(400) } else { height };
        self.size = (NARROW.min(width), high + 22 * lines);
        self
    }

    /// The same without title and note, for a page that says them in its own words.
    pub fn untitled(self) -> Self {
        Self { title: String::new(), note: String::new(), ..self }
    }

    /// Width and height in pixels.
    pub fn size(self, width: u32, height: u32) -> Self {
        Self { size: (width, height), ..self }
    }
}
