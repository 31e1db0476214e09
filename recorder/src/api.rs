//! Recordings that run, over HTTP: `GET /recordings/running`, `POST /recordings/<id>/pause` and `/resume`. Beside the files.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rotunda_bus::SharedBus;
use rotunda_proto::ids::SdkAppId;
use rotunda_store::{OpenFile, Store, StoreError};
use tower_http::cors::CorsLayer;
use tracing::{error, warn};

use crate::files::{Files, Refused};
use crate::ledger::State as FileState;
use crate::status::{Answer, Query, RunningRecording, ask, state_of_files};

/// See the [module](self).
#[derive(Clone)]
pub struct RecordingsApi {
    files: Files,
    bus: SharedBus,
    store: Store,
}

impl RecordingsApi {
    pub fn new(files: Files, bus: SharedBus, store: Store) -> Self {
        Self { files, bus, store }
    }

    /// These and the routes of the files.
    pub fn router(&self) -> Router {
        let own = Router::new()
            .route("/recordings/running", get(running))
            .route("/recordings/{*path}", post(order))
            .layer(CorsLayer::permissive())
            .with_state(self.clone());
        own.merge(self.files.router())
    }

    /// The application's recordings that are not finished, oldest first, on any node.
    async fn running(&self, app: SdkAppId) -> Result<Vec<RunningRecording>, StoreError> {
        let mut recordings: BTreeMap<String, Vec<OpenFile>> = BTreeMap::new();
        for open in self.store.open_files(app).await? {
            recordings.entry(open.file.file.task_id.clone()).or_default().push(open);
        }
        let mut by_owner: BTreeMap<String, Vec<RunningRecording>> = BTreeMap::new();
        for (id, files) in recordings {
            let Some(first) = files.first() else { continue };
            let owner = first.owner.clone();
            // Files that are ready are not among the open ones.
            let all = self.store.files_of(&id).await?;
            let states = all.iter().map(|file| FileState::parse(&file.state));
            let recording = RunningRecording {
                recording_id: id,
                stream_id: first.file.file.stream_id.clone(),
                user_id: first.file.file.user.clone(),
                state: None,
                started_unix_ms: first.file.file.started_unix_us / 1000,
                gaps: Vec::new(),
                files: all.len() as u32,
                files_made: states.clone().filter(|state| state.is_done()).count() as u32,
                upload: None,
            };
            let is_over = files
                .iter()
                .all(|open| open.file.state != FileState::Recording.as_str());
            let state = is_over.then(|| state_of_files(states));
            let recording = RunningRecording { state, ..recording };
            by_owner.entry(owner).or_default().push(recording);
        }
        let mut all = Vec::new();
        for (owner, recordings) in by_owner {
            all.extend(self.with_states(&owner, recordings).await);
        }
        all.sort_by_key(|recording| recording.started_unix_ms);
        Ok(all)
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

    async fn order(&self, app: SdkAppId, recording: &str, query: Query) -> Result<(), Refused> {
        let owner = match self.store.recording_owner(app, recording).await {
            Ok(owner) => owner.ok_or(Refused::NotFound)?,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "look up a recording");
                return Err(Refused::Catalogue);
            }
        };
        match ask(&self.bus, &owner, &query).await {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::NotRunning | Answer::States(_)) => Err(Refused::Ended),
            Err(_) => Err(Refused::RecorderAway),
        }
    }
}

async fn running(State(api): State<RecordingsApi>, headers: HeaderMap) -> Response {
    let application = match api.files.caller(&headers) {
        Ok(application) => application,
        Err(refused) => return refused.into_response(),
    };
    match api.running(application.sdk_app_id).await {
        Ok(recordings) => Json(recordings).into_response(),
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "the running recordings could not be listed"
            );
            Refused::Catalogue.into_response()
        }
    }
}

async fn order(State(api): State<RecordingsApi>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let application = match api.files.caller(&headers) {
        Ok(application) => application,
        Err(refused) => return refused.into_response(),
    };
    let Some((recording, order)) = path.split_once('/') else {
        return Refused::NotFound.into_response();
    };
    let id = recording.to_owned();
    let query = match order {
        "pause" => Query::Pause { recording: id },
        "resume" => Query::Resume { recording: id },
        _ => return Refused::NotFound.into_response(),
    };
    match api.order(application.sdk_app_id, recording, query).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => refused.into_response(),
    }
}
