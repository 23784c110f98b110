use super::Common;
use super::data::{Asked, WhenTooLong};
use super::output::Reads;
use super::template::Template;
use super::terminal::{say, show};
use clap::Args;
use std::path::PathBuf;
use unforget::adapter::LoraConfig;
use unforget::error::{Error, Result};
use unforget::influence::{EDGES, influence};
use unforget::report;
use unforget::scored::Scored;
use unforget::store::{Output, write_atomic};
use unforget::table::WIDTH;
use unforget::verbs;

const EXAMPLES: &str = "\
Examples:
  Which tokens of the lab's code answers harm what the model itself answers to word problems:
    unforget generate self-output --model lab --items datasets/lab/word/validation.jsonl --limit 50 --samples 4 --out own
    unforget influence --model lab --data datasets/lab/code/train.jsonl --limit 64 --others own/train.jsonl --out influence

For each token of the answers: the change of the others' mean surprisal, to first order, if that token alone were learned by the first step of a LoRA.";

/// `unforget influence`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct InfluenceOfTokens {
    /// Model folder in Hugging Face layout, GGUF file, owner/name[@revision] of the hub, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// The answers whose tokens are looked at, as `unforget perplexity` reads them
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Data that should not be lost, or that should be learned; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    others: Vec<PathBuf>,
    /// Only the first N answers
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only the first N examples of each of the others
    #[arg(long, value_name = "N")]
    limit_others: Option<usize>,
    /// Rank of the adapter
    #[arg(long, value_name = "R", default_value_t = LoraConfig::lab().rank)]
    rank: usize,
    /// Seed of the adapter's start
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    template: Template,
    /// Write tokens.csv, the tables and the figure to this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Files of `--out`.
const FILES: [&str; 5] =
    ["tokens.csv", "by-class.csv", "influence.csv", "influence.svg", "influence.png"];

impl InfluenceOfTokens {
    pub fn run(&self, common: &Common) -> Result<()> {
        if self.rank == 0 {
            return Err(Error::invalid("--rank", "must be at least 1"));
        }
        if self.limit_others == Some(0) {
            return Err(Error::invalid("--limit-others", "must be at least 1"));
        }
        unforget::stats::distinct("--others", self.others.iter().map(|path| path.display()))?;
        let out = self.out.as_ref().map(|out| Output::within("--out", out, &FILES));
        if let Some(out) = &out {
            let reads = Reads::new(common)?.model(&self.model).data("--data", &self.data);
            let reads = self.others.iter().fold(reads, |reads, data| reads.data("--others", data));
            reads.check(std::slice::from_ref(out))?;
        }
        let cx = common.context()?;
        let checkpoint = self.template.checkpoint(&cx, &self.model)?;
        let read = |path: &PathBuf, limit| -> Result<Scored> {
            let asked = Asked {
                path,
                limit,
                max_length: None,
                too_long: WhenTooLong::Refuse,
                skip_unusable: false,
            };
            let mut scored =
                verbs::score_rendered(&cx, &checkpoint, asked.read(&cx, &checkpoint)?)?;
            scored.name = path.display().to_string();
            Ok(scored)
        };
        let answers = read(&self.data, self.limit)?;
        let others: Vec<Scored> =
            self.others.iter().map(|path| read(path, self.limit_others)).collect::<Result<_>>()?;
        let config = LoraConfig { rank: self.rank, ..LoraConfig::lab() };
        let others: Vec<&Scored> = others.iter().collect();
        let found = influence(&cx, &checkpoint, &answers, &others, (&config, self.seed))?;
        let figure = report::influence::figure(&found);
        if let (Some(output), Some(folder)) = (&out, &self.out) {
            output.write(|| {
                let put = |name: &str, bytes: &[u8]| write_atomic(&folder.join(name), bytes);
                std::fs::create_dir_all(folder).map_err(Error::io("making the folder", folder))?;
                put("tokens.csv", &report::influence::tokens(&found).csv()?)?;
                put("influence.csv", &figure.table.csv()?)?;
                put("influence.svg", figure.plot.svg()?.as_bytes())?;
                put("influence.png", &figure.plot.png()?)?;
                let mut classes = Vec::new();
                for on in 0..found.others.len() {
                    classes.push(found.by_class(on));
                }
                put("by-class.csv", &report::influence::classes(&found, &classes).csv()?)
            })?;
        }
        if self.json {
            return super::print_json(&found);
        }
        say!("{}", figure.plot.title);
        for (on, other) in found.others.iter().enumerate() {
            let title = format!(
                "{} (mean surprisal {:.3} nats), by the perplexity of the learned token",
                other.name, other.surprisal
            );
            let groups = found.by_perplexity(on, &EDGES);
            show!("{}", report::influence::table(title, "perplexity", &groups).text(WIDTH));
            let title = format!("{}, by the class of the learned token", other.name);
            let groups = found.by_class(on);
            show!("{}", report::influence::table(title, "class", &groups).text(WIDTH));
            if other.curvature > 0.05 {
                say!(
                    "{}: first order says only part of it here: twice the step differs by {:.0} %",
                    other.name,
                    100.0 * other.curvature
                );
            }
        }
        if let Some(out) = &self.out {
            say!("tokens, tables and figure: {}", out.display());
        }
        Ok(())
    }
}
