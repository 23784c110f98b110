use super::device::Backend;
use crate::error::{Error, Result};
use crate::ops;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// In what products with frozen weights are computed on a processor: blocks' linear layers and the head. All else is f32.
///
/// In bf16 weights are rounded to bf16, which changes nothing where the checkpoint has them so, and take half of f32's memory; those in the blocks of a
/// GGUF file are rounded while they are multiplied, and take what they take in the file. Sums are f32 in each. Results of
/// two precisions, or of two processors' instructions, differ in their last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// f32: the same bytes on every machine.
    #[default]
    F32,
    /// Activations as the sum of two bf16 numbers, which keeps 16 bits.
    Bf16x2,
    /// Activations rounded to bf16, as GPUs have it.
    Bf16,
}

impl Precision {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16x2, Self::Bf16];

    /// The name on the command line and in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16x2 => "bf16x2",
            Self::Bf16 => "bf16",
        }
    }

    /// bf16 numbers for one activation; `None` for f32.
    pub fn terms(self) -> Option<usize> {
        match self {
            Self::F32 => None,
            Self::Bf16x2 => Some(2),
            Self::Bf16 => Some(1),
        }
    }

    /// What `backend` computes in when this is asked for: f32 where the processor has no instruction for bf16. GPUs know f32 only here, by
    /// which their own bf16 is meant.
    pub fn usable(self, backend: impl Into<Backend>) -> Self {
        match backend.into().is_host() && ops::bf16_instructions().is_some() {
            true => self,
            false => Self::F32,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid("precision", format!("`{name}` is none of {known}"))
        })
    }
}
