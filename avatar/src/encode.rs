//! Video encoders of one avatar: one for each codec that somebody wants, for all who want it.

use rotunda_media::codec::{
    CodecError, EncodedFrame, ForceKey, H264Encoder, H264EncoderConfig, VideoCodec, VpxCodec, VpxEncoder,
};
use rotunda_media::video_frame::VideoFrame;

use crate::face::FRAMES_A_SECOND;

/// Frames from one keyframe to the next that nobody asked for: 2 s, so that recordings can be sought in and players begin soon.
const GOP_FRAMES: u32 = 50;

enum Encoder {
    H264(Box<H264Encoder>),
    Vpx(Box<VpxEncoder>),
}

struct Slot {
    codec: VideoCodec,
    encoder: Encoder,
    force_key: ForceKey,
}

/// See the [module](self).
pub struct Encoders {
    config: H264EncoderConfig,
    slots: Vec<Slot>,
}

impl Encoders {
    pub fn new(width: u16, height: u16, bitrate_kbps: u32) -> Self {
        Self {
            config: H264EncoderConfig {
                width,
                height,
                bitrate_kbps,
                framerate: FRAMES_A_SECOND,
                gop_frames: GOP_FRAMES,
            },
            slots: Vec::new(),
        }
    }

    pub fn config(&self) -> H264EncoderConfig {
        self.config
    }

    /// The next frame of this codec is a keyframe.
    pub fn force_key(&mut self, codec: VideoCodec) {
        for slot in self.slots.iter_mut().filter(|slot| slot.codec == codec) {
            slot.force_key = ForceKey::Yes;
        }
    }

    /// Lets the encoders go that nobody needs.
    pub fn keep(&mut self, wanted: impl Fn(VideoCodec) -> bool) {
        self.slots.retain(|slot| wanted(slot.codec));
    }

    /// Encodes a frame; the first one of a codec makes its encoder.
    pub fn encode(&mut self, codec: VideoCodec, frame: &VideoFrame) -> Result<EncodedFrame, CodecError> {
        let at = match self.slots.iter().position(|slot| slot.codec == codec) {
            Some(at) => at,
            None => {
                self.slots.push(Slot {
                    codec,
                    encoder: Encoder::new(codec, self.config)?,
                    force_key: ForceKey::Yes,
                });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[at];
        let encoded = match &mut slot.encoder {
            Encoder::H264(encoder) => encoder.encode(frame, slot.force_key),
            Encoder::Vpx(encoder) => encoder.encode(frame, slot.force_key),
        };
        match encoded {
            Ok(encoded) => {
                slot.force_key = ForceKey::No;
                Ok(encoded)
            }
            Err(error) => {
                // The next frame gets a new one.
                self.slots.remove(at);
                Err(error)
            }
        }
    }
}

impl Encoder {
    fn new(codec: VideoCodec, config: H264EncoderConfig) -> Result<Self, CodecError> {
        Ok(match codec {
            VideoCodec::H264 => Self::H264(Box::new(H264Encoder::new(config)?)),
            VideoCodec::Vp8 => Self::Vpx(Box::new(VpxEncoder::new(VpxCodec::Vp8, config)?)),
            VideoCodec::Vp9 => Self::Vpx(Box::new(VpxEncoder::new(VpxCodec::Vp9, config)?)),
            VideoCodec::Av1 => return Err(CodecError::no_encoder("AV1")),
        })
    }
}
