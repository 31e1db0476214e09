//! Synthetic audio and video, encoded in real time: a clip in a loop, or a generated voice and a moving pattern.
//! The video contains the participant's name and a machine-readable frame mark.

mod clip;
mod painter;
mod voice;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rotunda_media::codec::{
    CodecError, EncodedFrame, ForceKey, H264Encoder, H264EncoderConfig, OpusEncoder, VideoCodec, VpxCodec, VpxEncoder,
};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use thiserror::Error;

pub use clip::{Clip, Player};
use painter::Painter;
use voice::Voice;

/// Bitrate of a video of [`SourceConfig::SIZE`]; others have one that goes with their pixels.
const VIDEO_KBPS: u32 = 600;
/// The lowest bitrate of a video.
const LEAST_KBPS: u32 = 150;
const AUDIO_KBPS: u32 = 48;
/// Seconds between keyframes without requests.
const GOP_SECONDS: u32 = 10;
/// Samples a second of a clip's audio.
const SPEECH_RATE: usize = 48_000;
const FRAMES_A_SECOND: usize = 50;
/// 20 ms.
const AUDIO_FRAME: Duration = Duration::from_millis(20);

/// The content of a source.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Drawn into the video.
    pub name: String,
    /// Number in the frame mark; the beep at each full second has 400 + 50 * mark Hz.
    pub mark: u8,
    pub codec: VideoCodec,
    /// Frames per second.
    pub fps: u8,
    /// Width and height of the video.
    pub size: (u16, u16),
    /// MP4 with H.264 and AAC; None: generated content.
    pub clip: Option<PathBuf>,
    /// Whether the clip's frames are sent as they are in the file, at this frame rate: without a name, a mark, and keyframes on request. Its
    /// audio is coded once, in the first round.
    pub as_coded: bool,
    pub audio: AudioContent,
}

impl SourceConfig {
    /// Width and height of the clips, and of a typical phone.
    pub const SIZE: (u16, u16) = (640, 360);

    fn video_kbps(&self) -> u32 {
        let pixels = |(width, height): (u16, u16)| u64::from(width) * u64::from(height);
        let kbps = u64::from(VIDEO_KBPS) * pixels(self.size) / pixels(Self::SIZE);
        u32::try_from(kbps).unwrap_or(u32::MAX).max(LEAST_KBPS)
    }
}

/// The audio besides the beep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioContent {
    /// The clip's speech, or a generated voice.
    Speech,
    /// No other audio.
    Beeps,
    /// The participant publishes no microphone.
    None,
}

/// Why the source could not start.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("read the clip {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not an MP4 file with H.264 video: {reason}")]
    Clip { path: PathBuf, reason: String },
    #[error("start a codec")]
    Codec(#[from] CodecError),
    #[error("start the source's thread")]
    Thread(#[source] std::io::Error),
}

/// One encoded video frame, or 20 ms of encoded audio.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Audio or Camera.
    pub source: TrackSource,
    /// Of a video frame.
    pub codec: VideoCodec,
    pub data: Bytes,
    /// RTP time from 0: 90 kHz for video, 48 kHz for audio.
    pub ticks: u64,
    /// The capture time: audio and video share one clock.
    pub captured: Instant,
    /// Of audio: loudness, RFC 6464.
    pub level_dbov: Option<i8>,
}

/// A running source; dropping it ends its thread.
pub struct Source {
    force_key: Arc<AtomicBool>,
    /// Dropped to stop the thread.
    _stop: mpsc::Sender<()>,
}

impl Source {
    /// Reads the clip, starts the encoders and then sends frames to `sink` when they are due. A full sink drops
    /// frames.
    pub fn start(config: SourceConfig, sink: tokio::sync::mpsc::Sender<Encoded>) -> Result<Self, SourceError> {
        let mut generator = Generator::new(&config)?;
        let force_key = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel();
        let asked = force_key.clone();
        std::thread::Builder::new()
            .name(format!("source-{}", config.name))
            .spawn(move || {
                let clock = Clock;
                let start = clock.now();
                loop {
                    let due = start + generator.next_due();
                    // Waiting for the stop signal ends the thread at once.
                    match stopped.recv_timeout(due.saturating_duration_since(clock.now())) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                    // An audio frame leaves the request for the next video frame.
                    let wanted = generator.video_is_next() && asked.swap(false, Ordering::Relaxed);
                    let force = if wanted { ForceKey::Yes } else { ForceKey::No };
                    match generator.next(start, force) {
                        // A full sink is late already: the frame is dropped, as a camera would drop it.
                        Ok(frame) => drop(sink.try_send(frame)),
                        Err(error) => {
                            tracing::error!(error = &error as &dyn std::error::Error, "the source has failed");
                            return;
                        }
                    }
                }
            })
            .map_err(SourceError::Thread)?;
        Ok(Self { force_key, _stop: stop })
    }

    /// Makes the next video frame a keyframe.
    pub fn request_keyframe(&self) {
        self.force_key.store(true, Ordering::Relaxed);
    }
}

/// The frames of a source in order; time is an input.
struct Generator {
    /// Nobody: a participant without a microphone.
    voice: Option<Voice>,
    video: Video,
    opus: OpusEncoder,
    /// Audio that is sent again, with its loudness.
    coded: Option<Round>,
    codec: VideoCodec,
    fps: u64,
    video_frames: u64,
    audio_frames: u64,
}

/// Audio frames that are sent again and again.
struct Round {
    length: usize,
    frames: Vec<(Bytes, i8)>,
}

/// Where the video comes from.
enum Video {
    Painted(Box<Painter>, Encoder),
    AsCoded(Clip),
}

enum Encoder {
    H264(Box<H264Encoder>),
    Vpx(VpxEncoder),
}

impl Video {
    fn new(config: &SourceConfig, clip: Option<Clip>) -> Result<Self, SourceError> {
        let clip = match clip {
            Some(clip) if config.as_coded => return Ok(Self::AsCoded(clip)),
            clip => clip,
        };
        let framerate = config.fps.clamp(1, 60);
        let settings = H264EncoderConfig {
            width: config.size.0,
            height: config.size.1,
            bitrate_kbps: config.video_kbps(),
            framerate,
            gop_frames: GOP_SECONDS * u32::from(framerate),
        };
        let encoder = match config.codec {
            VideoCodec::H264 => Encoder::H264(Box::new(H264Encoder::new(settings)?)),
            VideoCodec::Vp8 => Encoder::Vpx(VpxEncoder::new(VpxCodec::Vp8, settings)?),
            VideoCodec::Vp9 => Encoder::Vpx(VpxEncoder::new(VpxCodec::Vp9, settings)?),
            VideoCodec::Av1 => return Err(CodecError::no_encoder("AV1").into()),
        };
        Ok(Self::Painted(Box::new(Painter::new(config, clip)?), encoder))
    }

    /// The frame with this number, coded.
    fn frame(&mut self, number: u64, force: ForceKey) -> Result<Bytes, CodecError> {
        let (painter, encoder) = match self {
            Self::AsCoded(clip) => return Ok(clip.coded(number)),
            Self::Painted(painter, encoder) => (painter, encoder),
        };
        let frame = painter.paint(number);
        let EncodedFrame { data, .. } = match encoder {
            Encoder::H264(encoder) => encoder.encode(frame, force)?,
            Encoder::Vpx(encoder) => encoder.encode(frame, force)?,
        };
        Ok(data)
    }
}

impl Round {
    /// The frame with this number; None: it has not been coded yet.
    fn frame(&self, number: u64) -> Option<(Bytes, i8)> {
        (self.frames.len() == self.length).then(|| self.frames[number as usize % self.length].clone())
    }

    fn keep(&mut self, data: &Bytes, level: i8) {
        if self.frames.len() < self.length {
            self.frames.push((data.clone(), level));
        }
    }
}

impl Generator {
    fn new(config: &SourceConfig) -> Result<Self, SourceError> {
        let fps = config.fps.clamp(1, 60);
        let clip = config.clip.as_deref().map(Clip::read).transpose()?;
        let speech = clip.as_ref().map(Clip::speech).transpose()?.unwrap_or_default();
        // Whole seconds, as each has its beep.
        let seconds = speech.len().div_ceil(SPEECH_RATE).max(1);
        let coded = config.as_coded.then(|| Round {
            length: seconds * FRAMES_A_SECOND,
            frames: Vec::new(),
        });
        Ok(Self {
            coded,
            voice: (config.audio != AudioContent::None).then(|| Voice::new(config.mark, config.audio, speech)),
            video: Video::new(config, clip)?,
            opus: OpusEncoder::new(1, AUDIO_KBPS)?,
            codec: config.codec,
            fps: fps.into(),
            video_frames: 0,
            audio_frames: 0,
        })
    }

    /// When the next frame is complete, from the start: video at its time, audio when its 20 ms are over.
    fn next_due(&self) -> Duration {
        match self.voice {
            Some(_) => self.video_time().min(self.audio_time() + AUDIO_FRAME),
            None => self.video_time(),
        }
    }

    fn next(&mut self, start: Instant, force: ForceKey) -> Result<Encoded, CodecError> {
        let video = self.video_is_next();
        let audio_captured = start + self.audio_time();
        if let Some(voice) = self.voice.as_mut().filter(|_| !video) {
            let (number, captured) = (self.audio_frames, audio_captured);
            self.audio_frames += 1;
            let again = self.coded.as_ref().and_then(|round| round.frame(number));
            let (data, level) = match again {
                Some(frame) => frame,
                None => {
                    let (pcm, level) = voice.speak(number);
                    (self.opus.encode(&pcm)?, level)
                }
            };
            if let Some(round) = &mut self.coded {
                round.keep(&data, level);
            }
            let ticks = number * 960;
            let level_dbov = Some(level);
            Ok(Encoded {
                source: TrackSource::Audio,
                codec: self.codec,
                data,
                ticks,
                captured,
                level_dbov,
            })
        } else {
            let (number, captured) = (self.video_frames, start + self.video_time());
            self.video_frames += 1;
            let data = self.video.frame(number, force)?;
            let ticks = number * 90_000 / self.fps;
            Ok(Encoded {
                source: TrackSource::Camera,
                codec: self.codec,
                data,
                ticks,
                captured,
                level_dbov: None,
            })
        }
    }

    fn video_is_next(&self) -> bool {
        self.voice.is_none() || self.video_time() < self.audio_time() + AUDIO_FRAME
    }

    fn video_time(&self) -> Duration {
        Duration::from_nanos(self.video_frames * 1_000_000_000 / self.fps)
    }

    fn audio_time(&self) -> Duration {
        AUDIO_FRAME * u32::try_from(self.audio_frames).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_media::codec::VideoDecoder;
    use rotunda_media::mark::{self, Mark};

    fn config(codec: VideoCodec) -> SourceConfig {
        SourceConfig {
            name: "ann".into(),
            mark: 11,
            codec,
            fps: 15,
            size: SourceConfig::SIZE,
            clip: None,
            as_coded: false,
            audio: AudioContent::Beeps,
        }
    }

    #[test]
    fn audio_that_is_sent_as_coded_repeats_after_a_whole_number_of_seconds() {
        let mut round = Round {
            length: FRAMES_A_SECOND,
            frames: Vec::new(),
        };
        for number in 0..60_u8 {
            assert!(round.frame(number.into()).is_none() || number >= 50);
            round.keep(&Bytes::from(vec![number]), -20);
        }
        assert_eq!(round.frame(50), Some((Bytes::from(vec![0]), -20)));
        assert_eq!(round.frame(149), Some((Bytes::from(vec![49]), -20)));
    }

    #[test]
    fn a_second_has_its_video_frames_with_their_marks_and_fifty_audio_frames() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let mut generator = Generator::new(&config(codec)).unwrap();
            let mut decoder = VideoDecoder::new(codec).unwrap();
            let start = Clock.now();
            let (mut marks, mut audio_frames) = (Vec::new(), 0);
            while generator.next_due() < Duration::from_secs(1) {
                let frame = generator.next(start, ForceKey::No).unwrap();
                if frame.source == TrackSource::Audio {
                    audio_frames += 1;
                    continue;
                }
                let picture = decoder.decode(&frame.data).unwrap().unwrap();
                marks.extend(mark::read(picture.y(), picture.width(), picture.rect()));
            }
            let expected: Vec<Mark> = (0..15).map(|count| Mark { id: 11, count }).collect();
            assert_eq!(marks, expected);
            assert_eq!(audio_frames, 49, "the fiftieth is complete at the full second");
        }
    }

    #[test]
    fn a_participant_without_a_microphone_sends_video_alone() {
        let mut silent = config(VideoCodec::H264);
        silent.audio = AudioContent::None;
        let mut generator = Generator::new(&silent).unwrap();
        while generator.next_due() < Duration::from_secs(1) {
            let frame = generator.next(Clock.now(), ForceKey::No).unwrap();
            assert_eq!(frame.source, TrackSource::Camera);
        }
        assert_eq!(generator.video_frames, 15);
    }

    #[test]
    fn a_video_has_the_asked_size_and_its_mark() {
        let mut small = config(VideoCodec::H264);
        small.size = (320, 180);
        let mut generator = Generator::new(&small).unwrap();
        let frame = generator.next(Clock.now(), ForceKey::No).unwrap();
        let picture = VideoDecoder::new(VideoCodec::H264).unwrap().decode(&frame.data);
        let picture = picture.unwrap().unwrap();
        assert_eq!((picture.width(), picture.height()), (320, 180));
        let mark = mark::read(picture.y(), picture.width(), picture.rect());
        assert_eq!(mark, Some(Mark { id: 11, count: 0 }));
    }

    #[test]
    fn the_beep_begins_with_the_video_frame_of_the_full_second() {
        let mut voice = Voice::new(11, AudioContent::Beeps, Vec::new());
        let loud: Vec<bool> = (0..60).map(|number| voice.speak(number).1 > -40).collect();
        assert!(loud[0] && loud[4] && !loud[5] && !loud[49] && loud[50]);
    }
}
