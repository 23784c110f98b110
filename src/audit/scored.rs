//! MBPP's ground truth with the perplexity that Llama 3 8B Instruct gives each token, as published for STM.

use super::layout::{self, Copy, STM, STM_IDS};
use crate::error::{Error, Result};
use crate::select::LossMask;
use serde_json::Value;

/// `<|end_header_id|>` of Llama 3's tokenizer: it ends the line that says who speaks.
const END_OF_HEADER: u32 = 128_007;
/// Two line feeds, which follow it.
const BLANK_LINE: u32 = 271;
/// `<|eot_id|>`: it ends a turn.
pub(super) const END_OF_TURN: u32 = 128_009;

/// One rendered conversation.
pub(super) struct Scored {
    /// MBPP's number of the task.
    pub task: u64,
    /// The rendered conversation.
    pub text: String,
    /// One for each token, the first of which has a stand-in.
    pub perplexity: Vec<f64>,
    /// One for each token.
    pub ids: Vec<u32>,
    /// Ids in front of these in the file: the doubled beginning of text.
    pub doubled: usize,
    /// The first token of the answer.
    pub start: usize,
}

impl Scored {
    /// Perplexities of the answer's tokens, the end of turn included.
    pub fn answer(&self) -> &[f64] {
        &self.perplexity[self.start..]
    }

    /// −ln p of the answer's tokens.
    pub fn surprisals(&self) -> Vec<f64> {
        self.answer().iter().map(|ppl| ppl.ln()).collect()
    }

    /// The answer as a mask: everything is learned.
    pub fn completion(&self) -> LossMask {
        (0..self.perplexity.len()).map(|at| at >= self.start).collect()
    }

    /// Perplexities as `select` wants them: the first token has none.
    pub fn given(&self) -> Vec<Option<f32>> {
        let value = |(at, ppl): (usize, &f64)| (at > 0).then_some(*ppl as f32);
        self.perplexity.iter().enumerate().map(value).collect()
    }
}

/// Every row of the two files.
///
/// # Errors
/// The files are not whole, or do not belong together.
pub(super) fn read(copy: &Copy) -> Result<Vec<Scored>> {
    let (rows, with_ids) = (copy.needed(&STM)?, copy.needed(&STM_IDS)?);
    let path = |file| -> Result<_> { Ok(copy.find(file)?.unwrap_or_default()) };
    let (stm, cache) = (path(&STM)?, path(&STM_IDS)?);
    if rows.len() != with_ids.len() {
        let problem = format!(
            "has {} rows, but {} beside it has {}; the two belong together",
            with_ids.len(),
            STM.name(),
            rows.len()
        );
        return Err(Error::file(cache, problem));
    }
    let mut scored = Vec::with_capacity(rows.len());
    for (row, ids) in rows.iter().zip(&with_ids) {
        let task = layout::whole(row, "task_id");
        let wrong = |problem: String| Error::row(&cache, ids.number, problem);
        if task != layout::whole(ids, "task_id") {
            return Err(wrong(format!(
                "is another task than row {} of {}",
                row.number,
                STM.name()
            )));
        }
        let perplexity: Vec<f64> = numbers(&row.fields["ppl"], Value::as_f64);
        let all: Vec<u64> = numbers(&ids.fields["input_ids"], Value::as_u64);
        let all: Vec<u32> = all
            .into_iter()
            .map(|id| u32::try_from(id).map_err(|_| wrong(format!("{id} is no token id"))))
            .collect::<Result<_>>()?;
        if let Some(at) = perplexity.iter().position(|ppl| *ppl < 1.0 || !ppl.is_finite()) {
            let problem = format!("token {at} has the perplexity {}, below 1", perplexity[at]);
            return Err(Error::row(&stm, row.number, problem));
        }
        // The cache was tokenized with a second beginning of text before the template's own.
        let Some(doubled) = all.len().checked_sub(perplexity.len()) else {
            return Err(wrong(format!(
                "has {} token ids for {} perplexities",
                all.len(),
                perplexity.len()
            )));
        };
        let ids = all[doubled..].to_vec();
        let header = ids.windows(2).rposition(|pair| pair == [END_OF_HEADER, BLANK_LINE]);
        let start = header.map(|at| at + 2).filter(|start| *start < ids.len());
        let Some(start) = start else {
            return Err(wrong("has no turn of the assistant in its token ids".into()));
        };
        scored.push(Scored {
            task,
            text: layout::text(row, "text").to_string(),
            perplexity,
            ids,
            doubled,
            start,
        });
    }
    Ok(scored)
}

fn numbers<T>(value: &Value, read: fn(&Value) -> Option<T>) -> Vec<T> {
    value.as_array().into_iter().flatten().filter_map(read).collect()
}
