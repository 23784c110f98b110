use crate::error::{Error, Result};
use candle_core::Device;
use std::str::FromStr;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The processor, in f32.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs the feature `cuda`.
    Cuda,
    /// The first Apple GPU; needs the feature `metal`.
    Metal,
}

impl FromStr for DeviceChoice {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "metal" => Ok(Self::Metal),
            other => Err(Error::invalid(
                "device",
                format!("`{other}` is none of cpu, cuda, metal"),
            )),
        }
    }
}

/// Opens the device, the one place where it is chosen.
pub fn open_device(choice: DeviceChoice) -> Result<Device> {
    let (name, available) = match choice {
        DeviceChoice::Cpu => return Ok(Device::Cpu),
        DeviceChoice::Cuda => ("cuda", cfg!(feature = "cuda")),
        DeviceChoice::Metal => ("metal", cfg!(feature = "metal")),
    };
    let refused = |problem: String| Error::Device {
        device: name.into(),
        problem,
    };
    if !available {
        return Err(refused(format!(
            "this program was built without it; build with `cargo build --release --features {name}`, or use `--device cpu`"
        )));
    }
    let device = match choice {
        DeviceChoice::Cuda => Device::new_cuda(0),
        _ => Device::new_metal(0),
    };
    device.map_err(|e| refused(format!("cannot be opened ({e}); use `--device cpu`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_gpu_that_was_not_built_in_is_refused_with_the_way_out() {
        let error = open_device(DeviceChoice::Cuda).unwrap_err().to_string();
        assert!(
            error.contains("--features cuda") && error.contains("--device cpu"),
            "{error}"
        );
    }
}
