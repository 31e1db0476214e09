//! A viewer's media: counts the packets that its link delivers.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::link::{Late, Link, Passage};
use super::plan::Plan;
use super::rtp_session::{RtpSession, Told};
use super::stay::Act;
use super::tally::{Meter, Received, ViewerTally};

/// How often a viewer checks for missing packets.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub struct Viewer {
    tally: ViewerTally,
    meter: Rc<RefCell<Meter>>,
    next_look: Instant,
    link: Link,
}

impl Viewer {
    pub fn new(now: Instant, epoch: Instant, number: u32, plan: &Plan, meter: Rc<RefCell<Meter>>) -> Self {
        // Viewers lose different packets, and the same ones in every run.
        let seed = plan.seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            tally: ViewerTally::new(epoch),
            meter,
            next_look: now + LOOK_EVERY,
            link: Link::new(now, plan.bandwidth.clone(), plan.loss, seed),
        }
    }
}

impl Act for Viewer {
    fn pass(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Passage {
        self.link.pass(now, from, datagram)
    }

    fn poll_late(&mut self, now: Instant) -> Option<Late> {
        self.link.poll(now)
    }

    fn handle_told(&mut self, now: Instant, told: Told) {
        if let Told::Packet(kind, packet) = told {
            let received = Received {
                kind,
                ssrc: packet.header.ssrc,
                sequence: *packet.seq_no,
                payload: &packet.payload,
            };
            self.tally.handle_packet(now, received, &mut self.meter.borrow_mut());
        }
    }

    fn handle_timeout(&mut self, now: Instant, _session: &mut RtpSession) {
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            self.tally.handle_timeout(now, &mut self.meter.borrow_mut());
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let late = self.link.poll_timeout();
        Some(late.map_or(self.next_look, |late| late.min(self.next_look)))
    }

    fn is_up(&self) -> bool {
        self.tally.has_video()
    }
}
