//! Models in GGUF files: small ones that are written here by candle's writer, and three real ones where they are found.
//!
//! The real ones are looked for in the folder that `UNFORGET_GGUF_MODELS` names, else in `../shared/real/gguf/models`. What they compute is
//! held against transformers, which unpacked their weights in its own way (`../shared/real/gguf/*.golden.json`).

use crate::cli::{Place, items, sums};
use crate::support::{
    assert_close, assert_refused, flat, max_difference, python_with, reference_decoder,
    reference_json, run_python, shared,
};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unforget::adapter::{self, LoraConfig};
use unforget::chat::Message;
use unforget::context::Context;
use unforget::gguf::Gguf;
use unforget::model::{Batch, Checkpoint, Decoder, DeviceChoice, Gradient, ModelConfig, Precision};
use unforget::ops::{Weight, bf16_instructions};
use unforget::perplexity;
use unforget::progress::Progress;
use unforget::rng::Rng;
use unforget::store::Store;
use unforget::tokens::Tokenizer;

/// A file that is written tensor by tensor.
#[derive(Default)]
struct Packed {
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, QTensor)>,
}

impl Packed {
    fn of(architecture: &str) -> Self {
        let mut packed = Self::default();
        packed.put("general.architecture", Value::String(architecture.into()));
        packed
    }

    fn put(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.into(), value));
    }

    fn texts(&mut self, key: &str, texts: impl IntoIterator<Item = String>) {
        self.put(key, Value::Array(texts.into_iter().map(Value::String).collect()));
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor, kind: GgmlDType) {
        // norms and biases stay plain, as converters have them
        let kind = if tensor.rank() == 1 { GgmlDType::F32 } else { kind };
        self.tensors.push((name.into(), QTensor::quantize(tensor, kind).unwrap()));
    }

    fn write(&self, path: &Path) {
        let metadata: Vec<(&str, &Value)> =
            self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = std::fs::File::create(path).unwrap();
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    }

    /// The vocabulary of a `tokenizer.json`, as llama.cpp's converter writes it.
    fn tokenizer(&mut self, folder: &Path, kind: (&str, &str), rows: Option<usize>) {
        let read = |name: &str| -> Json {
            let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|_| "{}".into());
            serde_json::from_str(&text).unwrap()
        };
        let (json, config) = (read("tokenizer.json"), read("tokenizer_config.json"));
        let mut by_id: BTreeMap<u64, (String, i32)> = BTreeMap::new();
        for (token, id) in json["model"]["vocab"].as_object().unwrap() {
            let byte = token.len() == 6 && token.starts_with("<0x");
            by_id.insert(id.as_u64().unwrap(), (token.clone(), if byte { 6 } else { 1 }));
        }
        for token in json["added_tokens"].as_array().unwrap() {
            let kind = if token["special"].as_bool().unwrap() { 3 } else { 4 };
            let text = token["content"].as_str().unwrap().to_string();
            by_id.insert(token["id"].as_u64().unwrap(), (text, kind));
        }
        let last = by_id.keys().next_back().unwrap() + 1;
        let count = rows.map_or(last, |rows| last.max(rows as u64));
        let tokens: Vec<(String, i32)> = (0..count)
            .map(|id| by_id.get(&id).cloned().unwrap_or((format!("[PAD{id}]"), 5)))
            .collect();
        let id_of = |text: &str| tokens.iter().position(|(token, _)| token == text).unwrap() as u32;
        self.put("tokenizer.ggml.model", Value::String(kind.0.into()));
        self.put("tokenizer.ggml.pre", Value::String(kind.1.into()));
        self.texts("tokenizer.ggml.tokens", tokens.iter().map(|(token, _)| token.clone()));
        let kinds = tokens.iter().map(|(_, kind)| Value::I32(*kind)).collect();
        self.put("tokenizer.ggml.token_type", Value::Array(kinds));
        if kind.0 == "gpt2" {
            let merges = json["model"]["merges"].as_array().unwrap();
            let merges = merges.iter().map(|merge| match merge {
                Json::String(text) => text.clone(),
                pair => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
            });
            self.texts("tokenizer.ggml.merges", merges);
        } else {
            // as Llama 2's tokenizer.model has it: spaces alone come last
            let first = tokens.iter().rposition(|(_, kind)| *kind == 6).unwrap() + 1;
            let scores = tokens.iter().enumerate().map(|(id, (token, _))| match id {
                _ if token.chars().all(|c| c == '\u{2581}') => Value::F32(-1e9),
                id if id < first => Value::F32(0.0),
                id => Value::F32(-((id - first) as f32)),
            });
            self.put("tokenizer.ggml.scores", Value::Array(scores.collect()));
        }
        for (key, name) in [
            ("bos", "bos_token"),
            ("eos", "eos_token"),
            ("padding", "pad_token"),
            ("unknown", "unk_token"),
        ] {
            let token = config[name].as_str().or(config[name]["content"].as_str());
            if let Some(token) = token {
                self.put(&format!("tokenizer.ggml.{key}_token_id"), Value::U32(id_of(token)));
            }
        }
        let jinja = std::fs::read_to_string(folder.join("chat_template.jinja")).ok();
        if let Some(template) = jinja.or(config["chat_template"].as_str().map(str::to_string)) {
            self.put("tokenizer.chat_template", Value::String(template));
        }
    }

    /// The model in `folder` under `architecture`, with weights of `kind`, as llama.cpp's converter writes it.
    fn model(folder: &Path, architecture: &str, kind: GgmlDType) -> Self {
        let mut packed = Self::of(architecture);
        let config = ModelConfig::read(&folder.join("config.json")).unwrap();
        let key = |name: &str| format!("{architecture}.{name}");
        for (name, size) in [
            ("block_count", config.num_hidden_layers),
            ("context_length", config.max_position_embeddings),
            ("embedding_length", config.hidden_size),
            ("feed_forward_length", config.intermediate_size),
            ("attention.head_count", config.num_attention_heads),
            ("attention.head_count_kv", config.num_key_value_heads),
            ("attention.key_length", config.head_dim),
            ("attention.value_length", config.head_dim),
        ] {
            packed.put(&key(name), Value::U32(size as u32));
        }
        for (name, number) in [
            ("attention.layer_norm_rms_epsilon", Some(config.rms_norm_eps)),
            ("rope.freq_base", Some(config.rope.rope_theta)),
            ("attn_logit_softcapping", config.attn_logit_softcapping),
            ("final_logit_softcapping", config.final_logit_softcapping),
        ] {
            if let Some(number) = number {
                packed.put(&key(name), Value::F32(number as f32));
            }
        }
        if let Some(window) = config.sliding_window {
            packed.put(&key("attention.sliding_window"), Value::U32(window as u32));
            if name_of(folder) == "olmo3" {
                let windowed = |layer| Value::Bool(config.sliding_layers.has(layer));
                let layers = (0..config.num_hidden_layers).map(windowed).collect();
                packed.put(&key("attention.sliding_window_pattern"), Value::Array(layers));
            }
        }
        if architecture == "granite" {
            for (name, factor) in [
                ("attention.scale", config.attention_multiplier.unwrap()),
                ("embedding_scale", config.embedding_multiplier),
                ("residual_scale", config.residual_multiplier),
                ("logit_scale", config.logits_scaling),
            ] {
                packed.put(&key(name), Value::F32(factor as f32));
            }
        }
        packed.put("tokenizer.ggml.eos_token_id", Value::U32(2));
        let permuted = ["llama", "smollm3", "granite"].contains(&architecture);
        let tensors =
            candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let sorted: BTreeMap<_, _> = tensors.into_iter().collect();
        for (name, tensor) in sorted {
            let mut tensor = tensor.to_dtype(candle_core::DType::F32).unwrap();
            let heads = match &name {
                q if q.contains("q_proj") => Some(config.num_attention_heads),
                k if k.contains("k_proj") => Some(config.num_key_value_heads),
                _ => None,
            };
            if let Some(heads) = heads.filter(|_| permuted) {
                let rows = tensor.dims()[0];
                let inner = tensor.elem_count() / rows;
                let halves = tensor.reshape((heads, 2, rows / heads / 2, inner)).unwrap();
                let pairs = halves.transpose(1, 2).unwrap().contiguous().unwrap();
                tensor = pairs.reshape(tensor.dims()).unwrap();
            }
            if architecture.starts_with("gemma") && name.contains("norm") {
                tensor = (tensor + 1.0).unwrap();
            }
            packed.tensor(&own_name(architecture, &name), &tensor, kind);
        }
        packed
    }
}

/// The `model_type` of the model in `folder`.
fn name_of(folder: &Path) -> String {
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let config: Json = serde_json::from_str(&config).unwrap();
    config["model_type"].as_str().unwrap().to_string()
}

/// What llama.cpp calls the tensor `name`: `get_tensor_name_map` of the package gguf 0.19 gives the same for each architecture here.
fn own_name(architecture: &str, name: &str) -> String {
    let after = match architecture.starts_with("gemma") || architecture == "olmo2" {
        true => "post_attention_norm",
        false => "ffn_norm",
    };
    [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.", "blk."),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", after),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
    ]
    .iter()
    .fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

fn logits(decoder: &Decoder, ids: &[u32]) -> Tensor {
    let mut batch = Batch::new();
    batch.push(ids, &vec![1.0; ids.len()]);
    decoder.logits(&batch).unwrap()
}

fn load(model: &Path) -> Decoder {
    let model = model.to_path_buf();
    Checkpoint {
        model,
        adapter: None,
        adapter_scale: None,
        template: Default::default(),
        precision: None,
    }
    .load_base(&Device::Cpu)
    .unwrap()
    .decoder
}

/// A copy of a reference model whose config is changed to what a GGUF file can say.
fn changed(name: &str, changes: &[(&str, Json)], to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // some of them lie in shards
    let tensors = reference_decoder(name).tensors().unwrap();
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    candle_core::safetensors::save(&tensors, to.join("model.safetensors")).unwrap();
    let mut config = reference_json(&format!("{name}/config.json"));
    for (key, value) in changes {
        config[*key] = value.clone();
    }
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn every_architecture_computes_what_its_folder_does() {
    /// Folder, architecture and settings of its config.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, Json)]);
    let cases: [Case; 16] = [
        ("llama-tied", "llama", &[]),
        ("families/llama-linear", "llama", &[("hidden_act", json!("silu"))]),
        (
            "families/llama-three",
            "llama",
            &[(
                "rope_scaling",
                json!({"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
            )],
        ),
        ("families/mistral-tied", "llama", &[]),
        ("families/mistral-window", "llama", &[]),
        ("families/qwen2-tied", "qwen2", &[]),
        ("families/gemma2-capped", "gemma2", &[("query_pre_attn_scalar", json!(10))]),
        ("families/gemma2-old", "gemma2", &[]),
        ("families/olmo2-grouped", "olmo2", &[]),
        ("families/olmo2-tied", "olmo2", &[]),
        ("families/olmo3-yarn", "olmo2", &[]),
        ("families/qwen3-tied", "qwen3", &[]),
        ("families/smollm3-tied", "smollm3", &[]),
        ("families/granite-tied", "granite", &[]),
        ("families/granite-biased", "granite", &[]),
        (
            "families/gemma3-old",
            "gemma3",
            &[("query_pre_attn_scalar", json!(8)), ("sliding_window_pattern", json!(3))],
        ),
    ];
    let place = tempfile::tempdir().unwrap();
    for (name, architecture, changes) in cases {
        let folder = place.path().join(name.replace('/', "-"));
        changed(name, changes, &folder);
        let mut packed = Packed::model(&folder, architecture, GgmlDType::F32);
        match name {
            "families/llama-linear" => {
                packed.put("llama.rope.scaling.type", Value::String("linear".into()));
                packed.put("llama.rope.scaling.factor", Value::F32(3.0));
            }
            "families/gemma3-old" => {
                packed.put("gemma3.attention.sliding_window_pattern", Value::U32(3));
                packed.put("gemma3.rope.freq_base_swa", Value::F32(10_000.0));
            }
            "families/olmo3-yarn" => {
                // as Olmo2Model of llama.cpp's converter, by set_rope_parameters
                packed.put("olmo2.rope.scaling.type", Value::String("yarn".into()));
                packed.put("olmo2.rope.scaling.factor", Value::F32(8.0));
                packed.put("olmo2.rope.scaling.original_context_length", Value::U32(32));
            }
            "families/llama-three" => {
                // as LlamaModel.generate_extra_tensors of llama.cpp's converter
                let factors: Vec<f32> = (0..3)
                    .map(|pair| {
                        let wave = 2.0 * std::f64::consts::PI * 5e5f64.powf(pair as f64 / 3.0);
                        let smooth = (8192.0 / wave - 1.0) / 3.0;
                        match wave {
                            short if short < 2048.0 => 1.0,
                            long if long > 8192.0 => 32.0,
                            _ => (1.0 / ((1.0 - smooth) / 32.0 + smooth)) as f32,
                        }
                    })
                    .collect();
                let factors = Tensor::new(factors, &Device::Cpu).unwrap();
                packed.tensor("rope_freqs.weight", &factors, GgmlDType::F32);
            }
            _ => {}
        }
        let file = folder.join("packed");
        packed.write(&file);
        let ids: Vec<u32> = (0..40).map(|at| 3 + at * 7 % 50).collect();
        let (want, got) = (load(&folder), load(&file));
        assert_close(&logits(&got, &ids), &logits(&want, &ids), name);
    }
}

#[test]
fn rounded_weights_are_those_of_their_folder() {
    let place = tempfile::tempdir().unwrap();
    for kind in [GgmlDType::F16, GgmlDType::Q8_0] {
        let model = Place::new();
        let file = place.path().join(format!("{kind:?}"));
        Packed::model(&model.path("model"), "llama", kind).write(&file);
        // the folder with the numbers as this kind has them: whole rows are moved, so that blocks stay what they are
        let path = model.path("model/model.safetensors");
        let tensors: HashMap<String, Tensor> = candle_core::safetensors::load(&path, &Device::Cpu)
            .unwrap()
            .into_iter()
            .map(|(name, tensor)| {
                let kind = if tensor.rank() == 1 { GgmlDType::F32 } else { kind };
                let rounded = QTensor::quantize(&tensor, kind).unwrap();
                (name, rounded.dequantize(&Device::Cpu).unwrap())
            })
            .collect();
        let ids: Vec<u32> = (0..60).collect();
        let plain = logits(&load(&model.path("model")), &ids);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let (want, got) = (logits(&load(&model.path("model")), &ids), logits(&load(&file), &ids));
        assert_eq!(flat(&got), flat(&want), "{kind:?}");
        assert!(max_difference(&flat(&got), &flat(&plain)) > 0.0, "{kind:?} rounds");

        // in memory they stay as they are, and an adapter learns the same on them, to the bit
        let in_blocks = load(&file).projections().all(|(_, projection)| {
            matches!(&projection.weight, Weight::Blocks(blocks) if blocks.kind() == format!("{kind:?}"))
        });
        assert!(in_blocks, "{kind:?}");
        for dora in [false, true] {
            let learn = |path: &Path, precision: Precision| {
                let checkpoint = Checkpoint::open(path).unwrap();
                let model = checkpoint.load_base_in(&Device::Cpu, precision).unwrap();
                let mut decoder = model.decoder;
                let config = LoraConfig { rank: 2, dora, ..LoraConfig::lab() };
                adapter::attach(&mut decoder, &config, 1).unwrap();
                let mut batch = Batch::new();
                for length in [60, 9] {
                    batch.push(&ids[..length], &vec![1.0; length]);
                }
                let gradient = decoder.gradient(&batch, false, None).unwrap();
                let replayed = decoder.gradient(&batch, true, None).unwrap();
                let flat = |gradient: &Gradient| -> Vec<f32> {
                    gradient.gradients.iter().flatten().flat_map(flat).collect()
                };
                assert!(flat(&gradient) == flat(&replayed), "{kind:?}");
                (gradient.loss.log_prob.clone(), flat(&gradient))
            };
            let want = learn(&model.path("model"), Precision::F32);
            assert!(learn(&file, Precision::F32) == want, "{kind:?}, dora {dora}");
            if bf16_instructions().is_some() {
                let (log_prob, _) = learn(&file, Precision::Bf16x2);
                // the weights are rounded as well, from 11 bits of F16 or 8 and a factor of Q8_0 to the 8 of bf16
                let off = max_difference(&log_prob, &want.0);
                assert!(off > 0.0 && off < 1e-2, "{kind:?}: {off}");
            }
        }
    }
}

#[test]
fn every_kind_of_block_is_unpacked_as_the_gguf_package_does() {
    let fixture = reference_json("gguf_blocks.json");
    let place = tempfile::tempdir().unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let name = case["kind"].as_str().unwrap();
        let hex = case["bytes"].as_str().unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap())
            .collect();
        let path = place.path().join(name);
        std::fs::write(&path, one_tensor(case["number"].as_u64().unwrap() as u32, &bytes)).unwrap();
        let got = Gguf::open(&path).unwrap().tensor("model.embed_tokens.weight").unwrap();
        assert_eq!(got.dims(), [2, 256], "{name}");
        for (got, want) in flat(&got).iter().zip(case["values"].as_array().unwrap()) {
            let want = want.as_f64().unwrap() as f32;
            let bound = 2.0 * f32::EPSILON * want.abs().max(1e-3);
            assert!((got - want).abs() <= bound, "{name}: {got} for {want}");
        }
    }
}

/// A file of version 3 with one tensor of 2 rows of 256 numbers, of the kind with that number.
fn one_tensor(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    file.extend([1u64, 1].map(u64::to_le_bytes).concat());
    text(&mut file, "general.architecture");
    file.extend(8u32.to_le_bytes());
    text(&mut file, "llama");
    text(&mut file, "token_embd.weight");
    file.extend(2u32.to_le_bytes());
    file.extend([256u64, 2].map(u64::to_le_bytes).concat());
    file.extend(kind.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(bytes);
    file
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], parts: &[&str]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_refused(Checkpoint::open(&path), parts);
    };
    let whole = one_tensor(0, &[0; 2048]);
    refused("iq", &one_tensor(20, &[0; 288]), &["token_embd.weight", "IQ4_NL", "Q4_K"]);
    refused("q2", &one_tensor(10, &[0; 168]), &["token_embd.weight", "Q2_K", "take a file with"]);
    refused("cut", &whole[..whole.len() - 1], &["token_embd.weight", "cut off"]);
    refused("cut-header", &whole[..60], &["cut off"]);
    refused("none", b"not a model", &["is no GGUF file", "hub"]);
    let mut big = whole.clone();
    big[4..8].copy_from_slice(&[0, 0, 0, 3]);
    refused("big", &big, &["big-endian"]);
    let mut old = whole.clone();
    old[4] = 1;
    refused("old", &old, &["version 1"]);
    let mut many = whole.clone();
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refused("many", &many, &["18446744073709551615 tensors", "cut off"]);

    let packed = |change: &dyn Fn(&mut Packed)| {
        let mut packed = Packed::of("llama");
        packed.tensor(
            "token_embd.weight",
            &Tensor::zeros((4, 32), candle_core::DType::F32, &Device::Cpu).unwrap(),
            GgmlDType::F32,
        );
        change(&mut packed);
        let path = place.path().join("packed");
        packed.write(&path);
        std::fs::read(path).unwrap()
    };
    let put = |key: &str, value: Value| packed(&|packed| packed.put(key, value.clone()));
    let text = |text: &str| Value::String(text.into());
    let cases = [
        ("phi", put("general.architecture", text("phi3")), vec!["`phi3`", "known: llama"]),
        (
            "moe",
            put("general.architecture", text("qwen3moe")),
            vec!["`qwen3moe`", "mixture of experts"],
        ),
        ("clip", put("general.architecture", text("clip")), vec!["`clip`", "pictures"]),
        ("experts", put("llama.expert_count", Value::U32(8)), vec!["`llama` with experts"]),
        ("lora", put("general.type", text("adapter")), vec!["is an adapter", "--adapter"]),
        ("split", put("split.count", Value::U16(3)), vec!["one of several parts", "--merge"]),
        ("align", put("general.alignment", Value::U32(0)), vec!["general.alignment", "power of 2"]),
        (
            "wrong",
            put("general.architecture", Value::U32(1)),
            vec!["general.architecture must be a text"],
        ),
    ];
    for (name, bytes, parts) in cases {
        refused(name, &bytes, &parts);
    }
    let folder = place.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("m.gguf"), &whole).unwrap();
    assert_refused(Checkpoint::open(&folder), &["GGUF file in it", "m.gguf"]);

    // what the tokenizer needs
    let tokens = |pre: &str, model: &str| {
        packed(&|packed| {
            packed.texts("tokenizer.ggml.tokens", ["a".into()]);
            packed.put("tokenizer.ggml.model", text(model));
            packed.put("tokenizer.ggml.pre", text(pre));
        })
    };
    for (at, (pre, model, part)) in [
        ("deepseek-llm", "gpt2", "`deepseek-llm`"),
        ("default", "gpt2", "`default`"),
        ("default", "bert", "`bert`"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = place.path().join(format!("tokens-{at}"));
        std::fs::write(&path, tokens(pre, model)).unwrap();
        assert_refused(Tokenizer::open(&path), &[part, "not known here", "known: "]);
    }
}

#[test]
fn tokenizers_give_the_ids_of_their_folders() {
    let Some(tokenizers) = shared("real/tokenizers", "GGUF tokenizers against real ones") else {
        return;
    };
    let cases = [
        ("llama3", "gpt2", "llama-bpe"),
        ("qwen2.5", "gpt2", "qwen2"),
        ("olmo2", "gpt2", "dbrx"),
        ("smollm2", "gpt2", "smollm"),
        ("gpt2", "gpt2", "gpt-2"),
        ("llama2", "llama", "default"),
        ("mistral-v0.3", "llama", "default"),
    ];
    let texts = [
        "The quick brown fox jumps over the lazy dog.",
        "def f(x):\n\treturn x ** 2  # naïve\n\n\n    if x:\r\n",
        "1234567890 12,345.67 ½ Ωmega 東京 \u{200b}zero-width e\u{301} 🙂🇳🇴",
        "I'LL we've <s>don't</s> <|im_start|>user<|end_of_text|>  two  spaces ",
        "",
        "[INST] x [/INST] <0x0A> \u{2581}",
    ];
    let place = tempfile::tempdir().unwrap();
    for (name, model, pre) in cases {
        let folder = tokenizers.join(name);
        let path = place.path().join(name);
        let mut packed = Packed::of("llama");
        packed.tokenizer(&folder, (model, pre), None);
        packed.write(&path);
        let (want, got) = (Tokenizer::open(&folder).unwrap(), Tokenizer::open(&path).unwrap());
        assert_eq!(got.vocab_size(), want.vocab_size(), "{name}");
        for text in texts {
            // Mistral's puts a space before a text, not after a special token; a file does not tell the two apart
            if name == "mistral-v0.3" && (text.contains("<s>") || text.contains("[INST]")) {
                continue;
            }
            let (a, b) = (got.encode(text, false).unwrap(), want.encode(text, false).unwrap());
            assert_eq!(a.ids, b.ids, "{name}: {text:?}");
            assert_eq!(
                got.decode(&a.ids).unwrap(),
                want.decode(&b.ids).unwrap(),
                "{name}: {text:?}"
            );
        }
        let bos = got.encode("x", true).unwrap().ids[0] == got.bos().map_or(u32::MAX, |bos| bos.id);
        assert_eq!(bos, pre == "llama-bpe" || (model == "llama" && got.bos().is_some()), "{name}");
    }
}

/// A place with a small model as folder and as file without an ending, and rows.
fn twin() -> Place {
    let place = Place::new();
    let folder = place.path("model");
    let mut packed = Packed::model(&folder, "llama", GgmlDType::F32);
    packed.tokenizer(&folder, ("gpt2", "smollm"), None);
    packed.put("tokenizer.ggml.add_bos_token", Value::Bool(true));
    packed.write(&place.path("sha256-0123"));
    place.write_rows("sums.jsonl", &sums());
    place.write_rows("items.jsonl", &items());
    place
}

#[test]
fn every_verb_works_on_a_file_as_on_its_folder() {
    let place = twin();
    let score =
        |model: &str| place.works(&format!("perplexity --model {model} --data sums.jsonl")).stdout;
    assert_eq!(score("sha256-0123"), score("model"));
    let evaluate = |model: &str| {
        let call = "--items items.jsonl --max-new-tokens 8";
        place.works(&format!("evaluate --model {model} {call}")).stdout
    };
    let table = |text: String| {
        text.lines()
            .filter(|line| line.starts_with("items"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(table(evaluate("sha256-0123")), table(evaluate("model")));
    let doctor = place.run("doctor --model sha256-0123").stdout;
    assert!(doctor.contains("sha256-0123"), "{doctor}");

    // an adapter is trained on the file, and fits the folder
    let train = "--data sums.jsonl --preset lab --num-epochs 2";
    for method in ["", "--dora"] {
        let out = format!("adapter{method}");
        place.works(&format!("finetune --model sha256-0123 {train} {method} --out {out}"));
        place.works(&format!("finetune --model model {train} {method} --out same{method}"));
        let ids: Vec<u32> = (5..60).collect();
        let with = |model: &str, adapter: &str| {
            let mut decoder = load(&place.path(model));
            adapter::load(&mut decoder, &place.path(adapter)).unwrap();
            flat(&logits(&decoder.merged().unwrap(), &ids))
        };
        let tuned = with("sha256-0123", &out);
        assert_eq!(tuned, with("model", &out), "{method}");
        assert_eq!(tuned, with("model", &format!("same{method}")), "{method}");
        let plain = flat(&logits(&load(&place.path("model")), &ids));
        assert!(max_difference(&tuned, &plain) > 1e-4, "{method}: it learned");
        let config =
            std::fs::read_to_string(place.path(&format!("{out}/adapter_config.json"))).unwrap();
        assert!(config.contains("sha256-0123"), "{config}");

        let merged = format!("merged{method}");
        place.works(&format!("export merged --model sha256-0123 --adapter {out} --out {merged}"));
        let folder = place.path(&merged);
        let checkpoint = Checkpoint::open(&folder).unwrap();
        assert_eq!(flat(&logits(&load(&folder), &ids)), tuned, "{method}: numbers of F32 stay");
        let file = Checkpoint::open(place.path("sha256-0123")).unwrap();
        assert_eq!(checkpoint.stop_ids().unwrap(), file.stop_ids().unwrap());
        let question = [Message::user("What is 2 + 3?")];
        let asked = |checkpoint: &Checkpoint| {
            let tokenizer = checkpoint.tokenizer().unwrap();
            let text = tokenizer.template().unwrap().render(&question, true).unwrap();
            tokenizer.encode(&text, false).unwrap()
        };
        assert_eq!(asked(&checkpoint), asked(&file));
    }
    place.works(&format!("finetune --model sha256-0123 {train} --full --out whole"));
    let whole = Checkpoint::open(place.path("whole")).unwrap();
    let file = Checkpoint::open(place.path("sha256-0123")).unwrap();
    assert_eq!(whole.config().unwrap(), file.config().unwrap());
    assert_eq!(place.works("perplexity --model whole --data sums.jsonl").stderr, "");
}

#[test]
fn a_file_writes_its_own_training_answers() {
    let place = twin();
    // the weights are drawn, so that any finished answer must do
    let check = json!({"kind": "instructions", "instructions": [{"id": "keywords:forbidden_words", "kwargs": {"forbidden_words": ["elsewhere"]}}]});
    let rows: Vec<Json> = ["a", "b"]
        .map(|id| json!({"id": id, "prompt": format!("Write {id}."), "truth": "x", "check": check}))
        .to_vec();
    place.write_rows("free.jsonl", &rows);
    let written = |model: &str, out: &str| {
        let call = "--items free.jsonl --samples 64 --temperature 1 --max-new-tokens 60";
        let said =
            place.works(&format!("generate self-output --model {model} {call} --out {out}")).stdout;
        assert!(said.contains("sampled         128"), "{said}");
        let read = |name: &str| -> Vec<Json> {
            let text = std::fs::read_to_string(place.path(out).join(name)).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        (read("pool.jsonl"), read("train.jsonl"))
    };
    let (pool, train) = written("sha256-0123", "of-file");
    assert_eq!(pool.len(), 128);
    assert!(pool.iter().all(|line| !line["text"].as_str().unwrap().is_empty()));
    assert!(!train.is_empty() && train.iter().all(|item| item["truth"] != "x"), "{train:?}");
    for item in &train {
        let chosen = pool.iter().find(|line| line["id"] == item["id"] && line["chosen"] == true);
        assert_eq!(chosen.unwrap()["text"], item["truth"]);
    }
    assert_eq!(written("model", "of-folder"), (pool, train));
}

#[test]
fn peft_loads_an_adapter_that_was_trained_on_a_file() {
    let Some(python) = python_with("peft, transformers, gguf") else {
        return;
    };
    let place = twin();
    let file = place.path("sha256-0123");
    let folder = place.path("model");
    let mut packed = Packed::model(&folder, "llama", GgmlDType::Q8_0);
    packed.tokenizer(&folder, ("gpt2", "smollm"), None);
    packed.write(&file);
    let train = "--data sums.jsonl --preset lab --num-epochs 2";
    let ids: Vec<u32> = (5..60).collect();
    let mut ours = Vec::new();
    for method in ["", "--dora"] {
        let out = format!("adapter{method}");
        place.works(&format!("finetune --model sha256-0123 {train} {method} --out {out}"));
        let mut decoder = load(&file);
        let plain = flat(&logits(&decoder, &ids));
        adapter::load(&mut decoder, &place.path(&out)).unwrap();
        let tuned = flat(&logits(&decoder, &ids));
        assert!(max_difference(&tuned, &plain) > 1e-3, "{method}: it learned");
        ours.push((place.path(&out), tuned));
    }
    // the matching checkpoint: the folder, with the numbers of the file as the package gguf unpacks them
    let adapters: Vec<&PathBuf> = ours.iter().map(|(adapter, _)| adapter).collect();
    let asked =
        json!({"base": folder, "file": file, "heads": [2, 1], "ids": ids, "adapters": adapters});
    let lines = run_python(&python, LOGITS_OF_PEFT_ON_A_FILE, &asked, &[]);
    assert_eq!(lines.len(), ours.len());
    for (line, (adapter, ours)) in lines.iter().zip(&ours) {
        let theirs: Vec<f32> = serde_json::from_value(line.clone()).unwrap();
        let off = max_difference(ours, &theirs);
        assert!(off <= 1e-4, "{}: {off}", adapter.display());
    }
}

/// Reads a llama's GGUF file with the package gguf, puts its numbers into the checkpoint, q and k in transformers' order, and PEFT's adapters on top.
const LOGITS_OF_PEFT_ON_A_FILE: &str = "
import json, sys, warnings
import gguf, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
warnings.filterwarnings('ignore')
asked = json.load(sys.stdin)
read = {t.name: torch.tensor(gguf.dequantize(t.data, t.tensor_type)) for t in gguf.GGUFReader(asked['file']).tensors}
for folder in asked['adapters']:
    model = AutoModelForCausalLM.from_pretrained(asked['base'], dtype=torch.float64)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            stem, end = name.rsplit('.', 1)
            values = read[names.get_name(stem) + '.' + end].reshape(parameter.shape)
            for kind, heads in zip(('q_proj', 'k_proj'), asked['heads']):
                if kind in name:
                    values = values.reshape(heads, -1, 2, values.shape[-1]).transpose(1, 2).reshape(parameter.shape)
            parameter.copy_(values)
    model = PeftModel.from_pretrained(model, folder).double().eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([asked['ids']])).logits[0].flatten().tolist()))
";

#[test]
fn results_are_kept_by_what_the_file_holds() {
    let place = twin();
    let store = Store::open(place.path("store")).unwrap();
    let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
    let of = |name: &str| cx.fingerprint(&Checkpoint::open(place.path(name)).unwrap()).unwrap();
    let first = of("sha256-0123").hash();
    std::fs::copy(place.path("sha256-0123"), place.path("renamed.gguf")).unwrap();
    assert_eq!(of("renamed.gguf").hash(), first);
    let mut bytes = std::fs::read(place.path("renamed.gguf")).unwrap();
    let last = bytes.len() - 64;
    bytes[last] ^= 1;
    std::fs::write(place.path("other.gguf"), bytes).unwrap();
    assert_ne!(of("other.gguf").hash(), first);
}

/// The file that is mutated: every kind of value, a tokenizer, two kinds of tensors.
fn small(folder: &Path) -> Vec<u8> {
    let place = Place::new();
    let mut packed = Packed::model(&place.path("model"), "llama", GgmlDType::Q8_0);
    packed.tokenizer(&place.path("model"), ("gpt2", "smollm"), None);
    packed.put("general.alignment", Value::U32(32));
    packed.put("made.up.bytes", Value::Array((0..40).map(Value::U8).collect()));
    packed.put("made.up.flags", Value::Array(vec![Value::Bool(true); 5]));
    packed.put("made.up.number", Value::F64(0.5));
    let path = folder.join("whole");
    packed.write(&path);
    std::fs::read(path).unwrap()
}

#[test]
fn mutated_headers_neither_panic_nor_take_memory() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["gguf::read_mutated_headers", "--exact", "--ignored", "--test-threads=1"]);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: setrlimit may be called between fork and exec, and changes the child only.
        unsafe {
            child.pre_exec(|| {
                let limit = libc::rlimit { rlim_cur: 1 << 32, rlim_max: 1 << 32 };
                match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by mutated_headers_neither_panic_nor_take_memory in a process with little memory"]
fn read_mutated_headers() {
    let place = tempfile::tempdir().unwrap();
    let whole = small(place.path());
    // the tensors begin behind the last name
    let at = whole.windows(17).rposition(|bytes| bytes == b"token_embd.weight").unwrap();
    let header = (at + 100).max(whole.len() / 4).min(whole.len());
    let mut rng = Rng::new(11, "mutations");
    let (mut read, mut longest) = (0, Duration::ZERO);
    for round in 0..10_000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.between(1, 4) {
            let at = rng.between(0, header as i64 - 9) as usize;
            match rng.between(0, 4) {
                0 => bytes[at] = rng.between(0, 255) as u8,
                1 => bytes[at] ^= 1 << rng.between(0, 7),
                2 => {
                    let sizes =
                        [0, 1, 255, 1 << 31, u64::from(u32::MAX), 1 << 40, 1 << 63, u64::MAX];
                    let size = rng.choose(&sizes).to_le_bytes();
                    bytes[at..at + 8].copy_from_slice(&size);
                }
                3 => bytes[at..at + 4].copy_from_slice(&(rng.between(0, 45) as u32).to_le_bytes()),
                _ => bytes.truncate(rng.between(at as i64, bytes.len() as i64) as usize),
            }
            if bytes.len() <= header {
                break;
            }
        }
        let path = place.path().join(format!("{round}"));
        std::fs::write(&path, &bytes).unwrap();
        let began = Instant::now();
        if let Ok(file) = Gguf::open(&path) {
            read += 1;
            let _ = (file.config(), file.generation_config(), file.tokenizer_config());
            let _ = file.tensors().map(|(name, ..)| file.tensor(name)).collect::<Vec<_>>();
            if let Ok(checkpoint) = Checkpoint::open(&path) {
                let _ = checkpoint.stop_ids();
                // another library reads this one, so not each time
                if round % 20 == 0 {
                    let _ = checkpoint.tokenizer().map(|tokenizer| tokenizer.encode("a b", true));
                }
                let _ = checkpoint.load_base(&Device::Cpu).map(|model| model.stop_ids);
            }
        }
        longest = longest.max(began.elapsed());
        std::fs::remove_file(path).unwrap();
    }
    assert!((1..10_000).contains(&read), "{read} were read");
    assert!(longest < Duration::from_secs(20), "one took {longest:?}");
}

/// A real file and what transformers makes of it.
fn real(name: &str) -> Option<(PathBuf, Json)> {
    let skipped = format!("the real model {name}.gguf");
    let golden = shared(&format!("real/gguf/{name}.golden.json"), &skipped)?;
    let folder = match std::env::var_os("UNFORGET_GGUF_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => golden.parent().unwrap().join("models"),
    };
    let file = folder.join(format!("{name}.gguf"));
    if !file.is_file() {
        println!(
            "SKIPPED: {skipped} is not in {}; name its folder in UNFORGET_GGUF_MODELS",
            folder.display()
        );
        return None;
    }
    Some((file, serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap()))
}

fn ids_of(value: &Json) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn matches_transformers(name: &str) {
    let Some((file, golden)) = real(name) else {
        return;
    };
    let checkpoint = Checkpoint::open(&file).unwrap();
    let tokenizer = checkpoint.tokenizer().unwrap();
    for case in golden["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let mut want = ids_of(&case["ids"]);
        if name.starts_with("smollm2") && text.contains('½') {
            // transformers does not split digits where it reads `smollm` from a GGUF, so that ½ joins the space before it; the model's own
            // tokenizer.json and llama.cpp take it alone
            let Some(folder) = shared("real/tokenizers/smollm2", "a text with ½") else {
                continue;
            };
            want = Tokenizer::open(&folder).unwrap().encode(text, true).unwrap().ids;
            assert_ne!(want, ids_of(&case["ids"]));
        }
        assert_eq!(tokenizer.encode(text, true).unwrap().ids, want, "{text:?}");
    }
    for case in golden["chats"].as_array().unwrap() {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let template = tokenizer.template().unwrap();
        let rendered = template.render(&messages, false).unwrap();
        assert_eq!(rendered, case["rendered"].as_str().unwrap());
        let prompt = template.render(&messages[..messages.len() - 1], true).unwrap();
        assert_eq!(prompt, case["prompt"].as_str().unwrap());
        assert_eq!(tokenizer.encode(&rendered, false).unwrap().ids, ids_of(&case["ids"]));
    }
    if let Err(error) = checkpoint.config() {
        let model_type = Gguf::open(&file).unwrap().config().unwrap()["model_type"].clone();
        let model_type = model_type.as_str().unwrap();
        assert!(error.to_string().contains(&format!("`{model_type}`")), "{error}");
        println!("SKIPPED: logits of {name}: {error}");
        return;
    }
    let decoder = checkpoint.load_base(&Device::Cpu).unwrap().decoder;
    let cases = [&golden["texts"], &golden["chats"]].map(|cases| cases.as_array().unwrap().clone());
    let cases = cases.concat();
    let sequences: Vec<Vec<u32>> = cases.iter().map(|case| ids_of(&case["ids"])).collect();
    let slices: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let scores = perplexity::score(&decoder, &slices, |_| {}).unwrap();
    let mut largest = 0f64;
    for (case, scores) in cases.iter().zip(&scores) {
        for (got, want) in scores.log_prob.iter().zip(case["log_probs"].as_array().unwrap()) {
            if let (Some(got), Some(want)) = (got, want.as_f64()) {
                largest = largest.max((f64::from(*got) - want).abs());
            }
        }
    }
    println!("{name}: log-probabilities differ by at most {largest:.1e}");
    assert!(largest <= 2e-4, "{name}: {largest}");
    for (case, prompt) in cases.iter().zip(&sequences) {
        let want = ids_of(&case["greedy_24"]);
        let mut cache = decoder.cache();
        let mut next = decoder.prefill(&mut cache, &[prompt], 1).unwrap();
        for (at, want) in want.iter().enumerate() {
            let id = next.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0];
            assert_eq!(id, *want, "{name}: greedy id {at} after {:?}", case["text"]);
            next = decoder.step(&mut cache, &[id]).unwrap();
        }
    }
}

#[test]
fn smollm2_matches_transformers() {
    matches_transformers("smollm2-135m-instruct-q4_1");
}

#[test]
fn qwen_2_5_coder_matches_transformers() {
    matches_transformers("qwen2.5-coder-0.5b-instruct-q4_k_m");
}

#[test]
fn gemma_3_matches_transformers() {
    matches_transformers("gemma-3-270m-q4_k_m");
}
