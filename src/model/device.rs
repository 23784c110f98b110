use crate::error::{Error, Result};
use candle_core::Device;
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
}

impl FromStr for DeviceChoice {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
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
pub fn open_device(choice: DeviceChoice) -> Result<Device> {
    let (device, feature, opened) = match choice {
        DeviceChoice::Cpu => return Ok(Device::Cpu),
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
    opened.unwrap_or_else(not_built).map_err(|problem| Error::Device { device, problem })
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
    let _context = CudaContext::new(number).map_err(unusable)?;
    Device::new_cuda(number).map_err(cannot_be_opened)
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
