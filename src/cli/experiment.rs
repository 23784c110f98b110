use super::Common;
use super::ending::{self, Ending};
use super::output::Reads;
use super::template::Template;
use super::terminal::tell;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};
use unforget::context::Context;
use unforget::error::{Error, Result};
use unforget::experiment::results::Results;
use unforget::experiment::{Recipe, renamed_keys};
use unforget::files::read_text;
use unforget::provenance::{Computation, Times, VERSION};
use unforget::report::{self, Provenance, Report};
use unforget::store;
use unforget::sweep;

/// `unforget lab`
#[derive(Args)]
pub struct Lab {
    /// Seeds at each arm's chosen rate
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Four arms at one rate, one seed, fewer items, on one screen: under a minute
    #[arg(long)]
    quick: bool,
    /// The task to train for: code or algebra
    #[arg(long, default_value = "code")]
    target: String,
    #[command(flatten)]
    template: Template,
    #[command(flatten)]
    output: Output,
}

/// What to look at after the lab.
const TRY_NEXT: (&str, &str) = ("unforget notebook", "the same step by step");

const EXAMPLES: &str = "\
Example: a file my.toml with the four lines
    name = \"my-comparison\"
    model = \"lab\"
    arms = [\"ground_truth\", \"stm(2.5)\", \"self_output\"]
    seeds = [1, 2]
and
    unforget run my.toml

results/my-comparison/results.json then holds the whole recipe with every key. The same call resumes \
what was stopped.";

/// `unforget run`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RunRecipe {
    /// The recipe; keys that it leaves out have the lab's values
    recipe: PathBuf,
    #[command(flatten)]
    template: Template,
    #[command(flatten)]
    output: Output,
}

/// Where results go.
#[derive(Args)]
pub struct Output {
    /// Folder for tables, figures and the report [default: results/<name of the recipe>]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print every table, the main one last
    #[arg(long)]
    all: bool,
    /// Print the results as JSON instead of a table
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

impl Output {
    pub fn ending(&self, ending: Ending) -> Ending {
        if self.all { Ending::All } else { ending }
    }
}

impl Lab {
    pub fn run(&self, common: &Common) -> Result<()> {
        if self.seeds == 0 {
            return Err(Error::invalid("--seeds", "must be at least 1"));
        }
        let mut recipe = if self.quick { Recipe::quick() } else { Recipe::lab() };
        if !self.quick {
            recipe.seeds = (1..=self.seeds).collect();
        }
        recipe.precision = common.precision()?.or(recipe.precision);
        let recipe = self.template.apply(recipe.with_target(&self.target)?)?;
        let (ending, next): (_, &[_]) = match self.quick {
            true => (Ending::Screen, &[("unforget lab", "more arms, rates and seeds"), TRY_NEXT]),
            false => (Ending::Main, &[TRY_NEXT]),
        };
        self.output.run(common, &recipe, None, (self.output.ending(ending), next))
    }
}

impl RunRecipe {
    pub fn run(&self, common: &Common) -> Result<()> {
        let mut recipe = self.template.apply(Recipe::read(&self.recipe)?)?;
        let text = read_text(&self.recipe, "reading the recipe")?;
        for (old, new) in renamed_keys(&text) {
            tell!("{}: `{old}` is called `{new}` now", self.recipe.display());
        }
        recipe.precision = common.precision()?.or(recipe.precision);
        let ending = self.output.ending(Ending::Main);
        self.output.run(common, &recipe, Some(&self.recipe), (ending, &[]))
    }
}

impl Output {
    fn run(
        &self,
        common: &Common,
        recipe: &Recipe,
        file: Option<&PathBuf>,
        ending: (Ending, &[(&str, &str)]),
    ) -> Result<()> {
        let output = self.checked(common, recipe, file)?;
        let cx = common.context()?;
        self.write(&cx, recipe, output, ending, || sweep::run(&cx, recipe, &common.device))
    }

    /// The folder for results, which takes nothing of what the call reads.
    pub fn checked(
        &self,
        common: &Common,
        recipe: &Recipe,
        file: Option<&PathBuf>,
    ) -> Result<store::Output> {
        let out = self.folder(recipe);
        let output =
            store::Output::within("--out", &out, &report::FILES).older(report::is_in(&out));
        let reads = Reads::new(common)?.model(&recipe.model).given("RECIPE", file);
        let reads = match recipe.tasks.as_str() {
            "lab" => reads,
            folder => reads.path("tasks", folder),
        };
        reads.check(std::slice::from_ref(&output))?;
        Ok(output)
    }

    fn folder(&self, recipe: &Recipe) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("results").join(&recipe.name))
    }

    /// Writes what `compute` gives into the folder, and prints it.
    pub fn write(
        &self,
        cx: &Context,
        recipe: &Recipe,
        output: store::Output,
        (ending, next): (Ending, &[(&str, &str)]),
        compute: impl FnOnce() -> Result<Results>,
    ) -> Result<()> {
        let (started, clock) = (Instant::now(), SystemTime::now());
        let results = compute()?;
        let provenance = Provenance {
            title: format!("{}: what is learned and what is forgotten", recipe.name),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            recipe_toml: recipe.to_toml()?,
            crate_version: VERSION.into(),
            computation: Computation::of_runs(cx),
            times: Times::new(clock, started.elapsed().as_secs_f64()),
            notes: Vec::new(),
        };
        let report = Report::of(results)?;
        let files = output.write(|| report.write(&provenance, &self.folder(recipe)))?;
        let page = files.first().map(PathBuf::as_path);
        if self.json {
            super::print_json(&*report.summary.results)?;
            if let Some(page) = page {
                cx.progress.note(&format!("page: {}", page.display()));
            }
            return Ok(());
        }
        ending::print(&report, ending, page, next);
        Ok(())
    }
}
