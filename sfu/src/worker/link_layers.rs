//! The layers that go over the links between nodes (simulcast streams, and spatial layers inside one stream): to another node those that are
//! watched there, and from another node no more than the link carries.

use std::time::Instant;

use super::Worker;
use super::relay::RelayMessage;
use crate::ingress::demand::Demand;
use crate::ingress::link_flows::Step;
use crate::ingress::packet::StreamId;
use crate::ingress::stream::{Barred, Stream};
use crate::ingress::stream_layers::BarredLayers;
use crate::ingress::track::{Publisher, Track, Watched};
use crate::link::limit::{Change, Flow};
use crate::slab::{TrackIndex, WorkerIndex};

impl Worker {
    /// Pauses and resumes a track's simulcast streams for other nodes. `layers`: lowest first; the lowest always goes.
    pub(super) fn update_link_flows(&mut self, now: Instant, track: TrackIndex, layers: &[StreamId]) {
        for to in self.far_receivers(track) {
            for id in layers.iter().skip(1) {
                let layer = Watched {
                    stream: *id,
                    spatial: 0,
                };
                let step = self
                    .tracks
                    .get_mut(track)
                    .and_then(|track| track.update_flow(now, to, layer, true));
                let is_resumed = self.follow_step(now, to, layer, step);
                // What came before a pause is of no use.
                if is_resumed && self.tracks.stream(*id).is_some_and(|stream| stream.is_alive(now)) {
                    self.relay_frames(now, *id, &[to]);
                }
            }
        }
    }

    /// The same for spatial layers inside a track's one stream; the lowest always goes.
    pub(super) fn update_link_flows_inside(&mut self, now: Instant, track: TrackIndex, id: StreamId) {
        let layers = self.tracks.stream(id).and_then(Stream::layers);
        let Some((reach, barred)) = layers.map(|layers| (layers.reach().spatial, layers.barred_from())) else {
            return;
        };
        for to in self.far_receivers(track) {
            for spatial in 1..=reach {
                let layer = Watched { stream: id, spatial };
                let may_go = barred.is_none_or(|barred| spatial < barred);
                let step = self
                    .tracks
                    .get_mut(track)
                    .and_then(|track| track.update_flow(now, to, layer, may_go));
                if self.follow_step(now, to, layer, step) {
                    // Larger frames begin with a keyframe. A layer that the publisher is asked for again has one by itself.
                    let layers = self.tracks.stream(id).and_then(Stream::layers);
                    if layers.is_some_and(|layers| !layers.sleeps(spatial)) {
                        self.want_keyframe(now, id);
                    }
                }
            }
        }
    }

    /// Tells a worker of another node what a step changes for it. True: the layer goes there again.
    fn follow_step(&mut self, now: Instant, to: WorkerIndex, layer: Watched, step: Option<Step>) -> bool {
        let demand = match step {
            Some(Step::Pause) => Demand::Off,
            Some(Step::Resume) => Demand::Waking { since: now },
            Some(Step::Tell) => {
                self.tell_demand(layer.stream, to);
                return false;
            }
            None => return false,
        };
        self.relay.push(to, RelayMessage::Demand { layer, demand });
        step == Some(Step::Resume)
    }

    /// The workers of other nodes that get a track.
    fn far_receivers(&self, track: TrackIndex) -> Vec<WorkerIndex> {
        let receivers = self.tracks.get(track).map(|track| track.receivers());
        let receivers = receivers.unwrap_or_default().iter();
        receivers.filter(|worker| self.is_far(**worker)).copied().collect()
    }

    /// Tells the neighbours of a stream's track whether its publisher is asked for a layer. Those that do not get the stream have been told that
    /// it does not come.
    pub(super) fn relay_demand(&mut self, layer: Watched, demand: Demand) {
        let track = self.tracks.stream(layer.stream).map(Stream::track);
        let Some(track) = track.and_then(|track| self.tracks.get(track)) else {
            return;
        };
        for to in track.neighbours().iter().filter(|to| !track.is_paused(**to, layer)) {
            self.relay.push(*to, RelayMessage::Demand { layer, demand });
        }
    }

    /// Tells a worker whether the publisher is asked for a stream.
    pub(super) fn tell_demand(&mut self, id: StreamId, to: WorkerIndex) {
        let Some(stream) = self.tracks.stream(id) else { return };
        let track = self.tracks.get(stream.track());
        for (spatial, demand) in stream.demands() {
            let layer = Watched { stream: id, spatial };
            if track.is_some_and(|track| track.is_paused(to, layer)) {
                continue;
            }
            self.relay.push(to, RelayMessage::Demand { layer, demand });
        }
    }

    /// A worker of another node cannot take the spatial layers inside a stream from this one on.
    pub(super) fn pause_layers_for(&mut self, id: StreamId, from: u8, to: WorkerIndex) {
        let reach = self.tracks.stream(id).map(|stream| stream.reach().spatial);
        for spatial in from.max(1)..=reach.unwrap_or_default() {
            self.pause_for(Watched { stream: id, spatial }, to);
        }
    }

    /// A worker of another node cannot take a layer: its link does not carry it.
    pub(super) fn pause_for(&mut self, layer: Watched, to: WorkerIndex) {
        let track = self.tracks.stream(layer.stream).map(Stream::track);
        let is_new = track
            .and_then(|track| self.tracks.get_mut(track))
            .is_some_and(|track| track.pause_flow(to, layer));
        if is_new && self.is_far(to) {
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

    /// As [`set_barred`](Self::set_barred), of the spatial layers inside a replica's stream.
    pub(super) fn set_layers_barred(&mut self, now: Instant, id: StreamId, set: impl FnOnce(&mut BarredLayers)) {
        let Some(stream) = self.tracks.stream_mut(id) else {
            return;
        };
        let track = stream.track();
        let Some(layers) = stream.layers_mut() else { return };
        let before = layers.barred_from();
        set(layers.barred_mut());
        let from = layers.barred_from();
        if from == before {
            return;
        }
        let neighbours = self.tracks.get(track).map(Track::neighbours);
        self.relay
            .push_all(neighbours.unwrap_or_default(), || RelayMessage::LayersBarred {
                stream: id,
                from,
            });
        self.reallocate_viewers(now, track);
    }

    /// Now and then: bars layers that the links do not carry, and tries them again.
    pub(super) fn update_link_limits(&mut self, now: Instant) {
        for peer in self.links.limited(now) {
            let flows = self.flows_from(now, peer);
            for Change { layer, is_barred } in self.links.update_limit(now, peer, &flows) {
                let stream = layer.stream;
                if layer.spatial > 0 {
                    let from = self.links.barred_inside(peer, stream);
                    self.set_layers_barred(now, stream, |barred| barred.here = from);
                    // As below.
                    if is_barred {
                        self.relay.push(peer, RelayMessage::LayersBarred { stream, from });
                    }
                } else {
                    self.set_barred(now, stream, |barred| barred.here = is_barred);
                    // At once: the queue on the way is still short.
                    if is_barred {
                        self.relay.push(peer, RelayMessage::Barred { stream, is_barred });
                    }
                }
                if let Some(track) = self.tracks.stream(stream).map(Stream::track) {
                    self.update_demand(now, track);
                }
            }
        }
    }

    /// The layers of the replicas of a worker's tracks.
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
                let inside = self.tracks.streams_of(track).filter(|(_, stream)| stream.is_alive(now));
                flows.extend(inside.flat_map(|(id, stream)| flows_inside(id, stream)));
                continue;
            }
            Stream::sort_by_size(&mut layers);
            flows.extend(layers.into_iter().enumerate().map(|(place, (id, stream))| Flow {
                layer: Watched { stream: id, spatial: 0 },
                bitrate: stream.bitrate(now),
                is_lowest: place == 0,
            }));
        }
        flows
    }
}

/// The spatial layers inside a stream.
fn flows_inside(id: StreamId, stream: &Stream) -> impl Iterator<Item = Flow> {
    let layers = stream.layers().into_iter();
    layers.flat_map(move |layers| {
        (0..=layers.reach().spatial).map(move |spatial| Flow {
            layer: Watched { stream: id, spatial },
            bitrate: layers.bitrate_of(spatial),
            is_lowest: spatial == 0,
        })
    })
}
