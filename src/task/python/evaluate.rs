//! Running a program: statements, expressions and scopes.
//!
//! Built-in functions: `abs all any bool enumerate filter int len list map max min range reversed set sorted str sum tuple zip`.
//! Methods of lists: `append clear copy count extend index insert pop remove reverse sort`; of strings: `join lower split upper`;
//! of sets: `add`.

use super::parse::{Block, Body, Code, Comparison, Comprehension, Expr, Makes, Operator};
use super::parse::{Statement, Target, What};
use super::value::{BUILTINS, Cursor, Function, Iterator, Scope, Value};
use super::{Outcome, Problem};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

#[path = "builtin.rs"]
mod builtin;

/// How many statements, expressions and values gone through one evaluation may take.
pub const MAX_STEPS: usize = 200_000;
/// How many list entries and characters one evaluation may make.
pub const MAX_CELLS: usize = 200_000;
/// How many evaluations may be inside each other: about 40 calls of a simple recursive function.
pub const MAX_DEPTH: usize = 250;

/// How a statement ended.
enum Flow {
    On,
    Break,
    Continue,
    Return(Value),
}

/// A program in the middle of its run.
pub(super) struct Machine {
    lists: Vec<Vec<Value>>,
    tuples: Vec<Rc<[Value]>>,
    sets: Vec<Vec<Value>>,
    iterators: Vec<Iterator>,
    functions: Vec<Function>,
    scopes: Vec<Scope>,
    steps: usize,
    cells: usize,
    depth: usize,
    /// How many generator expressions are being evaluated: they may not change a list.
    generators: usize,
}

fn problem<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Problem::new(text))
}

fn overflow() -> Problem {
    Problem::new("a number grew beyond 64 bits")
}

impl Machine {
    pub fn new() -> Self {
        Self {
            lists: vec![],
            tuples: vec![],
            sets: vec![],
            iterators: vec![],
            functions: vec![],
            scopes: vec![Scope { names: HashMap::new(), locals: None, parent: None }],
            steps: 0,
            cells: 0,
            depth: 0,
            generators: 0,
        }
    }

    pub fn program(&mut self, body: &[Statement]) -> Outcome<()> {
        self.block(body, 0).map(|_| ())
    }

    pub fn expression(&mut self, expression: &Expr) -> Outcome<Value> {
        self.eval(expression, 0)
    }

    /// The value of an expression without names: a limit that the program has nearly used up does not count for it.
    pub fn constant(&mut self, expression: &Expr) -> Outcome<Value> {
        (self.steps, self.cells) = (0, 0);
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

    fn charge(&mut self, cells: usize) -> Outcome<()> {
        self.cells = self.cells.saturating_add(cells);
        if self.cells > MAX_CELLS {
            return problem(format!(
                "the program makes more than {MAX_CELLS} list entries and characters"
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

    // Making values

    fn list(&mut self, values: Vec<Value>) -> Outcome<Value> {
        self.charge(values.len() + 1)?;
        self.lists.push(values);
        Ok(Value::List(self.lists.len() - 1))
    }

    fn tuple(&mut self, values: Vec<Value>) -> Outcome<Value> {
        self.charge(values.len() + 1)?;
        self.tuples.push(values.into());
        Ok(Value::Tuple(self.tuples.len() - 1))
    }

    fn string(&mut self, text: String) -> Outcome<Value> {
        self.charge(text.len() + 1)?;
        Ok(Value::Str(text.into()))
    }

    fn set(&mut self, values: Vec<Value>) -> Outcome<Value> {
        let mut unique: Vec<Value> = vec![];
        for value in values {
            self.add_to(&mut unique, value)?;
        }
        self.charge(unique.len() + 1)?;
        self.sets.push(unique);
        Ok(Value::Set(self.sets.len() - 1))
    }

    fn add_to(&mut self, unique: &mut Vec<Value>, value: Value) -> Outcome<()> {
        self.hashable(&value)?;
        if !self.contains(unique, &value)? {
            self.charge(1)?;
            unique.push(value);
        }
        Ok(())
    }

    fn hashable(&mut self, value: &Value) -> Outcome<()> {
        match value {
            Value::List(_) | Value::Set(_) => {
                problem(format!("a {} cannot be in a set", value.kind()))
            }
            Value::Tuple(id) => {
                let parts = self.tuples[*id].clone();
                self.deeper(|m| parts.iter().try_for_each(|part| m.hashable(part)))
            }
            _ => Ok(()),
        }
    }

    fn iterator(&mut self, iterator: Iterator) -> Outcome<Value> {
        self.charge(1)?;
        self.iterators.push(iterator);
        Ok(Value::Iterator(self.iterators.len() - 1))
    }

    // Statements

    fn block(&mut self, body: &[Statement], scope: usize) -> Outcome<Flow> {
        for statement in body {
            self.tick(1)?;
            let flow = self
                .deeper(|m| m.statement(&statement.what, scope))
                .map_err(|p| at_line(p, statement.line))?;
            if !matches!(flow, Flow::On) {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, what: &What, scope: usize) -> Outcome<Flow> {
        match what {
            What::Expression(expression) => {
                self.eval(expression, scope)?;
            }
            What::Assign(targets, value) => {
                let value = self.eval(value, scope)?;
                for target in targets {
                    self.assign(target, value.clone(), scope)?;
                }
            }
            What::Augment(target, operator, value) => {
                self.augment(target, *operator, value, scope)?;
            }
            What::If(arms, otherwise) => return self.choose(arms, otherwise.as_ref(), scope),
            What::For(target, over, body) => return self.for_loop(target, over, body, scope),
            What::While(test, body) => return self.while_loop(test, body, scope),
            What::Define(code) => {
                let function = self.function(code, scope)?;
                self.scopes[scope].names.insert(code.name.clone(), function);
            }
            What::Return(value) => {
                return Ok(Flow::Return(match value {
                    Some(value) => self.eval(value, scope)?,
                    None => Value::None,
                }));
            }
            What::Break => return Ok(Flow::Break),
            What::Continue => return Ok(Flow::Continue),
            What::Pass => {}
        }
        Ok(Flow::On)
    }

    fn choose(
        &mut self,
        arms: &[(Expr, Block)],
        otherwise: Option<&Block>,
        scope: usize,
    ) -> Outcome<Flow> {
        for (test, body) in arms {
            let test = self.eval(test, scope)?;
            if self.truth(&test) {
                return self.block(body, scope);
            }
        }
        otherwise.map_or(Ok(Flow::On), |body| self.block(body, scope))
    }

    fn for_loop(
        &mut self,
        target: &Target,
        over: &Expr,
        body: &Block,
        scope: usize,
    ) -> Outcome<Flow> {
        let over = self.eval(over, scope)?;
        let mut cursor = self.cursor(&over)?;
        while let Some(value) = self.advance(&mut cursor)? {
            self.assign(target, value, scope)?;
            match self.block(body, scope)? {
                Flow::Break => break,
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::On | Flow::Continue => {}
            }
        }
        Ok(Flow::On)
    }

    fn while_loop(&mut self, test: &Expr, body: &Block, scope: usize) -> Outcome<Flow> {
        loop {
            self.tick(1)?;
            let test = self.eval(test, scope)?;
            if !self.truth(&test) {
                return Ok(Flow::On);
            }
            match self.block(body, scope)? {
                Flow::Break => return Ok(Flow::On),
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::On | Flow::Continue => {}
            }
        }
    }

    fn assign(&mut self, target: &Target, value: Value, scope: usize) -> Outcome<()> {
        match target {
            Target::Name(name) => {
                self.scopes[scope].names.insert(name.clone(), value);
                Ok(())
            }
            Target::Tuple(parts) => {
                let values = self.values(&value)?;
                if values.len() != parts.len() {
                    return problem(format!("{} values for {} names", values.len(), parts.len()));
                }
                for (part, value) in parts.iter().zip(values) {
                    self.assign(part, value, scope)?;
                }
                Ok(())
            }
            Target::Index(list, index) => {
                let list = self.eval(list, scope)?;
                let index = self.eval(index, scope)?;
                self.assign_index(&list, &index, value)
            }
        }
    }

    fn assign_index(&mut self, list: &Value, index: &Value, value: Value) -> Outcome<()> {
        let Value::List(id) = *list else {
            return problem(format!("a part of a {} cannot be set", list.kind()));
        };
        self.may_change()?;
        let at = position(self.lists[id].len(), index, "list")?;
        self.lists[id][at] = value;
        Ok(())
    }

    fn augment(
        &mut self,
        target: &Target,
        operator: Operator,
        value: &Expr,
        scope: usize,
    ) -> Outcome<()> {
        match target {
            Target::Name(name) => {
                // A name that is not local cannot be changed: reading it through `lookup` would hide CPython's error.
                let old = self.lookup(name, scope)?;
                let value = self.eval(value, scope)?;
                let new = self.in_place(old, operator, value)?;
                self.scopes[scope].names.insert(name.clone(), new);
                Ok(())
            }
            Target::Index(list, index) => {
                let list = self.eval(list, scope)?;
                let index = self.eval(index, scope)?;
                let old = self.index(&list, &index)?;
                let value = self.eval(value, scope)?;
                let new = self.in_place(old, operator, value)?;
                self.assign_index(&list, &index, new)
            }
            Target::Tuple(_) => problem("several names cannot be changed at once"),
        }
    }

    /// `old += value` and its like: a list is extended, not replaced.
    fn in_place(&mut self, old: Value, operator: Operator, value: Value) -> Outcome<Value> {
        match (&old, operator) {
            (Value::List(id), Operator::Add) => {
                self.may_change()?;
                let more = self.values(&value)?;
                self.charge(more.len())?;
                self.lists[*id].extend(more);
                Ok(old)
            }
            (Value::List(_), _) => problem("lists can only be changed with +="),
            _ => self.binary(&old, operator, &value),
        }
    }

    /// Refuses a change of a list inside a generator expression, which CPython would evaluate later.
    fn may_change(&self) -> Outcome<()> {
        if self.generators > 0 {
            return problem("a generator expression may not change a list in this language");
        }
        Ok(())
    }

    // Names and calls

    fn lookup(&mut self, name: &Rc<str>, scope: usize) -> Outcome<Value> {
        let mut at = Some(scope);
        while let Some(scope) = at {
            let scope = &self.scopes[scope];
            if let Some(value) = scope.names.get(name) {
                return Ok(value.clone());
            }
            if scope.locals.as_ref().is_some_and(|l| l.contains(name)) {
                return problem(format!("`{name}` has no value yet"));
            }
            at = scope.parent;
        }
        match BUILTINS.iter().find(|(word, _)| **word == **name) {
            Some((_, builtin)) => Ok(Value::Builtin(*builtin)),
            None => problem(format!("`{name}` is not defined")),
        }
    }

    fn function(&mut self, code: &Rc<Code>, scope: usize) -> Outcome<Value> {
        self.charge(1)?;
        self.functions.push(Function { code: code.clone(), scope });
        Ok(Value::Function(self.functions.len() - 1))
    }

    fn scope(&mut self, locals: BTreeSet<Rc<str>>, parent: usize) -> Outcome<usize> {
        self.charge(1)?;
        self.scopes.push(Scope {
            names: HashMap::new(),
            locals: Some(locals),
            parent: Some(parent),
        });
        Ok(self.scopes.len() - 1)
    }

    fn call(
        &mut self,
        function: &Value,
        arguments: Vec<Value>,
        named: Vec<(Rc<str>, Value)>,
    ) -> Outcome<Value> {
        self.tick(1)?;
        match function {
            Value::Function(id) => self.call_function(*id, arguments, named),
            Value::Builtin(builtin) => self.call_builtin(*builtin, arguments, named),
            other => problem(format!("a {} cannot be called", other.kind())),
        }
    }

    fn call_function(
        &mut self,
        id: usize,
        arguments: Vec<Value>,
        named: Vec<(Rc<str>, Value)>,
    ) -> Outcome<Value> {
        let Function { code, scope } = self.functions[id].clone();
        let mut names: HashMap<Rc<str>, Value> = HashMap::new();
        if arguments.len() > code.parameters.len() {
            return problem(format!(
                "`{}` takes {} values, {} given",
                code.name,
                code.parameters.len(),
                arguments.len()
            ));
        }
        for (parameter, value) in code.parameters.iter().zip(arguments) {
            names.insert(parameter.clone(), value);
        }
        for (name, value) in named {
            if !code.parameters.contains(&name) {
                return problem(format!("`{}` has no parameter `{name}`", code.name));
            }
            if names.insert(name.clone(), value).is_some() {
                return problem(format!("`{}` is given `{name}` twice", code.name));
            }
        }
        if let Some(missing) = code.parameters.iter().find(|p| !names.contains_key(*p)) {
            return problem(format!("`{}` is not given `{missing}`", code.name));
        }
        let scope = self.scope(code.locals.clone(), scope)?;
        self.scopes[scope].names = names;
        self.deeper(|m| match &code.body {
            Body::Expression(expression) => m.eval(expression, scope),
            Body::Block(body) => match m.block(body, scope)? {
                Flow::Return(value) => Ok(value),
                _ => Ok(Value::None),
            },
        })
    }

    // Expressions

    fn eval(&mut self, expression: &Expr, scope: usize) -> Outcome<Value> {
        self.tick(1)?;
        self.deeper(|m| m.eval_one(expression, scope))
    }

    fn eval_one(&mut self, expression: &Expr, scope: usize) -> Outcome<Value> {
        match expression {
            Expr::None => Ok(Value::None),
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Int(value) => Ok(Value::Int(*value)),
            Expr::Str(text) => Ok(Value::Str(text.clone())),
            Expr::Name(name) => self.lookup(name, scope),
            Expr::List(parts) => {
                let values = self.eval_all(parts, scope)?;
                self.list(values)
            }
            Expr::Tuple(parts) => {
                let values = self.eval_all(parts, scope)?;
                self.tuple(values)
            }
            Expr::Set(parts) => {
                let values = self.eval_all(parts, scope)?;
                self.set(values)
            }
            Expr::Negate(value) => {
                let value = self.eval(value, scope)?;
                let value = whole(&value, "-")?;
                Ok(Value::Int(value.checked_neg().ok_or_else(overflow)?))
            }
            Expr::Plus(value) => {
                let value = self.eval(value, scope)?;
                Ok(Value::Int(whole(&value, "+")?))
            }
            Expr::Not(value) => {
                let value = self.eval(value, scope)?;
                Ok(Value::Bool(!self.truth(&value)))
            }
            Expr::And(left, right) => {
                let left = self.eval(left, scope)?;
                if self.truth(&left) { self.eval(right, scope) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left, scope)?;
                if self.truth(&left) { Ok(left) } else { self.eval(right, scope) }
            }
            Expr::Binary(left, operator, right) => {
                let left = self.eval(left, scope)?;
                let right = self.eval(right, scope)?;
                self.binary(&left, *operator, &right)
            }
            Expr::Compare(first, rest) => self.compare_chain(first, rest, scope),
            Expr::Choose(parts) => {
                let [test, then, otherwise] = &**parts;
                let test = self.eval(test, scope)?;
                self.eval(if self.truth(&test) { then } else { otherwise }, scope)
            }
            Expr::Lambda(code) => self.function(code, scope),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, scope),
            Expr::Call(function, arguments, named) => {
                let function = self.eval(function, scope)?;
                let arguments = self.eval_all(arguments, scope)?;
                let named = self.eval_named(named, scope)?;
                self.call(&function, arguments, named)
            }
            Expr::Method(object, name, arguments, named) => {
                let object = self.eval(object, scope)?;
                let arguments = self.eval_all(arguments, scope)?;
                let named = self.eval_named(named, scope)?;
                self.call_method(&object, name, arguments, named)
            }
            Expr::Index(value, index) => {
                let value = self.eval(value, scope)?;
                let index = self.eval(index, scope)?;
                self.index(&value, &index)
            }
            Expr::Slice(value, parts) => self.slice(value, parts, scope),
        }
    }

    fn eval_all(&mut self, parts: &[Expr], scope: usize) -> Outcome<Vec<Value>> {
        parts.iter().map(|part| self.eval(part, scope)).collect()
    }

    fn eval_named(
        &mut self,
        named: &[(Rc<str>, Expr)],
        scope: usize,
    ) -> Outcome<Vec<(Rc<str>, Value)>> {
        named.iter().map(|(name, value)| Ok((name.clone(), self.eval(value, scope)?))).collect()
    }

    fn comprehension(&mut self, of: &Comprehension, scope: usize) -> Outcome<Value> {
        // As in CPython, what the first `for` goes through belongs to the scope outside.
        let first = self.eval(&of.clauses[0].1, scope)?;
        let inner = self.scope(of.locals.clone(), scope)?;
        let mut out = Vec::new();
        let lazy = usize::from(of.makes == Makes::Iterator);
        self.generators += lazy;
        let result = self.clause(of, 0, Some(first), inner, &mut out);
        self.generators -= lazy;
        result?;
        match of.makes {
            Makes::List => self.list(out),
            Makes::Set => self.set(out),
            Makes::Iterator => self.iterator(Iterator::Over(Cursor::Values(out.into(), 0))),
        }
    }

    fn clause(
        &mut self,
        of: &Comprehension,
        number: usize,
        over: Option<Value>,
        scope: usize,
        out: &mut Vec<Value>,
    ) -> Outcome<()> {
        let Some((target, expression, conditions)) = of.clauses.get(number) else {
            self.charge(1)?;
            out.push(self.eval(&of.element, scope)?);
            return Ok(());
        };
        let over = match over {
            Some(over) => over,
            None => self.eval(expression, scope)?,
        };
        let mut cursor = self.cursor(&over)?;
        'values: while let Some(value) = self.advance(&mut cursor)? {
            self.assign(target, value, scope)?;
            for condition in conditions {
                let holds = self.eval(condition, scope)?;
                if !self.truth(&holds) {
                    continue 'values;
                }
            }
            self.deeper(|m| m.clause(of, number + 1, None, scope, out))?;
        }
        Ok(())
    }

    // Going through values

    fn cursor(&mut self, value: &Value) -> Outcome<Cursor> {
        Ok(match value {
            Value::List(id) => Cursor::List(*id, 0),
            Value::Tuple(id) => Cursor::Values(self.tuples[*id].clone(), 0),
            Value::Str(text) => {
                self.charge(text.len())?;
                let letters: Vec<Value> =
                    text.chars().map(|c| Value::Str(c.to_string().into())).collect();
                Cursor::Values(letters.into(), 0)
            }
            Value::Range(start, stop, step) => Cursor::Range(*start, *stop, *step),
            Value::Iterator(id) => Cursor::Iterator(*id),
            Value::Set(_) => {
                return problem("the order of a set is not defined; use sorted(...)");
            }
            other => return problem(format!("a {} cannot be gone through", other.kind())),
        })
    }

    fn advance(&mut self, cursor: &mut Cursor) -> Outcome<Option<Value>> {
        self.tick(1)?;
        match cursor {
            Cursor::List(id, at) => {
                let value = self.lists[*id].get(*at).cloned();
                // Once at its end, an iterator of CPython stays there even if the list grows.
                *at = if value.is_some() { *at + 1 } else { usize::MAX };
                Ok(value)
            }
            Cursor::Reversed(id, left) => {
                if *left == 0 || *left > self.lists[*id].len() {
                    *left = 0;
                    return Ok(None);
                }
                *left -= 1;
                Ok(Some(self.lists[*id][*left].clone()))
            }
            Cursor::Values(values, at) => {
                let value = values.get(*at).cloned();
                *at += usize::from(value.is_some());
                Ok(value)
            }
            Cursor::Range(next, stop, step) => {
                let more = if *step > 0 { *next < *stop } else { *next > *stop };
                if !more {
                    return Ok(None);
                }
                let value = *next;
                *next = next.saturating_add(*step);
                Ok(Some(Value::Int(value)))
            }
            Cursor::Iterator(id) => {
                let id = *id;
                self.deeper(|m| m.advance_iterator(id))
            }
        }
    }

    fn advance_iterator(&mut self, id: usize) -> Outcome<Option<Value>> {
        let mut iterator = std::mem::replace(&mut self.iterators[id], Iterator::Busy);
        let result = self.next_of(&mut iterator);
        self.iterators[id] = iterator;
        result
    }

    fn next_of(&mut self, iterator: &mut Iterator) -> Outcome<Option<Value>> {
        match iterator {
            Iterator::Over(cursor) => self.advance(cursor),
            Iterator::Enumerate(cursor, number) => {
                let Some(value) = self.advance(cursor)? else {
                    return Ok(None);
                };
                let pair = self.tuple(vec![Value::Int(*number), value])?;
                *number = number.checked_add(1).ok_or_else(overflow)?;
                Ok(Some(pair))
            }
            Iterator::Zip(cursors) => match self.advance_all(cursors)? {
                Some(values) => Ok(Some(self.tuple(values)?)),
                None => Ok(None),
            },
            Iterator::Map(function, cursors) => match self.advance_all(cursors)? {
                Some(values) => Ok(Some(self.call(function, values, vec![])?)),
                None => Ok(None),
            },
            Iterator::Filter(function, cursor) => {
                while let Some(value) = self.advance(cursor)? {
                    let kept = match &*function {
                        Value::None => value.clone(),
                        function => self.call(function, vec![value.clone()], vec![])?,
                    };
                    if self.truth(&kept) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Iterator::Busy => problem("an iterator is used while it makes its next value"),
        }
    }

    fn advance_all(&mut self, cursors: &mut [Cursor]) -> Outcome<Option<Vec<Value>>> {
        let mut values = Vec::with_capacity(cursors.len());
        for cursor in cursors.iter_mut() {
            match self.advance(cursor)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok((!values.is_empty()).then_some(values))
    }

    /// All values of something that has an order.
    fn values(&mut self, value: &Value) -> Outcome<Vec<Value>> {
        let mut cursor = self.cursor(value)?;
        // `xs.extend(xs)` and its like take the list as it was.
        if let Cursor::List(id, _) = cursor {
            self.tick(self.lists[id].len())?;
            return Ok(self.lists[id].clone());
        }
        let mut values = Vec::new();
        while let Some(value) = self.advance(&mut cursor)? {
            self.charge(1)?;
            values.push(value);
        }
        Ok(values)
    }

    /// All values, of a set too: only where their order makes no difference.
    fn values_in_any_order(&mut self, value: &Value) -> Outcome<Vec<Value>> {
        match value {
            Value::Set(id) => {
                self.tick(self.sets[*id].len())?;
                Ok(self.sets[*id].clone())
            }
            other => self.values(other),
        }
    }

    // Operators

    fn binary(&mut self, left: &Value, operator: Operator, right: &Value) -> Outcome<Value> {
        match (left, operator, right) {
            (Value::Str(a), Operator::Add, Value::Str(b)) => {
                self.charge(a.len() + b.len())?;
                self.string(format!("{a}{b}"))
            }
            (Value::List(a), Operator::Add, Value::List(b)) => {
                self.charge(self.lists[*a].len() + self.lists[*b].len())?;
                let mut values = self.lists[*a].clone();
                values.extend_from_slice(&self.lists[*b]);
                self.list(values)
            }
            (Value::Tuple(a), Operator::Add, Value::Tuple(b)) => {
                self.charge(self.tuples[*a].len() + self.tuples[*b].len())?;
                let values = [&*self.tuples[*a], &*self.tuples[*b]].concat();
                self.tuple(values)
            }
            (Value::Str(text), Operator::Multiply, times @ (Value::Int(_) | Value::Bool(_)))
            | (times @ (Value::Int(_) | Value::Bool(_)), Operator::Multiply, Value::Str(text)) => {
                let times = usize::try_from(whole(times, "*")?).unwrap_or(0);
                self.charge(text.len().saturating_mul(times))?;
                self.string(text.repeat(times))
            }
            (Value::List(id), Operator::Multiply, times @ (Value::Int(_) | Value::Bool(_)))
            | (times @ (Value::Int(_) | Value::Bool(_)), Operator::Multiply, Value::List(id)) => {
                let times = usize::try_from(whole(times, "*")?).unwrap_or(0);
                self.charge(self.lists[*id].len().saturating_mul(times))?;
                // Nothing repeated stays nothing, however often: no work for `[] * 10 ** 18`.
                let values = if self.lists[*id].is_empty() {
                    vec![]
                } else {
                    let one = &self.lists[*id];
                    one.iter().cycle().take(one.len() * times).cloned().collect()
                };
                self.list(values)
            }
            _ => {
                let mark = operator_mark(operator);
                let (a, b) = match (number(left), number(right)) {
                    (Some(a), Some(b)) => (a, b),
                    _ => {
                        return problem(format!(
                            "{} {mark} {} is not defined",
                            left.kind(),
                            right.kind()
                        ));
                    }
                };
                arithmetic(a, operator, b).map(Value::Int)
            }
        }
    }

    fn compare_chain(
        &mut self,
        first: &Expr,
        rest: &[(Comparison, Expr)],
        scope: usize,
    ) -> Outcome<Value> {
        let mut left = self.eval(first, scope)?;
        for (comparison, right) in rest {
            let right = self.eval(right, scope)?;
            if !self.compare(&left, *comparison, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn compare(&mut self, left: &Value, comparison: Comparison, right: &Value) -> Outcome<bool> {
        Ok(match comparison {
            Comparison::Equal => self.equal(left, right)?,
            Comparison::NotEqual => !self.equal(left, right)?,
            Comparison::Less => self.order(left, right)?.is_lt(),
            Comparison::LessEqual => self.order(left, right)?.is_le(),
            Comparison::Greater => self.order(left, right)?.is_gt(),
            Comparison::GreaterEqual => self.order(left, right)?.is_ge(),
            Comparison::In => self.is_in(left, right)?,
            Comparison::NotIn => !self.is_in(left, right)?,
            Comparison::Is => self.is_none(left, right)?,
            Comparison::IsNot => !self.is_none(left, right)?,
        })
    }

    fn is_none(&self, left: &Value, right: &Value) -> Outcome<bool> {
        match (left, right) {
            (Value::None, Value::None) => Ok(true),
            (Value::None, _) | (_, Value::None) => Ok(false),
            _ => problem("`is` is only for None in this language; use =="),
        }
    }

    fn is_in(&mut self, value: &Value, within: &Value) -> Outcome<bool> {
        match within {
            Value::Str(text) => match value {
                Value::Str(part) => {
                    self.tick(text.len())?;
                    Ok(text.contains(&**part))
                }
                other => problem(format!("a {} cannot be in a string", other.kind())),
            },
            Value::Set(id) => {
                self.hashable(value)?;
                let values = self.sets[*id].clone();
                self.contains(&values, value)
            }
            within => {
                let mut cursor = self.cursor(within)?;
                while let Some(other) = self.advance(&mut cursor)? {
                    if self.equal(value, &other)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    fn contains(&mut self, values: &[Value], value: &Value) -> Outcome<bool> {
        for other in values {
            if self.equal(other, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `==`
    pub fn equal(&mut self, left: &Value, right: &Value) -> Outcome<bool> {
        self.tick(1)?;
        if let (Some(a), Some(b)) = (number(left), number(right)) {
            return Ok(a == b);
        }
        match (left, right) {
            (Value::None, Value::None) => Ok(true),
            (Value::Str(a), Value::Str(b)) => Ok(a == b),
            (Value::List(a), Value::List(b)) => {
                if a == b {
                    return Ok(true);
                }
                let (a, b) = (self.lists[*a].clone(), self.lists[*b].clone());
                self.all_equal(&a, &b)
            }
            (Value::Tuple(a), Value::Tuple(b)) => {
                let (a, b) = (self.tuples[*a].clone(), self.tuples[*b].clone());
                self.all_equal(&a, &b)
            }
            (Value::Set(a), Value::Set(b)) => {
                let (a, b) = (self.sets[*a].clone(), self.sets[*b].clone());
                if a.len() != b.len() {
                    return Ok(false);
                }
                for value in &a {
                    if !self.contains(&b, value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Range(..), Value::Range(..))
            | (Value::Function(_), Value::Function(_))
            | (Value::Iterator(_), Value::Iterator(_))
            | (Value::Builtin(_), Value::Builtin(_)) => {
                problem(format!("comparing a {} is not part of this language", left.kind()))
            }
            _ => Ok(false),
        }
    }

    fn all_equal(&mut self, a: &[Value], b: &[Value]) -> Outcome<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        self.tick(a.len())?;
        self.deeper(|m| {
            for (a, b) in a.iter().zip(b) {
                if !m.equal(a, b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// `<` and its like
    fn order(&mut self, left: &Value, right: &Value) -> Outcome<Ordering> {
        self.tick(1)?;
        if let (Some(a), Some(b)) = (number(left), number(right)) {
            return Ok(a.cmp(&b));
        }
        let (a, b): (Rc<[Value]>, Rc<[Value]>) = match (left, right) {
            (Value::Str(a), Value::Str(b)) => return Ok(a.cmp(b)),
            (Value::List(a), Value::List(b)) => {
                (self.lists[*a].clone().into(), self.lists[*b].clone().into())
            }
            (Value::Tuple(a), Value::Tuple(b)) => {
                (self.tuples[*a].clone(), self.tuples[*b].clone())
            }
            _ => {
                return problem(format!("a {} and a {} have no order", left.kind(), right.kind()));
            }
        };
        self.tick(a.len().min(b.len()))?;
        self.deeper(|m| {
            for (a, b) in a.iter().zip(b.iter()) {
                if !m.equal(a, b)? {
                    return m.order(a, b);
                }
            }
            Ok(a.len().cmp(&b.len()))
        })
    }

    fn truth(&self, value: &Value) -> bool {
        match value {
            Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Str(text) => !text.is_empty(),
            Value::List(id) => !self.lists[*id].is_empty(),
            Value::Tuple(id) => !self.tuples[*id].is_empty(),
            Value::Set(id) => !self.sets[*id].is_empty(),
            Value::Range(start, stop, step) => super::value::range_len(*start, *stop, *step) > 0,
            Value::Iterator(_) | Value::Function(_) | Value::Builtin(_) => true,
        }
    }

    // Parts

    fn index(&mut self, value: &Value, index: &Value) -> Outcome<Value> {
        match value {
            Value::List(id) => {
                let at = position(self.lists[*id].len(), index, "list")?;
                Ok(self.lists[*id][at].clone())
            }
            Value::Tuple(id) => {
                let at = position(self.tuples[*id].len(), index, "tuple")?;
                Ok(self.tuples[*id][at].clone())
            }
            Value::Str(text) => {
                self.tick(text.len())?;
                let at = position(text.chars().count(), index, "string")?;
                let letter = text.chars().nth(at).expect("the position was checked");
                self.string(letter.to_string())
            }
            other => problem(format!("a {} has no parts to index", other.kind())),
        }
    }

    fn slice(&mut self, value: &Expr, parts: &[Option<Expr>; 3], scope: usize) -> Outcome<Value> {
        let value = self.eval(value, scope)?;
        let mut bounds = [None; 3];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            if let Some(part) = part {
                *bound = match self.eval(part, scope)? {
                    Value::None => None,
                    number => Some(whole(&number, "a slice")?),
                };
            }
        }
        match &value {
            Value::List(id) => {
                let at = slice_positions(self.lists[*id].len(), bounds)?;
                self.tick(at.len())?;
                let part = at.iter().map(|&i| self.lists[*id][i].clone()).collect();
                self.list(part)
            }
            Value::Tuple(id) => {
                let at = slice_positions(self.tuples[*id].len(), bounds)?;
                self.tick(at.len())?;
                let part = at.iter().map(|&i| self.tuples[*id][i].clone()).collect();
                self.tuple(part)
            }
            Value::Str(text) => {
                self.tick(text.len())?;
                let letters: Vec<char> = text.chars().collect();
                let at = slice_positions(letters.len(), bounds)?;
                self.string(at.iter().map(|&i| letters[i]).collect())
            }
            other => problem(format!("a {} has no parts to slice", other.kind())),
        }
    }

    // Writing values

    /// As CPython's `repr`.
    pub fn repr(&mut self, value: &Value) -> Outcome<String> {
        let mut out = String::new();
        self.write(value, &mut out)?;
        Ok(out)
    }

    fn write(&mut self, value: &Value, out: &mut String) -> Outcome<()> {
        self.tick(1)?;
        match value {
            Value::None => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Str(text) => {
                self.charge(text.len())?;
                write_string(text, out);
            }
            Value::List(id) => {
                let values = self.lists[*id].clone();
                self.write_all("[", &values, "]", out)?;
            }
            Value::Tuple(id) => {
                let values = self.tuples[*id].clone();
                let end = if values.len() == 1 { ",)" } else { ")" };
                self.write_all("(", &values, end, out)?;
            }
            Value::Set(id) => {
                let values = self.sets[*id].clone();
                match values.len() {
                    0 => out.push_str("set()"),
                    1 => self.write_all("{", &values, "}", out)?,
                    _ => return problem("the order of a set is not defined; use sorted(...)"),
                }
            }
            Value::Range(start, stop, 1) => out.push_str(&format!("range({start}, {stop})")),
            Value::Range(start, stop, step) => {
                out.push_str(&format!("range({start}, {stop}, {step})"));
            }
            Value::Iterator(_) | Value::Function(_) | Value::Builtin(_) => {
                return problem(format!("a {} cannot be written out", value.kind()));
            }
        }
        Ok(())
    }

    fn write_all(
        &mut self,
        begin: &str,
        values: &[Value],
        end: &str,
        out: &mut String,
    ) -> Outcome<()> {
        self.charge(values.len())?;
        out.push_str(begin);
        self.deeper(|m| {
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                m.write(value, out)?;
            }
            Ok(())
        })?;
        out.push_str(end);
        Ok(())
    }
}

/// Says the innermost line once.
fn at_line(problem: Problem, line: usize) -> Problem {
    if problem.0.starts_with("line ") {
        problem
    } else {
        Problem::new(format!("line {line}: {}", problem.0))
    }
}

/// An int, or a bool as the int it is in Python.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn whole(value: &Value, what: &str) -> Outcome<i64> {
    number(value)
        .ok_or_else(|| Problem::new(format!("{what} needs an int, not a {}", value.kind())))
}

fn operator_mark(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::FloorDivide => "//",
        Operator::Modulo => "%",
        Operator::Power => "**",
    }
}

fn arithmetic(a: i64, operator: Operator, b: i64) -> Outcome<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::FloorDivide | Operator::Modulo if b == 0 => {
            return problem("division by zero");
        }
        // Python rounds down, Rust towards zero: they differ where a remainder has not the divisor's sign.
        Operator::FloorDivide => a.checked_div(b).map(|quotient| {
            let remainder = a - quotient * b;
            quotient - i64::from(remainder != 0 && (remainder < 0) != (b < 0))
        }),
        Operator::Modulo => a.checked_rem(b).or(Some(0)).map(|remainder| {
            if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder }
        }),
        Operator::Power if b < 0 => {
            return problem("a negative power makes a fraction, which this language lacks");
        }
        Operator::Power => match (a, u32::try_from(b)) {
            (0 | 1, Err(_)) => Some(a),
            (-1, Err(_)) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (_, Ok(exponent)) => a.checked_pow(exponent),
            (_, Err(_)) => None,
        },
    }
    .ok_or_else(overflow)
}

/// The place that `index` names in something of length `len`.
fn position(len: usize, index: &Value, what: &str) -> Outcome<usize> {
    let index = whole(index, "an index")?;
    let at = if index < 0 { index.saturating_add(len as i64) } else { index };
    match usize::try_from(at) {
        Ok(at) if at < len => Ok(at),
        _ => problem(format!("index {index} is outside a {what} of length {len}")),
    }
}

/// The places that `[start:stop:step]` names, by CPython's rules.
fn slice_positions(len: usize, [start, stop, step]: [Option<i64>; 3]) -> Outcome<Vec<usize>> {
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
    let mut positions = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        positions.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(positions)
}

fn write_string(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}
