//! A publisher's audio on the relay's clock: Opus packets in, AAC frames without gaps out. A few lost packets are concealed, and silence
//! fills what else is missing. Audio in mono, which most microphones send, becomes AAC in mono: half of the work.

use bytes::Bytes;
use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, CodecError, opus};
use rotunda_media::program::AudioHeader;
use rotunda_receiver::audio_decoder::{AudioDecoder, Piece, SoFar};
use rotunda_receiver::timeline::Micros;

/// Samples per second and channel.
pub const RATE: u32 = 48_000;
const MONO_KBPS: u32 = 64;
const STEREO_KBPS: u32 = 96;
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
    channels: Channels,
    /// A packet in stereo came to a line in mono.
    wants_stereo: bool,
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

/// The channels of the AAC frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channels {
    /// Until a packet in stereo comes.
    Mono,
    Stereo,
}

impl Channels {
    /// By an Opus packet.
    pub fn of(packet: &[u8]) -> Self {
        match opus::is_stereo(packet) {
            true => Self::Stereo,
            false => Self::Mono,
        }
    }

    fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }

    pub fn bitrate_kbps(self) -> u32 {
        match self {
            Self::Mono => MONO_KBPS,
            Self::Stereo => STEREO_KBPS,
        }
    }

    fn encoder(self) -> Result<AacEncoder, CodecError> {
        AacEncoder::new(RATE, self.count() as u8, self.bitrate_kbps())
    }

    fn decoder(self) -> Result<AudioDecoder, CodecError> {
        AudioDecoder::new(self.count() as u8)
    }
}

/// Microseconds of the relay's clock as samples.
pub fn samples(time: Micros) -> i64 {
    time * i64::from(RATE) / 1_000_000
}

impl AudioLine {
    /// `start`: the first sample of the program.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn new(start: i64, channels: Channels) -> Result<Self, CodecError> {
        Ok(Self {
            channels,
            wants_stereo: false,
            decoder: channels.decoder()?,
            encoder: channels.encoder()?,
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
            channels: self.channels.count() as u8,
            bitrate_kbps: self.channels.bitrate_kbps(),
            config: self.encoder.config(),
        }
    }

    /// Continues at a later sample: what lies between was not received.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn skip_to(&mut self, start: i64) -> Result<(), CodecError> {
        self.encoder = self.channels.encoder()?;
        self.decoder = self.channels.decoder()?;
        self.buffer.clear();
        self.is_audible = false;
        self.cursor = start;
        self.first = start;
        Ok(())
    }

    /// Takes a packet whose first sample belongs at `at`. Packets may come in any order, until their time is encoded.
    pub fn handle_packet(&mut self, packet: &[u8], at: i64) {
        self.wants_stereo |= self.channels == Channels::Mono && opus::is_stereo(packet);
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
        let channels = self.channels.count();
        let mut skipped = 0;
        if off.abs() > STEP || !self.is_audible {
            if off > 0 {
                self.buffer.resize(self.buffer.len() + off as usize * channels, 0.0);
            } else {
                skipped = (off.unsigned_abs() as usize * channels).min(packet.len());
            }
        } else if off > TOLERANCE && packet.len() >= channels {
            let last = packet.len() - channels;
            packet.extend_from_within(last..);
        } else if off < -TOLERANCE && packet.len() > channels {
            packet.truncate(packet.len() - channels);
        }
        self.is_audible |= skipped < packet.len();
        self.buffer.extend_from_slice(&packet[skipped..]);
    }

    /// Where the decoded audio ends.
    fn end(&self) -> i64 {
        self.cursor + (self.buffer.len() / self.channels.count()) as i64
    }

    /// Encodes everything up to `until`, where missing samples are silence from now on.
    ///
    /// Errors: [`CodecError::Encode`], and [`CodecError::Decode`] of a packet that counts as lost.
    pub fn encode_until(&mut self, until: i64, mut out: impl FnMut(AacFrame)) -> Result<(), CodecError> {
        let decoded = self.decode_until(until);
        let mut used = 0;
        let mut frame = [0.0; 2 * FRAME];
        let frame = &mut frame[..FRAME * self.channels.count()];
        while self.cursor + FRAME as i64 <= until {
            let there = (self.buffer.len() - used).min(frame.len());
            frame[..there].copy_from_slice(&self.buffer[used..used + there]);
            frame[there..].fill(0.0);
            used += there;
            // The output was put in earlier; before `first` it is the encoder's priming.
            let at = self.cursor - i64::from(AacEncoder::DELAY_SAMPLES);
            self.cursor += FRAME as i64;
            if let Some(data) = self.encoder.encode(frame)?
                && at >= self.first
            {
                out(AacFrame { at, data });
            }
        }
        self.buffer.drain(..used);
        decoded
    }

    /// Whether the audio is stereo by now, and the frames are not: call [`widen`](Self::widen) where the program can change its
    /// configuration.
    pub fn wants_stereo(&self) -> bool {
        self.wants_stereo
    }

    /// The frames are stereo from here on. What the encoder still holds comes out first.
    ///
    /// Errors: [`CodecError::SetUp`], [`CodecError::Encode`].
    pub fn widen(&mut self, mut out: impl FnMut(AacFrame)) -> Result<(), CodecError> {
        const HELD: usize = AacEncoder::DELAY_SAMPLES as usize;
        let mut rest = [0.0; HELD];
        let there = self.buffer.len().min(HELD);
        rest[..there].copy_from_slice(&self.buffer[..there]);
        let mut at = self.cursor - HELD as i64;
        for frame in rest.chunks(FRAME) {
            if let Some(data) = self.encoder.encode(frame)?
                && at >= self.first
            {
                out(AacFrame { at, data });
            }
            at += FRAME as i64;
        }
        self.buffer = self.buffer.iter().flat_map(|sample| [*sample; 2]).collect();
        self.channels = Channels::Stereo;
        self.wants_stereo = false;
        self.decoder.widen();
        self.encoder = self.channels.encoder()?;
        self.first = self.cursor;
        Ok(())
    }

    /// The next sample that the encoder gets.
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Up to here frames have come out.
    pub fn encoded(&self) -> i64 {
        (self.cursor - i64::from(AacEncoder::DELAY_SAMPLES)).max(self.first)
    }
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
        let mut line = AudioLine::new(0, Channels::Stereo).unwrap();
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
    fn a_line_in_mono_becomes_stereo_with_every_frame_in_its_place() {
        const WIDE_FROM: i64 = 50;
        let mut line = AudioLine::new(0, Channels::Mono).unwrap();
        let mono = line.header();
        let (mut one, mut two) = (OpusEncoder::new(1, 48).unwrap(), OpusEncoder::new(2, 96).unwrap());
        let (mut frames, mut decoders) = (Vec::new(), Vec::new());
        for number in 0..100 {
            let at = number * PACKET as i64;
            let stereo = tone(at);
            let packet = match number < WIDE_FROM {
                true => one
                    .encode(&stereo.iter().step_by(2).copied().collect::<Vec<_>>())
                    .unwrap(),
                false => two.encode(&stereo).unwrap(),
            };
            line.handle_packet(&packet, at);
            if line.wants_stereo() {
                assert_eq!(number, WIDE_FROM);
                line.widen(|frame| frames.push((frame, mono.clone()))).unwrap();
            }
            let header = line.header();
            line.encode_until(at - 9600, |frame| frames.push((frame, header.clone())))
                .unwrap();
        }
        let mut heard = Vec::new();
        for (number, (frame, header)) in frames.iter().enumerate() {
            assert_eq!(frame.at, (number * FRAME) as i64);
            if decoders.last().is_none_or(|(known, _)| known != header) {
                decoders.push((header.clone(), AacDecoder::new(&header.config).unwrap()));
            }
            let mut samples = Vec::new();
            decoders
                .last_mut()
                .unwrap()
                .1
                .decode(&frame.data, &mut samples)
                .unwrap();
            heard.push((header.channels, loudness(&samples)));
        }
        let channels: Vec<_> = decoders
            .iter()
            .map(|(header, _)| (header.channels, header.bitrate_kbps))
            .collect();
        assert_eq!(channels, [(1, MONO_KBPS), (2, STEREO_KBPS)]);
        // The packets before the change were decoded in mono, and are heard, too: only the first frame of each encoder is a fade.
        let quiet: Vec<_> = heard
            .iter()
            .enumerate()
            .filter(|(_, (_, loudness))| *loudness < 0.25)
            .collect();
        assert!(quiet.len() <= 4, "{quiet:?}");
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
