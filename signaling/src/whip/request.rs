//! A WHIP or WHEP request: its path, query, headers and body, each read once.

use std::net::{IpAddr, SocketAddr};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{self, ConnectInfo, FromRequest, Query};
use axum::http::{HeaderMap, StatusCode, header};
use rotunda_proto::ids::shortened;
use serde::Deserialize;

use super::offer::OfferError;
use super::problem::Problem;
use super::{FRAGMENT, MAX_BODY_BYTES, SDP};

pub struct Request {
    path: String,
    pub query: Asked,
    pub headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
    /// The remote address of the connection: the client's or a proxy's.
    pub peer: Option<IpAddr>,
}

/// The query. Other names in it are ignored.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    token: Option<String>,
    access_token: Option<String>,
    /// Of a viewer's session.
    pub source: Option<String>,
    room: Option<String>,
    stream: Option<String>,
}

impl Asked {
    /// The token of a client that cannot set headers.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref().or(self.access_token.as_deref())
    }
}

impl<S: Send + Sync> FromRequest<S> for Request {
    type Rejection = Problem;

    async fn from_request(request: extract::Request, state: &S) -> Result<Self, Problem> {
        let query = Query::<Asked>::try_from_uri(request.uri()).map_err(|error| {
            let message = format!("the query was not understood: {}", error.body_text());
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", message)
        })?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Ok(Self {
            path: request.uri().path().to_owned(),
            query: query.0,
            headers: request.headers().clone(),
            peer: peer.map(|ConnectInfo(address)| address.ip()),
            body: Bytes::from_request(request, state).await,
        })
    }
}

impl Request {
    /// The room of a client that can set no path.
    pub fn room_in_query(&self) -> Result<&str, Problem> {
        let Asked { room, stream, .. } = &self.query;
        room.as_deref().or(stream.as_deref()).ok_or_else(|| {
            Problem::not_found(
                "the room is missing; write it into the path, /whip/{room}, or into the query, /whip?room=",
            )
        })
    }

    /// The last segment of the path, whether a slash follows or not.
    pub fn last_segment(&self) -> &str {
        self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }

    /// The part of the client's path that a proxy has removed, as the proxy reports it.
    pub fn forwarded_prefix(&self) -> Option<&str> {
        self.headers.get("x-forwarded-prefix")?.to_str().ok()
    }

    /// The body as an SDP. If it begins as SDP does, its content type does not matter, as some clients cannot set it.
    pub fn sdp(&self) -> Result<String, Problem> {
        self.text(SDP, "v=0", |body| body.starts_with("v=0"))
    }

    /// The body as a fragment (RFC 8840), in the same way.
    pub fn fragment(&self) -> Result<String, Problem> {
        self.text(FRAGMENT, "a=", |body| body.as_bytes().get(1) == Some(&b'='))
    }

    fn text(&self, wanted: &str, beginning: &str, begins: impl Fn(&str) -> bool) -> Result<String, Problem> {
        let body = self.body.as_ref().map_err(|rejection| {
            let message = format!("the body could not be read (at most {MAX_BODY_BYTES} bytes)");
            Problem::new(rejection.status(), "message_too_large", message)
        })?;
        let body = std::str::from_utf8(body).map_err(|_| Problem::from(OfferError::NotSdp))?;
        // Windows programs write a byte order mark.
        let body = body.trim_start_matches('\u{feff}').trim_start();
        if body.is_empty() {
            let message = format!("the body is missing; send the SDP as the body, Content-Type: {wanted}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_sdp", message));
        }
        if begins(body) || self.content_type().eq_ignore_ascii_case(wanted) {
            return Ok(body.to_owned());
        }
        let found = shortened(self.content_type());
        let message = format!("Content-Type is {found} and the body does not begin with {beginning}; send {wanted}");
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong_content_type",
            message,
        ))
    }

    fn content_type(&self) -> &str {
        let value = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        value
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim()
    }
}
