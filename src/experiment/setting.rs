use super::Arm;
use crate::error::{Error, Result};
use crate::train::Finetune;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One line of a comparison: an arm, perhaps trained another way than the rest, written `stm_2.5@dora`.
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
    pub finetune: Finetune,
    /// Peak rates tried.
    pub learning_rates: Vec<f64>,
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
        let setting: Setting = "stm_2.5@dora".parse().unwrap();
        assert_eq!(setting.arm, Arm::Stm(2.5));
        assert_eq!(setting.variant.as_deref(), Some("dora"));
        assert_eq!(setting.to_string(), "stm_2.5@dora");
        assert_eq!("rephrase".parse::<Setting>().unwrap(), Arm::Rephrase.into());
        assert!("rephrase@".parse::<Setting>().is_err());
    }
}
