//! A model folder's tokenizer.

use super::added::{self, Files};
use super::{ChatTemplate, TemplateOptions};
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::gguf::Gguf;
use crate::hub::MORE_TEMPLATES;
use crate::store::bytes_hash;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokenizers::AddedToken;

/// The tokenizer of a model folder: `tokenizer.json`, with the tokens that `tokenizer_config.json`, `special_tokens_map.json` and
/// `added_tokens.json` add to it as in transformers, and the chat template of `chat_template.jinja` (or of the config).
///
/// Truncation and padding that someone saved into `tokenizer.json` are taken out: how long a text may be is decided in the
/// open ([`TooLong`](super::TooLong)).
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    folder: PathBuf,
    /// Texts of the special tokens by name, such as `bos_token`: what a template sees.
    special: BTreeMap<String, String>,
    template: Option<ChatTemplate>,
    add_bos: Option<bool>,
    max_length: Option<usize>,
    byte_level: bool,
    /// SHA-256 of what the files hold.
    identity: String,
    fingerprint: String,
    /// Rows of the model's embedding, if there is a model.
    rows: Option<usize>,
    /// How an answer ends, found when it is asked for.
    pub(super) end: Arc<OnceLock<Option<TurnEnd>>>,
}

/// How an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEnd {
    /// With one token: a special token, or another that was added to the vocabulary.
    Token(SpecialToken),
    /// With a text that is cut into this many tokens, so that none of them says that the answer has ended.
    Text(String, usize),
    /// With nothing.
    Nothing,
}

/// A special token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialToken {
    /// As it stands in a rendered text, such as `</s>`.
    pub text: String,
    /// Its number.
    pub id: u32,
}

/// A text as tokens; both lists have one entry for each token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoding {
    /// The tokens' numbers.
    pub ids: Vec<u32>,
    /// Where each token stands in the text, in bytes. Together they cover the text. Tokens that share a character (its bytes
    /// are split among them) have the same span; a token that is not in the text (an added BOS) has an empty one.
    pub spans: Vec<Range<usize>>,
}

impl Tokenizer {
    /// Opens the tokenizer in the model folder `folder`, or in a GGUF file.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_as(&tokenizer_in(folder), None)
    }

    /// Opens a tokenizer file; the other files are looked for beside it. A GGUF file has them all in itself.
    pub fn open_file(file: &Path) -> Result<Self> {
        Self::open_as(file, None)
    }

    /// As [`Tokenizer::open`], with the template called `name` where a model has several, such as `tool_use` or `rag`.
    pub fn open_with_template(folder: &Path, name: &str) -> Result<Self> {
        Self::open_as(&tokenizer_in(folder), Some(name))
    }

    fn open_as(file: &Path, template: Option<&str>) -> Result<Self> {
        let gguf = Gguf::at(file)?;
        let folder = match gguf {
            Some(_) => file.to_path_buf(),
            None => file.parent().unwrap_or(Path::new("")).to_path_buf(),
        };
        if !file.is_file() {
            return Err(Error::missing(
                "tokenizer",
                file,
                "a model folder needs tokenizer.json; the tokenizer.model of SentencePiece must be converted first",
            ));
        }
        let bytes = match &gguf {
            Some(gguf) => gguf.tokenizer()?.to_vec(),
            None => read_text(file, "reading the tokenizer")?.into_bytes(),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|error| Error::file(file, format!("is not a tokenizer: {error}")))?;
        let pad = inner.get_padding().map(|padding| padding.pad_token.clone());
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Error::file(file, format!("is not a tokenizer: {error}")))?;
        let decoder = serde_json::to_string(&inner.get_decoder())
            .map_err(Error::library("reading the tokenizer's decoder"))?;

        let (config_path, config) = match &gguf {
            Some(gguf) => (file.to_path_buf(), gguf.tokenizer_config()?),
            None => (folder.join(added::CONFIG), read_object(&folder.join(added::CONFIG))?),
        };
        // in a GGUF file, nothing is found below its path
        let (map, more) =
            (read_object(&folder.join(added::MAP))?, read_object(&folder.join(added::ADDED))?);
        let own: BTreeMap<u32, AddedToken> =
            (inner.get_added_vocabulary().get_added_tokens_decoder().iter())
                .map(|(id, token)| (*id, token.clone()))
                .collect();
        let files = Files { folder: &folder, config: &config, map: &map, added: &more };
        let beside = files.read(&own, pad.as_deref())?;
        let changed = |error| Error::file(file, format!("takes no more tokens: {error}"));
        inner.add_tokens(beside.tokens.clone()).map_err(changed)?;
        let split = config.get("split_special_tokens").and_then(Value::as_bool).unwrap_or(false);
        inner.set_encode_special_tokens(split);
        let special = beside.named;
        let mut templates = template_sources(&folder, &config_path, &config)?;
        let names: Vec<&str> = templates.keys().map(String::as_str).collect();
        let known = names.join(", ");
        let template = match (templates.remove(template.unwrap_or("default")), template) {
            (None, Some(name)) => {
                let problem = format!("has no chat template called `{name}`; it has: {known}");
                return Err(Error::file(&folder, problem));
            }
            (None, None) if !known.is_empty() => {
                let problem = format!(
                    "has several chat templates ({known}) and none called `default`; save the one you want as chat_template.jinja"
                );
                return Err(Error::file(&folder, problem));
            }
            (found, _) => found,
        };
        let template = template
            .map(|(source, path)| ChatTemplate::new(&source, &path, special.clone()))
            .transpose()?;

        let add_bos = config.get("add_bos_token").and_then(Value::as_bool);
        let mut identity = bytes;
        for (name, text) in &special {
            identity.extend_from_slice(format!("\0{name}={text}").as_bytes());
        }
        if let Some(add) = config.get("add_bos_token") {
            identity.extend_from_slice(format!("\0add_bos_token={add}").as_bytes());
        }
        identity.push(0);
        identity.extend_from_slice(template.as_ref().map_or("", ChatTemplate::source).as_bytes());
        let own: HashSet<&AddedToken> = own.values().collect();
        let added: Vec<&AddedToken> =
            beside.tokens.iter().filter(|token| !own.contains(token)).collect();
        let more = (&added, add_bos, split);
        if more != (&Vec::new(), None, false) {
            let more = serde_json::to_vec(&more).map_err(Error::library("reading the tokens"))?;
            identity.push(0);
            identity.extend_from_slice(&more);
        }
        let tokenizer = Self {
            inner,
            folder,
            special,
            template,
            add_bos,
            // Configs write 10^30 for "no limit".
            max_length: config
                .get("model_max_length")
                .and_then(Value::as_f64)
                .filter(|length| (1.0..1e9).contains(length))
                .map(|length| length as usize),
            byte_level: decoder.contains("\"ByteLevel\""),
            identity: bytes_hash(&identity),
            fingerprint: String::new(),
            rows: None,
            end: Arc::default(),
        };
        tokenizer.with_options(&TemplateOptions::default())
    }

    /// The folder, or GGUF file, that it was opened from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The chat template; base models have none.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The same tokenizer with what its template is given beside the messages.
    ///
    /// # Errors
    /// When `options` name a variable that the template is given anyway.
    pub fn with_options(mut self, options: &TemplateOptions) -> Result<Self> {
        options.check()?;
        self.template = self.template.map(|template| template.with_options(options));
        self.end = Arc::default();
        let date = self.template.as_ref().and_then(ChatTemplate::date);
        self.fingerprint = match (&self.template, date, options.args.is_empty()) {
            (None, ..) | (_, None, true) => self.identity.clone(),
            (_, date, _) => {
                let args = serde_json::to_string(&options.args);
                let args = args.map_err(Error::library("reading the template's variables"))?;
                bytes_hash(
                    format!("{}\0{}\0{args}", self.identity, date.unwrap_or_default()).as_bytes(),
                )
            }
        };
        Ok(self)
    }

    /// The same tokenizer for a model whose embedding has `rows` rows: a text with a token beyond them is refused.
    pub fn within(self, rows: usize) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// Number of ids, added tokens included; a model's embedding can be larger.
    pub fn vocab_size(&self) -> usize {
        // Added tokens may leave gaps, so the largest id counts, not the number of tokens.
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id as usize + 1)
    }

    /// The token with the lowest id for which an embedding of `rows` rows has none.
    pub fn beyond(&self, rows: usize) -> Option<SpecialToken> {
        let beyond = self.inner.get_vocab(true).into_iter();
        let beyond = beyond.filter(|(_, id)| *id as usize >= rows);
        beyond.min_by_key(|(_, id)| *id).map(|(text, id)| SpecialToken { text, id })
    }

    /// The longest text that the model takes, in tokens, if the config says so. The model's own config is the better source.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<SpecialToken> {
        self.special("bos_token")
    }

    /// The token that ends a text. A chat template may end a turn with another: see [`Tokenizer::stop_ids`].
    pub fn eos(&self) -> Option<SpecialToken> {
        self.special("eos_token")
    }

    /// The token that fills up a batch. It may be the same as the one that ends a text, so padding must be known by its place,
    /// never by its id.
    pub fn pad(&self) -> Option<SpecialToken> {
        self.special("pad_token")
    }

    /// The special token that the config calls `name`, such as `unk_token`, if the vocabulary has it.
    pub fn special(&self, name: &str) -> Option<SpecialToken> {
        let text = self.special.get(name)?.clone();
        let id = self.id(&text)?;
        Some(SpecialToken { text, id })
    }

    /// The id of the token that is written `token` in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether `id` is a special token: one that a user's text does not consist of.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.inner.get_added_vocabulary();
        added.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }

    /// The ids after which a model has ended its answer: the end-of-turn token of the chat template and the end of text.
    pub fn stop_ids(&self) -> Vec<u32> {
        let mut stops: Vec<u32> = self.end_of_turn().into_iter().collect();
        if let Some(eos) = self.eos()
            && !stops.contains(&eos.id)
        {
            stops.push(eos.id);
        }
        stops
    }

    /// The token with which the chat template ends an answer.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.template.as_ref()?;
        match self.turn_end() {
            Some(TurnEnd::Token(token)) => Some(token.id),
            _ => None,
        }
    }

    /// Whether `id` was added to the vocabulary that the tokenizer was trained with.
    pub(super) fn is_added(&self, id: u32) -> bool {
        self.inner.get_added_vocabulary().get_added_tokens_decoder().contains_key(&id)
    }

    /// Refuses an id that the model's embedding has no row for.
    pub(super) fn check(&self, ids: &[u32]) -> Result<()> {
        let Some((id, rows)) =
            self.rows.and_then(|rows| Some((*ids.iter().find(|id| **id as usize >= rows)?, rows)))
        else {
            return Ok(());
        };
        let problem = format!(
            "token {:?} has id {id}, but the model's embedding has only {rows} rows (the tokenizer has {} ids): the model cannot read it; take the tokenizer that belongs to the model, or leave the token out",
            self.piece(id),
            self.vocab_size()
        );
        Err(Error::file(tokenizer_in(&self.folder), problem))
    }

    /// Splits `text` into tokens. With `special`, what the model expects around a text is added, as a rule one BOS; a text that
    /// begins with its BOS does not get a second one. A rendered chat brings its special tokens along: encode it without.
    ///
    /// # Errors
    /// When a token lies beyond the model's embedding, see [`Tokenizer::within`].
    pub fn encode(&self, text: &str, special: bool) -> Result<Encoding> {
        let encoding = self.split(text, special)?;
        self.check(&encoding.ids)?;
        Ok(encoding)
    }

    /// The same, whatever the model's embedding.
    pub(super) fn split(&self, text: &str, special: bool) -> Result<Encoding> {
        let encoding = self
            .inner
            .encode(text, special)
            .map_err(Error::library("splitting a text into tokens"))?;
        let mut ids = encoding.get_ids().to_vec();
        let mut spans: Vec<Range<usize>> =
            encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
        if special && let Some(bos) = self.bos() {
            let written = text.starts_with(&bos.text);
            let found = ids.iter().take_while(|id| **id == bos.id).count();
            let wanted = match self.add_bos {
                _ if written => 1,
                Some(add) => usize::from(add),
                None => found.min(1),
            };
            if found < wanted {
                ids.insert(0, bos.id);
                spans.insert(0, 0..0);
            } else if found > wanted && spans[0].is_empty() {
                ids.remove(0);
                spans.remove(0);
            }
        }
        cover(&mut spans, text.len());
        Ok(Encoding { ids, spans })
    }

    /// The text of many tokens, as the model means it; special tokens are left out.
    ///
    /// It differs from transformers in one point: `clean_up_tokenization_spaces`, which turns "a ." into "a." and spoils code,
    /// is never applied.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(Error::library("joining tokens to a text"))
    }

    /// The text of one token as it stands within a text, with its leading space, for heat maps. Bytes that are only part of a
    /// character are shown as `\u{fffd}`; an id without a token as `<id>`.
    pub fn piece(&self, id: u32) -> String {
        let Some(token) = self.inner.id_to_token(id) else {
            return format!("<{id}>");
        };
        if self.is_added(id) {
            return token;
        }
        if self.byte_level {
            let bytes: Option<Vec<u8>> = token.chars().map(byte_of).collect();
            return bytes.map_or(token, |bytes| String::from_utf8_lossy(&bytes).into_owned());
        }
        let byte = token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => String::from_utf8_lossy(&[byte]).into_owned(),
            None => token.replace('\u{2581}', " "),
        }
    }

    /// SHA-256 over the tokenizer file, the special tokens, the chat template, its variables and the date if it writes one, in hex: two
    /// tokenizers with the same fingerprint give the same ids.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Makes the spans cover the text: white space that a tokenizer trims off a token's span belongs to that token.
fn cover(spans: &mut [Range<usize>], length: usize) {
    let mut reached = 0;
    for span in spans.iter_mut() {
        if span.start > reached {
            span.start = reached;
        }
        if span.end < span.start || (span.start == span.end && span.start < reached) {
            *span = reached..reached;
        }
        reached = reached.max(span.end);
    }
    if reached < length
        && let Some(last) = spans.iter_mut().rfind(|span| span.end == reached)
    {
        last.end = length;
    }
}

/// The file of a model with its tokenizer: a GGUF file itself, else one in the folder.
fn tokenizer_in(model: &Path) -> PathBuf {
    match Gguf::is_one(model) {
        true => model.to_path_buf(),
        false => model.join("tokenizer.json"),
    }
}

/// A JSON object from `path`; empty if there is no such file.
fn read_object(path: &Path) -> Result<serde_json::Map<String, Value>> {
    if !path.is_file() {
        return Ok(serde_json::Map::new());
    }
    let text = read_text(path, "reading")?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::file(path, "expected a JSON object")),
        Err(error) => Err(Error::file(path, format!("is not JSON: {error}"))),
    }
}

/// The chat templates by name, each with the file it stands in; a single one is called `default`.
///
/// As in transformers, files come before the config: `chat_template.jinja`, and those of `additional_chat_templates/`.
fn template_sources(
    folder: &Path,
    config_path: &Path,
    config: &serde_json::Map<String, Value>,
) -> Result<BTreeMap<String, (String, PathBuf)>> {
    let mut templates = BTreeMap::new();
    let mut read = |name: String, path: PathBuf| -> Result<()> {
        let source = read_text(&path, "reading the chat template")?;
        templates.insert(name, (source, path));
        Ok(())
    };
    let path = folder.join("chat_template.jinja");
    if path.is_file() {
        read("default".into(), path)?;
    }
    let more = folder.join(MORE_TEMPLATES);
    if more.is_dir() {
        for entry in std::fs::read_dir(&more).map_err(Error::io("listing", &more))? {
            let path = entry.map_err(Error::io("listing", &more))?.path();
            if let Some(name) = path.file_stem().and_then(|name| name.to_str())
                && path.extension().is_some_and(|end| end == "jinja")
            {
                read(name.to_string(), path.clone())?;
            }
        }
    }
    if !templates.is_empty() {
        return Ok(templates);
    }
    let mut put = |name: &Value, source: &Value| {
        let (name, source) = (name.as_str()?, source.as_str()?);
        templates.insert(name.into(), (source.into(), config_path.to_path_buf()));
        Some(())
    };
    let fits = match config.get("chat_template") {
        None | Some(Value::Null) => Some(()),
        Some(source @ Value::String(_)) => put(&Value::from("default"), source),
        Some(Value::Array(named)) => {
            named.iter().try_for_each(|template| put(&template["name"], &template["template"]))
        }
        Some(Value::Object(named)) => {
            named.iter().try_for_each(|(name, source)| put(&Value::from(name.as_str()), source))
        }
        Some(_) => None,
    };
    match fits {
        Some(()) => Ok(templates),
        None => Err(Error::file(
            config_path,
            "chat_template must be a text, or a list of templates, each with its `name` and its `template`",
        )),
    }
}

/// The byte that a character stands for in a byte-level vocabulary (the table of GPT-2).
fn byte_of(character: char) -> Option<u8> {
    let code = character as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        // The 68 bytes that have no visible character of their own, in order from U+0100 on.
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    }
}
