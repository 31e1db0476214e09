//! A member's media session at the SFU as signaling knows it, and the SFU's events about this session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::Rng;
use rotunda_bus::{BusError, Heard, Subscription};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{self, SlotMap};
use rotunda_proto::signaling::{Event, MediaState};
use rotunda_proto::statistics::{NetworkQuality, SentMedia};
use tokio::sync::watch;
use tracing::warn;

use super::desired::Desired;
use crate::room::{Room, SessionMedia};

/// After a loss of events all sessions of a node ask the SFU within this time, not all at once.
const ASK_WITHIN: Duration = Duration::from_secs(2);

pub struct Session {
    pub id: SessionId,
    /// Subject of the SFU node that has it.
    pub sfu: String,
    /// The sources that the SFU forwards.
    pub ingress: Desired<BTreeSet<TrackSource>>,
    /// The assignment of the receive slots.
    pub slots: Desired<SlotMap>,
    state: watch::Receiver<Option<SessionMedia>>,
    /// The state that the client knows.
    known: Option<MediaState>,
    events: Subscription,
    /// Of the room's events.
    losses: watch::Receiver<()>,
    /// Events for the client that were not polled yet.
    new_events: Vec<Event>,
    /// The publishers in the audio slots, if the SFU chooses them.
    voices: Vec<Option<UserId>>,
    voices_changed: bool,
    /// The simulcast layers that the SFU wants, if it does not want all.
    layers: BTreeMap<TrackSource, Vec<String>>,
    /// The highest of the layers inside one stream that the SFU wants, pixels.
    spatial_layers: BTreeMap<TrackSource, Option<u16>>,
    /// Codecs that the client cannot decode, by the source that is sent in them.
    undecodable: BTreeMap<(UserId, TrackSource), String>,
    /// The SFU measures the connection, so there is one.
    is_measured: bool,
    /// The SFU node asks for the session to move, and that was not polled yet.
    is_to_move: bool,
    /// The newest measures that were not polled yet.
    measured: Option<(NetworkQuality, SentMedia)>,
}

impl Session {
    /// For a session that is about to be opened, so that no event of it is missed.
    pub async fn new(room: &Room, id: SessionId, sfu: String) -> Result<Self, BusError> {
        Ok(Self {
            id,
            sfu,
            ingress: Desired::default(),
            slots: Desired::default(),
            known: None,
            events: room.session_events.follow(id).await?,
            state: room.follow_session(id),
            losses: room.losses(),
            new_events: Vec::new(),
            voices: Vec::new(),
            voices_changed: false,
            layers: BTreeMap::new(),
            spatial_layers: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            is_measured: false,
            is_to_move: false,
            measured: None,
        })
    }

    /// Resolves when there are new events or a new state. Cancel-safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            heard = self.events.next() => self.handle_event(heard),
            Ok(()) = self.losses.changed() => self.doubt(),
            changed = self.state.changed() => if changed.is_err() {
                std::future::pending().await
            },
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected_after().is_some()
    }

    /// The SFU measures a connection that it has not reported: the report was lost.
    pub fn has_silently_connected(&self) -> bool {
        self.is_measured && self.state.borrow().is_none()
    }

    /// The number of the newest custom message in the room when the session was connected; None: it is not.
    pub fn connected_after(&self) -> Option<u64> {
        let media = (*self.state.borrow())?;
        (media.state == MediaState::Connected).then_some(media.messages)
    }

    /// The state, if the client does not know it yet.
    pub fn poll_state(&mut self) -> Option<MediaState> {
        let state = self.state.borrow_and_update().map(|media| media.state);
        let new = state.filter(|state| self.known != Some(*state));
        self.known = state;
        new
    }

    /// Goes on with the slots of the session in whose place it comes.
    pub fn take_slots_of(&mut self, before: &Self) {
        self.slots.set(Clock.now(), before.slots.value().clone());
        self.voices.clone_from(&before.voices);
    }

    /// Whether the SFU node has asked for the session to move since the last call.
    pub fn poll_move(&mut self) -> bool {
        std::mem::take(&mut self.is_to_move)
    }

    /// The publishers in the audio slots, if the SFU chooses them.
    pub fn voices(&self) -> &[Option<UserId>] {
        &self.voices
    }

    /// Whether they have changed since the last call.
    pub fn poll_voices(&mut self) -> bool {
        std::mem::take(&mut self.voices_changed)
    }

    /// The events for the client.
    pub fn poll_events(&mut self) -> Vec<Event> {
        while let Some(heard) = self.events.try_next() {
            self.handle_event(heard);
        }
        std::mem::take(&mut self.new_events)
    }

    /// The newest measures, if there are some since the last call.
    pub fn poll_measured(&mut self) -> Option<(NetworkQuality, SentMedia)> {
        self.measured.take()
    }

    /// When unconfirmed commands are sent again.
    pub fn due_at(&self) -> Option<Instant> {
        [self.ingress.due_at(), self.slots.due_at()].into_iter().flatten().min()
    }

    /// The current state as events, for a client that has come back.
    pub fn current_events(&self) -> Vec<Event> {
        let slots = self.slots.value();
        let layers = self.layers.iter().map(|(source, active)| Event::Layers {
            source: *source,
            active: active.clone(),
        });
        let spatial_layers = self
            .spatial_layers
            .iter()
            .map(|(source, max_height)| Event::SpatialLayers {
                source: *source,
                max_height: *max_height,
            });
        let watches = |user: &UserId, source: TrackSource| {
            let mut videos = slots.video.iter().flatten();
            videos.any(|want| want.user == *user && want.source == source)
                || source == TrackSource::Audio
                    && slots
                        .audio
                        .iter()
                        .chain(&self.voices)
                        .flatten()
                        .any(|heard| heard == user)
        };
        let undecodable = self
            .undecodable
            .iter()
            .filter(|((user, source), _)| watches(user, *source));
        let undecodable = undecodable.map(|((user, source), codec)| Event::CodecNotSupported {
            user_id: user.clone(),
            source: *source,
            codec: codec.clone(),
        });
        layers.chain(spatial_layers).chain(undecodable).collect()
    }

    /// The session may have ended without a notice: the next command shows it.
    fn doubt(&mut self) {
        let due_at = Clock.now() + rand::rng().random_range(Duration::ZERO..ASK_WITHIN);
        self.ingress.doubt(due_at);
        self.slots.doubt(due_at);
    }

    fn handle_event(&mut self, heard: Heard) {
        let event = match heard {
            Heard::Message(message) => message.parse(),
            // Each event has a complete state, and comes again when that changes.
            Heard::Lost => return self.doubt(),
        };
        let Some(event) = event else {
            return warn!("an event of the SFU could not be read");
        };
        match event {
            sfu::Event::Quality { quality, sent, .. } => {
                self.is_measured = true;
                self.measured = Some((quality, sent));
                self.new_events.push(Event::NetworkQuality { quality });
            }
            sfu::Event::Layers { source, active, .. } => {
                self.layers.insert(source, active.clone());
                self.new_events.push(Event::Layers { source, active });
            }
            sfu::Event::SpatialLayers { source, max_height, .. } => {
                self.spatial_layers.insert(source, max_height);
                self.new_events.push(Event::SpatialLayers { source, max_height });
            }
            sfu::Event::Voices { audio, .. } => {
                self.voices = audio;
                self.voices_changed = true;
            }
            sfu::Event::CodecNotSupported {
                user, source, codec, ..
            } => {
                self.undecodable.insert((user.clone(), source), codec.clone());
                self.new_events.push(Event::CodecNotSupported {
                    user_id: user,
                    source,
                    codec,
                });
            }
            sfu::Event::Move { .. } => self.is_to_move = true,
            // These go to the whole room.
            sfu::Event::Connected { .. }
            | sfu::Event::Disconnected { .. }
            | sfu::Event::CustomMessage { .. }
            | sfu::Event::Speakers { .. } => {}
        }
    }
}
