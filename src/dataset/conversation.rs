//! A row's columns as a conversation. Errors say what was expected.

use crate::chat::{Conversation, Message, Role};
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

/// The conversation of a row.
pub(super) fn conversation(row: &Row) -> Found<Conversation> {
    // A table has every column in every row; what a row does not use is null there.
    let has = |key: &str| row.get(key).is_some_and(|value| !value.is_null());
    for key in ["messages", "conversations"] {
        if has(key) {
            return with_system(row, messages(row, key)?);
        }
    }
    if has("prompt") && has("completion") {
        let mut turns = turn(row, "prompt", Role::User)?;
        turns.extend(turn(row, "completion", Role::Assistant)?);
        return Ok(Conversation::new(turns));
    }
    if has("instruction") && has("output") {
        return alpaca(row);
    }
    for (question, answer) in PAIRS {
        if has(question) && has(answer) {
            return Ok(Conversation::pair(text(row, question)?, text(row, answer)?));
        }
    }
    let keys: Vec<String> = row
        .iter()
        .map(|(key, value)| match value {
            Value::Null => format!("{key} (null)"),
            _ => key.clone(),
        })
        .collect();
    Err(format!(
        "expected the keys messages, conversations, prompt and completion, instruction and output, question and answer, problem and solution, or text and code; found {}",
        if keys.is_empty() { "none".to_string() } else { keys.join(", ") }
    ))
}

/// The messages, after what a column of its own has the system say.
fn with_system(row: &Row, mut messages: Vec<Message>) -> Found<Conversation> {
    let given = messages.first().is_some_and(|first| first.role == Role::System);
    if !given && let Some(system) = optional(row, "system")? {
        messages.insert(0, Message::system(system));
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
        _ => messages(row, key),
    }
}

fn text<'a>(row: &'a Row, key: &str) -> Found<&'a str> {
    row.get(key).and_then(Value::as_str).ok_or_else(|| format!("expected {key} to be a text"))
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
    let message = |(index, message): (usize, &Value)| {
        let place = format!("message {} of {key}", index + 1);
        let lacks = |name: &str, other: &str| {
            format!("expected {place} to have the text {name} (or {other})")
        };
        let name = ["role", "from"]
            .iter()
            .find_map(|name| message.get(*name)?.as_str())
            .ok_or_else(|| lacks("role", "from"))?;
        let role = Role::parse(name).ok_or_else(|| {
            format!(
                "expected {place} to be from the system, the user (human) or the assistant (gpt), not from {name:?}"
            )
        })?;
        let content = ["content", "value"]
            .iter()
            .find_map(|name| content(message.get(*name)?))
            .ok_or_else(|| lacks("content", "value"))?;
        Ok(Message::new(role, content))
    };
    list.iter().enumerate().map(message).collect()
}

/// What a message says: a text, or a list of texts as `{"type": "text", "text": …}`.
fn content(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) if !parts.is_empty() => parts
            .iter()
            .map(|part| match part.get("type")?.as_str()? {
                "text" => part.get("text")?.as_str(),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
