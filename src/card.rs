//! The card of a run: what a result was made from and where, so that it can be made again and held against another.
//!
//! Every verb writes `card.json` into its folder of the store, before the result. Weights, tokenizer, template, data and mask stand in it
//! as hashes, the recipe as it was, small enough to read. `unforget card` shows one or what differs between two; `unforget verify` makes a
//! part of the run again.

use crate::context::{Context, GGUF};
use crate::error::{Error, Result};
use crate::model::{Checkpoint, Precision};
use crate::provenance::{
    CANDLE, Computation, DataDigest, Difference, HashedFiles, Machine, MaskDigest, Times,
    Tokenization, VERSION, differences,
};
use crate::store::{Entry, StoredRun, Work, bytes_hash, file_hash, files_of_run};
use crate::tokens::{ChatTemplate, TemplateOptions};
use crate::train::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// The form of cards that this version writes and reads.
pub const FORMAT: u32 = 1;

const FILE: &str = "card.json";

/// What a result was made from, how and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// [`FORMAT`] of the version that wrote it.
    pub format: u32,
    /// `verb/label-hash`, the run's folder in the store.
    pub run: String,
    /// The whole configuration, by the names of the inputs. What is large stands as its count and hash.
    pub recipe: BTreeMap<String, Value>,
    /// The model's folder, and its files that decide what it computes.
    pub weights: HashedFiles,
    /// The adapter's, if there is one on the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<HashedFiles>,
    /// What made token ids of the texts.
    #[serde(flatten)]
    pub tokenization: Tokenization,
    /// What was said of the chat template, such as that nothing ends an answer ([`Tokenizer::advice`](crate::tokens::Tokenizer::advice)), and of a training that has
    /// diverged ([`divergence`](crate::train::divergence)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was scored, answered or learned, by the names of the inputs.
    pub data: BTreeMap<String, DataDigest>,
    /// Which tokens were learned; of trainings only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskDigest>,
    /// Files beside the result, by name, with their SHA-256.
    pub files: BTreeMap<String, String>,
    /// Of this crate and of candle.
    pub versions: BTreeMap<String, String>,
    /// On what it was computed: the device is `cpu`, `cuda` or `metal`.
    #[serde(flatten)]
    pub computation: Computation,
    /// The processor.
    pub machine: Machine,
    /// In what the model's files contradict each other, and what was done about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<String>,
    /// Every seed in the recipe, by its place there.
    pub seeds: BTreeMap<String, Value>,
    /// When, and how long.
    pub times: Times,
}

/// A card that is being filled in.
#[derive(Debug)]
pub struct Draft {
    card: RunCard,
}

/// What a chat template is given, with the date that it writes: with that a reader can render its texts again on another day.
pub fn written_options(template: Option<&ChatTemplate>) -> TemplateOptions {
    let args = template.map(|template| template.options().args.clone());
    let date = template.and_then(ChatTemplate::date).and_then(|date| date.parse().ok());
    TemplateOptions { date, args: args.unwrap_or_default() }
}

impl RunCard {
    /// Begins the card of `entry`, which is computed with `checkpoint`.
    ///
    /// # Errors
    /// When the checkpoint's files cannot be read.
    pub fn begin(cx: &Context, entry: &Entry, checkpoint: &Checkpoint) -> Result<Draft> {
        let folder = entry.folder();
        let name = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let verb = name(folder.parent());
        let tokenizer = checkpoint.tokenizer()?;
        let (mut weights, mut adapter) = (BTreeMap::new(), BTreeMap::new());
        for file in checkpoint.weight_files()? {
            let of = if file.parent() == checkpoint.adapter.as_deref() {
                &mut adapter
            } else {
                &mut weights
            };
            of.insert(name(Some(&file)), cx.hash(file)?);
        }
        let mut recipe = BTreeMap::new();
        let mut data = BTreeMap::new();
        for (input, value) in entry.inputs().inputs() {
            let known = ["crate", "device", "tokenizer", "words", "stops", GGUF].contains(&input)
                || weights.contains_key(input)
                || adapter.contains_key(input);
            match value {
                _ if known => {}
                Value::Array(rows) => {
                    data.insert(input.to_string(), DataDigest::of(rows));
                }
                _ => {
                    let input = if input == "config" { &verb } else { input };
                    recipe.insert(input.replace('-', "_"), brief(value));
                }
            }
        }
        let mut seeds = BTreeMap::new();
        for (input, value) in &recipe {
            find_seeds(input, value, &mut seeds);
        }
        let versions = [("unforget", VERSION), ("candle", CANDLE)];
        let hashed = |folder: &Path, files| HashedFiles {
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()),
            files,
        };
        Ok(Draft {
            card: Self {
                format: FORMAT,
                run: format!("{verb}/{}", name(Some(folder))),
                recipe,
                weights: hashed(&checkpoint.model, weights),
                adapter: (checkpoint.adapter.as_deref()).map(|folder| hashed(folder, adapter)),
                tokenization: Tokenization::of(&tokenizer, &checkpoint.template)?,
                warnings: tokenizer.advice(&checkpoint.stop_ids()?),
                data,
                mask: None,
                files: BTreeMap::new(),
                versions: versions.map(|(of, is)| (of.into(), is.into())).into(),
                computation: Computation::with(cx, checkpoint),
                machine: Machine::this(),
                contradictions: checkpoint.contradictions()?,
                seeds,
                times: Times::new(SystemTime::now(), 0.0),
            },
        })
    }

    /// The card of a run.
    ///
    /// # Errors
    /// When the run is not finished, or its card is not there or of another version.
    pub fn of(run: &StoredRun) -> Result<Self> {
        let _: serde::de::IgnoredAny = run.result()?;
        let path = run.folder().join(FILE);
        if !path.is_file() {
            let hint = "the run was made before there were cards; remove its folder and make the call again";
            return Err(Error::missing("card of the run", path, hint));
        }
        let value: Value = run.read(FILE)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            format => {
                let format = format.map_or("no form that is named".into(), |f| format!("form {f}"));
                let problem = format!(
                    "the card is of {format}, this version of unforget ({}) reads form {FORMAT}: use the version that wrote it, or remove the run's folder and make the call again",
                    VERSION
                );
                return Err(Error::file(path, problem));
            }
        }
        serde_json::from_value(value)
            .map_err(|error| Error::file(path, format!("is no card: {error}")))
    }

    /// In what products with frozen weights were computed.
    ///
    /// # Errors
    /// When the card names none that is known.
    pub fn precision(&self) -> Result<Precision> {
        match self.recipe.get("precision") {
            None => Ok(Precision::F32),
            Some(name) => name.as_str().unwrap_or_default().parse(),
        }
    }

    /// The fields in which `other` differs, nested ones by their path; the run's name and its times are left out.
    ///
    /// # Errors
    /// When a card cannot be written as JSON.
    pub fn differences(&self, other: &Self) -> Result<Vec<Difference>> {
        let value = |card: &Self| {
            let mut value = serde_json::to_value(card).map_err(Error::library("reading a card"))?;
            if let Some(map) = value.as_object_mut() {
                map.retain(|name, _| name != "run" && name != "times");
            }
            Ok::<_, Error>(value)
        };
        Ok(differences(&value(self)?, &value(other)?))
    }
}

impl Draft {
    /// Notes a training's data and mask; `rule` made the weights.
    pub fn training(&mut self, data: &[Example], rule: Option<String>) {
        self.card.data.insert("data".into(), DataDigest::of_training(data));
        self.card.mask = Some(MaskDigest::of(data, rule));
    }

    /// Notes what is wrong with the result.
    pub fn warn(&mut self, warning: String) {
        self.card.warnings.push(warning);
    }

    /// Writes the card beside what `work` has made, as its last file.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn write(mut self, work: &Work) -> Result<()> {
        self.card.files = files_below(work.folder())?;
        self.card.times = Times::new(work.started(), work.seconds());
        let mut bytes =
            serde_json::to_vec_pretty(&self.card).map_err(Error::library("writing the card"))?;
        bytes.push(b'\n');
        work.write(FILE, &bytes)
    }
}

/// SHA-256 of what a run made beside its result, by name. Names that begin with a dot, checkpoints and the store's own are left out.
///
/// # Errors
/// When a file cannot be read.
pub fn files_below(folder: &Path) -> Result<BTreeMap<String, String>> {
    let files = files_of_run(folder)?.into_iter().filter(|name| name != FILE);
    files.map(|name| Ok((name.clone(), file_hash(&folder.join(name))?))).collect()
}

/// A value of the recipe: lists of named things by their names, other lists of things that are not plain as count and hash.
fn brief(value: &Value) -> Value {
    let plain = |value: &Value| !value.is_object() && !value.is_array();
    match value {
        Value::Object(map) => {
            let pairs = map.iter().map(|(name, value)| (name.clone(), brief(value)));
            Value::Object(pairs.collect())
        }
        Value::Array(values) if values.iter().all(plain) && values.len() <= 64 => value.clone(),
        Value::Array(values) => {
            let named = values.iter().map(|value| {
                let mut rest = value.as_object()?.clone();
                let name = rest.remove("name")?.as_str()?.to_string();
                Some((name, brief(&Value::Object(rest))))
            });
            let named: Option<Map<String, Value>> = named.collect();
            named.filter(|named| named.len() == values.len()).map_or_else(
                || serde_json::json!({"count": values.len(), "hash": bytes_hash(value.to_string().as_bytes())}),
                Value::Object,
            )
        }
        other => other.clone(),
    }
}

fn find_seeds(path: &str, value: &Value, seeds: &mut BTreeMap<String, Value>) {
    let Some(map) = value.as_object() else { return };
    for (name, value) in map {
        match name == "seed" {
            true => drop(seeds.insert(path.to_string(), value.clone())),
            false => find_seeds(&format!("{path}.{name}"), value, seeds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_large_stands_as_its_hash_and_what_is_named_by_its_name() {
        let sets = json!({"every": 20, "sets": [{"name": "word", "items": [{"id": 1}]}, {"name": "sql", "items": []}]});
        let brief = brief(&sets);
        assert_eq!(brief["every"], 20);
        assert_eq!(brief["sets"]["word"]["items"]["count"], 1);
        assert_eq!(brief["sets"]["sql"]["items"], json!([]));
        let mut seeds = BTreeMap::new();
        find_seeds("a", &json!({"seed": 3, "b": {"seed": 4}}), &mut seeds);
        assert_eq!(json!(seeds), json!({"a": 3, "a.b": 4}));
    }
}
