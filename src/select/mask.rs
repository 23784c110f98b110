//! Which tokens of a sequence are learned, and controls that mask as many.

use super::TokenClass;
use crate::error::{Error, Result};
use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// For each token of a sequence whether it is learned from: `true` = its loss counts, here and everywhere in the crate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LossMask(Vec<bool>);

/// How many tokens of a completion a mask keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Tokens of the completion.
    pub completion: usize,
    /// Those of them that are learned from.
    pub learned: usize,
    /// Those of them that are not.
    pub masked: usize,
}

impl LossMask {
    /// A mask from one flag for each token, `true` = learned from.
    pub fn new(flags: Vec<bool>) -> Self {
        Self(flags)
    }

    /// A mask of `len` tokens, none of them learned from.
    pub fn none(len: usize) -> Self {
        Self(vec![false; len])
    }

    /// Number of tokens, learned or not.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no tokens at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One flag for each token.
    pub fn as_slice(&self) -> &[bool] {
        &self.0
    }

    /// Whether the token at `position` is learned from; `false` beyond the end.
    pub fn learns(&self, position: usize) -> bool {
        self.0.get(position).copied().unwrap_or(false)
    }

    /// Number of tokens that are learned from.
    pub fn learned(&self) -> usize {
        self.0.iter().filter(|learned| **learned).count()
    }

    /// Positions of the tokens that are learned from, in order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter_map(|(position, learned)| learned.then_some(position))
    }

    /// Keeps a learned token only if `keep` says so of its position; a token that is not learned stays so.
    pub fn keep_where(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        self.0.iter().enumerate().map(|(position, learned)| *learned && keep(position)).collect()
    }

    /// What is left of this completion under `mask`.
    ///
    /// Errors when the lengths differ, or when `mask` learns a token outside the completion.
    pub fn counts(&self, mask: &LossMask) -> Result<Counts> {
        same_length("mask", mask.len(), self)?;
        if let Some(outside) = mask.positions().find(|position| !self.learns(*position)) {
            return Err(Error::invalid(
                "mask",
                format!("learns token {outside}, which is not part of the completion"),
            ));
        }
        let (completion, learned) = (self.learned(), mask.learned());
        Ok(Counts { completion, learned, masked: completion - learned })
    }
}

impl FromIterator<bool> for LossMask {
    fn from_iter<I: IntoIterator<Item = bool>>(flags: I) -> Self {
        Self(flags.into_iter().collect())
    }
}

impl Counts {
    /// Share of the completion that is masked, in 0 ..= 1; 0 for an empty completion.
    pub fn masked_share(&self) -> f64 {
        if self.completion == 0 { 0.0 } else { self.masked as f64 / self.completion as f64 }
    }
}

impl std::ops::Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            completion: self.completion + other.completion,
            learned: self.learned + other.learned,
            masked: self.masked + other.masked,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, counts| sum + counts)
    }
}

/// What decides of a token: in rules, in trainings, and in [`low_perplexity`].
pub(super) fn at_most(perplexity: f32, threshold: f32) -> bool {
    perplexity <= threshold
}

/// The paper's rule (§ 4, Selective Token Masking): keeps the completion tokens whose perplexity is at most `threshold`.
///
/// `perplexity[t]` is exp(−ln p(token t | tokens before it)) under the base model, so 2.5, the paper's value, keeps what the
/// base model gives a probability of at least 0.4. A token without a perplexity (the first of a sequence has no context) is
/// not learned. An infinite threshold keeps every token that has a perplexity.
///
/// Errors when `threshold` is not above 0, when there is not one perplexity for each token, or when one is not a number.
pub fn low_perplexity(
    completion: &LossMask,
    perplexity: &[Option<f32>],
    threshold: f32,
) -> Result<LossMask> {
    if threshold.is_nan() || threshold <= 0.0 {
        return Err(Error::invalid(
            "threshold",
            format!(
                "must be a perplexity above 0, got {threshold}; to mask nothing, use the completion mask as it is"
            ),
        ));
    }
    check_perplexity(completion, perplexity)?;
    Ok(completion
        .keep_where(|position| perplexity[position].is_some_and(|value| at_most(value, threshold))))
}

/// A control: masks `count` tokens of the completion, drawn without replacement.
///
/// Errors when the completion has fewer than `count` tokens.
pub(super) fn random_mask(completion: &LossMask, count: usize, rng: &mut Rng) -> Result<LossMask> {
    let positions: Vec<usize> = completion.positions().collect();
    enough("random mask", &positions, count)?;
    let mut masked = vec![false; completion.len()];
    for drawn in rng.distinct(positions.len(), count) {
        masked[positions[drawn]] = true;
    }
    Ok(completion.keep_where(|position| !masked[position]))
}

/// Keeps the `keep` tokens of the completion whose value is lowest; of equal values the earlier token.
///
/// A token without a value is not kept. Errors when fewer than `keep` tokens have one, or there is not one entry for each token.
pub(super) fn lowest_mask(
    completion: &LossMask,
    values: &[Option<f64>],
    keep: usize,
) -> Result<LossMask> {
    ranked_mask(completion, values, keep, |known| known[..keep].to_vec())
}

/// Keeps the `keep` tokens of the completion whose value is highest; of equal values the later token, so that it is the
/// complement of [`lowest_mask`].
pub(super) fn highest_mask(
    completion: &LossMask,
    values: &[Option<f64>],
    keep: usize,
) -> Result<LossMask> {
    let highest = |known: &[usize]| known[known.len() - keep..].to_vec();
    ranked_mask(completion, values, keep, highest)
}

/// Keeps the positions that `choose` takes out of those that have a value, in the order of their values and then of the text.
fn ranked_mask(
    completion: &LossMask,
    values: &[Option<f64>],
    keep: usize,
    choose: impl Fn(&[usize]) -> Vec<usize>,
) -> Result<LossMask> {
    same_length("values", values.len(), completion)?;
    let mut known: Vec<(f64, usize)> =
        completion.positions().filter_map(|position| Some((values[position]?, position))).collect();
    if known.len() < keep {
        let problem = format!(
            "{keep} tokens are to be kept, but only {} of the completion have a value to choose them by",
            known.len()
        );
        return Err(Error::invalid("mask by rank", problem));
    }
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let known: Vec<usize> = known.into_iter().map(|(_, position)| position).collect();
    let mut kept = vec![false; completion.len()];
    for position in choose(&known) {
        kept[position] = true;
    }
    Ok(LossMask(kept))
}

/// A control: masks as many tokens of each class as `like` does, drawn without replacement.
///
/// Errors when `class` does not have one entry for each token, or `like` is no mask of the completion.
pub(super) fn shuffled_mask(
    completion: &LossMask,
    class: &[TokenClass],
    like: &LossMask,
    rng: &mut Rng,
) -> Result<LossMask> {
    same_length("classes", class.len(), completion)?;
    completion.counts(like)?;
    let mut kept = vec![false; completion.len()];
    for (_, of) in TokenClass::NAMES {
        let positions: Vec<usize> =
            completion.positions().filter(|position| class[*position] == of).collect();
        let keep = positions.iter().filter(|position| like.learns(**position)).count();
        for drawn in rng.distinct(positions.len(), keep) {
            kept[positions[drawn]] = true;
        }
    }
    Ok(LossMask(kept))
}

fn check_perplexity(completion: &LossMask, perplexity: &[Option<f32>]) -> Result<()> {
    same_length("perplexity", perplexity.len(), completion)?;
    match perplexity.iter().position(|value| value.is_some_and(f32::is_nan)) {
        Some(position) => Err(Error::invalid(
            "perplexity",
            format!("token {position} has a perplexity that is not a number; score the data again"),
        )),
        None => Ok(()),
    }
}

fn same_length(what: &str, entries: usize, completion: &LossMask) -> Result<()> {
    if entries == completion.len() {
        return Ok(());
    }
    Err(Error::invalid(
        what,
        format!(
            "has {entries} entries for {} tokens; score and render the example again after editing it",
            completion.len()
        ),
    ))
}

fn enough(what: &str, positions: &[usize], count: usize) -> Result<()> {
    if count <= positions.len() {
        return Ok(());
    }
    Err(Error::invalid(
        what,
        format!("asks to mask {count} tokens of a completion that has {}", positions.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up sequence: a prompt, then a completion whose perplexities spread over some orders of magnitude.
    fn example(rng: &mut Rng) -> (LossMask, Vec<Option<f32>>) {
        let (prompt, completion) = (rng.below(20), 1 + rng.below(60));
        let mask = (0..prompt + completion).map(|t| t >= prompt).collect();
        let perplexity = (0..prompt + completion)
            .map(|t| (t > 0).then(|| (rng.normal().abs() * 2.0).exp() as f32))
            .collect();
        (mask, perplexity)
    }

    #[test]
    fn the_threshold_itself_is_learned() {
        let completion = LossMask::new(vec![true; 4]);
        let perplexity = [None, Some(2.5), Some(2.500_001), Some(1.0)];
        let mask = low_perplexity(&completion, &perplexity, 2.5).unwrap();
        assert_eq!(mask.as_slice(), [false, true, false, true]);
    }

    #[test]
    fn raising_the_threshold_never_masks_more() {
        let mut rng = Rng::new(1, "select");
        for _ in 0..200 {
            let (completion, perplexity) = example(&mut rng);
            let mut before = LossMask::none(completion.len());
            for threshold in [0.5, 1.0, 1.5, 2.5, 10.0, 25.0, 1000.0, f32::INFINITY] {
                let mask = low_perplexity(&completion, &perplexity, threshold).unwrap();
                assert!(before.positions().all(|position| mask.learns(position)));
                assert!(mask.positions().all(|position| completion.learns(position)));
                before = mask;
            }
            let scored = completion.keep_where(|position| perplexity[position].is_some());
            assert_eq!(before, scored, "an infinite threshold keeps what is scored");
        }
    }

    fn values(perplexity: &[Option<f32>]) -> Vec<Option<f64>> {
        perplexity.iter().map(|value| value.map(f64::from)).collect()
    }

    #[test]
    fn controls_mask_exactly_as_many_tokens_in_each_example() {
        let mut rng = Rng::new(2, "select");
        for index in 0..200 {
            let (completion, perplexity) = example(&mut rng);
            let high = low_perplexity(&completion, &perplexity, 2.5).unwrap();
            let count = completion.counts(&high).unwrap().masked;
            let random =
                random_mask(&completion, count, &mut Rng::new(3, "mask").fork(index)).unwrap();
            let highest = highest_mask(&completion, &values(&perplexity), high.learned()).unwrap();
            let class: Vec<TokenClass> =
                (0..completion.len()).map(|_| rng.choose(&TokenClass::NAMES[..3]).1).collect();
            let shuffled = shuffled_mask(&completion, &class, &high, &mut rng.fork(index)).unwrap();
            for control in [&random, &highest, &shuffled] {
                assert_eq!(completion.counts(control).unwrap().masked, count);
            }
            for (_, of) in TokenClass::NAMES {
                let of_class =
                    |mask: &LossMask| mask.positions().filter(|t| class[*t] == of).count();
                assert_eq!(of_class(&shuffled), of_class(&high), "{of:?}");
            }
        }
    }

    #[test]
    fn masks_by_rank_keep_one_end_and_are_each_others_complement() {
        let mut rng = Rng::new(4, "select");
        for _ in 0..100 {
            let (completion, perplexity) = example(&mut rng);
            let values = values(&perplexity);
            let known = completion.keep_where(|t| values[t].is_some());
            let keep = known.learned() / 3;
            let high = highest_mask(&completion, &values, keep).unwrap();
            let low = lowest_mask(&completion, &values, known.learned() - keep).unwrap();
            assert_eq!(high, known.keep_where(|t| !low.learns(t)));
            let highest_low = low.positions().map(|t| values[t].unwrap()).fold(0.0, f64::max);
            assert!(high.positions().all(|t| values[t].unwrap() >= highest_low));
        }
    }

    #[test]
    fn a_random_mask_is_drawn_from_the_whole_completion_and_nothing_else() {
        let completion: LossMask = (0..12).map(|t| t >= 4).collect();
        let mut masked = [0; 12];
        for index in 0..4000 {
            let mask = random_mask(&completion, 2, &mut Rng::new(5, "mask").fork(index)).unwrap();
            for position in completion.positions().filter(|t| !mask.learns(*t)) {
                masked[position] += 1;
            }
        }
        assert_eq!(masked[..4], [0; 4]);
        assert!(masked[4..].iter().all(|n| (850..1150).contains(n)), "{masked:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let completion = LossMask::new(vec![false, true]);
        for threshold in [0.0, -1.0, f32::NAN] {
            assert!(low_perplexity(&completion, &[None, Some(1.0)], threshold).is_err());
        }
        assert!(low_perplexity(&completion, &[None], 2.5).is_err());
        assert!(low_perplexity(&completion, &[None, Some(f32::NAN)], 2.5).is_err());
        assert!(random_mask(&completion, 2, &mut Rng::new(1, "mask")).is_err());
        assert!(lowest_mask(&completion, &[Some(1.0), None], 1).is_err());
        assert!(highest_mask(&completion, &[None], 0).is_err());
        assert!(completion.counts(&LossMask::new(vec![true, true])).is_err());
    }

    #[test]
    fn counts_add_up() {
        let completion = LossMask::new(vec![false, true, true, true]);
        let mask = LossMask::new(vec![false, true, false, false]);
        let counts = completion.counts(&mask).unwrap();
        assert_eq!((counts.completion, counts.learned, counts.masked), (3, 1, 2));
        let total: Counts = [counts, counts].into_iter().sum();
        assert_eq!(total.masked, 4);
        assert!((total.masked_share() - 2.0 / 3.0).abs() < 1e-12);
    }
}
