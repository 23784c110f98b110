//! How much weight rules give, and to which tokens: what can be seen of a rule before anything is trained.

use crate::error::{Error, Result};
use crate::masked::Masked;
use crate::metric::PAPER_THRESHOLD;
use crate::select::TokenClass;
use serde::Serialize;
use std::ops::Range;

/// Where the weight of several rules lies, a row for each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// In the order in which they were given.
    pub rows: Vec<Share>,
}

/// Where the weight of one rule lies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// The rule.
    pub rule: String,
    /// Tokens of the answers.
    pub tokens: usize,
    /// Those whose weight is not 0.
    pub learned: usize,
    /// Sum of all weights.
    pub weight: f64,
    /// Share of it on tokens whose perplexity is above the paper's threshold of 2.5.
    pub surprising: f64,
    /// Share of it on tokens of the writer's own style; `None` where that is not known.
    pub style: Option<f64>,
    /// Share of it on words, on numbers and on all other tokens.
    pub classes: [f64; 3],
}

/// One token of an answer, as a spread counts it.
struct Token {
    weight: f64,
    perplexity: Option<f64>,
    style: bool,
    class: TokenClass,
}

/// Sets rules side by side by where their weight lies.
///
/// # Errors
/// There is none, or one of them gives no token any weight.
pub fn spread(masked: &[&Masked]) -> Result<Spread> {
    if masked.is_empty() {
        return Err(Error::invalid("rules", "there is none"));
    }
    let share = |masked: &&Masked| {
        let tokens = tokens(masked);
        let weight: f64 = tokens.iter().map(|token| token.weight).sum();
        if weight == 0.0 {
            let problem = "gives no token any weight";
            return Err(Error::invalid(format!("rule {}", masked.rule), problem));
        }
        let of = |fits: &dyn Fn(&Token) -> bool| {
            let fitting = tokens.iter().filter(|token| fits(token));
            fitting.map(|token| token.weight).sum::<f64>() / weight
        };
        let known = masked.scored.items.iter().any(|item| !item.style.is_empty());
        let (words, numbers) = (
            of(&|token| token.class == TokenClass::Words),
            of(&|token| token.class == TokenClass::Numbers),
        );
        Ok(Share {
            rule: masked.rule.to_string(),
            tokens: tokens.len(),
            learned: tokens.iter().filter(|token| token.weight != 0.0).count(),
            weight,
            surprising: of(&|token| token.perplexity.is_some_and(|p| p > PAPER_THRESHOLD)),
            style: known.then(|| of(&|token| token.style)),
            classes: [words, numbers, (1.0 - words - numbers).max(0.0)],
        })
    };
    Ok(Spread { rows: masked.iter().map(share).collect::<Result<_>>()? })
}

impl Spread {
    /// The row of one rule, as it writes itself.
    ///
    /// # Errors
    /// There is no such row.
    pub fn of(&self, rule: &str) -> Result<&Share> {
        let found = self.rows.iter().find(|row| row.rule == rule);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.rows.iter().map(|row| row.rule.as_str()).collect();
            let problem = format!("there is no `{rule}`, only {}", names.join(", "));
            Error::invalid("rule", problem)
        })
    }
}

impl Share {
    /// Mean weight of a token; under `all` it is 1.
    pub fn per_token(&self) -> f64 {
        self.weight / self.tokens.max(1) as f64
    }
}

/// The answers' tokens with what the masked gives them.
fn tokens(masked: &Masked) -> Vec<Token> {
    let scored = &masked.scored;
    let mut tokens = Vec::new();
    for (at, sequence) in scored.sequences.iter().enumerate() {
        let style = scored
            .items
            .get(at)
            .map_or(Vec::new(), |item| sequence.marked(&item.truth, &item.style));
        let perplexity = scored.scores[at].perplexity();
        let place = |place: usize| Token {
            weight: f64::from(masked.weights[at][place]),
            perplexity: perplexity[place].map(f64::from),
            style: style.get(place).copied().unwrap_or(false),
            class: scored.classes[at][place],
        };
        tokens.extend(sequence.completion.positions().map(place));
    }
    tokens
}

/// The weight that a rule gives to tokens of about the same perplexity: `(perplexity, mean weight)`, from plausible to surprising.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bins {
    /// The rule.
    pub rule: String,
    /// Geometric middle of a range of perplexities, and the mean weight of the tokens in it.
    pub points: Vec<(f64, f64)>,
}

/// The perplexity from which on all tokens count as one range, as colors of heat maps do.
const LAST: f64 = 1000.0;
/// Ranges between a perplexity of 1 and that, of equal ratio.
const RANGES: usize = 30;
/// Fewer tokens than that are no range of their own.
const FEWEST: usize = 5;

/// The mean weight that each rule gives over ranges of the token perplexity.
pub fn weights_by_perplexity(masked: &[&Masked]) -> Vec<Bins> {
    let edge = |at: usize| LAST.powf(at as f64 / RANGES as f64);
    let of = |tokens: &[Token], range: Range<f64>| -> Option<(f64, f64)> {
        let within = |token: &&Token| token.perplexity.is_some_and(|p| range.contains(&p));
        let weights: Vec<f64> = tokens.iter().filter(within).map(|t| t.weight).collect();
        let middle = (range.start * range.end).sqrt();
        (weights.len() >= FEWEST)
            .then(|| (middle, weights.iter().sum::<f64>() / weights.len() as f64))
    };
    let bins = |masked: &&Masked| {
        let tokens = tokens(masked);
        let ranges = (0..RANGES).map(|at| edge(at)..edge(at + 1));
        Bins {
            rule: masked.rule.to_string(),
            points: ranges.filter_map(|range| of(&tokens, range)).collect(),
        }
    };
    masked.iter().map(bins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::kinds::made::scored_of;

    #[test]
    fn a_share_is_of_the_weight_and_not_of_the_tokens() {
        // probabilities 1, 1/2 and 1/4 sum to 1.75; the last one alone is above a perplexity of 2.5
        let scored = scored_of(&[0.0, 0.5f32.ln(), 0.25f32.ln()]);
        let masked = scored.mask("p_base").unwrap();
        let spread = spread(&[&masked, &scored.mask("stm(2.5)").unwrap()]).unwrap();
        let own = spread.of("p_base").unwrap();
        assert!((own.weight - 1.75).abs() < 1e-6 && own.learned == 3);
        assert!((own.surprising - 0.25 / 1.75).abs() < 1e-6, "{own:?}");
        assert_eq!(own.style, None);
        assert!((own.classes.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let masked = spread.of("stm(2.5)").unwrap();
        assert_eq!((masked.learned, masked.surprising), (2, 0.0));
        assert!(spread.of("all").unwrap_err().to_string().contains("p_base"));
    }

    #[test]
    fn a_rule_without_weight_is_an_error_that_names_it() {
        let scored = scored_of(&[-1.0]);
        let error = spread(&[&scored.mask("stm(1.5)").unwrap()]).unwrap_err();
        assert!(error.to_string().contains("stm(1.5)"), "{error}");
        assert!(spread(&[]).is_err());
    }

    #[test]
    fn weights_stand_over_the_perplexity_they_belong_to() {
        let scored = scored_of(&[0.5f32.ln(); 6]);
        let bins = weights_by_perplexity(&[&scored.mask("p_base").unwrap()]);
        let [(perplexity, weight)] = bins[0].points[..] else { panic!("{bins:?}") };
        assert!((perplexity / 2.0).ln().abs() < LAST.ln() / RANGES as f64);
        assert!((weight - 0.5).abs() < 1e-6);
    }
}
