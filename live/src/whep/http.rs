//! The HTTP of WHEP: what is answered to `POST` and `DELETE`.

use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use rotunda_client::OfferError;
use serde_json::json;

use super::{Begun, WhepError};

const SDP: &str = "application/sdp";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// Longest offer: several times that of a browser.
pub const MOST_OFFER_BYTES: usize = 64 * 1024;

/// The offer of a request. Errors: [`WhepError::NotSdp`].
pub fn offer<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a str, WhepError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(SDP)) {
        return Err(WhepError::NotSdp);
    }
    std::str::from_utf8(body).map_err(|_| WhepError::NotSdp)
}

/// `path`: of the request, from the root on.
pub fn begun(path: &str, begun: Result<Begun, WhepError>) -> Response {
    let error = match begun {
        Ok(Begun { id, answer }) => {
            let headers = [
                (header::CONTENT_TYPE, SDP.to_owned()),
                (header::LOCATION, format!("{path}/{id}")),
            ];
            return (StatusCode::CREATED, headers, answer).into_response();
        }
        Err(error) => error,
    };
    let (status, code) = match &error {
        WhepError::Full => (StatusCode::SERVICE_UNAVAILABLE, "too_many_players"),
        WhepError::UserName => (StatusCode::SERVICE_UNAVAILABLE, "try_again"),
        WhepError::NotSdp => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type"),
        WhepError::NoSuchStream => (StatusCode::NOT_FOUND, "no_such_stream"),
        WhepError::Offer(OfferError::NoAddress) => (StatusCode::INTERNAL_SERVER_ERROR, "no_address"),
        WhepError::Offer(OfferError::Codec) => (StatusCode::NOT_ACCEPTABLE, "bad_sdp"),
        WhepError::Offer(_) => (StatusCode::BAD_REQUEST, "bad_sdp"),
    };
    let refused = problem(status, code, &error.to_string());
    match status {
        StatusCode::SERVICE_UNAVAILABLE => ([(header::RETRY_AFTER, "5")], refused).into_response(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ([(ACCEPT_POST, SDP)], refused).into_response(),
        _ => refused,
    }
}

/// The answer to `DELETE`.
pub fn ended(is_known: bool) -> Response {
    match is_known {
        true => StatusCode::OK.into_response(),
        false => problem(
            StatusCode::NOT_FOUND,
            "no_session",
            "there is no such session, or it has ended",
        ),
    }
}

/// The answer to `GET` of an endpoint.
pub fn not_read() -> Response {
    let message = "this is a WHEP endpoint; POST an SDP offer to it";
    let refused = problem(StatusCode::METHOD_NOT_ALLOWED, "bad_request", message);
    ([(header::ALLOW, "POST, OPTIONS")], refused).into_response()
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message } });
    (status, axum::Json(body)).into_response()
}
