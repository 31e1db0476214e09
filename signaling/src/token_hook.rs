//! Tokens of an application's own accounts in place of UserSigs: the application's server checks them.
//!
//! `POST token_hook_url` with `{"sdkAppId", "userId", "token"}`, signed like callbacks of events (header `Sign`). Any 2xx accepts the token, any 4xx
//! refuses it. Verdicts are kept for a while, so that a reconnecting client does not ask again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{SdkAppId, UserId};
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_proto::signaling::ErrorCode;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::callbacks::room_events;
use crate::callbacks::sender::{Message, SendError, Sender};

/// A server that takes longer does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A verdict is kept for this time.
const ACCEPTED_FOR: Duration = Duration::from_secs(60);
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Refusals that say nothing about the token.
const PASSING: [StatusCode; 2] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
/// Longest token, bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// Kept verdicts. When there are more, all are forgotten.
const MOST_KEPT: usize = 10_000;
/// Questions to the server of one application at one time, so that a slow one takes nothing from others.
const MOST_ASKED: usize = 64;

#[derive(Default)]
pub struct TokenHook {
    /// None: it could not be made.
    sender: OnceLock<Option<Sender>>,
    kept: Mutex<HashMap<[u8; 32], Kept>>,
    asking: Mutex<HashMap<SdkAppId, Arc<Semaphore>>>,
}

struct Kept {
    is_accepted: bool,
    until: Instant,
}

impl TokenHook {
    /// Whether the application's server accepts the token as this user's. `url`: its `token_hook_url`.
    ///
    /// Errors: `token_refused`, or `token_unchecked` when the server does not answer.
    pub async fn check(
        &self,
        outbound: &AllowedNetworks,
        application: &Application,
        url: &str,
        user: &UserId,
        token: &str,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        if token.len() > MAX_TOKEN {
            return Err(ErrorCode::TokenRefused);
        }
        let id = id(application, url, user, token);
        let is_accepted = match self.kept(&id, now) {
            Some(is_accepted) => is_accepted,
            None => {
                let asked = self.ask(outbound, application, url, user, token).await;
                let is_accepted = asked.map_err(|error| {
                    tracing::warn!(application = %application.sdk_app_id, error = &error as &dyn std::error::Error, "check a token");
                    metrics::counter!("rotunda_signaling_token_hook_failed_total").increment(1);
                    ErrorCode::TokenUnchecked
                })?;
                self.keep(id, is_accepted, now);
                is_accepted
            }
        };
        match is_accepted {
            true => Ok(()),
            false => Err(ErrorCode::TokenRefused),
        }
    }

    async fn ask(
        &self,
        outbound: &AllowedNetworks,
        application: &Application,
        url: &str,
        user: &UserId,
        token: &str,
    ) -> Result<bool, HookError> {
        let sender = self.sender.get_or_init(|| Sender::new(outbound.clone()).ok());
        let sender = sender.as_ref().ok_or(HookError::Client)?;
        let body = json!({ "sdkAppId": application.sdk_app_id, "userId": user, "token": token }).to_string();
        let message = Message {
            headers: vec![
                ("Sign", room_events::signature(application.callback_key.reveal(), &body)),
                ("SdkAppId", application.sdk_app_id.to_string()),
            ],
            body,
            within: ANSWER_WITHIN,
        };
        let places = self.places(application.sdk_app_id);
        let place = timeout(ANSWER_WITHIN, places.acquire()).await;
        let _place = place.map_err(|_| HookError::Busy)?;
        match sender.send(url, message).await {
            Ok(()) => Ok(true),
            Err(SendError::Status(status)) if status.is_client_error() && !PASSING.contains(&status) => Ok(false),
            Err(error) => Err(HookError::Send(error)),
        }
    }

    fn places(&self, app: SdkAppId) -> Arc<Semaphore> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let places = asking.entry(app);
        places.or_insert_with(|| Arc::new(Semaphore::new(MOST_ASKED))).clone()
    }

    fn kept(&self, id: &[u8; 32], now: Instant) -> Option<bool> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id)
            .filter(|kept| kept.until > now)
            .map(|kept| kept.is_accepted)
    }

    fn keep(&self, id: [u8; 32], is_accepted: bool, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        let life = if is_accepted { ACCEPTED_FOR } else { REFUSED_FOR };
        let until = now + life;
        kept.insert(id, Kept { is_accepted, until });
    }
}

/// Why a token was not checked.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("there is no HTTP client")]
    Client,
    #[error("{} questions to the application's server wait already", MOST_ASKED)]
    Busy,
    #[error("ask the application's server")]
    Send(#[source] SendError),
}

/// The parts of a question, each with its length.
fn id(application: &Application, url: &str, user: &UserId, token: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    let app = application.sdk_app_id.to_string();
    for part in [app.as_str(), url, user.as_str(), token] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use rotunda_proto::config::Secret;
    use tokio::net::TcpListener;

    use super::*;

    /// Accepts the token `good`, refuses `bad`, fails at others, and counts the questions.
    async fn receiver() -> (String, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let answer = |State(asked): State<Arc<AtomicU32>>, headers: HeaderMap, body: String| async move {
            asked.fetch_add(1, Ordering::Relaxed);
            let question: serde_json::Value = serde_json::from_str(&body).unwrap();
            let is_signed = headers["sign"].to_str().unwrap() == room_events::signature("hook", &body);
            match (is_signed, question["token"].as_str(), question["userId"].as_str()) {
                (true, Some("good"), Some("ann")) => StatusCode::NO_CONTENT,
                (true, Some("bad"), _) => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_GATEWAY,
            }
        };
        let routes = Router::new().route("/check", post(answer)).with_state(asked.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/check", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (url, asked)
    }

    #[tokio::test]
    async fn the_applications_server_decides_and_is_not_asked_again_for_a_while() {
        let (url, asked) = receiver().await;
        let hook = TokenHook::default();
        let application = Application {
            callback_key: Secret::new("hook"),
            ..Application::new(7.try_into().unwrap(), "key")
        };
        let here = AllowedNetworks::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let start = rotunda_proto::clock::Clock.now();
        let check = async |token: &str, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let ann = "ann".parse().unwrap();
            hook.check(&here, &application, &url, &ann, token, now).await
        };
        assert_eq!(check("good", 0).await, Ok(()));
        assert_eq!(check("good", 59).await, Ok(()));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(check("good", 60).await, Ok(()));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(check("bad", 0).await, Err(ErrorCode::TokenRefused));
        assert_eq!(check("bad", 4).await, Err(ErrorCode::TokenRefused));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        for times in 1..=2 {
            assert_eq!(check("else", 0).await, Err(ErrorCode::TokenUnchecked));
            assert_eq!(asked.load(Ordering::Relaxed), 3 + times, "a failure is not kept");
        }
        let nowhere = AllowedNetworks::default();
        let other = TokenHook::default();
        let ann = "ann".parse().unwrap();
        let refused = other.check(&nowhere, &application, &url, &ann, "good", start).await;
        assert_eq!(refused, Err(ErrorCode::TokenUnchecked), "an inner address");
    }
}
