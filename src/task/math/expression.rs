//! What a formula says.

use num_rational::BigRational;

/// A formula, read. Numbers are exact.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Number(BigRational),
    /// π
    Pi,
    /// Euler's number
    Euler,
    /// The imaginary unit
    Imaginary,
    Infinity,
    /// A letter, with its index if it has one: `x`, `x_1`.
    Symbol(String),
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Divide(Box<Expr>, Box<Expr>),
    Negative(Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    /// `±` before a term: the first sign is plus for `\pm` and minus for `\mp`.
    PlusMinus(bool, Box<Expr>),
    /// A function's name and its arguments; a name that is not known stands for any function.
    Apply(String, Vec<Expr>),
    /// Items between round or square brackets: a point, a vector, an interval. Between colons, a ratio.
    Tuple(char, Vec<Expr>, char),
    Set(Vec<Expr>),
    /// Items without brackets around them.
    List(Vec<Expr>),
    Union(Vec<Expr>),
    /// Rows.
    Matrix(Vec<Vec<Expr>>),
    /// Sides and what stands between them; one operator fewer than sides.
    Relation(Vec<Expr>, Vec<Operator>),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    About,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
}

impl Operator {
    /// The same with its sides changed.
    pub fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    pub fn is_inequality(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Greater | Self::AtLeast)
    }
}

impl Expr {
    pub fn integer(value: i64) -> Self {
        Self::Number(BigRational::from_integer(value.into()))
    }

    /// The parts that stand one level below.
    pub fn parts(&self) -> Vec<&Expr> {
        match self {
            Self::Number(_)
            | Self::Pi
            | Self::Euler
            | Self::Imaginary
            | Self::Infinity
            | Self::Symbol(_)
            | Self::Text(_) => Vec::new(),
            Self::Sum(parts)
            | Self::Product(parts)
            | Self::Apply(_, parts)
            | Self::Tuple(_, parts, _)
            | Self::Set(parts)
            | Self::List(parts)
            | Self::Union(parts)
            | Self::Relation(parts, _) => parts.iter().collect(),
            Self::Divide(a, b) | Self::Power(a, b) => vec![a, b],
            Self::Negative(a) | Self::PlusMinus(_, a) => vec![a],
            Self::Matrix(rows) => rows.iter().flatten().collect(),
        }
    }

    /// Names of the letters in it, each once.
    pub fn symbols(&self, into: &mut Vec<String>) {
        if let Self::Symbol(name) = self
            && !into.contains(name)
        {
            into.push(name.clone());
        }
        for part in self.parts() {
            part.symbols(into);
        }
    }

    pub fn has_plus_minus(&self) -> bool {
        matches!(self, Self::PlusMinus(..)) || self.parts().into_iter().any(Self::has_plus_minus)
    }

    /// With every `±` as its first sign, or every one as its second.
    pub fn signed(&self, first: bool) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|p| p.signed(first)).collect::<Vec<_>>();
        let one = |part: &Self| Box::new(part.signed(first));
        match self {
            Self::PlusMinus(plus, term) => {
                if *plus == first {
                    term.signed(first)
                } else {
                    Self::Negative(one(term))
                }
            }
            Self::Sum(parts) => Self::Sum(all(parts)),
            Self::Product(parts) => Self::Product(all(parts)),
            Self::Apply(name, parts) => Self::Apply(name.clone(), all(parts)),
            Self::Tuple(open, parts, close) => Self::Tuple(*open, all(parts), *close),
            Self::Set(parts) => Self::Set(all(parts)),
            Self::List(parts) => Self::List(all(parts)),
            Self::Union(parts) => Self::Union(all(parts)),
            Self::Relation(parts, operators) => Self::Relation(all(parts), operators.clone()),
            Self::Divide(a, b) => Self::Divide(one(a), one(b)),
            Self::Power(a, b) => Self::Power(one(a), one(b)),
            Self::Negative(a) => Self::Negative(one(a)),
            Self::Matrix(rows) => Self::Matrix(rows.iter().map(|row| all(row)).collect()),
            other => other.clone(),
        }
    }
}
