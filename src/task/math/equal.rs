//! Whether two answers say the same.

mod region;

use super::expression::{Expr, Operator};
use super::read::{base_named, is_function, is_text_command, is_word_command, plain, read};
use super::units;
use super::value::{Domain, Evaluator, Point, Value, hash};
use num_rational::BigRational;
use std::cell::Cell;

/// Longest text that is compared; what is longer is no final answer.
const MOST_BYTES: usize = 10_000;
/// Items of a list, set or matrix that are still compared one with another.
const MOST_ITEMS: usize = 200;
/// Pairs of parts that are compared before two answers count as different.
const MOST_STEPS: u32 = 30_000;
/// Units of work for all values together: see [`Evaluator::work`].
const MOST_WORK: u64 = 200_000_000;

/// Whether the order of a list of values counts. That of equations and of points never does: they are solutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::task) enum Lists {
    AnyOrder,
    InOrder,
}

/// Whether `given` says the same as `gold`, both as LaTeX or as people type.
pub(in crate::task) fn equal(gold: &str, given: &str, lists: Lists) -> bool {
    if gold.len().max(given.len()) > MOST_BYTES || units::clash(gold, given) {
        return false;
    }
    let written = unwrapped(gold) == unwrapped(given);
    let (gold_percent, given_percent) = (is_percent(gold), is_percent(given));
    let (gold, given) = (meant(plain(gold)), meant(plain(given)));
    if gold_percent != given_percent {
        // 20% is 1/5; and 20, if it is asked for in percent
        let hundredth = |text: &str| read(text, true).map(hundredth);
        let (a, b) = if gold_percent {
            (hundredth(&gold), read(&given, true))
        } else {
            (read(&gold, true), hundredth(&given))
        };
        let comparison = Comparison::new(lists);
        if a.zip(b).is_some_and(|(a, b)| comparison.same_value(&a, &b)) {
            return true;
        }
        let part = |gold: Expr| {
            let value = comparison.constant(&gold).map_or(0.0, |value| value.about.re);
            value > 0.0 && value < 1.0
        };
        if given_percent && read(&gold, true).is_some_and(part) {
            return false;
        }
    }
    let (a, b) = (squeezed(&gold), squeezed(&given));
    if !says_something(&a) || !says_something(&b) {
        return false;
    }
    if a == b {
        return true;
    }
    if let Some(same) = same_words(&gold, &given) {
        return same;
    }
    if label(&gold).is_some_and(|(label, rest)| rest.is_empty() && begins_with(&given, label)) {
        return true;
    }
    let comparison = Comparison::new(lists);
    let golds = readings(&gold);
    let same = |given: &str| {
        let givens = readings(given);
        golds.iter().any(|gold| givens.iter().any(|given| comparison.same(gold, given)))
    };
    let broken = |e: &Expr| matches!(e, Expr::Number(n) if !n.is_integer());
    same(&given)
        || golds.iter().any(broken) && decimal_comma(&given).is_some_and(|given| same(&given))
        || comparison.rounds(&gold, &given)
        // \sqrt{30} \approx 5.48 where 5.48 is asked for
        || gold.contains('.') && given.rsplit_once("\\approx").is_some_and(|(_, given)| same(given))
        || written
        || unwrapped(&gold) == unwrapped(&given)
}

/// An option's label in brackets, as `(B)` or `B)`, and what stands behind it.
fn label(text: &str) -> Option<(char, String)> {
    let bare = unwrapped(text);
    let bare = bare.strip_prefix('(').unwrap_or(&bare);
    let label = bare.chars().next().filter(char::is_ascii_uppercase)?;
    Some((label, bare[1..].strip_prefix(')')?.to_owned()))
}

/// Whether an answer is the option of this label, with what it says: `(B) 12`.
fn begins_with(given: &str, gold: char) -> bool {
    let other = |rest: &str| rest.contains(['(', ')', ',']);
    label(given).is_some_and(|(label, rest)| label == gold && !other(&rest))
}

fn is_percent(text: &str) -> bool {
    text.contains('%') || text.to_ascii_lowercase().contains("percent") || text.contains("pct")
}

fn hundredth(value: Expr) -> Expr {
    Expr::Divide(Box::new(value), Box::new(Expr::integer(100)))
}

/// What a few words stand for.
fn meant(plain: String) -> String {
    let words = unwrapped(&plain).to_lowercase();
    match words.as_str() {
        "allrealnumbers" | "allreals" => region::REALS.into(),
        "infinity" => "\\infty".into(),
        word => base_named(word).map_or(plain, |number| number.to_string()),
    }
}

/// The text without spaces and without the commands around its words: `\text{June 20}`.
fn unwrapped(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    let mut open = Vec::new();
    while let Some(at) = rest.find(['\\', '{', '}']) {
        out.push_str(&rest[..at]);
        let mark = &rest[at..];
        let name = &mark[1..];
        let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
        let wraps = is_word_command(&name[..end]) && name[end..].starts_with('{');
        let length = match (mark.as_bytes()[0], wraps) {
            (b'\\', true) => {
                open.push(true);
                end + 2
            }
            (b'{', _) => {
                open.push(false);
                out.push('{');
                1
            }
            (b'}', _) => {
                if !open.pop().unwrap_or(false) {
                    out.push('}');
                }
                1
            }
            // an escaped brace is no brace
            _ => {
                let end = 1 + name.chars().next().map_or(0, char::len_utf8);
                out.push_str(&mark[..end]);
                end
            }
        };
        rest = &mark[length..];
    }
    out.push_str(rest);
    let sentence = out.strip_suffix('.').filter(|text| !text.ends_with('.'));
    squeezed(sentence.unwrap_or(&out))
}

/// A comma may part thousands or items; either reading will do.
fn readings(text: &str) -> Vec<Expr> {
    let mut readings: Vec<Expr> =
        [true, false].into_iter().filter_map(|thousands| read(text, thousands)).collect();
    readings.dedup();
    readings
}

/// `2,74` as `2.74`.
fn decimal_comma(text: &str) -> Option<String> {
    let (whole, decimals) = text.split_once(',')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let broken = digits(whole.trim_start_matches('-')) && digits(decimals) && decimals.len() != 3;
    broken.then(|| text.replace(',', "."))
}

/// The text without spaces, but for those between two digits: `1 1/2` is not `11/2`.
fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        if space && c.is_ascii_digit() && out.ends_with(|c: char| c.is_ascii_digit()) {
            out.push(' ');
        }
        space = false;
        out.push(c);
    }
    out
}

/// Whether anything is left beside brackets and commands that only shape the page.
fn says_something(squeezed: &str) -> bool {
    let mut rest = squeezed;
    while let Some(at) = rest.find('\\') {
        let name = &rest[at + 1..];
        let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
        let shapes = is_text_command(&name[..end]) || matches!(&name[..end], "boxed" | "fbox");
        if !shapes && (end > 0 || name.starts_with('{'))
            || rest[..at].contains(char::is_alphanumeric)
        {
            return true;
        }
        rest = &name[end..];
    }
    rest.contains(char::is_alphanumeric)
}

/// Whether two answers of words are the same, without regard to the commands and brackets around them: `\text{(C)}`, `(c)`, `C`.
/// `None` where they are no words, or letters that may be factors.
fn same_words(a: &str, b: &str) -> Option<bool> {
    let words = |text: &str| -> Option<(String, bool)> {
        let mut bare = text.to_owned();
        let mut told = false;
        while let Some(at) = bare.find('\\') {
            let name = &bare[at + 1..];
            let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
            if !is_word_command(&name[..end]) {
                return None;
            }
            told = true;
            bare.replace_range(at..at + 1 + end, "");
        }
        bare.retain(|c| !matches!(c, '{' | '}'));
        let edge = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\'' | '`' | '.');
        let inside = bare.trim_matches(edge);
        let article = ["a ", "an ", "the "]
            .iter()
            .find(|article| inside.to_lowercase().starts_with(*article));
        let inside = article.map_or(inside, |article| inside[article.len()..].trim_start());
        told |= inside.len() < bare.trim().len();
        let letters =
            |part: &str| part.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || c == '\'');
        let long = |part: &str| part.chars().count() > 1;
        let parts: Vec<&str> = inside.split('-').collect();
        let is_words = parts.iter().all(|p| letters(p) && (parts.len() == 1 || long(p.trim())));
        let is_words = is_words && inside.contains(char::is_alphabetic);
        is_words.then(|| (inside.split_whitespace().collect(), told))
    };
    let ((a, a_told), (b, b_told)) = (words(a)?, words(b)?);
    let long = |word: &str| word.chars().count() >= 3 || word.eq_ignore_ascii_case("no");
    let any_case = a_told || b_told || long(&a) || long(&b);
    if a == b || any_case && a.to_lowercase() == b.to_lowercase() {
        return Some(true);
    }
    let word = |word: &str| word.chars().count() > 3;
    (a_told || b_told || word(&a) || word(&b)).then_some(false)
}

/// One comparison of two answers, with what is left of its time.
pub(super) struct Comparison {
    lists: Lists,
    steps: Cell<u32>,
    work: Cell<u64>,
    /// Whether the last values lost what tells them from their neighbors: see [`Evaluator::blurred`].
    blurred: Cell<bool>,
}

impl Comparison {
    fn new(lists: Lists) -> Self {
        let (steps, work) = (Cell::new(MOST_STEPS), Cell::new(MOST_WORK));
        Self { lists, steps, work, blurred: Cell::new(false) }
    }

    /// Whether two formulas say the same.
    pub fn same(&self, gold: &Expr, given: &Expr) -> bool {
        let Some(left) = self.steps.get().checked_sub(1) else {
            return false;
        };
        self.steps.set(left);
        if gold == given {
            return true;
        }
        let (gold, given) = (self.simple(gold), self.simple(given));
        self.same_shape(&gold, &given)
            || self.same_answer(&gold, &given)
            || region::same(self, &gold, &given)
    }

    /// `\pm` written out as its two values, matrices worked out, and of a relation what it says exactly.
    fn simple(&self, expr: &Expr) -> Expr {
        let both = |item: &Expr| {
            if item.has_plus_minus() {
                vec![item.signed(true), item.signed(false)]
            } else {
                vec![item.clone()]
            }
        };
        match expr {
            Expr::List(items) if !items.iter().any(Expr::has_plus_minus) => expr.clone(),
            Expr::List(items) | Expr::Set(items) => {
                Expr::Set(items.iter().flat_map(both).collect())
            }
            other if other.has_plus_minus() => Expr::Set(both(other)),
            Expr::Relation(sides, operators) => self.exact_part(sides, operators),
            // [[1,2],[3,4]]
            Expr::Tuple('[', items, ']') => {
                let row = |item: &Expr| match item {
                    Expr::Tuple('[', row, ']') => Some(row.clone()),
                    _ => None,
                };
                let rows = items.iter().map(row).collect::<Option<Vec<_>>>();
                rows.map_or_else(|| expr.clone(), Expr::Matrix)
            }
            Expr::Sum(_) | Expr::Product(_) | Expr::Negative(_) | Expr::Divide(..) => {
                matrix(expr).map_or_else(|| expr.clone(), Expr::Matrix)
            }
            other => other.clone(),
        }
    }

    /// `x = 1/3` of `x = 1/3 \approx 0.33`, `x = 11` of `x \approx 11`, 7 of `3 + 4 = 7`.
    fn exact_part(&self, sides: &[Expr], operators: &[Operator]) -> Expr {
        let about = operators.iter().position(|o| *o == Operator::About);
        let exact = about.unwrap_or(operators.len());
        if exact == 0 {
            return match (&sides[0], &sides[1]) {
                (name, value) if is_name(name) => {
                    Expr::Relation(vec![name.clone(), value.clone()], vec![Operator::Equal])
                }
                (value, name) if is_name(name) => {
                    Expr::Relation(vec![name.clone(), value.clone()], vec![Operator::Equal])
                }
                (value, _) => value.clone(),
            };
        }
        let (sides, operators) = (&sides[..=exact], &operators[..exact]);
        let equal = operators.iter().all(|o| *o == Operator::Equal);
        let last = &sides[sides.len() - 1];
        if equal && sides.iter().all(|side| self.same_value(side, last)) {
            return last.clone();
        }
        Expr::Relation(sides.to_vec(), operators.to_vec())
    }

    fn same_shape(&self, gold: &Expr, given: &Expr) -> bool {
        use Expr::{List, Matrix, Relation, Set, Text, Tuple, Union};
        match (gold, given) {
            (List(a), List(b) | Set(b))
                if self.lists == Lists::InOrder
                    && ![a, b].into_iter().any(|items| equations(items) || points(items)) =>
            {
                self.in_order(a, b)
            }
            (List(a), List(b)) => self.same_items(a, b),
            (List(a) | Set(a), List(b) | Set(b)) => {
                let of_letters = |items| named(items).is_some_and(|named| !are_roots(&named));
                !of_letters(a)
                    && !of_letters(b)
                    && self.any_order(&self.distinct(a), &self.distinct(b))
            }
            (Union(a), Union(b)) => self.any_order(a, b),
            (Tuple(o1, a, c1), Tuple(o2, b, c2)) => o1 == o2 && c1 == c2 && self.in_order(a, b),
            (Tuple('(', a, ')'), List(b)) => match named(b) {
                Some(named) => self.values_in_order(&named, a, false),
                None => !equations(b) && self.in_order(a, b) || self.is_one(b, gold),
            },
            (List(a), Tuple('(', b, ')')) => match named(a) {
                Some(named) => self.values_in_order(&named, b, true),
                None => !equations(a) && self.in_order(a, b),
            },
            (Matrix(a), Matrix(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.in_order(a, b))
            }
            (Matrix(rows), Tuple('(', items, ')')) | (Tuple('(', items, ')'), Matrix(rows)) => {
                let flat: Vec<Expr> = rows.iter().flatten().cloned().collect();
                (rows.len() == 1 || rows[0].len() == 1) && self.in_order(&flat, items)
            }
            (List(a), b) => self.is_one(a, b),
            (a, List(b)) => self.is_one(b, a),
            // one thing in a set of one
            (Set(a), b) if a.len() == 1 && !matches!(b, Union(_) | Tuple(..)) => {
                self.same(&a[0], b)
            }
            (a, Set(b)) if b.len() == 1 && !matches!(a, Union(_) | Tuple(..)) => {
                self.same(a, &b[0])
            }
            (Relation(a, ops_a), Relation(b, ops_b)) => self.same_relation(a, ops_a, b, ops_b),
            (Text(a), Text(b)) => a.to_lowercase() == b.to_lowercase(),
            (Set(_) | Union(_) | Tuple(..) | Matrix(_) | Relation(..) | Text(_), _)
            | (_, Set(_) | Union(_) | Tuple(..) | Matrix(_) | Relation(..) | Text(_)) => false,
            (a, b) => self.same_value(a, b),
        }
    }

    /// What equations say of a letter, or in what set it is, against the same or the bare value.
    fn same_answer(&self, gold: &Expr, given: &Expr) -> bool {
        match (told(gold), told(given)) {
            (Some((a, gold)), Some((b, given))) => self.same_name(a, b) && self.same(gold, given),
            (Some((_, gold)), None) => self.same(gold, given),
            (None, Some((_, given))) => self.same(gold, given),
            // `x + y = 7` where the sum is asked for
            (None, None) if is_constant(gold) => match sum_told(given) {
                Some(given) => self.same(gold, given),
                None => false,
            },
            (None, None) => false,
        }
    }

    /// Whether what two equations speak of may be one thing. `f(x)` and `y` may.
    pub fn same_name(&self, a: &Expr, b: &Expr) -> bool {
        let is_function_letter = |name: &str| matches!(name, "f" | "g" | "h");
        match (a, b) {
            (Expr::Text(a), Expr::Text(b)) => a.eq_ignore_ascii_case(b),
            (Expr::Text(_), _) | (_, Expr::Text(_)) => true,
            (Expr::Symbol(a), Expr::Symbol(b)) => a.eq_ignore_ascii_case(b),
            (Expr::Apply(a, _), Expr::Apply(b, _)) if a == b && is_name_of_function(a) => true,
            (Expr::Symbol(y), Expr::Apply(f, _)) | (Expr::Apply(f, _), Expr::Symbol(y)) => {
                y == f || y == "y" && is_function_letter(f)
            }
            (Expr::Tuple(_, a, _), Expr::Tuple(_, b, _)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same_name(a, b))
            }
            (a, b) => self.same_value(a, b),
        }
    }

    /// Items in any order; but values of several letters belong to their letters.
    fn same_items(&self, gold: &[Expr], given: &[Expr]) -> bool {
        match (named(gold), named(given)) {
            (Some(named), None) if !equations(given) => self.values_in_order(&named, given, true),
            (None, Some(named)) if !equations(gold) => self.values_in_order(&named, gold, false),
            _ => self.any_order(&self.distinct(gold), &self.distinct(given)),
        }
    }

    /// Values of several letters against bare values: as they stand, or in the order of the alphabet.
    fn values_in_order(&self, named: &[(&Expr, &Expr)], bare: &[Expr], is_gold: bool) -> bool {
        let same = |values: &[(&Expr, &Expr)]| {
            values.len() == bare.len()
                && values.iter().zip(bare).all(|((_, value), bare)| {
                    if is_gold { self.same(value, bare) } else { self.same(bare, value) }
                })
        };
        let name = |expr: &Expr| match expr {
            Expr::Symbol(name) => Some(name.clone()),
            _ => None,
        };
        if same(named) {
            return true;
        }
        if !named.iter().all(|(of, _)| name(of).is_some()) {
            return false;
        }
        let mut sorted: Vec<(&Expr, &Expr)> = named.to_vec();
        sorted.sort_by_key(|(of, _)| name(of));
        let values: Vec<Expr> = named.iter().map(|(_, value)| (*value).clone()).collect();
        same(&sorted) || are_roots(named) && self.any_order(&values, bare)
    }

    /// Whether the items are all one value, written in two ways: `15\frac{39}{40}` or `\frac{639}{40}`.
    fn is_one(&self, items: &[Expr], value: &Expr) -> bool {
        matches!(&self.distinct(items)[..], [one] if self.same(value, one))
    }

    fn in_order(&self, a: &[Expr], b: &[Expr]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
    }

    fn any_order(&self, a: &[Expr], b: &[Expr]) -> bool {
        if a.len() != b.len() || a.len() > MOST_ITEMS {
            return false;
        }
        let mut left: Vec<&Expr> = b.iter().collect();
        a.iter().all(|a| match left.iter().position(|b| self.same(a, b)) {
            Some(at) => {
                left.remove(at);
                true
            }
            None => false,
        })
    }

    fn distinct(&self, items: &[Expr]) -> Vec<Expr> {
        let mut kept: Vec<Expr> = Vec::new();
        for item in items.iter().take(MOST_ITEMS + 1) {
            if !kept.iter().any(|k| self.same(k, item)) {
                kept.push(item.clone());
            }
        }
        kept
    }

    /// Equal at every point where both have a value, and there are enough such points.
    pub fn same_value(&self, a: &Expr, b: &Expr) -> bool {
        self.agree([a, b], |a, b, _| a.same(b))
    }

    /// The value of a formula without letters.
    pub fn constant(&self, expr: &Expr) -> Option<Value> {
        let point = Point::new();
        self.evaluator(&point, Domain::Real).value(expr)
    }

    fn evaluator<'a>(&'a self, point: &'a Point, domain: Domain) -> Evaluator<'a> {
        Evaluator { point, domain, work: &self.work, blurred: &self.blurred }
    }

    /// Whether the values of two formulas agree at every point where `agrees` can tell, and it can at enough points. It may keep
    /// a value from one point to the next. First the numbers are real; if too few points have real values they are complex.
    fn agree(
        &self,
        formulas: [&Expr; 2],
        agrees: impl Fn(&Value, &Value, &mut Option<Value>) -> Option<bool>,
    ) -> bool {
        const ENOUGH: usize = 3;
        let mut names = Vec::new();
        formulas.iter().for_each(|formula| formula.symbols(&mut names));
        let (points, enough) = if names.is_empty() { (1, 1) } else { (TRIALS, ENOUGH) };
        for domain in [Domain::Real, Domain::Complex] {
            let (mut agreed, mut kept) = (0, None);
            for trial in 0..points {
                self.work.set(self.work.get().saturating_sub(2_000));
                let point: Point =
                    names.iter().map(|name| (name.clone(), letter(name, trial))).collect();
                let evaluator = self.evaluator(&point, domain);
                self.blurred.set(false);
                let Some(a) = evaluator.value(formulas[0]) else {
                    continue;
                };
                let Some(b) = evaluator.value(formulas[1]) else {
                    continue;
                };
                let rational = a.exact.is_some() || b.exact.is_some();
                if names.is_empty() && !(a.exact.is_some() && b.exact.is_some()) {
                    // without letters there is one point, and no second chance to see a difference
                    let irrational = formulas.iter().any(|f| evaluator.is_irrational(f));
                    if self.blurred.get() || rational && irrational {
                        return false;
                    }
                }
                match agrees(&a, &b, &mut kept) {
                    Some(true) => agreed += 1,
                    Some(false) => return false,
                    None => {}
                }
            }
            if agreed >= enough {
                return true;
            }
        }
        false
    }

    /// Two equations are the same if their differences of sides have a constant ratio, inequalities if it is positive as well.
    fn same_relation(
        &self,
        a: &[Expr],
        ops_a: &[Operator],
        b: &[Expr],
        ops_b: &[Operator],
    ) -> bool {
        if ops_a.len() != ops_b.len() {
            return false;
        }
        // side by side, from the left or from the right
        if ops_a == ops_b && self.in_order(a, b) {
            return true;
        }
        let turned: Vec<Operator> = ops_b.iter().rev().map(|o| o.turned()).collect();
        let mirrored: Vec<Expr> = b.iter().rev().cloned().collect();
        if ops_a == turned && self.in_order(a, &mirrored) {
            return true;
        }
        let ([left_a, right_a], [left_b, right_b]) = (a, b) else {
            return false;
        };
        let difference = |left: &Expr, right: &Expr| {
            Expr::Sum(vec![left.clone(), Expr::Negative(Box::new(right.clone()))])
        };
        let (da, db) = (difference(left_a, right_a), difference(left_b, right_b));
        let positive = Cell::new(true);
        let constant_ratio = self.agree([&da, &db], |x, y, kept| {
            let Some(ratio) = self.quotient(x, y) else {
                return (!x.is_zero()).then_some(false);
            };
            if x.is_zero() {
                return Some(false);
            }
            positive.set(ratio.about.re > 0.0);
            match kept {
                Some(kept) => kept.same(&ratio),
                None => {
                    *kept = Some(ratio);
                    None
                }
            }
        });
        constant_ratio
            && match (ops_a[0], ops_b[0]) {
                (Operator::Equal, Operator::Equal) | (Operator::NotEqual, Operator::NotEqual) => {
                    true
                }
                (a, b) if a.is_inequality() && b.is_inequality() => {
                    if positive.get() {
                        a == b
                    } else {
                        a == b.turned()
                    }
                }
                _ => false,
            }
    }

    fn quotient(&self, a: &Value, b: &Value) -> Option<Value> {
        let point = Point::new();
        self.evaluator(&point, Domain::Complex).quotient(a, b)
    }

    /// Whether the reference is a rounded decimal by its own words, `x \approx 0.33`, and the given value rounds to it.
    fn rounds(&self, gold: &str, given: &str) -> bool {
        let Some((_, rounded)) = gold.rsplit_once("\\approx") else {
            return false;
        };
        let Some((_, decimals)) = rounded.trim().split_once('.') else {
            return false;
        };
        let is_decimal = !decimals.is_empty() && decimals.bytes().all(|b| b.is_ascii_digit());
        let value = |text: &str| -> Option<f64> {
            let expr = read(text, true)?;
            let value = told(&expr).map_or(&expr, |(_, value)| value);
            Some(self.constant(value)?.about.re)
        };
        let half = 0.5 * 10_f64.powi(-(decimals.len().min(300) as i32));
        is_decimal
            && value(rounded)
                .zip(value(given))
                .is_some_and(|(gold, given)| (gold - given).abs() <= half * (1.0 + 1e-9))
    }
}

/// Points at which formulas with letters are compared.
const TRIALS: u64 = 30;

/// The value of a letter: between zero and one, some units, a whole number, some units of either sign, less than one of either
/// sign, a whole number, and again.
fn letter(name: &str, trial: u64) -> BigRational {
    let hash = hash(&format!("{trial} {name}"));
    let odd = |bit: u64| ((trial / 6) >> bit) ^ (self::hash(name) >> bit);
    let sign = |bit: u64| if odd(bit) & 1 == 0 { 1 } else { -1 };
    let under = ((hash >> 16) % 23 + 7) as i64;
    let some = (hash % 89 + 3) as i64;
    let (over, under) = match trial % 6 {
        0 => (some % under + 1, under + 1),
        1 => (some, under),
        2 => ((hash % 12 + 2) as i64, 1),
        5 => ((hash % 7 + 1) as i64, 1),
        3 => (sign(0) * some, under),
        _ => (sign(1) * (some % under + 1), under + 1),
    };
    BigRational::new(over.into(), under.into())
}

/// Whether there is no letter in `expr`.
pub(super) fn is_constant(expr: &Expr) -> bool {
    let mut names = Vec::new();
    expr.symbols(&mut names);
    names.is_empty()
}

/// What an equation speaks of, and what it says of it: the last of its sides. Or what set a letter is in.
fn told(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::Relation(sides, operators) = expr else {
        return None;
    };
    let (first, last) = (sides.first()?, sides.last()?);
    if *operators == [Operator::In] {
        return is_name(first).then_some((first, last));
    }
    if !operators.iter().all(|o| *o == Operator::Equal) {
        return None;
    }
    if is_name(first) {
        return Some((first, last));
    }
    if sides.len() == 2 && is_name(last) && is_constant(first) {
        return Some((last, first));
    }
    let asked = if is_zero(last) { of_letters(first, false) } else { is_quantity(first) };
    (is_constant(last) && asked).then_some((first, last))
}

/// What an equation says of letters that are bound to a curve, where a number is asked for: 25 of `x^2 + y^2 = 25`.
fn sum_told(expr: &Expr) -> Option<&Expr> {
    let Expr::Relation(sides, operators) = expr else {
        return None;
    };
    let (first, last) = (sides.first()?, sides.last()?);
    let equations = operators.iter().all(|o| *o == Operator::Equal);
    (equations && is_constant(last) && !is_zero(last) && of_letters(first, true)).then_some(last)
}

fn is_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Number(n) if *n == BigRational::from_integer(0.into()))
}

fn is_name_of_function(name: &str) -> bool {
    let name = name.strip_suffix("^{-1}").unwrap_or(name).trim_end_matches('\'');
    name.len() <= 2 && name.chars().all(char::is_alphabetic) && !is_function(name)
}

/// A letter, a function of letters, or a point of letters: what an answer's left side may be.
pub(super) fn is_name(expr: &Expr) -> bool {
    let differential = |e: &Expr| matches!(e, Expr::Product(p) if p[0] == Expr::Symbol("d".into()));
    match expr {
        Expr::Symbol(_) | Expr::Text(_) => true,
        Expr::Apply(name, arguments) => is_name_of_function(name) && arguments.len() <= 3,
        Expr::Tuple(_, items, _) => items.iter().all(is_name),
        Expr::Divide(over, under) => differential(over) && differential(under),
        _ => false,
    }
}

/// What may be asked for though it is no letter: a function of letters, or what is made of several letters and no number, such as
/// `AB`, `\frac{a}{b}` or `x + y`. What has a power of a coordinate is a curve.
pub(super) fn is_quantity(expr: &Expr) -> bool {
    const COORDINATES: [&str; 5] = ["x", "y", "z", "r", "\\theta"];
    let mut names = Vec::new();
    expr.symbols(&mut names);
    match expr {
        Expr::Apply(name, arguments) => match name.as_str() {
            "sin" | "cos" | "tan" | "cot" | "sec" | "csc" | "gcd" | "lcm" | "max" | "min"
            | "det" => !names.is_empty(),
            "overline" | "bar" | "hat" => true,
            "abs" if matches!(&arguments[..], [Expr::Symbol(name)] if "zwuv".contains(name)) => {
                true
            }
            _ => of_letters(expr, true),
        },
        Expr::Divide(_, under) if names.len() > 1 => !is_constant(under),
        Expr::Power(base, exponent) if matches!(**base, Expr::Apply(..)) => {
            matches!(**exponent, Expr::Number(_)) && is_quantity(base)
        }
        _ => of_letters(expr, !names.iter().any(|name| COORDINATES.contains(&name.as_str()))),
    }
}

/// Whether a formula has several letters and no number but exponents, if `powers` may be.
fn of_letters(expr: &Expr, powers: bool) -> bool {
    fn bare(expr: &Expr, powers: bool) -> bool {
        let all = |parts: &[Expr]| parts.iter().all(|part| bare(part, powers));
        match expr {
            Expr::Symbol(_) | Expr::Text(_) => true,
            Expr::Sum(parts) | Expr::Product(parts) => all(parts),
            Expr::Tuple(_, parts, _) | Expr::Set(parts) => all(parts),
            Expr::Negative(part) => bare(part, powers),
            Expr::Divide(over, under) => {
                (**over == Expr::integer(1) || bare(over, powers)) && bare(under, powers)
            }
            Expr::Power(base, exponent) => {
                powers && matches!(**exponent, Expr::Number(_)) && bare(base, powers)
            }
            Expr::Apply(name, parts) if name == "root" => all(&parts[1..]),
            Expr::Apply(_, parts) => is_name(expr) || all(parts),
            _ => false,
        }
    }
    let mut names = Vec::new();
    expr.symbols(&mut names);
    let told = matches!(expr, Expr::Product(parts) if matches!(parts[0], Expr::Text(_)));
    (names.len() > 1 || told) && bare(expr, powers)
}

/// Whether what is named is `x_1`, `x_2`: roots in any order.
fn are_roots(named: &[(&Expr, &Expr)]) -> bool {
    named.iter().all(|(of, _)| matches!(of, Expr::Symbol(name) if name.starts_with("x_")))
}

fn equations(items: &[Expr]) -> bool {
    items.iter().any(|item| matches!(item, Expr::Relation(..)))
}

fn points(items: &[Expr]) -> bool {
    items.iter().any(|item| matches!(item, Expr::Tuple(..)))
}

/// The items as what they say of several things, if each says something of another one.
fn named(items: &[Expr]) -> Option<Vec<(&Expr, &Expr)>> {
    let named = items.iter().map(told).collect::<Option<Vec<_>>>()?;
    let apart = |(i, (a, _)): (usize, &(&Expr, &Expr))| !named[..i].iter().any(|(b, _)| a == b);
    (named.len() > 1 && named.iter().enumerate().all(apart)).then_some(named)
}

/// A sum, product or multiple of matrices, worked out.
fn matrix(expr: &Expr) -> Option<Vec<Vec<Expr>>> {
    const MOST_ENTRIES: usize = 400;
    let each = |rows: Vec<Vec<Expr>>, change: &dyn Fn(Expr) -> Expr| -> Vec<Vec<Expr>> {
        rows.into_iter().map(|row| row.into_iter().map(change).collect()).collect()
    };
    match expr {
        Expr::Matrix(rows) => Some(rows.clone()),
        Expr::Negative(part) => Some(each(matrix(part)?, &|e| Expr::Negative(Box::new(e)))),
        Expr::Divide(over, under) => {
            Some(each(matrix(over)?, &|e| Expr::Divide(Box::new(e), under.clone())))
        }
        Expr::Sum(parts) => {
            let mut parts = parts.iter().map(matrix);
            let first = parts.next()??;
            parts.try_fold(first, |sum, part| {
                let part = part?;
                let same = sum.len() == part.len() && sum[0].len() == part[0].len();
                let add = |(a, b): (Expr, Expr)| Expr::Sum(vec![a, b]);
                let rows = sum.into_iter().zip(part);
                same.then(|| rows.map(|(a, b)| a.into_iter().zip(b).map(add).collect()).collect())
            })
        }
        Expr::Product(parts) => {
            let mut scalars = Vec::new();
            let mut product: Option<Vec<Vec<Expr>>> = None;
            for part in parts {
                match (matrix(part), product.take()) {
                    (None, before) => {
                        scalars.push(part.clone());
                        product = before;
                    }
                    (after, None) => product = after,
                    (Some(after), Some(before)) => {
                        let entries = before.len() * after.len() * after[0].len();
                        if before[0].len() != after.len() || entries > MOST_ENTRIES {
                            return None;
                        }
                        let entry = |row: &[Expr], column: usize| {
                            let terms = row.iter().zip(&after);
                            let times = |(a, b): (&Expr, &Vec<Expr>)| {
                                Expr::Product(vec![a.clone(), b[column].clone()])
                            };
                            Expr::Sum(terms.map(times).collect())
                        };
                        let columns = 0..after[0].len();
                        let row =
                            |row: &Vec<Expr>| columns.clone().map(|c| entry(row, c)).collect();
                        product = Some(before.iter().map(row).collect());
                    }
                }
            }
            let scale = |e: Expr| {
                let mut factors = scalars.clone();
                factors.push(e);
                Expr::Product(factors)
            };
            Some(each(product?, &scale))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(gold: &str, given: &str) -> bool {
        super::equal(gold, given, Lists::AnyOrder)
    }

    #[test]
    fn what_says_the_same_is_equal() {
        let cases = [
            ("\\frac{1}{2}", "0.5"),
            ("\\frac12", "1/2"),
            ("\\dfrac{1}{72}", "\\tfrac1{72}"),
            ("3\\frac{1}{2}", "\\frac72"),
            ("1 1/2", "1.5"),
            ("-\\frac{3}{4}", "\\frac{-3}{4}"),
            ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt2}"),
            ("\\sqrt[3]{-8}", "-2"),
            ("2^{10}", "1024"),
            ("10^{-2}", "0.01"),
            ("\\sqrt{12}", "2\\sqrt{3}"),
            ("x^2+2x+1", "(x+1)^2"),
            ("\\frac{x^2-1}{x-1}", "x+1"),
            ("\\sin^2 x+\\cos^2 x", "1"),
            ("2\\sin x\\cos x", "\\sin(2x)"),
            ("\\pi r^2", "r^2\\pi"),
            ("e^{i\\pi}", "-1"),
            ("\\frac{9}{4}\\pi", "\\frac{9\\pi}{4}"),
            ("\\log_2 8", "3"),
            ("5!", "120"),
            ("\\binom{5}{2}", "10"),
            ("|{-3}|", "3"),
            ("\\lfloor 2.7\\rfloor", "2"),
            ("1,234,567", "1234567"),
            ("10{,}000", "10000"),
            ("11,\\! 111", "11111"),
            ("\\$18.50", "18.5"),
            ("50\\%", "50"),
            ("90^\\circ", "90"),
            ("90^{\\circ}", "90 degrees"),
            ("12\\text{ cm}^2", "12"),
            ("125\\textnormal{ miles}", "125 miles"),
            ("\\text{Tuesday}", "tuesday"),
            ("\\text{(C)}", "C"),
            ("x = 5", "5"),
            ("x=5+5+1=11", "11"),
            ("x=1/3\\approx 0.33", "\\frac13"),
            ("f(x)=x+1", "x+1"),
            ("(3, 4)", "(3,4)"),
            ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\pi/2)"),
            ("[0,1)", "[0, 1)"),
            ("1,-2", "-2, 1"),
            ("1, 2", "2, 1, 2"),
            ("1\\frac12 \\text{ or } \\frac{3}{2}", "1.5"),
            ("1, 2 \\text{ and } 3", "3,2,1"),
            ("\\{1,2,3\\}", "\\{3,2,1\\}"),
            ("3 \\pm 2\\sqrt{2}", "3-2\\sqrt2, 3+2\\sqrt2"),
            ("(-\\infty, 2] \\cup [3, \\infty)", "[3,\\infty)\\cup(-\\infty,2]"),
            ("x \\le 2", "(-\\infty, 2]"),
            ("-2 \\le x < 7", "[-2,7)"),
            ("x \\in [-2,7]", "-2 \\le x \\le 7"),
            ("x<1", "-x>-1"),
            ("34x+45y=100", "-34x-45y=-100"),
            ("y=2x+3", "2x-y+3=0"),
            (
                "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
                "\\begin{bmatrix}1&2\\\\3&\\frac{8}{2}\\end{bmatrix}",
            ),
            ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "(1,2)"),
            ("204_5", "204_{5}"),
            ("a_1+a_2", "a_{2}+a_{1}"),
            ("2+3i", "3i+2"),
            ("\\emptyset", "\\{\\}"),
        ];
        for (a, b) in cases {
            assert!(equal(a, b), "{a} and {b}");
            assert!(equal(b, a), "{b} and {a}");
        }
    }

    #[test]
    fn what_differs_is_not_equal() {
        let cases = [
            ("\\frac13", "0.333333"),
            ("\\frac{1}{12}", "0.0833333333333333"),
            ("\\sqrt{2}", "1.41421356"),
            ("2", "3"),
            ("10", "100 units"),
            ("(0,9)", "[0,9)"),
            ("(1,2)", "(2,1)"),
            ("1,2", "1,2,3"),
            ("x>5", "x<5"),
            ("7=11a+c", "11a+c"),
            ("a+3z=0", "0"),
            ("(a+5)(b+2)", "(5)(b+2)"),
            ("1\\sqrt{19}", "1"),
            ("2a", "2b"),
            ("\\text{Tuesday}", "\\text{Monday}"),
            ("204_5", "204_6"),
            ("204_5", "204"),
            ("12", ""),
            ("3\\frac{x}{2}", "3+\\frac x2"),
            ("\\frac{1}{0}", "\\frac{2}{0}"),
            ("f(1)", "f(2)"),
            ("f(1)", "g(1)"),
            ("x=5", "x=6"),
            ("\\frac{1}{2", "\\frac{1}{3"),
        ];
        for (a, b) in cases {
            assert!(!equal(a, b), "{a} and {b}");
            assert!(!equal(b, a), "{b} and {a}");
        }
    }

    #[test]
    fn nothing_that_is_written_takes_long_or_fails() {
        let deep = "(".repeat(5_000) + &")".repeat(5_000);
        let braces = "{".repeat(900) + "1" + &"}".repeat(900);
        let roots = "\\sqrt".repeat(300);
        for odd in [
            &deep,
            &braces,
            &roots,
            "9^{9^{9^{9}}}",
            "999999!",
            "((2^{1000})^{1000})^{1000}",
            "\\frac",
            "\\sqrt[",
            "1_",
            "x_{",
            "^",
            "\\begin{array}",
            "\\begin{pmatrix}",
            "\\left(",
            "|",
            "||||",
            "ü^é",
            "\\text{",
            "\\u{1}",
            "1e999",
            ",,,",
            "-",
            "\\pm",
            "\\log_1 5",
            "\\log 0",
            "0^{-1}",
            "\\binom{1000}{1001}",
        ] {
            assert!(!equal("5", odd), "{odd}");
            equal(odd, odd);
        }
    }
}
