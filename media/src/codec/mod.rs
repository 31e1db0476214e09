//! Coders and decoders of the two frames' and the two audio' formats in use.
//!
//! Nothing here trusts a decoder to report loss: callers gate on continuity and ask for a keyframe after a gap.

pub mod aac;
pub mod av1;
pub mod h264;
mod h264_vui;
pub mod mp3;
pub mod opus;
pub mod vpx;

use bytes::Bytes;
use thiserror::Error;

use crate::video_frame::VideoFrame;

pub use aac::{AacDecoder, AacEncoder};
pub use h264::{H264Encoder, H264EncoderConfig};
pub use opus::{OpusDecoder, OpusEncoder};
pub use vpx::{VpxCodec, VpxEncoder};

/// A frame format that members send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VideoCodec {
    H264,
    Vp8,
    /// Profile 0, with spatial layers or without.
    Vp9,
    /// Profile 0 with 8 bits, with spatial layers or without.
    Av1,
}

/// One coded frame.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// H.264: one access unit in Annex B, parameter sets before each IDR. VP8, VP9: one frame.
    pub data: Bytes,
    pub is_key: bool,
}

/// Whether the next frame must be a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForceKey {
    No,
    Yes,
}

/// Why a codec did not do it.
#[derive(Debug, Error)]
pub enum CodecError {
    #[error("set up the {codec} codec: {reason}")]
    SetUp { codec: &'static str, reason: String },
    #[error("encode {codec}: {reason}")]
    Encode { codec: &'static str, reason: String },
    #[error("decode {codec}: {reason}")]
    Decode { codec: &'static str, reason: String },
    #[error("the frame is {actual_width}x{actual_height}, the encoder is for {width}x{height}")]
    Size {
        width: usize,
        height: usize,
        actual_width: usize,
        actual_height: usize,
    },
}

impl CodecError {
    /// There is only a decoder.
    pub fn no_encoder(codec: &'static str) -> Self {
        Self::SetUp {
            codec,
            reason: "it is decoded only".to_owned(),
        }
    }
}

/// A decoder of one sender's frames.
pub enum VideoDecoder {
    H264(h264::H264Decoder),
    Vpx(vpx::VpxDecoder),
    Av1(av1::Av1Decoder),
}

impl VideoDecoder {
    pub fn new(codec: VideoCodec) -> Result<Self, CodecError> {
        Ok(match codec {
            VideoCodec::H264 => Self::H264(h264::H264Decoder::new()?),
            VideoCodec::Vp8 => Self::Vpx(vpx::VpxDecoder::new(VpxCodec::Vp8)?),
            VideoCodec::Vp9 => Self::Vpx(vpx::VpxDecoder::new(VpxCodec::Vp9)?),
            VideoCodec::Av1 => Self::Av1(av1::Av1Decoder::new()?),
        })
    }

    /// Decodes one access unit (Annex B) or frame; None when no frame came of it. Odd sizes are cut to even ones.
    pub fn decode(&mut self, data: &[u8]) -> Result<Option<VideoFrame>, CodecError> {
        match self {
            Self::H264(decoder) => decoder.decode(data),
            Self::Vpx(decoder) => decoder.decode(data),
            Self::Av1(decoder) => decoder.decode(data),
        }
    }

    pub fn codec(&self) -> VideoCodec {
        match self {
            Self::H264(_) => VideoCodec::H264,
            Self::Vpx(decoder) => match decoder.codec() {
                VpxCodec::Vp8 => VideoCodec::Vp8,
                VpxCodec::Vp9 => VideoCodec::Vp9,
            },
            Self::Av1(_) => VideoCodec::Av1,
        }
    }
}

/// One plane as a decoder hands it out.
struct Plane<'a> {
    data: &'a [u8],
    stride: usize,
}

/// Copies a decoder's planes; None when the size is not one.
fn copy_planes(width: usize, height: usize, planes: [Plane<'_>; 3]) -> Option<VideoFrame> {
    let (width, height) = (width & !1, height & !1);
    if width < 2 || height < 2 {
        return None;
    }
    let mut frame = VideoFrame::filled(width, height, crate::video_frame::Yuv::BLACK);
    for (index, (target, plane)) in frame.planes_mut().into_iter().zip(planes).enumerate() {
        let row = if index == 0 { width } else { width / 2 };
        for (to, from) in target.chunks_exact_mut(row).zip(plane.data.chunks(plane.stride)) {
            to.copy_from_slice(from.get(..row)?);
        }
    }
    Some(frame)
}

#[cfg(test)]
mod tests;
