//! The task of a room on this node. It alone writes this node's part of the room's documents, for all who came in one
//! turn together, so that a thousand joins a second are a few hundred writes that nobody contends for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rotunda_bus::{BusError, Heard, Message, Revision, Subscription, Watch, WatchEvent};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::MembershipId;
use rotunda_proto::mix;
use rotunda_proto::room::{Holder, ROSTER_WINDOW, RosterMember, key_prefix};
use rotunda_proto::sfu::{Event, events_subject};
use rotunda_proto::signaling::{ErrorCode, MediaState, Role};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::lanes::Lanes;
use super::local_members::LocalMembers;
use super::{Entered, Entering, Room, ToRoom};
use crate::member::error_of;
use crate::room_documents::{Refused, RoomDocuments};
use crate::view::RoomState;

/// Members that come and go with one write, at most.
const BATCH: usize = 1024;
/// How long those who enter wait for the room's documents to come round.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);
/// After this the bus is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Members who may publish and are told first; more of them are told like the crowd until they have media.
const FRONT: usize = 1000;

pub struct Keeper {
    room: Arc<Room>,
    members: LocalMembers,
    /// Of the member who entered last.
    last_entered_unix_ms: u64,
    /// Left, and perhaps still in the roster's window.
    gone: Vec<MembershipId>,
    /// What the documents say, as far as they have come.
    state: RoomState,
    /// What the members know of it or will.
    lanes: Lanes,
    /// The documents are not as they should be.
    repair_at: Option<Instant>,
    /// The next cell that is kept no longer.
    expiry: Option<Expiry>,
}

/// The end of the time for which a cell is kept.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    unix_ms: u64,
    at: Instant,
}

/// What the bus tells of a room.
struct Sources {
    documents: Watch,
    mixes: Watch,
    sfu: Subscription,
}

impl Keeper {
    pub fn new(documents: RoomDocuments, inbox: mpsc::Sender<ToRoom>) -> Self {
        let state = Arc::new(RoomState::default());
        let lanes = Lanes::new(&state);
        let room = Room {
            documents,
            inbox,
            latest: watch::Sender::new(state),
            front: lanes.front(),
            sessions: Mutex::default(),
        };
        Self {
            room: Arc::new(room),
            members: LocalMembers::default(),
            last_entered_unix_ms: 0,
            gone: Vec::new(),
            state: RoomState::default(),
            lanes,
            repair_at: None,
            expiry: None,
        }
    }

    /// Runs until the last member has left.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<ToRoom>) {
        let clock = Clock;
        let mut sources = match self.watch().await {
            Ok(sources) => sources,
            // Who waits is answered by the end of this task, and tries again.
            Err(error) => return warn!(error = &error as &dyn std::error::Error, "watch a room"),
        };
        let mut own = self.room.documents.cluster.own();
        let (mut batch, mut began) = (Vec::new(), false);
        loop {
            let next = self.lanes.handle_timeout(clock.now());
            tokio::select! {
                _ = inbox.recv_many(&mut batch, BATCH) => {
                    self.handle_batch(&mut batch, &mut sources).await;
                    began = true;
                }
                event = sources.documents.next() => self.handle_document(event),
                event = sources.mixes.next() => self.handle_document(event),
                heard = sources.sfu.next() => if let Heard::Message(message) = heard {
                    self.handle_sfu(&message);
                },
                // What this node had written has been cleaned up under its incarnation of before.
                Ok(()) = own.changed() => self.repair_at = Some(clock.now()),
                () = Clock.until(next) => {}
                () = Clock.until(self.repair_at) => self.commit(Vec::new(), &mut sources).await,
                () = Clock.until(self.expiry.map(|expiry| expiry.at)) => self.drop_expired_cells().await,
            }
            self.show();
            self.follow_kept_cells();
            if began && self.members.is_empty() && self.repair_at.is_none() {
                // Who comes in this moment finds the door closed and begins the room anew.
                return inbox.close();
            }
            // Another node's member may have left a place that is for one of ours.
            if self.window_changes() && self.repair_at.is_none() {
                self.commit(Vec::new(), &mut sources).await;
            }
        }
    }

    /// Each node does this: the one that was told of the publisher's end may be gone.
    fn follow_kept_cells(&mut self) {
        let next = self.state.seats.kept.iter().map(|cell| cell.until_unix_ms).min();
        if next == self.expiry.map(|expiry| expiry.unix_ms) {
            return;
        }
        self.expiry = next.map(|unix_ms| {
            let rest = Duration::from_millis(unix_ms).saturating_sub(Clock.unix());
            Expiry {
                unix_ms,
                at: Clock.now() + rest,
            }
        });
    }

    async fn drop_expired_cells(&mut self) {
        let Some(expiry) = &mut self.expiry else { return };
        // Until the change comes round; a bus that has failed is tried again.
        expiry.at = Clock.now() + TRY_AGAIN;
        if let Err(error) = self.room.documents.drop_expired_cells(expiry.unix_ms).await {
            warn!(error = &error as &dyn std::error::Error, "give a publisher's cell up");
        }
    }

    /// Begins to follow the room and takes its documents in as they are.
    async fn watch(&mut self) -> Result<Sources, BusError> {
        let RoomDocuments { bus, room, .. } = &self.room.documents;
        let mut sources = Sources {
            documents: bus.watch(&key_prefix(room)).await?,
            mixes: bus.watch(&mix::running_key(room)).await?,
            sfu: bus.subscribe(&events_subject(room)).await?,
        };
        let snapshot = async {
            for change in sources.documents.snapshot().await {
                self.state.apply(&change);
            }
            for change in sources.mixes.snapshot().await {
                self.state.apply(&change);
            }
        };
        // While the bus is away there is no snapshot.
        let known = timeout(CATCH_UP_WITHIN, snapshot).await;
        known.map_err(|_| BusError::Timeout(key_prefix(room)))?;
        Ok(sources)
    }

    fn handle_document(&mut self, event: WatchEvent) {
        if let WatchEvent::Change(change) = event {
            self.state.apply(&change);
        }
    }

    fn handle_sfu(&mut self, message: &Message) {
        match serde_json::from_slice(&message.payload) {
            Ok(Event::Connected { session, .. }) => self.room.set_session(session, MediaState::Connected),
            Ok(Event::Disconnected { session, .. }) => self.room.set_session(session, MediaState::Disconnected),
            Ok(Event::CustomMessage { message }) => self.state.said.push(message),
            Ok(Event::Speakers { speakers }) => self.state.speakers = Arc::new(speakers),
            // Told to the session's member alone, and not here.
            Ok(
                Event::Quality { .. }
                | Event::Layers { .. }
                | Event::SpatialLayers { .. }
                | Event::Voices { .. }
                | Event::CodecNotSupported { .. },
            ) => {}
            Err(error) => debug!(%error, "an event of the SFU was not understood"),
        }
    }

    /// Gives the members the state that is known now.
    fn show(&mut self) {
        if self.state != **self.lanes.state() {
            self.state.number += 1;
            let state = Arc::new(self.state.clone());
            self.lanes.set_state(state.clone());
            self.room.latest.send_replace(state);
        }
    }

    async fn handle_batch(&mut self, batch: &mut Vec<ToRoom>, sources: &mut Sources) {
        let (mut entering, mut leaving) = (Vec::new(), Vec::new());
        for message in batch.drain(..) {
            match message {
                ToRoom::Enter(one) => entering.push(*one),
                ToRoom::Leave { member, left } => {
                    self.members.remove(&member);
                    self.gone.push(member.holder.membership);
                    leaving.push(left);
                }
            }
        }
        self.commit(entering, sources).await;
        leaving.into_iter().for_each(tell_left);
    }

    /// Writes who is here now. Who enters is let in when all of it is written, or not at all.
    async fn commit(&mut self, entering: Vec<Entering>, sources: &mut Sources) {
        self.repair_at = None;
        let mut admitted = Vec::new();
        match self.write(entering, &mut admitted).await {
            Ok(revision) => {
                self.catch_up(revision, sources).await;
                self.show();
                admitted.into_iter().for_each(|one| self.let_in(one));
            }
            Err(refused) => {
                let code = match refused {
                    Refused::Code(code) => code,
                    Refused::Bus(error) => {
                        warn!(error = &error as &dyn std::error::Error, "write who is in a room");
                        error_of(&error)
                    }
                };
                for Admitted { member, entering } in admitted {
                    self.members.remove(&member);
                    self.gone.push(member.holder.membership);
                    refuse(entering, code);
                }
                if let Err(error) = self.write(Vec::new(), &mut Vec::new()).await {
                    warn!(error = &error as &dyn std::error::Error, "take back who did not get in");
                    self.repair_at = Some(Clock.now() + TRY_AGAIN);
                }
            }
        }
    }

    /// Answers the newest revision of what was written. `admitted`: filled also when it fails.
    async fn write(&mut self, entering: Vec<Entering>, admitted: &mut Vec<Admitted>) -> Result<Revision, Refused> {
        let documents = &self.room.documents;
        let (first, last) = (self.members.is_empty(), self.members.is_empty() && entering.is_empty());
        let opened_at = if last { documents.opened_at().await? } else { None };
        let counted = match documents.count(self.members.count(), entering.len() as u64).await {
            Ok(counted) => counted,
            Err(error) => {
                let code = error_of(&error);
                entering.into_iter().for_each(|one| refuse(one, code));
                return Err(error.into());
            }
        };
        let node = documents.cluster.incarnation();
        let kept = match entering.is_empty() {
            true => Vec::new(),
            // A publisher who comes back is late for the old place, at worst.
            false => documents.kept_cells().await.unwrap_or_default(),
        };
        let mut newest = counted.revision;
        for (index, entering) in entering.into_iter().enumerate() {
            if index as u64 >= counted.admitted {
                refuse(entering, ErrorCode::RoomFull);
                continue;
            }
            // One after the other, also in one millisecond.
            let now = Clock.unix().as_millis() as u64;
            self.last_entered_unix_ms = now.max(self.last_entered_unix_ms + 1);
            let before = kept
                .iter()
                .find(|cell| cell.user == entering.user && cell.until_unix_ms > now);
            let member = RosterMember {
                user: entering.user.clone(),
                entered_unix_ms: before.map_or(self.last_entered_unix_ms, |cell| cell.entered_unix_ms),
                holder: Holder {
                    membership: MembershipId(rand::random()),
                    node: node.clone(),
                },
            };
            self.members.insert(member.clone());
            admitted.push(Admitted { member, entering });
        }
        if first && !admitted.is_empty() {
            newest = newest.max(documents.open(self.last_entered_unix_ms).await?);
        }
        if self.window_changes() || last {
            let present: Vec<RosterMember> = self.members.earliest(&node).collect();
            newest = newest.max(documents.show(&present, &self.gone).await?);
        }
        self.gone.clear();
        if let Some(opened_at) = opened_at
            && counted.total == 0
        {
            documents.close(opened_at).await?;
            documents.drop_expired_cells(u64::MAX).await?;
        }
        Ok(newest.unwrap_or(Revision(0)))
    }

    /// Takes changes in until those just written are among them.
    async fn catch_up(&mut self, revision: Revision, sources: &mut Sources) {
        let follow = async {
            while let Some(event) = sources.documents.try_next() {
                self.handle_document(event);
            }
            while self.state.revision < revision {
                let event = sources.documents.next().await;
                self.handle_document(event);
            }
        };
        if timeout(CATCH_UP_WITHIN, follow).await.is_err() {
            warn!("the room's documents are slow to come round");
        }
    }

    /// Whether the roster's window is not what this node's members make of it.
    fn window_changes(&self) -> bool {
        let roster = &self.state.roster.members;
        let is_there = |id: &MembershipId| roster.iter().any(|member| member.holder.membership == *id);
        // A newer login of the same user, by whichever node, is in its place.
        let shown = |member: &RosterMember| {
            roster.iter().any(|other| {
                other.holder == member.holder
                    || (other.user == member.user && other.entered_unix_ms > member.entered_unix_ms)
            })
        };
        let node = self.room.documents.cluster.incarnation();
        let last = roster.last().filter(|_| roster.len() >= ROSTER_WINDOW);
        let belongs = |member: &RosterMember| {
            last.is_none_or(|last| (member.entered_unix_ms, &member.user) < (last.entered_unix_ms, &last.user))
        };
        self.gone.iter().any(is_there)
            || self
                .members
                .earliest(&node)
                .take_while(belongs)
                .any(|member| !shown(&member))
    }

    fn let_in(&mut self, Admitted { member, entering }: Admitted) {
        let front = entering.role == Role::Anchor && self.lanes.front_members() < FRONT;
        let bulletins = if front {
            self.lanes.join_front()
        } else {
            self.lanes.join_crowd()
        };
        let entered = Entered {
            room: self.room.clone(),
            member: member.clone(),
            state: self.lanes.state().clone(),
            bulletins,
            place: None,
        };
        if entering.entered.send(Ok(entered)).is_err() {
            // Whoever it was has gone while waiting; its place is given back with the next write.
            self.members.remove(&member);
            self.gone.push(member.holder.membership);
            self.repair_at = Some(Clock.now());
        }
    }
}

/// Counted in, and not told yet.
struct Admitted {
    member: RosterMember,
    entering: Entering,
}

fn refuse(entering: Entering, code: ErrorCode) {
    let _gone_meanwhile = entering.entered.send(Err(Refused::Code(code)));
}

fn tell_left(left: oneshot::Sender<()>) {
    let _gone_meanwhile = left.send(());
}
