//! What the training loop promises: masks, adapters, micro-batches, replay, going on after a stop, and what it refuses.

use crate::support::{
    assert_refused, backends, flat, in_bf16, max_difference, reference_decoder,
    reference_decoder_on,
};
use candle_core::{Device, Tensor};
use std::path::Path;
use unforget::adapter::{self, LoraConfig};
use unforget::model::{Backend, Batch, Decoder, Dropout};
use unforget::optimizer::{Schedule, global_norm};
use unforget::rng::Rng;
use unforget::train::{Example, Method, Normalizer, Step, TrainConfig, Trainer};

/// `count` sequences of 12 to 25 ids; the first five are the prompt, and about a third of the rest is masked.
fn examples(count: usize) -> Vec<Example> {
    let rng = Rng::new(5, "examples");
    let example = |at: usize| {
        let mut rng = rng.fork(at as u64);
        let length = rng.between(12, 25) as usize;
        let weight = |at: usize, rng: &mut Rng| match at {
            ..5 => 0.0,
            5 => 1.0,
            _ => *rng.choose(&[0.0, 0.5, 2.0]),
        };
        Example {
            id: format!("example-{at}"),
            ids: (0..length).map(|_| rng.between(4, 95) as u32).collect(),
            weights: (0..length).map(|at| weight(at, &mut rng)).collect(),
            completion_tokens: length - 5,
        }
    };
    (0..count).map(example).collect()
}

fn lora() -> LoraConfig {
    LoraConfig { rank: 4, alpha: 12.0, ..LoraConfig::lab() }
}

fn dora() -> LoraConfig {
    LoraConfig { dora: true, ..lora() }
}

fn methods() -> [(&'static str, Method); 3] {
    [("lora", Method::Lora(lora())), ("dora", Method::Lora(dora())), ("full", Method::Full)]
}

fn finetune(method: Method) -> TrainConfig {
    TrainConfig {
        method,
        learning_rate: 3e-3,
        schedule: Schedule::Cosine,
        warmup_steps: 1,
        num_epochs: 2,
        batch_size: 3,
        ..TrainConfig::lab()
    }
}

fn base() -> Decoder {
    reference_decoder("llama-tied")
}

/// On each backend that a test is run on: those in f32, and bf16 as on a GPU.
fn everywhere() -> Vec<Backend> {
    let mut all: Vec<Backend> = backends().into();
    all.push(in_bf16());
    all
}

fn base_on(backend: &Backend) -> Decoder {
    reference_decoder_on(backend, "llama-tied")
}

/// The tied model made trainable, one step away from its start, so that no part of it is zero.
fn trainable(backend: &Backend, method: &Method) -> Decoder {
    made_trainable(base_on(backend), method)
}

fn made_trainable(mut decoder: Decoder, method: &Method) -> Decoder {
    match method {
        Method::Lora(config) => adapter::attach(&mut decoder, config, 1).unwrap(),
        Method::Full => decoder.train_in_full().unwrap(),
    }
    let mut rng = Rng::new(9, "away");
    for (_, var) in decoder.trainable() {
        let noise = (0..var.elem_count()).map(|_| (0.02 * rng.normal()) as f32);
        let noise = Tensor::from_iter(noise, &Device::Cpu).unwrap();
        let noise = noise.reshape(var.shape()).unwrap();
        var.set(&(var.as_detached_tensor() + noise).unwrap()).unwrap();
    }
    decoder
}

fn batch(examples: &[Example]) -> Batch {
    let mut batch = Batch::new();
    for example in examples {
        batch.push(&example.ids, &example.weights);
    }
    batch
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).into_iter().map(f32::to_bits).collect()
}

fn gradients(
    decoder: &Decoder,
    batch: &Batch,
    replay: bool,
    dropout: Option<&Dropout>,
) -> Vec<Tensor> {
    let gradients = decoder.gradient(batch, replay, dropout).unwrap().gradients;
    gradients.into_iter().map(|gradient| gradient.unwrap()).collect()
}

fn gradient_bits(
    decoder: &Decoder,
    batch: &Batch,
    replay: bool,
    dropout: Option<&Dropout>,
) -> Vec<Vec<u32>> {
    gradients(decoder, batch, replay, dropout).iter().map(bits).collect()
}

/// The bits of everything that `trainer` trains.
fn state(trainer: &Trainer<'_>) -> Vec<Vec<u32>> {
    let vars = trainer.decoder().trainable().iter();
    vars.map(|(_, var)| bits(var.as_tensor())).collect()
}

fn run(trainer: &mut Trainer<'_>, steps: usize) -> Vec<Step> {
    (0..steps).map(|_| trainer.step().unwrap()).collect()
}

#[test]
fn a_masked_token_gets_no_gradient() {
    // Ids after the last learned token are targets of masked positions only, so nothing may depend on them.
    for (name, method, backend) in everywhere()
        .into_iter()
        .flat_map(|backend| methods().map(|(name, method)| (name, method, backend.clone())))
    {
        let decoder = trainable(&backend, &method);
        let mut masked = examples(2);
        let (first, rest) = masked[0].weights.split_at_mut(8);
        first[7] = 1.0;
        rest.fill(0.0);
        let mut changed = masked.clone();
        for id in &mut changed[0].ids[8..] {
            *id = 4 + (*id + 31) % 90;
        }
        let mut learned = changed.clone();
        learned[0].weights[8] = 1.0;
        for replay in [false, true] {
            let gradient =
                |examples: &[Example]| gradient_bits(&decoder, &batch(examples), replay, None);
            assert!(
                gradient(&masked) == gradient(&changed),
                "{name}, replay {replay}: a masked target counts"
            );
            assert!(
                gradient(&learned) != gradient(&changed),
                "{name}: a learned target does not count"
            );
        }
    }
}

#[test]
fn the_embedding_of_a_masked_tail_gets_a_gradient_of_exactly_zero() {
    let mut decoder = reference_decoder("llama-scaled"); // its head is not the embedding
    decoder.train_in_full().unwrap();
    let mut batch = Batch::new();
    batch.push(&[5, 6, 7, 8, 9, 10], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    for replay in [false, true] {
        let gradients = gradients(&decoder, &batch, replay, None);
        assert_eq!(decoder.trainable()[0].0, "model.embed_tokens.weight");
        let rows = gradients[0].to_vec2::<f32>().unwrap();
        for (id, row) in rows.iter().enumerate() {
            let zero = row.iter().all(|value| *value == 0.0);
            // 8 is predicted from 5, 6 and 7, and nothing after it is learned
            assert_eq!(zero, !(5..8).contains(&id), "id {id}");
        }
    }
}

/// Both reference models: the second has biases, which an update must leave alone.
const MODELS: [&str; 2] = ["llama-tied", "llama-scaled"];

#[test]
fn merged_equals_unmerged_when_alpha_is_not_rank() {
    let batch = batch(&examples(3));
    let logits = |decoder: &Decoder| flat(&decoder.logits(&batch).unwrap());
    for (name, config) in [("lora", lora()), ("dora", dora())] {
        for model in MODELS {
            let base = || reference_decoder(model);
            let decoder = made_trainable(base(), &Method::Lora(config.clone()));
            let unmerged = logits(&decoder);
            let difference = max_difference(&logits(&decoder.merged().unwrap()), &unmerged);
            assert!(difference <= 2e-5, "{name}, {model}: {difference}");
            let change = max_difference(&logits(&base()), &unmerged);
            assert!(change > 0.1, "{name}, {model}: the adapter does something ({change})");
        }
    }
}

#[test]
fn an_untrained_adapter_changes_nothing() {
    let batch = batch(&examples(3));
    for (name, config) in [("lora", lora()), ("dora", dora())] {
        for model in MODELS {
            let mut decoder = reference_decoder(model);
            let want = bits(&decoder.logits(&batch).unwrap());
            adapter::attach(&mut decoder, &config, 3).unwrap();
            assert!(bits(&decoder.logits(&batch).unwrap()) == want, "{name}, {model}");
        }
    }
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let examples = examples(6);
    for (name, method) in methods() {
        // weights as one starts with, so that a sum of f32 gradients keeps most of its digits
        let fresh = Decoder::random(&base().config, 7, &Device::Cpu).unwrap();
        let decoder = made_trainable(fresh, &method);
        let whole = gradients(&decoder, &batch(&examples), false, None);
        for size in [1, 2, 4] {
            let parts = examples.chunks(size);
            let parts: Vec<_> =
                parts.map(|part| gradients(&decoder, &batch(part), false, None)).collect();
            let sum = |at: usize| {
                parts
                    .iter()
                    .skip(1)
                    .fold(parts[0][at].clone(), |sum, part| (sum + &part[at]).unwrap())
            };
            let differences: Vec<Tensor> =
                whole.iter().enumerate().map(|(at, want)| (sum(at) - want).unwrap()).collect();
            let sizes: f64 = parts
                .iter()
                .map(|part| global_norm(unforget::ops::Path::Host, part).unwrap())
                .sum();
            let relative = global_norm(unforget::ops::Path::Host, &differences).unwrap() / sizes;
            assert!(relative <= 1e-6, "{name}, {size} at a time: {relative}");
        }
    }
    for normalizer in NORMALIZERS {
        let step = |micro_tokens: usize| {
            let config = TrainConfig {
                batch_size: 6,
                max_tokens_per_forward: micro_tokens,
                normalizer: Some(normalizer),
                ..finetune(Method::Lora(lora()))
            };
            Trainer::new(base(), &examples, &config).unwrap().step().unwrap()
        };
        let (one, many) = (step(8192), step(30));
        assert_eq!((one.tokens, one.learned), (many.tokens, many.learned));
        assert!((many.loss / one.loss - 1.0).abs() <= 1e-6, "{normalizer:?}");
        assert!((many.gradient_norm / one.gradient_norm - 1.0).abs() <= 1e-6, "{normalizer:?}");
    }
}

#[test]
fn replaying_blocks_changes_no_bit() {
    let batch = batch(&examples(3));
    let dropout = Dropout { share: 0.2, rng: Rng::new(1, "dropout") };
    for (name, method, backend) in everywhere()
        .into_iter()
        .flat_map(|backend| methods().map(|(name, method)| (name, method, backend.clone())))
    {
        let decoder = trainable(&backend, &method);
        let cases = match method {
            Method::Lora(_) => vec![None, Some(&dropout)],
            Method::Full => vec![None],
        };
        let mut seen = Vec::new();
        for dropout in cases {
            let kept = gradient_bits(&decoder, &batch, false, dropout);
            assert!(
                kept == gradient_bits(&decoder, &batch, true, dropout),
                "{name}, dropout {}",
                dropout.is_some()
            );
            assert!(!seen.contains(&kept), "{name}: dropout does nothing");
            seen.push(kept);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let batch = batch(&examples(5));
    for (name, method, backend) in everywhere()
        .into_iter()
        .flat_map(|backend| methods().map(|(name, method)| (name, method, backend.clone())))
    {
        let decoder = trainable(&backend, &method);
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gradient_bits(&decoder, &batch, false, None))
        };
        let one = with(1);
        assert!(one == with(2) && one == with(5), "{name}");
    }
}

#[test]
fn going_on_after_a_stop_gives_the_same_bits() {
    let examples = examples(7);
    let mut cases: Vec<(&str, Method)> = methods().into();
    cases.push(("lora with dropout", Method::Lora(LoraConfig { dropout: 0.1, ..lora() })));
    cases.push(("dora with dropout", Method::Lora(LoraConfig { dropout: 0.1, ..dora() })));
    for (name, method, backend) in cases.into_iter().flat_map(|(name, method)| {
        everywhere().into_iter().map(move |backend| (name, method.clone(), backend))
    }) {
        let config = TrainConfig { max_tokens_per_forward: 40, ..finetune(method) };
        let mut undisturbed = Trainer::new(base_on(&backend), &examples, &config).unwrap();
        let total = undisturbed.total();
        assert_eq!(total, 6, "two epochs of three steps, the last of a single example");
        let want = run(&mut undisturbed, total);
        for stop in [1, 3, 4] {
            let folder = tempfile::tempdir().unwrap();
            let mut first = Trainer::new(base_on(&backend), &examples, &config).unwrap();
            let mut got = run(&mut first, stop);
            first.save(folder.path()).unwrap();
            let mut second = Trainer::new(base_on(&backend), &examples, &config).unwrap();
            second.restore(folder.path()).unwrap();
            assert_eq!(second.steps(), got);
            got.extend(run(&mut second, total - stop));
            assert_eq!(got, want, "{name}, stopped after {stop}");
            assert!(state(&second) == state(&undisturbed), "{name}, stopped after {stop}: weights");
            assert!(second.done());
        }
    }
}

#[test]
fn a_saved_state_of_another_shape_is_refused() {
    let examples = examples(3);
    let folder = tempfile::tempdir().unwrap();
    let trainer = |rank: usize| {
        let config = finetune(Method::Lora(LoraConfig { rank, ..lora() }));
        Trainer::new(base(), &examples, &config).unwrap()
    };
    trainer(4).save(folder.path()).unwrap();
    assert_refused(
        trainer(2).restore(folder.path()),
        &["state.safetensors", "lora_A.weight", "[2, 32]"],
    );
    let file = folder.path().join("state.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert_refused(
        trainer(4).restore(folder.path()),
        &["state.safetensors", "not a whole safetensors file"],
    );
    assert_refused(
        trainer(4).restore(Path::new("nowhere")),
        &["nowhere", "reading the training's state"],
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let examples = examples(7);
    let train = |method: &Method, seed: u64| {
        let config = TrainConfig { seed, ..finetune(method.clone()) };
        let mut trainer = Trainer::new(base(), &examples, &config).unwrap();
        run(&mut trainer, 3);
        let folder = tempfile::tempdir().unwrap();
        trainer.save(folder.path()).unwrap();
        ["state.safetensors", "steps.json"]
            .map(|file| std::fs::read(folder.path().join(file)).unwrap())
    };
    for (name, method) in methods() {
        let first = train(&method, 1);
        assert!(first == train(&method, 1), "{name}: the same seed");
        let other = train(&method, 2);
        assert!(first[0] != other[0] && first[1] != other[1], "{name}: another seed");
    }
}

#[test]
fn every_epoch_reads_every_example_once_in_an_order_of_its_own() {
    let examples = examples(7);
    let config = TrainConfig { num_epochs: 3, batch_size: 1, ..finetune(Method::Lora(lora())) };
    let mut trainer = Trainer::new(base(), &examples, &config).unwrap();
    assert_eq!(trainer.total(), 21);
    let steps = run(&mut trainer, 21);
    let mut epochs: Vec<Vec<usize>> =
        steps.chunks(7).map(|epoch| epoch.iter().map(|step| step.tokens).collect()).collect();
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "{epochs:?}");
    let mut lengths: Vec<usize> = examples.iter().map(|example| example.ids.len()).collect();
    lengths.sort();
    for epoch in &mut epochs {
        epoch.sort();
        assert_eq!(*epoch, lengths);
    }
}

const NORMALIZERS: [Normalizer; 4] =
    [Normalizer::Kept, Normalizer::Completion, Normalizer::Weights, Normalizer::Batch];

#[test]
fn normalizers_divide_one_sum_by_four_numbers() {
    let examples = examples(4);
    let weights = || examples.iter().flat_map(|example| &example.weights);
    let divisors = [
        weights().filter(|weight| **weight != 0.0).count() as f64,
        examples.iter().map(|example| example.completion_tokens as f64).sum(),
        weights().map(|weight| f64::from(*weight)).sum(),
        examples.len() as f64,
    ];
    // the sum itself, from scores rather than from a trainer
    let scored = base().score(&batch(&examples)).unwrap();
    let kept = weights().filter(|weight| **weight != 0.0);
    let sum: f64 =
        kept.zip(&scored.log_prob).map(|(weight, log_prob)| -f64::from(weight * log_prob)).sum();
    let mut norms = Vec::new();
    for (normalizer, divisor) in NORMALIZERS.into_iter().zip(divisors) {
        let config = TrainConfig {
            batch_size: 4,
            normalizer: Some(normalizer),
            ..finetune(Method::Lora(lora()))
        };
        let step = Trainer::new(base(), &examples, &config).unwrap().step().unwrap();
        assert!(
            (step.loss * divisor / sum - 1.0).abs() <= 1e-6,
            "{normalizer:?}: {} · {divisor}, not {sum}",
            step.loss
        );
        assert_eq!(step.learned as f64, divisors[0]);
        norms.push(step.gradient_norm * divisor);
    }
    for norm in &norms {
        assert!((norm / norms[0] - 1.0).abs() <= 1e-6, "{norms:?}");
    }
    let mut different = divisors.to_vec();
    different.dedup();
    assert_eq!(different.len(), 4, "{divisors:?} cannot tell the normalizers apart");
}

#[test]
fn clipping_and_the_schedule_make_the_step() {
    let examples = examples(3);
    let config = TrainConfig { max_grad_norm: Some(1e-3), ..finetune(Method::Lora(lora())) };
    let mut trainer = Trainer::new(base(), &examples, &config).unwrap();
    let before = state(&trainer);
    let first = trainer.step().unwrap();
    assert_eq!(first.learning_rate, 0.0, "the warm-up starts at 0, as in transformers");
    assert!(first.gradient_norm > 1e-3, "reported before clipping");
    assert!(state(&trainer) == before, "a rate of 0 moves nothing");
    let second = trainer.step().unwrap();
    assert_eq!(second.learning_rate, config.learning_rate);
    assert!(state(&trainer) != before);
}

#[test]
fn training_lowers_the_loss() {
    let examples = examples(3);
    for (name, method) in methods() {
        let config = TrainConfig { num_epochs: 12, learning_rate: 1e-2, ..finetune(method) };
        let mut trainer = Trainer::new(base(), &examples, &config).unwrap();
        let total = trainer.total();
        let steps = run(&mut trainer, total);
        let (first, last) = (steps[0].loss, steps[total - 1].loss);
        assert!(last < 0.7 * first, "{name}: from {first} to {last}");
        assert!(trainer.relative_weight_change(&base()).unwrap() > 1e-3, "{name}");
    }
}

#[test]
fn frozen_weights_stay_and_are_not_trained() {
    let examples = examples(3);
    let config = finetune(Method::Lora(lora()));
    let mut trainer = Trainer::new(base(), &examples, &config).unwrap();
    run(&mut trainer, 2);
    for (name, _) in trainer.decoder().trainable() {
        assert!(name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight"), "{name}");
    }
    let base = base();
    for ((name, tuned), (_, before)) in trainer.decoder().projections().zip(base.projections()) {
        assert!(!tuned.weight.is_variable(), "{name}");
        assert!(
            bits(&tuned.weight.dense().unwrap()) == bits(&before.weight.dense().unwrap()),
            "{name}"
        );
    }
}

#[test]
fn only_named_modules_are_adapted() {
    let examples = examples(3);
    let config = LoraConfig { target_modules: vec!["q_proj".into(), "down_proj".into()], ..lora() };
    let mut trainer = Trainer::new(base(), &examples, &finetune(Method::Lora(config))).unwrap();
    run(&mut trainer, 2);
    let names: Vec<&String> = trainer.decoder().trainable().iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 8, "A and B of two layers in two blocks: {names:?}");
    assert!(names.iter().all(|name| name.contains("q_proj") || name.contains("down_proj")));
}

#[test]
fn nothing_to_learn_is_refused() {
    let mut masked = examples(3);
    for example in &mut masked {
        example.weights[1..].fill(0.0);
        example.weights[0] = 1.0; // the first token has no context, so it is never learned
    }
    let config = finetune(Method::Full);
    assert_refused(
        Trainer::new(base(), &masked, &config),
        &["every token of all 3 examples is masked", "raise the threshold"],
    );
    assert_refused(Trainer::new(base(), &[], &config), &["training data", "holds no example"]);
}

#[test]
fn examples_without_a_learned_token_are_left_out_and_named() {
    let mut some = examples(5);
    for at in [1, 4] {
        some[at].weights.fill(0.0);
    }
    let config = TrainConfig { batch_size: 2, ..finetune(Method::Full) };
    let mut trainer = Trainer::new(base(), &some, &config).unwrap();
    assert_eq!(trainer.left_out(), ["example-1", "example-4"]);
    assert_eq!(trainer.total(), 4, "two epochs of three examples, two at a time");
    let read: usize = run(&mut trainer, 2).iter().map(|step| step.tokens).sum();
    let kept = [0, 2, 3].map(|at: usize| some[at].ids.len());
    assert_eq!(read, kept.iter().sum::<usize>());
}

#[test]
fn examples_that_do_not_fit_are_refused_by_name() {
    let config = finetune(Method::Lora(lora()));
    let mut short = examples(3);
    short[1].weights.pop();
    let length = short[1].ids.len();
    let want = format!("{} weights for {length} tokens", length - 1);
    assert_refused(Trainer::new(base(), &short, &config), &["example-1", &want]);
    let mut foreign = examples(3);
    foreign[2].ids[1] = 96;
    assert_refused(Trainer::new(base(), &foreign, &config), &["example-2", "96", "vocabulary"]);
}

#[test]
fn a_loss_that_is_no_number_stops_and_names_step_and_items() {
    let examples = examples(3);
    let mut poisoned = base();
    let (_, projection) = poisoned.projections_mut().nth(9).unwrap();
    let shape = projection.weight.dims2().unwrap();
    projection.weight = Tensor::full(f32::NAN, shape, &Device::Cpu).unwrap().into();
    let config = TrainConfig { batch_size: 2, ..finetune(Method::Lora(lora())) };
    let mut trainer = Trainer::new(poisoned, &examples, &config).unwrap();
    let before = state(&trainer);
    assert_refused(
        trainer.step(),
        &["stopped at step 1", "the loss is NaN", "example-", "learning rate"],
    );
    assert!(trainer.steps().is_empty() && state(&trainer) == before, "nothing is changed");

    // later: a weight of the example breaks the second step only
    let mut broken = examples.clone();
    broken[0].weights[5] = f32::INFINITY;
    let config =
        TrainConfig { batch_size: 1, num_epochs: 1, normalizer: Some(Normalizer::Batch), ..config };
    let mut trainer = Trainer::new(base(), &broken, &config).unwrap();
    let (mut taken, mut stopped) = (0, None);
    while stopped.is_none() && !trainer.done() {
        match trainer.step() {
            Ok(_) => taken += 1,
            Err(error) => stopped = Some(error.to_string()),
        }
    }
    let stopped = stopped.expect("an infinite loss stops the training");
    assert!(stopped.contains(&format!("stopped at step {}", taken + 1)), "{stopped}");
    assert!(stopped.contains("example-0") && stopped.contains("inf"), "{stopped}");
    assert_eq!(trainer.steps().len(), taken);
}

#[test]
fn gradients_that_are_all_zero_stop_the_first_step() {
    let mut empty = base();
    for (_, projection) in empty.projections_mut() {
        projection.weight = projection.weight.dense().unwrap().zeros_like().unwrap().into();
    }
    let examples = examples(3);
    let mut trainer = Trainer::new(empty, &examples, &finetune(Method::Lora(lora()))).unwrap();
    assert_refused(trainer.step(), &["stopped at step 1", "all gradients are zero"]);
}

#[test]
fn values_that_make_no_sense_are_refused_by_name() {
    let examples = examples(3);
    let good = || finetune(Method::Lora(lora()));
    let check = |config: TrainConfig, parts: &[&str]| {
        assert_refused(Trainer::new(base(), &examples, &config), parts)
    };
    for rate in [f64::NAN, 0.0, -1e-3, f64::INFINITY] {
        check(
            TrainConfig { learning_rate: rate, ..good() },
            &["learning_rate", "above 0", &rate.to_string()],
        );
    }
    check(TrainConfig { num_epochs: 0, ..good() }, &["num_epochs", "at least 1"]);
    check(TrainConfig { batch_size: 0, ..good() }, &["batch_size", "at least 1"]);
    check(
        TrainConfig { max_tokens_per_forward: 0, ..good() },
        &["max_tokens_per_forward", "at least 1"],
    );
    for clip in [0.0, -1.0, f64::NAN] {
        check(TrainConfig { max_grad_norm: Some(clip), ..good() }, &["max_grad_norm", "above 0"]);
    }
    let with = |config: LoraConfig| finetune(Method::Lora(config));
    check(with(LoraConfig { rank: 0, ..lora() }), &["rank", "at least 1"]);
    check(with(LoraConfig { dropout: 1.0, ..lora() }), &["dropout", "below 1"]);
    check(with(LoraConfig { alpha: f64::NAN, ..lora() }), &["alpha"]);
    let lost = vec!["q_proj".into(), "qkv".into()];
    check(
        with(LoraConfig { target_modules: lost, ..lora() }),
        &["target_modules", "`qkv`", "down_proj"],
    );
}

#[test]
fn a_second_adapter_on_top_is_refused() {
    let examples = examples(3);
    let config = finetune(Method::Lora(lora()));
    let adapted = || trainable(&backends()[0], &config.method);
    assert_refused(Trainer::new(adapted(), &examples, &config), &["adapter", "merge it first"]);
    let merged = adapted().merged().unwrap();
    let mut trainer = Trainer::new(merged, &examples, &config).unwrap();
    trainer.step().unwrap();
}
