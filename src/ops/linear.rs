use super::host::{Matrix, Write, floats, multiplied, product, values};
use super::{Path, Weight, composed::scaled};
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape,
    Tensor, bail,
};

/// `x Wᵀ`: `x` is `(rows, in)`, `weight` is `(out, in)` as checkpoints store it, the result is `(rows, out)`.
///
/// `weight` gets a gradient only if it is a variable; candle's own matmul would build one for every frozen weight.
pub fn linear(path: Path, x: &Tensor, weight: impl Into<Weight>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.into());
    weight.fused(path, &x)?;
    match weight {
        Weight::Dense(weight) if weight.track_op() => {
            x.apply_op2(&weight.contiguous()?, Linear { path, frozen: None })
        }
        Weight::Dense(weight) => x.apply_op1(Linear { path, frozen: Some(weight.contiguous()?) }),
        packed => x.apply_op1(LinearOfPacked(packed)),
    }
}

/// `x Wᵀ + scale · (x Aᵀ) Bᵀ`: a frozen weight `W (out, in)` with a low-rank update, `a` is `(rank, in)`, `b` is `(out, rank)`.
pub fn lora_linear(
    path: Path,
    x: &Tensor,
    weight: impl Into<Weight>,
    a: &Tensor,
    b: &Tensor,
    scale: f64,
) -> Result<Tensor> {
    let weight = weight.into();
    if weight.fused(path, x)? {
        let lora = Lora { weight: weight.plain()?, scale: scale as f32 };
        return x.contiguous()?.apply_op3(&a.contiguous()?, &b.contiguous()?, lora);
    }
    let update = linear(path, &linear(path, x, a)?, b)?;
    linear(path, x, weight.detach())? + scaled(&update, scale)?
}

struct Linear {
    path: Path,
    frozen: Option<Tensor>,
}

/// Shapes of `x (rows, in) · weightᵀ (in, out)`.
fn shapes(x: &Shape, weight: &Shape) -> Result<(usize, usize, usize)> {
    let ((rows, inner), (out, weight_inner)) = (x.dims2()?, weight.dims2()?);
    if inner != weight_inner {
        bail!("x has {inner} columns, the weight {weight_inner}")
    }
    Ok((rows, out, inner))
}

/// `x Wᵀ` on any backend's storage.
fn forward<S: BackendStorage>(x: &S, lx: &Layout, w: &S, lw: &Layout) -> Result<(S, Shape)> {
    let (rows, out, inner) = shapes(lx.shape(), lw.shape())?;
    let y = x.matmul(w, (1, rows, out, inner), lx, &lw.transpose(0, 1)?)?;
    Ok((y, Shape::from((rows, out))))
}

/// `x Wᵀ` on a CPU: in f32 on the current rayon pool, else as candle does it.
fn cpu_forward(
    path: Path,
    x: &CpuStorage,
    lx: &Layout,
    w: &CpuStorage,
    lw: &Layout,
) -> Result<(CpuStorage, Shape)> {
    if path == Path::Composed || !matches!(x, CpuStorage::F32(_)) {
        return forward(x, lx, w, lw);
    }
    let (rows, out, inner) = shapes(lx.shape(), lw.shape())?;
    let (x, w) = (Matrix::rows(floats(x, lx)?, inner), Matrix::rows(floats(w, lw)?, inner));
    let y = multiplied((rows, out, inner), x, w.t(), 1.0);
    Ok((CpuStorage::F32(y), Shape::from((rows, out))))
}

/// `a · b` of two matrices, outside any graph.
fn times(path: Path, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !path.fused(a) {
        return a.matmul(b);
    }
    let ((m, k), n) = (a.dims2()?, b.dim(1)?);
    let strides = |t: &Tensor| (t.stride()[0], t.stride()[1]);
    let view = |t: &Tensor| {
        if t.is_contiguous() { Ok((t.clone(), false)) } else { t.t().map(|t| (t, true)) }
    };
    let ((a, a_turned), (b, b_turned)) = (view(a)?, view(b)?);
    let (a_values, b_values) = (values(&a)?, values(&b)?);
    let lhs = Matrix::rows(&a_values, strides(&a).0);
    let rhs = Matrix::rows(&b_values, strides(&b).0);
    let lhs = if a_turned { lhs.t() } else { lhs };
    let rhs = if b_turned { rhs.t() } else { rhs };
    let out = multiplied((m, n, k), lhs, rhs, 1.0);
    Tensor::from_vec(out, (m, n), a.device())
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.weight().storage_and_layout();
        match &*storage {
            candle_core::Storage::Cpu(w) => cpu_forward(self.path, x, lx, w, layout),
            _ => bail!("the weight is on another device than x"),
        }
    }
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.weight().storage_and_layout();
        match &*storage {
            candle_core::Storage::Cuda(w) => forward(x, lx, w, layout),
            _ => bail!("the weight is on another device than x"),
        }
    }
    fn metal_fwd(&self, x: &MetalStorage, lx: &Layout) -> Result<(MetalStorage, Shape)> {
        let (storage, layout) = self.weight().storage_and_layout();
        match &*storage {
            candle_core::Storage::Metal(w) => forward(x, lx, w, layout),
            _ => bail!("the weight is on another device than x"),
        }
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        times(self.path, &grad.contiguous()?, &self.weight().detach()).map(Some)
    }
}

impl Linear {
    fn weight(&self) -> &Tensor {
        self.frozen.as_ref().expect("the unary form holds its weight")
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        cpu_forward(self.path, x, lx, w, lw)
    }
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        w: &CudaStorage,
        lw: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        forward(x, lx, w, lw)
    }
    fn metal_fwd(
        &self,
        x: &MetalStorage,
        lx: &Layout,
        w: &MetalStorage,
        lw: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        forward(x, lx, w, lw)
    }
    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let dx = times(self.path, &grad, &w.detach())?;
        Ok((Some(dx), Some(times(self.path, &grad.t()?, &x.detach())?)))
    }
}

/// `x Wᵀ` with a frozen weight in blocks or panels.
struct LinearOfPacked(Weight);

impl CustomOp1 for LinearOfPacked {
    fn name(&self) -> &'static str {
        "linear-of-packed"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let weight = self.0.host()?;
        let (rows, out, _) = shapes(lx.shape(), &Shape::from(weight.dims2()))?;
        let y = weight.forward(floats(x, lx)?, rows);
        Ok((CpuStorage::F32(y), Shape::from((rows, out))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let dx = self.0.host()?.backward(&values(&grad)?, x.dim(0)?);
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

struct Lora {
    weight: Weight,
    scale: f32,
}

impl CustomOp3 for Lora {
    fn name(&self) -> &'static str {
        "lora-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = self.weight.host()?;
        let (rows, out, inner) = shapes(lx.shape(), &Shape::from(weight.dims2()))?;
        let (_, rank, _) = shapes(lx.shape(), la.shape())?;
        if lb.shape().dims() != [out, rank] {
            bail!("b is {:?}, needed ({out}, {rank})", lb.shape())
        }
        let mut y = weight.forward(floats(x, lx)?, rows);
        let x = Matrix::rows(floats(x, lx)?, inner);
        let (a, b) = (Matrix::rows(floats(a, la)?, inner), Matrix::rows(floats(b, lb)?, rank));
        let down = multiplied((rows, rank, inner), x, a.t(), 1.0); // in → rank
        product(
            (rows, out, rank),
            &mut y,
            out,
            Matrix::rows(&down, rank),
            b.t(),
            self.scale,
            Write::Add,
            true,
        );
        Ok((CpuStorage::F32(y), Shape::from((rows, out))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((rows, inner), rank, out) = (x.dims2()?, a.dim(0)?, b.dim(0)?);
        let grad = grad.contiguous()?;
        let (xs, a, b, grad) = (values(x)?, values(a)?, values(b)?, values(&grad)?);
        let mut dx = self.weight.host()?.backward(&grad, rows);
        let xs = Matrix::rows(&xs, inner);
        let (a, b, grad) =
            (Matrix::rows(&a, inner), Matrix::rows(&b, rank), Matrix::rows(&grad, out));
        let down = multiplied((rows, rank, inner), xs, a.t(), 1.0); // x Aᵀ, cheaper to compute again than to keep
        let d_down = multiplied((rows, rank, out), grad, b, self.scale);
        let (down, d_down) = (Matrix::rows(&down, rank), Matrix::rows(&d_down, rank));
        product((rows, inner, rank), &mut dx, inner, d_down, a, 1.0, Write::Add, true);
        let da = multiplied((rank, inner, rows), d_down.t(), xs, 1.0);
        let db = multiplied((out, rank, rows), grad.t(), down, self.scale);
        let cpu = x.device();
        Ok((
            Some(Tensor::from_vec(dx, (rows, inner), cpu)?),
            Some(Tensor::from_vec(da, (rank, inner), cpu)?),
            Some(Tensor::from_vec(db, (out, rank), cpu)?),
        ))
    }
}
