use serde_json::{Map, Value};

/// A layer that sees a window only, as `layer_types` names it.
pub(super) const WINDOWED: &str = "sliding_attention";
/// A layer that sees everything before it.
pub(super) const WHOLE: &str = "full_attention";

/// The fields of a JSON object, read by name with errors that name them. Absent is what `default` says; so is null, except where
/// `or_null` tells the two apart.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    fields: &'a Map<String, Value>,
    name: &'a str,
}

type Parsed<T> = Result<T, String>;

impl<'a> Fields<'a> {
    pub fn of(fields: &'a Map<String, Value>, name: &'a str) -> Self {
        Self { fields, name }
    }

    /// What the object is called.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The value, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn wrong<T>(&self, name: &str, needed: &str, value: &Value) -> Parsed<T> {
        Err(format!("`{name}` must be {needed}, got {value}"))
    }

    /// The names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.fields.keys().map(String::as_str)
    }

    /// The name of a field that is itself an object.
    pub fn first_object(&self) -> Option<&'a str> {
        let mut fields = self.fields.iter();
        fields.find(|(_, value)| value.is_object()).map(|(name, _)| name.as_str())
    }

    /// A whole number above 0.
    pub fn size(&self, name: &str, default: usize) -> Parsed<usize> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        let whole = |number: &f64| number.fract() == 0.0 && (1.0..=4e9).contains(number);
        match value.as_f64().filter(whole) {
            Some(number) => Ok(number as usize),
            None => self.wrong(name, "a whole number above 0", value),
        }
    }

    /// A number.
    pub fn number(&self, name: &str, default: f64) -> Parsed<f64> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(number),
                None => self.wrong(name, "a number", value),
            },
        }
    }

    /// A number above 0.
    pub fn positive(&self, name: &str, default: f64) -> Parsed<f64> {
        let number = self.number(name, default)?;
        if number > 0.0 {
            Ok(number)
        } else {
            Err(format!("`{name}` must be a number above 0, got {number}"))
        }
    }

    /// What `read` gives, or nothing if the field is null.
    pub fn or_null<T>(
        &self,
        name: &str,
        default: Option<T>,
        read: impl Fn(&Self, &str) -> Parsed<T>,
    ) -> Parsed<Option<T>> {
        match self.fields.get(name) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => read(self, name).map(Some),
        }
    }

    /// True or false.
    pub fn flag(&self, name: &str, default: bool) -> Parsed<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => self.wrong(name, "true or false", other),
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Parsed<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => self.wrong(name, "a text", other),
        }
    }

    /// A list of true and false, or of 1 and 0.
    pub fn flags(&self, name: &str) -> Parsed<Option<Vec<bool>>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let flag = |value: &Value| match (value.as_bool(), value.as_u64()) {
            (Some(flag), _) => Some(flag),
            (None, Some(number @ (0 | 1))) => Some(number == 1),
            _ => None,
        };
        match value.as_array().and_then(|list| list.iter().map(flag).collect()) {
            Some(flags) => Ok(Some(flags)),
            None => self.wrong(name, "a list of 1 and 0", value),
        }
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Parsed<Option<Vec<&'a str>>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        match texts {
            Some(texts) => Ok(Some(texts)),
            None => self.wrong(name, "a list of texts", value),
        }
    }
}
