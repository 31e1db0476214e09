//! Events on their way from a worker to the control task.

use std::collections::VecDeque;

use metrics::counter;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::sfu::Event;

/// Events that wait. Beyond it only the ends of sessions are kept, of which there is one for each session.
const MOST: usize = 65_536;

/// An event and the room it happened in.
#[derive(Debug)]
pub struct RoomEvent {
    pub room: RoomKey,
    pub event: Event,
}

/// In the order in which they happened.
#[derive(Debug, Default)]
pub struct Events(VecDeque<RoomEvent>);

impl Events {
    pub fn tell(&mut self, room: &RoomKey, event: Event) {
        if self.0.len() >= MOST && !matches!(event, Event::Disconnected { .. }) {
            counter!("rotunda_sfu_events_dropped_total").increment(1);
            return;
        }
        let room = room.clone();
        self.0.push_back(RoomEvent { room, event });
    }

    pub fn next(&mut self) -> Option<RoomEvent> {
        self.0.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::SessionId;

    use super::*;
    use crate::worker::simulation;

    #[test]
    fn the_end_of_a_session_is_told_even_when_there_is_no_place_for_other_events() {
        let room = simulation::room_key();
        let mut events = Events::default();
        for _ in 0..MOST + 5 {
            events.tell(&room, Event::Speakers { speakers: Vec::new() });
        }
        let end = Event::Disconnected {
            session: SessionId(3),
            user: None,
            reason: String::new(),
        };
        events.tell(&room, end);
        let all: Vec<RoomEvent> = std::iter::from_fn(|| events.next()).collect();
        assert_eq!(all.len(), MOST + 1);
        assert!(matches!(all[MOST].event, Event::Disconnected { .. }));
        assert!(events.is_empty());
    }
}
