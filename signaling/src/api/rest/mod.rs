//! The REST face: `POST /v1/<Action>` with a JSON object, its description at `/openapi.json`, and a page for people at `/docs`. A caller has
//! an API key, or a session of the console.

mod csv;
mod openapi;
mod page;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rotunda_proto::applications::Scope;
use rotunda_proto::config::Application;
use serde_json::{Map, Value};
use tokio::time::timeout;
use uuid::Uuid;

use super::ApiError;
use super::action::{Actions, Definition};
use super::caller::{acting_as, check_scope, known};
use crate::console::Console;

/// Longest body, bytes: an uploaded picture as Base64, and more.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// A body that takes longer is refused.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Face {
    actions: Actions,
    console: Option<Console>,
}

pub fn router(actions: Actions, console: Option<Console>) -> Router {
    Router::new()
        .route("/v1/{action}", post(call).fallback(other_method))
        .route("/openapi.json", get(async || Json(openapi::document())))
        .route("/docs", get(async || Html(page::page(&openapi::document()))))
        .with_state(Face { actions, console })
}

async fn other_method() -> Response {
    let error = ApiError::new("UnsupportedProtocol", "use POST");
    (StatusCode::METHOD_NOT_ALLOWED, error).into_response()
}

async fn call(State(face): State<Face>, Path(name): Path<String>, request: Request) -> Result<Response, ApiError> {
    let as_csv = name.strip_suffix(".csv");
    let definition = Definition::find(as_csv.unwrap_or(&name), None)?;
    if as_csv.is_some() && !csv::has(definition.action) {
        let message = format!("{} has no CSV; the actions for usage have", definition.name);
        return Err(ApiError::new("InvalidAction", message));
    }
    let (parts, body) = request.into_parts();
    // The caller is identified before the body is read.
    let caller = face.caller(&parts.headers, definition.scope).await?;
    face.actions.admit(definition, &caller)?;
    let parameters = object(&read(body).await?)?;
    let mut answer = face.actions.run(definition, &caller, &parameters).await?;
    if let Some(file) = definition.action.file()
        && !wants_json(&parts.headers)
    {
        let text = answer[file.field].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).map_err(|error| ApiError::internal(&error))?;
        return Ok(([(header::CONTENT_TYPE, file.media_type)], bytes).into_response());
    }
    if csv::has(definition.action) && (as_csv.is_some() || wants_csv(&parts.headers)) {
        let name = format!("attachment; filename=\"{}.csv\"", definition.name);
        let headers = [
            (header::CONTENT_TYPE, csv::MEDIA_TYPE),
            (header::CONTENT_DISPOSITION, name.as_str()),
        ];
        return Ok((headers, csv::of(definition.action, &answer)).into_response());
    }
    answer["RequestId"] = Value::String(Uuid::new_v4().to_string());
    Ok(Json(answer).into_response())
}

impl Face {
    /// The application for which the call is made. A request without an API key may have a session of the console.
    async fn caller(&self, headers: &HeaderMap, scope: Scope) -> Result<Application, ApiError> {
        let applications = self.actions.shared().applications();
        let read = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let key = headers.get(header::AUTHORIZATION);
        if let (None, Some(console)) = (key, &self.console)
            && let Some(found) = console.caller(headers, &applications, scope).await?
        {
            return Ok(found);
        }
        let known = known(&applications, key.and_then(|value| value.to_str().ok()))?;
        let caller = acting_as(&applications, known, read)?;
        check_scope(&caller, scope)?;
        Ok(caller)
    }
}

/// Whether the caller asks for JSON, and not for the file that the action makes.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json") && !accept.contains("image/"))
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/csv"))
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
        Scope::Admin => ("admin", "Applications, their keys, and the cluster"),
    }
}

#[cfg(test)]
mod tests;
