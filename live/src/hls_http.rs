//! HLS over HTTP: playlists, which a player may wait for (Low-Latency HLS), and the pieces that they name.

use std::io::Write;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use rotunda_proto::clock::Clock;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::hls::{Position, Reached, Window};
use crate::http_flv;
use crate::play_secret::with_query;
use crate::streams::{Found, PlayKey};

/// How long a request for a playlist waits for the first segment.
const FIRST_SEGMENT_WITHIN: Duration = Duration::from_secs(8);
/// A shorter playlist is not worth compressing.
const LEAST_COMPRESSED: usize = 256;
/// The queries by which a player waits.
const DIRECTIVES: &str = "_HLS_";

/// The HLS of a stream.
#[derive(Debug, Clone)]
pub struct Hls {
    pub window: watch::Receiver<Window>,
    /// When a playlist was last requested.
    pub asked: watch::Sender<Option<Instant>>,
}

/// What a path in the folder of a stream names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Init(u64),
    Segment(u64),
    /// Of a segment, and its place there.
    Part(u64, u64),
}

/// A stream's playlist. Right after the start it waits for the first segment: players give up on a playlist that is missing.
pub async fn playlist(hls: Hls, found: &Found, query: &str, headers: &HeaderMap) -> Response {
    let Hls { mut window, asked } = hls;
    asked.send_replace(Some(Clock.now()));
    let Ok(wanted) = wanted(query) else {
        let message = "_HLS_part needs _HLS_msn, and both are numbers";
        return refuse(StatusCode::BAD_REQUEST, "wrong_directive", message);
    };
    let first = window.wait_for(|window| !window.is_empty());
    match timeout(FIRST_SEGMENT_WITHIN, first).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return http_flv::no_such_stream(),
    }
    if let Some(wanted) = wanted {
        let longest = window.borrow().longest_wait();
        let reached = window.wait_for(|window| window.has(wanted) != Reached::NotYet);
        let reached = match timeout(longest, reached).await {
            Ok(Ok(window)) => window.has(wanted),
            Ok(Err(_)) => return http_flv::no_such_stream(),
            Err(_) => Reached::NotYet,
        };
        match reached {
            Reached::Yes => {}
            Reached::NotYet => {
                let message = "the segment did not come in time; try again";
                return refuse(StatusCode::SERVICE_UNAVAILABLE, "not_in_time", message);
            }
            Reached::Never => {
                let message = "_HLS_msn is more than one segment ahead of the playlist";
                return refuse(StatusCode::BAD_REQUEST, "wrong_directive", message);
            }
        }
    }
    let mut text = window.borrow().playlist(found.stream.id.as_str());
    if found.key == PlayKey::Needed {
        text = with_query(&text, &without_directives(query));
    }
    unless_known(&text, headers)
}

/// A piece that a playlist names. The part that a playlist hints at is waited for.
pub async fn piece(hls: Hls, piece: Piece) -> Response {
    let Hls { mut window, .. } = hls;
    if let Piece::Part(number, part) = piece {
        let longest = window.borrow().longest_wait();
        let made = window.wait_for(|window| !window.will_have(number, part));
        let _late_or_gone = timeout(longest, made).await;
    }
    let window = window.borrow();
    let bytes = match piece {
        Piece::Init(number) => window.init(number),
        Piece::Segment(number) => window.segment(number),
        Piece::Part(number, part) => window.part(number, part),
    };
    drop(window);
    match bytes {
        Some(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "video/mp4"),
                (header::CACHE_CONTROL, "public, max-age=3600, immutable"),
            ];
            (headers, bytes).into_response()
        }
        None => (StatusCode::NOT_FOUND, "the segment is no longer in the window").into_response(),
    }
}

/// What a request for a playlist waits for (RFC 8216bis §6.2.5).
pub fn wanted(query: &str) -> Result<Option<Position>, std::num::ParseIntError> {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.parse::<u64>())
            .next()
            .transpose()
    };
    match (value("_HLS_msn")?, value("_HLS_part")?) {
        (Some(segment), part) => Ok(Some(Position { segment, part })),
        (None, None) => Ok(None),
        // Without a segment a part means nothing.
        (None, Some(_)) => "".parse::<u64>().map(|_| None),
    }
}

/// The query for the pieces: what the player waited for is not part of their names.
fn without_directives(query: &str) -> String {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(DIRECTIVES)).collect();
    pairs.join("&")
}

/// A playlist with its entity tag, compressed where the player takes that, or 304 where it has it already (RFC 9110 §13.1.2).
fn unless_known(text: &str, headers: &HeaderMap) -> Response {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let takes_gzip = value(header::ACCEPT_ENCODING).split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part.trim_end_matches('0') != "q=0." && part != "q=0")
    });
    let compressed = (takes_gzip && text.len() >= LEAST_COMPRESSED)
        .then(|| gzip(text))
        .flatten();
    // The two forms are two representations.
    let form = if compressed.is_some() { "-gzip" } else { "" };
    let tag = format!("\"{}{form}\"", hex::encode(Md5::digest(text)));
    let known = value(header::IF_NONE_MATCH);
    let is_known = known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag);
    let facts = [
        (header::CONTENT_TYPE, "application/vnd.apple.mpegurl".to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
        (header::ETAG, tag),
    ];
    match (is_known, compressed) {
        (true, _) => (StatusCode::NOT_MODIFIED, facts).into_response(),
        (false, Some(bytes)) => (facts, [(header::CONTENT_ENCODING, "gzip")], bytes).into_response(),
        (false, None) => (facts, text.to_owned()).into_response(),
    }
}

fn gzip(text: &str) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "code": code, "message": message } });
    (status, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests;
