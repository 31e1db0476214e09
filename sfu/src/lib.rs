//! WebRTC transport and selective forwarding (RFC 7667 §3.7).
//!
//! [`Service`] starts one thread for each worker. A worker has its own UDP socket and ICE-TCP listener and drives one sans-IO
//! [`worker::Worker`]. There are no locks: a session belongs to one thread. A room is on one worker until it is large; then its
//! workers hand each other what their members publish ([`worker::relay`]).
//!
//! The folders are the districts, and imports go one way: [`wire`] <- [`ingress`] <- [`downlink`] and [`room`] <- [`session`] and
//! [`link`] <- [`worker`] <- [`node`].
//!
//! - [`wire`]: formats of RTP, RTCP, STUN and payloads that `str0m` does not read or write for us.
//! - [`ingress`]: what a publisher sends: tracks, streams, packets and their history, capture times.
//! - [`downlink`]: what a viewer is sent: slots, layers, the estimate of the link, protection, the packet queue.
//! - [`room`]: who speaks in a room, and who is heard.
//! - [`link`]: the encrypted way between workers of two nodes.
//! - [`session`]: one WebRTC session: its transport, its uplink and its downlink.
//! - [`worker`]: the hub that routes between the sessions of one thread.
//! - [`node`]: sockets, threads, the bus: everything that is not sans-IO.

mod config;
mod downlink;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ingress;
mod link;
mod node;
mod room;
mod session;
mod slab;
mod units;
mod wire;
mod worker;

pub use config::Config;
pub use node::service::{Service, StartError};
#[cfg(feature = "simulated")]
pub use node::simulated;
