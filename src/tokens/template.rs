//! The chat template: how messages become one string.
//!
//! Templates are written in Jinja and rendered as transformers renders them: a newline after a block and the white space
//! before it are removed, nothing is escaped, Python's string methods work, and `raise_exception`, `strftime_now` and a
//! `tojson` that writes what Python's `json.dumps` writes are there. The `generation` block, which marks what the assistant
//! wrote and which Jinja does not know, is understood too.

use super::DateTime;
use super::asked::Asked;
use crate::chat::Message;
use crate::error::{Error, Result};
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, ErrorKind, State, filters, syntax::SyntaxConfig};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a chat template is given beside the messages.
///
/// ```
/// use unforget::tokens::TemplateOptions;
/// let options = TemplateOptions::parse(Some("2025-01-31"), &["enable_thinking=false"])?;
/// assert_eq!(options.args["enable_thinking"], false);
/// # Ok::<(), unforget::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateOptions {
    /// The date and time that `strftime_now` shows; the local time if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateTime>,
    /// Variables of the template by name, such as `enable_thinking`: the keyword arguments of transformers' `apply_chat_template`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, serde_json::Value>,
}

impl TemplateOptions {
    /// From a date such as `2025-01-31` and variables such as `enable_thinking=false`; a value is JSON, and else a text.
    ///
    /// # Errors
    /// When `date` is no date or one of `args` has no name, stands there twice, or is `True`, `False` or `None`, which JSON writes otherwise.
    pub fn parse(date: Option<&str>, args: &[impl AsRef<str>]) -> Result<Self> {
        let mut options = Self { date: date.map(str::parse).transpose()?, ..Self::default() };
        for arg in args.iter().map(AsRef::as_ref) {
            let wrong =
                |problem: String| Error::invalid(format!("template argument `{arg}`"), problem);
            let named = arg.split_once('=').filter(|(name, _)| !name.trim().is_empty());
            let Some((name, text)) = named else {
                return Err(wrong("must be NAME=VALUE, such as enable_thinking=false".into()));
            };
            if let Some(json) = match text {
                "True" => Some("true"),
                "False" => Some("false"),
                "None" => Some("null"),
                _ => None,
            } {
                return Err(wrong(format!(
                    "write {name}={json}; for the text, {name}='\"{text}\"'"
                )));
            }
            let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
            if options.args.insert(name.trim().to_string(), value).is_some() {
                return Err(wrong("stands there twice".into()));
            }
        }
        options.check()?;
        Ok(options)
    }

    /// Refuses variables that a template is given anyway.
    pub fn check(&self) -> Result<()> {
        const GIVEN: [&str; 7] = [
            "messages",
            "tools",
            "documents",
            "add_generation_prompt",
            "strftime_now",
            "raise_exception",
            "continue_final_message",
        ];
        match self.args.keys().find(|name| GIVEN.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let problem = "a template is given that by the data, not by an argument";
                Err(Error::invalid(format!("template argument `{name}`"), problem))
            }
        }
    }

    /// Whether a template is given nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These over `others`.
    pub fn over(mut self, others: &Self) -> Self {
        self.date = self.date.or(others.date);
        for (name, value) in &others.args {
            self.args.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }
}

/// A model's own chat template.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    path: PathBuf,
    special: BTreeMap<String, String>,
    options: TemplateOptions,
}

/// A conversation as one string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The string.
    pub text: String,
    /// Ranges of bytes that the template itself marks as the assistant's by `generation` blocks; empty where it has none.
    pub generation: Vec<Range<usize>>,
}

/// The one template in its environment.
const NAME: &str = "chat";
/// Variables that the `generation` blocks are rewritten to print. They are empty unless the marks are asked for.
const START: &str = "__generation_start";
const END: &str = "__generation_end";
/// What they print then: noncharacters of Unicode, which no text contains.
const START_MARK: &str = "\u{fdd0}";
const END_MARK: &str = "\u{fdd1}";
/// What stands around a text that the filter `safe` was put on.
const SAFE: [char; 2] = ['\u{fdd2}', '\u{fdd3}'];

impl ChatTemplate {
    /// A template from its `source`; `path` is the file it stands in, for messages. `special` are the variables for special
    /// tokens, such as `bos_token`.
    ///
    /// Errors when the source is not a template.
    pub fn new(source: &str, path: &Path, special: BTreeMap<String, String>) -> Result<Self> {
        let (source, path) = (source.to_string(), path.to_path_buf());
        let (environment, options) = (Environment::new(), TemplateOptions::default());
        let mut template = Self { environment, source, path, special, options };
        let environment = &mut template.environment;
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(Error::library("setting up the template language"))?,
        );
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(python_method);
        // `~` joins without escaping, and what was joined does not tell by which of the two
        let joins = !template.source.contains('~');
        environment.set_formatter(move |out, state, value| {
            let write = |out: &mut minijinja::Output<'_>, text: &str| {
                out.write_str(text).map_err(minijinja::Error::from)
            };
            match value.as_str() {
                Some(text) if text.contains(SAFE) => write(out, &joined_to_safe(text, joins)),
                None if value.is_number() && !value.is_integer() => {
                    write(out, &float(f64::try_from(value.clone())?))
                }
                _ => minijinja::escape_formatter(out, state, value),
            }
        });
        environment.add_filter("safe", |text: String| format!("{}{text}{}", SAFE[0], SAFE[1]));
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment.add_filter("int", to_int);
        environment.add_filter("float", to_float);
        // What Jinja finds by asking Python: texts and dictionaries have a length and can be indexed, nothing can be walked
        // through that is `none`.
        environment.add_test("sequence", |value: &Value| {
            use minijinja::value::ValueKind::{Map, Seq, String, Undefined};
            matches!(value.kind(), Seq | Map | String | Undefined)
        });
        environment.add_test("iterable", |value: &Value| {
            use minijinja::value::ValueKind::{Iterable, Map, Seq, String, Undefined};
            matches!(value.kind(), Seq | Map | String | Undefined | Iterable)
        });
        // Python reads every line end as \n, in files as in templates
        let source = template.source.replace("\r\n", "\n").replace('\r', "\n");
        let rewritten = rewrite_generation_blocks(&source);
        let added = template.environment.add_template_owned(NAME, rewritten);
        added.map_err(|error| template.problem("is not a template that can be read", &error))?;
        Ok(template.with_options(&TemplateOptions::default()))
    }

    /// The same template with what it is given beside the messages.
    pub fn with_options(mut self, options: &TemplateOptions) -> Self {
        self.options = options.clone();
        let now = options.date.unwrap_or_else(DateTime::now);
        self.environment.add_function("strftime_now", move |format: &str| now.strftime(format));
        self
    }

    /// What it is given beside the messages.
    pub fn options(&self) -> &TemplateOptions {
        &self.options
    }

    /// The date that its texts depend on, with the time of day if they depend on that; `None` if it writes no date.
    pub fn date(&self) -> Option<String> {
        let now = self.options.date.unwrap_or_else(DateTime::now);
        if writes_day(&self.source)? { Some(now.date()) } else { Some(now.to_string()) }
    }

    /// Whether it reads the variable `name`.
    pub fn reads(&self, name: &str) -> bool {
        let template = self.environment.get_template(NAME);
        template.is_ok_and(|template| template.undeclared_variables(false).contains(name))
    }

    /// The Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The file in which the template stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renders `messages`, followed by the opening of the assistant's turn if `add_generation_prompt`.
    ///
    /// Errors with the template's own words when it refuses the conversation.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, &Map::new(), add_generation_prompt)
    }

    /// As [`render`](Self::render), with variables such as `tools` and `documents`
    /// ([`Conversation::variables`](crate::chat::Conversation::variables)).
    pub fn render_with(
        &self,
        messages: &[Message],
        variables: &Map<String, Json>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        self.run(messages, variables, add_generation_prompt, ["", ""], None)
    }

    /// Which keys of `messages` and of these variables the template asks for.
    pub(super) fn asked(
        &self,
        messages: &[Message],
        variables: &Map<String, Json>,
    ) -> Result<Asked> {
        let asked = Asked::default();
        self.run(messages, variables, false, ["", ""], Some(&asked))?;
        Ok(asked)
    }

    /// Renders `messages` with these variables and without an opening at the end, and says what the template marks as the assistant's.
    pub fn render_marked(
        &self,
        messages: &[Message],
        variables: &Map<String, Json>,
    ) -> Result<Rendered> {
        let marked = self.run(messages, variables, false, [START_MARK, END_MARK], None)?;
        let (mut text, mut generation) = (String::with_capacity(marked.len()), Vec::new());
        let mut open = None;
        for character in marked.chars() {
            let mut buffer = [0; 4];
            match (&*character.encode_utf8(&mut buffer), open) {
                (START_MARK, None) => open = Some(text.len()),
                (END_MARK, Some(start)) => {
                    generation.push(start..text.len());
                    open = None;
                }
                (START_MARK | END_MARK, _) => {
                    return Err(Error::file(
                        &self.path,
                        "its `generation` blocks stand inside each other",
                    ));
                }
                _ => text.push(character),
            }
        }
        Ok(Rendered { text, generation })
    }

    /// Renders messages as they are given. Where the template cannot read parts of content, a single part is given as its text.
    fn run(
        &self,
        messages: &[Message],
        variables: &Map<String, Json>,
        add_generation_prompt: bool,
        marks: [&str; 2],
        asked: Option<&Asked>,
    ) -> Result<String> {
        let seen: Vec<Json> = messages.iter().map(seen).collect();
        let run = |messages: &[Json]| {
            self.run_once(messages, variables, add_generation_prompt, marks, asked)
        };
        let parts: Vec<&str> = messages.iter().filter_map(Message::parts).flatten().collect();
        if parts.is_empty() {
            return run(&seen);
        }
        // a template that prints the list itself shows it as Python does
        let all_there = |text: &str| {
            let written = |part: &&str| {
                let quoted = Json::from(*part).to_string();
                text.contains(part.trim()) || text.contains(&quoted[1..quoted.len() - 1])
            };
            !text.contains("{'type':") && parts.iter().all(written)
        };
        if let Ok(text) = run(&seen)
            && all_there(&text)
        {
            return Ok(text);
        }
        let single = |(message, seen): (&Message, &Json)| match message.parts() {
            Some(parts) if parts.len() == 1 => {
                let mut fields = seen.as_object().cloned().unwrap_or_default();
                fields.insert("content".into(), parts[0].into());
                Ok(Json::Object(fields))
            }
            Some(parts) => Err(Error::invalid(
                "content",
                format!(
                    "has {} parts, and the chat template does not say how they are joined; join them to one text",
                    parts.len()
                ),
            )),
            None => Ok(seen.clone()),
        };
        let joined: Vec<Json> = messages.iter().zip(&seen).map(single).collect::<Result<_>>()?;
        if let Some(asked) = asked {
            asked.forget();
        }
        run(&joined)
    }

    fn run_once(
        &self,
        messages: &[Json],
        variables: &Map<String, Json>,
        add_generation_prompt: bool,
        marks: [&str; 2],
        asked: Option<&Asked>,
    ) -> Result<String> {
        let value = |json: &Json, path: &str| match asked {
            Some(asked) => asked.watch(json, path),
            None => Value::from(Serde(json)),
        };
        let mut context: BTreeMap<&str, Value> = self
            .special
            .iter()
            .map(|(name, text)| (name.as_str(), Value::from(text.as_str())))
            .collect();
        let args = self.options.args.iter();
        context.extend(args.map(|(name, value)| (name.as_str(), Value::from(Serde(value)))));
        let given = messages.iter().map(|message| {
            value(message, message.get("role").and_then(Json::as_str).unwrap_or_default())
        });
        context.insert("messages", given.collect());
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        for (name, given) in variables {
            context.insert(name, value(given, name));
        }
        context.insert("add_generation_prompt", Value::from(add_generation_prompt));
        context.insert(START, Value::from(marks[0]));
        context.insert(END, Value::from(marks[1]));
        self.environment.get_template(NAME).and_then(|template| template.render(context)).map_err(
            |error| match raised(&error) {
                Some(message) => Error::file(
                    &self.path,
                    format!("the chat template refuses this conversation: {message}"),
                ),
                None => self.problem("the chat template failed", &error),
            },
        )
    }

    fn problem(&self, what: &str, error: &minijinja::Error) -> Error {
        let line = error.line().map_or(String::new(), |l| format!(", line {l}"));
        let detail = error.detail().map_or(String::new(), |d| format!(": {d}"));
        Error::file(&self.path, format!("{what}{line}: {}{detail}", error.kind()))
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("path", &self.path)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// A message as a template sees it. As transformers does, a thought that stands under any of its three names is given under those that
/// templates read.
fn seen(message: &Message) -> Json {
    if message.given.is_empty() {
        let fields = [("role", message.role.name()), ("content", message.content.as_str())];
        return Json::Object(
            fields.map(|(key, value)| (key.into(), value.into())).into_iter().collect(),
        );
    }
    let given = &message.given;
    let thought =
        ["reasoning_content", "thinking", "reasoning"].iter().find_map(|key| given.get(*key));
    let Some(thought) = thought else { return Json::Object(given.clone()) };
    let mut fields = Map::new();
    fields.insert("thinking".into(), thought.clone());
    fields.extend(given.iter().map(|(key, value)| (key.clone(), value.clone())));
    fields.insert("reasoning_content".into(), thought.clone());
    Json::Object(fields)
}

/// What a template said when it called `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.clone())
        .with_source(Raised(message)))
}

/// The message of `raise_exception`, if that is what ended the rendering.
fn raised(error: &minijinja::Error) -> Option<String> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(raised) = error.downcast_ref::<Raised>() {
            return Some(raised.0.clone());
        }
        source = error.source();
    }
    None
}

/// Rewrites each `{% generation %} … {% endgeneration %}` to print a mark before and after its content.
///
/// The marks stand between two blocks that only hold their content, so that the white space around the original tags is
/// treated as Jinja treats it around any block. The outer one is a scope: a variable that is set inside is not set after it, as in
/// transformers, where the content is a macro.
fn rewrite_generation_blocks(source: &str) -> String {
    let mut rewritten = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let end = start + length + 2;
        let inner = &rest[start + 2..end - 2];
        let (open, inner) = match inner.strip_prefix(['-', '+']) {
            Some(stripped) => (&rest[start..start + 3], stripped),
            None => ("{%", inner),
        };
        let (close, inner) = match inner.strip_suffix(['-', '+']) {
            Some(stripped) => (&rest[end - 3..end], stripped),
            None => ("%}", inner),
        };
        rewritten.push_str(&rest[..start]);
        match inner.trim() {
            "generation" => {
                rewritten.push_str(&format!("{open} with %}}{{{{ {START} }}}}{{% if true {close}"));
            }
            "endgeneration" => {
                rewritten.push_str(&format!("{open} endif %}}{{{{ {END} }}}}{{% endwith {close}"));
            }
            _ => rewritten.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    rewritten.push_str(rest);
    rewritten
}

/// Python's string methods that minijinja's own list lacks, then that list.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> std::result::Result<Value, minijinja::Error> {
    let words: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
    let found = match (value.as_str(), method, words.as_slice()) {
        (Some(text), "removeprefix", [start]) => text.strip_prefix(start).unwrap_or(text).into(),
        (Some(text), "removesuffix", [end]) => text.strip_suffix(end).unwrap_or(text).into(),
        (Some(text), "partition", [at]) => {
            let (before, after) = text.split_once(at).unwrap_or((text, ""));
            let found = if text.contains(at) { at } else { "" };
            Value::from_iter([before, found, after].map(Value::from))
        }
        (Some(text), "rpartition", [at]) => {
            let (before, after) = text.rsplit_once(at).unwrap_or(("", text));
            let found = if text.contains(at) { at } else { "" };
            Value::from_iter([before, found, after].map(Value::from))
        }
        (Some(text), "isdigit" | "isnumeric" | "isdecimal", []) => {
            (!text.is_empty() && text.chars().all(char::is_numeric)).into()
        }
        _ => return unknown_method_callback(state, value, method, args),
    };
    Ok(found)
}

/// `json.dumps(value, ensure_ascii=False, …)` of Python, with the arguments that transformers passes on.
fn to_json(value: Value, kwargs: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let sort: Option<bool> = kwargs.get("sort_keys")?;
    let ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    let indent: Option<usize> = kwargs.get("indent")?;
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    kwargs.assert_all_used()?;
    if value.is_undefined() {
        let problem = "what is not there cannot be written as JSON";
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, problem));
    }
    let value = serde_json::to_value(&value).map_err(|error| {
        minijinja::Error::new(ErrorKind::BadSerialization, "cannot be written as JSON")
            .with_source(error)
    })?;
    let usual = if indent.is_some() { "," } else { ", " };
    let (item, key) = match separators.as_deref() {
        None => (usual.to_string(), ": ".to_string()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => {
            return Err(minijinja::Error::new(
                ErrorKind::InvalidOperation,
                "separators are two texts",
            ));
        }
    };
    let mut json = Writer {
        text: String::new(),
        indent,
        item,
        key,
        sort: sort.unwrap_or(false),
        ascii: ascii.unwrap_or(false),
    };
    json.write(&value, 1);
    json.text.retain(|c| !SAFE.contains(&c));
    Ok(json.text)
}

/// JSON as it is written in the course of [`to_json`].
struct Writer {
    text: String,
    indent: Option<usize>,
    /// Between two items.
    item: String,
    /// Between a key and its value.
    key: String,
    sort: bool,
    ascii: bool,
}

impl Writer {
    fn line(&mut self, depth: usize) {
        if let Some(width) = self.indent {
            self.text.push('\n');
            self.text.push_str(&" ".repeat(width * depth));
        }
    }

    fn write(&mut self, value: &serde_json::Value, depth: usize) {
        match value {
            serde_json::Value::Array(items) if !items.is_empty() => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index, depth);
                    self.write(item, depth + 1);
                }
                self.line(depth - 1);
                self.text.push(']');
            }
            serde_json::Value::Object(fields) if !fields.is_empty() => {
                let mut fields: Vec<_> = fields.iter().collect();
                if self.sort {
                    fields.sort_by_key(|(name, _)| name.as_str());
                }
                self.text.push('{');
                for (index, (name, field)) in fields.into_iter().enumerate() {
                    self.separate(index, depth);
                    self.plain(&serde_json::Value::from(name.as_str()));
                    self.text.push_str(&self.key.clone());
                    self.write(field, depth + 1);
                }
                self.line(depth - 1);
                self.text.push('}');
            }
            plain => self.plain(plain),
        }
    }

    fn separate(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.text.push_str(&self.item.clone());
        }
        self.line(depth);
    }

    fn plain(&mut self, value: &serde_json::Value) {
        let text = match value.as_f64().filter(|_| value.is_f64()) {
            Some(number) => float(number),
            None => value.to_string(),
        };
        if !self.ascii {
            self.text.push_str(&text);
            return;
        }
        for character in text.chars() {
            if character.is_ascii() {
                self.text.push(character);
                continue;
            }
            for half in character.encode_utf16(&mut [0; 2]) {
                self.text.push_str(&format!("\\u{half:04x}"));
            }
        }
    }
}

/// A text of which parts are safe, as Jinja's `+` joins it where `escape`: what was added to a safe text is escaped as in HTML, though nothing else is.
fn joined_to_safe(text: &str, escape: bool) -> String {
    let (mut joined, mut depth) = (String::with_capacity(text.len()), 0usize);
    for character in text.chars() {
        match character {
            c if c == SAFE[0] => depth += 1,
            c if c == SAFE[1] => depth = depth.saturating_sub(1),
            plain if !escape => joined.push(plain),
            '&' if depth == 0 => joined.push_str("&amp;"),
            '<' if depth == 0 => joined.push_str("&lt;"),
            '>' if depth == 0 => joined.push_str("&gt;"),
            '\'' if depth == 0 => joined.push_str("&#39;"),
            '"' if depth == 0 => joined.push_str("&#34;"),
            plain => joined.push(plain),
        }
    }
    joined
}

/// A fraction as Python's `repr` writes it: `1e+16`, where Rust's has `1e16`.
fn float(number: f64) -> String {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.parse::<i32>() {
        Ok(-4..16) => format!("{number:?}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        Err(_) => text,
    }
}

/// Jinja's `int`, which gives the default, or 0, where there is no number.
fn to_int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> std::result::Result<Value, minijinja::Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0));
    filters::int(state, &trimmed(value), Some(default), base, kwargs)
}

/// Jinja's `float`, which gives the default, or 0.0, where there is no number.
fn to_float(
    state: &State,
    value: &Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> std::result::Result<Value, minijinja::Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0.0));
    filters::float(state, &trimmed(value), Some(default), kwargs)
}

/// Python reads numbers with white space around them.
fn trimmed(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| Value::from(text.trim()))
}

/// Whether what a template writes of the date is the day and nothing finer; `None` if it writes nothing of it.
fn writes_day(source: &str) -> Option<bool> {
    let mut of_day = None;
    for rest in source.split("strftime_now").skip(1) {
        let rest = rest.trim_start();
        if rest.starts_with("is ") {
            // asks whether there is such a function
            continue;
        }
        let argument = rest.strip_prefix('(').map(str::trim_start).unwrap_or_default();
        let format =
            argument.chars().next().filter(|quote| ['\'', '"'].contains(quote)).and_then(|quote| {
                let (format, rest) = argument[1..].split_once(quote)?;
                rest.trim_start().starts_with(')').then_some(format)
            });
        of_day = Some(format.is_some_and(DateTime::is_of_day) && of_day.unwrap_or(true));
    }
    of_day
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        let special = [("eos_token".to_string(), "</s>".to_string())].into();
        ChatTemplate::new(source, Path::new("chat_template.jinja"), special).unwrap()
    }

    fn render(source: &str) -> String {
        let messages = [Message::user(" Hé <b> "), Message::assistant("\"ok\"")];
        template(source).render(&messages, true).unwrap()
    }

    #[test]
    fn templates_are_read_as_transformers_reads_them() {
        let check = |source: &str, expected: &str| assert_eq!(render(source), expected, "{source}");
        check("{% if true %}\na\n  {% endif %}\nb\n", "a\nb");
        check("{{ messages[0].content }}", " Hé <b> ");
        check("{{ messages[0]['content'] | trim }}{{ eos_token }}", "Hé <b></s>");
        check("{{ bos_token }}{{ tools is none }}", "True");
        check("{{ messages[::-1][0].role }}", "assistant");
        check("{{ messages[1:] | length }}", "1");
        check(
            "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
            "user",
        );
        check(
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "2",
        );
        check("{{ messages[0].content.strip().upper().split(' ')[0] }}", "HÉ");
        check("{{ messages[0].get('name') is none }}", "True");
        check("{{ [1] + ['a'] }}", "[1, 'a']");
        check("{% if add_generation_prompt %}go{% endif %}", "go");
        check("{{ 'tool_calls' in messages[0] }}", "False");
    }

    #[test]
    fn tojson_writes_what_python_writes() {
        let check = |source: &str, expected: &str| assert_eq!(render(source), expected, "{source}");
        check("{{ messages[0] | tojson }}", "{\"role\": \"user\", \"content\": \" Hé <b> \"}");
        check(
            "{{ {'b': [1, 2.5, none, true], 'a': {}} | tojson }}",
            "{\"b\": [1, 2.5, null, true], \"a\": {}}",
        );
        check("{{ {'b': [1, 2]} | tojson(indent=2) }}", "{\n  \"b\": [\n    1,\n    2\n  ]\n}");
        check(
            "{{ {'b': 1, 'a': '\\n\"'} | tojson(sort_keys=true) }}",
            "{\"a\": \"\\n\\\"\", \"b\": 1}",
        );
    }

    #[test]
    fn an_error_carries_the_file_and_the_words_of_the_template() {
        let refusing = template("{{ raise_exception('no ' + messages[0].role + ' here') }}");
        let error = refusing.render(&[Message::system("x")], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "chat_template.jinja: the chat template refuses this conversation: no system here"
        );
        let broken = ChatTemplate::new("{% if %}", Path::new("x.jinja"), BTreeMap::new());
        let message = broken.unwrap_err().to_string();
        assert!(message.starts_with("x.jinja: is not a template"), "{message}");
        let failing = template("a\n{{ nothing.at.all }}");
        let message = failing.render(&[], false).unwrap_err().to_string();
        assert!(message.contains("failed, line 2"), "{message}");
    }

    #[test]
    fn generation_blocks_mark_what_the_assistant_wrote() {
        let source = "{% for m in messages %}\n  {% if m.role == 'assistant' %}\nA:\n{%- generation -%}\n  {{ m.content }}</s>\n  {%- endgeneration %}\n\n  {% else %}\nU:{{ m.content }}\n  {% endif %}\n{% endfor %}\n";
        let template = template(source);
        let messages = [Message::user("q"), Message::assistant("é")];
        let rendered = template.render_marked(&messages, &Map::new()).unwrap();
        assert_eq!(rendered.text, template.render(&messages, false).unwrap());
        assert_eq!(rendered.text, "U:q\nA:é</s>\n");
        let marked: Vec<&str> =
            rendered.generation.iter().map(|range| &rendered.text[range.clone()]).collect();
        assert_eq!(marked, ["é</s>"]);
    }

    #[test]
    fn a_template_is_given_a_date_and_variables() {
        let options = TemplateOptions::parse(
            Some("2026-01-01T08:30"),
            &["deep=[1, {\"a\": null}]", "think=false", "word=x=y", "quoted=\"1\"", "eos_token=E"],
        );
        let template = template(
            "{{ strftime_now('%Y-%m-%d') }} {{ deep[1].a is none }} {{ think }} {{ word }} {{ quoted is string }} {{ eos_token }}",
        );
        let given = template.clone().with_options(&options.unwrap());
        assert_eq!(given.render(&[], false).unwrap(), "2026-01-01 True False x=y True E");
        assert_eq!(given.date().as_deref(), Some("2026-01-01"));
        assert!(given.reads("think") && !given.reads("thinks"));
        assert_eq!(template.date(), Some(DateTime::now().date()));
    }

    #[test]
    fn a_wrong_variable_is_refused() {
        let check = |arg: &str, expected: &str| {
            let message = TemplateOptions::parse(None, &[arg]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check("enable_thinking", "NAME=VALUE");
        check("=1", "NAME=VALUE");
        check("x=False", "x=false");
        check("x=None", "x=null");
        check("messages=[]", "by the data");
        let twice = TemplateOptions::parse(None, &["x=1", "x=2"]).unwrap_err().to_string();
        assert!(twice.contains("twice"), "{twice}");
        assert!(TemplateOptions::parse(Some("31.1.2025"), &["x=1"]).is_err());
    }

    #[test]
    fn a_template_says_how_much_of_the_date_it_writes() {
        let check = |source: &str, expected: Option<bool>| {
            assert_eq!(writes_day(source), expected, "{source}");
        };
        check("{{ messages }}", None);
        check("{% if strftime_now is defined %}x{% endif %}", None);
        check(
            "{% if strftime_now is defined %}{{ strftime_now( \"%d %b %Y\" ) }}{% endif %}",
            Some(true),
        );
        check("{{ strftime_now('%d') }}{{ strftime_now('%H:%M') }}", Some(false));
        check("{{ strftime_now(format) }}", Some(false));
        check("{% set now = strftime_now %}", Some(false));
        check("{{ strftime_now('%d' ~ x) }}", Some(false));
    }
}
