//! The machine's Python, and what keeps it in.

use super::scratch::Scratch;
use super::system::{Child, Program, Walls};
use super::{Limits, exchange};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The variable that lets model-written code run on a machine which cannot confine it. Set it to `1` where the whole machine is there to
/// be thrown away.
pub const ALLOW: &str = "UNFORGET_ALLOW_UNCONFINED_PYTHON";

/// Where Linux keeps libraries and what else a Python program may have to read.
const SYSTEM: [&str; 9] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
];

const READING: &str = "reading files";

/// The `python3` of this machine, found and tried.
#[derive(Debug, Clone)]
pub struct Python {
    found: Found,
    walls: Walls,
    tried: Vec<Tried>,
    readable: Vec<PathBuf>,
    runnable: Vec<PathBuf>,
}

/// Something that a solution must not be able to do (or, for `scratch`, must), as it went when tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// `write` and `read` files outside, `network`, new `process`, `signal` to another process; `scratch` files of its own.
    pub deed: String,
    /// Whether it succeeded.
    pub done: bool,
    /// What Python said.
    pub said: String,
}

/// A process, and its folder if that is on a disk.
pub(super) struct Running {
    pub child: Child,
    _folder: Option<Scratch>,
}

/// What `find.py` says.
#[derive(Debug, Clone, Deserialize)]
struct Found {
    executable: PathBuf,
    version: String,
    recent: bool,
    library: Vec<PathBuf>,
    packages: Vec<PathBuf>,
    mapped: Vec<PathBuf>,
}

impl Python {
    /// The `python3` on the path, behind walls that hold. Looked for once in a program's life.
    ///
    /// # Errors
    /// There is no `python3`, it is too old, or this machine cannot confine it and [`ALLOW`] is not set.
    pub fn find() -> Result<&'static Self> {
        static FOUND: OnceLock<std::result::Result<Python, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| Self::look().map_err(|error| error.to_string()));
        found.as_ref().map_err(|why| Error::invalid("python3", why.clone()))
    }

    /// The interpreter's file.
    pub fn executable(&self) -> &Path {
        &self.found.executable
    }

    /// Such as `3.11.2`.
    pub fn version(&self) -> &str {
        &self.found.version
    }

    /// What was tried behind the walls.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The walls by name, and why one is missing.
    pub fn walls(&self) -> Vec<(&'static str, Option<&str>)> {
        self.walls.describe()
    }

    /// This Python with fewer walls, tried again.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn without(&self, walls: &[&str]) -> Result<Self> {
        let mut python = self.clone();
        python.walls = Walls::planned().without(walls);
        python.tried = python.probe()?;
        Ok(python)
    }

    /// What a solution could do here that it must not.
    pub fn gaps(&self) -> Vec<&str> {
        gaps(&self.tried)
    }

    fn look() -> Result<Self> {
        let found = Found::ask()?;
        if !found.recent {
            return Err(Error::invalid(
                "version",
                format!(
                    "{} is Python {}; tasks that run code need 3.8 or newer",
                    found.executable.display(),
                    found.version
                ),
            ));
        }
        let existing = |path: &PathBuf| path.exists();
        let mut python = Self {
            readable: SYSTEM
                .iter()
                .map(PathBuf::from)
                .chain(found.library.iter().cloned())
                .chain(found.mapped.iter().cloned())
                .filter(existing)
                .collect(),
            // The program itself and the loader that starts it; other files among those mapped are libraries.
            runnable: found
                .mapped
                .iter()
                .filter(|path| {
                    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld"))
                })
                .cloned()
                .chain([found.executable.clone()])
                .filter(existing)
                .collect(),
            walls: Walls::planned(),
            tried: Vec::new(),
            found,
        };
        let allowed = std::env::var_os(ALLOW).is_some_and(|value| value == "1");
        python.tried = match python.probe() {
            Ok(tried) => tried,
            Err(_) if allowed => {
                python.walls = Walls::none();
                python.probe()?
            }
            Err(error) => return Err(error),
        };
        // What is read cannot be sent anywhere, so a kernel without Landlock may do.
        let gaps: Vec<&str> = python.gaps().into_iter().filter(|gap| *gap != READING).collect();
        if !gaps.is_empty() && !allowed {
            let missing: Vec<String> = python
                .walls()
                .iter()
                .filter_map(|(wall, why)| why.map(|why| format!("{wall}: {why}")))
                .collect();
            return Err(Error::invalid(
                "sandbox",
                format!(
                    "this machine cannot keep model-written code from: {} (missing: {}); use Linux 5.13 or newer with Landlock and seccomp, or \
                     set {ALLOW}=1 on a machine that may be harmed",
                    gaps.join(", "),
                    missing.join("; ")
                ),
            ));
        }
        Ok(python)
    }

    /// Starts this Python on `script` in a folder of its own, which is called `name` where it has to be on a disk.
    pub(super) fn start(
        &self,
        name: &str,
        script: &str,
        packages: bool,
        limits: &Limits,
        files: [BorrowedFd; 3],
    ) -> Result<Running> {
        let arguments = arguments(script);
        let (environment, readable) = self.surroundings(packages);
        let folder = if self.walls.have_a_folder() { None } else { Some(Scratch::new(name)?) };
        let program = Program {
            executable: &self.found.executable,
            arguments: &arguments,
            environment: &environment,
            readable: &readable,
            runnable: &self.runnable,
            folder: folder.as_ref().map(Scratch::path),
            limits,
            files,
        };
        let child = self
            .walls
            .start(&program)
            .map_err(Error::io("starting python3", &self.found.executable))?;
        Ok(Running { child, _folder: folder })
    }

    /// All of the environment, and what may be read.
    fn surroundings(&self, packages: bool) -> (Vec<String>, Vec<PathBuf>) {
        // One seed of hashes, or the order of a set of texts would differ from run to run.
        let mut environment = vec!["PYTHONHASHSEED=0".to_string()];
        let mut readable = self.readable.clone();
        if packages {
            let folders: Vec<_> = self.found.packages.iter().map(|p| p.to_string_lossy()).collect();
            environment.push(format!("PYTHONPATH={}", folders.join(":")));
            environment.push("OPENBLAS_NUM_THREADS=1".to_string());
            readable.extend(self.found.packages.iter().cloned());
        }
        (environment, readable)
    }

    /// Puts the walls up, takes down from the plan what does not stand, and tries them.
    fn probe(&mut self) -> Result<Vec<Tried>> {
        let folder = Scratch::new("probe")?;
        let outside = folder.path().with_extension("outside");
        let (ours, theirs) =
            UnixStream::pair().map_err(Error::io("making a socket for", folder.path()))?;
        let nothing = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(Error::io("opening", Path::new("/dev/null")))?;
        let (outside_name, pid) = (outside.to_string_lossy(), std::process::id().to_string());
        let mut arguments = arguments(include_str!("probe.py"));
        arguments.extend([outside_name.as_ref(), pid.as_str()]);
        let (environment, readable) = self.surroundings(false);
        let program = Program {
            executable: &self.found.executable,
            arguments: &arguments,
            environment: &environment,
            readable: &readable,
            runnable: &self.runnable,
            folder: Some(folder.path()),
            limits: &Limits::default(),
            files: [nothing.as_fd(), theirs.as_fd(), theirs.as_fd()],
        };
        let mut child = self
            .walls
            .probe(&program)
            .map_err(Error::io("starting python3", &self.found.executable))?;
        drop(theirs);
        let wait = Duration::from_secs(60);
        let text = exchange(ours, Vec::new(), wait, || Duration::ZERO)?.unwrap_or_default();
        child.end();
        let _ = std::fs::remove_file(&outside);
        let tried: Vec<Tried> = text
            .lines()
            .filter_map(|line| {
                let (deed, said) = line.split_once(' ')?;
                Some(Tried { deed: deed.to_string(), done: said == "done", said: said.to_string() })
            })
            .collect();
        if tried.len() != 6 || tried[5].deed != "scratch" || !tried[5].done {
            return Err(Error::invalid(
                "sandbox",
                format!(
                    "{} does not run behind its walls: {}",
                    self.found.executable.display(),
                    text.lines().last().unwrap_or("it says nothing")
                ),
            ));
        }
        Ok(tried)
    }
}

/// Without `site` and byte code files, in UTF-8. `-I` would do more, but it also ignores the seed of the hashes.
fn arguments(script: &str) -> Vec<&str> {
    vec!["-S", "-s", "-B", "-X", "utf8", "-c", script]
}

fn gaps(tried: &[Tried]) -> Vec<&str> {
    tried
        .iter()
        .filter(|tried| tried.done && tried.deed != "scratch")
        .map(|tried| match tried.deed.as_str() {
            "write" => "writing files",
            "read" => READING,
            "network" => "using the network",
            "process" => "starting processes",
            _ => "sending signals",
        })
        .collect()
}

impl Found {
    /// Asks the `python3` on the path, without walls: it is the user's own.
    fn ask() -> Result<Self> {
        let output = Command::new("python3")
            .args(["-I", "-c", include_str!("find.py")])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| {
                Error::invalid(
                    "path",
                    format!(
                        "there is no python3 ({error}); tasks that run code need it (apt install python3), other tasks do not"
                    ),
                )
            })?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            Error::invalid(
                "path",
                format!(
                    "the python3 there does not start: {}",
                    said.lines().last().unwrap_or("it says nothing")
                ),
            )
        })
    }
}
