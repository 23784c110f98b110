use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// Programs and expressions that both languages accept, or both refuse.
const SHARED: &[(&str, &str)] = &[
    // numbers
    ("", "7 // 2, -7 // 2, 7 // -2, -7 // -2, 6 // 3, -6 // 3"),
    ("", "7 % 3, -7 % 3, 7 % -3, -7 % -3, 0 % 5, -6 % 3"),
    ("", "2 ** 10, (-2) ** 3, -2 ** 2, 2 ** 3 ** 2, 0 ** 0, (-1) ** 7"),
    ("", "1 - 2 - 3, 2 + 3 * 4, (2 + 3) * 4, -3 + 1, +5, --5"),
    ("", "1 // 0"),
    ("", "5 % 0"),
    ("", "True + True, True * 3, -True, True == 1, 1 in [True], abs(-True)"),
    ("", "abs(-7), abs(7), int('-12'), int(' 7 '), int(True), int()"),
    ("", "int('1x')"),
    ("", "9223372036854775807 - 1, -9223372036854775807"),
    ("", "-(-9223372036854775807 - 1) // 9223372036854775807 if False else 1"),
    // truth and comparison
    ("", "1 < 2 < 3, 1 < 3 < 2, 3 > 2 >= 2 != 1, 1 == 1 == 1"),
    ("", "0 or [] or 'x', 1 and 2, 1 and 0, not [], not 'a', None or 3"),
    ("", "[1, 2] < [1, 3], [1] < [1, 0], 'a' < 'b', (1, 2) == (1, 2), [1] == (1,)"),
    ("", "1 < 'a'"),
    ("", "[1] < (1,)"),
    ("", "1 == '1', None == 0, [] == False, 'a' != 'b'"),
    ("x = None", "x is None, x is not None, 1 is None"),
    ("", "2 in [1, 2], 3 not in (1, 2), 'b' in 'abc', 'bd' in 'abc', 4 in range(5), 2 in {1, 2}"),
    ("", "1 in 5"),
    ("", "[1, [2, 3]] == [1, [2, 3]], {1, 2} == {2, 1}, {1} == {1, 2}"),
    ("", "5 if 0 else 6, 5 if [0] else 6, 1 if 2 else 3 if 4 else 5"),
    // parts
    ("xs = [1, 2, 3, 4, 5]", "xs[0], xs[-1], xs[1:3], xs[:-1], xs[::2], xs[::-1], xs[4:0:-2]"),
    (
        "xs = [1, 2, 3]",
        "xs[10:], xs[-10:2], xs[2:1], xs[None:2], xs[-1:], xs[:0], xs[::-3], xs[5::-1]",
    ),
    ("xs = [1, 2, 3]", "xs[3]"),
    ("xs = [1, 2, 3]", "xs[-4]"),
    ("xs = [1, 2, 3]", "xs[::0]"),
    ("s = 'hello'", "s[0], s[-1], s[1:3], s[::-1], len(s), s * 2, s + '!', 0 * s"),
    ("t = (1, 2, 3)", "t[1], t[::-1], t + (4,), len(t), t.index(2), t.count(3), ()"),
    ("", "[1, 2] + [3], [0] * 3, 2 * [1, 2], [] * 5, [1] * -1"),
    ("", "[1] + (2,)"),
    ("", "(1)[0]"),
    // changing
    (
        "xs = [3, 1, 2]\nxs.sort()\nxs.append(9)\nxs.insert(1, 7)\nxs.insert(-1, 8)\nxs.insert(99, 0)",
        "xs",
    ),
    (
        "xs = [3, 1, 2]\na = xs.pop()\nb = xs.pop(0)\nxs.extend([5, 6])\nxs.reverse()\nxs.remove(5)",
        "xs, a, b",
    ),
    ("xs = []\nxs.pop()", "xs"),
    ("xs = [1]\nxs.remove(2)", "xs"),
    (
        "xs = [1, 2, 1]\nys = xs\nzs = xs.copy()\nys.append(5)\nzs.clear()",
        "xs, ys, zs, xs.index(2), xs.count(1)",
    ),
    ("xs = [1, 2]\nys = xs\nys += [3]\nzs = xs + [4]", "xs, ys, zs"),
    ("xs = [1, 2, 3]\nxs[1] = 7\nxs[-1] += 10\nxs[0] *= 5", "xs"),
    ("xs = [1, 2]\nxs += xs\nxs.extend(xs)", "xs"),
    ("x = 7\nx -= 2\nx *= 3\nx //= 4\nx **= 3\nx %= 10", "x"),
    (
        "a = b = [1]\na.append(2)\nc, (d, e) = 1, (2, 3)\n[f, g] = [4, 5]\nd, e = e, d",
        "a, b, c, d, e, f, g",
    ),
    ("a, b = 1, 2, 3", "a"),
    ("t = (1, 2)\nt[0] = 3", "t"),
    // sorting
    (
        "",
        "sorted([3, 1, 2]), sorted([3, 1, 2], reverse=True), sorted('bca'), sorted((2, 1)), sorted({3, 1, 2})",
    ),
    (
        "",
        "sorted([-3, 2, -1], key=abs), sorted(['bb', 'a', 'cc'], key=len), sorted(['bb', 'a', 'cc'], key=len, reverse=True)",
    ),
    (
        "",
        "sorted([(1, 'b'), (1, 'a'), (0, 'c')]), sorted([(1, 'b'), (0, 'z'), (1, 'a')], key=lambda p: p[0])",
    ),
    ("", "sorted([1, 'a'])"),
    (
        "xs = [5, -2, 3]\nxs.sort(key=lambda v: -v)\nys = xs.copy()\nys.sort(reverse=True, key=abs)",
        "xs, ys",
    ),
    // going through
    (
        "",
        "sum([1, 2, 3]), sum([]), sum([1], 5), sum(range(4)), sum([True, True]), sum([[1], [2]], [])",
    ),
    ("", "sum(['a'], '')"),
    (
        "",
        "max([3, 9, 2]), min(4, 2, 8), max('abc'), max([-5, 3], key=abs), min([(2, 1), (1, 5)]), max({1, 4})",
    ),
    ("", "max([])"),
    (
        "",
        "list(range(5)), list(range(2, 8, 3)), list(range(5, 0, -2)), len(range(0, 10, 3)), list(range(3, 3))",
    ),
    ("", "list(reversed([1, 2, 3])), list(reversed('ab')), list(reversed(range(3)))"),
    ("", "list(enumerate('ab')), list(enumerate([5], 1)), list(enumerate([5], start=2))"),
    (
        "",
        "list(zip([1, 2, 3], 'ab')), list(zip()), list(map(lambda a, b: a + b, [1, 2], [3, 4])), list(map(abs, [-1]))",
    ),
    (
        "",
        "list(filter(None, [0, 1, '', 2])), list(filter(lambda v: v > 1, [1, 2, 3])), tuple([1]), list('ab')",
    ),
    (
        "",
        "any([0, 1]), all([0, 1]), any([]), all([]), any(x > 2 for x in [1, 2, 3]), all(x > 2 for x in [1])",
    ),
    ("z = zip([1, 2, 3], [4, 5, 6])\na = list(z)\nb = list(z)", "a, b"),
    ("m = map(abs, [-1])", "len(m)"),
    ("m = map(abs, [-1])", "m[0]"),
    ("it = enumerate([7, 8, 9])\nfor i, v in it:\n    break", "list(it), i, v"),
    ("xs = [1, 2, 3, 4]\nfor x in xs:\n    if x % 2 == 0:\n        xs.remove(x)", "xs"),
    (
        "xs = [1, 2, 3]\nfor i, x in enumerate(xs):\n    xs[i] = x * 2\n    if i == 0:\n        xs[2] = 100",
        "xs",
    ),
    (
        "xs = [1, 2]\nout = []\nfor x in xs:\n    out.append(x)\n    if len(xs) < 5:\n        xs.append(x + 10)",
        "out",
    ),
    (
        "xs = [1, 2, 3, 4]\nout = []\nfor x in reversed(xs):\n    out.append(x)\n    xs.pop()",
        "out, xs",
    ),
    // comprehensions
    (
        "",
        "[x * x for x in range(4)], [x for x in range(9) if x % 2 if x > 3], [(a, b) for a in range(2) for b in 'xy']",
    ),
    ("x = 5\nys = [x for x in [1, 2]]", "x, ys"),
    ("x = [1, 2]", "[x for x in x]"),
    (
        "",
        "sorted({v % 3 for v in range(9)}), [[j for j in range(i)] for i in range(3)], [a + b for a, b in [(1, 2)]]",
    ),
    ("", "len({1, True, 2}), {1} == {True}, {(1, 2)} == {(1, 2)}"),
    ("", "{[1]}"),
    // functions and names
    ("def f(a, b):\n    return a - b", "f(5, 2), f(b=1, a=2), f(3, b=4)"),
    ("def f(a, b):\n    return a - b", "f(1)"),
    ("def f(a):\n    return a", "f(1, 2)"),
    ("def f(a):\n    return a", "f(1, a=2)"),
    ("def f():\n    pass\ndef g():\n    return", "f(), g()"),
    ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)", "f(10)"),
    ("x = 1\ndef f():\n    x = 2\n    return x", "f(), x"),
    ("x = 1\ndef f():\n    x += 1\n    return x", "f()"),
    ("x = 1\ndef f():\n    y = x\n    x = 2\n    return y", "f()"),
    ("def f():\n    def g():\n        return k\n    k = 4\n    return g()", "f()"),
    ("fs = [lambda: i for i in range(3)]", "[g() for g in fs]"),
    (
        "def make(n):\n    def add(v):\n        return v + n\n    return add\na = make(3)\nb = make(5)",
        "a(1), b(1)",
    ),
    ("f = lambda x, y: x * y", "f(3, 4), (lambda: 7)()"),
    ("", "undefined"),
    ("def sum(xs):\n    return 99", "sum([1])"),
    ("def f(xs):\n    xs.append(1)\nys = []\nf(ys)\nf(ys)", "ys"),
    // flow
    (
        "out = []\nfor i in range(10):\n    if i == 2: continue\n    if i == 5: break\n    out.append(i)",
        "out, i",
    ),
    (
        "n = 10\nsteps = 0\nwhile n != 1:\n    if n % 2 == 0:\n        n //= 2\n    else:\n        n = 3 * n + 1\n    steps += 1",
        "steps",
    ),
    (
        "def f(x):\n    if x < 0:\n        return 'low'\n    elif x == 0:\n        return 'zero'\n    else:\n        return 'high'",
        "f(-1), f(0), f(5)",
    ),
    (
        "def f(xs):\n    for x in xs:\n        while True:\n            if x > 2:\n                return x\n            break",
        "f([1, 5]), f([])",
    ),
    ("x = 1; y = 2  # two on a line\n\n# a comment\n\nz = (x +\n     y)", "z"),
    (
        "def f(xs):\n    \"\"\"Says what it does.\"\"\"\n    total = 0\n\n    for x in xs: total += x\n    return total\n",
        "f([1, 2])",
    ),
    // strings
    (
        "",
        "', '.join(['a', 'b']), ''.join([]), 'a b  c'.split(), 'a,b,,c'.split(','), 'aB'.upper(), 'aB'.lower()",
    ),
    (
        "",
        "str(12), str([1, 'a']), str(None), str(True), str('x'), 'it\\'s', \"a\\\"b\", 'a\\nb\\t\\\\'",
    ),
    ("", "','.join([1])"),
    ("", "'a' + 1"),
    (
        "",
        "bool([]), bool('a'), bool(), bool(0), [None, True], (1,), [()], range(3), range(1, 9, 2)",
    ),
    ("xs = [1]", "xs.nothing()"),
    ("x = 5", "x()"),
    ("for x in 5:\n    pass", "1"),
    ("def f(:\n    pass", "1"),
    ("def f():\nreturn 1", "f()"),
    ("if True:\n    x = 1\n  y = 2", "x"),
    ("x = (1", "x"),
    ("x = 'abc", "x"),
    ("return 5", "1"),
    ("break", "1"),
    ("f(1) = 2", "1"),
    ("x = 01", "x"),
];

/// What CPython accepts and this language does not.
const LEFT_OUT: &[(&str, &str)] = &[
    ("import os", "1"),
    ("", "1 / 2"),
    ("", "1.5"),
    ("", "2 ** -1"),
    ("", "{'a': 1}"),
    ("", "{}"),
    ("", "2 ** 64"),
    ("", "9223372036854775807 + 1"),
    ("", "list({1, 2})"),
    ("", "[x for x in {1, 2}]"),
    ("", "str({1, 2})"),
    ("print(1)", "1"),
    ("", "f'{1}'"),
    ("class A: pass", "1"),
    ("def f(x=1): return x", "f()"),
    ("try:\n    x = 1\nexcept Exception:\n    x = 2", "x"),
    ("for x in []:\n    pass\nelse:\n    y = 1", "y"),
    ("assert True", "1"),
    ("exit", "1"),
    ("", "1 is 1"),
    ("xs = [1]", "any(xs.append(x) for x in [1, 2])"),
    ("", "eval('1')"),
    ("", "(1).__class__"),
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
fn what_it_leaves_out_is_an_error_with_a_sentence() {
    for case in LEFT_OUT {
        let problem = ours(*case).expect_err(case.1);
        assert!(problem.to_string().len() > 10, "{case:?}: {problem}");
    }
}

#[test]
fn nothing_hangs_or_grows_without_end() {
    let cases = [
        ("while True:\n    pass", "1", "steps"),
        ("xs = [1]\nfor x in xs:\n    xs.append(x)", "1", "more than"),
        ("xs = [1]\nwhile True:\n    xs += xs", "1", "more than"),
        ("s = 'a'\nwhile True:\n    s += s", "1", "entries"),
        ("", "'ab' * 10 ** 17", "entries"),
        ("", "[1, 2] * 9223372036854775807", "entries"),
        ("", "list(range(10 ** 15))", "more than"),
        ("", "sum(range(10 ** 15))", "more than"),
        ("", "10 ** 15 in range(10 ** 16)", "steps"),
        ("def f(x):\n    return f(x + 1)", "f(0)", "inside each other"),
        ("f = lambda x: f(x)", "f(0)", "inside each other"),
        ("def f(x):\n    return [f(y) for y in [x]]", "f(0)", "inside each other"),
        ("m = [1]\nfor i in range(500):\n    m = map(abs, m)", "list(m)", "inside each other"),
        ("xs = []\nxs.append(xs)", "str(xs)", "inside each other"),
        ("xs = []\nxs.append(xs)\nys = []\nys.append(ys)", "xs == ys", "inside each other"),
        ("xs = [1]\nfor i in range(5000):\n    xs = [xs]", "str(xs)", "inside each other"),
        ("x = 2\nwhile True:\n    x = x * x", "1", "64 bits"),
        ("", "sorted([1, 2], key=lambda v: sorted([1], key=lambda w: v / w))", "fractions"),
    ];
    for (program, expression, wanted) in cases {
        let problem = ours((program, expression)).expect_err(program);
        assert!(problem.to_string().contains(wanted), "{program}\n{expression}: {problem}");
    }
    // Deep structures are made and freed without deep recursion of our own.
    let deep = "xs = [1]\nfor i in range(20000):\n    xs = [xs]\nt = (1,)\nfor i in range(20000):\n    t = (t,)";
    assert_eq!(ours((deep, "len(xs), len(t)")), Ok("(1, 1)".into()));
    for text in [
        "(".repeat(3_000),
        "-".repeat(3_000) + "1",
        "not ".repeat(1_500) + "1",
        "1".to_owned() + &" + 1".repeat(1_500),
        "x".to_owned() + &"[0]".repeat(1_500),
        "lambda: ".repeat(900) + "1",
        "1 if 1 else ".repeat(600) + "1",
        "[".repeat(20) + &"]".repeat(20) + &"(".repeat(31),
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
