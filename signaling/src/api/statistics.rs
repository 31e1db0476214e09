//! `GET /api/rooms/{room}/members/{user}/statistics`: how a member's media fares, for who operates the application.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rotunda_proto::bus::{BusError, BusExt};
use rotunda_proto::ids::{RoomId, RoomKey, UserId};
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::sfu::{self, Command};
use rotunda_proto::statistics::Statistics;
use serde_json::json;

use super::ApiError;
use super::caller::caller;
use crate::service::Shared;

pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/api/rooms/{room}/members/{user}/statistics", get(member))
        .with_state(shared)
}

/// `room`: as in a WHIP address, digits are a number. The room is one of the caller's application.
async fn member(
    State(shared): State<Shared>,
    Path((room, user)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Statistics>, Failure> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let application = caller(&shared.applications, header)?;
    let room: RoomId = room
        .parse()
        .map_err(|_| ApiError::new("InvalidParameterValue.RoomId", "no room has such a name"))?;
    let user: UserId = user
        .parse()
        .map_err(|_| ApiError::new("InvalidParameterValue.UserId", "no member has such a name"))?;
    let room = RoomKey {
        app: application.sdk_app_id,
        room,
    };
    find(&shared, room, user).await.map(Json).map_err(Failure)
}

/// Asks the SFU node that serves the room, wherever the member's WebSocket is.
async fn find(shared: &Shared, room: RoomKey, user: UserId) -> Result<Statistics, ApiError> {
    let info = shared.bus.load::<RoomInfo>(&info_key(&room)).await;
    let info = info.map_err(|error| ApiError::internal(&error))?;
    let (info, _) = info.ok_or_else(|| ApiError::new("FailedOperation.RoomNotExist", "nobody is in the room"))?;
    let subject = sfu::control_subject(&info.sfu);
    let reply = shared.bus.call(&subject, &Command::Statistics { room, user }).await;
    match reply {
        Ok(sfu::Reply::Statistics { statistics }) => Ok(*statistics),
        Ok(_) => Err(ApiError::new(
            "FailedOperation.UserNotExist",
            "that member has no media session in this room",
        )),
        Err(error @ (BusError::NoResponder(_) | BusError::Timeout(_))) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "ask an SFU for statistics");
            Err(ApiError::new(
                "ResourceUnavailable",
                "the room's media server does not answer",
            ))
        }
        Err(error) => Err(ApiError::internal(&error)),
    }
}

struct Failure(ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let ApiError { code, message } = self.0;
        let status = match code.split('.').next() {
            Some("AuthFailure") => StatusCode::UNAUTHORIZED,
            Some("InvalidParameterValue") => StatusCode::BAD_REQUEST,
            Some("FailedOperation") => StatusCode::NOT_FOUND,
            Some("ResourceUnavailable") => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}

#[cfg(test)]
mod tests;
