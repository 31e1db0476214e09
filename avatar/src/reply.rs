//! The envelope of every answer: `code` 0 and `msg` or `data`, or `code` -1 and what went wrong. Always with status 200, as clients of
//! this API look at `code` alone.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A refusal, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(chain(&error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Json(json!({ "code": -1, "msg": self.0 })).into_response()
    }
}

/// It was done.
pub fn ok() -> Json<Value> {
    Json(json!({ "code": 0, "msg": "ok" }))
}

/// It was done, and this came of it.
pub fn data(data: impl serde::Serialize) -> Json<Value> {
    Json(json!({ "code": 0, "data": data }))
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
