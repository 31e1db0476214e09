//! Groups of members that are notified together, one group after the other, so that no notification blocks the node.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::bulletin::Bulletin;
use super::pace::{Allowance, Urgency, gap, pause_after, urgency};
use crate::view::RoomState;

/// Groups of the crowd.
const CROWD: usize = 32;
/// A group gets this many members before the next group gets any.
const FILL: usize = 50;

/// All groups of a room on this node. Sans-IO: the channels hold values that the members read.
#[derive(Debug)]
pub struct NotificationGroups {
    /// The newest state of the room.
    state: Arc<RoomState>,
    /// Members who have media or may have.
    front: Group,
    crowd: Vec<Group>,
    /// When the crowd may be notified again.
    crowd_free_at: Option<Instant>,
}

#[derive(Debug)]
struct Group {
    bulletins: watch::Sender<Arc<Bulletin>>,
    known: Arc<RoomState>,
    notified_at: Option<Instant>,
    /// The most urgent change since, including one that was undone: a member who entered or asked in between knows it.
    pending: Urgency,
    allowance: Allowance,
}

impl NotificationGroups {
    pub fn new(state: &Arc<RoomState>) -> Self {
        Self {
            state: state.clone(),
            front: Group::new(state),
            crowd: (0..CROWD).map(|_| Group::new(state)).collect(),
            crowd_free_at: None,
        }
    }

    /// The bulletins of the group that is notified first.
    pub fn front(&self) -> watch::Sender<Arc<Bulletin>> {
        self.front.bulletins.clone()
    }

    /// The newest state of the room, which every group gets in its time.
    pub fn state(&self) -> &Arc<RoomState> {
        &self.state
    }

    pub fn set_state(&mut self, state: Arc<RoomState>) {
        let urgency = urgency(&self.state, &state);
        self.state = state;
        for group in self.crowd.iter_mut().chain([&mut self.front]) {
            group.pending = group.pending.max(urgency);
        }
    }

    /// Joins the group that is notified first. The new member knows the newest state.
    pub fn join_front(&mut self) -> watch::Receiver<Arc<Bulletin>> {
        self.front.join(&self.state)
    }

    /// Joins a group of the crowd that has few members.
    pub fn join_crowd(&mut self) -> watch::Receiver<Arc<Bulletin>> {
        let group = self.crowd.iter().position(|group| group.members() < FILL);
        let least = || {
            (0..CROWD)
                .min_by_key(|group| self.crowd[*group].members())
                .unwrap_or_default()
        };
        let group = group.unwrap_or_else(least);
        self.crowd[group].join(&self.state)
    }

    pub fn front_members(&self) -> usize {
        self.front.members()
    }

    /// Notifies the groups that are due. Answers when the next one is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Instant> {
        let front_members = self.front.members();
        let mut next = match self.front.due(now, front_members) {
            Some(due) if due <= now => {
                self.front.notify(now, &self.state);
                None
            }
            due => due,
        };
        let crowd_members = self.crowd.iter().map(Group::members).sum();
        loop {
            let due = (0..CROWD)
                .filter_map(|group| Some((self.crowd[group].due(now, crowd_members)?, group)))
                .min();
            let Some((due, group)) = due else { return next };
            let due = self.crowd_free_at.map_or(due, |free| due.max(free));
            if due > now {
                next = Some(next.map_or(due, |next: Instant| next.min(due)));
                return next;
            }
            let group = &mut self.crowd[group];
            self.crowd_free_at = Some(now + pause_after(group.members()));
            group.notify(now, &self.state);
        }
    }
}

impl Group {
    fn new(state: &Arc<RoomState>) -> Self {
        let nothing = Bulletin::new(state.clone(), state.clone());
        Self {
            bulletins: watch::Sender::new(Arc::new(nothing)),
            known: state.clone(),
            notified_at: None,
            pending: Urgency::Nothing,
            allowance: Allowance::default(),
        }
    }

    fn members(&self) -> usize {
        self.bulletins.receiver_count()
    }

    fn join(&mut self, state: &Arc<RoomState>) -> watch::Receiver<Arc<Bulletin>> {
        if self.members() == 0 {
            // No member of the group lacks an older change.
            self.known = state.clone();
            self.pending = Urgency::Nothing;
        }
        self.bulletins.subscribe()
    }

    /// When it is due; None: nothing has changed, or it has no members.
    fn due(&self, now: Instant, members_of_pace: usize) -> Option<Instant> {
        if self.members() == 0 || self.pending == Urgency::Nothing {
            return None;
        }
        let after_gap = |notified_at| notified_at + gap(self.pending, members_of_pace);
        let due = self.notified_at.map_or(now, after_gap).max(now);
        let ready = self
            .allowance
            .ready_at(members_of_pace)
            .filter(|_| self.pending == Urgency::Sources);
        Some(ready.map_or(due, |ready| due.max(ready)))
    }

    fn notify(&mut self, now: Instant, state: &Arc<RoomState>) {
        let urgency = std::mem::replace(&mut self.pending, Urgency::Nothing);
        let before = std::mem::replace(&mut self.known, state.clone());
        let bulletin = Bulletin::new(before, state.clone());
        self.notified_at = Some(now);
        if urgency == Urgency::Sources {
            self.allowance.spend(now, bulletin.bytes());
        }
        self.bulletins.send_replace(Arc::new(bulletin));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rotunda_proto::clock::Clock;
    use rotunda_proto::ids::{TrackSource, UserId};
    use rotunda_proto::room::{Seats, TrackState};

    use super::*;
    use crate::seats;

    /// A room with so many members in the crowd, before any notification.
    struct Test {
        start: Instant,
        groups: NotificationGroups,
        state: RoomState,
        members: Vec<watch::Receiver<Arc<Bulletin>>>,
    }

    impl Test {
        fn with_crowd(members: usize) -> Self {
            let state = RoomState::default();
            let shared = Arc::new(state.clone());
            let mut groups = NotificationGroups::new(&shared);
            let members = (0..members).map(|_| groups.join_crowd()).collect();
            Self {
                start: Clock.now(),
                groups,
                state,
                members,
            }
        }

        fn count(&mut self, count: u64) -> &mut Self {
            self.state.member_count = count;
            self
        }

        /// Publishes the state.
        fn show(&mut self) {
            self.state.number += 1;
            self.groups.set_state(Arc::new(self.state.clone()));
        }

        /// Runs from one time to another, ms. Answers the times of notifications, and the number of members.
        fn run(&mut self, from: u64, to: u64) -> Vec<(u64, usize)> {
            self.run_and_hear(from, to, |_, _| {})
        }

        /// As [`run`](Self::run). Calls `hear` with each member's number and its bulletin.
        fn run_and_hear(&mut self, from: u64, to: u64, mut hear: impl FnMut(usize, &Bulletin)) -> Vec<(u64, usize)> {
            self.show();
            let at = |ms| self.start + Duration::from_millis(ms);
            let mut now = at(from);
            let mut notified = Vec::new();
            while now < at(to) {
                let next = self.groups.handle_timeout(now);
                let members = self.members.iter_mut().enumerate();
                let changed = members.filter(|(_, member)| member.has_changed().unwrap());
                let changed = changed
                    .map(|(number, member)| hear(number, &member.borrow_and_update()))
                    .count();
                if changed > 0 {
                    notified.push(((now - self.start).as_millis() as u64, changed));
                }
                let Some(next) = next else { break };
                now = next;
            }
            notified
        }
    }

    #[test]
    fn a_small_room_gets_its_member_count_at_once_and_then_at_most_once_a_second() {
        let mut test = Test::with_crowd(10);
        assert_eq!(test.count(11).run(0, 1_000), [(0, 10)]);
        assert_eq!(test.count(12).run(10, 5_000), [(1_000, 10)]);
    }

    #[test]
    fn a_full_room_is_notified_group_after_group_and_everybody_once() {
        let mut test = Test::with_crowd(50_000);
        let notified = test.count(50_001).run(0, 10_000);
        assert_eq!(notified.iter().map(|(_, members)| members).sum::<usize>(), 50_000);
        let largest = notified.iter().map(|(_, members)| *members).max().unwrap();
        assert!(largest < 1_600, "one group at a time, not {largest}");
        let (first, last) = (notified[0].0, notified[notified.len() - 1].0);
        assert!(
            (1_800..2_100).contains(&(last - first)),
            "spread over 2 s: {first} to {last} ms"
        );
    }

    /// Four publishers mute and unmute twenty times a second each, for a minute, and are muted in the end.
    #[test]
    fn a_storm_of_mutes_costs_each_member_few_bytes_and_everybody_has_the_last_state() {
        let publishers: Vec<UserId> = ["ann", "bob", "cat", "dan"].map(|user| user.parse().unwrap()).to_vec();
        let seats = |state: TrackState| {
            let mut seats = Seats::default();
            for user in &publishers {
                seats::take_alone(&mut seats, Default::default(), user, TrackSource::Camera, state).unwrap();
            }
            Arc::new(seats)
        };
        for crowd in [300, 5_000, 50_000] {
            let mut test = Test::with_crowd(crowd);
            let mut bytes = vec![0; crowd];
            for turn in 0..1_200 {
                test.state.seats = seats(if turn % 2 == 0 {
                    TrackState::On
                } else {
                    TrackState::Muted
                });
                test.run_and_hear(turn * 50, (turn + 1) * 50, |member, bulletin| {
                    bytes[member] += bulletin.bytes()
                });
            }
            let most = bytes.iter().max().unwrap();
            assert!((1..3_000).contains(most), "{most} bytes in a room of {crowd}");
            test.run(60_000, 75_000);
            for member in &test.members {
                assert_eq!(member.borrow().after.seats, test.state.seats);
            }
        }
    }

    #[test]
    fn changes_between_two_rounds_come_with_the_next_round() {
        let mut test = Test::with_crowd(50_000);
        test.count(1).run(0, 3_000);
        let notified = test.count(2).run(3_000, 30_000);
        assert_eq!(notified[0].0, 10_000, "ten seconds after the round before");
        assert_eq!(notified.iter().map(|(_, members)| members).sum::<usize>(), 50_000);
    }

    /// A member who enters in between, or sends a request, knows a state that the others never got.
    #[test]
    fn a_change_that_was_undone_is_corrected_for_members_who_know_it() {
        let mut test = Test::with_crowd(3);
        test.count(10).run(0, 1_000);
        test.count(11).show();
        let late = test.groups.join_crowd();
        test.members.push(late);
        let mut notified = Vec::new();
        let at = test.count(10).run_and_hear(1_000, 5_000, |_, bulletin| {
            notified.push((
                bulletin.before.member_count,
                bulletin.after.member_count,
                bulletin.bytes(),
            ));
        });
        assert_eq!((at, notified), (vec![(1_000, 4)], vec![(10, 10, 0); 4]));
    }
}
