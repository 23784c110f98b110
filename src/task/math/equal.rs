//! Whether two answers say the same.

use super::expression::{Expr, Operator};
use super::read::{plain, read};
use super::value::{Point, Value, hash, value};
use num_rational::BigRational;
use num_traits::Zero;

/// Longest text that is compared; what is longer is no final answer.
const MOST_BYTES: usize = 10_000;
/// Items of a list, set or matrix that are still compared one with another.
const MOST_ITEMS: usize = 200;

/// Whether `given` says the same as `gold`, both as LaTeX or as people type.
pub(in crate::task) fn equal(gold: &str, given: &str) -> bool {
    if gold.len().max(given.len()) > MOST_BYTES {
        return false;
    }
    let (gold, given) = (plain(gold), plain(given));
    let (a, b) = (squeezed(&gold), squeezed(&given));
    if a.is_empty() || b.is_empty() {
        return false;
    }
    if a == b || same_words(&a, &b) {
        return true;
    }
    // A comma may part thousands or items; either reading will do.
    let readings = |text: &str| {
        let mut readings: Vec<Expr> =
            [true, false].into_iter().filter_map(|thousands| read(text, thousands)).collect();
        readings.dedup();
        readings
    };
    let given = readings(&given);
    readings(&gold).iter().any(|gold| given.iter().any(|given| same(gold, given)))
}

/// The text without spaces.
fn squeezed(text: &str) -> String {
    plain(text).chars().filter(|c| !c.is_whitespace()).collect()
}

/// Words are compared without case, brackets and the commands around them: `\text{(C)}`, `(c)`, `C`.
fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| -> Option<String> {
        let mut text = text.to_owned();
        for command in ["\\text", "\\mathrm", "\\textbf", "\\mbox", "\\textnormal", "\\mathbf"] {
            text = text.replace(command, "");
        }
        let text: String = text
            .chars()
            .filter(|c| !matches!(c, '{' | '}' | '(' | ')' | '"' | '\'' | '`'))
            .collect();
        let letters = !text.is_empty() && text.chars().all(|c| c.is_alphabetic() || c == '-');
        letters.then(|| text.to_lowercase())
    };
    matches!((words(a), words(b)), (Some(a), Some(b)) if a == b)
}

fn same(gold: &Expr, given: &Expr) -> bool {
    let (gold, given) = (expanded(gold), expanded(given));
    if gold == given {
        return true;
    }
    if same_shape(&gold, &given) {
        return true;
    }
    let (a, b) = (assigned(&gold), assigned(&given));
    if (a != gold || b != given) && same(&a, &b) {
        return true;
    }
    match (as_interval(&gold), as_interval(&given)) {
        (Some(a), b) if b.as_ref().unwrap_or(&given) != &given || a != gold => {
            same_shape(&a, b.as_ref().unwrap_or(&given))
        }
        (None, Some(b)) => same_shape(&gold, &b),
        _ => false,
    }
}

/// `±` written out as its two values.
fn expanded(expr: &Expr) -> Expr {
    match expr.has_plus_minus() {
        true => Expr::List(vec![expr.signed(true), expr.signed(false)]),
        false => expr.clone(),
    }
}

/// What an equation says of the letter on its left, or the set that the letter is in; lists of equations as the list of values.
/// A chain of equations counts by its last side; what is about equal says nothing.
fn assigned(expr: &Expr) -> Expr {
    match expr {
        Expr::Relation(sides, operators) => {
            let exact =
                operators.iter().position(|o| *o == Operator::About).unwrap_or(operators.len());
            let (sides, operators) = (&sides[..=exact], &operators[..exact]);
            let last = sides.last().cloned().unwrap_or_else(|| expr.clone());
            if operators.is_empty() {
                return last;
            }
            let names = is_name(&sides[0]);
            let equations = operators.iter().all(|o| *o == Operator::Equal);
            let membership = operators == [Operator::In];
            match names && (equations || membership) {
                true => assigned(&last),
                false => expr.clone(),
            }
        }
        Expr::List(items) => {
            let values: Vec<Expr> = items.iter().map(assigned).collect();
            // p = 5, q = 2 as one group of several is a point
            Expr::List(values)
        }
        other => other.clone(),
    }
}

/// A letter, a function of letters, or a point of letters: what an answer's left side may be.
fn is_name(expr: &Expr) -> bool {
    match expr {
        Expr::Symbol(_) => true,
        Expr::Apply(name, arguments) => {
            name.len() <= 2 && name.chars().all(char::is_alphabetic) && arguments.len() <= 3
        }
        Expr::Tuple(_, items, _) => items.iter().all(is_name),
        _ => false,
    }
}

fn same_shape(gold: &Expr, given: &Expr) -> bool {
    use Expr::{List, Matrix, Relation, Set, Text, Tuple, Union};
    match (gold, given) {
        (List(a) | Set(a), List(b) | Set(b)) => any_order(&distinct(a), &distinct(b)),
        (Union(a), Union(b)) => any_order(a, b),
        (Tuple(o1, a, c1), Tuple(o2, b, c2)) => o1 == o2 && c1 == c2 && in_order(a, b),
        (Tuple('(', a, ')'), List(b)) | (List(a), Tuple('(', b, ')')) => in_order(a, b),
        (Matrix(a), Matrix(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| in_order(a, b))
        }
        (Matrix(rows), Tuple('(', items, ')')) | (Tuple('(', items, ')'), Matrix(rows)) => {
            let flat: Vec<Expr> = rows.iter().flatten().cloned().collect();
            (rows.len() == 1 || rows[0].len() == 1) && in_order(&flat, items)
        }
        // one value written in two ways: `15\frac{39}{40}` or `\frac{639}{40}`
        (List(a), b) | (b, List(a)) if distinct(a).len() == 1 => same(&a[0], b),
        // one thing in a set of one
        (Set(a), b) | (b, Set(a)) if a.len() == 1 && !matches!(b, Union(_) | Tuple(..)) => {
            same(&a[0], b)
        }
        (Relation(a, ops_a), Relation(b, ops_b)) => same_relation(a, ops_a, b, ops_b),
        (Text(a), Text(b)) => a.to_lowercase() == b.to_lowercase(),
        (List(_) | Set(_) | Union(_) | Tuple(..) | Matrix(_) | Relation(..) | Text(_), _)
        | (_, List(_) | Set(_) | Union(_) | Tuple(..) | Matrix(_) | Relation(..) | Text(_)) => {
            false
        }
        (a, b) => same_value(a, b),
    }
}

fn in_order(a: &[Expr], b: &[Expr]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn any_order(a: &[Expr], b: &[Expr]) -> bool {
    if a.len() != b.len() || a.len() > MOST_ITEMS {
        return false;
    }
    let mut left: Vec<&Expr> = b.iter().collect();
    a.iter().all(|a| match left.iter().position(|b| same(a, b)) {
        Some(at) => {
            left.remove(at);
            true
        }
        None => false,
    })
}

fn distinct(items: &[Expr]) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::new();
    for item in items.iter().take(MOST_ITEMS + 1) {
        if !kept.iter().any(|k| same(k, item)) {
            kept.push(item.clone());
        }
    }
    kept
}

/// Equal at every point where both have a value, and there are enough such points.
fn same_value(a: &Expr, b: &Expr) -> bool {
    let mut compared = 0;
    for (a, b) in at_points(&[a, b]).into_iter().filter_map(pair) {
        if !a.same(&b) {
            return false;
        }
        compared += 1;
    }
    compared > 0
}

fn pair(values: Vec<Option<Value>>) -> Option<(Value, Value)> {
    let mut values = values.into_iter().flatten();
    let both = (values.next()?, values.next()?);
    let known = |v: &Value| !v.about.re.is_nan() && !v.about.im.is_nan();
    (known(&both.0) && known(&both.1)).then_some(both)
}

/// The values of `exprs` at some points; at one if there are no letters. Points lie on both sides of zero and of one.
fn at_points(exprs: &[&Expr]) -> Vec<Vec<Option<Value>>> {
    let mut names = Vec::new();
    for expr in exprs {
        expr.symbols(&mut names);
    }
    let points = if names.is_empty() { 1 } else { 7 };
    (0..points)
        .map(|trial: u64| {
            let point: Point = names
                .iter()
                .map(|name| {
                    let hash = hash(&format!("{trial} {name}"));
                    let over = (hash % 89 + 3) as i64;
                    let under = ((hash >> 16) % 23 + 7) as i64;
                    let over = match trial {
                        0 => over % under + 1, // about one or less: inside a sine
                        4.. => {
                            if hash >> 40 & 1 == 0 {
                                -over
                            } else {
                                over
                            }
                        }
                        _ => over,
                    };
                    (name.clone(), BigRational::new(over.into(), under.into()))
                })
                .collect();
            exprs.iter().map(|expr| value(expr, &point)).collect()
        })
        .collect()
}

/// Two equations are the same if their differences of sides have a constant ratio, inequalities if it is positive as well.
fn same_relation(a: &[Expr], ops_a: &[Operator], b: &[Expr], ops_b: &[Operator]) -> bool {
    if ops_a.len() != ops_b.len() {
        return false;
    }
    // side by side, from the left or from the right
    if ops_a == ops_b && in_order(a, b) {
        return true;
    }
    let turned: Vec<Operator> = ops_b.iter().rev().map(|o| o.turned()).collect();
    let mirrored: Vec<Expr> = b.iter().rev().cloned().collect();
    if ops_a == turned && in_order(a, &mirrored) {
        return true;
    }
    let ([left_a, right_a], [left_b, right_b]) = (a, b) else {
        return false;
    };
    let difference = |left: &Expr, right: &Expr| {
        Expr::Sum(vec![left.clone(), Expr::Negative(Box::new(right.clone()))])
    };
    let (da, db) = (difference(left_a, right_a), difference(left_b, right_b));
    let mut ratio: Option<Value> = None;
    let mut compared = 0;
    for (x, y) in at_points(&[&da, &db]).into_iter().filter_map(pair) {
        let zero = |v: &Value| match &v.exact {
            Some(exact) => exact.is_zero(),
            None => v.about.re.hypot(v.about.im) < 1e-12,
        };
        if zero(&x) || zero(&y) {
            if zero(&x) != zero(&y) {
                return false;
            }
            continue;
        }
        let quotient = Value {
            exact: x.exact.as_ref().zip(y.exact.as_ref()).map(|(x, y)| x / y),
            about: x.about / y.about,
        };
        match &ratio {
            None => ratio = Some(quotient),
            Some(first) if first.same(&quotient) => compared += 1,
            Some(_) => return false,
        }
    }
    let Some(ratio) = ratio.filter(|_| compared > 0) else {
        return false;
    };
    let positive = ratio.about.re > 0.0;
    match (ops_a[0], ops_b[0]) {
        (Operator::Equal, Operator::Equal) | (Operator::NotEqual, Operator::NotEqual) => true,
        (a, b) if a.is_inequality() && b.is_inequality() => match positive {
            true => a == b,
            false => a == b.turned(),
        },
        _ => false,
    }
}

/// An inequality that bounds a letter by numbers, as the interval it stands for.
fn as_interval(expr: &Expr) -> Option<Expr> {
    let Expr::Relation(sides, operators) = expr else {
        return match expr {
            Expr::Union(parts) | Expr::List(parts) => {
                let parts: Vec<Expr> =
                    parts.iter().map(|p| as_interval(p).unwrap_or_else(|| p.clone())).collect();
                let all = parts.iter().all(|p| matches!(p, Expr::Tuple(..)));
                all.then_some(Expr::Union(parts))
            }
            _ => None,
        };
    };
    let constant = |e: &Expr| {
        let mut names = Vec::new();
        e.symbols(&mut names);
        names.is_empty()
    };
    let infinity = |positive: bool| match positive {
        true => Expr::Infinity,
        false => Expr::Negative(Box::new(Expr::Infinity)),
    };
    let bracket =
        |o: Operator, open: bool| match (matches!(o, Operator::AtMost | Operator::AtLeast), open) {
            (true, true) => '[',
            (true, false) => ']',
            (false, true) => '(',
            (false, false) => ')',
        };
    let below = |o: Operator| matches!(o, Operator::Less | Operator::AtMost);
    match (&sides[..], &operators[..]) {
        ([Expr::Symbol(_), bound], [o]) if o.is_inequality() && constant(bound) => {
            Some(match below(*o) {
                true => Expr::Tuple('(', vec![infinity(false), bound.clone()], bracket(*o, false)),
                false => Expr::Tuple(bracket(*o, true), vec![bound.clone(), infinity(true)], ')'),
            })
        }
        ([bound, Expr::Symbol(name)], [o]) if o.is_inequality() && constant(bound) => {
            let turned =
                Expr::Relation(vec![Expr::Symbol(name.clone()), bound.clone()], vec![o.turned()]);
            as_interval(&turned)
        }
        ([low, Expr::Symbol(_), high], [o1, o2])
            if o1.is_inequality() && below(*o1) == below(*o2) && o2.is_inequality() =>
        {
            if !constant(low) || !constant(high) {
                return None;
            }
            Some(match below(*o1) {
                true => Expr::Tuple(
                    bracket(*o1, true),
                    vec![low.clone(), high.clone()],
                    bracket(*o2, false),
                ),
                false => Expr::Tuple(
                    bracket(*o2, true),
                    vec![high.clone(), low.clone()],
                    bracket(*o1, false),
                ),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("50\\%", "0.5"),
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
