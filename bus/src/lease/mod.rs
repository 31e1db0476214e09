//! Leases: a node says that it lives, the others say when it does not any more, and then the keys bound to it vanish.
//!
//! It is one protocol over any [`Bus`](crate::Bus). Each process has a [`NodeLease`], a key `leases.<incarnation>` that it rewrites
//! every fifth of the lease's time. Everybody watches these keys. A node that sees no change of one for seven tenths of the time
//! writes into it, by its revision, that the holder is dead, and deletes what was bound to it; so the death is declared once. A holder
//! that was only cut off finds that its next renewal is refused and begins anew under another incarnation. While the
//! bus is away nobody is declared dead, and afterwards everybody has the whole time again.

mod ledger;
mod node_lease;

use serde::{Deserialize, Serialize};

pub use ledger::LeaseTimes;
pub use node_lease::{LeaseError, Living, NodeLease, Own};
pub use rotunda_proto::incarnation::Incarnation;

/// Prefix of [`lease_key`].
pub const LEASES_PREFIX: &str = "leases.";

/// Key of a node's lease.
pub fn lease_key(lease: &Incarnation) -> String {
    format!("{LEASES_PREFIX}{lease}")
}

/// A lease as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseDocument {
    pub standing: Standing,
    /// Grows with every renewal.
    pub beat: u64,
    /// The node that declared the death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_by: Option<Incarnation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Alive,
    Dead,
}
