//! A server is killed while it records: the recorded part is in playable files, and they are announced.

mod support;

use std::time::Duration;

use rotunda_proto::clock::Clock;
use support::{Server, eventually, film, installed};

/// A kill may lose the fragment that is being collected, and data that is in flight.
const LOST: f64 = 2.5;

#[test]
fn every_second_until_shortly_before_a_kill_is_in_files_that_play() {
    if !installed("ffmpeg") {
        return;
    }
    let mut server = Server::start();
    // After the first fragment, within a segment, and after some segments.
    for (round, lasts) in [1.5, 6.2, 11.0].into_iter().enumerate() {
        let ann = server.join(&["1001", "--user", "ann", "--fps", "15", "--audio", "beeps"]);
        let (stream, record) = (format!("s{round}"), format!("film{round}"));
        let start = [
            "mix",
            "start",
            "1001",
            "--stream-id",
            &stream,
            "--record-id",
            &record,
            "--size",
            "320x180",
        ];
        eventually("the mix starts", 20, || {
            server.run(&start).status.success().then_some(())
        });
        let began = eventually("it is recorded", 20, || {
            let recording =
                |file: &serde_json::Value| file["name"].as_str().is_some_and(|name| name.ends_with(&record));
            server.recordings().iter().any(recording).then(|| Clock.now())
        });
        eventually("some time", 30, || {
            (Clock.now() >= began + Duration::from_secs_f64(lasts)).then_some(())
        });
        server.kill_and_restart();
        drop(ann);
        let files = eventually("the files of the killed recording", 60, || {
            let of_it = |file: &serde_json::Value| {
                file["state"] == "ready" && file["name"].as_str().is_some_and(|name| name.contains(&record))
            };
            let found: Vec<String> = server
                .recordings()
                .iter()
                .filter(|file| of_it(file))
                .map(|file| file["name"].as_str().unwrap().to_owned())
                .collect();
            (found.len() == 2).then_some(found)
        });
        for name in files {
            let path = server
                .folder
                .path()
                .join("recordings")
                .join(&name)
                .display()
                .to_string();
            assert_eq!(film::complaints(&path), "", "{name}");
            let seconds: f64 = film::probe(&path, "format=duration").parse().unwrap();
            println!("killed after {lasts} s: {seconds} s in {name}");
            assert!(seconds > lasts - LOST, "{seconds} s of {lasts} s in {name}");
        }
    }
    assert!(server.stop());
}
