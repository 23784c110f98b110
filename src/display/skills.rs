//! What is left of each skill, of models that a page compares.

use crate::answers::{Answers, Scores};
use crate::evaluate::TaskScore;
use crate::plot::palette::{BASE, INK, look};
use crate::plot::{Key, Look, Plot};
use crate::report::figure::Figure;
use crate::report::skills::dumbbells;
use crate::stats::{self, Estimate};
use crate::table::{Cell, Table};

/// Each task's score under `base` and under each of `tuned`, as the report draws it for a whole experiment.
pub fn skills_figure(base: &Answers, tuned: &[&Answers]) -> Figure {
    let before = base.scores();
    let after: Vec<Scores> = tuned.iter().map(|answers| answers.scores()).collect();
    let tasks: Vec<&str> = before.tasks.iter().map(|task| task.task.as_str()).collect();
    let short: Vec<String> = after.iter().map(|scores| short(&scores.name)).collect();
    let names: Vec<&str> = short.iter().map(String::as_str).collect();
    let looks = || names.iter().map(|name| look(name, &names));
    let of = |scores: &Scores| scores.tasks.iter().map(percent).collect::<Vec<_>>();
    let marks: Vec<(Look, Vec<Option<Estimate>>)> = looks().zip(after.iter().map(of)).collect();
    let keys = looks().zip(&after).map(|(look, scores)| look.key(scores.name.clone()));
    let plot = Plot::new(title(&before, &after))
        .note("Upright stroke: base. Mark: after training; thin line: one standard error.")
        .panel(dumbbells(&tasks, &of(&before), &marks))
        .legend([Key::line(BASE, INK.stroke(3.0))])
        .legend(keys)
        .size(700, 170 + 50 * tasks.len() as u32);
    let drawn: Vec<(&Scores, &TaskScore)> = [&before]
        .into_iter()
        .chain(&after)
        .flat_map(|scores| scores.tasks.iter().map(move |task| (scores, task)))
        .collect();
    let table = Table::default()
        .rows(&drawn)
        .file("task", |(_, task)| &task.task)
        .file("model", |(scores, _)| &scores.name)
        .file("percent", |(_, task)| Cell::estimate(percent(task)))
        .table();
    Figure { name: "skills", plot, table }
}

/// A model's name in a table as the arm that it is called after, for its color: `STM 2.5` is `stm(2.5)`.
fn short(name: &str) -> String {
    match name.strip_prefix("STM ") {
        Some(threshold) => format!("stm({threshold})"),
        None => name.replace([' ', '-'], "_"),
    }
}

fn percent(task: &TaskScore) -> Option<Estimate> {
    let values: Vec<f64> = task.items.iter().map(|item| 100.0 * item.value).collect();
    Some(Estimate { value: stats::mean(&values)?, se: stats::standard_error(&values) })
}

/// The skill that one of the models lost most of, and what is left of it with each.
fn title(before: &Scores, after: &[Scores]) -> String {
    let left = |scores: &Scores, at: usize| scores.tasks.get(at).and_then(percent);
    let lost = |scores: &Scores, at: usize| {
        let (before, after) = (left(before, at)?, left(scores, at)?);
        Some(before.value - after.value)
    };
    let at = (0..before.tasks.len()).max_by(|one, other| {
        let most = |at: usize| {
            after.iter().filter_map(|scores| lost(scores, at)).fold(f64::NEG_INFINITY, f64::max)
        };
        most(*one).total_cmp(&most(*other))
    });
    let Some(at) = at else { return "No task was asked".to_owned() };
    let value = |scores: &Scores| left(scores, at).map_or(f64::NAN, |score| score.value);
    let all: Vec<String> =
        after.iter().map(|scores| format!("{:.0} with {}", value(scores), scores.name)).collect();
    let task = &before.tasks[at].task;
    format!("Of {task}, {:.0} percent right before, is left {}", value(before), all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::ItemScore;
    use crate::task::Form;

    #[test]
    fn the_title_names_what_was_lost_most_and_arms_keep_their_colors() {
        let item = |value: f64| ItemScore { value, skill: value, form: Form::Kept };
        let scores = |name: &str, of: [&[f64]; 2]| Scores {
            name: name.into(),
            tasks: ["code", "word"]
                .iter()
                .zip(of)
                .map(|(task, values)| TaskScore {
                    task: (*task).into(),
                    items: values.iter().map(|value| item(*value)).collect(),
                })
                .collect(),
        };
        let before = scores("base", [&[1.0, 0.0], &[1.0, 1.0]]);
        let truth = scores("ground truth", [&[1.0, 0.0], &[0.0, 1.0]]);
        let low = scores("STM 2.5", [&[1.0, 1.0], &[1.0, 1.0]]);
        let said = title(&before, &[truth, low]);
        assert_eq!(
            said,
            "Of word, 100 percent right before, is left 50 with ground truth, 100 with STM 2.5"
        );
        assert_eq!(
            (short("STM 2.5"), short("self-output")),
            ("stm(2.5)".into(), "self_output".into())
        );
        let known = look(&short("ground truth"), &["ground_truth"]);
        assert_eq!(known.color, crate::plot::palette::VERMILION);
    }
}
