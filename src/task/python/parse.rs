//! From tokens to a tree.

use super::lex::{Kind, Token};
use super::{Outcome, Problem};
use std::collections::BTreeSet;
use std::rc::Rc;

#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub line: usize,
    pub what: What,
}

pub(super) type Block = Rc<[Statement]>;

#[derive(Debug, Clone)]
pub(super) enum What {
    Expression(Expr),
    /// `a = b = value`
    Assign(Vec<Target>, Expr),
    Augment(Target, Operator, Expr),
    If(Vec<(Expr, Block)>, Option<Block>),
    For(Target, Expr, Block),
    While(Expr, Block),
    Define(Rc<Code>),
    Return(Option<Expr>),
    Break,
    Continue,
    Pass,
}

/// A function's or lambda's text.
#[derive(Debug)]
pub(super) struct Code {
    pub name: Rc<str>,
    pub parameters: Vec<Rc<str>>,
    pub body: Body,
    /// Every name that is assigned somewhere in the body: local from its first line on, as in CPython.
    pub locals: BTreeSet<Rc<str>>,
}

#[derive(Debug)]
pub(super) enum Body {
    Block(Block),
    Expression(Expr),
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Name(Rc<str>),
    Tuple(Vec<Target>),
    Index(Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Str(Rc<str>),
    Name(Rc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Set(Vec<Expr>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(Box<Expr>, Operator, Box<Expr>),
    /// `a < b <= c`
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `then if test else otherwise`
    Choose(Box<[Expr; 3]>),
    Lambda(Rc<Code>),
    Comprehension(Box<Comprehension>),
    Call(Box<Expr>, Vec<Expr>, Vec<(Rc<str>, Expr)>),
    Method(Box<Expr>, Rc<str>, Vec<Expr>, Vec<(Rc<str>, Expr)>),
    Index(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
}

#[derive(Debug, Clone)]
pub(super) struct Comprehension {
    pub makes: Makes,
    pub element: Expr,
    /// Each `for` with the conditions behind it.
    pub clauses: Vec<(Target, Expr, Vec<Expr>)>,
    pub locals: BTreeSet<Rc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    List,
    Set,
    Iterator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Is,
    IsNot,
}

/// Deepest nesting of expressions and blocks while reading.
const MAX_NESTING: usize = 40;

pub(super) fn program(tokens: &[Token]) -> Outcome<Vec<Statement>> {
    let mut parser = Parser::new(tokens);
    let mut body = Vec::new();
    while parser.peek() != &Kind::End {
        parser.statement(&mut body)?;
    }
    Ok(body)
}

pub(super) fn single_expression(tokens: &[Token]) -> Outcome<Expr> {
    let mut parser = Parser::new(tokens);
    let expression = parser.expression_list()?;
    if parser.peek() == &Kind::Newline {
        parser.at += 1;
    }
    if parser.peek() != &Kind::End {
        return Err(parser.unexpected("one expression"));
    }
    Ok(expression)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    in_function: bool,
    loops: usize,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, at: 0, depth: 0, in_function: false, loops: 0 }
    }

    fn peek(&self) -> &'a Kind {
        &self.tokens[self.at.min(self.tokens.len() - 1)].kind
    }

    fn line(&self) -> usize {
        self.tokens[self.at.min(self.tokens.len() - 1)].line
    }

    fn problem(&self, text: &str) -> Problem {
        Problem::new(format!("line {}: {text}", self.line()))
    }

    fn unexpected(&self, wanted: &str) -> Problem {
        let found = match self.peek() {
            Kind::Name(name) => format!("`{name}`"),
            Kind::Keyword(word) | Kind::Mark(word) => format!("`{word}`"),
            Kind::Int(value) => format!("`{value}`"),
            Kind::Str(_) => "a string".into(),
            Kind::Newline => "the end of the line".into(),
            Kind::Indent | Kind::Dedent => "a change of indentation".into(),
            Kind::End => "the end".into(),
        };
        self.problem(&format!("expected {wanted}, found {found}"))
    }

    fn mark(&mut self, mark: &str) -> bool {
        let hit = matches!(self.peek(), Kind::Mark(m) if *m == mark);
        self.at += usize::from(hit);
        hit
    }

    fn keyword(&mut self, word: &str) -> bool {
        let hit = matches!(self.peek(), Kind::Keyword(w) if *w == word);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, mark: &str) -> Outcome<()> {
        if self.mark(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn name(&mut self) -> Outcome<Rc<str>> {
        match self.peek() {
            Kind::Name(name) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// Runs `read` one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= MAX_NESTING {
            return Err(self.problem("too much inside each other"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    // Statements

    fn block(&mut self) -> Outcome<Block> {
        self.expect(":")?;
        self.deeper(|p| {
            let mut body = Vec::new();
            if p.peek() != &Kind::Newline {
                p.simple(&mut body)?; // `if x: return y`
                return Ok(body.into());
            }
            p.at += 1;
            if p.peek() != &Kind::Indent {
                return Err(p.unexpected("an indented block"));
            }
            p.at += 1;
            while p.peek() != &Kind::Dedent {
                p.statement(&mut body)?;
            }
            p.at += 1;
            Ok(body.into())
        })
    }

    fn statement(&mut self, out: &mut Vec<Statement>) -> Outcome<()> {
        let line = self.line();
        let Kind::Keyword(word) = self.peek() else {
            return self.simple(out);
        };
        let what = match *word {
            "def" => self.define()?,
            "if" => self.if_chain()?,
            "while" => {
                self.at += 1;
                let test = self.expression()?;
                What::While(test, self.loop_block()?)
            }
            "for" => {
                self.at += 1;
                let target = self.targets()?;
                if !self.keyword("in") {
                    return Err(self.unexpected("`in`"));
                }
                let over = self.expression_list()?;
                What::For(target, over, self.loop_block()?)
            }
            _ => return self.simple(out),
        };
        out.push(Statement { line, what });
        Ok(())
    }

    fn loop_block(&mut self) -> Outcome<Block> {
        self.loops += 1;
        let body = self.block();
        self.loops -= 1;
        let body = body?;
        if matches!(self.peek(), Kind::Keyword("else")) {
            return Err(self.problem("`else` after a loop is not part of this language"));
        }
        Ok(body)
    }

    fn define(&mut self) -> Outcome<What> {
        self.at += 1;
        let name = self.name()?;
        self.expect("(")?;
        let parameters = self.parameters(")")?;
        let outer = (self.in_function, self.loops);
        (self.in_function, self.loops) = (true, 0);
        let body = self.block();
        (self.in_function, self.loops) = outer;
        let body = body?;
        let mut locals: BTreeSet<_> = parameters.iter().cloned().collect();
        assigned_in(&body, &mut locals);
        Ok(What::Define(Rc::new(Code { name, parameters, body: Body::Block(body), locals })))
    }

    fn parameters(&mut self, end: &str) -> Outcome<Vec<Rc<str>>> {
        let mut parameters: Vec<Rc<str>> = Vec::new();
        while !self.mark(end) {
            if !parameters.is_empty() {
                self.expect(",")?;
                if self.mark(end) {
                    break;
                }
            }
            let name = self.name()?;
            if parameters.contains(&name) {
                return Err(self.problem(&format!("two parameters are called `{name}`")));
            }
            parameters.push(name);
        }
        Ok(parameters)
    }

    fn if_chain(&mut self) -> Outcome<What> {
        self.at += 1;
        let test = self.expression()?;
        let mut arms = vec![(test, self.block()?)];
        loop {
            if self.keyword("elif") {
                let test = self.expression()?;
                arms.push((test, self.block()?));
            } else if self.keyword("else") {
                return Ok(What::If(arms, Some(self.block()?)));
            } else {
                return Ok(What::If(arms, None));
            }
        }
    }

    /// Statements on one line, separated by semicolons.
    fn simple(&mut self, out: &mut Vec<Statement>) -> Outcome<()> {
        loop {
            let line = self.line();
            let what = self.small()?;
            out.push(Statement { line, what });
            let more = self.mark(";");
            if self.peek() == &Kind::Newline {
                self.at += 1;
                return Ok(());
            }
            if !more {
                return Err(self.unexpected("the end of the line"));
            }
        }
    }

    fn small(&mut self) -> Outcome<What> {
        if self.keyword("pass") {
            return Ok(What::Pass);
        }
        for (word, what) in [("break", What::Break), ("continue", What::Continue)] {
            if self.keyword(word) {
                return if self.loops > 0 {
                    Ok(what)
                } else {
                    Err(self.problem(&format!("`{word}` outside a loop")))
                };
            }
        }
        if self.keyword("return") {
            if !self.in_function {
                return Err(self.problem("`return` outside a function"));
            }
            let value = match self.peek() {
                Kind::Newline | Kind::Mark(";") => None,
                _ => Some(self.expression_list()?),
            };
            return Ok(What::Return(value));
        }
        let first = self.expression_list()?;
        if matches!(self.peek(), Kind::Mark("=")) {
            let mut targets = vec![];
            let mut last = first;
            while self.mark("=") {
                targets.push(self.target(last)?);
                last = self.expression_list()?;
            }
            return Ok(What::Assign(targets, last));
        }
        for (mark, operator) in [
            ("+=", Operator::Add),
            ("-=", Operator::Subtract),
            ("*=", Operator::Multiply),
            ("//=", Operator::FloorDivide),
            ("%=", Operator::Modulo),
            ("**=", Operator::Power),
        ] {
            if self.mark(mark) {
                let target = self.target(first)?;
                if matches!(target, Target::Tuple(_)) {
                    return Err(self.problem("several names cannot be changed at once"));
                }
                return Ok(What::Augment(target, operator, self.expression_list()?));
            }
        }
        Ok(What::Expression(first))
    }

    fn target(&self, expression: Expr) -> Outcome<Target> {
        match expression {
            Expr::Name(name) => Ok(Target::Name(name)),
            Expr::Index(list, index) => Ok(Target::Index(list, index)),
            Expr::Tuple(parts) | Expr::List(parts) => Ok(Target::Tuple(
                parts.into_iter().map(|part| self.target(part)).collect::<Outcome<_>>()?,
            )),
            _ => Err(self.problem("this cannot be assigned to")),
        }
    }

    /// What stands between `for` and `in`: names, perhaps in brackets.
    fn targets(&mut self) -> Outcome<Target> {
        let mut parts = vec![self.loop_target()?];
        let mut tuple = false;
        while self.mark(",") {
            tuple = true;
            if matches!(self.peek(), Kind::Keyword("in")) {
                break;
            }
            parts.push(self.loop_target()?);
        }
        Ok(if tuple { Target::Tuple(parts) } else { parts.swap_remove(0) })
    }

    fn loop_target(&mut self) -> Outcome<Target> {
        if self.mark("(") {
            let inner = self.deeper(Self::targets)?;
            self.expect(")")?;
            return Ok(inner);
        }
        Ok(Target::Name(self.name()?))
    }

    // Expressions, loosest binding first

    fn expression_list(&mut self) -> Outcome<Expr> {
        let first = self.expression()?;
        if !matches!(self.peek(), Kind::Mark(",")) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.mark(",") {
            if matches!(self.peek(), Kind::Newline | Kind::Mark(_)) && !self.begins_expression() {
                break;
            }
            parts.push(self.expression()?);
        }
        Ok(Expr::Tuple(parts))
    }

    fn begins_expression(&self) -> bool {
        matches!(self.peek(), Kind::Mark("(" | "[" | "{" | "-" | "+"))
    }

    fn expression(&mut self) -> Outcome<Expr> {
        self.deeper(|p| {
            if p.keyword("lambda") {
                return p.lambda();
            }
            let then = p.or()?;
            if !p.keyword("if") {
                return Ok(then);
            }
            let test = p.or()?;
            if !p.keyword("else") {
                return Err(p.unexpected("`else`"));
            }
            let otherwise = p.expression()?;
            Ok(Expr::Choose(Box::new([test, then, otherwise])))
        })
    }

    fn lambda(&mut self) -> Outcome<Expr> {
        let parameters = self.parameters(":")?;
        let body = self.expression()?;
        let locals = parameters.iter().cloned().collect();
        Ok(Expr::Lambda(Rc::new(Code {
            name: "<lambda>".into(),
            parameters,
            body: Body::Expression(body),
            locals,
        })))
    }

    fn or(&mut self) -> Outcome<Expr> {
        let mut left = self.and()?;
        while self.keyword("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Outcome<Expr> {
        let mut left = self.not()?;
        while self.keyword("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Outcome<Expr> {
        if self.keyword("not") {
            return self.deeper(|p| Ok(Expr::Not(Box::new(p.not()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Outcome<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison_mark()? {
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn comparison_mark(&mut self) -> Outcome<Option<Comparison>> {
        let found = match self.peek() {
            Kind::Mark("==") => Comparison::Equal,
            Kind::Mark("!=") => Comparison::NotEqual,
            Kind::Mark("<") => Comparison::Less,
            Kind::Mark("<=") => Comparison::LessEqual,
            Kind::Mark(">") => Comparison::Greater,
            Kind::Mark(">=") => Comparison::GreaterEqual,
            Kind::Keyword("in") => Comparison::In,
            Kind::Keyword("is") => {
                self.at += 1;
                return Ok(Some(if self.keyword("not") {
                    Comparison::IsNot
                } else {
                    Comparison::Is
                }));
            }
            Kind::Keyword("not") => {
                self.at += 1;
                return if self.keyword("in") {
                    Ok(Some(Comparison::NotIn))
                } else {
                    Err(self.unexpected("`in`"))
                };
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    fn sum(&mut self) -> Outcome<Expr> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Kind::Mark("+") => Operator::Add,
                Kind::Mark("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(Box::new(left), operator, Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Outcome<Expr> {
        let mut left = self.unary()?;
        loop {
            let operator = match self.peek() {
                Kind::Mark("*") => Operator::Multiply,
                Kind::Mark("//") => Operator::FloorDivide,
                Kind::Mark("%") => Operator::Modulo,
                Kind::Mark("/") => {
                    return Err(self.problem("`/` makes fractions, which this language lacks"));
                }
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(Box::new(left), operator, Box::new(self.unary()?));
        }
    }

    fn unary(&mut self) -> Outcome<Expr> {
        if self.mark("-") {
            return self.deeper(|p| Ok(Expr::Negate(Box::new(p.unary()?))));
        }
        if self.mark("+") {
            return self.deeper(|p| Ok(Expr::Plus(Box::new(p.unary()?))));
        }
        self.power()
    }

    fn power(&mut self) -> Outcome<Expr> {
        let base = self.postfix()?;
        if !self.mark("**") {
            return Ok(base);
        }
        // The right side binds tighter than a sign on the left: -2 ** 2 is -(2 ** 2), and 2 ** -1 is allowed.
        let exponent = self.deeper(Self::unary)?;
        Ok(Expr::Binary(Box::new(base), Operator::Power, Box::new(exponent)))
    }

    fn postfix(&mut self) -> Outcome<Expr> {
        let mut value = self.atom()?;
        loop {
            if self.mark("(") {
                let (positional, named) = self.deeper(Self::arguments)?;
                value = Expr::Call(Box::new(value), positional, named);
            } else if self.mark("[") {
                value = self.deeper(|p| p.subscript(value))?;
            } else if self.mark(".") {
                let name = self.name()?;
                if !self.mark("(") {
                    return Err(self.problem(&format!(
                        "`.{name}` is not called, and attributes are not part of this language"
                    )));
                }
                let (positional, named) = self.deeper(Self::arguments)?;
                value = Expr::Method(Box::new(value), name, positional, named);
            } else {
                return Ok(value);
            }
        }
    }

    #[allow(clippy::type_complexity)] // positional and named arguments, once
    fn arguments(&mut self) -> Outcome<(Vec<Expr>, Vec<(Rc<str>, Expr)>)> {
        let (mut positional, mut named): (Vec<Expr>, Vec<(Rc<str>, Expr)>) = (vec![], vec![]);
        while !self.mark(")") {
            if !(positional.is_empty() && named.is_empty()) {
                self.expect(",")?;
                if self.mark(")") {
                    break;
                }
            }
            let is_named = matches!(self.peek(), Kind::Name(_))
                && matches!(self.tokens.get(self.at + 1).map(|t| &t.kind), Some(Kind::Mark("=")));
            if is_named {
                let name = self.name()?;
                self.at += 1;
                if named.iter().any(|(other, _)| *other == name) {
                    return Err(self.problem(&format!("`{name}` is given twice")));
                }
                named.push((name, self.expression()?));
                continue;
            }
            if !named.is_empty() {
                return Err(self.problem("an argument without a name follows one with a name"));
            }
            let value = self.expression()?;
            if matches!(self.peek(), Kind::Keyword("for")) {
                let value = self.comprehension(Makes::Iterator, value)?;
                if !positional.is_empty() || !matches!(self.peek(), Kind::Mark(")")) {
                    return Err(self.problem("a generator needs brackets of its own here"));
                }
                positional.push(value);
                continue;
            }
            positional.push(value);
        }
        Ok((positional, named))
    }

    fn subscript(&mut self, value: Expr) -> Outcome<Expr> {
        let mut parts = [None, None, None];
        let mut part = 0;
        loop {
            if self.mark("]") {
                break;
            }
            if self.mark(":") {
                part += 1;
                if part > 2 {
                    return Err(self.problem("a slice has at most three parts"));
                }
                continue;
            }
            if parts[part].is_some() {
                return Err(self.unexpected("`]` or `:`"));
            }
            parts[part] = Some(self.expression()?);
        }
        if part > 0 {
            return Ok(Expr::Slice(Box::new(value), Box::new(parts)));
        }
        let [Some(index), _, _] = parts else {
            return Err(self.problem("an index is missing"));
        };
        Ok(Expr::Index(Box::new(value), Box::new(index)))
    }

    fn atom(&mut self) -> Outcome<Expr> {
        let kind = self.peek();
        let atom = match kind {
            Kind::Int(value) => Expr::Int(*value),
            Kind::Name(name) => Expr::Name(name.clone()),
            Kind::Keyword("None") => Expr::None,
            Kind::Keyword("True") => Expr::Bool(true),
            Kind::Keyword("False") => Expr::Bool(false),
            Kind::Str(first) => {
                self.at += 1;
                let mut text = first.to_string();
                while let Kind::Str(next) = self.peek() {
                    text.push_str(next);
                    self.at += 1;
                }
                return Ok(Expr::Str(text.into()));
            }
            Kind::Mark("(") => return self.bracketed(")"),
            Kind::Mark("[") => return self.bracketed("]"),
            Kind::Mark("{") => return self.bracketed("}"),
            _ => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        Ok(atom)
    }

    /// A list, tuple, set, comprehension, or an expression in brackets.
    fn bracketed(&mut self, end: &'static str) -> Outcome<Expr> {
        self.at += 1;
        let mut parts = Vec::new();
        let mut comma = false;
        while !self.mark(end) {
            if !parts.is_empty() {
                self.expect(",")?;
                comma = true;
                if self.mark(end) {
                    break;
                }
            }
            let part = self.expression()?;
            if parts.is_empty() && matches!(self.peek(), Kind::Keyword("for")) {
                let makes = match end {
                    ")" => Makes::Iterator,
                    "]" => Makes::List,
                    _ => Makes::Set,
                };
                let value = self.comprehension(makes, part)?;
                self.expect(end)?;
                return Ok(value);
            }
            if matches!(self.peek(), Kind::Mark(":")) {
                return Err(self.problem("dictionaries are not part of this language"));
            }
            parts.push(part);
        }
        match end {
            "]" => Ok(Expr::List(parts)),
            "}" if parts.is_empty() => {
                Err(self.problem("dictionaries are not part of this language"))
            }
            "}" => Ok(Expr::Set(parts)),
            _ if parts.len() == 1 && !comma => Ok(parts.swap_remove(0)),
            _ => Ok(Expr::Tuple(parts)),
        }
    }

    fn comprehension(&mut self, makes: Makes, element: Expr) -> Outcome<Expr> {
        let mut clauses = Vec::new();
        let mut locals = BTreeSet::new();
        while self.keyword("for") {
            let target = self.targets()?;
            names_of(&target, &mut locals);
            if !self.keyword("in") {
                return Err(self.unexpected("`in`"));
            }
            let over = self.or()?;
            let mut conditions = Vec::new();
            while self.keyword("if") {
                conditions.push(self.or()?);
            }
            clauses.push((target, over, conditions));
        }
        Ok(Expr::Comprehension(Box::new(Comprehension { makes, element, clauses, locals })))
    }
}

fn names_of(target: &Target, names: &mut BTreeSet<Rc<str>>) {
    match target {
        Target::Name(name) => {
            names.insert(name.clone());
        }
        Target::Tuple(parts) => parts.iter().for_each(|part| names_of(part, names)),
        Target::Index(..) => {}
    }
}

fn assigned_in(body: &[Statement], names: &mut BTreeSet<Rc<str>>) {
    for statement in body {
        match &statement.what {
            What::Assign(targets, _) => targets.iter().for_each(|t| names_of(t, names)),
            What::Augment(target, ..) => names_of(target, names),
            What::If(arms, otherwise) => {
                arms.iter().for_each(|(_, block)| assigned_in(block, names));
                otherwise.iter().for_each(|block| assigned_in(block, names));
            }
            What::For(target, _, block) => {
                names_of(target, names);
                assigned_in(block, names);
            }
            What::While(_, block) => assigned_in(block, names),
            What::Define(code) => {
                names.insert(code.name.clone());
            }
            What::Expression(_) | What::Return(_) | What::Break | What::Continue | What::Pass => {}
        }
    }
}
