//! A publisher's audio on the relay's clock: Opus packets in, AAC frames without gaps out. A few lost packets are concealed, and silence
//! fills what else is missing.

use bytes::Bytes;
use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, CodecError};
use rotunda_media::program::AudioHeader;
use rotunda_receiver::audio_decoder::{AudioDecoder, Piece, SoFar};
use rotunda_receiver::timeline::Micros;

/// Samples per second and channel.
pub const RATE: u32 = 48_000;
const CHANNELS: usize = 2;
const BITRATE_KBPS: u32 = 96;
/// A packet at most this far from the end of the audio follows it (20 ms); beyond it the gap is real.
const STEP: i64 = 960;
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
    decoder: AudioDecoder,
    encoder: AacEncoder,
    /// Interleaved samples from `cursor` on.
    buffer: Vec<f32>,
    /// The next sample for the encoder.
    cursor: i64,
    /// The first sample of the program, or of it since an interruption.
    first: i64,
    /// Whether the buffer's end is audio, and not silence.
    is_audible: bool,
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
            decoder: AudioDecoder::new()?,
            encoder: encoder()?,
            buffer: Vec::new(),
            cursor: start,
            first: start,
            is_audible: false,
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
        self.decoder = AudioDecoder::new()?;
        self.buffer.clear();
        self.is_audible = false;
        self.cursor = start;
        self.first = start;
        Ok(())
    }

    /// Takes a packet whose first sample belongs at `at`. Packets may come in any order, until their time is encoded.
    pub fn handle_packet(&mut self, packet: &[u8], at: i64) {
        if at - self.cursor <= MOST {
            // A packet that comes twice or too late is not needed.
            let _put = self.decoder.handle_packet(at, packet);
        }
    }

    /// Decodes everything up to `until`.
    fn decode_until(&mut self, until: i64) -> Result<(), CodecError> {
        let mut result = Ok(());
        let mut piece = std::mem::take(&mut self.packet);
        while self.end() < until {
            let so_far = SoFar {
                end: self.end(),
                is_audible: self.is_audible,
            };
            match self.decoder.poll(so_far, until, &mut piece) {
                Ok(Piece::Packet(at)) => self.place(&mut piece, at),
                Ok(Piece::Filled) => self.buffer.extend_from_slice(&piece),
                Ok(Piece::Nothing) => {
                    self.is_audible = false;
                    break;
                }
                // The packet is as good as lost: the next one fills its place.
                Err(error) => result = Err(error),
            }
        }
        self.packet = piece;
        result
    }

    fn place(&mut self, packet: &mut Vec<f32>, at: i64) {
        let off = at - self.end();
        let mut skipped = 0;
        if off.abs() > STEP || !self.is_audible {
            if off > 0 {
                self.buffer.resize(self.buffer.len() + off as usize * CHANNELS, 0.0);
            } else {
                skipped = (off.unsigned_abs() as usize * CHANNELS).min(packet.len());
            }
        } else if off > TOLERANCE && packet.len() >= CHANNELS {
            let last = packet.len() - CHANNELS;
            packet.extend_from_within(last..);
        } else if off < -TOLERANCE && packet.len() > CHANNELS {
            packet.truncate(packet.len() - CHANNELS);
        }
        self.is_audible |= skipped < packet.len();
        self.buffer.extend_from_slice(&packet[skipped..]);
    }

    /// Where the decoded audio ends.
    fn end(&self) -> i64 {
        self.cursor + (self.buffer.len() / CHANNELS) as i64
    }

    /// Encodes everything up to `until`, where missing samples are silence from now on.
    ///
    /// Errors: [`CodecError::Encode`], and [`CodecError::Decode`] of a packet that counts as lost.
    pub fn encode_until(&mut self, until: i64, mut out: impl FnMut(AacFrame)) -> Result<(), CodecError> {
        let decoded = self.decode_until(until);
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
        decoded
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
            line.handle_packet(&opus.encode(&tone(at)).unwrap(), at + drift(number));
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
        // Three packets are concealed, and the decoder's own delay moves the edges by some milliseconds.
        assert!(loudness(&samples[38 * PACKET..58 * PACKET]) < 0.01);
        assert!(loudness(&samples[64 * PACKET..90 * PACKET]) > 0.3);
    }

    #[test]
    fn a_packet_that_is_repaired_leaves_no_trace_and_a_lost_one_moves_nothing() {
        let repaired = heard((0..50).chain([51, 52, 50]).chain(53..100), |_| 0);
        let whole = heard(0..100, |_| 0);
        assert_eq!(repaired.len(), whole.len());
        let lost = heard((0..100).filter(|number| number % 10 != 5), |_| 0);
        let later = 80 * PACKET..81 * PACKET;
        for (name, samples) in [("repaired", &repaired), ("lost", &lost)] {
            let pairs = samples[later.clone()].iter().zip(&whole[later.clone()]);
            let away: f32 = pairs.map(|(one, other)| (one - other).abs()).sum::<f32>() / PACKET as f32;
            assert!(away < 0.05, "{name}: {away}");
        }
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
