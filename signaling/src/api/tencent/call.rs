//! A call as it came in: which action, with what parameters, signed how. Pure.

use axum::http::HeaderMap;
use rotunda_proto::config::Application;
use serde::Deserialize;
use serde_json::Value;

use super::{json_object, parameters, tc3, v1};
use crate::api::ApiError;
use crate::api::mix::request::{RoomField, StartBody, StartRequest, StopRequest};

/// How far a timestamp may be off, seconds.
const MAX_SKEW: u64 = 300;

#[derive(Debug)]
pub struct Call {
    pub action: String,
    pub version: String,
    timestamp: u64,
    parameters: Value,
    signature: Signature,
}

#[derive(Debug)]
enum Signature {
    Tc3(Box<tc3::Signed>),
    V1(Box<v1::Signed>),
}

/// How an action names its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    Number,
    Name,
}

impl Call {
    /// `method`: GET or POST. `query`: as sent.
    pub fn parse(method: &'static str, query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let authorization = header("authorization");
        if authorization.starts_with("TC3-HMAC-SHA256") {
            let signed = tc3::Signed::parse(authorization, method, query, headers, body)?;
            let parameters = if method == "GET" {
                parameters::nest(&parameters::pairs(query))
            } else {
                json_object(body)?
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
        let text = if method == "GET" {
            query
        } else {
            std::str::from_utf8(body).unwrap_or_default()
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
            parameters: parameters::nest(&pairs),
            signature: Signature::V1(Box::new(v1::Signed::parse(method, header("host"), pairs)?)),
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
        if now.abs_diff(self.timestamp) > MAX_SKEW {
            return Err(ApiError::new(
                "AuthFailure.SignatureExpire",
                "the timestamp is over 5 minutes off",
            ));
        }
        let application = find(secret_id)
            .ok_or_else(|| ApiError::new("AuthFailure.SecretIdNotFound", "the SecretId is not known here"))?;
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

    pub fn start(&self, kind: RoomKind) -> Result<StartRequest, ApiError> {
        let (sdk_app_id, room) = self.room(kind)?;
        let body = StartBody::deserialize(&self.parameters).map_err(wrong_type)?;
        Ok(StartRequest { sdk_app_id, room, body })
    }

    pub fn stop(&self, kind: RoomKind) -> Result<StopRequest, ApiError> {
        let (sdk_app_id, room) = self.room(kind)?;
        Ok(StopRequest { sdk_app_id, room })
    }

    fn room(&self, kind: RoomKind) -> Result<(Option<u64>, RoomField), ApiError> {
        let number = |name: &'static str, code: &'static str| match &self.parameters[name] {
            Value::Null => Ok(None),
            value => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(ApiError::new(code, format!("{name} must be a number"))),
            },
        };
        let app = number("SdkAppId", "InvalidParameter.SdkAppId")?;
        let room = match kind {
            RoomKind::Number => RoomField::Number(number("RoomId", "InvalidParameter.RoomId")?),
            RoomKind::Name => RoomField::Name(match &self.parameters["StrRoomId"] {
                Value::Null => None,
                Value::String(name) => Some(name.clone()),
                other => Some(other.to_string()),
            }),
        };
        Ok((app, room))
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

fn wrong_type(error: serde_json::Error) -> ApiError {
    ApiError::new("InvalidParameter", error.to_string())
}

#[cfg(test)]
mod tests;
