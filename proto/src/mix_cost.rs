//! The CPU time that a mix is expected to need, by which nodes admit mixes.

use crate::mix::MixSpec;

/// Pixels a second of a mix. The inputs are not known before it runs: they are expected to fill the canvas at 30 frames a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub decoded: u64,
    pub composited: u64,
    pub encoded: u64,
}

/// Frames a second of an input.
const INPUT_RATE: u64 = 30;

// Measured: four inputs of 640x360 at 30 frames a second, mixed to 1280x720 at 15, take 0.19 of a core with the recording.
const DECODED_PIXEL_PS: u64 = 2_400;
const COMPOSITED_PIXEL_PS: u64 = 1_500;
const ENCODED_PIXEL_PS: u64 = 6_000;
/// Audio of sixteen inputs, and everything else.
const BASE_MILLICORES: u64 = 20;
/// Picoseconds of CPU time a second in a thousandth of a core.
const MILLICORE_PS: u64 = 1_000_000_000;

impl Cost {
    pub fn of(spec: &MixSpec) -> Self {
        let Some(video) = spec.video else {
            return Self {
                decoded: 0,
                composited: 0,
                encoded: 0,
            };
        };
        let pixels = u64::from(video.width) * u64::from(video.height);
        let mixed = pixels * u64::from(video.framerate);
        Self {
            decoded: pixels * INPUT_RATE,
            composited: mixed,
            encoded: mixed,
        }
    }

    /// Thousandths of a CPU core.
    pub fn millicores(self) -> u64 {
        let picoseconds =
            self.decoded * DECODED_PIXEL_PS + self.composited * COMPOSITED_PIXEL_PS + self.encoded * ENCODED_PIXEL_PS;
        BASE_MILLICORES + picoseconds.div_ceil(MILLICORE_PS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_mix_is_expected_to_cost_what_was_measured() {
        let pixels = 1280 * 720;
        let cost = Cost {
            decoded: pixels * 30,
            composited: pixels * 15,
            encoded: pixels * 15,
        };
        let millicores = cost.millicores();
        assert!((180..200).contains(&millicores), "{millicores}");
    }
}
