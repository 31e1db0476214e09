//! Mix tasks: who is where in the picture, one clock for everything, and a program out of it.

pub mod card;
pub mod compositor;
pub mod config;
pub mod core;
pub mod layout;
pub mod limiter;
pub mod members;
pub mod mixer;
pub mod picture_input;
pub mod receiver;
pub mod service;
mod session;
pub mod slots;
pub mod sound;
mod task;
pub mod timeline;
pub mod video_output;
pub mod voice;
pub mod wants;
mod worker;

pub use config::Config;
pub use service::{Service, StartError};
