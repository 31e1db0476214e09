//! The members whom everybody sees: pure changes of the [`Roster`] document, the window of the earliest members present.

use std::collections::BTreeSet;

use rotunda_proto::ids::UserId;
use rotunda_proto::room::{ROSTER_WINDOW, Roster, RosterMember};

/// The window when these are present too: the [`ROSTER_WINDOW`] earliest of both, in order of entering.
///
/// However the nodes of a room take turns with this, the window comes to hold the earliest of all: who entered earlier
/// takes the place of the latest.
pub fn merged(roster: &Roster, present: impl IntoIterator<Item = RosterMember>) -> Roster {
    let mut known: BTreeSet<(u64, UserId)> = roster.members.iter().cloned().map(order_key).collect();
    let shown: BTreeSet<UserId> = roster.members.iter().map(|member| member.user.clone()).collect();
    known.extend(
        present
            .into_iter()
            .filter(|member| !shown.contains(&member.user))
            .map(order_key),
    );
    let earliest = known.into_iter().take(ROSTER_WINDOW);
    Roster {
        members: earliest
            .map(|(entered_unix_ms, user)| RosterMember { user, entered_unix_ms })
            .collect(),
    }
}

/// The window without those who have left.
pub fn without(roster: &Roster, left: &[UserId]) -> Roster {
    let mut roster = roster.clone();
    roster.members.retain(|member| !left.contains(&member.user));
    roster
}

/// Two members of one millisecond have an order too, and the same one on every node.
fn order_key(member: RosterMember) -> (u64, UserId) {
    (member.entered_unix_ms, member.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u64) -> RosterMember {
        RosterMember {
            user: format!("user{number}").parse().unwrap(),
            entered_unix_ms: number,
        }
    }

    fn times(roster: &Roster) -> Vec<u64> {
        roster.members.iter().map(|member| member.entered_unix_ms).collect()
    }

    #[test]
    fn the_window_holds_the_fifty_earliest_and_a_leaver_makes_room_for_the_next() {
        let roster = merged(&Roster::default(), (0..60).map(member));
        assert_eq!(times(&roster), (0..50).collect::<Vec<_>>());
        let roster = without(&roster, &[member(3).user]);
        let roster = merged(&roster, (50..60).map(member));
        assert_eq!(times(&roster).last(), Some(&50));
        assert_eq!(roster.members.len(), ROSTER_WINDOW);
    }

    #[test]
    fn of_two_nodes_that_fill_a_place_the_earlier_member_has_it_whoever_was_first() {
        let full = merged(&Roster::default(), (0..50).map(member));
        let vacant = without(&full, &[member(7).user]);
        let (earlier, later) = (member(60), member(70));
        let one = merged(&merged(&vacant, [earlier.clone()]), [later.clone()]);
        let other = merged(&merged(&vacant, [later]), [earlier]);
        assert_eq!(one, other);
        assert_eq!(times(&one).last(), Some(&60));
    }
}
