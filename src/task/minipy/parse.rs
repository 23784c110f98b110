//! From tokens to a tree.

use super::lex::{Kind, Token};
use super::{Outcome, problem};

#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub line: usize,
    pub what: What,
}

pub(super) type Block = Vec<Statement>;

#[derive(Debug, Clone)]
pub(super) enum What {
    Expression(Expr),
    Assign(String, Expr),
    /// Conditions with their blocks; that of `else` is `True`.
    If(Vec<(Expr, Block)>),
    For(String, Expr, Block),
    Define(Code),
    Return(Expr),
    Pass,
}

/// A function's or lambda's text.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub name: String,
    pub parameters: Vec<String>,
    pub body: Block,
    /// Every name that is assigned somewhere in the body: local from its first line on, as in CPython.
    pub locals: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Name(String),
    List(Vec<Expr>),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    /// An operator between two values; `and` and `or` too.
    Binary(Box<Expr>, &'static str, Box<Expr>),
    /// `then if test else otherwise`
    Choose(Box<[Expr; 3]>),
    Lambda(Code),
    Comprehension {
        element: Box<Expr>,
        name: String,
        over: Box<Expr>,
        test: Option<Box<Expr>>,
    },
    /// A function or a method, its arguments, and what stands behind `reverse=`.
    Call(Callee, Vec<Expr>, Option<Box<Expr>>),
    Index(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
}

#[derive(Debug, Clone)]
pub(super) enum Callee {
    Function(Box<Expr>),
    Method(Box<Expr>, String),
}

/// Deepest nesting of expressions and blocks while reading.
const MAX_NESTING: usize = 40;

/// Operators between two values, loosest binding first; `not` binds as tight as the third.
const OPERATORS: [&[&str]; 5] =
    [&["or"], &["and"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "%"]];
const COMPARISON: usize = 2;

pub(super) fn program(tokens: &[Token]) -> Outcome<Block> {
    let mut parser = Parser { tokens, depth: 0, functions: vec![] };
    let mut body = Vec::new();
    while parser.peek() != &Kind::End {
        body.extend(parser.statement()?);
    }
    Ok(body)
}

pub(super) fn expression(tokens: &[Token]) -> Outcome<Expr> {
    let mut parser = Parser { tokens, depth: 0, functions: vec![] };
    let expression = parser.expression()?;
    parser.expect(&Kind::Newline)?;
    parser.expect(&Kind::End)?;
    Ok(expression)
}

struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
    /// The names that are assigned in each function around this place.
    functions: Vec<Vec<String>>,
}

fn word(kind: &Kind) -> String {
    match kind {
        Kind::Name(name) => format!("`{name}`"),
        Kind::Mark(mark) => format!("`{mark}`"),
        Kind::Int(value) => format!("`{value}`"),
        Kind::Newline => "the end of the line".into(),
        Kind::Indent => "an indented block".into(),
        Kind::Dedent => "the end of the block".into(),
        Kind::End => "the end".into(),
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Kind {
        &self.tokens[0].kind
    }

    fn line(&self) -> usize {
        self.tokens[0].line
    }

    /// Goes to the next token; the last one, which is the end, stays.
    fn step(&mut self) {
        self.tokens = &self.tokens[usize::from(self.tokens.len() > 1)..];
    }

    fn problem<T>(&self, text: &str) -> Outcome<T> {
        problem(format!("line {}: {text}", self.line()))
    }

    fn unexpected<T>(&self, wanted: &str) -> Outcome<T> {
        self.problem(&format!("minipy expects {wanted} here, not {}", word(self.peek())))
    }

    fn mark(&mut self, mark: &str) -> bool {
        let hit = matches!(self.peek(), Kind::Mark(m) if *m == mark);
        if hit {
            self.step();
        }
        hit
    }

    fn expect(&mut self, kind: &Kind) -> Outcome<()> {
        if self.peek() != kind {
            return self.unexpected(&word(kind));
        }
        self.step();
        Ok(())
    }

    fn name(&mut self) -> Outcome<String> {
        let Kind::Name(name) = self.peek() else {
            return self.unexpected("a name");
        };
        self.step();
        Ok(name.clone())
    }

    /// Runs `read` one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= MAX_NESTING {
            return self.problem("too much inside each other");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    // Statements

    fn block(&mut self) -> Outcome<Block> {
        self.expect(&Kind::Mark(":"))?;
        if self.peek() != &Kind::Newline {
            return self.simple(); // `if x: return y`
        }
        self.step();
        self.expect(&Kind::Indent)?;
        self.deeper(|p| {
            let mut body = Vec::new();
            while p.peek() != &Kind::Dedent {
                body.extend(p.statement()?);
            }
            p.step();
            Ok(body)
        })
    }

    fn statement(&mut self) -> Outcome<Block> {
        let line = self.line();
        let what = if self.mark("def") {
            self.define()?
        } else if self.mark("if") {
            let mut arms = vec![(self.expression()?, self.block()?)];
            while self.mark("elif") {
                arms.push((self.expression()?, self.block()?));
            }
            if self.mark("else") {
                arms.push((Expr::Bool(true), self.block()?));
            }
            What::If(arms)
        } else if self.mark("for") {
            let name = self.assigned()?;
            self.expect(&Kind::Mark("in"))?;
            What::For(name, self.expression()?, self.block()?)
        } else {
            return self.simple();
        };
        Ok(vec![Statement { line, what }])
    }

    fn define(&mut self) -> Outcome<What> {
        let name = self.assigned()?;
        self.expect(&Kind::Mark("("))?;
        let parameters = self.parameters(")")?;
        self.functions.push(vec![]);
        let body = self.block()?;
        let locals = self.functions.pop().unwrap_or_default();
        Ok(What::Define(Code { name, parameters, body, locals }))
    }

    fn parameters(&mut self, end: &str) -> Outcome<Vec<String>> {
        let mut parameters: Vec<String> = Vec::new();
        while !self.mark(end) {
            if !parameters.is_empty() {
                self.expect(&Kind::Mark(","))?;
                if self.mark(end) {
                    break;
                }
            }
            let name = self.name()?;
            if parameters.contains(&name) {
                return self.problem(&format!("two parameters are called `{name}`"));
            }
            parameters.push(name);
        }
        Ok(parameters)
    }

    /// A name that gets a value here.
    fn assigned(&mut self) -> Outcome<String> {
        let name = self.name()?;
        if let Some(function) = self.functions.last_mut() {
            function.push(name.clone());
        }
        Ok(name)
    }

    /// The statements of one line.
    fn simple(&mut self) -> Outcome<Block> {
        let mut statements = Vec::new();
        loop {
            statements.push(Statement { line: self.line(), what: self.small()? });
            let more = self.mark(";");
            if !more || self.peek() == &Kind::Newline {
                self.expect(&Kind::Newline)?;
                return Ok(statements);
            }
        }
    }

    fn small(&mut self) -> Outcome<What> {
        if self.mark("pass") {
            return Ok(What::Pass);
        }
        if self.mark("return") {
            if self.functions.is_empty() {
                return self.problem("`return` outside a function");
            }
            let bare = matches!(self.peek(), Kind::Newline | Kind::Mark(";"));
            return Ok(What::Return(if bare { Expr::None } else { self.expression()? }));
        }
        if matches!(self.tokens, [_, next, ..] if next.kind == Kind::Mark("=")) {
            let name = self.assigned()?;
            self.step();
            return Ok(What::Assign(name, self.expression()?));
        }
        self.expression().map(What::Expression)
    }

    // Expressions

    fn expression(&mut self) -> Outcome<Expr> {
        self.deeper(|p| {
            if p.mark("lambda") {
                let (line, parameters) = (p.line(), p.parameters(":")?);
                let body = vec![Statement { line, what: What::Return(p.expression()?) }];
                return Ok(Expr::Lambda(Code {
                    name: "<lambda>".into(),
                    parameters,
                    body,
                    locals: vec![],
                }));
            }
            let then = p.operation(0)?;
            if !p.mark("if") {
                return Ok(then);
            }
            let test = p.operation(0)?;
            p.expect(&Kind::Mark("else"))?;
            Ok(Expr::Choose(Box::new([test, then, p.expression()?])))
        })
    }

    /// Values with operators of this or a tighter level between them.
    fn operation(&mut self, level: usize) -> Outcome<Expr> {
        let Some(operators) = OPERATORS.get(level) else {
            if self.mark("-") {
                return self.deeper(|p| Ok(Expr::Negate(Box::new(p.operation(level)?))));
            }
            return self.postfix();
        };
        if level == COMPARISON && self.mark("not") {
            return self.deeper(|p| Ok(Expr::Not(Box::new(p.operation(level)?))));
        }
        let mut left = self.operation(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.mark(operator)) {
            let right = self.operation(level + 1)?;
            left = Expr::Binary(Box::new(left), operator, Box::new(right));
            if level == COMPARISON {
                break; // `a < b < c` means something else
            }
        }
        Ok(left)
    }

    fn postfix(&mut self) -> Outcome<Expr> {
        let mut value = self.atom()?;
        loop {
            let callee = if self.mark("[") {
                value = self.deeper(|p| p.subscript(value))?;
                continue;
            } else if self.mark(".") {
                let name = self.name()?;
                self.expect(&Kind::Mark("("))?;
                Callee::Method(Box::new(value), name)
            } else if self.mark("(") {
                Callee::Function(Box::new(value))
            } else {
                return Ok(value);
            };
            let (arguments, reverse) = self.deeper(Self::arguments)?;
            value = Expr::Call(callee, arguments, reverse);
        }
    }

    #[allow(clippy::type_complexity)] // arguments, and what `reverse=` is, once
    fn arguments(&mut self) -> Outcome<(Vec<Expr>, Option<Box<Expr>>)> {
        let (mut arguments, mut reverse) = (vec![], None);
        while !self.mark(")") {
            if !arguments.is_empty() {
                self.expect(&Kind::Mark(","))?;
                if self.mark(")") {
                    break;
                }
            }
            match self.tokens {
                [Token { kind: Kind::Name(name), .. }, next, ..]
                    if next.kind == Kind::Mark("=") =>
                {
                    if name != "reverse" {
                        return self.problem(&format!("`{name}=` is not part of minipy"));
                    }
                    self.step();
                    self.step();
                    reverse = Some(Box::new(self.expression()?));
                    self.expect(&Kind::Mark(")"))?;
                    break;
                }
                _ => arguments.push(self.expression()?),
            }
        }
        Ok((arguments, reverse))
    }

    fn subscript(&mut self, value: Expr) -> Outcome<Expr> {
        let mut parts = [None, None, None];
        let mut part = 0;
        while !self.mark("]") {
            if part < 2 && self.mark(":") {
                part += 1;
            } else if parts[part].is_none() {
                parts[part] = Some(self.expression()?);
            } else {
                return self.unexpected("`]` or `:`");
            }
        }
        match (part, parts) {
            (0, [Some(index), ..]) => Ok(Expr::Index(Box::new(value), Box::new(index))),
            (0, _) => self.problem("an index is missing"),
            (_, parts) => Ok(Expr::Slice(Box::new(value), Box::new(parts))),
        }
    }

    fn atom(&mut self) -> Outcome<Expr> {
        let atom = match self.peek() {
            Kind::Int(value) => Expr::Int(*value),
            Kind::Name(name) => Expr::Name(name.clone()),
            Kind::Mark("None") => Expr::None,
            Kind::Mark("True") => Expr::Bool(true),
            Kind::Mark("False") => Expr::Bool(false),
            Kind::Mark("(") => {
                self.step();
                let inside = self.expression()?;
                self.expect(&Kind::Mark(")"))?;
                return Ok(inside);
            }
            Kind::Mark("[") => {
                self.step();
                return self.list();
            }
            _ => return self.unexpected("a value"),
        };
        self.step();
        Ok(atom)
    }

    /// A list or a comprehension, behind its bracket.
    fn list(&mut self) -> Outcome<Expr> {
        let mut parts = Vec::new();
        while !self.mark("]") {
            if !parts.is_empty() {
                self.expect(&Kind::Mark(","))?;
                if self.mark("]") {
                    break;
                }
            }
            let element = self.expression()?;
            if parts.is_empty() && self.mark("for") {
                let name = self.name()?;
                self.expect(&Kind::Mark("in"))?;
                let over = Box::new(self.operation(0)?);
                let test = if self.mark("if") { Some(Box::new(self.operation(0)?)) } else { None };
                self.expect(&Kind::Mark("]"))?;
                return Ok(Expr::Comprehension { element: Box::new(element), name, over, test });
            }
            parts.push(element);
        }
        Ok(Expr::List(parts))
    }
}
