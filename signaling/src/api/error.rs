//! Errors of the API: a code that clients switch on, and words for a person.

use thiserror::Error;

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
