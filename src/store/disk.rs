//! Files that are there whole or not at all, and the lock of a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LOCK;
use super::claim::{Claim, Seen, Timing, Watch};
use crate::cluster::{self, Place};
use crate::error::{Error, Plain, Result, Word};
use crate::interruption;

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

/// The exclusive right to write in a folder, held until dropped or until the process ends.
///
/// The kernel's lock, which ends with the process however that ends, and a [`Claim`], which machines see that have another kernel.
#[derive(Debug)]
pub(crate) struct Lock {
    /// The kernel's lock; `None` on file systems that have none.
    file: Option<File>,
    claim: Option<Claim>,
    folder: PathBuf,
}

impl Lock {
    /// Locks `folder`, made if need be. When another holds it: waits, or gives [`Error::Busy`].
    pub fn take(folder: &Path, wait: bool) -> Result<Self> {
        let path = folder.join(LOCK);
        let timing = Timing::default();
        let (mut watch, mut pause, mut said) =
            (Watch::new(timing), Duration::from_millis(2), false);
        loop {
            fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
            let locked = lock_of_kernel(&path)?;
            // the folder may have been removed while we waited; a lock on a removed file protects nothing
            if let Some(Some(file)) = &locked
                && !still_there(file, &path)
            {
                continue;
            }
            let seen = Seen::in_folder(folder)?;
            if locked.is_some()
                && seen.is_none()
                && let Some(claim) = Claim::make(folder, timing)?
            {
                let file = locked.flatten();
                let lock = Self { file, claim: Some(claim), folder: folder.to_path_buf() };
                lock.sign();
                return Ok(lock);
            }
            if let Some(seen) = seen {
                // who holds the kernel's lock knows that no other process of this machine works here
                let proven =
                    matches!(locked, Some(Some(_))) && seen.place().is_some_and(Place::is_near);
                if proven || watch.is_dead(&seen) {
                    if !proven {
                        let who = seen.place().map_or("a process".into(), ToString::to_string);
                        warn(folder, &format!("is taken over from {who}, which is gone"));
                    }
                    seen.bury(folder)?;
                    if locked.is_none() {
                        // a file server may hold the lock of a machine that is gone
                        let _ = fs::remove_file(&path);
                    }
                    continue;
                }
            }
            if !wait {
                return Err(Error::Busy { path: folder.to_path_buf(), holder: holder(folder) });
            }
            if !said {
                let (folder, holder) = (Word(folder.display()), Word(holder(folder)));
                let _ = writeln!(std::io::stderr(), "{folder}: waiting for {holder}");
                said = true;
            }
            drop(locked);
            interruption::check()?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Refuses to go on when others took this one's holder for dead and work here now.
    pub fn check(&self) -> Result<()> {
        match &self.claim {
            Some(claim) if !claim.is_held() => {
                Err(Error::Busy { path: self.folder.clone(), holder: holder(&self.folder) })
            }
            _ => Ok(()),
        }
    }

    /// Writes down who holds the lock. Only for people, so a full disk is no reason to stop here.
    fn sign(&self) {
        let Some(mut file) = self.file.as_ref() else { return };
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = writeln!(file, "{}", Place::here());
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.claim.take());
        if let Some(file) = &self.file {
            let _ = file.set_len(0);
            let _ = file.unlock();
        }
    }
}

/// The kernel's lock of a file: `None` if somebody has it, and nothing inside where the file system knows no locks.
fn lock_of_kernel(path: &Path) -> Result<Option<Option<File>>> {
    if cluster::pretended().is_some() {
        return Ok(Some(None));
    }
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened.map_err(Error::io("locking", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) if is_unknown(&error) => Ok(Some(None)),
        Err(TryLockError::Error(error)) => Err(Error::io("locking", path)(error)),
    }
}

/// Whether a file system says that it has no locks.
fn is_unknown(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP)) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

#[cfg(unix)]
fn still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => held.dev() == there.dev() && held.ino() == there.ino(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn still_there(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Who works in a folder, for people.
fn holder(folder: &Path) -> String {
    let written = fs::read_to_string(folder.join(LOCK)).unwrap_or_default();
    match (Seen::in_folder(folder), written.trim()) {
        (Ok(Some(seen)), _) if seen.place().is_some() => {
            seen.place().map(ToString::to_string).unwrap_or_default()
        }
        (_, "") => "an unknown process".to_string(),
        (_, holder) => holder.to_string(),
    }
}

/// The process that has locked a folder, and whether it lives, as far as that can be known at one look. A claim that nobody holds any more may lie there.
pub(crate) fn worker(folder: &Path) -> Result<Option<(Place, Option<bool>)>> {
    let Some(seen) = Seen::in_folder(folder)? else { return Ok(None) };
    let Some(place) = seen.place() else { return Ok(None) };
    let lives = place.lives().or_else(|| place.job.as_ref().and_then(cluster::Job::runs));
    Ok(Some((place.clone(), lives)))
}
