//! Graded answers as files that other programs read: shaped like lm-evaluation-harness's sample logs.
//!
//! A folder named for the model gets `samples_<task>_<date>.jsonl`, one row for each item, and `results_<date>.json` beside them. Keys
//! and hashes are those of lm-evaluation-harness 0.4.13 with `--log_samples`. What it has no word for (skill, form, why) stands
//! beside them under our own names, and so does what the chat template was given (`template_date`, `template_args`). Options that were scored by likelihood have no form, and `acc`, `acc_norm` and `acc_bytes` as there. Two things differ: `arg_0` is the user's turn before the chat template, and `doc` is our item.

mod read;

pub use read::{Measure, Samples, beside, files, read};

use crate::error::{Error, Result};
use crate::evaluate::Graded;
use crate::stats;
use crate::store::{bytes_hash, write_atomic, write_atomic_with};
use crate::task::{Accuracy, Check, Form, Item, Likelihood};
use crate::tokens::TemplateOptions;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of our way from an answer to what is graded, where the harness names its filters. Options need none, as in the harness.
fn filter(item: Option<&Item>) -> &'static str {
    match item {
        Some(item) if item.check.by_likelihood() => "none",
        _ => "unforget",
    }
}

/// One task that was evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Evaluated<'a> {
    /// The task's name.
    pub task: &'a str,
    /// Items in the task before a limit was put on them.
    pub of: usize,
    /// Worked examples in each prompt.
    pub shots: usize,
    /// The items that were asked.
    pub items: &'a [Item],
    /// Their answers, in the same order.
    pub graded: &'a [Graded],
    /// How it was asked, for the record.
    pub config: &'a Value,
}

/// What was evaluated, and how.
#[derive(Debug, Clone)]
pub struct Evaluation<'a> {
    /// The model's folder or name.
    pub model: &'a str,
    /// The adapter on it.
    pub adapter: Option<&'a str>,
    /// The model's chat template, if it has one.
    pub chat_template: Option<&'a str>,
    /// What the chat template was given, with the date that it wrote: with that a reader can render the prompts again.
    pub template: TemplateOptions,
    /// Where it was computed.
    pub device: &'a str,
    /// How answers were sampled.
    pub sampling: Value,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Items asked of each task at most.
    pub limit: Option<usize>,
    /// When it began.
    pub started: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
}

/// Writes the samples of each task and the results of all into `folder`, under the model's name. Returns the results' file.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write(folder: &Path, about: &Evaluation<'_>, tasks: &[Evaluated<'_>]) -> Result<PathBuf> {
    let name = sanitized(about.model);
    let folder = folder.join(&name);
    let date = date(about.ended);
    let mut hashes = Map::new();
    for task in tasks {
        let rows: Vec<Value> = task
            .items
            .iter()
            .zip(task.graded)
            .enumerate()
            .map(|(at, (item, graded))| {
                let mut row = sample(at, item, graded, about)?;
                if !matches!(item.check, Check::Likelihood { apply_chat_template: false, .. }) {
                    asked(&mut row, &about.template);
                }
                Ok(row)
            })
            .collect::<Result<_>>()?;
        let joined: String = rows
            .iter()
            .flat_map(|row| ["doc_hash", "prompt_hash", "target_hash"].map(|key| &row[key]))
            .filter_map(Value::as_str)
            .collect();
        hashes.insert(task.task.into(), bytes_hash(joined.as_bytes()).into());
        let file = folder.join(format!("samples_{}_{date}.jsonl", sanitized(task.task)));
        write_atomic_with(&file, |out| {
            for row in &rows {
                let line = text(row)?;
                writeln!(out, "{line}").map_err(Error::io("writing", &file))?;
            }
            Ok(())
        })?;
    }
    let results = results(about, &name, tasks, hashes);
    let file = folder.join(format!("results_{date}.json"));
    write_atomic(&file, pretty(&results)?.as_bytes())?;
    Ok(file)
}

/// Adds what the chat template was given to `row`, under the names that cards have for it.
fn asked(row: &mut Value, template: &TemplateOptions) {
    if let Some(date) = template.date {
        row["template_date"] = date.to_string().into();
    }
    if !template.args.is_empty() {
        row["template_args"] = json!(template.args);
    }
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::library("writing the samples"))
}

/// As Python's `json.dumps(value, indent=2, ensure_ascii=False)`.
fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(Error::library("writing the results"))
}

/// The name under which the harness would report this kind of grade.
fn metric(item: &Item) -> &'static str {
    match &item.check {
        Check::Sql { .. } | Check::Database { .. } => "execution_accuracy",
        Check::Instructions { .. } => "prompt_level_strict_acc",
        Check::Code { .. } => "pass_at_1",
        Check::Likelihood { measure, .. } => measure.name(),
        _ => "exact_match",
    }
}

/// What a right answer is, in a word: the harness's `target`.
fn target(item: &Item) -> String {
    match &item.check {
        Check::Math { answer, .. } | Check::Gsm8k { answer, .. } => answer.clone(),
        Check::Number { value, .. } => value.clone(),
        Check::Choice { letter, .. } => letter.to_string(),
        Check::Letter { key, .. } => key.clone(),
        Check::Likelihood { gold, .. } => gold.to_string(),
        _ => item.truth.clone(),
    }
}

fn sample(at: usize, item: &Item, graded: &Graded, about: &Evaluation<'_>) -> Result<Value> {
    let target = target(item);
    let score = &graded.score;
    if let Check::Likelihood { options, .. } = &item.check {
        return scored(at, item, options, graded);
    }
    let mut arguments = about.sampling.clone();
    arguments["max_gen_toks"] = about.max_new_tokens.into();
    arguments["until"] = json!([]);
    let mut row = json!({
        "doc_id": at,
        "doc": item,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": item.prompt, "arg_1": arguments}},
        "resps": [[graded.answer]],
        "filtered_resps": [score.extracted.clone().unwrap_or_default()],
        "filter": filter(Some(item)),
        "metrics": [],
        "doc_hash": bytes_hash(pretty(item)?.as_bytes()),
        "prompt_hash": bytes_hash(item.prompt.as_bytes()),
        "target_hash": bytes_hash(target.as_bytes()),
    });
    let mut metrics: Vec<(String, Value)> = vec![(metric(item).into(), score.value.into())];
    if matches!(item.check, Check::Instructions { .. }) {
        let each = |strict: bool| -> Value {
            let parts = score.parts.iter();
            parts
                .map(|part| if strict { part.strict } else { part.loose })
                .collect::<Vec<bool>>()
                .into()
        };
        metrics = vec![
            ("prompt_level_strict_acc".into(), (score.value == 1.0).into()),
            ("inst_level_strict_acc".into(), each(true)),
            ("prompt_level_loose_acc".into(), (score.skill == 1.0).into()),
            ("inst_level_loose_acc".into(), each(false)),
        ];
    }
    metrics.push(("skill".into(), score.skill.into()));
    row["metrics"] = metrics.iter().map(|(name, _)| name.as_str()).collect();
    for (name, value) in metrics {
        row[name] = value;
    }
    row["form"] = json!(score.form);
    row["truncated"] = graded.truncated.into();
    row["why"] = score.why.clone().into();
    Ok(row)
}

/// The sample of an item whose options were scored. The context is the one without a chat template.
fn scored(at: usize, item: &Item, options: &[String], graded: &Graded) -> Result<Value> {
    let (context, target) = (item.plain_context(), target(item));
    let delimiter = item.check.delimiter();
    let arguments = options.iter().enumerate().map(|(at, option)| {
        let one = json!({"arg_0": context, "arg_1": format!("{delimiter}{option}")});
        (format!("gen_args_{at}"), one)
    });
    // the harness writes both as Python prints them
    let python = |of: &Likelihood| {
        json!([format!("{:?}", of.log_likelihood), if of.is_greedy { "True" } else { "False" }])
    };
    let found: Vec<Value> = graded.likelihoods.iter().map(python).collect();
    let mut row = json!({
        "doc_id": at,
        "doc": item,
        "target": target,
        "arguments": arguments.collect::<Map<_, _>>(),
        "resps": found.iter().map(|one| json!([one])).collect::<Vec<_>>(),
        "filtered_resps": found,
        "filter": filter(Some(item)),
        "metrics": metrics_of(item),
        "doc_hash": bytes_hash(pretty(item)?.as_bytes()),
        "prompt_hash": bytes_hash(context.as_bytes()),
        "target_hash": bytes_hash(target.as_bytes()),
    });
    for part in &graded.score.parts {
        row[part.name.as_str()] = f64::from(u8::from(part.strict)).into();
    }
    row["why"] = graded.score.why.clone().into();
    Ok(row)
}

/// The measures of an item whose options were scored: first the one that is its score.
fn metrics_of(item: &Item) -> Vec<&'static str> {
    let first = metric(item);
    let others = Accuracy::ALL.map(Accuracy::name).into_iter().filter(|name| *name != first);
    std::iter::once(first).chain(others).collect()
}

/// Mean and standard error of each measure of a task.
fn measures(task: &Evaluated<'_>) -> Vec<(String, Vec<f64>)> {
    let of = |value: &dyn Fn(&Graded) -> f64| task.graded.iter().map(value).collect::<Vec<f64>>();
    let flag = |yes: bool| f64::from(u8::from(yes));
    let form = |form: Form| of(&|g: &Graded| flag(g.score.form == form));
    let mut all: Vec<(String, Vec<f64>)> = Vec::new();
    if let Some(item) = task.items.first().filter(|item| item.check.by_likelihood()) {
        // among them may be items that were answered in writing
        let right = |graded: &Graded, name: &str| match graded.likelihoods.is_empty() {
            true => graded.score.value,
            false => flag(graded.score.parts.iter().any(|part| part.name == name && part.strict)),
        };
        let one = |name: &'static str| (name.to_owned(), of(&|graded| right(graded, name)));
        return metrics_of(item).into_iter().map(one).collect();
    }
    let name = task.items.first().map_or("exact_match", metric);
    all.push((name.into(), of(&|g| g.score.value)));
    if name == "prompt_level_strict_acc" {
        let each = |strict: bool| -> Vec<f64> {
            let parts = task.graded.iter().flat_map(|g| &g.score.parts);
            parts.map(|part| flag(if strict { part.strict } else { part.loose })).collect()
        };
        all.push(("inst_level_strict_acc".into(), each(true)));
        all.push(("prompt_level_loose_acc".into(), of(&|g| g.score.skill)));
        all.push(("inst_level_loose_acc".into(), each(false)));
    }
    all.push(("skill".into(), of(&|g| g.score.skill)));
    all.push(("form_kept".into(), form(Form::Kept)));
    all.push(("no_parse".into(), form(Form::NoParse)));
    all.push(("truncated".into(), form(Form::Truncated)));
    all.push(("empty".into(), form(Form::Empty)));
    all
}

fn results(
    about: &Evaluation<'_>,
    name: &str,
    tasks: &[Evaluated<'_>],
    hashes: Map<String, Value>,
) -> Value {
    let each = |value: &dyn Fn(&Evaluated<'_>) -> Value| -> Value {
        let pairs = tasks.iter().map(|task| (task.task.to_owned(), value(task)));
        Value::Object(pairs.collect())
    };
    let scores = each(&|task| {
        let mut row = Map::new();
        row.insert("alias".into(), task.task.into());
        let filter = filter(task.items.first());
        for (name, values) in measures(task) {
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            row.insert(format!("{name},{filter}"), mean.into());
            let error = stats::standard_error(&values).map_or("N/A".into(), Value::from);
            row.insert(format!("{name}_stderr,{filter}"), error);
        }
        row.into()
    });
    let better = each(&|task| {
        let better = |name: &str| !matches!(name, "no_parse" | "truncated" | "empty");
        measures(task)
            .into_iter()
            .map(|(name, _)| (name.clone(), Value::from(better(&name))))
            .collect::<Map<_, _>>()
            .into()
    });
    let seconds =
        |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    let arguments = match about.adapter {
        Some(adapter) => format!("pretrained={},peft={adapter}", about.model),
        None => format!("pretrained={}", about.model),
    };
    let mut results = json!({
        "results": scores,
        "group_subtasks": each(&|_| json!([])),
        "configs": each(&|task| task.config.clone()),
        "versions": each(&|_| env!("CARGO_PKG_VERSION").into()),
        "n-shot": each(&|task| task.shots.into()),
        "higher_is_better": better,
        "n-samples": each(&|task| json!({"original": task.of, "effective": task.items.len()})),
        "config": {
            "model": "unforget",
            "model_args": arguments,
            "batch_size": null,
            "batch_sizes": [],
            "device": about.device,
            "use_cache": null,
            "limit": about.limit,
            "bootstrap_iters": 0,
            "gen_kwargs": about.sampling,
        },
        "git_hash": null,
        "date": seconds(about.started),
        "unforget_version": env!("CARGO_PKG_VERSION"),
        "task_hashes": hashes,
        "model_source": "unforget",
        "model_name": about.model,
        "model_name_sanitized": name,
        "system_instruction": null,
        "system_instruction_sha": null,
        "fewshot_as_multiturn": false,
        "chat_template": about.chat_template,
        "chat_template_sha": about.chat_template.map(|text| bytes_hash(text.as_bytes())),
        "start_time": seconds(about.started),
        "end_time": seconds(about.ended),
        "total_evaluation_time_seconds": (seconds(about.ended) - seconds(about.started)).to_string(),
    });
    asked(&mut results, &about.template);
    results
}

/// As the harness: every run of characters that a file's name should not have becomes two underscores.
fn sanitized(name: &str) -> String {
    let mut out = String::new();
    let mut odd = false;
    for c in name.trim_matches('/').chars() {
        let is_odd = "\"<>:/|\\?*[]".contains(c);
        if is_odd && !odd {
            out += "__";
        } else if !is_odd {
            out.push(c);
        }
        odd = is_odd;
    }
    match out.chars().all(|c| c == '.') {
        true => "model".into(),
        false => out,
    }
}

/// A time in UTC as the harness writes it into names: ISO 8601 with `-` for `:`.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // days since 1970 as a date: Howard Hinnant, "chrono-compatible low-level date algorithms"
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}-{:02}-{:02}.{:06}",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_dates_are_the_harness_s() {
        assert_eq!(sanitized("meta/Llama: 3*?8B"), "meta__Llama__ 3__8B");
        assert_eq!(sanitized("/a/b/"), "a__b");
        assert_eq!(sanitized(".."), "model");
        // python: datetime.utcfromtimestamp(t).isoformat(timespec="microseconds").replace(":", "-")
        let cases = [
            (0, "1970-01-01T00-00-00.000000"),
            (951_782_400, "2000-02-29T00-00-00.000000"),
            (1_735_689_599, "2024-12-31T23-59-59.000000"),
            (4_107_542_400, "2100-03-01T00-00-00.000000"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
