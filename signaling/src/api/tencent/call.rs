//! A call as it came in: its action, parameters and signature. Pure.
//!
//! The parameters are read only after the caller is known.

use std::time::Duration;

use axum::http::HeaderMap;
use rotunda_proto::config::Application;
use serde_json::Value;

use super::{parameters, tc3, v1};
use crate::api::ApiError;

/// Largest difference between a timestamp and the server's clock, seconds.
const MAX_SKEW: u64 = 300;
/// The byte order mark, which some editors and libraries write before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

#[derive(Debug)]
pub struct Call {
    pub action: String,
    pub version: String,
    timestamp: u64,
    parameters: Parameters,
    signature: Signature,
}

#[derive(Debug)]
enum Parameters {
    Json(Vec<u8>),
    Pairs(Vec<(String, String)>),
}

/// The credentials that a request has before its body.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The key is in the headers.
    Signed { secret_id: String },
    /// All is in the query: there is no body.
    InQuery,
    /// The key is in the form that follows.
    InForm,
}

#[derive(Debug)]
enum Signature {
    Tc3(Box<tc3::Signed>),
    V1(Box<v1::Signed>),
}

impl Call {
    /// `method`: GET or POST. `query`: as sent. `hosts`: names of this server that the client may have signed.
    pub fn parse(
        method: &'static str,
        query: &str,
        headers: &HeaderMap,
        hosts: &[String],
        body: Vec<u8>,
    ) -> Result<Self, ApiError> {
        let header = |name: &str| header(headers, name);
        let authorization = header("authorization");
        if authorization.starts_with("TC3-HMAC-SHA256") {
            let authorization = tc3::Authorization::parse(authorization)?;
            let signed = tc3::Signed::new(authorization, method, query, headers, hosts, &body);
            let parameters = match method {
                "GET" => Parameters::Pairs(parameters::pairs(query)),
                _ => Parameters::Json(body),
            };
            return Ok(Self {
                action: required(header("x-tc-action"), "X-TC-Action")?,
                version: required(header("x-tc-version"), "X-TC-Version")?,
                timestamp: timestamp(header("x-tc-timestamp"))?,
                parameters,
                signature: Signature::Tc3(Box::new(signed)),
            });
        }
        if !authorization.is_empty() {
            return Err(ApiError::new(
                "AuthFailure.InvalidAuthorization",
                "Authorization must be TC3-HMAC-SHA256",
            ));
        }
        let text = match method {
            "GET" => query,
            _ => std::str::from_utf8(&body)
                .unwrap_or_default()
                .trim_start_matches(BYTE_ORDER_MARK),
        };
        let pairs = parameters::pairs(text);
        let find = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        Ok(Self {
            action: required(find("Action"), "Action")?,
            version: required(find("Version"), "Version")?,
            timestamp: timestamp(find("Timestamp"))?,
            parameters: Parameters::Pairs(pairs.clone()),
            signature: Signature::V1(Box::new(v1::Signed::parse(method, hosts, pairs)?)),
        })
    }

    /// Checks key, time and signature, in the order in which their errors help most.
    pub fn authenticate<'a>(
        &self,
        now: u64,
        find: impl FnOnce(&str) -> Option<&'a Application>,
    ) -> Result<&'a Application, ApiError> {
        let secret_id = match &self.signature {
            Signature::Tc3(signed) => &signed.secret_id,
            Signature::V1(signed) => &signed.secret_id,
        };
        fresh(self.timestamp, now)?;
        let application = find(secret_id).ok_or_else(unknown_key)?;
        let secret = application.api_secret.reveal();
        let right = match &self.signature {
            Signature::Tc3(signed) => signed.verify(secret, self.timestamp),
            Signature::V1(signed) => signed.verify(secret),
        };
        if right {
            Ok(application)
        } else {
            Err(ApiError::new(
                "AuthFailure.SignatureFailure",
                "the signature is not that of the request and key",
            ))
        }
    }

    /// As the client sent it, decoded.
    pub fn signature(&self) -> &[u8] {
        match &self.signature {
            Signature::Tc3(signed) => &signed.signature,
            Signature::V1(signed) => &signed.signature,
        }
    }

    /// Whether two calls of one client have different signatures for certain.
    pub fn has_nonce(&self) -> bool {
        matches!(self.signature, Signature::V1(_))
    }

    /// Later than this the signature is refused.
    pub fn good_until(&self) -> Duration {
        Duration::from_secs(self.timestamp.saturating_add(MAX_SKEW + 1))
    }

    pub fn parameters(&self) -> Result<Value, ApiError> {
        match &self.parameters {
            Parameters::Pairs(pairs) => parameters::nest(pairs),
            Parameters::Json(body) => json_object(body),
        }
    }
}

/// Reads the key of a request before its body. Its time is checked too, as far as the headers have it.
pub fn credentials(method: &str, headers: &HeaderMap, now: u64) -> Result<Credentials, ApiError> {
    if method == "GET" {
        return Ok(Credentials::InQuery);
    }
    let authorization = header(headers, "authorization");
    if authorization.is_empty() {
        return Ok(Credentials::InForm);
    }
    let authorization = tc3::Authorization::parse(authorization)?;
    fresh(timestamp(header(headers, "x-tc-timestamp"))?, now)?;
    Ok(Credentials::Signed {
        secret_id: authorization.secret_id.to_owned(),
    })
}

pub fn unknown_key() -> ApiError {
    ApiError::new("AuthFailure.SecretIdNotFound", "the SecretId is not known here")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn fresh(timestamp: u64, now: u64) -> Result<(), ApiError> {
    if now.abs_diff(timestamp) <= MAX_SKEW {
        return Ok(());
    }
    Err(ApiError::new(
        "AuthFailure.SignatureExpire",
        format!("the timestamp is over 5 minutes off: {timestamp}, and it is {now} here"),
    ))
}

/// Errors: `InvalidRequest` if the body is not a JSON object.
fn json_object(body: &[u8]) -> Result<Value, ApiError> {
    let mark = BYTE_ORDER_MARK.to_string();
    let body = body.strip_prefix(mark.as_bytes()).unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::new("InvalidRequest", "the body must be a JSON object")),
        Err(error) => {
            let message = format!("the body must be a JSON object: {error}");
            Err(ApiError::new("InvalidRequest", message))
        }
    }
}

fn required(value: &str, name: &str) -> Result<String, ApiError> {
    if value.is_empty() {
        return Err(ApiError::new("MissingParameter", format!("{name} is missing")));
    }
    Ok(value.to_owned())
}

fn timestamp(text: &str) -> Result<u64, ApiError> {
    if text.is_empty() {
        return Err(ApiError::new("MissingParameter", "Timestamp is missing"));
    }
    text.parse()
        .map_err(|_| ApiError::new("InvalidParameterValue", "Timestamp must be Unix seconds"))
}

#[cfg(test)]
mod tests;
