//! Who is in the room and publishes, in the order of entering: what the room's documents say.

use rotunda_proto::ids::UserId;
use rotunda_proto::room::{Publisher, Roster, Seats};

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

    /// The publishing members: those of the roster in the order of entering, then those beyond its window in the order of
    /// publishing.
    pub fn in_order(&self) -> Vec<Member> {
        let place = |user: &UserId| self.roster.members.iter().position(|member| member.user == *user);
        let mut publishers: Vec<&Publisher> = self.seats.publishers.iter().collect();
        publishers.sort_by_key(|publisher| place(&publisher.user).unwrap_or(usize::MAX));
        publishers
            .into_iter()
            .map(|publisher| Member {
                user: publisher.user.clone(),
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
    use rotunda_proto::room::{Holder, RosterMember, TrackState};

    use super::*;

    fn holder() -> Holder {
        Holder {
            membership: MembershipId(1),
            node: Incarnation::new("node-1".parse().unwrap(), 1),
        }
    }

    #[test]
    fn publishers_come_in_the_order_of_entering_and_strangers_last() {
        let publisher = |name: &str| Publisher {
            user: name.parse().unwrap(),
            holder: holder(),
            audio: Some(TrackState::On),
            camera: None,
            screen: None,
        };
        let entered = |name: &str| RosterMember {
            user: name.parse().unwrap(),
            entered_unix_ms: 0,
            holder: holder(),
        };
        let mut members = Members::default();
        members.handle_seats(Some(Seats {
            publishers: ["x", "b", "a"].map(publisher).into(),
        }));
        members.handle_roster(Some(Roster {
            members: ["a", "audience", "b"].map(entered).into(),
        }));
        let order: Vec<String> = members
            .in_order()
            .iter()
            .map(|member| member.user.to_string())
            .collect();
        assert_eq!(order, ["a", "b", "x"]);
    }
}
