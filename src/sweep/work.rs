//! Units done: one, all on this machine, and what came out of them.

use super::plan::{Plan, Step, UNIT};
use super::record::{Done, Outcome, Trying};
use crate::cluster::Job;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::experiment::{Experiment, Recipe, chosen, side_by_side};
use crate::interruption;
use crate::store::{self, fault};
use std::time::{Duration, Instant};

/// Does the unit of this number; returns at once if it is done. With `wait`, waits for the units that it needs instead of refusing.
///
/// When Slurm's signal comes that the time is nearly up (`SIGUSR1`; see [`interruption::heed_the_cluster`]), what is computed is kept and Slurm is asked to
/// begin the task again.
///
/// # Errors
/// A needed unit is not done, the model or the items are not those of the plan any more, or a verb's own.
pub fn work(cx: &Context, plan: &Plan, index: usize, wait: bool) -> Result<Done> {
    let step = plan.step(index)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(cx.workers);
    let threads = threads.build().map_err(Error::library("starting the threads"))?;
    let done = threads.install(|| {
        await_needs(cx, plan, step, wait)?;
        perform(cx, plan, step, None)
    });
    if matches!(done, Err(Error::Interrupted)) && interruption::is_time_up() {
        requeue(cx, step);
    }
    done
}

fn await_needs(cx: &Context, plan: &Plan, step: &Step, wait: bool) -> Result<()> {
    /// As long a unit may stand there as failed before those that need it give up: whoever did it may try again.
    const PATIENCE: Duration = Duration::from_secs(120);
    let mut failed: Option<Instant> = None;
    let mut said = false;
    loop {
        let mut open = None;
        for at in &step.needs {
            if plan.steps[*at].done(&cx.store)?.is_none() {
                open = Some(&plan.steps[*at]);
                break;
            }
        }
        let Some(open) = open else { return Ok(()) };
        let tries = open.tries(&cx.store);
        let last = tries.last();
        let problem = last.filter(|last| last.outcome == Some(Outcome::Failed));
        let gave_up = match problem {
            Some(_) => failed.get_or_insert_with(Instant::now).elapsed() > PATIENCE,
            None => {
                failed = None;
                false
            }
        };
        if !wait || gave_up {
            let why = match problem {
                Some(last) => format!("failed: {}", last.problem),
                None => "is not done".to_owned(),
            };
            let problem = format!(
                "needs unit {} ({}), which {why}; `unforget sweep status` says what to do",
                open.index, open.unit
            );
            return Err(Error::invalid(format!("unit {} ({})", step.index, step.unit), problem));
        }
        if !said {
            let line = format!("unit {} waits for unit {} ({})", step.index, open.index, open.unit);
            cx.progress.note(&line);
            said = true;
        }
        interruption::check()?;
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Does a unit of which the needs are done, with the data of `shared` if they are at hand.
fn perform(
    cx: &Context,
    plan: &Plan,
    step: &Step,
    shared: Option<&Experiment<'_>>,
) -> Result<Done> {
    let inputs = match &step.inputs {
        Some(inputs) => inputs.clone(),
        None => {
            let needs: Vec<String> =
                step.needs.iter().map(|at| plan.steps[*at].hash.clone()).collect();
            Experiment::open(cx, &plan.recipe)?.inputs(&step.unit, &needs)?
        }
    };
    if inputs.hash() != step.hash {
        let problem = "is made from something else than was planned: the model, the items, this program or what this machine can compute differ (machines with and without bf16 instructions need `precision = \"f32\"` in the recipe); make the plan again with `unforget sweep plan`";
        return Err(Error::invalid(format!("unit {} ({})", step.index, step.unit), problem));
    }
    let entry = cx.store.entry(UNIT, &step.unit.name(), &inputs)?;
    if let Some(done) = entry.result::<Done>()? {
        if done.damaged(&cx.store)?.is_empty() {
            return Ok(done);
        }
        entry.remove()?;
    }
    entry.run(|work| {
        let mut trying = Trying::begin(work)?;
        fault::point(&format!("unit {}", step.unit.name()));
        let make = || {
            let mut rates = Vec::new();
            for at in &step.needs {
                rates.extend(plan.steps[*at].done(&cx.store)?.and_then(|done| done.scored));
            }
            let best = chosen(rates.into_iter());
            let own = match (shared, step.unit.arm()) {
                (Some(experiment), _) => return experiment.perform(&step.unit, best),
                (None, Some(arm)) => Experiment::prepare_for(cx, &plan.recipe, arm)?,
                (None, None) => Experiment::open(cx, &plan.recipe)?,
            };
            own.perform(&step.unit, best)
        };
        let (made, used) = store::uses(make);
        match made {
            Ok(scored) => {
                trying.end(Outcome::Done, "")?;
                Ok(Done { made: used, scored })
            }
            Err(error) => {
                let outcome = match error {
                    Error::Interrupted => Outcome::Stopped,
                    _ => Outcome::Failed,
                };
                // the work's own error is the one to report
                let _ = trying.end(outcome, &error.to_string());
                Err(error)
            }
        }
    })
}

/// Asks Slurm to begin this task again.
fn requeue(cx: &Context, step: &Step) {
    let Some(job) = Job::mine() else { return };
    if job.restarts > 0 && !step.unit.keeps_parts() {
        let problem = "its time was up again, and it keeps no parts; submit it with more --time";
        return cx.progress.note(&format!("unit {} is not begun again: {problem}", step.index));
    }
    let asked = std::process::Command::new("scontrol").args(["requeue", &job.id]).output();
    let problem = match asked {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    cx.progress.note(&format!("Slurm does not begin this task again: {problem}"));
}

/// Does all units in this process: data one after the other, then arms side by side.
///
/// # Errors
/// Those of the first unit that failed.
pub fn local(cx: &Context, plan: &Plan) -> Result<()> {
    all(cx, plan).map(drop)
}

fn all<'a>(cx: &'a Context, plan: &Plan) -> Result<Experiment<'a>> {
    let (data, arms): (Vec<&Step>, Vec<&Step>) =
        plan.steps.iter().partition(|step| !step.unit.is_of_arm());
    for step in data {
        perform(cx, plan, step, None)?;
    }
    let experiment = Experiment::prepare(cx, &plan.recipe)?;
    // places among the arms; data are done
    let needs = |step: &&Step| {
        let place = |needed: &usize| arms.iter().position(|arm| arm.index == *needed);
        step.needs.iter().filter_map(place).collect::<Vec<usize>>()
    };
    let needs: Vec<Vec<usize>> = arms.iter().map(needs).collect();
    side_by_side(
        cx,
        arms.len(),
        |at| needs[at].as_slice(),
        |cx, at| perform(cx, plan, arms[at], Some(&experiment)).map(drop),
    )?;
    Ok(experiment)
}

/// What came out of a plan whose units are done. Nothing is trained or graded here.
///
/// # Errors
/// A unit is not done.
pub fn gather(cx: &Context, plan: &Plan) -> Result<Results> {
    let mut open = Vec::new();
    for step in &plan.steps {
        match step.done(&cx.store)? {
            Some(done) if done.damaged(&cx.store)?.is_empty() => {}
            _ => open.push(step),
        }
    }
    if let Some(first) = open.first() {
        let problem = format!(
            "{} of {} units are not done, first unit {} ({}); `unforget sweep status` says what to do",
            open.len(),
            plan.steps.len(),
            first.index,
            first.unit
        );
        return Err(Error::file(plan.folder(), problem));
    }
    Experiment::prepare(cx, &plan.recipe)?.run()
}

/// Plan, local, gather: everything that the recipe asks for, as [`crate::experiment::run`] gives it.
///
/// # Errors
/// Those of each.
pub fn run(cx: &Context, recipe: &Recipe, device: &str) -> Result<Results> {
    let plan = Plan::of(cx, recipe, device)?;
    all(cx, &plan)?.run()
}
