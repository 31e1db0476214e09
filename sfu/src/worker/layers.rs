//! Which layers somebody watches, and telling their publisher to pause the rest: simulcast streams, or sizes inside one stream.

use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::sfu::{Client, Event};
use str0m::media::{Mid, Rids};

use super::Worker;
use super::spread::Handover;
use crate::packet::StreamId;
use crate::track::{Publisher, Stream, Track, Viewer, Watched};

/// Viewers of a track are gone through so often.
const INTERVAL: Duration = Duration::from_millis(500);

impl Worker {
    /// Looks, when it is time, at the layers that a member sends.
    pub(super) fn check_layers(&mut self, now: Instant, index: usize) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        if session.streams.is_empty() || now < session.layers_at {
            return;
        }
        session.layers_at = now + INTERVAL;
        let tracks: Vec<usize> = session.tracks.values().copied().collect();
        for track in tracks {
            self.update_demand(now, track);
        }
    }

    /// Finds out which layers of a track are watched, and tells its publisher when others are to be sent from now on.
    pub(super) fn update_demand(&mut self, now: Instant, track: usize) {
        let Some(Some(found)) = self.tracks.get(track).filter(|_| self.may_flow(track)) else {
            return;
        };
        if let Publisher::Here(index) = found.publisher {
            let publisher = self.sessions.get(index).and_then(Option::as_ref);
            if !publisher.is_some_and(|publisher| publisher.client == Client::Signaled) {
                return;
            }
        }
        let streams = found.streams.iter().filter_map(|id| Some((*id, self.streams.get(id)?)));
        let mut layers: Vec<(StreamId, &Stream)> = streams.filter(|(_, stream)| stream.rid.is_some()).collect();
        if layers.len() < 2 {
            return self.update_demand_inside(now, track);
        }
        Stream::sort_by_size(&mut layers);
        let layers: Vec<StreamId> = layers.into_iter().map(|(id, _)| id).collect();
        let mut watched = self.watched_layers(found, &layers);
        if let Publisher::There(replica) = &found.publisher {
            let layers = layers
                .into_iter()
                .zip(watched)
                .filter_map(|(stream, is)| is.then_some(Watched { stream, spatial: 0 }))
                .collect();
            let (worker, there) = (replica.worker, replica.track);
            return self.tell_watched(track, worker, there, layers);
        }
        // The lowest is what everybody falls back to.
        watched[0] = true;
        for (_, there) in &found.watched_there {
            for (id, watched) in layers.iter().zip(&mut watched) {
                *watched |= there.iter().any(|layer| layer.stream == *id);
            }
        }
        let neighbours = found.neighbours.clone();
        let mut changed = None;
        for (id, watched) in layers.iter().zip(watched) {
            let Some(stream) = self.streams.get_mut(id) else {
                continue;
            };
            let was_off = stream.demand.is_off();
            let before = stream.demand;
            stream.demand.update(now, watched, stream.last_packet);
            let demand = stream.demand;
            if demand != before {
                for worker in &neighbours {
                    let layer = Watched {
                        stream: *id,
                        spatial: 0,
                    };
                    self.handovers.push(*worker, Handover::Demand { layer, demand });
                }
            }
            if stream.demand.is_off() != was_off {
                let to = if was_off { "on" } else { "off" };
                counter!("rotunda_sfu_layers_switched_total", "to" => to).increment(1);
                changed = Some(stream.mid);
            }
        }
        if let Some(mid) = changed {
            self.tell_layers(track, mid, &layers);
        }
    }

    /// Which of a track's layers viewers of this worker are shown, are to be shown or wait for.
    fn watched_layers(&self, track: &Track, layers: &[StreamId]) -> Vec<bool> {
        let mut watched = vec![false; layers.len()];
        for viewer in &track.viewers {
            if watched.iter().all(|watched| *watched) {
                break;
            }
            let Some(Some(session)) = self.sessions.get(viewer.session) else {
                continue;
            };
            let slot = &session.slots[viewer.slot];
            for id in [slot.chosen, slot.target, slot.flowing()].into_iter().flatten() {
                if let Some(layer) = layers.iter().position(|layer| *layer == id) {
                    watched[layer] = true;
                }
            }
        }
        watched
    }

    /// The same for spatial layers inside the track's one stream.
    fn update_demand_inside(&mut self, now: Instant, track: usize) {
        let Some(Some(found)) = self.tracks.get(track) else {
            return;
        };
        let has_layers = |id: &StreamId| {
            let stream = self.streams.get(id)?;
            stream.layers.as_ref().map(|_| (stream.last_packet, *id))
        };
        // Another one that is silent has been replaced by it.
        let Some((_, id)) = found.streams.iter().filter_map(has_layers).max() else {
            return;
        };
        let watches = |viewer: &Viewer| {
            let session = self.sessions.get(viewer.session)?.as_ref()?;
            session.slots[viewer.slot].watches(id)
        };
        let watched = found.viewers.iter().filter_map(watches).max();
        if let Publisher::There(replica) = &found.publisher {
            let layers = watched.map(|spatial| Watched { stream: id, spatial });
            let (worker, there) = (replica.worker, replica.track);
            return self.tell_watched(track, worker, there, layers.into_iter().collect());
        }
        let there = found.watched_there.iter().flat_map(|(_, layers)| layers);
        let there = there.filter(|layer| layer.stream == id).map(|layer| layer.spatial);
        let watched = there.chain(watched).max();
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(layers) = stream.layers.as_mut() else {
            return;
        };
        let (before, asked) = (layers.demands(), layers.asked());
        layers.update_demands(now, watched);
        for ((before, demand), spatial) in before.into_iter().zip(layers.demands()).zip(0..) {
            if demand != before {
                for worker in &found.neighbours {
                    let layer = Watched { stream: id, spatial };
                    self.handovers.push(*worker, Handover::Demand { layer, demand });
                }
            }
        }
        let max_height = layers.asked();
        if max_height == asked {
            return;
        }
        let more = max_height.is_none() || asked.is_some() && max_height > asked;
        let to = if more { "on" } else { "off" };
        counter!("rotunda_sfu_layers_switched_total", "to" => to).increment(1);
        if let Publisher::Here(index) = found.publisher
            && let Some(Some(session)) = self.sessions.get(index)
        {
            let event = Event::SpatialLayers {
                session: session.id,
                source: found.source,
                max_height,
            };
            self.events.tell(&session.room, event);
        }
    }

    /// Tells the publisher's worker, when it does not know it.
    fn tell_watched(&mut self, track: usize, worker: usize, there: usize, layers: Vec<Watched>) {
        if let Some(Some(track)) = self.tracks.get_mut(track)
            && track.told_watched != layers
        {
            track.told_watched.clone_from(&layers);
            let watched = Handover::Watched { track: there, layers };
            self.handovers.push(worker, watched);
        }
    }

    /// Names every layer of the line that is to be sent; those that never came are left to the publisher.
    fn tell_layers(&mut self, track: usize, mid: Mid, layers: &[StreamId]) {
        let Some(Some(track)) = self.tracks.get(track) else {
            return;
        };
        let Publisher::Here(index) = track.publisher else {
            return;
        };
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        let Some(Rids::Specific(rids)) = session.rtc.media(mid).map(|media| media.rids_rx()) else {
            return;
        };
        let paused: Vec<_> = layers
            .iter()
            .filter_map(|id| self.streams.get(id))
            .filter(|stream| stream.demand.is_off())
            .filter_map(|stream| stream.rid)
            .collect();
        let active = rids.iter().filter(|rid| !paused.contains(rid));
        let event = Event::Layers {
            session: session.id,
            source: track.source,
            active: active.map(ToString::to_string).collect(),
        };
        self.events.tell(&session.room, event);
    }
}
