//! Points at which a test has the process end as if it had been killed there, or wait to be interrupted: no test has to be faster than the work.

use crate::interruption;
use std::path::Path;

/// The variable in which a test names the point to end at. For tests only.
const KILL: &str = "UNFORGET_TEST_KILL";

/// The variable in which a test names the point to wait at. For tests only.
const WAIT: &str = "UNFORGET_TEST_WAIT";

/// The variable in which a test names a file: who waits, waits only while it is there. For tests only.
const GATE: &str = "UNFORGET_TEST_GATE";

/// If a test named this point: ends the process at once, as a kill from outside does, or says so on stderr and waits to be interrupted.
pub(crate) fn point(name: &str) {
    if named(WAIT, name) {
        eprintln!("waits at {name}");
        let closed = || std::env::var_os(GATE).is_none_or(|gate| Path::new(&gate).exists());
        while closed() && interruption::check().is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    if is_named(name) {
        #[cfg(unix)]
        // SAFETY: a plain call of the C library with one of its own constants.
        unsafe {
            libc::raise(libc::SIGKILL);
        }
        std::process::abort();
    }
}

/// Whether a test wants the process to end at this point.
pub(crate) fn is_named(name: &str) -> bool {
    named(KILL, name)
}

fn named(variable: &str, name: &str) -> bool {
    std::env::var_os(variable).is_some_and(|point| point == name)
}
