//! Durable rows in SQLite (the embedded default) or PostgreSQL.
//!
//! One [`Store`] a process. Each subject has a file with its types and queries; every query runs on both databases, and
//! `tests/` tries each on both. Two rows that must agree are written in one transaction. Locked rows and lost connections
//! are tried again; a database that stays away is [`StoreError::Away`], which callers pass on as "try later".

mod api_keys;
mod applications;
mod callbacks;
mod error;
mod events;
mod migrations;
mod mix_tasks;
mod pictures;
mod pool;
mod recording_files;
mod row;
mod seal;
#[cfg(feature = "testing")]
pub mod testing;
mod usage;

pub use api_keys::{ApiKey, NewApiKey};
pub use applications::{ApplicationRow, Purpose, SealedSecret, Slot};
pub use callbacks::{Callback, CallbackInfo, CallbackState, ClaimLimits, NewCallback, Settled};
pub use error::{OpenError, StoreError};
pub use events::{Effects, JournalEntry, NewEntry, NewEvent, StreamedEvent};
pub use mix_tasks::{MixTaskChange, MixTaskEnd, MixTaskRow};
pub use pictures::{NewPicture, Picture, PictureInfo};
pub use pool::{Engine, Store};
pub use recording_files::{CatalogueRow, FileRow};
pub use seal::{SealError, SealKey};
pub use usage::{PresentMembers, UsageRow};
