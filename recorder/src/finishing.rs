//! Finishes the closed files of a recording: makes, verifies and enters them as ready.

use metrics::counter;
use rotunda_media::mux::MuxError;
use rotunda_proto::recording::{FileFormat, Previews, RecordingFile};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::finisher::{FinishError, Finished, Finisher};
use crate::folder::Folder;
use crate::ledger::{Ledger, Row, State};

/// Why a recording's files are not finished yet.
#[derive(Debug, Error)]
pub enum FinishingError {
    #[error("read or write the ledger")]
    Ledger(#[from] rotunda_store::StoreError),
    #[error(transparent)]
    Finish(#[from] FinishError),
    #[error("a finishing task ended")]
    Task(#[from] tokio::task::JoinError),
    #[error("{0} files are not finished yet")]
    Left(usize),
}

/// Makes every file of the recording whose part is closed. `is_over`: no more segments will come.
///
/// Errors: [`FinishingError`]; it may be called again.
pub async fn finish(config: Config, ledger: Ledger, recording_id: String, is_over: bool) -> Result<(), FinishingError> {
    let rows = ledger.rows(&recording_id).await?;
    let folder = Folder::new(&config.directory, &recording_id);
    if is_over && folder.exists() {
        blocking(&config, &folder, |finisher| {
            finisher.seal()?;
            Ok(())
        })
        .await?;
    }
    let mut left = 0;
    for row in rows
        .iter()
        .filter(|row| matches!(row.state, State::Closed | State::Finishing))
    {
        if let Err(failed) = finish_file(&config, &ledger, &folder, row).await {
            // A format that fails does not delay the others.
            counter!("rotunda_recorder_failed_total").increment(1);
            error!(
                error = &failed as &dyn std::error::Error,
                file = row.file.name,
                "a file could not be made; it is tried again"
            );
            left += 1;
        }
    }
    if left > 0 {
        return Err(FinishingError::Left(left));
    }
    clean_up(&config, &ledger, &folder, &recording_id, is_over).await
}

async fn finish_file(config: &Config, ledger: &Ledger, folder: &Folder, row: &Row) -> Result<(), FinishingError> {
    ledger.set(State::Finishing, &row.file).await?;
    let (part, format) = (row.part, row.file.format);
    let made = match folder.exists() {
        true => blocking(config, folder, move |finisher| finisher.finish(part, format)).await,
        false => Err(FinishError::from(MuxError::Empty).into()),
    };
    match made {
        Ok(made) => {
            let previews = previews(config, folder, part, format, &made.name).await;
            let file = RecordingFile {
                previews,
                ..ready(&row.file, made)
            };
            let next = match config.storage.url.is_empty() {
                true => State::Ready,
                false => State::Uploading,
            };
            ledger.set(next, &file).await?;
            info!(
                file = file.name,
                seconds = file.duration_ms / 1000,
                bytes = file.size_bytes,
                "file finished"
            );
            Ok(())
        }
        // It ended before its first frame: there is nothing to announce.
        Err(FinishingError::Finish(FinishError::Mux(MuxError::Empty))) => Ok(ledger.remove(&row.file.file_id).await?),
        Err(failed) => Err(failed),
    }
}

/// A file without previews is well, too.
async fn previews(config: &Config, folder: &Folder, part: u64, format: FileFormat, name: &str) -> Previews {
    if !config.previews {
        return Previews::default();
    }
    let file = name.to_owned();
    let made = blocking(config, folder, move |finisher| finisher.previews(part, format, &file));
    made.await.unwrap_or_else(|error| {
        counter!("rotunda_recorder_previews_failed_total").increment(1);
        warn!(
            error = &error as &dyn std::error::Error,
            file = name,
            "the previews of a file could not be made"
        );
        Previews::default()
    })
}

fn ready(known: &RecordingFile, made: Finished) -> RecordingFile {
    let name = format!("{}/{}", known.task_id, made.name);
    RecordingFile {
        name,
        size_bytes: made.size_bytes,
        duration_ms: made.duration.as_millis() as u64,
        started_unix_us: made.started.as_micros() as u64,
        ended_unix_us: made.ended.as_micros() as u64,
        resolution: made.resolution,
        gaps: made.gaps,
        layouts: made.layouts,
        ..known.clone()
    }
}

/// Removes segments that no player needs: not before every file made from them is verified.
async fn clean_up(
    config: &Config,
    ledger: &Ledger,
    folder: &Folder,
    recording_id: &str,
    is_over: bool,
) -> Result<(), FinishingError> {
    let rows = ledger.rows(recording_id).await?;
    if rows.is_empty() {
        // A recording with segments and without a row is not empty: its rows were not written. The search on the
        // disk will find it.
        if is_over && folder.exists() && blocking(config, folder, |finisher| Ok(finisher.is_empty())).await? {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || folder.remove())
                .await?
                .map_err(FinishError::from)?;
        }
        return Ok(());
    }
    if rows.iter().any(|row| row.file.format == FileFormat::Hls) {
        return Ok(());
    }
    let open: Vec<u64> = rows
        .iter()
        .filter(|row| !row.state.is_done())
        .map(|row| row.part)
        .collect();
    blocking(config, folder, move |finisher| {
        let newest = finisher.parts().last().map(|(part, _)| *part);
        let is_finished = |part| !open.contains(&part) && (is_over || Some(part) != newest);
        Ok(finisher.remove_segments(is_finished, is_over)?)
    })
    .await
}

/// Disk access blocks; the runtime's threads must not.
pub async fn blocking<T: Send + 'static>(
    config: &Config,
    folder: &Folder,
    work: impl FnOnce(&mut Finisher<'_>) -> Result<T, FinishError> + Send + 'static,
) -> Result<T, FinishingError> {
    let (zone, folder) = (config.name_zone(), folder.clone());
    let done = tokio::task::spawn_blocking(move || work(&mut Finisher::open(&folder, zone)?));
    Ok(done.await??)
}
