//! Who is seen: pure changes of the [`Roster`] document, the window of the earliest members present.

use rotunda_proto::ids::UserId;
use rotunda_proto::room::{ROSTER_WINDOW, Roster, RosterMember};

/// Puts a member into the window, in order of entering. Answers whether it is in it now.
pub fn enter(roster: &mut Roster, user: &UserId, entered_unix_ms: u64) -> bool {
    if contains(roster, user) {
        return true;
    }
    if roster.members.len() >= ROSTER_WINDOW {
        return false;
    }
    let at = roster
        .members
        .partition_point(|member| member.entered_unix_ms <= entered_unix_ms);
    roster.members.insert(
        at,
        RosterMember {
            user: user.clone(),
            entered_unix_ms,
        },
    );
    true
}

pub fn leave(roster: &mut Roster, user: &UserId) {
    roster.members.retain(|member| member.user != *user);
}

pub fn contains(roster: &Roster, user: &UserId) -> bool {
    roster.members.iter().any(|member| member.user == *user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64) -> UserId {
        format!("user{number}").parse().unwrap()
    }

    #[test]
    fn the_window_holds_the_fifty_earliest_and_a_leaver_makes_room() {
        let mut roster = Roster::default();
        for number in 0..60 {
            assert_eq!(enter(&mut roster, &user(number), number), number < 50);
        }
        leave(&mut roster, &user(3));
        assert!(enter(&mut roster, &user(50), 50), "the next one moves in");
        assert!(!enter(&mut roster, &user(51), 51));
        assert_eq!(roster.members.len(), ROSTER_WINDOW);
        let times: Vec<u64> = roster.members.iter().map(|member| member.entered_unix_ms).collect();
        assert!(times.is_sorted());
    }
}
