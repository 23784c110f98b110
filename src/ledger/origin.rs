use crate::card::{template_hash, written_date};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::store::{bytes_hash, file_hash};
use crate::tokens::{DateTime, Sequence, TemplateOptions, Tokenizer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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
    pub weights: BTreeMap<PathBuf, Stamp>,
    /// How much of the adapter was put on, if not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_scale: Option<f64>,
    /// The same files of the model that was asked beside it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reference: BTreeMap<PathBuf, Stamp>,
    /// SHA-256 of tokenizer and special tokens, template included.
    pub tokenizer: String,
    /// SHA-256 of the chat template.
    pub template: Option<String>,
    /// Variables that the chat template was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_args: BTreeMap<String, serde_json::Value>,
    /// The date that the chat template wrote, if it writes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_date: Option<DateTime>,
    /// The files of the data set; none where it was made on the way, such as sampled answers.
    pub data: BTreeMap<PathBuf, Stamp>,
    /// SHA-256 of the names and token ids that were scored.
    pub sequences: String,
    /// The rule of the weights.
    pub rule: Option<String>,
}

/// One file as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub length: u64,
    /// When it was changed last, in nanoseconds since 1970: a file of the same length and time is not read again.
    pub modified: Option<u64>,
}

impl Stamp {
    fn of(cx: &Context, path: &Path) -> Result<Self> {
        let (length, modified) = seen(path)?;
        Ok(Self { sha256: cx.hash(path.to_path_buf())?, length, modified })
    }

    /// The file's hash now, if it is another one. `None` also where there is no such file any more.
    fn changed(&self, path: &Path) -> Result<Option<String>> {
        if !path.is_file() {
            return Ok(None);
        }
        let (length, modified) = seen(path)?;
        if modified.is_some() && (length, modified) == (self.length, self.modified) {
            return Ok(None);
        }
        let now = file_hash(path)?;
        Ok((now != self.sha256).then_some(now))
    }
}

fn seen(path: &Path) -> Result<(u64, Option<u64>)> {
    let seen = std::fs::metadata(path).map_err(Error::io("looking at", path))?;
    let since = seen.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((seen.len(), since.and_then(|since| since.as_nanos().try_into().ok())))
}

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
                Ok((file.clone(), Stamp::of(cx, &file)?))
            };
            files.into_iter().map(stamp).collect::<Result<BTreeMap<_, _>>>()
        };
        let tokenizer = checkpoint.tokenizer()?;
        let mut ids = Vec::new();
        for sequence in sequences {
            ids.extend(sequence.id.as_bytes());
            ids.push(0);
            ids.extend((sequence.len() as u64).to_le_bytes());
            ids.extend(sequence.ids.iter().flat_map(|id| id.to_le_bytes()));
        }
        Ok(Self {
            format: FORMAT,
            unforget: env!("CARGO_PKG_VERSION").into(),
            model: std::path::absolute(&checkpoint.model)
                .unwrap_or_else(|_| checkpoint.model.clone()),
            weights: stamps(checkpoint.weight_files()?)?,
            adapter_scale: checkpoint.adapter_scale.map(|scale| scale.get()),
            reference: match reference {
                Some(reference) => stamps(reference.weight_files()?)?,
                None => BTreeMap::new(),
            },
            tokenizer: tokenizer.fingerprint().to_string(),
            template: template_hash(tokenizer.template()),
            template_args: checkpoint.template.args.clone(),
            template_date: written_date(tokenizer.template())?,
            data: stamps(data.to_vec())?,
            sequences: bytes_hash(&ids),
            rule,
        })
    }

    /// Reads what stands in a file; says what is wrong with it.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let format = serde_json::from_str::<serde_json::Value>(text).ok();
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
        if self.model.is_file() || self.model.join("tokenizer.json").is_file() {
            // on the day of the ledger, which another day does not spoil
            let options =
                TemplateOptions { date: self.template_date, args: self.template_args.clone() };
            let tokenizer = Tokenizer::open(&self.model)?.with_options(&options)?;
            let place = self.model.display();
            if template_hash(tokenizer.template()) != self.template {
                return Ok(Some(format!("the chat template in {place} has changed")));
            }
            if tokenizer.fingerprint() != self.tokenizer {
                return Ok(Some(format!("the tokenizer in {place} has changed")));
            }
        }
        Ok(None)
    }

    /// In what `other` was made from something else, in words; `None` if in nothing. Where files lie makes no difference.
    pub fn differs(&self, other: &Self) -> Option<String> {
        self.scorer_differs(other).or_else(|| {
            (self.sequences != other.sequences).then(|| "other files of the data".to_string())
        })
    }

    /// The same without the data.
    pub(super) fn scorer_differs(&self, other: &Self) -> Option<String> {
        let hashes =
            |files: &BTreeMap<PathBuf, Stamp>| -> Vec<(Option<std::ffi::OsString>, String)> {
                let named = files
                    .iter()
                    .map(|(path, stamp)| (path.file_name().map(Into::into), stamp.sha256.clone()));
                let mut named: Vec<_> = named.collect();
                named.sort();
                named
            };
        if self.template == other.template && self.template_args != other.template_args {
            let args = |origin: &Self| serde_json::to_string(&origin.template_args);
            return Some(format!(
                "other variables of the chat template ({}, here {}; --template-arg sets them)",
                args(self).unwrap_or_default(),
                args(other).unwrap_or_default()
            ));
        }
        if let (true, Some(one), Some(two)) =
            (self.template == other.template, self.template_date, other.template_date)
            && one != two
        {
            return Some(format!(
                "another date in the chat template's texts ({one}, here {two}; --template-date {one} asks for it again)"
            ));
        }
        let checks = [
            ("the chat template", self.template != other.template),
            ("the tokenizer", self.tokenizer != other.tokenizer),
            (
                "the model",
                hashes(&self.weights) != hashes(&other.weights)
                    || self.adapter_scale != other.adapter_scale,
            ),
            ("the reference model", hashes(&self.reference) != hashes(&other.reference)),
        ];
        checks
            .into_iter()
            .find_map(|(what, differs)| differs.then(|| format!("other files of {what}")))
    }
}
