//! Segments as the recorder writes them, and what is shown of them.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::codec::ForceKey;
use crate::codec::aac::{AacEncoder, FRAME};
use crate::codec::h264::{H264Encoder, H264EncoderConfig, parameter_sets, to_length_prefixed};
use crate::mux::cmaf;
use crate::mux::segmenter::{Lengths, Output, Segmenter};
use crate::picture::Picture;
use crate::program::{AudioHeader, Frame, ProgramHeader, VideoHeader};
use crate::time::VIDEO_RATE;
use crate::video_frame::{Rect, VideoFrame, Yuv};

const AUDIO_RATE: u32 = 48_000;
const FRAMERATE: u64 = 5;
const WIDTH: u16 = 320;
const HEIGHT: u16 = 180;

/// Second `n` of the video is `20 + n` bright on the left and dark on the right, with a keyframe at its begin. The audio is silent in
/// the first half, then loud.
struct Film {
    folder: tempfile::TempDir,
    segments: usize,
    length: u64,
}

impl Film {
    fn of(seconds: u64, has_video: bool) -> Self {
        let mut frames: Vec<Arc<Frame>> = Vec::new();
        let mut audio = AacEncoder::new(AUDIO_RATE, 2, 64).unwrap();
        let audio_header = AudioHeader {
            sample_rate: AUDIO_RATE,
            channels: 2,
            bitrate_kbps: 64,
            config: audio.config(),
        };
        let mut header = ProgramHeader {
            video: None,
            audio: audio_header,
        };
        let mut video = encoder();
        let (mut heard, mut coded_audio) = (0, 0);
        for tick in 0..seconds * FRAMERATE {
            if has_video {
                let key = if tick.is_multiple_of(FRAMERATE) {
                    ForceKey::Yes
                } else {
                    ForceKey::No
                };
                let coded = video.encode(&picture(tick / FRAMERATE), key).unwrap();
                if let Some((sps, pps)) = parameter_sets(&coded.data) {
                    header.video = Some(VideoHeader {
                        width: WIDTH,
                        height: HEIGHT,
                        framerate: FRAMERATE as u8,
                        bitrate_kbps: 500,
                        sps,
                        pps,
                    });
                }
                let duration = VIDEO_RATE / FRAMERATE as u32;
                frames.push(Arc::new(Frame {
                    track: Track::Video,
                    pts: MediaTime::new(tick * u64::from(duration), VIDEO_RATE),
                    duration,
                    is_key: coded.is_key,
                    data: to_length_prefixed(&coded.data),
                    header: Arc::new(header.clone()),
                }));
            }
            let until = (tick + 1) * u64::from(AUDIO_RATE) / FRAMERATE;
            while heard + FRAME as u64 <= until {
                let is_loud = heard >= seconds * u64::from(AUDIO_RATE) / 2;
                let sample = |at: u64| (at as f32 / 20.0).sin() * if is_loud { 0.9 } else { 0.0 };
                let pcm: Vec<f32> = (0..FRAME as u64).flat_map(|at| [sample(heard + at); 2]).collect();
                heard += FRAME as u64;
                let Some(data) = audio.encode(&pcm).unwrap() else {
                    continue;
                };
                frames.push(Arc::new(Frame {
                    track: Track::Audio,
                    pts: MediaTime::new(coded_audio * FRAME as u64, AUDIO_RATE),
                    duration: FRAME as u32,
                    is_key: true,
                    data,
                    header: Arc::new(header.clone()),
                }));
                coded_audio += 1;
            }
        }
        Self::write(&header, frames, seconds)
    }

    fn write(header: &ProgramHeader, frames: Vec<Arc<Frame>>, length: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let init = cmaf::init_segment(header, Duration::ZERO).unwrap();
        std::fs::write(folder.path().join("init.mp4"), init).unwrap();
        let lengths = Lengths {
            segment: Duration::from_secs(2),
            chunk: Duration::from_secs(1),
        };
        let mut segmenter = Segmenter::new(lengths, Duration::ZERO);
        for frame in frames {
            segmenter.handle_frame(frame).unwrap();
        }
        segmenter.finish().unwrap();
        let mut bytes: Vec<Vec<u8>> = Vec::new();
        while let Some(output) = segmenter.poll_output() {
            match output {
                Output::Begin(_) => bytes.push(Vec::new()),
                Output::Chunk(chunk) => bytes.last_mut().unwrap().extend_from_slice(&chunk.bytes),
                Output::End(_) => {}
            }
        }
        for (number, bytes) in bytes.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{number}.m4s")), bytes).unwrap();
        }
        Self {
            folder,
            segments: bytes.len(),
            length,
        }
    }

    fn previews(&self, has_images: bool) -> Previews {
        let tracks = stored::read_init(&self.folder.path().join("init.mp4")).unwrap();
        let mut maker = PreviewMaker::new(Duration::from_secs(self.length), has_images);
        for number in 0..self.segments {
            let segment = Segment {
                path: &self.folder.path().join(format!("{number}.m4s")),
                begin: MediaTime::new(0, VIDEO_RATE),
                at: Duration::ZERO,
            };
            maker.add(&tracks, segment).unwrap();
        }
        maker.finish().unwrap()
    }
}

fn encoder() -> H264Encoder {
    H264Encoder::new(H264EncoderConfig {
        width: WIDTH,
        height: HEIGHT,
        bitrate_kbps: 500,
        framerate: FRAMERATE as u8,
        gop_frames: 100_000,
    })
    .unwrap()
}

/// Black in the first three seconds.
fn picture(second: u64) -> VideoFrame {
    let mut frame = VideoFrame::filled(WIDTH.into(), HEIGHT.into(), Yuv::BLACK);
    if second >= 3 {
        let left = Rect {
            x: 0,
            y: 0,
            width: usize::from(WIDTH) / 2,
            height: HEIGHT.into(),
        };
        let colour = Yuv {
            y: brightness(second),
            u: 128,
            v: 128,
        };
        frame.fill(left, colour);
    }
    frame
}

fn brightness(second: u64) -> u8 {
    100 + 3 * second as u8
}

/// Of the left part of a rectangle.
fn seen(frame: &VideoFrame, rect: Rect) -> u8 {
    let at = (rect.y + rect.height / 2) * frame.width() + rect.x + rect.width / 4;
    frame.y()[at]
}

#[test]
fn each_thumbnail_shows_the_keyframe_before_the_middle_of_its_time() {
    let film = Film::of(23, true);
    let images = film.previews(true).images.unwrap();
    let sheet = images.layout;
    assert_eq!((sheet.width, sheet.height, sheet.count), (160, 90, 5));
    assert_eq!(sheet.step, Duration::from_secs(5));
    let picture = Picture::decode(&images.sheet).unwrap();
    let frame = picture.frame();
    assert_eq!((frame.width(), frame.height()), (800, 90));
    // The last one's middle would be after the end.
    for (index, second) in [2, 7, 12, 17, 22].into_iter().enumerate() {
        let expected = if second < 3 { 16 } else { brightness(second) };
        let seen = seen(frame, sheet.rect(index));
        assert!(
            seen.abs_diff(expected) <= 4,
            "thumbnail {index} is {seen} bright, not {expected}"
        );
    }
}

#[test]
fn the_poster_is_the_first_frame_that_shows_something() {
    let images = Film::of(23, true).previews(true).images.unwrap();
    let poster = Picture::decode(&images.poster).unwrap();
    let frame = poster.frame();
    assert_eq!((frame.width(), frame.height()), (WIDTH.into(), HEIGHT.into()));
    let seen = seen(frame, frame.rect());
    assert!(
        seen.abs_diff(brightness(7)) <= 4,
        "{seen}: the first thumbnail is black"
    );
}

#[test]
fn the_cues_of_the_sheet_cover_the_recording() {
    let sheet = Sheet {
        width: 160,
        height: 90,
        count: 12,
        step: Duration::from_secs(400),
        length: Duration::from_millis(4_700_250),
    };
    let text = webvtt(&sheet, "film_thumbnails.jpg");
    let cues: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(cues.len(), 13);
    assert_eq!(cues[0], "WEBVTT");
    assert_eq!(
        cues[1],
        "00:00:00.000 --> 00:06:40.000\nfilm_thumbnails.jpg#xywh=0,0,160,90"
    );
    assert_eq!(
        cues[12].trim_end(),
        "01:13:20.000 --> 01:18:20.250\nfilm_thumbnails.jpg#xywh=160,90,160,90"
    );
}

#[test]
fn the_waveform_has_the_peaks_of_each_point_and_a_film_without_video_no_images() {
    let previews = Film::of(20, false).previews(true);
    assert!(previews.images.is_none());
    let waveform = previews.waveform.unwrap();
    assert_eq!((waveform.version, waveform.channels, waveform.bits), (2, 1, 8));
    assert_eq!(waveform.sample_rate, AUDIO_RATE);
    assert_eq!(waveform.data.len(), 2 * waveform.length);
    let (quiet, loud) = waveform.data.split_at(waveform.data.len() / 2);
    // The encoder's delay, and the last frame that it keeps, lie at the edges.
    let peak = |data: &[i8]| data.iter().map(|value| value.unsigned_abs()).max().unwrap();
    assert!(peak(&quiet[..quiet.len() - 20]) <= 2, "{quiet:?}");
    for point in loud[20..loud.len() - 20].chunks(2) {
        assert!(point[0] < -90 && point[1] > 90, "{point:?}");
    }
}

#[test]
fn of_a_long_recording_a_bounded_part_is_decoded_and_every_point_has_its_peaks() {
    // 300 s are more than the frames that are decoded.
    let previews = Film::of(300, false).previews(false);
    let waveform = previews.waveform.unwrap();
    assert_eq!(waveform.length, 1000);
    let loud = &waveform.data[1020..1960];
    for point in loud.chunks(2) {
        assert!(point[0] < -90 && point[1] > 90, "{point:?}");
    }
}

#[test]
fn a_damaged_keyframe_is_left_out() {
    let film = Film::of(12, true);
    // The slices of all frames of the first segments are overwritten; their sizes stay.
    for number in 0..3 {
        let path = film.folder.path().join(format!("{number}.m4s"));
        let mut samples = Vec::new();
        stored::scan(&path, 0, &mut samples).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        for sample in samples.iter().filter(|sample| sample.track == Track::Video) {
            let at = sample.offset as usize;
            bytes[at + 5..at + sample.size as usize].fill(0xff);
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let images = film.previews(true).images.unwrap();
    let picture = Picture::decode(&images.sheet).unwrap();
    assert_eq!(images.layout.count, 3);
    let seen = seen(picture.frame(), images.layout.rect(0));
    assert!(
        seen >= brightness(6) - 4,
        "{seen}: it shows the first frame that is well"
    );
}
