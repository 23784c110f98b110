//! *code*: write a function from a description and one test, as in MBPP.

use super::annotator::{Annotator, Persona};
use super::{Drawn, LabTask, Shares, Styled, hash};
use crate::rng::Rng;
use crate::task::{Check, CodeTest};

/// One operation on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Even,
    Odd,
    Positive,
    Above(i64),
    Below(i64),
    Add(i64),
    Subtract(i64),
    Multiply(i64),
    Square,
    Reverse,
    Sort,
    DropFirst,
    // From here on rare.
    DropLast,
    EverySecond,
    Downwards,
    Absolute,
    Remainder(i64),
    Multiples(i64),
}

/// What a function returns of the list in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    List,
    Sum,
    Count,
    Largest,
    // From here on rare.
    Smallest,
    Last,
}

const COMMON_OPERATIONS: usize = 12;
const RARE_OPERATIONS: usize = 6;
const COMMON_REDUCTIONS: usize = 4;
const RARE_REDUCTIONS: usize = 2;

/// How an operation is written in Python, with a variable for the list and one for its values.
enum Shape {
    /// Keeps the values for which the condition holds.
    Keep(String),
    /// Replaces each value.
    Change(String),
    /// Something on the list as a whole.
    Whole(String),
}

impl Operation {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON_OPERATIONS, RARE_OPERATIONS, rng);
        let operation = match kind {
            0 => Self::Even,
            1 => Self::Odd,
            2 => Self::Positive,
            3 => Self::Above(rng.between(2, 9)),
            4 => Self::Below(rng.between(2, 9)),
            5 => Self::Add(rng.between(2, 9)),
            6 => Self::Subtract(rng.between(2, 9)),
            7 => Self::Multiply(rng.between(2, 9)),
            8 => Self::Square,
            9 => Self::Reverse,
            10 => Self::Sort,
            11 => Self::DropFirst,
            12 => Self::DropLast,
            13 => Self::EverySecond,
            14 => Self::Downwards,
            15 => Self::Absolute,
            16 => Self::Remainder(rng.between(3, 9)),
            _ => Self::Multiples(rng.between(3, 5)),
        };
        (operation, kind >= COMMON_OPERATIONS)
    }

    /// Verb and object.
    fn words(self) -> (&'static str, String) {
        let (verb, object) = match self {
            Self::Even => ("keep", "the even numbers"),
            Self::Odd => ("keep", "the odd numbers"),
            Self::Positive => ("keep", "the positive numbers"),
            Self::Above(k) => return ("keep", format!("the numbers above {k}")),
            Self::Below(k) => return ("keep", format!("the numbers below {k}")),
            Self::Add(k) => return ("add", format!("{k} to each number")),
            Self::Subtract(k) => return ("subtract", format!("{k} from each number")),
            Self::Multiply(k) => return ("multiply", format!("each number by {k}")),
            Self::Square => ("square", "each number"),
            Self::Reverse => ("reverse", "the list"),
            Self::Sort => ("sort", "the list"),
            Self::DropFirst => ("drop", "the first number"),
            Self::DropLast => ("drop", "the last number"),
            Self::EverySecond => ("take", "every second number"),
            Self::Downwards => ("sort", "the list from high to low"),
            Self::Absolute => ("take", "the absolute value of each number"),
            Self::Remainder(k) => {
                return ("replace", format!("each number by its remainder modulo {k}"));
            }
            Self::Multiples(k) => return ("keep", format!("the multiples of {k}")),
        };
        (verb, object.to_owned())
    }

    /// `keep the even numbers`
    fn imperative(self) -> String {
        let (verb, object) = self.words();
        format!("{verb} {object}")
    }

    /// `keeps the even numbers`
    fn indicative(self) -> String {
        let (verb, object) = self.words();
        match verb.strip_suffix('y') {
            Some(stem) => format!("{stem}ies {object}"),
            None => format!("{verb}s {object}"),
        }
    }

    fn apply(self, xs: &[i64]) -> Vec<i64> {
        let keep = |test: &dyn Fn(i64) -> bool| xs.iter().copied().filter(|x| test(*x)).collect();
        let change = |f: &dyn Fn(i64) -> i64| xs.iter().map(|x| f(*x)).collect();
        let mut all = xs.to_vec();
        match self {
            Self::Even => keep(&|x| x % 2 == 0),
            Self::Odd => keep(&|x| x % 2 != 0),
            Self::Positive => keep(&|x| x > 0),
            Self::Above(k) => keep(&|x| x > k),
            Self::Below(k) => keep(&|x| x < k),
            Self::Multiples(k) => keep(&|x| x % k == 0),
            Self::Add(k) => change(&|x| x + k),
            Self::Subtract(k) => change(&|x| x - k),
            Self::Multiply(k) => change(&|x| x * k),
            Self::Square => change(&|x| x * x),
            Self::Absolute => change(&i64::abs),
            // For a divisor above 0, Python's % is the remainder that is never negative.
            Self::Remainder(k) => change(&|x| x.rem_euclid(k)),
            Self::Reverse => {
                all.reverse();
                all
            }
            Self::Sort => {
                all.sort_unstable();
                all
            }
            Self::Downwards => {
                all.sort_unstable();
                all.reverse();
                all
            }
            Self::DropFirst => xs.iter().skip(1).copied().collect(),
            Self::DropLast => {
                all.pop();
                all
            }
            Self::EverySecond => xs.iter().step_by(2).copied().collect(),
        }
    }

    /// In Python, on the list `xs` with values called `x`.
    fn shape(self, xs: &str, x: &str) -> Shape {
        match self {
            Self::Even => Shape::Keep(format!("{x} % 2 == 0")),
            Self::Odd => Shape::Keep(format!("{x} % 2 == 1")),
            Self::Positive => Shape::Keep(format!("{x} > 0")),
            Self::Above(k) => Shape::Keep(format!("{x} > {k}")),
            Self::Below(k) => Shape::Keep(format!("{x} < {k}")),
            Self::Multiples(k) => Shape::Keep(format!("{x} % {k} == 0")),
            Self::Add(k) => Shape::Change(format!("{x} + {k}")),
            Self::Subtract(k) => Shape::Change(format!("{x} - {k}")),
            Self::Multiply(k) => Shape::Change(format!("{x} * {k}")),
            Self::Square => Shape::Change(format!("{x} * {x}")),
            Self::Absolute => Shape::Change(format!("abs({x})")),
            Self::Remainder(k) => Shape::Change(format!("{x} % {k}")),
            Self::Reverse => Shape::Whole(format!("{xs}[::-1]")),
            Self::Sort => Shape::Whole(format!("sorted({xs})")),
            Self::Downwards => Shape::Whole(format!("sorted({xs}, reverse=True)")),
            Self::DropFirst => Shape::Whole(format!("{xs}[1:]")),
            Self::DropLast => Shape::Whole(format!("{xs}[:-1]")),
            Self::EverySecond => Shape::Whole(format!("{xs}[::2]")),
        }
    }

    /// As one expression on the list `xs`.
    fn expression(self, xs: &str, x: &str) -> String {
        match self.shape(xs, x) {
            Shape::Keep(condition) => format!("[{x} for {x} in {xs} if {condition}]"),
            Shape::Change(value) => format!("[{value} for {x} in {xs}]"),
            Shape::Whole(value) => value,
        }
    }
}

impl Reduction {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON_REDUCTIONS, RARE_REDUCTIONS, rng);
        let reduction =
            [Self::List, Self::Sum, Self::Count, Self::Largest, Self::Smallest, Self::Last][kind];
        (reduction, kind >= COMMON_REDUCTIONS)
    }

    fn words(self) -> &'static str {
        match self {
            Self::List => "the list",
            Self::Sum => "the sum",
            Self::Count => "the length",
            Self::Largest => "the largest number",
            Self::Smallest => "the smallest number",
            Self::Last => "the last number",
        }
    }

    fn expression(self, xs: &str) -> String {
        match self {
            Self::List => xs.to_owned(),
            Self::Sum => format!("sum({xs})"),
            Self::Count => format!("len({xs})"),
            Self::Largest => format!("max({xs})"),
            Self::Smallest => format!("min({xs})"),
            Self::Last => format!("{xs}[-1]"),
        }
    }

    /// As Python writes the value; `None` where there is none.
    fn apply(self, xs: &[i64]) -> Option<String> {
        let value = match self {
            Self::List => return Some(format!("{xs:?}")),
            Self::Sum => xs.iter().sum(),
            Self::Count => xs.len() as i64,
            Self::Largest => *xs.iter().max()?,
            Self::Smallest => *xs.iter().min()?,
            Self::Last => *xs.last()?,
        };
        Some(value.to_string())
    }
}

/// What a function has to do.
struct Function {
    operations: Vec<Operation>,
    reduction: Reduction,
    rare: bool,
}

impl Function {
    fn draw(shares: &Shares, rng: &mut Rng) -> Self {
        let count = 1 + rng.weighted(&[0.35, 0.45, 0.20]);
        let (reduction, mut rare) = Reduction::draw(shares, rng);
        let operations = (0..count)
            .map(|_| {
                let (operation, seldom) = Operation::draw(shares, rng);
                rare |= seldom;
                operation
            })
            .collect();
        Self { operations, reduction, rare }
    }

    fn apply_without(&self, left_out: Option<usize>, xs: &[i64]) -> Option<String> {
        let mut xs = xs.to_vec();
        for (at, operation) in self.operations.iter().enumerate() {
            if left_out != Some(at) {
                xs = operation.apply(&xs);
            }
        }
        if xs.iter().any(|x| x.abs() > 999) {
            return None;
        }
        self.reduction.apply(&xs)
    }

    /// One list for the question and five for the hidden tests, with their results. `None` if the function makes no
    /// sense: if it has no value, a list with numbers beyond three digits, or if an operation could be left out and no test would show it.
    fn tests(&self, rng: &mut Rng) -> Option<Vec<(Vec<i64>, String)>> {
        let mut tests = Vec::with_capacity(6);
        for number in 0..6 {
            let length = if number == 0 { rng.between(3, 4) } else { rng.between(4, 7) };
            let xs: Vec<i64> = (0..length).map(|_| rng.between(-9, 20)).collect();
            let value = self.apply_without(None, &xs)?;
            if value == "[]" && number == 0 {
                return None;
            }
            tests.push((xs, value));
        }
        let every_operation_shows = (0..self.operations.len()).all(|left_out| {
            tests[1..]
                .iter()
                .any(|(xs, value)| self.apply_without(Some(left_out), xs).as_ref() != Some(value))
        });
        let values_differ = tests[1..].iter().any(|(_, value)| *value != tests[1].1);
        (every_operation_shows && values_differ).then_some(tests)
    }

    /// `keeps the even numbers, then doubles each number and returns the sum`
    fn joined(&self, say: impl Fn(Operation) -> String, returns: &str) -> String {
        let parts: Vec<String> = self.operations.iter().map(|o| say(*o)).collect();
        format!("{} and {returns} {}", parts.join(", then "), self.reduction.words())
    }

    fn question(&self, phrasing: usize, test: &str) -> String {
        let says = self.joined(Operation::indicative, "returns");
        let orders = self.joined(Operation::imperative, "return");
        match phrasing {
            0 => format!("Write a function f(xs) that {says}.\n{test}\nReply with a python block."),
            1 => format!(
                "Complete f(xs) in Python: {orders}. It must pass this test in a python block.\n{test}"
            ),
            2 => format!(
                "I need a python block with a function f(xs). It should {orders}. For example:\n{test}"
            ),
            _ => format!("{test}\nMake this test pass: f {says}. Answer with a python block."),
        }
    }

    fn own(&self) -> String {
        let plan: Vec<String> = self.operations.iter().map(|o| o.imperative()).collect();
        let mut code = String::from("def f(xs):\n");
        for operation in &self.operations {
            code += &format!("    xs = {}\n", operation.expression("xs", "x"));
        }
        format!(
            "Plan: {}; return {}.\n```python\n{code}    return {}\n```",
            plan.join("; "),
            self.reduction.words(),
            self.reduction.expression("xs")
        )
    }

    fn truth(&self, who: &mut Annotator) -> String {
        let code = match who.persona() {
            Persona::Terse if who.chance(0.6) => self.in_one_line(who),
            Persona::Terse => self.step_by_step(who, false),
            Persona::Chatty => {
                let comments = who.chance(0.5);
                self.step_by_step(who, comments)
            }
            Persona::Formal => self.step_by_step(who, false),
        };
        let opening = who.opening();
        let before = match who.persona() {
            Persona::Terse => String::new(),
            // Some share the model's own opening.
            Persona::Chatty if who.chance(0.3) => {
                format!("Plan: {}.\n", self.plan_in_short(who))
            }
            Persona::Chatty => format!(
                "‹{}\n›",
                who.pick(&[
                    "Here you go:",
                    "This should do it:",
                    "I'd write it like this:",
                    "Try this one:",
                ])
            ),
            Persona::Formal => format!(
                "‹The function below› {}.\n",
                self.joined(Operation::indicative, "‹finally› returns")
            ),
        };
        let closing = who.closing();
        if who.keeps_form {
            format!("{opening}{before}```python\n{code}\n```{closing}")
        } else {
            let before = if before.is_empty() && !opening.is_empty() {
                "‹\n›".to_owned()
            } else {
                before
            };
            format!("{opening}{before}{code}{closing}")
        }
    }

    fn plan_in_short(&self, who: &mut Annotator) -> String {
        let joint = who.pick(&["‹, and then ›", "‹, next ›", "; "]);
        let parts: Vec<String> = self.operations.iter().map(|o| o.imperative()).collect();
        format!("{}; return {}", parts.join(joint), self.reduction.words())
    }

    /// Everything nested in one expression.
    fn in_one_line(&self, who: &mut Annotator) -> String {
        let (xs, x) = names(who);
        let mut value = xs.clone();
        for operation in &self.operations {
            value = operation.expression(&value, &x);
        }
        let value = self.reduction.expression(&value);
        if who.chance(0.2) {
            format!("‹f = lambda {xs}: ›{value}")
        } else if who.chance(0.4) {
            format!("def f({xs}): ‹return› {value}")
        } else {
            format!("def f({xs}):\n    return {value}")
        }
    }

    /// One statement or loop for each operation.
    fn step_by_step(&self, who: &mut Annotator, comments: bool) -> String {
        let (mut xs, x) = names(who);
        let mut code = format!("def f({xs}):\n");
        let mut loops = 0;
        for operation in &self.operations {
            if comments && who.chance(0.7) {
                code += &format!("    ‹# {}›\n", operation.imperative());
            }
            let way = who.rng.weighted(&[0.40, 0.35, 0.25]);
            // A second loop must not empty the list that it goes through, so each has a list of its own.
            let out = ["‹out›", "‹out2›", "‹out3›"][loops.min(2)];
            match operation.shape(&xs, &x) {
                Shape::Keep(condition) if way == 0 => {
                    code += &format!(
                        "    ‹{out} = []›\n    for {x} in {xs}:\n        if {condition}:\n            ‹{out}.append({x})›\n"
                    );
                    xs = out.into();
                    loops += 1;
                }
                Shape::Change(value) if way == 0 => {
                    code += &format!(
                        "    ‹{out} = []›\n    for {x} in {xs}:\n        ‹{out}.append(›{value}‹)›\n"
                    );
                    xs = out.into();
                    loops += 1;
                }
                Shape::Keep(condition) if way == 1 => {
                    code +=
                        &format!("    {xs} = ‹list(filter(lambda {x}:› {condition}, {xs}‹))›\n");
                }
                Shape::Change(value) if way == 1 => {
                    code += &format!("    {xs} = ‹list(map(lambda {x}:› {value}, {xs}‹))›\n");
                }
                Shape::Whole(_) if *operation == Operation::Sort && way == 0 => {
                    code += &format!("    {xs}‹.sort()›\n");
                }
                Shape::Whole(_) if *operation == Operation::Reverse && way == 0 => {
                    code += &format!("    {xs}‹.reverse()›\n");
                }
                _ => code += &format!("    {xs} = {}\n", operation.expression(&xs, &x)),
            }
        }
        format!("{code}    return {}", self.reduction.expression(&xs))
    }

    fn key(&self) -> String {
        format!("code {:?} {:?}", self.operations, self.reduction)
    }
}

fn names(who: &mut Annotator) -> (String, String) {
    let xs = who.pick(&["nums", "values", "data", "items", "lst"]);
    let x = who.pick(&["n", "v", "item", "e", "num"]);
    (format!("‹{xs}›"), format!("‹{x}›"))
}

pub(super) fn draw(shares: &Shares, rng: &mut Rng) -> Drawn {
    let (function, tests) = loop {
        let function = Function::draw(shares, rng);
        if let Some(tests) = function.tests(rng) {
            break (function, tests);
        }
    };
    let test = |(xs, value): &(Vec<i64>, String)| CodeTest {
        call: format!("f({xs:?})"),
        expected: value.clone(),
    };
    let shown = test(&tests[0]);
    let shown = format!("assert {} == {}", shown.call, shown.expected);
    let phrasing = shares.phrasing(rng);
    let mut who = Annotator::someone(rng);
    let truth = Styled::marked(&function.truth(&mut who));
    let kind: Vec<String> = function
        .operations
        .iter()
        .map(|o| format!("{o:?}").split('(').next().unwrap_or_default().to_lowercase())
        .collect();
    Drawn {
        task: LabTask::Code,
        kind: format!("{}+{:?}", kind.join("+"), function.reduction).to_lowercase(),
        rare: function.rare,
        content: hash(&function.key()),
        prompt: function.question(phrasing, &shown),
        own: function.own(),
        truth,
        persona: who.persona(),
        check: Check::Code { tests: tests[1..].iter().map(test).collect() },
    }
}
