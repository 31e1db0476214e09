//! The move of a member's session away from an SFU node that drains.
//!
//! The node asks for it, and the client is told. Its next offer opens a session at another node, while the former one goes on. When the new
//! one is connected, it publishes. The former one is closed a moment later, and its node is told where the member is.

use std::time::{Duration, Instant};

use rotunda_bus::{BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, SessionId};
use rotunda_proto::sfu::{Client, Command, Moved, Reply};
use rotunda_proto::signaling::{Event, MediaState};
use tracing::info;

use super::Media;
use crate::member::session::Session;

/// The client changes over to the new session within this time.
const OVERLAP: Duration = Duration::from_secs(1);

/// A move that was asked for.
#[derive(Debug)]
pub struct Moving {
    /// The session that is to move, and its node.
    session: SessionId,
    sfu: String,
    node: Option<NodeId>,
    asked_at: Instant,
    /// When it ended; None: it goes on.
    ended_at: Option<Instant>,
}

/// The session that a member moves away from.
pub struct Former {
    pub session: Session,
    /// When it is closed, and what its node is told. None: the new session is not connected yet.
    close: Option<(Instant, Moved)>,
}

impl Moving {
    /// `node`: that of the session.
    pub fn new(session: &Session, node: Option<NodeId>) -> Self {
        Self {
            session: session.id,
            sfu: session.sfu.clone(),
            node,
            asked_at: Clock.now(),
            ended_at: None,
        }
    }

    pub fn is_of(&self, session: &Session) -> bool {
        self.session == session.id
    }

    /// The node of the session, as long as that goes on. Afterwards the node answers for itself: it may have started again.
    pub fn leaving(&self) -> Option<NodeId> {
        self.node.clone().filter(|_| self.ended_at.is_none())
    }

    /// The session has ended before another one was connected.
    pub fn handle_end(&mut self) {
        self.ended_at.get_or_insert_with(|| Clock.now());
    }

    /// Another session is connected, at this node.
    pub fn arrived(&self, node: NodeId) -> Moved {
        let now = Clock.now();
        let since = |at: Instant| now.saturating_duration_since(at).as_millis() as u64;
        let moved = Moved {
            node,
            took_ms: since(self.asked_at),
            pause_ms: self.ended_at.map(since).unwrap_or_default(),
        };
        info!(node = %moved.node, took_ms = moved.took_ms, pause_ms = moved.pause_ms, "media has moved");
        moved
    }

    /// Tells the former node of a session that has ended there.
    pub fn tell(&self, bus: SharedBus, moved: Moved) {
        let sfu = self.sfu.clone();
        let command = Command::Close {
            session: self.session,
            moved: Some(moved),
        };
        tokio::spawn(async move {
            // A node that has ended needs no report any more.
            let _told_or_ended = bus.call::<_, Reply>(&sfu, &command).await;
        });
    }
}

impl Former {
    pub fn new(session: Session) -> Self {
        Self { session, close: None }
    }

    pub fn handle_arrival(&mut self, moved: Moved) {
        self.close = Some((Clock.now() + OVERLAP, moved));
    }

    pub fn close_at(&self) -> Option<Instant> {
        self.close.as_ref().map(|(at, _)| *at)
    }

    pub fn moved(&self) -> Option<Moved> {
        self.close.as_ref().map(|(_, moved)| moved.clone())
    }
}

impl Media {
    pub(super) fn is_to_move(&self, session: &Session) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.is_of(session))
    }

    /// The session that media goes on: while the member moves, the former one until the present one is connected.
    pub(super) fn active(&self) -> Option<&Session> {
        match (&self.session, &self.former) {
            (Some(session), Some(former)) if !session.is_connected() => Some(&former.session),
            (session, _) => session.as_ref(),
        }
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut Session> {
        match (&mut self.session, &mut self.former) {
            (Some(session), Some(former)) if !session.is_connected() => Some(&mut former.session),
            (session, _) => session.as_mut(),
        }
    }

    /// Ends the session for another one. A session that is to move goes on until that one is connected.
    pub(super) async fn make_way(&mut self) {
        let moves = self
            .session
            .take_if(|session| session.is_connected() && self.moving.as_ref().is_some_and(|it| it.is_of(session)));
        match moves {
            Some(session) => {
                self.close_former().await;
                self.former = Some(Former::new(session));
            }
            None if self.former.as_ref().is_some_and(|former| former.moved().is_none()) => self.close_present().await,
            None => self.close().await,
        }
    }

    /// The node of the session ends soon. Answers what the client is told.
    pub(super) fn handle_move_wanted(&mut self) -> Event {
        let Some(session) = &self.session else {
            return Event::MoveMedia {};
        };
        match self.client {
            Client::Signaled => {
                if !self.is_to_move(session) {
                    self.moving = Some(Moving::new(session, self.last_node.clone()));
                }
                Event::MoveMedia {}
            }
            // This client cannot be told: its session ends, and it makes another one.
            Client::MediaAlone => Event::MediaState {
                state: MediaState::Disconnected,
            },
        }
    }

    /// The former session has ended while the present one is not connected yet: media pauses from now on.
    pub(super) fn note_end_of_former(&mut self) {
        let goes_on = |former: &Former| former.moved().is_some() || former.session.is_connected();
        if let Some(moving) = &mut self.moving
            && self.former.as_ref().is_some_and(|former| !goes_on(former))
        {
            moving.handle_end();
        }
    }

    /// The session is connected. If the member moves, it publishes from now on.
    pub(super) fn handle_arrival(&mut self) {
        let (Some(session), Some(node)) = (&mut self.session, &self.last_node) else {
            return;
        };
        let Some(moving) = self.moving.take_if(|moving| !moving.is_of(session)) else {
            return;
        };
        let moved = moving.arrived(node.clone());
        match &mut self.former {
            Some(former) => {
                session.ingress.set(Clock.now(), former.session.ingress.value().clone());
                former.handle_arrival(moved);
            }
            None => moving.tell(self.room.documents.bus.clone(), moved),
        }
    }

    /// Closes the session that the member has moved away from, when its time is over.
    pub async fn follow_move(&mut self) {
        let due = self.former.as_ref().and_then(Former::close_at);
        if due.is_some_and(|due| due <= Clock.now()) {
            self.close_former().await;
        }
    }

    pub(super) async fn close_former(&mut self) {
        if let Some(former) = self.former.take() {
            let Session { id, sfu, .. } = &former.session;
            self.close_at(*id, sfu, former.moved()).await;
            self.room.forget_session(*id);
        }
    }
}
