//! What code may try, and what becomes of it. Each test says that it skips where there is no `python3`.

use super::*;

const TESTS: [&str; 3] = ["assert f(2) == 4", "assert f(3) == 6", "assert f(5) == 10"];

fn python() -> Option<&'static Python> {
    match Python::find() {
        Ok(python) => Some(python),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn short() -> Limits {
    Limits { cpu_seconds: 2, wall_seconds: 40, ..Limits::default() }
}

fn verdict(solution: &str, tests: &[&str]) -> Option<Execution> {
    let job = Job {
        solution: solution.into(),
        tests: tests.iter().map(|test| test.to_string()).collect(),
        own: vec!["f".into()],
        ..Job::default()
    };
    Some(python()?.check(&job, &short()).expect("the machine works"))
}

/// `solution` comes to `outcome` on `f(2) == 4` and its like, with `part` among the reasons.
fn check(solution: &str, outcome: Outcome, part: &str) {
    let Some(verdict) = verdict(solution, &TESTS) else {
        return;
    };
    assert!(
        verdict.outcome == outcome && verdict.why.contains(part),
        "expected {outcome:?} with `{part}`, got {verdict:?} for\n{solution}"
    );
}

/// `solution` does not pass; how it fails depends on Python's version.
fn refused(solution: &str) {
    if let Some(verdict) = verdict(solution, &TESTS) {
        assert_ne!(verdict.outcome, Outcome::Passed, "{solution}");
        println!("{verdict:?}");
    }
}

#[test]
fn right_code_passes_and_wrong_code_fails() {
    use Outcome::*;
    check("def f(x):\n    return 2 * x", Passed, "all 3 tests");
    check("def f(x):\r\n\treturn 2 * x\r\n", Passed, "");
    check("f = lambda x: x + x", Passed, "");
    check("class T:\n    def __call__(self, x): return 2 * x\nf = T()", Passed, "");
    check(
        "def f(x):\n    return x * x",
        Failed,
        "assert f(3) == 6 does not hold; the last call gave 9",
    );
    check("def f(x):\n    return None", Failed, "f(2) == 4 does not hold; the last call gave None");
    check("def g(x):\n    return 2 * x", Failed, "name 'f' is not defined");
    check("def f(x):\n    return y", Failed, "NameError: name 'y' is not defined");
    check("def f(x) return 2 * x", Unreadable, "SyntaxError");
    check("import no_such_module", Failed, "ModuleNotFoundError");
    check(
        "def f(x):\n    return 2 * x\nassert f(2) == 5",
        Failed,
        "the solution itself fails: SolutionError: AssertionError",
    );
    check("", Failed, "not defined");
    refused("\0");
}

#[test]
fn leaving_early_is_no_pass() {
    use Outcome::*;
    let exit = "exit code 0";
    check("import os\nos._exit(0)", Ended, exit);
    check("import os\ndef f(x):\n    os._exit(0)", Ended, "assert f(2) == 4");
    check("import sys\nsys.exit(0)", Failed, "SystemExit");
    check("import sys\ndef f(x):\n    sys.exit(0)", Failed, "SystemExit");
    check("raise SystemExit", Failed, "SystemExit");
    check("def f(x):\n    raise SystemExit(0)", Failed, "SystemExit");
    check("def f(x):\n    raise KeyboardInterrupt", Failed, "KeyboardInterrupt");
    check("quit()", Failed, "");
    check("exit()", Failed, "");
    check(
        "import atexit, os\n@atexit.register\ndef bye():\n    raise ValueError\ndef f(x):\n    return 3",
        Failed,
        "gave 3",
    );
    check("import os\ndef f(x):\n    os.abort()", Ended, "");
    check(
        "import os, signal\ndef f(x):\n    os.kill(os.getpid(), signal.SIGKILL)",
        Failed,
        "OSError",
    );
    check("import os\nos.execv('/bin/true', ['true'])", Failed, "PermissionError");
}

#[test]
fn tricks_with_equality_and_names_are_no_pass() {
    use Outcome::*;
    let same = "def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    def __hash__(self): return 0";
    check(&format!("class E:\n    {same}\ndef f(x):\n    return E()"), Failed, "does not hold");
    check(&format!("class E(int):\n    {same}\ndef f(x):\n    return E(7)"), Failed, "gave 7");
    check(&format!("class E(list):\n    {same}\ndef f(x):\n    return E()"), Failed, "gave []");
    check(
        "class M(type):\n    def __eq__(c, o): return True\nclass E(metaclass=M): pass\ndef f(x):\n    return E",
        Failed,
        "does not hold",
    );
    check(
        "import builtins\nbuiltins.AssertionError = StopIteration\nbuiltins.__build_class__ = None\ndef f(x):\n    return 0",
        Failed,
        "gave 0",
    );
    check("import unittest.mock as m\ndef f(x):\n    return m.ANY", Failed, "does not hold");
    // Overwriting whatever the runner has.
    check(
        "import sys\nfor frame in sys._current_frames().values():\n    while frame:\n        for name in list(frame.f_globals):\n            if callable(frame.f_globals[name]) and name in ('send', 'encode', 'check'):\n                frame.f_globals[name] = lambda *a: None\n        frame = frame.f_back\ndef f(x):\n    return 0",
        TimedOut,
        "",
    );
    check(
        "import gc, types\nfor o in gc.get_objects():\n    if isinstance(o, types.FunctionType) and o.__name__ == 'answer':\n        o.__code__ = (lambda what, rest: True).__code__\ndef f(x): return 0",
        Failed,
        "",
    );
    // Tests that take built-in functions do not take them from the solution.
    let trick = "class A:\n    def __eq__(s, o): return True\ndef set(*a): return 1\nsorted = len = all = set\ndef f(x):\n    return []";
    for test in [
        "assert set(f(1)) == set([1])",
        "assert sorted(f(1)) == [1]",
        "assert len(f(1)) == 1",
        "assert math.isclose(f(1), 2)",
    ] {
        if let Some(verdict) =
            verdict(&format!("{trick}\nclass math:\n    isclose = lambda *a: True"), &[test])
        {
            assert_eq!(verdict.outcome, Failed, "{test}: {}", verdict.why);
        }
    }
}

#[test]
fn the_report_cannot_be_forged() {
    use Outcome::*;
    // Descriptors 0 to 9, whatever they are: written to, closed, read from.
    check(
        "import os\nfor fd in range(10):\n    try: os.write(fd, b'passed\\n3\\n.\\n')\n    except OSError: pass\ndef f(x): return 0",
        Ended,
        "it sent what is no value",
    );
    check("import os\nos.closerange(0, 100)\ndef f(x): return 8", Ended, "");
    check(
        "import os, struct\ndef f(x):\n    for fd in range(3, 10):\n        try: os.write(fd, struct.pack('<I', 1) + b'T')\n        except OSError: pass\n    return 0",
        Ended,
        "",
    );
    check(
        "import os, struct\ndef f(x):\n    for fd in range(3, 10):\n        try: os.write(fd, b'\\xff' * 100)\n        except OSError: pass\n    return 0",
        Ended,
        "",
    );
    check(
        "import sys\nprint('passed'); sys.stderr.write('passed\\n3\\n.\\n')\ndef f(x): return 0",
        Failed,
        "gave 0",
    );
    // Neither the tests nor the checker can be read from the solution's process.
    check("import os\ndef f(x):\n    return open('../job').read()", Failed, "FileNotFoundError");
    check("import os\ndef f(x):\n    return os.listdir('/proc')", Failed, "");
    check(
        "import sys, gc\ndef f(x):\n    for o in gc.get_objects():\n        if 'assert f(2)' in repr(o)[:2000].replace('assert' + ' f(2)x', ''):\n            pass\n    return sys.argv",
        Failed,
        "gave ['-c']",
    );
}

#[test]
fn nothing_hangs_and_nothing_grows_without_end() {
    use Outcome::*;
    check("while True: pass", TimedOut, "computed for more than 2 s");
    check("def f(x):\n    while True: pass", TimedOut, "assert f(2) == 4");
    check("def f(x):\n    return f(x)", Failed, "RecursionError");
    refused("import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return [f(x)]");
    refused("import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return sorted([1], key=f)");
    check("def f(x):\n    return [0] * 10**10", Failed, "MemoryError");
    // stopped by the limit of memory, or on a slow machine by that of time
    refused("def f(x):\n    a = []\n    while True: a.append('x' * 10**6)");
    check("def f(x):\n    return 'x' * 10**8", Failed, "larger than 16 MB");
    check(
        "def f(x):\n    a = []\n    for _ in range(1000): a = [a]\n    return a",
        Failed,
        "nested too deep",
    );
    check("def f(x):\n    a = []\n    a.append(a)\n    return a", Failed, "nested too deep");
    refused("def f(x):\n    return 10**10**8");
    check("def f(x):\n    return iter(int, 1)", Failed, "does not hold");
    check("while True: print('x' * 1000)", TimedOut, "");
    check(
        "import sys\ndef f(x):\n    for _ in range(10**4): sys.stdout.write('x' * 10**4)\n    return 2 * x",
        Passed,
        "",
    );
    check("def f(x):\n    return input()", Failed, "EOFError");
    check("import os\nwhile True: os.fork()", Failed, "OSError");
    check("import subprocess\nsubprocess.run(['true'])", Failed, "OSError");
    check(
        "import threading\ndef loop():\n    while True: pass\nfor _ in range(4): threading.Thread(target=loop).start()\ndef f(x):\n    return 1",
        Failed,
        "gave 1",
    );
    check(
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(10**6,)).start()",
        Failed,
        "RuntimeError",
    );
    // these compete with the loop that starts them: whether their number or their time ends them first depends on the machine
    refused(
        "import threading\ndef loop():\n    while True: pass\nwhile True: threading.Thread(target=loop).start()",
    );
    check(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\ndef f(x):\n    return 2 * x",
        Passed,
        "",
    );
    check(
        "def f(x):\n    class E(Exception):\n        def __str__(self):\n            while True: pass\n    raise E",
        TimedOut,
        "",
    );
    check("open('big', 'w').write('x' * 10**9)", Failed, "");
    check(
        "n = 0\nwhile True:\n    n += 1\n    open(str(n), 'w').write('x' * 10**7)",
        Failed,
        "OSError",
    );
}

#[test]
fn the_clock_stops_who_sleeps() {
    let Some(python) = python() else { return };
    for solution in [
        "import time\ntime.sleep(10**6)",
        "import threading\nlock = threading.Lock()\ndef f(x):\n    lock.acquire(); lock.acquire()",
    ] {
        let job = Job {
            solution: solution.into(),
            tests: vec!["assert f(2) == 4".into()],
            ..Job::default()
        };
        let limits = Limits { wall_seconds: 4, ..short() };
        let verdict = python.check(&job, &limits).unwrap();
        assert_eq!(verdict.outcome, Outcome::TimedOut, "{}", verdict.why);
    }
}

#[test]
fn waiting_for_a_processor_does_not_count() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let begin = Instant::now();
    let waited = || begin.elapsed().min(Duration::from_millis(150)) / 2;
    let said = exchange(ours, b"?".to_vec(), Duration::from_millis(50), waited).unwrap();
    assert_eq!(said, None);
    assert!(begin.elapsed() >= Duration::from_millis(100), "{:?}", begin.elapsed());
    drop(theirs);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"yes").unwrap();
    drop(theirs);
    let said = exchange(ours, vec![0; 1 << 20], Duration::from_secs(60), || Duration::ZERO);
    assert_eq!(said.unwrap().as_deref(), Some("yes"));
}

/// This test program again, on one test, behind `shell`; what it prints.
#[cfg(target_os = "linux")]
fn again(shell: &str, test: &str) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    let run = "exec \"$0\" --exact \"$1\" --include-ignored --nocapture --test-threads=1";
    command.args(["-c", &format!("{shell} {run}")]).arg(std::env::current_exe().unwrap());
    command.arg(format!("sandbox::tests::{test}"));
    command
}

#[cfg(target_os = "linux")]
#[test]
fn limits_of_the_shell_are_kept_or_named() {
    let Some(_) = python() else { return };
    for shell in ["ulimit -u 63;", "ulimit -u 20;", "ulimit -n 40;"] {
        let output = again(shell, "right_code_passes_and_wrong_code_fails").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        // who is not root may have as many processes already
        if said.contains("ulimit -u") {
            println!("skipped: {said}");
            continue;
        }
        assert!(output.status.success() && !said.contains("skipped"), "{shell} {said}");
    }
    for (shell, cause) in [("ulimit -f 1;", "ulimit -f"), ("ulimit -t 5;", "ulimit -t")] {
        let output = again(shell, "right_code_passes_and_wrong_code_fails").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("skipped") && said.contains(cause), "{shell} {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "sleeps until another test kills it"]
fn sleeps_until_it_is_killed() {
    let job = Job {
        solution: "import time\ntime.sleep(10**6)".into(),
        tests: vec!["assert True".into()],
        ..Job::default()
    };
    let limits = Limits { wall_seconds: 60, ..short() };
    if let Some(python) = python() {
        let _ = python.check(&job, &limits);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_grader_that_is_killed_leaves_nothing() {
    let Some(python) = python() else { return };
    if python.walls().iter().any(|(_, why)| why.is_some()) {
        println!("skipped: this machine gives a process no folder in memory");
        return;
    }
    let mut grader =
        again("", "sleeps_until_it_is_killed").stdout(std::process::Stdio::null()).spawn().unwrap();
    let children = || -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", grader.id())).unwrap();
        let lists =
            tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("children")));
        lists.flatten().map(|list| list.split_whitespace().count()).sum()
    };
    // the probe is one process, a job is two
    let begin = Instant::now();
    while children() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(120), "no job begins");
        std::thread::sleep(Duration::from_millis(5));
    }
    grader.kill().unwrap();
    grader.wait().unwrap();
    let left = format!("unforget-{}-", grader.id());
    let found: Vec<_> = std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with(&left))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn an_endless_value_stops_the_checker_too() {
    let Some(verdict) =
        verdict("def f(x):\n    return iter(int, 1)", &["assert list(f(1)) == [2]"])
    else {
        return;
    };
    assert!([Outcome::TimedOut, Outcome::Failed].contains(&verdict.outcome), "{verdict:?}");
}

#[test]
fn the_world_outside_is_out_of_reach() {
    use Outcome::*;
    check("import socket\nsocket.socket()", Failed, "OSError");
    check("import urllib.request\nurllib.request.urlopen('http://127.0.0.1')", Failed, "");
    check("open('/etc/passwd')", Failed, "PermissionError");
    check("import os\nos.listdir('/')", Failed, "PermissionError");
    check("import os\nos.remove('/etc/passwd')", Failed, "Error");
    check("open('/tmp/unforget-was-here', 'w')", Failed, "Error");
    check("open('../../unforget-was-here', 'w')", Failed, "Error");
    assert!(!std::env::temp_dir().join("unforget-was-here").exists());
    check("import os\nassert not os.listdir('.')\ndef f(x): return 2 * x", Passed, "");
    check(
        "import os\nassert set(os.environ) <= {'PYTHONHASHSEED', 'LC_CTYPE'}, list(os.environ)\ndef f(x): return 2 * x",
        Passed,
        "",
    );
    check(
        "with open('own', 'w') as file: file.write('4')\ndef f(x): return 2 * x if open('own').read() == '4' else 0",
        Passed,
        "",
    );
    check(
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.ptrace(16, 1, 0, 0) == -1 and libc.mount(b'', b'/', b'tmpfs', 0, 0) == -1 and libc.unshare(0x10000000) == -1\ndef f(x): return 2 * x",
        Passed,
        "",
    );
    check(
        "import os\nos.mkdir('locked'); open('locked/x', 'w').close(); os.chmod('locked', 0)\ndef f(x): return 2 * x",
        Passed,
        "",
    );
}

#[test]
fn values_cross_as_what_they_are() {
    let solution = "
import collections, decimal, fractions, datetime, array
P = collections.namedtuple('P', 'x y')
class Node:
    def __init__(self, value, next=None):
        self.value, self.next = value, next
def f(x): return x
def count(xs): return collections.Counter(xs)
def pair(): return P(1, 2)
def group(xs):
    d = collections.defaultdict(list)
    for x in xs: d[x % 2].append(x)
    return d
def evens(n):
    for i in range(n): yield 2 * i
def length(node):
    n = 0
    while node: n, node = n + 1, node.next
    return n
def fail(): raise ValueError('no')
def decimals(): return decimal.Decimal('1.50'), fractions.Fraction(1, 3), datetime.date(2020, 2, 29)
def arr(): return array.array('i', [1, 2])
";
    let tests = [
        "for v in [None, True, 0, -1, 10**40, 1.5, float('inf'), 2j, 'a\\ud800é', b'x', bytearray(b'y'), [], [1, [2]], (1,), {1, 2}, frozenset([3]), {'a': [1], (1, 2): None}, range(3), ..., int]: assert f(v) == v and type(f(v)) is type(v), v",
        "assert count('aab') == {'a': 2, 'b': 1}",
        "assert pair() == (1, 2)",
        "assert group([1, 2, 3]) == {1: [1, 3], 0: [2]}",
        "assert list(evens(3)) == [0, 2, 4] and 4 in evens(3) and sum(evens(4)) == 12",
        "assert evens(3) != [0, 2, 4]",
        "assert length(Node(1, Node(2))) == 2",
        "n = Node(1)\nn.next = Node(2)\nn.next.value = 7\nassert n.next.value == 7 and length(n) == 2 and n == n and n != Node(1)",
        "try:\n    fail()\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'no'",
        "from decimal import Decimal\nfrom fractions import Fraction\nimport datetime, array\nassert decimals() == (Decimal('1.5'), Fraction(1, 3), datetime.date(2020, 2, 29)) and arr() == array.array('i', [1, 2])",
        "assert sys.getsizeof(()) > 0 and math.isclose(f(0.1 + 0.2), 0.3)",
    ];
    if let Some(verdict) = verdict(solution, &tests) {
        assert_eq!(verdict.outcome, Outcome::Passed, "{}", verdict.why);
    }
}

#[test]
fn broken_tests_are_an_error_and_not_a_grade() {
    let Some(python) = python() else { return };
    for test in ["assert f(", "import no_such_module"] {
        let job = Job { solution: "f = 1".into(), tests: vec![test.into()], ..Job::default() };
        let message = python.check(&job, &short()).unwrap_err().to_string();
        assert!(message.contains("cannot be run"), "{message}");
    }
    assert!(python.check(&Job::default(), &short()).is_err());
    // An import that fails in the solution is the solution's fault.
    let job = Job {
        solution: "def f():\n    import no_such_module".into(),
        tests: vec!["f()".into()],
        ..Job::default()
    };
    assert_eq!(python.check(&job, &short()).unwrap().outcome, Outcome::Failed);
}

#[test]
fn tests_may_need_packages() {
    let Some(python) = python() else { return };
    let job = Job {
        solution: "def f(x): return [x, 2 * x]".into(),
        tests: vec!["import numpy as np\nassert np.allclose(f(2), np.array([2.0, 4.0]))".into()],
        packages: true,
        ..Job::default()
    };
    match python.check(&job, &Limits::default()) {
        Ok(verdict) => assert_eq!(verdict.outcome, Outcome::Passed, "{}", verdict.why),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("No module named 'numpy'"), "{message}");
            println!("skipped: {message}");
        }
    }
}

#[test]
fn a_set_of_texts_has_one_order() {
    let Some(first) =
        verdict("def f(x): return list({'a', 'b', 'c', 'd', 'e', 'f'})", &["assert f(1) == 0"])
    else {
        return;
    };
    for _ in 0..3 {
        let again =
            verdict("def f(x): return list({'a', 'b', 'c', 'd', 'e', 'f'})", &["assert f(1) == 0"]);
        assert_eq!(again.as_ref(), Some(&first));
    }
}

/// In a process and a folder of its own, so that other tests at work leave nothing there.
#[test]
fn nothing_is_left_behind() {
    if python().is_none() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::tests::leaving_child", "--ignored", "--nocapture"])
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[ignore = "a part of nothing_is_left_behind"]
fn leaving_child() {
    let verdict = verdict("open('x', 'w').write('x')\ndef f(x): return 2 * x", &TESTS);
    assert_eq!(verdict.map(|verdict| verdict.outcome), Some(Outcome::Passed));
}

#[cfg(target_os = "linux")]
#[test]
fn fewer_walls_leave_the_gaps_that_are_said() {
    let Some(python) = python() else { return };
    for (without, gaps) in [
        (vec![], vec![]),
        (vec!["namespaces"], vec![]),
        (vec!["mounts"], vec![]),
        (vec!["landlock"], vec!["reading files"]),
        (vec!["seccomp"], vec!["starting processes"]),
        (vec!["namespaces", "landlock"], vec!["writing files", "reading files"]),
        (
            vec!["namespaces", "landlock", "seccomp"],
            vec![
                "writing files",
                "reading files",
                "using the network",
                "starting processes",
                "sending signals",
            ],
        ),
    ] {
        // What this machine lacks by itself cannot be compared.
        if !python.gaps().is_empty() || python.walls().iter().any(|(_, why)| why.is_some()) {
            println!("skipped: this machine lacks walls of its own");
            return;
        }
        let fewer = python.without(&without).unwrap();
        assert_eq!(fewer.gaps(), gaps, "without {without:?}: {:?}", fewer.tried());
        let job = Job {
            solution: "def f(x): return 2 * x".into(),
            tests: vec!["assert f(2) == 4".into()],
            ..Job::default()
        };
        let passed = fewer.check(&job, &short()).unwrap();
        assert_eq!(passed.outcome, Outcome::Passed, "without {without:?}");
        let job = Job {
            solution: "import time\ntime.sleep(10**6)".into(),
            tests: vec!["assert f(2) == 4".into()],
            ..Job::default()
        };
        let limits = Limits { wall_seconds: 3, ..short() };
        let late = fewer.check(&job, &limits).unwrap();
        assert_eq!(late.outcome, Outcome::TimedOut, "without {without:?}");
    }
}
