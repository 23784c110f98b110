use super::report::read as read_results;
use super::terminal::print_table;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use unforget::error::{Error, Result, there_are};
use unforget::experiment::results::Results;
use unforget::report::forgetting::{p_value, pairs_of, range};
use unforget::report::summary::arms;
use unforget::samples::{self, Measure};
use unforget::select::canonical;
use unforget::stats::{Adjusted, Comparison, Design, Pair, Test};
use unforget::table::{Cell, Table};

const EXAMPLES: &str = "\
Examples:
  What an adapter changed, task by task (the two folders were written by `unforget evaluate ... --out`):
    unforget compare samples/base samples/tuned
  Two sample files, also those of lm-evaluation-harness, with a margin of one point:
    unforget compare a/samples_gsm8k_2026-01-01.jsonl b/samples_gsm8k_2026-01-02.jsonl --margin 1 --measure exact_match --filter strict-match
  Two arms of an experiment over all its seeds; `base` is one of them:
    unforget compare base 'stm(2.5)' --results results/lab";

/// `unforget compare`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// Samples of the first model, a file or a folder; with --results, an arm or `base`
    first: String,
    /// The same for the second model; differences are second − first
    second: String,
    /// Compare two arms of these results: results.json, or the folder that holds it
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["measure", "filter"])]
    results: Option<PathBuf>,
    /// Change in points that would not matter [default: the recipe's with --results, else 2]
    #[arg(long, value_name = "POINTS")]
    margin: Option<f64>,
    /// Measure to compare [default: the first that each row names]
    #[arg(long, value_name = "NAME")]
    measure: Option<String>,
    /// Filter to compare, where a sample file has several rows for an item
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Document<'a> {
    first: &'a str,
    second: &'a str,
    design: Design,
    comparisons: Vec<Line>,
}

/// One task, or several together.
#[derive(Serialize)]
struct Line {
    tasks: String,
    /// Adjusted over the tasks; `None` for several together.
    adjusted: Option<Adjusted>,
    #[serde(flatten)]
    comparison: Comparison,
}

/// A name and the pairs that go with it.
type Named = (String, Vec<Pair>);

impl Compare {
    pub fn run(&self) -> Result<()> {
        let (single, together, margin) = match &self.results {
            Some(path) => self.arms(&read_results(path)?.1.results)?,
            None => self.samples()?,
        };
        let design = match self.margin.or(margin) {
            Some(margin) => Design::with_margin(margin)?,
            None => Design::default(),
        };
        let compare = |(name, pairs): &Named| -> Result<(String, Comparison)> {
            let found = Comparison::of(pairs, &design);
            let found = found.map_err(|error| Error::invalid(name.clone(), error.to_string()))?;
            Ok((name.clone(), found))
        };
        let single = single.iter().map(compare).collect::<Result<Vec<_>>>()?;
        let family: Vec<&Comparison> = single.iter().map(|(_, found)| found).collect();
        let adjusted = Adjusted::of(&family, &design);
        let mut lines: Vec<Line> = single
            .into_iter()
            .zip(adjusted)
            .map(|((tasks, comparison), adjusted)| Line {
                tasks,
                adjusted: Some(adjusted),
                comparison,
            })
            .collect();
        if let Some(together) = &together {
            let (tasks, comparison) = compare(together)?;
            lines.push(Line { tasks, adjusted: None, comparison });
        }
        if self.json {
            let (first, second) = (&self.first, &self.second);
            return super::print_json(&Document { first, second, design, comparisons: lines });
        }
        print_table(&self.table(&lines, &design));
        Ok(())
    }

    /// Each task of two sample files or folders, and all of them together.
    fn samples(&self) -> Result<(Vec<Named>, Option<Named>, Option<f64>)> {
        let measure = Measure { name: self.measure.clone(), filter: self.filter.clone() };
        let (first, second) = (Path::new(&self.first), Path::new(&self.second));
        let (one, two) = (samples::files(first)?, samples::files(second)?);
        let files: Vec<(String, PathBuf, PathBuf)> = if first.is_file() && second.is_file() {
            let named = one.into_iter().zip(two.into_values());
            named.map(|((task, first), second)| (task, first, second)).collect()
        } else {
            for (here, there, folder) in [(&one, &two, second), (&two, &one, first)] {
                if let Some(task) = here.keys().find(|task| !there.contains_key(*task)) {
                    let hint = "evaluate both models on the same tasks, or compare two files";
                    return Err(Error::missing(format!("samples of {task}"), folder, hint));
                }
            }
            let named = one.into_iter().zip(two.into_values());
            named.map(|((task, first), second)| (task, first, second)).collect()
        };
        let mut single = Vec::new();
        for (task, first, second) in files {
            let [first, second] = samples::beside(
                &samples::read(&first, &measure)?,
                &samples::read(&second, &measure)?,
            )?;
            let pair = Pair { weight: 1.0, first: vec![first], second: vec![second] };
            single.push((if task.is_empty() { "samples".into() } else { task }, vec![pair]));
        }
        let together = (single.len() > 1).then(|| ("mean".to_owned(), mean(&single)));
        Ok((single, together, None))
    }

    /// Each task of two arms, and the non-target tasks together.
    fn arms(&self, results: &Results) -> Result<(Vec<Named>, Option<Named>, Option<f64>)> {
        let mut known = vec!["base"];
        known.extend(arms(results));
        let (first, second) = (canonical(&self.first), canonical(&self.second));
        for (what, typed, name) in
            [("first", &self.first, &first), ("second", &self.second, &second)]
        {
            if !known.contains(&name.as_str()) {
                let known = there_are(typed, &known);
                let problem = format!("no arm `{typed}` in these results; {known}");
                return Err(Error::invalid(what, problem));
            }
        }
        let pairs = |tasks: &[usize]| pairs_of(results, tasks, &first, &second);
        let mut single = Vec::new();
        for (at, task) in results.base.iter().enumerate() {
            single.push((task.task.clone(), pairs(&[at])?));
        }
        if single.iter().any(|(_, pairs)| pairs.is_empty()) {
            let problem = format!(
                "`{}` and `{}` have no seed in common that was tested",
                self.first, self.second
            );
            return Err(Error::invalid("arms", problem));
        }
        let together = match results.base.len() {
            0..=2 => None,
            count => Some(("non-target mean".to_owned(), pairs(&(1..count).collect::<Vec<_>>())?)),
        };
        Ok((single, together, Some(results.margin)))
    }

    fn table(&self, lines: &[Line], design: &Design) -> Table {
        let several = lines.iter().filter(|line| line.adjusted.is_some()).count() > 1;
        let seeds = lines.first().map_or(1, |line| line.comparison.seeds);
        let moved = |line: &Line| match line.comparison.test {
            Test::McNemar(counts) => Some(counts),
            _ => None,
        };
        let margin = design.margin;
        let test = match seeds > 1 {
            true => format!("Student's t over items and {seeds} seeds, sign flips where all items moved alike"),
            false => "McNemar's exact test, or sign flips where values are shares or tasks are taken together".to_owned(),
        };
        let holm =
            if several { ", adjusted by Holm over the tasks (the last line is not)" } else { "" };
        // counts are there with one seed only
        Table::new(format!("{} against {}; margin {margin} points", self.second, self.first))
            .legend(format!(
                "points: second − first, paired by item. 95 %: the wider of the bootstrap's interval and Student's. lost, gained: items that only the first, only the second \
                 has right. p: {test}{holm}. not worse: whether a loss of {margin} points or more can be ruled out; equal: whether a change of that size either way can (TOST \
                 at 5 %, and the 90 % interval). least: the smallest change found with a probability of 80 %. n differ, n equal: items that would be needed to find a change of {margin} \
                 points, or to show that there is none, at this share of items that change."
            ))
            .rows(lines)
            .column("task", |line| &line.tasks)
            .column("items", |line| line.comparison.items)
            .column("first %", |line| Cell::number(line.comparison.first, 1))
            .column("second %", |line| Cell::number(line.comparison.second, 1))
            .column("points", |line| Cell::points(line.comparison.difference.value))
            .column("95 %", |line| range(line.comparison.interval))
            .column("lost", |line| moved(line).map(|counts| counts.lost))
            .column("gained", |line| moved(line).map(|counts| counts.gained))
            .column("p", |line| p_value(line.adjusted.map_or(line.comparison.p, |all| all.p)))
            .column("not worse", |line| {
                line.adjusted.map_or(line.comparison.not_lower, |all| all.not_lower).to_string()
            })
            .column("equal", |line| line.comparison.equal.to_string())
            .column("least", |line| Cell::number(line.comparison.smallest_effect, 1))
            .column("n differ", |line| line.comparison.items_to_differ)
            .column("n equal", |line| line.comparison.items_to_equal)
            .table()
            .first(&["points", "95 %", "not worse", "p", "lost", "gained", "equal"])
            .without_empty()
    }
}

/// All tasks together, each weighed alike.
fn mean(single: &[Named]) -> Vec<Pair> {
    let weight = 1.0 / single.len() as f64;
    let pairs = single.iter().flat_map(|(_, pairs)| pairs);
    pairs.map(|pair| Pair { weight, ..pair.clone() }).collect()
}
