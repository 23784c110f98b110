use crate::context::Context;
use crate::error::Result;
use crate::model::Checkpoint;
use crate::provenance::{Difference, FileStamp, Tokenization, VERSION, differences};
use crate::store::bytes_hash;
use crate::tokens::{Sequence, Tokenizer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The form of ledgers that this version writes and reads.
const FORMAT: u32 = 1;

/// What a ledger was made from, by hashes; it stands in each of its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    format: u32,
    /// Version of this crate.
    pub unforget: String,
    /// Folder of the scored model.
    pub model: PathBuf,
    /// Its weights and configuration, and its adapter's, by file.
    pub weights: Files,
    /// How much of the adapter was put on, if not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_scale: Option<f64>,
    /// The same files of the model that was asked beside it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reference: Files,
    /// What made token ids of the texts.
    #[serde(flatten)]
    pub tokenization: Tokenization,
    /// The files of the data set; none where it was made on the way, such as sampled answers.
    pub data: Files,
    /// SHA-256 of the names and token ids that were scored.
    pub sequences: String,
    /// The rule of the weights.
    pub rule: Option<String>,
}

type Files = BTreeMap<PathBuf, FileStamp>;

/// What an origin says, in the order in which differences are told, and what a person calls it.
const PARTS: [(&str, &str); 7] = [
    ("template", "the chat template"),
    ("template_args", "variables of the chat template"),
    ("template_date", "date in the chat template's texts"),
    ("tokenizer", "the tokenizer"),
    ("model", "the model"),
    ("reference", "the reference model"),
    ("data", "the data"),
];

impl Origin {
    /// What a ledger of `sequences`, rendered from the files `data` and scored under `checkpoint`, is made from; `reference` is the other model
    /// that was asked, `rule` made the weights.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(
        cx: &Context,
        checkpoint: &Checkpoint,
        reference: Option<&Checkpoint>,
        data: &[PathBuf],
        sequences: &[Sequence],
        rule: Option<String>,
    ) -> Result<Self> {
        let stamps = |files: Vec<PathBuf>| {
            let stamp = |file: PathBuf| {
                let file = std::path::absolute(&file).unwrap_or(file);
                Ok((file.clone(), FileStamp::of(cx, &file)?))
            };
            files.into_iter().map(stamp).collect::<Result<Files>>()
        };
        let mut ids = Vec::new();
        for sequence in sequences {
            ids.extend(sequence.id.as_bytes());
            ids.push(0);
            ids.extend((sequence.len() as u64).to_le_bytes());
            ids.extend(sequence.ids.iter().flat_map(|id| id.to_le_bytes()));
        }
        Ok(Self {
            format: FORMAT,
            unforget: VERSION.into(),
            model: std::path::absolute(&checkpoint.model)
                .unwrap_or_else(|_| checkpoint.model.clone()),
            weights: stamps(checkpoint.weight_files()?)?,
            adapter_scale: checkpoint.adapter_scale.map(|scale| scale.get()),
            reference: match reference {
                Some(reference) => stamps(reference.weight_files()?)?,
                None => Files::new(),
            },
            tokenization: Tokenization::of(&checkpoint.tokenizer()?, &checkpoint.template)?,
            data: stamps(data.to_vec())?,
            sequences: bytes_hash(&ids),
            rule,
        })
    }

    /// Reads what stands in a file; says what is wrong with it.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let format = serde_json::from_str::<Value>(text).ok();
        let format = format.and_then(|value| value.get("format")?.as_u64());
        if format != Some(u64::from(FORMAT)) {
            return Err(format!("was written in another form than this version's ({FORMAT})"));
        }
        serde_json::from_str(text).map_err(|error| format!("its origin does not read ({error})"))
    }

    /// What has changed on disk since the ledger was made, in words; `None` if nothing has. What is not there any more is not compared.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn stale(&self) -> Result<Option<String>> {
        let kinds = [
            ("the model's file", &self.weights),
            ("the reference model's file", &self.reference),
            ("the data's file", &self.data),
        ];
        for (what, files) in kinds {
            for (path, stamp) in files {
                if let Some(now) = stamp.changed(path)? {
                    return Ok(Some(format!(
                        "{what} {} has changed: SHA-256 {} then, {now} now",
                        path.display(),
                        stamp.sha256
                    )));
                }
            }
        }
        if !self.model.is_file() && !self.model.join("tokenizer.json").is_file() {
            return Ok(None);
        }
        // on the day of the ledger, which another day does not spoil
        let options = self.tokenization.options();
        let tokenizer = Tokenizer::open(&self.model)?.with_options(&options)?;
        let now = Self { tokenization: Tokenization::of(&tokenizer, &options)?, ..self.clone() };
        Ok(self
            .difference(&now, &[])
            .map(|(what, _)| format!("{what} in {} has changed", self.model.display())))
    }

    /// In what `other` was made from something else, in words; `None` if in nothing. Where files lie makes no difference, nor do the parts `but`
    /// of [`PARTS`].
    pub(super) fn differs(&self, other: &Self, but: &[&str]) -> Option<String> {
        let (what, Difference { field, first, second }) = self.difference(other, but)?;
        let text = |value: &Option<Value>| match value {
            Some(Value::String(text)) => text.clone(),
            value => value.clone().unwrap_or_default().to_string(),
        };
        let (one, two) = (text(&first), text(&second));
        Some(match field.as_str() {
            "template_args" => {
                format!("other {what} ({one}, here {two}; --template-arg sets them)")
            }
            "template_date" => {
                format!(
                    "another {what} ({one}, here {two}; --template-date {one} asks for it again)"
                )
            }
            _ => format!("other files of {what}"),
        })
    }

    /// The first part in which `other` says something else, and what it is called.
    fn difference(&self, other: &Self, but: &[&str]) -> Option<(&'static str, Difference)> {
        let found = differences(&self.parts(), &other.parts());
        // without a date the tokenizer's hash differs, too
        let dated = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_string);
        PARTS.into_iter().filter(|(part, _)| !but.contains(part)).find_map(|(part, what)| {
            let found = found.iter().find(|found| found.field == part)?;
            let told = part != "template_date" || dated(&found.first) && dated(&found.second);
            told.then(|| (what, found.clone()))
        })
    }

    /// What it says of what it was made from, each of [`PARTS`] as one value.
    fn parts(&self) -> Value {
        let hashes = |files: &Files| -> Vec<(String, String)> {
            let name = |path: &PathBuf| {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            };
            let mut named: Vec<_> =
                files.iter().map(|(path, stamp)| (name(path), stamp.sha256.clone())).collect();
            named.sort();
            named
        };
        let Tokenization { tokenizer, template, template_args, template_date } = &self.tokenization;
        json!({
            "template": template,
            "template_args": json!(template_args).to_string(),
            "template_date": template_date,
            "tokenizer": tokenizer,
            "model": [json!(hashes(&self.weights)), json!(self.adapter_scale)],
            "reference": hashes(&self.reference),
            "data": self.sequences,
        })
    }
}
