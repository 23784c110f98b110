//! What the paper prints, as data, and which row of the authors' tables each line of it is about.
//!
//! `printed.csv` holds one row for each number: the table or figure, the model, the target task, the arm by the name that recipes use, the
//! quantity, the value, and a note where the number does not follow from the paper's own others. Rows marked "recomputed" stand in the place of
//! printed ones that cannot be right; the note says what is printed. Accuracies are in percent, TI and BWT as the paper defines them.
//!
//! What the audit checks has three cells more: the number with the decimals that are printed, the line of the table, and the file of the authors'
//! that has its row, with the cells that tell the row from others. A few of these have no value: their line is in no exhibit of ours. Only what is
//! known to be printed is there: of Tables 13 to 15 and 18 the cells that we could read.

use super::raw_digits::{Csv, Line, Model, TASKS};
use crate::error::{Error, Result};
use serde::Serialize;
use std::sync::LazyLock;

const TEXT: &str = include_str!("printed.csv");
/// Tables that print accuracies as shares; the others print percent.
const OF_SHARES: [usize; 4] = [12, 19, 20, 21];

/// One printed number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Printed {
    /// `table-2`, `figure-4`.
    pub exhibit: String,
    /// The paper's model, such as `Llama 8B`.
    pub model: String,
    /// The task that was trained for, by the paper's name; empty for the untouched model.
    pub target: String,
    /// The arm, by the name that recipes use.
    pub arm: String,
    /// What is measured: `TI`, `BWT`, `masked`, or a task's name for its accuracy.
    pub quantity: String,
    /// The number.
    pub value: f64,
    /// What is known to be wrong with it; empty if nothing is.
    pub note: String,
}

/// Everything printed.
///
/// # Errors
/// Never with the file that is part of the program; tests read it whole.
pub fn all() -> Result<Vec<Printed>> {
    let rows = rows()?.into_iter().filter(|(_, row)| !row[5].is_empty());
    let printed = |(line, row): (usize, [String; 10])| {
        let [exhibit, model, target, arm, quantity, value, note, ..] = row;
        let value = value.parse().map_err(|_| wrong(line))?;
        Ok(Printed { exhibit, model, target, arm, quantity, value, note })
    };
    rows.map(printed).collect()
}

/// What the paper prints in one exhibit for one target.
pub fn of(exhibit: &str, target: &str) -> Result<Vec<Printed>> {
    let mut rows = all()?;
    rows.retain(|row| row.exhibit == exhibit && (row.target == target || row.target.is_empty()));
    Ok(rows)
}

fn wrong(line: usize) -> Error {
    Error::invalid("printed.csv", format!("line {line} does not read"))
}

/// The cells of each line, with its number.
fn rows() -> Result<Vec<(usize, [String; 10])>> {
    let row = |(at, line): (usize, &str)| {
        Ok((at + 1, cells(line).try_into().map_err(|_| wrong(at + 1))?))
    };
    TEXT.lines().enumerate().skip(1).map(row).collect()
}

/// The cells of one line; those with commas stand in quotes.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cells.last_mut().expect("never empty").push(other),
        }
    }
    cells
}

/// Which row of the authors' tables; of several that fit, the first one with a BWT, else the first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pick {
    pub csv: Csv,
    pub model: Model,
    pub target: usize,
    /// Cells of [`Line::words`] by their place.
    words: Vec<(usize, String)>,
}

/// What a printed cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Quantity {
    /// Share of tokens masked, in percent.
    Filtered,
    /// BWT, in percent.
    Transfer,
    /// TI, in percent.
    Improvement,
    /// Score of a task as a share.
    Score(usize),
    /// Score of a task in percent.
    Percent(usize),
}
use Quantity::{Filtered, Improvement, Percent, Score, Transfer};

/// One line of a table.
pub(super) struct Entry {
    number: usize,
    pub table: String,
    pub row: String,
    pub pick: Pick,
    /// What is printed, with its decimals.
    pub cells: Vec<(Quantity, f64, usize)>,
}

impl Quantity {
    pub fn name(self) -> String {
        match self {
            Transfer => "BWT".into(),
            Improvement => "TI".into(),
            Filtered => "% masked".into(),
            Score(task) => TASKS[task].into(),
            Percent(task) => format!("{} %", TASKS[task]),
        }
    }
}

impl Pick {
    /// From `FILE; COLUMN=CELL; ..`.
    fn parse(text: &str, model: Model, target: usize) -> Option<Self> {
        let mut parts = text.split("; ");
        let file = parts.next()?;
        let csv = Csv::ALL.into_iter().find(|csv| csv.file().name().ends_with(file))?;
        let word = |part: &str| {
            let (column, cell) = part.split_once('=')?;
            Some((csv.place_of_word(column)?, cell.to_owned()))
        };
        Some(Self { csv, model, target, words: parts.map(word).collect::<Option<_>>()? })
    }

    /// The row that is meant.
    pub fn find<'a>(&self, lines: &'a [Line]) -> Option<&'a Line> {
        let fits = |line: &&Line| {
            line.csv == self.csv
                && line.model == Some(self.model)
                && line.target == Some(self.target)
                && (line.selected || self.csv == Csv::Masks)
                && self.words.iter().all(|(at, word)| {
                    line.words.get(*at).is_some_and(|own| own.eq_ignore_ascii_case(word))
                })
        };
        lines
            .iter()
            .filter(fits)
            .find(|line| line.backward_transfer.is_some())
            .or_else(|| lines.iter().find(fits))
    }
}

/// The lines that the audit checks, in the order of the tables.
pub(super) static ENTRIES: LazyLock<Vec<Entry>> =
    LazyLock::new(|| entries().expect("tests read the file that is part of the program"));

fn entries() -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (line, row) in rows()?.iter().filter(|(_, row)| !row[9].is_empty()) {
        let (number, pick, cell) = checked(row).ok_or_else(|| wrong(*line))?;
        match entries.iter_mut().find(|entry| entry.number == number && entry.row == row[8]) {
            Some(entry) => entry.cells.push(cell),
            None => entries.push(Entry {
                number,
                table: format!("Table {number}"),
                row: row[8].clone(),
                pick,
                cells: vec![cell],
            }),
        }
    }
    entries.sort_by_key(|entry| entry.number);
    entries.iter_mut().for_each(|entry| entry.cells.sort_by_key(|cell| cell.0));
    Ok(entries)
}

/// The number of the table, the authors' row, and the cell with its decimals.
fn checked(row: &[String; 10]) -> Option<(usize, Pick, (Quantity, f64, usize))> {
    let [exhibit, model, target, _, quantity, _, _, printed, _, line] = row;
    let number: usize = exhibit.strip_prefix("table-")?.parse().ok()?;
    let task = |name: &str| TASKS.iter().position(|task| *task == name);
    // where several stages are printed, the last task that was trained for stands with the quantity
    let (name, target) = quantity.split_once(" after ").unwrap_or((quantity, target));
    let decimals = printed.split_once('.').map_or(0, |(_, digits)| digits.len());
    let plain = |quantity| Some((quantity, printed.parse().ok()?, decimals));
    let cell = match name {
        "masked" => plain(Filtered),
        "BWT" => plain(Transfer),
        "TI" => plain(Improvement),
        _ if OF_SHARES.contains(&number) => {
            Some((Score(task(name)?), share(printed)?, decimals + 2))
        }
        _ => plain(Percent(task(name)?)),
    };
    Some((number, Pick::parse(line, named(model)?, task(target)?)?, cell?))
}

/// A percentage as the share that is printed: the decimal point moves, and nothing is rounded anew.
fn share(percent: &str) -> Option<f64> {
    format!("{percent}e-2").parse().ok()
}

/// A model by the paper's name.
fn named(model: &str) -> Option<Model> {
    Some(match model {
        "Gemma 2B" => Model::Gemma2b,
        "Gemma 9B" => Model::Gemma9b,
        "Llama 8B" => Model::Llama,
        "Mistral 7B" => Model::Mistral,
        "OLMo 2 7B" => Model::Olmo,
        _ => return None,
    })
}

/// Table 12, rows "OR": MBPP, MATH, ARC without chain of thought, GSM8K, BIRD.
pub(super) static TABLE_12: LazyLock<Vec<(Model, [f64; 5])>> = LazyLock::new(|| {
    let mut bases: Vec<(Model, [f64; 5])> = Vec::new();
    let rows = rows().expect("tests read the file that is part of the program");
    for (_, [exhibit, model, _, arm, quantity, _, _, printed, ..]) in &rows {
        let (Some(model), Some(task), Some(score)) =
            (named(model), TASKS.iter().position(|task| task == quantity), share(printed))
        else {
            continue;
        };
        if exhibit == "table-12" && arm == "base" {
            match bases.iter_mut().find(|(own, _)| *own == model) {
                Some((_, scores)) => scores[task] = score,
                None => {
                    let mut scores = [0.0; 5];
                    scores[task] = score;
                    bases.push((model, scores));
                }
            }
        }
    }
    bases
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_its_row_and_keeps_its_decimals() {
        assert_eq!((ENTRIES.len(), TABLE_12.len()), (80, 3));
        assert_eq!(ENTRIES.iter().map(|entry| entry.cells.len()).sum::<usize>(), 245);
        let entry = |table: &str, row: &str| {
            ENTRIES.iter().find(|entry| entry.table == table && entry.row == row).unwrap()
        };
        let entry_of = entry("Table 19", "Llama 3 8B, after MATH and MBPP");
        assert_eq!(entry_of.cells[0], (Score(0), 0.625, 4));
        assert_eq!(entry_of.pick.words, [(0, "- MATH -> MBPP".to_owned())]);
        assert_eq!(
            entry("Table 13", "Mistral 7B, MATH, threshold 30").cells,
            [(Percent(0), 41.6, 1)]
        );
        let printed = entry("Table 3", "Gemma 2 2B, MBPP, threshold 2.5");
        assert_eq!(printed.cells, [(Filtered, 23.8, 1), (Transfer, 0.4, 1)]);
        let own = of("table-3", "MBPP").unwrap();
        let own = own.iter().find(|row| row.arm == "stm(2.5)" && row.quantity == "masked").unwrap();
        assert_eq!(own.value, 20.84);
    }
}
