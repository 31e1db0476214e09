//! The members that publish, in the order of entering, by the room's documents.

use rotunda_proto::ids::{RoomKey, RoomUser, UserId};
use rotunda_proto::room::{ROSTER_WINDOW, Roster, Seats};

use crate::layout::Member;

/// The last known documents of a room.
#[derive(Debug, Default)]
pub struct Members {
    seats: Seats,
    roster: Roster,
}

impl Members {
    /// None: the document is gone, nobody publishes.
    pub fn handle_seats(&mut self, seats: Option<Seats>) {
        self.seats = seats.unwrap_or_default();
    }

    /// None: the document is gone, nobody is there.
    pub fn handle_roster(&mut self, roster: Option<Roster>) {
        self.roster = roster.unwrap_or_default();
    }

    /// Whether a member is in the room, or may come back to it. One beyond the roster's window is known only while publishing.
    pub fn has(&self, user: &UserId) -> bool {
        let is_present = self.roster.members.iter().any(|member| member.user == *user);
        is_present || self.seats.cells().iter().any(|publisher| publisher.user == *user)
    }

    /// The publishing members: those of the roster in the order of entering, then those beyond its window in the order of
    /// publishing. Publishers who were cut off and may come back are among them, muted, at their place.
    pub fn in_order(&self, room: &RoomKey) -> Vec<Member> {
        let entered = |user: &UserId| {
            let present = self.roster.members.iter().find(|member| member.user == *user);
            // One who entered later than the whole window keeps the place among the publishers beyond it.
            let last = self.roster.members.get(ROSTER_WINDOW - 1);
            let kept = || {
                let cell = self.seats.kept_for(user)?;
                last.is_none_or(|last| cell.entered_unix_ms < last.entered_unix_ms)
                    .then_some(cell.entered_unix_ms)
            };
            present.map(|member| member.entered_unix_ms).or_else(kept)
        };
        let mut cells = self.seats.cells();
        cells.sort_by_cached_key(|publisher| match entered(&publisher.user) {
            Some(entered) => (entered, Some(publisher.user.clone())),
            None => (u64::MAX, None),
        });
        cells
            .into_iter()
            .map(|publisher| Member {
                id: RoomUser {
                    room: room.clone(),
                    user: publisher.user,
                },
                audio: publisher.audio,
                camera: publisher.camera,
                screen: publisher.screen,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::MembershipId;
    use rotunda_proto::incarnation::Incarnation;
    use rotunda_proto::room::{Holder, KeptCell, Publisher, RosterMember, TrackState};

    use super::*;

    fn room() -> RoomKey {
        RoomKey {
            app: 1.try_into().unwrap(),
            room: "1".parse().unwrap(),
        }
    }

    fn holder() -> Holder {
        Holder {
            membership: MembershipId(1),
            node: Incarnation::new("node-1".parse().unwrap(), 1),
        }
    }

    #[test]
    fn publishers_come_in_the_order_of_entering_and_strangers_last() {
        let publisher = |name: &str| Publisher {
            audio: Some(TrackState::On),
            ..Publisher::of(name.parse().unwrap(), holder())
        };
        let entered = |name: &str| RosterMember {
            user: name.parse().unwrap(),
            holder: holder(),
            entered_unix_ms: 0,
        };
        let mut members = Members::default();
        members.handle_seats(Some(Seats {
            publishers: ["x", "b", "a"].map(publisher).into(),
            kept: Vec::new(),
        }));
        members.handle_roster(Some(Roster {
            members: ["a", "audience", "b"].map(entered).into(),
        }));
        let order: Vec<String> = members
            .in_order(&room())
            .iter()
            .map(|member| member.id.user.to_string())
            .collect();
        assert_eq!(order, ["a", "b", "x"]);
    }

    #[test]
    fn a_publisher_who_was_cut_off_keeps_the_cell_muted() {
        let publisher = |name: &str| Publisher {
            camera: Some(TrackState::On),
            ..Publisher::of(name.parse().unwrap(), holder())
        };
        let entered = |(name, entered_unix_ms): (&str, u64)| RosterMember {
            user: name.parse().unwrap(),
            holder: holder(),
            entered_unix_ms,
        };
        let mut members = Members::default();
        members.handle_seats(Some(Seats {
            publishers: ["c", "a", "x"].map(publisher).into(),
            kept: vec![KeptCell {
                user: "b".parse().unwrap(),
                holder: holder(),
                sources: [rotunda_proto::ids::TrackSource::Camera].into(),
                entered_unix_ms: 2,
                index: 3,
                until_unix_ms: 30_000,
            }],
        }));
        members.handle_roster(Some(Roster {
            members: [("a", 1), ("c", 3)].map(entered).into(),
        }));
        let order = members.in_order(&room());
        let order: Vec<_> = order
            .iter()
            .map(|member| (member.id.user.as_str(), member.camera))
            .collect();
        let (on, muted) = (Some(TrackState::On), Some(TrackState::Muted));
        assert_eq!(order, [("a", on), ("b", muted), ("c", on), ("x", on)]);
    }
}
