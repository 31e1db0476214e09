//! Durable rows in SQLite (the embedded default) or PostgreSQL.
//!
//! One [`Store`] a process. Each subject has a file with its types and queries; every query runs on both databases, and
//! `tests/` tries each on both. Two rows that must agree are written in one transaction. Locked rows and lost connections
//! are tried again; a database that stays away is [`StoreError::Away`], which callers pass on as "try later".

mod api_keys;
mod applications;
mod callbacks;
mod calls;
mod console;
mod error;
mod events;
mod history;
mod media;
mod migrations;
mod mix_tasks;
mod password;
mod pictures;
mod pool;
mod recording_files;
mod restrictions;
mod row;
mod running_recordings;
mod seal;
mod signed_calls;
#[cfg(feature = "testing")]
pub mod testing;
mod usage;
mod vault;

pub use api_keys::{ApiKey, NewApiKey};
pub use applications::{ApplicationRow, Purpose, SealedSecret, Slot};
pub use callbacks::{Callback, CallbackInfo, CallbackState, ClaimLimits, NewCallback, Settled};
pub use calls::{CallProfile, CallQuery, EndedCall};
pub use error::{OpenError, StoreError};
pub use events::{Effects, JournalEntry, NewEntry, NewEvent, StreamedEvent};
pub use history::{DayScale, RoomLife};
pub use media::{MediaFilter, MediaPage};
pub use mix_tasks::{MixTaskChange, MixTaskEnd, MixTaskRow};
pub use password::{LONGEST_PASSWORD, PasswordError, PasswordHash, SHORTEST_PASSWORD};
pub use pictures::{NewPicture, Picture, PictureInfo};
pub use pool::{Engine, Store};
pub use recording_files::{CatalogueRow, FileRow};
pub use restrictions::{Restriction, RestrictionKind, RestrictionLimit};
pub use running_recordings::OpenFile;
pub use seal::{SealError, SealKey};
pub use signed_calls::Remembered;
pub use usage::{
    MeterChange, MeterStep, POINT_MS, PresentMembers, RunningMeter, UsagePoint, UsageRow, UsageSpan, day_of,
};
pub use vault::{IssuedKey, IssuedSecret, Kept, KeyWish, Vault};
