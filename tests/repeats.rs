//! What is counted as one of n may count once only: seeds, items, tasks, rates, thresholds, scales and ledgers that stand there twice are
//! refused by name, before anything is computed; and trainings kept by epoch go on where they were stopped.

use crate::support::assert_refused;
use std::path::Path;
use std::process::Command;
use unforget::answers::{Task, Tasks};
use unforget::context::Context;
use unforget::dataset::Example as Conversation;
use unforget::experiment::Recipe;
use unforget::generate::Sampling;
use unforget::model::{Checkpoint, DeviceChoice};
use unforget::progress::Progress;
use unforget::scored::{Rendering, Scored};
use unforget::store::Store;
use unforget::tokens::TooLong;
use unforget::train::TrainConfig;
use unforget::verbs::{self, Training};

fn lab() -> Checkpoint {
    Checkpoint::open(unforget::lab::folder().unwrap().join("model")).unwrap()
}

fn context(folder: &Path) -> Context {
    let store = Store::open(folder).unwrap();
    Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap()
}

fn rendered(cx: &Context, count: usize) -> Scored {
    let items = Recipe::lab().items("code", "train", count).unwrap();
    let conversations: Vec<Conversation> = items.iter().map(Conversation::from).collect();
    let tokenizer = cx.tokenizer(&lab()).unwrap();
    let how = Rendering { context: 512, too_long: TooLong::Refuse, skip_unusable: false };
    Scored::rendered("code", conversations, &tokenizer, how).unwrap()
}

const TWICE: &str = "stands there twice";

#[test]
fn items_tasks_and_scales_count_once_in_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let recipe = Recipe::lab();
    let mut items = recipe.items("word", "test", 2).unwrap();
    let sampling = Sampling::greedy(4);
    let ask = |tasks: &[_]| verbs::ask(&cx, &lab(), "twice", tasks, &sampling);
    let target = Task::new("sql", items.clone());
    let tasks = Tasks { target, others: Vec::new(), max_new_tokens: 4 };
    let tasks = tasks.with_target("sql", &items);
    assert_refused(verbs::evaluate(&cx, &lab(), "twice", &tasks), &["tasks", "sql", TWICE]);
    items.push(items[0].clone());
    let id = items[0].id.clone();
    let tasks = [Task::new("word", items.clone())];
    assert_refused(ask(&tasks), &["word", &id, TWICE]);
    let sampled = verbs::self_output(&cx, &lab(), "x", &items, &recipe.self_output);
    assert_refused(sampled, &[&id, TWICE]);
    let front = verbs::ask_at_scales(&cx, &lab(), "x", &tasks, &sampling, &[0.5, 1.0, 0.50]);
    assert_refused(front, &["scales", "0.5", TWICE]);
    let scored = verbs::score(&cx, &lab(), "two", &recipe.items("word", "test", 2).unwrap());
    assert_refused(scored.unwrap().thresholds(&[2.5, 10.0, 2.5]), &["thresholds", "2.5", TWICE]);
}

#[test]
fn weights_that_follow_the_model_find_their_examples_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let mut scored = rendered(&cx, 2);
    let id = scored.sequences[0].id.clone();
    scored.sequences[1].id.clone_from(&id);
    let weighted = |rule: &str| {
        let masked = scored.mask(rule).unwrap();
        masked.prepare(&TrainConfig::lab()).map(|made| made.config)
    };
    assert_refused(weighted("dft"), &["ids of the training data", &id, TWICE]);
    // weights that are made once go by place
    assert!(weighted("all").is_ok());
}

#[test]
fn a_switch_without_effect_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let masked = rendered(&cx, 2).mask("all").unwrap();
    let prepared = masked.prepare(&TrainConfig::lab()).unwrap();
    let config = TrainConfig { reweigh_every: Some(2), ..TrainConfig::lab() };
    let training = Training::new(&prepared.examples, &config);
    let trained = verbs::train(&cx, &lab(), "x", &training);
    assert_refused(trained, &["reweigh_every", "`dft`"]);
}

/// Every file below a folder that a training left, but for the times on its card.
fn adapters(folder: &Path, epochs: usize) -> Vec<Vec<u8>> {
    let file = |epoch: usize| folder.join(format!("epoch-{epoch}/adapter_model.safetensors"));
    (1..=epochs).map(|epoch| std::fs::read(file(epoch)).unwrap()).collect()
}

#[test]
fn a_training_that_is_kept_by_epoch_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        TrainConfig { num_epochs: 3, batch_size: 2, warmup_steps: 1, ..TrainConfig::lab() };
    let train = |store: &Path| {
        let cx = context(store);
        let masked = rendered(&cx, 4).mask("all").unwrap();
        let prepared = masked.prepare(&config).unwrap();
        let training = Training { keep_epochs: true, ..Training::of(&prepared) };
        verbs::train(&cx, &lab(), "epochs", &training)
    };
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    let undisturbed = train(&whole).unwrap();
    let entry = |tuned: &verbs::Tuned| {
        tuned.checkpoint.adapter.as_ref().unwrap().parent().unwrap().to_path_buf()
    };
    let place = entry(&undisturbed);
    // the third epoch cannot be written: something lies in its place
    let there = stopped.join(
        place
            .strip_prefix(whole.canonicalize().unwrap())
            .unwrap_or_else(|_| place.strip_prefix(&whole).expect("the entry lies in its store")),
    );
    std::fs::create_dir_all(&there).unwrap();
    std::fs::write(there.join("epoch-3"), "in the way").unwrap();
    train(&stopped).unwrap_err();
    let first = there.join("epoch-1/adapter_model.safetensors");
    let written = std::fs::metadata(&first).unwrap().modified().unwrap();
    std::fs::remove_file(there.join("epoch-3")).unwrap();
    let resumed = train(&stopped).unwrap();
    assert_eq!(std::fs::metadata(&first).unwrap().modified().unwrap(), written, "begun anew");
    assert_eq!(adapters(&there, 3), adapters(&place, 3));
    assert_eq!(undisturbed.steps, resumed.steps);
    for (one, other) in undisturbed.epochs.iter().zip(&resumed.epochs) {
        assert_eq!(one.steps, other.steps);
        assert_eq!(one.relative_weight_change, other.relative_weight_change);
    }
    assert_eq!(resumed.epochs.len(), 3);
}

fn refused(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
    command.args(arguments).current_dir(folder).env_remove("UNFORGET_STORE");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} was accepted");
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
}

#[test]
fn lists_of_the_command_line_and_of_recipes_name_each_thing_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("r.toml"), "name = \"r\"\nseeds = [1, 1]").unwrap();
    refused(root, &["run", "r.toml"], &["r.toml", "seeds", TWICE]);
    let tasks = ["evaluate", "--model", "lab", "--task", "word,word"];
    refused(root, &tasks, &["word", "two of them"]);
    let data = unforget::lab::folder().unwrap().canonicalize().unwrap().join("word/test.jsonl");
    let data = data.to_str().unwrap();
    let mut score = Command::new(env!("CARGO_BIN_EXE_unforget"));
    let score = score.args(["perplexity", "--model", "lab", "--limit", "2", "--data", data]);
    let score = score.args(["--out", "tokens", "--store", "store"]).current_dir(root);
    assert!(score.output().unwrap().status.success());
    refused(root, &["ledger", "tokens", "tokens"], &["tokens", "named twice"]);
    refused(root, &["ledger", "tokens", "./tokens"], &["tokens", "named twice"]);
    let files = std::fs::read_dir(root.join("tokens")).unwrap().map(|entry| entry.unwrap().path());
    let mut ledgers = files.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let file = ledgers.next().unwrap();
    refused(root, &["ledger", "tokens", file.to_str().unwrap()], &["named twice"]);
    let thresholds = ["ledger", "tokens", "--thresholds", "2.5,3,2.50"];
    refused(root, &thresholds, &["thresholds", "2.5", TWICE]);
}
