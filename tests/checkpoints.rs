//! Model folders and adapters as they are found on disk, whole and broken.
//!
//! The good model is `tests/reference/llama-tied`, made by `tests/reference/make_llama.py`.

use crate::support::{
    assert_refused, flat, reference, reference_decoder, reference_json, reference_tensors,
};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use tempfile::TempDir;
use unforget::adapter;
use unforget::error::Result;
use unforget::model::{Batch, Checkpoint, Decoder, Model, write_model};

const HEAD: &str = "lm_head.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";

/// A copy of a reference model that a test may break.
struct Folder {
    dir: TempDir,
    config: Value,
    tensors: HashMap<String, Tensor>,
}

impl Folder {
    fn of(name: &str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            config: reference_json(&format!("{name}/config.json")),
            tensors: reference_tensors(&format!("{name}/model.safetensors")),
        }
    }

    fn tied() -> Self {
        Self::of("llama-tied")
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join(file)
    }

    fn write(&self, file: &str, text: impl ToString) {
        std::fs::write(self.path(file), text.to_string()).unwrap();
    }

    fn write_weights(&self) {
        candle_core::safetensors::save(&self.tensors, self.path("model.safetensors")).unwrap();
    }

    /// Loads what lies in the folder, writing the config first.
    fn load_as_it_is(&self) -> Result<Model> {
        self.write("config.json", &self.config);
        let model = self.dir.path().to_path_buf();
        Checkpoint {
            model,
            adapter: None,
            adapter_scale: None,
            template: Default::default(),
            precision: None,
        }
        .load_base(&Device::Cpu)
    }

    fn load(&self) -> Result<Model> {
        self.write_weights();
        self.load_as_it_is()
    }
}

fn logits(decoder: &Decoder) -> Vec<f32> {
    let mut batch = Batch::new();
    batch.push(&[1, 62, 52, 41, 83], &[0.0; 5]);
    flat(&decoder.logits(&batch).unwrap())
}

fn reference_logits() -> Vec<f32> {
    logits(&reference_decoder("llama-tied"))
}

/// Spreads the weights over two shards with their index.
fn shard(folder: &Folder) {
    let mut names: Vec<&String> = folder.tensors.keys().collect();
    names.sort();
    let mut places = serde_json::Map::new();
    for (at, names) in names.chunks(names.len() / 2 + 1).enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", at + 1);
        let tensors: HashMap<String, Tensor> =
            names.iter().map(|name| (name.to_string(), folder.tensors[*name].clone())).collect();
        candle_core::safetensors::save(&tensors, folder.path(&file)).unwrap();
        places.extend(names.iter().map(|name| (name.to_string(), json!(file))));
    }
    let index = json!({"metadata": {"total_size": 0}, "weight_map": places});
    folder.write("model.safetensors.index.json", index);
}

#[test]
fn shards_load_as_the_whole_file_does() {
    let folder = Folder::tied();
    shard(&folder);
    let model = folder.load_as_it_is().unwrap();
    assert_eq!(logits(&model.decoder), reference_logits());
}

#[test]
fn a_lost_shard_is_named() {
    let folder = Folder::tied();
    shard(&folder);
    let lost = "model-00002-of-00002.safetensors";
    std::fs::remove_file(folder.path(lost)).unwrap();
    assert_refused(folder.load_as_it_is(), &[lost, "no shard", "the index names it"]);
    folder.write("model.safetensors.index.json", "[]");
    assert_refused(
        folder.load_as_it_is(),
        &["model.safetensors.index.json", "not an index of shards"],
    );
}

#[test]
fn a_tied_head_may_be_stored_under_either_name_or_both() {
    let mut folder = Folder::tied();
    assert!(!folder.tensors.contains_key(HEAD));
    let table = folder.tensors[EMBEDDING].clone();
    folder.tensors.insert(HEAD.into(), table);
    assert_eq!(logits(&folder.load().unwrap().decoder), reference_logits(), "both");
    folder.tensors.remove(EMBEDDING);
    assert_eq!(logits(&folder.load().unwrap().decoder), reference_logits(), "only the head");
    folder.tensors.remove(HEAD);
    assert_refused(folder.load(), &["model.embed_tokens.weight: missing"]);
}

#[test]
fn an_untied_head_must_be_there() {
    let mut folder = Folder::of("llama-scaled");
    folder.load().unwrap();
    folder.tensors.remove(HEAD);
    assert_refused(folder.load(), &["lm_head.weight: missing"]);
    folder.config["tie_word_embeddings"] = json!(true);
    folder.load().unwrap();
}

#[test]
fn every_tensor_that_does_not_fit_is_listed_at_once() {
    let mut folder = Folder::tied();
    folder.tensors.remove("model.norm.weight");
    folder.tensors.remove("model.layers.0.mlp.up_proj.weight");
    let zeros =
        |shape: (usize, usize), dtype: DType| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let name = |part: &str| format!("model.layers.1.{part}.weight");
    folder.tensors.insert(name("self_attn.k_proj"), zeros((16, 31), DType::F32));
    folder.tensors.insert(name("self_attn.v_proj"), zeros((16, 32), DType::U8));
    folder.tensors.insert("model.vision.weight".into(), zeros((1, 1), DType::F32));
    let unused = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
    folder.tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), unused);
    let refused = folder.load();
    let problems = match &refused {
        Err(unforget::error::Error::Weights { problems, .. }) => problems.len(),
        _ => 0,
    };
    assert_refused(
        refused,
        &[
            "model.norm.weight: missing",
            "model.layers.0.mlp.up_proj.weight: missing",
            "model.layers.1.self_attn.k_proj.weight: shape [16, 31], config.json needs [16, 32]",
            "model.layers.1.self_attn.v_proj.weight: holds U8",
            "model.vision.weight: not part of this architecture",
            &folder.dir.path().display().to_string(),
        ],
    );
    assert_eq!(problems, 5, "old checkpoints' rotary frequencies are no problem");
}

#[test]
fn a_config_of_another_size_names_the_tensors() {
    let mut folder = Folder::tied();
    folder.config["vocab_size"] = json!(97);
    assert_refused(
        folder.load(),
        &["model.embed_tokens.weight: shape [96, 32], config.json needs [97, 32]"],
    );
    folder.config["vocab_size"] = json!(96);
    folder.config["num_hidden_layers"] = json!(1);
    assert_refused(
        folder.load(),
        &["model.layers.1.mlp.up_proj.weight: not part of this architecture"],
    );
    folder.config["num_hidden_layers"] = json!(3);
    assert_refused(folder.load(), &["model.layers.2.self_attn.q_proj.weight: missing"]);
}

#[test]
fn a_truncated_file_is_refused() {
    let folder = Folder::tied();
    folder.write_weights();
    let file = folder.path("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        assert_refused(
            folder.load_as_it_is(),
            &["model.safetensors", "not a whole safetensors file", "download it again"],
        );
    }
    std::fs::write(&file, "version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert_refused(folder.load_as_it_is(), &["model.safetensors", "Git LFS", "git lfs pull"]);
}

#[test]
fn an_unknown_architecture_is_named_with_those_known() {
    let mut folder = Folder::tied();
    folder.config["model_type"] = json!("mamba");
    assert_refused(folder.load(), &["config.json", "`mamba`", "known: llama"]);
    folder.config["model_type"] = Value::Null;
    folder.load().unwrap(); // `architectures` says it
    folder.config["architectures"] = json!(["MambaForCausalLM"]);
    assert_refused(folder.load(), &["`MambaForCausalLM`"]);
}

#[test]
fn what_a_folder_lacks_is_named() {
    assert_refused(
        Checkpoint::open("no/such/model"),
        &["no/such/model", "no model folder here", "local folder"],
    );
    let folder = Folder::tied();
    let open = || Checkpoint::open(folder.dir.path());
    assert_refused(open(), &["no config.json here"]);
    folder.write("config.json", &folder.config);
    assert_refused(open(), &["no tokenizer.json here"]);
    folder.write("tokenizer.json", "{}");
    assert_refused(
        open().unwrap().load_base(&Device::Cpu),
        &["no weights here", "model.safetensors"],
    );
    folder.write_weights();
    open().unwrap().load_base(&Device::Cpu).unwrap();
    folder.write("config.json", "{");
    assert_refused(open().unwrap().load_base(&Device::Cpu), &["config.json", "not a model config"]);
}

#[test]
fn weights_in_bf16_and_f16_load_as_f32() {
    for dtype in [DType::BF16, DType::F16] {
        let mut stored = Folder::tied();
        let mut rounded = Folder::tied();
        for (name, tensor) in reference_tensors("llama-tied/model.safetensors") {
            let short = tensor.to_dtype(dtype).unwrap();
            rounded.tensors.insert(name.clone(), short.to_dtype(DType::F32).unwrap());
            stored.tensors.insert(name, short);
        }
        stored.config["dtype"] = json!("bfloat16");
        let (stored, rounded) = (stored.load().unwrap(), rounded.load().unwrap());
        for (name, tensor) in stored.decoder.tensors().unwrap() {
            assert_eq!(tensor.dtype(), DType::F32, "{name}");
        }
        assert_eq!(logits(&stored.decoder), logits(&rounded.decoder));
        assert_ne!(logits(&stored.decoder), reference_logits(), "rounding does something");
    }
}

#[test]
fn stop_ids_come_from_both_configs_as_a_number_or_a_list() {
    let mut folder = Folder::tied();
    let check = |folder: &Folder, want: &[u32]| assert_eq!(folder.load().unwrap().stop_ids, want);
    check(&folder, &[2]);
    folder.write("generation_config.json", json!({"eos_token_id": 7}));
    check(&folder, &[7, 2]);
    folder.write("generation_config.json", json!({"eos_token_id": [2, 7, 9], "do_sample": true}));
    check(&folder, &[2, 7, 9]);
    folder.write("generation_config.json", json!({"eos_token_id": null}));
    folder.config["eos_token_id"] = json!([5, 6]);
    check(&folder, &[5, 6]);
    folder.config.as_object_mut().unwrap().remove("eos_token_id");
    check(&folder, &[]);
    folder.write("generation_config.json", json!({"eos_token_id": "</s>"}));
    assert_refused(folder.load(), &["generation_config.json", "a number or a list of numbers"]);
    // one that the model never writes does no harm as long as another is left
    folder.write("generation_config.json", json!({"eos_token_id": [2, 96]}));
    check(&folder, &[2]);
    folder.write("generation_config.json", json!({"eos_token_id": [97, 96]}));
    assert_refused(
        folder.load(),
        &["generation_config.json", "stop id 97 is outside the vocabulary of 96"],
    );
    folder.write("generation_config.json", "{}");
    folder.config["eos_token_id"] = json!(200);
    assert_refused(folder.load(), &["/config.json", "stop id 200"]);
}

#[test]
fn a_written_model_loads_again_with_the_same_bits() {
    for name in ["llama-tied", "llama-scaled"] {
        let decoder = reference_decoder(name);
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), &decoder, &[2, 3]).unwrap();
        let model = dir.path().to_path_buf();
        let again = Checkpoint {
            model,
            adapter: None,
            adapter_scale: None,
            template: Default::default(),
            precision: None,
        }
        .load_base(&Device::Cpu)
        .unwrap();
        assert_eq!(again.stop_ids, [2, 3]);
        assert_eq!(again.decoder.config, decoder.config);
        assert_eq!(logits(&again.decoder), logits(&decoder));
    }
}

#[test]
fn an_empty_prompt_is_refused() {
    let decoder = reference_decoder("llama-tied");
    let refused = decoder.prefill(&mut decoder.cache(), &[&[1, 5], &[]], 1);
    assert_refused(refused, &["prompt", "number 2"]);
}

/// A copy of PEFT's adapter `lora`, its config changed by `change`, its tensors by `edit`.
fn load_adapter(
    change: impl Fn(&mut Value),
    edit: impl Fn(&mut HashMap<String, Tensor>),
) -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = reference_json("peft/lora/adapter_config.json");
    change(&mut config);
    std::fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
    let mut tensors = reference_tensors("peft/lora/adapter_model.safetensors");
    edit(&mut tensors);
    candle_core::safetensors::save(&tensors, dir.path().join("adapter_model.safetensors")).unwrap();
    let mut decoder = reference_decoder("llama-tied");
    adapter::load(&mut decoder, dir.path()).map(|_| ())
}

#[test]
fn an_adapter_that_means_something_else_is_refused_by_name() {
    let nothing = |_: &mut HashMap<String, Tensor>| ();
    load_adapter(|_| (), nothing).unwrap();
    let cases = [
        ("peft_type", json!("IA3"), "peft_type IA3"),
        ("bias", json!("some"), "bias `some`"),
        ("modules_to_save", json!(["lm_head"]), "merge_and_unload"),
        ("init_lora_weights", json!("pissa_niter_4"), "as a plain LoRA"),
        ("target_parameters", json!(["experts.w"]), "target_parameters"),
        ("trainable_token_indices", json!([1]), "trainable_token_indices"),
        ("target_modules", json!("(.*proj"), "no regular expression"),
        ("target_modules", json!([]), "target_modules"),
        ("target_modules", Value::Null, "target_modules"),
        ("target_modules", json!(["c_attn"]), "`c_attn`"),
        ("layer_replication", json!([[0, 1]]), "layer_replication"),
        ("alora_invocation_tokens", json!([5]), "alora_invocation_tokens"),
        ("use_qalora", json!(true), "use_qalora"),
        ("r", json!("four"), "not PEFT's config"),
    ];
    for (key, value, want) in cases {
        let refused = load_adapter(|config| config[key] = value.clone(), nothing);
        assert_refused(refused, &["adapter_config.json", want]);
    }
}

#[test]
fn adapter_tensors_that_do_not_fit_are_listed_at_once() {
    let name = |layer: usize, part: &str| {
        format!("base_model.model.model.layers.{layer}.self_attn.q_proj.{part}.weight")
    };
    let refused = load_adapter(
        |_| (),
        |tensors| {
            tensors.remove(&name(0, "lora_A"));
            tensors.insert(
                name(1, "lora_B"),
                Tensor::zeros((32, 5), DType::F32, &Device::Cpu).unwrap(),
            );
            tensors.insert("stray".into(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
        },
    );
    let wrong = format!("{}: shape [32, 5], needed [32, 4]", name(1, "lora_B"));
    assert_refused(
        refused,
        &[&format!("{}: missing", name(0, "lora_A")), &wrong, "stray: not part of this adapter"],
    );

    let mut decoder = reference_decoder("llama-tied");
    assert_refused(
        adapter::load(&mut decoder, Path::new("nowhere")),
        &["nowhere", "no adapter_config.json here"],
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(
        reference("peft/lora/adapter_config.json"),
        dir.path().join("adapter_config.json"),
    )
    .unwrap();
    assert_refused(adapter::load(&mut decoder, dir.path()), &["no adapter_model.safetensors here"]);
}
