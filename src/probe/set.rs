use crate::dataset::{Example, Unusable};
use crate::error::{Error, Result};
use crate::perplexity::TokenScores;
use crate::rng::Rng;
use crate::scored::{Rendering, Scored};
use crate::select::TokenClass;
use crate::task::Item;
use crate::tokens::{Sequence, Tokenizer, TooLong};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a probe set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Examples of the training data. Here the divergence from the base model is measured, which predicts forgetting (RL's Razor, arXiv
    /// 2509.04259).
    Training,
    /// What is trained for.
    Target,
    /// What should not be lost.
    NonTarget,
}

/// What one looks at between two steps of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSet {
    /// Its name in rows, logs and messages.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Answers that are given, and scored.
    pub scored: Vec<ProbeExample>,
    /// Questions that are asked, and graded.
    pub items: Vec<Item>,
    /// Rows that cannot be used and were left out: for the run's card.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
}

/// A rendered example of which each token of the completion is scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeExample {
    /// Token ids, prompt and completion.
    pub ids: Vec<u32>,
    /// What kind of text each token of the completion is; `None` for tokens of the prompt.
    pub class: Vec<Option<TokenClass>>,
}

/// Surprisal of the tokens of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassLoss {
    /// Tokens of that class.
    pub tokens: usize,
    /// Their mean surprisal, in nats.
    pub loss: f64,
}

/// What does not fit is refused; `skip` leaves out what cannot be rendered.
fn rendering(context: usize, skip: bool) -> Rendering {
    Rendering { context, too_long: TooLong::Refuse, skip_unusable: skip }
}

impl ProbeSet {
    /// A benchmark: its questions are asked and graded, and its reference answers scored. `skip` leaves out and lists what cannot be rendered.
    pub fn of_items(
        name: &str,
        role: Role,
        items: &[Item],
        tokenizer: &Tokenizer,
        context: usize,
        skip: bool,
    ) -> Result<Self> {
        let rendered = Scored::of_items(name, items, tokenizer, rendering(context, skip))?;
        let set = Self::of_scored(name, role, &rendered);
        Ok(Self { items: rendered.items, ..set })
    }

    /// Conversations whose answers are scored. `skip` leaves out and lists what cannot be rendered.
    pub fn of_examples(
        name: &str,
        role: Role,
        examples: Vec<Example>,
        tokenizer: &Tokenizer,
        context: usize,
        skip: bool,
    ) -> Result<Self> {
        let rendered = Scored::rendered(name, examples, tokenizer, rendering(context, skip))?;
        Ok(Self::of_scored(name, role, &rendered))
    }

    /// At most `count` examples of the training data, drawn by `seed` from all of them.
    pub fn of_training(data: &Scored, seed: u64, count: usize) -> Self {
        let all = data.sequences.len();
        let mut drawn = Rng::new(seed, "training-probe").distinct(all, count.min(all));
        drawn.sort_unstable();
        let example = |at: &usize| ProbeExample::new(&data.sequences[*at], &data.classes[*at]);
        let scored = drawn.iter().map(example).collect();
        Self { scored, ..Self::new("training", Role::Training) }
    }

    fn of_scored(name: &str, role: Role, rendered: &Scored) -> Self {
        let pairs = rendered.sequences.iter().zip(&rendered.classes);
        let scored = pairs.map(|(sequence, classes)| ProbeExample::new(sequence, classes));
        let unusable = rendered.unusable.clone();
        Self { scored: scored.collect(), unusable, ..Self::new(name, role) }
    }

    /// A set without examples.
    pub fn new(name: &str, role: Role) -> Self {
        let name = name.to_string();
        Self { name, role, scored: Vec::new(), items: Vec::new(), unusable: Vec::new() }
    }

    /// Refuses a set that says nothing, or asks what this machine cannot grade.
    pub(super) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            let problem =
                format!("must be made of letters, digits, `_`, `-` and `.`, got {:?}", self.name);
            return Err(Error::invalid("name of a probe set", problem));
        }
        if self.items.is_empty() && self.scored.is_empty() {
            return Err(Error::invalid(&self.name, "this probe set holds no example"));
        }
        self.items.iter().try_for_each(|item| item.check.ready())
    }

    /// Tokens that are scored.
    pub(super) fn tokens(&self) -> usize {
        self.scored.iter().map(|scored| scored.ids.len()).sum()
    }

    /// Mean surprisal over all tokens of the completions, and over those of each class. `None` where there are none.
    pub(super) fn losses(
        &self,
        scores: &[TokenScores],
    ) -> (Option<f64>, BTreeMap<String, ClassLoss>) {
        let mut sums: BTreeMap<TokenClass, (usize, f64)> = BTreeMap::new();
        for (scored, scores) in self.scored.iter().zip(scores) {
            for (class, log_prob) in scored.class.iter().zip(&scores.log_prob) {
                if let (Some(class), Some(log_prob)) = (class, log_prob) {
                    let (tokens, sum) = sums.entry(*class).or_default();
                    *tokens += 1;
                    *sum -= f64::from(*log_prob);
                }
            }
        }
        let (tokens, sum) = sums.values().fold((0, 0.0), |(n, s), (m, t)| (n + m, s + t));
        let of_class = |(class, (tokens, sum)): (TokenClass, (usize, f64))| {
            let loss = sum / tokens as f64;
            (class.name().to_string(), ClassLoss { tokens, loss })
        };
        let loss = (tokens > 0).then(|| sum / tokens as f64);
        (loss, sums.into_iter().map(of_class).collect())
    }
}

impl ProbeExample {
    /// `sequence` with the classes of its tokens ([`Sequence::classes`]).
    pub fn new(sequence: &Sequence, classes: &[TokenClass]) -> Self {
        let class =
            |(at, class): (usize, &TokenClass)| sequence.completion.learns(at).then_some(*class);
        Self { ids: sequence.ids.clone(), class: classes.iter().enumerate().map(class).collect() }
    }
}
