//! The quality of members' media in the last hours, as the SFU has measured it: in memory, for the members of this node.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::statistics::{NetworkQuality, SentMedia};
use serde::{Deserialize, Serialize};

/// Measures are kept for each of so many seconds: the last one within them.
pub const STEP: u64 = 10;
/// They are kept so long, seconds.
const KEPT: u64 = 4 * 3600;
/// Most points of a node, about 48 bytes each. Of more, the members go first of whom nothing was heard for the longest time.
const MOST_POINTS: usize = 500_000;

/// What was measured at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityPoint {
    /// Unix seconds, a multiple of [`STEP`].
    pub at: u64,
    /// Milliseconds there and back; None: not measured.
    pub round_trip: Option<u32>,
    pub sent: SentMedia,
    /// Percentage lost on the way to the member.
    pub downlink_loss: u8,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct QualityLog(Mutex<Series>);

#[derive(Debug, Default)]
struct Series {
    members: HashMap<(RoomKey, UserId), VecDeque<QualityPoint>>,
    points: usize,
}

impl QualityLog {
    /// `now`: Unix seconds.
    pub fn note(&self, room: &RoomKey, user: &UserId, now: u64, quality: NetworkQuality, sent: SentMedia) {
        let point = QualityPoint {
            at: now - now % STEP,
            round_trip: quality.uplink_rtt.max(quality.downlink_rtt),
            sent,
            downlink_loss: quality.downlink_loss,
        };
        self.series().add((room.clone(), user.clone()), point, MOST_POINTS);
    }

    /// The points of a member from `start` to `end`, both included, in the order of time.
    pub fn of(&self, room: &RoomKey, user: &UserId, start: u64, end: u64) -> Vec<QualityPoint> {
        let series = self.series();
        let points = series.members.get(&(room.clone(), user.clone()));
        let within = points.into_iter().flatten();
        within
            .filter(|point| (start..=end).contains(&point.at))
            .copied()
            .collect()
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn add(&mut self, member: (RoomKey, UserId), point: QualityPoint, most: usize) {
        let points = self.members.entry(member).or_default();
        match points.back_mut() {
            Some(last) if last.at == point.at => *last = point,
            _ => {
                points.push_back(point);
                self.points += 1;
            }
        }
        while points.front().is_some_and(|first| first.at + KEPT < point.at) {
            points.pop_front();
            self.points -= 1;
        }
        while self.points > most {
            self.remove_stalest();
        }
    }

    fn remove_stalest(&mut self) {
        let newest = |points: &VecDeque<QualityPoint>| points.back().map_or(0, |point| point.at);
        let stalest = self.members.iter().min_by_key(|(_, points)| newest(points));
        let Some(member) = stalest.map(|(member, _)| member.clone()) else {
            self.points = 0;
            return;
        };
        if let Some(points) = self.members.remove(&member) {
            self.points -= points.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> (RoomKey, UserId) {
        let room = RoomKey {
            app: 7.try_into().unwrap(),
            room: "1001".parse().unwrap(),
        };
        (room, name.parse().unwrap())
    }

    fn note(log: &QualityLog, name: &str, now: u64, round_trip: u32) {
        let (room, user) = member(name);
        let quality = NetworkQuality {
            uplink_rtt: Some(round_trip),
            ..NetworkQuality::default()
        };
        log.note(&room, &user, now, quality, SentMedia::default());
    }

    fn round_trips(log: &QualityLog, name: &str, start: u64, end: u64) -> Vec<(u64, u32)> {
        let (room, user) = member(name);
        let points = log.of(&room, &user, start, end).into_iter();
        points.map(|point| (point.at, point.round_trip.unwrap())).collect()
    }

    #[test]
    fn each_step_of_time_has_the_last_measure_in_it() {
        let log = QualityLog::default();
        for (now, round_trip) in [(1000, 1), (1009, 2), (1010, 3), (1031, 4)] {
            note(&log, "ann", now, round_trip);
        }
        assert_eq!(round_trips(&log, "ann", 0, 2000), [(1000, 2), (1010, 3), (1030, 4)]);
        assert_eq!(round_trips(&log, "ann", 1010, 1020), [(1010, 3)]);
        assert_eq!(round_trips(&log, "bob", 0, 2000), []);
    }

    #[test]
    fn old_points_go_and_a_full_log_forgets_members_who_are_gone() {
        let log = QualityLog::default();
        note(&log, "ann", 1000, 1);
        note(&log, "ann", 1000 + KEPT + STEP, 2);
        assert_eq!(round_trips(&log, "ann", 0, u64::MAX), [(1000 + KEPT + STEP, 2)]);
        let mut series = Series::default();
        let at = |at| QualityPoint {
            at,
            ..QualityPoint::default()
        };
        for (name, time) in [("gone", 10), ("gone", 20), ("here", 30), ("here", 40)] {
            series.add(member(name), at(time), 3);
        }
        assert_eq!(series.members.keys().collect::<Vec<_>>(), [&member("here")]);
        assert_eq!(series.points, 2);
    }
}
