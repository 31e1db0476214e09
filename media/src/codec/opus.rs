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

/// Whether a packet is coded in stereo. Source: RFC 6716 §3.1.
pub fn is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 0x04 != 0)
}

/// Decodes to interleaved samples of one or two channels.
///
/// A stream is decoded as mono until its first packet in stereo: a decoder for two channels takes nearly twice the time for the same audio.
pub struct OpusDecoder {
    decoder: Decoder,
    /// Channels that the decoder makes, 1 or 2.
    decoded: usize,
    /// Channels of the output, 1 or 2.
    channels: usize,
}

impl OpusDecoder {
    /// `channels`: of the output, 1 or 2.
    pub fn new(channels: u8) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: decoder(Channels::Mono)?,
            decoded: 1,
            channels: if channels == 1 { 1 } else { 2 },
        })
    }

    /// From now on the output has two channels.
    pub fn widen(&mut self) {
        self.channels = 2;
    }

    /// Appends a packet's audio to `out`, or 20 ms of concealment for None. Answers samples a channel.
    pub fn decode(&mut self, packet: Option<&[u8]>, out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let room = if packet.is_some() { LONGEST } else { FRAME };
        self.decode_into(packet.unwrap_or(&[]), room, false, out)
    }

    /// Appends the 20 ms before `next`, which were lost: by the forward error correction inside `next`, or by concealment if it has
    /// none. Source: RFC 6716 §2.1.7.
    pub fn recover(&mut self, next: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        self.decode_into(next, FRAME, true, out)
    }

    /// `room`: samples a channel, at most.
    fn decode_into(
        &mut self,
        packet: &[u8],
        room: usize,
        recovers: bool,
        out: &mut Vec<f32>,
    ) -> Result<usize, CodecError> {
        if self.decoded < self.channels && is_stereo(packet) {
            self.decoder = decoder(Channels::Stereo)?;
            self.decoded = 2;
        }
        let start = out.len();
        out.resize(start + self.channels * room, 0.0);
        // The decoder fills the whole room with concealment.
        let place = &mut out[start..start + self.decoded * room];
        let decoded = self.decoder.decode_float(packet, place, recovers);
        let samples = *decoded.as_ref().unwrap_or(&0);
        out.truncate(start + self.channels * samples);
        if self.decoded < self.channels {
            // From the last sample on: each is read before its place is written.
            for sample in (0..samples).rev() {
                let value = out[start + sample];
                out[start + 2 * sample..start + 2 * sample + 2].fill(value);
            }
        }
        decoded.map_err(|error| CodecError::Decode {
            codec: "Opus",
            reason: error.to_string(),
        })
    }
}

fn decoder(channels: Channels) -> Result<Decoder, CodecError> {
    Decoder::new(SAMPLE_RATE, channels).map_err(|error| CodecError::SetUp {
        codec: "Opus",
        reason: error.to_string(),
    })
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
