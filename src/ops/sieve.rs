//! What of the logits of a vocabulary has to leave the device so that the next token can be chosen.

use super::composed::constant;
use candle_core::{D, DType, Device, Result, Tensor};

/// Tokens of the vocabulary that are looked at together.
const WIDTH: usize = 256;

/// The most probable token of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MostProbable {
    /// Its id; of several, the first on a CPU.
    pub id: u32,
    /// Its log-probability.
    pub log_prob: f32,
    /// Whether every logit of the row is finite.
    pub finite: bool,
}

/// The most probable token of each row of `logits (rows, vocabulary)`; three numbers of each leave the device.
pub fn most_probable(logits: &Tensor) -> Result<Vec<MostProbable>> {
    let largest = logits.max_keepdim(1)?;
    let sum = logits.broadcast_sub(&largest)?.exp()?.sum_keepdim(1)?;
    // 24 bits of an id are exact in f32, and no vocabulary has more
    let id = logits.argmax_keepdim(1)?.to_dtype(DType::F32)?;
    let facts = Tensor::cat(&[id, sum.log()?.neg()?, finite(logits)?], 1)?.to_vec2::<f32>()?;
    let of_row = |row: &Vec<f32>| MostProbable {
        id: row[0] as u32,
        log_prob: row[1],
        finite: row[2] == 0.0,
    };
    Ok(facts.iter().map(of_row).collect())
}

/// 0 for each row whose numbers are finite, no number for others.
fn finite(logits: &Tensor) -> Result<Tensor> {
    (logits * 0.0)?.sum_keepdim(1)
}

/// Logits of some rows in blocks of the vocabulary, of which only those leave the device that can matter.
#[derive(Debug)]
pub struct Sieve {
    /// `(rows · blocks, WIDTH)`, −∞ behind the vocabulary's end.
    blocks: Tensor,
    of_row: usize,
    facts: Vec<Vec<f32>>,
}

/// A row of a [`Sieve`].
#[derive(Debug, Clone, Copy)]
pub struct SievedRow<'a> {
    /// The largest logit.
    pub largest: f32,
    /// `ln Σ exp(logit − largest)`.
    pub log_sum: f32,
    /// Whether every logit is finite.
    pub finite: bool,
    /// The largest logit of each block.
    pub maxima: &'a [f32],
    /// `Σ exp((logit − largest) / temperature)` of each block.
    pub weights: &'a [f32],
}

impl Sieve {
    /// Of `logits (rows, vocabulary)` in f32, for draws at `temperature`.
    pub fn new(logits: &Tensor, temperature: f64) -> Result<Self> {
        let (rows, vocabulary) = logits.dims2()?;
        let of_row = vocabulary.div_ceil(WIDTH);
        let behind = of_row * WIDTH - vocabulary;
        let padded = match behind {
            0 => logits.clone(),
            behind => {
                let never = Tensor::full(f32::NEG_INFINITY, (rows, behind), logits.device())?;
                Tensor::cat(&[logits, &never], 1)?
            }
        };
        let blocks = padded.reshape((rows, of_row, WIDTH))?;
        let largest = logits.max_keepdim(1)?;
        let shifted = blocks.broadcast_sub(&largest.unsqueeze(2)?)?;
        let log_sum = shifted.exp()?.sum(D::Minus1)?.sum_keepdim(1)?.log()?;
        let weights = (shifted / temperature)?.exp()?.sum(D::Minus1)?;
        let maxima = blocks.max(D::Minus1)?;
        let facts = Tensor::cat(&[largest, log_sum, finite(logits)?, maxima, weights], 1)?;
        let blocks = blocks.reshape((rows * of_row, WIDTH))?;
        Ok(Self { blocks, of_row, facts: facts.to_vec2()? })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.facts.len()
    }

    /// What is known of row `row`.
    pub fn row(&self, row: usize) -> SievedRow<'_> {
        let facts = &self.facts[row];
        let (maxima, weights) = facts[3..].split_at(self.of_row);
        SievedRow { largest: facts[0], log_sum: facts[1], finite: facts[2] == 0.0, maxima, weights }
    }

    /// The first id of block `block`.
    pub fn first_id(block: usize) -> u32 {
        (block * WIDTH) as u32
    }

    /// The logits of some blocks, each by its row and its place in it; −∞ behind the vocabulary's end.
    pub fn fetch(&self, blocks: &[(usize, usize)]) -> Result<Vec<Vec<f32>>> {
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        let at = |(row, block): &(usize, usize)| (row * self.of_row + block) as u32;
        let at: Vec<u32> = blocks.iter().map(at).collect();
        let at = constant(&at, at.len(), self.blocks.device())?;
        self.blocks.index_select(&at, 0)?.to_device(&Device::Cpu)?.to_vec2()
    }
}
