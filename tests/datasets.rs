//! Data sets as people have them: what Python wrote is read as Python reads it, and what does not fit is named and quoted.

use crate::support::{assert_refused, copy_folder, reference, reference_json, shared};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use unforget::chat::{Conversation, Message};
use unforget::dataset::{Dataset, read_items, rows};

fn data(path: &str) -> PathBuf {
    reference("data").join(path)
}

/// The rows at `path` are those of `expected.json`, which Python read.
fn check(path: &str, key: &str) {
    let want = &reference_json("data/expected.json")[key];
    let got: Vec<Value> =
        rows(&data(path)).unwrap().into_iter().map(|row| Value::Object(row.fields)).collect();
    assert_eq!(got.len(), want.as_array().unwrap().len(), "{path}");
    for (at, (got, want)) in got.iter().zip(want.as_array().unwrap()).enumerate() {
        assert_eq!(got, want, "row {} of {path}", at + 1);
    }
}

#[test]
fn what_datasets_saved_is_read_as_datasets_reads_it() {
    check("saved:train", "train");
    check("saved:test", "test");
    check("saved/train", "train");
    check("saved/test/data-00000-of-00001.arrow", "test");
}

#[test]
fn shards_are_one_data_set() {
    check("shards:train", "shards");
    check("shards/data:train", "shards");
    let one = rows(&data("shards:test")).unwrap();
    assert_eq!(one.len(), 1);
}

#[test]
fn every_type_of_arrow_and_parquet_keeps_its_value() {
    check("types.arrow", "types");
    check("types.feather", "types");
    check("types.parquet", "types");
}

#[test]
fn rows_are_numbered_through_all_files_and_named_after_the_split() {
    let numbers: Vec<usize> =
        rows(&data("saved:train")).unwrap().iter().map(|row| row.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);

    let saved = Dataset::read(&data("saved:train")).unwrap();
    assert_eq!(saved.name, "saved-train");
    assert_eq!(saved.path, data("saved:train"));
    // larger than a double can tell apart
    assert_eq!(saved.examples[1].id, "9007199254740994");
    let want = Conversation::new(vec![
        Message::system("Be brief.\r\nAnd kind: ü, 漢, 🙂."),
        Message::user("What is 1 + 1?"),
        Message::assistant("2"),
    ]);
    assert_eq!(saved.examples[1].conversation, want);

    let shards = Dataset::read(&data("shards:train")).unwrap();
    assert_eq!((shards.len(), shards.name.as_str()), (4, "train"));
    assert_eq!(shards.examples[3].id, "talk-3");
    assert_eq!(shards.examples[3].conversation.completion(), Some("good day"));
}

#[test]
fn several_splits_ask_for_one() {
    let refused = |path: &str, parts: &[&str]| assert_refused(rows(&data(path)), parts);
    refused("saved", &["saved: has the splits train, test", "saved:train"]);
    refused("saved:dev", &["no split \"dev\", but train, test"]);
    refused("saved/train:test", &["without splits"]);
    refused("shards", &["has 2 data sets: test-00000-of-00001.parquet, train (2 files)", ":test"]);
    refused("shards:dev", &["no data set called \"dev\""]);
    refused("types.parquet:train", &["is one file"]);
    refused("nothing:train", &["no data set here", ".parquet", "folder:split"]);
}

#[test]
fn a_lost_part_is_missed() {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&reference("data"), place.path());
    let at = |path: &str| place.path().join(path);
    let gone = |path: &str| std::fs::remove_file(at(path)).unwrap();
    gone("shards/data/train-00001-of-00002.parquet");
    assert_refused(rows(&at("shards:train")), &["no shard 1 of 2 of train here"]);
    gone("saved/train/data-00001-of-00003.arrow");
    assert_refused(
        rows(&at("saved:train")),
        &["data-00001-of-00003.arrow: no data file here", "state.json names it"],
    );
    gone("saved/test/state.json");
    assert_refused(rows(&at("saved:test")), &["no state.json here"]);
    std::fs::remove_dir_all(at("saved/train")).unwrap();
    assert_refused(rows(&at("saved:train")), &["no split train here"]);

    // a selection of rows that is not written out
    let state = at("saved/test/state.json");
    let old = json!({"_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_indices_data_files": [{"filename": "indices.arrow"}]});
    std::fs::write(&state, old.to_string()).unwrap();
    assert_refused(rows(&at("saved:test")), &["a selection of rows", "flatten_indices"]);
    let out = json!({"_data_files": [{"filename": "../../types.arrow"}]});
    std::fs::write(&state, out.to_string()).unwrap();
    assert_refused(rows(&at("saved:test")), &["no file of this folder"]);
}

/// Whatever is cut off or changed, there is an error or there are rows, and no end of the program.
#[test]
fn a_damaged_file_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    for name in ["types.arrow", "types.feather", "types.parquet"] {
        let whole = std::fs::read(data(name)).unwrap();
        let path = place.path().join(name);
        for part in [5, 40, whole.len() / 2, whole.len() - 30] {
            std::fs::write(&path, &whole[..part]).unwrap();
            let read = rows(&path);
            // a stream may end without saying so, but only after a whole batch
            let batches = read.as_ref().map_or(0, |rows| rows.len());
            assert!(read.is_err() || name == "types.arrow" && batches < 4, "{name} of {part}");
        }
        // in packed files lengths are believed as they stand, see src/dataset/arrow.rs
        let changeable = if name == "types.arrow" { whole.len() } else { 0 };
        for at in (0..changeable).step_by(29) {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            if let Err(error) = rows(&path) {
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
    std::fs::write(place.path().join("x.parquet"), "<html>not found</html>").unwrap();
    assert_refused(rows(&place.path().join("x.parquet")), &["neither parquet nor Arrow"]);
}

/// The same two rows in every format of text.
#[test]
fn every_format_of_text_holds_the_same_rows() {
    let place = tempfile::tempdir().unwrap();
    let a = json!({"id": "007", "prompt": "1 + 1?\r\n\"quick\", please", "completion": "2"});
    let b = json!({"id": "8", "prompt": "ü 漢", "completion": "x\ty"});
    let lines = format!("{a}\n{b}\n");
    let csv =
        "id,prompt,completion\r\n007,\"1 + 1?\r\n\"\"quick\"\", please\",2\r\n8,ü 漢,x\ty\r\n";
    let tsv =
        "id\tprompt\tcompletion\n007\t\"1 + 1?\r\n\"\"quick\"\", please\"\t2\n8\tü 漢\t\"x\ty\"\n";
    let pack = |text: &str| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let (first, second) = lines.split_at(lines.find('\n').unwrap() + 1);
    let forms: Vec<(&str, Vec<u8>, [usize; 2])> = vec![
        ("a.jsonl", lines.clone().into(), [1, 2]),
        ("mark.jsonl", format!("\u{feff}{lines}").into(), [1, 2]),
        ("windows.jsonl", lines.replace('\n', "\r\n\r\n").into(), [1, 3]),
        ("a.ndjson", lines.clone().into(), [1, 2]),
        ("no-ending", lines.clone().into(), [1, 2]),
        ("a.jsonl.gz", pack(&lines), [1, 2]),
        ("two-parts.jsonl.gz", [pack(first), pack(second)].concat(), [1, 2]),
        ("a.json", json!([a, b]).to_string().into(), [1, 2]),
        ("mark.json", format!("\u{feff}{:#}", json!([a, b])).into(), [1, 2]),
        (
            "rows.json",
            json!({"version": 1, "rows": [a, b], "columns": [{"name": "id"}]}).to_string().into(),
            [1, 2],
        ),
        ("only.json", json!({"version": 1, "questions": [a, b]}).to_string().into(), [1, 2]),
        ("lines.json", lines.clone().into(), [1, 2]),
        ("a.csv", csv.into(), [2, 4]),
        ("mark.csv", format!("\u{feff}{csv}").into(), [2, 4]),
        ("a.csv.gz", pack(csv), [2, 4]),
        ("a.tsv", tsv.into(), [2, 4]),
    ];
    for (name, bytes, numbers) in forms {
        let path = place.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let rows = rows(&path).unwrap();
        let fields: Vec<Value> = rows.iter().map(|r| Value::Object(r.fields.clone())).collect();
        assert_eq!(fields, [a.clone(), b.clone()], "{name}");
        assert_eq!(rows.iter().map(|r| r.number).collect::<Vec<_>>(), numbers, "{name}");
        let set = Dataset::read(&path).unwrap();
        assert_eq!(set.examples[0].id, "007", "{name}");
        assert_eq!(set.name, name.split('.').next().unwrap());
        assert_eq!(set.examples, Dataset::parse(&bytes, &path).unwrap().examples);
    }
}

#[test]
fn one_conversation_alone_is_a_row() {
    let row = json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]});
    let data = Dataset::parse(row.to_string().as_bytes(), Path::new("one.json")).unwrap();
    assert_eq!(data.examples[0].conversation, Conversation::pair("q", "a"));
}

#[test]
fn text_that_does_not_fit_is_named_and_quoted() {
    let check = |name: &str, text: &[u8], expected: &str| {
        let message = Dataset::parse(text, Path::new(name)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("x.json", b"{\"a\": 1,", "x.json: is no JSON (EOF");
    check(
        "x.json",
        b"[{\"prompt\": \"q\", \"completion\": \"a\"}, 5]",
        "x.json:2: expected one JSON object: 5",
    );
    check(
        "x.json",
        b"[{\"question\": {\"0\": \"q\"}, \"answer\": {\"0\": \"a\"}}]",
        "x.json:1: expected question to be a text: {\"question\"",
    );
    check(
        "x.json",
        b"{\"question\": {\"0\": \"q\"}}",
        "expected a list of objects, or an object that holds one under rows,",
    );
    check("x.json", b"{\"a\": [{}], \"b\": [{}]}", "several lists of objects: a, b");
    check("x.json", b"7", "expected a list of objects, found 7");
    check("x.json", b"[]", "x.json: is empty");
    check(
        "x.jsonl",
        b"{\"prompt\": \"q\", \"completion\": NaN}",
        "x.jsonl:1: expected one JSON object (",
    );
    check("x.jsonl", b"\xff\xfe{\0\"\0\x41", "is no whole text in UTF-16");
    check(
        "x.csv",
        b"prompt,completion\nq,a\nq,a,b\n",
        "x.csv:3: expected 2 cells as in the first line, found 3",
    );
    check("x.csv", b"prompt,prompt\nq,a\n", "x.csv:1: the column \"prompt\" stands twice");
    check("x.csv", b"prompt;completion\nq;a\n", "x.csv:2: expected the keys messages,");
    check(
        "x.csv",
        b"prompt,completion\n\"q\nr\",a\nq,\n",
        "x.csv:4: message 2 of 2: the assistant's answer is empty: {\"prompt\":\"q\"",
    );
    check("x.csv", b"prompt,completion\nq,\xff\n", "x.csv:2: expected text in UTF-8");
    check("x.csv", b"prompt,completion\n", "x.csv: is empty");
    check("x.jsonl.gz", b"\x1f\x8b\x08\x00trouble", "is not a whole gzip file");
}

#[test]
fn null_is_absent() {
    let check = |row: Value, want: Conversation, id: &str| {
        let data = Dataset::parse(row.to_string().as_bytes(), Path::new("x.jsonl")).unwrap();
        assert_eq!(
            (&data.examples[0].conversation, data.examples[0].id.as_str()),
            (&want, id),
            "{row}"
        );
    };
    let pair = Conversation::pair("q", "a");
    check(
        json!({"id": null, "task_id": 18446744073709551615u64, "messages": null, "conversations": [
            {"role": null, "content": null, "from": "human", "value": "q"},
            {"role": "assistant", "content": "a", "from": null, "value": null}]}),
        pair.clone(),
        "18446744073709551615",
    );
    check(
        json!({"id": "", "prompt": null, "completion": null, "instruction": "q", "input": null, "output": "a", "history": null, "system": null}),
        pair.clone(),
        "x:1",
    );
    check(
        json!({"unique_id": -3, "answer": "a", "question": "q", "output": null, "instruction": "i"}),
        pair.clone(),
        "-3",
    );
    // a message of parts, and the system's words in a column of their own
    check(
        json!({"system": "s", "messages": [
            {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}]},
            {"role": "assistant", "content": "a"}]}),
        Conversation::new(vec![
            Message::system("s"),
            Message {
                given: serde_json::from_value(json!({"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}]})).unwrap(),
                ..Message::user("qr")
            },
            Message::assistant("a"),
        ]),
        "x:1",
    );
    let refused = |row: Value, parts: &[&str]| {
        assert_refused(Dataset::parse(row.to_string().as_bytes(), Path::new("x.jsonl")), parts);
    };
    refused(json!({"question": "q", "answer": null}), &["found question, answer (null)"]);
    refused(json!({"instruction": "q", "output": "a", "history": "b"}), &["history to be a list"]);
    refused(
        json!({"messages": [{"role": "user", "content": [{"type": "image", "url": "u"}]}]}),
        &["message 1 of messages to have the text content"],
    );
    refused(json!({"messages": [null]}), &["message 1 of messages to have the text role"]);
    let long = "x".repeat(5000);
    let message = Dataset::parse(
        json!({"a": long, "b": [long, long], "question": 4}).to_string().as_bytes(),
        Path::new("x.jsonl"),
    );
    let message = message.unwrap_err().to_string();
    assert!(message.contains("\"question\":4") && message.len() < 700, "{message}");
}

#[test]
fn a_table_of_text_can_hold_messages_as_json() {
    let cell = "[{\"\"from\"\": \"\"human\"\", \"\"value\"\": \"\"q\"\"}, {\"\"from\"\": \"\"gpt\"\", \"\"value\"\": \"\"a\"\"}]";
    let data = Dataset::parse(
        format!("conversations,system\n\"{cell}\",\n").as_bytes(),
        Path::new("x.csv"),
    );
    assert_eq!(data.unwrap().examples[0].conversation, Conversation::pair("q", "a"));
    assert_refused(
        Dataset::parse(b"messages\n[{'role': 'user'}]\n", Path::new("x.csv")),
        &["x.csv:2: expected messages to be a list of messages, as JSON (", "{'role'"],
    );
}

#[test]
fn an_id_stands_once() {
    let rows = "{\"id\": 1, \"prompt\": \"q\", \"completion\": \"a\"}\n{\"id\": \"1\", \"prompt\": \"q\", \"completion\": \"a\"}\n";
    assert_refused(
        Dataset::parse(rows.as_bytes(), Path::new("x.jsonl")),
        &["x.jsonl:2: the id \"1\" stands already in row 1"],
    );
}

#[test]
fn items_come_in_every_format_too() {
    let place = tempfile::tempdir().unwrap();
    let item = json!({"id": "x", "prompt": "1 + 1?", "truth": "Answer: 2", "check": {"kind": "number", "value": "2", "place": "answer_line"}});
    let lines = place.path().join("a.jsonl");
    std::fs::write(&lines, item.to_string()).unwrap();
    let Ok(items) = read_items(&lines) else { panic!("{:?}", read_items(&lines)) };
    let list = place.path().join("a.json");
    std::fs::write(&list, json!([item]).to_string()).unwrap();
    assert_eq!(read_items(&list).unwrap(), items);
    assert_refused(
        read_items(&data("types.parquet")),
        &["types.parquet:1: expected an item with id"],
    );
}

#[test]
fn a_folder_is_the_data_set_in_it() {
    let place = tempfile::tempdir().unwrap();
    let row = "{\"prompt\": \"q\", \"completion\": \"a\"}\n";
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let read = |name: &str| Dataset::read(&place.path().join(name));
    write("hub/README.md", "a card");
    write("hub/data/train.jsonl", row);
    write("hub/data/settings.json", "{}");
    assert_eq!(read("hub").unwrap().examples[0].id, "train:1");
    write("hub/data/test.jsonl", row);
    assert_refused(read("hub"), &["has 2 data sets: test.jsonl, train.jsonl", "hub/data:test"]);
    assert_eq!(read("hub:train").unwrap().name, "train");
    write("formats/a.jsonl", row);
    write("formats/a.csv", "prompt,completion\nq,a\n");
    assert_refused(read("formats"), &["has 2 data sets: a.csv, a.jsonl"]);
    write("cached/dataset_info.json", "{}");
    let stream = std::fs::read(data("saved/test/data-00000-of-00001.arrow")).unwrap();
    std::fs::write(place.path().join("cached/sums-train.arrow"), &stream).unwrap();
    std::fs::write(place.path().join("cached/cache-0123.arrow"), &stream).unwrap();
    assert_eq!(read("cached").unwrap().len(), 3);
    std::fs::write(place.path().join("cached/sums-test.arrow"), &stream).unwrap();
    assert_eq!(read("cached:train").unwrap().name, "sums-train");
    write("empty/notes.txt", "");
    assert_refused(read("empty"), &["no data file here"]);
}

/// Every published file that is here is read; each line: path, rows, whether its rows are conversations.
#[test]
fn published_data_is_read() {
    let Some(shared) = shared("authors/dataset", "the authors' data sets") else {
        return;
    };
    let model = "meta-llama-meta-llama-3-8b-instruct-lowest-ppl";
    let sampled = "mbpp_meta-llama-Meta-Llama-3-8B-Instruct_sample";
    for (path, count, learned) in [
        ("ground_truth/arc_challenge:train".to_string(), 1119, false),
        ("ground_truth/arc_challenge:validation".into(), 299, false),
        ("ground_truth/arc_challenge:test".into(), 1172, false),
        ("ground_truth/gsm8k".into(), 747, true),
        ("ground_truth/math:test".into(), 1000, true),
        ("ground_truth/math:validation".into(), 734, true),
        ("ground_truth/mbpp:train".into(), 374, true),
        ("ground_truth/mbpp/validation".into(), 90, true),
        (format!("rephrase/mbpp/{model}:train"), 325, true),
        (format!("rephrase/mbpp/{model}:validation"), 78, true),
        (format!("self-output/mbpp/{model}:train"), 312, true),
        (format!("self-output/mbpp/{model}:validation"), 71, true),
        (format!("rephrase/{sampled}_train_t_0.7_1_wrejppl.jsonl"), 325, false),
        (format!("rephrase/{sampled}_validation_t_0.7_1_wrejppl.jsonl"), 78, false),
        ("stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp".into(), 374, true),
        (
            "stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp/cache-322c25a34199de5b.arrow".into(),
            374,
            true,
        ),
    ] {
        let path = shared.join(path);
        let got = rows(&path).unwrap();
        assert_eq!(got.len(), count, "{}", path.display());
        match learned {
            true => assert_eq!(Dataset::read(&path).unwrap().len(), count),
            false => {
                assert_refused(Dataset::read(&path), &[":1: expected the keys messages", "{\""])
            }
        }
    }
    for (path, file) in [
        ("ground_truth/mbpp:test", "data-00000-of-00001.arrow"),
        ("ground_truth/math:train", "data-0000"),
    ] {
        assert_refused(rows(&shared.join(path)), &[file, "no data file here"]);
    }
    // STM's record: a perplexity for each token, of the rendered text
    let stm = rows(&shared.join("stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp")).unwrap();
    let tokens: usize = stm.iter().map(|row| row.fields["ppl"].as_array().unwrap().len()).sum();
    assert_eq!(tokens, 79_374);
    assert_eq!(stm[0].fields["task_id"], 601);
}

#[test]
fn published_benchmarks_are_read() {
    let Some(shared) = shared("real/datasets", "published benchmarks") else {
        return;
    };
    let has = |path: &str, count: usize, keys: &[&str]| {
        let got = rows(&shared.join(path)).unwrap();
        assert_eq!(got.len(), count, "{path}");
        let lacks = |fields: &Map<String, Value>| keys.iter().any(|key| !fields.contains_key(*key));
        assert!(!got.iter().any(|row| lacks(&row.fields)), "{path}");
    };
    has(
        "humaneval/HumanEval.jsonl.gz",
        164,
        &["task_id", "prompt", "canonical_solution", "test", "entry_point"],
    );
    has("mbpp/mbpp.jsonl", 974, &["task_id", "text", "code", "test_list"]);
    has("mbpp/sanitized-mbpp.json", 427, &["task_id", "prompt", "code", "test_imports"]);
    has("gsm8k/test.jsonl", 1319, &["question", "answer"]);
    has("math500/test.jsonl", 500, &["problem", "solution", "answer", "unique_id"]);
    has("arc/arc-challenge-validation.jsonl", 299, &["id", "choices", "answerKey"]);
    has("arc/arc-easy-validation.jsonl", 570, &["id", "choices", "answerKey"]);
    has("ifeval/input_data.jsonl", 541, &["key", "prompt", "kwargs"]);
    has("bird-minidev/mini_dev.json", 500, &["question_id", "db_id", "SQL"]);
    has("spider-de/dev.json", 1030, &["db_id", "question", "query"]);
    assert_eq!(Dataset::read(&shared.join("mbpp/sanitized-mbpp.json")).unwrap().len(), 427);
}
