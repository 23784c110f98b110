use super::Common;
use super::ending::Ending;
use super::experiment::Output;
use super::template::Template;
use super::terminal::{say, show, tell};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};
use unforget::context::Context;
use unforget::error::{Error, Result};
use unforget::experiment::Recipe;
use unforget::interruption;
use unforget::model::DeviceChoice;
use unforget::progress::Progress;
use unforget::store::Store;
use unforget::sweep::{self, Plan, slurm};

const EXAMPLES: &str = "\
Example: a recipe my.toml, on a cluster with Slurm whose machines all see this folder
    unforget sweep plan my.toml --device cuda
    unforget sweep submit --engine slurm --partition gpu --gpus 1 --time 02:00:00 --throttle 8
    unforget sweep status
    unforget sweep gather
`unforget run my.toml` is plan, local and gather in one call. PLAN is the folder that `plan` names, or the recipe, with the same options \
and from the same folder; left out, it is the store's only plan.";

/// `unforget sweep`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Sweep {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// List the units of a recipe, one line each: what is done, what it needs, how far it is
    Plan(MakePlan),
    /// Do all units on this machine, or give them to Slurm
    Submit(Submit),
    /// Do one unit: what a task of an array calls
    Work(Work),
    /// Say how far the units are, and the command that mends what is not
    Status(Status),
    /// Write tables, figures and the report when all units are done, as `run` does
    Gather(Gather),
}

#[derive(Args)]
struct Which {
    /// The recipe, or the folder of a plan [default: the store's only plan]
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    template: Template,
}

#[derive(Args)]
struct MakePlan {
    /// The recipe; keys that it leaves out have the lab's values
    #[arg(value_name = "RECIPE")]
    plan: PathBuf,
    #[command(flatten)]
    template: Template,
    /// Print the manifest: one line of JSON for each unit
    #[arg(long)]
    json: bool,
}

/// Who does the units.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Engine {
    /// This process
    Local,
    /// Arrays of jobs
    Slurm,
}

#[derive(Args)]
struct Submit {
    #[command(flatten)]
    which: Which,
    /// Who does the units
    #[arg(long)]
    engine: Engine,
    /// Print the calls of sbatch with their scripts, and give Slurm nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    slurm: SlurmOptions,
}

/// What is asked of Slurm for each unit.
#[derive(Args)]
#[command(next_help_heading = "Slurm, for each unit")]
struct SlurmOptions {
    /// The partition
    #[arg(long)]
    partition: Option<String>,
    /// GPUs, such as 1 or a100:1
    #[arg(long)]
    gpus: Option<String>,
    /// Processors
    #[arg(long, value_name = "N", value_parser = positive)]
    cpus: Option<usize>,
    /// The longest time, such as 02:00:00; two minutes before it is up, a unit keeps what it has and is requeued
    #[arg(long)]
    time: Option<String>,
    /// Memory, such as 32G
    #[arg(long)]
    mem: Option<String>,
    /// The account that pays
    #[arg(long)]
    account: Option<String>,
    /// Most units of an array that run at once
    #[arg(long, value_name = "N", value_parser = positive)]
    throttle: Option<usize>,
}

fn positive(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be a whole number of at least 1".into()),
    }
}

#[derive(Args)]
struct Work {
    #[command(flatten)]
    which: Which,
    /// The unit's number in the manifest, from 0
    #[arg(long, value_name = "N")]
    index: usize,
    /// Wait for the units that it needs instead of refusing: for engines that do not order them
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
struct Status {
    #[command(flatten)]
    which: Which,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Gather {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    output: Output,
}

/// What is said where a step looks only.
const HINT: &str = "it was removed or changed since; `unforget sweep submit` makes it again";

impl Sweep {
    pub fn run(&self, common: &Common) -> Result<()> {
        match &self.step {
            Step::Plan(step) => step.run(common),
            Step::Submit(step) => step.run(common),
            Step::Work(step) => step.run(common),
            Step::Status(step) => step.run(common),
            Step::Gather(step) => step.run(common),
        }
    }
}

/// The store by an absolute path, as other machines and folders see it.
fn store(common: &Common) -> Result<Store> {
    let store = Store::choose(common.store.as_deref())?;
    let root = std::path::absolute(store.root());
    Store::open(root.map_err(Error::io("looking for", store.root()))?)
}

fn progress(common: &Common) -> Progress {
    if common.quiet { Progress::quiet() } else { Progress::on_stderr() }
}

/// A plan of a recipe, made on a machine that may not have the device.
fn planned(common: &Common, file: &Path, template: &Template) -> Result<Plan> {
    let mut recipe = template.apply(Recipe::read(file)?)?;
    recipe.precision = common.precision()?.or(recipe.precision);
    let device = common.device.parse::<DeviceChoice>()?;
    let cx = Context::looking_on(store(common)?, device, progress(common), HINT)?;
    Plan::of(&cx, &recipe, &common.device)
}

impl Which {
    /// The plan, and the store that it is of.
    fn plan(&self, common: &Common) -> Result<(Plan, Store)> {
        let Some(path) = &self.plan else {
            let store = store(common)?;
            return Ok((Plan::only(&store)?, store));
        };
        if !path.is_dir() {
            return Ok((planned(common, path, &self.template)?, store(common)?));
        }
        let plan = Plan::read(&std::path::absolute(path).map_err(Error::io("looking for", path))?)?;
        let root = plan.folder().ancestors().nth(2).unwrap_or(Path::new("/"));
        let is_root = |given: &Path| given.canonicalize().ok() == root.canonicalize().ok();
        if !common.store.as_deref().is_none_or(is_root) {
            let problem = format!("the plan is of the store {}; leave it out", root.display());
            return Err(Error::invalid("--store", problem));
        }
        let store = Store::open(root)?;
        Ok((plan, store))
    }
}

/// The context in which the units of `plan` are done: from the folder from which its paths count.
fn at_work(common: &Common, plan: &Plan, store: Store) -> Result<Context> {
    let _ = std::env::set_current_dir(&plan.place.folder);
    let mut cx = Context::new(store, plan.place.device.parse::<DeviceChoice>()?, progress(common))?;
    if let Some(workers) = common.workers {
        cx.workers = workers.max(1);
    }
    Ok(cx)
}

impl MakePlan {
    fn run(&self, common: &Common) -> Result<()> {
        let plan = planned(common, &self.plan, &self.template)?;
        plan.write()?;
        if self.json {
            for step in &plan.steps {
                let line = serde_json::to_string(step).map_err(Error::library("writing JSON"))?;
                say!("{line}");
            }
            return Ok(());
        }
        let states = plan.status(&store(common)?)?.states;
        for (step, state) in plan.steps.iter().zip(&states) {
            let needs: Vec<String> = step.needs.iter().map(usize::to_string).collect();
            let needs = match needs.is_empty() {
                true => String::new(),
                false => format!("  needs {}", needs.join(", ")),
            };
            say!("{:>4}  {:<8}  {}{needs}", step.index, state.name(), step.unit);
        }
        say!("{} units; plan: {}", plan.steps.len(), plan.folder().display());
        Ok(())
    }
}

impl Submit {
    fn run(&self, common: &Common) -> Result<()> {
        let (plan, store) = self.which.plan(common)?;
        let given = &self.slurm;
        let options = slurm::Options {
            partition: given.partition.clone(),
            gpus: given.gpus.clone(),
            cpus: given.cpus,
            time: given.time.clone(),
            memory: given.mem.clone(),
            account: given.account.clone(),
            throttle: given.throttle,
        };
        if self.engine == Engine::Local {
            if self.print || options != slurm::Options::default() {
                let problem = "does the units in this process, which takes no options of Slurm and has no scripts";
                return Err(Error::invalid("--engine local", problem));
            }
            plan.write()?;
            return sweep::local(&at_work(common, &plan, store)?, &plan);
        }
        let program =
            std::env::current_exe().map_err(Error::io("looking for", Path::new("unforget")))?;
        if self.print {
            plan.write()?;
            show!("{}", slurm::print(&plan, &program, &options));
            return Ok(());
        }
        match slurm::submit(&store, &plan, &program, &options)? {
            Some(submission) => {
                for array in &submission.arrays {
                    let kind = plan.step(array.units[0])?.unit.kind();
                    say!("job {}: {kind}, {} units", array.job, array.units.len());
                }
            }
            None => say!("nothing to do: all units are done or in the queue"),
        }
        Ok(())
    }
}

impl Work {
    fn run(&self, common: &Common) -> Result<()> {
        interruption::heed_the_cluster();
        let (plan, store) = self.which.plan(common)?;
        let cx = at_work(common, &plan, store)?;
        let step = plan.step(self.index)?;
        let done = sweep::work(&cx, &plan, self.index, self.wait)?;
        tell!("unit {} ({}) is done: {}", step.index, step.unit, done.made.join(", "));
        Ok(())
    }
}

impl Status {
    fn run(&self, common: &Common) -> Result<()> {
        let (plan, store) = self.which.plan(common)?;
        let status = plan.status(&store)?;
        if self.json {
            let units = plan.steps.iter().zip(&status.states).map(|(step, state)| {
                json!({ "index": step.index, "unit": step.unit.to_string(), "state": state })
            });
            let units: Vec<_> = units.collect();
            return super::print_json(&json!({
                "plan": plan.folder(),
                "units": units,
                "free": status.free,
                "mend": status.mend,
            }));
        }
        for (step, state) in plan.steps.iter().zip(&status.states) {
            say!("{:>4}  {}: {state}", step.index, step.unit);
        }
        let done = status.states.iter().filter(|state| **state == sweep::State::Done).count();
        say!("{done} of {} units are done", plan.steps.len());
        for line in &status.mend {
            say!("next: {line}");
        }
        Ok(())
    }
}

impl Gather {
    fn run(&self, common: &Common) -> Result<()> {
        let (plan, store) = self.which.plan(common)?;
        let file = self.which.plan.as_ref().filter(|path| path.is_file());
        let output = self.output.checked(common, &plan.recipe, file)?;
        let device = plan.place.device.parse::<DeviceChoice>()?;
        let cx = Context::looking_on(store, device, progress(common), HINT)?;
        let ending = (self.output.ending(Ending::Main), &[][..]);
        self.output.write(&cx, &plan.recipe, output, ending, || {
            // the recipe's paths count from the plan's folder, the results' from here
            let here = std::env::current_dir().map_err(Error::io("looking for", Path::new(".")))?;
            let _ = std::env::set_current_dir(&plan.place.folder);
            let results = sweep::gather(&cx, &plan);
            std::env::set_current_dir(&here).map_err(Error::io("going back to", &here))?;
            results
        })
    }
}

#[cfg(test)]
mod tests {
    use super::positive;

    #[test]
    fn numbers_begin_at_one() {
        assert_eq!(positive("3"), Ok(3));
        assert!(positive("0").is_err() && positive("many").is_err());
    }
}
