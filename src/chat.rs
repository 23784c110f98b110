//! Roles, messages and conversations.
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
}

/// What one speaker says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, as written: nothing is trimmed.
    pub content: String,
}

/// Messages in order.
///
/// Any order can be written down; [`Conversation::check_for_training`] and [`Conversation::check_for_generation`] say
/// whether it makes sense, and name the message where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
}

impl Role {
    /// The name that chat templates use: `system`, `user` or `assistant`.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    /// The role that a data set means by `name`: its own names, and ShareGPT's `human` and `gpt`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "system" => Some(Self::System),
            "user" | "human" => Some(Self::User),
            "assistant" | "gpt" | "model" => Some(Self::Assistant),
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
        Self { role, content: content.into() }
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
}

impl Conversation {
    /// A conversation of these messages.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages }
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
        Self::new(messages)
    }

    /// Whether one can learn from it: an optional system message, then user and assistant in turn, the assistant last and
    /// with something to say. The error names the message, counted from 1.
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
            Some(last) if last.role == Role::User => Ok(()),
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
        for (index, message) in self.messages.iter().enumerate().skip(turns) {
            let expected = if (index - turns) % 2 == 0 { Role::User } else { Role::Assistant };
            if message.role != expected {
                let problem = match message.role {
                    Role::System => "a system message can only be the first".to_string(),
                    role => format!(
                        "expected the {expected}, found the {role}; after an optional system message, user and assistant take turns"
                    ),
                };
                return Err(self.wrong(index, problem));
            }
            if message.role == Role::Assistant && message.content.trim().is_empty() {
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

    #[test]
    fn the_last_answer_can_be_exchanged() {
        let own = Conversation::pair("q", "a").with_completion("b");
        assert_eq!(own, Conversation::pair("q", "b"));
        assert_eq!(Conversation::question("q").with_completion("b"), own);
    }
}
