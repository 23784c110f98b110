//! What several subjects need.

use std::path::{Path, PathBuf};

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

/// The largest absolute difference.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}
