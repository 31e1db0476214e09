//! The REST face: `POST /v1/<Action>` with a JSON object, its description at `/openapi.json`, and a page for people at `/docs`.

mod openapi;
mod page;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rotunda_proto::applications::Scope;
use serde_json::{Map, Value};
use tokio::time::timeout;
use uuid::Uuid;

use super::ApiError;
use super::action::{Actions, Definition};
use super::caller::caller;

/// Longest body, bytes: an uploaded picture as Base64, and more.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// A body that takes longer is refused.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);

pub fn router(actions: Actions) -> Router {
    Router::new()
        .route("/v1/{action}", post(call).fallback(other_method))
        .route("/openapi.json", get(async || Json(openapi::document())))
        .route("/docs", get(async || Html(page::page(&openapi::document()))))
        .with_state(actions)
}

async fn other_method() -> Response {
    let error = ApiError::new("UnsupportedProtocol", "use POST");
    (StatusCode::METHOD_NOT_ALLOWED, error).into_response()
}

async fn call(
    State(actions): State<Actions>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let definition = Definition::find(&name, None)?;
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let applications = actions.shared().applications();
    // The caller is identified before the body is read.
    let caller = caller(&applications, authorization, definition.scope)?;
    actions.admit(definition, &caller)?;
    let parameters = object(&read(body).await?)?;
    let mut answer = actions.run(definition, &caller, &parameters).await?;
    answer["RequestId"] = Value::String(Uuid::new_v4().to_string());
    Ok(Json(answer).into_response())
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let reading = axum::body::to_bytes(body, MAX_BODY);
    let read = timeout(ARRIVES_WITHIN, reading).await.map_err(|_| {
        let seconds = ARRIVES_WITHIN.as_secs();
        ApiError::new("InvalidRequest", format!("the body did not arrive within {seconds} s"))
    })?;
    read.map_err(|_| {
        let message = format!("the body must arrive whole, with at most {MAX_BODY} bytes");
        ApiError::new("RequestSizeLimitExceeded", message)
    })
}

/// No body is an empty object.
fn object(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::new("InvalidRequest", "the body must be a JSON object")),
        Err(error) => {
            let message = format!("the body must be a JSON object: {error}");
            Err(ApiError::new("InvalidRequest", message))
        }
    }
}

/// The tags of the description: the parts of the API that a key opens.
fn tag(scope: Scope) -> (&'static str, &'static str) {
    match scope {
        Scope::Mix => ("mix", "Mixes and their pictures"),
        Scope::Rooms => ("rooms", "Rooms and their members, now and in the past"),
        Scope::Moderate => ("moderate", "Removing members"),
        Scope::Recordings => ("recordings", "Recorded files"),
        Scope::Live => ("live", "Live streams"),
        Scope::Usage => ("usage", "Usage"),
        Scope::Admin => ("admin", "The cluster"),
    }
}

#[cfg(test)]
mod tests;
