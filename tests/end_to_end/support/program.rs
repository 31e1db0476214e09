//! A real program for tests of containers: H.264 video that changes with every frame, and AAC audio with a tone. The
//! audio arrives later than the video of the same time, as from the mixer.

use std::sync::Arc;

use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, ForceKey, H264Encoder, H264EncoderConfig, h264};
use rotunda_media::program::{AudioHeader, Frame, ProgramHeader, Track, VideoHeader};
use rotunda_media::time::{MediaTime, VIDEO_RATE};
use rotunda_media::video_frame::{VideoFrame, Yuv};

pub const FPS: u32 = 15;
pub const AUDIO_RATE: u32 = 48_000;

pub struct TestProgram {
    size: (u16, u16),
    video: Option<H264Encoder>,
    audio: AacEncoder,
    header: Option<Arc<ProgramHeader>>,
    bitrate_kbps: u32,
    /// The next video frame, or tick of audio only.
    tick: u64,
    /// Samples that the audio encoder has received.
    heard: u64,
    /// Frames that the audio encoder has produced.
    audio_frames: i64,
}

impl TestProgram {
    /// Video of 64x48 at [`FPS`], and audio.
    pub fn new() -> Self {
        Self::sized(64, 48)
    }

    pub fn sized(width: u16, height: u16) -> Self {
        let mut program = Self::audio_only();
        program.resize(width, height);
        program
    }

    pub fn audio_only() -> Self {
        let audio = AacEncoder::new(AUDIO_RATE, 2, 64).unwrap();
        let mut program = Self {
            size: (0, 0),
            video: None,
            audio,
            header: None,
            bitrate_kbps: 200,
            tick: 0,
            heard: 0,
            audio_frames: 0,
        };
        program.renew_header(None);
        program
    }

    /// The next video frame has another size, and is a keyframe.
    pub fn resize(&mut self, width: u16, height: u16) {
        self.size = (width, height);
        let config = H264EncoderConfig {
            width,
            height,
            bitrate_kbps: self.bitrate_kbps,
            framerate: FPS as u8,
            // The test decides when keyframes are made.
            gop_frames: 100_000,
        };
        self.video = Some(H264Encoder::new(config).unwrap());
    }

    /// Announces another bitrate; the encoder continues.
    pub fn set_bitrate(&mut self, bitrate_kbps: u32) {
        self.bitrate_kbps = bitrate_kbps;
        let video = self.header.as_ref().and_then(|header| header.video.clone());
        let video = video.map(|video| VideoHeader { bitrate_kbps, ..video });
        self.renew_header(video);
    }

    /// A span of the program with a keyframe every `gop` seconds, counted from the program's start.
    pub fn run(&mut self, seconds: f64, gop: f64) -> Vec<Arc<Frame>> {
        let ticks = (seconds * f64::from(FPS)).round() as u64;
        let gop = (gop * f64::from(FPS)).round() as u64;
        (0..ticks)
            .flat_map(|_| {
                let key = self.tick.is_multiple_of(gop);
                self.tick(if key { ForceKey::Yes } else { ForceKey::No })
            })
            .collect()
    }

    /// One video frame, and the encoded audio up to it.
    pub fn tick(&mut self, key: ForceKey) -> Vec<Arc<Frame>> {
        let ticks = u64::from(VIDEO_RATE / FPS);
        let pts = MediaTime::new(self.tick * ticks, VIDEO_RATE);
        let mut frames = Vec::new();
        if let Some(video) = &mut self.video {
            let level = 16 + (self.tick * 7 % 200) as u8;
            let colour = Yuv {
                y: level,
                u: 128,
                v: 128,
            };
            let frame = VideoFrame::filled(self.size.0.into(), self.size.1.into(), colour);
            let coded = video.encode(&frame, key).unwrap();
            if let Some((sps, pps)) = h264::parameter_sets(&coded.data) {
                let video = VideoHeader {
                    width: self.size.0,
                    height: self.size.1,
                    framerate: FPS as u8,
                    bitrate_kbps: self.bitrate_kbps,
                    sps,
                    pps,
                };
                let before = self.header.as_ref().and_then(|header| header.video.clone());
                if before.as_ref() != Some(&video) {
                    self.renew_header(Some(video));
                }
            }
            frames.push(Arc::new(Frame {
                track: Track::Video,
                pts,
                duration: ticks as u32,
                is_key: coded.is_key,
                data: h264::to_length_prefixed(&coded.data),
                header: self.header.clone().unwrap(),
            }));
        }
        self.tick += 1;
        frames.extend(self.audio_until(self.tick * u64::from(AUDIO_RATE / FPS)));
        frames
    }

    fn audio_until(&mut self, end: u64) -> Vec<Arc<Frame>> {
        let mut frames = Vec::new();
        while self.heard + FRAME as u64 <= end {
            let pcm: Vec<f32> = (0..FRAME as u64)
                .flat_map(|at| {
                    let time = (self.heard + at) as f32 / AUDIO_RATE as f32;
                    let sample = (time * 440.0 * std::f32::consts::TAU).sin() * 0.5;
                    [sample, sample]
                })
                .collect();
            self.heard += FRAME as u64;
            let Some(data) = self.audio.encode(&pcm).unwrap() else {
                continue;
            };
            let at = self.audio_frames * FRAME as i64 - i64::from(AacEncoder::DELAY_SAMPLES);
            self.audio_frames += 1;
            if let Ok(at) = u64::try_from(at) {
                frames.push(Arc::new(Frame {
                    track: Track::Audio,
                    pts: MediaTime::new(at, AUDIO_RATE),
                    duration: FRAME as u32,
                    is_key: true,
                    data,
                    header: self.header.clone().unwrap(),
                }));
            }
        }
        frames
    }

    fn renew_header(&mut self, video: Option<VideoHeader>) {
        self.header = Some(Arc::new(ProgramHeader {
            video,
            audio: AudioHeader {
                sample_rate: AUDIO_RATE,
                channels: 2,
                bitrate_kbps: 64,
                config: self.audio.config(),
            },
        }));
    }
}
