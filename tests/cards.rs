//! The lab that ships with the crate is what its card and its recipe say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unforget::lab::pretrain::Pretraining;
use unforget::lab::{LabTask, write_benchmarks};
use unforget::store::file_hash;

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab")
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_file_of_the_lab_has_the_hash_that_is_written_down() {
    let text = read(lab().join("hashes.txt"));
    let mut named = 0;
    for line in text.lines() {
        let (hash, name) = line.split_once("  ").expect("hash, two spaces, path");
        assert_eq!(file_hash(&lab().join(name)).unwrap(), hash, "{name}");
        named += 1;
    }
    assert!(
        named > 6 * 3 + 5,
        "benchmarks and the model's files, not {named}"
    );
}

#[test]
fn the_card_counts_the_rows_right() {
    let card = read(lab().join("README.md"));
    let front = card
        .split("---")
        .nth(1)
        .expect("a card begins with its facts between two lines of ---");
    let counts: BTreeMap<&str, usize> = front
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_once(": "))
        .map(|(split, count)| (split, count.parse().expect("a count")))
        .collect();
    assert_eq!(counts.len(), 3, "train, validation, test: {counts:?}");
    for task in LabTask::ALL {
        for (split, count) in &counts {
            let rows = read(lab().join(task.name()).join(format!("{split}.jsonl")))
                .lines()
                .count();
            assert_eq!(rows, *count, "{} {split}", task.name());
        }
    }
}

#[test]
fn the_benchmarks_are_remade_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    write_benchmarks(folder.path()).unwrap();
    for task in LabTask::ALL {
        for split in ["train", "validation", "test"] {
            let name = format!("{}/{split}.jsonl", task.name());
            assert_eq!(
                read(folder.path().join(&name)),
                read(lab().join(&name)),
                "{name}"
            );
        }
    }
}

#[test]
fn the_model_was_made_by_the_recipe_of_this_crate() {
    let model = lab().join("model");
    let recipe = Pretraining::read(&model.join("pretraining.toml")).unwrap();
    assert_eq!(
        recipe,
        Pretraining::default(),
        "the shipped recipe is the default one"
    );
    let log = read(model.join("training-log.jsonl"));
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["step"], recipe.steps, "the log goes to the end");
    assert!(
        std::fs::metadata(model.join("model.safetensors"))
            .unwrap()
            .len()
            <= 10_000_000
    );

    let folder = tempfile::tempdir().unwrap();
    recipe.tokenizer(folder.path()).unwrap();
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        assert_eq!(
            read(folder.path().join(name)),
            read(model.join(name)),
            "{name}"
        );
    }
}
