//! Recordings: segments on the disk, the files that are made of them, their ledger, and the message that a file is ready.
//!
//! While a program runs, its frames go to CMAF segments, synced every second: a crash loses at most the last
//! second. Files in the wanted formats are made from the segments afterwards, by this process or by another one.

mod api;
mod asked;
mod config;
mod disk;
mod expiry;
mod file_ready;
mod files;
mod finisher;
mod finishing;
mod folder;
mod ledger;
mod media_requests;
mod orphans;
mod pace;
mod playlist;
mod previews;
mod rebuild;
mod recording;
mod rows;
mod running;
mod service;
mod space;
mod status;
mod storage;
mod taken;
mod uploading;
mod uploads;
mod watchdog;
mod writer;

pub use config::Config;
pub use rebuild::{Rebuilt, rebuild};
pub use service::{Access, Service, StartError};
pub use storage::StorageConfig;
