//! The messages between the services of Rotunda, and their types.
//!
//! Ids and units ([`ids`]), the documents of a room ([`room`]) and of a call ([`call`]), the client protocols ([`signaling`], [`call_signaling`]), the messages between
//! services ([`sfu`], [`statistics`], [`custom_message`], [`mix`], [`mix_layout`], [`media_task`], [`push_state`], [`program`], [`recording`]), tickets
//! ([`user_sig`], [`ticket`], [`file_link`]), the gRPC types ([`grpc`]), and what two services decide alike ([`voice_slots`], [`outbound`],
//! [`push_address`], [`payload_types`], [`application_settings`], [`stream_profile`], [`name_time_zone`]). No sockets here; every crate may use it.

pub mod api_key;
pub mod application_settings;
pub mod applications;
pub mod call;
pub mod call_signaling;
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
pub mod location;
pub mod media_task;
pub mod mix;
pub mod mix_cost;
pub mod mix_layout;
pub mod mix_preview;
pub mod mix_task;
pub mod name_time_zone;
pub mod outbound;
pub mod payload_types;
pub mod program;
pub mod push_address;
pub mod push_state;
pub mod recording;
pub mod room;
pub mod room_ticket;
pub mod running_recording;
pub mod selection;
pub mod sfu;
pub mod signaling;
pub mod statistics;
pub mod stream_ingest;
pub mod stream_profile;
pub mod ticket;
pub mod transcoding;
pub mod user_sig;
pub mod voice_slots;
pub mod waiting_room;
