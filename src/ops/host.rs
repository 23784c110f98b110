//! Slices, matrix products and loops on the CPU.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, bail};
use std::mem::MaybeUninit;
use std::ops::Deref;

/// The contiguous f32 values of a storage.
pub(super) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else { bail!("a fused operator takes f32 values") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("a fused operator takes contiguous values"),
    }
}

/// A tensor's values, borrowed for reading.
pub(super) struct Values<'a> {
    guard: StorageRef<'a>,
    range: (usize, usize),
}

/// Borrows the values of a contiguous f32 tensor on the CPU.
pub(super) fn values(tensor: &Tensor) -> Result<Values<'_>> {
    let (guard, layout) = tensor.storage_and_layout();
    let Some(range) = layout.contiguous_offsets() else {
        bail!("a fused operator takes contiguous values")
    };
    match &*guard {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(Values { guard, range }),
        _ => bail!("a fused operator takes f32 values on the CPU"),
    }
}

impl Deref for Values<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &*self.guard {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.0..self.range.1],
            _ => unreachable!("`values` has checked the storage"),
        }
    }
}

/// A matrix that is a view of a slice: element `(i, j)` is at `i * row + j * col`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix whose rows are `row` values apart.
    pub fn rows(values: &'a [f32], row: usize) -> Self {
        Self { values, row, col: 1 }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self { values: self.values, row: self.col, col: self.row }
    }

    fn covers(&self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.row + (cols - 1) * self.col < self.values.len()
    }
}

/// What happens to the destination of a product.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Write {
    Overwrite,
    Add,
}

/// `lhs (m × k) · rhs (k × n) · scale`, row-major, on the current rayon pool. Its memory is written once, not cleared before.
pub(super) fn multiplied(
    (m, n, k): (usize, usize, usize),
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
) -> Vec<f32> {
    if k == 0 {
        return vec![0f32; m * n];
    }
    let mut out = Vec::with_capacity(m * n);
    let spare = &mut out.spare_capacity_mut()[..m * n];
    into_memory((m, n, k), spare, n, lhs, rhs, scale, Write::Overwrite, true);
    // SAFETY: a product of k > 0 that overwrites has written every one of the m · n values.
    unsafe { out.set_len(m * n) };
    out
}

/// `dst (m × n, rows dst_row apart) = or += scale · lhs (m × k) · rhs (k × n)`, on the current rayon pool.
#[allow(clippy::too_many_arguments)]
pub(super) fn product(
    (m, n, k): (usize, usize, usize),
    dst: &mut [f32],
    dst_row: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    into: Write,
    parallel: bool,
) {
    // SAFETY: values that are there may be seen as values that may be there, and a product leaves none undefined.
    let dst = unsafe { &mut *(dst as *mut [f32] as *mut [MaybeUninit<f32>]) };
    into_memory((m, n, k), dst, dst_row, lhs, rhs, scale, into, parallel);
}

/// [`product`] into memory that need not hold values when it is overwritten.
#[allow(clippy::too_many_arguments)]
fn into_memory(
    (m, n, k): (usize, usize, usize),
    dst: &mut [MaybeUninit<f32>],
    dst_row: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    into: Write,
    parallel: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * dst_row + n <= dst.len() && lhs.covers(m, k) && rhs.covers(k, n),
        "a matrix product outside its slices"
    );
    let threads = rayon::current_num_threads();
    let parallelism = if parallel && threads > 1 {
        gemm::Parallelism::Rayon(threads)
    } else {
        gemm::Parallelism::None
    };
    // SAFETY: the assertion above keeps every element inside its slice, `dst` is borrowed exclusively, and is read only with `Write::Add`,
    // which only `product` passes on, with values.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr().cast::<f32>(),
            1,
            dst_row as isize,
            into == Write::Add,
            lhs.values.as_ptr(),
            lhs.col as isize,
            lhs.row as isize,
            rhs.values.as_ptr(),
            rhs.col as isize,
            rhs.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Runs a loop compiled with AVX2 and FMA where this CPU has them.
#[inline(always)]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn wide<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the two features were found just now.
            return unsafe { wide(work) };
        }
    }
    work()
}

/// `eˣ` with a relative error below 2e-7, in a form that the compiler turns into vector instructions.
///
/// Below -87 the result is 0 (or the smallest normal number); above 88 it stays at e⁸⁸.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding and subtracting it rounds to the nearest integer
    let clamped = x.clamp(-87.0, 88.0);
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    // ln 2 in two parts, so that the remainder is exact
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let value = (p * r * r + r) + 1.0;
    let scaled = value * f32::from_bits((((n as i32) + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { scaled }
}

/// `tanh(x)` with an absolute error below 4e-7 and a relative one below 6e-7, in a form that becomes vector instructions.
///
/// The rational function is Eigen's (`generic_fast_tanh_float`, degree 13 over 6).
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    let mut p = -2.760_768_5e-16_f32;
    p = p * square + 2.000_188e-13;
    p = p * square - 8.604_672e-11;
    p = p * square + 5.122_297_1e-8;
    p = p * square + 1.485_722_4e-5;
    p = p * square + 6.372_619_3e-4;
    p = p * square + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6_f32;
    q = q * square + 1.185_347_1e-4;
    q = q * square + 2.268_434_6e-3;
    q = q * square + 4.893_525e-3;
    x * p / q
}

/// The scalar product.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    // sixteen partial sums, so that the loop becomes vector instructions without reordering at run time
    let mut sums = [0f32; 16];
    let (mut a_parts, mut b_parts) = (a.chunks_exact(16), b.chunks_exact(16));
    for (x, y) in (&mut a_parts).zip(&mut b_parts) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(x, y)| x * y).sum();
    let mut width = 8;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + rest
}

/// Sum and maximum of a row in the same fixed order of partial results as [`dot`].
#[inline(always)]
pub(super) fn maximum(row: &[f32]) -> f32 {
    let mut best = [f32::NEG_INFINITY; 16];
    let mut parts = row.chunks_exact(16);
    for part in &mut parts {
        for lane in 0..16 {
            best[lane] = if part[lane] > best[lane] { part[lane] } else { best[lane] };
        }
    }
    parts.remainder().iter().chain(&best).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Replaces each value by `exp(value - shift)` and returns the sum.
#[inline(always)]
pub(super) fn exp_and_sum(row: &mut [f32], shift: f32) -> f32 {
    let mut sums = [0f32; 16];
    let mut parts = row.chunks_exact_mut(16);
    for part in &mut parts {
        for lane in 0..16 {
            let e = exp(part[lane] - shift);
            part[lane] = e;
            sums[lane] += e;
        }
    }
    let mut rest = 0.0;
    for value in parts.into_remainder() {
        *value = exp(*value - shift);
        rest += *value;
    }
    sums.iter().sum::<f32>() + rest
}

/// The largest value of a row and `Σ exp(value − largest)`.
pub fn largest_and_exp_sum(row: &[f32]) -> (f32, f32) {
    vectorised(|| {
        let largest = maximum(row);
        let mut sums = [0f32; 16];
        let (parts, rest) = row.as_chunks::<16>();
        for part in parts {
            for lane in 0..16 {
                sums[lane] += exp(part[lane] - largest);
            }
        }
        let rest: f32 = rest.iter().map(|value| exp(value - largest)).sum();
        (largest, sums.iter().sum::<f32>() + rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_two_in_ten_million() {
        for i in -86_000..88_000 {
            let x = i as f32 / 1000.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / want - 1.0).abs() < 2e-7, "exp({x}) = {got}, not {want}");
        }
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn tanh_is_right_to_six_in_ten_million() {
        for i in -120_000..120_000 {
            let x = i as f32 / 10_000.0;
            let (got, want) = (f64::from(tanh(x)), f64::from(x).tanh());
            let relative = if i == 0 { 0.0 } else { (got / want - 1.0).abs() };
            assert!(
                (got - want).abs() < 4e-7 && relative < 6e-7 && got.abs() <= 1.0,
                "tanh({x}) = {got}, not {want}"
            );
        }
        assert_eq!(tanh(0.0), 0.0);
        assert!((tanh(1e30) - 1.0).abs() < 4e-7);
    }

    #[test]
    fn a_product_of_nothing_is_nothing_and_of_no_columns_is_zero() {
        let (none, some) = (Matrix::rows(&[], 0), Matrix::rows(&[1.0, 2.0], 1));
        assert_eq!(multiplied((2, 2, 0), none, none, 1.0), [0.0; 4]);
        assert!(multiplied((0, 2, 1), none, some, 1.0).is_empty());
        let (square, turned) = (Matrix::rows(&[1.0, 2.0, 3.0, 4.0], 2), some.t());
        assert_eq!(multiplied((2, 1, 2), square, turned.t(), 0.5), [2.5, 5.5]);
    }

    #[test]
    fn overwriting_never_reads_what_was_there() {
        let ones = vec![1f32; 70 * 70];
        let sizes = [1, 2, 3, 15, 16, 17, 33, 70];
        for (m, n) in sizes.into_iter().flat_map(|m| sizes.map(|n| (m, n))) {
            for k in sizes {
                let (plain, wide) = (Matrix::rows(&ones, k), Matrix::rows(&ones, n));
                let turned = [Matrix::rows(&ones, m).t(), Matrix::rows(&ones, k).t()];
                for (lhs, rhs) in [(plain, wide), (plain, turned[1]), (turned[0], wide)] {
                    let mut dst = vec![f32::NAN; m * n];
                    product((m, n, k), &mut dst, n, lhs, rhs, 1.0, Write::Overwrite, true);
                    assert!(dst.iter().all(|x| *x == k as f32), "{m} {n} {k}: {dst:?}");
                }
            }
        }
    }

    #[test]
    fn a_product_adds_or_overwrites_with_any_strides() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2 × 3
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]; // 2 × 3, used transposed
        let mut dst = [10.0; 4];
        product(
            (2, 2, 3),
            &mut dst,
            2,
            Matrix::rows(&a, 3),
            Matrix::rows(&b, 3).t(),
            2.0,
            Write::Add,
            false,
        );
        assert_eq!(dst, [10.0 + 14.0, 10.0 + 20.0, 10.0 + 32.0, 10.0 + 44.0]);
    }
}
