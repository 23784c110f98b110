//! Units as arrays of jobs in Slurm: one array for each kind of unit and depth, each after those that it needs.
//!
//! A task of an array does the unit of its number. Arrays wait for others to *end*, well or not (`afterany`): a unit that needs one that failed says so and
//! ends, the others go on.

use super::plan::Plan;
use super::status::State;
use super::submission::{Array, Submission, quoted};
use crate::cluster;
use crate::error::{Error, Result};
use crate::store::{Lock, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is asked of Slurm for each unit. Left out, it is as the cluster presets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The partition.
    pub partition: Option<String>,
    /// GPUs, such as `1` or `a100:1`.
    pub gpus: Option<String>,
    /// Processors.
    pub cpus: Option<usize>,
    /// The longest time, such as `02:00:00`.
    pub time: Option<String>,
    /// Memory, such as `32G`.
    pub memory: Option<String>,
    /// The account that pays.
    pub account: Option<String>,
    /// Most units of an array that run at once.
    pub throttle: Option<usize>,
}

/// Seconds before the end of its time at which a task is told.
const NOTICE: u64 = 120;

/// An array that is to be given to Slurm.
struct Group {
    kind: &'static str,
    units: Vec<usize>,
    /// Places of groups that must have ended before.
    after: BTreeSet<usize>,
    /// Jobs of earlier calls that must have.
    after_jobs: BTreeSet<String>,
}

impl Plan {
    /// What is not done and not in Slurm's queue, in arrays. `queued` has the jobs of units that are in the queue.
    fn groups(&self, wanted: &[bool], queued: &BTreeMap<usize, String>) -> Vec<Group> {
        let mut depth = vec![0; self.steps.len()];
        let mut groups: Vec<((usize, &'static str), Group)> = Vec::new();
        let mut group_of: BTreeMap<usize, usize> = BTreeMap::new();
        for step in &self.steps {
            depth[step.index] = step.needs.iter().map(|at| depth[*at] + 1).max().unwrap_or(0);
            if !wanted[step.index] {
                continue;
            }
            let key = (depth[step.index], step.unit.kind());
            let place = groups.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                let (units, after) = (Vec::new(), BTreeSet::new());
                let group = Group { kind: key.1, units, after, after_jobs: BTreeSet::new() };
                groups.push((key, group));
                groups.len() - 1
            });
            group_of.insert(step.index, place);
            let group = &mut groups[place].1;
            group.units.push(step.index);
            group.after.extend(step.needs.iter().filter_map(|at| group_of.get(at)));
            let jobs = step.needs.iter().filter_map(|at| queued.get(at).cloned());
            group.after_jobs.extend(jobs);
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let given =
            |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
        let text = |value: &Option<String>| value.clone();
        [
            given("partition", text(&self.partition)),
            given("gpus-per-node", text(&self.gpus)),
            given("cpus-per-task", self.cpus.map(|cpus| cpus.to_string())),
            given("time", text(&self.time)),
            given("mem", text(&self.memory)),
            given("account", text(&self.account)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// As `unforget sweep submit` takes them.
    fn as_given(&self) -> Vec<String> {
        let number = |value: Option<usize>| value.map(|value| value.to_string());
        [
            ("--partition", self.partition.clone()),
            ("--gpus", self.gpus.clone()),
            ("--cpus", number(self.cpus)),
            ("--time", self.time.clone()),
            ("--mem", self.memory.clone()),
            ("--account", self.account.clone()),
            ("--throttle", number(self.throttle)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .flatten()
        .collect()
    }
}

/// Gives Slurm what is neither done nor in its queue; returns what was given, if there was something.
///
/// Of calls that come at once, one gives, and the others find it given. The program is called as `program`, which every machine must see, as it must
/// see the store.
///
/// # Errors
/// The store cannot be written, there is no `sbatch`, or Slurm refuses; arrays that it took before are in its queue then, and are known.
pub fn submit(
    store: &Store,
    plan: &Plan,
    program: &Path,
    options: &Options,
) -> Result<Option<Submission>> {
    plan.write()?;
    let _lock = Lock::take(plan.folder(), true)?;
    let states = plan.status_by(store, |made| made.damaged(store))?.states;
    // of units in the queue, the job
    let mut queued: BTreeMap<usize, String> = BTreeMap::new();
    let earlier = Submission::read(plan)?;
    let jobs: Vec<String> = {
        let open = |array: &&Array| {
            array
                .units
                .iter()
                .any(|unit| states.get(*unit).is_some_and(|state| *state != State::Done))
        };
        earlier.iter().flat_map(|one| &one.arrays).filter(open).map(|one| one.job.clone()).collect()
    };
    let no_slurm = || {
        let hint =
            "Slurm's commands `sbatch` and `squeue` are needed; without Slurm, use --engine local";
        Error::missing("Slurm", "PATH", hint)
    };
    for (task, _) in cluster::queue(&jobs).ok_or_else(no_slurm)? {
        if let Some((job, unit)) = task.split_once('_')
            && let Ok(unit) = unit.parse()
        {
            queued.insert(unit, job.to_owned());
        }
    }
    let wanted: Vec<bool> = plan
        .steps
        .iter()
        .map(|step| states[step.index] != State::Done && !queued.contains_key(&step.index))
        .collect();
    let groups = plan.groups(&wanted, &queued);
    if groups.is_empty() {
        return Ok(None);
    }
    std::fs::create_dir_all(plan.logs()).map_err(Error::io("making", &plan.logs()))?;
    let script = script(plan, program, options);
    let command = command(plan, options);
    let mut submission = Submission { arrays: Vec::new(), command };
    for group in &groups {
        let after = group.after.iter().map(|at| submission.arrays[*at].job.clone());
        let after: Vec<String> = after.chain(group.after_jobs.iter().cloned()).collect();
        let given = sbatch(&arguments(plan, options, group, &after), &script);
        match given {
            Ok(job) => submission.arrays.push(Array { job, units: group.units.clone() }),
            Err(error) => {
                if !submission.arrays.is_empty() {
                    submission.keep(plan)?;
                }
                return Err(error);
            }
        }
    }
    submission.keep(plan)?;
    Ok(Some(submission))
}

/// What [`submit`] would do for a plan of which nothing is done, as a script for a shell.
pub fn print(plan: &Plan, program: &Path, options: &Options) -> String {
    let wanted = vec![true; plan.steps.len()];
    let groups = plan.groups(&wanted, &BTreeMap::new());
    let script = script(plan, program, options);
    let mut text = format!("#!/bin/bash\nset -e\nmkdir -p {}\n", quoted_path(&plan.logs()));
    for (at, group) in groups.iter().enumerate() {
        let after: Vec<String> = group.after.iter().map(|at| format!("$job{at}")).collect();
        let words: Vec<String> = arguments(plan, options, group, &after)
            .iter()
            .map(|word| match word.contains("$job") {
                true => format!("\"{word}\""),
                false => quoted(word),
            })
            .collect();
        let words = words.join(" ");
        text += &format!(
            "\n# {}: {}\njob{at}=$(sbatch {words} <<'EOF'\n{script}EOF\n)\n",
            group.kind,
            listed(&group.units)
        );
    }
    text
}

fn arguments(plan: &Plan, options: &Options, group: &Group, after: &[String]) -> Vec<String> {
    let throttle = options.throttle.map(|most| format!("%{most}")).unwrap_or_default();
    let logs = plan.logs().display().to_string().replace('%', "%%");
    let mut all = vec![
        "--parsable".to_owned(),
        format!("--job-name=unforget-{}-{}", plan.recipe.name, group.kind),
        format!("--array={}{throttle}", listed(&group.units)),
        format!("--output={logs}/%A_%a.log"),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
        format!("--signal=B:USR1@{NOTICE}"),
        format!("--chdir={}", plan.place.folder.display()),
    ];
    all.extend(options.arguments());
    if !after.is_empty() {
        all.push(format!("--dependency=afterany:{}", after.join(":")));
    }
    all
}

/// What each task runs. It becomes the program, so that the signal reaches that.
fn script(plan: &Plan, program: &Path, options: &Options) -> String {
    let workers = options.cpus.map(|cpus| format!(" --workers {cpus}")).unwrap_or_default();
    format!(
        "#!/bin/bash\nexec {} sweep work {} --index \"$SLURM_ARRAY_TASK_ID\"{workers}\n",
        quoted_path(program),
        quoted_path(plan.folder()),
    )
}

/// The call of [`submit`].
fn command(plan: &Plan, options: &Options) -> String {
    let mut words =
        vec!["unforget", "sweep", "submit"].into_iter().map(String::from).collect::<Vec<_>>();
    words.push(plan.folder().display().to_string());
    words.extend(["--engine", "slurm"].map(String::from));
    words.extend(options.as_given());
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// Numbers as Slurm takes them: `0-3,7`.
fn listed(units: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &unit in units {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == unit => *last = unit,
            _ => ranges.push((unit, unit)),
        }
    }
    let range = |(from, to): (usize, usize)| match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    };
    ranges.into_iter().map(range).collect::<Vec<_>>().join(",")
}

/// Gives Slurm an array; its number.
fn sbatch(arguments: &[String], script: &str) -> Result<String> {
    let refused = |problem: String| Error::invalid("sbatch", problem);
    let started = Command::new("sbatch")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| {
        refused(format!("cannot be called ({error}); without Slurm, use --engine local"))
    })?;
    if let Some(mut input) = child.stdin.take() {
        let written = input.write_all(script.as_bytes());
        written.map_err(|error| refused(format!("does not take the script: {error}")))?;
    }
    let output = child.wait_with_output().map_err(|error| refused(error.to_string()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        return Err(refused(format!("refuses: {}", said(&output.stderr))));
    }
    // a federation adds the cluster's name
    let out = said(&output.stdout);
    let job = out.lines().last().unwrap_or_default();
    let job = job.split(';').next().unwrap_or_default().to_owned();
    match job.parse::<u64>() {
        Ok(_) => Ok(job),
        Err(_) => Err(refused(format!("says {out:?} instead of the job's number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ranges() {
        assert_eq!(listed(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
        assert_eq!(listed(&[5]), "5");
    }
}
