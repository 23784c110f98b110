//! Grading code by running it.

use super::fence::{self, Block, PYTHON};
use super::minipy::Program;
use super::{CodeTest, Found};

pub(super) fn grade(tests: &[CodeTest], answer: &str) -> Found {
    let blocks: Vec<Block> =
        fence::blocks(answer).into_iter().filter(|block| block.may_be(&PYTHON)).collect();
    let block = blocks.iter().find(|block| block.closed).map(|block| block.code.as_str());
    let first = block.map(|code| (code, run(tests, code)));
    if let Some((code, Ok(()))) = first {
        return Found {
            extracted: Some(code.to_owned()),
            right: true,
            skill: true,
            why: format!("The code passes all {} tests.", tests.len()),
        };
    }
    let skill = any_form(&blocks, answer).iter().any(|code| run(tests, code).is_ok());
    let aside = if skill { " Code elsewhere in the text passes all tests." } else { "" };
    Found {
        extracted: block.map(str::to_owned),
        right: false,
        skill,
        why: match first {
            Some((_, Err(problem))) => format!("{problem}.{aside}"),
            _ => format!("There is no fenced block of code.{aside}"),
        },
    }
}

/// Whether `code` passes all tests; else a sentence (without its full stop) about the first that fails.
fn run(tests: &[CodeTest], code: &str) -> Result<(), String> {
    if tests.is_empty() {
        return Err("There are no tests to pass".into());
    }
    let program = Program::parse(code).map_err(|p| format!("The code cannot be read: {p}"))?;
    for CodeTest { call, expected } in tests {
        match program.gives(call, expected) {
            Ok((true, _)) => {}
            Ok((false, value)) => return Err(format!("{call} gives {value}, expected {expected}")),
            Err(problem) => return Err(format!("{call} fails: {problem}")),
        }
    }
    Ok(())
}

/// Everything in `answer` that may be meant as the code: fenced blocks, and runs of lines from a definition on, fenced or not.
fn any_form(blocks: &[Block], answer: &str) -> Vec<String> {
    const MOST: usize = 6;
    let mut found: Vec<String> = blocks.iter().map(|block| block.code.clone()).collect();
    let mut lines = answer.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(start) = definition(line) else {
            continue;
        };
        // The text before a definition on the same line is prose: "Sure: def f(xs): return 1".
        let mut code = line[start..].trim_end_matches('`').to_owned();
        while let Some(next) = lines.next_if(|next| {
            next.starts_with(' ') || next.trim().is_empty() || next.starts_with("def ")
        }) {
            code.push('\n');
            code.push_str(next);
        }
        found.push(code);
    }
    found.truncate(MOST);
    found
}

/// Where in `line` a function's definition begins, as `def name` or `name = lambda`.
fn definition(line: &str) -> Option<usize> {
    line.find("def ").or_else(|| {
        let before = line[..line.find("= lambda ")?].trim_end();
        let name = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        Some(name.map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests() -> Vec<CodeTest> {
        [("f([1, 2])", "[2, 4]"), ("f([])", "[]")]
            .map(|(call, expected)| CodeTest { call: call.into(), expected: expected.into() })
            .to_vec()
    }

    #[test]
    fn code_is_run_in_any_form_but_counts_fenced() {
        let good = "def f(xs):\n    return [x * 2 for x in xs]";
        let cases = [
            (format!("Plan.\n```python\n{good}\n```"), true, true),
            (format!("```\n{good}\n```\nDone."), true, true),
            (format!("```py\n{good}\n```"), true, true),
            (format!("{good}\nHope that helps!"), false, true),
            (format!("Sure!\n{good}"), false, true),
            (format!("```python\n{good}"), false, true),
            (format!("```python\npass\n```\nno:\n```python\n{good}\n```"), false, true),
            ("def f(xs): return [x + x for x in xs]".into(), false, true),
            ("```python\nf = lambda xs: [x * 2 for x in xs]\n```".into(), true, true),
            (format!("Here: ```python\n{good}\n```"), true, true),
            (format!("```python\n{good}```"), true, true),
            (format!("~~~python title=\"f.py\"\r\n{good}\r\n~~~"), true, true),
            (format!("1. Do:\n   ````py\n   {}\n   ````", good.replace('\n', "\n   ")), true, true),
            ("```python def f(xs): return [x + x for x in xs]```".into(), true, true),
            ("```python\ndef g(xs): return xs\n```".into(), false, false),
            ("```python\ndef f(xs): return xs\n```".into(), false, false),
            ("```python\ndef f(xs):\n    while True:\n        pass\n```".into(), false, false),
            ("```python\ndef f(xs):\n    return f(xs)\n```".into(), false, false),
            ("```python\nimport os\nos._exit(0)\n```".into(), false, false),
            ("```python\nexit()\n```".into(), false, false),
            (
                "```python\ndef f(xs):\n    while 1:\n        xs += xs + [1]\n```".into(),
                false,
                false,
            ),
            ("‹so› f = lambda xs: [x * 2 for x in xs]".into(), false, true),
            ("é= lambda é".into(), false, false),
            ("I double each number.".into(), false, false),
        ];
        for (answer, right, skill) in cases {
            let found = grade(&tests(), &answer);
            assert_eq!(
                (found.right, found.right || found.skill),
                (right, skill),
                "{answer:?}: {}",
                found.why
            );
        }
    }

    #[test]
    fn a_wrong_value_is_named() {
        let found = grade(&tests(), "```python\ndef f(xs):\n    return xs\n```");
        assert_eq!(found.why, "f([1, 2]) gives [1, 2], expected [2, 4].");
    }
}
