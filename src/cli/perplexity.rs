use super::Common;
use super::data::{Asked, Reference, WhenTooLong, check_offline, weighting};
use super::output::Reads;
use super::template::Template;
use super::terminal::say;
use clap::Args;
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use unforget::dataset::{files, read_items};
use unforget::error::Result;
use unforget::ledger::{self, Origin};
use unforget::masked::Masked;
use unforget::perplexity::{Quantiles, Summary};
use unforget::scored::Scored;
use unforget::table::{NOTHING, significant};
use unforget::task::Item;
use unforget::verbs;

const EXAMPLES: &str = "\
Examples:
  Score the lab's code answers, as people wrote them:
    unforget perplexity --model lab --data datasets/lab/code/train.jsonl
  Score what Hugging Face datasets saved, under a model of the hub:
    unforget perplexity --model HuggingFaceTB/SmolLM2-135M-Instruct --data my-data:train
  Keep one row for each token, with what a threshold of 2.5 would mask (weight 0):
    unforget perplexity --model lab --data datasets/lab/code/train.jsonl --threshold 2.5 --out tokens.parquet
  The same as a folder of files, for large data; `unforget ledger` queries either:
    unforget perplexity --model lab --data datasets/lab/code/train.jsonl --out tokens

A data set is a file (.jsonl, .json, .csv, .tsv, .parquet, .arrow, also .gz), or a folder: one that holds such a file or its \
shards, or one that Hugging Face datasets saved. Of several splits one is named after a colon, as in my-data:train. Rows have \
the columns messages or conversations (role and content, or from and value); prompt and completion; instruction and output; \
question and answer; problem and solution; text and code; those of a benchmark's items (prompt and truth); text alone, which is scored as a document, as a \
.txt file is; or input_ids, with labels or weights. Messages keep what else they have (tool_calls, reasoning_content), and `weight`, `train` or `loss` says of \
each how much it is learned.";

/// `unforget perplexity`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Perplexity {
    /// Model folder in Hugging Face layout, GGUF file, owner/name[@revision] of the hub, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// Adapter in PEFT's format, a folder or owner/name on the hub, put on the model
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// The data set: a file (.jsonl, .json, .csv, .tsv, .parquet, .arrow, also .gz), or a folder, with :SPLIT where it has several
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Only the first N examples
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// What to do with examples longer than the model's context; truncate cuts off their end
    #[arg(long, value_enum, default_value = "refuse")]
    too_long: WhenTooLong,
    /// Skip unusable rows, such as an empty answer, and report them, instead of stopping
    #[arg(long)]
    skip_unusable: bool,
    /// Give tokens of a perplexity above T the weight 0 in the file of tokens
    #[arg(long, value_name = "T", allow_negative_numbers = true, requires = "out")]
    threshold: Option<f64>,
    /// The weights in the file of tokens, as an expression or a published method: see `unforget weights`
    #[arg(long, value_name = "EXPR", requires = "out", conflicts_with = "threshold")]
    weights: Option<String>,
    /// Seed of random rules
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    template: Template,
    /// Write one row for each token: to this Parquet file if the name ends with .parquet, else to a folder of files of a million rows
    #[arg(long, value_name = "LEDGER")]
    out: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Ids of examples that are longer than the context.
    too_long: Vec<&'a str>,
    /// Ids of rows that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unusable: Vec<&'a str>,
    /// The file of tokens.
    out: Option<&'a PathBuf>,
}

impl Perplexity {
    pub fn run(&self, common: &Common) -> Result<()> {
        let weighting = weighting(self.threshold, None, self.weights.as_deref())?;
        if let Some(out) = &self.out {
            let reads = Reads::new(common)?.model(&self.model).data("--data", &self.data);
            let reads = reads.given("--adapter", self.adapter.as_ref());
            self.reference.read(reads).check(&[ledger::output("--out", out)])?;
        }
        let cx = common.context()?;
        let mut checkpoint = self.template.checkpoint(&cx, &self.model)?;
        checkpoint.adapter = super::adapter_folder(&cx, self.adapter.as_deref())?;
        let reference = self.reference.checkpoint(&cx, &checkpoint)?;
        check_offline(&weighting, reference.as_ref())?;
        let asked = Asked {
            path: &self.data,
            limit: self.limit,
            max_length: None,
            too_long: self.too_long,
            skip_unusable: self.skip_unusable,
        };
        let data = verbs::score_rendered(&cx, &checkpoint, asked.read(&cx, &checkpoint)?)?;
        let summary = data.summary(&verbs::text_alone(&cx, &checkpoint, &data)?);
        let data = match (&self.out, &reference) {
            (Some(_), Some(reference)) => verbs::score_against(&cx, reference, &checkpoint, data)?,
            _ => data,
        };
        let masked = Masked::new(Arc::new(data), &weighting, self.seed)?;
        let data = &masked.scored;
        if let Some(out) = &self.out {
            let rule =
                (self.threshold.is_some() || self.weights.is_some()).then(|| weighting.to_string());
            let data_files = files(&self.data)?;
            let origin = Origin::of(
                &cx,
                &checkpoint,
                reference.as_ref(),
                &data_files,
                &data.sequences,
                rule,
            )?;
            let style = style(&self.data, data);
            let rows = data.rows(&style, &masked.weights);
            ledger::write(out, &origin, |writer| writer.add(&rows))?;
        }
        if self.json {
            let too_long = data.too_long.iter().map(|long| long.id.as_str()).collect();
            let unusable = data.unusable.iter().map(|of| of.id.as_str()).collect();
            let out = self.out.as_ref();
            let printed = Printed { summary: &summary, too_long, unusable, out };
            return super::print_json(&printed);
        }
        print_summary(&summary, data, asked.context(&checkpoint)?);
        if let Some(out) = &self.out {
            say!("one row for each token: {}", out.display());
        }
        Ok(())
    }
}

/// Which tokens show the writer's own style, where the data are items that say so; else nothing.
fn style(path: &std::path::Path, data: &Scored) -> Vec<Vec<bool>> {
    let items = read_items(path).unwrap_or_default();
    if items.iter().all(|item| item.style.is_empty()) {
        return Vec::new();
    }
    let items: HashMap<&str, &Item> = items.iter().map(|item| (item.id.as_str(), item)).collect();
    let marked = |sequence: &unforget::tokens::Sequence| match items.get(sequence.id.as_str()) {
        Some(item) => sequence.marked(&item.truth, &item.style),
        None => vec![false; sequence.len()],
    };
    data.sequences.iter().map(marked).collect()
}

fn print_summary(summary: &Summary, data: &Scored, context: usize) {
    let number =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.3}"));
    say!("examples                             {:>10}", summary.examples);
    if !data.too_long.is_empty() {
        say!("  longer than {:>5} tokens           {:>10}", context, data.too_long.len());
    }
    if !data.unusable.is_empty() {
        say!("  cannot be used                     {:>10}", data.unusable.len());
    }
    say!("tokens                               {:>10}", summary.tokens);
    say!("completion tokens                    {:>10}", summary.completion_tokens);
    say!("perplexity over examples               median        5 %       95 %       mean");
    for (what, spread) in [
        ("of the answer given its prompt", summary.spread_given_prompt),
        ("of the answer's text alone", summary.spread_of_text_alone),
    ] {
        let of = |value: fn(Quantiles) -> f64| {
            spread.map_or(NOTHING.into(), |of| significant(value(of)))
        };
        let made_by_few = spread.filter(|spread| !spread.mean_is_typical());
        let mean = match made_by_few {
            Some(_) => "made by few".to_owned(),
            None => of(|of| of.mean),
        };
        let (median, low, high) = (of(|of| of.median), of(|of| of.q05), of(|of| of.q95));
        say!("  {what:<32} {median:>10} {low:>10} {high:>10} {mean:>10}");
    }
    say!("perplexity per completion token      {:>10}", number(summary.perplexity_per_token));
    say!("completion tokens of a perplexity above");
    for above in &summary.above {
        say!("  {:<8} {:>35.2} %", above.perplexity, 100.0 * above.share);
    }
}
