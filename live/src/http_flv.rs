//! HTTP-FLV: one endless response per player.

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use metrics::gauge;
use rotunda_media::mux::flv;
use rotunda_media::program::{ProgramReader, ReadError};
use tokio_util::sync::CancellationToken;

use crate::timeline::{Step, Timeline};

/// The program as FLV, from its last keyframe on.
pub fn serve(reader: ProgramReader, shutdown: CancellationToken) -> Response {
    gauge!("rotunda_live_players", "protocol" => "flv").increment(1.0);
    let player = Player {
        reader,
        timeline: Timeline::new(),
        begun: false,
        shutdown,
    };
    let frames = stream::unfold(player, |mut player| async move {
        let bytes = player.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), player))
    });
    let headers = [
        (header::CONTENT_TYPE, "video/x-flv"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(frames.boxed())).into_response()
}

pub fn no_such_stream() -> Response {
    let body =
        serde_json::json!({ "error": { "code": "no_such_stream", "message": "no stream with that id is running" } });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

struct Player {
    reader: ProgramReader,
    timeline: Timeline,
    begun: bool,
    shutdown: CancellationToken,
}

impl Player {
    /// The next bytes; None at the end of the program. A player that is too slow for the program's queue continues
    /// at a keyframe.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let read = tokio::select! {
                read = self.reader.next() => read,
                () = self.shutdown.cancelled() => return None,
            };
            let frame = match read {
                Ok(frame) => frame,
                Err(ReadError::Lagged(_)) => {
                    self.timeline.lose();
                    continue;
                }
                Err(ReadError::Ended) => return None,
            };
            let (start, timestamp_ms) = match self.timeline.step(&frame) {
                Step::Skip => continue,
                Step::Begin { timestamp_ms } => (flv::start_tags(&frame.header, timestamp_ms), timestamp_ms),
                Step::Go { timestamp_ms } => (Bytes::new(), timestamp_ms),
            };
            let tag = flv::frame_tag(&frame, timestamp_ms);
            if start.is_empty() {
                return Some(tag);
            }
            let file = if self.begun {
                Bytes::new()
            } else {
                flv::file_header(&frame.header)
            };
            self.begun = true;
            return Some([file, start, tag].concat().into());
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        gauge!("rotunda_live_players", "protocol" => "flv").decrement(1.0);
    }
}
