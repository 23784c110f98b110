//! How an answer begins and ends in a chat template, and what of it a trainer should know.

use super::{SpecialToken, Tokenizer, TurnEnd};
use crate::chat::Message;

/// Stands for an answer. No template has it in its own words.
const ANSWER: &str = "zqx";
/// Stands for a thought.
const THOUGHT: &str = "jvk";

impl Tokenizer {
    /// How the chat template ends an answer, without one the token that ends a text. `None` where the template does not write a plain question with its
    /// answer, so that nothing can be said.
    pub fn turn_end(&self) -> Option<TurnEnd> {
        self.end.get_or_init(|| self.find_turn_end()).clone()
    }

    fn find_turn_end(&self) -> Option<TurnEnd> {
        if self.template().is_none() {
            return self.eos().map(TurnEnd::Token);
        }
        let text = self.render_answer(ANSWER)?;
        let end = text.rfind(ANSWER)? + ANSWER.len();
        let mark = text[end..].trim().lines().next().unwrap_or_default().trim_end();
        if mark.is_empty() {
            return Some(TurnEnd::Nothing);
        }
        let encoding = self.split(&text, false).ok()?;
        let after = |span: &std::ops::Range<usize>| span.end > end;
        let mut tokens = encoding.ids.iter().zip(&encoding.spans).filter(|(_, span)| after(span));
        let token = tokens.clone().find(|(id, span)| {
            self.ends_turns(**id) || !text[span.start.max(end)..span.end].trim().is_empty()
        });
        if let Some((id, _)) = token.filter(|(id, span)| span.start >= end && self.ends_turns(**id))
        {
            return Some(TurnEnd::Token(SpecialToken { text: self.piece(*id), id: *id }));
        }
        let last = end + text[end..].find(mark)? + mark.len();
        let pieces = tokens.by_ref().take_while(|(_, span)| span.start < last).count();
        Some(TurnEnd::Text(mark.to_string(), pieces))
    }

    /// Whether a turn that ends with `id` has ended: ordinary text does not consist of it.
    pub(super) fn ends_turns(&self, id: u32) -> bool {
        self.is_special(id) || (self.is_added(id) && !self.piece(id).trim().is_empty())
    }

    /// A question and `answer`, with a system message if the template wants one.
    fn render_answer(&self, answer: &str) -> Option<String> {
        let messages = [Message::system("s"), Message::user("a"), Message::assistant(answer)];
        let template = self.template()?;
        template.render(&messages[1..], false).or_else(|_| template.render(&messages, false)).ok()
    }

    /// What a person should know before training on this tokenizer's chats or letting a model answer them, a sentence each: that nothing ends an
    /// answer, that a thinking block is opened, that a date is written. `stop_ids` are those that the model's own files name.
    pub fn advice(&self, stop_ids: &[u32]) -> Vec<String> {
        let place = match self.template() {
            Some(template) => format!("the chat template {}", template.path().display()),
            None => format!("the tokenizer in {}", self.folder().display()),
        };
        let mut advice = Vec::new();
        match self.turn_end() {
            None => {}
            Some(TurnEnd::Nothing) => advice.push(format!(
                "{place} writes no mark after an answer: a model that is trained with it does not learn where an answer ends"
            )),
            Some(TurnEnd::Text(mark, pieces)) => advice.push(format!(
                "{place} ends an answer with {mark:?}, which the tokenizer does not know as one token (it is cut into {pieces}): generation does not stop there; add it to the tokenizer's special tokens"
            )),
            Some(TurnEnd::Token(mark)) if !stop_ids.contains(&mark.id) => {
                let ids = match stop_ids {
                    [] => "none".to_string(),
                    ids => ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
                };
                advice.push(format!(
                    "{place} ends an answer with {:?} (id {}), which is not among the stop ids of generation_config.json and config.json ({ids}): generation stops there here, other programs go on; add it to `eos_token_id`",
                    mark.text, mark.id
                ));
            }
            Some(TurnEnd::Token(_)) => {}
        }
        let Some(template) = self.template() else { return advice };
        if let Some(thinking) = self.thinking() {
            advice.push(format!("{place} {thinking}{}", self.thinking_way_out()));
        }
        if let (Some(date), None) = (template.date(), template.options().date) {
            advice.push(format!(
                "{place} writes today's date ({date}): what is made today is not found in the store tomorrow; --template-date {date} pins it"
            ));
        }
        for name in template.options().args.keys().filter(|name| !template.reads(name)) {
            advice.push(format!("{place} does not read `{name}`, so that it changes nothing"));
        }
        advice
    }

    /// What the template does with thoughts, if it does something.
    fn thinking(&self) -> Option<String> {
        let template = self.template()?;
        let opening = template.render(&[Message::user("a")], true).ok()?;
        if let Some(tag) = open_tag(&opening) {
            return Some(format!("opens a thinking block where an answer begins ({tag})"));
        }
        let answer = self.render_answer(ANSWER)?;
        if let Some(written) = answer.strip_prefix(opening.as_str())
            && let Some(at) = written.find(ANSWER)
            && written[..at].contains("think")
        {
            return Some(format!(
                "writes {:?} before an answer that is trained on, and not where it asks for one",
                written[..at].trim()
            ));
        }
        // a template without a notion of thoughts writes them as they stand
        let thought = format!("<think>\n{THOUGHT}\n</think>\n\n{ANSWER}");
        let messages = [Message::user("a"), Message::assistant(thought), Message::user("b")];
        let text = template.render(&messages, false).ok()?;
        (text.contains(ANSWER) && !text.contains(THOUGHT))
            .then(|| "leaves out what earlier answers hold in <think> … </think>".to_string())
    }

    /// How to do without thoughts, for the end of a message.
    pub(super) fn thinking_way_out(&self) -> String {
        let switch = |name: &&&str| {
            self.template().is_some_and(|template| {
                template.reads(name) && !template.options().args.contains_key(**name)
            })
        };
        match ["enable_thinking", "thinking"].iter().find(switch) {
            Some(name) => format!("; --template-arg {name}=false turns thinking off"),
            None => String::new(),
        }
    }
}

/// The tag of a thinking block that `opening` ends with, not closed again.
pub(super) fn open_tag(opening: &str) -> Option<&str> {
    let tag = &opening.trim_end()[opening.trim_end().rfind(['<', '['])?..];
    (tag.ends_with(['>', ']']) && tag.contains("think") && !tag.contains('/')).then_some(tag)
}
