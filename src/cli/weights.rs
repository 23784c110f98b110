use super::terminal::{print_lines, say};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use unforget::display::InfoCard;
use unforget::error::{Error, Result};
use unforget::ledger::Ledger;
use unforget::select::{Needs, Normalizer, PRESETS, Signals, TokenClass, Weighting};
use unforget::table::{Cell, Table};

const EXAMPLES: &str = "\
Examples:
  What a rule is, and what it needs:
    unforget weights 'keep(ppl_base <= 2.5) & !class(end_of_turn)'
  What it keeps of a scored data set, for each class of tokens:
    unforget perplexity --model lab --data datasets/lab/code/train.jsonl --out tokens.parquet
    unforget weights 'stm(2.5)' --tokens tokens.parquet
  The published methods by their names:
    unforget weights --list

A mask keeps tokens: keep(A <= B), class(words, numbers, …), all, !M, M & N, M | N, top(SHARE, A, per: S), bottom(…), and with equal
counts in each example random(like: M), shuffled(like: M), highest(A, like: M), lowest(A, like: M). A number weighs them: ppl_base, p_base,
log_prob_base, surprisal_base, entropy_base, entropy_top_base, rank_base, the same with _current and _reference, uniform, + - * / ^,
ln, exp, abs, min, max, if(M, A, B), by_class(words: A, else: B), mean(A, per: S), median(…), quantile(SHARE, A, per: S). S is example,
batch or data. Behind it may stand `over kept|completion|weights|batch` and `every N`.

Classes of tokens: words, numbers, symbols, whitespace, carriage_return, code_fence, end_of_turn, special, fragment.";

/// `unforget weights`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Weights {
    /// The rule
    #[arg(value_name = "EXPR", required_unless_present = "list")]
    rule: Option<String>,
    /// Apply the rule to this ledger of tokens, as `unforget perplexity --out` writes it
    #[arg(long, value_name = "LEDGER", requires = "rule")]
    tokens: Option<PathBuf>,
    /// Seed of random rules
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// List the published methods
    #[arg(long, conflicts_with = "rule")]
    list: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON of a rule.
#[derive(Serialize)]
struct Printed<'a> {
    weights: &'a Weighting,
    expanded: String,
    mask: bool,
    online: bool,
    needs: Needs,
    normalizer: Option<Normalizer>,
    every: usize,
    source: Option<&'a str>,
    kept: Option<&'a [Kept]>,
}

/// What is printed as JSON of a published method.
#[derive(Serialize)]
struct Method {
    name: &'static str,
    call: String,
    expression: &'static str,
    normalizer: Normalizer,
    what: &'static str,
    source: &'static str,
}

/// What a rule keeps of the completion tokens of a class.
#[derive(Debug, Serialize)]
struct Kept {
    class: &'static str,
    tokens: usize,
    kept: usize,
    /// Mean over the class's tokens; none without tokens.
    mean_weight: Option<f64>,
}

impl Weights {
    pub fn run(&self) -> Result<()> {
        let Some(rule) = &self.rule else {
            return self.list();
        };
        let weighting: Weighting = rule.parse()?;
        let kept = match &self.tokens {
            Some(path) => {
                let record = Ledger::open(&[path])?.signals()?;
                let signals: Vec<Signals> = record
                    .into_iter()
                    .map(|(_, signals)| Signals {
                        // before the first step the current model is the base
                        current: (signals.base.as_ref())
                            .filter(|_| weighting.needs().online())
                            .cloned(),
                        ..signals
                    })
                    .collect();
                let weights =
                    weighting.weights(&signals, self.seed).map_err(|error| match error {
                        Error::Invalid { what, problem } => {
                            Error::file(path, format!("{what}: {problem}"))
                        }
                        other => other,
                    })?;
                Some(kept(&signals, &weights))
            }
            None => None,
        };
        if self.json {
            return super::print_json(&Printed {
                expanded: weighting.expanded(),
                mask: weighting.is_mask(),
                online: weighting.needs().online(),
                needs: weighting.needs(),
                normalizer: weighting.normalizer(),
                every: weighting.every(),
                source: weighting.preset().map(|preset| preset.source),
                kept: kept.as_deref(),
                weights: &weighting,
            });
        }
        describe(&weighting);
        if let Some(kept) = kept {
            if weighting.needs().online() {
                say!("\nBefore the first step, the whole record taken as one batch:");
            }
            let share = |row: &Kept| (row.tokens > 0).then(|| row.kept as f64 / row.tokens as f64);
            let table = Table::default()
                .rows(&kept)
                .column("class", |row| row.class)
                .column("tokens", |row| row.tokens)
                .column("kept", |row| row.kept)
                .column("kept %", |row| Cell::number(share(row).map(|share| 100.0 * share), 2))
                .column("mean weight", |row| Cell::number(row.mean_weight, 4))
                .table();
            say!();
            print_lines(&table);
        }
        Ok(())
    }

    fn list(&self) -> Result<()> {
        let methods: Vec<Method> = PRESETS
            .iter()
            .map(|preset| Method {
                name: preset.name,
                call: preset.signature(),
                expression: preset.expression,
                normalizer: preset.normalizer,
                what: preset.what,
                source: preset.source,
            })
            .collect();
        if self.json {
            return super::print_json(&methods);
        }
        for method in methods {
            say!(
                "{}\n    {}\n    {} over {}\n    {}\n",
                method.call,
                method.what,
                method.expression,
                method.normalizer.name(),
                method.source
            );
        }
        Ok(())
    }
}

fn describe(weighting: &Weighting) {
    say!("{:<12}{weighting}", "rule");
    for (name, value) in InfoCard::from(weighting).rows {
        say!("{name:<12}{value}");
    }
}

/// What is kept of each class that the data has, and of all.
fn kept(signals: &[Signals], weights: &[Vec<f32>]) -> Vec<Kept> {
    let tokens: Vec<(TokenClass, f32)> = signals
        .iter()
        .zip(weights)
        .flat_map(|(signals, weights)| {
            let positions = signals.completion.positions();
            positions.map(|at| (signals.class[at], weights[at])).collect::<Vec<_>>()
        })
        .collect();
    let row = |name: &'static str, of: &dyn Fn(TokenClass) -> bool| {
        let weights: Vec<f64> = tokens
            .iter()
            .filter(|(class, _)| of(*class))
            .map(|(_, weight)| f64::from(*weight))
            .collect();
        Kept {
            class: name,
            tokens: weights.len(),
            kept: weights.iter().filter(|weight| **weight != 0.0).count(),
            mean_weight: (!weights.is_empty())
                .then(|| weights.iter().sum::<f64>() / weights.len() as f64),
        }
    };
    let mut rows: Vec<Kept> = TokenClass::NAMES
        .into_iter()
        .map(|(name, class)| row(name, &|other| other == class))
        .filter(|row| row.tokens > 0)
        .collect();
    rows.push(row("all", &|_| true));
    rows
}
