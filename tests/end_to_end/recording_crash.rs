//! A server is killed while it records, and while it makes files: the recorded part is in playable files, and they are announced.
//!
//! `ROTUNDA_KILLS=50` kills it at 50 random moments, `ROTUNDA_SEED` repeats them.

use std::time::Duration;

use crate::support::{Server, eventually, film, installed};
use rotunda_proto::clock::Clock;

/// A kill may lose the fragment that is being collected, and data that is in flight. On an idle machine that is less than a second; other
/// tests share this one.
const LOST: f64 = 1.5;

/// When the server is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Seconds after the recording has begun.
    Recording(f64),
    /// Seconds after the stop of a mix that was recorded for this many seconds: while its files are made.
    Finishing { recorded: f64, after: f64 },
}

/// A few moments, or as many random ones as the environment says.
fn kills() -> Vec<Kill> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(count) = number("ROTUNDA_KILLS") else {
        // After the first fragment, within a segment, after some segments, and while files are made.
        let after_the_stop = Kill::Finishing {
            recorded: 3.0,
            after: 0.05,
        };
        return vec![
            Kill::Recording(1.5),
            Kill::Recording(6.2),
            Kill::Recording(11.0),
            after_the_stop,
        ];
    };
    let seed = number("ROTUNDA_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("ROTUNDA_SEED={seed}");
    let mut state = seed;
    let mut random = || {
        // Knuth's MMIX generator; its high bits are good.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    let mut kill = |_| match random() < 0.6 {
        true => Kill::Recording(1.2 + random() * 12.0),
        false => Kill::Finishing {
            recorded: 3.0 + random() * 5.0,
            after: random() * 0.6,
        },
    };
    (0..count).map(&mut kill).collect()
}

#[test]
fn every_second_until_shortly_before_a_kill_is_in_files_that_play() {
    if !installed("ffmpeg") {
        return;
    }
    let mut server = Server::start();
    for (round, kill) in kills().into_iter().enumerate() {
        let ann = server.join(&["1001", "--user", "ann", "--fps", "15", "--audio", "beeps"]);
        let (stream, record) = (format!("s{round}"), format!("film{round}x"));
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
        eventually("the mix starts", 60, || {
            server.run(&start).status.success().then_some(())
        });
        let began = eventually("it is recorded", 60, || {
            let recording =
                |file: &serde_json::Value| file["name"].as_str().is_some_and(|name| name.ends_with(&record));
            server.recordings().iter().any(recording).then(|| Clock.now())
        });
        let wait = |from, seconds: f64| {
            eventually("some time", 60, || {
                (Clock.now() >= from + Duration::from_secs_f64(seconds)).then_some(())
            });
        };
        let recorded = match kill {
            Kill::Recording(recorded) => {
                wait(began, recorded);
                recorded
            }
            Kill::Finishing { recorded, after } => {
                wait(began, recorded);
                assert!(server.run(&["mix", "stop", "1001"]).status.success());
                wait(Clock.now(), after);
                recorded
            }
        };
        server.kill_and_restart();
        drop(ann);
        let files = eventually("the files of the killed recording", 120, || {
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
            assert_eq!(film::complaints(&path), "", "{name}, {kill:?}");
            let seconds: f64 = film::probe(&path, "format=duration").parse().unwrap();
            println!("{kill:?}: {seconds} s in {name}");
            assert!(
                seconds > recorded - LOST,
                "{seconds} s of {recorded} s in {name}, {kill:?}"
            );
        }
    }
    assert!(server.stop());
}
