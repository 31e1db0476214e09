//! The waiting room of a room, for the users of this node who wait and the moderators of this node who watch it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_bus::BusError;
use rotunda_events::What;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MembershipId, UserId};
use rotunda_proto::room::Holder;
use rotunda_proto::signaling::ErrorCode;
use rotunda_proto::waiting_room::{EntryAnswer, WaitingRoom};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::feed::{Feed, Written};
use super::gate::{Gate, Way};
use super::waiters::{Ended, Outcome, Waiters};
use super::{Capacity, ToRoom};
use crate::member::error_of;
use crate::room_documents::{Refused, RoomDocuments};

/// After this time the bus is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Moderators are told of changes at this interval.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// A user who asks to be admitted.
pub struct Knocking {
    pub user: UserId,
    pub way: Way,
    pub knocked: oneshot::Sender<Result<Knocked, Refused>>,
}

pub enum Knocked {
    /// They may enter.
    Open,
    Waits(Wait),
}

/// The place of a user in the waiting room.
pub struct Wait {
    id: MembershipId,
    inbox: mpsc::Sender<ToRoom>,
    outcome: watch::Receiver<Outcome>,
    /// Released when the user does not wait any more.
    pub capacity: Option<Capacity>,
}

impl Wait {
    /// Resolves when the user was answered. Cancel-safe.
    pub async fn answered(&mut self) -> EntryAnswer {
        loop {
            if let Outcome::Answered(answer) = *self.outcome.borrow_and_update() {
                return answer;
            }
            if self.outcome.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Gives the place up. Returns when nobody sees the user any more. While the bus is away the document follows later.
    pub async fn stop(self) {
        let (stopped, done) = oneshot::channel();
        let stop = ToRoom::StopWaiting { id: self.id, stopped };
        if self.inbox.send(stop).await.is_ok() {
            let _done_or_ended = done.await;
        }
    }
}

pub struct WaitingHere {
    documents: RoomDocuments,
    inbox: mpsc::Sender<ToRoom>,
    waiters: Waiters,
    /// The number of waiters in the gauge.
    counted: usize,
    /// When the document is written again, after a failed write.
    repair_at: Option<Instant>,
    shown: watch::Sender<Arc<WaitingRoom>>,
    /// Not before this time moderators are told of the next change.
    show_at: Option<Instant>,
}

impl WaitingHere {
    pub fn new(documents: RoomDocuments, inbox: mpsc::Sender<ToRoom>) -> Self {
        Self {
            documents,
            inbox,
            waiters: Waiters::default(),
            counted: 0,
            repair_at: None,
            shown: watch::Sender::default(),
            show_at: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// The document, for moderators.
    pub fn shown(&self) -> watch::Sender<Arc<WaitingRoom>> {
        self.shown.clone()
    }

    /// When [`follow`](Self::follow) has something to do besides changes of the document.
    pub fn due(&self) -> Option<Instant> {
        [self.repair_at, self.show_at].into_iter().flatten().min()
    }

    pub fn leave(&mut self, id: MembershipId) {
        if let Some(ended) = self.waiters.leave(id) {
            self.tell_end(ended);
        }
    }

    /// Lists users who have knocked, and answers them when the document shows them.
    pub async fn knock(&mut self, all: Vec<Knocking>, feed: &mut Feed) {
        let mut listed = Vec::new();
        let node = self.documents.cluster.incarnation();
        for Knocking { user, way, knocked } in all {
            if way.gate(&user, feed.waiting_room(), feed.state().info.as_deref()) == Gate::Open {
                let _gone_meanwhile = knocked.send(Ok(Knocked::Open));
                continue;
            }
            let id = MembershipId(rand::random());
            let holder = Holder {
                membership: id,
                node: node.clone(),
            };
            let now = Clock.unix().as_millis() as u64;
            let outcome = self.waiters.knock(user.clone(), now, holder, way.demand);
            listed.push((id, user, outcome, knocked));
        }
        let written = self.write(feed).await;
        for (id, user, outcome, knocked) in listed {
            let answer = match &written {
                Ok(()) if self.waiters.waits(id) || *outcome.borrow() != Outcome::Waits => {
                    self.tell(What::Knocked { user, membership: id });
                    Ok(Knocked::Waits(Wait {
                        id,
                        inbox: self.inbox.clone(),
                        outcome,
                        capacity: None,
                    }))
                }
                Ok(()) => Err(Refused::Code(ErrorCode::WaitingRoomFull)),
                Err(code) => {
                    let _nobody_has_seen_them = self.waiters.leave(id);
                    Err(Refused::Code(*code))
                }
            };
            // One who has gone meanwhile is found by the closed channel of the outcome.
            let _gone_meanwhile = knocked.send(answer);
        }
    }

    /// Follows the document: tells users their answers, and moderators what has changed.
    pub async fn follow(&mut self, feed: &mut Feed) {
        let now = Clock.now();
        for ended in self.waiters.handle_document(feed.waiting_room()) {
            self.tell_end(ended);
        }
        self.repair_at = self.repair_at.filter(|at| *at > now);
        if self.repair_at.is_none() && self.waiters.is_due(feed.waiting_room()) {
            let _logged_and_tried_again = self.write(feed).await;
        }
        self.show(now, feed.waiting_room());
        let (before, after) = (self.counted, self.waiters.count());
        if before != after {
            gauge!("rotunda_signaling_waiting_users").increment(after as f64 - before as f64);
            self.counted = after;
        }
    }

    fn show(&mut self, now: Instant, document: &Arc<WaitingRoom>) {
        self.show_at = self.show_at.filter(|at| *at > now);
        let is_known = *self.shown.borrow() == *document;
        if !is_known && self.show_at.is_none() {
            self.shown.send_replace(document.clone());
            self.show_at = Some(now + SHOW_EVERY);
        }
    }

    /// Writes this node's users, if the document is not as they need it. Errors: it is tried again.
    async fn write(&mut self, feed: &mut Feed) -> Result<(), ErrorCode> {
        if !self.waiters.is_due(feed.waiting_room()) {
            return Ok(());
        }
        match self.try_write().await {
            Ok(written) => {
                feed.catch_up(written).await;
                for ended in self.waiters.handle_document(feed.waiting_room()) {
                    self.tell_end(ended);
                }
                Ok(())
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "write the waiting room");
                self.repair_at = Some(Clock.now() + TRY_AGAIN);
                Err(error_of(&error))
            }
        }
    }

    async fn try_write(&mut self) -> Result<Written, BusError> {
        let node = self.documents.cluster.incarnation();
        let waiters = &mut self.waiters;
        let merge = |document: &WaitingRoom| waiters.merged(document, &node);
        let (written, revision) = self.documents.list_waiting(merge).await?;
        self.waiters.handle_written(&written);
        Ok(Written {
            waiting: revision,
            ..Written::default()
        })
    }

    fn tell_end(&self, ended: Ended) {
        let Ended { user, id, outcome, by } = ended;
        counter!("rotunda_signaling_knocks_total", "outcome" => outcome.as_str()).increment(1);
        self.tell(What::KnockEnded {
            user,
            membership: id,
            outcome,
            by,
        });
    }

    fn tell(&self, what: What) {
        self.documents.facts.tell(&self.documents.room, what);
    }
}

impl Drop for WaitingHere {
    fn drop(&mut self) {
        if self.counted > 0 {
            gauge!("rotunda_signaling_waiting_users").decrement(self.counted as f64);
        }
    }
}
