//! Writing the lab: benchmarks, tokenizer and model, with their hashes.

use super::pretrain::Pretraining;
use super::{LabTask, Split, benchmark};
use crate::dataset::items_to_jsonl;
use crate::error::{Error, Result};
use crate::store::{file_hash, write_atomic};
use std::path::Path;

/// Items of each split of each task.
const SIZES: [(Split, usize); 3] =
    [(Split::Train, 400), (Split::Validation, 250), (Split::Test, 200)];

/// Seed of the benchmarks.
const SEED: u64 = 1;

/// Makes the whole lab in `folder`: the benchmarks, and the model in `folder/model`; then the hashes of all files in `hashes.txt`.
pub fn make(folder: &Path, recipe: &Pretraining, report: impl FnMut(&str)) -> Result<()> {
    write_benchmarks(folder)?;
    recipe.run(&folder.join("model"), report)?;
    write_hashes(folder)
}

/// Writes `<task>/<split>.jsonl` for every task.
pub fn write_benchmarks(folder: &Path) -> Result<()> {
    for task in LabTask::ALL {
        let place = folder.join(task.name());
        std::fs::create_dir_all(&place)
            .map_err(Error::io("making the benchmark's folder", &place))?;
        for (split, count) in SIZES {
            let items = benchmark(task, split, count, SEED)?;
            write_atomic(
                &place.join(format!("{}.jsonl", split.name())),
                items_to_jsonl(&items)?.as_bytes(),
            )?;
        }
    }
    Ok(())
}

/// Writes `hashes.txt`: SHA-256 and path of every data and model file, as `sha256sum -c` reads them.
fn write_hashes(folder: &Path) -> Result<()> {
    let mut lines = Vec::new();
    let mut names: Vec<String> = LabTask::ALL
        .iter()
        .flat_map(|task| SIZES.map(|(split, _)| format!("{}/{}.jsonl", task.name(), split.name())))
        .collect();
    let model = folder.join("model");
    let entries =
        std::fs::read_dir(&model).map_err(Error::io("listing the model's files", &model))?;
    for entry in entries {
        let entry = entry.map_err(Error::io("listing the model's files", &model))?;
        names.push(format!("model/{}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    for name in names {
        lines.push(format!("{}  {name}\n", file_hash(&folder.join(&name))?));
    }
    write_atomic(&folder.join("hashes.txt"), lines.concat().as_bytes())
}
