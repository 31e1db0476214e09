//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): a room over plain HTTP, one request in, one session out.
//!
//! `POST /whip/{room}` publishes as the bearer token's user, `POST /whep/{room}/{user}` watches one publisher. Both are
//! ordinary members of the room ([`resource`]). `docs/whip.md` has the commands.

pub mod bearer;
pub mod fragment;
pub mod location;
pub mod names;
pub mod offer;
mod problem;
mod request;
mod resource;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use metrics::counter;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rotunda_bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room::{Seats, seats_key};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::signaling::ErrorCode;
use rotunda_proto::user_sig::Claim;

use crate::member::failure;
use crate::shared::Shared;
use crate::turn;
use bearer::{Bearer, QueryTokens, Token};
use location::location;
use problem::Problem;
use request::Request;
use resource::{IfMatch, Opened, Opening, Patched, Purpose, Resource, Resources};

/// Longest body: several times the longest offer of a browser with a line of each kind.
const MAX_BODY_BYTES: usize = 64 * 1024;
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// `/whip/` and `/whep/`, each address with and without a final slash.
pub fn router(shared: Shared) -> Router {
    let whip = Whip {
        shared,
        resources: Arc::default(),
    };
    let routes = [
        ("/whip", endpoint().post(publish)),
        ("/whip/{room}", endpoint().post(publish)),
        ("/whip/{room}/{id}", session()),
        ("/whep", endpoint().post(watch_nobody)),
        ("/whep/{room}", endpoint().post(watch_nobody)),
        ("/whep/{room}/{user}", endpoint().post(watch)),
        ("/whep/{room}/{user}/{id}", session()),
    ];
    let router = routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(path, methods.clone()).route(&format!("{path}/"), methods)
    });
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(map_response(with_cors))
        .with_state(whip)
}

#[derive(Clone)]
struct Whip {
    shared: Shared,
    resources: Arc<Resources>,
}

/// RFC 9725 §4.2: GET has no content, and all other methods are reserved.
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

/// OPTIONS of an endpoint. A client with a valid token gets the ICE servers here, before it gathers candidates.
async fn describe(State(whip): State<Whip>, request: Request) -> Response {
    let mut response = ([(ACCEPT_POST, SDP)], StatusCode::OK).into_response();
    if let Ok(claim) = whip.bearer(&request).and_then(Bearer::valid) {
        add_ice_servers(&whip.shared, &claim.user, response.headers_mut());
    }
    response
}

async fn publish(State(whip): State<Whip>, room: Option<Path<String>>, request: Request) -> Response {
    let opened = async {
        let claim = whip.bearer(&request)?.valid()?;
        // A client that can set no path names the room in the query.
        let path = match &room {
            Some(Path(room)) => room.as_str(),
            None => request.room_in_query()?,
        };
        let room = RoomKey {
            app: claim.app,
            room: names::room(path)?,
        };
        let offer = offer::publishing(&request.sdp()?)?;
        let opening = Opening {
            rights: whip.rights(&request, &claim, &room)?,
            endpoint: format!("/whip/{}", segment(path)),
            purpose: Purpose::Publish,
            claim,
            room,
            offer,
        };
        whip.open(&request, opening).await
    };
    finish("whip", opened.await)
}

async fn watch(
    State(whip): State<Whip>,
    Path((room_name, user_name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let opened = async {
        let claim = whip.bearer(&request)?.valid()?;
        let sdp = request.sdp()?;
        let room = RoomKey {
            app: claim.app,
            room: names::room(&room_name)?,
        };
        let rights = whip.rights(&request, &claim, &room)?;
        let user = names::user(&user_name)?;
        let source = names::video_source(request.query.source.as_deref())?;
        if user == claim.user {
            let message = format!("{user} is the token's own user; use the token of another user to watch them");
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_permitted", message));
        }
        let offer = offer::watching(&sdp)?;
        whip.must_be_live(&room, &user).await?;
        let opening = Opening {
            purpose: Purpose::Watch { user, source },
            endpoint: format!("/whep/{}/{}", segment(&room_name), segment(&user_name)),
            claim,
            rights,
            room,
            offer,
        };
        whip.open(&request, opening).await
    };
    finish("whep", opened.await)
}

async fn watch_nobody() -> Response {
    let message = "the path names no publisher; write /whep/{room}/{user}";
    finish("whep", Err(Problem::not_found(message)))
}

async fn patch(State(whip): State<Whip>, request: Request) -> Response {
    let patched = async {
        let resource = whip.resource(&request)?;
        let credentials = fragment::read(&request.fragment()?)?;
        let if_match = match request.headers.get(header::IF_MATCH).map(|value| value.to_str()) {
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

async fn end(State(whip): State<Whip>, request: Request) -> Response {
    match whip.resource(&request) {
        Ok(resource) => {
            resource.end().await;
            StatusCode::OK.into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

impl Whip {
    async fn open(&self, request: &Request, opening: Opening) -> Result<Response, Problem> {
        if self.shared.draining.is_cancelled() {
            return Err(failure(ErrorCode::NodeFull).into());
        }
        let user = opening.claim.user.clone();
        let opened = resource::open(self.shared.clone(), self.resources.clone(), opening).await?;
        let Opened { path, answer, etag } = opened;
        let headers = [
            (header::CONTENT_TYPE, SDP.to_owned()),
            (header::LOCATION, self.location(request, &path)),
            (header::ETAG, etag),
            (ACCEPT_PATCH, FRAGMENT.to_owned()),
        ];
        let mut response = (StatusCode::CREATED, headers, answer).into_response();
        add_ice_servers(&self.shared, &user, response.headers_mut());
        Ok(response)
    }

    fn location(&self, request: &Request, path: &str) -> String {
        let process = &self.shared.config.process;
        let is_trusted = |peer: IpAddr| process.trusted_proxies.iter().any(|network| network.contains(peer));
        let prefix = request
            .forwarded_prefix()
            .filter(|_| request.peer.is_some_and(is_trusted));
        location(&process.public_url, prefix, path)
    }

    fn token<'a>(&self, request: &'a Request) -> Token<'a> {
        let permitted = match self.shared.config.whip_query_tokens {
            true => QueryTokens::Permitted,
            false => QueryTokens::Refused,
        };
        Token::of(&request.headers, request.query.token(), permitted)
    }

    fn bearer(&self, request: &Request) -> Result<Bearer, Problem> {
        Bearer::read(self.token(request), &self.shared.applications(), Clock.unix())
    }

    fn rights(&self, request: &Request, claim: &Claim, room: &RoomKey) -> Result<Rights, Problem> {
        let (token, applications) = (self.token(request), self.shared.applications());
        Bearer::rights(token, &applications, claim, room, Clock.unix())
    }

    /// The session that a request names. Its address cannot be guessed, so no token is required; a token that is sent must be the
    /// owner's.
    fn resource(&self, request: &Request) -> Result<Resource, Problem> {
        let resource = self.resources.with_id(request.last_segment()).ok_or_else(no_session)?;
        if let token @ Token::Given(_) = self.token(request) {
            let bearer = Bearer::read(token, &self.shared.applications(), Clock.unix())?;
            if bearer.even_expired() != resource.owner {
                let message = "this session belongs to another user";
                return Err(Problem::new(StatusCode::FORBIDDEN, "not_permitted", message));
            }
        }
        Ok(resource)
    }

    /// A viewer does not create a room: the publisher must be in it first.
    async fn must_be_live(&self, room: &RoomKey, user: &UserId) -> Result<(), Problem> {
        if self.publishes(room, user).await? {
            return Ok(());
        }
        let mut message = format!("{user} publishes nothing in this room; try again");
        if let Some((other, path)) = names::other_room_of_these_digits(&room.room) {
            let other = RoomKey {
                app: room.app,
                room: other,
            };
            if self.publishes(&other, user).await? {
                message = format!("{user} publishes in another room of the same digits: use /whep/{path}/{user}");
            }
        }
        Err(Problem::not_live(message))
    }

    async fn publishes(&self, room: &RoomKey, user: &UserId) -> Result<bool, Problem> {
        let seats = self.shared.bus.load::<Seats>(&seats_key(room)).await;
        let seats = seats.map_err(|_| Problem::internal())?;
        Ok(seats.is_some_and(|(seats, _)| seats.publishers.iter().any(|publisher| publisher.user == *user)))
    }
}

fn finish(protocol: &'static str, opened: Result<Response, Problem>) -> Response {
    let result = if opened.is_ok() { "ok" } else { "error" };
    counter!("rotunda_signaling_whip_requests_total", "protocol" => protocol, "result" => result).increment(1);
    opened.unwrap_or_else(IntoResponse::into_response)
}

fn no_session() -> Problem {
    Problem::not_found("there is no such session, or it has ended")
}

/// A name as one segment of a path.
fn segment(name: &str) -> impl std::fmt::Display {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b':');
    utf8_percent_encode(name, ESCAPED)
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

/// Web pages of any origin are permitted, as the token decides on every request.
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
