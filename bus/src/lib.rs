//! The control plane between services: a key-value store with compare-and-set, leases and watches, requests with replies,
//! and messages to subscribers. Nothing else may talk across nodes for control.
//!
//! [`Bus`] is the contract. [`InProcess`] is the embedded default, [`Nats`] connects several nodes, and [`Faulty`] misbehaves
//! from a seed for tests: it is one [`Policy`] of a [`Wrapped`] bus. `tests/conformance.rs` holds all three to the contract. [`lease`] is the same code on each of them.

mod bus;
mod cluster_node;
mod error;
mod ext;
mod faulty;
mod in_process;
pub mod lease;
mod mailbox;
mod nats;
mod request;
mod router;
mod subject;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;
mod wrapped;

pub use bus::{Bus, Entry, Presence, Revision, SharedBus};
pub use cluster_node::ClusterNode;
pub use error::BusError;
pub use ext::{BusExt, REQUEST_TIMEOUT, Written};
pub use faulty::{Faults, Faulty};
pub use in_process::InProcess;
pub use lease::{Incarnation, NodeLease};
pub use mailbox::{Heard, Message, Subscription};
pub use nats::{ConnectError, EventLog, LogIncarnation, Logged, Nats, NatsConfig};
pub use request::{Request, Requests};
pub use router::Router;
pub use subject::MAX_BYTES;
pub use watch::{Change, Watch, WatchEvent};
pub use wrapped::{Call, Policy, Wrapped};
