//! What a backend is told of the tasks of the server API: the states of pushes, and the steps and files of recordings.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::UserId;
use rotunda_proto::user_sig;
use serde_json::{Value, json};

use crate::support::receiver::{application, receiver_of_signed};
use crate::support::{Participant, Server, eventually, free_ports, installed};

const APP: u32 = 1_400_000_777;
const KEY: (&str, &str) = ("AKIDtest", "s");
/// Longer than the pauses between attempts to push that the test provokes.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn the_backend_is_told_of_pushes_and_of_the_files_of_recording_tasks() {
    if !installed("ffmpeg") {
        return;
    }
    let backend = Backend::new();
    let server = backend.server(&[]);
    let ann = join(&server);
    pushes(&server, &backend.told);
    records(&server, &backend.told);
    ann.leave();
    assert!(server.stop(), "the server ends in order");
}

#[test]
fn a_push_for_which_no_process_relays_the_member_is_told_as_failed() {
    let backend = Backend::new();
    let server = backend.server(&["--roles", "signaling,sfu"]);
    let ann = join(&server);
    let task = start_push(&server, "rtmp://127.0.0.1:9/live/show");
    let payload = || next(&backend.told, 401, &task)["Payload"].clone();
    assert_eq!(payload()["Status"], 1);
    let failed = payload();
    assert_eq!((&failed["Status"], &failed["ErrorCode"]), (&json!(4), &json!(6)));
    let message = failed["ErrorMsg"].as_str().unwrap();
    assert!(message.contains("role live or recorder"), "{message}");
    assert_eq!(payload()["Status"], 0);
    ann.leave();
    assert!(server.stop(), "the server ends in order");
}

/// The back end of an application that is told everything.
struct Backend {
    told: Receiver<Value>,
    config: String,
    folder: tempfile::TempDir,
}

impl Backend {
    fn new() -> Self {
        let (url, told) = receiver_of_signed("testkey");
        Self {
            told,
            config: format!("{}event_callback_url = \"{url}\"\n", application(&url)),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn server(&self, roles: &[&str]) -> Server {
        let config = self.folder.path().join("rotunda.toml");
        std::fs::write(&config, &self.config).unwrap();
        Server::start_role(roles, None, &[("ROTUNDA_CONFIG", &config.display().to_string())])
    }
}

fn join(server: &Server) -> Participant {
    let ann = server.join(&[
        "1001", "--user", "ann", "--codec", "h264", "--audio", "beeps", "--fps", "15",
    ]);
    eventually("ann is in the room", 60, || {
        let (_, members) = server.call_with(KEY, "ListMembers", &json!({ "Room": "1001" }));
        members.to_string().contains("ann").then_some(())
    });
    ann
}

/// Pushes ann's camera.
fn start_push(server: &Server, address: &str) -> String {
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
    started["TaskId"].as_str().unwrap().to_owned()
}

/// The server that is pushed to refuses, comes, dies and comes back.
fn pushes(server: &Server, told: &Receiver<Value>) {
    let [port] = free_ports();
    let address = format!("rtmp://127.0.0.1:{port}/live/show");
    let task = &start_push(server, &address);
    let mut states: Vec<u64> = Vec::new();
    let mut until = |wanted: &dyn Fn(&Value) -> bool| loop {
        let info = next(told, 401, task);
        let payload = &info["Payload"];
        assert_eq!(payload["Url"], address.as_str());
        assert_eq!((&info["UserId"], &info["RoomId"]), (&json!("robot-push"), &json!(1001)));
        assert_eq!((&info["RoomType"], &info["EventTsMs"]), (&json!(0), &info["EventMsTs"]));
        states.push(payload["Status"].as_u64().unwrap());
        if wanted(payload) {
            return;
        }
    };
    let is = |status: u64| move |payload: &Value| payload["Status"] == status;
    until(&|payload| payload["Status"] == 1 && payload["ErrorCode"] == 2);
    let first = listener(&address);
    until(&is(2));
    end(first);
    until(&is(3));
    let second = listener(&address);
    until(&is(2));
    call(server, "StopPublishCdnStream", json!({ "TaskId": task }));
    until(&is(0));
    end(second);
    // A state may be told again.
    states.dedup();
    assert_eq!(states, [1, 2, 3, 2, 5, 0]);
    let (_, listed) = server.call_with(KEY, "ListCallbacks", &json!({ "PageSize": 500 }));
    let listed = listed.to_string();
    assert!(
        listed.contains("robot-push") && !listed.contains("/live/show"),
        "{listed}"
    );
}

/// ffmpeg as the server of another provider.
fn listener(address: &str) -> Child {
    Command::new("ffmpeg")
        .args([
            "-v", "error", "-listen", "1", "-i", address, "-c", "copy", "-f", "null", "-",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn end(mut listener: Child) {
    // It may have ended by itself.
    let _ended = listener.kill();
    listener.wait().unwrap();
}

fn records(server: &Server, told: &Receiver<Value>) {
    let (now, life) = (Clock.unix(), Duration::from_secs(600));
    let robot: UserId = "robot-mix".parse().unwrap();
    let created = call(
        server,
        "CreateCloudRecording",
        json!({
            "RoomId": "1001", "UserId": robot,
            "UserSig": user_sig::sign(APP.try_into().unwrap(), "k", &robot, now, life),
            "RecordParams": { "RecordMode": 2 },
            "StorageParams": { "CloudVod": { "TencentVod": { "MediaType": 3, "UserDefineRecordId": "film" } } },
            "MixTranscodeParams": { "VideoParams": { "Width": 320, "Height": 180, "Fps": 15, "BitRate": 300_000, "Gop": 2 } },
        }),
    );
    let task = created["TaskId"].as_str().unwrap();
    eventually("some seconds are mixed", 120, || {
        let playlist = server.get(&format!("/live/{task}.m3u8"));
        (playlist.matches("#EXTINF").count() >= 3).then_some(())
    });
    assert_eq!(next(told, 301, task)["Payload"], json!({ "Status": 0 }));
    let slice = next(told, 307, task)["Payload"].clone();
    assert_eq!(
        (&slice["UserId"], &slice["TrackType"]),
        (&json!(""), &json!("audio_video"))
    );
    call(server, "DeleteCloudRecording", json!({ "TaskId": task }));
    assert_eq!(next(told, 302, task)["Payload"], json!({ "LeaveCode": 0 }));
    files(server, told, task, slice["FileName"].as_str().unwrap());
    let done = next(told, 312, task);
    assert_eq!(
        (&done["Payload"]["Status"], &done["UserId"]),
        (&json!(0), &json!("robot-mix"))
    );
}

/// An MP4 file and a playlist, in either order. `growing`: the name of the playlist while it was recorded.
fn files(server: &Server, told: &Receiver<Value>, task: &str, growing: &str) {
    let mut formats = Vec::new();
    let mut made = None;
    while formats.len() < 2 {
        let (number, info) = next_of_any(told, task);
        match number {
            310 => made = Some(info["Payload"]["FileMessage"][0].clone()),
            311 => {
                let vod = &info["Payload"]["TencentVod"];
                let name = vod["CacheFile"].as_str().unwrap();
                let (folder, file) = name.split_once('/').unwrap();
                assert_eq!(growing, format!("{folder}/index.m3u8"));
                let url = vod["VideoUrl"].as_str().unwrap();
                let path = url.split_once(&format!(":{}", server.http)).unwrap().1;
                assert!(!server.get(path).is_empty(), "the address plays: {url}");
                formats.push(file.rsplit_once('.').unwrap().1.to_owned());
                if name.ends_with(".mp4") {
                    let made = made.take().expect("310 comes before 311");
                    assert_eq!((&made["MediaId"], &made["UserId"]), (&json!("mix"), &json!("")));
                    assert_eq!(made["FileName"], name);
                }
            }
            other => panic!("{other}: {info}"),
        }
    }
    formats.sort();
    assert_eq!(formats, ["m3u8", "mp4"]);
}

/// The next event of a task, which must be of that type; events of others are passed over.
fn next(told: &Receiver<Value>, number: u64, task: &str) -> Value {
    let (is, info) = next_of_any(told, task);
    assert_eq!(is, number, "{info}");
    info
}

/// The type of the next event of a task, and its `EventInfo`.
fn next_of_any(told: &Receiver<Value>, task: &str) -> (u64, Value) {
    loop {
        let event = told
            .recv_timeout(TOLD_WITHIN)
            .unwrap_or_else(|_| panic!("no event of {task}"));
        if event["EventInfo"]["TaskId"] == task {
            return (event["EventType"].as_u64().unwrap(), event["EventInfo"].clone());
        }
    }
}

fn call(server: &Server, action: &str, mut parameters: Value) -> Value {
    parameters["SdkAppId"] = APP.into();
    let (status, answer) = server.call_with(KEY, action, &parameters);
    assert_eq!(status, 200, "{action}: {answer}");
    answer
}
