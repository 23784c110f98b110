//! Weights that are not finite numbers: no verb computes with them, none gives a score, none writes them on.

use crate::support::{
    assert_refused, reference_checkpoint, reference_decoder, reference_json, reference_tensors,
};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use unforget::adapter::{self, LoraConfig};
use unforget::error::Error;
use unforget::export;
use unforget::generate::{Sampling, generate};
use unforget::model::{Batch, Checkpoint, write_model};
use unforget::ops::Divergence;
use unforget::perplexity;

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab");
const VALUES: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// A folder with a copy of the lab's model, a LoRA and a DoRA for it, and some items.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        let model = place.path("model");
        std::fs::create_dir(&model).unwrap();
        for entry in std::fs::read_dir(Path::new(LAB).join("model")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
        }
        for (name, dora) in [("lora", false), ("dora", true)] {
            let mut decoder = place.checkpoint().load_base(&Device::Cpu).unwrap().decoder;
            let config = LoraConfig { rank: 2, dora, ..LoraConfig::lab() };
            adapter::attach(&mut decoder, &config, 1).unwrap();
            adapter::save(&decoder, &config, "model", &place.path(name)).unwrap();
        }
        let items = std::fs::read_to_string(Path::new(LAB).join("word/train.jsonl")).unwrap();
        let items: String = items.lines().take(4).map(|line| format!("{line}\n")).collect();
        std::fs::write(place.path("items.jsonl"), items).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(self.path("model")).unwrap()
    }

    /// Puts `value` into the last number of a tensor; returns the file's bytes before.
    fn poison(&self, file: &str, tensor: &str, value: f32) -> Vec<u8> {
        let path = self.path(file);
        let before = std::fs::read(&path).unwrap();
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let old = &tensors[tensor];
        let mut numbers: Vec<f32> = old.flatten_all().unwrap().to_vec1().unwrap();
        *numbers.last_mut().unwrap() = value;
        let new = Tensor::from_vec(numbers, old.shape(), &Device::Cpu).unwrap();
        tensors.insert(tensor.into(), new);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        before
    }

    /// The call fails with one error in which all of `parts` stand, and leaves no result behind.
    fn refuses(&self, arguments: &str, parts: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
            .args(arguments.split_whitespace())
            .current_dir(self.root.path())
            .env_remove("UNFORGET_STORE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "`{arguments}` was accepted, but should say {parts:?}");
        assert!(output.stdout.is_empty(), "`{arguments}` printed a result");
        for part in parts {
            assert!(stderr.contains(part), "`{arguments}`: `{part}` is not in: {stderr}");
        }
        assert!(!self.path("out").exists() && !self.path("out.jsonl").exists(), "`{arguments}`");
    }
}

/// Every verb that reads a model, with `{}` for an adapter.
const VERBS: [&str; 8] = [
    "perplexity --model model{} --data items.jsonl",
    "perplexity --model model{} --data items.jsonl --out out.jsonl",
    "generate self-output --model model{} --items items.jsonl --samples 1 --max-new-tokens 4 --out out",
    "evaluate --model model{} --task word --limit 2 --max-new-tokens 4",
    "export masks --model model{} --data items.jsonl --threshold 2 --out out.jsonl",
    "finetune --model model --data items.jsonl --preset lab --threshold 2 --out out",
    "finetune --model model --data items.jsonl --preset lab --out out",
    "finetune --model model --data items.jsonl --preset lab --full --out out",
];

const EXPORTS: [&str; 2] = [
    "export merged --model model --adapter ADAPTER --out out",
    "export lora --model model --adapter ADAPTER --out out",
];

#[test]
fn no_verb_uses_a_model_with_a_number_that_is_not_finite() {
    let place = Place::new();
    let tensors = [
        "model.embed_tokens.weight",
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.norm.weight",
        "lm_head.weight",
    ];
    for (tensor, value) in tensors.iter().zip(VALUES.into_iter().cycle()) {
        let file = "model/model.safetensors";
        let before = place.poison(file, tensor, value);
        let holds = format!("{file}: {tensor} holds {value} at [");
        for verb in VERBS {
            place.refuses(
                &verb.replace("{}", ""),
                &[&holds, "not a number; the weights are broken"],
            );
        }
        // of the weights that a plain LoRA is not made of, nothing is read
        let exports = if tensor.contains("_proj") { &EXPORTS[..] } else { &EXPORTS[..1] };
        for verb in exports {
            place.refuses(&verb.replace("ADAPTER", "lora"), &[&holds, "not a number"]);
        }
        std::fs::write(place.path(file), before).unwrap();
    }
}

#[test]
fn no_verb_uses_an_adapter_with_a_number_that_is_not_finite() {
    let place = Place::new();
    let name = |part: &str| format!("base_model.model.model.layers.2.mlp.down_proj.{part}");
    let parts = [
        ("lora", name("lora_A.weight")),
        ("lora", name("lora_B.weight")),
        ("dora", name("lora_B.weight")),
        ("dora", name("lora_magnitude_vector")),
    ];
    for ((adapter, tensor), value) in parts.iter().zip(VALUES.into_iter().cycle()) {
        let file = format!("{adapter}/adapter_model.safetensors");
        let before = place.poison(&file, tensor, value);
        let holds = format!("{file}: {tensor} holds {value} at [");
        let adapted = VERBS.iter().filter(|verb| verb.contains("{}"));
        let adapted = adapted.map(|verb| verb.replace("{}", &format!(" --adapter {adapter}")));
        let exports = EXPORTS.iter().map(|verb| verb.replace("ADAPTER", adapter));
        let reference = format!(
            "finetune --model model --data items.jsonl --preset lab --weights keep(ppl_reference<=2) --reference-adapter {adapter} --out out"
        );
        for call in adapted.chain(exports).chain([reference]) {
            place.refuses(&call, &[&holds, "not a number; the weights are broken"]);
        }
        std::fs::write(place.path(&file), before).unwrap();
    }
}

#[test]
fn every_place_and_value_is_refused_while_the_weights_are_read() {
    let place = Place::new();
    let file = "model/model.safetensors";
    let tensors = candle_core::safetensors::load(place.path(file), &Device::Cpu).unwrap();
    for tensor in tensors.keys().filter(|name| !name.contains("layers.2.")) {
        for value in VALUES {
            let before = place.poison(file, tensor, value);
            let holds = format!("{tensor} holds {value}");
            assert_refused(place.checkpoint().load_base(&Device::Cpu), &[file, &holds]);
            std::fs::write(place.path(file), before).unwrap();
        }
    }
}

/// A model whose numbers are finite and too large to compute with.
fn too_large(place: &Place) {
    place.poison("model/model.safetensors", "model.norm.weight", 3e38);
    place.poison("model/model.safetensors", "lm_head.weight", 3e38);
    place.poison("model/model.safetensors", "model.layers.0.input_layernorm.weight", 3e38);
    place.poison("model/model.safetensors", "model.layers.0.self_attn.v_proj.weight", 3e38);
    place.poison("model/model.safetensors", "model.layers.0.self_attn.o_proj.weight", 3e38);
}

#[test]
fn logits_that_are_not_finite_stop_every_verb() {
    let place = Place::new();
    too_large(&place);
    for verb in &VERBS[..6] {
        place.refuses(&verb.replace("{}", ""), &["model", "not a number; the weights are broken"]);
    }
    place.refuses(VERBS[6], &["training stopped at step 1", "the loss is NaN"]);
    place.refuses(VERBS[7], &["training stopped at step 1", "the loss is NaN"]);

    let decoder = place.checkpoint().load_base(&Device::Cpu).unwrap().decoder;
    let ids: &[u32] = &[1, 5, 9, 7];
    let not_a_number = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotANumber { .. })), "{result:?}");
    };
    not_a_number(perplexity::score(&decoder, &[ids], |_| {}).map(|_| ()));
    for sampling in [Sampling::greedy(4), Sampling { max_new_tokens: 4, ..Sampling::paper() }] {
        let answers = generate(&decoder, &[ids.to_vec()], 2, &[], &sampling, |_, _, _| {});
        not_a_number(answers.map(|_| ()));
    }
    let mut batch = Batch::new();
    batch.push(ids, &[1.0; 4]);
    not_a_number(decoder.divergence(&decoder, &batch, Divergence::default()).map(|_| ()));
}

#[test]
fn weights_that_became_infinite_are_not_written() {
    let decoder = reference_decoder("llama-tied");
    let out = tempfile::tempdir().unwrap();
    let mut broken = decoder.detached().unwrap();
    let (_, projection) = broken.projections_mut().nth(3).unwrap();
    projection.weight = (projection.weight.dense().unwrap() * f64::INFINITY).unwrap().into();
    assert_refused(
        write_model(&out.path().join("model"), &broken, &[2]),
        &["self_attn.o_proj.weight holds", "train again, with a lower learning rate"],
    );
    assert!(!out.path().join("model/model.safetensors").exists());
    let mut adapted = decoder.detached().unwrap();
    let config = LoraConfig { rank: 2, ..LoraConfig::lab() };
    adapter::attach(&mut adapted, &config, 1).unwrap();
    let (_, var) = &adapted.trainable()[1];
    var.set(&var.as_tensor().affine(0.0, f64::NAN).unwrap()).unwrap();
    assert_refused(
        adapter::save(&adapted, &config, "base", &out.path().join("adapter")),
        &["lora_B.weight holds NaN at [0, 0]", "lower learning rate"],
    );
    assert!(!out.path().join("adapter/adapter_model.safetensors").exists());
}

/// `llama-tied` in half precision, with PEFT's adapter whose update is made larger.
fn enlarged(root: &Path, factor: f64) -> Checkpoint {
    let (model, folder) = (root.join("model"), root.join("adapter"));
    std::fs::create_dir_all(&model).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let config = reference_json("llama-tied/config.json");
    std::fs::write(model.join("config.json"), config.to_string()).unwrap();
    let half: HashMap<String, Tensor> = reference_tensors("llama-tied/model.safetensors")
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_dtype(DType::F16).unwrap()))
        .collect();
    candle_core::safetensors::save(&half, model.join("model.safetensors")).unwrap();
    let mut config = reference_json("peft/lora/adapter_config.json");
    config["lora_alpha"] = json!(config["lora_alpha"].as_f64().unwrap() * factor);
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let tensors = reference_tensors("peft/lora/adapter_model.safetensors");
    candle_core::safetensors::save(&tensors, folder.join("adapter_model.safetensors")).unwrap();
    let mut checkpoint = reference_checkpoint("llama-tied").with_adapter(folder);
    checkpoint.model = model;
    checkpoint
}

#[test]
fn what_becomes_infinite_while_it_is_merged_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let out = |name: &str| {
        let out = root.path().join(name);
        std::fs::create_dir_all(&out).unwrap();
        out
    };
    export::merged(&enlarged(root.path(), 1.0), &out("fine"), export::SHARD).unwrap();
    assert_refused(
        export::merged(&enlarged(root.path(), 1e8), &out("large"), export::SHARD),
        &["adapter: with it model.layers.", "inf at [", "stored as F16", "too large"],
    );
    assert_refused(
        export::as_lora(&enlarged(root.path(), 1e300), &out("lora"), None, || ()),
        &["not a number; the weights are broken"],
    );
}
