//! Proxies logins of other nodes: a client whose login is on another node resumes it here, and this node relays the messages.
//!
//! The login and the membership stay on their node, and media is not affected. When either node dies, or a message is lost, the
//! WebSocket is closed. The client then resumes again and gets the whole state.

use axum::extract::ws::Utf8Bytes;
use metrics::{counter, gauge};
use rotunda_bus::lease::Living;
use rotunda_bus::{BusError, BusExt, Heard, Incarnation, Subscription};
use rotunda_proto::ids::{SdkAppId, UserId};
use rotunda_proto::room::{LoginDocument, MemberCommand, MemberReply, login_key, members_subject};
use rotunda_proto::signaling::{Request, ServerMessage};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use crate::connection::{Attached, attach};
use crate::member::{Attachment, ToMember, error_of, failure, json};
use crate::registry::random_token;
use crate::shared::Shared;

/// Most requests of a client that wait for the other node.
const QUEUE: usize = 64;
/// Most messages that wait for a client. A client that is slower is disconnected.
const MESSAGES: usize = 256;

/// Resumes a login that is on another node. None: there is no such login, or another one has replaced it.
pub async fn resume(shared: &Shared, app: SdkAppId, user: &UserId, token: &str) -> Result<Option<Attached>, BusError> {
    let document = shared.bus.load::<LoginDocument>(&login_key(app, user)).await?;
    let via = shared.cluster.incarnation();
    let Some((LoginDocument { node, .. }, _)) = document.filter(|(document, _)| document.node != via) else {
        return Ok(None);
    };
    let to = format!("carried.{}", random_token());
    let messages = shared.bus.subscribe(&to).await?;
    let remote = Remote {
        shared: shared.clone(),
        app,
        user: user.clone(),
        subject: members_subject(node.node()),
    };
    let command = MemberCommand::Resume {
        app,
        user: user.clone(),
        token: token.to_owned(),
        via,
        to,
    };
    let MemberReply::Resumed { number } = remote.call(&command).await? else {
        return Ok(None);
    };
    let (member, inbox) = mpsc::channel(QUEUE);
    let (out, queue) = mpsc::channel(MESSAGES);
    let carried = Carried {
        remote,
        number,
        node,
        out,
    };
    tokio::spawn(carried.run(inbox, messages));
    Ok(Some(Attached {
        member,
        attachment: Attachment {
            number,
            messages: queue,
        },
    }))
}

/// The node that has the login.
struct Remote {
    shared: Shared,
    app: SdkAppId,
    user: UserId,
    subject: String,
}

impl Remote {
    async fn call(&self, command: &MemberCommand) -> Result<MemberReply, BusError> {
        self.shared.bus.call(&self.subject, command).await
    }

    /// Passes a request on. The reply comes with the messages.
    async fn ask(&self, number: u64, id: u64, request: Box<Request>) -> Step {
        let command = MemberCommand::Ask {
            app: self.app,
            user: self.user.clone(),
            number,
            id,
            request,
        };
        match self.call(&command).await {
            Ok(MemberReply::Done) => Step::Done,
            Ok(_) => Step::End,
            Err(error) => Step::Tell(json(&ServerMessage::Failed {
                id: Some(id),
                error: failure(error_of(&error)),
            })),
        }
    }

    async fn detach(&self, number: u64) {
        let command = MemberCommand::Detach {
            app: self.app,
            user: self.user.clone(),
            number,
        };
        if let Err(error) = self.call(&command).await {
            debug!(
                error = &error as &dyn std::error::Error,
                "the end of a proxied WebSocket was not published"
            );
        }
    }
}

/// A client of this node whose login is on another one.
struct Carried {
    remote: Remote,
    /// The number of the WebSocket at the other node.
    number: u64,
    node: Incarnation,
    out: mpsc::Sender<Utf8Bytes>,
}

impl Carried {
    /// Runs in place of the member's task until either side ends.
    async fn run(self, mut inbox: mpsc::Receiver<ToMember>, mut messages: Subscription) {
        gauge!("rotunda_signaling_carried_connections").increment(1.0);
        let mut living = self.remote.shared.cluster.living();
        loop {
            let step = tokio::select! {
                message = inbox.recv() => match message {
                    Some(ToMember::Request { number, id, request }) => self.remote.ask(number, id, request).await,
                    Some(ToMember::Attach { .. } | ToMember::Permit(_) | ToMember::Remove(_) | ToMember::Kick(_) | ToMember::Move(_)) => Step::Done,
                    Some(ToMember::Detach { .. }) | None => Step::End,
                },
                heard = messages.next() => read(heard),
                () = gone(&mut living, &self.node) => Step::End,
                // The client resumes by another node.
                () = self.remote.shared.draining.cancelled() => Step::End,
            };
            match step {
                Step::Done => {}
                Step::Tell(json) => {
                    if self.out.try_send(json).is_err() {
                        break;
                    }
                }
                Step::End => break,
            }
        }
        // This ends the WebSocket's connection.
        drop(self.out);
        self.remote.detach(self.number).await;
        gauge!("rotunda_signaling_carried_connections").decrement(1.0);
    }
}

/// The next step after a message of either side.
enum Step {
    Done,
    Tell(Utf8Bytes),
    End,
}

fn read(heard: Heard) -> Step {
    match heard {
        Heard::Message(message) if message.payload.is_empty() => Step::End,
        Heard::Message(message) => Utf8Bytes::try_from(message.payload).map_or(Step::End, Step::Tell),
        Heard::Lost => {
            counter!("rotunda_signaling_carried_lost_total").increment(1);
            Step::End
        }
    }
}

/// Resumes a login of this node for a client at another node.
pub async fn resume_here(shared: &Shared, resume: Resume) -> MemberReply {
    let Resume {
        app,
        user,
        token,
        via,
        to,
    } = resume;
    let Some(login) = shared.registry.resume(app, &user, &token) else {
        return MemberReply::NotHere;
    };
    let Some(attached) = attach(login.member).await else {
        return MemberReply::NotHere;
    };
    let number = attached.attachment.number;
    tokio::spawn(send_there(shared.clone(), attached, via, to));
    MemberReply::Resumed { number }
}

/// [`MemberCommand::Resume`]
pub struct Resume {
    pub app: SdkAppId,
    pub user: UserId,
    pub token: String,
    pub via: Incarnation,
    pub to: String,
}

/// Sends a member's messages to the node of its client, until the member closes it or that node dies.
async fn send_there(shared: Shared, attached: Attached, via: Incarnation, to: String) {
    let Attached { member, attachment } = attached;
    let Attachment { number, mut messages } = attachment;
    let mut living = shared.cluster.living();
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = gone(&mut living, &via) => break,
        };
        let is_end = message.is_none();
        let payload = message.map(Into::into).unwrap_or_default();
        if let Err(error) = shared.bus.publish(&to, payload).await {
            debug!(
                error = &error as &dyn std::error::Error,
                "a proxied client is disconnected"
            );
            break;
        }
        if is_end {
            return;
        }
    }
    let _member_is_gone = member.send(ToMember::Detach { number }).await;
}

/// Passes a request of a proxied client to the member's task.
pub async fn ask_here(shared: &Shared, app: SdkAppId, user: &UserId, message: ToMember) -> MemberReply {
    let Some(member) = shared.registry.find(app, user) else {
        return MemberReply::NotHere;
    };
    match member.send(message).await {
        Ok(()) => MemberReply::Done,
        Err(_) => MemberReply::NotHere,
    }
}

/// Resolves when a node has died.
async fn gone(living: &mut watch::Receiver<Living>, node: &Incarnation) {
    let is_dead = |living: &Living| living.as_ref().is_some_and(|alive| !alive.contains(node));
    if living.wait_for(is_dead).await.is_err() {
        std::future::pending::<()>().await;
    }
}
