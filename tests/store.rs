//! What names a stored result, what of it was damaged, and what is told of its time.

use crate::support::killed_at;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::answers::Task;
use unforget::context::Context;
use unforget::dataset::read_items;
use unforget::generate::Sampling;
use unforget::model::{Checkpoint, DeviceChoice};
use unforget::progress::Progress;
use unforget::scored::Scored;
use unforget::self_output::SelfOutput;
use unforget::store::Store;
use unforget::task::{Check, Item, Place as NumberPlace, graders};
use unforget::tokens::sequence;
use unforget::train::{Method, TrainConfig};
use unforget::verbs::{self, Tuned};

/// A folder with a copy of the lab's model in `model`, in which the program is called.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("model")).unwrap();
        let model = unforget::lab::folder().unwrap().join("model");
        for entry in std::fs::read_dir(model).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, place.path("model").join(from.file_name().unwrap())).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn context(&self) -> Context {
        let store = Store::open(self.path("unforget-store")).unwrap();
        Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap()
    }

    fn model(&self) -> Checkpoint {
        Checkpoint::open(self.path("model")).unwrap()
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("UNFORGET_STORE");
        command
    }

    /// What a call that must work says on both streams.
    fn works(&self, arguments: &str) -> (String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "`{arguments}`: {stdout}{stderr}");
        (stdout, stderr)
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.works(&format!("{arguments} --json")).0).unwrap()
    }

    /// The folders of a kind of result in the store.
    fn entries(&self, kind: &str) -> Vec<PathBuf> {
        let Ok(found) = std::fs::read_dir(self.path("unforget-store").join(kind)) else {
            return Vec::new();
        };
        found.map(|entry| entry.unwrap().path()).collect()
    }
}

fn items(task: &str, count: usize) -> Vec<Item> {
    let folder = unforget::lab::folder().unwrap();
    let mut items = read_items(&folder.join(task).join("train.jsonl")).unwrap();
    items.truncate(count);
    items
}

fn write(path: impl AsRef<Path>, text: &str) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Flips the lowest bit of the byte at `at`, counted in thousandths of the file.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = (bytes.len() - 1) * at / 1000;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Every file below a folder of the store by its name, but the lock.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => {
                let below = files(&path).into_iter();
                found.extend(below.map(|(file, path)| (format!("{name}/{file}"), path)));
            }
            false if name == "lock" => {}
            false => drop(found.insert(name, path)),
        }
    }
    found
}

/// Makes a place of its own for each case, with an adapter, and says whether an edit changes the name of what reads ids and of what answers.
fn renamed(edit: impl FnOnce(&Place)) -> (bool, bool) {
    let place = Place::new();
    let adapter = place.path("adapter");
    write(adapter.join("adapter_config.json"), r#"{"peft_type": "LORA"}"#);
    write(adapter.join("adapter_model.safetensors"), "weights");
    let model = place.model().with_adapter(adapter);
    let names = || {
        // a context remembers hashes of files by their size and time
        let (cx, items) = (place.context(), items("word", 1));
        let of_ids = cx.fingerprint(&model).unwrap().hash();
        (of_ids, cx.fingerprint_of_answers(&model, &items).unwrap().hash())
    };
    let before = names();
    edit(&place);
    let after = names();
    (before.0 != after.0, before.1 != after.1)
}

#[test]
fn whatever_of_a_models_folder_decides_an_answer_is_a_part_of_its_name() {
    type Edit = fn(&Place);
    let both: [(&str, Edit); 11] = [
        ("a weight", |p| flip(&p.path("model/model.safetensors"), 900)),
        ("the configuration", |p| {
            edit_json(&p.path("model/config.json"), |c| c["rope_theta"] = json!(20000.0));
        }),
        ("a weight of the adapter", |p| flip(&p.path("adapter/adapter_model.safetensors"), 500)),
        ("the adapter's scale", |p| {
            write(
                p.path("adapter/adapter_config.json"),
                r#"{"peft_type": "LORA", "lora_alpha": 2}"#,
            );
        }),
        ("the vocabulary", |p| {
            edit_json(&p.path("model/tokenizer.json"), |t| {
                t["added_tokens"][0]["lstrip"] = json!(true)
            });
        }),
        ("whether a text begins with BOS", |p| {
            edit_json(&p.path("model/tokenizer_config.json"), |c| c["add_bos_token"] = json!(true));
        }),
        ("another key of the tokenizer's configuration", |p| {
            let path = p.path("model/tokenizer_config.json");
            edit_json(&path, |c| c["clean_up_tokenization_spaces"] = json!(true));
        }),
        ("the map of special tokens", |p| {
            let path = p.path("model/special_tokens_map.json");
            edit_json(&path, |map| map["additional_special_tokens"] = json!(["<|more|>"]));
        }),
        ("added tokens", |p| write(p.path("model/added_tokens.json"), r#"{"<|more|>": 1}"#)),
        ("the template", |p| {
            let path = p.path("model/chat_template.jinja");
            let text = std::fs::read_to_string(&path).unwrap();
            write(path, &format!("{{# #}}{text}"));
        }),
        ("one more template", |p| {
            write(p.path("model/additional_chat_templates/rag.jinja"), "{{ messages }}");
        }),
    ];
    for (what, edit) in both {
        assert_eq!(renamed(edit), (true, true), "{what}");
    }
    let stops = |p: &Place| {
        edit_json(&p.path("model/generation_config.json"), |c| c["eos_token_id"] = json!([0, 1]));
    };
    assert_eq!(renamed(stops), (false, true), "what ends an answer");
    let gone = |p: &Place| std::fs::remove_file(p.path("model/generation_config.json")).unwrap();
    assert_eq!(renamed(gone), (false, true), "what ends an answer, taken away");
    for name in [
        "model/README.md",
        "model/LICENSE",
        "model/.git/index",
        "model/logs/x.json",
        // of a processor of images; tokenizers do not read it
        "model/chat_template.json",
        "adapter/README.md",
    ] {
        let edit = |p: &Place| write(p.path(name), "words");
        assert_eq!(renamed(edit), (false, false), "{name}");
    }
}

#[test]
fn each_shard_and_their_index_are_a_part_of_the_name() {
    let shards = |place: &Place| {
        let whole = place.path("model/model.safetensors");
        let tensors = candle_core::safetensors::load(&whole, &candle_core::Device::Cpu).unwrap();
        std::fs::remove_file(whole).unwrap();
        let mut names: Vec<&String> = tensors.keys().collect();
        names.sort();
        let mut map = BTreeMap::new();
        for (at, names) in names.chunks(names.len() / 2 + 1).enumerate() {
            let file = format!("model-0000{}-of-00002.safetensors", at + 1);
            let part = names.iter().map(|name| ((*name).clone(), tensors[*name].clone()));
            let part: std::collections::HashMap<_, _> = part.collect();
            candle_core::safetensors::save(&part, place.path("model").join(&file)).unwrap();
            map.extend(names.iter().map(|name| ((*name).clone(), file.clone())));
        }
        let index = json!({"metadata": {}, "weight_map": map}).to_string();
        write(place.path("model/model.safetensors.index.json"), &index);
    };
    let place = Place::new();
    shards(&place);
    let name = || place.context().fingerprint(&place.model()).unwrap().hash();
    let mut names = vec![name()];
    for file in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        flip(&place.path("model").join(file), 900);
        names.push(name());
    }
    edit_json(&place.path("model/model.safetensors.index.json"), |index| {
        index["metadata"] = json!({"total_size": 1});
    });
    names.push(name());
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn each_grader_has_a_version_in_the_name_of_what_it_graded() {
    let number = |place| Item {
        id: "1".into(),
        prompt: "?".into(),
        truth: "Answer: 1".into(),
        style: vec![],
        check: Check::Number { value: "1".into(), place },
    };
    let (one, boxed) = (number(NumberPlace::AnswerLine), number(NumberPlace::Boxed));
    let (name, version) = one.check.grader();
    assert_eq!(graders([&one, &boxed]), BTreeMap::from([(name, version.to_string())]));

    let (place, word) = (Place::new(), items("word", 2));
    let (cx, model) = (place.context(), place.model());
    let config = SelfOutput { samples: 1, sampling: Sampling::greedy(2), ..SelfOutput::paper() };
    verbs::ask(&cx, &model, "", &[Task::new("word", word.clone())], &Sampling::greedy(2)).unwrap();
    verbs::self_output(&cx, &model, "", &word, &config).unwrap();
    for kind in ["evaluate", "pool"] {
        let text = std::fs::read(place.entries(kind)[0].join("inputs.json")).unwrap();
        let mut inputs: BTreeMap<String, Value> = serde_json::from_slice(&text).unwrap();
        assert_eq!(inputs["graders"], json!(graders(&word)), "{kind}");
        // and a newer version is another name
        let hash = |inputs: &BTreeMap<String, Value>| {
            unforget::store::Fingerprint::from(inputs.clone()).hash()
        };
        let before = hash(&inputs);
        assert!(place.entries(kind)[0].to_string_lossy().ends_with(&before), "{kind}");
        for version in inputs.get_mut("graders").unwrap().as_object_mut().unwrap().values_mut() {
            *version = json!("0");
        }
        assert_ne!(hash(&inputs), before, "{kind}");
    }
}

/// Learns `count` answers of the lab's word problems by the paper's rule.
fn learned(place: &Place, method: Option<Method>) -> Tuned {
    let (cx, model) = (place.context(), place.model());
    let tokenizer = cx.tokenizer(&model).unwrap();
    let conversations =
        items("word", 4).into_iter().map(|item| unforget::dataset::Example::from(&item));
    let sequences: Vec<_> = conversations.map(|one| sequence(&tokenizer, &one).unwrap()).collect();
    let scored = Scored { sequences, ..Scored::default() };
    let config = TrainConfig { num_epochs: 1, batch_size: 2, ..TrainConfig::lab() };
    let config = TrainConfig { method: method.unwrap_or(config.method.clone()), ..config };
    let masked = scored.mask("all").unwrap();
    let tuned = verbs::finetune(&cx, &model, &masked, &config).unwrap();
    // how long it took is all that differs
    Tuned { seconds: 0.0, ..tuned }
}

/// Flips one bit in each file of the only result of `kind`, one after the other: each time the call gives the same again, and so are all files but
/// for their times.
fn survives<T: PartialEq + std::fmt::Debug>(
    place: &Place,
    kind: &str,
    wanted: &[&str],
    call: impl Fn(&Place) -> T,
) {
    let first = call(place);
    let entries = place.entries(kind);
    assert_eq!(entries.len(), 1, "{kind}");
    let of_kind = files(&entries[0]);
    let own = ["card.json", "inputs.json", "manifest", "result.json"];
    for name in wanted.iter().chain(&own) {
        assert!(of_kind.contains_key(*name), "{kind} has no {name}: {:?}", of_kind.keys());
    }
    for (at, (name, path)) in of_kind.iter().enumerate() {
        let timed = ["card.json", "manifest", "result.json"].contains(&name.as_str());
        let whole = std::fs::read(path).unwrap();
        flip(path, [500, 0, 1000, 333][at % 4]);
        assert!(call(place) == first, "{kind}: {name}");
        assert!(timed || std::fs::read(path).unwrap() == whole, "{kind}: {name} is not made again");
        assert_eq!(place.entries(kind).len(), 1, "{kind}: {name}");
    }
}

#[test]
fn one_flipped_bit_in_any_file_of_the_store_is_found_and_the_result_made_again() {
    let place = Place::new();
    let adapter = ["adapter/adapter_config.json", "adapter/adapter_model.safetensors", "mask.json"];
    survives(&place, "finetune", &adapter, |place| {
        let tuned = learned(place, None);
        let weights = tuned.checkpoint.adapter.clone().unwrap().join("adapter_model.safetensors");
        (tuned, std::fs::read(weights).unwrap())
    });
    let tuned = learned(&place, None).checkpoint;
    survives(&place, "merged", &["model/model.safetensors", "model/config.json"], |place| {
        let merged = verbs::merge(&place.context(), &tuned, "").unwrap();
        std::fs::read(merged.model.join("model.safetensors")).unwrap()
    });
    survives(&place, "evaluate", &["word.jsonl"], |place| {
        let tasks = [Task::new("word", items("word", 2))];
        verbs::ask(&place.context(), &tuned, "", &tasks, &Sampling::greedy(8)).unwrap()
    });
    survives(&place, "pool", &["pool.jsonl"], |place| {
        let sampling = Sampling { max_new_tokens: 8, ..Sampling::paper() };
        let config = SelfOutput { samples: 2, sampling, ..SelfOutput::paper() };
        let (cx, items) = (place.context(), items("word", 3));
        verbs::self_output(&cx, &place.model(), "", &items, &config).unwrap().items
    });
    survives(&place, "scores", &[], |place| {
        let ids: &[u32] = &[1, 2, 3];
        verbs::token_scores(&place.context(), &place.model(), "", &[ids]).unwrap()
    });
    let place = Place::new();
    survives(&place, "finetune", &["model/model.safetensors", "model/tokenizer.json"], |place| {
        let tuned = learned(place, Some(Method::Full));
        let weights = tuned.checkpoint.model.join("model.safetensors");
        (tuned, std::fs::read(weights).unwrap())
    });
}

const RECIPE: &str = r#"
    name = "tiny"
    model = "model"
    target = "word"
    non_target = ["choice"]
    arms = ["stm_2.5"]
    learning_rates = [1e-3]
    seeds = [1]
    max_new_tokens = 4
    [sizes]
    train = 4
    validation = 2
    test = 2
    [finetune]
    epochs = 1
    batch = 4
"#;

#[test]
fn an_experiment_says_which_of_its_files_were_damaged_and_comes_out_the_same() {
    let place = Place::new();
    write(place.path("tiny.toml"), RECIPE);
    let (wanted, _) = place.works("run tiny.toml --out out");
    let mut seen = Vec::new();
    for (kind, name) in [
        ("ledger", "tokens/part-00000.parquet"),
        ("finetune", "adapter/adapter_model.safetensors"),
        ("evaluate", "result.json"),
        ("scores", "result.json"),
    ] {
        for entry in place.entries(kind) {
            let of_entry = files(&entry);
            // how parts of a ledger are named is the ledger's own
            let ends = Path::new(name).extension();
            let file = of_entry.iter().find(|(own, _)| {
                own.as_str() == name || kind == "ledger" && Path::new(own).extension() == ends
            });
            let (own, path) = file.unwrap_or_else(|| panic!("no {name} in {:?}", of_entry.keys()));
            flip(path, 400);
            let (stdout, stderr) = place.works("run tiny.toml --out out");
            let lines: Vec<&str> =
                stderr.lines().filter(|line| line.contains("made again")).collect();
            assert!(lines.len() == 1 && lines[0].contains(own.as_str()), "{own}: {stderr}");
            assert_eq!(stdout, wanted, "{own}");
            seen.push(kind);
        }
    }
    seen.dedup();
    assert!(seen.len() >= 3, "{seen:?}");
}

#[test]
fn a_damaged_file_that_is_named_by_its_path_is_refused() {
    let place = Place::new();
    let tuned = learned(&place, None).checkpoint;
    let adapter = tuned.adapter.clone().unwrap();
    let merged = verbs::merge(&place.context(), &tuned, "").unwrap().model;
    write(place.path("tiny.toml"), RECIPE);
    place.works("run tiny.toml --out out");
    let tokens = place.entries("ledger")[0].join("tokens");
    let mut files = std::fs::read_dir(&tokens).unwrap().map(|entry| entry.unwrap().path());
    let part = files.find(|path| path.extension().is_some_and(|e| e == "parquet")).unwrap();
    for (file, at, named, calls) in [
        (
            adapter.join("adapter_model.safetensors"),
            900,
            &adapter,
            &[
                "evaluate --model model --task word --limit 1 --max-new-tokens 2 --adapter PATH",
                "export merged --model model --adapter PATH --out merged",
                "export lora --model model --adapter PATH --out lora",
            ][..],
        ),
        (
            merged.join("model.safetensors"),
            900,
            &merged,
            &["evaluate --model PATH --task word --limit 1 --max-new-tokens 2"],
        ),
        (part.clone(), 300, &tokens, &["ledger PATH"]),
        (part, 300, &tokens, &["weights stm(2.5) --tokens PATH"]),
    ] {
        flip(&file, at);
        for call in calls {
            let call = call.replace("PATH", &named.display().to_string());
            let output = place.command(&call).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{call}: {stderr}");
            let name = file.file_name().unwrap().to_string_lossy();
            for part in [&*name, "make the call again", "unforget-store"] {
                assert!(stderr.contains(part), "{call}: `{part}` is not in: {stderr}");
            }
        }
        // the same bit once more: as it was
        flip(&file, at);
    }
}

const TRAIN: &str =
    "finetune --model model --data rows.jsonl --preset lab --num-epochs 10 --batch-size 1 --out";

/// Rows to learn.
fn rows(place: &Place) {
    let rows: Vec<String> = (1..5)
        .map(|n| json!({"prompt": format!("What is {n} + 1?"), "completion": format!("Answer: {}", n + 1)}).to_string() + "\n")
        .collect();
    write(place.path("rows.jsonl"), &rows.concat());
}

#[test]
fn a_damaged_checkpoint_is_not_gone_on_from_and_seconds_are_those_of_all_tries() {
    let place = Place::new();
    rows(&place);
    let undisturbed = place.json(&format!("{TRAIN} second --store other"));
    for file in ["state.safetensors", "steps.json", "manifest"] {
        for point in ["checkpoint 10", "checkpoint 20"] {
            killed_at(place.command(&format!("{TRAIN} first")), point);
        }
        let entry = place.entries("finetune")[0].clone();
        flip(&entry.join("checkpoint-000000000020").join(file), 700);
        // as if the tries so far had taken very long
        let time = std::fs::read_to_string(entry.join("time")).unwrap();
        let time: Value = serde_json::from_str(time.lines().next().unwrap()).unwrap();
        let before = time["seconds"].as_f64().unwrap();
        assert!(before > 0.0);

        let (stdout, stderr) = place.works(&format!("{TRAIN} first --json"));
        let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("is removed")).collect();
        assert!(lines.len() == 1 && lines[0].contains("checkpoint-000000000020"), "{stderr}");
        let again: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(again["losses"], undisturbed["losses"], "{file}");
        let read =
            |out: &str| std::fs::read(place.path(out).join("adapter_model.safetensors")).unwrap();
        assert!(read("first") == read("second"), "{file}");

        let seconds = again["seconds"].as_f64().unwrap();
        assert!(seconds > before, "{seconds} after {before}");
        let tokens = again["tokens_per_second"].as_f64().unwrap() * seconds;
        let wanted = undisturbed["tokens_per_second"].as_f64().unwrap()
            * undisturbed["seconds"].as_f64().unwrap();
        assert!((tokens - wanted).abs() < 1e-6 * wanted);
        let card = place.json(&format!("card {}", entry.display()));
        assert!(card["times"]["seconds"].as_f64().unwrap() > before, "{card}");
        assert!(!entry.join("time").exists());
        std::fs::remove_dir_all(entry).unwrap();
    }
}

#[test]
fn a_damaged_line_of_a_pool_is_sampled_again_with_all_that_follow() {
    let place = Place::new();
    let items = std::path::absolute(unforget::lab::folder().unwrap().join("word/train.jsonl"));
    let items = items.unwrap();
    let call = format!(
        "generate self-output --model model --items {} --limit 4 --samples 4 --out",
        items.display()
    );
    let pool = |out: &str| std::fs::read_to_string(place.path(out).join("pool.jsonl")).unwrap();
    place.works(&format!("{call} second --store other"));
    killed_at(place.command(&format!("{call} first")), "line 2");
    let lines = place.entries("pool")[0].join("pool.jsonl");
    let kept = std::fs::read_to_string(&lines).unwrap();
    assert_eq!(kept.lines().count(), 2);
    // a digit of the first answer's perplexity
    let at = kept.find("perplexity_given_prompt\":").unwrap() + "perplexity_given_prompt\":".len();
    let mut bytes = kept.clone().into_bytes();
    assert!(bytes[at].is_ascii_digit());
    bytes[at] ^= 1;
    std::fs::write(&lines, bytes).unwrap();
    let (_, stderr) = place.works(&format!("{call} first"));
    assert!(stderr.contains("is kept up to line 0"), "{stderr}");
    assert_eq!(pool("first"), pool("second"));
}
