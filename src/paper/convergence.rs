//! Figures 4 and 7: how training goes, epoch by epoch.

use crate::error::Result;
use crate::experiment::{Arm, Experiment};
use crate::metric::PAPER_THRESHOLD;
use crate::model::Checkpoint;
use crate::plot::palette::{BASE, label, look};
use crate::plot::{Axis, Measured, Panel, Plot, SCORES, line_keys};
use crate::report::figure::Figure;
use crate::report::summary;
use crate::scored::Scored;
use crate::stats::{self, Estimate};
use crate::table::{Cell, Table};

use super::{Desk, Shown, printed};
use crate::verbs::{self, Training};

/// Figure 4.
pub(super) fn figure(desk: &Desk) -> Result<Shown> {
    shown(desk, "figure-4", "Llama 8B")
}

/// Figure 7: the same runs beside what the paper draws of its other model.
pub(super) fn figure_again(desk: &Desk) -> Result<Shown> {
    shown(desk, "figure-7", "Gemma 2B")
}

/// One model at one point of one training.
#[derive(Debug, Clone, Copy)]
struct Point {
    target: f64,
    /// Nats for each token of the reference answers to the validation questions.
    loss: f64,
    /// The same over the tokens that do not surprise base.
    loss_of_low: f64,
    /// Mean training loss of the epoch.
    training: Option<f64>,
}

fn shown(desk: &Desk, exhibit: &'static str, model: &str) -> Result<Shown> {
    let experiment = desk.experiment("figure-4", None)?;
    let recipe = experiment.recipe().clone();
    let held_out = HeldOut::of(desk, &experiment)?;
    let base = held_out.point(desk, &experiment, experiment.base(), BASE, None)?;
    let mut curves: Vec<(&Arm, Vec<Vec<Point>>)> = Vec::new();
    for arm in &recipe.arms {
        let rate = recipe.rates_of(arm)[0];
        let mut seeds = Vec::new();
        for &seed in &recipe.seeds {
            let name = format!("{}-{rate}-{seed}-by-epoch", arm.label());
            let config = experiment.config(arm, rate, seed);
            let masked = experiment.masked(arm, seed)?;
            let prepared = masked.prepare(&config)?;
            let training = Training { keep_epochs: true, ..Training::of(&prepared) };
            let tuned = verbs::train(desk.cx, experiment.base(), &name, &training)?;
            let mut points = vec![base];
            let mut before = 0;
            for (at, epoch) in tuned.epochs.iter().enumerate() {
                let steps = tuned.steps[before..epoch.steps].iter();
                let training = stats::mean(&steps.map(|step| step.loss).collect::<Vec<_>>());
                before = epoch.steps;
                let name = format!("{name}-{}", at + 1);
                points.push(held_out.point(
                    desk,
                    &experiment,
                    &epoch.checkpoint,
                    &name,
                    training,
                )?);
            }
            seeds.push(points);
        }
        curves.push((arm, seeds));
    }
    let table = table(&curves, exhibit, model)?;
    let plot = plot(&curves, &recipe.target, recipe.learning_rates[0]);
    let figures = vec![Figure { name: "convergence", plot, table: table.clone() }];
    Ok(Shown { figures, tables: vec![table] })
}

/// The validation questions with their reference answers, and what base says of them.
struct HeldOut(Scored);

impl HeldOut {
    fn of(desk: &Desk, experiment: &Experiment) -> Result<Self> {
        let (base, name) = (experiment.base(), format!("validation-{BASE}"));
        Ok(Self(verbs::score(desk.cx, base, &name, experiment.validation())?))
    }

    fn point(
        &self,
        desk: &Desk,
        experiment: &Experiment,
        checkpoint: &Checkpoint,
        label: &str,
        training: Option<f64>,
    ) -> Result<Point> {
        let (_, test) = experiment.measure(checkpoint, label)?;
        let Scored { sequences, scores: base, .. } = &self.0;
        let label = format!("validation-{label}");
        let scores = verbs::token_scores(desk.cx, checkpoint, &label, &self.0.ids())?;
        let (mut all, mut low) = (Vec::new(), Vec::new());
        for ((sequence, scores), base) in sequences.iter().zip(&scores).zip(base) {
            for at in sequence.completion.positions() {
                let Some(nats) = scores.log_prob[at].map(|log_prob| -f64::from(log_prob)) else {
                    continue;
                };
                all.push(nats);
                let plausible = |log_prob: f32| f64::from(-log_prob) <= PAPER_THRESHOLD.ln();
                if base.log_prob[at].is_some_and(plausible) {
                    low.push(nats);
                }
            }
        }
        Ok(Point {
            target: test.first().and_then(summary::score).unwrap_or(f64::NAN),
            loss: stats::mean(&all).unwrap_or(f64::NAN),
            loss_of_low: stats::mean(&low).unwrap_or(f64::NAN),
            training,
        })
    }
}

/// The values of all seeds at one epoch.
fn at(seeds: &[Vec<Point>], epoch: usize, value: fn(&Point) -> Option<f64>) -> Vec<f64> {
    seeds.iter().filter_map(|points| value(points.get(epoch)?)).collect()
}

fn estimate(values: &[f64]) -> Option<Estimate> {
    Some(Estimate { value: stats::mean(values)?, se: stats::standard_error(values) })
}

fn table(curves: &[(&Arm, Vec<Vec<Point>>)], exhibit: &str, model: &str) -> Result<Table> {
    let keys: Vec<(usize, usize)> = curves
        .iter()
        .enumerate()
        .flat_map(|(arm, (_, seeds))| {
            (0..seeds.first().map_or(0, Vec::len)).map(move |epoch| (arm, epoch))
        })
        .collect();
    let values = |(arm, epoch): &(usize, usize), value: fn(&Point) -> Option<f64>| {
        at(&curves[*arm].1, *epoch, value)
    };
    let mean = |key: &(usize, usize), value: fn(&Point) -> Option<f64>| {
        Cell::number(stats::mean(&values(key, value)), 3)
    };
    let printed = printed::of(exhibit, "MBPP")?;
    let paper = |(arm, epoch): &(usize, usize)| {
        let (arm, quantity) = (curves[*arm].0.to_string(), format!("MBPP after epoch {epoch}"));
        let row = printed.iter().find(|row| row.arm == arm && row.quantity == quantity);
        Cell::number(row.map(|row| row.value), 2)
    };
    Ok(Table::new("Epoch by epoch, means over seeds")
        .named("convergence")
        .legend(
            "target: test score ± its standard error over seeds. validation loss: nats for each token of the reference answers to the validation questions, for every arm alike; \
             low: of the tokens that base gives a perplexity of at most 2.5. The paper takes each arm's own validation answers instead, so its losses do not compare. training \
             loss: of the epoch's steps, over learned tokens. The paper's accuracies are read off its figure.",
        )
        .rows(&keys)
        .column("arm", |(arm, _)| label(&curves[*arm].0.to_string()))
        .column("epoch", |(_, epoch)| *epoch)
        .column("target %", |key| Cell::share(estimate(&values(key, |point| Some(point.target)))))
        .column("validation loss", |key| mean(key, |point| Some(point.loss)))
        .column("low", |key| mean(key, |point| Some(point.loss_of_low)))
        .column("training loss", |key| mean(key, |point| point.training))
        .column(format!("MBPP, {model}"), paper)
        .table())
}

fn plot(curves: &[(&Arm, Vec<Vec<Point>>)], target: &str, rate: f64) -> Plot {
    let names: Vec<String> = curves.iter().map(|(arm, _)| arm.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    type Value = fn(&Point) -> Option<f64>;
    let panels: [(&str, Value, f64); 3] = [
        ("target score on the test split, percent", |point| Some(100.0 * point.target), SCORES),
        ("validation loss of the reference answers, nats", |point| Some(point.loss), 0.1),
        ("training loss, nats for each learned token", |point| point.training, 0.1),
    ];
    let epochs = curves.iter().flat_map(|(_, seeds)| seeds).map(Vec::len).max().unwrap_or(1);
    let panel = |(axis, value, least): (&str, Value, f64)| {
        let curves: Vec<Vec<Measured>> = curves
            .iter()
            .map(|(_, seeds)| {
                let mean = |epoch| Measured::over_seeds(epoch as f64, &at(seeds, epoch, value));
                (0..epochs).filter_map(mean).collect()
            })
            .collect();
        let ends = curves.iter().flatten().flat_map(Measured::ends);
        let panel = Panel::new(
            Axis::new("epoch", -0.2, epochs as f64 - 0.8),
            Axis::around(axis, ends, least),
        );
        curves.iter().zip(&names).fold(panel, |panel, (curve, name)| {
            let look = look(name, &names);
            panel.seeds(curve, look.color).marks(curve.iter().map(Measured::at), look, 4.0)
        })
    };
    let last = |seeds: &[Vec<Point>]| {
        100.0 * stats::mean(&at(seeds, epochs - 1, |p| Some(p.target))).unwrap_or(f64::NAN)
    };
    let ends: Vec<String> = curves
        .iter()
        .map(|(arm, seeds)| format!("{} {:.1} %", label(&arm.to_string()), last(seeds)))
        .collect();
    Plot::new(format!(
        "Target {target} after {} epochs: {}",
        epochs.saturating_sub(1),
        ends.join(", ")
    ))
    .note(format!("Mean over seeds at the rate {rate:e}; thin lines: lowest and highest seed."))
    .panels(panels.map(panel))
    .legend(line_keys(&names, &names))
    .size(960, 960)
}
