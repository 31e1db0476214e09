//! Access to recorded files and live streams.

use std::process::Command;

use crate::support::{Server, eventually, installed};

const KEY: &str = "authorization: Bearer AKIDone:s1";
const OTHER: &str = "authorization: Bearer AKIDother:s2";
/// `printf playkeys1ffffffff | md5sum`
const PERMISSION: &str = "txSecret=0d529b91d5b35d26974d6f562fc97a8f&txTime=ffffffff";

#[test]
fn files_need_a_key_or_a_signed_address_and_streams_the_permission_of_their_application() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rotunda.toml");
    let applications = "[[applications]]\nsdk_app_id = 1400000701\nsecret_key = \"k1\"\nsecret_id = \"AKIDone\"\napi_secret = \"s1\"\n                        play_key = \"playkey\"\n                        [[applications]]\nsdk_app_id = 1400000702\nsecret_key = \"k2\"\nsecret_id = \"AKIDother\"\napi_secret = \"s2\"\n";
    std::fs::write(&config, applications).unwrap();
    let server = Server::start_with(&[("ROTUNDA_CONFIG", &config.display().to_string())]);
    let ann = server.join(&["1001", "--user", "ann", "--fps", "15"]);
    server.record_mix();

    check_playing(&server);
    assert!(server.run(&["mix", "stop", "1001"]).status.success());
    let url = eventually("the recording is listed", 20, || {
        let (status, list) = server.request("/recordings", &[KEY]);
        assert_eq!(status, 200, "{list}");
        let list: serde_json::Value = serde_json::from_str(&list).ok()?;
        let mut files = list.as_array()?.iter().filter_map(|file| file["url"].as_str());
        Some(files.find(|url| url.ends_with(".m3u8"))?.to_owned())
    });
    check_files(&server, url.split_once(&format!(":{}", server.http)).unwrap().1);
    ann.leave();
    assert!(server.stop());
}

fn check_playing(server: &Server) {
    let status = |path: &str| server.request(path, &[]).0;
    let playlist = eventually("a playlist with its permission", 20, || {
        let (status, text) = server.request(&format!("/live/s1.m3u8?{PERMISSION}"), &[]);
        (status == 200 && text.contains("#EXTINF")).then_some(text)
    });
    let segment = playlist.lines().find(|line| !line.starts_with('#')).unwrap();
    assert!(segment.ends_with(PERMISSION), "{segment}");
    assert_eq!(status(&format!("/live/{segment}")), 200);
    let (bare, _) = segment.split_once('?').unwrap();
    for refused in [
        "/live/s1.m3u8".to_owned(),
        "/live/s1.flv".to_owned(),
        format!("/live/{bare}"),
        format!("/live/s1.flv?{}", PERMISSION.replace("txSecret=", "txSecret=0")),
        format!("/live/s1.flv?{}", PERMISSION.replace("ffffffff", "fffffffe")),
    ] {
        assert_eq!(status(&refused), 403, "{refused}");
    }
    assert_eq!(status(&format!("/live/s2.m3u8?{PERMISSION}")), 404);
    if installed("ffprobe") {
        let rtmp = |query: &str| {
            let url = format!("rtmp://127.0.0.1:{}/live/s1{query}", server.rtmp);
            let probe = Command::new("ffprobe")
                .args(["-v", "error", "-show_entries", "stream=codec_name", &url])
                .output();
            String::from_utf8_lossy(&probe.unwrap().stdout).contains("h264")
        };
        assert!(rtmp(&format!("?{PERMISSION}")));
        assert!(!rtmp(""));
    }
    let secret = PERMISSION.split('&').next().unwrap();
    assert!(!server.log().contains(secret), "no permission is logged");
}

/// `path`: from a signed address of an HLS recording.
fn check_files(server: &Server, path: &str) {
    let get = |path: &str, headers: &[&str]| server.request(path, headers);
    let (status, playlist) = get(path, &[]);
    assert_eq!(status, 200);
    let segment = playlist.lines().find(|line| !line.starts_with('#')).unwrap();
    let signed = &path[..=path.rfind('/').unwrap()];
    assert_eq!(
        get(&format!("{signed}{segment}"), &[]).0,
        200,
        "a playlist signs its segments"
    );
    assert_eq!(get(&format!("{signed}../{segment}"), &[]).0, 404);

    let mut parts = path.trim_start_matches("/recordings/").splitn(2, '/');
    let (token, file) = (parts.next().unwrap(), parts.next().unwrap());
    let (expires, signature) = token.split_once('-').unwrap();
    let week: u64 = expires.parse().unwrap();
    let now = rotunda_proto::clock::Clock.unix().as_secs();
    assert!((now + 604_700..now + 604_900).contains(&week));
    for forged in [
        format!("/recordings/{}-{signature}/{file}", week + 1),
        format!("/recordings/{token}/film_other/index.m3u8"),
    ] {
        let (status, body) = get(&forged, &[]);
        assert_eq!((status, body.contains("link_invalid")), (403, true), "{forged}: {body}");
    }
    let bare = format!("/recordings/{file}");
    assert_eq!(get("/recordings", &[]).0, 401);
    assert_eq!(get("/recordings", &["authorization: Bearer AKIDone:wrong"]).0, 401);
    assert_eq!(get(&bare, &[]).0, 401);
    assert_eq!(get(&bare, &[KEY]).0, 200);
    assert_eq!(get(&bare, &[OTHER]).0, 404, "another application's file");
    assert_eq!(get("/recordings", &[OTHER]), (200, "[]".to_owned()));
}
