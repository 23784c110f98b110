use crate::context::Context;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, Recipe, Unit};
use crate::files::read_text;
use crate::store::{Fingerprint, Store, file_name, write_atomic};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The units of a recipe, and where what concerns them lies in the store.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is computed.
    pub recipe: Recipe,
    /// In an order in which they can be done.
    pub steps: Vec<Step>,
    /// How it is computed.
    pub place: Place,
    folder: PathBuf,
}

/// One unit of a plan: a line of its manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Its number in the plan, from 0.
    pub index: usize,
    /// What is done.
    #[serde(flatten)]
    pub unit: Unit,
    /// Numbers of the units that must be done before.
    pub needs: Vec<usize>,
    /// Hash of what it is made from.
    pub hash: String,
    /// What it is made from, where that was looked at.
    #[serde(skip)]
    pub(super) inputs: Option<Fingerprint>,
}

/// How a plan is computed, wherever that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The device, as `--device` takes it.
    pub device: String,
    /// The folder from which the recipe's own paths count.
    pub folder: PathBuf,
}

const RECIPE: &str = "recipe.toml";
const UNITS: &str = "units.jsonl";
const PLACE: &str = "place.json";
/// The folder of plans in a store.
const PLANS: &str = "sweep";
/// The kind of entry that says that a unit is done.
pub(super) const UNIT: &str = "unit";

impl Step {
    /// Its name in the store, `unit/NAME-HASH`.
    pub fn name(&self) -> String {
        format!("{UNIT}/{}-{}", file_name(&self.unit.name()), self.hash)
    }
}

impl Plan {
    /// The plan of `recipe`: looks at the model and the items, and computes nothing. `device` is what `--device` says.
    ///
    /// # Errors
    /// The recipe makes no sense, or the model or an item cannot be read.
    pub fn of(cx: &Context, recipe: &Recipe, device: &str) -> Result<Self> {
        let recipe = &dated(cx, recipe)?;
        let experiment = Experiment::open(cx, recipe)?;
        let mut steps: Vec<Step> = Vec::new();
        for (index, (unit, needs)) in recipe.units().into_iter().enumerate() {
            let hashes: Vec<String> = needs.iter().map(|at| steps[*at].hash.clone()).collect();
            let inputs = experiment.inputs(&unit, &hashes)?;
            let hash = inputs.hash();
            steps.push(Step { index, unit, needs, hash, inputs: Some(inputs) });
        }
        let folder = std::env::current_dir().map_err(Error::io("looking for", Path::new(".")))?;
        let place = Place { device: device.to_owned(), folder };
        let hashes: Vec<&str> = steps.iter().map(|step| step.hash.as_str()).collect();
        let name = Fingerprint::new()
            .with("recipe", recipe)?
            .with("units", &hashes)?
            .with("place", &place)?;
        let name = format!("{}-{}", file_name(&recipe.name), name.hash());
        let folder = cx.store.root().join(PLANS).join(name);
        Ok(Self { recipe: recipe.clone(), steps, place, folder })
    }

    /// Writes it into the store, from where any machine reads it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn write(&self) -> Result<()> {
        let pack = |text: serde_json::Result<String>| {
            text.map_err(Error::library("packing the plan")).map(|text| text + "\n")
        };
        let lines = self.steps.iter().map(|step| pack(serde_json::to_string(step)));
        let lines = lines.collect::<Result<String>>()?;
        let place = pack(serde_json::to_string_pretty(&self.place))?;
        write_atomic(&self.folder.join(RECIPE), self.recipe.to_toml()?.as_bytes())?;
        write_atomic(&self.folder.join(PLACE), place.as_bytes())?;
        // last: a plan with units is whole
        write_atomic(&self.manifest(), lines.as_bytes())
    }

    /// The plan that [`Plan::write`] left in `folder`, which is an absolute path.
    ///
    /// # Errors
    /// There is none, or it was changed.
    pub fn read(folder: &Path) -> Result<Self> {
        if !folder.join(UNITS).is_file() {
            let hint = "give the recipe, or the folder that `unforget sweep plan` names";
            return Err(Error::missing("plan", folder, hint));
        }
        let text = |name| read_text(&folder.join(name), "reading the plan");
        let refused = |name: &str, problem: String| {
            let problem = format!("{problem}; make the plan again with `unforget sweep plan`");
            Error::file(folder.join(name), problem)
        };
        let recipe = Recipe::parse(&text(RECIPE)?).map_err(|problem| refused(RECIPE, problem))?;
        let place = serde_json::from_str(&text(PLACE)?);
        let place = place.map_err(|problem| refused(PLACE, problem.to_string()))?;
        let step = |line: &str| serde_json::from_str::<Step>(line);
        let steps = text(UNITS)?.lines().map(step).collect::<serde_json::Result<Vec<_>>>();
        let steps = steps.map_err(|problem| refused(UNITS, problem.to_string()))?;
        let ordered = |(at, step): (usize, &Step)| {
            step.index == at && step.needs.iter().all(|needed| *needed < at)
        };
        if !steps.iter().enumerate().all(ordered) {
            return Err(refused(UNITS, "its units do not stand in order".into()));
        }
        Ok(Self { recipe, steps, place, folder: folder.to_path_buf() })
    }

    /// The only plan in a store.
    ///
    /// # Errors
    /// There is none, or more than one; the message names them.
    pub fn only(store: &Store) -> Result<Self> {
        let folder = store.root().join(PLANS);
        let mut found: Vec<PathBuf> = match std::fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => Vec::new(),
        };
        found.retain(|plan| plan.join(UNITS).is_file());
        found.sort();
        match &found[..] {
            [plan] => Self::read(&std::path::absolute(plan).unwrap_or_else(|_| plan.clone())),
            [] => {
                let hint = "make one with `unforget sweep plan RECIPE`";
                Err(Error::missing("plan", folder, hint))
            }
            several => {
                let names: Vec<String> =
                    several.iter().map(|plan| plan.display().to_string()).collect();
                let problem = format!("there are several; give one: {}", names.join(", "));
                Err(Error::invalid("PLAN", problem))
            }
        }
    }

    /// Its folder in the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with one line for each unit.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join(UNITS)
    }

    /// Where the tasks write what they say.
    pub fn logs(&self) -> PathBuf {
        self.folder().join("logs")
    }

    /// The unit of this number.
    ///
    /// # Errors
    /// There are fewer.
    pub fn step(&self, index: usize) -> Result<&Step> {
        self.steps.get(index).ok_or_else(|| {
            let last = self.steps.len().saturating_sub(1);
            Error::invalid("--index", format!("there is no unit {index}, only 0 to {last}"))
        })
    }
}

/// The recipe with the date of today, if its texts depend on it: a plan may take days.
fn dated(cx: &Context, recipe: &Recipe) -> Result<Recipe> {
    let mut recipe = recipe.clone();
    if recipe.template_date.is_none() {
        let base = recipe.base(&cx.progress)?;
        let date = base.tokenizer()?.template().and_then(|template| template.date());
        recipe.template_date = date.map(|date| date.parse()).transpose()?;
    }
    Ok(recipe)
}
