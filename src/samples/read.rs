//! Sample files read back: ours, and those of lm-evaluation-harness.

use crate::dataset;
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What [`read`] takes of each row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measure {
    /// The measure's name, such as `exact_match` or `skill`; without one, the first that a row names.
    pub name: Option<String>,
    /// The filter, of files with several rows for one item.
    pub filter: Option<String>,
}

/// The value of each item of a sample file, by the item's number.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// The file.
    pub path: PathBuf,
    /// `doc_id` → the item's hash and its value, a share between 0 and 1.
    pub items: BTreeMap<u64, (String, f64)>,
}

/// Reads a file of samples.
///
/// # Errors
/// Names file and line of a row that is no sample or has no such measure, and says which measures and filters there are.
pub fn read(path: &Path, measure: &Measure) -> Result<Samples> {
    let mut items = BTreeMap::new();
    let mut filters: Vec<String> = Vec::new();
    for dataset::Row { number, fields: row } in dataset::rows(path)? {
        let bad = |problem: String| Error::row(path, number, problem);
        let filter = row.get("filter").and_then(Value::as_str).unwrap_or_default();
        if !filters.iter().any(|known| known == filter) {
            filters.push(filter.to_owned());
        }
        if measure.filter.as_deref().is_some_and(|wanted| wanted != filter) {
            continue;
        }
        let id = row.get("doc_id").and_then(Value::as_u64).ok_or_else(|| {
            bad("has no number `doc_id`; give a samples file of `unforget evaluate --out` or of lm-evaluation-harness".into())
        })?;
        let hash = row.get("doc_hash").and_then(Value::as_str).unwrap_or_default();
        let value = value(&row, measure.name.as_deref()).map_err(bad)?;
        if items.insert(id, (hash.to_owned(), value)).is_some() {
            let problem = match filters.len() {
                1 => format!("item {id} is there twice"),
                _ => format!(
                    "item {id} is there for several filters; choose one with --filter: {}",
                    filters.join(", ")
                ),
            };
            return Err(bad(problem));
        }
    }
    if items.is_empty() {
        let problem = match &measure.filter {
            Some(filter) => {
                format!("holds no sample of the filter `{filter}`; it has: {}", filters.join(", "))
            }
            None => "holds no sample".into(),
        };
        return Err(Error::file(path, problem));
    }
    Ok(Samples { path: path.to_path_buf(), items })
}

/// The row's value of a measure: true and false count as 1 and 0.
fn value(row: &Map<String, Value>, name: Option<&str>) -> std::result::Result<f64, String> {
    let named = row.get("metrics").and_then(Value::as_array);
    let named: Vec<&str> = named.into_iter().flatten().filter_map(Value::as_str).collect();
    let known = || match named.is_empty() {
        true => "the row does not list its measures".to_owned(),
        false => format!("it has: {}", named.join(", ")),
    };
    let Some(name) = name.or(named.first().copied()) else {
        return Err("does not list its measures under `metrics`; name one with --measure".into());
    };
    let found = match row.get(name) {
        Some(Value::Bool(yes)) => f64::from(u8::from(*yes)),
        Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
        Some(_) => return Err(format!("`{name}` is no single number; {}", known())),
        None => return Err(format!("has no measure `{name}`; {}", known())),
    };
    match (0.0..=1.0).contains(&found) {
        true => Ok(found),
        false => Err(format!("`{name}` is {found}; shares between 0 and 1 can be compared")),
    }
}

/// The values of two files' items side by side, one line each, in the order of their numbers.
///
/// # Errors
/// The files do not hold the same items.
pub fn beside(first: &Samples, second: &Samples) -> Result<[Vec<f64>; 2]> {
    let problem = |problem: String| Error::file(&second.path, problem);
    let shared = first.items.keys().filter(|id| second.items.contains_key(id)).count();
    let (one, two) = (first.items.len(), second.items.len());
    if shared < one || shared < two {
        return Err(problem(format!(
            "holds {two} items, {} holds {one}, and {shared} of them have the same number; evaluate both models on the same items",
            first.path.display()
        )));
    }
    let mut values = [Vec::with_capacity(one), Vec::with_capacity(one)];
    for ((id, (hash, value)), (other_hash, other)) in first.items.iter().zip(second.items.values())
    {
        if hash != other_hash {
            return Err(problem(format!(
                "item {id} is another one than in {}",
                first.path.display()
            )));
        }
        values[0].push(*value);
        values[1].push(*other);
    }
    Ok(values)
}

/// The sample files of a folder by task, of each task the newest; `path` may be such a file itself, the folder that holds them, or the
/// folder above it.
///
/// # Errors
/// There is none, or there are those of several models.
pub fn files(path: &Path) -> Result<BTreeMap<String, PathBuf>> {
    if path.is_file() {
        return Ok(BTreeMap::from([(task(path).unwrap_or_default(), path.to_path_buf())]));
    }
    let here = in_folder(path)?;
    if !here.is_empty() {
        return Ok(here);
    }
    let mut below = Vec::new();
    for folder in entries(path)?.into_iter().filter(|entry| entry.is_dir()) {
        let found = in_folder(&folder)?;
        if !found.is_empty() {
            below.push((folder, found));
        }
    }
    match below.len() {
        0 => Err(Error::missing(
            "samples_<task>_<date>.jsonl",
            path,
            "`unforget evaluate --out FOLDER` writes them",
        )),
        1 => Ok(below.remove(0).1),
        _ => {
            let names: Vec<String> =
                below.iter().map(|(folder, _)| folder.display().to_string()).collect();
            Err(Error::file(
                path,
                format!("holds samples of several models; name one: {}", names.join(", ")),
            ))
        }
    }
}

fn in_folder(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    // In the order of names, which end in the date: a later one takes an earlier one's place.
    let named = entries(folder)?.into_iter().filter_map(|file| Some((task(&file)?, file)));
    Ok(named.collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Err(Error::missing(
            "samples",
            folder,
            "give a samples file of `unforget evaluate --out`, or its folder",
        ));
    }
    let read = std::fs::read_dir(folder).map_err(Error::io("reading the folder", folder))?;
    let paths: std::io::Result<Vec<PathBuf>> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(Error::io("reading the folder", folder))?;
    paths.sort();
    Ok(paths)
}

/// `samples_<task>_<date>.jsonl`
fn task(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let rest = name.strip_prefix("samples_")?.strip_suffix(".jsonl")?;
    Some(rest.rsplit_once('_').map_or(rest, |(task, _)| task).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, rows: &[&str]) -> PathBuf {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, rows.join("\n")).unwrap();
        path
    }

    const RIGHT: &str = r#"{"doc_id": 0, "doc_hash": "a", "filter": "unforget", "metrics": ["exact_match", "skill"], "exact_match": 1.0, "skill": true}"#;
    const WRONG: &str = r#"{"doc_id": 1, "doc_hash": "b", "filter": "unforget", "metrics": ["exact_match", "skill"], "exact_match": 0, "skill": true}"#;

    fn refused(path: &Path, measure: &Measure, part: &str) {
        let error = read(path, measure).unwrap_err().to_string();
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }

    #[test]
    fn values_are_those_of_the_named_measure() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "x.jsonl", &[WRONG, "", RIGHT]);
        let of = |name: Option<&str>| -> Vec<f64> {
            let measure = Measure { name: name.map(str::to_owned), filter: None };
            read(&path, &measure).unwrap().items.values().map(|(_, value)| *value).collect()
        };
        assert_eq!((of(None), of(Some("skill"))), (vec![1.0, 0.0], vec![1.0, 1.0]));
        let measure = |name: &str| Measure { name: Some(name.into()), filter: None };
        refused(
            &path,
            &measure("f1"),
            "x.jsonl:1: has no measure `f1`; it has: exact_match, skill",
        );
        refused(&path, &measure("doc_hash"), "no single number");
    }

    #[test]
    fn of_several_filters_one_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let strict =
            WRONG.replace("\"unforget\"", "\"strict\"").replace("\"doc_id\": 1", "\"doc_id\": 0");
        let path = file(folder.path(), "x.jsonl", &[RIGHT, &strict]);
        refused(&path, &Measure::default(), "--filter: unforget, strict");
        let measure = |filter: &str| Measure { name: None, filter: Some(filter.into()) };
        assert_eq!(read(&path, &measure("strict")).unwrap().items[&0].1, 0.0);
        refused(&path, &measure("loose"), "it has: unforget, strict");
    }

    #[test]
    fn only_the_same_items_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, rows: &[&str]| {
            read(&file(folder.path(), name, rows), &Measure::default()).unwrap()
        };
        let both = of("both", &[RIGHT, WRONG]);
        assert_eq!(beside(&both, &both).unwrap(), [vec![1.0, 0.0], vec![1.0, 0.0]]);
        let fewer = beside(&both, &of("one", &[RIGHT])).unwrap_err().to_string();
        assert!(fewer.contains("holds 1 items"), "{fewer}");
        let other = of("other", &[RIGHT, &WRONG.replace("\"b\"", "\"c\"")]);
        let other = beside(&both, &other).unwrap_err().to_string();
        assert!(other.contains("item 1 is another one"), "{other}");
    }

    #[test]
    fn the_newest_file_of_each_task_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let named = |name: &str| file(folder.path(), name, &[RIGHT]);
        named("a/samples_arc_easy_2026-01-01T00-00-00.000000.jsonl");
        let newer = named("a/samples_arc_easy_2026-01-02T00-00-00.000000.jsonl");
        named("a/results_2026-01-02T00-00-00.000000.json");
        let found = files(folder.path()).unwrap();
        assert_eq!(found, BTreeMap::from([("arc_easy".to_owned(), newer)]));
        named("b/samples_arc_easy_2026-01-01T00-00-00.000000.jsonl");
        assert!(files(folder.path()).unwrap_err().to_string().contains("several models"));
        assert!(files(&folder.path().join("none")).is_err());
    }
}
