//! A table of numbers that knows how each is shown: one source for the terminal, for Markdown, for CSV and for JSON.

use crate::error::{Error, Result};
use crate::report::grid::{Grid, NOTHING, minus};
use crate::stats::Estimate;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use serde::Serialize;

/// One value of a [`Sheet`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with so many decimals.
    Number {
        /// The number.
        value: f64,
        /// Decimals that are shown.
        #[serde(skip)]
        decimals: usize,
    },
    /// A number with its standard error.
    Estimate {
        /// The number.
        value: f64,
        /// Its standard error, where there is one.
        se: Option<f64>,
        /// Whether it is a change, shown with its sign.
        #[serde(skip)]
        signed: bool,
    },
    /// There is no such value.
    Nothing,
}

/// A table: the first column names the rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sheet {
    /// Name of its files, such as `outcome`.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// What a reader has to know to read it.
    pub legend: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

impl Cell {
    /// A number with `decimals`, or nothing.
    pub fn number(value: Option<f64>, decimals: usize) -> Self {
        match value {
            Some(value) if value.is_finite() => Self::Number { value, decimals },
            _ => Self::Nothing,
        }
    }

    /// A change with its sign, or nothing.
    pub fn change(estimate: Option<Estimate>) -> Self {
        Self::estimate(estimate, true)
    }

    /// A share in percent, or nothing.
    pub fn share(estimate: Option<Estimate>) -> Self {
        Self::estimate(estimate.map(|estimate| estimate.times(100.0)), false)
    }

    fn estimate(estimate: Option<Estimate>, signed: bool) -> Self {
        estimate.map_or(Self::Nothing, |Estimate { value, se }| Self::Estimate {
            value,
            se,
            signed,
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number { value, decimals } => minus(&format!("{value:.decimals$}")),
            Self::Estimate { value, se, signed } => {
                let number = match signed {
                    true => crate::report::table::plus(*value),
                    false => minus(&format!("{value:.1}")),
                };
                se.map_or(number.clone(), |se| format!("{number} ± {se:.1}"))
            }
            Self::Nothing => NOTHING.to_owned(),
        }
    }

    fn value(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Number { value, .. } | Self::Estimate { value, .. } => Some(*value),
            Self::Text(_) | Self::Nothing => None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl Sheet {
    /// A table whose rows have names and nothing else yet.
    pub fn new(
        name: &str,
        title: &str,
        first: &str,
        rows: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            legend: String::new(),
            columns: vec![first.to_owned()],
            rows: rows.into_iter().map(|row| vec![Cell::Text(row)]).collect(),
        }
    }

    /// The same with a legend.
    pub fn legend(mut self, legend: &str) -> Self {
        self.legend = legend.to_owned();
        self
    }

    /// The same with one more column, from the first row to the last; rows without a cell get nothing.
    pub fn column(mut self, name: &str, cells: impl IntoIterator<Item = Cell>) -> Self {
        self.columns.push(name.to_owned());
        let mut cells = cells.into_iter();
        for row in &mut self.rows {
            row.push(cells.next().unwrap_or(Cell::Nothing));
        }
        self
    }

    /// Adds a sentence to the legend.
    pub fn note(&mut self, sentence: &str) {
        if !self.legend.is_empty() {
            self.legend.push(' ');
        }
        self.legend.push_str(sentence);
    }

    /// For a terminal and for HTML.
    pub fn grid(&self) -> Grid {
        let row = |row: &Vec<Cell>| row.iter().map(Cell::show).collect();
        Grid {
            title: self.title.clone(),
            legend: self.legend.clone(),
            columns: self.columns.clone(),
            rows: self.rows.iter().map(row).collect(),
        }
    }

    /// As a Markdown table with its title and legend.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = self.columns.iter().enumerate().map(|(at, _)| match at {
            0 => "---".to_owned(),
            _ => "---:".to_owned(),
        });
        let mut text = format!("**{}**\n\n{}", self.title, line(self.columns.clone()));
        text.push_str(&line(rule.collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(Cell::show).collect()));
        }
        if !self.legend.is_empty() {
            text.push_str(&format!("\n{}\n", self.legend));
        }
        text
    }

    /// For work with the numbers: a column of words or of f64 for each of ours, and `NAME se` beside those with standard errors.
    ///
    /// # Errors
    /// Two columns of one name.
    pub fn frame(&self) -> Result<DataFrame> {
        let mut columns: Vec<Column> = Vec::new();
        for (at, name) in self.columns.iter().enumerate() {
            let cells = || self.rows.iter().map(move |row| &row[at]);
            if cells().any(|cell| matches!(cell, Cell::Text(_))) {
                let words = cells().map(|cell| match cell {
                    Cell::Nothing => None,
                    cell => Some(cell.show()),
                });
                columns.push(Series::new(name.into(), words.collect::<Vec<_>>()).into());
                continue;
            }
            let values: Vec<Option<f64>> = cells().map(Cell::value).collect();
            columns.push(Series::new(name.into(), values).into());
            if cells().any(|cell| matches!(cell, Cell::Estimate { .. })) {
                let errors = cells().map(|cell| match cell {
                    Cell::Estimate { se, .. } => *se,
                    _ => None,
                });
                let name = format!("{name} se");
                columns.push(Series::new(name.into(), errors.collect::<Vec<_>>()).into());
            }
        }
        DataFrame::new_infer_height(columns).map_err(Error::library("making a table"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let change = Estimate { value: -12.34, se: Some(1.26) };
        Sheet::new("x", "What changed", "arm", ["one".into(), "t|wo".into()])
            .column("points", [Cell::change(Some(change)), Cell::change(None)])
            .column("share", [Cell::number(Some(0.5), 2)])
            .column("seeds", [5usize, 4].map(Cell::from))
            .legend("A legend.")
    }

    #[test]
    fn one_table_in_every_form() {
        let grid = sheet().grid();
        assert_eq!(grid.rows[0], ["one", "−12.3 ± 1.3", "0.50", "5"]);
        assert_eq!(grid.rows[1], ["t|wo", NOTHING, NOTHING, "4"]);
        let text = sheet().markdown();
        assert!(text.contains("| arm | points | share | seeds |\n| --- | ---: | ---: | ---: |\n"));
        assert!(text.contains("| t\\|wo | – |"), "{text}");
        let frame = sheet().frame().unwrap();
        let names = ["arm", "points", "points se", "share", "seeds"];
        assert_eq!(frame.get_column_names(), names);
        assert_eq!(frame.column("points se").unwrap().null_count(), 1);
        let json = serde_json::to_value(sheet()).unwrap();
        assert_eq!(json["rows"][0][1], serde_json::json!({"value": -12.34, "se": 1.26}));
        assert_eq!(json["rows"][1][2], serde_json::Value::Null);
    }
}
