//! HTTP-FLV: one endless response per player.
//!
//! A player that falls behind continues at the newest keyframe, and is closed when that happens too often. One that takes no byte is
//! closed by the listener.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use metrics::{counter, gauge};
use rotunda_listen::http::StallLimit;
use rotunda_media::mux::flv;
use rotunda_media::program::{ProgramReader, ReadError};
use rotunda_media::time::MediaTime;
use rotunda_proto::clock::Clock;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::timeline::{Step, Timeline};

/// A player with more waiting frames is too slow: 5 s of 25 frames and 47 audio frames a second.
const MOST_BEHIND: usize = 360;
/// A player that is too slow this often within [`SLOW_WITHIN`] is closed.
const MOST_SKIPS: usize = 3;
const SLOW_WITHIN: Duration = Duration::from_secs(60);

/// The program as FLV, from its last keyframe on. `stall`: how long the player may take no byte. `place`: its place among the players.
pub fn serve(
    reader: ProgramReader,
    stall: Duration,
    place: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) -> Response {
    gauge!("rotunda_live_players", "protocol" => "flv").increment(1.0);
    let player = Counted {
        player: Player::new(reader),
        shutdown,
        _place: place,
    };
    let frames = stream::unfold(player, |mut counted| async move {
        let bytes = tokio::select! {
            bytes = counted.player.next() => bytes,
            () = counted.shutdown.cancelled() => None,
        };
        Some((Ok::<_, std::convert::Infallible>(bytes?), counted))
    });
    let headers = [
        (header::CONTENT_TYPE, "video/x-flv"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (headers, Body::from_stream(frames.boxed())).into_response();
    response.extensions_mut().insert(StallLimit(stall));
    response
}

pub fn no_such_stream() -> Response {
    let body =
        serde_json::json!({ "error": { "code": "no_such_stream", "message": "no stream with that id is running" } });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

pub fn too_many_players() -> Response {
    counter!("rotunda_live_refused_total", "reason" => "players").increment(1);
    let message = "the server has reached live.flv_players; try again later";
    let body = serde_json::json!({ "error": { "code": "too_many_players", "message": message } });
    let headers = [(header::RETRY_AFTER, "5")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, axum::Json(body)).into_response()
}

/// A player that counts while it is there.
struct Counted {
    player: Player,
    shutdown: CancellationToken,
    _place: OwnedSemaphorePermit,
}

struct Player {
    reader: ProgramReader,
    timeline: Timeline,
    begun: bool,
    /// Time of the newest frame that was read.
    read: MediaTime,
    /// When it was too slow.
    skips: VecDeque<Instant>,
}

impl Player {
    fn new(reader: ProgramReader) -> Self {
        Self {
            reader,
            timeline: Timeline::new(),
            begun: false,
            read: MediaTime::new(0, 1),
            skips: VecDeque::new(),
        }
    }

    /// The next bytes; None at the end of the program, and when the player is too slow for it.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.reader.behind() > MOST_BEHIND && self.reader.skip_to_keyframe(self.read) {
                self.skip(Clock.now())?;
            }
            let frame = match self.reader.next().await {
                Ok(frame) => frame,
                Err(ReadError::Lagged(_)) => {
                    self.skip(Clock.now())?;
                    continue;
                }
                Err(ReadError::Ended) => return None,
            };
            self.read = self.read.max(frame.pts);
            let (start, timestamp_ms) = match self.timeline.step(&frame) {
                Step::Skip => continue,
                Step::Begin { timestamp_ms } => (flv::start_tags(&frame.header, timestamp_ms), timestamp_ms),
                Step::Go { timestamp_ms } => (Bytes::new(), timestamp_ms),
            };
            let tag = flv::frame_tag(&frame, timestamp_ms);
            if start.is_empty() {
                return Some(tag);
            }
            let file = if self.begun {
                Bytes::new()
            } else {
                flv::file_header(&frame.header)
            };
            self.begun = true;
            return Some([file, start, tag].concat().into());
        }
    }

    /// The player continues at a keyframe; None: it was too slow too often.
    fn skip(&mut self, now: Instant) -> Option<()> {
        counter!("rotunda_live_skips_total").increment(1);
        self.timeline.lose();
        self.skips.retain(|at| now.saturating_duration_since(*at) < SLOW_WITHIN);
        self.skips.push_back(now);
        if self.skips.len() >= MOST_SKIPS {
            counter!("rotunda_live_dropped_total").increment(1);
            return None;
        }
        Some(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("rotunda_live_players", "protocol" => "flv").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use rotunda_media::program::{ProgramHub, ProgramWriter};

    use super::*;
    use crate::hls::program::TestProgram;

    struct Test {
        writer: ProgramWriter,
        source: TestProgram,
        player: Player,
    }

    impl Test {
        /// A player who comes in the middle of a group of frames.
        fn new() -> Self {
            let (hub, id) = (ProgramHub::new(), "1/s".parse().unwrap());
            let writer = hub.open(&id).unwrap();
            let mut source = TestProgram::new();
            for frame in source.run(3.0, 4.0) {
                writer.write(frame);
            }
            let player = Player::new(hub.subscribe(&id).unwrap());
            Self { writer, source, player }
        }

        fn run(&mut self, seconds: f64) {
            for frame in self.source.run(seconds, 1.0) {
                self.writer.write(frame);
            }
        }

        /// What the player gets without waiting.
        fn next(&mut self) -> Option<Bytes> {
            self.player.next().now_or_never().expect("something is there")
        }

        /// The times of all tags that are there, milliseconds.
        fn times(&mut self) -> Vec<u32> {
            let mut times = Vec::new();
            while let Some(Some(bytes)) = self.player.next().now_or_never() {
                // The last tag: its length is in the last four bytes.
                let length = u32::from_be_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize;
                let tag = &bytes[bytes.len() - 4 - length..];
                times.push(u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]));
            }
            times
        }
    }

    #[test]
    fn a_new_player_gets_a_keyframe_at_once() {
        let mut test = Test::new();
        let first = test.next().unwrap();
        assert!(first.starts_with(b"FLV"));
        // Frame type 1 (keyframe), codec 7 (AVC), and a coded frame.
        assert!(first.windows(2).any(|bytes| bytes == [0x17, 1]));
    }

    #[test]
    fn a_player_that_falls_behind_continues_at_the_newest_keyframe() {
        let mut test = Test::new();
        let before = *test.times().last().unwrap();
        test.run(8.0);
        let after = test.times();
        // There is a keyframe every second.
        assert!(after[0] >= before + 6900, "from {before} to {} ms", after[0]);
        let is_close = |pair: &[u32]| pair[0].abs_diff(pair[1]) < 200;
        assert!(after.windows(2).all(is_close), "time goes on: {after:?}");
        // It keeps up from now on.
        test.run(2.0);
        assert!(!test.times().is_empty());
    }

    #[test]
    fn a_player_that_falls_behind_again_and_again_is_closed() {
        let mut test = Test::new();
        for _ in 0..MOST_SKIPS - 1 {
            assert!(test.next().is_some());
            test.run(8.0);
        }
        assert!(test.next().is_some());
        test.run(8.0);
        assert_eq!(test.next(), None);
    }

    #[test]
    fn a_player_that_lost_frames_is_too_slow_as_well() {
        let mut test = Test::new();
        let before = *test.times().last().unwrap();
        test.run(40.0);
        let after = test.times();
        assert!(after[0] >= before + 38_900, "from {before} to {} ms", after[0]);
    }
}
