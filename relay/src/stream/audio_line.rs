//! A publisher's audio on the relay's clock: Opus packets in, AAC frames without gaps out. Silence fills what is missing.

use bytes::Bytes;
use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, CodecError, OpusDecoder};
use rotunda_media::program::AudioHeader;
use rotunda_receiver::timeline::Micros;

/// Samples per second and channel.
pub const RATE: u32 = 48_000;
const CHANNELS: usize = 2;
const BITRATE_KBPS: u32 = 96;
/// A packet at most this far from the end of the audio follows it (40 ms); beyond it the gap is real.
const STEP: i64 = 1920;
/// Below this (2 ms) the difference is measuring noise; above it one sample per packet is repeated or left out, against clock drift.
const TOLERANCE: i64 = 96;
/// Audio ahead of the encoder, at most: 10 s.
const MOST: i64 = 10 * RATE as i64;

/// A coded frame; `at` is its first sample on the relay's clock.
#[derive(Debug, Clone)]
pub struct AacFrame {
    pub at: i64,
    pub data: Bytes,
}

/// See the [module](self).
pub struct AudioLine {
    decoder: OpusDecoder,
    encoder: AacEncoder,
    /// Interleaved samples from `cursor` on.
    buffer: Vec<f32>,
    /// The next sample for the encoder.
    cursor: i64,
    /// The first sample of the program, or of it since an interruption.
    first: i64,
    packet: Vec<f32>,
}

/// Microseconds of the relay's clock as samples.
pub fn samples(time: Micros) -> i64 {
    time * i64::from(RATE) / 1_000_000
}

impl AudioLine {
    /// `start`: the first sample of the program.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn new(start: i64) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: OpusDecoder::new()?,
            encoder: encoder()?,
            buffer: Vec::new(),
            cursor: start,
            first: start,
            packet: Vec::new(),
        })
    }

    pub fn header(&self) -> AudioHeader {
        AudioHeader {
            sample_rate: RATE,
            channels: CHANNELS as u8,
            bitrate_kbps: BITRATE_KBPS,
            config: self.encoder.config(),
        }
    }

    /// Continues at a later sample: what lies between was not received.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn skip_to(&mut self, start: i64) -> Result<(), CodecError> {
        self.encoder = encoder()?;
        self.decoder = OpusDecoder::new()?;
        self.buffer.clear();
        self.cursor = start;
        self.first = start;
        Ok(())
    }

    /// Takes a packet whose first sample belongs at `at`.
    ///
    /// Errors: [`CodecError::Decode`]; the packet counts as lost.
    pub fn handle_packet(&mut self, packet: &[u8], at: i64) -> Result<(), CodecError> {
        self.packet.clear();
        self.decoder.decode(Some(packet), &mut self.packet)?;
        let end = self.cursor + (self.buffer.len() / CHANNELS) as i64;
        let off = at - end;
        if off > MOST {
            return Ok(());
        }
        let mut skipped = 0;
        if off.abs() > STEP {
            if off > 0 {
                self.buffer.resize(self.buffer.len() + off as usize * CHANNELS, 0.0);
            } else {
                skipped = (off.unsigned_abs() as usize * CHANNELS).min(self.packet.len());
            }
        } else if off > TOLERANCE && self.packet.len() >= CHANNELS {
            let last = self.packet.len() - CHANNELS;
            self.packet.extend_from_within(last..);
        } else if off < -TOLERANCE && self.packet.len() > CHANNELS {
            self.packet.truncate(self.packet.len() - CHANNELS);
        }
        self.buffer.extend_from_slice(&self.packet[skipped..]);
        Ok(())
    }

    /// Encodes everything up to `until`, where missing samples are silence from now on.
    ///
    /// Errors: [`CodecError::Encode`].
    pub fn encode_until(&mut self, until: i64, mut out: impl FnMut(AacFrame)) -> Result<(), CodecError> {
        let mut used = 0;
        let mut frame = [0.0; FRAME * CHANNELS];
        while self.cursor + FRAME as i64 <= until {
            let there = (self.buffer.len() - used).min(frame.len());
            frame[..there].copy_from_slice(&self.buffer[used..used + there]);
            frame[there..].fill(0.0);
            used += there;
            // The output was put in earlier; before `first` it is the encoder's priming.
            let at = self.cursor - i64::from(AacEncoder::DELAY_SAMPLES);
            self.cursor += FRAME as i64;
            if let Some(data) = self.encoder.encode(&frame)?
                && at >= self.first
            {
                out(AacFrame { at, data });
            }
        }
        self.buffer.drain(..used);
        Ok(())
    }

    /// Up to here frames have come out.
    pub fn encoded(&self) -> i64 {
        (self.cursor - i64::from(AacEncoder::DELAY_SAMPLES)).max(self.first)
    }
}

fn encoder() -> Result<AacEncoder, CodecError> {
    AacEncoder::new(RATE, CHANNELS as u8, BITRATE_KBPS)
}

#[cfg(test)]
mod tests {
    use rotunda_media::codec::{AacDecoder, OpusEncoder};

    use super::*;

    const PACKET: usize = 960;

    /// 20 ms of a tone of 440 Hz, from that sample on.
    fn tone(from: i64) -> Vec<f32> {
        (0..PACKET as i64)
            .flat_map(|n| {
                let value = (((from + n) as f32) * 440.0 * std::f32::consts::TAU / RATE as f32).sin() * 0.5;
                [value, value]
            })
            .collect()
    }

    /// Sends the packets of these numbers and decodes what comes out up to 2 s: the samples of the left channel from the start on.
    fn heard(numbers: impl Iterator<Item = i64>, drift: impl Fn(i64) -> i64) -> Vec<f32> {
        let mut line = AudioLine::new(0).unwrap();
        let mut opus = OpusEncoder::new(2, 96).unwrap();
        let mut aac = AacDecoder::new(&line.header().config).unwrap();
        let mut out = Vec::new();
        let mut expected = 0;
        for number in numbers {
            let at = number * PACKET as i64;
            line.handle_packet(&opus.encode(&tone(at)).unwrap(), at + drift(number))
                .unwrap();
            line.encode_until(at - 9600, |frame| {
                assert_eq!(frame.at, expected);
                expected += FRAME as i64;
                aac.decode(&frame.data, &mut out).unwrap();
            })
            .unwrap();
        }
        out.chunks(2).map(|pair| pair[0]).collect()
    }

    fn loudness(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn frames_follow_one_another_and_carry_the_audio() {
        let samples = heard(0..100, |_| 0);
        assert!(samples.len() > 80 * PACKET);
        assert!((loudness(&samples[10_000..80_000]) - 0.35).abs() < 0.03);
    }

    #[test]
    fn a_gap_is_silent_and_keeps_its_length() {
        let samples = heard((0..30).chain(60..120), |_| 0);
        // The decoder's own delay moves the edges by a few milliseconds.
        assert!(loudness(&samples[34 * PACKET..58 * PACKET]) < 0.01);
        assert!(loudness(&samples[64 * PACKET..90 * PACKET]) > 0.3);
    }

    #[test]
    fn a_clock_that_drifts_is_followed_without_a_gap() {
        // 500 ppm: the sender's packets come 480 samples early after 1000 of them.
        let samples = heard(0..1000, |number| -(number * PACKET as i64 / 2000));
        for second in samples[RATE as usize..].chunks(RATE as usize) {
            assert!(loudness(second) > 0.3);
        }
    }
}
