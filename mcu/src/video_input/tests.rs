use rotunda_media::codec::{ForceKey, H264EncoderConfig, VpxCodec, VpxEncoder};
use rotunda_media::mark::{self, Mark};
use rotunda_media::video_frame::Yuv;

use rotunda_media::codec::VideoCodec;

use super::*;

const FRAME: Micros = 40_000;
const SECOND: Micros = 1_000_000;

/// `count` marked VP8 frames; a keyframe every `gop`.
fn clip(count: u16, gop: u32) -> Vec<CodedVideo> {
    let config = H264EncoderConfig {
        width: 320,
        height: 180,
        bitrate_kbps: 500,
        framerate: 25,
        gop_frames: gop,
    };
    let mut encoder = VpxEncoder::new(VpxCodec::Vp8, config).unwrap();
    let frames = (0..count).map(|count| {
        let mut frame = VideoFrame::filled(320, 180, Yuv::from_rgb(0x60_6060));
        let whole = frame.rect();
        mark::draw(&mut frame, whole, Mark { id: 1, count });
        let coded = encoder.encode(&frame, ForceKey::No).unwrap();
        CodedVideo {
            codec: VideoCodec::Vp8,
            data: coded.data.as_ref().into(),
            is_key: coded.is_key,
            contiguous: true,
            rotation: None,
        }
    });
    frames.collect()
}

fn count(input: &VideoInput, now: Micros) -> Option<u16> {
    match input.state(now, TrackSource::Camera) {
        InputState::Live(frame, _) => Some(mark::read(frame.y(), frame.width(), frame.rect())?.count),
        InputState::None | InputState::Frozen(..) => None,
    }
}

#[test]
fn frames_wait_coded_and_are_decoded_when_they_are_due() {
    let mut input = VideoInput::new();
    for (frame, at) in clip(10, 100).iter().zip(0..) {
        input.handle_frame(SECOND + at * FRAME, frame);
    }
    assert!(input.decoder.is_none());
    input.handle_tick(SECOND - 1, 0);
    assert_eq!(count(&input, SECOND), None);
    input.handle_tick(SECOND + 3 * FRAME, 0);
    assert_eq!(count(&input, SECOND), Some(3));
    assert_eq!(input.waiting.len(), 6);
}

#[test]
fn after_an_overload_decoding_goes_on_at_the_last_keyframe_and_the_rest_is_counted() {
    let mut input = VideoInput::new();
    for (frame, at) in clip(90, 25).iter().zip(0..) {
        input.handle_frame(at * FRAME, frame);
    }
    input.handle_tick(80 * FRAME, 0);
    assert_eq!(count(&input, 80 * FRAME), Some(80));
    let shed = input.take_shed_frames();
    assert!((50..=80).contains(&shed), "{shed}");
}

#[test]
fn an_overload_without_a_keyframe_ends_with_the_next_one_and_never_with_a_torn_frame() {
    let mut input = VideoInput::new();
    let frames = clip(120, 100);
    input.handle_frame(0, &frames[0]);
    input.handle_tick(0, 0);
    for (frame, at) in frames[1..90].iter().zip(1..) {
        input.handle_frame(at * FRAME, frame);
    }
    input.handle_tick(50 * FRAME, 0);
    assert_eq!(count(&input, 50 * FRAME), Some(0), "the last good frame stays");
    assert!(input.take_key_request(50 * FRAME));
    for (frame, at) in frames[90..].iter().zip(90..) {
        input.handle_frame(at * FRAME, frame);
    }
    input.handle_tick(110 * FRAME, 0);
    assert_eq!(count(&input, 110 * FRAME), Some(110));
}

#[test]
fn the_jitter_buffer_is_bounded() {
    let mut input = VideoInput::new();
    let frames = clip(2, 100);
    input.handle_frame(SECOND, &frames[0]);
    for _ in 0..10 * MAX_FRAMES {
        input.handle_frame(SECOND, &frames[1]);
    }
    assert!(input.waiting.len() <= MAX_FRAMES);
    assert!(input.take_key_request(0));
}

#[test]
fn a_camera_that_sends_nothing_is_frozen_and_a_screen_that_stands_still_is_not() {
    let mut input = VideoInput::new();
    input.handle_frame(0, &clip(1, 100)[0]);
    input.handle_tick(0, 0);
    let later = FROZEN_AFTER;
    assert!(matches!(
        input.state(later - 1, TrackSource::Camera),
        InputState::Live(..)
    ));
    assert!(matches!(
        input.state(later, TrackSource::Camera),
        InputState::Frozen(..)
    ));
    assert!(matches!(
        input.state(60 * SECOND, TrackSource::Screen),
        InputState::Live(..)
    ));
}

#[test]
fn undecodable_frames_do_not_keep_a_video_alive() {
    let mut input = VideoInput::new();
    let frames = clip(2, 100);
    input.handle_frame(0, &frames[0]);
    input.handle_tick(0, 0);
    let mut lost = frames[1].clone();
    lost.contiguous = false;
    for n in 1..200 {
        input.handle_frame(n * FRAME, &lost);
        input.handle_tick(n * FRAME, 0);
    }
    for source in [TrackSource::Camera, TrackSource::Screen] {
        assert!(matches!(input.state(200 * FRAME, source), InputState::Frozen(..)));
    }
    input.handle_frame(201 * FRAME, &frames[0]);
    input.handle_tick(201 * FRAME, 0);
    assert!(matches!(
        input.state(201 * FRAME, TrackSource::Screen),
        InputState::Live(..)
    ));
}

#[test]
fn damaged_data_waits_for_a_keyframe_and_keeps_the_last_good_frame() {
    let mut input = VideoInput::new();
    let mut frames = clip(6, 100);
    frames[3].data = [0xff; 3].into();
    frames[3].codec = VideoCodec::H264;
    for (frame, at) in frames.iter().zip(0..) {
        input.handle_frame(at * FRAME, frame);
        input.handle_tick(at * FRAME, 0);
    }
    assert_eq!(count(&input, 6 * FRAME), Some(2));
    assert!(input.take_key_request(6 * FRAME));
}

#[test]
fn the_frame_nearest_to_the_tick_is_shown() {
    const TICK: Micros = SECOND / 15;
    // 25 frames a second, 15 ticks a second.
    let frames = clip(100, 100);
    let mut input = VideoInput::new();
    for (frame, number) in frames.iter().zip(0..) {
        input.handle_frame(number * FRAME, frame);
    }
    for tick in 0..50 {
        let now = tick * TICK;
        input.handle_tick(now, TICK / 2);
        let shown = Micros::from(count(&input, now).unwrap()) * FRAME;
        assert!((shown - now).abs() <= FRAME / 2, "{shown} at {now}");
        assert!(!input.is_due(now, TICK / 2));
    }
}

#[test]
fn a_frame_that_is_nearer_to_the_next_tick_waits_for_it() {
    const TICK: Micros = SECOND / 15;
    let frames = clip(2, 100);
    let mut input = VideoInput::new();
    input.handle_frame(0, &frames[0]);
    input.handle_frame(TICK + 40_000, &frames[1]);
    input.handle_tick(0, TICK / 2);
    input.handle_tick(TICK, TICK / 2);
    assert_eq!(count(&input, TICK), Some(0));
    input.handle_tick(2 * TICK, TICK / 2);
    assert_eq!(count(&input, 2 * TICK), Some(1));
}
