//! `/console`: the page, sign-in, sign-out, and who is signed in.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use rotunda_listen::ClientAddress;
use rotunda_proto::api_key;
use rotunda_proto::applications::{Reach, Scope};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{info, warn};

use super::open_id;
use super::session::Who;
use super::{COOKIE, Console, Session, claimed};
use crate::api::ApiError;
use crate::applications::Applications;

/// A session is over after this time.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Longest body, bytes.
const MAX_BODY: usize = 4096;
/// A password is compared within this time, also while others are.
const COMPARED_WITHIN: Duration = Duration::from_secs(20);

impl Console {
    /// `page`: answers `GET /console`.
    pub fn router(&self, page: MethodRouter) -> Router {
        let own = Router::new()
            .route("/console/session", get(current))
            .route("/console/sign-in", get(ways).post(sign_in))
            .route("/console/oidc", get(open_id::begin))
            .route("/console/oidc/callback", get(open_id::finish))
            .route("/console/sign-out", post(sign_out))
            .with_state(self.clone());
        own.route("/console", page)
            // The page's addresses are relative to `/console`.
            .route("/console/", get(|| async { Redirect::permanent("../console") }))
    }

    /// Sessions are for the page alone, and are not cached.
    fn with_cookie(&self, value: &str, life: Duration, answer: impl IntoResponse) -> Response {
        let secure = if self.0.is_secure { "; Secure" } else { "" };
        let seconds = life.as_secs();
        let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        let mut response = answer.into_response();
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Gives the browser a new session.
    pub(super) fn opened(
        &self,
        session: &Session,
        opened_with: &str,
        address: IpAddr,
        answer: impl IntoResponse,
    ) -> Response {
        self.attempts().succeeded(address);
        metrics::counter!("rotunda_console_sign_ins_total", "result" => "accepted").increment(1);
        info!(%address, user = session.name(), "signed in to the console");
        let cookie = self.0.key.issue(&session.who, opened_with, session.expires);
        self.with_cookie(&cookie, LIFE, answer)
    }

    async fn is_password(&self, password: Secret) -> Result<bool, ApiError> {
        let Some(hash) = self.password().await else {
            let message = "the password cannot be read now: the database does not answer; try again";
            return Err(ApiError::new("ResourceUnavailable", message));
        };
        let busy = || {
            ApiError::new(
                "RequestLimitExceeded",
                "too many people sign in; try again in some seconds",
            )
        };
        let turn = timeout(COMPARED_WITHIN, self.0.hashing.acquire()).await;
        let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let comparing = tokio::task::spawn_blocking(move || hash.permits(password.reveal()));
        comparing.await.map_err(|error| ApiError::internal(&error))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Credentials {
    Password(Secret),
    /// `<secret id>:<api secret>`
    Key(Secret),
}

async fn sign_in(State(console): State<Console>, request: Request) -> Result<Response, ApiError> {
    let address = address(request.extensions());
    let credentials = credentials(request).await?;
    let admitted = console.attempts().admit(address, Clock.now());
    if let Err(wait) = admitted {
        return Ok(too_many(address, wait));
    }
    let applications = console.0.shared.applications();
    let opened = match &credentials {
        Credentials::Password(password) => {
            let is_right = console.is_password(password.clone()).await?;
            let hash = console.password().await.filter(|_| is_right);
            hash.map(|hash| (Who::Admin, hash.as_str().to_owned()))
        }
        Credentials::Key(key) => {
            let header = format!("Bearer {}", key.reveal().trim());
            let found = api_key::application(applications.by_key(), Some(&header)).ok();
            found.map(|found| {
                let who = Who::Key(found.secret_id.clone());
                (who, found.api_secret.reveal().to_owned())
            })
        }
    };
    let Some((who, opened_with)) = opened else {
        metrics::counter!("rotunda_console_sign_ins_total", "result" => "refused").increment(1);
        warn!(%address, "a sign-in to the console was refused");
        let message = match credentials {
            Credentials::Password(_) => "wrong password; `rotunda console password` sets a new one",
            Credentials::Key(_) => "unknown key, or wrong secret; write <secret id>:<api secret>",
        };
        return Err(ApiError::new("AuthFailure.SignatureFailure", message));
    };
    let session = console.session(who, (Clock.unix() + LIFE).as_secs());
    let answer = Json(session.description(&applications));
    Ok(console.opened(&session, &opened_with, address, answer))
}

/// The ways to sign in besides a password and a key.
async fn ways(State(console): State<Console>) -> Response {
    let provider = console
        .0
        .open_id
        .as_ref()
        .map(|open_id| json!({ "provider": open_id.shown() }));
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "oidc": provider }))).into_response()
}

pub(super) fn address(extensions: &Extensions) -> IpAddr {
    let address = extensions.get::<ClientAddress>();
    address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |client| client.0)
}

fn too_many(address: IpAddr, wait: Duration) -> Response {
    metrics::counter!("rotunda_console_sign_ins_total", "result" => "too_many").increment(1);
    warn!(%address, "too many sign-ins to the console");
    let seconds = wait.as_secs().max(1);
    let message = format!("too many attempts; try again in {seconds} s");
    let error = ApiError::new("RequestLimitExceeded", message);
    ([(header::RETRY_AFTER, seconds.to_string())], error).into_response()
}

/// Only JSON: a form of another site cannot send it.
async fn credentials(request: Request) -> Result<Credentials, ApiError> {
    let wrong = || {
        let message = "send {\"password\": …} or {\"key\": \"<secret id>:<api secret>\"} as application/json";
        ApiError::new("InvalidRequest", message)
    };
    if !is_json(request.headers()) {
        return Err(wrong());
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY).await;
    serde_json::from_slice(&body.map_err(|_| wrong())?).map_err(|_| wrong())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

async fn sign_out(State(console): State<Console>, headers: HeaderMap) -> Result<Response, ApiError> {
    if !is_json(&headers) {
        return Err(ApiError::new("InvalidRequest", "send application/json"));
    }
    Ok(console.with_cookie("", Duration::ZERO, StatusCode::NO_CONTENT))
}

async fn current(State(console): State<Console>, headers: HeaderMap) -> Result<Response, ApiError> {
    let claimed = claimed(&headers);
    let claimed = claimed.ok_or_else(|| ApiError::new("AuthFailure.InvalidAuthorization", "sign in"))?;
    let applications = console.0.shared.applications();
    let session = console.verified(claimed, &applications).await?;
    let answer = Json(session.description(&applications));
    Ok(([(header::CACHE_CONTROL, "no-store")], answer).into_response())
}

impl Session {
    fn name(&self) -> &str {
        match &self.who {
            Who::Admin => "admin",
            Who::Key(id) => id,
            Who::Person { name, .. } => name,
        }
    }

    fn description(&self, applications: &Applications) -> Value {
        let (opened, scopes) = match &self.who {
            Who::Admin | Who::Person { .. } => {
                let ids: Vec<_> = applications.iter().map(|one| one.sdk_app_id).collect();
                let scopes = Scope::ALL.into_iter().filter(|scope| self.scopes.permit(*scope));
                (ids, scopes.collect::<Vec<_>>())
            }
            Who::Key(id) => {
                let found = applications.by_secret_id(id);
                let scopes = Scope::ALL.into_iter();
                let scopes = scopes.filter(|scope| found.is_some_and(|found| found.scopes.permit(*scope)));
                let opened = match found {
                    Some(found) if found.reach == Reach::All => applications.iter().map(|one| one.sdk_app_id).collect(),
                    found => found.iter().map(|one| one.sdk_app_id).collect(),
                };
                (opened, scopes.collect())
            }
        };
        let scopes: Vec<&str> = scopes.into_iter().map(Scope::as_str).collect();
        json!({
            "user": self.name(), "isAdmin": self.who == Who::Admin, "applications": opened, "scopes": scopes,
            "expires": self.expires, "version": env!("CARGO_PKG_VERSION"),
        })
    }
}
