use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// Programs and expressions that both languages accept, or both refuse.
const SHARED: &[(&str, &str)] = &[
    // numbers
    ("", "[7 % 3, -7 % 3, 7 % -3, -7 % -3, 0 % 5, -6 % 3]"),
    ("", "[1 - 2 - 3, 2 + 3 * 4, (2 + 3) * 4, -3 + 1, --5, 2 * -3, 7 * 2 % 4]"),
    ("", "5 % 0"),
    ("", "[True + True, True * 3, -True, True == 1, abs(-True), abs(-7), abs(7)]"),
    ("", "[9223372036854775807 - 1, -9223372036854775807]"),
    // truth and comparison
    ("", "[1 < 2, 2 < 1, 2 <= 2, 3 > 2, 3 >= 4, 1 == 1, 1 != 1, 1 + 1 == 2]"),
    ("", "[0 or [] or 5, 1 and 2, 1 and 0, not [], not 3, None or 3, not 1 == 2]"),
    ("", "[1 or 1 % 0, 0 and 1 % 0, 1 == 2 or 3 == 3 and not 4 == 5]"),
    (
        "",
        "[None == 0, [] == False, None == None, [1] == 1, [1, [2, 3]] == [1, [2, 3]], [1] == [1, 2]]",
    ),
    ("", "1 < None"),
    ("", "[] < 1"),
    ("", "[5 if 0 else 6, 5 if [0] else 6, 1 if 2 else 3 if 4 else 5]"),
    // parts
    ("xs = [1, 2, 3, 4, 5]", "[xs[0], xs[-1], xs[1:3], xs[:-1], xs[::2], xs[::-1], xs[4:0:-2]]"),
    (
        "xs = [1, 2, 3]",
        "[xs[10:], xs[-10:2], xs[2:1], xs[-1:], xs[:0], xs[::-3], xs[5::-1], xs[:]]",
    ),
    ("xs = [1, 2, 3]", "xs[3]"),
    ("xs = [1, 2, 3]", "xs[-4]"),
    ("xs = [1, 2, 3]", "xs[::0]"),
    ("", "(1)[0]"),
    ("", "[1] + 2"),
    // changing
    ("xs = [3, 1, 2]\nxs.sort()\nxs.append(9)\nys = xs\nxs.reverse()", "[xs, ys, xs == ys]"),
    ("xs = [3, 1, 2]\nxs.sort(reverse=True)", "[xs, xs.append(4), xs]"),
    ("xs = [2, 1]\nxs = xs.sort()", "xs"),
    ("xs = [1, 2, 3]\nys = xs[:]\nys.append(4)", "[xs, ys]"),
    // functions of lists
    ("", "[sorted([3, 1, 2]), sorted([3, 1, 2], reverse=True), sorted([1, True, 0], reverse=1)]"),
    ("", "sorted([1, None])"),
    (
        "",
        "[sum([1, 2, 3]), sum([]), sum([True, True]), max([3, 9, 2]), min([4, 2, 8]), max([1, True])]",
    ),
    ("", "[min([True, 1]), len([1, 2]), len([]), list([1, 2]), list()]"),
    ("", "max([])"),
    ("", "sum(5)"),
    ("", "len(5)"),
    ("xs = [1]\nys = list(xs)\nys.append(2)", "[xs, ys]"),
    (
        "",
        "[list(map(abs, [-1, 2])), list(filter(lambda v: v > 1, [1, 2, 3])), sum(map(abs, [-3, 2]))]",
    ),
    ("m = map(abs, [-1])\na = list(m)\nb = list(m)", "[a, b]"),
    ("m = map(abs, [-1])", "len(m)"),
    ("m = map(abs, [-1])", "m[0]"),
    ("xs = [1]\nm = map(abs, xs)\nxs.append(-2)\nxs.reverse()", "[list(m), list(m)]"),
    ("k = 2\nf = filter(lambda v: v > k, [1, 2, 3])\nk = 0", "sorted(map(lambda v: v * k, f))"),
    ("m = map(lambda v: len(list(m)), [7, 8, 9])", "list(m)"),
    (
        "xs = [1, 2]\nout = []\nfor x in xs:\n    out.append(x)\n    if len(xs) < 5:\n        xs.append(x + 10)",
        "out",
    ),
    ("out = []\nfor x in filter(lambda v: v % 2 == 1, [1, 2, 3]):\n    out.append(x)", "[out, x]"),
    // comprehensions
    (
        "",
        "[[x * x for x in [1, 2, 3]], [x for x in [1, 2, 3, 4] if x % 2 == 0], [[y] for y in []]]",
    ),
    ("x = 5\nys = [x for x in [1, 2]]", "[x, ys]"),
    ("x = [1, 2]", "[x for x in x]"),
    ("", "[sum([y * x for y in [1, 2]]) for x in [1, 2, 3]]"),
    ("fs = [lambda: i for i in [0, 1, 2]]", "[g() for g in fs]"),
    // functions and names
    ("def f(a, b):\n    return a - b", "f(5, 2)"),
    ("def f(a, b):\n    return a - b", "f(1)"),
    ("def f(a):\n    return a", "f(1, 2)"),
    ("def f():\n    pass\ndef g():\n    return", "[f(), g()]"),
    ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)", "f(10)"),
    ("x = 1\ndef f():\n    x = 2\n    return x", "[f(), x]"),
    ("x = 1\ndef f():\n    y = x\n    x = 2\n    return y", "f()"),
    ("def f(xs):\n    sum = sum(xs)\n    return sum", "f([1])"),
    ("def f():\n    def g():\n        return k\n    k = 4\n    return g()", "f()"),
    (
        "def make(n):\n    def add(v):\n        return v + n\n    return add\na = make(3)\nb = make(5)",
        "[a(1), b(1)]",
    ),
    ("f = lambda x, y: x * y", "[f(3, 4), (lambda: 7)()]"),
    ("", "undefined"),
    ("def sum(xs):\n    return 99", "sum([1])"),
    ("def f(xs):\n    xs.append(1)\nys = []\nf(ys)\nf(ys)", "ys"),
    // flow
    (
        "def f(x):\n    if x < 0:\n        return 1\n    elif x == 0:\n        return 2\n    else:\n        return 3",
        "[f(-1), f(0), f(5)]",
    ),
    (
        "def f(xs):\n    for x in xs:\n        for y in xs:\n            if x + y > 6:\n                return x",
        "[f([1, 5]), f([])]",
    ),
    ("# a comment\n\nz = (1 +\n     2)  # behind\n", "z"),
    ("def f(xs): return xs[0]\nif f([1]): y = f([2])\nelse: y = 3", "y"),
    (
        "x = 1; y = x + 1;\nf = lambda a,: a; z = f(y,)\ndef g(a,): x = a; return; return x",
        "[x, y, z, g(4)]",
    ),
    // what neither reads
    ("x = 1;; y = 2", "y"),
    ("xs = [1]", "xs.nothing()"),
    ("x = 5", "x()"),
    ("for x in 5:\n    pass", "1"),
    ("def f(:\n    pass", "1"),
    ("def f():\nreturn 1", "f()"),
    ("if True:\n    x = 1\n  y = 2", "x"),
    ("x = (1", "x"),
    ("x = 1)", "x"),
    ("return 5", "1"),
    ("f(1) = 2", "1"),
    ("x = 01", "x"),
    ("def f(a, a): return a", "1"),
    ("x = not", "x"),
];

/// What CPython accepts and minipy does not, each with a right answer in it.
const LEFT_OUT: &[(&str, &str)] = &[
    ("import os", "1"),
    ("class A: pass", "1"),
    ("try:\n    x = 1\nexcept Exception:\n    x = 2", "x"),
    ("assert True", "1"),
    ("x = 0\nwhile x < 3: x = x + 1", "x"),
    ("for x in [1, 2]:\n    break", "x"),
    ("for x in []:\n    pass\nelse:\n    y = 1", "y"),
    ("x = 1\nx += 2", "x"),
    ("a = b = 1", "a"),
    ("a, b = 1, 2", "a"),
    ("xs = [1]\nxs[0] = 2", "xs"),
    ("def f(x=1): return x", "f()"),
    ("def f(xs: list): return 1", "f(2)"),
    ("def f(x): return x", "f(x=1)"),
    ("print(1)", "1"),
    ("", "7 // 2"),
    ("", "1 / 2"),
    ("", "2 ** 3"),
    ("", "1.5"),
    ("", "+5"),
    ("", "9223372036854775807 + 1"),
    ("", "1 < 2 < 3"),
    ("", "2 in [1, 2]"),
    ("", "2 not in [1]"),
    ("", "None is None"),
    ("", "'a'"),
    ("", "f'{1}'"),
    ("def f():\n    \"\"\"Says what it does.\"\"\"\n    return 1", "f()"),
    ("", "(1, 2)"),
    ("", "1, 2"),
    ("", "{1}"),
    ("", "{'a': 1}"),
    ("", "[1] + [2]"),
    ("", "[1] * 2"),
    ("", "[1] < [2]"),
    ("", "[1, 2][None:]"),
    ("", "sum(x for x in [1])"),
    ("", "[x for x in [1] if x if x]"),
    ("", "[x for y in [[1]] for x in y]"),
    ("", "list(range(3))"),
    ("", "list(zip([1], [2]))"),
    ("", "list(enumerate([1]))"),
    ("", "set([1])"),
    ("", "any([1])"),
    ("", "max(1, 2)"),
    ("", "sum([1], 2)"),
    ("", "max([-5, 3], key=abs)"),
    ("", "sorted([-3, 2], key=abs)"),
    ("", "sorted([[2], [1]])"),
    ("", "list(filter(None, [0, 1]))"),
    ("xs = [1]\nxs.extend([2])", "xs"),
    ("xs = [1]\nxs.pop()", "xs"),
    ("xs = [1]", "xs.copy()"),
    ("", "(1).__class__"),
    ("xs = [3, 1]", "xs == xs and list == list"),
];

fn ours((program, expression): (&str, &str)) -> Outcome<String> {
    Program::parse(program)?.evaluate(expression)
}

#[test]
fn what_it_accepts_means_what_it_means_in_cpython() {
    let script = "
import contextlib, io, json, sys
for program, expression in json.load(sys.stdin):
    try:
        names = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(program, names)
        print(json.dumps(repr(eval(expression, names))))
    except Exception:
        print('null')
";
    let child = Command::new("python3")
        .args(["-W", "ignore", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no python3");
        return;
    };
    let all: Vec<_> = SHARED.iter().chain(LEFT_OUT).collect();
    let json = serde_json::to_string(&all).expect("text is JSON");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(json.as_bytes()).expect("python3 reads");
    drop(stdin);
    let output = child.wait_with_output().expect("python3 ends");
    let theirs: Vec<Option<String>> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    if theirs.len() != all.len() {
        println!("skipped: python3 does not run");
        return;
    }
    for (case, theirs) in SHARED.iter().zip(&theirs) {
        let ours = ours(*case);
        assert_eq!(ours.as_deref().ok(), theirs.as_deref(), "{case:?}: {ours:?}");
    }
    for (case, theirs) in LEFT_OUT.iter().zip(&theirs[SHARED.len()..]) {
        assert!(theirs.is_some(), "CPython refuses it too: {case:?}");
    }
}

#[test]
fn what_it_leaves_out_is_an_error_that_says_so() {
    // limits and errors of CPython's own kind name themselves
    let by_name = ["64 bits", "cannot be called"];
    for case in LEFT_OUT {
        let problem = ours(*case).expect_err(case.1).to_string();
        let says = problem.contains("minipy") || by_name.iter().any(|part| problem.contains(part));
        assert!(says, "{case:?}: {problem}");
    }
}

#[test]
fn nothing_hangs_or_grows_without_end() {
    let cases = [
        ("xs = [1]\nfor x in xs:\n    xs.append(x)", "1", "steps"),
        ("def f(n):\n    return [f(n - 1), f(n - 1)] if n > 0 else n", "f(20)", "steps"),
        (
            "xs = [1]\ndef f(ys):\n    return [ys, ys]\nfor x in [f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f]:\n    xs = x(xs)",
            "xs",
            "steps",
        ),
        ("def f(x):\n    return f(x + 1)", "f(0)", "inside each other"),
        ("f = lambda x: f(x)", "f(0)", "inside each other"),
        ("def f(x):\n    return [f(y) for y in [x]]", "f(0)", "inside each other"),
        (
            "m = [1]\nks = [1]\nfor k in ks:\n    m = map(abs, m)\n    if len(ks) < 500:\n        ks.append(k)",
            "list(m)",
            "inside each other",
        ),
        ("xs = []\nxs.append(xs)", "xs", "inside each other"),
        ("xs = []\nxs.append(xs)\nys = []\nys.append(ys)", "xs == ys", "inside each other"),
        ("x = 2\nxs = [1]\nfor y in xs:\n    x = x * x\n    xs.append(1)", "1", "64 bits"),
    ];
    for (program, expression, wanted) in cases {
        let problem = ours((program, expression)).expect_err(program);
        assert!(problem.to_string().contains(wanted), "{program}\n{expression}: {problem}");
    }
    // Deep structures are made and freed without deep recursion of our own.
    let deep = "xs = [1]\nks = [1]\nfor k in ks:\n    xs = [xs]\n    if len(ks) < 5000:\n        ks.append(k)";
    assert_eq!(ours((deep, "len(xs)")), Ok("1".into()));
    for text in [
        "(".repeat(3_000),
        "-".repeat(3_000) + "1",
        "not ".repeat(1_500) + "1",
        "1".to_owned() + &" + 1".repeat(1_500),
        "x".to_owned() + &"[0]".repeat(1_500),
        "lambda: ".repeat(900) + "1",
        "1 if 1 else ".repeat(600) + "1",
        "[".repeat(20) + &"]".repeat(20) + &"(".repeat(31),
        "if 1: ".repeat(1_000) + "1",
        "x".repeat(9_000),
    ] {
        assert!(ours(("", &text)).is_err());
        assert!(Program::parse(&text).is_err() || ours((&text, "1")).is_err());
    }
}

#[test]
fn the_depth_limit_leaves_room_on_a_small_stack() {
    let run = || {
        let deep = "def f(n):\n    for i in [1]:\n        if n > 0 and (1 + (2 + f(n - 1))) > 0:\n            return [x for x in [1] if f(n)]\n    return 1";
        ours((deep, "f(1000)")).expect_err("recursion without end").to_string()
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run);
    let message = thread.expect("a thread").join().expect("no overflow");
    assert!(message.contains("inside each other"), "{message}");
}

#[test]
fn a_test_sees_the_value_and_compares_as_python_does() {
    let program = Program::parse("def f(x):\n    return x > 1").expect("a program");
    assert_eq!(program.gives("f(2)", "True"), Ok((true, "True".into())));
    assert_eq!(program.gives("f(2)", "1"), Ok((true, "True".into())));
    assert_eq!(program.gives("f(0)", "1"), Ok((false, "False".into())));
    // What the program calls True or sum does not change what is expected.
    let cheat =
        Program::parse("def sum(x):\n    return 0\ndef f(x):\n    return 0").expect("a program");
    assert_eq!(cheat.gives("f(1)", "sum([4])"), Ok((false, "0".into())));
}

#[test]
fn errors_name_the_line() {
    let program = Program::parse("def f(xs):\n    y = 1\n    return xs[9]").expect("a program");
    let problem = program.evaluate("f([1])").expect_err("too short");
    assert_eq!(problem.to_string(), "line 3: index 9 is outside a list of length 1");
}
