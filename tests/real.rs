//! A model of each of five families with its real tokenizer and random weights, on real rows of real benchmarks, through the built program.

use crate::support::shared;
use candle_core::Device;
use std::path::Path;
use std::process::Command;
use unforget::model::{Decoder, Family, ModelConfig, write_model};
use unforget::sandbox::Python;
use unforget::tokens::Tokenizer;

/// Families, folders of their tokenizers; Gemma 2's has its pipeline and template with other pieces.
const MODELS: [(Family, &str); 5] = [
    (Family::Llama, "llama3"),
    (Family::Mistral, "mistral-v0.3"),
    (Family::Qwen2, "qwen2.5"),
    (Family::Gemma2, "gemma2-standin"),
    (Family::Olmo2, "olmo2"),
];

/// A small random model of `family` in `folder`, with the tokenizer of `tokenizer`.
fn make(family: Family, tokenizer: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for entry in std::fs::read_dir(tokenizer).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("tokenizer") || name == "chat_template.jinja" {
            std::fs::copy(&file, folder.join(&name)).unwrap();
        }
    }
    let tokenizer = Tokenizer::open(folder).unwrap();
    let config = ModelConfig {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        vocab_size: tokenizer.vocab_size(),
        max_position_embeddings: 4096,
        ..ModelConfig::defaults(family)
    };
    let decoder = Decoder::random(&config, 1, &Device::Cpu).unwrap();
    write_model(folder, &decoder, &tokenizer.stop_ids()).unwrap();
}

/// What a call prints; it must work.
fn works(place: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(arguments)
        .current_dir(place)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn five_families_are_evaluated_and_fine_tuned_on_real_rows() {
    let (Some(tokenizers), Some(data)) = (
        shared("real/tokenizers", "models with real tokenizers"),
        shared("real/datasets", "real rows"),
    ) else {
        return;
    };
    let data = data.canonicalize().unwrap();
    let file = |name: &str| data.join(name).to_string_lossy().into_owned();
    let mut benchmarks = vec![
        ("gsm8k", file("gsm8k/test.jsonl")),
        ("arc", file("arc/arc-challenge-validation.jsonl")),
        ("bird", file("bird-minidev/mini_dev.json")),
    ];
    match Python::find() {
        Ok(_) => benchmarks.push(("mbpp", file("mbpp/mbpp.jsonl"))),
        Err(error) => println!("skipped: MBPP: {error}"),
    }
    let place = tempfile::tempdir().unwrap();
    for (family, tokenizer) in MODELS {
        let model = format!("{family:?}");
        make(family, &tokenizers.join(tokenizer), &place.path().join(&model));
        for (name, file) in &benchmarks {
            let benchmark = format!("{name}={file}");
            let mut ask = vec!["--benchmark", benchmark.as_str()];
            if *name == "bird" {
                ask.extend(["--only", "db_id=superhero"]);
            }
            let call = ["evaluate", "--model", &model, "--limit", "2", "--max-new-tokens", "4"];
            let table = works(place.path(), &[&call, &ask[..]].concat());
            let row = table.lines().find(|line| line.starts_with(name));
            let row = row.unwrap_or_else(|| panic!("{model}, {name}: {table}"));
            assert_eq!(row.split_whitespace().nth(1), Some("2"), "{row}");

            let rows = format!("{name}.jsonl");
            let call = ["items", "--limit", "4", "--out", &rows];
            works(place.path(), &[&call, &ask[..]].concat());
            let out = format!("{model}-{name}");
            let call = ["finetune", "--model", &model, "--data", &rows, "--out", &out];
            let options = ["--preset", "lab", "--num-epochs", "1", "--json"];
            let done = works(place.path(), &[&call[..], &options[..]].concat());
            let done: serde_json::Value = serde_json::from_str(&done).unwrap();
            let changed = done["relative_weight_change"].as_f64();
            assert!(changed.is_some_and(|change| change > 0.0), "{done}");
            let adapter = place.path().join(&out).join("adapter_model.safetensors");
            assert!(adapter.exists(), "{}", adapter.display());
        }
    }
}
