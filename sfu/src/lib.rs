//! WebRTC transport and selective forwarding (RFC 7667 §3.7).
//!
//! [`Service`] starts one thread a worker; each has its own UDP socket and ICE-TCP listener and drives one sans-IO
//! [`worker::Worker`], which owns the rooms that are sharded to it. No locks: a room belongs to one thread.

mod answer;
mod capture_clock;
mod config;
mod keyframe;
mod net;
mod service;
mod session;
mod slot;
mod speakers;
mod worker;

pub use config::Config;
pub use service::{Service, StartError};
