//! What models say of the tokens of a data set, as rules of weights read it.
//!
//! A scorer need not split a text as the trainee does: what it says of a text is carried over by character spans
//! ([`carry_over`]), answer by answer, since two chat templates agree on nothing but the answers.

use crate::chat::Role;
use crate::context::Context;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::perplexity::TokenScores;
use crate::select::{ModelSignals, Signals, TOP, TokenClass, Weighting, carry_over};
use crate::stats;
use crate::tokens::{Form, Sequence, Tokenizer, sequence};
use crate::train::{self, Finetune, Reweigh};
use crate::verbs::{self, Training};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ops::Range;

/// The signals of each sequence: `class` has the classes of its tokens, `base` and `reference` what these models say of them. Lists that
/// were not computed are empty.
pub fn signals(
    sequences: &[Sequence],
    class: &[Vec<TokenClass>],
    base: &[TokenScores],
    reference: &[TokenScores],
) -> Vec<Signals> {
    let signals = sequences.iter().enumerate().map(|(at, sequence)| Signals {
        completion: sequence.completion.clone(),
        given: sequence.weights.clone(),
        class: class.get(at).cloned().unwrap_or_default(),
        base: base.get(at).map(ModelSignals::from),
        current: None,
        reference: reference.get(at).map(ModelSignals::from),
    });
    signals.collect()
}

/// Scores `sequences` under `scorer`, which may split texts in its own way. They were rendered from `examples` with the tokenizer
/// `trainee`; `label` names the result's folder for people.
///
/// With the same tokenizer and template the scorer reads the same tokens. Otherwise it reads each conversation in its own template, its
/// surprisal is carried over to the trainee's tokens of each answer, and the end of a turn gets that of the scorer's; there is no entropy and
/// no rank then, and no value for tokens that are part of neither.
///
/// # Errors
/// When the scorer cannot be read, an example is longer than its context, or an answer does not stand in the rendered text as it is.
pub fn score(
    cx: &Context,
    scorer: &Checkpoint,
    label: &str,
    trainee: &Tokenizer,
    examples: &[Example],
    sequences: &[Sequence],
) -> Result<Vec<TokenScores>> {
    let own = cx.tokenizer(scorer)?;
    let context = scorer.config()?.max_position_embeddings;
    let alike = own.fingerprint() == trainee.fingerprint();
    let by_id: HashMap<&str, &Example> = examples.iter().map(|e| (e.id.as_str(), e)).collect();
    let example = |of: &Sequence| {
        by_id.get(of.id.as_str()).copied().ok_or_else(|| {
            Error::invalid(&of.id, "has no conversation from which the scorer could render it")
        })
    };
    let read: Vec<Sequence> = match alike {
        true => sequences.to_vec(),
        false => sequences.iter().map(|of| sequence(&own, example(of)?)).collect::<Result<_>>()?,
    };
    if !alike {
        cx.mention_unread(&own, examples);
    }
    if let Some(long) = read.iter().find(|sequence| sequence.len() > context) {
        let problem = format!(
            "has {} tokens for the scorer, whose context is {context}; leave it out, or take another scorer",
            long.len()
        );
        return Err(Error::invalid(&long.id, problem));
    }
    let ids: Vec<&[u32]> = read.iter().map(|sequence| sequence.ids.as_slice()).collect();
    let scores = verbs::score(cx, scorer, label, &ids)?;
    for (sequence, scores) in read.iter().zip(&scores) {
        scores.check(scorer, &sequence.id)?;
    }
    if alike {
        return Ok(scores);
    }
    let pairs = sequences.iter().zip(read.iter().zip(&scores));
    pairs.map(|(of, (read, scores))| carried(example(of)?, of, read, scores)).collect()
}

/// The scores of `read`, on the tokens of `onto`: both are `example`, each in the template of its tokenizer.
fn carried(
    example: &Example,
    onto: &Sequence,
    read: &Sequence,
    scores: &TokenScores,
) -> Result<TokenScores> {
    let mut log_prob = vec![None; onto.len()];
    let messages = example.conversation.messages.iter();
    let mut answers: Vec<&str> = Vec::new();
    for message in messages.filter(|message| message.role == Role::Assistant) {
        if message.weight()? == 0.0 {
            continue;
        }
        if !message.is_plain() {
            let problem = "has an answer that is more than its text, such as a call of a tool, which two templates write in their own ways; take a reference model of the same tokenizer and template";
            return Err(Error::invalid(&onto.id, problem));
        }
        answers.push(message.content.trim());
    }
    let (own, others) = (turns(onto, answers.len()), turns(read, answers.len()));
    for ((answer, here), there) in answers.into_iter().zip(own).zip(others) {
        let Some(here) = here else { continue };
        let found = Answer::find(onto, answer, here);
        let (Some(here), Some(there)) =
            (found, there.and_then(|there| Answer::find(read, answer, there)))
        else {
            let problem = "an answer does not stand in the rendered text as it is, so that it cannot be carried over to other tokens; \
                           is it cut off, or does the template change it?";
            return Err(Error::invalid(&onto.id, problem));
        };
        let surprisal = |at: usize| scores.log_prob[at].map(|log_prob| -log_prob);
        let scored: Vec<(Range<usize>, Option<f32>)> =
            there.tokens.iter().map(|(at, span)| (span.clone(), surprisal(*at))).collect();
        let spans: Vec<Range<usize>> = here.tokens.iter().map(|(_, span)| span.clone()).collect();
        for ((at, _), value) in here.tokens.iter().zip(carry_over(&scored, &spans)) {
            log_prob[*at] = value.map(|surprisal| -surprisal);
        }
        if let (Some(end), Some(of)) = (here.end, there.end) {
            log_prob[end] = scores.log_prob[of];
        }
    }
    Ok(TokenScores {
        entropy: vec![None; log_prob.len()],
        rank: vec![None; log_prob.len()],
        log_prob,
    })
}

/// For each of `count` answers its tokens and what belongs to its turn; a form without turns has the last answer only.
fn turns(sequence: &Sequence, count: usize) -> Vec<Option<Range<usize>>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in sequence.completion.positions() {
        match found.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => found.push(at..at + 1),
        }
    }
    let before = match sequence.form {
        Form::Chat => 0,
        Form::Plain => count.saturating_sub(found.len()),
    };
    let mut turns = vec![None; before];
    turns.extend(found.into_iter().map(Some));
    turns.resize(count, None);
    turns
}

/// Where an answer stands in a sequence.
struct Answer {
    /// The tokens of it, with their characters counted from its first one. What a token has outside the answer is the template's.
    tokens: Vec<(usize, Range<usize>)>,
    /// The token that ends its turn.
    end: Option<usize>,
}

impl Answer {
    /// The first place at which `text` stands in the `turn` of `sequence`, which is given by its tokens.
    fn find(sequence: &Sequence, text: &str, turn: Range<usize>) -> Option<Self> {
        let from = sequence.spans[turn.start].start;
        let start = from + sequence.text.get(from..)?.find(text)?;
        let text = start..start + text.len();
        // an answer that stands behind its turn is another one, and one that goes on behind it is cut off
        if sequence.spans[turn.end - 1].end < text.end {
            return None;
        }
        let characters = |byte: usize| {
            let byte = byte.clamp(text.start, text.end);
            sequence.text[text.start..byte].chars().count()
        };
        let within = |at: &usize| {
            let span = &sequence.spans[*at];
            span.start < text.end && span.end > text.start
        };
        let tokens: Vec<(usize, Range<usize>)> = turn
            .clone()
            .filter(within)
            .map(|at| {
                let span = &sequence.spans[at];
                (at, characters(span.start)..characters(span.end))
            })
            .collect();
        let last = tokens.last().map_or(turn.start, |(at, _)| *at);
        let end = (last..turn.end).find(|at| Some(sequence.ids[*at]) == sequence.end_of_turn);
        Some(Self { tokens, end })
    }
}

/// Whether what `weighting` needs can be computed; else why not.
///
/// Scoring gives no entropy of the most probable tokens: only the trainer does, of the current model.
pub fn check(weighting: &Weighting) -> std::result::Result<(), String> {
    let needs = weighting.needs();
    let only_current = needs.current && !needs.base && !needs.reference;
    match needs.top_entropy && !only_current {
        true => Err(format!(
            "`{weighting}` needs the entropy of the {TOP} most probable tokens, which is known of the model in training only, and then without base or reference signals; entropy_base is that of all tokens"
        )),
        false => Ok(()),
    }
}

/// Weight 1 for each token of the completions: what may be learned at all where weights follow the model.
pub fn every_token(sequences: &[Sequence]) -> Vec<Vec<f32>> {
    let ones = |sequence: &Sequence| {
        let completion = sequence.completion.as_slice().iter();
        completion.map(|own| f32::from(u8::from(*own))).collect()
    };
    sequences.iter().map(ones).collect()
}

/// `config` as a training by `rule` has it: everything that a rule decides of a training beside the weights.
///
/// What `config` says itself counts; what it leaves open is as the rule says. The loss is divided by what stands after the rule's `over`,
/// else as its method was published, else by the learned tokens. Weights that follow the model are made anew as often as its `every` says;
/// where they do not, nothing is made anew.
pub fn config(rule: &Weighting, config: &Finetune) -> Finetune {
    let every = config.reweigh_every.unwrap_or(rule.every());
    let normalizer = config.normalizer.or(rule.normalizer());
    let config = Finetune {
        normalizer,
        // 1 is said only where the rule says another number, so that this may be applied to its own result
        reweigh_every: (rule.needs().online() && every.max(rule.every()) > 1).then_some(every),
        ..config.clone()
    };
    Finetune { normalizer: Some(config.normalizer()), ..config }
}

/// A data set whose tokens are weighed by a rule, and how it is trained: what a rule does to a training, for notebooks, recipes and the
/// command line alike.
#[derive(Debug, Clone)]
pub struct Weighted<'a> {
    rule: &'a Weighting,
    sequences: &'a [Sequence],
    following: Option<Following>,
    /// What the trainer is given, in the order of the sequences; 1 for each token of an answer where the weights follow the model.
    pub examples: Vec<train::Example>,
    /// The configuration as [`config()`] makes it.
    pub config: Finetune,
}

impl<'a> Weighted<'a> {
    /// `signals` are those of `sequences`, without the current model's; the seed of `config` draws what is random in `rule`.
    ///
    /// # Errors
    /// When a signal is missing that the rule needs, a weight is no weight, or two sequences have one name and weights that follow the model.
    pub fn new(
        rule: &'a Weighting,
        sequences: &'a [Sequence],
        signals: Vec<Signals>,
        config: &Finetune,
    ) -> Result<Self> {
        let online = rule.needs().online();
        if online {
            // they are found again by their names
            stats::distinct("ids of the training data", sequences.iter().map(|of| &of.id))?;
        }
        let weights = match online {
            true => every_token(sequences),
            false => rule.weights(&signals, config.seed)?,
        };
        let following =
            online.then(|| Following::new(rule.clone(), sequences, signals, config.seed));
        let examples = examples(sequences, weights);
        Ok(Self { rule, sequences, following, examples, config: self::config(rule, config) })
    }

    /// As [`verbs::train`] takes it: nothing watched, and no log.
    pub fn training(&self) -> Training<'_> {
        Training {
            reweigh: self.following.as_ref().map(|f| (f as &dyn Reweigh, f.name())),
            rule: Some((self.rule, self.sequences)),
            ..Training::new(&self.examples, &self.config)
        }
    }
}

/// Examples as the trainer is given them, from one weight for each token.
pub fn examples(sequences: &[Sequence], weights: Vec<Vec<f32>>) -> Vec<train::Example> {
    let example = |(sequence, weights): (&Sequence, Vec<f32>)| train::Example {
        id: sequence.id.clone(),
        ids: sequence.ids.clone(),
        weights,
        completion_tokens: sequence.completion.learned(),
    };
    sequences.iter().zip(weights).map(example).collect()
}

/// Weights that follow the model while it learns: the rule, with everything of its signals that does not change.
#[derive(Debug, Clone)]
pub struct Following {
    weighting: Weighting,
    signals: HashMap<String, Signals>,
    seed: u64,
    name: String,
}

impl Following {
    /// `signals` are those of `sequences`, without the current model's.
    pub fn new(
        weighting: Weighting,
        sequences: &[Sequence],
        signals: Vec<Signals>,
        seed: u64,
    ) -> Self {
        let ids = sequences.iter().map(|sequence| sequence.id.clone());
        Self::of(weighting, ids.collect(), signals, seed)
    }

    /// The same for examples of the names `ids`.
    pub(crate) fn of(
        weighting: Weighting,
        ids: Vec<String>,
        signals: Vec<Signals>,
        seed: u64,
    ) -> Self {
        let mut hash = Sha256::new();
        for signals in &signals {
            for model in [&signals.base, &signals.reference] {
                let values = model.iter().flat_map(|model| &model.log_prob);
                for value in values {
                    hash.update(value.unwrap_or(f32::NAN).to_le_bytes());
                }
                hash.update([u8::from(model.is_some())]);
            }
        }
        Self {
            name: format!("{weighting} of {:x} with seed {seed}", hash.finalize()),
            signals: ids.into_iter().zip(signals).collect(),
            weighting,
            seed,
        }
    }

    /// Names the rule and what it is computed from among the inputs of a training.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Reweigh for Following {
    fn weights(
        &self,
        examples: &[&train::Example],
        current: &[ModelSignals],
        step: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let known = examples.iter().zip(current).map(|(example, current)| {
            let unknown = || Error::invalid(&example.id, "has no signals to make weights of");
            let signals = self.signals.get(&example.id).ok_or_else(unknown)?;
            Ok(Signals { current: Some(current.clone()), ..signals.clone() })
        });
        let known = known.collect::<Result<Vec<_>>>()?;
        self.weighting.weights(&known, self.seed.wrapping_add(step as u64))
    }

    fn top_entropy(&self) -> Option<usize> {
        self.weighting.needs().top_entropy.then_some(TOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Conversation, Message};
    use crate::select::LossMask;

    /// A rendered conversation from its pieces: text, and whether the assistant wrote it. The end of a turn is number 1.
    fn sequence(pieces: &[(&str, bool)]) -> Sequence {
        let (mut text, mut spans) = (String::new(), Vec::new());
        for (piece, _) in pieces {
            spans.push(text.len()..text.len() + piece.len());
            text.push_str(piece);
        }
        let ends = |piece: &str| u32::from(piece.starts_with('<') && piece.ends_with("end>"));
        Sequence {
            id: "one".into(),
            weights: Vec::new(),
            text,
            ids: pieces.iter().map(|(piece, _)| ends(piece)).collect(),
            spans,
            completion: pieces.iter().map(|(_, own)| *own).collect(),
            prompt_tokens: 1,
            form: Form::Chat,
            end_of_turn: Some(1),
        }
    }

    fn example(messages: Vec<Message>) -> Example {
        Example::new("one", Conversation::new(messages))
    }

    fn scores(surprisal: &[f32]) -> TokenScores {
        TokenScores {
            log_prob: surprisal.iter().map(|value| Some(-value)).collect(),
            ..TokenScores::default()
        }
    }

    #[test]
    fn a_scorer_with_other_tokens_and_another_template_is_carried_over_answer_by_answer() {
        // both answers are in the prompts too, and have letters of more than one byte
        let example = example(vec![
            Message::user("déjà vu? hé"),
            Message::assistant("déjà vu"),
            Message::user("and? hé\nho"),
            Message::assistant("hé\nho"),
        ]);
        let read = sequence(&[
            ("[U]déjà vu? hé[A]", false),
            ("dé", true),
            ("jà", true),
            (" vu", true),
            ("<|end>", true),
            ("[U]and? hé\nho[A]", false),
            ("hé", true),
            ("\nho", true),
            ("<|end>", true),
        ]);
        let surprisal = scores(&[9.0, 2.0, 4.0, 3.0, 0.5, 9.0, 1.0, 6.0, 0.25]);
        let onto = sequence(&[
            ("### question: déjà vu? hé\n### answer:", false),
            (" d", true),
            ("éjà", true),
            (" vu", true),
            ("<end>", true),
            ("\n### question: and? hé\nho\n### answer:", false),
            (" hé\n", true),
            ("ho", true),
            ("<end>", true),
        ]);
        let carried = carried(&example, &onto, &read, &surprisal).unwrap();
        let surprisal: Vec<Option<f32>> = carried.log_prob.iter().map(|l| l.map(|l| -l)).collect();
        // " d" is half of "dé": its space is the template's; "\n" is a third of "\nho"
        let expected = [
            None,
            Some(1.0),
            Some(5.0),
            Some(3.0),
            Some(0.5),
            None,
            Some(3.0),
            Some(4.0),
            Some(0.25),
        ];
        assert_eq!(surprisal, expected);
        assert_eq!(carried.entropy, vec![None; 9]);
    }

    #[test]
    fn an_answer_that_a_template_changes_is_refused() {
        let example = example(vec![Message::user("a"), Message::assistant("yes, please")]);
        let onto = sequence(&[("a", false), ("yes, please", true), ("<end>", true)]);
        let cut = sequence(&[("a", false), ("yes", true)]);
        let error = carried(&example, &onto, &cut, &scores(&[1.0, 1.0])).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("one") && error.contains("cut off"), "{error}");
    }

    #[test]
    fn a_rule_that_follows_the_model_is_given_what_does_not_change() {
        let base = ModelSignals {
            log_prob: vec![None, Some(-1.0), Some(-1.0)],
            ..ModelSignals::default()
        };
        let known = Signals {
            completion: LossMask::new(vec![false, true, true]),
            base: Some(base.clone()),
            ..Signals::default()
        };
        let weighting = "keep(surprisal_current < surprisal_base)".parse().unwrap();
        let sequence = sequence(&[("q", false), ("a", true), ("b", true)]);
        let following = Following::new(weighting, &[sequence], vec![known], 0);
        let current = ModelSignals {
            log_prob: vec![None, Some(-0.5), Some(-2.0)],
            ..ModelSignals::default()
        };
        let example = |id: &str| train::Example {
            id: id.into(),
            ids: vec![0; 3],
            weights: vec![0.0, 1.0, 1.0],
            completion_tokens: 2,
        };
        let weights = following.weights(&[&example("one")], std::slice::from_ref(&current), 4);
        assert_eq!(weights.unwrap(), [[0.0, 1.0, 0.0]]);
        let unknown = following.weights(&[&example("two")], &[current], 4).unwrap_err();
        assert!(unknown.to_string().contains("two"));
    }
}
