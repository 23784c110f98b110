//! The authors' numbers: rows of the paper's tables against what follows from them, and facts of an audit.

use super::{InfoCard, Media, Show};
use crate::audit::{AuditVerdict, Fact, Table2, Table2Row};
use crate::report::grid::{Grid, NOTHING, minus};

fn change(value: Option<f64>) -> String {
    value.map_or(NOTHING.to_owned(), |value| minus(&format!("{value:.2}")))
}

fn yes(follows: bool) -> String {
    if follows { "yes" } else { "no" }.to_owned()
}

impl Show for Table2 {
    fn media(&self) -> Media {
        let row = |row: &Table2Row| {
            vec![
                row.title(),
                change(Some(row.printed_transfer)),
                change(row.transfer()),
                yes(row.transfer_follows()),
                change(Some(row.printed_improvement)),
                change(row.improvement()),
                yes(row.improvement_follows()),
            ]
        };
        Grid {
            title: format!(
                "{} of {} printed BWT follow from the accuracies",
                self.transfers_that_follow(),
                self.rows.len()
            ),
            legend:
                "Percent. Printed: in Table 2. Comes out: from the accuracies that Table 12 prints."
                    .to_owned(),
            columns: [
                "model, target, arm",
                "BWT printed",
                "comes out",
                "follows",
                "TI printed",
                "comes out",
                "follows",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: self.rows.iter().map(row).collect(),
        }
        .media()
    }
}

impl Show for Table2Row {
    fn media(&self) -> Media {
        let changes = self.changes();
        let task = |(at, name): (usize, &&str)| {
            let what = if *name == self.target { "TI" } else { "BWT" };
            vec![
                (*name).to_owned(),
                format!("{:.4}", self.before[at]),
                format!("{:.4}", self.after[at]),
                change(changes[at]),
                what.to_owned(),
            ]
        };
        Grid {
            title: self.title(),
            legend: format!(
                "BWT, the mean of the four: {}, printed {}. TI: {}, printed {}.",
                change(self.transfer()),
                change(Some(self.printed_transfer)),
                change(self.improvement()),
                change(Some(self.printed_improvement))
            ),
            columns: ["task", "before", "after", "change %", "part of"].map(str::to_owned).to_vec(),
            rows: Self::TASKS.iter().enumerate().map(task).collect(),
        }
        .media()
    }
}

/// One stated value, what comes out, and what is known about why.
impl Show for Fact {
    fn media(&self) -> Media {
        let mut rows = vec![
            ("stated in", self.stated.clone()),
            ("stated", minus(&self.expected)),
            ("comes out", minus(self.recomputed.as_deref().unwrap_or(NOTHING))),
            ("verdict", self.verdict.words().to_owned()),
            ("file", self.file.clone()),
        ];
        if !self.note.is_empty() {
            rows.push(("note", self.note.clone()));
        }
        InfoCard::of(&self.what, &rows).media()
    }
}

/// Facts in short: what is stated, what comes out, and how many follow.
impl Show for Vec<Fact> {
    fn media(&self) -> Media {
        let follow = self.iter().filter(|fact| fact.verdict == AuditVerdict::Follows).count();
        let row = |fact: &Fact| {
            vec![
                fact.what.clone(),
                minus(&fact.expected),
                minus(fact.recomputed.as_deref().unwrap_or(NOTHING)),
                fact.verdict.words().to_owned(),
            ]
        };
        Grid {
            title: format!("{follow} of {} facts follow", self.len()),
            legend: String::new(),
            columns: ["fact", "stated", "comes out", "verdict"].map(str::to_owned).to_vec(),
            rows: self.iter().map(row).collect(),
        }
        .media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::table_2;

    #[test]
    fn a_row_shows_its_mean_beside_what_is_printed() {
        let table = table_2();
        let row = table.row("Gemma 2 2B", "MBPP", "STM").unwrap();
        let text = row.media().text;
        assert!(text.contains("the mean of the four: 0.42, printed 0.42"), "{text}");
        let text = table.media().text;
        assert!(text.contains("of 16 printed BWT follow"), "{text}");
        assert!(text.contains("−38.19"), "{text}");
    }
}
