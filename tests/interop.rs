//! Adapters, merged models and masks between this crate and Python.
//!
//! The adapters in `tests/reference/adapters` and their logits are made by PEFT with `tests/reference/make_adapters.py`.

use crate::support::{
    assert_close, assert_refused, flat, max_difference, python_with, reference,
    reference_checkpoint, reference_decoder, reference_json, reference_tensors, run_python,
};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::adapter::{self, LoraConfig};
use unforget::chat::{Conversation, Message};
use unforget::dataset::Example;
use unforget::export;
use unforget::model::{Batch, Checkpoint, Decoder};
use unforget::select::LossMask;
use unforget::tokens::{Sequence, Tokenizer, sequence};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/model");

fn logits(decoder: &Decoder, ids: &[u32]) -> Tensor {
    let mut batch = Batch::new();
    batch.push(ids, &vec![1.0; ids.len()]);
    decoder.logits(&batch).unwrap()
}

/// The ids of the adapters' reference logits.
fn ids() -> Vec<u32> {
    serde_json::from_value(reference_json("adapters/ids.json")).unwrap()
}

/// The adapters that PEFT made, by name.
fn cases() -> Vec<String> {
    let entries = std::fs::read_dir(reference("adapters")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 13, "{names:?}");
    names
}

fn case_folder(name: &str) -> PathBuf {
    reference(&format!("adapters/{name}"))
}

/// A copy of an adapter with one more field in its config, as this crate writes it after reading it; and its logits.
fn read_and_written(name: &str, to: &Path) -> Tensor {
    let from = tempfile::tempdir().unwrap();
    let mut config = config_of(&case_folder(name));
    config["made_up_by_a_later_peft"] = json!(false);
    std::fs::write(from.path().join("adapter_config.json"), config.to_string()).unwrap();
    let file = "adapter_model.safetensors";
    std::fs::copy(case_folder(name).join(file), from.path().join(file)).unwrap();
    let mut decoder = reference_decoder("llama-scaled");
    let read = adapter::load(&mut decoder, from.path()).unwrap();
    read.save(&decoder, to).unwrap();
    logits(&decoder, &ids())
}

fn config_of(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn adapters_of_every_shape_compute_what_peft_computes() {
    let want = reference_tensors("adapters/expected.safetensors");
    let base = logits(&reference_decoder("llama-scaled"), &ids());
    assert_close(&base, &want["logits.base"], "base");
    for name in cases() {
        let mut decoder = reference_decoder("llama-scaled");
        adapter::load(&mut decoder, &case_folder(&name)).unwrap();
        let want = &want[&format!("logits.{name}")];
        assert_close(&logits(&decoder, &ids()), want, &name);
        let merged = decoder.merged().unwrap();
        assert_close(&logits(&merged, &ids()), want, &format!("{name}, merged"));
    }
}

#[test]
fn what_was_read_is_written_again() {
    for name in cases() {
        let folder = tempfile::tempdir().unwrap();
        let before = read_and_written(&name, folder.path());
        let (old, new) = (config_of(&case_folder(&name)), config_of(folder.path()));
        for (key, value) in old.as_object().unwrap() {
            let same = match (value.as_f64(), new[key].as_f64()) {
                (Some(a), Some(b)) => a == b,
                // one block is a list of one
                (Some(a), None) => new[key] == json!([a as usize]),
                _ if key == "alpha_pattern" => {
                    value.as_object().unwrap().len() == new[key].as_object().unwrap().len()
                }
                _ => *value == new[key],
            };
            assert!(same, "{name}, {key}: {value} became {}", new[key]);
        }
        assert_eq!(new["made_up_by_a_later_peft"], json!(false), "{name}");
        for patterns in ["rank_pattern", "alpha_pattern"] {
            let keys = |config: &Value| -> Vec<String> {
                config[patterns].as_object().unwrap().keys().cloned().collect()
            };
            assert_eq!(keys(&old), keys(&new), "{name}: the order of {patterns}");
        }
        let file = "adapter_model.safetensors";
        let tensors = |folder: &Path| {
            candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap()
        };
        let (old, new) = (tensors(&case_folder(&name)), tensors(folder.path()));
        assert_eq!(old.len(), new.len(), "{name}");
        for (tensor, old) in &old {
            assert_eq!(flat(&new[tensor]), flat(old), "{name}, {tensor}");
        }
        let mut decoder = reference_decoder("llama-scaled");
        adapter::load(&mut decoder, folder.path()).unwrap();
        assert_eq!(flat(&logits(&decoder, &ids())), flat(&before), "{name}");
    }
}

const LOGITS_OF_PEFT: &str = "
import json, sys, warnings
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
warnings.filterwarnings('ignore')
asked = json.load(sys.stdin)
for folder in asked['adapters']:
    model = AutoModelForCausalLM.from_pretrained(asked['base'], dtype=torch.float64, attn_implementation='sdpa')
    model = PeftModel.from_pretrained(model, folder).double().eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([asked['ids']])).logits[0].flatten().tolist()))
";

const LOGITS_OF_TRANSFORMERS: &str = "
import json, sys, torch
from transformers import AutoModelForCausalLM
asked = json.load(sys.stdin)
for folder in asked['models']:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation='sdpa').eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([asked['ids']])).logits[0].flatten().tolist()))
";

fn assert_like_python(lines: &[Value], ours: &[(String, Tensor)]) {
    assert_eq!(lines.len(), ours.len());
    for (line, (name, ours)) in lines.iter().zip(ours) {
        let theirs: Vec<f32> = serde_json::from_value(line.clone()).unwrap();
        let difference = max_difference(&flat(ours), &theirs);
        assert!(difference <= 1e-4, "{name}: differs by {difference}");
    }
}

#[test]
fn peft_loads_what_was_read_and_written() {
    let Some(python) = python_with("peft") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let ours: Vec<(String, Tensor)> = cases()
        .into_iter()
        .map(|name| {
            let logits = read_and_written(&name, &root.path().join(&name));
            (name, logits)
        })
        .collect();
    let folders: Vec<PathBuf> = ours.iter().map(|(name, _)| root.path().join(name)).collect();
    let asked = json!({"base": reference("llama-scaled"), "ids": ids(), "adapters": folders});
    assert_like_python(&run_python(&python, LOGITS_OF_PEFT, &asked, &[]), &ours);
}

/// llama-scaled with an adapter on top.
fn adapted(adapter: &Path) -> Checkpoint {
    reference_checkpoint("llama-scaled").with_adapter(adapter)
}

#[test]
fn a_merged_model_is_the_model_with_its_adapter() {
    let want = reference_tensors("adapters/expected.safetensors");
    let root = tempfile::tempdir().unwrap();
    let mut ours = Vec::new();
    for (name, shard) in cases().into_iter().zip([export::SHARD, 6000].into_iter().cycle()) {
        let folder = root.path().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let written = export::merged(&adapted(&case_folder(&name)), &folder, shard).unwrap();
        assert_eq!(written.files > 1, shard == 6000, "{name}");
        assert_eq!(folder.join("model.safetensors.index.json").exists(), shard == 6000);
        assert!(written.layers > 0 && written.copied.contains(&"config.json".to_string()));
        let merged = Checkpoint {
            model: folder,
            adapter: None,
            adapter_scale: None,
            template: Default::default(),
            precision: None,
        };
        let decoder = merged.load_base(&Device::Cpu).unwrap().decoder;
        let logits = logits(&decoder, &ids());
        assert_close(&logits, &want[&format!("logits.{name}")], &name);
        ours.push((name, logits));
    }
    let Some(python) = python_with("transformers") else {
        return;
    };
    let folders: Vec<PathBuf> = ours.iter().map(|(name, _)| root.path().join(name)).collect();
    let asked = json!({"ids": ids(), "models": folders});
    assert_like_python(&run_python(&python, LOGITS_OF_TRANSFORMERS, &asked, &[]), &ours);
}

/// A copy of llama-scaled with its weights in another type, in two files.
fn copy_as(dtype: DType, folder: &Path) {
    let from = reference("llama-scaled");
    {
        let file = "config.json";
        std::fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let tensors =
        candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    let (mut parts, mut places) = ([HashMap::new(), HashMap::new()], serde_json::Map::new());
    for (at, (name, tensor)) in tensors.into_iter().enumerate() {
        places.insert(name.clone(), json!(format!("part-{}.safetensors", at % 2)));
        parts[at % 2].insert(name, tensor.to_dtype(dtype).unwrap());
    }
    for (at, part) in parts.iter().enumerate() {
        let path = folder.join(format!("part-{at}.safetensors"));
        candle_core::safetensors::save(part, path).unwrap();
    }
    let index = json!({"weight_map": places}).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

#[test]
fn merging_keeps_the_type_and_every_other_byte() {
    let (base, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy_as(DType::BF16, base.path());
    std::fs::write(base.path().join("pytorch_model.bin"), "weights of another kind").unwrap();
    std::fs::write(base.path().join("merges.txt"), "a b").unwrap();
    let templates = base.path().join("additional_chat_templates");
    std::fs::create_dir(&templates).unwrap();
    std::fs::write(templates.join("rag.jinja"), "x").unwrap();
    let checkpoint = Checkpoint {
        model: base.path().into(),
        adapter: Some(case_folder("pattern")),
        adapter_scale: None,
        template: Default::default(),
        precision: None,
    };
    let written = export::merged(&checkpoint, out.path(), export::SHARD).unwrap();
    assert_eq!(written.files, 1);
    assert_eq!(written.layers, 2);
    assert_eq!(
        written.copied,
        ["config.json", "merges.txt", "additional_chat_templates/rag.jinja"]
    );
    let load = |path: PathBuf| candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let after = load(out.path().join("model.safetensors"));
    let mut before = load(base.path().join("part-0.safetensors"));
    before.extend(load(base.path().join("part-1.safetensors")));
    assert_eq!(after.len(), before.len());
    let mut changed = Vec::new();
    for (name, old) in &before {
        assert_eq!(after[name].dtype(), DType::BF16, "{name}");
        let f32s = |t: &Tensor| flat(&t.to_dtype(DType::F32).unwrap());
        if f32s(old) != f32s(&after[name]) {
            changed.push(name.as_str());
        }
    }
    changed.sort();
    assert_eq!(
        changed,
        ["model.layers.1.mlp.down_proj.weight", "model.layers.1.self_attn.q_proj.weight"]
    );
}

#[test]
fn what_cannot_be_merged_is_explained() {
    let out = tempfile::tempdir().unwrap();
    let merged = |checkpoint: &Checkpoint| export::merged(checkpoint, out.path(), export::SHARD);
    assert_refused(merged(&reference_checkpoint("llama-scaled")), &["names no adapter"]);
    // an adapter for another model
    let other = reference_checkpoint("llama-tied").with_adapter(case_folder("all-linear"));
    assert_refused(merged(&other), &["lora_A.weight: shape", "needed"]);
    // a bias for a layer without one, of the same shape
    let moved = tempfile::tempdir().unwrap();
    let mut config = config_of(&case_folder("lora-bias"));
    config["target_modules"] = json!(["up_proj"]);
    let path = moved.path().join("adapter_config.json");
    std::fs::write(path, config.to_string()).unwrap();
    let file = "adapter_model.safetensors";
    let tensors = candle_core::safetensors::load(case_folder("lora-bias").join(file), &Device::Cpu);
    let tensors: HashMap<String, Tensor> = tensors
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| (name.replace("self_attn.k_proj", "mlp.up_proj"), tensor))
        .collect();
    candle_core::safetensors::save(&tensors, moved.path().join(file)).unwrap();
    assert_refused(merged(&adapted(moved.path())), &["up_proj.bias: the adapter brings a bias"]);
    let out = tempfile::tempdir().unwrap();
    assert_refused(
        export::as_lora(&adapted(&case_folder("bias-of-all")), out.path(), None, || ()),
        &["write the merged model instead"],
    );
    assert_refused(
        export::as_lora(&adapted(&case_folder("dora")), out.path(), Some(0), || ()),
        &["rank: must be at least 1"],
    );
}

#[test]
fn a_dora_becomes_a_plain_lora_with_a_known_loss() {
    let want = reference_tensors("adapters/expected.safetensors");
    let root = tempfile::tempdir().unwrap();
    let mut ours = Vec::new();
    let mut errors = Vec::new();
    // the matrices have at most 16 directions, so nothing is lost at that rank
    for (name, rank, exact) in [
        ("dora", Some(16), true),
        ("dora", Some(6), false),
        ("dora", None, false),
        ("ranks", None, true),
        ("all-linear", Some(5), true),
    ] {
        let folder = root.path().join(format!("{name}-{rank:?}"));
        let layers = export::as_lora(&adapted(&case_folder(name)), &folder, rank, || ()).unwrap();
        let mut decoder = reference_decoder("llama-scaled");
        let plain = adapter::load(&mut decoder, &folder).unwrap();
        assert!(!plain.config.dora && !plain.config.rslora);
        let own = if name == "ranks" { 3 } else { 2 };
        assert_eq!(plain.config.rank, rank.unwrap_or(own));
        let worst = layers.iter().map(|layer| layer.error).fold(0.0, f64::max);
        assert_eq!(worst < 1e-6, exact, "{name} {rank:?}: {worst}");
        assert!(layers.iter().all(|layer| layer.change > 1e-3 && layer.error < 1.0));
        let got = logits(&decoder, &ids());
        if exact {
            assert_close(&got, &want[&format!("logits.{name}")], name);
        }
        // what is reported is what is missing in the merged weights
        let mut tuned = reference_decoder("llama-scaled");
        adapter::load(&mut tuned, &case_folder(name)).unwrap();
        let weights = |decoder: &Decoder| decoder.tensors().unwrap();
        let (base, full, cut) =
            (weights(&reference_decoder("llama-scaled")), weights(&tuned), weights(&decoder));
        for layer in &layers {
            let key = format!("{}.weight", layer.layer);
            let norm =
                |t: Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            let change = norm((&full[&key] - &base[&key]).unwrap());
            let missed = norm((&full[&key] - &cut[&key]).unwrap());
            let measured = f64::from(missed / change);
            assert!((measured - layer.error).abs() < 1e-4, "{key}: {measured}, {}", layer.error);
        }
        errors.push(worst);
        ours.push((folder.file_name().unwrap().to_string_lossy().into_owned(), got));
    }
    assert!(errors[0] < errors[1] && errors[1] < errors[2], "{errors:?}");
    let Some(python) = python_with("peft") else {
        return;
    };
    let folders: Vec<PathBuf> = ours.iter().map(|(name, _)| root.path().join(name)).collect();
    let asked = json!({"base": reference("llama-scaled"), "ids": ids(), "adapters": folders});
    assert_like_python(&run_python(&python, LOGITS_OF_PEFT, &asked, &[]), &ours);
}

/// Rendered examples with masks that leave out every third token of the answers.
fn masked(tokenizer: &Tokenizer) -> Vec<(Example, Sequence, LossMask)> {
    let conversations = [
        Conversation::pair("What is 2 + 3?", "The sum of 2 and 3 is 5, which is easy. #### 5"),
        Conversation::pair(" Square «π» 🙂\n", "def f(x):\n    return x ** 2  # é 🙂🙂\n"),
        Conversation::new(vec![
            Message::user("First 1?"),
            Message::assistant("One 1."),
            Message::user("Second 2?"),
            Message::assistant("Two 2, and more of it."),
        ]),
    ];
    let rows = conversations.into_iter().enumerate().map(|(at, conversation)| {
        let example = Example::new(format!("e{at}"), conversation);
        let sequence = sequence(tokenizer, &example).unwrap();
        let learned = sequence.completion.as_slice().iter().enumerate();
        let learned = learned.map(|(at, one)| *one && at % 3 != 0).collect();
        (example, sequence, learned)
    });
    rows.collect()
}

#[test]
fn labels_are_the_mask() {
    let tokenizer = Tokenizer::open(Path::new(LAB)).unwrap();
    let mut rows = Vec::new();
    for (_, sequence, learned) in masked(&tokenizer) {
        let row = export::labelled(&sequence, &learned).unwrap();
        assert_eq!(row.input_ids, sequence.ids);
        assert_eq!(row.attention_mask, vec![1; sequence.len()]);
        for at in 0..sequence.len() {
            let label = if learned.learns(at) { i64::from(sequence.ids[at]) } else { -100 };
            assert_eq!(row.labels[at], label);
        }
        rows.push(row);
    }
    let frame = export::frame(&rows).unwrap();
    assert_eq!(frame.shape(), (3, 3));
    let (_, sequence, _) = &masked(&tokenizer)[0];
    assert_refused(
        export::labelled(sequence, &[true].into_iter().collect()),
        &["example e0", "1 entries for"],
    );
}

#[test]
fn segments_and_messages_are_the_text_in_pieces() {
    let tokenizer = Tokenizer::open(Path::new(LAB)).unwrap();
    let mut written = 0;
    for (example, sequence, _) in masked(&tokenizer) {
        // whole words, so that a piece has the tokens it has in the text
        let of = |at: usize| sequence.token_text(at).to_string();
        let learned: LossMask = (0..sequence.len())
            .map(|at| sequence.completion.learns(at) && !of(at).contains(['5', '2', 'r']))
            .collect();
        let Ok(row) = export::segments(&tokenizer, &sequence, &learned) else {
            continue;
        };
        written += 1;
        let text: String = row.segments.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(text, sequence.text);
        let mut labels = Vec::new();
        for segment in &row.segments {
            let ids = tokenizer.encode(&segment.text, false).unwrap().ids;
            labels.extend(vec![segment.label; ids.len()]);
        }
        assert_eq!(labels, learned.as_slice());
        let messages =
            export::messages(&tokenizer, &example, &sequence, &learned).unwrap().messages;
        let mut whole: Vec<(String, String)> = Vec::new();
        for message in &messages {
            let role = message.role.to_string();
            assert_eq!(message.loss.is_some(), role == "assistant");
            match whole.last_mut() {
                Some((before, text)) if *before == role => text.push_str(&message.content),
                _ => whole.push((role, message.content.clone())),
            }
        }
        let given: Vec<(String, String)> = example
            .conversation
            .messages
            .iter()
            .map(|message| (message.role.to_string(), message.content.clone()))
            .collect();
        assert_eq!(whole, given);
        let masked = messages.iter().filter(|message| message.loss == Some(false)).count();
        assert!(masked > 0, "{messages:?}");
    }
    assert!(written >= 2, "{written}");
}

#[test]
fn a_piece_that_would_have_other_tokens_is_refused() {
    let tokenizer = Tokenizer::open(Path::new(LAB)).unwrap();
    let (_, sequence, _) = &masked(&tokenizer)[1];
    // 🙂 is several tokens that share one character
    let shared = (1..sequence.len())
        .find(|at| sequence.completion.learns(*at) && sequence.spans[*at] == sequence.spans[at - 1])
        .unwrap();
    let learned: LossMask =
        (0..sequence.len()).map(|at| sequence.completion.learns(at) && at < shared).collect();
    assert_refused(
        export::segments(&tokenizer, sequence, &learned),
        &["example e1", "write the pre-tokenized form instead"],
    );
    export::labelled(sequence, &learned).unwrap();
}

/// What transformers and Axolotl's `input_output` make of the files: ids and labels of each row.
const READ_IN_PYTHON: &str = "
import json, sys
from datasets import load_dataset
from transformers import AutoTokenizer
model, folder = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model)
json_rows = load_dataset('json', data_files=f'{folder}/masks.jsonl', split='train')
table = load_dataset('parquet', data_files=f'{folder}/masks.parquet', split='train')
assert table.column_names == json_rows.column_names == ['input_ids', 'attention_mask', 'labels'], table.column_names
segments = load_dataset('json', data_files=f'{folder}/segments.jsonl', split='train')
messages = load_dataset('json', data_files=f'{folder}/messages.jsonl', split='train')
def apart(pieces):
    ids, labels = [], []
    for learned, text in pieces:
        part = tokenizer(text, add_special_tokens=False, return_tensors=None)['input_ids']
        ids += part
        labels += part if learned else [-100] * len(part)
    return ids, labels
for a, b, c, d in zip(json_rows, table, segments, messages):
    assert a == b
    assert set(a['attention_mask']) == {1}
    learned = [i for i, label in enumerate(a['labels']) if label != -100]
    assert all(a['labels'][i] == a['input_ids'][i] for i in learned)
    ids, labels = apart((s['label'], s['text']) for s in c['segments'])
    assert (ids, labels) == (a['input_ids'], a['labels'])
    chat = []
    for m in d['messages']:
        if chat and chat[-1]['role'] == m['role'] == 'assistant':
            chat[-1]['content'] += m['content']
        else:
            chat.append({'role': m['role'], 'content': m['content']})
    assert tokenizer.apply_chat_template(chat, return_dict=True)['input_ids'] == a['input_ids']
    print(json.dumps({'ids': a['input_ids'], 'learned': learned}))
";

fn program(folder: &Path, arguments: &str) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(arguments.split_whitespace())
        .arg("--store")
        .arg(folder.join("store"))
        .current_dir(folder)
        .output()
        .unwrap()
}

fn works(folder: &Path, arguments: &str) -> String {
    let output = program(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{arguments}`: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the lab's model, twelve of its examples, a LoRA and a DoRA.
fn place() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let model = root.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(LAB).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    let data = Path::new(LAB).join("../code/train.jsonl");
    let text = std::fs::read_to_string(data).unwrap();
    let rows: Vec<&str> = text.lines().take(12).collect();
    std::fs::write(root.path().join("data.jsonl"), rows.join("\n") + "\n").unwrap();
    let checkpoint = Checkpoint::open(&model).unwrap();
    for (name, dora) in [("adapter", false), ("dora", true)] {
        let config = LoraConfig { rank: 4, dora, ..LoraConfig::lab() };
        let mut decoder = checkpoint.load_base(&Device::Cpu).unwrap().decoder;
        adapter::attach(&mut decoder, &config, 1).unwrap();
        for (part, var) in decoder.trainable() {
            let old = var.as_detached_tensor();
            let new = if part.contains("magnitude") {
                (old * 1.1).unwrap()
            } else {
                let ramp: Vec<f32> =
                    (0..old.elem_count()).map(|at| (at as f32).sin() * 0.02).collect();
                Tensor::from_vec(ramp, old.dims(), &Device::Cpu).unwrap()
            };
            var.set(&new).unwrap();
        }
        adapter::save(&decoder, &config, "model", &root.path().join(name)).unwrap();
    }
    root
}

#[test]
fn exported_masks_are_the_models_masks_in_python_too() {
    let root = place();
    let at = |arguments: &str| {
        let common = "export masks --model model --data data.jsonl --threshold 1.5 --json";
        let printed = works(root.path(), &format!("{common} {arguments}"));
        serde_json::from_str::<Value>(&printed).unwrap()
    };
    let labels = at("--out masks.jsonl");
    let table = at("--out masks.parquet");
    let segments = at("--form segments --leave-out --out segments.jsonl");
    let swift = at("--form swift --leave-out --out messages.jsonl");
    assert_eq!(labels["learned_tokens"], table["learned_tokens"]);
    let (learned, all) =
        (labels["learned_tokens"].as_u64().unwrap(), labels["completion_tokens"].as_u64().unwrap());
    assert!(0 < learned && learned < all, "{learned} of {all}");
    println!("left out as segments: {}, as messages: {}", segments["left_out"], swift["left_out"]);
    let Some(python) = python_with("datasets, transformers") else {
        return;
    };
    // rows that some form leaves out are left out of all
    let left_out: Vec<&str> =
        segments["left_out"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(segments["left_out"], swift["left_out"]);
    assert!(left_out.len() < 12);
    let model = root.path().join("model");
    let ids: Vec<String> = unforget::dataset::Dataset::read(&root.path().join("data.jsonl"))
        .unwrap()
        .examples
        .into_iter()
        .map(|example| example.id)
        .collect();
    let kept: Vec<String> =
        ids.iter().filter(|id| !left_out.contains(&id.as_str())).cloned().collect();
    let text = std::fs::read_to_string(root.path().join("masks.jsonl")).unwrap();
    let rows: Vec<&str> =
        text.lines().zip(&ids).filter(|(_, id)| kept.contains(id)).map(|(line, _)| line).collect();
    let data = std::fs::read_to_string(root.path().join("data.jsonl")).unwrap();
    let data: Vec<&str> =
        data.lines().zip(&ids).filter(|(_, id)| kept.contains(id)).map(|(line, _)| line).collect();
    std::fs::write(root.path().join("data.jsonl"), data.join("\n") + "\n").unwrap();
    at("--out masks.parquet");
    at("--out masks.jsonl");
    let lines = run_python(&python, READ_IN_PYTHON, &Value::Null, &[&model, root.path()]);
    assert_eq!(lines.len(), kept.len());
    for (row, line) in rows.iter().zip(&lines) {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["input_ids"], line["ids"]);
        let labels = row["labels"].as_array().unwrap().iter().enumerate();
        let learned: Vec<usize> =
            labels.filter(|(_, label)| label.as_i64() != Some(-100)).map(|(at, _)| at).collect();
        assert_eq!(json!(learned), line["learned"]);
    }
}

#[test]
fn the_command_line_exports_models_and_adapters() {
    let root = place();
    let printed = works(
        root.path(),
        "export merged --model model --adapter dora --out merged --shard 500000",
    );
    assert!(
        printed.contains("files of weights") && printed.contains("tokenizer.json"),
        "{printed}"
    );
    let ids: Vec<u32> = (0..20).collect();
    let load = |checkpoint: Checkpoint| {
        let mut decoder = checkpoint.load_base(&Device::Cpu).unwrap().decoder;
        if let Some(folder) = &checkpoint.adapter {
            adapter::load(&mut decoder, folder).unwrap();
        }
        logits(&decoder, &ids)
    };
    let model = Checkpoint::open(root.path().join("model")).unwrap();
    let merged = load(Checkpoint::open(root.path().join("merged")).unwrap());
    let tuned = load(model.with_adapter(root.path().join("dora")));
    assert_close(&merged, &tuned, "merged");
    let base = load(model.clone());
    assert!(max_difference(&flat(&base), &flat(&tuned)) > 0.1);

    let printed =
        works(root.path(), "export lora --model model --adapter dora --out plain --rank 8");
    assert!(
        printed.contains("lost of it") && printed.contains("model.layers.0.self_attn.q_proj"),
        "{printed}"
    );
    let low = works(
        root.path(),
        "export lora --model model --adapter dora --out plain --rank 4 --json --replace",
    );
    let high = works(
        root.path(),
        "export lora --model model --adapter dora --out plain --rank 96 --json --replace",
    );
    let worst = |text: &str| {
        let layers: Vec<Value> = serde_json::from_str(text).unwrap();
        layers.iter().map(|layer| layer["error"].as_f64().unwrap()).fold(0.0, f64::max)
    };
    assert!(worst(&high) < worst(&low), "{} {}", worst(&high), worst(&low));
    // a plain LoRA stays what it was
    let same = works(root.path(), "export lora --model model --adapter adapter --out same --json");
    assert!(worst(&same) < 1e-6, "{}", worst(&same));
    let plain = load(model.with_adapter(root.path().join("same")));
    let own = load(model.with_adapter(root.path().join("adapter")));
    assert_close(&plain, &own, "a plain LoRA");
}

#[test]
fn the_command_line_explains_what_it_cannot_export() {
    let root = place();
    let refuses = |arguments: &str, parts: &[&str]| {
        let output = program(root.path(), arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "`{arguments}` was accepted");
        assert!(!errors.contains("panicked"), "{errors}");
        for part in parts {
            assert!(errors.contains(part), "`{arguments}`: `{part}` is not in: {errors}");
        }
    };
    let masks = "export masks --model model --data data.jsonl";
    refuses(&format!("{masks} --out masks.csv"), &["masks.csv", ".parquet"]);
    refuses(&format!("{masks} --form swift --out x.parquet"), &["only --form labels"]);
    refuses(&format!("{masks} --out model"), &[".jsonl"]);
    refuses(
        "export merged --model model --adapter nowhere --out m",
        &["nowhere", "no adapter_config.json"],
    );
    refuses("export merged --model model --adapter dora --out model/..", &["would be lost"]);
    refuses("export merged --model model --adapter dora --out m --shard 0", &["--shard"]);
    assert!(!root.path().join("m").exists());
}

/// The Python in the documentation of `unforget::export` does what it says.
#[test]
fn the_python_lines_of_the_documentation_run() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/export/python.md"))
            .unwrap();
    let blocks: Vec<&str> =
        text.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    let root = place();
    works(root.path(), "export merged --model model --adapter adapter --out merged");
    works(
        root.path(),
        "export masks --model model --data data.jsonl --threshold 1.5 --out masks.jsonl",
    );
    for (block, needs) in blocks.into_iter().zip(["peft", "peft, datasets", "trl, peft"]) {
        let Some(python) = python_with(needs) else {
            continue;
        };
        // TRL's default is a GPU with bf16
        let block = block.replace("packing=False", "packing=False, use_cpu=True, bf16=False");
        let output = Command::new(python)
            .args(["-c", &block])
            .env("HF_HUB_OFFLINE", "1")
            .env("CUDA_VISIBLE_DEVICES", "")
            .current_dir(root.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{errors}");
    }
}
