//! Keyframe requests: from the viewers of a stream to its publisher.

use std::time::Instant;

use metrics::counter;

use super::Worker;
use super::relay::RelayMessage;
use crate::downlink::slot::Slot;
use crate::ingress::packet::StreamId;
use crate::ingress::track::Publisher;
use crate::slab::SessionIndex;

impl Worker {
    /// Asks a stream's publisher for a keyframe, unless it was asked a moment ago: then a little later.
    pub(super) fn want_keyframe(&mut self, now: Instant, id: StreamId) {
        let stream = self.tracks.stream_mut(id);
        if stream.is_some_and(|stream| stream.want_keyframe(now)) {
            self.request_keyframe(id);
        }
    }

    /// Requests that came too early and are due now, of one stream.
    pub(super) fn request_due_keyframe(&mut self, now: Instant, id: StreamId) {
        let stream = self.tracks.stream_mut(id);
        if stream.is_some_and(|stream| stream.due_keyframe_request(now)) {
            self.request_keyframe(id);
        }
    }

    fn request_keyframe(&mut self, id: StreamId) {
        let Some(stream) = self.tracks.stream(id) else {
            return;
        };
        match self.tracks.get(stream.track()).map(|track| track.publisher()) {
            Some(Publisher::Here(index)) => {
                let index = *index;
                if let Some(session) = self.sessions.get_mut(index) {
                    session.transport.request_keyframe(stream.mid(), stream.rid());
                    self.touched.push(index);
                    counter!("rotunda_sfu_keyframe_requests_total", "from" => "forwarded").increment(1);
                }
            }
            Some(Publisher::Elsewhere(replica)) => self.relay.push(replica.worker, RelayMessage::Keyframe(id)),
            None => {}
        }
    }

    /// For this session's slots that still wait, and for its own streams whose request came too early.
    pub(super) fn repeat_keyframe_requests(&mut self, now: Instant, index: SessionIndex) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        // A layer that is woken inside the stream begins with a keyframe by itself.
        let is_waking = |slot: &&Slot| {
            let flowing = slot.flowing().filter(|flowing| slot.target() == Some(*flowing));
            let stream = flowing.and_then(|id| self.tracks.stream(id));
            stream.is_some_and(|stream| stream.sleeps(slot.wanted_point()))
        };
        let slots = session.downlink.slots().iter().filter(|slot| !is_waking(slot));
        let waiting: Vec<StreamId> = slots.filter_map(Slot::waits_for).collect();
        let own: Vec<StreamId> = session.uplink.streams().collect();
        for stream in waiting {
            self.want_keyframe(now, stream);
        }
        for stream in own {
            self.request_due_keyframe(now, stream);
        }
    }
}
