//! The card of a run, and a part of a run made again.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::store::file_hash;

/// A folder in which the program is called, with a copy of the lab's model in `model`.
struct Place(tempfile::TempDir);

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab")
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("model")).unwrap();
        for entry in std::fs::read_dir(lab().join("model")).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                std::fs::copy(&from, place.path("model").join(from.file_name().unwrap())).unwrap();
            }
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str) -> (bool, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("UNFORGET_STORE")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    fn works(&self, arguments: &str) -> String {
        let (success, stdout, stderr) = self.run(arguments);
        assert!(success, "`{arguments}`: {stdout}{stderr}");
        stdout
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.works(&format!("{arguments} --json"))).unwrap()
    }

    /// What a call that must fail says on both streams.
    fn refuses(&self, arguments: &str, parts: &[&str]) {
        let (success, stdout, stderr) = self.run(arguments);
        assert!(!success, "`{arguments}` was accepted: {stdout}");
        let said = stdout + &stderr;
        assert!(!said.contains("panicked"), "{said}");
        for part in parts {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }

    fn finetune(&self, options: &str, out: &str) {
        let data = lab().join("code/train.jsonl");
        self.works(&format!(
            "finetune --model model --data {} --limit 6 --preset lab --num-epochs 2 --batch-size 3 --out {out} {options}",
            data.display()
        ));
    }

    /// The one folder of a verb in the store.
    fn only(&self, verb: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.path("unforget-store").join(verb)).unwrap();
        let entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }

    /// Changes a JSON file of the only fine-tuning.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.only("finetune").join(name);
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(path, format!("{value:#}\n")).unwrap();
    }
}

fn findings(verdict: &Value) -> Vec<(String, String)> {
    let checks = verdict["checks"].as_array().unwrap();
    let text = |check: &Value, name: &str| check[name].as_str().unwrap().to_string();
    checks.iter().map(|check| (text(check, "what"), text(check, "finding"))).collect()
}

#[test]
fn a_training_is_made_again_to_the_last_bit() {
    let place = Place::new();
    place.finetune("--threshold 2.5", "adapter");
    let card = place.json("card finetune/train");
    assert_eq!(card["seeds"]["finetune"], 42);
    assert_eq!(card["mask"]["rule"], "stm(2.5)");
    assert_eq!(card["data"]["data"]["count"], 6);
    assert_eq!(card["device"], "cpu");
    let hash = file_hash(&place.path("model/model.safetensors")).unwrap();
    assert_eq!(card["weights"]["files"]["model.safetensors"], hash.as_str());
    let shown = place.works("card finetune/train");
    assert!(shown.contains("recipe.finetune.learning_rate") && shown.contains("0.001"), "{shown}");

    let verdict = place.json("verify finetune/train --steps 0");
    let what: Vec<String> = findings(&verdict)
        .into_iter()
        .map(|(what, finding)| {
            assert_eq!(finding, "same", "{what}: {verdict}");
            what
        })
        .collect();
    let expected = [
        "inputs",
        "weights",
        "template",
        "tokenizer",
        "files",
        "data",
        "mask",
        "rule",
        "loss",
        "gradient",
        "tuned",
    ];
    assert_eq!(what, expected);
    assert_eq!(verdict["tolerance"], 0.0);
    let shown = place.works("verify finetune/train --steps 2 --workers 1");
    assert!(
        shown.contains("the first 2 of 4 steps made again: the same to the last bit"),
        "{shown}"
    );
    assert!(shown.contains("verdict: reproduced"), "{shown}");
}

#[test]
fn a_training_whose_weights_follow_the_model_is_made_again() {
    let place = Place::new();
    place.finetune("--weights dft", "adapter");
    let verdict = place.json("verify finetune/train --steps 0");
    assert!(findings(&verdict).contains(&("rule".into(), "same".into())), "{verdict}");
    let other = Place::new();
    other.finetune("--weights rho1(0.6) --reference model", "adapter");
    let (success, stdout, stderr) = other.run("verify finetune/train");
    // what the reference model said is not kept: the run is compared as far as it goes, which is not whole
    assert!(!success && stdout.contains("??  rule"), "{stdout}{stderr}");
    assert!(stderr.contains("not all could be made again"), "{stderr}");
}

#[test]
fn cards_of_two_runs_differ_in_what_was_changed() {
    let place = Place::new();
    place.finetune("", "one");
    place.finetune("--learning-rate 3e-3", "other");
    let store = place.path("unforget-store/finetune");
    let mut runs: Vec<String> = std::fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    runs.sort();
    let difference = place.json(&format!("card {} {}", runs[0], runs[1]));
    let fields: Vec<&str> = difference["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["recipe.finetune.learning_rate", "files.adapter/adapter_model.safetensors"]
    );
    let shown = place.works(&format!("card {} {}", runs[0], runs[0]));
    assert!(shown.contains("no field differs"), "{shown}");
    place.refuses("card train", &["names 2 runs", &runs[0], &runs[1]]);
}

#[test]
fn a_run_that_was_tampered_with_is_not_reproduced() {
    let place = Place::new();
    place.finetune("--threshold 2.5", "adapter");
    place.edit("result.json", |result| {
        let loss = result["steps"][1]["loss"].as_f64().unwrap();
        result["steps"][1]["loss"] = (loss * (1.0 + 1e-12)).into();
    });
    place.refuses(
        "verify finetune/train",
        &["NO  loss", "step 2: ", "is not reproduced: files, loss differ"],
    );
    let seen = ["ok  loss", "NO  files", "result.json", "is not reproduced: files differ"];
    place.refuses("verify finetune/train --tolerance 1e-9", &seen);
    place.refuses("card finetune/train", &["result.json", "make the call again"]);
    let adapter = place.only("finetune").join("adapter/adapter_config.json");
    std::fs::write(&adapter, "{}").unwrap();
    place.refuses("verify finetune/train --tolerance 1e-9", &["NO  files", "adapter_config.json"]);
    place.edit("mask.json", |origin| origin["rule"] = "stm(1.5)".into());
    place.refuses("verify finetune/train", &["NO  rule", "stm(1.5)"]);
    place.edit("inputs.json", |inputs| inputs["data"][0]["weights"][3] = 1.0.into());
    place.refuses("verify finetune/train", &["inputs.json", "they were changed"]);
    place.refuses("verify finetune/train --tolerance -1", &["--tolerance", "at least 0"]);
}

#[test]
fn what_cannot_be_verified_says_why() {
    let place = Place::new();
    place.finetune("", "adapter");
    let weights = place.path("model/model.safetensors");
    let (bytes, before) = (std::fs::read(&weights).unwrap(), file_hash(&weights).unwrap());
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, changed).unwrap();
    let now = file_hash(&weights).unwrap();
    place.refuses("verify finetune/train", &["model.safetensors", &before, &now]);
    std::fs::remove_file(&weights).unwrap();
    place.refuses("verify finetune/train", &["model.safetensors", &before, "--model"]);
    place.works(&format!("verify finetune/train --model {}", lab().join("model").display()));
    std::fs::write(&weights, bytes).unwrap();

    place.edit("card.json", |card| card["format"] = 99.into());
    place.refuses("verify finetune/train", &["card.json", "form 99", "reads form 1"]);
    let folder = place.only("finetune");
    place.refuses("card finetune/train", &["card.json", "not as the run wrote it"]);
    std::fs::remove_file(folder.join("card.json")).unwrap();
    place.refuses("card finetune/train", &["card.json", "make the call again"]);
    place.refuses("verify finetune/train", &["card.json", "before there were cards"]);
    std::fs::remove_file(folder.join("result.json")).unwrap();
    place.refuses("verify finetune/train", &["not finished"]);
    place.refuses("verify nothing", &["run `nothing`", "unforget-store"]);
    place.refuses("verify adapter", &["is no run of a store"]);
}

#[test]
fn answers_and_scores_are_made_again() {
    let place = Place::new();
    place.works("evaluate --model model --task word --limit 6 --max-new-tokens 48");
    let run = place.only("evaluate");
    let verdict = place.json(&format!("verify {} --items 0", run.display()));
    assert!(findings(&verdict).contains(&("answers".into(), "same".into())), "{verdict}");
    let path = place.only("evaluate").join("result.json");
    let mut result: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    result[0][2]["answer"] = "something else".into();
    std::fs::write(&path, format!("{result:#}\n")).unwrap();
    let id = result[0][2]["id"].as_str().unwrap().to_string();
    place.refuses(&format!("verify {}", run.display()), &["NO  answers", &id, "something else"]);

    let data = lab().join("word/train.jsonl");
    place.works(&format!("perplexity --model model --data {} --limit 9", data.display()));
    let scores = std::fs::read_dir(place.path("unforget-store/scores")).unwrap();
    for entry in scores {
        let run = entry.unwrap().path();
        for items in [0, 3] {
            let shown = place.works(&format!("verify {} --items {items}", run.display()));
            assert!(shown.contains("ok  scores"), "{shown}");
        }
    }
}
