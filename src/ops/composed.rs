//! What operators composed of candle's operations share.
//!
//! candle keeps a gradient for every factor and summand, constants as well: masks, cosines, norms' weights. Here a value is computed outside the
//! graph and put into it with a backward pass of its own, which gives gradients to what is trained and to nothing else.

use super::{Path, wide};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage,
    Result, Shape, Storage, Tensor, WithDType, backend::BackendStorage, bail,
};
use std::cell::Cell;
use std::sync::Mutex;

/// The gradients of an operator's inputs, from that of its result.
type Backward = dyn Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// Puts `value`, computed from `inputs` outside the graph, into the graph. `backward` gives one gradient for each of up to three inputs; of those that are
/// not tracked it is dropped.
pub(super) fn explicit(
    inputs: &[&Tensor],
    value: Tensor,
    backward: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(value);
    }
    let value = value.contiguous()?;
    if value.layout().start_offset() != 0 {
        bail!("a value that is part of another")
    }
    let op = Explicit { value: Mutex::new(Some(value)), backward: Box::new(backward) };
    match inputs {
        [x] => x.apply_op1(op),
        [x, y] => x.apply_op2(y, op),
        [x, y, z] => x.apply_op3(y, z, op),
        _ => bail!("{} inputs", inputs.len()),
    }
}

struct Explicit {
    /// Until it is in the graph.
    value: Mutex<Option<Tensor>>,
    backward: Box<Backward>,
}

impl Explicit {
    fn value(&self) -> Result<Tensor> {
        let value = self.value.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        value.ok_or_else(|| candle_core::Error::Msg("a value that is in the graph already".into()))
    }
    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("the value is on another device than its inputs"),
        }
    }
    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("the value is on another device than its inputs"),
        }
    }
    fn metal(&self) -> Result<(MetalStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Metal(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("the value is on another device than its inputs"),
        }
    }
    fn gradients<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let gradients = (self.backward)(&grad.contiguous()?)?;
        let mut gradients = gradients.into_iter();
        Ok(inputs.map(|input| gradients.next().flatten().filter(|_| input.track_op())))
    }
}

impl CustomOp1 for Explicit {
    fn name(&self) -> &'static str {
        "explicit-1"
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }
    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }
    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [x] = self.gradients([x], grad)?;
        Ok(x)
    }
}

impl CustomOp2 for Explicit {
    fn name(&self) -> &'static str {
        "explicit-2"
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }
    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }
    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, y] = self.gradients([x, y], grad)?;
        Ok((x, y))
    }
}

impl CustomOp3 for Explicit {
    fn name(&self) -> &'static str {
        "explicit-3"
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }
    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }
    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, y, z] = self.gradients([x, y, z], grad)?;
        Ok((x, y, z))
    }
}

thread_local! {
    static CONSTANTS: Cell<usize> = const { Cell::new(0) };
}

/// Tensors that this thread's operators have made of numbers on the host so far: each is a copy to the device.
#[doc(hidden)]
pub fn host_constants() -> usize {
    CONSTANTS.get()
}

/// A tensor of numbers on the host.
pub(crate) fn constant<T: WithDType>(
    values: &[T],
    shape: impl Into<Shape>,
    device: &Device,
) -> Result<Tensor> {
    CONSTANTS.set(CONSTANTS.get() + 1);
    Tensor::from_slice(values, shape.into(), device)
}

/// The most numbers in one tensor of a GPU: candle's kernels count them in 32 bits, and step beyond the last one.
const LARGEST: usize = 1 << 31;

/// Refuses a tensor of `shape` that candle's GPU kernels cannot count; `what` names it.
///
/// # Errors
/// From 2³¹ numbers on.
pub fn check_size(what: &str, shape: &[usize]) -> Result<()> {
    let count = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    match count.is_some_and(|count| count < LARGEST) {
        true => Ok(()),
        false => bail!(
            "{what} would be a tensor of {shape:?}, and a GPU counts less than 2^31 numbers; take fewer tokens at a time"
        ),
    }
}

/// `x · factor`, the factor not rounded to the precision of `x`.
pub fn scaled(x: &Tensor, factor: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    if factor == 1.0 {
        return Ok(x.clone());
    }
    if wide(dtype) == dtype {
        return x * factor;
    }
    let scale = move |x: &Tensor| (x.to_dtype(wide(dtype))? * factor)?.to_dtype(dtype);
    explicit(&[x], scale(&x.detach())?, move |grad| Ok(vec![Some(scale(grad)?)]))
}

/// `y + bias`, a bias for each column. It gets a gradient only if it is a variable.
pub fn add_bias(path: Path, y: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if path == Path::Host {
        return y.broadcast_add(bias);
    }
    let (dtype, of_bias, kind) = (y.dtype(), bias.track_op(), bias.dtype());
    let sum = y.detach().broadcast_add(&bias.detach().to_dtype(dtype)?)?;
    explicit(&[y, bias], sum, move |grad| {
        let of_bias = of_bias.then(|| grad.to_dtype(wide(dtype))?.sum(0)?.to_dtype(kind));
        Ok(vec![Some(grad.clone()), of_bias.transpose()?])
    })
}

/// `y · magnitude / lengths`, one of each for every column. `lengths` is a constant; the magnitude gets a gradient only if it is a variable.
pub fn scaled_columns(y: &Tensor, magnitude: &Tensor, lengths: &Tensor) -> Result<Tensor> {
    let (dtype, wide) = (y.dtype(), wide(y.dtype()));
    let inverse = lengths.detach().to_dtype(wide)?.recip()?;
    let factor = (magnitude.detach().to_dtype(wide)? * &inverse)?;
    let (kept, of_magnitude, kind) = (y.detach(), magnitude.track_op(), magnitude.dtype());
    let value = kept.to_dtype(wide)?.broadcast_mul(&factor)?.to_dtype(dtype)?;
    explicit(&[y, magnitude], value, move |grad| {
        let grad = grad.to_dtype(wide)?;
        let of_magnitude = of_magnitude.then(|| {
            let sum = (&grad * kept.to_dtype(wide)?)?.sum(0)?;
            (sum * &inverse)?.to_dtype(kind)
        });
        let of_y = grad.broadcast_mul(&factor)?.to_dtype(dtype)?;
        Ok(vec![Some(of_y), of_magnitude.transpose()?])
    })
}

/// `x` with dropout: bit `i` of `drops`, counted from the lowest of each byte, says whether value `i` becomes 0; what stays is multiplied by `factor`.
pub fn dropped(path: Path, x: &Tensor, drops: &[u8], factor: f32) -> Result<Tensor> {
    let (count, dtype) = (x.elem_count(), x.dtype());
    if drops.len() != count.div_ceil(8) {
        bail!("{} bytes say what of {count} values is dropped", drops.len())
    }
    let (wide, shape) = (wide(dtype), x.shape().clone());
    let mask = if path == Path::Host {
        let value = |at: usize| if drops[at / 8] >> (at % 8) & 1 == 1 { 0.0 } else { factor };
        let values: Vec<f32> = (0..count).map(value).collect();
        Tensor::from_vec(values, &shape, x.device())?
    } else {
        // one bit for each value goes to the device; candle gives zeros for the index 255, and that byte drops all
        let stays = |byte: u8| (0..8).map(move |bit| !byte >> bit & 1);
        let stays: Vec<u8> = (0..=255u8).flat_map(stays).collect();
        let stays = constant(&stays, (256, 8), x.device())?;
        let bytes = constant(drops, drops.len(), x.device())?;
        let mask = stays.index_select(&bytes, 0)?.flatten_all()?.narrow(0, 0, count)?;
        mask.reshape(&shape)?
    };
    let apply = move |x: &Tensor| -> Result<Tensor> {
        let x = x.to_dtype(wide)?;
        match path {
            Path::Host => x * mask.to_dtype(wide)?,
            Path::Composed => (x * mask.to_dtype(wide)?)? * f64::from(factor),
        }?
        .to_dtype(dtype)
    };
    explicit(&[x], apply(&x.detach())?, move |grad| Ok(vec![Some(apply(grad)?)]))
}

/// `0` where a row sees a column and `−∞` where it does not: row `i` sees the columns `from[i]..to[i]` of `columns`. `(rows, columns)` in `dtype`.
pub(super) fn unseen(
    from: &[u32],
    to: &[u32],
    columns: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let rows = from.len();
    let [from, to] = [from, to].map(|bound| constant(bound, (rows, 1), device));
    let column = Tensor::arange(0u32, columns as u32, device)?.unsqueeze(0)?;
    let shape = (rows, columns);
    let column = column.broadcast_as(shape)?;
    let seen = (column.ge(&from?.broadcast_as(shape)?)? * column.lt(&to?.broadcast_as(shape)?)?)?;
    let zeros = Tensor::zeros(shape, dtype, device)?;
    let never = Tensor::full(f32::NEG_INFINITY, shape, device)?.to_dtype(dtype)?;
    seen.where_cond(&zeros, &never)
}

/// The softmax over the last dimension.
pub(super) fn softmax(scores: &Tensor) -> Result<Tensor> {
    let largest = scores.max_keepdim(candle_core::D::Minus1)?;
    let exp = scores.broadcast_sub(&largest)?.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(candle_core::D::Minus1)?)
}

/// `values`, but 0 where `factor` is exactly 0: `−∞ · 0` is no number. What is no number otherwise stays.
pub(super) fn nothing_without(factor: &Tensor, values: &Tensor) -> Result<Tensor> {
    factor.eq(&factor.zeros_like()?)?.where_cond(&values.zeros_like()?, values)
}
