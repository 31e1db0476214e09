//! A viewer's part in its stay: counts what arrives, and drops what the plan wants lost.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::plan::Plan;
use super::rtp_session::{RtpSession, Told};
use super::stay::Act;
use super::tally::{Meter, Received, ViewerTally};

/// How often a viewer looks for what did not come.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub struct Viewer {
    tally: ViewerTally,
    meter: Rc<RefCell<Meter>>,
    next_look: Instant,
    loss: f64,
    chance: SmallRng,
}

impl Viewer {
    pub fn new(now: Instant, epoch: Instant, number: u32, plan: &Plan, meter: Rc<RefCell<Meter>>) -> Self {
        // Viewers do not all lose the same packets, and lose the same ones in every run.
        let seed = plan.seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            tally: ViewerTally::new(epoch),
            meter,
            next_look: now + LOOK_EVERY,
            loss: plan.loss,
            chance: SmallRng::seed_from_u64(seed),
        }
    }
}

impl Act for Viewer {
    /// Only RTP and RTCP are lost (RFC 7983 §7), so that joining is not what is measured.
    fn loses(&mut self, datagram: &[u8]) -> bool {
        let is_media = datagram.first().is_some_and(|first| (128..=191).contains(first));
        self.loss > 0.0 && is_media && self.chance.random_bool(self.loss)
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
        Some(self.next_look)
    }

    fn is_up(&self) -> bool {
        self.tally.has_video()
    }
}
