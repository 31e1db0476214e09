//! Publishers by RTMP: ffmpeg's media becomes that of a member, who is recorded and mixed like the others.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Participant, Server, eventually, film, installed};

/// The number in ann's frame mark, and her beep.
const MARK: u8 = 11;
const BEEP_HERTZ: f64 = 400.0 + 50.0 * MARK as f64;

/// Ann in room 1001, and the URL of her live stream, which plays.
pub fn source(server: &Server) -> (Participant, String) {
    let mark = MARK.to_string();
    let sends = ["--mark", &mark, "--codec", "h264", "--audio", "beeps", "--fps", "15"];
    let ann = server.join(&[&["1001", "--user", "ann", "--stream-id", "source"], &sends[..]].concat());
    let source = server.url("/live/source.flv");
    eventually("the source plays", 60, || {
        film::codecs(&source).contains("aac").then_some(())
    });
    (ann, source)
}

#[test]
fn a_publisher_by_rtmp_is_a_member_who_is_recorded_and_mixed() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start();
    let (ann, source) = source(&server);
    let address = address(&server, "1002", "obs");
    let mut obs = publish(&["-i", &source, "-c", "copy"], &format!("{address}&recordid=film-obs"));
    eventually("the publisher is in the room", 60, || {
        (server.metric("rotunda_live_ingests") > 0.0).then_some(())
    });
    let started = server.run(&[
        "mix",
        "start",
        "1002",
        "--stream-id",
        "grid-1002",
        "--record-id",
        "mix-obs",
    ]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));

    let second = refusal(&["-i", &source, "-c", "copy"], &address);
    assert!(second.contains("already comes in"), "{second}");
    eventually("some seconds are mixed", 90, || {
        (server.get("/live/grid-1002.m3u8").matches("#EXTINF").count() >= 4).then_some(())
    });
    assert!(obs.try_wait().unwrap().is_none(), "ffmpeg goes on");
    let stopped = server.run(&["mix", "stop", "1002"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    obs.kill().unwrap();
    obs.wait().unwrap();
    eventually("the member has left", 60, || {
        (server.metric("rotunda_live_ingests") == 0.0).then_some(())
    });
    ann.leave();

    for name in ["film-obs_20", "mix-obs_20"] {
        let file = eventually("the recording is ready", 60, || server.finished(name, ".mp4"));
        check(&file, name);
    }
    assert!(server.stop(), "the server ends in order");
}

#[test]
fn publishers_are_told_why_they_are_refused() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start_with(&[("ROTUNDA__LIVE__STALL_SECONDS", "2")]);
    let good = address(&server, "1001", "obs");
    let video = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x240:rate=15",
        "-pix_fmt",
        "yuv420p",
    ];
    let with = |options: &[&str], address: &str| refusal(&[&video, options].concat(), address);

    let forged = with(&["-c:v", "libx264", "-bf", "0"], &format!("{good}x"));
    assert!(forged.contains("UserSig is malformed"), "{forged}");
    let nobody = with(&["-c:v", "libx264", "-bf", "0"], good.split('?').next().unwrap());
    assert!(nobody.contains("no sdkappid"), "{nobody}");
    let b_frames = with(&["-c:v", "libx264", "-bf", "2"], &good);
    assert!(b_frames.contains("B-frames to 0"), "{b_frames}");
    let codec = with(&["-c:v", "flv"], &good);
    assert!(codec.contains("Sorenson H.263; send H.264"), "{codec}");

    let live = [&["-re"], &video[..], &["-c:v", "libx264", "-bf", "0"]].concat();
    let mut silent = publish(&live, &good);
    eventually("the publisher is in the room", 60, || {
        (server.metric("rotunda_live_ingests") > 0.0).then_some(())
    });
    stop(&silent);
    eventually("the silent publisher has left", 60, || {
        (server.metric("rotunda_live_ingests") == 0.0).then_some(())
    });
    silent.kill().unwrap();
    silent.wait().unwrap();

    let reasons = server.get("/metrics");
    for reason in ["not_admitted", "address", "b_frames", "codec", "stalled"] {
        let line = format!("rotunda_live_ingests_ended_total{{reason=\"{reason}\"}} 1\n");
        assert!(reasons.contains(&line), "{reason}: {reasons}");
    }
    assert!(server.stop());
}

fn address(server: &Server, room: &str, user: &str) -> String {
    let output = server.run(&["user-sig", user, "--life", "600"]);
    let user_sig = String::from_utf8(output.stdout).unwrap();
    let (port, user_sig) = (server.rtmp, user_sig.trim());
    format!("rtmp://127.0.0.1:{port}/push/{room}?sdkappid={APP}&userid={user}&usersig={user_sig}")
}

/// The application of a server without configuration.
const APP: u32 = 1_400_000_001;

fn ffmpeg(input: &[&str], address: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(input);
    command.args(["-f", "flv", address]);
    command
}

fn publish(input: &[&str], address: &str) -> Child {
    ffmpeg(input, address).spawn().unwrap()
}

/// As `kill -STOP`: it keeps its connection and sends nothing.
fn stop(process: &Child) {
    let stopped = Command::new("kill").args(["-STOP", &process.id().to_string()]).status();
    assert!(stopped.unwrap().success());
}

/// What ffmpeg says when it was refused.
fn refusal(input: &[&str], address: &str) -> String {
    let mut input = input.to_vec();
    // A publisher that is not refused would end by itself.
    input.extend(["-t", "60"]);
    let output = ffmpeg(&input, address).stdout(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "ffmpeg was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ann's mark and beeps are in the file, and the beep begins with the frame of each full second.
pub fn check(file: &Path, name: &str) {
    let frames = film::marks(file, 1, 1);
    let marked: Vec<_> = frames
        .iter()
        .filter_map(|shown| Some((shown.seconds, shown.marks[0].filter(|mark| mark.id == MARK)?)))
        .collect();
    assert!(
        marked.len() >= 30,
        "{name}: the mark is in {} of {} frames",
        marked.len(),
        frames.len()
    );
    let audio = film::audio(file);
    let loud = film::beeps(&audio, BEEP_HERTZ);
    assert!(loud.len() >= 2, "{name}: {} beeps", loud.len());
    let offsets = marked
        .iter()
        .map(|(seconds, mark)| (seconds - f64::from(mark.count) / 15.0).rem_euclid(1.0));
    let offset = film::median(offsets.collect());
    let apart = loud.iter().map(|at| (at - offset + 0.5).rem_euclid(1.0) - 0.5);
    let apart = film::median(apart.collect());
    println!("{name}: audio is {:.0} ms behind the video", apart * 1000.0);
    assert!(apart.abs() < 0.12, "{name}: {apart} s apart");
}
