//! Deletes files: those whose time is over, and those that their owner deletes.

use std::time::Duration;

use metrics::counter;
use rotunda_proto::applications::ApplicationSet;
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::{Place, RecordingFile};
use thiserror::Error;
use tracing::{error, info};

use crate::config::Config;
use crate::finisher::FinishError;
use crate::finishing::FinishingError;
use crate::folder::Folder;
use crate::ledger::{Ledger, Row, State};
use crate::storage::{Storage, StorageError};

/// Why a file is not deleted yet.
#[derive(Debug, Error)]
pub enum DeleteError {
    #[error("write the ledger")]
    Ledger(#[from] rotunda_store::StoreError),
    #[error("delete it on the disk")]
    Disk(#[from] FinishingError),
    #[error("delete it in the storage")]
    Storage(#[from] StorageError),
}

const DAY: Duration = Duration::from_secs(86_400);

/// Deletes what is older than each application's `record_retention_days`.
pub async fn expire(config: &Config, ledger: &Ledger, storage: Option<&Storage>, applications: &ApplicationSet) {
    let limited = applications.iter().filter(|app| app.record_retention_days > 0);
    for application in limited {
        let kept = DAY * application.record_retention_days;
        let found = ledger
            .expired(application.sdk_app_id, Clock.unix().saturating_sub(kept))
            .await;
        match found {
            Ok(files) => {
                for file in files {
                    if let Err(error) = delete(config, ledger, storage, &file).await {
                        error!(
                            error = &error as &dyn std::error::Error,
                            file = file.name,
                            "an expired file could not be deleted; it is tried again"
                        );
                    }
                }
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "read the expired files"),
        }
    }
}

/// Deletes a complete file, then says so in the ledger: after a crash in between, it is deleted again. The folder goes with its last
/// file.
pub async fn delete(
    config: &Config,
    ledger: &Ledger,
    storage: Option<&Storage>,
    file: &RecordingFile,
) -> Result<(), DeleteError> {
    let folder = Folder::new(&config.directory, &file.task_id);
    let (name, format) = (file_name(&file.name).to_owned(), file.format);
    if folder.exists() {
        crate::finishing::blocking(config, &folder, move |finisher| Ok(finisher.remove(&name, format)?)).await?;
    }
    if let (Place::Storage, Some(storage)) = (file.place, storage) {
        storage
            .delete(&file.task_id, file_name(&file.name), file.format)
            .await?;
    }
    delete_previews(&folder, ledger, storage, file).await?;
    ledger.set(State::Expired, file).await?;
    counter!("rotunda_recorder_files_deleted_total").increment(1);
    info!(file = file.name, "a file was deleted");
    let rows = ledger.rows(&file.task_id).await?;
    if rows
        .iter()
        .all(|row| matches!(row.state, State::Expired | State::Failed))
    {
        tokio::task::spawn_blocking(move || folder.remove())
            .await
            .map_err(FinishingError::from)?
            .map_err(|error| FinishingError::from(FinishError::from(error)))?;
    }
    Ok(())
}

/// The files of one part share their previews, which go with the last of them.
async fn delete_previews(
    folder: &Folder,
    ledger: &Ledger,
    storage: Option<&Storage>,
    file: &RecordingFile,
) -> Result<(), DeleteError> {
    let names: Vec<String> = file.previews.names(file_name(&file.name)).collect();
    let shares = |row: &Row| {
        let is_other = row.file.file_id != file.file_id && matches!(row.state, State::Uploading | State::Ready);
        is_other
            && row
                .file
                .previews
                .names(file_name(&row.file.name))
                .any(|name| names.contains(&name))
    };
    if names.is_empty() || ledger.rows(&file.task_id).await?.iter().any(shares) {
        return Ok(());
    }
    for name in names {
        if let (Place::Storage, Some(storage)) = (file.place, storage) {
            storage.delete_plain(&file.task_id, &name).await?;
        }
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || folder.remove_file(&name))
            .await
            .map_err(FinishingError::from)?
            .map_err(|error| FinishingError::from(FinishError::from(error)))?;
    }
    Ok(())
}

/// The name without the folder of the recording.
fn file_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, name)| name)
}
