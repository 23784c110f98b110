use std::cell::Cell;
use std::fs;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::*;

const SCRATCH: &str = "UNFORGET_STORE_TEST_SCRATCH";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Answer {
    value: f64,
    words: Vec<String>,
}

fn answer(value: f64) -> Answer {
    Answer { value, words: vec!["ü".into(), "\n".into()] }
}

fn entry(root: &Path) -> Entry {
    let inputs = Fingerprint::new().with("seed", &1).expect("a number is JSON");
    Store::open(root)
        .and_then(|store| store.entry("sum", "a label", &inputs))
        .expect("the name is plain")
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

fn never(_: &Work) -> Result<Answer> {
    panic!("the result is on disk")
}

fn names(folder: &Path) -> Vec<String> {
    let found = disk::list(folder).expect("the folder can be listed");
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    found.iter().map(|(path, _)| name(path)).collect()
}

/// Runs the ignored test `name` of this file in a process of its own, with `folder` as its scratch.
fn child(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test binary has a path"));
    command
        .args(["--exact", &format!("store::tests::{name}"), "--ignored", "--nocapture"])
        .env(SCRATCH, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn child_scratch() -> PathBuf {
    std::env::var_os(SCRATCH).expect("only another test starts this one").into()
}

#[test]
fn a_finished_result_is_returned_without_work() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    assert_eq!(entry.state()?, State::Absent);
    let value = 0.1 + 0.2;
    let fresh = entry.run(|work| {
        work.write("figures/curve.svg", b"<svg/>")?;
        Ok(answer(value))
    })?;
    assert_eq!(fresh, answer(value));
    assert_eq!(entry.state()?, State::Finished);
    assert_eq!(entry.run(never)?, answer(value));
    assert_eq!(
        names(entry.folder()),
        ["figures", "inputs.json", "lock", "manifest", "result.json"]
    );
    assert!(entry.folder().starts_with(root.path().join("sum")));
    let name = entry.folder().file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with("a-label-") && name.len() == "a-label-".len() + 16, "{name}");
    Ok(())
}

#[test]
fn failed_work_leaves_the_entry_unfinished_and_is_tried_again() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let failed = entry.run(|_| Err::<Answer, _>(Error::invalid("rate", "must be above 0")));
    assert!(matches!(failed, Err(Error::Invalid { what, .. }) if what == "rate"));
    assert_eq!(entry.state()?, State::Unfinished);
    assert_eq!(entry.run(|_| Ok(answer(1.0)))?, answer(1.0));
    Ok(())
}

#[test]
fn other_inputs_have_another_entry() -> Result<()> {
    let root = scratch();
    let store = Store::open(root.path())?;
    for seed in [1, 2] {
        let inputs = Fingerprint::new().with("seed", &seed)?;
        let result: u32 = store.entry("sum", "", &inputs)?.run(|_| Ok(seed))?;
        assert_eq!(result, seed);
    }
    assert_eq!(names(&root.path().join("sum")).len(), 2);
    Ok(())
}

#[test]
fn a_label_cannot_lead_out_of_the_store() -> Result<()> {
    let inputs = Fingerprint::new();
    let store = Store::open("root")?;
    let folder =
        |label: &str| Ok::<_, Error>(store.entry("sum", label, &inputs)?.folder().to_path_buf());
    let hash = inputs.hash();
    for (label, expected) in [
        ("../../etc", format!("etc-{hash}")),
        ("..", hash.clone()),
        ("", hash.clone()),
        ("mbpp/train τ=2.5", format!("mbpp-train---2.5-{hash}")),
    ] {
        assert_eq!(folder(label)?, Path::new("root/sum").join(expected));
    }
    assert!(folder(&"x".repeat(500))?.file_name().expect("a name").len() < 100);
    assert!(matches!(store.entry("../sum", "", &inputs), Err(Error::Invalid { .. })));
    Ok(())
}

#[test]
fn a_file_name_cannot_lead_out_of_the_entry() -> Result<()> {
    let root = scratch();
    entry(root.path()).run(|work| {
        for name in [
            "../x",
            "/x",
            "",
            "result.json",
            "lock",
            "inputs.json",
            "manifest",
            "time",
            ".hidden",
            "checkpoint-1",
            "./x",
        ] {
            assert!(matches!(work.path(name), Err(Error::Invalid { .. })), "{name}");
        }
        assert_eq!(work.path("a/b.csv")?, work.folder().join("a/b.csv"));
        Ok(0)
    })?;
    Ok(())
}

#[test]
fn a_result_cut_at_any_byte_counts_as_unfinished() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let path = entry.folder().join("result.json");
    entry.run(|_| Ok(12_345_u32))?;
    let whole = fs::read(&path).expect("the result is there");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).expect("scratch is writable");
        assert_eq!(entry.state()?, State::Unfinished, "cut after {length} bytes");
    }
    assert_eq!(entry.run(|_| Ok(7_u32))?, 7);
    fs::write(&path, b"\xff\x00 not JSON\n").expect("scratch is writable");
    assert_eq!(entry.run(|_| Ok(8_u32))?, 8);
    Ok(())
}

#[test]
fn a_result_of_another_form_is_made_again() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    entry.run(|_| Ok("a sentence".to_string()))?;
    assert_eq!(entry.run(|_| Ok(answer(2.0)))?, answer(2.0));
    Ok(())
}

#[test]
fn a_result_that_json_cannot_hold_is_refused() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let refused = entry.run(|_| Ok(answer(f64::NAN)));
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(entry.state()?, State::Unfinished);
    Ok(())
}

#[test]
fn a_folder_of_other_inputs_is_refused() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let inputs = Fingerprint::new().with("seed", &2)?;
    let other = Store::open(root.path())?.entry("sum", "a label", &inputs)?;
    other.run(|_| Ok(answer(1.0)))?;
    fs::rename(other.folder(), entry.folder()).expect("scratch is writable");
    let error = entry.run(never).expect_err("the inputs differ");
    assert!(error.to_string().contains("inputs.json"), "{error}");
    Ok(())
}

/// A finished entry with files on two levels.
fn finished(root: &Path) -> Entry {
    let entry = entry(root);
    let made = entry.run(|work| {
        work.write("adapter/weights", &[7; 1000])?;
        work.write("empty", b"")?;
        Ok(answer(1.0))
    });
    made.expect("scratch is writable");
    entry
}

/// Every file of an entry but its lock.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (path, kind) in disk::list(folder).expect("the folder can be listed") {
        if kind.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") {
            found.push(path);
        }
    }
    found
}

#[test]
fn an_entry_of_which_one_bit_is_not_as_it_was_is_made_again() -> Result<()> {
    let root = scratch();
    let entry = finished(root.path());
    let all = files(entry.folder());
    assert_eq!(all.len(), 5, "{all:?}");
    let contents = || all.iter().map(|path| fs::read(path).expect("it is there"));
    let whole: Vec<Vec<u8>> = contents().collect();
    for (path, bytes) in all.iter().zip(&whole) {
        let name = path.display();
        let mut damages = vec![None, Some(b"other".to_vec()), Some([bytes, &b"x"[..]].concat())];
        if !bytes.is_empty() {
            damages.push(Some(bytes[..bytes.len() / 2].to_vec()));
            damages.push(Some(Vec::new()));
            for (at, bit) in [(0, 0), (bytes.len() / 2, 3), (bytes.len() - 1, 7)] {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                damages.push(Some(flipped));
            }
        }
        for damage in damages {
            match &damage {
                None => fs::remove_file(path).expect("it is there"),
                Some(damage) => fs::write(path, damage).expect("scratch is writable"),
            }
            assert_eq!(entry.state()?, State::Unfinished, "{name} {damage:?}");
            let worked = Cell::new(false);
            let again = entry.run(|work| {
                worked.set(true);
                work.write("adapter/weights", &[7; 1000])?;
                work.write("empty", b"")?;
                Ok(answer(1.0))
            })?;
            assert!(worked.get() && again == answer(1.0), "{name} {damage:?}");
            assert!(contents().eq(whole.iter().cloned()), "{name} {damage:?}");
            assert_eq!(entry.run(never)?, answer(1.0));
        }
    }
    Ok(())
}

#[test]
fn a_path_in_a_damaged_entry_is_refused_and_others_are_not() -> Result<()> {
    let root = scratch();
    let entry = finished(root.path());
    let weights = entry.folder().join("adapter/weights");
    let check_all = || {
        [&weights, &entry.folder().join("adapter"), &entry.folder().to_path_buf()]
            .map(|path| check_written(path).map_err(|error| error.to_string()))
    };
    assert!(check_all().iter().all(|checked| checked.is_ok()));
    let mut bytes = fs::read(&weights).expect("it is there");
    bytes[500] ^= 1;
    fs::write(&weights, &bytes).expect("scratch is writable");
    for checked in check_all() {
        let problem = checked.expect_err("a bit was flipped");
        assert!(problem.contains("adapter/weights") && problem.contains("made again"), "{problem}");
    }
    check_written(&entry.folder().join("empty"))?;
    check_written(root.path())?;
    check_written(&root.path().join("nowhere")).map(drop)
}

#[test]
fn the_newest_checkpoint_that_reads_is_gone_on_from() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let read = |_: u64, folder: &Path| {
        let path = folder.join("state.json");
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        text.parse::<u64>().map_err(Error::library("reading the state"))
    };
    let save = |work: &Work, step: u64| {
        work.save_checkpoint(step, |folder| {
            let path = folder.join("state.json");
            fs::write(&path, (step * step).to_string()).map_err(Error::io("writing", &path))
        })
    };
    let stopped = entry.run(|work| {
        assert_eq!(work.resume(read)?, None);
        for step in [9, 10, 11] {
            save(work, step)?;
        }
        // Saving once more what was saved before changes nothing.
        save(work, 11)?;
        assert_eq!(work.resume(read)?, Some((11, 121)));
        let failed = work.save_checkpoint(12, |folder| {
            fs::write(folder.join("state.json"), "144").map_err(Error::io("writing", folder))?;
            Err(Error::invalid("weights", "are not finite"))
        });
        assert!(failed.is_err());
        Err::<Answer, _>(Error::invalid("test", "stops here"))
    });
    assert!(stopped.is_err());
    let checkpoints = ["checkpoint-000000000010", "checkpoint-000000000011"];
    assert_eq!(names(entry.folder())[..2], checkpoints);

    fs::remove_file(entry.folder().join(checkpoints[1]).join("state.json"))
        .expect("the file is there");
    entry.run(|work| {
        assert_eq!(work.resume(read)?, Some((10, 100)));
        assert!(
            !entry.folder().join(checkpoints[1]).exists(),
            "a checkpoint that does not read is removed"
        );
        Ok(answer(1.0))
    })?;
    assert_eq!(names(entry.folder()), ["inputs.json", "lock", "manifest", "result.json"]);
    Ok(())
}

#[test]
fn a_checkpoint_of_which_one_bit_is_not_as_it_was_is_not_gone_on_from() -> Result<()> {
    const STATE: [&str; 2] = ["checkpoint-000000000002/state", "checkpoint-000000000002/manifest"];
    for (name, bit) in STATE.iter().flat_map(|name| (0..8).map(move |bit| (*name, bit))) {
        let root = scratch();
        let entry = entry(root.path());
        let stopped = entry.run(|work| {
            for step in [1, 2] {
                work.save_checkpoint(step, |folder| {
                    write_atomic(&folder.join("state"), &[step as u8; 64])
                })?;
            }
            Err::<Answer, _>(Error::invalid("test", "stops here"))
        });
        assert!(stopped.is_err());
        let path = entry.folder().join(name);
        let mut bytes = fs::read(&path).expect("it is there");
        bytes[20] ^= 1 << bit;
        fs::write(&path, bytes).expect("scratch is writable");
        entry.run(|work| {
            let resumed = work.resume(|step, _| Ok(step))?;
            assert_eq!(resumed, Some((1, 1)), "{name}, bit {bit}");
            Ok(answer(1.0))
        })?;
    }
    Ok(())
}

#[test]
fn what_is_unfinished_is_bound_to_its_inputs() -> Result<()> {
    let root = scratch();
    let begin = |entry: &Entry| {
        let stopped = entry.run(|work| {
            work.save_checkpoint(1, |folder| write_atomic(&folder.join("state"), b"1"))?;
            work.lines::<u32>("pieces.jsonl")?.1.push(&1)?;
            Err::<Answer, _>(Error::invalid("test", "stops here"))
        });
        assert!(stopped.is_err());
    };
    let go_on = |entry: &Entry, kept: bool| {
        entry.run(|work| {
            assert_eq!(work.resume(|step, _| Ok(step))?.is_some(), kept);
            assert_eq!(work.lines::<u32>("pieces.jsonl")?.0.len(), usize::from(kept));
            Ok(answer(1.0))
        })
    };
    // a file of inputs that was damaged is written again, and nothing is lost
    let own = entry(root.path());
    begin(&own);
    let inputs = own.folder().join("inputs.json");
    let whole = fs::read(&inputs).expect("it is there");
    fs::write(&inputs, "{\"seed\": 3}\n").expect("scratch is writable");
    go_on(&own, true)?;
    assert_eq!(fs::read(&inputs).expect("it is there"), whole);
    // a folder that was renamed is begun anew
    own.remove()?;
    let seed = Fingerprint::new().with("seed", &2)?;
    let other = Store::open(root.path())?.entry("sum", "a label", &seed)?;
    begin(&other);
    fs::rename(other.folder(), own.folder()).expect("scratch is writable");
    go_on(&own, false)?;
    Ok(())
}

#[test]
fn seconds_are_those_of_all_tries() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let mut tries: Vec<(f64, std::time::SystemTime)> = Vec::new();
    for step in 1..=3 {
        let stopped = entry.run(|work| {
            tries.push((work.seconds(), work.started()));
            work.save_checkpoint(step, |_| Ok(()))?;
            Err::<Answer, _>(Error::invalid("test", "stops here"))
        });
        assert!(stopped.is_err());
    }
    assert!(tries.is_sorted_by(|a, b| a.0 < b.0 && a.1 == b.1), "{tries:?}");
    // as if they had taken an hour
    let time = entry.folder().join(TIME);
    let text = fs::read_to_string(&time).expect("it is there");
    let mut hour: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    hour["seconds"] = 3600.0.into();
    fs::write(&time, manifest::seal(&hour)?).expect("scratch is writable");
    let seconds = entry.run(|work| Ok(work.seconds()))?;
    assert!(seconds >= 3600.0, "{seconds}");
    assert!(!time.exists());
    Ok(())
}

#[test]
fn lines_go_on_after_the_last_whole_one() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let path = entry.folder().join("answers.jsonl");
    let stopped = entry.run(|work| {
        let (done, mut lines) = work.lines::<Answer>("answers.jsonl")?;
        assert!(done.is_empty());
        for i in 0..3 {
            lines.push(&answer(f64::from(i)))?;
        }
        assert!(matches!(lines.push(&answer(f64::INFINITY)), Err(Error::Invalid { .. })));
        Err::<Answer, _>(Error::invalid("test", "stops here"))
    });
    assert!(stopped.is_err());
    let whole = fs::read(&path).expect("the lines are there");
    let line = whole.len() / 3;
    for cut in [whole.len(), whole.len() - 1, whole.len() - 5, line, line - 1, 0] {
        fs::write(&path, &whole[..cut]).expect("scratch is writable");
        let stopped = entry.run(|work| {
            let (done, mut lines) = work.lines::<Answer>("answers.jsonl")?;
            assert_eq!(done.len(), cut / line, "cut after {cut} bytes");
            for i in done.len()..3 {
                lines.push(&answer(i as f64))?;
            }
            Err::<Answer, _>(Error::invalid("test", "stops here"))
        });
        assert!(stopped.is_err());
        assert_eq!(fs::read(&path).expect("the lines are there"), whole);
    }
    // one bit of a line takes it and what follows away, wherever it is; so does a line that is not where it was
    let damaged = (line..2 * line).step_by(3).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    });
    let moved = [&whole[..line], &whole[2 * line..], &whole[line..2 * line]].concat();
    for bytes in damaged.chain([moved]) {
        fs::write(&path, &bytes).expect("scratch is writable");
        let stopped = entry.run(|work| {
            let (done, _) = work.lines::<Answer>("answers.jsonl")?;
            assert_eq!(done, [answer(0.0)], "{}", String::from_utf8_lossy(&bytes));
            Err::<Answer, _>(Error::invalid("test", "stops here"))
        });
        assert!(stopped.is_err());
    }
    Ok(())
}

#[test]
fn half_written_files_are_removed_by_the_next_run() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let leftovers = [
        ".result.json.1-0.part",
        "figures/.curve.svg.77-3.part",
        ".checkpoint-000000000012.1-0.part/state",
    ];
    for name in leftovers {
        let path = entry.folder().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("scratch is writable");
        fs::write(&path, "{\"value\": 1").expect("scratch is writable");
    }
    assert_eq!(entry.state()?, State::Unfinished);
    entry.run(|work| {
        assert_eq!(names(work.folder()), [".claim", "figures", "inputs.json", "lock"]);
        assert!(names(&work.folder().join("figures")).is_empty());
        Ok(answer(1.0))
    })?;
    Ok(())
}

#[test]
fn threads_that_race_for_an_entry_do_the_work_once() -> Result<()> {
    const THREADS: usize = 6;
    let root = scratch();
    let (worked, begin) = (AtomicUsize::new(0), Barrier::new(THREADS));
    let results: Vec<Result<Answer>> = std::thread::scope(|scope| {
        let run = || {
            begin.wait();
            entry(root.path()).run(|_| {
                worked.fetch_add(1, Ordering::SeqCst);
                assert!(matches!(entry(root.path()).try_run(never), Err(Error::Busy { .. })));
                Ok(answer(3.0))
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    for result in results {
        assert_eq!(result?, answer(3.0));
    }
    assert_eq!(worked.load(Ordering::SeqCst), 1);
    Ok(())
}

/// A child that has said `ready`; what it says before is let pass.
fn ready(child: &mut Child) {
    let said = child.stdout.as_mut().expect("it is read here");
    let mut line = String::new();
    let mut said = std::io::BufReader::new(said);
    while !line.ends_with("ready\n") {
        line.clear();
        let read = said.read_line(&mut line).expect("the child can be heard");
        assert!(read > 0, "the child ended before it was ready");
    }
}

/// Says `ready` and waits until the other test has read it and closes this one's input, or ends.
fn wait_for_parent() {
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn processes_that_race_for_an_entry_do_the_work_once() {
    let root = scratch();
    let mut children: Vec<Child> = (0..4)
        .map(|_| child("racing_child", root.path()).spawn().expect("the test binary starts"))
        .collect();
    children.iter_mut().for_each(ready);
    // now all at once
    children.iter_mut().for_each(|child| drop(child.stdin.take()));
    for child in children {
        let output = child.wait_with_output().expect("the child ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let count = fs::read_to_string(root.path().join("worked")).expect("one child worked");
    assert_eq!(count, "x");
}

#[test]
#[ignore = "a part of processes_that_race_for_an_entry_do_the_work_once"]
fn racing_child() {
    let root = child_scratch();
    wait_for_parent();
    let result = entry(&root).run(|_| {
        use std::io::Write;
        let path = root.join("worked");
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("scratch is writable");
        file.write_all(b"x").expect("scratch is writable");
        Ok(answer(4.0))
    });
    assert_eq!(result.expect("the work succeeds"), answer(4.0));
}

#[test]
fn a_killed_run_goes_on_from_its_checkpoint() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    let mut killed = child("killed_child", root.path()).spawn().expect("the test binary starts");
    ready(&mut killed);

    let busy = entry.try_run(never).expect_err("the child is at work");
    assert!(
        matches!(&busy, Error::Busy { holder, .. } if holder.contains(&killed.id().to_string())),
        "{busy}"
    );
    assert!(matches!(entry.remove(), Err(Error::Busy { .. })));

    killed.kill().expect("the child can be killed");
    killed.wait().expect("the child ends");
    assert_eq!(entry.state()?, State::Unfinished);
    let begun = Cell::new(None);
    let result = entry.try_run(|work| {
        let resumed = work.resume(|_, folder| {
            let path = folder.join("state");
            fs::read_to_string(&path).map_err(Error::io("reading", &path))
        })?;
        begun.set(resumed.map(|(step, state)| (step, state.len())));
        let (done, _) = work.lines::<u32>("pieces.jsonl")?;
        assert_eq!(done, [1, 2]);
        Ok(answer(5.0))
    })?;
    assert_eq!(begun.get(), Some((100, 100)));
    assert_eq!(result, answer(5.0));
    let left = ["inputs.json", "lock", "manifest", "pieces.jsonl", "result.json"];
    assert_eq!(names(entry.folder()), left);
    Ok(())
}

#[test]
#[ignore = "a part of a_killed_run_goes_on_from_its_checkpoint"]
fn killed_child() {
    let root = child_scratch();
    let result = entry(&root).run(|work| -> Result<Answer> {
        let (_, mut lines) = work.lines::<u32>("pieces.jsonl")?;
        lines.push(&1)?;
        lines.push(&2)?;
        work.save_checkpoint(100, |folder| {
            let path = folder.join("state");
            fs::write(&path, "x".repeat(100)).map_err(Error::io("writing", &path))
        })?;
        work.save_checkpoint(200, |folder| {
            let path = folder.join("state");
            fs::write(&path, "half").map_err(Error::io("writing", &path))?;
            wait_for_parent();
            Ok(())
        })?;
        Ok(answer(0.0))
    });
    panic!("killed before it returned {result:?}");
}

#[test]
fn a_removed_entry_begins_anew() -> Result<()> {
    let root = scratch();
    let entry = entry(root.path());
    entry.remove()?;
    entry.run(|_| Ok(answer(1.0)))?;
    entry.remove()?;
    assert_eq!(entry.state()?, State::Absent);
    assert_eq!(entry.run(|_| Ok(answer(2.0)))?, answer(2.0));
    Ok(())
}

#[test]
fn a_store_on_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    let error = Store::open(file.path()).expect_err("it is a file");
    assert!(error.to_string().contains("--store"), "{error}");
}

#[test]
fn a_store_that_cannot_be_made_names_its_path() -> Result<()> {
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    let entry = entry(&file.path().join("below"));
    let error = entry.run(|_| Ok(answer(1.0))).expect_err("a file cannot hold a folder");
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(file.path())), "{error}");
    Ok(())
}

/// A disk that is full is first sought as a small tmpfs, then as a limit on the size of files.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() -> Result<()> {
    let root = scratch();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(root.path())
        .output()
        .is_ok_and(|output| output.status.success());
    let run = child("full_disk_child", root.path());
    let mut command = if mounted {
        run
    } else {
        // 16 blocks of 512 bytes (1024 in some shells); a write beyond them fails because the signal is ignored.
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 16 && exec \"$0\" \"$@\""]);
        limited.arg(run.get_program()).args(run.get_args());
        limited.env(SCRATCH, root.path());
        limited
    };
    let output = command.output().expect("the child starts");
    let succeeded = output.status.success();
    let freed = succeeded.then(|| finish_after_full_disk(root.path()));
    if mounted {
        let unmounted = Command::new("umount").arg(root.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "the scratch disk can be unmounted"
        );
    }
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(succeeded && stdout.contains("1 passed"), "{stdout}{stderr}");
    println!(
        "full disk tried with {}",
        if mounted { "a small tmpfs" } else { "a limit on file sizes" }
    );
    freed.expect("the child succeeded")
}

#[cfg(target_os = "linux")]
fn finish_after_full_disk(root: &Path) -> Result<()> {
    let entry = entry(root);
    assert_eq!(entry.state()?, State::Unfinished);
    entry.run(|work| {
        assert_eq!(fs::read(work.path("small")?).expect("it is still there"), b"first");
        let resumed = work.resume(|_, folder| Ok(names(folder)))?;
        assert_eq!(resumed, Some((1, ["manifest", "state"].map(String::from).to_vec())));
        assert_eq!(work.lines::<String>("pieces.jsonl")?.0, ["1"]);
        Ok(answer(6.0))
    })?;
    assert_eq!(entry.run(never)?, answer(6.0));
    Ok(())
}

#[test]
#[ignore = "a part of a_full_disk_loses_nothing"]
fn full_disk_child() {
    let root = child_scratch();
    let entry = entry(&root);
    let big = vec![b'x'; 200 << 10];
    let refused = entry.run(|work| {
        work.write("small", b"first")?;
        work.save_checkpoint(1, |folder| write_atomic(&folder.join("state"), b"1"))?;
        let (_, mut lines) = work.lines::<String>("pieces.jsonl")?;
        lines.push(&"1".to_string())?;

        let error = work.write("small", &big).expect_err("the disk is full");
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("small")), "{error}");
        let error = work.save_checkpoint(2, |folder| write_atomic(&folder.join("state"), &big));
        assert!(matches!(error, Err(Error::Io { .. })));
        let error = lines.push(&"x".repeat(200 << 10)).expect_err("the disk is full");
        assert!(
            matches!(&error, Error::Io { path, .. } if path.ends_with("pieces.jsonl")),
            "{error}"
        );
        assert!(
            !names(work.folder()).iter().any(|name| name.ends_with(".part")),
            "{:?}",
            names(work.folder())
        );
        Ok("x".repeat(200 << 10))
    });
    let error = refused.expect_err("the result does not fit");
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("result.json")), "{error}");
    assert_eq!(entry.state().expect("the entry can be read"), State::Unfinished);
}
