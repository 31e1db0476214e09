//! The contract of the bus, tested with every implementation: in-process, the same behind a decorator that makes
//! every fault that the contract allows, and NATS. Each test gets two nodes of one cluster.

mod keys;
mod leases;
mod messages;
mod requests;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rotunda_bus::testing::NatsServer;
use rotunda_bus::{Bus, Faults, Faulty, InProcess, Nats, SharedBus, Watch, WatchEvent};
use rotunda_proto::clock::Clock;

/// The time limit of waiting for a state.
const SOON: Duration = Duration::from_secs(20);

/// Two nodes of a cluster, and the connection between them.
pub struct Cluster {
    pub one: SharedBus,
    pub two: SharedBus,
    /// Whether every message and call arrives.
    pub is_reliable: bool,
    pub kind: Kind,
}

pub enum Kind {
    InProcess,
    Faulty { one: Arc<Faulty> },
    Nats { server: NatsServer },
}

impl Cluster {
    pub fn in_process() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        Self {
            one: bus.clone(),
            two: bus,
            is_reliable: true,
            kind: Kind::InProcess,
        }
    }

    pub fn faulty(faults: Faults) -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let one = Arc::new(Faulty::new(bus.clone(), faults));
        let seed = faults.seed + 1;
        Self {
            one: one.clone(),
            two: Arc::new(Faulty::new(bus, Faults { seed, ..faults })),
            is_reliable: faults.fail == 0.0 && faults.lose == 0.0,
            kind: Kind::Faulty { one },
        }
    }

    /// None: this machine has no `nats-server`.
    pub async fn nats() -> Option<Self> {
        let server = NatsServer::start()?;
        let one: SharedBus = Arc::new(Nats::connect(&server.config(), "one").await.unwrap());
        let two: SharedBus = Arc::new(Nats::connect(&server.config(), "two").await.unwrap());
        Some(Self {
            one,
            two,
            is_reliable: true,
            kind: Kind::Nats { server },
        })
    }

    /// Cuts off node one (and with NATS every node).
    pub fn cut(&mut self) {
        match &mut self.kind {
            Kind::InProcess => {}
            Kind::Faulty { one } => one.cut(),
            Kind::Nats { server } => server.stop(),
        }
    }

    pub fn mend(&mut self) {
        match &mut self.kind {
            Kind::InProcess => {}
            Kind::Faulty { one } => one.mend(),
            Kind::Nats { server } => server.resume(),
        }
    }
}

/// Runs each function on every implementation, as tests with its name.
macro_rules! on_every_bus {
    ($($name:ident),* $(,)?) => {
        mod in_process { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::Cluster::in_process()).await }
        )* }
        mod delayed_and_reordered { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let faults = rotunda_bus::Faults { fail: 0.0, lose: 0.0, ..rotunda_bus::Faults::some(7) };
                super::$name(crate::Cluster::faulty(faults)).await
            }
        )* }
        mod nats { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(cluster) = crate::Cluster::nats().await {
                    super::$name(cluster).await
                }
            }
        )* }
    };
}
pub(crate) use on_every_bus;

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Resolves when `is_so` returns true; it is called repeatedly.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let clock = Clock;
    soon(what, async {
        while !is_so().await {
            clock.sleep_until(clock.now() + Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// The next change of a watch as `key=value`, or `key` with a minus if it was deleted, or `synced`.
pub async fn told(watch: &mut Watch) -> String {
    match soon("a change", watch.next()).await {
        WatchEvent::Synced => "synced".to_owned(),
        WatchEvent::Change(change) => match change.entry {
            Some(entry) => format!("{}={}", change.key, text(&entry.value)),
            None => format!("-{}", change.key),
        },
    }
}

pub fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub async fn is_away(bus: &dyn Bus) -> bool {
    bus.presence().borrow().is_away()
}
