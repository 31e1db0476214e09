//! The avatar as an encoded program, H.264 and AAC: what recordings and RTMP pushes are made of.

use std::sync::Arc;

use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, CodecError, EncodedFrame, H264EncoderConfig, h264};
use rotunda_media::program::{AudioHeader, Frame, ProgramHeader, Track, VideoHeader};
use rotunda_media::time::{MediaTime, VIDEO_RATE};

const AUDIO_RATE: u32 = 48_000;
const AUDIO_KBPS: u32 = 96;
/// 48 kHz samples in a piece of 20 ms.
const BLOCK: u64 = 960;

/// See the [module](self).
pub struct Program {
    video: H264EncoderConfig,
    audio: AacEncoder,
    audio_header: AudioHeader,
    header: Option<Arc<ProgramHeader>>,
    /// 48 kHz mono, less than one AAC frame.
    waiting: Vec<f32>,
    /// First sample of the next AAC frame that comes out; before `first` it is priming.
    next: i64,
    first: i64,
    /// The piece that comes next, unless time has passed without pieces.
    piece: u64,
}

impl Program {
    /// `piece`: the number of the first piece that it will be given.
    pub fn new(video: H264EncoderConfig, piece: u64) -> Result<Self, CodecError> {
        let audio = AacEncoder::new(AUDIO_RATE, 1, AUDIO_KBPS)?;
        let first = (piece * BLOCK) as i64;
        Ok(Self {
            video,
            audio_header: AudioHeader {
                sample_rate: AUDIO_RATE,
                channels: 1,
                bitrate_kbps: AUDIO_KBPS,
                config: audio.config(),
            },
            audio,
            header: None,
            waiting: Vec::new(),
            next: first - i64::from(AacEncoder::DELAY_SAMPLES),
            first,
            piece,
        })
    }

    /// `frame`: H.264, of the time when `piece` begins. None before the first keyframe.
    pub fn video(&mut self, frame: &EncodedFrame, piece: u64) -> Option<Arc<Frame>> {
        if frame.is_key
            && let Some((sps, pps)) = h264::parameter_sets(&frame.data)
        {
            let header = ProgramHeader {
                video: Some(VideoHeader {
                    width: self.video.width,
                    height: self.video.height,
                    framerate: self.video.framerate,
                    bitrate_kbps: self.video.bitrate_kbps,
                    sps,
                    pps,
                }),
                audio: self.audio_header.clone(),
            };
            if self.header.as_deref() != Some(&header) {
                self.header = Some(Arc::new(header));
            }
        }
        Some(Arc::new(Frame {
            track: Track::Video,
            pts: MediaTime::new(piece * u64::from(VIDEO_RATE) / 50, VIDEO_RATE),
            duration: VIDEO_RATE / u32::from(self.video.framerate),
            is_key: frame.is_key,
            data: h264::to_length_prefixed(&frame.data),
            header: self.header.clone()?,
        }))
    }

    /// A piece of 48 kHz mono.
    pub fn audio(&mut self, pcm: &[f32], piece: u64) -> Result<Vec<Arc<Frame>>, CodecError> {
        self.next += (piece.saturating_sub(self.piece) * BLOCK) as i64;
        self.piece = piece + 1;
        self.waiting.extend_from_slice(pcm);
        let mut frames = Vec::new();
        while self.waiting.len() >= FRAME {
            let made = self.audio.encode(&self.waiting[..FRAME]);
            self.waiting.drain(..FRAME);
            let Some(data) = made? else { continue };
            let at = self.next;
            self.next += FRAME as i64;
            if let Some(header) = self.header.clone().filter(|_| at >= self.first) {
                frames.push(Arc::new(Frame {
                    track: Track::Audio,
                    pts: MediaTime::new(at as u64, AUDIO_RATE),
                    duration: FRAME as u32,
                    is_key: true,
                    data,
                    header,
                }));
            }
        }
        Ok(frames)
    }
}
