//! A recording knows what is missing in it, and is paused and resumed.

use std::os::unix::fs::OpenOptionsExt;

use rotunda_media::program::{Absence, AbsenceReason, Track};
use rotunda_proto::recording::{GapReason, GapTrack};

use super::*;
use crate::folder::Folder;

/// O_NONBLOCK of Linux.
const NOT_BLOCKING: i32 = 0o4000;

fn formats(place: &mut Config, formats: &str) {
    place.formats = serde_json::from_str(formats).unwrap();
}

#[tokio::test]
async fn a_camera_that_was_off_is_a_gap_of_the_video_in_the_files_and_their_list() {
    let mut place = Place::new(|config| formats(config, r#"["mp4", "hls", "aac"]"#));
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(4.0, 1.0)).await;
    program.writer.tell_absence(Absence {
        track: Track::Video,
        from: Duration::from_secs(1),
        to: Duration::from_secs(3),
        reason: AbsenceReason::Muted,
    });
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    for file in recorder.files(3).await {
        check(&place, &file, 6.0);
        if file.format == FileFormat::Aac {
            assert!(file.gaps.is_empty(), "a file without video misses none");
            continue;
        }
        let [gap] = &file.gaps[..] else {
            panic!("{:?}", file.gaps)
        };
        assert_eq!(
            (gap.reason, gap.track),
            (GapReason::PublisherMuted, Some(GapTrack::Video))
        );
        assert_eq!(gap.to_unix_ms - gap.from_unix_ms, 2000);
        let from_start = gap.from_unix_ms - file.started_unix_us / 1000;
        assert!(from_start.abs_diff(1000) < 2, "{from_start}");
    }
    let listed = json(&recorder, "/recordings").await;
    let gaps = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["gaps"][0]["reason"] == "publisher_muted");
    assert_eq!(gaps.count(), 2, "{listed}");
    recorder.stop().await;
}

#[tokio::test]
async fn a_mix_that_stopped_for_a_moment_is_one_file_that_names_the_gap() {
    let place = Place::new(|config| formats(config, r#"["mp4"]"#));
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let frames = TestProgram::new().run(6.0, 1.0);
    let is_there = |frame: &Arc<Frame>| !(2.0..3.6).contains(&frame.pts.duration().as_secs_f64());
    program.play(frames.into_iter().filter(is_there).collect()).await;
    program.end().await;
    let file = recorder.file().await;
    check(&place, &file, 6.0);
    let [gap] = &file.gaps[..] else {
        panic!("{:?}", file.gaps)
    };
    assert_eq!((gap.reason, gap.track), (GapReason::NotReceived, None));
    assert!((gap.to_unix_ms - gap.from_unix_ms).abs_diff(1600) < 100, "{gap:?}");
    recorder.no_file().await;
    recorder.stop().await;
}

#[tokio::test]
async fn a_recording_is_paused_and_resumed_by_the_api() {
    let mut place = Place::new(|_| {});
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(3.0, 1.0)).await;
    let id = wait_for_state(&recorder, "recording").await;
    let order = |order: &str| format!("/recordings/{id}/{order}");
    assert_eq!(
        request(&recorder, "POST", &order("pause")).await,
        StatusCode::NO_CONTENT
    );
    wait_for_state(&recorder, "paused").await;
    wait_for_fact(&place, "recording_changed", "paused").await;
    program.play(source.run(2.0, 1.0)).await;
    assert_eq!(
        request(&recorder, "POST", &order("resume")).await,
        StatusCode::NO_CONTENT
    );
    wait_for_state(&recorder, "recording").await;
    program.play(source.run(3.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(3).await;
    let hls = files.iter().find(|file| file.format == FileFormat::Hls).unwrap();
    check(&place, hls, 6.0);
    let playlist = std::fs::read_to_string(place.path(hls)).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    let [gap] = &hls.gaps[..] else { panic!("{:?}", hls.gaps) };
    assert_eq!(gap.reason, GapReason::Paused);
    assert!((gap.to_unix_ms - gap.from_unix_ms).abs_diff(2000) < 150, "{gap:?}");
    for file in files.iter().filter(|file| file.format == FileFormat::Mp4) {
        check(&place, file, 3.0);
    }
    // Its row is written before it is announced.
    assert_eq!(request(&recorder, "POST", &order("pause")).await, StatusCode::NOT_FOUND);
    assert_eq!(
        request(&recorder, "POST", "/recordings/7/pause").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(request(&recorder, "POST", &order("stop")).await, StatusCode::NOT_FOUND);
    assert_eq!(json(&recorder, "/recordings/running").await, serde_json::json!([]));
    recorder.stop().await;
}

#[tokio::test]
async fn another_applications_key_pauses_nothing() {
    let mut place = Place::new(|_| {});
    let mut other = Application::new(2.try_into().unwrap(), "key");
    other.secret_id = "id".to_owned();
    other.api_secret = rotunda_proto::config::Secret::new("secret");
    place.applications = vec![other];
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(2.0, 1.0)).await;
    assert_eq!(json(&recorder, "/recordings/running").await, serde_json::json!([]));
    let begun = async {
        loop {
            if let Some(folder) = std::fs::read_dir(&place.config.directory).unwrap().next() {
                return folder.unwrap().file_name().into_string().unwrap();
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    let id = timeout(Duration::from_secs(20), begun).await.unwrap();
    let pause = format!("/recordings/{id}/pause");
    assert_eq!(request(&recorder, "POST", &pause).await, StatusCode::NOT_FOUND);
    program.end().await;
    for file in recorder.files(2).await {
        check(&place, &file, 2.0);
    }
    recorder.stop().await;
}

#[tokio::test]
async fn a_silent_source_and_a_slow_disk_are_told_apart() {
    let mut place = Place::new(|_| {});
    place.applications = vec![application()];
    let pace = Pace {
        silent: Duration::from_millis(400),
        slow_disk: Duration::from_millis(400),
        ..QUICK
    };
    let mut recorder = place.start_at(pace).await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(3.0, 1.0)).await;
    let id = wait_for_state(&recorder, "no_media").await;
    wait_for_fact(&place, "recording_changed", "no_media").await;
    // A pipe that nobody reads in place of the next segment: it cannot even be opened.
    let pipe = Folder::new(&place.config.directory, &id).segment(3);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for frame in source.run(2.0, 1.0) {
        program.writer.write(frame);
    }
    wait_for_state(&recorder, "slow_disk").await;
    wait_for_fact(&place, "recording_changed", "slow_disk").await;
    // Somebody reads it now, but a pipe cannot be synced: this disk is broken, and the recording ends with what it has.
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(NOT_BLOCKING)
        .open(&pipe)
        .unwrap();
    std::fs::remove_file(&pipe).unwrap();
    let files = recorder.files(2).await;
    for file in &files {
        assert!(file.duration_ms >= 1900, "{file:?}");
        assert_eq!(complaints(&place.path(file)), "", "{}", file.name);
    }
    drop((reader, program));
    recorder.stop().await;
}
