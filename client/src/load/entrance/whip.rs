//! Joins by plain HTTP: publishers by WHIP (RFC 9725), viewers by WHEP (draft-ietf-wish-whep), one stream each.

use std::net::SocketAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{StatusCode, Url};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, UserId};
use thiserror::Error;

use super::Entry;
use crate::JoinError;
use crate::load::rtp_session::{Part, RtpSession};

/// Why a WHIP or WHEP endpoint refused a member.
#[derive(Debug, Error)]
pub enum WhipError {
    #[error("{0} is not the address of a WHIP or WHEP endpoint")]
    Url(String),
    #[error("send the offer")]
    Post(#[source] reqwest::Error),
    #[error("the endpoint answered the offer with {status}: {body}")]
    Refused { status: StatusCode, body: String },
    #[error("the answer has no usable Location, so the session has no address")]
    NoLocation,
}

/// A session on an endpoint.
#[derive(Debug)]
pub struct WhipSession {
    http: reqwest::Client,
    url: Url,
    token: String,
}

/// Sends the offer and processes the answer. `whip`, `whep`: see [`Entrance`](crate::load::Entrance).
pub async fn enter(
    entry: &Entry<'_>,
    whip: &str,
    whep: &str,
    local: SocketAddr,
) -> Result<(WhipSession, RtpSession), JoinError> {
    let clock = Clock;
    let member = &entry.member;
    let ((mut session, offer), endpoint) = match entry.part {
        Part::Publisher => {
            let (session, offer, _) = RtpSession::offer(clock.now(), local, Part::Publisher)?;
            ((session, offer), endpoint(whip, &member.room, &member.user)?)
        }
        Part::Viewer => {
            let watched = member.watches.as_ref().unwrap_or(&member.user);
            let offered = RtpSession::offer_to_watch_one(clock.now(), local)?;
            (offered, endpoint(whep, &member.room, watched)?)
        }
    };
    let (made, answer) = WhipSession::post(entry.http, endpoint, &entry.ticket, offer).await?;
    if let Err(error) = session.handle_answer(clock.now(), &answer) {
        made.delete().await;
        return Err(error.into());
    }
    Ok((made, session))
}

impl WhipSession {
    /// RFC 9725 §4.2: 201, with the answer, and the session's own address in `Location`.
    async fn post(
        http: &reqwest::Client,
        endpoint: Url,
        token: &str,
        offer: String,
    ) -> Result<(Self, String), WhipError> {
        let request = http.post(endpoint).bearer_auth(token);
        let request = request.header(CONTENT_TYPE, "application/sdp").body(offer);
        let response = request.send().await.map_err(WhipError::Post)?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        // It may be relative to the address of the answer.
        let url = location.and_then(|location| response.url().join(location).ok());
        let body = response.text().await.map_err(WhipError::Post)?;
        if status != StatusCode::CREATED {
            return Err(WhipError::Refused { status, body });
        }
        let session = Self {
            http: http.clone(),
            url: url.ok_or(WhipError::NoLocation)?,
            token: token.to_owned(),
        };
        Ok((session, body))
    }

    /// Ends the session (RFC 9725 §4.2).
    pub async fn delete(self) {
        let _already_gone = self.http.delete(self.url).bearer_auth(self.token).send().await;
    }
}

/// The endpoint's address for a room and a publisher in it.
fn endpoint(template: &str, room: &RoomId, publisher: &UserId) -> Result<Url, WhipError> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let url = template
        .replace("{room}", &encoded(&room.to_string()))
        .replace("{user}", &encoded(publisher.as_str()));
    Url::parse(&url).map_err(|_| WhipError::Url(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_made_of_room_and_publisher() {
        let at = |room: &str| {
            let publisher = "load-r1-p1".parse().unwrap();
            endpoint("http://host/whep/{room}/{user}?a=b", &room.parse().unwrap(), &publisher)
                .unwrap()
                .to_string()
        };
        assert_eq!(at("1001"), "http://host/whep/1001/load%2Dr1%2Dp1?a=b");
        assert_eq!(at("text:1001"), "http://host/whep/text%3A1001/load%2Dr1%2Dp1?a=b");
        assert_eq!(at("a#b"), "http://host/whep/a%23b/load%2Dr1%2Dp1?a=b");
        let nobody = "ann".parse().unwrap();
        assert!(endpoint("no address", &"1".parse().unwrap(), &nobody).is_err());
    }
}
