//! The operator console: its page, and the sign-in of a local administrator or with an API key. Everything else that the page shows
//! comes from the REST face, which accepts a session in place of an API key ([`Console::caller`]).

mod attempts;
pub mod open_id;
mod routes;
mod session;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use rand::Rng;
use rotunda_proto::applications::{Reach, Scope, Scopes};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::ticket::ClusterSecret;
use rotunda_store::{PasswordError, PasswordHash, Store, StoreError};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::api::{ACTS_AS, ApiError, acting_as, check_scope};
use crate::applications::Applications;
use crate::shared::Shared;
use attempts::Attempts;
use open_id::{Access, OpenId};
use session::{Claimed, SessionKey, Who};

/// The cookie of a session.
const COOKIE: &str = "rotunda_console";
/// The id under which calls of the administrator are counted and shown.
const ADMIN_ID: &str = "console";
/// A new password counts on every node after this time.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// Passwords that are hashed at one time.
const HASHING: usize = 2;
/// Letters and digits that nobody mistakes for others.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const GENERATED: usize = 24;

/// What the process gives the console.
pub struct Setup {
    pub cluster: ClusterSecret,
    /// Whether browsers reach the server by HTTPS: their cookie is then for HTTPS alone.
    pub is_secure: bool,
    /// Sign-in by an OpenID provider.
    pub open_id: Option<open_id::Setup>,
}

#[derive(Debug, Error)]
pub enum PrepareError {
    #[error("read or keep the password of the console")]
    Store(#[from] StoreError),
    #[error("hash the password of the console")]
    Password(#[from] PasswordError),
    #[error("the thread that hashes the password has ended")]
    Thread,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Parts>);

struct Parts {
    shared: Shared,
    key: SessionKey,
    is_secure: bool,
    attempts: Mutex<Attempts>,
    hashing: Semaphore,
    password: tokio::sync::Mutex<Known>,
    open_id: Option<OpenId>,
}

/// The password as it was read last.
#[derive(Default)]
struct Known {
    hash: Option<PasswordHash>,
    read_at: Option<Instant>,
}

/// A session whose signature was checked.
struct Session {
    who: Who,
    expires: u64,
    /// Of a person; all for others.
    scopes: Scopes,
}

/// Makes a password where there is none yet, and returns it, once: only its hash is kept.
pub async fn prepare(store: &Store) -> Result<Option<String>, PrepareError> {
    if store.console_password().await?.is_some() {
        return Ok(None);
    }
    let (password, hash) = hashed(generate_password()).await?;
    let is_ours = store.make_console_password(&hash, Clock.unix()).await?;
    Ok(is_ours.then_some(password))
}

/// Replaces the password by the given one, or by a generated one, and returns it. All sessions of the administrator end.
pub async fn set_password(store: &Store, password: Option<String>) -> Result<String, PrepareError> {
    let (password, hash) = hashed(password.unwrap_or_else(generate_password)).await?;
    store.set_console_password(&hash, Clock.unix()).await?;
    Ok(password)
}

/// About 119 bits, in groups for people.
fn generate_password() -> String {
    let mut random = rand::rng();
    let letters: Vec<char> = (0..GENERATED)
        .map(|_| LETTERS[random.random_range(0..LETTERS.len())].into())
        .collect();
    let groups: Vec<String> = letters.chunks(6).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

async fn hashed(password: String) -> Result<(String, PasswordHash), PrepareError> {
    let hashing = tokio::task::spawn_blocking(move || -> Result<_, PrepareError> {
        let hash = PasswordHash::of(&password)?;
        Ok((password, hash))
    });
    hashing.await.map_err(|_| PrepareError::Thread)?
}

impl Console {
    pub fn new(shared: Shared, setup: Setup) -> Self {
        Self(Arc::new(Parts {
            open_id: setup.open_id.map(OpenId::new),
            shared,
            key: SessionKey::new(setup.cluster.derive("console sessions")),
            is_secure: setup.is_secure,
            attempts: Mutex::default(),
            hashing: Semaphore::new(HASHING),
            password: tokio::sync::Mutex::default(),
        }))
    }

    /// The application of a call with a session; None: the request has none.
    ///
    /// Errors: the session is over, no application or another one is named, or the key does not open that part of the API. No page of
    /// another site can send the header that names the application, so a forged request is refused, too.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        applications: &Applications,
        scope: Scope,
    ) -> Result<Option<Application>, ApiError> {
        let Some(claimed) = claimed(headers) else {
            return Ok(None);
        };
        let session = self.verified(claimed, applications).await?;
        let named = headers.get(ACTS_AS).and_then(|value| value.to_str().ok());
        let named = named.ok_or_else(|| {
            let message = format!("the header {ACTS_AS} must have the number of the application");
            ApiError::new("MissingParameter.SdkAppId", message)
        })?;
        let known = session.known(applications)?;
        let found = acting_as(applications, &known, |_| Some(named))?;
        check_scope(&found, scope)?;
        Ok(Some(found))
    }

    async fn verified(&self, claimed: Claimed, applications: &Applications) -> Result<Session, ApiError> {
        let opened_with = match &claimed.who {
            Who::Admin => self.password().await.map(|hash| hash.as_str().to_owned()),
            Who::Key(id) => {
                let found = applications.by_secret_id(id);
                found.map(|application| application.api_secret.reveal().to_owned())
            }
            Who::Person { claim, value, .. } => {
                let rule = self.0.open_id.as_ref().and_then(|open_id| open_id.rule(claim, value));
                rule.map(Access::opened_with)
            }
        };
        match opened_with {
            Some(opened_with) if self.0.key.verify(&claimed, &opened_with, Clock.unix()) => {
                Ok(self.session(claimed.who, claimed.expires))
            }
            _ => Err(ApiError::new(
                "AuthFailure.InvalidAuthorization",
                "the session is over; sign in again",
            )),
        }
    }

    fn session(&self, who: Who, expires: u64) -> Session {
        let scopes = match &who {
            Who::Person { claim, value, .. } => {
                let rule = self.0.open_id.as_ref().and_then(|open_id| open_id.rule(claim, value));
                rule.map_or(Scopes::Some(BTreeSet::new()), Access::scopes)
            }
            Who::Admin | Who::Key(_) => Scopes::All,
        };
        Session { who, expires, scopes }
    }

    /// The hash of the password. While the database is away, the last one that was read.
    async fn password(&self) -> Option<PasswordHash> {
        let mut known = self.0.password.lock().await;
        let now = Clock.now();
        let is_fresh = |read_at: Instant| now.saturating_duration_since(read_at) < READ_AGAIN;
        if !known.read_at.is_some_and(is_fresh) {
            match self.0.shared.store.console_password().await {
                Ok(hash) => known.hash = hash,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "read the password of the console"
                ),
            }
            known.read_at = Some(Clock.now());
        }
        known.hash.clone()
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// The application of the key of the session; the administrator and people of the provider have an operator's key.
    fn known(&self, applications: &Applications) -> Result<Application, ApiError> {
        let operator = |secret_id: String| {
            applications.iter().next().map(|found| Application {
                secret_id,
                api_secret: Secret::default(),
                scopes: self.scopes.clone(),
                reach: Reach::All,
                ..found.clone()
            })
        };
        let found = match &self.who {
            Who::Admin => operator(ADMIN_ID.to_owned()),
            Who::Person { name, .. } => operator(format!("{ADMIN_ID}:{name}")),
            Who::Key(id) => applications.by_secret_id(id).cloned(),
        };
        found.ok_or_else(|| {
            ApiError::new(
                "ResourceNotFound",
                "there is no application; make one with `rotunda apps create`",
            )
        })
    }
}

fn claimed(headers: &HeaderMap) -> Option<Claimed> {
    session::read(cookie(headers, COOKIE)?)
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, text)| text)
}

/// Whether the headers have a session, for a key that nobody knows.
#[cfg(any(test, feature = "fuzzing"))]
pub fn is_session(headers: &HeaderMap) -> bool {
    let key = SessionKey::new([0x5a; 32]);
    claimed(headers).is_some_and(|claimed| key.verify(&claimed, "a hash", Duration::ZERO))
}

#[cfg(test)]
mod tests;
