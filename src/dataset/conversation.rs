//! A row's columns as a conversation. Errors say what was expected.

use super::{Kind, Tokens};
use crate::chat::{Conversation, Message, Role, weight_of};
use serde_json::{Map, Value};

type Row = Map<String, Value>;
type Found<T> = Result<T, String>;

/// Names of question and answer in data sets that people know.
const PAIRS: [(&str, &str); 5] = [
    ("prompt", "truth"),
    ("question", "answer"),
    ("problem", "solution"),
    ("text", "code"),
    ("prompt", "code"),
];

/// Columns with a weight for each token.
const TOKEN_WEIGHTS: [&str; 5] =
    ["weights", "loss_weights", "loss_mask", "completion_mask", "assistant_masks"];

/// What a row says.
pub(super) struct Said {
    pub conversation: Conversation,
    pub kind: Kind,
    /// How much the row is learned.
    pub weight: f32,
    /// The columns that were read.
    pub read: Vec<&'static str>,
}

impl Said {
    pub fn of(conversation: Conversation, read: &[&'static str]) -> Self {
        Self { conversation, kind: Kind::Conversation, weight: 1.0, read: read.to_vec() }
    }
}

/// What a row says, and how much of it is to be learned.
pub(super) fn said(row: &Row) -> Found<Said> {
    refuse_others(row)?;
    let listed_weights = ["labels"].iter().chain(&TOKEN_WEIGHTS);
    let per_token = listed_weights.copied().find(|key| row.get(*key).is_some_and(Value::is_array));
    let mut said = match (has(row, "input_ids"), per_token) {
        (true, Some(_)) => tokens(row)?,
        (false, Some(key)) => {
            return Err(format!(
                "has a value for each token in {key}, but not the tokens; give input_ids beside it, or the `weight` of a message"
            ));
        }
        // tokens beside what they were made from say nothing more
        (true, None) => conversation(row).or_else(|_| tokens(row))?,
        (false, None) => conversation(row)?,
    };
    for key in ["tools", "documents"] {
        if let Some(list) = listed(row, key)? {
            said.conversation.variables.insert(key.into(), list);
            said.read.push(key);
        }
    }
    match row.get("chat_template_kwargs") {
        None | Some(Value::Null) => {}
        Some(Value::Object(variables)) => {
            let given = variables.iter().filter(|(_, value)| !value.is_null());
            said.conversation.variables.extend(given.map(|(k, v)| (k.clone(), v.clone())));
            said.read.push("chat_template_kwargs");
        }
        Some(_) => return Err("expected chat_template_kwargs to be an object".into()),
    }
    said.weight = weight(row, &mut said.read)?;
    Ok(said)
}

/// A table has every column in every row; what a row does not use is null there.
fn has(row: &Row, key: &str) -> bool {
    row.get(key).is_some_and(|value| !value.is_null())
}

/// Refuses what must not be learned as an answer, and what no text says.
fn refuse_others(row: &Row) -> Found<()> {
    for key in ["label", "kto_tag"] {
        if row.get(key) == Some(&Value::Bool(false)) {
            return Err(format!(
                "is an answer that is not wanted ({key} is false); only wanted ones can be learned here"
            ));
        }
    }
    for key in ["image", "images", "video", "videos", "audio", "audios"] {
        let empty = match row.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) => list.iter().all(Value::is_null),
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        };
        if !empty {
            return Err(format!("has {key}, but only text can be read"));
        }
    }
    match ["functions", "function_call"].iter().find(|key| has(row, key)) {
        Some(key) => Err(format!(
            "has {key}, an old form that chat templates do not know; write tools and tool_calls"
        )),
        None => Ok(()),
    }
}

/// A list of objects that a chat template takes, or the same as JSON text.
fn listed(row: &Row, key: &str) -> Found<Option<Value>> {
    let list = match row.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| {
            format!("expected {key} to be a list of objects, as JSON ({error})")
        })?,
        Some(list) => list.clone(),
    };
    match &list {
        Value::Null => Ok(None),
        Value::Array(items) if items.iter().all(Value::is_object) => Ok(Some(list)),
        _ => Err(format!("expected {key} to be a list of objects")),
    }
}

/// How much the whole row is learned. Columns of these names that say something else are many, so only truth values, and a `weight` up
/// to 1, are taken for it.
fn weight(row: &Row, read: &mut Vec<&'static str>) -> Found<f32> {
    let mut weight = 1.0;
    for (key, inverted) in [
        ("weight", false),
        ("loss", false),
        ("train", false),
        ("training", false),
        ("trainable", false),
        ("masked", true),
    ] {
        let value = match row.get(key) {
            // what a table of text can hold
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                number if key == "weight" && !number.is_empty() => match number.parse::<f64>() {
                    Ok(number) => serde_json::Number::from_f64(number)
                        .map_or_else(|| Value::from(text.as_str()), Value::Number),
                    Err(_) => Value::from(text.as_str()),
                },
                _ => continue,
            },
            Some(value) if value.is_boolean() => value.clone(),
            Some(value) if key == "weight" && !value.is_null() => value.clone(),
            _ => continue,
        };
        let found = weight_of(key, &value, inverted).map_err(|error| error.to_string())?;
        if found > 1.0 {
            return Err(format!(
                "the column weight is {value}; as the row's weight in the loss it is from 0 to 1, and a column that means something else needs another name"
            ));
        }
        weight *= found;
        read.push(key);
    }
    Ok(weight)
}

/// A row whose tokens were made elsewhere.
fn tokens(row: &Row) -> Found<Said> {
    let list = |key: &str| match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(format!("expected {key} to be a list")),
    };
    let mut read = vec!["input_ids"];
    let ids = list("input_ids")?.map(Vec::as_slice).unwrap_or_default();
    let ids: Option<Vec<u32>> =
        ids.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect();
    let ids = ids.ok_or("expected input_ids to be a list of whole numbers from 0 on")?;
    let mut weights = vec![1.0f32; ids.len()];
    let check = |key: &str, count: usize| {
        if count == ids.len() {
            Ok(())
        } else {
            Err(format!("has {count} {key} for {} input_ids", ids.len()))
        }
    };
    if let Some(labels) = list("labels")? {
        check("labels", labels.len())?;
        for (at, label) in labels.iter().enumerate() {
            match label.as_i64() {
                Some(-100) => weights[at] = 0.0,
                Some(id) if id == i64::from(ids[at]) => {}
                _ => {
                    return Err(format!(
                        "expected labels to have the number of each token that is learned, not shifted, or -100; number {at} is {label} for the token {}",
                        ids[at]
                    ));
                }
            }
        }
        read.push("labels");
    }
    for key in TOKEN_WEIGHTS {
        let Some(values) = list(key)? else { continue };
        check(key, values.len())?;
        for (at, value) in values.iter().enumerate() {
            let weight = weight_of(key, value, false)
                .map_err(|error| format!("{error} for the token number {at}"))?;
            weights[at] *= weight;
        }
        read.push(key);
    }
    let mut kept = 0..ids.len();
    if let Some(values) = list("attention_mask")? {
        check("attention_mask", values.len())?;
        let seen = |value: &Value| value.as_i64() == Some(1) || value.as_bool() == Some(true);
        let (first, last) = (values.iter().position(seen), values.iter().rposition(seen));
        kept = first.unwrap_or(0)..last.map_or(0, |last| last + 1);
        if !values[kept.clone()].iter().all(seen) {
            return Err("has tokens in the middle that attention_mask leaves out; only padding at an end can be left out".into());
        }
        read.push("attention_mask");
    }
    if kept.is_empty() {
        return Err("has no tokens in input_ids".into());
    }
    let tokens = Tokens { ids: ids[kept.clone()].to_vec(), weights: weights[kept].to_vec() };
    Ok(Said { kind: Kind::Tokens(tokens), ..Said::of(Conversation::default(), &read) })
}

/// The conversation of a row, or its text.
fn conversation(row: &Row) -> Found<Said> {
    for key in ["messages", "conversations"] {
        if has(row, key) {
            return Ok(Said::of(with_system(row, messages(row, key)?)?, &[key, "system"]));
        }
    }
    if has(row, "prompt") && has(row, "completion") {
        let mut turns = turn(row, "prompt", Role::User)?;
        turns.extend(turn(row, "completion", Role::Assistant)?);
        return Ok(Said::of(with_system(row, turns)?, &["prompt", "completion", "system"]));
    }
    if has(row, "instruction") && has(row, "output") {
        let read = ["instruction", "output", "input", "system", "history"];
        return Ok(Said::of(alpaca(row)?, &read));
    }
    for (question, answer) in PAIRS {
        if has(row, question) && has(row, answer) {
            let pair = Conversation::pair(text(row, question)?, text(row, answer)?);
            let read = match answer {
                // an item, and how it is graded
                "truth" => vec![question, answer, "check", "style", "system"],
                _ => vec![question, answer, "system"],
            };
            return Ok(Said::of(with_system(row, pair.messages)?, &read));
        }
    }
    if has(row, "text") {
        return document(row);
    }
    let keys: Vec<String> = row
        .iter()
        .map(|(key, value)| match value {
            Value::Null => format!("{key} (null)"),
            _ => key.clone(),
        })
        .collect();
    let hint = match row.keys().next() {
        Some(one) if row.len() == 1 && one.contains([';', '\t', '|']) => {
            "; its columns seem to be separated by another sign: save the table with commas, or with tabs as .tsv"
        }
        _ => "",
    };
    Err(format!(
        "expected the keys messages, conversations, prompt and completion, instruction and output, question and answer, problem and solution, text and code, text alone, or input_ids; found {}{hint}",
        if keys.is_empty() { "none".to_string() } else { keys.join(", ") }
    ))
}

/// A text that is no conversation. What looks like the other half of a pair is not left behind.
fn document(row: &Row) -> Found<Said> {
    const HALVES: [&str; 17] = [
        "answer",
        "answers",
        "chosen",
        "code",
        "completion",
        "input",
        "instruction",
        "label",
        "output",
        "prompt",
        "question",
        "rejected",
        "response",
        "solution",
        "summary",
        "target",
        "translation",
    ];
    let said = text(row, "text")?;
    if said.trim().is_empty() {
        return Err("the text is empty".into());
    }
    if let Some(other) = HALVES.iter().find(|key| has(row, key)) {
        return Err(format!(
            "has text and {other}: a text alone is learned as it is; for a question and its answer call the columns prompt and completion"
        ));
    }
    let conversation = Conversation::new(vec![Message::assistant(said)]);
    Ok(Said { kind: Kind::Document, ..Said::of(conversation, &["text"]) })
}

/// The messages, after what a column of its own has the system say.
fn with_system(row: &Row, mut messages: Vec<Message>) -> Found<Conversation> {
    let given = messages.first().filter(|first| first.role == Role::System);
    match (given, optional(row, "system")?) {
        (None, Some(system)) => messages.insert(0, Message::system(system)),
        (Some(given), Some(system)) if given.content != system => {
            return Err(
                "has a system message and another one in the column system; keep one of them"
                    .into(),
            );
        }
        _ => {}
    }
    Ok(Conversation::new(messages))
}

fn alpaca(row: &Row) -> Found<Conversation> {
    let mut turns = Vec::new();
    match row.get("history") {
        None | Some(Value::Null) => {}
        // an empty cell of a table
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::Array(history)) => {
            for (index, pair) in history.iter().enumerate() {
                let part = |at: usize| pair.get(at).and_then(Value::as_str);
                let (Some(question), Some(answer)) = (part(0), part(1)) else {
                    return Err(format!(
                        "expected a question and an answer in entry {} of history",
                        index + 1
                    ));
                };
                turns.extend([Message::user(question), Message::assistant(answer)]);
            }
        }
        Some(_) => {
            return Err("expected history to be a list of questions with their answers".into());
        }
    }
    let mut question = text(row, "instruction")?.to_string();
    if let Some(input) = optional(row, "input")? {
        question = format!("{question}\n{input}");
    }
    turns.push(Message::user(question));
    turns.push(Message::assistant(text(row, "output")?));
    with_system(row, turns)
}

/// A text that may be absent, null or empty.
fn optional<'a>(row: &'a Row, key: &str) -> Found<Option<&'a str>> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(row, key).map(|text| (!text.is_empty()).then_some(text)),
    }
}

/// A text as one message, or a list of messages.
fn turn(row: &Row, key: &str, role: Role) -> Found<Vec<Message>> {
    match row.get(key) {
        Some(Value::String(text)) => Ok(vec![Message::new(role, text)]),
        Some(Value::Number(_) | Value::Bool(_)) => text(row, key).map(|_| Vec::new()),
        _ => messages(row, key),
    }
}

fn text<'a>(row: &'a Row, key: &str) -> Found<&'a str> {
    match row.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Err(format!(
            "expected {key} to be a text, found {value} without quotes; write \"{value}\""
        )),
        _ => Err(format!("expected {key} to be a text")),
    }
}

fn messages(row: &Row, key: &str) -> Found<Vec<Message>> {
    let wrong = || format!("expected {key} to be a list of messages");
    let parsed;
    let list = match row.get(key) {
        Some(Value::Array(list)) => list,
        // what a table of text can hold
        Some(Value::String(text)) => {
            parsed = serde_json::from_str::<Vec<Value>>(text)
                .map_err(|error| format!("{}, as JSON ({error})", wrong()))?;
            &parsed
        }
        _ => return Err(wrong()),
    };
    let place = |index: usize| format!("message {} of {key}", index + 1);
    list.iter().enumerate().map(|(index, value)| message(value, &place(index))).collect()
}

/// One message; `place` is for the error.
fn message(message: &Value, place: &str) -> Found<Message> {
    let lacks =
        |name: &str, other: &str| format!("expected {place} to have the text {name} (or {other})");
    let (source, name) = ["role", "from"]
        .iter()
        .find_map(|key| Some((*key, message.get(*key)?.as_str()?)))
        .ok_or_else(|| lacks("role", "from"))?;
    let role = Role::parse(name).ok_or_else(|| {
        format!(
            "expected {place} to be from the system, the user (human), the assistant (gpt) or a tool, not from {name:?}"
        )
    })?;
    let named = match name {
        "human" | "gpt" | "model" => role.name(),
        own => own,
    };
    let fields = message.as_object().ok_or_else(|| lacks("role", "from"))?;
    let held = |key: &&str| fields.get(*key).filter(|value| !value.is_null());
    let value = ["content", "value"].iter().find_map(held);
    // of two names for one thing none is left behind
    let twice = |one: &str, other: &str| {
        format!("expected {place} to have {one} or {other}, not both with other values")
    };
    if held(&"value").is_some_and(|other| value != Some(other)) {
        return Err(twice("content", "value"));
    }
    let from = held(&"from").and_then(Value::as_str).filter(|_| source == "role");
    if from.is_some_and(|from| Role::parse(from) != Some(role)) {
        return Err(twice("role", "from"));
    }
    let content = match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) if !parts.is_empty() => parts_of(parts).map_err(|kind| {
            format!("{}, or parts of text; {kind} cannot be read", lacks("content", "value"))
        })?,
        // what a tool gave back may be anything
        Some(other) if role == Role::Tool => other.to_string(),
        Some(_) => return Err(lacks("content", "value")),
    };
    // the message as a template sees it: null is absent, but for content, of which templates ask whether it is none
    let mut given = Map::new();
    let as_is = source == "role" && !fields.contains_key("value");
    if !as_is {
        given.insert("role".into(), named.into());
        given.insert("content".into(), value.cloned().unwrap_or_default());
    }
    for (key, value) in fields {
        match key.as_str() {
            "role" if as_is => given.insert(key.clone(), named.into()),
            "content" if as_is => given.insert(key.clone(), value.clone()),
            "role" | "content" | "from" | "value" if !as_is => None,
            _ if value.is_null() => None,
            _ => given.insert(key.clone(), value.clone()),
        };
    }
    if given.get("tool_calls").is_some_and(|calls| !calls.is_array()) {
        return Err(format!("expected tool_calls in {place} to be a list"));
    }
    let plain = given.keys().eq(["role", "content"])
        && given["role"] == role.name()
        && given["content"].is_string();
    let message = Message { role, content, given: if plain { Map::new() } else { given } };
    if value.is_none() && (role != Role::Assistant || message.written().next().is_none()) {
        return Err(lacks("content", "value"));
    }
    Ok(message)
}

/// The texts of parts such as `{"type": "text", "text": …}`, one after the other; else what a part is.
fn parts_of(parts: &[Value]) -> Found<String> {
    let text = |part: &Value| match (part.get("type").and_then(Value::as_str), part.get("text")) {
        (Some("text"), Some(Value::String(text))) => Ok(text.clone()),
        (Some(kind), _) => Err(format!("a part of the type {kind:?}")),
        (None, _) => Err("a part without a type".to_string()),
    };
    parts.iter().map(text).collect()
}
