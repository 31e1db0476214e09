//! Codecs and seats of the lines of an offer.

use super::*;

#[tokio::test]
async fn a_line_without_a_supported_codec_is_refused_by_name_and_takes_no_seat() {
    let server = Server::start();
    let (_, both) = Peer::offer(Direction::SendOnly);
    let unknown = both.replace("VP8/90000", "H266/90000");
    for number in 0..5 {
        let token = ticket(&server, &format!("user{number}"), "600");
        let session = Session::of(post(&server, "/whip/1001", &token, &unknown).await).await;
        assert!(session.answer.contains("m=video 0 "), "{}", session.answer);
    }
    let (first, video) = unknown.split_once("m=audio").unwrap();
    let (_, video) = video.split_once("m=video").unwrap();
    let mid = video.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap();
    let group = first.lines().find(|line| line.starts_with("a=group:BUNDLE")).unwrap();
    let alone = format!(
        "{}m=video{video}",
        first.replace(group, &format!("a=group:BUNDLE {mid}"))
    );
    let refused = post(&server, "/whip/1001", &ticket(&server, "cat", "600"), &alone).await;
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
    let why = text(refused).await;
    assert!(
        why.starts_with("codec_not_supported: ") && why.contains("H266") && why.contains("VP8"),
        "{why}"
    );
    assert!(members(&server, 5).is_some(), "cat is not in the room");
}

#[tokio::test]
async fn constrained_high_is_high() {
    let server = Server::start();
    let (_, offer) = Peer::offer(Direction::SendOnly);
    let vp8 = offer.lines().find(|line| line.ends_with("VP8/90000")).unwrap();
    let payload_type = vp8.strip_prefix("a=rtpmap:").unwrap().split(' ').next().unwrap();
    let form = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f";
    let h264 = format!("a=rtpmap:{payload_type} H264/90000\r\na=fmtp:{payload_type} {form}");
    let offer = offer.replace(vp8, &h264);
    let session = Session::of(post(&server, "/whip/1001", &ticket(&server, "ann", "600"), &offer).await).await;
    let is_taken = session.answer.contains("profile-level-id=640c1f") && !session.answer.contains("m=video 0");
    assert!(is_taken, "{}", session.answer);
}

#[tokio::test]
async fn seats_are_those_of_the_room_and_refused_by_name() {
    let server = Server::start();
    let (_, both) = Peer::offer(Direction::SendOnly);
    let (_, mid) = both.split_once("a=group:BUNDLE ").unwrap();
    let group = mid.lines().next().unwrap();
    let first = group.split(' ').next().unwrap();
    let audio_only = both.split("m=video").next().unwrap().replace(group, first);
    for number in 0..4 {
        let token = ticket(&server, &format!("cam{number}"), "600");
        Session::of(post(&server, "/whip/1001", &token, &both).await).await;
    }
    let fifth = post(&server, "/whip/1001", &ticket(&server, "fifth", "600"), &both).await;
    assert_eq!(fifth.status(), StatusCode::CONFLICT);
    assert!(text(fifth).await.starts_with("too_many_video_publishers: "));
    for number in 4..6 {
        let token = ticket(&server, &format!("mic{number}"), "600");
        Session::of(post(&server, "/whip/1001", &token, &audio_only).await).await;
    }
    let seventh = post(&server, "/whip/1001", &ticket(&server, "seventh", "600"), &audio_only).await;
    assert_eq!(seventh.status(), StatusCode::CONFLICT);
    assert!(text(seventh).await.starts_with("too_many_audio_publishers: "));
    assert!(members(&server, 6).is_some(), "the refused member is not in the room");
}
