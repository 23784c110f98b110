//! What is left of each skill: every task a row, every model a mark on it.

use super::figure::Figure;
use super::protocol::Protocol;
use super::summary::{ArmSummary, ResultsSummary, TaskRow};
use crate::answers::{Comparison, Scores};
use crate::error::Result;
use crate::plot::palette::{BASE, INK, label, look};
use crate::plot::{Axis, Key, Panel, Plot};
use crate::table::{Cell, Table};

/// Arms that are drawn beside base, where the recipe has them; else its first.
const SHOWN: [&str; 3] = ["ground_truth", "stm(2.5)", "self_output"];

/// The rows of base and of the arms that are drawn.
pub fn shown(rows: &[ArmSummary]) -> Vec<&ArmSummary> {
    let base = rows.iter().filter(|row| row.arm == BASE);
    let named: Vec<&ArmSummary> =
        SHOWN.iter().filter_map(|arm| rows.iter().find(|row| row.arm == *arm)).collect();
    match named.len() {
        0 | 1 => rows.iter().take(1 + SHOWN.len()).collect(),
        _ => base.chain(named).collect(),
    }
}

/// Each task's score under base and under up to three arms, with a line from base to each, one standard error to each side; `None` without arms.
pub fn figure(summary: &ResultsSummary, protocol: Protocol) -> Option<Figure> {
    let rows = shown(&summary.arms);
    let models: Vec<Model> = rows
        .iter()
        .map(|row| Model {
            arm: row.arm.clone(),
            learning_rate: row.learning_rate,
            tasks: row.tasks.clone(),
        })
        .collect();
    let how = match protocol {
        Protocol::OneRate(_) => "Same rate, same steps",
        _ => "Each at its validated rate",
    };
    drawn(&models, how, &format!("after training, {}", protocol.words()))
}

impl Comparison {
    /// "What is left of each skill": every task a row, every model a mark on it; `None` without a model beside base.
    ///
    /// # Errors
    /// None that scores can cause.
    pub fn figure(&self) -> Result<Option<Figure>> {
        // a model that is called as an arm is looks like it
        let arm = |name: &str| {
            let known = SHOWN.into_iter().chain(OTHERS);
            let same = |arm: &&str| label(arm).eq_ignore_ascii_case(name);
            known.into_iter().find(same).unwrap_or(name).to_owned()
        };
        let model = |scores: &Scores, changed: bool| -> Result<Model> {
            let pairs = self.base.tasks.iter().zip(&scores.tasks);
            let tasks = pairs.map(|(base, own)| TaskRow::of_pair(base, own, changed));
            Ok(Model {
                arm: arm(&scores.name),
                learning_rate: None,
                tasks: tasks.collect::<Result<_>>()?,
            })
        };
        let mut models = vec![Model { arm: BASE.to_owned(), ..model(&self.base, false)? }];
        for change in &self.changes {
            models.push(model(&change.scores, true)?);
        }
        Ok(drawn(&models, "What is left of each skill", "after training"))
    }
}

/// Arms whose names models of a comparison may have, beside [`SHOWN`].
const OTHERS: [&str; 3] = ["rephrase", "random_mask", "lowest_mask"];

/// One row of marks.
struct Model {
    arm: String,
    learning_rate: Option<f64>,
    tasks: Vec<TaskRow>,
}

fn drawn(rows: &[Model], how: &str, marks: &str) -> Option<Figure> {
    let (base, arms) = rows.split_first()?;
    if arms.is_empty() {
        return None;
    }
    let names: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    let tasks = &base.tasks;
    let target = |at: usize, name: &str| match at {
        0 => format!("{name} (target)"),
        _ => name.to_owned(),
    };
    let task_names: Vec<String> =
        tasks.iter().enumerate().map(|(at, task)| target(at, &task.task)).collect();
    // the first task on top
    let y = |at: usize| (tasks.len() - 1 - at) as f64;
    let mut panel = Panel::new(
        Axis::new("right answers, percent", 0.0, 100.0),
        Axis::categories("", task_names.into_iter().rev()),
    );
    let percent = |row: &Model, at: usize| row.tasks.get(at).map(|task| task.score.times(100.0));
    // arms side by side, so that bars do not hide each other
    let apart = f64::min(0.16, 0.7 / arms.len() as f64);
    let beside = |arm: usize| apart * ((arms.len() - 1) as f64 / 2.0 - arm as f64);
    for at in 0..tasks.len() {
        let Some(before) = percent(base, at) else { continue };
        for (arm, row) in arms.iter().enumerate() {
            let Some(after) = percent(row, at) else { continue };
            let place = y(at) + beside(arm);
            let color = look(&row.arm, &names).color;
            let bar = color.stroke(2.5).opacity(0.45);
            panel = panel.line([(before.value, place), (after.value, place)], bar);
            if let Some(se) = after.se {
                let ends = [(after.value - se).max(0.0), (after.value + se).min(100.0)];
                panel = panel.line(ends.map(|x| (x, place)), color.stroke(1.0).opacity(0.6));
            }
        }
        let ends = [y(at) - 0.3, y(at) + 0.3];
        panel = panel.line(ends.map(|place| (before.value, place)), INK.stroke(3.0));
        for (arm, row) in arms.iter().enumerate() {
            if let Some(after) = percent(row, at) {
                let place = (after.value, y(at) + beside(arm));
                panel = panel.marks([place], look(&row.arm, &names), 6.0);
            }
        }
    }
    let keys = arms.iter().map(|row| look(&row.arm, &names).key(label(&row.arm)));
    let plot = Plot::new(title(rows, how))
        .note(format!("Upright stroke: base. Mark: {marks}; thin line: one standard error."))
        .panel(panel)
        .legend([Key::line(BASE, INK.stroke(3.0))])
        .legend(keys)
        .size(960, 170 + 56 * tasks.len() as u32);
    let marks: Vec<(&Model, usize)> =
        rows.iter().flat_map(|row| (0..tasks.len()).map(move |at| (row, at))).collect();
    let table = Table::default()
        .rows(&marks)
        .file("task", |(_, at)| &tasks[*at].task)
        .file("arm", |(row, _)| super::tables::arm(&row.arm))
        .file("learning_rate", |(row, _)| Cell::rate(row.learning_rate))
        .file("percent", |(row, at)| Cell::estimate(percent(row, *at)))
        .table();
    Some(Figure { name: "skills", plot, table })
}

/// Says where the models are farthest apart, if that is clear, else that no skill is clearly lost.
fn title(rows: &[Model], how: &str) -> String {
    let base = &rows[0];
    // the largest clear change of a model against base, by two standard errors of the paired difference
    let clear = rows[1..].iter().flat_map(|row| {
        row.tasks.iter().enumerate().filter_map(move |(at, task)| {
            let points = task.points?;
            let clear = -points.value > 2.0 * points.se.unwrap_or(f64::INFINITY);
            clear.then_some((row, at, points.value))
        })
    });
    let Some((worst, at, _)) = clear.min_by(|one, other| one.2.total_cmp(&other.2)) else {
        return format!("{how}: no skill is clearly lost");
    };
    let score = |row: &Model| 100.0 * row.tasks[at].score.value;
    let others = rows[1..].iter().filter(|row| row.arm != worst.arm && row.tasks.len() > at);
    let left = others.map(|row| format!(", {:.0} with {}", score(row), label(&row.arm)));
    format!(
        "{how}: of {}, {:.0} percent right before, {:.0} are left with {}{}",
        base.tasks[at].task,
        score(base),
        score(worst),
        label(&worst.arm),
        left.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, sample};

    fn figure_of(results: crate::experiment::results::Results) -> Figure {
        Report::of(results).unwrap().skills().unwrap()
    }

    #[test]
    fn the_heading_is_read_from_what_is_drawn() {
        let figure = figure_of(sample::results());
        let frame = figure.table.frame().unwrap();
        // a mark for each task and model
        assert_eq!(frame.height(), 5 * 4);
        let title = &figure.plot.title;
        assert!(title.starts_with("Same rate, same steps: of "), "{title}");
        let text = String::from_utf8(figure.table.csv().unwrap()).unwrap();
        let task = title.split("of ").nth(1).unwrap().split(',').next().unwrap();
        let percent = |arm: &str| {
            let line =
                text.lines().find(|line| line.starts_with(&format!("{task},{arm},"))).unwrap();
            line.split(',').nth(3).unwrap().parse::<f64>().unwrap()
        };
        for part in [
            format!("{:.0} percent right before", percent(BASE)),
            format!("{:.0} are left with ground truth", percent("ground_truth")),
            format!("{:.0} with STM 2.5", percent("stm(2.5)")),
        ] {
            assert!(title.contains(&part), "{title}\n{text}");
        }
        let names: Vec<&str> = figure.plot.legend.iter().map(|key| key.label.as_str()).collect();
        assert_eq!(names, ["base", "ground truth", "STM 2.5", "self-output"]);
        assert!(figure.plot.svg().unwrap().contains("code (target)"));
    }

    #[test]
    fn a_comparison_of_models_is_drawn_as_arms_are() {
        let results = sample::results();
        let scores = |name: &str, arm: &str| {
            let run = results.runs.iter().find(|run| run.arm == arm && run.chosen).unwrap();
            Scores { name: name.into(), tasks: run.test.clone() }
        };
        let base = Scores { name: "untouched".into(), tasks: results.base.clone() };
        let tuned = [scores("ground truth", "ground_truth"), scores("mine", "stm(2.5)")];
        let tuned: Vec<&Scores> = tuned.iter().collect();
        let figure = Comparison::of_scores(&base, &tuned).unwrap().figure().unwrap().unwrap();
        assert!(figure.plot.title.starts_with("What is left of each skill: of "));
        assert!(figure.plot.title.contains("with ground truth"), "{}", figure.plot.title);
        assert_eq!(figure.table.height(), 3 * 5);
        let look_of = |name: &str| {
            figure.plot.legend.iter().find(|key| key.label == name).and_then(|key| key.mark)
        };
        assert_eq!(look_of("ground truth"), Some(look("ground_truth", &[])));
        assert!(look_of("mine").is_some() && figure.plot.legend[0].label == BASE);
        let alone = Comparison::of_scores(&base, &[]).unwrap();
        assert!(alone.figure().unwrap().is_none());
    }

    #[test]
    fn where_nothing_is_lost_the_heading_says_so() {
        let mut results = sample::results();
        for run in &mut results.runs {
            run.test.clone_from(&results.base);
        }
        assert!(figure_of(results.clone()).plot.title.ends_with("no skill is clearly lost"));
        // of other arms the first ones are drawn
        results.runs.retain(|run| run.arm == "random_mask" || run.arm == "lowest_mask");
        assert_eq!(figure_of(results.clone()).table.height(), 5 * 3);
        results.runs.clear();
        assert!(Report::of(results).unwrap().skills().is_none());
    }
}
