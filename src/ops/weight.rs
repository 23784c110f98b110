use super::host::{Matrix, Values, Write, multiplied, product, values};
use super::{Panels, Path, blocks};
use crate::gguf::Blocks;
use candle_core::{DType, Device, Result, Tensor, Var, bail};

/// The weight of a linear layer, `(out, in)`: a tensor, in the blocks of a GGUF file, or in panels for the processor's own products of bf16. Clones
/// share it.
#[derive(Debug, Clone)]
pub enum Weight {
    /// Any device and precision; perhaps a variable.
    Dense(Tensor),
    /// Frozen, on a CPU, multiplied in f32 with activations in f32, and unpacked meanwhile.
    Blocks(Blocks),
    /// Frozen, on a CPU, multiplied in bf16 with activations in f32.
    Panels(Panels),
}

impl From<Tensor> for Weight {
    fn from(tensor: Tensor) -> Self {
        Self::Dense(tensor)
    }
}

impl From<&Tensor> for Weight {
    fn from(tensor: &Tensor) -> Self {
        Self::Dense(tensor.clone())
    }
}

impl From<&Var> for Weight {
    fn from(var: &Var) -> Self {
        Self::Dense(var.as_tensor().clone())
    }
}

impl From<&Weight> for Weight {
    fn from(weight: &Weight) -> Self {
        weight.clone()
    }
}

impl Weight {
    /// `out` and `in`.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(tensor) => tensor.dims2(),
            Self::Blocks(blocks) => Ok(blocks.dims2()),
            Self::Panels(panels) => Ok(panels.dims2()),
        }
    }

    /// Of what goes in and comes out; blocks and panels take and give f32.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Dense(tensor) => tensor.dtype(),
            Self::Blocks(_) | Self::Panels(_) => DType::F32,
        }
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        match self {
            Self::Dense(tensor) => tensor.device(),
            Self::Blocks(_) | Self::Panels(_) => &Device::Cpu,
        }
    }

    /// Whether it is a variable.
    pub fn is_variable(&self) -> bool {
        matches!(self, Self::Dense(tensor) if tensor.is_variable())
    }

    /// Whether it gets a gradient.
    pub fn track_op(&self) -> bool {
        matches!(self, Self::Dense(tensor) if tensor.track_op())
    }

    /// The same weight outside any graph.
    pub fn detach(&self) -> Self {
        match self {
            Self::Dense(tensor) => Self::Dense(tensor.detach()),
            frozen => frozen.clone(),
        }
    }

    /// As it multiplies activations of `dtype`: weights that are trained are kept in f32. The gradient finds its way back.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        match self {
            Self::Dense(tensor) => tensor.to_dtype(dtype).map(Self::Dense),
            frozen => Ok(frozen.clone()),
        }
    }

    /// Whether it is kept apart from what training changes: it is frozen, and a sum with it would be as large as an f32 weight.
    pub fn is_packed(&self) -> bool {
        !matches!(self, Self::Dense(_))
    }

    /// Its numbers as a tensor, outside any graph: shared, or in f32 from blocks and panels, which loses nothing.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => Ok(tensor.detach()),
            Self::Blocks(blocks) => blocks.dense(),
            Self::Panels(panels) => panels.dense(),
        }
    }

    /// Some of its rows, as an embedding gives them.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => {
                tensor.index_select(&Tensor::from_slice(ids, ids.len(), tensor.device())?, 0)
            }
            Self::Blocks(blocks) => blocks.select(ids),
            Self::Panels(panels) => panels.rows(ids),
        }
    }

    /// As a matrix of the fused operators.
    pub(super) fn host(&self) -> Result<HostWeight<'_>> {
        match self {
            Self::Dense(tensor) => Ok(HostWeight::Dense(values(tensor)?, tensor.dims2()?)),
            Self::Blocks(blocks) => Ok(HostWeight::Blocks(blocks)),
            Self::Panels(panels) => Ok(HostWeight::Panels(panels)),
        }
    }

    /// As a tensor, for operators composed of candle's; they have no use for blocks and panels.
    pub(crate) fn tensor(&self) -> Result<&Tensor> {
        match self {
            Self::Dense(tensor) => Ok(tensor),
            Self::Blocks(_) => bail!("a weight in blocks multiplies f32 on the CPU only"),
            Self::Panels(_) => bail!("a weight in bf16 panels multiplies f32 on the CPU only"),
        }
    }

    /// Contiguous and outside any graph.
    pub(super) fn plain(&self) -> Result<Self> {
        match self {
            Self::Dense(tensor) => Ok(Self::Dense(tensor.detach().contiguous()?)),
            frozen => Ok(frozen.clone()),
        }
    }

    /// Whether `x` can be multiplied by the fused operators.
    pub(super) fn fused(&self, path: Path, x: &Tensor) -> Result<bool> {
        let fused = path.fused(x);
        if !fused {
            self.tensor()?;
        }
        Ok(fused)
    }
}

/// A weight borrowed for products of slices.
pub(super) enum HostWeight<'a> {
    Dense(Values<'a>, (usize, usize)),
    Blocks(&'a Blocks),
    Panels(&'a Panels),
}

impl HostWeight<'_> {
    pub fn dims2(&self) -> (usize, usize) {
        match self {
            Self::Dense(_, shape) => *shape,
            Self::Blocks(blocks) => blocks.dims2(),
            Self::Panels(panels) => panels.dims2(),
        }
    }

    /// `y = x Wᵀ`.
    pub fn forward_into(&self, x: &[f32], y: &mut [f32]) {
        match self {
            Self::Dense(w, (out, inner)) => {
                let (x, w) = (Matrix::rows(x, *inner), Matrix::rows(w, *inner));
                let shape = (y.len() / out, *out, *inner);
                product(shape, y, *out, x, w.t(), 1.0, Write::Overwrite, true);
            }
            Self::Blocks(blocks) => blocks::forward(blocks, x, y),
            Self::Panels(panels) => panels.forward(x, y),
        }
    }

    /// `dx = dy W`.
    pub fn backward_into(&self, dy: &[f32], dx: &mut [f32]) {
        match self {
            Self::Dense(w, (out, inner)) => {
                let (dy, w) = (Matrix::rows(dy, *out), Matrix::rows(w, *inner));
                let shape = (dx.len() / inner, *inner, *out);
                product(shape, dx, *inner, dy, w, 1.0, Write::Overwrite, true);
            }
            Self::Blocks(blocks) => blocks::backward(blocks, dy, dx),
            Self::Panels(panels) => panels.backward(dy, dx),
        }
    }

    /// `x Wᵀ` of `rows` rows.
    pub fn forward(&self, x: &[f32], rows: usize) -> Vec<f32> {
        match self {
            Self::Dense(w, (out, inner)) => {
                let (x, w) = (Matrix::rows(x, *inner), Matrix::rows(w, *inner));
                multiplied((rows, *out, *inner), x, w.t(), 1.0)
            }
            _ => {
                let mut y = vec![0f32; rows * self.dims2().0];
                self.forward_into(x, &mut y);
                y
            }
        }
    }

    /// `dy W` of `rows` rows.
    pub fn backward(&self, dy: &[f32], rows: usize) -> Vec<f32> {
        match self {
            Self::Dense(w, (out, inner)) => {
                let (dy, w) = (Matrix::rows(dy, *out), Matrix::rows(w, *inner));
                multiplied((rows, *inner, *out), dy, w, 1.0)
            }
            _ => {
                let mut dx = vec![0f32; rows * self.dims2().1];
                self.backward_into(dy, &mut dx);
                dx
            }
        }
    }
}
