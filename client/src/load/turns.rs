//! Publishers of a room that speak one after the other. Sans-IO.

use std::time::{Duration, Instant};

use super::plan::Plan;

/// The spoken share of a turn; after it the microphone is still open, with background noise only.
const SPOKEN: f64 = 0.8;

/// The state of a publisher's microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Not published: another publisher's turn.
    Absent,
    /// Open, without speech.
    Quiet,
    Speaking,
}

/// The turns of one publisher.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    epoch: Instant,
    length: Duration,
    /// The index of this publisher in its room.
    place: u32,
    /// The number of publishers in its room.
    publishers: u32,
}

impl Turns {
    /// `number`: the publisher's, in all rooms. `epoch`: when the first turn of each room begins. None: all speak
    /// all the time.
    pub fn new(epoch: Instant, plan: &Plan, number: u32) -> Option<Self> {
        (plan.talk_turns > 0.0).then(|| Self {
            epoch,
            length: Duration::from_secs_f64(plan.talk_turns),
            place: number / plan.rooms.unwrap_or(1),
            publishers: plan.publishers,
        })
    }

    pub fn voice(&self, now: Instant) -> Voice {
        let turns = self.turns_since_epoch(now);
        // The number of turns is far below the range of u32: the shortest take a tenth of a second.
        if turns as u32 % self.publishers != self.place {
            Voice::Absent
        } else if turns.fract() < SPOKEN {
            Voice::Speaking
        } else {
            Voice::Quiet
        }
    }

    /// When the next turn of any publisher begins.
    pub fn next(&self, now: Instant) -> Instant {
        self.epoch + self.length * (self.turns_since_epoch(now) as u32 + 1)
    }

    fn turns_since_epoch(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.epoch).as_secs_f64() / self.length.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::super::plan::tests::plan;
    use super::*;

    #[test]
    fn one_publisher_of_each_room_speaks_and_pauses_before_the_next_one_does() {
        let plan = Plan {
            talk_turns: 2.0,
            publishers: 3,
            rooms: Some(2),
            ..plan()
        };
        let epoch = Clock.now();
        let voices = |seconds: f64| -> Vec<Voice> {
            let now = epoch + Duration::from_secs_f64(seconds);
            let turns = (0..6).map(|number| Turns::new(epoch, &plan, number).unwrap());
            turns.map(|turns| turns.voice(now)).collect()
        };
        use Voice::{Absent, Quiet, Speaking};
        assert_eq!(voices(0.0), [Speaking, Speaking, Absent, Absent, Absent, Absent]);
        assert_eq!(voices(3.7), [Absent, Absent, Quiet, Quiet, Absent, Absent]);
        assert_eq!(voices(4.1), [Absent, Absent, Absent, Absent, Speaking, Speaking]);
        assert_eq!(voices(6.1), voices(0.0));
    }

    #[test]
    fn turns_begin_at_multiples_of_their_length_and_only_if_planned() {
        let epoch = Clock.now();
        let planned = Plan {
            talk_turns: 2.0,
            ..plan()
        };
        let turns = Turns::new(epoch, &planned, 0).unwrap();
        let next = turns.next(epoch + Duration::from_millis(4_500));
        assert_eq!(next, epoch + Duration::from_secs(6));
        assert!(Turns::new(epoch, &plan(), 0).is_none());
    }
}
