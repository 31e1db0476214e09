//! VP8 and VP9 by libvpx, behind a small safe wrapper. Source: RFC 6386; VP9 bitstream specification 0.6.

use std::mem::MaybeUninit;

use bytes::Bytes;
use vpx_sys as vpx;

use super::{CodecError, EncodedFrame, ForceKey, Plane, copy_planes};
use crate::colour::{Colour, Matrix, Range, to_common};
use crate::video_frame::VideoFrame;

/// Speed over quality: libvpx's real-time setting for a call, -16 to 16.
const CPU_USED: i32 = 8;

/// Which of libvpx's codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpxCodec {
    Vp8,
    /// Profile 0: 8 bits, 4:2:0.
    Vp9,
}

impl VpxCodec {
    const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
        }
    }
}

/// A libvpx codec context, destroyed with its owner.
struct Context(Box<vpx::vpx_codec_ctx_t>);

// SAFETY: a context is used by one thread at a time (`&mut self` everywhere) and libvpx keeps no thread-local state.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was initialised by `vpx_codec_*_init_ver`, whose failure never makes a `Context`.
        unsafe { vpx::vpx_codec_destroy(&raw mut *self.0) };
    }
}

/// A real-time encoder at constant bitrate, for tests and synthetic participants.
pub struct VpxEncoder {
    codec: VpxCodec,
    context: Context,
    width: usize,
    height: usize,
    /// Ticks of 1 / framerate.
    next_pts: i64,
}

impl VpxEncoder {
    /// Keyframes come on demand and every `gop_frames`.
    pub fn new(codec: VpxCodec, config: super::H264EncoderConfig) -> Result<Self, CodecError> {
        let set_up = |code| CodecError::SetUp {
            codec: codec.name(),
            reason: format!("libvpx error {code:?}"),
        };
        // SAFETY: both return a pointer to a static table.
        let interface = unsafe {
            match codec {
                VpxCodec::Vp8 => vpx::vpx_codec_vp8_cx(),
                VpxCodec::Vp9 => vpx::vpx_codec_vp9_cx(),
            }
        };
        let mut settings = MaybeUninit::<vpx::vpx_codec_enc_cfg_t>::zeroed();
        // SAFETY: libvpx fills the settings in when it answers OK.
        let mut settings = unsafe {
            let code = vpx::vpx_codec_enc_config_default(interface, settings.as_mut_ptr(), 0);
            if code != vpx::vpx_codec_err_t::VPX_CODEC_OK {
                return Err(set_up(code));
            }
            settings.assume_init()
        };
        settings.g_w = config.width.into();
        settings.g_h = config.height.into();
        settings.g_timebase.num = 1;
        settings.g_timebase.den = config.framerate.max(1).into();
        settings.rc_target_bitrate = config.bitrate_kbps;
        settings.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
        settings.g_lag_in_frames = 0;
        settings.g_error_resilient = 0;
        settings.kf_max_dist = config.gop_frames;
        settings.g_threads = 1;
        let mut context = Box::new(vpx::vpx_codec_ctx_t::default());
        // SAFETY: context and settings live through the call; the ABI version is that of the bindings.
        let code = unsafe {
            vpx::vpx_codec_enc_init_ver(
                &raw mut *context,
                interface,
                &raw const settings,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as i32,
            )
        };
        if code != vpx::vpx_codec_err_t::VPX_CODEC_OK {
            return Err(set_up(code));
        }
        let mut context = Context(context);
        // SAFETY: the control takes an int.
        unsafe {
            vpx::vpx_codec_control_(
                &raw mut *context.0,
                vpx::vp8e_enc_control_id::VP8E_SET_CPUUSED as i32,
                CPU_USED,
            );
        }
        Ok(Self {
            codec,
            context,
            width: config.width.into(),
            height: config.height.into(),
            next_pts: 0,
        })
    }

    pub fn encode(&mut self, frame: &VideoFrame, force_key: ForceKey) -> Result<EncodedFrame, CodecError> {
        let (actual_width, actual_height) = (frame.width(), frame.height());
        if (actual_width, actual_height) != (self.width, self.height) {
            return Err(CodecError::Size {
                width: self.width,
                height: self.height,
                actual_width,
                actual_height,
            });
        }
        let mut image = MaybeUninit::<vpx::vpx_image_t>::zeroed();
        let flags = if force_key == ForceKey::Yes {
            vpx::VPX_EFLAG_FORCE_KF
        } else {
            0
        };
        // SAFETY: `vpx_img_wrap` fills the image in for a buffer of I420 rows without padding, which `VideoFrame` is; the
        // encoder only reads it, and only within this call.
        let code = unsafe {
            vpx::vpx_img_wrap(
                image.as_mut_ptr(),
                vpx::vpx_img_fmt_t::VPX_IMG_FMT_I420,
                self.width as u32,
                self.height as u32,
                1,
                frame.y().as_ptr().cast_mut(),
            );
            vpx::vpx_codec_encode(
                &raw mut *self.context.0,
                image.as_ptr(),
                self.next_pts,
                1,
                i64::from(flags),
                u64::from(vpx::VPX_DL_REALTIME),
            )
        };
        self.next_pts += 1;
        if code != vpx::vpx_codec_err_t::VPX_CODEC_OK {
            return Err(CodecError::Encode {
                codec: self.codec.name(),
                reason: format!("libvpx error {code:?}"),
            });
        }
        let mut iterator = std::ptr::null();
        loop {
            // SAFETY: packets live until the next call of the encoder; each is copied at once.
            let frame = unsafe {
                let packet = vpx::vpx_codec_get_cx_data(&raw mut *self.context.0, &raw mut iterator);
                let Some(packet) = packet.as_ref() else {
                    return Err(CodecError::Encode {
                        codec: self.codec.name(),
                        reason: "no frame came out".to_owned(),
                    });
                };
                if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                    continue;
                }
                packet.data.frame
            };
            // SAFETY: as above; the packet says how long it is.
            let data = unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize) };
            let is_key = frame.flags & vpx::VPX_FRAME_IS_KEY != 0;
            return Ok(EncodedFrame {
                data: Bytes::copy_from_slice(data),
                is_key,
            });
        }
    }
}

pub struct VpxDecoder {
    codec: VpxCodec,
    context: Context,
}

impl VpxDecoder {
    pub fn new(codec: VpxCodec) -> Result<Self, CodecError> {
        let mut context = Box::new(vpx::vpx_codec_ctx_t::default());
        // SAFETY: the interfaces are static tables; the context lives through the call; the ABI version is that of the
        // bindings.
        let code = unsafe {
            let interface = match codec {
                VpxCodec::Vp8 => vpx::vpx_codec_vp8_dx(),
                VpxCodec::Vp9 => vpx::vpx_codec_vp9_dx(),
            };
            vpx::vpx_codec_dec_init_ver(
                &raw mut *context,
                interface,
                std::ptr::null(),
                0,
                vpx::VPX_DECODER_ABI_VERSION as i32,
            )
        };
        if code == vpx::vpx_codec_err_t::VPX_CODEC_OK {
            Ok(Self {
                codec,
                context: Context(context),
            })
        } else {
            Err(CodecError::SetUp {
                codec: codec.name(),
                reason: format!("libvpx error {code:?}"),
            })
        }
    }

    pub fn codec(&self) -> VpxCodec {
        self.codec
    }

    /// Decodes one VP8 frame, or all spatial layers of one VP9 frame, of which the highest comes out.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Option<VideoFrame>, CodecError> {
        let failed = |reason: String| CodecError::Decode {
            codec: self.codec.name(),
            reason,
        };
        // SAFETY: the input is valid for its length.
        let code = unsafe {
            vpx::vpx_codec_decode(
                &raw mut *self.context.0,
                frame.as_ptr(),
                frame.len() as u32,
                std::ptr::null_mut(),
                0,
            )
        };
        if code != vpx::vpx_codec_err_t::VPX_CODEC_OK {
            return Err(failed(format!("libvpx error {code:?}")));
        }
        let mut iterator = std::ptr::null();
        // SAFETY: the image lives until the next call of the decoder, which needs `&mut self`; it is copied here.
        let frame = unsafe {
            let image = vpx::vpx_codec_get_frame(&raw mut *self.context.0, &raw mut iterator);
            let Some(image) = image.as_ref() else { return Ok(None) };
            // Profiles 1 to 3 have other chroma sampling or 16-bit samples, which must not be read as 8-bit 4:2:0.
            if image.fmt != vpx::vpx_img_fmt_t::VPX_IMG_FMT_I420 {
                return Err(failed(format!("pixel format {:?} instead of 8-bit 4:2:0", image.fmt)));
            }
            let (width, height) = (image.d_w as usize, image.d_h as usize);
            let plane = |index: usize, rows: usize| {
                let stride = image.stride[index].max(1) as usize;
                Plane {
                    data: std::slice::from_raw_parts(image.planes[index], stride * rows),
                    stride,
                }
            };
            let half = height.div_ceil(2);
            let colour = Colour {
                matrix: match image.cs {
                    vpx::vpx_color_space_t::VPX_CS_BT_709 => Matrix::Bt709,
                    _ => Matrix::Bt601,
                },
                range: match image.range {
                    vpx::vpx_color_range_t::VPX_CR_FULL_RANGE => Range::Full,
                    vpx::vpx_color_range_t::VPX_CR_STUDIO_RANGE => Range::Limited,
                },
            };
            let frame = copy_planes(width, height, [plane(0, height), plane(1, half), plane(2, half)]);
            frame.map(|frame| to_common(frame, colour))
        };
        Ok(frame)
    }
}
