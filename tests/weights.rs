//! The published methods against their published losses: `tests/reference/make_weights.py`.

use super::support::reference_json;
use serde_json::Value;
use std::process::Command;
use unforget::select::{
    LossMask, ModelSignals, Normalizer, PRESETS, Signals, TokenClass, Weighting,
};

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(of).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value, |value| value.as_f64().unwrap())
}

fn model(value: &Value) -> ModelSignals {
    let column = |name: &str| {
        let single = |value: &Value| value.as_f64().map(|value| value as f32);
        list(&value[name], single)
    };
    let rank = |value: &Value| value.as_u64().map(|rank| rank as u32);
    ModelSignals {
        log_prob: column("log_prob"),
        entropy: column("entropy"),
        rank: list(&value["rank"], rank),
        top_entropy: Some(column("top_entropy")),
    }
}

fn examples(golden: &Value) -> Vec<Signals> {
    let prompts = list(&golden["prompts"], |n| n.as_u64().unwrap() as usize);
    let examples = prompts.into_iter().enumerate();
    examples
        .map(|(at, prompt)| {
            let class = list(&golden["classes"][at], |name| {
                TokenClass::named(name.as_str().unwrap()).unwrap()
            });
            Signals {
                given: Vec::new(),
                completion: (0..class.len()).map(|token| token >= prompt).collect(),
                class,
                base: Some(model(&golden["base"][at])),
                current: Some(model(&golden["current"][at])),
                reference: Some(model(&golden["reference"][at])),
            }
        })
        .collect()
}

/// What the weighted sum is divided by, as the trainer computes it.
fn divisor(normalizer: Normalizer, examples: &[Signals], weights: &[Vec<f32>]) -> f64 {
    let weights = weights.iter().flatten().map(|weight| f64::from(*weight));
    match normalizer {
        Normalizer::Kept => weights.filter(|weight| *weight != 0.0).count() as f64,
        Normalizer::Completion => {
            examples.iter().map(|e| e.completion.learned()).sum::<usize>() as f64
        }
        Normalizer::Weights => weights.sum(),
        Normalizer::Batch => examples.len() as f64,
    }
}

#[test]
fn every_method_has_the_gradient_of_its_published_loss() {
    let golden = reference_json("weights.json");
    let examples = examples(&golden);
    let vectors = golden["vectors"].as_object().unwrap();
    for (rule, vector) in vectors {
        let weighting: Weighting = rule.parse().unwrap();
        assert!(weighting.preset().is_some(), "{rule}");
        let weights = weighting.weights(&examples, 0).unwrap();
        let divisor = divisor(weighting.normalizer().unwrap(), &examples, &weights);
        for (at, example) in examples.iter().enumerate() {
            let expected = numbers(&vector["gradient"][at]);
            let positions: Vec<usize> = example.completion.positions().collect();
            assert_eq!(positions.len(), expected.len());
            for (token, expected) in positions.iter().zip(expected) {
                let gradient = -f64::from(weights[at][*token]) / divisor;
                let close = 1e-7 + 1e-6 * expected.abs();
                assert!(
                    (gradient - expected).abs() <= close,
                    "{rule}: token {token} of example {at}: {gradient} and not {expected}"
                );
            }
            assert!(weights[at][..positions[0]].iter().all(|weight| *weight == 0.0));
            if let Some(kept) = vector.get("kept") {
                let kept = list(&kept[at], |kept| kept.as_bool().unwrap());
                let own: Vec<bool> = positions.iter().map(|t| weights[at][*t] == 1.0).collect();
                assert_eq!(own, kept, "{rule}, example {at}");
            }
        }
        let plain: Weighting = weighting.expanded().parse().unwrap();
        assert_eq!(plain.weights(&examples, 0).unwrap(), weights, "{rule}");
    }
    // what is drawn has no vector: its counts are tested beside the rules
    let drawn = ["random_mask", "shuffled_mask", "profit_random"];
    for preset in PRESETS.iter().filter(|preset| !drawn.contains(&preset.name)) {
        let has = |rule: &String| rule.split('(').next() == Some(preset.name);
        assert!(vectors.keys().any(has), "no golden vector of {}", preset.name);
    }
}

#[test]
fn a_random_share_is_about_that_share() {
    let examples: Vec<Signals> = (0..200)
        .map(|_| Signals { completion: LossMask::new(vec![true; 50]), ..Signals::default() })
        .collect();
    let weighting: Weighting = "profit_random(0.1)".parse().unwrap();
    let masks = weighting.masks(&examples, 3).unwrap();
    let kept: usize = masks.iter().map(LossMask::learned).sum();
    // ten thousand draws: three standard deviations are 90
    assert!((8910..9090).contains(&kept), "{kept}");
    assert_ne!(masks[0], masks[1]);
}

/// What `unforget finetune` says of 16 answers of the lab's code in two steps under `rule`.
fn two_steps(place: &std::path::Path, rule: &str) -> Value {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/code/train.jsonl");
    let call = ["finetune", "--model", "lab", "--data", data, "--limit", "16", "--out", rule];
    let options = ["--batch-size", "8", "--num-epochs", "1", "--json", "--weights", rule];
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(call.iter().chain(&options))
        .current_dir(place)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{rule}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_rule_of_the_current_model_begins_as_the_same_rule_of_the_base() {
    let place = tempfile::tempdir().unwrap();
    // before the first step the adapter changes nothing, so the current model is the base
    for (current, base) in [
        ("keep(p_current >= 0.1) over kept", "keep(p_base >= 0.1) over kept"),
        ("p_current over completion", "p_base over completion"),
        ("keep(p_current >= 0.1) over kept every 2", "keep(p_base >= 0.1) over kept"),
    ] {
        let (current, base) = (two_steps(place.path(), current), two_steps(place.path(), base));
        let losses = |done: &Value| numbers(&done["losses"]);
        let (online, offline) = (losses(&current), losses(&base));
        assert_eq!(online.len(), 2);
        assert!((online[0] - offline[0]).abs() < 1e-5, "{online:?} {offline:?}");
    }
    for rule in ["dft", "profit(0.1)", "eaft(1)", "talr", "keep(ppl_current <= ppl_base)"] {
        let done = two_steps(place.path(), rule);
        let finite = numbers(&done["losses"]).iter().all(|loss| loss.is_finite());
        let name = rule.split('(').next().unwrap();
        let said = done["weights"].as_str().unwrap();
        assert!(finite && said.starts_with(name), "{done}");
    }
}
