//! One case, timed, as one JSON line: this crate's half of benches/compare.py, with benches/pytorch.py's options and fields.
//!
//! `cargo bench --bench timed -- --model DIR --what lora,score`; `--make lab` writes a random model of the lab's shape to DIR.

mod cases;

use cases::{Case, Size};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use unforget::error::{Error, Result};
use unforget::model::{Decoder, Precision, open_device, write_model};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Options {
    /// Folder with config.json and the weights, or a GGUF file.
    #[arg(long)]
    model: PathBuf,
    /// Write random weights of this shape to the folder instead: lab or 30m.
    #[arg(long)]
    make: Option<String>,
    /// Cases, separated by commas.
    #[arg(long, default_value = "lora,full,score,sample", overrides_with = "what")]
    what: String,
    #[arg(long, default_value_t = 4)]
    batch: usize,
    #[arg(long, default_value_t = 128)]
    length: usize,
    #[arg(long, default_value_t = 5, overrides_with = "steps")]
    steps: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 1)]
    prompts: usize,
    #[arg(long, default_value_t = 32)]
    samples: usize,
    #[arg(long, default_value_t = 64)]
    new_tokens: usize,
    /// cpu or cuda; on a GPU weights are bf16.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Products with frozen weights: f32, bf16x2 or bf16.
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Compute blocks again in the backward pass.
    #[arg(long)]
    replay: bool,
    /// Run the one case in this process.
    #[arg(long)]
    here: bool,
    /// cargo's.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    cases::set_candle_aside();
    let options = Options::parse();
    if let Err(error) = run(&options) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<()> {
    if let Some(shape) = &options.make {
        let config = match shape.as_str() {
            "lab" => cases::lab(),
            "30m" => cases::thirty_million(),
            _ => return Err(Error::invalid("make", "shapes are lab and 30m")),
        };
        let decoder = Decoder::random(&config, 0, &candle_core::Device::Cpu)?;
        return write_model(&options.model, &decoder, &[]);
    }
    for what in options.what.split(',') {
        let Some((_, case)) = Case::ALL.iter().find(|(name, _)| *name == what) else {
            let problem = format!("`{what}` is no case; cases are lora, full, score, sample");
            return Err(Error::invalid("what", problem));
        };
        if options.here {
            time(what, *case, options)?;
            continue;
        }
        // a process of its own, so that its memory is its own; a later --what wins
        let again = || {
            Command::new(std::env::current_exe()?)
                .args(std::env::args().skip(1))
                .args(["--what", what, "--here"])
                .status()
        };
        let status = again().map_err(Error::io("running the case", Path::new(what)))?;
        if !status.success() {
            std::process::exit(1);
        }
    }
    Ok(())
}

fn time(what: &str, case: Case, options: &Options) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|_| Error::invalid("threads", "no such pool can be made"))?;
    let size = Size {
        batch: options.batch,
        length: options.length,
        prompts: options.prompts,
        samples: options.samples,
        new_tokens: options.new_tokens,
        replay: options.replay,
    };
    pool.install(|| {
        let device = open_device(options.device.parse()?)?;
        let precision = options.precision.parse::<Precision>()?.usable(&device);
        let decoder = cases::open(&options.model, &device, precision)?;
        let loaded = forget_peak();
        cases::set_up(case, decoder, &size, |step| {
            let first_loss = step()?;
            let (begin, cpu) = (Instant::now(), cpu_seconds());
            for _ in 0..options.steps {
                step()?;
            }
            let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
            let tokens = (size.tokens(case) * options.steps) as f64;
            let peak = status_mb("VmHWM:");
            let mut line = serde_json::json!({
                "what": what, "tokens_per_s": tokens / seconds, "seconds": seconds, "cpu_seconds": cpu,
                "peak_mb": peak, "loaded_mb": loaded, "extra_mb": peak - loaded, "first_loss": first_loss,
                "batch": size.batch, "length": size.length, "steps": options.steps, "threads": options.threads,
                "replay": size.replay, "device": options.device, "precision": precision.name(),
            });
            if case == Case::Sample {
                line["batch"] = size.prompts.into();
                line["samples"] = size.samples.into();
                line["new_tokens"] = size.new_tokens.into();
            }
            println!("{line}");
            Ok(())
        })?
    })
}

/// Resident megabytes now; the peak counts from here.
fn forget_peak() -> f64 {
    // where this is refused, the peak of loading counts too
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status_mb("VmRSS:")
}

/// A line of this process's status, which Linux gives in kilobytes.
fn status_mb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}

/// Processor seconds of all threads so far, in Linux's hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // the program's name, in parentheses, may hold spaces
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => (user + system) / 100.0,
        _ => f64::NAN,
    }
}
