//! The intervals of the service.

use std::time::Duration;

use object_store::RetryConfig;

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// An announcement that is not accepted is repeated.
    pub announce: Duration,
    /// Leases are renewed, those of other processes are checked, and refused recordings are tried again.
    pub look: Duration,
    /// A process that is silent for this time is gone.
    pub lease: Duration,
    /// The disk is searched for recordings without a row, and files are deleted whose time is over or whose space is needed.
    pub search: Duration,
    /// A younger folder may get its row soon.
    pub orphan_age: Duration,
    /// A file that could not be made is tried again.
    pub finish_again: Duration,
    /// A request to the storage is repeated for this time.
    pub storage: Duration,
    /// A track without a frame for this time is silent.
    pub silent: Duration,
    /// A disk that takes no data for this time is slow.
    pub slow_disk: Duration,
    /// A full disk is looked at again.
    pub full_disk: Duration,
}

impl Pace {
    pub fn storage_retry(self) -> RetryConfig {
        RetryConfig {
            retry_timeout: self.storage,
            ..RetryConfig::default()
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            announce: Duration::from_secs(10),
            look: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            search: Duration::from_secs(60),
            orphan_age: Duration::from_secs(60),
            finish_again: Duration::from_secs(60),
            storage: Duration::from_secs(30),
            silent: Duration::from_secs(10),
            slow_disk: Duration::from_secs(5),
            full_disk: Duration::from_secs(2),
        }
    }
}
