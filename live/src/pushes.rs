//! The pushes of one program: compares the wanted with the running ones. Pure.

use std::collections::HashMap;

use rotunda_proto::push_address::PushAddress;

/// A step from the running pushes to the wanted ones.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Start(PushAddress),
    Stop(PushAddress),
}

/// The difference between the wanted and the running pushes: first the ends, then the starts, so that a server that
/// allows one push sees the old one end first.
pub fn diff<R>(wanted: &[PushAddress], running: &HashMap<PushAddress, R>) -> Vec<Action> {
    let mut actions: Vec<Action> = running
        .keys()
        .filter(|address| !wanted.contains(address))
        .cloned()
        .map(Action::Stop)
        .collect();
    for (at, address) in wanted.iter().enumerate() {
        if !running.contains_key(address) && !wanted[..at].contains(address) {
            actions.push(Action::Start(address.clone()));
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(key: &str) -> PushAddress {
        format!("rtmp://h/live/{key}").parse().unwrap()
    }

    fn running(keys: &[&str]) -> HashMap<PushAddress, ()> {
        keys.iter().map(|key| (address(key), ())).collect()
    }

    #[test]
    fn a_changed_address_ends_the_old_push_and_starts_the_new_one() {
        assert_eq!(
            diff(&[address("b")], &running(&["a"])),
            [Action::Stop(address("a")), Action::Start(address("b"))]
        );
    }

    #[test]
    fn an_address_that_is_left_out_ends_and_one_that_stays_is_not_touched() {
        assert_eq!(diff(&[], &running(&["a"])), [Action::Stop(address("a"))]);
        assert_eq!(diff(&[address("a")], &running(&["a"])), []);
    }

    #[test]
    fn an_address_that_is_named_twice_has_one_push() {
        assert_eq!(
            diff(&[address("a"), address("a")], &running(&[])),
            [Action::Start(address("a"))]
        );
    }
}
