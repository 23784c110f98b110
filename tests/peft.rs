//! Scoring, adapters and full fine-tuning against transformers, PEFT and PyTorch.
//!
//! The numbers are made by `tests/reference/make_llama.py` (both models) and `tests/reference/make_peft.py` (`peft/`), in float64.

use crate::support::{
    assert_close, backends, flat, max_difference, python_with, reference, reference_checkpoint,
    reference_decoder, reference_decoder_on, reference_json, reference_tensors,
};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use unforget::adapter;
use unforget::model::{Backend, Batch, Decoder, Gradient};
use unforget::optimizer::{AdamW, AdamWConfig, Schedule, clip_factor, global_norm};

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

fn ids(value: &serde_json::Value) -> Vec<u32> {
    numbers(value).into_iter().map(|id| id as u32).collect()
}

/// Scores both sequences of a model in one batch, then decodes greedily from both prompts side by side.
fn check_scoring(name: &str) {
    for backend in &backends() {
        check_scoring_on(backend, name);
    }
}

fn check_scoring_on(backend: &Backend, name: &str) {
    let decoder = reference_decoder_on(backend, name);
    let want = reference_tensors(&format!("{name}/expected.safetensors"));
    let table = reference_json(&format!("{name}/expected.json"));
    let rows = table["sequences"].as_array().unwrap().iter();
    let sequences: Vec<Vec<u32>> = rows.map(|row| ids(&row["ids"])).collect();
    let mut batch = Batch::new();
    for ids in &sequences {
        batch.push(ids, &vec![1.0; ids.len()]);
    }
    let (logits, scored) = (decoder.logits(&batch).unwrap(), decoder.score(&batch).unwrap());
    let (mut row, mut token) = (0, 0);
    for (which, ids) in sequences.iter().enumerate() {
        let named = |kind: &str| &want[&format!("{kind}.{which}")];
        let got = logits.narrow(0, row, ids.len()).unwrap();
        assert_close(&got, named("logits"), &format!("{name}, logits {which}"));
        row += ids.len();

        let predicted = token..token + ids.len() - 1;
        token = predicted.end;
        let nll: Vec<f32> = scored.log_prob[predicted.clone()].iter().map(|l| -l).collect();
        let difference = max_difference(&nll, &flat(named("nll")));
        assert!(difference <= 1e-4, "{name}, surprisal {which}: {difference}");
        let entropy = &flat(named("entropy"))[..ids.len() - 1];
        let difference = max_difference(&scored.entropy[predicted.clone()], entropy);
        assert!(difference <= 1e-4, "{name}, entropy {which}: {difference}");
        let ranks: Vec<i64> = scored.rank[predicted].iter().map(|r| i64::from(*r)).collect();
        assert_eq!(ranks, named("rank").to_vec1::<i64>().unwrap(), "{name}, rank {which}");
        let mean = nll.iter().map(|l| f64::from(*l)).sum::<f64>() / nll.len() as f64;
        let want = table["sequences"][which]["mean_nll"].as_f64().unwrap();
        assert!((mean - want).abs() <= 1e-4, "{name}, mean surprisal {which}: {mean}");
    }
    assert_eq!((row, token), (logits.dim(0).unwrap(), scored.log_prob.len()));

    let cases = table["greedy"].as_array().unwrap();
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["prompt"])).collect();
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let mut cache = decoder.cache();
    let mut next = decoder.prefill(&mut cache, &prompts, 1).unwrap();
    let mut greedy = vec![Vec::new(); cases.len()];
    while greedy[0].len() < cases[0]["new"].as_array().unwrap().len() {
        let best = next.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        for (row, id) in greedy.iter_mut().zip(&best) {
            row.push(*id);
        }
        next = decoder.step(&mut cache, &best).unwrap();
    }
    for (got, case) in greedy.iter().zip(cases) {
        assert_eq!(*got, ids(&case["new"]), "{name}: greedy ids");
    }
}

#[test]
fn a_tied_model_scores_and_decodes_as_transformers_does() {
    check_scoring("llama-tied");
}

#[test]
fn a_model_with_scaled_rotation_biases_and_its_own_head_scores_as_transformers_does() {
    check_scoring("llama-scaled");
}

#[test]
fn a_model_stops_at_every_end_token_of_its_config() {
    for (name, stops) in [("llama-tied", vec![2]), ("llama-scaled", vec![2, 3])] {
        let model = reference_checkpoint(name).load_base(&Device::Cpu).unwrap();
        assert_eq!(model.stop_ids, stops);
    }
}

/// The batch of `peft/loss.json`, each learned token weighing one over their number.
fn batch() -> Batch {
    let table = reference_json("peft/loss.json");
    let learned: Vec<Vec<bool>> = serde_json::from_value(table["learned"].clone()).unwrap();
    let count = learned.iter().flatten().filter(|learned| **learned).count();
    let mut batch = Batch::new();
    for (row, learned) in table["sequences"].as_array().unwrap().iter().zip(learned) {
        let weight = |learned: &bool| if *learned { 1.0 / count as f32 } else { 0.0 };
        let weights: Vec<f32> = learned.iter().map(weight).collect();
        batch.push(&ids(row), &weights);
    }
    assert_eq!(batch.predicted(), count);
    batch
}

fn adamw(decoder: &Decoder) -> AdamW {
    let table = &reference_json("peft/loss.json")["adamw"];
    let betas = numbers(&table["betas"]);
    let config = AdamWConfig {
        beta1: betas[0],
        beta2: betas[1],
        eps: table["eps"].as_f64().unwrap(),
        weight_decay: table["weight_decay"].as_f64().unwrap(),
    };
    AdamW::new(decoder.backend().path, decoder.trainable(), config).unwrap()
}

/// Three AdamW steps on the batch, as `train` of `make_peft.py`: losses, gradients, clipping, and the parameters it kept.
fn check_training(decoder: &Decoder, case: &str, replay: bool) {
    let want = reference_tensors(&format!("peft/{case}/expected.safetensors"));
    let table = reference_json(&format!("peft/{case}/expected.json"));
    let (batch, rate) =
        (batch(), reference_json("peft/loss.json")["adamw"]["lr"].as_f64().unwrap());
    let mut optimizer = adamw(decoder);
    let mut compared = 0;
    for (step, want_loss) in numbers(&table["losses"]).into_iter().enumerate() {
        let Gradient { loss, gradients, .. } = decoder.gradient(&batch, replay, None).unwrap();
        assert!((loss.loss - want_loss).abs() <= 1e-4, "{case}, loss {step}: {}", loss.loss);
        let gradients: Vec<Tensor> = gradients.into_iter().map(|g| g.unwrap()).collect();
        if step == 0 {
            for ((name, _), got) in decoder.trainable().iter().zip(&gradients) {
                if let Some(want) = want.get(&format!("gradient.{name}")) {
                    assert_close(got, want, &format!("{case}, gradient of {name}"));
                    compared += 1;
                }
            }
            let clipping = &table["clipping"];
            let (norm, limit) = (
                global_norm(decoder.backend().path, &gradients).unwrap(),
                clipping["max_norm"].as_f64(),
            );
            let after = norm * clip_factor(norm, limit);
            for (got, key) in [(norm, "norm"), (after, "norm_after")] {
                assert!(
                    (got - clipping[key].as_f64().unwrap()).abs() <= 1e-4,
                    "{case}, {key}: {got}"
                );
            }
        }
        optimizer.step(&gradients, rate, 1.0).unwrap();
        for (name, var) in decoder.trainable() {
            if let Some(want) = want.get(&format!("step{}.{name}", step + 1)) {
                assert_close(
                    var.as_tensor(),
                    want,
                    &format!("{case}, {name} after step {}", step + 1),
                );
                compared += 1;
            }
        }
    }
    let stored = |name: &&String| name.starts_with("gradient.") || name.starts_with("step");
    assert_eq!(
        compared,
        want.keys().filter(stored).count(),
        "{case}: every stored tensor is compared"
    );
}

/// The tied model with the adapter that PEFT saved for `case`.
fn adapted(case: &str) -> Decoder {
    adapted_on(&backends()[0], case)
}

fn adapted_on(backend: &Backend, case: &str) -> Decoder {
    let mut decoder = reference_decoder_on(backend, "llama-tied");
    adapter::load(&mut decoder, &reference(&format!("peft/{case}"))).unwrap();
    decoder
}

fn second_sequence() -> Batch {
    let ids = ids(&reference_json("peft/loss.json")["sequences"][1]);
    let mut batch = Batch::new();
    batch.push(&ids, &vec![1.0; ids.len()]);
    batch
}

fn check_logits(decoder: &Decoder, want: &HashMap<String, Tensor>, what: &str) {
    let got = decoder.logits(&second_sequence()).unwrap();
    assert_close(&got, &want["logits.1"], what);
}

fn check_adapter(case: &str) {
    for backend in &backends() {
        check_adapter_on(backend, case);
    }
}

fn check_adapter_on(backend: &Backend, case: &str) {
    let want = reference_tensors(&format!("peft/{case}/expected.safetensors"));
    let decoder = adapted_on(backend, case);
    check_logits(&decoder, &want, &format!("{case}, logits"));
    let merged = decoder.merged().unwrap();
    check_logits(&merged, &want, &format!("{case}, logits after merging"));
    let weights = decoder.tensors().unwrap();
    let mut compared = 0;
    for (name, want) in &want {
        if let Some(name) = name.strip_prefix("merged.") {
            assert_close(&weights[name], want, &format!("{case}, merged {name}"));
            compared += 1;
        }
    }
    assert_eq!(compared, 3);
    for replay in [false, true] {
        check_training(&adapted_on(backend, case), case, replay);
    }
}

#[test]
fn lora_computes_what_peft_computes() {
    check_adapter("lora");
}

#[test]
fn dora_computes_what_peft_computes() {
    check_adapter("dora");
}

#[test]
fn rank_stabilised_lora_with_patterns_computes_what_peft_computes() {
    let want = reference_tensors("peft/rslora/expected.safetensors");
    check_logits(&adapted("rslora"), &want, "rslora, logits");
}

#[test]
fn full_fine_tuning_computes_what_pytorch_computes() {
    for (backend, replay) in backends().into_iter().flat_map(|b| [(b.clone(), false), (b, true)]) {
        let mut decoder = reference_decoder_on(&backend, "llama-tied");
        decoder.train_in_full().unwrap();
        check_training(&decoder, "full", replay);
    }
}

#[test]
fn schedules_equal_those_of_transformers() {
    let table = reference_json("peft/schedules.json");
    let number = |key: &str| table[key].as_f64().unwrap();
    let (steps, warmup) = (number("steps") as usize, number("warmup_steps") as usize);
    for (schedule, name) in [(Schedule::Linear, "linear"), (Schedule::Cosine, "cosine")] {
        let want = numbers(&table[name]);
        assert_eq!(want.len(), steps);
        for (step, want) in want.into_iter().enumerate() {
            let got = number("peak") * schedule.factor(step, steps, warmup);
            assert!((got - want).abs() <= 1e-12, "{name}, step {step}: {got}, not {want}");
        }
    }
}

const CASES: [&str; 3] = ["lora", "dora", "rslora"];

/// Trains the adapter of `case` by one step, so that its numbers are no one's but ours, and saves it.
fn saved_by_us(case: &str, folder: &Path) -> Tensor {
    let decoder = adapted(case);
    let config = adapter::read_config(&reference(&format!("peft/{case}"))).unwrap();
    let gradients = decoder.gradient(&batch(), false, None).unwrap().gradients;
    let gradients: Vec<Tensor> = gradients.into_iter().map(|g| g.unwrap()).collect();
    adamw(&decoder).step(&gradients, 1e-2, 1.0).unwrap();
    adapter::save(&decoder, &config, "llama-tied", folder).unwrap();
    decoder.logits(&second_sequence()).unwrap()
}

#[test]
fn a_saved_adapter_loads_again_with_the_same_bits() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let logits = saved_by_us(case, folder.path());
        let mut decoder = reference_decoder("llama-tied");
        let read = adapter::load(&mut decoder, folder.path()).unwrap();
        assert_eq!(read.config, adapter::read_config(&reference(&format!("peft/{case}"))).unwrap());
        let again = decoder.logits(&second_sequence()).unwrap();
        assert_eq!(flat(&again), flat(&logits), "{case}");
    }
}

const LOGITS_OF_PEFT: &str = "
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, ids, folders = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
for folder in folders:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64, attn_implementation='sdpa')
    model = PeftModel.from_pretrained(model, folder).double().eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([ids])).logits[0].flatten().tolist()))
";

#[test]
fn peft_loads_an_adapter_that_we_saved() {
    let Some(python) = python_with("peft") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let logits = CASES.map(|case| saved_by_us(case, &folder.path().join(case)));
    let sequence = &reference_json("peft/loss.json")["sequences"][1];
    let output = Command::new(python)
        .args(["-c", LOGITS_OF_PEFT])
        .arg(reference("llama-tied"))
        .arg(sequence.to_string())
        .args(CASES.map(|case| folder.path().join(case)))
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), CASES.len());
    for ((case, line), got) in CASES.iter().zip(lines.lines()).zip(&logits) {
        let want: Vec<f32> = serde_json::from_str(line).unwrap();
        let difference = max_difference(&flat(got), &want);
        assert!(difference <= 1e-4, "{case}: PEFT's logits differ by {difference}");
    }
}
