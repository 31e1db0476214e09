//! A publisher's video as H.264: passed through where it is H.264 and upright, otherwise decoded and encoded again.

use bytes::Bytes;
use rotunda_media::codec::{CodecError, ForceKey, H264Encoder, H264EncoderConfig, VideoCodec, VideoDecoder, h264};
use rotunda_media::program::VideoHeader;
use rotunda_media::rotate::rotate;
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rotation, VideoFrame, Yuv};
use rotunda_receiver::CodedVideo;
use rotunda_receiver::timeline::Micros;

/// A keyframe is needed this often, for segments and for players who join: 4 s.
const GOP: Micros = 4_000_000;
/// A keyframe that does not come is requested again.
const ASK_AGAIN: Micros = 1_000_000;
/// Nominal frame rate: publishers change theirs at any time.
const FRAMERATE: u8 = 30;
/// Size of the placeholder of a camera that has not sent a frame yet.
const PLACEHOLDER: (u16, u16) = (640, 360);

/// An H.264 frame in 4-byte lengths.
#[derive(Debug, Clone)]
pub struct H264Frame {
    pub data: Bytes,
    pub is_key: bool,
    /// The decoder configuration from this frame on.
    pub header: VideoHeader,
}

/// See the [module](self).
pub struct VideoLine {
    needs_key: bool,
    asked_at: Option<Micros>,
    /// When the last keyframe was received.
    key_at: Option<Micros>,
    rotation: Rotation,
    decoder: Option<VideoDecoder>,
    encoder: Option<Encoder>,
    /// The parameter sets of the passed-through video.
    header: Option<VideoHeader>,
    path: Path,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    PassThrough,
    Encode,
}

struct Encoder {
    encoder: H264Encoder,
    width: u16,
    height: u16,
    header: Option<VideoHeader>,
    key_at: Option<Micros>,
}

impl Default for VideoLine {
    fn default() -> Self {
        Self {
            needs_key: true,
            asked_at: None,
            key_at: None,
            rotation: Rotation::None,
            decoder: None,
            encoder: None,
            header: None,
            path: Path::PassThrough,
        }
    }
}

impl VideoLine {
    /// Takes a frame that was captured at `at`; None: nothing comes of it.
    ///
    /// Errors: [`CodecError`]; the video continues with the next keyframe.
    pub fn handle_frame(&mut self, at: Micros, coded: &CodedVideo) -> Result<Option<H264Frame>, CodecError> {
        // 3GPP TS 26.114 §6.2.3: it comes with keyframes and with changes, and holds for the frames in between.
        self.rotation = match (coded.rotation, coded.is_key) {
            (Some(rotation), _) => rotation,
            (None, true) => Rotation::None,
            (None, false) => self.rotation,
        };
        if !coded.is_key && !coded.contiguous {
            self.needs_key = true;
        }
        if coded.is_key {
            self.needs_key = false;
            self.key_at = Some(at);
            self.path = match (coded.codec, self.rotation) {
                (VideoCodec::H264, Rotation::None) => Path::PassThrough,
                _ => Path::Encode,
            };
        }
        if self.needs_key {
            return Ok(None);
        }
        let done = match self.path {
            Path::PassThrough => Ok(self.pass_through(coded)),
            Path::Encode => self.encode_again(at, coded),
        };
        if done.is_err() {
            self.needs_key = true;
        }
        done
    }

    /// Frames are missing: the video continues with the next keyframe.
    pub fn handle_loss(&mut self) {
        self.needs_key = true;
    }

    /// Whether the publisher should be asked for a keyframe now; counts as asked.
    pub fn take_key_request(&mut self, now: Micros) -> bool {
        let is_due = match self.path {
            Path::PassThrough => self.key_at.is_none_or(|at| now - at >= GOP),
            // The own encoder makes keyframes.
            Path::Encode => false,
        };
        (self.needs_key || is_due) && self.take_repeat_request(now)
    }

    /// Whether a publisher who has sent nothing for a while should be asked for a keyframe now; counts as asked.
    pub fn take_repeat_request(&mut self, now: Micros) -> bool {
        let ask = self.asked_at.is_none_or(|at| now - at >= ASK_AGAIN);
        if ask {
            self.asked_at = Some(now);
        }
        ask
    }

    /// A black keyframe in place of a camera that is off, in the size of its last frame. The camera's next frame will be a keyframe.
    ///
    /// Errors: [`CodecError`].
    pub fn placeholder(&mut self, at: Micros) -> Result<Option<H264Frame>, CodecError> {
        self.needs_key = true;
        let known = self.encoder.as_ref().map(|encoder| (encoder.width, encoder.height));
        let passed = self
            .header
            .as_ref()
            .map(|header| (header.width & !1, header.height & !1));
        let (width, height) = passed.or(known).unwrap_or(PLACEHOLDER);
        let black = VideoFrame::filled(width.into(), height.into(), Yuv::BLACK);
        self.encode(at, &black, ForceKey::Yes)
    }

    fn pass_through(&mut self, coded: &CodedVideo) -> Option<H264Frame> {
        if coded.is_key
            && let Some((sps, pps)) = h264::parameter_sets(&coded.data)
        {
            let known = self.header.as_ref();
            if known.is_none_or(|known| known.sps != sps || known.pps != pps) {
                let (width, height) = h264::frame_size(&sps)?;
                self.header = Some(VideoHeader {
                    width,
                    height,
                    framerate: FRAMERATE,
                    bitrate_kbps: bitrate_kbps(width, height),
                    sps,
                    pps,
                });
            }
        }
        let header = self.header.clone();
        if header.is_none() {
            // A keyframe without parameter sets.
            self.needs_key = true;
        }
        let data = h264::to_length_prefixed_with_sets(&coded.data);
        (!data.is_empty()).then_some(H264Frame {
            data,
            is_key: coded.is_key,
            header: header?,
        })
    }

    fn encode_again(&mut self, at: Micros, coded: &CodedVideo) -> Result<Option<H264Frame>, CodecError> {
        let decoder = match &mut self.decoder {
            Some(decoder) if decoder.codec() == coded.codec => decoder,
            decoder => decoder.insert(VideoDecoder::new(coded.codec)?),
        };
        let Some(frame) = decoder.decode(&coded.data)? else {
            return Ok(None);
        };
        let frame = match self.rotation {
            Rotation::None => frame,
            turned => rotate(&frame, turned),
        };
        self.encode(at, &frame, ForceKey::No)
    }

    fn encode(&mut self, at: Micros, frame: &VideoFrame, force: ForceKey) -> Result<Option<H264Frame>, CodecError> {
        let encoder = match &mut self.encoder {
            Some(encoder) if encoder.fits(frame) => encoder,
            encoder => encoder.insert(Encoder::new(frame)?),
        };
        encoder.encode(at, frame, force)
    }
}

/// Black keyframes in the size of the `header`, one at `from` and then one `every` so often, before `until`. They come from an
/// encoder of their own: other frames do not refer to them.
///
/// Errors: [`CodecError`].
pub fn black_frames(
    from: Micros,
    until: Micros,
    every: Micros,
    header: &VideoHeader,
) -> Result<Vec<(Micros, H264Frame)>, CodecError> {
    let mut frames = Vec::new();
    let (width, height) = (header.width & !1, header.height & !1);
    let black = VideoFrame::filled(width.into(), height.into(), Yuv::BLACK);
    let mut encoder = None;
    let mut at = from;
    while at < until {
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(&black)?),
        };
        frames.extend(encoder.encode(at, &black, ForceKey::Yes)?.map(|frame| (at, frame)));
        at += every;
    }
    Ok(frames)
}

impl Encoder {
    fn new(frame: &VideoFrame) -> Result<Self, CodecError> {
        let (width, height) = (frame.width() as u16, frame.height() as u16);
        let config = H264EncoderConfig {
            width,
            height,
            bitrate_kbps: bitrate_kbps(width, height),
            framerate: FRAMERATE,
            gop_frames: 10 * u32::from(FRAMERATE),
        };
        Ok(Self {
            encoder: H264Encoder::new(config)?,
            width,
            height,
            header: None,
            key_at: None,
        })
    }

    /// Whether the frame has this encoder's shape and is not larger; smaller layers of one source differ by rounding.
    fn fits(&self, frame: &VideoFrame) -> bool {
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let (a, b) = (frame.width() * height, width * frame.height());
        frame.width() <= width && a.abs_diff(b) * 50 <= a.max(b)
    }

    fn encode(&mut self, at: Micros, frame: &VideoFrame, force: ForceKey) -> Result<Option<H264Frame>, CodecError> {
        let is_due = self.key_at.is_none_or(|key_at| at - key_at >= GOP);
        let force = if is_due { ForceKey::Yes } else { force };
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let coded = if (frame.width(), frame.height()) == (width, height) {
            self.encoder.encode(frame, force)?
        } else {
            let mut scaled = VideoFrame::filled(width, height, Yuv::BLACK);
            let whole = scaled.rect();
            scale_into(&mut scaled, whole, frame, frame.rect());
            self.encoder.encode(&scaled, force)?
        };
        if coded.data.is_empty() {
            return Ok(None);
        }
        if coded.is_key {
            self.key_at = Some(at);
        }
        if let Some((sps, pps)) = h264::parameter_sets(&coded.data) {
            self.header = Some(VideoHeader {
                width: self.width,
                height: self.height,
                framerate: FRAMERATE,
                bitrate_kbps: bitrate_kbps(self.width, self.height),
                sps,
                pps,
            });
        }
        let header = self.header.clone();
        Ok(header.map(|header| H264Frame {
            data: h264::to_length_prefixed_with_sets(&coded.data),
            is_key: coded.is_key,
            header,
        }))
    }
}

/// About 0.07 bits per pixel at the nominal frame rate: 490 kbit/s for 640x360, 1.9 Mbit/s for 1280x720.
fn bitrate_kbps(width: u16, height: u16) -> u32 {
    (u32::from(width) * u32::from(height) / 470).clamp(150, 6000)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rotunda_media::codec::{VpxCodec, VpxEncoder};

    use super::*;

    const CONFIG: H264EncoderConfig = H264EncoderConfig {
        width: 320,
        height: 180,
        bitrate_kbps: 300,
        framerate: 15,
        gop_frames: 300,
    };

    fn grey(width: usize, height: usize) -> VideoFrame {
        VideoFrame::filled(width, height, Yuv::from_rgb(0x80_80_80))
    }

    fn coded(codec: VideoCodec, data: &[u8], is_key: bool) -> CodedVideo {
        CodedVideo {
            codec,
            data: Arc::from(data),
            is_key,
            contiguous: true,
            rotation: None,
        }
    }

    fn h264_frames(count: usize) -> Vec<CodedVideo> {
        let mut encoder = H264Encoder::new(CONFIG).unwrap();
        (0..count)
            .map(|_| encoder.encode(&grey(320, 180), ForceKey::No).unwrap())
            .map(|frame| coded(VideoCodec::H264, &frame.data, frame.is_key))
            .collect()
    }

    #[test]
    fn h264_is_passed_through_byte_for_byte() {
        let mut line = VideoLine::default();
        for (number, frame) in h264_frames(5).iter().enumerate() {
            let out = line.handle_frame(number as Micros, frame).unwrap().unwrap();
            assert_eq!(out.data, h264::to_length_prefixed_with_sets(&frame.data));
            assert_eq!(
                (out.header.width, out.header.height, out.is_key),
                (320, 180, number == 0)
            );
        }
    }

    #[test]
    fn after_a_lost_frame_the_video_waits_for_a_keyframe_and_asks_for_it_once_a_second() {
        let mut line = VideoLine::default();
        let mut frames = h264_frames(3);
        assert!(line.handle_frame(0, &frames[0]).unwrap().is_some());
        assert!(!line.take_key_request(1));
        frames[1].contiguous = false;
        assert!(line.handle_frame(1, &frames[1]).unwrap().is_none());
        assert!(line.handle_frame(2, &frames[2]).unwrap().is_none());
        assert!(line.take_key_request(3));
        assert!(!line.take_key_request(3 + ASK_AGAIN - 1));
        assert!(line.take_key_request(3 + ASK_AGAIN));
        assert!(line.handle_frame(4, &frames[0]).unwrap().is_some());
        assert!(!line.take_key_request(4 + 2 * ASK_AGAIN));
        assert!(line.take_key_request(4 + GOP), "a segment needs a keyframe");
    }

    #[test]
    fn vp8_becomes_h264_of_one_size_whatever_layer_comes() {
        let mut line = VideoLine::default();
        for (width, height) in [(320, 180), (160, 90), (320, 180)] {
            let config = H264EncoderConfig {
                width,
                height,
                ..CONFIG
            };
            let mut encoder = VpxEncoder::new(VpxCodec::Vp8, config).unwrap();
            let frame = encoder
                .encode(&grey(width.into(), height.into()), ForceKey::Yes)
                .unwrap();
            let out = line
                .handle_frame(0, &coded(VideoCodec::Vp8, &frame.data, true))
                .unwrap()
                .unwrap();
            assert_eq!((out.header.width, out.header.height), (320, 180));
        }
    }

    #[test]
    fn a_frame_that_lies_on_its_side_is_turned_upright() {
        let mut line = VideoLine::default();
        let mut frame = h264_frames(1).remove(0);
        frame.rotation = Some(Rotation::Clockwise90);
        let out = line.handle_frame(0, &frame).unwrap().unwrap();
        assert_eq!((out.header.width, out.header.height), (180, 320));
    }

    #[test]
    fn a_camera_that_is_off_is_a_black_keyframe_of_its_size() {
        let mut line = VideoLine::default();
        let frames = h264_frames(2);
        line.handle_frame(0, &frames[0]).unwrap();
        let black = line.placeholder(1).unwrap().unwrap();
        assert_eq!(
            (black.header.width, black.header.height, black.is_key),
            (320, 180, true)
        );
        assert!(
            line.handle_frame(2, &frames[1]).unwrap().is_none(),
            "it does not follow the placeholder"
        );
        assert!(line.handle_frame(3, &frames[0]).unwrap().is_some());
    }
}
