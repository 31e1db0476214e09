//! In rooms where more may speak than there are slots: the loudest are heard. Who they are is one state for each room; which
//! slot carries whom is each viewer's, as he does not hear himself nor whom he has muted, and a voice belongs to its picture.

use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use rotunda_proto::sfu::{Event, MEMBER_CAMERA_SLOTS};
use rotunda_proto::voice_slots;

use super::Worker;
use super::spread::Place;
use crate::egress::Body;
use crate::loudest::{COMFORT_NOISE, Entered, UNKNOWN_LEVEL};
use crate::packet::Packet;
use crate::slot::Want;
use crate::track::Publisher;

impl Worker {
    /// Takes the level of a microphone's packet in, which may change who is heard. The packet is in its stream's history.
    pub(super) fn hear(&mut self, now: Instant, track: usize, packet: &Packet) {
        let Some(Some(state)) = self.tracks.get(track) else {
            return;
        };
        let user = match &state.publisher {
            Publisher::Here(index) => {
                let session = self.sessions.get(*index).and_then(Option::as_ref);
                session.and_then(|session| session.user.as_ref())
            }
            Publisher::There(replica) => Some(&replica.user),
        };
        let (Some(user), Some(room)) = (user, self.rooms.get_mut(&state.room)) else {
            return;
        };
        let is_newest = room
            .members
            .get(user)
            .is_some_and(|member| match (&member.place, &state.publisher) {
                (Place::Here(newest), Publisher::Here(index)) => newest == index,
                (Place::There { tracks, .. }, Publisher::There(_)) => tracks.iter().any(|(_, own)| *own == track),
                _ => false,
            });
        let Some(loudest) = room.loudest.as_mut().filter(|_| is_newest) else {
            return;
        };
        if let Some(entered) = loudest.handle_level(now, user, level(packet)) {
            counter!("rotunda_sfu_voice_switches_total").increment(1);
            let room = state.room.clone();
            self.seat_all(now, &room, Some(&entered));
        }
    }

    /// Somebody has come, gone or changed his permissions: who may not be heard any more makes room.
    pub(super) fn drop_voice(&mut self, now: Instant, key: &RoomKey, user: &UserId) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let microphone = self.find_track(room, user, TrackSource::Audio);
        if microphone.is_some_and(|track| self.may_flow(track)) {
            return;
        }
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.loudest.as_mut().is_some_and(|loudest| loudest.remove(user)) {
            self.seat_all(now, key, None);
        }
    }

    fn seat_all(&mut self, now: Instant, room: &RoomKey, entered: Option<&Entered>) {
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        let sessions = room.sessions.clone();
        for index in sessions {
            if self.seat_voices(index) {
                self.subscribe(now, index);
                if let Some(entered) = entered {
                    self.pre_roll(now, index, entered);
                }
            }
        }
    }

    /// Gives each of those who are heard a slot of this viewer, if he hears the loudest, and tells him. Answers whether
    /// anything has changed.
    pub(super) fn seat_voices(&mut self, index: usize) -> bool {
        let Some(Some(session)) = self.sessions.get(index) else {
            return false;
        };
        let Some(wish) = &session.loudest else {
            return false;
        };
        let Some(room) = self.rooms.get_mut(&session.room) else {
            return false;
        };
        let loudest = room.loudest.get_or_insert_default();
        let mut voices: Vec<&UserId> = loudest
            .heard()
            .filter(|user| session.user.as_ref() != Some(*user) && !wish.except.contains(*user))
            .collect();
        // A map has no order of its own.
        voices.sort();
        let (sounds, pictures) = session.slots_by_kind();
        let before: Vec<Option<UserId>> = sounds
            .iter()
            .map(|slot| slot.want().map(|want| want.user.clone()))
            .collect();
        let is_camera = |want: &&Want| want.source == TrackSource::Camera;
        let cameras = pictures.iter().take(MEMBER_CAMERA_SLOTS);
        let cameras: Vec<Option<&UserId>> = cameras
            .map(|slot| slot.want().filter(is_camera).map(|want| &want.user))
            .collect();
        let after = voice_slots::seat_voices(before.len(), &before, &cameras, voices);
        if after == before {
            return false;
        }
        let (id, key) = (session.id, session.room.clone());
        if let Some(Some(session)) = self.sessions.get_mut(index) {
            session.set_voices(&after);
        }
        let event = Event::Voices {
            session: id,
            audio: after,
        };
        self.events.tell(&key, event);
        true
    }

    /// Sends a viewer what somebody said just before he was heard.
    fn pre_roll(&mut self, now: Instant, index: usize, entered: &Entered) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let carries = |want: &Want| want.user == entered.user && want.source == TrackSource::Audio;
        let slot = session.slots.iter().position(|slot| slot.want().is_some_and(carries));
        let Some((slot, id)) = slot.and_then(|slot| Some((slot, session.slots[slot].target?))) else {
            return;
        };
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if session.slots[slot].flowing() == Some(id) || !session.egress.is_ready() {
            return;
        }
        let packets: Vec<Arc<Packet>> = stream.history.since(entered.since).cloned().collect();
        let types = session.payload_types(session.slots[slot].mid, stream.params);
        let (Some(first), Some(types)) = (packets.first(), types) else {
            return;
        };
        let source_type = *stream.params.pt();
        session.slots[slot].switch(id, source_type, first, stream.clock_rate(), types);
        for packet in &packets {
            if let Some(rewritten) = session.slots[slot].rewrite(packet) {
                let body = Body::Media(Arc::clone(packet));
                session.egress.push(&session.slots, slot, rewritten, body);
            }
        }
        self.want_flush(now, index, true);
    }
}

/// dBov, 0 (loudest) to -127.
fn level(packet: &Packet) -> i8 {
    match packet.audio_level {
        // RFC 6464 §3: seven bits of -dBov, under the one that says whether there is a voice.
        Some(level) => -((level & 0x7f) as i8),
        None if packet.payload.len() > COMFORT_NOISE => UNKNOWN_LEVEL,
        None => -127,
    }
}
