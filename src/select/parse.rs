//! From a line of text to an expression, or to a message that shows the place.

use super::expression::{
    Call, Choice, Comparison, End, Expression, Extreme, Function, Mask, Number, Operator, Scope,
    Shape, Summary,
};
use super::preset::{PRESETS, Preset};
use super::signal::Signal;
use super::{Normalizer, TokenClass};
use crate::error::{self, Error, Result};
use std::ops::Range;

/// What is wrong, and where in the line, in bytes.
#[derive(Debug)]
struct Problem {
    at: Range<usize>,
    says: String,
}

type Parsed<T> = std::result::Result<T, Problem>;

/// Words of one line, and things inside each other, far more than any rule needs: the tree is walked by recursion.
const WORDS: usize = 400;
const DEPTH: usize = 40;

/// Reads `line`: an expression, then what it is divided by and how often it is computed, if it says so.
pub(super) fn parse(line: &str) -> Result<(Expression, Option<Normalizer>, Option<usize>)> {
    read(line).map_err(|problem| shown(line, &problem))
}

fn read(line: &str) -> Parsed<(Expression, Option<Normalizer>, Option<usize>)> {
    let mut parser = Parser::new(line)?;
    let expression = parser.or()?;
    let normalizer = if parser.take_name("over") { Some(parser.normalizer()?) } else { None };
    let every = if parser.take_name("every") { Some(parser.every()?) } else { None };
    parser.end()?;
    let expression = match expression.node {
        Node::Mask(mask) => Expression::Mask(mask),
        Node::Number(number) => Expression::Number(number),
    };
    let needs = expression.needs();
    if needs.batch && needs.whole_set {
        return Err(Problem {
            at: 0..line.len(),
            says: "looks at single batches (per: batch) and at the whole data set (per: data); use one of them".into(),
        });
    }
    if every.is_some() && !needs.online() {
        return Err(Problem {
            at: 0..line.len(),
            says: "depends on nothing that changes in training, so `every` has no meaning; leave it out".into(),
        });
    }
    Ok((expression, normalizer, every))
}

/// The problem with the line it is in and a caret under its place.
fn shown(line: &str, problem: &Problem) -> Error {
    let start = line[..problem.at.start].rfind('\n').map_or(0, |at| at + 1);
    let end = line[problem.at.start..].find('\n').map_or(line.len(), |at| problem.at.start + at);
    let width = |text: &str| text.chars().count();
    let before: String =
        line[start..problem.at.start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let marked = width(&line[problem.at.start..problem.at.end.clamp(problem.at.start, end)]);
    Error::invalid(
        "weights",
        format!(
            "{}\n  {}\n  {before}{}",
            problem.says,
            &line[start..end],
            "^".repeat(marked.max(1))
        ),
    )
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Word<'a> {
    Number(f64),
    Name(&'a str),
    Sign(&'a str),
    End,
}

/// The words of a line with their places; the last one is the end.
fn words(line: &str) -> Parsed<Vec<(Word<'_>, Range<usize>)>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = line[at..].chars().next() {
        let rest = &line[at..];
        let long = |part: fn(char) -> bool| rest.find(|c| !part(c)).unwrap_or(rest.len());
        let (word, length) = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first.is_ascii_digit() || first == '.' {
            let length = number_length(rest);
            match rest[..length].parse() {
                Ok(value) => (Word::Number(value), length),
                Err(_) => {
                    return Err(Problem {
                        at: at..at + length,
                        says: format!("`{}` is no number", &rest[..length]),
                    });
                }
            }
        } else if first.is_alphabetic() || first == '_' {
            let length = long(|c| c.is_alphanumeric() || c == '_');
            (Word::Name(&rest[..length]), length)
        } else if let Some(sign) = ["<=", ">="].iter().find(|sign| rest.starts_with(**sign)) {
            (Word::Sign(sign), 2)
        } else if "()<>&|!,:+-*/^".contains(first) {
            (Word::Sign(&rest[..1]), 1)
        } else {
            let hint = match first {
                '=' => "; tokens are compared with <, <=, > and >=",
                '≤' => "; write <=",
                '≥' => "; write >=",
                '−' | '–' => "; write -",
                '×' | '·' => "; write *",
                _ => "",
            };
            return Err(Problem {
                at: at..at + first.len_utf8(),
                says: format!("`{first}` has no meaning here{hint}"),
            });
        };
        if words.len() == WORDS {
            return Err(Problem {
                at: at..at + length,
                says: format!("goes on after {WORDS} words; a rule is a line that can be read"),
            });
        }
        words.push((word, at..at + length));
        at += length;
    }
    words.push((Word::End, line.len()..line.len()));
    Ok(words)
}

/// Length of the number that `text` begins with: digits, a point, an exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes[from..].iter();
        from + rest.take_while(|b| b.is_ascii_digit() || **b == b'.').count()
    };
    let mut end = digits(0);
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

enum Node {
    Mask(Mask),
    Number(Number),
}

/// A piece of the expression and its place.
struct Typed {
    node: Node,
    at: Range<usize>,
}

impl Typed {
    fn mask(self) -> Parsed<Mask> {
        match self.node {
            Node::Mask(mask) => Ok(mask),
            Node::Number(_) => Err(Problem {
                at: self.at,
                says: "this is a number where a mask is expected; compare it with a threshold, as in keep(ppl_base <= 2.5)".into(),
            }),
        }
    }

    fn number(self) -> Parsed<Number> {
        match self.node {
            Node::Number(number) => Ok(number),
            Node::Mask(_) => Err(Problem {
                at: self.at,
                says:
                    "this is a mask where a number is expected; if(MASK, A, B) makes a number of it"
                        .into(),
            }),
        }
    }
}

/// What stands between the parentheses of a function.
#[derive(Default)]
struct Arguments {
    plain: Vec<Typed>,
    per: Option<(Scope, Range<usize>)>,
    like: Option<Typed>,
}

struct Parser<'a> {
    words: Vec<(Word<'a>, Range<usize>)>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(line: &'a str) -> Parsed<Self> {
        Ok(Self { words: words(line)?, next: 0, depth: 0 })
    }

    fn peek(&self) -> Word<'a> {
        self.words[self.next].0
    }

    fn place(&self) -> Range<usize> {
        self.words[self.next].1.clone()
    }

    fn advance(&mut self) -> (Word<'a>, Range<usize>) {
        let word = self.words[self.next].clone();
        self.next = (self.next + 1).min(self.words.len() - 1);
        word
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.peek() == Word::Sign(sign);
        if found {
            self.advance();
        }
        found
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = self.peek() == Word::Name(name);
        if found {
            self.advance();
        }
        found
    }

    /// What `part` reads, one level further in.
    fn inside<T>(&mut self, part: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == DEPTH {
            return Err(Problem {
                at: self.place(),
                says: format!(
                    "is more than {DEPTH} levels deep; a rule is a line that can be read"
                ),
            });
        }
        self.depth += 1;
        let read = part(self);
        self.depth -= 1;
        read
    }

    /// Takes one of `signs`.
    fn one_of<T: Copy>(&mut self, signs: &[(&str, T)]) -> Option<T> {
        let Word::Sign(sign) = self.peek() else {
            return None;
        };
        let found = signs.iter().find(|(known, _)| *known == sign)?.1;
        self.advance();
        Some(found)
    }

    /// That something else was expected at the next word.
    fn expected<T>(&self, what: &str) -> Parsed<T> {
        let found = match self.peek() {
            Word::Number(value) => format!("`{value}`"),
            Word::Name(name) => format!("`{name}`"),
            Word::Sign(sign) => format!("`{sign}`"),
            Word::End => "the end".into(),
        };
        Err(Problem { at: self.place(), says: format!("expected {what}, found {found}") })
    }

    fn expect(&mut self, sign: &str, what: &str) -> Parsed<()> {
        if self.take(sign) { Ok(()) } else { self.expected(&format!("`{sign}` {what}")) }
    }

    fn end(&self) -> Parsed<()> {
        match self.peek() {
            Word::End => Ok(()),
            Word::Name("and") => self.expected("an operator (write & for and)"),
            Word::Name("or") => self.expected("an operator (write | for or)"),
            Word::Name("not") => self.expected("an operator (write & ! for and not)"),
            _ => self.expected("an operator (& | < <= > >= + - * / ^), `over` or the end"),
        }
    }

    fn normalizer(&mut self) -> Parsed<Normalizer> {
        let known = Normalizer::NAMES.map(|(name, _)| name).join(", ");
        let Word::Name(name) = self.peek() else {
            return self.expected(&format!("what to divide by: {known}"));
        };
        let found = Normalizer::NAMES.iter().find(|(known, _)| *known == name);
        let Some((_, normalizer)) = found else {
            return self.expected(&format!("what to divide by: {known}"));
        };
        self.advance();
        Ok(*normalizer)
    }

    fn every(&mut self) -> Parsed<usize> {
        match self.peek() {
            Word::Number(value) if value >= 1.0 && value.fract() == 0.0 && value < 1e9 => {
                self.advance();
                Ok(value as usize)
            }
            _ => self.expected("a whole number of steps, at least 1"),
        }
    }

    fn or(&mut self) -> Parsed<Typed> {
        let mut left = self.and()?;
        while self.peek() == Word::Sign("|") {
            self.doubled("|")?;
            let right = self.and()?;
            left = join(left, right, |a, b| Mask::Or(Box::new(a), Box::new(b)))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Typed> {
        let mut left = self.not()?;
        while self.peek() == Word::Sign("&") {
            self.doubled("&")?;
            let right = self.not()?;
            left = join(left, right, |a, b| Mask::And(Box::new(a), Box::new(b)))?;
        }
        Ok(left)
    }

    /// Takes `sign`, and refuses a second one.
    fn doubled(&mut self, sign: &str) -> Parsed<()> {
        self.advance();
        if self.peek() == Word::Sign(sign) {
            self.expected(&format!("a mask (a single {sign} is enough)"))
        } else {
            Ok(())
        }
    }

    fn not(&mut self) -> Parsed<Typed> {
        let from = self.place().start;
        if !self.take("!") {
            return self.comparison();
        }
        let of = self.inside(Self::not)?;
        let at = from..of.at.end;
        Ok(Typed { node: Node::Mask(Mask::Not(Box::new(of.mask()?))), at })
    }

    fn comparison(&mut self) -> Parsed<Typed> {
        let left = self.sum()?;
        let Some(comparison) = self.one_of(&Comparison::SIGNS) else {
            return Ok(left);
        };
        let right = self.sum()?;
        let at = left.at.start..right.at.end;
        let mask = Mask::Compare(Box::new(left.number()?), comparison, Box::new(right.number()?));
        if self.one_of(&Comparison::SIGNS).is_some() {
            self.next -= 1;
            return self.expected(
                "one comparison at a time: keep(a <= x) & keep(x <= b) for a token between two values",
            );
        }
        Ok(Typed { node: Node::Mask(mask), at })
    }

    fn sum(&mut self) -> Parsed<Typed> {
        let mut left = self.product()?;
        while let Some(operator) = self.one_of(&Operator::SIGNS[..2]) {
            left = calculated(operator, left, self.product()?)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed<Typed> {
        let mut left = self.sign()?;
        while let Some(operator) = self.one_of(&Operator::SIGNS[2..4]) {
            left = calculated(operator, left, self.sign()?)?;
        }
        Ok(left)
    }

    fn sign(&mut self) -> Parsed<Typed> {
        let from = self.place().start;
        if !self.take("-") {
            return self.power();
        }
        let of = self.inside(Self::sign)?;
        let at = from..of.at.end;
        Ok(Typed { node: Node::Number(of.number()?.negated()), at })
    }

    fn power(&mut self) -> Parsed<Typed> {
        let base = self.atom()?;
        if self.take("^") {
            let exponent = self.inside(Self::sign)?;
            calculated(Operator::Power, base, exponent)
        } else {
            Ok(base)
        }
    }

    fn atom(&mut self) -> Parsed<Typed> {
        let at = self.place();
        match self.peek() {
            Word::Number(value) => {
                self.advance();
                Ok(Typed { node: Node::Number(Number::Constant(value)), at })
            }
            Word::Sign("(") => {
                self.advance();
                let inner = self.inside(Self::or)?;
                let end = self.place().end;
                self.expect(")", "to close the parenthesis")?;
                Ok(Typed { node: inner.node, at: at.start..end })
            }
            Word::Name(name) => {
                self.advance();
                let node = self.inside(|parser| parser.named(name, at.clone()))?;
                let end = self.words[self.next - 1].1.end;
                Ok(Typed { node, at: at.start..end })
            }
            _ => self.expected(
                "a mask such as keep(ppl_base <= 2.5), a signal such as p_current, or a number",
            ),
        }
    }

    /// What a name means, with what stands in parentheses after it.
    fn named(&mut self, name: &str, at: Range<usize>) -> Parsed<Node> {
        let constant = match name {
            "all" => Some(Node::Mask(Mask::All)),
            "inf" => Some(Node::Number(Number::Constant(f64::INFINITY))),
            "uniform" => Some(Node::Number(Number::Uniform)),
            _ => Signal::named(name).map(|signal| Node::Number(Number::Signal(signal))),
        };
        if let Some(node) = constant {
            return if self.peek() == Word::Sign("(") {
                self.expected(&format!("an operator, since `{name}` takes nothing"))
            } else {
                Ok(node)
            };
        }
        if let Some(preset) = Preset::named(name) {
            return self.preset(preset, at);
        }
        if !functions().any(|known| known == name) {
            return Err(unknown(name, at));
        }
        self.expect("(", &format!("after `{name}`"))?;
        match name {
            "class" => return self.classes(),
            "by_class" => {
                let cases = self.cases(|parser| parser.sum()?.number())?;
                return by_class(cases, at);
            }
            _ => {}
        }
        let arguments = self.arguments()?;
        let end = self.words[self.next - 1].1.end;
        function(name, at.start..end, arguments)
    }

    /// `words, numbers)`
    fn classes(&mut self) -> Parsed<Node> {
        let mut classes = vec![self.class()?];
        while self.take(",") {
            classes.push(self.class()?);
        }
        self.expect(")", "after the classes")?;
        Ok(Node::Mask(Mask::Class(classes)))
    }

    fn class(&mut self) -> Parsed<TokenClass> {
        let known = TokenClass::NAMES.map(|(name, _)| name);
        let Word::Name(name) = self.peek() else {
            return self.expected(&format!("a class of tokens: {}", known.join(", ")));
        };
        match TokenClass::named(name) {
            Some(class) => {
                self.advance();
                Ok(class)
            }
            None => {
                let nearest = nearest(name, known.iter().map(|name| name.to_string()));
                self.expected(&format!(
                    "a class of tokens ({}; the nearest is `{nearest}`)",
                    known.join(", ")
                ))
            }
        }
    }

    /// `words: 2.5, else: 10)`: each class at most once, and `else` last.
    fn cases<T>(
        &mut self,
        mut value: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<(Option<TokenClass>, T)>> {
        let mut cases: Vec<(Option<TokenClass>, T)> = Vec::new();
        loop {
            let at = self.place();
            let class = if self.take_name("else") { None } else { Some(self.class()?) };
            if cases.iter().any(|(known, _)| *known == class) {
                return Err(Problem { at, says: "this class has a number already".into() });
            }
            self.expect(":", "and a number, as in `words: 2.5`")?;
            cases.push((class, value(self)?));
            if class.is_none() {
                self.expect(")", "after `else`, which comes last")?;
                return Ok(cases);
            }
            if !self.take(",") {
                return self.expected("`,` and at last `else: NUMBER` for all other classes");
            }
        }
    }

    /// Everything up to the closing parenthesis.
    fn arguments(&mut self) -> Parsed<Arguments> {
        let mut arguments = Arguments::default();
        if self.take(")") {
            return Ok(arguments);
        }
        loop {
            let at = self.place();
            let named =
                self.words.get(self.next + 1).map(|(word, _)| *word) == Some(Word::Sign(":"));
            match self.peek() {
                Word::Name("per") if named => {
                    self.next += 2;
                    let known = Scope::NAMES.map(|(name, _)| name).join(", ");
                    let Word::Name(name) = self.peek() else {
                        return self.expected(&format!("one of {known}"));
                    };
                    let Some((_, scope)) = Scope::NAMES.iter().find(|(known, _)| *known == name)
                    else {
                        return self.expected(&format!("one of {known}"));
                    };
                    self.advance();
                    arguments.per = Some((*scope, at));
                }
                Word::Name("like") if named => {
                    self.next += 2;
                    arguments.like = Some(self.or()?);
                }
                Word::Name(_) if named => {
                    return self.expected("`per:`, `like:` or an expression");
                }
                _ => arguments.plain.push(self.or()?),
            }
            if self.take(")") {
                return Ok(arguments);
            }
            if !self.take(",") {
                return self.expected("`,` or `)`");
            }
        }
    }

    /// A preset's numbers, and then the preset as its expansion.
    fn preset(&mut self, preset: &'static Preset, at: Range<usize>) -> Parsed<Node> {
        let (mut numbers, mut by_class) = (Vec::new(), Vec::new());
        if preset.by_class {
            self.expect("(", &format!("after `{}`: {}", preset.name, preset.signature()))?;
            by_class = self.cases(|parser| {
                let at = parser.place();
                let value = constant(parser.sum()?, "a threshold")?;
                if value > 0.0 {
                    Ok(value)
                } else {
                    Err(Problem { at, says: format!("a threshold must be above 0, got {value}") })
                }
            })?;
        } else if self.take("(") {
            for argument in self.arguments_of(preset)? {
                let place = argument.at.clone();
                let Some(parameter) = preset.parameters.get(numbers.len()) else {
                    return Err(Problem {
                        at: place,
                        says: format!("is one number too many: {}", preset.signature()),
                    });
                };
                let value = constant(argument, parameter.name)?;
                if !parameter.range.allows(value) {
                    return Err(Problem {
                        at: place,
                        says: format!(
                            "{}: `{}` must be {}, got {value}",
                            preset.name,
                            parameter.name,
                            parameter.range.says()
                        ),
                    });
                }
                numbers.push(value);
            }
        }
        for parameter in &preset.parameters[numbers.len()..] {
            let Some(value) = parameter.default else {
                return Err(Problem {
                    at,
                    says: format!("needs its number `{}`: {}", parameter.name, preset.signature()),
                });
            };
            numbers.push(value);
        }
        let class = |class: &Option<TokenClass>| class.map_or("else", TokenClass::name);
        let cases: Vec<String> =
            by_class.iter().map(|(of, value)| format!("{}: {value}", class(of))).collect();
        let expansion = preset.expanded(&numbers, &cases.join(", "));
        let (expression, _, _) = read(&expansion)
            .map_err(|problem| Problem { at, says: format!("`{expansion}`: {}", problem.says) })?;
        Ok(match expression {
            Expression::Mask(mask) => Node::Mask(Mask::Preset(Call {
                preset,
                arguments: numbers,
                by_class,
                expansion: Box::new(mask),
            })),
            Expression::Number(number) => Node::Number(Number::Preset(Call {
                preset,
                arguments: numbers,
                by_class,
                expansion: Box::new(number),
            })),
        })
    }

    /// The arguments of a preset, which are plain ones only.
    fn arguments_of(&mut self, preset: &Preset) -> Parsed<Vec<Typed>> {
        let from = self.next;
        let arguments = self.arguments()?;
        if arguments.per.is_some() || arguments.like.is_some() {
            return Err(Problem {
                at: self.words[from].1.start..self.words[self.next - 1].1.start,
                says: format!("takes numbers only: {}", preset.signature()),
            });
        }
        Ok(arguments.plain)
    }
}

/// The names of all functions.
fn functions() -> impl Iterator<Item = &'static str> {
    let plain = ["keep", "drop", "class", "by_class", "if", "mean", "median", "quantile"];
    let shares = End::NAMES.map(|(name, _)| name);
    let calculations = Function::NAMES.map(|(name, _)| name);
    let extremes = Extreme::NAMES.map(|(name, _)| name);
    plain.into_iter().chain(shares).chain(Choice::NAMES).chain(calculations).chain(extremes)
}

/// That a name means nothing, with the nearest one that does.
fn unknown(name: &str, at: Range<usize>) -> Problem {
    let known = functions()
        .map(String::from)
        .chain(Signal::names())
        .chain(PRESETS.iter().map(|preset| preset.name.to_string()))
        .chain(["all", "uniform", "inf"].map(String::from));
    let hint = match name {
        "and" => "; write & for and".to_string(),
        "or" => "; write | for or".to_string(),
        "not" => "; write ! for not".to_string(),
        _ if TokenClass::named(name).is_some() => format!("; did you mean class({name})?"),
        _ => format!("; did you mean `{}`?", nearest(name, known)),
    };
    Problem { at, says: format!("`{name}` is not known{hint}") }
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    let known: Vec<String> = known.collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    error::nearest(name, &known).unwrap_or_default().to_owned()
}

fn join(left: Typed, right: Typed, with: fn(Mask, Mask) -> Mask) -> Parsed<Typed> {
    let at = left.at.start..right.at.end;
    Ok(Typed { node: Node::Mask(with(left.mask()?, right.mask()?)), at })
}

fn calculated(operator: Operator, left: Typed, right: Typed) -> Parsed<Typed> {
    let at = left.at.start..right.at.end;
    let number = Number::Binary(operator, Box::new(left.number()?), Box::new(right.number()?));
    Ok(Typed { node: Node::Number(number), at })
}

fn constant(argument: Typed, what: &str) -> Parsed<f64> {
    let at = argument.at.clone();
    match argument.number()? {
        Number::Constant(value) => Ok(value),
        _ => Err(Problem { at, says: format!("`{what}` must be a plain number") }),
    }
}

fn share(argument: Typed, what: &str) -> Parsed<f64> {
    let at = argument.at.clone();
    match constant(argument, what)? {
        value if (0.0..=1.0).contains(&value) => Ok(value),
        value => Err(Problem { at, says: format!("the {what} must be from 0 to 1, got {value}") }),
    }
}

fn by_class(cases: Vec<(Option<TokenClass>, Number)>, at: Range<usize>) -> Parsed<Node> {
    let (mut named, mut otherwise) = (Vec::new(), None);
    for (class, number) in cases {
        match class {
            Some(class) => named.push((class, number)),
            None => otherwise = Some(number),
        }
    }
    match otherwise {
        Some(number) => Ok(Node::Number(Number::ByClass(named, Box::new(number)))),
        None => Err(Problem { at, says: "needs `else: NUMBER` for all other classes".into() }),
    }
}

/// The function `name` of `given`; `at` is all of it.
fn function(name: &str, at: Range<usize>, given: Arguments) -> Parsed<Node> {
    let usage = match name {
        "keep" => "keep(MASK)",
        "drop" => "drop(MASK)",
        "if" => "if(MASK, NUMBER, NUMBER)",
        "mean" => "mean(NUMBER, per: example|batch|data)",
        "median" => "median(NUMBER, per: example|batch|data)",
        "quantile" => "quantile(SHARE, NUMBER, per: example|batch|data)",
        "top" => "top(SHARE, NUMBER, per: example|batch|data)",
        "bottom" => "bottom(SHARE, NUMBER, per: example|batch|data)",
        "random" => "random(like: MASK)",
        "shuffled" => "shuffled(like: MASK)",
        "highest" => "highest(NUMBER, like: MASK)",
        "lowest" => "lowest(NUMBER, like: MASK)",
        "min" => "min(NUMBER, NUMBER)",
        "max" => "max(NUMBER, NUMBER)",
        "ln" => "ln(NUMBER)",
        "exp" => "exp(NUMBER)",
        _ => "abs(NUMBER)",
    };
    let wrong = || Problem { at: at.clone(), says: format!("is written {usage}") };
    let scoped = ["mean", "median", "quantile", "top", "bottom"].contains(&name);
    if given.per.is_some() && !scoped {
        return Err(wrong());
    }
    let per = given.per.map_or(Scope::Data, |(scope, _)| scope);
    let likened = Choice::NAMES.contains(&name);
    if given.like.is_some() != likened {
        return Err(wrong());
    }
    let mut plain = given.plain.into_iter();
    let mut next = || plain.next().ok_or_else(wrong);
    let number = |typed: Typed| typed.number().map(Box::new);
    let mask = |typed: Typed| typed.mask().map(Box::new);
    let like = |choice: Choice, given: Option<Typed>| {
        let mask = given.ok_or_else(wrong)?.mask()?;
        Ok(Node::Mask(Mask::Like(choice, Box::new(mask))))
    };
    let node = match name {
        "keep" => Node::Mask(next()?.mask()?),
        "drop" => Node::Mask(Mask::Not(mask(next()?)?)),
        "if" => Node::Number(Number::If(mask(next()?)?, number(next()?)?, number(next()?)?)),
        "mean" => summary(Summary::Mean, next()?, per)?,
        "median" => summary(Summary::Median, next()?, per)?,
        "quantile" => {
            let at = share(next()?, "quantile")?;
            summary(Summary::Quantile(at), next()?, per)?
        }
        "top" | "bottom" => {
            let end = if name == "top" { End::Top } else { End::Bottom };
            let share = share(next()?, "share")?;
            let of = next()?;
            let at = of.at.clone();
            let of = of.number()?;
            if of.shape() != Shape::Token {
                return Err(Problem {
                    at,
                    says: "this is not a number for each token, so no token is before another"
                        .into(),
                });
            }
            Node::Mask(Mask::Share(end, share, Box::new(of), per))
        }
        "random" => like(Choice::Random, given.like)?,
        "shuffled" => like(Choice::Shuffled, given.like)?,
        "highest" => like(Choice::Highest(number(next()?)?), given.like)?,
        "lowest" => like(Choice::Lowest(number(next()?)?), given.like)?,
        "min" => Node::Number(Number::Extreme(Extreme::Min, number(next()?)?, number(next()?)?)),
        "max" => Node::Number(Number::Extreme(Extreme::Max, number(next()?)?, number(next()?)?)),
        "ln" => Node::Number(Number::Function(Function::Ln, number(next()?)?)),
        "exp" => Node::Number(Number::Function(Function::Exp, number(next()?)?)),
        _ => Node::Number(Number::Function(Function::Abs, number(next()?)?)),
    };
    match plain.next() {
        Some(_) => Err(wrong()),
        None => Ok(node),
    }
}

fn summary(summary: Summary, of: Typed, per: Scope) -> Parsed<Node> {
    let at = of.at.clone();
    let of = of.number()?;
    let says = match (of.shape(), per) {
        (Shape::Constant, _) => {
            "this is one number already; a number for each token, or for each example, is expected"
        }
        (Shape::Example, Scope::Example) => "this is one number for each example already",
        _ => return Ok(Node::Number(Number::Summary(summary, Box::new(of), per))),
    };
    Err(Problem { at, says: says.into() })
}
