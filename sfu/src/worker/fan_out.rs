//! From a track to its viewers. Packets of one moment are given to each viewer together, so that the viewer's state is looked at once
//! for all of them and they leave in one send.

use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use super::send_queues::{Repeat, SendQueues};
use super::transmit::Outlet;
use crate::downlink::egress::Path;
use crate::downlink::slot::Pace;
use crate::downlink::{REPEAT_AFTER, Sent};
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::Stream;
use crate::ingress::track::{Pending, Viewer};
use crate::session::Session;
use crate::slab::TrackIndex;

/// The outcome of packets for viewers.
#[derive(Debug, Default)]
struct Outcome {
    packets: u64,
    undecodable: u64,
    /// Streams of which a slot waits for a keyframe; few.
    wanted: Vec<StreamId>,
    /// To be retransmitted unasked: the slot, and the sequence number there.
    repeats: Vec<(Viewer, u16)>,
}

impl Worker {
    /// A track's viewers are to get this packet: in this turn if it ends a frame, else when the batch window is over.
    pub(super) fn want_fan_out(&mut self, now: Instant, track: TrackIndex, pending: Pending, ends_frame: bool) {
        let Some(state) = self.tracks.get_mut(track) else {
            return;
        };
        if state.add_pending(pending) {
            if let Some(room) = self.rooms.get_mut(state.room()) {
                room.add_pending(track);
            }
            if !ends_frame {
                self.queues.add_gathering(now, track);
            }
        }
        if ends_frame {
            self.queues.add_complete(track);
        }
    }

    /// Forgets the packets that a track's viewers have not got yet.
    pub(super) fn drop_pending(&mut self, track: TrackIndex) {
        let Some(state) = self.tracks.get_mut(track) else {
            return;
        };
        state.clear_pending();
        if let Some(room) = self.rooms.get_mut(state.room()) {
            room.remove_pending(track);
        }
    }

    /// Fans out the tracks that are complete or due.
    pub(super) fn fan_out_due<C, S>(&mut self, now: Instant, outlet: &mut Outlet<C, S>)
    where
        C: Fn() -> Instant,
        S: FnMut(&Path, &[u8], usize),
    {
        while let Some(track) = self.queues.next_track(now) {
            self.fan_out_room_of(now, track, outlet);
        }
        while let Some(repeat) = self.queues.next_repeat(now) {
            self.repeat(now, repeat);
        }
    }

    /// Retransmits a packet that nobody has asked for yet.
    fn repeat(&mut self, now: Instant, repeat: Repeat) {
        let Repeat { viewer, seq, time, .. } = repeat;
        self.retransmit(viewer, seq);
        self.send_soon(now, viewer.session);
        let session = self.sessions.get(viewer.session);
        if session.is_some_and(|session| session.downlink.repeats() > time) {
            self.queues.add_repeats([Repeat {
                due: now + REPEAT_AFTER,
                time: time + 1,
                ..repeat
            }]);
        }
    }

    /// All pending packets of a track's room leave with it, so that they share the sends. The viewers of the last track are sent
    /// everything at once, one viewer after the other.
    fn fan_out_room_of<C, S>(&mut self, now: Instant, track: TrackIndex, outlet: &mut Outlet<C, S>)
    where
        C: Fn() -> Instant,
        S: FnMut(&Path, &[u8], usize),
    {
        let pending = self.tracks.get(track).filter(|track| track.has_pending());
        let Some(room) = pending.and_then(|track| self.rooms.get_mut(track.room())) else {
            return;
        };
        let mut tracks = self.queues.take_tracks();
        room.take_pending(&mut tracks);
        let last = tracks.pop();
        for track in tracks.drain(..) {
            self.fan_out(now, track);
        }
        self.queues.give_back_tracks(tracks);
        if let Some(last) = last {
            self.serve(now, last, |session, viewer, pending, outcome, _| {
                let Session {
                    downlink, transport, ..
                } = session;
                outlet.serve(downlink, |downlink| {
                    for pending in pending {
                        let types = |line| transport.payload_types(line, pending.params);
                        let sent = downlink.send(now, viewer.slot, pending, Pace::RealTime, types);
                        outcome.add(viewer, pending.stream, sent);
                    }
                });
            });
        }
    }

    /// Gives the pending packets of a stream's track to its viewers at once.
    pub(super) fn fan_out_stream(&mut self, now: Instant, id: StreamId) {
        if let Some(track) = self.tracks.stream(id).map(Stream::track) {
            self.fan_out(now, track);
        }
    }

    /// Queues a track's pending packets for its viewers; they are sent in this turn.
    pub(super) fn fan_out(&mut self, now: Instant, track: TrackIndex) {
        self.serve(now, track, |session, viewer, pending, outcome, queues| {
            if send_all(now, session, viewer, pending, Pace::RealTime, outcome) {
                queues.add_ready(viewer.session, &mut session.downlink);
            }
        });
    }

    /// Calls `each` for every viewer of a track, with the track's pending packets.
    fn serve(
        &mut self,
        now: Instant,
        track: TrackIndex,
        mut each: impl FnMut(&mut Session, Viewer, &[Pending], &mut Outcome, &mut SendQueues),
    ) {
        let Some(state) = self.tracks.get_mut(track).filter(|track| track.has_pending()) else {
            return;
        };
        let is_audio = !state.source().is_video();
        let pending = state.take_pending();
        let mut outcome = Outcome::default();
        for viewer in state.viewers() {
            if let Some(session) = self.sessions.get_mut(viewer.session) {
                each(session, *viewer, &pending, &mut outcome, &mut self.queues);
            }
        }
        state.reuse_pending(pending);
        let forwarded = if is_audio {
            &self.counters.forwarded_audio
        } else {
            &self.counters.forwarded_video
        };
        forwarded.increment(outcome.packets);
        self.counters.undecodable.increment(outcome.undecodable);
        for stream in outcome.wanted {
            self.want_keyframe(now, stream);
        }
        let due = now + REPEAT_AFTER;
        let repeats = outcome.repeats.into_iter().map(|(viewer, seq)| Repeat {
            due,
            viewer,
            seq,
            time: 1,
        });
        self.queues.add_repeats(repeats);
    }

    /// Sends one viewer cached packets of a stream at once, the first of which begins it in the slot. Answers whether any was sent.
    pub(super) fn send_cached(
        &mut self,
        now: Instant,
        viewer: Viewer,
        id: StreamId,
        packets: &[Arc<Packet>],
        pace: Pace,
    ) -> bool {
        let (Some(stream), Some(session)) = (self.tracks.stream(id), self.sessions.get_mut(viewer.session)) else {
            return false;
        };
        let pending = packets.iter().map(|packet| Pending {
            stream: id,
            params: stream.params(),
            packet: Arc::clone(packet),
            older: Default::default(),
        });
        let pending: Vec<Pending> = pending.collect();
        let mut outcome = Outcome::default();
        if !send_all(now, session, viewer, &pending, pace, &mut outcome) {
            return false;
        }
        if pace == Pace::CatchUp
            && let Some(last) = packets.last()
            && let Some(slot) = session.downlink.slot_mut(viewer.slot)
        {
            slot.finish_catch_up(last);
        }
        self.queues.add_ready(viewer.session, &mut session.downlink);
        true
    }
}

/// Queues packets for one viewer. Answers whether any is in the queue.
fn send_all(
    now: Instant,
    session: &mut Session,
    viewer: Viewer,
    pending: &[Pending],
    pace: Pace,
    outcome: &mut Outcome,
) -> bool {
    let before = outcome.packets;
    let Session {
        downlink, transport, ..
    } = session;
    for pending in pending {
        let types = |line| transport.payload_types(line, pending.params);
        let sent = downlink.send(now, viewer.slot, pending, pace, types);
        outcome.add(viewer, pending.stream, sent);
    }
    outcome.packets > before
}

impl Outcome {
    fn add(&mut self, viewer: Viewer, stream: StreamId, sent: Sent) {
        match sent {
            Sent::Queued => self.packets += 1,
            Sent::ToRepeat(seq) => {
                self.packets += 1;
                self.repeats.push((viewer, seq.on_wire()));
            }
            Sent::WaitsForKeyframe if !self.wanted.contains(&stream) => self.wanted.push(stream),
            Sent::Undecodable => self.undecodable += 1,
            Sent::WaitsForKeyframe | Sent::NotShown => {}
        }
    }
}
