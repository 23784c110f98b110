//! Which files a path means: a file, a folder with one data set, the shards of one, or a split of several.

use crate::error::{Error, Result, Word};
use crate::files::read_text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const HINT: &str = "give a file (.jsonl, .json, .csv, .tsv, .parquet, .arrow, also .gz; .txt), a folder with one, a folder that Hugging Face `datasets` saved, or `folder:split`";

/// The files of a data set, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// For messages: the file, or what was asked for where there are several.
    pub path: PathBuf,
    /// For ids: the file's name without its ending, or the names of folder and split.
    pub name: String,
    pub files: Vec<PathBuf>,
}

impl Source {
    pub fn find(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return folder(path, path, None);
        }
        if path.exists() {
            return Ok(Self::file(path));
        }
        let text = path.to_string_lossy();
        match text.rsplit_once(':') {
            Some((before, split)) if !split.contains(['/', '\\']) && Path::new(before).is_dir() => {
                folder(path, Path::new(before), Some(split))
            }
            Some((before, split)) if Path::new(before).is_file() => Err(Error::file(
                before,
                format!("is one file and has no splits; leave `:{split}` out"),
            )),
            _ => Err(Error::missing("data set", path, HINT)),
        }
    }

    pub fn file(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            name: stem(path).to_string(),
            files: vec![path.to_path_buf()],
        }
    }
}

/// Formats by their endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Json,
    Separated(u8),
    /// Arrow and parquet, which say themselves what they are.
    Columns,
}

/// The format that a name's ending promises, under a `.gz` too.
pub(super) fn format(path: &Path) -> Option<Format> {
    // in whatever encoding: a file that cannot be used is named, not passed over
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    Some(match name.rsplit_once('.')?.1 {
        "jsonl" | "ndjson" => Format::JsonLines,
        "json" => Format::Json,
        "csv" => Format::Separated(b','),
        "tsv" => Format::Separated(b'\t'),
        "parquet" | "arrow" | "feather" => Format::Columns,
        _ => return None,
    })
}

/// Whether a name says that the file is text and nothing more.
pub(super) fn is_plain_text(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt"))
}

/// A file's name without the endings of its format.
pub(super) fn stem(path: &Path) -> std::borrow::Cow<'_, str> {
    let stem = path.file_stem().unwrap_or_default();
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    match format(path) {
        Some(_) if packed => Path::new(stem).file_stem().unwrap_or_default(),
        _ => stem,
    }
    .to_string_lossy()
}

/// The data set in `folder`; `asked` is what the user wrote.
fn folder(asked: &Path, folder: &Path, split: Option<&str>) -> Result<Source> {
    if folder.join("dataset_dict.json").is_file() {
        return saved_splits(asked, folder, split);
    }
    if folder.join("state.json").is_file() {
        return saved(asked, folder, split);
    }
    let groups = groups(folder)?;
    if groups.is_empty() {
        let below = folder.join("data");
        // as data sets lie on the hub
        return if below.is_dir() {
            self::folder(asked, &below, split)
        } else {
            Err(Error::missing("data file", folder, HINT))
        };
    }
    let chosen = match split {
        // a cached data set calls its files `name-split.arrow`
        Some(split) => groups.iter().find(|(name, _)| {
            *name == split || name.strip_suffix(split).is_some_and(|n| n.ends_with('-'))
        }),
        None if groups.len() == 1 => groups.iter().next(),
        None => None,
    };
    let Some((name, files)) = chosen else {
        let names: Vec<String> = groups
            .iter()
            .map(|(name, files)| match &files[..] {
                [file] => Word(name_of(file)).to_string(),
                _ => format!("{} ({} files)", Word(name), files.len()),
            })
            .collect();
        let what = match split {
            Some(split) => format!("has no data set called {split:?}, but {}", names.join(", ")),
            None => format!("has {} data sets: {}", names.len(), names.join(", ")),
        };
        let example = groups.keys().next().map_or("", String::as_str);
        return Err(Error::file(
            folder,
            format!("{what}; name one of them, such as {}:{example}", folder.display()),
        ));
    };
    check_shards(folder, files)?;
    Ok(match &files[..] {
        [file] if shard(&stem(file)).is_none() => Source::file(file),
        _ => Source { path: asked.to_path_buf(), name: name.clone(), files: files.clone() },
    })
}

/// The data files of a folder, shards of one data set together.
fn groups(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    const NOTES: [&str; 2] = ["dataset_info.json", "dataset_infos.json"];
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("listing the folder", folder))? {
        let file = entry.map_err(Error::io("listing the folder", folder))?.path();
        let name = name_of(&file);
        // `datasets` leaves the results of its maps behind
        let cache = name.starts_with("cache-") && name.ends_with(".arrow");
        let hidden = name.starts_with('.');
        if let Some(format) = format(&file)
            && file.is_file()
            && !(cache || hidden || NOTES.contains(&name.as_str()))
        {
            files.push((file, format));
        }
    }
    // A .json file may as well describe the data beside it.
    if files.iter().any(|(_, format)| *format != Format::Json) {
        files.retain(|(_, format)| *format != Format::Json);
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (file, format) in files {
        let stem = stem_of(&file);
        // the hub's own copies are called 0000.parquet, 0001.parquet, …
        let numbered = format == Format::Columns && stem.bytes().all(|b| b.is_ascii_digit());
        let name = match shard(&stem) {
            Some((name, ..)) => name.to_string(),
            None if numbered => name_of(folder),
            // one name in two formats is two data sets
            None if groups.contains_key(&stem) => name_of(&file),
            None => stem,
        };
        groups.entry(name).or_default().push(file);
    }
    Ok(groups)
}

fn stem_of(file: &Path) -> String {
    stem(file).into_owned()
}

/// `train-00001-of-00004` as its name, number and count.
fn shard(stem: &str) -> Option<(&str, usize, usize)> {
    let (before, count) = stem.rsplit_once("-of-")?;
    let (name, number) = before.rsplit_once('-')?;
    Some((name, number.parse().ok()?, count.parse().ok()?))
}

/// Every shard that the names promise is there.
fn check_shards(folder: &Path, files: &[PathBuf]) -> Result<()> {
    let stems: Vec<String> = files.iter().map(|file| stem_of(file)).collect();
    let shards: Vec<_> = stems.iter().filter_map(|stem| shard(stem)).collect();
    let Some((name, _, count)) = shards.first() else {
        return Ok(());
    };
    if let Some((_, _, other)) = shards.iter().find(|(.., other)| other != count) {
        let problem = format!("has shards of {name} in {count} and in {other} parts; keep one");
        return Err(Error::file(folder, problem));
    }
    match (0..*count).find(|at| shards.iter().all(|(_, number, _)| number != at)) {
        Some(lost) => Err(Error::missing(
            format!("shard {lost} of {count} of {name}"),
            folder,
            "copy or download it, too",
        )),
        None => Ok(()),
    }
}

/// A folder of splits that `datasets` saved.
fn saved_splits(asked: &Path, folder: &Path, split: Option<&str>) -> Result<Source> {
    let file = folder.join("dataset_dict.json");
    let splits: Vec<String> = match &json(&file)?["splits"] {
        Value::Array(names) => {
            names.iter().filter_map(|name| Some(name.as_str()?.to_string())).collect()
        }
        _ => Vec::new(),
    };
    let chosen = match split {
        Some(split) => splits.iter().find(|name| *name == split),
        None => splits.first().filter(|_| splits.len() == 1),
    };
    let Some(chosen) = chosen else {
        let names = splits.join(", ");
        let Some(first) = splits.first() else {
            return Err(Error::file(file, "names no splits; save the data set again"));
        };
        let what = match split {
            Some(split) => format!("has no split {split:?}, but {names}"),
            None => format!("has the splits {names}"),
        };
        let way = format!("name one of them, such as {}:{first}", folder.display());
        return Err(Error::file(folder, format!("{what}; {way}")));
    };
    let below = folder.join(chosen);
    if !below.is_dir() {
        return Err(Error::missing(
            format!("split {chosen}"),
            below,
            "dataset_dict.json names it; copy or save the data set again",
        ));
    }
    let mut source = saved(asked, &below, None)?;
    source.name = format!("{}-{chosen}", name_of(folder));
    Ok(source)
}

/// One split that `datasets` saved: `state.json` lists its files.
fn saved(asked: &Path, folder: &Path, split: Option<&str>) -> Result<Source> {
    let path = folder.join("state.json");
    if !path.is_file() {
        let hint = "the folder was not saved whole; copy or save the data set again";
        return Err(Error::missing("state.json", folder, hint));
    }
    let state = json(&path)?;
    if let Some(split) = split.filter(|split| state["_split"] != **split) {
        let problem = format!("is one data set without splits; leave `:{split}` out");
        return Err(Error::file(folder, problem));
    }
    // Versions before 1.6 kept selected rows as numbers beside the whole data.
    let selected =
        |key: &str| !matches!(&state[key], Value::Null) && state[key] != Value::Array(vec![]);
    if selected("_indices_data_files") || selected("_indices_files") {
        let problem = "holds a selection of rows beside its data; save it with a newer `datasets`, or after flatten_indices()";
        return Err(Error::file(folder, problem));
    }
    let mut files = Vec::new();
    for entry in state["_data_files"].as_array().into_iter().flatten() {
        let named = entry["filename"].as_str().unwrap_or_default();
        let inside = Path::new(named).file_name() == Some(OsStr::new(named));
        if !inside {
            let problem = format!("names {named:?}, which is no file of this folder");
            return Err(Error::file(path, problem));
        }
        let file = folder.join(named);
        if !file.is_file() {
            return Err(Error::missing(
                "data file",
                file,
                "state.json names it; copy or save the data set again",
            ));
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(Error::file(path, "names no data files; save the data set again"));
    }
    Ok(Source { path: asked.to_path_buf(), name: name_of(folder), files })
}

fn json(path: &Path) -> Result<Value> {
    let text = read_text(path, "reading")?;
    serde_json::from_str(&text).map_err(|error| Error::file(path, format!("is no JSON ({error})")))
}

/// The last part of a path as text.
fn name_of(path: &Path) -> String {
    let last = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    last(path).or_else(|| last(&path.canonicalize().ok()?)).unwrap_or_else(|| "data".to_string())
}
