//! What rules leave out, against what a perfect rule would: the tokens in which the writer's style shows.

use crate::error::{Error, Result};
use crate::ledger::ThresholdPoint;
use crate::masked::Masked;
use crate::scored::Scored;
use crate::stats;
use serde::Serialize;
use std::sync::Arc;

/// What several rules leave out, a row for each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Masks {
    /// In the order in which they were given.
    pub rows: Vec<Masking>,
}

/// What one rule leaves out of answers whose style is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Masking {
    /// The rule.
    pub rule: String,
    /// Tokens of the answers.
    pub tokens: usize,
    /// Those that are masked.
    pub masked: usize,
    /// Those in which the writer's style shows.
    pub style: usize,
    /// Those that are both.
    pub both: usize,
    /// Summed surprisal of all tokens, in nats.
    pub surprisal: f64,
    /// Of the masked ones.
    pub surprisal_masked: f64,
}

/// What thresholds mask, and what masks of the same size that are drawn at random would.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThresholdCurve {
    /// By `stm(threshold)`.
    pub stm: Vec<ThresholdPoint>,
    /// By `random_mask(threshold)`: as many tokens of each answer.
    pub random: Vec<ThresholdPoint>,
}

/// Sets rules side by side by what they leave out.
///
/// # Errors
/// Nobody knows where the writer's style shows.
pub fn masks(masked: &[&Masked]) -> Result<Masks> {
    let rows = masked.iter().map(|masked| masked.masking());
    Ok(Masks { rows: rows.collect::<Result<_>>()? })
}

impl Masks {
    /// The row of one rule.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn of(&self, rule: &str) -> Result<&Masking> {
        let found = self.rows.iter().find(|row| row.rule == rule);
        found.ok_or_else(|| {
            let rules: Vec<&str> = self.rows.iter().map(|row| row.rule.as_str()).collect();
            Error::invalid("rule", format!("there is no `{rule}`, only {}", rules.join(", ")))
        })
    }
}

impl Masked {
    /// What is left out, against the tokens in which the writer's style shows.
    ///
    /// # Errors
    /// No item says where its writer's style shows.
    pub fn masking(&self) -> Result<Masking> {
        self.scored.check_style()?;
        let mut masking = Masking {
            rule: match self.scored.name.strip_suffix(WITHOUT_STYLE) {
                Some(_) => "exactly the style".to_owned(),
                None => self.rule.to_string(),
            },
            tokens: 0,
            masked: 0,
            style: 0,
            both: 0,
            surprisal: 0.0,
            surprisal_masked: 0.0,
        };
        for token in self.scored.sorted() {
            let masked = self.weights[token.at.0][token.at.1] == 0.0;
            masking.tokens += 1;
            masking.masked += usize::from(masked);
            masking.style += usize::from(token.style);
            masking.both += usize::from(masked && token.style);
            masking.surprisal += token.nats;
            if masked {
                masking.surprisal_masked += token.nats;
            }
        }
        Ok(masking)
    }
}

impl Masking {
    /// Share of the tokens that is masked.
    pub fn share(&self) -> f64 {
        self.masked as f64 / self.tokens.max(1) as f64
    }

    /// Share of the surprisal that the masked tokens carry.
    pub fn surprisal_share(&self) -> f64 {
        match self.surprisal > 0.0 {
            true => self.surprisal_masked / self.surprisal,
            false => 0.0,
        }
    }

    /// Of the masked tokens, the share that is style; `None` where none is masked.
    pub fn precision(&self) -> Option<f64> {
        (self.masked > 0).then(|| self.both as f64 / self.masked as f64)
    }

    /// Of the style tokens, the share that is masked; `None` where there is none.
    pub fn recall(&self) -> Option<f64> {
        (self.style > 0).then(|| self.both as f64 / self.style as f64)
    }
}

/// Ends the name of a scored whose style is not learned.
const WITHOUT_STYLE: &str = " without its style";

impl Scored {
    /// What a rule would learn that knew whose manner every token shows: all but the writer's style. No rule of perplexities can say
    /// that; it is what they are measured against.
    ///
    /// # Errors
    /// No item says where its writer's style shows.
    pub fn without_style(&self) -> Result<Masked> {
        self.check_style()?;
        let mut masked = self.mask("all")?;
        for token in self.sorted().iter().filter(|token| token.style) {
            masked.weights[token.at.0][token.at.1] = 0.0;
        }
        Arc::make_mut(&mut masked.scored).name += WITHOUT_STYLE;
        Ok(masked)
    }

    /// What each of `thresholds` masks, and masks of the same size that are drawn at random.
    ///
    /// # Errors
    /// A threshold is not above 0, or no item says where its writer's style shows.
    pub fn thresholds(&self, thresholds: &[f64]) -> Result<ThresholdCurve> {
        stats::distinct("thresholds", thresholds)?;
        let point = |rule: &str, threshold: &f64| -> Result<ThresholdPoint> {
            let masking = self.mask(&format!("{rule}({threshold})"))?.masking()?;
            Ok(ThresholdPoint {
                threshold: *threshold,
                masked: masking.share(),
                precision: masking.precision(),
                recall: masking.recall(),
                surprisal_masked: masking.surprisal_share(),
            })
        };
        let curve = |rule: &str| -> Result<Vec<ThresholdPoint>> {
            let points = thresholds.iter().map(|threshold| point(rule, threshold));
            points.collect()
        };
        Ok(ThresholdCurve { stm: curve("stm")?, random: curve("random_mask")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::kinds::made::scored;
    use crate::ledger::Tally;

    #[test]
    fn a_mask_has_the_precision_and_recall_that_the_ledger_counts() {
        let scored = scored();
        let thresholds = [1.2, 1.5, 2.5, 100.0];
        let style: Vec<bool> = [0, 1, 1, 0, 0, 0, 0].map(|style| style == 1).to_vec();
        assert_eq!(scored.styles(), [style]);
        let mut tally = Tally::new(&thresholds);
        tally.add(&scored.frame().unwrap()).unwrap();
        let curve = scored.thresholds(&thresholds).unwrap();
        for (found, expected) in curve.stm.iter().zip(tally.thresholds()) {
            assert!((found.surprisal_masked - expected.surprisal_masked).abs() < 1e-9);
            assert_eq!(
                (found.masked, found.precision, found.recall),
                (expected.masked, expected.precision, expected.recall)
            );
        }
        for (stm, random) in curve.stm.iter().zip(&curve.random) {
            assert_eq!(stm.masked, random.masked);
        }
    }

    #[test]
    fn the_mask_that_knows_leaves_out_exactly_the_style() {
        let scored = scored();
        let masked = scored.without_style().unwrap();
        let masks = masks(&[&masked, &scored.mask("all").unwrap()]).unwrap();
        let row = masks.of("exactly the style").unwrap();
        assert_eq!((row.tokens, row.masked, row.style, row.both), (6, 2, 2, 2));
        assert_eq!((row.precision(), row.recall()), (Some(1.0), Some(1.0)));
        let all = masks.of("all").unwrap();
        assert_eq!((all.precision(), all.recall()), (None, Some(0.0)));
        assert!(masked.tokens(0).unwrap().arm.contains("without its style"));
        assert!(masks.of("stm(2.5)").is_err());
    }
}
