//! The engines of mixes are processes: one that is killed, hangs or runs out of memory is replaced, and nothing else notices.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Server, eventually, film, installed};
use rotunda_proto::clock::Clock;

/// An engine that is gone is replaced at once; one that hangs first has to be silent for 1.2 s.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// The processes that `server` has started for its mixes.
fn engines(server: &Server) -> Vec<u32> {
    let children = format!("/proc/{0}/task", server.pid());
    let threads = std::fs::read_dir(children).unwrap().filter_map(Result::ok);
    let mut engines: Vec<u32> = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| is_engine(*pid))
        .collect();
    engines.sort_unstable();
    engines
}

fn is_engine(pid: u32) -> bool {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == b"mix-engine")
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn start_mix(server: &Server, room: &str, stream: &str, more: &[&str]) {
    let start = ["mix", "start", room, "--stream-id", stream, "--size", "320x180"];
    let started = server.run(&[&start[..], more].concat());
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
}

/// The number of frames that all mixes have encoded.
fn frames(server: &Server) -> f64 {
    server.metric("rotunda_mcu_frames_encoded_total")
}

fn restarts(server: &Server) -> f64 {
    server.metric("rotunda_mcu_engine_restarts_total")
}

#[test]
fn an_engine_that_dies_hangs_or_runs_out_of_memory_is_replaced_and_the_recording_goes_on() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start();
    let _ann = server.join(&["1001", "--user", "ann", "--fps", "15", "--audio", "beeps"]);
    let _bob = server.join(&["1002", "--user", "bob", "--fps", "15", "--audio", "beeps"]);
    eventually("both are there", 20, || {
        (server.metric("rotunda_signaling_members") == 2.0).then_some(())
    });
    start_mix(&server, "1001", "broken", &["--record-id", "broken"]);
    let broken_one = eventually("the first engine", 10, || engines(&server).first().copied());
    start_mix(&server, "1002", "neighbour", &["--record-id", "neighbour"]);
    let neighbour = eventually("the second engine", 10, || {
        engines(&server).into_iter().find(|engine| *engine != broken_one)
    });
    let playlist = || server.get("/live/broken.m3u8");
    eventually("it is played", 20, || playlist().contains(".m4s").then_some(()));

    let mut engine = broken_one;
    for (how, break_it) in [
        ("killed", &(|pid: &str| run("kill", &["-KILL", pid])) as &dyn Fn(&str)),
        ("stopped", &|pid: &str| run("kill", &["-STOP", pid])),
        // Less than it has already: its next allocation fails.
        ("out of memory", &|pid: &str| {
            run("prlimit", &["--data=1048576", "--pid", pid])
        }),
    ] {
        let at = Clock.now();
        break_it(&engine.to_string());
        engine = eventually("another engine in its place", 10, || {
            let others: Vec<u32> = engines(&server).into_iter().filter(|pid| *pid != neighbour).collect();
            (others.len() == 1 && others != [engine]).then(|| others[0])
        });
        let took = Clock.now().saturating_duration_since(at);
        println!("{how}: replaced after {took:?}");
        assert!(took < BACK_WITHIN, "{how}: {took:?}");
        let more = frames(&server) + 60.0;
        eventually("some seconds of it", 20, || (frames(&server) > more).then_some(()));
    }
    assert_eq!(restarts(&server), 3.0);
    assert!(
        engines(&server).contains(&neighbour),
        "the neighbour's engine was never touched"
    );

    for room in ["1001", "1002"] {
        assert!(server.run(&["mix", "stop", room]).status.success());
    }
    eventually("no engine without a mix", 10, || {
        engines(&server).is_empty().then_some(())
    });
    let files = eventually("the recordings are ready", 30, || {
        let files: Vec<String> = server
            .recordings()
            .iter()
            .filter(|file| file["state"] == "ready")
            .map(|file| file["name"].as_str().unwrap().to_owned())
            .collect();
        let count = |record: &str| files.iter().filter(|name| name.contains(record)).count();
        (count("broken") >= 2 && count("neighbour") >= 2).then_some(files)
    });
    assert_eq!(
        files.len(),
        4,
        "an MP4 and a playlist of each, and no further file: {files:?}"
    );
    for name in &files {
        let path = server.folder.path().join("recordings").join(name);
        assert_eq!(film::complaints(&path.display().to_string()), "", "{name}");
        check_times(&path, if name.contains("broken") { 3 } else { 0 });
    }
    assert!(server.stop());
}

/// Timestamps are strictly monotonic, and jump at most so often: where an engine was replaced.
fn check_times(film: &Path, jumps: usize) {
    let times = film::times(film);
    assert!(times.len() > 60, "{} frames in {}", times.len(), film.display());
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        steps.iter().all(|step| *step > 0.0),
        "{}: times go back",
        film.display()
    );
    let long: Vec<&f64> = steps.iter().filter(|step| **step > 0.3).collect();
    assert!(long.len() <= jumps, "{}: {long:?}", film.display());
    assert!(
        long.iter().all(|step| **step < BACK_WITHIN.as_secs_f64()),
        "{}: {long:?}",
        film.display()
    );
}

#[test]
fn an_engine_ends_with_a_server_that_is_killed() {
    let server = Server::start();
    let _ann = server.join(&["1001", "--user", "ann", "--fps", "15"]);
    eventually("ann is there", 20, || {
        (server.metric("rotunda_signaling_members") == 1.0).then_some(())
    });
    start_mix(&server, "1001", "one", &[]);
    let engine = eventually("its engine", 10, || engines(&server).first().copied());
    // Stopped, it cannot see that its socket has ended; the kernel ends it all the same.
    run("kill", &["-STOP", &engine.to_string()]);
    server.kill();
    eventually("the engine has ended", 10, || (!is_engine(engine)).then_some(()));
}

#[test]
fn where_the_configuration_says_so_engines_are_inside_the_server() {
    let server = Server::start_with(&[("ROTUNDA__MCU__ENGINE", "inside")]);
    let _ann = server.join(&["1001", "--user", "ann", "--fps", "15"]);
    eventually("ann is there", 20, || {
        (server.metric("rotunda_signaling_members") == 1.0).then_some(())
    });
    start_mix(&server, "1001", "one", &[]);
    eventually("it runs", 10, || (frames(&server) > 10.0).then_some(()));
    assert_eq!(engines(&server), Vec::<u32>::new());
    assert!(server.stop());
}
