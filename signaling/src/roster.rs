//! The members that everybody sees: pure changes of the [`Roster`] document, the window of the earliest members present.

use std::collections::BTreeMap;

use rotunda_proto::ids::{MembershipId, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::room::{ROSTER_WINDOW, Roster, RosterMember};

/// The window when these are present too: the [`ROSTER_WINDOW`] earliest of both, in order of entering.
///
/// In any order of the nodes' changes, the window ends with the earliest members of all: an earlier member replaces the latest one.
pub fn merged(roster: &Roster, present: impl IntoIterator<Item = RosterMember>) -> Roster {
    let mut known: BTreeMap<UserId, RosterMember> = BTreeMap::new();
    for member in roster.members.iter().cloned().chain(present) {
        // The newer of two logins of one user counts.
        let newer = known
            .get(&member.user)
            .is_none_or(|known| known.entered_unix_ms <= member.entered_unix_ms);
        if newer {
            known.insert(member.user.clone(), member);
        }
    }
    let mut members: Vec<RosterMember> = known.into_values().collect();
    // Two members of one millisecond have the same order on every node.
    members.sort_by(|one, other| (one.entered_unix_ms, &one.user).cmp(&(other.entered_unix_ms, &other.user)));
    members.truncate(ROSTER_WINDOW);
    Roster { members }
}

/// The window without those who have left.
pub fn without(roster: &Roster, left: &[MembershipId]) -> Roster {
    let mut roster = roster.clone();
    roster
        .members
        .retain(|member| !left.contains(&member.holder.membership));
    roster
}

/// Removes the members of dead nodes. False: there are none.
pub fn free_dead(roster: &mut Roster, is_dead: impl Fn(&Incarnation) -> bool) -> bool {
    let before = roster.members.len();
    roster.members.retain(|member| !is_dead(&member.holder.node));
    roster.members.len() != before
}

#[cfg(test)]
mod tests {
    use rotunda_proto::room::Holder;

    use super::*;

    fn member(number: u64) -> RosterMember {
        RosterMember {
            user: format!("user{number}").parse().unwrap(),
            entered_unix_ms: number,
            holder: Holder {
                membership: MembershipId(number),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
        }
    }

    fn times(roster: &Roster) -> Vec<u64> {
        roster.members.iter().map(|member| member.entered_unix_ms).collect()
    }

    #[test]
    fn the_window_has_the_fifty_earliest_and_after_a_leave_the_next_one() {
        let roster = merged(&Roster::default(), (0..60).map(member));
        assert_eq!(times(&roster), (0..50).collect::<Vec<_>>());
        let roster = without(&roster, &[MembershipId(3)]);
        let roster = merged(&roster, (50..60).map(member));
        assert_eq!(times(&roster).last(), Some(&50));
        assert_eq!(roster.members.len(), ROSTER_WINDOW);
    }

    #[test]
    fn a_newer_login_of_a_user_replaces_the_older_one_and_not_the_other_way_round() {
        let (older, mut newer) = (member(5), member(9));
        newer.user = older.user.clone();
        let roster = merged(&Roster::default(), [older.clone()]);
        let roster = merged(&roster, [newer.clone()]);
        assert_eq!(roster.members, [newer.clone()]);
        assert_eq!(merged(&roster, [older.clone()]).members, [newer.clone()]);
        assert_eq!(without(&roster, &[older.holder.membership]).members, [newer]);
    }

    #[test]
    fn the_earlier_of_two_members_is_in_the_window_whichever_node_writes_first() {
        let full = merged(&Roster::default(), (0..50).map(member));
        let vacant = without(&full, &[MembershipId(7)]);
        let (earlier, later) = (member(60), member(70));
        let one = merged(&merged(&vacant, [earlier.clone()]), [later.clone()]);
        let other = merged(&merged(&vacant, [later]), [earlier]);
        assert_eq!(one, other);
        assert_eq!(times(&one).last(), Some(&60));
    }
}
