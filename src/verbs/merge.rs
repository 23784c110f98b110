use super::kept;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::export;
use crate::model::Checkpoint;

/// Folds a checkpoint's adapter into its weights: a model of its own, which can be trained again. One without an adapter stays as it is.
pub fn merge(cx: &Context, checkpoint: &Checkpoint, label: &str) -> Result<Checkpoint> {
    const MODEL: &str = "model";
    if checkpoint.adapter.is_none() {
        return Ok(checkpoint.clone());
    }
    let inputs = cx.fingerprint_of_answers(checkpoint, [])?;
    let (_, folder) = kept(cx, ("merged", label), checkpoint, &inputs, |work, _| {
        let out = work.path(MODEL)?;
        // what an earlier try left there is not whole
        if out.exists() {
            std::fs::remove_dir_all(&out).map_err(Error::io("removing", &out))?;
        }
        std::fs::create_dir_all(&out).map_err(Error::io("making", &out))?;
        Ok(export::merged(checkpoint, &out, export::SHARD)?.layers)
    })?;
    let merged = Checkpoint::open(folder.join(MODEL))?;
    Ok(merged.with_template(checkpoint.template.clone()).in_precision(checkpoint.precision))
}
