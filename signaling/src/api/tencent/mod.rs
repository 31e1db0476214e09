//! The Tencent envelope: `POST /` and `GET /?…`, signed by TC3-HMAC-SHA256 or the older HmacSHA1 and HmacSHA256.

pub mod call;
pub mod fields;
pub mod hosts;
mod intake;
mod parameters;
pub mod pictures;
pub mod read;
mod replay;
mod tc3;
mod v1;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::handler::Handler;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiError;
use super::action::{Actions, Definition, Version};
use call::{Call, Credentials};
use hosts::signed_hosts;
use intake::{Intake, Read};

#[derive(Clone)]
struct Face {
    actions: Actions,
    intake: Arc<Intake>,
}

pub fn router(actions: Actions, index: MethodRouter) -> Router {
    let intake = Arc::new(Intake::default());
    let face = Face { actions, intake };
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
    let method = if parts.method == Method::GET { "GET" } else { "POST" };
    let applications = &face.actions.shared().applications();
    let time = rotunda_proto::clock::Clock.unix();
    let now = time.as_secs();
    // The caller is identified first: no unknown caller's body is buffered.
    let Read { bytes, share: _held } = match call::credentials(method, &parts.headers, now)? {
        Credentials::InQuery => Read::nothing(),
        Credentials::InForm => face.intake.form(applications, &parts.headers, body).await?,
        Credentials::Signed { secret_id } => {
            let caller = applications.by_secret_id(&secret_id).ok_or_else(call::unknown_key)?;
            face.intake.signed(caller, &parts.headers, body).await?
        }
    };
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(address)| address.ip());
    let hosts = signed_hosts(&parts, peer, &face.actions.shared().config.process);
    let query = parts.uri.query().unwrap_or_default();
    let call = Call::parse(method, query, &parts.headers, &hosts, bytes)?;
    let caller = call.authenticate(now, |id| applications.by_secret_id(id))?;
    let definition = Definition::find(&call.action, Some(Version::find(&call.version)?))?;
    face.actions.admit(definition, caller)?;
    let parameters = call.parameters()?;
    let run = face.actions.run(definition, caller, &parameters);
    match definition.action.changes() {
        true => replay::once(face.actions.shared(), &call, caller, time, run).await,
        false => run.await,
    }
}

#[cfg(test)]
mod tests;
