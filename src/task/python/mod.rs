//! A small Python-like language, in which a model's code is graded without trusting it.
//!
//! This is the lab's own language, not CPython. **What it accepts means what it means in CPython; what CPython accepts beyond it
//! is an error here.** It has functions, loops, comprehensions, lambdas, whole numbers, strings, lists, tuples and sets, and the
//! built-in functions of [`evaluate`]. It has no imports, classes, exceptions, dictionaries, fractions, files or printing, so code
//! can neither reach the outside nor leave early: all it can do is give a value or an error.
//!
//! Nothing hangs and nothing grows without end. A program may take [`MAX_STEPS`] steps, make [`MAX_CELLS`] list entries and
//! characters, and nest [`MAX_DEPTH`] evaluations; numbers beyond 64 bits are an error. The order of a set is no value
//! a program can see (CPython does not define it), and a generator expression is evaluated at once and may not change a list.
//!
//! ```
//! use unforget::task::python::Program;
//! let program = Program::parse("def f(xs):\n    return sum(x * 2 for x in xs if x > 0)").unwrap();
//! assert_eq!(program.evaluate("f([1, -5, 3])").unwrap(), "8");
//! assert!(program.evaluate("f(None)").is_err());
//! ```

pub mod evaluate;
mod lex;
mod parse;
mod value;

pub use evaluate::{MAX_CELLS, MAX_DEPTH, MAX_STEPS};

#[cfg(test)]
mod tests;

use evaluate::Machine;
use parse::Statement;
use std::rc::Rc;

/// Why a program has no value, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub(crate) String);

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

pub(crate) type Outcome<T> = std::result::Result<T, Problem>;

/// A program that was read and can be run.
#[derive(Debug, Clone)]
pub struct Program {
    body: Rc<[Statement]>,
}

impl Program {
    /// Longest program that is read, in bytes.
    pub const MAX_BYTES: usize = 8_000;

    /// Reads a program.
    ///
    /// # Errors
    /// Says at which line the text leaves the language.
    pub fn parse(source: &str) -> Outcome<Self> {
        if source.len() > Self::MAX_BYTES {
            return Err(Problem::new(format!(
                "the program is longer than {} bytes",
                Self::MAX_BYTES
            )));
        }
        let body = parse::program(&lex::tokens(source)?)?;
        Ok(Self { body: body.into() })
    }

    /// Runs the program, then the one `expression`, and returns its value as CPython's `repr` writes it.
    ///
    /// # Errors
    /// Says what went wrong first, or which limit was reached.
    pub fn evaluate(&self, expression: &str) -> Outcome<String> {
        let mut machine = self.run()?;
        let value = machine.expression(&Self::expression(expression)?)?;
        machine.repr(&value)
    }

    /// Runs the program, then `call`: whether its value equals that of `expected`, and the value as `repr` writes it.
    ///
    /// # Errors
    /// As for [`Program::evaluate`].
    pub fn gives(&self, call: &str, expected: &str) -> Outcome<(bool, String)> {
        let mut machine = self.run()?;
        let value = machine.expression(&Self::expression(call)?)?;
        // The expected value is made on a machine of its own, which the program cannot have changed.
        let expected = Program { body: Rc::from([]) }.evaluate(expected)?;
        let expected = Self::expression(&expected)?;
        let expected = machine.constant(&expected)?;
        Ok((machine.equal(&value, &expected)?, machine.repr(&value)?))
    }

    fn run(&self) -> Outcome<Machine> {
        let mut machine = Machine::new();
        machine.program(&self.body)?;
        Ok(machine)
    }

    fn expression(source: &str) -> Outcome<parse::Expr> {
        parse::single_expression(&lex::tokens(source.trim_start())?)
    }
}
