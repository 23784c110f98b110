//! How much several answers to one question differ: self-BLEU (Zhu et al. 2018), on plain texts.
//!
//! The paper's Table 6 gives self-BLEU without saying of which words, length or smoothing. Here: a token is a run of letters and digits
//! or one other character that is no white space; n-grams up to 4; a sentence's BLEU as sacrebleu computes it, with exponential
//! smoothing and the effective order. Numbers go from 0 (nothing in common) to 100 (the same text).
//!
//! ```
//! use unforget::diversity::self_bleu;
//! let alike = self_bleu(&["the sum is 5", "the sum is 5"]);
//! assert_eq!(alike.map(f64::round), Some(100.0));
//! assert_eq!(self_bleu(&["only one"]), None);
//! ```

use std::collections::HashMap;

/// Longest n-gram.
const ORDER: usize = 4;

/// Mean over `texts` of each one's BLEU with the others as references, in 0 ..= 100; `None` for fewer than two texts.
pub fn self_bleu(texts: &[&str]) -> Option<f64> {
    let words: Vec<Vec<&str>> = texts.iter().map(|text| tokens(text)).collect();
    let scores: Vec<f64> = (0..words.len())
        .map(|at| {
            let others: Vec<&[&str]> = words
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .map(|(_, words)| words.as_slice())
                .collect();
            bleu(&words[at], &others)
        })
        .collect();
    (texts.len() > 1).then(|| crate::stats::mean(&scores)).flatten()
}

/// Runs of letters and digits, and every other character that is no white space.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut from = None;
    for (at, character) in text.char_indices() {
        if character.is_alphanumeric() || character == '_' {
            from.get_or_insert(at);
            continue;
        }
        if let Some(from) = from.take() {
            tokens.push(&text[from..at]);
        }
        if !character.is_whitespace() {
            tokens.push(&text[at..at + character.len_utf8()]);
        }
    }
    tokens.extend(from.map(|from| &text[from..]));
    tokens
}

/// BLEU of one sentence: `bp · exp(mean over n of ln precision_n)` over the n-gram lengths that the sentence has, where the k-th
/// precision without a match counts as `1 / (2^k · n-grams)` and `bp` uses the reference nearest in length (the shorter of two).
fn bleu(sentence: &[&str], references: &[&[&str]]) -> f64 {
    let (mut logs, mut orders, mut matched, mut halving) = (0.0, 0, 0, 1.0);
    for n in 1..=ORDER {
        let counts = grams(sentence, n);
        let total: usize = counts.values().sum();
        if total == 0 {
            break;
        }
        let mut most: HashMap<&[&str], usize> = HashMap::new();
        for reference in references {
            for (gram, count) in grams(reference, n) {
                let known = most.entry(gram).or_default();
                *known = count.max(*known);
            }
        }
        let clipped =
            |(gram, count): (&&[&str], &usize)| most.get(gram).map_or(0, |m| *m.min(count));
        let right: usize = counts.iter().map(clipped).sum();
        matched += right;
        orders += 1;
        logs += if right == 0 {
            halving *= 2.0;
            (1.0 / (halving * total as f64)).ln()
        } else {
            (right as f64 / total as f64).ln()
        };
    }
    if matched == 0 {
        return 0.0;
    }
    let nearest = references
        .iter()
        .map(|reference| reference.len())
        .min_by_key(|length| (length.abs_diff(sentence.len()), *length))
        .unwrap_or(0);
    let short = 1.0 - nearest as f64 / sentence.len() as f64;
    100.0 * (short.min(0.0) + logs / f64::from(orders)).exp()
}

/// How often each run of `n` words occurs.
fn grams<'a, 'b>(words: &'b [&'a str], n: usize) -> HashMap<&'b [&'a str], usize> {
    let mut counts = HashMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_are_tokens() {
        assert_eq!(
            tokens("2x + 3 = 11,\nso x_1 = 4."),
            ["2x", "+", "3", "=", "11", ",", "so", "x_1", "=", "4", "."]
        );
        assert_eq!(tokens(" é¿ "), ["é", "¿"]);
    }

    /* import re, sacrebleu                                                                     # sacrebleu 2.6.0
    def tok(s): return " ".join(re.findall(r"\w+|[^\w\s]", s))
    def self_bleu(texts):
        t = [tok(x) for x in texts]
        b = [sacrebleu.sentence_bleu(t[i], t[:i] + t[i+1:], smooth_method="exp", tokenize="none", use_effective_order=True).score
             for i in range(len(t))]
        return sum(b) / len(b)
    TEXTS = [["First, take 3 from both sides: 2x = 8. So x = 4.", "Take 3 away: 2x = 8, hence x = 4.", "x = 4, since 2x = 8.", "I do not know."],
             ["a b c d e", "a b c d f"], ["a", "a b"], ["yes", "no"], ["one two three four five six", "one two", "five six seven"],
             ["the the the the", "the cat", "the the dog sat on the mat"]]
    for t in TEXTS: print(repr(self_bleu(t))) */
    #[test]
    fn self_bleu_is_sacrebleus() {
        let check = |texts: &[&str], expected: f64| {
            let found = self_bleu(texts).unwrap();
            assert!((found - expected).abs() < 1e-9, "{texts:?}: {found}, not {expected}");
        };
        SACREBLEU.iter().for_each(|(texts, expected)| check(texts, *expected));
    }

    const SACREBLEU: [(&[&str], f64); 6] = [
        (
            &[
                "First, take 3 from both sides: 2x = 8. So x = 4.",
                "Take 3 away: 2x = 8, hence x = 4.",
                "x = 4, since 2x = 8.",
                "I do not know.",
            ],
            31.787396235819816,
        ),
        (&["a b c d e", "a b c d f"], 66.87403049764218),
        (&["a", "a b"], 43.39397205857212),
        (&["yes", "no"], 0.0),
        (&["one two three four five six", "one two", "five six seven"], 46.214225084262715),
        (&["the the the the", "the cat", "the the dog sat on the mat"], 22.761693180701656),
    ];
}
