//! Chooses the layer of each slot, by what the viewer's link carries.

use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::sfu::Event;
use str0m::format::Codec;

use super::Worker;
use crate::downlink::allocator::{self, Request};
use crate::downlink::slot::Pace;
use crate::ingress::layer::{Layer, Shown};
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::Stream;
use crate::ingress::track::Viewer;
use crate::slab::{SessionIndex, SlotIndex, TrackIndex};
use crate::units::Bitrate;

/// Bitrates of layers that were not measured yet, lowest layer first.
const ASSUMED: [Bitrate; 3] = [Bitrate::bits(150_000), Bitrate::bits(500_000), Bitrate::bits(1_500_000)];

/// The aim of a slot from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// There is nothing to show.
    Nothing,
    /// The link does not carry it.
    Pause,
    Show(Shown),
}

/// A video slot that competes for the link.
struct Candidate {
    slot: SlotIndex,
    /// The screen comes before all cameras.
    is_camera: bool,
    request: Request,
}

impl Worker {
    /// A track has another stream or another height.
    pub(super) fn reallocate_viewers(&mut self, now: Instant, track: TrackIndex) {
        let Some(track) = self.tracks.get(track) else {
            return;
        };
        let viewers: Vec<SessionIndex> = track.viewers().iter().map(|viewer| viewer.session).collect();
        for viewer in viewers {
            self.allocate(now, viewer);
        }
    }

    /// Chooses the stream of each of a viewer's slots.
    pub(super) fn allocate(&mut self, now: Instant, index: SessionIndex) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        if !session.transport.is_connected() {
            return;
        }
        let audio = self.audio_layers(now, index);
        let (slots, requests) = self.video_requests(now, index);
        let used = audio.iter().filter(|(_, shown)| shown.is_some()).count();
        let link = session.downlink.link(now, used);
        let chosen = allocator::allocate(link, &requests);
        if let Some(session) = self.sessions.get_mut(index) {
            session.downlink.set_wanted(allocator::wanted(&requests), used);
        }
        for (slot, shown) in audio {
            let viewer = Viewer { session: index, slot };
            self.aim(now, viewer, shown.map_or(Aim::Nothing, Aim::Show));
        }
        for ((slot, chosen), request) in slots.into_iter().zip(chosen).zip(requests) {
            let viewer = Viewer { session: index, slot };
            let aim = match chosen {
                Some(chosen) => {
                    let comes = |id| self.tracks.stream(id).is_some_and(|stream| stream.is_alive(now));
                    Aim::Show(allocator::stand_in(&request, chosen, comes))
                }
                None if request.layers.is_empty() => Aim::Nothing,
                None => Aim::Pause,
            };
            self.aim(now, viewer, aim);
            self.choose(now, viewer, chosen);
            self.note_decision(now, viewer, &request, chosen);
        }
    }

    /// The audio slots in use, with what there is for each.
    fn audio_layers(&self, now: Instant, index: SessionIndex) -> Vec<(SlotIndex, Option<Shown>)> {
        let slots = self.sessions.get(index).into_iter();
        let slots = slots.flat_map(|session| session.downlink.indexed_slots());
        let audio = slots.filter(|(_, slot)| !slot.is_video() && slot.want().is_some());
        audio
            .map(|(slot, _)| {
                let layers = self.layers(now, Viewer { session: index, slot }, None);
                (slot, layers.last().map(Layer::shown))
            })
            .collect()
    }

    /// The video slots in use, in order of importance: the screen first, then the stage in its order.
    fn video_requests(&self, now: Instant, index: SessionIndex) -> (Vec<SlotIndex>, Vec<Request>) {
        let slots = self.sessions.get(index).into_iter();
        let slots = slots.flat_map(|session| session.downlink.indexed_slots());
        let mut candidates: Vec<Candidate> = Vec::new();
        for (slot, state) in slots.filter(|(_, slot)| slot.is_video()) {
            let Some(want) = state.want() else {
                continue;
            };
            let mut request = Request {
                layers: self.layers(now, Viewer { session: index, slot }, want.max_height),
                current: state.flowing().map(|stream| Shown {
                    stream,
                    point: state.shown_point(),
                }),
                waits_from: None,
            };
            request.waits_from = state.backs_off_from(now, &request);
            candidates.push(Candidate {
                slot,
                is_camera: want.source != TrackSource::Screen,
                request,
            });
        }
        candidates.sort_by_key(|candidate| (candidate.is_camera, candidate.slot));
        candidates
            .into_iter()
            .map(|candidate| (candidate.slot, candidate.request))
            .unzip()
    }

    /// The layers of a slot's track that can be chosen and are of use, lowest first.
    fn layers(&self, now: Instant, viewer: Viewer, max_height: Option<u16>) -> Vec<Layer> {
        let session = self.sessions.get(viewer.session);
        let slot = session.and_then(|session| session.downlink.slot(viewer.slot));
        let Some(track) = slot.and_then(|slot| self.tracks.get(slot.track()?)) else {
            return Vec::new();
        };
        let is_only = track.streams().len() == 1;
        let mut streams: Vec<(StreamId, &Stream)> = self
            .tracks
            .streams_of(track)
            .filter(|(_, stream)| stream.is_alive(now) || stream.demand().sleeps() || is_only)
            .filter(|(_, stream)| !stream.is_barred())
            .collect();
        Stream::sort_by_size(&mut streams);
        let mut layers: Vec<Layer> = Vec::with_capacity(streams.len());
        let lowest = streams.first().map(|(id, _)| *id);
        let choices = streams
            .iter()
            .flat_map(|(id, stream)| stream.choices(*id, Some(*id) == lowest));
        for mut layer in choices {
            if let Some(below) = layers.last().filter(|below| !below.is_as_large_as(&layer))
                && below.height.zip(max_height).is_some_and(|(has, wanted)| has >= wanted)
            {
                break;
            }
            if layer.bitrate == Bitrate::ZERO {
                layer.bitrate = ASSUMED[layers.len().min(ASSUMED.len() - 1)];
            }
            layers.push(layer);
        }
        layers
    }

    fn note_decision(&mut self, now: Instant, viewer: Viewer, request: &Request, chosen: Option<Shown>) {
        let session = self.sessions.get_mut(viewer.session);
        let slot = session.and_then(|session| session.downlink.slot_mut(viewer.slot));
        if let Some(reason) = slot.and_then(|slot| slot.note_decision(now, request, chosen)) {
            counter!("rotunda_sfu_allocations_total", "reason" => reason.name()).increment(1);
        }
    }

    /// Notes the layer that a slot is to have. If its publisher was told to pause it, it is asked for again at once.
    fn choose(&mut self, now: Instant, viewer: Viewer, chosen: Option<Shown>) {
        let session = self.sessions.get_mut(viewer.session);
        let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) else {
            return;
        };
        let chosen = chosen.filter(|_| !slot.is_refused());
        slot.choose(chosen.map(|chosen| chosen.stream));
        if let Some(chosen) = chosen
            && let Some(stream) = self.tracks.stream(chosen.stream)
            && stream.is_off(chosen.point)
        {
            self.update_demand(now, stream.track());
        }
    }

    /// Gives audio slots that show one track its stream.
    pub(super) fn allocate_audio(&mut self, now: Instant, slots: &[Viewer]) {
        let Some(first) = slots.first() else {
            return;
        };
        let shown = self.layers(now, *first, None).last().map(Layer::shown);
        for viewer in slots {
            let session = self.sessions.get(viewer.session);
            if session.is_some_and(|session| session.transport.is_connected()) {
                self.aim(now, *viewer, shown.map_or(Aim::Nothing, Aim::Show));
            }
        }
    }

    /// Shows a stream from its next keyframe on, which is asked for; or from the newest keyframe that is cached.
    fn aim(&mut self, now: Instant, viewer: Viewer, aim: Aim) {
        let session = self.sessions.get(viewer.session);
        let Some(slot) = session.and_then(|session| session.downlink.slot(viewer.slot)) else {
            return;
        };
        let before = slot.target();
        let shown = match aim {
            Aim::Show(shown) => self.tracks.stream(shown.stream).map(|stream| (shown, stream)),
            Aim::Nothing | Aim::Pause => None,
        };
        let Some((shown, stream)) = shown else {
            // Packets that wait were meant for the slot as it was.
            if let Some(before) = before {
                self.fan_out_stream(now, before);
            }
            return self.stop(viewer, aim);
        };
        let source_type = *stream.params().pt();
        if slot.aims_at(shown.stream, source_type) {
            return self.change_point(now, viewer, shown);
        }
        let (params, line) = (stream.params(), *slot.mid());
        let types = session.and_then(|session| session.transport.payload_types(line, params));
        // As above.
        for id in before.into_iter().chain([shown.stream]) {
            self.fan_out_stream(now, id);
        }
        if types.is_none() {
            return self.refuse(viewer, params.spec().codec);
        }
        self.retarget(now, viewer, shown, source_type);
    }

    /// The slot's target is another stream.
    fn retarget(&mut self, now: Instant, viewer: Viewer, shown: Shown, source_type: u8) {
        let reach = self.tracks.stream(shown.stream).map(Stream::reach);
        let session = self.sessions.get_mut(viewer.session);
        let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) else {
            return;
        };
        slot.retarget(shown, source_type, reach.unwrap_or_default());
        if slot.flowing() == Some(shown.stream) || !slot.is_video() {
            return;
        }
        let shows_something = slot.flowing().is_some();
        if shows_something || !self.catch_up(now, viewer, shown.stream) {
            self.want_keyframe(now, shown.stream);
        }
    }

    /// The slot's target is the same stream, perhaps up to other layers.
    fn change_point(&mut self, now: Instant, viewer: Viewer, shown: Shown) {
        let Some(stream) = self.tracks.stream(shown.stream) else {
            return;
        };
        let session = self.sessions.get_mut(viewer.session);
        let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) else {
            return;
        };
        let waited = slot.waits_for();
        slot.set_point(shown.point, stream.reach());
        // Larger frames inside the stream begin with a keyframe, too. A paused layer brings its own when it is woken.
        let waits = slot
            .waits_for()
            .filter(|_| waited.is_none() && !stream.sleeps(shown.point));
        if let Some(waits) = waits {
            self.want_keyframe(now, waits);
        }
    }

    fn stop(&mut self, viewer: Viewer, aim: Aim) {
        let session = self.sessions.get_mut(viewer.session);
        if let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) {
            match aim {
                Aim::Pause => slot.pause(),
                Aim::Nothing | Aim::Show(_) => slot.clear_target(),
            }
        }
    }

    /// The slot's source is sent in a codec that the viewer cannot decode. The viewer is told once.
    fn refuse(&mut self, viewer: Viewer, codec: Codec) {
        let Some(session) = self.sessions.get_mut(viewer.session) else {
            return;
        };
        let (id, room) = (session.id(), session.room().clone());
        let Some(slot) = session.downlink.slot_mut(viewer.slot) else {
            return;
        };
        if let (true, Some(want)) = (slot.refuse(codec), slot.want()) {
            counter!("rotunda_sfu_codec_refusals_total").increment(1);
            let event = Event::CodecNotSupported {
                session: id,
                user: want.user.clone(),
                source: want.source,
                codec: codec.to_string(),
            };
            self.events.tell(&room, event);
        }
    }

    /// Gives a new viewer the cached group of pictures. Answers whether it did.
    fn catch_up(&mut self, now: Instant, viewer: Viewer, id: StreamId) -> bool {
        let (Some(stream), Some(session)) = (self.tracks.stream(id), self.sessions.get(viewer.session)) else {
            return false;
        };
        if !session.downlink.is_ready() {
            return false;
        }
        let Some(frames) = stream.history().group_of_pictures(now) else {
            return false;
        };
        let packets: Vec<Arc<Packet>> = frames.cloned().collect();
        let bytes = packets.iter().map(|packet| packet.payload.len()).sum();
        session.downlink.carries_catch_up(bytes) && self.send_cached(now, viewer, id, &packets, Pace::CatchUp)
    }
}
