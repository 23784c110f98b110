use candle_core::{Result, Tensor};
use std::sync::{Arc, Mutex};

/// Rotary position embedding: how fast each pair of dimensions turns with the position.
///
/// Pairs are `(i, i + head_dim/2)`, as in transformers' checkpoints. Angles are computed in f32, as transformers does.
#[derive(Debug)]
pub struct Rope {
    frequencies: Vec<f32>,
    scale: f32,
    table: Mutex<Arc<RopeTable>>,
}

/// Cosines and sines of positions `0..positions`, perhaps scaled, each `(positions, head_dim / 2)`.
#[derive(Debug, Default)]
pub struct RopeTable {
    /// Positions that the table covers.
    pub(crate) positions: usize,
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
}

impl Rope {
    /// Of angular frequencies per position, one for each pair of dimensions.
    pub fn new(frequencies: Vec<f32>) -> Self {
        Self::scaled(frequencies, 1.0)
    }

    /// The same, what it turns multiplied by `scale`, as YaRN does.
    pub fn scaled(frequencies: Vec<f32>, scale: f32) -> Self {
        Self { frequencies, scale, table: Mutex::default() }
    }

    /// The table for at least `positions` positions; made once and kept.
    pub fn table(&self, positions: usize) -> Arc<RopeTable> {
        let mut table = self.table.lock().unwrap_or_else(|broken| broken.into_inner());
        if table.positions < positions {
            let positions = positions.next_power_of_two();
            let angles =
                || (0..positions).flat_map(|p| self.frequencies.iter().map(move |f| p as f32 * f));
            *table = Arc::new(RopeTable {
                positions,
                cos: angles().map(|angle| angle.cos() * self.scale).collect(),
                sin: angles().map(|angle| angle.sin() * self.scale).collect(),
            });
        }
        table.clone()
    }
}

impl RopeTable {
    /// Turns one head's vector at `position`; `direction` is 1 forward and -1 for the gradient.
    #[inline(always)]
    pub(crate) fn turn(&self, position: usize, x: &[f32], out: &mut [f32], direction: f32) {
        let half = x.len() / 2;
        let (cos, sin) =
            (&self.cos[position * half..][..half], &self.sin[position * half..][..half]);
        let (x1, x2) = x.split_at(half);
        let (out1, out2) = out.split_at_mut(half);
        for i in 0..half {
            let sin = direction * sin[i];
            out1[i] = x1[i] * cos[i] - x2[i] * sin;
            out2[i] = x2[i] * cos[i] + x1[i] * sin;
        }
    }

    /// Turns `x (length, heads, head_dim)` at positions `0..length`, with candle operations that keep gradients.
    pub(super) fn turn_tensor(&self, x: &Tensor) -> Result<Tensor> {
        let (length, _, head_dim) = x.dims3()?;
        let half = head_dim / 2;
        let table = |values: &[f32]| {
            Tensor::from_slice(&values[..length * half], (length, 1, half), x.device())?
                .to_dtype(x.dtype())
        };
        let (cos, sin) = (table(&self.cos)?, table(&self.sin)?);
        let (x1, x2) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let out1 = (x1.broadcast_mul(&cos)? - x2.broadcast_mul(&sin)?)?;
        let out2 = (x2.broadcast_mul(&cos)? + x1.broadcast_mul(&sin)?)?;
        Tensor::cat(&[out1, out2], 2)
    }
}
