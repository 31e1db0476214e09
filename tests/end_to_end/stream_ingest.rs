//! Pulls of URLs: what nginx and an RTMP server serve becomes the media of a member, which a player of their live stream sees.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::rtmp_ingest::{check, source};
use crate::support::{Server, eventually, film, free_ports, installed};

const ROOM: &str = "2001";

#[test]
fn the_media_of_a_url_becomes_that_of_a_member() {
    if !installed("ffmpeg") || !installed("nginx") {
        return;
    }
    let server = Server::start();
    let (ann, source) = source(&server);

    // As most films have them, with B-frames.
    let files = tempfile::tempdir().unwrap();
    let encoded = [
        "-t",
        "25",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-b_strategy",
        "0",
        "-g",
        "30",
        "-c:a",
        "copy",
    ];
    ffmpeg(files.path(), &[&["-i", &source], &encoded[..], &["film.mp4"]].concat());
    ffmpeg(files.path(), &["-i", "film.mp4", "-c", "copy", "film.flv"]);
    let list = [
        "-c",
        "copy",
        "-f",
        "hls",
        "-hls_time",
        "2",
        "-hls_list_size",
        "0",
        "film.m3u8",
    ];
    ffmpeg(files.path(), &[&["-i", "film.mp4"], &list[..]].concat());
    ffmpeg(files.path(), &["-i", "film.mp4", "-t", "3", "-c", "copy", "short.mp4"]);
    std::fs::write(files.path().join("text.mp4"), "no film").unwrap();
    let nginx = Nginx::start(files.path());

    let (app, rtmp) = (server.secret("sdk_app_id"), server.rtmp);
    for (name, url) in [
        ("mp4", nginx.url("film.mp4")),
        ("hls", nginx.url("film.m3u8")),
        ("flv", nginx.url("film.flv")),
        ("rtmp", format!("rtmp://127.0.0.1:{rtmp}/live/source")),
    ] {
        let more = json!({ "StreamUrl": url, "AutoPush": true, "RepeatNum": 3 });
        let task = start(&server, name, &more);
        let (status, again) = server.call("StartStreamIngest", &request(&server, name, &more));
        assert_eq!(again["error"]["code"], "FailedOperation.TaskExist", "{status}");
        let live = server.url(&format!("/live/{app}_{ROOM}_{name}_main.flv"));
        eventually(&format!("{name} is on the air"), 120, || {
            film::codecs(&live).contains("h264").then_some(())
        });
        let seen = format!("{name}-seen.mp4");
        ffmpeg(files.path(), &["-i", &live, "-t", "8", "-c", "copy", &seen]);
        check(&files.path().join(&seen), name);
        assert_eq!(state(&server, &task), "InProgress");
        let (status, stopped) = server.call("StopStreamIngest", &on(&server, &task));
        assert_eq!(status, 200, "{stopped}");
        assert_eq!(state(&server, &task), "NotExist");
        eventually("the member has left", 60, || {
            (server.metric("rotunda_live_pulls") == 0.0).then_some(())
        });
    }
    ann.leave();

    for (name, reason) in [("short", "finished"), ("text", "source")] {
        let task = start(
            &server,
            name,
            &json!({ "StreamUrl": nginx.url(&format!("{name}.mp4")) }),
        );
        eventually(&format!("the task of {name}.mp4 is over"), 120, || {
            (state(&server, &task) == "NotExist").then_some(())
        });
        let line = format!("rotunda_live_pulls_ended_total{{reason=\"{reason}\"}} 1\n");
        assert!(server.get("/metrics").contains(&line), "{reason}");
    }
    assert!(server.stop(), "the server ends in order");
}

fn request(server: &Server, user: &str, more: &Value) -> Value {
    let output = server.run(&["user-sig", user, "--life", "600"]);
    let mut request = on(server, "");
    request["RoomId"] = json!(ROOM);
    request["RoomIdType"] = json!(1);
    request["UserId"] = json!(user);
    request["UserSig"] = json!(String::from_utf8(output.stdout).unwrap().trim());
    let fields = request.as_object_mut().unwrap();
    fields.remove("TaskId");
    fields.extend(more.as_object().unwrap().clone());
    request
}

fn on(server: &Server, task: &str) -> Value {
    let app: u32 = server.secret("sdk_app_id").parse().unwrap();
    json!({ "SdkAppId": app, "TaskId": task })
}

fn start(server: &Server, user: &str, more: &Value) -> String {
    let (status, started) = server.call("StartStreamIngest", &request(server, user, more));
    assert_eq!(status, 200, "{started}");
    started["TaskId"].as_str().unwrap().to_owned()
}

fn state(server: &Server, task: &str) -> String {
    let (status, state) = server.call("DescribeStreamIngest", &on(server, task));
    assert_eq!(status, 200, "{state}");
    state["Status"].as_str().unwrap().to_owned()
}

fn ffmpeg(folder: &Path, arguments: &[&str]) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments)
        .current_dir(folder)
        .status();
    assert!(made.unwrap().success(), "{arguments:?}");
}

/// Serves a folder.
struct Nginx {
    process: Child,
    port: u16,
}

impl Nginx {
    fn start(files: &Path) -> Self {
        let [port] = free_ports();
        let folder = files.join("nginx");
        std::fs::create_dir(&folder).unwrap();
        let at = folder.display();
        let root = files.display();
        let configuration = format!(
            "daemon off; pid {at}/pid; error_log {at}/log; events {{}}\n\
             http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi; server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        );
        // It serves the files as the user of the tests.
        let user = "user root;\n";
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let configuration = format!("{}{configuration}", if is_root { user } else { "" });
        std::fs::write(folder.join("nginx.conf"), configuration).unwrap();
        let process = Command::new("nginx")
            .args(["-p", &at.to_string(), "-c", &format!("{at}/nginx.conf")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx is up", 60, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { process, port }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // In order, so that its workers end, too.
        let id = self.process.id().to_string();
        let _gone = Command::new("kill").args(["-TERM", &id]).status();
        let _gone = self.process.wait();
    }
}
