//! Where runs and cached results live on disk; the only module that writes them.
//!
//! A verb names its inputs, the inputs name a folder, and the folder holds the result. A finished folder is returned at
//! once; an unfinished one is worked on again, from its newest checkpoint if the work saves any.
//!
//! ```text
//! unforget-store/
//!   perplexity/
//!     mbpp-train-3f1c0a9be27d4410/     kind/label-hash of the inputs
//!       inputs.json                    what was hashed, readable
//!       lock                           empty, or who works here: process, machine
//!       .claim                         only while somebody works here: the same, for other machines
//!       tokens.parquet                 whatever the work wrote
//!       checkpoint-000000000200/       only while unfinished
//!       time                           only while unfinished: how long earlier tries took
//!       manifest                       length and fast hash of every file, result.json included
//!       result.json                    written last: its presence means finished
//! ```
//!
//! ```
//! use unforget::store::{Fingerprint, Store};
//! # let scratch = tempfile::tempdir().unwrap();
//! # let root = scratch.path();
//! let store = Store::open(root)?;
//! let inputs = Fingerprint::new().with("numbers", &[1, 2, 3])?.with("power", &2)?;
//! let entry = store.entry("sum", "squares", &inputs)?;
//! let sum: u32 = entry.run(|_work| Ok(1 + 4 + 9))?;
//! let again: u32 = entry.run(|_work| panic!("the result is on disk"))?;
//! assert_eq!(sum, again);
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! Every file of a finished entry is held against the manifest whenever the entry is used, every checkpoint against its own, and
//! every line of a file that grows against the hash in it. What is not as it was written (a bit of a disk, a hand) is made again, and one line
//! on stderr says so; where it cannot be made again, because only its folder is named, it is refused. An entry without a manifest counts as such.
//!
//! Nothing half-written is ever taken for finished: every file is written beside its place, flushed to the disk and renamed.
//! Two processes that want the same folder do the work once; the second waits. The lock belongs to the process and
//! ends with it, however it ends, so a killed run leaves nothing to clean up. That holds between machines that share the folder, too: the claim of a
//! process on another machine counts until its heart is silent and Slurm says that its job is gone (or for ten minutes, where nobody can be asked).

mod claim;
mod disk;
pub(crate) mod fault;
mod fingerprint;
mod kept;
mod lock;
mod manifest;
mod output;
mod work;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
#[cfg(feature = "download")]
pub(crate) use disk::read_pieces;
pub use disk::{write_atomic, write_atomic_with};
#[cfg(feature = "tables")]
pub(crate) use fingerprint::hex;
pub use fingerprint::{Fingerprint, bytes_hash, file_hash};
pub use kept::{StoredRun, check_written};
pub(crate) use lock::Lock;
#[cfg(feature = "tables")]
pub(crate) use lock::worker;
use manifest::Manifest;
pub use output::{MARK, Output, check_marked, marked_hash, same};
pub use work::{Lines, Work};

const RESULT: &str = "result.json";
const INPUTS: &str = "inputs.json";
const LOCK: &str = "lock";
const TIME: &str = "time";
const CHECKPOINT: &str = "checkpoint-";

/// What a run made beside its result in `folder` and its folders. Names that begin with a dot, checkpoints and the store's own files are left out.
pub(crate) fn files_of_run(folder: &Path) -> Result<Vec<String>> {
    let mut files = manifest::files_below(folder, "")?;
    files.retain(|name| ![RESULT, INPUTS].contains(&name.as_str()));
    Ok(files)
}

/// The environment variable that names the store when no option does.
pub const STORE_VARIABLE: &str = "UNFORGET_STORE";

/// A folder of results, one entry for each verb and set of inputs.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Why nothing may be made in it.
    sealed: Option<&'static str>,
}

impl Store {
    /// The store in the folder `root`, which is made when the first result is.
    ///
    /// A store that cannot be written still returns what is finished in it.
    ///
    /// # Errors
    /// When `root` exists and is not a folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if root.exists() && !root.is_dir() {
            return Err(Error::file(root, "is not a folder; name another one with --store"));
        }
        Ok(Self { root, sealed: None })
    }

    /// The same store, in which only what is finished is there: asking for anything else is an error, which says `hint`.
    pub fn sealed(mut self, hint: &'static str) -> Self {
        self.sealed = Some(hint);
        self
    }

    /// The store a command uses: `option` (`--store`), else the variable `UNFORGET_STORE`, else `./unforget-store`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn choose(option: Option<&Path>) -> Result<Self> {
        let variable = std::env::var_os(STORE_VARIABLE).filter(|value| !value.is_empty());
        Self::open(match (option, variable) {
            (Some(path), _) => path.to_path_buf(),
            (None, Some(path)) => path.into(),
            (None, None) => "unforget-store".into(),
        })
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry for these inputs; touches nothing on disk.
    ///
    /// `kind` is the verb ("perplexity", "finetune"); `label` is for people who look into the folder and does not tell entries
    /// apart: characters that file names cannot hold become `-`.
    ///
    /// # Errors
    /// When `kind` is not made of lower-case letters, digits, `-` and `_`.
    pub fn entry(&self, kind: &str, label: &str, inputs: &Fingerprint) -> Result<Entry> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if kind.is_empty() || !kind.chars().all(plain) {
            return Err(Error::invalid(
                "kind of result",
                format!("must be lower-case letters, digits, - and _, got {kind:?}"),
            ));
        }
        let name = match file_name(label) {
            label if label.is_empty() => inputs.hash(),
            label => format!("{label}-{}", inputs.hash()),
        };
        let folder = self.root.join(kind).join(name);
        Ok(Entry { folder, inputs: inputs.clone(), sealed: self.sealed })
    }
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing on disk.
    Absent,
    /// Begun, and either at work now or stopped; [`Entry::run`] goes on.
    Unfinished,
    /// The result is there.
    Finished,
}

/// What a second process does while a first one works on the same entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenBusy {
    Wait,
    Refuse,
}

/// What lies in an entry's folder.
enum Found {
    /// No result, or one that was cut off while it was made.
    Unfinished,
    /// A result, and these files that are not as they were written.
    Damaged(Vec<String>),
    /// A result of which every file is as it was written; these are the bytes of `result.json`.
    Whole(Vec<u8>),
}

/// One result and the folder it lives in.
#[derive(Debug, Clone)]
pub struct Entry {
    folder: PathBuf,
    inputs: Fingerprint,
    sealed: Option<&'static str>,
}

impl Entry {
    /// The entry's folder, which need not exist yet.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `verb/label-hash`.
    pub fn name(&self) -> String {
        kept::short(&self.folder)
    }

    /// What the result depends on.
    pub fn inputs(&self) -> &Fingerprint {
        &self.inputs
    }

    /// How far this entry is. One with a file that is not as it was written counts as unfinished.
    ///
    /// # Errors
    /// When the result is there but cannot be read, or belongs to other inputs.
    pub fn state(&self) -> Result<State> {
        Ok(match self.look()? {
            Found::Whole(_) => State::Finished,
            _ if self.folder.is_dir() => State::Unfinished,
            _ => State::Absent,
        })
    }

    /// The finished result, if there is one.
    ///
    /// One with a file that is not as it was written, or that does not read as `T`, counts as unfinished.
    ///
    /// # Errors
    /// When the file is there but cannot be read, or belongs to other inputs.
    pub fn result<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        Ok(match self.look()? {
            Found::Whole(bytes) => serde_json::from_slice(&bytes).ok(),
            _ => None,
        })
    }

    fn look(&self) -> Result<Found> {
        let path = self.folder.join(RESULT);
        if !path.is_file() {
            return Ok(Found::Unfinished);
        }
        let Some(manifest) = Manifest::read(&self.folder)? else {
            return Ok(Found::Damaged(vec![manifest::FILE.into()]));
        };
        if manifest.inputs() != self.inputs.hash() {
            return Err(self.other_inputs());
        }
        let misfits = manifest.misfits(&self.folder, "")?;
        if !misfits.is_empty() {
            return Ok(Found::Damaged(misfits));
        }
        // two sets of inputs may have one hash
        match disk::read_json::<serde_json::Value>(&self.folder.join(INPUTS))? {
            Some(stored) if self.inputs.equals(&stored) => {}
            _ => return Err(self.other_inputs()),
        }
        std::fs::read(&path).map(Found::Whole).map_err(Error::io("reading", &path))
    }

    fn other_inputs(&self) -> Error {
        let problem = "these are other inputs than those asked for; was the folder renamed? Remove the folder";
        Error::file(self.folder.join(INPUTS), problem)
    }

    /// The finished result, or else the result of `work`, which is then finished.
    ///
    /// `work` is called at most once, with the entry locked. When another process or thread is at work here, this waits for it
    /// and says so once on stderr, then returns that one's result or takes over. What is returned is always what was read back
    /// from JSON, so a fresh result equals a cached one to the last bit.
    ///
    /// Do not run an entry within its own `work`: it would wait for itself.
    ///
    /// # Errors
    /// Those of `work`, after which the entry is unfinished and its checkpoints are kept; [`Error::Io`] when the disk is full or
    /// the store cannot be written; [`Error::Invalid`] when the result does not survive JSON (a number that is not finite).
    pub fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        W: FnOnce(&Work) -> Result<T>,
    {
        self.run_when(WhenBusy::Wait, work)
    }

    /// As [`Entry::run`], but [`Error::Busy`] at once when somebody else is at work here.
    ///
    /// # Errors
    /// Those of [`Entry::run`], and [`Error::Busy`].
    pub fn try_run<T, W>(&self, work: W) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        W: FnOnce(&Work) -> Result<T>,
    {
        self.run_when(WhenBusy::Refuse, work)
    }

    /// Removes the entry, so that the next [`Entry::run`] begins anew. Removing what is not there is no error.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody is at work here, [`Error::Io`] when the folder cannot be removed.
    pub fn remove(&self) -> Result<()> {
        if !self.folder.is_dir() {
            return Ok(());
        }
        let _lock = Lock::take(&self.folder, false)?;
        // The result goes first: a removal that is cut short must not leave a finished entry without its files.
        let result = self.folder.join(RESULT);
        if result.exists() {
            std::fs::remove_file(&result).map_err(Error::io("removing", &result))?;
        }
        std::fs::remove_dir_all(&self.folder).map_err(Error::io("removing", &self.folder))
    }

    fn run_when<T, W>(&self, when_busy: WhenBusy, work: W) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        W: FnOnce(&Work) -> Result<T>,
    {
        // Without the lock first: a finished result must be readable in a store that cannot be written.
        note_use(self);
        if let Some(result) = self.result()? {
            return Ok(result);
        }
        if let Some(hint) = self.sealed {
            return Err(Error::missing("finished result", &self.folder, hint));
        }
        std::fs::create_dir_all(&self.folder).map_err(Error::io("making", &self.folder))?;
        let lock = Lock::take(&self.folder, when_busy == WhenBusy::Wait)?;
        // Whoever held the lock before may have finished.
        match self.look()? {
            Found::Unfinished => {}
            Found::Damaged(files) => self.discard(&files)?,
            Found::Whole(bytes) => match serde_json::from_slice(&bytes) {
                Ok(result) => return Ok(result),
                Err(error) => {
                    let problem = format!("does not read ({error}); the result is made again");
                    disk::warn(&self.folder.join(RESULT), &problem);
                    self.discard(&[])?;
                }
            },
        }
        disk::remove_leftovers(&self.folder)?;
        self.write_inputs()?;
        fault::point(&format!("begun {}", self.kind()));

        let made = Work::new(self.folder.clone(), self.inputs.hash())?;
        let result = work(&made)?;
        let bytes = disk::to_json(&result).map_err(Error::library(format!(
            "turning the result of {} into JSON",
            self.folder.display()
        )))?;
        let result = serde_json::from_slice(&bytes).map_err(|error| {
            Error::invalid(
                format!("result of {}", self.folder.display()),
                format!("does not read back from JSON ({error}); a number that is not finite must be an Option"),
            )
        })?;
        lock.check()?;
        disk::sync_tree(&self.folder)?;
        let manifest = Manifest::of(&self.folder, &self.inputs.hash())?.with(RESULT, &bytes);
        manifest.write(&self.folder)?;
        write_atomic(&self.folder.join(RESULT), &bytes)?;
        made.remove_unfinished();
        fault::point(&format!("finished {}", self.kind()));
        Ok(result)
    }

    /// Takes away what marks the entry as finished, and `damaged` files, so that all of it is made again.
    fn discard(&self, damaged: &[String]) -> Result<()> {
        if !damaged.is_empty() {
            let problem =
                format!("is made again: not as it was written, or missing: {}", damaged.join(", "));
            disk::warn(&self.folder, &problem);
        }
        // The result goes first: without it nobody takes the rest for finished.
        let own = [RESULT, manifest::FILE].into_iter();
        for name in own.chain(damaged.iter().map(String::as_str)) {
            let path = self.folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if path.exists() => return Err(Error::io("removing", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The verb that it is of.
    fn kind(&self) -> std::borrow::Cow<'_, str> {
        let kind = self.folder.parent().and_then(Path::file_name);
        kind.unwrap_or_default().to_string_lossy()
    }

    /// What is unfinished is bound to the hash of its inputs, so that nothing is lost when their file is written anew.
    fn write_inputs(&self) -> Result<()> {
        let path = self.folder.join(INPUTS);
        match disk::read_json::<serde_json::Value>(&path)? {
            Some(stored) if self.inputs.equals(&stored) => Ok(()),
            stored => {
                if stored.is_some() {
                    disk::warn(&path, "is not as it was written, and is written again");
                }
                write_atomic(&path, self.inputs.to_pretty_json().as_bytes())
            }
        }
    }
}

thread_local! {
    static USED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn note_use(entry: &Entry) {
    USED.with_borrow_mut(|used| {
        let Some(used) = used else { return };
        let name = entry.name();
        if !used.contains(&name) {
            used.push(name);
        }
    });
}

/// What `work` gives, and the names of the entries that it asked for on this thread, made or found.
pub(crate) fn uses<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let before = USED.replace(Some(Vec::new()));
    let made = work();
    (made, USED.replace(before).unwrap_or_default())
}

/// `label` as part of a file name: at most 80 characters, only letters, digits, `.`, `_` and `-`, and no dot in front.
pub(crate) fn file_name(label: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = label.chars().map(|c| if plain(c) { c } else { '-' }).take(80).collect();
    name.trim_matches(|c| c == '-' || c == '.').to_string()
}

#[cfg(test)]
mod tests;
