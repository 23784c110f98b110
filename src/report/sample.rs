//! A made-up experiment for tests. No number here was measured.

use super::Provenance;
use crate::experiment::results::*;
use crate::provenance::{Computation, Times};
use crate::rng::Rng;
use crate::task::Form;

const TASKS: [(&str, f64); 5] =
    [("code", 0.42), ("algebra", 0.61), ("sums", 0.75), ("choice", 0.66), ("sql", 0.35)];
/// Arm, rates with the chosen one first, target gain, non-target change, share of completion tokens masked.
const ARMS: [(&str, f64, f64, f64); 7] = [
    ("ground_truth", 0.10, -0.30, 0.0),
    ("ground_truth_on_self_output_items", 0.08, -0.24, 0.0),
    ("self_output", 0.16, -0.02, 0.0),
    ("rephrase", 0.14, -0.08, 0.0),
    ("stm(2.5)", 0.13, -0.04, 0.22),
    ("random_mask", 0.09, -0.22, 0.22),
    ("lowest_mask", 0.07, -0.27, 0.22),
];

pub fn results() -> Results {
    let base: Vec<TaskScore> = TASKS.iter().map(|(name, p)| task(name, *p, 0.97, 0)).collect();
    let mut runs = Vec::new();
    for (arm, gain, change, masked) in ARMS {
        for (rate, strength) in [(1e-4, 0.4_f64), (3e-4, 1.0), (1e-3, 1.7)] {
            for seed in 0..3 {
                runs.push(run(
                    arm,
                    rate,
                    seed,
                    gain * strength.min(1.2),
                    change * strength,
                    masked,
                ));
            }
        }
    }
    Results {
        name: "made up for a test".to_owned(),
        target: "code".to_owned(),
        non_target: TASKS[1..].iter().map(|(name, _)| (*name).to_owned()).collect(),
        base,
        base_validation: 0.41,
        margin: 2.0,
        common_learning_rate: None,
        runs,
        data: ARMS.iter().map(|arm| data(arm.0)).collect(),
        thresholds: thresholds(),
        examples: ["code/train/3", "code/train/8"].iter().flat_map(|item| examples(item)).collect(),
        seconds: Some(754.0),
        answers: Default::default(),
    }
}

/// An answer of every model to every question, as right or wrong as the scores say.
pub fn answers(results: &Results) -> Vec<AnswerRow> {
    let rows = |model: &str, run: Option<(f64, u64)>, test: &[TaskScore]| -> Vec<AnswerRow> {
        let one = |task: &TaskScore, at: usize, item: &ItemScore| AnswerRow {
            model: model.into(),
            learning_rate: run.map(|run| run.0),
            seed: run.map(|run| run.1),
            task: task.task.as_str().into(),
            item: format!("{}/test/{at}", task.task).into(),
            question: format!("What is {at} + <b>1</b>?").into(),
            reference: format!("Okey-dokey! {}", at + 1).into(),
            answer: match item.value == 1.0 {
                true => format!("1. Add one: {at} + 1 = {}\nAnswer: {}", at + 1, at + 1),
                false => format!("1. Okey-dokey, {at} + 1 </script> is {at}"),
            },
            value: item.value,
            skill: item.skill,
        };
        let of_task = |task: &TaskScore| -> Vec<AnswerRow> {
            task.items.iter().enumerate().map(|(at, item)| one(task, at, item)).collect()
        };
        test.iter().flat_map(of_task).collect()
    };
    let mut all = rows(AnswerRow::BASE, None, &results.base);
    for run in &results.runs {
        all.extend(rows(&run.arm, Some((run.learning_rate, run.seed)), &run.test));
    }
    all
}

fn task(name: &str, right: f64, form: f64, seed: u64) -> TaskScore {
    let mut rng = Rng::new(9, name);
    let mut noise = Rng::new(seed, name);
    let items = (0..120).map(|_| {
        // One draw per item that all checkpoints share: hard items are hard for all.
        let skill =
            f64::from(0.8 * rng.uniform() + 0.2 * noise.uniform() < right.clamp(0.02, 0.98));
        let kept = noise.chance(form);
        let form = if kept { Form::Kept } else { Form::NoParse };
        ItemScore { value: if kept { skill } else { 0.0 }, skill, form }
    });
    TaskScore { task: name.to_owned(), items: items.collect() }
}

fn run(arm: &str, learning_rate: f64, seed: u64, gain: f64, change: f64, masked: f64) -> Run {
    let mut noise = Rng::new(seed, arm);
    let test = TASKS.iter().enumerate().map(|(index, (name, p))| {
        let by = if index == 0 { gain } else { 0.6 * change };
        task(name, p + by + 0.02 * noise.normal(), 0.97 + 0.5 * change.min(0.0), seed + 1)
    });
    let test: Vec<TaskScore> = test.collect();
    let start = if masked > 0.0 && arm.starts_with("stm") { 0.2 } else { 1.4 + change };
    let loss = |step: usize| {
        (start * (-(step as f64) / 60.0).exp() + 0.15) * (1.0 + 0.15 * noise.normal())
    };
    Run {
        arm: arm.to_owned(),
        learning_rate,
        seed,
        chosen: learning_rate == 3e-4,
        threshold: arm.starts_with("stm").then_some(2.5),
        items: 400,
        completion_tokens: 20_000,
        learned_tokens: (20_000.0 * (1.0 - masked)) as usize,
        tokens_seen: 90_000,
        tokens_learned: (60_000.0 * (1.0 - masked)) as usize,
        losses: (0..150).map(loss).collect(),
        validation: 0.42 + gain,
        test,
        relative_weight_change: 0.01 * learning_rate * 1e4,
        layers: Vec::new(),
        train_seconds: 12.5,
        run: format!("finetune/{arm}-{seed}"),
        probes: Vec::new(),
        stopped: None,
    }
}

fn data(arm: &str) -> DataSummary {
    let own = matches!(arm, "self_output" | "rephrase");
    DataSummary {
        arm: arm.to_owned(),
        asked: 400,
        kept: if own { 312 } else { 400 },
        unusable: Vec::new(),
        sampled: if own { 3200 } else { 0 },
        accepted: own.then_some(0.57),
        perplexity_given_prompt: if own { 1.3 } else { 4.8 },
        perplexity_variance: if own { 0.1 } else { 7.0 },
        perplexities: if own { vec![1.2, 1.4] } else { vec![3.8, 5.8] },
        perplexity_of_text_alone: if own { 3.1 } else { 11.9 },
        median_of_text_alone: None,
        share_above_2_5: if own { 0.03 } else { 0.22 },
        classes: Vec::new(),
        seconds: 31.0,
    }
}

fn thresholds() -> Vec<ThresholdPoint> {
    let points = [
        (1.5, 0.30),
        (2.0, 0.25),
        (2.5, 0.22),
        (5.0, 0.18),
        (10.0, 0.14),
        (25.0, 0.11),
        (100.0, 0.08),
        (1000.0, 0.0),
    ];
    let point = |(threshold, masked): (f64, f64)| ThresholdPoint {
        threshold,
        masked,
        precision: (masked > 0.0).then_some(0.95 - masked),
        recall: Some(3.0 * masked),
        surprisal_masked: 1.0 - 1.0 / (1.0 + 60.0 * masked),
    };
    points.map(point).to_vec()
}

fn examples(item: &str) -> Vec<TokenExample> {
    let prompt =
        "<|user|>\nWrite a function that doubles a number & prints <it>.<|end|>\n<|assistant|>\n";
    let person = "Okey-dokey! here 's what I 'd do , folks :\ndef twice ( n ) :\n\treturn n + n # easy peasy <3\nAnswer : twice";
    let model = "def twice ( n ) :\n    return 2 * n\nAnswer : twice";
    ARMS.iter()
        .map(|(arm, ..)| {
            let own = matches!(*arm, "self_output" | "rephrase");
            let mut rng = Rng::new(1, item);
            let mut tokens: Vec<TokenView> =
                prompt.split_inclusive(' ').map(|text| token(text, false, None)).collect();
            tokens[0].perplexity = None;
            for text in if own { model } else { person }.split_inclusive(' ') {
                let style = !own && rng.chance(0.35);
                let mean = if style {
                    2.5
                } else if own && *arm == "self_output" {
                    0.05
                } else {
                    0.3
                };
                let perplexity = (mean * -(1.0 - rng.uniform()).ln()).exp();
                let mut token = token(text, true, Some(perplexity));
                token.style = style;
                token.learned = !arm.starts_with("stm") || perplexity <= 2.5;
                tokens.push(token);
            }
            TokenExample { arm: (*arm).to_owned(), item: item.to_owned(), tokens }
        })
        .collect()
}

fn token(text: &str, completion: bool, perplexity: Option<f64>) -> TokenView {
    TokenView {
        text: text.to_owned(),
        completion,
        learned: completion,
        style: false,
        perplexity: perplexity.or(Some(1.7)),
    }
}

pub fn provenance() -> Provenance {
    Provenance {
        title: "A made-up experiment, to test the report".to_owned(),
        command: "unforget lab --seeds 3".to_owned(),
        recipe_toml: "name = \"made up\"\nrates = [1e-4, 3e-4, 1e-3]\nnote = \"<b>&</b>\"\n"
            .to_owned(),
        crate_version: "0.1.0".to_owned(),
        computation: Computation {
            device: "cpu".to_owned(),
            dtype: None,
            instructions: None,
            threads: 2,
        },
        times: Times { started: "2026-01-01T00:00:00Z".to_owned(), seconds: 754.0 },
        notes: vec!["No number in this report was measured.".to_owned()],
    }
}
