//! Rooms over WebSocket, authentication, seats, the public API and callbacks.
//!
//! A login is one task ([`member`]) that outlives its WebSocket by the resume time. Room state is documents on the bus
//! ([`rotunda_proto::room`]); one task a room and node ([`room`]) writes and watches them, and every member's task
//! assigns the publishers that it wants to its own slots.

mod api;
mod applications;
mod bad_request;
mod callbacks;
mod calls;
mod carried;
mod client_mix;
mod client_push;
mod config;
mod connection;
pub mod console;
mod dead_nodes;
mod demo;
mod drain;
mod events;
#[cfg(test)]
mod failing_bus;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod logins;
mod media_nodes;
mod member;
mod member_commands;
mod muted;
mod open_ids;
mod permissions;
mod quality_log;
mod refused_lines;
mod registry;
mod removals;
mod restrictions;
mod room;
mod room_documents;
mod room_messages;
mod roster;
mod seats;
mod service;
mod session_events;
mod shared;
#[cfg(feature = "simulated")]
pub mod simulated;
mod slots;
mod token_hook;
mod turn;
mod usage;
mod view;
mod waiting_room;
mod whip;

pub use calls::Calls;
pub use config::{Config, Process};
pub use service::{Service, StartError};
pub use waiting_room::PassKey;
