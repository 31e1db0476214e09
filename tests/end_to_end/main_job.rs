//! The main job: four members in a room, a backend requests a mix, it plays live, is pushed to another server, and is
//! recorded.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::film::{self, Shown};
use crate::support::hls_rules::{read, violations};
use crate::support::{Participant, Server, eventually, free_ports, installed};

/// The members: name, number in the frame mark, codec.
const PEOPLE: [(&str, u8, &str); 4] = [
    ("ann", 11, "h264"),
    ("bob", 22, "vp8"),
    ("cat", 33, "h264"),
    ("dan", 44, "vp8"),
];
/// Frames per second of every participant.
const INPUT_FPS: f64 = 15.0;

#[test]
fn a_mix_of_four_is_played_live_pushed_and_recorded() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start();
    let nginx = installed("nginx").then(Nginx::start);
    let people = enter_one_after_another(&server);

    let push = nginx.as_ref().map(Nginx::url);
    let mut start = vec![
        "mix",
        "start",
        "1001",
        "--stream-id",
        "grid-1001",
        "--record-id",
        "file001",
    ];
    start.extend(push.iter().flat_map(|url| ["--push", url.as_str()]));
    let started = server.run(&start);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));

    // Live, while it runs: every protocol carries H.264 and AAC of the requested size.
    let rtmp = format!("rtmp://127.0.0.1:{}/live/grid-1001", server.rtmp);
    for live in [
        server.url("/live/grid-1001.flv"),
        server.url("/live/grid-1001.m3u8"),
        rtmp,
    ] {
        let live: &str = &live;
        eventually("the live stream plays", 20, || {
            let streams = Command::new("ffprobe")
                .args([
                    "-v",
                    "error",
                    "-show_entries",
                    "stream=codec_name,width,height",
                    "-of",
                    "csv=p=0",
                    live,
                ])
                .output()
                .unwrap();
            let streams = String::from_utf8_lossy(&streams.stdout).into_owned();
            (streams.contains("h264,1280,720") && streams.contains("aac")).then_some(())
        });
    }
    let first = read(&server.get("/live/grid-1001.m3u8")).media_sequence;
    let mut playlists: Vec<String> = Vec::new();
    eventually("fourteen seconds of it", 40, || {
        let playlist = server.get("/live/grid-1001.m3u8");
        let list = read(&playlist);
        playlists.push(playlist);
        (list.media_sequence + list.segments.len() as u64 >= first + 7).then_some(())
    });
    for pair in playlists.windows(2) {
        assert_eq!(
            violations(Some(&pair[0]), &pair[1]),
            Vec::<String>::new(),
            "{}",
            pair[1]
        );
    }
    let metrics = server.get("/metrics");
    assert!(metrics.contains("rotunda_mcu_"), "{metrics}");

    let stopped = server.run(&["mix", "stop", "1001"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    let recording = eventually("the recording is ready", 20, || finished(&server, ".mp4"));
    let playlist = eventually("the HLS recording is ready", 20, || finished(&server, ".m3u8"));
    people.into_iter().for_each(Participant::leave);

    check_recording(&recording);
    assert_eq!(film::complaints(&playlist.display().to_string()), "");
    let text = std::fs::read_to_string(&playlist).unwrap();
    assert_eq!(violations(None, &text), Vec::<String>::new(), "{text}");
    if let Some(nginx) = nginx {
        let recorded = eventually("nginx has closed its recording", 10, || nginx.recording());
        assert_eq!(film::complaints(&recorded.display().to_string()), "");
        let seconds: f64 = film::probe(&recorded.display().to_string(), "format=duration")
            .parse()
            .unwrap();
        assert!(seconds > 8.0, "nginx recorded {seconds} s");
    }
    assert!(server.stop(), "the server ends in order");
}

/// Each enters when the previous one is present, so that the order of the grid is known.
fn enter_one_after_another(server: &Server) -> Vec<Participant> {
    let mut people = Vec::new();
    for (name, mark, codec) in PEOPLE {
        let mark = mark.to_string();
        people.push(server.join(&[
            "1001", "--user", name, "--mark", &mark, "--codec", codec, "--audio", "beeps", "--fps", "15",
        ]));
        let present = format!("rotunda_signaling_members {}", people.len());
        eventually("the participant is in the room", 20, || {
            server.get("/metrics").contains(&present).then_some(())
        });
    }
    people
}

fn finished(server: &Server, suffix: &str) -> Option<PathBuf> {
    let files = server.recordings();
    let file = files
        .iter()
        .find(|file| file["state"] == "ready" && file["url"].as_str().is_some_and(|url| url.ends_with(suffix)))?;
    Some(server.folder.path().join("recordings").join(file["name"].as_str()?))
}

fn check_recording(recording: &std::path::Path) {
    let path = recording.display().to_string();
    let name = recording.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("file001_20"), "the contract's name: {name}");
    assert_eq!(film::complaints(&path), "");
    let video: f64 = film::probe(&path, "format=duration").parse().unwrap();
    let frames = film::marks(recording, 2, 2);
    let audio = film::audio(recording);
    let heard = audio.len() as f64 / film::SAMPLE_RATE as f64;
    assert!((video - heard).abs() < 0.5, "{video} s of video, {heard} s of audio");
    assert!(
        (frames.len() as f64 / 15.0 - video).abs() < 0.5,
        "{} frames in {video} s at 15 fps",
        frames.len()
    );

    let steady: Vec<&Shown> = frames
        .iter()
        .filter(|shown| shown.seconds > 2.0 && shown.seconds < video - 1.0)
        .collect();
    for (cell, (name, id, _)) in PEOPLE.iter().enumerate() {
        let right = steady
            .iter()
            .filter(|shown| shown.marks[cell].is_some_and(|mark| mark.id == *id))
            .count();
        assert!(
            right as f64 > 0.95 * steady.len() as f64,
            "{name} is in cell {cell} in {right} of {} frames",
            steady.len()
        );
        check_beep(name, *id, cell, &steady, &audio);
    }
}

/// The beep begins with the frame whose counter is a multiple of the frame rate, so audio and video are in sync.
fn check_beep(name: &str, id: u8, cell: usize, frames: &[&Shown], audio: &[f32]) {
    let hertz = 400.0 + 50.0 * f64::from(id);
    let loud = film::beeps(audio, hertz);
    assert!(
        loud.len() >= 5,
        "{name}'s tone of {hertz} Hz is heard {} times",
        loud.len()
    );
    let offsets = frames.iter().filter_map(|shown| {
        let mark = shown.marks[cell].filter(|mark| mark.id == id)?;
        Some((shown.seconds - f64::from(mark.count) / INPUT_FPS).rem_euclid(1.0))
    });
    // The beep's phase within the second relative to that of the counter, from -0.5 to 0.5 s.
    let offset = film::median(offsets.collect());
    let apart = loud
        .iter()
        .map(|at| (at - offset + 0.5).rem_euclid(1.0) - 0.5)
        .collect();
    let apart = film::median(apart);
    println!("{name}: audio is {:.0} ms behind the video", apart * 1000.0);
    assert!(
        apart.abs() < 0.08,
        "{name}: audio and video are {:.0} ms apart",
        apart * 1000.0
    );
}

/// Debian's nginx with its RTMP module, which records pushed streams.
struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port] = free_ports();
        let path = folder.path().display();
        std::fs::create_dir(folder.path().join("rec")).unwrap();
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\ndaemon off; master_process off;\n\
             pid {path}/pid; error_log {path}/log;\nevents {{}}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; record all; record_path {path}/rec; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx listens", 10, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { child, folder, port }
    }

    fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live/pushed", self.port)
    }

    /// The recorded file, once the stream has ended.
    fn recording(&self) -> Option<PathBuf> {
        let file = std::fs::read_dir(self.folder.path().join("rec"))
            .unwrap()
            .next()?
            .unwrap()
            .path();
        let ended = film::complaints(&file.display().to_string()).is_empty();
        ended.then_some(file)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}
