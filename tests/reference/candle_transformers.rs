//! candle-transformers' models against transformers' logits, on the models of this folder, at every position. It gives the logits of
//! the last position, so each is asked for in two ways: `at once`, all tokens up to it; `one by one`, with its key-value memory.
//!
//! No part of the project: what it prints is written down in the doc of `model::Family`. To run it, put it as `src/main.rs` into a package
//! of its own with
//!
//! ```toml
//! [dependencies]
//! candle-core = { version = "=0.11.1", default-features = false }
//! candle-nn = { version = "=0.11.1", default-features = false }
//! candle-transformers = { version = "=0.11.1", default-features = false }
//! serde_json = "1"
//! ```
//!
//! and start it as `cargo run --release -- tests/reference VARIANTS`, where `python tests/reference/candle_transformers.py VARIANTS` has
//! written what transformers computes when it is made to do what candle-transformers does.

use candle_core::{DType, Device, Result, Tensor, safetensors};
use candle_nn::VarBuilder;
use candle_transformers::models::{gemma2, llama, mistral, olmo2, qwen2};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

enum Model {
    Llama(llama::Llama, llama::Config, llama::Cache),
    Mistral(mistral::Model),
    Qwen2(qwen2::ModelForCausalLM),
    Gemma2(gemma2::Model),
    Olmo2(olmo2::Model),
}

impl Model {
    fn load(config: &Value, tensors: HashMap<String, Tensor>) -> std::result::Result<Self, String> {
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let bad = |e: serde_json::Error| format!("config: {e}");
        let err = |e: candle_core::Error| format!("weights: {}", first_line(&e));
        let c = config.clone();
        Ok(match config["model_type"].as_str().unwrap() {
            "llama" => {
                let c: llama::LlamaConfig = serde_json::from_value(c).map_err(bad)?;
                let c = c.into_config(false);
                let cache = llama::Cache::new(true, DType::F32, &c, &Device::Cpu).map_err(err)?;
                Self::Llama(llama::Llama::load(vb, &c).map_err(err)?, c, cache)
            }
            "mistral" => Self::Mistral(
                mistral::Model::new(&serde_json::from_value(c).map_err(bad)?, vb).map_err(err)?,
            ),
            "qwen2" => Self::Qwen2(
                qwen2::ModelForCausalLM::new(&serde_json::from_value(c).map_err(bad)?, vb)
                    .map_err(err)?,
            ),
            "gemma2" => Self::Gemma2(
                gemma2::Model::new(false, &serde_json::from_value(c).map_err(bad)?, vb)
                    .map_err(err)?,
            ),
            "olmo2" => Self::Olmo2(
                olmo2::Model::new(&serde_json::from_value(c).map_err(bad)?, vb).map_err(err)?,
            ),
            other => return Err(format!("no {other}")),
        })
    }

    fn clear(&mut self) {
        match self {
            Self::Llama(_, config, cache) => {
                *cache = llama::Cache::new(true, DType::F32, config, &Device::Cpu).unwrap()
            }
            Self::Mistral(m) => m.clear_kv_cache(),
            Self::Qwen2(m) => m.clear_kv_cache(),
            Self::Gemma2(m) => m.clear_kv_cache(),
            Self::Olmo2(m) => m.clear_kv_cache(),
        }
    }

    fn last(&mut self, ids: &[u32], offset: usize) -> Result<Vec<f32>> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match self {
            Self::Llama(m, _, cache) => m.forward(&ids, offset, cache)?,
            Self::Mistral(m) => m.forward(&ids, offset)?,
            Self::Qwen2(m) => m.forward(&ids, offset)?,
            Self::Gemma2(m) => m.forward(&ids, offset)?,
            Self::Olmo2(m) => m.forward(&ids, offset)?,
        };
        logits.flatten_all()?.to_vec1()
    }
}

fn first_line(e: &dyn std::fmt::Display) -> String {
    e.to_string().lines().next().unwrap_or_default().to_owned()
}

fn tensors(folder: &Path) -> HashMap<String, Tensor> {
    let mut all = HashMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            for (name, t) in safetensors::load(&path, &Device::Cpu).unwrap() {
                all.insert(name, t.to_dtype(DType::F32).unwrap());
            }
        }
    }
    all
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Version 5's spelling in version 4's, which is all that candle-transformers reads; nothing else is changed.
fn spelt(mut config: Value) -> Value {
    if let Some(rope) = config.get("rope_parameters").cloned() {
        config["rope_theta"] = rope["rope_theta"].clone();
        if rope["rope_type"] != "default" {
            config["rope_scaling"] = rope;
        }
    }
    config
}

type Change<'a> = &'a dyn Fn(&mut Value, &mut HashMap<String, Tensor>);

fn compare(root: &Path, fixture: &str, what: &str, change: Change<'_>, upto: usize) {
    let folder = root.join(fixture);
    let mut config = spelt(json_of(&folder.join("config.json")));
    let mut weights = tensors(&folder);
    change(&mut config, &mut weights);
    let expected = json_of(&folder.join("expected.json"));
    let want = safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
    let rows = expected["sequences"].as_array().unwrap();
    let ids = |row: &Value| serde_json::from_value(row.get("ids").unwrap_or(row).clone()).unwrap();
    let sequences: Vec<Vec<u32>> = rows.iter().map(ids).collect();
    let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Model::load(&config, weights)
    }));
    let mut model = match loaded {
        Ok(Ok(model)) => model,
        Ok(Err(e)) => return println!("{fixture:<26} {what:<44} refused: {e}"),
        Err(e) => {
            let text = e.downcast_ref::<String>().map_or("?", String::as_str);
            return println!("{fixture:<26} {what:<44} panics: {}", first_line(&text));
        }
    };
    for way in ["at once", "one by one"] {
        let (mut worst, mut off, mut count, mut first, mut largest) = (0f32, 0, 0, None, 0f32);
        for (n, ids) in sequences.iter().enumerate() {
            let want = &want[&format!("logits.{n}")];
            let want: Vec<Vec<f32>> = want.to_dtype(DType::F32).unwrap().to_vec2().unwrap();
            assert_eq!(want.len(), ids.len());
            model.clear();
            for at in 0..ids.len().min(upto) {
                let got = match way {
                    "at once" => {
                        model.clear();
                        model.last(&ids[..=at], 0)
                    }
                    _ => model.last(&ids[at..=at], at),
                }
                .unwrap();
                let difference = got
                    .iter()
                    .zip(&want[at])
                    .map(|(a, b)| (a - b).abs())
                    .fold(0f32, f32::max);
                largest = want[at].iter().fold(largest, |m, v| m.max(v.abs()));
                assert_eq!(got.len(), want[at].len());
                count += 1;
                worst = worst.max(difference);
                if difference > 1e-4 {
                    off += 1;
                    first = Some(first.map_or(at, |f: usize| f.min(at)));
                }
            }
        }
        println!(
            "{fixture:<26} {what:<44} {way}: largest difference {worst:.2e} (largest logit {largest:.1}), off by more than 1e-4 at {off} of {count} positions, first at {first:?}"
        );
    }
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let argument = |n| {
        std::env::args()
            .nth(n)
            .expect("usage: candle_transformers REFERENCE VARIANTS")
    };
    let (root, variants) = (argument(1), argument(2));
    let (root, variants) = (Path::new(&root), Path::new(&variants));
    let all = usize::MAX;
    let same: Change<'_> = &|_, _| ();
    let narrower: Change<'_> =
        &|c, _| c["sliding_window"] = json!(c["sliding_window"].as_u64().unwrap() - 1);
    let no_null: Change<'_> = &|c, _| c["sliding_window"] = json!(100_000);
    let head: Change<'_> = &|_, w| {
        let embedding = w["model.embed_tokens.weight"].clone();
        w.insert("lm_head.weight".into(), embedding);
    };
    let scaled: Change<'_> = &|c, w| {
        let factor =
            (c["head_dim"].as_f64().unwrap() / c["query_pre_attn_scalar"].as_f64().unwrap()).sqrt();
        for (name, t) in w.iter_mut() {
            if name.contains("q_proj") {
                *t = (&*t * factor).unwrap();
            }
        }
    };
    for (fixture, what, change, upto) in [
        ("llama-tied", "as it is", same, all),
        ("llama-scaled", "as it is", same, all),
        ("families/llama-linear", "as it is", same, all),
        ("families/llama-three", "as it is", same, all),
        ("families/mistral-window", "as it is", same, all),
        ("families/mistral-window", "window one less", narrower, all),
        ("families/mistral-tied", "as it is", same, all),
        (
            "families/mistral-tied",
            "embedding stored as head too",
            head,
            all,
        ),
        ("families/qwen2-tied", "as it is", same, all),
        (
            "families/qwen2-tied",
            "window 100000 for null",
            no_null,
            all,
        ),
        ("families/qwen2-window", "as it is", same, all),
        (
            "families/qwen2-window",
            "first 6 tokens (window 6)",
            same,
            6,
        ),
        ("families/qwen2-window", "window one less", narrower, all),
        ("families/gemma2-capped", "as it is", same, all),
        (
            "families/gemma2-capped",
            "first 4 tokens (window 4)",
            same,
            4,
        ),
        (
            "families/gemma2-capped",
            "first 4, queries · √(head_dim / scalar)",
            scaled,
            4,
        ),
        ("families/gemma2-plain", "as it is", same, all),
        (
            "families/gemma2-plain",
            "first 7 tokens (window 7)",
            same,
            7,
        ),
        ("families/gemma2-old", "as it is", same, all),
        ("families/gemma2-old", "first 5 tokens (window 5)", same, 5),
        ("families/olmo2-grouped", "as it is", same, all),
        ("families/olmo2-tied", "as it is", same, all),
        ("qwen2-all", "transformers, all layers W+1", same, all),
        (
            "gemma2-capped-all",
            "transformers, all layers W+1, scalar = head",
            same,
            all,
        ),
        (
            "gemma2-plain-all",
            "transformers, all layers W+1, tied",
            same,
            all,
        ),
        ("gemma2-old-all", "transformers, all layers W+1", same, all),
    ] as [(&str, &str, Change<'_>, usize); 26]
    {
        let root = if fixture.ends_with("-all") {
            variants
        } else {
            root
        };
        compare(root, fixture, what, change, upto);
    }
}
