//! Empties viewers' packet queues, one segmented send after the other.

use std::time::Instant;

use super::Worker;
use crate::downlink::egress::{Outgoing, Path};
use crate::downlink::{Downlink, Flush};
use crate::slab::SessionIndex;

/// Memory of [`Worker::send_media`], kept from call to call.
#[derive(Default)]
pub(super) struct Buffers {
    datagrams: Vec<u8>,
    queue: Vec<Outgoing>,
}

/// The way out: a clock for the time of each send, and the function that sends.
pub(super) struct Outlet<C, S> {
    clock: C,
    send: S,
    buffers: Buffers,
}

impl<C: Fn() -> Instant, S: FnMut(&Path, &[u8], usize)> Outlet<C, S> {
    /// Sends at once all that `queue` puts into a viewer's queue. The memory of the queue is that of the viewer before, which is still
    /// in the CPU's cache: a queue of its own would have to be fetched.
    pub(super) fn serve(&mut self, downlink: &mut Downlink, queue: impl FnOnce(&mut Downlink)) {
        downlink.trade_queue(&mut self.buffers.queue);
        queue(downlink);
        self.empty(downlink);
        downlink.trade_queue(&mut self.buffers.queue);
    }

    fn empty(&mut self, downlink: &mut Downlink) {
        let Buffers { datagrams, .. } = &mut self.buffers;
        while let Some((path, segment)) = downlink.poll((self.clock)(), datagrams) {
            (self.send)(&path, datagrams, segment);
        }
    }
}

impl Worker {
    /// Sends all that is complete or due. `send` is given the path, datagrams side by side, and the size of each but the last.
    pub fn send_media(&mut self, clock: impl Fn() -> Instant, send: impl FnMut(&Path, &[u8], usize)) {
        let now = clock();
        let buffers = std::mem::take(&mut self.buffers);
        let mut outlet = Outlet { clock, send, buffers };
        self.fan_out_due(now, &mut outlet);
        while let Some(index) = self.queues.next_session(now) {
            if let Some(session) = self.sessions.get_mut(index) {
                session.downlink.set_flush(Flush::Idle);
                outlet.empty(&mut session.downlink);
            }
        }
        self.buffers = outlet.buffers;
    }

    /// A session has packets that wait for more of the same moment.
    pub(super) fn send_soon(&mut self, now: Instant, index: SessionIndex) {
        if let Some(session) = self.sessions.get_mut(index)
            && !session.downlink.is_empty()
        {
            self.queues.add_waiting(now, index, &mut session.downlink);
        }
    }
}
