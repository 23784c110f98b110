//! Whether a model's weights fit into the memory of this machine.

use super::precision::Precision;
use super::stored::Stored;
use super::{Checkpoint, weights};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use std::fs::read_to_string;
use std::path::Path;

/// Bytes of a number in the blocks of a usual GGUF file (Q4_K_M).
const USUAL_BLOCKS: f64 = 0.6;

impl Checkpoint {
    /// Bytes that the weights take in a processor's memory when products are computed in `precision`: matrices as f32, in bf16, or in the blocks of a
    /// GGUF file; all else as f32. Only headers are read.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn weight_bytes(&self, precision: Precision) -> Result<u64> {
        if let Some(gguf) = Gguf::at(&self.model)? {
            return Ok(gguf.bytes_in_memory());
        }
        let stored = Stored::open(&weights::files(&self.model)?)?;
        let bytes = |shape: &[usize]| {
            let each = if shape.len() > 1 && precision != Precision::F32 { 2 } else { 4 };
            shape.iter().product::<usize>() as u64 * each
        };
        Ok(stored.entries().map(|(_, entry)| bytes(&entry.shape)).sum())
    }

    /// Refuses a model whose weights alone need more than the memory that is left.
    pub(super) fn check_memory(&self, precision: Precision) -> Result<()> {
        let Some(left) = memory_left() else {
            return Ok(());
        };
        let needed = self.weight_bytes(precision)?;
        if needed <= left {
            return Ok(());
        }
        let in_bf16 = self.weight_bytes(Precision::Bf16)?;
        let numbers = in_bf16 / 2;
        let mut ways = Vec::new();
        if !Gguf::is_one(&self.model) {
            if precision == Precision::F32 && in_bf16 <= left {
                ways.push(format!("--precision bf16x2 takes {}", gigabytes(in_bf16)));
            }
            let packed = (numbers as f64 * USUAL_BLOCKS) as u64;
            if packed <= left {
                ways.push(format!("a GGUF file of it in Q4_K about {}", gigabytes(packed)));
            }
        }
        let billions = left as f64 / USUAL_BLOCKS / 1e9;
        ways.push(format!("a model of {billions:.1} billion parameters fits as GGUF in Q4_K"));
        Err(Error::file(
            &self.model,
            format!(
                "its weights take {} in {precision}, and {} of memory are left; {}",
                gigabytes(needed),
                gigabytes(left),
                ways.join("; ")
            ),
        ))
    }
}

/// Bytes in words: `0.53 GB`.
pub fn gigabytes(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        many if many >= 9.95 => format!("{many:.0} GB"),
        some if some >= 0.995 => format!("{some:.1} GB"),
        few => format!("{few:.2} GB"),
    }
}

/// Bytes of memory that this process can still take: what the system has left with its swap, what its control group allows, what `ulimit -v` leaves. `None` where
/// nothing says it.
pub fn memory_left() -> Option<u64> {
    let system = read_to_string("/proc/meminfo").ok().and_then(|text| {
        let of = |name: &str| kibibytes(&text, name);
        Some(of("MemAvailable:")? + of("SwapFree:").unwrap_or(0))
    });
    [system, group_left(), limit_left()].into_iter().flatten().min()
}

/// The value of a line such as `MemAvailable:   123 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let count: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(count * 1024)
}

/// What the control group of this process allows beyond what it uses, without what of that the system can drop.
fn group_left() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let number =
        |file: &str| -> Option<u64> { read_to_string(folder.join(file)).ok()?.trim().parse().ok() };
    // `max` where there is no limit
    let (most, used) = (number("memory.max")?, number("memory.current")?);
    let stat = read_to_string(folder.join("memory.stat")).ok()?;
    let dropped = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let dropped: u64 = dropped.and_then(|count| count.parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(dropped)))
}

/// What the limit of the address space leaves, where there is one.
#[cfg(unix)]
fn limit_left() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for what the call writes.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    if asked != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let used = kibibytes(&read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.rlim_cur.saturating_sub(used))
}

#[cfg(not(unix))]
fn limit_left() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn a_model_that_does_not_fit_is_refused_before_it_is_loaded() {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab/model");
        let place = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json"] {
            std::fs::copy(lab.join(file), place.path().join(file)).unwrap();
        }
        // a file with holes: thousands of gigabytes that take no room
        let columns = 1u64 << 30;
        let header = serde_json::json!({
            "model.embed_tokens.weight": {"dtype": "BF16", "shape": [1024, columns], "data_offsets": [0, 2048 * columns]},
        })
        .to_string();
        let mut file = File::create(place.path().join("model.safetensors")).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        if file.set_len(8 + header.len() as u64 + 2048 * columns).is_err() {
            println!("skipped: no file of 2 TB can be made here");
            return;
        }
        let checkpoint = Checkpoint::open(place.path()).unwrap();
        assert_eq!(checkpoint.weight_bytes(Precision::F32).unwrap(), 4096 * columns);
        assert_eq!(checkpoint.weight_bytes(Precision::Bf16).unwrap(), 2048 * columns);
        if memory_left().is_none() {
            println!("skipped: nothing here says how much memory is left");
            return;
        }
        let error = checkpoint.load_base(&candle_core::Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("its weights take 4398 GB in f32, and "), "{error}");
        assert!(error.contains("of memory are left; a model of "), "{error}");
    }

    #[test]
    fn the_lab_s_weights_are_counted_as_they_lie_in_memory() {
        let lab =
            Checkpoint::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab/model"))
                .unwrap();
        let decoder = lab.load_base(&candle_core::Device::Cpu).unwrap().decoder;
        let numbers: usize =
            decoder.tensors().unwrap().values().map(|tensor| tensor.elem_count()).sum();
        assert_eq!(lab.weight_bytes(Precision::F32).unwrap(), 4 * numbers as u64);
    }

    #[test]
    fn lines_of_the_system_are_read() {
        let text = "MemTotal:       24576 kB\nMemAvailable:   12 kB\nSwapFree: 0 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable:"), Some(12 * 1024));
        assert_eq!(kibibytes(text, "Buffers:"), None);
        assert_eq!(gigabytes(530_000_000), "0.53 GB");
        assert_eq!(gigabytes(5_250_000_000), "5.2 GB");
    }
}
