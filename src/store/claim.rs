//! The right to work in a folder that several machines see.
//!
//! A lock of the kernel ([`Lock`](super::lock)) holds on one machine, and on a network file system only as far as that passes it on. So whoever works in a
//! folder has a file there as well, its claim. What is relied on, on NFS (version 3 and later), Lustre, GPFS or a local disk alike:
//!
//! - `link` fails if the name is there. A lost answer of the server is told by the link count of the file that was linked. Where there are no hard
//!   links, a file is made that must not exist (`O_EXCL`).
//! - `rename` and `unlink` are whole.
//! - A file that is opened shows what its last writer wrote and closed (close-to-open).
//!
//! Clocks of machines are never compared. The holder sets its claim's time anew while it works; who waits sees it *change*, or not, for so long on its own
//! clock.

use super::disk;
use crate::cluster::Place;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The claim's name in its folder.
const FILE: &str = ".claim";

/// How fast hearts beat, and how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Between two signs of life.
    pub beat: Duration,
    /// As long a silence makes one ask the scheduler.
    pub silent: Duration,
    /// As long a silence, where nobody can be asked, is death.
    pub dead: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        // a test does not wait for minutes
        match std::env::var("UNFORGET_TEST_BEAT_MS").ok().and_then(|beat| beat.parse().ok()) {
            Some(beat) => {
                let beat = Duration::from_millis(beat);
                Self { beat, silent: beat * 6, dead: beat * 20 }
            }
            None => Self { beat: seconds(10), silent: seconds(60), dead: seconds(600) },
        }
    }
}

/// Who works in a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Holder {
    /// Tells this claim from all others.
    token: String,
    place: Place,
}

/// A claim that is held; given back when dropped. Its heart beats meanwhile.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    token: String,
    stop: Arc<(Mutex<bool>, Condvar)>,
    heart: Option<std::thread::JoinHandle<()>>,
}

impl Claim {
    /// Claims `folder`; `None` if somebody has.
    pub fn make(folder: &Path, timing: Timing) -> Result<Option<Self>> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = folder.join(FILE);
        let place = Place::here();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let token = format!("{}-{}-{}-{number}", place.host, place.pid, since.as_nanos());
        let holder = Holder { token: token.clone(), place };
        let text = serde_json::to_vec(&holder).map_err(Error::library("packing a claim"))?;
        if !link_new(&path, &text)? {
            return Ok(None);
        }
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let started = {
            let (path, token, stop) = (path.clone(), token.clone(), stop.clone());
            let beat = move || {
                let (ended, woken) = &*stop;
                let mut over = ended.lock().unwrap_or_else(|broken| broken.into_inner());
                while !*over {
                    let waited = woken.wait_timeout(over, timing.beat);
                    over = waited.unwrap_or_else(|broken| broken.into_inner()).0;
                    if !*over {
                        sign_of_life(&path, &token);
                    }
                }
            };
            let thread = std::thread::Builder::new().name("heart".into());
            thread.spawn(beat)
        };
        let mut claim = Self { path, token, stop, heart: None };
        // a claim without a heart is given back at once
        let heart = started.map_err(Error::io("starting a thread for", &claim.path))?;
        claim.heart = Some(heart);
        Ok(Some(claim))
    }

    /// Whether the claim is still this one's: others may have taken it for dead.
    pub fn is_held(&self) -> bool {
        holds(&self.path, &self.token)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(|broken| broken.into_inner()) = true;
        self.stop.1.notify_all();
        let _ = self.heart.take().map(std::thread::JoinHandle::join);
        if holds(&self.path, &self.token) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn holds(path: &Path, token: &str) -> bool {
    Seen::at(path).is_ok_and(|seen| seen.is_some_and(|seen| seen.is(token)))
}

/// Sets the claim's time anew, if it is still this one's. A disk that does not answer now may answer at the next beat.
fn sign_of_life(path: &Path, token: &str) {
    if holds(path, token)
        && let Ok(file) = OpenOptions::new().write(true).open(path)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Makes the file `path` with `text` in it, whole; false if it is there.
fn link_new(path: &Path, text: &[u8]) -> Result<bool> {
    let (part, mut file) = disk::part_beside(path).map_err(Error::io("locking", path))?;
    let written = file.write_all(text).map_err(Error::io("writing", path));
    drop(file);
    let linked = written.and_then(|()| match std::fs::hard_link(&part, path) {
        Ok(()) => Ok(true),
        Err(_) if links(&part) == Some(2) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // whoever works here has cleaned up
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(_) => match File::create_new(path) {
            Ok(mut file) => file.write_all(text).map(|()| true).map_err(Error::io("writing", path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("locking", path)(error)),
        },
    });
    let _ = std::fs::remove_file(&part);
    linked
}

#[cfg(unix)]
fn links(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|seen| seen.nlink())
}

#[cfg(not(unix))]
fn links(_path: &Path) -> Option<u64> {
    None
}

/// A claim as it lies in a folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// `None` if it does not read, as one that is being written where there are no hard links.
    holder: Option<Holder>,
    /// When its heart beat, on whatever clock.
    beat: Option<SystemTime>,
}

impl Seen {
    fn at(path: &Path) -> std::io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let beat = file.metadata().and_then(|seen| seen.modified()).ok();
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(Some(Self { holder: serde_json::from_slice(&text).ok(), beat }))
    }

    /// The claim in `folder`.
    pub fn in_folder(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        Self::at(&path).map_err(Error::io("reading", &path))
    }

    fn is(&self, token: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.token == token)
    }

    /// The process that made it.
    pub fn place(&self) -> Option<&Place> {
        self.holder.as_ref().map(|holder| &holder.place)
    }

    /// Takes it away, if nobody else did: what it stands for is dead.
    pub fn bury(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let mine = match Self::in_folder(folder)? {
            Some(now) if now.holder == self.holder => {
                disk::part_beside(&path).map_err(Error::io("removing", &path))?.0
            }
            _ => return Ok(()),
        };
        match std::fs::rename(&path, &mine) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("removing", &path)(error)),
            Ok(()) => {
                let taken = Self::at(&mine).ok().flatten();
                if taken.is_some_and(|taken| taken.holder != self.holder) {
                    // between looking and taking somebody else buried it and made another
                    let _ = std::fs::hard_link(&mine, &path);
                }
            }
        }
        let _ = std::fs::remove_file(&mine);
        Ok(())
    }
}

/// Watches a claim of others, to tell whether its holder lives.
#[derive(Debug)]
pub(super) struct Watch {
    timing: Timing,
    last: Option<Seen>,
    since: Instant,
    asked: Option<Instant>,
}

impl Watch {
    pub fn new(timing: Timing) -> Self {
        Self { timing, last: None, since: Instant::now(), asked: None }
    }

    /// Whether the holder of `seen` is dead: its process is gone from this machine; or its heart is silent and Slurm says that its job does not run; or it is
    /// silent for long, and nobody can be asked.
    pub fn is_dead(&mut self, seen: &Seen) -> bool {
        if self.last.as_ref() != Some(seen) {
            (self.last, self.since, self.asked) = (Some(seen.clone()), Instant::now(), None);
        }
        if let Some(lives) = seen.place().and_then(Place::lives) {
            return !lives;
        }
        let silence = self.since.elapsed();
        if silence < self.timing.silent {
            return false;
        }
        // Slurm is not asked at every look
        if self.asked.is_some_and(|asked| asked.elapsed() < self.timing.silent) {
            return false;
        }
        self.asked = Some(Instant::now());
        match seen.place().and_then(|place| place.job.as_ref()).and_then(|job| job.runs()) {
            Some(runs) => !runs,
            None => silence >= self.timing.dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Timing = Timing {
        beat: Duration::from_millis(20),
        silent: Duration::from_millis(200),
        dead: Duration::from_millis(400),
    };

    #[test]
    fn a_claim_that_was_taken_for_dead_is_lost_and_takes_no_other_along() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let claim = Claim::make(folder, FAST).unwrap().unwrap();
        assert!(claim.is_held() && Claim::make(folder, FAST).unwrap().is_none());
        let seen = Seen::in_folder(folder).unwrap().unwrap();
        seen.bury(folder).unwrap();
        assert!(!claim.is_held());
        let next = Claim::make(folder, FAST).unwrap().unwrap();
        // somebody who is late with the same judgment
        seen.bury(folder).unwrap();
        assert!(next.is_held());
        drop(claim);
        assert!(next.is_held());
        drop(next);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }

    #[test]
    fn only_a_heart_that_does_not_beat_is_dead_however_old_its_claim() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let far = r#"{"token":"x","place":{"host":"far","kernel":"another","pid":1,"began":1}}"#;
        std::fs::write(&path, far).unwrap();
        let beats_at = |seconds| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let mut watch = Watch::new(FAST);
        let mut dead = || watch.is_dead(&Seen::in_folder(folder.path()).unwrap().unwrap());
        for beat in [5, 4, 9] {
            beats_at(beat);
            assert!(!dead(), "its clock may be anything");
            std::thread::sleep(FAST.dead);
        }
        assert!(dead());
        beats_at(10);
        assert!(!dead());
    }
}
