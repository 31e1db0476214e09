//! The login of a member: the WebSocket to the server, its resume token, and attempts with growing pauses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_client::{SignalingClient, SignalingError};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::UserId;
use rotunda_proto::signaling::{ErrorCode, IceServer, Reply, Request, Role, RoomView, ServerMessage};

use super::Config;
use crate::log::log;
use crate::settings::Ticket;
use crate::streams::chain;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the WebSocket may block.
const SEND_PATIENCE: Duration = Duration::from_secs(5);
/// A server that is silent for so long is gone: it pings every 15 s.
const SILENCE: Duration = Duration::from_secs(40);
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

type Connecting = Pin<Box<dyn Future<Output = Result<Connected, SignalingError>>>>;

/// A login that has succeeded.
pub struct Connected {
    client: SignalingClient,
    token: String,
    entered: Option<Entered>,
}

/// The room of a new stay.
pub struct Entered {
    pub room: RoomView,
    pub ice_servers: Vec<IceServer>,
}

enum State {
    /// Nothing is wanted, or it is over for good.
    Idle,
    Waiting {
        until: Instant,
    },
    Connecting(Connecting),
    Up(Box<SignalingClient>),
}

/// The next event of the link.
pub enum Turn {
    /// A pause between attempts is over: [`Link::retry`].
    Due,
    Attempted(Result<Box<Connected>, SignalingError>),
    /// None: a ping.
    Heard(Option<ServerMessage>),
    Lost(SignalingError),
}

/// The consequence of a failed attempt or a lost connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// Another attempt runs already.
    Again,
    /// Another attempt comes after a pause; this was the one with the number.
    Later { attempt: u32 },
    /// None is made: the reason.
    Never(String),
}

/// See the [module](self).
pub struct Link {
    config: Arc<Config>,
    ticket: Ticket,
    state: State,
    token: Option<String>,
    /// That have failed since the last success.
    attempts: u32,
    /// When the server was heard last.
    heard: Instant,
}

impl Link {
    pub fn new(now: Instant, config: Arc<Config>, ticket: Ticket) -> Self {
        Self {
            config,
            ticket,
            state: State::Idle,
            token: None,
            attempts: 0,
            heard: now,
        }
    }

    pub fn user(&self) -> &UserId {
        &self.ticket.user
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Connects, unless it does already or was refused for good.
    pub fn want(&mut self) {
        if self.is_idle() && self.attempts == 0 {
            self.state = State::Connecting(self.connect());
        }
    }

    /// After a refusal for good: it may be tried anew.
    pub fn forgive(&mut self) {
        if self.is_idle() {
            self.attempts = 0;
        }
    }

    /// The next attempt, where its pause is over.
    pub fn retry(&mut self, now: Instant) {
        if matches!(self.state, State::Waiting { until } if until <= now) {
            self.state = State::Connecting(self.connect());
        }
    }

    /// Whether the server has been silent for too long.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.is_up() && now.saturating_duration_since(self.heard) >= SILENCE
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self, clock: Clock) -> Turn {
        match &mut self.state {
            State::Idle => std::future::pending().await,
            State::Waiting { until } => {
                clock.sleep_until(*until).await;
                Turn::Due
            }
            State::Connecting(connecting) => Turn::Attempted(connecting.await.map(Box::new)),
            State::Up(client) => {
                if let Some(event) = client.kept_event() {
                    return Turn::Heard(Some(ServerMessage::Event(event)));
                }
                match client.next_frame().await {
                    Ok(frame) => {
                        self.heard = clock.now();
                        Turn::Heard(frame.message)
                    }
                    Err(error) => Turn::Lost(error),
                }
            }
        }
    }

    /// Answers the room of a new stay; None: the old one was resumed.
    pub fn handle_connected(&mut self, now: Instant, connected: Connected) -> Option<Entered> {
        self.attempts = 0;
        self.heard = now;
        self.token = Some(connected.token);
        self.state = State::Up(Box::new(connected.client));
        connected.entered
    }

    pub fn handle_failed(&mut self, now: Instant, error: &SignalingError) -> Then {
        self.attempts += 1;
        if let SignalingError::Refused(body) = error {
            if body.code == ErrorCode::ResumeFailed {
                self.token = None;
                self.state = State::Connecting(self.connect());
                return Then::Again;
            }
            if is_final(body.code) {
                log!(Error, "the server refuses {}: {}", self.ticket.user, body.message);
                self.give_up();
                return Then::Never(body.message.clone());
            }
        }
        log!(
            Warn,
            "attempt {} to reach the server has failed: {}",
            self.attempts,
            chain(error)
        );
        self.wait(now);
        Then::Later { attempt: self.attempts }
    }

    pub fn handle_lost(&mut self, now: Instant, error: &SignalingError) -> Then {
        log!(
            Warn,
            "the connection of {} to the server is lost: {}",
            self.ticket.user,
            chain(error)
        );
        self.attempts = 1;
        if !self.config.system.reconnects {
            self.give_up();
            return Then::Never("the connection to the server is lost".to_owned());
        }
        self.wait(now);
        Then::Later { attempt: 1 }
    }

    /// The next login is a new stay.
    pub fn forget_stay(&mut self) {
        self.token = None;
    }

    /// No more attempts are made.
    pub fn give_up(&mut self) {
        self.attempts = self.attempts.max(1);
        self.state = State::Idle;
        self.token = None;
    }

    /// Sends a request, and answers its id; None: there is no connection, or its loss is found by [`next`](Self::next).
    pub async fn send(&mut self, request: Request) -> Option<u64> {
        let State::Up(client) = &mut self.state else {
            return None;
        };
        let sent = tokio::time::timeout(SEND_PATIENCE, client.send(request)).await;
        match sent.unwrap_or(Err(SignalingError::Closed)) {
            Ok(id) => Some(id),
            Err(error) => {
                log!(Debug, "a request was not sent: {}", chain(&error));
                None
            }
        }
    }

    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Up(_) => Some(self.heard + SILENCE),
            State::Idle | State::Connecting(_) => None,
        }
    }

    /// Leaves the room, and connects no more until it is wanted.
    pub async fn leave(&mut self) {
        self.token = None;
        self.attempts = 0;
        if let State::Up(mut client) = std::mem::replace(&mut self.state, State::Idle) {
            let goodbye = async {
                client.request(Request::ExitRoom {}).await?;
                client.close().await;
                Ok::<(), SignalingError>(())
            };
            // A server that is gone already does not have to be told.
            let _told = tokio::time::timeout(GOODBYE_PATIENCE, goodbye).await;
        }
    }

    fn wait(&mut self, now: Instant) {
        self.state = match self.config.system.reconnects {
            true => State::Waiting {
                until: now + pause_after(self.attempts),
            },
            false => State::Idle,
        };
    }

    fn connect(&self) -> Connecting {
        let system = &self.config.system;
        let (url, room) = (system.url.clone(), system.room.clone());
        let (ticket, token, patience) = (self.ticket.clone(), self.token.clone(), system.command_timeout);
        Box::pin(async move {
            let connect = async {
                let mut client = SignalingClient::connect(&url).await?;
                let login = Request::Login {
                    sdk_app_id: ticket.app,
                    user_id: ticket.user,
                    user_sig: ticket.user_sig,
                    resume_token: token,
                };
                let Reply::LoggedIn {
                    resume_token, resumed, ..
                } = client.request(login).await?
                else {
                    return Err(SignalingError::Closed);
                };
                let mut entered = None;
                if !resumed {
                    let enter = Request::EnterRoom {
                        room_id: room,
                        role: Role::Anchor,
                        user_define_record_id: None,
                        stream_id: None,
                        private_map_key: ticket.private_map_key,
                        pass: None,
                    };
                    if let Reply::Entered { room, ice_servers, .. } = client.request(enter).await? {
                        entered = Some(Entered { room, ice_servers });
                    }
                }
                Ok(Connected {
                    client,
                    token: resume_token,
                    entered,
                })
            };
            let connected = tokio::time::timeout(2 * patience, connect).await;
            connected.unwrap_or(Err(SignalingError::Closed))
        })
    }
}

fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(10);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// Refusals that the same ticket will get again.
fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownApplication
            | ErrorCode::UserSigInvalid
            | ErrorCode::UserSigExpired
            | ErrorCode::UserSigUserMismatch
            | ErrorCode::UserSigAppMismatch
            | ErrorCode::TokenRefused
            | ErrorCode::PrivateMapKeyInvalid
            | ErrorCode::NotPermitted
            | ErrorCode::BadRequest
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_attempts_double_up_to_half_a_minute() {
        let pauses: Vec<u128> = (1..=10).map(|attempts| pause_after(attempts).as_millis()).collect();
        assert_eq!(
            pauses,
            [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]
        );
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
