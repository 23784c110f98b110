//! What a call may write over: files that this program wrote and that nobody changed since, and nothing that the call reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{disk, file_hash};
use crate::error::{Error, Result, Word};

/// The file in a folder of results that lists what this program wrote there.
pub const MARK: &str = ".unforget.json";

/// Names that a message lists at most.
const NAMED: usize = 5;

/// A place that an option names for results.
///
/// What stands there is replaced only where it is this program's own: listed in the folder's [`MARK`] with the content it has. Anything
/// else is refused by [`Output::check`], before any work, and never removed. Links are not replaced, whatever they lead to.
///
/// ```
/// use unforget::store::Output;
/// # let scratch = tempfile::tempdir().unwrap();
/// let out = scratch.path().join("adapter");
/// let data = scratch.path().join("data.jsonl");
/// std::fs::write(&data, "{}").unwrap();
/// let output = Output::folder("--out", &out, "adapter");
/// Output::check(std::slice::from_ref(&output), &[("--data".into(), data.clone())])?;
/// output.make(|folder| Ok(std::fs::write(folder.join("weights"), "1").unwrap()))?;
/// output.make(|folder| Ok(std::fs::write(folder.join("weights"), "2").unwrap()))?;
/// std::fs::write(out.join("notes.txt"), "mine").unwrap();
/// assert!(output.make(|_| Ok(())).is_err());
/// assert!(Output::check(&[Output::file("--out", &data)], &[("--data".into(), data)]).is_err());
/// # Ok::<(), unforget::error::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Output {
    option: String,
    path: PathBuf,
    place: Place,
    /// Written by a version that left no mark.
    older: bool,
}

#[derive(Debug, Clone)]
enum Place {
    /// A folder of its own, which takes the place of an earlier one of this kind.
    Whole(String),
    /// A file.
    File,
    /// Files and folders of these names, in a folder that may hold others beside them.
    Within(Vec<String>),
}

/// What [`MARK`] holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Mark {
    /// Which version of this program wrote it.
    unforget: String,
    /// What the folder is, where it was made whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// From what it was made, where the caller says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Value>,
    /// SHA-256 of each file that was written, by its path in the folder; null for what a call was writing, a file or a folder.
    files: BTreeMap<String, Option<String>>,
}

impl Output {
    /// A folder that a call makes whole, in the place of an earlier result of the same kind, such as `adapter`.
    pub fn folder(option: &str, path: &Path, kind: &str) -> Self {
        Self::new(option, path, Place::Whole(kind.to_owned()))
    }

    /// A file.
    pub fn file(option: &str, path: &Path) -> Self {
        Self::new(option, path, Place::File)
    }

    /// Files and folders of these names in the folder `path`.
    pub fn within<S: AsRef<str>>(option: &str, path: &Path, names: &[S]) -> Self {
        let names = names.iter().map(|name| name.as_ref().to_owned()).collect();
        Self::new(option, path, Place::Within(names))
    }

    fn new(option: &str, path: &Path, place: Place) -> Self {
        Self { option: option.to_owned(), path: path.to_owned(), place, older: false }
    }

    /// The same, where the caller knows what stands there for an earlier result of this program though it has no mark.
    pub fn older(mut self, known: bool) -> Self {
        self.older = known;
        self
    }

    /// Refuses, before any work, outputs that would take the place of what the call reads (each input with its option), of each other, or of
    /// anything that is not this program's own.
    ///
    /// # Errors
    /// Names what lies there, and the option.
    pub fn check(outputs: &[Self], inputs: &[(String, PathBuf)]) -> Result<()> {
        let outs = outputs.iter().map(|output| (&output.option, &output.path));
        for (option, path) in inputs.iter().map(|(option, path)| (option, path)).chain(outs) {
            if path.to_str().is_none() {
                let problem = format!("the name {path:?} is not in UTF-8; give it another one");
                return Err(Error::invalid(option, problem));
            }
        }
        for (at, output) in outputs.iter().enumerate() {
            for (option, input) in inputs {
                output.spares(option, input)?;
            }
            for other in &outputs[at + 1..] {
                for place in other.places() {
                    output.spares(&other.option, &place)?;
                }
                for place in output.places() {
                    other.spares(&output.option, &place)?;
                }
            }
            output.free()?;
            output.writable()?;
        }
        Ok(())
    }

    /// Makes the folder from what `write` puts into an empty one: there with all its files, or not at all. An earlier result goes when
    /// the new one is there.
    ///
    /// # Errors
    /// Those of `write`, [`Error::Io`], and as [`Output::check`] when somebody has put something there meanwhile; what was there is then still
    /// there.
    pub fn make(&self, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.make_from(None, write)
    }

    /// The same, and lists in the mark from what it was made: see [`Output::earlier`].
    ///
    /// # Errors
    /// As [`Output::make`].
    pub fn make_from(
        &self,
        made: Option<&Value>,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let part = disk::folder_beside(&self.path)?;
        let moved = write(&part).and_then(|()| {
            add(&part, (self.kind(), made), &[], hashed(&part, files_below(&part, "")?)?)?;
            disk::sync_tree(&part)?;
            self.free()?;
            self.replace(&part)
        });
        if moved.is_err() {
            let _ = fs::remove_dir_all(&part);
            return moved;
        }
        disk::sync_folder(disk::parent(&self.path))
    }

    /// Puts the folder `part` in the place of an earlier result, of which only what [`Output::free`] has just looked at is removed.
    fn replace(&self, part: &Path) -> Result<()> {
        let doing = || Error::io("making", &self.path);
        if !self.path.exists() {
            return fs::rename(part, &self.path).map_err(doing());
        }
        let mut files = files_below(&self.path, "")?;
        files.push(MARK.into());
        let old = disk::folder_beside(&self.path)?;
        if let Err(error) = fs::rename(&self.path, &old) {
            let _ = fs::remove_dir(&old);
            return Err(doing()(error));
        }
        if let Err(error) = fs::rename(part, &self.path) {
            // back to where it was; the first error is the one to report
            let _ = fs::rename(&old, &self.path);
            return Err(doing()(error));
        }
        let mut folders = vec![old.clone()];
        for name in files {
            let file = old.join(&name);
            let folder = usize::from(!name.ends_with('/'));
            let below = file.ancestors().skip(folder).take_while(|folder| *folder != old);
            folders.extend(below.map(Path::to_path_buf));
            let _ = fs::remove_file(file);
        }
        folders.sort();
        for folder in folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        if old.exists() {
            disk::warn(&old, "holds what was put into the earlier result meanwhile");
        }
        Ok(())
    }

    /// Lets `write` put the output's files where they belong, and lists them in the folder's mark, so that a later call may replace them. So
    /// may one that comes after a kill on the way.
    ///
    /// # Errors
    /// Those of `write`, and [`Error::Io`] when the mark cannot be written.
    pub fn write<T>(&self, write: impl FnOnce() -> Result<T>) -> Result<T> {
        let (home, names) = (self.home(), self.names());
        if matches!(self.place, Place::Within(_)) {
            fs::create_dir_all(home).map_err(Error::io("making", home))?;
            add(home, (None, None), &[], names.iter().map(|name| (name.clone(), None)))?;
        }
        let written = write();
        let listed = || {
            let mut files = Vec::new();
            for name in &names {
                let path = home.join(name);
                if path.is_dir() {
                    files.extend(files_below(&path, &format!("{name}/"))?)
                } else {
                    files.extend(Some(name.clone()).filter(|_| path.is_file()))
                }
            }
            add(home, (None, None), &names, hashed(home, files)?)
        };
        // the first error is the one to report
        let listed = if home.is_dir() { listed() } else { Ok(()) };
        written.and_then(|done| listed.map(|()| done))
    }

    /// The place that the option names.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From what an earlier result of the same kind in this folder was made, [`Value::Null`] if it does not say so; `None` where there is none.
    ///
    /// # Errors
    /// The folder's mark cannot be read.
    pub fn earlier(&self) -> Result<Option<Value>> {
        let mark = Mark::read(self.home())?;
        let same = self.kind().is_some() && mark.kind.as_deref() == self.kind();
        Ok(same.then(|| mark.made.unwrap_or_default()))
    }

    fn kind(&self) -> Option<&str> {
        match &self.place {
            Place::Whole(kind) => Some(kind),
            _ => None,
        }
    }

    /// The folder whose mark lists the files.
    fn home(&self) -> &Path {
        match self.place {
            Place::File => disk::parent(&self.path),
            Place::Whole(_) | Place::Within(_) => &self.path,
        }
    }

    /// Names in [`Output::home`].
    fn names(&self) -> Vec<String> {
        match &self.place {
            Place::Whole(_) => Vec::new(),
            Place::File => {
                vec![self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()]
            }
            Place::Within(names) => names.clone(),
        }
    }

    /// What is replaced.
    fn places(&self) -> Vec<PathBuf> {
        match &self.place {
            Place::Whole(_) | Place::File => vec![self.path.clone()],
            Place::Within(names) => names.iter().map(|name| self.path.join(name)).collect(),
        }
    }

    /// Refuses to take the place of `other`, or of a folder in which it lies.
    fn spares(&self, option: &str, other: &Path) -> Result<()> {
        for place in self.places() {
            let (here, there) = (real(&place), real(other));
            let problem = if same(&here, &there) {
                format!("is also {option}, which would be lost; name another place")
            } else if there.ancestors().skip(1).any(|above| same(&here, above))
                // what a link in the folder leads to is safe, the link is not
                || std::path::absolute(other)
                    .is_ok_and(|path| path.ancestors().skip(1).any(|above| same(&here, above)))
            {
                let other = other.display();
                format!("holds {other} ({option}), which would be lost; name another place")
            } else {
                continue;
            };
            return Err(Error::file(place, format!("{}: {problem}", self.option)));
        }
        Ok(())
    }

    /// Refuses a place where nothing can be written: a folder that is only read, a name that is too long.
    fn writable(&self) -> Result<()> {
        let wanted = match self.place {
            Place::Within(_) => self.path.join(MARK),
            Place::Whole(_) | Place::File => self.path.clone(),
        };
        let there = |folder: &&Path| folder.is_dir() || folder.as_os_str().is_empty();
        let folder = wanted.ancestors().skip(1).find(there).unwrap_or(Path::new(""));
        // of all names that are to be made the one that a file system minds most
        let missing = wanted.strip_prefix(folder).unwrap_or(&wanted);
        let longest = missing.components().max_by_key(|part| part.as_os_str().len());
        let tried = match wanted.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::InvalidFilename => Err(error),
            _ => longest.map_or(Ok(()), |name| disk::try_beside(&folder.join(name))),
        };
        tried.map_err(|error| {
            let problem =
                format!("cannot be written ({error}); name another place with {}", self.option);
            Error::file(&self.path, problem)
        })
    }

    /// Refuses to take the place of what this program did not write.
    fn free(&self) -> Result<()> {
        let Self { option, path, .. } = self;
        let refused = |problem: String| Err(Error::file(path, problem));
        let found = path.symlink_metadata().ok();
        let link = found.as_ref().is_some_and(fs::Metadata::is_symlink);
        if link && !matches!(self.place, Place::Within(_)) {
            let to = fs::read_link(path).unwrap_or_default();
            let to = to.display();
            return refused(format!(
                "is a link to {to}, and links are not replaced; name with {option} the place itself, or a new one"
            ));
        }
        let mut above = real(path);
        while above.symlink_metadata().is_err() && above.pop() {}
        match &self.place {
            _ if found.is_none() && !above.is_dir() => {
                return Err(Error::file(
                    above,
                    format!("is not a folder; {option} names {}", path.display()),
                ));
            }
            _ if found.is_none() => return Ok(()),
            Place::Whole(_) | Place::Within(_) if !path.is_dir() => {
                return refused(format!("is not a folder; {option} names a folder"));
            }
            Place::Whole(_) => {
                let here = std::env::current_dir().map_err(Error::io("finding", Path::new(".")))?;
                let own = real(path);
                if real(&here).ancestors().any(|folder| same(&own, folder)) {
                    return refused(format!(
                        "is the current folder or holds it, and would be replaced as a whole; name with {option} a folder of its own"
                    ));
                }
            }
            Place::File if path.is_dir() => {
                return refused(format!("is a folder; {option} names a file"));
            }
            Place::File if !path.is_file() => {
                return refused(format!(
                    "is no regular file and is not replaced; name with {option} another one"
                ));
            }
            Place::File | Place::Within(_) => {}
        }
        let strange = self.strange()?;
        if strange.is_empty() {
            return Ok(());
        }
        let more = if strange.len() > NAMED { ", …" } else { "" };
        let listed = strange.iter().take(NAMED).map(|name| Word(name).to_string());
        let listed = listed.collect::<Vec<_>>().join(", ") + more;
        match self.place {
            Place::File => refused(format!(
                "is there and is not an earlier result of `unforget`, or was changed since; name a new file with {option}, or move it away"
            )),
            _ => refused(format!(
                "holds other things than an earlier result of `unforget` as it was written: {listed}; name a new folder with {option}, or move them away"
            )),
        }
    }

    /// Files at the output's places that this program did not write, or that are no longer what it wrote.
    fn strange(&self) -> Result<Vec<String>> {
        let home = self.home();
        let mark = Mark::read(home)?;
        let other = self.kind().is_some() && mark.kind.as_deref() != self.kind();
        let older = self.older && (self.kind().is_none() || mark.files.is_empty());
        let mut found = match self.place {
            Place::Whole(_) => files_below(home, "")?,
            Place::File | Place::Within(_) => Vec::new(),
        };
        for name in self.names() {
            let path = home.join(&name);
            match path.symlink_metadata() {
                Err(_) => {}
                Ok(kind) if kind.is_dir() => {
                    found.extend(files_below(&path, &format!("{name}/"))?);
                }
                Ok(_) => found.push(name),
            }
        }
        let ours = |name: &String| {
            let path = home.join(name);
            if name.ends_with('/') && mark.files.contains_key(name) && !other {
                return true;
            }
            if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                return false;
            }
            match mark.files.get(name).filter(|_| !other) {
                Some(Some(hash)) => file_hash(&path).is_ok_and(|found| found == *hash),
                Some(None) => true,
                None if matches!(mark.files.get(top(name)), Some(None)) => true,
                None => older && !mark.files.keys().any(|known| top(known) == top(name)),
            }
        };
        found.retain(|name| !ours(name));
        Ok(found)
    }
}

impl Mark {
    /// The mark of a folder; an empty one where there is none.
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MARK);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("reading", &path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            let problem = format!("is not the list of files that `unforget` wrote here ({error}); move the folder's files away, or name another folder");
            Error::file(path, problem)
        })
    }
}

/// Refuses a Parquet file, or those in a folder, that this program listed in the folder's [`MARK`] when it wrote them and that were changed
/// since, or of a folder that was made whole as `kind` are gone. What has no mark is none of this program's.
///
/// All bytes are read: 1 GB takes 0.7 s where the processor has instructions for SHA-256.
///
/// # Errors
/// Names the file and the way out.
pub fn check_marked(path: &Path, kind: &str) -> Result<()> {
    // wherever links lead
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let home = if path.is_dir() { &path } else { disk::parent(&path) };
    let mark = Mark::read(home)?;
    for (name, hash) in &mark.files {
        let (file, Some(hash)) = (home.join(name), hash) else { continue };
        let asked = path.is_dir() && name.ends_with(".parquet") && !name.contains('/');
        if !(asked || same(&file, &path)) {
            continue;
        }
        let problem = match file.is_file() {
            true if file_hash(&file)? == *hash => continue,
            true => "is not as `unforget` wrote it",
            false if mark.kind.as_deref() == Some(kind) => "was written there and is gone",
            false => continue,
        };
        return Err(Error::file(
            file,
            format!("{problem}; make it again, or, if that is meant, delete {MARK} beside it"),
        ));
    }
    Ok(())
}

/// The hash that a file had when this program wrote it, if the mark of its folder lists it.
pub fn marked_hash(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    Mark::read(disk::parent(file)).ok()?.files.remove(name)?
}

/// Adds files to the mark of `folder`, which another process may do at the same time, in the place of what it says of `names`.
fn add(
    folder: &Path,
    (kind, made): (Option<&str>, Option<&Value>),
    names: &[String],
    files: impl IntoIterator<Item = (String, Option<String>)>,
) -> Result<()> {
    let lock = File::open(folder).ok();
    if let Some(folder) = &lock {
        // where folders cannot be locked, the worst is a file that is not known for ours later
        let _ = folder.lock();
    }
    let mut mark = Mark::read(folder)?;
    mark.unforget = env!("CARGO_PKG_VERSION").into();
    // what is put into a folder that was made whole is not to go with it
    mark.kind = kind.map(str::to_owned);
    mark.made = made.cloned();
    mark.files.retain(|name, hash| {
        let kept = hash.is_none() || folder.join(name).is_file();
        kept && !names.iter().any(|gone| gone == top(name))
    });
    mark.files.extend(files);
    let bytes = disk::to_json(&mark).map_err(Error::library("listing what was written"))?;
    disk::write_atomic(&folder.join(MARK), &bytes)
}

fn hashed(folder: &Path, files: Vec<String>) -> Result<Vec<(String, Option<String>)>> {
    let hashed = files.into_iter().map(|name| {
        // an empty folder has no content
        let file = Some(folder.join(&name)).filter(|_| !name.ends_with('/'));
        let hash = file.map(|file| file_hash(&file)).transpose()?;
        Ok((name, hash))
    });
    hashed.collect()
}

/// The first part of a path in a folder.
fn top(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// Everything below `folder` that is no folder, each name after `prefix`; empty folders, too, since nobody but their owner knows what for. The
/// folder's own mark is not listed.
fn files_below(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for (path, kind) in disk::list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{prefix}{name}");
        if !kind.is_dir() {
            files.extend(Some(name).filter(|name| name != MARK));
            continue;
        }
        match files_below(&path, &format!("{name}/"))? {
            below if below.is_empty() => files.push(format!("{name}/")),
            below => files.extend(below),
        }
    }
    Ok(files)
}

/// The path without links as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.components().chain(rest.components()).collect();
        }
    }
    path
}

/// Whether two paths are one file or folder: by its identity, whatever links or letters' cases lead there; of what does not exist yet by its
/// name.
pub fn same(one: &Path, other: &Path) -> bool {
    let lower = |path: &Path| path.to_string_lossy().to_lowercase();
    match (identity(one), identity(other)) {
        // a file system that ignores case may count each spelling as a file of its own
        (Some(a), Some(b)) => a == b || lower(one) == lower(other) && listed(one) == listed(other),
        (None, None) => lower(one) == lower(other),
        _ => false,
    }
}

/// `path` in the spelling of the folders that list its parts.
fn listed(path: &Path) -> PathBuf {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_path_buf();
    };
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let lower = |name: &std::ffi::OsStr| name.to_string_lossy().to_lowercase();
    let alike: Vec<_> = names.filter(|other| lower(other) == lower(name)).collect();
    let found = alike.iter().find(|other| *other == name).or(alike.first());
    listed(parent).join(found.map_or(name, |found| found))
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = path.metadata().ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn put(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Ok(())
    }

    fn refused(output: &Output, part: &str) {
        let error = Output::check(std::slice::from_ref(output), &[]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("--out"), "{error}");
    }

    #[test]
    fn an_earlier_result_is_replaced_as_long_as_it_is_as_it_was() {
        let root = scratch();
        let out = root.path().join("out");
        let output = Output::folder("--out", &out, "adapter");
        output.make(|folder| put(folder, &[("config.json", "1"), ("deep/er/x", "1")])).unwrap();
        output.make(|folder| put(folder, &[("config.json", "2"), ("other", "2")])).unwrap();
        // what this program wrote, but of another kind, is no earlier result
        refused(&Output::folder("--out", &out, "ledger"), "config.json, other");
        assert_eq!(files_below(&out, "").unwrap(), ["config.json", "other"]);
        // nothing of the old one is left beside it
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        // of the same length: another program may have trained on in it
        fs::write(out.join("config.json"), "3").unwrap();
        refused(&output, "config.json");
        fs::write(out.join("config.json"), "2").unwrap();
        fs::create_dir(out.join("empty")).unwrap();
        refused(&output, "empty/");
        fs::remove_dir(out.join("empty")).unwrap();
        // what is put there while the work goes on is found before it is too late
        let error = output.make(|_| put(&out, &[("notes", "mine")])).unwrap_err().to_string();
        assert!(error.contains("notes"), "{error}");
        assert_eq!(fs::read_to_string(out.join("notes")).unwrap(), "mine");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_in_a_folder_that_others_use_too_are_known_one_by_one() {
        let root = scratch();
        let home = root.path();
        put(home, &[("notes", "mine"), ("tables/old.csv", "mine")]).unwrap();
        let pages = Output::within("--out", home, &["page", "figures"]);
        for _ in 0..2 {
            Output::check(std::slice::from_ref(&pages), &[]).unwrap();
            pages.write(|| put(home, &[("page", "1"), ("figures/a.svg", "1")])).unwrap();
        }
        refused(&Output::within("--out", home, &["page", "tables"]), "tables/old.csv");
        refused(&Output::file("--out", &home.join("notes")), "notes");
        put(home, &[("figures/mine.svg", "mine")]).unwrap();
        refused(&pages, "figures/mine.svg");
        // of an older version, a folder that has no mark is known by what is in it; one that has a mark by that
        let older = Output::within("--out", home, &["tables"]).older(true);
        Output::check(&[older], &[]).unwrap();
        refused(&pages.clone().older(true), "figures/mine.svg");
    }

    #[test]
    fn a_call_that_was_killed_while_it_wrote_goes_on() {
        let root = scratch();
        let home = root.path();
        let output = Output::within("--out", home, &["steps", "figures"]);
        let halfway = std::panic::catch_unwind(|| {
            output.write(|| -> Result<()> {
                put(home, &[("steps", "half"), ("figures/a.svg", "1")])?;
                panic!("killed")
            })
        });
        assert!(halfway.is_err());
        Output::check(std::slice::from_ref(&output), &[]).unwrap();
        // an error is no kill: what was written is listed, what was not is nobody's yet
        let failed: Result<()> = output.write(|| Err(Error::invalid("x", "y")));
        assert!(failed.is_err());
        fs::write(home.join("steps"), "mine").unwrap();
        refused(&output, "steps");
    }

    /// What could not be written at the end is refused before the work begins.
    #[test]
    fn a_place_that_cannot_be_written_is_refused_at_once() {
        let root = scratch();
        let long = "x".repeat(300);
        // longer than a path may be, of names that are not
        let deep = "abcdefgh/".repeat(600);
        // of the length that a name may have, but not with what stands around it while it is written
        let nearly = "x".repeat(250);
        for name in [&long, &deep, &nearly, &format!("new/{long}/x"), &format!("{long}/x")] {
            let path = root.path().join(name);
            for output in [
                Output::folder("--out", &path, "adapter"),
                Output::file("--out", &path),
                Output::within("--out", &path, &["page"]),
            ] {
                refused(&output, "cannot be written");
            }
        }
        #[cfg(target_os = "linux")]
        refused(&Output::folder("--out", Path::new("/proc/new"), "adapter"), "cannot be written");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        for output in [
            Output::folder("--out", &root.path().join("new/er"), "adapter"),
            Output::file("--out", &root.path().join("new/er")),
            Output::within("--out", &root.path().join("new/er"), &["page"]),
        ] {
            Output::check(&[output], &[]).unwrap();
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    /// In a folder of a file system that ignores case, where somebody names one in `UNFORGET_CASELESS`.
    #[test]
    fn letters_of_another_case_do_not_hide_an_input() {
        let root = scratch();
        put(root.path(), &[("Data/Own.jsonl", "mine"), ("data/own.jsonl", "others'")]).unwrap();
        let input = [("--data".to_owned(), root.path().join("Data/Own.jsonl"))];
        let other = Output::file("--out", &root.path().join("data/new.jsonl"));
        Output::check(&[other], &input).unwrap();
        let Some(folder) = std::env::var_os("UNFORGET_CASELESS") else {
            println!(
                "skipped: UNFORGET_CASELESS names no folder of a file system that ignores case"
            );
            return;
        };
        let root = tempfile::tempdir_in(folder).unwrap();
        put(root.path(), &[("Data/Own.jsonl", "mine")]).unwrap();
        let input = [("--data".to_owned(), root.path().join("Data/Own.jsonl"))];
        let lost = |output: Output| {
            let error = Output::check(&[output], &input).unwrap_err().to_string();
            assert!(error.contains("would be lost"), "{error}");
        };
        for name in ["Data/Own.jsonl", "DATA/Own.jsonl", "Data/OWN.JSONL", "data/own.jsonl"] {
            lost(Output::file("--out", &root.path().join(name)));
        }
        lost(Output::folder("--out", &root.path().join("DATA"), "adapter"));
        lost(Output::within("--out", &root.path().join("data"), &["OWN.jsonl"]));
        let one = Output::file("--out", &root.path().join("new"));
        let log = Output::file("--log", &root.path().join("NEW"));
        assert!(Output::check(&[one, log], &[]).is_err());
    }

    #[test]
    fn what_is_in_the_place_of_the_list_is_not_written_over() {
        let root = scratch();
        put(root.path(), &[(MARK, "mine")]).unwrap();
        let output = Output::within("--out", root.path(), &["page"]);
        let error = Output::check(std::slice::from_ref(&output), &[]).unwrap_err().to_string();
        assert!(error.contains(MARK), "{error}");
        assert!(output.write(|| Ok(())).is_err());
        assert_eq!(fs::read_to_string(root.path().join(MARK)).unwrap(), "mine");
    }
}
