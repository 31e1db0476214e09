//! A service's media session at an SFU node: it yields the whole frames of the wanted tracks, with their clocks. The mixer uses it,
//! and so do single-stream recording and relay.

pub mod audio_decoder;
mod back_off;
mod open_session;
mod receiver;
mod sample;
mod session;
mod slots;
mod socket;
pub mod timeline;
mod wants;

pub use receiver::{LineCounts, Polled, Receiver, ReceiverError, first_address};
pub use sample::{CodedVideo, Payload, Sample, SampleSink, Undecodable};
pub use session::Session;
pub use wants::{WantedVideo, Wants};
