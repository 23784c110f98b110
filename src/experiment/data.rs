//! The training data of each arm.

use super::recipe::SKIP;
use super::results::{ClassShare, DataSummary, ThresholdPoint, TokenExample, TokenView};
use super::rewrite::{code_only, with_line_ends};
use super::{Arm, Recipe, Setting};
use crate::card::Card;
use crate::context::Context;
use crate::dataset::{self, Unusable};
use crate::error::{Error, Result};
use crate::ledger::{self, Ledger, Origin, Rows, Tally};
use crate::model::Checkpoint;
use crate::perplexity::{self, TokenScores};
use crate::probe::Scored;
use crate::rng::Rng;
use crate::scorer::{self, Weighted};
use crate::select::{LossMask, Signals, TokenClass, Weighting};
use crate::self_output::{Among, SelfOutput, Shown};
use crate::task::Item;
use crate::tokens::{Sequence, Sequences, TooLong, sequences, usable_sequences};
use crate::train::{Example, Finetune};
use crate::verbs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Items as the model reads them, with what it says of each token.
pub(super) struct Rendered {
    items: Vec<Item>,
    sequences: Vec<Sequence>,
    scores: Vec<TokenScores>,
    classes: Vec<Vec<TokenClass>>,
    /// What the reference model says of each token; empty if no arm asks.
    reference: Vec<TokenScores>,
    text_alone: Vec<Option<f64>>,
    /// The ledger of its tokens, in the store.
    ledger: Ledger,
    /// What it is made of, and how much of it is above the paper's threshold: read from the ledger.
    shares: (Vec<ClassShare>, f64),
    /// Where it came from: items asked for, answers sampled, share accepted, seconds.
    asked: usize,
    /// Items that cannot be used.
    unusable: Vec<Unusable>,
    sampled: usize,
    accepted: Option<f64>,
    seconds: f64,
}

/// What an arm's answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Truth,
    TruthLf,
    TruthCrlf,
    TruthCode,
    TruthOfSelfOutput,
    SelfOutput,
    SelfOutputRight,
    SelfOutputAny,
    SelfOutputWrong,
    Rephrase,
}

impl Source {
    fn of(arm: &Arm) -> Self {
        match arm {
            Arm::GroundTruth
            | Arm::Stm(_)
            | Arm::RandomMask(_)
            | Arm::LowestMask(_)
            | Arm::Weights(_) => Self::Truth,
            Arm::GroundTruthLf => Self::TruthLf,
            Arm::GroundTruthCrlf => Self::TruthCrlf,
            Arm::GroundTruthCode => Self::TruthCode,
            Arm::GroundTruthOnSelfOutputItems => Self::TruthOfSelfOutput,
            Arm::SelfOutput => Self::SelfOutput,
            Arm::SelfOutputRight => Self::SelfOutputRight,
            Arm::SelfOutputAny => Self::SelfOutputAny,
            Arm::SelfOutputWrong => Self::SelfOutputWrong,
            Arm::Rephrase => Self::Rephrase,
        }
    }

    /// Which answers of the pool of Self-Output it takes.
    fn among(self) -> Option<Among> {
        match self {
            Self::SelfOutput | Self::TruthOfSelfOutput => Some(Among::Right),
            Self::SelfOutputRight => Some(Among::RightOfMixed),
            Self::SelfOutputAny => Some(Among::AnyOfMixed),
            Self::SelfOutputWrong => Some(Among::WrongOfMixed),
            _ => None,
        }
    }

    /// For the folders' names.
    fn label(self) -> &'static str {
        match self {
            Self::Truth => "ground-truth",
            Self::TruthLf => "ground-truth-lf",
            Self::TruthCrlf => "ground-truth-crlf",
            Self::TruthCode => "ground-truth-code",
            Self::TruthOfSelfOutput => "ground-truth-subset",
            Self::SelfOutput => "self-output",
            Self::SelfOutputRight => "self-output-right",
            Self::SelfOutputAny => "self-output-any",
            Self::SelfOutputWrong => "self-output-wrong",
            Self::Rephrase => "rephrase",
        }
    }
}

/// Everything the arms are made of.
pub(super) struct Material {
    rendered: BTreeMap<Source, Rendered>,
}

impl Material {
    /// Scores the ground truth and samples what the recipe's arms need.
    pub fn make(cx: &Context, recipe: &Recipe, base: &Checkpoint) -> Result<Self> {
        let (items, unusable) = recipe.usable_items(&recipe.target, "train", recipe.sizes.train)?;
        Unusable::told(&unusable).inspect(|text| cx.progress.note(text));
        let mut compared = false;
        for line in &recipe.arms {
            // a rule that cannot be trained is refused before anything is computed
            line.arm.finetune(recipe.finetune_of(line))?;
            compared |= line.arm.weighting()?.needs().reference;
        }
        let mut sources: BTreeSet<Source> =
            recipe.arms.iter().map(|line| Source::of(&line.arm)).collect();
        // the threshold curve is the ground truth's
        sources.insert(Source::Truth);
        let sample = |label: &str, shown, config: &SelfOutput| {
            verbs::sample(cx, base, label, &items, shown, config)
        };
        let own = sources.iter().any(|source| source.among().is_some());
        let own = own.then(|| sample("self-output", Shown::Question, &recipe.self_output));
        let own = own.transpose()?;
        let mut rendered = BTreeMap::new();
        for source in sources {
            let rewritten = |rewrite: &dyn Fn(&Item) -> Item| items.iter().map(rewrite).collect();
            let mut made = None;
            let chosen: Vec<Item> = match source {
                Source::Truth => items.clone(),
                Source::TruthLf => rewritten(&|item| with_line_ends(item, "\n")),
                Source::TruthCrlf => rewritten(&|item| with_line_ends(item, "\r\n")),
                Source::TruthCode => rewritten(&code_only),
                Source::Rephrase => {
                    let shown = Shown::QuestionAndReference;
                    let pool = sample("rephrase", shown, &recipe.rephrase)?;
                    let chosen = pool.chosen(&items, recipe.rephrase.lowest, Among::Right);
                    made = Some((pool.sampled(), pool.accepted(), pool.seconds));
                    chosen
                }
                _ => {
                    let pool = own.as_ref().expect("sampled above");
                    let among = source.among().expect("the rest comes from the pool");
                    let chosen = pool.chosen(&items, recipe.self_output.lowest, among);
                    if source == Source::TruthOfSelfOutput {
                        let kept = |item: &&Item| chosen.iter().any(|other| other.id == item.id);
                        items.iter().filter(kept).cloned().collect()
                    } else {
                        made = Some((pool.sampled(), pool.accepted(), pool.seconds));
                        chosen
                    }
                }
            };
            if chosen.is_empty() {
                let problem = format!(
                    "{} has no answer left of {} items; sample more answers, or leave the arm out",
                    source.label(),
                    items.len()
                );
                return Err(Error::invalid("training data", problem));
            }
            let mut scored = render(cx, base, source.label(), chosen, recipe.skip_unusable)?;
            scored.unusable.splice(0..0, unusable.iter().cloned());
            scored.asked = items.len();
            if let Some((sampled, accepted, seconds)) = made {
                (scored.sampled, scored.accepted) = (sampled, accepted);
                scored.seconds = seconds;
            }
            if source == Source::Truth && compared {
                scored.reference = reference(cx, recipe, base, &scored)?;
            }
            rendered.insert(source, scored);
        }
        Ok(Self { rendered })
    }

    fn of(&self, arm: &Arm) -> &Rendered {
        &self.rendered[&Source::of(arm)]
    }

    fn truth(&self) -> &Rendered {
        &self.rendered[&Source::Truth]
    }

    /// The arm's training examples; `seed` draws random masks.
    pub fn examples(&self, arm: &Arm, seed: u64) -> Result<Vec<Example>> {
        self.of(arm).examples(arm, seed)
    }

    /// What could not be used of the arm's data.
    pub fn unusable(&self, arm: &Arm) -> &[Unusable] {
        &self.of(arm).unusable
    }

    /// The arm's data, weighed by `rule`, which is the arm's, and how it is trained.
    pub fn weighted<'a>(
        &'a self,
        arm: &Arm,
        rule: &'a Weighting,
        config: &Finetune,
    ) -> Result<Weighted<'a>> {
        let source = self.of(arm);
        Weighted::new(rule, &source.sequences, source.signals(), config)
    }

    /// Some of the arm's examples, drawn by `seed`, to be looked at while a model is trained on all of them.
    pub fn scored(&self, arm: &Arm, seed: u64, count: usize) -> Vec<Scored> {
        let Rendered { sequences, classes, .. } = self.of(arm);
        let count = count.min(sequences.len());
        let mut drawn = Rng::new(seed, "training-probe").distinct(sequences.len(), count);
        drawn.sort_unstable();
        drawn.iter().map(|at| Scored::new(&sequences[*at], &classes[*at])).collect()
    }

    /// How the arm's data came to be.
    pub fn summary(&self, setting: &Setting) -> DataSummary {
        let source = self.of(&setting.arm);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let given = perplexity::given_prompt(&source.sequences, &source.scores);
        let given: Vec<f64> = given.into_iter().flatten().collect();
        let center = mean(given.clone());
        let squares = given.iter().map(|value| (value - center).powi(2));
        DataSummary {
            arm: setting.to_string(),
            asked: source.asked,
            kept: source.items.len(),
            unusable: source.unusable.iter().map(|of| of.id.clone()).collect(),
            sampled: source.sampled,
            accepted: source.accepted,
            perplexity_variance: mean(squares.collect()),
            perplexity_given_prompt: center,
            perplexities: given,
            perplexity_of_text_alone: mean(source.text_alone.iter().copied().flatten().collect()),
            share_above_2_5: source.shares.1,
            classes: source.shares.0.clone(),
            seconds: source.seconds,
        }
    }

    /// What each threshold would mask of the ground truth.
    pub fn threshold_curve(&self, thresholds: &[f64]) -> Result<Vec<ThresholdPoint>> {
        Ok(Tally::of(&self.truth().ledger, thresholds)?.thresholds())
    }

    /// The first items token by token under each arm that has data of its own, and under the masks.
    pub fn token_examples(
        &self,
        arms: &[Setting],
        items: usize,
        seed: u64,
    ) -> Result<Vec<TokenExample>> {
        // items that every kind of data still has, so that arms can be compared on them
        let has = |rendered: &Rendered, id: &str| rendered.items.iter().any(|item| item.id == id);
        let shared = self
            .truth()
            .items
            .iter()
            .filter(|item| self.rendered.values().all(|made| has(made, &item.id)));
        let ids: Vec<&str> = shared.take(items).map(|item| item.id.as_str()).collect();
        let mut examples = Vec::new();
        for arm in arms {
            let source = self.of(&arm.arm);
            let masks = source.masks(&arm.arm, seed)?;
            for id in &ids {
                let Some(at) = source.items.iter().position(|item| item.id == *id) else {
                    continue;
                };
                examples.push(TokenExample {
                    arm: arm.to_string(),
                    item: id.to_string(),
                    tokens: source.tokens(at, &masks[at]),
                });
            }
        }
        Ok(examples)
    }
}

impl Rendered {
    /// What is known of each token of each sequence.
    fn signals(&self) -> Vec<Signals> {
        scorer::signals(&self.sequences, &self.classes, &self.scores, &self.reference)
    }

    /// Which completion tokens the arm learns, for each sequence. Where weights follow the model: those that may be learned.
    fn masks(&self, arm: &Arm, seed: u64) -> Result<Vec<LossMask>> {
        let weighting = arm.weighting()?;
        match weighting.needs().online() {
            true => Ok(self.sequences.iter().map(|s| s.completion.clone()).collect()),
            false => weighting.masks(&self.signals(), seed),
        }
    }

    /// The arm's training examples.
    fn examples(&self, arm: &Arm, seed: u64) -> Result<Vec<Example>> {
        let weighting = arm.weighting()?;
        let weights = match weighting.needs().online() {
            true => scorer::every_token(&self.sequences),
            false => weighting.weights(&self.signals(), seed)?,
        };
        Ok(scorer::examples(&self.sequences, weights))
    }

    fn tokens(&self, at: usize, mask: &LossMask) -> Vec<TokenView> {
        let (item, sequence) = (&self.items[at], &self.sequences[at]);
        let style = ledger::marked(sequence, &item.truth, &item.style);
        views(sequence, &self.scores[at], mask, &style)
    }
}

/// The tokens of a sequence as they are looked at: `mask` says which are learned, `style` which are the writer's own.
pub fn views(
    sequence: &Sequence,
    scores: &TokenScores,
    mask: &LossMask,
    style: &[bool],
) -> Vec<TokenView> {
    let perplexity = scores.perplexity();
    (0..sequence.len())
        .map(|position| TokenView {
            text: sequence.token_text(position).to_string(),
            completion: sequence.completion.learns(position),
            learned: mask.learns(position),
            style: style[position],
            perplexity: perplexity[position].map(f64::from),
        })
        .collect()
}

/// What a reference model says of the ground truth: the base, fine-tuned on all tokens of it as the recipe's `finetune` says, its
/// rate included, with the first seed. That is DPF's first fine-tune.
fn reference(
    cx: &Context,
    recipe: &Recipe,
    base: &Checkpoint,
    truth: &Rendered,
) -> Result<Vec<TokenScores>> {
    let seeded = Finetune { seed: recipe.seeds[0], ..recipe.finetune.clone() };
    let config = Arm::GroundTruth.finetune(&seeded)?;
    let examples = truth.examples(&Arm::GroundTruth, config.seed)?;
    let tuned = verbs::finetune(cx, base, "reference", &examples, &config)?;
    let ids: Vec<&[u32]> = truth.sequences.iter().map(|s| s.ids.as_slice()).collect();
    let scores = verbs::score(cx, &tuned.checkpoint, "ground-truth-reference", &ids)?;
    for (sequence, scores) in truth.sequences.iter().zip(&scores) {
        scores.check(&tuned.checkpoint, &sequence.id)?;
    }
    Ok(scores)
}

/// Renders and scores items under the base model.
///
/// `skip` leaves out items that cannot be rendered, such as one whose answer is empty.
fn render(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    mut items: Vec<Item>,
    skip: bool,
) -> Result<Rendered> {
    let tokenizer = cx.tokenizer(base)?;
    let context = base.config()?.max_position_embeddings;
    let examples: Vec<dataset::Example> = items.iter().map(dataset::Example::from).collect();
    let read = if skip { usable_sequences } else { sequences };
    let Sequences { sequences, unusable, .. } =
        read(&tokenizer, &examples, context, TooLong::Refuse).map_err(|error| {
            let usable = usable_sequences(&tokenizer, &examples, context, TooLong::Refuse);
            Unusable::skippable(error, Path::new(label), SKIP, usable)
        })?;
    if let Some(text) = Unusable::told(&unusable) {
        cx.progress.note(&format!("{label}: {text}"));
        let kept: BTreeSet<&str> = sequences.iter().map(|of| of.id.as_str()).collect();
        items.retain(|item| kept.contains(item.id.as_str()));
    }
    let ids: Vec<&[u32]> = sequences.iter().map(|sequence| sequence.ids.as_slice()).collect();
    let scores = verbs::score_usable(cx, base, label, &ids, &unusable)?;
    for (sequence, scores) in sequences.iter().zip(&scores) {
        scores.check(base, &sequence.id)?;
    }
    let texts: Vec<&str> = items.iter().map(|item| item.truth.as_str()).collect();
    let bare = texts
        .iter()
        .map(|text| Ok(tokenizer.encode(text, true)?.ids))
        .collect::<Result<Vec<_>>>()?;
    let bare: Vec<&[u32]> = bare.iter().map(Vec::as_slice).collect();
    let bare_label = format!("{label}-text-alone");
    let bare_scores = verbs::score_usable(cx, base, &bare_label, &bare, &unusable)?;
    let text_alone =
        bare_scores.iter().map(|s| s.mean_surprisal(0..s.log_prob.len()).map(f64::exp)).collect();
    let classes: Vec<Vec<TokenClass>> = sequences.iter().map(|s| s.classes(&tokenizer)).collect();
    let ledger = keep(cx, base, label, &items, &sequences, &scores, &classes)?;
    let tally = Tally::of(&ledger, &[])?;
    Ok(Rendered {
        unusable,
        asked: items.len(),
        classes,
        ledger,
        shares: (tally.classes(), tally.share_above_paper_threshold()),
        reference: Vec::new(),
        items,
        sequences,
        scores,
        text_alone,
        sampled: 0,
        accepted: None,
        seconds: 0.0,
    })
}

/// The ledger of scored items, written into the store if it is not there. Each token of an answer has weight 1: arms mask it in their own ways.
fn keep(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    items: &[Item],
    sequences: &[Sequence],
    scores: &[TokenScores],
    classes: &[Vec<TokenClass>],
) -> Result<Ledger> {
    let styled = items.iter().any(|item| !item.style.is_empty());
    let style: Vec<Vec<bool>> = match styled {
        true => sequences
            .iter()
            .zip(items)
            .map(|(of, item)| ledger::marked(of, &item.truth, &item.style))
            .collect(),
        false => Vec::new(),
    };
    let inputs = cx.fingerprint(base)?.with("items", items)?;
    let entry = cx.store.entry("ledger", label, &inputs)?;
    const FOLDER: &str = "tokens";
    let origin = Origin::of(cx, base, None, &[], sequences, None)?;
    let _tokens: usize = entry.run(|work| {
        let card = Card::begin(cx, &entry, base)?;
        let rows = Rows {
            sequences,
            scores,
            reference: &[],
            classes,
            style: &style,
            weights: &scorer::every_token(sequences),
        };
        ledger::write(&work.path(FOLDER)?, &origin, |writer| writer.add(&rows))?;
        card.write(work)?;
        Ok(sequences.iter().map(Sequence::len).sum())
    })?;
    Ledger::made_from(&entry.folder().join(FOLDER), &origin)
}
