//! One member's audio on the mix clock. It decodes packets, conceals gaps, follows clock drift, and fades where audio begins and ends.

use rotunda_media::codec::{CodecError, OpusDecoder};

use crate::timeline::Micros;

/// Samples a second and channels inside the mixer.
pub const RATE: i64 = 48_000;
pub const CHANNELS: usize = 2;

/// 5 ms.
const FADE: usize = 240;
/// Samples that a packet may be beside its place before it is stretched or shortened by [`STRETCH`].
const TOLERANCE: i64 = 96;
/// Beyond this (20 ms) the audio moves to its new place at once.
const STEP: i64 = 960;
/// 1/200 of the length at most.
const STRETCH: i64 = 200;
/// Lost packets of 20 ms that the decoder conceals. A longer gap is silent.
const CONCEAL: i64 = 3;
/// Audio waiting to be mixed, at most: 5 s.
const MOST: i64 = 5 * RATE;

/// When all packets have been too late for so long, samples, the input is played out later: 500 ms.
const PATIENCE: i64 = RATE / 2;
/// So much later than needed, samples: 40 ms.
const MARGIN: i64 = RATE / 25;

/// A packet this short says that nobody speaks, and that the next one comes later (DTX). Source: RFC 6716 §3.1, RFC 7587 §3.1.3.
const DTX_BYTES: usize = 2;
/// The decoder makes comfort noise for so long after it, samples: 1 s. Encoders repeat it every 400 ms.
const DTX_MOST: i64 = RATE;

/// Whether a packet could be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    InTime,
    /// Its time is over.
    TooLate,
    /// Its time is farther away than audio is kept.
    TooEarly,
}

/// See the [module](self).
pub struct AudioInput {
    decoder: OpusDecoder,
    /// Interleaved, from `start` on the mix clock.
    buffer: Vec<f32>,
    start: i64,
    /// Whether the buffer's end is at full loudness, so that a gap after it needs a fade.
    loud: bool,
    packet: Vec<f32>,
    /// How much later than asked for the input is heard, samples.
    lag: i64,
    /// Since when every packet has been too late.
    late_since: Option<i64>,
    /// Comfort noise that may still be made, samples.
    noise_left: i64,
}

/// Microseconds on the mix clock as samples.
pub fn samples(time: Micros) -> i64 {
    time * RATE / 1_000_000
}

impl AudioInput {
    /// Errors: [`CodecError::SetUp`].
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: OpusDecoder::new()?,
            buffer: Vec::new(),
            start: 0,
            loud: false,
            packet: Vec::new(),
            lag: 0,
            late_since: None,
            noise_left: 0,
        })
    }

    /// Takes a packet whose first sample is to be heard at `at`. Audio before `heard`, where the mixer is, is too late.
    ///
    /// Errors: [`CodecError::Decode`]; the packet is as good as lost.
    pub fn handle_packet(&mut self, packet: &[u8], at: i64, heard: i64) -> Result<Timing, CodecError> {
        let at = at + self.lag;
        if at > heard + MOST {
            return Ok(Timing::TooEarly);
        }
        if at < heard - RATE {
            self.handle_late(at, heard);
            return Ok(Timing::TooLate);
        }
        self.make_room(heard);
        let gap = at - self.end();
        if self.loud && gap > STEP - TOLERANCE {
            self.conceal(gap, packet)?;
        }
        self.packet.clear();
        let mut decoded = std::mem::take(&mut self.packet);
        let result = self.decoder.decode(Some(packet), &mut decoded);
        let timing = match result {
            Ok(_) if at + (decoded.len() / CHANNELS) as i64 <= heard => {
                self.handle_late(at, heard);
                Timing::TooLate
            }
            Ok(_) => {
                self.noise_left = if packet.len() <= DTX_BYTES { DTX_MOST } else { 0 };
                self.late_since = None;
                self.place(&decoded, at);
                Timing::InTime
            }
            Err(_) => Timing::InTime,
        };
        self.packet = decoded;
        result.map(|_| timing)
    }

    /// An input whose packets are always too late would be silent for ever: it is heard later instead.
    fn handle_late(&mut self, at: i64, heard: i64) {
        if heard - *self.late_since.get_or_insert(heard) >= PATIENCE {
            self.lag += heard - at + MARGIN;
            self.late_since = None;
            tracing::warn!(
                milliseconds = self.lag * 1000 / RATE,
                "audio comes too late all the time and is played out later"
            );
        }
    }

    /// Adds the audio from `at` on to `out` (interleaved). A packet that has not come by now is not played. Answers the mean square
    /// of what was added.
    pub fn mix_into(&mut self, at: i64, out: &mut [f32]) -> f32 {
        let length = (out.len() / CHANNELS) as i64;
        while self.loud && self.noise_left > 0 && self.end() < at + length {
            if self.make_noise().is_err() {
                break;
            }
        }
        if self.loud && self.end() < at + length {
            self.fade_out();
        }
        let from = at.max(self.start);
        let to = (at + length).min(self.end());
        let mut energy = 0.0;
        if from < to {
            let source = &self.buffer[index(from - self.start)..index(to - self.start)];
            for (mixed, sample) in out[index(from - at)..index(to - at)].iter_mut().zip(source) {
                *mixed += sample;
                energy += sample * sample;
            }
        }
        self.drop_before(at + length);
        energy / out.len().max(1) as f32
    }

    /// Ends the audio with one fade; the rest of the buffer is thrown away.
    pub fn handle_mute(&mut self) {
        self.buffer.truncate(FADE * CHANNELS);
        if self.loud {
            self.fade_out();
        }
    }

    fn end(&self) -> i64 {
        self.start + (self.buffer.len() / CHANNELS) as i64
    }

    fn make_room(&mut self, heard: i64) {
        if self.buffer.is_empty() && self.start < heard {
            self.start = heard;
        }
    }

    fn drop_before(&mut self, at: i64) {
        let gone = index((at - self.start).max(0)).min(self.buffer.len());
        self.buffer.drain(..gone);
        self.start = self.start.max(at);
    }

    /// Fills a gap before `next`. Its last 20 ms may be inside `next`.
    fn conceal(&mut self, gap: i64, next: &[u8]) -> Result<(), CodecError> {
        let is_noise = self.noise_left > 0;
        let most = if is_noise { DTX_MOST / STEP } else { CONCEAL };
        let lost = gap / STEP;
        for number in 1..=lost.min(most) {
            if number == lost && !is_noise && next.len() > DTX_BYTES {
                self.decoder.recover(next, &mut self.buffer)?;
            } else {
                self.decoder.decode(None, &mut self.buffer)?;
            }
        }
        Ok(())
    }

    /// Appends 20 ms of comfort noise.
    fn make_noise(&mut self) -> Result<(), CodecError> {
        self.noise_left -= STEP;
        self.decoder.decode(None, &mut self.buffer).map(|_| ())
    }

    fn place(&mut self, packet: &[f32], at: i64) {
        let beside = at - self.end();
        if self.loud && beside.abs() <= STEP {
            let length = (packet.len() / CHANNELS) as i64;
            let most = length / STRETCH;
            let change = if beside.abs() > TOLERANCE {
                beside.clamp(-most, most)
            } else {
                0
            };
            stretch(packet, (length + change) as usize, &mut self.buffer);
            return;
        }
        // A new place: softly out, silence up to it (or the too early part cut off), softly in.
        if self.loud {
            self.fade_out();
        }
        let beside = at - self.end();
        if beside > 0 {
            self.buffer.resize(self.buffer.len() + index(beside), 0.0);
        }
        let cut = index((-beside).max(0));
        if let Some(rest) = packet.get(cut..).filter(|rest| !rest.is_empty()) {
            let begin = self.buffer.len();
            self.buffer.extend_from_slice(rest);
            fade(&mut self.buffer[begin..], Fade::In);
            self.loud = true;
        }
    }

    fn fade_out(&mut self) {
        let begin = self.buffer.len().saturating_sub(FADE * CHANNELS);
        fade(&mut self.buffer[begin..], Fade::Out);
        self.loud = false;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Fade {
    In,
    Out,
}

/// Fades the first [`FADE`] samples in, or all of `audio` out.
fn fade(audio: &mut [f32], which: Fade) {
    let length = (audio.len() / CHANNELS).min(FADE);
    for (n, frame) in audio.chunks_exact_mut(CHANNELS).take(length).enumerate() {
        let step = (n as f32 + 0.5) / length as f32;
        let gain = if which == Fade::In { step } else { 1.0 - step };
        frame.iter_mut().for_each(|sample| *sample *= gain);
    }
}

/// Appends `packet` as `length` samples, by cubic interpolation over four samples: a bend of half a percent leaves a tone of 6 kHz with
/// less than 1 % of other tones.
fn stretch(packet: &[f32], length: usize, out: &mut Vec<f32>) {
    let have = packet.len() / CHANNELS;
    if have == length || have < 2 {
        out.extend_from_slice(packet);
        return;
    }
    let step = have as f32 / length as f32;
    for n in 0..length {
        let place = n as f32 * step;
        let (left, part) = (place as usize, place.fract());
        let at = |index: usize, channel: usize| packet[index.min(have - 1) * CHANNELS + channel];
        for channel in 0..CHANNELS {
            let before = at(left.saturating_sub(1), channel);
            let (from, to) = (at(left, channel), at(left + 1, channel));
            let after = at(left + 2, channel);
            // Catmull and Rom.
            let (first, second) = ((to - before) / 2.0, (after - from) / 2.0);
            let (square, cube) = (part * part, part * part * part);
            let value = (2.0 * cube - 3.0 * square + 1.0) * from
                + (cube - 2.0 * square + part) * first
                + (3.0 * square - 2.0 * cube) * to
                + (cube - square) * second;
            out.push(value);
        }
    }
}

fn index(samples: i64) -> usize {
    samples as usize * CHANNELS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_tone_has_less_than_a_hundredth_of_anything_else() {
        for length in [955, 965_usize] {
            let wave = |n: f32| (n * 6_000.0 * std::f32::consts::TAU / 48_000.0).sin();
            let packet: Vec<f32> = (0..960).flat_map(|n| [wave(n as f32); CHANNELS]).collect();
            let mut out = Vec::new();
            stretch(&packet, length, &mut out);
            assert_eq!(out.len(), length * CHANNELS);
            let step = 960.0 / length as f32;
            // The ends have no neighbours.
            let errors = (2..length - 4).map(|n| out[n * CHANNELS] - wave(n as f32 * step));
            let mean = errors.map(|error| error * error).sum::<f32>() / length as f32;
            // Of a sine of 1: a mean square of a half.
            assert!((mean / 0.5).sqrt() < 0.02, "{}", (mean / 0.5).sqrt());
        }
    }
}
