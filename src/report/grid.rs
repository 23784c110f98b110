//! A table as cells of text, for a terminal and for HTML.
//!
//! Polars' own printing is set by environment variables of the whole process, which a library may not change under running
//! threads; so a [`Grid`] prints itself, and [`Grid::of`] makes one from any frame.

use crate::error::Word;
use polars::prelude::{AnyValue, DataFrame};
use serde::Serialize;

/// Cells of text under column names; the first column names the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// What the table is.
    pub title: String,
    /// What a reader has to know to read it.
    pub legend: String,
    /// One for each column.
    pub columns: Vec<String>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

/// Stands for a value that does not exist.
pub const NOTHING: &str = "–";
/// Blanks between two columns.
const GAP: usize = 2;

impl Grid {
    /// The rows of `frame`, numbers rounded for reading, all of them.
    pub fn of(title: &str, frame: &DataFrame) -> Self {
        let columns = frame.columns();
        let row = |index: usize| -> Vec<String> {
            columns
                .iter()
                .map(|column| column.get(index).map_or(NOTHING.to_owned(), cell))
                .collect()
        };
        Self {
            title: title.to_owned(),
            legend: String::new(),
            columns: columns.iter().map(|column| column.name().to_string()).collect(),
            rows: (0..frame.height()).map(row).collect(),
        }
    }

    /// The table for a terminal, no line longer than `width` unless a single column is: what is too wide becomes several tables
    /// one under the other, each with the first column.
    pub fn text(&self, width: usize) -> String {
        // a cell is one line, whatever a name in it brings
        let plain = |cells: &Vec<String>| -> Vec<String> {
            cells.iter().map(|cell| Word(cell).to_string()).collect()
        };
        let (title, legend) = (self.title.clone(), self.legend.clone());
        let (columns, rows) = (plain(&self.columns), self.rows.iter().map(plain).collect());
        Self { title, legend, columns, rows }.lines(width)
    }

    fn lines(&self, width: usize) -> String {
        let widths: Vec<usize> =
            (0..self.columns.len()).map(|column| self.width_of(column)).collect();
        let mut out = wrap(&self.title, width);
        out.push('\n');
        for part in parts(&widths, width) {
            let line = |cells: &[String]| -> String {
                let mut line = String::new();
                for (place, &column) in part.iter().enumerate() {
                    let blanks = widths[column] - cells[column].chars().count();
                    let (before, after) = if place == 0 { (0, blanks) } else { (GAP + blanks, 0) };
                    line.extend(std::iter::repeat_n(' ', before));
                    line.push_str(&cells[column]);
                    line.extend(std::iter::repeat_n(' ', after));
                }
                line.trim_end().to_owned()
            };
            let total =
                part.iter().map(|&column| widths[column] + GAP).sum::<usize>().saturating_sub(GAP);
            let rule = "─".repeat(total);
            let rows: Vec<String> = self.rows.iter().map(|row| line(row)).collect();
            out.push_str(&format!(
                "{rule}\n{}\n{rule}\n{}\n{rule}\n",
                line(&self.columns),
                rows.join("\n")
            ));
        }
        if !self.legend.is_empty() {
            out.push_str(&wrap(&self.legend, width));
            out.push('\n');
        }
        out
    }

    fn width_of(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.columns[column].chars().count()]).max().unwrap_or(0)
    }
}

/// Which columns go together so that each part fits `width`; the first column is in every part.
fn parts(widths: &[usize], width: usize) -> Vec<Vec<usize>> {
    let Some(first) = widths.first() else {
        return Vec::new();
    };
    let (mut parts, mut used) = (vec![vec![0]], *first);
    for (column, wide) in widths.iter().enumerate().skip(1) {
        let part = parts.last_mut().expect("there is always a part");
        if used + GAP + wide > width && part.len() > 1 {
            parts.push(vec![0, column]);
            used = first + GAP + wide;
        } else {
            part.push(column);
            used += GAP + wide;
        }
    }
    parts
}

/// `text` in lines of at most `width` characters, broken between words.
fn wrap(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn cell(value: AnyValue) -> String {
    match value {
        AnyValue::Null => NOTHING.to_owned(),
        AnyValue::String(text) => text.to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Float64(number) => significant(number),
        AnyValue::Float32(number) => significant(f64::from(number)),
        AnyValue::Boolean(true) => "yes".to_owned(),
        AnyValue::Boolean(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

/// About four significant digits; a minus sign is the typographic one.
pub fn significant(number: f64) -> String {
    let size = number.abs();
    let text = if number == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{number:.2e}")
    } else {
        let decimals = (3.0 - size.log10().floor()).clamp(0.0, 4.0) as usize;
        format!("{number:.decimals$}")
    };
    minus(&text)
}

/// With the sign a reader can tell from a hyphen, and no minus before a zero.
pub fn minus(number: &str) -> String {
    let zero = number.starts_with('-') && number.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if zero { number[1..].to_owned() } else { number.replacen('-', "−", 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            title: "A title that is longer than the table is wide".to_owned(),
            legend: String::new(),
            columns: ["arm", "target", "other", "x"].map(str::to_owned).to_vec(),
            rows: vec![["base", "1.0 ± 0.1", "2", NOTHING].map(str::to_owned).to_vec()],
        }
    }

    #[test]
    fn a_narrow_terminal_gets_several_tables_and_loses_nothing() {
        let text = grid().text(18);
        assert!(text.lines().all(|line| line.chars().count() <= 18), "{text}");
        for cell in ["arm", "base", "target", "1.0 ± 0.1", "other", "2", "x", NOTHING] {
            assert!(text.contains(cell), "{cell} is missing in\n{text}");
        }
        assert_eq!(text.matches("base").count(), 2);
    }

    #[test]
    fn numbers_are_aligned_right() {
        let text = grid().text(80);
        assert!(text.contains("arm      target  other  x\n"), "{text}");
        assert!(text.contains("base  1.0 ± 0.1      2  –\n"), "{text}");
    }

    #[test]
    fn numbers_are_rounded_for_reading() {
        let check = |number: f64, expected: &str| assert_eq!(significant(number), expected);
        check(0.123_456, "0.1235");
        check(12.345_67, "12.35");
        check(-1234.6, "−1235");
        check(0.0, "0");
        check(1e-4, "1.00e−4");
        assert_eq!(minus("-0.0"), "0.0");
    }
}
