//! Running a program: statements, expressions and scopes.

use super::parse::{Callee, Code, Expr, Statement, What};
use super::{Outcome, Problem, problem};
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// How many statements, expressions, values gone through and list entries made one evaluation may take.
pub const MAX_STEPS: usize = 200_000;
/// How many evaluations may be inside each other: about 40 calls of a simple recursive function.
pub const MAX_DEPTH: usize = 250;

const FUNCTIONS: [&str; 9] = ["abs", "filter", "len", "list", "map", "max", "min", "sorted", "sum"];

/// A value. What can be changed or can contain itself lives in the machine's tables and is named by its number, so that no
/// program can build something that is never freed or too deep to free.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    List(usize),
    Iterator(usize),
    Function(usize),
    Builtin(&'static str),
}

/// What is used up as it is gone through.
#[derive(Debug, Clone, Copy)]
enum Iterator {
    /// A list as it is at each moment, and the place in it.
    List(usize, usize),
    /// A function's value for each value of another iterator.
    Map(Value, usize),
    /// The values of another iterator for which a function holds.
    Filter(Value, usize),
}

/// The names of one call, of one comprehension, or of the program.
#[derive(Default)]
struct Scope<'p> {
    names: HashMap<&'p str, Value>,
    /// Names that belong here even before they have a value.
    locals: &'p [String],
    parent: Option<usize>,
}

/// A program in the middle of its run.
pub(super) struct Machine<'p> {
    lists: Vec<Vec<Value>>,
    iterators: Vec<Iterator>,
    functions: Vec<(&'p Code, usize)>,
    scopes: Vec<Scope<'p>>,
    steps: usize,
    depth: usize,
}

impl<'p> Machine<'p> {
    pub fn new() -> Self {
        Self {
            lists: vec![],
            iterators: vec![],
            functions: vec![],
            scopes: vec![Scope::default()],
            steps: 0,
            depth: 0,
        }
    }

    pub fn program(&mut self, body: &'p [Statement]) -> Outcome<()> {
        self.block(body, 0).map(|_| ())
    }

    pub fn expression(&mut self, expression: &'p Expr) -> Outcome<Value> {
        self.eval(expression, 0)
    }

    // Limits

    fn tick(&mut self, steps: usize) -> Outcome<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return problem(format!(
                "the program takes more than {MAX_STEPS} steps, perhaps an endless loop"
            ));
        }
        Ok(())
    }

    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= MAX_DEPTH {
            return problem(format!(
                "more than {MAX_DEPTH} evaluations inside each other, perhaps endless recursion"
            ));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    // Statements

    /// Runs statements: what they return, if one of them does.
    fn block(&mut self, body: &'p [Statement], scope: usize) -> Outcome<Option<Value>> {
        for statement in body {
            self.tick(1)?;
            let returned = self
                .deeper(|m| m.statement(&statement.what, scope))
                .map_err(|problem| at_line(problem, statement.line))?;
            if returned.is_some() {
                return Ok(returned);
            }
        }
        Ok(None)
    }

    fn statement(&mut self, what: &'p What, scope: usize) -> Outcome<Option<Value>> {
        match what {
            What::Expression(expression) => {
                self.eval(expression, scope)?;
            }
            What::Assign(name, value) => {
                let value = self.eval(value, scope)?;
                self.scopes[scope].names.insert(name, value);
            }
            What::If(arms) => {
                for (test, body) in arms {
                    let test = self.eval(test, scope)?;
                    if self.truth(test) {
                        return self.block(body, scope);
                    }
                }
            }
            What::For(name, over, body) => {
                let over = self.eval(over, scope)?;
                let over = self.iterate(over)?;
                while let Some(value) = self.next(over)? {
                    self.scopes[scope].names.insert(name, value);
                    let returned = self.block(body, scope)?;
                    if returned.is_some() {
                        return Ok(returned);
                    }
                }
            }
            What::Define(code) => {
                let function = self.function(code, scope)?;
                self.scopes[scope].names.insert(&code.name, function);
            }
            What::Return(value) => return self.eval(value, scope).map(Some),
            What::Pass => {}
        }
        Ok(None)
    }

    // Names and calls

    fn lookup(&self, name: &str, scope: usize) -> Outcome<Value> {
        let mut at = Some(scope);
        while let Some(scope) = at {
            let scope = &self.scopes[scope];
            if let Some(value) = scope.names.get(name) {
                return Ok(*value);
            }
            if scope.locals.iter().any(|local| local == name) {
                return problem(format!("`{name}` has no value yet"));
            }
            at = scope.parent;
        }
        match FUNCTIONS.iter().find(|function| **function == name) {
            Some(function) => Ok(Value::Builtin(function)),
            None => problem(format!(
                "`{name}` is not defined, and minipy's own functions are {}",
                FUNCTIONS.join(", ")
            )),
        }
    }

    fn function(&mut self, code: &'p Code, scope: usize) -> Outcome<Value> {
        self.tick(1)?;
        self.functions.push((code, scope));
        Ok(Value::Function(self.functions.len() - 1))
    }

    fn scope(&mut self, locals: &'p [String], parent: usize) -> Outcome<usize> {
        self.tick(1)?;
        self.scopes.push(Scope { names: HashMap::new(), locals, parent: Some(parent) });
        Ok(self.scopes.len() - 1)
    }

    fn call(
        &mut self,
        function: Value,
        arguments: &[Value],
        reverse: Option<Value>,
    ) -> Outcome<Value> {
        self.tick(1)?;
        let (code, scope) = match function {
            Value::Function(id) => self.functions[id],
            Value::Builtin(name) => return self.builtin(name, arguments, reverse),
            other => return problem(format!("a {} cannot be called", kind(other))),
        };
        let (wanted, given) = (code.parameters.len(), arguments.len());
        if wanted != given || reverse.is_some() {
            let name = &code.name;
            return problem(format!("`{name}` takes {wanted} values in order, {given} given"));
        }
        let scope = self.scope(&code.locals, scope)?;
        let names = code.parameters.iter().map(String::as_str);
        self.scopes[scope].names = names.zip(arguments.iter().copied()).collect();
        let returned = self.deeper(|m| m.block(&code.body, scope))?;
        Ok(returned.unwrap_or(Value::None))
    }

    fn builtin(
        &mut self,
        name: &'static str,
        arguments: &[Value],
        reverse: Option<Value>,
    ) -> Outcome<Value> {
        match (name, arguments, reverse) {
            ("sorted", [values], _) => {
                let mut values = self.values(*values)?;
                sort(&mut values, reverse)?;
                self.list(values)
            }
            ("abs", [value], None) => {
                number(*value, name)?.checked_abs().map(Value::Int).ok_or_else(overflow)
            }
            ("len", [Value::List(id)], None) => Ok(Value::Int(self.lists[*id].len() as i64)),
            ("list", [], None) => self.list(vec![]),
            ("list", [values], None) => {
                let values = self.values(*values)?;
                self.list(values)
            }
            ("map" | "filter", [function, values], None) => {
                let over = self.iterate(*values)?;
                self.iterator(if name == "map" {
                    Iterator::Map(*function, over)
                } else {
                    Iterator::Filter(*function, over)
                })
            }
            ("max" | "min", [values], None) => {
                let wanted = if name == "max" { Ordering::Greater } else { Ordering::Less };
                let mut best = None;
                for value in self.values(*values)? {
                    let rank = number(value, name)?;
                    if best.is_none_or(|(other, _)| rank.cmp(&other) == wanted) {
                        best = Some((rank, value));
                    }
                }
                best.map_or_else(|| problem(format!("{name} of nothing")), |(_, value)| Ok(value))
            }
            ("sum", [values], None) => {
                let mut total = 0_i64;
                for value in self.values(*values)? {
                    total = total.checked_add(number(value, name)?).ok_or_else(overflow)?;
                }
                Ok(Value::Int(total))
            }
            _ => {
                let given: Vec<&str> = arguments.iter().map(|value| kind(*value)).collect();
                problem(format!("minipy has no {name}({})", given.join(", ")))
            }
        }
    }

    fn method(
        &mut self,
        object: Value,
        name: &str,
        arguments: &[Value],
        reverse: Option<Value>,
    ) -> Outcome<Value> {
        self.tick(1)?;
        match (object, name, arguments) {
            (Value::List(id), "append", [value]) if reverse.is_none() => {
                self.lists[id].push(*value)
            }
            (Value::List(id), "reverse", []) if reverse.is_none() => {
                self.tick(self.lists[id].len())?;
                self.lists[id].reverse();
            }
            (Value::List(id), "sort", []) => {
                self.tick(self.lists[id].len())?;
                sort(&mut self.lists[id], reverse)?;
            }
            _ => {
                let (object, given) = (kind(object), arguments.len());
                return problem(format!("minipy has no {object}.{name} with {given} values"));
            }
        }
        Ok(Value::None)
    }

    // Expressions

    fn eval(&mut self, expression: &'p Expr, scope: usize) -> Outcome<Value> {
        self.tick(1)?;
        self.deeper(|m| m.eval_one(expression, scope))
    }

    fn eval_one(&mut self, expression: &'p Expr, scope: usize) -> Outcome<Value> {
        match expression {
            Expr::None => Ok(Value::None),
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Int(value) => Ok(Value::Int(*value)),
            Expr::Name(name) => self.lookup(name, scope),
            Expr::List(parts) => {
                let values = self.eval_all(parts, scope)?;
                self.list(values)
            }
            Expr::Negate(value) => {
                let value = number(self.eval(value, scope)?, "-")?;
                value.checked_neg().map(Value::Int).ok_or_else(overflow)
            }
            Expr::Not(value) => {
                let value = self.eval(value, scope)?;
                Ok(Value::Bool(!self.truth(value)))
            }
            Expr::Binary(left, operator, right) => {
                let left = self.eval(left, scope)?;
                if matches!(*operator, "and" | "or") {
                    let decided = self.truth(left) == (*operator == "or");
                    return if decided { Ok(left) } else { self.eval(right, scope) };
                }
                let right = self.eval(right, scope)?;
                self.binary(left, operator, right)
            }
            Expr::Choose(parts) => {
                let [test, then, otherwise] = &**parts;
                let test = self.eval(test, scope)?;
                self.eval(if self.truth(test) { then } else { otherwise }, scope)
            }
            Expr::Lambda(code) => self.function(code, scope),
            Expr::Comprehension { element, name, over, test } => {
                // As in CPython, what is gone through belongs to the scope outside.
                let over = self.eval(over, scope)?;
                let over = self.iterate(over)?;
                let inner = self.scope(&[], scope)?;
                let mut values = Vec::new();
                while let Some(value) = self.next(over)? {
                    self.scopes[inner].names.insert(name, value);
                    if let Some(test) = test {
                        let holds = self.eval(test, inner)?;
                        if !self.truth(holds) {
                            continue;
                        }
                    }
                    values.push(self.eval(element, inner)?);
                }
                self.list(values)
            }
            Expr::Call(callee, arguments, reverse) => {
                let (Callee::Function(object) | Callee::Method(object, _)) = callee;
                let object = self.eval(object, scope)?;
                let arguments = self.eval_all(arguments, scope)?;
                let reverse = reverse.as_ref().map(|value| self.eval(value, scope)).transpose()?;
                match callee {
                    Callee::Function(_) => self.call(object, &arguments, reverse),
                    Callee::Method(_, name) => self.method(object, name, &arguments, reverse),
                }
            }
            Expr::Index(list, index) => {
                let list = self.eval(list, scope)?;
                let index = number(self.eval(index, scope)?, "an index")?;
                let values = &self.lists[as_list(list)?];
                let at = if index < 0 { index.saturating_add(values.len() as i64) } else { index };
                let value = usize::try_from(at).ok().and_then(|at| values.get(at));
                value.copied().ok_or_else(|| {
                    Problem(format!("index {index} is outside a list of length {}", values.len()))
                })
            }
            Expr::Slice(list, parts) => {
                let list = self.eval(list, scope)?;
                let mut bounds = [None; 3];
                for (bound, part) in bounds.iter_mut().zip(&**parts) {
                    if let Some(part) = part {
                        *bound = Some(number(self.eval(part, scope)?, "a slice")?);
                    }
                }
                let values = &self.lists[as_list(list)?];
                let places = slice_places(values.len(), bounds)?;
                self.list(places.iter().map(|at| values[*at]).collect())
            }
        }
    }

    fn eval_all(&mut self, parts: &'p [Expr], scope: usize) -> Outcome<Vec<Value>> {
        parts.iter().map(|part| self.eval(part, scope)).collect()
    }

    // Lists, and what is gone through

    fn list(&mut self, values: Vec<Value>) -> Outcome<Value> {
        self.tick(values.len() + 1)?;
        self.lists.push(values);
        Ok(Value::List(self.lists.len() - 1))
    }

    fn iterator(&mut self, iterator: Iterator) -> Outcome<Value> {
        self.tick(1)?;
        self.iterators.push(iterator);
        Ok(Value::Iterator(self.iterators.len() - 1))
    }

    /// The number of an iterator over `value`.
    fn iterate(&mut self, value: Value) -> Outcome<usize> {
        match value {
            Value::Iterator(id) => Ok(id),
            list => {
                let list = as_list(list)?;
                self.iterator(Iterator::List(list, 0))?;
                Ok(self.iterators.len() - 1)
            }
        }
    }

    fn next(&mut self, id: usize) -> Outcome<Option<Value>> {
        self.tick(1)?;
        match self.iterators[id] {
            Iterator::List(list, at) => {
                let value = self.lists[list].get(at).copied();
                // Once at its end, an iterator of CPython stays there even if the list grows.
                let next = if value.is_some() { at + 1 } else { usize::MAX };
                self.iterators[id] = Iterator::List(list, next);
                Ok(value)
            }
            Iterator::Map(function, over) => self.deeper(|m| match m.next(over)? {
                Some(value) => m.call(function, &[value], None).map(Some),
                None => Ok(None),
            }),
            Iterator::Filter(function, over) => self.deeper(|m| {
                while let Some(value) = m.next(over)? {
                    let holds = m.call(function, &[value], None)?;
                    if m.truth(holds) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }),
        }
    }

    fn values(&mut self, value: Value) -> Outcome<Vec<Value>> {
        let over = self.iterate(value)?;
        let mut values = Vec::new();
        while let Some(value) = self.next(over)? {
            values.push(value);
        }
        Ok(values)
    }

    // Operators

    fn binary(&mut self, left: Value, operator: &str, right: Value) -> Outcome<Value> {
        match operator {
            "==" => return Ok(Value::Bool(self.equal(left, right)?)),
            "!=" => return Ok(Value::Bool(!self.equal(left, right)?)),
            _ => {}
        }
        let (Some(a), Some(b)) = (as_number(left), as_number(right)) else {
            return problem(format!("minipy has no {} {operator} {}", kind(left), kind(right)));
        };
        let value = match operator {
            "<" => return Ok(Value::Bool(a < b)),
            "<=" => return Ok(Value::Bool(a <= b)),
            ">" => return Ok(Value::Bool(a > b)),
            ">=" => return Ok(Value::Bool(a >= b)),
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            _ if b == 0 => return problem("division by zero"),
            // Python rounds down, Rust towards zero: they differ where a remainder has not the divisor's sign.
            _ => a.checked_rem(b).or(Some(0)).map(|remainder| {
                if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder }
            }),
        };
        value.map(Value::Int).ok_or_else(overflow)
    }

    /// `==`
    pub fn equal(&mut self, left: Value, right: Value) -> Outcome<bool> {
        self.tick(1)?;
        match (left, right) {
            (Value::None, Value::None) => Ok(true),
            (Value::List(a), Value::List(b)) => {
                let (a, b) = (self.lists[a].clone(), self.lists[b].clone());
                self.tick(a.len())?;
                self.deeper(|m| {
                    let mut pairs = a.iter().zip(&b);
                    Ok(a.len() == b.len()
                        && pairs.try_fold(true, |same, (a, b)| Ok(same && m.equal(*a, *b)?))?)
                })
            }
            (Value::Function(_) | Value::Builtin(_) | Value::Iterator(_), other)
                if kind(left) == kind(other) =>
            {
                problem(format!("minipy does not compare a {} with another", kind(left)))
            }
            _ => Ok(matches!((as_number(left), as_number(right)), (Some(a), Some(b)) if a == b)),
        }
    }

    fn truth(&self, value: Value) -> bool {
        match value {
            Value::None => false,
            Value::Bool(value) => value,
            Value::Int(value) => value != 0,
            Value::List(id) => !self.lists[id].is_empty(),
            Value::Iterator(_) | Value::Function(_) | Value::Builtin(_) => true,
        }
    }

    /// As CPython's `repr`.
    pub fn repr(&mut self, value: Value) -> Outcome<String> {
        self.tick(1)?;
        match value {
            Value::None => Ok("None".into()),
            Value::Bool(true) => Ok("True".into()),
            Value::Bool(false) => Ok("False".into()),
            Value::Int(value) => Ok(value.to_string()),
            Value::List(id) => {
                let values = self.lists[id].clone();
                let parts: Outcome<Vec<String>> =
                    self.deeper(|m| values.iter().map(|value| m.repr(*value)).collect());
                Ok(format!("[{}]", parts?.join(", ")))
            }
            _ => problem(format!("minipy cannot write out a {}", kind(value))),
        }
    }
}

/// Says the innermost line once.
fn at_line(problem: Problem, line: usize) -> Problem {
    if problem.0.starts_with("line ") {
        problem
    } else {
        Problem(format!("line {line}: {}", problem.0))
    }
}

fn overflow() -> Problem {
    Problem("a number grew beyond 64 bits".into())
}

/// The type's name as CPython writes it.
fn kind(value: Value) -> &'static str {
    match value {
        Value::None => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::List(_) => "list",
        Value::Iterator(_) => "iterator",
        Value::Function(_) | Value::Builtin(_) => "function",
    }
}

/// An int, or a bool as the int it is in Python.
fn as_number(value: Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(value),
        Value::Bool(value) => Some(i64::from(value)),
        _ => None,
    }
}

fn number(value: Value, what: &str) -> Outcome<i64> {
    as_number(value)
        .ok_or_else(|| Problem(format!("in minipy, {what} needs an int, not a {}", kind(value))))
}

fn as_list(value: Value) -> Outcome<usize> {
    match value {
        Value::List(id) => Ok(id),
        other => problem(format!("a {} is no list", kind(other))),
    }
}

/// Sorts stably; with `reverse`, equal values keep their order too, as in CPython.
fn sort(values: &mut [Value], reverse: Option<Value>) -> Outcome<()> {
    for value in &*values {
        number(*value, "sorting")?;
    }
    if number(reverse.unwrap_or(Value::Bool(false)), "reverse=")? == 0 {
        values.sort_by_key(|value| as_number(*value));
    } else {
        values.sort_by_key(|value| Reverse(as_number(*value)));
    }
    Ok(())
}

/// The places that `[start:stop:step]` names, by CPython's rules.
fn slice_places(len: usize, [start, stop, step]: [Option<i64>; 3]) -> Outcome<Vec<usize>> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return problem("a slice cannot have step 0");
    }
    let len = len as i64;
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(len) } else { bound };
        bound.clamp(lowest, highest)
    };
    let start = start.map_or(if step > 0 { lowest } else { highest }, clamp);
    let stop = stop.map_or(if step > 0 { highest } else { lowest }, clamp);
    let mut at = start;
    let mut places = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(places)
}
