//! A room on several nodes: the workers of each, the gateways, and the links between them.

use super::*;
use crate::link::testing::pair;
use crate::node::placement::RoomWorkers;

pub(super) struct Nodes {
    /// Workers of one node.
    of_node: usize,
    /// Between nodes, both ways.
    pub(super) link: Link,
    dead: Vec<bool>,
    /// The workers that the room is on.
    workers: Vec<usize>,
}

impl Nodes {
    pub(super) fn new(workers: usize, of_node: usize) -> Self {
        Self {
            of_node,
            link: Link::default(),
            dead: vec![false; workers.div_ceil(of_node)],
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
    fn neighbours(&self, worker: usize) -> Vec<WorkerIndex> {
        let node = self.node_of(worker);
        if !self.workers.contains(&worker) {
            return Vec::new();
        }
        let others = self.workers.iter().copied().filter(|other| *other != worker);
        let near = others.filter(|other| self.node_of(*other) == node);
        let is_gateway = self.gateway(node) == Some(worker);
        let nodes = (0..self.dead.len()).filter(|other| is_gateway && *other != node && !self.dead[*other]);
        let far = nodes.filter_map(|other| self.gateway(other));
        near.chain(far).map(|other| self.index(worker, other)).collect()
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
            let node = format!("node-{}", self.nodes.node_of(to));
            self.workers[from].open_link(peer, number, node.into(), link);
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
            let neighbours = self.nodes.neighbours(*worker);
            let tells_speakers = first == Some(self.nodes.node_of(*worker));
            self.workers[*worker].set_neighbours(self.now, &self.room, &neighbours, tells_speakers);
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
    pub(super) fn drop_lost_links(&mut self, worker: usize) {
        while let Some(lost) = self.workers[worker].poll_lost_link() {
            let lost = self.nodes.worker(worker, lost);
            if self.nodes.is_dead(lost) {
                let all: Vec<usize> = self.nodes.workers.clone();
                let alive: Vec<usize> = all.into_iter().filter(|worker| !self.nodes.is_dead(*worker)).collect();
                self.tell_neighbours(&alive);
            }
        }
    }

    /// What a worker's link to another one has carried, since the last look.
    #[cfg(test)]
    pub fn carried(&mut self, from: usize, to: usize) -> crate::link::Carried {
        let peer = self.nodes.index(from, to);
        self.workers[from].carried_to(peer)
    }
}
