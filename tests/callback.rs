//! A backend gets a callback with the address of the recording.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use support::{Server, eventually};

#[test]
fn a_finished_recording_causes_a_signed_callback_to_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/files", backend.local_addr().unwrap());
    let config = folder.path().join("rotunda.toml");
    let application = format!(
        "[[applications]]\nsdk_app_id = 1400000777\nsecret_key = \"k\"\nsecret_id = \"AKIDtest\"\napi_secret = \"s\"\n\
         callback_url = \"{url}\"\ncallback_key = \"testkey\"\n"
    );
    std::fs::write(&config, application).unwrap();
    let (told, calls) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in backend.incoming() {
            let mut socket = socket.unwrap();
            told.send(read_body(&mut socket)).unwrap();
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
        }
    });

    let server = Server::start_with(&[("ROTUNDA_CONFIG", &config.display().to_string())]);
    let ann = server.join(&["1001", "--user", "ann", "--fps", "15"]);
    let start = [
        "mix",
        "start",
        "1001",
        "--stream-id",
        "s1",
        "--record-id",
        "film",
        "--size",
        "320x180",
    ];
    eventually("the mix starts", 20, || {
        server.run(&start).status.success().then_some(())
    });
    eventually("a few seconds of it", 30, || {
        server.get("/live/s1.m3u8").contains("#EXTINF").then_some(())
    });
    assert!(server.run(&["mix", "stop", "1001"]).status.success());

    let mut formats = Vec::new();
    for _ in 0..2 {
        let call: serde_json::Value =
            serde_json::from_str(&calls.recv_timeout(Duration::from_secs(20)).unwrap()).unwrap();
        assert_eq!(call["event_type"], 100);
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
    ann.leave();
    assert!(server.stop());
}

/// The body of one HTTP request.
fn read_body(socket: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return body.to_owned();
            }
        }
    }
}
