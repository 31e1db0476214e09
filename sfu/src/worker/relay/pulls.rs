//! The place of a gateway in the [fan-out trees](crate::node::tree) of its room: from which neighbour it pulls the media of each other
//! node's members, and which neighbours pull from it.
//!
//! A node asks its parent for an origin's members. The parent tells of all of them and then says that it has: only then the node leaves
//! the parent of before. So a tree changes without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rotunda_proto::ids::NodeId;

use crate::slab::WorkerIndex;

/// A parent that has not introduced an origin's members after so long cannot: it may have no way to the origin itself.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The nodes whose members' media a node pulls from another one.
pub type Origins = BTreeSet<NodeId>;

/// Of one room. Empty where the room is on this node alone.
#[derive(Debug, Default)]
pub struct Pulls {
    /// The neighbour that each other node's members are to come from.
    parents: BTreeMap<NodeId, WorkerIndex>,
    /// The neighbour that has introduced all members of a node last.
    introduced: BTreeMap<NodeId, WorkerIndex>,
    /// Parents that have not yet, since when; None: the control task has been told.
    waiting: BTreeMap<NodeId, (WorkerIndex, Option<Instant>)>,
    /// What the neighbours at other nodes were told last that is pulled from them.
    asked: BTreeMap<WorkerIndex, Origins>,
    /// What they pull from here.
    children: BTreeMap<WorkerIndex, Origins>,
}

impl Pulls {
    /// `neighbours`: those that are left of the room.
    pub fn set_parents(&mut self, now: Instant, neighbours: &[WorkerIndex], parents: &[(NodeId, WorkerIndex)]) {
        self.parents = parents.iter().cloned().collect();
        self.asked.retain(|worker, _| neighbours.contains(worker));
        self.children.retain(|worker, _| neighbours.contains(worker));
        self.introduced.retain(|origin, _| self.parents.contains_key(origin));
        self.waiting.retain(|origin, _| self.parents.contains_key(origin));
        for (origin, parent) in parents {
            let is_waiting = self.waiting.get(origin).is_some_and(|(waiting, _)| waiting == parent);
            if self.introduced.get(origin) == Some(parent) {
                self.waiting.remove(origin);
            } else if !is_waiting {
                self.waiting.insert(origin.clone(), (*parent, Some(now)));
            }
        }
    }

    /// None: the control task has not said it.
    pub fn parent(&self, origin: &NodeId) -> Option<WorkerIndex> {
        self.parents.get(origin).copied()
    }

    /// What a neighbour that has just come is asked for.
    pub fn ask(&mut self, neighbour: WorkerIndex) -> Origins {
        let origins = self.pulled_from(neighbour);
        self.asked.insert(neighbour, origins.clone());
        origins
    }

    /// The neighbours that are to be asked for something else than before.
    pub fn changed(&mut self) -> Vec<(WorkerIndex, Origins)> {
        let asked: Vec<WorkerIndex> = self.asked.keys().copied().collect();
        let now = asked
            .into_iter()
            .map(|neighbour| (neighbour, self.pulled_from(neighbour)));
        let changed = now.filter(|(neighbour, origins)| self.asked.get(neighbour) != Some(origins));
        let changed: Vec<_> = changed.collect();
        self.asked.extend(changed.iter().cloned());
        changed
    }

    /// The parent of before goes on until the next one has introduced everybody.
    fn pulled_from(&self, neighbour: WorkerIndex) -> Origins {
        let all = self.parents.iter().chain(&self.introduced);
        let from = all.filter(|(_, worker)| **worker == neighbour);
        from.map(|(origin, _)| origin.clone()).collect()
    }

    /// A neighbour pulls this from now on, and nothing else. Answers what is new.
    pub fn handle_pull(&mut self, from: WorkerIndex, origins: &Origins) -> Origins {
        let before = self.children.insert(from, origins.clone()).unwrap_or_default();
        origins.difference(&before).cloned().collect()
    }

    /// Whether a neighbour pulls the media of this node's members.
    pub fn has_child(&self, neighbour: WorkerIndex, origin: &NodeId) -> bool {
        let origins = self.children.get(&neighbour);
        origins.is_some_and(|origins| origins.contains(origin))
    }

    /// Neighbours that pull the media of a node's members.
    pub fn children_of<'a>(&'a self, origin: &'a NodeId) -> impl Iterator<Item = WorkerIndex> + 'a {
        let children = self.children.iter().filter(|(_, origins)| origins.contains(origin));
        children.map(|(worker, _)| *worker)
    }

    /// Of what a neighbour pulls, the nodes all of whose members are known here.
    pub fn complete(&self, origins: &Origins, own: &NodeId) -> Origins {
        let is_known = |origin: &&NodeId| *origin == own || self.introduced.contains_key(*origin);
        origins.iter().filter(is_known).cloned().collect()
    }

    /// A neighbour has introduced all members of these nodes. Answers those for which it counts.
    pub fn handle_introduced(&mut self, from: WorkerIndex, origins: &Origins) -> Origins {
        let counts = |origin: &&NodeId| self.parents.get(*origin) == Some(&from);
        let counts: Origins = origins.iter().filter(counts).cloned().collect();
        for origin in &counts {
            self.introduced.insert(origin.clone(), from);
            self.waiting.remove(origin);
        }
        counts
    }

    /// Parents that have not introduced anybody in time, each once.
    pub fn poll_overdue(&mut self, now: Instant) -> Option<(NodeId, WorkerIndex)> {
        let is_overdue =
            |since: &Option<Instant>| since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        let overdue = self.waiting.iter_mut().find(|(_, (_, since))| is_overdue(since));
        let (origin, (parent, since)) = overdue?;
        *since = None;
        Some((origin.clone(), *parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Index;

    fn origins(names: &[&str]) -> Origins {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn parents(parents: &[(&str, usize)]) -> Vec<(NodeId, WorkerIndex)> {
        let parents = parents
            .iter()
            .map(|(name, worker)| (name.parse().unwrap(), at(*worker)));
        parents.collect()
    }

    fn at(worker: usize) -> WorkerIndex {
        WorkerIndex::at(worker)
    }

    #[test]
    fn a_parent_is_left_when_the_next_one_has_introduced_everybody() {
        let now = rotunda_proto::clock::Clock.now();
        let mut pulls = Pulls::default();
        let neighbours = [at(5), at(6)];
        pulls.set_parents(now, &neighbours, &parents(&[("a", 5), ("b", 5)]));
        assert_eq!(pulls.ask(at(5)), origins(&["a", "b"]));
        assert_eq!(pulls.ask(at(6)), origins(&[]));
        assert_eq!(
            pulls.handle_introduced(at(6), &origins(&["a"])),
            origins(&[]),
            "not the parent"
        );
        assert_eq!(
            pulls.handle_introduced(at(5), &origins(&["a", "b", "c"])),
            origins(&["a", "b"])
        );

        pulls.set_parents(now, &neighbours, &parents(&[("a", 5), ("b", 6)]));
        assert_eq!(pulls.changed(), [(at(6), origins(&["b"]))], "both for a moment");
        assert_eq!(pulls.changed(), []);
        pulls.handle_introduced(at(6), &origins(&["b"]));
        assert_eq!(pulls.changed(), [(at(5), origins(&["a"]))]);

        // The parent is gone: the next one is asked, and what is known stays.
        pulls.set_parents(now, &[at(5)], &parents(&[("a", 5), ("b", 5)]));
        assert_eq!(pulls.changed(), [(at(5), origins(&["a", "b"]))]);
        let known = pulls.complete(&origins(&["a", "b", "own", "x"]), &"own".parse().unwrap());
        assert_eq!(known, origins(&["a", "b", "own"]));
        pulls.set_parents(now, &[at(5)], &parents(&[("a", 5)]));
        assert_eq!(pulls.changed(), [(at(5), origins(&["a"]))], "the origin is gone");
    }

    #[test]
    fn a_parent_that_introduces_nobody_is_told_once() {
        let now = rotunda_proto::clock::Clock.now();
        let mut pulls = Pulls::default();
        let both = parents(&[("a", 5), ("b", 6)]);
        pulls.set_parents(now, &[at(5), at(6)], &both);
        pulls.handle_introduced(at(5), &origins(&["a"]));
        // Told again, the time goes on.
        pulls.set_parents(now + PATIENCE / 2, &[at(5), at(6)], &both);
        assert_eq!(pulls.poll_overdue(now + PATIENCE / 2), None);
        assert_eq!(pulls.poll_overdue(now + PATIENCE), Some(("b".parse().unwrap(), at(6))));
        assert_eq!(pulls.poll_overdue(now + PATIENCE * 2), None);
    }

    #[test]
    fn a_child_gets_what_it_pulls_and_nothing_else() {
        let mut pulls = Pulls::default();
        assert_eq!(pulls.handle_pull(at(5), &origins(&["a", "b"])), origins(&["a", "b"]));
        assert_eq!(pulls.handle_pull(at(5), &origins(&["b", "c"])), origins(&["c"]));
        let has = |name: &str| pulls.has_child(at(5), &name.parse().unwrap());
        assert!(!has("a") && has("b") && has("c"));
        let children: Vec<_> = pulls.children_of(&"b".parse().unwrap()).collect();
        assert_eq!(children, [at(5)]);
        let now = rotunda_proto::clock::Clock.now();
        pulls.set_parents(now, &[], &[]);
        assert!(
            !pulls.has_child(at(5), &"b".parse().unwrap()),
            "it is no neighbour any more"
        );
    }
}
