//! What a verb may do in its entry while it works: write files, save checkpoints, go on from them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{INPUTS, RESULT, disk};
use crate::error::{Error, Result};

const CHECKPOINT: &str = "checkpoint-";

/// Newest checkpoints that are kept: one more than needed, should the newest not read.
const KEPT: usize = 2;

/// The folder of an entry at work, locked for this process. Given to the closure of [`Entry::run`](super::Entry::run).
#[derive(Debug)]
pub struct Work {
    folder: PathBuf,
}

impl Work {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The entry's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file `name` lies, such as `"adapter/adapter_config.json"`; its folder is made.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `name` leads out of the entry or is one of the store's own (`result.json`, `inputs.json`, `lock`,
    /// hidden names, `checkpoint-...`).
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let relative = Path::new(name);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let first = name.split('/').next().unwrap_or_default();
        let reserved = [RESULT, INPUTS, "lock", ""].contains(&first)
            || first.starts_with('.')
            || first.starts_with(CHECKPOINT);
        if !inside || reserved {
            return Err(Error::invalid(
                "name of a stored file",
                format!("{name:?} leads out of the entry or is one of the store's own names"),
            ));
        }
        let path = self.folder.join(relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("making", parent))?;
        }
        Ok(path)
    }

    /// Writes the file `name`, whole or not at all.
    ///
    /// # Errors
    /// Those of [`Work::path`] and [`write_atomic`](super::write_atomic).
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        disk::write_atomic(&self.path(name)?, bytes)
    }

    /// As [`Work::write`], for content that is made while it is written.
    ///
    /// # Errors
    /// Those of `write`, [`Work::path`] and [`write_atomic_with`](super::write_atomic_with).
    pub fn write_with(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
    ) -> Result<()> {
        disk::write_atomic_with(&self.path(name)?, write)
    }

    /// Saves a checkpoint after `step` steps: `write` fills a folder, which appears when all its files are on the disk.
    ///
    /// The newest two are kept. They are removed when the entry is finished.
    ///
    /// # Errors
    /// Those of `write`, and [`Error::Io`]; earlier checkpoints are then still there.
    pub fn save_checkpoint(
        &self,
        step: u64,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let path = self.folder.join(format!("{CHECKPOINT}{step:012}"));
        disk::make_folder_atomic(&path, write)?;
        for (_, old) in self.checkpoints()?.iter().skip(KEPT) {
            disk::remove_folder(old)?;
        }
        Ok(())
    }

    /// What `read` makes of the newest checkpoint that it accepts, and that checkpoint's step; `None` when there is none.
    ///
    /// A checkpoint that `read` refuses is removed, with a warning on stderr, and the one before is tried.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed or a refused checkpoint cannot be removed.
    pub fn resume<T>(
        &self,
        mut read: impl FnMut(u64, &Path) -> Result<T>,
    ) -> Result<Option<(u64, T)>> {
        for (step, path) in self.checkpoints()? {
            match read(step, &path) {
                Ok(state) => return Ok(Some((step, state))),
                Err(error) => {
                    disk::warn(&path, &format!("does not read ({error}) and is removed"));
                    disk::remove_folder(&path)?;
                }
            }
        }
        Ok(None)
    }

    /// The lines of the file `name` that an earlier try completed, and the file, open to add more.
    ///
    /// For work that is a list of pieces, each made once: skip as many as there are lines. Each line is one value as JSON. A line
    /// that does not read, such as the last one of a killed process, is cut off together with all that follow.
    ///
    /// # Errors
    /// Those of [`Work::path`], and [`Error::Io`].
    pub fn lines<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<(Vec<T>, Lines<T>)> {
        let path = self.path(name)?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).map_err(Error::io("reading", &path))?;
        let (mut values, mut whole) = (Vec::new(), 0);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(value) if line.ends_with(b"\n") => values.push(value),
                _ => break,
            }
            whole += line.len();
        }
        if whole < bytes.len() {
            disk::warn(
                &path,
                &format!("is kept up to line {}; the rest does not read", values.len()),
            );
            file.set_len(whole as u64).map_err(Error::io("writing", &path))?;
        }
        let lines = Lines { file, path, length: whole as u64, value: PhantomData };
        Ok((values, lines))
    }

    /// Newest first.
    fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>> {
        let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix(CHECKPOINT)?.parse().ok();
        let mut found: Vec<(u64, PathBuf)> = disk::list(&self.folder)?
            .into_iter()
            .filter_map(|(path, _)| Some((step(&path)?, path)))
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Once the result is there, checkpoints are only in the way; failing to remove them harms nothing.
    pub(super) fn remove_checkpoints(&self) {
        for (_, path) in self.checkpoints().unwrap_or_default() {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// A file that grows by one JSON line for each finished piece of work. Made by [`Work::lines`].
#[derive(Debug)]
pub struct Lines<T> {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
    value: PhantomData<fn(&T)>,
}

impl<T: Serialize + DeserializeOwned> Lines<T> {
    /// Adds a line and flushes it to the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written, and the file is then as before; [`Error::Invalid`] when the value does not survive
    /// JSON (a number that is not finite).
    pub fn push(&mut self, value: &T) -> Result<()> {
        let line = serde_json::to_vec(value).and_then(|mut line| {
            serde_json::from_slice::<T>(&line)?;
            line.push(b'\n');
            Ok(line)
        });
        let line = line.map_err(|error| {
            Error::invalid(
                format!("a line of {}", self.path.display()),
                format!("does not read back from JSON ({error}); a number that is not finite must be an Option"),
            )
        })?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line must not stand before the next one.
            let _ = self.file.set_len(self.length);
            return Err(Error::io("writing", &self.path)(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}
