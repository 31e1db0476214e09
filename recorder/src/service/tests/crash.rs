//! Processes that end abruptly, and databases that are lost.

use super::*;

/// Records for a while in a process that then ends abruptly.
fn crash_while_recording(place: &Place, length: f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let recorder = place.start().await;
        let program = recorder.begin("s", 1, "film").await;
        program.play(TestProgram::new().run(length, 1.0)).await;
        // Waits until everything is on the disk, except for the second that is being collected.
        let least = length - 1.5;
        let written = async {
            while written_seconds(place) < least {
                Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), written).await.unwrap();
        std::mem::forget((recorder, program));
    });
    runtime.shutdown_background();
}

fn written_seconds(place: &Place) -> f64 {
    let segments = place
        .files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "m4s"));
    let mut samples = Vec::new();
    for (number, segment) in segments.enumerate() {
        rotunda_media::mux::stored::scan(&segment, number as u32, &mut samples).unwrap();
    }
    let ends = samples
        .iter()
        .filter(|sample| sample.track == rotunda_media::program::Track::Video)
        .map(|sample| sample.decode_time + u64::from(sample.duration));
    ends.max().unwrap_or(0) as f64 / 90_000.0
}

#[test]
fn a_crashed_recording_is_finished_by_the_next_process_during_its_service() {
    let place = Place::new(|_| {});
    crash_while_recording(&place, 5.5);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut recorder = place.start().await;
        let files = recorder.files(2).await;
        for file in &files {
            let path = place.path(file);
            assert_eq!(complaints(&path), "", "{}", file.name);
            assert!(seconds(&path) >= 3.9, "{} s of {}", seconds(&path), file.name);
        }
        recorder.no_file().await;
        recorder.stop().await;
    });
}

#[test]
fn recordings_come_back_when_the_database_is_lost() {
    let mut place = Place::new(|_| {});
    crash_while_recording(&place, 4.5);
    place.database = "another";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut recorder = place.start().await;
        for file in recorder.files(2).await {
            assert_eq!(complaints(&place.path(&file)), "", "{}", file.name);
        }
        recorder.stop().await;
    });
}
