//! In rooms where more may speak than there are slots: the loudest are heard. Who they are is one state for each room; which
//! slot carries whom is each viewer's, as he does not hear himself nor whom he has muted, and a voice belongs to its picture.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{Event, MEMBER_CAMERA_SLOTS};
use rotunda_proto::voice_slots;

use super::Worker;
use super::spread::Place;
use crate::egress::Body;
use crate::loudest::{COMFORT_NOISE, Entered, UNKNOWN_LEVEL};
use crate::packet::Packet;
use crate::slot::Want;
use crate::track::{Publisher, Viewer};

/// Listeners who are given a new voice in a row: media must not wait for a room of thousands, so the next ones have their turn
/// after a pause.
const IN_A_ROW: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// New voices on their way to their listeners, first come first served. Each microphone of a room is in it once or twice: who is
/// heard can enter again only after a pause, which is longer than all of this takes.
#[derive(Debug, Default)]
pub(super) struct Seatings {
    queue: VecDeque<Seating>,
    due: Option<Instant>,
}

#[derive(Debug)]
struct Seating {
    room: RoomKey,
    entered: Entered,
    /// Those who have not been served; the last is the next.
    listeners: Vec<SessionId>,
}

impl Seatings {
    pub(super) fn next(&self) -> Option<Instant> {
        self.due
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

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
            self.seat(now, room, entered);
        }
    }

    /// Somebody new is heard. For most listeners he has the slot of whom he is heard instead of, and nothing else changes: at a
    /// thousand of them the rest would keep the worker from its packets.
    fn seat(&mut self, now: Instant, key: RoomKey, entered: Entered) {
        let Some(room) = self.rooms.get(&key) else {
            return;
        };
        let sessions = room
            .sessions
            .iter()
            .filter_map(|index| self.sessions.get(*index)?.as_ref());
        let hears = sessions.filter(|session| session.loudest.is_some());
        let listeners = hears.map(|session| session.id).collect();
        self.seatings.queue.push_back(Seating {
            room: key,
            entered,
            listeners,
        });
        if self.seatings.due.is_none() {
            self.seat_next(now);
        }
    }

    /// Serves the next listeners.
    pub(super) fn seat_next(&mut self, now: Instant) {
        let mut left = IN_A_ROW;
        while left > 0
            && let Some(mut seating) = self.seatings.queue.pop_front()
        {
            let rest = seating.listeners.len().saturating_sub(left);
            let turn = seating.listeners.split_off(rest);
            left -= turn.len();
            self.seat_some(now, &seating.room, &seating.entered, &turn);
            if !seating.listeners.is_empty() {
                self.seatings.queue.push_front(seating);
            }
        }
        self.seatings.due = (!self.seatings.queue.is_empty()).then(|| now + PAUSE);
    }

    fn seat_some(&mut self, now: Instant, key: &RoomKey, entered: &Entered, listeners: &[SessionId]) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let track = self.find_track(room, &entered.user, TrackSource::Audio);
        let track = track.filter(|track| self.may_flow(*track));
        let (mut moved, mut others) = (Vec::new(), Vec::new());
        for id in listeners {
            let Some(index) = self.by_id.get(id).copied() else {
                continue;
            };
            match self.take_over(index, entered) {
                Some(slot) => moved.push(Viewer { session: index, slot }),
                None => others.push(index),
            }
        }
        self.move_sound(now, &moved, track);
        for viewer in moved {
            self.pre_roll(now, viewer.session, entered);
        }
        for index in others {
            if self.seat_voices(index) {
                self.subscribe(now, index);
                self.pre_roll(now, index, entered);
            }
        }
    }

    /// Gives who is heard now the slot of whom he is heard instead of, and tells the listener. None: it is not so simple, as he is
    /// one of them, or has muted one, or shows one's picture, or has free slots.
    fn take_over(&mut self, index: usize, entered: &Entered) -> Option<usize> {
        let (new, old) = (&entered.user, entered.instead_of.as_ref()?);
        let session = self.sessions.get_mut(index)?.as_mut()?;
        let is_either = |user: &UserId| user == new || user == old;
        let wish = session.loudest.as_ref()?;
        if session.user.as_ref().is_some_and(is_either) || wish.except.contains(new) || wish.except.contains(old) {
            return None;
        }
        let (sounds, pictures) = session.slots_by_kind();
        let mut shown = pictures.iter().filter_map(|slot| slot.want());
        if shown.any(|want| want.source == TrackSource::Camera && is_either(&want.user)) {
            return None;
        }
        let heard: Vec<&UserId> = sounds.iter().filter_map(|slot| Some(&slot.want()?.user)).collect();
        if heard.len() < sounds.len() || heard.contains(&new) {
            return None;
        }
        let slot = heard.iter().position(|user| *user == old)?;
        let count = sounds.len();
        session.slots[slot].set_user(new);
        let audio = session.slots[..count]
            .iter()
            .map(|slot| Some(slot.want()?.user.clone()));
        let event = Event::Voices {
            session: session.id,
            audio: audio.collect(),
        };
        self.events.tell(&session.room, event);
        Some(slot)
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
            self.seat_all(now, key);
        }
    }

    fn seat_all(&mut self, now: Instant, room: &RoomKey) {
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        let sessions = room.sessions.clone();
        for index in sessions {
            if self.seat_voices(index) {
                self.subscribe(now, index);
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
