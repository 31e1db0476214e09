//! What holds of every fan-out tree, for any names, zones and limits.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A node and where it is.
type Known = BTreeMap<NodeId, Location>;

fn node(number: usize) -> NodeId {
    format!("sfu-{number}").parse().unwrap()
}

fn zone(number: usize) -> Location {
    Location {
        region: if number == 0 { "" } else { "eu" }.to_owned(),
        zone: if number == 0 {
            String::new()
        } else {
            format!("z{number}")
        },
    }
}

/// Nodes of these numbers, in so many zones; with one zone, none is known.
fn known(numbers: &BTreeSet<usize>, zones: usize) -> Known {
    let zone_of = |number: usize| zone(if zones > 1 { 1 + number * 7 % zones } else { 0 });
    numbers.iter().map(|number| (node(*number), zone_of(*number))).collect()
}

fn tree(origin: &NodeId, known: &Known, most: usize) -> BTreeMap<NodeId, NodeId> {
    let places: Vec<Place<'_>> = known.iter().map(|(node, location)| Place { node, location }).collect();
    let parents = parents(origin, &places, most).into_iter();
    parents.map(|(node, parent)| (node.clone(), parent.clone())).collect()
}

/// Links between a node and the origin; None: there is no way.
fn depth(tree: &BTreeMap<NodeId, NodeId>, origin: &NodeId, node: &NodeId) -> Option<usize> {
    let mut at = node;
    for depth in 0..=tree.len() {
        if at == origin {
            return Some(depth);
        }
        at = tree.get(at)?;
    }
    None
}

fn numbers(most: usize) -> impl Strategy<Value = BTreeSet<usize>> {
    proptest::collection::btree_set(0..200_usize, 2..most)
}

/// The least depth at which `most` children a node hold so many nodes.
fn levels(nodes: usize, most: usize) -> usize {
    let (mut levels, mut level, mut held) = (0, 1, 1);
    while held < nodes {
        level *= most;
        held += level;
        levels += 1;
    }
    levels
}

proptest! {
    #[test]
    fn every_node_is_reached_and_no_node_sends_to_more_than_the_limit(
        numbers in numbers(60), zones in 1..5_usize, most in 1..9_usize,
    ) {
        let known = known(&numbers, zones);
        let origin = known.keys().next().unwrap();
        let tree = tree(origin, &known, most);
        prop_assert_eq!(tree.len(), known.len() - 1);
        let mut children: BTreeMap<&NodeId, usize> = BTreeMap::new();
        for (node, parent) in &tree {
            *children.entry(parent).or_default() += 1;
            let depth = depth(&tree, origin, node);
            // A chain has no shorter way.
            let bound = if most == 1 { known.len() } else { levels(known.len(), most) + 2 };
            prop_assert!(depth.is_some_and(|depth| depth <= bound), "{:?} at {:?} of {}", node, depth, bound);
        }
        prop_assert!(children.values().all(|count| *count <= most));
        prop_assert_eq!(children.get(origin).copied(), Some(most.min(known.len() - 1)));
    }

    /// Whatever nodes, zones and limits each node knows of.
    #[test]
    fn nodes_that_know_of_different_nodes_make_no_loop(
        numbers in numbers(40),
        views in proptest::collection::vec((proptest::collection::btree_set(0..200_usize, 0..40), 1..5_usize, 1..9_usize), 40),
    ) {
        let origin = node(*numbers.first().unwrap());
        let mut together = BTreeMap::new();
        for (number, (more, zones, most)) in numbers.iter().skip(1).zip(views) {
            // Some of the nodes, and some that nobody else knows of.
            let mut seen: BTreeSet<usize> = numbers.intersection(&more).chain(more.iter().take(3)).copied().collect();
            seen.extend([*number, *numbers.first().unwrap()]);
            let own = node(*number);
            let parent = tree(&origin, &known(&seen, zones), most).remove(&own).unwrap();
            prop_assert!(parent == origin || order(&origin, &parent) < order(&origin, &own));
            together.insert(own, parent);
        }
        for start in together.keys() {
            let mut at = start;
            let mut passed = BTreeSet::new();
            while let Some(parent) = together.get(at) {
                prop_assert!(passed.insert(at.clone()), "a loop at {}", at);
                at = parent;
            }
        }
    }

    #[test]
    fn a_room_on_few_nodes_has_no_inner_nodes(numbers in numbers(10), zones in 1..4_usize) {
        let known = known(&numbers, zones);
        let origin = known.keys().next_back().unwrap();
        let tree = tree(origin, &known, 8);
        prop_assert!(tree.values().all(|parent| parent == origin));
    }
}

/// Over many rooms of 50 nodes: a node that goes moves its own children, and hardly any other node. The same holds when it comes back.
#[test]
fn on_average_a_node_that_goes_moves_hardly_more_than_its_children() {
    for (most, on_average) in [(2, 6), (4, 4), (8, 2)] {
        let (mut moved, mut cases) = (0, 0);
        for seed in 0..20 {
            let numbers: BTreeSet<usize> = (seed * 50..seed * 50 + 50).collect();
            let all = known(&numbers, 3);
            let origin = all.keys().next().unwrap().clone();
            let before = tree(&origin, &all, most);
            for gone in all.keys().skip(1) {
                let mut left = all.clone();
                left.remove(gone);
                let after = tree(&origin, &left, most);
                let others = after.iter().filter(|(node, _)| before[*node] != *gone);
                moved += others.filter(|(node, parent)| before[*node] != **parent).count();
                cases += 1;
            }
        }
        assert!(moved <= on_average * cases, "{most} children: {moved} in {cases}");
    }
}

#[test]
fn most_nodes_receive_within_their_zone_and_few_copies_leave_a_zone() {
    let numbers: BTreeSet<usize> = (0..60).collect();
    let known = known(&numbers, 3);
    let (mut crossing, mut deep) = (0, 0);
    for origin in known.keys().take(10) {
        let tree = tree(origin, &known, 4);
        // The origin's own children are of any zone.
        let below = tree.iter().filter(|(_, parent)| *parent != origin);
        crossing += below.filter(|(node, parent)| known[*node] != known[*parent]).count();
        deep += tree.keys().filter(|node| depth(&tree, origin, node) > Some(4)).count();
    }
    assert!(crossing <= 25, "{crossing} of 550");
    assert_eq!(deep, 0);
}

#[test]
fn nothing_is_known_of_an_origin_that_is_not_in_the_room() {
    let known = known(&(0..4).collect(), 1);
    assert!(tree(&node(9), &known, 2).is_empty());
}
