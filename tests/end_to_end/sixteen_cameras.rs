//! An application with sixteen cameras a room: a mix shows all of them live, each in its cell. Members who watch are covered by
//! `signaling`'s tests of slots.

use std::process::Command;

use serde_json::json;

use crate::support::{Participant, Server, eventually, film, installed};

const APP: u32 = 1_500_000_016;
const CAMERAS: u8 = 16;
/// The grid of sixteen, row by row.
const SIDE: usize = 4;
const SIZE: (usize, usize) = (1280, 720);

/// A server with one application that allows sixteen cameras a room.
fn start(folder: &std::path::Path) -> Server {
    let config = folder.join("rotunda.toml");
    let text = format!(
        "[[applications]]\nsdk_app_id = {APP}\nsecret_key = \"users\"\nsecret_id = \"backend\"\napi_secret = \"secret\"\n\
         max_cameras = {CAMERAS}\nmax_microphones = 20\n"
    );
    std::fs::write(&config, text).unwrap();
    Server::start_with(&[("ROTUNDA_CONFIG", &config.display().to_string())])
}

fn call(server: &Server, action: &str, parameters: &serde_json::Value) -> serde_json::Value {
    let (status, answer) = server.call_with(("backend", "secret"), action, parameters);
    assert_eq!(status, 200, "{action}: {answer}");
    answer
}

/// A second of moving picture and a tone, in the size of a simulcast layer, which a member sends in a loop.
fn clip(folder: &std::path::Path) -> String {
    let clip = folder.join("clip.mp4").display().to_string();
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x180:rate=5:duration=1",
        ])
        .args(["-f", "lavfi", "-i", "sine=frequency=300:duration=1"])
        .args([
            "-c:v",
            "libx264",
            "-profile:v",
            "baseline",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            &clip,
        ])
        .status()
        .unwrap();
    assert!(made.success());
    clip
}

/// Members with the marks 1 to 16, each in the room before the next one enters: the order of the grid.
fn enter(server: &Server, clip: &str) -> Vec<Participant> {
    let mut people = Vec::new();
    for mark in 1..=CAMERAS {
        let (user, text) = (format!("user{mark}"), mark.to_string());
        people.push(server.join(&["1001", "--user", &user, "--mark", &text, "--clip", clip, "--fps", "5"]));
        eventually("the member is in the room", 30, || {
            (server.metric("rotunda_signaling_members") == f64::from(mark)).then_some(())
        });
    }
    people
}

#[test]
fn a_mix_shows_sixteen_live_cameras_and_the_seventeenth_is_refused() {
    if !installed("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let clip = clip(folder.path());
    let _people = enter(&server, &clip);

    let refused = server.run(&["join", "1001", "--user", "late", "--clip", &clip, "--seconds", "5"]);
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "the seventeenth publishes");
    assert!(reason.to_lowercase().contains("video"), "the reason is named: {reason}");

    let (width, height) = SIZE;
    call(
        &server,
        "StartMCUMixTranscode",
        &json!({
            "SdkAppId": APP,
            "RoomId": 1001,
            "OutputParams": {"StreamId": "all"},
            "EncodeParams": {
                "VideoWidth": width, "VideoHeight": height, "VideoBitrate": 1500, "VideoFramerate": 5, "VideoGop": 1,
                "AudioSampleRate": 48_000, "AudioBitrate": 64, "AudioChannels": 2,
            },
            "LayoutParams": {"Template": 1},
        }),
    );
    let all: Vec<Option<u8>> = (1..=CAMERAS).map(Some).collect();
    eventually("every camera is in its cell", 120, || {
        film::live_marks(&server, "all", SIDE, SIDE)
            .contains(&all)
            .then_some(())
    });
    let mixes = call(&server, "ListMixes", &json!({})).to_string();
    assert!(mixes.contains("\"LiveVideos\":16"), "{mixes}");
    assert!(server.stop());
}
