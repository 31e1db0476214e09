//! A room on several nodes: the workers of each, the gateways, and the links between them.

use std::collections::{HashMap, HashSet};

use rotunda_proto::ids::NodeId;
use rotunda_proto::location::Location;

use super::*;
use crate::link::testing::pair;
use crate::node::placement::RoomWorkers;
use crate::node::tree::{self, Place};
use crate::worker::LinkEvent;
use crate::worker::relay::Neighbours;

pub(super) struct Nodes {
    /// Workers of one node.
    of_node: usize,
    /// Between nodes, both ways.
    pub(super) link: Link,
    dead: Vec<bool>,
    /// Links over which something comes: from the worker to the other one.
    heard: HashSet<(usize, usize)>,
    /// When the link from a worker to another one has carried everything.
    pub(super) free_at: HashMap<(usize, usize), Instant>,
    /// Children of a node in a fan-out tree.
    fan_out: usize,
    /// The names of the nodes.
    names: Vec<NodeId>,
    /// The workers that the room is on.
    workers: Vec<usize>,
}

impl Nodes {
    pub(super) fn new(workers: usize, of_node: usize) -> Self {
        Self {
            of_node,
            link: Link::default(),
            dead: vec![false; workers.div_ceil(of_node)],
            heard: HashSet::new(),
            free_at: HashMap::new(),
            fan_out: 8,
            names: (0..workers)
                .step_by(of_node)
                .map(|worker| node_name(worker / of_node))
                .collect(),
            workers: Vec::new(),
        }
    }

    fn node_of(&self, worker: usize) -> usize {
        worker / self.of_node
    }

    pub(super) fn is_dead(&self, worker: usize) -> bool {
        self.dead[self.node_of(worker)]
    }

    /// How the worker `from` calls the worker `to`.
    pub(super) fn index(&self, from: usize, to: usize) -> WorkerIndex {
        WorkerIndex::at(if self.node_of(from) == self.node_of(to) {
            to % self.of_node
        } else {
            self.of_node + to
        })
    }

    /// The worker that `from` calls so.
    fn worker(&self, from: usize, index: WorkerIndex) -> usize {
        match index.position() {
            near if near < self.of_node => self.node_of(from) * self.of_node + near,
            far => far - self.of_node,
        }
    }

    fn gateway(&self, node: usize) -> Option<usize> {
        let mut own = self.workers.iter().filter(|worker| self.node_of(**worker) == node);
        own.next().copied()
    }

    /// What the control task of a node tells a worker.
    fn neighbours(&self, worker: usize, tells_speakers: bool) -> Neighbours {
        let node = self.node_of(worker);
        if !self.workers.contains(&worker) {
            return Neighbours::default();
        }
        let others = self.workers.iter().copied().filter(|other| *other != worker);
        let near = others.filter(|other| self.node_of(*other) == node);
        let is_gateway = self.gateway(node) == Some(worker);
        let nodes = (0..self.dead.len()).filter(|other| is_gateway && *other != node && !self.dead[*other]);
        let far: Vec<usize> = nodes.filter_map(|other| self.gateway(other)).collect();
        let parents = far.iter().map(|origin| {
            let parent = self.parent(worker, *origin, &far);
            (self.names[self.node_of(*origin)].clone(), self.index(worker, parent))
        });
        Neighbours {
            parents: parents.collect(),
            workers: near
                .chain(far.iter().copied())
                .map(|other| self.index(worker, other))
                .collect(),
            tells_speakers,
        }
    }

    /// The gateway that an origin's media comes from. `others`: the gateways of all other nodes.
    fn parent(&self, worker: usize, origin: usize, others: &[usize]) -> usize {
        let name = |worker: usize| &self.names[self.node_of(worker)];
        let location = &Location::default();
        let is_heard = |other: &usize| *other == origin || self.heard.contains(&(worker, *other));
        let nodes = others.iter().copied().filter(is_heard).chain([worker]);
        let nodes = nodes.map(|node| Place {
            node: name(node),
            location,
        });
        let nodes: Vec<Place<'_>> = nodes.collect();
        let parents = tree::parents(name(origin), &nodes, self.fan_out);
        let parent = parents.get(name(worker)).copied();
        let found = others.iter().copied().find(|other| Some(name(*other)) == parent);
        found.unwrap_or(origin)
    }
}

impl Simulation {
    /// Peers come to the nodes in turn. Each pair of workers of different nodes has a link.
    pub fn with_nodes(seed: u64, nodes: usize, of_node: usize, link: Link) -> Self {
        let mut room = Self::on_nodes(seed, nodes * of_node, of_node);
        room.nodes.link = link;
        for one in 0..room.workers.len() {
            for two in one + 1..room.workers.len() {
                if room.nodes.node_of(one) != room.nodes.node_of(two) {
                    room.connect(one, two);
                }
            }
        }
        room.run(ms(500));
        room
    }

    /// All links between nodes are like this from now on.
    #[cfg(test)]
    pub fn set_node_links(&mut self, link: Link) {
        self.nodes.link = link;
    }

    /// As [`with_nodes`](Self::with_nodes), of one worker each, of which each sends to so many others at most.
    #[cfg(test)]
    pub fn with_tree(seed: u64, nodes: usize, fan_out: usize, link: Link) -> Self {
        let mut room = Self::with_nodes(seed, nodes, 1, link);
        room.nodes.fan_out = fan_out;
        room
    }

    /// The parent of each node in the tree of an origin, if each node is one worker, and the room is on all of them.
    #[cfg(test)]
    pub fn parents(&self, origin: usize) -> Vec<Option<usize>> {
        let parent = |node: usize| {
            let others: Vec<usize> = (0..self.workers.len())
                .filter(|other| *other != node && !self.nodes.is_dead(*other))
                .collect();
            self.nodes.parent(node, origin, &others)
        };
        (0..self.workers.len())
            .map(|node| (node != origin && !self.nodes.is_dead(node)).then(|| parent(node)))
            .collect()
    }

    fn connect(&mut self, one: usize, two: usize) {
        let numbers = [one as u32 * 100 + two as u32, two as u32 * 100 + one as u32];
        let Ok([at_one, at_two]) = pair(self.now, [server(one), server(two)], numbers) else {
            return;
        };
        for ((from, to), (number, link)) in [(one, two), (two, one)]
            .into_iter()
            .zip(numbers.into_iter().zip([at_one, at_two]))
        {
            let peer = self.nodes.index(from, to);
            let node = self.nodes.names[self.nodes.node_of(to)].clone();
            self.workers[from].open_link(peer, number, node, link);
        }
    }

    pub(super) fn tell(&mut self, room_workers: Option<RoomWorkers>) {
        let Some(room_workers) = room_workers else {
            return;
        };
        self.nodes.workers = room_workers.workers.iter().map(|worker| worker.position()).collect();
        self.nodes.workers.sort_unstable();
        let concerned = room_workers.concerned.iter().map(|worker| worker.position());
        let mut concerned: Vec<usize> = concerned.collect();
        let others = (0..self.workers.len()).filter(|worker| !concerned.contains(worker));
        let others: Vec<usize> = others.filter(|worker| self.nodes.workers.contains(worker)).collect();
        concerned.extend(others);
        self.tell_neighbours(&concerned);
    }

    fn tell_neighbours(&mut self, workers: &[usize]) {
        let first = self.nodes.workers.iter().find(|worker| !self.nodes.is_dead(**worker));
        let first = first.map(|worker| self.nodes.node_of(*worker));
        for worker in workers {
            let tells_speakers = first == Some(self.nodes.node_of(*worker));
            let neighbours = self.nodes.neighbours(*worker, tells_speakers);
            self.workers[*worker].set_neighbours(self.now, &self.room, &neighbours);
        }
    }

    /// The node is gone from one moment to the next, and its peers have nobody any more.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes.dead[node] = true;
        for peer in &self.peers {
            if self.nodes.node_of(peer.worker) == node {
                let _not_told = self.placement.close(peer.session);
            }
        }
    }

    /// Answers the worker that a datagram of a link is for.
    pub(super) fn find_worker(&self, address: SocketAddr) -> Option<usize> {
        (0..self.workers.len()).find(|worker| server(*worker) == address)
    }

    /// Between workers of one node, as the shells do.
    pub(super) fn hand_over(&mut self) {
        let workers = 0..self.workers.len();
        let pairs = workers
            .clone()
            .flat_map(|from| workers.clone().map(move |to| (from, to)));
        for (from, to) in pairs {
            if self.nodes.node_of(from) != self.nodes.node_of(to) || self.nodes.is_dead(from) {
                continue;
            }
            let index = self.nodes.index(from, to);
            for message in self.workers[from].take_relay_messages(index) {
                let sender = self.nodes.index(to, from);
                self.workers[to].handle_relay_message(self.now, sender, message);
            }
        }
    }

    /// As the control task does.
    pub(super) fn handle_link_events(&mut self, worker: usize) {
        while let Some(event) = self.workers[worker].poll_link_event() {
            let ends = |peer: WorkerIndex| (worker, self.nodes.worker(worker, peer));
            match event {
                LinkEvent::Heard(peer) => {
                    let link = ends(peer);
                    self.nodes.heard.insert(link);
                    self.tell_again(worker);
                }
                LinkEvent::Silent(peer) => {
                    let link = ends(peer);
                    self.nodes.heard.remove(&link);
                    self.tell_again(worker);
                }
                LinkEvent::Lost(peer) => {
                    let (_, lost) = ends(peer);
                    if self.nodes.is_dead(lost) {
                        let all: Vec<usize> = self.nodes.workers.clone();
                        let alive: Vec<usize> = all.into_iter().filter(|worker| !self.nodes.is_dead(*worker)).collect();
                        self.tell_neighbours(&alive);
                    }
                }
                LinkEvent::Overdue { .. } => {}
            }
        }
    }

    /// A worker that the room is on has other parents, perhaps.
    fn tell_again(&mut self, worker: usize) {
        if self.nodes.workers.contains(&worker) && !self.nodes.is_dead(worker) {
            self.tell_neighbours(&[worker]);
        }
    }

    /// What a worker's link to another one has carried, since the last look.
    #[cfg(test)]
    pub fn carried(&mut self, from: usize, to: usize) -> crate::link::Carried {
        let peer = self.nodes.index(from, to);
        self.workers[from].carried_to(peer)
    }
}

pub(super) fn node_name(node: usize) -> NodeId {
    match format!("node-{node}").parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    }
}
