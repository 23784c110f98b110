//! Which keys of its data a chat template asks for.

use minijinja::value::{DynObject, Enumerator, Object, Serde, Value};
use serde_json::{Map, Value as Json};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The keys that a template has asked for, each by its path, such as `user.name` or `assistant.tool_calls[].function`.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<Mutex<BTreeSet<String>>>);

impl Asked {
    /// `json` for a template, with notes of what is asked of it; it stands at `path`.
    pub fn watch(&self, json: &Json, path: &str) -> Value {
        match json {
            Json::Object(fields) => {
                let (fields, path) = (fields.clone(), path.to_string());
                Value::from_object(Watched { fields, path, asked: self.clone() })
            }
            Json::Array(items) => {
                let path = format!("{path}[]");
                items.iter().map(|item| self.watch(item, &path)).collect()
            }
            plain => Value::from(Serde(plain)),
        }
    }

    /// Begins again: what was written is not what counts.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner()).clear();
    }

    /// All of them.
    pub fn keys(&self) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner()).clone()
    }
}

/// A mapping that notes which of its keys are asked for.
#[derive(Debug)]
struct Watched {
    fields: Map<String, Json>,
    path: String,
    asked: Asked,
}

impl Object for Watched {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let value = self.fields.get(name)?;
        let path = format!("{}.{name}", self.path);
        let value = self.asked.watch(value, &path);
        self.asked.0.lock().unwrap_or_else(|broken| broken.into_inner()).insert(path);
        Some(value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.keys().map(|key| Value::from(key.as_str())).collect())
    }

    /// Two messages that are compared are not read by that.
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = &other.downcast_ref::<Self>()?.fields;
        Some(match self.fields == *other {
            true => Ordering::Equal,
            false => Json::to_string(&self.fields.clone().into())
                .cmp(&Json::to_string(&other.clone().into())),
        })
    }
}
