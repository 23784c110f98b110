//! The card of a run: what a result was made from and where, so that it can be made again and held against another.
//!
//! Every verb writes `card.json` into its folder of the store, before the result. Weights, tokenizer, template, data and mask stand in it
//! as hashes, the recipe as it was, small enough to read. `unforget card` shows one or what differs between two; `unforget verify` makes a
//! part of the run again.
//!
//! ```
//! use unforget::card::differences;
//! use serde_json::json;
//! let one = json!({"recipe": {"learning_rate": 1e-3, "epochs": 3}, "seeds": {"finetune": 1}});
//! let other = json!({"recipe": {"learning_rate": 3e-3, "epochs": 3}});
//! let found: Vec<String> = differences(&one, &other).iter().map(ToString::to_string).collect();
//! assert_eq!(found, ["recipe.learning_rate: 0.001 → 0.003", "seeds.finetune: 1 → –"]);
//! ```

use crate::context::{Context, GGUF};
use crate::error::{Error, Result};
use crate::model::{Checkpoint, Precision};
use crate::ops::bf16_instructions;
use crate::store::{Entry, Kept, Work, bytes_hash, file_hash, is_bookkeeping};
use crate::tokens::{ChatTemplate, DateTime, TemplateOptions};
use crate::train::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The form of cards that this version writes and reads.
pub const FORMAT: u32 = 1;

/// The version of candle that computes; Cargo.toml pins it, and a test holds the two together.
pub const CANDLE: &str = "0.11.1";

const FILE: &str = "card.json";

/// What a result was made from, how and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// [`FORMAT`] of the version that wrote it.
    pub format: u32,
    /// `verb/label-hash`, the run's folder in the store.
    pub run: String,
    /// The whole configuration, by the names of the inputs. What is large stands as its count and hash.
    pub recipe: BTreeMap<String, Value>,
    /// The model's folder, and its files that decide what it computes.
    pub weights: Hashed,
    /// The adapter's, if there is one on the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Hashed>,
    /// SHA-256 of tokenizer and special tokens, template included.
    pub tokenizer: String,
    /// SHA-256 of the chat template; `None` for a model without one.
    pub template: Option<String>,
    /// Variables that the chat template was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_args: BTreeMap<String, Value>,
    /// The date that the chat template wrote, if it writes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_date: Option<DateTime>,
    /// What was said of the chat template, such as that nothing ends an answer; see [`Tokenizer::advice`](crate::tokens::Tokenizer::advice).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was scored, answered or learned, by the names of the inputs.
    pub data: BTreeMap<String, Bulk>,
    /// Which tokens were learned; of trainings only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// Files beside the result, by name, with their SHA-256.
    pub files: BTreeMap<String, String>,
    /// Of this crate and of candle.
    pub versions: BTreeMap<String, String>,
    /// Where it was computed: `cpu`, `cuda` or `metal`.
    pub device: String,
    /// Of the weights: `f32` or `bf16`. Adapters, moments and losses are f32 everywhere.
    pub dtype: String,
    /// The processor's instructions by which products with bf16 weights were computed; the recipe's `precision` says how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Threads it was computed on.
    pub threads: usize,
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

/// Files of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hashed {
    /// Where it was.
    pub folder: PathBuf,
    /// SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
}

/// Something too large for a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bulk {
    /// How many there are.
    pub count: usize,
    /// Tokens in them, where they are token ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// SHA-256 of them as JSON; of a training's data without the weights.
    pub hash: String,
}

/// Which tokens were learned, and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mask {
    /// The rule that made the weights, if it was told.
    pub rule: Option<String>,
    /// Tokens of the completions.
    pub completion_tokens: usize,
    /// Those with a weight that is not 0.
    pub learned_tokens: usize,
    /// SHA-256 of the weights.
    pub hash: String,
}

/// What decides the last bits of a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    /// The processor's name, where the system tells it.
    pub processor: Option<String>,
    /// Instructions that the matrix products may use.
    pub instructions: Vec<String>,
}

/// When a run was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// When the first try began of which something was kept: a date and time in UTC.
    pub started: String,
    /// Wall seconds of all tries, as [`Work::seconds`] counts them.
    pub seconds: f64,
}

/// A card that is being filled in.
#[derive(Debug)]
pub struct Draft {
    card: Card,
}

impl Card {
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
                    let bulk = Bulk {
                        count: rows.len(),
                        tokens: tokens(rows),
                        hash: bytes_hash(value.to_string().as_bytes()),
                    };
                    data.insert(input.to_string(), bulk);
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
        let on_cpu = cx.device.is_cpu();
        let device = match (on_cpu, cx.device.is_cuda()) {
            (true, _) => "cpu",
            (_, true) => "cuda",
            _ => "metal",
        };
        let in_f32 = cx.precision_of(checkpoint) == Precision::F32;
        let versions = [("unforget", env!("CARGO_PKG_VERSION")), ("candle", CANDLE)];
        let hashed = |folder: &Path, files| Hashed {
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
                tokenizer: tokenizer.fingerprint().to_string(),
                template: template_hash(tokenizer.template()),
                template_args: checkpoint.template.args.clone(),
                template_date: written_date(tokenizer.template())?,
                warnings: tokenizer.advice(&checkpoint.stop_ids()?),
                data,
                mask: None,
                files: BTreeMap::new(),
                versions: versions.map(|(of, is)| (of.into(), is.into())).into(),
                device: device.into(),
                dtype: if on_cpu && in_f32 { "f32" } else { "bf16" }.into(),
                instructions: (!in_f32).then(bf16_instructions).flatten().map(str::to_string),
                threads: rayon::current_num_threads(),
                machine: Machine::this(),
                contradictions: checkpoint.contradictions()?,
                seeds,
                times: Times { started: utc(SystemTime::now()), seconds: 0.0 },
            },
        })
    }

    /// The card of a run.
    ///
    /// # Errors
    /// When the run is not finished, or its card is not there or of another version.
    pub fn of(kept: &Kept) -> Result<Self> {
        let _: serde::de::IgnoredAny = kept.result()?;
        let path = kept.folder().join(FILE);
        if !path.is_file() {
            let hint = "the run was made before there were cards; remove its folder and make the call again";
            return Err(Error::missing("card of the run", path, hint));
        }
        let value: Value = kept.read(FILE)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            format => {
                let format = format.map_or("no form that is named".into(), |f| format!("form {f}"));
                let problem = format!(
                    "the card is of {format}, this version of unforget ({}) reads form {FORMAT}: use the version that wrote it, or remove the run's folder and make the call again",
                    env!("CARGO_PKG_VERSION")
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

    /// What the chat template was given: to ask it as it was asked then.
    pub fn template_options(&self) -> TemplateOptions {
        TemplateOptions { date: self.template_date, args: self.template_args.clone() }
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
        self.card.data.insert("data".into(), data_of(data));
        self.card.mask = Some(mask_of(data, rule));
    }

    /// Writes the card beside what `work` has made, as its last file.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn write(mut self, work: &Work) -> Result<()> {
        self.card.files = files_below(work.folder())?;
        self.card.times = Times { started: utc(work.started()), seconds: work.seconds() };
        let mut bytes =
            serde_json::to_vec_pretty(&self.card).map_err(Error::library("writing the card"))?;
        bytes.push(b'\n');
        work.write(FILE, &bytes)
    }
}

impl Machine {
    /// The one this runs on.
    pub fn this() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = info.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_string())
        });
        #[cfg(target_arch = "x86_64")]
        let known = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let known = [("neon", cfg!(target_feature = "neon"))];
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor,
            instructions: known
                .iter()
                .filter(|(_, there)| *there)
                .map(|(name, _)| name.to_string())
                .collect(),
        }
    }
}

/// SHA-256 of a chat template's text.
pub fn template_hash(template: Option<&ChatTemplate>) -> Option<String> {
    template.map(|template| bytes_hash(template.source().as_bytes()))
}

/// The date that a chat template writes, to the second if it writes the time of day.
///
/// # Errors
/// Never: what a template writes is a date.
pub fn written_date(template: Option<&ChatTemplate>) -> Result<Option<DateTime>> {
    template.and_then(ChatTemplate::date).map(|date| date.parse()).transpose()
}

/// What a chat template is given, with the date that it writes: with that a reader can render its texts again on another day.
pub fn written_options(template: Option<&ChatTemplate>) -> TemplateOptions {
    let args = template.map(|template| template.options().args.clone());
    let date = written_date(template).unwrap_or_default();
    TemplateOptions { date, args: args.unwrap_or_default() }
}

/// A training's data, whatever is learned of it.
pub fn data_of(data: &[Example]) -> Bulk {
    let rows: Vec<(&str, &[u32])> =
        data.iter().map(|one| (one.id.as_str(), one.ids.as_slice())).collect();
    let text = serde_json::to_string(&rows).expect("texts and numbers are JSON");
    Bulk {
        count: data.len(),
        tokens: Some(data.iter().map(|one| one.ids.len()).sum()),
        hash: bytes_hash(text.as_bytes()),
    }
}

/// What of a training's data is learned.
pub fn mask_of(data: &[Example], rule: Option<String>) -> Mask {
    let bytes: Vec<u8> = data
        .iter()
        .flat_map(|one| {
            let length = (one.weights.len() as u64).to_le_bytes();
            let weights = one.weights.iter().flat_map(|weight| weight.to_le_bytes());
            length.into_iter().chain(weights).collect::<Vec<u8>>()
        })
        .collect();
    Mask {
        rule,
        completion_tokens: data.iter().map(|one| one.completion_tokens).sum(),
        learned_tokens: data
            .iter()
            .map(|one| one.weights.iter().filter(|w| **w != 0.0).count())
            .sum(),
        hash: bytes_hash(&bytes),
    }
}

/// SHA-256 of what a run made beside its result, by name. Names that begin with a dot, checkpoints and the store's own are left out.
pub fn files_below(folder: &Path) -> Result<BTreeMap<String, String>> {
    fn add(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(Error::io("listing", folder))? {
            let path = entry.map_err(Error::io("listing", folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let own = prefix.is_empty() && (is_bookkeeping(&name) || name == FILE);
            if own || name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                add(&path, &format!("{name}/"), files)?;
            } else {
                files.insert(name, file_hash(&path)?);
            }
        }
        Ok(())
    }
    let mut files = BTreeMap::new();
    add(folder, "", &mut files)?;
    Ok(files)
}

/// Token ids in `rows`, if that is what they are.
fn tokens(rows: &[Value]) -> Option<usize> {
    let ids =
        |row: &Value| row.as_array().filter(|ids| ids.iter().all(Value::is_u64)).map(Vec::len);
    rows.iter().map(ids).sum()
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

/// A field in which two cards differ; `None` where one does not have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The field, by its path, such as `recipe.finetune.learning_rate`.
    pub field: String,
    /// In the first.
    pub first: Option<Value>,
    /// In the second.
    pub second: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            None => "–".to_string(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        write!(f, "{}: {} → {}", self.field, text(&self.first), text(&self.second))
    }
}

/// The fields in which two JSON values differ, nested ones by their path.
pub fn differences(first: &Value, second: &Value) -> Vec<Difference> {
    fn compare(
        path: &str,
        first: Option<&Value>,
        second: Option<&Value>,
        found: &mut Vec<Difference>,
    ) {
        let below = |name: &str| match path {
            "" => name.to_string(),
            path => format!("{path}.{name}"),
        };
        match (first, second) {
            (one, other) if one == other => {}
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                for (name, value) in one {
                    compare(&below(name), Some(value), other.get(name), found);
                }
                for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                    compare(&below(name), None, Some(value), found);
                }
            }
            // what only one of them has is shown field by field, too
            (Some(Value::Object(one)), None) if !one.is_empty() => {
                for (name, value) in one {
                    compare(&below(name), Some(value), None, found);
                }
            }
            (None, Some(Value::Object(other))) if !other.is_empty() => {
                for (name, value) in other {
                    compare(&below(name), None, Some(value), found);
                }
            }
            _ => found.push(Difference {
                field: path.to_string(),
                first: first.cloned(),
                second: second.cloned(),
            }),
        }
    }
    let mut found = Vec::new();
    compare("", Some(first), Some(second), &mut found);
    found
}

/// A time as `2026-11-23 12:00 UTC`.
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DateTime::utc(seconds as i64).strftime("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn the_version_of_candle_is_the_pinned_one() {
        let pinned = format!("candle-core = {{ version = \"={CANDLE}\"");
        let manifest =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert!(manifest.contains(&pinned));
    }

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

    #[test]
    fn only_what_differs_is_listed() {
        let one = json!({"a": {"x": 1, "y": [1, 2]}, "b": "same"});
        let other = json!({"a": {"x": 1, "y": [1, 3]}, "b": "same", "c": {"z": null}});
        let found: Vec<String> =
            differences(&one, &other).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a.y: [1,2] → [1,3]", "c.z: – → null"]);
        assert!(differences(&one, &one).is_empty());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        // date -u -d @SECONDS
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_795_608_000), "2026-11-25 12:00 UTC");
    }
}
