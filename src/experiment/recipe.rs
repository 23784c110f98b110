use super::Arm;
use crate::dataset::read_items;
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::hub;
use crate::progress::Progress;
use crate::self_output::{SelfOutput, Which};
use crate::task::Item;
use crate::train::Finetune;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that decides an experiment. Read from TOML; the keys are the fields' names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names the results.
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
    /// Seeds of the adapter's start, the order of examples and random masks.
    pub seeds: Vec<u64>,
    /// Thresholds of the curve that shows what would be masked.
    pub thresholds: Vec<f64>,
    /// How many items of each split are used.
    pub sizes: DataSizes,
    /// How training goes; rate and seed are replaced by each run's own.
    pub finetune: Finetune,
    /// How Self-Output is sampled and chosen.
    pub self_output: SelfOutput,
    /// How Rephrase is sampled.
    pub rephrase: SelfOutput,
    /// Longest answer in evaluation, in tokens.
    pub max_new_tokens: usize,
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
        let sampling = Sampling {
            max_new_tokens: 128,
            ..Sampling::paper()
        };
        Self {
            name: "lab".into(),
            model: "lab".into(),
            tasks: "lab".into(),
            target: "code".into(),
            non_target: ["algebra", "word", "choice", "sql", "follow"]
                .map(String::from)
                .to_vec(),
            arms: vec![
                Arm::GroundTruth,
                Arm::GroundTruthOnSelfOutputItems,
                Arm::SelfOutput,
                Arm::Rephrase,
                Arm::Stm(2.5),
                Arm::RandomMask(2.5),
                Arm::LowestMask(2.5),
            ],
            learning_rates: vec![1e-4, 3e-4, 1e-3, 3e-3],
            seeds: vec![1, 2, 3],
            thresholds: vec![1.1, 1.5, 2.0, 2.5, 5.0, 10.0, 25.0, 100.0, 1000.0],
            sizes: DataSizes {
                train: 256,
                validation: 100,
                test: 100,
            },
            finetune: Finetune::lab(),
            self_output: SelfOutput {
                samples: 16,
                sampling: sampling.clone(),
                lowest: Which::GivenPrompt,
            },
            rephrase: SelfOutput {
                samples: 1,
                sampling,
                lowest: Which::GivenPrompt,
            },
            max_new_tokens: 128,
        }
    }

    /// The lab's comparison in a minute: one seed, two rates, fewer items.
    pub fn quick() -> Self {
        Self {
            name: "lab-quick".into(),
            learning_rates: vec![3e-4, 1e-3],
            seeds: vec![1],
            sizes: DataSizes {
                train: 128,
                validation: 50,
                test: 50,
            },
            ..Self::lab()
        }
    }

    /// Reads a recipe; a key that is not known is an error that names the nearest known one.
    ///
    /// Keys that are left out have the lab recipe's values.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("reading the recipe", path))?;
        Self::parse(&text).map_err(|problem| Error::file(path, problem))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let given: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        let defaults = toml::Table::try_from(Self::lab()).map_err(|e| e.to_string())?;
        let merged = merge(&defaults, given, "")?;
        let recipe: Self = toml::Value::Table(merged)
            .try_into()
            .map_err(|e: toml::de::Error| e.to_string())?;
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
            if empty {
                Err(Error::invalid(name, "must name at least one"))
            } else {
                Ok(())
            }
        };
        some("arms", self.arms.is_empty())?;
        some("learning_rates", self.learning_rates.is_empty())?;
        some("seeds", self.seeds.is_empty())?;
        some("non_target", self.non_target.is_empty())?;
        if self.non_target.contains(&self.target) {
            return Err(Error::invalid(
                "non_target",
                format!("`{}` is the target", self.target),
            ));
        }
        for threshold in &self.thresholds {
            if !(threshold.is_finite() && *threshold > 0.0) {
                let problem = format!("a threshold must be a number above 0, got {threshold}");
                return Err(Error::invalid("thresholds", problem));
            }
        }
        for rate in &self.learning_rates {
            Finetune {
                learning_rate: *rate,
                ..self.finetune.clone()
            }
            .check()?;
        }
        self.self_output.sampling.check()?;
        self.rephrase.sampling.check()?;
        let sizes = [
            self.sizes.train,
            self.sizes.validation,
            self.sizes.test,
            self.max_new_tokens,
        ];
        if sizes.contains(&0) {
            return Err(Error::invalid(
                "sizes and max_new_tokens",
                "must be at least 1",
            ));
        }
        Ok(())
    }

    /// Folder of the model; one of the hub is fetched if it must and can be.
    pub fn model_folder(&self, progress: &Progress) -> Result<PathBuf> {
        match self.model.as_str() {
            "lab" => Ok(crate::lab::folder()?.join("model")),
            name => hub::folder(name, progress),
        }
    }

    /// The first items of a split of a task.
    pub fn items(&self, task: &str, split: &str, count: usize) -> Result<Vec<Item>> {
        let folder = if self.tasks == "lab" {
            crate::lab::folder()?
        } else {
            PathBuf::from(&self.tasks)
        };
        read_split(&folder, task, split, count)
    }
}

/// The first `count` items of `<folder>/<task>/<split>.jsonl`.
pub fn read_split(folder: &Path, task: &str, split: &str, count: usize) -> Result<Vec<Item>> {
    let file = folder.join(task).join(format!("{split}.jsonl"));
    if !file.is_file() {
        return Err(Error::missing(
            format!("{split} split of `{task}`"),
            file,
            "a task is a folder with train.jsonl, validation.jsonl and test.jsonl",
        ));
    }
    let mut items = read_items(&file)?;
    if items.len() < count {
        let problem = format!(
            "has {} items, {count} are asked for; lower the recipe's sizes",
            items.len()
        );
        return Err(Error::file(file, problem));
    }
    items.truncate(count);
    Ok(items)
}

/// `given` over `defaults`; keys that the defaults do not have are refused, but for those of optional fields.
fn merge(
    defaults: &toml::Table,
    given: toml::Table,
    path: &str,
) -> std::result::Result<toml::Table, String> {
    /// Fields that are absent when they are not set.
    const OPTIONAL: [&str; 9] = [
        "top_k",
        "top_p",
        "clip",
        "objective",
        "kl",
        "kl_top",
        "kl_direction",
        "l2_sp",
        "reweigh_every",
    ];
    let mut merged = defaults.clone();
    for (key, value) in given {
        let at = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match (defaults.get(&key), value) {
            // a choice between variants replaces the default's
            (Some(toml::Value::Table(_)), value @ toml::Value::Table(_))
                if key == "method" || key == "schedule" =>
            {
                merged.insert(key, value);
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
                let nearest = defaults
                    .keys()
                    .max_by_key(near)
                    .cloned()
                    .unwrap_or_default();
                return Err(format!(
                    "unknown key `{at}`; the nearest known one is `{nearest}`"
                ));
            }
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_survives_being_written() {
        let text = Recipe::lab().to_toml().unwrap();
        assert_eq!(Recipe::parse(&text).unwrap(), Recipe::lab());
    }

    #[test]
    fn what_is_left_out_is_the_labs() {
        let recipe =
            Recipe::parse("target = \"algebra\"\nnon_target = [\"code\"]\n[finetune]\nbatch = 8")
                .unwrap();
        assert_eq!(recipe.finetune.batch, 8);
        assert_eq!(recipe.learning_rates, Recipe::lab().learning_rates);
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = Recipe::parse("lerning_rates = [1e-3]").unwrap_err();
        assert!(
            error.contains("`lerning_rates`") && error.contains("`learning_rates`"),
            "{error}"
        );
        let error = Recipe::parse("[finetune]\nbach = 8").unwrap_err();
        assert!(
            error.contains("`finetune.bach`") && error.contains("`batch`"),
            "{error}"
        );
        assert!(
            Recipe::parse("thresholds = [-1.0]")
                .unwrap_err()
                .contains("above 0")
        );
        assert!(
            Recipe::parse("arms = [\"stm\"]")
                .unwrap_err()
                .contains("arm `stm`")
        );
    }
}
