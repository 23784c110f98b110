//! The files of the authors' published folder: where each lies, which columns it has, which bytes it was published with.
//!
//! A file that every copy has is `needed`; others are left out of light copies, and what depends on them cannot be computed there.
//!
//! A trap: the files write one thing in several ways. A grade is `true` in one log, `0.0` in another and `1` in a third; what a program wrote
//! through a table has whole numbers as `3.0` or as text, and nothing as null. [`Kind::read`] takes all of these and hands on one.

use super::fact::Facts;
use crate::dataset::{self, Row};
use crate::error::{Error, Result};
use crate::store::bytes_hash;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One file of the folder.
pub(super) struct File {
    place: Place,
    columns: &'static [(&'static str, Kind)],
    /// Rows of the published file.
    rows: usize,
    /// First 16 hex digits of the published file's SHA-256; none where the file was not seen.
    sha256: Option<&'static str>,
    /// Whether a copy without it is not whole.
    needed: bool,
}

/// Where a file lies below the folder.
enum Place {
    At(&'static str),
    /// The first file of this folder, by name, that has all these parts in its name.
    In(&'static str, &'static [&'static str]),
    /// All such files, one after the other.
    All(&'static str, &'static [&'static str]),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Whole,
    Flag,
    Texts,
    Wholes,
    Numbers,
    /// A list of objects with these two texts: who speaks and what.
    Turns(&'static str, &'static str),
    /// A list of objects.
    Objects,
    Object,
    List,
}
use Kind::{Flag, List, Numbers, Object, Objects, Text, Texts, Turns, Whole, Wholes};
use Place::{All, At, In};

const CONVERSATION: Kind = Turns("from", "value");
const MESSAGES: &[(&str, Kind)] = &[("conversations", Turns("role", "content"))];
const MBPP: &[(&str, Kind)] = &[
    ("task_id", Whole),
    ("text", Text),
    ("code", Text),
    ("test_list", Texts),
    ("conversations", CONVERSATION),
    ("test", Text),
];
const MATH: &[(&str, Kind)] = &[
    ("problem", Text),
    ("level", Text),
    ("type", Text),
    ("solution", Text),
    ("conversations", CONVERSATION),
];
const ARC: &[(&str, Kind)] =
    &[("id", Text), ("question", Text), ("choices", Object), ("answerKey", Text)];
const POOL: &[(&str, Kind)] =
    &[("instruction", Text), ("accept", Objects), ("rejection", List), ("row_id", Whole)];
const LOG: &[(&str, Kind)] =
    &[("id", Whole), ("prompt", Text), ("generation", Text), ("passed", Flag)];

const fn file(
    place: Place,
    columns: &'static [(&'static str, Kind)],
    rows: usize,
    sha256: &'static str,
) -> File {
    File { place, columns, rows, sha256: Some(sha256), needed: true }
}

const fn rare(place: Place, columns: &'static [(&'static str, Kind)], rows: usize) -> File {
    File { place, columns, rows, sha256: None, needed: false }
}

/// MBPP's ground truth with token perplexities.
pub(super) static STM: File = file(
    At("dataset/stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp/data-00000-of-00001.arrow"),
    &[
        ("task_id", Whole),
        ("text", Text),
        ("code", Text),
        ("conversations", CONVERSATION),
        ("ppl", Numbers),
    ],
    374,
    "1bacd689adb0bd02",
);
/// The same with token ids.
pub(super) static STM_IDS: File = file(
    At("dataset/stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp/cache-322c25a34199de5b.arrow"),
    &[
        ("task_id", Whole),
        ("text", Text),
        ("ppl", Numbers),
        ("input_ids", Wholes),
        ("attention_mask", Wholes),
    ],
    374,
    "41af3b6287d1d512",
);
pub(super) static MBPP_TRAIN: File = file(
    At("dataset/ground_truth/mbpp/train/data-00000-of-00001.arrow"),
    MBPP,
    374,
    "a2e883491af7b5ba",
);
pub(super) static MBPP_VALIDATION: File = file(
    At("dataset/ground_truth/mbpp/validation/data-00000-of-00001.arrow"),
    MBPP,
    90,
    "234555bc67da6b6f",
);
pub(super) static MBPP_TEST: File =
    rare(At("dataset/ground_truth/mbpp/test/data-00000-of-00001.arrow"), MBPP, 378);
pub(super) static MATH_TRAIN: File =
    rare(At("dataset/ground_truth/math/train/data-00000-of-00001.arrow"), MATH, 6766);
pub(super) static MATH_VALIDATION: File = file(
    At("dataset/ground_truth/math/validation/data-00000-of-00001.arrow"),
    MATH,
    734,
    "9ce691aa08e145ca",
);
pub(super) static MATH_TEST: File = file(
    At("dataset/ground_truth/math/test/data-00000-of-00001.arrow"),
    MATH,
    1000,
    "3641251629bdd7a8",
);
pub(super) static GSM8K: File = file(
    At("dataset/ground_truth/gsm8k/data-00000-of-00001.arrow"),
    &[("conversations", CONVERSATION), ("question", Text), ("answer", Text)],
    747,
    "dffd1ef1141cd71f",
);
pub(super) static ARC_TRAIN: File = file(
    At("dataset/ground_truth/arc_challenge/train/data-00000-of-00001.arrow"),
    ARC,
    1119,
    "c668ddb6ddc7fa27",
);
pub(super) static ARC_VALIDATION: File = file(
    At("dataset/ground_truth/arc_challenge/validation/data-00000-of-00001.arrow"),
    ARC,
    299,
    "186663673300e11d",
);
pub(super) static ARC_TEST: File = file(
    At("dataset/ground_truth/arc_challenge/test/data-00000-of-00001.arrow"),
    ARC,
    1172,
    "8a7f81e3d85713fc",
);
pub(super) static SELF_OUTPUT_TRAIN: File = file(
    At(
        "dataset/self-output/mbpp/meta-llama-meta-llama-3-8b-instruct-lowest-ppl/train/data-00000-of-00001.arrow",
    ),
    MESSAGES,
    312,
    "f4da65b1635243e7",
);
pub(super) static SELF_OUTPUT_VALIDATION: File = file(
    At(
        "dataset/self-output/mbpp/meta-llama-meta-llama-3-8b-instruct-lowest-ppl/validation/data-00000-of-00001.arrow",
    ),
    MESSAGES,
    71,
    "82026247e02ad82c",
);
pub(super) static REPHRASE_TRAIN: File = file(
    At(
        "dataset/rephrase/mbpp/meta-llama-meta-llama-3-8b-instruct-lowest-ppl/train/data-00000-of-00001.arrow",
    ),
    MESSAGES,
    325,
    "70adaeeeb5811e4a",
);
pub(super) static REPHRASE_VALIDATION: File = file(
    At(
        "dataset/rephrase/mbpp/meta-llama-meta-llama-3-8b-instruct-lowest-ppl/validation/data-00000-of-00001.arrow",
    ),
    MESSAGES,
    78,
    "29fee12c5854f598",
);
pub(super) static REPHRASE_POOL_TRAIN: File = file(
    In("dataset/rephrase", &["sample_train_t_0.7_1_wrejppl", ".jsonl"]),
    POOL,
    325,
    "8b27627394a6435e",
);
pub(super) static REPHRASE_POOL_VALIDATION: File = file(
    In("dataset/rephrase", &["sample_validation_t_0.7_1_wrejppl", ".jsonl"]),
    POOL,
    78,
    "610213beb9d635b5",
);
pub(super) static SELF_OUTPUT_POOL_VALIDATION: File =
    rare(In("dataset/self-output", &["sample_validation_t_0.7_32_wrejppl", ".jsonl"]), POOL, 71);
pub(super) static MBPP_LOG: File = file(
    In("logging/mbpp-test", &[".jsonl"]),
    &[
        ("id", Whole),
        ("prompt", Text),
        ("generation", Text),
        ("passed", Flag),
        ("final_output", Object),
    ],
    92,
    "ebf9d63dc90f2724",
);
pub(super) static MATH_LOG: File = rare(All("logging/math-test", &[".jsonl"]), LOG, 8);
pub(super) static GSM8K_LOG: File = rare(All("logging/gsm8k-test", &[".jsonl"]), LOG, 6);
/// The three tables of raw results have their columns in `raw_digits`.
pub(super) static TRUTH_CSV: File =
    file(At("raw_digits/ground truth finetune.csv"), &[], 28, "95223a04a263162f");
pub(super) static MASKS_CSV: File =
    file(At("raw_digits/rho-sft.csv"), &[], 137, "bb729e476d7bb6b3");
pub(super) static SAMPLES_CSV: File =
    file(At("raw_digits/self-output.csv"), &[], 272, "f099f8c2360f012c");

/// Every file that an audit knows.
static FILES: [&File; 25] = [
    &STM,
    &STM_IDS,
    &MBPP_TRAIN,
    &MBPP_VALIDATION,
    &MBPP_TEST,
    &MATH_TRAIN,
    &MATH_VALIDATION,
    &MATH_TEST,
    &GSM8K,
    &ARC_TRAIN,
    &ARC_VALIDATION,
    &ARC_TEST,
    &SELF_OUTPUT_TRAIN,
    &SELF_OUTPUT_VALIDATION,
    &REPHRASE_TRAIN,
    &REPHRASE_VALIDATION,
    &REPHRASE_POOL_TRAIN,
    &REPHRASE_POOL_VALIDATION,
    &SELF_OUTPUT_POOL_VALIDATION,
    &MBPP_LOG,
    &MATH_LOG,
    &GSM8K_LOG,
    &TRUTH_CSV,
    &MASKS_CSV,
    &SAMPLES_CSV,
];

impl File {
    /// Its name for people: where it lies below the folder.
    pub fn name(&self) -> String {
        match self.place {
            At(path) => path.to_string(),
            In(folder, parts) | All(folder, parts) => format!("{folder}/*{}", parts.join("*")),
        }
    }

    /// As [`Self::name`], with the row at which to look.
    pub fn row(&self, row: impl std::fmt::Display) -> String {
        format!("{}, {row}", self.name())
    }
}

/// A copy of the authors' published folder.
#[derive(Debug)]
pub(super) struct Copy {
    root: PathBuf,
}

const WAY_OUT: &str = "copy or download the authors' published folder again, whole";

/// Records of a table of text: line numbers from 1, and fields.
pub type Records = Vec<(usize, Vec<String>)>;

impl Copy {
    /// # Errors
    /// `root` is not there, or holds neither `dataset` nor `raw_digits`.
    pub fn open(root: &Path) -> Result<Self> {
        let known = ["dataset", "raw_digits", "logging"];
        if !known.iter().any(|name| root.join(name).is_dir()) {
            return Err(Error::missing(
                "copy of the authors' published folder",
                root,
                "give the folder that holds `dataset`, `raw_digits` and `logging`",
            ));
        }
        Ok(Self { root: root.to_path_buf() })
    }

    /// Where `file` lies; `None` if it is not there and need not be.
    ///
    /// # Errors
    /// A needed file is not there.
    pub fn find(&self, file: &File) -> Result<Option<PathBuf>> {
        Ok(self.all(file)?.into_iter().next())
    }

    /// The files that are read for `file`, one but for [`Place::All`].
    fn all(&self, file: &File) -> Result<Vec<PathBuf>> {
        let mut found = match file.place {
            At(path) => Vec::from_iter(Some(self.root.join(path)).filter(|path| path.is_file())),
            In(folder, parts) | All(folder, parts) => self.named(&self.root.join(folder), parts)?,
        };
        if !matches!(file.place, All(..)) {
            found.truncate(1);
        }
        match found.is_empty() && file.needed {
            true => {
                let path = self.root.join(file.name());
                Err(Error::missing("such file", path, WAY_OUT))
            }
            false => Ok(found),
        }
    }

    fn named(&self, folder: &Path, parts: &[&str]) -> Result<Vec<PathBuf>> {
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io("listing the folder", folder))? {
            let path = entry.map_err(Error::io("listing the folder", folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() && parts.iter().all(|part| name.contains(part)) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The rows of `file`, each with the columns that it is to have, as [`Kind::read`] gives them; `None` if the file is not there and need not
    /// be.
    ///
    /// # Errors
    /// A needed file is not there, or a file is not whole, has no rows or rows of another schema.
    pub fn rows(&self, file: &File) -> Result<Option<Vec<Row>>> {
        let mut all = Vec::new();
        for path in self.all(file)? {
            let mut rows = dataset::rows(&path)?;
            if rows.is_empty() {
                return Err(Error::file(path, format!("holds no rows; {WAY_OUT}")));
            }
            for (column, kind) in file.columns {
                let nothing = |row: &Row| row.fields.get(*column).is_none_or(Value::is_null);
                // a log in which nothing is graded is a log
                if *kind != Flag && rows.iter().all(nothing) {
                    let problem = format!("has nothing in the column {column}; {WAY_OUT}");
                    return Err(Error::file(path, problem));
                }
                for row in &mut rows {
                    let value = row.fields.get(*column).unwrap_or(&Value::Null);
                    let Some(read) = kind.read(value) else {
                        let problem = format!(
                            "expected {} in the column {column}, found {}; if the authors' file says so, please report it, else {WAY_OUT}; \
                             --only leaves out the parts that read it",
                            kind.words(),
                            shown(value)
                        );
                        return Err(Error::row(&path, row.number, problem));
                    };
                    row.fields.insert((*column).to_owned(), read);
                }
            }
            all.append(&mut rows);
        }
        Ok((!all.is_empty()).then_some(all))
    }

    /// As [`Self::rows`] of a file that is needed.
    pub fn needed(&self, file: &File) -> Result<Vec<Row>> {
        match self.rows(file)? {
            Some(rows) => Ok(rows),
            None => {
                let path = self.root.join(file.name());
                Err(Error::missing("such file", path, WAY_OUT))
            }
        }
    }

    /// Its path, and the records of a table of text, the first of which names the columns.
    ///
    /// # Errors
    /// The file is not there or is no such table.
    pub fn table(&self, file: &File) -> Result<(PathBuf, Records)> {
        let path = self.find(file)?.unwrap_or_else(|| self.root.join(file.name()));
        let records = dataset::records(&path)?;
        Ok((path, records))
    }
}

impl Kind {
    fn words(self) -> String {
        match self {
            Text => "a text".into(),
            Whole => "a whole number".into(),
            Flag => "true or false, or 1 or 0".into(),
            Texts => "a list of texts".into(),
            Wholes => "a list of whole numbers".into(),
            Numbers => "a list of numbers".into(),
            Turns(who, what) => format!("two or more turns with {who} and {what}"),
            Objects => "a list of objects".into(),
            Object => "an object".into(),
            List => "a list".into(),
        }
    }

    /// The value as the audit reads it, whatever way of writing it the file has; `None` where it is something else.
    ///
    /// Null is an empty text, list or object, and no grade; a number has to be there.
    fn read(self, value: &Value) -> Option<Value> {
        let list = |one: fn(&Value) -> Option<Value>| -> Option<Value> {
            match &unpacked(value) {
                Value::Null => Some(Value::Array(Vec::new())),
                Value::Array(values) => values.iter().map(one).collect(),
                _ => None,
            }
        };
        match self {
            Text => match value {
                Value::Null => Some("".into()),
                Value::String(_) => Some(value.clone()),
                Value::Number(number) => Some(number.to_string().into()),
                _ => None,
            },
            Whole => whole_of(value).map(Value::from),
            Flag => match value {
                Value::Null => Some(Value::Null),
                _ => flag_of(value).map(Value::from),
            },
            Texts => list(|value| Text.read(value)),
            Wholes => list(|value| Whole.read(value)),
            Numbers => list(|value| number_of(value).map(Value::from)),
            Turns(who, what) => match unpacked(value) {
                Value::Array(turns) => (turns.len() >= 2
                    && turns.iter().all(|turn| turn[who].is_string() && turn[what].is_string()))
                .then_some(Value::Array(turns)),
                _ => None,
            },
            Objects => list(|value| value.is_object().then(|| value.clone())),
            Object => match unpacked(value) {
                Value::Null => Some(Value::Object(serde_json::Map::new())),
                object => object.is_object().then_some(object),
            },
            List => list(|value| Some(value.clone())),
        }
    }
}

/// A list or object that is written as a text, else the value itself.
fn unpacked(value: &Value) -> Value {
    let packed = value.as_str().filter(|text| text.trim_start().starts_with(['[', '{']));
    packed.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

/// A number, also one that is written as a text.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        other => other.as_f64(),
    }
}

/// A whole number of at least 0: `3`, `3.0`, `"3"`.
pub(super) fn whole_of(value: &Value) -> Option<u64> {
    /// Up to here every whole number is one of double precision.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let text = value.as_str().and_then(|text| text.trim().parse().ok());
        let number = number_of(value).filter(|x| x.fract() == 0.0 && (0.0..=EXACT).contains(x));
        text.or(number.map(|x| x as u64))
    })
}

/// A truth value: `true`, `1`, `1.0`, `"True"`, `"1.0"`, and their opposites. A share between 0 and 1 is none.
pub(super) fn flag_of(value: &Value) -> Option<bool> {
    if let Some(flag) = value.as_bool() {
        return Some(flag);
    }
    let word = value.as_str().map(|text| text.trim().to_lowercase());
    match (word.as_deref(), number_of(value)) {
        (Some("true"), _) | (_, Some(1.0)) => Some(true),
        (Some("false"), _) | (_, Some(0.0)) => Some(false),
        _ => None,
    }
}

/// The beginning of a value, for a message.
fn shown(value: &Value) -> String {
    const SHOWN: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The text in a column that the schema promises.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.fields.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// The number in a column that the schema promises.
pub(super) fn whole(row: &Row, column: &str) -> u64 {
    row.fields.get(column).and_then(Value::as_u64).unwrap_or_default()
}

/// The number of a task of MBPP: 20, or `Mbpp/20` as MBPP+ writes it.
pub(super) fn task_number(value: &Value) -> Option<u64> {
    let number = value.as_str().and_then(|text| text.rsplit('/').next()?.parse().ok());
    whole_of(value).or(number)
}

/// The number of the task that a row of MBPP's log is about.
pub(super) fn task_of(row: &Row) -> Option<u64> {
    task_number(&row.fields["final_output"]["task_id"])
}

/// What the user and the assistant say, by either spelling of the turns.
pub(super) fn turns(row: &Row) -> (&str, &str) {
    let turn = |at: usize| {
        let turn = &row.fields["conversations"][at];
        turn["value"].as_str().or(turn["content"].as_str()).unwrap_or_default()
    };
    (turn(0), turn(1))
}

/// Every file: whether it is there, has its schema, and is the published one.
pub(super) fn audit(copy: &Copy, facts: &mut Facts) -> Result<()> {
    for file in FILES {
        let name = file.name();
        if copy.find(file)?.is_none() {
            facts
                .claim("rows", &name, "earlier count")
                .cannot(file.rows.to_string(), "the file is not in this copy");
            continue;
        }
        let rows = match file.columns.is_empty() {
            // without the line of names
            true => copy.table(file)?.1.len().saturating_sub(1),
            false => copy.rows(file)?.map_or(0, |rows| rows.len()),
        };
        facts.claim("rows", &name, "earlier count").count(file.rows, rows);
        let mut hashes = Vec::new();
        for path in copy.all(file)? {
            let bytes = std::fs::read(&path).map_err(Error::io("reading", &path))?;
            hashes.push(bytes_hash(&bytes)[..16].to_string());
        }
        let hash = hashes.join(", ");
        let claim =
            facts.claim("SHA-256, first 16 digits", &name, "published files, commit 5ea67bd");
        match file.sha256 {
            Some(expected) if expected == hash => claim.text(expected, hash),
            Some(expected) => claim
                .note("other bytes than the published file; what is said of it below is said of this copy")
                .text(expected, hash),
            None => claim.cannot(
                "not known",
                format!("begins with {hash}; the published file was not seen before"),
            ),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_thing_is_read_in_every_way_that_files_write_it() {
        let reads = |kind: Kind, ways: &[Value], one: Value| {
            for way in ways {
                assert_eq!(kind.read(way), Some(one.clone()), "{kind:?} of {way}");
            }
        };
        reads(
            Flag,
            &[json!(true), json!(1), json!(1.0), json!("True"), json!("true")],
            json!(true),
        );
        reads(Flag, &[json!("1"), json!(" 1.0 ")], json!(true));
        reads(Flag, &[json!(false), json!(0), json!(0.0), json!("False")], json!(false));
        reads(Flag, &[json!("0"), json!("0.0"), json!(-0.0)], json!(false));
        reads(Flag, &[Value::Null], Value::Null);
        reads(Whole, &[json!(12), json!(12.0), json!("12"), json!("12.0")], json!(12));
        reads(Whole, &[json!(u64::MAX), json!(u64::MAX.to_string())], json!(u64::MAX));
        reads(Text, &[json!("3"), json!(3)], json!("3"));
        reads(Text, &[json!(""), Value::Null], json!(""));
        reads(Texts, &[json!(["a", 2]), json!("[\"a\", 2]")], json!(["a", "2"]));
        reads(Wholes, &[json!([1, 2]), json!([1.0, "2"]), json!("[1, 2]")], json!([1, 2]));
        reads(
            Numbers,
            &[json!([1.5, 2.0]), json!(["1.5", 2]), json!("[1.5, 2]")],
            json!([1.5, 2.0]),
        );
        reads(Object, &[json!({"a": 1}), json!("{\"a\": 1}")], json!({"a": 1}));
        reads(Object, &[Value::Null, json!({})], json!({}));
        for kind in [Texts, Wholes, Numbers, Objects, List] {
            reads(kind, &[Value::Null, json!([]), json!("[]")], json!([]));
        }
        let turns = json!([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]);
        reads(CONVERSATION, &[turns.clone(), json!(turns.to_string())], turns.clone());
        for (kind, other) in [
            (Flag, json!(0.5)),
            (Flag, json!(2)),
            (Flag, json!("yes, mostly")),
            (Flag, json!([true])),
            (Whole, json!(1.5)),
            (Whole, json!(-1)),
            (Whole, json!("one")),
            (Whole, Value::Null),
            (Text, json!(["a"])),
            (Text, json!(true)),
            (Texts, json!("a")),
            (Wholes, json!([1.5])),
            (Numbers, json!(["a"])),
            (Numbers, json!([null])),
            (CONVERSATION, json!([{"from": "human", "value": "a"}])),
            (CONVERSATION, Value::Null),
            (Objects, json!(["a"])),
            (Object, json!("a")),
            (List, json!({"a": 1})),
        ] {
            assert_eq!(kind.read(&other), None, "{kind:?} of {other}");
        }
    }
}
