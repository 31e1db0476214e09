//! What viewers have in their queues leaves, one segmented send after the other.

use std::collections::VecDeque;
use std::time::Instant;

use super::Worker;
use crate::egress::{Outgoing, Path};
use crate::session::{Flush, Session};

/// Memory of [`Worker::send_media`], kept from call to call.
#[derive(Default)]
pub(super) struct Buffers {
    datagrams: Vec<u8>,
    queue: Vec<Outgoing>,
}

/// The way out: the time of each send, and who sends.
pub(super) struct Outlet<C, S> {
    clock: C,
    send: S,
    buffers: Buffers,
}

impl<C: Fn() -> Instant, S: FnMut(&Path, &[u8], usize)> Outlet<C, S> {
    /// Lets everything out that a viewer is `given`. His packets are in memory that the viewer before him has just used: a
    /// queue of his own would have to be fetched.
    pub(super) fn serve(&mut self, session: &mut Session, give: impl FnOnce(&mut Session)) {
        session.egress.trade_queue(&mut self.buffers.queue);
        give(session);
        self.empty(session);
        session.egress.trade_queue(&mut self.buffers.queue);
    }

    fn empty(&mut self, session: &mut Session) {
        let Buffers { datagrams, .. } = &mut self.buffers;
        while let Some((path, segment)) = session.egress.poll((self.clock)(), &session.slots, datagrams) {
            (self.send)(&path, datagrams, segment);
        }
    }
}

impl Worker {
    /// Sends all that is complete or due. `send` is given where to, datagrams side by side, and the size of each but the last.
    pub fn send_media(&mut self, clock: impl Fn() -> Instant, send: impl FnMut(&Path, &[u8], usize)) {
        let now = clock();
        let buffers = std::mem::take(&mut self.idle);
        let mut outlet = Outlet { clock, send, buffers };
        self.fan_out_due(now, &mut outlet);
        while let Some(index) = self.next_ready(now) {
            if let Some(Some(session)) = self.sessions.get_mut(index) {
                session.flush = Flush::Idle;
                outlet.empty(session);
            }
        }
        self.idle = outlet.buffers;
    }

    fn next_ready(&mut self, now: Instant) -> Option<usize> {
        if let Some(index) = self.ready.pop_front() {
            return Some(index);
        }
        let is_due = |(due, _): &mut (Instant, usize)| *due <= now;
        let (_, index) = self.waiting.pop_front_if(is_due)?;
        Some(index)
    }

    /// A session has packets to send: now, or when the moment is over.
    pub(super) fn want_flush(&mut self, now: Instant, index: usize, urgent: bool) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        match (session.flush, urgent) {
            (Flush::Idle | Flush::Waiting, true) => make_ready(session, index, &mut self.ready),
            (Flush::Idle, false) => {
                session.flush = Flush::Waiting;
                self.waiting.push_back((now + self.setup.batch_window, index));
            }
            (Flush::Waiting, false) | (Flush::Ready, _) => {}
        }
    }
}

pub(super) fn make_ready(session: &mut Session, index: usize, ready: &mut VecDeque<usize>) {
    if session.flush != Flush::Ready {
        session.flush = Flush::Ready;
        ready.push_back(index);
    }
}
