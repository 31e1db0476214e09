//! Full disks, and applications over their quota.

use std::io::Write;
use std::path::Path;

use rotunda_proto::config::WhenFull;
use rotunda_proto::recording::GapReason;

use super::*;
use crate::disk;

/// A small disk of its own at the folder of the recordings.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, which is said loudly, where this process may not mount one.
    fn mount(place: &Place, megabytes: u64) -> Option<Self> {
        let path = place.config.directory.clone();
        std::fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        eprintln!("SKIPPED: this process may not mount a small disk (root and CAP_SYS_ADMIN are needed)");
        None
    }

    /// Fills the disk with a file, up to this free space.
    fn fill(&self, leave: u64) {
        let mut ballast = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.ballast())
            .unwrap();
        while disk::free(&self.0).unwrap() > leave {
            let piece = (disk::free(&self.0).unwrap() - leave).min(1 << 16);
            if ballast.write_all(&vec![0; piece as usize]).is_err() {
                return;
            }
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The files of a folder with their sizes, without internal ones.
fn finished(folder: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
        .filter(|(name, _)| name.ends_with(".mp4") && !name.starts_with("init-"))
        .collect();
    files.sort();
    files
}

/// The rows of the catalogue are what is on the disk.
async fn check_catalogue(place: &Place, recorder: &Running, files: &[RecordingFile]) {
    let listed = json(recorder, "/recordings").await;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), files.len(), "{listed:?}");
    for file in files {
        assert_eq!(complaints(&place.path(file)), "", "{}", file.name);
        let row = listed.iter().find(|row| row["name"] == file.name.as_str()).unwrap();
        assert_eq!(row["state"], "ready");
        if file.format == FileFormat::Mp4 {
            let size = std::fs::metadata(place.path(file)).unwrap().len();
            assert_eq!(row["size"], size, "{}", file.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_waits_while_the_disk_is_below_its_reserve_and_goes_on() {
    let mut place = Place::new(|config| config.free_space_reserve_mb = 1);
    place.applications = vec![application()];
    let Some(disk) = SmallDisk::mount(&place, 12) else {
        return;
    };
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(4.0, 1.0)).await;
    wait_for_state(&recorder, "recording").await;
    disk.fill(900 << 10);
    program.play(source.run(2.0, 1.0)).await;
    wait_for_state(&recorder, "disk_full").await;
    wait_for_fact(&place, "recording_changed", "disk_full").await;
    program.play(source.run(3.0, 1.0)).await;
    disk.empty();
    // Frames come all the time: they must not put off the next look at the disk.
    let resumed = async {
        loop {
            program.play(source.run(0.1, 1.0)).await;
            if json(&recorder, "/recordings/running").await[0]["state"] == "recording" {
                return;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), resumed).await.unwrap();
    program.play(source.run(3.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    for file in &files {
        let [gap] = &file.gaps[..] else {
            panic!("{:?}", file.gaps)
        };
        assert_eq!(gap.reason, GapReason::DiskFull);
        assert!(gap.to_unix_ms - gap.from_unix_ms >= 2000, "{gap:?}");
        let before = gap.from_unix_ms - file.started_unix_us / 1000;
        assert!(before >= 4000, "all of the time before is there: {before} ms");
    }
    check_catalogue(&place, &recorder, &files).await;
    recorder.stop().await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_loses_nothing_that_is_written() {
    let mut place = Place::new(|_| {});
    place.applications = vec![application()];
    let Some(disk) = SmallDisk::mount(&place, 8) else {
        return;
    };
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(5.0, 1.0)).await;
    let id = wait_for_state(&recorder, "recording").await;
    disk.fill(0);
    program.play(source.run(4.0, 1.0)).await;
    wait_for_state(&recorder, "disk_full").await;
    program.end().await;
    // Its files cannot be made yet, and nothing is lost by trying.
    wait_for_fact(&place, "recording_ended", &id).await;
    recorder.no_file().await;
    let made = finished(&place.config.directory.join(&id));
    assert!(made.is_empty(), "{made:?}");
    disk.empty();
    let files = recorder.files(2).await;
    for file in &files {
        assert!(file.duration_ms >= 3900, "{file:?}");
    }
    check_catalogue(&place, &recorder, &files).await;
    recorder.stop().await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_refused_by_a_full_disk_begins_when_there_is_space() {
    let mut place = Place::new(|config| config.free_space_floor_mb = 2);
    place.applications = vec![application()];
    let Some(disk) = SmallDisk::mount(&place, 8) else {
        return;
    };
    disk.fill(1 << 20);
    let mut recorder = place.start().await;
    let program = recorder.begin_refused(&place, "s", "\"disk\"").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    disk.empty();
    program.wait_for_reader().await;
    program.play(source.run(3.0, 1.0)).await;
    program.end().await;
    for file in recorder.files(2).await {
        // It begins at the last keyframe before.
        check(&place, &file, 4.0);
    }
    recorder.stop().await;
    drop(disk);
}

/// Records for a second, and pretends that its MP4 has this size.
async fn record(place: &Place, recorder: &mut Running, stream: &str, megabytes: i64) -> RecordingFile {
    let program = recorder.begin(stream, 1, stream).await;
    program.play(TestProgram::new().run(1.0, 1.0)).await;
    program.end().await;
    let file = recorder.file().await;
    sqlx::query("UPDATE recording_files SET size_bytes = $1 WHERE file_id = $2")
        .bind(megabytes << 20)
        .bind(&file.file_id)
        .execute(&mut sqlx::SqliteConnection::connect(&place.database()).await.unwrap())
        .await
        .unwrap();
    file
}

fn limited(full: WhenFull) -> Vec<Application> {
    vec![Application {
        record_quota_mb: 5,
        record_quota_full: full,
        ..application()
    }]
}

#[tokio::test]
async fn a_full_quota_refuses_recordings_until_a_file_is_deleted() {
    let mut place = Place::new(|config| config.formats = vec![rotunda_proto::config::RecordFormat::Mp4]);
    place.applications = limited(WhenFull::Refuse);
    let mut recorder = place.start().await;
    let first = record(&place, &mut recorder, "one", 6).await;
    let program = recorder.begin_refused(&place, "two", "\"quota\"").await;
    let mut source = TestProgram::new();
    program.play(source.run(1.0, 1.0)).await;
    let path = format!("/recordings/{}", first.name);
    assert_eq!(request(&recorder, "DELETE", &path).await, StatusCode::NO_CONTENT);
    program.wait_for_reader().await;
    program.play(source.run(1.0, 1.0)).await;
    program.end().await;
    assert!(recorder.file().await.name.contains("/two_"));
    recorder.stop().await;
}

#[tokio::test]
async fn a_full_quota_removes_the_oldest_announced_files() {
    let mut place = Place::new(|config| config.formats = vec![rotunda_proto::config::RecordFormat::Mp4]);
    place.applications = limited(WhenFull::RemoveOldest);
    let mut recorder = place.start().await;
    let mut recorded = Vec::new();
    for stream in ["one", "two", "three"] {
        recorded.push(record(&place, &mut recorder, stream, 2).await);
    }
    let gone = async {
        while place.path(&recorded[0]).exists() {
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.unwrap();
    // Another recording is not refused, and the two that fit stay.
    let fourth = record(&place, &mut recorder, "four", 0).await;
    for file in [&recorded[1], &recorded[2], &fourth] {
        assert!(place.path(file).exists(), "{}", file.name);
    }
    recorder.stop().await;
}

#[tokio::test]
async fn a_full_disk_begins_no_recording() {
    let place = Place::new(|config| config.free_space_floor_mb = 1 << 40);
    let mut recorder = place.start().await;
    let program = recorder.begin_refused(&place, "s", "\"disk\"").await;
    program.play(TestProgram::new().run(1.0, 1.0)).await;
    program.end().await;
    recorder.no_file().await;
    recorder.stop().await;
    assert_eq!(place.files(), Vec::<PathBuf>::new());
}
