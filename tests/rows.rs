//! Rows of users' data files: nothing in them is lost, and what cannot be used is named with the way out.
//!
//! What transformers makes of conversations is in `tests/reference/conversations.json`, by `make_conversations.py`.

use crate::support::{assert_refused, python_with, reference_json, run_python, shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::benchmark::{Ask, Benchmark, Prompts};
use unforget::dataset::{Dataset, Kind, read_items, read_usable_items, rows};
use unforget::samples::{self, Measure};
use unforget::scored::Scored;
use unforget::select::Weighting;
use unforget::tokens::{ChatTemplate, Sequence, Tokenizer, TooLong, sequence, usable_sequences};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/model");

/// ChatML with thoughts and calls, in the tokens of the lab's tokenizer.
const TEMPLATE: &str = "{% if tools %}<|user|>{{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}!{{ c.name }}{{ c.arguments | tojson }}{% endfor %}<|end|>{% else %}<|user|>{{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// The lab's tokenizer with this template in the place of its own.
fn tokenizer(template: &str) -> (tempfile::TempDir, Tokenizer) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(Path::new(LAB).join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    (folder, tokenizer)
}

fn parse(rows: &[Value]) -> unforget::error::Result<Dataset> {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    Dataset::parse(lines.concat().as_bytes(), Path::new("x.jsonl"))
}

fn sequence_of(row: Value, template: &str) -> unforget::error::Result<Sequence> {
    let (_folder, tokenizer) = tokenizer(template);
    sequence(&tokenizer, &parse(&[row])?.examples[0])
}

/// What is learned of a row, token by token.
fn learned(row: Value) -> String {
    let sequence = sequence_of(row.clone(), TEMPLATE).unwrap_or_else(|e| panic!("{row}: {e}"));
    sequence.completion.positions().map(|at| sequence.token_text(at)).collect()
}

/// Compares a rendering with what transformers made of the same.
fn compare(case: &Value, row: &Value, template: &ChatTemplate, name: &str) -> Result<(), String> {
    let opening = case["opening"].as_bool().unwrap();
    let mut row = row.clone();
    if case["row"] == "no tools in the list" {
        row["tools"] = json!([]);
    }
    // what is opened need not end with an answer
    let data = parse(&[row]).map_err(|error| error.to_string())?;
    let conversation = &data.examples[0].conversation;
    let got = template.render_with(&conversation.messages, &conversation.variables, opening);
    let parts =
        conversation.messages.iter().any(|m| m.given.get("content").is_some_and(Value::is_array));
    match (case["text"].as_str(), got) {
        // transformers prints the list as Python does; here a part is given as its text, or refused
        (Some(text), got) if parts && text.contains("{'type':") => match got {
            Ok(got) if got.contains("{'type':") => Err(format!("{name}: {got}")),
            _ => Ok(()),
        },
        (None, _) if parts => Ok(()),
        // a template that takes content for a text or for nothing
        (Some(text), got) if parts && !text.contains("One.") => match got {
            Ok(got) if !got.contains("One.") => Err(format!("{name}: {got}")),
            _ => Ok(()),
        },
        (Some(text), Ok(got)) if got == text => Ok(()),
        (None, Err(_)) => Ok(()),
        (text, got) => Err(format!("{name}:\n got {got:?}\nwant {text:?} {}", case["error"])),
    }
}

#[test]
fn conversations_reach_the_template_as_in_transformers() {
    let table = reference_json("conversations.json");
    let special: BTreeMap<String, String> =
        [("bos_token".to_string(), "<s>".to_string()), ("eos_token".into(), "</s>".into())].into();
    let cases = table["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let (template, row) = (case["template"].as_str().unwrap(), case["row"].as_str().unwrap());
        let name = format!("{template}, {row}");
        let source = table["templates"][template].as_str().unwrap();
        let template = ChatTemplate::new(source, Path::new("x.jinja"), special.clone()).unwrap();
        wrong.extend(compare(case, &table["rows"][row], &template, &name).err());
    }
    assert!(cases.len() >= 200);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

const RENDER: &str = "
import json, sys
from transformers.utils.chat_template_utils import render_jinja_template
asked = json.load(sys.stdin)
for name, source, special in asked['templates']:
    for row, given in asked['rows'].items():
        for opening in [False, True]:
            variables = {**special, **given.get('chat_template_kwargs', {})}
            out = {'template': name, 'row': row, 'opening': opening}
            try:
                texts, _ = render_jinja_template([given['messages']], chat_template=source, add_generation_prompt=opening,
                    tools=given.get('tools'), documents=given.get('documents'), **variables)
                out['text'] = texts[0]
            except Exception as error:
                out['error'] = str(error)
            print(json.dumps(out))
";

/// The same rows in the templates of real models, which are not part of the project.
#[test]
fn conversations_reach_real_templates_as_in_transformers() {
    let Some(folder) = shared("real/tokenizers", "real chat templates") else { return };
    let Some(python) = python_with("transformers") else { return };
    let rows = reference_json("conversations.json")["rows"].clone();
    let mut templates = BTreeMap::new();
    for name in
        ["qwen2.5", "mistral-v0.3", "smollm2", "olmo2", "gemma2-standin", "minimind", "llama3"]
    {
        let tokenizer = Tokenizer::open(&folder.join(name)).unwrap();
        let Some(template) = tokenizer.template() else { continue };
        let text = |name: &str| tokenizer.special(name).map(|of| (name.to_string(), of.text));
        let special: BTreeMap<String, String> =
            ["bos_token", "eos_token"].into_iter().filter_map(text).collect();
        templates.insert(name.to_string(), (template.source().to_string(), special));
    }
    let llama = [("bos_token".to_string(), "<|begin_of_text|>".to_string())];
    for name in ["llama3.1", "llama3.2"] {
        let file = folder.join(format!("llama3/chat_template_{name}.jinja"));
        let source = std::fs::read_to_string(file).unwrap();
        // it shows today's date where none is given
        let source = source.replace("strftime_now(\"%d %b %Y\")", "'1 May 2026'");
        templates.insert(name.to_string(), (source, llama.clone().into()));
    }
    let asked: Vec<Value> =
        templates.iter().map(|(name, (source, special))| json!([name, source, special])).collect();
    let asked = json!({"templates": asked, "rows": rows});
    let (mut wrong, mut same) = (Vec::new(), 0);
    for case in run_python(&python, RENDER, &asked, &[]) {
        let (name, row) = (case["template"].as_str().unwrap(), case["row"].as_str().unwrap());
        let (source, special) = &templates[name];
        let template = ChatTemplate::new(source, Path::new(name), special.clone()).unwrap();
        match compare(&case, &rows[row], &template, &format!("{name}, {row}")) {
            Ok(()) => same += 1,
            Err(problem) => wrong.push(problem),
        }
    }
    println!("{same} renderings alike");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), same + wrong.len(), wrong.join("\n"));
}

fn call() -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": [{"name": "add", "arguments": {"a": 2}}]})
}

fn said(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

#[test]
fn calls_and_thoughts_are_learned_to_the_end_of_the_turn() {
    let (user, answer) = (said("user", "2 + 3?"), said("assistant", "5"));
    let called =
        json!({"messages": [user, call(), said("tool", "5"), answer], "tools": [{"name": "add"}]});
    assert_eq!(learned(called), "!add{\"a\": 2}<|end|>5<|end|>");
    let last = json!({"messages": [user, call()]});
    assert_eq!(learned(last), "!add{\"a\": 2}<|end|>");
    let beside = json!({"messages": [user, {"role": "assistant", "content": "Wait.", "tool_calls": [{"name": "add", "arguments": {}}]}]});
    assert_eq!(learned(beside), "Wait.!add{}<|end|>");
    for key in ["reasoning_content", "thinking", "reasoning"] {
        let thought = json!({"messages": [user, {"role": "assistant", "content": "5", key: "so"}]});
        assert_eq!(learned(thought), "(so)5<|end|>", "{key}");
    }
}

#[test]
fn what_a_template_does_not_write_is_refused_not_dropped() {
    let user = said("user", "q");
    let refused = |row: Value, template: &str, parts: &[&str]| {
        assert_refused(sequence_of(row, template), parts);
    };
    let own = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|user|>{% endif %}";
    let with = |key: &str, value: Value| json!({"messages": [user, {"role": "assistant", "content": "a", key: value}]});
    let calls = json!([{"name": "f", "arguments": {}}]);
    refused(with("tool_calls", calls.clone()), own, &["x:1", "tool_calls", "chat template"]);
    refused(with("reasoning_content", json!("r")), own, &["reasoning_content"]);
    refused(with("thinking", json!("r")), own, &["thinking"]);
    refused(with("function_call", calls[0].clone()), TEMPLATE, &["function_call"]);
    let answer = said("assistant", "a");
    let beside = |key: &str, value: Value| json!({"messages": [user, answer], key: value});
    refused(beside("tools", json!([{"name": "f"}])), own, &["tools"]);
    refused(beside("documents", json!([{"text": "d"}])), TEMPLATE, &["documents"]);
    // text beside a call that the template leaves out
    let silent =
        TEMPLATE.replace("{{ m.content or '' }}", "{{ '' if m.tool_calls else m.content }}");
    refused(with("tool_calls", calls), &silent, &["leaves out or changes its text", "\"a\""]);
    // thoughts that a template leaves out of all turns but the last
    let last = TEMPLATE
        .replace("{% if m.reasoning_content %}", "{% if m.reasoning_content and loop.last %}");
    let thought = |weight: f64| json!({"role": "assistant", "content": "a", "thinking": "t", "weight": weight});
    let turns = |weight: f64| json!({"messages": [user, thought(weight), user, thought(1.0)]});
    refused(turns(1.0), &last, &["message 2 of 4", "one example of each answer"]);
    let of_last = sequence_of(turns(0.0), &last).unwrap();
    let text: String = of_last.completion.positions().map(|at| of_last.token_text(at)).collect();
    assert_eq!(text, "(t)a<|end|>");
    // no template at all
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(Path::new(LAB).join("tokenizer.json"), folder.path().join("tokenizer.json"))
        .unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), "{\"eos_token\": \"<|end|>\"}")
        .unwrap();
    let plain = Tokenizer::open(folder.path()).unwrap();
    let data = parse(&[json!({"messages": [user, call(), said("tool", "5"), answer]})]).unwrap();
    assert_refused(sequence(&plain, &data.examples[0]), &["tool_calls", "no chat template"]);
}

#[test]
fn rows_that_are_no_wanted_text_are_refused() {
    let refused = |row: Value, parts: &[&str]| assert_refused(parse(&[row]), parts);
    let pair = |key: &str, value: Value| json!({"prompt": "q", "completion": "a", key: value});
    refused(pair("label", json!(false)), &["x.jsonl:1", "label is false"]);
    refused(pair("images", json!(["a.png"])), &["images", "only text"]);
    refused(pair("functions", json!([{"name": "f"}])), &["functions", "tools"]);
    refused(pair("tools", json!({"name": "f"})), &["tools to be a list"]);
    refused(pair("weights", json!([1, 0])), &["weights", "input_ids"]);
    refused(
        json!({"prompt": "q", "completion": 4}),
        &["completion to be a text, found 4", "\"4\""],
    );
    refused(json!({"prompt": 4.5, "completion": "a"}), &["prompt to be a text, found 4.5"]);
    refused(json!({"text": "q", "label": "a"}), &["text and label", "completion"]);
    refused(json!({"text": " "}), &["empty"]);
    let part = json!([{"type": "image_url", "image_url": {"url": "u"}}]);
    refused(json!({"messages": [{"role": "user", "content": part}]}), &["message 1", "image_url"]);
    assert!(parse(&[pair("images", json!([])), pair("label", json!(true))]).is_ok());
    let data = parse(&[pair("difficulty", json!(3)), pair("tools", Value::Null)]).unwrap();
    assert_eq!(data.unread, ["difficulty"]);
}

#[test]
fn parts_of_content_are_joined_by_the_template_or_refused() {
    let part = |text: &str| json!({"type": "text", "text": text});
    let row = |parts: Vec<Value>| json!({"messages": [{"role": "user", "content": parts}, said("assistant", "a")]});
    let text = |row: Value, template: &str| sequence_of(row, template).map(|of| of.text);
    let joins = TEMPLATE.replace("<|user|>{{ m.content }}", "<|user|>{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}; {% endfor %}{% endif %}");
    let two = || row(vec![part("b"), part("c")]);
    assert!(text(two(), &joins).unwrap().contains("<|user|>b; c; <|end|>"));
    assert!(text(row(vec![part("b")]), TEMPLATE).unwrap().contains("<|user|>b<|end|>"));
    assert_refused(text(two(), TEMPLATE), &["2 parts", "join them"]);
}

#[test]
fn a_message_that_is_not_to_be_learned_is_not() {
    let user = said("user", "q");
    let of = |key: &str, value: Value| json!({"messages": [user, {"role": "assistant", "content": "no", key: value}, user, said("assistant", "yes")]});
    for (key, value) in [
        ("weight", json!(0)),
        ("weight", json!(0.0)),
        ("train", json!(false)),
        ("training", json!(false)),
        ("trainable", json!(false)),
        ("loss", json!(false)),
        ("loss_scale", json!(0)),
        ("masked", json!(true)),
    ] {
        assert_eq!(learned(of(key, value)), "yes<|end|>", "{key}");
    }
    for (key, value) in [
        ("weight", json!(1)),
        ("train", json!(true)),
        ("loss", json!(null)),
        ("masked", json!(false)),
    ] {
        assert_eq!(learned(of(key, value)), "no<|end|>yes<|end|>", "{key}");
    }
    for (value, word) in [(json!(-1), "-1"), (json!(1e300), "1e+300"), (json!("no"), "no")] {
        assert_refused(parse(&[of("weight", value)]), &["x.jsonl:1: message 2 of 4: weight", word]);
    }
    let user = json!({"messages": [{"role": "user", "content": "q", "train": true}, said("assistant", "a")]});
    assert_refused(parse(&[user]), &["message 1 of 2", "to be learned"]);
    // blocks of `generation` around an answer that is not learned
    let marked = TEMPLATE
        .replace("{{ m.content or '' }}", "{% generation %}{{ m.content or '' }}")
        .replace("<|end|>{% else %}", "<|end|>{% endgeneration %}{% else %}");
    let sequence = sequence_of(of("weight", json!(0)), &marked).unwrap();
    let text: String = sequence.completion.positions().map(|at| sequence.token_text(at)).collect();
    assert_eq!(text, "yes<|end|>");
    // the last answer, and a whole row
    let last = json!({"messages": [said("user", "q"), said("assistant", "yes"), said("user", "q"), {"role": "assistant", "content": "no", "weight": 0}]});
    assert_eq!(learned(last), "yes<|end|>");
    assert_eq!(learned(json!({"prompt": "q", "completion": "a", "train": false})), "");
    assert_eq!(learned(json!({"prompt": "q", "completion": "a", "weight": 0})), "");
    assert_refused(
        parse(&[json!({"prompt": "q", "completion": "a", "weight": 70})]),
        &["weight is 70", "another name"],
    );
    assert_refused(
        parse(&[json!({"prompt": "q", "completion": "a", "weight": -0.5})]),
        &["weight", "-0.5"],
    );
}

/// The weights of a rule on a row, of the tokens that have any.
fn weights(row: Value, rule: &str) -> Vec<f32> {
    let sequence = sequence_of(row, TEMPLATE).unwrap();
    let weighting: Weighting = rule.parse().unwrap();
    let scored = Scored { sequences: vec![sequence], ..Scored::default() };
    weighting
        .weights(&scored.signals(), 0)
        .unwrap()
        .remove(0)
        .into_iter()
        .filter(|w| *w != 0.0)
        .collect()
}

#[test]
fn a_weight_between_multiplies_what_the_rule_says() {
    let user = said("user", "q");
    let row = json!({"messages": [user, {"role": "assistant", "content": "b", "weight": 0.25}, user, said("assistant", "c")]});
    assert_eq!(weights(row.clone(), "all"), [0.25, 0.25, 1.0, 1.0]);
    assert_eq!(weights(row, "if(all, 2, 0)"), [0.5, 0.5, 2.0, 2.0]);
    assert_eq!(
        weights(json!({"prompt": "q", "completion": "a", "weight": 0.5}), "all"),
        [0.5, 0.5]
    );
}

#[test]
fn tokens_that_were_made_elsewhere_keep_their_weights() {
    let ids = json!([5, 6, 7, 8]);
    let row = |key: &str, list: Value| json!({"input_ids": ids, key: list});
    let positions = |row: Value| -> Vec<usize> {
        let sequence = sequence_of(row, TEMPLATE).unwrap();
        assert_eq!(sequence.ids, [5, 6, 7, 8]);
        sequence.completion.positions().collect()
    };
    assert_eq!(positions(row("labels", json!([-100, -100, 7, 8]))), [2, 3]);
    assert_eq!(positions(row("loss_mask", json!([0, 1, 0, 1]))), [1, 3]);
    assert_eq!(positions(row("assistant_masks", json!([0, 0, 0, 1]))), [3]);
    assert_eq!(positions(row("attention_mask", json!([1, 1, 1, 1]))), [0, 1, 2, 3]);
    assert_eq!(weights(row("weights", json!([0, 0.5, 1, 2])), "all"), [0.5, 1.0, 2.0]);
    let both = json!({"input_ids": ids, "labels": [-100, 6, 7, 8], "weights": [1, 0.5, 0, 1]});
    assert_eq!(weights(both, "all"), [0.5, 1.0]);
    let refused = |row: Value, parts: &[&str]| assert_refused(parse(&[row]), parts);
    refused(row("weights", json!([0, -1, 1, 1])), &["x.jsonl:1: weights", "-1", "number 1"]);
    refused(row("weights", json!([0, 1e300, 1, 1])), &["weights", "number 1"]);
    refused(row("weights", json!([0, null, 1, 1])), &["weights", "null"]);
    refused(row("weights", json!([1, 1])), &["2 weights for 4 input_ids"]);
    refused(row("labels", json!([6, 7, 8, -100])), &["not shifted"]);
    refused(json!({"input_ids": [-1], "labels": [-100]}), &["input_ids"]);
    let beyond = sequence_of(json!({"input_ids": [5, 4_000_000]}), TEMPLATE);
    assert_refused(beyond, &["4000000", "tokenizer"]);
    // tokens beside what they were made from say nothing more
    let data = parse(&[json!({"prompt": "q", "completion": "a", "input_ids": [1]})]).unwrap();
    assert_eq!(data.examples[0].kind, Kind::Conversation);
}

#[test]
fn a_text_alone_is_a_document() {
    let data = parse(&[json!({"id": "a", "text": "Once upon", "url": "u"})]).unwrap();
    assert_eq!(
        (&data.examples[0].kind, &data.unread[..]),
        (&Kind::Document, &["url".to_string()][..])
    );
    assert!(learned(json!({"text": "Once upon"})).starts_with("Once upon"));
    let data = Dataset::parse(b"\xef\xbb\xbfOnce\r\nupon", Path::new("a.txt")).unwrap();
    assert_eq!(data.examples[0].conversation.completion(), Some("Once\r\nupon"));
    assert_eq!((data.len(), data.examples[0].id.as_str()), (1, "a:1"));
}

#[test]
fn files_are_read_as_they_are_or_refused_with_the_way_out() {
    let rows = [
        json!({"id": 1, "prompt": "é", "completion": "b"}),
        json!({"id": 2, "prompt": "c", "completion": "d"}),
    ];
    let lines = rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let list = serde_json::to_string_pretty(&rows).unwrap();
    let csv = "id,prompt,completion\r1,é,b\r2,c,d\r";
    let wide = |text: &str| -> Vec<u8> {
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    };
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let read = |bytes: &[u8], name: &str| {
        let data = Dataset::parse(bytes, Path::new(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let ids: Vec<&str> = data.examples.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["1", "2"], "{name}");
        assert_eq!(data.examples[0].conversation.messages[0].content, "é", "{name}");
    };
    for (text, name) in [
        (&lines, "lines.jsonl"),
        (&list, "list.jsonl"),
        (&list, "list.json"),
        (&lines, "lines.json"),
        (&lines.replace('\n', "\r"), "cr.jsonl"),
        (&lines.replace('\n', "\r\n"), "crlf.jsonl"),
        (&csv.to_string(), "cr.csv"),
        (&csv.replace('\r', "\r\n"), "crlf.csv"),
        (&csv.replace(',', "\t"), "cr.tsv"),
    ] {
        read(text.as_bytes(), name);
        read(&marked(text), name);
        read(&wide(text), name);
    }
    let object = serde_json::to_string_pretty(&json!({"data": rows})).unwrap();
    read(object.as_bytes(), "object.jsonl");
    // ids come from lines also where these end with \r alone
    let data = Dataset::parse(b"prompt,completion\ra,b\rc,d", Path::new("x.csv")).unwrap();
    assert_eq!((data.examples[0].id.as_str(), data.examples[1].id.as_str()), ("x:2", "x:3"));
    let refused = |bytes: &[u8], name: &str, parts: &[&str]| {
        assert_refused(Dataset::parse(bytes, Path::new(name)), parts);
    };
    for name in ["x.jsonl", "x.jsonl.xz", "x.json", "x.csv", "x.parquet", "x"] {
        refused(b"\xfd7zXZ\0\0\x04\xe6", name, &[name, "xz", "unpack"]);
        refused(b"\x28\xb5\x2f\xfd\x04\0", name, &[name, "Zstandard", "unpack"]);
        refused(b"BZh91AY&SY", name, &[name, "bzip2", "unpack"]);
        refused(b"PK\x03\x04\x14\0", name, &[name, "zip", "CSV"]);
    }
    refused(b"prompt;completion\nq;a\n", "x.csv", &["save the table with commas"]);
}

#[test]
fn ids_are_kept_digit_by_digit() {
    let ids = [
        "123456789012345678901",
        "123456789012345678902",
        "-170141183460469231731687303715884105729",
        "0.1234567890123456789",
        "1e5",
        "1E5",
        "1.0",
        "18446744073709551615",
        "7",
    ];
    let lines: String = ids.iter().map(|id| format!("{{\"id\": {id}, \"prompt\": \"q\", \"completion\": \"\\\"id\\\": 99999999999999999999\"}}\n")).collect();
    let check = |text: &str, name: &str| {
        let data = Dataset::parse(text.as_bytes(), Path::new(name)).unwrap();
        let read: Vec<&str> = data.examples.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(read, ids, "{name}");
        let said = data.examples[0].conversation.completion();
        assert_eq!(said, Some("\"id\": 99999999999999999999"));
    };
    check(&lines, "x.jsonl");
    check(&format!("[{}]", lines.trim().replace('\n', ",")), "x.json");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gsm8k.jsonl");
    let lines: String = ids[..2]
        .iter()
        .map(|id| format!("{{\"id\": {id}, \"question\": \"q\", \"answer\": \"#### 4\"}}\n"))
        .collect();
    std::fs::write(&file, lines).unwrap();
    let items = Benchmark::Gsm8k.read(&file, Prompts::Paper).unwrap();
    assert_eq!(items[0].id, "gsm8k/123456789012345678901");
}

#[test]
fn samples_are_read_in_every_form_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let row = json!({"doc_id": 0, "doc_hash": "a", "metrics": ["acc"], "acc": 1.0});
    for bytes in [
        format!("\u{feff}{row}\n").into_bytes(),
        format!("[{row}]").into_bytes(),
        format!("{row}\r\n").into_bytes(),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(samples::read(&path, &Measure::default()).unwrap().items[&0].1, 1.0);
    }
}

/// A file with these rows.
fn file(folder: &Path, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    path
}

#[test]
fn references_that_no_answer_can_match_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let item = |check: Value| json!({"id": "a", "prompt": "q", "truth": "t", "check": check});
    let refused = |check: Value, part: &str| {
        let path = file(folder.path(), "items.jsonl", &[item(check)]);
        assert_refused(read_items(&path), &["items.jsonl:1", part, "no answer can be right"]);
    };
    refused(json!({"kind": "gsm8k", "answer": "five"}), "\"five\"");
    refused(json!({"kind": "gsm8k", "answer": ""}), "no number");
    refused(json!({"kind": "number", "value": "many"}), "no number");
    refused(json!({"kind": "math", "answer": ""}), "empty");
    refused(json!({"kind": "math", "answer": " $ $ "}), "empty");
    refused(
        json!({"kind": "letter", "key": "E", "labels": ["A", "B"], "options": ["x", "y"]}),
        "none of the labels A, B",
    );
    refused(
        json!({"kind": "letter", "key": "A", "labels": ["A", "B"], "options": ["x"]}),
        "2 labels for 1 options",
    );
    refused(
        json!({"kind": "choice", "letter": "C", "options": ["x", "y"]}),
        "none of the 2 options",
    );
    refused(json!({"kind": "code", "tests": []}), "no tests");
    refused(json!({"kind": "code", "tests": [{"call": "f(1)", "expected": "]"}]}), "no value");
    refused(json!({"kind": "python", "tests": [" "], "own": []}), "no tests");
    refused(
        json!({"kind": "sql", "script": "CREATE TABLE t (a INT);", "query": "SELECT b FROM t"}),
        "own query fails",
    );
    refused(json!({"kind": "follow", "words": [], "case": "small", "separator": ","}), "no words");
    refused(json!({"kind": "instructions", "instructions": []}), "no instruction");
    for check in [
        json!({"kind": "gsm8k", "answer": "1,200"}),
        json!({"kind": "gsm8k", "answer": "-3.5"}),
        json!({"kind": "math", "answer": "\\text{Tuesday}"}),
        json!({"kind": "sql", "script": "CREATE TABLE t (a INT);", "query": "SELECT a FROM t"}),
        json!({"kind": "code", "tests": [{"call": "f(1)", "expected": "[2, [3]]"}]}),
    ] {
        let path = file(folder.path(), "items.jsonl", &[item(check.clone())]);
        assert!(read_items(&path).is_ok(), "{check}: {:?}", read_items(&path));
    }
    let gsm8k = |answer: &str| json!({"question": "q", "answer": answer});
    let path =
        file(folder.path(), "gsm8k.jsonl", &[gsm8k("#### 4"), gsm8k("#### five"), gsm8k("#### ")]);
    assert_refused(
        Benchmark::Gsm8k.read(&path, Prompts::Paper),
        &["gsm8k.jsonl:2", "\"five\"", "2 of 3 rows", "the others are 3"],
    );
    let (items, unusable) = Benchmark::Gsm8k.read_usable(&path, &Ask::default()).unwrap();
    assert_eq!((items.len(), unusable.len()), (1, 2));
    let path = file(
        folder.path(),
        "math.jsonl",
        &[json!({"problem": "p", "solution": "\\boxed{}", "unique_id": "a"})],
    );
    assert_refused(Benchmark::Math.read(&path, Prompts::Paper), &["math.jsonl:1"]);
}

#[test]
fn published_references_can_be_matched() {
    let Some(data) = shared("real/datasets", "published benchmarks") else { return };
    for (benchmark, folder) in [
        (Benchmark::Gsm8k, "gsm8k"),
        (Benchmark::Math, "math500"),
        (Benchmark::Arc, "arc/arc-challenge-validation.jsonl"),
        (Benchmark::Mbpp, "mbpp/mbpp.jsonl"),
        (Benchmark::Humaneval, "humaneval"),
        (Benchmark::Ifeval, "ifeval"),
    ] {
        let Ok(file) = benchmark.locate(&data.join(folder), "test") else { panic!("{folder}") };
        match benchmark.read(&file, Prompts::Paper) {
            Ok(items) => assert!(!items.is_empty()),
            Err(error) => panic!("{folder}: {error}"),
        }
    }
}

#[test]
fn unusable_rows_are_named_together_and_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let pair = |answer: &str| json!({"prompt": "q", "completion": answer});
    let path = file(
        folder.path(),
        "x.jsonl",
        &[pair("a"), pair(""), pair("b"), pair(" "), json!({"x": 1})],
    );
    assert_refused(
        Dataset::read(&path),
        &["x.jsonl:2", "empty", "3 of 5 rows", "the others are 4, 5"],
    );
    let data = Dataset::read_usable(&path).unwrap();
    let ids: Vec<&str> = data.unusable.iter().map(|of| of.id.as_str()).collect();
    assert_eq!((data.len(), &ids[..]), (2, &["x.jsonl:2", "x.jsonl:4", "x.jsonl:5"][..]));
    let none = file(folder.path(), "none.jsonl", &[pair(""), pair("")]);
    assert_refused(Dataset::read_usable(&none), &["none.jsonl:1", "2 of 2 rows"]);
    // a damaged file is not a matter of rows
    std::fs::write(&none, "{\"prompt\": \"q\", \"completion\": \"a\"}\n{").unwrap();
    assert!(Dataset::read_usable(&none).is_err());
    // answers that cannot be rendered
    let answers = TEMPLATE.replace(
        "{{ m.content or '' }}",
        "{{ raise_exception('no b') if m.content == 'b' else m.content }}",
    );
    let (_folder, tokenizer) = tokenizer(&answers);
    let data = parse(&[pair("a"), pair("b"), pair("c"), pair("b")]).unwrap();
    let render = |skip: bool| match skip {
        true => usable_sequences(&tokenizer, &data.examples, 100, TooLong::Refuse),
        false => unforget::tokens::sequences(&tokenizer, &data.examples, 100, TooLong::Refuse),
    };
    assert_refused(render(false), &["no b", "2 of 4 examples", "the others are x:4"]);
    let rendered = render(true).unwrap();
    let ids: Vec<&str> = rendered.unusable.iter().map(|of| of.id.as_str()).collect();
    assert_eq!((rendered.sequences.len(), &ids[..]), (2, &["x:2", "x:4"][..]));
    let item = |value: &str| json!({"id": value, "prompt": "q", "truth": "t", "check": {"kind": "number", "value": value}});
    let path = file(folder.path(), "items.jsonl", &[item("1"), item("one"), item("2")]);
    let (items, unusable) = read_usable_items(&path).unwrap();
    assert_eq!((items.len(), unusable.len()), (2, 1));
    assert_eq!(rows(&path).unwrap().len(), 3);
}

/// Two names for one thing, with two values: neither is left behind without a word.
#[test]
fn what_is_said_twice_in_two_ways_is_refused() {
    let turns =
        [json!({"role": "user", "content": "Q"}), json!({"role": "assistant", "content": "A"})];
    let with = |message: Value| json!({"messages": [message, turns[1]]});
    let own = json!({"role": "system", "content": "S"});
    for (row, parts) in [
        (
            json!({"system": "T", "messages": [own, turns[0], turns[1]]}),
            &["system message", "column system"][..],
        ),
        (json!({"system": "T", "prompt": [own, turns[0]], "completion": "A"}), &["column system"]),
        (
            with(json!({"role": "user", "content": "Q", "value": "R"})),
            &["message 1", "content or value"],
        ),
        (with(json!({"from": "human", "value": "Q", "content": "R"})), &["content or value"]),
        (with(json!({"role": "user", "from": "gpt", "content": "Q"})), &["role or from"]),
    ] {
        assert_refused(parse(&[row]), parts);
    }
    for row in [
        json!({"system": "S", "messages": [own, turns[0], turns[1]]}),
        json!({"system": "", "messages": [own, turns[0], turns[1]]}),
        with(json!({"role": "user", "from": "human", "content": "Q", "value": "Q"})),
        with(json!({"role": "user", "from": null, "content": "Q", "value": null})),
    ] {
        parse(&[row]).unwrap();
    }
}

/// The way out is only offered where it is one: not for a damaged file, nor where no row would be left.
#[test]
fn leaving_rows_out_is_offered_where_that_helps() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for (name, text) in [
        ("twice.csv", "prompt,completion,prompt\nQ,A,B\n"),
        ("short.csv", "prompt,completion\nQ,A\nQ\n"),
        ("latin.csv", "prompt,completion\nQ,A\nQ,X\n"),
        ("cut.jsonl", "{\"prompt\": \"Q\", \"completion\": \"A\"}\n{\"prompt"),
        ("ids.jsonl", "{\"id\": 1, \"text\": \"Q\"}\n{\"id\": 1, \"text\": \"R\"}\n"),
        ("none.jsonl", "{\"prompt\": \"Q\", \"completion\": \"\"}\n"),
        ("none-rendered.jsonl", "{\"input_ids\": [1, 99999]}\n"),
    ] {
        let latin = |byte: u8| if byte == b'X' { 0xe9 } else { byte };
        let bytes: Vec<u8> = text.bytes().map(latin).collect();
        std::fs::write(folder.join(name), bytes).unwrap();
        let call = format!("perplexity --model lab --data {name}");
        for call in [call.clone(), format!("{call} --skip-unusable")] {
            let (success, _, said) = unforget(folder, &call);
            assert!(!success && !said.contains("leaves such rows out"), "{call}: {said}");
        }
    }
}

/// A call in `folder` with the lab's model: success, what it prints, and its messages.
fn unforget(folder: &Path, arguments: &str) -> (bool, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .env("UNFORGET_STORE", folder.join("store"))
        .output()
        .unwrap();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), printed, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_verb_that_reads_data_offers_to_leave_rows_out() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let pair = |answer: &str| json!({"prompt": "What is 2 + 3?", "completion": answer});
    file(folder, "x.jsonl", &[pair("Answer: 5"), pair(""), pair("Answer: 6")]);
    let item = |id: &str, value: &str| json!({"id": id, "prompt": "What is 2 + 3?", "truth": "Answer: 5", "check": {"kind": "number", "value": value}});
    file(folder, "items.jsonl", &[item("a", "5"), item("b", "five")]);
    for (call, data, rows) in [
        ("perplexity --model lab --data x.jsonl --json", "x.jsonl:2", 2),
        ("finetune --model lab --data x.jsonl --num-epochs 1 --out tuned --json", "x.jsonl:2", 2),
        ("export masks --model lab --data x.jsonl --out masks.jsonl --json", "x.jsonl:2", 2),
        (
            "generate self-output --model lab --items items.jsonl --samples 1 --max-new-tokens 8 --out own --json",
            "items.jsonl:2",
            1,
        ),
        ("evaluate --model lab --items items.jsonl --max-new-tokens 8 --json", "items.jsonl:2", 1),
    ] {
        let (success, _, said) = unforget(folder, call);
        assert!(
            !success && said.contains(data) && said.contains("--skip-unusable"),
            "{call}: {said}"
        );
        let (success, printed, said) = unforget(folder, &format!("{call} --skip-unusable"));
        // a model that answers wrong leaves nothing to train on, which is another matter
        assert!(success || call.starts_with("generate"), "{call}: {said}");
        assert!(said.contains("1 rows cannot be used"), "{call}: {said}");
        if call.starts_with("evaluate") {
            continue;
        }
        assert_eq!(printed["unusable"], json!([data]), "{call}: {printed}");
        let count = printed["examples"].as_u64().or(printed["asked"].as_u64());
        assert_eq!(count, Some(rows), "{call}: {printed}");
    }
    let card = |verb: &str, label: &str| -> Value {
        let runs = std::fs::read_dir(folder.join("store").join(verb)).unwrap();
        let mut runs = runs.flatten().map(|run| run.path());
        let named = |run: &PathBuf| run.file_name().unwrap().to_str().unwrap().starts_with(label);
        let run = runs.find(named).unwrap();
        serde_json::from_str(&std::fs::read_to_string(run.join("card.json")).unwrap()).unwrap()
    };
    for (verb, label) in [("finetune", "x-"), ("scores", "x-text-alone-"), ("scores", "x-")] {
        let card = card(verb, label);
        assert_eq!(card["data"]["unusable"]["count"], 1, "{verb}/{label}: {card}");
    }
}

/// Sets that a training is watched by, and a task's folder, are read as the data are.
#[test]
fn probe_sets_and_tasks_offer_to_leave_rows_out() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let pair = |answer: &str| json!({"prompt": "What is 2 + 3?", "completion": answer});
    file(folder, "x.jsonl", &[pair("Answer: 5"), pair("Answer: 6")]);
    file(folder, "probe.jsonl", &[pair("Answer: 5"), pair("")]);
    let item = |id: &str, truth: &str, value: &str| json!({"id": id, "prompt": "What is 2 + 3?", "truth": truth, "check": {"kind": "number", "value": value}});
    // one that no answer can match, and one whose reference cannot be rendered
    let items = [item("a", "Answer: 5", "5"), item("b", "Answer: 5", "five"), item("c", "", "5")];
    std::fs::create_dir_all(folder.join("tasks/sums")).unwrap();
    file(folder, "items.jsonl", &items);
    file(&folder.join("tasks/sums"), "test.jsonl", &items[..2]);
    let train = "finetune --model lab --data x.jsonl --epochs 1 --probe-max-new-tokens 4 --json";
    for (call, names) in [
        (format!("{train} --out scored --probe a=probe.jsonl"), &["probe.jsonl:2"][..]),
        (format!("{train} --out graded --target-probe a=items.jsonl"), &["items.jsonl:2", "c"]),
        (
            "evaluate --model lab --tasks tasks --task sums --max-new-tokens 4 --json".into(),
            &["test.jsonl:2"],
        ),
    ] {
        let (success, _, said) = unforget(folder, &call);
        assert!(
            !success && said.contains(names[0]) && said.contains("--skip-unusable"),
            "{call}: {said}"
        );
        let (success, printed, said) = unforget(folder, &format!("{call} --skip-unusable"));
        assert!(success && !printed.is_null(), "{call}: {said}");
        assert!(said.contains(&format!("{} rows cannot be used", names.len())), "{call}: {said}");
        assert!(names.iter().all(|name| said.contains(name)), "{call}: {said}");
    }
    let runs = std::fs::read_dir(folder.join("store/finetune")).unwrap();
    let mut counts: Vec<Value> = runs
        .flatten()
        .map(|run| {
            let card = std::fs::read_to_string(run.path().join("card.json")).unwrap();
            let card: Value = serde_json::from_str(&card).unwrap();
            card["recipe"]["watch"]["sets"]["a"]["unusable"]["count"].clone()
        })
        .collect();
    counts.sort_by_key(Value::as_u64);
    assert_eq!(counts, [json!(1), json!(2)]);
}

/// A recipe with `skip_unusable`, as `run` reads it from a file: what cannot be used is named, counted in the results and on every card.
#[test]
fn a_recipe_leaves_out_what_cannot_be_used() {
    const RECIPE: &str = "name = \"tiny\"\nmodel = \"lab\"\ntasks = \"tasks\"\ntarget = \"sums\"\nnon_target = [\"words\"]\nprobe = [\"words\"]\nprobe_items = 2\narms = [\"ground_truth\", \"stm(2.5)\"]\nlearning_rates = [1e-3]\nseeds = [1]\nmax_new_tokens = 4\nSKIP\n[sizes]\ntrain = 4\nvalidation = 2\ntest = 2\n[finetune]\nepochs = 1\n";
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let item = |id: usize, truth: &str, value: &str| json!({"id": id.to_string(), "prompt": format!("What is 2 + {id}?"), "truth": truth, "check": {"kind": "number", "value": value}});
    let good = |id: usize| item(id, &format!("Answer: {}", 2 + id), &(2 + id).to_string());
    for task in ["sums", "words"] {
        std::fs::create_dir_all(folder.join("tasks").join(task)).unwrap();
        for split in ["train", "validation", "test"] {
            let path = folder.join("tasks").join(task);
            // an empty answer, and a reference that no answer can match
            let bad = [item(8, "", "10"), item(9, "Answer: 11", "eleven")];
            let bad = if split == "train" { &bad[..] } else { &bad[1..] };
            let rows: Vec<Value> =
                (0..2).map(good).chain(bad.iter().cloned()).chain((2..4).map(good)).collect();
            file(&path, &format!("{split}.jsonl"), &rows);
        }
    }
    std::fs::write(folder.join("refusing.toml"), RECIPE.replace("SKIP\n", "")).unwrap();
    std::fs::write(folder.join("skipping.toml"), RECIPE.replace("SKIP", "skip_unusable = true"))
        .unwrap();
    let (success, _, said) = unforget(folder, "run refusing.toml --out refused");
    assert!(
        !success && said.contains("jsonl:3") && said.contains("skip_unusable = true"),
        "{said}"
    );
    let (success, _, said) = unforget(folder, "run skipping.toml --out results");
    assert!(success, "{said}");
    for part in ["train.jsonl:4", "test.jsonl:3", "validation.jsonl:3", "rows cannot be used"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let results = std::fs::read_to_string(folder.join("results/results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    for data in results["results"]["data"].as_array().unwrap() {
        assert_eq!((&data["asked"], &data["kept"]), (&json!(4), &json!(3)), "{data}");
        let unusable = data["unusable"].as_array().unwrap();
        assert_eq!((unusable.len(), &unusable[1]), (2, &json!("8")), "{data}");
    }
    for run in std::fs::read_dir(folder.join("store/finetune")).unwrap() {
        let card = std::fs::read_to_string(run.unwrap().path().join("card.json")).unwrap();
        let card: Value = serde_json::from_str(&card).unwrap();
        assert_eq!(card["data"]["unusable"]["count"], 2, "{card}");
        assert_eq!(card["recipe"]["watch"]["sets"]["words"]["unusable"]["count"], 1, "{card}");
    }
}
