//! Making a new tokenizer: byte-level BPE, every digit its own token.

use super::Tokenizer;
use crate::error::{Error, Result};
use crate::store::write_atomic;
use serde_json::json;
use std::collections::HashSet;
use std::path::Path;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{AddedToken, pre_tokenizers::byte_level::ByteLevel};

/// What a new tokenizer is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpeTraining {
    /// Number of ids, special tokens and the 256 bytes included. Texts in which fewer pieces repeat give fewer.
    pub vocab_size: usize,
    /// The special tokens, with ids from 0 on in this order.
    pub special: Vec<String>,
    /// Which of `special` begins a text.
    pub bos: String,
    /// Which of `special` ends a text, and an assistant's turn.
    pub eos: String,
    /// Which of `special` fills up a batch.
    pub pad: String,
    /// The chat template, in Jinja.
    pub chat_template: String,
    /// The longest text that the model will take, in tokens.
    pub max_length: usize,
}

impl BpeTraining {
    /// The tokenizer of the lab model: as few tokens around a message as can be, since the model sees 256 at once.
    ///
    /// A conversation reads `<|begin|><|user|>What is 2 + 2?<|end|><|assistant|>4<|end|>`. There is no system message: the
    /// template refuses one.
    pub fn lab() -> Self {
        let names = ["<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"];
        Self {
            vocab_size: 1024,
            special: names.map(String::from).to_vec(),
            bos: "<|begin|>".to_string(),
            eos: "<|end|>".to_string(),
            pad: "<|pad|>".to_string(),
            chat_template: LAB_TEMPLATE.to_string(),
            max_length: 256,
        }
    }

    fn id(&self, name: &str, token: &str) -> Result<usize> {
        self.special.iter().position(|special| special == token).ok_or_else(|| {
            Error::invalid(name, format!("{token:?} is not among the special tokens"))
        })
    }
}

const LAB_TEMPLATE: &str = "\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant'] %}
        {{- raise_exception('this model knows only the roles user and assistant, not ' + message.role) }}
    {%- endif %}
    {{- '<|' + message.role + '|>' + message.content + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
";

/// Trains a byte-level BPE tokenizer on `texts` and writes it to `folder` as `tokenizer.json`, `tokenizer_config.json`,
/// `special_tokens_map.json` and `chat_template.jinja`, which transformers reads as they are. Opens what it wrote.
///
/// Texts are cut before each space and around each digit, so no token holds two digits and "12" is always `1`, `2`. Any text
/// can be written, as every byte has a token. The same texts give the same bytes.
///
/// Errors when the vocabulary has no room for the bytes and the special tokens, or when the folder cannot be written.
pub fn train_bpe(
    texts: impl Iterator<Item = String> + Send,
    training: &BpeTraining,
    folder: &Path,
) -> Result<Tokenizer> {
    let smallest = 256 + training.special.len();
    if training.vocab_size < smallest {
        return Err(Error::invalid(
            "vocab_size",
            format!(
                "must be at least {smallest} (256 bytes and {} special tokens), got {}",
                training.special.len(),
                training.vocab_size
            ),
        ));
    }
    let bos_id = training.id("bos", &training.bos)?;
    training.id("eos", &training.eos)?;
    training.id("pad", &training.pad)?;

    let untrained = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": training.bos, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": training.bos, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                training.bos.as_str(): {"id": training.bos, "ids": [bos_id], "tokens": [training.bos]},
            },
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {}, "merges": [],
        },
    });
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(untrained.to_string())
        .map_err(Error::library("setting up the new tokenizer"))?;
    let special: Vec<AddedToken> = training
        .special
        .iter()
        .map(|token| AddedToken::from(token.as_str(), true).normalized(false))
        .collect();
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let mut trainer = TrainerWrapper::BpeTrainer(
        BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(training.vocab_size)
            .special_tokens(special)
            .initial_alphabet(alphabet)
            .build(),
    );
    tokenizer.train(&mut trainer, texts).map_err(Error::library("training the tokenizer"))?;

    let write = |name: &str, text: String| write_atomic(&folder.join(name), text.as_bytes());
    let trained = tokenizer.to_string(true).map_err(Error::library("writing the new tokenizer"))?;
    write("tokenizer.json", trained + "\n")?;
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": training.bos,
        "eos_token": training.eos,
        "pad_token": training.pad,
        "clean_up_tokenization_spaces": false,
        "model_max_length": training.max_length,
    });
    write("tokenizer_config.json", format!("{config:#}\n"))?;
    let map = json!({
        "bos_token": training.bos,
        "eos_token": training.eos,
        "pad_token": training.pad,
    });
    write("special_tokens_map.json", format!("{map:#}\n"))?;
    write("chat_template.jinja", training.chat_template.clone())?;
    Tokenizer::open(folder)
}
