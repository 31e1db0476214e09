//! Decides whose lease has expired, and who cleans up. Without clock or bus.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::{Incarnation, LeaseDocument, Standing};
use crate::Revision;

/// The duration of a lease, and the intervals derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// The time after a node's last renewal until it is declared dead and its keys have vanished.
    pub lease: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
        }
    }
}

impl LeaseTimes {
    /// The interval of a node's renewals.
    pub fn renew_every(self) -> Duration {
        self.lease / 5
    }

    /// After this silence a node is declared dead; the rest of the lease is for the clean-up.
    pub fn silence(self) -> Duration {
        self.lease * 7 / 10
    }
}

/// The leases as this node sees them. Each node keeps such a ledger. Several nodes may notice an expired lease; the
/// first one to write that down declares the death, and the others see it.
#[derive(Debug)]
pub(crate) struct Ledger {
    times: LeaseTimes,
    leases: BTreeMap<Incarnation, Seen>,
    /// All leases are known.
    synced: bool,
    away: bool,
    todo: VecDeque<Action>,
    changed: bool,
}

#[derive(Debug, Clone)]
struct Seen {
    revision: Revision,
    standing: Standing,
    /// When this node last saw a change or acted on it.
    at: Instant,
}

/// An order to the shell. Several nodes may execute it, and more than once: revisions decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write into the lease that its holder is dead; the node that succeeds deletes the keys that are bound to it.
    Declare { lease: Incarnation, revision: Revision },
    /// Delete the keys that were bound since then, and then the lease. This happens some time after the death. So
    /// it also removes the last writes of a cut-off node, and the remains of a declarer that died itself.
    Bury { lease: Incarnation, revision: Revision },
}

impl Ledger {
    pub(crate) fn new(times: LeaseTimes) -> Self {
        Self {
            times,
            leases: BTreeMap::new(),
            synced: false,
            away: false,
            todo: VecDeque::new(),
            changed: false,
        }
    }

    pub(crate) fn handle_lease(
        &mut self,
        now: Instant,
        lease: Incarnation,
        document: &LeaseDocument,
        revision: Revision,
    ) {
        let seen = Seen {
            revision,
            standing: document.standing,
            at: now,
        };
        let before = self.leases.insert(lease, seen);
        self.changed |= before.map(|before| before.standing) != Some(document.standing);
    }

    pub(crate) fn handle_deleted(&mut self, lease: &Incarnation) {
        self.changed |= self.leases.remove(lease).is_some();
    }

    pub(crate) fn handle_synced(&mut self, now: Instant) {
        self.changed |= !self.synced;
        self.synced = true;
        self.restart(now);
    }

    /// While the bus is away for this node, silence of other nodes means nothing.
    pub(crate) fn handle_away(&mut self) {
        self.away = true;
    }

    pub(crate) fn handle_back(&mut self, now: Instant) {
        self.away = false;
        self.restart(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.away || !self.synced {
            return;
        }
        let silence = self.times.silence();
        for (lease, seen) in &mut self.leases {
            if now < seen.at + silence {
                continue;
            }
            // It is tried again after the same time, because it may fail now.
            seen.at = now;
            let (lease, revision) = (lease.clone(), seen.revision);
            self.todo.push_back(match seen.standing {
                Standing::Alive => Action::Declare { lease, revision },
                Standing::Dead => Action::Bury { lease, revision },
            });
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.todo.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.away || !self.synced {
            return None;
        }
        let silence = self.times.silence();
        self.leases.values().map(|seen| seen.at + silence).min()
    }

    /// The live nodes, when they have changed and all of them are known.
    pub(crate) fn poll_living(&mut self) -> Option<BTreeSet<Incarnation>> {
        if !self.synced || !std::mem::take(&mut self.changed) {
            return None;
        }
        let alive = self.leases.iter().filter(|(_, seen)| seen.standing == Standing::Alive);
        Some(alive.map(|(lease, _)| lease.clone()).collect())
    }

    /// Other incarnations of a node that are not dead yet.
    pub(crate) fn older(&self, than: &Incarnation) -> Vec<(Incarnation, Revision)> {
        let older = self
            .leases
            .iter()
            .filter(|(lease, seen)| lease.node() == than.node() && *lease != than && seen.standing == Standing::Alive);
        older.map(|(lease, seen)| (lease.clone(), seen.revision)).collect()
    }

    fn restart(&mut self, now: Instant) {
        for seen in self.leases.values_mut() {
            seen.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    const TIMES: LeaseTimes = LeaseTimes {
        lease: Duration::from_secs(10),
    };

    struct Test {
        ledger: Ledger,
        start: Instant,
    }

    impl Test {
        fn with(leases: &[(&str, Standing)]) -> Self {
            let mut ledger = Ledger::new(TIMES);
            let start = Clock.now();
            for (number, (name, standing)) in leases.iter().enumerate() {
                ledger.handle_lease(start, lease(name), &document(*standing), Revision(number as u64 + 1));
            }
            ledger.handle_synced(start);
            Self { ledger, start }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// The order that is due at this time.
        fn actions(&mut self, seconds: u64) -> Vec<Action> {
            let now = self.at(seconds);
            self.ledger.handle_timeout(now);
            std::iter::from_fn(|| self.ledger.poll_action()).collect()
        }
    }

    fn lease(name: &str) -> Incarnation {
        Incarnation::new(name.parse().unwrap(), 1)
    }

    fn document(standing: Standing) -> LeaseDocument {
        LeaseDocument {
            standing,
            beat: 0,
            declared_by: None,
        }
    }

    #[test]
    fn a_silent_node_is_declared_dead_and_buried_later() {
        let mut test = Test::with(&[("a", Standing::Alive), ("b", Standing::Alive)]);
        assert_eq!(test.actions(6), []);
        let now = test.at(6);
        test.ledger
            .handle_lease(now, lease("b"), &document(Standing::Alive), Revision(9));
        let declare = Action::Declare {
            lease: lease("a"),
            revision: Revision(1),
        };
        assert_eq!(test.actions(7), [declare]);
        let now = test.at(8);
        test.ledger
            .handle_lease(now, lease("a"), &document(Standing::Dead), Revision(10));
        assert_eq!(test.ledger.poll_living(), Some([lease("b")].into()));
        let now = test.at(12);
        test.ledger
            .handle_lease(now, lease("b"), &document(Standing::Alive), Revision(11));
        let bury = Action::Bury {
            lease: lease("a"),
            revision: Revision(10),
        };
        assert_eq!(test.actions(15), [bury]);
    }

    #[test]
    fn nobody_dies_of_an_outage_of_the_bus() {
        let mut test = Test::with(&[("a", Standing::Alive)]);
        test.ledger.handle_away();
        assert_eq!(test.actions(100), []);
        assert_eq!(test.ledger.poll_timeout(), None);
        let back = test.at(100);
        test.ledger.handle_back(back);
        assert_eq!(test.actions(106), []);
        assert_eq!(test.actions(107).len(), 1);
    }

    #[test]
    fn an_attempt_that_failed_is_repeated() {
        let mut test = Test::with(&[("a", Standing::Alive)]);
        assert_eq!(test.actions(7).len(), 1);
        assert_eq!(test.actions(8), []);
        assert_eq!(test.actions(14).len(), 1);
    }

    #[test]
    fn live_nodes_are_not_reported_before_all_are_known() {
        let mut ledger = Ledger::new(TIMES);
        let now = Clock.now();
        ledger.handle_lease(now, lease("a"), &document(Standing::Alive), Revision(1));
        assert_eq!(ledger.poll_living(), None);
        ledger.handle_synced(now);
        assert_eq!(ledger.poll_living(), Some([lease("a")].into()));
        assert_eq!(ledger.poll_living(), None);
    }
}
