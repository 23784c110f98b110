//! Grading Python by running it, confined: see [`crate::sandbox`]. [`src/benchmark/mbpp.rs`](crate::benchmark::mbpp) and
//! [`src/benchmark/humaneval.rs`](crate::benchmark::humaneval) ask for it.

use super::Found;
use super::fence::{self, PYTHON};
use crate::error::Result;
use crate::sandbox::{Execution, Job, Limits, Outcome, Python};
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
    /// The last fenced block that defines what the tests call, with the other blocks that define what it uses; a block that is not
    /// closed counts; else the lines that look like code; else an answer that begins indented, which goes on where the prompt ends.
    Better,
    /// Everything before `[DONE]`, as lm-evaluation-harness has it for MBPP.
    Done,
    /// The answer goes on where the prompt ends and stops before the next top-level `class`, `def`, `#`, `if` or `print`, as
    /// lm-evaluation-harness has it for HumanEval.
    Continuation,
    /// The first fenced block, up to the next three back-ticks, as lm-evaluation-harness has it for chat models (`mbpp_instruct`). It
    /// begins the model's turn with the fence, which we leave to the model.
    MbppInstruct,
    /// The same, but a block that is not closed counts (`humaneval_instruct`), and without a fence the whole answer goes on where the
    /// prompt ends. The harness begins the model's turn with the fence and the prompt, which we leave to the model.
    HumanevalInstruct,
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
        // these take whatever there is for the code
        let takes_all = matches!(self.extraction, Extraction::Done | Extraction::Continuation);
        let placed = code.is_some() && !takes_all;
        let first = code.unwrap_or_else(|| match self.extraction {
            Extraction::Better | Extraction::MbppInstruct => String::new(),
            _ => answer.trim_end().to_string(),
        });
        let verdict = if first.trim().is_empty() {
            Execution { outcome: Outcome::Unreadable, why: "there is none".into() }
        } else {
            self.run(&self.source(&first, self.extraction))?
        };
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
        let mut late = verdict.outcome == Outcome::TimedOut;
        for other in [Extraction::Better, Extraction::Paper] {
            let Some(code) = other.code(answer, self.own) else {
                continue;
            };
            // The extractions mostly differ in empty lines around the code, which is not worth a second run.
            let source = self.source(code.trim_matches('\n').trim_end(), other);
            // An answer may take its time once.
            if !skill && !late && !tried.contains(&source) {
                let outcome = self.run(&source)?.outcome;
                (skill, late) = (outcome == Outcome::Passed, outcome == Outcome::TimedOut);
                tried.push(source);
            }
        }
        let aside = if skill { " Code elsewhere in the text passes all tests." } else { "" };
        // What is not fenced was meant as code only if Python can read it.
        let found = placed || verdict.outcome != Outcome::Unreadable;
        Ok(Found {
            extracted: (found && !first.trim().is_empty()).then_some(first),
            right: false,
            skill,
            why: match verdict.outcome {
                Outcome::Unreadable if !placed => {
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
        let goes_on = match extraction {
            Extraction::Continuation => true,
            Extraction::Better | Extraction::HumanevalInstruct => is_indented(code),
            _ => false,
        };
        if goes_on || self.prefix.is_empty() {
            format!("{}{code}", self.prefix)
        } else {
            format!("{}\n{code}", self.prefix)
        }
    }

    fn run(&self, source: &str) -> Result<Execution> {
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
            Self::Better => better(answer, own),
            Self::Done => Some(until(answer, &["[DONE]"])),
            Self::Continuation => Some(until(answer, &STOPS)),
            Self::MbppInstruct => {
                let (_, behind) = answer.split_once("```")?;
                let (code, _) = without_language(behind).split_once("```")?;
                Some(code.strip_suffix('\n').unwrap_or(code).to_string())
            }
            Self::HumanevalInstruct => {
                let behind = answer.split_once("```").map_or(answer, |(_, b)| without_language(b));
                Some(until(behind, &["```"]))
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

/// Where lm-evaluation-harness ends a completion of HumanEval.
const STOPS: [&str; 5] = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"];

/// What is behind the word at the end of an opening fence.
fn without_language(behind: &str) -> &str {
    let text = behind.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let text = text.trim_start_matches([' ', '\r']);
    text.strip_prefix('\n').unwrap_or(text)
}

/// See [`Extraction::Better`].
fn better(answer: &str, own: &[String]) -> Option<String> {
    // base models go on with the next question of the prompt's kind
    let end = ["\n[DONE]", "[DONE]\n"].iter().filter_map(|mark| answer.find(mark)).min();
    let answer = &answer[..end.unwrap_or(answer.len())];
    let defines_own = |code: &str| own.iter().any(|name| defines(code, name));
    let straight = |code: &str| {
        let lines: Vec<&str> = code.lines().collect();
        let dedented = dedent(&lines);
        if is_indented(code) && defines_own(&dedented) { dedented } else { code.to_string() }
    };
    let blocks = fence::blocks(answer);
    let code = |python: bool| -> Vec<String> {
        let wanted = blocks.iter().filter(|block| block.may_be(&PYTHON) == python);
        wanted.map(|block| straight(&block.code)).collect()
    };
    let (python, other) = (code(true), code(false));
    let loose = loose_code(answer);
    assemble(&python, own)
        .or_else(|| assemble(&other, own))
        .or_else(|| loose.clone().filter(|code| defines_own(code)))
        .or_else(|| is_indented(answer).then(|| until(answer, &[&STOPS[..], &["\n```"]].concat())))
        .or_else(|| python.into_iter().next())
        .or(loose)
}

/// Whether the first line with something in it begins with white space.
fn is_indented(code: &str) -> bool {
    code.lines().find(|line| !line.trim().is_empty()).is_some_and(|l| l.starts_with([' ', '\t']))
}

/// The last block that defines one of `own`, with those that define what is still missing: the other names, and what its code uses.
fn assemble(blocks: &[String], own: &[String]) -> Option<String> {
    let last = blocks.iter().rposition(|code| own.iter().any(|name| defines(code, name)))?;
    let mut parts = vec![last];
    loop {
        let code: Vec<&str> = parts.iter().map(|at| blocks[*at].as_str()).collect();
        let code = code.join("\n");
        let there: Vec<&str> = provided_names(&code).collect();
        let words: Vec<&str> = code.split(|c: char| !is_part_of_name(c)).collect();
        let missing = |name: &str| {
            !there.contains(&name) && (words.contains(&name) || own.iter().any(|own| own == name))
        };
        let more = (0..blocks.len())
            .rev()
            .find(|at| !parts.contains(at) && provided_names(&blocks[*at]).any(missing));
        let Some(more) = more else {
            return Some(code);
        };
        parts.push(more);
        parts.sort_unstable();
    }
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

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names that `code` defines or imports at its outermost level.
fn provided_names(code: &str) -> impl Iterator<Item = &str> {
    let imports = code.lines().filter_map(|line| {
        let from = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import "));
        from.map(|(_, names)| names).or_else(|| line.strip_prefix("import "))
    });
    let names = imports.flat_map(|names| names.split(','));
    let imported = names.map(|name| {
        let name = name.rsplit(" as ").next().unwrap_or(name).trim_matches(['(', ')', ' ']);
        name.split('.').next().unwrap_or(name)
    });
    defined_names(code).chain(imported)
}

/// The names that `code` defines at its outermost level: functions, classes and values.
pub(crate) fn defined_names(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let word = |text: &str| text.find(|c| !is_part_of_name(c)).unwrap_or(text.len());
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
    const BLOCKS: [&str; 9] =
        ["for ", "while ", "if ", "elif ", "else", "try", "except", "finally", "with "];
    let begins = |line: &str| {
        STARTS.iter().any(|start| line.starts_with(start)) || defined_names(line).next().is_some()
    };
    let goes_on = |line: &str| {
        line.trim().is_empty()
            || line.starts_with([' ', '\t', ')', ']', '}'])
            || begins(line)
            || line.starts_with("print(")
            || (BLOCKS.iter().any(|word| line.starts_with(word)) && line.trim_end().ends_with(':'))
    };
    // some tokenizers put a space before the first word
    let answer = match answer.strip_prefix(' ') {
        Some(rest) if rest.lines().next().is_some_and(begins) => rest,
        _ => answer,
    };
    let lines: Vec<&str> = answer.lines().collect();
    let first = lines.iter().position(|line| begins(line))?;
    let code: Vec<&str> = lines[first..].iter().take_while(|line| goes_on(line)).copied().collect();
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
        check(Better, "f = 1\n[DONE]\n\nYou are an expert\n[BEGIN]\nf = 2\n[DONE]", Some("f = 1"));
        // the fence was open before the answer began
        check(Better, "def f(x):\n    return x\n```\nIt works.", Some("def f(x):\n    return x"));
        check(Better, "    return x\n\ndef g(): pass", Some("    return x\n"));
        check(Better, " def f(x):\n    return x", Some("def f(x):\n    return x"));
        check(Better, "```python\n    return x\n```", Some("    return x"));
        check(Better, "```\n    def f(): pass\n```", Some("def f(): pass"));
        check(Better, "```plain\ndef f(): pass\n```", Some("def f(): pass"));
        let both = ["f".to_string(), "P".to_string()];
        let answer = "```python\nclass P: pass\n```\nand\n```python\ndef f(p): return p\n```";
        assert_eq!(
            Better.code(answer, &both).as_deref(),
            Some("class P: pass\ndef f(p): return p")
        );
    }

    #[test]
    fn blocks_bring_what_the_last_one_uses() {
        use Extraction::Better;
        let f = "def f(x): return double(math.floor(x))";
        check(
            Better,
            &format!(
                "```python\nimport math\n```\n```python\ndef double(x): return 2 * x\n```\n```python\n{f}\n```\n```python\nprint(f(2))\n```"
            ),
            Some(&format!("import math\ndef double(x): return 2 * x\n{f}")),
        );
        check(
            Better,
            &format!(
                "```python\nimport math\n{f}\n```\nwhere\n```python\ndef double(x): return 2 * x\n```"
            ),
            Some(&format!("import math\n{f}\ndef double(x): return 2 * x")),
        );
        // an older version of what is there is left out
        check(
            Better,
            "```python\ndef f(x): return 1\ng = 1\n```\n```python\ndef f(x): return 2\n```",
            Some("def f(x): return 2"),
        );
    }

    #[test]
    fn the_harness_cuts_at_its_stops() {
        check(Extraction::Done, "f = 1\n[DONE]\nx", Some("f = 1\n"));
        check(Extraction::Continuation, "    return 1\n\nprint(f())", Some("    return 1\n"));
        // `extract_code_blocks` of mbpp/utils.py and `build_predictions_instruct` of humaneval/utils.py (lm_eval 0.4.13), behind the
        // fence with which the harness begins the turn
        check(Extraction::MbppInstruct, "So:\n```python\nf = 1\n```\n```\nx```", Some("f = 1"));
        check(Extraction::MbppInstruct, "```python\nf = 1", None);
        check(Extraction::MbppInstruct, "f = 1", None);
        check(Extraction::HumanevalInstruct, "```python\nf = 1\n```\nx", Some("f = 1\n"));
        check(Extraction::HumanevalInstruct, "```python\nf = 1", Some("f = 1"));
        check(Extraction::HumanevalInstruct, "    return 1", Some("    return 1"));
    }

    #[test]
    fn names_are_found_at_the_outermost_level() {
        let code = "import x\nA = 1\ndef f(a=2):\n    b = 3\nclass  C:\n    d = 4\nasync def g(): pass\nf == 1\nx.y = 2";
        assert_eq!(defined_names(code).collect::<Vec<_>>(), ["A", "f", "C", "g"]);
        assert!(defines(code, "C") && !defines(code, "b"));
    }
}
