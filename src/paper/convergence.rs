//! Figures 4 and 7: how training goes, epoch by epoch.

use super::printed;
use super::{Desk, Shown};
use crate::dataset;
use crate::error::Result;
use crate::experiment::{Experiment, Setting};
use crate::metric::PAPER_THRESHOLD;
use crate::perplexity::TokenScores;
use crate::report::figure::Figure;
use crate::report::palette::{BASE, label, look};
use crate::report::plot::{Axis, Key, Layer, Panel, Plot};
use crate::report::summary;
use crate::stats::{self, Estimate, Spread};
use crate::table::{Cell, Table};
use crate::tokens::{Sequence, TooLong, sequences};
use crate::{model::Checkpoint, verbs};

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
    let mut curves: Vec<(&Setting, Vec<Vec<Point>>)> = Vec::new();
    for arm in &recipe.arms {
        let rate = recipe.rates_of(arm)[0];
        let mut seeds = Vec::new();
        for &seed in &recipe.seeds {
            let name = format!("{}-{rate}-{seed}-by-epoch", arm.label());
            let config = experiment.finetune(arm, rate, seed)?;
            let examples = experiment.examples(arm, seed)?;
            let epochs =
                verbs::finetune_by_epoch(desk.cx, experiment.base(), &name, &examples, &config)?;
            let mut points = vec![base];
            let mut before = 0;
            for (at, tuned) in epochs.iter().enumerate() {
                let losses: Vec<f64> = tuned.steps[before..].iter().map(|step| step.loss).collect();
                before = tuned.steps.len();
                let name = format!("{name}-{}", at + 1);
                let training = stats::mean(&losses);
                points.push(held_out.point(
                    desk,
                    &experiment,
                    &tuned.checkpoint,
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
struct HeldOut {
    sequences: Vec<Sequence>,
    base: Vec<TokenScores>,
}

impl HeldOut {
    fn of(desk: &Desk, experiment: &Experiment) -> Result<Self> {
        let base = experiment.base();
        let examples: Vec<dataset::Example> =
            experiment.validation().iter().map(dataset::Example::from).collect();
        let context = base.config()?.max_position_embeddings;
        let made = sequences(&desk.cx.tokenizer(base)?, &examples, context, TooLong::Refuse)?;
        let mut held_out = Self { sequences: made.sequences, base: Vec::new() };
        held_out.base = held_out.scores(desk, base, BASE)?;
        Ok(held_out)
    }

    fn scores(
        &self,
        desk: &Desk,
        checkpoint: &Checkpoint,
        label: &str,
    ) -> Result<Vec<TokenScores>> {
        let ids: Vec<&[u32]> =
            self.sequences.iter().map(|sequence| sequence.ids.as_slice()).collect();
        verbs::score(desk.cx, checkpoint, &format!("validation-{label}"), &ids)
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
        let scores = self.scores(desk, checkpoint, label)?;
        let (mut all, mut low) = (Vec::new(), Vec::new());
        for ((sequence, scores), base) in self.sequences.iter().zip(&scores).zip(&self.base) {
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

fn table(curves: &[(&Setting, Vec<Vec<Point>>)], exhibit: &str, model: &str) -> Result<Table> {
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

fn plot(curves: &[(&Setting, Vec<Vec<Point>>)], target: &str, rate: f64) -> Plot {
    let names: Vec<String> = curves.iter().map(|(arm, _)| arm.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    type Value = fn(&Point) -> Option<f64>;
    let panels: [(&str, Value, f64); 3] = [
        ("target score on the test split, percent", |point| Some(100.0 * point.target), 4.0),
        ("validation loss of the reference answers, nats", |point| Some(point.loss), 0.1),
        ("training loss, nats for each learned token", |point| point.training, 0.1),
    ];
    let epochs = curves.iter().flat_map(|(_, seeds)| seeds).map(Vec::len).max().unwrap_or(1);
    let panel = |(axis, value, least): (&str, Value, f64)| {
        let mut layers = Vec::new();
        let mut all = Vec::new();
        for ((_, seeds), name) in curves.iter().zip(&names) {
            let color = look(name, &names).color;
            let spreads: Vec<(f64, f64, Spread)> = (0..epochs)
                .filter_map(|epoch| {
                    let values = at(seeds, epoch, value);
                    Some((epoch as f64, stats::mean(&values)?, Spread::of(&values)?))
                })
                .collect();
            all.extend(spreads.iter().flat_map(|(_, _, spread)| [spread.min, spread.max]));
            for end in [|spread: &Spread| spread.min, |spread: &Spread| spread.max] {
                layers.push(Layer::Line {
                    points: spreads.iter().map(|(x, _, spread)| (*x, end(spread))).collect(),
                    color,
                    width: 1.0,
                    opacity: 0.3,
                    dashed: false,
                });
            }
            let points: Vec<(f64, f64)> = spreads.iter().map(|(x, mean, _)| (*x, *mean)).collect();
            layers.push(Layer::Line {
                points: points.clone(),
                color,
                width: 2.0,
                opacity: 1.0,
                dashed: false,
            });
            layers.push(Layer::Marks {
                points,
                color,
                mark: look(name, &names).mark,
                size: 4.0,
                filled: true,
            });
        }
        Panel {
            heading: None,
            x: Axis { label: "epoch".to_owned(), from: -0.2, to: epochs as f64 - 0.8, log: false },
            y: Axis::around(axis, all.into_iter(), least),
            layers,
        }
    };
    let last = |seeds: &[Vec<Point>]| {
        100.0 * stats::mean(&at(seeds, epochs - 1, |p| Some(p.target))).unwrap_or(f64::NAN)
    };
    let ends: Vec<String> = curves
        .iter()
        .map(|(arm, seeds)| format!("{} {:.1} %", label(&arm.to_string()), last(seeds)))
        .collect();
    Plot {
        title: format!(
            "Target {target} after {} epochs: {}",
            epochs.saturating_sub(1),
            ends.join(", ")
        ),
        note: format!("Mean over seeds at the rate {rate:e}; thin lines: lowest and highest seed."),
        panels: panels.into_iter().map(panel).collect(),
        legend: names
            .iter()
            .map(|name| Key {
                label: label(name),
                color: look(name, &names).color,
                mark: Some(look(name, &names).mark),
                line: true,
                dashed: false,
            })
            .collect(),
        size: (960, 960),
    }
}
