//! What a result was made from and how: the parts of which cards, ledgers, reports and exhibits are put together, so that each thing is
//! hashed, written and compared in one way.
//!
//! | part | says | is found in |
//! |---|---|---|
//! | [`HashedFiles`] | which weights and which adapter | `card.json` |
//! | [`FileStamp`] | which file, and how to see without reading it that it is the same | ledgers |
//! | [`Tokenization`] | what made token ids of the texts | `card.json`, ledgers |
//! | [`DataDigest`] | which data | `card.json` |
//! | [`MaskDigest`], [`MaskRecord`] | which tokens were learned, and the rule that chose them | `card.json`, `mask.json` |
//! | [`Computation`], [`Times`], [`Machine`] | on what it was computed, and when | `card.json`, `results.json` |
//!
//! Whatever the record, [`differences`] says in which fields two of them differ.
//!
//! ```
//! use unforget::provenance::differences;
//! use serde_json::json;
//! let one = json!({"recipe": {"learning_rate": 1e-3, "num_epochs": 3}, "seeds": {"finetune": 1}});
//! let other = json!({"recipe": {"learning_rate": 3e-3, "num_epochs": 3}});
//! let found: Vec<String> = differences(&one, &other).iter().map(ToString::to_string).collect();
//! assert_eq!(found, ["recipe.learning_rate: 0.001 → 0.003", "seeds.finetune: 1 → –"]);
//! ```

use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{Checkpoint, Precision};
use crate::ops::bf16_instructions;
use crate::select::Weighting;
use crate::store::{StoredRun, Work, bytes_hash, file_hash};
use crate::tokens::{ChatTemplate, DateTime, Sequence, TemplateOptions, Tokenizer};
use crate::train::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of candle that computes; Cargo.toml pins it, and a test holds the two together.
pub const CANDLE: &str = "0.11.1";

/// Files of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HashedFiles {
    /// Where it was.
    pub folder: PathBuf,
    /// SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
}

impl HashedFiles {
    /// Refuses files in `folder` that are not there or not these; `option` names the folder.
    ///
    /// # Errors
    /// Names the file, and the way out.
    pub fn check(&self, cx: &Context, folder: &Path, option: &str) -> Result<()> {
        for (name, hash) in &self.files {
            // a GGUF file is the model
            let alone =
                folder.is_file() || folder.file_name().is_some_and(|own| own == name.as_str());
            let path = if alone { folder.to_path_buf() } else { folder.join(name) };
            if !path.is_file() {
                let hint = format!(
                    "the run was made with it, SHA-256 {hash}; name its folder with {option} if it has moved"
                );
                return Err(Error::missing("file of the model", path, hint));
            }
            let found = cx.hash(path.clone())?;
            if found != *hash {
                let problem = format!(
                    "is not the file that the run was made with: its SHA-256 is {found}, the run's was {hash}"
                );
                return Err(Error::file(path, problem));
            }
        }
        Ok(())
    }
}

/// One file as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub length: u64,
    /// When it was changed last, in nanoseconds since 1970: a file of the same length and time is not read again.
    pub modified: Option<u64>,
}

impl FileStamp {
    /// The file at `path`, as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(cx: &Context, path: &Path) -> Result<Self> {
        let (length, modified) = seen(path)?;
        Ok(Self { sha256: cx.hash(path.to_path_buf())?, length, modified })
    }

    /// The file's hash now, if it is another one. `None` also where there is no such file any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn changed(&self, path: &Path) -> Result<Option<String>> {
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

/// What made token ids of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tokenization {
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
}

impl Tokenization {
    /// By `tokenizer`, whose chat template was given `options`.
    ///
    /// # Errors
    /// Never: what a template writes is a date.
    pub fn of(tokenizer: &Tokenizer, options: &TemplateOptions) -> Result<Self> {
        let template = tokenizer.template();
        Ok(Self {
            tokenizer: tokenizer.fingerprint().to_string(),
            template: template.map(|template| bytes_hash(template.source().as_bytes())),
            template_args: options.args.clone(),
            // to the second if it writes the time of day
            template_date: template
                .and_then(ChatTemplate::date)
                .map(|date| date.parse())
                .transpose()?,
        })
    }

    /// What the chat template was given: to ask it as it was asked then.
    pub fn options(&self) -> TemplateOptions {
        TemplateOptions { date: self.template_date, args: self.template_args.clone() }
    }
}

/// Something too large to stand in a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataDigest {
    /// How many there are.
    pub count: usize,
    /// Tokens in them, where they are token ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// SHA-256 of them as JSON; of a training's data without the weights.
    pub hash: String,
}

impl DataDigest {
    /// Of a list.
    pub fn of(rows: &[Value]) -> Self {
        let ids =
            |row: &Value| row.as_array().filter(|ids| ids.iter().all(Value::is_u64)).map(Vec::len);
        Self::new(rows.len(), rows.iter().map(ids).sum(), &rows)
    }

    /// Of a training's data, whatever is learned of it.
    pub fn of_training(data: &[Example]) -> Self {
        let rows: Vec<(&str, &[u32])> =
            data.iter().map(|one| (one.id.as_str(), one.ids.as_slice())).collect();
        Self::new(data.len(), Some(data.iter().map(|one| one.ids.len()).sum()), &rows)
    }

    fn new(count: usize, tokens: Option<usize>, rows: &impl Serialize) -> Self {
        let text = serde_json::to_vec(rows).expect("texts and numbers are JSON");
        Self { count, tokens, hash: bytes_hash(&text) }
    }
}

/// Which tokens were learned, and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskDigest {
    /// The rule that made the weights, if it was told.
    pub rule: Option<String>,
    /// Tokens of the completions.
    pub completion_tokens: usize,
    /// Those with a weight that is not 0.
    pub learned_tokens: usize,
    /// SHA-256 of the weights.
    pub hash: String,
}

impl MaskDigest {
    /// What of a training's data is learned, by `rule`.
    pub fn of(data: &[Example], rule: Option<String>) -> Self {
        let mut bytes = Vec::new();
        for one in data {
            bytes.extend((one.weights.len() as u64).to_le_bytes());
            bytes.extend(one.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        }
        let learned = |one: &Example| one.weights.iter().filter(|weight| **weight != 0.0).count();
        Self {
            rule,
            completion_tokens: data.iter().map(|one| one.completion_tokens).sum(),
            learned_tokens: data.iter().map(learned).sum(),
            hash: bytes_hash(&bytes),
        }
    }
}

/// How the weights of a training's data were made, so that they can be made again: `mask.json` beside the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskRecord {
    /// The rule.
    pub rule: Weighting,
    /// Seed of what it drew.
    pub seed: u64,
    /// For each example, the ranges of tokens that are its completion: first, and the one after the last.
    pub completion: Vec<Vec<(usize, usize)>>,
    /// What the data themselves said of how much each token is learned; empty where they said nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Vec<f32>>,
}

impl MaskRecord {
    /// The file beside the result.
    pub const FILE: &str = "mask.json";

    /// Of the weights that `rule` gave `sequences`.
    pub fn new(rule: &Weighting, seed: u64, sequences: &[Sequence]) -> Self {
        let ranges = |sequence: &Sequence| {
            let mut ranges: Vec<(usize, usize)> = Vec::new();
            for at in sequence.completion.positions() {
                match ranges.last_mut() {
                    Some((_, end)) if *end == at => *end += 1,
                    _ => ranges.push((at, at + 1)),
                }
            }
            ranges
        };
        let mut given: Vec<Vec<f32>> = sequences.iter().map(|of| of.weights.clone()).collect();
        if given.iter().all(Vec::is_empty) {
            given.clear();
        }
        let completion = sequences.iter().map(ranges).collect();
        Self { rule: rule.clone(), seed, completion, given }
    }

    /// Writes it beside what `work` makes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, work: &Work) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(Error::library("packing the mask's origin"))?;
        work.write(Self::FILE, &text)
    }

    /// That of a training; `None` where no rule makes its weights again.
    ///
    /// # Errors
    /// When it does not read.
    pub fn of(run: &StoredRun) -> Result<Option<Self>> {
        run.folder().join(Self::FILE).is_file().then(|| run.read(Self::FILE)).transpose()
    }
}

/// On what something was computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Computation {
    /// The compute device, such as `cpu`.
    pub device: String,
    /// Of the weights: `f32` or `bf16`. Adapters, moments and losses are f32 everywhere. A report has none, as its runs may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// The processor's instructions by which products with bf16 weights were computed; the recipe's `precision` says how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Threads it was computed on.
    pub threads: usize,
}

impl Computation {
    /// What is computed with `checkpoint` here.
    pub fn with(cx: &Context, checkpoint: &Checkpoint) -> Self {
        let place = &cx.device.device;
        let device = match (place.is_cpu(), place.is_cuda()) {
            (true, _) if cx.device.is_host() => "cpu",
            (true, _) => "cpu, composed",
            (_, true) => "cuda",
            _ => "metal",
        };
        let in_f32 = cx.precision_of(checkpoint) == Precision::F32;
        let dtype = if in_f32 { cx.device.dtype.as_str() } else { "bf16" };
        Self {
            device: device.into(),
            dtype: Some(dtype.into()),
            instructions: (!in_f32).then(bf16_instructions).flatten().map(str::to_string),
            threads: rayon::current_num_threads(),
        }
    }

    /// What runs side by side here, whatever each is computed with.
    pub fn of_runs(cx: &Context) -> Self {
        let (dtype, instructions) = (None, None);
        Self { device: cx.device_name(), dtype, instructions, threads: cx.workers }
    }
}

/// When something was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// When it began; of a run, when the first try began of which something was kept: a date and time in UTC.
    pub started: String,
    /// Wall seconds; of a run those of all tries, as [`Work::seconds`] counts them, of a report those of the last call.
    pub seconds: f64,
}

impl Times {
    /// What began at `started` and took `seconds`.
    pub fn new(started: SystemTime, seconds: f64) -> Self {
        Self { started: utc(started), seconds }
    }
}

/// A time as `2026-11-23 12:00 UTC`.
pub(crate) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DateTime::utc(seconds as i64).strftime("%Y-%m-%d %H:%M UTC")
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

/// A field in which two records differ; `None` where one does not have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The field, by its path, such as `recipe.finetune.learning_rate`.
    pub field: String,
    /// In the first.
    pub first: Option<Value>,
    /// In the second.
    pub second: Option<Value>,
}

impl Difference {
    /// The first part of the field's path.
    pub fn root(&self) -> &str {
        self.field.split('.').next().unwrap_or_default()
    }
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
        // what only one of them has is shown field by field, too
        let empty = Value::Object(Map::new());
        let fields = [first, second].map(|value| value.unwrap_or(&empty).as_object());
        match (fields[0], fields[1]) {
            _ if first == second => {}
            (Some(one), Some(other)) if one.len() + other.len() > 0 => {
                for (name, value) in one {
                    compare(&below(name), Some(value), other.get(name), found);
                }
                for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
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
    fn only_what_differs_is_listed() {
        let one = json!({"a": {"x": 1, "y": [1, 2]}, "b": "same"});
        let other = json!({"a": {"x": 1, "y": [1, 3]}, "b": "same", "c": {"z": null}});
        let found = differences(&one, &other);
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["a.y: [1,2] → [1,3]", "c.z: – → null"]);
        assert_eq!(found[0].root(), "a");
        assert!(differences(&one, &one).is_empty());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| Times::new(UNIX_EPOCH + Duration::from_secs(seconds), 0.0).started;
        // date -u -d @SECONDS
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_795_608_000), "2026-11-25 12:00 UTC");
    }
}
