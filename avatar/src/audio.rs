//! The audio inside an avatar is 16 kHz mono in pieces of 20 ms. What comes in is resampled to it, what goes out from it.

use rotunda_media::codec::CodecError;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// Samples a second.
pub const RATE: u32 = 16_000;
/// Samples in 20 ms.
pub const PIECE: usize = 320;
/// Rates that are taken.
pub const RATES: std::ops::RangeInclusive<u32> = 4000..=192_000;

/// Runs that empty the filter: its blocks have at most a second.
const MOST_RUNS: u32 = 200;

/// Resamples mono audio as it comes.
pub struct Resampler {
    /// None: both rates are the same.
    fft: Option<Fft<f32>>,
    chunk: usize,
    waiting: Vec<f32>,
    out: Vec<f32>,
    /// Output samples still to be thrown away: the filter's delay.
    skip: usize,
    /// For the end: how many samples must have come out.
    from: u32,
    to: u32,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// Errors: [`CodecError::SetUp`] for a rate outside [`RATES`].
    pub fn new(from: u32, to: u32) -> Result<Self, CodecError> {
        let set_up = |reason: String| CodecError::SetUp {
            codec: "resampler",
            reason,
        };
        if !RATES.contains(&from) || !RATES.contains(&to) {
            let reason = format!("{from} samples a second cannot be resampled; 4000 to 192000 can");
            return Err(set_up(reason));
        }
        // 10 ms.
        let chunk = (from as usize / 100).max(1);
        let fft = if from == to {
            None
        } else {
            let made = Fft::new(from as usize, to as usize, chunk, 1, FixedSync::Input);
            Some(made.map_err(|error| set_up(error.to_string()))?)
        };
        let (out, skip, chunk) = match &fft {
            None => (Vec::new(), 0, chunk),
            Some(fft) => (
                vec![0.0; fft.output_frames_max()],
                fft.output_delay(),
                fft.input_frames_next(),
            ),
        };
        Ok(Self {
            fft,
            chunk,
            waiting: Vec::new(),
            out,
            skip,
            from,
            to,
            taken: 0,
            given: 0,
        })
    }

    /// For a stream without an end: as many samples come out as go in, and all are later by the filter's delay (5 ms to 48 kHz).
    pub fn continuous(from: u32, to: u32) -> Result<Self, CodecError> {
        let mut resampler = Self::new(from, to)?;
        resampler.skip = 0;
        Ok(resampler)
    }

    /// Appends what comes out to `to`. The last few milliseconds stay inside.
    ///
    /// Errors: [`CodecError::Encode`].
    pub fn run(&mut self, pcm: &[f32], to: &mut Vec<f32>) -> Result<(), CodecError> {
        let failed = |reason: String| CodecError::Encode {
            codec: "resampler",
            reason,
        };
        self.taken += pcm.len() as u64;
        let Some(fft) = &mut self.fft else {
            to.extend_from_slice(pcm);
            return Ok(());
        };
        self.waiting.extend_from_slice(pcm);
        let room = self.out.len();
        let mut begin = 0;
        while self.waiting.len() - begin >= self.chunk {
            let chunk = &self.waiting[begin..begin + self.chunk];
            let input = InterleavedSlice::new(chunk, 1, self.chunk).map_err(|error| failed(error.to_string()))?;
            let mut output =
                InterleavedSlice::new_mut(&mut self.out, 1, room).map_err(|error| failed(error.to_string()))?;
            let (_read, written) = fft
                .process_into_buffer(&input, &mut output, None)
                .map_err(|error| failed(error.to_string()))?;
            let skipped = self.skip.min(written);
            self.skip -= skipped;
            to.extend_from_slice(&self.out[skipped..written]);
            self.given += (written - skipped) as u64;
            begin += self.chunk;
        }
        self.waiting.drain(..begin);
        Ok(())
    }

    /// Appends the rest that is still inside. Call it once, after the last audio.
    pub fn finish(&mut self, to: &mut Vec<f32>) -> Result<(), CodecError> {
        if self.fft.is_none() {
            return Ok(());
        }
        let wanted = self.taken * u64::from(self.to) / u64::from(self.from);
        let begin = to.len();
        let before = self.given;
        let silence = vec![0.0; self.chunk];
        // A run may give nothing yet: the filter's own blocks are longer than 10 ms at some rates.
        for _ in 0..MOST_RUNS {
            if self.given >= wanted {
                break;
            }
            self.run(&silence, to)?;
        }
        to.truncate(begin + usize::try_from(wanted.saturating_sub(before)).unwrap_or(usize::MAX));
        Ok(())
    }
}

pub fn to_i16(pcm: &[f32]) -> impl Iterator<Item = i16> + '_ {
    pcm.iter().map(|sample| (sample.clamp(-1.0, 1.0) * 32_767.0) as i16)
}

pub fn to_f32(pcm: &[i16]) -> impl Iterator<Item = f32> + '_ {
    pcm.iter().map(|sample| f32::from(*sample) / 32_768.0)
}

/// Loudness in dBov (RFC 6464): 0 is the loudest, -127 silence.
pub fn level_dbov(pcm: &[f32]) -> i8 {
    let power = pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len().max(1) as f32;
    if power > 0.0 {
        (10.0 * power.log10()).clamp(-127.0, 0.0) as i8
    } else {
        -127
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, seconds: f32) -> Vec<f32> {
        let samples = (rate as f32 * seconds) as u32;
        (0..samples)
            .map(|at| 0.5 * (std::f32::consts::TAU * 440.0 * at as f32 / rate as f32).sin())
            .collect()
    }

    #[test]
    fn a_tone_keeps_pitch_length_and_place_at_every_rate() {
        for from in [8000, 11_025, 22_050, 24_000, 44_100, 48_000] {
            let mut resampler = Resampler::new(from, RATE).unwrap();
            let mut out = Vec::new();
            for part in tone(from, 1.0).chunks(777) {
                resampler.run(part, &mut out).unwrap();
            }
            resampler.finish(&mut out).unwrap();
            let expected = tone(RATE, 1.0);
            assert!(out.len().abs_diff(expected.len()) <= 1, "{from}: {}", out.len());
            let error: f32 = out[800..15_000]
                .iter()
                .zip(&expected[800..15_000])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            // The error of a shift by one sample: at some rates the filter's delay is not a whole number of samples.
            assert!(
                error < 0.5 * std::f32::consts::TAU * 440.0 / RATE as f32,
                "{from} Hz: {error}"
            );
        }
    }

    #[test]
    fn a_stream_without_an_end_gives_960_samples_for_each_piece() {
        let mut resampler = Resampler::continuous(RATE, 48_000).unwrap();
        for _ in 0..10 {
            let mut out = Vec::new();
            resampler.run(&[0.5; PIECE], &mut out).unwrap();
            assert_eq!(out.len(), 960);
        }
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        assert!(Resampler::new(0, RATE).is_err());
        assert!(Resampler::new(1_000_000, RATE).is_err());
    }
}
