//! LaTeX, or what people type instead, as an [`Expr`].
//!
//! The grammar is small: a list of relations of unions of sums of products of powers. What has no meaning in an answer is
//! dropped: spaces, sizes of brackets, dollar and percent signs, degrees, and words behind a number.

use super::expression::{Expr, Operator};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, Zero};

/// Longest text that is read, in bytes; what is longer is no final answer.
const MAX_BYTES: usize = 2_000;
/// How deep formulas may nest.
const MAX_DEPTH: usize = 60;

/// Stands for the `\\` between the rows of a matrix while a formula is read.
const ROW_END: &str = "\u{1}";

/// `plain`, which is [`plain`] text, as a formula. `thousands` says what a comma between a digit and three digits is: part of the number, or a separator.
pub(super) fn read(plain: &str, thousands: bool) -> Option<Expr> {
    if plain.is_empty() || plain.len() > MAX_BYTES {
        return None;
    }
    let plain = concluded(plain);
    let begun =
        ["\\approx", "approximately ", "about ", "="].iter().find_map(|at| plain.strip_prefix(at));
    let plain = begun.unwrap_or(plain).trim_start();
    let plain = condition(plain).unwrap_or(plain);
    let all = |plain: &str| {
        let text = plain.chars().collect();
        let mut reader = Reader { text, at: 0, depth: 0, bars: 0, thousands, degrees: false };
        let expr = reader.lists()?;
        reader.space();
        (reader.at == reader.text.len()).then_some(expr)
    };
    all(plain).or_else(|| {
        // what cannot be read may have a value: P(A|B) = \frac14
        let (name, value) = plain.rsplit_once('=')?;
        let mut depth = 0;
        let apart = name.chars().any(|c| {
            depth += i32::from("({[".contains(c)) - i32::from(")}]".contains(c));
            depth == 0 && matches!(c, ',' | ';')
        });
        let relation = name.ends_with(['<', '>', '!', '\\']);
        if apart || relation || depth != 0 || !name.contains(char::is_alphabetic) {
            return None;
        }
        let name: String = name.chars().filter(|c| !c.is_whitespace()).collect();
        Some(Expr::Relation(vec![Expr::Text(name), all(value)?], vec![Operator::Equal]))
    })
}

/// What stands behind the last arrow: `x = 5` of `2x = 10 \Rightarrow x = 5`.
fn concluded(plain: &str) -> &str {
    const ARROWS: [&str; 4] = ["\\Rightarrow", "\\Longrightarrow", "\\implies", "\\therefore"];
    let end = |arrow: &&str| plain.rfind(*arrow).map(|at| (at, at + arrow.len()));
    match ARROWS.iter().filter_map(end).max() {
        Some((0, end)) => plain[end..].trim_start(),
        Some((start, end)) if plain[..start].contains('=') => plain[end..].trim_start(),
        _ => plain,
    }
}

/// What a set says of its elements: `x > 2` of `\{x \mid x > 2\}`.
fn condition(plain: &str) -> Option<&str> {
    let inside = plain.strip_prefix("\\{")?.strip_suffix("\\}")?;
    let at = inside.find(['|', ':'])?;
    let element = inside[..at].trim();
    let mut letters = element.chars();
    let letter = letters.next()?.is_ascii_alphabetic();
    let kind = letters.as_str().trim_start();
    let any = kind.is_empty() || kind.starts_with("\\in") && kind.ends_with("\\mathbb{R}");
    (letter && any).then(|| inside[at + 1..].trim())
}

/// The text without what only shapes the page, in one way of writing. Degrees stay, as `°`.
pub(super) fn plain(text: &str) -> String {
    const REPLACED: &[(&str, &str)] = &[
        ("\u{2212}", "-"),
        ("\u{2010}", "-"),
        ("\u{2011}", "-"),
        ("\u{2013}", "-"),
        ("\u{d7}", "\\times "),
        ("\u{b7}", "\\cdot "),
        ("\u{22c5}", "\\cdot "),
        ("\u{2219}", "\\cdot "),
        ("\u{f7}", "\\div "),
        ("\u{2215}", "/"),
        ("\u{2044}", "/"),
        ("\u{3c0}", "\\pi "),
        ("\u{3b8}", "\\theta "),
        ("\u{3b1}", "\\alpha "),
        ("\u{3b2}", "\\beta "),
        ("\u{3bb}", "\\lambda "),
        ("\u{221a}", "\\sqrt "),
        ("\u{221b}", "\\sqrt[3] "),
        ("\u{221e}", "\\infty "),
        ("\u{222a}", "\\cup "),
        ("\u{2208}", "\\in "),
        ("\u{2205}", "\\emptyset "),
        ("\u{211d}", "\\mathbb{R}"),
        ("\u{2264}", "\\le "),
        ("\u{2a7d}", "\\le "),
        ("\u{2265}", "\\ge "),
        ("\u{2a7e}", "\\ge "),
        ("\u{2260}", "\\ne "),
        ("\u{2248}", "\\approx "),
        ("\u{b1}", "\\pm "),
        ("\u{2026}", "..."),
        ("\u{20ac}", ""),
        ("\u{a3}", ""),
        ("\u{a5}", ""),
        ("\u{a2}", ""),
        ("\\text{:}", ":"),
        ("{:}", ":"),
        (".m.", "m"),
        (".M.", "M"),
        ("{\\rm ", "\\mathrm{"),
        ("{\\bf ", "\\mathbf{"),
        ("{\\it ", "\\mathit{"),
        ("\u{bd}", "\\frac12"),
        ("\u{bc}", "\\frac14"),
        ("\u{be}", "\\frac34"),
        ("\u{2153}", "\\frac13"),
        ("\u{2154}", "\\frac23"),
        ("\u{a0}", " "),
        ("\u{2009}", " "),
        ("\u{202f}", " "),
        ("\\left.", ""),
        ("\\right.", ""),
        ("\\left", ""),
        ("\\right", ""),
        ("\\middle", ""),
        ("\\Bigg", ""),
        ("\\bigg", ""),
        ("\\Big", ""),
        ("\\big", ""),
        ("\\bigl", ""),
        ("\\bigr", ""),
        ("\\Bigl", ""),
        ("\\Bigr", ""),
        ("\\biggl", ""),
        ("\\biggr", ""),
        ("\\displaystyle", ""),
        ("\\textstyle", ""),
        ("\\limits", ""),
        ("\\!", ""),
        ("\\,", " "),
        ("\\;", " "),
        ("\\:", " "),
        ("\\>", " "),
        ("\\ ", " "),
        ("~", " "),
        ("^{\\circ}", "\u{b0}"),
        ("^{ \\circ }", "\u{b0}"),
        ("^{\\circ }", "\u{b0}"),
        ("^ {\\circ}", "\u{b0}"),
        ("^{o}", "\u{b0}"),
        ("^\\circ", "\u{b0}"),
        ("^ \\circ", "\u{b0}"),
        ("\\textdegree", "\u{b0}"),
        ("^\\degree", "\u{b0}"),
        ("\\degree", "\u{b0}"),
        ("\\%", ""),
        ("%", ""),
        ("\\$", ""),
        ("$", ""),
        ("\\(", ""),
        ("\\)", ""),
        ("\\[", ""),
        ("\\]", ""),
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\cfrac", "\\frac"),
        ("\\nicefrac", "\\frac"),
        ("\\sfrac", "\\frac"),
        ("\\dbinom", "\\binom"),
        ("\\tbinom", "\\binom"),
        ("\\leqslant", "\\le"),
        ("\\leqq", "\\le"),
        ("\\geqslant", "\\ge"),
        ("\\geqq", "\\ge"),
        ("\\lbrace", "\\{"),
        ("\\rbrace", "\\}"),
        ("\\lbrack", "["),
        ("\\rbrack", "]"),
        ("\\lparen", "("),
        ("\\rparen", ")"),
        ("\\lvert", "|"),
        ("\\rvert", "|"),
        ("\\vert", "|"),
        ("\\mid", "|"),
        ("\\dotsc", "..."),
        ("\\dotsb", "..."),
        ("\\dots", "..."),
        ("\\ldots", "..."),
        ("\\cdots", "..."),
        ("\\lor", ","),
        ("\\vee", ","),
        ("\\land", ","),
        ("\\wedge", ","),
        ("\\R", "\\mathbb{R}"),
        ("\\Reals", "\\mathbb{R}"),
        ("\\reals", "\\mathbb{R}"),
        ("\\colon", ":"),
        ("\\checkmark", ""),
        ("\\sim", "\\approx"),
        ("\\simeq", "\\approx"),
        ("\\doteq", "\\approx"),
        ("\\thinspace", " "),
        ("\\space", " "),
    ];
    let mut plain = text.replace(['\n', '\r', '\t'], " ").trim().to_owned();
    // two backslashes end a row of a matrix; elsewhere they are one, escaped twice
    let row = if plain.contains("\\begin") { ROW_END } else { "\\" };
    plain = plain.replace("\\\\", row);
    plain = thousands_marks(&raised_and_lowered(&plain));
    // \quad is at times glued to what follows
    for space in ["\\qquad", "\\quad"] {
        let equations = plain.split(space).all(|part| part.contains('='));
        plain = plain.replace(space, if equations { ", " } else { " " });
    }
    for (from, to) in REPLACED {
        // a command's name ends where its letters end: \left is not in \leftarrow, nor \circ in \circle
        if plain.contains(from) {
            plain = replace_command(&plain, from, to);
        }
    }
    for empty in ["\\text{}", "\\text{ }", "\\mathrm{}", "\\mbox{}"] {
        plain = plain.replace(empty, "");
    }
    for shape in ["\\color{", "\\textcolor{", "\\hspace{", "\\phantom{", "\\tag{"] {
        while let Some(at) = plain.find(shape)
            && let Some(length) = plain[at..].find('}')
        {
            plain.replace_range(at..=at + length, " ");
        }
    }
    plain = connectives(&plain);
    plain = based(&plain).unwrap_or(plain);
    // a word, as it stands behind a value, is a text
    for word in POWERS_OF_TEN.map(|(word, _)| word) {
        let told = format!(" {word}");
        if let Some(at) = plain.find(&told)
            && plain[..at].ends_with(|c: char| c.is_ascii_digit())
            && !plain[at + told.len()..].starts_with(|c: char| c.is_alphanumeric())
        {
            plain.replace_range(at + 1..at + told.len(), &format!("\\text{{{word}}}"));
        }
    }
    plain = without_unit(&plain);
    let end = |c: char| c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '*' | '`' | '\\');
    let begin = |c: char| c.is_whitespace() || matches!(c, ':' | '*' | '`');
    let trimmed = plain.trim_start_matches(begin);
    // 0.333... keeps its dots
    if trimmed.trim_end().ends_with("...") {
        trimmed.trim_end().to_owned()
    } else {
        trimmed.trim_end_matches(end).to_owned()
    }
}

/// `1011 (base 2)` as `1011_{2}`.
fn based(text: &str) -> Option<String> {
    let (number, base) = text.split_once("base")?;
    let edge = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '{' | '}' | '_');
    let base = base.trim_matches(edge);
    let base = base.parse().ok().or_else(|| base_named(base))?;
    let number = number.trim_end().trim_end_matches("in").trim_end_matches(edge);
    let number = number.trim_end_matches("\\text").trim_end_matches(edge);
    number.ends_with(|c: char| c.is_ascii_digit()).then(|| format!("{number}_{{{base}}}"))
}

/// Raised and lowered digits as exponents and indices: `cm³`, `204₅`.
fn raised_and_lowered(text: &str) -> String {
    const RAISED: &str =
        "\u{2070}\u{b9}\u{b2}\u{b3}\u{2074}\u{2075}\u{2076}\u{2077}\u{2078}\u{2079}\u{207b}";
    const LOWERED: &str =
        "\u{2080}\u{2081}\u{2082}\u{2083}\u{2084}\u{2085}\u{2086}\u{2087}\u{2088}\u{2089}";
    let place = |set: &str, c: char| set.chars().position(|s| s == c);
    let mut out = String::with_capacity(text.len());
    let mut open = None;
    for c in text.chars() {
        let (mark, at) = match (place(RAISED, c), place(LOWERED, c)) {
            (Some(at), _) => (Some("^{"), at),
            (_, Some(at)) => (Some("_{"), at),
            _ => (None, 0),
        };
        if open != mark {
            if open.is_some() {
                out.push('}');
            }
            out.push_str(mark.unwrap_or(""));
            open = mark;
        }
        out.push(if mark.is_some() { "0123456789-".chars().nth(at).unwrap_or(c) } else { c });
    }
    if open.is_some() {
        out.push('}');
    }
    out
}

/// Takes out what parts thousands in no other sense: `14{,}916`, `14 {, }916`, `11,\! 111`. Before other than three digits it is a
/// comma.
fn thousands_marks(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied();
    let space = |mut i: usize| {
        while at(i).is_some_and(char::is_whitespace) {
            i += 1;
        }
        i
    };
    // the end of a mark that begins at i
    let mark = |i: usize| -> Option<usize> {
        let start = space(i);
        if at(start) == Some('{') {
            let comma = space(start + 1);
            let close = space(comma + 1);
            return (at(comma) == Some(',') && at(close) == Some('}')).then(|| space(close + 1));
        }
        let mut end = start + 1;
        while at(end) == Some('\\') && matches!(at(end + 1), Some('!' | ',' | ';' | ':' | ' ')) {
            end += 2;
        }
        (at(start) == Some(',') && end > start + 1).then(|| space(end))
    };
    let digit = |i: usize| at(i).is_some_and(|c| c.is_ascii_digit());
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while let Some(c) = at(i) {
        match mark(i).filter(|_| i > 0 && digit(i - 1)) {
            Some(end) => {
                let three = (end..end + 3).all(digit) && !digit(end + 3);
                out.push_str(if three { "" } else { ", " });
                i = end;
            }
            None => {
                out.push(c);
                i += 1;
            }
        }
    }
    out
}

fn replace_command(text: &str, from: &str, to: &str) -> String {
    let named = from.starts_with('\\') && from.ends_with(|c: char| c.is_ascii_alphabetic());
    if !named {
        return text.replace(from, to);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(from) {
        let after = &rest[at + from.len()..];
        let whole = !after.starts_with(|c: char| c.is_ascii_alphabetic());
        out.push_str(&rest[..at]);
        out.push_str(if whole { to } else { from });
        rest = after;
    }
    out + rest
}

/// `and` and `or`, as text or bare, as commas.
fn connectives(text: &str) -> String {
    let mut out = text.to_owned();
    for word in ["and", "or"] {
        if !out.contains(word) {
            continue;
        }
        for command in ["\\text", "\\mbox", "\\textbf", "\\textrm", "\\mathrm", "\\textnormal"] {
            for (before, after) in [("", ""), (" ", " "), (" ", ""), ("", " "), (", ", " ")] {
                out = out.replace(&format!("{command}{{{before}{word}{after}}}"), " , ");
            }
        }
        let mut from = 0;
        while let Some(at) = out[from..].find(word).map(|i| from + i) {
            let end = at + word.len();
            let apart = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '\\');
            if apart(out[..at].chars().next_back()) && apart(out[end..].chars().next()) {
                out.replace_range(at..end, ",");
                from = at + 1;
            } else {
                from = end;
            }
        }
    }
    let mut seen = String::with_capacity(out.len());
    for c in out.chars() {
        let doubled = c == ',' && seen.trim_end().ends_with(',');
        if !doubled {
            seen.push(c);
        }
    }
    seen
}

/// Without the bare words that end `text` behind a number or a bracket: `125 miles`, `5 square units`, `12cm^2`.
fn without_unit(text: &str) -> String {
    const GLUED: &str = "cm mm km kg ft mph lbs lb oz units unit miles inches feet meters pounds hours minutes seconds degrees dollars cents \
        percent pct sq cu hr hrs mins secs yd yds mi gal";
    const RATIOS: [&str; 5] = ["km/h", "m/s", "mi/h", "ft/s", "miles/hour"];
    let lower = text.to_ascii_lowercase();
    if let Some(time) = lower.strip_suffix("am").or_else(|| lower.strip_suffix("pm"))
        && time.trim_end().ends_with(|c: char| c.is_ascii_digit())
        && (time.contains(':') || time.ends_with(' '))
    {
        return time.trim_end().to_owned();
    }
    // 0.333... keeps its dots
    let dots = text.trim_end().ends_with("...");
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || c == '.' && !dots);
    for ratio in RATIOS {
        if let Some(value) = text.strip_suffix(ratio).map(str::trim_end)
            && value.ends_with(|c: char| c.is_ascii_digit() || c == '}')
        {
            return value.to_owned();
        }
    }
    let mut head = text;
    if let Some((before, power)) = text.rsplit_once('^')
        && matches!(power.trim(), "2" | "3" | "{2}" | "{3}")
        && before.ends_with(|c: char| c.is_ascii_alphabetic())
    {
        head = before;
    }
    let end = head.len();
    let mut start = end;
    // words from the end
    loop {
        let rest = head[..start].trim_end();
        let letters = rest.len() - rest.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
        let word = &rest[rest.len() - letters..];
        let before = &rest[..rest.len() - letters];
        let behind_value = |s: &str| {
            s.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '}' | ')' | '\u{b0}'))
        };
        let spaced = before.ends_with(char::is_whitespace);
        let is_word = word.chars().skip(1).all(|c| c.is_ascii_lowercase());
        let is_unit = among(GLUED, word) || (spaced && letters >= 3 && is_word && !counts(word));
        if letters == 0 || before.ends_with('\\') || !is_unit || is_function(word) {
            return text.to_owned();
        }
        start = rest.len() - letters;
        if behind_value(before.trim_end()) {
            return head[..start].trim_end().to_owned();
        }
        if !spaced {
            return text.to_owned();
        }
    }
}

/// Whether a word behind a value changes it, so that it is no unit.
pub(super) fn counts(word: &str) -> bool {
    const COUNTING: &str = "zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million \
        billion trillion dozen half halves third thirds quarter quarters fourth fourths fifths sixths eighths tenths \
        hundredths thousandths squared cubed twice double times factorial sqrt root plus minus over mod modulo infinity not \
        more less least most than above below to through base between except but if when power";
    among(COUNTING, &word.to_ascii_lowercase())
}

/// The power of ten that a word behind a number multiplies it by.
fn power_of_ten(word: &str) -> Option<i64> {
    POWERS_OF_TEN.iter().find(|(name, _)| *name == word).map(|(_, power)| *power)
}

const POWERS_OF_TEN: [(&str, i64); 5] =
    [("hundred", 2), ("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

const FUNCTIONS: &str = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp max min gcd lcm det abs floor ceil lg deg arg \
    cis";

/// Whether `word` is one of `words`, which spaces part.
pub(super) fn among(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

pub(super) fn is_function(name: &str) -> bool {
    among(FUNCTIONS, name)
}

struct Reader {
    text: Vec<char>,
    at: usize,
    depth: usize,
    /// Open `|` of absolute values.
    bars: usize,
    thousands: bool,
    /// Whether `°` is a factor, as inside of a sine; elsewhere it does not count.
    degrees: bool,
}

/// A text behind a value.
enum Behind {
    Nothing,
    Unit,
    Times(Expr),
    /// It changes the value in a way that is not understood.
    Unknown,
}

impl Reader {
    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn looking_at(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c))
    }

    /// Takes `what` behind spaces if it stands there.
    fn take(&mut self, what: &str) -> bool {
        self.space();
        let named = what.starts_with('\\') && what.ends_with(|c: char| c.is_ascii_alphabetic());
        let end = self.at + what.chars().count();
        let longer = named && self.text.get(end).is_some_and(char::is_ascii_alphabetic);
        let found = self.looking_at(what) && !longer;
        if found {
            self.at = end;
        }
        found
    }

    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// Lists parted by semicolons, each parted by commas.
    fn lists(&mut self) -> Option<Expr> {
        let mut groups = vec![self.list()?];
        while self.take(";") {
            groups.push(self.list()?);
        }
        Some(match groups.len() {
            1 => groups.remove(0),
            _ => Expr::List(groups),
        })
    }

    fn list(&mut self) -> Option<Expr> {
        let mut items = vec![self.relation()?];
        while self.take(",") {
            items.push(self.relation()?);
        }
        Some(match items.len() {
            1 => items.remove(0),
            _ => Expr::List(items),
        })
    }

    /// A ratio, such as `1:2`.
    fn ratio(&mut self) -> Option<Expr> {
        let mut parts = vec![self.union()?];
        while self.take(":") {
            parts.push(self.union()?);
        }
        Some(match parts.len() {
            1 => parts.remove(0),
            _ => Expr::Tuple(':', parts, ':'),
        })
    }

    fn relation(&mut self) -> Option<Expr> {
        let first = self.ratio()?;
        self.sides(vec![first], Vec::new())
    }

    /// The rest of a relation that begins with `sides` and the `operators` between them.
    fn sides(&mut self, mut sides: Vec<Expr>, mut operators: Vec<Operator>) -> Option<Expr> {
        while let Some(operator) = self.operator() {
            operators.push(operator);
            sides.push(self.ratio()?);
        }
        Some(if operators.is_empty() { sides.remove(0) } else { Expr::Relation(sides, operators) })
    }

    fn operator(&mut self) -> Option<Operator> {
        use Operator::{About, AtLeast, AtMost, Equal, Greater, In, Less, NotEqual};
        const ALL: [(&str, Operator); 19] = [
            ("\\leq", AtMost),
            ("\\le", AtMost),
            ("<=", AtMost),
            ("\\geq", AtLeast),
            ("\\ge", AtLeast),
            (">=", AtLeast),
            ("\\neq", NotEqual),
            ("\\ne", NotEqual),
            ("!=", NotEqual),
            ("\\not=", NotEqual),
            ("\\lt", Less),
            ("<", Less),
            ("\\gt", Greater),
            (">", Greater),
            ("\\approx", About),
            ("\\equiv", Equal),
            ("==", Equal),
            ("=", Equal),
            ("\\in", In),
        ];
        // lines are aligned at their operators
        let start = self.at;
        let aligned = self.take("&");
        let found = ALL.into_iter().find(|(text, _)| self.take(text)).map(|(_, operator)| operator);
        if found.is_some() {
            self.take("&");
        } else if aligned {
            self.at = start;
        }
        found
    }

    fn union(&mut self) -> Option<Expr> {
        let mut parts = vec![self.difference()?];
        while self.take("\\cup") {
            parts.push(self.difference()?);
        }
        Some(match parts.len() {
            1 => parts.remove(0),
            _ => Expr::Union(parts),
        })
    }

    /// A set without another one.
    fn difference(&mut self) -> Option<Expr> {
        let whole = self.sum()?;
        if self.take("\\setminus") || self.take("\\backslash") {
            return Some(Expr::Apply("setminus".into(), vec![whole, self.sum()?]));
        }
        Some(whole)
    }

    fn sum(&mut self) -> Option<Expr> {
        self.deeper(|reader| {
            let mut terms = Vec::new();
            loop {
                let first = terms.is_empty();
                // typed by hand, +- is a sign of its own, but 3+-2 is a sum
                if reader.take("\\pm") || (first && reader.take("+-")) || reader.take("+- ") {
                    terms.push(Expr::PlusMinus(true, Box::new(reader.product()?)));
                } else if reader.take("\\mp") {
                    terms.push(Expr::PlusMinus(false, Box::new(reader.product()?)));
                } else if reader.take("+") {
                    terms.push(reader.signed(Self::product)?);
                } else if reader.take("-") {
                    terms.push(Expr::Negative(Box::new(reader.signed(Self::product)?)));
                } else if first {
                    terms.push(reader.product()?);
                } else {
                    break;
                }
            }
            Some(match terms.len() {
                1 => terms.remove(0),
                _ => Expr::Sum(terms),
            })
        })
    }

    /// What has signs of its own, as the `-2` of `3 + -2`.
    fn signed(&mut self, what: fn(&mut Self) -> Option<Expr>) -> Option<Expr> {
        const MOST_SIGNS: usize = 4;
        let mut negative = false;
        for _ in 0..MOST_SIGNS {
            if self.take("-") {
                negative = !negative;
            } else if !self.take("+") {
                break;
            }
        }
        let value = what(self)?;
        Some(if negative { Expr::Negative(Box::new(value)) } else { value })
    }

    fn product(&mut self) -> Option<Expr> {
        const MOST_DIVISIONS: usize = 20;
        let mut divisions = 0;
        let mut product = self.power()?;
        let mut unit = false;
        loop {
            if self.take("\\cdot")
                || self.take("\\times")
                || self.take("*")
                || self.take("\\ast")
                || self.take("\\circ")
                || self.take_typed_times()
            {
                let factor = self.signed(Self::power)?;
                product = times(product, factor);
            } else if self.take("/") || self.take("\\div") {
                // km/h
                if unit && matches!(self.behind(), Behind::Unit) {
                    continue;
                }
                divisions += 1;
                if divisions > MOST_DIVISIONS {
                    return None;
                }
                let under = self.signed(Self::power)?;
                product = Expr::Divide(Box::new(product), Box::new(under));
            } else {
                match self.behind() {
                    Behind::Unit => {
                        unit = true;
                        continue;
                    }
                    Behind::Times(factor) => {
                        product = times(product, factor);
                        continue;
                    }
                    Behind::Unknown => return None,
                    Behind::Nothing => {}
                }
                if !self.begins_factor() {
                    return Some(product);
                }
                let whole = matches!(&product, Expr::Number(n) if n.is_integer());
                let bracket = self.peek() == Some('(');
                let factor = self.power()?;
                match factor {
                    factor if bracket => product = times(product, factor),
                    // 1 1/2, where the second number stands behind a space
                    Expr::Number(_) if whole => {
                        let under = self.take("/").then(|| self.power()).flatten()?;
                        let fraction =
                            as_fraction(&Expr::Divide(Box::new(factor), Box::new(under)))?;
                        product = mixed(&product, &fraction)?;
                    }
                    Expr::Number(_) => return None,
                    factor => product = times(product, factor),
                }
            }
        }
    }

    /// Takes the `x` of `3 x 10^8`.
    fn take_typed_times(&mut self) -> bool {
        let digit = |c: Option<&char>| c.is_some_and(char::is_ascii_digit);
        let behind = self.text[..self.at].iter().rev().find(|c| !c.is_whitespace());
        let ahead =
            self.text[self.at.min(self.text.len())..].iter().skip_while(|c| c.is_whitespace());
        let mut ahead = ahead.skip_while(|c| c.is_whitespace());
        let found = digit(behind)
            && ahead.next() == Some(&'x')
            && digit(ahead.find(|c| !c.is_whitespace()));
        found && self.take("x")
    }

    /// Passes over a text behind a value, with its exponent.
    fn behind(&mut self) -> Behind {
        self.space();
        let start = self.at;
        if self.take("\\frac") {
            // \frac{\text{miles}}{\text{hour}}
            let told = |text: String| text.starts_with("\\text") || text.starts_with("\\mathrm");
            if self.braced_text().is_some_and(told) && self.braced_text().is_some_and(told) {
                return Behind::Unit;
            }
            self.at = start;
        }
        let Some(command) = self.command_name().filter(|name| is_text_command(name)) else {
            return Behind::Nothing;
        };
        self.at += 1 + command.chars().count();
        let Some(text) = self.braced_text() else {
            self.at = start;
            return Behind::Nothing;
        };
        let text = text.trim();
        if matches!(text, "e" | "i") || is_function(text) {
            self.at = start;
            return Behind::Nothing;
        }
        let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let mut unit = text;
        let first = words.next().unwrap_or("");
        let power = power_of_ten(first);
        if power.is_some() {
            unit = text[first.len()..].trim();
        }
        let is_digit = |c: char| c.is_ascii_digit();
        let readable = unit.split(|c: char| !c.is_alphanumeric()).all(|word| {
            let raised = word.strip_suffix(['2', '3']).unwrap_or(word);
            !counts(word) && !raised.contains(is_digit)
        });
        if !readable {
            return Behind::Unknown;
        }
        if self.take("^") {
            let _ = self.argument();
        }
        match power {
            Some(power) => {
                let ten = Box::new(Expr::integer(10));
                Behind::Times(Expr::Power(ten, Box::new(Expr::integer(power))))
            }
            None => Behind::Unit,
        }
    }

    /// The letters of the command that begins here.
    fn command_name(&self) -> Option<String> {
        if self.peek() != Some('\\') {
            return None;
        }
        let letters: String =
            self.text[self.at + 1..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        (!letters.is_empty()).then_some(letters)
    }

    fn begins_factor(&mut self) -> bool {
        self.space();
        match self.peek() {
            Some(c) if c.is_ascii_alphanumeric() || matches!(c, '(' | '{' | '.') => {
                !self.looking_at("...")
            }
            Some('|') => self.bars == 0,
            Some('\\') => match self.command_name() {
                Some(name) => !among(OPERATORS, &name),
                None => self.looking_at("\\{"),
            },
            _ => false,
        }
    }

    fn power(&mut self) -> Option<Expr> {
        const MOST_MARKS: usize = 8;
        let mut base = self.primary()?;
        if let Expr::Number(number) = &base
            && number.is_integer()
            && self.peek() == Some('_')
        {
            // the base it is written in: 204_5
            let name = format!("digits {number} in base");
            self.at += 1;
            let of = match self.argument()? {
                Expr::Text(word) => base_named(&word).map_or(Expr::Symbol(word), Expr::integer),
                of => of,
            };
            if of != Expr::integer(10) {
                base = Expr::Apply(name, vec![of]);
            }
        }
        // 3\frac12 is a mixed number, unlike 3\frac x2
        if matches!(&base, Expr::Number(n) if n.is_integer()) {
            let start = self.at;
            let fraction = self.take("\\frac").then(|| self.fraction()).flatten();
            let number = fraction.and_then(|f| mixed(&base, &as_fraction(&f)?));
            match number {
                Some(number) => base = number,
                None => self.at = start,
            }
        }
        for _ in 0..MOST_MARKS {
            if self.take("!=") {
                self.at -= 2;
                return Some(base);
            } else if self.take("!") {
                base = Expr::Apply("!".into(), vec![base]);
            } else if self.take("\u{b0}") {
                if self.degrees {
                    let degree = Expr::Divide(Box::new(Expr::Pi), Box::new(Expr::integer(180)));
                    base = times(base, degree);
                }
                // Celsius and Fahrenheit
                let scale = self.looking_at("C") || self.looking_at("F");
                if scale && !self.text.get(self.at + 1).is_some_and(|c| c.is_alphanumeric()) {
                    self.at += 1;
                }
            } else if self.take("**") || self.take("^") {
                let exponent = self.deeper(|reader| {
                    if reader.take("-") {
                        Some(Expr::Negative(Box::new(reader.exponent()?)))
                    } else {
                        reader.exponent()
                    }
                })?;
                // 6^{\text{th}}
                let ordinal = matches!(&exponent, Expr::Text(end) if matches!(end.as_str(), "st" | "nd" | "rd" | "th"));
                if !ordinal {
                    base = Expr::Power(Box::new(base), Box::new(exponent));
                }
            } else {
                return Some(base);
            }
        }
        None
    }

    fn fraction(&mut self) -> Option<Expr> {
        let (over, under) = (self.argument()?, self.argument()?);
        Some(Expr::Divide(Box::new(over), Box::new(under)))
    }

    /// What stands behind `^`: a group, a whole number, a letter or a command.
    fn exponent(&mut self) -> Option<Expr> {
        self.space();
        match self.peek() {
            Some(c) if c.is_ascii_digit() => self.number(),
            Some('(') => self.primary(),
            _ => self.argument(),
        }
    }

    /// A command's argument: a group, or one digit, letter or command.
    fn argument(&mut self) -> Option<Expr> {
        self.space();
        match self.peek()? {
            '{' => self.primary(),
            c if c.is_ascii_digit() => {
                self.at += 1;
                Some(Expr::integer(i64::from(c.to_digit(10)?)))
            }
            c if c.is_ascii_alphabetic() => {
                self.at += 1;
                Some(letter(&c.to_string()))
            }
            '\\' => self.primary(),
            _ => None,
        }
    }

    fn primary(&mut self) -> Option<Expr> {
        self.deeper(|reader| {
            reader.space();
            match reader.peek()? {
                c if c.is_ascii_digit() || c == '.' => reader.number(),
                c if c.is_ascii_alphabetic() => reader.word(),
                '(' | '[' => reader.bracketed(),
                '{' => {
                    reader.at += 1;
                    let bars = std::mem::take(&mut reader.bars);
                    let mut inside = reader.lists()?;
                    if reader.take("\\over") {
                        let under = reader.lists()?;
                        inside = Expr::Divide(Box::new(inside), Box::new(under));
                    } else if reader.take("\\choose") {
                        inside = Expr::Apply("binom".into(), vec![inside, reader.lists()?]);
                    }
                    reader.bars = bars;
                    reader.take("}").then_some(inside)
                }
                '|' => {
                    reader.at += 1;
                    reader.bars += 1;
                    let inside = reader.sum()?;
                    reader.bars -= 1;
                    reader.take("|").then(|| Expr::Apply("abs".into(), vec![inside]))
                }
                '\\' => reader.command(),
                _ => None,
            }
        })
    }

    /// Items between brackets. One item in round or square brackets is that item.
    fn bracketed(&mut self) -> Option<Expr> {
        let open = self.peek()?;
        self.at += 1;
        let bars = std::mem::take(&mut self.bars);
        let inside = self.lists()?;
        self.bars = bars;
        self.space();
        let close = self.peek()?;
        if !matches!(close, ')' | ']') {
            return None;
        }
        self.at += 1;
        match inside {
            Expr::List(items) => Some(Expr::Tuple(open, items, close)),
            single if (open == '(') == (close == ')') => Some(single),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Expr> {
        let mut digits = String::new();
        let mut decimals = 0usize;
        let mut grouped = false;
        let digit = |c: Option<&char>| c.is_some_and(char::is_ascii_digit);
        while let Some(c) = self.peek() {
            if c.is_ascii_digit() {
                digits.push(c);
                self.at += 1;
            } else if self.thousands
                && matches!(c, ',' | ' ')
                && !digits.is_empty()
                && (grouped || digits.len() <= 3)
                && (1..=3).all(|i| digit(self.text.get(self.at + i)))
                && !digit(self.text.get(self.at + 4))
            {
                grouped = true;
                self.at += 1;
            } else {
                break;
            }
        }
        let mut repeated = String::new();
        if self.peek() == Some('.') && !self.looking_at("..") {
            self.at += 1;
            while let Some(c) = self.peek().filter(char::is_ascii_digit) {
                digits.push(c);
                decimals += 1;
                self.at += 1;
            }
            repeated = self.repetend(&digits[digits.len() - decimals..])?;
            // 5. is 5, but not 5.x
            let ends =
                |c: char| c.is_whitespace() || matches!(c, ')' | ']' | '}' | ',' | ';' | '\\');
            if decimals == 0 && repeated.is_empty() && !self.peek().is_none_or(ends) {
                return None;
            }
        }
        if digits.is_empty() && repeated.is_empty() {
            return None;
        }
        let ten = |power: usize| Pow::pow(BigInt::from(10), power);
        let over: BigInt = format!("0{digits}").parse().ok()?;
        let mut number = BigRational::new(over, ten(decimals));
        if !repeated.is_empty() {
            let over: BigInt = repeated.parse().ok()?;
            let under: BigInt = (ten(repeated.len()) - 1) * ten(decimals);
            number += BigRational::new(over, under);
        }
        if let Some(power) = self.scientific() {
            let ten = BigRational::from_integer(10.into());
            number *= Pow::pow(ten, power);
        }
        Some(Expr::Number(number))
    }

    /// The digits that are repeated without end behind `decimals`, or none: `\overline{27}`, `(27)`, or dots behind two repetitions,
    /// of a single digit three. `None` where the dots say nothing.
    fn repetend(&mut self, decimals: &str) -> Option<String> {
        const MOST_DIGITS: usize = 60;
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let short = |text: String| (text.len() <= MOST_DIGITS).then_some(text);
        for command in ["\\overline", "\\bar", "\\dot"] {
            if !self.looking_at(command) {
                continue;
            }
            self.at += command.len();
            let mut digits: String = match self.braced_text() {
                Some(text) => text.chars().filter(|c| !c.is_whitespace()).collect(),
                None => {
                    self.space();
                    let digit = self.peek()?.to_string();
                    self.at += 1;
                    digit
                }
            };
            // 0.\dot{1}4285\dot{7}
            if command == "\\dot" {
                let inner = self.text[self.at..].iter().take_while(|c| c.is_ascii_digit());
                let inner: String = inner.collect();
                let start = self.at;
                self.at += inner.len();
                match self.take(command).then(|| self.braced_text()).flatten() {
                    Some(last) => digits += &(inner + &last),
                    None => self.at = start,
                }
            }
            let _ = self.take("...");
            return short(digits).filter(|digits| is_digits(digits));
        }
        if self.peek() == Some('(') {
            let inside: String =
                self.text[self.at + 1..].iter().take_while(|c| **c != ')').collect();
            let closed = self.text.get(self.at + 1 + inside.chars().count()) == Some(&')');
            if !is_digits(&inside) || !closed {
                return None;
            }
            self.at += inside.len() + 2;
            return short(inside);
        }
        if self.take("...") {
            let times = |block: usize| if block == 1 { 3 } else { 2 };
            let found = (1..=decimals.len() / 2).find(|block| {
                let length = block * times(*block);
                decimals.len() >= length && {
                    let end = &decimals[decimals.len() - length..];
                    end.as_bytes().chunks(*block).all(|part| part == &end.as_bytes()[..*block])
                }
            })?;
            return short(decimals[decimals.len() - found..].to_owned());
        }
        Some(String::new())
    }

    /// The exponent of `1.5e-3`.
    fn scientific(&mut self) -> Option<i32> {
        const MOST: i32 = 400;
        if !matches!(self.peek(), Some('e' | 'E')) {
            return None;
        }
        let sign = matches!(self.text.get(self.at + 1), Some('+' | '-'));
        let start = self.at + 1 + usize::from(sign);
        let digits: String = self.text[start..].iter().take_while(|c| c.is_ascii_digit()).collect();
        let power: i32 = digits.parse().ok().filter(|power| *power <= MOST)?;
        let negative = self.text[self.at + 1] == '-';
        self.at = start + digits.len();
        Some(if negative { -power } else { power })
    }

    /// A letter, a function's name without its backslash, or letters that are multiplied.
    fn word(&mut self) -> Option<Expr> {
        let run: String =
            self.text[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        if is_function(&run) {
            self.at += run.len();
            return self.function(&run);
        }
        if run == "sqrt" {
            self.at += run.len();
            return self.root();
        }
        // sinx
        let glued = |name: &&str| run.len() == name.len() + 1 && run.starts_with(*name);
        if let Some(name) = FUNCTIONS.split(' ').find(glued) {
            self.at += name.len();
            return self.function(name);
        }
        const NAMED: [(&str, Expr); 5] = [
            ("pi", Expr::Pi),
            ("infty", Expr::Infinity),
            ("inf", Expr::Infinity),
            ("infinity", Expr::Infinity),
            ("oo", Expr::Infinity),
        ];
        for (name, value) in NAMED {
            if run == name {
                self.at += run.len();
                return Some(value);
            }
        }
        let first = self.peek()?.to_string();
        self.at += 1;
        let symbol = self.indexed(first)?;
        let is_function_letter = matches!(
            symbol,
            Expr::Symbol(ref name) if matches!(name.chars().next(), Some('f' | 'g' | 'h' | 'F' | 'G' | 'W' | 'P' | 'Q'))
        );
        let inverse = self.looking_at("^{-1}(");
        let called = self.peek() == Some('(') && (is_function_letter || self.is_left_side());
        if run.len() == 1 && (is_function_letter && inverse || called) {
            let Expr::Symbol(mut name) = symbol else {
                return None;
            };
            if inverse {
                self.at += "^{-1}".len();
                name.push_str(INVERSE);
            }
            return match self.bracketed()? {
                Expr::Tuple(_, arguments, _) => Some(Expr::Apply(name, arguments)),
                argument => Some(Expr::Apply(name, vec![argument])),
            };
        }
        Some(symbol)
    }

    /// Whether what follows is letters or numbers in brackets, and then an equals sign: `(x) =`.
    fn is_left_side(&self) -> bool {
        let rest: String = self.text[self.at..].iter().collect();
        let simple = |c: char| c.is_alphanumeric() || matches!(c, ',' | ' ' | '\\');
        rest.split_once(')').is_some_and(|(inside, behind)| {
            inside[1..].chars().all(simple) && behind.trim_start().starts_with('=')
        })
    }

    /// The letter `name` with the index that may follow.
    fn indexed(&mut self, mut name: String) -> Option<Expr> {
        while self.peek() == Some('\'') {
            name.push('\'');
            self.at += 1;
        }
        if self.peek() != Some('_') {
            return Some(letter(&name));
        }
        self.at += 1;
        let index: String = if self.peek() == Some('{') {
            self.braced_text()?
        } else {
            let c = self.peek()?;
            self.at += 1;
            c.to_string()
        };
        Some(Expr::Symbol(format!("{name}_{index}")))
    }

    /// The text between braces, whose braces pair.
    fn braced_text(&mut self) -> Option<String> {
        self.space();
        if self.peek() != Some('{') {
            return None;
        }
        let mut depth = 0;
        let start = self.at + 1;
        for at in self.at..self.text.len() {
            depth += i32::from(self.text[at] == '{') - i32::from(self.text[at] == '}');
            if depth == 0 {
                self.at = at + 1;
                return Some(self.text[start..at].iter().collect());
            }
        }
        None
    }

    fn command(&mut self) -> Option<Expr> {
        if self.take("\\{") {
            if self.take("\\}") {
                return Some(Expr::Set(Vec::new()));
            }
            let inside = self.lists()?;
            return self.take("\\}").then(|| match inside {
                Expr::List(items) => Expr::Set(items),
                single => Expr::Set(vec![single]),
            });
        }
        let name = self.command_name()?;
        self.at += 1 + name.len();
        if is_text_command(&name) || name == "operatorname" {
            let text = self.braced_text()?.trim().to_owned();
            if is_function(&text) {
                return self.function(&text);
            }
            return self.deeper(|reader| reader.written(text));
        }
        if is_function(&name) {
            return self.function(&name);
        }
        match name.as_str() {
            "frac" => self.fraction(),
            "sqrt" => self.root(),
            "binom" => {
                let (n, k) = (self.argument()?, self.argument()?);
                Some(Expr::Apply("binom".into(), vec![n, k]))
            }
            "pi" => Some(Expr::Pi),
            "infty" => Some(Expr::Infinity),
            "emptyset" | "varnothing" => Some(Expr::Set(Vec::new())),
            "mathbb" => {
                let text = self.braced_text().or_else(|| {
                    self.at += 1;
                    self.text.get(self.at - 1).map(char::to_string)
                })?;
                Some(Expr::Symbol(format!("\\mathbb{{{}}}", text.trim())))
            }
            "pmod" | "bmod" | "mod" => {
                let modulus = self.argument()?;
                Some(Expr::Apply("mod".into(), vec![modulus]))
            }
            "boxed" | "fbox" | "mathbf" | "bold" | "widehat" | "mathcal" | "vec" | "hat"
            | "overline" | "bar" | "overrightarrow" | "boldsymbol" | "underline" => {
                let decorated = matches!(name.as_str(), "overline" | "bar" | "hat");
                let inside = self.argument()?;
                Some(if decorated { Expr::Apply(name, vec![inside]) } else { inside })
            }
            "lfloor" => {
                let inside = self.sum()?;
                self.take("\\rfloor").then(|| Expr::Apply("floor".into(), vec![inside]))
            }
            "lceil" => {
                let inside = self.sum()?;
                self.take("\\rceil").then(|| Expr::Apply("ceil".into(), vec![inside]))
            }
            "langle" => {
                let inside = self.lists()?;
                let vector = match inside {
                    Expr::List(items) => Expr::Tuple('(', items, ')'),
                    single => single,
                };
                self.take("\\rangle").then_some(vector)
            }
            "begin" => self.matrix(),
            letter if among(LETTERS, letter) => self.indexed(format!("\\{letter}")),
            _ => None,
        }
    }

    /// What stands in upright letters: a formula, a letter, or else a text.
    fn written(&mut self, text: String) -> Option<Expr> {
        let mut letters = text.chars();
        match (letters.next()?, letters.next()) {
            (one, None) if one.is_ascii_alphabetic() => return self.indexed(text),
            (first, _) if first.is_ascii_digit() || matches!(first, '.' | '-' | '\\') => {
                let mut inner = Reader {
                    text: text.chars().collect(),
                    at: 0,
                    depth: self.depth,
                    bars: 0,
                    thousands: self.thousands,
                    degrees: self.degrees,
                };
                let inside = inner.lists();
                inner.space();
                if inner.at == inner.text.len()
                    && let Some(inside) = inside
                {
                    return Some(inside);
                }
            }
            _ => {}
        }
        Some(Expr::Text(text))
    }

    fn root(&mut self) -> Option<Expr> {
        self.space();
        let mut degree = Expr::integer(2);
        if self.peek() == Some('[') {
            self.at += 1;
            degree = self.sum()?;
            if !self.take("]") {
                return None;
            }
        }
        self.space();
        let inside = match self.peek()? {
            '(' => self.primary()?,
            // typed by hand, \sqrt 12 means the root of 12; \sqrt3x is the root of 3, times x
            c if c.is_ascii_digit() => self.number()?,
            _ => self.argument()?,
        };
        Some(Expr::Apply("root".into(), vec![degree, inside]))
    }

    /// A function's power, base and argument: `\sin^2 x`, `\log_2 8`, `\cos(x)`.
    fn function(&mut self, name: &str) -> Option<Expr> {
        let mut base = None;
        let mut exponent = None;
        loop {
            if self.take("_") {
                base = Some(self.argument()?);
            } else if self.take("^") {
                exponent = Some(if self.take("-") {
                    Expr::Negative(Box::new(self.exponent()?))
                } else {
                    self.exponent()?
                });
            } else {
                break;
            }
        }
        self.space();
        let outer = std::mem::replace(&mut self.degrees, TURNS.contains(&name));
        let argument = match self.peek()? {
            // the mark of degrees stands behind the bracket too
            '(' | '{' | '[' if TURNS.contains(&name) => self.power(),
            '(' | '{' | '|' | '[' => self.primary(),
            _ => self.function_argument(),
        };
        self.degrees = outer;
        let argument = argument?;
        let mut arguments: Vec<Expr> = match argument {
            Expr::Tuple(_, items, _) => items,
            one => vec![one],
        };
        arguments.extend(base);
        let applied = Expr::Apply(name.to_owned(), arguments);
        Some(match exponent {
            None => applied,
            // sin^{-1} is the inverse
            Some(Expr::Negative(one)) if *one == Expr::integer(1) => {
                let Expr::Apply(name, arguments) = applied else {
                    return None;
                };
                Expr::Apply(format!("arc{name}"), arguments)
            }
            Some(exponent) => Expr::Power(Box::new(applied), Box::new(exponent)),
        })
    }

    /// An argument without brackets: factors up to the next function or operator, as in `\sin 2x \cos x`.
    fn function_argument(&mut self) -> Option<Expr> {
        let mut product = self.signed(Self::power)?;
        loop {
            self.space();
            let function = match self.peek() {
                Some('\\') => self.command_name().is_some_and(|n| is_function(&n)),
                Some(c) if c.is_ascii_alphabetic() => {
                    let run: String = self.text[self.at..]
                        .iter()
                        .take_while(|c| c.is_ascii_alphabetic())
                        .collect();
                    is_function(&run)
                }
                Some('(') => true,
                _ => false,
            };
            if function || !self.begins_factor() {
                return Some(product);
            }
            let factor = self.power()?;
            product = times(product, factor);
        }
    }

    /// A matrix, or lines of formulas: a list of what they say.
    fn matrix(&mut self) -> Option<Expr> {
        const MATRICES: [&str; 7] =
            ["pmatrix", "bmatrix", "matrix", "Bmatrix", "smallmatrix", "array", "cases"];
        const LINES: [&str; 6] = ["aligned", "align", "align*", "gathered", "gather*", "split"];
        let kind = self.braced_text()?;
        let lines = LINES.contains(&kind.as_str());
        if !lines && !MATRICES.contains(&kind.as_str()) {
            return None;
        }
        if kind == "array" {
            self.braced_text()?;
        }
        let end = format!("\\end{{{kind}}}");
        let (mut rows, mut row): (Vec<Vec<Expr>>, Vec<Expr>) = (Vec::new(), Vec::new());
        loop {
            if self.take(&end) {
                break;
            }
            if self.take("\\hline") {
                continue;
            }
            let start = self.at;
            match self.operator().filter(|_| row.is_empty()) {
                // the line goes on with the one above
                Some(operator) => {
                    let side = self.ratio()?;
                    row.push(match rows.pop().as_deref() {
                        Some([Expr::Relation(sides, operators)]) => {
                            let sides = [&sides[..], &[side]].concat();
                            self.sides(sides, [&operators[..], &[operator]].concat())?
                        }
                        Some([above]) => self.sides(vec![above.clone(), side], vec![operator])?,
                        _ => self.sides(vec![side], Vec::new())?,
                    });
                }
                None => {
                    self.at = start;
                    row.push(self.relation()?);
                }
            }
            self.take(",");
            if self.take("&") {
                continue;
            }
            if self.take(ROW_END) {
                rows.push(std::mem::take(&mut row));
            } else if !self.take(&end) {
                return None;
            } else {
                break;
            }
        }
        if !row.is_empty() {
            rows.push(row);
        }
        let width = rows.first()?.len();
        let is_line = |row: &Vec<Expr>| lines || matches!(row[..], [Expr::Relation(..)]);
        if width == 1 && rows.iter().all(is_line) {
            let mut items = rows.concat();
            return Some(if items.len() == 1 { items.remove(0) } else { Expr::List(items) });
        }
        rows.iter().all(|row| row.len() == width).then_some(Expr::Matrix(rows))
    }
}

/// Commands that stand between factors or behind them.
const OPERATORS: &str = "cup pm mp cdot times div le leq ge geq lt gt ne neq approx equiv in rfloor rceil rangle end not ast \
    over choose setminus backslash";

/// Functions of an angle.
const TURNS: [&str; 7] = ["sin", "cos", "tan", "cot", "sec", "csc", "cis"];

/// Behind the name of a function: its inverse.
const INVERSE: &str = "^{-1}";

/// Commands that are letters. What other commands mean is not known.
const LETTERS: &str = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma \
    Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega varepsilon vartheta varphi varrho varsigma ell hbar imath jmath \
    angle triangle nabla partial square aleph measuredangle";

pub(super) fn is_text_command(name: &str) -> bool {
    const TEXTS: &str = "text textbf textrm textit textsf textsc textnormal emph mathrm mathit mbox hbox mathsf \
        texttt mathtt rm";
    among(TEXTS, name)
}

/// Whether a command only says in what letters words are set.
pub(super) fn is_word_command(name: &str) -> bool {
    is_text_command(name) || matches!(name, "mathbf" | "boldsymbol" | "operatorname" | "boxed")
}

pub(super) fn base_named(word: &str) -> Option<i64> {
    const NAMES: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
    let place = NAMES.split(' ').position(|name| name.eq_ignore_ascii_case(word.trim()));
    place.map(|at| at as i64)
}

/// A letter's value: two of them are constants.
fn letter(name: &str) -> Expr {
    match name {
        "e" => Expr::Euler,
        "i" => Expr::Imaginary,
        _ => Expr::Symbol(name.to_owned()),
    }
}

fn times(a: Expr, b: Expr) -> Expr {
    match a {
        Expr::Product(mut factors) => {
            factors.push(b);
            Expr::Product(factors)
        }
        a => Expr::Product(vec![a, b]),
    }
}

/// A fraction of two whole numbers.
fn as_fraction(expr: &Expr) -> Option<BigRational> {
    match expr {
        Expr::Divide(over, under) => match (&**over, &**under) {
            (Expr::Number(over), Expr::Number(under))
                if over.is_integer() && under.is_integer() && !under.is_zero() =>
            {
                Some(over / under)
            }
            _ => None,
        },
        _ => None,
    }
}

/// A whole number and a fraction below one; `2\frac{5}{3}` is nobody's mixed number.
fn mixed(whole: &Expr, fraction: &BigRational) -> Option<Expr> {
    let Expr::Number(whole) = whole else {
        return None;
    };
    let proper = fraction.is_positive() && *fraction < BigRational::one();
    proper.then(|| Expr::Number(whole + fraction))
}
