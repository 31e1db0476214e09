use std::time::Duration;

use rotunda_media::codec::h264::{nal_type, nal_units};
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, Track};
use rotunda_proto::clock::Clock;

use super::*;
use crate::hls::program::TestProgram;

/// After all frames of a test.
const LONG: Duration = Duration::from_secs(3600);

/// A source that sends a program in real time.
struct Test {
    begin: Instant,
    core: Core,
}

impl Test {
    fn new() -> Self {
        let begin = Clock.now();
        Self {
            begin,
            core: Core::new(begin),
        }
    }

    fn headers(&mut self, frame: &Frame) -> Result<(), MediaRefusal> {
        if let Some(video) = &frame.header.video {
            self.core.handle_video(self.begin, 0, &flv::video_config_body(video))?;
        }
        self.core
            .handle_audio(self.begin, 0, &flv::audio_config_body(&frame.header))
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), MediaRefusal> {
        let milliseconds = frame.pts.millis();
        let (now, body) = (self.begin + Duration::from_millis(milliseconds), body(frame));
        match frame.track {
            Track::Video => self.core.handle_video(now, milliseconds as u32, &body),
            Track::Audio => self.core.handle_audio(now, milliseconds as u32, &body),
        }
    }

    fn frames(&mut self, source: TrackSource) -> Vec<Encoded> {
        let all = std::iter::from_fn(|| self.core.poll_frame(self.begin + LONG));
        all.filter(|frame| frame.source == source).collect()
    }
}

fn body(frame: &Frame) -> Vec<u8> {
    [flv::body_head(frame.track, frame.is_key), &frame.data].concat()
}

#[test]
fn h264_comes_out_as_it_is_and_aac_as_opus_on_one_clock() {
    let mut test = Test::new();
    let program = TestProgram::new().run(2.0, 1.0);
    test.headers(&program[0]).unwrap();
    for frame in &program {
        test.frame(frame).unwrap();
    }
    let begin = test.begin;
    let all: Vec<Encoded> = std::iter::from_fn(|| test.core.poll_frame(begin + LONG)).collect();
    let of = |source| all.iter().filter(move |frame| frame.source == source);
    assert_eq!(of(TrackSource::Camera).count(), 30);
    assert!((90..=100).contains(&of(TrackSource::Audio).count()), "20 ms each");
    for frame in &all {
        let rate = if frame.source == TrackSource::Camera {
            90_000
        } else {
            48_000
        };
        let rtp = Duration::from_nanos(frame.ticks * 1_000_000_000 / rate);
        let difference = rtp.abs_diff(frame.captured - begin);
        assert!(
            difference < Duration::from_millis(1),
            "RTP time and capture time: {difference:?}"
        );
    }
    let first = of(TrackSource::Camera).next().unwrap();
    let kinds: Vec<u8> = nal_units(&first.data).map(nal_type).collect();
    assert_eq!(kinds, [7, 8, 5], "parameter sets and an IDR slice");
}

#[test]
fn a_source_that_begins_between_keyframes_is_shown_from_the_next_one_on() {
    let mut test = Test::new();
    let program = TestProgram::new().run(2.0, 1.0);
    let video: Vec<_> = program.iter().filter(|frame| frame.track == Track::Video).collect();
    test.frame(video[0]).unwrap();
    assert!(test.frames(TrackSource::Camera).is_empty(), "without a header");
    test.headers(video[0]).unwrap();
    for frame in &video[1..] {
        test.frame(frame).unwrap();
    }
    assert_eq!(test.frames(TrackSource::Camera).len(), 15);
}

#[test]
fn b_frames_are_refused_and_a_constant_delay_of_the_encoder_is_not() {
    let with = |composition: [u8; 4]| {
        let mut test = Test::new();
        let program = TestProgram::new().run(1.0, 1.0);
        test.headers(&program[0]).unwrap();
        let video = program.iter().filter(|frame| frame.track == Track::Video);
        video.zip(composition.into_iter().cycle()).try_for_each(|(frame, ms)| {
            let mut body = body(frame);
            body[4] = ms;
            test.core.handle_video(test.begin, frame.pts.millis() as u32, &body)
        })
    };
    assert!(with([67, 66, 67, 66]).is_ok());
    let refused = with([66, 133, 0, 33]).unwrap_err();
    assert!(matches!(refused, MediaRefusal::BFrames));
    assert!(refused.to_string().contains("B-frames to 0"), "{refused}");
}

#[test]
fn a_frame_leaves_when_its_time_has_come_however_early_it_came() {
    let mut test = Test::new();
    let program = TestProgram::new().run(1.0, 1.0);
    test.headers(&program[0]).unwrap();
    for frame in program.iter().filter(|frame| frame.track == Track::Video) {
        let timestamp = frame.pts.millis() as u32;
        test.core.handle_video(test.begin, timestamp, &body(frame)).unwrap();
    }
    let now = test.begin + Duration::from_millis(200);
    let sent: Vec<Encoded> = std::iter::from_fn(|| test.core.poll_frame(now)).collect();
    assert_eq!(sent.len(), 4, "of 0, 66, 133 and 200 ms");
    assert!(sent.iter().all(|frame| frame.captured <= now));
    assert!(test.core.due() > Some(now));
}

#[test]
fn two_frames_of_one_timestamp_have_two_rtp_times() {
    let mut test = Test::new();
    let program = TestProgram::new().run(1.0, 1.0);
    test.headers(&program[0]).unwrap();
    for frame in program.iter().filter(|frame| frame.track == Track::Video) {
        test.core.handle_video(test.begin, 500, &body(frame)).unwrap();
    }
    let ticks: Vec<u64> = test
        .frames(TrackSource::Camera)
        .iter()
        .map(|frame| frame.ticks)
        .collect();
    assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
}

#[test]
fn audio_that_comes_after_the_video_of_a_later_time_leaves_in_its_time() {
    let mut test = Test::new();
    let program = TestProgram::new().run(3.0, 1.0);
    test.headers(&program[0]).unwrap();
    // As ffmpeg packs audio in transport streams.
    let mut packed: Vec<&Frame> = program.iter().map(AsRef::as_ref).collect();
    packed.sort_by_key(|frame| (frame.pts.millis() / 350, frame.track == Track::Audio));
    let mut rest = packed.into_iter();
    let mut sent = 0;
    for ms in (0..4000).step_by(5) {
        let now = test.begin + Duration::from_millis(ms);
        while test.core.resume_at(now).is_none()
            && let Some(frame) = rest.next()
        {
            let (timestamp, body) = (frame.pts.millis() as u32, body(frame));
            let handled = match frame.track {
                Track::Video => test.core.handle_video(now, timestamp, &body),
                Track::Audio => test.core.handle_audio(now, timestamp, &body),
            };
            handled.unwrap();
        }
        while let Some(frame) = test.core.poll_frame(now) {
            let late = now - frame.captured;
            assert!(late < Duration::from_millis(10), "{:?} late: {late:?}", frame.source);
            sent += 1;
        }
    }
    assert!(sent > 180, "{sent} frames");
}
