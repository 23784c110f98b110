use super::data::Data;
use super::results::{DataSummary, Results, Run, TaskScore, TokenExample};
use super::{Arm, Recipe, Source};
use crate::answers::{AnswerRow, Asked, Task, Tasks};
use crate::card::RunCard;
use crate::context::Context;
use crate::dataset::Unusable;
use crate::error::{Error, Result};
use crate::evaluate::Graded;
use crate::generate::Sampling;
use crate::masked::{Masked, Prepared};
use crate::model::{Checkpoint, Precision};
use crate::task::Item;
use crate::train::{Example, TrainConfig};
use crate::verbs::{self, Training, Tuned};
use crate::weight_change::{self, LayerChange};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

/// One arm at one rate with one seed.
#[derive(Debug, Clone, PartialEq)]
struct Trial {
    arm: Arm,
    learning_rate: f64,
    seed: u64,
}

/// A recipe with its model, its data and its benchmarks at hand: what [`run`] works on, for who wants more than its results.
pub struct Experiment<'a> {
    cx: &'a Context,
    recipe: Recipe,
    base: Checkpoint,
    data: Data,
    validation: Task,
    test: Tasks,
    /// Folders of the results that its data are made of.
    used: BTreeSet<PathBuf>,
}

/// Scores of a model, and its graded answers to the test items.
struct Measured {
    validation: f64,
    test: Vec<TaskScore>,
    answers: Vec<Vec<Graded>>,
}

/// Computes everything that the recipe asks for and the store does not hold yet.
///
/// The rate of each arm is chosen by this rule, stated before anything is computed: the best score on the target's validation
/// split with the first seed; of equals, the lowest rate. Test scores play no part in it. The recipe's one rate for all is run beside with every seed.
pub fn run(cx: &Context, recipe: &Recipe) -> Result<Results> {
    Experiment::prepare(cx, recipe)?.run()
}

impl<'a> Experiment<'a> {
    /// Reads the items, scores the ground truth and samples what the arms need; trains nothing but what a rule compares with.
    pub fn prepare(cx: &'a Context, recipe: &Recipe) -> Result<Self> {
        // the threshold curve is the ground truth's
        Self::with_sources(cx, recipe, sources(&recipe.arms, [Source::GroundTruth]))
    }

    /// The same with the data of one arm only.
    pub(crate) fn prepare_for(cx: &'a Context, recipe: &Recipe, arm: &Arm) -> Result<Self> {
        Self::with_sources(cx, recipe, sources(std::slice::from_ref(arm), []))
    }

    /// The same without any data: what can be known before anything is computed.
    pub(crate) fn open(cx: &'a Context, recipe: &Recipe) -> Result<Self> {
        Self::with_sources(cx, recipe, BTreeMap::new())
    }

    fn with_sources(
        cx: &'a Context,
        recipe: &Recipe,
        sources: BTreeMap<Source, bool>,
    ) -> Result<Self> {
        recipe.check()?;
        cx.take_used();
        let base = recipe.base(&cx.progress)?;
        let test = recipe.test()?;
        let scored = |item: &Item| item.check.by_likelihood();
        if recipe.choices.is_some() && !test.all().flat_map(|task| &task.items).any(scored) {
            let problem =
                "none of the recipe's tasks has questions with options to score; leave it out";
            return Err(Error::invalid("choices", problem));
        }
        let usable = |task: &String, split, count| -> Result<Vec<Item>> {
            let (items, unusable) = recipe.usable_items(task, split, count)?;
            Unusable::told(&unusable).inspect(|text| cx.progress.note(text));
            Ok(items)
        };
        for task in recipe.non_target.iter().chain([&recipe.target]) {
            usable(task, "test", recipe.sizes.test)?;
        }
        let validation = usable(&recipe.target, "validation", recipe.sizes.validation)?;
        Ok(Self {
            cx,
            validation: Task::new(&recipe.target, validation),
            test,
            data: Data::make(cx, recipe, &base, &sources)?,
            recipe: recipe.clone(),
            base,
            used: cx.take_used(),
        })
    }

    pub(super) fn context(&self) -> &Context {
        self.cx
    }

    /// The training items.
    pub(super) fn items(&self) -> Result<Vec<Item>> {
        self.recipe.items(&self.recipe.target, "train", self.recipe.sizes.train)
    }

    /// What every model is graded on: the target's validation split, then the test items of all tasks.
    pub(super) fn graded(&self) -> impl Iterator<Item = &Task> {
        std::iter::once(&self.validation).chain(self.test.all())
    }

    /// Scores the answers of one source; under a reference model as well, where `compared` asks for it.
    pub(super) fn score(&self, source: Source, compared: bool) -> Result<()> {
        let sources = BTreeMap::from([(source, compared)]);
        Data::make(self.cx, &self.recipe, &self.base, &sources).map(drop)
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The untouched model.
    pub fn base(&self) -> &Checkpoint {
        &self.base
    }

    /// How each arm's training data came to be, in the order of the recipe.
    pub fn data(&self) -> Vec<DataSummary> {
        let arms = self.recipe.arms.iter();
        arms.map(|arm| self.data.summary(arm)).collect()
    }

    /// Trains and measures every arm at every rate, as [`run`] says.
    pub fn run(&self) -> Result<Results> {
        let recipe = &self.recipe;
        self.cx.take_used();
        let base = self.measure_in(self.cx, &self.base, "base")?;
        let first = recipe.seeds[0];
        let at = |arm: &Arm, learning_rate: f64, seed: u64| Trial {
            arm: arm.clone(),
            learning_rate,
            seed,
        };
        let swept: Vec<Trial> = recipe
            .arms
            .iter()
            .flat_map(|arm| recipe.tried(arm).into_iter().map(move |rate| at(arm, rate, first)))
            .collect();
        let compute = |trials: &[Trial]| {
            let one = |cx: &Context, at: usize| {
                let Trial { arm, learning_rate, seed } = &trials[at];
                self.one(cx, arm, *learning_rate, *seed)
            };
            side_by_side(self.cx, trials.len(), |_| &[], one)
        };
        let mut runs = compute(&swept)?;
        let best = |arm: &Arm| {
            let own = recipe.rates_of(arm);
            let of_arm = runs
                .iter()
                .zip(&swept)
                .filter(|(_, trial)| trial.arm == *arm && own.contains(&trial.learning_rate));
            let rates = of_arm.map(|((run, _), trial)| (trial.learning_rate, run.validation));
            chosen(rates).expect("every arm was swept")
        };
        let chosen: Vec<f64> = recipe.arms.iter().map(best).collect();
        let mut more = Vec::new();
        for (arm, &chosen) in recipe.arms.iter().zip(&chosen) {
            for rate in recipe.tried(arm) {
                let common = recipe.common_learning_rate == Some(rate);
                if rate == chosen || common || recipe.seeds_at_every_rate {
                    more.extend(recipe.seeds[1..].iter().map(|seed| at(arm, rate, *seed)));
                }
            }
        }
        runs.extend(compute(&more)?);
        // in the recipe's order: arm, rate, seed
        let mut placed: Vec<_> = runs
            .into_iter()
            .zip(swept.into_iter().chain(more))
            .map(|((mut run, answers), trial)| {
                let arm = recipe.arms.iter().position(|arm| *arm == trial.arm);
                let arm = arm.expect("made from the recipe's arms");
                let rates = recipe.tried(&trial.arm);
                let rate = rates.iter().position(|rate| *rate == trial.learning_rate);
                let seed = recipe.seeds.iter().position(|seed| *seed == trial.seed);
                run.chosen = trial.learning_rate == chosen[arm];
                ((arm, rate, seed), run, answers)
            })
            .collect();
        placed.sort_by_key(|(place, ..)| *place);
        let asked = Asked::of(&self.test);
        let mut answers = asked.rows(AnswerRow::BASE, None, &base.answers);
        let mut runs = Vec::new();
        for (_, run, given) in placed {
            answers.extend(asked.rows(&run.arm, Some((run.learning_rate, run.seed)), &given));
            runs.push(run);
        }
        Ok(Results {
            name: recipe.name.clone(),
            target: recipe.target.clone(),
            non_target: recipe.non_target.clone(),
            base: base.test,
            base_validation: base.validation,
            margin: recipe.margin,
            common_learning_rate: recipe.common_learning_rate,
            runs,
            data: self.data(),
            thresholds: self.data.threshold_curve(&recipe.thresholds)?,
            examples: self.data.token_examples(&recipe.arms, 4, first)?,
            seconds: self.seconds()?,
            answers: Arc::new(answers),
        })
    }

    /// Seconds of all the work behind the results, whenever it was done; `None` where a result has no card.
    fn seconds(&self) -> Result<Option<f64>> {
        let mut used = self.used.clone();
        used.append(&mut self.cx.take_used());
        let mut sum = 0.0;
        for folder in used {
            let run = self.cx.store.find(&folder.to_string_lossy())?;
            match RunCard::of(&run) {
                Ok(card) => sum += card.times.seconds,
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(sum))
    }

    /// Validation score on the target, and test scores on all tasks, target first.
    pub fn measure(&self, checkpoint: &Checkpoint, label: &str) -> Result<(f64, Vec<TaskScore>)> {
        let Measured { validation, test, .. } = self.measure_in(self.cx, checkpoint, label)?;
        Ok((validation, test))
    }

    fn measure_in(&self, cx: &Context, checkpoint: &Checkpoint, label: &str) -> Result<Measured> {
        let all: Vec<Task> = self.graded().cloned().collect();
        let sampling = Sampling::greedy(self.test.max_new_tokens);
        let mut graded = verbs::ask(cx, checkpoint, label, &all, &sampling)?;
        let mut scores =
            all.iter().zip(&graded).map(|(task, graded)| TaskScore::of(&task.name, graded));
        let validation = scores.next().expect("the validation split comes first");
        let test = scores.collect();
        Ok(Measured { validation: validation.value(), test, answers: graded.split_off(1) })
    }

    /// The untouched items of the target's validation split, by which rates are chosen.
    pub fn validation(&self) -> &[Item] {
        &self.validation.items
    }

    /// The test items of each task.
    pub fn test(&self) -> &Tasks {
        &self.test
    }

    /// The first training items token by token, under each arm.
    pub fn token_examples(&self, items: usize) -> Result<Vec<TokenExample>> {
        let first = self.recipe.seeds[0];
        self.data.token_examples(&self.recipe.arms, items, first)
    }

    /// The arm's data with what is learned of them; the seed draws random masks.
    pub fn masked(&self, arm: &Arm, seed: u64) -> Result<Masked> {
        self.data.masked(arm, seed)
    }

    /// How the arm is trained at one rate with one seed; what is left open there is as its rule says ([`Masked::prepare`]).
    pub fn config(&self, arm: &Arm, learning_rate: f64, seed: u64) -> TrainConfig {
        TrainConfig { learning_rate, seed, ..self.recipe.finetune_of(arm).clone() }
    }

    /// The arm's model at one rate with one seed: out of the store, if [`Experiment::run`] or an earlier call trained it.
    pub fn tuned(&self, arm: &Arm, learning_rate: f64, seed: u64) -> Result<Tuned> {
        let config = self.config(arm, learning_rate, seed);
        self.train(self.cx, arm, &self.masked(arm, seed)?.prepare(&config)?)
    }

    fn train(&self, cx: &Context, arm: &Arm, prepared: &Prepared<'_>) -> Result<Tuned> {
        let TrainConfig { learning_rate, seed, .. } = prepared.config;
        let watch = self.recipe.watch(cx, &self.base, self.data.of(arm), seed)?;
        let training = Training { watch: watch.as_ref(), ..Training::of(prepared) };
        let label = format!("{}-{learning_rate}-{seed}", arm.label());
        verbs::train(cx, &self.base, &label, &training)
    }

    /// Trains one arm and measures it.
    pub(super) fn one(
        &self,
        cx: &Context,
        arm: &Arm,
        learning_rate: f64,
        seed: u64,
    ) -> Result<(Run, Vec<Vec<Graded>>)> {
        let label = format!("{}-{learning_rate}-{seed}", arm.label());
        let config = self.config(arm, learning_rate, seed);
        let masked = self.masked(arm, seed)?;
        let prepared = masked.prepare(&config)?;
        let tuned = self.train(cx, arm, &prepared)?;
        let examples = &prepared.examples;
        let Measured { validation, test, answers } =
            self.measure_in(cx, &tuned.checkpoint, &label)?;
        let learned = |example: &Example| example.weights.iter().filter(|w| **w != 0.0).count();
        let tokens_learned = tuned.steps.iter().map(|step| step.learned).sum();
        let run = Run {
            arm: arm.to_string(),
            learning_rate,
            seed,
            chosen: false,
            threshold: arm.threshold(),
            items: examples.len() - tuned.left_out.len(),
            completion_tokens: examples.iter().map(|example| example.completion_tokens).sum(),
            // of weights that follow the model: the mean over epochs
            learned_tokens: match arm.rule.needs().online() {
                true => {
                    let in_epoch =
                        (examples.len() - tuned.left_out.len()).div_ceil(config.batch_size);
                    tokens_learned * in_epoch / tuned.steps.len().max(1)
                }
                false => examples.iter().map(learned).sum(),
            },
            tokens_seen: tuned.steps.iter().map(|step| step.tokens).sum(),
            tokens_learned,
            losses: tuned.steps.iter().map(|step| step.loss).collect(),
            validation,
            test,
            relative_weight_change: tuned.relative_weight_change,
            layers: self.layers(cx, &tuned.checkpoint)?,
            train_seconds: tuned.seconds,
            run: run_of(cx, &tuned.checkpoint),
            probes: tuned.probes,
            stopped: tuned.stopped,
        };
        Ok((run, answers))
    }

    /// What training did to each layer.
    fn layers(&self, cx: &Context, tuned: &Checkpoint) -> Result<Vec<LayerChange>> {
        let plain = |adapter: &std::path::PathBuf| {
            Ok::<_, Error>((!crate::adapter::read_config(adapter)?.dora).then(|| adapter.clone()))
        };
        if let Some(adapter) = tuned.adapter.as_ref().map(plain).transpose()?.flatten() {
            return weight_change::of_lora(&adapter);
        }
        let before = self.base.load_base(&cx.device)?;
        let tuned = &tuned.clone().in_precision(Some(Precision::F32));
        weight_change::of_models(&before.decoder, &cx.open(tuned)?.decoder)
    }
}

/// The run in the store that made `tuned`, named as commands take it.
fn run_of(cx: &Context, tuned: &Checkpoint) -> String {
    let made = tuned.adapter.as_ref().unwrap_or(&tuned.model);
    let run = made.parent().map(|run| run.strip_prefix(cx.store.root()));
    let parts = run.and_then(std::result::Result::ok).into_iter().flatten();
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// The rate of an arm, by the rule that [`run`] states; of its own rates, each with the score on the validation split with the first seed.
pub(crate) fn chosen(rates: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let better = |best: Option<(f64, f64)>, (rate, validation): (f64, f64)| match best {
        Some((r, v)) if v > validation || (v == validation && r <= rate) => Some((r, v)),
        _ => Some((rate, validation)),
    };
    rates.fold(None, better).map(|(rate, _)| rate)
}

/// The sources of some arms and others, each with whether a rule compares its answers with a reference model's reading.
fn sources<const N: usize>(arms: &[Arm], more: [Source; N]) -> BTreeMap<Source, bool> {
    let mut sources = BTreeMap::from(more.map(|source| (source, false)));
    for arm in arms {
        *sources.entry(arm.source).or_default() |= arm.rule.needs().reference;
    }
    sources
}

/// Works off `count` pieces, each after those that it `needs`, which come before it: on a CPU several at a time, each on one thread; on a GPU one
/// after the other. Results come in order.
pub(crate) fn side_by_side<'n, R: Send>(
    cx: &Context,
    count: usize,
    needs: impl Fn(usize) -> &'n [usize] + Sync,
    work: impl Fn(&Context, usize) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    /// How far a piece is.
    #[derive(Clone, Copy, PartialEq)]
    enum Piece {
        Open,
        Taken,
        Done,
    }
    struct Desk<R> {
        pieces: Vec<Piece>,
        results: Vec<Option<Result<R>>>,
        stop: bool,
    }
    let workers = if cx.device.device.is_cpu() { cx.workers.clamp(1, count.max(1)) } else { 1 };
    let bar = cx.progress.bar("runs", count);
    let results = (0..count).map(|_| None).collect();
    let desk = Mutex::new(Desk { pieces: vec![Piece::Open; count], results, stop: false });
    let changed = Condvar::new();
    let locked = || desk.lock().unwrap_or_else(|broken| broken.into_inner());
    let worker = || {
        // whoever waits for a worker that panics would wait forever
        struct Leaving<F: Fn()>(F);
        impl<F: Fn()> Drop for Leaving<F> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    (self.0)();
                }
            }
        }
        let _leaving = Leaving(|| {
            locked().stop = true;
            changed.notify_all();
        });
        loop {
            let mut now = locked();
            let at = loop {
                let open = |at: &usize| now.pieces[*at] == Piece::Open;
                let ready = |at: &usize| needs(*at).iter().all(|at| now.pieces[*at] == Piece::Done);
                if now.stop || !(0..count).any(|at| open(&at)) {
                    return;
                }
                if let Some(at) = (0..count).filter(open).find(ready) {
                    break at;
                }
                now = changed.wait(now).unwrap_or_else(|broken| broken.into_inner());
            };
            now.pieces[at] = Piece::Taken;
            drop(now);
            let result = work(cx, at);
            let mut now = locked();
            now.stop |= result.is_err();
            now.pieces[at] = Piece::Done;
            now.results[at] = Some(result);
            bar.set(now.pieces.iter().filter(|piece| **piece == Piece::Done).count());
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for _ in 0..workers {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(if workers > 1 { 1 } else { cx.workers })
                .build()
                .map_err(Error::library("starting the threads"))?;
            handles.push(scope.spawn(move || pool.install(worker)));
        }
        for handle in handles {
            if let Err(panic) = handle.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Ok::<(), Error>(())
    })?;
    let desk = desk.into_inner().unwrap_or_else(|broken| broken.into_inner());
    // after a failure the rest is missing; the first failure is what there is to say
    desk.results.into_iter().flatten().collect::<Result<Vec<R>>>()
}
