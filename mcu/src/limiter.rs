//! A look-ahead peak limiter: audio below full scale passes unchanged, louder audio is turned down before its peak comes.
//!
//! The gain that each frame needs is spread over the frames before it (minimum, then average over [`LOOK_AHEAD`]), so that it never
//! steps. It is held and then given back slowly, so that neither the waveform is bent nor quiet voices pump.

use std::collections::VecDeque;

use crate::audio_input::{CHANNELS, RATE};

/// How much earlier the limiter is given audio than it gives it out, frames: 10 ms.
pub const LOOK_AHEAD: usize = RATE as usize / 100;
/// Highest sample that comes out.
const CEILING: f32 = 1.0;
/// The gain stays down for so long, frames: longer than one period of the lowest beat that is to stay undistorted (100 ms).
const HOLD: u64 = RATE as u64 / 10;
/// Then it comes back with this time constant, frames: 300 ms.
const RELEASE: f32 = 0.3 * RATE as f32;
/// From here on the gain counts as back.
const WHOLE: f32 = 0.9999;

/// See the [module](self).
pub struct Limiter {
    /// Interleaved, the last [`LOOK_AHEAD`] frames.
    delayed: VecDeque<f32>,
    /// Frames taken in.
    taken: u64,
    /// Frames whose need is smaller than that of all after them: number and gain, ascending in both.
    needs: VecDeque<(u64, f32)>,
    /// Held and released gain.
    gain: f32,
    /// The last [`LOOK_AHEAD`] values of `gain`, and their sum.
    recent: VecDeque<f32>,
    sum: f64,
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            delayed: std::iter::repeat_n(0.0, LOOK_AHEAD * CHANNELS).collect(),
            taken: 0,
            needs: VecDeque::new(),
            gain: 1.0,
            recent: std::iter::repeat_n(1.0, LOOK_AHEAD).collect(),
            sum: LOOK_AHEAD as f64,
        }
    }
}

impl Limiter {
    /// Replaces interleaved audio by the limited audio of [`LOOK_AHEAD`] frames before.
    pub fn process(&mut self, audio: &mut [f32]) {
        for frame in audio.chunks_exact_mut(CHANNELS) {
            let peak = frame.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            let gain = self.next_gain(peak);
            for sample in frame {
                self.delayed.push_back(*sample);
                let delayed = self.delayed.pop_front().unwrap_or_default();
                *sample = (delayed * gain).clamp(-CEILING, CEILING);
            }
        }
        // Once a block the sum is made anew, so that rounding errors do not add up.
        self.sum = self.recent.iter().map(|gain| f64::from(*gain)).sum();
    }

    fn next_gain(&mut self, peak: f32) -> f32 {
        let need = if peak > CEILING { CEILING / peak } else { 1.0 };
        while self.needs.back().is_some_and(|(_, later)| *later >= need) {
            self.needs.pop_back();
        }
        self.needs.push_back((self.taken, need));
        let oldest = self.taken.saturating_sub(LOOK_AHEAD as u64 + HOLD);
        while self.needs.front().is_some_and(|(number, _)| *number < oldest) {
            self.needs.pop_front();
        }
        self.taken += 1;
        let least = self.needs.front().map_or(1.0, |(_, need)| *need);
        self.gain = if least <= self.gain {
            least
        } else {
            (self.gain + (least - self.gain) / RELEASE).min(least)
        };
        if self.gain > WHOLE && least == 1.0 {
            self.gain = 1.0;
        }
        self.recent.push_back(self.gain);
        let gone = self.recent.pop_front().unwrap_or(1.0);
        self.sum += f64::from(self.gain) - f64::from(gone);
        (self.sum / LOOK_AHEAD as f64).min(1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f32, level: f32, frames: usize) -> Vec<f32> {
        let wave = |n: usize| (n as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin() * level;
        (0..frames).flat_map(|n| [wave(n); CHANNELS]).collect()
    }

    fn add(mixed: &mut [f32], other: &[f32]) {
        mixed.iter_mut().zip(other).for_each(|(mixed, other)| *mixed += other);
    }

    /// Left channel of the output, without the look-ahead.
    fn limited(mut audio: Vec<f32>) -> Vec<f32> {
        let mut limiter = Limiter::default();
        audio
            .chunks_mut(480 * CHANNELS)
            .for_each(|block| limiter.process(block));
        audio.into_iter().step_by(CHANNELS).skip(LOOK_AHEAD).collect()
    }

    /// Amplitude of one frequency.
    fn strength(audio: &[f32], hertz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in audio.iter().enumerate() {
            let angle = n as f64 * hertz * std::f64::consts::TAU / 48_000.0;
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        re.hypot(im) * 2.0 / audio.len() as f64
    }

    fn decibel(ratio: f64) -> f64 {
        20.0 * ratio.log10()
    }

    #[test]
    fn audio_up_to_full_scale_passes_bit_by_bit() {
        for level in [0.01, 0.5, 0.9, 1.0] {
            let audio = sine(440.0, level, 48_000);
            let left: Vec<f32> = audio.iter().step_by(CHANNELS).copied().collect();
            let out = limited(audio);
            assert_eq!(out, left[..out.len()]);
        }
    }

    #[test]
    fn nothing_comes_out_louder_than_full_scale() {
        let mut audio = sine(300.0, 1.0, 48_000);
        add(&mut audio, &sine(1_700.0, 1.0, 48_000));
        add(&mut audio[24_000..], &sine(80.0, 3.0, 24_000));
        let out = limited(audio);
        assert!(out.iter().all(|sample| sample.abs() <= 1.0));
        // Not only by cutting off: at most one sample in a thousand touches the ceiling.
        let cut = out.iter().filter(|sample| sample.abs() == 1.0).count();
        assert!(cut * 1_000 < out.len(), "{cut}");
    }

    #[test]
    fn two_loud_voices_leave_a_quiet_one_without_products_beside_it() {
        let mut audio = sine(440.0, 1.0, 96_000);
        add(&mut audio, &sine(1_000.0, 1.0, 96_000));
        add(&mut audio, &sine(2_500.0, 0.05, 96_000));
        let out = limited(audio);
        let steady = &out[48_000..];
        let (low, high, quiet) = (
            strength(steady, 440.0),
            strength(steady, 1_000.0),
            strength(steady, 2_500.0),
        );
        // All are turned down alike, by as much as the sum of the peaks needs.
        assert!((decibel(low) - decibel(high)).abs() < 0.1, "{low} {high}");
        assert!((-6.5..-5.5).contains(&decibel(low)), "{}", decibel(low));
        assert!((decibel(quiet / 0.05) - decibel(low)).abs() < 0.1, "{quiet}");
        // Products of the second and third order.
        for product in [560.0, 120.0, 1_440.0, 1_560.0, 1_880.0, 2_440.0, 1_320.0, 3_000.0] {
            let below = decibel(strength(steady, product) / quiet);
            assert!(below < -30.0, "{product} Hz is {below} dB from the quiet voice");
        }
    }

    #[test]
    fn after_a_peak_the_gain_comes_back_without_a_step() {
        let mut audio = sine(440.0, 0.5, 144_000);
        add(&mut audio[48_000..52_000], &sine(200.0, 1.5, 2_000));
        let out = limited(audio);
        let expected = strength(
            &sine(440.0, 0.5, 4_800)
                .into_iter()
                .step_by(CHANNELS)
                .collect::<Vec<_>>(),
            440.0,
        );
        let last = strength(&out[out.len() - 4_800..], 440.0);
        assert!((last - expected).abs() < 0.001, "{last} {expected}");
        let levels: Vec<f64> = out[28_000..]
            .chunks_exact(1_200)
            .map(|chunk| strength(chunk, 440.0))
            .collect();
        assert!(levels.windows(2).all(|pair| pair[1] - pair[0] < 0.05), "{levels:?}");
    }
}
