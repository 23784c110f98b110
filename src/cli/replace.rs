use super::terminal::tell;
use clap::Args;
use serde_json::Value;
use unforget::context::Context;
use unforget::error::{Error, Result};
use unforget::model::Checkpoint;
use unforget::provenance::differences;
use unforget::store::{Output, bytes_hash};

/// Whether a model or an adapter may take the place of another one.
///
/// A folder lists what its content was made from. The same call made again replaces it with the same; whatever else is there stays unless somebody
/// says so, and then stderr says what went and how it differed.
#[derive(Args)]
pub struct Replace {
    /// Replace what an earlier call wrote into --out though it was made from something else
    #[arg(long)]
    replace: bool,
}

impl Replace {
    /// Refuses to replace an earlier result that was not made from `made`, unless that was asked for.
    pub fn check(&self, out: &Output, made: &Value) -> Result<()> {
        let Some(earlier) = out.earlier()?.filter(|earlier| earlier != made) else { return Ok(()) };
        let how = match &earlier {
            Value::Null => "it does not say from what it was made".to_owned(),
            earlier => {
                const NAMED: usize = 4;
                let all = differences(earlier, made);
                let words: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
                let more = if all.len() > NAMED { "; …" } else { "" };
                format!("it was made otherwise: {}{more}", words.join("; "))
            }
        };
        if !self.replace {
            let problem = format!(
                "holds an earlier result, and {how}. Replace it with --replace, or name another folder with --out"
            );
            return Err(Error::file(out.path(), problem));
        }
        tell!("{}: the earlier result is replaced; {how}", out.path().display());
        Ok(())
    }
}

/// A model in a word: its folder's name and a hash of all that decides what it computes.
pub fn model_in_a_word(cx: &Context, checkpoint: &Checkpoint) -> Result<String> {
    let fingerprint = cx.fingerprint(checkpoint)?;
    let parts: Vec<(&str, &Value)> =
        fingerprint.inputs().filter(|(name, _)| !["crate", "device"].contains(name)).collect();
    let text = serde_json::to_vec(&parts).map_err(Error::library("naming a model"))?;
    let name = checkpoint.model.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name} {:.12}", bytes_hash(&text)))
}
