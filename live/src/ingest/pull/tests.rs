//! Sources as ffmpeg writes them, read over HTTP.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::routing::get;
use rotunda_media::codec::h264::H264Decoder;
use rotunda_media::mux::flv_read::{AudioBody, AvcConfig, VideoBody, audio_body, video_body};
use rotunda_media::video_frame::VideoFrame;
use rotunda_proto::outbound::AllowedNetworks;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

use super::source::{End, Reading, SourceError};
use super::tag::{Kind, Piece, Tag};
use super::*;

const SECONDS: usize = 4;
const FRAMERATE: usize = 25;
const FRAMES: usize = SECONDS * FRAMERATE;

/// Frame `n` is `20 + 2n` bright; with audio.
fn clip(folder: &Path, name: &str, b_frames: &str, more: &[&str]) -> bool {
    let (length, rate) = (SECONDS.to_string(), FRAMERATE.to_string());
    let video = format!("nullsrc=s=64x64:r={rate}:d={length},geq=lum='20+2*N':cb=128:cr=128,format=yuv420p");
    let audio = format!("sine=frequency=440:sample_rate=48000:duration={length}");
    let made = Command::new("ffmpeg")
        .args([
            "-v", "error", "-nostdin", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio,
        ])
        .args([
            "-c:v",
            "libx264",
            "-bf",
            b_frames,
            "-b_strategy",
            "0",
            "-g",
            "25",
            "-sc_threshold",
            "0",
            "-c:a",
            "aac",
        ])
        .args(more)
        .arg(name)
        .current_dir(folder)
        .status();
    match made {
        Ok(status) => {
            assert!(status.success(), "{name}");
            true
        }
        // Without ffmpeg there is nothing to read.
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "CI must have ffmpeg: {error}");
            eprintln!("SKIPPED: ffmpeg is not installed");
            false
        }
    }
}

struct Server {
    folder: tempfile::TempDir,
    address: std::net::SocketAddr,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let whole = folder.path().to_owned();
        // As servers without byte ranges answer.
        let file = move |axum::extract::Path(name): axum::extract::Path<String>| async move {
            std::fs::read(whole.join(name)).unwrap()
        };
        let router = Router::new()
            .route("/whole/{name}", get(file))
            .fallback_service(ServeDir::new(folder.path()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    async fn read(&self, path: &str, seek: u64) -> (Vec<Tag>, Result<End, SourceError>) {
        read(&["127.0.0.0/8"], &self.url(path), seek).await
    }

    async fn file(&self, path: &str, seek: u64) -> Media {
        let (tags, end) = self.read(path, seek).await;
        assert_eq!(end.map_err(|error| format!("{path}: {error:?}")), Ok(End::File));
        Media::of(&tags)
    }
}

async fn read(networks: &[&str], url: &str, seek: u64) -> (Vec<Tag>, Result<End, SourceError>) {
    let networks = AllowedNetworks::new(networks.iter().map(|network| network.parse().unwrap()).collect());
    let reach = Reach {
        http: Http::new(networks.clone()).unwrap(),
        rtmp: Outbound {
            networks,
            tls: crate::tls::client(None).unwrap(),
        },
    };
    let mut reading = Reading::begin(reach, url.to_owned(), Duration::from_secs(seek)).unwrap();
    let mut tags = Vec::new();
    loop {
        match reading.next().await {
            Ok(Piece::Tag(tag)) => tags.push(tag),
            Ok(Piece::Restart { .. }) => {}
            Err(end) => return (tags, end),
        }
    }
}

/// The media of a source. Times are milliseconds after the first audio or video.
struct Media {
    /// When, and how bright.
    video: Vec<(i64, i64)>,
    audio: Vec<i64>,
}

impl Media {
    fn of(tags: &[Tag]) -> Self {
        let (mut config, mut has_audio) = (None, false);
        let mut decoder = H264Decoder::new().unwrap();
        let mut first = None;
        // Of the frames that the decoder has not shown yet. Those of a source without B-frames are shown later, too.
        let mut times = VecDeque::new();
        let (mut video, mut audio) = (Vec::new(), Vec::new());
        for tag in tags {
            let at = i64::from(tag.timestamp_ms as i32);
            match tag.kind {
                Kind::Video => match video_body(&tag.body).unwrap() {
                    VideoBody::Config(record) => config = Some(AvcConfig::read(record).unwrap()),
                    VideoBody::Frame { is_key, data, .. } => {
                        let unit = config
                            .as_ref()
                            .expect("a configuration first")
                            .annex_b(data, is_key)
                            .unwrap();
                        times.push_back(at - *first.get_or_insert(at));
                        let frame = decoder.decode_reordered(&unit).unwrap();
                        video.extend(frame.map(|frame| (times.pop_front().unwrap(), brightness(&frame))));
                    }
                    VideoBody::Nothing => {}
                },
                Kind::Audio => match audio_body(&tag.body).unwrap() {
                    AudioBody::Config(_) => has_audio = true,
                    AudioBody::Frame(_) => {
                        assert!(has_audio, "a configuration first");
                        audio.push(at - *first.get_or_insert(at));
                    }
                    AudioBody::Nothing => {}
                },
            }
        }
        for frame in decoder.flush().unwrap() {
            video.push((times.pop_front().unwrap(), brightness(&frame)));
        }
        assert!(times.is_empty(), "every frame is shown");
        Self { video, audio }
    }

    /// Every frame, from frame `from` on, is shown in its time, and the audio is there.
    fn check(&self, name: &str, from: usize) {
        assert_eq!(self.video.len(), FRAMES - from, "{name}");
        assert!(
            self.audio.len() * 1024 >= (SECONDS * FRAMERATE - from) * 48_000 / FRAMERATE - 4096,
            "{name}: {}",
            self.audio.len()
        );
        let (begin, _) = self.video[0];
        for (index, (at, brightness)) in self.video.iter().enumerate() {
            let expected = 20 + 2 * (index + from) as i64;
            assert!(
                (brightness - expected).abs() <= 6,
                "{name}: frame {index} is {brightness} bright"
            );
            let expected = 40 * index as i64;
            assert!(
                (at - begin - expected).abs() <= 2,
                "{name}: frame {index} is shown at {at}"
            );
        }
        // Encoders begin the audio up to two frames earlier.
        let apart = begin - self.audio[0];
        assert!(
            (-50..=100).contains(&apart),
            "{name}: audio and video begin {apart} ms apart"
        );
    }
}

fn brightness(frame: &VideoFrame) -> i64 {
    let luma = frame.y();
    luma.iter().map(|luma| i64::from(*luma)).sum::<i64>() / luma.len() as i64
}

const TS: [&str; 6] = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "0"];
const FMP4: [&str; 8] = [
    "-f",
    "hls",
    "-hls_time",
    "1",
    "-hls_list_size",
    "0",
    "-hls_segment_type",
    "fmp4",
];

#[tokio::test]
async fn files_of_every_container_yield_every_frame_in_its_time_with_and_without_b_frames() {
    let server = Server::start().await;
    for b_frames in ["0", "2"] {
        for (name, more) in [
            ("end.mp4", &[][..]),
            ("fast.mp4", &["-movflags", "+faststart"]),
            (
                "fragments.mp4",
                &["-movflags", "+frag_keyframe+delay_moov+default_base_moof"],
            ),
            ("clip.flv", &[]),
            ("ts.m3u8", &TS),
            ("fmp4.m3u8", &FMP4),
        ] {
            let folder = server.folder.path().join(b_frames);
            std::fs::create_dir_all(&folder).unwrap();
            if !clip(&folder, name, b_frames, more) {
                return;
            }
            let path = format!("{b_frames}/{name}");
            server.file(&path, 0).await.check(&path, 0);
        }
    }
}

#[tokio::test]
async fn a_file_begins_at_the_keyframe_before_the_position() {
    let server = Server::start().await;
    let folder = server.folder.path();
    if !clip(folder, "film.mp4", "0", &[]) || !clip(folder, "ts.m3u8", "0", &TS) {
        return;
    }
    server.file("film.mp4", 2).await.check("film.mp4", 2 * FRAMERATE);
    server.file("ts.m3u8", 2).await.check("ts.m3u8", 2 * FRAMERATE);
}

#[tokio::test]
async fn a_server_without_byte_ranges_serves_files_whose_index_comes_first() {
    let server = Server::start().await;
    let folder = server.folder.path();
    if !clip(folder, "fast.mp4", "0", &["-movflags", "+faststart"]) || !clip(folder, "end.mp4", "0", &[]) {
        return;
    }
    server.file("whole/fast.mp4", 0).await.check("fast.mp4", 0);
    // A file of more than what is read on.
    let mut long = std::fs::read(folder.join("end.mp4")).unwrap();
    let index = long.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let filler = [&(4_u32 << 20).to_be_bytes()[..], b"free", &vec![0; (4 << 20) - 8]].concat();
    long.splice(index..index, filler);
    std::fs::write(folder.join("long.mp4"), long).unwrap();
    server.file("long.mp4", 0).await.check("long.mp4", 0);
    let (_, end) = server.read("whole/long.mp4", 0).await;
    let refused = end.unwrap_err();
    assert!(format!("{refused:?}").contains("NoRanges"), "{refused:?}");
    assert!(refused.is_final());
}

#[tokio::test]
async fn a_source_that_cannot_be_used_says_why_and_is_not_tried_again() {
    let server = Server::start().await;
    let folder = server.folder.path();
    std::fs::write(
        folder.join("text.mp4"),
        b"<html>no file of media at all, but some text</html>",
    )
    .unwrap();
    std::fs::write(folder.join("text.flv"), b"<html>").unwrap();
    std::fs::write(folder.join("text.html"), b"<html>").unwrap();
    std::fs::write(folder.join("text.ts"), b"<html>").unwrap();
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ntext.ts\n#EXT-X-ENDLIST\n";
    std::fs::write(folder.join("text.m3u8"), list).unwrap();
    let locked = list.replace("#EXTINF", "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF");
    std::fs::write(folder.join("locked.m3u8"), locked).unwrap();
    for path in ["text.mp4", "text.flv", "text.html", "text.m3u8", "locked.m3u8"] {
        let (tags, end) = server.read(path, 0).await;
        let error = end.expect_err(path);
        assert!(error.is_final() && tags.is_empty(), "{path}: {error:?}");
    }
    let (_, end) = server.read("none.mp4", 0).await;
    assert!(!end.unwrap_err().is_final(), "a file may come later");
    for url in [
        server.url("text.flv"),
        server.url("text.flv").replace("127.0.0.1", "localhost"),
    ] {
        let (_, end) = read(&[], &url, 0).await;
        let refused = end.unwrap_err();
        assert!(
            refused.is_final() && format!("{refused:?}").contains("Refused"),
            "{url}: {refused:?}"
        );
    }
}

#[test]
fn a_live_playlist_is_followed_from_near_its_end() {
    let playlist = |first: u64, segments: &[&str], end: &str| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for segment in segments {
            text.push_str(&format!("#EXTINF:2,\n{segment}\n"));
        }
        text.push_str(end);
        match hls::parse(text.as_bytes()).unwrap() {
            m3u8_rs::Playlist::MediaPlaylist(playlist) => playlist,
            other => panic!("{other:?}"),
        }
    };
    let names = |position: &mut hls::Position, playlist: &m3u8_rs::MediaPlaylist| -> Vec<String> {
        let new = position.take(playlist);
        new.into_iter().map(|(segment, _)| segment.uri.clone()).collect()
    };
    let first = playlist(7, &["7", "8", "9", "10", "11"], "");
    let mut position = hls::Position::first(&first, Duration::ZERO);
    assert_eq!(names(&mut position, &first), ["9", "10", "11"]);
    assert!(names(&mut position, &first).is_empty());
    assert_eq!(names(&mut position, &playlist(10, &["10", "11", "12"], "")), ["12"]);
    assert_eq!(
        names(&mut position, &playlist(20, &["20", "21"], "")),
        ["20", "21"],
        "some were missed"
    );
    let again = playlist(0, &["0", "1", "2", "3"], "");
    assert_eq!(
        names(&mut position, &again),
        ["1", "2", "3"],
        "the server has begun anew"
    );
    let file = playlist(0, &["0", "1", "2"], "#EXT-X-ENDLIST\n");
    let mut position = hls::Position::first(&file, Duration::ZERO);
    assert_eq!(names(&mut position, &file), ["0", "1", "2"]);
    let mut position = hls::Position::first(&file, Duration::from_secs(3));
    assert_eq!(names(&mut position, &file), ["1", "2"]);
    assert!(hls::parse(b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1,\na\n").is_err());
}

#[test]
fn of_a_master_playlist_the_best_stream_that_a_room_shows_is_chosen() {
    let choose = |text: &str| match hls::parse(text.as_bytes()).unwrap() {
        m3u8_rs::Playlist::MasterPlaylist(master) => hls::variant(&master).map_err(|error| error.to_string()),
        other => panic!("{other:?}"),
    };
    let list = "#EXTM3U\n\
        #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,CODECS=\"avc1.4d401e,mp4a.40.2\"\nlow\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1920x1080,CODECS=\"avc1.4d401e,mp4a.40.2\"\nhigh\n\
        #EXT-X-STREAM-INF:BANDWIDTH=4000000,RESOLUTION=1920x1080,CODECS=\"hvc1.1,mp4a.40.2\"\nhevc\n\
        #EXT-X-STREAM-INF:BANDWIDTH=9000000,RESOLUTION=3840x2160,CODECS=\"avc1.4d401e\"\nhuge\n";
    assert_eq!(choose(list).as_deref(), Ok("high"));
    let separate = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",URI=\"audio.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nvideo\n";
    assert!(choose(separate).unwrap_err().contains("playlist of its own"));
}
