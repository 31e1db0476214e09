//! Attaches slots to the tracks that they are wanted to show.

use std::time::Instant;

use rotunda_proto::ids::{RoomKey, TrackSource, UserId};

use super::Worker;
use super::rooms::{Location, Room};
use crate::ingress::track::Viewer;
use crate::session::Session;
use crate::slab::{SessionIndex, TrackIndex};

impl Worker {
    /// A member's tracks have come, gone or changed hands: everybody who wants one of them looks for it again.
    pub(super) fn resubscribe_viewers_of(&mut self, now: Instant, room: &RoomKey, user: &UserId) {
        self.drop_speaker(now, room, user);
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        let wants = |session: &Session| {
            let mut wants = session.downlink.slots().iter().filter_map(|slot| slot.want());
            wants.any(|want| want.user == *user)
        };
        let viewers: Vec<SessionIndex> = room
            .sessions()
            .iter()
            .copied()
            .filter(|index| self.sessions.get(*index).is_some_and(wants))
            .collect();
        for viewer in viewers {
            self.subscribe(now, viewer);
        }
    }

    /// Attaches a viewer's slots to the tracks that they are wanted to show, and detaches them from others.
    pub(super) fn subscribe(&mut self, now: Instant, index: SessionIndex) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let Some(room) = self.rooms.get(session.room()) else {
            return;
        };
        let found = session.downlink.indexed_slots().map(|(slot, state)| {
            // Nobody hears their own voice.
            let want = state.want().filter(|want| session.user() != Some(&want.user));
            let track = want.and_then(|want| self.find_track(room, &want.user, want.source));
            (slot, track.filter(|track| self.may_flow(*track)))
        });
        let found: Vec<_> = found.collect();
        for (slot, track) in found {
            self.attach(Viewer { session: index, slot }, track);
            if let Some(track) = track {
                self.update_taken(now, track);
            }
        }
        self.allocate(now, index);
    }

    pub(super) fn find_track(&self, room: &Room, user: &UserId, source: TrackSource) -> Option<TrackIndex> {
        match &room.member(user)?.location {
            Location::Here(index) => self.sessions.get(*index)?.uplink.track(source),
            Location::Elsewhere { tracks, .. } => {
                let found = tracks.iter().find(|(of, _)| *of == source);
                found.map(|(_, track)| *track)
            }
        }
    }

    /// Makes a slot the viewer of this track, and of no other.
    fn attach(&mut self, viewer: Viewer, track: Option<TrackIndex>) {
        let session = self.sessions.get_mut(viewer.session);
        let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) else {
            return;
        };
        let before = match track {
            Some(track) => slot.attach(track),
            None => slot.detach(),
        };
        if before == track {
            return;
        }
        if let Some(before) = before.and_then(|before| self.tracks.get_mut(before)) {
            before.retain_viewers(|other| *other != viewer);
        }
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) {
            track.add_viewers(&[viewer]);
        }
    }

    /// Moves audio slots that all had one speaker to the track of another one; None: it is not there. The viewers' other slots stay as
    /// they are.
    pub(super) fn move_audio(&mut self, now: Instant, slots: &[Viewer], track: Option<TrackIndex>) {
        let mut left: Vec<TrackIndex> = Vec::new();
        for viewer in slots {
            let session = self.sessions.get_mut(viewer.session);
            if let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) {
                let before = match track {
                    Some(track) => slot.attach(track),
                    None => slot.detach(),
                };
                left.extend(before.filter(|before| !left.contains(before)));
            }
        }
        // The viewers of each track once, not once for each slot that leaves it.
        for before in left {
            let sessions = &self.sessions;
            if let Some(state) = self.tracks.get_mut(before) {
                state.retain_viewers(|viewer| {
                    let session = sessions.get(viewer.session);
                    let slot = session.and_then(|session| session.downlink.slot(viewer.slot));
                    slot.is_some_and(|slot| slot.track() == Some(before))
                });
            }
        }
        if let Some(state) = track.and_then(|track| self.tracks.get_mut(track)) {
            state.add_viewers(slots);
        }
        self.allocate_audio(now, slots);
    }
}
