//! What stands beside the panels: a name for each mark and line.

use super::color::{Look, Stroke};
use super::palette::{label, look};

/// One line of the legend.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Key {
    pub label: String,
    /// Of a line only color and dashes are shown.
    pub line: Option<Stroke>,
    pub mark: Option<Look>,
}

impl Key {
    /// Of a line without marks.
    pub fn line(label: impl Into<String>, stroke: Stroke) -> Self {
        Self { label: label.into(), line: Some(stroke), mark: None }
    }
}

impl Look {
    /// Its entry in a legend: the mark alone.
    pub fn key(self, label: impl Into<String>) -> Key {
        Key { label: label.into(), line: None, mark: Some(self) }
    }

    /// Its entry in a legend: the mark on a line.
    pub fn line_key(self, label: impl Into<String>) -> Key {
        Key { line: Some(self.stroke(2.0)), ..self.key(label) }
    }
}

/// A line for each of the arms that are `shown` of `all`, with its mark.
pub fn keys<'a>(shown: &'a [impl AsRef<str>], all: &'a [&str]) -> impl Iterator<Item = Key> + 'a {
    shown.iter().map(|arm| look(arm.as_ref(), all).key(label(arm.as_ref())))
}

/// As [`keys`], with the mark on a line.
pub fn line_keys<'a>(
    shown: &'a [impl AsRef<str>],
    all: &'a [&str],
) -> impl Iterator<Item = Key> + 'a {
    shown.iter().map(|arm| look(arm.as_ref(), all).line_key(label(arm.as_ref())))
}
