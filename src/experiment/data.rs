//! The training data of each arm.

use super::recipe::SKIP;
use super::results::{ClassShare, DataSummary, ThresholdPoint, TokenExample};
use super::{Arm, Recipe, Source};
use crate::context::Context;
use crate::dataset::Unusable;
use crate::error::{Error, Result};
use crate::ledger::{self, Ledger, Origin, Tally};
use crate::masked::Masked;
use crate::model::Checkpoint;
use crate::perplexity::Quantiles;
use crate::scored::{Rendering, Scored};
use crate::select::Weighting;
use crate::self_output::Pool;
use crate::task::Item;
use crate::tokens::TooLong;
use crate::train::TrainConfig;
use crate::verbs::{self, Training};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The answers of one source, and how they came to be.
struct Set {
    scored: Arc<Scored>,
    text_alone: Vec<Option<f64>>,
    /// The ledger of its tokens, in the store.
    ledger: Ledger,
    /// What it is made of, and how much of it is above the paper's threshold: read from the ledger.
    shares: (Vec<ClassShare>, f64),
    /// Items asked for.
    asked: usize,
    /// The pool it was chosen from, if it was.
    pool: Option<PoolSummary>,
}

/// How a pool was made.
#[derive(Clone, Copy)]
struct PoolSummary {
    sampled: usize,
    accepted: Option<f64>,
    seconds: f64,
}

impl From<&Pool> for PoolSummary {
    fn from(pool: &Pool) -> Self {
        Self { sampled: pool.sampled(), accepted: pool.accepted(), seconds: pool.seconds }
    }
}

/// Everything the arms are made of.
pub(super) struct Data {
    sets: BTreeMap<Source, Set>,
}

impl Data {
    /// Samples what `sources` need, and scores it; those with `true`, under a reference model as well.
    pub fn make(
        cx: &Context,
        recipe: &Recipe,
        base: &Checkpoint,
        sources: &BTreeMap<Source, bool>,
    ) -> Result<Self> {
        let (items, unusable) = recipe.usable_items(&recipe.target, "train", recipe.sizes.train)?;
        Unusable::told(&unusable).inspect(|text| cx.progress.note(text));
        // a rule that cannot be trained is refused before anything is computed
        recipe.arms.iter().try_for_each(Arm::check)?;
        let own = sources.keys().any(|source| source.of_self_output());
        let own = own
            .then(|| verbs::self_output(cx, base, "self-output", &items, &recipe.self_output))
            .transpose()?;
        let mut sets = BTreeMap::new();
        for (&source, &compared) in sources {
            let set = match source {
                Source::Rephrase => {
                    let pool = verbs::rephrase(cx, base, "rephrase", &items, &recipe.rephrase)?;
                    let chosen = source.answers(&items, Some(&pool), &recipe.rephrase);
                    Set::make(cx, recipe, base, source, chosen)?.with_pool(&items, Some(&pool))
                }
                _ => {
                    let chosen = source.answers(&items, own.as_ref(), &recipe.self_output);
                    let sampled = source != Source::GroundTruthOnSelfOutputItems;
                    let pool = own.as_ref().filter(|_| source.of_self_output() && sampled);
                    Set::make(cx, recipe, base, source, chosen)?.with_pool(&items, pool)
                }
            };
            let set = set.with_unusable(&unusable);
            let set = match compared {
                true => set.with_reference(cx, recipe, base)?,
                false => set,
            };
            sets.insert(source, set);
        }
        Ok(Self { sets })
    }

    fn truth(&self) -> &Set {
        &self.sets[&Source::GroundTruth]
    }

    /// The arm's answers.
    pub fn of(&self, arm: &Arm) -> &Arc<Scored> {
        &self.sets[&arm.source].scored
    }

    /// The arm's answers, weighed by its rule; `seed` draws random masks.
    pub fn masked(&self, arm: &Arm, seed: u64) -> Result<Masked> {
        Masked::new(self.of(arm).clone(), &arm.rule, seed)
    }

    /// How the arm's data came to be.
    pub fn summary(&self, arm: &Arm) -> DataSummary {
        let Set { scored, text_alone, shares, asked, pool, .. } = &self.sets[&arm.source];
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let given: Vec<f64> = scored.perplexities().into_iter().flatten().collect();
        let center = mean(given.clone());
        let squares = given.iter().map(|value| (value - center).powi(2));
        DataSummary {
            arm: arm.to_string(),
            asked: *asked,
            kept: scored.items.len(),
            unusable: scored.unusable.iter().map(|of| of.id.clone()).collect(),
            sampled: pool.map_or(0, |pool| pool.sampled),
            accepted: pool.and_then(|pool| pool.accepted),
            perplexity_variance: mean(squares.collect()),
            perplexity_given_prompt: center,
            perplexities: given,
            perplexity_of_text_alone: mean(text_alone.iter().copied().flatten().collect()),
            median_of_text_alone: Quantiles::of(text_alone.iter().copied().flatten())
                .map(|of| of.median),
            share_above_2_5: shares.1,
            classes: shares.0.clone(),
            seconds: pool.map_or(0.0, |pool| pool.seconds),
        }
    }

    /// What each threshold would mask of the ground truth.
    pub fn threshold_curve(&self, thresholds: &[f64]) -> Result<Vec<ThresholdPoint>> {
        Ok(Tally::of(&self.truth().ledger, thresholds)?.thresholds())
    }

    /// The first items token by token under each arm that has data of its own, and under the masks.
    pub fn token_examples(
        &self,
        arms: &[Arm],
        items: usize,
        seed: u64,
    ) -> Result<Vec<TokenExample>> {
        let place = |scored: &Scored, id: &str| scored.items.iter().position(|item| item.id == id);
        // items that every kind of data still has, so that arms can be compared on them
        let everywhere =
            |item: &&Item| self.sets.values().all(|set| place(&set.scored, &item.id).is_some());
        let shared = self.truth().scored.items.iter().filter(everywhere).take(items);
        let shared: Vec<&Item> = shared.collect();
        let mut examples = Vec::new();
        for arm in arms {
            // where weights follow the model, any token of an answer may be learned
            let rule = match arm.rule.needs().online() {
                true => &Weighting::all(),
                false => &arm.rule,
            };
            let masked = Masked::new(self.of(arm).clone(), rule, seed)?;
            for item in &shared {
                if let Some(at) = place(&masked.scored, &item.id) {
                    examples.push(TokenExample { arm: arm.to_string(), ..masked.tokens(at)? });
                }
            }
        }
        Ok(examples)
    }
}

impl Set {
    fn make(
        cx: &Context,
        recipe: &Recipe,
        base: &Checkpoint,
        source: Source,
        answered: Vec<Item>,
    ) -> Result<Self> {
        let label = source.name().replace('_', "-");
        if answered.is_empty() {
            let problem = format!(
                "{label} has no answer left of {} items; sample more answers, or leave the arm out",
                recipe.sizes.train
            );
            return Err(Error::invalid("training data", problem));
        }
        let rendering = Rendering {
            context: base.config()?.max_position_embeddings,
            too_long: TooLong::Refuse,
            skip_unusable: recipe.skip_unusable,
        };
        let tokenizer = cx.tokenizer(base)?;
        let render = |how| Scored::of_items(&label, &answered, &tokenizer, how);
        let rendered = render(rendering).map_err(|error| {
            let usable = render(Rendering { skip_unusable: true, ..rendering });
            Unusable::skippable(error, Path::new(&label), SKIP, usable)
        })?;
        if let Some(text) = Unusable::told(&rendered.unusable) {
            cx.progress.note(&format!("{label}: {text}"));
        }
        let scored = verbs::score_rendered(cx, base, rendered)?;
        let ledger = ledger_of(cx, base, &scored)?;
        let tally = Tally::of(&ledger, &[])?;
        Ok(Self {
            text_alone: verbs::text_alone(cx, base, &scored)?,
            shares: (tally.classes(), tally.share_above_paper_threshold()),
            ledger,
            asked: answered.len(),
            pool: None,
            scored: Arc::new(scored),
        })
    }

    /// The same with what it was chosen from.
    fn with_pool(self, asked: &[Item], pool: Option<&Pool>) -> Self {
        Self { asked: asked.len(), pool: pool.map(PoolSummary::from), ..self }
    }

    /// The same with rows that could not be read as items.
    fn with_unusable(self, unread: &[Unusable]) -> Self {
        let mut scored = Scored::clone(&self.scored);
        scored.unusable.splice(0..0, unread.iter().cloned());
        Self { scored: Arc::new(scored), ..self }
    }

    /// The same with what a reference model says of it: the base, fine-tuned on all tokens of it as the recipe's `finetune` says, its rate
    /// included, with the first seed. That is DPF's first fine-tune.
    fn with_reference(self, cx: &Context, recipe: &Recipe, base: &Checkpoint) -> Result<Self> {
        let config = TrainConfig { seed: recipe.seeds[0], ..recipe.finetune.clone() };
        let masked = Masked::new(self.scored.clone(), &Weighting::all(), config.seed)?;
        let prepared = masked.prepare(&config)?;
        let tuned = verbs::train(cx, base, "reference", &Training::of(&prepared))?;
        let scored = Scored::clone(&self.scored);
        let scored = verbs::score_against(cx, &tuned.checkpoint, base, scored)?;
        Ok(Self { scored: Arc::new(scored), ..self })
    }
}

/// The ledger of scored items, written into the store if it is not there. Each token of an answer has weight 1: arms mask it in their own ways.
fn ledger_of(cx: &Context, base: &Checkpoint, scored: &Scored) -> Result<Ledger> {
    const FOLDER: &str = "tokens";
    let inputs = cx.fingerprint(base)?.with("items", &scored.items)?;
    let origin = Origin::of(cx, base, None, &[], &scored.sequences, None)?;
    let (_, folder) = verbs::kept(cx, ("ledger", &scored.name), base, &inputs, |work, _| {
        let (style, weights) = (scored.styles(), scored.every_token());
        let rows = scored.rows(&style, &weights);
        ledger::write(&work.path(FOLDER)?, &origin, |writer| writer.add(&rows))?;
        Ok(scored.sequences.len())
    })?;
    Ledger::made_from(&folder.join(FOLDER), &origin)
}
