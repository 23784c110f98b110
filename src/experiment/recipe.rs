use super::{Arm, Variant};
use crate::answers::{Task, Tasks};
use crate::context::Context;
use crate::dataset::{Unusable, read_items, read_usable_items};
use crate::error::{Error, Result, there_are};
use crate::files::read_text;
use crate::generate::Sampling;
use crate::hub;
use crate::model::{Checkpoint, Precision};
use crate::probe::{ProbeSet, Role, Watch, WhenForgotten};
use crate::progress::Progress;
use crate::scored::Scored;
use crate::self_output::{Conditioning, SelfOutput};
use crate::stats::{self, Design};
use crate::task::{Accuracy, Item};
use crate::tokens::{DateTime, TemplateOptions};
use crate::train::TrainConfig;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Everything that decides an experiment. Read from TOML; the keys are the fields' names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names the results: a folder's name.
    pub name: String,
    /// Folder of the model, `owner/name@revision` of the hub, or `lab` for the one that ships with the crate.
    pub model: String,
    /// Folder with a folder for each task, in which `train.jsonl`, `validation.jsonl` and `test.jsonl` hold items; or `lab`.
    pub tasks: String,
    /// The task that is trained for.
    pub target: String,
    /// The tasks that should not be lost.
    pub non_target: Vec<String>,
    /// What is compared.
    pub arms: Vec<Arm>,
    /// Peak rates tried for every arm with the first seed; the other seeds run at each arm's best one.
    pub learning_rates: Vec<f64>,
    /// One rate at which every arm is trained with every seed, as the paper compares arms; left out, there is none. It is tried whether or not
    /// `learning_rates` have it, and validation chooses among these alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_learning_rate: Option<f64>,
    /// Seeds of the adapter's start, the order of examples and random masks.
    pub seeds: Vec<u64>,
    /// Whether every seed runs at every rate, and not only at the arm's best one.
    pub seeds_at_every_rate: bool,
    /// Thresholds of the curve that shows what would be masked.
    pub thresholds: Vec<f64>,
    /// Points that may be lost in the mean of the non-target tasks and still count as nothing forgotten; decided before looking.
    pub margin: f64,
    /// How many items of each split are used.
    pub sizes: DataSizes,
    /// How training goes; rate and seed are replaced by each run's own.
    pub finetune: TrainConfig,
    /// How Self-Output is sampled and chosen.
    pub self_output: SelfOutput,
    /// How Rephrase is sampled.
    pub rephrase: SelfOutput,
    /// Longest answer in evaluation, in tokens.
    pub max_new_tokens: usize,
    /// How questions with options are scored: by the likelihood of each option, with this measure; left out, by a written answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Accuracy>,
    /// Whether these questions are put by the model's chat template, as all others are [default: false, as lm-evaluation-harness].
    #[serde(default, skip_serializing_if = "is_false")]
    pub apply_chat_template: bool,
    /// Tasks that are looked at while a model is trained, on their validation splits; some training examples are looked at beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<String>,
    /// Items of each of them [default: 50].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_items: Option<usize>,
    /// Steps between two looks [default: 20]; see [`Watch::every`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_every: Option<usize>,
    /// See [`Watch::share`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_share: Option<f64>,
    /// See [`Watch::forget_at_most`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_at_most: Option<f64>,
    /// See [`Watch::when_forgotten`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_forgotten: Option<WhenForgotten>,
    /// Leaves out training items that cannot be used, and counts them, instead of refusing all: one whose reference no answer can match, or
    /// whose answer is empty or begins with white space that the template's tokens do not allow [default: false].
    #[serde(default, skip_serializing_if = "is_false")]
    pub skip_unusable: bool,
    /// The date that a chat template writes, such as `2025-01-31` [default: today].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_date: Option<DateTime>,
    /// Variables of the chat template, such as `enable_thinking = false`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_args: BTreeMap<String, serde_json::Value>,
    /// In what products with frozen weights are computed on a processor: `f32`, `bf16x2` or `bf16` [default: the context's, f32].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Other ways of training, for arms that name one: `stm(2.5)@dora`.
    pub variants: BTreeMap<String, Variant>,
}

/// The key that leaves out rows that cannot be used.
pub(super) const SKIP: &str = "skip_unusable = true in the recipe";

fn is_false(value: &bool) -> bool {
    !value
}

/// Items used of each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSizes {
    /// Of the target's training split.
    pub train: usize,
    /// Of the target's validation split, which chooses each arm's rate.
    pub validation: usize,
    /// Of every task's test split.
    pub test: usize,
}

impl Recipe {
    /// The lab's comparison on the model that ships with the crate: code as the target, the other five tasks beside it.
    pub fn lab() -> Self {
        let sampling = Sampling { max_new_tokens: 128, ..Sampling::paper() };
        Self {
            name: "lab".into(),
            model: "lab".into(),
            tasks: "lab".into(),
            target: "code".into(),
            non_target: ["algebra", "word", "choice", "sql", "follow"].map(String::from).to_vec(),
            arms: ["ground_truth", "ground_truth_on_self_output_items", "self_output", "rephrase"]
                .iter()
                .chain(&["stm(2.5)", "random_mask(2.5)", "lowest_mask(2.5)"])
                .filter_map(|name| name.parse().ok())
                .collect(),
            learning_rates: vec![1e-4, 3e-4, 1e-3, 3e-3],
            common_learning_rate: Some(3e-3),
            seeds: vec![1, 2, 3],
            seeds_at_every_rate: false,
            thresholds: vec![1.1, 1.5, 2.0, 2.5, 5.0, 10.0, 25.0, 100.0, 1000.0],
            margin: Design::default().margin,
            sizes: DataSizes { train: 256, validation: 250, test: 100 },
            finetune: TrainConfig::lab(),
            self_output: SelfOutput {
                samples: 16,
                sampling: sampling.clone(),
                lowest: Conditioning::GivenPrompt,
            },
            rephrase: SelfOutput { samples: 1, sampling, lowest: Conditioning::GivenPrompt },
            max_new_tokens: 128,
            choices: None,
            apply_chat_template: false,
            probe: Vec::new(),
            probe_items: None,
            probe_every: None,
            probe_share: None,
            forget_at_most: None,
            when_forgotten: None,
            skip_unusable: false,
            template_date: None,
            template_args: BTreeMap::new(),
            precision: None,
            variants: BTreeMap::new(),
        }
    }

    /// The lab's comparison in a minute: four arms at one rate, one seed, fewer items.
    pub fn quick() -> Self {
        Self {
            name: "lab-quick".into(),
            arms: ["ground_truth", "stm(2.5)", "random_mask(2.5)", "self_output"]
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            learning_rates: vec![3e-3],
            seeds: vec![1],
            sizes: DataSizes { train: 128, validation: 100, test: 50 },
            ..Self::lab()
        }
    }

    /// Reads a recipe; a key that is not known is an error that names the nearest known one.
    ///
    /// Keys that are left out have the lab recipe's values, but for `common_learning_rate`, which is then none, and for `name`, which is then the
    /// file's own without its ending.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, "reading the recipe")?;
        let refused = |problem| Error::file(path, problem);
        let mut recipe = Self::parse(&text).map_err(refused)?;
        let given: toml::Table = toml::from_str(&text).map_err(|e| refused(e.to_string()))?;
        if !given.contains_key("name") {
            recipe.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if [Self::lab().name, Self::quick().name].contains(&recipe.name) {
                let problem = format!(
                    "has no `name`, and by the file's its results would take the place of those of `unforget lab`; give it one, such as name = \"my-{}\"",
                    recipe.name
                );
                return Err(refused(problem));
            }
            recipe.check().map_err(|error| refused(error.to_string()))?;
        }
        Ok(recipe)
    }

    /// A recipe from TOML; says what is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut given: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        let defaults = Self { common_learning_rate: None, ..Self::lab() };
        let defaults = toml::Table::try_from(defaults).map_err(|e| e.to_string())?;
        if let Some(date @ toml::Value::Datetime(_)) = given.get_mut("template_date") {
            *date = toml::Value::String(date.to_string());
        }
        let variants = given.remove("variants");
        let mut merged = merge(&defaults, given, "")?;
        if let Some(variants) = variants {
            let made = with_variants(&merged, variants)?;
            merged.insert("variants".into(), toml::Value::Table(made));
        }
        let recipe: Self =
            toml::Value::Table(merged).try_into().map_err(|e: toml::de::Error| e.to_string())?;
        recipe.check().map_err(|e| e.to_string())?;
        Ok(recipe)
    }

    /// The recipe as TOML, complete.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(Error::library("writing the recipe"))
    }

    /// Refuses what cannot be run, by name.
    pub fn check(&self) -> Result<()> {
        let some = |name: &str, empty: bool| {
            if empty { Err(Error::invalid(name, "must name at least one")) } else { Ok(()) }
        };
        let plain = |c: char| !c.is_control() && !['/', '\\'].contains(&c);
        if matches!(self.name.trim(), "" | "." | "..") || !self.name.chars().all(plain) {
            let problem = format!(
                "must be the name of a folder, which results/ gets, without / and \\, got {:?}",
                self.name
            );
            return Err(Error::invalid("name", problem));
        }
        some("arms", self.arms.is_empty())?;
        some("learning_rates", self.learning_rates.is_empty())?;
        some("seeds", self.seeds.is_empty())?;
        some("non_target", self.non_target.is_empty())?;
        stats::distinct("arms", &self.arms)?;
        stats::distinct("learning_rates", &self.learning_rates)?;
        stats::distinct("seeds", &self.seeds)?;
        stats::distinct("non_target", &self.non_target)?;
        stats::distinct("thresholds", &self.thresholds)?;
        stats::distinct("probe", &self.probe)?;
        for arm in &self.arms {
            let Some(name) = arm.variant.as_ref() else {
                continue;
            };
            if !self.variants.contains_key(name) {
                let known: Vec<&str> = self.variants.keys().map(String::as_str).collect();
                let problem = format!(
                    "there is no [variants.{name}]; the recipe has: {}",
                    if known.is_empty() { "none".into() } else { known.join(", ") }
                );
                return Err(Error::invalid(format!("arm `{arm}`"), problem));
            }
        }
        for (name, variant) in &self.variants {
            let what = format!("variants.{name}.learning_rates");
            some(&what, variant.learning_rates.is_empty())?;
            stats::distinct(&what, &variant.learning_rates)?;
            for rate in &variant.learning_rates {
                TrainConfig { learning_rate: *rate, ..variant.finetune.clone() }.check()?;
            }
        }
        if self.non_target.contains(&self.target) {
            return Err(Error::invalid("non_target", format!("`{}` is the target", self.target)));
        }
        for threshold in &self.thresholds {
            if !(threshold.is_finite() && *threshold > 0.0) {
                let problem = format!("a threshold must be a number above 0, got {threshold}");
                return Err(Error::invalid("thresholds", problem));
            }
        }
        for rate in self.learning_rates.iter().chain(&self.common_learning_rate) {
            TrainConfig { learning_rate: *rate, ..self.finetune.clone() }.check()?;
        }
        self.check_reweighing()?;
        Design::with_margin(self.margin)?;
        for task in &self.probe {
            if *task != self.target && !self.non_target.contains(task) {
                let problem = format!("`{task}` is neither the target nor one of `non_target`");
                return Err(Error::invalid("probe", problem));
            }
        }
        let of_probes = [
            ("probe_items", self.probe_items.is_some()),
            ("probe_every", self.probe_every.is_some()),
            ("probe_share", self.probe_share.is_some()),
            ("forget_at_most", self.forget_at_most.is_some()),
            ("when_forgotten", self.when_forgotten.is_some()),
        ];
        if let Some((name, _)) = of_probes.iter().find(|(_, given)| *given && self.probe.is_empty())
        {
            let problem =
                "is about tasks that are looked at while a model is trained; name them in `probe`";
            return Err(Error::invalid(*name, problem));
        }
        if self.probe_items == Some(0) {
            return Err(Error::invalid("probe_items", "must be at least 1"));
        }
        if self.apply_chat_template && self.choices.is_none() {
            let problem =
                "is about questions whose options are scored; name the measure in `choices`";
            return Err(Error::invalid("apply_chat_template", problem));
        }
        self.template_options().check()?;
        if let Some((name, _)) = self.template_args.iter().find(|(_, value)| value.is_null()) {
            let problem = "TOML has no null; leave the variable out";
            return Err(Error::invalid(format!("template_args.{name}"), problem));
        }
        self.self_output.sampling.check()?;
        self.rephrase.sampling.check()?;
        let sizes = [self.sizes.train, self.sizes.validation, self.sizes.test, self.max_new_tokens];
        if sizes.contains(&0) {
            return Err(Error::invalid("sizes and max_new_tokens", "must be at least 1"));
        }
        Ok(())
    }

    /// Refuses `reweigh_every` where no arm that is trained so has weights that follow the model.
    fn check_reweighing(&self) -> Result<()> {
        let variants = self.variants.iter();
        let ways = variants
            .filter(|(_, variant)| variant.finetune.reweigh_every != self.finetune.reweigh_every)
            .map(|(name, variant)| (format!("variants.{name}.finetune."), &variant.finetune));
        for (of, finetune) in ways.chain([("finetune.".to_owned(), &self.finetune)]) {
            let Some(steps) = finetune.reweigh_every else { continue };
            let mut followed = false;
            for arm in &self.arms {
                let own = self.finetune_of(arm).reweigh_every == Some(steps);
                followed |= own && arm.rule.needs().online();
            }
            if !followed {
                let problem = "would do nothing: no arm that is trained so has weights that follow the model while it learns, as `dft` has";
                return Err(Error::invalid(format!("{of}reweigh_every"), problem));
            }
        }
        Ok(())
    }

    /// How the arm is trained.
    pub fn finetune_of(&self, arm: &Arm) -> &TrainConfig {
        let variant = arm.variant.as_ref();
        variant
            .and_then(|name| self.variants.get(name))
            .map_or(&self.finetune, |variant| &variant.finetune)
    }

    /// The rates that are tried for the arm.
    pub fn rates_of(&self, arm: &Arm) -> &[f64] {
        let variant = arm.variant.as_ref();
        variant
            .and_then(|name| self.variants.get(name))
            .map_or(&self.learning_rates, |variant| &variant.learning_rates)
    }

    /// The rates at which the arm is trained: those of [`Recipe::rates_of`], and the one for all if they lack it.
    pub fn tried(&self, arm: &Arm) -> Vec<f64> {
        let own = self.rates_of(arm);
        let common = self.common_learning_rate.filter(|rate| !own.contains(rate));
        own.iter().copied().chain(common).collect()
    }

    /// The same recipe with another target, which trades places with the present one; its name says so.
    ///
    /// # Errors
    /// A task that the recipe does not have.
    pub fn with_target(mut self, target: &str) -> Result<Self> {
        if target == self.target {
            return Ok(self);
        }
        let Some(place) = self.non_target.iter().position(|task| task == target) else {
            let known = there_are(target, self.non_target.iter().chain([&self.target]));
            let problem = format!("there is no task `{target}`; {known}");
            return Err(Error::invalid("target", problem));
        };
        self.name = format!("{}-{target}", self.name);
        self.non_target[place] = std::mem::replace(&mut self.target, target.to_owned());
        Ok(self)
    }

    /// Folder of the model; one of the hub is fetched if it must and can be.
    pub fn model_folder(&self, progress: &Progress) -> Result<PathBuf> {
        match self.model.as_str() {
            "lab" => Ok(crate::lab::folder()?.join("model")),
            name => hub::folder(name, progress),
        }
    }

    /// The model as it is asked: with what its chat template is given.
    ///
    /// # Errors
    /// It is not there, and cannot be fetched.
    pub fn base(&self, progress: &Progress) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(self.model_folder(progress)?)?;
        Ok(checkpoint.with_template(self.template_options()).in_precision(self.precision))
    }

    /// What the chat template is given beside the messages.
    pub fn template_options(&self) -> TemplateOptions {
        TemplateOptions { date: self.template_date, args: self.template_args.clone() }
    }

    /// What is looked at while `base` is trained on `training`; nothing, if the recipe names no task. `seed` draws some of the training examples.
    pub fn watch(
        &self,
        cx: &Context,
        base: &Checkpoint,
        training: &Scored,
        seed: u64,
    ) -> Result<Option<Watch>> {
        if self.probe.is_empty() {
            return Ok(None);
        }
        let (tokenizer, context) = (cx.tokenizer(base)?, base.config()?.max_position_embeddings);
        let mut sets = vec![ProbeSet::of_training(training, seed, self.probe_items())];
        for task in &self.probe {
            let role = match *task == self.target {
                true => Role::Target,
                false => Role::NonTarget,
            };
            let (items, mut unusable) =
                self.usable_items(task, "validation", self.probe_items())?;
            let skip = self.skip_unusable;
            let mut set = ProbeSet::of_items(task, role, &items, &tokenizer, context, skip)?;
            unusable.append(&mut set.unusable);
            sets.push(ProbeSet { unusable, ..set });
        }
        let preset = Watch::default();
        let watch = Watch {
            sets,
            every: self.probe_every.unwrap_or(preset.every),
            share: self.probe_share,
            max_new_tokens: self.max_new_tokens,
            forget_at_most: self.forget_at_most,
            when_forgotten: self.when_forgotten.unwrap_or_default(),
        };
        watch.check()?;
        Ok(Some(watch))
    }

    /// The test items of its tasks.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn test(&self) -> Result<Tasks> {
        let task = |name: &String| Ok(Task::new(name, self.items(name, "test", self.sizes.test)?));
        Ok(Tasks {
            target: task(&self.target)?,
            others: self.non_target.iter().map(task).collect::<Result<_>>()?,
            max_new_tokens: self.max_new_tokens,
        })
    }

    /// Items of each task that is looked at while a model is trained.
    pub fn probe_items(&self) -> usize {
        self.probe_items.unwrap_or(50)
    }

    /// The first items of a split of a task. But for those of `train`, which are learned, they are scored as `choices` says.
    pub fn items(&self, task: &str, split: &str, count: usize) -> Result<Vec<Item>> {
        Ok(self.usable_items(task, split, count)?.0)
    }

    /// The same, with the rows of the split that were left out, as `skip_unusable` says.
    pub fn usable_items(
        &self,
        task: &str,
        split: &str,
        count: usize,
    ) -> Result<(Vec<Item>, Vec<Unusable>)> {
        let folder =
            if self.tasks == "lab" { crate::lab::folder()? } else { PathBuf::from(&self.tasks) };
        let (items, unusable) = read_split_as(&folder, task, split, count, self.skip_unusable)?;
        let Some(measure) = self.choices.filter(|_| split != "train") else {
            return Ok((items, unusable));
        };
        let scored =
            |item: Item| item.by_likelihood(measure, self.apply_chat_template).unwrap_or(item);
        Ok((items.into_iter().map(scored).collect(), unusable))
    }
}

/// Keys of a recipe that have another name today; both are read.
pub const RENAMED: [(&str, &str); 5] = [
    ("epochs", "num_epochs"),
    ("batch", "batch_size"),
    ("clip", "max_grad_norm"),
    ("replay", "gradient_checkpointing"),
    ("micro_tokens", "max_tokens_per_forward"),
];

/// The keys of the recipe `text` that have another name today, with that name.
pub fn renamed_keys(text: &str) -> Vec<(&'static str, &'static str)> {
    fn of(
        table: &toml::Table,
        in_finetune: bool,
        found: &mut BTreeSet<(&'static str, &'static str)>,
    ) {
        for (key, value) in table {
            found.extend(RENAMED.iter().filter(|(old, _)| in_finetune && old == key));
            if let toml::Value::Table(inner) = value {
                of(inner, key == "finetune", found);
            }
        }
    }
    let mut found = BTreeSet::new();
    // what is no TOML is refused where it is read
    of(&toml::from_str(text).unwrap_or_default(), false, &mut found);
    found.into_iter().collect()
}

impl std::str::FromStr for Recipe {
    type Err = Error;

    /// As [`Recipe::parse`].
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).map_err(|problem| Error::invalid("recipe", problem))
    }
}

/// The first `count` items of `<folder>/<task>/<split>.jsonl`.
///
/// # Errors
/// There is no such file, it holds fewer items, or one that cannot be used.
pub fn read_split(folder: &Path, task: &str, split: &str, count: usize) -> Result<Vec<Item>> {
    Ok(read_split_as(folder, task, split, count, false)?.0)
}

/// The file of a split of a task.
///
/// # Errors
/// There is none.
pub fn split_file(folder: &Path, task: &str, split: &str) -> Result<PathBuf> {
    let file = folder.join(task).join(format!("{split}.jsonl"));
    if file.is_file() {
        return Ok(file);
    }
    let is_split = |path: &Path| path.extension().is_some_and(|ending| ending == "jsonl");
    let (splits, tasks) = (stems(&folder.join(task), is_split), task_names(folder));
    let hint = match (splits.is_empty(), tasks.is_empty()) {
        (false, _) => format!("of splits, {}", there_are(split, splits)),
        (true, false) => format!("of tasks, {}", there_are(task, tasks)),
        (true, true) => {
            "a task is a folder with train.jsonl, validation.jsonl and test.jsonl".to_owned()
        }
    };
    Err(Error::missing(format!("{split} split of `{task}`"), file, hint))
}

/// The tasks in `folder`, by name: each is a folder with splits.
pub fn task_names(folder: &Path) -> Vec<String> {
    let splits = ["train.jsonl", "validation.jsonl", "test.jsonl"];
    stems(folder, |path| splits.iter().any(|split| path.join(split).is_file()))
}

/// The names without ending of what `is` finds in `folder`, sorted.
fn stems(folder: &Path, is: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| is(path));
    let mut names: Vec<String> =
        paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

/// [`read_split`]; `skip` leaves items out that cannot be used.
fn read_split_as(
    folder: &Path,
    task: &str,
    split: &str,
    count: usize,
    skip: bool,
) -> Result<(Vec<Item>, Vec<Unusable>)> {
    let file = split_file(folder, task, split)?;
    let (mut items, unusable) = match skip {
        true => read_usable_items(&file)?,
        false => {
            let items = read_items(&file);
            let error = |e| Unusable::skippable(e, &file, SKIP, read_usable_items(&file));
            (items.map_err(error)?, Vec::new())
        }
    };
    if items.len() < count {
        let problem =
            format!("has {} items, {count} are asked for; lower the recipe's sizes", items.len());
        return Err(Error::file(file, problem));
    }
    items.truncate(count);
    stats::distinct(&format!("ids in {}", file.display()), items.iter().map(|item| &item.id))?;
    Ok((items, unusable))
}

/// `given` over `defaults`; keys that the defaults do not have are refused, but for those of optional fields.
fn merge(
    defaults: &toml::Table,
    given: toml::Table,
    path: &str,
) -> std::result::Result<toml::Table, String> {
    /// Fields that are absent when they are not set.
    const OPTIONAL: [&str; 28] = [
        "max_steps",
        "common_learning_rate",
        "choices",
        "apply_chat_template",
        "top_k",
        "top_p",
        "max_grad_norm",
        "normalizer",
        "target_pattern",
        "exclude_modules",
        "exclude_pattern",
        "layers",
        "objective",
        "kl",
        "kl_top",
        "kl_direction",
        "l2_sp",
        "reweigh_every",
        "probe",
        "probe_items",
        "probe_every",
        "probe_share",
        "forget_at_most",
        "when_forgotten",
        "skip_unusable",
        "template_date",
        "template_args",
        "precision",
    ];
    let mut merged = defaults.clone();
    let given_keys: BTreeSet<String> = given.keys().cloned().collect();
    for (key, value) in given {
        let key = match RENAMED.iter().find(|(old, new)| *old == key && defaults.contains_key(*new))
        {
            Some((old, new)) if given_keys.contains(*new) => {
                return Err(format!("`{old}` is called `{new}` now; give it once"));
            }
            Some((_, new)) => (*new).to_owned(),
            None => key,
        };
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (defaults.get(&key), value) {
            // the keys are the reader's own: paths of layers
            (Some(_), value) if key == "rank_pattern" || key == "alpha_pattern" => {
                merged.insert(key, value);
            }
            // another choice replaces the default's; the same one changes it
            (Some(toml::Value::Table(inner)), toml::Value::Table(value))
                if (key == "method" || key == "schedule") && !inner.keys().eq(value.keys()) =>
            {
                merged.insert(key, toml::Value::Table(value));
            }
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => {
                merged.insert(key, toml::Value::Table(merge(inner, value, &at)?));
            }
            (Some(_), value) => {
                merged.insert(key, value);
            }
            (None, value) if OPTIONAL.contains(&key.as_str()) => {
                merged.insert(key, value);
            }
            (None, _) => {
                let near = |name: &&String| (strsim::jaro_winkler(name, &key) * 1e6) as u64;
                let nearest = defaults.keys().max_by_key(near).cloned().unwrap_or_default();
                return Err(format!("unknown key `{at}`; the nearest known one is `{nearest}`"));
            }
        }
    }
    Ok(merged)
}

/// Each given variant over the recipe's own way of training.
fn with_variants(
    recipe: &toml::Table,
    given: toml::Value,
) -> std::result::Result<toml::Table, String> {
    let toml::Value::Table(given) = given else {
        return Err("`variants` must be tables, such as [variants.dora.finetune]".into());
    };
    let own = ["finetune", "learning_rates"];
    let own = own.map(|key| (key.to_string(), recipe[key].clone()));
    let own: toml::Table = own.into_iter().collect();
    let variant = |(name, value): (String, toml::Value)| match value {
        toml::Value::Table(value) => {
            let merged = merge(&own, value, &format!("variants.{name}"))?;
            Ok((name, toml::Value::Table(merged)))
        }
        _ => Err(format!("`variants.{name}` must be a table")),
    };
    given.into_iter().map(variant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Method;

    #[test]
    fn a_recipe_survives_being_written() {
        let text = Recipe::lab().to_toml().unwrap();
        assert_eq!(Recipe::parse(&text).unwrap(), Recipe::lab());
    }

    #[test]
    fn keys_of_earlier_recipes_are_read() {
        let old = "[finetune]\nbatch = 8\nepochs = 2\nclip = 0.5\nreplay = true\nmicro_tokens = 99\n\
                   [variants.long.finetune]\nepochs = 9";
        let new = "[finetune]\nbatch_size = 8\nnum_epochs = 2\nmax_grad_norm = 0.5\ngradient_checkpointing = true\n\
                   max_tokens_per_forward = 99\n[variants.long.finetune]\nnum_epochs = 9";
        assert_eq!(Recipe::parse(old).unwrap(), Recipe::parse(new).unwrap());
        assert_eq!(renamed_keys(old).len(), RENAMED.len());
        assert_eq!(renamed_keys(new), []);
        let twice = Recipe::parse("[finetune]\nbatch = 8\nbatch_size = 8").unwrap_err();
        assert!(twice.contains("`batch_size` now"), "{twice}");
        // a card or a store of an earlier version
        let config = serde_json::to_string(&Recipe::parse(new).unwrap().finetune).unwrap();
        let older = RENAMED.iter().fold(config.clone(), |text, (old, new)| text.replace(new, old));
        let read = |text: &str| serde_json::from_str::<TrainConfig>(text).unwrap();
        assert_eq!(read(&older), read(&config));
    }

    #[test]
    fn a_recipe_without_a_name_has_its_files_and_none_leads_out_of_the_results() {
        let folder = tempfile::tempdir().unwrap();
        let read = |file: &str, text: &str| {
            let path = folder.path().join(file);
            std::fs::write(&path, text).unwrap();
            Recipe::read(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read("mine.v2.toml", "seeds = [1]").unwrap().name, "mine.v2");
        assert_eq!(read("mine.toml", "name = \"other\"").unwrap().name, "other");
        assert_eq!(read("lab.toml", "name = \"lab\"").unwrap().name, "lab");
        for file in ["lab.toml", "lab-quick.toml"] {
            let error = read(file, "seeds = [1]").unwrap_err();
            assert!(error.contains(file) && error.contains("`name`"), "{error}");
        }
        for name in ["", " ", ".", "..", "/tmp/x", "../x", "a/b", "a\\\\b", "a\\u001b"] {
            let error = read("mine.toml", &format!("name = \"{name}\"")).unwrap_err();
            assert!(error.contains("name: must be the name of a folder"), "{error}");
        }
    }

    #[test]
    fn what_is_left_out_is_the_labs() {
        let recipe =
            Recipe::parse("target = \"algebra\"\nnon_target = [\"code\"]\n[finetune]\nbatch = 8")
                .unwrap();
        assert_eq!(recipe.finetune.batch_size, 8);
        assert_eq!(recipe.learning_rates, Recipe::lab().learning_rates);
    }

    #[test]
    fn a_variant_says_only_what_differs() {
        let text = "arms = [\"stm(2.5)\", \"stm(2.5)@dora\", \"stm(2.5)@full\"]\n[finetune]\nbatch = 8\n\
            [variants.dora.finetune.method.lora]\ndora = true\n\
            [variants.full]\nlearning_rates = [1e-5]\nfinetune.method = \"full\"";
        let recipe = Recipe::parse(text).unwrap();
        let way = |at: usize| recipe.finetune_of(&recipe.arms[at]);
        let Method::Lora(dora) = &way(1).method else {
            panic!("{:?}", way(1).method);
        };
        assert!(dora.dora && dora.rank == 16 && way(1).batch_size == 8);
        assert_eq!((&way(2).method, way(2).batch_size), (&Method::Full, 8));
        assert_eq!(recipe.rates_of(&recipe.arms[1]), recipe.learning_rates);
        assert_eq!(recipe.rates_of(&recipe.arms[2]), [1e-5]);
        assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
        let error = Recipe::parse("arms = [\"stm_2.5@doro\"]").unwrap_err();
        assert!(error.contains("[variants.doro]"), "{error}");
        let error = Recipe::parse("[variants.x.finetune]\nepoch = 1").unwrap_err();
        assert!(error.contains("`variants.x.finetune.epoch`"), "{error}");
    }

    #[test]
    fn what_is_counted_may_stand_there_once() {
        for text in [
            "seeds = [1, 1]",
            "seeds = [3, 1, 2, 3]",
            "learning_rates = [1e-3, 0.001]",
            "thresholds = [2.5, 2.50]",
            "non_target = [\"word\", \"sql\", \"word\"]",
            "arms = [\"rephrase\", \"rephrase\"]",
            "arms = [\"stm_2.5\", \"stm(2.5)\"]",
            "arms = [\"weights: random_mask(25)\", \"random_mask_25\"]",
            "probe = [\"code\", \"code\"]",
            "[variants.x]\nlearning_rates = [1e-4, 1e-4]",
        ] {
            let error = Recipe::parse(text).unwrap_err();
            assert!(error.contains("stands there twice"), "{text}: {error}");
            let key = text.trim_start_matches("[variants.x]\n").split(' ').next().unwrap();
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn steps_between_two_weighings_are_refused_where_nothing_is_weighed_anew() {
        let check = |text: &str| Recipe::parse(text).map(|recipe| recipe.finetune.reweigh_every);
        let dft = "arms = [\"ground_truth\", \"dft\"]\n[finetune]\nreweigh_every = 3";
        assert_eq!(check(dft), Ok(Some(3)));
        let error = check(&dft.replace("dft", "stm(2.5)")).unwrap_err();
        assert!(error.contains("finetune.reweigh_every") && error.contains("`dft`"), "{error}");
        let variant = "arms = [\"stm(2.5)@x\", \"dft\"]\n[variants.x.finetune]\nreweigh_every = 3";
        let error = check(variant).unwrap_err();
        assert!(error.contains("variants.x.finetune.reweigh_every"), "{error}");
        assert!(check(&variant.replace("stm(2.5)@x", "dft@x")).is_ok());
    }

    #[test]
    fn one_rate_for_all_is_named_or_there_is_none() {
        let recipe = Recipe::parse("seeds = [1]").unwrap();
        assert_eq!(recipe.common_learning_rate, None);
        assert!(!recipe.to_toml().unwrap().contains("common_learning_rate"));
        let text = "common_learning_rate = 2e-3\nlearning_rates = [1e-3]\narms = [\"stm(2.5)\", \"dft@x\"]\n\
                    [variants.x]\nlearning_rates = [1e-4, 2e-3]";
        let recipe = Recipe::parse(text).unwrap();
        assert_eq!(recipe.tried(&recipe.arms[0]), [1e-3, 2e-3]);
        assert_eq!(recipe.tried(&recipe.arms[1]), [1e-4, 2e-3]);
        assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
        let error = Recipe::parse("common_learning_rate = -1.0").unwrap_err();
        assert!(error.contains("learning_rate"), "{error}");
        let error = Recipe::parse("comon_learning_rate = 1e-3").unwrap_err();
        assert!(error.contains("`comon_learning_rate`"), "{error}");
    }

    #[test]
    fn a_target_trades_places() {
        let recipe = Recipe::lab().with_target("algebra").unwrap();
        assert_eq!((recipe.target.as_str(), recipe.name.as_str()), ("algebra", "lab-algebra"));
        assert!(recipe.non_target.contains(&"code".to_owned()));
        assert!(Recipe::lab().with_target("chess").is_err());
    }

    #[test]
    fn a_recipe_may_say_what_is_looked_at_and_how_close_to_the_base_to_stay() {
        let recipe = Recipe::parse(
            "probe = [\"code\", \"word\"]\nprobe_every = 5\nforget_at_most = 2.0\nwhen_forgotten = \"roll_back\"\n\
             [finetune]\nkl = 0.1\nkl_top = 50\nl2_sp = 0.01\nobjective = \"psft:0.28\"",
        )
        .unwrap();
        assert_eq!((recipe.finetune.kl, recipe.finetune.kl_top), (Some(0.1), Some(50)));
        assert_eq!(recipe.finetune.objective.to_string(), "psft:0.28");
        assert_eq!(recipe.when_forgotten, Some(WhenForgotten::RollBack));
        assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
        for (text, part) in [
            ("probe = [\"chess\"]", "`chess` is neither"),
            ("forget_at_most = 2.0", "name them in `probe`"),
            ("[finetune]\nobjective = \"dpo\"", "`dpo` is none of"),
            ("[finetune]\nkl_top = 5", "`kl`"),
        ] {
            let error = Recipe::parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = Recipe::parse("lerning_rates = [1e-3]").unwrap_err();
        assert!(error.contains("`lerning_rates`") && error.contains("`learning_rates`"), "{error}");
        let error = Recipe::parse("[finetune]\nbach_size = 8").unwrap_err();
        assert!(
            error.contains("`finetune.bach_size`") && error.contains("`batch_size`"),
            "{error}"
        );
        assert!(Recipe::parse("thresholds = [-1.0]").unwrap_err().contains("above 0"));
        assert!(Recipe::parse("arms = [\"stm\"]").unwrap_err().contains("arm `stm`"));
    }
}
