//! What is left of each skill: every task a row, every model a mark on it.

use super::figure::Figure;
use super::protocol::Protocol;
use super::summary::{ArmSummary, ResultsSummary};
use crate::plot::palette::{BASE, INK, label, look};
use crate::plot::{Axis, Look, Panel, Plot};
use crate::stats::Estimate;
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
    let (base, arms) = rows.split_first()?;
    if arms.is_empty() {
        return None;
    }
    let names: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    let tasks = &base.tasks;
    let task_names: Vec<&str> = tasks.iter().map(|task| task.task.as_str()).collect();
    let percent =
        |row: &ArmSummary, at: usize| row.tasks.get(at).map(|task| task.score.times(100.0));
    let of = |row: &ArmSummary| (0..tasks.len()).map(|at| percent(row, at)).collect::<Vec<_>>();
    let marks: Vec<(Look, Vec<Option<Estimate>>)> =
        arms.iter().map(|row| (look(&row.arm, &names), of(row))).collect();
    let panel = dumbbells(&task_names, &of(base), &marks);
    let keys = arms.iter().map(|row| look(&row.arm, &names).key(label(&row.arm)));
    let plot = Plot::new(title(&rows, protocol))
        .note(format!(
            "Upright stroke: base. Mark: after training, {}; thin line: one standard error.",
            protocol.words()
        ))
        .panel(panel)
        .legend([crate::plot::Key::line(BASE, INK.stroke(3.0))])
        .legend(keys)
        .size(960, 170 + 56 * tasks.len() as u32);
    let drawn: Vec<(&ArmSummary, usize)> =
        rows.iter().flat_map(|row| (0..tasks.len()).map(|at| (*row, at))).collect();
    let table = Table::default()
        .rows(&drawn)
        .file("task", |(_, at)| &tasks[*at].task)
        .file("arm", |(row, _)| super::tables::arm(&row.arm))
        .file("learning_rate", |(row, _)| Cell::rate(row.learning_rate))
        .file("percent", |(row, at)| Cell::estimate(percent(row, *at)))
        .table();
    Some(Figure { name: "skills", plot, table })
}

/// A row for each task, the target first: base's score as a stroke, each model's as a mark on a line from it. Scores are in percent.
pub fn dumbbells(
    tasks: &[&str],
    base: &[Option<Estimate>],
    models: &[(Look, Vec<Option<Estimate>>)],
) -> Panel {
    let target = |at: usize, name: &str| match at {
        0 => format!("{name} (target)"),
        _ => name.to_owned(),
    };
    let task_names: Vec<String> =
        tasks.iter().enumerate().map(|(at, name)| target(at, name)).collect();
    // the first task on top
    let y = |at: usize| (tasks.len() - 1 - at) as f64;
    let mut panel = Panel::new(
        Axis::new("right answers, percent", 0.0, 100.0),
        Axis::categories("", task_names.into_iter().rev()),
    );
    // models side by side, so that bars do not hide each other
    let beside = |model: usize| 0.16 * ((models.len() - 1) as f64 / 2.0 - model as f64);
    for (at, before) in base.iter().enumerate().take(tasks.len()) {
        let Some(before) = before else { continue };
        let after = |model: usize| models[model].1.get(at).copied().flatten();
        for (model, (look, _)) in models.iter().enumerate() {
            let Some(after) = after(model) else { continue };
            let place = y(at) + beside(model);
            panel = panel.line(
                [(before.value, place), (after.value, place)],
                look.color.stroke(2.5).opacity(0.45),
            );
            if let Some(se) = after.se {
                let ends = [(after.value - se).max(0.0), (after.value + se).min(100.0)];
                panel = panel.line(ends.map(|x| (x, place)), look.color.stroke(1.0).opacity(0.6));
            }
        }
        let ends = [y(at) - 0.3, y(at) + 0.3];
        panel = panel.line(ends.map(|place| (before.value, place)), INK.stroke(3.0));
        for (model, (look, _)) in models.iter().enumerate() {
            if let Some(after) = after(model) {
                panel = panel.marks([(after.value, y(at) + beside(model))], *look, 6.0);
            }
        }
    }
    panel
}

/// Says where the arms are farthest apart, if that is clear, else that no skill is clearly lost.
fn title(rows: &[&ArmSummary], protocol: Protocol) -> String {
    let how = match protocol {
        Protocol::OneRate(_) => "Same rate, same steps",
        _ => "Each at its validated rate",
    };
    let base = rows[0];
    // the largest clear change of an arm against base, by two standard errors of the paired difference
    let clear = rows[1..].iter().flat_map(|row| {
        row.tasks.iter().enumerate().filter_map(move |(at, task)| {
            let points = task.points?;
            (-points.value > 2.0 * points.se.unwrap_or(f64::INFINITY)).then_some((
                *row,
                at,
                points.value,
            ))
        })
    });
    let Some((worst, at, _)) = clear.min_by(|one, other| one.2.total_cmp(&other.2)) else {
        return format!("{how}: no skill is clearly lost");
    };
    let score = |row: &ArmSummary| 100.0 * row.tasks[at].score.value;
    let task = &base.tasks[at].task;
    let others = rows[1..].iter().filter(|row| row.arm != worst.arm && row.tasks.len() > at);
    let left: Vec<String> = [&worst]
        .into_iter()
        .chain(others)
        .map(|row| format!("{:.0} with {}", score(row), label(&row.arm)))
        .collect();
    format!(
        "{how}: of {task}, {:.0} percent right before, is left {}",
        score(base),
        left.join(", ")
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
            format!("{:.0} with ground truth", percent("ground_truth")),
            format!("{:.0} with STM 2.5", percent("stm(2.5)")),
        ] {
            assert!(title.contains(&part), "{title}\n{text}");
        }
        let names: Vec<&str> = figure.plot.legend.iter().map(|key| key.label.as_str()).collect();
        assert_eq!(names, ["base", "ground truth", "STM 2.5", "self-output"]);
        assert!(figure.plot.svg().unwrap().contains("code (target)"));
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
