//! Who gets what: a slot's wish becomes a place at a track, and of the track's layers the one that fits the viewer's link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use rotunda_proto::sfu::Event;
use str0m::format::Codec;
use str0m::media::MediaKind;

use super::spread::Place;
use super::{Room, Worker};
use crate::allocator::{self, Decision, Layer, Link, Reason, Request, Shown};
use crate::egress::Body;
use crate::packet::{Packet, StreamId};
use crate::session::Session;
use crate::track::{Stream, Viewer};
use crate::wire::layers::Point;

/// What a sound slot in use takes, bits a second, headers included.
const SOUND: u64 = 60_000;
/// Share of the estimate that is planned with; the rest is for resends and bursts.
const PLANNED: f64 = 0.92;
/// What a layer takes before it was measured, bits a second, lowest first.
const ASSUMED: [u64; 3] = [150_000, 500_000, 1_500_000];
/// A cached group of pictures is sent when the link swallows it in this time.
const CATCH_UP: Duration = Duration::from_millis(800);

impl Worker {
    /// Everybody who wants this member's tracks looks for them again: they have come, gone or changed hands.
    pub(super) fn resubscribe_viewers_of(&mut self, now: Instant, room: &RoomKey, user: &UserId) {
        self.drop_voice(now, room, user);
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        let wants = |session: &Session| {
            let mut wants = session.slots.iter().filter_map(|slot| slot.want());
            wants.any(|want| want.user == *user)
        };
        let viewers: Vec<usize> = room
            .sessions
            .iter()
            .copied()
            .filter(|index| self.sessions.get(*index).and_then(Option::as_ref).is_some_and(wants))
            .collect();
        for viewer in viewers {
            self.subscribe(now, viewer);
        }
    }

    /// Puts a viewer's slots to the tracks that they want, and away from those that they do not want any more.
    pub(super) fn subscribe(&mut self, now: Instant, index: usize) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        let Some(room) = self.rooms.get(&session.room) else {
            return;
        };
        let found: Vec<Option<usize>> = session
            .slots
            .iter()
            .map(|slot| {
                let want = slot.want()?;
                // Nobody hears himself.
                let track = self
                    .find_track(room, &want.user, want.source)
                    .filter(|_| session.user.as_ref() != Some(&want.user));
                track.filter(|track| self.may_flow(*track))
            })
            .collect();
        for (slot, track) in found.into_iter().enumerate() {
            self.put(Viewer { session: index, slot }, track);
        }
        self.allocate(now, index);
    }

    pub(super) fn find_track(&self, room: &Room, user: &UserId, source: TrackSource) -> Option<usize> {
        match &room.members.get(user)?.place {
            Place::Here(index) => self.sessions.get(*index)?.as_ref()?.tracks.get(&source).copied(),
            Place::There { tracks, .. } => {
                let found = tracks.iter().find(|(of, _)| *of == source);
                found.map(|(_, track)| *track)
            }
        }
    }

    /// Makes a slot the viewer of this track, and of no other.
    fn put(&mut self, viewer: Viewer, track: Option<usize>) {
        let Some(Some(session)) = self.sessions.get_mut(viewer.session) else {
            return;
        };
        let slot = &mut session.slots[viewer.slot];
        let before = std::mem::replace(&mut slot.track, track);
        if track.is_none() {
            slot.target = None;
            slot.chosen = None;
            slot.stop();
        }
        if before == track {
            return;
        }
        if let Some(Some(before)) = before.and_then(|before| self.tracks.get_mut(before)) {
            before.viewers.retain(|other| *other != viewer);
        }
        if let Some(Some(track)) = track.and_then(|track| self.tracks.get_mut(track)) {
            track.viewers.push(viewer);
        }
    }

    /// A track has another stream or another size.
    pub(super) fn reallocate_viewers(&mut self, now: Instant, track: usize) {
        let viewers: Vec<usize> = match self.tracks.get(track) {
            Some(Some(track)) => track.viewers.iter().map(|viewer| viewer.session).collect(),
            _ => return,
        };
        for viewer in viewers {
            self.allocate(now, viewer);
        }
    }

    /// Chooses the stream of each of a viewer's slots.
    pub(super) fn allocate(&mut self, now: Instant, index: usize) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        if !session.connected {
            return;
        }
        let mut sounds = Vec::new();
        let mut pictures = Vec::new();
        for (slot, state) in session.slots.iter().enumerate() {
            let Some(want) = state.want() else {
                continue;
            };
            let layers = self.layers(now, index, slot, want.max_height);
            match state.kind {
                MediaKind::Audio => sounds.push((slot, layers.last().map(Layer::shown))),
                MediaKind::Video => {
                    let mut request = Request {
                        layers,
                        current: state.flowing().map(|stream| Shown {
                            stream,
                            point: state.shown(),
                        }),
                        waits_from: None,
                    };
                    request.waits_from = state.tries.waits_from(now, &request);
                    pictures.push((want.source != TrackSource::Screen, slot, request));
                }
            }
        }
        // The screen first, then the stage in its order.
        pictures.sort_by_key(|(is_camera, slot, _)| (*is_camera, *slot));
        let slots: Vec<usize> = pictures.iter().map(|(_, slot, _)| *slot).collect();
        let requests: Vec<Request> = pictures.into_iter().map(|(_, _, request)| request).collect();
        let sound = SOUND * sounds.iter().filter(|(_, stream)| stream.is_some()).count() as u64;
        let estimate = session.egress.estimator.estimate();
        let budget = estimate.map(|bits| ((bits as f64 * PLANNED) as u64).saturating_sub(sound));
        let link = Link {
            budget,
            narrow: session.egress.estimator.is_narrow(now),
            carries_all: session.egress.estimator.carries_all(now),
        };
        let chosen = allocator::allocate(link, &requests);
        let wanted = allocator::wanted(&requests);
        if let Some(Some(session)) = self.sessions.get_mut(index) {
            session.wanted = wanted + sound;
            let room = (wanted as f64 * 1.3) as u64;
            session
                .egress
                .estimator
                .set_wanted(if wanted > 0 { room + sound } else { 0 });
        }
        for (slot, shown) in sounds {
            self.set_target(now, index, slot, shown, false);
        }
        for ((slot, chosen), request) in slots.into_iter().zip(chosen).zip(requests) {
            let shown = chosen.map(|chosen| {
                let comes = |id| self.streams.get(&id).is_some_and(|stream| stream.is_alive(now));
                allocator::stand_in(&request, chosen, comes)
            });
            self.set_target(now, index, slot, shown, shown.is_none() && !request.layers.is_empty());
            self.choose(now, index, slot, chosen);
            self.note_decision(now, index, slot, &request, chosen);
        }
    }

    fn note_decision(&mut self, now: Instant, index: usize, slot: usize, request: &Request, chosen: Option<Shown>) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let decision = Decision::new(request, chosen);
        let state = &mut session.slots[slot];
        let before = std::mem::replace(&mut state.decided, decision);
        if let Some(reason) = decision.reason(&before, request) {
            if let (Reason::LinkFalls | Reason::Pauses, Some(failed)) = (reason, before.shown_of(request)) {
                state.tries.fail(now, failed);
            }
            counter!("rotunda_sfu_allocations_total", "reason" => reason.name()).increment(1);
        }
    }

    /// What can be chosen of a slot's track and is of use, lowest first.
    fn layers(&self, now: Instant, index: usize, slot: usize, max_height: Option<u16>) -> Vec<Layer> {
        let session = self.sessions.get(index).and_then(Option::as_ref);
        let track = session.and_then(|session| self.tracks.get(session.slots[slot].track?)?.as_ref());
        let Some(track) = track else {
            return Vec::new();
        };
        let mut streams: Vec<(StreamId, _)> = track
            .streams
            .iter()
            .filter_map(|id| Some((*id, self.streams.get(id)?)))
            .filter(|(_, stream)| stream.is_alive(now) || stream.demand.sleeps() || track.streams.len() == 1)
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
            if layer.bitrate == 0 {
                layer.bitrate = ASSUMED[layers.len().min(ASSUMED.len() - 1)];
            }
            layers.push(layer);
        }
        layers
    }

    /// Notes that a slot's source is sent in a codec that the viewer cannot decode (None: he can), and tells him once.
    fn refuse(&mut self, index: usize, slot: usize, codec: Option<Codec>) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let state = &mut session.slots[slot];
        let before = std::mem::replace(&mut state.refused, codec);
        let (Some(codec), Some(want)) = (codec.filter(|_| codec != before), state.want()) else {
            return;
        };
        counter!("rotunda_sfu_codec_refusals_total").increment(1);
        let event = Event::CodecNotSupported {
            session: session.id,
            user: want.user.clone(),
            source: want.source,
            codec: codec.to_string(),
        };
        self.events.tell(&session.room, event);
    }

    /// Notes the layer that a slot is to have; one that its publisher was told to pause is asked for again at once.
    fn choose(&mut self, now: Instant, index: usize, slot: usize, chosen: Option<Shown>) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let chosen = chosen.filter(|_| session.slots[slot].refused.is_none());
        session.slots[slot].chosen = chosen.map(|chosen| chosen.stream);
        if let Some(chosen) = chosen
            && let Some(stream) = self.streams.get(&chosen.stream)
            && stream.is_off(chosen.point)
        {
            self.update_demand(now, stream.track);
        }
    }

    /// Puts sound slots that all had one voice to another's track; None: it is not there. What else their viewers are shown stays.
    pub(super) fn move_sound(&mut self, now: Instant, slots: &[Viewer], track: Option<usize>) {
        let mut left = Vec::new();
        for viewer in slots {
            if let Some(Some(session)) = self.sessions.get_mut(viewer.session) {
                let before = std::mem::replace(&mut session.slots[viewer.slot].track, track);
                left.extend(before.filter(|before| !left.contains(before)));
            }
        }
        // Each track's viewers once, not once for each who goes.
        for before in left {
            let sessions = &self.sessions;
            if let Some(Some(state)) = self.tracks.get_mut(before) {
                state.viewers.retain(|viewer| {
                    let session = sessions.get(viewer.session).and_then(Option::as_ref);
                    session.is_some_and(|session| session.slots[viewer.slot].track == Some(before))
                });
            }
        }
        if let Some(Some(state)) = track.and_then(|track| self.tracks.get_mut(track)) {
            state.viewers.extend_from_slice(slots);
        }
        let Some(Viewer { session, slot }) = slots.first().copied() else {
            return;
        };
        let sound = self.layers(now, session, slot, None).last().map(Layer::shown);
        for viewer in slots {
            let session = self.sessions.get(viewer.session).and_then(Option::as_ref);
            if session.is_some_and(|session| session.connected) {
                self.set_target(now, viewer.session, viewer.slot, sound, false);
            }
        }
    }

    /// Shows a stream from its next key frame on, which is asked for; or from the newest one that is cached.
    fn set_target(&mut self, now: Instant, index: usize, slot: usize, shown: Option<Shown>, paused: bool) {
        let stream = shown.map(|shown| shown.stream);
        let point = shown.map_or(Point::default(), |shown| shown.point);
        let top = stream.and_then(|id| self.streams.get(&id)).map(|stream| stream.reach());
        let top = top.unwrap_or_default();
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let params = stream.and_then(|id| self.streams.get(&id)).map(|stream| stream.params);
        let source_type = params.map(|params| *params.pt());
        let state = &mut session.slots[slot];
        state.paused = paused;
        if state.target == stream && state.target_type == source_type {
            let waited = state.waits_for();
            state.set_point(point, top);
            // Larger pictures inside the stream begin with a key frame, too; those that sleep, of themselves.
            let wakes = stream.and_then(|id| self.streams.get(&id));
            let wakes = wakes.is_some_and(|stream| stream.sleeps(point));
            if let Some(waits) = state.waits_for().filter(|_| waited.is_none() && !wakes) {
                self.want_keyframe(now, waits);
            }
            return;
        }
        let mid = state.mid;
        let refused = params
            .filter(|params| session.payload_types(mid, *params).is_none())
            .map(|params| params.spec().codec);
        // What waits on its way was meant for the slot as it was.
        for id in [session.slots[slot].target, stream].into_iter().flatten() {
            self.fan_out_stream(now, id);
        }
        let stream = stream.filter(|_| refused.is_none());
        self.refuse(index, slot, refused);
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let state = &mut session.slots[slot];
        (state.target, state.target_type) = (stream, source_type);
        state.set_point(point, top);
        let Some(stream) = stream else {
            // What was shown is not to be sent any more.
            state.stop();
            return;
        };
        let is_video = state.kind == MediaKind::Video;
        if state.flowing() == Some(stream) || !is_video {
            return;
        }
        let shows_something = state.flowing().is_some();
        if shows_something || !self.catch_up(now, index, slot, stream) {
            self.want_keyframe(now, stream);
        }
    }

    /// Gives a joiner the cached group of pictures. Answers whether it did.
    fn catch_up(&mut self, now: Instant, index: usize, slot: usize, id: StreamId) -> bool {
        let (Some(stream), Some(Some(session))) = (self.streams.get(&id), self.sessions.get_mut(index)) else {
            return false;
        };
        if !session.egress.is_ready() {
            return false;
        }
        let Some(pictures) = stream.history.gop(now) else {
            return false;
        };
        let pictures: Vec<Arc<Packet>> = pictures.cloned().collect();
        let bytes: usize = pictures.iter().map(|packet| packet.payload.len()).sum();
        if let Some(estimate) = session.egress.estimator.estimate()
            && bytes as f64 * 8.0 > estimate as f64 * CATCH_UP.as_secs_f64()
        {
            return false;
        }
        let (Some(first), Some(last)) = (pictures.first(), pictures.last()) else {
            return false;
        };
        let Some(types) = session.payload_types(session.slots[slot].mid, stream.params) else {
            return false;
        };
        let source_type = *stream.params.pt();
        session.slots[slot].switch_to_past(id, source_type, first, stream.clock_rate(), types);
        for packet in &pictures {
            if let Some(rewritten) = session.slots[slot].rewrite(packet) {
                let body = Body::Media(Arc::clone(packet));
                session.egress.push(&session.slots, slot, rewritten, body);
            }
        }
        session.slots[slot].catch_up_done(last);
        self.want_flush(now, index, true);
        true
    }
}
