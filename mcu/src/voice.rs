//! One member's sound on the mix clock: decoded, gaps concealed, drift taken up, and faded where it begins and ends.

use rotunda_media::codec::{CodecError, OpusDecoder};

use crate::timeline::Micros;

/// Samples a second and channels inside the mixer.
pub const RATE: i64 = 48_000;
pub const CHANNELS: usize = 2;

/// 5 ms.
const FADE: usize = 240;
/// Samples that a packet may be beside its place before it is stretched or shortened by [`STRETCH`].
const TOLERANCE: i64 = 96;
/// Beyond this (20 ms) the sound takes its new place at once.
const STEP: i64 = 960;
/// 1/200 of the length at most.
const STRETCH: i64 = 200;
/// Lost packets of 20 ms that the decoder makes up; what is longer is silence.
const CONCEAL: i64 = 3;
/// Sound waiting to be mixed, at most: 5 s.
const MOST: i64 = 5 * RATE;

/// See the [module](self).
pub struct Voice {
    decoder: OpusDecoder,
    /// Interleaved, from `start` on the mix clock.
    buffer: Vec<f32>,
    start: i64,
    /// Whether the buffer's end is at full loudness, so that a gap after it needs a fade.
    loud: bool,
    packet: Vec<f32>,
}

/// Microseconds on the mix clock as samples.
pub fn samples(time: Micros) -> i64 {
    time * RATE / 1_000_000
}

impl Voice {
    /// Errors: [`CodecError::SetUp`].
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: OpusDecoder::new()?,
            buffer: Vec::new(),
            start: 0,
            loud: false,
            packet: Vec::new(),
        })
    }

    /// Takes a packet whose first sample is to be heard at `at`. Sound before `heard`, where the mixer is, is too late.
    ///
    /// Errors: [`CodecError::Decode`]; the packet is as good as lost.
    pub fn handle_packet(&mut self, packet: &[u8], at: i64, heard: i64) -> Result<(), CodecError> {
        if at < heard - RATE || at > heard + MOST {
            return Ok(());
        }
        self.make_room(heard);
        let gap = at - self.end();
        if self.loud && gap > STEP - TOLERANCE {
            self.conceal(gap)?;
        }
        self.packet.clear();
        let mut packet_samples = std::mem::take(&mut self.packet);
        let decoded = self.decoder.decode(Some(packet), &mut packet_samples);
        if decoded.is_ok() {
            self.place(&packet_samples, at);
        }
        self.packet = packet_samples;
        decoded.map(|_| ())
    }

    /// Adds what is to be heard from `at` on to `out` (interleaved). What was not there in time stays away.
    pub fn mix_into(&mut self, at: i64, out: &mut [f32]) {
        let length = (out.len() / CHANNELS) as i64;
        if self.loud && self.end() < at + length {
            self.fade_out();
        }
        let from = at.max(self.start);
        let to = (at + length).min(self.end());
        if from < to {
            let source = &self.buffer[index(from - self.start)..index(to - self.start)];
            for (mixed, sample) in out[index(from - at)..index(to - at)].iter_mut().zip(source) {
                *mixed += sample;
            }
        }
        self.drop_before(at + length);
    }

    /// Ends the sound softly: what waits is cut to one fade.
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

    fn conceal(&mut self, gap: i64) -> Result<(), CodecError> {
        for _ in 0..(gap / STEP).min(CONCEAL) {
            self.decoder.decode(None, &mut self.buffer)?;
        }
        Ok(())
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

/// Fades the first [`FADE`] samples in, or all of `sound` out.
fn fade(sound: &mut [f32], which: Fade) {
    let length = (sound.len() / CHANNELS).min(FADE);
    for (n, frame) in sound.chunks_exact_mut(CHANNELS).take(length).enumerate() {
        let step = (n as f32 + 0.5) / length as f32;
        let gain = if which == Fade::In { step } else { 1.0 - step };
        frame.iter_mut().for_each(|sample| *sample *= gain);
    }
}

/// Appends `packet` as `length` samples: linear interpolation, inaudible at half a percent.
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
        let right = (left + 1).min(have - 1);
        for channel in 0..CHANNELS {
            let (a, b) = (packet[left * CHANNELS + channel], packet[right * CHANNELS + channel]);
            out.push(a + (b - a) * part);
        }
    }
}

fn index(samples: i64) -> usize {
    samples as usize * CHANNELS
}
