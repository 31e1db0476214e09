//! Limits the deliveries that run at one time. A room has one, which keeps its order. An application has a few, so that receivers
//! that do not answer delay no other application. Pure.

use std::collections::{HashMap, HashSet};

/// Deliveries of one application at one time.
pub const PER_APPLICATION: usize = 8;

#[derive(Debug, Default)]
pub struct Lanes {
    rooms: HashSet<String>,
    by_application: HashMap<i64, usize>,
}

/// A delivery that runs.
#[derive(Debug)]
pub struct Lane {
    application: i64,
    room: String,
}

impl Lanes {
    /// None: a delivery of the room is running, or as many of the application as are allowed.
    pub fn enter(&mut self, application: i64, room: &str) -> Option<Lane> {
        let running = self.by_application.entry(application).or_default();
        if *running >= PER_APPLICATION || self.rooms.contains(room) {
            return None;
        }
        *running += 1;
        self.rooms.insert(room.to_owned());
        Some(Lane {
            application,
            room: room.to_owned(),
        })
    }

    pub fn leave(&mut self, lane: Lane) {
        self.rooms.remove(&lane.room);
        if let Some(running) = self.by_application.get_mut(&lane.application) {
            *running = running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_delivery_and_an_application_a_few() {
        let mut lanes = Lanes::default();
        let first = lanes.enter(1, "1/a").unwrap();
        assert!(lanes.enter(1, "1/a").is_none());
        for room in 1..PER_APPLICATION {
            assert!(lanes.enter(1, &format!("1/{room}")).is_some());
        }
        assert!(lanes.enter(1, "1/z").is_none(), "the application has enough");
        assert!(lanes.enter(2, "2/a").is_some(), "another one is not concerned");
        lanes.leave(first);
        assert!(lanes.enter(1, "1/a").is_some());
    }
}
