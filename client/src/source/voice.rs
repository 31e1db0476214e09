//! Makes the audio: speech or silence, and a beep with the participant's own pitch at each full second.

use std::f32::consts::TAU;

use super::AudioContent;

const RATE: u64 = 48_000;
/// Samples in 20 ms.
const FRAME: u64 = 960;
/// The beep lasts 100 ms.
const BEEP: u64 = RATE / 10;

pub struct Voice {
    beep_hertz: f32,
    pitch_hertz: f32,
    content: AudioContent,
    speech: Vec<f32>,
}

impl Voice {
    /// `speech`: 48 kHz mono, played in a loop; empty: a voice is generated.
    pub fn new(mark: u8, content: AudioContent, speech: Vec<f32>) -> Self {
        Self {
            beep_hertz: 400.0 + 50.0 * f32::from(mark),
            pitch_hertz: 95.0 + f32::from(mark % 8) * 17.0,
            content,
            speech,
        }
    }

    /// The 20 ms of audio with this number, and their loudness in dBov (RFC 6464).
    pub fn speak(&mut self, number: u64) -> (Vec<f32>, i8) {
        let first = number * FRAME;
        let pcm: Vec<f32> = (first..first + FRAME)
            .map(|at| (self.beep(at) + self.word(at)).clamp(-1.0, 1.0))
            .collect();
        let power = pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len() as f32;
        let level = if power > 0.0 {
            (10.0 * power.log10()).clamp(-127.0, 0.0)
        } else {
            -127.0
        };
        (pcm, level as i8)
    }

    fn beep(&self, at: u64) -> f32 {
        let within = at % RATE;
        if within >= BEEP {
            return 0.0;
        }
        // 2 ms ramps: no clicks.
        let edge = within.min(BEEP - within).min(96) as f32 / 96.0;
        0.25 * edge * (TAU * self.beep_hertz * (within as f32 / RATE as f32)).sin()
    }

    fn word(&self, at: u64) -> f32 {
        match self.content {
            AudioContent::Beeps | AudioContent::None => 0.0,
            AudioContent::Speech if self.speech.is_empty() => self.generated(at),
            AudioContent::Speech => self.speech[(at % self.speech.len() as u64) as usize],
        }
    }

    /// A signal with the rhythm and spectrum of speech: harmonics of a gliding pitch in syllables of 220 ms, with a
    /// pause after every seventh.
    fn generated(&self, at: u64) -> f32 {
        let seconds = at as f32 / RATE as f32;
        let syllable = (seconds / 0.22) as u32;
        if syllable % 8 == 7 {
            return 0.0;
        }
        let within = (seconds / 0.22).fract();
        let envelope = (within * std::f32::consts::PI).sin().powi(2);
        let formant = 500.0 + 140.0 * (syllable % 5) as f32;
        let pitch = self.pitch_hertz;
        let voice: f32 = (1..12)
            .map(|harmonic| {
                let hertz = pitch * harmonic as f32;
                let distance = (hertz - formant) / 300.0;
                (-distance * distance).exp() * (TAU * hertz * (at % RATE) as f32 / RATE as f32).sin()
            })
            .sum();
        0.12 * envelope * voice
    }
}
