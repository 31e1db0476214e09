//! Which deliveries may run at one time: one a room, so that its order is kept, and a few an application, so that receivers
//! which do not answer hold up nobody else's. Pure.

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
    /// None: something of the room is on its way, or enough of the application.
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
