//! How probable a model finds the options of questions.

use crate::chat::Message;
use crate::context::LoadedModel;
use crate::error::{Error, Result};
use crate::interruption;
use crate::model::Batch;
use crate::task::{Check, Item, Likelihood};
use crate::tokens::{self, Tokenizer};

/// Tokens that are read together.
const TOKENS: usize = 8192;

/// The likelihood of each option of each item, all of which are scored so; `done` is told how many items are done.
///
/// Sequences are laid end to end. Options that differ in their last token only, such as letters, share one reading of the question.
///
/// # Errors
/// Names the item and option that has no token or does not fit the model's context: lm-evaluation-harness cuts such a question at its
/// beginning, which makes another one of it.
pub(super) fn score(
    model: &LoadedModel,
    items: &[&Item],
    mut done: impl FnMut(usize),
) -> Result<Vec<Vec<Likelihood>>> {
    let sure = Likelihood { log_likelihood: 0.0, is_greedy: true };
    let mut likelihoods: Vec<Vec<Likelihood>> = Vec::with_capacity(items.len());
    let mut open = Open::new();
    for (at, item) in items.iter().enumerate() {
        let mut options = encoded(&model.tokenizer, item)?;
        fit(item, &options, model.decoder.config.max_position_embeddings)?;
        likelihoods.push(vec![sure; options.len()]);
        // a longer one first, so that a shorter one finds its beginning read
        options.sort_by_key(|(option, ids, _)| (std::cmp::Reverse(ids.len()), *option));
        let mut read: Vec<(usize, &[u32])> = Vec::new();
        for (option, ids, from) in &options {
            let input = &ids[..ids.len() - 1];
            let known = read.iter().find(|(_, known)| known.starts_with(input));
            let start = match known {
                Some((start, _)) => *start,
                None => {
                    if open.batch.tokens() > 0 && open.batch.tokens() + input.len() > TOKENS {
                        open.close(model, items, &mut likelihoods)?;
                        read.clear();
                        done(at);
                    }
                    let start = open.batch.tokens();
                    open.batch.push(input, &vec![0.0; input.len()]);
                    read.push((start, input));
                    start
                }
            };
            for (token, id) in ids.iter().enumerate().skip(*from) {
                open.batch.predict(start + token - 1, *id);
                open.asked.push((at, *option));
            }
        }
    }
    open.close(model, items, &mut likelihoods)?;
    done(items.len());
    Ok(likelihoods)
}

/// What is read next.
struct Open {
    batch: Batch,
    /// Item and option of each predicted token.
    asked: Vec<(usize, usize)>,
}

impl Open {
    fn new() -> Self {
        Self { batch: Batch::new(), asked: Vec::new() }
    }

    /// Reads the batch, and begins another one.
    fn close(
        &mut self,
        model: &LoadedModel,
        items: &[&Item],
        likelihoods: &mut [Vec<Likelihood>],
    ) -> Result<()> {
        interruption::check()?;
        let Self { batch, asked } = std::mem::replace(self, Self::new());
        let facts = model.decoder.score(&batch)?;
        for (((at, option), log_prob), rank) in asked.iter().zip(&facts.log_prob).zip(&facts.rank) {
            if !log_prob.is_finite() {
                let what =
                    format!("the log-likelihood of option {} of {}", option + 1, items[*at].id);
                return Err(Error::NotANumber { what });
            }
            let of = &mut likelihoods[*at][*option];
            of.log_likelihood += f64::from(*log_prob);
            of.is_greedy &= *rank == 0;
        }
        Ok(())
    }
}

/// Each option's place, its ids behind those of the question, and where they begin.
fn encoded(tokenizer: &Tokenizer, item: &Item) -> Result<Vec<(usize, Vec<u32>, usize)>> {
    let Check::Likelihood { options, .. } = &item.check else {
        return Err(Error::invalid(format!("item {}", item.id), "has no options to score"));
    };
    item.check_reference()
        .map_err(|problem| Error::invalid(format!("item {}", item.id), problem))?;
    let context = context(tokenizer, item)?;
    let named = |at: usize| format!("item {}, option {}", item.id, at + 1);
    let one = |(at, option): (usize, &String)| {
        let text = format!("{}{option}", item.check.delimiter());
        let (ids, from) =
            tokens::continuation(tokenizer, &context, &text).map_err(|error| match error {
                Error::Invalid { problem, .. } => Error::invalid(named(at), problem),
                other => other,
            })?;
        Ok((at, ids, from))
    };
    options.iter().enumerate().map(one).collect()
}

/// Tokens of the question with its longest option that the model reads.
pub(super) fn longest(tokenizer: &Tokenizer, item: &Item) -> Result<usize> {
    Ok(encoded(tokenizer, item)?.iter().map(|(_, ids, _)| ids.len() - 1).max().unwrap_or(0))
}

/// Refuses options that do not fit the context with their question.
fn fit(item: &Item, options: &[(usize, Vec<u32>, usize)], longest: usize) -> Result<()> {
    match options.iter().find(|(_, ids, _)| ids.len() - 1 > longest) {
        None => Ok(()),
        Some((at, ids, _)) => {
            let problem = format!(
                "question and option have {} tokens and the model's context is {longest}; leave such items out of the file, or shorten them",
                ids.len()
            );
            Err(Error::invalid(format!("item {}, option {}", item.id, at + 1), problem))
        }
    }
}

/// The text before the options.
fn context(tokenizer: &Tokenizer, item: &Item) -> Result<String> {
    let Check::Likelihood { description, gen_prefix, apply_chat_template: true, .. } = &item.check
    else {
        return Ok(item.plain_context());
    };
    let template = tokenizer.template().ok_or_else(|| {
        let problem =
            "the model has no chat template; score its options without (no --apply-chat-template)";
        Error::invalid(format!("item {}", item.id), problem)
    })?;
    let user = Message::user(&item.prompt);
    let alone = [user.clone()];
    let text = match description.is_empty() {
        true => template.render(&alone, true)?,
        // of a template that refuses a system message lm-evaluation-harness leaves it out
        false => template
            .render(&[Message::system(description), user], true)
            .or_else(|_| template.render(&alone, true))?,
    };
    Ok(text + gen_prefix)
}
