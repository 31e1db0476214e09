//! A refusal over HTTP: the status that RFC 9725 asks for, and a body that a person can read.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use rotunda_proto::signaling::{ErrorBody, ErrorCode};

use super::fragment::FragmentError;
use super::offer::OfferError;
use crate::member::failure;

/// A refused request. Its body is `<code>: <message>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    code: String,
    message: String,
    retry: Retry,
}

/// Whether the client may repeat the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// Only after something has changed.
    No,
    After {
        seconds: u32,
    },
}

/// The client repeats the request after this time, if the publisher is not there yet or the server is full.
const RETRY: Retry = Retry::After { seconds: 5 };

impl Problem {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            retry: Retry::No,
        }
    }

    pub fn unauthorized(code: ErrorCode) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..failure(code).into()
        }
    }

    pub fn no_token() -> Self {
        let message = "the token is missing; send `Authorization: Bearer <UserSig>`";
        Self::new(StatusCode::UNAUTHORIZED, "not_logged_in", message)
    }

    pub fn token_in_query() -> Self {
        let message = "a token in the query is taken where signaling.whip_query_tokens is true; send `Authorization: Bearer \
                       <UserSig>`";
        Self::new(StatusCode::UNAUTHORIZED, "not_logged_in", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn internal() -> Self {
        failure(ErrorCode::Internal).into()
    }

    /// draft-ietf-wish-whep-02 §4.2: nothing is published yet.
    pub fn not_live(message: impl Into<String>) -> Self {
        Self {
            retry: RETRY,
            ..Self::new(StatusCode::CONFLICT, "not_published", message)
        }
    }
}

/// The same refusals as over the WebSocket, with the same codes.
impl From<ErrorBody> for Problem {
    fn from(ErrorBody { code, message, .. }: ErrorBody) -> Self {
        let (status, retry) = match code {
            ErrorCode::TooManyAudioPublishers | ErrorCode::TooManyVideoPublishers => (StatusCode::CONFLICT, Retry::No),
            ErrorCode::BadSdp => (StatusCode::UNPROCESSABLE_ENTITY, Retry::No),
            ErrorCode::CodecNotSupported => (StatusCode::NOT_ACCEPTABLE, Retry::No),
            ErrorCode::NotPermitted
            | ErrorCode::Banned
            | ErrorCode::AdmissionRequired
            | ErrorCode::PrivateMapKeyInvalid => (StatusCode::FORBIDDEN, Retry::No),
            ErrorCode::NoMediaNode | ErrorCode::NodeFull | ErrorCode::RoomFull | ErrorCode::TryLater => {
                (StatusCode::SERVICE_UNAVAILABLE, RETRY)
            }
            ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Retry::No),
            _ => (StatusCode::BAD_REQUEST, Retry::No),
        };
        // The names are those of the protocol, as serde writes them.
        let code = serde_json::to_value(code).ok();
        let code = code.as_ref().and_then(serde_json::Value::as_str).unwrap_or("internal");
        Self {
            retry,
            ..Self::new(status, code, message)
        }
    }
}

impl From<OfferError> for Problem {
    fn from(error: OfferError) -> Self {
        let status = match error {
            OfferError::NotSdp => StatusCode::BAD_REQUEST,
            OfferError::TooManyLines => StatusCode::NOT_ACCEPTABLE,
            OfferError::NoMid | OfferError::SendsNothing | OfferError::ReceivesNothing => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        Self::new(status, "bad_sdp", error.to_string())
    }
}

impl From<FragmentError> for Problem {
    fn from(error: FragmentError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_sdp", error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let reason = self.reason();
        let body = format!("{}: {}\n", self.code, self.message);
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"rotunda\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Retry::After { seconds } = self.retry {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Ok(reason) = ReasonPhrase::try_from(reason) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl Problem {
    /// The text beside the status in HTTP/1.1: many clients that publish print it and not the body.
    fn reason(&self) -> Vec<u8> {
        const LONGEST: usize = 200;
        let text = format!("{}: {}", self.code, self.message);
        let printable = text.chars().map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c as u8
            } else {
                b'?'
            }
        });
        printable.take(LONGEST).collect()
    }
}
