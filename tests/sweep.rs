//! A recipe in units: the same results as in one call, whoever does them, however often they are tried, and whatever ends them.

use crate::support::killed_at;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use unforget::context::Context;
use unforget::experiment::{self, Recipe};
use unforget::model::DeviceChoice;
use unforget::progress::Progress;
use unforget::store::Store;

/// Fourteen units: two arms at two rates, and a second seed at each arm's best one.
pub(crate) const TINY: &str = r#"
name = "tiny"
arms = ["ground_truth", "stm(2.5)"]
learning_rates = [1e-3, 3e-3]
seeds = [1, 2]
non_target = ["algebra"]
max_new_tokens = 8
[sizes]
train = 6
validation = 2
test = 2
[finetune]
num_epochs = 1
batch_size = 2
"#;

/// Where in the plan of [`TINY`] things stand.
const SCORE: usize = 1;
const FIRST_TRAIN: usize = 2;
const FIRST_EVALUATE: usize = 6;
const FIRST_CHOSEN: usize = 10;

/// A folder with a recipe, in which the program is called.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) variables: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new(recipe: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        std::fs::write(place.path("recipe.toml"), recipe).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .envs(self.variables.iter().cloned())
            .env_remove("UNFORGET_STORE")
            .env_remove("SLURM_JOB_ID")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn said(output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    }

    /// What a call that must work prints.
    pub(crate) fn works(&self, arguments: &str) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "`{arguments}`: {}", Self::said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a call says that must not work.
    fn refused(&self, arguments: &str) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.status.success(), "`{arguments}`: {}", Self::said(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.works(arguments)).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        self.json("sweep status recipe.toml --json")
    }

    /// The word for each unit.
    pub(crate) fn states(&self) -> Vec<String> {
        let status = self.status();
        let units = status["units"].as_array().unwrap();
        units.iter().map(|unit| unit["state"]["state"].as_str().unwrap().to_owned()).collect()
    }

    fn work(&self, unit: usize) -> String {
        format!("sweep work recipe.toml --index {unit}")
    }

    /// The manifest, line by line.
    pub(crate) fn plan(&self) -> Vec<Value> {
        let lines = self.works("sweep plan recipe.toml --json");
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The folder in which a unit is recorded.
    fn unit(&self, index: usize) -> PathBuf {
        let step = &self.plan()[index];
        let hash = step["hash"].as_str().unwrap();
        let units = std::fs::read_dir(self.path("unforget-store/unit")).unwrap();
        let mut units = units.map(|entry| entry.unwrap().path());
        units.find(|path| path.to_string_lossy().ends_with(hash)).unwrap()
    }

    /// How often each unit was tried; by its folder's name.
    pub(crate) fn tries(&self) -> BTreeMap<String, usize> {
        let units = std::fs::read_dir(self.path("unforget-store/unit")).unwrap();
        let count = |path: PathBuf| {
            let lines = std::fs::read_to_string(path.join("tries.jsonl")).unwrap_or_default();
            (path.file_name().unwrap().to_string_lossy().into_owned(), lines.lines().count())
        };
        units.map(|entry| count(entry.unwrap().path())).collect()
    }

    /// What must be the same wherever and however it was made: adapters, answers and scores, by their place in the store.
    pub(crate) fn made(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let store = self.path("unforget-store");
        let mut found = BTreeMap::new();
        for kind in ["finetune", "evaluate", "scores", "pool"] {
            for file in files(&store.join(kind)) {
                let name = file.strip_prefix(&store).unwrap().to_path_buf();
                let kept = name.extension().is_some_and(|end| end == "safetensors")
                    || kind != "finetune" && kind != "pool" && name.ends_with("result.json");
                if kept {
                    found.insert(name, std::fs::read(&file).unwrap());
                }
            }
        }
        found
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    };
    entries.flat_map(|entry| below(entry.unwrap().path())).collect()
}

/// Results without what says how fast a machine was.
pub(crate) fn without_seconds(mut results: Value) -> Value {
    results["seconds"] = Value::Null;
    for (list, seconds) in [("runs", "train_seconds"), ("data", "seconds")] {
        for one in results[list].as_array_mut().unwrap() {
            one[seconds] = Value::Null;
        }
    }
    results
}

/// What one call of `run` makes, in a place of its own.
pub(crate) fn in_one_call(recipe: &str) -> (Place, Value) {
    let place = Place::new(recipe);
    let results = place.json("run recipe.toml --json");
    (place, results)
}

fn all_end(mut children: Vec<Child>) -> Vec<bool> {
    children.iter_mut().map(|child| child.wait().unwrap().success()).collect()
}

#[test]
fn one_call_and_units_one_by_one_give_the_same_bytes() {
    let (whole, expected) = in_one_call(TINY);
    // what it did is known as units, too
    assert!(whole.states().iter().all(|state| state == "done"), "{:?}", whole.states());
    // and is what the library gives, out of the same store
    let store = Store::open(whole.path("unforget-store")).unwrap();
    let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
    let recipe: Recipe = TINY.parse().unwrap();
    let results = serde_json::to_value(experiment::run(&cx, &recipe).unwrap()).unwrap();
    assert_eq!(results, expected);

    let units = Place::new(TINY);
    let plan = units.plan();
    assert_eq!(plan.len(), 14);
    let kinds: Vec<&str> = plan.iter().map(|step| step["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[..3], ["base", "score", "train"]);
    let needs = |at: usize| plan[at]["needs"].as_array().unwrap().len();
    // the answers of the arm; for the second seed, also how each rate scored
    assert_eq!((needs(0), needs(FIRST_TRAIN), needs(FIRST_CHOSEN)), (0, 1, 3));
    let table = units.works("sweep plan recipe.toml");
    assert!(
        table.contains("10  waiting   train ground_truth chosen rate seed 2  needs 1, 6, 7"),
        "{table}"
    );

    // what needs another says so, by number and name
    let error = units.refused(&units.work(FIRST_EVALUATE));
    assert!(
        error.contains("unit 6 (evaluate ground_truth rate 0.001 seed 1): needs unit 2"),
        "{error}"
    );
    let error = units.refused(&units.work(14));
    assert!(error.contains("there is no unit 14, only 0 to 13"), "{error}");
    let error = units.refused("sweep gather recipe.toml");
    assert!(error.contains("14 of 14 units are not done, first unit 0 (evaluate base)"), "{error}");

    // in another order, some of them waiting for what they need
    let waiting = units.command(&format!("{} --wait", units.work(FIRST_TRAIN))).spawn().unwrap();
    units.works(&units.work(SCORE));
    assert_eq!(all_end(vec![waiting]), [true]);
    units.works(&units.work(FIRST_TRAIN)); // a done one is done at once
    for unit in (FIRST_TRAIN..14).chain([0]) {
        units.works(&units.work(unit));
    }
    assert!(units.tries().values().all(|tries| *tries == 1), "{:?}", units.tries());
    let gathered = units.json("sweep gather --json");
    assert_eq!(without_seconds(gathered), without_seconds(expected));
    // from elsewhere the plan's folder says which store it is of, and from where its paths count
    let elsewhere = tempfile::tempdir().unwrap();
    let mut plans = std::fs::read_dir(units.path("unforget-store/sweep")).unwrap();
    let plan = plans.next().unwrap().unwrap().path();
    let gather = format!("sweep gather {} --json", plan.display());
    let output = units.command(&gather).current_dir(elsewhere.path()).output().unwrap();
    assert!(output.status.success(), "{}", Place::said(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), units.works("sweep gather --json"));
    assert!(elsewhere.path().join("results/tiny/results.json").is_file());
    let error = units.refused(&format!("{gather} --store elsewhere"));
    assert!(error.contains("the plan is of the store"), "{error}");
    assert_eq!(units.made(), whole.made());
    let table = |place: &Place, call| place.works(call);
    assert_eq!(table(&units, "sweep gather recipe.toml"), table(&whole, "run recipe.toml"));
}

/// As many processes at once as `machines`, at one unit; each takes itself for the machine of that name.
fn race(place: &Place, unit: usize, machines: &[String]) {
    let start = |machine: &String| {
        let mut command = place.command(&place.work(unit));
        if !machine.is_empty() {
            // only what a file system shares tells them of each other
            command.env("UNFORGET_TEST_MACHINE", machine).env("UNFORGET_TEST_BEAT_MS", "2000");
        }
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    assert!(all_end(machines.iter().map(start).collect()).into_iter().all(|worked| worked));
}

#[test]
fn whoever_comes_second_waits_on_one_machine_and_between_machines() {
    let place = Place::new(TINY);
    race(&place, SCORE, &vec![String::new(); 6]);
    let machines: Vec<String> = (0..6).map(|number| format!("machine-{number}")).collect();
    race(&place, FIRST_TRAIN, &machines);
    let tries = place.tries();
    assert_eq!(tries.len(), 2);
    assert!(tries.values().all(|tries| *tries == 1), "{tries:?}");
    // nothing stays behind that says that somebody works
    let left = |name: &PathBuf| name.file_name().is_some_and(|name| name == ".claim");
    assert!(!files(&place.path("unforget-store")).iter().any(left));
}

#[test]
fn what_a_killed_unit_kept_goes_on_to_the_same_bytes() {
    let whole = Place::new(TINY);
    for unit in [SCORE, FIRST_TRAIN] {
        whole.works(&whole.work(unit));
    }
    let killed = Place::new(TINY);
    killed.works(&killed.work(SCORE));
    killed_at(killed.command(&killed.work(FIRST_TRAIN)), "checkpoint 2");
    let status = killed.status();
    let unit = &status["units"][FIRST_TRAIN]["state"];
    assert_eq!(unit["state"], "stopped", "{unit}");
    assert!(unit["of"].as_str().unwrap().contains("ended without a word"), "{unit}");
    let mend = status["mend"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(mend.starts_with("unforget sweep submit "), "{mend}");
    killed.works(&killed.work(FIRST_TRAIN));
    assert_eq!(killed.made(), whole.made());
    assert_eq!(killed.states()[FIRST_TRAIN], "done");

    // on another machine nobody sees that the process is gone, but its heart is silent
    let gone = Place::new(TINY);
    gone.works(&gone.work(SCORE));
    let mut command = gone.command(&gone.work(FIRST_TRAIN));
    command.env("UNFORGET_TEST_MACHINE", "node-that-died");
    killed_at(command, "checkpoint 2");
    assert_eq!(gone.states()[FIRST_TRAIN], "running", "nobody can say more at one look");
    let mut command = gone.command(&gone.work(FIRST_TRAIN));
    let output = command.env("UNFORGET_TEST_BEAT_MS", "50").output().unwrap();
    let said = Place::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("waiting for process") && said.contains("node-that-died"), "{said}");
    assert!(said.contains("is taken over from"), "{said}");
    assert_eq!(gone.made(), whole.made());
}

#[cfg(unix)]
#[test]
fn a_signal_of_the_cluster_keeps_what_there_is() {
    use std::io::{BufRead, BufReader};
    let place = Place::new(TINY);
    place.works(&place.work(SCORE));
    for (signal, name) in [(libc::SIGUSR1, "SIGUSR1"), (libc::SIGTERM, "SIGTERM")] {
        let mut command = place.command(&place.work(FIRST_TRAIN));
        let step = if signal == libc::SIGUSR1 { "step 1" } else { "step 2" };
        let mut child =
            command.env("UNFORGET_TEST_WAIT", step).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let waits = |line: &std::io::Result<String>| line.as_ref().unwrap().contains("waits at");
        assert!(lines.any(|line| waits(&line)), "{name}");
        // SAFETY: a signal to a child of this test that it has not waited for.
        unsafe { libc::kill(child.id() as libc::pid_t, signal) };
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(!child.wait().unwrap().success());
        assert!(rest.iter().any(|line| line.contains("finished work is saved")), "{rest:?}");
        let kept = files(&place.path("unforget-store/finetune"));
        let step = if signal == libc::SIGUSR1 {
            "checkpoint-000000000001"
        } else {
            "checkpoint-000000000002"
        };
        assert!(kept.iter().any(|file| file.to_string_lossy().contains(step)), "{name}: {kept:?}");
        let state = &place.status()["units"][FIRST_TRAIN]["state"];
        assert!(state["of"].as_str().unwrap().contains("was asked to stop"), "{state}");
    }
    place.works(&place.work(FIRST_TRAIN));
    let whole = Place::new(TINY);
    for unit in [SCORE, FIRST_TRAIN] {
        whole.works(&whole.work(unit));
    }
    assert_eq!(place.made(), whole.made());
}

#[test]
fn what_is_gone_or_has_changed_is_told_and_mended() {
    let place = Place::new(TINY);
    place.works("sweep submit recipe.toml --engine local");
    let before = place.made();
    let states = place.states();
    assert!(states.iter().all(|state| state == "done"), "{states:?}");
    let next = place.works("sweep status");
    assert!(next.contains("14 of 14 units are done\nnext: unforget sweep gather "), "{next}");

    // an entry that a unit made
    let made: Value = {
        let text = std::fs::read(place.unit(FIRST_TRAIN).join("result.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let made = made["made"][0].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(place.path("unforget-store").join(&made)).unwrap();
    let status = place.works("sweep status recipe.toml");
    assert!(
        status.contains(&format!("gone: {made} not in the store as it was written")),
        "{status}"
    );
    let error = place.refused("sweep gather recipe.toml");
    // the training, and the evaluation that asked for it
    assert!(error.contains("2 of 14 units are not done"), "{error}");
    place.works("sweep submit recipe.toml --engine local");
    assert_eq!(place.made(), before);

    // the record of a unit, with a bit turned: it is done again, and finds what it made
    let record = place.unit(0).join("result.json");
    let mut bytes = std::fs::read(&record).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&record, bytes).unwrap();
    assert_eq!(place.states()[0], "open");
    place.works(&place.work(0));
    assert_eq!(place.states()[0], "done");

    // a plan that stays where its recipe does not
    let folder = status.lines().last().unwrap().split(' ').nth(4).unwrap().to_owned();
    std::fs::write(place.path("recipe.toml"), TINY.replace("train = 6", "train = 5")).unwrap();
    let states = place.states();
    assert_eq!(
        (states[0].as_str(), states[SCORE].as_str()),
        ("done", "open"),
        "the base is the same"
    );
    // what was only looked at is not written, so there is still one plan
    place.works("sweep status");
    place.works(&format!("sweep status {folder}"));
}

#[test]
fn a_failure_is_told_with_its_reason() {
    let place = Place::new(&TINY.replace("[1e-3, 3e-3]", "[1e-3]").replace("[1, 2]", "[1]"));
    place.works(&place.work(SCORE));
    // no room for a training, but for the line that says so
    let folder = place.unit(SCORE);
    let store = folder.parent().unwrap().parent().unwrap();
    std::fs::write(store.join("finetune"), "in the way").unwrap();
    let error = place.refused(&place.work(FIRST_TRAIN));
    let status = place.status();
    let state = &status["units"][FIRST_TRAIN]["state"];
    assert_eq!(state["state"], "failed", "{state} {error}");
    assert!(error.contains(state["of"].as_str().unwrap()), "{state} {error}");
    let mend: Vec<&str> =
        status["mend"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(mend[0].contains("what failed says why"), "{mend:?}");
    // who needs it is told that it failed, at once where nobody waits
    let evaluate = FIRST_TRAIN + 2;
    let error = place.refused(&place.work(evaluate));
    assert!(
        error.contains("needs unit 2 (train ground_truth rate 0.001 seed 1), which failed: "),
        "{error}"
    );
    std::fs::remove_file(store.join("finetune")).unwrap();
    place.works("sweep submit recipe.toml --engine local");
}

#[test]
fn a_full_disk_is_told_by_the_unit_and_by_the_status() {
    let place = Place::new(TINY);
    std::fs::create_dir(place.path("unforget-store")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
        .arg(place.path("unforget-store"))
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: a full disk: only root may mount");
        return;
    }
    struct Mount(PathBuf);
    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(&self.0).status();
        }
    }
    let mount = Mount(place.path("unforget-store"));
    place.works(&place.work(SCORE));
    let size = |size: &str| {
        let option = format!("remount,size={size}");
        let done = Command::new("mount").args(["-o", &option]).arg(&mount.0).status();
        assert!(done.unwrap().success());
    };
    // what is there, and a little more: for the try's line, not for an adapter
    let used: u64 =
        files(&mount.0).iter().map(|file| file.metadata().unwrap().len().div_ceil(4096) * 4).sum();
    size(&format!("{}k", used + 28));
    let error = place.refused(&place.work(FIRST_TRAIN));
    assert!(error.contains("No space left"), "{error}");
    let status = place.status();
    let mend = status["mend"][0].as_str().unwrap();
    assert!(mend.contains("the disk of the store is or was full"), "{status}");
    size("64m");
    place.works(&place.work(FIRST_TRAIN));
    assert_eq!(place.states()[FIRST_TRAIN], "done");
}

#[test]
fn scripts_for_slurm_hold_each_unit_once_and_wait_for_what_they_need() {
    let place = Place::new(TINY);
    let call = "sweep submit recipe.toml --engine slurm --print --partition gpu --gpus 1 --time 01:00:00 --mem 8G --account lab --cpus 2 --throttle 3";
    let text = place.works(call);
    let arrays: Vec<&str> = text.lines().filter(|line| line.contains("sbatch ")).collect();
    let numbers = ["0%3", "1%3", "2-5%3", "6-9%3", "10-11%3", "12-13%3"];
    assert_eq!(arrays.len(), numbers.len(), "{text}");
    for (array, numbers) in arrays.iter().zip(numbers) {
        for part in [
            &format!("--array={numbers}"),
            "--partition=gpu",
            "--gpus-per-node=1",
            "--time=01:00:00",
            "--mem=8G",
            "--account=lab",
            "--cpus-per-task=2",
            "--requeue",
            "--signal=B:USR1@120",
        ] {
            assert!(array.contains(part), "{part}: {array}");
        }
    }
    assert!(!arrays[0].contains("--dependency") && !arrays[1].contains("--dependency"));
    assert!(arrays[2].contains("\"--dependency=afterany:$job1\""), "{text}");
    assert!(arrays[4].contains("afterany:$job1:$job3"), "{text}");
    assert!(text.contains("exec ") && text.contains("--index \"$SLURM_ARRAY_TASK_ID\""), "{text}");
    let checked = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().map(|mut bash| {
        std::io::Write::write_all(&mut bash.stdin.take().unwrap(), text.as_bytes()).unwrap();
        bash.wait().unwrap().success()
    });
    assert!(checked.unwrap_or(true), "{text}");
    let error = place.refused("sweep submit recipe.toml --engine local --gpus 1");
    assert!(error.contains("--engine local"), "{error}");
}

/// Commands of Slurm that say what a cluster would say; the real ones are in `slurm.rs`.
#[cfg(unix)]
#[test]
fn what_slurm_lost_is_told_and_only_that_is_given_again() {
    use std::os::unix::fs::PermissionsExt;
    let mut place = Place::new(TINY);
    let bin = place.path("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, script) in [
        ("sbatch", "cat > /dev/null; echo \"$@\" >> bin/calls; wc -l < bin/calls"),
        ("squeue", "case \"$*\" in *'--jobs 2') printf '2|2|PENDING\\n2|4|RUNNING\\n';; esac"),
        ("sacct", "printf '1_0|CANCELLED by 0\\n2_3|NODE_FAIL\\n'"),
    ] {
        let file = bin.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    place.variables.push(("PATH".into(), path));
    place.works(&place.work(SCORE));
    let submit = "sweep submit recipe.toml --engine slurm --throttle 2 --account lab";
    place.works(submit);
    let calls = || std::fs::read_to_string(bin.join("calls")).unwrap();
    assert_eq!(calls().lines().count(), 5, "{}", calls());

    let states = place.states();
    let words = ["vanished", "done", "queued", "vanished", "queued", "vanished", "waiting"];
    assert_eq!(states[..7], words, "{states:?}");
    let status = place.works("sweep status recipe.toml");
    for part in [
        "1_0 is not in the queue and never began this unit",
        "Slurm says CANCELLED",
        "Slurm says NODE_FAIL",
        "queued: pending as 2_2",
        "waiting: for unit 2",
        "next: unforget sweep submit ",
        " --account lab --throttle 2",
    ] {
        assert!(status.contains(part), "{part}: {status}");
    }
    place.works(submit);
    let again: Vec<String> = calls().lines().skip(5).map(str::to_owned).collect();
    assert!(again[0].contains("--array=0%2") && again[1].contains("--array=3,5%2"), "{again:?}");
    // what needs those that are queued waits for their array, too
    assert!(again[2].contains("--array=6-9%2"), "{again:?}");
    assert!(again[2].contains("--dependency=afterany:7:2"), "{again:?}");
}

#[test]
fn a_plan_is_made_where_there_is_no_such_device() {
    if cfg!(feature = "cuda") {
        println!("skipped: built with cuda, so the device may be there");
        return;
    }
    let place = Place::new(TINY);
    place.works("sweep plan recipe.toml --device cuda");
    let error = place.refused("sweep work --index 0");
    assert!(error.contains("device cuda:0"), "{error}");
    let error = place.refused("sweep gather");
    assert!(error.contains("14 of 14 units are not done"), "{error}");
}
