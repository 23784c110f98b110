use super::kept;
use crate::context::Context;
use crate::dataset::{Dataset, Example, Unusable};
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::perplexity::{self, TokenScores};
use crate::scored::{Rendering, Scored, carried};
use crate::task::Item;
use crate::tokens::{Sequence, TooLong, sequence};
use std::collections::HashMap;

/// Renders `items` in the chat template of `checkpoint`, and scores every token. `name` is whose answers they are.
///
/// # Errors
/// There is no item, the model cannot be read, or an item does not fit its context.
pub fn score(cx: &Context, checkpoint: &Checkpoint, name: &str, items: &[Item]) -> Result<Scored> {
    let tokenizer = cx.tokenizer(checkpoint)?;
    let rendered = Scored::of_items(name, items, &tokenizer, whole(checkpoint)?)?;
    cx.mention_unread(&tokenizer, &rendered.examples);
    score_rendered(cx, checkpoint, rendered)
}

/// The same of the conversations of a data set, whatever was said in them.
///
/// # Errors
/// The model cannot be read, or a conversation does not fit its context.
pub fn score_data(cx: &Context, checkpoint: &Checkpoint, data: &Dataset) -> Result<Scored> {
    let tokenizer = cx.tokenizer(checkpoint)?;
    let rendered =
        Scored::rendered(&data.name, data.examples.clone(), &tokenizer, whole(checkpoint)?)?;
    cx.mention_unread(&tokenizer, &rendered.examples);
    score_rendered(cx, checkpoint, rendered)
}

/// Everything that fits the model's context; what does not is refused.
fn whole(checkpoint: &Checkpoint) -> Result<Rendering> {
    let context = checkpoint.config()?.max_position_embeddings;
    Ok(Rendering { context, too_long: TooLong::Refuse, skip_unusable: false })
}

/// Scores every token of what was rendered for `checkpoint`; says on stderr what was left out.
///
/// # Errors
/// The model cannot be read, or gives a token no probability.
pub fn score_rendered(cx: &Context, checkpoint: &Checkpoint, rendered: Scored) -> Result<Scored> {
    let Scored { name, unusable, .. } = &rendered;
    let scores = usable_scores(cx, checkpoint, name, &rendered.ids(), unusable)?;
    rendered.with_scores(scores, checkpoint)
}

/// Scores the same texts under another model, `scorer`, for rules that compare two; `trainee` is the one for which `scored` was rendered.
///
/// With the same tokenizer and template the scorer reads the same tokens. Otherwise it reads each conversation in its own template, its
/// surprisal is carried over to the trainee's tokens of each answer by character spans, and the end of a turn gets that of the scorer's; there
/// is no entropy and no rank then, and no value for tokens that are part of neither.
///
/// # Errors
/// When the scorer cannot be read, an example is longer than its context, or an answer does not stand in the rendered text as it is.
pub fn score_against(
    cx: &Context,
    scorer: &Checkpoint,
    trainee: &Checkpoint,
    scored: Scored,
) -> Result<Scored> {
    let own = cx.tokenizer(scorer)?;
    let context = scorer.config()?.max_position_embeddings;
    let alike = own.fingerprint() == cx.tokenizer(trainee)?.fingerprint();
    let by_id: HashMap<&str, &Example> =
        scored.examples.iter().map(|e| (e.id.as_str(), e)).collect();
    let example = |of: &Sequence| {
        by_id.get(of.id.as_str()).copied().ok_or_else(|| {
            Error::invalid(&of.id, "has no conversation from which the scorer could render it")
        })
    };
    let read: Vec<Sequence> = match alike {
        true => scored.sequences.clone(),
        false => {
            let all = scored.sequences.iter();
            all.map(|of| sequence(&own, example(of)?)).collect::<Result<_>>()?
        }
    };
    if let Some(long) = read.iter().find(|sequence| sequence.len() > context) {
        let problem = format!(
            "has {} tokens for the scorer, whose context is {context}; leave it out, or take another scorer",
            long.len()
        );
        return Err(Error::invalid(&long.id, problem));
    }
    if !alike {
        cx.mention_unread(&own, &scored.examples);
    }
    let ids: Vec<&[u32]> = read.iter().map(|sequence| sequence.ids.as_slice()).collect();
    let label = format!("{}-reference", scored.name);
    let scores = usable_scores(cx, scorer, &label, &ids, &scored.unusable)?;
    for (sequence, scores) in read.iter().zip(&scores) {
        scores.check(scorer, &sequence.id)?;
    }
    let reference = match alike {
        true => scores,
        false => {
            let pairs = scored.sequences.iter().zip(read.iter().zip(&scores));
            pairs
                .map(|(of, (read, scores))| carried(example(of)?, of, read, scores))
                .collect::<Result<_>>()?
        }
    };
    Ok(Scored { reference, ..scored })
}

/// Perplexity of each bare answer of `scored`, without prompt or template: the tokenizer's own beginning, if it has one, is the only context.
/// `None` for an empty one.
///
/// # Errors
/// The model cannot be read, or gives a token no probability.
pub fn text_alone(
    cx: &Context,
    checkpoint: &Checkpoint,
    scored: &Scored,
) -> Result<Vec<Option<f64>>> {
    let tokenizer = cx.tokenizer(checkpoint)?;
    let context = checkpoint.config()?.max_position_embeddings;
    let ids = |text: &str| {
        let mut ids = tokenizer.encode(text, true)?.ids;
        ids.truncate(context);
        Ok(ids)
    };
    let ids = scored.answers().into_iter().map(ids).collect::<Result<Vec<_>>>()?;
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let label = format!("{}-text-alone", scored.name);
    let scores = usable_scores(cx, checkpoint, &label, &ids, &scored.unusable)?;
    for (sequence, scores) in scored.sequences.iter().zip(&scores) {
        scores.check(checkpoint, &sequence.id)?;
    }
    let perplexity = |scores: &TokenScores| {
        let all = 0..scores.log_prob.len();
        scores.mean_surprisal(all).map(f64::exp)
    };
    Ok(scores.iter().map(perplexity).collect())
}

/// Scores every token of every sequence under `checkpoint`. `label` names the result's folder for people.
pub fn token_scores(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    sequences: &[&[u32]],
) -> Result<Vec<TokenScores>> {
    usable_scores(cx, checkpoint, label, sequences, &[])
}

/// The same of what is left of data of which `unusable` could not be used: the run's card counts that.
fn usable_scores(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    sequences: &[&[u32]],
    unusable: &[Unusable],
) -> Result<Vec<TokenScores>> {
    let mut inputs = cx.fingerprint(checkpoint)?.with("sequences", sequences)?;
    if !unusable.is_empty() {
        inputs = inputs.with("unusable", unusable)?;
    }
    let (scores, _) = kept(cx, ("scores", label), checkpoint, &inputs, |_, _| {
        let model = cx.open(checkpoint)?;
        let bar = cx.progress.bar(&format!("scoring {label}"), sequences.len());
        perplexity::score(&model.decoder, sequences, |done| bar.set(done))
    })?;
    Ok(scores)
}
