//! Counts which layers are watched, and tells their publisher to pause the others: simulcast streams, or spatial layers inside one
//! stream.

use std::time::Instant;

use metrics::counter;
use rotunda_proto::sfu::{Client, Event};
use str0m::media::Mid;

use super::Worker;
use super::relay::RelayMessage;
use crate::ingress::packet::StreamId;
use crate::ingress::stream::Stream;
use crate::ingress::stream_layers::StreamLayers;
use crate::ingress::track::{Publisher, Track, Viewer, Watched};
use crate::slab::{SessionIndex, TrackIndex};

impl Worker {
    /// Counts the viewers of a member's layers, when it is time.
    pub(super) fn count_layer_viewers(&mut self, now: Instant, index: SessionIndex) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if !session.uplink.poll_layers(now) {
            return;
        }
        let tracks: Vec<TrackIndex> = session.uplink.tracks().map(|(_, track)| track).collect();
        for track in tracks {
            self.update_demand(now, track);
        }
    }

    /// Finds out which layers of a track are watched, and tells its publisher if others are to be sent from now on.
    pub(super) fn update_demand(&mut self, now: Instant, track: TrackIndex) {
        let Some(found) = self.tracks.get(track).filter(|_| self.may_flow(track)) else {
            return;
        };
        let is_told = match found.publisher() {
            Publisher::Here(index) => {
                let publisher = self.sessions.get(*index);
                publisher.is_some_and(|publisher| publisher.client() == Client::Signaled)
            }
            Publisher::Elsewhere(_) => true,
        };
        let streams = self.tracks.streams_of(found);
        let mut layers: Vec<(StreamId, &Stream)> = streams.filter(|(_, stream)| stream.rid().is_some()).collect();
        if layers.len() < 2 {
            return self.update_demand_inside(now, track, is_told);
        }
        Stream::sort_by_size(&mut layers);
        let layers: Vec<StreamId> = layers.into_iter().map(|(id, _)| id).collect();
        self.update_link_flows(now, track, &layers);
        let Some(found) = self.tracks.get(track).filter(|_| is_told) else {
            return;
        };
        let mut watched = self.watched_layers(found, &layers);
        for elsewhere in found.watched_elsewhere() {
            for (id, watched) in layers.iter().zip(&mut watched) {
                *watched |= elsewhere.stream == *id;
            }
        }
        if let Publisher::Elsewhere(_) = found.publisher() {
            let layers = layers
                .into_iter()
                .zip(watched)
                .filter(|(stream, _)| self.tracks.stream(*stream).is_some_and(|stream| !stream.is_barred()))
                .filter_map(|(stream, is)| is.then_some(Watched { stream, spatial: 0 }))
                .collect();
            return self.relay_watched(track, layers);
        }
        // All viewers fall back to the lowest layer.
        watched[0] = true;
        self.update_simulcast_demand(now, track, &layers, &watched);
    }

    /// Updates each simulcast layer, and tells the publisher if one is to be paused or woken.
    fn update_simulcast_demand(&mut self, now: Instant, track: TrackIndex, layers: &[StreamId], watched: &[bool]) {
        let mut changed = None;
        for (id, watched) in layers.iter().zip(watched) {
            let Some(stream) = self.tracks.stream_mut(*id) else {
                continue;
            };
            let before = stream.demand();
            stream.update_demand(now, *watched);
            let (demand, mid) = (stream.demand(), stream.mid());
            if demand != before {
                let layer = Watched {
                    stream: *id,
                    spatial: 0,
                };
                self.relay_demand(layer, demand);
            }
            if demand.is_off() != before.is_off() {
                let to = if demand.is_off() { "off" } else { "on" };
                counter!("rotunda_sfu_layers_switched_total", "to" => to).increment(1);
                changed = Some(mid);
            }
        }
        if let Some(mid) = changed {
            self.tell_layers(track, mid, layers);
        }
    }

    /// Which of a track's layers viewers of this worker are shown, are to be shown or wait for.
    fn watched_layers(&self, track: &Track, layers: &[StreamId]) -> Vec<bool> {
        let mut watched = vec![false; layers.len()];
        for viewer in track.viewers() {
            if watched.iter().all(|watched| *watched) {
                break;
            }
            let session = self.sessions.get(viewer.session);
            let Some(slot) = session.and_then(|session| session.downlink.slot(viewer.slot)) else {
                continue;
            };
            for id in [slot.chosen(), slot.target(), slot.flowing()].into_iter().flatten() {
                if let Some(layer) = layers.iter().position(|layer| *layer == id) {
                    watched[layer] = true;
                }
            }
        }
        watched
    }

    /// The same for spatial layers inside the track's one stream.
    fn update_demand_inside(&mut self, now: Instant, track: TrackIndex, is_told: bool) {
        let Some(found) = self.tracks.get(track) else {
            return;
        };
        let streams = self.tracks.streams_of(found).filter(|(_, stream)| stream.has_layers());
        // A silent stream has been replaced by the newest one.
        let Some((_, id)) = streams.map(|(id, stream)| (stream.last_packet(), id)).max() else {
            return;
        };
        self.update_link_flows_inside(now, track, id);
        let Some(found) = self.tracks.get(track).filter(|_| is_told) else {
            return;
        };
        let watches = |viewer: &Viewer| {
            let session = self.sessions.get(viewer.session)?;
            session.downlink.slot(viewer.slot)?.watches(id)
        };
        let watched = found.viewers().iter().filter_map(watches).max();
        let elsewhere = found.watched_elsewhere().filter(|layer| layer.stream == id);
        let watched = elsewhere.map(|layer| layer.spatial).chain(watched).max();
        // The publisher is not asked for layers that the link from its node does not carry.
        let layers = self.tracks.stream(id).and_then(Stream::layers);
        let barred = layers.and_then(StreamLayers::barred_from);
        let watched = match barred {
            Some(barred) => watched.map(|watched| watched.min(barred.saturating_sub(1))),
            None => watched,
        };
        if let Publisher::Elsewhere(_) = found.publisher() {
            let layers = watched.map(|spatial| Watched { stream: id, spatial });
            return self.relay_watched(track, layers.into_iter().collect());
        }
        let source = found.source();
        let publisher = match found.publisher() {
            Publisher::Here(index) => *index,
            Publisher::Elsewhere(_) => return,
        };
        let Some(layers) = self.tracks.stream_mut(id).and_then(Stream::layers_mut) else {
            return;
        };
        let (before, asked) = (layers.demands(), layers.asked());
        layers.update_demands(now, watched);
        let mut changed = Vec::new();
        for ((before, demand), spatial) in before.into_iter().zip(layers.demands()).zip(0..) {
            if demand != before {
                changed.push((Watched { stream: id, spatial }, demand));
            }
        }
        let max_height = layers.asked();
        for (layer, demand) in changed {
            self.relay_demand(layer, demand);
        }
        if max_height == asked {
            return;
        }
        let more = max_height.is_none() || asked.is_some() && max_height > asked;
        let to = if more { "on" } else { "off" };
        counter!("rotunda_sfu_layers_switched_total", "to" => to).increment(1);
        if let Some(session) = self.sessions.get(publisher) {
            let event = Event::SpatialLayers {
                session: session.id(),
                source,
                max_height,
            };
            self.events.tell(session.room(), event);
        }
    }

    /// Tells the worker of a replica's publisher which layers are watched here, if it does not know it.
    fn relay_watched(&mut self, track: TrackIndex, layers: Vec<Watched>) {
        if let Some(track) = self.tracks.get_mut(track)
            && track.note_watched(&layers)
            && let Publisher::Elsewhere(replica) = track.publisher()
        {
            let watched = RelayMessage::Watched {
                track: replica.track,
                layers,
            };
            self.relay.push(replica.worker, watched);
        }
    }

    /// Names every layer of the line that is to be sent. Layers that never came are left to the publisher.
    fn tell_layers(&mut self, track: TrackIndex, mid: Mid, layers: &[StreamId]) {
        let Some(track) = self.tracks.get(track) else {
            return;
        };
        let Publisher::Here(index) = track.publisher() else {
            return;
        };
        let Some(session) = self.sessions.get(*index) else {
            return;
        };
        let Some(rids) = session.transport.rids(mid) else {
            return;
        };
        let paused: Vec<_> = layers
            .iter()
            .filter_map(|id| self.tracks.stream(*id))
            .filter(|stream| stream.demand().is_off())
            .filter_map(Stream::rid)
            .collect();
        let active = rids.iter().filter(|rid| !paused.contains(rid));
        let event = Event::Layers {
            session: session.id(),
            source: track.source(),
            active: active.map(ToString::to_string).collect(),
        };
        self.events.tell(session.room(), event);
    }
}
