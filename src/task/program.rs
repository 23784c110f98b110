//! Grading Python by running it, confined: see [`crate::sandbox`].

use super::Found;
use crate::error::Result;
use crate::sandbox::{Job, Limits, Outcome, Python, Verdict};
use serde::{Deserialize, Serialize};

/// How the code is found in an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extraction {
    /// As the paper's code evaluates: the first fenced block, which two back-ticks end already; a first line `python` is dropped;
    /// without a block the whole answer is run.
    #[default]
    Paper,
    /// As the paper's code labels sampled answers: the same, but a first line `python` stays and fails.
    Labels,
    /// The last fenced block that defines what the tests call (all that define a part of it, if none defines all); a block that is not
    /// closed counts; without a block the lines that look like code.
    Better,
    /// Everything before `[DONE]`, as lm-evaluation-harness has it for MBPP.
    Done,
    /// The answer goes on where the prompt ends and stops before the next top-level `class`, `def`, `#`, `if` or `print`, as
    /// lm-evaluation-harness has it for HumanEval.
    Continuation,
}

/// The parts of a [`super::Check::Python`].
pub(super) struct Program<'a> {
    pub tests: &'a [String],
    pub before: &'a [String],
    pub prefix: &'a str,
    pub own: &'a [String],
    pub extraction: Extraction,
}

impl Program<'_> {
    pub fn grade(&self, answer: &str) -> Result<Found> {
        let code = self.extraction.code(answer, self.own);
        let fenced = code.is_some();
        let first = code.unwrap_or_else(|| match self.extraction {
            Extraction::Better => String::new(),
            _ => answer.trim_end().to_string(),
        });
        let verdict = self.run(&self.source(&first, self.extraction))?;
        if verdict.outcome == Outcome::Passed {
            return Ok(Found {
                extracted: Some(first),
                right: true,
                skill: true,
                why: format!("The code runs, and {}.", verdict.why),
            });
        }
        let mut tried = vec![self.source(first.trim_matches('\n').trim_end(), self.extraction)];
        let mut skill = false;
        for other in [Extraction::Better, Extraction::Paper] {
            let Some(code) = other.code(answer, self.own) else {
                continue;
            };
            // The extractions mostly differ in empty lines around the code, which is not worth a second run.
            let source = self.source(code.trim_matches('\n').trim_end(), other);
            if !skill && !tried.contains(&source) {
                skill = self.run(&source)?.outcome == Outcome::Passed;
                tried.push(source);
            }
        }
        let aside = if skill { " Code elsewhere in the text passes all tests." } else { "" };
        // What is not fenced was meant as code only if Python can read it.
        let found = fenced || verdict.outcome != Outcome::Unreadable;
        Ok(Found {
            extracted: (found && !first.trim().is_empty()).then_some(first),
            right: false,
            skill,
            why: match verdict.outcome {
                Outcome::Unreadable if !fenced => {
                    format!("There is no block of code, and the text is no Python.{aside}")
                }
                Outcome::Unreadable => format!("The code is no Python: {}.{aside}", verdict.why),
                Outcome::Ended => {
                    format!("The code left before its tests were done: {}.{aside}", verdict.why)
                }
                Outcome::TimedOut => format!("The code takes too long: {}.{aside}", verdict.why),
                _ => format!("The code is wrong: {}.{aside}", verdict.why),
            },
        })
    }

    fn source(&self, code: &str, extraction: Extraction) -> String {
        match extraction {
            Extraction::Continuation => format!("{}{code}", self.prefix),
            _ if self.prefix.is_empty() => code.to_string(),
            _ => format!("{}\n{code}", self.prefix),
        }
    }

    fn run(&self, source: &str) -> Result<Verdict> {
        let job = Job {
            solution: source.to_string(),
            before: self.before.to_vec(),
            tests: self.tests.to_vec(),
            own: self.own.to_vec(),
            packages: self.tests.iter().any(|test| test.contains("import numpy")),
        };
        Python::find()?.check(&job, &Limits::default())
    }
}

impl Extraction {
    /// The code in `answer`, if there is a place for it; `own` are the names that the tests take from it.
    pub fn code(self, answer: &str, own: &[String]) -> Option<String> {
        match self {
            Self::Paper => first_block(answer).map(|code| {
                let rest = code.trim_start();
                match rest.split_once('\n') {
                    Some((line, rest)) if line.trim_end() == "python" => rest.to_string(),
                    _ => code,
                }
            }),
            Self::Labels => first_block(answer),
            Self::Better => best_block(answer, own).or_else(|| loose_code(answer)),
            Self::Done => Some(until(answer, &["[DONE]"])),
            Self::Continuation => {
                Some(until(answer, &["\nclass", "\ndef", "\n#", "\nif", "\nprint"]))
            }
        }
    }
}

fn until(answer: &str, stops: &[&str]) -> String {
    let end = stops.iter().filter_map(|stop| answer.find(stop)).min();
    answer[..end.unwrap_or(answer.len())].to_string()
}

/// What the paper's code takes for the block: from three back-ticks, with `python` behind them or not, to the next two.
fn first_block(answer: &str) -> Option<String> {
    let from = &answer[answer.find("```")? + 3..];
    let from = from.strip_prefix("python").unwrap_or(from);
    let code = &from[..from.find("``")?];
    Some(code.trim_end().to_string())
}

/// See [`Extraction::Better`].
fn best_block(answer: &str, own: &[String]) -> Option<String> {
    let blocks = blocks(answer);
    let defined = |code: &str| own.iter().filter(|name| defines(code, name)).count();
    let last = blocks.iter().rev().find(|code| defined(code) > 0);
    match last {
        Some(code) if defined(code) == own.len() => Some(code.clone()),
        Some(_) => {
            let parts: Vec<&str> =
                blocks.iter().filter(|code| defined(code) > 0).map(String::as_str).collect();
            Some(parts.join("\n"))
        }
        None => blocks.into_iter().next(),
    }
}

/// The fenced blocks that may be Python, less their common indentation. The last one need not be closed.
fn blocks(answer: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, Vec<&str>)> = None;
    for line in answer.lines() {
        let Some(mark) = line.trim_start().strip_prefix("```") else {
            if let Some((_, lines)) = &mut open {
                lines.push(line);
            }
            continue;
        };
        match open.take() {
            Some((wanted, lines)) => {
                if wanted {
                    blocks.push(dedent(&lines));
                }
            }
            None => {
                let tag = mark.trim().trim_matches('`').to_ascii_lowercase();
                let wanted = ["", "python", "python3", "py"].contains(&tag.as_str());
                open = Some((wanted, Vec::new()));
            }
        }
    }
    if let Some((true, lines)) = open {
        blocks.push(dedent(&lines));
    }
    blocks.retain(|code| !code.trim().is_empty());
    blocks
}

fn dedent(lines: &[&str]) -> String {
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start_matches(' ').len())
        .min()
        .unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    lines.join("\n")
}

/// Whether a line of `code` at its outermost level defines `name`.
pub(crate) fn defines(code: &str, name: &str) -> bool {
    defined_names(code).any(|defined| defined == name)
}

/// The names that `code` defines at its outermost level: functions, classes and values.
pub(crate) fn defined_names(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        let word = |text: &str| text.find(|c| !part_of_name(c)).unwrap_or(text.len());
        let rest = line.strip_prefix("async ").unwrap_or(line);
        for key in ["def ", "class "] {
            if let Some(rest) = rest.strip_prefix(key) {
                let rest = rest.trim_start();
                return Some(&rest[..word(rest)]);
            }
        }
        let name = &line[..word(line)];
        let after = line[name.len()..].trim_start();
        (!name.is_empty() && after.starts_with('=') && !after.starts_with("==")).then_some(name)
    })
}

/// The lines of an answer without fences that look like code: from the first definition or import on, as long as lines are
/// indented, empty or begin like code.
fn loose_code(answer: &str) -> Option<String> {
    const STARTS: [&str; 8] =
        ["def ", "class ", "import ", "from ", "@", "async def ", "#", "if __name__"];
    let begins = |line: &str| {
        STARTS.iter().any(|start| line.starts_with(start)) || defined_names(line).next().is_some()
    };
    let lines: Vec<&str> = answer.lines().collect();
    let first = lines.iter().position(|line| begins(line))?;
    let code: Vec<&str> = lines[first..]
        .iter()
        .take_while(|line| {
            line.trim().is_empty() || line.starts_with([' ', '\t', ')', ']', '}']) || begins(line)
        })
        .copied()
        .collect();
    Some(code.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(extraction: Extraction, answer: &str, expected: Option<&str>) {
        let own = ["f".to_string()];
        assert_eq!(
            extraction.code(answer, &own).as_deref(),
            expected,
            "{extraction:?} of {answer:?}"
        );
    }

    #[test]
    fn the_papers_block_is_the_first_and_ends_at_two_back_ticks() {
        use Extraction::Paper;
        check(Paper, "So:\n```python\nf = 1\n```\nor\n```\ng\n```", Some("\nf = 1"));
        check(Paper, "```\nf = 1 \n\n```", Some("\nf = 1"));
        check(Paper, "```python\nf = '``'\n```", Some("\nf = '"));
        check(Paper, "```python\nf = 1", None);
        check(Paper, "f = 1", None);
        check(Paper, "``` \npython\nf = 1\n```", Some("f = 1"));
        check(Extraction::Labels, "``` \npython\nf = 1\n```", Some(" \npython\nf = 1"));
    }

    #[test]
    fn the_better_block_is_the_last_that_defines_the_name() {
        use Extraction::Better;
        check(
            Better,
            "```python\ndef f(): return 1\n```\nCorrected:\n```py\ndef f(): return 2\n```\nUse:\n```python\nprint(f())\n```",
            Some("def f(): return 2"),
        );
        check(Better, "```python\nf = '``'\n```", Some("f = '``'"));
        check(Better, "```python\nf = 1", Some("f = 1"));
        check(Better, "1. Do\n   ```python\n   f = 1\n     # x\n   ```", Some("f = 1\n  # x"));
        check(Better, "```json\n{}\n```\n```\ng()\n```", Some("g()"));
        check(
            Better,
            "Sure!\nimport re\n\ndef f(x):\n    return (\n        x\n    )\nThis works.",
            Some("import re\n\ndef f(x):\n    return (\n        x\n    )"),
        );
        check(Better, "I cannot say.", None);
        let both = ["f".to_string(), "P".to_string()];
        let answer = "```python\nclass P: pass\n```\nand\n```python\ndef f(p): return p\n```";
        assert_eq!(
            Better.code(answer, &both).as_deref(),
            Some("class P: pass\ndef f(p): return p")
        );
    }

    #[test]
    fn the_harness_cuts_at_its_stops() {
        check(Extraction::Done, "f = 1\n[DONE]\nx", Some("f = 1\n"));
        check(Extraction::Continuation, "    return 1\n\nprint(f())", Some("    return 1\n"));
    }

    #[test]
    fn names_are_found_at_the_outermost_level() {
        let code = "import x\nA = 1\ndef f(a=2):\n    b = 3\nclass  C:\n    d = 4\nasync def g(): pass\nf == 1\nx.y = 2";
        assert_eq!(defined_names(code).collect::<Vec<_>>(), ["A", "f", "C", "g"]);
        assert!(defines(code, "C") && !defines(code, "b"));
    }
}
