//! The lab that ships with the crate is what its card and its recipe say.

use crate::support::shared;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unforget::benchmark::{Ask, Benchmark, Prompts};
use unforget::lab::pretrain::Pretraining;
use unforget::lab::{LabTask, write_benchmarks};
use unforget::store::file_hash;
use unforget::task::Accuracy;

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
    assert!(named > 6 * 3 + 5, "benchmarks and the model's files, not {named}");
}

#[test]
fn the_card_counts_the_rows_right() {
    let card = read(lab().join("README.md"));
    let front =
        card.split("---").nth(1).expect("a card begins with its facts between two lines of ---");
    let counts: BTreeMap<&str, usize> = front
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_once(": "))
        .map(|(split, count)| (split, count.parse().expect("a count")))
        .collect();
    assert_eq!(counts.len(), 3, "train, validation, test: {counts:?}");
    for task in LabTask::ALL {
        for (split, count) in &counts {
            let rows = read(lab().join(task.name()).join(format!("{split}.jsonl"))).lines().count();
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
            assert_eq!(read(folder.path().join(&name)), read(lab().join(&name)), "{name}");
        }
    }
}

#[test]
fn the_model_was_made_by_the_recipe_of_this_crate() {
    let model = lab().join("model");
    let recipe = Pretraining::read(&model.join("pretraining.toml")).unwrap();
    assert_eq!(recipe, Pretraining::default(), "the shipped recipe is the default one");
    let log = read(model.join("training-log.jsonl"));
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["step"], recipe.steps, "the log goes to the end");
    assert!(std::fs::metadata(model.join("model.safetensors")).unwrap().len() <= 10_000_000);

    let folder = tempfile::tempdir().unwrap();
    recipe.tokenizer(folder.path()).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        assert_eq!(read(folder.path().join(name)), read(model.join(name)), "{name}");
    }
}

/// The lines of a card's facts that stand, further in, under `key`.
fn under<'a>(front: &'a str, key: &str) -> BTreeMap<&'a str, &'a str> {
    let head = format!("{key}:");
    let lines = front.lines().skip_while(|line| !line.starts_with(&head));
    lines
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .map(|line| line.split_once(": ").expect("a name and a value"))
        .collect()
}

#[test]
fn cards_of_benchmarks_count_and_hash_their_files_right() {
    let own = ["arc", "bird", "gsm8k", "ifeval", "math", "mmlu", "spider"];
    let mut checked = 0;
    for name in own {
        assert!(Benchmark::named(name).is_ok());
        let card = read(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name).join("README.md"),
        );
        let front = card.split("---\n").nth(1).expect("facts between two lines of ---");
        let fact = |key: &str| {
            let head = format!("{key}: ");
            let line = front.lines().find_map(|line| line.strip_prefix(head.as_str()));
            line.unwrap_or_else(|| panic!("{name}: no {key}"))
        };
        assert_eq!(fact("task"), name);
        for key in ["licence", "revision"] {
            assert!(!fact(key).is_empty());
        }
        for part in
            ["**A row.**", "**As a conversation.**", "**Grading.**", "**Traps.**", "**Citation.**"]
        {
            assert!(card.contains(part), "{name}: no {part}");
        }
        let columns: Vec<&str> = fact("columns")
            .trim_matches(['{', '}'])
            .split(", ")
            .map(|pair| pair.split(':').next().unwrap())
            .collect();
        for (file, hash) in under(front, "sha256") {
            if let Some(path) = shared(&format!("real/datasets/{file}"), file) {
                assert_eq!(file_hash(&path).unwrap(), hash, "{name}: {file}");
                checked += 1;
            }
        }
        for (file, count) in under(front, "rows") {
            let Some(path) = shared(&format!("real/datasets/{file}"), file) else {
                continue;
            };
            let text = read(path);
            let rows: Vec<serde_json::Value> = match file.ends_with(".jsonl") {
                true => text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
                false => serde_json::from_str(&text).unwrap(),
            };
            assert_eq!(rows.len().to_string(), count, "{name}: {file}");
            for row in &rows {
                let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
                let mut sorted = (keys.clone(), columns.clone());
                sorted.0.sort_unstable();
                sorted.1.sort_unstable();
                assert_eq!(sorted.0, sorted.1, "{name}: {file}");
            }
        }
    }
    println!("{checked} files checked");
}

/// The file with `row` alone, beside the database that it names.
fn written(row: &serde_json::Value, benchmark: &str, folder: &Path) -> PathBuf {
    let card = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(benchmark);
    let folder = folder.join(benchmark);
    std::fs::create_dir_all(&folder).unwrap();
    if let Some(name) = row["db_id"].as_str() {
        let place = folder.join("database").join(name);
        std::fs::create_dir_all(&place).unwrap();
        let database = rusqlite::Connection::open(place.join(format!("{name}.sqlite"))).unwrap();
        database.execute_batch(&read(card.join("sample.sql"))).unwrap();
    }
    let file = folder.join("sample.jsonl");
    std::fs::write(&file, row.to_string()).unwrap();
    file
}

/// The lines with which a module's file says what it is.
fn head(file: PathBuf) -> String {
    let lines: Vec<String> = read(file)
        .lines()
        .map_while(|line| line.strip_prefix("//!").map(|line| line.trim_start().to_owned()))
        .collect();
    lines.join("\n")
}

/// Who opens the file of a benchmark sees a row, what misleads about it, and where answers are graded; who opens that sees who asks.
#[test]
fn each_benchmark_opens_with_a_row_its_traps_and_its_grader() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for benchmark in Benchmark::ALL {
        let name = benchmark.name();
        let source = format!("src/benchmark/{name}.rs");
        let head_of = head(root.join(&source));
        let (_, rest) = head_of.split_once("```json\n").expect(name);
        let (row, rest) = rest.split_once("\n```\n").expect(name);
        assert!(rest.contains("\nTraps:\n- "), "{name}: no traps");
        let row: serde_json::Value = serde_json::from_str(row).expect(name);
        let sample = read(root.join("datasets").join(name).join("sample.jsonl"));
        let sample: serde_json::Value = serde_json::from_str(&sample).expect(name);
        assert_eq!(row, sample, "{name}: the card has another row");

        let file = written(&row, name, folder.path());
        let mut asks = vec![Ask::default()];
        if benchmark.has_options() {
            asks.push(Ask { choices: Some(Accuracy::Acc), ..Ask::default() });
        }
        for ask in asks {
            let items = benchmark.read_as(&file, &ask).unwrap();
            assert_eq!(items.len(), 1, "{name}");
            let kind = format!("{:?}", items[0].check);
            let kind = kind.split(' ').next().unwrap();
            assert!(rest.contains(&format!("[`Check::{kind}`]")), "{name}: {kind} is not named");
        }
        let graders: Vec<&str> =
            rest.split('`').filter(|text| text.starts_with("src/task/")).collect();
        assert!(!graders.is_empty(), "{name}: no grader is named");
        for grader in graders {
            let back = head(root.join(grader)).contains(&format!("`{source}`"));
            assert!(back, "{grader} does not name {source}");
        }
    }
}

/// The row that a card shows instead of the published ones is read, asked and graded as those are.
#[test]
fn each_card_has_a_row_that_was_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let river = "A river is water that flows to the sea. It begins at a spring.";
    for (name, answer) in [
        ("arc", None),
        ("bird", None),
        ("gsm8k", None),
        ("humaneval", None),
        ("ifeval", Some(river)),
        ("math", None),
        ("mbpp", None),
        ("mmlu", None),
        ("spider", None),
    ] {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name);
        let card = read(place.join("README.md"));
        assert!(
            card.contains("`sample.jsonl` has one row of this shape. It is made up by us"),
            "{name}"
        );
        let text = read(place.join("sample.jsonl"));
        let row: serde_json::Value = serde_json::from_str(&text).unwrap();
        let facts = card.split("---\n").nth(1).unwrap();
        for column in row.as_object().unwrap().keys() {
            assert!(facts.contains(column.as_str()), "{name}: {column}");
        }
        let file = written(&row, name, folder.path());
        let items = Benchmark::named(name).unwrap().read(&file, Prompts::Paper).unwrap();
        assert_eq!(items.len(), 1, "{name}");
        // Python is run by another test
        if !["humaneval", "mbpp"].contains(&name) {
            let answer = answer.unwrap_or(&items[0].truth);
            let score = items[0].grade(answer, false);
            assert_eq!(score.value, 1.0, "{name}: {}", score.why);
        }
    }
}
