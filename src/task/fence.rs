//! Fenced blocks of Markdown, as models write them: the one reader for Python and SQL.
//!
//! Where an answer keeps to [CommonMark](https://spec.commonmark.org/0.31.2/#fenced-code-blocks), blocks are CommonMark's: back-ticks or tildes, closed by
//! a fence of the same kind that is as long or longer, less the fence's own indentation, in lists and quotations too. Beyond it, what
//! models do is understood: a fence opened behind text on its line or closed behind code on its line, a block on one line, code that
//! begins on the fence's line, a block in a block of Markdown, and a block that the end of the answer leaves open.
//!
//! A trap: back-ticks within a string or a comment of the code close nothing, unless nothing else does.

/// One block, in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The first word of what stands behind the opening fence, in small letters: `python` of `` ```{.python .numberLines} ``.
    pub language: String,
    /// What is between the fences, lines ended by `\n`, without the last one's.
    pub code: String,
    /// Whether a fence closes it.
    pub closed: bool,
}

impl Block {
    /// Whether its language is one of `names` or not said.
    pub fn may_be(&self, names: &[&str]) -> bool {
        self.language.is_empty() || names.contains(&self.language.as_str())
    }
}

/// Names of Python behind a fence.
pub(super) const PYTHON: [&str; 5] = ["python", "python3", "py", "py3", "ipython"];
/// Names of SQL behind a fence.
pub(super) const SQL: [&str; 9] =
    ["sql", "sqlite", "sqlite3", "mysql", "postgresql", "postgres", "psql", "tsql", "plsql"];
/// Names behind a fence of what holds blocks of its own.
const MARKDOWN: [&str; 2] = ["markdown", "md"];
/// Other names behind a fence that stand for themselves, also where code follows on the line.
const OTHERS: [&str; 16] = [
    "text",
    "txt",
    "plaintext",
    "output",
    "console",
    "bash",
    "sh",
    "shell",
    "json",
    "csv",
    "yaml",
    "xml",
    "html",
    "javascript",
    "java",
    "code",
];
/// How many lines are looked ahead for the end of a string, and how deep blocks lie in blocks.
const AHEAD: usize = 400;
const DEEPEST: usize = 4;

/// The blocks of `answer` that hold something.
pub(super) fn blocks(answer: &str) -> Vec<Block> {
    let mut found = Vec::new();
    read(answer, DEEPEST, &mut found);
    found.retain(|block: &Block| !block.code.trim().is_empty());
    found
}

fn read(text: &str, deepest: usize, found: &mut Vec<Block>) {
    let lines: Vec<&str> = text.lines().collect();
    let (mut at, mut from) = (0, 0);
    while at < lines.len() {
        let Some(open) = Open::find(lines[at], from) else {
            (at, from) = (at + 1, 0);
            continue;
        };
        if let Some((block, end)) = open.on_one_line() {
            found.push(block);
            from = end;
            continue;
        }
        let (block, next, behind) = open.body(&lines, at + 1);
        (at, from) = (next, behind);
        // blocks in a block: of Markdown any, of what does not say what it is those that are closed in it
        let markdown = MARKDOWN.contains(&block.language.as_str());
        let mut inner = Vec::new();
        if deepest > 0 && (markdown || (block.language.is_empty() && block.code.contains("```"))) {
            read(&block.code, deepest - 1, &mut inner);
            inner.retain(|inner| !inner.code.trim().is_empty());
        }
        if !inner.is_empty() && (markdown || inner.iter().all(|inner| inner.closed)) {
            found.extend(inner.into_iter().map(|mut inner| {
                inner.closed |= block.closed;
                inner
            }))
        } else {
            found.push(block)
        }
    }
}

/// An opening fence.
struct Open<'a> {
    line: &'a str,
    /// `` ` `` or `~`.
    mark: char,
    length: usize,
    /// Where what is behind the fence begins.
    behind: usize,
    language: String,
    /// Code that begins on the fence's own line.
    begun: Option<&'a str>,
    /// Characters before the fence, where they are white space or a list's marker: so far may lines be indented.
    indent: usize,
    /// Marks of quotation before the fence.
    quotes: usize,
}

impl<'a> Open<'a> {
    /// The first opening fence of `line` from the byte `from` on.
    fn find(line: &'a str, mut from: usize) -> Option<Self> {
        loop {
            let (start, mark, length) = run(line, from, 3, &['`', '~'])?;
            let behind = start + length;
            from = behind;
            let before = &line[..start];
            let container = is_container(before);
            if mark == '~' && !container {
                continue;
            }
            let info = &line[behind..];
            let inline = mark == '`' && run(info, 0, 3, &['`']).is_some();
            // CommonMark: what is behind a fence of back-ticks has none
            if mark == '`' && info.contains('`') && !inline {
                continue;
            }
            let (language, rest) = language(info);
            let begun = begins_like_code(rest).then_some(rest);
            // behind text a fence is meant where its line ends with it, or with a language
            let tag = rest.is_empty() || rest.starts_with(['{', ':']) || rest.contains('=');
            if !container && !inline && !tag && begun.is_none() {
                continue;
            }
            return Some(Self {
                line,
                mark,
                length,
                behind,
                language,
                begun,
                indent: match before.rsplit_once('>') {
                    _ if !container => 0,
                    Some((_, inside)) => inside.strip_prefix(' ').unwrap_or(inside).chars().count(),
                    None => before.chars().count(),
                },
                quotes: if container { before.matches('>').count() } else { 0 },
            });
        }
    }

    /// What stands between the fence and a second one on the same line, and where that ends.
    fn on_one_line(&self) -> Option<(Block, usize)> {
        let info = &self.line[self.behind..];
        let (end, _, length) = run(info, 0, 3, &['`']).filter(|_| self.mark == '`')?;
        let (named, rest) = language(&info[..end]);
        let (language, code) =
            if is_known(&named) { (named, rest) } else { (String::new(), info[..end].trim()) };
        let block = Block { language, code: code.to_owned(), closed: true };
        Some((block, self.behind + end + length))
    }

    /// The block whose first line is `lines[first]`, and the place from which to read on: a line and a byte of it.
    fn body(&self, lines: &[&str], first: usize) -> (Block, usize, usize) {
        let mut code: Vec<&str> = self.begun.into_iter().collect();
        let mut text = Text::new(&self.language);
        for line in &code {
            text.pass(line);
        }
        let (mut closed, mut next, mut behind) = (false, lines.len(), 0);
        for (at, whole) in lines.iter().enumerate().skip(first) {
            let Some(line) = unquoted(whole, self.quotes) else {
                // the quotation ends, and the block with it
                (closed, next) = (true, at);
                break;
            };
            let Some((start, length)) = self.closing(line, &text, &lines[at + 1..]) else {
                code.push(without_indent(line, self.indent));
                text.pass(line);
                continue;
            };
            let kept = without_indent(&line[..start], self.indent);
            if !kept.trim().is_empty() {
                code.push(kept);
            }
            closed = true;
            next = at;
            let offset = whole.len() - line.len();
            // a fence with a language opens the next block as well
            let opens =
                line[..start].trim().is_empty() && is_known(&language(&line[start + length..]).0);
            behind = offset + if opens { start } else { start + length };
            break;
        }
        let code = code.join("\n");
        (Block { language: self.language.clone(), code, closed }, next, behind)
    }

    /// Where in `line` the block is closed, and how long the fence is. `text` knows what is before the line, `after` is what comes.
    fn closing(&self, line: &str, text: &Text, after: &[&str]) -> Option<(usize, usize)> {
        let mut from = 0;
        while let Some((start, _, length)) = run(line, from, self.length, &[self.mark]) {
            from = start + length;
            let alone = line[..start].trim().is_empty();
            let behind = line[from..].trim();
            if alone && MARKDOWN.contains(&self.language.as_str()) && !behind.is_empty() {
                return None; // the opening of a block in this one
            }
            if self.mark == '~' && !(alone && behind.is_empty()) {
                return None;
            }
            let content = match text.at(line, start) {
                Inside::Code => false,
                Inside::Long(quote) => ends_and_closes(after, quote, self),
                // on one line with its end, or else an apostrophe
                Inside::Short(quote) => line[from..].contains(quote),
                Inside::Comment => after
                    .iter()
                    .take(AHEAD)
                    .map(|line| line.trim())
                    .find(|line| is_fence(line, self))
                    .is_some_and(|line| line.trim_matches(self.mark).is_empty()),
            };
            if !content {
                return Some((start, length));
            }
        }
        None
    }
}

/// The first run of `least` or more of one of `marks` in `line` from `from` on: where, of which, how long.
fn run(line: &str, from: usize, least: usize, marks: &[char]) -> Option<(usize, char, usize)> {
    let mut at = from;
    while let Some(start) = line[at..].find(marks).map(|i| at + i) {
        let mark = line[start..].chars().next()?;
        let length = line[start..].len() - line[start..].trim_start_matches(mark).len();
        if length >= least {
            return Some((start, mark, length));
        }
        at = start + length;
    }
    None
}

/// Whether `before` is nothing but white space, marks of quotation and one marker of a list.
fn is_container(before: &str) -> bool {
    let text = before.trim_start_matches(|c: char| c.is_whitespace() || c == '>').trim_end();
    let number = text.trim_end_matches(['.', ')']);
    text.is_empty()
        || matches!(text, "-" | "*" | "+")
        || (number.len() + 1 == text.len()
            && (1..=9).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The language that `info` names, and what is behind its name.
fn language(info: &str) -> (String, &str) {
    let text = info.trim();
    let bare = text.trim_start_matches(['{', '.', ' ']);
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_');
    let end = bare.find(|c| !part(c)).unwrap_or(bare.len());
    let name = bare[..end].to_ascii_lowercase();
    let rest = bare[end..].trim();
    // a first word that begins code, such as `SELECT a`, is no language; any other one is, if it stands alone or with attributes
    let tag = end > 0
        && !begins_like_code(text)
        && (rest.is_empty() || rest.starts_with(['{', ':', '.', '}']) || rest.contains('='));
    if is_known(&name) || tag { (name, rest) } else { (String::new(), text) }
}

fn is_known(language: &str) -> bool {
    [&PYTHON[..], &SQL, &MARKDOWN, &OTHERS].into_iter().any(|names| names.contains(&language))
}

fn begins_like_code(text: &str) -> bool {
    const PYTHON: [&str; 6] = ["def ", "class ", "import ", "from ", "async def ", "@"];
    const SQL: [&str; 2] = ["select", "with"];
    PYTHON.iter().any(|word| text.starts_with(word))
        || SQL.iter().any(|word| {
            text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
                && text[word.len()..].starts_with(char::is_whitespace)
        })
}

/// `line` behind so many marks of quotation; none where it has fewer.
fn unquoted(line: &str, quotes: usize) -> Option<&str> {
    let mut rest = line;
    for _ in 0..quotes {
        rest = rest.trim_start().strip_prefix('>')?;
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    Some(rest)
}

/// `line` less up to `indent` characters of white space.
fn without_indent(line: &str, indent: usize) -> &str {
    let end = line
        .char_indices()
        .take(indent)
        .take_while(|(_, c)| c.is_whitespace())
        .last()
        .map_or(0, |(at, c)| at + c.len_utf8());
    &line[end..]
}

fn is_fence(line: &str, open: &Open) -> bool {
    run(line, 0, open.length, &[open.mark]).is_some_and(|(start, ..)| start == 0)
}

/// Whether the string that `quote` ends does end in `lines`, and a fence closes the block behind it.
fn ends_and_closes(lines: &[&str], quote: &str, open: &Open) -> bool {
    let lines = &lines[..lines.len().min(AHEAD)];
    lines.iter().position(|line| line.contains(quote)).is_some_and(|end| {
        lines[end + 1..].iter().any(|line| is_fence(line.trim_start(), open))
            || lines[end].trim_end().ends_with("```")
    })
}

/// What surrounds a place in code.
enum Inside {
    Code,
    Comment,
    /// A string on one line.
    Short(char),
    /// A string over several lines.
    Long(&'static str),
}

/// Strings and comments of code, as far as lines were passed.
struct Text {
    sql: bool,
    /// Python's quotation marks of a string that lines before have begun.
    open: Option<&'static str>,
}

impl Text {
    fn new(language: &str) -> Self {
        Self { sql: SQL.contains(&language), open: None }
    }

    /// Goes over a line of code.
    fn pass(&mut self, line: &str) {
        self.open = match self.at(line, line.len()) {
            Inside::Long(quote) => Some(quote),
            _ => None,
        };
    }

    /// What the byte `end` of `line` is within.
    fn at(&self, line: &str, end: usize) -> Inside {
        let mut long = self.open;
        let mut short = None;
        let mut skip = 0;
        for (at, c) in line[..end].char_indices() {
            if at < skip {
                continue;
            }
            let rest = &line[at..end];
            if let Some(quote) = long {
                if c == '\\' {
                    skip = at + 2;
                } else if rest.starts_with(quote) {
                    (long, skip) = (None, at + 3);
                }
            } else if let Some(quote) = short {
                if c == '\\' && !self.sql {
                    skip = at + 2;
                } else if c == quote {
                    short = None;
                }
            } else if matches!(c, '"' | '\'') {
                let three = ["\"\"\"", "'''"].into_iter().find(|q| rest.starts_with(q));
                match three.filter(|_| !self.sql) {
                    Some(quote) => (long, skip) = (Some(quote), at + 3),
                    None => short = Some(c),
                }
            } else if rest.starts_with(if self.sql { "--" } else { "#" }) {
                return Inside::Comment;
            }
        }
        match (long, short) {
            (Some(quote), _) => Inside::Long(quote),
            (None, Some(quote)) => Inside::Short(quote),
            (None, None) => Inside::Code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of `answer` as `language|code`, with `…` behind one that is left open.
    fn found(answer: &str) -> Vec<String> {
        let one = |block: Block| {
            let open = if block.closed { "" } else { "…" };
            format!("{}|{}{open}", block.language, block.code)
        };
        blocks(answer).into_iter().map(one).collect()
    }

    fn check(cases: &[(&str, &[&str])]) {
        for (answer, expected) in cases {
            assert_eq!(found(answer), *expected, "{answer:?}");
        }
    }

    /// Examples 119 to 147 of CommonMark 0.31.2 as far as they hold fenced blocks with something in them; `~~~` behind a list's text,
    /// and fences indented by four, are blocks here.
    #[test]
    fn commonmark_s_examples_are_read_as_there() {
        check(&[
            ("```\n<\n >\n```", &["|<\n >"]),
            ("~~~\n<\n >\n~~~", &["|<\n >"]),
            ("``\nfoo\n``", &[]),
            ("```\naaa\n~~~\n```", &["|aaa\n~~~"]),
            ("~~~\naaa\n```\n~~~", &["|aaa\n```"]),
            ("````\naaa\n```\n``````", &["|aaa\n```"]),
            ("~~~~\naaa\n~~~\n~~~~", &["|aaa\n~~~"]),
            ("```", &[]),
            ("`````\n\n```\naaa", &["|\n```\naaa…"]),
            ("> ```\n> aaa\n\nbbb", &["|aaa"]),
            (" ```\n aaa\naaa\n```", &["|aaa\naaa"]),
            ("  ```\naaa\n  aaa\naaa\n  ```", &["|aaa\naaa\naaa"]),
            ("   ```\n   aaa\n    aaa\n  aaa\n   ```", &["|aaa\n aaa\naaa"]),
            ("```\naaa\n  ```", &["|aaa"]),
            ("~~~~~~\naaa\n~~~ ~~", &["|aaa\n~~~ ~~…"]),
            ("foo\n```\nbar\n```\nbaz", &["|bar"]),
            ("```ruby\ndef foo(x)\n  return 3\nend\n```", &["ruby|def foo(x)\n  return 3\nend"]),
            (
                "~~~~    ruby startline=3 $%@#$\ndef foo(x)\n  return 3\nend\n~~~~~~~",
                &["ruby|def foo(x)\n  return 3\nend"],
            ),
            ("````;\n````", &[]),
            ("~~~ aa ``` ~~~\nfoo\n~~~", &["|foo"]),
        ]);
    }

    #[test]
    fn a_fence_may_open_behind_text_and_close_behind_code() {
        check(&[
            ("Here it is: ```python\nx\n```", &["python|x"]),
            ("So:```\nx\n```\nDone.", &["|x"]),
            ("```python\nx```", &["python|x"]),
            ("```python\nx``` That is all.", &["python|x"]),
            (
                "```sql\nSELECT 1;``` gives 1, ```sql\nSELECT 2``` gives 2",
                &["sql|SELECT 1;", "sql|SELECT 2"],
            ),
            ("```python\nx\n``` and more", &["python|x"]),
            ("```python\nx\n```python\ny\n```", &["python|x", "python|y"]),
            ("1. First:\n\n   ```python\n   x\n     y\n   ```\n2. Then", &["python|x\n  y"]),
            ("1. ```python\n   x\n   ```", &["python|x"]),
            ("- ~~~py\n  x\n  ~~~", &["py|x"]),
            ("\t```python\n\tx\n\t\ty\n\t```", &["python|x\n\ty"]),
            ("      ```python\n      x\n      ```", &["python|x"]),
            ("> So:\n> ```python\n> x\n>   y\n> ```\n> Done", &["python|x\n  y"]),
            ("Use ``` to open a block.\n```python\nx\n```", &["python|x"]),
            ("```python  \r\nx\r\n```  \r\nDone.\r\n", &["python|x"]),
            ("```python\nx", &["python|x…"]),
            ("```python\n", &[]),
            ("```python\n\n \n```", &[]),
        ]);
    }

    #[test]
    fn the_language_is_the_first_word() {
        for info in [
            "python",
            "Python",
            " python ",
            "python title=\"a.py\"",
            "{python}",
            "{.python .numberLines}",
            "python {linenos=true}",
            "python:main.py",
            "python{1,3}",
            "python showLineNumbers",
            "{.python}",
        ] {
            check(&[(&format!("```{info}\nx\n```"), &["python|x"])]);
            check(&[(&format!("~~~{info}\nx\n~~~"), &["python|x"])]);
        }
        check(&[("```c++\nx\n```", &["c++|x"]), ("```Result:\nx\n```", &["result|x"])]);
    }

    #[test]
    fn a_block_may_stand_on_one_line_or_begin_on_the_fence_s() {
        check(&[
            ("```SELECT 1```", &["|SELECT 1"]),
            ("```sql SELECT 1```", &["sql|SELECT 1"]),
            ("So ``` x ``` and ```y``` it is.", &["|x", "|y"]),
            ("```python def f(x): return x```", &["python|def f(x): return x"]),
            ("```python```", &[]),
            ("```sql SELECT a\nFROM b\n```", &["sql|SELECT a\nFROM b"]),
            ("```SELECT a\nFROM b```", &["|SELECT a\nFROM b"]),
            ("```python import re\nx\n```", &["python|import re\nx"]),
        ]);
    }

    #[test]
    fn a_fence_within_a_string_or_a_comment_closes_nothing() {
        check(&[
            ("```python\na = '```'\nb\n```", &["python|a = '```'\nb"]),
            ("```python\na = \"```x\" + \"```\"\nb\n```", &["python|a = \"```x\" + \"```\"\nb"]),
            (
                "```python\ndef f(x):\n    \"\"\"Doc.\n\n    ```python\n    f(1)\n    ```\n    \"\"\"\n    return x\n```\nDone.",
                &[
                    "python|def f(x):\n    \"\"\"Doc.\n\n    ```python\n    f(1)\n    ```\n    \"\"\"\n    return x",
                ],
            ),
            ("```python\na = '''\n```\n'''\n```", &["python|a = '''\n```\n'''"]),
            ("```python\n# in ```\na\n```", &["python|# in ```\na"]),
            ("```sql\nSELECT '```' -- ```\nFROM t\n```", &["sql|SELECT '```' -- ```\nFROM t"]),
            // what never ends, or is an apostrophe, hides nothing
            ("```python\nx = \"\"\"a\n```\nDone.", &["python|x = \"\"\"a"]),
            ("```python\nx  # don't```\nDone.", &["python|x  # don't"]),
            ("```\nIt's 4```", &["|It's 4"]),
        ]);
    }

    #[test]
    fn blocks_in_markdown_are_read() {
        check(&[
            ("````markdown\nSo:\n```python\nx\n```\n````", &["python|x"]),
            ("```markdown\nSo:\n```python\nx\n```\nDone.\n```", &["python|x"]),
            ("````\n```python\nx\n```\n````", &["python|x"]),
            ("```md\nwords\n```", &["md|words"]),
        ]);
        // deep nesting and long runs come to an end
        let deep: String = (3..400).rev().map(|n| format!("{}\n", "`".repeat(n))).collect();
        assert!(blocks(&deep).len() < 10);
        assert!(blocks(&"```\n'''\n".repeat(20_000)).len() < 20_000);
        assert!(blocks(&"`".repeat(100_000)).is_empty());
    }
}
