//! Members' own media without a mix: recorded in files of their own, and played as live streams.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Participant, Server, eventually, film, installed};
use rotunda_proto::clock::Clock;

/// The name, the number in the frame mark, the codec.
const PEOPLE: [(&str, u8, &str); 2] = [("ann", 11, "h264"), ("bob", 22, "vp8")];

#[test]
fn members_with_names_are_recorded_and_played_each_by_itself() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start();
    let mut people = Vec::new();
    for (name, mark, codec) in PEOPLE {
        let (mark, record, stream) = (mark.to_string(), format!("film-{name}"), format!("live-{name}"));
        people.push(server.join(&[
            "1001",
            "--user",
            name,
            "--mark",
            &mark,
            "--codec",
            codec,
            "--audio",
            "beeps",
            "--fps",
            "15",
            "--record-id",
            &record,
            "--stream-id",
            &stream,
        ]));
    }
    // A member without names is neither recorded nor played.
    people.push(server.join(&["1001", "--user", "eve"]));

    for (name, ..) in PEOPLE {
        let rtmp = format!("rtmp://127.0.0.1:{}/live/live-{name}", server.rtmp);
        for live in [
            server.url(&format!("/live/live-{name}.flv")),
            server.url(&format!("/live/live-{name}.m3u8")),
            rtmp,
        ] {
            eventually("the live stream plays", 30, || {
                let streams = film::codecs(&live);
                (streams.contains("h264") && streams.contains("aac")).then_some(())
            });
        }
    }
    eventually("some seconds are recorded", 30, || {
        let playlist = server.get("/live/live-ann.m3u8");
        (playlist.matches("#EXTINF").count() >= 3).then_some(())
    });
    assert!(server.get("/metrics").contains("rotunda_relay_streams 2"));
    people.into_iter().for_each(Participant::leave);

    for (name, mark, _) in PEOPLE {
        for ending in [".mp4", ".m3u8"] {
            let file = eventually("the recording is ready", 40, || {
                server.finished(&format!("film-{name}_20"), ending)
            });
            assert_eq!(
                film::complaints_at_any_rate(&file.display().to_string()),
                "",
                "{}",
                file.display()
            );
        }
        let file = server.finished(&format!("film-{name}_20"), ".mp4").unwrap();
        check(&file, name, mark);
    }
    let eve = server
        .recordings()
        .iter()
        .any(|file| file["name"].as_str().unwrap().contains("eve"));
    assert!(!eve, "a member without names is not recorded");
    assert!(server.stop(), "the server ends in order");
}

/// The member's own mark is in every frame, and the beep begins with the frame of each full second.
fn check(file: &std::path::Path, name: &str, mark: u8) {
    let length: f64 = film::probe(&file.display().to_string(), "format=duration")
        .parse()
        .unwrap();
    let frames = film::marks(file, 1, 1);
    assert!(length > 5.0, "{name}: {length} s");
    let right: Vec<_> = frames
        .iter()
        .filter_map(|shown| Some((shown.seconds, shown.marks[0].filter(|shown| shown.id == mark)?)))
        .collect();
    assert!(
        right.len() as f64 > 0.95 * frames.len() as f64,
        "{name}: the mark is in {} of {} frames",
        right.len(),
        frames.len()
    );
    let audio = film::audio(file);
    let heard = audio.len() as f64 / film::SAMPLE_RATE as f64;
    assert!((heard - length).abs() < 0.5, "{name}: {heard} s of audio in {length} s");
    let loud = film::beeps(&audio, 400.0 + 50.0 * f64::from(mark));
    assert!(loud.len() >= 3, "{name}: {} beeps", loud.len());
    let offsets = right
        .iter()
        .map(|(seconds, mark)| (seconds - f64::from(mark.count) / 15.0).rem_euclid(1.0));
    let offset = film::median(offsets.collect());
    let apart = loud.iter().map(|at| (at - offset + 0.5).rem_euclid(1.0) - 0.5);
    let apart = film::median(apart.collect());
    println!("{name}: audio is {:.0} ms behind the video", apart * 1000.0);
    assert!(apart.abs() < 0.08, "{name}: {apart} s apart");
}

/// An application that records and relays everybody, and waits six seconds for those who were cut off.
const APPLICATION: &str = "[[applications]]\nsdk_app_id = 1400000777\nsecret_key = \"k\"\nsecret_id = \"id\"\n\
    api_secret = \"secret\"\nrecord_publishers = \"all\"\nrelay_publishers = \"all\"\nrecord_resume_seconds = 6\n";
const ANN: [&str; 6] = ["1001", "--user", "ann", "--fps", "15", "--audio=beeps"];
const STREAM: &str = "1400000777_1001_ann_main";

fn server_that_takes_everybody(folder: &std::path::Path) -> Server {
    let config = folder.join("rotunda.toml");
    std::fs::write(&config, APPLICATION).unwrap();
    Server::start_with(&[("ROTUNDA_CONFIG", &config.display().to_string())])
}

/// The names of the complete files with this ending.
fn ready(server: &Server, ending: &str) -> Vec<PathBuf> {
    let (status, list) = server.request("/recordings", &["authorization: Bearer id:secret"]);
    assert_eq!(status, 200, "{list}");
    let files: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    let name = |file: &serde_json::Value| {
        let name = file["name"].as_str()?;
        let is_it = file["state"] == "ready" && name.contains(STREAM) && name.ends_with(ending);
        is_it.then(|| server.folder.path().join("recordings").join(name))
    };
    files.iter().filter_map(name).collect()
}

fn segments(server: &Server) -> usize {
    server.get(&format!("/live/{STREAM}.m3u8")).matches("#EXTINF").count()
}

#[test]
fn a_publisher_who_comes_back_in_time_is_one_playlist_with_a_gap() {
    if !installed("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = server_that_takes_everybody(folder.path());
    let ann = server.join(&ANN);
    eventually("some seconds of it", 40, || (segments(&server) >= 2).then_some(()));
    ann.leave();
    eventually("ann has left", 20, || {
        server
            .get("/metrics")
            .contains("rotunda_signaling_members 0")
            .then_some(())
    });
    // Some seconds of the resume time pass.
    let (clock, back_at) = (Clock, Clock.now() + Duration::from_secs(3));
    eventually("the time to come back", 10, || (clock.now() >= back_at).then_some(()));
    let before = segments(&server);
    let ann = server.join(&ANN);
    eventually("some more seconds of it", 40, || {
        (segments(&server) > before).then_some(())
    });
    assert!(ready(&server, ".m3u8").is_empty(), "the recording goes on");
    ann.leave();

    let playlist = eventually("the playlist", 40, || ready(&server, ".m3u8").pop());
    let text = std::fs::read_to_string(&playlist).unwrap();
    assert_eq!(
        crate::support::hls_rules::violations(None, &text),
        Vec::<String>::new(),
        "{text}"
    );
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    let files = eventually("both files", 20, || {
        Some(ready(&server, ".mp4")).filter(|files| files.len() == 2)
    });
    for file in &files {
        assert_eq!(
            film::complaints_at_any_rate(&file.display().to_string()),
            "",
            "{}",
            file.display()
        );
    }
    assert_eq!(ready(&server, ".m3u8").len(), 1);
    assert!(server.stop(), "the server ends in order");
}

#[test]
fn a_killed_server_leaves_files_of_single_streams_that_play() {
    if !installed("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut server = server_that_takes_everybody(folder.path());
    let _ann = server.join(&ANN);
    eventually("some seconds of it", 40, || (segments(&server) >= 3).then_some(()));
    server.kill_and_restart();
    let file = eventually("the file of the killed recording", 60, || ready(&server, ".mp4").pop());
    assert_eq!(film::complaints_at_any_rate(&file.display().to_string()), "");
    let seconds: f64 = film::probe(&file.display().to_string(), "format=duration")
        .parse()
        .unwrap();
    assert!(seconds > 4.0, "{seconds} s");
    assert!(server.stop(), "the server ends in order");
}
