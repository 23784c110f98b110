//! `tokenizer.json` and `tokenizer_config.json` from the metadata.

use super::header::Header;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

type Read<T> = std::result::Result<T, String>;

/// How SentencePiece writes a space.
const SPACE: char = '\u{2581}';

/// The pattern by which GPT-4 splits a text, and Llama 3 with it.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with each digit alone.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How `tokenizer.ggml.pre` says that a text is split.
struct Pre {
    names: &'static [&'static str],
    split: Split,
    /// A piece that is a token is taken as it is.
    ignore_merges: bool,
    /// Whether a text begins with BOS where the file says nothing.
    bos: bool,
    /// Whether letters are composed first.
    nfc: bool,
}

enum Split {
    By(&'static str),
    Gpt2,
    DigitsAndGpt2,
}

const PRES: [Pre; 6] = [
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3", "pixtral"],
        split: Split::By(LLAMA_3),
        ignore_merges: true,
        bos: true,
        nfc: false,
    },
    Pre {
        names: &["smaug-bpe", "dbrx"],
        split: Split::By(LLAMA_3),
        ignore_merges: false,
        bos: false,
        nfc: false,
    },
    Pre {
        names: &["qwen2", "deepseek-r1-qwen"],
        split: Split::By(QWEN_2),
        ignore_merges: false,
        bos: false,
        nfc: true,
    },
    Pre {
        names: &["smollm", "refact", "starcoder"],
        split: Split::DigitsAndGpt2,
        ignore_merges: false,
        bos: false,
        nfc: false,
    },
    Pre {
        names: &["gpt-2", "olmo"],
        split: Split::Gpt2,
        ignore_merges: false,
        bos: false,
        nfc: false,
    },
    Pre {
        names: &["tekken"],
        split: Split::By(TEKKEN),
        ignore_merges: true,
        bos: true,
        nfc: false,
    },
];

/// The way in which a vocabulary is used.
enum Kind {
    Bytes(&'static Pre),
    SentencePiece,
}

impl Kind {
    fn of(header: &Header) -> Read<Self> {
        let pre = header.text("tokenizer.ggml.pre")?;
        match header.text("tokenizer.ggml.model")? {
            Some("llama") => Ok(Self::SentencePiece),
            Some("gpt2") => {
                let known = || PRES.iter().flat_map(|pre| pre.names).copied().collect::<Vec<_>>();
                let found =
                    PRES.iter().find(|known| pre.is_some_and(|pre| known.names.contains(&pre)));
                found.map(Self::Bytes).ok_or_else(|| match pre {
                    Some(pre) => format!(
                        "splits texts as `{pre}` (tokenizer.ggml.pre), which is not known here, so that its ids would be wrong; known: {}",
                        known().join(", ")
                    ),
                    None => "does not say how texts are split: tokenizer.ggml.pre is missing, so that its ids would be wrong; make the file again with a llama.cpp of today".into(),
                })
            }
            Some(other) => Err(format!(
                "has a tokenizer of the kind `{other}` (tokenizer.ggml.model), which is not known here; known: gpt2, llama"
            )),
            None => Err("has no tokenizer: tokenizer.ggml.model is missing".into()),
        }
    }
}

/// What the file says of each token.
struct Vocabulary {
    tokens: Vec<String>,
    /// llama.cpp's kind of each; all are normal where the file has none.
    kinds: Vec<u8>,
}

const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;
const UNUSED: u8 = 5;

impl Vocabulary {
    fn of(header: &Header, gemma: bool) -> Read<Self> {
        let mut tokens = header.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
        if tokens.is_empty() {
            return Err("has no vocabulary: tokenizer.ggml.tokens is missing".into());
        }
        let kinds = header.numbers("tokenizer.ggml.token_type")?;
        let kinds: Vec<u8> = match kinds {
            None => vec![1; tokens.len()],
            Some(kinds) => kinds.into_iter().map(|kind| kind as u8).collect(),
        };
        if kinds.len() != tokens.len() {
            return Err(format!(
                "tokenizer.ggml.token_type has {} entries for {} tokens",
                kinds.len(),
                tokens.len()
            ));
        }
        if gemma {
            // the converter writes runs of spaces plainly
            for token in tokens.iter_mut().filter(|token| token.contains(' ')) {
                if token.chars().all(|c| c == ' ') {
                    *token = token.replace(' ', "\u{2581}");
                }
            }
        }
        Ok(Self { tokens, kinds })
    }

    /// Whether the token is only there to fill the embedding.
    fn fills(&self, id: usize) -> bool {
        self.kinds[id] == UNUSED && self.tokens[id] == format!("[PAD{id}]")
    }

    /// The id of each token; the first where a text is there twice.
    fn ids(&self) -> HashMap<&str, usize> {
        let mut ids = HashMap::with_capacity(self.tokens.len());
        for (id, token) in self.tokens.iter().enumerate() {
            if !self.fills(id) && !token.is_empty() {
                ids.entry(token.as_str()).or_insert(id);
            }
        }
        ids
    }
}

/// The id called `name`, with its token.
fn special(header: &Header, vocabulary: &Vocabulary, name: &str) -> Read<Option<(usize, String)>> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = header.size(&key)? else {
        return Ok(None);
    };
    match vocabulary.tokens.get(id as usize) {
        Some(token) => Ok(Some((id as usize, token.clone()))),
        None => Err(format!("{key} is {id}, beyond the {} tokens", vocabulary.tokens.len())),
    }
}

/// Whether a text begins with BOS, and ends with EOS.
fn adds(header: &Header, kind: &Kind) -> Read<(bool, bool)> {
    let bos = match kind {
        Kind::Bytes(pre) => pre.bos,
        Kind::SentencePiece => true,
    };
    Ok((
        header.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(bos),
        header.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
    ))
}

/// `tokenizer.json`.
pub(super) fn json(header: &Header, gemma: bool) -> Read<Value> {
    let kind = Kind::of(header)?;
    let vocabulary = Vocabulary::of(header, gemma)?;
    let ids = vocabulary.ids();
    let merges = merges(header, &vocabulary, &ids, &kind, gemma)?;
    let mut by_id: Vec<(&str, usize)> = ids.iter().map(|(token, id)| (*token, *id)).collect();
    by_id.sort_by_key(|(_, id)| *id);
    let vocab: Map<String, Value> =
        by_id.iter().map(|(token, id)| ((*token).to_string(), json!(id))).collect();
    let unknown = special(header, &vocabulary, "unknown")?.map(|(_, token)| token);
    let added: Vec<Value> = by_id
        .iter()
        .filter_map(|(token, id)| {
            let special = match vocabulary.kinds[*id] {
                CONTROL => true,
                USER_DEFINED => false,
                // unknown, which SentencePiece writes in no text
                2 => true,
                _ => return None,
            };
            Some(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            }))
        })
        .collect();
    let whole_bytes = (0..=255u8).all(|byte| ids.contains_key(format!("<0x{byte:02X}>").as_str()));
    let bytes = matches!(kind, Kind::Bytes(_));
    let model = json!({
        "type": "BPE", "dropout": null,
        "unk_token": if bytes { None } else { unknown },
        "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": !bytes, "byte_fallback": !bytes && whole_bytes,
        "ignore_merges": match &kind { Kind::Bytes(pre) => pre.ignore_merges, Kind::SentencePiece => false },
        "vocab": vocab, "merges": merges,
    });
    let byte_level = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": regex});
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let (normalizer, splits, decoder) = match &kind {
        Kind::Bytes(pre) => {
            let splits = match pre.split {
                Split::Gpt2 => byte_level(true),
                Split::DigitsAndGpt2 => json!({"type": "Sequence", "pretokenizers": [
                    {"type": "Digits", "individual_digits": true}, byte_level(true)]}),
                Split::By(pattern) => json!({"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
                    byte_level(false)]}),
            };
            let normalizer = if pre.nfc { json!({"type": "NFC"}) } else { Value::Null };
            (normalizer, splits, byte_level(true))
        }
        Kind::SentencePiece => {
            let space = SPACE.to_string();
            let prefix = header.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(!gemma);
            let mut decoders = vec![
                replace(&space, " "),
                json!({"type": "ByteFallback"}),
                json!({"type": "Fuse"}),
            ];
            let normalizer = match prefix {
                false => replace(" ", &space),
                true => {
                    decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
                    let prepend = json!({"type": "Prepend", "prepend": space});
                    json!({"type": "Sequence", "normalizers": [prepend, replace(" ", &space)]})
                }
            };
            (normalizer, Value::Null, json!({"type": "Sequence", "decoders": decoders}))
        }
    };
    let (bos, eos) = adds(header, &kind)?;
    let mut single = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
    let mut pair = vec![single[0].clone(), json!({"Sequence": {"id": "B", "type_id": 1}})];
    let mut specials = Map::new();
    for (name, add, first) in [("bos", bos, true), ("eos", eos, false)] {
        let Some((id, token)) = special(header, &vocabulary, name)?.filter(|_| add) else {
            continue;
        };
        let written = |side: usize| json!({"SpecialToken": {"id": token, "type_id": side}});
        let (at, at_pair) =
            if first { (0, [0, 2]) } else { (single.len(), [pair.len() - 1, pair.len() + 1]) };
        single.insert(at, written(0));
        pair.insert(at_pair[0], written(0));
        pair.insert(at_pair[1], written(1));
        specials.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
    }
    let template = json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials});
    let post = match (bytes, specials.is_empty()) {
        (_, true) if bytes => byte_level(false),
        (_, true) => Value::Null,
        (true, false) => json!({"type": "Sequence", "processors": [byte_level(false), template]}),
        (false, false) => template,
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": splits, "post_processor": post, "decoder": decoder,
        "model": model,
    }))
}

/// The merges, first those that are made first.
fn merges(
    header: &Header,
    vocabulary: &Vocabulary,
    ids: &HashMap<&str, usize>,
    kind: &Kind,
    gemma: bool,
) -> Read<Vec<[String; 2]>> {
    const KEY: &str = "tokenizer.ggml.merges";
    if let Some(listed) = header.texts(KEY)? {
        let known = |part: &str| ids.contains_key(part);
        return listed
            .into_iter()
            .map(|merge| {
                // a part may itself begin with a space only where no other place divides the two
                let mut places =
                    merge.match_indices(' ').map(|(at, _)| (&merge[..at], &merge[at + 1..]));
                let found = places.find(|(left, right)| known(left) && known(right));
                let (left, right) = found.ok_or_else(|| {
                    format!("{KEY} has {merge:?}, whose two parts are not in the vocabulary")
                })?;
                Ok([left.to_string(), right.to_string()])
            })
            .collect();
    }
    if matches!(kind, Kind::Bytes(_)) {
        return Err(format!("has no {KEY}"));
    }
    let scores: Vec<f64> = match header.numbers("tokenizer.ggml.scores")? {
        Some(scores) if scores.len() == vocabulary.tokens.len() => scores,
        Some(scores) => {
            return Err(format!(
                "tokenizer.ggml.scores has {} entries for {} tokens",
                scores.len(),
                vocabulary.tokens.len()
            ));
        }
        None => return Err(format!("has neither {KEY} nor tokenizer.ggml.scores")),
    };
    Ok(from_scores(vocabulary, ids, &scores, gemma))
}

/// The merges that a vocabulary of SentencePiece means: each token is made of every two tokens that are its halves, the token with the
/// highest score first. Gemma's scores do not follow the order in which its merges are made; the order of its tokens does.
///
/// As `generate_merges` of transformers 5.24.
fn from_scores(
    vocabulary: &Vocabulary,
    ids: &HashMap<&str, usize>,
    scores: &[f64],
    gemma: bool,
) -> Vec<[String; 2]> {
    // a longer half than any token has is not looked up
    let longest = ids.keys().map(|token| token.len()).max().unwrap_or(0);
    let lengths: HashSet<usize> = ids.keys().map(|token| token.len()).collect();
    let mut all: Vec<(f64, usize, usize, &str, &str)> = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if ids.get(token.as_str()) != Some(&id) || token.len() > longest {
            continue;
        }
        let score = if gemma { -(id as f64) } else { scores[id] };
        let mut own: Vec<(usize, usize, &str, &str)> = token
            .char_indices()
            .skip(1)
            .filter(|(at, _)| lengths.contains(at) && lengths.contains(&(token.len() - at)))
            .filter_map(|(at, _)| {
                let (left, right) = token.split_at(at);
                Some((*ids.get(left)?, *ids.get(right)?, left, right))
            })
            .collect();
        own.sort_unstable();
        all.extend(own.into_iter().map(|(_, _, left, right)| {
            (score, left.chars().count(), right.chars().count(), left, right)
        }));
    }
    all.sort_by(|a, b| {
        b.0.total_cmp(&a.0).then((Reverse(a.1), Reverse(a.2)).cmp(&(Reverse(b.1), Reverse(b.2))))
    });
    all.into_iter().map(|(_, _, _, left, right)| [left.to_string(), right.to_string()]).collect()
}

/// `tokenizer_config.json`.
pub(super) fn config(header: &Header, gemma: bool) -> Read<Map<String, Value>> {
    let kind = Kind::of(header)?;
    let vocabulary = Vocabulary::of(header, gemma)?;
    let mut config = Map::new();
    for (own, name) in [
        ("bos", "bos_token"),
        ("eos", "eos_token"),
        ("unknown", "unk_token"),
        ("seperator", "sep_token"),
        ("padding", "pad_token"),
        ("mask", "mask_token"),
    ] {
        if let Some((_, token)) = special(header, &vocabulary, own)? {
            config.insert(name.into(), token.into());
        }
    }
    let (bos, eos) = adds(header, &kind)?;
    config.insert("add_bos_token".into(), (bos && config.contains_key("bos_token")).into());
    config.insert("add_eos_token".into(), (eos && config.contains_key("eos_token")).into());
    config.insert("clean_up_tokenization_spaces".into(), false.into());
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    const TEMPLATE: &str = "tokenizer.chat_template";
    let own = header.text(TEMPLATE)?.map(|text| ("default".to_string(), text));
    let mut templates: Vec<(String, &str)> = own.into_iter().collect();
    for name in header.texts("tokenizer.chat_templates")?.unwrap_or_default() {
        if let Some(text) = header.text(&format!("{TEMPLATE}.{name}"))? {
            templates.push((name, text));
        }
    }
    let template = match templates.as_slice() {
        [] => return Ok(config),
        [(name, text)] if name == "default" => json!(text),
        named => named.iter().map(|(name, text)| json!({"name": name, "template": text})).collect(),
    };
    config.insert("chat_template".into(), template);
    Ok(config)
}
