//! A table, defined once: text for a terminal, Markdown, HTML, a polars frame, CSV and Parquet are views of it.
//!
//! A column has a heading for people, a name in files, or both; its cells know the value that files hold and how people read it. Polars' own
//! printing is set by environment variables of the whole process, which a library may not change under running threads, so a table prints
//! itself; [`Table::of`] makes one of any frame.
//!
//! ```
//! use unforget::table::{Cell, Table};
//! let runs = [("base", 0.62), ("stm(2.5)", 0.7)];
//! let table = Table::new("What was learned")
//!     .rows(&runs)
//!     .keyed("arm", "arm", |run| run.0)
//!     .keyed("target %", "target", |run| Cell::percent(run.1))
//!     .table();
//! assert!(table.text(80).contains("stm(2.5)      70.0\n"));
//! assert_eq!(table.csv()?, b"arm,target\nbase,0.62\nstm(2.5),0.7\n");
//! # Ok::<(), unforget::error::Error>(())
//! ```

use crate::error::{Error, Plain, Result, Word};
use crate::stats::Estimate;
use minijinja::HtmlEscape;
use polars::prelude::{
    AnyValue, CsvWriter, DataFrame, NamedFrom, ParquetWriter, SerWriter, Series,
};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

/// Width of a terminal that printed tables fit in.
pub const WIDTH: usize = 120;
/// Stands for a value that does not exist.
pub const NOTHING: &str = "–";
/// Blanks between two columns.
const GAP: usize = 2;

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN_AGAIN: &str = "\u{1b}[0m";

/// `text` in a color that ends with it.
fn painted(text: &str, color: &str) -> String {
    format!("{color}{text}{PLAIN_AGAIN}")
}

/// A table; its first column names the rows.
///
/// As JSON it is what people read of it, with numbers in full: name, title, legend, columns and rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Name of its files, such as `outcome`; empty where it has none.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// What a reader has to know to read it.
    pub legend: String,
    columns: Vec<Column>,
    /// Headings of the columns that a narrow terminal shows first.
    first: Vec<String>,
}

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Characters in a line.
    pub width: usize,
    /// Whether columns are left out where not all fit, those of [`Table::first`] last; else they continue in a second table.
    pub fit: bool,
    /// Whether signs and verdicts are colored.
    pub color: bool,
}

impl Layout {
    /// All columns, without colors.
    pub fn plain(width: usize) -> Self {
        Self { width, fit: false, color: false }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    /// For people; none if it is for files alone.
    heading: Option<String>,
    /// In files; none if files have what people read, under the heading.
    key: Option<String>,
    cells: Vec<Cell>,
}

/// One cell of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    value: Value,
    look: Look,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Count(i64),
    /// May be larger than any signed number.
    Seed(u64),
    Yes(bool),
    Number(Option<Estimate>),
    /// One that has a standard error, or could have.
    Estimate(Option<Estimate>),
}

/// How people read it.
#[derive(Debug, Clone, PartialEq)]
enum Look {
    /// The value times this; with four significant digits where no decimals are said, with its sign if it is a change.
    Number { times: f64, decimals: Option<usize>, signed: bool },
    /// These words.
    Words(String),
}

const PLAIN: Look = Look::Number { times: 1.0, decimals: None, signed: false };

impl Cell {
    /// There is no such value.
    pub const NOTHING: Self = Self { value: Value::Number(None), look: PLAIN };

    /// A number with so many decimals.
    pub fn number(value: impl Into<Option<f64>>, decimals: usize) -> Self {
        Self::decimals(number(value), 1.0, decimals, false)
    }

    /// A share, read in percent.
    pub fn percent(share: impl Into<Option<f64>>) -> Self {
        Self::decimals(number(share), 100.0, 1, false)
    }

    /// A change, read with its sign.
    pub fn points(change: impl Into<Option<f64>>) -> Self {
        Self::decimals(number(change), 1.0, 1, true)
    }

    /// A number with its standard error.
    pub fn estimate(estimate: impl Into<Option<Estimate>>) -> Self {
        Self::decimals(Value::Estimate(estimate.into()), 1.0, 1, false)
    }

    /// A share with its standard error, read in percent.
    pub fn share(estimate: impl Into<Option<Estimate>>) -> Self {
        Self::decimals(Value::Estimate(estimate.into()), 100.0, 1, false)
    }

    /// A change with its standard error, read with its sign.
    pub fn change(estimate: impl Into<Option<Estimate>>) -> Self {
        Self::decimals(Value::Estimate(estimate.into()), 1.0, 1, true)
    }

    /// A learning rate as people write it: `3e-4`.
    pub fn rate(rate: impl Into<Option<f64>>) -> Self {
        rate.into().map_or(Self::NOTHING, |rate| Self::from(rate).read(format!("{rate:e}")))
    }

    /// `yes`, or nothing to read.
    pub fn yes(yes: bool) -> Self {
        Self::from(yes).read(if yes { "yes" } else { "" })
    }

    /// The same value, for people in these words.
    pub fn read(self, words: impl Into<String>) -> Self {
        Self { look: Look::Words(words.into()), ..self }
    }

    fn decimals(value: Value, times: f64, decimals: usize, signed: bool) -> Self {
        Self { value, look: Look::Number { times, decimals: Some(decimals), signed } }
    }

    /// Whether there is no such value.
    pub fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Number(None) | Value::Estimate(None))
    }

    /// Whether people read words, which need not be the value.
    fn is_words(&self) -> bool {
        matches!(self.value, Value::Text(_)) || matches!(self.look, Look::Words(_))
    }

    /// The color of a change by its sign as it is read, and of a verdict.
    fn color(&self) -> Option<&'static str> {
        let shown = self.shown();
        match (&self.look, shown.as_str()) {
            (_, "yes" | "holds") => Some(GREEN),
            (_, "no" | "contradicted" | "contradicted here") => Some(RED),
            (_, "cannot tell") => Some(YELLOW),
            (Look::Number { signed: true, .. }, _) if shown.starts_with('+') => Some(GREEN),
            (Look::Number { signed: true, .. }, _) if shown.starts_with('−') => Some(RED),
            _ => None,
        }
    }

    /// The number that files hold.
    fn kept(&self) -> Option<Estimate> {
        let value = match self.value {
            Value::Number(estimate) | Value::Estimate(estimate) => return estimate,
            Value::Count(count) => count as f64,
            Value::Seed(seed) => seed as f64,
            Value::Text(_) | Value::Yes(_) => return None,
        };
        Some(Estimate { value, se: None })
    }

    /// The number that people read, in full, with its standard error.
    pub fn value(&self) -> Option<Estimate> {
        let Look::Number { times, .. } = self.look else { return None };
        self.kept().map(|kept| kept.times(times)).filter(|read| read.value.is_finite())
    }

    /// What people read.
    pub fn shown(&self) -> String {
        let (times, decimals, signed) = match &self.look {
            Look::Words(words) => return words.clone(),
            Look::Number { times, decimals, signed } => (*times, *decimals, *signed),
        };
        let number = |value: f64| match decimals {
            Some(_) if !value.is_finite() => NOTHING.to_owned(),
            Some(_) if signed => plus(value),
            Some(decimals) => minus(&format!("{value:.decimals$}")),
            None => significant(value),
        };
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::Count(count) => count.to_string(),
            Value::Seed(seed) => seed.to_string(),
            Value::Yes(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Value::Number(None) | Value::Estimate(None) => NOTHING.to_owned(),
            Value::Number(Some(estimate)) | Value::Estimate(Some(estimate)) => {
                let Estimate { value, se } = estimate.times(times);
                se.map_or(number(value), |se| format!("{} ± {se:.1}", number(value)))
            }
        }
    }
}

fn number(value: impl Into<Option<f64>>) -> Value {
    Value::Number(value.into().map(|value| Estimate { value, se: None }))
}

macro_rules! cells_from {
    ($($kind:ty: $value:expr;)*) => {$(
        impl From<$kind> for Cell {
            fn from(value: $kind) -> Self {
                let of: fn($kind) -> Value = $value;
                Self { value: of(value), look: PLAIN }
            }
        }
    )*};
}
cells_from! {
    &str: |text| Value::Text(text.to_owned());
    &String: |text| Value::Text(text.clone());
    String: Value::Text;
    usize: |count| Value::Count(count as i64);
    u64: Value::Seed;
    bool: Value::Yes;
    f64: number;
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::NOTHING, T::into)
    }
}

/// As JSON: words and counts as they are, other numbers in full as an object with their standard error.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let json = match (&self.value, self.value()) {
            _ if self.is_nothing() => Json::Null,
            _ if self.is_words() => self.shown().into(),
            (Value::Count(count), _) => (*count).into(),
            (Value::Seed(seed), _) => (*seed).into(),
            (Value::Yes(yes), _) => (*yes).into(),
            (Value::Estimate(_), Some(Estimate { value, se })) => json!({"value": value, "se": se}),
            (_, value) => value.map_or(Json::Null, |value| json!({"value": value.value})),
        };
        json.serialize(serializer)
    }
}

impl Table {
    /// A table without columns yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// The columns of `frame`, all rows, numbers rounded for reading.
    pub fn of(title: &str, frame: &DataFrame) -> Self {
        let cell = |value: AnyValue| match value {
            AnyValue::Null => Cell::NOTHING,
            AnyValue::Float64(number) => number.into(),
            AnyValue::Float32(number) => f64::from(number).into(),
            AnyValue::Boolean(yes) => yes.into(),
            AnyValue::String(text) => text.into(),
            other => other.to_string().into(),
        };
        frame.columns().iter().fold(Self::new(title), |table, column| {
            let cells = (0..column.len()).map(|at| column.get(at).map_or(Cell::NOTHING, cell));
            table.column(column.name().as_str(), cells)
        })
    }

    /// The same with a name for its files.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same with a legend.
    pub fn legend(self, legend: impl Into<String>) -> Self {
        Self { legend: legend.into(), ..self }
    }

    /// Adds a sentence to the legend.
    pub fn note(&mut self, sentence: &str) {
        if !self.legend.is_empty() {
            self.legend.push(' ');
        }
        self.legend.push_str(sentence);
    }

    /// Columns with a cell for each of `rows` follow, each with what it says of a row.
    pub fn rows<T>(self, rows: &[T]) -> ByRow<'_, T> {
        ByRow { table: self, rows }
    }

    /// The same with one more column, from the first row to the last, which files have as people read it, with numbers in full.
    pub fn column<C: Into<Cell>>(
        self,
        heading: impl Into<String>,
        cells: impl IntoIterator<Item = C>,
    ) -> Self {
        self.with(Some(heading.into()), None, cells.into_iter().map(C::into).collect())
    }

    /// The first column says how many rows there are.
    fn with(mut self, heading: Option<String>, key: Option<String>, mut cells: Vec<Cell>) -> Self {
        if let Some(first) = self.columns.first() {
            cells.resize(first.cells.len(), Cell::NOTHING);
        }
        self.columns.push(Column { heading, key, cells });
        self
    }

    /// Another table of these cells: each column's new heading and its name in files, in the order wanted.
    ///
    /// # Panics
    /// There is no such column.
    pub fn view(&self, title: impl Into<String>, columns: &[(&str, &str)]) -> Self {
        columns.iter().fold(Self::new(title), |table, (heading, key)| {
            let cells = self.cells(key).unwrap_or_else(|| panic!("no column {key}"));
            table.column(*heading, cells.iter().cloned())
        })
    }

    /// The same for files that hold what people read.
    pub fn as_read(mut self) -> Self {
        self.columns.retain(|column| column.heading.is_some());
        self.columns.iter_mut().for_each(|column| column.key = None);
        self
    }

    /// The same with the columns that a terminal too narrow for all of them shows first, the most important one in front; the others follow in
    /// their order.
    pub fn first(self, headings: &[&str]) -> Self {
        Self { first: headings.iter().map(|heading| (*heading).to_owned()).collect(), ..self }
    }

    /// The same without columns in which no row has a value.
    pub fn without_empty(mut self) -> Self {
        self.columns.retain(|column| !column.cells.iter().all(Cell::is_nothing));
        self
    }

    /// How many rows there are.
    pub fn height(&self) -> usize {
        self.columns.first().map_or(0, |column| column.cells.len())
    }

    fn read(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.heading.is_some())
    }

    /// What stands above the columns that people read.
    pub fn headings(&self) -> Vec<&str> {
        self.columns.iter().filter_map(|column| column.heading.as_deref()).collect()
    }

    /// The cells of the first column that has this name, in files or else as its heading.
    pub fn cells(&self, name: &str) -> Option<&[Cell]> {
        let named = |of: fn(&Column) -> &Option<String>| {
            self.columns.iter().find(|column| of(column).as_deref() == Some(name))
        };
        let found = named(|column| &column.key).or_else(|| named(|column| &column.heading));
        found.map(|column| column.cells.as_slice())
    }

    /// One cell, to be changed.
    pub fn cell_mut(&mut self, row: usize, heading: &str) -> Option<&mut Cell> {
        let known = |column: &&mut Column| column.heading.as_deref() == Some(heading);
        self.columns.iter_mut().find(known)?.cells.get_mut(row)
    }

    /// What people read.
    pub(crate) fn printed(&self) -> Printed {
        let row = |at: usize| self.read().map(|column| column.cells[at].shown()).collect();
        Printed {
            title: self.title.clone(),
            legend: self.legend.clone(),
            columns: self.headings().into_iter().map(str::to_owned).collect(),
            rows: (0..self.height()).map(row).collect(),
        }
    }

    /// For a terminal, no line longer than `width` unless a single column is: what is too wide becomes several tables one under the other,
    /// each with the first column.
    pub fn text(&self, width: usize) -> String {
        self.text_in(Layout::plain(width))
    }

    /// The same in a layout. Its control characters are only those of its colors.
    pub fn text_in(&self, layout: Layout) -> String {
        let Layout { width, color, .. } = layout;
        let wrapped = |text: &str| wrap(&Plain(text).to_string(), width);
        let (printed, widths) = self.measured();
        let (parts, left_out) = self.parts(&printed, &widths, layout);
        let title = wrapped(&self.title);
        let mut out = if color { painted(&title, BOLD) } else { title } + "\n";
        for part in parts {
            let total = part.iter().map(|&column| widths[column] + GAP).sum::<usize>();
            let rule = "─".repeat(total.saturating_sub(GAP));
            let rows = self.drawn(&printed, &part, &widths, color);
            let heading = line(&printed.columns, &part, &widths, |_| None);
            out.push_str(&format!("{rule}\n{heading}\n{rule}\n{}\n{rule}\n", rows.join("\n")));
        }
        out + &left_out.map_or(String::new(), |text| wrap(&text, width) + "\n")
            + &if self.legend.is_empty() { String::new() } else { wrapped(&self.legend) + "\n" }
    }

    /// For a terminal, without title, legend and rules: a line for the headings and one for each row.
    pub fn lines(&self) -> String {
        self.lines_in(Layout::plain(usize::MAX))
    }

    /// The same in a layout.
    pub fn lines_in(&self, layout: Layout) -> String {
        let (printed, widths) = self.measured();
        let (parts, left_out) = self.parts(&printed, &widths, Layout { fit: true, ..layout });
        let part = parts.into_iter().next().unwrap_or_default();
        let mut lines = vec![line(&printed.columns, &part, &widths, |_| None)];
        lines.extend(self.drawn(&printed, &part, &widths, layout.color));
        lines.extend(left_out.map(|text| wrap(&text, layout.width)));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// What people read, each cell in one line, and how wide each column is.
    fn measured(&self) -> (Printed, Vec<usize>) {
        let printed = self.printed().in_one_line();
        let widths = printed.widths();
        (printed, widths)
    }

    /// Which columns stand together, and which are left out, in words.
    fn parts(
        &self,
        printed: &Printed,
        widths: &[usize],
        layout: Layout,
    ) -> (Vec<Vec<usize>>, Option<String>) {
        if !layout.fit {
            return (parts(widths, layout.width), None);
        }
        // columns of the same heading go together
        let named = self.first.iter().flat_map(|heading| {
            let columns = printed.columns.iter().enumerate();
            columns.filter(move |(_, column)| *column == heading).map(|(at, _)| at)
        });
        let mut order: Vec<usize> = [0].into_iter().chain(named).chain(0..widths.len()).collect();
        let (mut shown, mut used) = (Vec::new(), 0);
        order.retain(|column| *column < widths.len());
        for column in order {
            let wide = if shown.is_empty() { widths[column] } else { GAP + widths[column] };
            if !shown.contains(&column) && (shown.is_empty() || used + wide <= layout.width) {
                shown.push(column);
                used += wide;
            }
        }
        shown.sort_unstable();
        let left_out: Vec<&str> = (0..widths.len())
            .filter(|column| !shown.contains(column))
            .map(|column| printed.columns[column].as_str())
            .collect();
        let words = format!("columns left out: {} (all with --wide)", left_out.join(", "));
        (vec![shown], (!left_out.is_empty()).then_some(words))
    }

    /// The rows with the columns of `part`.
    fn drawn(
        &self,
        printed: &Printed,
        part: &[usize],
        widths: &[usize],
        color: bool,
    ) -> Vec<String> {
        let columns: Vec<&Column> = self.read().collect();
        let rows = printed.rows.iter().enumerate();
        let color = |at: usize, column: usize| columns[column].cells[at].color().filter(|_| color);
        rows.map(|(at, row)| line(row, part, widths, |column| color(at, column))).collect()
    }

    /// As a Markdown table with its title and legend.
    pub fn markdown(&self) -> String {
        let Printed { title, legend, columns, rows } = self.printed();
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut rule = vec!["---:".to_owned(); columns.len()];
        rule.iter_mut().take(1).for_each(|first| *first = "---".to_owned());
        let rows: String = rows.iter().map(|row| line(row)).collect();
        let legend = if legend.is_empty() { legend } else { format!("\n{legend}\n") };
        format!("**{title}**\n\n{}{}{rows}{legend}", line(&columns), line(&rule))
    }

    /// As HTML, every cell escaped, numbers to the right.
    pub fn html(&self) -> String {
        let Printed { title, legend, columns, rows } = self.printed();
        let row = |cells: &[String], tag: &str| -> String {
            let cells = cells.iter().enumerate().map(|(column, cell)| {
                let side = if column == 0 { "left" } else { "right" };
                format!("<{tag} style=\"text-align:{side}\">{}</{tag}>", HtmlEscape(cell))
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = rows.iter().map(|cells| row(cells, "td")).collect();
        let around = |before: &str, text: &str, after: &str| match text.is_empty() {
            true => String::new(),
            false => format!("{before}{}{after}\n", HtmlEscape(text)),
        };
        format!(
            "{}<table>\n<thead>{}</thead>\n<tbody>{rows}</tbody>\n</table>\n{}",
            around("<p><b>", &title, "</b></p>"),
            row(&columns, "th"),
            around("<p>", &legend, "</p>"),
        )
    }

    /// For work with the numbers; what does not exist is null.
    ///
    /// A column with a name of its own in files holds its values as they are, and always has its standard errors beside it, as `NAME_se`. Any other
    /// holds what people read, with numbers in full, and `HEADING se` beside it where there are standard errors.
    ///
    /// # Errors
    /// Two columns of one name.
    pub fn frame(&self) -> Result<DataFrame> {
        let columns = self.columns.iter().flat_map(Column::series).map(Into::into);
        DataFrame::new_infer_height(columns.collect()).map_err(Error::library("making a table"))
    }

    /// [`Table::frame`] as CSV with a header; null is an empty cell.
    ///
    /// # Errors
    /// As [`Table::frame`].
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = CsvWriter::new(&mut bytes).finish(&mut self.frame()?);
        written.map_err(Error::library("writing a table as CSV"))?;
        Ok(bytes)
    }

    /// [`Table::frame`] as Parquet.
    ///
    /// # Errors
    /// As [`Table::frame`].
    pub fn parquet(&self) -> Result<Vec<u8>> {
        parquet(self.frame()?)
    }
}

/// Any frame as Parquet.
///
/// # Errors
/// A column of a kind that Parquet does not have.
pub fn parquet(mut frame: DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let written = ParquetWriter::new(&mut bytes).finish(&mut frame);
    written.map_err(Error::library("writing a table as Parquet"))?;
    Ok(bytes)
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let row = |at| self.read().map(|column| &column.cells[at]).collect::<Vec<_>>();
        let rows: Vec<_> = (0..self.height()).map(row).collect();
        let Self { name, title, legend, .. } = self;
        json!({"name": name, "title": title, "legend": legend, "columns": self.headings(), "rows": rows})
            .serialize(serializer)
    }
}

impl Column {
    /// Its column in a file, and that of the standard errors.
    fn series(&self) -> Vec<Series> {
        let keyed = self.key.is_some();
        let name = self.key.as_ref().or(self.heading.as_ref()).map_or("", String::as_str);
        macro_rules! column {
            ($name:expr, $cell:expr) => {
                Series::new($name.into(), self.cells.iter().map($cell).collect::<Vec<_>>())
            };
        }
        macro_rules! values {
            ($kind:ident) => {
                column!(name, |cell| match &cell.value {
                    Value::$kind(value) => Some(value.clone()),
                    _ => None,
                })
            };
        }
        let first = self.cells.iter().find(|cell| !cell.is_nothing());
        vec![match first.map(|cell| &cell.value) {
            Some(Value::Text(_)) if keyed => values!(Text),
            Some(Value::Count(_)) if keyed => values!(Count),
            Some(Value::Seed(_)) if keyed => values!(Seed),
            Some(Value::Yes(_)) if keyed => values!(Yes),
            _ if !keyed && self.cells.iter().any(Cell::is_words) => {
                column!(name, |cell| (!cell.is_nothing()).then(|| cell.shown()))
            }
            _ => {
                let number = |cell: &Cell| if keyed { cell.kept() } else { cell.value() };
                let has_error = |cell: &Cell| match cell.value {
                    Value::Estimate(estimate) => keyed || estimate.is_some(),
                    _ => false,
                };
                let numbers = column!(name, |cell| Some(number(cell)?.value));
                if !self.cells.iter().any(has_error) {
                    return vec![numbers];
                }
                let name = format!("{name}{}se", if keyed { '_' } else { ' ' });
                return vec![numbers, column!(name, |cell| number(cell)?.se)];
            }
        }]
    }
}

/// A table in the making: what each column says of a row.
#[derive(Debug)]
pub struct ByRow<'a, T> {
    table: Table,
    rows: &'a [T],
}

impl<'a, T> ByRow<'a, T> {
    fn with<C: Into<Cell>>(
        self,
        heading: Option<String>,
        key: Option<String>,
        cell: impl Fn(&'a T) -> C,
    ) -> Self {
        let cells = self.rows.iter().map(|row| cell(row).into()).collect();
        Self { table: self.table.with(heading, key, cells), ..self }
    }

    /// A column that files have as people read it, with numbers in full.
    pub fn column<C: Into<Cell>>(
        self,
        heading: impl Into<String>,
        cell: impl Fn(&'a T) -> C,
    ) -> Self {
        self.with(Some(heading.into()), None, cell)
    }

    /// A column that people read under `heading`; files have its values as they are, as `key`.
    pub fn keyed<C: Into<Cell>>(self, heading: &str, key: &str, cell: impl Fn(&'a T) -> C) -> Self {
        self.with(Some(heading.to_owned()), Some(key.to_owned()), cell)
    }

    /// A column for files alone.
    pub fn file<C: Into<Cell>>(self, key: &str, cell: impl Fn(&'a T) -> C) -> Self {
        self.with(None, Some(key.to_owned()), cell)
    }

    /// The table.
    pub fn table(self) -> Table {
        self.table
    }
}

/// What people read of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Printed {
    title: String,
    legend: String,
    columns: Vec<String>,
    /// Each as long as `columns`.
    rows: Vec<Vec<String>>,
}

impl Printed {
    /// A cell is one line, whatever a name in it brings.
    fn in_one_line(mut self) -> Self {
        for cell in self.rows.iter_mut().chain([&mut self.columns]).flatten() {
            *cell = Word(&cell).to_string();
        }
        self
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.columns]);
            cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        (0..self.columns.len()).map(width).collect()
    }
}

/// Some of a row's cells, the first to the left, the others to the right, each in the color of its column.
fn line(
    cells: &[String],
    part: &[usize],
    widths: &[usize],
    color: impl Fn(usize) -> Option<&'static str>,
) -> String {
    let mut line = String::new();
    for (place, &column) in part.iter().enumerate() {
        let blanks = " ".repeat(widths[column] - cells[column].chars().count());
        let cell = match color(column) {
            Some(color) => painted(&cells[column], color),
            None => cells[column].clone(),
        };
        line += &if place == 0 { cell + &blanks } else { " ".repeat(GAP) + &blanks + &cell };
    }
    line.trim_end().to_owned()
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
pub fn wrap(text: &str, width: usize) -> String {
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

/// With a sign, one decimal; none before a zero.
pub fn plus(value: f64) -> String {
    let text = format!("{value:+.1}");
    if text == "-0.0" || text == "+0.0" { "0.0".to_owned() } else { minus(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::df;

    fn table() -> Table {
        let change = Estimate { value: -12.34, se: Some(1.26) };
        Table::new("What changed")
            .named("x")
            .legend("A legend.")
            .column("arm", ["one", "t|wo"])
            .column("points", [Cell::change(change), Cell::change(None)])
            .column("share", [Cell::number(0.5, 2)])
            .column("seeds", [5_usize, 4])
    }

    #[test]
    fn one_table_in_every_form() {
        let Printed { rows, .. } = table().printed();
        assert_eq!(rows[0], ["one", "−12.3 ± 1.3", "0.50", "5"]);
        assert_eq!(rows[1], ["t|wo", NOTHING, NOTHING, "4"]);
        let text = table().markdown();
        assert!(text.contains("| arm | points | share | seeds |\n| --- | ---: | ---: | ---: |\n"));
        assert!(text.contains("| t\\|wo | – |"), "{text}");
        let frame = table().frame().unwrap();
        let names = ["arm", "points", "points se", "share", "seeds"];
        assert_eq!(frame.get_column_names(), names);
        assert_eq!(frame.column("points se").unwrap().null_count(), 1);
        let json = serde_json::to_value(table()).unwrap();
        assert_eq!(json["rows"][0][1], json!({"value": -12.34, "se": 1.26}));
        assert_eq!(json["rows"][1][2], Json::Null);
        assert_eq!(json["rows"][1][3], 4);
    }

    #[test]
    fn files_hold_values_and_people_read_words() {
        let runs = [(0.5, Some(3e-4), true), (0.25, None, false)];
        let table = Table::default()
            .rows(&runs)
            .keyed("arm", "arm", |_| Cell::from("stm(2.5)").read("STM 2.5"))
            .keyed("target %", "target", |run| Cell::percent(run.0))
            .keyed("rate", "learning_rate", |run| Cell::rate(run.1))
            .keyed("chosen", "chosen", |run| Cell::yes(run.2))
            .file("points", |_| Cell::change(None))
            .table();
        let csv = |table: &Table| String::from_utf8(table.csv().unwrap()).unwrap();
        let read = "STM 2.5      50.0  3e-4     yes\nSTM 2.5      25.0     –\n";
        assert!(table.lines().ends_with(read), "{}", table.lines());
        let files = "arm,target,learning_rate,chosen,points,points_se\nstm(2.5),0.5,0.0003,true,,\nstm(2.5),0.25,,false,,\n";
        assert_eq!(csv(&table), files);
        let read = "arm,target %,rate,chosen\nSTM 2.5,50.0,3e-4,yes\nSTM 2.5,25.0,,\"\"\n";
        assert_eq!(csv(&table.clone().as_read()), read);
        // another order, other headings, the same cells
        let view = table.view("", &[("share", "target"), ("arm", "arm")]);
        assert_eq!(csv(&view), "share,arm\n50.0,STM 2.5\n25.0,STM 2.5\n");
        assert_eq!(view.without_empty().headings(), ["share", "arm"]);
    }

    fn wide() -> Table {
        let title = "A title that is longer than the table is wide";
        ["arm", "target", "other", "x"]
            .into_iter()
            .zip(["base", "1.0 ± 0.1", "2", NOTHING])
            .fold(Table::new(title), |table, (heading, cell)| table.column(heading, [cell]))
    }

    #[test]
    fn a_narrow_terminal_gets_several_tables_and_loses_nothing() {
        let text = wide().text(18);
        assert!(text.lines().all(|line| line.chars().count() <= 18), "{text}");
        for cell in ["arm", "base", "target", "1.0 ± 0.1", "other", "2", "x", NOTHING] {
            assert!(text.contains(cell), "{cell} is missing in\n{text}");
        }
        assert_eq!(text.matches("base").count(), 2);
    }

    #[test]
    fn a_layout_that_fits_leaves_columns_out_by_their_rank_and_names_them() {
        let fit = |width| Layout { width, fit: true, color: false };
        let table = wide().first(&["x", "other"]);
        let text = table.text_in(fit(14));
        assert!(text.contains("\narm   other  x\n"), "{text}");
        assert!(text.contains("columns left\nout: target\n(all with\n--wide)\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 14), "{text}");
        let lines = table.lines_in(fit(8));
        assert!(lines.starts_with("arm   x\nbase  –\n"), "{lines}");
        // what fits is the same table
        assert_eq!(table.text_in(fit(80)), table.text(80));
        assert_eq!(table.lines_in(fit(80)), table.lines());
    }

    #[test]
    fn signs_and_verdicts_have_colors_and_nothing_else_steers_a_terminal() {
        let changes =
            [2.0, -2.0, 0.01].map(|change| Cell::change(Estimate { value: change, se: None }));
        let table = Table::new("a\u{1b}[2J")
            .legend("\u{9b}2J")
            .column("arm\u{7}", ["x\u{1b}c", "y", "z"])
            .column("points", changes)
            .column("verdict", ["yes", "no", "cannot tell"]);
        let layout = Layout { width: 80, fit: true, color: true };
        let text = table.text_in(layout);
        for part in ["\u{1b}[32m+2.0\u{1b}[0m", "\u{1b}[31m−2.0\u{1b}[0m", " 0.0 "] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        for part in ["\u{1b}[32myes", "\u{1b}[31mno\u{1b}", "\u{1b}[33mcannot tell"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        let colors = [GREEN, RED, YELLOW, BOLD, PLAIN_AGAIN];
        let bare = colors.iter().fold(text, |text, color| text.replace(color, ""));
        assert!(bare.chars().all(|c| c == '\n' || !c.is_control()), "{bare:?}");
        assert_eq!(bare, table.text(80));
    }

    #[test]
    fn numbers_are_aligned_right() {
        let text = wide().text(80);
        assert!(text.contains("arm      target  other  x\n"), "{text}");
        assert!(text.contains("base  1.0 ± 0.1      2  –\n"), "{text}");
        assert_eq!(wide().lines(), "arm      target  other  x\nbase  1.0 ± 0.1      2  –\n");
    }

    #[test]
    fn a_frame_is_a_table_with_rounded_numbers() {
        let frame = df!("n" => [1_i64, 2], "x" => [Some(0.123_456), None], "b" => [true, false]);
        let lines = Table::of("t", &frame.unwrap()).lines();
        assert_eq!(lines, "n       x    b\n1  0.1235  yes\n2       –   no\n");
    }

    #[test]
    fn cells_are_text_and_not_markup() {
        let html = Table::new("a < b").column("<i>", ["&"]).html();
        let escaped = ["a &lt; b", "&lt;i&gt;", "&amp;"];
        assert!(escaped.iter().all(|part| html.contains(part)), "{html}");
        assert!(!html.contains("<i>"), "{html}");
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

    #[test]
    fn a_change_that_rounds_to_nothing_has_no_sign() {
        let check = |value: f64, expected: &str| assert_eq!(plus(value), expected);
        check(-0.04, "0.0");
        check(0.04, "0.0");
        check(-1.0, "−1.0");
        check(2.0, "+2.0");
    }
}
