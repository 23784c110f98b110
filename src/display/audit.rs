//! The authors' numbers: rows of the paper's tables against what follows from them, and facts of an audit.

use super::{InfoCard, Media, Show};
use crate::audit::{AuditVerdict, Fact, Table2, Table2Row, facts_table};
use crate::table::{Cell, NOTHING, Table, minus};

fn change(value: impl Into<Option<f64>>) -> Cell {
    Cell::number(value, 2)
}

fn yes(follows: bool) -> &'static str {
    if follows { "yes" } else { "no" }
}

impl Show for Table2 {
    fn media(&self) -> Media {
        let title = format!(
            "{} of {} printed BWT follow from the accuracies",
            self.transfers_that_follow(),
            self.rows.len()
        );
        Table::new(title)
            .legend("Percent. Printed: in Table 2. Comes out: from the accuracies that Table 12 prints.")
            .rows(&self.rows)
            .column("model, target, arm", Table2Row::title)
            .column("BWT printed", |row| change(row.printed_transfer))
            .column("comes out", |row| change(row.transfer()))
            .column("follows", |row| yes(row.transfer_follows()))
            .column("TI printed", |row| change(row.printed_improvement))
            .column("comes out", |row| change(row.improvement()))
            .column("follows", |row| yes(row.improvement_follows()))
            .table()
            .media()
    }
}

impl Show for Table2Row {
    fn media(&self) -> Media {
        let part = |name: &str| if name == self.target { "TI" } else { "BWT" };
        Table::new(self.title())
            .legend(format!(
                "BWT, the mean of the four: {}, printed {}. TI: {}, printed {}.",
                change(self.transfer()).shown(),
                change(self.printed_transfer).shown(),
                change(self.improvement()).shown(),
                change(self.printed_improvement).shown()
            ))
            .column("task", Self::TASKS)
            .column("before", self.before.map(|share| Cell::number(share, 4)))
            .column("after", self.after.map(|share| Cell::number(share, 4)))
            .column("change %", self.changes().map(change))
            .column("part of", Self::TASKS.map(part))
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
        let columns = [
            ("fact", "fact"),
            ("stated", "stated"),
            ("comes out", "recomputed"),
            ("verdict", "verdict"),
        ];
        facts_table(self).view(format!("{follow} of {} facts follow", self.len()), &columns).media()
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
