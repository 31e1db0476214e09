//! Which SFU node a new session comes to: one of those that the room is on, and another one when these are full.

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;
use rotunda_proto::location::Location;
use rotunda_proto::sfu::NodeInfo;

use crate::room_documents::RoomDocuments;

/// Nodes that do not answer and are tried for one session at most.
const MOST_SILENT: usize = 8;
/// Nodes that refuse and are tried for one session at most. They answer at once.
const MOST_FULL: usize = 64;
/// A node that did not take a session of a room is tried last for so long.
const TRIED_LAST: Duration = Duration::from_secs(3);

/// The nodes that did not take a session of a room lately, whoever asked in this process. The next members try the others first: in a
/// room on many nodes nobody asks all that are full, and a node that does not answer delays one member and not all.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<NodeId, Instant>>>);

impl Refusals {
    fn note(&self, now: Instant, node: NodeId) {
        let mut known = self.known();
        known.retain(|_, at| Self::is_recent(now, *at));
        known.insert(node, now);
    }

    fn has(&self, now: Instant, node: &NodeId) -> bool {
        self.known().get(node).is_some_and(|at| Self::is_recent(now, *at))
    }

    fn is_recent(now: Instant, at: Instant) -> bool {
        now.saturating_duration_since(at) < TRIED_LAST
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<NodeId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The search for a node for one session.
#[derive(Debug)]
pub struct Search {
    /// In the order in which they are tried.
    nodes: Vec<NodeId>,
    refusals: Refusals,
    /// They did not take the session.
    full: BTreeSet<NodeId>,
    /// They did not answer.
    silent: BTreeSet<NodeId>,
}

impl Search {
    /// `before`: the node of the member's last session, whose capacity is reserved. `nodes`: those of the room. `refusals`: to its members.
    pub fn new<'a>(before: Option<&NodeId>, nodes: impl Iterator<Item = &'a NodeId>, refusals: &Refusals) -> Self {
        let now = Clock.now();
        let mut nodes: Vec<NodeId> = nodes.cloned().collect();
        nodes.sort_by_cached_key(|node| (Some(node) != before, refusals.has(now, node)));
        Self {
            nodes,
            refusals: refusals.clone(),
            full: BTreeSet::new(),
            silent: BTreeSet::new(),
        }
    }

    /// The next node to try. When the room's nodes are full, or silent, the room goes on at another node as well. None: there is none.
    pub async fn next(&mut self, documents: &RoomDocuments) -> Option<NodeId> {
        if self.full.len() >= MOST_FULL || self.silent.len() >= MOST_SILENT {
            return None;
        }
        if self.untried().is_none() {
            match documents.spread(&self.full, &self.silent).await {
                Ok(nodes) => self.nodes = nodes,
                Err(error) => {
                    tracing::info!(
                        room = %documents.room,
                        error = &error as &dyn std::error::Error,
                        "no other media node for a room"
                    );
                    return None;
                }
            }
        }
        self.untried().cloned()
    }

    fn untried(&self) -> Option<&NodeId> {
        let is_tried = |node: &NodeId| self.full.contains(node) || self.silent.contains(node);
        self.nodes.iter().find(|node| !is_tried(node))
    }

    pub fn handle_full(&mut self, node: NodeId) {
        self.refusals.note(Clock.now(), node.clone());
        self.full.insert(node);
    }

    pub fn handle_silent(&mut self, node: NodeId) {
        self.refusals.note(Clock.now(), node.clone());
        self.silent.insert(node);
    }

    /// The room's nodes, as far as they answer.
    pub fn nodes(&self) -> Vec<NodeId> {
        let answers = |node: &&NodeId| !self.silent.contains(*node);
        self.nodes.iter().filter(answers).cloned().collect()
    }

    /// A node that has died is not listed any more.
    pub async fn tidy(&self, documents: &RoomDocuments) {
        if !self.silent.is_empty() {
            // Without it the next member tries the dead node first, and tidies.
            let _later = documents.spread(&self.full, &self.silent).await;
        }
    }
}

/// Rooms that this process has assigned to SFU nodes, which the nodes do not announce yet: a thousand rooms that begin in a second do
/// not come to one node.
#[derive(Debug, Clone, Default)]
pub struct Reservations {
    /// Of this process: its members are near it.
    location: Location,
    reserved: Arc<Mutex<BTreeMap<NodeId, Reserved>>>,
}

#[derive(Debug, Clone, Copy)]
struct Reserved {
    /// As announced when they were counted.
    sessions: u64,
    more: u64,
}

impl Reservations {
    /// `location`: of this process.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            reserved: Arc::default(),
        }
    }

    /// Chooses one of these nodes, and reserves a session there: of two at random among the nearest ones with capacity the one with less load,
    /// and of equally loaded ones the one with fewer sessions. None: all are full.
    pub fn assign(&self, nodes: &[NodeInfo]) -> Option<NodeId> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = |node: &NodeInfo| {
            let known = reserved.get(&node.node);
            let more = known
                .filter(|known| known.sessions == node.sessions)
                .map(|known| known.more);
            node.sessions + more.unwrap_or(0)
        };
        let has_space = |node: &&NodeInfo| !node.is_full() && expected(node) < node.capacity;
        let distance = |node: &NodeInfo| self.location.distance_to(&node.location);
        let nearest = nodes.iter().filter(has_space).map(distance).min()?;
        let open = nodes.iter().filter(has_space).filter(|node| distance(node) == nearest);
        let open: Vec<&NodeInfo> = open.collect();
        let two = match open.len() {
            0..=2 => open,
            count => {
                let first = rand::rng().random_range(0..count);
                let second = rand::rng().random_range(0..count - 1);
                vec![open[first], open[if second < first { second } else { second + 1 }]]
            }
        };
        // Rounded to ten percent, as the measured load is not that exact.
        let chosen = two
            .into_iter()
            .min_by_key(|node| (node.load_percent / 10, expected(node)))?;
        let more = expected(chosen) - chosen.sessions + 1;
        reserved.insert(
            chosen.node.clone(),
            Reserved {
                sessions: chosen.sessions,
                more,
            },
        );
        Some(chosen.node.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, sessions: u64, load_percent: u8) -> NodeInfo {
        NodeInfo {
            node: name.parse().unwrap(),
            sessions,
            capacity: 100,
            load_percent,
            open_workers: 1,
            draining: false,
            location: Location::default(),
        }
    }

    fn assigned(reservations: &Reservations, nodes: &[NodeInfo]) -> Option<String> {
        reservations.assign(nodes).map(|node| node.to_string())
    }

    #[test]
    fn the_less_loaded_node_is_chosen_and_none_that_is_full() {
        let reservations = Reservations::default();
        let nodes = [node("a", 10, 80), node("b", 90, 20), node("c", 100, 0)];
        assert_eq!(assigned(&reservations, &nodes).as_deref(), Some("b"));
        assert_eq!(assigned(&reservations, &nodes[2..]), None);
    }

    fn located(mut node: NodeInfo, region: &str, zone: &str) -> NodeInfo {
        node.location = location(region, zone);
        node
    }

    fn location(region: &str, zone: &str) -> Location {
        Location {
            region: region.to_owned(),
            zone: zone.to_owned(),
        }
    }

    #[test]
    fn the_nearest_nodes_are_filled_before_those_farther_away() {
        let reservations = Reservations::new(location("eu", "a"));
        let nodes = [
            located(node("far", 0, 0), "us", "a"),
            located(node("near", 97, 80), "eu", "a"),
            located(node("region", 98, 50), "eu", "b"),
            node("unknown", 99, 0),
        ];
        let assigned: Vec<String> = std::iter::from_fn(|| assigned(&reservations, &nodes)).take(6).collect();
        assert_eq!(assigned[..5], ["near", "near", "near", "region", "region"]);
        assert!(["far", "unknown"].contains(&&*assigned[5]));
    }

    #[test]
    fn a_process_that_does_not_know_where_it_is_uses_all_nodes() {
        let reservations = Reservations::default();
        let nodes = [
            located(node("a", 10, 50), "eu", "a"),
            located(node("b", 0, 0), "us", ""),
        ];
        assert_eq!(assigned(&reservations, &nodes).as_deref(), Some("b"));
    }

    #[test]
    fn a_node_that_drains_is_not_chosen() {
        let reservations = Reservations::default();
        let mut nodes = [node("a", 0, 0), node("b", 90, 80)];
        nodes[0].draining = true;
        assert_eq!(assigned(&reservations, &nodes).as_deref(), Some("b"));
        assert_eq!(assigned(&reservations, &nodes[..1]), None);
    }

    #[test]
    fn rooms_that_begin_at_once_spread_before_the_nodes_announce_anything() {
        let reservations = Reservations::default();
        let nodes: Vec<NodeInfo> = (0..5).map(|index| node(&format!("n{index}"), 0, 0)).collect();
        let mut counts = BTreeMap::new();
        for _ in 0..400 {
            let node = reservations.assign(&nodes).unwrap();
            *counts.entry(node).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 5);
        assert!(counts.values().all(|count| (60..=100).contains(count)), "{counts:?}");
        for _ in 0..100 {
            reservations.assign(&nodes).unwrap();
        }
        assert_eq!(reservations.assign(&nodes), None, "all are reserved");
        let announced: Vec<NodeInfo> = (0..5).map(|index| node(&format!("n{index}"), 50, 0)).collect();
        assert!(
            reservations.assign(&announced).is_some(),
            "what is announced is not counted twice"
        );
    }

    #[test]
    fn the_node_of_before_is_tried_first() {
        let nodes: Vec<NodeId> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
        let refusals = Refusals::default();
        let mut search = Search::new(Some(&nodes[1]), nodes.iter(), &refusals);
        assert_eq!(search.untried(), Some(&nodes[1]));
        search.handle_silent(nodes[1].clone());
        assert_eq!(search.untried(), Some(&nodes[0]));
        search.handle_full(nodes[0].clone());
        assert_eq!(search.untried(), Some(&nodes[2]));
        assert_eq!(
            search.nodes(),
            [nodes[0].clone(), nodes[2].clone()],
            "those that answer"
        );
        let next = |before| Search::new(before, nodes.iter(), &refusals).untried().cloned();
        assert_eq!(
            next(None).as_ref(),
            Some(&nodes[2]),
            "the others did not take the one before"
        );
        assert_eq!(
            next(Some(&nodes[0])).as_ref(),
            Some(&nodes[0]),
            "it keeps capacity for its own"
        );
    }
}
