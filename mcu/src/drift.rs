//! Follows the sample clock of one input: its audio is resampled by a ratio that changes slowly, without a seam between packets. A tone of
//! 1 kHz whose clock is off by 500 ppm keeps everything else 50 dB below it.
//!
//! Each output sample lies on the polynomial through the eight input samples around its place (Lagrange). Both channels share its weights:
//! a mix does this for every input all the time.

use crate::audio_input::{CHANNELS, RATE};

/// Input samples that the polynomial goes through.
const TAPS: usize = 8;
/// Of these as many lie before the sample at or before the place.
const BEFORE: usize = TAPS / 2 - 1;
/// The distance of each from the place, less the place's fraction.
const DISTANCES: [f32; TAPS] = [3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -4.0];
/// The products of the differences between each and all others.
const DENOMINATORS: [f32; TAPS] = [-5040.0, 720.0, -240.0, 144.0, -144.0, 240.0, -720.0, 5040.0];
/// Output samples that are computed together. Between their ends the weights are on a straight line: at 500 ppm it is 1e-5 beside them.
const BLOCK: usize = 16;
/// The ratio is this far from 1 at most.
const MOST: f64 = 0.005;
/// A steady difference between the clocks lets the audio be beside its place by this time's share of it, seconds: 1 ms at 500 ppm.
const TIME: f64 = 2.0;
/// The share of the way to the wanted ratio that the ratio goes with each packet of 20 ms.
const EASE: f64 = 0.05;

/// See the [module](self).
pub struct Drift {
    /// Output samples for each input sample, less 1.
    bend: f64,
    /// Input samples from one output sample to the next.
    step: f64,
    /// Input that is still needed, of each channel.
    kept: [Vec<f32>; CHANNELS],
    /// Where in it the next output sample lies, samples.
    place: f64,
}

impl Default for Drift {
    fn default() -> Self {
        let mut drift = Self {
            bend: 0.0,
            step: 1.0,
            kept: Default::default(),
            place: 0.0,
        };
        drift.reset();
        drift
    }
}

impl Drift {
    /// Other audio comes, which has nothing to do with what came before. The clock is the same.
    pub fn reset(&mut self) {
        for kept in &mut self.kept {
            kept.clear();
            kept.resize(TAPS - 1, 0.0);
        }
        self.place = BEFORE as f64;
    }

    /// The audio is this many samples beside its place: positive when it is to come later.
    pub fn follow(&mut self, beside: i64) {
        let wanted = (beside as f64 / (RATE as f64 * TIME)).clamp(-MOST, MOST);
        self.bend += (wanted - self.bend) * EASE;
    }

    /// Appends `audio`, interleaved, four samples later than it comes in.
    pub fn run(&mut self, audio: &[f32], to: &mut Vec<f32>) {
        for (channel, kept) in self.kept.iter_mut().enumerate() {
            kept.extend(audio.iter().skip(channel).step_by(CHANNELS));
        }
        let count = self.kept.iter().map(Vec::len).min().unwrap_or_default();
        let wanted = 1.0 / (1.0 + self.bend);
        let change = (wanted - self.step) / (audio.len() / CHANNELS).max(1) as f64;
        loop {
            let whole = self.place as usize;
            let first = whole - BEFORE;
            let fitting = (count + 1).saturating_sub(first + TAPS).min(BLOCK);
            if fitting == 0 {
                break;
            }
            let step = self.step + change * (fitting - 1) as f64 / 2.0;
            let ramp = Ramp::new(self.place - whole as f64, step - 1.0);
            let block = self.kept.each_ref().map(|kept| ramp.block(&kept[first..]));
            for index in 0..fitting {
                to.extend(block.iter().map(|channel| channel[index]));
            }
            self.place += step * fitting as f64;
            self.step += change * fitting as f64;
        }
        self.step = wanted;
        let used = self.place as usize - BEFORE;
        for kept in &mut self.kept {
            kept.drain(..used);
        }
        self.place -= used as f64;
    }
}

/// The weights of a block's samples: those of the first one, and how much they grow with each.
struct Ramp {
    first: [f32; TAPS],
    growth: [f32; TAPS],
}

impl Ramp {
    /// `fraction`: of the first sample's place, which grows by `drift` more than 1 from sample to sample.
    fn new(fraction: f64, drift: f64) -> Self {
        let first = weights(fraction as f32);
        let last = weights((fraction + drift * (BLOCK - 1) as f64) as f32);
        let mut growth = [0.0; TAPS];
        for ((growth, first), last) in growth.iter_mut().zip(first).zip(last) {
            *growth = (last - first) / (BLOCK - 1) as f32;
        }
        Self { first, growth }
    }

    /// The block whose first sample has `around` as the samples around its place. Samples that `around` does not reach are of no use.
    fn block(&self, around: &[f32]) -> [f32; BLOCK] {
        let mut input = [0.0; BLOCK + TAPS - 1];
        let length = around.len().min(input.len());
        input[..length].copy_from_slice(&around[..length]);
        let mut block = [0.0; BLOCK];
        for tap in 0..TAPS {
            let (first, growth) = (self.first[tap], self.growth[tap]);
            let samples = &input[tap..tap + BLOCK];
            for index in 0..BLOCK {
                block[index] += (first + growth * index as f32) * samples[index];
            }
        }
        block
    }
}

/// The weights of the samples around a place. `fraction`: how far it is behind the sample before it, 0 to 1.
fn weights(fraction: f32) -> [f32; TAPS] {
    let mut weights = [0.0; TAPS];
    let mut product = 1.0;
    for (weight, distance) in weights.iter_mut().zip(DISTANCES) {
        *weight = product;
        product *= fraction + distance;
    }
    product = 1.0;
    let reversed = weights.iter_mut().zip(DISTANCES.into_iter().zip(DENOMINATORS)).rev();
    for (weight, (distance, denominator)) in reversed {
        *weight *= product / denominator;
        product *= fraction + distance;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 960;

    /// The last 10 of 40 seconds of a tone, as a clock sends it that is off by so many millionths.
    fn followed(hertz: f64, ppm: i64) -> Vec<f32> {
        let mut drift = Drift::default();
        let mut out = Vec::new();
        for n in 0..40 * 50_i64 {
            let place = n * PACKET as i64 + n * PACKET as i64 * ppm / 1_000_000;
            drift.follow(place - (out.len() / CHANNELS) as i64);
            let sample = |at: usize| {
                let seconds = (n as usize * PACKET + at) as f64 / RATE as f64;
                (seconds * hertz * std::f64::consts::TAU).sin() as f32
            };
            let packet: Vec<f32> = (0..PACKET).flat_map(|at| [sample(at); CHANNELS]).collect();
            drift.run(&packet, &mut out);
        }
        let mono: Vec<f32> = out.chunks_exact(CHANNELS).map(|pair| pair[0]).collect();
        mono[30 * RATE as usize..].to_vec()
    }

    /// Decibel by which a tone is above everything else in some audio.
    fn purity(audio: &[f32], hertz: f64) -> f64 {
        let angle = |n: usize| n as f64 / RATE as f64 * hertz * std::f64::consts::TAU;
        let all: f64 = audio.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let (mut cosine, mut sine) = (0.0, 0.0);
        for (n, sample) in audio.iter().enumerate() {
            cosine += f64::from(*sample) * angle(n).cos();
            sine += f64::from(*sample) * angle(n).sin();
        }
        let tone = 2.0 * (cosine.powi(2) + sine.powi(2)) / audio.len() as f64;
        10.0 * (tone / (all - tone).max(1e-9)).log10()
    }

    #[test]
    fn a_tone_from_a_clock_that_is_off_stays_pure_and_in_place() {
        for ppm in [-500, -100, 0, 100, 500] {
            let hertz = 1000.0;
            let heard = followed(hertz, ppm);
            let sent = hertz / (1.0 + ppm as f64 / 1e6);
            let purity = purity(&heard[..RATE as usize], sent);
            println!("{ppm} ppm: {purity:.1} dB");
            assert!(purity > 50.0, "{ppm} ppm: {purity} dB");
            // 30 of 40 s were left out.
            let expected = 10 * RATE + 40 * RATE * ppm / 1_000_000;
            let beside = heard.len() as i64 - expected;
            assert!(
                beside.abs() < RATE / 500,
                "{ppm} ppm: {beside} samples beside its place"
            );
        }
    }

    #[test]
    fn at_the_same_clock_audio_is_not_changed() {
        let mut drift = Drift::default();
        let audio: Vec<f32> = (0..4 * PACKET * CHANNELS)
            .map(|n| ((n * 7919) % 1000) as f32 / 1000.0 - 0.5)
            .collect();
        let mut out = Vec::new();
        drift.run(&audio, &mut out);
        let delay = (0..20 * CHANNELS).step_by(CHANNELS).find(|delay| {
            let pairs = out[*delay..].iter().zip(&audio).take(2000);
            pairs.into_iter().all(|(heard, sent)| (heard - sent).abs() < 1e-4)
        });
        assert!(delay.is_some(), "the same samples, a few later");
    }

    #[test]
    fn a_polynomial_of_the_seventh_degree_is_met_between_its_samples() {
        let value = |x: f64| 1.0 + x * (0.5 - x * (0.1 + x * x * x * x * (0.000_3 - x * 0.000_02)));
        for fraction in [0.0, 0.1, 0.5, 0.99] {
            let around = (-3..=4).map(|n| value(f64::from(n)) as f32);
            let met: f32 = weights(fraction)
                .iter()
                .zip(around)
                .map(|(weight, sample)| weight * sample)
                .sum();
            let expected = value(f64::from(fraction)) as f32;
            assert!((met - expected).abs() < 1e-4, "{met}, not {expected} at {fraction}");
        }
    }
}
