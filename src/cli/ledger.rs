use super::Common;
use super::terminal::{print_lines, say};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use unforget::error::{Error, Result};
use unforget::ledger::{ClassShare, Ledger, Tally, ThresholdPoint};
use unforget::table::{NOTHING, Table};

const EXAMPLES: &str = "\
Examples:
  What thresholds would mask of the lab's answers, and how much of it is the annotators' style:
    unforget perplexity --model lab --data datasets/lab/code/train.jsonl --out code-tokens
    unforget ledger code-tokens
  Other thresholds and quantiles, over several data sets scored under one model:
    unforget ledger code-tokens word-tokens --thresholds 1.5,2.5,10 --quantiles 0.5,0.9,0.99
  What an experiment scored (the store keeps a ledger of each kind of answers):
    unforget ledger unforget-store/ledger/ground-truth-*/tokens

A ledger is a Parquet file, or a folder of them, with one row for each token. It says what it was made from and is refused when the model, its tokenizer, its
template or the data has changed since. `unforget weights RULE --tokens LEDGER` computes any other rule on it.

Memory does not grow with the ledger but for 4 bytes a completion token, of which the quantiles are made: 79 MB for ten million tokens.";

/// `unforget ledger`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct QueryLedger {
    /// Files or folders that `unforget perplexity --out` wrote, queried together
    #[arg(required = true, value_name = "LEDGER")]
    ledgers: Vec<PathBuf>,
    /// Thresholds of the token perplexity
    #[arg(
        long,
        value_name = "T,...",
        value_delimiter = ',',
        allow_negative_numbers = true,
        default_values_t = [1.1, 1.5, 2.0, 2.5, 5.0, 10.0, 25.0, 100.0, 1000.0]
    )]
    thresholds: Vec<f64>,
    /// Quantiles of the token perplexity
    #[arg(long, value_name = "Q,...", value_delimiter = ',', allow_negative_numbers = true, default_values_t = [0.05, 0.25, 0.5, 0.75, 0.95])]
    quantiles: Vec<f64>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed {
    files: usize,
    examples: usize,
    tokens: usize,
    completion_tokens: usize,
    learned_tokens: usize,
    style_tokens: Option<usize>,
    perplexity_per_token: Option<f64>,
    thresholds: Vec<ThresholdPoint>,
    classes: Vec<ClassShare>,
    quantiles: Vec<Quantile>,
}

/// A quantile of the token perplexity.
#[derive(Serialize)]
struct Quantile {
    quantile: f64,
    perplexity: Option<f64>,
}

impl QueryLedger {
    pub fn run(&self, _common: &Common) -> Result<()> {
        if let Some(threshold) = self.thresholds.iter().find(|t| !(t.is_finite() && **t > 0.0)) {
            let problem = format!("must be perplexities above 0, got {threshold}");
            return Err(Error::invalid("--thresholds", problem));
        }
        let ledger = Ledger::open(&self.ledgers)?;
        let mut tally = Tally::of(&ledger, &self.thresholds)?;
        let values = tally.quantiles(&self.quantiles)?;
        let quantiles = self.quantiles.iter().zip(values);
        let printed = Printed {
            files: ledger.files(),
            examples: tally.examples,
            tokens: tally.tokens,
            completion_tokens: tally.completion_tokens,
            learned_tokens: tally.learned_tokens,
            style_tokens: tally.style_tokens,
            perplexity_per_token: tally.perplexity(),
            thresholds: tally.thresholds(),
            classes: tally.classes(),
            quantiles: quantiles
                .map(|(quantile, nats)| Quantile {
                    quantile: *quantile,
                    perplexity: nats.map(f64::exp),
                })
                .collect(),
        };
        if self.json {
            return super::print_json(&printed);
        }
        print(&printed);
        Ok(())
    }
}

fn print(of: &Printed) {
    let words = |value: Option<String>| value.unwrap_or_else(|| NOTHING.to_owned());
    let share = |value: Option<f64>| words(value.map(|value| format!("{:.2} %", 100.0 * value)));
    let number = |value: Option<f64>| words(value.map(|value| format!("{value:.3}")));
    say!("files                    {:>10}", of.files);
    say!("examples                 {:>10}", of.examples);
    say!("tokens                   {:>10}", of.tokens);
    say!("completion tokens        {:>10}", of.completion_tokens);
    say!("  with a weight          {:>10}", of.learned_tokens);
    if let Some(style) = of.style_tokens {
        say!("  in the writer's style  {style:>10}");
    }
    say!("perplexity per token     {:>10}", number(of.perplexity_per_token));
    let thresholds = Table::default()
        .rows(&of.thresholds)
        .column("threshold", |point| point.threshold.to_string())
        .column("masked", |point| share(Some(point.masked)))
        .column("surprisal", |point| share(Some(point.surprisal_masked)))
        .column("precision", |point| share(point.precision))
        .column("recall", |point| share(point.recall));
    let classes = Table::default()
        .rows(&of.classes)
        .column("class", |class| class.class.name())
        .column("share", |class| share(Some(class.share)))
        .column("above 2.5", |class| share(Some(class.high)));
    let quantiles = Table::default()
        .rows(&of.quantiles)
        .column("quantile", |of| of.quantile.to_string())
        .column("perplexity", |of| number(of.perplexity));
    for table in [thresholds.table(), classes.table(), quantiles.table()] {
        say!();
        print_lines(&table);
    }
}
