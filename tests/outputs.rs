//! What the built program writes: files that keep what was there, and a terminal that nothing steers.

use crate::cli::{Place, items, sums};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

const TRAIN: &str = "finetune --model model --data sums.jsonl --preset lab --num-epochs 1";

fn with_data() -> Place {
    let place = Place::new();
    place.write_rows("sums.jsonl", &sums());
    place.write_rows("items.jsonl", &items());
    place
}

/// All files below `folder` with their bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(contents(&path)),
            false => drop(all.insert(path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
    all
}

/// Of each kind of result: it is replaced by a later call, unless somebody has changed it or put something beside it.
#[test]
fn results_are_replaced_only_while_they_are_as_they_were_written() {
    let place = with_data();
    let adapter = format!("{TRAIN} --out adapter --log log");
    for (call, file, folder) in [
        (adapter.as_str(), "adapter/adapter_config.json", Some("adapter")),
        (adapter.as_str(), "log/steps.jsonl", None),
        (
            "export merged --model model --adapter adapter --out merged",
            "merged/config.json",
            Some("merged"),
        ),
        (
            "export lora --model model --adapter adapter --out lora",
            "lora/adapter_config.json",
            Some("lora"),
        ),
        ("export masks --model model --data sums.jsonl --out m.jsonl", "m.jsonl", None),
        ("perplexity --model model --data sums.jsonl --out t", "t/tokens-00000.parquet", Some("t")),
        ("perplexity --model model --data sums.jsonl --out t.parquet", "t.parquet", None),
    ] {
        place.works(call);
        place.works(call);
        let before = std::fs::read(place.path(file)).unwrap();
        // somebody else's of the same name
        place.write(file, "mine");
        place.refuses(call, &[file.split('/').next().unwrap(), "earlier result", "name a new f"]);
        assert_eq!(std::fs::read_to_string(place.path(file)).unwrap(), "mine");
        std::fs::write(place.path(file), before).unwrap();
        if let Some(folder) = folder {
            let mine = format!("{folder}/data/mine.csv");
            place.write(&mine, "1");
            place.refuses(call, &[folder, "data/mine.csv"]);
            assert!(place.path(&mine).is_file());
            std::fs::remove_dir_all(place.path(&format!("{folder}/data"))).unwrap();
        }
        place.works(call);
    }
}

#[test]
fn a_call_without_a_right_answer_keeps_what_an_earlier_one_chose() {
    let place = with_data();
    let call = "generate rephrase --model model --items items.jsonl --max-new-tokens 4 --out own";
    place.refuses(call, &["none of the 4 sampled answers is right", "; pool.jsonl says why"]);
    // as an earlier call with right answers would have left it
    let good = place.works("finetune --model model --data items.jsonl --out known --preset lab --full --learning-rate 1e-2 --num-epochs 80 --batch-size 4");
    assert!(good.success);
    let own = "generate self-output --model known --items items.jsonl --samples 3 --max-new-tokens 16 --out own";
    place.works(own);
    let before = contents(&place.path("own"));
    place.refuses(call, &["none of the 4 sampled answers is right", "pool-none-right.jsonl"]);
    let after = contents(&place.path("own"));
    for (name, bytes) in before.iter().filter(|(name, _)| name.ends_with(".jsonl")) {
        assert_eq!(after.get(name), Some(bytes), "{name}");
    }
    assert!(place.path("own/pool-none-right.jsonl").is_file());
    place.works(own);
}

#[test]
fn training_in_full_keeps_every_field_and_file_of_the_base() {
    let place = with_data();
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(place.path(name)).unwrap()).unwrap()
    };
    let mut config = read("model/config.json");
    config["torch_dtype"] = json!("bfloat16");
    config["pretraining_tp"] = json!(1);
    config["my_field"] = json!({"z": [1e-5, 1000000.0], "a": null});
    config["eos_token_id"] = json!(0);
    place.write("model/config.json", &config.to_string());
    let generation =
        "{\"temperature\": 0.6, \"top_p\": 0.95,\n \"eos_token_id\": [0, 1], \"cache\": null}";
    place.write("model/generation_config.json", generation);
    place.write("model/added_tokens.json", "{}");
    place.write("model/vocab.json", "{}");
    place.write("model/LICENSE", "mine");
    place.write("model/additional_chat_templates/tools.jinja", "{{ messages }}");
    place.works(&format!("{TRAIN} --full --out tuned"));
    place.works(&format!("{TRAIN} --out adapter"));
    place.works("export merged --model model --adapter adapter --out merged");
    for (folder, dtype) in [("tuned", "float32"), ("merged", "bfloat16")] {
        let own = read(&format!("{folder}/config.json"));
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&own), keys(&config), "{folder}: fields and their order");
        config["torch_dtype"] = json!(dtype);
        assert_eq!(own, config, "{folder}");
        let text = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
        assert_eq!(text(&format!("{folder}/generation_config.json")), generation);
        let template = "additional_chat_templates/tools.jinja";
        for name in ["added_tokens.json", "vocab.json", "LICENSE", "tokenizer.json", template] {
            assert_eq!(text(&format!("{folder}/{name}")), text(&format!("model/{name}")), "{name}");
        }
    }
}

/// Calls of every verb that can end well or print without much work.
const PRINTING: [&str; 22] = [
    "--help",
    "--version",
    "help finetune",
    "doctor",
    "weights --list",
    "weights --list --json",
    "weights stm(2.5)",
    "table",
    "figure --json",
    "table 3 --recipe",
    "perplexity --model model --data sums.jsonl",
    "perplexity --model model --data sums.jsonl --json",
    "ledger tokens.parquet",
    "weights stm(2.5) --tokens tokens.parquet --json",
    "finetune --model model --data sums.jsonl --preset lab --num-epochs 1 --out adapter",
    "evaluate --model model --items items.jsonl --max-new-tokens 4 --show 2",
    "evaluate --model model --items items.jsonl --max-new-tokens 4 --json",
    "export masks --model model --data sums.jsonl --out masks.jsonl",
    "export merged --model model --adapter adapter --out merged",
    "export lora --model model --adapter adapter --out lora --json",
    "items --benchmark gsm8k=gsm8k.jsonl --out made.jsonl",
    "card finetune/sums",
];

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_an_end() {
    let place = with_data();
    place.write_rows("gsm8k.jsonl", &[json!({"question": "?", "answer": "1\n#### 1"})]);
    place.works("perplexity --model model --data sums.jsonl --out tokens.parquet");
    for call in PRINTING {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = place.command(call).stdout(full).output().unwrap();
        let stderr = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(1), "{call}: {stderr}");
        let said = stderr.contains("error: standard output: writing failed: No space left");
        assert!(said && !stderr.contains("panicked"), "{call}: {stderr}");

        let mut child = place.command(call);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let closed = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(closed.stderr).unwrap();
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{call}: {stderr}");

        // nor does it matter when nobody can be told
        let nobody = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let nobody = place.command(call).stdout(Stdio::null()).stderr(nobody).status().unwrap();
        assert!(nobody.code().is_some_and(|code| code < 2), "{call}: {nobody}");
    }
    // what a call writes to files is there
    assert!(place.path("masks.jsonl").is_file() && place.path("adapter").is_dir());
}

/// Printing goes through one place, which does not panic and escapes what would steer a terminal.
#[test]
fn no_verb_prints_by_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for name in ["println!", "print!", "eprint!", "eprintln!", "io::stdout()", "io::stderr()"] {
            let own = path.ends_with("terminal.rs")
                || (path.ends_with("mod.rs") && name == "io::stdout()");
            assert!(own || !text.contains(name), "{}: {name}", path.display());
        }
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_refused_before_any_work() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = with_data();
    let odd = |name: &[u8]| place.path("").join(OsStr::from_bytes(name));
    let refused = |call: &str, argument: Option<&Path>, part: &str| {
        let mut command = place.command(call);
        let output = command.args(argument).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{call}: {stderr}");
        assert!(stderr.contains("UTF-8") && stderr.contains(part), "{call}: {stderr}");
        assert!(!place.path("unforget-store").exists(), "{call}: nothing was computed");
    };
    std::fs::copy(place.path("sums.jsonl"), odd(b"sum\xff.jsonl")).unwrap();
    let data = odd(b"sum\xff.jsonl");
    for (call, name) in [
        ("finetune --model model --data sums.jsonl --out", odd(b"\xffout")),
        ("finetune --model model --out out --data", data.clone()),
        ("evaluate --model model --items items.jsonl --json --out", odd(b"\xffout")),
        ("perplexity --model model --data", data),
        ("run", odd(b"\xff.toml")),
    ] {
        refused(call, Some(&name), "\\xFF");
    }
    // nor by way of a folder, the current one, or a variable
    std::fs::create_dir(place.path("folder")).unwrap();
    std::fs::copy(place.path("sums.jsonl"), odd(b"folder/sum\xff.jsonl")).unwrap();
    refused("finetune --model model --data folder --out out", None, "\\xFF");
    let here = odd(b"here\xff");
    std::fs::create_dir(&here).unwrap();
    let output = place.command("weights --list").current_dir(&here).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let mut command = place.command("perplexity --model own/toy --data sums.jsonl");
    let output = command.env("HF_HOME", OsStr::from_bytes(b"/h\xff")).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("HF_HOME"), "{stderr}");
}

#[test]
fn tasks_with_fewer_items_than_usual_are_graded_whole() {
    let place = with_data();
    place.write_rows("tasks/sums/test.jsonl", &items());
    let call = "evaluate --model model --tasks tasks --task sums --max-new-tokens 4";
    for (limit, rows, said) in
        [("", 4, ""), ("--limit 2", 2, ""), ("--limit 0", 4, ""), ("--limit 9", 4, "has 4 items")]
    {
        let outcome = place.works(&format!("{call} {limit} --json"));
        let graded: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(graded[0][1].as_array().unwrap().len(), rows, "{limit}");
        assert!(outcome.stderr.contains(said) && outcome.stderr.is_empty() == said.is_empty());
    }
    place.refuses(&call.replace("sums", "chess"), &["`chess`", "test.jsonl"]);
}

/// What users' files say, wherever it is shown, steers no terminal.
#[test]
fn control_characters_of_data_are_shown_as_escapes() {
    const STEERING: &str = "\u{1b}[31mred\u{7}\u{9b}2J\r\u{7f}";
    let place = with_data();
    let plain = |call: &str, shown: bool| {
        let outcome = place.run(call);
        for text in [&outcome.stdout, &outcome.stderr] {
            let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
            assert!(!text.contains(steers), "{call}: {text:?}");
            assert!(!text.contains("\nerror: faked"), "{call}: {text:?}");
        }
        let both = outcome.stdout.clone() + &outcome.stderr;
        assert!(!shown || both.contains("[31mred"), "{call}: {both}");
        outcome
    };
    let name = |end: &str| format!("{STEERING}\nerror: faked{end}");
    // rows that are refused
    for row in [
        json!({"prompt": STEERING, "completion": 3}),
        json!({name(""): "?"}),
        json!({"messages": [{"role": name(""), "content": "Hi"}]}),
        json!({"id": name(""), "messages": [{"role": "assistant", "content": name("")}, {"role": "user", "content": "?"}]}),
    ] {
        place.write_rows("bad.jsonl", &[row]);
        let outcome = plain("perplexity --model model --data bad.jsonl", true);
        assert!(!outcome.success);
    }
    place.write("bad.jsonl", "{\"prompt\": \"\u{1b}[31mred\"");
    plain("perplexity --model model --data bad.jsonl", false);
    // ids that notes, tables and JSON name
    let mut rows = sums();
    rows.push(json!({"id": name("1"), "prompt": "Tell!", "completion": "1".repeat(600)}));
    place.write_rows("long.jsonl", &rows);
    plain("perplexity --model model --data long.jsonl", true);
    plain("perplexity --model model --data long.jsonl --too-long drop", true);
    let summary = plain("perplexity --model model --data long.jsonl --too-long drop --json", true);
    let summary: Value = serde_json::from_str(&summary.stdout).unwrap();
    assert_eq!(summary["too_long"], json!([name("1")]), "a reader of JSON gets it back");
    // answers that are shown
    let mut rows = items();
    for row in &mut rows {
        row["prompt"] = json!(STEERING);
        row["id"] = json!(name(row["id"].as_str().unwrap()));
    }
    place.write_rows("odd.jsonl", &rows);
    let evaluate = "evaluate --model model --items odd.jsonl --max-new-tokens 4";
    plain(&format!("{evaluate} --show 2"), true);
    plain(&format!("{evaluate} --json"), true);
    plain("generate rephrase --model model --items odd.jsonl --max-new-tokens 4 --out own", true);
    // configs, recipes, templates and options
    place.write("recipe.toml", &format!("target = \"{}\"", "\\u001b[31mred"));
    plain("run recipe.toml", true);
    plain(&format!("run {}", "\u{1b}[31mred.toml"), true);
    plain("\u{1b}[31mred", true);
    plain("weights \u{1b}[31mred", true);
    plain("card \u{1b}[31mred", true);
    place.write("model/chat_template.jinja", "{{ raise_exception('\u{1b}[31mred') }}");
    plain("perplexity --model model --data sums.jsonl", true);
    place.write("model/config.json", "{\"model_type\": \"\\u001b[31mred\"}");
    plain("perplexity --model model --data sums.jsonl", true);
}
