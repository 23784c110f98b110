//! What was lost: of each task how much is form and how much is skill, and single items before and after.

use super::card::InfoCard;
use super::{Media, Show};
use crate::analysis::{LostPart, Nudged, Regression, TaskChange, TaskChanges};
use crate::report::forgetting::p_value;
use crate::report::grid::{Grid, NOTHING};
use crate::report::table::{percent, plus, signed};
use crate::stats::{self, holm};

impl TaskChanges {
    /// One row for each task: how many items went which way, and how much of the change is skill and how much is form.
    pub fn grid(&self) -> Grid {
        let exact = |task: &TaskChange| task.items.map_or(1.0, |items| items.exact());
        let adjusted = holm(&self.tasks.iter().map(exact).collect::<Vec<_>>());
        let rows = self.tasks.iter().zip(adjusted).map(|(task, p)| {
            let count = |value: fn(&stats::mcnemar::Discordant) -> usize| {
                let count = task.items.as_ref().map(value);
                count.map_or(NOTHING.to_owned(), |count| count.to_string())
            };
            vec![
                task.task.clone(),
                percent(Some(task.base)),
                percent(Some(task.tuned)),
                signed(Some(task.points)),
                plus(task.skill.value),
                plus(task.form.value),
                percent(Some(task.form_kept)),
                count(|items| items.lost),
                count(|items| items.gained),
                p_value(p),
            ]
        });
        Grid {
            title: format!("What {} lost of each task, the target first", self.name),
            legend: "points: change against base ± one standard error over the items, paired; skill: the part of it that remains when a right answer counts in any form; form: the rest. kept %: \
                     answers in the form that was asked for. lost, gained: items that were right and are wrong, and the other way. p: McNemar's exact test of these two counts, adjusted by \
                     Holm for all tasks."
                .to_owned(),
            columns: ["task", "base %", "now %", "points", "skill", "form", "kept %", "lost", "gained", "p"]
                .map(str::to_owned)
                .to_vec(),
            rows: rows.collect(),
        }
    }

    /// One row for each task that should not be lost: its change in points and relative to base, and the mean of each. The second mean is the paper's BWT.
    pub fn transfer(&self) -> Grid {
        let cell = |value: Option<f64>| value.map_or(NOTHING.to_owned(), plus);
        let mut rows: Vec<Vec<String>> = self
            .others()
            .iter()
            .map(|task| {
                vec![
                    task.task.clone(),
                    percent(Some(task.base)),
                    percent(Some(task.tuned)),
                    plus(task.points.value),
                    cell(task.relative()),
                ]
            })
            .collect();
        rows.push(vec![
            "mean".to_owned(),
            NOTHING.to_owned(),
            NOTHING.to_owned(),
            cell(self.backward_transfer_points()),
            cell(self.backward_transfer()),
        ]);
        Grid {
            title: format!("Backward transfer of {}", self.name),
            legend: "points: now − base. relative %: the same divided by base, so that the same points weigh more where base is low. The mean of the last column is the paper's BWT."
                .to_owned(),
            columns: ["task", "base %", "now %", "points", "relative %"].map(str::to_owned).to_vec(),
            rows,
        }
    }
}

impl Show for TaskChanges {
    fn media(&self) -> Media {
        self.grid().media()
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
        let row = |one: &TaskChanges| {
            let mean = |value: fn(&TaskChange) -> f64| {
                let each: Vec<f64> = one.others().iter().map(value).collect();
                stats::mean(&each).map_or(NOTHING.to_owned(), plus)
            };
            let count = |value: fn(&stats::mcnemar::Discordant) -> usize| {
                let counts = one.others().iter().filter_map(|task| task.items.as_ref());
                counts.map(value).sum::<usize>().to_string()
            };
            vec![
                one.name.clone(),
                mean(|task| task.points.value),
                mean(|task| task.skill.value),
                mean(|task| task.form.value),
                count(|items| items.lost),
                count(|items| items.gained),
            ]
        };
        Grid {
            title: "What each model lost of the other tasks".to_owned(),
            legend: "points, skill and form: means over the tasks. lost, gained: items of all of them together.".to_owned(),
            columns: ["model", "points", "skill", "form", "lost", "gained"]
                .map(str::to_owned)
                .to_vec(),
            rows: self.iter().map(row).collect(),
        }
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
        let row = &found.grid().rows[1];
        assert_eq!(row[3..9], ["−50.0 ± 28.9", "−25.0", "−25.0", "75.0", "2", "0"]);
        let mean = found.transfer().rows.pop().unwrap();
        assert_eq!(mean[3..], ["−50.0", "−66.7"]);
        let text = vec![found].media().text;
        assert!(text.contains("−50.0  −25.0  −25.0"), "{text}");
    }

    #[test]
    fn no_loss_is_said_in_words() {
        assert!(Vec::<Regression>::new().media().text.contains("nothing was forgotten"));
    }
}
