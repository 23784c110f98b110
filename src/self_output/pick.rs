//! Which of several answers to keep: the rule of lowest perplexity, and others to set beside it.

use super::{Candidate, Candidates, Conditioning, Pool, PoolItem};
use crate::rng::Rng;
use crate::task::Item;
use std::collections::BTreeMap;
use std::fmt;

/// How one answer is picked among those of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The one of lowest perplexity: the paper's.
    Lowest(Conditioning),
    /// The one of highest perplexity.
    Highest(Conditioning),
    /// The one that was sampled first.
    First,
    /// One drawn by this seed, as the authors' later script does.
    Random(u64),
    /// The one of fewest tokens.
    Shortest,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |which: &Conditioning| match which {
            Conditioning::GivenPrompt => "given the prompt",
            Conditioning::TextAlone => "of the text alone",
        };
        match self {
            Self::Lowest(which) => write!(f, "lowest perplexity {}", of(which)),
            Self::Highest(which) => write!(f, "highest perplexity {}", of(which)),
            Self::First => f.write_str("first"),
            Self::Random(seed) => write!(f, "random, seed {seed}"),
            Self::Shortest => f.write_str("shortest"),
        }
    }
}

impl PoolItem {
    /// The candidate that `pick` takes among some; of equals the first. `at` is the question's place in its pool, by which chance draws.
    pub fn picked(&self, pick: Selection, among: Candidates, at: usize) -> Option<&Candidate> {
        let candidates = self.among(among);
        let by = |value: &dyn Fn(&Candidate) -> f64| {
            let best = candidates.iter().min_by(|a, b| value(a).total_cmp(&value(b)));
            best.copied()
        };
        match pick {
            Selection::Lowest(which) => by(&|candidate| candidate.perplexity(which)),
            Selection::Highest(which) => by(&|candidate| -candidate.perplexity(which)),
            Selection::Shortest => by(&|candidate| candidate.tokens as f64),
            Selection::First => candidates.first().copied(),
            Selection::Random(_) if candidates.is_empty() => None,
            Selection::Random(seed) => {
                let mut rng = Rng::new(seed, "pick").fork(at as u64);
                Some(candidates[rng.below(candidates.len())])
            }
        }
    }
}

impl Pool {
    /// Items with the answer that `pick` takes in the place of the reference; items without a candidate to pick are dropped.
    pub fn picked(&self, items: &[Item], pick: Selection, among: Candidates) -> Vec<Item> {
        let pooled = self.items.iter().enumerate();
        let picked: BTreeMap<&str, &Candidate> = pooled
            .filter_map(|(at, pooled)| Some((pooled.id.as_str(), pooled.picked(pick, among, at)?)))
            .collect();
        let answered = |item: &Item| {
            let candidate = picked.get(item.id.as_str())?;
            Some(Item { truth: candidate.text.clone(), style: Vec::new(), ..item.clone() })
        };
        items.iter().filter_map(answered).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Form, Score};

    fn candidate(text: &str, tokens: usize, given: f64, alone: f64, value: f64) -> Candidate {
        Candidate {
            text: text.into(),
            tokens,
            log_prob: -given.ln() * tokens as f64,
            perplexity_given_prompt: given,
            perplexity_of_text_alone: Some(alone),
            truncated: false,
            score: Score {
                value,
                skill: value,
                form: Form::Kept,
                extracted: None,
                why: String::new(),
                parts: Vec::new(),
            },
        }
    }

    fn item() -> PoolItem {
        PoolItem {
            id: "word/train/0".into(),
            candidates: vec![
                candidate("wrong", 1, 1.0, 1.0, 0.0),
                candidate("first", 9, 1.5, 7.0, 1.0),
                candidate("plain", 8, 1.1, 9.0, 1.0),
                candidate("alone", 7, 1.2, 3.0, 1.0),
                candidate("short", 2, 2.0, 8.0, 1.0),
            ],
        }
    }

    #[test]
    fn each_rule_takes_its_own() {
        let check = |pick: Selection, text: &str| {
            let item = item();
            let picked = item.picked(pick, Candidates::Correct, 0).unwrap();
            assert_eq!(picked.text, text, "{pick}");
        };
        check(Selection::Lowest(Conditioning::GivenPrompt), "plain");
        check(Selection::Lowest(Conditioning::TextAlone), "alone");
        check(Selection::Highest(Conditioning::GivenPrompt), "short");
        check(Selection::Highest(Conditioning::TextAlone), "plain");
        check(Selection::First, "first");
        check(Selection::Shortest, "short");
    }

    #[test]
    fn chance_goes_by_seed_and_place_and_takes_no_wrong_one() {
        let item = item();
        let drawn =
            |seed, at| &item.picked(Selection::Random(seed), Candidates::Correct, at).unwrap().text;
        let all: Vec<&String> = (0..40).map(|at| drawn(1, at)).collect();
        assert_eq!(all, (0..40).map(|at| drawn(1, at)).collect::<Vec<_>>());
        assert_ne!(all, (0..40).map(|at| drawn(2, at)).collect::<Vec<_>>());
        for text in ["first", "plain", "alone", "short"] {
            assert!(all.iter().any(|drawn| *drawn == text), "{text} is never drawn");
        }
        assert!(all.iter().all(|drawn| *drawn != "wrong"));
        let none =
            PoolItem { id: String::new(), candidates: vec![candidate("wrong", 1, 1.0, 1.0, 0.0)] };
        assert!(none.picked(Selection::Random(1), Candidates::Correct, 0).is_none());
    }
}
