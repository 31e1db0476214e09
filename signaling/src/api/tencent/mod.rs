//! The Tencent envelope: `POST /` and `GET /?…`, signed by TC3-HMAC-SHA256 or the older HmacSHA1 and HmacSHA256.

pub mod call;
mod parameters;
mod tc3;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiError;
use super::mix::Mixes;
use crate::service::Shared;
use call::Call;

/// Largest body, bytes (TC3 POST).
const MAX_BODY: usize = 10 * 1024 * 1024;

#[derive(Clone)]
struct Face {
    shared: Shared,
    mixes: Arc<Mixes>,
}

pub fn router(shared: Shared, mixes: Arc<Mixes>, index: MethodRouter) -> Router {
    let face = Face { shared, mixes };
    let get_face = face.clone();
    let get = move |request: Request| async move {
        let is_call = request.headers().contains_key("x-tc-action")
            || request
                .uri()
                .query()
                .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
        if is_call {
            answer(State(get_face), request).await
        } else {
            index.call(request, ()).await
        }
    };
    let other = |_: Request| async { envelope(Err(ApiError::new("UnsupportedProtocol", "use POST or GET"))) };
    Router::new()
        .route("/", post(answer).get(get).fallback(other))
        .with_state(face)
}

async fn answer(State(face): State<Face>, request: Request) -> Response {
    envelope(run(&face, request).await)
}

/// Errors have HTTP status 200 too, and the content type no charset: the official Python SDK looks at the body only then.
fn envelope(result: Result<Value, ApiError>) -> Response {
    let mut response = match result {
        Ok(fields) => fields,
        Err(ApiError { code, message }) => json!({ "Error": { "Code": code, "Message": message } }),
    };
    response["RequestId"] = Value::String(Uuid::new_v4().to_string());
    let body = json!({ "Response": response }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn run(face: &Face, request: Request) -> Result<Value, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read(body).await?;
    let method = if parts.method == Method::GET { "GET" } else { "POST" };
    let call = Call::parse(method, parts.uri.query().unwrap_or_default(), &parts.headers, &body)?;
    let now = rotunda_proto::clock::Clock.unix().as_secs();
    let caller = call.authenticate(now, |id| face.shared.applications.by_secret_id(id))?;
    if call.version != "2019-07-22" {
        return Err(ApiError::new(
            "NoSuchVersion",
            format!("Version {} is not served; use 2019-07-22", call.version),
        ));
    }
    match call.action.as_str() {
        "StartMCUMixTranscode" => face.mixes.start(caller, call.start(call::RoomKind::Number)?).await?,
        "StartMCUMixTranscodeByStrRoomId" => face.mixes.start(caller, call.start(call::RoomKind::Name)?).await?,
        "StopMCUMixTranscode" => face.mixes.stop(caller, call.stop(call::RoomKind::Number)?).await?,
        "StopMCUMixTranscodeByStrRoomId" => face.mixes.stop(caller, call.stop(call::RoomKind::Name)?).await?,
        action => return Err(ApiError::new("InvalidAction", format!("there is no action {action}"))),
    }
    Ok(json!({}))
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let too_large = |_| ApiError::new("RequestSizeLimitExceeded", "a request may have 10 MB");
    Ok(to_bytes(body, MAX_BODY).await.map_err(too_large)?.to_vec())
}

/// Errors: `InvalidRequest` for what is no JSON object.
fn json_object(body: &[u8]) -> Result<Value, ApiError> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) | Err(_) => Err(ApiError::new("InvalidRequest", "the body must be a JSON object")),
    }
}
