//! LaTeX, or what people type instead, as an [`Expr`].
//!
//! The grammar is small: a list of relations of unions of sums of products of powers. What has no meaning in an answer is
//! dropped: spaces, sizes of brackets, dollar and percent signs, degrees, and words behind a number.

use super::expression::{Expr, Operator};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Zero};

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
    let mut reader = Reader { text: plain.chars().collect(), at: 0, depth: 0, bars: 0, thousands };
    let expr = reader.lists()?;
    reader.space();
    (reader.at == reader.text.len()).then_some(expr)
}

/// The text without what only shapes the page, in one way of writing.
pub(super) fn plain(text: &str) -> String {
    const REPLACED: [(&str, &str); 66] = [
        ("\u{2212}", "-"),
        ("\u{2013}", "-"),
        ("\u{d7}", "\\times "),
        ("\u{b7}", "\\cdot "),
        ("\u{f7}", "\\div "),
        ("\u{3c0}", "\\pi "),
        ("\u{221a}", "\\sqrt "),
        ("\u{221e}", "\\infty "),
        ("\u{222a}", "\\cup "),
        ("\u{2208}", "\\in "),
        ("\u{2264}", "\\le "),
        ("\u{2265}", "\\ge "),
        ("\u{2260}", "\\ne "),
        ("\u{2248}", "\\approx "),
        ("\u{b1}", "\\pm "),
        ("\u{b0}", ""),
        ("\u{20ac}", ""),
        ("\u{bd}", "\\frac12"),
        ("\u{b2}", "^2"),
        ("\u{b3}", "^3"),
        ("\u{3b8}", "\\theta "),
        ("\\left", ""),
        ("\\right", ""),
        ("\\Bigg", ""),
        ("\\bigg", ""),
        ("\\Big", ""),
        ("\\big", ""),
        ("\\displaystyle", ""),
        ("\\limits", ""),
        ("{,}", ""),
        (",\\!\\!\\!", ""),
        (",\\!", ""),
        ("\\!", ""),
        ("\\,", " "),
        ("\\;", " "),
        ("\\:", " "),
        ("\\ ", " "),
        ("\\qquad", " "),
        ("\\quad", " "),
        ("~", " "),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("{\\circ}", ""),
        ("\\circ", ""),
        ("\\degree", ""),
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
        ("\\dbinom", "\\binom"),
        ("\\tbinom", "\\binom"),
        ("\\leqslant", "\\le"),
        ("\\geqslant", "\\ge"),
        ("\\lbrace", "\\{"),
        ("\\rbrace", "\\}"),
        ("\\lvert", "|"),
        ("\\rvert", "|"),
        ("\\dots", "..."),
        ("\\ldots", "..."),
    ];
    let mut plain = text.replace('\n', " ").trim().to_owned();
    // two backslashes end a row of a matrix; elsewhere they are one, escaped twice
    let row = if plain.contains("\\begin") { ROW_END } else { "\\" };
    plain = plain.replace("\\\\", row);
    for (from, to) in REPLACED {
        // a command's name ends where its letters end: \left is not in \leftarrow, nor \circ in \circle
        plain = replace_command(&plain, from, to);
    }
    plain = connectives(&plain);
    plain = without_unit(&plain);
    let end = |c: char| c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '*');
    let trimmed = plain.trim_start_matches(|c: char| c.is_whitespace() || c == ':');
    trimmed.trim_end_matches(end).to_owned()
}

fn replace_command(text: &str, from: &str, to: &str) -> String {
    let named = from.starts_with('\\') && from.ends_with(|c: char| c.is_ascii_alphabetic());
    if !text.contains(from) {
        return text.to_owned();
    }
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
        for command in ["\\text", "\\mbox", "\\textbf", "\\textrm", "\\mathrm"] {
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
    const GLUED: [&str; 24] = [
        "cm", "mm", "km", "kg", "ft", "mph", "lbs", "lb", "oz", "units", "unit", "miles", "inches",
        "feet", "meters", "pounds", "hours", "minutes", "seconds", "degrees", "dollars", "cents",
        "percent", "pct",
    ];
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || c == '.');
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
        let behind_value =
            |s: &str| s.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '}' | ')'));
        let spaced = before.ends_with(char::is_whitespace);
        let is_unit = GLUED.contains(&word)
            || (spaced && letters >= 3 && word.chars().all(|c| c.is_ascii_lowercase()));
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

const FUNCTIONS: [&str; 26] = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "ln", "log", "exp", "max", "min", "gcd", "lcm", "det", "abs", "floor", "ceil", "lg", "deg",
    "arg",
];

fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

struct Reader {
    text: Vec<char>,
    at: usize,
    depth: usize,
    /// Open `|` of absolute values.
    bars: usize,
    thousands: bool,
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

    fn relation(&mut self) -> Option<Expr> {
        let (mut sides, mut operators) = (vec![self.union()?], Vec::new());
        while let Some(operator) = self.operator() {
            operators.push(operator);
            sides.push(self.union()?);
        }
        Some(match operators.is_empty() {
            true => sides.remove(0),
            false => Expr::Relation(sides, operators),
        })
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
        ALL.into_iter().find(|(text, _)| self.take(text)).map(|(_, operator)| operator)
    }

    fn union(&mut self) -> Option<Expr> {
        let mut parts = vec![self.sum()?];
        while self.take("\\cup") {
            parts.push(self.sum()?);
        }
        Some(match parts.len() {
            1 => parts.remove(0),
            _ => Expr::Union(parts),
        })
    }

    fn sum(&mut self) -> Option<Expr> {
        self.deeper(|reader| {
            let mut terms = Vec::new();
            loop {
                let first = terms.is_empty();
                if reader.take("\\pm") || reader.take("+-") {
                    terms.push(Expr::PlusMinus(true, Box::new(reader.product()?)));
                } else if reader.take("\\mp") {
                    terms.push(Expr::PlusMinus(false, Box::new(reader.product()?)));
                } else if reader.take("+") {
                    terms.push(reader.product()?);
                } else if reader.take("-") {
                    terms.push(Expr::Negative(Box::new(reader.product()?)));
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

    fn product(&mut self) -> Option<Expr> {
        let mut product = self.power()?;
        loop {
            if self.take("\\cdot") || self.take("\\times") || self.take("*") || self.take("\\ast") {
                let factor = self.signed_power()?;
                product = times(product, factor);
            } else if self.take("/") || self.take("\\div") {
                let under = self.signed_power()?;
                product = Expr::Divide(Box::new(product), Box::new(under));
            } else if self.unit() {
                // a word behind a value is its unit
            } else if self.begins_factor() {
                let whole = matches!(&product, Expr::Number(n) if n.is_integer());
                let start = self.at;
                let factor = self.power()?;
                let fraction = as_fraction(&factor);
                match (whole, fraction) {
                    // 3\frac12 is a mixed number, unlike 3\frac x2
                    (true, Some(fraction)) if self.text[start] == '\\' => {
                        product = mixed(product, fraction);
                    }
                    // 1 1/2, where the second number stands behind a space
                    (true, None) if matches!(factor, Expr::Number(_)) => {
                        let under = self.take("/").then(|| self.power()).flatten()?;
                        let fraction =
                            as_fraction(&Expr::Divide(Box::new(factor), Box::new(under)))?;
                        product = mixed(product, fraction);
                    }
                    (_, _) if matches!(factor, Expr::Number(_)) => return None,
                    _ => product = times(product, factor),
                }
            } else {
                return Some(product);
            }
        }
    }

    /// A factor behind an operator may have a sign of its own.
    fn signed_power(&mut self) -> Option<Expr> {
        if self.take("-") {
            return Some(Expr::Negative(Box::new(self.power()?)));
        }
        self.power()
    }

    /// Passes over a text behind a value, with its exponent.
    fn unit(&mut self) -> bool {
        self.space();
        let start = self.at;
        let Some(command) = self.command_name() else {
            return false;
        };
        if !is_text_command(&command) {
            return false;
        }
        self.at += 1 + command.chars().count();
        if self.braced_text().is_none() {
            self.at = start;
            return false;
        }
        if self.take("^") {
            let _ = self.argument();
        }
        true
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
                Some(name) => !matches!(
                    name.as_str(),
                    "cup"
                        | "pm"
                        | "mp"
                        | "cdot"
                        | "times"
                        | "div"
                        | "le"
                        | "leq"
                        | "ge"
                        | "geq"
                        | "lt"
                        | "gt"
                        | "ne"
                        | "neq"
                        | "approx"
                        | "equiv"
                        | "in"
                        | "rfloor"
                        | "rceil"
                        | "rangle"
                        | "end"
                        | "not"
                        | "ast"
                ),
                None => self.looking_at("\\{"),
            },
            _ => false,
        }
    }

    fn power(&mut self) -> Option<Expr> {
        let mut base = self.primary()?;
        loop {
            if self.take("!=") {
                self.at -= 2;
                return Some(base);
            } else if self.take("!") {
                base = Expr::Apply("!".into(), vec![base]);
            } else if self.take("**") || self.take("^") {
                let exponent = self.deeper(|reader| match reader.take("-") {
                    true => Some(Expr::Negative(Box::new(reader.exponent()?))),
                    false => reader.exponent(),
                })?;
                base = Expr::Power(Box::new(base), Box::new(exponent));
            } else {
                return Some(base);
            }
        }
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
                c if c.is_ascii_digit() || c == '.' => reader.number_with_base(),
                c if c.is_ascii_alphabetic() => reader.word(),
                '(' | '[' => reader.bracketed(),
                '{' => {
                    reader.at += 1;
                    let bars = std::mem::take(&mut reader.bars);
                    let inside = reader.lists()?;
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

    /// A number, perhaps with the base it is written in: `204_5`.
    fn number_with_base(&mut self) -> Option<Expr> {
        let start = self.at;
        let number = self.number()?;
        if self.peek() != Some('_') {
            return Some(number);
        }
        let digits: String = self.text[start..self.at].iter().collect();
        self.at += 1;
        let base = match self.argument()? {
            Expr::Text(word) => Expr::Symbol(word),
            base => base,
        };
        Some(Expr::Apply(format!("digits {digits} in base"), vec![base]))
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
        if self.peek() == Some('.') && digit(self.text.get(self.at + 1)) {
            self.at += 1;
            while let Some(c) = self.peek().filter(char::is_ascii_digit) {
                digits.push(c);
                decimals += 1;
                self.at += 1;
            }
        } else if self.peek() == Some('.') && !digits.is_empty() && !self.looking_at("..") {
            self.at += 1; // 5. is 5
        }
        if digits.is_empty() {
            return None;
        }
        let over: BigInt = digits.parse().ok()?;
        let under = Pow::pow(BigInt::from(10), decimals);
        Some(Expr::Number(BigRational::new(over, under)))
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
        for (name, value) in [("pi", Expr::Pi), ("infty", Expr::Infinity), ("inf", Expr::Infinity)]
        {
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
        if run.len() == 1 && is_function_letter && self.peek() == Some('(') {
            let Expr::Symbol(name) = symbol else {
                return None;
            };
            return match self.bracketed()? {
                Expr::Tuple(_, arguments, _) => Some(Expr::Apply(name, arguments)),
                argument => Some(Expr::Apply(name, vec![argument])),
            };
        }
        Some(symbol)
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
        if is_text_command(&name) {
            let text = self.braced_text()?.trim().to_owned();
            // a formula in upright letters is a formula, and so is a number
            return Some(match text.chars().all(|c| c.is_ascii_digit() || c == '.') {
                true if !text.is_empty() => {
                    let mut inner = Reader {
                        text: text.chars().collect(),
                        at: 0,
                        depth: self.depth,
                        bars: 0,
                        thousands: self.thousands,
                    };
                    inner.number()?
                }
                _ => Expr::Text(text),
            });
        }
        if is_function(&name) {
            return self.function(&name);
        }
        match name.as_str() {
            "frac" => {
                let (over, under) = (self.argument()?, self.argument()?);
                Some(Expr::Divide(Box::new(over), Box::new(under)))
            }
            "sqrt" => self.root(),
            "binom" => {
                let (n, k) = (self.argument()?, self.argument()?);
                Some(Expr::Apply("binom".into(), vec![n, k]))
            }
            "pi" => Some(Expr::Pi),
            "infty" => Some(Expr::Infinity),
            "emptyset" | "varnothing" => Some(Expr::Set(Vec::new())),
            "boxed" | "fbox" | "mathbf" | "bold" | "mathbb" | "mathcal" | "vec" | "hat"
            | "overline" | "bar" | "overrightarrow" | "operatorname" | "boldsymbol" => {
                let decorated = matches!(name.as_str(), "overline" | "bar" | "hat");
                let inside = self.argument()?;
                Some(match decorated {
                    true => Expr::Apply(name, vec![inside]),
                    false => inside,
                })
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
            greek => self.indexed(format!("\\{greek}")),
        }
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
                exponent = Some(match self.take("-") {
                    true => Expr::Negative(Box::new(self.exponent()?)),
                    false => self.exponent()?,
                });
            } else {
                break;
            }
        }
        self.space();
        let argument = match self.peek()? {
            '(' | '{' | '|' | '[' => self.primary()?,
            _ => self.function_argument()?,
        };
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
        let mut product = match self.take("-") {
            true => Expr::Negative(Box::new(self.power()?)),
            false => self.power()?,
        };
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

    fn matrix(&mut self) -> Option<Expr> {
        let kind = self.braced_text()?;
        let known = ["pmatrix", "bmatrix", "vmatrix", "matrix", "Bmatrix", "array"];
        if !known.contains(&kind.as_str()) {
            return None;
        }
        if kind == "array" {
            self.braced_text()?;
        }
        let end = format!("\\end{{{kind}}}");
        let (mut rows, mut row) = (Vec::new(), Vec::new());
        loop {
            if self.take(&end) {
                break;
            }
            if self.take("\\hline") {
                continue;
            }
            row.push(self.relation()?);
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
        let even = rows.iter().all(|row| row.len() == width);
        match kind.as_str() {
            "vmatrix" => None,
            _ => even.then_some(Expr::Matrix(rows)),
        }
    }
}

fn is_text_command(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "textbf"
            | "textrm"
            | "textit"
            | "textnormal"
            | "mathrm"
            | "mathit"
            | "mbox"
            | "mathsf"
            | "texttt"
            | "rm"
    )
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

fn mixed(whole: Expr, fraction: BigRational) -> Expr {
    match whole {
        // 2\frac{5}{3} is nobody's mixed number
        Expr::Number(whole) if fraction < BigRational::one() => Expr::Number(whole + fraction),
        whole => Expr::Product(vec![whole, Expr::Number(fraction)]),
    }
}
