//! Python that a model wrote, run where it can do no harm, and tested where it cannot lie.
//!
//! Two processes of the machine's `python3` work on one [`Job`]. The first runs the solution. The second, the checker, runs the
//! tests; the names that the solution defines are stand-ins there, whose calls cross over and whose values come back as plain data.
//! Only the checker says that the tests have passed, after the last one: so leaving early, patched built-ins, objects equal to
//! everything or a forged report are at best a wrong value.
//!
//! Both are confined before their first instruction: no network, no files but Python's own library, an empty folder of their own
//! in memory, no new processes, no environment, no input or output, and limits on time, memory and files ([`Limits`]). On Linux namespaces,
//! Landlock and seccomp see to that; [`Python::find`] tries what a solution must not be able to do and refuses to go on
//! where something succeeds. `unforget doctor` shows it.
//!
//! ```no_run
//! use unforget::sandbox::{Job, Limits, Outcome, Python};
//! let job = Job {
//!     solution: "def double(x):\n    return 2 * x".into(),
//!     tests: vec!["assert double(4) == 8".into()],
//!     ..Job::default()
//! };
//! let verdict = Python::find()?.check(&job, &Limits::default())?;
//! assert_eq!(verdict.outcome, Outcome::Passed);
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! A trap: arguments and values are copied. A test that looks whether the solution changed a list in place sees the old list, and an
//! object of the solution's own class equals only itself.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "other.rs"]
mod system;

mod python;
mod scratch;
#[cfg(test)]
mod tests;

pub use python::{ALLOW, Python, Tried};

use crate::error::{Error, Result};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A solution and its tests, all of it Python.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// What the model wrote.
    pub solution: String,
    /// What runs before the tests and after the solution: imports of the tests, objects that they share.
    pub before: Vec<String>,
    /// The tests, run one after another; each fails by an exception.
    pub tests: Vec<String>,
    /// Names that the tests take from the solution even where Python has a built-in function or a module of that name.
    pub own: Vec<String>,
    /// Whether the tests need packages beside Python's own library, such as numpy.
    pub packages: bool,
}

/// What one of the two processes may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Computing time.
    pub cpu_seconds: u64,
    /// Time by the clock for the whole job, less what its processes waited for a processor, so that a busy machine changes no result.
    /// The paper's code stops after ten seconds by the clock.
    pub wall_seconds: u64,
    /// Address space.
    pub memory_bytes: u64,
    /// Size of one file.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu_seconds: 10, wall_seconds: 10, memory_bytes: 1 << 30, file_bytes: 16 << 20 }
    }
}

/// How a job went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All tests ran to their end and none failed.
    Passed,
    /// A test failed, or the solution raised an exception.
    Failed,
    /// The solution is no Python.
    Unreadable,
    /// The solution's process ended, or cut its connection, before the tests were done.
    Ended,
    /// A limit of time was reached.
    TimedOut,
}

/// How a job went, and why in one phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// How it went.
    pub outcome: Outcome,
    /// One phrase without a full stop.
    pub why: String,
}

const WIRE: &str = include_str!("wire.py");
const SOLUTION: &str = include_str!("solution.py");
const CHECKER: &str = include_str!("checker.py");
/// Most bytes of a verdict that are read.
const MOST_VERDICT: u64 = 8 << 10;

impl Python {
    /// Runs `job`. The verdict is a function of the job alone, but for code that reads clocks or draws random numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the job's own tests cannot be run, [`Error::Io`] if the machine cannot start processes. Nothing that the
    /// solution does is an error.
    pub fn check(&self, job: &Job, limits: &Limits) -> Result<Execution> {
        if job.tests.is_empty() {
            return Err(Error::invalid("tests", "there are none, so nothing can pass"));
        }
        let null = Path::new("/dev/null");
        let pipe = || std::io::pipe().map_err(Error::io("making a pipe from", self.executable()));
        let (from_checker, to_solution) = pipe()?;
        let (from_solution, to_checker) = pipe()?;
        let (ours, theirs) =
            UnixStream::pair().map_err(Error::io("making a socket to", self.executable()))?;
        let nothing = std::fs::OpenOptions::new()
            .write(true)
            .open(null)
            .map_err(Error::io("opening", null))?;
        let run = |name: &str, script: &str, files| {
            self.start(name, &format!("{WIRE}\n{script}"), job.packages, limits, files)
        };
        let mut solution =
            run("solution", SOLUTION, [from_checker.as_fd(), to_checker.as_fd(), nothing.as_fd()])?;
        let mut checker =
            run("checker", CHECKER, [from_solution.as_fd(), to_solution.as_fd(), theirs.as_fd()])?;
        // What the processes hold must be theirs alone, or nobody would see that one has ended.
        drop((from_checker, to_solution, from_solution, to_checker, theirs));
        let waited = || solution.child.waited() + checker.child.waited();
        let (job, time) = (encode(job), Duration::from_secs(limits.wall_seconds));
        let text = exchange(ours, job, time, waited)?;
        let said = text.as_deref().and_then(parse);
        // A pipe closes a moment before its process has ended.
        let waits = match &said {
            Some((kind, _)) => *kind == "ended",
            None => text.is_some(),
        };
        let until = Instant::now() + Duration::from_millis(500);
        let one = |said: bool, child: &mut system::Child| {
            while said && child.poll().is_none() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            let by_itself = child.poll().is_some();
            (by_itself, child.end())
        };
        let (checker_left, of_checker) = one(waits && said.is_none(), &mut checker.child);
        let (solution_left, of_solution) = one(waits && said.is_some(), &mut solution.child);
        // Nothing but a limit ends a process so. The kernel counts time in ticks for the limit, so the sum may be below it.
        let spent = |left: bool, ended: &system::Ended| {
            left && ended.signal.is_some() && ended.cpu_seconds >= limits.cpu_seconds as f64 / 2.0
        };
        let verdict = |outcome, why: String| Ok(Execution { outcome, why });
        let (kind, why) = match said {
            Some(said) => said,
            None if text.is_none() => {
                let seconds = limits.wall_seconds;
                return verdict(
                    Outcome::TimedOut,
                    format!("the tests were not done after {seconds} s"),
                );
            }
            None if spent(checker_left, &of_checker) => {
                return verdict(
                    Outcome::TimedOut,
                    format!("comparing took more than {} s", limits.cpu_seconds),
                );
            }
            None => {
                return verdict(
                    Outcome::Failed,
                    format!(
                        "the checker stopped without a verdict: {}",
                        text.unwrap_or_default().lines().last().unwrap_or("no word")
                    ),
                );
            }
        };
        match kind {
            "passed" => verdict(Outcome::Passed, format!("all {why} tests passed")),
            "unreadable" => verdict(Outcome::Unreadable, why.to_string()),
            "broken" => Err(Error::invalid(
                "tests",
                format!(
                    "cannot be run by {} ({}): {why}",
                    self.executable().display(),
                    self.version()
                ),
            )),
            "ended" if spent(solution_left, &of_solution) => verdict(
                Outcome::TimedOut,
                format!("it computed for more than {} s: {why}", limits.cpu_seconds),
            ),
            "garbage" => verdict(Outcome::Ended, format!("it sent what is no value: {why}")),
            "ended" => {
                let how = match (solution_left, of_solution.code, of_solution.signal) {
                    (false, _, _) => "it cut its connection to the tests".to_string(),
                    (_, Some(code), _) => format!("it left by itself with exit code {code}"),
                    (_, _, Some(signal)) => format!("it was ended by signal {signal}"),
                    _ => "it is gone".to_string(),
                };
                verdict(Outcome::Ended, format!("{how}: {why}"))
            }
            _ => verdict(Outcome::Failed, why.to_string()),
        }
    }
}

/// The two lines of a verdict, if it is whole.
fn parse(text: &str) -> Option<(&str, String)> {
    let (kind, rest) = text.split_once('\n')?;
    let why = rest.strip_suffix("\n.\n")?;
    Some((kind, why.replace('\n', " ")))
}

/// Sends `request` to `other` and returns everything that comes back until it closes, up to a limit; none if it has not closed after
/// `time` and what `waited` says besides.
fn exchange(
    mut other: UnixStream,
    request: Vec<u8>,
    time: Duration,
    waited: impl Fn() -> Duration,
) -> Result<Option<String>> {
    let begin = Instant::now();
    let (send, receive) = mpsc::channel();
    let started = std::thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        // Who has ended does not read, but may have said why.
        let _ = other.write_all(&request);
        let _ = other.shutdown(Shutdown::Write);
        let _ = other.take(MOST_VERDICT).read_to_end(&mut bytes);
        // Nobody waits any more if the time was up.
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    started.map_err(|error| {
        let problem =
            format!("none can be started: {error}; raise the limit of processes (ulimit -u)");
        Error::invalid("threads", problem)
    })?;
    loop {
        let left = (time + waited()).saturating_sub(begin.elapsed());
        match receive.recv_timeout(left) {
            Ok(text) => return Ok(Some(text)),
            Err(_) if left.is_zero() => return Ok(None),
            Err(_) => {}
        }
    }
}

/// `job` as `wire.py` reads it.
fn encode(job: &Job) -> Vec<u8> {
    fn count(out: &mut Vec<u8>, letter: u8, count: usize) {
        out.push(letter);
        out.extend((count as u32).to_le_bytes());
    }
    fn text(out: &mut Vec<u8>, text: &str) {
        count(out, b's', text.len());
        out.extend(text.as_bytes());
    }
    let mut out = Vec::new();
    count(&mut out, b't', 4);
    text(&mut out, &job.solution);
    for list in [&job.before, &job.tests, &job.own] {
        count(&mut out, b'l', list.len());
        for one in list {
            text(&mut out, one);
        }
    }
    out
}
