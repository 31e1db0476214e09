//! HTTP-FLV: one endless response per player. A player that takes no byte is closed by the listener.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use metrics::{counter, gauge};
use rotunda_listen::http::StallLimit;
use rotunda_media::program::ProgramReader;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::flv_player::Player;

/// The program as FLV, from its last keyframe on. `stall`: how long the player may take no byte. `place`: its place among the players.
pub fn serve(
    reader: ProgramReader,
    stall: Duration,
    place: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) -> Response {
    gauge!("rotunda_live_players", "protocol" => "flv").increment(1.0);
    let player = Counted {
        player: Player::new(reader),
        _place: place,
    };
    let pieces = stream::unfold(player, |mut counted| async move {
        let bytes = counted.player.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), counted))
    });
    let pieces = pieces.take_until(shutdown.cancelled_owned());
    let headers = [
        (header::CONTENT_TYPE, "video/x-flv"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (headers, Body::from_stream(pieces)).into_response();
    response.extensions_mut().insert(StallLimit(stall));
    response
}

pub fn no_such_stream() -> Response {
    let body =
        serde_json::json!({ "error": { "code": "no_such_stream", "message": "no stream with that id is running" } });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

pub fn too_many_players() -> Response {
    counter!("rotunda_live_refused_total", "reason" => "players").increment(1);
    let message = "the server has reached live.flv_players; try again later";
    let body = serde_json::json!({ "error": { "code": "too_many_players", "message": message } });
    let headers = [(header::RETRY_AFTER, "5")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, axum::Json(body)).into_response()
}

/// A player that counts while it is there.
struct Counted {
    player: Player,
    _place: OwnedSemaphorePermit,
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("rotunda_live_players", "protocol" => "flv").decrement(1.0);
    }
}
