//! What data hold and no text of theirs shows, because the chat template never asks for it.

use super::Tokenizer;
use crate::chat::{Conversation, is_of_learning, is_written};
use crate::dataset::{Example, Kind};
use rayon::prelude::*;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Keys that name or file a message, a call or a tool, and say nothing to a model: templates leave them out by custom.
const FILED: [&str; 23] = [
    // a second name for role and content, with the same value
    "from",
    "value",
    "id",
    "uuid",
    "index",
    "idx",
    "type",
    "object",
    "metadata",
    "meta",
    "timestamp",
    "created",
    "created_at",
    "updated_at",
    // what a server says of an answer
    "model",
    "usage",
    "finish_reason",
    "stop_reason",
    "logprobs",
    "cache_control",
    "strict",
    "additionalProperties",
    "$schema",
];

impl Tokenizer {
    /// What `examples` hold that their texts do not show, because the chat template never asks for it: for a person, such as "\`name\` of the
    /// user". What says how much is learned, and ids and the like that templates leave out by custom, is not named.
    ///
    /// Each conversation that has more than roles and contents is rendered once more, by a template that is watched.
    pub fn unread(&self, examples: &[Example]) -> BTreeSet<String> {
        let has_more = |of: &&Example| {
            let Conversation { messages, variables } = &of.conversation;
            let more = !variables.is_empty() || messages.iter().any(|m| !m.given.is_empty());
            of.kind == Kind::Conversation && more
        };
        let of_one = |of: &Example| self.unread_of(&of.conversation);
        examples.par_iter().filter(has_more).flat_map_iter(of_one).collect()
    }

    fn unread_of(&self, conversation: &Conversation) -> BTreeSet<String> {
        let Conversation { messages, variables } = conversation;
        let asked = match self.template() {
            Some(template) => match template.asked(messages, variables) {
                Ok(asked) => asked.keys(),
                // what cannot be rendered is told elsewhere
                Err(_) => return BTreeSet::new(),
            },
            None => messages.iter().map(|message| format!("{}.content", message.role)).collect(),
        };
        let mut named = BTreeSet::new();
        for message in messages {
            let role = message.given.get("role").and_then(Json::as_str);
            let role = role.unwrap_or_else(|| message.role.name());
            for (key, value) in &message.given {
                let path = format!("{role}.{key}");
                if key == "role" || is_of_learning(key) {
                    continue;
                }
                // a thought may be read under another name, and what is not written is refused
                if is_written(key) && !asked.contains(&path) {
                    continue;
                }
                name_unread(key, value, &format!("{role}."), &asked, &mut |key| {
                    named.insert(format!("`{key}` of the {role}"));
                });
            }
        }
        for (key, value) in variables {
            match self.template().is_some_and(|template| template.reads(key)) {
                true => name_unread_below(value, key, "", &asked, &mut |key| {
                    named.insert(format!("`{key}`"));
                }),
                false => drop(named.insert(format!("`{key}`"))),
            }
        }
        named
    }
}

/// Names `key`, which has `value`, if it was not asked for, and else what was not asked for in it; `place` is where it stands.
fn name_unread(
    key: &str,
    value: &Json,
    place: &str,
    asked: &BTreeSet<String>,
    name: &mut dyn FnMut(&str),
) {
    let last = key.rsplit('.').next().unwrap_or(key);
    let silent = match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    };
    // where a template takes no parts, the text of the only one is given as the content
    let written = key == "content[].text";
    if silent || written || FILED.contains(&last) || last.ends_with("_id") {
        return;
    }
    match asked.contains(&format!("{place}{key}")) {
        true => name_unread_below(value, key, place, asked, name),
        false => name(key),
    }
}

/// The same of what `value` holds.
fn name_unread_below(
    value: &Json,
    key: &str,
    place: &str,
    asked: &BTreeSet<String>,
    name: &mut dyn FnMut(&str),
) {
    match value {
        Json::Object(fields) => {
            for (below, value) in fields {
                name_unread(&format!("{key}.{below}"), value, place, asked, name);
            }
        }
        Json::Array(items) => {
            for item in items {
                name_unread_below(item, &format!("{key}[]"), place, asked, name);
            }
        }
        _ => {}
    }
}
