//! The space that recordings take: whether a new one may begin, and the removal of old files.

use rotunda_proto::applications::ApplicationSet;
use rotunda_proto::config::{Application, WhenFull};
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::{Place, RecordingRefusal};
use rotunda_store::{Store, StoreError};
use tracing::{error, info};

use crate::config::Config;
use crate::disk;
use crate::expiry::delete;
use crate::ledger::Ledger;
use crate::storage::Storage;

/// The oldest files among which one is found that is on the disk.
const LOOKED_AT: u32 = 200;
const MB: u64 = 1 << 20;

/// Why no recording of the application may begin now; None: it may.
pub async fn refusal(config: &Config, store: &Store, application: Option<&Application>) -> Option<RecordingRefusal> {
    if !disk::has(&config.directory, config.free_space_floor_mb * MB) {
        return Some(RecordingRefusal::Disk);
    }
    let limited = |application: &&Application| {
        application.record_quota_mb > 0 && application.record_quota_full == WhenFull::Refuse
    };
    let application = application.filter(limited)?;
    match store.recorded_bytes(application.sdk_app_id).await {
        Ok(bytes) => (bytes >= quota(application)).then_some(RecordingRefusal::Quota),
        Err(error) => {
            // A recording is worth more than a quota.
            error!(
                error = &error as &dyn std::error::Error,
                "the quota could not be checked"
            );
            None
        }
    }
}

/// Deletes the oldest announced files where the settings say so: of applications over their quota, and of a disk below its floor.
pub async fn make_room(
    config: &Config,
    store: &Store,
    ledger: &Ledger,
    storage: Option<&Storage>,
    applications: &ApplicationSet,
) {
    let room = Room {
        config,
        store,
        ledger,
        storage,
    };
    let limited = |application: &&Application| {
        application.record_quota_mb > 0 && application.record_quota_full == WhenFull::RemoveOldest
    };
    for application in applications.iter().filter(limited) {
        if let Err(error) = room.of_application(application).await {
            error!(error = &error as &dyn std::error::Error, app = %application.sdk_app_id, "the quota could not be enforced");
        }
    }
    if config.free_space_full == WhenFull::RemoveOldest
        && let Err(error) = room.of_disk().await
    {
        error!(
            error = &error as &dyn std::error::Error,
            "no space could be made on the disk"
        );
    }
}

struct Room<'a> {
    config: &'a Config,
    store: &'a Store,
    ledger: &'a Ledger,
    storage: Option<&'a Storage>,
}

impl Room<'_> {
    async fn of_application(&self, application: &Application) -> Result<(), StoreError> {
        let app = application.sdk_app_id;
        while self.store.recorded_bytes(app).await? > quota(application) && self.remove_oldest(Some(app)).await? {}
        Ok(())
    }

    async fn of_disk(&self) -> Result<(), StoreError> {
        let floor = self.config.free_space_floor_mb * MB;
        while !disk::has(&self.config.directory, floor) && self.remove_oldest(None).await? {}
        Ok(())
    }

    /// Deletes the oldest announced file: of an application, or on the disk. Answers whether it did.
    async fn remove_oldest(&self, app: Option<SdkAppId>) -> Result<bool, StoreError> {
        let files = self.store.oldest_files(app, LOOKED_AT).await?;
        // A file in the storage takes no space on the disk.
        let file = files.iter().find(|file| app.is_some() || file.place == Place::Disk);
        let Some(file) = file else { return Ok(false) };
        match delete(self.config, self.ledger, self.storage, file).await {
            Ok(()) => {
                info!(file = file.name, "an old file made room");
                Ok(true)
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    file = file.name,
                    "an old file could not be deleted; it is tried again"
                );
                Ok(false)
            }
        }
    }
}

fn quota(application: &Application) -> u64 {
    application.record_quota_mb.saturating_mul(MB)
}
