//! The messages between the services of Rotunda, and their types.
//!
//! Ids and units ([`ids`]), the documents of a room ([`room`]), the client protocol ([`signaling`]), the messages between
//! services ([`sfu`], [`statistics`], [`custom_message`], [`mix`], [`program`], [`recording`]), tickets
//! ([`user_sig`], [`ticket`], [`file_link`]), the gRPC types ([`grpc`]), and what two services decide alike ([`voice_slots`], [`outbound`],
//! [`push_address`]). No sockets here; every crate may use it.

pub mod api_key;
pub mod applications;
pub mod clock;
pub mod config;
pub mod custom_message;
pub mod file_link;
pub mod framing;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod grpc;
pub mod ids;
pub mod incarnation;
pub mod mix;
pub mod mix_cost;
pub mod mix_preview;
pub mod mix_task;
pub mod outbound;
pub mod program;
pub mod push_address;
pub mod recording;
pub mod room;
pub mod room_ticket;
pub mod sfu;
pub mod signaling;
pub mod statistics;
pub mod ticket;
pub mod transcoding;
pub mod user_sig;
pub mod voice_slots;
