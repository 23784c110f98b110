//! Products whose sums are not rounded to the precision of their factors.

use super::wide;
use candle_core::{Result, Tensor};

/// `a · b`, `(…, m, k)` times `(…, k, n)`, outside any graph: in f64 of f64, else in f32 whatever the factors are.
///
/// A GPU multiplies bf16 and f16 as they are and sums in f32; elsewhere the factors are made wide first, which gives the same up to the order of sums.
pub(crate) fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.detach(), b.detach());
    #[cfg(feature = "cuda")]
    if a.device().is_cuda() && wide(a.dtype()) != a.dtype() {
        return a.apply_op2_no_bwd(&b, &cuda::Product);
    }
    let wide = wide(a.dtype());
    a.to_dtype(wide)?.matmul(&b.to_dtype(wide)?)
}

#[cfg(feature = "cuda")]
mod cuda {
    use candle_core::backend::BackendStorage;
    use candle_core::cuda::cudarc::cublas::{result, sys};
    use candle_core::cuda::cudarc::driver::{DevicePtr, DevicePtrMut};
    use candle_core::cuda_backend::CudaStorageSlice;
    use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, bail};

    pub struct Product;

    /// The rows' stride of the matrices of `layout`, whether they are turned, and how far they lie apart.
    fn view(layout: &Layout) -> Result<(i32, bool, i64)> {
        let (dims, strides) = (layout.dims(), layout.stride());
        let at = dims.len() - 2;
        let ((rows, columns), (of_row, of_column)) =
            ((dims[at], dims[at + 1]), (strides[at], strides[at + 1]));
        let (mut apart, mut count) = (None, 1);
        for (size, stride) in dims[..at].iter().zip(&strides[..at]).rev() {
            let apart = *apart.get_or_insert(*stride);
            if *size != 1 && *stride != apart * count {
                bail!("a product of {layout:?}, whose matrices do not lie equally far apart")
            }
            count *= size;
        }
        let apart = apart.unwrap_or(rows * columns) as i64;
        if (of_column == 1 || columns == 1) && (of_row == columns || rows == 1) {
            Ok((columns as i32, false, apart))
        } else if (of_row == 1 || rows == 1) && (of_column == rows || columns == 1) {
            Ok((rows as i32, true, apart))
        } else {
            bail!("a product of {layout:?}, which is neither contiguous nor turned")
        }
    }

    impl CustomOp2 for Product {
        fn name(&self) -> &'static str {
            "wide-product"
        }
        fn cpu_fwd(
            &self,
            _: &CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            bail!("a product of the GPU's")
        }
        fn cuda_fwd(
            &self,
            a: &CudaStorage,
            la: &Layout,
            b: &CudaStorage,
            lb: &Layout,
        ) -> Result<(CudaStorage, Shape)> {
            let (rank, dims) = (la.dims().len(), la.dims());
            if rank < 2 || lb.dims().len() != rank || dims[..rank - 2] != lb.dims()[..rank - 2] {
                bail!("a product of {la:?} and {lb:?}")
            }
            let (m, k, n) = (dims[rank - 2], dims[rank - 1], lb.dims()[rank - 1]);
            if lb.dims()[rank - 2] != k {
                bail!("a product of {la:?} and {lb:?}")
            }
            let batch: usize = dims[..rank - 2].iter().product();
            let mut shape = dims.to_vec();
            shape[rank - 1] = n;
            let ((of_a, a_turned, a_apart), (of_b, b_turned, b_apart)) = (view(la)?, view(lb)?);
            let device = a.device().clone();
            let stream = device.cuda_stream();
            // SAFETY: the product writes every number
            let mut out = unsafe { device.alloc::<f32>(batch * m * n)? };
            let (kind, a_address, b_address, _guards) = match (&a.slice, &b.slice) {
                (CudaStorageSlice::BF16(a), CudaStorageSlice::BF16(b)) => {
                    let (a_at, a_guard) = a.device_ptr(&stream);
                    let (b_at, b_guard) = b.device_ptr(&stream);
                    (sys::cudaDataType_t::CUDA_R_16BF, a_at, b_at, (a_guard, b_guard))
                }
                (CudaStorageSlice::F16(a), CudaStorageSlice::F16(b)) => {
                    let (a_at, a_guard) = a.device_ptr(&stream);
                    let (b_at, b_guard) = b.device_ptr(&stream);
                    (sys::cudaDataType_t::CUDA_R_16F, a_at, b_at, (a_guard, b_guard))
                }
                _ => bail!("a wide product of {:?} and {:?}", a.dtype(), b.dtype()),
            };
            let width = 2;
            let a_address = a_address + (la.start_offset() * width) as u64;
            let b_address = b_address + (lb.start_offset() * width) as u64;
            let turned = |turned: bool| match turned {
                true => sys::cublasOperation_t::CUBLAS_OP_T,
                false => sys::cublasOperation_t::CUBLAS_OP_N,
            };
            let (one, zero) = (1f32, 0f32);
            {
                let (c_address, _guard) = out.device_ptr_mut(&stream);
                // cublas counts columns first, so it is asked for bᵀ aᵀ
                // SAFETY: the shapes were checked above, and the three places are as large as they say
                let done = unsafe {
                    result::gemm_strided_batched_ex(
                        *device.cublas_handle().handle(),
                        turned(b_turned),
                        turned(a_turned),
                        n as i32,
                        m as i32,
                        k as i32,
                        (&raw const one).cast(),
                        b_address as *const _,
                        kind,
                        of_b,
                        b_apart,
                        a_address as *const _,
                        kind,
                        of_a,
                        a_apart,
                        (&raw const zero).cast(),
                        c_address as *mut _,
                        sys::cudaDataType_t::CUDA_R_32F,
                        n as i32,
                        (m * n) as i64,
                        batch as i32,
                        sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                        sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
                    )
                };
                done.map_err(|error| candle_core::Error::Msg(format!("cublas: {error}")))?;
            }
            Ok((CudaStorage::wrap_cuda_slice(out, device), Shape::from(shape)))
        }
    }
}
