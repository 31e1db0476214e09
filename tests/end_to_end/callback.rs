//! A backend gets a callback with the address of the recording.

use std::time::Duration;

use serde_json::json;

use crate::support::receiver::{application, receiver};
use crate::support::{Server, eventually};

#[test]
fn the_application_is_told_of_the_stream_and_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let (url, calls) = receiver();
    let config = folder.path().join("rotunda.toml");
    std::fs::write(&config, application(&url)).unwrap();

    let server = Server::start_with(&[("ROTUNDA_CONFIG", &config.display().to_string())]);
    let ann = server.join(&["1001", "--user", "ann", "--fps", "15"]);
    server.record_mix();
    eventually("a few seconds of it", 30, || {
        server.get("/live/s1.m3u8").contains("#EXTINF").then_some(())
    });
    assert!(server.run(&["mix", "stop", "1001"]).status.success());

    let mut formats = Vec::new();
    let mut stream = Vec::new();
    while formats.len() < 2 || stream.len() < 2 {
        let call = calls.recv_timeout(Duration::from_secs(20)).unwrap();
        if call["event_type"] != 100 {
            assert_eq!(call["stream_id"], "s1");
            stream.push((
                call["event_type"].clone(),
                call["errcode"].clone(),
                call["sequence"].clone(),
            ));
            continue;
        }
        assert_eq!(call["appname"], "trtc_1400000777");
        assert!(
            call["stream_param"]
                .as_str()
                .unwrap()
                .contains("userdefinerecordid=film")
        );
        assert_eq!(call["sign"].as_str().unwrap().len(), 32);
        let url = call["video_url"].as_str().unwrap();
        let path = url.split_once(&format!(":{}", server.http)).unwrap().1;
        assert!(!server.get(path).is_empty(), "the address in the callback plays: {url}");
        formats.push(call["file_format"].as_str().unwrap().to_owned());
    }
    formats.sort();
    assert_eq!(formats, ["hls", "mp4"]);
    let run = &stream[0].2;
    assert_eq!(
        stream,
        [(json!(1), json!(0), run.clone()), (json!(0), json!(1), run.clone())],
        "the stream has started, and was stopped"
    );
    ann.leave();
    assert!(server.stop());
}
