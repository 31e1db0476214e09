//! H.264 by OpenH264, and the little of its byte stream that containers need. Source: ITU-T H.264 §7.4.1, Annex B.

use bytes::{BufMut, Bytes, BytesMut};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::YUVSource;
use openh264_sys2::{DECODER_OPTION_ERROR_CON_IDC, ERROR_CON_DISABLE, SBufferInfo};

use super::{CodecError, EncodedPicture, ForceKey, Plane, copy_planes};
use crate::picture::Picture;

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H264EncoderConfig {
    /// Pixels, even, at least 16.
    pub width: u16,
    pub height: u16,
    pub bitrate_kbps: u32,
    /// Frames a second.
    pub framerate: u8,
    /// Frames from one IDR to the next.
    pub gop_frames: u32,
}

/// Constrained baseline, no B-frames, every picture coded (the frame rate is constant).
pub struct H264Encoder {
    encoder: Encoder,
    config: H264EncoderConfig,
}

impl H264Encoder {
    pub fn new(config: H264EncoderConfig) -> Result<Self, CodecError> {
        let options = EncoderConfig::new()
            .bitrate(BitRate::from_bps(config.bitrate_kbps.saturating_mul(1000)))
            .max_frame_rate(FrameRate::from_hz(f32::from(config.framerate)))
            .rate_control_mode(RateControlMode::Bitrate)
            .skip_frames(false)
            .profile(Profile::Baseline)
            .complexity(Complexity::Low)
            .usage_type(UsageType::CameraVideoRealTime)
            .intra_frame_period(IntraFramePeriod::from_num_frames(config.gop_frames))
            .vui(VuiConfig::bt601());
        let encoder =
            Encoder::with_api_config(OpenH264API::from_source(), options).map_err(|error| CodecError::SetUp {
                codec: "H.264",
                reason: error.to_string(),
            })?;
        Ok(Self { encoder, config })
    }

    pub fn config(&self) -> H264EncoderConfig {
        self.config
    }

    /// Encodes the next picture of the constant frame rate.
    pub fn encode(&mut self, picture: &Picture, force_key: ForceKey) -> Result<EncodedPicture, CodecError> {
        let (width, height) = (usize::from(self.config.width), usize::from(self.config.height));
        if (picture.width(), picture.height()) != (width, height) {
            let (actual_width, actual_height) = (picture.width(), picture.height());
            return Err(CodecError::Size {
                width,
                height,
                actual_width,
                actual_height,
            });
        }
        if force_key == ForceKey::Yes {
            self.encoder.force_intra_frame();
        }
        let stream = self
            .encoder
            .encode(&Source(picture))
            .map_err(|error| CodecError::Encode {
                codec: "H.264",
                reason: error.to_string(),
            })?;
        let data = stream.to_vec();
        let is_key = nal_units(&data).any(|nal| nal_type(nal) == IDR);
        Ok(EncodedPicture {
            data: data.into(),
            is_key,
        })
    }
}

struct Source<'a>(&'a Picture);

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width(), self.0.height())
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.0.width(), self.0.width() / 2, self.0.width() / 2)
    }

    fn y(&self) -> &[u8] {
        self.0.y()
    }

    fn u(&self) -> &[u8] {
        self.0.u()
    }

    fn v(&self) -> &[u8] {
        self.0.v()
    }
}

/// One access unit in, one picture out; no concealment, so after a loss nothing comes until the next IDR.
///
/// The crate's own decoder turns every non-zero state into an error, also where there is a picture, hence the raw API.
pub struct H264Decoder {
    decoder: openh264::decoder::Decoder,
}

impl H264Decoder {
    pub fn new() -> Result<Self, CodecError> {
        let set_up = |error: openh264::Error| CodecError::SetUp {
            codec: "H.264",
            reason: error.to_string(),
        };
        let config = openh264::decoder::DecoderConfig::new();
        let mut decoder =
            openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config).map_err(set_up)?;
        let mut no_concealment = ERROR_CON_DISABLE;
        // SAFETY: the option takes a pointer to an int, which lives through the call.
        unsafe {
            decoder
                .raw_api()
                .set_option(DECODER_OPTION_ERROR_CON_IDC, (&raw mut no_concealment).cast());
        }
        Ok(Self { decoder })
    }

    pub fn decode(&mut self, access_unit: &[u8]) -> Result<Option<Picture>, CodecError> {
        let length = i32::try_from(access_unit.len()).map_err(|_| CodecError::Decode {
            codec: "H.264",
            reason: "the access unit is too long".to_owned(),
        })?;
        let mut planes = [std::ptr::null_mut::<u8>(); 3];
        // SAFETY: a plain C struct of numbers and pointers, for which all zeros is a value.
        let mut info: SBufferInfo = unsafe { std::mem::zeroed() };
        // SAFETY: the input is valid for `length` bytes; the decoder writes three pointers and the struct.
        let state = unsafe {
            self.decoder.raw_api().decode_frame_no_delay(
                access_unit.as_ptr(),
                length,
                planes.as_mut_ptr(),
                &raw mut info,
            )
        };
        if info.iBufferStatus != 1 || planes.iter().any(|plane| plane.is_null()) {
            return if state == 0 {
                Ok(None)
            } else {
                Err(CodecError::Decode {
                    codec: "H.264",
                    reason: format!("state {state:#x}"),
                })
            };
        }
        // SAFETY: with a buffer status of 1 the union holds the system buffer's geometry.
        let geometry = unsafe { info.UsrData.sSystemBuffer };
        let (width, height) = (geometry.iWidth.max(0) as usize, geometry.iHeight.max(0) as usize);
        let [luma, chroma] = geometry.iStride.map(|stride| stride.max(1) as usize);
        let half = height.div_ceil(2);
        // SAFETY: the decoder's planes have `stride` bytes in each of their rows and live until its next call, which
        // needs `&mut self`; they are copied before this returns.
        let picture = unsafe {
            copy_planes(
                width,
                height,
                [
                    Plane {
                        data: std::slice::from_raw_parts(planes[0], luma * height),
                        stride: luma,
                    },
                    Plane {
                        data: std::slice::from_raw_parts(planes[1], chroma * half),
                        stride: chroma,
                    },
                    Plane {
                        data: std::slice::from_raw_parts(planes[2], chroma * half),
                        stride: chroma,
                    },
                ],
            )
        };
        Ok(picture)
    }
}

/// The NAL units of a byte stream, without start codes and trailing zeros.
pub fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(annex_b);
    std::iter::from_fn(move || {
        let stream = rest?;
        let end = stream.windows(3).position(|bytes| bytes == [0, 0, 1]);
        let nal = &stream[..end.unwrap_or(stream.len())];
        rest = end.map(|end| &stream[end + 3..]);
        let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..length])
    })
    .filter(|nal| !nal.is_empty())
}

fn after_start_code(annex_b: &[u8]) -> Option<&[u8]> {
    let at = annex_b.windows(3).position(|bytes| bytes == [0, 0, 1])?;
    Some(&annex_b[at + 3..])
}

/// `nal_unit_type`; 0 for an empty unit.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// The access unit with 4-byte lengths, without parameter sets and delimiters (ISO/IEC 14496-15 §5.3).
pub fn to_length_prefixed(annex_b: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(annex_b.len() + 16);
    for nal in nal_units(annex_b).filter(|nal| ![SPS, PPS, ACCESS_UNIT_DELIMITER].contains(&nal_type(nal))) {
        out.put_u32(nal.len() as u32);
        out.put_slice(nal);
    }
    out.freeze()
}

/// The access unit in Annex B again, from 4-byte lengths; stops at a length that does not fit.
pub fn to_annex_b(length_prefixed: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(length_prefixed.len() + 16);
    let mut rest = length_prefixed;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Some((nal, next)) = after.split_at_checked(u32::from_be_bytes(*length) as usize) else {
            break;
        };
        out.put_slice(&[0, 0, 0, 1]);
        out.put_slice(nal);
        rest = next;
    }
    out.freeze()
}

/// The first SPS and PPS of an access unit, without start codes.
pub fn parameter_sets(annex_b: &[u8]) -> Option<(Bytes, Bytes)> {
    let first = |kind| {
        nal_units(annex_b)
            .find(|nal| nal_type(nal) == kind)
            .map(Bytes::copy_from_slice)
    };
    Some((first(SPS)?, first(PPS)?))
}
