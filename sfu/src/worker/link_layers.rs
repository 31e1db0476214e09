//! The simulcast streams that go over the links between nodes: to another node those that are watched there, and from another node no more
//! than the link carries.

use std::time::Instant;

use super::Worker;
use super::relay::RelayMessage;
use crate::ingress::demand::Demand;
use crate::ingress::link_flows::Step;
use crate::ingress::packet::StreamId;
use crate::ingress::stream::{Barred, Stream};
use crate::ingress::track::{Publisher, Track, Watched};
use crate::link::limit::{Change, Flow};
use crate::slab::{TrackIndex, WorkerIndex};

impl Worker {
    /// Pauses and resumes a track's simulcast streams for other nodes. `layers`: lowest first; the lowest always goes.
    pub(super) fn update_link_flows(&mut self, now: Instant, track: TrackIndex, layers: &[StreamId]) {
        let receivers = self.tracks.get(track).map(|track| track.receivers().to_vec());
        let far = receivers
            .unwrap_or_default()
            .into_iter()
            .filter(|worker| self.is_far(*worker));
        let far: Vec<WorkerIndex> = far.collect();
        for to in far {
            for id in layers.iter().skip(1) {
                let step = self
                    .tracks
                    .get_mut(track)
                    .and_then(|track| track.update_flow(now, to, *id));
                let layer = Watched {
                    stream: *id,
                    spatial: 0,
                };
                match step {
                    Some(Step::Pause) => {
                        let demand = Demand::Off;
                        self.relay.push(to, RelayMessage::Demand { layer, demand });
                    }
                    Some(Step::Resume) => {
                        let demand = Demand::Waking { since: now };
                        self.relay.push(to, RelayMessage::Demand { layer, demand });
                        // What came before a pause is of no use.
                        if self.tracks.stream(*id).is_some_and(|stream| stream.is_alive(now)) {
                            self.relay_frames(now, *id, &[to]);
                        }
                    }
                    Some(Step::Tell) => self.tell_demand(*id, to),
                    None => {}
                }
            }
        }
    }

    /// Tells the neighbours of a stream's track whether its publisher is asked for a layer. Those that do not get the stream have been told that
    /// it does not come.
    pub(super) fn relay_demand(&mut self, layer: Watched, demand: Demand) {
        let track = self.tracks.stream(layer.stream).map(Stream::track);
        let Some(track) = track.and_then(|track| self.tracks.get(track)) else {
            return;
        };
        for to in track
            .neighbours()
            .iter()
            .filter(|to| !track.is_paused(**to, layer.stream))
        {
            self.relay.push(*to, RelayMessage::Demand { layer, demand });
        }
    }

    /// Tells a worker whether the publisher is asked for a stream.
    pub(super) fn tell_demand(&mut self, id: StreamId, to: WorkerIndex) {
        for (spatial, demand) in self.tracks.stream(id).into_iter().flat_map(Stream::demands) {
            let layer = Watched { stream: id, spatial };
            self.relay.push(to, RelayMessage::Demand { layer, demand });
        }
    }

    /// A worker of another node cannot take a simulcast stream: its link does not carry it.
    pub(super) fn pause_for(&mut self, id: StreamId, to: WorkerIndex) {
        let track = self.tracks.stream(id).map(Stream::track);
        let is_new = track
            .and_then(|track| self.tracks.get_mut(track))
            .is_some_and(|track| track.pause_flow(to, id));
        if is_new && self.is_far(to) {
            let layer = Watched { stream: id, spatial: 0 };
            let demand = Demand::Off;
            self.relay.push(to, RelayMessage::Demand { layer, demand });
        }
    }

    /// A replica's stream is barred, or not any more, if that changes anything.
    pub(super) fn set_barred(&mut self, now: Instant, id: StreamId, set: impl FnOnce(&mut Barred)) {
        let Some(stream) = self.tracks.stream_mut(id) else {
            return;
        };
        let before = stream.is_barred();
        set(stream.barred_mut());
        let (is_barred, track) = (stream.is_barred(), stream.track());
        if is_barred == before {
            return;
        }
        let neighbours = self.tracks.get(track).map(Track::neighbours);
        self.relay
            .push_all(neighbours.unwrap_or_default(), || RelayMessage::Barred {
                stream: id,
                is_barred,
            });
        self.reallocate_viewers(now, track);
    }

    /// Now and then: bars streams that the links do not carry, and tries them again.
    pub(super) fn update_link_limits(&mut self, now: Instant) {
        for peer in self.links.limited(now) {
            let flows = self.flows_from(now, peer);
            for Change { stream, is_barred } in self.links.update_limit(now, peer, &flows) {
                self.set_barred(now, stream, |barred| barred.here = is_barred);
                // At once: the queue on the way is still short.
                if is_barred {
                    self.relay.push(peer, RelayMessage::Barred { stream, is_barred });
                }
                if let Some(track) = self.tracks.stream(stream).map(Stream::track) {
                    self.update_demand(now, track);
                }
            }
        }
    }

    /// The simulcast streams of the replicas of a worker's tracks.
    fn flows_from(&self, now: Instant, peer: WorkerIndex) -> Vec<Flow> {
        let mut flows = Vec::new();
        for track in self.tracks.replicas() {
            let Some(track) = self.tracks.get(track) else {
                continue;
            };
            if !matches!(track.publisher(), Publisher::Elsewhere(replica) if replica.worker == peer) {
                continue;
            }
            let streams = self.tracks.streams_of(track);
            let mut layers: Vec<(StreamId, &Stream)> = streams.filter(|(_, stream)| stream.rid().is_some()).collect();
            if layers.len() < 2 {
                continue;
            }
            Stream::sort_by_size(&mut layers);
            flows.extend(layers.into_iter().enumerate().map(|(place, (id, stream))| Flow {
                stream: id,
                bitrate: stream.bitrate(now),
                is_lowest: place == 0,
            }));
        }
        flows
    }
}
