//! A publisher's media: packets by schedule.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::rtp_session::{RtpSession, Told};
use super::schedule::Schedule;
use super::shard::Setting;
use super::stay::Act;
use super::tally::Meter;

pub struct Publisher {
    number: u32,
    setting: Rc<Setting>,
    meter: Rc<RefCell<Meter>>,
    state: State,
}

enum State {
    /// ICE and DTLS are not complete.
    Connecting,
    Sending(Box<Schedule>),
}

impl Publisher {
    pub fn new(number: u32, setting: Rc<Setting>, meter: Rc<RefCell<Meter>>) -> Self {
        Self {
            number,
            setting,
            meter,
            state: State::Connecting,
        }
    }
}

impl Act for Publisher {
    fn handle_told(&mut self, now: Instant, told: Told) {
        match (&mut self.state, told) {
            // Connecting => Sending
            (State::Connecting, Told::Connected) => {
                let schedule = Schedule::new(now, self.setting.epoch, &self.setting.plan, self.number);
                self.state = State::Sending(Box::new(schedule));
            }
            (State::Sending(schedule), Told::KeyframeWanted) => schedule.request_keyframe(),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, session: &mut RtpSession) {
        if let State::Sending(schedule) = &mut self.state {
            while let Some(packet) = schedule.poll_packet(now) {
                session.write(now, packet);
                self.meter.borrow_mut().count_sent(now);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting => None,
            State::Sending(schedule) => Some(schedule.poll_timeout()),
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.state, State::Sending(_))
    }
}
