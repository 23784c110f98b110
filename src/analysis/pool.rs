//! Answers that the model wrote: what they cost, which one is picked of several, how alike they are, and which questions they leave.

use crate::diversity::self_bleu;
use crate::error::{Error, Result};
use crate::metric::{PAPER_THRESHOLD, pass_at_k};
use crate::scored::Scored;
use crate::self_output::{Candidate, Candidates, Pool, PoolItem, Selection};
use crate::stats::{self, Estimate};
use crate::task::Item;
use serde::Serialize;
use std::collections::BTreeSet;

/// How many questions get a right answer from so many samples, and what each costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Acceptance {
    /// Questions asked.
    pub questions: usize,
    /// Answers sampled to each.
    pub samples: usize,
    /// For 1, 2, 4, … samples, and for all of them.
    pub rows: Vec<Accepted>,
}

/// What so many samples of each question give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accepted {
    /// Answers to each question.
    pub samples: usize,
    /// Expected share of the questions with a right one among them, over all ways to take so many of those that were sampled.
    pub questions: f64,
    /// Answers sampled for each question that is kept.
    pub answers_per_kept: f64,
    /// Tokens sampled for each question that is kept.
    pub tokens_per_kept: f64,
}

/// Several pools side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pools {
    /// In the order in which they were given.
    pub rows: Vec<OfPool>,
}

/// What one pool holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfPool {
    /// How it was sampled.
    pub name: String,
    /// Questions asked.
    pub questions: usize,
    /// Answers sampled.
    pub answers: usize,
    /// Share of the answers that are right.
    pub right: Option<f64>,
    /// Questions with a right answer.
    pub kept: usize,
    /// Questions with a right answer and a wrong one.
    pub mixed: usize,
    /// Mean self-BLEU of the answers to one question; `None` with one answer to each.
    pub self_bleu: Option<f64>,
}

/// Rules that pick one right answer to each question, side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picks {
    /// In the order in which they were given.
    pub rows: Vec<Picked>,
}

/// The right answers that one rule picks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picked {
    /// The rule.
    pub pick: String,
    /// Mean perplexity given the prompt.
    pub given_prompt: f64,
    /// Mean perplexity of the text alone.
    pub text_alone: f64,
    /// Mean number of tokens.
    pub tokens: f64,
    /// Questions for which it picks another text than the first rule of the table.
    pub others: usize,
}

/// How alike answers are to the given ones to the same questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Likeness {
    /// Whose answers, and the mean over questions of the self-BLEU of answer and given answer: 0 for no word in common, 100 for the same text.
    pub rows: Vec<(String, f64)>,
}

/// The questions that were kept beside those that were dropped, by their given answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptQuestions {
    /// Those that were kept.
    pub kept: Questions,
    /// Those that were dropped.
    pub dropped: Questions,
}

/// Some questions, by their given answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Questions {
    /// How many.
    pub count: usize,
    /// Mean tokens of a question, template included.
    pub question_tokens: Option<Estimate>,
    /// Mean tokens of a given answer.
    pub answer_tokens: Option<Estimate>,
    /// Mean perplexity of a given answer, given its question.
    pub perplexity: Option<Estimate>,
    /// Mean share of an answer's tokens above the paper's threshold.
    pub above: Option<Estimate>,
}

/// How many questions get a right answer from 1, 2, 4, … samples.
///
/// # Errors
/// The pool is empty, or its questions have not equally many answers.
pub fn acceptance(pool: &Pool) -> Result<Acceptance> {
    let samples = pool.items.first().map_or(0, |item| item.candidates.len());
    if samples == 0 || pool.items.iter().any(|item| item.candidates.len() != samples) {
        let problem = "must have equally many answers to each question, and at least one";
        return Err(Error::invalid("pool", problem));
    }
    let questions = pool.items.len();
    let tokens: usize = candidates(pool).map(|candidate| candidate.tokens).sum();
    let mean_tokens = tokens as f64 / pool.sampled() as f64;
    let row = |count: usize| {
        let solved = solved_at_k(pool, count);
        let answers_per_kept = (count * questions) as f64 / solved;
        Accepted {
            samples: count,
            questions: solved / questions as f64,
            answers_per_kept,
            tokens_per_kept: answers_per_kept * mean_tokens,
        }
    };
    let powers = (0..).map(|power| 1 << power).take_while(|count| *count < samples);
    Ok(Acceptance { questions, samples, rows: powers.chain([samples]).map(row).collect() })
}

impl Acceptance {
    /// The row of so many samples.
    ///
    /// # Errors
    /// It is none of 1, 2, 4, … and all.
    pub fn of(&self, samples: usize) -> Result<&Accepted> {
        let found = self.rows.iter().find(|row| row.samples == samples);
        found.ok_or_else(|| {
            let problem =
                format!("{samples} is not in the table; it has powers of 2 up to {}", self.samples);
            Error::invalid("samples", problem)
        })
    }
}

/// Expected number of questions with a right answer among `count` samples, over all ways to take so many of those that were sampled.
pub fn solved_at_k(pool: &Pool, count: usize) -> f64 {
    let chance = |item: &PoolItem| pass_at_k(item.candidates.len(), right(item), count);
    pool.items.iter().map(chance).sum()
}

fn candidates(pool: &Pool) -> impl Iterator<Item = &Candidate> {
    pool.items.iter().flat_map(|item| &item.candidates)
}

fn right(item: &PoolItem) -> usize {
    item.candidates.iter().filter(|c| c.accepted()).count()
}

/// Sets pools side by side, each with a name.
pub fn pools(pools: &[(&str, &Pool)]) -> Pools {
    let row = |(name, pool): &(&str, &Pool)| {
        let alike = |item: &PoolItem| {
            let texts: Vec<&str> = item.candidates.iter().map(|c| c.text.as_str()).collect();
            self_bleu(&texts)
        };
        let alike: Vec<f64> = pool.items.iter().filter_map(alike).collect();
        let among = |among: Candidates| {
            let has = |item: &&PoolItem| item.picked(Selection::First, among, 0).is_some();
            pool.items.iter().filter(has).count()
        };
        OfPool {
            name: (*name).to_owned(),
            questions: pool.items.len(),
            answers: pool.sampled(),
            right: pool.accepted(),
            kept: among(Candidates::Correct),
            mixed: among(Candidates::CorrectOfMixed),
            self_bleu: stats::mean(&alike),
        }
    };
    Pools { rows: pools.iter().map(row).collect() }
}

/// What each of `picks` takes of the right answers.
///
/// # Errors
/// No question has a right answer.
pub fn picks(pool: &Pool, picks: &[Selection]) -> Result<Picks> {
    let taken = |pick: Selection| -> Vec<&Candidate> {
        let items = pool.items.iter().enumerate();
        items.filter_map(|(at, item)| item.picked(pick, Candidates::Correct, at)).collect()
    };
    let first: Vec<&Candidate> = picks.first().map(|pick| taken(*pick)).unwrap_or_default();
    let row = |pick: &Selection| -> Result<Picked> {
        let taken = taken(*pick);
        let mean = |value: &dyn Fn(&Candidate) -> Option<f64>| {
            let values: Vec<f64> = taken.iter().filter_map(|c| value(c)).collect();
            stats::mean(&values)
                .ok_or_else(|| Error::invalid("pool", "has no right answer to pick from"))
        };
        let pairs = taken.iter().zip(&first);
        Ok(Picked {
            pick: pick.to_string(),
            given_prompt: mean(&|c| Some(c.perplexity_given_prompt))?,
            text_alone: mean(&|c| c.perplexity_of_text_alone)?,
            tokens: mean(&|c| Some(c.tokens as f64))?,
            others: pairs.filter(|(one, other)| one.text != other.text).count(),
        })
    };
    Ok(Picks { rows: picks.iter().map(row).collect::<Result<_>>()? })
}

/// How alike the answers of each of `sets` are to the `given` ones; each set has a name. Questions that have no given answer are left out.
///
/// # Errors
/// A set answers no question that has a given answer.
pub fn likeness(given: &[Item], sets: &[(&str, &[Item])]) -> Result<Likeness> {
    let row = |(name, set): &(&str, &[Item])| {
        let alike = |item: &Item| {
            let given = given.iter().find(|given| given.id == item.id)?;
            self_bleu(&[&given.truth, &item.truth])
        };
        let alike: Vec<f64> = set.iter().filter_map(alike).collect();
        let mean = stats::mean(&alike);
        let mean = mean.ok_or_else(|| {
            Error::invalid(*name, "answers none of the questions that have a given answer")
        })?;
        Ok(((*name).to_owned(), mean))
    };
    Ok(Likeness { rows: sets.iter().map(row).collect::<Result<_>>()? })
}

/// Sets the questions of `given` that `chosen` answers beside those that it does not.
pub fn kept(given: &Scored, chosen: &[Item]) -> KeptQuestions {
    let ids: BTreeSet<&str> = chosen.iter().map(|item| item.id.as_str()).collect();
    let of = |wanted: bool| {
        let places: Vec<usize> = (0..given.items.len())
            .filter(|at| ids.contains(given.items[*at].id.as_str()) == wanted)
            .collect();
        let mean = |value: &dyn Fn(usize) -> Option<f64>| {
            let values: Vec<f64> = places.iter().filter_map(|at| value(*at)).collect();
            Some(Estimate { value: stats::mean(&values)?, se: stats::standard_error(&values) })
        };
        Questions {
            count: places.len(),
            question_tokens: mean(&|at| Some(given.sequences[at].prompt_tokens as f64)),
            answer_tokens: mean(&|at| Some(given.sequences[at].completion.learned() as f64)),
            perplexity: mean(&|at| given.perplexity_of(at).ok()),
            above: mean(&|at| {
                let nats = given.surprisals(at).ok()?;
                let above = nats.iter().filter(|nats| **nats > PAPER_THRESHOLD.ln());
                Some(above.count() as f64 / nats.len() as f64)
            }),
        }
    };
    KeptQuestions { kept: of(true), dropped: of(false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::kinds::made::scored;
    use crate::task::{Form, Score};

    fn item(id: &str, answers: &[(&str, f64)]) -> PoolItem {
        let candidate = |(text, value): &(&str, f64)| Candidate {
            text: (*text).to_owned(),
            tokens: text.len(),
            log_prob: 0.0,
            perplexity_given_prompt: text.len() as f64,
            perplexity_of_text_alone: Some(1.0),
            truncated: false,
            score: Score {
                value: *value,
                skill: *value,
                form: Form::Kept,
                extracted: None,
                why: String::new(),
                parts: Vec::new(),
            },
        };
        PoolItem { id: id.into(), candidates: answers.iter().map(candidate).collect() }
    }

    fn pool() -> Pool {
        Pool {
            items: vec![
                item("a", &[("yes", 1.0), ("no", 0.0), ("it is", 1.0), ("no", 0.0)]),
                item("b", &[("no", 0.0); 4]),
            ],
            seconds: 0.0,
        }
    }

    #[test]
    fn more_samples_answer_more_questions_and_cost_more() {
        let acceptance = acceptance(&pool()).unwrap();
        let samples: Vec<usize> = acceptance.rows.iter().map(|row| row.samples).collect();
        assert_eq!(samples, [1, 2, 4]);
        // half of a's answers are right; two of four miss both in one case of six
        assert!((acceptance.of(1).unwrap().questions - 0.25).abs() < 1e-12);
        assert!((acceptance.of(2).unwrap().questions - 5.0 / 12.0).abs() < 1e-12);
        assert!((acceptance.of(4).unwrap().answers_per_kept - 8.0).abs() < 1e-12);
        assert!(acceptance.of(3).is_err());
        // three of four miss neither
        assert_eq!([0, 3].map(|count| solved_at_k(&pool(), count)), [0.0, 1.0]);
        assert!(super::acceptance(&Pool::default()).is_err());
    }

    #[test]
    fn pools_and_picks_count_what_they_say() {
        let pool = pool();
        let pools = pools(&[("made up", &pool)]);
        let row = &pools.rows[0];
        assert_eq!((row.questions, row.answers, row.kept, row.mixed), (2, 8, 1, 1));
        assert_eq!(row.right, Some(0.25));
        let picks = picks(
            &pool,
            &[
                Selection::First,
                Selection::Shortest,
                Selection::Highest(crate::self_output::Conditioning::GivenPrompt),
            ],
        )
        .unwrap();
        let tokens: Vec<f64> = picks.rows.iter().map(|row| row.tokens).collect();
        assert_eq!(tokens, [3.0, 3.0, 5.0]);
        let others: Vec<usize> = picks.rows.iter().map(|row| row.others).collect();
        assert_eq!(others, [0, 0, 1]);
        assert!(super::picks(&Pool::default(), &[Selection::First]).is_err());
    }

    #[test]
    fn questions_are_kept_or_dropped() {
        let scored = scored();
        let all = kept(&scored, &scored.items);
        assert_eq!((all.kept.count, all.dropped.count), (1, 0));
        let above = all.kept.above.unwrap();
        assert!((above.value - 0.5).abs() < 1e-12 && above.se.is_none());
        assert_eq!(kept(&scored, &[]).dropped, all.kept);
        let alike = likeness(&scored.items, &[("itself", &scored.items)]).unwrap();
        assert!((alike.rows[0].1 - 100.0).abs() < 1e-9);
        assert!(likeness(&[], &[("itself", &scored.items)]).is_err());
    }
}
