//! A process where this crate knows no walls: only the time is limited. Used when the user has allowed it.

use super::Limits;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Debug, Clone)]
pub(super) struct Walls;

/// What is to be run.
pub(super) struct Program<'a> {
    pub executable: &'a Path,
    pub arguments: &'a [&'a str],
    pub environment: &'a [String],
    pub readable: &'a [PathBuf],
    pub runnable: &'a [PathBuf],
    pub folder: Option<&'a Path>,
    pub limits: &'a Limits,
    pub files: [BorrowedFd<'a>; 3],
}

/// A process; dropping it ends it.
#[derive(Debug)]
pub(super) struct Child(std::process::Child);

/// How a process came to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub cpu_seconds: f64,
}

impl Walls {
    pub fn planned() -> Self {
        Self
    }

    pub fn none() -> Self {
        Self
    }

    pub fn describe(&self) -> Vec<(&'static str, Option<&str>)> {
        vec![("walls", Some("known on Linux only"))]
    }

    /// Whether a process has a folder of its own that is not on a disk.
    pub fn have_a_folder(&self) -> bool {
        false
    }

    pub fn probe(&mut self, program: &Program) -> io::Result<Child> {
        self.start(program)
    }

    pub fn start(&self, program: &Program) -> io::Result<Child> {
        use std::os::unix::process::CommandExt;
        let [input, output, errors] = program.files;
        let stdio = |fd: BorrowedFd| fd.try_clone_to_owned().map(Stdio::from);
        Command::new(program.executable)
            .args(program.arguments)
            .env_clear()
            .envs(program.environment.iter().filter_map(|pair| pair.split_once('=')))
            .current_dir(program.folder.unwrap_or(Path::new("/")).join("box"))
            .stdin(stdio(input)?)
            .stdout(stdio(output)?)
            .stderr(stdio(errors)?)
            .process_group(0)
            .spawn()
            .map(Child)
    }
}

impl Child {
    pub fn poll(&mut self) -> Option<Ended> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.0.try_wait().ok()??;
        Some(Ended { code: status.code(), signal: status.signal(), cpu_seconds: 0.0 })
    }

    /// How long it has waited for a processor, which is not known here.
    pub fn waited(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    pub fn end(&mut self) -> Ended {
        if self.poll().is_none() {
            // SAFETY: a plain system call; the group is the child's own, which has not been waited for.
            unsafe { libc::kill(-(self.0.id() as libc::pid_t), libc::SIGKILL) };
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
        self.poll().unwrap_or(Ended { code: None, signal: None, cpu_seconds: 0.0 })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
