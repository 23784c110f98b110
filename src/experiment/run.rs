use super::data::Material;
use super::results::{Results, Run, TaskScore};
use super::{Arm, Recipe};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::model::Checkpoint;
use crate::task::Item;
use crate::train::Finetune;
use crate::verbs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One arm at one rate with one seed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    arm: Arm,
    learning_rate: f64,
    seed: u64,
}

/// What every unit of an experiment is measured on.
struct Bench {
    validation: Vec<(String, Vec<Item>)>,
    test: Vec<(String, Vec<Item>)>,
    sampling: Sampling,
}

/// Computes everything that the recipe asks for and the store does not hold yet.
///
/// The rate of each arm is chosen by this rule, stated before anything is computed: the best score on the target's validation
/// split with the first seed; of equals, the lowest rate. Test scores play no part in it.
pub fn run(cx: &Context, recipe: &Recipe) -> Result<Results> {
    recipe.check()?;
    let base = Checkpoint::open(recipe.model_folder(&cx.progress)?)?;
    let tasks: Vec<&String> = std::iter::once(&recipe.target)
        .chain(&recipe.non_target)
        .collect();
    let test = tasks.iter().map(|task| {
        Ok((
            task.to_string(),
            recipe.items(task, "test", recipe.sizes.test)?,
        ))
    });
    let bench = Bench {
        validation: vec![(
            recipe.target.clone(),
            recipe.items(&recipe.target, "validation", recipe.sizes.validation)?,
        )],
        test: test.collect::<Result<_>>()?,
        sampling: Sampling::greedy(recipe.max_new_tokens),
    };
    let (base_validation, base_scores) = bench.measure(cx, &base, "base")?;
    let material = Material::make(cx, recipe, &base)?;

    let first = recipe.seeds[0];
    let swept: Vec<Unit> = recipe
        .arms
        .iter()
        .flat_map(|&arm| {
            recipe
                .learning_rates
                .iter()
                .map(move |&learning_rate| Unit {
                    arm,
                    learning_rate,
                    seed: first,
                })
        })
        .collect();
    let compute = |units: &[Unit]| {
        side_by_side(cx, units, |cx, unit| {
            bench.run(cx, recipe, &base, &material, unit)
        })
    };
    let mut runs = compute(&swept)?;
    let best = |arm: Arm| {
        let of_arm = runs.iter().zip(&swept).filter(|(_, unit)| unit.arm == arm);
        let better = |best: Option<(f64, f64)>, (validation, rate): (f64, f64)| match best {
            Some((v, r)) if v > validation || (v == validation && r <= rate) => Some((v, r)),
            _ => Some((validation, rate)),
        };
        let rates = of_arm.map(|(run, unit)| (run.validation, unit.learning_rate));
        rates
            .fold(None, better)
            .map(|(_, rate)| rate)
            .expect("every arm was swept")
    };
    let chosen: Vec<(Arm, f64)> = recipe.arms.iter().map(|&arm| (arm, best(arm))).collect();
    let more: Vec<Unit> = chosen
        .iter()
        .flat_map(|&(arm, learning_rate)| {
            recipe.seeds[1..].iter().map(move |&seed| Unit {
                arm,
                learning_rate,
                seed,
            })
        })
        .collect();
    runs.extend(compute(&more)?);
    for (run, unit) in runs.iter_mut().zip(swept.iter().chain(&more)) {
        run.chosen = chosen.contains(&(unit.arm, unit.learning_rate));
    }
    // in the recipe's order: arm, rate, seed
    let place = |run: &Run| {
        let arm = recipe
            .arms
            .iter()
            .position(|arm| arm.to_string() == run.arm);
        let rate = recipe
            .learning_rates
            .iter()
            .position(|rate| *rate == run.learning_rate);
        let seed = recipe.seeds.iter().position(|seed| *seed == run.seed);
        (arm, rate, seed)
    };
    runs.sort_by_key(place);
    Ok(Results {
        name: recipe.name.clone(),
        target: recipe.target.clone(),
        non_target: recipe.non_target.clone(),
        base: base_scores,
        base_validation,
        runs,
        data: recipe
            .arms
            .iter()
            .map(|arm| material.summary(*arm))
            .collect(),
        thresholds: material.threshold_curve(&recipe.thresholds)?,
        examples: material.token_examples(&recipe.arms, 4, first)?,
    })
}

impl Bench {
    /// Validation score on the target, and test scores on all tasks.
    fn measure(
        &self,
        cx: &Context,
        checkpoint: &Checkpoint,
        label: &str,
    ) -> Result<(f64, Vec<TaskScore>)> {
        let all: Vec<(String, Vec<Item>)> =
            self.validation.iter().chain(&self.test).cloned().collect();
        let graded = verbs::evaluate(cx, checkpoint, label, &all, &self.sampling)?;
        let mut scores = all
            .iter()
            .zip(&graded)
            .map(|((task, _), graded)| TaskScore::of(task, graded));
        let validation = scores
            .next()
            .expect("the validation split comes first")
            .value();
        Ok((validation, scores.collect()))
    }

    fn run(
        &self,
        cx: &Context,
        recipe: &Recipe,
        base: &Checkpoint,
        material: &Material,
        unit: Unit,
    ) -> Result<Run> {
        let Unit {
            arm,
            learning_rate,
            seed,
        } = unit;
        let label = format!("{arm}-{learning_rate}-{seed}");
        let examples = material.examples(arm, seed)?;
        let config = arm.finetune(Finetune {
            learning_rate,
            seed,
            ..recipe.finetune.clone()
        })?;
        let tuned = verbs::finetune(cx, base, &label, &examples, &config)?;
        let (validation, test) = self.measure(cx, &tuned.checkpoint, &label)?;
        let learned =
            |example: &crate::train::Example| example.weights.iter().filter(|w| **w != 0.0).count();
        Ok(Run {
            arm: arm.to_string(),
            learning_rate,
            seed,
            chosen: false,
            threshold: arm.threshold(),
            items: examples.len() - tuned.left_out.len(),
            completion_tokens: examples
                .iter()
                .map(|example| example.completion_tokens)
                .sum(),
            learned_tokens: examples.iter().map(learned).sum(),
            losses: tuned.steps.iter().map(|step| step.loss).collect(),
            validation,
            test,
            relative_weight_change: tuned.relative_weight_change,
            train_seconds: tuned.seconds,
        })
    }
}

/// Works off `units`: on a CPU several at a time, each on one thread; on a GPU one after the other. Results come in `units`' order.
fn side_by_side<R: Send>(
    cx: &Context,
    units: &[Unit],
    work: impl Fn(&Context, Unit) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let workers = if cx.device.is_cpu() {
        cx.workers.clamp(1, units.len().max(1))
    } else {
        1
    };
    let bar = cx.progress.bar("runs", units.len());
    let (next, done, stop) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    let results: Mutex<Vec<Option<Result<R>>>> = Mutex::new(units.iter().map(|_| None).collect());
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= units.len() || stop.load(Ordering::Relaxed) {
                return;
            }
            let result = work(cx, units[at]);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            bar.set(done.fetch_add(1, Ordering::Relaxed) + 1);
            results.lock().unwrap_or_else(|broken| broken.into_inner())[at] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for _ in 0..workers {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(if workers > 1 { 1 } else { cx.workers })
                .build()
                .map_err(Error::library("starting the threads"))?;
            handles.push(scope.spawn(move || pool.install(worker)));
        }
        for handle in handles {
            if let Err(panic) = handle.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Ok::<(), Error>(())
    })?;
    let results = results
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    // after a failure the rest is missing; the first failure is what there is to say
    results.into_iter().flatten().collect::<Result<Vec<R>>>()
}
