//! IFEval: prompts with instructions that a program can check (Zhou et al. 2023). Data card: `datasets/ifeval`.
//!
//! A row as it is published (its content is made up):
//!
//! ```json
//! {"key": 1, "prompt": "Say in two sentences what a river is. Do not use any commas.",
//!  "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
//! ```
//!
//! Traps:
//! - There are no reference answers, so `truth` is empty and nothing can be trained on.
//! - Only what `instruction_id_list` names is checked: here the commas, not the two sentences.
//! - Some copies have every argument in every row, as null where it is not used.
//! - The harness draws arguments that are missing, and its guess of a language, at random. Here such a row is refused, and the guess
//!   has a fixed seed.
//!
//! Graded as [`Check::Instructions`], by [`src/task/instructions/mod.rs`](crate::task::instructions::grade).

use super::Given;
use crate::error::Result;
use crate::task::{Check, Instruction, Item};
use serde_json::{Map, Value};

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let prompt = given.text("prompt")?;
    let list = |key: &str| {
        given
            .row
            .fields
            .get(key)
            .and_then(Value::as_array)
            .ok_or_else(|| given.problem(format!("expected a list in {key}")))
    };
    let (ids, kwargs) = (list("instruction_id_list")?, list("kwargs")?);
    if ids.is_empty() || ids.len() != kwargs.len() {
        return Err(given.problem(format!(
            "expected as many kwargs as instructions, one or more; there are {} and {}",
            kwargs.len(),
            ids.len()
        )));
    }
    let mut instructions = Vec::new();
    for (id, kwargs) in ids.iter().zip(kwargs) {
        let (Some(id), Some(kwargs)) = (id.as_str(), kwargs.as_object()) else {
            return Err(given.problem("expected names of instructions, and objects as kwargs"));
        };
        // some copies of the data have every argument in every row, as null where it is not used
        let given_ones: Map<String, Value> = kwargs
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let instruction = Instruction { id: id.to_owned(), kwargs: given_ones };
        instruction.check().map_err(|problem| given.problem(problem))?;
        instructions.push(instruction);
    }
    Ok(Item {
        id: format!("ifeval/{}", given.name(&["key"])),
        prompt: prompt.to_owned(),
        truth: String::new(),
        style: vec![],
        check: Check::Instructions { instructions },
    })
}
