//! The field's formulas, on plain numbers.
//!
//! Scores are shares between 0 and 1; a *change* is tuned against base. Relative changes are the paper's (arXiv 2501.14315): they
//! are in percent and are `None` where the base scores 0. Changes in points are defined everywhere:
//! they do not let a task with a low base dominate the mean.
//!
//! ```
//! use unforget::metric::{backward_transfer, target_improvement};
//! // Llama 3 8B trained on MBPP with its own answers (table 2 prints these two the other way round).
//! let base_and_tuned = [(0.314, 0.334), (0.7816, 0.7918), (0.7756, 0.7839), (0.2053, 0.2001)];
//! assert_eq!(format!("{:.2}", backward_transfer(&base_and_tuned).unwrap()), "1.55");
//! assert_eq!(format!("{:.2}", target_improvement(0.5979, 0.6164).unwrap()), "3.09");
//! ```

/// The paper's threshold of the token perplexity: learn a token only if the base model gives it a probability of at least 0.4.
pub const PAPER_THRESHOLD: f64 = 2.5;

/// `100 · (tuned − base) / base`, in percent; `None` where `base` is 0.
pub fn relative_change(base: f64, tuned: f64) -> Option<f64> {
    (base != 0.0).then(|| 100.0 * (tuned - base) / base)
}

/// `100 · (tuned − base)`, in points.
pub fn points(base: f64, tuned: f64) -> f64 {
    100.0 * (tuned - base)
}

/// The paper's TI: the relative change on the target task, in percent; `None` where the base scores 0.
///
/// Equals [`relative_change`]; the name says what it is used for. Confirmed on more than 50 rows of the authors' tables.
pub fn target_improvement(base: f64, tuned: f64) -> Option<f64> {
    relative_change(base, tuned)
}

/// The paper's BWT: the mean over the non-target tasks of the relative change, in percent. Forgetting is its negative side.
///
/// Takes one `(base, tuned)` pair for each non-target task. `None` without tasks, or where a base score is 0: to leave that task out
/// would change what is averaged. SSR (Huang et al. 2024), where the idea is from, averages absolute differences instead:
/// [`backward_transfer_points`].
pub fn backward_transfer(base_and_tuned: &[(f64, f64)]) -> Option<f64> {
    let changes: Option<Vec<f64>> =
        base_and_tuned.iter().map(|&(base, tuned)| relative_change(base, tuned)).collect();
    crate::stats::mean(&changes?)
}

/// The mean over the non-target tasks of the change in points; `None` without tasks.
pub fn backward_transfer_points(base_and_tuned: &[(f64, f64)]) -> Option<f64> {
    let changes: Vec<f64> =
        base_and_tuned.iter().map(|&(base, tuned)| points(base, tuned)).collect();
    crate::stats::mean(&changes)
}

/// exp of the mean surprisal (nats) of one text's tokens; `None` for no tokens.
pub fn perplexity(surprisal: &[f64]) -> Option<f64> {
    crate::stats::mean(surprisal).map(f64::exp)
}

/// Perplexity of several texts, each token weighed alike: exp of the mean over all tokens.
///
/// Texts without tokens add nothing; `None` if no text has any.
pub fn perplexity_per_token(texts: &[Vec<f64>]) -> Option<f64> {
    perplexity(&texts.concat())
}

/// Perplexity of several texts, each text weighed alike: the mean over texts of each text's [`perplexity`].
///
/// The paper's Table 1. Always at least [`perplexity_per_token`] for texts of equal length, because exp is convex.
/// Texts without tokens are left out; `None` if no text has any.
pub fn perplexity_per_sequence(texts: &[Vec<f64>]) -> Option<f64> {
    let each: Vec<f64> = texts.iter().filter_map(|text| perplexity(text)).collect();
    crate::stats::mean(&each)
}

/// Standard error of a share `p` of `n` independent items, `sqrt(p (1 − p) / n)`; `None` for no items.
pub fn binomial_standard_error(p: f64, n: usize) -> Option<f64> {
    (n > 0).then(|| (p * (1.0 - p) / n as f64).sqrt())
}

/// Share of the completion tokens that are not learned; `None` for no tokens.
pub fn masked_share(completion_tokens: usize, learned_tokens: usize) -> Option<f64> {
    (completion_tokens > 0).then(|| 1.0 - learned_tokens as f64 / completion_tokens as f64)
}

/// Chance that at least one of `drawn` answers is right when they are drawn without replacement from `sampled` ones, `right` of them right:
/// the unbiased pass@k of Chen et al. 2021 (arXiv 2107.03374), with k = `drawn`. `drawn` is at most `sampled`.
pub fn pass_at_k(sampled: usize, right: usize, drawn: usize) -> f64 {
    let wrong = sampled.saturating_sub(right);
    // C(wrong, drawn) / C(sampled, drawn), factor by factor
    let all_wrong: f64 = (0..drawn)
        .map(|at| wrong.saturating_sub(at) as f64 / sampled.saturating_sub(at).max(1) as f64)
        .product();
    1.0 - all_wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("a value");
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn a_relative_change_from_zero_is_not_defined() {
        assert_eq!(relative_change(0.0, 0.3), None);
        assert_eq!(backward_transfer(&[(0.5, 0.4), (0.0, 0.1)]), None);
        assert_eq!(backward_transfer(&[]), None);
        close(backward_transfer_points(&[(0.5, 0.4), (0.0, 0.1)]), 0.0);
    }

    #[test]
    fn a_low_base_dominates_the_relative_mean_only() {
        let both = [(0.8, 0.8), (0.05, 0.1)];
        close(backward_transfer(&both), 50.0);
        close(backward_transfer_points(&both), 2.5);
    }

    #[test]
    fn perplexity_is_exp_of_the_mean_and_not_the_mean_of_exp() {
        close(perplexity(&[0.0, 4.0]), 2.0f64.exp());
        assert_eq!(perplexity(&[]), None);
    }

    #[test]
    fn tokens_and_texts_are_weighed_differently() {
        let texts = [vec![1.0, 1.0, 1.0], vec![2.0], vec![]];
        close(perplexity_per_token(&texts), 1.25f64.exp());
        close(perplexity_per_sequence(&texts), (1f64.exp() + 2f64.exp()) / 2.0);
    }

    /* from math import comb; print([1 - comb(n - c, k) / comb(n, k) for n, c, k in [(16, 4, 1), (16, 4, 8), (16, 0, 16), (16, 9, 8), (5, 1, 5)]]) */
    #[test]
    fn one_right_answer_of_several_is_pass_at_k() {
        let check = |(sampled, right, drawn), expected: f64| {
            close(Some(pass_at_k(sampled, right, drawn)), expected);
        };
        check((16, 4, 1), 0.25);
        check((16, 4, 8), 0.961_538_461_538_461_5);
        check((16, 0, 16), 0.0);
        check((16, 9, 8), 1.0);
        check((5, 1, 5), 1.0);
    }

    /// The paper's test split of MBPP has 378 tasks: "±5 points" is two of these.
    #[test]
    fn a_share_of_few_items_is_uncertain() {
        close(binomial_standard_error(0.5, 378), 0.025_717_224_993_681_985);
        assert_eq!(binomial_standard_error(0.5, 0), None);
    }

    #[test]
    fn the_threshold_is_a_probability_of_two_fifths() {
        assert!((PAPER_THRESHOLD.ln() - 0.916_290_731_874_155).abs() < 1e-15);
    }
}
