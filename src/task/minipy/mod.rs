//! minipy: the small part of Python in which the lab's *code* task is written and graded.
//!
//! **What minipy accepts means what it means in CPython; what CPython accepts beyond it is an error here**, and the error says so.
//! A program can neither reach the outside nor hang: all it can do is give a value or an error. Code that needs more of Python is
//! a [`Check::Python`](super::Check::Python), which CPython itself runs.
//!
//! This is the whole of it:
//!
//! | | |
//! |---|---|
//! | values | whole numbers of 64 bits, `True`, `False`, `None`, lists, functions, what `map` and `filter` return |
//! | statements | `def`, `return`, `for name in`, `if`/`elif`/`else`, `name = value`, `pass`, an expression, `# comment` |
//! | expressions | `a if c else b`, `lambda`, `or`, `and`, `not`, one of `== != < <= > >=`, `+ - * %` of numbers, calls, brackets |
//! | of lists | `[1, 2]`, `[value for name in list if condition]`, `xs[i]`, `xs[start:stop:step]`, `==` |
//! | functions | `abs filter len list map max min sorted sum`, each of one number or list; `sorted` also with `reverse=` |
//! | methods of lists | `append`, `reverse`, `sort`, which also takes `reverse=` |
//!
//! A program may take [`MAX_STEPS`] steps, of which each entry of a list that it makes is one, and nest [`MAX_DEPTH`] evaluations.
//!
//! ```
//! use unforget::task::minipy::Program;
//! let program = Program::parse("def f(xs):\n    return sum([x * 2 for x in xs if x > 0])").unwrap();
//! assert_eq!(program.evaluate("f([1, -5, 3])").unwrap(), "8");
//! assert!(program.evaluate("f(None)").is_err());
//! ```

mod lex;
mod parse;
mod run;

pub use run::{MAX_DEPTH, MAX_STEPS};

#[cfg(test)]
mod tests;

/// Why a program has no value, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(String);

type Outcome<T> = std::result::Result<T, Problem>;

fn problem<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Problem(text.into()))
}

/// A program that was read and can be run.
#[derive(Debug, Clone)]
pub struct Program {
    body: Vec<parse::Statement>,
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
            return problem(format!("the program is longer than {} bytes", Self::MAX_BYTES));
        }
        Ok(Self { body: parse::program(&lex::tokens(source)?)? })
    }

    /// Runs the program, then the one `expression`, and returns its value as CPython's `repr` writes it.
    ///
    /// # Errors
    /// Says what went wrong first, or which limit was reached.
    pub fn evaluate(&self, expression: &str) -> Outcome<String> {
        self.gives(expression, "None").map(|(_, value)| value)
    }

    /// Runs the program, then `call`: whether its value equals that of `expected`, and the value as `repr` writes it.
    ///
    /// # Errors
    /// As for [`Program::evaluate`].
    pub fn gives(&self, call: &str, expected: &str) -> Outcome<(bool, String)> {
        let [call, expected] =
            [call, expected].map(|source| parse::expression(&lex::tokens(source.trim_start())?));
        let (call, expected) = (call?, expected?);
        let mut machine = run::Machine::new();
        // The expected value is made first: nothing that the program defines can change it.
        let expected = machine.expression(&expected)?;
        machine.program(&self.body)?;
        let value = machine.expression(&call)?;
        let written = machine.repr(value)?;
        Ok((machine.equal(value, expected)?, written))
    }
}
