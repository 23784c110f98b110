use super::Common;
use super::data::{self, first_names, note_unusable};
use super::output::Reads;
use super::template::Template;
use super::terminal::say;
use super::word;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use unforget::card::written_options;
use unforget::chat::Conversation;
use unforget::context::Context;
use unforget::dataset::items_to_jsonl;
use unforget::error::{Error, Result};
use unforget::generate::Sampling;
use unforget::model::Checkpoint;
use unforget::self_output::{Candidate, Candidates, Conditioning, Pool, SelfOutput, Shown};
use unforget::store::{Output, write_atomic, write_atomic_with};
use unforget::task::{Item, rephrase_prompt};
use unforget::tokens::{DateTime, TemplateOptions};
use unforget::{tokens, verbs};

const EXAMPLES: &str = "\
Examples:
  Let the lab's model answer its training questions, 16 times each, and keep the right answer that it finds easiest:
    unforget generate self-output --model lab --items datasets/lab/code/train.jsonl --samples 16 --out own
  Let it put the given answers in its own words:
    unforget generate rephrase --model lab --items datasets/lab/code/train.jsonl --out own-words
  Then train on what was chosen:
    unforget finetune --model lab --data own/train.jsonl --out adapter

An item is one JSON object in a line with id, prompt, truth (the reference answer) and check (how an answer is graded); \
`unforget make-lab FOLDER --benchmarks-only` writes examples of all kinds.

The folder gets pool.jsonl, every answer with its grade and the reason for it, and train.jsonl, the items with the chosen \
answer in the place of the reference. Where no answer is right, an earlier call's two files stay, and the answers are in pool-none-right.jsonl.";

const POOL: &str = "pool.jsonl";
const TRAIN: &str = "train.jsonl";
/// The pool of a call of which nothing was right, beside the items of an earlier one.
const NONE_RIGHT: &str = "pool-none-right.jsonl";

/// `unforget generate`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Generate {
    /// What the model sees: the question, or the question with its reference answer
    kind: Kind,
    /// Model folder in Hugging Face layout, GGUF file, owner/name[@revision] of the hub, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// Adapter in PEFT's format, a folder or owner/name on the hub, put on the model
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// The items: a .jsonl file, or any other form of a data set
    #[arg(long, value_name = "FILE")]
    items: PathBuf,
    /// Skip unusable items, such as one whose reference no answer can match, and report them, instead of stopping
    #[arg(long)]
    skip_unusable: bool,
    /// Only the first N items
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Answers to sample per item [default: 32 for self-output, 1 for rephrase, as in the paper]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Sampling temperature; 0 always takes the most probable token
    #[arg(long, value_name = "T", default_value_t = 0.7, allow_negative_numbers = true)]
    temperature: f64,
    /// Sample from the most probable tokens that together have this probability (nucleus)
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f64,
    /// Sample from this many most probable tokens only
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Seed of the sampling
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Choose the correct answer of lowest perplexity: given the prompt, or of its text alone
    #[arg(
        long,
        value_parser = word::<Conditioning>([
            PossibleValue::new("given_prompt").alias("given-prompt"),
            PossibleValue::new("text_alone").alias("text-alone"),
        ]),
        default_value = "text_alone"
    )]
    lowest: Conditioning,
    #[command(flatten)]
    template: Template,
    /// Folder for pool.jsonl and train.jsonl
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Answers to the question
    SelfOutput,
    /// The reference answer in the model's own words
    Rephrase,
}

/// A line of `pool.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    sample: usize,
    /// `right`, `wrong` (with the form kept), `no_parse`, `truncated` or `empty`.
    label: String,
    /// Right, in its form, and finished.
    accepted: bool,
    /// Stands in `train.jsonl`.
    chosen: bool,
    /// The date that the chat template wrote, if it writes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    template_date: Option<DateTime>,
    /// Variables that the chat template was given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    template_args: &'a BTreeMap<String, serde_json::Value>,
    #[serde(flatten)]
    candidate: &'a Candidate,
}

/// What is printed.
#[derive(Serialize)]
struct Counts<'a> {
    asked: usize,
    kept: usize,
    /// Ids without a right answer.
    dropped: Vec<&'a str>,
    /// Ids whose question leaves no room in the model's context.
    too_long: Vec<&'a str>,
    /// Rows that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unusable: Vec<&'a str>,
    sampled: usize,
    /// Share of the sampled answers that are right.
    accepted: Option<f64>,
    out: &'a PathBuf,
}

impl Generate {
    pub fn run(&self, common: &Common) -> Result<()> {
        let config = self.config()?;
        if self.limit == Some(0) {
            return Err(Error::invalid("--limit", "must be at least 1"));
        }
        let out = Output::within("--out", &self.out, &[POOL, TRAIN, NONE_RIGHT]);
        let reads = Reads::new(common)?.model(&self.model).data("--items", &self.items);
        let reads = reads.given("--adapter", self.adapter.as_ref());
        reads.check(std::slice::from_ref(&out))?;
        let cx = common.context()?;
        let mut checkpoint = self.template.checkpoint(&cx, &self.model)?;
        checkpoint.adapter = super::adapter_folder(&cx, self.adapter.as_deref())?;
        let (mut items, unusable) = data::items(&self.items, self.skip_unusable)?;
        note_unusable(&cx, &unusable);
        items.truncate(self.limit.unwrap_or(usize::MAX));
        let shown = match self.kind {
            Kind::SelfOutput => Shown::Question,
            Kind::Rephrase => Shown::QuestionAndReference,
        };
        let (items, long) = fitting(&cx, &checkpoint, items, shown)?;
        if items.is_empty() {
            return Err(Error::file(
                &self.items,
                "no question leaves room for an answer in the model's context",
            ));
        }
        let label = self.items.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pool = match self.kind {
            Kind::SelfOutput => verbs::self_output(&cx, &checkpoint, &label, &items, &config),
            Kind::Rephrase => verbs::rephrase(&cx, &checkpoint, &label, &items, &config),
        }?;
        let chosen = pool.chosen(&items, config.lowest, Candidates::Correct);
        let template = written_options(cx.tokenizer(&checkpoint)?.template());
        let written = out.write(|| self.write(&pool, &chosen, config.lowest, &template))?;
        let kept = |id: &str| chosen.iter().any(|item| item.id == id);
        let counts = Counts {
            asked: items.len() + long.len(),
            kept: chosen.len(),
            dropped: items.iter().map(|item| item.id.as_str()).filter(|id| !kept(id)).collect(),
            too_long: long.iter().map(String::as_str).collect(),
            unusable: unusable.iter().map(|of| of.id.as_str()).collect(),
            sampled: pool.sampled(),
            accepted: pool.accepted(),
            out: &self.out,
        };
        self.print(&counts)?;
        if chosen.is_empty() {
            let problem = format!(
                "none of the {} sampled answers is right, so there is nothing to train on; {written} says why for each",
                counts.sampled
            );
            return Err(Error::file(&self.out, problem));
        }
        Ok(())
    }

    fn config(&self) -> Result<SelfOutput> {
        let paper = match self.kind {
            Kind::SelfOutput => SelfOutput::paper(),
            Kind::Rephrase => SelfOutput::paper_rephrase(),
        };
        let config = SelfOutput {
            samples: self.samples.unwrap_or(paper.samples),
            sampling: Sampling {
                temperature: self.temperature,
                top_p: Some(self.top_p),
                top_k: self.top_k,
                max_new_tokens: self.max_new_tokens,
                seed: self.seed,
            },
            lowest: self.lowest,
        };
        if config.samples == 0 {
            return Err(Error::invalid("samples", "must be at least 1"));
        }
        config.sampling.check()?;
        Ok(config)
    }

    /// Writes pool and chosen items; gives the name of the pool's file.
    fn write(
        &self,
        pool: &Pool,
        chosen: &[Item],
        lowest: Conditioning,
        template: &TemplateOptions,
    ) -> Result<&'static str> {
        let train = self.out.join(TRAIN);
        // an earlier call's items stay together with their own pool
        let name = if chosen.is_empty() && train.exists() { NONE_RIGHT } else { POOL };
        let path = self.out.join(name);
        write_atomic_with(&path, |file| {
            for item in &pool.items {
                let best = item.chosen(lowest, Candidates::Correct);
                for (sample, candidate) in item.candidates.iter().enumerate() {
                    let line = Line {
                        id: &item.id,
                        sample,
                        label: label(candidate),
                        accepted: candidate.accepted(),
                        chosen: best.is_some_and(|best| std::ptr::eq(best, candidate)),
                        template_date: template.date,
                        template_args: &template.args,
                        candidate,
                    };
                    serde_json::to_writer(&mut *file, &line)
                        .map_err(Error::library("writing the pool"))?;
                    file.write_all(b"\n").map_err(Error::io("writing", &path))?;
                }
            }
            Ok(())
        })?;
        if !chosen.is_empty() {
            write_atomic(&train, items_to_jsonl(chosen)?.as_bytes())?;
        }
        Ok(name)
    }

    fn print(&self, counts: &Counts) -> Result<()> {
        if self.json {
            return super::print_json(counts);
        }
        let named = |ids: &[&str]| match ids.is_empty() {
            true => String::new(),
            false => format!("  {}", first_names(ids)),
        };
        say!("asked      {:>8}", counts.asked);
        say!("kept       {:>8}", counts.kept);
        say!("dropped    {:>8}{}", counts.dropped.len(), named(&counts.dropped));
        if !counts.too_long.is_empty() {
            say!("too long   {:>8}{}", counts.too_long.len(), named(&counts.too_long));
        }
        if !counts.unusable.is_empty() {
            say!("unusable   {:>8}{}", counts.unusable.len(), named(&counts.unusable));
        }
        say!("sampled    {:>8}", counts.sampled);
        if let Some(accepted) = counts.accepted {
            say!("accepted   {:>8.1} %", 100.0 * accepted);
        }
        say!("written to {}", self.out.display());
        Ok(())
    }
}

fn label(candidate: &Candidate) -> String {
    use unforget::task::Form;
    let label = match candidate.score.form {
        Form::Kept if candidate.accepted() => "right",
        Form::Kept if candidate.truncated => "truncated",
        Form::Kept => "wrong",
        Form::NoParse => "no_parse",
        Form::Truncated => "truncated",
        Form::Empty => "empty",
    };
    label.to_string()
}

/// Items whose question leaves room for an answer, and the ids of the others.
fn fitting(
    cx: &Context,
    checkpoint: &Checkpoint,
    items: Vec<Item>,
    shown: Shown,
) -> Result<(Vec<Item>, Vec<String>)> {
    let tokenizer = cx.tokenizer(checkpoint)?;
    let context = checkpoint.config()?.max_position_embeddings;
    let (mut fitting, mut long) = (Vec::new(), Vec::new());
    for item in items {
        let question = match shown {
            Shown::Question => item.prompt.clone(),
            Shown::QuestionAndReference => rephrase_prompt(&item.prompt, &item.truth),
        };
        let prompt = tokens::prompt(&tokenizer, &Conversation::question(question).messages)?;
        match prompt.ids.len() < context {
            true => fitting.push(item),
            false => long.push(item.id),
        }
    }
    if !long.is_empty() {
        let names: Vec<&str> = long.iter().map(String::as_str).collect();
        cx.progress.note(&format!(
            "{} questions leave no room in the context of {context} tokens and are left out: {}",
            long.len(),
            first_names(&names)
        ));
    }
    Ok((fitting, long))
}
