//! A network of datagrams in memory. Each datagram takes the time that the network's delays say, and none is lost.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use tokio::sync::Notify;

/// The one-way delay between two addresses.
pub type Delays = Box<dyn Fn(IpAddr, IpAddr) -> Duration + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    delays: Delays,
    endpoints: Mutex<HashMap<SocketAddr, Arc<Mailbox>>>,
}

#[derive(Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    /// Notified when a datagram comes that is due before all others.
    earlier: Notify,
}

#[derive(Default)]
struct Waiting {
    datagrams: BinaryHeap<Datagram>,
    /// Counts all of them.
    count: u64,
}

/// A datagram on its way.
#[derive(Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
    at: Instant,
    number: u64,
}

/// A socket of the network. After a drop nothing arrives at its address.
pub struct Endpoint {
    network: Network,
    address: SocketAddr,
    mailbox: Arc<Mailbox>,
}

impl Network {
    pub fn new(delays: Delays) -> Self {
        Self(Arc::new(Inner {
            delays,
            endpoints: Mutex::default(),
        }))
    }

    /// Takes the place of another endpoint at the address.
    pub fn bind(&self, address: SocketAddr) -> Endpoint {
        let mailbox = Arc::<Mailbox>::default();
        self.endpoints().insert(address, Arc::clone(&mailbox));
        Endpoint {
            network: self.clone(),
            address,
            mailbox,
        }
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Mailbox>>> {
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> Option<Instant> {
        self.waiting().datagrams.peek().map(|datagram| datagram.at)
    }
}

impl Endpoint {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A datagram to an address without an endpoint vanishes.
    pub fn send(&self, now: Instant, to: SocketAddr, bytes: &[u8]) {
        let Some(mailbox) = self.network.endpoints().get(&to).cloned() else {
            return;
        };
        let at = now + (self.network.0.delays)(self.address.ip(), to.ip());
        let mut waiting = mailbox.waiting();
        let is_first = waiting.datagrams.peek().is_none_or(|first| at < first.at);
        waiting.count += 1;
        let number = waiting.count;
        waiting.datagrams.push(Datagram {
            from: self.address,
            bytes: bytes.to_vec(),
            at,
            number,
        });
        drop(waiting);
        if is_first {
            mailbox.earlier.notify_one();
        }
    }

    /// A datagram that has arrived. None: there is none now.
    pub fn receive(&self, now: Instant) -> Option<Datagram> {
        let mut waiting = self.mailbox.waiting();
        let is_here = waiting.datagrams.peek().is_some_and(|datagram| datagram.at <= now);
        is_here.then(|| waiting.datagrams.pop()).flatten()
    }

    /// Resolves when a datagram has arrived. Cancel-safe.
    pub async fn arrival(&self) {
        loop {
            let due = self.mailbox.due();
            tokio::select! {
                () = Clock.until(due) => return,
                () = self.mailbox.earlier.notified() => {}
            }
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let mut endpoints = self.network.endpoints();
        let is_own = |known: &Arc<Mailbox>| Arc::ptr_eq(known, &self.mailbox);
        if endpoints.get(&self.address).is_some_and(is_own) {
            endpoints.remove(&self.address);
        }
    }
}

/// The greatest is the one that arrives first.
impl Ord for Datagram {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datagram {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Datagram {}
