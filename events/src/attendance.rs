//! Members' times in rooms, summed: a crowd costs one fact a minute and room, not one for each member.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_proto::ids::RoomKey;
use rotunda_proto::signaling::Role;

/// The members of this node in a room, since the last [`drain`](Attendance::drain).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    pub anchor_ms: u64,
    pub audience_ms: u64,
    pub peak: u64,
}

#[derive(Debug, Default)]
pub struct Attendance {
    rooms: HashMap<RoomKey, Counts>,
}

#[derive(Debug)]
struct Counts {
    anchors: u64,
    audience: u64,
    anchor_time: Duration,
    audience_time: Duration,
    peak: u64,
    summed_at: Instant,
}

impl Counts {
    fn new(now: Instant) -> Self {
        Self {
            anchors: 0,
            audience: 0,
            anchor_time: Duration::ZERO,
            audience_time: Duration::ZERO,
            peak: 0,
            summed_at: now,
        }
    }

    fn sum(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.summed_at).as_nanos() as u64;
        self.summed_at = now;
        self.anchor_time += Duration::from_nanos(passed.saturating_mul(self.anchors));
        self.audience_time += Duration::from_nanos(passed.saturating_mul(self.audience));
    }

    fn members(&mut self, role: Role) -> &mut u64 {
        match role {
            Role::Anchor => &mut self.anchors,
            Role::Audience => &mut self.audience,
        }
    }
}

impl Attendance {
    pub fn handle_entered(&mut self, now: Instant, room: &RoomKey, role: Role) {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.clone(), Counts::new(now));
        }
        self.change(now, room, |counts| *counts.members(role) += 1);
    }

    pub fn handle_left(&mut self, now: Instant, room: &RoomKey, role: Role) {
        self.change(now, room, |counts| {
            let members = counts.members(role);
            *members = members.saturating_sub(1);
        });
    }

    fn change(&mut self, now: Instant, room: &RoomKey, change: impl FnOnce(&mut Counts)) {
        let Some(counts) = self.rooms.get_mut(room) else { return };
        counts.sum(now);
        change(counts);
        counts.peak = counts.peak.max(counts.anchors + counts.audience);
    }

    /// The sums since the last call. Empty rooms are forgotten.
    pub fn drain(&mut self, now: Instant) -> Vec<(RoomKey, Minute)> {
        let mut minutes = Vec::with_capacity(self.rooms.len());
        self.rooms.retain(|room, counts| {
            counts.sum(now);
            let minute = Minute {
                anchor_ms: whole_ms(&mut counts.anchor_time),
                audience_ms: whole_ms(&mut counts.audience_time),
                peak: counts.peak,
            };
            minutes.push((room.clone(), minute));
            counts.peak = counts.anchors + counts.audience;
            counts.peak > 0
        });
        minutes
    }
}

/// Takes the whole milliseconds, so that the rest is counted later.
fn whole_ms(time: &mut Duration) -> u64 {
    let ms = time.as_millis() as u64;
    *time = time.saturating_sub(Duration::from_millis(ms));
    ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;
    use rotunda_proto::ids::RoomId;

    fn room(number: u64) -> RoomKey {
        RoomKey {
            app: 1.try_into().unwrap(),
            room: RoomId::Number(number.try_into().unwrap()),
        }
    }

    #[test]
    fn a_crowd_is_one_sum_a_minute() {
        let start = Clock.now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut attendance = Attendance::default();
        attendance.handle_entered(at(0), &room(1), Role::Anchor);
        for _ in 0..1000 {
            attendance.handle_entered(at(10_000), &room(1), Role::Audience);
        }
        for _ in 0..400 {
            attendance.handle_left(at(20_000), &room(1), Role::Audience);
        }
        let first = Minute {
            anchor_ms: 60_000,
            audience_ms: 1000 * 10_000 + 600 * 40_000,
            peak: 1001,
        };
        assert_eq!(attendance.drain(at(60_000)), [(room(1), first)]);
        let next = Minute {
            anchor_ms: 30_000,
            audience_ms: 600 * 30_000,
            peak: 601,
        };
        assert_eq!(attendance.drain(at(90_000)), [(room(1), next)]);
    }

    #[test]
    fn a_room_is_counted_once_more_after_its_last_member_and_then_forgotten() {
        let start = Clock.now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut attendance = Attendance::default();
        attendance.handle_entered(at(0), &room(2), Role::Audience);
        attendance.handle_left(at(500), &room(2), Role::Audience);
        let visit = Minute {
            anchor_ms: 0,
            audience_ms: 500,
            peak: 1,
        };
        assert_eq!(attendance.drain(at(60_000)), [(room(2), visit)]);
        assert_eq!(attendance.drain(at(120_000)), []);
        // A member who left a room that is not known changes nothing.
        attendance.handle_left(at(130_000), &room(2), Role::Anchor);
        assert_eq!(attendance.drain(at(180_000)), []);
    }
}
