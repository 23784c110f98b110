use super::expression::{Expression, Mask, Needs};
use super::preset::Preset;
use super::{LossMask, Normalizer, Signals, evaluate, parse};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How much each token weighs in the loss: a parsed expression, and what the weighted sum is divided by if it says so.
///
/// It is its text: it is read from one ([`FromStr`]), shows itself as one that reads back to the same, and is stored as one.
///
/// ```
/// use unforget::select::{LossMask, ModelSignals, Signals, Weighting};
/// let weighting: Weighting = "p_base ^ 2 over weights".parse()?;
/// let example = Signals {
///     completion: LossMask::new(vec![false, true, true]),
///     base: Some(ModelSignals {
///         log_prob: vec![None, Some(-0.0), Some(0.5f32.ln())],
///         ..ModelSignals::default()
///     }),
///     ..Signals::default()
/// };
/// assert_eq!(weighting.weights(&[example], 0)?, [[0.0, 1.0, 0.25]]);
/// # Ok::<(), unforget::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Weighting {
    expression: Expression,
    normalizer: Option<Normalizer>,
    every: Option<usize>,
}

impl From<Expression> for Weighting {
    fn from(expression: Expression) -> Self {
        Self { expression, normalizer: None, every: None }
    }
}

impl Weighting {
    /// The paper's rule: keeps the completion tokens whose perplexity under the base model is at most `threshold`.
    ///
    /// # Errors
    /// When `threshold` is not above 0.
    pub fn stm(threshold: f64) -> Result<Self> {
        Ok(Expression::stm(threshold)?.into())
    }

    /// Every completion token, each with weight 1.
    pub fn all() -> Self {
        Expression::Mask(Mask::All).into()
    }

    /// What it is computed from.
    pub fn needs(&self) -> Needs {
        self.expression.needs()
    }

    /// One weight for each token of each example: 0 outside the completion, and for a token whose weight depends on a value that is not
    /// there.
    ///
    /// `examples` are the data set, or those of one optimizer step where the rule looks at batches or at the current model. `seed`
    /// draws what is random, for each example by its place; in training it must differ from step to step.
    ///
    /// # Errors
    /// When a signal that it needs was not computed or does not fit the tokens, when a control cannot keep as many tokens as it
    /// should, and when a weight is negative or not finite.
    pub fn weights(&self, examples: &[Signals], seed: u64) -> Result<Vec<Vec<f32>>> {
        evaluate::weights(&self.expression, examples, seed)
    }

    /// The tokens whose weight is not 0.
    ///
    /// # Errors
    /// Those of [`weights`](Self::weights).
    pub fn masks(&self, examples: &[Signals], seed: u64) -> Result<Vec<LossMask>> {
        let kept = |weights: Vec<f32>| weights.into_iter().map(|weight| weight != 0.0).collect();
        Ok(self.weights(examples, seed)?.into_iter().map(kept).collect())
    }

    /// What the weighted sum of surprisals is divided by: what is written after `over`, else what the publication of the preset
    /// that this is divides by; `None` where nothing says.
    pub fn normalizer(&self) -> Option<Normalizer> {
        let published = self.expression.preset().map(|preset| preset.normalizer);
        self.normalizer.or(published)
    }

    /// Optimizer steps after which the current model scores the data again; 1 unless `every` says otherwise.
    pub fn every(&self) -> usize {
        self.every.unwrap_or(1)
    }

    /// Whether its weights are 0 and 1.
    pub fn is_mask(&self) -> bool {
        matches!(self.expression, Expression::Mask(_))
    }

    /// The published method that this is, if it is one and nothing else.
    pub fn preset(&self) -> Option<&'static Preset> {
        self.expression.preset()
    }

    /// The threshold of the token perplexity, of a published method that has one and nothing else.
    pub fn threshold(&self) -> Option<f64> {
        self.expression.argument("threshold")
    }

    /// The same without names of presets: what is computed.
    pub fn expanded(&self) -> String {
        self.written(true)
    }

    /// The tree, for tests of the language.
    #[cfg(test)]
    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }

    fn written(&self, expand: bool) -> String {
        let mut text = self.expression.text(expand);
        let normalizer = if expand { self.normalizer() } else { self.normalizer };
        if let Some(normalizer) = normalizer {
            text += &format!(" over {}", normalizer.name());
        }
        if let Some(steps) = self.every {
            text += &format!(" every {steps}");
        }
        text
    }
}

impl FromStr for Weighting {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let (expression, normalizer, every) = parse::parse(line)?;
        Ok(Self { expression, normalizer, every })
    }
}

impl fmt::Display for Weighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(false))
    }
}

impl TryFrom<String> for Weighting {
    type Error = Error;
    fn try_from(line: String) -> Result<Self> {
        line.parse()
    }
}

impl From<Weighting> for String {
    fn from(weighting: Weighting) -> Self {
        weighting.to_string()
    }
}

/// Share of `completion_tokens` that were kept and are not, or were not and are: what a re-scoring changed. 0 without tokens.
///
/// # Errors
/// When the two do not have the same examples of the same lengths.
///
/// ```
/// use unforget::select::churn;
/// let (before, after) = ([vec![0.0, 1.0, 1.0]], [vec![0.0, 0.5, 0.0]]);
/// assert_eq!(churn(2, &before, &after)?, 0.5);
/// # Ok::<(), unforget::error::Error>(())
/// ```
pub fn churn(completion_tokens: usize, before: &[Vec<f32>], after: &[Vec<f32>]) -> Result<f64> {
    let lengths = |weights: &[Vec<f32>]| weights.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(before) != lengths(after) {
        let problem = "the two lists are not of the same examples";
        return Err(Error::invalid("churn of weights", problem));
    }
    let pairs = before.iter().flatten().zip(after.iter().flatten());
    let changed = pairs.filter(|(a, b)| (**a != 0.0) != (**b != 0.0)).count();
    Ok(changed as f64 / completion_tokens.max(1) as f64)
}
