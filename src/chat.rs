//! Roles, messages and conversations.
//!
//! A [`Message`] is a text and who says it. Where its data set has more of it, such as `tool_calls`, `reasoning_content` or parts of
//! content, [`Message::given`] keeps all of it as it stands there, and a chat template sees that, as it would in transformers. What stands
//! beside the messages, such as `tools` and `documents`, is in [`Conversation::variables`].
//!
//! Data can say *do not learn this* of a message: `weight: 0`, `train: false` or `loss: false`, see [`Message::weight`].
//!
//! ```
//! use unforget::chat::Conversation;
//! let conversation = Conversation::pair("What is 2 + 2?", "4");
//! conversation.check_for_training()?;
//! assert_eq!(conversation.completion(), Some("4"));
//! assert_eq!(conversation.prompt().len(), 1);
//! # Ok::<(), unforget::error::Error>(())
//! ```

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the scene; only as the first message.
    System,
    /// Asks.
    User,
    /// Answers: the model's own part.
    Assistant,
    /// What a tool that the assistant called gave back.
    Tool,
}

/// What one speaker says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, as written: nothing is trimmed. Of several parts the texts, one after the other; empty where nothing is said, as
    /// beside a call of a tool.
    pub content: String,
    /// The whole message as a chat template sees it, where that is more than `role` and `content`; else empty.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub given: Map<String, Value>,
}

/// Keys of a message that say how much it is learned, as trainers know them, and whether true means *do not learn*.
const WEIGHTS: [(&str, bool); 8] = [
    ("weight", false),     // OpenAI, Mistral, Together: 0 or 1
    ("loss", false),       // ms-swift
    ("loss_scale", false), // ms-swift: a number
    ("train", false),
    ("training", false), // Axolotl
    ("trainable", false),
    ("masked", true), // torchtune
    ("mask", true),
];

/// Keys by which Axolotl weighs parts of a message.
const DETAILS: [&str; 2] = ["train_detail", "training_detail"];

/// Keys that hold something the assistant has to write beside `content`, in groups of names for one thing.
const WRITTEN: [&[&str]; 5] = [
    &["tool_calls"],
    &["function_call"],
    // transformers takes these three for one
    &["reasoning_content", "thinking", "reasoning"],
    &["tool_plan"],
    &["refusal"],
];

/// Whether `key` of a message says how much of it is learned.
pub(crate) fn is_of_learning(key: &str) -> bool {
    DETAILS.contains(&key) || WEIGHTS.iter().any(|(known, _)| *known == key)
}

/// Whether `key` of a message holds something the assistant has to write.
pub(crate) fn is_written(key: &str) -> bool {
    WRITTEN.iter().any(|keys| keys.contains(&key))
}

/// Messages in order, and what a chat template sees beside them.
///
/// Any order can be written down; [`Conversation::check_for_training`] and [`Conversation::check_for_generation`] say
/// whether it makes sense, and name the message where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Conversation {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// Variables of the chat template: `tools`, `documents`, and those that `chat_template_kwargs` names.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
}

impl Role {
    /// The name that chat templates use: `system`, `user`, `assistant` or `tool`.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// The role that a data set means by `name`: its own names, ShareGPT's `human` and `gpt`, and others that templates know.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "system" | "developer" => Some(Self::System),
            "user" | "human" => Some(Self::User),
            "assistant" | "gpt" | "model" => Some(Self::Assistant),
            "tool" | "function" | "ipython" => Some(Self::Tool),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Message {
    /// What `role` says.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), given: Map::new() }
    }

    /// What the system says.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// What the user says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the assistant says.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// How much the message is learned: 1 unless it says otherwise by `weight`, `loss` or another such key; 0 is not at all.
    ///
    /// # Errors
    /// Names the key whose value is neither true, nor false, nor a number from 0 on.
    pub fn weight(&self) -> Result<f32> {
        Ok(self.given_weight()?.unwrap_or(1.0))
    }

    /// The same, `None` where nothing is said of it.
    fn given_weight(&self) -> Result<Option<f32>> {
        for key in DETAILS {
            if self.given.get(key).is_some_and(|value| !value.is_null()) {
                let problem = "says of parts of the text which are learned, which is not read here; give `weights` beside `input_ids`, or make messages of the parts";
                return Err(Error::invalid(key, problem));
            }
        }
        let mut weight = None;
        for (key, inverted) in WEIGHTS {
            let Some(value) = self.given.get(key).filter(|value| !value.is_null()) else {
                continue;
            };
            let found = weight_of(key, value, inverted)?;
            weight = Some(weight.unwrap_or(1.0) * found);
        }
        Ok(weight)
    }

    /// The groups of keys whose values the assistant has to write beside `content`.
    pub(crate) fn written(&self) -> impl Iterator<Item = &'static [&'static str]> + '_ {
        let has = |key: &&str| match self.given.get(*key) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        WRITTEN.into_iter().filter(move |keys| keys.iter().any(&has))
    }

    /// The texts of its parts, where its content is a list of them.
    pub(crate) fn parts(&self) -> Option<Vec<&str>> {
        let parts = self.given.get("content")?.as_array()?;
        Some(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
    }

    /// Whether its text is all that is said.
    pub fn is_plain(&self) -> bool {
        self.parts().is_none() && self.written().next().is_none()
    }
}

/// A weight that a data set gives under `key`; `inverted`: true means *do not learn*.
pub(crate) fn weight_of(key: &str, value: &Value, inverted: bool) -> Result<f32> {
    let weight = match value {
        Value::Bool(said) => Some(f32::from(u8::from(*said != inverted))),
        Value::Number(number) if !inverted => number.as_f64().map(|number| number as f32),
        _ => None,
    };
    weight.filter(|weight| weight.is_finite() && *weight >= 0.0).ok_or_else(|| {
        let problem = match inverted {
            true => format!("must be true (do not learn) or false, got {value}"),
            false => format!(
                "must be true, false or a number from 0 (do not learn) on, as a weight of the loss, got {value}"
            ),
        };
        Error::invalid(key, problem)
    })
}

impl Conversation {
    /// A conversation of these messages.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, variables: Map::new() }
    }

    /// One question, not answered yet.
    pub fn question(prompt: impl Into<String>) -> Self {
        Self::new(vec![Message::user(prompt)])
    }

    /// One question and its answer.
    pub fn pair(prompt: impl Into<String>, completion: impl Into<String>) -> Self {
        Self::new(vec![Message::user(prompt), Message::assistant(completion)])
    }

    /// The messages before the last answer; all of them if the last message is not an answer.
    pub fn prompt(&self) -> &[Message] {
        match self.messages.split_last() {
            Some((last, before)) if last.role == Role::Assistant => before,
            _ => &self.messages,
        }
    }

    /// The last answer, if the conversation ends in one.
    pub fn completion(&self) -> Option<&str> {
        self.messages
            .last()
            .filter(|message| message.role == Role::Assistant)
            .map(|message| message.content.as_str())
    }

    /// The same conversation with another last answer (appended where there was none).
    pub fn with_completion(&self, completion: impl Into<String>) -> Self {
        let mut messages = self.prompt().to_vec();
        messages.push(Message::assistant(completion));
        Self { messages, variables: self.variables.clone() }
    }

    /// Whether one can learn from it: an optional system message, then user and assistant in turn, the assistant last and
    /// with something to say. What tools gave back stands before an assistant's message. The error names the message, counted from 1.
    pub fn check_for_training(&self) -> Result<()> {
        self.check_turns()?;
        match self.messages.last() {
            Some(last) if last.role == Role::Assistant => Ok(()),
            Some(last) => Err(self.wrong(
                self.messages.len() - 1,
                format!(
                    "the last message must be the assistant's answer, not from the {}",
                    last.role
                ),
            )),
            None => Ok(()),
        }
    }

    /// Whether it can be answered: an optional system message, then user and assistant in turn, the user last.
    /// The error names the message, counted from 1.
    pub fn check_for_generation(&self) -> Result<()> {
        self.check_turns()?;
        match self.messages.last() {
            Some(last) if matches!(last.role, Role::User | Role::Tool) => Ok(()),
            Some(last) => Err(self.wrong(
                self.messages.len() - 1,
                format!("the last message must be from the user, not from the {}", last.role),
            )),
            None => Ok(()),
        }
    }

    fn check_turns(&self) -> Result<()> {
        if self.messages.is_empty() {
            return Err(Error::invalid("conversation", "has no messages"));
        }
        let turns = usize::from(self.messages[0].role == Role::System);
        let mut before = None;
        for (index, message) in self.messages.iter().enumerate().skip(turns) {
            let fits = match message.role {
                Role::System => false,
                Role::User => matches!(before, None | Some(Role::Assistant)),
                Role::Assistant => matches!(before, Some(Role::User | Role::Tool)),
                Role::Tool => matches!(before, Some(Role::Assistant | Role::Tool)),
            };
            if !fits {
                let expected = match before {
                    None | Some(Role::Assistant) => Role::User,
                    _ => Role::Assistant,
                };
                let problem = match message.role {
                    Role::System => "a system message can only be the first".to_string(),
                    role => format!(
                        "expected the {expected}, found the {role}; after an optional system message, user and assistant take turns"
                    ),
                };
                return Err(self.wrong(index, problem));
            }
            before = Some(message.role);
            let weight = message.given_weight().map_err(|e| self.wrong(index, e.to_string()))?;
            if message.role != Role::Assistant && weight.is_some_and(|weight| weight > 0.0) {
                let problem = format!(
                    "says that it is to be learned, but only what the assistant writes is; leave that out of the message of the {}",
                    message.role
                );
                return Err(self.wrong(index, problem));
            }
            let nothing = message.content.trim().is_empty() && message.written().next().is_none();
            if message.role == Role::Assistant && nothing && weight != Some(0.0) {
                return Err(self.wrong(index, "the assistant's answer is empty".to_string()));
            }
        }
        Ok(())
    }

    fn wrong(&self, index: usize, problem: String) -> Error {
        Error::invalid(format!("message {} of {}", index + 1, self.messages.len()), problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Assistant, System, User};

    fn of(roles: &[Role]) -> Conversation {
        Conversation::new(roles.iter().map(|role| Message::new(*role, "x")).collect())
    }

    #[test]
    fn turns_that_alternate_can_be_learned_from() {
        for roles in [
            &[User, Assistant][..],
            &[System, User, Assistant],
            &[User, Assistant, User, Assistant],
        ] {
            of(roles).check_for_training().unwrap();
            assert!(of(roles).check_for_generation().is_err());
        }
        of(&[System, User]).check_for_generation().unwrap();
    }

    #[test]
    fn a_wrong_order_names_the_message() {
        let check = |roles: &[Role], expected: &str| {
            let message = of(roles).check_for_training().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(&[], "no messages");
        check(&[User], "message 1 of 1: the last message must be");
        check(&[User, User, Assistant], "message 2 of 3: expected the assistant");
        check(&[Assistant, User], "message 1 of 2: expected the user");
        check(&[System, Assistant], "message 2 of 2: expected the user");
        check(&[User, System, Assistant], "message 2 of 3: a system message");
    }

    #[test]
    fn an_empty_answer_is_refused() {
        let message = Conversation::pair("x", " \n").check_for_training();
        assert!(message.unwrap_err().to_string().contains("is empty"));
    }

    fn given(role: Role, fields: Value) -> Message {
        let content = fields["content"].as_str().unwrap_or_default().to_string();
        let Value::Object(given) = fields else { panic!("an object") };
        Message { role, content, given }
    }

    #[test]
    fn tools_answer_between_two_messages_of_the_assistant() {
        let call = || given(Assistant, serde_json::json!({"tool_calls": [{"name": "f"}]}));
        let tool = || Message::new(Role::Tool, "4");
        let check = |messages: Vec<Message>| Conversation::new(messages).check_for_training();
        let (user, end) = (Message::user("q"), Message::assistant("a"));
        check(vec![user.clone(), call(), tool(), tool(), end.clone()]).unwrap();
        check(vec![user.clone(), call()]).unwrap();
        let message = check(vec![user.clone(), tool(), end.clone()]).unwrap_err().to_string();
        assert!(message.contains("message 2 of 3: expected the assistant"), "{message}");
        let asked = Conversation::new(vec![user, call(), tool()]);
        asked.check_for_generation().unwrap();
    }

    #[test]
    fn a_message_says_how_much_it_is_learned() {
        let of = |fields: Value| given(Assistant, fields).weight();
        for (fields, weight) in [
            (serde_json::json!({}), 1.0),
            (serde_json::json!({"weight": 0}), 0.0),
            (serde_json::json!({"weight": 0.25}), 0.25),
            (serde_json::json!({"train": false}), 0.0),
            (serde_json::json!({"training": true}), 1.0),
            (serde_json::json!({"loss": false}), 0.0),
            (serde_json::json!({"loss": true, "loss_scale": 0.5}), 0.5),
            (serde_json::json!({"masked": true}), 0.0),
            (serde_json::json!({"weight": null}), 1.0),
        ] {
            assert_eq!(of(fields.clone()).unwrap(), weight, "{fields}");
        }
        for (fields, word) in [
            (serde_json::json!({"weight": -1}), "-1"),
            (serde_json::json!({"weight": 1e300}), "weight"),
            (serde_json::json!({"loss": "no"}), "loss"),
            (serde_json::json!({"masked": 1}), "masked"),
        ] {
            let message = of(fields).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        let learned = given(User, serde_json::json!({"content": "q", "weight": 1}));
        let message = Conversation::new(vec![learned, Message::assistant("a")]);
        let message = message.check_for_training().unwrap_err().to_string();
        assert!(message.contains("message 1 of 2: says that it is to be learned"), "{message}");
    }

    #[test]
    fn the_last_answer_can_be_exchanged() {
        let own = Conversation::pair("q", "a").with_completion("b");
        assert_eq!(own, Conversation::pair("q", "b"));
        assert_eq!(Conversation::question("q").with_completion("b"), own);
    }

    #[test]
    fn weights_of_parts_of_a_text_are_refused_and_not_dropped() {
        for key in DETAILS {
            let mut message = Message::assistant("a b");
            message.given = serde_json::json!({"role": "assistant", "content": "a b", key: [{"begin_offset": 0, "end_offset": 1, "train": false}]})
                .as_object()
                .cloned()
                .unwrap_or_default();
            let error = message.weight().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("input_ids"), "{error}");
        }
    }
}
