use super::events;
use super::monitor::Row;
use crate::error::{Error, Result};
use crate::store::write_atomic;
use crate::train::Step;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A training's record in a folder: `steps.jsonl` and `probes.jsonl`, one JSON object in a line, and an event file for
/// `tensorboard --logdir`.
///
/// The files are a function of steps and rows alone: opened with those known so far they are written anew, so they are the same
/// whether or not the training was stopped in between.
#[derive(Debug)]
pub struct Log {
    steps: Lines,
    probes: Lines,
    events: Lines,
    taken: usize,
}

/// The files of a log. TensorBoard reads files with `tfevents` in their name.
pub const LOG_FILES: [&str; 3] = ["steps.jsonl", "probes.jsonl", "events.out.tfevents.0.unforget"];

impl Log {
    /// Writes what is known so far into `folder`, in the place of what earlier records of these names were there.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written.
    pub fn open(folder: &Path, steps: &[Step], rows: &[Row]) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(Error::io("making the folder of the log", folder))?;
        let (mut step_lines, mut probe_lines, mut events) =
            (Vec::new(), Vec::new(), events::version());
        // as they came: the looks at the model after a step follow that step
        let mut rest = rows;
        for taken in 0..=steps.len() {
            if taken > 0 {
                step_lines.extend(step_line(taken, &steps[taken - 1])?);
                events.extend(step_event(taken, &steps[taken - 1]));
            }
            let here = rest.iter().take_while(|row| row.step <= taken).count();
            for row in &rest[..here] {
                probe_lines.extend(line(row)?);
                events.extend(row_event(row));
            }
            rest = &rest[here..];
        }
        let [of_steps, of_probes, of_events] = LOG_FILES.map(|name| folder.join(name));
        Ok(Self {
            steps: Lines::open(of_steps, &step_lines)?,
            probes: Lines::open(of_probes, &probe_lines)?,
            events: Lines::open(of_events, &events)?,
            taken: steps.len(),
        })
    }

    /// Adds a step.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        self.taken += 1;
        self.steps.add(&step_line(self.taken, step)?)?;
        self.events.add(&step_event(self.taken, step))
    }

    /// Adds what a look at the model found.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn rows(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            self.probes.add(&line(row)?)?;
            self.events.add(&row_event(row))?;
        }
        Ok(())
    }
}

/// A file that grows.
#[derive(Debug)]
struct Lines {
    file: File,
    path: PathBuf,
}

impl Lines {
    fn open(path: PathBuf, start: &[u8]) -> Result<Self> {
        write_atomic(&path, start)?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(Error::io("opening the log", &path))?;
        Ok(Self { file, path })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io("writing the log", &self.path))
    }
}

fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value).map_err(Error::library("writing the log"))?;
    line.push(b'\n');
    Ok(line)
}

/// A step with its number.
#[derive(Serialize)]
struct Numbered<'a> {
    step: usize,
    #[serde(flatten)]
    facts: &'a Step,
}

fn step_line(step: usize, facts: &Step) -> Result<Vec<u8>> {
    line(&Numbered { step, facts })
}

fn step_event(number: usize, step: &Step) -> Vec<u8> {
    let values = [
        ("loss", Some(step.loss)),
        ("gradient_norm", Some(step.gradient_norm)),
        ("learning_rate", Some(step.learning_rate)),
        ("learned_tokens", Some(step.learned as f64)),
        ("kl", step.kl),
        ("squared_distance", step.squared_distance),
        ("churn", step.churn),
    ];
    let values =
        values.into_iter().filter_map(|(name, value)| Some((format!("train/{name}"), value?)));
    events::scalars(number, &values.collect::<Vec<_>>())
}

fn row_event(row: &Row) -> Vec<u8> {
    let values = [
        ("loss", row.loss),
        ("score", row.score),
        ("skill", row.skill),
        ("form", row.form),
        ("kl", row.kl),
    ];
    let named = |name: &str| format!("probe/{}/{name}", row.probe);
    let whole = values.into_iter().filter_map(|(name, value)| Some((named(name), value?)));
    let classes = row.classes.iter();
    let classes = classes.map(|(name, class)| (named(&format!("loss_of_{name}")), class.loss));
    events::scalars(row.step, &whole.chain(classes).collect::<Vec<_>>())
}
