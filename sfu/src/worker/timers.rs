//! Deadlines: `str0m`'s own, and a tick for each session.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rotunda_proto::sfu::Event;
use str0m::Input;

use super::{Datagram, Worker};
use crate::slab::{Index, SessionIndex};

/// Reports, layers, probes, repeated requests.
const TICK: Duration = Duration::from_millis(100);
/// A peer who sends nothing authentic for so long is gone (RFC 7675 §5.1); a WebSocket can be resumed as long.
const SILENCE: Duration = Duration::from_secs(30);
/// The active speakers are told so often.
const SPEAKERS: Duration = Duration::from_millis(200);

/// The next deadline of each session, earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, SessionIndex)>>,
    /// By session: the heap's entry that counts.
    due: Vec<Option<Instant>>,
    speakers_at: Option<Instant>,
}

impl Timers {
    /// Sets a session's deadline. An entry that is later than another of the same session costs nothing but its pop.
    pub(super) fn schedule(&mut self, index: SessionIndex, at: Instant) {
        if self.due.len() <= index.position() {
            self.due.resize(index.position() + 1, None);
        }
        let due = &mut self.due[index.position()];
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
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

    fn pop(&mut self, now: Instant) -> Option<SessionIndex> {
        while let Some(Reverse((at, index))) = self.heap.peek().copied() {
            if at > now {
                return None;
            }
            self.heap.pop();
            let due = &mut self.due[index.position()];
            if *due == Some(at) {
                *due = None;
                return Some(index);
            }
        }
        None
    }
}

impl Worker {
    /// Does what is due. Without anything due it costs next to nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.timers.pop(now) {
            let Some(session) = self.sessions.get_mut(index) else {
                continue;
            };
            let tick = session.poll_tick(now, TICK);
            if session.transport.next_timeout() > now {
                self.timers.schedule(index, session.due());
            } else if session.transport.handle_input(Input::Timeout(now)).is_ok() {
                self.drain(now, index);
            }
            if tick {
                self.tick(now, index);
            }
        }
        if self.custom_messages.due().is_some_and(|due| due <= now) {
            self.deliver_messages(now);
        }
        if self.audio_slots.due().is_some_and(|due| due <= now) {
            self.change_audio_slots(now);
        }
        if self.timers.speakers_at.is_none_or(|at| at <= now) {
            self.timers.speakers_at = Some(now + SPEAKERS);
            self.tell_speakers(now);
            self.update_replicas(now);
            self.update_pulls(now);
            self.update_link_limits(now);
            self.links.count();
        }
    }

    fn tick(&mut self, now: Instant, index: SessionIndex) {
        let unix = self.unix(now);
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if !session.transport.is_connected() {
            if session.transport.age(now) >= self.setup.connect_timeout {
                self.lose(now, index, "ICE and DTLS did not finish in time");
            }
            return;
        }
        if session.transport.silence(now) >= SILENCE {
            self.lose(now, index, "the peer does not answer any more");
            return;
        }
        let downlink = &mut session.downlink;
        let totals = downlink.take_totals();
        self.counters.handle_totals(&totals, downlink.estimator().estimate());
        downlink.update_protection(now);
        let mut bytes = Vec::new();
        if let Some(path) = downlink.poll_reports(now, unix, &mut bytes) {
            self.control.push_back(Datagram { path, bytes });
        }
        if downlink.queue_probe(now) {
            self.queues.add_ready(index, downlink);
        }
        self.allocate(now, index);
        self.repeat_keyframe_requests(now, index);
        self.count_layer_viewers(now, index);
        self.measure(now, index);
    }

    fn tell_speakers(&mut self, now: Instant) {
        for (key, room) in self.rooms.iter_mut() {
            // One of the workers that share a room tells for all.
            let is_first = room.neighbours().iter().all(|worker| *worker > self.setup.index);
            if let Some(speakers) = room.speakers.poll_change(now)
                && is_first
                && room.tells_speakers()
            {
                self.events.tell(key, Event::Speakers { speakers });
            }
        }
    }
}
