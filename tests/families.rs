//! Every family of models against transformers and PEFT.
//!
//! The models in `tests/reference/families/` are small and random, with odd shapes: grouped heads, heads wider than hidden / heads,
//! windows shorter than the text, tied and untied, in shards, in bf16 and f16. `tests/reference/make_families.py` makes them and
//! the numbers, in float32 with eager attention:
//!
//! ```python
//! model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
//! model(ids[None]).logits[0]                               # logits.i
//! model.generate(prompt[None], do_sample=False)            # greedy
//! peft = PeftModel.from_pretrained(model, folder / "lora", is_trainable=True)
//! torch.stack([-peft(ids[None]).logits[0].log_softmax(-1)[at - 1, ids[at]] for ids, at in learned]).mean().backward()   # gradient.NAME
//! ```

use crate::support::{
    assert_close, assert_refused, backends, flat, reference, reference_checkpoint,
    reference_decoder, reference_decoder_on, reference_json, reference_tensors, shared,
};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use std::path::Path;
use unforget::adapter::{self, LoraConfig};
use unforget::generate::{Sampling, generate};
use unforget::model::{
    Backend, Batch, Checkpoint, Decoder, Family, ModelConfig, QueryKeyNorms, write_model,
    write_tuned,
};
use unforget::optimizer::{AdamW, AdamWConfig};
use unforget::rng::Rng;

/// The reference models, each for what its name says.
const MODELS: [&str; 23] = [
    "llama-linear",
    "llama-three",
    "mistral-window",
    "mistral-tied",
    "qwen2-tied",
    "qwen2-window",
    "gemma2-capped",
    "gemma2-plain",
    "gemma2-old",
    "olmo2-grouped",
    "olmo2-tied",
    "qwen3-tied",
    "qwen3-yarn",
    "gemma3-linear",
    "gemma3-old",
    "smollm3-tied",
    "smollm3-window",
    "olmo3-yarn",
    "olmo3-tied",
    "granite-tied",
    "granite-biased",
    "granite4-dense",
    "granite4-nope",
];

fn place(model: &str) -> String {
    format!("families/{model}")
}

fn decoder(model: &str) -> Decoder {
    reference_decoder(&place(model))
}

/// Every model on every backend that computes in f32.
fn cases() -> Vec<(Backend, &'static str)> {
    let on = |backend: Backend| MODELS.map(|model| (backend.clone(), model));
    backends().into_iter().flat_map(on).collect()
}

fn decoder_on(backend: &Backend, model: &str) -> Decoder {
    reference_decoder_on(backend, &place(model))
}

fn table(model: &str) -> Value {
    reference_json(&format!("{}/expected.json", place(model)))
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(ids).collect()
}

/// Both sequences of a model, each learned token weighing one over their number.
fn batch(table: &Value) -> Batch {
    let learned: Vec<Vec<bool>> = serde_json::from_value(table["learned"].clone()).unwrap();
    let count = learned.iter().flatten().filter(|learned| **learned).count();
    let mut batch = Batch::new();
    for (ids, learned) in rows(&table["sequences"]).iter().zip(learned) {
        let weight = |learned: &bool| if *learned { 1.0 / count as f32 } else { 0.0 };
        let weights: Vec<f32> = learned.iter().map(weight).collect();
        batch.push(ids, &weights);
    }
    assert_eq!(batch.predicted(), count);
    batch
}

/// Logits of both sequences, read together, against the tensors called `name`.0 and `name`.1.
fn check_logits(model: &str, decoder: &Decoder, name: &str, what: &str) {
    let want = reference_tensors(&format!("{}/expected.safetensors", place(model)));
    let table = table(model);
    let got = decoder.logits(&batch(&table)).unwrap();
    let mut row = 0;
    for (which, ids) in rows(&table["sequences"]).iter().enumerate() {
        let part = got.narrow(0, row, ids.len()).unwrap();
        let want = &want[&format!("{name}.{which}")];
        assert_close(&part, want, &format!("{model}, {what}, sequence {which}"));
        row += ids.len();
    }
}

#[test]
fn logits_at_every_position_are_those_of_transformers() {
    for (backend, model) in &cases() {
        check_logits(model, &decoder_on(backend, model), "logits", "logits");
    }
}

#[test]
fn greedy_answers_are_those_of_transformers() {
    for (backend, model) in &cases() {
        let table = table(model);
        let cases = table["greedy"].as_array().unwrap();
        let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["prompt"])).collect();
        let want: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["new"])).collect();
        // two answers to each prompt, which share its memory
        let greedy = Sampling::greedy(want[0].len());
        let decoder = decoder_on(backend, model);
        let got = generate(&decoder, &prompts, 2, &[], &greedy, |_, _, _| ()).unwrap();
        for (answers, want) in got.iter().zip(&want) {
            for answer in answers {
                assert_eq!(&answer.ids, want, "{model}");
                assert!(answer.log_probs.iter().all(|l| l.is_finite() && *l <= 0.0), "{model}");
            }
        }
    }
}

/// The log-probability of each sampled token, from memory, is the one that scoring gives.
#[test]
fn what_is_sampled_scores_as_it_was_sampled() {
    let sampling = Sampling { temperature: 1.0, ..Sampling::greedy(24) };
    for (backend, model) in &cases() {
        let decoder = decoder_on(backend, model);
        let prompt = vec![1u32, 9, 30, 4, 17, 22, 8];
        let prompts = [prompt.clone()];
        let answers = generate(&decoder, &prompts, 3, &[], &sampling, |_, _, _| ()).unwrap();
        for answer in &answers[0] {
            let ids = [prompt.as_slice(), answer.content()].concat();
            let mut weights = vec![0.0; prompt.len()];
            weights.extend(vec![1.0; answer.ids.len()]);
            let mut batch = Batch::new();
            batch.push(&ids, &weights);
            let scored = decoder.score(&batch).unwrap();
            for (sampled, scored) in answer.log_probs.iter().zip(&scored.log_prob) {
                assert!((sampled - scored).abs() < 1e-4, "{model}: {sampled}, {scored}");
            }
        }
    }
}

/// The model with the adapter that PEFT saved.
fn adapted(model: &str) -> Decoder {
    adapted_on(&backends()[0], model)
}

fn adapted_on(backend: &Backend, model: &str) -> Decoder {
    let mut decoder = decoder_on(backend, model);
    adapter::load(&mut decoder, &reference(&format!("{}/lora", place(model)))).unwrap();
    decoder
}

#[test]
fn adapters_compute_what_peft_computes_apart_and_merged() {
    for (backend, model) in &cases() {
        let decoder = adapted_on(backend, model);
        check_logits(model, &decoder, "lora.logits", "adapter");
        check_logits(model, &decoder.merged().unwrap(), "lora.logits", "merged");
    }
}

#[test]
fn gradients_are_those_of_peft() {
    for (backend, model) in &cases() {
        let want = reference_tensors(&format!("{}/expected.safetensors", place(model)));
        let (decoder, table) = (adapted_on(backend, model), table(model));
        let got = decoder.gradient(&batch(&table), false, None).unwrap();
        let loss = table["loss"].as_f64().unwrap();
        assert!((got.loss.loss - loss).abs() < 1e-4, "{model}, loss {}", got.loss.loss);
        let mut largest = 0f32;
        for ((name, _), gradient) in decoder.trainable().iter().zip(got.gradients) {
            let gradient = gradient.unwrap_or_else(|| panic!("{model}: {name} has no gradient"));
            let want = &want[&format!("gradient.{name}")];
            assert_close(&gradient, want, &format!("{model}, gradient of {name}"));
            largest = flat(want).iter().fold(largest, |most, value| most.max(value.abs()));
        }
        let stored = want.keys().filter(|name| name.starts_with("gradient."));
        assert_eq!(decoder.trainable().len(), stored.count(), "{model}");
        assert!(largest > 0.05, "{model}: gradients of at most {largest} show nothing");
    }
}

/// The bits of loss and gradients.
fn bits(decoder: &Decoder, batch: &Batch, replay: bool) -> Vec<u32> {
    let got = decoder.gradient(batch, replay, None).unwrap();
    let gradients = got.gradients.iter().flat_map(|g| flat(g.as_ref().unwrap()));
    gradients.map(f32::to_bits).collect()
}

/// The ways to train a model.
fn trainable(backend: &Backend, model: &str) -> [(&'static str, Decoder); 3] {
    let mut full = decoder_on(backend, model);
    full.train_in_full().unwrap();
    let mut dora = decoder_on(backend, model);
    let config = LoraConfig { dora: true, ..LoraConfig::lab() };
    adapter::attach(&mut dora, &config, 3).unwrap();
    [("lora", adapted_on(backend, model)), ("dora", dora), ("full", full)]
}

#[test]
fn replay_and_the_number_of_threads_change_no_bit_of_any_family() {
    for (backend, model) in &cases() {
        let batch = batch(&table(model));
        for (how, decoder) in trainable(backend, model) {
            let kept = bits(&decoder, &batch, false);
            assert!(kept == bits(&decoder, &batch, true), "{model}, {how}: replay");
            for threads in [1, 2, 5] {
                let pool = rayon_pool(threads);
                let got = pool.install(|| bits(&decoder, &batch, true));
                assert!(kept == got, "{model}, {how}: {threads} threads");
            }
        }
    }
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    builder.build().unwrap()
}

/// The Euclidean norm.
fn length(tensor: &Tensor) -> f64 {
    let squares = tensor.sqr().unwrap().sum_all().unwrap();
    f64::from(squares.to_vec0::<f32>().unwrap()).sqrt()
}

/// Every weight of a model that is trained in full, norms, biases and embedding among them, against central differences.
#[test]
fn gradients_of_all_weights_follow_the_loss() {
    for model in MODELS {
        let batch = batch(&table(model));
        let mut decoder = decoder(model);
        decoder.train_in_full().unwrap();
        let got = decoder.gradient(&batch, false, None).unwrap().gradients;
        for (at, gradient) in got.iter().enumerate() {
            let (name, var) = decoder.trainable()[at].clone();
            let gradient = gradient.as_ref().unwrap();
            // along the gradient, where the slope is its length, and some way off, where a part too much or too little shows
            let mut rng = Rng::new(7, &name);
            let direction: Vec<f32> = (0..var.elem_count()).map(|_| rng.normal() as f32).collect();
            let direction = Tensor::from_vec(direction, var.shape(), &Device::Cpu).unwrap();
            let unit = |t: &Tensor| (t / length(t)).unwrap();
            let direction = (unit(gradient) + unit(&direction)).unwrap();
            let start = var.as_tensor().copy().unwrap();
            let loss = |step: f64| {
                var.set(&(&start + (&direction * step).unwrap()).unwrap()).unwrap();
                decoder.score(&batch).unwrap().loss
            };
            let slope = (loss(4e-3) - loss(-4e-3)) / 8e-3;
            var.set(&start).unwrap();
            let along = (gradient * &direction).unwrap().sum_all().unwrap();
            let along = f64::from(along.to_vec0::<f32>().unwrap());
            let tolerance = 1e-3 + 0.01 * slope.abs();
            assert!((slope - along).abs() < tolerance, "{model}, {name}: {along}, slope {slope}");
        }
    }
}

/// A few steps on one batch teach it: the whole way from loss to optimizer works for every family.
#[test]
fn training_lowers_the_loss_of_every_family() {
    for (backend, model) in &cases() {
        let batch = batch(&table(model));
        let mut decoder = decoder_on(backend, model);
        adapter::attach(&mut decoder, &LoraConfig::lab(), 5).unwrap();
        let mut optimizer =
            AdamW::new(decoder.backend().path, decoder.trainable(), AdamWConfig::default())
                .unwrap();
        let before = decoder.score(&batch).unwrap().loss;
        for _ in 0..12 {
            let gradients = decoder.gradient(&batch, true, None).unwrap().gradients;
            let gradients: Vec<Tensor> = gradients.into_iter().map(Option::unwrap).collect();
            optimizer.step(&gradients, 1e-2, 1.0).unwrap();
        }
        let after = decoder.score(&batch).unwrap().loss;
        assert!(after < 0.6 * before, "{model}: {before} to {after}");
    }
}

#[test]
fn a_saved_adapter_carries_pefts_names_and_loads_again() {
    for model in MODELS {
        let trained = adapted(model);
        let folder = tempfile::tempdir().unwrap();
        let lora = reference(&format!("{}/lora", place(model)));
        let config = adapter::read_config(&lora).unwrap();
        adapter::save(&trained, &config, model, folder.path()).unwrap();
        let names = |folder: &Path| {
            let file = folder.join("adapter_model.safetensors");
            let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
            let mut names: Vec<String> = tensors.into_keys().collect();
            names.sort();
            names
        };
        assert_eq!(names(folder.path()), names(&lora), "{model}");
        let mut again = decoder(model);
        adapter::load(&mut again, folder.path()).unwrap();
        let batch = batch(&table(model));
        let logits = |decoder: &Decoder| flat(&decoder.logits(&batch).unwrap());
        assert_eq!(logits(&again), logits(&trained), "{model}");
    }
}

#[test]
fn a_written_model_of_every_family_loads_again_with_the_same_bits() {
    for model in MODELS {
        let batch = batch(&table(model));
        let bits = |decoder: &Decoder| flat(&decoder.logits(&batch).unwrap());
        let merged = adapted(model).merged().unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_model(folder.path(), &merged, &[2]).unwrap();
        let again = Checkpoint {
            model: folder.path().to_path_buf(),
            adapter: None,
            adapter_scale: None,
            template: Default::default(),
            precision: None,
        };
        let again = again.load_base(&Device::Cpu).unwrap();
        assert_eq!(again.decoder.config, merged.config, "{model}");
        assert_eq!(bits(&again.decoder), bits(&merged), "{model}");
    }
}

#[test]
fn a_random_model_of_every_family_can_be_made_trained_and_written() {
    for family in Family::ALL {
        let config = ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 6,
            vocab_size: 40,
            ..ModelConfig::defaults(family)
        };
        let mut decoder = Decoder::random(&config, 1, &Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_model(folder.path(), &decoder, &[]).unwrap();
        let read = ModelConfig::read(&folder.path().join("config.json")).unwrap();
        assert_eq!(read, config);
        decoder.train_in_full().unwrap();
        let mut batch = Batch::new();
        batch.push(&[3, 9, 1, 30], &[1.0; 4]);
        let got = decoder.gradient(&batch, true, None).unwrap();
        assert!(got.gradients.iter().all(Option::is_some), "{family:?}");
        // weights that know nothing: about the surprisal of an even choice
        let surprisal = got.loss.loss / 3.0;
        assert!((1.0..6.0).contains(&surprisal), "{family:?}: {surprisal}");
    }
}

const READ_BY_TRANSFORMERS: &str = "
import json, sys, torch
from transformers import AutoModelForCausalLM
ids, folders = json.loads(sys.argv[1]), sys.argv[2:]
for folder in folders:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').eval()
    with torch.no_grad():
        print(json.dumps(model(torch.tensor([ids])).logits[0].flatten().tolist()))
";

#[test]
fn transformers_reads_what_is_written_for_every_family() {
    let Some(python) = crate::support::python_with("peft") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let sequence = rows(&table(MODELS[0])["sequences"])[0].clone();
    let mut batch = Batch::new();
    batch.push(&sequence, &vec![0.0; sequence.len()]);
    let mut ours = Vec::new();
    let mut folders = Vec::new();
    for model in MODELS {
        let merged = adapted(model).merged().unwrap();
        let whole = root.path().join(model);
        write_model(&whole, &merged, &[2]).unwrap();
        // as a full fine-tuning writes it: the config of the model that it began from
        let tuned = root.path().join(format!("{model}-tuned"));
        std::fs::create_dir(&tuned).unwrap();
        write_tuned(&tuned, &merged, &reference(&place(model))).unwrap();
        for folder in [whole, tuned] {
            ours.push((model, flat(&merged.logits(&batch).unwrap())));
            folders.push(folder);
        }
    }
    let output = std::process::Command::new(python)
        .args(["-W", "ignore", "-c", READ_BY_TRANSFORMERS])
        .arg(json!(sequence).to_string())
        .args(&folders)
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(lines.len(), folders.len());
    for (line, (model, ours)) in lines.into_iter().zip(&ours) {
        let theirs: Vec<f32> = serde_json::from_str(line).unwrap();
        let difference = crate::support::max_difference(ours, &theirs);
        assert!(difference <= 1e-4, "{model}: differs by {difference}");
    }
}

/// `config.json` as published, by what decides the computation. The models are too large to lie here.
#[test]
fn published_configs_are_read() {
    let read = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        ModelConfig::read(&path).unwrap()
    };
    // Gemma 2 2B
    let gemma = read(
        r#"{"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107],
        "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
        "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 26,
        "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 256000}"#,
    );
    assert_eq!(gemma, ModelConfig::defaults(Family::Gemma2));
    // Qwen 2.5 0.5B: a window that is not used
    let qwen = read(
        r#"{"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "eos_token_id": 151645, "hidden_act": "silu",
        "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21,
        "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
        "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936}"#,
    );
    assert_eq!((qwen.head_dim, qwen.window(23)), (64, None));
    assert!(qwen.attention_bias && !qwen.output_bias && qwen.tie_word_embeddings);
    // Mistral 7B v0.3: `sliding_window` is null
    let mistral = read(
        r#"{"architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32768}"#,
    );
    assert_eq!((mistral.window(0), mistral.head_dim), (None, 128));
    // Llama 3.2 1B
    let llama = read(
        r#"{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000, "eos_token_id": [128001, 128008,
        128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
        "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {
        "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
        "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256}"#,
    );
    assert_eq!(llama.rope.rope_theta, 500_000.0);
    // OLMo 2 7B
    let olmo = read(
        r#"{"architectures": ["Olmo2ForCausalLM"], "attention_bias": false, "eos_token_id": 100257, "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "olmo2",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 100277,
        "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 500000, "tie_word_embeddings": false,
        "torch_dtype": "float32", "use_cache": true, "vocab_size": 100352}"#,
    );
    assert!(olmo.query_key_norms == QueryKeyNorms::Whole && olmo.rope.rope_theta == 500_000.0);
}

/// Those of the families that came later.
#[test]
fn published_configs_of_2025_are_read() {
    let read = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        ModelConfig::read(&path).unwrap()
    };
    // Qwen 3 0.6B
    let qwen = read(
        r#"{"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
        "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16,
        "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
        "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
        "use_sliding_window": false, "vocab_size": 151936}"#,
    );
    assert_eq!((qwen.head_dim, qwen.window(27), qwen.attention_bias), (128, None, false));
    assert_eq!(qwen.query_key_norms, QueryKeyNorms::PerHead);
    // Gemma 3 1B, as first published
    let gemma = read(
        r#"{"architectures": ["Gemma3ForCausalLM"], "attention_bias": false, "attn_logit_softcapping": null, "bos_token_id": 2,
        "cache_implementation": "hybrid", "eos_token_id": [1, 106], "final_logit_softcapping": null, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
        "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26,
        "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
        "rope_scaling": null, "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6,
        "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 262144}"#,
    );
    let whole: Vec<usize> = (0..26).filter(|layer| gemma.window(*layer).is_none()).collect();
    assert_eq!((whole, gemma.window(0)), (vec![5, 11, 17, 23], Some(512)));
    let theta = |layer| gemma.layer_rope(layer).unwrap().rope_theta;
    assert_eq!([theta(4), theta(5)], [1e4, 1e6]);
    assert!(gemma.tie_word_embeddings && gemma.attention_scale() == 1.0 / 16.0);
    // SmolLM 3 3B
    let smol = read(
        r#"{"architectures": ["SmolLM3ForCausalLM"], "attention_bias": false, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 11008, "max_position_embeddings": 65536, "max_window_layers": 28, "mlp_bias": false,
        "model_type": "smollm3", "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0,
        1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0], "num_attention_heads": 16, "num_hidden_layers": 36,
        "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 5000000.0, "sliding_window": null,
        "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 128256}"#,
    );
    let still: Vec<usize> = (0..36).filter(|layer| smol.layer_rope(*layer).is_none()).collect();
    assert_eq!(still, [3, 7, 11, 15, 19, 23, 27, 31, 35]);
    assert_eq!((smol.head_dim, smol.window(3)), (128, None));
    // Granite 3.3 2B
    let granite = read(
        r#"{"architectures": ["GraniteForCausalLM"], "attention_bias": false, "attention_multiplier": 0.015625,
        "embedding_multiplier": 12.0, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
        "logits_scaling": 8.0, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "granite",
        "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8, "residual_multiplier": 0.22,
        "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000000.0, "tie_word_embeddings": true, "vocab_size": 49159}"#,
    );
    assert_eq!((granite.attention_scale(), granite.embedding_scale()), (0.015625, 12.0));
    assert_eq!((granite.residual_multiplier, granite.logits_scaling), (0.22, 8.0));
}

/// Configs of real folders, where there are some.
#[test]
fn every_real_config_of_a_known_family_is_read() {
    let mut seen = 0;
    for kind in ["real/models", "real/tokenizers"] {
        let Some(folder) = shared(kind, "reading real configs") else {
            continue;
        };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path().join("config.json");
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let config: Value = serde_json::from_str(&text).unwrap();
            let name = config["model_type"].as_str().unwrap_or_default();
            if Family::named(name).is_none() {
                continue;
            }
            let read = ModelConfig::read(&path).unwrap();
            assert_eq!(json!(read.hidden_size), config["hidden_size"], "{}", path.display());
            seen += 1;
        }
    }
    println!("{seen} real configs read");
}

/// A reference model whose folder a test may break.
fn broken(model: &str, change: impl Fn(&mut Value)) -> unforget::error::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(reference(&place(model))).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut config = reference_json(&format!("{}/config.json", place(model)));
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let checkpoint = Checkpoint {
        model: folder.path().to_path_buf(),
        adapter: None,
        adapter_scale: None,
        template: Default::default(),
        precision: None,
    };
    checkpoint.load_base(&Device::Cpu).map(|_| ())
}

#[test]
fn a_model_taken_for_another_family_lists_every_weight_that_does_not_fit() {
    broken("gemma2-capped", |_| ()).unwrap();
    let as_llama = broken("gemma2-capped", |config| {
        config["model_type"] = json!("llama");
        config["hidden_act"] = json!("silu");
    });
    assert_refused(
        as_llama,
        &[
            "model.layers.0.pre_feedforward_layernorm.weight: not part of this architecture",
            "model.layers.2.post_feedforward_layernorm.weight: not part of this architecture",
        ],
    );
    let as_olmo = broken("qwen2-window", |config| config["model_type"] = json!("olmo2"));
    assert_refused(
        as_olmo,
        &[
            "model.layers.0.self_attn.q_norm.weight: missing",
            "model.layers.1.post_feedforward_layernorm.weight: missing",
            "model.layers.2.self_attn.v_proj.bias: not part of this architecture",
            "model.layers.0.input_layernorm.weight: not part of this architecture",
        ],
    );
    let wider = broken("olmo2-grouped", |config| config["num_key_value_heads"] = json!(4));
    assert_refused(
        wider,
        &["model.layers.1.self_attn.k_norm.weight: shape [12], config.json needs [24]"],
    );
}

#[test]
fn what_no_family_computes_here_is_refused() {
    let refused = broken("mistral-window", |config| config["model_type"] = json!("gpt2"));
    let known = "known: llama (LlamaForCausalLM), mistral (MistralForCausalLM), qwen2 (Qwen2ForCausalLM), gemma2 (Gemma2ForCausalLM), \
                 olmo2 (Olmo2ForCausalLM), qwen3 (Qwen3ForCausalLM), gemma3_text (Gemma3ForCausalLM), smollm3 (SmolLM3ForCausalLM), \
                 olmo3 (Olmo3ForCausalLM), granite (GraniteForCausalLM), granitemoehybrid (GraniteMoeHybridForCausalLM)";
    assert_refused(refused, &["config.json", "`gpt2`", known]);
    let refused = broken("qwen3-tied", |config| config["model_type"] = json!("qwen3_moe"));
    assert_refused(refused, &["config.json", "`qwen3_moe`", "mixture of experts"]);
    let refused = broken("qwen2-tied", |config| {
        config["rope_scaling"] =
            json!({"type": "longrope", "factor": 4.0, "original_max_position_embeddings": 32});
    });
    assert_refused(refused, &["`longrope`", "known: default, linear, llama3, yarn"]);
    let refused = broken("llama-three", |config| {
        config["quantization_config"] =
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true});
    });
    assert_refused(refused, &["quantized (bitsandbytes)", "bf16"]);
}

/// Weights as quantizers store them, in folders whose config does not say so.
#[test]
fn quantized_weights_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = "model.layers.0.mlp.up_proj.weight";
    let copy = |tensor: Tensor| {
        let mut tensors =
            reference_tensors(&format!("{}/model.safetensors", place("llama-linear")));
        tensors.insert(name.into(), tensor);
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        let config = reference(&format!("{}/config.json", place("llama-linear")));
        std::fs::copy(config, folder.path().join("config.json")).unwrap();
        let checkpoint = Checkpoint {
            model: folder.path().to_path_buf(),
            adapter: None,
            adapter_scale: None,
            template: Default::default(),
            precision: None,
        };
        checkpoint.load_base(&Device::Cpu)
    };
    let plain = Tensor::zeros((20, 24), DType::F32, &Device::Cpu).unwrap();
    copy(plain.clone()).unwrap();
    for (dtype, named) in [(DType::U8, "U8"), (DType::F8E4M3, "F8_E4M3")] {
        let refused = copy(plain.to_dtype(dtype).unwrap());
        assert_refused(refused, &[name, &format!("holds {named}"), "quantized"]);
    }
}

#[test]
fn a_stored_precision_below_f32_is_widened_for_every_family() {
    for model in ["llama-three", "mistral-tied", "qwen2-tied", "gemma2-old", "olmo2-tied"] {
        let config = reference_json(&format!("{}/config.json", place(model)));
        let stored = config["torch_dtype"].as_str().or(config["dtype"].as_str());
        assert!(["bfloat16", "float16"].contains(&stored.unwrap()), "{model}");
        let checkpoint = reference_checkpoint(&place(model));
        let loaded = checkpoint.load_base(&Device::Cpu).unwrap();
        for (name, tensor) in loaded.decoder.tensors().unwrap() {
            assert_eq!(tensor.dtype(), DType::F32, "{model}, {name}");
        }
    }
}
