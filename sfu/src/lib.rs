//! WebRTC transport and selective forwarding (RFC 7667 §3.7).
//!
//! [`Service`] starts one thread a worker; each has its own UDP socket and ICE-TCP listener and drives one sans-IO
//! [`worker::Worker`]. No locks: a session belongs to one thread. A room is on one worker until it is large; then its workers hand
//! each other what their members publish ([`worker::spread`]).

mod advertise;
mod allocator;
mod answer;
mod capture_clock;
mod config;
mod constrained_high;
mod control;
mod copies;
mod custom_messages;
mod demand;
mod dtls_keys;
mod egress;
mod estimate;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod inbox;
mod layers;
mod load;
mod loudest;
mod net;
mod omissions;
mod packet;
mod placement;
mod protection;
mod quality;
mod resends;
mod selector;
mod sent_log;
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
