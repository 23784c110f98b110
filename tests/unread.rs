//! What data hold and a chat template leaves out: named once, or refused, and never lost without a word.

use crate::support::{copy_folder, reference_json};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::chat::Conversation;
use unforget::dataset::Dataset;
use unforget::tokens::{ChatTemplate, Tokenizer, sequence};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/model");

/// Names of tools and of those who speak to them, calls with what this template reads of them, and no word of the system.
const TEMPLATE: &str = "{% if tools %}<|user|>{% for t in tools %}{{ t.function.name }}{% endfor %}<|end|>{% endif %}{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{{ m.content or '' }}{% for c in m.tool_calls or [] %}!{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|end|>{% elif m.role == 'user' %}<|user|>{{ m.content }}<|end|>{% elif m.role == 'tool' %}<|user|>{{ m.name }}={{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

fn model(folder: &Path, template: Option<&str>) {
    copy_folder(Path::new(LAB), folder);
    let path = folder.join("chat_template.jinja");
    std::fs::remove_file(&path).unwrap();
    if let Some(template) = template {
        std::fs::write(path, template).unwrap();
    }
}

fn parse(rows: &[Value]) -> Dataset {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    Dataset::parse(lines.concat().as_bytes(), Path::new("x.jsonl")).unwrap()
}

/// What of `row` this template does not read.
fn unread(template: Option<&str>, row: Value) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("model");
    model(&place, template);
    let tokenizer = Tokenizer::open(&place).unwrap();
    tokenizer.unread(&parse(&[row]).examples).into_iter().collect()
}

fn chat(user: Value, assistant: Value) -> Value {
    json!({"messages": [user, assistant]})
}

#[test]
fn keys_that_the_template_never_asks_for_are_named() {
    let user = |more: Value| {
        let mut user = json!({"role": "user", "content": "Hi"});
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        user
    };
    let answer = || json!({"role": "assistant", "content": "Yes."});
    let check = |row: Value, expected: &[&str]| {
        assert_eq!(unread(Some(TEMPLATE), row.clone()), expected, "{row}");
    };
    check(chat(user(json!({})), answer()), &[]);
    check(chat(user(json!({"name": "Ada"})), answer()), &["`name` of the user"]);
    check(
        chat(user(json!({"mood": "glad", "tone": {"loud": 1}})), answer()),
        &["`mood` of the user", "`tone` of the user"],
    );
    // a word of the answer's own, beside it
    let emotion = json!({"role": "assistant", "content": "Yes.", "emotion": "calm"});
    check(chat(user(json!({})), emotion), &["`emotion` of the assistant"]);
    // what says nothing, names or files it, or says how much is learned
    check(
        chat(
            user(
                json!({"name": null, "mood": "", "id": 7, "user_id": "u", "metadata": {"a": 1}, "timestamp": 1.5, "tags": [], "model": "m", "usage": {"tokens": 2}}),
            ),
            json!({"role": "assistant", "content": "Yes.", "weight": 1, "train": true, "loss": true, "refusal": null}),
        ),
        &[],
    );
    // of another role the same key is read
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]});
    let tool = json!({"role": "tool", "name": "add", "tool_call_id": "c1", "content": "2"});
    let calls =
        |call: Value, tool: Value| json!({"messages": [user(json!({})), call, tool, answer()]});
    check(calls(call.clone(), tool.clone()), &[]);
    let mut more = call.clone();
    more["tool_calls"][0]["function"]["thought"] = json!("why not");
    more["tool_calls"][0]["score"] = json!(3);
    let mut status = tool;
    status["status"] = json!("failed");
    check(
        calls(more, status),
        &[
            "`status` of the tool",
            "`tool_calls[].function.thought` of the assistant",
            "`tool_calls[].score` of the assistant",
        ],
    );
    // tools, and variables that the data give
    let tools = json!([{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}]);
    let mut row = chat(user(json!({})), answer());
    row["tools"] = tools;
    row["chat_template_kwargs"] = json!({"style": "short"});
    check(row, &["`style`", "`tools[].function.description`", "`tools[].function.parameters`"]);
    // parts of content that are read, and what stands in them beside the text
    let parts = json!([{"type": "text", "text": "Hi", "language": "en"}]);
    let lists = TEMPLATE.replace(
        "<|user|>{{ m.content }}",
        "<|user|>{% for part in m.content %}{{ part.text }}{% endfor %}",
    );
    assert_eq!(
        unread(Some(&lists), chat(json!({"role": "user", "content": parts.clone()}), answer())),
        ["`content[].language` of the user"]
    );
    // a template that takes no parts is given the text
    assert_eq!(
        unread(Some(TEMPLATE), chat(json!({"role": "user", "content": parts}), answer())),
        ["`content[].language` of the user"]
    );
    // whatever way a template has to read all of it
    for all in [
        "{{ m | tojson }}",
        "{{ m }}",
        "{% for k, v in m.items() %}{{ v }}{% endfor %}",
        "{{ m['name'] }}",
        "{{ m.get('name') }}",
    ] {
        let whole = TEMPLATE
            .replace("<|user|>{{ m.content }}", &format!("<|user|>{all}{{{{ m.content }}}}"));
        assert!(
            unread(Some(&whole), chat(user(json!({"name": "Ada"})), answer())).is_empty(),
            "{all}"
        );
    }
    // comparing two messages reads neither
    let compared = TEMPLATE.replace(
        "<|user|>{{ m.content }}",
        "<|user|>{{ m == messages[1] }}{{ m == messages[0] }}{{ m.content }}",
    );
    assert_eq!(
        unread(Some(&compared), chat(user(json!({"name": "Ada"})), answer())),
        ["`name` of the user"]
    );
    // without a template nothing reads
    assert_eq!(unread(None, chat(user(json!({"name": "Ada"})), answer())), ["`name` of the user"]);
}

/// Of the goldens by transformers: without what is named, each template writes the same text.
#[test]
fn what_is_named_changes_no_text() {
    let table = reference_json("conversations.json");
    let mut named = 0;
    for case in table["cases"].as_array().unwrap().iter().filter(|case| case["text"].is_string()) {
        let row = &table["rows"][case["row"].as_str().unwrap()];
        let source = table["templates"][case["template"].as_str().unwrap()].as_str().unwrap();
        let line = format!("{row}\n");
        let Ok(data) = Dataset::parse(line.as_bytes(), Path::new("x.jsonl")) else { continue };
        let template = ChatTemplate::new(source, Path::new("x.jinja"), BTreeMap::new()).unwrap();
        let Conversation { mut messages, mut variables } = data.examples[0].conversation.clone();
        let text = template.render_with(&messages, &variables, false).ok();
        for key in unread(Some(source), row.clone()) {
            let path = key.split('`').nth(1).unwrap().replace("[]", "");
            let path: Vec<&str> = path.split('.').collect();
            match key.rsplit_once(" of the ") {
                None => remove(&mut variables, &path),
                Some((_, role)) => messages
                    .iter_mut()
                    .filter(|message| message.given.get("role").is_some_and(|own| own == role))
                    .for_each(|message| remove(&mut message.given, &path)),
            }
            named += 1;
        }
        let without = template.render_with(&messages, &variables, false).ok();
        assert_eq!(without, text, "{} in {}", case["row"], case["template"]);
    }
    assert!(named > 20, "{named}");
}

/// Takes out what stands at `path`, in each item of a list on the way.
fn remove(fields: &mut Map<String, Value>, path: &[&str]) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        fields.remove(*first);
        return;
    }
    let below = fields.get_mut(*first).map(|value| match value {
        Value::Array(items) => items.iter_mut().collect(),
        one => vec![one],
    });
    for value in below.into_iter().flatten() {
        if let Some(fields) = value.as_object_mut() {
            remove(fields, rest);
        }
    }
}

#[test]
fn a_message_that_the_template_leaves_out_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |template: &str, row: Value| {
        let place = folder.path().join("model");
        let _ = std::fs::remove_dir_all(&place);
        model(&place, Some(template));
        let data = parse(&[row]);
        let made = sequence(&Tokenizer::open(&place).unwrap(), &data.examples[0]);
        made.err().map(|error| error.to_string())
    };
    let with_system = json!({"messages": [
        {"role": "system", "content": "Answer in French."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Salut."},
    ]});
    let message = refusal(TEMPLATE, with_system.clone()).unwrap();
    for part in ["content of message 1 of 3 (system)", "chat_template.jinja", "take it out"] {
        assert!(message.contains(part), "{message}");
    }
    let lost_tool = TEMPLATE
        .replace("{% elif m.role == 'tool' %}<|user|>{{ m.name }}={{ m.content }}<|end|>", "");
    let tools = json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Wait."},
        {"role": "tool", "content": "e"},
        {"role": "assistant", "content": "Yes."},
    ]});
    assert!(
        refusal(&lost_tool, tools.clone()).unwrap().contains("content of message 3 of 4 (tool)")
    );
    assert_eq!(refusal(TEMPLATE, tools), None);
    // what stands in the text in other words is written
    let other = TEMPLATE.replace(
        "{% if tools %}",
        "{{ messages[0].content | upper if messages[0].role == 'system' }}{% if tools %}",
    );
    assert_eq!(refusal(&other, with_system), None);
}

/// The program in `folder`, with what it says on stderr.
fn unforget(folder: &Path, call: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(call.split(' '))
        .current_dir(folder)
        .env("UNFORGET_STORE", folder.join("store"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{call}: {said}");
    said
}

#[test]
fn every_verb_that_renders_data_says_it_once() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    model(&folder.join("model"), Some(TEMPLATE));
    let write = |name: &str, rows: &[Value]| -> PathBuf {
        let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
        let path = folder.join(name);
        std::fs::write(&path, lines.concat()).unwrap();
        path
    };
    let row = |more: &str| {
        json!({"messages": [
            {"role": "user", "content": "What is 2 + 3?", more: "Ada"},
            {"role": "assistant", "content": "It is 5."},
        ]})
    };
    write("named.jsonl", &[row("name"), row("name"), row("id")]);
    write("plain.jsonl", &[row("id")]);
    for call in [
        "perplexity --model model --data named.jsonl",
        "finetune --model model --data named.jsonl --preset lab --epochs 1 --out tuned",
        "export masks --model model --data named.jsonl --out masks.jsonl",
        "finetune --model model --data plain.jsonl --preset lab --epochs 1 --probe a=named.jsonl --out probed",
        // what is in the store is warned of as well
        "perplexity --model model --data named.jsonl --quiet",
    ] {
        let said = unforget(folder, call);
        let warnings: Vec<&str> =
            said.lines().filter(|line| line.starts_with("warning: ")).collect();
        let [one] = warnings[..] else { panic!("{call}: {said}") };
        for part in ["never reads `name` of the user", "chat_template.jinja", "take it out"] {
            assert!(one.contains(part), "{call}: {one}");
        }
    }
    let said = unforget(folder, "perplexity --model model --data plain.jsonl");
    assert!(!said.contains("warning: "), "{said}");
}
