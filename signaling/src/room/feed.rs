//! What the bus tells of a room: its documents, its mix and the SFU's events, taken into one state.

use std::sync::Arc;
use std::time::Duration;

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

/// How long members who enter wait until the documents that were written for them come back by the watch.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);
/// A watch that could not be opened is opened again after this time.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

pub struct Feed {
    documents: RoomDocuments,
    state: RoomState,
    watches: Watches,
}

struct Watches {
    documents: mpsc::Receiver<Change>,
    mixes: mpsc::Receiver<Change>,
    sfu: mpsc::Receiver<Bytes>,
}

/// The SFU says that a session's media is up or gone.
pub struct SessionState {
    pub session: SessionId,
    pub state: MediaState,
}

impl Feed {
    /// Begins to follow the room and takes its documents in as they are.
    pub async fn open(documents: RoomDocuments) -> Result<Self, BusError> {
        let watches = Watches::open(&documents).await?;
        let mut feed = Self {
            documents,
            state: RoomState::default(),
            watches,
        };
        feed.take_what_is_there();
        Ok(feed)
    }

    /// What the bus has told so far.
    pub fn state(&self) -> &RoomState {
        &self.state
    }

    /// The next number of the state, for members who are told of it.
    pub fn count_up(&mut self) {
        self.state.number += 1;
    }

    /// Takes the next change in. Answers what concerns one session alone. Cancel-safe.
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

    /// Takes changes in until those of this revision are among them, or for a second.
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
            warn!("the room's documents are slow to come round");
        }
    }

    /// The bus has closed a watch that was too far behind.
    async fn open_again(&mut self) {
        counter!("rotunda_signaling_watches_lost_total").increment(1);
        loop {
            match Watches::open(&self.documents).await {
                Ok(watches) => {
                    self.watches = watches;
                    // A document that is not there any more is not told, so nothing of before is kept.
                    self.state = RoomState {
                        number: self.state.number,
                        speakers: self.state.speakers.clone(),
                        messages: self.state.messages.clone(),
                        ..RoomState::default()
                    };
                    return self.take_what_is_there();
                }
                Err(error) => warn!(error = &error as &dyn std::error::Error, "watch a room again"),
            }
            Clock.sleep_until(Clock.now() + OPEN_AGAIN).await;
        }
    }

    fn take_what_is_there(&mut self) {
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
