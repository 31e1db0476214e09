//! Posters, thumbnails and waveforms: beside the files on the disk or in the storage, until the last file of their part is deleted.

use axum::body::to_bytes;
use rotunda_media::picture::Picture;
use rotunda_proto::recording::{Preview, Previews};

use super::*;
use crate::storage::tests::TestS3;

const ALL: Previews = Previews {
    images: true,
    waveform: true,
};

/// The kind and the content of a signed address.
async fn get(recorder: &Running, url: &str) -> (StatusCode, String, Vec<u8>) {
    let path = url.strip_prefix("http://127.0.0.1:8080").unwrap();
    let request = HttpRequest::get(path).body(axum::body::Body::empty()).unwrap();
    let response = recorder.service.router().oneshot(request).await.unwrap();
    let kind = response.headers().get("content-type");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = response.status();
    (
        status,
        kind,
        to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec(),
    )
}

async fn record(recorder: &mut Running, files: usize) -> Vec<RecordingFile> {
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(12.0, 1.0)).await;
    program.end().await;
    recorder.files(files).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_has_previews_that_players_get_by_its_signature() {
    let mut place = Place::new(|_| {});
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let files = record(&mut recorder, 2).await;
    for file in &files {
        assert_eq!(file.previews, ALL, "{}", file.name);
        let own = |preview: Preview| file.url.replace(&file.name, &preview.of(&file.name));
        let (status, kind, poster) = get(&recorder, &own(Preview::Poster)).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "image/jpeg"));
        let poster = Picture::decode(&poster).unwrap();
        assert_eq!((poster.rect().width, poster.rect().height), (64, 48));
        let (_, kind, times) = get(&recorder, &own(Preview::ThumbnailTimes)).await;
        assert_eq!(kind, "text/vtt");
        let times = String::from_utf8(times).unwrap();
        let cues: Vec<&str> = times.lines().filter(|line| line.contains("#xywh=")).collect();
        assert_eq!(cues.len(), 3, "{times}");
        // The address of the sheet is relative to that of the text.
        let (sheet, place_in_it) = cues[2].split_once('#').unwrap();
        assert_eq!(place_in_it, "xywh=128,0,64,48");
        let folder = own(Preview::ThumbnailTimes);
        let folder = folder.rsplit_once('/').unwrap().0.to_owned();
        let (status, _, sheet) = get(&recorder, &format!("{folder}/{sheet}")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(Picture::decode(&sheet).unwrap().rect().width, 192);
        let (status, _, waveform) = get(&recorder, &own(Preview::Waveform)).await;
        assert_eq!(status, StatusCode::OK);
        let waveform: serde_json::Value = serde_json::from_slice(&waveform).unwrap();
        assert_eq!(waveform["version"], 2);
        let peak = waveform["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value.as_i64().unwrap())
            .max();
        assert!((50..=75).contains(&peak.unwrap()), "a tone of half the range: {peak:?}");
        // The recorder's own files stay its own.
        let manifest = file
            .url
            .replace(&file.name, &format!("{}/recording.json", file.task_id));
        assert_eq!(get(&recorder, &manifest).await.0, StatusCode::NOT_FOUND);
    }
    let listed = json(&recorder, "/recordings").await;
    let links = &listed[0]["previews"];
    for link in ["poster", "thumbnails", "waveform"] {
        let url = links[link].as_str().unwrap();
        assert_eq!(get(&recorder, url).await.0, StatusCode::OK, "{url}");
    }
    recorder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_go_with_the_last_file_of_their_part() {
    let mut place = Place::new(|_| {});
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let files = record(&mut recorder, 2).await;
    let poster = place.config.directory.join(Preview::Poster.of(&files[0].name));
    for (file, is_left) in files.iter().zip([true, false]) {
        let path = format!("/recordings/{}", file.name);
        assert_eq!(request(&recorder, "DELETE", &path).await, StatusCode::NO_CONTENT);
        assert_eq!(poster.exists(), is_left, "after {}", file.name);
    }
    recorder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_are_in_the_storage_with_their_file_and_go_with_it() {
    let s3 = TestS3::start().await;
    let mut place = Place::new(|config| config.storage = s3.config());
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let files = record(&mut recorder, 2).await;
    for file in &files {
        assert_eq!(file.previews, ALL);
        let stored = s3.keys();
        for name in file.previews.names(&file.name) {
            assert!(stored.contains(&format!("from/here/{name}")), "{name}: {stored:?}");
        }
        let own = |name: &str| file.url.replace(&file.name, name);
        let gone = async {
            while place.config.directory.join(&file.task_id).exists() {
                Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), gone)
            .await
            .expect("the local copies go");
        let (status, _, times) = get(&recorder, &own(&Preview::ThumbnailTimes.of(&file.name))).await;
        assert_eq!(status, StatusCode::OK, "what names others is not redirected");
        assert!(times.starts_with(b"WEBVTT"));
        let (status, _, _) = get(&recorder, &own(&Preview::Poster.of(&file.name))).await;
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
    }
    for file in &files {
        let path = format!("/recordings/{}", file.name);
        assert_eq!(request(&recorder, "DELETE", &path).await, StatusCode::NO_CONTENT);
    }
    let left: Vec<String> = s3
        .keys()
        .into_iter()
        .filter(|key| !key.ends_with("recording.json"))
        .collect();
    assert!(left.iter().all(|key| key.ends_with("journal.jsonl")), "{left:?}");
    recorder.stop().await;
}

#[tokio::test]
async fn a_recorder_without_previews_makes_none() {
    let place = Place::new(|config| config.previews = false);
    let mut recorder = place.start().await;
    for file in record(&mut recorder, 2).await {
        assert_eq!(file.previews, Previews::default());
    }
    assert!(
        place
            .files()
            .iter()
            .all(|file| !file.to_string_lossy().contains("waveform"))
    );
    recorder.stop().await;
}
