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
///
/// # Errors
/// Before anything is written: `folder` holds other files of these names than are made here.
pub fn make(folder: &Path, recipe: &Pretraining, report: impl FnMut(&str)) -> Result<()> {
    recipe.refuse_others(&folder.join("model"))?;
    let hashes = folder.join("hashes.txt");
    if hashes.exists() && !folder.join("model").exists() {
        let problem = "is not from here: there is no model beside it; name another folder";
        return Err(Error::file(hashes, problem));
    }
    write_benchmarks(folder)?;
    recipe.run(&folder.join("model"), report)?;
    write_hashes(folder)
}

/// Writes `<task>/<split>.jsonl` for every task.
///
/// # Errors
/// Before anything is written: one of these files is there and holds something else.
pub fn write_benchmarks(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    for task in LabTask::ALL {
        for (split, count) in SIZES {
            let text = items_to_jsonl(&benchmark(task, split, count, SEED)?)?;
            let file = folder.join(task.name()).join(format!("{}.jsonl", split.name()));
            match std::fs::read(&file) {
                Ok(there) if there == text.as_bytes() => {}
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound && !file.is_symlink() =>
                {
                    files.push((file, text));
                }
                Ok(_) => {
                    let problem = "holds other items than are made here; name another folder, or move the file away";
                    return Err(Error::file(file, problem));
                }
                Err(error) => return Err(Error::io("reading", &file)(error)),
            }
        }
    }
    files.iter().try_for_each(|(file, text)| write_atomic(file, text.as_bytes()))
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
