//! AAC-LC by the Fraunhofer FDK. Source: ISO/IEC 14496-3.

use bytes::Bytes;
use fdk_aac::dec;
use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};

use super::CodecError;

/// Samples a channel in every frame.
pub const FRAME: usize = 1024;

pub struct AacEncoder {
    encoder: Encoder,
    config: Bytes,
    pcm: Vec<i16>,
}

impl AacEncoder {
    /// How many samples a channel the audio comes out later than it went in: subtract it from the frames' times.
    pub const DELAY_SAMPLES: u32 = 2048;

    /// `sample_rate`: Hz; `channels`: 1 or 2.
    pub fn new(sample_rate: u32, channels: u8, bitrate_kbps: u32) -> Result<Self, CodecError> {
        let set_up = |error: fdk_aac::enc::EncoderError| CodecError::SetUp {
            codec: "AAC",
            reason: error.to_string(),
        };
        let encoder = Encoder::new(EncoderParams {
            bit_rate: BitRate::Cbr(bitrate_kbps.saturating_mul(1000)),
            sample_rate,
            transport: Transport::Raw,
            channels: if channels == 1 {
                ChannelMode::Mono
            } else {
                ChannelMode::Stereo
            },
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        })
        .map_err(set_up)?;
        let info = encoder.info().map_err(set_up)?;
        let length = (info.confSize as usize).min(info.confBuf.len());
        let config = Bytes::copy_from_slice(&info.confBuf[..length]);
        Ok(Self {
            encoder,
            config,
            pcm: Vec::new(),
        })
    }

    /// AudioSpecificConfig.
    pub fn config(&self) -> Bytes {
        self.config.clone()
    }

    /// Encodes [`FRAME`] samples a channel, interleaved, -1.0 to 1.0; None while the encoder fills up.
    pub fn encode(&mut self, pcm: &[f32]) -> Result<Option<Bytes>, CodecError> {
        self.pcm.clear();
        self.pcm
            .extend(pcm.iter().map(|sample| (sample.clamp(-1.0, 1.0) * 32_767.0) as i16));
        let mut out = [0; 2048];
        let made = self
            .encoder
            .encode(&self.pcm, &mut out)
            .map_err(|error| CodecError::Encode {
                codec: "AAC",
                reason: error.to_string(),
            })?;
        Ok((made.output_size > 0).then(|| Bytes::copy_from_slice(&out[..made.output_size])))
    }
}

pub struct AacDecoder {
    decoder: dec::Decoder,
}

impl AacDecoder {
    /// `config`: AudioSpecificConfig.
    pub fn new(config: &[u8]) -> Result<Self, CodecError> {
        let mut decoder = dec::Decoder::new(dec::Transport::Raw);
        decoder.config_raw(config).map_err(|error| CodecError::SetUp {
            codec: "AAC",
            reason: error.to_string(),
        })?;
        Ok(Self { decoder })
    }

    /// Appends a raw frame's samples to `out`, interleaved; answers samples a channel.
    pub fn decode(&mut self, frame: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let failed = |error: dec::DecoderError| CodecError::Decode {
            codec: "AAC",
            reason: error.to_string(),
        };
        self.decoder.fill(frame).map_err(failed)?;
        let mut pcm = [0_i16; 2 * 2 * FRAME];
        self.decoder.decode_frame(&mut pcm).map_err(failed)?;
        let length = self.decoder.decoded_frame_size().min(pcm.len());
        out.extend(pcm[..length].iter().map(|sample| f32::from(*sample) / 32_768.0));
        let channels = self.decoder.stream_info().numChannels.max(1) as usize;
        Ok(length / channels)
    }

    /// How many samples a channel the audio comes out later than its frames say: the decoder's limiter looks ahead. It is known after the
    /// first frame.
    pub fn delay(&self) -> usize {
        self.decoder.stream_info().outputDelay as usize
    }

    pub fn channels(&self) -> usize {
        self.decoder.stream_info().numChannels.max(1) as usize
    }
}
