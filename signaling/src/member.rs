//! One login: a task that owns the user's membership of a room and outlives its WebSocket by the resume time.

mod admission;
mod desired;
mod failures;
pub mod membership;
mod session;

use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use metrics::counter;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{LoginId, RoomKey, SdkAppId, UserId};
use rotunda_proto::push_state::PushSource;
use rotunda_proto::room::OwnNames;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::Client;
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, KickReason, Reply, Request, ServerMessage, TrackState};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, info, info_span, warn};

use crate::client_mix;
use crate::drain::Whom;
use crate::logins;
use crate::permissions::Permit;
use crate::removals::Removal;
use crate::shared::Shared;
use admission::{Enter, Knock};
pub use failures::{error_of, explain, failure};
use membership::{Leaving, Membership, Message};

/// Requests waiting for a member task.
const QUEUE: usize = 64;
/// Most messages waiting for a client. A client that is slower is disconnected.
const MESSAGES: usize = 256;

/// A message to a member's task.
pub enum ToMember {
    /// A WebSocket has logged in as this member, or resumes it. The old WebSocket, if any, is closed.
    Attach {
        attached: oneshot::Sender<Attachment>,
    },
    /// That WebSocket is gone; `number` came with the attachment.
    Detach {
        number: u64,
    },
    /// `number` came with the attachment. Requests of an older WebSocket are ignored.
    Request {
        number: u64,
        id: u64,
        /// Boxed, because the queue allocates space for many messages.
        request: Box<Request>,
    },
    /// The server API changes the rights of this member.
    Permit(Box<Permit>),
    /// The server API removes this member from a room.
    Remove(Box<Removal>),
    Kick(KickReason),
    /// This node ends: the member is to enter again, at another node.
    Move(Whom),
}

/// A WebSocket's side of a member. Its messages end when the member closes it.
pub struct Attachment {
    pub number: u64,
    /// As JSON.
    pub messages: mpsc::Receiver<Utf8Bytes>,
}

/// The user who has logged in.
#[derive(Debug, Clone)]
pub struct Identity {
    pub app: SdkAppId,
    pub user: UserId,
    pub token: String,
    pub login: LoginId,
}

/// Starts a member's task.
pub fn start(shared: Shared, identity: Identity) -> mpsc::Sender<ToMember> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let span = info_span!("member", app = %identity.app, user = %identity.user);
    let member = Member {
        shared,
        identity,
        out: None,
        attachments: 0,
        membership: None,
        knock: None,
        lost_at: None,
    };
    tokio::spawn(member.run(receiver).instrument(span));
    sender
}

struct Member {
    shared: Shared,
    identity: Identity,
    /// The present WebSocket.
    out: Option<mpsc::Sender<Utf8Bytes>>,
    attachments: u64,
    /// At most one of both.
    membership: Option<Membership>,
    knock: Option<Knock>,
    /// When the WebSocket was lost.
    lost_at: Option<Instant>,
}

impl Member {
    async fn run(mut self, mut inbox: mpsc::Receiver<ToMember>) {
        let clock = Clock;
        let resume_time = Duration::from_secs(self.shared.config.resume_seconds.into());
        let mut leaving = Leaving::ForGood;
        loop {
            let deadline = self.lost_at.map(|lost| lost + resume_time);
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(ToMember::Attach { attached }) => self.attach(attached),
                    Some(ToMember::Detach { number }) if number == self.attachments => {
                        self.out = None;
                        self.lost_at = Some(clock.now());
                        if self.membership.is_none() && self.knock.is_none() {
                            break;
                        }
                    }
                    Some(ToMember::Detach { .. }) => {}
                    Some(ToMember::Request { number, id, request }) if number == self.attachments => {
                        // Boxed, so that the task of a waiting member is small.
                        Box::pin(self.handle_request(id, *request)).await;
                    }
                    Some(ToMember::Request { .. }) => {}
                    Some(ToMember::Permit(permit)) => Box::pin(self.permit(*permit)).await,
                    Some(ToMember::Remove(mut removal)) => if removal.concerns(self.room()) {
                        self.tell(Event::Kicked { reason: removal.reason });
                        leaving = Leaving::Removed;
                        break;
                    },
                    Some(ToMember::Kick(reason)) => {
                        self.tell(Event::Kicked { reason });
                        leaving = Leaving::when_kicked(reason, resume_time);
                        break;
                    }
                    Some(ToMember::Move(whom)) => if whom == Whom::Everybody || !self.is_publishing() {
                        self.tell(Event::Kicked { reason: KickReason::Shutdown });
                        leaving = Leaving::when_kicked(KickReason::Shutdown, resume_time);
                        break;
                    },
                    None => break,
                },
                end = admission::ended(&mut self.knock) => self.end_knock(end).await,
                () = changed(&mut self.membership) => Box::pin(self.follow_room()).await,
                () = Clock.until(deadline) => {
                    info!("the WebSocket was lost and not resumed");
                    break;
                }
            }
            if self.out.as_ref().is_some_and(mpsc::Sender::is_closed) {
                self.out = None;
                self.lost_at = Some(clock.now());
            }
        }
        self.exit_room(leaving).await;
        let Identity {
            app,
            user,
            token,
            login,
        } = &self.identity;
        logins::forget(&self.shared, *app, user, token, *login).await;
    }

    fn is_publishing(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::is_publishing)
    }

    fn attach(&mut self, attached: oneshot::Sender<Attachment>) {
        // This is the only sender: dropping it (for a newer WebSocket, or a slow one) ends the old connection.
        let (out, messages) = mpsc::channel(MESSAGES);
        self.attachments += 1;
        self.out = Some(out);
        self.lost_at = None;
        let number = self.attachments;
        let _socket_is_gone = attached.send(Attachment { number, messages });
        // A client that comes back has missed some events, so it gets the whole state again.
        let messages = match (&self.membership, &self.knock) {
            (Some(membership), _) => membership.current_state(),
            (None, Some(knock)) => vec![Message::Own(knock.event())],
            (None, None) => Vec::new(),
        };
        self.tell_all(messages);
    }

    /// A client that does not read is disconnected, as its queue is bounded. It can resume.
    fn send(&mut self, json: Utf8Bytes) {
        if let Some(out) = &self.out
            && out.try_send(json).is_err()
        {
            warn!("the client does not keep up and is disconnected");
            counter!("rotunda_signaling_slow_clients_total").increment(1);
            self.out = None;
            self.lost_at = Some(Clock.now());
        }
    }

    fn tell(&mut self, event: Event) {
        self.send(json(&ServerMessage::Event(event)));
    }

    fn tell_all(&mut self, messages: Vec<Message>) {
        for message in messages {
            match message {
                Message::Shared(json) => self.send(json),
                Message::Own(event) => self.tell(event),
            }
        }
    }

    async fn follow_room(&mut self) {
        let Some(membership) = &mut self.membership else { return };
        let messages = membership.follow().await;
        self.tell_all(messages);
    }

    async fn permit(&mut self, permit: Permit) {
        let messages = permit.apply(self.membership.as_mut()).await;
        self.tell_all(messages);
    }

    async fn handle_request(&mut self, id: u64, request: Request) {
        let op = name(&request);
        let done = self.request(request).await;
        count_request(op, done.as_ref().err().map(|error| error.code));
        self.send(json(&match done {
            Ok(reply) => ServerMessage::Ok { id, ok: true, reply },
            Err(error) => ServerMessage::Failed { id: Some(id), error },
        }));
        // Events caused by the request come after its reply.
        if let Some(membership) = &mut self.membership {
            let messages = membership.catch_up().await;
            self.tell_all(messages);
        }
    }

    async fn request(&mut self, request: Request) -> Result<Reply, ErrorBody> {
        match request {
            Request::Login { .. } => Err(failure(ErrorCode::AlreadyLoggedIn)),
            Request::EnterRoom {
                room_id,
                role,
                user_define_record_id,
                stream_id,
                private_map_key,
                pass,
            } => {
                let enter = Enter {
                    room: room_id,
                    role,
                    names: OwnNames {
                        record: user_define_record_id,
                        stream: stream_id,
                    },
                    ticket: private_map_key,
                    pass,
                };
                self.enter_room(enter).await
            }
            Request::Knock {
                room_id,
                private_map_key,
            } => self.knock(room_id, private_map_key.as_deref()).await,
            request
            @ (Request::AnswerWaiting { .. } | Request::ListWaiting { .. } | Request::SetWaitingRoom { .. }) => {
                self.moderate(request).await
            }
            Request::SwitchRole { role, private_map_key } => {
                let room = self.in_room()?.key().clone();
                let rights = match &private_map_key {
                    Some(ticket) => Some(self.rights(&room, Some(ticket))?),
                    None => None,
                };
                self.in_room()?.switch_role(role, rights).await.map(done)
            }
            Request::SetMixTranscodingConfig { config } => {
                let user = self.identity.user.clone();
                let room = self.in_room()?.key().clone();
                let view = self.in_room()?.view(&room.room);
                let publisher = view.publishers.into_iter().find(|publisher| publisher.user_id == user);
                if config.is_none() {
                    self.in_room()?.stop_push(PushSource::Mix).await?;
                }
                let caller = client_mix::Caller {
                    room: &room,
                    user: &user,
                    publisher,
                    push: self.in_room()?.push_of_mix().cloned(),
                };
                client_mix::set(&self.shared, caller, config.as_deref()).await.map(done)
            }
            Request::StartPublishCdnStream { source, url } => {
                let shared = self.shared.clone();
                self.in_room()?.start_push(&shared, source, &url).await.map(done)
            }
            Request::StopPublishCdnStream { source } => self.in_room()?.stop_push(source).await.map(done),
            Request::ExitRoom {} => {
                if self.knock.is_none() {
                    self.in_room()?;
                }
                self.exit_room(Leaving::ForGood).await;
                Ok(Reply::Done {})
            }
            Request::Connect { offer, lines } => {
                let answer = self.in_room()?.connect(offer, lines, Client::Signaled).await?;
                Ok(Reply::Connected { answer })
            }
            Request::Publish { source, muted } => self.in_room()?.publish(source, state(muted)).await.map(done),
            Request::Unpublish { source } => self.in_room()?.unpublish(source).await.map(done),
            Request::Mute { source, muted } => self.in_room()?.mute(source, state(muted)).await.map(done),
            Request::RequestVideo {
                user_id,
                source,
                max_height,
            } => self.in_room()?.request_video(user_id, source, max_height).map(done),
            Request::CancelVideo { user_id, source } => {
                self.in_room()?.cancel_video(&user_id, source);
                Ok(Reply::Done {})
            }
            Request::SendCustomMessage { cmd_id, data } => {
                self.in_room()?.send_custom_message(cmd_id, &data).await.map(done)
            }
            Request::GetStats {} => {
                let statistics = self.in_room()?.statistics().await?;
                Ok(Reply::Stats {
                    statistics: Box::new(statistics),
                })
            }
            Request::MuteRemoteAudio { user_id, muted } => self.in_room()?.mute_remote(user_id, muted).map(done),
        }
    }

    fn rights(&self, room: &RoomKey, ticket: Option<&str>) -> Result<Rights, ErrorBody> {
        let rights = self
            .shared
            .applications()
            .rights(room, &self.identity.user, ticket, Clock.unix());
        rights.map_err(failure)
    }

    fn in_room(&mut self) -> Result<&mut Membership, ErrorBody> {
        self.membership.as_mut().ok_or_else(|| failure(ErrorCode::NotInRoom))
    }

    /// The room that they are in, or wait for.
    fn room(&self) -> Option<&RoomKey> {
        let waits_for = self.knock.as_ref().map(Knock::room);
        self.membership.as_ref().map(Membership::key).or(waits_for)
    }

    async fn exit_room(&mut self, leaving: Leaving) {
        self.stop_waiting().await;
        if let Some(membership) = self.membership.take() {
            membership.leave(leaving).await;
        }
    }
}

fn done((): ()) -> Reply {
    Reply::Done {}
}

fn state(muted: bool) -> TrackState {
    if muted { TrackState::Muted } else { TrackState::On }
}

/// Resolves when the room or the media session has changed; never outside a room.
async fn changed(membership: &mut Option<Membership>) {
    match membership {
        Some(membership) => membership.changed().await,
        None => std::future::pending().await,
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Login { .. } => "login",
        Request::EnterRoom { .. } => "enterRoom",
        Request::Knock { .. } => "knock",
        Request::AnswerWaiting { .. } => "answerWaiting",
        Request::ListWaiting { .. } => "listWaiting",
        Request::SetWaitingRoom { .. } => "setWaitingRoom",
        Request::Connect { .. } => "connect",
        Request::Publish { .. } => "publish",
        Request::Unpublish { .. } => "unpublish",
        Request::Mute { .. } => "mute",
        Request::RequestVideo { .. } => "requestVideo",
        Request::CancelVideo { .. } => "cancelVideo",
        Request::MuteRemoteAudio { .. } => "muteRemoteAudio",
        Request::SendCustomMessage { .. } => "sendCustomMessage",
        Request::GetStats {} => "getStats",
        Request::SwitchRole { .. } => "switchRole",
        Request::SetMixTranscodingConfig { .. } => "setMixTranscodingConfig",
        Request::StartPublishCdnStream { .. } => "startPublishCdnStream",
        Request::StopPublishCdnStream { .. } => "stopPublishCdnStream",
        Request::ExitRoom {} => "exitRoom",
    }
}

/// Counts a request by its outcome: `ok`, or the code of the error.
pub fn count_request(op: &'static str, error: Option<ErrorCode>) {
    let result = error.map_or("ok".into(), |code| code.name());
    counter!("rotunda_signaling_requests_total", "op" => op, "result" => result).increment(1);
}

/// A message as JSON for the WebSocket.
pub fn json(message: &ServerMessage) -> Utf8Bytes {
    // Serializing these types cannot fail. A client ignores an empty object.
    serde_json::to_string(message)
        .unwrap_or_else(|_| "{}".to_owned())
        .into()
}

#[cfg(test)]
mod tests;
