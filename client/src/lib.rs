//! Rust client of the public signaling and WebRTC: synthetic participants for the demo, load and tests.
//!
//! [`Participant`] joins a room and publishes a [`source`]; it is a [`Member`], of which [`SignalingClient`] and [`MediaSession`] are
//! the two halves. [`load`] runs thousands of members that send and count packets.

pub mod load;
mod local_address;
mod media_session;
mod member;
mod participant;
mod peer;
mod sending_session;
mod signaling_client;
pub mod source;

pub use local_address::{local_address, own_addresses};
pub use media_session::{MediaSession, Received, Slot};
pub use member::{Entry, Member};
pub use participant::{JoinError, Participant, ParticipantConfig, Statistics};
pub use peer::{MediaError, Peer};
pub use sending_session::{OfferError, SendingSession, Told};
pub use signaling_client::{Frame as SignalingFrame, SignalingClient, SignalingError};
