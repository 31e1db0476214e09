//! Synthetic sound and picture, encoded in real time: a clip in a loop, or a generated voice and a moving pattern, each with
//! the participant's name and a machine-readable frame mark drawn in.

mod clip;
mod picture;
mod sound;

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
use picture::Painter;
use sound::Voice;

/// Picture size: what the clips have, and what a phone sends.
const WIDTH: u16 = 640;
const HEIGHT: u16 = 360;
const VIDEO_KBPS: u32 = 600;
const AUDIO_KBPS: u32 = 48;
/// Seconds from one key frame to the next that nobody asked for.
const GOP_SECONDS: u32 = 10;
/// 20 ms.
const SOUND_FRAME: Duration = Duration::from_millis(20);

/// What a source shows and says.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Drawn into the picture.
    pub name: String,
    /// Number in the frame mark; the beep at each full second has 400 + 50 * mark Hz.
    pub mark: u8,
    pub codec: VideoCodec,
    /// Pictures a second.
    pub fps: u8,
    /// MP4 with H.264 and AAC; None: generated.
    pub clip: Option<PathBuf>,
    pub sound: Sound,
}

/// What is heard besides the beep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// The clip's speech, or a generated voice.
    Speech,
    /// Nothing.
    Beeps,
}

/// Why there is no source.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("read the clip {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is no MP4 file with H.264 pictures: {reason}")]
    Clip { path: PathBuf, reason: String },
    #[error("start a codec")]
    Codec(#[from] CodecError),
    #[error("start the source's thread")]
    Thread(#[source] std::io::Error),
}

/// One coded picture, or 20 ms of coded sound.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Audio or Camera.
    pub source: TrackSource,
    /// Of a picture.
    pub codec: VideoCodec,
    pub data: Bytes,
    /// RTP time from 0: 90 kHz for pictures, 48 kHz for sound.
    pub ticks: u64,
    /// When it was captured: sound and picture have one clock.
    pub captured: Instant,
    /// Of sound: loudness, RFC 6464.
    pub level_dbov: Option<i8>,
}

/// A running source; dropping it ends its thread.
pub struct Source {
    force_key: Arc<AtomicBool>,
    /// Dropped to stop.
    _stop: mpsc::Sender<()>,
}

impl Source {
    /// Reads the clip, starts the encoders and then hands frames to `sink` as they become due. A full sink loses frames.
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
                    // Waiting for the stop is what makes it end at once.
                    match stopped.recv_timeout(due.saturating_duration_since(clock.now())) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                    // Sound leaves the wish for the next picture.
                    let wanted = generator.picture_is_next() && asked.swap(false, Ordering::Relaxed);
                    let force = if wanted { ForceKey::Yes } else { ForceKey::No };
                    match generator.next(start, force) {
                        // A sink that is full is late already: the frame is dropped, as a camera would.
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

    /// The next picture will be a key frame.
    pub fn request_keyframe(&self) {
        self.force_key.store(true, Ordering::Relaxed);
    }
}

/// The frames of a source, one after the other; time is an input.
struct Generator {
    painter: Painter,
    voice: Voice,
    encoder: Encoder,
    opus: OpusEncoder,
    codec: VideoCodec,
    fps: u64,
    pictures: u64,
    sounds: u64,
}

enum Encoder {
    H264(Box<H264Encoder>),
    Vpx(VpxEncoder),
}

impl Generator {
    fn new(config: &SourceConfig) -> Result<Self, SourceError> {
        let fps = config.fps.clamp(1, 60);
        let clip = config.clip.as_deref().map(Clip::read).transpose()?;
        let settings = H264EncoderConfig {
            width: WIDTH,
            height: HEIGHT,
            bitrate_kbps: VIDEO_KBPS,
            framerate: fps,
            gop_frames: GOP_SECONDS * u32::from(fps),
        };
        let speech = clip.as_ref().map(Clip::speech).transpose()?.unwrap_or_default();
        Ok(Self {
            voice: Voice::new(config.mark, config.sound, speech),
            painter: Painter::new(config.name.clone(), config.mark, fps, clip)?,
            encoder: match config.codec {
                VideoCodec::H264 => Encoder::H264(Box::new(H264Encoder::new(settings)?)),
                VideoCodec::Vp8 => Encoder::Vpx(VpxEncoder::new(VpxCodec::Vp8, settings)?),
                VideoCodec::Vp9 => Encoder::Vpx(VpxEncoder::new(VpxCodec::Vp9, settings)?),
            },
            opus: OpusEncoder::new(1, AUDIO_KBPS)?,
            codec: config.codec,
            fps: fps.into(),
            pictures: 0,
            sounds: 0,
        })
    }

    /// When the next frame is complete, from the start: a picture at its time, sound when its 20 ms are over.
    fn next_due(&self) -> Duration {
        self.picture_time().min(self.sound_time() + SOUND_FRAME)
    }

    fn next(&mut self, start: Instant, force: ForceKey) -> Result<Encoded, CodecError> {
        if self.picture_is_next() {
            let (number, captured) = (self.pictures, start + self.picture_time());
            self.pictures += 1;
            let picture = self.painter.paint(number);
            let EncodedFrame { data, .. } = match &mut self.encoder {
                Encoder::H264(encoder) => encoder.encode(picture, force)?,
                Encoder::Vpx(encoder) => encoder.encode(picture, force)?,
            };
            let ticks = number * 90_000 / self.fps;
            Ok(Encoded {
                source: TrackSource::Camera,
                codec: self.codec,
                data,
                ticks,
                captured,
                level_dbov: None,
            })
        } else {
            let (number, captured) = (self.sounds, start + self.sound_time());
            self.sounds += 1;
            let (pcm, level) = self.voice.speak(number);
            let data = self.opus.encode(&pcm)?;
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
        }
    }

    fn picture_is_next(&self) -> bool {
        self.picture_time() < self.sound_time() + SOUND_FRAME
    }

    fn picture_time(&self) -> Duration {
        Duration::from_nanos(self.pictures * 1_000_000_000 / self.fps)
    }

    fn sound_time(&self) -> Duration {
        SOUND_FRAME * u32::try_from(self.sounds).unwrap_or(u32::MAX)
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
            clip: None,
            sound: Sound::Beeps,
        }
    }

    #[test]
    fn a_second_has_its_pictures_with_their_marks_and_fifty_sounds() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let mut generator = Generator::new(&config(codec)).unwrap();
            let mut decoder = VideoDecoder::new(codec).unwrap();
            let start = Clock.now();
            let (mut marks, mut sounds) = (Vec::new(), 0);
            while generator.next_due() < Duration::from_secs(1) {
                let frame = generator.next(start, ForceKey::No).unwrap();
                if frame.source == TrackSource::Audio {
                    sounds += 1;
                    continue;
                }
                let picture = decoder.decode(&frame.data).unwrap().unwrap();
                marks.extend(mark::read(picture.y(), picture.width(), picture.rect()));
            }
            let expected: Vec<Mark> = (0..15).map(|count| Mark { id: 11, count }).collect();
            assert_eq!(marks, expected);
            assert_eq!(sounds, 49, "the fiftieth is complete at the full second");
        }
    }

    #[test]
    fn the_beep_begins_with_the_picture_of_the_full_second() {
        let mut voice = Voice::new(11, Sound::Beeps, Vec::new());
        let loud: Vec<bool> = (0..60).map(|number| voice.speak(number).1 > -40).collect();
        assert!(loud[0] && loud[4] && !loud[5] && !loud[49] && loud[50]);
    }
}
