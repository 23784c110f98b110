//! Who computes where: a process, its machine, and its Slurm job. Slurm is asked where it is there, and never needed.
//!
//! A process of another machine cannot be looked at from here. So whoever holds something that others wait for writes down its [`Place`], and others
//! ask the kernel if it is the same one, or else Slurm whether the job runs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::process::{Command, Stdio};

/// A process on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The machine's name.
    pub host: String,
    /// What tells this running kernel, and this space of process numbers, from all others; empty where the system does not say.
    kernel: String,
    /// The process.
    pub pid: u32,
    /// When it began, in the kernel's ticks; 0 where the system does not say. Numbers of processes are used again.
    began: u64,
    /// The Slurm job that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// A task of Slurm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// As Slurm's commands take it: `17`, or `17_3` for a task of an array.
    pub id: String,
    /// How often it was requeued before.
    pub restarts: u32,
}

/// The variable in which a test names the machine that a process takes itself for. For tests only.
const MACHINE: &str = "UNFORGET_TEST_MACHINE";

impl Place {
    /// This process.
    pub fn here() -> Self {
        let read = |path: &str| {
            let text = std::fs::read_to_string(path).ok();
            text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let pid = std::process::id();
        if let Some(machine) = pretended() {
            let kernel = machine.clone();
            return Self { host: machine, kernel, pid, began: 0, job: Job::mine() };
        }
        let space = std::fs::read_link("/proc/self/ns/pid").ok();
        let space = space.map(|space| space.to_string_lossy().into_owned());
        let boot = read("/proc/sys/kernel/random/boot_id");
        Self {
            host: read("/proc/sys/kernel/hostname")
                .or_else(|| std::env::var("HOSTNAME").ok())
                .unwrap_or_else(|| "this machine".to_owned()),
            kernel: boot.zip(space).map_or_else(String::new, |(boot, space)| boot + " " + &space),
            pid,
            began: began(pid).unwrap_or(0),
            job: Job::mine(),
        }
    }

    /// Whether the process is on the same running machine as this one, so that the kernel knows of it.
    pub fn is_near(&self) -> bool {
        let here = Self::here();
        (&self.host, &self.kernel) == (&here.host, &here.kernel)
    }

    /// Whether the process is there; `None` if it is on another machine.
    pub fn lives(&self) -> Option<bool> {
        if !self.is_near() {
            return None;
        }
        let now = began(self.pid);
        Some(match (now, self.began) {
            (Some(now), before) if before > 0 => now == before,
            (Some(_), _) => true,
            (None, _) => exists(self.pid),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        self.job.iter().try_for_each(|job| write!(f, " (job {})", job.id))
    }
}

/// Whether a test has this process take itself for one of another machine.
pub(crate) fn pretended() -> Option<String> {
    std::env::var(MACHINE).ok().filter(|machine| !machine.is_empty())
}

/// When a process began, in ticks since the machine did.
fn began(pid: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name stands in brackets and may hold anything; a zombie has ended
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(unix)]
fn exists(pid: u32) -> bool {
    if std::path::Path::new("/proc/self/stat").exists() {
        return false;
    }
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 is sent to nobody; it only asks whether there is somebody.
    let sent = unsafe { libc::kill(pid, 0) };
    sent == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(not(unix))]
fn exists(_pid: u32) -> bool {
    true
}

impl Job {
    /// The one of this process, as Slurm's variables say.
    pub fn mine() -> Option<Self> {
        let number = |name: &str| {
            let value = std::env::var(name).ok()?;
            value.parse::<u32>().is_ok().then_some(value)
        };
        let id = match (number("SLURM_ARRAY_JOB_ID"), number("SLURM_ARRAY_TASK_ID")) {
            (Some(array), Some(task)) => format!("{array}_{task}"),
            _ => number("SLURM_JOB_ID")?,
        };
        let restarts = number("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok());
        Some(Self { id, restarts: restarts.unwrap_or(0) })
    }

    /// Whether it runs, as Slurm says; `None` where that cannot be asked. One that waits, in a queue or to begin again, does not run.
    pub fn runs(&self) -> Option<bool> {
        if let Some(mine) = Self::mine().filter(|mine| mine.id == self.id) {
            // Slurm does not start a task again before it takes the one before for ended
            return Some(mine.restarts <= self.restarts);
        }
        let queue = queue(std::slice::from_ref(&self.id))?;
        let of_this = queue.iter().find(|(id, _)| *id == self.id);
        Some(of_this.is_some_and(|(_, state)| !["PENDING", "REQUEUED"].contains(&state.as_str())))
    }
}

/// The tasks of `jobs` that are in Slurm's queue, waiting or running, each with its state; `None` where Slurm cannot be asked. A job that Slurm has
/// forgotten has none.
pub fn queue(jobs: &[String]) -> Option<Vec<(String, String)>> {
    if jobs.is_empty() {
        return Some(Vec::new());
    }
    // one at a time: of several, one that is forgotten makes an error of all
    let mut found = Vec::new();
    for job in jobs {
        let arguments = ["--noheader", "--array", "--format=%F|%K|%T", "--jobs", job.as_str()];
        let (fine, out, err) = ask("squeue", &arguments)?;
        if !fine && !err.contains("Invalid job id") {
            return None;
        }
        found.extend(out.lines().filter_map(task));
    }
    Some(found)
}

/// What Slurm's accounting says of the tasks of `jobs`: each with its state, such as `TIMEOUT`; nothing where there is no accounting.
pub fn accounts(jobs: &[String]) -> Vec<(String, String)> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let jobs = jobs.join(",");
    let format = "--format=JobID,State";
    let arguments = ["--noheader", "--parsable2", "--allocations", format, "--jobs", jobs.as_str()];
    match ask("sacct", &arguments) {
        Some((true, out, _)) => {
            let row = |line: &str| {
                let (job, state) = line.split_once('|')?;
                // "CANCELLED by 1000"
                Some((job.to_owned(), state.split(' ').next()?.to_owned()))
            };
            out.lines().filter_map(row).collect()
        }
        _ => Vec::new(),
    }
}

fn task(line: &str) -> Option<(String, String)> {
    let mut parts = line.trim().split('|');
    let (job, task, state) = (parts.next()?, parts.next()?, parts.next()?);
    let id = match task.parse::<u64>() {
        Ok(_) => format!("{job}_{task}"),
        Err(_) => job.to_owned(),
    };
    Some((id, state.to_owned()))
}

/// Whether a command went well, and what it said on both streams; `None` where there is no such command.
fn ask(command: &str, arguments: &[&str]) -> Option<(bool, String, String)> {
    let output = Command::new(command).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_when_it_began() {
        let here = Place::here();
        assert_eq!(here.lives(), Some(true));
        let other = |pid, began| Place { pid, began, ..here.clone() };
        if here.began > 0 {
            assert_eq!(
                other(here.pid, here.began + 1).lives(),
                Some(false),
                "its number was used again"
            );
            assert_eq!(other(u32::MAX, 1).lives(), Some(false));
        }
        let far = Place { kernel: "another boot".into(), ..here };
        assert_eq!(far.lives(), None);
    }

    #[test]
    fn tasks_of_arrays_have_their_number() {
        assert_eq!(task("12|3|RUNNING"), Some(("12_3".into(), "RUNNING".into())));
        assert_eq!(task("12|N/A|PENDING"), Some(("12".into(), "PENDING".into())));
        assert_eq!(task(""), None);
    }
}
