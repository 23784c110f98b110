//! How surprising answers are: token by token, as a whole in the two ways that are in use, and several kinds of them side by side.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::perplexity::{self, Summary};
use crate::scored::Scored;
use crate::select::TokenClass;
use crate::task::Item;
use crate::verbs;
use serde::Serialize;
use std::collections::BTreeSet;

/// One answer's tokens that surprise the model most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peaks {
    /// The item.
    pub item: String,
    /// Share of the answer's summed surprisal that they carry.
    pub surprisal: f64,
    /// The most surprising first.
    pub tokens: Vec<Peak>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peak {
    /// The text that stands before it, at most 24 characters of it.
    pub before: String,
    /// The token.
    pub text: String,
    /// One over the probability that the model gave it.
    pub perplexity: f64,
    /// Tokens that the model thought more probable.
    pub rank: Option<u32>,
    /// What kind of text it is.
    pub class: TokenClass,
    /// Whether the writer's own style shows in it.
    pub style: bool,
}

/// How surprising several kinds of answers are, each as a whole: the paper's Table 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Perplexities {
    /// In the order in which they were given.
    pub rows: Vec<OfAnswers>,
}

/// How surprising answers of one kind are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfAnswers {
    /// Whose they are.
    pub name: String,
    /// In a few numbers.
    pub summary: Summary,
    /// Of each answer, given its question, in the order of the items.
    pub given_prompt: Vec<Option<f64>>,
    /// Of each answer, its bare text, without question or template.
    pub text_alone: Vec<Option<f64>>,
}

/// The items that all of `sets` have, in the order of the first, each with the answer that its set has.
///
/// # Errors
/// There is no set, or nothing that all of them have.
pub fn same_questions(sets: &[&[Item]]) -> Result<Vec<Vec<Item>>> {
    let ids =
        |set: &&[Item]| -> BTreeSet<String> { set.iter().map(|item| item.id.clone()).collect() };
    let shared = sets.iter().map(ids).reduce(|one, other| &one & &other);
    let shared = shared.unwrap_or_default();
    let Some(first) = sets.first().filter(|_| !shared.is_empty()) else {
        return Err(Error::invalid("sets of items", "have no question that all of them answer"));
    };
    let order: Vec<&str> =
        first.iter().map(|item| item.id.as_str()).filter(|id| shared.contains(*id)).collect();
    let of = |set: &&[Item]| -> Vec<Item> {
        let item = |id: &&str| set.iter().find(|item| item.id == **id).cloned();
        order.iter().filter_map(item).collect()
    };
    Ok(sets.iter().map(of).collect())
}

/// How surprising the answers of each scored are to `checkpoint`, the model that read them: given their questions, and their text alone.
///
/// # Errors
/// The model cannot be read.
pub fn perplexities(
    cx: &Context,
    checkpoint: &Checkpoint,
    scoreds: &[&Scored],
) -> Result<Perplexities> {
    let of = |scored: &&Scored| -> Result<OfAnswers> {
        let text_alone = verbs::text_alone(cx, checkpoint, scored)?;
        Ok(OfAnswers {
            name: scored.name.clone(),
            summary: scored.summary(&text_alone),
            given_prompt: scored.perplexities(),
            text_alone,
        })
    };
    Ok(Perplexities { rows: scoreds.iter().map(of).collect::<Result<_>>()? })
}

impl Perplexities {
    /// The row of one kind of answers.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn of(&self, name: &str) -> Result<&OfAnswers> {
        let found = self.rows.iter().find(|row| row.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
            Error::invalid(
                "answers",
                format!("there are none of `{name}`, only of {}", names.join(", ")),
            )
        })
    }
}

impl Scored {
    /// Surprisal, in nats, of each token of answer `at`, counted from 0, its end of turn included.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn surprisals(&self, at: usize) -> Result<Vec<f64>> {
        let (sequence, scores) = self.pair(at)?;
        let nats = |position: usize| Some(-f64::from(scores.log_prob[position]?));
        Ok(sequence.completion.positions().filter_map(nats).collect())
    }

    /// Perplexity of answer `at`, counted from 0, given its question: `exp` of its mean surprisal.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn perplexity_of(&self, at: usize) -> Result<f64> {
        let (sequence, scores) = self.pair(at)?;
        let mean = scores.mean_surprisal(sequence.completion.positions());
        mean.map(f64::exp).ok_or_else(|| Error::invalid(&sequence.id, "has no answer"))
    }

    /// The `count` tokens of answer `at`, counted from 0, that surprise the model most.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn peaks(&self, at: usize, count: usize) -> Result<Peaks> {
        const BEFORE: usize = 24;
        let (sequence, scores) = self.pair(at)?;
        let item = &self.items[at];
        let style = sequence.marked(&item.truth, &item.style);
        let known = |position: usize| Some((position, -f64::from(scores.log_prob[position]?)));
        let mut nats: Vec<(usize, f64)> =
            sequence.completion.positions().filter_map(known).collect();
        let all: f64 = nats.iter().map(|(_, nats)| nats).sum();
        // of equals the earlier
        nats.sort_by(|one, other| other.1.total_cmp(&one.1));
        nats.truncate(count);
        let token = |&(position, nats): &(usize, f64)| {
            let start = sequence.spans[position].start;
            let begin = sequence.spans[sequence.prompt_tokens].start;
            let before: Vec<char> =
                sequence.text[begin..start].chars().rev().take(BEFORE).collect();
            Peak {
                before: before.into_iter().rev().collect(),
                text: sequence.token_text(position).to_owned(),
                perplexity: nats.exp(),
                rank: scores.rank[position],
                class: self.classes[at][position],
                style: style[position],
            }
        };
        Ok(Peaks {
            item: item.id.clone(),
            surprisal: match all > 0.0 {
                true => nats.iter().map(|(_, nats)| nats).sum::<f64>() / all,
                false => 0.0,
            },
            tokens: nats.iter().map(token).collect(),
        })
    }

    fn pair(&self, at: usize) -> Result<(&crate::tokens::Sequence, &perplexity::TokenScores)> {
        let pair = self.sequences.get(at).zip(self.scores.get(at));
        pair.ok_or_else(|| {
            let last = self.items.len().saturating_sub(1);
            Error::invalid("item", format!("there is no number {at}, only 0 to {last}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::kinds::made::scored;

    #[test]
    fn perplexity_of_an_answer_is_exp_of_the_mean_and_peaks_come_first() {
        let scored = scored();
        let nats = scored.surprisals(0).unwrap();
        let mean = nats.iter().sum::<f64>() / nats.len() as f64;
        assert!((scored.perplexity_of(0).unwrap() - mean.exp()).abs() < 1e-9);
        let peaks = scored.peaks(0, 2).unwrap();
        let texts: Vec<&str> = peaks.tokens.iter().map(|peak| peak.text.as_str()).collect();
        assert_eq!(texts, ["Oh", "5"]);
        assert_eq!(peaks.tokens[0].before, "");
        assert!(peaks.tokens[0].style && !peaks.tokens[1].style);
        assert!((peaks.surprisal - 9.0 / nats.iter().sum::<f64>()).abs() < 1e-6);
        assert!(scored.peaks(1, 2).is_err() && scored.surprisals(1).is_err());
    }

    #[test]
    fn only_questions_that_all_answer_are_left_in_the_first_order() {
        let item = |id: &str, truth: &str| Item {
            id: id.into(),
            truth: truth.into(),
            ..scored().items[0].clone()
        };
        let one = [item("a", "1"), item("b", "1"), item("c", "1")];
        let other = [item("c", "2"), item("a", "2")];
        let sets = same_questions(&[&one, &other]).unwrap();
        let seen = |set: &[Item]| -> Vec<String> {
            let items = set.iter();
            items.map(|item| item.id.clone() + &item.truth).collect()
        };
        assert_eq!(seen(&sets[0]), ["a1", "c1"]);
        assert_eq!(seen(&sets[1]), ["a2", "c2"]);
        assert!(same_questions(&[&one[..1], &other[..1]]).is_err());
        assert!(same_questions(&[]).is_err());
    }
}
