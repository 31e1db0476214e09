//! One member's audio on the mix clock. It decodes packets just before they are heard, conceals gaps, follows clock drift, and fades
//! where audio begins and ends.

use rotunda_media::codec::{CodecError, opus};
use rotunda_receiver::audio_decoder::{AudioDecoder, PACKET, Piece, Put, SoFar};

use crate::drift::Drift;
use crate::timeline::Micros;

/// Samples a second and channels inside the mixer.
pub const RATE: i64 = 48_000;
pub const CHANNELS: usize = 2;

/// 5 ms.
const FADE: usize = 240;
/// Beyond this (20 ms) the audio moves to its new place at once.
const STEP: i64 = PACKET;
/// Audio waiting to be mixed, at most: 5 s.
const MOST: i64 = 5 * RATE;

/// Packets that are decoded at one time, at most: those of a block are four, and others are cut off as they are too early.
const MOST_PIECES: usize = 64;

/// When all packets have been too late for so long, samples, the input is played out later: 500 ms.
const PATIENCE: i64 = RATE / 2;
/// So much later than needed, samples: 40 ms.
const MARGIN: i64 = RATE / 25;

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
    decoder: AudioDecoder,
    drift: Drift,
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
}

/// Microseconds on the mix clock as samples.
pub fn samples(time: Micros) -> i64 {
    time * RATE / 1_000_000
}

impl AudioInput {
    /// Errors: [`CodecError::SetUp`].
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: AudioDecoder::new(2)?,
            drift: Drift::default(),
            buffer: Vec::new(),
            start: 0,
            loud: false,
            packet: Vec::new(),
            lag: 0,
            late_since: None,
        })
    }

    /// Takes a packet whose first sample is to be heard at `at`. Audio before `heard`, where the mixer is, is too late. Packets may come
    /// in any order.
    pub fn handle_packet(&mut self, packet: &[u8], at: i64, heard: i64) -> Timing {
        let at = at + self.lag;
        if at > heard + MOST {
            return Timing::TooEarly;
        }
        let length = opus::duration(packet).map_or(PACKET, |samples| samples as i64);
        let put = match at + length <= heard {
            true => Put::TooLate,
            false => self.decoder.handle_packet(at, packet),
        };
        match put {
            Put::Waits => {
                self.late_since = None;
                Timing::InTime
            }
            Put::Twice => Timing::InTime,
            Put::TooLate => {
                self.handle_late(at, heard);
                Timing::TooLate
            }
            Put::Full => Timing::TooEarly,
        }
    }

    /// Whether [`decode`](Self::decode) reads a packet of the member.
    pub fn is_due(&self, until: i64) -> bool {
        self.decoder.is_due(self.so_far(), until)
    }

    /// Decodes what is to be heard from `heard`, where the mixer is, until `until`. A packet that has not come by now is not played.
    ///
    /// Errors: [`CodecError::Decode`]; the packet is as good as lost.
    pub fn decode(&mut self, heard: i64, until: i64) -> Result<(), CodecError> {
        self.make_room(heard);
        let mut result = Ok(());
        let mut piece = std::mem::take(&mut self.packet);
        for _ in 0..MOST_PIECES {
            if self.end() >= until {
                break;
            }
            match self.decoder.poll(self.so_far(), until, &mut piece) {
                Ok(Piece::Packet(at)) => self.place(&piece, at),
                Ok(Piece::Filled) => self.drift.run(&piece, &mut self.buffer),
                Ok(Piece::Nothing) => break,
                // The packet after a malformed one fills its place.
                Err(error) => result = result.and(Err(error)),
            }
        }
        self.packet = piece;
        if self.loud && self.end() < until {
            self.fade_out();
        }
        result
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

    /// Adds the audio from `at` on to `out` (interleaved), as far as it has been [decoded](Self::decode). Answers the mean square of what
    /// was added.
    pub fn mix_into(&mut self, at: i64, out: &mut [f32]) -> f32 {
        let length = (out.len() / CHANNELS) as i64;
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
        self.decoder.clear();
        self.buffer.truncate(FADE * CHANNELS);
        if self.loud {
            self.fade_out();
        }
    }

    fn so_far(&self) -> SoFar {
        SoFar {
            end: self.end(),
            is_audible: self.loud,
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

    fn place(&mut self, packet: &[f32], at: i64) {
        let beside = at - self.end();
        if self.loud && beside.abs() <= STEP {
            self.drift.follow(beside);
            self.drift.run(packet, &mut self.buffer);
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
            self.drift.reset();
            self.drift.run(rest, &mut self.buffer);
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

fn index(samples: i64) -> usize {
    samples as usize * CHANNELS
}
