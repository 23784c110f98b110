//! A model's answers to a benchmark, graded.
//!
//! Questions with options can be scored by the likelihood of each option instead, [`Check::Likelihood`](crate::task::Check::Likelihood): then nothing is written, and the
//! answer is the option that is taken.

mod likelihood;

use crate::chat::Conversation;
use crate::context::LoadedModel;
use crate::error::{Error, Result};
use crate::generate::{Finish, Sampling, generate};
use crate::task::{Form, Item, Likelihood, Score};
use crate::tokens::{self, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// One answer and its grade, a row of `answers.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graded {
    /// The item's id.
    pub id: String,
    /// What the model answered.
    pub answer: String,
    /// Whether the answer ran into the length limit.
    pub truncated: bool,
    /// Its grade.
    pub score: Score,
    /// How probable each option is, where these are scored; the answer is then the option that was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub likelihoods: Vec<Likelihood>,
}

/// One checkpoint on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskScore {
    /// The task's name.
    pub task: String,
    /// One entry for each item, in the order of the split.
    pub items: Vec<ItemScore>,
}

/// One item's grade, without its text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ItemScore {
    /// 1 for right, 0 for wrong.
    pub value: f64,
    /// 1 if the right answer is there in any form.
    pub skill: f64,
    /// Whether the form was kept.
    pub form: Form,
}

impl TaskScore {
    /// The grades of `graded` under the task's name.
    pub fn of(task: &str, graded: &[Graded]) -> Self {
        let item = |g: &Graded| ItemScore {
            value: g.score.value,
            skill: g.score.skill,
            form: g.score.form,
        };
        Self { task: task.to_string(), items: graded.iter().map(item).collect() }
    }

    /// Share of right answers in the right form.
    pub fn value(&self) -> f64 {
        self.items.iter().map(|item| item.value).sum::<f64>() / self.items.len().max(1) as f64
    }
}

/// Asks the model each item's question once and grades the answers, or scores its options where it says so; `done` is told how many are answered.
pub fn answer(
    model: &LoadedModel,
    items: &[Item],
    sampling: &Sampling,
    mut done: impl FnMut(usize),
) -> Result<Vec<Graded>> {
    if items.is_empty() {
        return Err(Error::invalid("benchmark", "holds no item"));
    }
    for item in items {
        item.check.ready()?;
    }
    let (scored, asked): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| item.check.by_likelihood());
    let mut written = write(model, &asked, sampling, &mut done)?.into_iter();
    let mut taken = choose(model, &scored, |count| done(asked.len() + count))?.into_iter();
    // each in its place
    let one = |item: &Item| match item.check.by_likelihood() {
        true => taken.next(),
        false => written.next(),
    };
    Ok(items.iter().filter_map(one).collect())
}

/// Tokens of the context that asking the item takes, without the answer: what is read, and where it is answered in writing one more.
///
/// # Errors
/// The item has no question that the tokenizer's template can put.
pub fn length(tokenizer: &Tokenizer, item: &Item) -> Result<usize> {
    match item.check.by_likelihood() {
        true => likelihood::longest(tokenizer, item),
        false => {
            let question = Conversation::question(item.prompt.clone());
            Ok(tokens::prompt(tokenizer, &question.messages)?.ids.len() + 1)
        }
    }
}

/// The most probable option of each item, none of which is answered in writing.
fn choose(model: &LoadedModel, items: &[&Item], done: impl FnMut(usize)) -> Result<Vec<Graded>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let all = likelihood::score(model, items, done)?;
    let graded = items.iter().zip(all).map(|(item, likelihoods)| {
        let score = item.grade_likelihoods(&likelihoods)?;
        let answer = score.extracted.clone().unwrap_or_default();
        Ok(Graded { id: item.id.clone(), answer, truncated: false, score, likelihoods })
    });
    graded.collect()
}

/// A written answer to each item.
fn write(
    model: &LoadedModel,
    items: &[&Item],
    sampling: &Sampling,
    mut done: impl FnMut(usize),
) -> Result<Vec<Graded>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let prompts =
        items.iter().map(|item| model.question(&item.prompt)).collect::<Result<Vec<_>>>()?;
    fit(items, &prompts, model.decoder.config.max_position_embeddings)?;
    let mut count = 0;
    let answers = generate(&model.decoder, &prompts, 1, &model.stop_ids, sampling, |_, _, _| {
        count += 1;
        done(count);
    })?;
    let texts = answers
        .iter()
        .map(|samples| {
            Ok((model.tokenizer.decode(samples[0].content())?, samples[0].finish == Finish::Length))
        })
        .collect::<Result<Vec<_>>>()?;
    let graded = items.par_iter().zip(texts).map(|(item, (answer, truncated))| {
        Ok(Graded {
            id: item.id.clone(),
            score: item.try_grade(&answer, truncated)?,
            answer,
            truncated,
            likelihoods: Vec::new(),
        })
    });
    graded.collect()
}

/// Refuses questions that leave no room for an answer, by name: leaving them out would change the score.
fn fit(items: &[&Item], prompts: &[Vec<u32>], context: usize) -> Result<()> {
    let mut long = items.iter().zip(prompts).filter(|(_, prompt)| prompt.len() >= context);
    let Some((item, prompt)) = long.next() else {
        return Ok(());
    };
    let problem = format!(
        "the question has {} tokens and the model's context is {context}{}; ask in fewer words (--prompts), or leave such items out of the file",
        prompt.len(),
        match long.count() {
            0 => String::new(),
            more => format!(", as it is with {more} more of {} items", items.len()),
        }
    );
    Err(Error::invalid(format!("item {}", item.id), problem))
}
