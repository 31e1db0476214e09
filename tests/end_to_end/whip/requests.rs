//! The answer to each wrong request, and the addresses and headers of clients that differ.

use super::*;

fn video_line(mid: u8) -> String {
    format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=sendonly\r\n")
}

#[tokio::test]
async fn each_wrong_request_has_its_status_and_says_why() {
    let server = Server::start();
    let (ann, bob) = (ticket(&server, "ann", "600"), ticket(&server, "bob", "600"));
    let (_, good) = Peer::offer(Direction::SendOnly);
    let (_, view) = Peer::offer(Direction::RecvOnly);
    let three = format!("v=0\r\n{}{}{}", video_line(0), video_line(1), video_line(2));

    let post_as = |path: &str, token: Option<&str>, kind: &str, body: &str| {
        let request = request(&server, Method::POST, path).header("content-type", kind);
        let request = token.into_iter().fold(request, RequestBuilder::bearer_auth);
        request.body(body.to_owned()).send()
    };
    let expired = ticket(&server, "ann", "0");
    let long = format!("v=0\r\n{}", "a=x\r\n".repeat(20_000));
    for (path, token, kind, body, status, code) in [
        ("/whip/1001", None, SDP, good.as_str(), 401, "not_logged_in"),
        ("/whip/1001", Some("nonsense"), SDP, &good, 401, "user_sig_invalid"),
        ("/whip/1001", Some(&expired), SDP, &good, 401, "user_sig_expired"),
        (
            "/whip/1001",
            Some(&ann),
            "text/plain",
            "hello",
            415,
            "wrong_content_type",
        ),
        ("/whip/1001", Some(&ann), SDP, "", 400, "bad_sdp"),
        ("/whip/1001", Some(&ann), SDP, "this is no SDP", 400, "bad_sdp"),
        (
            "/whip/1001",
            Some(&ann),
            SDP,
            "v=0\r\nm=audio\r\na=mid:0\r\n",
            422,
            "bad_sdp",
        ),
        ("/whip/1001", Some(&ann), SDP, &view, 422, "bad_sdp"),
        ("/whip/1001", Some(&ann), SDP, &three, 406, "bad_sdp"),
        ("/whip/1001", Some(&ann), SDP, &long, 413, "message_too_large"),
        ("/whip/0", Some(&ann), SDP, &good, 404, "not_found"),
        ("/whip/007", Some(&ann), SDP, &good, 404, "not_found"),
        ("/whip", Some(&ann), SDP, &good, 404, "not_found"),
        ("/whep/1001", Some(&bob), SDP, &view, 404, "not_found"),
        ("/whep/1001/a%20b", Some(&bob), SDP, &view, 404, "not_found"),
        (
            "/whep/1001/ann?source=audio",
            Some(&bob),
            SDP,
            &view,
            400,
            "bad_request",
        ),
        ("/whep/1001/bob", Some(&bob), SDP, &view, 403, "not_permitted"),
        ("/whep/1001/ann", Some(&bob), SDP, &good, 422, "bad_sdp"),
    ] {
        let answer = post_as(path, token, kind, body).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {code}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
        assert_eq!(header(&answer, "access-control-allow-origin"), "*");
        let body = text(answer).await;
        assert!(body.starts_with(&format!("{code}: ")), "{path}: {body}");
        if path == "/whip/007" {
            assert!(
                body.contains("write the number without it, or text: before it for the text room"),
                "{body}"
            );
        }
    }
    eventually("nobody is left in a room", 5, || members(&server, 0));

    let session = Session::of(post(&server, "/whip/1001", &ann, &good).await).await;
    let foreign = request(&server, Method::DELETE, &session.path).bearer_auth(&bob);
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let mine = request(&server, Method::DELETE, &session.path).bearer_auth(&expired);
    assert_eq!(
        mine.send().await.unwrap().status(),
        StatusCode::OK,
        "an old token may still end its session"
    );
    let unknown = request(&server, Method::DELETE, "/whip/1001/0123456789abcdef")
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);

    let options = request(&server, Method::OPTIONS, "/whip/1001").send().await.unwrap();
    assert_eq!(options.status(), StatusCode::OK);
    assert_eq!(header(&options, "accept-post"), SDP);
    let exposed = header(&options, "access-control-expose-headers");
    assert!(
        ["Location", "ETag", "Link"].iter().all(|name| exposed.contains(name)),
        "{exposed}"
    );
    assert!(header(&options, "access-control-allow-headers").contains("Authorization"));
    let put = request(&server, Method::PUT, "/whip/1001").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(header(&put, "allow").contains("POST"));
    let get = request(&server, Method::GET, "/whip/1001").send().await.unwrap();
    assert_eq!(get.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_client_that_cannot_set_headers_learns_what_is_missing_and_publishes_where_that_is_permitted() {
    let (_, offer) = Peer::offer(Direction::SendOnly);
    let server = Server::start();
    let path = format!("/whip?stream=1001&token={}", ticket(&server, "ann", "600"));
    let post_plain = |server: &Server, path: &str| {
        let request = request(server, Method::POST, path).header("content-type", "text/plain");
        request.body(offer.clone()).send()
    };
    let refused = post_plain(&server, &path).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(text(refused).await.contains("signaling.whip_query_tokens"));
    // Such clients print the status line but not the body.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.http)).unwrap();
    let head = "POST /whip/1001 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    let status = answer.lines().next().unwrap();
    assert!(
        status.starts_with("HTTP/1.1 401 not_logged_in: the token is missing"),
        "{status}"
    );

    let server = Server::start_with(&[("ROTUNDA__SIGNALING__WHIP_QUERY_TOKENS", "true")]);
    let token = ticket(&server, "ann", "600");
    for path in [
        format!("/whip?stream=1001&token={token}"),
        format!("/whip/?room=text:a%20b&access_token={token}"),
        format!("/whip/1001/?access_token={token}"),
    ] {
        let session = Session::of(post_plain(&server, &path).await.unwrap()).await;
        let ended = request(&server, Method::DELETE, &session.path).send().await.unwrap();
        assert_eq!(ended.status(), StatusCode::OK, "{path} -> {}", session.path);
    }
    let roomless = post_plain(&server, &format!("/whip?token={token}")).await.unwrap();
    assert_eq!(roomless.status(), StatusCode::NOT_FOUND);
    assert!(text(roomless).await.contains("the room is missing"));
}

#[tokio::test]
async fn a_final_slash_changes_nothing() {
    let server = Server::start();
    let (ann, bob) = (ticket(&server, "ann", "600"), ticket(&server, "bob", "600"));
    let (_, offer) = Peer::offer(Direction::SendOnly);
    let (_, view) = Peer::offer(Direction::RecvOnly);
    let published = Session::of(post(&server, "/whip/1001/", &ann, &offer).await).await;
    assert!(
        published.path.starts_with("/whip/1001/") && !published.path.contains("//"),
        "{}",
        published.path
    );
    let watched = Session::of(post(&server, "/whep/1001/ann/", &bob, &view).await).await;
    for path in [watched.path, published.path] {
        let ended = request(&server, Method::DELETE, &format!("{path}/"))
            .send()
            .await
            .unwrap();
        assert_eq!(ended.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_session_below_a_proxys_path_can_be_ended_at_its_location() {
    const PREFIX: &str = "/rtc/v1";
    let (_, offer) = Peer::offer(Direction::SendOnly);
    let publish = async |server: &Server| {
        let request = request(server, Method::POST, "/whip/1001")
            .bearer_auth(ticket(server, "ann", "600"))
            .header("content-type", SDP)
            .header("x-forwarded-prefix", PREFIX);
        Session::of(request.body(offer.clone()).send().await.unwrap()).await
    };
    let is_ended = async |server: &Server, path: &str| {
        let ended = request(server, Method::DELETE, path).send().await.unwrap();
        ended.status() == StatusCode::OK
    };
    let server = Server::start_with(&[("ROTUNDA__SERVER__TRUSTED_PROXIES", "[]")]);
    let session = publish(&server).await;
    assert!(
        session.path.starts_with("/whip/"),
        "anybody may write the header: {}",
        session.path
    );

    let server = Server::start_with(&[("ROTUNDA__SERVER__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]")]);
    let session = publish(&server).await;
    let path = session.path.strip_prefix(PREFIX).expect("the client's path");
    assert!(is_ended(&server, path).await);

    let server = Server::start_with(&[("ROTUNDA__SERVER__PUBLIC_URL", "https://media.example.com/rtc")]);
    let session = publish(&server).await;
    let path = session
        .path
        .strip_prefix("https://media.example.com/rtc")
        .expect("the public address");
    assert!(is_ended(&server, path).await);
}
