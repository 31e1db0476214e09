//! Sessions from their offer to their end: media, ICE restarts, and sessions whose media never comes.

use str0m::media::MediaKind;

use super::*;

/// The first answer with the credentials of a restart's reply.
fn with_credentials(answer: &str, fragment: &str) -> String {
    let of = |name| fragment.lines().find(|line| line.starts_with(name)).unwrap();
    let lines = answer.lines().map(|line| match line {
        line if line.starts_with("a=ice-ufrag:") => of("a=ice-ufrag:"),
        line if line.starts_with("a=ice-pwd:") => of("a=ice-pwd:"),
        line => line,
    });
    lines.map(|line| format!("{line}\r\n")).collect()
}

#[tokio::test]
async fn a_whip_publisher_is_seen_by_whep_until_delete() {
    let server = Server::start();
    let (ann, bob) = (ticket(&server, "ann", "600"), ticket(&server, "bob", "600"));

    let (mut viewer, view_offer) = Peer::offer(Direction::RecvOnly);
    let early = post(&server, "/whep/1001/ann", &bob, &view_offer).await;
    assert_eq!(early.status(), StatusCode::CONFLICT, "nothing to see yet");
    assert!(early.headers().contains_key("retry-after"));
    assert!(text(early).await.starts_with("not_published: "));

    let (mut publisher, offer) = Peer::offer(Direction::SendOnly);
    let published = Session::of(post(&server, "/whip/1001", &ann, &offer).await).await;
    assert!(published.path.starts_with("/whip/1001/"), "{}", published.path);
    assert!(published.answer.contains("a=recvonly") && published.answer.contains("a=ice-lite"));
    publisher.accept(&published.answer);
    eventually("ann is a member", 5, || members(&server, 1));

    let watched = Session::of(post(&server, "/whep/1001/ann", &bob, &view_offer).await).await;
    assert!(watched.answer.contains("a=sendonly"));
    viewer.accept(&watched.answer);
    eventually("bob is a member too", 5, || members(&server, 2));
    drive("audio and video arrive", &mut publisher, &mut viewer, |viewer| {
        viewer.received(MediaKind::Audio) >= 50 && viewer.received(MediaKind::Video) >= 50
    });

    let candidate = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";
    let trickled = patch(&server, &watched.path, Some(&watched.etag), candidate).await;
    assert_eq!(trickled.status(), StatusCode::NO_CONTENT);
    for (if_match, status) in [(None, 428), (Some("\"other\""), 412)] {
        let refused = patch(&server, &watched.path, if_match, candidate).await;
        assert_eq!(refused.status().as_u16(), status);
    }

    let fragment = viewer.restart_ice();
    let restarted = patch(&server, &watched.path, Some("*"), &fragment).await;
    assert_eq!(restarted.status(), StatusCode::OK);
    assert_eq!(restarted.headers()["content-type"], FRAGMENT);
    assert_ne!(header(&restarted, "etag"), watched.etag, "a new ICE session");
    let reply = text(restarted).await;
    assert!(reply.contains("a=candidate:"), "{reply}");
    viewer.accept(&with_credentials(&watched.answer, &reply));
    let before = viewer.received(MediaKind::Video);
    drive("video continues", &mut publisher, &mut viewer, |viewer| {
        viewer.received(MediaKind::Video) >= before + 100
    });
    let old = patch(&server, &watched.path, Some(&watched.etag), candidate).await;
    assert_eq!(old.status(), StatusCode::PRECONDITION_FAILED);

    for path in [&watched.path, &published.path] {
        let ended = request(&server, Method::DELETE, path).bearer_auth(if path == &watched.path { &bob } else { &ann });
        assert_eq!(ended.send().await.unwrap().status(), StatusCode::OK);
        let again = request(&server, Method::DELETE, path).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_FOUND);
    }
    assert!(members(&server, 0).is_some(), "DELETE answers when the member has left");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("rotunda_signaling_whip_sessions 0\n"), "{metrics}");
    assert!(server.stop());
}

#[tokio::test]
async fn a_session_without_media_ends_by_itself_and_a_newer_one_takes_over() {
    let server = Server::start_with(&[
        ("ROTUNDA__SFU__CONNECT_TIMEOUT_SECONDS", "3"),
        (
            "ROTUNDA__SIGNALING__TURN",
            "{ urls = [\"turn:turn.example.com:3478?transport=udp\"], secret = \"north\" }",
        ),
    ]);
    let ann = ticket(&server, "ann", "600");
    let (_, offer) = Peer::offer(Direction::SendOnly);
    let first = Session::of(post(&server, "/whip/class-1", &ann, &offer).await).await;
    let created = post(&server, "/whip/class-1", &ann, &offer).await;
    let link = header(&created, "link");
    assert!(
        link.starts_with("<turn:turn.example.com:3478?transport=udp>; rel=\"ice-server\"; username=\"")
            && link.contains(":ann\"; credential=\"")
            && link.ends_with("; credential-type=\"password\""),
        "{link}"
    );
    let second = Session::of(created).await;
    let gone = request(&server, Method::DELETE, &first.path).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND, "the newer session took over");
    assert!(members(&server, 1).is_some());

    eventually("no ICE check came, so the member leaves", 15, || members(&server, 0));
    let gone = patch(&server, &second.path, Some("*"), "a=end-of-candidates\r\n").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}
