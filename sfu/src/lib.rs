//! WebRTC transport and selective forwarding (RFC 7667 §3.7).
//!
//! [`Service`] starts one thread a worker; each has its own UDP socket and ICE-TCP listener and drives one sans-IO
//! [`worker::Worker`], which owns the rooms that are sharded to it. No locks: a room belongs to one thread.

mod advertise;
mod allocator;
mod answer;
mod capture_clock;
mod config;
mod control;
mod custom_messages;
mod demand;
mod dtls_keys;
mod egress;
mod estimate;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod inbox;
mod load;
mod loudest;
mod net;
mod packet;
mod protection;
mod quality;
mod service;
mod session;
mod shell;
mod slot;
mod speakers;
mod srtp;
mod track;
mod wire;
mod worker;

pub use config::Config;
pub use service::{Service, StartError};
