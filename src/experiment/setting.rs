use super::Arm;
use super::arm::respelled;
use crate::error::{Error, Result};
use crate::train::TrainConfig;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// One line of a comparison: an arm, perhaps trained another way than the rest, written `stm(2.5)@dora`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Setting {
    /// What is trained on.
    pub arm: Arm,
    /// The recipe's [`Variant`] by which it is trained; `None` is the recipe's own way.
    pub variant: Option<String>,
}

/// Another way of training than the recipe's own: its own fine-tuning, and the rates that are tried with it.
///
/// In a recipe file a variant says only what differs, for example `[variants.dora.finetune.method.lora]` with `dora = true`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// How training goes.
    pub finetune: TrainConfig,
    /// Peak rates tried.
    pub learning_rates: Vec<f64>,
}

impl Setting {
    /// Its name for folders, without brackets: `stm_2.5@dora`.
    pub fn label(&self) -> String {
        self.to_string().replace('(', "_").replace(')', "")
    }
}

/// The name that an arm has today: results of older versions, and people, also say `stm_2.5`. What names no arm, as `base`, stays as it is.
pub fn canonical(name: &str) -> String {
    let (arm, variant) = match name.rsplit_once('@') {
        Some((arm, _)) => (arm, &name[arm.len()..]),
        None => (name, ""),
    };
    respelled(arm).map_or_else(|| name.to_owned(), |arm| arm + variant)
}

/// Reads an arm's name out of results, whatever version wrote them.
pub(super) fn named<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    String::deserialize(from).map(|name| canonical(&name))
}

impl From<Arm> for Setting {
    fn from(arm: Arm) -> Self {
        Self { arm, variant: None }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variant {
            None => write!(f, "{}", self.arm),
            Some(variant) => write!(f, "{}@{variant}", self.arm),
        }
    }
}

impl FromStr for Setting {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (arm, variant) = match name.rsplit_once('@') {
            None => (name, None),
            Some((_, "")) => {
                let problem = "names no variant after the `@`";
                return Err(Error::invalid(format!("arm `{name}`"), problem));
            }
            Some((arm, variant)) => (arm, Some(variant.to_owned())),
        };
        Ok(Self { arm: arm.parse()?, variant })
    }
}

impl TryFrom<String> for Setting {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Setting> for String {
    fn from(setting: Setting) -> Self {
        setting.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_stands_behind_the_arm() {
        let setting: Setting = "stm(2.5)@dora".parse().unwrap();
        assert_eq!(setting.arm, Arm::Stm(2.5));
        assert_eq!(setting.variant.as_deref(), Some("dora"));
        assert_eq!(setting.to_string(), "stm(2.5)@dora");
        assert_eq!(setting.label(), "stm_2.5@dora");
        assert_eq!("stm_2.5@dora".parse::<Setting>().unwrap(), setting);
        assert_eq!(canonical("stm_2.5@dora"), "stm(2.5)@dora");
        assert_eq!([canonical("base"), canonical("rephrase")], ["base", "rephrase"]);
        assert_eq!("rephrase".parse::<Setting>().unwrap(), Arm::Rephrase.into());
        assert!("rephrase@".parse::<Setting>().is_err());
    }
}
