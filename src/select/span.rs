//! A scorer's surprisal on the tokens of another tokenizer.

use std::ops::Range;

/// What a scorer says of the tokens of a text, on the tokens into which another tokenizer splits the same text.
///
/// `scored` are the scorer's tokens with their surprisal, `onto` the other tokenizer's; all spans count the same thing from the same place:
/// characters of the common text. A scorer's token spreads its surprisal evenly over its characters, and a token gets what lies on its
/// own; tokens that share a character (each has some of its bytes) share what lies on it. So the sum over a text that both
/// cover is kept, and where the two split alike the values are the same to the bit.
///
/// A token is `None` where the scorer has no value for one of its characters, and where it has no character.
///
/// The limit: within a word the first letters surprise and the rest follows, which an even spread does not know. Where the
/// trainee's tokens are shorter than the scorer's, a surprising word masks all of its pieces or none; where they are longer, a token
/// gets the surprisal of several and falls to a threshold more easily.
///
/// ```
/// use unforget::select::carry_over;
/// // "unhappy cat": un|happy| cat for the scorer, unhappy| c|at for the trainee
/// let scored = [(0..2, Some(1.0)), (2..7, Some(3.0)), (7..11, Some(2.0))];
/// assert_eq!(carry_over(&scored, &[0..7, 7..9, 9..11]), [Some(4.0), Some(1.0), Some(1.0)]);
/// ```
pub fn carry_over(
    scored: &[(Range<usize>, Option<f32>)],
    onto: &[Range<usize>],
) -> Vec<Option<f32>> {
    let ends = scored.iter().map(|(span, _)| span.end);
    let length = ends.chain(onto.iter().map(|span| span.end)).max();
    let length = length.unwrap_or(0);
    let inside = |span: &Range<usize>| span.start.min(length)..span.end.min(length);
    // surprisal of each character, of how many scorer's tokens, whether one of those had no value
    let mut surprisal = vec![0f64; length];
    let mut covered = vec![0usize; length];
    let mut unknown = vec![false; length];
    for (span, value) in scored {
        for at in inside(span) {
            covered[at] += 1;
            match value {
                Some(value) => surprisal[at] += f64::from(*value) / span.len() as f64,
                None => unknown[at] = true,
            }
        }
    }
    let mut sharers = vec![0usize; length];
    for span in onto {
        inside(span).for_each(|at| sharers[at] += 1);
    }
    let of_token = |span: &Range<usize>| {
        let same = scored.iter().position(|(other, _)| other == span);
        let alone = |at: usize| covered[at] == 1 && sharers[at] == 1;
        if let Some(same) = same.filter(|_| !span.is_empty() && span.clone().all(alone)) {
            return scored[same].1;
        }
        let known = |at: usize| covered[at] > 0 && !unknown[at];
        if span.is_empty() || !span.clone().all(known) {
            return None;
        }
        let shares = span.clone().map(|at| surprisal[at] / sharers[at] as f64);
        Some(shares.sum::<f64>() as f32)
    };
    onto.iter().map(of_token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Splits 0..length into pieces of one to six characters.
    fn split(rng: &mut Rng, length: usize) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        let mut from = 0;
        while from < length {
            let to = (from + 1 + rng.below(6)).min(length);
            spans.push(from..to);
            from = to;
        }
        spans
    }

    #[test]
    fn the_sum_is_kept_and_an_equal_split_keeps_every_value() {
        let mut rng = Rng::new(1, "spans");
        for _ in 0..200 {
            let length = 1 + rng.below(80);
            let scored: Vec<_> = split(&mut rng, length)
                .into_iter()
                .map(|span| (span, Some(rng.uniform() as f32 * 9.0)))
                .collect();
            let onto = split(&mut rng, length);
            let carried = carry_over(&scored, &onto);
            let sum = |values: Vec<Option<f32>>| -> f64 {
                values.into_iter().map(|v| f64::from(v.unwrap())).sum()
            };
            let values: Vec<Option<f32>> = scored.iter().map(|(_, value)| *value).collect();
            assert!((sum(carried) - sum(values.clone())).abs() < 1e-4);
            let same: Vec<_> = scored.iter().map(|(span, _)| span.clone()).collect();
            assert_eq!(carry_over(&scored, &same), values);
        }
    }

    #[test]
    fn the_pieces_of_a_character_share_what_it_surprises() {
        // one character of the scorer's, three byte tokens of the trainee's; and the other way round
        let scored = [(0..1, Some(6.0)), (1..3, Some(1.0))];
        assert_eq!(
            carry_over(&scored, &[0..1, 0..1, 0..1, 1..3]),
            [Some(2.0), Some(2.0), Some(2.0), Some(1.0)]
        );
        let scored = [(0..1, Some(2.0)), (0..1, Some(3.0)), (1..2, Some(1.0))];
        let whole = 0..2;
        assert_eq!(carry_over(&scored, std::slice::from_ref(&whole)), [Some(6.0)]);
        assert_eq!(carry_over(&scored, &[0..1, 1..2]), [Some(5.0), Some(1.0)]);
    }

    #[test]
    fn a_value_that_is_not_there_is_not_made_up() {
        let scored = [(0..2, None), (2..4, Some(1.0))];
        let onto = [0..1, 1..3, 2..4, 4..6, 4..4];
        let carried = carry_over(&scored, &onto);
        // of the third token's characters one is shared with the second
        assert_eq!(carried, [None, None, Some(0.75), None, None]);
        assert!(carry_over(&[], &[]).is_empty());
    }
}
