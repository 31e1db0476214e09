//! Which worker serves which session.
//!
//! A room stays on one worker while that has place for it, as its packets need not be relayed then. A larger room goes on at the
//! worker with the fewest sessions.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;

use rotunda_proto::ids::{RoomKey, SessionId};
use rotunda_proto::sfu::Standing;

use crate::slab::{Index, WorkerIndex};

#[derive(Debug)]
pub struct Placement {
    /// Sessions of each worker.
    workers: Vec<usize>,
    /// Sessions that a worker takes at most, in all and of one room while another worker has fewer.
    most: usize,
    most_of_room: usize,
    /// Sessions of one room that the node takes at most.
    node_most_of_room: Option<NonZeroUsize>,
    sessions: HashMap<SessionId, (WorkerIndex, RoomKey)>,
    /// Sessions of each room by worker; none is 0.
    rooms: HashMap<RoomKey, BTreeMap<WorkerIndex, usize>>,
}

/// Sessions that a worker can hold: those that it takes, and a tenth more for members who are inside and need another session.
pub fn capacity(most: usize) -> usize {
    most + most.div_ceil(10)
}

/// A room is on other workers than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomWorkers {
    pub room: RoomKey,
    /// Workers that the room has left or come to, then workers that it stays on.
    pub concerned: Vec<WorkerIndex>,
    /// Where it is now.
    pub workers: Vec<WorkerIndex>,
}

impl Placement {
    pub fn new(workers: usize, most: usize, most_of_room: usize) -> Self {
        Self {
            workers: vec![0; workers],
            most,
            most_of_room,
            node_most_of_room: None,
            sessions: HashMap::new(),
            rooms: HashMap::new(),
        }
    }

    /// `most`: sessions of one room that the node takes; 0: no limit.
    pub fn with_limit(mut self, most: usize) -> Self {
        self.node_most_of_room = NonZeroUsize::new(most);
        self
    }

    /// Whether the node has as many sessions of a room as it takes.
    pub fn has_enough_of(&self, room: &RoomKey) -> bool {
        let here: usize = self.rooms.get(room).into_iter().flat_map(BTreeMap::values).sum();
        self.node_most_of_room.is_some_and(|most| here >= most.get())
    }

    pub fn room_of(&self, session: SessionId) -> Option<&RoomKey> {
        self.sessions.get(&session).map(|(_, room)| room)
    }

    fn all(&self) -> impl Iterator<Item = WorkerIndex> {
        (0..self.workers.len()).map(WorkerIndex::at)
    }

    fn sessions_of(&self, worker: WorkerIndex) -> usize {
        self.workers[worker.position()]
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn worker_of(&self, session: SessionId) -> Option<WorkerIndex> {
        self.sessions.get(&session).map(|(worker, _)| *worker)
    }

    /// The workers that a room is on.
    pub fn workers_of(&self, room: &RoomKey) -> impl Iterator<Item = WorkerIndex> {
        self.rooms.get(room).into_iter().flatten().map(|(worker, _)| *worker)
    }

    /// Finds a worker; None: all are full, by their sessions or by `is_busy`. A member who is inside finds one all the same, as long as
    /// the [reserve](capacity) lasts. A session of the same id has to be closed before.
    pub fn open(
        &mut self,
        session: SessionId,
        room: &RoomKey,
        standing: Standing,
        is_busy: impl Fn(WorkerIndex) -> bool,
    ) -> Option<(WorkerIndex, Option<RoomWorkers>)> {
        let worker = self.choose(room, is_busy).or_else(|| self.squeeze_in(room, standing))?;
        let before: Vec<WorkerIndex> = self.workers_of(room).collect();
        self.workers[worker.position()] += 1;
        *self.rooms.entry(room.clone()).or_default().entry(worker).or_default() += 1;
        self.sessions.insert(session, (worker, room.clone()));
        Some((worker, self.change_of(room, &before)))
    }

    /// Answers where the session was.
    pub fn close(&mut self, session: SessionId) -> Option<(WorkerIndex, Option<RoomWorkers>)> {
        let (worker, room) = self.sessions.remove(&session)?;
        let before: Vec<WorkerIndex> = self.workers_of(&room).collect();
        self.workers[worker.position()] -= 1;
        if let Some(workers) = self.rooms.get_mut(&room) {
            if let Some(sessions) = workers.get_mut(&worker) {
                *sessions -= 1;
            }
            workers.retain(|_, sessions| *sessions > 0);
            if workers.is_empty() {
                self.rooms.remove(&room);
            }
        }
        Some((worker, self.change_of(&room, &before)))
    }

    fn choose(&self, room: &RoomKey, is_busy: impl Fn(WorkerIndex) -> bool) -> Option<WorkerIndex> {
        let has_place = |worker: WorkerIndex| self.sessions_of(worker) < self.most && !is_busy(worker);
        let of_room = self.rooms.get(room).into_iter().flatten();
        let fullest = of_room
            .filter(|(worker, sessions)| **sessions < self.most_of_room && has_place(**worker))
            .max_by_key(|(worker, sessions)| (**sessions, std::cmp::Reverse(**worker)));
        let open = self.all().filter(|worker| has_place(*worker));
        let emptiest = open.min_by_key(|worker| (self.sessions_of(*worker), *worker));
        fullest.map(|(worker, _)| *worker).or(emptiest)
    }

    /// For a member who is inside: rather at a worker of the room than where there are fewer sessions.
    fn squeeze_in(&self, room: &RoomKey, standing: Standing) -> Option<WorkerIndex> {
        let has_reserve = |worker: &WorkerIndex| self.sessions_of(*worker) < capacity(self.most);
        let own = self.workers_of(room).filter(has_reserve);
        let all = self.all().filter(has_reserve);
        let emptiest = |worker: &WorkerIndex| (self.sessions_of(*worker), *worker);
        match standing {
            Standing::Newcomer => None,
            Standing::Inside => own.min_by_key(emptiest).or_else(|| all.min_by_key(emptiest)),
        }
    }

    fn change_of(&self, room: &RoomKey, before: &[WorkerIndex]) -> Option<RoomWorkers> {
        let workers: Vec<WorkerIndex> = self.workers_of(room).collect();
        if workers == before || workers.len().max(before.len()) < 2 {
            return None;
        }
        let changed = |worker: &WorkerIndex| workers.contains(worker) != before.contains(worker);
        let mut concerned: Vec<WorkerIndex> = workers.iter().chain(before).copied().collect();
        concerned.sort_by_key(|worker| (!changed(worker), *worker));
        concerned.dedup();
        Some(RoomWorkers {
            room: room.clone(),
            concerned,
            workers,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(workers: &[usize]) -> Vec<WorkerIndex> {
        workers.iter().copied().map(WorkerIndex::at).collect()
    }

    fn room(name: &str) -> RoomKey {
        RoomKey {
            app: 1.try_into().unwrap(),
            room: name.parse().unwrap(),
        }
    }

    fn nobody(_: WorkerIndex) -> bool {
        false
    }

    #[test]
    fn a_busy_worker_takes_no_more_also_of_its_own_rooms() {
        let mut placement = Placement::new(2, 100, 100);
        let room = room("1");
        assert_eq!(
            placement
                .open(SessionId(1), &room, Standing::Newcomer, nobody)
                .unwrap()
                .0
                .position(),
            0
        );
        assert_eq!(
            placement
                .open(SessionId(2), &room, Standing::Newcomer, |worker| worker.position() == 0)
                .unwrap()
                .0
                .position(),
            1
        );
        assert_eq!(placement.open(SessionId(3), &room, Standing::Newcomer, |_| true), None);
    }

    #[test]
    fn a_room_stays_on_one_worker_until_that_has_enough_of_it() {
        let mut placement = Placement::new(3, 100, 2);
        let (large, small) = (room("1"), room("2"));
        let mut open = |id, room| {
            let (worker, room_workers) = placement.open(SessionId(id), room, Standing::Newcomer, nobody).unwrap();
            (worker.position(), room_workers)
        };
        assert_eq!(open(1, &large), (0, None));
        assert_eq!(open(2, &large), (0, None));
        assert_eq!(
            open(3, &small),
            (1, None),
            "another room begins where there is most place"
        );
        let (worker, room_workers) = open(4, &large);
        assert_eq!(worker, 2);
        let room_workers = room_workers.unwrap();
        assert_eq!(
            (room_workers.workers, room_workers.concerned),
            (at(&[0, 2]), at(&[2, 0])),
            "the newcomer first"
        );
        assert_eq!(open(5, &large), (2, None));
        assert_eq!(placement.close(SessionId(4)), Some((WorkerIndex::at(2), None)));
        let (worker, room_workers) = placement.close(SessionId(5)).unwrap();
        assert_eq!((worker.position(), room_workers.unwrap().workers), (2, at(&[0])));
    }

    #[test]
    fn a_node_is_full_only_when_each_of_its_workers_is() {
        let mut placement = Placement::new(2, 3, 1000);
        let all: Vec<_> = (0..7)
            .map(|id| {
                placement
                    .open(SessionId(id), &room("1"), Standing::Newcomer, nobody)
                    .map(|(worker, _)| worker.position())
            })
            .collect();
        let expected = [0, 0, 0, 1, 1, 1].map(Some);
        assert_eq!(all, [&expected[..], &[None]].concat());
    }

    #[test]
    fn members_inside_keep_their_place_where_newcomers_are_refused() {
        let mut placement = Placement::new(2, 10, 1000);
        for id in 0..20 {
            placement
                .open(SessionId(id), &room("1"), Standing::Newcomer, nobody)
                .unwrap();
        }
        let mut open = |id, standing, busy: bool| {
            let opened = placement.open(SessionId(id), &room("1"), standing, |_| busy);
            opened.map(|(worker, _)| worker.position())
        };
        assert_eq!(open(20, Standing::Newcomer, false), None);
        assert_eq!(open(21, Standing::Inside, true), Some(0));
        assert_eq!(open(22, Standing::Inside, true), Some(1));
        assert_eq!(open(23, Standing::Inside, false), None, "a worker does not hold more");
    }

    proptest! {
        #[test]
        fn nothing_is_left_when_all_have_gone(opened in proptest::collection::vec((0u64..20, 1u8..4), 0..60)) {
            let mut placement = Placement::new(4, 1000, 3);
            for (id, name) in &opened {
                let _one_session_an_id = placement.close(SessionId(*id));
                placement.open(SessionId(*id), &room(&name.to_string()), Standing::Newcomer, nobody).unwrap();
                prop_assert_eq!(placement.workers.iter().sum::<usize>(), placement.len());
            }
            for (id, _) in &opened {
                placement.close(SessionId(*id));
            }
            prop_assert!(placement.rooms.is_empty() && placement.len() == 0);
            prop_assert_eq!(placement.workers, vec![0; 4]);
        }
    }
}
