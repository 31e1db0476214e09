//! In rooms where more may speak than there are audio slots, the loudest are heard. Who they are is one state of each room. Which slot
//! carries which speaker is each viewer's own: viewers do not hear themselves or users whom they have muted, and a speaker's audio and
//! video belong together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{Event, MEMBER_CAMERA_SLOTS};
use rotunda_proto::voice_slots;

use super::Worker;
use crate::downlink::slot::{Pace, Want};
use crate::ingress::packet::Packet;
use crate::ingress::track::{Publisher, Viewer};
use crate::room::loudest::{COMFORT_NOISE, Entered, UNKNOWN_LEVEL};
use crate::slab::{Index, SessionIndex, SlotIndex, TrackIndex};

/// Listeners whose slots are changed in a row. Media must not wait for a room of thousands, so the next listeners have their turn
/// after a pause.
const IN_A_ROW: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// New speakers on their way to their listeners, first come first served. Each microphone of a room is in it once or twice: a speaker
/// can enter again only after a pause, which is longer than all of this takes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    queue: VecDeque<Change>,
    due: Option<Instant>,
}

#[derive(Debug)]
struct Change {
    room: RoomKey,
    entered: Entered,
    /// Listeners who have not had their turn; the last is the next.
    listeners: Vec<SessionId>,
}

impl Changes {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Worker {
    /// Takes in the level of a microphone's packet, which may change who is heard. The packet is in its stream's history.
    pub(super) fn handle_audio_level(&mut self, now: Instant, track: TrackIndex, packet: &Packet) {
        let Some(state) = self.tracks.get(track) else {
            return;
        };
        let (user, session) = match state.publisher() {
            Publisher::Here(index) => {
                let session = self.sessions.get(*index);
                (session.and_then(|session| session.user()), Some(*index))
            }
            Publisher::Elsewhere(replica) => (Some(&replica.user), None),
        };
        let (Some(user), Some(room)) = (user, self.rooms.get_mut(state.room())) else {
            return;
        };
        // An older session of the member may still send.
        let is_publishing = match session {
            Some(session) => room.publishes(user, session),
            None => room.publishes_replica(user, track),
        };
        let Some(loudest) = room.loudest.as_mut().filter(|_| is_publishing) else {
            return;
        };
        if let Some(entered) = loudest.handle_level(now, user, level(packet)) {
            counter!("rotunda_sfu_voice_switches_total").increment(1);
            let room = state.room().clone();
            self.add_speaker(now, room, entered);
        }
    }

    /// A new speaker is heard. For most listeners the speaker gets the slot of the one before, and nothing else changes: at a
    /// thousand listeners everything else would keep the worker from its packets.
    fn add_speaker(&mut self, now: Instant, key: RoomKey, entered: Entered) {
        let Some(room) = self.rooms.get(&key) else {
            return;
        };
        let sessions = room.sessions().iter().filter_map(|index| self.sessions.get(*index));
        let listening = sessions.filter(|session| session.downlink.loudest().is_some());
        let listeners = listening.map(|session| session.id()).collect();
        self.audio_slots.queue.push_back(Change {
            room: key,
            entered,
            listeners,
        });
        if self.audio_slots.due.is_none() {
            self.change_audio_slots(now);
        }
    }

    /// Changes the slots of the next listeners.
    pub(super) fn change_audio_slots(&mut self, now: Instant) {
        let mut left = IN_A_ROW;
        while left > 0
            && let Some(mut change) = self.audio_slots.queue.pop_front()
        {
            let rest = change.listeners.len().saturating_sub(left);
            let turn = change.listeners.split_off(rest);
            left -= turn.len();
            self.change_slots_of(now, &change.room, &change.entered, &turn);
            if !change.listeners.is_empty() {
                self.audio_slots.queue.push_front(change);
            }
        }
        self.audio_slots.due = (!self.audio_slots.queue.is_empty()).then(|| now + PAUSE);
    }

    fn change_slots_of(&mut self, now: Instant, key: &RoomKey, entered: &Entered, listeners: &[SessionId]) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let track = self.find_track(room, &entered.user, TrackSource::Audio);
        let track = track.filter(|track| self.may_flow(*track));
        let (mut moved, mut others) = (Vec::new(), Vec::new());
        for id in listeners {
            let Some(index) = self.sessions.with_id(*id) else {
                continue;
            };
            match self.replace_speaker(index, entered) {
                Some(slot) => moved.push(Viewer { session: index, slot }),
                None => others.push(index),
            }
        }
        self.move_audio(now, &moved, track);
        for viewer in moved {
            self.pre_roll(now, viewer.session, entered);
        }
        for index in others {
            if self.assign_audio_slots(index) {
                self.subscribe(now, index);
                self.pre_roll(now, index, entered);
            }
        }
    }

    /// Gives a new speaker the slot of the one before, and tells the listener. None: it is not so simple, as the listener is one of the
    /// two, has muted one, watches one's camera, or has free slots.
    fn replace_speaker(&mut self, index: SessionIndex, entered: &Entered) -> Option<SlotIndex> {
        let (new, old) = (&entered.user, entered.instead_of.as_ref()?);
        let session = self.sessions.get_mut(index)?;
        let is_either = |user: &UserId| user == new || user == old;
        let wish = session.downlink.loudest()?;
        if session.user().is_some_and(is_either) || wish.except.contains(new) || wish.except.contains(old) {
            return None;
        }
        let (audio, video) = session.downlink.slots_by_kind();
        let mut shown = video.iter().filter_map(|slot| slot.want());
        if shown.any(|want| want.source == TrackSource::Camera && is_either(&want.user)) {
            return None;
        }
        let heard: Vec<&UserId> = audio.iter().filter_map(|slot| Some(&slot.want()?.user)).collect();
        if heard.len() < audio.len() || heard.contains(&new) {
            return None;
        }
        let slot = SlotIndex::at(heard.iter().position(|user| *user == old)?);
        session.downlink.slot_mut(slot)?.set_user(new);
        let event = Event::Voices {
            session: session.id(),
            audio: session.downlink.speakers(),
        };
        self.events.tell(session.room(), event);
        Some(slot)
    }

    /// A member has come, gone or got other permissions: a speaker who may not be heard any more makes room.
    pub(super) fn drop_speaker(&mut self, now: Instant, key: &RoomKey, user: &UserId) {
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
            self.assign_all_audio_slots(now, key);
        }
    }

    fn assign_all_audio_slots(&mut self, now: Instant, room: &RoomKey) {
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        let sessions = room.sessions().to_vec();
        for index in sessions {
            if self.assign_audio_slots(index) {
                self.subscribe(now, index);
            }
        }
    }

    /// Gives each speaker who is heard a slot of this viewer, if the viewer hears the loudest, and tells the viewer. Answers whether
    /// anything has changed.
    pub(super) fn assign_audio_slots(&mut self, index: SessionIndex) -> bool {
        let Some(session) = self.sessions.get_mut(index) else {
            return false;
        };
        let Some(wish) = session.downlink.loudest() else {
            return false;
        };
        let Some(room) = self.rooms.get_mut(session.room()) else {
            return false;
        };
        let loudest = room.loudest.get_or_insert_default();
        let mut speakers: Vec<&UserId> = loudest
            .heard()
            .filter(|user| session.user() != Some(*user) && !wish.except.contains(*user))
            .collect();
        // A map has no order of its own.
        speakers.sort();
        let (_, video) = session.downlink.slots_by_kind();
        let before = session.downlink.speakers();
        let is_camera = |want: &&Want| want.source == TrackSource::Camera;
        let cameras = video.iter().take(MEMBER_CAMERA_SLOTS);
        let cameras: Vec<Option<&UserId>> = cameras
            .map(|slot| slot.want().filter(is_camera).map(|want| &want.user))
            .collect();
        let after = voice_slots::seat_voices(before.len(), &before, &cameras, speakers);
        if after == before {
            return false;
        }
        session.downlink.set_speakers(&after);
        let event = Event::Voices {
            session: session.id(),
            audio: after,
        };
        self.events.tell(session.room(), event);
        true
    }

    /// Sends a viewer what a new speaker said just before being heard.
    fn pre_roll(&mut self, now: Instant, index: SessionIndex, entered: &Entered) {
        let Some(downlink) = self.sessions.get(index).map(|session| &session.downlink) else {
            return;
        };
        let Some(slot) = downlink.slot_wanting(&entered.user, TrackSource::Audio) else {
            return;
        };
        let state = downlink.slot(slot);
        let Some(id) = state.and_then(|state| state.target()) else {
            return;
        };
        let is_flowing = state.is_some_and(|state| state.flowing() == Some(id));
        let Some(stream) = self.tracks.stream(id).filter(|_| !is_flowing && downlink.is_ready()) else {
            return;
        };
        let packets: Vec<Arc<Packet>> = stream.history().since(entered.since).cloned().collect();
        let viewer = Viewer { session: index, slot };
        self.send_cached(now, viewer, id, &packets, Pace::RealTime);
    }
}

/// dBov, 0 (loudest) to -127.
fn level(packet: &Packet) -> i8 {
    match packet.audio_level {
        // RFC 6464 §3: seven bits of -dBov, under the voice flag.
        Some(level) => -((level & 0x7f) as i8),
        None if packet.payload.len() > COMFORT_NOISE => UNKNOWN_LEVEL,
        None => -127,
    }
}
