//! The built-in functions and the methods of values.

use super::super::value::{Builtin, Cursor, Iterator, Value, range_len};
use super::{Machine, Outcome, Problem, number, overflow, position, problem, whole};
use std::cmp::Ordering;
use std::rc::Rc;

type Named = Vec<(Rc<str>, Value)>;

impl Machine {
    pub(super) fn call_builtin(
        &mut self,
        builtin: Builtin,
        arguments: Vec<Value>,
        mut named: Named,
    ) -> Outcome<Value> {
        let name = builtin.name();
        match builtin {
            Builtin::Max | Builtin::Min => {
                let key = take(&mut named, "key");
                none_left(name, &named)?;
                return self.extreme(builtin, arguments, key);
            }
            Builtin::Sorted => {
                let key = take(&mut named, "key");
                let reverse = take(&mut named, "reverse");
                none_left(name, &named)?;
                let [values] = exactly(name, arguments)?;
                if matches!(values, Value::Set(_)) && key.is_some() {
                    return problem("sorted(a set, key=...) may depend on the set's order");
                }
                let values = self.values_in_any_order(&values)?;
                let sorted = self.sort(values, key, reverse)?;
                return self.list(sorted);
            }
            Builtin::Enumerate => {
                let start = take(&mut named, "start");
                none_left(name, &named)?;
                let (over, start) = match (<[Value; 2]>::try_from(arguments), start) {
                    (Ok([over, start]), None) => (over, start),
                    (Err(rest), start) => {
                        let [over] = exactly(name, rest)?;
                        (over, start.unwrap_or(Value::Int(0)))
                    }
                    (Ok(_), Some(_)) => return problem("enumerate is given its start twice"),
                };
                let start = whole(&start, "enumerate's start")?;
                let cursor = self.cursor(&over)?;
                return self.iterator(Iterator::Enumerate(cursor, start));
            }
            _ => none_left(name, &named)?,
        }
        match builtin {
            Builtin::Abs => {
                let [value] = exactly(name, arguments)?;
                let value = whole(&value, name)?;
                Ok(Value::Int(value.checked_abs().ok_or_else(overflow)?))
            }
            Builtin::All | Builtin::Any => {
                let [values] = exactly(name, arguments)?;
                self.any_or_all(&values, builtin == Builtin::Any)
            }
            Builtin::Bool => {
                let value = at_most_one(name, arguments)?;
                Ok(Value::Bool(value.is_some_and(|value| self.truth(&value))))
            }
            Builtin::Filter => {
                let [function, values] = exactly(name, arguments)?;
                let cursor = self.cursor(&values)?;
                self.iterator(Iterator::Filter(function, cursor))
            }
            Builtin::Int => self.int_of(at_most_one(name, arguments)?),
            Builtin::Len => {
                let [value] = exactly(name, arguments)?;
                self.len(&value)
            }
            Builtin::List | Builtin::Tuple => {
                let values = match at_most_one(name, arguments)? {
                    Some(values) => self.values(&values)?,
                    None => vec![],
                };
                if builtin == Builtin::List { self.list(values) } else { self.tuple(values) }
            }
            Builtin::Map => {
                if arguments.len() < 2 {
                    return problem("map needs a function and something to go through");
                }
                let function = arguments[0].clone();
                let cursors = self.cursors(&arguments[1..])?;
                self.iterator(Iterator::Map(function, cursors))
            }
            Builtin::Range => range(&arguments),
            Builtin::Reversed => {
                let [values] = exactly(name, arguments)?;
                let cursor = match &values {
                    Value::List(id) => Cursor::Reversed(*id, self.lists[*id].len()),
                    Value::Iterator(_) | Value::Set(_) => {
                        return problem(format!("a {} cannot be reversed", values.kind()));
                    }
                    other => {
                        let mut values = self.values(other)?;
                        values.reverse();
                        Cursor::Values(values.into(), 0)
                    }
                };
                self.iterator(Iterator::Over(cursor))
            }
            Builtin::Set => {
                let values = match at_most_one(name, arguments)? {
                    Some(values) => self.values_in_any_order(&values)?,
                    None => vec![],
                };
                self.set(values)
            }
            Builtin::Str => match at_most_one(name, arguments)? {
                None => self.string(String::new()),
                Some(text @ Value::Str(_)) => Ok(text),
                Some(value) => {
                    let text = self.repr(&value)?;
                    self.string(text)
                }
            },
            Builtin::Sum => self.sum(arguments),
            Builtin::Zip => {
                let cursors = self.cursors(&arguments)?;
                self.iterator(Iterator::Zip(cursors))
            }
            Builtin::Max | Builtin::Min | Builtin::Sorted | Builtin::Enumerate => {
                unreachable!("handled above, with their named arguments")
            }
        }
    }

    fn cursors(&mut self, values: &[Value]) -> Outcome<Vec<Cursor>> {
        values.iter().map(|value| self.cursor(value)).collect()
    }

    fn any_or_all(&mut self, values: &Value, any: bool) -> Outcome<Value> {
        if matches!(values, Value::Set(_)) {
            let values = self.values_in_any_order(values)?;
            let found = values.iter().any(|value| self.truth(value) == any);
            return Ok(Value::Bool(found == any));
        }
        let mut cursor = self.cursor(values)?;
        while let Some(value) = self.advance(&mut cursor)? {
            if self.truth(&value) == any {
                return Ok(Value::Bool(any));
            }
        }
        Ok(Value::Bool(!any))
    }

    fn len(&self, value: &Value) -> Outcome<Value> {
        let len = match value {
            Value::Str(text) => text.chars().count(),
            Value::List(id) => self.lists[*id].len(),
            Value::Tuple(id) => self.tuples[*id].len(),
            Value::Set(id) => self.sets[*id].len(),
            Value::Range(start, stop, step) => range_len(*start, *stop, *step),
            other => return problem(format!("a {} has no length", other.kind())),
        };
        i64::try_from(len).map(Value::Int).map_err(|_| overflow())
    }

    fn int_of(&mut self, value: Option<Value>) -> Outcome<Value> {
        match value {
            None => Ok(Value::Int(0)),
            Some(Value::Str(text)) => {
                let digits = text.trim();
                let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
                if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
                    return problem(format!("int() cannot read {text:?}"));
                }
                digits.parse().map(Value::Int).map_err(|_| overflow())
            }
            Some(value) => Ok(Value::Int(whole(&value, "int()")?)),
        }
    }

    fn sum(&mut self, arguments: Vec<Value>) -> Outcome<Value> {
        let (values, mut total) = match <[Value; 2]>::try_from(arguments) {
            Ok([values, start]) => (values, start),
            Err(rest) => {
                let [values] = exactly("sum", rest)?;
                (values, Value::Int(0))
            }
        };
        if matches!(total, Value::Str(_)) {
            return problem("sum() does not add strings; use ''.join(...)");
        }
        if number(&total).is_none() && matches!(values, Value::Set(_)) {
            return problem("the order of a set is not defined; use sorted(...)");
        }
        for value in self.values_in_any_order(&values)? {
            total = self.binary(&total, super::super::parse::Operator::Add, &value)?;
        }
        Ok(total)
    }

    fn extreme(
        &mut self,
        builtin: Builtin,
        mut arguments: Vec<Value>,
        key: Option<Value>,
    ) -> Outcome<Value> {
        let name = builtin.name();
        let values = match arguments.len() {
            0 => return problem(format!("{name} needs a value")),
            1 => {
                let values = arguments.swap_remove(0);
                if matches!(values, Value::Set(_)) && key.is_some() {
                    return problem(format!("{name}(a set, key=...) may depend on its order"));
                }
                self.values_in_any_order(&values)?
            }
            _ => arguments,
        };
        let wanted = if builtin == Builtin::Max { Ordering::Greater } else { Ordering::Less };
        let mut best: Option<(Value, Value)> = None;
        for value in values {
            let rank = self.key_of(&key, &value)?;
            let better = match &best {
                None => true,
                Some((_, other)) => self.order(&rank, &other.clone())? == wanted,
            };
            if better {
                best = Some((value, rank));
            }
        }
        best.map_or_else(|| problem(format!("{name} of nothing")), |(value, _)| Ok(value))
    }

    fn key_of(&mut self, key: &Option<Value>, value: &Value) -> Outcome<Value> {
        match key {
            None | Some(Value::None) => Ok(value.clone()),
            Some(function) => self.call(function, vec![value.clone()], vec![]),
        }
    }

    /// Sorts stably; with `reverse`, equal values keep their order too, as in CPython.
    fn sort(
        &mut self,
        values: Vec<Value>,
        key: Option<Value>,
        reverse: Option<Value>,
    ) -> Outcome<Vec<Value>> {
        let reverse = match reverse {
            None => false,
            Some(value) => whole(&value, "reverse=")? != 0,
        };
        self.charge(values.len())?;
        let mut keyed = Vec::with_capacity(values.len());
        for value in values {
            keyed.push((self.key_of(&key, &value)?, value));
        }
        if reverse {
            keyed.reverse();
        }
        let mut sorted = self.merge_sort(keyed)?;
        if reverse {
            sorted.reverse();
        }
        Ok(sorted.into_iter().map(|(_, value)| value).collect())
    }

    /// A merge sort of our own because a comparison can fail, which the standard library's sorts do not allow.
    fn merge_sort(&mut self, mut left: Vec<(Value, Value)>) -> Outcome<Vec<(Value, Value)>> {
        if left.len() < 2 {
            return Ok(left);
        }
        let right = left.split_off(left.len() / 2);
        let left = self.merge_sort(left)?;
        let right = self.merge_sort(right)?;
        let mut out = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
            let first =
                if self.order(b, a)? == Ordering::Less { right.next() } else { left.next() };
            out.extend(first);
        }
        out.extend(left);
        out.extend(right);
        Ok(out)
    }

    pub(super) fn call_method(
        &mut self,
        object: &Value,
        name: &str,
        arguments: Vec<Value>,
        named: Named,
    ) -> Outcome<Value> {
        self.tick(1)?;
        match object {
            Value::List(id) => self.list_method(*id, name, arguments, named),
            Value::Str(text) => {
                none_left(name, &named)?;
                self.string_method(text, name, arguments)
            }
            Value::Set(id) if name == "add" => {
                none_left(name, &named)?;
                self.may_change()?;
                let [value] = exactly(name, arguments)?;
                let mut values = std::mem::take(&mut self.sets[*id]);
                let result = self.add_to(&mut values, value);
                self.sets[*id] = values;
                result.map(|()| Value::None)
            }
            Value::Tuple(id) if name == "index" || name == "count" => {
                none_left(name, &named)?;
                let values = self.tuples[*id].to_vec();
                let [value] = exactly(name, arguments)?;
                self.index_or_count(&values, name, &value)
            }
            other => problem(format!("a {} has no method `{name}` in this language", other.kind())),
        }
    }

    fn list_method(
        &mut self,
        id: usize,
        name: &str,
        arguments: Vec<Value>,
        mut named: Named,
    ) -> Outcome<Value> {
        if name == "sort" {
            let key = take(&mut named, "key");
            let reverse = take(&mut named, "reverse");
            none_left(name, &named)?;
            let [] = exactly(name, arguments)?;
            self.may_change()?;
            // While it is being sorted, a list of CPython is empty, and whoever changes it gets an error.
            let values = std::mem::take(&mut self.lists[id]);
            let before = values.clone();
            let sorted = self.sort(values, key, reverse);
            if !self.lists[id].is_empty() {
                return problem("a list was changed while it was being sorted");
            }
            self.lists[id] = before;
            self.lists[id] = sorted?;
            return Ok(Value::None);
        }
        none_left(name, &named)?;
        match name {
            "index" | "count" => {
                let [value] = exactly(name, arguments)?;
                let values = self.lists[id].clone();
                return self.index_or_count(&values, name, &value);
            }
            "copy" => {
                let [] = exactly(name, arguments)?;
                let values = self.lists[id].clone();
                return self.list(values);
            }
            _ => self.may_change()?,
        }
        match name {
            "append" => {
                let [value] = exactly(name, arguments)?;
                self.charge(1)?;
                self.lists[id].push(value);
            }
            "extend" => {
                let [values] = exactly(name, arguments)?;
                let values = self.values(&values)?;
                self.charge(values.len())?;
                self.lists[id].extend(values);
            }
            "insert" => {
                let [at, value] = exactly(name, arguments)?;
                let at = whole(&at, name)?;
                let len = self.lists[id].len() as i64;
                let at = if at < 0 { at.saturating_add(len) } else { at };
                self.charge(1)?;
                self.tick(self.lists[id].len())?;
                self.lists[id].insert(at.clamp(0, len) as usize, value);
            }
            "pop" => {
                let at = at_most_one(name, arguments)?.unwrap_or(Value::Int(-1));
                if self.lists[id].is_empty() {
                    return problem("pop from an empty list");
                }
                let at = position(self.lists[id].len(), &at, "list")?;
                self.tick(self.lists[id].len() - at)?;
                return Ok(self.lists[id].remove(at));
            }
            "remove" => {
                let [value] = exactly(name, arguments)?;
                let values = self.lists[id].clone();
                let Value::Int(at) = self.index_or_count(&values, "index", &value)? else {
                    unreachable!("an index is an int")
                };
                self.lists[id].remove(at as usize);
            }
            "reverse" => {
                let [] = exactly(name, arguments)?;
                self.tick(self.lists[id].len())?;
                self.lists[id].reverse();
            }
            "clear" => {
                let [] = exactly(name, arguments)?;
                self.lists[id].clear();
            }
            _ => return problem(format!("a list has no method `{name}` in this language")),
        }
        Ok(Value::None)
    }

    fn index_or_count(&mut self, values: &[Value], name: &str, wanted: &Value) -> Outcome<Value> {
        let mut count = 0;
        for (at, value) in values.iter().enumerate() {
            if self.equal(value, wanted)? {
                if name == "index" {
                    return Ok(Value::Int(at as i64));
                }
                count += 1;
            }
        }
        if name == "index" {
            return problem("the value is not in the list");
        }
        Ok(Value::Int(count))
    }

    fn string_method(
        &mut self,
        text: &Rc<str>,
        name: &str,
        arguments: Vec<Value>,
    ) -> Outcome<Value> {
        self.tick(text.len())?;
        match name {
            "upper" | "lower" => {
                let [] = exactly(name, arguments)?;
                if !text.is_ascii() {
                    return problem("letters beyond ASCII are not part of this language");
                }
                self.string(if name == "upper" {
                    text.to_ascii_uppercase()
                } else {
                    text.to_ascii_lowercase()
                })
            }
            "join" => {
                let [values] = exactly(name, arguments)?;
                let mut out = String::new();
                for (at, value) in self.values(&values)?.iter().enumerate() {
                    let Value::Str(part) = value else {
                        return problem(format!("join() joins strings, not a {}", value.kind()));
                    };
                    self.charge(text.len() + part.len())?;
                    if at > 0 {
                        out.push_str(text);
                    }
                    out.push_str(part);
                }
                self.string(out)
            }
            "split" => {
                let parts: Vec<String> = match at_most_one(name, arguments)? {
                    None | Some(Value::None) => {
                        text.split_whitespace().map(str::to_owned).collect()
                    }
                    Some(Value::Str(at)) if !at.is_empty() => {
                        text.split(&*at).map(str::to_owned).collect()
                    }
                    Some(_) => return problem("split() needs a string that is not empty"),
                };
                self.charge(text.len())?;
                let parts =
                    parts.into_iter().map(|part| self.string(part)).collect::<Outcome<_>>()?;
                self.list(parts)
            }
            _ => problem(format!("a string has no method `{name}` in this language")),
        }
    }
}

fn range(arguments: &[Value]) -> Outcome<Value> {
    let numbers =
        arguments.iter().map(|value| whole(value, "range")).collect::<Outcome<Vec<_>>>()?;
    match numbers[..] {
        [stop] => Ok(Value::Range(0, stop, 1)),
        [start, stop] => Ok(Value::Range(start, stop, 1)),
        [_, _, 0] => problem("range cannot have step 0"),
        [start, stop, step] => Ok(Value::Range(start, stop, step)),
        _ => problem("range takes one to three numbers"),
    }
}

fn exactly<const N: usize>(name: &str, arguments: Vec<Value>) -> Outcome<[Value; N]> {
    let given = arguments.len();
    arguments
        .try_into()
        .map_err(|_| Problem::new(format!("{name} takes {N} values, {given} given")))
}

fn at_most_one(name: &str, mut arguments: Vec<Value>) -> Outcome<Option<Value>> {
    if arguments.len() > 1 {
        return problem(format!("{name} takes one value, {} given", arguments.len()));
    }
    Ok(arguments.pop())
}

fn take(named: &mut Named, name: &str) -> Option<Value> {
    let at = named.iter().position(|(other, _)| **other == *name)?;
    Some(named.remove(at).1)
}

fn none_left(name: &str, named: &Named) -> Outcome<()> {
    match named.first() {
        None => Ok(()),
        Some((other, _)) => problem(format!("{name} has no `{other}=` in this language")),
    }
}
