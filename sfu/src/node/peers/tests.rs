//! Two nodes, or more, that meet.

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

fn gateway(worker: u16) -> Gateway {
    Gateway {
        worker,
        location: Some(Location::default()),
    }
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
            nodes: ["a", "b"].map(|name| Peers::new(node(name), Location::default(), 2, 8)),
        }
    }

    /// Links are opened as they are wanted.
    fn settle(&mut self) {
        for from in [0, 1] {
            let to = 1 - from;
            for meeting in self.nodes[from].due_meetings(self.now) {
                let sender = self.nodes[from].own().clone();
                let answer = self.nodes[to].handle_meeting(&meeting.room, &sender, meeting.worker.map(gateway));
                self.nodes[from].handle_met(&meeting.room, &meeting.node, meeting.worker, answer.map(gateway));
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
        let there = worker.map(gateway);
        assert_eq!(pair.nodes[1].handle_meeting(&room, &node("a"), there), Some(0));
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

/// A node that has met others, whose links are open.
fn among(own: &str, others: &[&str], fan_out: usize) -> Peers {
    let (now, room) = (rotunda_proto::clock::Clock.now(), crate::worker::simulation::room_key());
    let mut peers = Peers::new(node(own), Location::default(), 1, fan_out);
    peers.handle_room(now, &room, &[at(0)], &nodes(others));
    for other in others {
        peers.handle_meeting(&room, &node(other), Some(gateway(0)));
        let peer = peers.index(&node(other), 0);
        peers.handle_open(at(0), peer);
    }
    peers
}

/// The parent of a node in the tree of an origin.
fn parent(peers: &Peers, origin: &str) -> NodeId {
    let far = peers.far(&crate::worker::simulation::room_key()).unwrap();
    let (_, parent) = far.parents.iter().find(|(of, _)| *of == node(origin)).unwrap();
    let (node, _) = &peers.known[parent.position() - 1];
    node.clone()
}

#[test]
fn each_node_finds_its_parents_and_leaves_those_that_are_silent_or_have_nothing() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let now = rotunda_proto::clock::Clock.now();
    for own in names {
        let others: Vec<&str> = names.into_iter().filter(|name| *name != own).collect();
        let mut peers = among(own, &others, 2);
        for origin in &others {
            assert_eq!(parent(&peers, origin), node(origin), "nothing has come over the links");
        }
        for other in &others {
            let peer = peers.index(&node(other), 0);
            peers.handle_heard(at(0), peer, true);
        }
        for origin in &others {
            let room = crate::worker::simulation::room_key();
            let first = parent(&peers, origin);
            if first == node(origin) {
                continue;
            }
            let peer = peers.index(&first, 0);
            peers.handle_heard(at(0), peer, false);
            let second = parent(&peers, origin);
            assert_ne!(second, first, "it is silent");
            peers.handle_heard(at(0), peer, true);
            assert_eq!(parent(&peers, origin), first);
            peers.handle_overdue(now, &room, &node(origin), peer);
            assert_eq!(parent(&peers, origin), second);
            peers.handle_room(now + AVOID, &room, &[at(0)], &nodes(&names));
            assert_eq!(parent(&peers, origin), first, "it is tried again");
        }
    }
}

#[test]
fn nodes_of_an_earlier_version_pass_nothing_on_and_are_asked_themselves() {
    let names = ["b", "c", "d", "e", "f", "g"];
    let room = crate::worker::simulation::room_key();
    let mut peers = among("a", &names, 1);
    for other in names {
        let peer = peers.index(&node(other), 0);
        peers.handle_heard(at(0), peer, true);
    }
    let earlier = ["c", "e"];
    for name in earlier {
        let there = Gateway {
            worker: 0,
            location: None,
        };
        peers.handle_meeting(&room, &node(name), Some(there));
    }
    let parents = names.map(|origin| parent(&peers, origin));
    for (origin, parent) in names.into_iter().zip(&parents) {
        if earlier.contains(&origin) {
            assert_eq!(*parent, node(origin));
        }
        assert!(
            *parent == node(origin) || !earlier.contains(&parent.as_str()),
            "{origin}: {parent}"
        );
    }
    assert!(
        parents
            .iter()
            .zip(names)
            .any(|(parent, origin)| *parent != node(origin))
    );
}
