//! The lock of a folder, on one machine and between machines.

use super::LOCK;
use super::claim::{Claim, Seen, Timing, Watch};
use super::disk::warn;
use crate::cluster::{self, Place};
use crate::error::{Error, Result, Word};
use crate::interruption;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
