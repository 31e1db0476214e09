//! Tasks of the server API: a member's stream that is pushed on demand, and recordings of a room on demand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::user_sig;
use serde_json::{Value, json};

use crate::support::{Participant, Server, eventually, film, free_ports, installed};

/// The name, and the number in the frame mark.
const PEOPLE: [(&str, u8); 2] = [("ann", 11), ("bob", 22)];

#[test]
fn a_members_stream_is_pushed_on_demand_and_its_room_recorded_as_a_mix_and_each_member_by_itself() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start();
    let people = PEOPLE.map(|(name, mark)| join(&server, name, &mark.to_string()));
    pushes_ann(&server);
    records(&server);
    people.into_iter().for_each(Participant::leave);
    assert!(server.stop(), "the server ends in order");
}

fn join(server: &Server, name: &str, mark: &str) -> Participant {
    server.join(&[
        "1001", "--user", name, "--mark", mark, "--codec", "h264", "--audio", "beeps", "--fps", "15",
    ])
}

/// ffmpeg listens like another provider's server, and keeps what it gets.
fn pushes_ann(server: &Server) {
    let [port] = free_ports();
    let pushed = server.folder.path().join("pushed.flv");
    let address = format!("rtmp://127.0.0.1:{port}/live/show");
    let mut receiver = receiver(&address, &pushed);
    let started = call(
        server,
        "StartPublishCdnStream",
        json!({
            "RoomId": "1001", "RoomIdType": 0, "WithTranscoding": 0,
            "AgentParams": { "UserId": "robot-push" },
            "SingleSubscribeParams": { "UserMediaStream": { "UserInfo": { "UserId": "ann" } } },
            "PublishCdnParams": [{ "PublishCdnUrl": address, "IsTencentCdn": 0 }],
        }),
    );
    let task = started["TaskId"].as_str().unwrap().to_owned();
    let ended = eventually("some seconds were pushed", 120, || receiver.try_wait().unwrap());
    assert!(ended.success());
    let live = server.url(&format!("/live/{task}.flv"));
    let played = eventually("the stream is on the air here, too", 60, || {
        let codecs = film::codecs(&live);
        (codecs.contains("h264") && codecs.contains("aac")).then_some(codecs)
    });
    assert!(!played.is_empty());
    shows(&pushed, &[11]);
    let update = json!({ "TaskId": task, "SequenceNumber": 1, "WithTranscoding": 0 });
    call(server, "UpdatePublishCdnStream", update.clone());
    assert_eq!(
        code(server, "UpdatePublishCdnStream", update),
        "FailedOperation.RequestOutdated"
    );
    call(server, "StopPublishCdnStream", json!({ "TaskId": task }));
    eventually("the stream has ended", 60, || {
        (server.metric("rotunda_relay_streams") == 0.0).then_some(())
    });
}

fn receiver(address: &str, file: &Path) -> Child {
    Command::new("ffmpeg")
        .args([
            "-v", "error", "-y", "-listen", "1", "-i", address, "-t", "4", "-c", "copy",
        ])
        .arg(file)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn records(server: &Server) {
    let record = |robot: &str, mode: u64, stream_type: u64, prefix: &str| {
        let app = server.secret("sdk_app_id").parse::<u32>().unwrap().try_into().unwrap();
        let key = server.secret("secret_key");
        let (now, life) = (Clock.unix(), Duration::from_secs(600));
        let created = call(
            server,
            "CreateCloudRecording",
            json!({
                "RoomId": "1001", "UserId": robot,
                "UserSig": user_sig::sign(app, &key, &robot.parse().unwrap(), now, life),
                "RecordParams": { "RecordMode": mode, "StreamType": stream_type },
                "StorageParams": { "CloudVod": { "TencentVod": { "MediaType": 0, "UserDefineRecordId": prefix } } },
                "MixTranscodeParams": { "VideoParams":
                    { "Width": 640, "Height": 180, "Fps": 15, "BitRate": 500_000, "Gop": 2 } },
            }),
        );
        created["TaskId"].as_str().unwrap().to_owned()
    };
    let mix = record("robot-mix", 2, 0, "film-mix");
    let each = record("robot-each", 1, 0, "film-each");
    let video = record("robot-video", 1, 2, "film-video");
    for task in [&mix, &each, &video] {
        eventually("a recorder has taken the task", 120, || {
            let state = call(server, "DescribeCloudRecording", json!({ "TaskId": task }));
            (state["Status"] == "InProgress").then_some(())
        });
    }
    eventually("some seconds are mixed", 120, || {
        let playlist = server.get(&format!("/live/{mix}.m3u8"));
        (playlist.matches("#EXTINF").count() >= 3).then_some(())
    });
    for task in [&mix, &each, &video] {
        call(server, "DeleteCloudRecording", json!({ "TaskId": task }));
        let state = call(server, "DescribeCloudRecording", json!({ "TaskId": task }));
        assert_eq!(state["Status"], "Exited");
        assert_eq!(
            code(server, "DeleteCloudRecording", json!({ "TaskId": task })),
            "ResourceNotFound"
        );
    }
    for (name, marks) in [
        ("film-mix_", [11, 22].as_slice()),
        ("film-each_ann_main", &[11]),
        ("film-each_bob_main", &[22]),
        ("film-video_ann_main", &[11]),
    ] {
        let file = eventually("the recording is ready", 120, || server.finished(name, ".mp4"));
        assert_eq!(film::complaints_at_any_rate(&file.display().to_string()), "", "{name}");
        shows(&file, marks);
        let tracks = if name.contains("video") {
            "h264\n"
        } else {
            "h264\naac\n"
        };
        assert_eq!(film::codecs(&file.display().to_string()), tracks, "{name}");
    }
    let files = server.recordings();
    let formats = files
        .iter()
        .filter(|file| file["name"].as_str().unwrap_or_default().contains("film-"));
    assert!(formats.clone().count() >= 3);
    for file in formats {
        assert!(
            file["name"].as_str().unwrap().ends_with(".mp4"),
            "MediaType 0 is mp4 alone: {file}"
        );
    }
}

/// The frames have the marks, in cells beside each other, from the first one that has them all. Media of one member may come before that
/// of another: frames before it are not judged.
fn shows(file: &Path, marks: &[u8]) {
    let columns = if marks.len() > 1 { 2 } else { 1 };
    let has_all = |shown: &film::Shown| {
        marks
            .iter()
            .all(|id| shown.marks.iter().flatten().any(|mark| mark.id == *id))
    };
    let frames = film::marks(file, columns, 1);
    let from_the_first = frames.iter().skip_while(|shown| !has_all(shown));
    let (judged, right) = (
        from_the_first.clone().count(),
        from_the_first.filter(|shown| has_all(shown)).count(),
    );
    assert!(
        judged > 20 && right * 10 > judged * 9,
        "{}: {marks:?} in {right} of {judged} frames, of {} in all",
        file.display(),
        frames.len()
    );
}

/// A call of the REST face by the key of the generated application.
fn call(server: &Server, action: &str, parameters: Value) -> Value {
    let (status, answer) = post(server, action, parameters);
    assert_eq!(status, 200, "{action}: {answer}");
    answer
}

fn code(server: &Server, action: &str, parameters: Value) -> String {
    let (_, answer) = post(server, action, parameters);
    answer["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn post(server: &Server, action: &str, mut parameters: Value) -> (u16, Value) {
    parameters["SdkAppId"] = server.secret("sdk_app_id").parse::<u32>().unwrap().into();
    let body = parameters.to_string();
    let (id, secret) = (server.secret("secret_id"), server.secret("api_secret"));
    let mut stream = TcpStream::connect(("127.0.0.1", server.http)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /v1/{action} HTTP/1.0\r\nhost: 127.0.0.1\r\nauthorization: Bearer {id}:{secret}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}
