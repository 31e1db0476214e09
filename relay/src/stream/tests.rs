use rotunda_media::codec::{AacDecoder, ForceKey, H264Encoder, H264EncoderConfig, OpusEncoder, VideoCodec};
use rotunda_media::program::AbsenceReason;
use rotunda_media::video_frame::{VideoFrame, Yuv};

use super::*;

const BOTH: Tracks = Tracks {
    audio: Sent::Yes,
    video: Sent::Yes,
};
const FRAME_TIME: Micros = 66_000;

/// A publisher and the core of their stream on one virtual clock.
struct Test {
    core: StreamCore,
    now: Micros,
    camera: H264Encoder,
    microphone: OpusEncoder,
    /// Of the microphone, 1 or 2.
    channels: u8,
    next_video: Micros,
    next_audio: Micros,
    frames: Vec<Arc<Frame>>,
}

impl Test {
    fn new(kind: StreamKind, tracks: Tracks) -> Self {
        let config = H264EncoderConfig {
            width: 160,
            height: 90,
            bitrate_kbps: 100,
            framerate: 15,
            gop_frames: 300,
        };
        Self {
            core: StreamCore::new(kind, tracks),
            now: 5_000_000,
            camera: H264Encoder::new(config).unwrap(),
            microphone: OpusEncoder::new(2, 64).unwrap(),
            channels: 2,
            next_video: 5_000_000,
            next_audio: 5_000_000,
            frames: Vec::new(),
        }
    }

    fn speak(&mut self, channels: u8) {
        self.microphone = OpusEncoder::new(channels, 64).unwrap();
        self.channels = channels;
    }

    /// Lets time pass; the publisher sends what it is told to.
    fn run(&mut self, time: Micros, sends: Tracks) {
        let until = self.now + time;
        while self.now < until {
            self.now += 10_000;
            if self.next_audio <= self.now {
                if sends.audio == Sent::Yes {
                    let packet = self
                        .microphone
                        .encode(&[0.1; 1920][..960 * usize::from(self.channels)])
                        .unwrap();
                    self.core.handle_audio(self.next_audio, &packet.as_ref().into());
                }
                self.next_audio += 20_000;
            }
            if self.next_video <= self.now {
                if sends.video == Sent::Yes {
                    let force = match self.core.take_key_request(self.now) {
                        true => ForceKey::Yes,
                        false => ForceKey::No,
                    };
                    let picture = VideoFrame::filled(160, 90, Yuv::from_rgb(0x40_60_80));
                    let frame = self.camera.encode(&picture, force).unwrap();
                    let coded = CodedVideo {
                        codec: VideoCodec::H264,
                        data: frame.data.as_ref().into(),
                        is_key: frame.is_key,
                        contiguous: true,
                        rotation: None,
                    };
                    self.core.handle_video(self.next_video, &coded).unwrap();
                }
                self.next_video += FRAME_TIME;
            }
            self.core.handle_tick(self.now).unwrap();
            self.frames.extend(std::iter::from_fn(|| self.core.poll_frame()));
        }
    }

    fn of(&self, track: Track) -> Vec<Arc<Frame>> {
        self.frames
            .iter()
            .filter(|frame| frame.track == track)
            .cloned()
            .collect()
    }
}

fn seconds(frame: &Frame) -> f64 {
    frame.pts.duration().as_secs_f64()
}

#[test]
fn a_program_begins_with_a_keyframe_and_its_audio_has_no_gap() {
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(6_000_000, BOTH);
    let (video, audio) = (test.of(Track::Video), test.of(Track::Audio));
    assert!(video[0].is_key && video[0].pts.ticks() == 0);
    for (number, frame) in audio.iter().enumerate() {
        assert_eq!(frame.pts.ticks(), 1024 * number as u64);
    }
    assert!(seconds(video.last().unwrap()) > 5.4 && seconds(audio.last().unwrap()) > 5.4);
    let keys = video.iter().filter(|frame| frame.is_key).count();
    assert_eq!(keys, 2, "one is requested after four seconds");
    for pair in test.frames.windows(2) {
        let back = seconds(&pair[0]) - seconds(&pair[1]);
        assert!(back < 0.03, "frames come in order of time: {back}");
    }
}

#[test]
fn a_microphone_in_mono_makes_mono_and_music_in_stereo_makes_stereo() {
    for channels in [1, 2] {
        let mut test = Test::new(StreamKind::Main, BOTH);
        test.speak(channels);
        test.run(2_000_000, BOTH);
        assert!(!test.frames.is_empty());
        assert!(test.frames.iter().all(|frame| frame.header.audio.channels == channels));
    }
}

#[test]
fn audio_that_becomes_stereo_changes_the_program_at_a_keyframe_and_without_a_gap() {
    let only_audio = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    for sent in [BOTH, only_audio] {
        let mut test = Test::new(StreamKind::Main, sent);
        test.speak(1);
        test.run(3_000_000, sent);
        test.speak(2);
        test.run(3_000_000, sent);
        let audio = test.of(Track::Audio);
        for (number, frame) in audio.iter().enumerate() {
            assert_eq!(frame.pts.ticks(), 1024 * number as u64);
        }
        let position = |frames: &[Arc<Frame>]| {
            frames
                .iter()
                .position(|frame| frame.header.audio.channels == 2)
                .unwrap()
        };
        let change = position(&test.frames);
        assert!(
            test.frames[change..]
                .iter()
                .all(|frame| frame.header.audio.channels == 2)
        );
        let (first, wide) = (&test.frames[change], &audio[position(&audio)]);
        if sent == BOTH {
            assert!(first.track == Track::Video && first.is_key, "readers cut at a keyframe");
            let late = seconds(wide) - seconds(first);
            assert!((0.0..0.022).contains(&late), "{late}");
        }
        assert!((2.5..4.0).contains(&seconds(wide)), "{}", seconds(wide));
    }
}

#[test]
fn a_member_with_only_a_microphone_is_a_program_without_video() {
    let only_audio = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    let mut test = Test::new(StreamKind::Main, only_audio);
    test.run(2_000_000, only_audio);
    assert!(!test.frames.is_empty());
    assert!(test.frames.iter().all(|frame| frame.header.video.is_none()));
}

#[test]
fn a_camera_that_is_announced_a_moment_after_the_microphone_is_there_from_the_first_frame() {
    let only_audio = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    let mut test = Test::new(StreamKind::Main, only_audio);
    test.run(400_000, only_audio);
    test.core.handle_tracks(BOTH);
    test.run(2_000_000, BOTH);
    assert!(!test.of(Track::Video).is_empty() && !test.of(Track::Audio).is_empty());
    assert!(test.frames.iter().all(|frame| frame.header.video.is_some()));
}

#[test]
fn a_camera_that_is_muted_becomes_a_black_frame_each_second_and_audio_continues() {
    let muted = Tracks {
        audio: Sent::Yes,
        video: Sent::Muted,
    };
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(3_000_000, BOTH);
    test.core.handle_tracks(muted);
    test.run(4_000_000, muted);
    test.core.handle_tracks(BOTH);
    test.run(3_000_000, BOTH);
    let video = test.of(Track::Video);
    let longest = video
        .windows(2)
        .map(|pair| seconds(&pair[1]) - seconds(&pair[0]))
        .fold(0.0, f64::max);
    assert!(longest < 1.2, "{longest}");
    let first = &video[0].header.video;
    let black = video.iter().filter(|frame| frame.header.video != *first).count();
    assert!((3..=5).contains(&black), "{black}");
    assert_eq!(video.last().unwrap().header.video, *first, "the camera is back");
    let audio = test.of(Track::Audio);
    assert!(
        seconds(audio.last().unwrap()) > 9.4,
        "{}",
        seconds(audio.last().unwrap())
    );
    assert!(
        audio
            .iter()
            .enumerate()
            .all(|(number, frame)| frame.pts.ticks() == 1024 * number as u64)
    );
}

/// A publisher by RTMP cannot be asked for a keyframe.
#[test]
fn when_the_first_keyframe_comes_late_the_audio_before_it_is_kept_under_a_black_picture() {
    let only_audio = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(4_500_000, only_audio);
    assert!(test.frames.is_empty(), "it waits for the camera");
    test.run(2_000_000, BOTH);
    assert!(test.frames.iter().all(|frame| frame.header.video.is_some()));
    let (video, audio) = (test.of(Track::Video), test.of(Track::Audio));
    for (number, frame) in audio.iter().enumerate() {
        assert_eq!(frame.pts.ticks(), 1024 * number as u64);
    }
    assert!(seconds(audio.last().unwrap()) > 5.9);
    let camera = &video.last().unwrap().header.video;
    let black: Vec<_> = video.iter().filter(|frame| frame.header.video != *camera).collect();
    let times: Vec<_> = black.iter().map(|frame| seconds(frame).round()).collect();
    assert_eq!(times, [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert!(black.iter().all(|frame| frame.is_key));
    let first = video.iter().find(|frame| frame.header.video == *camera).unwrap();
    assert!(
        first.is_key && (4.4..4.7).contains(&seconds(first)),
        "{}",
        seconds(first)
    );
    let told = test.core.poll_absence().unwrap();
    assert_eq!((told.track, told.reason), (Track::Video, AbsenceReason::NotReceived));
}

#[test]
fn a_camera_that_sends_nothing_delays_the_start_by_ten_seconds() {
    let silent = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(9_500_000, silent);
    assert!(test.frames.is_empty());
    test.run(1_000_000, silent);
    assert!(seconds(test.frames.last().unwrap()) > 9.0, "its audio is kept");
    test.run(2_000_000, BOTH);
    let last = test.frames.last().unwrap();
    assert!(last.header.video.is_some(), "the camera joins the program later");
}

#[test]
fn after_an_interruption_the_program_continues_at_its_time() {
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(2_000_000, BOTH);
    test.core.handle_leave(test.now).unwrap();
    let nothing = Tracks {
        audio: Sent::No,
        video: Sent::No,
    };
    test.run(100_000, nothing);
    let before = test.frames.len();
    assert!(seconds(&test.frames[before - 1]) > 1.9, "what was received came out");
    test.run(60_000_000, nothing);
    assert_eq!(test.frames.len(), before, "nothing comes while the publisher is away");
    test.core.handle_return(test.now).unwrap();
    test.run(2_000_000, BOTH);
    let after = &test.frames[before..];
    assert!(
        after.iter().all(|frame| seconds(frame) > 61.0),
        "{:?}",
        after.first().map(|frame| seconds(frame))
    );
    let video: Vec<_> = after.iter().filter(|frame| frame.track == Track::Video).collect();
    assert!(video[0].is_key);
}

#[test]
fn after_an_interruption_the_camera_has_a_second_to_come_before_a_black_frame_stands_for_it() {
    let only_audio = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(2_000_000, BOTH);
    test.core.handle_leave(test.now).unwrap();
    test.now += 10_000_000;
    (test.next_audio, test.next_video) = (test.now, test.now);
    let before = test.frames.len();
    // The microphone is announced before the camera.
    test.core.handle_tracks(only_audio);
    test.core.handle_return(test.now).unwrap();
    test.run(300_000, only_audio);
    test.core.handle_tracks(BOTH);
    test.run(2_000_000, BOTH);
    let camera = &test.of(Track::Video)[0].header.video;
    let after = test.frames[before..].iter().filter(|frame| frame.track == Track::Video);
    let after: Vec<_> = after.map(|frame| frame.header.video == *camera).collect();
    assert!(
        after.len() > 10 && after.iter().all(|is_camera| *is_camera),
        "{after:?}"
    );
    test.core.handle_tracks(only_audio);
    test.run(2_000_000, only_audio);
    assert_ne!(test.of(Track::Video).last().unwrap().header.video, *camera);
}

#[test]
fn a_shared_screen_is_a_program_with_silence() {
    let screen = Tracks {
        audio: Sent::No,
        video: Sent::Yes,
    };
    let mut test = Test::new(StreamKind::Aux, screen);
    test.run(2_000_000, screen);
    assert!(!test.of(Track::Video).is_empty());
    let audio = test.of(Track::Audio);
    assert!(
        seconds(audio.last().unwrap()) > 1.4,
        "{}",
        seconds(audio.last().unwrap())
    );
    let mut decoder = AacDecoder::new(&audio[0].header.audio.config).unwrap();
    let mut pcm = Vec::new();
    for frame in &audio {
        decoder.decode(&frame.data, &mut pcm).unwrap();
    }
    let loudest = pcm.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
    assert!(!pcm.is_empty() && loudest < 0.001, "{loudest}");
}

#[test]
fn a_muted_microphone_and_a_lost_camera_are_told_with_their_times() {
    let mut test = Test::new(StreamKind::Main, BOTH);
    test.run(2_000_000, BOTH);
    let muted = Tracks {
        audio: Sent::Muted,
        video: Sent::Yes,
    };
    test.core.handle_tracks(muted);
    test.run(3_000_000, muted);
    test.core.handle_tracks(BOTH);
    test.run(2_000_000, BOTH);
    // Published, but nothing comes.
    let lost = Tracks {
        audio: Sent::Yes,
        video: Sent::No,
    };
    test.run(4_000_000, lost);
    test.core.finish(test.now).unwrap();
    let told: Vec<Absence> = std::iter::from_fn(|| test.core.poll_absence()).collect();
    let [audio, video] = &told[..] else { panic!("{told:?}") };
    assert_eq!((audio.track, audio.reason), (Track::Audio, AbsenceReason::Muted));
    assert_eq!((video.track, video.reason), (Track::Video, AbsenceReason::NotReceived));
    let is_near = |at: std::time::Duration, expected: f64| (at.as_secs_f64() - expected).abs() < 0.2;
    assert!(is_near(audio.from, 2.0) && is_near(audio.to, 5.0), "{audio:?}");
    assert!(is_near(video.from, 7.0) && is_near(video.to, 11.0), "{video:?}");
}

#[test]
fn the_silence_of_a_shared_screen_is_no_absence() {
    let screen = Tracks {
        audio: Sent::No,
        video: Sent::Yes,
    };
    let mut test = Test::new(StreamKind::Aux, screen);
    test.run(3_000_000, screen);
    test.core.finish(test.now).unwrap();
    assert_eq!(test.core.poll_absence(), None);
}

#[test]
fn a_shared_screen_that_does_not_change_is_asked_for_a_keyframe() {
    let screen = Tracks {
        audio: Sent::No,
        video: Sent::Yes,
    };
    let nothing = Tracks {
        audio: Sent::No,
        video: Sent::No,
    };
    let asked = |kind: StreamKind| {
        let mut test = Test::new(kind, screen);
        // The second keyframe comes after four seconds, and the next one is due four seconds later.
        test.run(4_300_000, screen);
        test.run(2_300_000, nothing);
        let early = test.core.take_key_request(test.now);
        test.run(900_000, nothing);
        (early, test.core.take_key_request(test.now))
    };
    assert_eq!(asked(StreamKind::Aux), (false, true));
    assert_eq!(asked(StreamKind::Main), (false, false));
}
