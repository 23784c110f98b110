use super::data::{
    Asked, Reference, WhenTooLong, check_asked, check_known, check_scored, scored_for, weighting,
};
use super::output::Reads;
use super::replace::{Replace, model_in_a_word};
use super::template::Template;
use super::terminal::say;
use super::watching::Watching;
use super::{Common, word};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unforget::adapter::LoraConfig;
use unforget::context::Context;
use unforget::error::{Error, Result};
use unforget::ledger::{Ledger, Origin};
use unforget::masked::{Masked, Prepared};
use unforget::model::Checkpoint;
use unforget::ops::KlDirection;
use unforget::optimizer::{AdamWConfig, Schedule};
use unforget::probe::{Row, Stopped};
use unforget::provenance::{DataDigest, MaskDigest};
use unforget::report;
use unforget::select::Weighting;
use unforget::store::{Output, bytes_hash};
use unforget::train::{Method, Normalizer, Objective, TrainConfig};
use unforget::verbs::{self, Training, Tuned};

const EXAMPLES: &str = "\
Examples:
  Learn only the tokens that the lab's model finds plausible, as the paper does:
    unforget finetune --model lab --data datasets/lab/code/train.jsonl --threshold 2.5 --out adapter
  The same number of tokens left out, but drawn at random, to compare with:
    unforget finetune --model lab --data datasets/lab/code/train.jsonl --mask random:2.5 --out adapter-random
  Any other rule of `unforget weights`: here the paper's without the token that ends the turn:
    unforget finetune --model lab --data datasets/lab/code/train.jsonl --weights 'stm(2.5) & !class(end_of_turn)' --out adapter-ends
  Scored once, perhaps on another machine, and learned by several rules:
    unforget perplexity --model lab --data datasets/lab/code/train.jsonl --out code-tokens
    unforget finetune --model lab --data datasets/lab/code/train.jsonl --tokens code-tokens --threshold 2.5 --out adapter-2.5
  ASFT, that is DFT's gradient and a pull back to the base model:
    unforget finetune --model lab --data datasets/lab/code/train.jsonl --objective probability:1 --kl 0.1 --out adapter-asft
  Watch what is forgotten, and end where more than 4 points are lost on arithmetic or on SQL:
    unforget finetune --model lab --data datasets/lab/code/train.jsonl --target-probe code=lab --probe word=lab --probe sql=lab \
      --probe-every 10 --forget-at-most 4 --when-forgotten roll-back --log log --out adapter-watched
  Every token, three epochs at a rate of 1e-4:
    unforget finetune --model my-model --data my-data.jsonl --num-epochs 3 --learning-rate 1e-4 --out adapter

See `unforget perplexity --help` for what a data set can be. The adapter is in PEFT's format. The same call resumes what was stopped. In a folder that holds another call's adapter nothing is replaced \
unless --replace says so.";

/// `unforget finetune`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct FinetuneModel {
    /// Model folder in Hugging Face layout, GGUF file, owner/name[@revision] of the hub, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// The data set: a file (.jsonl, .json, .csv, .tsv, .parquet, .arrow, also .gz), or a folder, with :SPLIT where it has several
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder for the adapter, or for the model with --full
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    replace: Replace,
    /// Only the first N examples
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Learn only tokens whose perplexity under the model is at most T
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        conflicts_with = "mask",
        help_heading = "Tokens to learn"
    )]
    threshold: Option<f64>,
    /// Mask as many tokens as --threshold T would, but others: at random (random:T), or those of lowest perplexity
    /// (lowest:T)
    #[arg(long, value_name = "KIND:T", help_heading = "Tokens to learn")]
    mask: Option<String>,
    /// How much each token weighs, as an expression or a published method: see `unforget weights`
    #[arg(
        long,
        value_name = "EXPR",
        conflicts_with_all = ["threshold", "mask"],
        help_heading = "Tokens to learn"
    )]
    weights: Option<String>,
    /// Take token perplexities from this ledger of the same data and model, which `unforget perplexity --out` wrote, instead of scoring again; it
    /// may hold a reference model's, too
    #[arg(
        long,
        value_name = "LEDGER",
        conflicts_with_all = ["reference", "reference_adapter"],
        help_heading = "Tokens to learn"
    )]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    template: Template,
    /// Longest example in tokens [default: the model's context]
    #[arg(long, value_name = "N", help_heading = "Tokens to learn")]
    max_length: Option<usize>,
    /// What to do with longer examples; truncate cuts off their end
    #[arg(long, value_enum, default_value = "refuse", help_heading = "Tokens to learn")]
    too_long: WhenTooLong,
    /// Skip unusable rows, such as an empty answer, and report them, instead of stopping
    #[arg(long, help_heading = "Tokens to learn")]
    skip_unusable: bool,

    /// Default values: the paper's (rate 2e-5, linear, batch 4, dropout 0.05), or those for the lab's
    /// small model (rate 1e-3, cosine, batch 16) [default: lab for --model lab, else paper]
    #[arg(long, value_parser = ["paper", "lab"], help_heading = "Training")]
    preset: Option<String>,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, help_heading = "Training")]
    learning_rate: Option<f64>,
    /// Passes over the data
    #[arg(long, value_name = "N", help_heading = "Training")]
    num_epochs: Option<usize>,
    /// End after N optimizer steps, over which the schedule goes, however many passes they are
    #[arg(long, value_name = "N", conflicts_with = "num_epochs", help_heading = "Training")]
    max_steps: Option<usize>,
    /// Examples of one optimizer step
    #[arg(long, value_name = "N", help_heading = "Training")]
    batch_size: Option<usize>,
    /// How the rate changes over the steps
    #[arg(long, value_parser = word::<Schedule>(["constant", "linear", "cosine"]), help_heading = "Training")]
    schedule: Option<Schedule>,
    /// Steps over which the rate rises from 0
    #[arg(long, value_name = "N", help_heading = "Training")]
    warmup_steps: Option<usize>,
    /// Divisor of a step's loss: learned tokens, all completion tokens, the sum of the weights, or examples. Overrides
    /// --weights [default: as --weights says or its method was published, else learned tokens]
    #[arg(long, value_parser = word::<Normalizer>(Normalizer::NAMES.map(|(name, _)| name)), help_heading = "Training")]
    normalizer: Option<Normalizer>,
    /// Largest norm of a step's gradient
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, help_heading = "Training")]
    max_grad_norm: Option<f64>,
    /// Do not clip gradients
    #[arg(long, conflicts_with = "max_grad_norm", help_heading = "Training")]
    no_max_grad_norm: bool,
    /// Decoupled weight decay, multiplied by the learning rate
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    weight_decay: Option<f64>,
    /// Seed of the adapter's start, the order of examples, dropout and random masks
    #[arg(long, value_name = "N", help_heading = "Training")]
    seed: Option<u64>,
    /// Recompute blocks in the backward pass instead of storing them: less memory, more time, same bits
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        default_missing_value = "true",
        help_heading = "Training"
    )]
    gradient_checkpointing: Option<bool>,

    /// Loss of each learned token of probability p: surprisal (-ln p), probability:Q ((1 - p^Q) / Q), or
    /// psft:EPSILON[:STEPS] (a token pulls until p has grown by 1 + EPSILON over the base model's, or over that of the last multiple of
    /// STEPS)
    #[arg(long, value_name = "NAME", help_heading = "Staying close to the base")]
    objective: Option<Objective>,
    /// Weight of the mean divergence of the next-token distributions from the base model's, over the learned tokens
    #[arg(
        long,
        value_name = "BETA",
        allow_negative_numbers = true,
        help_heading = "Staying close to the base"
    )]
    kl: Option<f64>,
    /// Compute the divergence over the base's N most probable tokens, with all others as one [default: the whole vocabulary]
    #[arg(long, value_name = "N", requires = "kl", help_heading = "Staying close to the base")]
    kl_top: Option<usize>,
    /// KL(base || model), or KL(model || base) [default: forward]
    #[arg(
        long,
        value_parser = word::<KlDirection>(["forward", "reverse"]),
        requires = "kl",
        help_heading = "Staying close to the base"
    )]
    kl_direction: Option<KlDirection>,
    /// L2-SP: LAMBDA / 2 times the squared distance of the weights from the base's
    #[arg(
        long,
        value_name = "LAMBDA",
        allow_negative_numbers = true,
        help_heading = "Staying close to the base"
    )]
    l2_sp: Option<f64>,

    #[command(flatten)]
    watching: Watching,

    /// Rank of the adapter
    #[arg(long, value_name = "N", help_heading = "Adapter")]
    rank: Option<usize>,
    /// Numerator of the adapter's scale alpha / rank
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Adapter")]
    alpha: Option<f64>,
    /// Dropout on the adapter's input while training
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help_heading = "Adapter")]
    dropout: Option<f64>,
    /// DoRA: the adapter turns the rows of a weight, and their lengths are trained separately
    #[arg(long, help_heading = "Adapter")]
    dora: bool,
    /// Train every weight instead of an adapter
    #[arg(long, conflicts_with_all = ["rank", "alpha", "dropout", "dora"], help_heading = "Adapter")]
    full: bool,

    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Printed<'a> {
    examples: usize,
    /// Ids of examples of which every token is masked.
    left_out: &'a [String],
    /// Ids of examples that are longer than the context.
    too_long: Vec<&'a str>,
    /// Ids of rows that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unusable: Vec<&'a str>,
    completion_tokens: usize,
    learned_tokens: usize,
    /// The rule by which tokens are weighed.
    weights: &'a Weighting,
    steps: usize,
    loss_first: Option<f64>,
    loss_last: Option<f64>,
    losses: Vec<f64>,
    tokens_per_second: Option<f64>,
    seconds: f64,
    relative_weight_change: f64,
    /// What is wrong with the training.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "<[Row]>::is_empty")]
    probes: &'a [Row],
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<&'a Stopped>,
    config: &'a TrainConfig,
    out: &'a Path,
}

impl FinetuneModel {
    pub fn run(&self, common: &Common) -> Result<()> {
        let weights = self.weights.as_deref();
        let weighting = weighting(self.threshold, self.mask.as_deref(), weights)?;
        let config = self.config();
        config.check()?;
        let kind = if self.full { "model" } else { "adapter" };
        let outputs = [Some(Output::folder("--out", &self.out, kind)), self.watching.log()];
        let outputs: Vec<Output> = outputs.into_iter().flatten().collect();
        let reads = Reads::new(common)?.model(&self.model).data("--data", &self.data);
        let reads = self.reference.read(reads).given("--tokens", self.tokens.as_ref());
        self.watching.read(reads).check(&outputs)?;
        let cx = common.context()?;
        let checkpoint = self.template.checkpoint(&cx, &self.model)?;
        let reference = self.reference.checkpoint(&cx, &checkpoint)?;
        check_asked(&weighting, reference.as_ref())?;
        let ledger = self.tokens.as_ref().map(|path| Ledger::open(&[path]));
        let ledger = ledger.transpose()?;
        match &ledger {
            Some(ledger) => check_scored(&weighting, ledger)?,
            None => check_known(&weighting, reference.as_ref())?,
        }
        let asked = Asked {
            path: &self.data,
            limit: self.limit,
            max_length: self.max_length,
            too_long: self.too_long,
            skip_unusable: self.skip_unusable,
        };
        let data = asked.read(&cx, &checkpoint)?;
        let data = match &ledger {
            Some(ledger) => {
                let origin = Origin::of(&cx, &checkpoint, None, &[], &data.sequences, None)?;
                let signals = ledger.signals_of(&origin, &data.sequences)?;
                data.with_signals(signals)
            }
            None => scored_for(&cx, &checkpoint, data, &weighting, reference.as_ref())?,
        };
        let masked = Masked::new(Arc::new(data), &weighting, config.seed)?;
        let data = &masked.scored;
        let prepared = masked.prepare(&config)?;
        let watch = self.watching.watch(&cx, &checkpoint, data, config.seed, self.skip_unusable)?;
        let training = Training {
            watch: watch.as_ref(),
            log: self.watching.log.as_deref(),
            ..Training::of(&prepared)
        };
        let (out, log) = (&outputs[0], outputs.get(1));
        let made = self.made(&cx, &checkpoint, &prepared, &training)?;
        self.replace.check(out, &made)?;
        let train = || {
            let tuned = verbs::train(&cx, &checkpoint, &data.name, &training)?;
            if let Some(folder) = &self.watching.log {
                let title = format!("{} on {}", weighting, data.name);
                report::write_probes(&title, &tuned.probes, folder)?;
            }
            Ok(tuned)
        };
        let tuned = log.map_or_else(train, |log| log.write(train))?;
        let from = tuned.checkpoint.adapter.as_ref().unwrap_or(&tuned.checkpoint.model);
        out.make_from(Some(&made), |folder| copy_files(from, folder))?;
        self.print(&tuned, &prepared)
    }

    /// From what the adapter or model is made.
    fn made(
        &self,
        cx: &Context,
        checkpoint: &Checkpoint,
        prepared: &Prepared<'_>,
        training: &Training<'_>,
    ) -> Result<Value> {
        let watch = training.watch.map(serde_json::to_vec).transpose();
        let watch = watch.map_err(Error::library("naming what is watched"))?;
        Ok(json!({
            "model": model_in_a_word(cx, checkpoint)?,
            "data": DataDigest::of_training(training.data),
            "weights": MaskDigest::of(training.data, Some(prepared.weights().to_string())),
            "config": prepared.config,
            "precision": cx.precision_of(checkpoint).name(),
            "watched": watch.map(|bytes| bytes_hash(&bytes)),
        }))
    }

    fn config(&self) -> TrainConfig {
        let (preset, lora) = match self.preset.as_ref().unwrap_or(&self.model).as_str() {
            "lab" => (TrainConfig::lab(), LoraConfig::lab()),
            _ => (TrainConfig::paper(), LoraConfig::paper()),
        };
        TrainConfig {
            method: match self.full {
                true => Method::Full,
                false => Method::Lora(LoraConfig {
                    rank: self.rank.unwrap_or(lora.rank),
                    alpha: self.alpha.unwrap_or(lora.alpha),
                    dropout: self.dropout.unwrap_or(lora.dropout),
                    dora: self.dora,
                    ..lora
                }),
            },
            learning_rate: self.learning_rate.unwrap_or(preset.learning_rate),
            schedule: self.schedule.unwrap_or(preset.schedule),
            warmup_steps: self.warmup_steps.unwrap_or(preset.warmup_steps),
            num_epochs: self.num_epochs.unwrap_or(preset.num_epochs),
            max_steps: self.max_steps.or(preset.max_steps),
            batch_size: self.batch_size.unwrap_or(preset.batch_size),
            normalizer: self.normalizer.or(preset.normalizer),
            max_grad_norm: if self.no_max_grad_norm {
                None
            } else {
                self.max_grad_norm.or(preset.max_grad_norm)
            },
            adamw: AdamWConfig {
                weight_decay: self.weight_decay.unwrap_or(preset.adamw.weight_decay),
                ..preset.adamw
            },
            objective: self.objective.unwrap_or(preset.objective),
            kl: self.kl.or(preset.kl),
            kl_top: self.kl_top.or(preset.kl_top),
            kl_direction: self.kl_direction.unwrap_or(preset.kl_direction),
            l2_sp: self.l2_sp.or(preset.l2_sp),
            gradient_checkpointing: self
                .gradient_checkpointing
                .unwrap_or(preset.gradient_checkpointing),
            seed: self.seed.unwrap_or(preset.seed),
            ..preset
        }
    }

    fn print(&self, tuned: &Tuned, prepared: &Prepared<'_>) -> Result<()> {
        let (data, config, counts) = (prepared.scored(), &prepared.config, prepared.counts()?);
        let steps = &tuned.steps;
        let tokens: usize = steps.iter().map(|step| step.tokens).sum();
        let printed = Printed {
            examples: data.sequences.len() - tuned.left_out.len(),
            left_out: &tuned.left_out,
            too_long: data.too_long.iter().map(|long| long.id.as_str()).collect(),
            unusable: data.unusable.iter().map(|of| of.id.as_str()).collect(),
            completion_tokens: counts.completion,
            learned_tokens: counts.learned,
            weights: prepared.weights(),
            steps: steps.len(),
            loss_first: steps.first().map(|step| step.loss),
            loss_last: steps.last().map(|step| step.loss),
            losses: steps.iter().map(|step| step.loss).collect(),
            tokens_per_second: (tuned.seconds > 0.0).then(|| tokens as f64 / tuned.seconds),
            seconds: tuned.seconds,
            relative_weight_change: tuned.relative_weight_change,
            warnings: tuned.diverged().into_iter().collect(),
            probes: &tuned.probes,
            stopped: tuned.stopped.as_ref(),
            config,
            out: &self.out,
        };
        if self.json {
            return super::print_json(&printed);
        }
        say!("examples                 {:>10}", printed.examples);
        say!("  every token masked     {:>10}", printed.left_out.len());
        say!("  too long               {:>10}", printed.too_long.len());
        if !printed.unusable.is_empty() {
            say!("  cannot be used         {:>10}", printed.unusable.len());
        }
        say!("completion tokens        {:>10}", printed.completion_tokens);
        say!(
            "  learned                {:>10}  {:.1} %",
            printed.learned_tokens,
            100.0 * (1.0 - counts.masked_share())
        );
        say!("steps                    {:>10}", printed.steps);
        if let (Some(first), Some(last)) = (printed.loss_first, printed.loss_last) {
            say!("loss, first step         {first:>10.4}");
            say!("loss, last step          {last:>10.4}");
        }
        if let Some(speed) = printed.tokens_per_second {
            say!("tokens per second        {speed:>10.0}");
        }
        say!("relative weight change   {:>10.5}", printed.relative_weight_change);
        super::watching::print(&tuned.probes, tuned.stopped.as_ref());
        say!("{} {}", if self.full { "model in" } else { "adapter in" }, self.out.display());
        Ok(())
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).map_err(Error::io("listing", from))? {
        let entry = entry.map_err(Error::io("listing", from))?;
        let place = to.join(entry.file_name());
        // a model may bring a folder of further chat templates
        if entry.path().is_dir() {
            std::fs::create_dir(&place).map_err(Error::io("making", &place))?;
            copy_files(&entry.path(), &place)?;
            continue;
        }
        std::fs::copy(entry.path(), &place).map_err(Error::io("writing", &place))?;
    }
    Ok(())
}
