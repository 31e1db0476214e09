//! Lists an application's recordings that are not finished, on any node: from the catalogue, and from the processes that have them.

use std::collections::BTreeMap;

use rotunda_bus::SharedBus;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::running_recording::RunningRecording;
use rotunda_store::{OpenFile, Store, StoreError};
use tracing::warn;

use crate::ledger::State as FileState;
use crate::status::{Answer, Query, ask, state_of_files};

/// See the [module](self). Cheap to clone.
#[derive(Clone)]
pub struct RunningRecordings {
    bus: SharedBus,
    store: Store,
}

/// Which of them, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub offset: usize,
    pub limit: usize,
}

impl Page {
    pub const ALL: Self = Self {
        offset: 0,
        limit: usize::MAX,
    };
}

impl RunningRecordings {
    pub fn new(bus: SharedBus, store: Store) -> Self {
        Self { bus, store }
    }

    /// The page, and how many recordings there are.
    pub async fn list(&self, app: SdkAppId, page: Page) -> Result<(Vec<RunningRecording>, u64), StoreError> {
        let mut recordings: BTreeMap<String, Vec<OpenFile>> = BTreeMap::new();
        for open in self.store.open_files(app).await? {
            recordings.entry(open.file.file.task_id.clone()).or_default().push(open);
        }
        let mut recordings: Vec<(String, Vec<OpenFile>)> = recordings.into_iter().collect();
        recordings.sort_by_key(|(_, files)| files.first().map(|first| first.file.file.started_unix_us));
        let total = recordings.len() as u64;
        let mut by_owner: BTreeMap<String, Vec<RunningRecording>> = BTreeMap::new();
        for (id, files) in recordings.into_iter().skip(page.offset).take(page.limit) {
            let Some(first) = files.first() else { continue };
            let owner = first.owner.clone();
            // Files that are ready are not among the open ones.
            let all = self.store.files_of(&id).await?;
            let states = all.iter().map(|file| FileState::parse(&file.state));
            let is_over = files
                .iter()
                .all(|open| open.file.state != FileState::Recording.as_str());
            let made_bytes: u64 = all.iter().map(|file| file.file.size_bytes).sum();
            let recording = RunningRecording {
                recording_id: id,
                stream_id: first.file.file.stream_id.clone(),
                room: first.file.file.room.room.to_string(),
                user_id: first.file.file.user.clone(),
                state: is_over.then(|| state_of_files(states.clone())),
                started_unix_ms: first.file.file.started_unix_us / 1000,
                size_bytes: (made_bytes > 0).then_some(made_bytes),
                gaps: Vec::new(),
                files: all.len() as u32,
                files_made: states.filter(|state| state.is_done()).count() as u32,
                upload: None,
            };
            by_owner.entry(owner).or_default().push(recording);
        }
        let mut listed = Vec::new();
        for (owner, recordings) in by_owner {
            listed.extend(self.with_states(&owner, recordings).await);
        }
        listed.sort_by_key(|recording| recording.started_unix_ms);
        Ok((listed, total))
    }

    /// Adds what the process that works on them knows.
    async fn with_states(&self, owner: &str, mut recordings: Vec<RunningRecording>) -> Vec<RunningRecording> {
        let query = Query::States {
            recordings: recordings
                .iter()
                .map(|recording| recording.recording_id.clone())
                .collect(),
        };
        match ask(&self.bus, owner, &query).await {
            Ok(Answer::States(states)) => {
                for (recording, now) in recordings.iter_mut().zip(states) {
                    if let Some(now) = now {
                        recording.state = Some(now.state);
                        recording.gaps = now.gaps;
                        recording.size_bytes = now.written_bytes.or(recording.size_bytes);
                        recording.upload = now.upload;
                    }
                }
            }
            Ok(Answer::Done | Answer::NotRunning) => {}
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                owner, "a recorder does not answer; the state of its recordings is not known"
            ),
        }
        recordings
    }
}
