//! The tree of an expression: what a weight is made of, how it is written, and what it needs.

use super::TokenClass;
use super::preset::{PRESETS, Preset};
use super::signal::{Quantity, Scorer, Signal};
use crate::error::{Error, Result};
use serde::Serialize;
use std::fmt;

/// What a [`Weighting`](super::Weighting) is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Needs {
    /// Scores of the model before fine-tuning.
    pub base: bool,
    /// Scores of the model as it is in training.
    pub current: bool,
    /// Scores of another model.
    pub reference: bool,
    /// The entropy of the most probable tokens, of one of these models.
    pub top_entropy: bool,
    /// The classes of the tokens.
    pub class: bool,
    /// All examples of one optimizer step together, and no others.
    pub batch: bool,
    /// All examples of the data set together.
    pub whole_set: bool,
}

impl Needs {
    /// Whether the weights change in training: those of an *offline* rule are computed once, before it.
    pub fn online(self) -> bool {
        self.current || self.batch
    }
}

/// What the weights are: 1 where a mask keeps, or numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Mask(Mask),
    Number(Number),
}

/// For each token whether it is kept, or unknown where that depends on a value that is not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mask {
    /// Every completion token.
    All,
    /// `left <= right` and its kin, compared in single precision.
    Compare(Box<Number>, Comparison, Box<Number>),
    /// Tokens of one of these classes.
    Class(Vec<TokenClass>),
    Not(Box<Mask>),
    And(Box<Mask>, Box<Mask>),
    Or(Box<Mask>, Box<Mask>),
    /// This share of the completion tokens of each `per`, from one end.
    Share(End, f64, Box<Number>, Scope),
    /// As many tokens of each example as another mask keeps.
    Like(Choice, Box<Mask>),
    Preset(Call<Mask>),
}

/// A number for each token, for each example, or one for all; none where it depends on a value that is not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
    Constant(f64),
    Signal(Signal),
    /// Drawn from 0 to 1 for each token.
    Uniform,
    Negate(Box<Number>),
    Binary(Operator, Box<Number>, Box<Number>),
    Function(Function, Box<Number>),
    Extreme(Extreme, Box<Number>, Box<Number>),
    If(Box<Mask>, Box<Number>, Box<Number>),
    ByClass(Vec<(TokenClass, Number)>, Box<Number>),
    /// One number out of all that are known in each `per`.
    Summary(Summary, Box<Number>, Scope),
    Preset(Call<Number>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Top,
    Bottom,
}

/// Which tokens are kept when it is given how many.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    /// Drawn from the completion.
    Random,
    /// Drawn from the completion's tokens of each class.
    Shuffled,
    Highest(Box<Number>),
    Lowest(Box<Number>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Ln,
    Exp,
    Abs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extreme {
    Min,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Summary {
    Mean,
    Median,
    Quantile(f64),
}

/// What is looked at together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The tokens of one example.
    Example,
    /// Those of the examples of one optimizer step.
    Batch,
    /// Those of the whole data set.
    Data,
}

/// How many numbers a [`Number`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Constant,
    Example,
    Token,
}

/// A published method by its name: written so, computed as its expansion.
#[derive(Debug, Clone)]
pub(super) struct Call<T> {
    pub preset: &'static Preset,
    pub arguments: Vec<f64>,
    pub by_class: Vec<(Option<TokenClass>, f64)>,
    pub expansion: Box<T>,
}

impl<T: PartialEq> PartialEq for Call<T> {
    fn eq(&self, other: &Self) -> bool {
        self.preset.name == other.preset.name
            && self.arguments == other.arguments
            && self.by_class == other.by_class
            && self.expansion == other.expansion
    }
}

impl Comparison {
    pub const SIGNS: [(&'static str, Self); 4] =
        [("<", Self::Less), ("<=", Self::AtMost), (">", Self::More), (">=", Self::AtLeast)];
}

impl Operator {
    pub const SIGNS: [(&'static str, Self); 5] = [
        ("+", Self::Add),
        ("-", Self::Subtract),
        ("*", Self::Multiply),
        ("/", Self::Divide),
        ("^", Self::Power),
    ];
}

impl Function {
    pub const NAMES: [(&'static str, Self); 3] =
        [("ln", Self::Ln), ("exp", Self::Exp), ("abs", Self::Abs)];
}

impl Extreme {
    pub const NAMES: [(&'static str, Self); 2] = [("min", Self::Min), ("max", Self::Max)];
}

impl End {
    pub const NAMES: [(&'static str, Self); 2] = [("top", Self::Top), ("bottom", Self::Bottom)];
}

impl Scope {
    pub const NAMES: [(&'static str, Self); 3] =
        [("example", Self::Example), ("batch", Self::Batch), ("data", Self::Data)];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

impl Number {
    /// The number with its sign turned; a constant stays one, so that there is one way to write it.
    pub fn negated(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(-value),
            other => Self::Negate(Box::new(other)),
        }
    }

    /// How many numbers it is.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Constant(_) => Shape::Constant,
            Self::Signal(_) | Self::Uniform | Self::If(..) | Self::ByClass(..) => Shape::Token,
            Self::Negate(of) | Self::Function(_, of) => of.shape(),
            Self::Binary(_, a, b) | Self::Extreme(_, a, b) => a.shape().max(b.shape()),
            Self::Summary(_, _, Scope::Example) => Shape::Example,
            Self::Summary(..) => Shape::Constant,
            Self::Preset(call) => call.expansion.shape(),
        }
    }

    fn note(&self, needs: &mut Needs) {
        match self {
            Self::Constant(_) | Self::Uniform => {}
            Self::Signal(signal) => {
                match signal.scorer {
                    Scorer::Base => needs.base = true,
                    Scorer::Current => needs.current = true,
                    Scorer::Reference => needs.reference = true,
                }
                needs.top_entropy |= signal.quantity == Quantity::TopEntropy;
            }
            Self::Negate(of) | Self::Function(_, of) => of.note(needs),
            Self::Binary(_, a, b) | Self::Extreme(_, a, b) => {
                a.note(needs);
                b.note(needs);
            }
            Self::If(mask, a, b) => {
                mask.note(needs);
                a.note(needs);
                b.note(needs);
            }
            Self::ByClass(cases, otherwise) => {
                needs.class = true;
                cases.iter().for_each(|(_, number)| number.note(needs));
                otherwise.note(needs);
            }
            Self::Summary(_, of, scope) => {
                scope.note(needs);
                of.note(needs);
            }
            Self::Preset(call) => call.expansion.note(needs),
        }
    }
}

impl Scope {
    fn note(self, needs: &mut Needs) {
        needs.batch |= self == Self::Batch;
        needs.whole_set |= self == Self::Data;
    }
}

impl Mask {
    fn note(&self, needs: &mut Needs) {
        match self {
            Self::All => {}
            Self::Compare(a, _, b) => {
                a.note(needs);
                b.note(needs);
            }
            Self::Class(_) => needs.class = true,
            Self::Not(of) => of.note(needs),
            Self::And(a, b) | Self::Or(a, b) => {
                a.note(needs);
                b.note(needs);
            }
            Self::Share(_, _, of, scope) => {
                scope.note(needs);
                of.note(needs);
            }
            Self::Like(choice, like) => {
                match choice {
                    Choice::Random => {}
                    Choice::Shuffled => needs.class = true,
                    Choice::Highest(of) | Choice::Lowest(of) => of.note(needs),
                }
                like.note(needs);
            }
            Self::Preset(call) => call.expansion.note(needs),
        }
    }
}

impl Expression {
    /// Selective Token Masking as the preset `stm` writes it.
    pub fn stm(threshold: f64) -> Result<Self> {
        let (preset, range) = (&PRESETS[0], PRESETS[0].parameters[0].range);
        if !range.allows(threshold) {
            let problem = format!("must be {}, got {threshold}", range.says());
            return Err(Error::invalid("threshold", problem));
        }
        let perplexity = Signal { quantity: Quantity::Perplexity, scorer: Scorer::Base };
        Ok(Self::Mask(Mask::Preset(Call {
            preset,
            arguments: vec![threshold],
            by_class: Vec::new(),
            expansion: Box::new(Mask::Compare(
                Box::new(Number::Signal(perplexity)),
                Comparison::AtMost,
                Box::new(Number::Constant(threshold)),
            )),
        })))
    }

    /// What it can be computed from.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        match self {
            Self::Mask(mask) => mask.note(&mut needs),
            Self::Number(number) => number.note(&mut needs),
        }
        needs
    }

    /// The preset that the whole of it is, if it is one.
    pub fn preset(&self) -> Option<&'static Preset> {
        match self {
            Self::Mask(Mask::Preset(call)) => Some(call.preset),
            Self::Number(Number::Preset(call)) => Some(call.preset),
            _ => None,
        }
    }

    /// The number that the preset calls `parameter`, if the whole of it is a preset that has one.
    pub fn argument(&self, parameter: &str) -> Option<f64> {
        let (preset, arguments) = match self {
            Self::Mask(Mask::Preset(call)) => (call.preset, &call.arguments),
            Self::Number(Number::Preset(call)) => (call.preset, &call.arguments),
            _ => return None,
        };
        let at = preset.parameters.iter().position(|known| known.name == parameter)?;
        arguments.get(at).copied()
    }

    /// As it is written; with `expand`, presets as what they are computed as.
    pub fn text(&self, expand: bool) -> String {
        let mut text = String::new();
        let written = match self {
            Self::Mask(mask) => mask.write(&mut text, 0, expand),
            Self::Number(number) => number.write(&mut text, 0, expand),
        };
        written.expect("writing to a string does not fail");
        text
    }
}

/// How strongly an expression holds together: it stands in parentheses where its surroundings hold more strongly.
mod bond {
    pub const OR: u8 = 1;
    pub const AND: u8 = 2;
    pub const NOT: u8 = 3;
    pub const SUM: u8 = 4;
    pub const PRODUCT: u8 = 5;
    pub const SIGN: u8 = 6;
    pub const POWER: u8 = 7;
    pub const ATOM: u8 = 8;
}

impl Mask {
    fn bond(&self) -> u8 {
        match self {
            Self::Or(..) => bond::OR,
            Self::And(..) => bond::AND,
            Self::Not(_) => bond::NOT,
            _ => bond::ATOM,
        }
    }

    fn write(&self, out: &mut String, least: u8, expand: bool) -> fmt::Result {
        use std::fmt::Write;
        let open = self.bond() < least;
        if open {
            out.push('(');
        }
        match self {
            Self::All => out.push_str("all"),
            Self::Compare(a, comparison, b) => {
                out.push_str("keep(");
                a.write(out, bond::SUM, expand)?;
                write!(out, " {} ", Comparison::SIGNS[*comparison as usize].0)?;
                b.write(out, bond::SUM, expand)?;
                out.push(')');
            }
            Self::Class(classes) => {
                let names: Vec<&str> = classes.iter().map(|class| class.name()).collect();
                write!(out, "class({})", names.join(", "))?;
            }
            Self::Not(of) => {
                out.push('!');
                of.write(out, bond::NOT, expand)?;
            }
            Self::And(a, b) => {
                a.write(out, bond::AND, expand)?;
                out.push_str(" & ");
                b.write(out, bond::NOT, expand)?;
            }
            Self::Or(a, b) => {
                a.write(out, bond::OR, expand)?;
                out.push_str(" | ");
                b.write(out, bond::AND, expand)?;
            }
            Self::Share(end, share, of, scope) => {
                write!(out, "{}({share}, ", End::NAMES[*end as usize].0)?;
                of.write(out, 0, expand)?;
                write!(out, ", per: {})", scope.name())?;
            }
            Self::Like(choice, like) => {
                let of = match choice {
                    Choice::Random => None,
                    Choice::Shuffled => None,
                    Choice::Highest(of) | Choice::Lowest(of) => Some(of),
                };
                write!(out, "{}(", choice.name())?;
                if let Some(of) = of {
                    of.write(out, 0, expand)?;
                    out.push_str(", ");
                }
                out.push_str("like: ");
                like.write(out, 0, expand)?;
                out.push(')');
            }
            Self::Preset(call) if expand => call.expansion.write(out, least, expand)?,
            Self::Preset(call) => call.write(out)?,
        }
        if open {
            out.push(')');
        }
        Ok(())
    }
}

impl Choice {
    pub const NAMES: [&'static str; 4] = ["random", "shuffled", "highest", "lowest"];

    fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Random => 0,
            Self::Shuffled => 1,
            Self::Highest(_) => 2,
            Self::Lowest(_) => 3,
        }]
    }
}

impl Number {
    fn bond(&self) -> u8 {
        match self {
            Self::Binary(Operator::Add | Operator::Subtract, ..) => bond::SUM,
            Self::Binary(Operator::Multiply | Operator::Divide, ..) => bond::PRODUCT,
            Self::Binary(Operator::Power, ..) => bond::POWER,
            Self::Negate(_) => bond::SIGN,
            Self::Constant(value) if value.is_sign_negative() => bond::SIGN,
            _ => bond::ATOM,
        }
    }

    fn write(&self, out: &mut String, least: u8, expand: bool) -> fmt::Result {
        use std::fmt::Write;
        let open = self.bond() < least;
        if open {
            out.push('(');
        }
        match self {
            Self::Constant(value) => write!(out, "{value}")?,
            Self::Signal(signal) => out.push_str(&signal.name()),
            Self::Uniform => out.push_str("uniform"),
            Self::Negate(of) => {
                out.push('-');
                of.write(out, bond::SIGN, expand)?;
            }
            Self::Binary(operator, a, b) => {
                let (left, right) = match operator {
                    Operator::Add | Operator::Subtract => (bond::SUM, bond::PRODUCT),
                    Operator::Multiply | Operator::Divide => (bond::PRODUCT, bond::SIGN),
                    Operator::Power => (bond::ATOM, bond::SIGN),
                };
                a.write(out, left, expand)?;
                write!(out, " {} ", Operator::SIGNS[*operator as usize].0)?;
                b.write(out, right, expand)?;
            }
            Self::Function(function, of) => {
                write!(out, "{}(", Function::NAMES[*function as usize].0)?;
                of.write(out, 0, expand)?;
                out.push(')');
            }
            Self::Extreme(extreme, a, b) => {
                write!(out, "{}(", Extreme::NAMES[*extreme as usize].0)?;
                a.write(out, 0, expand)?;
                out.push_str(", ");
                b.write(out, 0, expand)?;
                out.push(')');
            }
            Self::If(mask, a, b) => {
                out.push_str("if(");
                mask.write(out, 0, expand)?;
                out.push_str(", ");
                a.write(out, 0, expand)?;
                out.push_str(", ");
                b.write(out, 0, expand)?;
                out.push(')');
            }
            Self::ByClass(cases, otherwise) => {
                out.push_str("by_class(");
                for (class, number) in cases {
                    write!(out, "{}: ", class.name())?;
                    number.write(out, 0, expand)?;
                    out.push_str(", ");
                }
                out.push_str("else: ");
                otherwise.write(out, 0, expand)?;
                out.push(')');
            }
            Self::Summary(summary, of, scope) => {
                match summary {
                    Summary::Mean => out.push_str("mean("),
                    Summary::Median => out.push_str("median("),
                    Summary::Quantile(at) => write!(out, "quantile({at}, ")?,
                }
                of.write(out, 0, expand)?;
                write!(out, ", per: {})", scope.name())?;
            }
            Self::Preset(call) if expand => call.expansion.write(out, least, expand)?,
            Self::Preset(call) => call.write(out)?,
        }
        if open {
            out.push(')');
        }
        Ok(())
    }
}

impl<T> Call<T> {
    fn write(&self, out: &mut String) -> fmt::Result {
        use std::fmt::Write;
        out.push_str(self.preset.name);
        let class = |class: &Option<TokenClass>| class.map_or("else", TokenClass::name);
        let numbers = self.arguments.iter().map(f64::to_string);
        let cases = self.by_class.iter();
        let arguments: Vec<String> =
            numbers.chain(cases.map(|(of, value)| format!("{}: {value}", class(of)))).collect();
        if arguments.is_empty() { Ok(()) } else { write!(out, "({})", arguments.join(", ")) }
    }
}
