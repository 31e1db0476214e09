//! Reads parameters field by field, so that every error names its field. Pure.
//!
//! A JSON body and the dotted names of GET and forms are read alike. In GET every value is a text, so a number may be a text in
//! JSON too. Null, an empty list and an empty object count as absent, as GET cannot express them.

use rotunda_proto::ids::shortened;
use serde_json::{Map, Value};

use crate::api::ApiError;

type Checked<T> = Result<T, ApiError>;

/// Whole numbers that a JSON number with a fraction part (`15.0`) holds exactly.
const MOST_OF_A_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Parameters of every action, which are read elsewhere.
const COMMON: [&str; 13] = [
    "Action",
    "Version",
    "Timestamp",
    "Nonce",
    "Region",
    "Language",
    "Token",
    "SecretId",
    "Signature",
    "SignatureMethod",
    "RequestClient",
    "TraceId",
    "SignatureVersion",
];

/// The fields of one object, and which of them have been asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    /// With a dot at its end; empty for the request itself.
    path: String,
    object: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of a whole request.
    pub fn of(request: &'a Value) -> Self {
        Self {
            path: String::new(),
            object: request.as_object(),
            known: COMMON.to_vec(),
        }
    }

    /// A whole number. `code`: of the error when it is not one.
    pub fn number(&mut self, name: &'static str, code: &'static str) -> Checked<Option<u64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match whole(value) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, code, "a whole number, 0 or more", value)),
        }
    }

    /// A whole number that may be negative.
    pub fn signed(&mut self, name: &'static str, code: &'static str) -> Checked<Option<i64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.or_else(|| i64::try_from(whole(value)?).ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, code, "a whole number", value)),
        }
    }

    /// A number with or without a fraction.
    pub fn decimal(&mut self, name: &'static str, code: &'static str) -> Checked<Option<f64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number: Option<f64> = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, code, "a number", value)),
        }
    }

    /// `true` or `false`, also as a text, which some SDKs begin with a capital letter.
    pub fn truth(&mut self, name: &'static str, code: &'static str) -> Checked<Option<bool>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value {
            Value::Bool(is_so) => Ok(Some(*is_so)),
            Value::String(text) if text == "true" || text == "True" => Ok(Some(true)),
            Value::String(text) if text == "false" || text == "False" => Ok(Some(false)),
            other => Err(self.wrong(name, code, "true or false", other)),
        }
    }

    /// A number that the caller checks, with an error message of its own.
    pub fn any(&mut self, name: &'static str) -> Option<&'a Value> {
        self.value(name)
    }

    pub fn text(&mut self, name: &'static str, code: &'static str) -> Checked<Option<String>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match text(value) {
            Some(text) => Ok(Some(text)),
            None => Err(self.wrong(name, code, "a text", value)),
        }
    }

    pub fn texts(&mut self, name: &'static str, code: &'static str) -> Checked<Vec<String>> {
        let items = self.list(name, code)?.iter().enumerate();
        let read = |(index, item)| {
            let name = format!("{name}.{index}");
            text(item).ok_or_else(|| self.wrong(&name, code, "a text", item))
        };
        items.map(read).collect()
    }

    pub fn numbers(&mut self, name: &'static str, code: &'static str) -> Checked<Vec<u64>> {
        let items = self.list(name, code)?.iter().enumerate();
        let read = |(index, item)| {
            let name = format!("{name}.{index}");
            whole(item).ok_or_else(|| self.wrong(&name, code, "a whole number, 0 or more", item))
        };
        items.map(read).collect()
    }

    pub fn object(&mut self, name: &'static str, code: &'static str) -> Checked<Option<Fields<'a>>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value {
            Value::Object(_) => Ok(Some(self.below(name, value))),
            _ => Err(self.wrong(name, code, "an object", value)),
        }
    }

    pub fn objects(&mut self, name: &'static str, code: &'static str) -> Checked<Vec<Fields<'a>>> {
        let items = self.list(name, code)?.iter().enumerate();
        let read = |(index, item): (usize, &'a Value)| {
            let name = format!("{name}.{index}");
            match item {
                Value::Object(_) => Ok(self.below(&name, item)),
                _ => Err(self.wrong(&name, code, "an object", item)),
            }
        };
        items.map(read).collect()
    }

    /// A field of the contract that this server does not serve. Errors: `UnsupportedOperation` when it has a value.
    pub fn unsupported(&mut self, name: &'static str) -> Checked<()> {
        match self.value(name) {
            None => Ok(()),
            Some(Value::String(text)) if text.is_empty() => Ok(()),
            Some(_) => {
                let message = format!("{}{name} is not served here; leave it out", self.path);
                Err(ApiError::new("UnsupportedOperation", message))
            }
        }
    }

    /// Errors: `UnknownParameter` for a field that no reader has asked for.
    pub fn finish(self) -> Checked<()> {
        let Some(object) = self.object else { return Ok(()) };
        let Some(unknown) = object.keys().find(|name| !self.known.contains(&name.as_str())) else {
            return Ok(());
        };
        let similar = self.known.iter().find(|known| known.eq_ignore_ascii_case(unknown));
        let hint = match similar {
            Some(known) => format!("; write {}{known}", self.path),
            None => String::new(),
        };
        let name: String = unknown.chars().take(64).collect();
        let message = format!("{}{name} is not a parameter of this action{hint}", self.path);
        Err(ApiError::new("UnknownParameter", message))
    }

    /// None: the field is absent, null or empty.
    fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        let value = self.object?.get(name)?;
        let is_empty = match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        (!is_empty).then_some(value)
    }

    fn list(&mut self, name: &'static str, code: &'static str) -> Checked<&'a [Value]> {
        match self.value(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(value) => Err(self.wrong(name, code, "a list", value)),
        }
    }

    fn below(&self, name: &str, value: &'a Value) -> Fields<'a> {
        Fields {
            path: format!("{}{name}.", self.path),
            object: value.as_object(),
            known: Vec::new(),
        }
    }

    fn wrong(&self, name: &str, code: &'static str, wanted: &str, value: &Value) -> ApiError {
        let message = format!("{}{name} must be {wanted}, not {}", self.path, shown(value));
        ApiError::new(code, message)
    }
}

/// A value as an error shows it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shortened(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string().chars().take(40).collect(),
    }
}

/// `15`, `15.0`, `"15"` and `"15.0"`.
pub fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole_float(number.as_f64()?)),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            let digits = text.parse().ok();
            digits.or_else(|| whole_float(text.parse().ok()?))
        }
        _ => None,
    }
}

fn whole_float(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=MOST_OF_A_FLOAT).contains(&number);
    is_whole.then_some(number as u64)
}

/// A number in place of a text counts as the text of its digits, as in GET.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
