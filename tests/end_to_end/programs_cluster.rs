//! Mixer, recorder and live in processes of their own, on NATS: frames go between them, and the death of one is made good by another one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, eventually, film, free_ports, installed};
use rotunda_bus::testing::NatsServer;

/// The number in ann's frames.
const MARK: u8 = 11;

/// A cluster with one database and one disk for recordings.
struct Cluster {
    nats: NatsServer,
    folder: tempfile::TempDir,
}

impl Cluster {
    fn start(&self, name: &str, roles: &str, first: Option<&Server>) -> Server {
        let urls = format!("[\"{}\"]", self.nats.url());
        let database = format!("sqlite://{}?mode=rwc", self.folder.path().join("db").display());
        let recordings = self.recordings().display().to_string();
        let settings = [
            ("ROTUNDA__SERVER__NODE", name),
            ("ROTUNDA__SERVER__DATABASE", database.as_str()),
            ("ROTUNDA__BUS__URLS", urls.as_str()),
            ("ROTUNDA__RECORDER__DIRECTORY", recordings.as_str()),
            ("ROTUNDA__RECORDER__FORMATS", "[\"mp4\"]"),
        ];
        Server::start_role(&["--roles", roles], first, &settings)
    }

    fn recordings(&self) -> PathBuf {
        self.folder.path().join("recordings")
    }
}

/// Four seconds of the live stream, as ffmpeg reads them. None: it does not play yet.
fn play(live: &Server, folder: &Path) -> Option<PathBuf> {
    let file = folder.join(format!("{}.flv", live.http));
    let url = live.url("/live/film.flv");
    let played = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i", &url, "-t", "4", "-c", "copy"])
        .arg(&file)
        .output()
        .unwrap();
    played.status.success().then_some(file)
}

/// Whether at least this share of the frames shows ann: a mix begins before her first frame has come.
fn shows_ann(file: &Path, share: f64) -> bool {
    let frames = film::marks(file, 1, 1);
    let right = frames
        .iter()
        .filter(|shown| shown.marks[0].is_some_and(|mark| mark.id == MARK));
    let (right, all) = (right.count(), frames.len());
    println!("{right} of {all} frames in {} show ann", file.display());
    all > 20 && right as f64 > share * all as f64
}

/// Waits until more has been written this many times: a recorder writes once a second.
fn wait_for_writes(recorder: &Server, times: usize) {
    for _ in 0..times {
        let before = recorder.metric("rotunda_recorder_bytes_total");
        eventually("the recorder writes", 60, || {
            (recorder.metric("rotunda_recorder_bytes_total") > before).then_some(())
        });
    }
}

#[test]
fn a_mix_is_played_pushed_and_recorded_by_other_processes_of_which_each_may_die() {
    if !installed("ffmpeg") {
        return;
    }
    let Some(nats) = NatsServer::start() else { return };
    let cluster = Cluster {
        nats,
        folder: tempfile::tempdir().unwrap(),
    };
    let front = cluster.start("front-1", "signaling,sfu", None);
    let _mcu = cluster.start("mcu-1", "mcu", Some(&front));
    let recorder = cluster.start("recorder-1", "recorder", Some(&front));
    let live = [
        cluster.start("live-1", "live", Some(&front)),
        cluster.start("live-2", "live", Some(&front)),
    ];
    let mark = MARK.to_string();
    let _ann = front.join(&[
        "1001", "--user", "ann", "--mark", &mark, "--codec", "h264", "--audio", "beeps", "--fps", "15",
    ]);
    eventually("ann is there", 60, || {
        (front.metric("rotunda_signaling_members") == 1.0).then_some(())
    });
    // Nobody listens there: each attempt to push is counted.
    let [closed] = free_ports();
    let push = format!("rtmp://127.0.0.1:{closed}/live/x");
    let start = [
        "mix",
        "start",
        "1001",
        "--stream-id",
        "film",
        "--record-id",
        "file001",
        "--size",
        "640x360",
        "--push",
        &push,
    ];
    let started = front.run(&start);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));

    // Every live origin has the stream, and one of them pushes it.
    for origin in &live {
        eventually("the live stream shows ann", 120, || {
            play(origin, cluster.folder.path()).filter(|file| shows_ann(file, 0.9))
        });
        eventually("its HLS playlist is there", 60, || {
            (origin.request("/live/film.m3u8", &[]).0 == 200).then_some(())
        });
    }
    let pushes = |origin: &Server| origin.metric("rotunda_live_push_failures_total");
    let pusher = eventually("one origin pushes", 60, || {
        live.iter().position(|origin| pushes(origin) >= 2.0)
    });
    let mut live = live.into_iter();
    let (one, two) = (live.next().unwrap(), live.next().unwrap());
    let (pusher, other) = if pusher == 0 { (one, two) } else { (two, one) };
    assert_eq!(pushes(&other), 0.0, "the other one does not");

    // The recorder dies, and another one goes on.
    eventually("it is recorded", 60, || {
        (recorder.metric("rotunda_recorder_recordings") == 1.0).then_some(())
    });
    let second = cluster.start("recorder-2", "recorder", Some(&front));
    wait_for_writes(&recorder, 4);
    assert_eq!(second.metric("rotunda_recorder_recordings"), 0.0, "one records it");
    recorder.kill();
    pusher.kill();
    eventually("the other recorder takes it", 60, || {
        (second.metric("rotunda_recorder_recordings") == 1.0).then_some(())
    });
    wait_for_writes(&second, 4);
    eventually("the other origin pushes", 60, || (pushes(&other) > 0.0).then_some(()));
    eventually("it plays at the other origin", 120, || {
        play(&other, cluster.folder.path()).filter(|file| shows_ann(file, 0.9))
    });

    let stopped = front.run(&["mix", "stop", "1001"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    let mut files = eventually("both recordings are files", 120, || {
        let ready: Vec<_> = second
            .recordings()
            .into_iter()
            .filter(|file| file["state"] == "ready")
            .collect();
        (ready.len() == 2).then_some(ready)
    });
    files.sort_by_key(|file| file["startedUnixMs"].as_u64());
    let millis = |file: &serde_json::Value, key: &str| file[key].as_u64().unwrap();
    for file in &files {
        let path = cluster.recordings().join(file["name"].as_str().unwrap());
        assert_eq!(film::complaints(&path.display().to_string()), "");
        assert!(shows_ann(&path, 0.7));
        println!(
            "{} ms from {}",
            millis(file, "durationMs"),
            millis(file, "startedUnixMs")
        );
    }
    let end = millis(&files[0], "startedUnixMs") + millis(&files[0], "durationMs");
    let begin = millis(&files[1], "startedUnixMs");
    assert!(
        begin <= end + 200,
        "the second file begins where the disk of the killed recorder ended, not {} ms later",
        begin.saturating_sub(end)
    );
    assert!(other.stop(), "live ends in order");
    assert!(second.stop(), "the recorder ends in order");
}
