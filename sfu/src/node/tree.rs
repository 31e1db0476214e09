//! The fan-out tree of a room's node: from which other node each node of the room receives what that node's members publish. Pure.
//!
//! Each node with publishers, an origin, is the root of a tree of its own, which every node computes for itself out of the nodes that
//! it has links with. A node receives from its parent and from no other node.
//!
//! - The nodes are placed one after the other, in an order that depends on nothing but the names of the origin and of each node. A parent is
//!   always placed before its children. So nodes that know of different nodes, zones or limits for a while cannot make a loop.
//! - The origin has the first children, up to the limit: a room on few nodes has no inner nodes. All further nodes go below a node
//!   of their zone, else of their region, else anywhere, where a child is free. A nearer parent may be one level deeper than the
//!   highest one with a free child, and no more, which bounds the depth.
//! - Of equal parents, a hash of the names chooses (rendezvous hashing). So a node that comes or goes changes the parents of few others.

use std::cmp::Reverse;
use std::collections::HashMap;

use rotunda_proto::ids::NodeId;
use rotunda_proto::location::{Distance, Location};

/// A node that the room is on, and that relays the media of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    pub node: &'a NodeId,
    pub location: &'a Location,
}

/// A node that has its place in the tree.
struct Placed<'a> {
    place: Place<'a>,
    parent: Option<&'a NodeId>,
    /// Links between it and the origin.
    depth: usize,
    children: usize,
}

/// The parent of each node but the origin, if the origin is one of the nodes. `most`: children of one node; at least 1.
pub fn parents<'a>(origin: &NodeId, nodes: &[Place<'a>], most: usize) -> HashMap<&'a NodeId, &'a NodeId> {
    let Some(root) = nodes.iter().find(|place| place.node == origin) else {
        return HashMap::new();
    };
    let mut others: Vec<&Place<'a>> = nodes.iter().filter(|place| place.node != origin).collect();
    others.sort_by_key(|place| order(origin, place.node));
    others.dedup_by_key(|place| place.node);
    let mut tree = Vec::with_capacity(others.len() + 1);
    tree.push(Placed::new(*root, None));
    for place in others {
        let at = choose(origin, &tree, place, most.max(1));
        let parent = &mut tree[at];
        parent.children += 1;
        let placed = Placed::new(*place, Some(parent));
        tree.push(placed);
    }
    let placed = tree.into_iter();
    placed
        .filter_map(|placed| Some((placed.place.node, placed.parent?)))
        .collect()
}

impl<'a> Placed<'a> {
    fn new(place: Place<'a>, parent: Option<&Self>) -> Self {
        Self {
            place,
            parent: parent.map(|parent| parent.place.node),
            depth: parent.map_or(0, |parent| parent.depth + 1),
            children: 0,
        }
    }
}

/// The position of a parent for the next node. There always is one: each node that was placed has made room for `most` more.
fn choose(origin: &NodeId, tree: &[Placed<'_>], next: &Place<'_>, most: usize) -> usize {
    if tree[0].children < most {
        return 0;
    }
    let free = tree.iter().enumerate().filter(|(_, placed)| placed.children < most);
    let highest = free.clone().map(|(_, placed)| placed.depth).min().unwrap_or_default();
    let rank = |placed: &Placed<'_>| {
        let distance = next.location.distance_to(placed.place.location);
        let by_name = Reverse(hash(&[origin, next.node, placed.place.node]));
        (distance, placed.depth, by_name)
    };
    let may = |placed: &Placed<'_>| {
        let is_near = next.location.distance_to(placed.place.location) != Distance::Elsewhere;
        placed.depth <= highest + usize::from(is_near)
    };
    let candidates = free.filter(|(_, placed)| may(placed));
    candidates
        .min_by_key(|(_, placed)| rank(placed))
        .map_or(0, |(at, _)| at)
}

/// The order in which nodes are placed below an origin.
fn order<'a>(origin: &NodeId, node: &'a NodeId) -> (u64, &'a NodeId) {
    (hash(&[origin, node]), node)
}

/// The same in every process and version: FNV-1a, mixed by the finalizer of SplitMix64, as similar names would have similar hashes.
fn hash(names: &[&NodeId]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for name in names {
        // 0 ends a name.
        for byte in name.as_str().bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
