use super::Ledger;
use super::read::class_of;
use crate::error::{Error, Result};
use crate::metric::PAPER_THRESHOLD;
use crate::select::TokenClass;
use crate::stats;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

/// What a threshold masks, what the tokens are made of, and how surprising they are: one pass over a ledger.
///
/// Counts are exact. For quantiles the surprisal of each completion token is kept, 4 bytes each; everything else takes no more memory for a
/// larger ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    thresholds: Vec<f64>,
    masked: Vec<Masked>,
    /// Examples.
    pub examples: usize,
    /// Tokens, prompts included.
    pub tokens: usize,
    /// Tokens that the assistant wrote.
    pub completion_tokens: usize,
    /// Those of them in the writer's own style; `None` where that is not known.
    pub style_tokens: Option<usize>,
    /// Those of them with a weight that is not 0.
    pub learned_tokens: usize,
    surprisal: f64,
    classes: [(usize, usize); TokenClass::NAMES.len()],
    surprisals: Vec<f32>,
}

/// What one threshold masks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Masked {
    tokens: usize,
    style: usize,
    surprisal: f64,
}

/// One point of a threshold curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdPoint {
    /// Threshold of the token perplexity.
    pub threshold: f64,
    /// Share of completion tokens masked.
    pub masked: f64,
    /// Of the masked tokens, the share that are style tokens; `None` without masked tokens or known styles.
    pub precision: Option<f64>,
    /// Of the style tokens, the share that is masked.
    pub recall: Option<f64>,
    /// Share of the summed surprisal that the masked tokens carry.
    pub surprisal_masked: f64,
}

/// How many of the completion tokens are of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassShare {
    /// The class.
    pub class: TokenClass,
    /// Share of all completion tokens.
    pub share: f64,
    /// Share of all completion tokens that are of the class and have a perplexity above 2.5.
    pub high: f64,
}

impl Tally {
    /// For these thresholds of the token perplexity, with nothing counted yet.
    pub fn new(thresholds: &[f64]) -> Self {
        Self {
            thresholds: thresholds.to_vec(),
            masked: vec![Masked::default(); thresholds.len()],
            examples: 0,
            tokens: 0,
            completion_tokens: 0,
            style_tokens: None,
            learned_tokens: 0,
            surprisal: 0.0,
            classes: [(0, 0); TokenClass::NAMES.len()],
            surprisals: Vec::new(),
        }
    }

    /// All of `ledger`.
    ///
    /// # Errors
    /// As [`Ledger::blocks`].
    pub fn of(ledger: &Ledger, thresholds: &[f64]) -> Result<Self> {
        stats::distinct("thresholds", thresholds)?;
        let mut tally = Self::new(thresholds);
        let mut columns = vec!["position", "role", "class", "log_prob", "weight"];
        if ledger.has("style") {
            columns.push("style");
        }
        ledger.blocks(&columns, |block| tally.add(block))?;
        Ok(tally)
    }

    /// Counts the rows of a frame, such as [`super::frame`] makes.
    ///
    /// # Errors
    /// When it lacks a column, or a token lacks a value that every token has.
    pub fn add(&mut self, block: &DataFrame) -> Result<()> {
        let column = |name: &str| {
            block.column(name).map_err(|error| Error::invalid(name, error.to_string()))
        };
        let kind = |name: &'static str| {
            move |_| Error::invalid(format!("column `{name}`"), "is of another type")
        };
        let (role, class) = (
            column("role")?.str().map_err(kind("role"))?,
            column("class")?.str().map_err(kind("class"))?,
        );
        let position = column("position")?.u32().map_err(kind("position"))?;
        let log_prob = column("log_prob")?.f32().map_err(kind("log_prob"))?;
        let weight = column("weight")?.f32().map_err(kind("weight"))?;
        let style = match block.column("style") {
            Ok(style) => Some(style.bool().map_err(kind("style"))?),
            Err(_) => None,
        };
        if style.is_some() {
            self.style_tokens.get_or_insert(0);
        }
        for row in 0..block.height() {
            let missing = |name: &str| {
                Error::invalid(format!("column `{name}`"), format!("has no value in row {row}"))
            };
            self.tokens += 1;
            self.examples +=
                usize::from(position.get(row).ok_or_else(|| missing("position"))? == 0);
            if role.get(row).ok_or_else(|| missing("role"))? != "completion" {
                continue;
            }
            let log_prob = log_prob.get(row).filter(|value| !value.is_nan());
            // in single precision, as a rule computes it, so that a threshold falls alike
            let perplexity = log_prob.map(|value| f64::from((-value).exp()));
            let nats = log_prob.map_or(0.0, |value| -f64::from(value));
            let styled = style.is_some_and(|style| style.get(row) == Some(true));
            let class = class_of(class.get(row).ok_or_else(|| missing("class"))?)?;
            self.completion_tokens += 1;
            self.learned_tokens += usize::from(weight.get(row).is_some_and(|weight| weight != 0.0));
            self.surprisal += nats;
            if let Some(count) = &mut self.style_tokens {
                *count += usize::from(styled);
            }
            self.surprisals.extend(log_prob.map(|value| -value));
            let (all, high) = &mut self.classes[class as usize];
            *all += 1;
            *high += usize::from(perplexity.is_some_and(|perplexity| perplexity > PAPER_THRESHOLD));
            for (threshold, masked) in self.thresholds.iter().zip(&mut self.masked) {
                // a token without a perplexity is not learned
                if perplexity
                    .is_none_or(|perplexity| perplexity.is_nan() || perplexity > *threshold)
                {
                    masked.tokens += 1;
                    masked.style += usize::from(styled);
                    masked.surprisal += nats;
                }
            }
        }
        Ok(())
    }

    /// What each threshold masks, in the order in which they were given.
    pub fn thresholds(&self) -> Vec<ThresholdPoint> {
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        let points = self.thresholds.iter().zip(&self.masked);
        let point = |(threshold, masked): (&f64, &Masked)| ThresholdPoint {
            threshold: *threshold,
            masked: share(masked.tokens, self.completion_tokens).unwrap_or(0.0),
            precision: self.style_tokens.and_then(|_| share(masked.style, masked.tokens)),
            recall: self.style_tokens.and_then(|style| share(masked.style, style)),
            surprisal_masked: match self.surprisal > 0.0 {
                true => masked.surprisal / self.surprisal,
                false => 0.0,
            },
        };
        points.map(point).collect()
    }

    /// The share of each class that there is.
    pub fn classes(&self) -> Vec<ClassShare> {
        let share = |count: usize| count as f64 / self.completion_tokens.max(1) as f64;
        let classes =
            TokenClass::NAMES.iter().map(|(_, class)| (*class, self.classes[*class as usize]));
        let mut classes: Vec<ClassShare> = classes
            .filter(|(_, (all, _))| *all > 0)
            .map(|(class, (all, high))| ClassShare { class, share: share(all), high: share(high) })
            .collect();
        classes.sort_by_key(|share| share.class);
        classes
    }

    /// Of the completion tokens that have a perplexity, the share above the paper's threshold of 2.5.
    pub fn share_above_paper_threshold(&self) -> f64 {
        let high: usize = self.classes.iter().map(|(_, high)| high).sum();
        high as f64 / self.surprisals.len().max(1) as f64
    }

    /// Quantiles of the surprisal of the completion tokens, in nats, between neighbors linearly (numpy's default); `None` without tokens.
    ///
    /// # Errors
    /// When a share is not from 0 to 1.
    pub fn quantiles(&mut self, shares: &[f64]) -> Result<Vec<Option<f64>>> {
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(Error::invalid("quantile", format!("must be from 0 to 1, got {share}")));
        }
        self.surprisals.sort_unstable_by(f32::total_cmp);
        let values = &self.surprisals;
        let quantile = |share: &f64| {
            let place = share * values.len().checked_sub(1)? as f64;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            Some(f64::from(low) + (f64::from(high) - f64::from(low)) * place.fract())
        };
        Ok(shares.iter().map(quantile).collect())
    }

    /// `exp` of the mean surprisal of the completion tokens; `None` without tokens.
    pub fn perplexity(&self) -> Option<f64> {
        let count = self.surprisals.len();
        (count > 0).then(|| (self.surprisal / count as f64).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::{Column, NamedFrom, Series};

    fn block(
        position: Vec<u32>,
        role: Vec<&str>,
        log_prob: Vec<Option<f32>>,
        style: Option<Vec<bool>>,
    ) -> DataFrame {
        let count = position.len();
        let mut columns: Vec<Column> = vec![
            Series::new("position".into(), position).into(),
            Series::new("role".into(), role).into(),
            Series::new("class".into(), vec!["words"; count]).into(),
            Series::new("log_prob".into(), log_prob).into(),
            Series::new("weight".into(), vec![1f32; count]).into(),
        ];
        columns.extend(style.map(|style| Column::from(Series::new("style".into(), style))));
        DataFrame::new_infer_height(columns).unwrap()
    }

    #[test]
    fn two_blocks_are_counted_as_one() {
        // one example that goes on in the second block; surprisals ln 2, ln 4, ln 8
        let nats = |perplexity: f32| Some(-perplexity.ln());
        let first = block(
            vec![0, 1],
            vec!["prompt", "completion"],
            vec![None, nats(2.0)],
            Some(vec![true, false]),
        );
        let second = block(
            vec![2, 3],
            vec!["completion"; 2],
            vec![nats(4.0), nats(8.0)],
            Some(vec![true, false]),
        );
        let mut tally = Tally::new(&[1.0, 3.0, 100.0]);
        tally.add(&first).unwrap();
        tally.add(&second).unwrap();
        assert_eq!((tally.examples, tally.tokens, tally.completion_tokens), (1, 4, 3));
        // the prompt's style does not count
        assert_eq!(tally.style_tokens, Some(1));
        let points = tally.thresholds();
        let masked: Vec<f64> = points.iter().map(|point| 3.0 * point.masked).collect();
        assert_eq!(masked, [3.0, 2.0, 0.0]);
        assert_eq!((points[1].precision, points[1].recall), (Some(0.5), Some(1.0)));
        assert_eq!((points[2].precision, points[2].recall), (None, Some(0.0)));
        assert!((points[1].surprisal_masked - 5.0 / 6.0).abs() < 1e-6);
        assert!((tally.perplexity().unwrap() - 4.0).abs() < 1e-5);
        // np.quantile(np.log([2, 4, 8]), [0, .25, .5, 1]) / np.log(2)
        let quantiles = tally.quantiles(&[0.0, 0.25, 0.5, 1.0]).unwrap();
        for (found, expected) in quantiles.iter().zip([1.0, 1.5, 2.0, 3.0]) {
            assert!((found.unwrap() / 2f64.ln() - expected).abs() < 1e-6, "{found:?}");
        }
        let shares = tally.classes();
        assert_eq!((shares.len(), shares[0].share), (1, 1.0));
        assert!((shares[0].high - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn without_known_styles_there_is_no_precision() {
        let mut tally = Tally::new(&[1.0]);
        tally.add(&block(vec![0], vec!["completion"], vec![None], None)).unwrap();
        let point = &tally.thresholds()[0];
        // a token without a perplexity is masked
        assert_eq!((point.masked, point.precision, point.recall), (1.0, None, None));
        assert_eq!(tally.quantiles(&[0.5]).unwrap(), [None]);
        assert!(tally.quantiles(&[1.5]).is_err());
    }
}
