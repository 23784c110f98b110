//! The built program, as a person meets it: what each verb does, and what it says when something is wrong.
//!
//! Whatever goes wrong ends with an exit code that is not 0, one message that names the thing and the way out, and nothing
//! half-written.

use crate::support::{killed_at, reference, shared};
use candle_core::{DType, Device, Tensor};
use polars::prelude::{ParquetReader, SerReader};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unforget::model::{Decoder, Family, ModelConfig, write_model};
use unforget::store::file_hash;
use unforget::tokens::{BpeTraining, train_bpe};

/// A folder with a tiny random model in `model`, where the program runs.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

/// What a call left behind.
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

const CONTEXT: usize = 512;

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        let folder = place.path("model");
        let texts = ["What is 2 + 3?", "Solve 3x + 4 = 10 for x.", "Answer: 5"];
        let training = BpeTraining { vocab_size: 300, ..BpeTraining::lab() };
        let texts = texts.iter().cycle().take(12).map(|text| text.to_string());
        let tokenizer = train_bpe(texts, &training, &folder).unwrap();
        let config = ModelConfig {
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 16,
            vocab_size: tokenizer.vocab_size(),
            max_position_embeddings: CONTEXT,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            ..ModelConfig::defaults(Family::Llama)
        };
        let decoder = Decoder::random(&config, 1, &Device::Cpu).unwrap();
        write_model(&folder, &decoder, &tokenizer.stop_ids()).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn write_rows(&self, name: &str, rows: &[Value]) {
        let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
        self.write(name, &lines.concat());
    }

    /// A call with its arguments separated by spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.root.path())
            .env_remove("UNFORGET_STORE")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A call that must work.
    pub(crate) fn works(&self, arguments: &str) -> Outcome {
        let outcome = self.run(arguments);
        assert!(outcome.success, "`{arguments}`: {}", outcome.stderr);
        outcome
    }

    /// A call that must work and print JSON.
    pub(crate) fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.works(&format!("{arguments} --json")).stdout).unwrap()
    }

    /// A call that must fail with one message, in which all of `parts` stand.
    pub(crate) fn refuses(&self, arguments: &str, parts: &[&str]) -> Outcome {
        let outcome = self.run(arguments);
        let stderr = &outcome.stderr;
        assert!(!outcome.success, "`{arguments}` was accepted, but should say {parts:?}");
        let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "`{arguments}`: {stderr}");
        assert!(!stderr.contains("panicked"), "`{arguments}`: {stderr}");
        for part in parts {
            assert!(stderr.contains(part), "`{arguments}`: `{part}` is not in: {stderr}");
        }
        outcome
    }

    /// Changes the model's `config.json`.
    fn edit_config(&self, key: &str, value: Value) {
        let path = self.path("model/config.json");
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(path, config.to_string()).unwrap();
    }

    /// Changes the model's tensors.
    fn edit_weights(&self, edit: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let path = self.path("model/model.safetensors");
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        edit(&mut tensors);
        candle_core::safetensors::save(&tensors, path).unwrap();
    }

    /// Puts NaN into one value of the first layer's weights.
    fn poison(&self) {
        self.edit_weights(|tensors| {
            let weight = tensors.get_mut("model.layers.0.mlp.up_proj.weight").unwrap();
            let mut values: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
            values[0] = f32::NAN;
            *weight = Tensor::from_vec(values, weight.shape(), &Device::Cpu).unwrap();
        });
    }
}

/// Four questions and answers.
pub(crate) fn sums() -> Vec<Value> {
    let sum = |(at, (a, b)): (usize, (u32, u32))| json!({"id": format!("sum-{at}"), "prompt": format!("What is {a} + {b}?"), "completion": format!("Answer: {}", a + b)});
    [(2, 3), (4, 4), (1, 0), (7, 2)].into_iter().enumerate().map(sum).collect()
}

/// The same as items that can be graded.
pub(crate) fn items() -> Vec<Value> {
    let item = |row: Value| {
        let answer = row["completion"].as_str().unwrap();
        let value = answer.strip_prefix("Answer: ").unwrap();
        json!({"id": row["id"], "prompt": row["prompt"], "truth": answer, "check": {"kind": "number", "value": value}})
    };
    sums().into_iter().map(item).collect()
}

const SCORE: &str = "perplexity --model model --data sums.jsonl";
const TRAIN: &str = "finetune --model model --data sums.jsonl --out adapter --preset lab";

/// The perplexity of each completion token of `sums.jsonl` with its example's id, lowest first.
fn perplexities(place: &Place) -> Vec<(String, f32)> {
    place.works(&format!("{SCORE} --out tokens.parquet"));
    let file = std::fs::File::open(place.path("tokens.parquet")).unwrap();
    let frame = ParquetReader::new(file).finish().unwrap();
    let (ids, log_prob, weight) = (
        frame.column("example").unwrap().str().unwrap(),
        frame.column("log_prob").unwrap().f32().unwrap(),
        frame.column("weight").unwrap().f32().unwrap(),
    );
    let learned = (0..frame.height()).filter(|row| weight.get(*row) == Some(1.0));
    let mut found: Vec<(String, f32)> = learned
        .map(|row| (ids.get(row).unwrap().to_string(), (-log_prob.get(row).unwrap()).exp()))
        .collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    found
}

/// A threshold that masks about half of the completion tokens of `sums.jsonl`.
fn median(place: &Place) -> f32 {
    let all = perplexities(place);
    let middle = all.len() / 2;
    assert!(all[middle - 1].1 < all[middle].1, "{all:?}");
    (all[middle - 1].1 + all[middle].1) / 2.0
}

fn with_sums() -> Place {
    let place = Place::new();
    place.write_rows("sums.jsonl", &sums());
    place
}

#[test]
fn every_verb_explains_itself() {
    let place = Place { root: tempfile::tempdir().unwrap() };
    for verb in [
        "run",
        "perplexity",
        "ledger",
        "generate",
        "finetune",
        "evaluate",
        "compare",
        "card",
        "verify",
        "items",
        "export",
        "report",
        "doctor",
    ] {
        let help = place.works(&format!("{verb} --help")).stdout;
        assert!(help.contains("Example") && help.contains("unforget "), "{help}");
    }
    let help = place.works("--help").stdout;
    for verb in [
        "lab",
        "run",
        "perplexity",
        "ledger",
        "generate",
        "finetune",
        "evaluate",
        "compare",
        "card",
        "verify",
        "items",
        "export",
        "report",
        "doctor",
    ] {
        assert!(help.contains(&format!("  {verb} ")), "{verb}: {help}");
    }
}

#[test]
fn perplexity_prints_a_summary_and_writes_one_row_for_each_token() {
    let place = with_sums();
    let outcome = place.works(&format!("{SCORE} --out tokens.parquet"));
    assert_eq!(outcome.stderr, "");
    for line in ["given its prompt", "text alone", "per completion token", "1000"] {
        assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
    }
    let summary = place.json(SCORE);
    let file = std::fs::File::open(place.path("tokens.parquet")).unwrap();
    let frame = ParquetReader::new(file).finish().unwrap();
    assert_eq!(json!(frame.height()), summary["tokens"]);
    let names: Vec<String> = frame.get_column_names().iter().map(|name| name.to_string()).collect();
    assert_eq!(
        names,
        [
            "example",
            "position",
            "token_id",
            "text",
            "char_start",
            "char_end",
            "role",
            "class",
            "log_prob",
            "entropy",
            "rank",
            "weight"
        ]
    );
    // the completion's tokens have weight 1, and their mean surprisal is the summary's
    let numbers = |name: &str| -> Vec<Option<f32>> {
        let column = frame.column(name).unwrap().f32().unwrap();
        (0..column.len()).map(|row| column.get(row)).collect()
    };
    let learned: Vec<f64> = numbers("weight")
        .iter()
        .zip(numbers("log_prob"))
        .filter(|(weight, _)| **weight == Some(1.0))
        .map(|(_, log_prob)| -f64::from(log_prob.unwrap()))
        .collect();
    assert_eq!(json!(learned.len()), summary["completion_tokens"]);
    let perplexity = (learned.iter().sum::<f64>() / learned.len() as f64).exp();
    let told = summary["perplexity_per_token"].as_f64().unwrap();
    assert!((perplexity - told).abs() < 1e-4 * told, "{perplexity} {told}");
    // a random model of 300 ids knows nothing
    assert!(told > 50.0, "{told}");
    assert_eq!(summary["above"][0]["share"], json!(1.0));
}

#[test]
fn training_teaches_and_what_was_taught_can_be_generated_graded_and_scored() {
    let place = with_sums();
    place.write_rows("items.jsonl", &items());
    // in full until it knows the four answers by heart
    let full = place.json(
        "finetune --model model --data items.jsonl --out known --preset lab --full --learning-rate 1e-2 --num-epochs 80 --batch-size 4",
    );
    assert_eq!(full["steps"], json!(80));
    assert!(full["loss_last"].as_f64() < Some(0.1), "{full}");
    assert_eq!(full["learned_tokens"], full["completion_tokens"]);
    assert!(place.path("known/tokenizer.json").is_file());

    let own = "generate self-output --model known --items items.jsonl --samples 3 --max-new-tokens 16 --out own";
    let counts = place.json(own);
    assert_eq!((&counts["asked"], &counts["sampled"]), (&json!(4), &json!(12)));
    assert!(counts["kept"].as_u64() > Some(0), "{counts}");
    let lines = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(place.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (pool, train) = (lines("own/pool.jsonl"), lines("own/train.jsonl"));
    assert_eq!((pool.len(), json!(train.len())), (12, counts["kept"].clone()));
    let chosen: Vec<&Value> = pool.iter().filter(|line| line["chosen"] == json!(true)).collect();
    assert_eq!(chosen.len(), train.len());
    for (candidate, item) in chosen.iter().zip(&train) {
        assert_eq!(candidate["label"], json!("right"));
        assert_eq!((&candidate["id"], &candidate["text"]), (&item["id"], &item["truth"]));
        assert!(candidate["score"]["why"].as_str().is_some_and(|why| !why.is_empty()));
    }

    let graded =
        place.works("evaluate --model known --items items.jsonl --max-new-tokens 16").stdout;
    assert!(graded.contains("items"), "{graded}");

    // an adapter on the random model, in PEFT's layout
    let text = place
        .works(&format!("{TRAIN} --threshold {} --num-epochs 6 --batch-size 2", median(&place)));
    assert!(
        text.stdout.contains("relative weight change") && text.stderr.is_empty(),
        "{}",
        text.stderr
    );
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        assert!(place.path("adapter").join(file).is_file(), "no {file}");
    }
    let before = place.json(SCORE)["perplexity_per_token"].as_f64();
    let after = place.json(&format!("{SCORE} --adapter adapter"))["perplexity_per_token"].as_f64();
    assert!(after < before, "{after:?} {before:?}");
    // an earlier result is replaced, other things are not
    place.works(&format!("{TRAIN} --num-epochs 1 --replace"));
    place.refuses(
        "finetune --model model --data sums.jsonl --out own",
        &["own", "holds other things", "--out"],
    );
}

#[test]
fn answers_none_of_which_is_right_are_kept_for_looking_at() {
    let place = Place::new();
    place.write_rows("items.jsonl", &items());
    let call = "generate rephrase --model model --items items.jsonl --max-new-tokens 4 --out own";
    place.refuses(call, &["own", "none of the 4 sampled answers is right", "pool.jsonl"]);
    assert!(place.path("own/pool.jsonl").is_file() && !place.path("own/train.jsonl").exists());
}

#[test]
fn controls_leave_out_as_many_tokens_as_the_threshold() {
    let place = with_sums();
    let learned = |mask: &str| {
        let printed = place.json(&format!("{TRAIN} {mask} --num-epochs 1 --replace"));
        printed["learned_tokens"].as_u64().unwrap()
    };
    let all = learned("");
    let threshold = median(&place);
    let low = learned(&format!("--threshold {threshold}"));
    assert_eq!(low, all / 2);
    assert_eq!(learned(&format!("--mask random:{threshold}")), low);
    assert_eq!(learned(&format!("--mask lowest:{threshold}")), low);
}

#[test]
fn a_model_that_is_none_is_refused() {
    let place = with_sums();
    place.refuses(
        "perplexity --model nowhere --data sums.jsonl",
        &["nowhere", "model folder", "Hugging Face"],
    );
    place.edit_config("model_type", json!("gpt_bigcode"));
    place.refuses(SCORE, &["config.json", "gpt_bigcode", "llama"]);
}

#[test]
fn tensors_that_do_not_fit_are_listed_all_at_once() {
    let place = with_sums();
    place.edit_weights(|tensors| {
        tensors.remove("model.norm.weight").unwrap();
        let extra = Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap();
        tensors.insert("model.layers.7.mlp.up_proj.weight".into(), extra.clone());
        tensors.insert("model.layers.0.self_attn.q_proj.weight".into(), extra);
    });
    let parts = [
        "model.norm.weight: missing",
        "model.layers.7.mlp.up_proj.weight: not part",
        "model.layers.0.self_attn.q_proj.weight: shape [2, 2], config.json needs [32, 32]",
    ];
    place.refuses(SCORE, &parts);
    place.refuses(TRAIN, &parts);
    assert!(!place.path("adapter").exists());
}

#[test]
fn a_weight_file_that_is_cut_off_is_refused() {
    let place = with_sums();
    let path = place.path("model/model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    place.refuses(SCORE, &["model.safetensors", "not a whole safetensors file", "again"]);
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_refused() {
    let place = with_sums();
    place.edit_config("vocab_size", json!(100));
    place.refuses(SCORE, &["tokenizer.json", "100 rows"]);
}

#[test]
fn a_broken_template_is_named() {
    let place = with_sums();
    place.write("model/chat_template.jinja", "{% for message in messages %}{{ message.content }}");
    place.refuses(SCORE, &["chat_template.jinja"]);
    place.write("model/chat_template.jinja", "{{ raise_exception('no such turn') }}");
    place.refuses(SCORE, &["sum-0", "no such turn"]);
}

#[test]
fn data_that_cannot_be_used_is_named_with_its_line() {
    let place = with_sums();
    let score = "perplexity --model model --data bad.jsonl";
    let train = "finetune --model model --data bad.jsonl --out adapter";
    place.refuses(score, &["bad.jsonl", "no data set here", ".jsonl"]);
    let good = sums()[0].to_string();
    let cases: [(String, &[&str]); 4] = [
        (format!("{good}\n{{\"prompt\": \"cut"), &["bad.jsonl:2:", "JSON"]),
        (
            format!(
                "{good}\n\n{}\n",
                json!({"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Yes?"}]})
            ),
            &["bad.jsonl:3:", "assistant"],
        ),
        (
            format!("{good}\n{}\n", json!({"frage": "?"})),
            &["bad.jsonl:2:", "question and answer", "frage"],
        ),
        ("\n".into(), &["bad.jsonl", "is empty"]),
    ];
    for (text, parts) in cases {
        place.write("bad.jsonl", &text);
        place.refuses(score, parts);
        place.refuses(train, parts);
    }
    assert!(!place.path("adapter").exists());
}

#[test]
fn an_example_longer_than_the_context_is_cut_off_only_when_asked() {
    let place = Place::new();
    let mut rows = sums();
    rows.insert(1, json!({"id": "novel", "prompt": "Tell!", "completion": "1".repeat(CONTEXT)}));
    place.write_rows("sums.jsonl", &rows);
    place.refuses(SCORE, &["1 of 5 examples", "512 tokens", "novel", "--too-long"]);
    for (rule, examples, said) in
        [("drop", 4, "left out: novel"), ("truncate", 5, "cut off there: novel")]
    {
        let call = format!("{SCORE} --too-long {rule}");
        let outcome = place.works(&format!("{call} --json"));
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(
            (&summary["examples"], &summary["too_long"]),
            (&json!(examples), &json!(["novel"]))
        );
    }
    place.refuses(&format!("{TRAIN} --max-length 3 --too-long drop"), &["nothing is left"]);
    place.refuses(&format!("{TRAIN} --max-length 9999"), &["--max-length", "512"]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_by_name() {
    let place = with_sums();
    place.write_rows("items.jsonl", &items());
    for value in ["NaN", "0", "-1", "inf"] {
        place.refuses(&format!("{TRAIN} --threshold {value}"), &["threshold", "above 0"]);
        place.refuses(&format!("{TRAIN} --mask random:{value}"), &["--mask", "above 0"]);
        place.refuses(&format!("{TRAIN} --learning-rate {value}"), &["learning_rate", "above 0"]);
    }
    place.refuses(&format!("{TRAIN} --mask some:2"), &["--mask", "some:2", "random:T"]);
    let earlier = format!("{TRAIN} --epochs 0 --clip=1 --replay true");
    let parts = [
        "--epochs is called --num-epochs now",
        "--clip is called --max-grad-norm now",
        "num_epochs",
    ];
    place.refuses(&earlier, &parts);
    place.refuses(&format!("{TRAIN} --num-epochs 0"), &["num_epochs", "at least 1"]);
    place.refuses(&format!("{TRAIN} --max-grad-norm -1"), &["max_grad_norm", "above 0"]);
    place.refuses(&format!("{TRAIN} --dropout 1"), &["dropout", "below 1"]);
    place.refuses(&format!("{TRAIN} --rank 0"), &["rank", "at least 1"]);
    let own = "generate self-output --model model --items items.jsonl --out own";
    place.refuses(&format!("{own} --top-p 1.5"), &["top_p", "at most 1"]);
    place.refuses(&format!("{own} --temperature -1"), &["temperature"]);
    place.refuses(&format!("{own} --samples 0"), &["samples", "at least 1"]);
    assert!(!place.path("adapter").exists() && !place.path("own").exists());
    assert!(!place.path("unforget-store").exists());
}

#[test]
fn examples_without_a_token_to_learn_are_left_out_and_named() {
    let place = with_sums();
    // a threshold between the lowest perplexities of two examples masks one of them whole
    let all = perplexities(&place);
    let mut lowest: Vec<&(String, f32)> = Vec::new();
    for token in &all {
        if lowest.iter().all(|known| known.0 != token.0) {
            lowest.push(token);
        }
    }
    let (last, below) = (lowest[3], lowest[2].1);
    assert!(last.1 > below, "{lowest:?}");
    let call = format!("{TRAIN} --num-epochs 1 --threshold {}", (last.1 + below) / 2.0);
    let outcome = place.works(&format!("{call} --json"));
    assert!(outcome.stderr.contains(&last.0), "{}", outcome.stderr);
    let printed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(printed["left_out"], json!([last.0]));

    std::fs::remove_dir_all(place.path("adapter")).unwrap();
    place.refuses(
        &format!("{TRAIN} --threshold 1.000001"),
        &["every token of all 4 examples is masked", "raise the threshold"],
    );
    assert!(!place.path("adapter").exists());
}

#[test]
fn a_loss_that_is_no_number_stops_training_and_says_where() {
    let place = with_sums();
    let outcome = place.run(&format!(
        "{TRAIN} --learning-rate 1e30 --schedule constant --warmup-steps 0 --no-max-grad-norm --num-epochs 5 --batch-size 1"
    ));
    assert!(!outcome.success && outcome.stdout.is_empty(), "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("training stopped at step ") && outcome.stderr.contains("sum-"),
        "{}",
        outcome.stderr
    );
    place.poison();
    let parts = ["model.safetensors", "up_proj.weight holds NaN at [0, 0]", "not a number"];
    place.refuses(&format!("{TRAIN} --batch-size 2"), &parts);
    place.refuses(SCORE, &parts);
    place.refuses(&format!("{TRAIN} --threshold 400"), &parts);
    assert!(!place.path("adapter").exists());
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    let place = with_sums();
    let wrong = |device: &str, parts: &[&str]| {
        let Outcome { stderr, .. } = place.refuses(&format!("{SCORE} --device {device}"), parts);
        assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    };
    // with the feature too: no machine has a hundred GPUs
    wrong("cuda:99", &["device cuda:99: ", "`--device cpu`"]);
    match cfg!(feature = "cuda") {
        true => println!("skipped: built with cuda, so the first GPU may be there"),
        false => wrong("cuda", &["device cuda:0: ", "--features cuda"]),
    }
    match cfg!(feature = "metal") {
        true => println!("skipped: built with metal, so the GPU may be there"),
        false => wrong("metal", &["device metal: ", "--features metal"]),
    }
    for device in ["tpu", "cuda:", "cuda:first"] {
        let none = format!("`{device}` is none of cpu, cuda, cuda:N");
        wrong(device, &["device", &none]);
    }
}

/// A small file system of its own, gone when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    fn change(&self, option: &str) {
        let mut mount = Command::new("mount");
        let done = mount.args(["-o", &format!("remount,{option}")]).arg(&self.0).status();
        assert!(done.unwrap().success(), "remount,{option}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_store_that_is_full_or_read_only_is_named_and_nothing_is_half_written() {
    let place = with_sums();
    let train = format!("{TRAIN} --num-epochs 1 --store small");
    let Some(store) = Mount::new(place.path("small"), "24k") else {
        println!("skipped: a full and a read-only store: only root may mount");
        return;
    };
    place.refuses(&train, &["small/finetune", "No space left"]);
    assert!(!place.path("adapter").exists());
    store.change("size=8m,ro");
    place.refuses(&format!("{SCORE} --store small"), &["small/scores", "Read-only file system"]);
    store.change("rw");
    place.works(&train);
    // what is finished can be had from a store that cannot be written
    store.change("ro");
    place.works(&train.replace("--out adapter", "--out adapter-again"));
}

#[test]
fn an_unknown_key_of_a_recipe_is_answered_with_the_nearest() {
    let place = with_sums();
    place.write("recipe.toml", "lerning_rates = [1e-3]\n");
    place.refuses("run recipe.toml", &["recipe.toml", "`lerning_rates`", "`learning_rates`"]);
    place.refuses("run none.toml", &["none.toml"]);
    place.refuses("report .", &["results.json", "unforget run"]);
    place.write("results.json", "{}");
    place.refuses("report results.json", &["results.json", "no results of this version"]);
}

/// Files called `name` one folder below `folder`.
fn entries(folder: &Path, name: &str) -> usize {
    let Ok(found) = std::fs::read_dir(folder) else {
        return 0;
    };
    found.filter_map(|entry| entry.ok()).filter(|entry| entry.path().join(name).is_file()).count()
}

#[test]
fn a_fine_tuning_that_was_killed_ends_in_the_same_bytes() {
    let place = with_sums();
    let train =
        "finetune --model model --data sums.jsonl --preset lab --num-epochs 150 --batch-size 1";
    let disturbed = format!("{train} --store disturbed --out first");
    for point in ["begun finetune", "step 3", "checkpoint 40", "checkpoint 80", "step 90"] {
        killed_at(place.command(&disturbed), point);
    }
    assert_eq!(entries(&place.path("disturbed/finetune"), "result.json"), 0);
    assert!(!place.path("first").exists());

    let again = place.json(&disturbed);
    let undisturbed = place.json(&format!("{train} --store undisturbed --out second"));
    assert_eq!(again["losses"], undisturbed["losses"]);
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
        let read = |out: &str| std::fs::read(place.path(out).join(file)).unwrap();
        assert!(read("first") == read("second"), "{file} differs");
    }
}

/// A CSV file without its columns of seconds.
fn table(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<String>> =
        text.lines().map(|line| line.split(',').map(String::from).collect()).collect();
    let timed: Vec<bool> = rows[0].iter().map(|name| name.contains("seconds")).collect();
    rows.iter()
        .map(|row| {
            row.iter()
                .zip(&timed)
                .filter(|(_, timed)| !**timed)
                .map(|(cell, _)| cell.clone())
                .collect()
        })
        .collect()
}

#[test]
fn an_experiment_that_was_killed_ends_in_the_same_tables_and_can_be_reported_again() {
    let place = with_sums();
    place.works("make-lab tasks --benchmarks-only");
    let recipe = r#"
        name = "tiny"
        model = "model"
        tasks = "tasks"
        target = "algebra"
        non_target = ["choice"]
        arms = ["ground_truth", "stm_T", "random_mask_T"]
        learning_rates = [1e-3]
        seeds = [1, 2]
        max_new_tokens = 4
        [sizes]
        train = 8
        validation = 4
        test = 4
        [finetune]
        epochs = 2
        batch = 4
    "#;
    let recipe = recipe.replace("_T", &format!("_{}", median(&place)));
    place.write("tiny.toml", &recipe);
    let disturbed = "run tiny.toml --store disturbed --out first";
    for point in ["finished ledger", "begun finetune", "finished finetune", "finished evaluate"] {
        killed_at(place.command(disturbed), point);
    }
    assert!(entries(&place.path("disturbed/finetune"), "result.json") >= 1);
    assert!(!place.path("first").exists());

    let again = place.works(disturbed);
    let undisturbed = place.works("run tiny.toml --store undisturbed --out second");
    assert_eq!(again.stdout, undisturbed.stdout);
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    for name in ["summary", "forgetting", "tasks", "thresholds"] {
        assert!(
            read(&format!("first/tables/{name}.csv")) == read(&format!("second/tables/{name}.csv")),
            "{name}"
        );
    }
    for name in ["front", "data"] {
        let of = |out: &str| table(&place.path(&format!("{out}/tables/{name}.csv")));
        assert_eq!(of("first"), of("second"), "{name}");
    }

    // the masked arms did learn less
    let results: Value = serde_json::from_slice(&read("second/results.json")).unwrap();
    for run in results["results"]["runs"].as_array().unwrap() {
        let masked = run["learned_tokens"].as_u64() < run["completion_tokens"].as_u64();
        assert_eq!(masked, run["arm"] != json!("ground_truth"), "{}", run["arm"]);
    }

    // two arms of it against each other, and what is no arm
    let forgetting = String::from_utf8(read("second/tables/forgetting.csv")).unwrap();
    let line =
        forgetting.lines().find(|line| line.starts_with("ground_truth,base,non-target mean,2,4,"));
    let points: f64 = line.unwrap().split(',').nth(5).unwrap().parse().unwrap();
    let found = place.json("compare base ground_truth --results second --margin 3");
    let choice = &found["comparisons"][1];
    assert_eq!((&choice["tasks"], &choice["seeds"]), (&json!("choice"), &json!(2)));
    assert!((choice["difference"]["value"].as_f64().unwrap() - points).abs() < 1e-9, "{choice}");
    assert_eq!(found["design"]["margin"], json!(3.0));
    place.refuses("compare base stm_9 --results second", &["no arm `stm_9`", "base, ground_truth"]);
    place.refuses("compare base ground_truth --results second --margin 0", &["margin", "above 0"]);

    let printed = place.works("report second --out third").stdout;
    assert!(printed.contains(&undisturbed.stdout), "{printed}");
    for name in ["report.html", "results.json", "tables/summary.csv"] {
        assert!(read(&format!("second/{name}")) == read(&format!("third/{name}")), "{name}");
    }

    // every answer of base and of six runs to the four questions of two tasks, and a page of them
    let told = place.works("report second --out fourth --samples").stderr;
    assert!(told.contains("samples.html"), "{told}");
    let page = String::from_utf8(read("fourth/samples.html")).unwrap();
    let data = &page[page.find("id=\"data\">").unwrap() + 10..];
    let data: Value = serde_json::from_str(&data[..data.find("</script>").unwrap()]).unwrap();
    assert_eq!(data["items"].as_array().unwrap().len(), 2 * 4);
    let runs = data["runs"].as_array().unwrap();
    assert!(
        runs.len() == 6 && runs.iter().all(|run| run["answers"].as_array().unwrap().len() == 8)
    );
    std::fs::remove_file(place.path("second/tables/answers.parquet")).unwrap();
    place.refuses("report second --out fifth --samples", &["hold no answers", "unforget run"]);
}

#[test]
fn doctor_looks_at_the_lab_and_fails_only_when_it_cannot_run() {
    let place = Place::new();
    let lab = place.path("datasets/lab/model");
    std::fs::create_dir_all(lab.parent().unwrap()).unwrap();
    std::fs::rename(place.path("model"), &lab).unwrap();
    let weights = lab.join("model.safetensors");
    let line = format!("{}  model/model.safetensors\n", file_hash(&weights).unwrap());
    place.write("datasets/lab/hashes.txt", &line);
    let well = place.works("doctor").stdout;
    for part in ["ok  lab", "all 1 files", "ok  store", "python3", "jupyter", "threads"] {
        assert!(well.contains(part), "`{part}` is not in: {well}");
    }
    // looking leaves nothing behind
    assert!(!place.path("unforget-store").exists());
    // the lab's model goes by its name
    place.write_rows("sums.jsonl", &sums());
    place.works("perplexity --model lab --data sums.jsonl");

    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let ill = place.refuses("doctor", &["lab", "not all can run here"]).stdout;
    assert!(ill.contains("NO  lab") && ill.contains("model/model.safetensors"), "{ill}");
}

/// Rows in MBPP's form, made up.
fn functions() -> Vec<Value> {
    [11, 12, 601]
        .map(|task| {
            json!({
                "task_id": task, "text": format!("Add {task} to a number."), "code": format!("def add(x): return x + {task}"),
                "test_setup_code": "", "test_list": ["assert add(0) > 0", "assert add(1) > 0", "assert add(2) > 0"]
            })
        })
        .to_vec()
}

#[test]
fn a_published_benchmark_is_asked_in_either_words() {
    let place = Place::new();
    place.write_rows("mbpp.jsonl", &functions());
    let call = "evaluate --model model --benchmark mbpp --data mbpp.jsonl --max-new-tokens 4";
    if let Err(error) = unforget::sandbox::Python::find() {
        println!("skipped: {error}");
        return;
    }
    for (options, prompt) in [
        ("--show 2", ">>> Problem:\nAdd 11 to a number."),
        ("--show 1 --prompts harness", "[BEGIN]"),
        ("--show 1 --split train --grading paper", "Add 601 to a number."),
    ] {
        // The harness shows three solved tasks, which are longer than this model's context.
        if options.contains("harness") {
            place.refuses(
                &format!("{call} {options}"),
                &["context of 512 tokens", "--too-long", "--prompts"],
            );
            continue;
        }
        let outcome = place.works(&format!("{call} {options}"));
        assert!(outcome.stdout.contains(prompt), "{}", outcome.stdout);
    }
    place.refuses(&format!("{call} --split validation"), &["none of its 3 tasks", "`validation`"]);
    place.refuses(&format!("{call} --prompts mine"), &["mine", "paper, harness, official"]);
    place.refuses(
        "evaluate --model model --benchmark mbp --data mbpp.jsonl",
        &["none is called", "mbpp"],
    );
}

#[test]
fn without_python_other_tasks_go_on() {
    let place = Place::new();
    place.write_rows("mbpp.jsonl", &functions());
    let call = "evaluate --model model --benchmark mbpp --data mbpp.jsonl --max-new-tokens 4";
    let output = place.command(call).env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("there is no python3"), "{said}");
    place.write_rows("items.jsonl", &items());
    let output = place
        .command("evaluate --model model --items items.jsonl --max-new-tokens 4")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert!(output.status.success());
}

#[test]
fn a_real_model_without_a_template_scores_and_learns_real_data() {
    let what = "perplexity and finetune of a real model";
    let (Some(model), Some(data)) =
        (shared("real/models/tinystories-656k", what), shared("real/datasets/gsm8k", what))
    else {
        return;
    };
    let place = Place { root: tempfile::tempdir().unwrap() };
    let of = format!("--model {} --data {} --too-long drop", model.display(), data.display());
    let scores = place.json(&format!("perplexity {of} --limit 24 --out tokens.parquet"));
    println!("tinystories-656k on gsm8k: {scores}");
    let perplexity = scores["perplexity_given_prompt"].as_f64().unwrap();
    assert!(perplexity > 1.0 && perplexity.is_finite(), "{scores}");
    let tuned = place.json(&format!(
        "finetune {of} --limit 24 --threshold 1000 --learning-rate 1e-3 --num-epochs 1 --out adapter"
    ));
    let known = |key: &str| tuned[key].as_f64().unwrap();
    println!(
        "{} of {} tokens learned, loss {} -> {}",
        tuned["learned_tokens"],
        tuned["completion_tokens"],
        tuned["loss_first"],
        tuned["loss_last"]
    );
    assert!(known("loss_last") < known("loss_first"));
    let after = place.json(&format!("perplexity {of} --limit 24 --adapter adapter"));
    assert!(after["perplexity_given_prompt"].as_f64() < Some(perplexity), "{after}");
}

/// Rows of GSM8K as they are published.
fn word_problems() -> Vec<Value> {
    let row = |(question, answer): (&str, &str)| json!({"question": question, "answer": format!("So it is {answer}.\n#### {answer}")});
    [("What is 2 + 3?", "5"), ("What is 4 + 4?", "8"), ("What is 1 + 0?", "1")].map(row).to_vec()
}

#[test]
fn a_model_that_chats_is_asked_for_code_as_the_harness_asks_one() {
    if let Err(error) = unforget::sandbox::Python::find() {
        println!("skipped: {error}");
        return;
    }
    let place = Place::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/humaneval/sample.jsonl");
    let instruct = "Write a solution to the following problem";
    let asked = format!("--benchmark humaneval={} --prompts harness", data.display());
    let call = format!("evaluate --model model {asked} --limit 0 --max-new-tokens 4 --show 1");
    assert!(place.works(&call).stdout.contains(instruct));
    std::fs::remove_file(place.path("model/chat_template.jinja")).unwrap();
    let shown = place.works(&call).stdout;
    assert!(shown.contains("def double_all") && !shown.contains(instruct), "{shown}");
    for (option, chat) in [("", true), ("--base", false)] {
        place.works(&format!("items {asked} {option} --out tasks/code{option}.jsonl"));
        let item = std::fs::read_to_string(place.path(&format!("tasks/code{option}.jsonl")));
        assert_eq!(item.unwrap().contains(instruct), chat);
    }
}

#[test]
fn benchmarks_are_evaluated_and_kept_in_the_form_of_the_harness() {
    let place = Place::new();
    place.write_rows("gsm8k/test.jsonl", &word_problems());
    place.write_rows(
        "prompts.jsonl",
        &[
            json!({"key": 1, "prompt": "Say hi.", "instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {}]}),
            json!({"key": 2, "prompt": "Say no.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}),
        ],
    );
    let call = "evaluate --model model --benchmark gsm8k=gsm8k --benchmark ifeval=prompts.jsonl --prompts official --limit 2 --max-new-tokens 8";
    let table = place.works(&format!("{call} --out samples")).stdout;
    assert!(table.contains("gsm8k") && table.contains("ifeval"), "{table}");

    let files: Vec<String> = std::fs::read_dir(place.path("samples/model"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let file = |begin: &str| {
        let name = files.iter().find(|name| name.starts_with(begin)).unwrap();
        std::fs::read_to_string(place.path("samples/model").join(name)).unwrap()
    };
    let rows: Vec<Value> =
        file("samples_gsm8k_").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    let hash = |text: &str| json!(unforget::store::bytes_hash(text.as_bytes()));
    for (at, row) in rows.iter().enumerate() {
        // the keys of lm-evaluation-harness 0.4.13, in its order
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "doc_id",
            "doc",
            "target",
            "arguments",
            "resps",
            "filtered_resps",
            "filter",
            "metrics",
            "doc_hash",
            "prompt_hash",
            "target_hash",
            "exact_match",
        ];
        assert_eq!(keys[..expected.len()], expected);
        assert_eq!(row["doc_id"], json!(at));
        let problem = &word_problems()[at];
        let prompt = problem["question"].as_str().unwrap();
        assert_eq!(row["arguments"]["gen_args_0"]["arg_0"], json!(prompt));
        assert_eq!(row["prompt_hash"], hash(prompt));
        assert_eq!(row["target_hash"], hash(row["target"].as_str().unwrap()));
        let document = serde_json::to_string_pretty(&row["doc"]).unwrap();
        assert_eq!(row["doc_hash"], hash(&document));
        assert!(row["resps"][0][0].is_string() && row["filtered_resps"][0].is_string());
        for metric in row["metrics"].as_array().unwrap() {
            assert!(!row[metric.as_str().unwrap()].is_null());
        }
    }
    let sample: Value =
        serde_json::from_str(file("samples_ifeval_").lines().next().unwrap()).unwrap();
    assert_eq!(sample["inst_level_strict_acc"].as_array().unwrap().len(), 2);

    let results: Value = serde_json::from_str(&file("results_")).unwrap();
    for key in [
        "results",
        "group_subtasks",
        "configs",
        "versions",
        "n-shot",
        "higher_is_better",
        "n-samples",
        "config",
        "git_hash",
        "date",
        "task_hashes",
        "model_source",
        "model_name",
        "model_name_sanitized",
        "chat_template_sha",
        "start_time",
        "end_time",
        "total_evaluation_time_seconds",
    ] {
        assert!(results.get(key).is_some(), "no {key}");
    }
    let scores = &results["results"]["gsm8k"];
    let mean: f64 = rows.iter().map(|row| row["exact_match"].as_f64().unwrap()).sum::<f64>() / 2.0;
    assert_eq!(scores["exact_match,unforget"], json!(mean));
    assert_eq!(results["n-samples"]["gsm8k"], json!({"original": 3, "effective": 2}));
    let of_instructions = &results["results"]["ifeval"]["inst_level_loose_acc,unforget"];
    assert!(of_instructions.is_f64());

    // two evaluations side by side, as folders and as files
    place.works(&format!("{call} --out again"));
    let table = place.works("compare samples again").stdout;
    for part in ["gsm8k", "ifeval", "mean", "cannot tell"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let path = |folder: &str| {
        let files = std::fs::read_dir(place.path(&format!("{folder}/model"))).unwrap();
        let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        format!("{folder}/model/{}", names.find(|name| name.starts_with("samples_gsm8k_")).unwrap())
    };
    let files = format!("compare {} {}", path("samples"), path("again"));
    let found = &place.json(&format!("{files} --measure skill"))["comparisons"];
    assert_eq!((found.as_array().unwrap().len(), &found[0]["items"]), (1, &json!(2)));
    assert_eq!((&found[0]["p"], &found[0]["test"]["name"]), (&json!(1.0), &json!("mcnemar")));
    place.refuses(&format!("{files} --measure bleu"), &["no measure `bleu`", "exact_match, skill"]);
    place.refuses(&format!("compare {} none", path("samples")), &["none", "samples"]);

    // a row alone, and what does not fit
    place.works(
        "evaluate --model model --benchmark ifeval=prompts.jsonl --only key=1 --max-new-tokens 2",
    );
    place.refuses(&format!("{call} --only key=7"), &["none of its 3 rows has key=7"]);
    place.refuses("evaluate --model model --benchmark gsm9k=gsm8k", &["gsm9k", "gsm8k, "]);
    place.refuses("evaluate --model model --benchmark gsm8k", &["give gsm8k its file"]);
    place.refuses(
        "evaluate --model model --benchmark gsm8k --data none",
        &["none", "no data of gsm8k"],
    );
    place.refuses(
        "evaluate --model model --benchmark gsm8k=gsm8k --take first --grading paper",
        &["--take first", "robust"],
    );
}

#[test]
fn a_benchmark_becomes_a_task_of_recipes() {
    let place = Place::new();
    place.write_rows("gsm8k.jsonl", &word_problems());
    let call = "items --benchmark gsm8k=gsm8k.jsonl --prompts official";
    let said = place.works(&format!("{call} --skip 1 --out tasks/gsm8k/test.jsonl")).stdout;
    assert!(said.contains("2 of the 3 items"), "{said}");
    let items = unforget::experiment::read_split(&place.path("tasks"), "gsm8k", "test", 2).unwrap();
    assert_eq!(items[0].prompt, "What is 4 + 4?");
    assert_eq!(items[0].grade(&items[0].truth, false).value, 1.0);
    place.works("evaluate --model model --tasks tasks --task gsm8k --limit 2 --max-new-tokens 2");
    place.refuses(&format!("{call} --skip 3 --out x.jsonl"), &["--skip", "none of the 3"]);
    place.refuses("items --out x.jsonl", &["name one benchmark"]);
}

#[test]
fn models_and_data_go_by_the_names_that_python_gives_them() {
    let place = Place::new();
    let model = place.path("hub/models--own--toy");
    std::fs::create_dir_all(model.join("snapshots")).unwrap();
    std::fs::rename(place.path("model"), model.join("snapshots/0123")).unwrap();
    place.write("hub/models--own--toy/refs/main", "0123");
    let data = reference("data").display().to_string();
    let call = |arguments: &str| {
        let arguments = arguments.replace("DATA", &data);
        let mut command = place.command(&arguments);
        command.env("HF_HUB_CACHE", place.path("hub"));
        command.env("HF_HUB_OFFLINE", "1").output().unwrap()
    };
    place.write("own.csv", "instruction,input,output\r\nWhat is,2 + 3?,5\r\n");
    place.write("own.json", r#"{"rows": [{"prompt": "2 + 3?", "completion": "5"}]}"#);
    for (data, examples) in
        [("DATA/shards:train", 4), ("DATA/shards/data:test", 1), ("own.csv", 1), ("own.json", 1)]
    {
        let output = call(&format!("perplexity --model own/toy --data {data} --json"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{data}: {stderr}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["examples"], examples, "{data}");
    }
    let output = call(
        "finetune --model own/toy@0123 --data DATA/shards:train --out adapter --preset lab --num-epochs 1",
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(place.path("adapter/adapter_config.json").is_file());

    for (arguments, parts) in [
        (
            "perplexity --model own/none --data DATA/saved:test",
            ["no model own/none here", "HF_HUB_CACHE"],
        ),
        (
            "perplexity --model own/toy --data DATA/saved",
            ["has the splits train, test", "saved:train"],
        ),
    ] {
        let output = call(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.starts_with("error: "));
        for part in parts {
            assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
        }
    }
}
