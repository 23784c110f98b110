//! A result as it lies on disk, found by its folder's name rather than by its inputs.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::manifest::{self, Manifest};
use super::{Fingerprint, INPUTS, RESULT, Store, disk};
use crate::error::{Error, Result};

/// Digits of a hash that are enough to name a result.
const SHORT: usize = 4;

/// A folder of the store that [`Entry::run`](super::Entry::run) made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    folder: PathBuf,
}

impl Store {
    /// The result that `name` means: its folder, or in this store `verb/label-hash`, or a short key, that is the beginning of either the
    /// label or the hash, alone or behind `verb/`.
    ///
    /// # Errors
    /// When there is none, or more than one; the message lists them.
    pub fn find(&self, name: &str) -> Result<StoredRun> {
        let folder = Path::new(name);
        for folder in [folder.to_path_buf(), self.root.join(folder)] {
            if folder.join(INPUTS).is_file() {
                return Ok(StoredRun { folder });
            }
        }
        let (verb, key) = match name.trim_end_matches('/').split_once('/') {
            Some((verb, key)) => (Some(verb), key),
            None => (None, name),
        };
        let mut found: Vec<(usize, PathBuf)> = Vec::new();
        for (kind, is) in self.list(&self.root)? {
            let named = kind.file_name().is_some_and(|own| verb.is_none_or(|verb| own == verb));
            if !is.is_dir() || !named {
                continue;
            }
            for (entry, _) in self.list(&kind)? {
                if let Some(rank) = rank(&entry, key).filter(|_| entry.join(INPUTS).is_file()) {
                    found.push((rank, entry));
                }
            }
        }
        let best = found.iter().map(|(rank, _)| *rank).min();
        found.retain(|(rank, _)| Some(*rank) == best);
        match found.len() {
            1 => Ok(StoredRun { folder: found.remove(0).1 }),
            0 if folder.is_dir() => Err(Error::file(
                folder,
                "is no run of a store: a run's folder holds inputs.json, as those under finetune/ and evaluate/ of the store do",
            )),
            0 => Err(Error::missing(
                format!("run `{name}`"),
                &self.root,
                "give its folder, verb/label-hash, or the beginning of its label or hash; --store names the store",
            )),
            count => {
                const SHOWN: usize = 8;
                let names: Vec<String> =
                    found.iter().take(SHOWN).map(|(_, folder)| short(folder)).collect();
                let more = if count > SHOWN { ", …" } else { "" };
                let problem =
                    format!("names {count} runs: {}{more}; give one of them", names.join(", "));
                Err(Error::invalid(format!("run `{name}`"), problem))
            }
        }
    }

    /// The finished result called `verb/label-hash`, if it is there and every file is as it was written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.is_whole(name)? {
            true => StoredRun { folder: self.root.join(name) }.result().map(Some),
            false => Ok(None),
        }
    }

    /// Whether the result called `verb/label-hash` is finished, and every file as it was written: they are read.
    pub(crate) fn is_whole(&self, name: &str) -> Result<bool> {
        let kept = StoredRun { folder: self.root.join(name) };
        Ok(self.is_finished(name) && kept.damaged()?.is_empty())
    }

    /// Whether the result called `verb/label-hash` is finished; its files are not looked at.
    pub(crate) fn is_finished(&self, name: &str) -> bool {
        self.root.join(name).join(RESULT).is_file()
    }

    fn list(&self, folder: &Path) -> Result<Vec<(PathBuf, std::fs::FileType)>> {
        if folder.is_dir() { disk::list(folder) } else { Ok(Vec::new()) }
    }
}

/// How well a folder fits a key: 0 is best; `None` if not at all.
fn rank(folder: &Path, key: &str) -> Option<usize> {
    let name = folder.file_name()?.to_str()?;
    let (label, hash) = name.rsplit_once('-').unwrap_or(("", name));
    if key == name {
        return Some(0);
    }
    if key == label && !key.is_empty() {
        return Some(1);
    }
    let begins = key.len() >= SHORT && hash.starts_with(key);
    (begins || !key.is_empty() && name.starts_with(key)).then_some(2)
}

/// `verb/label-hash`.
pub(super) fn short(folder: &Path) -> String {
    let name = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name).unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    format!("{}/{}", name(folder.parent()), name(Some(folder)))
}

impl StoredRun {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `verb/label-hash`.
    pub fn name(&self) -> String {
        short(&self.folder)
    }

    /// The verb that made it.
    pub fn verb(&self) -> String {
        self.name().split('/').next().unwrap_or_default().to_string()
    }

    /// Its inputs, as they lie there.
    ///
    /// # Errors
    /// When they cannot be read, or were changed since: their hash is in the folder's name.
    pub fn inputs(&self) -> Result<Fingerprint> {
        let path = self.folder.join(INPUTS);
        let inputs: Fingerprint = self.read(INPUTS)?;
        let hash = inputs.hash();
        if self.name().ends_with(&hash) {
            Ok(inputs)
        } else {
            Err(Error::file(
                path,
                format!(
                    "these inputs have the hash {hash}, which is not that of the folder's name; they were changed, or the folder was renamed"
                ),
            ))
        }
    }

    /// Its result.
    ///
    /// # Errors
    /// When the run is not finished, or the result is none of this kind.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.folder.join(RESULT).is_file() {
            return Err(Error::file(
                &self.folder,
                "this run is not finished; repeat the call that began it to resume",
            ));
        }
        self.read(RESULT)
    }

    /// Its files that are missing or not as they were written; none of an unfinished run.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn damaged(&self) -> Result<Vec<String>> {
        match (self.folder.join(RESULT).is_file(), Manifest::read(&self.folder)?) {
            (true, Some(manifest)) => manifest.misfits(&self.folder, ""),
            (true, None) => Ok(vec![manifest::FILE.into()]),
            (false, _) => Ok(Vec::new()),
        }
    }

    /// Refuses a finished run of which a file is not as it was written.
    ///
    /// # Errors
    /// As said, and when a file cannot be read.
    pub fn check(&self) -> Result<()> {
        refuse(&self.folder, &self.damaged()?)
    }

    /// One of its JSON files.
    ///
    /// # Errors
    /// When it is not there, or holds something else.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.folder.join(name);
        let bytes = std::fs::read(&path).map_err(Error::io("reading the run", &path))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::file(&path, format!("does not read: {error}")))
    }
}

fn refuse(run: &Path, damaged: &[String]) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "not as the run wrote it, or missing: {}; make the call again that made this run, and it is made again",
        damaged.join(", ")
    );
    Err(Error::file(run, problem))
}

/// Refuses `path` if it lies in the folder of a finished run and a file there or below is not as the run wrote it. What lies elsewhere is
/// none of the store's: says whether it lies in one.
///
/// For paths that somebody gives, such as an adapter's: what a verb finds by its inputs is checked, and made again, by [`Entry::run`](super::Entry::run).
///
/// # Errors
/// As said, and when a file cannot be read.
pub fn check_written(path: &Path) -> Result<bool> {
    /// Folders that a file of a run may lie deep in it.
    const DEEP: usize = 3;
    let path = path.canonicalize().or_else(|_| std::path::absolute(path));
    let Ok(path) = path else { return Ok(false) };
    for run in path.ancestors().take(DEEP + 1) {
        if [RESULT, INPUTS, manifest::FILE].iter().all(|name| run.join(name).is_file()) {
            let below = path.strip_prefix(run).unwrap_or(Path::new(""));
            let below = below.to_string_lossy().replace('\\', "/");
            let damaged = match Manifest::read(run)? {
                Some(manifest) => manifest.misfits(run, &below)?,
                None => vec![manifest::FILE.into()],
            };
            return refuse(run, &damaged).map(|()| true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    #[test]
    fn a_result_is_found_by_label_by_hash_and_by_folder() -> Result<()> {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let store = Store::open(scratch.path())?;
        let make = |kind: &str, label: &str, value: u32| -> Result<PathBuf> {
            let inputs = Fingerprint::new().with("value", &value)?;
            let entry = store.entry(kind, label, &inputs)?;
            entry.run(|_| Ok(value))?;
            Ok(entry.folder().to_path_buf())
        };
        let one = make("sum", "stm_2.5", 1)?;
        let other = make("sum", "stm_2.5-more", 2)?;
        make("product", "stm_2.5", 3)?;
        let hash = |folder: &Path| {
            let name = folder.to_string_lossy().into_owned();
            name[name.len() - 16..].to_string()
        };
        for name in [
            hash(&one)[..6].to_string(),
            "sum/stm_2.5".into(),
            short(&one),
            one.display().to_string(),
        ] {
            assert_eq!(store.find(&name)?.folder(), one, "{name}");
        }
        assert_eq!(store.find("stm_2.5-m")?.folder(), other);
        let error = store.find("stm_2.5").unwrap_err().to_string();
        assert!(error.contains("names 2 runs") && error.contains("product/stm_2.5-"), "{error}");
        let error = store.find("absent").unwrap_err().to_string();
        assert!(error.contains("run `absent`"), "{error}");
        Ok(())
    }

    #[test]
    fn what_was_changed_or_is_not_finished_is_refused() -> Result<()> {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let store = Store::open(scratch.path())?;
        let inputs = Fingerprint::new().with("rate", &0.1f32)?;
        let entry = store.entry("sum", "one", &inputs)?;
        let stopped: Result<u32> = entry.run(|_| Err(Error::invalid("work", "was stopped")));
        assert!(stopped.is_err());
        let kept = store.find("one")?;
        assert_eq!(kept.inputs()?, inputs);
        let error = kept.result::<u32>().unwrap_err().to_string();
        assert!(error.contains("not finished"), "{error}");
        std::fs::write(kept.folder().join(INPUTS), "{\"rate\": 1}\n").expect("scratch is writable");
        let error = kept.inputs().unwrap_err().to_string();
        assert!(error.contains("were changed"), "{error}");
        Ok(())
    }
}
