//! Rust client of the public signaling and WebRTC: synthetic participants for the demo, load and tests.
//!
//! [`Participant`] joins a room and publishes a [`source`]; [`SignalingClient`] and [`MediaSession`] are its two
//! halves. [`load`] runs thousands of members that send and count packets.

pub mod load;
mod local_address;
mod media_session;
mod participant;
mod peer;
mod signaling_client;
pub mod source;

pub use media_session::{MediaSession, Received, Slot};
pub use participant::{JoinError, Participant, ParticipantConfig, Statistics};
pub use peer::MediaError;
pub use signaling_client::{Frame as SignalingFrame, SignalingClient, SignalingError};
