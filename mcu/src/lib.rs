//! Mix tasks: lay the members of a room out, mix their video and audio on one clock, and encode a program.

pub mod audio_input;
pub mod audio_output;
pub mod card;
mod claims;
pub mod compositor;
pub mod config;
pub mod core;
pub mod layout;
pub mod limiter;
pub mod members;
pub mod mixer;
mod room_mix;
pub mod service;
mod task;
pub mod video_input;
pub mod video_output;
pub mod wants;
mod worker;

pub use config::Config;
pub use rotunda_receiver::timeline;
pub use service::{Service, StartError};
