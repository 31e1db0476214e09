//! Single streams: each wanted publisher's media becomes a program of its own. The recorder and the live streams take it like a
//! mix. No mixer is involved: H.264 is passed through, other codecs become H.264, and Opus becomes AAC.

mod names;
mod plan;
mod publisher;
mod service;
mod stream;
mod worker;

pub use service::{Service, StartError};
