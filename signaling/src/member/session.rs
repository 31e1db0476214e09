//! A member's media session at the SFU, as signaling knows it, and what the SFU tells of it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use rotunda_proto::bus::{BusError, SharedBus};
use rotunda_proto::ids::{SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{self, SlotMap};
use rotunda_proto::signaling::{Event, MediaState};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::desired::Desired;
use crate::room::SessionNews;

pub struct Session {
    pub id: SessionId,
    /// Subject of the node that has it.
    pub sfu: String,
    /// The sources that the SFU lets in.
    pub ingress: Desired<BTreeSet<TrackSource>>,
    /// What the SFU shows.
    pub slots: Desired<SlotMap>,
    state: watch::Receiver<Option<SessionNews>>,
    /// What the client has been told of it.
    told: Option<MediaState>,
    events: mpsc::Receiver<Bytes>,
    /// To tell with the next round.
    news: Vec<Event>,
    /// Whom the sound slots carry, where the SFU chooses.
    voices: Vec<Option<UserId>>,
    voices_changed: bool,
    /// The simulcast layers that the SFU wants, where it does not want all.
    layers: BTreeMap<TrackSource, Vec<String>>,
    /// The highest of the layers inside one stream that the SFU wants, pixels.
    spatial_layers: BTreeMap<TrackSource, Option<u16>>,
    /// Codecs of what the client cannot decode.
    undecodable: BTreeMap<(UserId, TrackSource), String>,
}

impl Session {
    /// One that is about to be opened: nothing that is told of it is missed. `state`: as the room's task hears of it.
    pub async fn new(
        bus: &SharedBus,
        id: SessionId,
        sfu: String,
        state: watch::Receiver<Option<SessionNews>>,
    ) -> Result<Self, BusError> {
        Ok(Self {
            id,
            sfu,
            ingress: Desired::default(),
            slots: Desired::default(),
            state,
            told: None,
            events: bus.subscribe(&sfu::session_subject(id)).await?,
            news: Vec::new(),
            voices: Vec::new(),
            voices_changed: false,
            layers: BTreeMap::new(),
            spatial_layers: BTreeMap::new(),
            undecodable: BTreeMap::new(),
        })
    }

    /// Resolves when there is something to tell. Cancel-safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            event = self.events.recv() => match event {
                Some(event) => self.hear(&event),
                None => std::future::pending().await,
            },
            changed = self.state.changed() => if changed.is_err() {
                std::future::pending().await
            },
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected_after().is_some()
    }

    /// The number of the newest message in the room when the session was connected; None: it is not.
    pub fn connected_after(&self) -> Option<u64> {
        let news = (*self.state.borrow())?;
        (news.state == MediaState::Connected).then_some(news.said)
    }

    /// A state that the client has not been told of.
    pub fn poll_state(&mut self) -> Option<MediaState> {
        let state = self.state.borrow_and_update().map(|news| news.state);
        let news = state.filter(|state| self.told != Some(*state));
        self.told = state;
        news
    }

    /// Whom the sound slots carry, where the SFU chooses.
    pub fn voices(&self) -> &[Option<UserId>] {
        &self.voices
    }

    /// Whether they carry others than when this was last asked.
    pub fn poll_voices(&mut self) -> bool {
        std::mem::take(&mut self.voices_changed)
    }

    /// What the client is to be told now.
    pub fn poll_news(&mut self) -> Vec<Event> {
        while let Ok(event) = self.events.try_recv() {
            self.hear(&event);
        }
        std::mem::take(&mut self.news)
    }

    /// When the SFU is to be told again what it has not confirmed.
    pub fn due_at(&self) -> Option<Instant> {
        [self.ingress.due_at(), self.slots.due_at()].into_iter().flatten().min()
    }

    /// What holds still, for a client that has come back.
    pub fn retell(&self) -> Vec<Event> {
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
            let mut pictures = slots.video.iter().flatten();
            pictures.any(|want| want.user == *user && want.source == source)
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

    fn hear(&mut self, event: &Bytes) {
        let event = match serde_json::from_slice(event) {
            Ok(event) => event,
            Err(error) => {
                warn!(%error, "an event of the SFU was not understood");
                return;
            }
        };
        match event {
            sfu::Event::Quality { quality, .. } => self.news.push(Event::NetworkQuality { quality }),
            sfu::Event::Layers { source, active, .. } => {
                self.layers.insert(source, active.clone());
                self.news.push(Event::Layers { source, active });
            }
            sfu::Event::SpatialLayers { source, max_height, .. } => {
                self.spatial_layers.insert(source, max_height);
                self.news.push(Event::SpatialLayers { source, max_height });
            }
            sfu::Event::Voices { audio, .. } => {
                self.voices = audio;
                self.voices_changed = true;
            }
            sfu::Event::CodecNotSupported {
                user, source, codec, ..
            } => {
                self.undecodable.insert((user.clone(), source), codec.clone());
                self.news.push(Event::CodecNotSupported {
                    user_id: user,
                    source,
                    codec,
                });
            }
            // Told to the whole room, and not here.
            sfu::Event::Connected { .. }
            | sfu::Event::Disconnected { .. }
            | sfu::Event::CustomMessage { .. }
            | sfu::Event::Speakers { .. } => {}
        }
    }
}
