//! Models and adapters as others leave them: heads that contradict the config, shards that do not fit together, other formats, every field
//! of PEFT's config. What is not computed as transformers and PEFT do is refused with the reason.

use crate::support::{
    assert_close, assert_refused, flat, python_with, reference, reference_checkpoint,
    reference_decoder, reference_json, reference_tensors, run_python,
};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use unforget::adapter;
use unforget::export;
use unforget::hub::{Hub, ModelId};
use unforget::model::{Batch, Checkpoint, Decoder, write_model};
use unforget::progress::Progress;

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/model");

type Tensors = HashMap<String, Tensor>;

fn save(path: PathBuf, tensors: &Tensors) {
    candle_core::safetensors::save(tensors, path).unwrap();
}

/// A copy of the model `llama-scaled`, whose head is not its embedding.
fn untied(change: impl FnOnce(&mut Value, &mut Tensors)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut config = reference_json("llama-scaled/config.json");
    let mut tensors = reference_tensors("llama-scaled/model.safetensors");
    change(&mut config, &mut tensors);
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    save(dir.path().join("model.safetensors"), &tensors);
    dir
}

fn at(folder: &Path) -> Checkpoint {
    let mut checkpoint = reference_checkpoint("llama-scaled");
    checkpoint.model = folder.into();
    checkpoint
}

fn decoder(folder: &Path) -> unforget::error::Result<Decoder> {
    Ok(at(folder).load_base(&Device::Cpu)?.decoder)
}

fn ids() -> Vec<u32> {
    serde_json::from_value(reference_json("adapters/ids.json")).unwrap()
}

fn logits(decoder: &Decoder) -> Tensor {
    let mut batch = Batch::new();
    batch.push(&ids(), &vec![1.0; ids().len()]);
    decoder.logits(&batch).unwrap()
}

fn tie(config: &mut Value, _: &mut Tensors) {
    config["tie_word_embeddings"] = json!(true);
}

const LOGITS_OF_TRANSFORMERS: &str = "
import json, sys, torch
from transformers import AutoModelForCausalLM
asked = json.load(sys.stdin)
for folder in asked['models']:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation='sdpa').eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([asked['ids']])).logits[0].flatten().tolist()))
";

#[test]
fn a_head_in_the_file_is_used_whatever_the_config_says() {
    let want = &reference_tensors("adapters/expected.safetensors")["logits.base"];
    let dir = untied(tie);
    let model = decoder(dir.path()).unwrap();
    assert_close(&logits(&model), want, "tied by the config, with a head of its own");
    assert!(!model.config.tie_word_embeddings);
    let said = at(dir.path()).contradictions().unwrap();
    assert!(said.len() == 1 && said[0].contains("tie_word_embeddings"), "{said:?}");

    // a head that is the embedding is none of its own, in whatever precision
    for dtype in [DType::F32, DType::F64] {
        let same = untied(|config, tensors| {
            tie(config, tensors);
            let embedding = tensors["model.embed_tokens.weight"].to_dtype(dtype).unwrap();
            tensors.insert("lm_head.weight".into(), embedding);
        });
        let model = decoder(same.path()).unwrap();
        assert!(model.config.tie_word_embeddings);
        assert!(!model.tensors().unwrap().contains_key("lm_head.weight"));
        assert!(at(same.path()).contradictions().unwrap().is_empty());
    }
    let alone = untied(|config, tensors| {
        tie(config, tensors);
        tensors.remove("lm_head.weight");
    });
    assert!(at(alone.path()).contradictions().unwrap().is_empty());
    let lacking = untied(|_, tensors| {
        tensors.remove("lm_head.weight");
    });
    assert_refused(decoder(lacking.path()), &["lm_head.weight: missing", "tie_word_embeddings"]);
    let Some(python) = python_with("transformers") else {
        return;
    };
    let asked = json!({"ids": ids(), "models": [dir.path()]});
    let lines = run_python(&python, LOGITS_OF_TRANSFORMERS, &asked, &[]);
    let theirs: Vec<f32> = serde_json::from_value(lines[0].clone()).unwrap();
    let difference = flat(want).iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn what_is_written_says_of_the_head_what_the_weights_say() {
    let dir = untied(tie);
    let tuned = at(dir.path()).with_adapter(reference("adapters/pattern"));
    let folder = tempfile::tempdir().unwrap();
    let tied = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["tie_word_embeddings"].clone()
    };
    let merged = folder.path().join("merged");
    std::fs::create_dir(&merged).unwrap();
    export::merged(&tuned, &merged, export::SHARD).unwrap();
    assert_eq!(tied(&merged), json!(false));
    let want = &reference_tensors("adapters/expected.safetensors")["logits.pattern"];
    assert_close(&logits(&decoder(&merged).unwrap()), want, "merged");
    assert!(at(&merged).contradictions().unwrap().is_empty());
    // all else of the config is kept byte for byte
    let text = |folder: &Path| std::fs::read_to_string(folder.join("config.json")).unwrap();
    let before = text(dir.path()).replace("\"tie_word_embeddings\":true", "");
    assert_eq!(before, text(&merged).replace("\"tie_word_embeddings\":false", ""));

    let mut whole = decoder(dir.path()).unwrap();
    whole.train_in_full().unwrap();
    let names = whole.trainable().iter().map(|(name, _)| name.as_str());
    assert!(names.into_iter().any(|name| name == "lm_head.weight"), "the head is trained");
    let full = folder.path().join("full");
    write_model(&full, &whole, &[2]).unwrap();
    assert_eq!(tied(&full), json!(false));
    assert_eq!(flat(&logits(&decoder(&full).unwrap())), flat(&logits(&whole)));

    // a family that ties where nothing is said
    let gemma = tempfile::tempdir().unwrap();
    let mut config = reference_json("families/gemma2-old/config.json");
    config.as_object_mut().unwrap().remove("tie_word_embeddings");
    std::fs::write(gemma.path().join("config.json"), config.to_string()).unwrap();
    let mut tensors = reference_tensors("families/gemma2-old/model.safetensors");
    let head = (&tensors["model.embed_tokens.weight"] * 0.5).unwrap();
    tensors.insert("lm_head.weight".into(), head);
    save(gemma.path().join("model.safetensors"), &tensors);
    let mut adapted = decoder(gemma.path()).unwrap();
    let config = adapter::LoraConfig { rank: 2, ..adapter::LoraConfig::lab() };
    adapter::attach(&mut adapted, &config, 1).unwrap();
    let lora = folder.path().join("lora");
    adapter::save(&adapted, &config, "gemma", &lora).unwrap();
    let merged = folder.path().join("gemma");
    std::fs::create_dir(&merged).unwrap();
    export::merged(&at(gemma.path()).with_adapter(lora), &merged, export::SHARD).unwrap();
    assert_eq!(tied(&merged), json!(false));
}

fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("UNFORGET_STORE")
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// A copy of the lab's model in `model`, and two rows of data.
fn lab() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(LAB).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    let row = json!({"prompt": "What is 2 + 3?", "completion": "5"});
    std::fs::write(dir.path().join("data.jsonl"), format!("{row}\n{row}\n")).unwrap();
    dir
}

#[test]
fn a_contradiction_is_said_on_stderr_and_on_the_card() {
    let dir = lab();
    let config = dir.path().join("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let tied = text.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    assert_ne!(text, tied);
    std::fs::write(&config, tied).unwrap();
    let score = ["perplexity", "--model", "model", "--data", "data.jsonl", "--store", "store"];
    for _ in 0..2 {
        // what was computed before is said of, too
        let (success, stderr) = run(dir.path(), &score);
        assert!(success, "{stderr}");
        assert_eq!(stderr.matches("tie_word_embeddings").count(), 1, "{stderr}");
    }
    let cards = std::fs::read_dir(dir.path().join("store/scores")).unwrap();
    let card =
        cards.map(|entry| entry.unwrap().path().join("card.json")).find(|path| path.exists());
    let card: Value = serde_json::from_slice(&std::fs::read(card.unwrap()).unwrap()).unwrap();
    let said = card["contradictions"][0].as_str().unwrap();
    assert!(said.contains("tie_word_embeddings"), "{said}");
}

/// Writes `llama-scaled` in two shards; `places` may change what the index says.
fn sharded(places: impl FnOnce(&mut serde_json::Map<String, Value>, &mut [Tensors; 2])) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(reference("llama-scaled/config.json"), dir.path().join("config.json")).unwrap();
    let mut parts = [Tensors::new(), Tensors::new()];
    let mut map = serde_json::Map::new();
    let tensors = reference_tensors("llama-scaled/model.safetensors");
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    for (at, name) in names.into_iter().enumerate() {
        map.insert(name.clone(), json!(format!("part-{}.safetensors", at % 2)));
        parts[at % 2].insert(name.clone(), tensors[name].clone());
    }
    places(&mut map, &mut parts);
    for (at, part) in parts.iter().enumerate() {
        save(dir.path().join(format!("part-{at}.safetensors")), part);
    }
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    dir
}

#[test]
fn shards_that_do_not_fit_their_index_are_refused() {
    let norm = "model.norm.weight";
    let head = "lm_head.weight";
    let fine = sharded(|_, _| ());
    decoder(fine.path()).unwrap();
    let index = "model.safetensors.index.json";
    let elsewhere = sharded(|map, _| {
        map.insert(head.into(), json!("part-1.safetensors"));
    });
    assert_refused(
        decoder(elsewhere.path()),
        &[index, "says that lm_head.weight is in part-1", "part-0.safetensors has it"],
    );
    let lost = sharded(|_, parts| parts.iter_mut().for_each(|part| drop(part.remove(norm))));
    assert_refused(decoder(lost.path()), &[index, norm, "no shard has it"]);
    let twice = sharded(|_, parts| {
        let tensor = parts[0][head].clone();
        parts[1].insert(head.into(), (tensor * 2.0).unwrap());
    });
    assert_refused(
        decoder(twice.path()),
        &["part-1.safetensors: holds lm_head.weight", "and so does", "part-0.safetensors"],
    );
    for outside in ["../part-0.safetensors", "/part-0.safetensors", ""] {
        let dir = sharded(|map, _| {
            map.insert(head.into(), json!(outside));
        });
        assert_refused(decoder(dir.path()), &[index, outside, "not in the model's folder"]);
    }
    let empty = sharded(|map, _| map.clear());
    assert_refused(decoder(empty.path()), &[index, "names no shard"]);
    // the exports read shards by another way
    let adapter = reference("adapters/pattern");
    let out = tempfile::tempdir().unwrap();
    let merged = at(twice.path()).with_adapter(adapter);
    assert_refused(export::merged(&merged, out.path(), export::SHARD), &["and so does"]);
}

#[test]
fn weights_in_types_that_hold_no_plain_numbers_are_refused() {
    let name = "model.layers.0.mlp.up_proj.weight";
    for dtype in [DType::U8, DType::I64, DType::U32, DType::F8E4M3] {
        let dir = untied(|_, tensors| {
            let short = tensors[name].to_dtype(dtype).unwrap();
            tensors.insert(name.into(), short);
        });
        assert_refused(decoder(dir.path()), &[name, "quantized weights are not known here"]);
    }
    // twice as wide as is computed: rounded, as f32 is what is computed in
    let wide = untied(|_, tensors| {
        for tensor in tensors.values_mut() {
            *tensor = tensor.to_dtype(DType::F64).unwrap();
        }
    });
    let want = logits(&reference_decoder("llama-scaled"));
    assert_eq!(flat(&logits(&decoder(wide.path()).unwrap())), flat(&want));
    let large = untied(|_, tensors| {
        let wide = (tensors[name].to_dtype(DType::F64).unwrap() * 1e300).unwrap();
        tensors.insert(name.into(), wide);
    });
    assert_refused(decoder(large.path()), &[name, "too large for f32"]);
}

#[test]
fn weights_of_other_programs_are_named_with_the_way_out() {
    let folder = |names: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.json");
        std::fs::copy(reference("llama-scaled/config.json"), config).unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        dir
    };
    let pickled = folder(&["pytorch_model.bin"]);
    assert_refused(decoder(pickled.path()), &["no weights here", "pytorch_model.bin", "python -c"]);
    let shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    assert_refused(decoder(folder(&shards).path()), &["pytorch_model.bin", "python -c"]);
    for name in ["model-q4.gguf", "consolidated.00.pth", "tf_model.h5", "flax_model.msgpack"] {
        let message = [name, "are not read here", "a model folder holds model.safetensors"];
        assert_refused(decoder(folder(&[name]).path()), &message);
    }
    assert_refused(decoder(folder(&[]).path()), &["a model folder holds model.safetensors"]);
    for kind in ["gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors"] {
        let dir = untied(|config, _| config["quantization_config"] = json!({"quant_method": kind}));
        assert_refused(decoder(dir.path()), &["config.json", kind, "quantized"]);
    }
}

/// The line of Python in a message.
fn python_line(error: &unforget::error::Error) -> String {
    let message = error.to_string();
    let from = message.find("python -c").unwrap();
    message[from..].to_string()
}

#[test]
fn the_way_out_of_pickled_weights_works() {
    let Some(python) = python_with("torch, safetensors.torch") else {
        return;
    };
    let convert = |line: &str| {
        let line = line.replacen("python", &python.to_string_lossy(), 1);
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {stderr}");
    };
    let pickle = |from: &Path, to: &Path| {
        let script = "import sys, torch; from safetensors.torch import load_file; torch.save(load_file(sys.argv[1]), sys.argv[2])";
        let status = Command::new(&python).args(["-c", script]).arg(from).arg(to).status().unwrap();
        assert!(status.success());
    };
    // a folder with a name that shells and Python would take apart
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("it's a model");
    std::fs::create_dir(&model).unwrap();
    std::fs::copy(reference("llama-scaled/config.json"), model.join("config.json")).unwrap();
    pickle(&reference("llama-scaled/model.safetensors"), &model.join("pytorch_model.bin"));
    convert(&python_line(&decoder(&model).unwrap_err()));
    let want = logits(&reference_decoder("llama-scaled"));
    assert_eq!(flat(&logits(&decoder(&model).unwrap())), flat(&want));

    let lora = dir.path().join("lora");
    std::fs::create_dir(&lora).unwrap();
    let from = reference("adapters/order");
    std::fs::copy(from.join("adapter_config.json"), lora.join("adapter_config.json")).unwrap();
    pickle(&from.join("adapter_model.safetensors"), &lora.join("adapter_model.bin"));
    let mut tuned = reference_decoder("llama-scaled");
    convert(&python_line(&adapter::load(&mut tuned, &lora).unwrap_err()));
    adapter::load(&mut tuned, &lora).unwrap();
    let want = &reference_tensors("adapters/expected.safetensors")["logits.order"];
    assert_close(&logits(&tuned), want, "converted");
}

/// A copy of PEFT's adapter `name` of `llama-scaled` in `folder`.
fn copy_adapter(name: &str, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(reference(&format!("adapters/{name}")).join(file), folder.join(file))
            .unwrap();
    }
}

fn load(folder: &Path) -> unforget::error::Result<()> {
    let mut decoder = reference_decoder("llama-scaled");
    adapter::load(&mut decoder, folder).map(|_| ())
}

#[test]
fn a_folder_that_is_no_adapter_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    copy_adapter("order", &path("run/checkpoint-90"));
    copy_adapter("order", &path("run/checkpoint-100"));
    std::fs::create_dir(path("run/logs")).unwrap();
    let both = "checkpoint-90, checkpoint-100; name one of them";
    assert_refused(load(&path("run")), &["no adapter_config.json here", both]);
    load(&path("run/checkpoint-100")).unwrap();
    // the same before anything is computed with it
    let checkpoint = reference_checkpoint("llama-scaled").with_adapter(path("run"));
    assert_refused(checkpoint.weight_files(), &[both]);
    assert_refused(load(&path("nowhere")), &["nowhere", "nor is there such a folder"]);
    let file = path("run/checkpoint-90/adapter_model.safetensors");
    assert_refused(load(&file), &["this is a file; name the folder"]);
    assert_refused(load(&reference("llama-scaled")), &["this is a whole model"]);
    std::fs::write(path("run/adapter_config.json"), "{}").unwrap();
    std::fs::write(path("run/adapter_model.bin"), "x").unwrap();
    assert_refused(load(&path("run")), &["no adapter_model.safetensors here", "python -c"]);

    // and the other way round
    let open = |name: &str| Checkpoint::open(path(name));
    let message = ["no config.json here", "this is an adapter", "llama-scaled as the model"];
    assert_refused(open("run/checkpoint-90"), &message);
    std::fs::create_dir_all(path("trained/checkpoint-8")).unwrap();
    std::fs::write(path("trained/checkpoint-8/config.json"), "{}").unwrap();
    assert_refused(open("trained"), &["there are models in it, checkpoint-8; name one of them"]);
}

#[test]
fn an_adapter_of_another_model_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let said = |base: &str, model: &Path| {
        copy_adapter("order", &dir.path().join("adapter"));
        let path = dir.path().join("adapter/adapter_config.json");
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config["base_model_name_or_path"] = json!(base);
        std::fs::write(&path, config.to_string()).unwrap();
        let tuned = at(model).with_adapter(dir.path().join("adapter"));
        tuned.contradictions().unwrap()
    };
    let model = reference("llama-scaled");
    let fits = [
        "",
        "llama-scaled",
        "someone/Llama-Scaled",
        "/elsewhere/llama-scaled/",
        model.to_str().unwrap(),
    ];
    for base in fits {
        assert_eq!(said(base, &model), [""; 0], "{base}");
    }
    let found = said("someone/llama-scaled-instruct", &model);
    assert!(found[0].contains("made for someone/llama-scaled-instruct"), "{found:?}");
    // in the hub's cache, under a commit
    let snapshot = dir.path().join("models--someone--tiny/snapshots/0123");
    std::fs::create_dir_all(&snapshot).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(file), snapshot.join(file)).unwrap();
    }
    assert_eq!(said("someone/tiny", &snapshot), [""; 0]);
    assert_eq!(said("someone/large", &snapshot).len(), 1);
}

#[test]
fn an_adapter_of_the_hub_is_found_in_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let var = |name: &str| match name {
        "HF_HUB_CACHE" => Some(cache.path().to_string_lossy().into_owned()),
        "HF_HUB_OFFLINE" => Some("1".to_string()),
        _ => None,
    };
    let hub = Hub::from_vars(var).unwrap();
    let id = ModelId::parse("someone/tuned").unwrap();
    let find = || hub.adapter(&id, &Progress::quiet());
    assert_refused(find(), &["no adapter someone/tuned here", "HF_HUB_CACHE"]);
    let folder = cache.path().join("models--someone--tuned");
    std::fs::create_dir_all(folder.join("refs")).unwrap();
    std::fs::write(folder.join("refs/main"), "0123").unwrap();
    let snapshot = folder.join("snapshots/0123");
    copy_adapter("order", &snapshot);
    assert_eq!(find().unwrap(), snapshot);
    load(&find().unwrap()).unwrap();
    std::fs::rename(snapshot.join("adapter_model.safetensors"), snapshot.join("adapter_model.bin"))
        .unwrap();
    assert_refused(find(), &["no adapter_model.safetensors here", "adapter_model.bin beside it"]);
    let model = || hub.model(&id, &Progress::quiet());
    assert_refused(model(), &["no config.json", "someone/tuned is an adapter"]);
}

/// PEFT's adapter `name`, its config changed by `change` and its tensors by `edit`.
fn changed(
    name: &str,
    change: impl Fn(&mut Value),
    edit: impl Fn(&mut Tensors),
) -> unforget::error::Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = reference_json(&format!("adapters/{name}/adapter_config.json"));
    change(&mut config);
    std::fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
    let mut tensors = reference_tensors(&format!("adapters/{name}/adapter_model.safetensors"));
    edit(&mut tensors);
    save(dir.path().join("adapter_model.safetensors"), &tensors);
    load(dir.path())
}

#[test]
fn fields_that_change_what_is_computed_are_refused_with_what_they_mean() {
    let merge = "merge it in Python";
    let cases = [
        ("target_modules", json!(["q_proj", "lm_head"]), ["an update of the output head", merge]),
        ("target_modules", json!(["embed_tokens"]), ["an update of the embedding", merge]),
        ("modules_to_save", json!(["embed_tokens"]), ["were trained whole", merge]),
        ("trainable_token_indices", json!({"embed_tokens": [3]}), ["were trained", merge]),
        ("layer_replication", json!([[0, 2], [1, 2]]), ["used several times", merge]),
        ("alora_invocation_tokens", json!([5, 6]), ["begins at some tokens", merge]),
        ("use_qalora", json!(true), ["pooled in groups", merge]),
        ("use_bdlora", json!({"nblocks": 2}), ["block-diagonal", merge]),
        ("target_parameters", json!(["mlp.w"]), ["no linear layers", merge]),
        ("arrow_config", json!({"top_k": 3}), ["several adapters are mixed", merge]),
        ("kasa_config", json!({"beta": 1e-4}), ["own weights are changed", merge]),
        ("monteclora_config", json!({"num_samples": 2}), ["drawn at random", merge]),
        ("megatron_config", json!({"tp": 2}), ["split over machines", merge]),
        ("task_type", json!("SEQ_CLS"), ["task_type SEQ_CLS", "another head"]),
        ("init_lora_weights", json!("pissa"), ["own weights", "as a plain LoRA"]),
        ("init_lora_weights", json!("OLoRA"), ["own weights", "as a plain LoRA"]),
        ("init_lora_weights", json!("corda"), ["own weights", "as a plain LoRA"]),
        ("init_lora_weights", json!("loftq"), ["own weights", "as a plain LoRA"]),
        ("init_lora_weights", json!("lora_ga"), ["own weights", "as a plain LoRA"]),
        ("init_lora_weights", json!("next_year"), ["`next_year`", "is not known here"]),
        ("made_up_by_a_later_peft", json!(0.5), ["made_up_by_a_later_peft = 0.5", "not known"]),
        ("layers_pattern", json!(["h"]), ["layers_pattern h", "`layers`"]),
    ];
    for (key, value, parts) in cases {
        let change = |config: &mut Value| {
            config[key] = value.clone();
            if key == "layers_pattern" {
                config["layers_to_transform"] = json!([0]);
            }
        };
        assert_refused(
            changed("gaussian", change, |_| ()),
            &["adapter_config.json", parts[0], parts[1]],
        );
    }
    let plain = [
        ("init_lora_weights", json!("eva")),
        ("init_lora_weights", json!(false)),
        ("eva_config", json!({"rho": 2.0})),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("qalora_group_size", json!(16)),
        ("megatron_core", json!("megatron.core")),
        ("made_up_by_a_later_peft", json!(null)),
        ("made_up_by_a_later_peft", json!(false)),
        ("task_type", Value::Null),
        ("lora_dtype", json!("bfloat16")),
    ];
    for (key, value) in plain {
        changed("gaussian", |config| config[key] = value.clone(), |_| ()).unwrap();
    }
}

#[test]
fn tensors_that_belong_to_no_linear_layer_are_named_for_what_they_are() {
    let merge = "merge it in Python";
    let prefix = "base_model.model.";
    let cases = [
        ("lm_head.lora_A.weight", "an update of the output head"),
        ("lm_head.weight", "a layer stored whole beside the adapter"),
        ("model.embed_tokens.weight", "a layer stored whole beside the adapter"),
        ("model.embed_tokens.lora_embedding_A", "an update of the embedding"),
        ("model.embed_tokens.token_adapter.trainable_tokens_delta", "tokens of the embedding"),
        ("lm_head.modules_to_save.weight", "trained whole beside the adapter"),
        ("model.norm.weight", "a layer stored whole"),
    ];
    let zeros = || Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    for (name, what) in cases {
        let edit = |tensors: &mut Tensors| drop(tensors.insert(format!("{prefix}{name}"), zeros()));
        assert_refused(
            changed("gaussian", |_| (), edit),
            &[name.split('.').next().unwrap(), what, merge],
        );
    }
    // what the config does not speak of
    let layer = "base_model.model.model.layers.0.self_attn.v_proj";
    let more = |part: &str| {
        let name = format!("{layer}.{part}");
        move |tensors: &mut Tensors| {
            let zeros = Tensor::zeros(6, DType::F32, &Device::Cpu).unwrap();
            tensors.insert(name.clone(), zeros);
        }
    };
    let cases = [
        ("lora_magnitude_vector", "`use_dora` is not true"),
        ("lora_B.bias", "`lora_bias` is not true"),
        ("base_layer.bias", "`bias` is none"),
    ];
    for (part, what) in cases {
        assert_refused(changed("gaussian", |_| (), more(part)), &[layer, what]);
    }
    // numbers that are none
    let name = format!("{layer}.lora_A.weight");
    let edit = |tensors: &mut Tensors| {
        let short = tensors[&name].to_dtype(DType::U8).unwrap();
        tensors.insert(name.clone(), short);
    };
    assert_refused(changed("gaussian", |_| (), edit), &[&name, "holds U8, needed f32"]);
}

#[test]
fn an_adapter_that_lacks_a_layer_is_not_exported() {
    let dir = tempfile::tempdir().unwrap();
    copy_adapter("gaussian", dir.path());
    let path = dir.path().join("adapter_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    tensors.retain(|name, _| !name.contains("layers.1."));
    save(path, &tensors);
    let tuned = reference_checkpoint("llama-scaled").with_adapter(dir.path());
    let missing = "layers.1.self_attn.v_proj.lora_A.weight: missing";
    let out = tempfile::tempdir().unwrap();
    assert_refused(export::merged(&tuned, out.path(), export::SHARD), &[missing]);
    assert_refused(export::as_lora(&tuned, out.path(), None, || ()), &[missing]);
    assert_refused(load(dir.path()), &[missing]);
}

/// What a clone without Git LFS leaves in the place of a large file.
#[test]
fn a_pointer_of_git_lfs_is_named_wherever_it_stands() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let place = lab();
    let folder = place.path();
    let train = "finetune --model model --data data.jsonl --preset lab --epochs 1 --out adapter";
    let works = |call: &str| {
        let words: Vec<&str> = call.split(' ').collect();
        let (success, said) = run(folder, &words);
        assert!(success, "{call}: {said}");
    };
    works(train);
    let score = "perplexity --model model --data data.jsonl";
    let put_on = "export merged --model model --adapter adapter --out merged";
    for (file, call) in [
        ("data.jsonl", score),
        ("model/config.json", score),
        ("model/model.safetensors", score),
        ("model/model.safetensors", put_on),
        ("model/tokenizer.json", score),
        ("model/tokenizer_config.json", score),
        ("model/chat_template.jinja", score),
        ("model/generation_config.json", "evaluate --model model --task word --limit 1"),
        ("adapter/adapter_config.json", put_on),
        ("adapter/adapter_model.safetensors", put_on),
        ("model.gguf", "perplexity --model model.gguf --data data.jsonl"),
        ("x.parquet", "ledger x.parquet"),
        ("x.toml", "run x.toml"),
    ] {
        let path = folder.join(file);
        let whole = std::fs::read(&path).ok();
        std::fs::write(&path, POINTER).unwrap();
        let words: Vec<&str> = call.split(' ').collect();
        let (success, said) = run(folder, &words);
        for part in [file, "Git LFS", "git lfs pull"] {
            assert!(!success && said.contains(part), "{call}: {part}: {said}");
        }
        assert!(!folder.join("merged").exists());
        if let Some(bytes) = whole {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// Files that an editor saved with a byte-order mark work wherever they work without, also where they are written again.
#[test]
fn a_byte_order_mark_stops_no_verb() {
    let place = lab();
    let folder = place.path();
    let mark = |name: &str| {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("\u{feff}{text}")).unwrap();
    };
    let works = |call: &str| -> String {
        let words: Vec<&str> = call.split(' ').collect();
        let (success, said) = run(folder, &words);
        assert!(success, "{call}: {said}");
        std::fs::read_to_string(folder.join("m.jsonl")).unwrap_or_default()
    };
    let render = "export masks --model model --data data.jsonl --out m.jsonl";
    let plain = works(render);
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ] {
        mark(&format!("model/{name}"));
    }
    assert_eq!(works(render), plain);
    let train = "finetune --model model --data data.jsonl --preset lab --epochs 1";
    works(&format!("{train} --out adapter"));
    works(&format!("{train} --full --out whole"));
    mark("adapter/adapter_config.json");
    works("export merged --model model --adapter adapter --out merged");
    works("export lora --model model --adapter adapter --out lora");
    for model in ["whole", "merged"] {
        works(&format!("evaluate --model {model} --task word --limit 1 --max-new-tokens 2"));
    }
    works("evaluate --model model --adapter adapter --task word --limit 1 --max-new-tokens 2");
}
