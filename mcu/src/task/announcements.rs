//! Publishes the documents of a mix and its program, and tells events.

use rotunda_proto::bus::{BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, RoomKey, StreamId};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, MixSpec, NotMixable, RunningMix, running_key};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The documents and events of one mix.
pub struct Announcements {
    pub bus: SharedBus,
    pub node: NodeId,
    pub room: RoomKey,
    pub stream_id: StreamId,
}

impl Announcements {
    /// The room has this mix.
    pub async fn publish_running(&self, spec: &MixSpec, not_mixable: &[NotMixable]) {
        let running = RunningMix {
            node: self.node.clone(),
            spec: spec.clone(),
            not_mixable: not_mixable.to_vec(),
        };
        self.put(&running_key(&self.room), &running).await;
    }

    /// The program is there to be read. It keeps the start that it was first published with.
    pub async fn publish_program(&self, spec: &MixSpec) {
        let key = program_key(&self.stream_id);
        let before = self.bus.load::<ProgramDescriptor>(&key).await.ok().flatten();
        let started_unix_ms = before.map_or_else(
            || Clock.unix().as_millis() as u64,
            |(descriptor, _)| descriptor.started_unix_ms,
        );
        let descriptor = ProgramDescriptor {
            stream_id: self.stream_id.clone(),
            room: self.room.clone(),
            node: self.node.clone(),
            audio: spec.audio,
            video: spec.video,
            record: spec.record.clone(),
            push_urls: spec.push_urls.clone(),
            started_unix_ms,
        };
        self.put(&key, &descriptor).await;
    }

    pub async fn tell(&self, event: &Event) {
        if let Err(error) = self.bus.tell(EVENTS_SUBJECT, event).await {
            tracing::warn!(room = %self.room, %error, "an event was not told");
        }
    }

    /// Neither mix nor program are there any more.
    pub async fn withdraw(&self) {
        for key in [program_key(&self.stream_id), running_key(&self.room)] {
            if let Err(error) = self.bus.delete(&key, None).await {
                tracing::error!(room = %self.room, %key, %error, "a document was not deleted");
            }
        }
    }

    async fn put<T: Serialize + DeserializeOwned + Clone + Send + Sync>(&self, key: &str, document: &T) {
        let change = |_: Option<T>| Ok::<_, std::convert::Infallible>((Some(document.clone()), ()));
        if let Err(error) = self.bus.update(key, change).await {
            tracing::error!(room = %self.room, %key, %error, "a document was not written");
        }
    }
}
