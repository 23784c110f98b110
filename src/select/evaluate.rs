//! From an expression and what is known of each token to a weight for each.

use super::expression::{
    Choice, Comparison, End, Expression, Extreme, Function, Mask, Number, Operator, Scope, Shape,
    Summary,
};
use super::mask::{at_most, highest_mask, lowest_mask, random_mask, shuffled_mask};
use super::{LossMask, Signals, TokenClass};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// Numbers of one of the three shapes.
enum Numbers {
    Constant(Option<f64>),
    Example(Vec<Option<f64>>),
    Token(Vec<Vec<Option<f64>>>),
}

impl Numbers {
    fn at(&self, example: usize, token: usize) -> Option<f64> {
        match self {
            Self::Constant(value) => *value,
            Self::Example(values) => values[example],
            Self::Token(values) => values[example][token],
        }
    }
}

/// For each token of each example whether it is kept, `None` where that is unknown.
type Kept = Vec<Vec<Option<bool>>>;

/// Computes an expression over `examples`, which `batch` and `data` both stand for.
struct Evaluation<'a> {
    examples: &'a [Signals],
    seed: u64,
    /// Masks and numbers drawn so far: each draws from a stream of its own.
    drawn: u64,
}

/// One weight for each token, 0 outside the completion and where it depends on a value that is not there.
pub(super) fn weights(
    expression: &Expression,
    examples: &[Signals],
    seed: u64,
) -> Result<Vec<Vec<f32>>> {
    let mut evaluation = Evaluation { examples, seed, drawn: 0 };
    if expression.needs().class {
        evaluation.check_classes()?;
    }
    let value: Box<dyn Fn(usize, usize) -> f64> = match expression {
        Expression::Mask(mask) => {
            let kept = evaluation.mask(mask)?;
            Box::new(move |example, token| f64::from(u8::from(kept[example][token] == Some(true))))
        }
        Expression::Number(number) => {
            let numbers = evaluation.number(number)?;
            Box::new(move |example, token| numbers.at(example, token).unwrap_or(0.0))
        }
    };
    let mut all = Vec::with_capacity(examples.len());
    for (at, example) in examples.iter().enumerate() {
        let mut weights = vec![0f32; example.completion.len()];
        for token in example.completion.positions() {
            let weight = value(at, token) as f32 * example.given.get(token).unwrap_or(&1.0);
            if !(weight >= 0.0 && weight.is_finite()) {
                let problem = format!(
                    "token {token} of example {at} has the weight {weight}; weights are finite and at least 0, as max(0, …) or if(MASK, …, 0) makes them"
                );
                return Err(Error::invalid("weights", problem));
            }
            weights[token] = weight;
        }
        all.push(weights);
    }
    Ok(all)
}

impl Evaluation<'_> {
    fn check_classes(&self) -> Result<()> {
        for (at, example) in self.examples.iter().enumerate() {
            let (classes, tokens) = (example.class.len(), example.completion.len());
            if classes != tokens {
                let problem = format!("example {at} has {classes} classes for {tokens} tokens");
                return Err(Error::invalid("token classes", problem));
            }
        }
        Ok(())
    }

    /// The stream of the next thing that is drawn; the first one is the stream that carries the name.
    fn stream(&mut self, name: &str) -> Rng {
        let rng = Rng::new(self.seed, name);
        let drawn = self.drawn;
        self.drawn += 1;
        match drawn {
            0 => rng,
            // far from the examples, by whose place the streams are forked
            _ => rng.fork(u64::MAX - drawn),
        }
    }

    /// One value for each token, which `of` finds out from its place.
    fn each<T>(&self, of: impl Fn(usize, usize) -> T) -> Vec<Vec<T>> {
        let tokens = self.examples.iter().map(|example| example.completion.len());
        tokens
            .enumerate()
            .map(|(example, tokens)| (0..tokens).map(|token| of(example, token)).collect())
            .collect()
    }

    fn mask(&mut self, mask: &Mask) -> Result<Kept> {
        Ok(match mask {
            Mask::All => self.each(|_, _| Some(true)),
            Mask::Compare(a, comparison, b) => {
                let (a, b) = (self.number(a)?, self.number(b)?);
                self.each(|example, token| {
                    let (a, b) = (a.at(example, token)?, b.at(example, token)?);
                    Some(comparison.holds(a, b))
                })
            }
            Mask::Class(classes) => self.each(|example, token| {
                Some(classes.contains(&self.examples[example].class[token]))
            }),
            Mask::Not(of) => {
                let of = self.mask(of)?;
                self.each(|example, token| of[example][token].map(|kept| !kept))
            }
            Mask::And(a, b) => {
                let (a, b) = (self.mask(a)?, self.mask(b)?);
                self.each(|example, token| match (a[example][token], b[example][token]) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                })
            }
            Mask::Or(a, b) => {
                let (a, b) = (self.mask(a)?, self.mask(b)?);
                self.each(|example, token| match (a[example][token], b[example][token]) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                })
            }
            Mask::Share(end, share, of, scope) => {
                let of = self.number(of)?;
                self.share(*end, *share, &of, *scope)
            }
            Mask::Like(choice, like) => self.like(choice, like)?,
            Mask::Preset(call) => self.mask(&call.expansion)?,
        })
    }

    /// The share of the completion tokens that lies at one end; of equal values the earlier token comes first.
    fn share(&self, end: End, share: f64, of: &Numbers, scope: Scope) -> Kept {
        let mut kept = self.each(|example, token| of.at(example, token).map(|_| false));
        let groups: Vec<Vec<usize>> = match scope {
            Scope::Example => (0..self.examples.len()).map(|at| vec![at]).collect(),
            Scope::Batch | Scope::Data => vec![(0..self.examples.len()).collect()],
        };
        for group in groups {
            let mut tokens = 0;
            let mut known: Vec<(f64, usize, usize)> = Vec::new();
            for example in group {
                for token in self.examples[example].completion.positions() {
                    tokens += 1;
                    known.extend(of.at(example, token).map(|value| (value, example, token)));
                }
            }
            // a stable sort, so that equal values stay in the order of the text
            match end {
                End::Top => known.sort_by(|a, b| b.0.total_cmp(&a.0)),
                End::Bottom => known.sort_by(|a, b| a.0.total_cmp(&b.0)),
            }
            // the share of a whole number of tokens may come out a little below it
            let count = (tokens as f64 * share + 1e-9).floor() as usize;
            for (_, example, token) in known.into_iter().take(count) {
                kept[example][token] = Some(true);
            }
        }
        kept
    }

    /// As many tokens of each example as `like` keeps.
    fn like(&mut self, choice: &Choice, like: &Mask) -> Result<Kept> {
        let like = self.mask(like)?;
        let wanted = |at: usize| {
            self.examples[at].completion.keep_where(|token| like[at][token] == Some(true))
        };
        let masks: Vec<LossMask> = match choice {
            Choice::Random | Choice::Shuffled => {
                let wanted: Vec<LossMask> = (0..self.examples.len()).map(wanted).collect();
                let name = match choice {
                    Choice::Random => "random-mask",
                    _ => "shuffled-mask",
                };
                let stream = self.stream(name);
                let drawn = wanted.iter().zip(self.examples).enumerate();
                let drawn = drawn.map(|(at, (wanted, example))| {
                    let rng = &mut stream.fork(at as u64);
                    match choice {
                        Choice::Random => {
                            let masked = example.completion.counts(wanted)?.masked;
                            random_mask(&example.completion, masked, rng)
                        }
                        _ => shuffled_mask(&example.completion, &example.class, wanted, rng),
                    }
                });
                drawn.collect::<Result<_>>()?
            }
            Choice::Highest(of) | Choice::Lowest(of) => {
                let wanted: Vec<LossMask> = (0..self.examples.len()).map(wanted).collect();
                let of = self.number(of)?;
                let ranked = wanted.iter().zip(self.examples).enumerate();
                let ranked = ranked.map(|(at, (wanted, example))| {
                    let completion = &example.completion;
                    let values: Vec<Option<f64>> =
                        (0..completion.len()).map(|token| of.at(at, token)).collect();
                    let keep = wanted.learned();
                    match choice {
                        Choice::Highest(_) => highest_mask(completion, &values, keep),
                        _ => lowest_mask(completion, &values, keep),
                    }
                });
                ranked.collect::<Result<_>>()?
            }
        };
        Ok(self.each(|example, token| Some(masks[example].learns(token))))
    }

    fn number(&mut self, number: &Number) -> Result<Numbers> {
        Ok(match number {
            Number::Constant(value) => Numbers::Constant(Some(*value)),
            Number::Signal(signal) => {
                let values = self.examples.iter().enumerate();
                let values = values.map(|(at, example)| signal.values(example, at));
                Numbers::Token(values.collect::<Result<_>>()?)
            }
            Number::Uniform => {
                let stream = self.stream("uniform");
                let examples = self.examples.iter().enumerate();
                let drawn = examples.map(|(at, example)| {
                    let mut rng = stream.fork(at as u64);
                    (0..example.completion.len()).map(|_| Some(rng.uniform())).collect()
                });
                Numbers::Token(drawn.collect())
            }
            Number::Negate(of) => {
                let of = self.number(of)?;
                self.calculated(number.shape(), |example, token| Some(-of.at(example, token)?))
            }
            Number::Binary(operator, a, b) => {
                let (a, b) = (self.number(a)?, self.number(b)?);
                self.calculated(number.shape(), |example, token| {
                    Some(operator.of(a.at(example, token)?, b.at(example, token)?))
                })
            }
            Number::Function(function, of) => {
                let of = self.number(of)?;
                self.calculated(number.shape(), |example, token| {
                    Some(function.of(of.at(example, token)?))
                })
            }
            Number::Extreme(extreme, a, b) => {
                let (a, b) = (self.number(a)?, self.number(b)?);
                self.calculated(number.shape(), |example, token| {
                    let (a, b) = (a.at(example, token)?, b.at(example, token)?);
                    Some(match extreme {
                        Extreme::Min => a.min(b),
                        Extreme::Max => a.max(b),
                    })
                })
            }
            Number::If(mask, a, b) => {
                let mask = self.mask(mask)?;
                let (a, b) = (self.number(a)?, self.number(b)?);
                self.calculated(number.shape(), |example, token| {
                    if mask[example][token]? { a.at(example, token) } else { b.at(example, token) }
                })
            }
            Number::ByClass(cases, otherwise) => {
                let cases: Vec<(TokenClass, Numbers)> = cases
                    .iter()
                    .map(|(class, number)| Ok((*class, self.number(number)?)))
                    .collect::<Result<_>>()?;
                let otherwise = self.number(otherwise)?;
                self.calculated(number.shape(), |example, token| {
                    let class = self.examples[example].class[token];
                    let case = cases.iter().find(|(of, _)| *of == class);
                    case.map_or(&otherwise, |(_, numbers)| numbers).at(example, token)
                })
            }
            Number::Summary(summary, of, scope) => {
                let shape = of.shape();
                let of = self.number(of)?;
                self.summary(*summary, &of, shape, *scope)
            }
            Number::Preset(call) => self.number(&call.expansion)?,
        })
    }

    /// Numbers of `shape`, each found out from its place; what is not a number is none.
    fn calculated(&self, shape: Shape, of: impl Fn(usize, usize) -> Option<f64>) -> Numbers {
        let of = |example, token| of(example, token).filter(|value: &f64| !value.is_nan());
        match shape {
            Shape::Constant => Numbers::Constant(of(0, 0)),
            Shape::Example => {
                Numbers::Example((0..self.examples.len()).map(|at| of(at, 0)).collect())
            }
            Shape::Token => Numbers::Token(self.each(of)),
        }
    }

    /// One number for each `scope`, of the known values of its completion tokens, or of its examples.
    fn summary(&self, summary: Summary, of: &Numbers, shape: Shape, scope: Scope) -> Numbers {
        let known = |at: usize| -> Vec<f64> {
            match shape {
                Shape::Token => {
                    let tokens = self.examples[at].completion.positions();
                    tokens.filter_map(|token| of.at(at, token)).collect()
                }
                _ => of.at(at, 0).into_iter().collect(),
            }
        };
        let examples = 0..self.examples.len();
        match scope {
            Scope::Example => Numbers::Example(examples.map(|at| summary.of(known(at))).collect()),
            Scope::Batch | Scope::Data => {
                Numbers::Constant(summary.of(examples.flat_map(known).collect()))
            }
        }
    }
}

impl Comparison {
    /// In single precision, in which signals are computed: a threshold of 1.1 then keeps a perplexity of 1.1.
    fn holds(self, a: f64, b: f64) -> bool {
        let (a, b) = (a as f32, b as f32);
        match self {
            Self::Less => a < b,
            Self::AtMost => at_most(a, b),
            Self::More => a > b,
            Self::AtLeast => a >= b,
        }
    }
}

impl Operator {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Power => a.powf(b),
        }
    }
}

impl Function {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Ln => value.ln(),
            Self::Exp => value.exp(),
            Self::Abs => value.abs(),
        }
    }
}

impl Summary {
    /// As numpy computes it: a quantile between two values lies on the line between them, and the median is the quantile at a half.
    fn of(self, mut values: Vec<f64>) -> Option<f64> {
        if values.is_empty() {
            return None;
        }
        let at = match self {
            Self::Mean => return Some(values.iter().sum::<f64>() / values.len() as f64),
            Self::Median => 0.5,
            Self::Quantile(at) => at,
        };
        values.sort_by(f64::total_cmp);
        let place = at * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        let part = place.fract();
        // without the product, which is no number, where a value is infinite
        let value = if part == 0.0 { below } else { below + (above - below) * part };
        Some(value).filter(|value| !value.is_nan())
    }
}
