//! What the files of a finished entry, and of a checkpoint, must be: their lengths and fast hashes.
//!
//! XXH3 finds what a disk or a careless hand does to a file at the speed of reading it. It is no defense against somebody who means harm: cards hold SHA-256.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::disk;
use crate::error::{Error, Result};

/// The manifest's name in its folder.
pub(super) const FILE: &str = "manifest";

/// Files of a folder as they were written, and the inputs that they were made from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Hash of the inputs, so that a folder is not taken for another one's.
    inputs: String,
    files: BTreeMap<String, Sum>,
}

/// One file as it was written.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    length: u64,
    xxh3: String,
}

impl Manifest {
    /// Of the files that lie in `folder` and its folders now, as [`files_below`] lists them.
    pub fn of(folder: &Path, inputs: &str) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in files_below(folder, "")? {
            if let Some(sum) = Sum::of(&folder.join(&name))? {
                files.insert(name, sum);
            }
        }
        Ok(Self { inputs: inputs.to_string(), files })
    }

    /// With the file `name`, which is to hold `bytes`.
    pub fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        let sum = Sum { length: bytes.len() as u64, xxh3: hex(xxh3_64(bytes)) };
        self.files.insert(name.to_string(), sum);
        self
    }

    /// The inputs' hash.
    pub fn inputs(&self) -> &str {
        &self.inputs
    }

    /// Writes it into the folder of its files.
    pub fn write(&self, folder: &Path) -> Result<()> {
        disk::write_atomic(&folder.join(FILE), &seal(self)?)
    }

    /// The manifest in `folder`; `None` when there is none, or it was changed.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        read_sealed(&folder.join(FILE))
    }

    /// The file `below`, or those in the folder `below` (all where it is empty), that are missing, or of another length or content.
    pub fn misfits(&self, folder: &Path, below: &str) -> Result<Vec<String>> {
        let asked = |name: &str| {
            let rest = name.strip_prefix(below);
            below.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut misfits = Vec::new();
        for (name, sum) in self.files.iter().filter(|(name, _)| asked(name)) {
            let path = folder.join(name);
            // what has another length need not be read
            let fits = std::fs::metadata(&path).is_ok_and(|seen| seen.len() == sum.length)
                && Sum::of(&path)?.as_ref() == Some(sum);
            if !fits {
                misfits.push(name.clone());
            }
        }
        Ok(misfits)
    }
}

/// The files of a run in `folder` and its folders, each name after `prefix`. Names that begin with a dot, checkpoints, and what the store keeps for
/// itself are left out.
pub(super) fn files_below(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for (path, kind) in disk::list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || prefix.is_empty() && is_own(&name) {
            continue;
        }
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            files.extend(files_below(&path, &format!("{name}/"))?);
        } else {
            files.push(name);
        }
    }
    Ok(files)
}

/// Whether `name`, at the top of an entry, is the store's own and changes after the manifest is made.
fn is_own(name: &str) -> bool {
    [FILE, super::LOCK, super::TIME].contains(&name) || name.starts_with(super::CHECKPOINT)
}

impl Sum {
    /// `None` when there is no such file.
    fn of(path: &Path) -> Result<Option<Self>> {
        let (mut hasher, mut length) = (Xxh3::new(), 0);
        let read = disk::read_pieces(path, |piece| {
            hasher.update(piece);
            length += piece.len() as u64;
        });
        match read {
            Ok(()) => Ok(Some(Self { length, xxh3: hex(hasher.digest()) })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("reading", path)(error)),
        }
    }
}

/// `value` as a line of JSON, and the hash of that line as a second one.
pub(super) fn seal(value: &impl Serialize) -> Result<Vec<u8>> {
    let json =
        serde_json::to_string(value).map_err(Error::library("sealing a file of the store"))?;
    Ok(format!("{json}\n{}\n", hex(xxh3_64(json.as_bytes()))).into_bytes())
}

/// What [`seal`] wrote; `None` when there is no such file, or not every byte is as it was.
pub(super) fn read_sealed<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("reading", path)(error)),
    };
    let Some((json, rest)) = bytes.iter().position(|b| *b == b'\n').map(|at| bytes.split_at(at))
    else {
        return Ok(None);
    };
    let whole = rest == format!("\n{}\n", hex(xxh3_64(json))).as_bytes();
    Ok(serde_json::from_slice(json).ok().filter(|_| whole))
}

/// The hash of line `number` of a file that grows, bound to the inputs and its place.
pub(super) fn line_hash(inputs: &str, number: usize, json: &str) -> String {
    hex(xxh3_64(format!("{inputs} {number} {json}").as_bytes()))
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}
