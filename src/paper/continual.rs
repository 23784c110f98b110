//! Table 19: one target after the other.
//!
//! `R` has a row for each stage, the untouched model first, and a column for each task. With the stages' own tasks `t_1 .. t_T`,
//! backward transfer as Lopez-Paz and Ranzato (2017) define it is the mean over `i < T` of `R[T][t_i] − R[i][t_i]`: what later training
//! did to what was learned before.

use super::outcome::is_base;
use super::{Desk, Shown, printed};
use crate::error::Result;
use crate::experiment::results::{Results, TaskScore};
use crate::experiment::{Experiment, Recipe};
use crate::plot::palette::{BASE, label};
use crate::report::summary;
use crate::stats::{self, Estimate};
use crate::table::{Cell, Table};
use crate::verbs;

/// The targets, in the order in which they are trained for.
pub(super) const STAGES: [&str; 2] = ["algebra", "code"];

/// One arm's matrix of one seed: for each stage the tasks' scores, in the order of `tasks`.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub arm: String,
    /// Of the untouched model, then after each stage; each with all tasks, those of the first recipe in its order.
    pub stages: Vec<Vec<TaskScore>>,
}

/// All courses: each arm with each seed.
pub(super) fn courses(desk: &Desk) -> Result<Vec<Course>> {
    let results: Vec<_> = STAGES
        .iter()
        .map(|target| desk.results("table-19", Some(target)))
        .collect::<Result<_>>()?;
    let chosen = |results: &Results, arm: &str| {
        let run = results.runs.iter().find(|run| run.arm == arm && run.chosen);
        run.map(|run| run.learning_rate)
    };
    let first = desk.experiment("table-19", Some(STAGES[0]))?;
    let (_, untouched) = first.measure(first.base(), BASE)?;
    let mut courses = Vec::new();
    for arm in &first.recipe().arms {
        let name = arm.to_string();
        let Some(rates) = results.iter().map(|r| chosen(r, &name)).collect::<Option<Vec<f64>>>()
        else {
            continue;
        };
        for &seed in &first.recipe().seeds {
            let learned = first.tuned(arm, rates[0], seed)?;
            let place = format!("{}-{seed}-{}", arm.label(), STAGES[0]);
            let merged = verbs::merge(desk.cx, &learned.checkpoint, &place)?;
            let second = Recipe {
                model: merged.model.to_string_lossy().into_owned(),
                arms: vec![arm.clone()],
                seeds: vec![seed],
                ..desk.recipe("table-19", Some(STAGES[1]))?
            };
            // its data is scored and sampled by the model as it is by then
            let second = Experiment::prepare(desk.cx, &second)?;
            let then = second.tuned(arm, rates[1], seed)?;
            let mut stages = vec![untouched.clone()];
            for (checkpoint, at) in [(&merged, 1), (&then.checkpoint, 2)] {
                let place = format!("{}-{seed}-stage-{at}", arm.label());
                stages.push(first.measure(checkpoint, &place)?.1);
            }
            courses.push(Course { arm: name.clone(), stages });
        }
    }
    Ok(courses)
}

/// The course's scores of one task after each stage.
pub(super) fn of_task(course: &Course, task: &str) -> Vec<f64> {
    let score = |scores: &Vec<TaskScore>| {
        scores.iter().find(|score| score.task == task).and_then(summary::score)
    };
    course.stages.iter().filter_map(score).collect()
}

/// Table 19.
pub(super) fn table(desk: &Desk) -> Result<Shown> {
    let courses = courses(desk)?;
    let mut arms: Vec<&str> = Vec::new();
    for course in &courses {
        if !arms.contains(&course.arm.as_str()) {
            arms.push(&course.arm);
        }
    }
    let of_arm =
        |arm: &str| -> Vec<&Course> { courses.iter().filter(|course| course.arm == arm).collect() };
    let stage_names = ["before", "after algebra", "after code"];
    let keys: Vec<(&str, usize)> = arms
        .iter()
        .flat_map(|arm| (0..stage_names.len()).map(move |stage| (*arm, stage)))
        .filter(|(arm, stage)| !is_base(arm) && (*stage > 0 || *arm == arms[0]))
        .collect();
    let mean = |values: Vec<f64>| -> Option<Estimate> {
        Some(Estimate { value: stats::mean(&values)?, se: stats::standard_error(&values) })
    };
    let tasks: Vec<String> = courses
        .first()
        .map(|course| course.stages[0].iter().map(|score| score.task.clone()).collect())
        .unwrap_or_default();
    let mut table = Table::new("First algebra, then code: R, a row after each stage")
        .named("courses")
        .legend(
            "Percent, mean over seeds ± its standard error over seeds. The adapter of the first stage is folded into the weights; the data of the second is scored and sampled by \
             the model as it is by then.",
        )
        .rows(&keys)
        .column("arm", |(arm, stage)| if *stage == 0 { BASE.to_owned() } else { label(arm) })
        .column("stage", |(_, stage)| stage_names[*stage]);
    for task in &tasks {
        table = table.column(format!("{task} ({})", printed::benchmark(task)), |(arm, stage)| {
            let values: Vec<f64> = of_arm(arm)
                .into_iter()
                .filter_map(|course| of_task(course, task).get(*stage).copied())
                .collect();
            let mut estimate = mean(values);
            if *stage == 0 {
                estimate = estimate.map(|estimate| Estimate { se: None, ..estimate });
            }
            Cell::share(estimate)
        });
    }
    let transfer = |arm: &&str| {
        let values: Vec<f64> = of_arm(arm)
            .into_iter()
            .filter_map(|course| {
                let scores = of_task(course, STAGES[0]);
                Some(100.0 * (scores.get(2)? - scores.get(1)?))
            })
            .collect();
        Cell::change(mean(values))
    };
    let gain = |arm: &&str| {
        let values: Vec<f64> = of_arm(arm)
            .into_iter()
            .filter_map(|course| {
                let gains = STAGES.map(|task| {
                    let scores = of_task(course, task);
                    Some(scores.last()? - scores.first()?)
                });
                let gains: Option<Vec<f64>> = gains.into_iter().collect();
                Some(100.0 * stats::mean(&gains?)?)
            })
            .collect();
        Cell::change(mean(values))
    };
    let transfers = Table::new("What the second stage did to the first")
        .named("transfer")
        .legend(
            "Points, mean over seeds ± its standard error over seeds. backward transfer: algebra after code less algebra after algebra (Lopez-Paz and Ranzato 2017). both \
             targets: mean gain on the two over base, at the end.",
        )
        .rows(&arms)
        .column("arm", |arm| label(arm))
        .column("backward transfer", transfer)
        .column("both targets", gain)
        .table();
    let rows = printed::of("table-19", "MATH, then MBPP")?;
    let paper = Table::new("What the paper prints: STM on Llama 8B, MATH, then MBPP")
        .named("printed")
        .rows(&["base", "after MATH", "after MBPP"])
        .column("stage", |stage| *stage);
    let paper = ["MATH", "MBPP", "GSM8K", "ARC", "BIRD"].into_iter().fold(paper, |paper, task| {
        paper.column(task, |stage| {
            let quantity = format!("{task} {stage}");
            let row = rows.iter().find(|row| row.quantity == quantity);
            Cell::number(row.map(|row| row.value), 2)
        })
    });
    Ok(Shown { tables: vec![table.table(), transfers, paper.table()], figures: Vec::new() })
}
