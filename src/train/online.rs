//! Token weights that are computed again while the model learns.

use super::example::{Example, OnlineWeights};
use crate::error::{Error, Result};
use crate::model::{Batch, Decoder, Dropout};
use crate::ops::TokenLoss;
use crate::select::ModelSignals;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Tokens that are scored together when weights are made for all data.
const TOKENS: usize = 8192;

/// The weights of all examples as they are now.
#[derive(Debug)]
pub struct Online<'a> {
    reweigh: &'a dyn OnlineWeights,
    /// Steps between two makings for all data; 1 makes those of each step's examples.
    pub every: usize,
    /// One list for each example, empty while none was made.
    weights: Vec<Vec<f32>>,
}

impl<'a> Online<'a> {
    pub fn new(reweigh: &'a dyn OnlineWeights, every: usize, examples: usize) -> Self {
        Self { reweigh, every, weights: vec![Vec::new(); examples] }
    }

    pub fn top_entropy(&self) -> Option<usize> {
        self.reweigh.top_entropy()
    }

    /// The weights that example `at` has now.
    pub fn of(&self, at: usize) -> &[f32] {
        &self.weights[at]
    }

    /// Makes the weights of the examples `which` of `data` from what the model says of them. Returns the churn: of their tokens that may be
    /// learned and had a weight before, the share that went from learned to not learned or back. `None` where none had one.
    pub fn make(
        &mut self,
        data: &[&Example],
        which: &[usize],
        signals: &[ModelSignals],
        step: usize,
    ) -> Result<Option<f64>> {
        let examples: Vec<&Example> = which.iter().map(|at| data[*at]).collect();
        let made = self.reweigh.weights(&examples, signals, step)?;
        if made.len() != examples.len() {
            let problem = format!("{} lists for {} examples", made.len(), examples.len());
            return Err(Error::invalid("token weights", problem));
        }
        let (mut compared, mut changed) = (0usize, 0usize);
        for ((at, example), mut new) in which.iter().zip(&examples).zip(made) {
            if new.len() != example.ids.len() || new.iter().any(|weight| !weight.is_finite()) {
                let problem = format!(
                    "{}: there must be one finite weight for each of {} tokens",
                    example.id,
                    example.ids.len()
                );
                return Err(Error::invalid("token weights", problem));
            }
            for (weight, allowed) in new.iter_mut().zip(&example.weights) {
                if *allowed == 0.0 {
                    *weight = 0.0;
                }
            }
            let old = &mut self.weights[*at];
            for place in candidates(example) {
                if let Some(old) = old.get(place) {
                    compared += 1;
                    changed += usize::from((*old != 0.0) != (new[place] != 0.0));
                }
            }
            *old = new;
        }
        Ok((compared > 0).then(|| changed as f64 / compared as f64))
    }

    /// Makes the weights of all of `data`.
    pub fn make_all(
        &mut self,
        decoder: &Decoder,
        data: &[&Example],
        step: usize,
    ) -> Result<Option<f64>> {
        let mut signals = Vec::with_capacity(data.len());
        while signals.len() < data.len() {
            let (mut batch, from) = (Batch::new(), signals.len());
            let mut to = from;
            while to < data.len() && (to == from || batch.tokens() + data[to].ids.len() <= TOKENS) {
                batch.push(&data[to].ids, &allowed(data[to]));
                to += 1;
            }
            let facts = decoder.facts(&batch, None, self.top_entropy())?;
            signals.extend(signals_of(&data[from..to], &facts));
        }
        let which: Vec<usize> = (0..data.len()).collect();
        self.make(data, &which, &signals, step)
    }

    /// What the model says of the tokens of `parts`, one batch each.
    pub fn signals(
        &self,
        decoder: &Decoder,
        parts: &[Vec<&Example>],
        dropout: impl Fn(usize) -> Option<Dropout>,
    ) -> Result<Vec<ModelSignals>> {
        let mut signals = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let mut batch = Batch::new();
            for example in part {
                batch.push(&example.ids, &allowed(example));
            }
            let facts = decoder.facts(&batch, dropout(at).as_ref(), self.top_entropy())?;
            signals.extend(signals_of(part, &facts));
        }
        Ok(signals)
    }

    /// The state, to be saved.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let tensor = |values: Vec<f32>| {
            let length = values.len();
            Tensor::from_vec(values, length, &Device::Cpu)
        };
        let made = self.weights.iter().map(|w| f32::from(u8::from(!w.is_empty())));
        let mut state = BTreeMap::from([("online.made".to_string(), tensor(made.collect())?)]);
        let weights = self.weights.concat();
        if !weights.is_empty() {
            state.insert("online.weights".to_string(), tensor(weights)?);
        }
        Ok(state)
    }

    /// Goes back to what [`Online::state`] gave; `None` if it does not fit the data.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, data: &[&Example]) -> Option<()> {
        let values = |name: &str| state.get(name)?.to_vec1::<f32>().ok();
        let made = values("online.made")?;
        let weights = values("online.weights").unwrap_or_default();
        if made.len() != data.len() {
            return None;
        }
        let mut rest = weights.as_slice();
        let mut restored = Vec::with_capacity(data.len());
        for (made, example) in made.iter().zip(data) {
            let length = if *made == 0.0 { 0 } else { example.ids.len() };
            let (own, more) = rest.split_at_checked(length)?;
            restored.push(own.to_vec());
            rest = more;
        }
        self.weights = restored;
        rest.is_empty().then_some(())
    }
}

/// Weight 1 for each token that may be learned.
pub fn allowed(example: &Example) -> Vec<f32> {
    let one = |weight: &f32| f32::from(u8::from(*weight != 0.0));
    example.weights.iter().map(one).collect()
}

/// Positions of the tokens that may be learned, which are the ones that a batch of [`allowed`] predicts.
fn candidates(example: &Example) -> impl Iterator<Item = usize> + '_ {
    (1..example.weights.len()).filter(|at| example.weights[*at] != 0.0)
}

/// The facts of a batch of `examples`, pushed with [`allowed`], as signals of each.
pub fn signals_of(examples: &[&Example], facts: &TokenLoss) -> Vec<ModelSignals> {
    let mut row = 0;
    let signals = examples.iter().map(|example| {
        let length = example.ids.len();
        let mut signals = ModelSignals {
            log_prob: vec![None; length],
            entropy: vec![None; length],
            rank: vec![None; length],
            top_entropy: (!facts.top_entropy.is_empty()).then(|| vec![None; length]),
        };
        for at in candidates(example) {
            signals.log_prob[at] = Some(facts.log_prob[row]);
            signals.entropy[at] = Some(facts.entropy[row]);
            signals.rank[at] = Some(facts.rank[row]);
            if let Some(top) = &mut signals.top_entropy {
                top[at] = Some(facts.top_entropy[row]);
            }
            row += 1;
        }
        signals
    });
    signals.collect()
}
