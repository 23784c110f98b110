//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Plain, Result, Word};

/// Writes a file so that a reader, now or after a crash, sees the old content or the new one and nothing between.
///
/// # Errors
/// [`Error::Io`] naming `path`, for instance when the disk is full; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes).map_err(Error::io("writing", path)))
}

/// As [`write_atomic`], for content that is made while it is written.
///
/// Folders on the way to `path` are made when they are missing.
///
/// # Errors
/// Those of `write`, and [`Error::Io`] naming `path`.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
    let (part, file) = part_beside(path).map_err(Error::io("writing", path))?;
    let written = (|| {
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        let file =
            writer.into_inner().map_err(|error| Error::io("writing", path)(error.into_error()))?;
        file.sync_all().map_err(Error::io("writing", path))?;
        drop(file);
        fs::rename(&part, path).map_err(Error::io("writing", path))
    })();
    if written.is_err() {
        // The first error is the one to report; what stays behind is removed by the next run.
        let _ = fs::remove_file(&part);
        return written;
    }
    sync_folder(folder)
}

/// Makes the folder `path` from what `write` puts into it: there with all its files, or not at all.
///
/// A folder that was there is replaced; a crash between its removal and the new one's arrival loses it.
///
/// # Errors
/// Those of `write`, and [`Error::Io`]; what was there is then still there.
pub(super) fn make_folder_atomic(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let part = part_name(path, 0);
    remove_folder(&part)?;
    fs::create_dir_all(&part).map_err(Error::io("making", &part))?;
    let written = write(&part).and_then(|()| sync_tree(&part)).and_then(|()| {
        remove_folder(path)?;
        fs::rename(&part, path).map_err(Error::io("making", path))
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&part);
        return written;
    }
    sync_folder(parent(path))
}

pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// JSON for people and machines. The line end closes the file: without it, it was cut off.
pub(super) fn to_json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads what [`to_json`] wrote: `None` when there is no file, or, with a warning, when it is cut off or not of this form.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("reading", path)(error)),
    };
    if bytes.last() != Some(&b'\n') {
        warn(path, "is cut off and counts as not there");
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            warn(path, &format!("does not read ({error}) and counts as not there"));
            Ok(None)
        }
    }
}

pub(super) fn warn(path: &Path, what: &str) {
    let (path, what) = (Word(path.display()), Plain(what));
    // without a stderr there is nobody to warn
    let _ = writeln!(std::io::stderr(), "warning: {path} {what}");
}

/// Hands the file's bytes to `see`, piece by piece.
pub(crate) fn read_pieces(path: &Path, mut see: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => see(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Flushes every file and folder below `folder` to the disk, `folder` included.
pub(super) fn sync_tree(folder: &Path) -> Result<()> {
    for (path, kind) in list(folder)? {
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            let file = File::open(&path).map_err(Error::io("writing", &path))?;
            file.sync_all().map_err(Error::io("writing", &path))?;
        }
    }
    sync_folder(folder)
}

/// Removes what a killed process left half-written below `folder`. Only for who holds the folder's lock.
pub(super) fn remove_leftovers(folder: &Path) -> Result<()> {
    for (path, kind) in list(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let part = name.starts_with('.') && name.ends_with(".part");
        if part && kind.is_dir() {
            remove_folder(&path)?;
        } else if part {
            match fs::remove_file(&path) {
                // another machine that wanted the claim has taken its part away
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(Error::io("removing", &path))?,
            }
        } else if kind.is_dir() {
            remove_leftovers(&path)?;
        }
    }
    Ok(())
}

/// What lies in a folder, in order of name; links are not followed.
pub(super) fn list(folder: &Path) -> Result<Vec<(PathBuf, fs::FileType)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("listing", folder))? {
        let entry = entry.map_err(Error::io("listing", folder))?;
        let kind = entry.file_type().map_err(Error::io("listing", folder))?;
        found.push((entry.path(), kind));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Makes a rename in `folder` last through a power cut. Windows has no such call and some file systems refuse it.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Err(Error::io("writing", folder)(error))
        }
        _ => Ok(()),
    }
}

/// The folder in which `path` lies.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn part_name(path: &Path, number: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{number}.part", std::process::id()))
}

/// A new file beside `path`. Threads of one process, and processes on different machines, may write at once.
pub(super) fn part_beside(path: &Path) -> std::io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let part = part_name(path, number);
        match File::create_new(&part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return Ok((part, made?)),
        }
    }
}

/// Whether a file or folder could be made at `path`, whose folder is there: leaves nothing behind.
pub(super) fn try_beside(path: &Path) -> std::io::Result<()> {
    let (part, file) = part_beside(path)?;
    drop(file);
    fs::remove_file(part)
}

/// A new, empty folder beside `path`.
pub(super) fn folder_beside(path: &Path) -> Result<PathBuf> {
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
    let mut number = 0;
    loop {
        let part = part_name(path, number);
        match fs::create_dir(&part) {
            Ok(()) => return Ok(part),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::io("making", path)(error)),
        }
    }
}
