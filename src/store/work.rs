//! What a verb may do in its entry while it works: write files, save checkpoints, go on from them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Component, Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::manifest::{self, Manifest};
use super::{CHECKPOINT, INPUTS, LOCK, RESULT, TIME, disk, fault};
use crate::error::{Error, Result};

/// Newest checkpoints that are kept: one more than needed, should the newest not read.
const KEPT: usize = 2;

/// The folder of an entry at work, locked for this process. Given to the closure of [`Entry::run`](super::Entry::run).
#[derive(Debug)]
pub struct Work {
    folder: PathBuf,
    /// Hash of the entry's inputs, to which everything unfinished is bound.
    inputs: String,
    /// When this try began.
    clock: Instant,
    /// What earlier tries took.
    earlier: Time,
}

/// How long a work that may have been stopped has taken; kept beside what it goes on from.
#[derive(Debug, Serialize, Deserialize)]
struct Time {
    inputs: String,
    /// When the first try began.
    started: SystemTime,
    /// Of all tries, up to the last thing that was kept.
    seconds: f64,
}

impl Work {
    pub(super) fn new(folder: PathBuf, inputs: String) -> Result<Self> {
        let kept: Option<Time> = manifest::read_sealed(&folder.join(TIME))?;
        let begin = || Time { inputs: inputs.clone(), started: SystemTime::now(), seconds: 0.0 };
        let earlier = kept.filter(|time| time.inputs == inputs).unwrap_or_else(begin);
        Ok(Self { folder, inputs, clock: Instant::now(), earlier })
    }

    /// Seconds that this work has taken, earlier tries included up to the last thing that they kept.
    pub fn seconds(&self) -> f64 {
        self.earlier.seconds + self.clock.elapsed().as_secs_f64()
    }

    /// When the first try began from which something was kept.
    pub fn started(&self) -> SystemTime {
        self.earlier.started
    }

    /// Keeps what the work has taken, for the case that it is stopped. Checkpoints do so by themselves.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn keep_time(&self) -> Result<()> {
        let Time { inputs, started, .. } = &self.earlier;
        let time = Time { inputs: inputs.clone(), started: *started, seconds: self.seconds() };
        disk::write_atomic(&self.folder.join(TIME), &manifest::seal(&time)?)
    }

    /// The entry's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file `name` lies, such as `"adapter/adapter_config.json"`; its folder is made.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `name` leads out of the entry or is one of the store's own (`result.json`, `inputs.json`, `lock`,
    /// `manifest`, `time`, hidden names, `checkpoint-...`).
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let relative = Path::new(name);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let first = name.split('/').next().unwrap_or_default();
        let reserved = [RESULT, INPUTS, LOCK, TIME, manifest::FILE, ""].contains(&first)
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
        disk::make_folder_atomic(&path, |folder| {
            write(folder)?;
            Manifest::of(folder, &self.inputs)?.write(folder)
        })?;
        self.keep_time()?;
        fault::point(&format!("checkpoint {step}"));
        for (_, old) in self.checkpoints()?.iter().skip(KEPT) {
            disk::remove_folder(old)?;
        }
        Ok(())
    }

    /// What `read` makes of the newest checkpoint that it accepts, and that checkpoint's step; `None` when there is none.
    ///
    /// A checkpoint of which a file is not as it was written, or which `read` refuses, is removed, with a warning on stderr, and the one before is tried.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed or a refused checkpoint cannot be removed.
    pub fn resume<T>(
        &self,
        mut read: impl FnMut(u64, &Path) -> Result<T>,
    ) -> Result<Option<(u64, T)>> {
        for (step, path) in self.checkpoints()? {
            match self.check(&path).and_then(|()| read(step, &path)) {
                Ok(state) => return Ok(Some((step, state))),
                Err(error) => {
                    disk::warn(&path, &format!("does not read ({error}) and is removed"));
                    disk::remove_folder(&path)?;
                }
            }
        }
        Ok(None)
    }

    /// Refuses a checkpoint of which a file is not as it was written, or that is another work's.
    fn check(&self, checkpoint: &Path) -> Result<()> {
        let problem = match Manifest::read(checkpoint)? {
            None => format!("its {} is missing or was changed", manifest::FILE),
            Some(manifest) if manifest.inputs() != self.inputs => "is of other inputs".to_string(),
            Some(manifest) => match &manifest.misfits(checkpoint, "")?[..] {
                [] => return Ok(()),
                names => format!("not as it was written: {}", names.join(", ")),
            },
        };
        Err(Error::file(checkpoint, problem))
    }

    /// The lines of the file `name` that an earlier try completed, and the file, open to add more.
    ///
    /// For work that is a list of pieces, each made once: skip as many as there are lines. Each line is one value as JSON, with its
    /// hash. A line that is not as it was written, such as the last one of a killed process, is cut off together with all that follow.
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
            match self.parse_line(values.len(), line) {
                Some(value) => values.push(value),
                None => break,
            }
            whole += line.len();
        }
        if whole < bytes.len() {
            disk::warn(
                &path,
                &format!("is kept up to line {}; the rest is not as it was written", values.len()),
            );
            file.set_len(whole as u64).map_err(Error::io("writing", &path))?;
        }
        let (inputs, number) = (self.inputs.clone(), values.len());
        let lines = Lines { file, path, inputs, number, length: whole as u64, value: PhantomData };
        Ok((values, lines))
    }

    /// The value of a line, if it is whole and the one that was written there.
    fn parse_line<T: DeserializeOwned>(&self, number: usize, line: &[u8]) -> Option<T> {
        let line = std::str::from_utf8(line).ok()?.strip_prefix("{\"hash\":\"")?;
        let (hash, rest) = line.split_once("\",\"value\":")?;
        let json = rest.strip_suffix("}\n")?;
        let whole = hash == manifest::line_hash(&self.inputs, number, json);
        serde_json::from_str(json).ok().filter(|_| whole)
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

    /// Once the result is there, what was to go on from is only in the way; failing to remove it harms nothing.
    pub(super) fn remove_unfinished(&self) {
        let _ = std::fs::remove_file(self.folder.join(TIME));
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
    /// Hash of the entry's inputs.
    inputs: String,
    /// Whole lines.
    number: usize,
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
        let line = serde_json::to_string(value).and_then(|json| {
            serde_json::from_str::<T>(&json)?;
            let hash = manifest::line_hash(&self.inputs, self.number, &json);
            Ok(format!("{{\"hash\":\"{hash}\",\"value\":{json}}}\n"))
        });
        let line = line.map_err(|error| {
            Error::invalid(
                format!("a line of {}", self.path.display()),
                format!("does not read back from JSON ({error}); a number that is not finite must be an Option"),
            )
        })?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line must not stand before the next one.
            let _ = self.file.set_len(self.length);
            return Err(Error::io("writing", &self.path)(error));
        }
        self.length += line.len() as u64;
        self.number += 1;
        fault::point(&format!("line {}", self.number));
        Ok(())
    }
}
