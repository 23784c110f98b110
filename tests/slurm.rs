//! Units as arrays of a real Slurm, which the test starts on this machine: Debian's slurmctld and slurmd.

use crate::sweep::{Place, TINY, in_one_call, without_seconds};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use unforget::experiment::Recipe;

/// A cluster of one machine that calls itself one node, gone when dropped.
struct Cluster {
    folder: tempfile::TempDir,
    controller: Option<Child>,
    node: Option<Child>,
}

/// The program of this name, where Debian puts it.
fn program(name: &str) -> Option<&'static str> {
    let places = ["/usr/sbin/", "/usr/bin/", "/sbin/", "/usr/local/sbin/", "/usr/local/bin/"];
    let found =
        places.iter().map(|place| format!("{place}{name}")).find(|path| Path::new(path).exists());
    found.map(|path| &*path.leak())
}

impl Cluster {
    /// Starts it; `None` where Slurm is not installed, and then says so.
    fn start() -> Option<Self> {
        let (Some(controller), Some(node)) = (program("slurmctld"), program("slurmd")) else {
            println!(
                "skipped: units in Slurm: no slurmctld and slurmd here (Debian's packages slurmctld, slurmd, slurm-client, slurm-wlm-basic-plugins)"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        for name in ["state", "spool"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let read = |command: &str, argument: &str| {
            let output = Command::new(command).arg(argument).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (host, user) = (read("hostname", "-s"), read("id", "-un"));
        let free =
            || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (first, second) = (free(), free());
        let text = format!(
            "ClusterName=unforget\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={first}\nSlurmdPort={second}\n\
             SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/none\nCredType=cred/none\nMpiDefault=none\nSwitchType=switch/none\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nJobCompType=jobcomp/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_Core\nSlurmdParameters=config_overrides\nStateSaveLocation={at}/state\nSlurmdSpoolDir={at}/spool\n\
             SlurmctldPidFile={at}/controller.pid\nSlurmdPidFile={at}/node.pid\nReturnToService=2\nKillWait=5\n\
             SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0\n\
             NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        );
        std::fs::write(folder.path().join("slurm.conf"), text).unwrap();
        let mut cluster = Self { folder, controller: None, node: None };
        cluster.controller = Some(cluster.daemon(controller, &[]));
        cluster.wait("the controller", || cluster.ask("scontrol", "ping").contains("is UP"));
        cluster.node = Some(cluster.daemon(node, &["-N", "node1"]));
        cluster
            .wait("the node", || cluster.ask("sinfo", "--noheader --format=%T").trim() == "idle");
        Some(cluster)
    }

    fn daemon(&self, program: &str, arguments: &[&str]) -> Child {
        let log = |name| std::fs::File::create(self.folder.path().join(name)).unwrap();
        let name = program.rsplit('/').next().unwrap();
        Command::new(program)
            .arg("-D")
            .args(arguments)
            .env("SLURM_CONF", self.folder.path().join("slurm.conf"))
            .stdin(Stdio::null())
            .stdout(log(format!("{name}.out")))
            .stderr(log(format!("{name}.err")))
            .spawn()
            .unwrap()
    }

    /// What one of Slurm's commands says.
    fn ask(&self, command: &str, arguments: &str) -> String {
        let output = Command::new(command)
            .args(arguments.split_whitespace())
            .env("SLURM_CONF", self.folder.path().join("slurm.conf"))
            .output()
            .unwrap();
        Place::said(&output)
    }

    /// Looks until it is so; a machine under load is slow.
    fn wait(&self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            if began.elapsed() > Duration::from_secs(1200) {
                let log = |name: &str| {
                    std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
                };
                panic!(
                    "{what} does not come: {}\n{}{}",
                    self.ask("squeue", "--array"),
                    log("slurmctld.err"),
                    log("slurmd.err")
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A place whose calls go to this cluster.
    fn place(&self, recipe: &str) -> Place {
        let mut place = Place::new(recipe);
        let conf = self.folder.path().join("slurm.conf").display().to_string();
        place.variables.push(("SLURM_CONF".into(), conf));
        place
    }

    /// Waits until nothing is queued, and has requeued tasks begin now instead of in two minutes.
    fn drain(&self) {
        self.wait("an empty queue", || {
            let queue = self.ask("squeue", "--noheader --array --format=%A|%r|%T");
            for line in queue.lines().filter(|line| line.contains("BeginTime")) {
                let job = line.split('|').next().unwrap();
                self.ask("scontrol", &format!("update JobId={job} StartTime=now"));
            }
            queue.trim().is_empty()
        });
    }

    /// Lets units run until the queue is empty, and looks at what came of them.
    fn expect(&self, place: &Place, whole: &(Place, Value), case: &str) {
        self.drain();
        let status = place.works("sweep status recipe.toml");
        assert!(
            place.states().iter().all(|state| state == "done"),
            "{case}: {status}{}",
            logs(place)
        );
        let gathered = place.works("sweep gather recipe.toml --json");
        let gathered = serde_json::from_str(&gathered).unwrap();
        assert_eq!(without_seconds(gathered), without_seconds(whole.1.clone()), "{case}");
        assert_eq!(place.made(), whole.0.made(), "{case}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ask("scancel", "--state=RUNNING --full");
        self.ask("scancel", "--state=PENDING");
        for child in [&mut self.node, &mut self.controller].into_iter().flatten() {
            // SAFETY: a signal to a child of this test that it has not waited for.
            unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
            let _ = child.wait();
        }
    }
}

/// What the tasks said.
fn logs(place: &Place) -> String {
    let plans = std::fs::read_dir(place.path("unforget-store/sweep")).unwrap();
    let folders = plans.map(|plan| plan.unwrap().path().join("logs"));
    let files = folders.filter_map(|logs| std::fs::read_dir(logs).ok()).flatten();
    let text = |file: std::fs::DirEntry| {
        let name = file.file_name().to_string_lossy().into_owned();
        format!("\n-- {name}\n{}", std::fs::read_to_string(file.path()).unwrap_or_default())
    };
    files.map(|file| text(file.unwrap())).collect()
}

/// Throttled to one, the second training waits in the queue while the first is held.
const SUBMIT: &str = "sweep submit recipe.toml --engine slurm --throttle 1 --cpus 1";

/// Six units: the first training can be ended in any way while the second goes on.
fn small() -> String {
    TINY.replace("\"ground_truth\", ", "").replace("[1, 2]", "[1]")
}

/// A place whose first training has begun and waits before their second step, as long as the file is there.
fn held(cluster: &Cluster) -> (Place, PathBuf) {
    let mut place = cluster.place(&small());
    let gate = place.path("gate");
    std::fs::write(&gate, "closed").unwrap();
    place.variables.push(("UNFORGET_TEST_WAIT".into(), "step 1".into()));
    place.variables.push(("UNFORGET_TEST_GATE".into(), gate.display().to_string()));
    place.works(SUBMIT);
    cluster.wait("a training", || logs(&place).contains("waits at step 1"));
    (place, gate)
}

/// A task that trains, as Slurm calls it, its unit and its process.
fn training(cluster: &Cluster, place: &Place) -> (String, usize, String) {
    let queue = cluster.ask("squeue", "--noheader --array --states=RUNNING --format=%F_%K|%j");
    let task =
        queue.lines().find(|line| line.contains("-train")).unwrap_or_else(|| panic!("{queue}"));
    let task = task.split('|').next().unwrap().trim().to_owned();
    let status = place.status();
    let unit: usize = task.rsplit('_').next().unwrap().parse().unwrap();
    let state = &status["units"][unit]["state"];
    assert_eq!(state["state"], "running", "{status}");
    assert_eq!(state["of"]["job"]["id"], task.as_str(), "{status}");
    (task, unit, state["of"]["pid"].to_string())
}

/// One cluster, one case after the other: they would wait for each other's processors.
#[test]
fn units_in_a_real_slurm_give_the_bytes_of_one_call_whatever_ends_them() {
    let Some(cluster) = Cluster::start() else { return };
    ten_calls_at_once_do_each_unit_once(&cluster, &in_one_call(TINY));
    let whole = in_one_call(&small());
    a_killed_task_is_told_and_given_again(&cluster, &whole);
    a_task_whose_time_is_up_is_requeued(&cluster, &whole);
    a_requeued_task_goes_on(&cluster, &whole);
    a_node_that_was_down_comes_back(&cluster, &whole);
    a_canceled_array_is_told_and_given_again(&cluster, &whole);
}

fn ten_calls_at_once_do_each_unit_once(cluster: &Cluster, whole: &(Place, Value)) {
    let place = cluster.place(TINY);
    let submit = SUBMIT.replace("throttle 1", "throttle 2");
    let calls: Vec<Child> =
        (0..10).map(|_| place.command(&submit).stdout(Stdio::piped()).spawn().unwrap()).collect();
    let said: Vec<String> =
        calls.into_iter().map(|call| Place::said(&call.wait_with_output().unwrap())).collect();
    let gave = said.iter().filter(|said| said.contains("job ")).count();
    assert_eq!(gave, 1, "{said:?}");
    assert!(said.iter().filter(|said| said.contains("nothing to do")).count() == 9, "{said:?}");
    // the throttle counts within an array
    let running = cluster.ask("squeue", "--noheader --array --states=RUNNING --format=%F");
    for array in running.lines() {
        assert!(running.lines().filter(|other| *other == array).count() <= 2, "{running}");
    }
    cluster.expect(&place, whole, "ten calls at once");
    assert!(place.tries().values().all(|tries| *tries == 1), "{:?}", place.tries());
}

/// What is known of a unit.
fn state(place: &Place, unit: usize) -> String {
    place.status()["units"][unit]["state"].to_string()
}

fn a_killed_task_is_told_and_given_again(cluster: &Cluster, whole: &(Place, Value)) {
    let (place, gate) = held(cluster);
    let (task, unit, process) = training(cluster, &place);
    assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    cluster.wait("the end of the killed task", || {
        let queue = cluster.ask("squeue", "--noheader --array --format=%F_%K");
        !queue.lines().any(|line| line.trim() == task)
    });
    assert!(state(&place, unit).contains("ended without a word"), "{}", state(&place, unit));
    // what does not need it goes on
    std::fs::remove_file(gate).unwrap();
    cluster.drain();
    let states = place.states();
    assert_eq!(states.iter().filter(|state| *state == "done").count(), 4, "{states:?}");
    assert!(place.works("sweep status recipe.toml").contains("waiting: for unit 2"));
    // the command that status names, with the options of before
    let status = place.status();
    let mend = status["mend"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    assert!(mend.contains("--engine slurm") && mend.contains("--throttle 1"), "{mend}");
    place.works(mend.strip_prefix("unforget ").unwrap());
    cluster.expect(&place, whole, "kill -9");
}

fn a_task_whose_time_is_up_is_requeued(cluster: &Cluster, whole: &(Place, Value)) {
    let (place, gate) = held(cluster);
    let (task, unit, _) = training(cluster, &place);
    // as Slurm does two minutes before the end of the time
    cluster.ask("scancel", &format!("--signal=USR1 --batch {task}"));
    cluster.wait("the requeued task", || state(&place, unit).contains("pending as"));
    assert!(logs(&place).contains("finished work is saved"), "{}", logs(&place));
    std::fs::remove_file(gate).unwrap();
    cluster.expect(&place, whole, "time is up");
    let tries = place.tries();
    assert_eq!(tries.values().filter(|tries| **tries == 2).count(), 1, "{tries:?}");
}

fn a_requeued_task_goes_on(cluster: &Cluster, whole: &(Place, Value)) {
    let (place, gate) = held(cluster);
    let (task, unit, _) = training(cluster, &place);
    cluster.ask("scontrol", &format!("requeue {task}"));
    cluster.wait("the requeued task", || state(&place, unit).contains("pending as"));
    std::fs::remove_file(gate).unwrap();
    cluster.expect(&place, whole, "scontrol requeue");
}

fn a_node_that_was_down_comes_back(cluster: &Cluster, whole: &(Place, Value)) {
    let (place, gate) = held(cluster);
    let (_, unit, _) = training(cluster, &place);
    cluster.ask("scontrol", "update NodeName=node1 State=DOWN Reason=test");
    cluster.wait("the requeued task", || state(&place, unit).contains("pending as"));
    cluster.ask("scontrol", "update NodeName=node1 State=RESUME");
    std::fs::remove_file(gate).unwrap();
    cluster.expect(&place, whole, "node down and up");
}

fn a_canceled_array_is_told_and_given_again(cluster: &Cluster, whole: &(Place, Value)) {
    let (place, gate) = held(cluster);
    let (_, unit, _) = training(cluster, &place);
    cluster.ask("scancel", "--state=PENDING");
    cluster.ask("scancel", "--state=RUNNING");
    cluster.drain();
    let status = place.works("sweep status recipe.toml");
    assert!(status.contains("is not in the queue and never began this unit"), "{status}");
    assert!(state(&place, unit).contains("\"stopped\""), "{status}");
    assert!(status.contains("next: unforget sweep submit "), "{status}");
    std::fs::remove_file(gate).unwrap();
    place.works(SUBMIT);
    cluster.expect(&place, whole, "scancel and submit again");
}

#[test]
fn the_quick_lab_recipe_as_an_array_gives_its_table() {
    let Some(cluster) = Cluster::start() else { return };
    let recipe = Recipe::quick().to_toml().unwrap();
    let (whole, _) = in_one_call(&recipe);
    let place = cluster.place(&recipe);
    place.works(&SUBMIT.replace("throttle 1", "throttle 2"));
    cluster.drain();
    let status = place.works("sweep status recipe.toml");
    assert!(place.states().iter().all(|state| state == "done"), "{status}{}", logs(&place));
    let table = place.works("sweep gather recipe.toml");
    assert_eq!(table, whole.works("run recipe.toml"));
    assert_eq!(place.made(), whole.made());
}
