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

/// Files that are deleted in one go.
const AT_ONCE: u32 = 20;
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
        let used = self.store.recorded_bytes(app).await?;
        let mut excess = used.saturating_sub(quota(application));
        self.remove_oldest(Some(app), |size| {
            let goes_on = excess > 0;
            excess = excess.saturating_sub(size);
            goes_on
        })
        .await
    }

    async fn of_disk(&self) -> Result<(), StoreError> {
        let floor = self.config.free_space_floor_mb * MB;
        self.remove_oldest(None, |_| !disk::has(&self.config.directory, floor))
            .await
    }

    /// Deletes files for as long as `wants` says so of the next one, given its size.
    async fn remove_oldest(&self, app: Option<SdkAppId>, mut wants: impl FnMut(u64) -> bool) -> Result<(), StoreError> {
        loop {
            let files = self.store.oldest_files(app, AT_ONCE).await?;
            let mut deleted = 0;
            for file in &files {
                // A file in the storage takes no space on the disk.
                if app.is_none() && file.place != Place::Disk {
                    continue;
                }
                if !wants(file.size_bytes) {
                    return Ok(());
                }
                match delete(self.config, self.ledger, self.storage, file).await {
                    Ok(()) => {
                        deleted += 1;
                        info!(file = file.name, "an old file made room");
                    }
                    Err(error) => {
                        error!(
                            error = &error as &dyn std::error::Error,
                            file = file.name,
                            "an old file could not be deleted; it is tried again"
                        );
                        return Ok(());
                    }
                }
            }
            if deleted == 0 {
                return Ok(());
            }
        }
    }
}

fn quota(application: &Application) -> u64 {
    application.record_quota_mb.saturating_mul(MB)
}
