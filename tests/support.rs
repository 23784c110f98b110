//! What several subjects need.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use unforget::model::{Checkpoint, Decoder};

/// A folder beside the project that holds real models and data sets, where there is one; says what is skipped otherwise.
pub fn shared(folder: &str, skipped: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(folder);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {skipped}: no {}", path.display());
    None
}

/// A file or folder of the reference numbers, `tests/reference/`.
pub fn reference(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(path)
}

/// The model in a folder of the reference numbers; it has no tokenizer, so `Checkpoint::open` would refuse it.
pub fn reference_checkpoint(name: &str) -> Checkpoint {
    Checkpoint {
        model: reference(name),
        adapter: None,
    }
}

/// Its weights.
pub fn reference_decoder(name: &str) -> Decoder {
    let checkpoint = reference_checkpoint(name);
    checkpoint.load_base(&Device::Cpu).unwrap().decoder
}

/// The tensors of a safetensors file of the reference numbers.
pub fn reference_tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(reference(path), &Device::Cpu).unwrap()
}

/// A JSON file of the reference numbers.
pub fn reference_json(path: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(reference(path)).unwrap()).unwrap()
}

/// A tensor's f32 values in row-major order.
pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest absolute difference.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|value| value.is_finite()));
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Two tensors of one shape differ by at most 1e-4 in every value; `what` names them in the message.
pub fn assert_close(got: &Tensor, want: &Tensor, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}: shape");
    let difference = max_difference(&flat(got), &flat(want));
    assert!(difference <= 1e-4, "{what}: differs by {difference}");
}

/// Refused, with every one of `parts` in the message.
pub fn assert_refused<T>(result: unforget::error::Result<T>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("accepted, but should say {parts:?}")
    };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}
