//! Recordings: fast-start MP4 and HLS files of programs, their catalogue, and the news that a file is ready.
//!
//! While a program runs its frames go to a fragmented file, synced with every fragment: a crash loses at most the last one.

mod config;
mod hls_file;
mod mp4_file;
mod name;
mod recording;
mod service;

pub use config::Config;
pub use name::NameTimeZone;
pub use service::{Service, StartError};
