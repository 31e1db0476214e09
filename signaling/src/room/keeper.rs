//! The task of a room on this node. It alone writes this node's part of the room's documents, for all who came in one
//! turn together, so that a thousand joins a second are a few hundred writes that nobody contends for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::counter;
use rotunda_proto::bus::{BusError, Change, Revision};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SessionId, UserId};
use rotunda_proto::mix;
use rotunda_proto::room::{ROSTER_WINDOW, RosterMember, key_prefix};
use rotunda_proto::sfu::{Event, events_subject};
use rotunda_proto::signaling::{ErrorCode, MediaState, Role};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::lanes::Lanes;
use super::local_members::LocalMembers;
use super::{Entered, Entering, Room, SessionNews, ToRoom};
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
    gone: Vec<UserId>,
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
    documents: mpsc::Receiver<Change>,
    mixes: mpsc::Receiver<Change>,
    sfu: mpsc::Receiver<Bytes>,
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
        let (mut batch, mut began) = (Vec::new(), false);
        loop {
            let next = self.lanes.handle_timeout(clock.now());
            tokio::select! {
                _ = inbox.recv_many(&mut batch, BATCH) => {
                    self.handle_batch(&mut batch, &mut sources).await;
                    began = true;
                }
                change = sources.documents.recv() => match change {
                    Some(change) => self.state.apply(&change),
                    None => sources = self.watch_again().await,
                },
                change = sources.mixes.recv() => match change {
                    Some(change) => self.handle_mix(&change),
                    None => sources = self.watch_again().await,
                },
                Some(event) = sources.sfu.recv() => self.handle_sfu(&event),
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
        // What is not there any more is not told, so nothing of before is kept.
        self.state = RoomState {
            number: self.state.number,
            speakers: self.state.speakers.clone(),
            said: self.state.said.clone(),
            ..RoomState::default()
        };
        while let Ok(change) = sources.documents.try_recv() {
            self.state.apply(&change);
        }
        while let Ok(change) = sources.mixes.try_recv() {
            self.handle_mix(&change);
        }
        Ok(sources)
    }

    /// The bus has closed a watcher that was too far behind.
    async fn watch_again(&mut self) -> Sources {
        counter!("rotunda_signaling_watches_lost_total").increment(1);
        loop {
            match self.watch().await {
                Ok(sources) => return sources,
                Err(error) => warn!(error = &error as &dyn std::error::Error, "watch a room again"),
            }
            Clock.sleep_until(Clock.now() + TRY_AGAIN).await;
        }
    }

    fn handle_mix(&mut self, change: &Change) {
        // The prefix of room 10 is one of room 1001 too.
        if change.key == mix::running_key(&self.room.documents.room) {
            self.state.apply(change);
        }
    }

    fn handle_sfu(&mut self, event: &[u8]) {
        match serde_json::from_slice(event) {
            Ok(Event::Connected { session, .. }) => self.handle_session(session, MediaState::Connected),
            Ok(Event::Disconnected { session, .. }) => self.handle_session(session, MediaState::Disconnected),
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

    fn handle_session(&self, session: SessionId, state: MediaState) {
        let said = self.state.said.count();
        self.room.set_session(session, SessionNews { state, said });
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
                    self.gone.push(member.user);
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
                        ErrorCode::Internal
                    }
                };
                for Admitted { member, entering } in admitted {
                    self.members.remove(&member);
                    self.gone.push(member.user);
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
                entering.into_iter().for_each(|one| refuse(one, ErrorCode::Internal));
                return Err(error.into());
            }
        };
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
            };
            self.members.insert(member.clone());
            admitted.push(Admitted { member, entering });
        }
        if first && !admitted.is_empty() {
            newest = newest.max(documents.open(self.last_entered_unix_ms).await?);
        }
        if self.window_changes() || last {
            let present: Vec<RosterMember> = self.members.earliest().collect();
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
            while let Ok(change) = sources.documents.try_recv() {
                self.state.apply(&change);
            }
            while self.state.revision < revision {
                match sources.documents.recv().await {
                    Some(change) => self.state.apply(&change),
                    None => *sources = self.watch_again().await,
                }
            }
        };
        if timeout(CATCH_UP_WITHIN, follow).await.is_err() {
            warn!("the room's documents are slow to come round");
        }
    }

    /// Whether the roster's window is not what this node's members make of it.
    fn window_changes(&self) -> bool {
        let roster = &self.state.roster.members;
        let shown = |user: &UserId| roster.iter().any(|member| member.user == *user);
        let last = roster.last().filter(|_| roster.len() >= ROSTER_WINDOW);
        let belongs = |member: &RosterMember| {
            last.is_none_or(|last| (member.entered_unix_ms, &member.user) < (last.entered_unix_ms, &last.user))
        };
        self.gone.iter().any(shown)
            || self
                .members
                .earliest()
                .take_while(belongs)
                .any(|member| !shown(&member.user))
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
            self.gone.push(member.user);
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
