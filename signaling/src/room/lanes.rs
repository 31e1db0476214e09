//! Groups of members that are told together, one group after the other, so that no telling holds the node up.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::bulletin::Bulletin;
use super::pace::{Allowance, Urgency, gap, spread, urgency};
use crate::view::RoomState;

/// Groups of the crowd.
const CROWD: usize = 32;
/// Members that a group gets before the next one gets any.
const FILL: usize = 50;

/// All groups of a room on this node. Sans-IO: the channels only hold what the members come for.
#[derive(Debug)]
pub struct Lanes {
    /// Of the room, as it is now.
    state: Arc<RoomState>,
    /// Members who have media or may have.
    front: Lane,
    crowd: Vec<Lane>,
    /// When the crowd may be told again.
    crowd_free_at: Option<Instant>,
}

#[derive(Debug)]
struct Lane {
    bulletins: watch::Sender<Arc<Bulletin>>,
    told: Arc<RoomState>,
    told_at: Option<Instant>,
    /// The most urgent change since, also one that was taken back: who came meanwhile, or asked, knows what lay between.
    untold: Urgency,
    allowance: Allowance,
}

impl Lanes {
    pub fn new(state: &Arc<RoomState>) -> Self {
        Self {
            state: state.clone(),
            front: Lane::new(state),
            crowd: (0..CROWD).map(|_| Lane::new(state)).collect(),
            crowd_free_at: None,
        }
    }

    /// Where those who are told first find their bulletins.
    pub fn front(&self) -> watch::Sender<Arc<Bulletin>> {
        self.front.bulletins.clone()
    }

    /// The room as it is now, which every group is told in its time.
    pub fn state(&self) -> &Arc<RoomState> {
        &self.state
    }

    pub fn set_state(&mut self, state: Arc<RoomState>) {
        let urgency = urgency(&self.state, &state);
        self.state = state;
        for lane in self.crowd.iter_mut().chain([&mut self.front]) {
            lane.untold = lane.untold.max(urgency);
        }
    }

    /// A place among those who are told first; its holder knows the room as it is now.
    pub fn join_front(&mut self) -> watch::Receiver<Arc<Bulletin>> {
        self.front.join(&self.state)
    }

    /// The same in the crowd, where there are fewest.
    pub fn join_crowd(&mut self) -> watch::Receiver<Arc<Bulletin>> {
        let lane = self.crowd.iter().position(|lane| lane.members() < FILL);
        let least = || {
            (0..CROWD)
                .min_by_key(|lane| self.crowd[*lane].members())
                .unwrap_or_default()
        };
        let lane = lane.unwrap_or_else(least);
        self.crowd[lane].join(&self.state)
    }

    pub fn front_members(&self) -> usize {
        self.front.members()
    }

    /// Tells the groups whose time has come. Answers when the next one's comes.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Instant> {
        let front_members = self.front.members();
        let mut next = match self.front.due(now, front_members) {
            Some(due) if due <= now => {
                self.front.tell(now, &self.state);
                None
            }
            due => due,
        };
        let crowd_members = self.crowd.iter().map(Lane::members).sum();
        loop {
            let due = (0..CROWD)
                .filter_map(|lane| Some((self.crowd[lane].due(now, crowd_members)?, lane)))
                .min();
            let Some((due, lane)) = due else { return next };
            let due = self.crowd_free_at.map_or(due, |free| due.max(free));
            if due > now {
                next = Some(next.map_or(due, |next: Instant| next.min(due)));
                return next;
            }
            let lane = &mut self.crowd[lane];
            self.crowd_free_at = Some(now + spread(lane.members()));
            lane.tell(now, &self.state);
        }
    }
}

impl Lane {
    fn new(state: &Arc<RoomState>) -> Self {
        let nothing = Bulletin::new(state.clone(), state.clone());
        Self {
            bulletins: watch::Sender::new(Arc::new(nothing)),
            told: state.clone(),
            told_at: None,
            untold: Urgency::Nothing,
            allowance: Allowance::default(),
        }
    }

    fn members(&self) -> usize {
        self.bulletins.receiver_count()
    }

    fn join(&mut self, state: &Arc<RoomState>) -> watch::Receiver<Arc<Bulletin>> {
        if self.members() == 0 {
            // Nobody is here who has not been told.
            self.told = state.clone();
            self.untold = Urgency::Nothing;
        }
        self.bulletins.subscribe()
    }

    /// When it is to be told; None: there is nothing to tell, or nobody.
    fn due(&self, now: Instant, members_of_pace: usize) -> Option<Instant> {
        if self.members() == 0 || self.untold == Urgency::Nothing {
            return None;
        }
        let after_gap = |told_at| told_at + gap(self.untold, members_of_pace);
        let due = self.told_at.map_or(now, after_gap).max(now);
        let ready = self
            .allowance
            .ready_at(members_of_pace)
            .filter(|_| self.untold == Urgency::Sources);
        Some(ready.map_or(due, |ready| due.max(ready)))
    }

    fn tell(&mut self, now: Instant, state: &Arc<RoomState>) {
        let urgency = std::mem::replace(&mut self.untold, Urgency::Nothing);
        let before = std::mem::replace(&mut self.told, state.clone());
        let bulletin = Bulletin::new(before, state.clone());
        self.told_at = Some(now);
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

    /// A room with so many members in the crowd, and none of them told anything yet.
    struct Test {
        start: Instant,
        lanes: Lanes,
        state: RoomState,
        members: Vec<watch::Receiver<Arc<Bulletin>>>,
    }

    impl Test {
        fn with_crowd(members: usize) -> Self {
            let state = RoomState::default();
            let shared = Arc::new(state.clone());
            let mut lanes = Lanes::new(&shared);
            let members = (0..members).map(|_| lanes.join_crowd()).collect();
            Self {
                start: Clock.now(),
                lanes,
                state,
                members,
            }
        }

        fn count(&mut self, count: u64) -> &mut Self {
            self.state.member_count = count;
            self
        }

        /// Lets the room be as it is set.
        fn show(&mut self) {
            self.state.number += 1;
            self.lanes.set_state(Arc::new(self.state.clone()));
        }

        /// Runs from one time to another, ms; answers when how many were told.
        fn run(&mut self, from: u64, to: u64) -> Vec<(u64, usize)> {
            self.run_and_hear(from, to, |_, _| {})
        }

        /// As [`run`](Self::run); `hear` is called with each member's number and what it is told.
        fn run_and_hear(&mut self, from: u64, to: u64, mut hear: impl FnMut(usize, &Bulletin)) -> Vec<(u64, usize)> {
            self.show();
            let at = |ms| self.start + Duration::from_millis(ms);
            let mut now = at(from);
            let mut told = Vec::new();
            while now < at(to) {
                let next = self.lanes.handle_timeout(now);
                let members = self.members.iter_mut().enumerate();
                let changed = members.filter(|(_, member)| member.has_changed().unwrap());
                let changed = changed
                    .map(|(number, member)| hear(number, &member.borrow_and_update()))
                    .count();
                if changed > 0 {
                    told.push(((now - self.start).as_millis() as u64, changed));
                }
                let Some(next) = next else { break };
                now = next;
            }
            told
        }
    }

    #[test]
    fn a_small_room_is_told_at_once_and_then_at_most_once_a_second_how_many_there_are() {
        let mut test = Test::with_crowd(10);
        assert_eq!(test.count(11).run(0, 1_000), [(0, 10)]);
        assert_eq!(test.count(12).run(10, 5_000), [(1_000, 10)]);
    }

    #[test]
    fn a_full_room_is_told_group_after_group_and_everybody_once() {
        let mut test = Test::with_crowd(50_000);
        let told = test.count(50_001).run(0, 10_000);
        assert_eq!(told.iter().map(|(_, members)| members).sum::<usize>(), 50_000);
        let largest = told.iter().map(|(_, members)| *members).max().unwrap();
        assert!(largest < 1_600, "one group at a time, not {largest}");
        let (first, last) = (told[0].0, told[told.len() - 1].0);
        assert!(
            (1_800..2_100).contains(&(last - first)),
            "spread over 2 s: {first} to {last} ms"
        );
    }

    /// Four publishers mute and unmute twenty times a second each, for a minute, and are muted in the end.
    #[test]
    fn a_storm_of_mutes_takes_little_of_each_member_and_everybody_has_the_last_state() {
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
    fn what_happens_meanwhile_is_told_with_the_next_round() {
        let mut test = Test::with_crowd(50_000);
        test.count(1).run(0, 3_000);
        let told = test.count(2).run(3_000, 30_000);
        assert_eq!(told[0].0, 10_000, "ten seconds after the round before");
        assert_eq!(told.iter().map(|(_, members)| members).sum::<usize>(), 50_000);
    }

    /// A member who enters in between, or asks for something, knows a state that the others were never told.
    #[test]
    fn a_change_that_is_taken_back_is_told_to_who_knows_of_it() {
        let mut test = Test::with_crowd(3);
        test.count(10).run(0, 1_000);
        test.count(11).show();
        let late = test.lanes.join_crowd();
        test.members.push(late);
        let mut told = Vec::new();
        let at = test.count(10).run_and_hear(1_000, 5_000, |_, bulletin| {
            told.push((
                bulletin.before.member_count,
                bulletin.after.member_count,
                bulletin.bytes(),
            ));
        });
        assert_eq!((at, told), (vec![(1_000, 4)], vec![(10, 10, 0); 4]));
    }
}
