//! H.264 by OpenH264, and the little of its byte stream that containers need. Source: ITU-T H.264 §7.4.1, Annex B.

use bytes::{BufMut, Bytes, BytesMut};
use openh264::OpenH264API;
use openh264::decoder::DecoderRawAPI;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, QpRange, RateControlMode,
    UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264_sys2::{
    DECODER_OPTION_ERROR_CON_IDC, DECODING_STATE, ENCODER_OPTION_BITRATE, ENCODER_OPTION_FRAME_RATE,
    ENCODER_OPTION_IDR_INTERVAL, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL, ERROR_CON_DISABLE,
    SBitrateInfo, SBufferInfo, SPATIAL_LAYER_0, SPATIAL_LAYER_ALL, WELS_LOG_QUIET,
};

use super::{CodecError, EncodedFrame, ForceKey, Plane, copy_planes, h264_vui};
use crate::colour::{Colour, to_common};
use crate::video_frame::VideoFrame;

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;
/// Least quantisers, fine to coarse. OpenH264's buffer holds as much as the frame has without coding; a frame that needs more, as noise
/// does, is an error after which the encoder does not go on. Then the frame is encoded again with the next one.
const LEAST_QP: [u8; 4] = [18, 28, 36, 44];
const MOST_QP: u8 = 51;
/// So many frames later a finer quantiser is tried again, at least.
const COARSE_FRAMES: u32 = 150;
/// Most frames between decoding and showing (§A.3.1).
const MOST_REORDERED: usize = 16;

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

/// Constrained baseline, no B-frames, every frame coded (the frame rate is constant).
pub struct H264Encoder {
    encoder: Encoder,
    config: H264EncoderConfig,
    /// The library is set up at the first frame; before that it takes no options.
    has_encoded: bool,
    /// Index into [`LEAST_QP`].
    coarseness: usize,
    /// Frames since it was last changed.
    frames: u32,
    failures: u64,
}

impl H264Encoder {
    pub fn new(config: H264EncoderConfig) -> Result<Self, CodecError> {
        Ok(Self {
            encoder: encoder(config, 0)?,
            config,
            has_encoded: false,
            coarseness: 0,
            frames: 0,
            failures: 0,
        })
    }

    /// Frames that had to be encoded again with a coarser quantiser, since the start.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    pub fn config(&self) -> H264EncoderConfig {
        self.config
    }

    /// Changes bitrate, frame rate and GOP length from the next frame on. The stream goes on: no keyframe, no new parameter sets.
    ///
    /// Errors: [`CodecError::Size`] when the size differs (that needs a new encoder), [`CodecError::SetUp`] when OpenH264
    /// refuses a value.
    pub fn reconfigure(&mut self, config: H264EncoderConfig) -> Result<(), CodecError> {
        let before = self.config;
        if (config.width, config.height) != (before.width, before.height) {
            return Err(CodecError::Size {
                width: before.width.into(),
                height: before.height.into(),
                actual_width: config.width.into(),
                actual_height: config.height.into(),
            });
        }
        if !self.has_encoded {
            self.encoder = encoder(config, self.coarseness)?;
            self.config = config;
            return Ok(());
        }
        if config.framerate != before.framerate {
            let mut hertz = f32::from(config.framerate);
            // SAFETY: the option takes a pointer to a float, which lives through the call.
            unsafe { self.set_option(ENCODER_OPTION_FRAME_RATE, &mut hertz)? };
        }
        if config.bitrate_kbps != before.bitrate_kbps {
            let (target, most) = (
                (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL),
                (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_0),
            );
            // The layer's limit must never be below its target: it goes first on the way up, and last on the way down.
            let options = if config.bitrate_kbps > before.bitrate_kbps {
                [most, target]
            } else {
                [target, most]
            };
            for (option, layer) in options {
                let mut bitrate = SBitrateInfo {
                    iLayer: layer,
                    iBitrate: i32::try_from(config.bitrate_kbps.saturating_mul(1000)).unwrap_or(i32::MAX),
                };
                // SAFETY: both options take a pointer to an SBitrateInfo, which lives through the call.
                unsafe { self.set_option(option, &mut bitrate)? };
            }
        }
        if config.gop_frames != before.gop_frames {
            let mut frames = i32::try_from(config.gop_frames).unwrap_or(i32::MAX);
            // SAFETY: the option takes a pointer to an int, which lives through the call.
            unsafe { self.set_option(ENCODER_OPTION_IDR_INTERVAL, &mut frames)? };
        }
        self.config = config;
        Ok(())
    }

    /// # Safety
    ///
    /// `value` has the type that the library expects of `option`.
    unsafe fn set_option<T>(&mut self, option: openh264_sys2::ENCODER_OPTION, value: &mut T) -> Result<(), CodecError> {
        // SAFETY: the caller keeps the type; the pointer is valid through the call, and the library copies the value.
        let code = unsafe {
            self.encoder
                .raw_api()
                .set_option(option, std::ptr::from_mut(value).cast())
        };
        if code == 0 {
            return Ok(());
        }
        Err(CodecError::SetUp {
            codec: "H.264",
            reason: format!("option {option} was refused with code {code}"),
        })
    }

    /// Encodes the next frame of the constant frame rate.
    pub fn encode(&mut self, frame: &VideoFrame, force_key: ForceKey) -> Result<EncodedFrame, CodecError> {
        let (width, height) = (usize::from(self.config.width), usize::from(self.config.height));
        if (frame.width(), frame.height()) != (width, height) {
            let (actual_width, actual_height) = (frame.width(), frame.height());
            return Err(CodecError::Size {
                width,
                height,
                actual_width,
                actual_height,
            });
        }
        self.frames = self.frames.saturating_add(1);
        if self.coarseness > 0 && self.frames > COARSE_FRAMES.max(self.config.gop_frames) {
            self.renew(self.coarseness - 1)?;
        }
        loop {
            match self.encode_once(frame, force_key) {
                Err(CodecError::Encode { .. }) if self.coarseness + 1 < LEAST_QP.len() => {
                    self.failures += 1;
                    self.renew(self.coarseness + 1)?;
                }
                result => return result,
            }
        }
    }

    /// Starts over with another least quantiser. The parameter sets stay as they are; the next frame is a keyframe.
    fn renew(&mut self, coarseness: usize) -> Result<(), CodecError> {
        self.encoder = encoder(self.config, coarseness)?;
        self.coarseness = coarseness;
        self.has_encoded = false;
        self.frames = 0;
        Ok(())
    }

    fn encode_once(&mut self, frame: &VideoFrame, force_key: ForceKey) -> Result<EncodedFrame, CodecError> {
        if force_key == ForceKey::Yes {
            self.encoder.force_intra_frame();
        }
        let stream = self
            .encoder
            .encode(&Source(frame))
            .map_err(|error| CodecError::Encode {
                codec: "H.264",
                reason: error.to_string(),
            })?;
        let data = stream.to_vec();
        self.has_encoded = true;
        let is_key = nal_units(&data).any(|nal| nal_type(nal) == IDR);
        Ok(EncodedFrame {
            data: data.into(),
            is_key,
        })
    }
}

/// `coarseness`: index into [`LEAST_QP`].
fn encoder(config: H264EncoderConfig, coarseness: usize) -> Result<Encoder, CodecError> {
    let options = EncoderConfig::new()
        .bitrate(BitRate::from_bps(config.bitrate_kbps.saturating_mul(1000)))
        .max_frame_rate(FrameRate::from_hz(f32::from(config.framerate)))
        .rate_control_mode(RateControlMode::Bitrate)
        .skip_frames(false)
        .profile(Profile::Baseline)
        .complexity(Complexity::Low)
        .qp(QpRange::new(LEAST_QP[coarseness.min(LEAST_QP.len() - 1)], MOST_QP))
        .usage_type(UsageType::CameraVideoRealTime)
        .intra_frame_period(IntraFramePeriod::from_num_frames(config.gop_frames))
        .vui(VuiConfig::bt601());
    let set_up = |reason: String| CodecError::SetUp { codec: "H.264", reason };
    let encoder = Encoder::with_api_config(OpenH264API::from_source(), options);
    let mut encoder = encoder.map_err(|error| set_up(error.to_string()))?;
    // `openh264` sets it too, but only after the library has printed a warning about frame skipping to standard error.
    let mut level = WELS_LOG_QUIET;
    // SAFETY: the library expects an integer of this option, which it takes before the encoder is initialised, and copies it.
    let code = unsafe {
        let level = (&raw mut level).cast();
        encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, level)
    };
    if code != 0 {
        return Err(set_up(format!("its messages could not be switched off: code {code}")));
    }
    Ok(encoder)
}

struct Source<'a>(&'a VideoFrame);

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

/// One access unit in, one frame out; no concealment, so after a loss nothing comes until the next IDR.
///
/// The crate's own decoder turns every non-zero state into an error, also where there is a frame, hence the raw API.
pub struct H264Decoder {
    decoder: openh264::decoder::Decoder,
    /// By the last parameter set.
    colour: Colour,
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
        Ok(Self {
            decoder,
            colour: Colour::default(),
        })
    }

    pub fn decode(&mut self, access_unit: &[u8]) -> Result<Option<VideoFrame>, CodecError> {
        self.run(access_unit, Order::Decoding)
    }

    /// As [`decode`](Self::decode), for a stream with B-frames: its frames come in the order in which they are shown, some access units
    /// later. One decoder is used in one way.
    pub fn decode_reordered(&mut self, access_unit: &[u8]) -> Result<Option<VideoFrame>, CodecError> {
        self.run(access_unit, Order::Showing)
    }

    fn run(&mut self, access_unit: &[u8], order: Order) -> Result<Option<VideoFrame>, CodecError> {
        let length = i32::try_from(access_unit.len()).map_err(|_| CodecError::Decode {
            codec: "H.264",
            reason: "the access unit is too long".to_owned(),
        })?;
        if let Some(set) = nal_units(access_unit).find(|nal| nal_type(nal) == SPS) {
            self.colour = h264_vui::colour(set);
        }
        self.shown(|api, planes, info| {
            // SAFETY: the input is valid for `length` bytes; the decoder writes three pointers and the struct.
            unsafe {
                match order {
                    Order::Decoding => api.decode_frame_no_delay(access_unit.as_ptr(), length, planes, info),
                    Order::Showing => api.decode_frame2(access_unit.as_ptr(), length, planes, info),
                }
            }
        })
    }

    /// The frames that [`decode_reordered`](Self::decode_reordered) still has, to be asked for after the last access unit. The next one
    /// begins a new sequence with a keyframe.
    pub fn flush(&mut self) -> Result<Vec<VideoFrame>, CodecError> {
        let mut frames = Vec::new();
        // SAFETY: without input, the end of the stream is told; the decoder writes three pointers and the struct.
        let last = self.shown(|api, planes, info| unsafe { api.decode_frame2(std::ptr::null(), 0, planes, info) });
        frames.extend(last?);
        for _ in 0..MOST_REORDERED {
            // SAFETY: the decoder writes three pointers and the struct.
            let frame = self.shown(|api, planes, info| unsafe { api.flush_frame(planes, info) })?;
            let Some(frame) = frame else { break };
            frames.push(frame);
        }
        Ok(frames)
    }

    /// A copy of the frame that a call of the decoder's yields.
    fn shown(
        &mut self,
        call: impl FnOnce(&DecoderRawAPI, *mut *mut u8, *mut SBufferInfo) -> DECODING_STATE,
    ) -> Result<Option<VideoFrame>, CodecError> {
        let mut planes = [std::ptr::null_mut::<u8>(); 3];
        // SAFETY: a plain C struct of numbers and pointers, for which all zeros is a value.
        let mut info: SBufferInfo = unsafe { std::mem::zeroed() };
        // SAFETY: no option is set.
        let api = unsafe { self.decoder.raw_api() };
        let state = call(api, planes.as_mut_ptr(), &raw mut info);
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
        let frame = unsafe {
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
        Ok(frame.map(|frame| to_common(frame, self.colour)))
    }
}

/// The order in which a decoder's frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Decoding,
    Showing,
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

/// As [`to_length_prefixed`], with the parameter sets: a stream whose configuration changes also plays where a player takes the
/// first configuration only.
pub fn to_length_prefixed_with_sets(annex_b: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(annex_b.len() + 16);
    for nal in nal_units(annex_b).filter(|nal| nal_type(nal) != ACCESS_UNIT_DELIMITER) {
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

/// Width and height of the frames that a sequence parameter set describes, after cropping; None if it cannot be read.
pub fn frame_size(sps: &[u8]) -> Option<(u16, u16)> {
    let sps = shiguredo_mp4::bitstream::h264::parse_sps(sps).ok()?;
    Some((sps.width, sps.height))
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
