//! A notebook's interrupt, turned into an error at the next step, so that the variables of the page live on.
//!
//! A kernel that ends the process of its cells loses all variables. With [`heed`] the first interrupt is remembered instead: what takes long asks
//! [`check`] at each step, keeps what it has, and returns [`Error::Interrupted`]; run again, it resumes there. A second interrupt ends the
//! process, for code that does not ask. Whether somebody has asked to stop concerns a whole process, so this is the one thing that the
//! crate keeps for all of it.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// When an interrupt came, in milliseconds of a clock that only runs forward; 0 for none.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// Whether work has ended because of it.
static HEEDED: AtomicBool = AtomicBool::new(false);
/// The first signal of a cluster that came; 0 for none.
static TOLD: AtomicI32 = AtomicI32::new(0);
/// Pieces of work under way.
static WORKING: AtomicUsize = AtomicUsize::new(0);

/// Whether an interrupt ends the program, so that it is never forgotten.
static ENDS: AtomicBool = AtomicBool::new(false);

/// An interrupt that came this long before a piece of work was not meant for it; a second one within it is the same press.
const STALE: Duration = Duration::from_secs(1);

/// From now on an interrupt (`SIGINT`) is an error of the work that goes on. Where there are no such signals this does nothing.
pub fn heed() {
    #[cfg(unix)]
    // SAFETY: the handler only touches atomics and calls `clock_gettime`, `write` and `_exit`, which a handler may.
    unsafe {
        let handler: extern "C" fn(libc::c_int) = asked;
        libc::signal(libc::SIGINT, handler as libc::sighandler_t);
    }
}

/// From now on the signals by which a cluster asks to stop (`SIGUSR1`, `SIGTERM`) are, like an interrupt, an error of the work that goes on; however
/// often they come.
pub fn heed_the_cluster() {
    #[cfg(unix)]
    // SAFETY: the handler only touches atomics and calls `clock_gettime`, which a handler may.
    unsafe {
        let handler: extern "C" fn(libc::c_int) = told;
        libc::signal(libc::SIGUSR1, handler as libc::sighandler_t);
        libc::signal(libc::SIGTERM, handler as libc::sighandler_t);
    }
}

/// Whether `SIGUSR1` came: the time is nearly up, and the work may begin again.
pub fn is_time_up() -> bool {
    #[cfg(unix)]
    return TOLD.load(Ordering::Relaxed) == libc::SIGUSR1;
    #[cfg(not(unix))]
    false
}

/// What a program says that ends by an interrupt.
pub const RESUMES: &str = "interrupted: finished work is saved, and the same command resumes";

/// From now on an interrupt ends the program with the exit code 130: work that asks [`check`] saves itself first. A second interrupt, or ten seconds
/// without an answer, end it at once; what the store holds is whole at any time.
pub fn end_soon() {
    #[cfg(unix)]
    // SAFETY: the handlers only touch atomics and call `clock_gettime`, `alarm`, `write` and `_exit`, which a handler may.
    unsafe {
        ENDS.store(true, Ordering::Relaxed);
        let (first, last): (extern "C" fn(libc::c_int), extern "C" fn(libc::c_int)) = (ending, end);
        libc::signal(libc::SIGINT, first as libc::sighandler_t);
        libc::signal(libc::SIGALRM, last as libc::sighandler_t);
    }
}

/// From now on an interrupt is not for this process, but for a program that it started before and waits for.
pub fn ignore() {
    #[cfg(unix)]
    // SAFETY: a plain call of the C library with one of its own constants.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}

/// Called by what takes long, at each step.
///
/// # Errors
/// Somebody asked to stop: [`Error::Interrupted`].
pub fn check() -> Result<()> {
    match ASKED.load(Ordering::Relaxed) {
        0 => Ok(()),
        _ => {
            HEEDED.store(true, Ordering::Relaxed);
            Err(Error::Interrupted)
        }
    }
}

/// A piece of work that goes on until this is dropped. When the last one has ended because of an interrupt, it is forgotten.
#[derive(Debug)]
pub(crate) struct Working(());

impl Working {
    pub(crate) fn begin() -> Self {
        let first = WORKING.fetch_add(1, Ordering::Relaxed) == 0;
        let asked = ASKED.load(Ordering::Relaxed);
        // what ends the program, or a cluster says, is meant for whatever comes
        let ends = ENDS.load(Ordering::Relaxed) || TOLD.load(Ordering::Relaxed) != 0;
        if first && !ends && asked > 0 && now().saturating_sub(asked) > STALE.as_millis() as u64 {
            ASKED.store(0, Ordering::Relaxed);
        }
        Self(())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let last = WORKING.fetch_sub(1, Ordering::Relaxed) == 1;
        let told = TOLD.load(Ordering::Relaxed) != 0;
        if last && HEEDED.swap(false, Ordering::Relaxed) && !told {
            ASKED.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
extern "C" fn asked(_signal: libc::c_int) {
    let now = now();
    match ASKED.load(Ordering::Relaxed) {
        0 => ASKED.store(now, Ordering::Relaxed),
        first if now.saturating_sub(first) > STALE.as_millis() as u64 => {
            to_stderr("interrupted twice: this process ends, and what was not saved is lost\n");
            // SAFETY: a plain call of the C library that a handler may make.
            unsafe { libc::_exit(130) };
        }
        _ => {}
    }
}

#[cfg(unix)]
extern "C" fn told(signal: libc::c_int) {
    let _ = TOLD.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    if ASKED.load(Ordering::Relaxed) == 0 {
        ASKED.store(now(), Ordering::Relaxed);
    }
}

#[cfg(unix)]
extern "C" fn ending(signal: libc::c_int) {
    /// A second interrupt within so many milliseconds is the same press.
    const SAME: u64 = 200;
    /// Seconds that the work has to save itself.
    const GRACE: libc::c_uint = 10;
    let now = now();
    match ASKED.load(Ordering::Relaxed) {
        0 => {
            ASKED.store(now, Ordering::Relaxed);
            to_stderr("\nstopping as soon as the work is saved; Ctrl-C again ends at once\n");
            // SAFETY: a plain call of the C library that a handler may make.
            unsafe { libc::alarm(GRACE) };
        }
        first if now.saturating_sub(first) > SAME => end(signal),
        _ => {}
    }
}

#[cfg(unix)]
extern "C" fn end(_signal: libc::c_int) {
    to_stderr("\n");
    to_stderr(RESUMES);
    to_stderr("\n");
    // SAFETY: a plain call of the C library that a handler may make.
    unsafe { libc::_exit(130) };
}

#[cfg(unix)]
fn to_stderr(text: &str) {
    // SAFETY: `write` may be called in a handler; the text outlives the call.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// Milliseconds of the system's clock that only runs forward, at least 1.
#[cfg(unix)]
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000).max(1)
}

#[cfg(not(unix))]
fn now() -> u64 {
    1
}
