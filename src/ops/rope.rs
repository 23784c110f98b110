use super::composed::constant;
use candle_core::{DType, Device, DeviceLocation, Result, Tensor};
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
    /// The same on devices: made when it is first asked for.
    placed: Mutex<Vec<(DeviceLocation, DType, [Tensor; 2])>>,
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
                placed: Mutex::default(),
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

    /// Cosines and sines of all positions, each `(positions, head_dim / 2)`.
    pub(super) fn placed(&self, device: &Device, dtype: DType) -> Result<[Tensor; 2]> {
        let mut placed = self.placed.lock().unwrap_or_else(|broken| broken.into_inner());
        let location = device.location();
        if let Some((.., found)) =
            placed.iter().find(|(place, kind, _)| *place == location && *kind == dtype)
        {
            return Ok(found.clone());
        }
        let place = |values: &[f32]| {
            let shape = (self.positions, values.len() / self.positions.max(1));
            constant(values, shape, device)?.to_dtype(dtype)
        };
        let made = [place(&self.cos)?, place(&self.sin)?];
        placed.push((location, dtype, made.clone()));
        Ok(made)
    }
}

/// Turns `x (n, length, heads, head_dim)`, outside any graph, by angles `(n or 1, length, 1, head_dim / 2)`; `direction` is 1 forward and -1 for the gradient.
/// Products are taken in the angles' precision and rounded once.
pub(super) fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2], direction: f64) -> Result<Tensor> {
    let (dtype, half) = (x.dtype(), x.dim(3)? / 2);
    let part = |from: usize| x.narrow(3, from, half)?.to_dtype(cos.dtype());
    let (x1, x2) = (part(0)?, part(half)?);
    let sin = if direction == 1.0 { sin.clone() } else { (sin * direction)? };
    let out1 = (x1.broadcast_mul(cos)? - x2.broadcast_mul(&sin)?)?;
    let out2 = (x2.broadcast_mul(cos)? + x1.broadcast_mul(&sin)?)?;
    Tensor::cat(&[out1, out2], 3)?.to_dtype(dtype)
}
