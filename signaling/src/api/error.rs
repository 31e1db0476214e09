//! Errors of the API: a code that clients switch on, and words for a person.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

/// Codes of what another call, mix or setting is in the way of.
const CONFLICTS: [&str; 11] = [
    "FailedOperation",
    "FailedOperation.ApplicationChanged",
    "FailedOperation.ConfiguredApplication",
    "FailedOperation.RequestOutdated",
    "FailedOperation.RequestRejection",
    "FailedOperation.RestrictedConcurrency",
    "FailedOperation.TaskExist",
    "FailedOperation.TaskFinished",
    "FailedOperation.TwoSecretsValid",
    "LimitExceeded",
    "ResourceInUse",
];

/// The same in every face. Codes are those of the TRTC server API.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub code: &'static str,
    pub message: String,
}

impl ApiError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Our fault: logged here, hidden from the caller.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "an API call failed");
        Self::new("InternalError", "something failed here; try again")
    }
}

/// Over plain HTTP: `{"error": {"code", "message"}}` with a status.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { code, message } = self;
        let status = match code.split('.').next() {
            _ if CONFLICTS.contains(&code) => StatusCode::CONFLICT,
            Some("AuthFailure") => StatusCode::UNAUTHORIZED,
            Some("UnauthorizedOperation") => StatusCode::FORBIDDEN,
            Some("FailedOperation" | "ResourceNotFound" | "InvalidAction") => StatusCode::NOT_FOUND,
            Some("ActionOffline") => StatusCode::GONE,
            Some("RequestLimitExceeded") => StatusCode::TOO_MANY_REQUESTS,
            Some("RequestSizeLimitExceeded") => StatusCode::PAYLOAD_TOO_LARGE,
            Some("ResourceUnavailable" | "ResourceInsufficient") => StatusCode::SERVICE_UNAVAILABLE,
            Some("InternalError") => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}
