//! Pure changes of the [`WaitingRoom`] document.

use std::collections::BTreeSet;

use rotunda_proto::ids::{MembershipId, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::signaling::{WAITING_WINDOW, WaitingRoomView, WaitingUserView};
use rotunda_proto::waiting_room::{Answered, EntryAnswer, MAX_REMOVED, MAX_WAITING, WaitingRoom, WaitingUser};

/// A user of one node who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    pub user: WaitingUser,
    /// The document has had the entry. It is added again, if it is missing, whatever the limit is.
    pub was_listed: bool,
}

/// The document with the users who wait on a node, and without those who do not wait any more. Of two entries of one user the newer
/// one stays.
pub fn merged(document: &WaitingRoom, here: &[Here], gone: &[MembershipId]) -> WaitingRoom {
    let mut waiting = document.waiting.clone();
    waiting.retain(|entry| !gone.contains(&entry.holder.membership));
    for Here { user, was_listed } in here {
        let id = user.holder.membership;
        if let Some(entry) = waiting.iter_mut().find(|entry| entry.holder.membership == id) {
            // The node may have another incarnation now.
            entry.holder = user.holder.clone();
            continue;
        }
        let is_older = |entry: &WaitingUser| entry.user == user.user && entry.since_unix_ms <= user.since_unix_ms;
        waiting.retain(|entry| !is_older(entry));
        if *was_listed || waiting.len() < MAX_WAITING {
            waiting.push(user.clone());
        }
    }
    waiting.sort_by(|one, other| place(one).cmp(&place(other)));
    WaitingRoom {
        waiting,
        ..document.clone()
    }
}

fn place(user: &WaitingUser) -> (u64, &UserId) {
    (user.since_unix_ms, &user.user)
}

pub fn has(document: &WaitingRoom, id: MembershipId) -> bool {
    document.waiting.iter().any(|entry| entry.holder.membership == id)
}

/// Answers users who wait; None: all of them. Answers how many had no answer yet.
pub fn answer(document: &mut WaitingRoom, users: Option<&[UserId]>, answered: &Answered) -> u32 {
    let chosen: Option<BTreeSet<&UserId>> = users.map(|users| users.iter().collect());
    let is_chosen = |user: &UserId| chosen.as_ref().is_none_or(|chosen| chosen.contains(user));
    let mut count = 0;
    for entry in &mut document.waiting {
        if entry.answer.is_none() && is_chosen(&entry.user) {
            entry.answer = Some(answered.clone());
            count += 1;
            if answered.answer == EntryAnswer::Admitted {
                document.removed.retain(|user| *user != entry.user);
            }
        }
    }
    count
}

/// The room has ended. Where a moderator had switched the waiting room on, nobody is left who could answer.
pub fn end(document: &mut WaitingRoom) {
    document.removed.clear();
    if std::mem::take(&mut document.required) {
        let answered = Answered {
            answer: EntryAnswer::RoomEnded,
            by: None,
        };
        answer(document, None, &answered);
    }
}

/// The users were removed from the room.
pub fn remove(document: &mut WaitingRoom, users: &[UserId]) {
    document.removed.retain(|user| !users.contains(user));
    document.removed.extend_from_slice(users);
    let too_many = document.removed.len().saturating_sub(MAX_REMOVED);
    document.removed.drain(..too_many);
}

/// Removes the users of dead nodes.
pub fn free_dead(document: &mut WaitingRoom, is_dead: impl Fn(&Incarnation) -> bool) {
    document.waiting.retain(|entry| !is_dead(&entry.holder.node));
}

pub fn view(document: &WaitingRoom) -> WaitingRoomView {
    WaitingRoomView {
        required: document.required,
        total: document.unanswered().count() as u32,
        users: document.unanswered().take(WAITING_WINDOW).map(user_view).collect(),
    }
}

fn user_view(entry: &WaitingUser) -> WaitingUserView {
    WaitingUserView {
        user_id: entry.user.clone(),
        since_unix_ms: entry.since_unix_ms,
    }
}

/// A page of the users who wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub users: Vec<WaitingUserView>,
    /// `after` of the next page.
    pub next: Option<String>,
    pub total: u32,
}

/// Errors: `after` is not the `next` of a page.
pub fn page(document: &WaitingRoom, after: Option<&str>, size: usize) -> Result<Page, NoPage> {
    let after = after.map(|text| read_place(text).ok_or(NoPage)).transpose()?;
    let is_later = |entry: &&WaitingUser| after.as_ref().is_none_or(|(since, user)| place(entry) > (*since, user));
    let mut later = document.unanswered().filter(is_later);
    let users: Vec<WaitingUserView> = later.by_ref().take(size).map(user_view).collect();
    let last = users.last().filter(|_| later.next().is_some());
    Ok(Page {
        next: last.map(|last| format!("{}.{}", last.since_unix_ms, last.user_id)),
        total: document.unanswered().count() as u32,
        users,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPage;

fn read_place(text: &str) -> Option<(u64, UserId)> {
    let (since, user) = text.split_once('.')?;
    Some((since.parse().ok()?, user.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use rotunda_proto::room::Holder;

    use super::*;

    fn entry(number: u64) -> WaitingUser {
        WaitingUser {
            user: format!("user{number}").parse().unwrap(),
            since_unix_ms: number,
            holder: Holder {
                membership: MembershipId(number),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
            answer: None,
        }
    }

    fn new(number: u64) -> Here {
        Here {
            user: entry(number),
            was_listed: false,
        }
    }

    fn admitted() -> Answered {
        Answered {
            answer: EntryAnswer::Admitted,
            by: Some("ann".parse().unwrap()),
        }
    }

    fn users(document: &WaitingRoom) -> Vec<&str> {
        document.waiting.iter().map(|entry| entry.user.as_str()).collect()
    }

    #[test]
    fn users_stand_in_the_order_of_arrival_whichever_node_writes_first() {
        let one = merged(&merged(&WaitingRoom::default(), &[new(2)], &[]), &[new(1)], &[]);
        let other = merged(&merged(&WaitingRoom::default(), &[new(1)], &[]), &[new(2)], &[]);
        assert_eq!(one, other);
        assert_eq!(users(&one), ["user1", "user2"]);
        assert_eq!(users(&merged(&one, &[], &[MembershipId(1)])), ["user2"]);
        assert_eq!(merged(&one, &[new(1)], &[]), one, "twice is once");
    }

    #[test]
    fn a_full_list_takes_nobody_but_those_who_were_in_it() {
        let all: Vec<Here> = (0..MAX_WAITING as u64).map(new).collect();
        let full = merged(&WaitingRoom::default(), &all, &[]);
        assert!(!has(&merged(&full, &[new(9999)], &[]), MembershipId(9999)));
        let back = Here {
            was_listed: true,
            ..new(9999)
        };
        assert!(has(&merged(&full, &[back], &[]), MembershipId(9999)));
        assert!(has(
            &merged(&full, &[new(9999)], &[MembershipId(3)]),
            MembershipId(9999)
        ));
    }

    #[test]
    fn a_newer_login_of_a_user_takes_the_place_of_the_older_one() {
        let (older, mut newer) = (new(1), new(7));
        newer.user.user = older.user.user.clone();
        let document = merged(&merged(&WaitingRoom::default(), &[older], &[]), &[newer], &[]);
        let ids: Vec<_> = document.waiting.iter().map(|entry| entry.holder.membership).collect();
        assert_eq!(ids, [MembershipId(7)]);
    }

    #[test]
    fn an_answer_is_given_once_and_is_not_in_the_view_any_more() {
        let mut document = merged(&WaitingRoom::default(), &[new(1), new(2), new(3)], &[]);
        let two = ["user2".parse().unwrap(), "nobody".parse().unwrap()];
        assert_eq!(answer(&mut document, Some(&two), &admitted()), 1);
        assert_eq!(answer(&mut document, Some(&two), &admitted()), 0);
        let seen = view(&document);
        let named: Vec<_> = seen.users.iter().map(|user| user.user_id.as_str()).collect();
        assert_eq!((named, seen.total), (vec!["user1", "user3"], 2));
        assert_eq!(answer(&mut document, None, &admitted()), 2);
        assert_eq!(view(&document), WaitingRoomView::default());
    }

    #[test]
    fn the_end_of_the_room_ends_a_waiting_room_of_moderators_and_no_other() {
        let mut document = merged(&WaitingRoom::default(), &[new(1)], &[]);
        end(&mut document);
        assert_eq!(view(&document).total, 1, "the application still requires it");
        document.required = true;
        end(&mut document);
        let answer = document.waiting[0].answer.as_ref().map(|answered| answered.answer);
        assert_eq!((document.required, answer), (false, Some(EntryAnswer::RoomEnded)));
    }

    #[test]
    fn a_removed_user_is_known_until_they_are_admitted_or_the_room_ends() {
        let mut document = merged(&WaitingRoom::default(), &[new(1), new(2)], &[]);
        let user = |number: u64| format!("user{number}").parse::<UserId>().unwrap();
        remove(&mut document, &[user(1), user(2)]);
        remove(&mut document, &[user(1)]);
        assert_eq!(document.removed, [user(2), user(1)]);
        answer(&mut document, Some(&[user(2)]), &admitted());
        assert_eq!(merged(&document, &[], &[]).removed, [user(1)]);
        for number in 0..MAX_REMOVED as u64 {
            remove(&mut document, &[user(1000 + number)]);
        }
        assert_eq!(document.removed.len(), MAX_REMOVED);
        end(&mut document);
        assert!(document.removed.is_empty());
    }

    #[test]
    fn pages_are_the_list_without_gaps_also_when_somebody_goes_in_between() {
        let document = merged(&WaitingRoom::default(), &[new(1), new(2), new(3), new(4)], &[]);
        let first = page(&document, None, 2).unwrap();
        assert_eq!((first.users.len(), first.total), (2, 4));
        let without = merged(&document, &[], &[MembershipId(2)]);
        let rest = page(&without, first.next.as_deref(), 2).unwrap();
        let named: Vec<_> = rest.users.iter().map(|user| user.user_id.as_str()).collect();
        assert_eq!((named, rest.next), (vec!["user3", "user4"], None));
        assert_eq!(page(&document, Some("nonsense"), 2), Err(NoPage));
    }
}
