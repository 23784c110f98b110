use super::Common;
use super::template::Template;
use super::terminal::say;
use clap::Args;
use std::path::Path;
use std::process::Command;
use unforget::error::{Error, Result};
use unforget::forecast::{Memory, Speed};
use unforget::hub::Hub;
use unforget::lab;
use unforget::model::{Checkpoint, DeviceChoice, Precision, gigabytes, memory_left, open_device};
use unforget::notebook::{Installation, Requirement};
use unforget::ops::bf16_instructions;
use unforget::sandbox::Python;
use unforget::store::{Store, file_hash, write_atomic};
use unforget::tokens::TurnEnd;

const EXAMPLES: &str = "\
The exit code is 0 when the lab can run here; what only notebooks need may be missing. With --model, the model must be readable, too.

Examples:
    unforget doctor
    unforget doctor --model Qwen/Qwen3-0.6B --template-arg enable_thinking=false
    unforget doctor --device cuda --store /scratch/unforget-store";

/// `unforget doctor`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// Also check this model: how its chat template ends an answer, whether it opens a thinking block or writes a date, how much memory it takes and
    /// how fast it is here, which is measured
    #[arg(long, value_name = "FOLDER")]
    model: Option<String>,
    #[command(flatten)]
    template: Template,
}

/// What was found of one thing.
enum Found {
    /// It is there.
    Well(String),
    /// It is not there, and something beside the lab needs it.
    Lacking(String),
    /// The lab cannot run.
    Bad(String),
}
use Found::{Bad, Lacking, Well};

impl Doctor {
    pub fn run(&self, common: &Common) -> Result<()> {
        let mut bad = Vec::new();
        let mut say = |what: &'static str, found: Found| {
            let (mark, text) = match found {
                Well(text) => ("ok", text),
                Lacking(text) => ("--", text),
                Bad(text) => {
                    bad.push(what);
                    ("NO", text)
                }
            };
            say!("{mark}  {what:<14} {text}");
        };
        say("unforget", Well(env!("CARGO_PKG_VERSION").to_string()));
        say("processor", processor(common));
        say("device", device(&common.device));
        say("precision", precision(common));
        let lab = lab::folder();
        say(
            "lab",
            lab.as_ref().map_or_else(|error| Bad(error.to_string()), |folder| lab_files(folder)),
        );
        if let Ok(folder) = &lab {
            say(
                "model",
                Checkpoint::open(folder.join("model"))
                    .and_then(|model| model.config())
                    .map_or_else(
                        |error| Bad(error.to_string()),
                        |config| {
                            Well(format!(
                                "{} blocks, {} ids, context {}",
                                config.num_hidden_layers,
                                config.vocab_size,
                                config.max_position_embeddings
                            ))
                        },
                    ),
            );
        }
        match Store::choose(common.store.as_deref())
            .and_then(|store| writable(store.root()).map(|()| store))
        {
            Ok(store) => {
                say("store", Well(format!("{} can be written", store.root().display())));
                if let Some(free) = free_space(store.root()) {
                    say("disk", free);
                }
            }
            Err(error) => say("store", Bad(error.to_string())),
        }
        match Python::find() {
            Ok(python) => {
                say(
                    "python3",
                    Well(format!("{} {}", python.version(), python.executable().display())),
                );
                say("sandbox", sandbox(python));
            }
            Err(error) => {
                say("python3", Lacking(format!("{error}; MBPP and HumanEval cannot be graded")))
            }
        }
        say(
            "hub",
            Hub::from_env().map_or_else(|error| Lacking(error.to_string()), |hub| models(&hub)),
        );
        match Installation::find().and_then(|installation| installation.parts()) {
            Ok(parts) => {
                let wanted = |part: &&Requirement| ["kernel", "jupyter"].contains(&part.name);
                for part in parts.iter().filter(wanted) {
                    let lacking = || Lacking("not found; `unforget notebook` sets it up".into());
                    say(part.name, part.found.clone().map_or_else(lacking, Well));
                }
            }
            Err(error) => say("jupyter", Lacking(error.to_string())),
        }
        if let Some(name) = &self.model {
            for (what, found) in self.chosen(common, name) {
                say(what, found);
            }
        }
        match bad.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(
                "doctor",
                format!(
                    "not all can run here because of: {}; see the lines marked NO",
                    bad.join(", ")
                ),
            )),
        }
    }
}

impl Doctor {
    /// What is to be known of the model called `name`.
    fn chosen(&self, common: &Common, name: &str) -> Vec<(&'static str, Found)> {
        let look = || -> Result<Vec<(&'static str, Found)>> {
            let cx = common.context()?;
            let checkpoint = self.template.checkpoint(&cx, name)?;
            let (config, stop_ids) = (checkpoint.config()?, checkpoint.stop_ids()?);
            let tokenizer = checkpoint.tokenizer()?;
            let family = config.family.title();
            let mut found = vec![
                ("chosen model", Well(checkpoint.model.display().to_string())),
                ("family", Well(format!("{family}, {} blocks", config.num_hidden_layers))),
            ];
            let ids = format!("{} ids for {} rows", tokenizer.vocab_size(), config.vocab_size);
            found.push(match tokenizer.beyond(config.vocab_size) {
                None => ("tokenizer", Well(ids)),
                Some(token) => (
                    "tokenizer",
                    Lacking(format!(
                        "{ids}: from {:?} (id {}) on, data with such a token is refused",
                        token.text, token.id
                    )),
                ),
            });
            found.push(match tokenizer.template() {
                None => ("template", Well("none: prompt, a new line, answer, end of text".into())),
                Some(template) => ("template", Well(template.path().display().to_string())),
            });
            if let Some(TurnEnd::Token(end)) = tokenizer.turn_end() {
                found.push(("end of answer", Well(format!("{:?} (id {})", end.text, end.id))));
            }
            let advice = tokenizer.advice(&stop_ids).into_iter();
            let advice = advice.chain(checkpoint.contradictions()?);
            found.extend(advice.map(|advice| ("warning", Lacking(advice))));
            let precision = cx.precision_of(&checkpoint);
            let weights = format!(
                "{} in memory, {precision}",
                gigabytes(checkpoint.weight_bytes(precision)?)
            );
            let left = memory_left()
                .map_or_else(String::new, |left| format!("; {} are left", gigabytes(left)));
            found.push(("weights", Well(weights + &left)));
            let memory = Memory::of(&config);
            let beside = format!(
                "beside the weights about {} for 1,000 tokens scored at once, {} learned ({} with --gradient-checkpointing), {} for each 1,000 tokens of answers written at once",
                gigabytes(memory.scoring),
                gigabytes(memory.training),
                gigabytes(memory.replayed),
                gigabytes(memory.sampling)
            );
            found.push(("memory", Well(beside)));
            let speed = Speed::of(&cx, &checkpoint)?;
            let for_thousand = |rate: f64| match 1000.0 / rate {
                long if long >= 10.0 => format!("{long:.0} s"),
                short => format!("{short:.2} s"),
            };
            let speed = format!(
                "1,000 tokens take {} to score, {} to learn with a LoRA of rank 16, {} to write in 16 answers at once (measured)",
                for_thousand(speed.scoring),
                for_thousand(speed.training),
                for_thousand(speed.sampling)
            );
            found.push(("speed", Well(speed)));
            Ok(found)
        };
        look().unwrap_or_else(|error| vec![("chosen model", Bad(error.to_string()))])
    }
}

fn processor(common: &Common) -> Found {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match common.workers {
        Some(workers) => Well(format!("{threads} threads, {workers} workers asked for")),
        None => Well(format!("{threads} threads")),
    }
}

/// The device asked for, and what else this program was built with.
fn device(name: &str) -> Found {
    let built: Vec<&str> = [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))]
        .iter()
        .filter_map(|(name, built)| built.then_some(*name))
        .collect();
    let built = if built.is_empty() { "none".to_string() } else { built.join(", ") };
    match name.parse::<DeviceChoice>().and_then(open_device) {
        Ok(_) => Well(format!("{name} (GPU support built in: {built})")),
        Err(error) => Bad(error.to_string()),
    }
}

/// In what products with frozen weights are computed.
fn precision(common: &Common) -> Found {
    let device = common.device.parse::<DeviceChoice>().and_then(open_device);
    let (asked, device) = match (common.precision(), device) {
        (Ok(asked), Ok(device)) => (asked, device),
        (Err(error), _) | (_, Err(error)) => return Bad(error.to_string()),
    };
    if !device.is_host() {
        return Well("the GPU's own bf16".into());
    }
    let (asked, models) = match asked {
        Some(asked) => (asked, String::new()),
        None => {
            let models = Precision::Bf16x2.usable(&device);
            (Precision::F32, format!(", {models} for models whose weights are bf16"))
        }
    };
    let used = asked.usable(&device);
    match bf16_instructions() {
        Some(found) => Well(format!("{used}{models}; bf16 by {found}, see --precision")),
        None if used == asked => {
            Well(format!("{used}; no instruction for bf16 that is used here (avx512_bf16)"))
        }
        None => Lacking(format!(
            "{used} instead of {asked}: the processor has no instruction for bf16 that is used here (avx512_bf16)"
        )),
    }
}

/// What keeps model-written Python in, and whether it held when tried.
fn sandbox(python: &Python) -> Found {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for (wall, why) in python.walls() {
        match why {
            None => there.push(wall.to_string()),
            Some(why) => missing.push(format!("{wall} ({why})")),
        }
    }
    let mut text = match there.is_empty() {
        true => "no walls".to_string(),
        false => there.join(", "),
    };
    if !missing.is_empty() {
        text += &format!("; missing: {}", missing.join(", "));
    }
    let refused: Vec<&str> = python
        .tried()
        .iter()
        .filter(|tried| !tried.done)
        .map(|tried| tried.deed.as_str())
        .collect();
    text += &format!("; tried and refused: {}", refused.join(", "));
    match python.gaps() {
        gaps if gaps.is_empty() => Well(text),
        gaps => Lacking(format!("{text}; NOT KEPT FROM: {}", gaps.join(", "))),
    }
}

/// What is in the hub's cache, and whether more can come.
fn models(hub: &Hub) -> Found {
    let cache = hub.cache.display();
    let count = hub.models().len();
    let more = match (cfg!(feature = "download"), hub.offline) {
        (false, _) => "downloading is not built in (--features download)".to_string(),
        (true, true) => "offline".to_string(),
        (true, false) => {
            let token = if hub.token.is_some() { "a" } else { "no" };
            format!("downloads from {}, {token} token", hub.endpoint)
        }
    };
    Well(format!("{count} models in {cache}; {more}"))
}

/// Every file that `hashes.txt` lists is there and as it was made.
fn lab_files(folder: &Path) -> Found {
    let list = folder.join("hashes.txt");
    let Ok(text) = std::fs::read_to_string(&list) else {
        return Lacking(format!(
            "{} is there, but no hashes.txt to check its files with",
            folder.display()
        ));
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((hash, name)) = line.split_once("  ") else {
            return Bad(format!(
                "{}: `{line}` is not a hash, two spaces and a name",
                list.display()
            ));
        };
        count += 1;
        if !file_hash(&folder.join(name)).is_ok_and(|found| found == hash) {
            wrong.push(name);
        }
    }
    match wrong.is_empty() {
        true => Well(format!("{}, all {count} files as they were made", folder.display())),
        false => Bad(format!(
            "{}: changed or missing: {}; make it again with `unforget make-lab`",
            folder.display(),
            wrong.join(", ")
        )),
    }
}

/// Writes and removes a small file; a folder that was made for it goes, too.
fn writable(root: &Path) -> Result<()> {
    let new = !root.exists();
    let probe = root.join(format!("doctor-{}", std::process::id()));
    let written = write_atomic(&probe, b"can be written\n");
    let _ = std::fs::remove_file(&probe);
    if new {
        let _ = std::fs::remove_dir(root);
    }
    written
}

/// Free space where `root` is or would be, as `df` tells it.
fn free_space(root: &Path) -> Option<Found> {
    let root = std::path::absolute(root).ok()?;
    let there = root.ancestors().find(|folder| folder.exists())?;
    let output = Command::new("df").arg("-Pk").arg(there).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kibibytes: f64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    let gigabytes = kibibytes * 1024.0 / 1e9;
    Some(match gigabytes < 0.5 {
        true => Lacking(format!(
            "{gigabytes:.2} GB free; a comparison of the lab takes some hundred MB"
        )),
        false => Well(format!("{gigabytes:.1} GB free")),
    })
}
