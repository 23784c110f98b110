//! An empty folder for one run, removed with everything in it afterwards. Only where the machine gives a process none in memory.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The folder of one process; its working folder is `box` therein.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Result<Self> {
        // Only makes names differ; nothing depends on its value.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let root = std::env::temp_dir();
        let root = root.canonicalize().unwrap_or(root);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(&root));
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = root.join(format!("unforget-{}-{count}-{name}", std::process::id()));
            let mut folder = std::fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            match folder.create(&path) {
                Ok(()) => {
                    let made = Self(path);
                    let inside = made.0.join("box");
                    folder.create(&inside).map_err(Error::io("making a folder", &inside))?;
                    return Ok(made);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Error::io("making a folder for model-written code", &path)(error));
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Removes folders of processes that were killed: those of no process, and older than a job may be.
fn sweep(root: &Path) {
    const OLD: Duration = Duration::from_secs(600);
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(process) = name.strip_prefix("unforget-").and_then(|rest| rest.split('-').next())
        else {
            continue;
        };
        let ours = ["checker", "solution", "probe"].iter().any(|end| name.ends_with(end));
        // SAFETY: a plain system call; signal 0 only asks.
        let gone = process.parse().is_ok_and(|process| unsafe { libc::kill(process, 0) != 0 });
        let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
        if ours && gone && age.is_ok_and(|age| age.is_ok_and(|age| age > OLD)) {
            drop(Scratch(entry.path()));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.0).is_err() {
            make_removable(&self.0);
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Undoes what code may have done to the permissions of its own folders. Symbolic links are not followed.
fn make_removable(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}
