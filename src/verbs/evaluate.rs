use super::kept;
use crate::answers::{Answers, Task, Tasks};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evaluate::{self, Graded};
use crate::generate::Sampling;
use crate::model::Checkpoint;
use crate::stats;
use crate::task::Item;

/// Asks the model every question once, greedily, and grades its answers. `name` is what the model is called in tables.
///
/// # Errors
/// The model cannot be read, a task or an item stands there twice, or this machine cannot grade an answer.
pub fn evaluate(
    cx: &Context,
    checkpoint: &Checkpoint,
    name: &str,
    tasks: &Tasks,
) -> Result<Answers> {
    let all: Vec<Task> = tasks.all().cloned().collect();
    stats::distinct("tasks", all.iter().map(|task| &task.name))?;
    let sampling = Sampling::greedy(tasks.max_new_tokens);
    let graded = ask(cx, checkpoint, name, &all, &sampling)?;
    Ok(Answers { name: name.to_owned(), asked: tasks.clone(), graded })
}

/// Answers and grades the items of several benchmarks, given as (name, items), with one reading of the weights.
pub fn ask(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    tasks: &[Task],
    sampling: &Sampling,
) -> Result<Vec<Vec<Graded>>> {
    // names may stand there twice: a recipe's target has items of two splits
    for Task { name, items } in tasks {
        stats::distinct(&format!("ids of the items of {name}"), items.iter().map(|item| &item.id))?;
    }
    let items = tasks.iter().flat_map(|task| &task.items);
    let of_model = cx.fingerprint_of_answers(checkpoint, items)?;
    let named: Vec<(&str, &[Item])> =
        tasks.iter().map(|task| (task.name.as_str(), task.items.as_slice())).collect();
    let inputs = of_model.with("tasks", &named)?.with("sampling", sampling)?;
    let (graded, _) = kept(cx, ("evaluate", label), checkpoint, &inputs, |work, _| {
        let model = cx.open(checkpoint)?;
        let total = tasks.iter().map(|task| task.items.len()).sum();
        let bar = cx.progress.bar(&format!("evaluating {label}"), total);
        let mut before = 0;
        let mut all = Vec::new();
        for Task { name, items } in tasks {
            let graded = evaluate::answer(&model, items, sampling, |done| bar.set(before + done))?;
            before += items.len();
            work.write_with(&format!("{name}.jsonl"), |file| write_lines(file, &graded))?;
            all.push(graded);
        }
        Ok(all)
    })?;
    Ok(graded)
}

/// [`ask`] at each of `scales` of the adapter's change of the weights, which draws the whole front between the base (0) and the tuned model
/// (1) from one training.
pub fn ask_at_scales(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    tasks: &[Task],
    sampling: &Sampling,
    scales: &[f64],
) -> Result<Vec<(f64, Vec<Vec<Graded>>)>> {
    stats::distinct("scales of the adapter", scales)?;
    let at = |scale: &f64| {
        let scaled = checkpoint.scaled(*scale)?;
        let label = format!("{label}-scale-{scale}");
        Ok((*scale, ask(cx, &scaled, &label, tasks, sampling)?))
    };
    scales.iter().map(at).collect()
}

fn write_lines(file: &mut impl std::io::Write, rows: &[Graded]) -> Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *file, row).map_err(Error::library("writing the answers"))?;
        file.write_all(b"\n").map_err(|e| Error::library("writing the answers")(e))?;
    }
    Ok(())
}
