//! Mask shares and perplexities of the STM set: the paper's Table 1, the threshold curve, the controls.

use super::draw::PythonRandom;
use super::fact::Facts;
use super::layout::{STM, STM_IDS};
use super::scored::{END_OF_TURN, Scored};
use crate::error::Result;
use crate::metric::{self, PAPER_THRESHOLD};
use crate::select::{Counts, low_perplexity};
use crate::stats::mean;
use serde::{Deserialize, Serialize};

/// What one threshold does to the STM set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Tokens of a higher perplexity are masked.
    pub threshold: f64,
    /// Share of the answers' tokens that are masked.
    pub masked: f64,
    /// Share of the answers' surprisal that the masked tokens carry.
    pub surprisal_masked: f64,
}

/// The stated share of tokens above each threshold, in percent (earlier count).
const SHARES: [(f64, f64); 12] = [
    (1.5, 27.54),
    (1.75, 24.96),
    (2.0, 23.35),
    (2.5, 21.18),
    (3.0, 19.88),
    (3.5, 18.99),
    (10.0, 14.71),
    (25.0, 12.25),
    (30.0, 11.87),
    (100.0, 9.20),
    (1000.0, 6.18),
    (1500.0, 5.72),
];

/// The threshold of the control that masks low perplexities, for Llama 3 8B (`rho-sft.csv`).
const LOW: f64 = 1.00008;

/// The share of masked tokens and of their surprisal, from 1.01 to 10^6.
pub(super) fn curve(scored: &[Scored]) -> Vec<CurvePoint> {
    let all = sorted(scored);
    let total: f64 = all.iter().map(|ppl| ppl.ln()).sum();
    let thresholds = (0..=80).map(|step| 10f64.powf(f64::from(step) / 80.0 * 6.0));
    thresholds
        .chain(SHARES.map(|(threshold, _)| threshold))
        .filter(|threshold| *threshold >= 1.01)
        .map(|threshold| {
            let above = &all[all.partition_point(|ppl| *ppl <= threshold)..];
            let carried: f64 = above.iter().map(|ppl| ppl.ln()).sum();
            CurvePoint {
                threshold,
                masked: above.len() as f64 / all.len() as f64,
                surprisal_masked: match total > 0.0 {
                    true => carried / total,
                    false => 0.0,
                },
            }
        })
        .collect()
}

fn sorted(scored: &[Scored]) -> Vec<f64> {
    let mut all: Vec<f64> = scored.iter().flat_map(|row| row.answer()).copied().collect();
    all.sort_by(f64::total_cmp);
    all
}

/// numpy's default quantile: linear between the two nearest.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(last);
    Some(sorted[low] + part * (sorted[high] - sorted[low]))
}

fn population_variance(values: &[f64]) -> Option<f64> {
    let middle = mean(values)?;
    mean(&values.iter().map(|v| (v - middle).powi(2)).collect::<Vec<_>>())
}

/// Counts under the paper's rule at `threshold`, for all rows.
fn counts(scored: &[Scored], threshold: f64) -> Result<Counts> {
    scored
        .iter()
        .map(|row| {
            let completion = row.completion();
            completion.counts(&low_perplexity(&completion, &row.given(), threshold as f32)?)
        })
        .sum()
}

/// Share of `values` that are above the paper's threshold, in percent.
fn above(values: &[f64]) -> Option<f64> {
    let count = values.iter().filter(|ppl| **ppl > PAPER_THRESHOLD).count();
    (!values.is_empty()).then(|| 100.0 * count as f64 / values.len() as f64)
}

/// Every fact about the STM set that needs no text of its tokens.
pub(super) fn audit(scored: &[Scored], facts: &mut Facts) -> Result<()> {
    perplexities(scored, facts);
    alignment(scored, facts);
    shares(scored, facts)?;
    surprisal(scored, facts);
    places(scored, facts);
    first_row(scored, facts)
}

fn perplexities(scored: &[Scored], facts: &mut Facts) {
    let texts: Vec<Vec<f64>> = scored.iter().map(Scored::surprisals).collect();
    let mut each: Vec<f64> = texts.iter().filter_map(|t| metric::perplexity(t)).collect();
    let average = metric::perplexity_per_sequence(&texts);
    let variance = population_variance(&each);
    each.sort_by(f64::total_cmp);
    let file = STM.name();
    let mut say = |what: &str, stated: &str, expected, decimals, found, note: &str| {
        let claim = facts.claim(what, &file, stated).note(note);
        claim.maybe(expected, decimals, found, "there are no answers");
    };
    let of_prompt = "exp of the mean −ln p over an answer's tokens with its end of turn, given the prompt; mean over answers";
    say("Table 1, MBPP ground truth, perplexity", "Table 1", 4.83, 2, average, of_prompt);
    say(
        "Table 1, MBPP ground truth, its variance",
        "Table 1",
        7.04,
        2,
        variance,
        "population variance over answers; where it is 7.05 the last digit of the table is off by one",
    );
    say("mean sequence perplexity", "earlier count", 4.8311, 4, average, "");
    say("population variance", "earlier count", 7.0504, 4, variance, "");
    say("median", "earlier count", 4.275, 3, quantile(&each, 0.5), "");
    say("minimum", "earlier count", 1.161, 3, each.first().copied(), "");
    say("maximum", "earlier count", 17.241, 3, each.last().copied(), "");
    let all = sorted(scored);
    let stated = "earlier count";
    for (share, expected, decimals) in [
        (0.10, 1.00001, 5),
        (0.25, 1.00016, 5),
        (0.50, 1.0117, 4),
        (0.75, 1.741, 3),
        (0.80, 2.93, 2),
        (0.90, 65.7, 1),
        (0.95, 2889.0, 0),
        (0.99, 2.5e6, -5),
        (1.0, 7.7e11, -10),
    ] {
        let what = format!("token perplexity, quantile {:.0} %", 100.0 * share);
        let half = 0.5 * 10f64.powi(-decimals);
        let claim = facts.claim(what, &file, stated);
        let decimals = usize::try_from(decimals).unwrap_or(0);
        claim.within(expected, decimals, half, quantile(&all, share));
    }
    facts
        .claim("mean token perplexity", &file, "earlier count")
        .note("so averages must be taken of logarithms: the median is near 1")
        .within(7.6e7, 0, 0.05e7, mean(&all));
}

fn alignment(scored: &[Scored], facts: &mut Facts) {
    let rows = scored.len();
    let file = STM_IDS.name();
    let count = |test: &dyn Fn(&Scored) -> bool| scored.iter().filter(|row| test(row)).count();
    facts.claim("rows", STM.name(), "earlier count").count(374, rows);
    facts
        .claim("tokens", STM.name(), "earlier count")
        .count(79_374, scored.iter().map(|row| row.perplexity.len()).sum());
    facts
        .claim("tokens of prompts and template", STM.name(), "earlier count")
        .count(56_162, scored.iter().map(|row| row.start).sum());
    facts
        .claim("tokens of answers", STM.name(), "earlier count")
        .count(23_212, scored.iter().map(|row| row.answer().len()).sum());
    facts
        .claim("rows whose first token has the stand-in 10.0", STM.name(), "earlier count")
        .count(rows, count(&|row| row.perplexity.first() == Some(&10.0)));
    facts
        .claim("rows with one id more than perplexities", &file, "earlier count")
        .note("the beginning of text stands twice in the cached ids")
        .count(rows, count(&|row| row.doubled == 1));
    facts
        .claim("rows that end with id 128009", &file, "earlier count")
        .count(rows, count(&|row| row.ids.last() == Some(&END_OF_TURN)));
    let answers = sorted(scored);
    facts
        .claim("answer tokens of perplexity exactly 1", STM.name(), "earlier count")
        .count(278, answers.iter().filter(|ppl| **ppl == 1.0).count());
    let tokens = |which: &dyn Fn(&Scored) -> usize| -> Vec<f64> {
        let mut all: Vec<f64> = scored.iter().map(|row| which(row) as f64).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (whole, answer) = (tokens(&|row| row.perplexity.len()), tokens(&|row| row.answer().len()));
    for (what, expected, decimals, found) in [
        ("tokens of a row, mean", 212.2, 1, mean(&whole)),
        ("tokens of a row, most", 508.0, 0, whole.last().copied()),
        ("tokens of an answer, mean", 62.1, 1, mean(&answer)),
        ("tokens of an answer, median", 48.0, 0, quantile(&answer, 0.5)),
        ("tokens of an answer, fewest", 15.0, 0, answer.first().copied()),
        ("tokens of an answer, most", 261.0, 0, answer.last().copied()),
    ] {
        facts.claim(what, STM.name(), "earlier count").maybe(
            expected,
            decimals,
            found,
            "there are no rows",
        );
    }
}

fn shares(scored: &[Scored], facts: &mut Facts) -> Result<()> {
    let file = STM.name();
    for (threshold, expected) in SHARES {
        let found = counts(scored, threshold)?;
        facts
            .claim(format!("% of answer tokens above {threshold}"), &file, "earlier count")
            .note(format!("{} of {}", found.masked, found.completion))
            .number(expected, 2, 100.0 * found.masked_share());
    }
    for (threshold, expected) in [(2.5, 4917), (25.0, 2843), (1000.0, 1434)] {
        facts
            .claim(format!("answer tokens above {threshold}"), &file, "earlier count")
            .count(expected, counts(scored, threshold)?.masked);
    }
    facts
        .claim("% masked at 2.5 on MBPP", &file, "rho-sft.csv, line 66")
        .note("the csv's share has another denominator, which none of: answer tokens (21.18), rows weighed alike (24.03), all tokens (36.26) gives")
        .number(23.57, 2, 100.0 * counts(scored, 2.5)?.masked_share());
    let low = scored.iter().flat_map(|row| row.answer()).filter(|ppl| **ppl < LOW).count();
    let tokens: usize = scored.iter().map(|row| row.answer().len()).sum();
    facts
        .claim(
            format!("% of answer tokens below {LOW}"),
            &file,
            "rho-sft.csv, line 69; earlier count",
        )
        .note("the control that masks low perplexities")
        .maybe(
            21.29,
            2,
            metric::masked_share(tokens, tokens - low).map(|share| 100.0 * share),
            "there are no answers",
        );
    let mut rows: Vec<f64> = scored.iter().filter_map(|row| above(row.answer())).collect();
    rows.sort_by(f64::total_cmp);
    let spread = population_variance(&rows).map(f64::sqrt);
    for (what, expected, decimals, found) in [
        ("rows weighed alike: % masked at 2.5", 24.03, 2, mean(&rows)),
        ("the least in a row", 2.0, 1, rows.first().copied()),
        ("the most in a row", 54.8, 1, rows.last().copied()),
        ("standard deviation over rows", 8.5, 1, spread),
    ] {
        facts.claim(what, &file, "earlier count").maybe(
            expected,
            decimals,
            found,
            "there are no rows",
        );
    }
    let all: Vec<f64> = scored.iter().flat_map(|row| row.perplexity.clone()).collect();
    let prompts: Vec<f64> =
        scored.iter().flat_map(|row| row.perplexity[..row.start].to_vec()).collect();
    facts
        .claim("% of all tokens above 2.5, prompts included", &file, "earlier count")
        .note("whoever forgets to leave the prompt out sees it here")
        .maybe(36.26, 2, above(&all), "there are no tokens");
    facts.claim("% of prompt tokens above 2.5", &file, "earlier count").maybe(
        42.49,
        2,
        above(&prompts),
        "there are no tokens",
    );
    let drawn: usize = scored.iter().map(random_mask).sum();
    facts
        .claim(
            "% of answer tokens in the authors' random mask",
            &file,
            "earlier count",
        )
        .note("drawn with replacement from all positions, seed 42 anew in each row, so it does not mask as many as STM does")
        .maybe(
            28.43,
            2,
            metric::masked_share(tokens, tokens - drawn).map(|share| 100.0 * share),
            "there are no answers",
        );
    Ok(())
}

/// Tokens of the answer that the authors' `random` mask hits: as many draws, with replacement, from all positions, as there are
/// tokens above the threshold in the whole row.
fn random_mask(row: &Scored) -> usize {
    let high = row.perplexity.iter().filter(|ppl| **ppl > PAPER_THRESHOLD);
    let mut hit = vec![false; row.perplexity.len()];
    for at in PythonRandom::new(42).choices(hit.len(), high.count()) {
        hit[at] = true;
    }
    hit[row.start..].iter().filter(|hit| **hit).count()
}

fn surprisal(scored: &[Scored], facts: &mut Facts) {
    let file = STM.name();
    let part = |keep: fn(f64) -> bool| -> Vec<Vec<f64>> {
        let kept = |row: &Scored| {
            let answer = row.answer().iter().filter(|ppl| keep(**ppl));
            answer.map(|ppl| ppl.ln()).collect()
        };
        scored.iter().map(kept).collect()
    };
    let (all, kept, masked) =
        (part(|_| true), part(|ppl| ppl <= PAPER_THRESHOLD), part(|ppl| ppl > PAPER_THRESHOLD));
    let tokens = |rows: &[Vec<f64>]| mean(&rows.concat());
    let rows = |rows: &[Vec<f64>]| -> Option<f64> {
        mean(&rows.iter().filter_map(|row| mean(row)).collect::<Vec<_>>())
    };
    let sum = |rows: &[Vec<f64>]| rows.concat().iter().sum::<f64>();
    let carried = (sum(&all) > 0.0).then(|| 100.0 * sum(&masked) / sum(&all));
    for (what, stated, expected, decimals, found) in [
        ("mean −ln p, rows weighed alike", "earlier count", 1.4377, 4, rows(&all)),
        ("mean −ln p over tokens", "earlier count", 1.2082, 4, tokens(&all)),
        (
            "perplexity over all tokens",
            "earlier count",
            3.347,
            3,
            metric::perplexity_per_token(&all),
        ),
        ("kept tokens: mean −ln p, rows weighed alike", "earlier count", 0.0905, 4, rows(&kept)),
        ("kept tokens: mean −ln p over tokens", "earlier count", 0.0840, 4, tokens(&kept)),
        ("masked tokens: mean −ln p", "earlier count", 5.391, 3, tokens(&masked)),
        ("% of −ln p that masked tokens carry", "earlier count", 94.5, 1, carried),
    ] {
        facts.claim(what, &file, stated).maybe(
            expected,
            decimals,
            found,
            "there are no such tokens",
        );
    }
    facts
        .claim("threshold 2.5 as −ln p", "–", "earlier count")
        .note("a probability below 0.4")
        .number(0.916291, 6, PAPER_THRESHOLD.ln());
}

fn places(scored: &[Scored], facts: &mut Facts) {
    let file = STM.name();
    let at = |place: usize| -> Vec<f64> {
        scored.iter().filter_map(|row| row.answer().get(place)).copied().collect()
    };
    let mut first = at(0);
    first.sort_by(f64::total_cmp);
    let why = "no answer is that long";
    facts.claim("% masked of first answer tokens", &file, "earlier count").maybe(
        7.8,
        1,
        above(&first),
        why,
    );
    facts.claim("median perplexity of first answer tokens", &file, "earlier count").maybe(
        1.62,
        2,
        quantile(&first, 0.5),
        why,
    );
    for (place, expected) in [(1, 0.0), (2, 0.0), (7, 45.0)] {
        facts
            .claim(
                format!("% masked of answer tokens at place {place}, from 0"),
                &file,
                "earlier count",
            )
            .maybe(expected, 0, above(&at(place)), why);
    }
    let ends = scored.iter().filter_map(|row| row.answer().last()).copied();
    facts
        .claim("highest perplexity of an end of turn", &file, "earlier count")
        .note("it is never masked")
        .maybe(1.005, 3, ends.reduce(f64::max), why);
}

fn first_row(scored: &[Scored], facts: &mut Facts) -> Result<()> {
    let Some(row) = scored.first() else {
        return Ok(());
    };
    let file = STM.row("row 1");
    let stated = "earlier count";
    let answer = row.answer();
    let kept: Vec<f64> =
        answer.iter().filter(|ppl| **ppl <= PAPER_THRESHOLD).map(|ppl| ppl.ln()).collect();
    facts.claim("first row: task", &file, stated).count(601, row.task as usize);
    facts.claim("first row: tokens", &file, stated).count(348, row.perplexity.len());
    facts.claim("first row: where the answer begins", &file, stated).count(197, row.start);
    facts.claim("first row: answer tokens", &file, stated).count(151, answer.len());
    let one = std::slice::from_ref(row);
    facts
        .claim("first row: masked at 2.5", &file, stated)
        .count(22, counts(one, PAPER_THRESHOLD)?.masked);
    facts.claim("first row: above 1000", &file, stated).count(4, counts(one, 1000.0)?.masked);
    facts.claim("first row: perplexity", &file, stated).maybe(
        2.0193,
        4,
        metric::perplexity(&row.surprisals()),
        "it has no answer",
    );
    facts.claim("first row: mean −ln p of kept tokens", &file, stated).maybe(
        0.0842,
        4,
        mean(&kept),
        "nothing is kept",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /* numpy.quantile([1, 2, 4, 8], [0, .1, .5, .99, 1]) */
    #[test]
    fn quantiles_equal_numpy() {
        let values = [1.0, 2.0, 4.0, 8.0];
        for (share, expected) in [(0.0, 1.0), (0.1, 1.3), (0.5, 3.0), (0.99, 7.88), (1.0, 8.0)] {
            let found = quantile(&values, share).unwrap();
            assert!((found - expected).abs() < 1e-12, "{share}: {found}");
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(population_variance(&values), Some(7.1875));
    }

    #[test]
    fn the_curve_falls_from_all_to_none() {
        let row = Scored {
            task: 1,
            text: String::new(),
            perplexity: vec![10.0, 5.0, 1.5, 30.0, 2.0],
            ids: vec![0; 5],
            doubled: 1,
            start: 1,
        };
        let curve = curve(&[row]);
        let at = |threshold: f64| curve.iter().find(|point| point.threshold == threshold).unwrap();
        assert_eq!(at(1.5).masked, 0.75);
        assert_eq!(at(2.5).masked, 0.5);
        assert_eq!(at(100.0).masked, 0.0);
        let share = (5f64.ln() + 30f64.ln()) / (5.0 * 1.5 * 30.0 * 2.0f64).ln();
        assert!((at(2.5).surprisal_masked - share).abs() < 1e-12);
    }
}
