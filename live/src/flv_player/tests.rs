use futures::FutureExt;
use rotunda_media::program::{ProgramHub, ProgramWriter, Track};

use super::*;
use crate::hls::program::TestProgram;

struct Test {
    hub: ProgramHub,
    writer: ProgramWriter,
    source: TestProgram,
    player: Player,
}

impl Test {
    /// A player who comes in the middle of a group of frames.
    fn new() -> Self {
        Self::with(TestProgram::new())
    }

    fn with(mut source: TestProgram) -> Self {
        let (hub, id) = (ProgramHub::new(), "1/s".parse().unwrap());
        let writer = hub.open(&id).unwrap();
        for frame in source.run(3.0, 4.0) {
            writer.write(frame);
        }
        let player = Player::new(hub.subscribe(&id).unwrap());
        Self {
            hub,
            writer,
            source,
            player,
        }
    }

    fn run(&mut self, seconds: f64) -> Vec<Arc<Frame>> {
        let frames = self.source.run(seconds, 1.0);
        for frame in &frames {
            self.writer.write(frame.clone());
        }
        frames
    }

    /// The pieces that are there, without waiting for more.
    fn pieces(&mut self) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        loop {
            self.player.gather(Clock.now());
            if self.player.pieces.is_empty() {
                return pieces;
            }
            pieces.extend(std::iter::from_fn(|| self.player.pieces.pop()));
        }
    }

    /// The times of all tags that are there, milliseconds.
    fn times(&mut self) -> Vec<u32> {
        tags(&self.pieces().concat())
    }

    fn is_closed(&mut self) -> bool {
        self.pieces();
        self.player.next().now_or_never() == Some(None)
    }
}

/// The times of the tags, each of which must be followed by its own size.
fn tags(mut bytes: &[u8]) -> Vec<u32> {
    bytes = match bytes.strip_prefix(b"FLV") {
        Some(rest) => &rest[10..],
        None => bytes,
    };
    let mut times = Vec::new();
    while !bytes.is_empty() {
        let length = 11 + u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]) as usize;
        times.push(u32::from_be_bytes([bytes[7], bytes[4], bytes[5], bytes[6]]));
        assert_eq!(bytes[length..length + 4], (length as u32).to_be_bytes());
        bytes = &bytes[length + 4..];
    }
    times
}

#[tokio::test]
async fn a_new_player_gets_a_keyframe_at_once() {
    let mut test = Test::new();
    let first = test.player.next().now_or_never().unwrap().unwrap();
    assert!(first.starts_with(b"FLV"));
    // Frame type 1 (keyframe), codec 7 (AVC), and a coded frame.
    assert!(first.windows(2).any(|bytes| bytes == [0x17, 1]));
}

#[test]
fn players_share_the_data_of_a_large_frame() {
    let mut test = Test::new();
    let mut other = Player::new(test.hub.subscribe(&"1/s".parse().unwrap()).unwrap());
    let frames = test.source.run(0.1, 1.0);
    let video = frames.iter().find(|frame| frame.track == Track::Video).unwrap();
    let mut large = Frame::clone(video);
    large.data = vec![7; COPIED + 1].into();
    test.writer.write(Arc::new(large.clone()));
    other.gather(Clock.now());
    let others = std::iter::from_fn(|| other.pieces.pop()).collect::<Vec<_>>();
    for pieces in [test.pieces(), others] {
        assert!(pieces.iter().any(|piece| piece.as_ptr() == large.data.as_ptr()));
        tags(&pieces.concat());
    }
}

#[test]
fn small_frames_that_are_due_together_are_one_piece() {
    let mut test = Test::with(TestProgram::audio_only());
    test.pieces();
    let frames = test.run(0.2);
    assert!(frames.len() > 5, "{} frames", frames.len());
    let pieces = test.pieces();
    assert_eq!(pieces.len(), 1);
    assert_eq!(tags(&pieces[0]).len(), frames.len());
}

#[tokio::test(start_paused = true)]
async fn a_frame_waits_for_others_no_longer_than_the_time_of_a_write() {
    let mut test = Test::with(TestProgram::audio_only());
    while test.player.state == State::Reading {
        test.player.next().await.unwrap();
    }
    test.run(0.1);
    let written = Clock.now();
    let first = test.player.next().await.expect("the stream goes on");
    assert!(!first.is_empty());
    assert!(Clock.now() - written <= GATHER, "after {:?}", Clock.now() - written);
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

#[tokio::test]
async fn a_player_that_falls_behind_again_and_again_is_closed() {
    let mut test = Test::new();
    for _ in 0..MOST_SKIPS - 1 {
        assert!(!test.is_closed());
        test.run(8.0);
    }
    assert!(!test.is_closed());
    test.run(8.0);
    assert!(test.is_closed());
}

#[test]
fn a_player_that_lost_frames_is_too_slow_as_well() {
    let mut test = Test::new();
    let before = *test.times().last().unwrap();
    test.run(40.0);
    let after = test.times();
    assert!(after[0] >= before + 38_900, "from {before} to {} ms", after[0]);
}

#[tokio::test]
async fn the_last_frames_come_before_the_end() {
    let mut test = Test::new();
    test.pieces();
    let frames = test.run(1.0);
    let Test { writer, mut player, .. } = test;
    drop(writer);
    let mut bytes = Vec::new();
    while let Some(piece) = player.next().await {
        bytes.extend(piece);
    }
    assert_eq!(tags(&bytes).len(), frames.len());
}
