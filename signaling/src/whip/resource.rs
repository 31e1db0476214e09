//! A WHIP or WHEP session: one task that is a member of the room, like a WebSocket's, until DELETE or the end of its media.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::gauge;
use rotunda_proto::ids::{LoginId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::TrackState;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{Client, Lines, VideoWant};
use rotunda_proto::signaling::{Event, KickReason, MediaState, Role};
use rotunda_proto::user_sig::Claim;
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, info, info_span, warn};

use super::fragment::{self, Credentials};
use super::offer::Offer;
use super::problem::Problem;
use crate::drain::Whom;
use crate::logins;
use crate::member::membership::{Leaving, Membership, Message, codec_not_supported};
use crate::member::{ToMember, explain};
use crate::refused_lines::refused_lines;
use crate::registry::{Login, Told, random_token};
use crate::room::Passes;
use crate::shared::Shared;

/// Requests waiting for a session's task.
const QUEUE: usize = 8;

/// The purpose of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// WHIP: publishes the m-lines that its offer sends.
    Publish,
    /// WHEP: receives one publisher.
    Watch { user: UserId, source: TrackSource },
}

/// A request for a session.
pub struct Opening {
    pub claim: Claim,
    pub rights: Rights,
    pub room: RoomKey,
    pub purpose: Purpose,
    pub offer: Offer,
    /// Path of the endpoint without a final slash; the session's own path is one segment longer.
    pub endpoint: String,
}

/// The answer to the client.
pub struct Opened {
    pub path: String,
    pub answer: String,
    pub etag: String,
}

/// The outcome of a PATCH.
pub enum Patched {
    /// Candidates were accepted.
    Trickled,
    /// ICE was restarted: the fragment to answer with, and the new entity tag.
    Restarted { fragment: String, etag: String },
}

/// The precondition of a PATCH (RFC 9725 §4.3.1).
pub enum IfMatch {
    Missing,
    Any,
    Tags(String),
}

/// The sessions of this node, by id: the last segment of their path, as a proxy may change the rest.
#[derive(Default)]
pub struct Resources(Mutex<HashMap<String, Resource>>);

/// A session's address.
#[derive(Clone)]
pub struct Resource {
    pub owner: Claim,
    requests: mpsc::Sender<ToSession>,
}

enum ToSession {
    Patch {
        if_match: IfMatch,
        credentials: Option<Credentials>,
        reply: oneshot::Sender<Result<Patched, Problem>>,
    },
    End {
        reply: oneshot::Sender<()>,
    },
}

impl Resources {
    pub fn with_id(&self, id: &str) -> Option<Resource> {
        self.all().get(id).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Resource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resource {
    /// None: the session ended in this moment.
    pub async fn patch(&self, if_match: IfMatch, credentials: Option<Credentials>) -> Option<Result<Patched, Problem>> {
        let (reply, patched) = oneshot::channel();
        let request = ToSession::Patch {
            if_match,
            credentials,
            reply,
        };
        self.requests.send(request).await.ok()?;
        patched.await.ok()
    }

    /// Returns when the member has left the room.
    pub async fn end(&self) {
        let (reply, ended) = oneshot::channel();
        if self.requests.send(ToSession::End { reply }).await.is_ok() {
            let _ended_either_way = ended.await;
        }
    }
}

/// Opens a session, on a task of its own that always completes. If the caller goes away before the answer, the session is closed.
pub async fn open(shared: Shared, resources: Arc<Resources>, opening: Opening) -> Result<Opened, Problem> {
    let (reply, opened) = oneshot::channel();
    let Claim { app, user } = &opening.claim;
    let span = info_span!("whip", %app, %user);
    tokio::spawn(run(shared, resources, opening, reply).instrument(span));
    opened.await.unwrap_or_else(|_| Err(Problem::internal()))
}

async fn run(
    shared: Shared,
    resources: Arc<Resources>,
    opening: Opening,
    reply: oneshot::Sender<Result<Opened, Problem>>,
) {
    // This token is not sent to anybody, as a session of this kind is not resumed.
    let token = random_token();
    // Dropped last: a newer login waits for it to close.
    let (member, inbox) = mpsc::channel(QUEUE);
    let owner = opening.claim.clone();
    let id = LoginId(rand::random());
    let login = Login {
        id,
        token: token.clone(),
        member,
        told: Told::NotYet,
    };
    logins::take_over(&shared, owner.app, &owner.user, login).await;
    let inbox = serve(&shared, &resources, opening, inbox, reply).await;
    logins::forget(&shared, owner.app, &owner.user, &token, id).await;
    drop(inbox);
}

async fn serve(
    shared: &Shared,
    resources: &Resources,
    opening: Opening,
    inbox: mpsc::Receiver<ToMember>,
    reply: oneshot::Sender<Result<Opened, Problem>>,
) -> mpsc::Receiver<ToMember> {
    let owner = opening.claim.clone();
    let id = random_token();
    let path = format!("{}/{id}", opening.endpoint);
    let (mut session, answer) = match Session::open(shared, opening, inbox).await {
        Ok(opened) => opened,
        Err((problem, inbox)) => {
            let _nobody_waits = reply.send(Err(problem));
            return inbox;
        }
    };
    let (requests, queue) = mpsc::channel(QUEUE);
    resources.all().insert(id.clone(), Resource { owner, requests });
    gauge!("rotunda_signaling_whip_sessions").increment(1.0);
    let opened = Opened {
        path,
        answer,
        etag: session.etag.clone(),
    };
    let may_return_within = Duration::from_secs(shared.config.resume_seconds.into());
    let ended = match reply.send(Ok(opened)) {
        Ok(()) => session.run(queue).await,
        // The client went away before the answer.
        Err(_) => End::MediaLost,
    };
    resources.all().remove(&id);
    gauge!("rotunda_signaling_whip_sessions").decrement(1.0);
    let leaving = match &ended {
        End::Asked(_) | End::Stopped => Leaving::ForGood,
        End::Kicked(reason) => Leaving::when_kicked(*reason, may_return_within),
        End::MediaLost => Leaving::CutOff { may_return_within },
    };
    session.membership.leave(leaving).await;
    if let End::Asked(reply) = ended {
        let _nobody_waits = reply.send(());
    }
    session.inbox
}

/// Why a session has ended.
enum End {
    /// By DELETE, which is answered when the member has left.
    Asked(oneshot::Sender<()>),
    Kicked(KickReason),
    MediaLost,
    Stopped,
}

struct Session {
    membership: Membership,
    inbox: mpsc::Receiver<ToMember>,
    /// The offer as the SFU has it; an ICE restart offers it again.
    offer: String,
    /// The client's ICE session.
    credentials: Option<Credentials>,
    etag: String,
}

impl Session {
    /// Enters the room and connects. On an error the member leaves the room again.
    async fn open(
        shared: &Shared,
        opening: Opening,
        inbox: mpsc::Receiver<ToMember>,
    ) -> Result<(Self, String), (Problem, mpsc::Receiver<ToMember>)> {
        let role = match opening.purpose {
            Purpose::Publish => Role::Anchor,
            Purpose::Watch { .. } => Role::Audience,
        };
        let entered = Membership::enter(
            shared,
            opening.room,
            opening.claim.user,
            role,
            opening.rights,
            Passes::Never,
        )
        .await;
        let mut membership = match entered {
            Ok(membership) => membership,
            Err(refused) => return Err((explain(refused).into(), inbox)),
        };
        match connect(&mut membership, opening.purpose, &opening.offer).await {
            Ok(answer) => {
                let session = Self {
                    membership,
                    inbox,
                    credentials: Credentials::of(&opening.offer.sdp),
                    offer: opening.offer.sdp,
                    etag: new_etag(),
                };
                Ok((session, answer))
            }
            Err(problem) => {
                membership.leave(Leaving::ForGood).await;
                Err((problem, inbox))
            }
        }
    }

    /// Follows the room until the session is over.
    async fn run(&mut self, mut requests: mpsc::Receiver<ToSession>) -> End {
        loop {
            let messages = self.membership.follow().await;
            let lost = Message::Own(Event::MediaState {
                state: MediaState::Disconnected,
            });
            if messages.contains(&lost) {
                info!("the media session was lost");
                return End::MediaLost;
            }
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(ToMember::Kick(reason)) => {
                        info!(?reason, "ended by the server");
                        return End::Kicked(reason);
                    }
                    Some(ToMember::Move(whom)) => if whom == Whom::Everybody || !self.membership.is_publishing() {
                        info!("asked to move, because this node ends");
                        return End::Kicked(KickReason::Shutdown);
                    },
                    Some(ToMember::Remove(mut removal)) => if removal.concerns(Some(self.membership.key())) {
                        info!(reason = ?removal.reason, "removed by the server API");
                        return End::Kicked(removal.reason);
                    },
                    Some(ToMember::Permit(permit)) => {
                        permit.apply(Some(&mut self.membership)).await;
                    }
                    // No WebSocket knows this login, so none attaches.
                    Some(ToMember::Attach { .. } | ToMember::Detach { .. } | ToMember::Request { .. }) => {}
                    None => return End::Stopped,
                },
                request = requests.recv() => match request {
                    None => return End::Stopped,
                    Some(ToSession::Patch { if_match, credentials, reply }) => {
                        let patched = self.patch(&if_match, credentials).await;
                        let _nobody_waits = reply.send(patched);
                    }
                    Some(ToSession::End { reply }) => return End::Asked(reply),
                },
                () = self.membership.changed() => {}
            }
        }
    }

    async fn patch(&mut self, if_match: &IfMatch, credentials: Option<Credentials>) -> Result<Patched, Problem> {
        let restart = credentials.filter(|new| Some(new) != self.credentials.as_ref());
        match if_match {
            IfMatch::Missing => {
                let message = "send If-Match: the ETag with candidates, or * with an ICE restart";
                return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "no_if_match", message));
            }
            IfMatch::Tags(tags) if !tags.split(',').any(|tag| tag.trim() == self.etag) => {
                let message = "this is not the session's present ETag; ICE was restarted";
                return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "old_etag", message));
            }
            IfMatch::Any | IfMatch::Tags(_) => {}
        }
        let Some(credentials) = restart else {
            return Ok(Patched::Trickled);
        };
        let answer = self
            .membership
            .restart(fragment::restart_offer(&self.offer, &credentials))
            .await?;
        self.credentials = Some(credentials);
        self.etag = new_etag();
        Ok(Patched::Restarted {
            fragment: fragment::of_answer(&answer).ok_or_else(Problem::internal)?,
            etag: self.etag.clone(),
        })
    }
}

async fn connect(membership: &mut Membership, purpose: Purpose, offer: &Offer) -> Result<String, Problem> {
    let answer = membership
        .connect(offer.sdp.clone(), offer.lines.clone(), Client::MediaAlone)
        .await?;
    must_carry_something(offer, &answer)?;
    match purpose {
        Purpose::Publish => {
            let sent = [
                (TrackSource::Audio, &offer.lines.microphone),
                (TrackSource::Camera, &offer.lines.camera),
                (TrackSource::Screen, &offer.lines.screen),
            ];
            for (source, _) in sent.into_iter().filter(|(_, line)| line.is_some()) {
                match membership.refused(source) {
                    // The client sees it in the answer, and the room is not notified of a source that cannot come.
                    Some(line) => warn!(%source, %line, "an m-line was refused; the others are published"),
                    None => membership.publish(source, TrackState::On).await?,
                }
            }
        }
        Purpose::Watch { user, source } => membership.watch_only(VideoWant {
            user,
            source,
            max_height: None,
        }),
    }
    Ok(answer)
}

/// Errors: 406 if the answer refuses every line that the session needs.
fn must_carry_something(offer: &Offer, answer: &str) -> Result<(), Problem> {
    let refused = refused_lines(&offer.sdp, answer);
    let Lines {
        microphone,
        camera,
        screen,
        audio,
        video,
    } = &offer.lines;
    let sent = microphone.iter().chain(camera).chain(screen);
    let mut used = sent.chain(audio).chain(video);
    let is_taken = |mid: &String| !refused.iter().any(|line| line.mid == *mid);
    match refused.first() {
        Some(first) if !used.any(is_taken) => Err(codec_not_supported(first).into()),
        _ => Ok(()),
    }
}

/// Strong (RFC 9110 §8.8.3), and new with each ICE session.
fn new_etag() -> String {
    format!("\"{}\"", random_token())
}
