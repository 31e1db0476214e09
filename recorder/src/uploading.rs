//! Moves the finished files of a recording to the storage: uploads, verifies, enters them as ready, and then removes the local copy.

use rotunda_events::{Facts, RecordingStep};
use rotunda_proto::recording::{FileFormat, Place, RecordingFile};
use thiserror::Error;
use tracing::info;

use crate::config::Config;
use crate::finisher::FinishError;
use crate::finishing::{FinishingError, blocking};
use crate::folder::{Folder, JOURNAL, MANIFEST};
use crate::ledger::{Ledger, Row, State};
use crate::service::task_steps::TaskSteps;
use crate::storage::{Storage, StorageError};
use crate::uploads::UploadProgress;

/// Why a recording's files are not in the storage yet.
#[derive(Debug, Error)]
pub enum UploadError {
    #[error("read or write the ledger")]
    Ledger(#[from] rotunda_store::StoreError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("read the recording's folder")]
    Folder(#[from] FinishingError),
}

/// Uploads every file of a recording that is to be uploaded.
///
/// Errors: [`UploadError`]; it may be called again.
pub async fn upload(
    (config, ledger, facts): (Config, Ledger, Facts),
    storage: Storage,
    recording_id: String,
    progress: UploadProgress,
) -> Result<(), UploadError> {
    let folder = Folder::new(&config.directory, &recording_id);
    let rows = ledger.rows(&recording_id).await?;
    let waiting = rows.into_iter().filter(|row| row.state == State::Uploading);
    let waiting: Vec<_> = waiting.collect();
    if let Some(first) = waiting.first() {
        reach(&storage, facts, &first.file).await?;
    }
    progress.begin(waiting.iter().map(|row| row.file.size_bytes).sum());
    for row in waiting {
        let names = names(&config, &folder, &row.file).await?;
        storage.upload(&folder, &recording_id, &names, &progress).await?;
        let stored = RecordingFile {
            place: Place::Storage,
            ..row.file
        };
        ledger.set(State::Ready, &stored).await?;
        metrics::counter!("rotunda_recorder_files_uploaded_total").increment(1);
        info!(file = stored.name, "the file is in the storage");
        // The segments of HLS may be needed for files that are not made yet.
        if stored.format != FileFormat::Hls {
            let name = names.into_iter().next_back().unwrap_or_default();
            blocking(&config, &folder, move |finisher| {
                Ok(finisher.remove(&name, stored.format)?)
            })
            .await?;
        }
    }
    let rows = ledger.rows(&recording_id).await?;
    if folder.exists() && are_moved(&rows) {
        if rows.iter().any(|row| row.state == State::Ready) {
            // With these the catalogue could be rebuilt from the storage.
            let facts = [MANIFEST, JOURNAL].map(str::to_owned);
            storage.upload(&folder, &recording_id, &facts, &progress).await?;
        }
        tokio::task::spawn_blocking(move || folder.remove())
            .await
            .map_err(FinishingError::from)?
            .map_err(|error| FinishingError::from(FinishError::from(error)))?;
    }
    Ok(())
}

/// Whether nothing of a recording is needed on the disk any more.
pub fn are_moved(rows: &[Row]) -> bool {
    let is_moved = |row: &Row| match row.state {
        State::Ready => row.file.place == Place::Storage,
        State::Expired => true,
        State::Recording | State::Closed | State::Finishing | State::Uploading | State::Failed => false,
    };
    !rows.is_empty() && rows.iter().all(is_moved)
}

/// Looks whether the storage answers, and tells the task of the server API.
async fn reach(storage: &Storage, facts: Facts, file: &RecordingFile) -> Result<(), UploadError> {
    let told = file
        .media_task
        .as_ref()
        .map(|task| TaskSteps::new(facts, file.room.clone(), task.clone()));
    let reached = storage.reach(&file.name).await;
    if let Some(told) = told {
        match &reached {
            Ok(()) => told.tell("upload-begun", RecordingStep::UploadBegun),
            Err(_) => told.tell("upload-failed", RecordingStep::UploadFailed),
        }
    }
    Ok(reached?)
}

/// The files that make up a finished file; what names the others comes last.
async fn names(config: &Config, folder: &Folder, file: &RecordingFile) -> Result<Vec<String>, UploadError> {
    let name = file
        .name
        .rsplit_once('/')
        .map_or(file.name.as_str(), |(_, name)| name)
        .to_owned();
    let mut names = Vec::new();
    if file.format == FileFormat::Hls {
        names = blocking(config, folder, |finisher| Ok(finisher.segment_names())).await?;
    }
    names.extend(file.previews.names(&name));
    names.push(name);
    Ok(names)
}
