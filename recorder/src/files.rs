//! Recorded files over HTTP: `/recordings`. Every request needs a key or a signed address.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics::counter;
use rotunda_proto::api_key::{self, ApiKeyError};
use rotunda_proto::applications::{ApplicationList, Scope};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::file_link::FileLinkKey;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::{ListedFile, Preview, PreviewLinks};
use rotunda_store::{CatalogueRow, MediaFilter, Store, StoreError};
use serde_json::json;
use tower::ServiceExt;
use tower_http::cors::CorsLayer;
use tower_http::services::ServeDir;
use tracing::error;

use crate::config::Config;
use crate::expiry::{self, DeleteError};
use crate::ledger::Ledger;
use crate::storage::Storage;

/// An address of the storage is valid for this time.
const IN_STORAGE: Duration = Duration::from_secs(3600);
/// Files of a list, the newest.
const LISTED: u32 = 200;

/// The files, and who may have them.
#[derive(Clone)]
pub struct Files(Arc<Parts>);

struct Parts {
    key: FileLinkKey,
    public_url: String,
    life: Duration,
    folder: ServeDir,
    applications: ApplicationList,
    config: Config,
    ledger: Ledger,
    storage: Option<Storage>,
    store: Store,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Key(ApiKeyError),
    /// The key does not open recordings.
    Scope,
    /// An address whose signature is wrong or expired.
    Link(&'static str, String),
    NotFound,
    Catalogue,
    /// The recording cannot be paused or resumed any more.
    Ended,
    /// The process that has the recording does not answer.
    RecorderAway,
}

impl Files {
    pub fn new(
        config: &Config,
        key: FileLinkKey,
        applications: ApplicationList,
        ledger: Ledger,
        storage: Option<Storage>,
        store: Store,
    ) -> Self {
        Self(Arc::new(Parts {
            key,
            public_url: config.public_url.trim_end_matches('/').to_owned(),
            life: Duration::from_secs(config.link_seconds),
            folder: ServeDir::new(&config.directory).append_index_html_on_directories(false),
            applications,
            config: config.clone(),
            ledger,
            storage,
            store,
        }))
    }

    /// `/recordings`, a list as JSON, and the files below it.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/recordings", get(list))
            .route("/recordings/{*path}", get(file).delete(delete_file))
            .layer(CorsLayer::permissive())
            .with_state(self.clone())
    }

    /// The signed address of a file of the catalogue, valid from now on.
    pub fn url(&self, name: &str, unix_now: Duration) -> String {
        let first = name.split('/').next().unwrap_or_default();
        let signed = self.0.key.sign(first, unix_now + self.0.life);
        format!("{}/recordings/{signed}/{name}", self.0.public_url)
    }

    fn previews(&self, row: &CatalogueRow, now: Duration) -> Option<PreviewLinks> {
        let previews = row.previews();
        let url = |is_there: bool, preview: Preview| is_there.then(|| self.url(&preview.of(&row.name), now));
        previews.is_any().then(|| PreviewLinks {
            poster: url(previews.images, Preview::Poster),
            thumbnails: url(previews.images, Preview::ThumbnailTimes),
            waveform: url(previews.waveform, Preview::Waveform),
        })
    }

    /// An application's newest files, with addresses that are good from now on.
    pub async fn list(&self, app: SdkAppId) -> Result<Vec<ListedFile>, StoreError> {
        let now = Clock.unix();
        let rows = self.0.store.newest_files(app, LISTED).await?;
        let listed = |row: CatalogueRow| ListedFile {
            url: self.url(&row.name, now),
            previews: self.previews(&row, now),
            gaps: row.gaps(),
            layouts: row.layouts(),
            name: row.name,
            state: row.state,
            format: row.format,
            size: row.size_bytes.unsigned_abs(),
            duration_ms: row.duration_ms.unsigned_abs(),
            started_unix_ms: row.started_unix_us.unsigned_abs() / 1000,
        };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Deletes a complete file of an application; answers whether there was one.
    pub async fn delete(&self, app: SdkAppId, file_id: &str) -> Result<bool, DeleteError> {
        let filter = MediaFilter {
            file_ids: vec![file_id.to_owned()],
            ..MediaFilter::default()
        };
        let found = self.0.store.search_media(app, &filter, 0, 1).await?;
        let Some(file) = found.files.first() else {
            return Ok(false);
        };
        let Parts {
            config,
            ledger,
            storage,
            ..
        } = &*self.0;
        expiry::delete(config, ledger, storage.as_ref(), file).await?;
        Ok(true)
    }

    /// Whether an application has a file of this path, or a recording whose folder it is in.
    async fn has(&self, app: SdkAppId, path: &str) -> Result<bool, StoreError> {
        let folder = path.split_once('/').map_or("-", |(folder, _)| folder);
        // Earlier versions entered an HLS recording under the name of its playlist.
        let playlist = format!("{folder}/index.m3u8");
        self.0.store.has_file(app, [path, &playlist], folder).await
    }

    /// The application whose key the request has.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Application, Refused> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let applications = self.0.applications.now();
        let found = api_key::application(applications.by_key(), header).map_err(Refused::Key)?;
        match found.scopes.permit(Scope::Recordings) {
            true => Ok(found.clone()),
            false => Err(Refused::Scope),
        }
    }

    /// The path below the folder of the files, if the request may have it.
    async fn permitted(&self, path: &str, headers: &HeaderMap) -> Result<String, Refused> {
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        if FileLinkKey::is_signed(first) {
            let name = rest.split('/').next().unwrap_or_default();
            let verified = self.0.key.verify(first, name, Clock.unix());
            return match verified {
                Ok(()) => Ok(rest.to_owned()),
                Err(error) => {
                    let code = match error {
                        rotunda_proto::file_link::FileLinkError::Expired => "link_expired",
                        rotunda_proto::file_link::FileLinkError::Signature => "link_invalid",
                    };
                    Err(Refused::Link(code, error.to_string()))
                }
            };
        }
        let application = self.caller(headers)?;
        match self.has(application.sdk_app_id, path).await {
            Ok(true) => Ok(path.to_owned()),
            Ok(false) => Err(Refused::NotFound),
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "a file could not be looked up"
                );
                Err(Refused::Catalogue)
            }
        }
    }
}

async fn list(State(files): State<Files>, headers: HeaderMap) -> Response {
    let application = match files.caller(&headers) {
        Ok(application) => application,
        Err(refused) => return refused.into_response(),
    };
    match files.list(application.sdk_app_id).await {
        Ok(list) => Json(list).into_response(),
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "the recordings could not be listed"
            );
            Refused::Catalogue.into_response()
        }
    }
}

async fn file(State(files): State<Files>, Path(path): Path<String>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let path = match files.permitted(&path, &parts.headers).await {
        Ok(path) => path,
        Err(refused) => return refused.into_response(),
    };
    // Names consist of letters, digits, `_`, `-` and `.`: any other path is not a recorded file.
    let Some(uri) = plain(&path).then(|| format!("/{path}").parse::<Uri>().ok()).flatten() else {
        return Refused::NotFound.into_response();
    };
    parts.uri = uri;
    let given = files
        .0
        .folder
        .clone()
        .oneshot(Request::from_parts(parts, Body::empty()))
        .await;
    match given {
        Ok(response) if response.status() == StatusCode::NOT_FOUND => elsewhere(&files, &path).await,
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

/// A file that is not on the disk is in the storage, if there is one.
async fn elsewhere(files: &Files, path: &str) -> Response {
    let Some(storage) = &files.0.storage else {
        return Refused::NotFound.into_response();
    };
    // What names other files names them relative to its own address, and the storage wants a signature of each.
    if let Some(kind) = kind_of_index(path) {
        return match storage.read(path).await {
            Ok(Some(content)) => ([(header::CONTENT_TYPE, kind)], content).into_response(),
            Ok(None) => Refused::NotFound.into_response(),
            Err(error) => internal(&error, "read an index in the storage"),
        };
    }
    match storage.signed_url(path, IN_STORAGE).await {
        Ok(url) => Redirect::temporary(&url).into_response(),
        Err(error) => internal(&error, "sign an address of the storage"),
    }
}

fn kind_of_index(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')? {
        (_, "m3u8") => Some("application/vnd.apple.mpegurl"),
        (_, "vtt") => Some("text/vtt"),
        _ => None,
    }
}

/// Deletes a complete file of the caller's application, here and in the catalogue.
async fn delete_file(State(files): State<Files>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let application = match files.caller(&headers) {
        Ok(application) => application,
        Err(refused) => return refused.into_response(),
    };
    let found = match files.0.store.file_named(application.sdk_app_id, &name).await {
        Ok(Some(found)) => found,
        Ok(None) => return Refused::NotFound.into_response(),
        Err(error) => return internal(&error, "look up a file to delete"),
    };
    match expiry::delete(&files.0.config, &files.0.ledger, files.0.storage.as_ref(), &found).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => internal(&error, "delete a file"),
    }
}

fn internal(error: &(dyn std::error::Error + 'static), what: &'static str) -> Response {
    error!(error, "{what}");
    Refused::Catalogue.into_response()
}

/// Whether a path consists of plain names and names media: the recorder's internal files are not served.
fn plain(path: &str) -> bool {
    const MEDIA: [&str; 9] = ["aac", "flv", "jpg", "m3u8", "m4s", "mp3", "mp4", "ts", "vtt"];
    let is_media = path.rsplit_once('.').is_some_and(|(_, ending)| MEDIA.contains(&ending))
        || path.ends_with(Preview::WAVEFORM_ENDING);
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    is_media && path.split('/').all(is_name) && FilePath::new(path).is_relative()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Key(error) => (StatusCode::UNAUTHORIZED, "api_key_needed", error.to_string()),
            Self::Link(code, message) => (StatusCode::FORBIDDEN, code, message),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "scope_missing",
                "the key does not have the scope recordings; use another key".to_owned(),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "no_such_file",
                "this file does not exist".to_owned(),
            ),
            Self::Ended => (
                StatusCode::CONFLICT,
                "recording_ended",
                "the recording has ended; its files are being made".to_owned(),
            ),
            Self::RecorderAway => (
                StatusCode::SERVICE_UNAVAILABLE,
                "recorder_away",
                "the recorder that has this recording does not answer; try again in a few seconds".to_owned(),
            ),
            Self::Catalogue => (
                StatusCode::SERVICE_UNAVAILABLE,
                "catalogue_away",
                "the catalogue does not answer; try again in a few seconds".to_owned(),
            ),
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            counter!("rotunda_recorder_file_refusals_total", "reason" => code).increment(1);
        }
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}
