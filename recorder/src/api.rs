//! Recordings that run, over HTTP: `GET /recordings/running`, `POST /recordings/<id>/pause` and `/resume`. Beside the files.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rotunda_bus::SharedBus;
use rotunda_proto::ids::SdkAppId;
use rotunda_store::Store;
use tower_http::cors::CorsLayer;
use tracing::error;

use crate::files::{Files, Refused};
use crate::running::{Page, RunningRecordings};
use crate::status::{Answer, Query, ask};

/// See the [module](self).
#[derive(Clone)]
pub struct RecordingsApi {
    files: Files,
    running: RunningRecordings,
    bus: SharedBus,
    store: Store,
}

impl RecordingsApi {
    pub fn new(files: Files, running: RunningRecordings, bus: SharedBus, store: Store) -> Self {
        Self {
            files,
            running,
            bus,
            store,
        }
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
    match api.running.list(application.sdk_app_id, Page::ALL).await {
        Ok((recordings, _)) => Json(recordings).into_response(),
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
