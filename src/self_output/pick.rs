//! Which of several answers to keep: the rule of lowest perplexity, and others to set beside it.

use super::{Among, Candidate, Pool, PoolItem, Which};
use crate::rng::Rng;
use crate::task::Item;
use std::collections::BTreeMap;
use std::fmt;

/// How one answer is picked among those of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The one of lowest perplexity: the paper's.
    Lowest(Which),
    /// The one of highest perplexity.
    Highest(Which),
    /// The one that was sampled first.
    First,
    /// One drawn by this seed, as the authors' later script does.
    Random(u64),
    /// The one of fewest tokens.
    Shortest,
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |which: &Which| match which {
            Which::GivenPrompt => "given the prompt",
            Which::TextAlone => "of the text alone",
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
    pub fn picked(&self, pick: Pick, among: Among, at: usize) -> Option<&Candidate> {
        let candidates = self.among(among);
        let by = |value: &dyn Fn(&Candidate) -> f64| {
            let best = candidates.iter().min_by(|a, b| value(a).total_cmp(&value(b)));
            best.copied()
        };
        match pick {
            Pick::Lowest(which) => by(&|candidate| candidate.perplexity(which)),
            Pick::Highest(which) => by(&|candidate| -candidate.perplexity(which)),
            Pick::Shortest => by(&|candidate| candidate.tokens as f64),
            Pick::First => candidates.first().copied(),
            Pick::Random(_) if candidates.is_empty() => None,
            Pick::Random(seed) => {
                let mut rng = Rng::new(seed, "pick").fork(at as u64);
                Some(candidates[rng.below(candidates.len())])
            }
        }
    }
}

impl Pool {
    /// Items with the answer that `pick` takes in the place of the reference; items without a candidate to pick are dropped.
    pub fn picked(&self, items: &[Item], pick: Pick, among: Among) -> Vec<Item> {
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
        let check = |pick: Pick, text: &str| {
            let item = item();
            let picked = item.picked(pick, Among::Right, 0).unwrap();
            assert_eq!(picked.text, text, "{pick}");
        };
        check(Pick::Lowest(Which::GivenPrompt), "plain");
        check(Pick::Lowest(Which::TextAlone), "alone");
        check(Pick::Highest(Which::GivenPrompt), "short");
        check(Pick::Highest(Which::TextAlone), "plain");
        check(Pick::First, "first");
        check(Pick::Shortest, "short");
    }

    #[test]
    fn chance_goes_by_seed_and_place_and_takes_no_wrong_one() {
        let item = item();
        let drawn = |seed, at| &item.picked(Pick::Random(seed), Among::Right, at).unwrap().text;
        let all: Vec<&String> = (0..40).map(|at| drawn(1, at)).collect();
        assert_eq!(all, (0..40).map(|at| drawn(1, at)).collect::<Vec<_>>());
        assert_ne!(all, (0..40).map(|at| drawn(2, at)).collect::<Vec<_>>());
        for text in ["first", "plain", "alone", "short"] {
            assert!(all.iter().any(|drawn| *drawn == text), "{text} is never drawn");
        }
        assert!(all.iter().all(|drawn| *drawn != "wrong"));
        let none =
            PoolItem { id: String::new(), candidates: vec![candidate("wrong", 1, 1.0, 1.0, 0.0)] };
        assert!(none.picked(Pick::Random(1), Among::Right, 0).is_none());
    }
}
