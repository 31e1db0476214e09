//! Decides how soon members are notified of a change. A large room is notified in batches, so that it takes only a share of the
//! node's time, however much happens in the room.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::view::RoomState;

/// The most urgent change in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Nothing,
    /// The list of speakers.
    Speakers,
    /// The members of the window, and their number.
    Members,
    /// Custom messages.
    Messages,
    /// Published sources, the mix, the room's SFU.
    Sources,
}

/// The most urgent difference between the state that members know and the newest state.
pub fn urgency(known: &RoomState, now: &RoomState) -> Urgency {
    let same_seats = Arc::ptr_eq(&known.seats, &now.seats) || known.seats == now.seats;
    if !same_seats || known.mixes != now.mixes || known.info != now.info {
        return Urgency::Sources;
    }
    if known.messages != now.messages {
        return Urgency::Messages;
    }
    let same_roster = Arc::ptr_eq(&known.roster, &now.roster) || known.roster == now.roster;
    if !same_roster || known.member_count != now.member_count {
        return Urgency::Members;
    }
    if known.speakers == now.speakers {
        Urgency::Nothing
    } else {
        Urgency::Speakers
    }
}

/// Least time between two notifications of the same members, if `members` are notified at the same pace.
///
/// With 50,000 members the sources come at most every 5 s, members and speakers every 10 s: at most 10,000 messages a
/// second leave for a room, and an idle member gets less than 3 kB a minute. In a room of up to 100 members a source arrives within
/// 100 ms.
pub fn gap(urgency: Urgency, members: usize) -> Duration {
    let each = |micros: u64| Duration::from_micros(micros * members as u64);
    match urgency {
        Urgency::Nothing => Duration::MAX,
        Urgency::Sources | Urgency::Messages => each(100).max(Duration::from_millis(100)),
        // The count is promised at most once a second.
        Urgency::Members => each(200).max(Duration::from_secs(1)),
        Urgency::Speakers if members <= SMALL => Duration::from_millis(200),
        Urgency::Speakers => each(200).max(Duration::from_secs(3)),
    }
}

/// Limits the bytes that continuous changes (publishers who mute and unmute all the time) cost each connection of a large room:
/// a burst, and then so many a second that an idle member gets less than 3 kB in any minute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    /// Bytes spent of [`Self::BURST`], at the time of the last notification.
    spent: f64,
    at: Option<Instant>,
}

impl Allowance {
    const BURST: f64 = 600.0;
    const BYTES_PER_SECOND: f64 = 32.0;

    pub fn spend(&mut self, now: Instant, bytes: usize) {
        let passed = self.at.map(|at| now.saturating_duration_since(at)).unwrap_or_default();
        let earned = passed.as_secs_f64() * Self::BYTES_PER_SECOND;
        self.spent = (self.spent - earned).max(0.0) + bytes as f64;
        self.at = Some(now);
    }

    /// When the next change of a source may be sent, if `members` are notified at the same pace; None: at any time.
    pub fn ready_at(&self, members: usize) -> Option<Instant> {
        let over = self.spent - Self::BURST;
        let at = self.at.filter(|_| over > 0.0 && members > SMALL)?;
        Some(at + Duration::from_secs_f64(over / Self::BYTES_PER_SECOND))
    }
}

/// Pause of the node after it has notified so many members. The notification takes about a third of this time, and the rest is
/// for other work.
pub fn pause_after(members: usize) -> Duration {
    Duration::from_micros(40 * members as u64)
}

/// In rooms up to this size an idle member may get more than 3 kB a minute, and is notified at once.
const SMALL: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_room_is_notified_of_a_source_at_once_and_a_full_one_within_five_seconds() {
        assert_eq!(gap(Urgency::Sources, 10), Duration::from_millis(100));
        assert_eq!(gap(Urgency::Sources, 50_000), Duration::from_secs(5));
        assert_eq!(gap(Urgency::Members, 10), Duration::from_secs(1));
        assert_eq!(gap(Urgency::Speakers, 10), Duration::from_millis(200));
    }

    #[test]
    fn the_most_urgent_change_decides() {
        let known = RoomState::default();
        let mut now = known.clone();
        assert_eq!(urgency(&known, &now), Urgency::Nothing);
        now.speakers = Arc::new(vec![rotunda_proto::signaling::Speaker {
            user_id: "ann".parse().unwrap(),
            volume: 1,
        }]);
        assert_eq!(urgency(&known, &now), Urgency::Speakers);
        now.member_count = 1;
        assert_eq!(urgency(&known, &now), Urgency::Members);
        let mut seats = rotunda_proto::room::Seats::default();
        let on = rotunda_proto::room::TrackState::On;
        crate::seats::take_alone(
            &mut seats,
            Default::default(),
            &"ann".parse().unwrap(),
            rotunda_proto::ids::TrackSource::Audio,
            on,
        )
        .unwrap();
        now.seats = Arc::new(seats);
        assert_eq!(urgency(&known, &now), Urgency::Sources);
    }
}
