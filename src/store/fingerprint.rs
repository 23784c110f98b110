//! The inputs of a result, and the hash that names its folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::disk::read_pieces;
use crate::error::{Error, Result};

/// Everything a result depends on, by name. Equal inputs have equal hashes, in whatever order they were given.
///
/// ```
/// use unforget::store::Fingerprint;
/// let one = Fingerprint::new().with("rate", &1e-4)?.with("seed", &7)?;
/// let other = Fingerprint::new().with("seed", &7)?.with("rate", &1e-4)?;
/// assert_eq!(one.hash(), other.hash());
/// # Ok::<(), unforget::error::Error>(())
/// ```
///
/// A name given twice is an error, and JSON's limits apply: a number that is not finite counts as `null`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<String, Value>")]
pub struct Fingerprint {
    inputs: BTreeMap<String, Value>,
}

impl Fingerprint {
    /// No inputs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input.
    ///
    /// # Errors
    /// When `name` was given before, or when `value` cannot be written as JSON.
    pub fn with(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<Self> {
        let value = serde_json::to_value(value)
            .map_err(Error::library(format!("turning the input {name} into JSON")))?;
        match self.inputs.insert(name.to_string(), sorted(value)) {
            None => Ok(self),
            Some(_) => Err(Error::invalid(name, "is an input twice; name each once")),
        }
    }

    /// The inputs by name, in the order of names.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.inputs.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The input `name` as a value of its kind.
    ///
    /// # Errors
    /// When there is no such input, or it is of another kind.
    pub fn input<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let found = self.find(name)?;
        found.ok_or_else(|| Error::invalid(name, "is none of the run's inputs"))
    }

    /// The same; `None` when there is no such input.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.inputs.get(name).map(T::deserialize).transpose().map_err(|error| {
            Error::invalid(name, format!("does not read as this version's: {error}"))
        })
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the inputs as JSON with sorted keys and no spaces.
    pub fn hash(&self) -> String {
        let json = serde_json::to_string(&self.inputs).expect("a JSON value can be written");
        let mut digits = bytes_hash(json.as_bytes());
        digits.truncate(16);
        digits
    }

    /// The inputs as a person reads them.
    pub(super) fn to_pretty_json(&self) -> String {
        let json = serde_json::to_string_pretty(&self.inputs).expect("a JSON value can be written");
        json + "\n"
    }

    /// Whether `stored`, read from disk, says the same.
    pub(super) fn equals(&self, stored: &Value) -> bool {
        stored.as_object().is_some_and(|stored| {
            stored.len() == self.inputs.len()
                && self.inputs.iter().all(|(name, value)| stored.get(name) == Some(value))
        })
    }
}

impl From<BTreeMap<String, Value>> for Fingerprint {
    fn from(inputs: BTreeMap<String, Value>) -> Self {
        let inputs = inputs.into_iter().map(|(name, value)| (name, sorted(value)));
        Self { inputs: inputs.collect() }
    }
}

/// SHA-256 of bytes, 64 hexadecimal digits.
pub fn bytes_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's bytes, 64 hexadecimal digits.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn file_hash(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    read_pieces(path, |piece| hasher.update(piece)).map_err(Error::io("reading", path))?;
    Ok(hex(&hasher.finalize()))
}

/// The crate's JSON keeps the order of maps as written; a hash must not depend on it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> =
                map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_hash_is_sha256_of_sorted_json() {
        // printf '%s' '{"a":{"x":[1,2.5],"y":null},"b":"ü"}' | sha256sum | cut -c-16
        let inputs = Fingerprint::new()
            .with("b", "ü")
            .and_then(|f| f.with("a", &serde_json::json!({"y": null, "x": [1, 2.5]})));
        assert_eq!(inputs.expect("plain values").hash(), "09bdfd629ab43bb5");
    }

    #[test]
    fn any_change_of_an_input_changes_the_hash() -> Result<()> {
        let base = Fingerprint::new().with("seed", &1)?.with("rate", &0.1)?;
        let others = [
            Fingerprint::new().with("seed", &2)?.with("rate", &0.1)?,
            Fingerprint::new().with("seed", &1)?.with("rate", &0.1f32)?,
            Fingerprint::new().with("seed", &1.0)?.with("rate", &0.1)?,
            Fingerprint::new().with("seed", "1")?.with("rate", &0.1)?,
            Fingerprint::new().with("seed", &1)?,
            Fingerprint::new().with("seed", &1)?.with("rates", &0.1)?,
        ];
        for other in others {
            assert_ne!(base.hash(), other.hash(), "{other:?}");
        }
        Ok(())
    }

    #[test]
    fn maps_hash_alike_in_any_order() -> Result<()> {
        let forward: std::collections::HashMap<u32, u32> = (0..50).map(|i| (i, i * i)).collect();
        let backward: std::collections::HashMap<u32, u32> =
            (0..50).rev().map(|i| (i, i * i)).collect();
        assert_eq!(
            Fingerprint::new().with("map", &forward)?.hash(),
            Fingerprint::new().with("map", &backward)?.hash()
        );
        Ok(())
    }

    #[test]
    fn an_input_given_twice_is_refused() {
        let twice = Fingerprint::new().with("seed", &1).and_then(|f| f.with("seed", &1));
        assert!(matches!(twice, Err(Error::Invalid { what, .. }) if what == "seed"));
    }

    #[test]
    fn a_file_hashes_as_sha256sum_does() -> Result<()> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("abc");
        // FIPS 180-2, appendix B.1 and B.3: "abc", and a million times "a".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::write(&path, "abc").expect("scratch is writable");
        assert_eq!((file_hash(&path)?, bytes_hash(b"abc")), (abc.into(), abc.into()));
        fs::write(&path, "a".repeat(1_000_000)).expect("scratch is writable");
        assert_eq!(
            file_hash(&path)?,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
        let missing = file_hash(&folder.path().join("nothing")).expect_err("there is no such file");
        assert!(missing.to_string().contains("nothing"), "{missing}");
        Ok(())
    }
}
