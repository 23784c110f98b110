use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// Values for layers that a regular expression chooses, in the order in which they were given: the first that fits counts, as in PEFT.
///
/// They are read from a table, or from a list of pairs for forms of files that do not keep a table's order. They are written as a table
/// where their order is that of the alphabet, else as a list of pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Patterns<T>(Vec<(String, T)>);

impl<T> Patterns<T> {
    /// None.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Key and value of each, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// A key that comes again keeps its place and gets the later value, as in a Python dictionary.
    fn put(&mut self, key: String, value: T) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> From<[(String, T); N]> for Patterns<T> {
    fn from(entries: [(String, T); N]) -> Self {
        let mut patterns = Self::new();
        entries.into_iter().for_each(|(key, value)| patterns.put(key, value));
        patterns
    }
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_sorted_by(|a, b| a.0 <= b.0) {
            true => serializer.collect_map(self.iter()),
            false => serializer.collect_seq(&self.0),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Patterns<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of patterns, or a list of pairs of a pattern and its value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut patterns = Patterns::new();
                while let Some((key, value)) = map.next_entry()? {
                    patterns.put(key, value);
                }
                Ok(patterns)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut patterns = Patterns::new();
                while let Some((key, value)) = list.next_element()? {
                    patterns.put(key, value);
                }
                Ok(patterns)
            }
        }
        deserializer.deserialize_any(Entries(PhantomData))
    }
}
