//! Mix tasks: lay the members of a room out, mix their video and audio on one clock, and encode a program.

pub mod audio_input;
pub mod audio_output;
pub mod card;
mod claims;
pub mod compositor;
pub mod config;
pub mod core;
mod corners;
mod drift;
pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod layout;
pub mod limiter;
mod loudest;
pub mod members;
pub mod mixer;
mod pictures;
pub mod play_out;
pub mod preview;
mod reconcile;
mod sei;
pub mod service;
mod task;
mod task_owner;
#[cfg(test)]
mod test_ids;
pub mod video_input;
pub mod video_output;
pub mod wants;
pub mod worker;

pub use config::{Config, EngineKind};
pub use engine::launcher::{EngineCommand, Launcher};
pub use rotunda_receiver::timeline;
pub use service::{Resources, Service, StartError};
