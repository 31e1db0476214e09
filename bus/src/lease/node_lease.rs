//! The shell: renews this process's lease, and watches the others'.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use metrics::counter;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, info, warn};

use super::ledger::{Action, Ledger};
use super::{Incarnation, LEASES_PREFIX, LeaseDocument, LeaseTimes, Standing, lease_key};
use crate::{BusError, BusExt, Presence, Revision, SharedBus, Watch, WatchEvent};

/// Concurrent deletions when a dead node's keys are removed.
const SWEEP_AT_ONCE: usize = 64;

/// This process's lease, renewed until it [ends](NodeLease::end). After a drop it is no longer renewed, as if the
/// process had been killed.
#[derive(Debug)]
pub struct NodeLease {
    own: watch::Receiver<Own>,
    living: watch::Receiver<Living>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// The incarnation of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// A new incarnation: the process was declared dead while it was cut off, and the keys of the previous
    /// incarnation have vanished. The process must announce everything again.
    Incarnation(Incarnation),
    /// Another process with this node's name has started. This one must end.
    Superseded(Incarnation),
}

impl Own {
    pub fn incarnation(&self) -> &Incarnation {
        match self {
            Self::Incarnation(incarnation) | Self::Superseded(incarnation) => incarnation,
        }
    }
}

/// The live nodes. None until all are known.
pub type Living = Option<Arc<BTreeSet<Incarnation>>>;

/// Why the lease could not be taken.
#[derive(Debug, Error)]
pub enum LeaseError {
    #[error("take the lease of node {node}")]
    Take {
        node: NodeId,
        #[source]
        source: BusError,
    },
}

impl NodeLease {
    /// Takes a lease for a node. Earlier incarnations of it are declared dead at once.
    pub async fn take(bus: SharedBus, node: NodeId, times: LeaseTimes) -> Result<Self, LeaseError> {
        let failed = |source| LeaseError::Take {
            node: node.clone(),
            source,
        };
        let incarnation = Incarnation::random(node.clone());
        let revision = create(&bus, &incarnation).await.map_err(failed)?;
        let leases = bus.watch(LEASES_PREFIX).await.map_err(failed)?;
        let (own, own_known) = watch::channel(Own::Incarnation(incarnation.clone()));
        let (living, living_known) = watch::channel(None);
        let (end, ended) = oneshot::channel();
        let keeper = Keeper {
            presence: bus.presence(),
            bus,
            times,
            incarnation,
            revision: Some(revision),
            beat: 0,
            renew_at: Clock.now() + times.renew_every(),
            ledger: Ledger::new(times),
            own,
            living,
            under_way: JoinSet::new(),
            has_superseded: false,
        };
        Ok(Self {
            own: own_known,
            living: living_known,
            end: Some(end),
            task: tokio::spawn(keeper.run(leases, ended)),
        })
    }

    /// The current incarnation of this process; it changes after the process was declared dead.
    pub fn own(&self) -> watch::Receiver<Own> {
        self.own.clone()
    }

    pub fn living(&self) -> watch::Receiver<Living> {
        self.living.clone()
    }

    /// Deletes the lease and the keys that are bound to it, so that nobody waits for its expiry.
    pub async fn end(mut self) {
        if let Some(end) = self.end.take() {
            let _keeper_has_ended = end.send(());
        }
        let _ended = (&mut self.task).await;
    }
}

impl Drop for NodeLease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Keeper {
    bus: SharedBus,
    presence: watch::Receiver<Presence>,
    times: LeaseTimes,
    incarnation: Incarnation,
    /// Of the own lease. None: to be read again.
    revision: Option<Revision>,
    beat: u64,
    renew_at: Instant,
    ledger: Ledger,
    own: watch::Sender<Own>,
    living: watch::Sender<Living>,
    under_way: JoinSet<()>,
    /// The predecessors of this process have been declared dead. A later process of its name is none, and will say so of this one.
    has_superseded: bool,
}

impl Keeper {
    async fn run(mut self, mut leases: Watch, mut end: oneshot::Receiver<()>) {
        let clock = Clock;
        if self.presence.borrow_and_update().is_away() {
            self.ledger.handle_away();
        }
        loop {
            tokio::select! {
                asked = &mut end => {
                    // A drop without a request counts as a kill.
                    if asked.is_ok() {
                        self.give_back().await;
                    }
                    return;
                }
                event = leases.next() => self.take_in(clock.now(), event),
                changed = self.presence.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    match *self.presence.borrow_and_update() {
                        Presence::Here => {
                            self.ledger.handle_back(clock.now());
                            self.renew_at = clock.now();
                        }
                        Presence::Away { .. } => self.ledger.handle_away(),
                    }
                }
                () = clock.sleep_until(self.renew_at) => {
                    self.renew().await;
                    self.renew_at = clock.now() + self.times.renew_every();
                }
                () = clock.until(self.ledger.poll_timeout()) => self.ledger.handle_timeout(clock.now()),
            }
            while let Some(action) = self.ledger.poll_action() {
                self.act(action);
            }
            if let Some(living) = self.ledger.poll_living() {
                self.supersede();
                self.living.send_replace(Some(Arc::new(living)));
            }
        }
    }

    fn take_in(&mut self, now: Instant, event: WatchEvent) {
        let change = match event {
            WatchEvent::Synced => return self.ledger.handle_synced(now),
            WatchEvent::Change(change) => change,
        };
        let Some(Ok(lease)) = change.key.strip_prefix(LEASES_PREFIX).map(str::parse) else {
            return;
        };
        match change.parse::<LeaseDocument>() {
            Some(document) => self.ledger.handle_lease(now, lease, &document, change.revision),
            None => self.ledger.handle_deleted(&lease),
        }
    }

    /// Renews the lease, or begins a new incarnation if the renewal is refused.
    async fn renew(&mut self) {
        for _ in 0..2 {
            if self.presence.borrow().is_away() {
                return;
            }
            let Some(revision) = self.own_revision().await else {
                return;
            };
            self.beat += 1;
            let key = lease_key(&self.incarnation);
            match self.bus.store(&key, &alive(self.beat), Some(revision)).await {
                Ok(revision) => {
                    self.revision = Some(revision);
                    return;
                }
                // Declared dead, or an earlier renewal has arrived after all: the lease tells which.
                Err(BusError::Conflict(_)) => self.revision = None,
                Err(error) => {
                    self.revision = None;
                    return self.not_renewed(&error);
                }
            }
        }
    }

    /// None: this node has begun a new incarnation, or the lease could not be read.
    async fn own_revision(&mut self) -> Option<Revision> {
        if self.revision.is_some() {
            return self.revision;
        }
        match self.bus.load::<LeaseDocument>(&lease_key(&self.incarnation)).await {
            Ok(Some((document, revision))) if document.standing == Standing::Alive => Some(revision),
            Ok(dead) => {
                self.begin_anew(dead.and_then(|(document, _)| document.declared_by))
                    .await;
                None
            }
            Err(error) => {
                self.not_renewed(&error);
                None
            }
        }
    }

    fn not_renewed(&self, error: &BusError) {
        warn!(
            error = error as &dyn std::error::Error,
            lease = %self.incarnation,
            "the lease could not be renewed; it is tried again"
        );
    }

    /// This incarnation has been declared dead.
    async fn begin_anew(&mut self, by: Option<Incarnation>) {
        if let Some(by) = by.filter(|by| by.node() == self.incarnation.node()) {
            if !matches!(*self.own.borrow(), Own::Superseded(_)) {
                error!(%by, "another process has started with this node's name; give each its own `server.node`");
                self.own.send_replace(Own::Superseded(self.incarnation.clone()));
            }
            return;
        }
        let incarnation = Incarnation::random(self.incarnation.node().clone());
        match create(&self.bus, &incarnation).await {
            Ok(revision) => {
                warn!(before = %self.incarnation, now = %incarnation, "this node was declared dead and begins a new incarnation");
                counter!("rotunda_bus_begun_anew_total").increment(1);
                self.incarnation = incarnation.clone();
                self.revision = Some(revision);
                self.beat = 0;
                self.own.send_replace(Own::Incarnation(incarnation));
            }
            Err(error) => self.not_renewed(&error),
        }
    }

    /// Declares earlier incarnations of this node dead, because their process was this one's predecessor.
    fn supersede(&mut self) {
        if std::mem::replace(&mut self.has_superseded, true) {
            return;
        }
        for (lease, revision) in self.ledger.older(&self.incarnation) {
            self.act(Action::Declare { lease, revision });
        }
    }

    /// Runs beside the renewals, because the clean-up may take long.
    fn act(&mut self, action: Action) {
        while self.under_way.try_join_next().is_some() {}
        if matches!(&action, Action::Declare { lease, .. } if *lease == self.incarnation) {
            return;
        }
        let (bus, by) = (self.bus.clone(), self.incarnation.clone());
        self.under_way.spawn(async move {
            let done = match action {
                Action::Declare { lease, revision } => declare(&bus, by, &lease, revision).await,
                Action::Bury { lease, revision } => bury(&bus, &lease, revision).await,
            };
            match done {
                Ok(()) | Err(BusError::Conflict(_)) => {}
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "the keys of a dead node could not be removed; it is tried again"
                ),
            }
        });
    }

    async fn give_back(&mut self) {
        let given_back = async {
            sweep(&self.bus, &self.incarnation).await?;
            self.bus.remove(&lease_key(&self.incarnation)).await
        };
        if let Err(error) = given_back.await {
            warn!(
                error = &error as &dyn std::error::Error,
                lease = %self.incarnation,
                "the lease could not be deleted; it will expire"
            );
        }
    }
}

async fn declare(bus: &SharedBus, by: Incarnation, lease: &Incarnation, revision: Revision) -> Result<(), BusError> {
    let dead = LeaseDocument {
        standing: Standing::Dead,
        beat: 0,
        declared_by: Some(by),
    };
    bus.store(&lease_key(lease), &dead, Some(revision)).await?;
    info!(%lease, "a node is silent and is declared dead");
    counter!("rotunda_bus_declared_dead_total").increment(1);
    sweep(bus, lease).await
}

async fn bury(bus: &SharedBus, lease: &Incarnation, revision: Revision) -> Result<(), BusError> {
    sweep(bus, lease).await?;
    bus.delete(&lease_key(lease), revision).await?;
    Ok(())
}

/// Deletes the keys that are bound to a lease.
async fn sweep(bus: &SharedBus, lease: &Incarnation) -> Result<(), BusError> {
    let bound = bus.bound(lease).await?;
    let deletions = bound.into_iter().map(|(key, revision)| async move {
        match bus.delete(&key, revision).await {
            Ok(_) | Err(BusError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    });
    let mut deletions = futures::stream::iter(deletions).buffer_unordered(SWEEP_AT_ONCE);
    let mut failed = None;
    while let Some(done) = deletions.next().await {
        failed = failed.or(done.err());
    }
    failed.map_or(Ok(()), Err)
}

fn alive(beat: u64) -> LeaseDocument {
    LeaseDocument {
        standing: Standing::Alive,
        beat,
        declared_by: None,
    }
}

async fn create(bus: &SharedBus, incarnation: &Incarnation) -> Result<Revision, BusError> {
    bus.store(&lease_key(incarnation), &alive(0), None).await
}
