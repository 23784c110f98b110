use crate::error::{Error, Result};
use crate::ops::Path;
use candle_core::{DType, Device};
use std::str::FromStr;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor, in f32.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number, as `CUDA_VISIBLE_DEVICES` leaves them, from 0; needs the feature `cuda`.
    Cuda(usize),
    /// The first Apple GPU; needs the feature `metal`.
    Metal,
    /// The processor, by the operations that a GPU computes, in f32: for tests. `cpu:composed` on the command line.
    CpuComposed,
    /// The same in bf16, as on a GPU. `cpu:bf16` on the command line.
    CpuBf16,
}

/// Where and how a model is computed.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Holds weights and activations.
    pub device: Device,
    /// How operators are computed.
    pub path: Path,
    /// Of activations and frozen weights. What is trained, and its gradient, is f32.
    pub dtype: DType,
}

impl Backend {
    /// Whether the processor's fused operators compute.
    pub fn is_host(&self) -> bool {
        self.path == Path::Host
    }

    /// As fingerprints name it, such as `Cpu`.
    pub fn name(&self) -> String {
        let place = format!("{:?}", self.device.location());
        match (&self.device, self.path) {
            (Device::Cpu, Path::Composed) => format!("{place} composed {}", self.dtype.as_str()),
            _ => place,
        }
    }
}

impl From<&Device> for Backend {
    /// Fused in f32 on a CPU, composed in bf16 elsewhere.
    fn from(device: &Device) -> Self {
        let (path, dtype) = match device.is_cpu() {
            true => (Path::Host, DType::F32),
            false => (Path::Composed, DType::BF16),
        };
        Self { device: device.clone(), path, dtype }
    }
}

impl From<&Backend> for Backend {
    fn from(backend: &Backend) -> Self {
        backend.clone()
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            "cpu:composed" => Ok(Self::CpuComposed),
            "cpu:bf16" => Ok(Self::CpuBf16),
            other => match other.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(number)) => Ok(Self::Cuda(number)),
                _ => Err(Error::invalid(
                    "device",
                    format!("`{other}` is none of cpu, cuda, cuda:N (the N-th GPU, from 0), metal"),
                )),
            },
        }
    }
}

/// Opens the device, the one place where it is chosen. An error says in one sentence what is wrong and the way out.
pub fn open_device(choice: DeviceChoice) -> Result<Backend> {
    let on_cpu = |dtype| Ok(Backend { device: Device::Cpu, path: Path::Composed, dtype });
    let (device, feature, opened) = match choice {
        DeviceChoice::Cpu => return Ok(Backend::from(&Device::Cpu)),
        DeviceChoice::CpuComposed => return on_cpu(DType::F32),
        DeviceChoice::CpuBf16 => return on_cpu(DType::BF16),
        DeviceChoice::Cuda(number) => {
            (format!("cuda:{number}"), "cuda", cfg!(feature = "cuda").then(|| open_cuda(number)))
        }
        DeviceChoice::Metal => (
            "metal".to_owned(),
            "metal",
            cfg!(feature = "metal").then(|| Device::new_metal(0).map_err(cannot_be_opened)),
        ),
    };
    let not_built = || {
        Err(format!(
            "this program was built without it; build with `cargo build --release --features {feature}`, or use `--device cpu`"
        ))
    };
    let opened = opened.unwrap_or_else(not_built);
    opened.map(|device| Backend::from(&device)).map_err(|problem| Error::Device { device, problem })
}

/// Asks the driver before candle does, whose error is its debug output with a backtrace.
#[cfg(feature = "cuda")]
fn open_cuda(number: usize) -> std::result::Result<Device, String> {
    use candle_core::cuda::cudarc::driver::{CudaContext, DriverError, result};
    let unusable = |error: DriverError| {
        let text = error.error_string().map(|text| text.to_string_lossy());
        no_usable_gpu(&driver_says(error.0 as u32, text.ok().as_deref()))
    };
    result::init().map_err(unusable)?;
    let count = result::device::get_count().map_err(unusable)?;
    is_there(number, count.try_into().unwrap_or(0))?;
    // the same context that candle takes next
    let context = CudaContext::new(number).map_err(unusable)?;
    let (major, minor) = context.compute_capability().map_err(unusable)?;
    knows_bf16(major, minor)?;
    keep_memory(number).map_err(unusable)?;
    // one stream for all threads: on a stream for each, tensors of two threads would not wait for each other
    let device = Device::new_cuda_with_stream(number).map_err(cannot_be_opened)?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: with a single stream, work is done in the order in which it was asked for
        unsafe { cuda.disable_event_tracking() };
    }
    Ok(device)
}

/// Memory that is free again stays with the pool: as the driver has it, each wait for the GPU gives all of it back.
#[cfg(feature = "cuda")]
fn keep_memory(
    number: usize,
) -> std::result::Result<(), candle_core::cuda::cudarc::driver::DriverError> {
    use candle_core::cuda::cudarc::driver::{result, sys};
    let device = result::device::get(number as i32)?;
    let mut pool = std::ptr::null_mut();
    let mut most = u64::MAX;
    let threshold = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own, and the attribute is a number of 64 bits
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, device).result()?;
        sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut most).cast()).result()
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(number: usize) -> std::result::Result<Device, String> {
    Device::new_cuda(number).map_err(cannot_be_opened)
}

/// The first line of what candle says: what follows is where in candle it was said.
fn cannot_be_opened(error: candle_core::Error) -> String {
    let mut error = error;
    while let candle_core::Error::WithBacktrace { inner, .. } = error {
        error = *inner;
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    format!("cannot be opened ({line}); use `--device cpu`")
}

#[cfg(any(feature = "cuda", test))]
fn no_usable_gpu(why: &str) -> String {
    format!(
        "no usable NVIDIA GPU: {why}; install the NVIDIA driver (`nvidia-smi` must list a GPU), or use `--device cpu`"
    )
}

/// Whether a GPU of that compute capability computes in bf16.
#[cfg(any(feature = "cuda", test))]
fn knows_bf16(major: i32, minor: i32) -> std::result::Result<(), String> {
    match major >= 8 {
        true => Ok(()),
        false => Err(format!(
            "the GPU is of compute capability {major}.{minor} and does not compute in bf16, which takes 8.0 (Ampere, such as A100 or RTX 30) or newer; use `--device cpu`"
        )),
    }
}

/// Whether there is a GPU of that number among `count`.
#[cfg(any(feature = "cuda", test))]
fn is_there(number: usize, count: usize) -> std::result::Result<(), String> {
    match count {
        0 => Err(no_usable_gpu("the driver lists none")),
        _ if number < count => Ok(()),
        1 => Err("there is one NVIDIA GPU here, cuda:0; use that, or `--device cpu`".to_owned()),
        _ => Err(format!(
            "there are {count} NVIDIA GPUs here, cuda:0 to cuda:{}; use one of them, or `--device cpu`",
            count - 1
        )),
    }
}

/// A number of the driver's (`CUresult` in its `cuda.h`) in words, where those say more than the driver's own `text`.
#[cfg(any(feature = "cuda", test))]
fn driver_says(code: u32, text: Option<&str>) -> String {
    let words = match code {
        2 => "the GPU's memory is full",
        34 => "the libcuda.so.1 that was found is the CUDA toolkit's stub, not the driver's",
        36 => "the driver is older than the CUDA that this program was built with",
        46 => "the GPU is taken by another process, or prohibited, as its compute mode says",
        100 => "the driver finds none (CUDA_VISIBLE_DEVICES can hide one)",
        802 => "the driver is not ready (on machines with NVSwitch its fabric manager must run)",
        803 => "the driver's library and its kernel module differ in version, as before a restart",
        999 => {
            "the driver gives no reason (CUDA_ERROR_UNKNOWN), as a stub or one that is half installed does"
        }
        _ => {
            return match text {
                Some(text) => format!("the driver says `{text}` (error {code})"),
                None => format!("the driver fails with error {code}"),
            };
        }
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_gpu_that_was_not_built_in_is_refused_with_the_way_out() {
        let error = open_device(DeviceChoice::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("--features cuda") && error.contains("--device cpu"), "{error}");
    }

    #[test]
    fn a_gpu_has_a_number() {
        let parsed = |name: &str| name.parse::<DeviceChoice>();
        assert_eq!(parsed("cuda").unwrap(), DeviceChoice::Cuda(0));
        assert_eq!(parsed("cuda:3").unwrap(), DeviceChoice::Cuda(3));
        for name in ["cuda:", "cuda:-1", "cuda:x", "cuda3", "metal:0", "gpu"] {
            let error = parsed(name).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("cuda:N"), "{error}");
        }
    }

    #[test]
    fn only_gpus_that_are_there_are_opened() {
        assert!(is_there(0, 1).is_ok() && is_there(3, 4).is_ok());
        let refused = |number, count| is_there(number, count).unwrap_err();
        assert!(refused(0, 0).contains("no usable NVIDIA GPU"));
        assert!(refused(3, 1).contains("one NVIDIA GPU here, cuda:0;"));
        assert!(refused(4, 4).contains("4 NVIDIA GPUs here, cuda:0 to cuda:3;"));
    }

    #[test]
    fn a_gpu_that_does_not_know_bf16_is_refused_in_a_sentence() {
        for (major, minor) in [(6, 1), (7, 0), (7, 5)] {
            let error = knows_bf16(major, minor).unwrap_err();
            assert!(error.contains(&format!("{major}.{minor}")), "{error}");
            assert!(error.contains("8.0") && error.contains("`--device cpu`"), "{error}");
        }
        for (major, minor) in [(8, 0), (8, 9), (9, 0), (12, 1)] {
            knows_bf16(major, minor).unwrap();
        }
    }

    /// Whatever the driver answers, it is one line with the way out.
    #[test]
    fn what_the_driver_says_is_a_sentence() {
        for code in 1..1000 {
            for text in [None, Some("no CUDA-capable device is detected")] {
                let error = no_usable_gpu(&driver_says(code, text));
                assert!(!error.contains('\n'), "{error}");
                for part in ["no usable NVIDIA GPU: ", "nvidia-smi", "`--device cpu`"] {
                    assert!(error.contains(part), "{error}");
                }
            }
        }
        assert!(driver_says(34, None).contains("stub"));
        assert_eq!(
            driver_says(304, Some("OS call failed")),
            "the driver says `OS call failed` (error 304)"
        );
        assert_eq!(driver_says(304, None), "the driver fails with error 304");
    }
}
