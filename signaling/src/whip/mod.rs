//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): a room over plain HTTP, one request in, one session out.
//!
//! `POST /whip/{room}` publishes as the bearer token's user, `POST /whep/{room}/{user}` watches one publisher. Both are
//! ordinary members of the room ([`resource`]). `docs/whip.md` has the commands.

pub mod bearer;
pub mod fragment;
pub mod offer;
mod problem;
mod resource;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use metrics::counter;
use rotunda_bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{Seats, seats_key};
use serde::Deserialize;

use crate::service::Shared;
use crate::turn;
use bearer::Bearer;
use problem::Problem;
use resource::{IfMatch, Opened, Opening, Patched, Purpose, Resource, Resources};

/// Longest body: several times the longest offer of a browser with a line of each kind.
const MAX_BODY_BYTES: usize = 64 * 1024;
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// `/whip/` and `/whep/`.
pub fn router(shared: Shared) -> Router {
    let whip = Whip {
        shared,
        resources: Arc::default(),
    };
    Router::new()
        .route("/whip/{room}", endpoint().post(publish))
        .route("/whip/{room}/{id}", session())
        .route("/whep/{room}/{user}", endpoint().post(watch))
        .route("/whep/{room}/{user}/{id}", session())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(map_response(with_cors))
        .with_state(whip)
}

#[derive(Clone)]
struct Whip {
    shared: Shared,
    resources: Arc<Resources>,
}

type Body = Result<Bytes, BytesRejection>;

/// RFC 9725 §4.2: GET has nothing to show; what is not there is reserved.
fn endpoint() -> MethodRouter<Whip> {
    any(|| async { not_allowed("GET, HEAD, OPTIONS, POST") })
        .get(|| async { StatusCode::NO_CONTENT })
        .options(describe)
}

fn session() -> MethodRouter<Whip> {
    any(|| async { not_allowed("GET, HEAD, OPTIONS, PATCH, DELETE") })
        .get(|| async { StatusCode::NO_CONTENT })
        .options(|| async { ([(ACCEPT_PATCH, FRAGMENT)], StatusCode::OK) })
        .patch(patch)
        .delete(end)
}

/// OPTIONS of an endpoint. Who shows a good token gets the ICE servers here already, before gathering.
async fn describe(State(whip): State<Whip>, headers: HeaderMap) -> Response {
    let mut response = ([(ACCEPT_POST, SDP)], StatusCode::OK).into_response();
    let now = Clock.unix();
    let bearer = Bearer::read(&headers, &whip.shared.applications, now);
    if let Ok(claim) = bearer.and_then(Bearer::valid) {
        add_ice_servers(&whip.shared, &claim.user, response.headers_mut());
    }
    response
}

async fn publish(
    State(whip): State<Whip>,
    Path(room): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let opened = async {
        let claim = Bearer::read(&headers, &whip.shared.applications, Clock.unix())?.valid()?;
        let room = room_key(&claim, &room)?;
        let rights = Bearer::rights(&headers, &whip.shared.applications, &claim, &room, Clock.unix())?;
        let sdp = text(&headers, SDP, body)?;
        let opening = Opening {
            room,
            claim,
            rights,
            purpose: Purpose::Publish,
            offer: offer::publishing(&sdp)?,
            endpoint: uri.path().to_owned(),
        };
        whip.open(opening).await
    };
    finish("whip", opened.await)
}

#[derive(Deserialize)]
struct Watched {
    #[serde(default = "camera")]
    source: TrackSource,
}

fn camera() -> TrackSource {
    TrackSource::Camera
}

async fn watch(
    State(whip): State<Whip>,
    Path((room, user)): Path<(String, String)>,
    query: Result<Query<Watched>, axum::extract::rejection::QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let opened = async {
        let claim = Bearer::read(&headers, &whip.shared.applications, Clock.unix())?.valid()?;
        let sdp = text(&headers, SDP, body)?;
        let room = room_key(&claim, &room)?;
        let rights = Bearer::rights(&headers, &whip.shared.applications, &claim, &room, Clock.unix())?;
        let user: UserId = user.parse().map_err(|_| not_found("no member has such a name"))?;
        let source = query.map(|Query(Watched { source })| source);
        let Ok(source @ (TrackSource::Camera | TrackSource::Screen)) = source else {
            let message = "source is camera (the default) or screen";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_request", message));
        };
        if user == claim.user {
            let message = "nobody can watch himself: use the token of another user";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_permitted", message));
        }
        let offer = offer::watching(&sdp)?;
        whip.must_be_live(&room, &user).await?;
        let purpose = Purpose::Watch { user, source };
        let endpoint = uri.path().to_owned();
        let opening = Opening {
            claim,
            rights,
            room,
            purpose,
            offer,
            endpoint,
        };
        whip.open(opening).await
    };
    finish("whep", opened.await)
}

async fn patch(State(whip): State<Whip>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let patched = async {
        let resource = whip.resource(&uri, &headers)?;
        let fragment = text(&headers, FRAGMENT, body)?;
        let credentials = fragment::read(&fragment)?;
        let if_match = match headers.get(header::IF_MATCH).map(|value| value.to_str()) {
            None => IfMatch::Missing,
            // The RFC's own example has the star in quotes.
            Some(Ok("*" | "\"*\"")) => IfMatch::Any,
            Some(tags) => IfMatch::Tags(tags.unwrap_or_default().to_owned()),
        };
        let patched = resource.patch(if_match, credentials).await;
        patched.unwrap_or_else(|| Err(no_session()))
    };
    match patched.await {
        Ok(Patched::Trickled) => StatusCode::NO_CONTENT.into_response(),
        Ok(Patched::Restarted { fragment, etag }) => {
            let headers = [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)];
            (StatusCode::OK, headers, fragment).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn end(State(whip): State<Whip>, uri: Uri, headers: HeaderMap) -> Response {
    match whip.resource(&uri, &headers) {
        Ok(resource) => {
            resource.end().await;
            StatusCode::OK.into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

impl Whip {
    async fn open(&self, opening: Opening) -> Result<Response, Problem> {
        let user = opening.claim.user.clone();
        let opened = resource::open(self.shared.clone(), self.resources.clone(), opening).await?;
        let Opened { path, answer, etag } = opened;
        let headers = [
            (header::CONTENT_TYPE, SDP.to_owned()),
            (header::LOCATION, path),
            (header::ETAG, etag),
            (ACCEPT_PATCH, FRAGMENT.to_owned()),
        ];
        let mut response = (StatusCode::CREATED, headers, answer).into_response();
        add_ice_servers(&self.shared, &user, response.headers_mut());
        Ok(response)
    }

    /// The session that a request names. Its address cannot be guessed, so a token is not asked for again; one that is
    /// there must be its owner's.
    fn resource(&self, uri: &Uri, headers: &HeaderMap) -> Result<Resource, Problem> {
        let resource = self.resources.at(uri.path()).ok_or_else(no_session)?;
        if headers.contains_key(header::AUTHORIZATION) {
            let bearer = Bearer::read(headers, &self.shared.applications, Clock.unix())?;
            if bearer.even_expired() != resource.owner {
                let message = "this session belongs to another user";
                return Err(Problem::new(StatusCode::FORBIDDEN, "not_permitted", message));
            }
        }
        Ok(resource)
    }

    /// Watching makes no room: the publisher must be there first.
    async fn must_be_live(&self, room: &RoomKey, user: &UserId) -> Result<(), Problem> {
        let seats = self.shared.bus.load::<Seats>(&seats_key(room)).await;
        let seats = seats.map_err(|_| Problem::internal())?;
        let publishes = seats.is_some_and(|(seats, _)| {
            let mut publishers = seats.publishers.iter();
            publishers.any(|publisher| publisher.user == *user)
        });
        let not_live = || Problem::not_live(format!("{user} publishes nothing in this room; try again"));
        publishes.then_some(()).ok_or_else(not_live)
    }
}

fn room_key(claim: &rotunda_proto::user_sig::Claim, room: &str) -> Result<RoomKey, Problem> {
    let room: RoomId = room.parse().map_err(|_| not_found("no room has such a name"))?;
    Ok(RoomKey { app: claim.app, room })
}

/// The body, when it is of the type that it must be.
fn text(headers: &HeaderMap, wanted: &'static str, body: Body) -> Result<String, Problem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = found.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !found.trim().eq_ignore_ascii_case(wanted) {
        let message = format!("send Content-Type: {wanted}");
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong_content_type",
            message,
        ));
    }
    let body = body.map_err(|rejection| {
        let message = format!("the body could not be read (at most {MAX_BODY_BYTES} bytes)");
        Problem::new(rejection.status(), "message_too_large", message)
    })?;
    let utf8 = String::from_utf8(body.to_vec());
    utf8.map_err(|_| Problem::from(offer::OfferError::NotSdp))
}

fn finish(protocol: &'static str, opened: Result<Response, Problem>) -> Response {
    let result = if opened.is_ok() { "ok" } else { "error" };
    counter!("rotunda_signaling_whip_requests_total", "protocol" => protocol, "result" => result).increment(1);
    opened.unwrap_or_else(IntoResponse::into_response)
}

fn not_found(message: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", message)
}

fn no_session() -> Problem {
    not_found("there is no such session, or it has ended")
}

fn not_allowed(allow: &'static str) -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "bad_request",
        format!("this takes {allow}"),
    );
    ([(header::ALLOW, allow)], problem).into_response()
}

/// One Link header a URL (RFC 9725 §4.6).
fn add_ice_servers(shared: &Shared, user: &UserId, headers: &mut HeaderMap) {
    for server in turn::ice_servers(&shared.config, user, Clock.unix()) {
        let login = match (&server.username, &server.credential) {
            (Some(username), Some(credential)) => {
                format!("; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\"")
            }
            _ => String::new(),
        };
        for url in &server.urls {
            if let Ok(value) = HeaderValue::try_from(format!("<{url}>; rel=\"ice-server\"{login}")) {
                headers.append(header::LINK, value);
            }
        }
    }
}

/// Web pages of any origin may come: what they may do, the token says.
async fn with_cors(mut response: Response) -> Response {
    let rules = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, OPTIONS, POST, PATCH, DELETE",
        ),
        // ETag is no request header, and some clients send it.
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, If-Match, ETag",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    for (name, value) in rules {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
