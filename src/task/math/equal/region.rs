//! Sets of real numbers: intervals, unions of them, and inequalities that bound a letter.

use super::{Comparison, Expr, Operator, Value, is_constant, is_name, is_quantity};

/// Most intervals of a set that is compared.
const MOST_SPANS: usize = 100;

/// An end of an interval, with the formula it is computed from, and whether it belongs to the interval.
#[derive(Debug, Clone)]
struct End {
    formula: Expr,
    value: Value,
    closed: bool,
}

#[derive(Debug, Clone)]
struct Span {
    low: End,
    high: End,
}

/// Whether two formulas are the same set of real numbers. Two points or intervals in brackets are compared elsewhere.
pub(super) fn same(comparison: &Comparison, gold: &Expr, given: &Expr) -> bool {
    let bare = |e: &Expr| matches!(e, Expr::Tuple(..) | Expr::Set(_));
    if bare(gold) && bare(given) {
        return false;
    }
    if let (Some(a), Some(b)) = (subject(gold), subject(given))
        && !comparison.same_name(a, b)
    {
        return false;
    }
    let (Some(a), Some(b)) = (region(comparison, gold), region(comparison, given)) else {
        return false;
    };
    let end = |a: &End, b: &End| a.closed == b.closed && same_end(comparison, a, b);
    let span = |(a, b): (&Span, &Span)| end(&a.low, &b.low) && end(&a.high, &b.high);
    a.len() == b.len() && a.iter().zip(&b).all(span)
}

/// Whether something may be bounded: a letter, a function, or a quantity of letters.
fn is_bounded(expr: &Expr) -> bool {
    let name = is_name(expr) && !matches!(expr, Expr::Tuple(..) | Expr::Text(_));
    name || is_quantity(expr) && !matches!(expr, Expr::Apply(name, _) if name == "abs")
}

/// What is inside of an absolute value.
fn inside(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Apply(name, inside) if name == "abs" => inside.first(),
        _ => None,
    }
}

/// What an inequality, or the first of several, bounds.
fn subject(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Relation(sides, _) => {
            sides.iter().map(|side| inside(side).unwrap_or(side)).find(|side| is_bounded(side))
        }
        Expr::List(parts) | Expr::Union(parts) => parts.first().and_then(subject),
        _ => None,
    }
}

fn same_end(comparison: &Comparison, a: &End, b: &End) -> bool {
    comparison.same_value(&a.formula, &b.formula)
}

/// The intervals of a set from left to right, none of which touch.
fn region(comparison: &Comparison, expr: &Expr) -> Option<Vec<Span>> {
    let spans = match expr {
        Expr::Tuple(open, items, close) => match &items[..] {
            [low, high] if *open != ':' => {
                let low = end(comparison, low, *open == '[')?;
                let high = end(comparison, high, *close == ']')?;
                vec![Span { low, high }]
            }
            _ => return None,
        },
        Expr::Set(items) => {
            let point = |item: &Expr| {
                let at = end(comparison, item, true)?;
                Some(Span { low: at.clone(), high: at })
            };
            items.iter().map(point).collect::<Option<_>>()?
        }
        Expr::Union(parts) => together(comparison, parts)?,
        Expr::List(parts) if parts.iter().all(|p| matches!(p, Expr::Relation(..))) => {
            let first = subject(parts.first()?)?;
            let one = |part: &Expr| subject(part).is_some_and(|s| comparison.same_name(first, s));
            if !parts.iter().all(one) {
                return None;
            }
            let all = merged(comparison, together(comparison, parts)?)?;
            let line = |span: &Span| is_infinite(&span.low) && is_infinite(&span.high);
            match &all[..] {
                // x > 1 and x < 3
                [one] if line(one) => common(comparison, parts)?,
                _ => all,
            }
        }
        Expr::Relation(sides, operators) => bounded(comparison, sides, operators)?,
        Expr::Apply(name, parts) if name == "setminus" => match &parts[..] {
            [whole, Expr::Set(points)] => {
                let mut spans = region(comparison, whole)?;
                for point in points {
                    let at = end(comparison, point, false)?;
                    spans =
                        spans.into_iter().flat_map(|span| without(comparison, span, &at)).collect();
                }
                spans
            }
            _ => return None,
        },
        Expr::Sum(parts) => match &parts[..] {
            [whole, Expr::Negative(points)] if matches!(**points, Expr::Set(_)) => {
                let difference = vec![whole.clone(), (**points).clone()];
                region(comparison, &Expr::Apply("setminus".into(), difference))?
            }
            _ => return None,
        },
        Expr::Symbol(name) if name == REALS => {
            vec![Span { low: infinity(false)?, high: infinity(true)? }]
        }
        _ => return None,
    };
    merged(comparison, spans)
}

/// How the set of real numbers is read.
pub(super) const REALS: &str = "\\mathbb{R}";

fn together(comparison: &Comparison, parts: &[Expr]) -> Option<Vec<Span>> {
    let parts = parts.iter().map(|part| region(comparison, part)).collect::<Option<Vec<_>>>()?;
    Some(parts.into_iter().flatten().collect())
}

/// What all parts have in common.
fn common(comparison: &Comparison, parts: &[Expr]) -> Option<Vec<Span>> {
    let mut common = vec![Span { low: infinity(false)?, high: infinity(true)? }];
    let inner = |a: &End, b: &End, low: bool| {
        if same_end(comparison, a, b) {
            return End { closed: a.closed && b.closed, ..a.clone() };
        }
        if a.value.less(&b.value) == low { b.clone() } else { a.clone() }
    };
    for part in parts {
        let other = region(comparison, part)?;
        if other.len() * common.len() > MOST_SPANS {
            return None;
        }
        let pairs = common.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
        let spans = pairs.map(|(a, b)| Span {
            low: inner(&a.low, &b.low, true),
            high: inner(&a.high, &b.high, false),
        });
        let holds = |span: &Span| {
            if same_end(comparison, &span.low, &span.high) {
                span.low.closed && span.high.closed
            } else {
                span.low.value.less(&span.high.value)
            }
        };
        common = spans.filter(holds).collect();
    }
    Some(common)
}

fn without(comparison: &Comparison, span: Span, at: &End) -> Vec<Span> {
    let is = |end: &End| same_end(comparison, end, at);
    let open = |end: &End| End { closed: end.closed && !is(end), ..end.clone() };
    let inside = span.low.value.less(&at.value) && at.value.less(&span.high.value);
    if inside && !is(&span.low) && !is(&span.high) {
        return vec![
            Span { low: span.low, high: at.clone() },
            Span { low: at.clone(), high: span.high },
        ];
    }
    vec![Span { low: open(&span.low), high: open(&span.high) }]
}

/// Sorted, and what touches joined. `None` if an interval is empty.
fn merged(comparison: &Comparison, mut spans: Vec<Span>) -> Option<Vec<Span>> {
    if spans.len() > MOST_SPANS {
        return None;
    }
    let same = |a: &End, b: &End| same_end(comparison, a, b);
    for Span { low, high } in &spans {
        let point = same(low, high);
        if point && !(low.closed && high.closed) || !point && high.value.less(&low.value) {
            return None;
        }
    }
    spans.sort_by(|a, b| a.low.value.about.re.total_cmp(&b.low.value.about.re));
    let mut out: Vec<Span> = Vec::new();
    for span in spans {
        let Some(last) = out.last_mut() else {
            out.push(span);
            continue;
        };
        let meet = same(&last.high, &span.low);
        let touch = meet && (last.high.closed || span.low.closed);
        if !touch && (meet || last.high.value.less(&span.low.value)) {
            out.push(span);
            continue;
        }
        if same(&last.low, &span.low) {
            last.low.closed |= span.low.closed;
        }
        if same(&last.high, &span.high) {
            last.high.closed |= span.high.closed;
        } else if last.high.value.less(&span.high.value) {
            last.high = span.high;
        }
    }
    Some(out)
}

fn is_infinite(end: &End) -> bool {
    end.value.exact.is_none() && end.value.about.re.is_infinite()
}

fn end(comparison: &Comparison, formula: &Expr, closed: bool) -> Option<End> {
    let value = is_constant(formula).then(|| comparison.constant(formula))??;
    let finite = value.about.re.is_finite();
    Some(End { formula: formula.clone(), value, closed: closed && finite })
}

fn infinity(positive: bool) -> Option<End> {
    let formula = if positive { Expr::Infinity } else { Expr::Negative(Box::new(Expr::Infinity)) };
    let value = Value::infinite(positive);
    Some(End { formula, value, closed: false })
}

/// What inequalities leave to a letter or to its absolute value.
fn bounded(comparison: &Comparison, sides: &[Expr], operators: &[Operator]) -> Option<Vec<Span>> {
    let below = |o: Operator| matches!(o, Operator::Less | Operator::AtMost);
    let closed = |o: Operator| matches!(o, Operator::AtMost | Operator::AtLeast);
    let one = is_bounded;
    let size = |e: &Expr| inside(e).is_some_and(one);
    let bounds = |e: &Expr| one(e) || size(e);
    let negative = |end: &End| {
        let formula = Expr::Negative(Box::new(end.formula.clone()));
        self::end(comparison, &formula, end.closed)
    };
    match (sides, operators) {
        ([name, set], [Operator::In]) if is_name(name) => region(comparison, set),
        ([name, point], [Operator::Equal]) if one(name) => {
            let at = end(comparison, point, true)?;
            Some(vec![Span { low: at.clone(), high: at }])
        }
        ([name, point], [Operator::NotEqual]) if one(name) => {
            let at = end(comparison, point, false)?;
            Some(vec![
                Span { low: infinity(false)?, high: at.clone() },
                Span { low: at, high: infinity(true)? },
            ])
        }
        ([bound, name], [o]) if o.is_inequality() && bounds(name) && !bounds(bound) => {
            bounded(comparison, &[name.clone(), bound.clone()], &[o.turned()])
        }
        ([name, bound], [o]) if o.is_inequality() && bounds(name) => {
            let at = end(comparison, bound, closed(*o))?;
            Some(match (below(*o), size(name)) {
                (true, false) => vec![Span { low: infinity(false)?, high: at }],
                (false, false) => vec![Span { low: at, high: infinity(true)? }],
                (true, true) => vec![Span { low: negative(&at)?, high: at }],
                (false, true) => vec![
                    Span { low: infinity(false)?, high: negative(&at)? },
                    Span { low: at, high: infinity(true)? },
                ],
            })
        }
        ([high, name, low], [o1, o2]) if o1.is_inequality() && !below(*o1) => {
            let turned = [o2.turned(), o1.turned()];
            if !below(turned[0]) {
                return None;
            }
            bounded(comparison, &[low.clone(), name.clone(), high.clone()], &turned)
        }
        ([low, name, high], [o1, o2]) if below(*o1) && below(*o2) && bounds(name) => {
            let low = end(comparison, low, closed(*o1))?;
            let high = end(comparison, high, closed(*o2))?;
            let mut spans = vec![Span { low: low.clone(), high: high.clone() }];
            if size(name) {
                spans.push(Span { low: negative(&high)?, high: negative(&low)? });
            }
            Some(spans)
        }
        _ => None,
    }
}
