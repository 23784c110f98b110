//! What a GPU computes, on the processor: composed operators in f32 against the fused ones, and in bf16 against f32 and transformers in bf16.

use crate::support::{
    assert_refused, backends, flat, in_bf16, max_difference, reference, reference_decoder_on,
    reference_json,
};
use candle_core::{DType, Device, Tensor, Var};
use std::sync::Arc;
use unforget::adapter::{self, LoraConfig};
use unforget::generate::{Sampling, generate};
use unforget::model::{
    Backend, Batch, Cache, Decoder, DeviceChoice, Dropout, Family, ModelConfig, open_device,
};
use unforget::ops::{self, Attention, Gradients, Path, Rope, Sequences};
use unforget::optimizer::{AdamW, AdamWConfig};
use unforget::rng::Rng;

/// Models of `make_families.py`: plain, windowed, capped with scaled embeddings, with norms behind, with multipliers.
const SOME: [&str; 6] = [
    "llama-linear",
    "mistral-window",
    "gemma2-capped",
    "olmo2-grouped",
    "smollm3-window",
    "granite-biased",
];

/// All of them.
fn every_model() -> Vec<String> {
    let folders = std::fs::read_dir(reference("families")).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = folders.map(name).collect();
    names.sort();
    assert!(names.len() > 20);
    names
}

fn on(backend: &Backend, model: &str) -> Decoder {
    reference_decoder_on(backend, &format!("families/{model}"))
}

fn adapted_on(backend: &Backend, model: &str) -> Decoder {
    let mut decoder = on(backend, model);
    adapter::load(&mut decoder, &reference(&format!("families/{model}/lora"))).unwrap();
    decoder
}

fn dora_on(backend: &Backend, model: &str) -> Decoder {
    let mut decoder = on(backend, model);
    let config = LoraConfig { dora: true, ..LoraConfig::lab() };
    adapter::attach(&mut decoder, &config, 3).unwrap();
    // one step away from the start, so that no part is zero
    let mut rng = Rng::new(9, "away");
    for (_, var) in decoder.trainable() {
        let noise = (0..var.elem_count()).map(|_| (0.02 * rng.normal()) as f32);
        let noise = Tensor::from_iter(noise, &Device::Cpu).unwrap().reshape(var.shape()).unwrap();
        var.set(&(var.as_detached_tensor() + noise).unwrap()).unwrap();
    }
    decoder
}

fn full_on(backend: &Backend, model: &str) -> Decoder {
    let mut decoder = on(backend, model);
    decoder.train_in_full().unwrap();
    decoder
}

fn ids(length: usize, seed: u64) -> Vec<u32> {
    let mut rng = Rng::new(seed, "ids");
    (0..length).map(|_| rng.between(3, 60) as u32).collect()
}

/// Four sequences, two of one length.
fn batch() -> Batch {
    let mut batch = Batch::new();
    for (at, length) in [9, 13, 13, 2].into_iter().enumerate() {
        batch.push(&ids(length, at as u64), &vec![0.1; length]);
    }
    batch
}

/// How far `got` is from `want`, relative to the length of `want`.
fn apart(got: &[Tensor], want: &[Tensor]) -> f64 {
    assert_eq!(got.len(), want.len());
    let (mut change, mut size) = (0f64, 0f64);
    for (got, want) in got.iter().zip(want) {
        for (got, want) in wide(got).iter().zip(wide(want)) {
            change += (got - want).powi(2);
            size += want.powi(2);
        }
    }
    assert!(size > 0.0);
    (change / size).sqrt()
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn gradients(
    decoder: &Decoder,
    batch: &Batch,
    replay: bool,
    dropout: Option<&Dropout>,
) -> (f64, Vec<Tensor>) {
    let got = decoder.gradient(batch, replay, dropout).unwrap();
    (got.loss.loss, got.gradients.into_iter().map(Option::unwrap).collect())
}

#[test]
fn composed_equals_fused() {
    let [host, composed] = backends();
    let batch = batch();
    for model in every_model() {
        let trained = [adapted_on, dora_on, full_on];
        for (which, trained) in trained.into_iter().enumerate() {
            let (a, b) = (trained(&host, &model), trained(&composed, &model));
            let what = format!("{model}, {which}");
            let (loss, want) = gradients(&a, &batch, false, None);
            for replay in [false, true] {
                let (got_loss, got) = gradients(&b, &batch, replay, None);
                assert!((got_loss - loss).abs() < 1e-5 * loss, "{what}: {got_loss} {loss}");
                let apart = apart(&got, &want);
                assert!(apart < 2e-5, "{what}, replay {replay}: {apart}");
            }
            let [a, b] = [a, b].map(|decoder| decoder.facts(&batch, None, Some(7)).unwrap());
            assert!(max_difference(&a.log_prob, &b.log_prob) < 2e-5, "{what}");
            assert!(max_difference(&a.entropy, &b.entropy) < 2e-5, "{what}");
            assert!(max_difference(&a.top_entropy, &b.top_entropy) < 2e-5, "{what}");
            assert_eq!(a.rank, b.rank, "{what}");
        }
    }
}

#[test]
fn an_adapter_folded_in_computes_the_same_on_every_path() {
    let batch = batch();
    for model in SOME {
        for trained in [adapted_on, dora_on] {
            let logits = |decoder: &Decoder| flat(&decoder.logits(&batch).unwrap());
            let [host, composed] = backends().map(|backend| {
                let decoder = trained(&backend, model);
                let apart = logits(&decoder);
                let merged = logits(&decoder.merged().unwrap());
                assert!(max_difference(&apart, &merged) < 5e-5, "{model}");
                let merged = logits(&decoder.into_merged(None).unwrap());
                assert!(max_difference(&apart, &merged) < 5e-5, "{model}, in place");
                apart
            });
            assert!(max_difference(&host, &composed) < 5e-5, "{model}");
        }
    }
}

#[test]
fn dropout_is_the_same_stream_on_every_path() {
    for share in [0.05, 0.5, 1.0 - 1e-9] {
        let x = Tensor::ones((37, 11), DType::F32, &Device::Cpu).unwrap();
        let rng = Rng::new(4, "dropout").fork(12);
        let drops = rng.chances(share, 37 * 11);
        let factor = (1.0 / (1.0 - share)) as f32;
        let mut one_by_one = rng.clone();
        let want: Vec<f32> =
            (0..37 * 11).map(|_| if one_by_one.chance(share) { 0.0 } else { factor }).collect();
        for path in [Path::Host, Path::Composed] {
            assert_eq!(flat(&ops::dropped(path, &x, &drops, factor).unwrap()), want, "{path:?}");
        }
    }
    // and so each layer and projection of a model drops the same
    let batch = batch();
    let dropout = Dropout { share: 0.2, rng: Rng::new(1, "dropout") };
    for model in ["llama-linear", "granite4-dense"] {
        let [host, composed] = backends().map(|b| adapted_on(&b, model));
        let (_, want) = gradients(&host, &batch, false, Some(&dropout));
        for replay in [false, true] {
            let (_, got) = gradients(&composed, &batch, replay, Some(&dropout));
            assert!(apart(&got, &want) < 2e-5, "{model}, {replay}");
        }
        let (_, without) = gradients(&host, &batch, false, None);
        assert!(apart(&want, &without) > 1e-2, "{model}: dropout does nothing");
    }
}

/// Attention of one head in bf16 with a key that takes nearly all, against f64 of the same rounded inputs.
#[test]
fn bf16_attention_gradients() {
    let (length, d) = (24, 16);
    let shape = Attention {
        heads: 2,
        kv_heads: 1,
        head_dim: d,
        scale: 1.0 / (d as f64).sqrt(),
        window: None,
        softcap: None,
    };
    let sequences = Arc::new(Sequences::from(&[0, length][..]));
    let table = Rope::new(vec![0.0; d / 2]).table(length);
    let random = |width: usize, name: &str| {
        let mut rng = Rng::new(8, name);
        let values: Vec<f32> = (0..length * width).map(|_| rng.normal() as f32).collect();
        Tensor::from_vec(values, (length, width), &Device::Cpu).unwrap()
    };
    // every query points at the first key
    let mut k = random(d, "k").to_vec2::<f32>().unwrap();
    k[0].iter_mut().for_each(|value| *value = 2.5);
    let k = Tensor::new(k, &Device::Cpu).unwrap();
    let q = (random(2 * d, "q") * 0.3).unwrap();
    let q = (q + 0.6).unwrap();
    let inputs = [q, k, random(d, "v")].map(|t| t.to_dtype(DType::BF16).unwrap());
    let weight = random(2 * d, "weight").to_dtype(DType::BF16).unwrap();
    let run = |dtype: DType| -> Vec<Tensor> {
        let vars = inputs.clone().map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap());
        let [q, k, v] = &vars;
        let y = ops::attention(Path::Composed, [q, k, v], &shape, &sequences, &table).unwrap();
        let loss = ops::seed_gradient(&y, &weight.to_dtype(dtype).unwrap()).unwrap();
        let grads = loss.backward().unwrap();
        vars.iter().map(|var| grads.get(var).unwrap().clone()).collect()
    };
    let (got, want) = (run(DType::BF16), run(DType::F64));
    for (at, name) in ["q", "k", "v"].iter().enumerate() {
        let apart = apart(&got[at..=at], &want[at..=at]);
        assert!(apart < 2e-2, "gradient of {name}: {apart}");
    }
}

/// Logits around 25, where bf16 tells 0.125 apart.
#[test]
fn bf16_surprisal_is_f32() {
    let (rows, width, vocabulary) = (6, 64, 50);
    let random = |shape: (usize, usize), scale: f64, name: &str| {
        let mut rng = Rng::new(2, name);
        let values: Vec<f32> =
            (0..shape.0 * shape.1).map(|_| (scale * rng.normal()) as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
    };
    let (hidden, head) = (random((rows, width), 1.0, "h"), random((vocabulary, width), 3.0, "w"));
    let targets: Vec<u32> = (0..rows as u32).map(|row| row * 7).collect();
    let run = |dtype: DType| {
        let [h, w] = [&hidden, &head].map(|t| t.to_dtype(dtype).unwrap());
        let ones = vec![1.0; rows];
        ops::token_loss(Path::Composed, &h, w, &targets, &ones, None, Gradients::Hidden).unwrap()
    };
    let (got, want) = (run(DType::BF16), run(DType::F64));
    let logits = hidden.to_dtype(DType::F32).unwrap();
    let logits = logits.matmul(&head.to_dtype(DType::F32).unwrap().t().unwrap()).unwrap();
    assert!(flat(&logits).iter().copied().fold(0f32, f32::max) > 40.0, "logits are large");
    assert!(max_difference(&got.log_prob, &want.log_prob) < 1e-3);
    assert!(max_difference(&got.entropy, &want.entropy) < 1e-3);
    let gradients = [got, want].map(|loss| loss.hidden_gradient.unwrap());
    assert!(apart(&gradients[..1], &gradients[1..]) < 2e-2);
}

#[test]
fn an_empty_sequence_between_others() {
    let [_, composed] = backends();
    for model in SOME {
        let decoder = on(&composed, model);
        let mut with = Batch::new();
        let mut without = Batch::new();
        for length in [0, 7, 0, 0, 7, 4, 0] {
            let ids = ids(length, length as u64);
            with.push(&ids, &vec![1.0; length]);
            if length > 0 {
                without.push(&ids, &vec![1.0; length]);
            }
        }
        let logits = |batch: &Batch| flat(&decoder.logits(batch).unwrap());
        assert_eq!(logits(&with), logits(&without), "{model}");
        let mut decoder = on(&composed, model);
        adapter::attach(&mut decoder, &LoraConfig::lab(), 1).unwrap();
        let [(a, _), (b, _)] =
            [&with, &without].map(|batch| gradients(&decoder, batch, true, None));
        assert_eq!(a, b);
    }
    let mut nothing = Batch::new();
    nothing.push(&[], &[]);
    let decoder = on(&composed, SOME[0]);
    assert!(decoder.score(&nothing).unwrap().log_prob.is_empty());
}

/// What is copied to a GPU in a pass does not grow with the layers, nor with the sequences of a length.
#[test]
fn constants_of_a_pass_are_made_once() {
    let [_, composed] = backends();
    let made = |layers: usize, sequences: usize| {
        let config = ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: layers,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 6,
            vocab_size: 61,
            ..ModelConfig::defaults(Family::Llama)
        };
        let mut decoder = Decoder::random(&config, 1, &composed).unwrap();
        adapter::attach(&mut decoder, &LoraConfig::lab(), 1).unwrap();
        let mut batch = Batch::new();
        for at in 0..sequences {
            batch.push(&ids(12, at as u64), &[1.0; 12]);
        }
        let counted = |work: &dyn Fn()| {
            let before = ops::host_constants();
            work();
            ops::host_constants() - before
        };
        let score = counted(&|| drop(decoder.score(&batch).unwrap()));
        let gradient = counted(&|| drop(decoder.gradient(&batch, true, None).unwrap()));
        let mut cache = decoder.cache();
        decoder.prefill(&mut cache, &[&ids(5, 1)], 2).unwrap();
        let cache = std::cell::RefCell::new(cache);
        let step = counted(&|| drop(decoder.step(&mut cache.borrow_mut(), &[4, 5]).unwrap()));
        [score, gradient, step]
    };
    let few = made(2, 2);
    assert!(few.iter().all(|count| *count > 0 && *count < 16), "{few:?}");
    assert_eq!(few, made(5, 2), "more layers");
    assert_eq!(few, made(2, 9), "more sequences");
}

#[test]
fn what_is_too_large_is_refused() {
    for (shape, fits) in [
        (&[32, 8191, 8191][..], true),
        (&[32, 8192, 8192], false),
        (&[1 << 16, 1 << 16], false),
        (&[usize::MAX, 3], false),
        (&[149_796, 14_336], true),
        (&[149_797, 14_336], false),
        (&[0, 14_336], true),
    ] {
        let got = ops::check_size("the gate", shape);
        assert_eq!(got.is_ok(), fits, "{shape:?}");
        if let Err(error) = got {
            let error = error.to_string();
            assert!(error.contains("the gate") && error.contains("fewer tokens"), "{error}");
        }
    }
}

/// Greatest differences of log-probabilities between the two caches, which get the same rows and tokens.
struct Pair {
    decoders: [Decoder; 2],
    caches: [Cache; 2],
}

impl Pair {
    fn new(model: &str) -> Self {
        let decoders = backends().map(|backend| on(&backend, model));
        let caches = [decoders[0].cache(), decoders[1].cache()];
        Self { decoders, caches }
    }
    fn both(&mut self, what: &str, work: impl Fn(&Decoder, &mut Cache) -> Tensor) {
        let pairs = self.decoders.iter().zip(&mut self.caches);
        let logits: Vec<Vec<f32>> =
            pairs.map(|(decoder, cache)| flat(&work(decoder, cache))).collect();
        let difference = max_difference(&logits[0], &logits[1]);
        assert!(difference < 5e-5, "{what}: {difference}");
        assert_eq!(self.caches[0].lengths(), self.caches[1].lengths(), "{what}");
    }
    fn join(&mut self, what: &str, lengths: &[usize], samples: usize) {
        let prompts: Vec<Vec<u32>> = lengths.iter().map(|length| ids(*length, 3)).collect();
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        self.both(what, |decoder, cache| decoder.prefill(cache, &prompts, samples).unwrap());
    }
    fn steps(&mut self, what: &str, steps: usize) {
        for step in 0..steps {
            let rows = self.caches[0].lengths().len();
            let tokens: Vec<u32> =
                (0..rows).map(|row| 3 + ((row * 7 + step * 5) % 50) as u32).collect();
            self.both(&format!("{what}, step {step}"), |decoder, cache| {
                decoder.step(cache, &tokens).unwrap()
            });
        }
    }
    fn keep(&mut self, kept: &[usize]) {
        self.caches.iter_mut().for_each(|cache| cache.keep(kept).unwrap());
    }
}

/// Rows join and leave, prompts are shared, and memory grows and is cleared.
#[test]
fn memory_on_a_device_equals_memory_on_the_host() {
    for model in SOME {
        let mut pair = Pair::new(model);
        pair.join("three prompts", &[5, 2, 9], 3);
        pair.steps("three prompts", 3);
        // of the second prompt nobody stays, of the others unequally many
        pair.keep(&[0, 6, 8]);
        pair.steps("three rows", 2);
        pair.join("a longer prompt", &[14, 1], 2);
        pair.steps("seven rows", 70);
        pair.keep(&[3, 4, 5, 6]);
        pair.steps("the later ones", 3);
        pair.join("one more", &[3], 1);
        pair.steps("five rows", 2);
        pair.keep(&[4]);
        pair.steps("the last", 66);
        pair.keep(&[]);
        pair.join("anew", &[4, 4], 1);
        pair.steps("anew", 2);
    }
}

/// The choice on a device is that of the host, which has all logits: greedy, drawn from all, from the top p, from the top k.
#[test]
fn a_device_chooses_the_tokens_that_the_host_chooses() {
    let plain = Sampling { temperature: 0.9, ..Sampling::greedy(20) };
    let cases = [
        Sampling::greedy(20),
        plain.clone(),
        Sampling { top_p: Some(0.8), ..plain.clone() },
        Sampling { top_p: Some(0.9), top_k: Some(9), ..plain.clone() },
        Sampling { top_k: Some(1), ..plain },
    ];
    for model in SOME {
        let decoders = backends().map(|backend| on(&backend, model));
        let prompts = [ids(6, 1), ids(3, 2), ids(11, 3)];
        for sampling in &cases {
            let [host, device] = decoders.each_ref().map(|decoder| {
                generate(decoder, &prompts, 4, &[7, 9], sampling, |_, _, _| ()).unwrap()
            });
            for (host, device) in host.iter().flatten().zip(device.iter().flatten()) {
                assert_eq!(host.ids, device.ids, "{model}, {sampling:?}");
                assert!(max_difference(&host.log_probs, &device.log_probs) < 5e-5, "{model}");
            }
        }
    }
}

/// A vocabulary of several blocks, in which the likely tokens are far apart.
#[test]
fn draws_from_a_large_vocabulary_follow_the_probabilities() {
    let config = ModelConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 8,
        vocab_size: 20_011,
        ..ModelConfig::defaults(Family::Llama)
    };
    let decoders = backends().map(|backend| Decoder::random(&config, 1, &backend).unwrap());
    let plain = Sampling { temperature: 1.0, seed: 5, ..Sampling::greedy(6) };
    for sampling in [
        Sampling::greedy(6),
        plain.clone(),
        Sampling { top_p: Some(0.1), ..plain.clone() },
        Sampling { top_p: Some(0.999), ..plain },
    ] {
        let [host, device] = decoders.each_ref().map(|decoder| {
            generate(decoder, &[ids(4, 1)], 12, &[], &sampling, |_, _, _| ()).unwrap()
        });
        let ids = |answers: &[Vec<unforget::generate::Answer>]| -> Vec<Vec<u32>> {
            answers[0].iter().map(|answer| answer.ids.clone()).collect()
        };
        assert_eq!(ids(&host), ids(&device), "{sampling:?}");
    }
}

fn values(decoder: &Decoder) -> Vec<Tensor> {
    decoder.trainable().iter().map(|(_, var)| var.as_tensor().copy().unwrap()).collect()
}

#[test]
fn adamw_on_a_device_is_adamw_on_the_host() {
    let config = AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() };
    let batch = batch();
    let run = |backend: &Backend, stop: Option<usize>| {
        let decoder = full_on(backend, "llama-three");
        let start = |step: usize, state: &std::collections::BTreeMap<String, Tensor>| {
            let mut optimizer = AdamW::new(backend.path, decoder.trainable(), config).unwrap();
            if step > 0 {
                optimizer.restore(state, step).unwrap();
            }
            optimizer
        };
        let mut optimizer = start(0, &Default::default());
        for step in 0..6 {
            if stop == Some(step) {
                optimizer = start(step, &optimizer.state().unwrap());
            }
            let (_, gradients) = gradients(&decoder, &batch, true, None);
            optimizer.step(&gradients, 1e-2, 0.7).unwrap();
        }
        values(&decoder)
    };
    let [host, composed] = backends();
    let want = run(&host, None);
    let got = run(&composed, None);
    assert!(apart(&got, &want) < 1e-4, "{}", apart(&got, &want));
    let again = run(&composed, Some(3));
    for (a, b) in again.iter().zip(&got) {
        assert_eq!(flat(a), flat(b), "saved and restored");
    }
}

/// Steps far below what bf16 tells apart: 0.02 has neighbors 6e-5 away or more, a step is 2e-5.
#[test]
fn bf16_full_training_moves() {
    let decoder = full_on(&in_bf16(), "llama-three");
    for (_, var) in decoder.trainable() {
        var.set(&var.ones_like().unwrap().affine(0.02, 0.0).unwrap()).unwrap();
    }
    let mut optimizer =
        AdamW::new(decoder.backend().path, decoder.trainable(), AdamWConfig::default()).unwrap();
    let ones: Vec<Tensor> =
        decoder.trainable().iter().map(|(_, var)| var.ones_like().unwrap().detach()).collect();
    for _ in 0..200 {
        optimizer.step(&ones, 2e-5, 1.0).unwrap();
    }
    for (name, weight) in decoder.tensors().unwrap() {
        for value in flat(&weight.to_dtype(DType::F32).unwrap()) {
            let moved = 0.02 - value;
            assert!((moved / 4e-3 - 1.0).abs() < 0.05, "{name} moved by {moved}");
        }
    }
    // a weight in bf16 itself is refused
    let weight = Var::from_tensor(&Tensor::ones(3, DType::BF16, &Device::Cpu).unwrap()).unwrap();
    let refused = AdamW::new(Path::Composed, &[("w".into(), weight)], AdamWConfig::default());
    assert!(refused.unwrap_err().to_string().contains("f32"));
}

/// A change of a thousandth of the weights is measured, and computed with, though bf16 would lose it.
#[test]
fn a_small_change_of_bf16_weights_is_not_lost() {
    use unforget::train::{Example, Method, TrainConfig, Trainer};
    let backend = in_bf16();
    let example =
        Example { id: "one".into(), ids: ids(9, 1), weights: vec![1.0; 9], completion_tokens: 8 };
    let lora = LoraConfig { dropout: 0.0, ..LoraConfig::lab() };
    let config = TrainConfig {
        method: Method::Lora(lora),
        batch_size: 1,
        num_epochs: 3,
        learning_rate: 1e-4,
        warmup_steps: 0,
        ..TrainConfig::lab()
    };
    let examples = [example];
    let relative = |backend: &Backend| {
        let before = on(backend, "llama-three");
        let mut trainer = Trainer::new(on(backend, "llama-three"), &examples, &config).unwrap();
        while !trainer.done() {
            trainer.step().unwrap();
        }
        let relative = trainer.relative_weight_change(&before).unwrap();
        let changes = unforget::weight_change::of_models(&before, trainer.decoder()).unwrap();
        let total = unforget::weight_change::total_norm(&changes);
        let batch = batch();
        // what is graded is what was trained, to the bit
        let [merged, apart] = [&trainer.decoder().merged().unwrap(), trainer.decoder()]
            .map(|decoder| flat(&decoder.logits(&batch).unwrap()));
        if backend.dtype == DType::BF16 {
            assert_eq!(merged, apart);
            assert!(merged != flat(&before.logits(&batch).unwrap()), "the change is computed with");
        }
        (relative, total)
    };
    let (f32_change, f32_total) = relative(&backends()[0]);
    let (change, total) = relative(&backend);
    assert!(f32_change < 3e-3, "{f32_change}: the change is small");
    assert!((change / f32_change - 1.0).abs() < 0.1, "{change}, in f32 {f32_change}");
    assert!((total / f32_total - 1.0).abs() < 0.1, "{total}, in f32 {f32_total}");
}

fn root_mean_square(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

/// `tests/reference/make_bf16.py` computes the same with transformers and PEFT in bf16.
#[test]
fn bf16_is_as_near_to_f32_as_transformers_in_bf16() {
    let [host, _] = backends();
    let backend = in_bf16();
    let table = reference_json("bf16.json");
    let mut all: [Vec<f64>; 2] = Default::default();
    for model in every_model() {
        let expected = reference_json(&format!("families/{model}/expected.json"));
        let sequences: Vec<Vec<u32>> =
            serde_json::from_value(expected["sequences"].clone()).unwrap();
        let learned: Vec<Vec<bool>> = serde_json::from_value(expected["learned"].clone()).unwrap();
        let (mut batch, mut few) = (Batch::new(), Batch::new());
        let count = learned.iter().flatten().filter(|learned| **learned).count();
        for (ids, learned) in sequences.iter().zip(&learned) {
            batch.push(ids, &vec![1.0; ids.len()]);
            let weight = |learned: &bool| if *learned { 1.0 / count as f32 } else { 0.0 };
            few.push(ids, &learned.iter().map(weight).collect::<Vec<_>>());
        }
        let theirs: Vec<Vec<f64>> =
            serde_json::from_value(table[&model]["log_probs"].clone()).unwrap();
        let theirs = theirs.concat();
        let [exact, ours] = [&host, &backend].map(|b| on(b, &model).score(&batch).unwrap());
        let difference = |values: &[f64]| {
            let pairs = values.iter().zip(&exact.log_prob);
            root_mean_square(pairs.map(|(a, b)| a - f64::from(*b)))
        };
        let ours: Vec<f64> = ours.log_prob.iter().map(|l| f64::from(*l)).collect();
        let apart_by = [difference(&ours), difference(&theirs)];
        assert!(apart_by[0] < 1.5 * apart_by[1] + 5e-3, "{model}: {apart_by:?}");
        for (all, apart) in all.iter_mut().zip(apart_by) {
            all.push(apart);
        }
        let (_, want) = gradients(&adapted_on(&host, &model), &few, false, None);
        let kept = gradients(&adapted_on(&backend, &model), &few, false, None);
        let replayed = gradients(&adapted_on(&backend, &model), &few, true, None);
        assert_eq!(kept.0, replayed.0, "{model}");
        let bound = table[&model]["gradient_apart"].as_f64().unwrap();
        let ours = apart(&kept.1, &want);
        assert!(ours < 1.3 * bound + 5e-3, "{model}: gradients {ours}, PEFT's {bound}");
        assert_eq!(apart(&replayed.1, &kept.1), 0.0, "{model}");
        let loss = table[&model]["lora_loss"].as_f64().unwrap();
        assert!((kept.0 - loss).abs() < 0.05, "{model}: {} {loss}", kept.0);
    }
    let [ours, theirs] = all.map(|all| root_mean_square(all.into_iter()));
    println!("log-probabilities from f32 by {ours:.4}, those of transformers by {theirs:.4}");
    assert!(ours < theirs, "{ours} {theirs}");
}

#[test]
fn a_model_in_bf16_learns_and_answers() {
    let backend = in_bf16();
    let batch = batch();
    for model in SOME {
        for trained in [adapted_on, dora_on, full_on] {
            let decoder = trained(&backend, model);
            let mut optimizer =
                AdamW::new(backend.path, decoder.trainable(), AdamWConfig::default()).unwrap();
            let before = decoder.score(&batch).unwrap().loss;
            for _ in 0..8 {
                let (_, gradients) = gradients(&decoder, &batch, true, None);
                assert!(gradients.iter().all(|gradient| gradient.dtype() == DType::F32));
                optimizer.step(&gradients, 1e-2, 1.0).unwrap();
            }
            let after = decoder.score(&batch).unwrap().loss;
            assert!(after < 0.8 * before, "{model}: {before} to {after}");
            // what memory gives is what scoring gives, up to roundings
            let decoder = decoder.merged().unwrap();
            let sampling = Sampling { temperature: 1.0, ..Sampling::greedy(12) };
            let prompt = ids(7, 1);
            let answers =
                generate(&decoder, std::slice::from_ref(&prompt), 3, &[], &sampling, |_, _, _| ())
                    .unwrap();
            for answer in &answers[0] {
                let ids = [prompt.as_slice(), &answer.ids].concat();
                let mut weights = vec![0.0; prompt.len()];
                weights.extend(vec![1.0; answer.ids.len()]);
                let mut batch = Batch::new();
                batch.push(&ids, &weights);
                let scored = decoder.score(&batch).unwrap().log_prob;
                let apart = answer.log_probs.iter().zip(&scored).map(|(a, b)| f64::from(a - b));
                assert!(root_mean_square(apart) < 0.1, "{model}");
            }
        }
    }
}

#[test]
fn names_of_backends_differ() {
    let names: Vec<String> = ["cpu", "cpu:composed", "cpu:bf16"]
        .map(|name| open_device(name.parse::<DeviceChoice>().unwrap()).unwrap().name())
        .into();
    assert_eq!(names, ["Cpu", "Cpu composed f32", "Cpu composed bf16"]);
    assert_refused("cpu:f16".parse::<DeviceChoice>(), &["cpu:f16", "none of"]);
}
