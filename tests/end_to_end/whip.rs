//! Publishing by WHIP and watching by WHEP, with a WebRTC peer on `str0m`; and the answer to each wrong request.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::support::{Server, eventually};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rotunda_proto::clock::Clock;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

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

/// A created session.
struct Session {
    path: String,
    etag: String,
    answer: String,
}

impl Session {
    async fn of(response: Response) -> Self {
        let (status, path, etag) = (
            response.status(),
            header(&response, "location"),
            header(&response, "etag"),
        );
        let kind = header(&response, "content-type");
        let patches = header(&response, "accept-patch");
        let answer = text(response).await;
        assert_eq!((status, kind.as_str()), (StatusCode::CREATED, SDP), "{answer}");
        assert_eq!(patches, FRAGMENT);
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        Self { path, etag, answer }
    }
}

fn request(server: &Server, method: Method, path: &str) -> RequestBuilder {
    Client::new()
        .request(method, server.url(path))
        .timeout(Duration::from_secs(10))
}

async fn post(server: &Server, path: &str, token: &str, offer: &str) -> Response {
    let request = request(server, Method::POST, path)
        .bearer_auth(token)
        .header("content-type", SDP);
    request.body(offer.to_owned()).send().await.unwrap()
}

async fn patch(server: &Server, path: &str, if_match: Option<&str>, fragment: &str) -> Response {
    let request = request(server, Method::PATCH, path).header("content-type", FRAGMENT);
    let request = if_match
        .into_iter()
        .fold(request, |request, tag| request.header("if-match", tag));
    request.body(fragment.to_owned()).send().await.unwrap()
}

async fn text(response: Response) -> String {
    response.text().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    value
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

fn ticket(server: &Server, user: &str, life: &str) -> String {
    let output = server.run(&["user-sig", user, "--life", life]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn members(server: &Server, count: u32) -> Option<()> {
    let metrics = server.get("/metrics");
    metrics
        .contains(&format!("rotunda_signaling_members {count}\n"))
        .then_some(())
}

fn video_line(mid: u8) -> String {
    format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=sendonly\r\n")
}

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

/// Drives both peers until `done`; the publisher sends one video and one audio frame every 20 ms.
fn drive(what: &str, publisher: &mut Peer, viewer: &mut Peer, done: impl Fn(&Peer) -> bool) {
    let clock = Clock;
    let deadline = clock.now() + Duration::from_secs(20);
    let mut next = clock.now();
    while !done(viewer) {
        assert!(clock.now() < deadline, "{what}: {:?} after 20 s", viewer.frames);
        publisher.turn();
        viewer.turn();
        if clock.now() >= next {
            publisher.send();
            next += Duration::from_millis(20);
        }
    }
}

/// A WebRTC peer with one audio and one video line.
struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    pending: Option<SdpPendingOffer>,
    audio: Mid,
    video: Mid,
    started: Instant,
    frames: HashMap<Mid, usize>,
}

impl Peer {
    fn offer(direction: Direction) -> (Self, String) {
        let now = Clock.now();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        let mut changes = rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, direction, None, None, None);
        let video = changes.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = changes.apply().unwrap();
        let peer = Self {
            rtc,
            socket,
            pending: Some(pending),
            audio,
            video,
            started: now,
            frames: HashMap::new(),
        };
        (peer, offer.to_sdp_string())
    }

    fn accept(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// Makes new ICE credentials; returns the fragment that contains them.
    fn restart_ice(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().unwrap();
        self.pending = Some(pending);
        let offer = offer.to_sdp_string();
        let of = |name: &str| offer.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        format!("{}\r\n{}\r\n", of("a=ice-ufrag:"), of("a=ice-pwd:"))
    }

    /// Sends what is due, and receives for 2 ms.
    fn turn(&mut self) {
        let clock = Clock;
        self.rtc.handle_input(Input::Timeout(clock.now())).unwrap();
        self.drain();
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let to = self.socket.local_addr().unwrap();
            let Ok(receive) = Receive::new(Protocol::Udp, from, to, &buffer[..length]) else {
                continue;
            };
            let input = Input::Receive(clock.now(), receive);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input).unwrap();
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let _lost = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(Event::MediaData(frame)) => *self.frames.entry(frame.mid).or_default() += 1,
                Output::Event(_) => {}
            }
        }
    }

    fn received(&self, kind: MediaKind) -> usize {
        let mid = if kind.is_audio() { self.audio } else { self.video };
        self.frames.get(&mid).copied().unwrap_or_default()
    }

    /// A small VP8 keyframe and 20 ms of Opus.
    fn send(&mut self) {
        if !self.rtc.is_connected() {
            return;
        }
        let now = Clock.now();
        let elapsed = now.saturating_duration_since(self.started);
        // RFC 6386 §9.1: keyframe, start code, 320x240.
        let frame = [0x10, 0x02, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0, 1, 2, 3, 4, 5, 6];
        let frames = [
            (self.audio, Codec::Opus, Frequency::FORTY_EIGHT_KHZ, vec![0xfc; 40]),
            (self.video, Codec::Vp8, Frequency::NINETY_KHZ, frame.to_vec()),
        ];
        for (mid, codec, frequency, data) in frames {
            let Some(writer) = self.rtc.writer(mid) else { return };
            let pt = writer
                .payload_params()
                .find(|params| params.spec().codec == codec)
                .unwrap()
                .pt();
            let ticks = elapsed.as_millis() as u64 * u64::from(frequency.get()) / 1000;
            writer.write(pt, now, MediaTime::new(ticks, frequency), data).unwrap();
            self.rtc.handle_input(Input::Timeout(now)).unwrap();
            self.drain();
        }
    }
}
