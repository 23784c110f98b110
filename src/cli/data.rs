//! What `perplexity`, `finetune` and `export masks` do alike: read and render a data set, score it, choose the tokens to learn.

use super::output::Reads;
use super::terminal::tell;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use unforget::context::Context;
use unforget::dataset::{Dataset, Unusable, read_items, read_usable_items};
use unforget::error::{Error, Result, Word};
use unforget::ledger::Ledger;
use unforget::masked;
use unforget::model::Checkpoint;
use unforget::scored::{Rendering, Scored};
use unforget::select::Weighting;
use unforget::task::Item;
use unforget::tokens::{LongExample, TooLong};
use unforget::verbs;

/// What to do with examples that are longer than the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenTooLong {
    /// Stop with an error that names them
    Refuse,
    /// Leave them out, and name them
    Drop,
    /// Cut them to fit, and name them
    Truncate,
}

/// A data set as the options ask for it.
pub struct Asked<'a> {
    /// The file or folder.
    pub path: &'a Path,
    /// Only so many examples.
    pub limit: Option<usize>,
    /// A shorter context than the model's, in tokens.
    pub max_length: Option<usize>,
    /// What to do with examples that are longer.
    pub too_long: WhenTooLong,
    /// Leaves out rows that cannot be used.
    pub skip_unusable: bool,
}

impl Asked<'_> {
    /// The context that examples must fit.
    pub fn context(&self, checkpoint: &Checkpoint) -> Result<usize> {
        let longest = checkpoint.config()?.max_position_embeddings;
        let context = self.max_length.unwrap_or(longest);
        if !(2..=longest).contains(&context) {
            let problem =
                format!("must be from 2 to the model's context of {longest}, got {context}");
            return Err(Error::invalid("--max-length", problem));
        }
        Ok(context)
    }

    /// Reads the data and renders them with the tokenizer of `checkpoint`; says on stderr what is left out. No model has scored them yet.
    pub fn read(&self, cx: &Context, checkpoint: &Checkpoint) -> Result<Scored> {
        let &Self { path, limit, too_long, skip_unusable, .. } = self;
        if limit == Some(0) {
            return Err(Error::invalid("--limit", "must be at least 1"));
        }
        let context = self.context(checkpoint)?;
        let tokenizer = cx.tokenizer(checkpoint)?;
        let data = match skip_unusable {
            true => Dataset::read_usable(path),
            false => Dataset::read(path)
                .map_err(|error| skippable(error, path, Dataset::read_usable(path))),
        };
        let Dataset { path, name, mut examples, unusable, unread, .. } = data?;
        examples.truncate(limit.unwrap_or(usize::MAX));
        let count = examples.len();
        note_columns(cx, &path, &unread);
        let too_long = match too_long {
            WhenTooLong::Refuse => TooLong::Refuse,
            WhenTooLong::Drop => TooLong::Drop,
            WhenTooLong::Truncate => TooLong::Truncate,
        };
        let render = |skip_unusable| {
            let how = Rendering { context, too_long, skip_unusable };
            Scored::rendered(&name, examples.clone(), &tokenizer, how)
        };
        let rendered = render(skip_unusable).map_err(|error| match error {
            // the library's message cannot know the options' names
            Error::Invalid { what, problem } if what == "context" => Error::invalid(
                path.display().to_string(),
                format!("{problem} (--too-long drop or truncate)"),
            ),
            other if !skip_unusable => skippable(other, &path, render(true)),
            other => other,
        })?;
        cx.mention_unread(&tokenizer, &rendered.examples);
        let unusable = [unusable, rendered.unusable.clone()].concat();
        note_unusable(cx, &unusable);
        note_too_long(cx, &rendered.too_long, count, context);
        if rendered.sequences.is_empty() {
            let problem =
                format!("every example is longer than {context} tokens, so nothing is left");
            return Err(Error::file(path, problem));
        }
        Ok(Scored { unusable, ..rendered })
    }
}

/// An error of a row with the way out, where it is one that can be left out.
pub fn skippable<T>(error: Error, path: &Path, usable: Result<T>) -> Error {
    Unusable::skippable(error, path, "--skip-unusable", usable)
}

/// The items of a file, and what of it cannot be used if that is to be left out.
pub fn items(path: &Path, skip_unusable: bool) -> Result<(Vec<Item>, Vec<Unusable>)> {
    match skip_unusable {
        true => read_usable_items(path),
        false => {
            let error = |error| skippable(error, path, read_usable_items(path));
            Ok((read_items(path).map_err(error)?, Vec::new()))
        }
    }
}

/// Says on stderr which rows are left out, and why.
pub fn note_unusable(cx: &Context, unusable: &[Unusable]) {
    if let Some(text) = Unusable::told(unusable) {
        cx.progress.note(&text);
    }
}

/// The same where nothing is computed yet.
pub fn tell_unusable(unusable: &[Unusable]) {
    if let Some(text) = Unusable::told(unusable) {
        tell!("{text}");
    }
}

/// Says which columns of a data set are not part of what is read.
pub fn note_columns(cx: &Context, path: &Path, unread: &[String]) {
    if !unread.is_empty() {
        let names: Vec<&str> = unread.iter().map(String::as_str).collect();
        let (path, names) = (path.display(), first_names(&names));
        cx.progress.note(&format!("{path}: columns that are not part of what is read: {names}"));
    }
}

fn note_too_long(cx: &Context, too_long: &[LongExample], examples: usize, context: usize) {
    for (cut, what) in [(false, "left out"), (true, "cut off there")] {
        let ids: Vec<&str> = too_long
            .iter()
            .filter(|long| long.truncated == cut)
            .map(|long| long.id.as_str())
            .collect();
        if !ids.is_empty() {
            cx.progress.note(&format!(
                "{} of {examples} examples are longer than {context} tokens and are {what}: {}",
                ids.len(),
                first_names(&ids)
            ));
        }
    }
}

/// The first few of many names.
pub fn first_names(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| Word(name).to_string()).collect();
    shown.join(", ") + more
}

/// Which other model is asked.
#[derive(Args)]
#[command(next_help_heading = "Reference model")]
pub struct Reference {
    /// Folder or hub name of another model, for rules of reference signals such as dpf(0); its tokenizer may be another one
    #[arg(long, value_name = "FOLDER")]
    reference: Option<String>,
    /// Adapter in PEFT's format, a folder or owner/name on the hub, put on the reference [alone: on the model that is trained]
    #[arg(long, value_name = "FOLDER")]
    reference_adapter: Option<PathBuf>,
}

impl Reference {
    /// What of it lies on disk.
    pub fn read(&self, reads: Reads) -> Reads {
        reads
            .given("--reference", self.reference.as_ref().map(PathBuf::from).as_ref())
            .given("--reference-adapter", self.reference_adapter.as_ref())
    }

    /// Its checkpoint, if one is named; `model` is the one that is trained.
    pub fn checkpoint(&self, cx: &Context, model: &Checkpoint) -> Result<Option<Checkpoint>> {
        let mut checkpoint = match (&self.reference, &self.reference_adapter) {
            (None, None) => return Ok(None),
            (Some(name), _) => Checkpoint::open(super::model_folder(cx, name)?)?
                .with_template(model.template.clone()),
            (None, Some(_)) => model.clone(),
        };
        checkpoint.adapter = super::adapter_folder(cx, self.reference_adapter.as_deref())?;
        Ok(Some(checkpoint))
    }
}

/// The weights that `--threshold T`, `--mask random:T|lowest:T` or `--weights EXPR` ask for: all tokens alike if none does.
pub fn weighting(
    threshold: Option<f64>,
    mask: Option<&str>,
    weights: Option<&str>,
) -> Result<Weighting> {
    let checked = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(Error::invalid(
            name,
            format!(
                "the threshold must be a perplexity above 0, got {value}; leave it out to learn every token"
            ),
        )),
    };
    if let Some(threshold) = threshold {
        return Weighting::stm(checked("--threshold", threshold)?);
    }
    if let Some(line) = weights {
        return line.parse().map_err(|error| match error {
            Error::Invalid { problem, .. } => Error::invalid("--weights", problem),
            other => other,
        });
    }
    let Some(mask) = mask else {
        return "all".parse();
    };
    let wrong = || {
        Error::invalid(
            "--mask",
            format!(
                "`{mask}` is none of random:T, lowest:T with a threshold T, such as random:2.5"
            ),
        )
    };
    let (kind, threshold) = mask.split_once(':').ok_or_else(wrong)?;
    let threshold = checked("--mask", threshold.parse().map_err(|_| wrong())?)?;
    match kind {
        "random" | "lowest" => format!("{kind}_mask({threshold})").parse(),
        _ => Err(wrong()),
    }
}

/// Refuses a rule that needs what is not there, before anything is computed.
pub fn check_offline(weighting: &Weighting, reference: Option<&Checkpoint>) -> Result<()> {
    if weighting.needs().online() {
        let problem = format!(
            "`{weighting}` follows the model while it learns; here weights are computed once, before: take a rule of base or reference signals"
        );
        return Err(Error::invalid("--weights", problem));
    }
    check_known(weighting, reference)
}

/// Refuses a reference model that the rule would not ask.
pub fn check_asked(weighting: &Weighting, reference: Option<&Checkpoint>) -> Result<()> {
    if reference.is_some() && !weighting.needs().reference {
        let problem = format!(
            "`{weighting}` asks no other model; leave it out, or take a rule of reference signals such as dpf(0)"
        );
        return Err(Error::invalid("--reference", problem));
    }
    Ok(())
}

/// Refuses a rule whose signals a ledger does not hold.
pub fn check_scored(weighting: &Weighting, ledger: &Ledger) -> Result<()> {
    masked::check(weighting).map_err(|problem| Error::invalid("--weights", problem))?;
    if weighting.needs().reference && !ledger.has("log_prob_reference") {
        let problem = format!(
            "`{weighting}` needs another model, and no other was asked when --tokens was made: make it with `unforget perplexity --reference`"
        );
        return Err(Error::invalid("--weights", problem));
    }
    Ok(())
}

/// Refuses a rule whose signals cannot be computed.
pub fn check_known(weighting: &Weighting, reference: Option<&Checkpoint>) -> Result<()> {
    masked::check(weighting).map_err(|problem| Error::invalid("--weights", problem))?;
    if weighting.needs().reference && reference.is_none() {
        let problem = format!(
            "`{weighting}` needs another model: name it with --reference, or --reference-adapter"
        );
        return Err(Error::invalid("--weights", problem));
    }
    Ok(())
}

/// The data with what `weighting` needs to be known of each token. The model `checkpoint` is the base.
pub fn scored_for(
    cx: &Context,
    checkpoint: &Checkpoint,
    rendered: Scored,
    weighting: &Weighting,
    reference: Option<&Checkpoint>,
) -> Result<Scored> {
    let needs = weighting.needs();
    let scored = match needs.base {
        true => verbs::score_rendered(cx, checkpoint, rendered)?,
        false => rendered,
    };
    match reference.filter(|_| needs.reference) {
        Some(reference) => verbs::score_against(cx, reference, checkpoint, scored),
        None => Ok(scored),
    }
}
