//! The state of every file of every recording, in SQL, from its first segment on. The process that holds a file's
//! lease works on it; when that process is gone, another one continues.

use std::time::Duration;

use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::RecordingFile;
use rotunda_store::{FileRow, Store, StoreError};

/// Files deleted in one go.
const EXPIRED_AT_ONCE: u32 = 100;

/// The state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Segments are being written.
    Recording,
    /// No more segments will come; the file is to be made.
    Closed,
    /// The file is being made.
    Finishing,
    /// Complete and verified on the disk, and on its way to the storage.
    Uploading,
    /// Complete and verified where it stays.
    Ready,
    /// There is no file.
    Failed,
    /// It was deleted: its time was over, or its owner deleted it.
    Expired,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Closed => "closed",
            Self::Finishing => "finishing",
            Self::Uploading => "uploading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Self {
        let all = [
            Self::Recording,
            Self::Closed,
            Self::Finishing,
            Self::Uploading,
            Self::Ready,
            Self::Expired,
        ];
        all.into_iter()
            .find(|state| state.as_str() == text)
            .unwrap_or(Self::Failed)
    }

    /// The file is made, so its segments are not needed for it.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Uploading | Self::Ready | Self::Failed | Self::Expired)
    }
}

/// A file of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub part: u64,
    pub state: State,
    /// The known facts about the file.
    pub file: RecordingFile,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    /// This process, unlike every other one.
    owner: String,
}

impl Ledger {
    pub fn new(store: Store, owner: String) -> Self {
        Self { store, owner }
    }

    /// The id of this process in the rows.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// `lease`: until when this process may be silent, since 1970.
    pub async fn add(&self, rows: &[Row], lease: Duration) -> Result<(), StoreError> {
        let rows: Vec<FileRow> = rows
            .iter()
            .map(|row| FileRow {
                part: row.part,
                state: row.state.as_str().to_owned(),
                file: row.file.clone(),
            })
            .collect();
        self.store.add_files(&rows, &self.owner, lease).await
    }

    /// Every file of a recording.
    pub async fn rows(&self, recording_id: &str) -> Result<Vec<Row>, StoreError> {
        let rows = self.store.files_of(recording_id).await?;
        let row = |row: FileRow| Row {
            part: row.part,
            state: State::parse(&row.state),
            file: row.file,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// No more segments come for a part, or for all parts and the HLS of all of it.
    pub async fn close(&self, recording_id: &str, part: Option<u64>) -> Result<(), StoreError> {
        self.store.close_files(recording_id, part).await
    }

    /// Writes a file's state with what is known of it.
    pub async fn set(&self, state: State, file: &RecordingFile) -> Result<(), StoreError> {
        self.store.set_file(state.as_str(), file).await
    }

    /// Forgets a file that has nothing in it.
    pub async fn remove(&self, file_id: &str) -> Result<(), StoreError> {
        self.store.remove_file(file_id).await
    }

    /// The recordings of this process with files that are to be uploaded.
    pub async fn to_upload(&self) -> Result<Vec<String>, StoreError> {
        self.store
            .recordings_in_state(&self.owner, State::Uploading.as_str())
            .await
    }

    /// Announced files of an application that ended before `ended`, oldest first.
    pub async fn expired(&self, app: SdkAppId, ended: Duration) -> Result<Vec<RecordingFile>, StoreError> {
        self.store.files_ended_before(app, ended, EXPIRED_AT_ONCE).await
    }

    /// This process still works on its files.
    pub async fn renew(&self, lease: Duration) -> Result<(), StoreError> {
        self.store.renew_files(&self.owner, lease).await
    }

    /// Takes over the recordings whose owner is silent, and answers them with those of this process that are not finished.
    pub async fn take_over(&self, now: Duration, lease: Duration) -> Result<Vec<String>, StoreError> {
        self.store.take_over_files(&self.owner, now, lease).await
    }
}
