//! A node of the SFU: its threads and sockets, its place on the bus, and which worker serves which session.

pub mod advertise;
mod control;
mod driver;
mod evacuation;
mod load;
mod net;
mod peers;
pub mod placement;
pub mod service;
mod set_up;
mod shell;
#[cfg(feature = "simulated")]
pub mod simulated;
pub mod tree;
pub mod worker_message;
