//! Follows a room on the bus: its documents, its mix and the SFU's events, as one state.

use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{BusError, Change, Heard, Message, Revision, Subscription, Watch, WatchEvent};
use rotunda_proto::ids::SessionId;
use rotunda_proto::mix;
use rotunda_proto::room::{count_key, info_key, key_prefix, roster_key};
use rotunda_proto::sfu::{Event, events_subject};
use rotunda_proto::signaling::MediaState;
use rotunda_proto::waiting_room::{WaitingRoom, waiting_key};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::room_documents::RoomDocuments;
use crate::view::RoomState;

/// Most time that entering members wait until the watch delivers the documents that were written for them.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);

pub struct Feed {
    documents: RoomDocuments,
    state: RoomState,
    /// Beside the state, because most members are not concerned.
    waiting_room: Arc<WaitingRoom>,
    seen: Written,
    watches: Watches,
}

struct Watches {
    documents: Watch,
    mixes: Watch,
    sfu: Subscription,
}

/// Revisions of the documents that the room's task writes; of one that is not there, None. Each document has its own, because
/// changes of different documents may come in another order than they were made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub count: Option<Revision>,
    pub info: Option<Revision>,
    pub roster: Option<Revision>,
    pub waiting: Option<Revision>,
}

/// News of the SFU about single sessions.
pub enum SessionNews {
    /// The session's media is connected or has ended.
    State { session: SessionId, state: MediaState },
    /// Some was lost.
    Lost,
}

impl Feed {
    /// Begins to follow the room, and reads its documents.
    ///
    /// Errors: also when the documents do not come, because the bus is away.
    pub async fn open(documents: RoomDocuments) -> Result<Self, BusError> {
        let watches = Watches::open(&documents).await?;
        let mut feed = Self {
            documents,
            state: RoomState::default(),
            waiting_room: Arc::default(),
            seen: Written::default(),
            watches,
        };
        let known = timeout(CATCH_UP_WITHIN, feed.take_snapshot()).await;
        known.map_err(|_| BusError::Away)?;
        Ok(feed)
    }

    /// The state by everything that has arrived.
    pub fn state(&self) -> &RoomState {
        &self.state
    }

    pub fn waiting_room(&self) -> &Arc<WaitingRoom> {
        &self.waiting_room
    }

    /// Counts a state that members are notified of.
    pub fn count_up(&mut self) {
        self.state.number += 1;
    }

    /// Applies the next change. Answers one that concerns only sessions. Cancel-safe.
    pub async fn changed(&mut self) -> Option<SessionNews> {
        tokio::select! {
            event = self.watches.documents.next() => self.handle_document(event),
            event = self.watches.mixes.next() => if let WatchEvent::Change(change) = event {
                self.state.apply(&change);
            },
            heard = self.watches.sfu.next() => match heard {
                Heard::Message(message) => return self.handle_sfu(&message),
                Heard::Lost => return Some(SessionNews::Lost),
            },
        }
        None
    }

    /// News of sessions that have arrived, without waiting: a thousand sessions that connect in a second are not told one by one between the
    /// writes of documents.
    pub fn poll_news(&mut self) -> Option<SessionNews> {
        while let Some(heard) = self.watches.sfu.try_next() {
            let news = match heard {
                Heard::Message(message) => self.handle_sfu(&message),
                Heard::Lost => Some(SessionNews::Lost),
            };
            if news.is_some() {
                return news;
            }
        }
        None
    }

    /// Takes changes in until those that were written are among them, or for a second.
    pub async fn catch_up(&mut self, written: Written) {
        let follow = async {
            while let Some(event) = self.watches.documents.try_next() {
                self.handle_document(event);
            }
            while !self.seen.includes(written) {
                let event = self.watches.documents.next().await;
                self.handle_document(event);
            }
        };
        if timeout(CATCH_UP_WITHIN, follow).await.is_err() {
            warn!("the watch of a room is slow: its own documents have not arrived");
        }
    }

    async fn take_snapshot(&mut self) {
        for change in self.watches.documents.snapshot().await {
            self.handle_document(WatchEvent::Change(change));
        }
        for change in self.watches.mixes.snapshot().await {
            self.state.apply(&change);
        }
    }

    fn handle_document(&mut self, event: WatchEvent) {
        if let WatchEvent::Change(change) = event {
            self.seen.handle_change(&self.documents, &change);
            if change.key == waiting_key(&self.documents.room) {
                self.waiting_room = Arc::new(change.parse().unwrap_or_default());
            } else {
                self.state.apply(&change);
            }
        }
    }

    fn handle_sfu(&mut self, message: &Message) -> Option<SessionNews> {
        match serde_json::from_slice(&message.payload) {
            Ok(Event::Connected { session, .. }) => {
                let state = MediaState::Connected;
                return Some(SessionNews::State { session, state });
            }
            Ok(Event::Disconnected { session, .. }) => {
                let state = MediaState::Disconnected;
                return Some(SessionNews::State { session, state });
            }
            Ok(Event::CustomMessage { message }) => self.state.messages.push(message),
            Ok(Event::Speakers { speakers }) => self.state.speakers = Arc::new(speakers),
            // These go only to the session's member.
            Ok(
                Event::Quality { .. }
                | Event::Layers { .. }
                | Event::SpatialLayers { .. }
                | Event::Voices { .. }
                | Event::Move { .. }
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
            mixes: bus.watch(&mix::running_prefix(room)).await?,
            sfu: bus.subscribe(&events_subject(room)).await?,
        })
    }
}

impl Written {
    fn handle_change(&mut self, documents: &RoomDocuments, change: &Change) {
        let room = &documents.room;
        for (key, seen) in [
            (count_key(room), &mut self.count),
            (info_key(room), &mut self.info),
            (roster_key(room), &mut self.roster),
            (waiting_key(room), &mut self.waiting),
        ] {
            if change.key == key {
                *seen = (*seen).max(Some(change.revision));
            }
        }
    }

    fn includes(self, written: Self) -> bool {
        self.count >= written.count
            && self.info >= written.info
            && self.roster >= written.roster
            && self.waiting >= written.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_revision_of_one_document_does_not_stand_for_another() {
        let written = Written {
            count: Some(Revision(7)),
            info: None,
            roster: Some(Revision(8)),
            waiting: None,
        };
        let roster_alone = Written {
            roster: Some(Revision(9)),
            ..Written::default()
        };
        assert!(!roster_alone.includes(written));
        let both = Written {
            count: Some(Revision(7)),
            ..roster_alone
        };
        assert!(both.includes(written));
    }
}
