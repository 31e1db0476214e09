use std::io::Read;
use std::sync::Arc;

use axum::body::to_bytes;
use futures::FutureExt;
use rotunda_media::mux::segmenter::Segmenter;
use rotunda_media::program::Frame;
use rotunda_proto::ids::StreamKey;

use super::*;
use crate::hls::Latency;
use crate::hls::program::TestProgram;

const NOON: Duration = Duration::from_secs(1_581_826_332);
const FIRST: u64 = NOON.as_secs();

/// A stream whose frames the test gives, and a player.
struct Test {
    window: watch::Sender<Window>,
    hls: Hls,
    segmenter: Segmenter,
    source: TestProgram,
    found: Found,
}

impl Test {
    fn new(key: PlayKey) -> Self {
        let window = Window::new(2, 3, Latency::Low, NOON);
        let segmenter = Segmenter::new(window.lengths(), NOON);
        let (window, receiver) = watch::channel(window);
        let stream: StreamKey = "1/s".parse().unwrap();
        Self {
            window,
            hls: Hls {
                window: receiver,
                asked: watch::channel(None).0,
            },
            segmenter,
            source: TestProgram::new(),
            found: Found { stream, key },
        }
    }

    /// A keyframe every two seconds.
    fn run(&mut self, seconds: f64) {
        for frame in self.source.run(seconds, 2.0) {
            self.handle_frame(frame);
        }
    }

    fn handle_frame(&mut self, frame: Arc<Frame>) {
        use rotunda_media::mux::segmenter::Output;
        self.segmenter.handle_frame(frame).unwrap();
        while let Some(output) = self.segmenter.poll_output() {
            self.window.send_modify(|window| match output {
                Output::Begin(start) => {
                    let at = NOON + start.at.duration();
                    window.begin(start, at, false);
                }
                Output::Chunk(chunk) => window.add_part(chunk.bytes, chunk.duration),
                Output::End(end) => window.end_segment(end.duration),
            });
        }
    }

    fn request(&self, query: &'static str) -> impl Future<Output = Response> + use<> {
        let (hls, found) = (self.hls.clone(), self.found.clone());
        async move { playlist(hls, &found, query, &HeaderMap::new()).await }
    }

    fn piece(&self, piece: Piece) -> impl Future<Output = Response> + use<> {
        super::piece(self.hls.clone(), piece)
    }
}

async fn text(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn directives_are_read_and_wrong_ones_are_named() {
    let position = |segment, part| Ok(Some(Position { segment, part }));
    assert_eq!(wanted("a=b"), Ok(None));
    assert_eq!(wanted("_HLS_msn=7"), position(7, None));
    assert_eq!(wanted("a=b&_HLS_msn=7&_HLS_part=2"), position(7, Some(2)));
    assert!(wanted("_HLS_part=2").is_err() && wanted("_HLS_msn=x").is_err());
    assert_eq!(without_directives("txTime=1&_HLS_msn=7&_HLS_part=2"), "txTime=1");
}

#[tokio::test]
async fn a_playlist_is_held_back_until_the_wanted_part_is_there() {
    let mut test = Test::new(PlayKey::NotNeeded);
    test.run(2.8);
    let now = text(test.request("").await).await;
    assert!(now.contains("CAN-BLOCK-RELOAD=YES"), "{now}");
    // The second segment has two parts of five frames.
    let (last, hint) = (format!("s/{}.1.m4s", FIRST + 1), format!("s/{}.2.m4s", FIRST + 1));
    assert!(now.contains(&last), "{now}");
    assert!(
        now.contains(&format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"")),
        "{now}"
    );

    let mut waiting = Box::pin(test.request("_HLS_msn=1581826333&_HLS_part=2"));
    assert!((&mut waiting).now_or_never().is_none());
    let mut hinted = Box::pin(test.piece(Piece::Part(FIRST + 1, 2)));
    assert!((&mut hinted).now_or_never().is_none());
    test.run(0.5);
    let later = text(waiting.await).await;
    assert!(later.contains(&format!("URI=\"{hint}\"")), "{later}");
    assert_eq!(hinted.await.status(), StatusCode::OK);

    // The segment as a whole.
    let mut waiting = Box::pin(test.request("_HLS_msn=1581826333"));
    assert!((&mut waiting).now_or_never().is_none());
    test.run(2.0);
    let whole = text(waiting.await).await;
    assert!(whole.contains(&format!("\ns/{}.m4s\n", FIRST + 1)), "{whole}");

    // A part after the last one of its segment is the first one of the next segment, which is there.
    let next = test.request("_HLS_msn=1581826333&_HLS_part=99").await;
    assert_eq!(next.status(), StatusCode::OK);
    let much_later = test.request("_HLS_msn=1581826399").await;
    assert_eq!(much_later.status(), StatusCode::BAD_REQUEST);
    let wrong = test.request("_HLS_part=1").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_players_wait_ends_with_the_stream() {
    let mut test = Test::new(PlayKey::NotNeeded);
    test.run(2.8);
    let waiting = test.request("_HLS_msn=1581826333");
    let hinted = test.piece(Piece::Part(FIRST + 1, 2));
    test.window.send_modify(Window::end);
    let ended = text(waiting.await).await;
    assert!(
        ended.ends_with("#EXT-X-ENDLIST\n") && !ended.contains("PRELOAD"),
        "{ended}"
    );
    assert_eq!(hinted.await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_parts_of_a_segment_are_the_segment() {
    let mut test = Test::new(PlayKey::NotNeeded);
    test.run(4.2);
    let body = async |piece| {
        let response = test.piece(piece).await;
        assert_eq!(response.status(), StatusCode::OK);
        to_bytes(response.into_body(), 1 << 20).await.unwrap()
    };
    let mut joined = Vec::new();
    for part in 0..6 {
        joined.extend(body(Piece::Part(FIRST, part)).await);
    }
    assert_eq!(joined, body(Piece::Segment(FIRST)).await);
    let none = test.piece(Piece::Part(FIRST, 6)).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_play_key_goes_on_with_every_address_without_the_directives() {
    let mut test = Test::new(PlayKey::Needed);
    test.run(2.8);
    let text = text(test.request("txTime=1&_HLS_msn=1581826332").await).await;
    let addresses: Vec<&str> = text.lines().filter(|line| line.contains(".m4s")).collect();
    assert!(addresses.len() > 5);
    for address in addresses {
        assert!(
            address.contains(".m4s?txTime=1") && !address.contains("_HLS_"),
            "{address}"
        );
    }
}

#[test]
fn a_playlist_that_the_player_has_already_is_not_sent_again() {
    let mut headers = HeaderMap::new();
    let first = unless_known("#EXTM3U 1", &headers);
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()[header::ETAG].clone();
    headers.insert(header::IF_NONE_MATCH, tag);
    assert_eq!(unless_known("#EXTM3U 1", &headers).status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unless_known("#EXTM3U 2", &headers).status(), StatusCode::OK);
}

#[tokio::test]
async fn a_playlist_is_compressed_for_players_that_take_that() {
    let long = "#EXTM3U\n".repeat(100);
    let accepting = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
        headers
    };
    let response = unless_known(&long, &accepting("br, gzip;q=0.8"));
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let tag = response.headers()[header::ETAG].clone();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, long);
    for other in ["br", "gzip;q=0", "identity"] {
        let response = unless_known(&long, &accepting(other));
        assert_eq!(response.headers().get(header::CONTENT_ENCODING), None, "{other}");
        assert_ne!(response.headers()[header::ETAG], tag);
    }
}
