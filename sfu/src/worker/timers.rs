//! What time brings: `str0m`'s own deadlines, and a tick for each session.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rotunda_proto::sfu::Event;

use super::{Datagram, Worker};
use crate::egress::Egress;
use crate::slot::Slot;

/// Reports, layers, probes, repeated requests.
const TICK: Duration = Duration::from_millis(100);
/// A peer who sends nothing authentic for so long is gone (RFC 7675 §5.1); a WebSocket can be resumed as long.
const SILENCE: Duration = Duration::from_secs(30);
/// Who speaks is looked at so often.
const SPEAKERS: Duration = Duration::from_millis(200);

/// The next deadline of each session, earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    /// By session: the entry that counts.
    due: Vec<Option<Instant>>,
    speakers_at: Option<Instant>,
}

impl Timers {
    /// Sets a session's deadline. An entry that is later than another of the same session costs nothing but its pop.
    pub(super) fn schedule(&mut self, index: usize, at: Instant) {
        if self.due.len() <= index {
            self.due.resize(index + 1, None);
        }
        if self.due[index].is_none_or(|due| at < due) {
            self.due[index] = Some(at);
            self.heap.push(Reverse((at, index)));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let timer = self.heap.peek().map(|Reverse((at, _))| *at);
        timer.into_iter().chain(self.speakers_at).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    fn pop(&mut self, now: Instant) -> Option<usize> {
        while let Some(Reverse((at, index))) = self.heap.peek().copied() {
            if at > now {
                return None;
            }
            self.heap.pop();
            if self.due[index] == Some(at) {
                self.due[index] = None;
                return Some(index);
            }
        }
        None
    }
}

impl Worker {
    /// Call when [`poll_timeout`](Self::poll_timeout) is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.timers.pop(now) {
            let Some(Some(session)) = self.sessions.get_mut(index) else {
                continue;
            };
            let tick = session.next_tick <= now;
            if tick {
                session.next_tick = now + TICK;
            }
            if session.next_timeout <= now {
                if session.rtc.handle_input(str0m::Input::Timeout(now)).is_ok() {
                    self.drain(now, index);
                }
            } else {
                let due = session.next_timeout.min(session.next_tick);
                self.timers.schedule(index, due);
            }
            if tick {
                self.tick(now, index);
            }
        }
        if self.outbox.next().is_some_and(|due| due <= now) {
            self.deliver_messages(now);
        }
        if self.seatings.next().is_some_and(|due| due <= now) {
            self.seat_next(now);
        }
        self.settle(now);
        if self.timers.speakers_at.is_none_or(|at| at <= now) {
            self.timers.speakers_at = Some(now + SPEAKERS);
            self.tell_speakers(now);
            self.tend_replicas(now);
        }
    }

    fn tick(&mut self, now: Instant, index: usize) {
        let unix = self.unix(now);
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        if !session.connected {
            if now.saturating_duration_since(session.started) >= self.setup.connect_timeout {
                self.lose(now, index, "ICE and DTLS were not done in time");
            }
            return;
        }
        if now.saturating_duration_since(session.heard_at) >= SILENCE {
            self.lose(now, index, "the peer does not answer any more");
            return;
        }
        let totals = std::mem::take(&mut session.egress.totals);
        self.counters
            .handle_totals(&totals, session.egress.estimator.estimate());
        if let Some(lost) = session.egress.estimator.poll_loss(now) {
            session.protection.handle_transport(lost);
        }
        let mut bytes = Vec::new();
        if let Some(path) = session.egress.poll_reports(now, unix, &mut session.slots, &mut bytes) {
            self.control.push_back(Datagram { path, bytes });
        }
        if let Some(cluster) = session.egress.estimator.poll_probe(now) {
            let packets = cluster.packets.max(cluster.bytes / Egress::probe_packet());
            session.egress.push_probe(&mut session.slots, cluster, packets);
            self.want_flush(now, index, true);
        }
        self.allocate(now, index);
        self.repeat_keyframe_requests(now, index);
        self.check_layers(now, index);
        self.measure(now, index);
    }

    /// Of this session's slots that still wait, and of its streams whose request came too early.
    fn repeat_keyframe_requests(&mut self, now: Instant, index: usize) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        let wakes = |slot: &&Slot| {
            let target = slot.flowing().and_then(|id| self.streams.get(&id));
            target.is_some_and(|stream| slot.flowing() == slot.target && stream.sleeps(slot.wanted_point()))
        };
        let slots = session.slots.iter().filter(|slot| !wakes(slot));
        let waiting: Vec<_> = slots.filter_map(|slot| slot.waits_for()).collect();
        let own: Vec<_> = session.streams.values().copied().collect();
        for stream in waiting {
            self.want_keyframe(now, stream);
        }
        for id in own {
            if let Some(stream) = self.streams.get_mut(&id)
                && stream.due_keyframe_request(now)
            {
                self.ask_for_keyframe(id);
            }
        }
    }

    fn tell_speakers(&mut self, now: Instant) {
        for (key, room) in &mut self.rooms {
            if let Some(speakers) = room.speakers.poll_change(now)
                && room.neighbours.iter().all(|worker| *worker > self.setup.index)
            {
                // One of the workers that share a room tells for all.
                self.events.tell(key, Event::Speakers { speakers });
            }
        }
    }

    /// Wall clock that belongs to `now`; steps of the system's clock do not reach it.
    pub(super) fn unix(&self, now: Instant) -> Duration {
        let (started, unix) = self.setup.started;
        unix + now.saturating_duration_since(started)
    }
}
