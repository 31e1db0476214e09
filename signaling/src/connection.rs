//! One WebSocket: reads requests, logs in, passes requests to the member's task and writes its messages.

use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures::{SinkExt, StreamExt};
use metrics::{counter, gauge};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{LoginId, SdkAppId, UserId};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Reply, Request, RequestEnvelope, ServerMessage};
use rotunda_proto::user_sig::{self, UserSigError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite;
use tracing::debug;

use crate::bad_request;
use crate::carried;
use crate::logins;
use crate::member::{self, Attachment, Identity, ToMember, count_request, error_of, failure, json};
use crate::open_ids;
use crate::registry::{Login, Told, random_token};
use crate::shared::Shared;

pub const PING: Duration = Duration::from_secs(15);
/// A peer that sends nothing for this long, not even pongs, is dead.
pub const SILENCE: Duration = Duration::from_secs(40);
/// Time for the peer to read an error that ends the connection. Closing at once would reset the connection, as unread bytes of
/// the peer remain, and the error could be lost.
pub const LINGER: Duration = Duration::from_secs(1);
/// A peer that does not read for this long is disconnected.
pub const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// Longest message of a client that has not logged in, bytes. A UserSig has at most 4 kB.
pub const MAX_LOGIN_BYTES: usize = 16 * 1024;
/// Requests at once, and more a second after that.
const BURST: f64 = 100.0;
const PER_SECOND: f64 = 50.0;

/// Serves a WebSocket until either side ends it.
pub async fn serve(shared: Shared, socket: WebSocket) {
    gauge!("rotunda_signaling_connections").increment(1.0);
    let connection = Connection {
        shared,
        login: None,
        bucket: Bucket::full(Clock.now()),
    };
    connection.run(socket).await;
    gauge!("rotunda_signaling_connections").decrement(1.0);
}

struct Connection {
    shared: Shared,
    login: Option<Attached>,
    bucket: Bucket,
}

/// The member's task, and the number of this connection there.
pub struct Attached {
    pub member: mpsc::Sender<ToMember>,
    pub attachment: Attachment,
}

/// None: the member has just ended.
pub async fn attach(member: mpsc::Sender<ToMember>) -> Option<Attached> {
    let (attached, attachment) = oneshot::channel();
    member.send(ToMember::Attach { attached }).await.ok()?;
    let attachment = attachment.await.ok()?;
    Some(Attached { member, attachment })
}

impl Connection {
    async fn run(mut self, socket: WebSocket) {
        let clock = Clock;
        let (mut write, mut read) = socket.split();
        let login_until = clock.now() + Duration::from_secs(self.shared.config.login_seconds);
        let mut heard_at = clock.now();
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut named = false;
        loop {
            tokio::select! {
                message = read.next() => {
                    heard_at = clock.now();
                    let replies = match message {
                        // Boxed, so that the task of an idle connection is small.
                        Some(Ok(Message::Text(text))) => Box::pin(self.handle_text(text.as_str())).await,
                        Some(Ok(Message::Binary(_))) => vec![failed(None, ErrorCode::BadRequest)],
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Err(error)) if is_too_long(&error) => vec![failed(None, ErrorCode::MessageTooLarge)],
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    };
                    let mut over = false;
                    for reply in replies {
                        over |= ends_connection(&reply);
                        if send(&mut write, json(&reply)).await.is_err() {
                            over = true;
                        }
                    }
                    if over {
                        named = true;
                        break;
                    }
                }
                message = next_message(&mut self.login) => {
                    // The member has ended, or has closed this connection.
                    let Some(message) = message else { break };
                    if send(&mut write, message).await.is_err() {
                        break;
                    }
                }
                _ = ping.tick() => {
                    if clock.now().saturating_duration_since(heard_at) > SILENCE
                        || timeout(WRITE_WITHIN, write.send(Message::Ping(Default::default()))).await.is_err()
                    {
                        debug!("the peer is dead");
                        break;
                    }
                }
                () = clock.sleep_until(login_until), if self.login.is_none() => {
                    let _closing_anyway = send(&mut write, json(&failed(None, ErrorCode::NotLoggedIn))).await;
                    break;
                }
            }
        }
        let frame = CloseFrame {
            code: close_code::NORMAL,
            reason: Default::default(),
        };
        let _closing_anyway = timeout(WRITE_WITHIN, write.send(Message::Close(Some(frame)))).await;
        if let Some(Attached { member, attachment }) = self.login {
            let number = attachment.number;
            let _member_is_gone = member.send(ToMember::Detach { number }).await;
        }
        if named {
            clock.sleep_until(clock.now() + LINGER).await;
        }
    }

    /// Answers messages to send at once. Replies of the member's task come through the queue.
    async fn handle_text(&mut self, text: &str) -> Vec<ServerMessage> {
        if !self.bucket.take(Clock.now()) {
            counter!("rotunda_signaling_rate_limited_total").increment(1);
            return vec![failed(None, ErrorCode::RateLimited)];
        }
        if self.login.is_none() && text.len() > MAX_LOGIN_BYTES {
            return vec![failed(None, ErrorCode::MessageTooLarge)];
        }
        let RequestEnvelope { id, request } = match serde_json::from_str(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                let (id, why) = bad_request::explain(text, &error);
                let message = format!("{}: {why}", failure(ErrorCode::BadRequest).message);
                return vec![ServerMessage::Failed {
                    id,
                    error: ErrorBody {
                        code: ErrorCode::BadRequest,
                        message,
                        retry_after_ms: None,
                    },
                }];
            }
        };
        match (&self.login, request) {
            (
                None,
                Request::Login {
                    sdk_app_id,
                    user_id,
                    user_sig,
                    resume_token,
                },
            ) => match self.login(sdk_app_id, user_id, &user_sig, resume_token).await {
                Ok(reply) => {
                    count_request("login", None);
                    vec![ServerMessage::Ok { id, ok: true, reply }]
                }
                Err(code) => {
                    count_request("login", Some(code));
                    vec![failed(Some(id), code)]
                }
            },
            (None, _) => vec![failed(Some(id), ErrorCode::NotLoggedIn)],
            (Some(login), request) => match login.ask(id, request).await {
                Ok(()) => Vec::new(),
                Err(_) => vec![failed(Some(id), ErrorCode::Internal)],
            },
        }
    }

    async fn login(
        &mut self,
        app: SdkAppId,
        user: UserId,
        ticket: &str,
        resume_token: Option<String>,
    ) -> Result<Reply, ErrorCode> {
        verify(&self.shared, app, &user, ticket).await?;
        let (token, attached, resumed) = match resume_token {
            Some(token) => {
                let attached = match self.shared.registry.resume(app, &user, &token) {
                    Some(login) => attach(login.member).await,
                    None => carried::resume(&self.shared, app, &user, &token)
                        .await
                        .map_err(|error| error_of(&error))?,
                };
                (token, attached, true)
            }
            None => {
                let login = self.start_member(app, user).await;
                (login.token, attach(login.member).await, false)
            }
        };
        self.login = Some(attached.ok_or(ErrorCode::ResumeFailed)?);
        let resume_seconds = self.shared.config.resume_seconds;
        Ok(Reply::LoggedIn {
            resume_token: token,
            resume_seconds,
            resumed,
        })
    }

    /// A new login. The user's earlier login is notified and ends, and this one waits until that has left its room.
    async fn start_member(&self, app: SdkAppId, user: UserId) -> Login {
        let token = random_token();
        let id = LoginId(rand::random());
        let identity = Identity {
            app,
            user: user.clone(),
            token: token.clone(),
            login: id,
        };
        let member = member::start(self.shared.clone(), identity);
        let login = Login {
            id,
            token,
            member,
            told: Told::NotYet,
        };
        logins::take_over(&self.shared, app, &user, login.clone()).await;
        login
    }
}

/// Checks a UserSig by the applications of now: a deleted one lets nobody in any more. What is no UserSig is an ID token of the
/// application's OpenID provider or a token for its own server, if it has one.
pub async fn verify(shared: &Shared, app: SdkAppId, user: &UserId, ticket: &str) -> Result<(), ErrorCode> {
    let applications = shared.applications();
    let application = applications.by_id(app).ok_or(ErrorCode::UnknownApplication)?;
    let now = Clock.unix();
    let verified = application.verify(
        |key| user_sig::verify(ticket, app, key, user, now),
        |error| *error == UserSigError::Signature,
    );
    if let Err(UserSigError::Malformed | UserSigError::Signature) = &verified {
        let outbound = &shared.config.process.outbound;
        if let Some(issuer) = application
            .oidc_issuer
            .as_deref()
            .filter(|_| open_ids::is_token(ticket))
        {
            let open_ids = &shared.open_ids;
            return open_ids.check(outbound, application, issuer, user, ticket).await;
        }
        if let Some(url) = &application.token_hook_url {
            let hook = &shared.token_hook;
            return hook.check(outbound, application, url, user, ticket, Clock.now()).await;
        }
    }
    verified.map_err(|error| match error {
        UserSigError::App => ErrorCode::UserSigAppMismatch,
        UserSigError::User => ErrorCode::UserSigUserMismatch,
        UserSigError::Expired => ErrorCode::UserSigExpired,
        UserSigError::Malformed | UserSigError::Signature | UserSigError::NotYetValid => ErrorCode::UserSigInvalid,
    })
}

impl Attached {
    async fn ask(&self, id: u64, request: Request) -> Result<(), mpsc::error::SendError<ToMember>> {
        let number = self.attachment.number;
        let request = Box::new(request);
        self.member.send(ToMember::Request { number, id, request }).await
    }
}

/// The member's next message; never before the login.
async fn next_message(login: &mut Option<Attached>) -> Option<Utf8Bytes> {
    match login {
        Some(login) => login.attachment.messages.recv().await,
        None => std::future::pending().await,
    }
}

fn failed(id: Option<u64>, code: ErrorCode) -> ServerMessage {
    ServerMessage::Failed {
        id,
        error: failure(code),
    }
}

fn ends_connection(message: &ServerMessage) -> bool {
    matches!(
        message,
        ServerMessage::Failed {
            error: ErrorBody {
                code: ErrorCode::MessageTooLarge | ErrorCode::RateLimited,
                ..
            },
            ..
        }
    )
}

pub async fn send(
    write: &mut futures::stream::SplitSink<WebSocket, Message>,
    json: Utf8Bytes,
) -> Result<(), axum::Error> {
    let written = timeout(WRITE_WITHIN, write.send(Message::Text(json))).await;
    written.unwrap_or_else(|slow| Err(axum::Error::new(slow)))
}

/// Whether a message has more than [`MAX_MESSAGE_BYTES`](rotunda_proto::signaling::MAX_MESSAGE_BYTES).
pub fn is_too_long(error: &axum::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<tungstenite::Error>());
    matches!(cause, Some(tungstenite::Error::Capacity(_)))
}

/// A token bucket.
pub struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub fn full(now: Instant) -> Self {
        Self {
            tokens: BURST,
            filled_at: now,
        }
    }

    /// False: too many.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * PER_SECOND).min(BURST);
        self.filled_at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests;
