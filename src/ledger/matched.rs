use super::{Ledger, Origin};
use crate::error::{Error, Result};
use crate::select::Signals;
use crate::tokens::Sequence;
use std::collections::BTreeMap;

impl Ledger {
    /// What is known of the tokens of `sequences`, in their order: the ledger may hold more examples, and a reference model's scores as well. `origin` is that
    /// of the sequences, with the model under which they should have been scored.
    ///
    /// # Errors
    /// When the ledger is of another model, tokenizer or template, when an example is missing, stands there twice, or has other tokens there.
    pub fn signals_of(&self, origin: &Origin, sequences: &[Sequence]) -> Result<Vec<Signals>> {
        self.check_scorer(origin)?;
        let tokens = self.tokens()?;
        let mut known: BTreeMap<String, Vec<(Vec<u32>, Signals)>> = BTreeMap::new();
        for (ids, (example, signals)) in tokens.into_iter().zip(self.signals()?) {
            known.entry(example).or_default().push((ids, signals));
        }
        let find = |sequence: &Sequence| {
            let wrong = |problem: &str| {
                let problem = format!(
                    "example {} {problem}; score the same data with `unforget perplexity --out`",
                    sequence.id
                );
                Error::invalid("ledger", problem)
            };
            match known.get(&sequence.id).map(Vec::as_slice) {
                None | Some([]) => Err(wrong("is not in it")),
                Some([(ids, signals)])
                    if *ids == sequence.ids && signals.completion == sequence.completion =>
                {
                    Ok(Signals { given: sequence.weights.clone(), ..signals.clone() })
                }
                Some([_]) => Err(wrong("has other tokens in it than in the data")),
                Some(_) => Err(wrong("is in it more than once")),
            }
        };
        sequences.iter().map(find).collect()
    }

    /// The token ids of each example, in the order of [`Ledger::signals`].
    fn tokens(&self) -> Result<Vec<Vec<u32>>> {
        let mut tokens: Vec<Vec<u32>> = Vec::new();
        self.blocks(&["position", "token_id"], |block| {
            let column = |name: &str| {
                let column = block.column(name).and_then(|column| column.u32().cloned());
                column
                    .map_err(|error| Error::invalid(format!("column `{name}`"), error.to_string()))
            };
            for (position, id) in column("position")?.iter().zip(column("token_id")?.iter()) {
                let (Some(position), Some(id)) = (position, id) else {
                    return Err(Error::invalid("column `token_id`", "lacks a value"));
                };
                if position == 0 || tokens.is_empty() {
                    tokens.push(Vec::new());
                }
                if let Some(example) = tokens.last_mut() {
                    example.push(id);
                }
            }
            Ok(())
        })?;
        Ok(tokens)
    }
}
