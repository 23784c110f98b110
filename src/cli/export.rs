use super::Common;
use super::data::{
    Asked, Reference, WhenTooLong, check_asked, check_offline, first_names, scored_for, weighting,
};
use super::output::Reads;
use super::replace::{Replace, model_in_a_word};
use super::template::Template;
use super::terminal::{print_lines, say};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unforget::adapter::PeftAdapter;
use unforget::context::Context;
use unforget::dataset::Example;
use unforget::error::{Error, Result};
use unforget::export;
use unforget::masked::Masked;
use unforget::model::Checkpoint;
use unforget::store::{Output, write_atomic, write_atomic_with};
use unforget::table::{Table, parquet};

const EXAMPLES: &str = "\
Examples:
  A model that transformers loads without PEFT:
    unforget export merged --model my-model --adapter adapter --out merged
  A DoRA for a server that knows only plain LoRA; what is lost is printed for each layer:
    unforget export lora --model my-model --adapter dora --rank 64 --out lora
  The tokens that the model finds plausible, as labels that TRL, Axolotl and transformers' Trainer read:
    unforget export masks --model my-model --data my-data.jsonl --threshold 2.5 --out masks.jsonl
  The same for ms-swift:
    unforget export masks --model my-model --data my-data.jsonl --threshold 2.5 --form swift --out messages.jsonl";

/// `unforget export`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The model with its adapter folded in, as a folder in Hugging Face layout
    Merged(Merged),
    /// Any adapter, DoRA too, as a plain LoRA in PEFT's format
    Lora(Lora),
    /// A data set with the tokens to learn marked
    Masks(Box<Masks>),
}

#[derive(Args)]
struct Merged {
    /// Model folder in Hugging Face layout, GGUF file, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// Adapter in PEFT's format, a folder or owner/name on the hub
    #[arg(long, value_name = "FOLDER")]
    adapter: PathBuf,
    /// Folder for the merged model
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    replace: Replace,
    /// Largest file of weights, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = export::SHARD)]
    shard: u64,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Lora {
    /// Model folder in Hugging Face layout, GGUF file, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// Adapter in PEFT's format, a folder or owner/name on the hub
    #[arg(long, value_name = "FOLDER")]
    adapter: PathBuf,
    /// Folder for the plain LoRA
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    replace: Replace,
    /// Rank of the plain LoRA; a larger one loses less [default: the adapter's own]
    #[arg(long, value_name = "N")]
    rank: Option<usize>,
    /// Print the errors as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Masks {
    /// Model folder in Hugging Face layout, GGUF file, or `lab`: its template, its tokens and, with a threshold, its perplexities
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// Adapter in PEFT's format, a folder or owner/name on the hub, put on the model for scoring
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// The data set: a .jsonl file, or a folder with one
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// File to write: .jsonl, or .parquet for labels
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value = "labels")]
    form: Form,
    /// Only the first N examples
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Learn only tokens whose perplexity under the model is at most T [default: the whole answer]
    #[arg(long, value_name = "T", allow_negative_numbers = true, conflicts_with = "mask")]
    threshold: Option<f64>,
    /// Leave as many tokens out as --threshold T would, but others: random:T or lowest:T
    #[arg(long, value_name = "KIND:T")]
    mask: Option<String>,
    /// Which tokens are learned, as an expression or a published method whose weights are 0 and 1: see `unforget weights`
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["threshold", "mask"])]
    weights: Option<String>,
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    template: Template,
    /// Seed of random masks
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Longest example in tokens [default: the model's context]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// What to do with longer examples; truncate cuts off their end
    #[arg(long, value_enum, default_value = "refuse")]
    too_long: WhenTooLong,
    /// Skip unusable rows, such as an empty answer, and report them, instead of stopping
    #[arg(long)]
    skip_unusable: bool,
    /// Skip and report examples whose pieces a trainer would split into other tokens (segments, swift), instead of stopping
    #[arg(long)]
    leave_out: bool,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// input_ids, attention_mask, labels: TRL, Axolotl, transformers' Trainer
    Labels,
    /// Axolotl's input_output: segments of text with a label each
    Segments,
    /// ms-swift's messages: pieces of an answer with a loss each
    Swift,
}

impl Export {
    pub fn run(&self, common: &Common) -> Result<()> {
        match &self.what {
            What::Merged(verb) => verb.run(common),
            What::Lora(verb) => verb.run(common),
            What::Masks(verb) => verb.run(common),
        }
    }
}

/// The folder that is written, which takes the place of neither the model nor the adapter.
fn folder(common: &Common, model: &str, adapter: &Path, out: &Path, kind: &str) -> Result<Output> {
    let out = Output::folder("--out", out, kind);
    let reads = Reads::new(common)?.model(model).path("--adapter", adapter);
    reads.check(std::slice::from_ref(&out))?;
    Ok(out)
}

fn adapted(cx: &Context, model: &str, adapter: &Path) -> Result<Checkpoint> {
    let adapter = unforget::hub::adapter_folder(adapter, &cx.progress)?;
    let checkpoint = Checkpoint::open(super::model_folder(cx, model)?)?.with_adapter(adapter);
    checkpoint.weight_files()?;
    cx.mention_contradictions(&checkpoint)?;
    Ok(checkpoint)
}

impl Merged {
    fn run(&self, common: &Common) -> Result<()> {
        if self.shard == 0 {
            return Err(Error::invalid("--shard", "must be at least 1"));
        }
        let out = folder(common, &self.model, &self.adapter, &self.out, "model")?;
        let cx = common.context()?;
        let checkpoint = adapted(&cx, &self.model, &self.adapter)?;
        let made = json!({"export": "merged", "model": model_in_a_word(&cx, &checkpoint)?, "shard": self.shard});
        self.replace.check(&out, &made)?;
        let mut written = None;
        out.make_from(Some(&made), |folder| {
            written = Some(export::merged(&checkpoint, folder, self.shard)?);
            Ok(())
        })?;
        let Some(written) = written else {
            return Ok(());
        };
        if self.json {
            return super::print_json(&written);
        }
        say!("layers changed           {:>10}", written.layers);
        say!("tensors                  {:>10}", written.tensors);
        say!("files of weights         {:>10}", written.files);
        say!("copied                   {}", written.copied.join(", "));
        say!("model in {}", self.out.display());
        Ok(())
    }
}

impl Lora {
    fn run(&self, common: &Common) -> Result<()> {
        let out = folder(common, &self.model, &self.adapter, &self.out, "adapter")?;
        let cx = common.context()?;
        let checkpoint = adapted(&cx, &self.model, &self.adapter)?;
        let made = json!({"export": "lora", "model": model_in_a_word(&cx, &checkpoint)?, "rank": self.rank});
        self.replace.check(&out, &made)?;
        let layers = checkpoint
            .adapter
            .as_deref()
            .map_or(Ok(0), |adapter| Ok::<_, Error>(PeftAdapter::read(adapter)?.layers()))?;
        let bar = cx.progress.bar("decomposing", layers);
        let count = std::sync::atomic::AtomicUsize::new(0);
        let done = || {
            bar.set(1 + count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        };
        let mut layers = Vec::new();
        out.make_from(Some(&made), |folder| {
            layers = export::as_lora(&checkpoint, folder, self.rank, done)?;
            Ok(())
        })?;
        drop(bar);
        if self.json {
            return super::print_json(&layers);
        }
        let percent = |share: f64| format!("{:.4} %", 100.0 * share);
        let table = Table::default()
            .rows(&layers)
            .column("layer", |layer| &layer.layer)
            .column("change", |layer| percent(layer.change))
            .column("lost of it", |layer| percent(layer.error))
            .table();
        print_lines(&table);
        let worst = layers.iter().map(|layer| layer.error).fold(0.0, f64::max);
        say!(
            "change: of the weight's norm; lost of it: what the plain LoRA misses, {} at most",
            percent(worst)
        );
        say!("adapter in {}", self.out.display());
        Ok(())
    }
}

/// What is printed.
#[derive(Serialize)]
struct Printed<'a> {
    examples: usize,
    tokens: usize,
    completion_tokens: usize,
    learned_tokens: usize,
    /// Ids of examples that are longer than the context.
    too_long: Vec<&'a str>,
    /// Ids of rows that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unusable: Vec<&'a str>,
    /// Ids of examples whose pieces a trainer would split into other tokens.
    left_out: Vec<&'a str>,
    /// Answers of which no token is learned.
    nothing_learned: usize,
    /// Ends of turn that the mask leaves out and ms-swift learns all the same.
    ends_learned_anyway: usize,
    out: &'a Path,
}

impl Masks {
    fn run(&self, common: &Common) -> Result<()> {
        let weights = self.weights.as_deref();
        let weighting = weighting(self.threshold, self.mask.as_deref(), weights)?;
        if !weighting.is_mask() {
            let problem =
                format!("`{weighting}` gives other weights than 0 and 1, which labels cannot say");
            return Err(Error::invalid("--weights", problem));
        }
        let end = self.out.extension().unwrap_or_default();
        let table = end == "parquet";
        if !table && end != "jsonl" {
            let problem = "--out names a .jsonl file, or a .parquet file for --form labels";
            return Err(Error::file(&self.out, problem));
        }
        if table && self.form != Form::Labels {
            let problem = "only --form labels is written as Parquet; name a .jsonl file";
            return Err(Error::file(&self.out, problem));
        }
        let out = Output::file("--out", &self.out);
        let reads = Reads::new(common)?.model(&self.model).data("--data", &self.data);
        let reads = self.reference.read(reads).given("--adapter", self.adapter.as_ref());
        reads.check(std::slice::from_ref(&out))?;
        let cx = common.context()?;
        let mut checkpoint = self.template.checkpoint(&cx, &self.model)?;
        checkpoint.adapter = super::adapter_folder(&cx, self.adapter.as_deref())?;
        let reference = self.reference.checkpoint(&cx, &checkpoint)?;
        check_offline(&weighting, reference.as_ref())?;
        check_asked(&weighting, reference.as_ref())?;
        let asked = Asked {
            path: &self.data,
            limit: self.limit,
            max_length: self.max_length,
            too_long: self.too_long,
            skip_unusable: self.skip_unusable,
        };
        let data = asked.read(&cx, &checkpoint)?;
        let between = |weight: &f32| ![0.0, 1.0].contains(weight);
        if let Some(of) = data.sequences.iter().find(|of| of.weights.iter().any(between)) {
            let problem = format!(
                "example {} gives its tokens other weights than 0 and 1, which labels cannot say",
                of.id
            );
            return Err(Error::file(&self.data, problem));
        }
        let data = scored_for(&cx, &checkpoint, data, &weighting, reference.as_ref())?;
        let masked = Masked::new(Arc::new(data), &weighting, self.seed)?;
        let data = &masked.scored;
        let tokenizer = cx.tokenizer(&checkpoint)?;
        let by_id: HashMap<&str, &Example> =
            (data.examples.iter()).map(|example| (example.id.as_str(), example)).collect();
        let (mut lines, mut labelled, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let mut printed = Printed {
            examples: 0,
            tokens: 0,
            completion_tokens: 0,
            learned_tokens: 0,
            too_long: data.too_long.iter().map(|long| long.id.as_str()).collect(),
            unusable: data.unusable.iter().map(|of| of.id.as_str()).collect(),
            left_out: Vec::new(),
            nothing_learned: 0,
            ends_learned_anyway: 0,
            out: &self.out,
        };
        for (at, sequence) in data.sequences.iter().enumerate() {
            let mask = &masked.mask(at);
            let line = match self.form {
                Form::Labels => {
                    let row = export::labelled(sequence, mask)?;
                    let line = line(&row);
                    if table {
                        labelled.push(row);
                    }
                    line
                }
                Form::Segments => {
                    export::segments(&tokenizer, sequence, mask).and_then(|row| line(&row))
                }
                Form::Swift => {
                    let example = by_id.get(sequence.id.as_str()).ok_or_else(|| {
                        Error::invalid(format!("example {}", sequence.id), "is not in the data")
                    })?;
                    export::messages(&tokenizer, example, sequence, mask).and_then(|row| line(&row))
                }
            };
            match line {
                Ok(line) => lines.push(line),
                Err(_) if self.leave_out && self.form != Form::Labels => {
                    left_out.push(sequence.id.as_str());
                    continue;
                }
                Err(Error::Invalid { what, problem }) if self.form != Form::Labels => {
                    let way_out = "(--form labels, or --leave-out to go without such examples)";
                    return Err(Error::invalid(what, format!("{problem} {way_out}")));
                }
                Err(error) => return Err(error),
            }
            printed.examples += 1;
            printed.tokens += sequence.len();
            printed.completion_tokens += sequence.completion.learned();
            printed.learned_tokens += mask.learned();
            printed.nothing_learned += usize::from(mask.learned() == 0);
            let anyway = self.form == Form::Swift && export::end_is_masked(sequence, mask);
            printed.ends_learned_anyway += usize::from(anyway);
        }
        if lines.is_empty() {
            let problem = "no example's pieces keep their tokens; use --form labels";
            return Err(Error::file(&self.data, problem));
        }
        printed.left_out = left_out;
        out.write(|| match table {
            true => write_atomic(&self.out, &parquet(export::frame(&labelled)?)?),
            false => write_lines(&self.out, &lines),
        })?;
        self.print(&cx, &printed)
    }

    fn print(&self, cx: &Context, printed: &Printed) -> Result<()> {
        if !printed.left_out.is_empty() {
            cx.progress.note(&format!(
                "{} examples are left out, their pieces would be split into other tokens: {}",
                printed.left_out.len(),
                first_names(&printed.left_out)
            ));
        }
        if printed.ends_learned_anyway > 0 {
            cx.progress.note(&format!(
                "ms-swift learns the end of {} answers though the mask leaves it out",
                printed.ends_learned_anyway
            ));
        }
        if self.json {
            return super::print_json(printed);
        }
        say!("examples                 {:>10}", printed.examples);
        say!("  too long               {:>10}", printed.too_long.len());
        if !printed.unusable.is_empty() {
            say!("  cannot be used         {:>10}", printed.unusable.len());
        }
        say!("  left out               {:>10}", printed.left_out.len());
        say!("  nothing to learn       {:>10}", printed.nothing_learned);
        say!("tokens                   {:>10}", printed.tokens);
        say!("completion tokens        {:>10}", printed.completion_tokens);
        say!("  learned                {:>10}", printed.learned_tokens);
        say!("{}", self.out.display());
        Ok(())
    }
}

fn line(row: &impl Serialize) -> Result<String> {
    serde_json::to_string(row).map_err(Error::library("writing a row"))
}

fn write_lines(path: &Path, lines: &[String]) -> Result<()> {
    use std::io::Write;
    write_atomic_with(path, |file| {
        for line in lines {
            writeln!(file, "{line}").map_err(Error::io("writing", path))?;
        }
        Ok(())
    })
}
