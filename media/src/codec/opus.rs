//! Opus at 48 kHz. Source: RFC 6716, RFC 7587.

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Decoder, Encoder};

use super::CodecError;

/// Samples a second and channel; always, whatever is inside (RFC 7587 §4.1).
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples a channel in 20 ms.
pub const FRAME: usize = 960;
/// Encoders look ahead by so many samples: the audio of a packet is that of so much earlier than its time says. Source: libopus,
/// `OPUS_GET_LOOKAHEAD` at 48 kHz; RFC 7845 §4.2.
pub const LOOK_AHEAD: usize = 312;
/// Longest packet: 120 ms.
const LONGEST: usize = 6 * FRAME;

/// Samples a channel of a packet; None: it is malformed. Source: RFC 6716 §3.1.
pub fn duration(packet: &[u8]) -> Option<usize> {
    opus::packet::get_nb_samples(packet, SAMPLE_RATE).ok()
}

/// Decodes to interleaved stereo.
pub struct OpusDecoder {
    decoder: Decoder,
}

impl OpusDecoder {
    pub fn new() -> Result<Self, CodecError> {
        let decoder = Decoder::new(SAMPLE_RATE, Channels::Stereo).map_err(|error| CodecError::SetUp {
            codec: "Opus",
            reason: error.to_string(),
        })?;
        Ok(Self { decoder })
    }

    /// Appends a packet's audio to `out`, or 20 ms of concealment for None. Answers samples a channel.
    pub fn decode(&mut self, packet: Option<&[u8]>, out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let start = out.len();
        let room = if packet.is_some() { LONGEST } else { FRAME };
        out.resize(start + 2 * room, 0.0);
        let decoded = self
            .decoder
            .decode_float(packet.unwrap_or(&[]), &mut out[start..], false);
        out.truncate(start + 2 * *decoded.as_ref().unwrap_or(&0));
        decoded.map_err(|error| CodecError::Decode {
            codec: "Opus",
            reason: error.to_string(),
        })
    }

    /// Appends the 20 ms before `next`, which were lost: by the forward error correction inside `next`, or by concealment if it has
    /// none. Source: RFC 6716 §2.1.7.
    pub fn recover(&mut self, next: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let start = out.len();
        out.resize(start + 2 * FRAME, 0.0);
        let decoded = self.decoder.decode_float(next, &mut out[start..], true);
        out.truncate(start + 2 * *decoded.as_ref().unwrap_or(&0));
        decoded.map_err(|error| CodecError::Decode {
            codec: "Opus",
            reason: error.to_string(),
        })
    }
}

pub struct OpusEncoder {
    encoder: Encoder,
}

impl OpusEncoder {
    /// For voice. `channels`: 1 or 2.
    pub fn new(channels: u8, bitrate_kbps: u32) -> Result<Self, CodecError> {
        Self::with(Application::Voip, channels, bitrate_kbps)
    }

    /// For any audio. `channels`: 1 or 2.
    pub fn music(channels: u8, bitrate_kbps: u32) -> Result<Self, CodecError> {
        Self::with(Application::Audio, channels, bitrate_kbps)
    }

    fn with(application: Application, channels: u8, bitrate_kbps: u32) -> Result<Self, CodecError> {
        let set_up = |error: opus::Error| CodecError::SetUp {
            codec: "Opus",
            reason: error.to_string(),
        };
        let channels = if channels == 1 {
            Channels::Mono
        } else {
            Channels::Stereo
        };
        let mut encoder = Encoder::new(SAMPLE_RATE, channels, application).map_err(set_up)?;
        encoder
            .set_bitrate(Bitrate::Bits((bitrate_kbps * 1000) as i32))
            .map_err(set_up)?;
        encoder.set_inband_fec(true).map_err(set_up)?;
        Ok(Self { encoder })
    }

    /// Expected loss, percent: from 1 on packets carry forward error correction for the one before.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        self.encoder
            .set_packet_loss_perc(percent.into())
            .map_err(|error| CodecError::SetUp {
                codec: "Opus",
                reason: error.to_string(),
            })
    }

    /// Discontinuous transmission: background noise alone becomes packets of at most 2 bytes, of which senders send one in 400 ms.
    pub fn set_dtx(&mut self, on: bool) -> Result<(), CodecError> {
        self.encoder.set_dtx(on).map_err(|error| CodecError::SetUp {
            codec: "Opus",
            reason: error.to_string(),
        })
    }

    /// `pcm`: 20 ms, interleaved.
    pub fn encode(&mut self, pcm: &[f32]) -> Result<Bytes, CodecError> {
        self.encoder
            .encode_vec_float(pcm, 1275)
            .map(Bytes::from)
            .map_err(|error| CodecError::Encode {
                codec: "Opus",
                reason: error.to_string(),
            })
    }
}
