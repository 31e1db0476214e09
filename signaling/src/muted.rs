//! The members that one listener has muted.

use std::collections::BTreeSet;

use rotunda_proto::config::{Cameras, Microphones};
use rotunda_proto::ids::UserId;
use rotunda_proto::room::{ROSTER_WINDOW, Roster, Seats};
use rotunda_proto::signaling::ErrorCode;

/// A client knows by name the members of the roster's window and the publishers beyond it. The limit is their number, so that a
/// client cannot fill the server's memory with names.
pub const MAX_MUTED: usize = ROSTER_WINDOW + Microphones::MAX + Cameras::MAX;

/// At most [`MAX_MUTED`] members. A member who leaves and comes back is still muted, unless another one took the entry.
#[derive(Debug, Clone, Default)]
pub struct Muted {
    /// In the order of muting.
    users: Vec<UserId>,
}

impl Muted {
    /// Errors: [`ErrorCode::TooManyMuted`] when as many are muted already, and all of them are in the room.
    pub fn mute(&mut self, seats: &Seats, roster: &Roster, user: UserId) -> Result<(), ErrorCode> {
        if self.users.contains(&user) {
            return Ok(());
        }
        if self.users.len() >= MAX_MUTED {
            self.drop_absent(seats, roster);
        }
        if self.users.len() >= MAX_MUTED {
            return Err(ErrorCode::TooManyMuted);
        }
        self.users.push(user);
        Ok(())
    }

    pub fn unmute(&mut self, user: &UserId) {
        self.users.retain(|muted| muted != user);
    }

    pub fn contains(&self, user: &UserId) -> bool {
        self.users.contains(user)
    }

    /// Includes members who do not publish yet: not even their first packet may be heard.
    pub fn all(&self) -> BTreeSet<UserId> {
        self.users.iter().cloned().collect()
    }

    fn drop_absent(&mut self, seats: &Seats, roster: &Roster) {
        self.users.retain(|user| {
            seats.publishers.iter().any(|publisher| publisher.user == *user)
                || roster.members.iter().any(|member| member.user == *user)
        });
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::MembershipId;
    use rotunda_proto::incarnation::Incarnation;
    use rotunda_proto::room::{Holder, RosterMember};

    use super::*;

    fn user(number: usize) -> UserId {
        format!("user{number}").parse().unwrap()
    }

    fn roster(users: std::ops::Range<usize>) -> Roster {
        let members = users.map(|number| RosterMember {
            user: user(number),
            holder: Holder {
                membership: MembershipId(number as u64),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
            entered_unix_ms: number as u64,
        });
        Roster {
            members: members.collect(),
        }
    }

    #[test]
    fn as_many_can_be_muted_as_a_client_can_know_and_one_more_is_refused_by_name() {
        let (seats, everybody) = (Seats::default(), roster(0..MAX_MUTED));
        let mut muted = Muted::default();
        for number in 0..MAX_MUTED {
            muted.mute(&seats, &everybody, user(number)).unwrap();
            muted.mute(&seats, &everybody, user(number)).unwrap();
        }
        let refused = muted.mute(&seats, &everybody, user(MAX_MUTED));
        assert_eq!(refused, Err(ErrorCode::TooManyMuted));
        assert!(muted.contains(&user(0)) && !muted.contains(&user(MAX_MUTED)));
        muted.unmute(&user(5));
        muted.mute(&seats, &everybody, user(MAX_MUTED)).unwrap();
    }

    #[test]
    fn members_who_have_left_make_room_for_others() {
        let (seats, before) = (Seats::default(), roster(0..MAX_MUTED));
        let mut muted = Muted::default();
        for number in 0..MAX_MUTED {
            muted.mute(&seats, &before, user(number)).unwrap();
        }
        let after = roster(10..200);
        muted.mute(&seats, &after, user(150)).unwrap();
        assert!(!muted.contains(&user(0)) && muted.contains(&user(10)));
    }
}
