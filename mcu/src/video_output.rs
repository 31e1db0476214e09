//! The canvas as H.264.

use bytes::Bytes;
use rotunda_media::codec::{CodecError, ForceKey, H264Encoder, H264EncoderConfig, h264};
use rotunda_media::picture::Picture;
use rotunda_media::program::VideoHeader;
use rotunda_proto::mix::VideoEncode;

/// See the [module](self).
pub struct VideoOutput {
    asked: VideoEncode,
    encoder: H264Encoder,
    sets: Option<ParameterSets>,
}

#[derive(Clone, PartialEq, Eq)]
struct ParameterSets {
    sps: Bytes,
    pps: Bytes,
}

/// One coded picture, ready for a program.
pub struct CodedFrame {
    /// NAL units with 4-byte lengths.
    pub data: Bytes,
    pub is_key: bool,
    /// From this picture on another header is true.
    pub header_changed: bool,
}

impl VideoOutput {
    /// Errors: [`CodecError::SetUp`].
    pub fn new(asked: VideoEncode) -> Result<Self, CodecError> {
        Ok(Self {
            asked,
            encoder: encoder(asked)?,
            sets: None,
        })
    }

    pub fn asked(&self) -> VideoEncode {
        self.asked
    }

    /// Encodes otherwise from the next picture on, which is a key frame then.
    ///
    /// Errors: [`CodecError::SetUp`]; then it goes on as before.
    pub fn handle_asked(&mut self, asked: VideoEncode) -> Result<(), CodecError> {
        if (VideoEncode {
            background_rgb: self.asked.background_rgb,
            ..asked
        }) != self.asked
        {
            self.encoder = encoder(asked)?;
            self.sets = None;
        }
        self.asked = asked;
        Ok(())
    }

    /// None before the first picture.
    pub fn header(&self) -> Option<VideoHeader> {
        let sets = self.sets.clone()?;
        Some(VideoHeader {
            width: self.asked.width,
            height: self.asked.height,
            framerate: self.asked.framerate,
            bitrate_kbps: self.asked.bitrate_kbps,
            sps: sets.sps,
            pps: sets.pps,
        })
    }

    /// None when the encoder left the picture out.
    ///
    /// Errors: [`CodecError::Encode`], [`CodecError::Size`].
    pub fn encode(&mut self, picture: &Picture) -> Result<Option<CodedFrame>, CodecError> {
        let coded = self.encoder.encode(picture, ForceKey::No)?;
        if coded.data.is_empty() {
            return Ok(None);
        }
        let sets = h264::parameter_sets(&coded.data).map(|(sps, pps)| ParameterSets { sps, pps });
        let header_changed = sets.is_some() && sets != self.sets;
        self.sets = sets.or_else(|| self.sets.take());
        Ok(Some(CodedFrame {
            data: h264::to_length_prefixed(&coded.data),
            is_key: coded.is_key,
            header_changed,
        }))
    }
}

fn encoder(asked: VideoEncode) -> Result<H264Encoder, CodecError> {
    H264Encoder::new(H264EncoderConfig {
        width: asked.width,
        height: asked.height,
        bitrate_kbps: asked.bitrate_kbps,
        framerate: asked.framerate,
        gop_frames: u32::from(asked.framerate) * u32::from(asked.gop_seconds),
    })
}
