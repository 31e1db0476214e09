//! The mouth that goes with audio: how far it is open and how wide, 20 ms by 20 ms. Pure.
//!
//! A voice that knows its phonemes tells the form. Else the sound must: loudness opens the mouth, and where the energy lies says which viseme it
//! is. Vowels at the front of the mouth and sibilants have high frequencies and a wide mouth, rounded vowels low ones.

use crate::audio::PIECE;
use crate::viseme::Viseme;

/// Below this the mouth is closed, above the other it is open as far as it goes, dBov.
const CLOSED: f32 = -46.0;
const OPEN: f32 = -18.0;
/// Of the way to its aim the mouth goes so far in 20 ms, opening and closing: 60 ms until it is closed.
const OPENING: f32 = 0.85;
const CLOSING: f32 = 0.6;
const WIDENING: f32 = 0.4;
/// Less than this is closed.
const LEAST: f32 = 0.04;

/// The form of the lips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lips {
    /// 0 closed, 1 open as far as it goes.
    pub openness: f32,
    /// -1 round, 0 neutral, 1 wide.
    pub width: f32,
}

/// See the [module](self).
#[derive(Debug, Clone, Copy)]
pub struct Mouth {
    lips: Lips,
}

impl Default for Mouth {
    fn default() -> Self {
        Self {
            lips: Lips {
                openness: 0.0,
                width: 0.0,
            },
        }
    }
}

impl Mouth {
    /// The next 20 ms that are heard, and the form of the mouth with it if it is known.
    pub fn hear(&mut self, samples: &[i16; PIECE], viseme: Option<Viseme>) {
        let energy: f32 = samples.iter().map(|sample| square(f32::from(*sample) / 32_768.0)).sum();
        let change: f32 = samples
            .windows(2)
            .map(|pair| square((f32::from(pair[1]) - f32::from(pair[0])) / 32_768.0))
            .sum();
        let level = 10.0 * (energy / PIECE as f32).max(1e-10).log10();
        let aim = ((level - CLOSED) / (OPEN - CLOSED)).clamp(0.0, 1.0);
        // 4 sin² (π f / rate) of a tone of f Hz: 0.04 at 500 Hz, 0.15 at 1 kHz, 0.59 at 2 kHz.
        let brightness = if energy > 0.0 { change / energy } else { 0.1 };
        let width = if aim > 0.0 {
            ((brightness / 0.12).max(1e-3).log2() / 2.0).clamp(-1.0, 1.0)
        } else {
            0.0
        };
        // Sibilants are loud with the teeth nearly closed.
        let by_sound = if brightness > 0.9 { aim * 0.45 } else { aim };
        let (aim, width) = match viseme {
            None => (by_sound, width),
            // Loud vowels are opener than soft ones.
            Some(viseme) => {
                let form = form(viseme);
                (form.openness * (0.5 + 0.5 * aim), form.width)
            }
        };
        let pace = if aim > self.lips.openness || viseme == Some(Viseme::Closed) {
            OPENING
        } else {
            CLOSING
        };
        self.lips.openness += pace * (aim - self.lips.openness);
        if self.lips.openness < LEAST && aim < LEAST {
            self.lips.openness = 0.0;
        }
        self.lips.width += WIDENING * (width - self.lips.width);
    }

    pub fn lips(&self) -> Lips {
        self.lips
    }
}

/// The lips of a viseme at full loudness.
fn form(viseme: Viseme) -> Lips {
    let (openness, width) = match viseme {
        Viseme::Rest | Viseme::Closed => (0.0, 0.0),
        Viseme::Teeth => (0.12, 0.2),
        Viseme::Narrow => (0.28, 0.25),
        Viseme::Open => (1.0, 0.1),
        Viseme::Wide => (0.6, 0.9),
        Viseme::Round => (0.55, -0.9),
        Viseme::Neutral => (0.5, 0.0),
    };
    Lips { openness, width }
}

fn square(value: f32) -> f32 {
    value * value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, level: f32) -> [i16; PIECE] {
        std::array::from_fn(|at| {
            (level * 32_767.0 * (std::f32::consts::TAU * hertz * at as f32 / 16_000.0).sin()) as i16
        })
    }

    fn after(samples: &[i16; PIECE], pieces: usize) -> Lips {
        let mut mouth = Mouth::default();
        for _ in 0..pieces {
            mouth.hear(samples, None);
        }
        mouth.lips()
    }

    #[test]
    fn the_mouth_opens_with_the_first_20_ms_and_is_closed_80_ms_after_the_last() {
        let mut mouth = Mouth::default();
        mouth.hear(&tone(500.0, 0.3), None);
        assert!(mouth.lips().openness > 0.6, "{:?}", mouth.lips());
        for _ in 0..4 {
            mouth.hear(&[0; PIECE], None);
        }
        assert_eq!(mouth.lips().openness, 0.0);
    }

    #[test]
    fn lips_close_for_an_m_however_loud_it_is_and_are_round_for_an_o() {
        let loud = tone(500.0, 0.5);
        let mut mouth = Mouth::default();
        let mut after = |viseme| {
            for _ in 0..3 {
                mouth.hear(&loud, Some(viseme));
            }
            mouth.lips()
        };
        assert!(after(Viseme::Open).openness > 0.9);
        assert!(after(Viseme::Closed).openness < LEAST);
        let round = after(Viseme::Round);
        assert!(round.openness > 0.4 && round.width < -0.5, "{round:?}");
        assert!(after(Viseme::Wide).width > 0.3);
    }

    #[test]
    fn noise_floor_does_not_open_it() {
        assert_eq!(after(&tone(500.0, 0.002), 10).openness, 0.0);
    }

    #[test]
    fn high_frequencies_make_it_wide_and_low_ones_round() {
        let (round, wide) = (after(&tone(300.0, 0.3), 10), after(&tone(2200.0, 0.3), 10));
        assert!(round.width < -0.4 && wide.width > 0.4, "{round:?} {wide:?}");
        let sibilant = after(&tone(4500.0, 0.3), 10);
        assert!(sibilant.openness < 0.6 * wide.openness, "{sibilant:?}");
    }
}
