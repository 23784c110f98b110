//! What was lost: of each task how much is form and how much is skill, and single items before and after.

use super::card::InfoCard;
use super::{Media, Show};
use crate::analysis::{LostPart, Nudged, Regression, TaskChange, TaskChanges};
use crate::report::forgetting::p_value;
use crate::stats::{self, holm};
use crate::table::{Cell, Table};

impl TaskChanges {
    /// One row for each task: how many items went which way, and how much of the change is skill and how much is form.
    pub fn table(&self) -> Table {
        let exact = |task: &TaskChange| task.items.map_or(1.0, |items| items.exact());
        let adjusted = holm(&self.tasks.iter().map(exact).collect::<Vec<_>>());
        Table::new(format!("What {} lost of each task, the target first", self.name))
            .legend(
                "points: change against base ± one standard error over the items, paired; skill: the part of it that remains when a right answer counts in any form; form: the rest. kept %: \
                 answers in the form that was asked for. lost, gained: items that were right and are wrong, and the other way. p: McNemar's exact test of these two counts, adjusted by \
                 Holm for all tasks.",
            )
            .rows(&self.tasks)
            .column("task", |task| &task.task)
            .column("base %", |task| Cell::percent(task.base))
            .column("now %", |task| Cell::percent(task.tuned))
            .column("points", |task| Cell::change(task.points))
            .column("skill", |task| Cell::points(task.skill.value))
            .column("form", |task| Cell::points(task.form.value))
            .column("kept %", |task| Cell::percent(task.form_kept))
            .column("lost", |task| task.items.map(|items| items.lost))
            .column("gained", |task| task.items.map(|items| items.gained))
            .table()
            .column("p", adjusted.into_iter().map(p_value))
    }

    /// One row for each task that should not be lost: its change in points and relative to base, and the mean of each. The second mean is the paper's BWT.
    pub fn transfer(&self) -> Table {
        // the mean is the last row
        let rows: Vec<Option<&TaskChange>> = self.others().iter().map(Some).chain([None]).collect();
        Table::new(format!("Backward transfer of {}", self.name))
            .legend("points: now − base. relative %: the same divided by base, so that the same points weigh more where base is low. The mean of the last column is the paper's BWT.")
            .rows(&rows)
            .column("task", |row| row.map_or("mean", |task| &task.task))
            .column("base %", |row| Cell::percent(row.map(|task| task.base)))
            .column("now %", |row| Cell::percent(row.map(|task| task.tuned)))
            .column("points", |row| {
                let mean = || self.backward_transfer_points();
                Cell::points(row.map_or_else(mean, |task| Some(task.points.value)))
            })
            .column("relative %", |row| {
                Cell::points(row.map_or_else(|| self.backward_transfer(), TaskChange::relative))
            })
            .table()
    }
}

impl Show for TaskChanges {
    fn media(&self) -> Media {
        self.table().media()
    }
}

impl From<&Regression> for InfoCard {
    fn from(lost: &Regression) -> Self {
        let part = match lost.lost() {
            LostPart::Form => "its form is lost, the answer is still there",
            LostPart::Skill => "its skill is lost",
        };
        let card = Self::new(format!("{}: {part}", lost.item.id)).row("why", &lost.after.score.why);
        card.text("question", &lost.item.prompt)
            .text("before", &lost.before.answer)
            .text("now", &lost.after.answer)
    }
}

impl Show for Regression {
    fn media(&self) -> Media {
        InfoCard::from(self).media()
    }
}

impl Show for Vec<Regression> {
    /// How many there are of each kind, and the first.
    fn media(&self) -> Media {
        let Some(first) = self.first() else {
            return InfoCard::of("nothing was forgotten", &[]).media();
        };
        let form = self.iter().filter(|one| one.lost() == LostPart::Form).count();
        let mut card = InfoCard::new(format!("{} items were right and are wrong", self.len()))
            .row("in form", form)
            .row("in skill", self.len() - form);
        let first = InfoCard::from(first);
        card.rows.push(("the first".to_owned(), first.title));
        card.rows.extend(first.rows);
        card.texts = first.texts;
        card.media()
    }
}

impl Show for Vec<TaskChanges> {
    /// One row for each model: its losses on the other tasks together.
    fn media(&self) -> Media {
        let mean = |one: &TaskChanges, value: fn(&TaskChange) -> f64| {
            Cell::points(stats::mean(&one.others().iter().map(value).collect::<Vec<_>>()))
        };
        let count = |one: &TaskChanges, value: fn(&stats::mcnemar::Discordant) -> usize| {
            one.others().iter().filter_map(|task| task.items.as_ref()).map(value).sum::<usize>()
        };
        Table::new("What each model lost of the other tasks")
            .legend("points, skill and form: means over the tasks. lost, gained: items of all of them together.")
            .rows(self)
            .column("model", |one| &one.name)
            .column("points", |one| mean(one, |task| task.points.value))
            .column("skill", |one| mean(one, |task| task.skill.value))
            .column("form", |one| mean(one, |task| task.form.value))
            .column("lost", |one| count(one, |items| items.lost))
            .column("gained", |one| count(one, |items| items.gained))
            .table()
            .media()
    }
}

impl Show for Nudged {
    /// How many were right, and the first of which something was given.
    fn media(&self) -> Media {
        let card = InfoCard::new(format!(
            "{} of {} answers are right with {} given",
            self.right(),
            self.items.len(),
            match self.hints {
                0 => "nothing".to_owned(),
                1 => "the beginning, up to the first surprising token,".to_owned(),
                hints => format!("the beginning, up to the {hints} first surprising tokens,"),
            }
        ));
        let Some(at) = self.given.iter().position(|given| !given.is_empty()) else {
            return card.media();
        };
        card.row("the first", &self.items[at].id)
            .row("why", &self.graded[at].score.why)
            .text("given", &self.given[at])
            .text("the whole answer", &self.graded[at].answer)
            .media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::changes;
    use crate::answers::Scores;
    use crate::evaluate::{ItemScore, TaskScore};
    use crate::task::Form;

    fn scores(values: &[(f64, f64)]) -> Scores {
        let item = |(value, skill): &(f64, f64)| ItemScore {
            value: *value,
            skill: *skill,
            form: if value == skill { Form::Kept } else { Form::NoParse },
        };
        let task = |name: &str| TaskScore {
            task: name.to_owned(),
            items: values.iter().map(item).collect(),
        };
        Scores { name: "model".to_owned(), tasks: vec![task("code"), task("word")] }
    }

    #[test]
    fn the_tables_say_what_was_lost_and_how() {
        let before = scores(&[(1.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0)]);
        let after = scores(&[(0.0, 1.0), (0.0, 0.0), (0.0, 0.0), (1.0, 1.0)]);
        let found = changes(&before, &after).unwrap();
        let text = found.table().lines();
        let row = "−50.0 ± 28.9  −25.0  −25.0    75.0     2       0";
        assert!(text.lines().nth(2).unwrap().contains(row), "{text}");
        assert!(found.transfer().lines().ends_with("−50.0       −66.7\n"));
        let text = vec![found].media().text;
        assert!(text.contains("−50.0  −25.0  −25.0"), "{text}");
    }

    #[test]
    fn no_loss_is_said_in_words() {
        assert!(Vec::<Regression>::new().media().text.contains("nothing was forgotten"));
    }
}
