//! The task of a room on this node: a hub between the members, the bus and the groups in which members are notified.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rotunda_bus::lease::Own;
use rotunda_proto::clock::Clock;
use rotunda_proto::signaling::{ErrorCode, Role};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::feed::{Feed, SessionNews};
use super::gate::Gate;
use super::kept_cells::KeptCells;
use super::notification_groups::NotificationGroups;
use super::presence::{Admitted, Presence, refuse};
use super::waiting::{Knocking, WaitingHere};
use super::{Entered, Entering, Room, SessionMedia, ToRoom};
use crate::member::error_of;
use crate::room_documents::{Refused, RoomDocuments};
use crate::session_events::SessionEvents;
use crate::view::RoomState;

/// Most members that one write counts in and out.
const BATCH: usize = 1024;
/// After this time the bus is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Most members who are notified first because they may publish. Further ones are in the crowd until they have media.
const FRONT: usize = 1000;

struct RoomTask {
    room: Arc<Room>,
    presence: Presence,
    /// The state by the documents that have arrived.
    feed: Feed,
    /// The groups in which the members are notified.
    groups: NotificationGroups,
    kept_cells: KeptCells,
    waiting: WaitingHere,
    /// When this node's part of the documents is written again, after a failed write.
    repair_at: Option<Instant>,
    /// The incarnation under which this node is known.
    own: watch::Receiver<Own>,
}

/// Runs until the last member has left. `inbox`: the way to `queue`, for members who leave.
pub async fn run(
    documents: RoomDocuments,
    session_events: Arc<SessionEvents>,
    inbox: mpsc::Sender<ToRoom>,
    queue: mpsc::Receiver<ToRoom>,
) {
    match Feed::open(documents.clone()).await {
        Ok(feed) => {
            let rooms = metrics::gauge!("rotunda_signaling_rooms");
            rooms.increment(1.0);
            RoomTask::new(documents, session_events, inbox, feed).run(queue).await;
            rooms.decrement(1.0);
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "watch a room");
            refuse_all(queue, error_of(&error)).await;
        }
    }
}

impl RoomTask {
    fn new(
        documents: RoomDocuments,
        session_events: Arc<SessionEvents>,
        inbox: mpsc::Sender<ToRoom>,
        feed: Feed,
    ) -> Self {
        let state = Arc::new(RoomState::default());
        let groups = NotificationGroups::new(&state);
        let mut own = documents.cluster.own();
        own.mark_unchanged();
        let waiting = WaitingHere::new(documents.clone(), inbox.clone());
        let room = Room {
            documents: documents.clone(),
            inbox,
            waiting_room: waiting.shown(),
            latest: watch::Sender::new(state),
            front: groups.front(),
            sessions: Mutex::default(),
            losses: watch::Sender::new(()),
            session_events,
        };
        Self {
            room: Arc::new(room),
            presence: Presence::new(documents),
            feed,
            groups,
            kept_cells: KeptCells::default(),
            waiting,
            repair_at: None,
            own,
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<ToRoom>) {
        let clock = Clock;
        let (mut batch, mut began) = (Vec::new(), false);
        loop {
            let next = self.groups.handle_timeout(clock.now());
            tokio::select! {
                _ = inbox.recv_many(&mut batch, BATCH) => {
                    self.handle_batch(&mut batch).await;
                    began = true;
                }
                news = self.feed.changed() => if let Some(news) = news {
                    self.handle_news(news);
                },
                // Other nodes have removed the entries of this node's earlier incarnation.
                Ok(()) = self.own.changed() => self.repair_at = Some(clock.now()),
                () = Clock.until(next) => {}
                () = Clock.until(self.repair_at) => self.commit(Vec::new()).await,
                () = Clock.until(self.kept_cells.due_at()) => self.drop_expired_cells().await,
                () = Clock.until(self.waiting.due()) => {}
            }
            while let Some(news) = self.feed.poll_news() {
                self.handle_news(news);
            }
            self.waiting.follow(&mut self.feed).await;
            self.show();
            self.kept_cells
                .handle_seats(clock.now(), clock.unix(), &self.feed.state().seats);
            if began && self.presence.is_empty() && self.waiting.is_empty() && self.repair_at.is_none() {
                // A member who enters now finds the inbox closed and starts the room's task again.
                return inbox.close();
            }
            // Another node's member may have left the roster's window, and a member of this node moves up.
            if self.presence.window_changes(&self.feed.state().roster) && self.repair_at.is_none() {
                self.commit(Vec::new()).await;
            }
        }
    }

    fn handle_news(&self, news: SessionNews) {
        match news {
            SessionNews::State { session, state } => {
                let messages = self.feed.state().messages.count();
                self.room.set_session(session, SessionMedia { state, messages });
            }
            SessionNews::Lost => self.room.lose_events(),
        }
    }

    /// Publishes the newest state to the members.
    fn show(&mut self) {
        if *self.feed.state() != **self.groups.state() {
            self.feed.count_up();
            let state = Arc::new(self.feed.state().clone());
            self.groups.set_state(state.clone());
            self.room.latest.send_replace(state);
        }
    }

    async fn handle_batch(&mut self, batch: &mut Vec<ToRoom>) {
        let (mut entering, mut leaving, mut knocking, mut stopping) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for message in batch.drain(..) {
            match message {
                ToRoom::Enter(one) => match self.gate(&one) {
                    Gate::Open => entering.push(*one),
                    Gate::Closed => refuse(*one, ErrorCode::AdmissionRequired),
                },
                ToRoom::Leave { member, seats, left } => {
                    self.presence.leave(member, seats);
                    leaving.push(left);
                }
                ToRoom::Knock(one) => knocking.push(*one),
                ToRoom::StopWaiting { id, stopped } => {
                    self.waiting.leave(id);
                    stopping.push(stopped);
                }
            }
        }
        if !entering.is_empty() || !leaving.is_empty() {
            self.commit(entering).await;
        }
        leaving.into_iter().for_each(tell_left);
        // Also writes that users have stopped waiting.
        if !knocking.is_empty() || !stopping.is_empty() {
            self.waiting.knock(knocking, &mut self.feed).await;
        }
        stopping.into_iter().for_each(tell_left);
    }

    fn gate(&self, entering: &Entering) -> Gate {
        let info = self.feed.state().info.as_deref();
        entering.way.gate(&entering.user, self.feed.waiting_room(), info)
    }

    /// Writes the members who are here now. Entering members are admitted after every document was written, or refused.
    async fn commit(&mut self, entering: Vec<Entering>) {
        self.repair_at = None;
        if let Err(error) = self.presence.release_seats().await {
            warn!(
                error = &error as &dyn std::error::Error,
                "release the seats of members who have left; it is tried again"
            );
            self.repair_at = Some(Clock.now() + TRY_AGAIN);
        }
        let mut admitted = Vec::new();
        let roster = self.feed.state().roster.clone();
        match self.presence.write(&roster, entering, &mut admitted).await {
            Ok(written) => {
                self.feed.catch_up(written).await;
                self.show();
                admitted.into_iter().for_each(|one| self.admit(one));
            }
            Err(refused) => {
                let code = match refused {
                    Refused::Code(code) => code,
                    Refused::Bus(error) => {
                        warn!(error = &error as &dyn std::error::Error, "write the members of a room");
                        error_of(&error)
                    }
                };
                for Admitted { member, entering } in admitted {
                    self.presence.remove(member);
                    refuse(entering, code);
                }
                if let Err(error) = self.presence.write(&roster, Vec::new(), &mut Vec::new()).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "remove members who could not enter"
                    );
                    self.repair_at = Some(Clock.now() + TRY_AGAIN);
                }
            }
        }
    }

    async fn drop_expired_cells(&mut self) {
        let Some(unix_ms) = self.kept_cells.poll_expired(Clock.now()) else {
            return;
        };
        if let Err(error) = self.room.documents.drop_expired_cells(unix_ms).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "remove the kept cell of a publisher"
            );
        }
    }

    fn admit(&mut self, Admitted { member, entering }: Admitted) {
        let front = entering.role == Role::Anchor && self.groups.front_members() < FRONT;
        let bulletins = if front {
            self.groups.join_front()
        } else {
            self.groups.join_crowd()
        };
        let entered = Entered {
            room: self.room.clone(),
            member: member.clone(),
            state: self.groups.state().clone(),
            bulletins,
            capacity: None,
        };
        if entering.entered.send(Ok(entered)).is_err() {
            // The member has left while waiting; the next write removes them again.
            self.presence.remove(member);
            self.repair_at = Some(Clock.now());
        }
    }
}

/// Answers members who wait for a room that cannot be followed.
async fn refuse_all(mut queue: mpsc::Receiver<ToRoom>, code: ErrorCode) {
    queue.close();
    while let Some(message) = queue.recv().await {
        match message {
            ToRoom::Enter(entering) => refuse(*entering, code),
            ToRoom::Knock(knocking) => refuse_knock(*knocking, code),
            ToRoom::Leave { left, .. } | ToRoom::StopWaiting { stopped: left, .. } => tell_left(left),
        }
    }
}

fn refuse_knock(knocking: Knocking, code: ErrorCode) {
    let _gone_meanwhile = knocking.knocked.send(Err(Refused::Code(code)));
}

fn tell_left(left: oneshot::Sender<()>) {
    let _gone_meanwhile = left.send(());
}
