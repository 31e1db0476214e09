//! Encodes the canvas as H.264.

use bytes::Bytes;
use rotunda_media::codec::{CodecError, ForceKey, H264Encoder, H264EncoderConfig, h264};
use rotunda_media::program::VideoHeader;
use rotunda_media::video_frame::VideoFrame;
use rotunda_proto::mix::VideoEncode;

/// See the [module](self).
pub struct VideoOutput {
    asked: VideoEncode,
    /// None: it failed, and is made anew for the next frame.
    encoder: Option<H264Encoder>,
    force_key: ForceKey,
    sets: Option<ParameterSets>,
    /// Bitrate in the header. It changes only with the parameter sets: readers start over with a new header.
    bitrate_kbps: u32,
}

#[derive(Clone, PartialEq, Eq)]
struct ParameterSets {
    sps: Bytes,
    pps: Bytes,
}

/// One coded frame, ready for a program.
pub struct CodedFrame {
    /// NAL units with 4-byte lengths.
    pub data: Bytes,
    pub is_key: bool,
    /// From this frame on another header is true.
    pub header_changed: bool,
}

impl VideoOutput {
    /// Errors: [`CodecError::SetUp`].
    pub fn new(asked: VideoEncode) -> Result<Self, CodecError> {
        Ok(Self {
            asked,
            encoder: Some(H264Encoder::new(config(asked))?),
            force_key: ForceKey::No,
            sets: None,
            bitrate_kbps: asked.bitrate_kbps,
        })
    }

    /// Frames that were too much for the encoder and had to be encoded again, more coarsely, since it was made.
    pub fn failures(&self) -> u64 {
        self.encoder.as_ref().map_or(0, H264Encoder::failures)
    }

    pub fn asked(&self) -> VideoEncode {
        self.asked
    }

    /// Encodes otherwise from the next frame on. Another bitrate, frame rate or GOP goes on in the same stream; another size starts
    /// a new one with a keyframe.
    ///
    /// Errors: [`CodecError::SetUp`]; then it goes on as before.
    pub fn handle_asked(&mut self, asked: VideoEncode) -> Result<(), CodecError> {
        let (before, wanted) = (config(self.asked), config(asked));
        if before != wanted {
            let same_size = (before.width, before.height) == (wanted.width, wanted.height);
            let goes_on = match &mut self.encoder {
                Some(encoder) if same_size => encoder.reconfigure(wanted).is_ok(),
                _ => false,
            };
            if !goes_on {
                self.encoder = Some(H264Encoder::new(wanted)?);
            }
            if !same_size {
                self.sets = None;
            }
        }
        self.asked = asked;
        Ok(())
    }

    /// The next frame is a keyframe.
    pub fn force_key(&mut self) {
        self.force_key = ForceKey::Yes;
    }

    /// None before the first frame.
    pub fn header(&self) -> Option<VideoHeader> {
        let sets = self.sets.clone()?;
        let (width, height) = self.asked.size();
        Some(VideoHeader {
            width,
            height,
            framerate: self.asked.framerate,
            bitrate_kbps: self.bitrate_kbps,
            sps: sets.sps,
            pps: sets.pps,
        })
    }

    /// None when the encoder left the frame out.
    ///
    /// Errors: [`CodecError::Encode`], [`CodecError::Size`], [`CodecError::SetUp`]; the next frame is given to a new encoder, and is a
    /// keyframe then.
    pub fn encode(&mut self, frame: &VideoFrame) -> Result<Option<CodedFrame>, CodecError> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => H264Encoder::new(config(self.asked))?,
        };
        let coded = encoder.encode(frame, self.force_key)?;
        self.encoder = Some(encoder);
        if coded.data.is_empty() {
            return Ok(None);
        }
        self.force_key = ForceKey::No;
        let sets = h264::parameter_sets(&coded.data).map(|(sps, pps)| ParameterSets { sps, pps });
        let header_changed = sets.is_some() && sets != self.sets;
        if header_changed {
            self.bitrate_kbps = self.asked.bitrate_kbps;
        }
        self.sets = sets.or_else(|| self.sets.take());
        Ok(Some(CodedFrame {
            data: h264::to_length_prefixed(&coded.data),
            is_key: coded.is_key,
            header_changed,
        }))
    }
}

fn config(asked: VideoEncode) -> H264EncoderConfig {
    let (width, height) = asked.size();
    H264EncoderConfig {
        width,
        height,
        bitrate_kbps: asked.bitrate_kbps,
        framerate: asked.framerate,
        gop_frames: u32::from(asked.framerate) * u32::from(asked.gop_seconds),
    }
}

#[cfg(test)]
mod tests {
    use rotunda_media::video_frame::Yuv;

    use super::*;

    #[test]
    fn an_encoder_that_failed_is_made_anew_and_begins_with_a_keyframe() {
        let asked = VideoEncode {
            width: 320,
            height: 180,
            bitrate_kbps: 500,
            framerate: 15,
            gop_seconds: 2,
            background_rgb: 0,
        };
        let frame = VideoFrame::filled(320, 180, Yuv::BLACK);
        let mut output = VideoOutput::new(asked).unwrap();
        let keys = |output: &mut VideoOutput| -> Vec<bool> {
            let frames = (0..3).map(|_| output.encode(&frame).unwrap().unwrap());
            frames.map(|coded| coded.is_key).collect()
        };
        assert_eq!(keys(&mut output), [true, false, false]);
        assert!(output.encode(&VideoFrame::filled(64, 64, Yuv::BLACK)).is_err());
        assert_eq!(keys(&mut output), [true, false, false]);
    }
}
