//! What is looked at while a model is trained, what ends a training, and adapters put on in part.

use crate::support::{
    assert_refused, flat, killed_at, max_difference, python_with, reference_decoder, run_python,
};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::adapter::{self, LoraConfig};
use unforget::answers::Task;
use unforget::context::Context;
use unforget::dataset::{Example as Conversation, read_items};
use unforget::model::{Batch, Checkpoint, DeviceChoice};
use unforget::probe::{Log, ProbeExample, ProbeSet, Role, Row, Watch, WhenForgotten};
use unforget::progress::Progress;
use unforget::rng::Rng;
use unforget::store::Store;
use unforget::task::Item;
use unforget::tokens::{TooLong, sequences};
use unforget::train::{Example, Method, Step, TrainConfig};
use unforget::verbs::{self, Training};

fn context(folder: &Path) -> Context {
    context_on(folder, DeviceChoice::Cpu)
}

fn context_on(folder: &Path, device: DeviceChoice) -> Context {
    let store = Store::open(folder).unwrap();
    Context::new(store, device, Progress::quiet()).unwrap()
}

fn lab() -> Checkpoint {
    Checkpoint::open(unforget::lab::folder().unwrap().join("model")).unwrap()
}

fn items(task: &str, split: &str, count: usize) -> Vec<Item> {
    let file = unforget::lab::folder().unwrap().join(task).join(format!("{split}.jsonl"));
    let mut items = read_items(&file).unwrap();
    items.truncate(count);
    items
}

/// Training data of the lab, and a watch over its own examples, the target and one other task.
fn material(cx: &Context) -> (Vec<Example>, Watch) {
    let base = lab();
    let tokenizer = cx.tokenizer(&base).unwrap();
    let context = base.config().unwrap().max_position_embeddings;
    let conversations: Vec<Conversation> =
        items("code", "train", 24).iter().map(Conversation::from).collect();
    let rendered =
        sequences(&tokenizer, &conversations, context, TooLong::Refuse).unwrap().sequences;
    let data = rendered.iter().map(|sequence| Example {
        id: sequence.id.clone(),
        ids: sequence.ids.clone(),
        weights: sequence
            .completion
            .as_slice()
            .iter()
            .map(|learned| f32::from(u8::from(*learned)))
            .collect(),
        completion_tokens: sequence.completion.learned(),
    });
    let training = ProbeSet {
        scored: rendered[..8]
            .iter()
            .map(|sequence| ProbeExample::new(sequence, &sequence.classes(&tokenizer)))
            .collect(),
        ..ProbeSet::new("training", Role::Training)
    };
    let graded = |task: &str, role, count| {
        let items = items(task, "validation", count);
        ProbeSet::of_items(task, role, &items, &tokenizer, context, false).unwrap()
    };
    let sets = vec![training, graded("code", Role::Target, 5), graded("word", Role::NonTarget, 10)];
    (data.collect(), Watch { sets, every: 3, ..Watch::default() })
}

fn config() -> TrainConfig {
    TrainConfig {
        num_epochs: 4,
        batch_size: 8,
        learning_rate: 1e-2,
        warmup_steps: 1,
        ..TrainConfig::lab()
    }
}

fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn probes_are_looked_at_and_a_budget_of_forgetting_ends_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(&folder.path().join("store"));
    let (data, watch) = material(&cx);
    let (config, log) = (config(), folder.path().join("log"));
    let train = |cx: &Context, watch: &Watch, log: Option<&Path>| {
        let training = Training { watch: Some(watch), log, ..Training::new(&data, &config) };
        verbs::train(cx, &lab(), "watched", &training).unwrap()
    };
    let tuned = train(&cx, &watch, Some(&log));
    assert_eq!(tuned.steps.len(), 12);
    let steps: Vec<usize> = tuned.probes.iter().map(|row| row.step).step_by(3).collect();
    assert_eq!(steps, [0, 3, 6, 9, 12], "the base, every third step, and the last");
    let of = |probe: &str| -> Vec<&Row> {
        tuned.probes.iter().filter(|row| row.probe == probe).collect()
    };
    let training = of("training");
    assert!(training[0].kl.unwrap().abs() < 1e-6, "the base does not diverge from itself");
    assert!(
        training[4].kl.unwrap() > 0.01 && training[4].loss.unwrap() < training[0].loss.unwrap()
    );
    for row in &tuned.probes {
        let tokens: usize = row.classes.values().map(|class| class.tokens).sum();
        let mean = row.classes.values().map(|class| class.tokens as f64 * class.loss).sum::<f64>()
            / tokens as f64;
        assert!((mean - row.loss.unwrap()).abs() < 1e-9, "classes are parts of the whole");
        assert!(
            row.classes.contains_key("end_of_turn") && row.classes.len() >= 3,
            "{:?}",
            row.classes
        );
        assert_eq!(
            (row.score.is_some(), row.kl.is_some()),
            (row.role != Role::Training, row.role == Role::Training)
        );
    }
    // watching changes nothing of what is trained
    let plain = verbs::train(&cx, &lab(), "plain", &Training::new(&data, &config)).unwrap();
    assert_eq!(plain.steps, tuned.steps);
    let bytes = |checkpoint: &Checkpoint| {
        std::fs::read(checkpoint.adapter.as_ref().unwrap().join("adapter_model.safetensors"))
            .unwrap()
    };
    assert!(bytes(&plain.checkpoint) == bytes(&tuned.checkpoint));
    // a finished training that is asked for again writes the same log
    let again = folder.path().join("again");
    assert_eq!(train(&cx, &watch, Some(&again)), tuned);
    assert!(read(&log) == read(&again));
    assert_eq!(
        read(&log).keys().collect::<Vec<_>>(),
        ["events.out.tfevents.0.unforget", "probes.jsonl", "steps.jsonl"]
    );
    let lines = |name: &str| String::from_utf8(read(&log)[name].clone()).unwrap().lines().count();
    assert_eq!((lines("steps.jsonl"), lines("probes.jsonl")), (12, 15));

    // a budget: whatever is lost on `word` at some look is too much
    let lost: Vec<f64> = of("word")
        .iter()
        .map(|row| 100.0 * (of("word")[0].score.unwrap() - row.score.unwrap()))
        .collect();
    let worst = lost.iter().copied().fold(0.0, f64::max);
    assert!(worst > 0.0, "this rate forgets: {lost:?}");
    let at_most = worst - 1.0;
    let first = lost.iter().position(|lost| *lost > at_most).unwrap();
    for when_forgotten in [WhenForgotten::Stop, WhenForgotten::RollBack] {
        let watch = Watch { forget_at_most: Some(at_most), when_forgotten, ..watch.clone() };
        let ended = train(&cx, &watch, None);
        let stopped = ended.stopped.as_ref().expect("the budget is spent");
        assert_eq!((stopped.step, stopped.probe.as_str()), (3 * first, "word"));
        assert_eq!(ended.steps, tuned.steps[..3 * first], "what was done stays on record");
        let back_to = 3 * (first - 1);
        assert_eq!(stopped.back_to, (when_forgotten == WhenForgotten::RollBack).then_some(back_to));
        // the model is the one of that step: it scores there as it did then
        let step = stopped.back_to.unwrap_or(stopped.step);
        let want = of("word").iter().find(|row| row.step == step).unwrap().score.unwrap();
        let tasks = [Task::new("word", items("word", "validation", 10))];
        let sampling = unforget::generate::Sampling::greedy(128);
        let graded = verbs::ask(&cx, &ended.checkpoint, "after", &tasks, &sampling).unwrap();
        let got = graded[0].iter().map(|row| row.score.value).sum::<f64>() / 10.0;
        assert!((got - want).abs() < 1e-12, "{when_forgotten:?}: {got} {want}");
    }
    // a share of the work leaves looks out, never the first and the last
    let tuned = train(&cx, &Watch { share: Some(0.05), every: 1, ..watch.clone() }, None);
    let looks: Vec<usize> = tuned.probes.iter().map(|row| row.step).step_by(3).collect();
    assert!(looks.len() < 8 && looks[0] == 0 && looks.last() == Some(&12), "{looks:?}");
}

/// The program, in a store of its own.
/// The whole verb by the path of a GPU: in f32 it finds what the fused operators find, in bf16 what is near.
#[test]
fn a_training_finds_the_same_on_every_backend() {
    let folder = tempfile::tempdir().unwrap();
    let lora = config().method;
    for method in [lora, Method::Full] {
        let in_full = method == Method::Full;
        let rate = if in_full { 1e-3 } else { 1e-2 };
        let config = TrainConfig {
            method,
            learning_rate: rate,
            num_epochs: 1,
            batch_size: 4,
            max_tokens_per_forward: 256,
            gradient_checkpointing: true,
            ..config()
        };
        let choices = [DeviceChoice::Cpu, DeviceChoice::CpuComposed, DeviceChoice::CpuBf16];
        let found = choices.map(|choice| {
            // one store for all: each backend has entries of its own
            let cx = context_on(&folder.path().join("store"), choice);
            let (data, mut watch) = material(&cx);
            watch.sets.pop();
            watch.max_new_tokens = 24;
            let training = Training { watch: Some(&watch), ..Training::new(&data[..8], &config) };
            let tuned = verbs::train(&cx, &lab(), "backend", &training).unwrap();
            // what was written computes what the last look found
            let model = cx.open(&tuned.checkpoint).unwrap();
            let mut batch = Batch::new();
            for example in &watch.sets[0].scored {
                let of_answer = |class: &Option<_>| if class.is_some() { 1.0 } else { 0.0 };
                batch.push(&example.ids, &example.class.iter().map(of_answer).collect::<Vec<_>>());
            }
            let scored = model.decoder.score(&batch).unwrap().log_prob;
            let loss = -scored.iter().map(|l| f64::from(*l)).sum::<f64>() / scored.len() as f64;
            let last = tuned.probes.iter().rfind(|row| row.probe == "training").unwrap();
            assert!((loss - last.loss.unwrap()).abs() < 1e-3, "{choice:?}: {loss}, {last:?}");
            tuned
        });
        let [host, composed, bf16] = &found;
        assert!(host.checkpoint != composed.checkpoint && host.checkpoint != bf16.checkpoint);
        for (other, bound) in [(composed, 2e-3), (bf16, 0.1)] {
            for (a, b) in host.probes.iter().zip(&other.probes) {
                let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() < bound * (1.0 + a.abs()),
                    (a, b) => a == b,
                };
                assert!(near(a.loss, b.loss) && near(a.kl, b.kl), "{a:?}, {b:?}");
            }
            let ratio = other.relative_weight_change / host.relative_weight_change;
            assert!((ratio - 1.0).abs() < bound, "{in_full}: {ratio}");
        }
    }
}

fn finetune_command(folder: &Path, log: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
    let lab = unforget::lab::folder().unwrap();
    command
        .arg("--store")
        .arg(folder.join("store"))
        .args([
            "finetune",
            "--model",
            "lab",
            "--limit",
            "24",
            "--num-epochs",
            "4",
            "--batch-size",
            "8",
            "--quiet",
        ])
        .arg("--data")
        .arg(lab.join("code/train.jsonl"))
        .args([
            "--target-probe",
            "code=lab",
            "--probe",
            "word=lab",
            "--probe-items",
            "4",
            "--probe-every",
            "2",
        ])
        .args(["--kl", "0.05", "--kl-top", "20", "--objective", "psft:0.28:4", "--dropout", "0.1"])
        .args(["--forget-at-most", "90", "--when-forgotten", "roll-back"])
        .arg("--log")
        .arg(log)
        .arg("--out")
        .arg(folder.join("adapter"));
    command
}

#[test]
fn a_killed_training_goes_on_to_the_same_bytes() {
    let undisturbed = tempfile::tempdir().unwrap();
    let log = undisturbed.path().join("log");
    let output = finetune_command(undisturbed.path(), &log).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("probe") && table.contains("word"), "{table}");
    let (want_log, want) = (read(&log), read(&undisturbed.path().join("adapter")));

    let killed = tempfile::tempdir().unwrap();
    let log = killed.path().join("log");
    for point in ["step 1", "checkpoint 5", "step 8"] {
        killed_at(finetune_command(killed.path(), &log), point);
    }
    let output = finetune_command(killed.path(), &log).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(read(&log) == want_log, "the log");
    assert!(read(&killed.path().join("adapter")) == want, "the adapter");
}

#[test]
fn options_of_watching_that_make_no_sense_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = unforget::lab::folder().unwrap().join("code/train.jsonl");
    for (options, part) in [
        ("--probe word", "`word` is not NAME=FILE"),
        ("--probe word=nowhere.jsonl", "nowhere.jsonl"),
        ("--forget-at-most 2", "name one with --probe"),
        ("--target-probe code=lab --forget-at-most 2", "beside the target"),
        ("--probe word=lab --probe-share 2", "probe_share"),
        ("--probe word=lab --probe-items 0", "--probe-items"),
        ("--when-forgotten roll-back", "--forget-at-most"),
        ("--kl-top 5", "--kl"),
        ("--objective dpo", "`dpo` is none of"),
        ("--l2-sp 0.1 --dora", "DoRA"),
        ("--weight-decay -1", "weight_decay"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
        command.arg("--store").arg(folder.path().join("store"));
        command.args(["finetune", "--model", "lab", "--limit", "4"]).args(options.split(' '));
        command.arg("--data").arg(&data).arg("--out").arg(folder.path().join("adapter"));
        let output = command.output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && problem.contains(part), "{options}: {problem}");
    }
}

fn step(loss: f64) -> Step {
    Step {
        loss,
        gradient_norm: 0.5,
        learning_rate: 1e-3,
        tokens: 100,
        learned: 50,
        kl: Some(0.25),
        squared_distance: None,
        churn: Some(0.125),
    }
}

fn row(step: usize, score: f64) -> Row {
    Row {
        step,
        probe: "word".into(),
        role: Role::NonTarget,
        examples: 4,
        loss: Some(1.5),
        classes: BTreeMap::from([(
            "numbers".to_string(),
            unforget::probe::ClassLoss { tokens: 3, loss: 0.75 },
        )]),
        kl: None,
        score: Some(score),
        skill: Some(1.0),
        form: None,
    }
}

/// Scalars of an event file as (step, tag, value), read by a decoder that shares nothing with the writer: lengths and fields as the formats'
/// descriptions have them, checksums left to the other reader.
fn scalars(bytes: &[u8]) -> Vec<(u64, String, f32)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    /// Number, wire type and content of each field.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let length = match key & 7 {
                0 => {
                    let value = varint(&mut bytes);
                    fields.push((key >> 3, value.to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => varint(&mut bytes) as usize,
                other => panic!("wire type {other}"),
            };
            let (content, rest) = bytes.split_at(length);
            fields.push((key >> 3, content.to_vec()));
            bytes = rest;
        }
        fields
    }
    let (mut found, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = fields(&rest[12..12 + length]);
        rest = &rest[16 + length..];
        let step = event.iter().find(|(number, _)| *number == 2);
        let step = step.map_or(0, |(_, value)| u64::from_le_bytes(value[..].try_into().unwrap()));
        for (_, summary) in event.iter().filter(|(number, _)| *number == 5) {
            for (_, value) in fields(summary) {
                let value = fields(&value);
                let tag = String::from_utf8(value[0].1.clone()).unwrap();
                found.push((step, tag, f32::from_le_bytes(value[1].1[..].try_into().unwrap())));
            }
        }
    }
    found
}

#[test]
fn an_event_file_is_read_back_here_and_by_tensorboard() {
    let folder = tempfile::tempdir().unwrap();
    let (steps, rows) = ([step(2.0), step(1.0)], [row(0, 0.5), row(2, 0.25)]);
    // one that grows, and one that is opened later
    let mut log = Log::open(folder.path(), &[], &[]).unwrap();
    log.rows(&rows[..1]).unwrap();
    log.step(&steps[0]).unwrap();
    log.step(&steps[1]).unwrap();
    log.rows(&rows[1..]).unwrap();
    let later = tempfile::tempdir().unwrap();
    Log::open(later.path(), &steps, &rows).unwrap();
    assert!(read(folder.path()) == read(later.path()));
    let found = scalars(&read(folder.path())["events.out.tfevents.0.unforget"]);
    let has = |step, tag: &str, value| {
        assert!(found.contains(&(step, tag.to_string(), value)), "{tag}: {found:?}")
    };
    has(1, "train/loss", 2.0);
    has(2, "train/loss", 1.0);
    has(2, "train/kl", 0.25);
    has(1, "train/churn", 0.125);
    has(0, "probe/word/score", 0.5);
    has(2, "probe/word/score", 0.25);
    has(2, "probe/word/loss_of_numbers", 0.75);
    assert!(
        !found.iter().any(|(_, tag, _)| tag.ends_with("squared_distance") || tag.ends_with("form"))
    );
    let Some(python) = python_with("tensorboard") else {
        return;
    };
    let script = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
for tag in events.Tags()['scalars']:
    for event in events.Scalars(tag):
        print(json.dumps([event.step, tag, event.value]))
";
    let read = run_python(&python, script, &serde_json::Value::Null, &[folder.path()]);
    assert_eq!(read.len(), found.len());
    for (step, tag, value) in &found {
        assert!(read.contains(&serde_json::json!([step, tag, value])), "{tag} at {step}: {read:?}");
    }
}

#[test]
fn watches_that_make_no_sense_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let (_, good) = material(&cx);
    good.check().unwrap();
    let check = |watch: Watch, parts: &[&str]| assert_refused(watch.check(), parts);
    check(Watch { every: 0, ..good.clone() }, &["probe_every", "at least 1"]);
    check(Watch { share: Some(1.0), ..good.clone() }, &["probe_share", "below 1"]);
    check(Watch { forget_at_most: Some(-1.0), ..good.clone() }, &["forget_at_most"]);
    let target = Watch { sets: good.sets[..2].to_vec(), ..good.clone() };
    check(Watch { forget_at_most: Some(1.0), ..target }, &["forget_at_most", "beside the target"]);
    let twice = [good.sets.clone(), good.sets[..1].to_vec()].concat();
    check(Watch { sets: twice, ..good.clone() }, &["two of them are called training"]);
    let mut bad = good.clone();
    bad.sets[0].name = "a/b".into();
    check(bad, &["name of a probe set", "a/b"]);
    let mut bad = good;
    bad.sets[0].scored.clear();
    check(bad, &["training", "no example"]);
}

/// An adapter of the reference model on disk, far from its start, and the batch it is looked at with.
fn adapter_of(config: &LoraConfig, folder: &Path) -> PathBuf {
    let mut decoder = reference_decoder("llama-tied");
    adapter::attach(&mut decoder, config, 1).unwrap();
    let mut rng = Rng::new(9, "away");
    for (_, var) in decoder.trainable() {
        let noise = (0..var.elem_count()).map(|_| (0.05 * rng.normal()) as f32);
        let noise = Tensor::from_iter(noise, &Device::Cpu).unwrap().reshape(var.shape()).unwrap();
        var.set(&(var.as_detached_tensor() + noise).unwrap()).unwrap();
    }
    adapter::save(&decoder, config, "llama-tied", folder).unwrap();
    folder.to_path_buf()
}

#[test]
fn a_scaled_adapter_interpolates_the_weights() {
    let lora = LoraConfig { rank: 4, alpha: 12.0, ..LoraConfig::lab() };
    for dora in [false, true] {
        let config = LoraConfig { dora, ..lora.clone() };
        let folder = tempfile::tempdir().unwrap();
        let adapter = adapter_of(&config, folder.path());
        let base = reference_decoder("llama-tied");
        let mut tuned = reference_decoder("llama-tied");
        adapter::load(&mut tuned, &adapter).unwrap();
        let whole = tuned.merged().unwrap();
        let weights = |decoder: &unforget::model::Decoder| -> Vec<f32> {
            decoder
                .projections()
                .flat_map(|(_, projection)| flat(&projection.weight.dense().unwrap()))
                .collect()
        };
        let (from, to) = (weights(&base), weights(&whole));
        for scale in [0.0, 0.25, 0.5, 1.0, 1.5] {
            let scaled = tuned.merged_by(scale, &base).unwrap();
            let want: Vec<f32> =
                from.iter().zip(&to).map(|(a, b)| a + (scale as f32) * (b - a)).collect();
            assert!(max_difference(&weights(&scaled), &want) <= 1e-6, "dora {dora}, {scale}");
        }
        let mut batch = Batch::new();
        batch.push(&[5, 6, 7, 8, 9], &[1.0; 5]);
        let at = |scale: f64| flat(&tuned.merged_by(scale, &base).unwrap().logits(&batch).unwrap());
        assert!(max_difference(&at(0.0), &flat(&base.logits(&batch).unwrap())) == 0.0);
        assert!(max_difference(&at(1.0), &flat(&whole.logits(&batch).unwrap())) <= 1e-5);
        assert!(max_difference(&at(0.5), &at(1.0)) > 1e-2);
    }
}

#[test]
fn the_front_runs_from_the_base_to_the_tuned_model() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let (data, _) = material(&cx);
    let config = TrainConfig {
        method: Method::Lora(LoraConfig { dora: true, ..LoraConfig::lab() }),
        num_epochs: 1,
        ..config()
    };
    let tuned =
        verbs::train(&cx, &lab(), "front", &Training::new(&data, &config)).unwrap().checkpoint;
    let tasks = [Task::new("word", items("word", "validation", 4))];
    let sampling = unforget::generate::Sampling::greedy(64);
    let front =
        verbs::ask_at_scales(&cx, &tuned, "front", &tasks, &sampling, &[0.0, 0.5, 1.0]).unwrap();
    let alone =
        |checkpoint: &Checkpoint| verbs::ask(&cx, checkpoint, "alone", &tasks, &sampling).unwrap();
    assert_eq!(front[0], (0.0, alone(&lab())));
    assert_eq!(front[2], (1.0, alone(&tuned)));
    assert_eq!(front[1], (0.5, alone(&tuned.scaled(0.5).unwrap())));
    let adapter = tuned.adapter.as_ref().unwrap();
    let command = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
        command.arg("--store").arg(folder.path());
        command.args(["evaluate", "--model", "lab", "--task", "word", "--limit", "4"]);
        command.arg("--adapter").arg(adapter).args(options);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (done, table, problem) = command(&["--adapter-scale", "0,0.5,1"]);
    assert!(done, "{problem}");
    let scales: Vec<&str> =
        table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(scales, ["0", "0.5", "1"], "{table}");
    for (options, parts) in [
        (&["--adapter-scale", "-1"][..], "at least 0"),
        (&["--adapter-scale", "0,1", "--out", "answers"][..], "give one --adapter-scale"),
    ] {
        let (done, _, problem) = command(options);
        assert!(!done && problem.contains(parts), "{problem}");
    }
    assert_refused(lab().scaled(0.5), &["adapter_scale", "no adapter"]);
    for scale in [-0.5, f64::NAN, f64::INFINITY] {
        assert_refused(tuned.scaled(scale), &["adapter_scale", "at least 0"]);
    }
    let text = serde_json::to_string(&tuned).unwrap();
    assert!(
        !text.contains("adapter_scale"),
        "a checkpoint without a scale is written as it always was: {text}"
    );
}
