//! Special tokens that stand beside `tokenizer.json`, added to it as transformers adds them.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::AddedToken;

pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const MAP: &str = "special_tokens_map.json";
pub(super) const ADDED: &str = "added_tokens.json";

/// The names that transformers knows, in its order; any other key that ends in `_token` is a name of the model's own.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What the files beside `tokenizer.json` say of tokens.
pub(super) struct Beside {
    /// Texts of the named tokens: what a chat template sees.
    pub named: BTreeMap<String, String>,
    /// The tokens to add, in order. One that is there already only takes over how it is found in a text.
    pub tokens: Vec<AddedToken>,
}

/// A token as a file writes it.
#[derive(Debug, Clone, PartialEq)]
struct Written {
    token: AddedToken,
    /// What the file says of it; else special tokens are found in the text as it stands, others in its normal form.
    normalized: Option<bool>,
    /// Whether the file says nothing of it but its text.
    plain: bool,
}

impl Written {
    /// A text, or an object with `content` and flags; `special` goes before what the object says.
    fn parse(value: &Value, special: Option<bool>) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Some(Self::of(AddedToken::from(text, true), None, true));
        }
        let flag = |name: &str| value.get(name).and_then(Value::as_bool);
        let special = special.or(flag("special")).unwrap_or(false);
        let token = AddedToken::from(value.get("content")?.as_str()?, special)
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .single_word(flag("single_word").unwrap_or(false));
        Some(Self::of(token, flag("normalized"), false))
    }

    fn of(token: AddedToken, normalized: Option<bool>, plain: bool) -> Self {
        let token = AddedToken { normalized: normalized.unwrap_or(!token.special), ..token };
        Self { token, normalized, plain }
    }

    fn special(self) -> AddedToken {
        Self::of(self.token.special(true), self.normalized, self.plain).token
    }

    fn content(&self) -> &str {
        &self.token.content
    }
}

/// What the three files hold beside `tokenizer.json`; an empty object for one that is not there.
pub(super) struct Files<'a> {
    pub folder: &'a Path,
    /// `tokenizer_config.json`
    pub config: &'a Map<String, Value>,
    /// `special_tokens_map.json`
    pub map: &'a Map<String, Value>,
    /// `added_tokens.json`
    pub added: &'a Map<String, Value>,
}

impl Files<'_> {
    /// Reads them in the way of transformers' `PreTrainedTokenizerFast.from_pretrained` (5.24): where the config has `added_tokens_decoder`, the
    /// other two files are not looked at; else the map's entries go before the config's. `own` are the added tokens of `tokenizer.json` by
    /// id, `pad` is the token that its padding names.
    ///
    /// Ids in the files order the tokens and mean nothing else: a token that is not in the vocabulary gets the next free id.
    pub fn read(&self, own: &BTreeMap<u32, AddedToken>, pad: Option<&str>) -> Result<Beside> {
        let config = self.config;
        let legacy = !config.contains_key("added_tokens_decoder");
        let empty = Map::new();
        let map = if legacy { self.map } else { &empty };

        // named tokens; those of the model's own stand behind the known ones, those that the config has as texts last
        let (mut named, mut given): (Vec<(&str, Written)>, _) = (Vec::new(), Vec::new());
        for (name, in_map) in NAMED.iter().map(|name| (*name, map.get(*name))) {
            let (file, value) = match (in_map, config.get(name)) {
                (Some(value), _) => (MAP, value),
                (None, Some(value)) => (CONFIG, value),
                (None, None) => continue,
            };
            if !value.is_null() {
                named.push((name, self.token(file, name, value)?));
            }
            // what `added_tokens.json` takes for special
            given.extend(value.as_str().or_else(|| in_map?.get("content")?.as_str()));
        }
        let own_name = |name: &str| name.ends_with("_token") && !NAMED.contains(&name);
        let of_config = config.iter().map(|(name, value)| (CONFIG, name, value));
        let of_map = map.iter().map(|(name, value)| (MAP, name, value));
        let (texts, objects): (Vec<_>, Vec<_>) = of_config
            .filter(|(_, name, value)| own_name(name) && (value.is_string() || value.is_object()))
            .partition(|(_, _, value)| value.is_string());
        let of_map = of_map
            .filter(|(_, name, value)| own_name(name) && (value.is_string() || value.is_object()));
        for (file, name, value) in objects.into_iter().chain(of_map).chain(texts) {
            put(&mut named, name, self.token(file, name, value)?);
        }

        // those without a name
        const EXTRA: &str = "extra_special_tokens";
        const ADDITIONAL: &str = "additional_special_tokens";
        let mut extra: Option<Vec<Written>> = None;
        let lists = [
            (CONFIG, EXTRA, config.get(EXTRA), true),
            (CONFIG, ADDITIONAL, config.get(ADDITIONAL), false),
            (MAP, EXTRA, map.get(EXTRA), true),
            (MAP, ADDITIONAL, map.get(ADDITIONAL), false),
        ];
        for (file, name, value, joins) in lists {
            let known = match file {
                CONFIG => extra.as_ref().is_some_and(|extra| !extra.is_empty()),
                _ => extra.is_some(),
            };
            match value {
                None => {}
                _ if known && !joins => {}
                Some(Value::Null) => extra = extra.or(Some(Vec::new())),
                Some(Value::Array(tokens)) => {
                    let extra = extra.get_or_insert_default();
                    for token in tokens {
                        let token = self.token(file, name, token)?;
                        if file == CONFIG || !extra.contains(&token) {
                            extra.push(token);
                        }
                    }
                }
                Some(Value::Object(tokens)) => {
                    for (of, token) in tokens {
                        put(&mut named, of, self.token(file, name, token)?);
                    }
                    extra = None;
                }
                Some(_) => {
                    return Err(self.wrong(
                        file,
                        name,
                        "must be a list of tokens, or tokens by name",
                    ));
                }
            }
        }
        if let Some(pad) = pad
            && !config.contains_key("pad_token")
            && !map.contains_key("pad_token")
        {
            named.push(("pad_token", Written::of(AddedToken::from(pad, true), None, true)));
        }
        let rank = |name: &str| NAMED.iter().position(|known| *known == name);
        named.sort_by_key(|(name, _)| rank(name).unwrap_or(NAMED.len()));

        // those that were added, by id
        let extra = extra.unwrap_or_default();
        let mut decoder: BTreeMap<u64, Written> = BTreeMap::new();
        let mut by_text: BTreeMap<String, Written> = BTreeMap::new();
        let mut add = |id: u64, token: Written| {
            by_text.insert(token.content().to_string(), token.clone());
            decoder.insert(id, token);
        };
        match config.get("added_tokens_decoder") {
            Some(Value::Object(tokens)) => {
                for (id, token) in tokens {
                    let what = format!("added_tokens_decoder.{id}");
                    let number = id.parse().map_err(|_| self.wrong(CONFIG, &what, "is no id"))?;
                    if !token.is_object() {
                        return Err(self.wrong(CONFIG, &what, "must be an object with `content`"));
                    }
                    add(number, self.token(CONFIG, &what, token)?);
                }
            }
            Some(_) => {
                let problem = "must be an object with a token for each id";
                return Err(self.wrong(CONFIG, "added_tokens_decoder", problem));
            }
            None => {
                for (text, id) in self.added {
                    let problem = "must have the token's id, a number";
                    let id = id.as_u64().ok_or_else(|| self.wrong(ADDED, text, problem))?;
                    let special = given.contains(&text.as_str())
                        || extra.iter().any(|token| token.content() == text);
                    add(id, Written::of(AddedToken::from(text.as_str(), special), None, false));
                }
                for (id, token) in own {
                    let normalized = Some(token.normalized);
                    add(u64::from(*id), Written::of(token.clone(), normalized, false));
                }
            }
        }
        for (_, token) in named.iter_mut().filter(|(name, _)| rank(name).is_some()) {
            if let Some(known) = by_text.get(token.content()) {
                *token = known.clone();
            }
        }

        let known: Vec<&str> = own
            .values()
            .map(|token| token.content.as_str())
            .chain(by_text.keys().map(String::as_str))
            .collect();
        let mut tokens: Vec<Written> = decoder.into_values().collect();
        for token in named.iter().map(|(_, token)| token).chain(&extra) {
            if !known.contains(&token.content()) && !tokens.contains(token) {
                tokens.push(token.clone());
            }
        }
        let is_named =
            |token: &Written| named.iter().any(|(_, of)| of.content() == token.content());
        Ok(Beside {
            tokens: (tokens.into_iter())
                .map(|token| if is_named(&token) { token.special() } else { token.token })
                .collect(),
            named: (named.iter())
                .map(|(name, token)| (name.to_string(), token.content().to_string()))
                .collect(),
        })
    }

    fn token(&self, file: &str, what: &str, value: &Value) -> Result<Written> {
        let special = (file == MAP && value.is_object()).then_some(true);
        Written::parse(value, special).ok_or_else(|| {
            self.wrong(
                file,
                what,
                "a token must be a text, or an object with its text as `content`",
            )
        })
    }

    fn wrong(&self, file: &str, what: &str, problem: &str) -> Error {
        Error::file(self.folder.join(file), format!("{what}: {problem}"))
    }
}

/// The token called `name` from now on; it keeps its place.
fn put<'a>(named: &mut Vec<(&'a str, Written)>, name: &'a str, token: Written) {
    match named.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = token,
        None => named.push((name, token)),
    }
}
