//! A small S3 service that fails, and the uploads to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::*;

/// The answers of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Two of five requests fail.
    Shaky,
    /// Every request fails.
    Away,
    /// It takes this many more parts of large files.
    Parts(usize),
    /// It answers this many more requests, and none after them.
    Silent(usize),
}

#[derive(Default)]
struct Content {
    objects: BTreeMap<String, Body>,
    uploads: HashMap<String, BTreeMap<u32, Body>>,
    parts_taken: usize,
    requests: u64,
}

/// A bucket `films` at an own port.
#[derive(Clone)]
pub struct TestS3 {
    mood: Arc<Mutex<Mood>>,
    content: Arc<Mutex<Content>>,
    unanswered: Arc<tokio::sync::Notify>,
    pub port: u16,
}

impl TestS3 {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = Self {
            mood: Arc::new(Mutex::new(Mood::Well)),
            content: Arc::default(),
            unanswered: Arc::default(),
            port: listener.local_addr().unwrap().port(),
        };
        let router = Router::new()
            .route("/films", any(list))
            .route("/films/{*key}", any(object))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .layer(axum::middleware::from_fn_with_state(s3.clone(), answer))
            .with_state(s3.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        s3
    }

    pub fn config(&self) -> StorageConfig {
        StorageConfig {
            url: "s3://films/from/here".to_owned(),
            endpoint: format!("http://127.0.0.1:{}", self.port),
            region: String::new(),
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("secret"),
        }
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Until a request has come that is never answered.
    pub async fn unanswered(&self) {
        self.unanswered.notified().await;
    }

    pub fn keys(&self) -> Vec<String> {
        self.content().objects.keys().cloned().collect()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// Whether this request fails, by the number of requests so far.
    fn fails(&self, is_part: bool) -> bool {
        let mut mood = self.mood.lock().unwrap();
        let mut content = self.content();
        content.requests += 1;
        match &mut *mood {
            Mood::Well | Mood::Silent(_) => false,
            Mood::Shaky => matches!(content.requests.wrapping_mul(7) % 5, 0 | 1),
            Mood::Away => true,
            Mood::Parts(0) => is_part,
            Mood::Parts(left) => {
                *left -= usize::from(is_part);
                false
            }
        }
    }
}

/// Before any other handler.
async fn answer(State(s3): State<TestS3>, request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let is_silent = match &mut *s3.mood.lock().unwrap() {
        Mood::Silent(0) => true,
        Mood::Silent(left) => {
            *left -= 1;
            false
        }
        _ => false,
    };
    if is_silent {
        s3.unanswered.notify_one();
        std::future::pending::<()>().await;
    }
    next.run(request).await
}

type Parameters = Query<HashMap<String, String>>;

async fn list(State(s3): State<TestS3>, Query(query): Parameters) -> Response {
    if s3.fails(false) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let entry = |(key, data): (&String, &Body)| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>\
             <Size>{}</Size></Contents>",
            data.len()
        )
    };
    let content = s3.content();
    let found = content.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
    let entries: String = found.map(entry).collect();
    xml(format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    ))
}

async fn object(
    State(s3): State<TestS3>,
    UrlPath(key): UrlPath<String>,
    method: Method,
    Query(query): Parameters,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if s3.fails(query.contains_key("partNumber")) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let is_signed = headers.contains_key(header::AUTHORIZATION) || query.contains_key("X-Amz-Signature");
    assert!(is_signed, "{method} {key}");
    let mut content = s3.content();
    let upload = query.get("uploadId").cloned();
    match (method.as_str(), upload) {
        ("POST", None) => {
            let id = format!("upload-{}", content.uploads.len());
            content.uploads.insert(id.clone(), BTreeMap::new());
            xml(format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ))
        }
        ("PUT", Some(id)) => {
            content.parts_taken += 1;
            let number = query["partNumber"].parse().unwrap();
            match content.uploads.get_mut(&id) {
                Some(parts) => {
                    parts.insert(number, body);
                    ([(header::ETAG, format!("\"{number}\""))], "").into_response()
                }
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
        ("POST", Some(id)) => {
            let parts = content.uploads.remove(&id).unwrap();
            let whole: Vec<u8> = parts.into_values().flatten().collect();
            content.objects.insert(key, whole.into());
            xml("<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>".to_owned())
        }
        ("PUT", None) => {
            content.objects.insert(key, body);
            ([(header::ETAG, "\"e\"")], "").into_response()
        }
        ("DELETE", _) => {
            content.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => match content.objects.get(&key) {
            Some(data) => {
                let facts = [
                    (header::ETAG, "\"e\"".to_owned()),
                    (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
                ];
                (facts, data.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

fn xml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], text).into_response()
}

/// Gives up soon, so that failures reach the code under test.
fn impatient() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

fn storage(s3: &TestS3) -> Storage {
    let storage = Storage::open(&s3.config(), impatient()).unwrap().unwrap();
    storage.with_parts_of(1000)
}

fn folder_with(name: &str, data: &[u8]) -> (tempfile::TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("7")).unwrap();
    std::fs::write(root.path().join("7").join(name), data).unwrap();
    let folder = Folder::new(root.path(), "7");
    (root, folder)
}

#[tokio::test]
async fn a_large_file_whose_upload_was_interrupted_goes_on_where_it_was() {
    let s3 = TestS3::start().await;
    let data: Vec<u8> = (0..4500_u32).map(|number| number as u8).collect();
    let (root, folder) = folder_with("film.mp4", &data);
    let names = ["film.mp4".to_owned()];
    s3.set(Mood::Parts(2));
    assert!(
        storage(&s3)
            .upload(&folder, "7", &names, &UploadProgress::default())
            .await
            .is_err()
    );
    assert!(s3.keys().is_empty());
    // Another process.
    s3.set(Mood::Well);
    storage(&s3)
        .upload(&folder, "7", &names, &UploadProgress::default())
        .await
        .unwrap();
    assert_eq!(s3.keys(), ["from/here/7/film.mp4"]);
    assert_eq!(s3.content().objects["from/here/7/film.mp4"], data);
    assert_eq!(s3.content().parts_taken, 5, "no part is sent twice");
    let left: Vec<_> = std::fs::read_dir(root.path().join("7")).unwrap().collect();
    assert_eq!(left.len(), 1, "only the file itself");
    // The parts that are there are not sent again.
    storage(&s3)
        .upload(&folder, "7", &names, &UploadProgress::default())
        .await
        .unwrap();
    assert_eq!(s3.content().parts_taken, 5);
}

#[tokio::test]
async fn an_upload_that_the_service_has_forgotten_begins_anew() {
    let s3 = TestS3::start().await;
    let (_root, folder) = folder_with("film.mp4", &[7; 4500]);
    let names = ["film.mp4".to_owned()];
    s3.set(Mood::Parts(2));
    assert!(
        storage(&s3)
            .upload(&folder, "7", &names, &UploadProgress::default())
            .await
            .is_err()
    );
    s3.set(Mood::Well);
    s3.content().uploads.clear();
    assert!(
        storage(&s3)
            .upload(&folder, "7", &names, &UploadProgress::default())
            .await
            .is_err()
    );
    storage(&s3)
        .upload(&folder, "7", &names, &UploadProgress::default())
        .await
        .unwrap();
    assert_eq!(s3.content().objects["from/here/7/film.mp4"], [7; 4500].as_slice());
}

#[tokio::test]
async fn hls_is_deleted_with_its_segments_and_other_files_stay() {
    let s3 = TestS3::start().await;
    let storage = storage(&s3);
    for name in ["init-1.mp4", "0.m4s", "1.m4s", "film.m3u8", "film.mp4"] {
        let (_root, folder) = folder_with(name, b"data");
        storage
            .upload(&folder, "7", &[name.to_owned()], &UploadProgress::default())
            .await
            .unwrap();
    }
    storage.delete("7", "film.m3u8", FileFormat::Hls).await.unwrap();
    assert_eq!(s3.keys(), ["from/here/7/film.mp4"]);
    storage.delete("7", "film.mp4", FileFormat::Mp4).await.unwrap();
    storage.delete("7", "film.mp4", FileFormat::Mp4).await.unwrap();
    assert!(s3.keys().is_empty());
}

#[test]
fn settings_that_cannot_work_are_named() {
    let config = StorageConfig {
        url: "https://bucket".to_owned(),
        endpoint: "minio".to_owned(),
        ..StorageConfig::default()
    };
    let keys: Vec<String> = config.validate().into_iter().map(|mistake| mistake.key).collect();
    let expected = ["url", "endpoint", "access_key_id", "secret_access_key"];
    assert_eq!(keys, expected.map(|key| format!("recorder.storage.{key}")));
    assert!(StorageConfig::default().validate().is_empty());
}
