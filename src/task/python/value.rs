//! Values, and where they are kept.

use super::parse::Code;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A value. What can be changed or can contain itself lives in the machine's tables and is named by its number, so that no
/// program can build something that is never freed or too deep to free.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Str(Rc<str>),
    List(usize),
    Tuple(usize),
    Set(usize),
    Iterator(usize),
    /// start, stop, step
    Range(i64, i64, i64),
    Function(usize),
    Builtin(Builtin),
}

/// A function of the program, with the scope it was made in.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub code: Rc<Code>,
    pub scope: usize,
}

/// The names of one call, of one comprehension, or of the program.
#[derive(Debug)]
pub(super) struct Scope {
    pub names: HashMap<Rc<str>, Value>,
    /// Names that belong here even before they have a value; `None` at the top, where every name may.
    pub locals: Option<BTreeSet<Rc<str>>>,
    pub parent: Option<usize>,
}

/// A place in something that is gone through value by value.
#[derive(Debug, Clone)]
pub(super) enum Cursor {
    /// A list as it is at each moment, as in CPython.
    List(usize, usize),
    /// Backwards through a list; the number of values left.
    Reversed(usize, usize),
    Values(Rc<[Value]>, usize),
    /// next, stop, step
    Range(i64, i64, i64),
    Iterator(usize),
}

/// An iterator, which is used up as it is gone through.
#[derive(Debug)]
pub(super) enum Iterator {
    Over(Cursor),
    Enumerate(Cursor, i64),
    Zip(Vec<Cursor>),
    Map(Value, Vec<Cursor>),
    /// The function is `None` in `filter(None, xs)`.
    Filter(Value, Cursor),
    /// Taken out while it makes its next value.
    Busy,
}

/// The functions that are there from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    Abs,
    All,
    Any,
    Bool,
    Enumerate,
    Filter,
    Int,
    Len,
    List,
    Map,
    Max,
    Min,
    Range,
    Reversed,
    Set,
    Sorted,
    Str,
    Sum,
    Tuple,
    Zip,
}

pub(super) const BUILTINS: [(&str, Builtin); 20] = [
    ("abs", Builtin::Abs),
    ("all", Builtin::All),
    ("any", Builtin::Any),
    ("bool", Builtin::Bool),
    ("enumerate", Builtin::Enumerate),
    ("filter", Builtin::Filter),
    ("int", Builtin::Int),
    ("len", Builtin::Len),
    ("list", Builtin::List),
    ("map", Builtin::Map),
    ("max", Builtin::Max),
    ("min", Builtin::Min),
    ("range", Builtin::Range),
    ("reversed", Builtin::Reversed),
    ("set", Builtin::Set),
    ("sorted", Builtin::Sorted),
    ("str", Builtin::Str),
    ("sum", Builtin::Sum),
    ("tuple", Builtin::Tuple),
    ("zip", Builtin::Zip),
];

impl Builtin {
    pub fn name(self) -> &'static str {
        BUILTINS.iter().find(|(_, builtin)| *builtin == self).map_or("", |(name, _)| name)
    }
}

impl Value {
    /// The type's name as CPython writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Iterator(_) => "iterator",
            Self::Range(..) => "range",
            Self::Function(_) => "function",
            Self::Builtin(_) => "built-in function",
        }
    }
}

/// Number of values of `range(start, stop, step)`, `step` not 0.
pub(super) fn range_len(start: i64, stop: i64, step: i64) -> usize {
    let (distance, step) = if step > 0 {
        (i128::from(stop) - i128::from(start), i128::from(step))
    } else {
        (i128::from(start) - i128::from(stop), -i128::from(step))
    };
    let count = (distance.max(0) + step - 1) / step;
    usize::try_from(count).unwrap_or(usize::MAX)
}
