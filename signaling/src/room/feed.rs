//! Follows a room on the bus: its documents, its mix and the SFU's events, as one state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::counter;
use rotunda_proto::bus::{BusError, Change, Revision};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SessionId;
use rotunda_proto::mix;
use rotunda_proto::room::key_prefix;
use rotunda_proto::sfu::{Event, events_subject};
use rotunda_proto::signaling::MediaState;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::room_documents::RoomDocuments;
use crate::view::RoomState;

/// Most time that entering members wait until the watch delivers the documents that were written for them.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);
/// If a watch cannot be opened, the next attempt comes after this time.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

pub struct Feed {
    documents: RoomDocuments,
    state: RoomState,
    watches: Watches,
    /// When a lost watch is opened again, after a failed attempt.
    open_at: Option<Instant>,
}

struct Watches {
    documents: mpsc::Receiver<Change>,
    mixes: mpsc::Receiver<Change>,
    sfu: mpsc::Receiver<Bytes>,
}

/// The SFU reports that a session's media is connected or has ended.
pub struct SessionState {
    pub session: SessionId,
    pub state: MediaState,
}

impl Feed {
    /// Begins to follow the room, and reads its documents.
    pub async fn open(documents: RoomDocuments) -> Result<Self, BusError> {
        let watches = Watches::open(&documents).await?;
        let mut feed = Self {
            documents,
            state: RoomState::default(),
            watches,
            open_at: None,
        };
        feed.read_present_documents();
        Ok(feed)
    }

    /// The state by everything that has arrived.
    pub fn state(&self) -> &RoomState {
        &self.state
    }

    /// Counts a state that members are notified of.
    pub fn count_up(&mut self) {
        self.state.number += 1;
    }

    /// Applies the next change. Answers a change that concerns only one session. Cancel-safe.
    pub async fn changed(&mut self) -> Option<SessionState> {
        tokio::select! {
            change = self.watches.documents.recv() => match change {
                Some(change) => self.state.apply(&change),
                None => self.open_again().await,
            },
            change = self.watches.mixes.recv() => match change {
                Some(change) => self.handle_mix(&change),
                None => self.open_again().await,
            },
            Some(event) = self.watches.sfu.recv() => return self.handle_sfu(&event),
        }
        None
    }

    /// Applies changes until this revision has arrived, for at most a second.
    pub async fn catch_up(&mut self, revision: Revision) {
        let follow = async {
            while let Ok(change) = self.watches.documents.try_recv() {
                self.state.apply(&change);
            }
            while self.state.revision < revision {
                match self.watches.documents.recv().await {
                    Some(change) => self.state.apply(&change),
                    None => self.open_again().await,
                }
            }
        };
        if timeout(CATCH_UP_WITHIN, follow).await.is_err() {
            warn!("the watch of a room is slow: its own documents have not arrived");
        }
    }

    /// The bus has closed a watch that was too slow.
    async fn open_again(&mut self) {
        loop {
            // It is kept here, as a caller may drop this future and call again.
            if let Some(at) = self.open_at {
                Clock.sleep_until(at).await;
            }
            match Watches::open(&self.documents).await {
                Ok(watches) => {
                    counter!("rotunda_signaling_watches_lost_total").increment(1);
                    (self.watches, self.open_at) = (watches, None);
                    // A watch does not report documents that are gone, so none of the old state is kept.
                    self.state = RoomState {
                        number: self.state.number,
                        speakers: self.state.speakers.clone(),
                        messages: self.state.messages.clone(),
                        ..RoomState::default()
                    };
                    return self.read_present_documents();
                }
                Err(error) => warn!(error = &error as &dyn std::error::Error, "watch a room again"),
            }
            self.open_at = Some(Clock.now() + OPEN_AGAIN);
        }
    }

    fn read_present_documents(&mut self) {
        while let Ok(change) = self.watches.documents.try_recv() {
            self.state.apply(&change);
        }
        while let Ok(change) = self.watches.mixes.try_recv() {
            self.handle_mix(&change);
        }
    }

    fn handle_mix(&mut self, change: &Change) {
        // The prefix of room 10 is one of room 1001 too.
        if change.key == mix::running_key(&self.documents.room) {
            self.state.apply(change);
        }
    }

    fn handle_sfu(&mut self, event: &[u8]) -> Option<SessionState> {
        match serde_json::from_slice(event) {
            Ok(Event::Connected { session, .. }) => {
                let state = MediaState::Connected;
                return Some(SessionState { session, state });
            }
            Ok(Event::Disconnected { session, .. }) => {
                let state = MediaState::Disconnected;
                return Some(SessionState { session, state });
            }
            Ok(Event::CustomMessage { message }) => self.state.messages.push(message),
            Ok(Event::Speakers { speakers }) => self.state.speakers = Arc::new(speakers),
            // These go only to the session's member.
            Ok(
                Event::Quality { .. }
                | Event::Layers { .. }
                | Event::SpatialLayers { .. }
                | Event::Voices { .. }
                | Event::CodecNotSupported { .. },
            ) => {}
            Err(error) => debug!(%error, "an event of the SFU could not be read"),
        }
        None
    }
}

impl Watches {
    async fn open(RoomDocuments { bus, room, .. }: &RoomDocuments) -> Result<Self, BusError> {
        Ok(Self {
            documents: bus.watch(&key_prefix(room)).await?,
            mixes: bus.watch(&mix::running_key(room)).await?,
            sfu: bus.subscribe(&events_subject(room)).await?,
        })
    }
}
