//! The other nodes that this node's rooms are on, the worker of each that relays the room, and the links to these workers. Pure.
//!
//! Signaling says with each session which nodes the room is on. A node tells each of them which worker relays the room here, its
//! gateway, and learns theirs (they meet). One that has not answered, or does not have the room yet, is asked again. Of two nodes that
//! have met, the one whose name is first asks for the link between the gateways.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rotunda_proto::ids::{NodeId, RoomKey};

use crate::slab::{Index, WorkerIndex};

/// A node that was not met is asked again after so long, and after twice as long each time.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const MOST_DOUBLINGS: u32 = 4;
/// After a lost link.
const ASK_AFTER_LOSS: Duration = Duration::from_millis(200);

pub struct Peers {
    own: NodeId,
    /// Workers of this node.
    workers: usize,
    /// Workers of other nodes, in the order of their indexes, which begin after those of this node.
    known: Vec<(NodeId, u16)>,
    rooms: HashMap<RoomKey, Spread>,
    links: HashMap<(WorkerIndex, WorkerIndex), State>,
    /// The first time of asking, and whether it has to be found again.
    due: Option<Instant>,
    is_due_stale: bool,
}

/// A room of this node.
struct Spread {
    /// The worker that relays it.
    gateway: WorkerIndex,
    others: BTreeMap<NodeId, Other>,
}

/// Another node that the room is on, or may be on.
#[derive(Debug)]
struct Other {
    /// The worker there that relays the room; None: not known.
    gateway: Option<u16>,
    /// When it is asked. None: it knows this node's gateway.
    ask_at: Option<Instant>,
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asking,
    Open,
}

/// Another node is to be told which worker relays the room here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    pub room: RoomKey,
    pub node: NodeId,
    /// None: the room is not here any more.
    pub worker: Option<u16>,
}

/// A link is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub worker: WorkerIndex,
    pub peer: WorkerIndex,
    /// The peer's name at its node.
    pub node: NodeId,
    pub there: u16,
}

/// What the workers of a room are told of other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    pub gateway: WorkerIndex,
    /// Workers of other nodes, for the gateway.
    pub peers: Vec<WorkerIndex>,
    /// This node tells signaling who speaks.
    pub tells_speakers: bool,
}

impl Peers {
    pub fn new(own: NodeId, workers: usize) -> Self {
        Self {
            own,
            workers,
            known: Vec::new(),
            rooms: HashMap::new(),
            links: HashMap::new(),
            due: None,
            is_due_stale: false,
        }
    }

    pub fn own(&self) -> &NodeId {
        &self.own
    }

    /// How the workers of this node call a worker of another one.
    pub fn index(&mut self, node: &NodeId, worker: u16) -> WorkerIndex {
        WorkerIndex::at(self.workers + self.position(node, worker))
    }

    fn position(&mut self, node: &NodeId, worker: u16) -> usize {
        let is_it = |(known, of): &(NodeId, u16)| known == node && *of == worker;
        self.known.iter().position(is_it).unwrap_or_else(|| {
            self.known.push((node.clone(), worker));
            self.known.len() - 1
        })
    }

    fn known_index(&self, node: &NodeId, worker: u16) -> Option<WorkerIndex> {
        let is_it = |(known, of): &(NodeId, u16)| known == node && *of == worker;
        let position = self.known.iter().position(is_it)?;
        Some(WorkerIndex::at(self.workers + position))
    }

    /// A room is on these workers of this node now, and on these nodes as signaling knows them (empty: as before). Answers the nodes that
    /// are to be told that it is not here any more.
    pub fn handle_room(
        &mut self,
        now: Instant,
        room: &RoomKey,
        workers: &[WorkerIndex],
        nodes: &[NodeId],
    ) -> Vec<Meeting> {
        let Some(first) = workers.first() else {
            self.is_due_stale = true;
            let gone = self.rooms.remove(room);
            let others = gone.into_iter().flat_map(|spread| spread.others.into_keys());
            let meetings = others.map(|node| Meeting {
                room: room.clone(),
                node,
                worker: None,
            });
            return meetings.collect();
        };
        let spread = self.rooms.entry(room.clone()).or_insert_with(|| Spread {
            gateway: *first,
            others: BTreeMap::new(),
        });
        if !workers.contains(&spread.gateway) {
            spread.gateway = *first;
            self.is_due_stale = true;
            for other in spread.others.values_mut() {
                other.ask_at = Some(now);
            }
        }
        if !nodes.is_empty() {
            self.is_due_stale |= nodes.len() > 1 || !spread.others.is_empty();
            let listed = |node: &NodeId| nodes.contains(node);
            spread
                .others
                .retain(|node, other| listed(node) || other.gateway.is_some());
            for node in nodes.iter().filter(|node| **node != self.own) {
                spread.others.entry(node.clone()).or_insert(Other {
                    gateway: None,
                    ask_at: Some(now),
                    tries: 0,
                });
            }
        }
        Vec::new()
    }

    /// When [`due_meetings`](Self::due_meetings) has something.
    pub fn due(&mut self) -> Option<Instant> {
        if std::mem::take(&mut self.is_due_stale) {
            let others = self.rooms.values().flat_map(|spread| spread.others.values());
            self.due = others.filter_map(|other| other.ask_at).min();
        }
        self.due
    }

    /// Nodes to ask now.
    pub fn due_meetings(&mut self, now: Instant) -> Vec<Meeting> {
        let mut meetings = Vec::new();
        if self.due().is_none_or(|due| due > now) {
            return meetings;
        }
        self.is_due_stale = true;
        for (room, spread) in &mut self.rooms {
            for (node, other) in &mut spread.others {
                if other.ask_at.is_some_and(|at| at <= now) {
                    other.ask_at = Some(now + ASK_AGAIN * (1 << other.tries.min(MOST_DOUBLINGS)));
                    other.tries += 1;
                    meetings.push(Meeting {
                        room: room.clone(),
                        node: node.clone(),
                        worker: u16::try_from(spread.gateway.position()).ok(),
                    });
                }
            }
        }
        meetings
    }

    /// The answer of a node that was told of `own`, the gateway here. None: the room is not there, or not yet.
    pub fn handle_met(&mut self, room: &RoomKey, node: &NodeId, own: Option<u16>, worker: Option<u16>) {
        self.is_due_stale = true;
        let Some(spread) = self.rooms.get_mut(room) else {
            return;
        };
        let is_current = own == u16::try_from(spread.gateway.position()).ok();
        if let (Some(other), Some(worker)) = (spread.others.get_mut(node), worker) {
            other.gateway = Some(worker);
            if is_current {
                other.ask_at = None;
                other.tries = 0;
            }
        }
    }

    /// Another node has the room, too, or has it no more. Answers the gateway here; None: the room is not here.
    pub fn handle_meeting(&mut self, room: &RoomKey, node: &NodeId, worker: Option<u16>) -> Option<u16> {
        self.is_due_stale = true;
        let spread = self.rooms.get_mut(room).filter(|_| *node != self.own)?;
        match worker {
            Some(worker) => {
                let other = Other {
                    gateway: Some(worker),
                    ask_at: None,
                    tries: 0,
                };
                spread.others.insert(node.clone(), other);
            }
            None => {
                spread.others.remove(node);
            }
        }
        u16::try_from(spread.gateway.position()).ok()
    }

    /// Links between gateways that have met, if this node asks for them. Each is told once, until it is lost.
    pub fn wanted_links(&mut self) -> Vec<Wanted> {
        let pairs = self.rooms.values().flat_map(|spread| {
            let met = spread
                .others
                .iter()
                .filter_map(|(node, other)| Some((node, other.gateway?)));
            met.map(|(node, there)| (spread.gateway, node.clone(), there))
        });
        let pairs: Vec<_> = pairs.filter(|(_, node, _)| self.own < *node).collect();
        let mut wanted = Vec::new();
        for (worker, node, there) in pairs {
            let peer = self.index(&node, there);
            if let Entry::Vacant(none) = self.links.entry((worker, peer)) {
                none.insert(State::Asking);
                wanted.push(Wanted {
                    worker,
                    peer,
                    node,
                    there,
                });
            }
        }
        wanted
    }

    /// A link is about to be replaced or opened: it does not count until [`handle_open`](Self::handle_open).
    pub fn handle_opening(&mut self, worker: WorkerIndex, peer: WorkerIndex) {
        self.links.insert((worker, peer), State::Asking);
    }

    pub fn handle_open(&mut self, worker: WorkerIndex, peer: WorkerIndex) {
        self.links.insert((worker, peer), State::Open);
    }

    /// A link was lost, or not opened: the other node is asked again.
    pub fn handle_lost(&mut self, now: Instant, worker: WorkerIndex, peer: WorkerIndex) {
        self.links.remove(&(worker, peer));
        self.is_due_stale = true;
        let Some((lost, there)) = self.known.get(peer.position().wrapping_sub(self.workers)) else {
            return;
        };
        for spread in self.rooms.values_mut().filter(|spread| spread.gateway == worker) {
            if let Some(other) = spread
                .others
                .get_mut(lost)
                .filter(|other| other.gateway == Some(*there))
            {
                other.gateway = None;
                other.ask_at = Some(now + ASK_AFTER_LOSS * (1 << other.tries.min(MOST_DOUBLINGS)));
                other.tries += 1;
            }
        }
    }

    /// Rooms that this worker relays.
    pub fn rooms_of(&self, worker: WorkerIndex) -> Vec<RoomKey> {
        let rooms = self.rooms.iter().filter(|(_, spread)| spread.gateway == worker);
        rooms.map(|(room, _)| room.clone()).collect()
    }

    /// What the room's workers here are told; None: it is not here.
    pub fn far(&self, room: &RoomKey) -> Option<Far> {
        let spread = self.rooms.get(room)?;
        let open = spread.others.iter().filter_map(|(node, other)| {
            let peer = self.known_index(node, other.gateway?)?;
            let state = self.links.get(&(spread.gateway, peer))?;
            (*state == State::Open).then_some((node, peer))
        });
        let open: Vec<(&NodeId, WorkerIndex)> = open.collect();
        Some(Far {
            gateway: spread.gateway,
            tells_speakers: open.iter().all(|(node, _)| self.own < **node),
            peers: open.into_iter().map(|(_, peer)| peer).collect(),
        })
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn nodes(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| node(name)).collect()
    }

    fn at(worker: usize) -> WorkerIndex {
        WorkerIndex::at(worker)
    }

    /// Two nodes of two workers, and the messages between them carried at once.
    struct Pair {
        now: Instant,
        room: RoomKey,
        nodes: [Peers; 2],
    }

    impl Pair {
        fn new() -> Self {
            Self {
                now: rotunda_proto::clock::Clock.now(),
                room: crate::worker::simulation::room_key(),
                nodes: ["a", "b"].map(|name| Peers::new(node(name), 2)),
            }
        }

        /// Links are opened as they are wanted.
        fn settle(&mut self) {
            for from in [0, 1] {
                let to = 1 - from;
                for meeting in self.nodes[from].due_meetings(self.now) {
                    let sender = self.nodes[from].own().clone();
                    let answer = self.nodes[to].handle_meeting(&meeting.room, &sender, meeting.worker);
                    self.nodes[from].handle_met(&meeting.room, &meeting.node, meeting.worker, answer);
                }
            }
            for from in [0, 1] {
                let to = 1 - from;
                for wanted in self.nodes[from].wanted_links() {
                    let sender = self.nodes[from].own().clone();
                    let asking = u16::try_from(wanted.worker.position()).unwrap();
                    let there = at(usize::from(wanted.there));
                    let back = self.nodes[to].index(&sender, asking);
                    self.nodes[to].handle_open(there, back);
                    self.nodes[from].handle_open(wanted.worker, wanted.peer);
                }
            }
        }

        fn enter(&mut self, which: usize, workers: &[usize]) -> Vec<Meeting> {
            let workers: Vec<WorkerIndex> = workers.iter().map(|worker| at(*worker)).collect();
            self.nodes[which].handle_room(self.now, &self.room, &workers, &nodes(&["a", "b"]))
        }

        fn far(&self, which: usize) -> Far {
            self.nodes[which].far(&self.room).unwrap()
        }
    }

    #[test]
    fn two_nodes_meet_whoever_has_the_room_first_and_one_asks_for_the_link() {
        for first in [0, 1] {
            let mut pair = Pair::new();
            pair.enter(first, &[first]);
            pair.settle();
            assert!(pair.far(first).peers.is_empty(), "the other node does not have it yet");
            pair.enter(1 - first, &[1 - first]);
            pair.settle();
            pair.now += ASK_AGAIN;
            pair.settle();
            assert_eq!((pair.far(0).gateway, pair.far(0).peers), (at(0), vec![at(2)]));
            assert_eq!((pair.far(1).gateway, pair.far(1).peers), (at(1), vec![at(2)]));
            assert!(pair.far(0).tells_speakers && !pair.far(1).tells_speakers);
            assert_eq!(
                pair.nodes.each_mut().map(Peers::due),
                [None, None],
                "nobody asks any more"
            );
        }
    }

    #[test]
    fn a_lost_link_is_asked_for_again_and_slower_each_time() {
        let mut pair = Pair::new();
        pair.enter(0, &[0]);
        pair.enter(1, &[0]);
        pair.settle();
        assert_eq!(pair.far(0).peers, [at(2)]);
        let now = pair.now;
        for peers in &mut pair.nodes {
            peers.handle_lost(now, at(0), at(2));
        }
        assert!(pair.far(0).peers.is_empty());
        assert!(pair.far(1).tells_speakers, "each tells what it knows");
        pair.now += ASK_AFTER_LOSS;
        pair.settle();
        assert_eq!((pair.far(0).peers, pair.far(1).peers), (vec![at(2)], vec![at(2)]));
        let mut asked = Vec::new();
        for _ in 0..2000 {
            pair.now += Duration::from_millis(100);
            let now = pair.now;
            pair.nodes[0].handle_lost(now, at(0), at(2));
            asked.extend(pair.nodes[0].due_meetings(now).into_iter().map(|_| now));
        }
        assert!(asked.len() < 40, "{}", asked.len());
    }

    #[test]
    fn the_gateway_stays_while_its_worker_has_the_room_and_the_others_are_told_of_the_next_one() {
        let mut pair = Pair::new();
        pair.enter(0, &[1]);
        pair.enter(1, &[0]);
        pair.settle();
        pair.enter(0, &[0, 1]);
        pair.settle();
        assert_eq!(pair.far(0).gateway, at(1));
        pair.enter(0, &[0]);
        assert!(
            pair.far(0).peers.is_empty(),
            "until the link of the other worker is open"
        );
        pair.settle();
        assert_eq!((pair.far(0).gateway, pair.far(0).peers), (at(0), vec![at(2)]));
        assert_eq!(pair.far(1).peers, [at(3)], "the other worker of the same node");
    }

    #[test]
    fn a_room_that_leaves_a_node_is_forgotten_by_the_others() {
        let mut pair = Pair::new();
        pair.enter(0, &[0]);
        pair.enter(1, &[0]);
        pair.settle();
        let meetings = pair.enter(0, &[]);
        assert_eq!(meetings.len(), 1);
        for Meeting { room, node: to, worker } in meetings {
            assert_eq!((to, worker), (node("b"), None));
            assert_eq!(pair.nodes[1].handle_meeting(&room, &node("a"), worker), Some(0));
        }
        assert!(pair.nodes[0].is_empty());
        assert!(pair.far(1).peers.is_empty());
        assert_eq!(pair.nodes[1].due(), None, "it says when it has the room again");
    }

    #[test]
    fn a_node_that_signaling_does_not_list_any_more_is_not_asked() {
        let mut pair = Pair::new();
        pair.enter(0, &[0]);
        let now = pair.now;
        assert!(pair.nodes[0].due().is_some());
        pair.nodes[0].handle_room(now, &pair.room, &[at(0)], &nodes(&["a"]));
        assert_eq!(pair.nodes[0].due(), None);
    }
}
