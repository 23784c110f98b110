//! The paper against itself: the changes that its Table 2 prints, and the accuracies of its Table 12 from which they should follow.
//!
//! ```
//! use unforget::audit::table_2;
//! let row = table_2().row("Gemma 2 2B", "MBPP", "STM")?.clone();
//! assert_eq!(row.printed_transfer, 0.42);
//! assert!(row.transfer_follows() && row.improvement_follows());
//! # Ok::<(), unforget::error::Error>(())
//! ```

use super::bases::TOLERANCE;
use super::printed::{ENTRIES, Entry, Quantity, TABLE_12};
use super::raw_digits::TASKS;
use crate::error::{Error, Result};
use crate::metric::{backward_transfer, relative_change, target_improvement};
use serde::Serialize;

/// Rows of Table 2 of which Table 12 prints the accuracies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table2 {
    /// In the order of the table.
    pub rows: Vec<Table2Row>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table2Row {
    /// The model that was trained.
    pub model: String,
    /// The task it was trained for.
    pub target: String,
    /// What it was trained on.
    pub arm: String,
    /// Accuracies of the untouched model on [`Table2Row::TASKS`], as shares.
    pub before: [f64; 5],
    /// Those of the trained one.
    pub after: [f64; 5],
    /// The BWT that is printed, in percent.
    pub printed_transfer: f64,
    /// The TI that is printed, in percent.
    pub printed_improvement: f64,
}

/// The rows of Table 2 with Table 12's accuracies.
pub fn table_2() -> Table2 {
    let row = |entry: &Entry| {
        let scores = |other: &&Entry| other.table == "Table 12" && other.row == entry.row;
        let scores = ENTRIES.iter().find(scores)?;
        let (_, before) = TABLE_12.iter().find(|(model, _)| *model == entry.pick.model)?;
        let cell = |of: Quantity| {
            let cell = |entry: &Entry| {
                let mut cells = entry.cells.iter();
                cells.find(|(q, ..)| *q == of).map(|(_, value, _)| *value)
            };
            cell(entry).or_else(|| cell(scores))
        };
        let mut after = [0.0; 5];
        for (task, after) in after.iter_mut().enumerate() {
            *after = cell(Quantity::Score(task))?;
        }
        Some(Table2Row {
            model: entry.pick.model.name().to_owned(),
            target: TASKS[entry.pick.target].to_owned(),
            arm: entry.row.rsplit(", ").next()?.to_owned(),
            before: *before,
            after,
            printed_transfer: cell(Quantity::Transfer)?,
            printed_improvement: cell(Quantity::Improvement)?,
        })
    };
    let rows = ENTRIES.iter().filter(|entry| entry.table == "Table 2");
    Table2 { rows: rows.filter_map(row).collect() }
}

impl Table2 {
    /// The row of a model, the task it was trained for, and what it was trained on: `ground truth`, `Self-Output`, `Rephrase` or `STM`.
    ///
    /// # Errors
    /// There is no such row.
    pub fn row(&self, model: &str, target: &str, arm: &str) -> Result<&Table2Row> {
        let fits = |row: &&Table2Row| row.model == model && row.target == target && row.arm == arm;
        self.rows.iter().find(fits).ok_or_else(|| {
            let title = format!("{model}, {target}, {arm}");
            let known: Vec<String> = self.rows.iter().map(Table2Row::title).collect();
            let problem = format!("there is none `{title}`, only {}", known.join("; "));
            Error::invalid("row", problem)
        })
    }

    /// The rows of one model.
    ///
    /// # Errors
    /// There is none.
    pub fn of(&self, model: &str) -> Result<Self> {
        let fitting = self.rows.iter().filter(|row| row.model == model);
        let rows: Vec<Table2Row> = fitting.cloned().collect();
        match rows.is_empty() {
            true => Err(Error::invalid("model", format!("there is no row of `{model}`"))),
            false => Ok(Self { rows }),
        }
    }

    /// The same rows, had the untouched model scored `score` on `task`.
    ///
    /// # Errors
    /// There is no such task.
    pub fn with_base(&self, task: &str, score: f64) -> Result<Self> {
        let rows = self.rows.iter().map(|row| row.with_base(task, score));
        Ok(Self { rows: rows.collect::<Result<_>>()? })
    }

    /// How many of the printed BWT follow from the accuracies.
    pub fn transfers_that_follow(&self) -> usize {
        let follow = self.rows.iter().filter(|row| row.transfer_follows());
        follow.count()
    }
}

impl Table2Row {
    /// The five tasks, in the order of the accuracies.
    pub const TASKS: [&'static str; 5] = TASKS;

    /// What it is, in words.
    pub fn title(&self) -> String {
        format!("{}, {}, {}", self.model, self.target, self.arm)
    }

    /// BWT from the accuracies, in percent; `None` where a base is 0.
    pub fn transfer(&self) -> Option<f64> {
        let pairs: Vec<(f64, f64)> =
            self.others().map(|task| (self.before[task], self.after[task])).collect();
        backward_transfer(&pairs)
    }

    /// TI from the accuracies, in percent; `None` where the base is 0.
    pub fn improvement(&self) -> Option<f64> {
        let own = (0..5).find(|task| TASKS[*task] == self.target)?;
        target_improvement(self.before[own], self.after[own])
    }

    /// The change of each task, in percent; `None` where its base is 0.
    pub fn changes(&self) -> [Option<f64>; 5] {
        std::array::from_fn(|task| relative_change(self.before[task], self.after[task]))
    }

    /// Whether the printed BWT is what comes out, with room for the rounding of both.
    pub fn transfer_follows(&self) -> bool {
        follows(self.printed_transfer, self.transfer())
    }

    /// Whether the printed TI is what comes out.
    pub fn improvement_follows(&self) -> bool {
        follows(self.printed_improvement, self.improvement())
    }

    /// The lowest and the highest BWT that accuracies give which are the same when they are rounded to `decimals` decimals; `None` where a base could
    /// be 0.
    pub fn range(&self, decimals: u32) -> Option<(f64, f64)> {
        let unit = 10f64.powi(-i32::try_from(decimals).ok()?);
        let shown = |score: f64| (score / unit).round() * unit;
        let mut range = (0.0, 0.0);
        for task in self.others() {
            let (before, after) = (shown(self.before[task]), shown(self.after[task]));
            let low = relative_change(before + unit / 2.0, (after - unit / 2.0).max(0.0))?;
            let least = before - unit / 2.0;
            let high = (least > 0.0).then(|| relative_change(least, after + unit / 2.0))??;
            range = (range.0 + low / 4.0, range.1 + high / 4.0);
        }
        Some(range)
    }

    /// The score of the untouched model on `task` that gives the printed BWT, if the other accuracies are right; `None` where none does.
    ///
    /// # Errors
    /// There is no such task, or it is the target.
    pub fn implied_base(&self, task: &str) -> Result<Option<f64>> {
        let at = place(task)?;
        if task == self.target {
            let problem = "is what was trained for, and no part of BWT";
            return Err(Error::invalid(task, problem));
        }
        // the mean of the four ratios is 1 + BWT; three of them are known
        let mut rest = 4.0 * (1.0 + self.printed_transfer / 100.0);
        for other in self.others().filter(|other| *other != at) {
            match self.before[other] > 0.0 {
                true => rest -= self.after[other] / self.before[other],
                false => return Ok(None),
            }
        }
        Ok((rest > 0.0).then(|| self.after[at] / rest))
    }

    /// The same row, had the untouched model scored `score` on `task`.
    ///
    /// # Errors
    /// There is no such task.
    pub fn with_base(&self, task: &str, score: f64) -> Result<Self> {
        let mut row = self.clone();
        row.before[place(task)?] = score;
        Ok(row)
    }

    /// The same row with the base scores of two tasks exchanged, as when a formula takes the wrong column.
    ///
    /// # Errors
    /// There is no such task.
    pub fn with_bases_exchanged(&self, one: &str, other: &str) -> Result<Self> {
        let mut row = self.clone();
        row.before.swap(place(one)?, place(other)?);
        Ok(row)
    }

    /// The same row with the two printed changes exchanged.
    pub fn with_changes_exchanged(&self) -> Self {
        Self {
            printed_transfer: self.printed_improvement,
            printed_improvement: self.printed_transfer,
            ..self.clone()
        }
    }

    fn others(&self) -> impl Iterator<Item = usize> + '_ {
        (0..5).filter(|task| TASKS[*task] != self.target)
    }
}

fn place(task: &str) -> Result<usize> {
    let found = TASKS.iter().position(|name| *name == task);
    found.ok_or_else(|| {
        let problem = format!("there is no `{task}`, only {}", TASKS.join(", "));
        Error::invalid("task", problem)
    })
}

fn follows(printed: f64, found: Option<f64>) -> bool {
    // a sum of decimals is off by its last bits
    found.is_some_and(|found| (found - printed).abs() <= TOLERANCE + 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, target: &str, arm: &str) -> Table2Row {
        table_2().row(model, target, arm).unwrap().clone()
    }

    #[test]
    fn both_tables_are_of_the_same_rows() {
        let table = table_2();
        assert_eq!(table.rows.len(), 16);
        let stm = row("Llama 3 8B", "MATH", "STM");
        assert_eq!(stm.after, [0.6164, 0.3340, 0.7509, 0.7506, 0.2027]);
        assert_eq!(stm.before[3], 0.7255);
        assert!((stm.improvement().unwrap() - 6.369).abs() < 1e-3);
        let error = table.row("Llama 3 8B", "MATH", "STN").unwrap_err();
        assert!(error.to_string().contains("MATH, STM"), "{error}");
        assert!(table.of("GPT").is_err());
    }

    #[test]
    fn another_base_of_gsm8k_lets_more_rows_of_llama_follow() {
        let llama = table_2().of("Llama 3 8B").unwrap();
        let other = llama.with_base("GSM8K", 0.7756).unwrap();
        assert!(other.transfers_that_follow() > llama.transfers_that_follow() + 2);
        assert!(llama.with_base("GSM", 0.7).is_err());
    }

    #[test]
    fn the_implied_base_gives_the_printed_number() {
        let own = row("Llama 3 8B", "MATH", "Rephrase");
        let base = own.implied_base("GSM8K").unwrap().unwrap();
        let with = own.with_base("GSM8K", base).unwrap();
        assert!((with.transfer().unwrap() - own.printed_transfer).abs() < 1e-9);
        assert!(own.implied_base("MATH").is_err());
    }

    #[test]
    fn slips_are_undone_by_the_same_slip() {
        let own = row("Gemma 2 2B", "MBPP", "Rephrase");
        assert!(!own.transfer_follows());
        let exchanged = own.with_bases_exchanged("ARC", "GSM8K").unwrap();
        assert!(exchanged.transfer_follows(), "{:?}", exchanged.transfer());
        assert_eq!(exchanged.with_bases_exchanged("GSM8K", "ARC").unwrap(), own);
        assert_eq!(own.with_changes_exchanged().with_changes_exchanged(), own);
    }

    #[test]
    fn fewer_decimals_leave_more_room() {
        let own = row("Gemma 2 2B", "MBPP", "STM");
        let wide = |decimals| own.range(decimals).map(|(low, high)| high - low);
        assert!(wide(4).unwrap() < wide(3).unwrap() && wide(3).unwrap() < wide(2).unwrap());
        let (low, high) = own.range(4).unwrap();
        let found = own.transfer().unwrap();
        assert!(low < found && found < high && high - low < 0.1);
    }
}
