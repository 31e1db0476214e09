//! From a track to its viewers: packets of one moment are given to each viewer together, so that his state is looked at once
//! for all of them and they leave in one send.

use std::sync::Arc;
use std::time::Instant;

use str0m::format::PayloadParams;

use super::Worker;
use super::transmit::{Outlet, make_ready};
use crate::egress::{Body, Path};
use crate::packet::{Packet, StreamId};
use crate::protection::{MOST_OLDER, REPEAT_AFTER};
use crate::session::Session;
use crate::slot::Take;
use crate::track::Viewer;

/// A packet that its track's viewers have not been given yet.
#[derive(Debug)]
pub struct Pending {
    pub stream: StreamId,
    pub params: PayloadParams,
    pub packet: Arc<Packet>,
    /// Sound: the packets before it, newest first, for redundancy.
    pub older: [Option<Arc<Packet>>; MOST_OLDER],
}

/// A packet that a viewer who loses much is sent again, unasked.
#[derive(Debug, Clone, Copy)]
pub struct Repeat {
    pub due: Instant,
    pub viewer: Viewer,
    /// In the viewer's slot.
    pub seq: u16,
    /// 1: the first time again.
    pub time: usize,
}

/// What giving packets to viewers came to.
#[derive(Debug, Default)]
struct Given {
    packets: u64,
    undecodable: u64,
    /// Streams whose key frame a slot waits for; few.
    wanted: Vec<StreamId>,
    /// What is sent again, as the viewer loses much: his slot, and the number there.
    repeats: Vec<(Viewer, u16)>,
}

impl Worker {
    /// A track's viewers shall have this packet: now, or when the batch window is over. `urgent`: it ends a picture.
    pub(super) fn want_fan_out(&mut self, now: Instant, track: usize, pending: Pending, urgent: bool) {
        let Some(Some(state)) = self.tracks.get_mut(track) else {
            return;
        };
        if state.pending.is_empty() {
            if let Some(room) = self.rooms.get_mut(&state.room) {
                room.pending.push(track);
            }
            if !urgent {
                self.unsent.push_back((now + self.setup.batch_window, track));
            }
        }
        state.pending.push(pending);
        if urgent {
            self.complete.push(track);
        }
    }

    /// Forgets what a track's viewers have not been given.
    pub(super) fn drop_pending(&mut self, track: usize) {
        let Some(Some(state)) = self.tracks.get_mut(track) else {
            return;
        };
        state.pending.clear();
        if let Some(room) = self.rooms.get_mut(&state.room) {
            room.pending.retain(|other| *other != track);
        }
    }

    /// Fans out what is complete or due.
    pub(super) fn fan_out_due<C, S>(&mut self, now: Instant, outlet: &mut Outlet<C, S>)
    where
        C: Fn() -> Instant,
        S: FnMut(&Path, &[u8], usize),
    {
        while let Some(track) = self.complete.pop() {
            self.fan_out_room_of(now, track, outlet);
        }
        while let Some((due, track)) = self.unsent.front().copied() {
            if due > now {
                break;
            }
            self.unsent.pop_front();
            self.fan_out_room_of(now, track, outlet);
        }
        self.repeat_due(now);
    }

    /// Sends again what nobody has asked for yet.
    fn repeat_due(&mut self, now: Instant) {
        while let Some(repeat) = self.repeats.pop_front_if(|repeat| repeat.due <= now) {
            let Repeat { viewer, seq, time, .. } = repeat;
            self.resend(viewer.session, viewer.slot, seq);
            self.want_flush(now, viewer.session, false);
            let session = self.sessions.get(viewer.session).and_then(Option::as_ref);
            if session.is_some_and(|session| session.protection.repeats() > time) {
                self.repeats.push_back(Repeat {
                    due: now + REPEAT_AFTER,
                    time: time + 1,
                    ..repeat
                });
            }
        }
    }

    /// Everything that waits in a track's room leaves with it, so that it shares the sends: the last track's viewers are sent
    /// all that they were given, one after the other.
    fn fan_out_room_of<C, S>(&mut self, now: Instant, track: usize, outlet: &mut Outlet<C, S>)
    where
        C: Fn() -> Instant,
        S: FnMut(&Path, &[u8], usize),
    {
        let Some(Some(state)) = self.tracks.get(track) else {
            return;
        };
        if state.pending.is_empty() {
            return;
        }
        let Some(room) = self.rooms.get_mut(&state.room) else {
            return;
        };
        let mut tracks = std::mem::take(&mut self.fanning);
        tracks.append(&mut room.pending);
        let last = tracks.pop();
        for track in tracks.drain(..) {
            self.fan_out(now, track);
        }
        self.fanning = tracks;
        if let Some(last) = last {
            self.serve(now, last, |session, viewer, pending, given| {
                outlet.serve(session, |session| {
                    give(now, session, viewer, pending, given);
                });
            });
        }
    }

    /// Gives what waits of a stream's track to its viewers at once.
    pub(super) fn fan_out_stream(&mut self, now: Instant, id: StreamId) {
        if let Some(stream) = self.streams.get(&id) {
            self.fan_out(now, stream.track);
        }
    }

    /// Gives a track's waiting packets to its viewers; they leave when it is their turn.
    pub(super) fn fan_out(&mut self, now: Instant, track: usize) {
        let mut ready = std::mem::take(&mut self.ready);
        self.serve(now, track, |session, viewer, pending, given| {
            if give(now, session, viewer, pending, given) {
                make_ready(session, viewer.session, &mut ready);
            }
        });
        self.ready = ready;
    }

    /// Has `each` of a track's viewers given its waiting packets.
    fn serve(
        &mut self,
        now: Instant,
        track: usize,
        mut each: impl FnMut(&mut Session, Viewer, &[Pending], &mut Given),
    ) {
        let Some(Some(state)) = self.tracks.get_mut(track) else {
            return;
        };
        let Some(first) = state.pending.first() else {
            return;
        };
        let is_audio = first.params.spec().codec.is_audio();
        let mut pending = std::mem::take(&mut state.pending);
        let mut given = Given::default();
        for viewer in &state.viewers {
            if let Some(Some(session)) = self.sessions.get_mut(viewer.session) {
                each(session, *viewer, &pending, &mut given);
            }
        }
        pending.clear();
        state.pending = pending;
        let forwarded = if is_audio {
            &self.counters.forwarded_audio
        } else {
            &self.counters.forwarded_video
        };
        forwarded.increment(given.packets);
        self.counters.undecodable.increment(given.undecodable);
        for stream in given.wanted {
            self.want_keyframe(now, stream);
        }
        let due = now + REPEAT_AFTER;
        let repeats = given.repeats.into_iter().map(|(viewer, seq)| Repeat {
            due,
            viewer,
            seq,
            time: 1,
        });
        self.repeats.extend(repeats);
    }
}

/// Queues for one viewer what his slot takes. Answers whether it is anything.
fn give(now: Instant, session: &mut Session, viewer: Viewer, pending: &[Pending], given: &mut Given) -> bool {
    let before = given.packets;
    for Pending {
        stream,
        params,
        packet,
        older,
    } in pending
    {
        let source_type = *params.pt();
        let slot = &mut session.slots[viewer.slot];
        match slot.takes(*stream, source_type, packet) {
            Take::Forward => {}
            Take::Switch => {
                let mid = slot.mid;
                let Some(types) = session.payload_types(mid, *params) else {
                    given.undecodable += 1;
                    continue;
                };
                let rate = params.spec().clock_rate.get();
                session.slots[viewer.slot].switch(*stream, source_type, packet, rate, types);
            }
            Take::Leave => {
                if slot.waits_for() == Some(*stream) && !given.wanted.contains(stream) {
                    given.wanted.push(*stream);
                }
                continue;
            }
        }
        let Some(rewritten) = session.slots[viewer.slot].rewrite(packet) else {
            continue;
        };
        let body = match (rewritten.types.red, session.protection.older()) {
            (Some(red), count @ 1..) => Body::Redundant {
                packet: Arc::clone(packet),
                older: Box::new(std::array::from_fn(|at| older[at].clone().filter(|_| at < count))),
                red,
            },
            _ => Body::Media(Arc::clone(packet)),
        };
        if session.protection.repeats() > 0
            && rewritten.types.resend.is_some()
            && !session.egress.estimator.is_congested(now)
        {
            given.repeats.push((viewer, rewritten.seq as u16));
        }
        session.egress.push(&session.slots, viewer.slot, rewritten, body);
        given.packets += 1;
    }
    given.packets > before
}
