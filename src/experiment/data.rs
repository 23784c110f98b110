//! The training data of each arm.

use super::results::{DataSummary, ThresholdPoint, TokenExample, TokenView};
use super::{Arm, Recipe};
use crate::context::Context;
use crate::dataset;
use crate::error::Result;
use crate::metric;
use crate::model::Checkpoint;
use crate::perplexity::{self, TokenScores};
use crate::scorer;
use crate::select::{LossMask, Signals, TokenClass};
use crate::self_output::{Pool, Shown, Which};
use crate::task::Item;
use crate::tokens::{Sequence, Sequences, TooLong, sequences};
use crate::train::{Example, Finetune};
use crate::verbs;
use std::time::Instant;

/// Items as the model reads them, with what it says of each token.
pub(super) struct Rendered {
    items: Vec<Item>,
    sequences: Vec<Sequence>,
    scores: Vec<TokenScores>,
    classes: Vec<Vec<TokenClass>>,
    /// What the reference model says of each token; empty if no arm asks.
    reference: Vec<TokenScores>,
    text_alone: Vec<Option<f64>>,
    /// Where it came from: items asked for, answers sampled, share accepted, seconds.
    asked: usize,
    sampled: usize,
    accepted: Option<f64>,
    seconds: f64,
}

/// Everything the arms are made of.
pub(super) struct Material {
    truth: Rendered,
    truth_of_self_output: Option<Rendered>,
    self_output: Option<Rendered>,
    rephrase: Option<Rendered>,
}

impl Material {
    /// Scores the ground truth and samples what the recipe's arms need.
    pub fn make(cx: &Context, recipe: &Recipe, base: &Checkpoint) -> Result<Self> {
        let started = Instant::now();
        let items = recipe.items(&recipe.target, "train", recipe.sizes.train)?;
        let mut truth = render(cx, base, "ground-truth", items.clone())?;
        truth.seconds = started.elapsed().as_secs_f64();
        let mut compared = false;
        for arm in &recipe.arms {
            // a rule that cannot be trained is refused before anything is computed
            arm.finetune(recipe.finetune.clone())?;
            compared |= arm.weighting()?.needs().reference;
        }
        if compared {
            truth.reference = reference(cx, recipe, base, &truth)?;
        }
        let needs = |wanted: &[Arm]| recipe.arms.iter().any(|arm| wanted.contains(arm));
        let sampled = |label: &str,
                       shown,
                       config: &crate::self_output::SelfOutput,
                       which: Which|
         -> Result<Rendered> {
            let started = Instant::now();
            let pool: Pool = verbs::sample(cx, base, label, &items, shown, config)?;
            let mut rendered = render(cx, base, label, pool.chosen(&items, which))?;
            rendered.asked = items.len();
            rendered.sampled = pool.sampled();
            rendered.accepted = pool.accepted();
            rendered.seconds = started.elapsed().as_secs_f64();
            Ok(rendered)
        };
        let self_output = match needs(&[Arm::SelfOutput, Arm::GroundTruthOnSelfOutputItems]) {
            true => Some(sampled(
                "self-output",
                Shown::Question,
                &recipe.self_output,
                recipe.self_output.lowest,
            )?),
            false => None,
        };
        let rephrase = match needs(&[Arm::Rephrase]) {
            true => {
                let shown = Shown::QuestionAndReference;
                Some(sampled(
                    "rephrase",
                    shown,
                    &recipe.rephrase,
                    recipe.rephrase.lowest,
                )?)
            }
            false => None,
        };
        let truth_of_self_output = match (&self_output, needs(&[Arm::GroundTruthOnSelfOutputItems]))
        {
            (Some(own), true) => {
                let kept = |item: &&Item| own.items.iter().any(|other| other.id == item.id);
                let subset = items.iter().filter(kept).cloned().collect();
                let mut rendered = render(cx, base, "ground-truth-subset", subset)?;
                rendered.asked = items.len();
                Some(rendered)
            }
            _ => None,
        };
        Ok(Self {
            truth,
            truth_of_self_output,
            self_output,
            rephrase,
        })
    }

    fn of(&self, arm: Arm) -> &Rendered {
        let made = "made for every arm of the recipe";
        match arm {
            Arm::GroundTruth
            | Arm::Stm(_)
            | Arm::RandomMask(_)
            | Arm::LowestMask(_)
            | Arm::Weights(_) => &self.truth,
            Arm::GroundTruthOnSelfOutputItems => self.truth_of_self_output.as_ref().expect(made),
            Arm::SelfOutput => self.self_output.as_ref().expect(made),
            Arm::Rephrase => self.rephrase.as_ref().expect(made),
        }
    }

    /// The arm's training examples; `seed` draws random masks.
    pub fn examples(&self, arm: Arm, seed: u64) -> Result<Vec<Example>> {
        self.of(arm).examples(arm, seed)
    }

    /// How the arm's data came to be.
    pub fn summary(&self, arm: Arm) -> DataSummary {
        let source = self.of(arm);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let given = perplexity::given_prompt(&source.sequences, &source.scores);
        let completion = source.sequences.iter().zip(&source.scores);
        let perplexities: Vec<f32> = completion
            .flat_map(|(sequence, scores)| {
                let perplexity = scores.perplexity();
                sequence
                    .completion
                    .positions()
                    .filter_map(move |at| perplexity[at])
                    .collect::<Vec<_>>()
            })
            .collect();
        let above = perplexities.iter().filter(|p| **p > 2.5).count();
        DataSummary {
            arm: arm.to_string(),
            asked: source.asked,
            kept: source.items.len(),
            sampled: source.sampled,
            accepted: source.accepted,
            perplexity_given_prompt: mean(given.into_iter().flatten().collect()),
            perplexity_of_text_alone: mean(source.text_alone.iter().copied().flatten().collect()),
            share_above_2_5: above as f64 / perplexities.len().max(1) as f64,
            seconds: source.seconds,
        }
    }

    /// What each threshold would mask of the ground truth.
    pub fn threshold_curve(&self, thresholds: &[f64]) -> Result<Vec<ThresholdPoint>> {
        let source = &self.truth;
        let styled = source.items.iter().any(|item| !item.style.is_empty());
        let points = thresholds.iter().map(|&threshold| {
            let masks = source.masks(Arm::Stm(threshold), 0)?;
            let (mut tokens, mut masked, mut style, mut hit) = (0usize, 0usize, 0usize, 0usize);
            let (mut surprisal, mut surprisal_masked) = (0.0, 0.0);
            for (at, mask) in masks.iter().enumerate() {
                let flags = source.style(at);
                for position in source.sequences[at].completion.positions() {
                    let nats = source.scores[at].log_prob[position].map_or(0.0, |l| -f64::from(l));
                    let is_masked = !mask.learns(position);
                    tokens += 1;
                    surprisal += nats;
                    masked += usize::from(is_masked);
                    style += usize::from(flags[position]);
                    hit += usize::from(is_masked && flags[position]);
                    surprisal_masked += if is_masked { nats } else { 0.0 };
                }
            }
            let share = |part: usize, whole: usize| {
                (styled && whole > 0).then(|| part as f64 / whole as f64)
            };
            Ok(ThresholdPoint {
                threshold,
                masked: metric::masked_share(tokens, tokens - masked).unwrap_or(0.0),
                precision: share(hit, masked),
                recall: share(hit, style),
                surprisal_masked: if surprisal > 0.0 {
                    surprisal_masked / surprisal
                } else {
                    0.0
                },
            })
        });
        points.collect()
    }

    /// The first items token by token under each arm that has data of its own, and under the masks.
    pub fn token_examples(
        &self,
        arms: &[Arm],
        items: usize,
        seed: u64,
    ) -> Result<Vec<TokenExample>> {
        // items that every kind of data still has, so that arms can be compared on them
        let has = |rendered: &Option<Rendered>, id: &str| {
            rendered
                .as_ref()
                .is_none_or(|r| r.items.iter().any(|item| item.id == id))
        };
        let shared = self
            .truth
            .items
            .iter()
            .filter(|item| has(&self.self_output, &item.id) && has(&self.rephrase, &item.id));
        let ids: Vec<&str> = shared.take(items).map(|item| item.id.as_str()).collect();
        let mut examples = Vec::new();
        for arm in arms {
            let source = self.of(*arm);
            let masks = source.masks(*arm, seed)?;
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
        scorer::signals(
            &self.sequences,
            &self.classes,
            &self.scores,
            &self.reference,
        )
    }

    /// Which completion tokens the arm learns, for each sequence.
    fn masks(&self, arm: Arm, seed: u64) -> Result<Vec<LossMask>> {
        arm.weighting()?.masks(&self.signals(), seed)
    }

    /// The arm's training examples.
    fn examples(&self, arm: Arm, seed: u64) -> Result<Vec<Example>> {
        let weights = arm.weighting()?.weights(&self.signals(), seed)?;
        let pairs = self.sequences.iter().zip(weights);
        let examples = pairs.map(|(sequence, weights)| Example {
            id: sequence.id.clone(),
            ids: sequence.ids.clone(),
            weights,
            completion_tokens: sequence.completion.learned(),
        });
        Ok(examples.collect())
    }

    /// Which tokens of sequence `at` show the writer's style.
    fn style(&self, at: usize) -> Vec<bool> {
        let (sequence, item) = (&self.sequences[at], &self.items[at]);
        // the answer stands in the rendered text as it is
        let Some(offset) = sequence.text.rfind(item.truth.as_str()) else {
            return vec![false; sequence.len()];
        };
        let styled = |span: &std::ops::Range<usize>| {
            item.style
                .iter()
                .any(|(from, to)| span.start < offset + to && offset + from < span.end)
        };
        sequence
            .spans
            .iter()
            .map(|span| styled(&(span.start..span.end)))
            .collect()
    }

    fn tokens(&self, at: usize, mask: &LossMask) -> Vec<TokenView> {
        let (sequence, scores) = (&self.sequences[at], &self.scores[at]);
        let (style, perplexity) = (self.style(at), scores.perplexity());
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
}

/// What a reference model says of the ground truth: the base, fine-tuned on all tokens of it as the recipe's `finetune` says, its
/// rate included, with the first seed. That is DPF's first fine-tune.
fn reference(
    cx: &Context,
    recipe: &Recipe,
    base: &Checkpoint,
    truth: &Rendered,
) -> Result<Vec<TokenScores>> {
    let config = Finetune {
        seed: recipe.seeds[0],
        ..recipe.finetune.clone()
    };
    let examples = truth.examples(Arm::GroundTruth, config.seed)?;
    let tuned = verbs::finetune(cx, base, "reference", &examples, &config)?;
    let ids: Vec<&[u32]> = truth.sequences.iter().map(|s| s.ids.as_slice()).collect();
    let scores = verbs::score(cx, &tuned.checkpoint, "ground-truth-reference", &ids)?;
    for (sequence, scores) in truth.sequences.iter().zip(&scores) {
        scores.check(&tuned.checkpoint, &sequence.id)?;
    }
    Ok(scores)
}

/// Renders and scores items under the base model.
fn render(cx: &Context, base: &Checkpoint, label: &str, items: Vec<Item>) -> Result<Rendered> {
    let tokenizer = cx.tokenizer(base)?;
    let context = base.config()?.max_position_embeddings;
    let examples: Vec<dataset::Example> = items.iter().map(dataset::Example::from).collect();
    let Sequences {
        sequences,
        too_long,
    } = sequences(&tokenizer, &examples, context, TooLong::Refuse)?;
    debug_assert!(too_long.is_empty(), "refused above");
    let ids: Vec<&[u32]> = sequences
        .iter()
        .map(|sequence| sequence.ids.as_slice())
        .collect();
    let scores = verbs::score(cx, base, label, &ids)?;
    for (sequence, scores) in sequences.iter().zip(&scores) {
        scores.check(base, &sequence.id)?;
    }
    let texts: Vec<&str> = items.iter().map(|item| item.truth.as_str()).collect();
    let bare = texts
        .iter()
        .map(|text| Ok(tokenizer.encode(text, true)?.ids))
        .collect::<Result<Vec<_>>>()?;
    let bare: Vec<&[u32]> = bare.iter().map(Vec::as_slice).collect();
    let bare_scores = verbs::score(cx, base, &format!("{label}-text-alone"), &bare)?;
    let text_alone = bare_scores
        .iter()
        .map(|s| s.mean_surprisal(0..s.log_prob.len()).map(f64::exp))
        .collect();
    let classes = sequences.iter().map(|s| s.classes(&tokenizer)).collect();
    Ok(Rendered {
        asked: items.len(),
        classes,
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
