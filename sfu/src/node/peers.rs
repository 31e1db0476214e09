//! The other nodes that this node's rooms are on, the worker of each that relays the room, and the links to these workers. Pure.
//!
//! Signaling says with each session which nodes the room is on. A node tells each of them which worker relays the room here, its
//! gateway, and learns theirs (they meet). One that has not answered, or does not have the room yet, is asked again. Of two nodes that
//! have met, the one whose name is first asks for the link between the gateways.
//!
//! Over which of these links the room's media goes is the matter of a [`tree`] for each of the nodes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rotunda_proto::ids::{NodeId, RoomKey};
use rotunda_proto::location::Location;

use super::tree::{self, Place};
use crate::slab::{Index, WorkerIndex};

/// A node that was not met is asked again after so long, and after twice as long each time.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const MOST_DOUBLINGS: u32 = 4;
/// After a lost link.
const ASK_AFTER_LOSS: Duration = Duration::from_millis(200);
/// A node that does not have an origin's members, though it is to pass them on, is not asked again for so long.
const AVOID: Duration = Duration::from_secs(30);

pub struct Peers {
    own: NodeId,
    location: Location,
    /// Children of a node in a fan-out tree.
    fan_out: usize,
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
    /// By origin: nodes that do not have its members, and until when that is taken for true.
    avoided: HashMap<NodeId, Vec<(NodeId, Instant)>>,
}

/// Another node that the room is on, or may be on.
#[derive(Debug)]
struct Other {
    /// The worker there that relays the room; None: not known.
    gateway: Option<u16>,
    /// As in [`Gateway`].
    location: Option<Location>,
    /// When it is asked. None: it knows this node's gateway.
    ask_at: Option<Instant>,
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asking,
    /// Nothing comes over it, or not yet.
    Open,
    Heard,
}

/// A room at another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The worker that relays the room.
    pub worker: u16,
    /// Where the node is, if it relays media of further nodes, too; None: an earlier version, which does not.
    pub location: Option<Location>,
}

/// Another node whose link to this one is open.
struct Reached<'a> {
    node: &'a NodeId,
    peer: WorkerIndex,
    is_heard: bool,
    location: Option<&'a Location>,
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
    /// The one of them that each other node's members come from.
    pub parents: Vec<(NodeId, WorkerIndex)>,
    /// This node tells signaling who speaks.
    pub tells_speakers: bool,
}

impl Peers {
    /// `location`: of this node. `fan_out`: children of a node in a fan-out tree.
    pub fn new(own: NodeId, location: Location, workers: usize, fan_out: usize) -> Self {
        Self {
            own,
            location,
            fan_out,
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

    pub fn location(&self) -> &Location {
        &self.location
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
        for avoided in self
            .rooms
            .get_mut(room)
            .into_iter()
            .flat_map(|spread| spread.avoided.values_mut())
        {
            avoided.retain(|(_, until)| *until > now);
        }
        let spread = self.rooms.entry(room.clone()).or_insert_with(|| Spread {
            gateway: *first,
            others: BTreeMap::new(),
            avoided: HashMap::new(),
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
                    location: None,
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
    pub fn handle_met(&mut self, room: &RoomKey, node: &NodeId, own: Option<u16>, there: Option<Gateway>) {
        self.is_due_stale = true;
        let Some(spread) = self.rooms.get_mut(room) else {
            return;
        };
        let is_current = own == u16::try_from(spread.gateway.position()).ok();
        if let (Some(other), Some(there)) = (spread.others.get_mut(node), there) {
            other.gateway = Some(there.worker);
            other.location = there.location;
            if is_current {
                other.ask_at = None;
                other.tries = 0;
            }
        }
    }

    /// Another node has the room, too, or has it no more. Answers the gateway here; None: the room is not here.
    pub fn handle_meeting(&mut self, room: &RoomKey, node: &NodeId, there: Option<Gateway>) -> Option<u16> {
        self.is_due_stale = true;
        let spread = self.rooms.get_mut(room).filter(|_| *node != self.own)?;
        match there {
            Some(Gateway { worker, location }) => {
                let other = Other {
                    gateway: Some(worker),
                    location,
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

    /// Something comes over a link, or nothing does.
    pub fn handle_heard(&mut self, worker: WorkerIndex, peer: WorkerIndex, is_heard: bool) {
        if let Some(state) = self.links.get_mut(&(worker, peer))
            && *state != State::Asking
        {
            *state = if is_heard { State::Heard } else { State::Open };
        }
    }

    /// A parent of this node does not have an origin's members.
    pub fn handle_overdue(&mut self, now: Instant, room: &RoomKey, origin: &NodeId, parent: WorkerIndex) {
        let parent = self.known.get(parent.position().wrapping_sub(self.workers));
        if let (Some(spread), Some((parent, _))) = (self.rooms.get_mut(room), parent)
            && parent != origin
        {
            let avoided = spread.avoided.entry(origin.clone()).or_default();
            avoided.retain(|(node, until)| node != parent && *until > now);
            avoided.push((parent.clone(), now + AVOID));
        }
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
            (*state != State::Asking).then_some(Reached {
                node,
                peer,
                is_heard: *state == State::Heard,
                location: other.location.as_ref(),
            })
        });
        let open: Vec<Reached<'_>> = open.collect();
        Some(Far {
            gateway: spread.gateway,
            tells_speakers: open.iter().all(|other| self.own < *other.node),
            peers: open.iter().map(|other| other.peer).collect(),
            parents: open
                .iter()
                .map(|origin| (origin.node.clone(), self.parent(spread, &open, origin)))
                .collect(),
        })
    }

    /// The node that an origin's members come from: the origin itself, or another node in its fan-out tree.
    fn parent(&self, spread: &Spread, open: &[Reached<'_>], origin: &Reached<'_>) -> WorkerIndex {
        let Some(location) = origin.location.filter(|_| open.len() > self.fan_out) else {
            return origin.peer;
        };
        let avoided = spread.avoided.get(origin.node);
        let is_avoided = |node: &NodeId| avoided.into_iter().flatten().any(|(avoided, _)| avoided == node);
        let relays = |other: &&Reached<'_>| other.is_heard && other.node != origin.node && !is_avoided(other.node);
        let others = open.iter().filter(relays);
        let others = others.filter_map(|other| Some((other.node, other.location?)));
        let ends = [(&self.own, &self.location), (origin.node, location)];
        let nodes = others.chain(ends).map(|(node, location)| Place { node, location });
        let nodes: Vec<Place<'_>> = nodes.collect();
        let parents = tree::parents(origin.node, &nodes, self.fan_out);
        let parent = parents.get(&self.own);
        let reached = open.iter().find(|other| Some(&other.node) == parent);
        reached.map_or(origin.peer, |parent| parent.peer)
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

#[cfg(test)]
mod tests;
