//! Publishes the documents of a mix and its program, and tells events: what must not be lost goes into the stream of facts, under an id
//! of the mix, so that it is there once whoever tells it.

mod ownership;

use std::collections::HashMap;

use bytes::Bytes;
use rotunda_bus::{BusError, BusExt, ClusterNode, Incarnation, Revision, SharedBus};
use rotunda_events::{Facts, MixOutput, What};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MixId, RoomKey, StreamId, StreamKey};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, MixSpec, NotMixable, RunningMix, StopReason, running_key};
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_proto::mix_task::Origin;
use rotunda_proto::program::{ProgramDescriptor, program_key};
use serde::Serialize;

use self::ownership::Owner;
use super::Beginning;

/// The documents and events of one mix.
pub struct Announcements {
    node: ClusterNode,
    facts: Facts,
    mix: MixId,
    epoch: u64,
    origin: Origin,
    /// Another node has begun it.
    is_carried_on: bool,
    /// When another node has begun it.
    began_unix_ms: Option<u64>,
    pub room: RoomKey,
    pub stream_id: StreamId,
    /// When the program was published first.
    program_started_unix_ms: Option<u64>,
    /// The documents as this mix has written them, so that it takes back nothing else.
    written: HashMap<String, Revision>,
}

impl Announcements {
    pub fn new(node: ClusterNode, facts: Facts, spec: &MixSpec, beginning: &Beginning, is_carried_on: bool) -> Self {
        Self {
            node,
            facts,
            mix: beginning.id,
            epoch: beginning.epoch,
            origin: beginning.origin.clone(),
            is_carried_on,
            began_unix_ms: beginning.program_began_unix_ms,
            room: spec.room.clone(),
            stream_id: spec.stream_id.clone(),
            program_started_unix_ms: None,
            written: HashMap::new(),
        }
    }

    pub fn node(&self) -> &ClusterNode {
        &self.node
    }

    /// The program has been published.
    pub fn has_program(&self) -> bool {
        self.program_started_unix_ms.is_some()
    }

    /// The room has this mix.
    pub async fn publish_running(&mut self, spec: &MixSpec, not_mixable: &[NotMixable]) {
        let running = RunningMix {
            node: self.node.name().clone(),
            spec: spec.clone(),
            not_mixable: not_mixable.to_vec(),
        };
        self.put(&running_key(&self.room, &self.origin), &running).await;
    }

    /// The program is there to be read. It keeps the start that it was first published with.
    pub async fn publish_program(&mut self, spec: &MixSpec) {
        let key = program_key(&self.stream());
        let started_unix_ms = *self
            .program_started_unix_ms
            .get_or_insert_with(|| Clock.unix().as_millis() as u64);
        let descriptor = ProgramDescriptor {
            stream_id: self.stream_id.clone(),
            room: self.room.clone(),
            node: self.node.name().clone(),
            audio: spec.audio,
            video: spec.video,
            record: spec.record.clone(),
            push_urls: spec.push_urls.clone(),
            started_unix_ms,
            single: None,
            task: spec.task.clone(),
        };
        self.put(&key, &descriptor).await;
    }

    pub async fn tell(&self, event: &Event) {
        if let Err(error) = self.node.bus().tell(EVENTS_SUBJECT, event).await {
            tracing::warn!(room = %self.room, %error, "an event was not told");
        }
    }

    pub async fn tell_not_mixable(&self, track: NotMixable) {
        let (mix, room, stream_id) = (self.mix, self.room.clone(), self.stream_id.clone());
        let NotMixable {
            user_id,
            room_id,
            source,
            codec,
        } = &track;
        let other_room = room_id.as_ref().map_or(String::new(), |room| format!("-{room}"));
        let fact = What::NotMixable {
            mix,
            stream_id: stream_id.clone(),
            track: track.clone(),
        };
        let id = format!("not-mixable-{mix}-{source:?}-{codec}-{user_id}{other_room}");
        self.facts.tell_as(id, &room, fact);
        let event = Event::NotMixable {
            mix,
            room,
            stream_id,
            track,
        };
        self.tell(&event).await;
    }

    /// Frames show another layout. A replaced engine tells the layout of the one before again, under the same id.
    pub fn tell_layout(&self, layout: ShownLayout) {
        let id = format!("mix-layout-{}-{}", self.mix, layout.revision);
        let fact = What::MixLayout {
            mix: self.mix,
            stream_id: self.stream_id.clone(),
            layout,
        };
        self.facts.tell_as(id, &self.room, fact);
    }

    /// The program runs. A program that another node has begun was told of by that one, which may have died before the fact was written.
    pub async fn tell_started(&self, spec: &MixSpec) {
        let fact = What::MixBegun {
            mix: self.mix,
            stream_id: self.stream_id.clone(),
            started_unix_ms: self.program_started_unix_ms,
            output: Some(MixOutput::of(spec)),
            origin: self.origin.clone(),
            spec: Some(Box::new(MixSpec {
                push_urls: Vec::new(),
                ..spec.clone()
            })),
        };
        self.facts.tell_as(format!("mix-begun-{}", self.mix), &self.room, fact);
        if self.is_carried_on {
            return;
        }
        let event = Event::Started {
            mix: self.mix,
            room: self.room.clone(),
            stream_id: self.stream_id.clone(),
            origin: self.origin.clone(),
            started_unix_ms: self.program_started_unix_ms.unwrap_or_default(),
        };
        self.tell(&event).await;
    }

    pub async fn tell_stopped(&self, reason: StopReason) {
        let (record_id, replaced_by) = match &reason {
            StopReason::Replaced { record, by } => (record.clone(), Some(by.clone())),
            _ => (None, None),
        };
        if let Some(by) = &replaced_by {
            let (room, stream_id) = (&self.room, &self.stream_id);
            tracing::warn!(%room, %stream_id, %by, "a mix was replaced by another StartMCUMixTranscode; a room has one");
            metrics::counter!("rotunda_mixes_replaced_total").increment(1);
        }
        let fact = What::MixEnded {
            mix: self.mix,
            stream_id: self.stream_id.clone(),
            record_id,
            replaced_by,
            started_unix_ms: self.began_unix_ms.or(self.program_started_unix_ms),
            reason: reason.in_words(),
        };
        self.facts.tell_as(format!("mix-ended-{}", self.mix), &self.room, fact);
        let event = Event::Stopped {
            mix: self.mix,
            room: self.room.clone(),
            stream_id: self.stream_id.clone(),
            started_unix_ms: self.program_started_unix_ms,
            reason,
        };
        self.tell(&event).await;
    }

    /// Neither mix nor program are there any more.
    pub async fn withdraw(&self) {
        for key in [program_key(&self.stream()), running_key(&self.room, &self.origin)] {
            let Some(revision) = self.written.get(&key) else {
                continue;
            };
            match self.node.bus().delete(&key, *revision).await {
                // Another revision is a successor's.
                Ok(_) | Err(BusError::Conflict(_)) => {}
                Err(error) => tracing::error!(room = %self.room, %key, %error, "a document was not deleted"),
            }
        }
    }

    fn stream(&self) -> StreamKey {
        StreamKey {
            app: self.room.app,
            id: self.stream_id.clone(),
        }
    }

    /// Writes a document that vanishes with this node, unless a successor's is there already.
    async fn put<T: Serialize + Sync>(&mut self, key: &str, document: &T) {
        let lease = self.node.incarnation();
        let bus = self.node.bus();
        let owner = Owner {
            mix: self.mix,
            epoch: self.epoch,
        };
        let written = match (owner.signed(document), self.written.get(key)) {
            (Err(error), _) => Err(error),
            (Ok(value), Some(known)) => replace(bus, key, value, *known, &lease).await,
            (Ok(value), None) => ownership::take(bus, key, value, owner, &lease).await,
        };
        match written {
            Ok(revision) => {
                self.written.insert(key.to_owned(), revision);
            }
            Err(error) => tracing::error!(room = %self.room, %key, %error, "a document was not written"),
        }
    }
}

/// Errors: [`BusError::Conflict`] when somebody else has written the document since.
async fn replace(
    bus: &SharedBus,
    key: &str,
    value: Bytes,
    known: Revision,
    lease: &Incarnation,
) -> Result<Revision, BusError> {
    match bus.put(key, value.clone(), Some(known), Some(lease)).await {
        // It has vanished with this node's incarnation of before; a document of somebody else is a conflict once more.
        Err(BusError::Conflict(_)) => bus.put(key, value, None, Some(lease)).await,
        done => done,
    }
}
