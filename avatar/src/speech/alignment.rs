//! Finds the sounds of a text in the audio of it: when each begins and ends.
//!
//! A voice that is a program of its own tells which phonemes it speaks, but not when. Each class of sounds has a usual loudness, brightness
//! and length; the most probable division of the audio among the sounds, in their order, is found by dynamic programming (Viterbi, over
//! segments).

use crate::viseme::{Class, Sound, Viseme};

/// Samples of a step: 10 ms of 16 kHz.
const STEP: usize = 160;
/// Of a sound but a pause: 20 ms, and so many times its usual length.
const SHORTEST: usize = 2;
const LONGEST: f32 = 3.0;
/// Steps times sounds, at most: about 30 s of speech. The mouth follows the sound of what is longer.
const MOST: usize = 1_500_000;
/// Audio that is so far below the loudest audio is a pause. dB.
const QUIET: f32 = -35.0;
/// How much an unusual length counts beside an unusual sound.
const LENGTH_WEIGHT: f32 = 7.5;

/// The usual audio of a class: its level in dB below the loudest audio, its brightness as a power of two, each with its spread, and its length
/// in steps. The values are chosen by hand; `tests/avatar/test_lips.py` measures the result against the voice's own library.
struct Usual {
    level: (f32, f32),
    brightness: (f32, f32),
    length: f32,
    /// Stops are two sounds, a silence and a burst: both say less.
    weight: f32,
}

fn usual(class: Class) -> Usual {
    let (level, brightness, length) = match class {
        Class::Pause => ((-55.0, 14.0), (-2.0, 7.0), 20.0),
        Class::OpenVowel => ((-3.0, 5.0), (-2.6, 1.2), 11.0),
        Class::FrontVowel => ((-5.0, 5.0), (-2.5, 1.6), 10.0),
        Class::BackVowel => ((-4.0, 5.0), (-3.8, 1.2), 11.0),
        Class::CentralVowel => ((-4.0, 5.0), (-3.0, 1.2), 7.0),
        Class::LipNasal => ((-10.0, 5.0), (-5.0, 1.2), 7.5),
        Class::LipStop => ((-22.0, 12.0), (-3.0, 2.5), 8.0),
        Class::LipFricative => ((-20.0, 8.0), (-1.0, 2.0), 9.0),
        Class::Sibilant => ((-14.0, 8.0), (1.0, 1.0), 11.0),
        Class::Stop => ((-20.0, 11.0), (-2.0, 2.5), 8.0),
        Class::Nasal => ((-9.0, 5.0), (-4.5, 1.3), 7.0),
        Class::Fricative => ((-18.0, 8.0), (-1.5, 2.0), 8.0),
        Class::Approximant => ((-6.0, 5.0), (-4.0, 1.3), 6.5),
    };
    Usual {
        level,
        brightness,
        length,
        weight: if matches!(class, Class::LipStop | Class::Stop) {
            0.5
        } else {
            1.0
        },
    }
}

/// The visemes of the audio, each with the sample before which it ends. None: the audio is too short or too long for the sounds.
pub fn align(pcm: &[i16], sounds: &[Sound]) -> Option<Vec<(usize, Viseme)>> {
    let steps = measure(pcm);
    let pause = Sound {
        class: Class::Pause,
        length: 1.0,
    };
    let sounds: Vec<Sound> = std::iter::once(pause)
        .chain(sounds.iter().copied())
        .chain(std::iter::once(pause))
        .collect();
    let spoken = || sounds.iter().filter(|sound| sound.class != Class::Pause);
    if spoken().count() == 0 || steps.len() < SHORTEST * spoken().count() || steps.len() * sounds.len() > MOST {
        return None;
    }
    let heard = steps.iter().filter(|step| step.level > QUIET).count() as f32;
    let expected: f32 = spoken().map(|sound| sound.length * usual(sound.class).length).sum();
    let pace = (heard / expected).clamp(0.5, 2.5);

    // `best[t]`: the least cost of the sounds so far, when they end before step `t`.
    let mut best = vec![f32::INFINITY; steps.len() + 1];
    best[0] = 0.0;
    let mut lengths = Vec::with_capacity(sounds.len());
    for sound in &sounds {
        let (now, chosen) = extend(&best, &costs(&steps, sound.class), *sound, pace);
        best = now;
        lengths.push(chosen);
    }
    if !best.last()?.is_finite() {
        return None;
    }
    let mut end = steps.len();
    let mut found = Vec::with_capacity(sounds.len());
    for (sound, chosen) in sounds.iter().zip(&lengths).rev() {
        let length = chosen[end] as usize;
        if length > 0 {
            found.push((end * STEP, sound.class.viseme()));
        }
        end -= length;
    }
    found.reverse();
    // The rest of the last step.
    if let Some(last) = found.last_mut() {
        last.0 = pcm.len();
    }
    Some(found)
}

/// One more sound: the least cost for each end, and the length of the sound in that case.
fn extend(best: &[f32], costs: &[f32], sound: Sound, pace: f32) -> (Vec<f32>, Vec<u32>) {
    let mut sums = Vec::with_capacity(costs.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    sums.extend(costs.iter().map(|cost| {
        sum += cost;
        sum
    }));
    let mut now = vec![f32::INFINITY; best.len()];
    let mut chosen = vec![0; best.len()];
    if sound.class == Class::Pause {
        // Of any length, also none: the best begin so far is enough.
        let mut least = (f32::INFINITY, 0);
        for end in 0..best.len() {
            let begun = best[end] - sums[end];
            if begun < least.0 {
                least = (begun, end);
            }
            now[end] = least.0 + sums[end];
            chosen[end] = (end - least.1) as u32;
        }
        return (now, chosen);
    }
    let expected = pace * sound.length * usual(sound.class).length;
    let longest = ((LONGEST * expected) as usize).max(3 * SHORTEST).min(best.len() - 1);
    for length in SHORTEST..=longest {
        let unusual = LENGTH_WEIGHT * square((length as f32 / expected).ln());
        for end in length..best.len() {
            let cost = best[end - length] + sums[end] - sums[end - length] + unusual;
            if cost < now[end] {
                now[end] = cost;
                chosen[end] = length as u32;
            }
        }
    }
    (now, chosen)
}

/// The cost of each step as a part of a sound of this class.
fn costs(steps: &[Step], class: Class) -> Vec<f32> {
    let usual = usual(class);
    let ((level, level_range), (brightness, brightness_range)) = (usual.level, usual.brightness);
    let base = 0.5 * (level_range * brightness_range).ln();
    let far = |distance: f32| square(distance).min(9.0);
    let cost = |step: &Step| {
        let unlike = far((step.level - level) / level_range) + far((step.brightness - brightness) / brightness_range);
        usual.weight * unlike / 2.0 + base
    };
    steps.iter().map(cost).collect()
}

struct Step {
    /// dB beside the loudest.
    level: f32,
    /// Base 2 logarithm of the share of high frequencies.
    brightness: f32,
}

/// Each 10 ms by the 20 ms around it.
fn measure(pcm: &[i16]) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..pcm.len() / STEP)
        .map(|step| {
            let from = (step * STEP).saturating_sub(STEP / 2);
            let to = ((step + 1) * STEP + STEP / 2).min(pcm.len());
            let window = &pcm[from..to];
            let mean =
                |values: &mut dyn Iterator<Item = f32>, count: usize| values.map(square).sum::<f32>() / count as f32;
            let energy = mean(
                &mut window.iter().map(|sample| f32::from(*sample) / 32_768.0),
                window.len(),
            ) + 1e-10;
            let mut changes = window
                .windows(2)
                .map(|pair| (f32::from(pair[1]) - f32::from(pair[0])) / 32_768.0);
            let change = mean(&mut changes, window.len() - 1);
            Step {
                level: 10.0 * energy.log10(),
                brightness: (change / energy).max(1e-3).log2(),
            }
        })
        .collect();
    let mut levels: Vec<f32> = steps.iter().map(|step| step.level).collect();
    levels.sort_unstable_by(f32::total_cmp);
    // Not the very loudest, which may be a click.
    let loud = levels.get(levels.len() * 92 / 100).copied().unwrap_or_default();
    for step in &mut steps {
        step.level = (step.level - loud).max(-60.0);
    }
    steps
}

fn square(value: f32) -> f32 {
    value * value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viseme::sounds;

    const RATE: usize = 16_000;

    /// Tones of a level for milliseconds each, as coarse sounds.
    fn audio(parts: &[(f32, f32, usize)]) -> Vec<i16> {
        let mut pcm = Vec::new();
        for (hertz, level, milliseconds) in parts {
            for at in 0..milliseconds * RATE / 1000 {
                let phase = std::f32::consts::TAU * hertz * at as f32 / RATE as f32;
                pcm.push((level * 30_000.0 * phase.sin()) as i16);
            }
        }
        pcm
    }

    #[test]
    fn sounds_are_found_where_they_are() {
        let pcm = audio(&[
            (100.0, 0.0, 200),
            (450.0, 0.25, 80),
            (1100.0, 0.8, 120),
            (450.0, 0.25, 80),
            (1100.0, 0.8, 120),
            (100.0, 0.0, 300),
        ]);
        let found = align(&pcm, &sounds("m_ˈa_m_a")).unwrap();
        let visemes: Vec<Viseme> = found.iter().map(|(_, viseme)| *viseme).collect();
        use Viseme::{Closed, Open, Rest};
        assert_eq!(visemes, [Rest, Closed, Open, Closed, Open, Rest]);
        for ((end, viseme), expected) in found.iter().zip([200, 280, 400, 480, 600, 900]) {
            let end = end * 1000 / RATE;
            assert!(
                end.abs_diff(expected) <= 20,
                "{viseme:?} ends at {end} ms, not {expected}"
            );
        }
    }

    #[test]
    fn audio_that_does_not_fit_is_left_alone() {
        let sounds = sounds("m_a_m_a");
        assert_eq!(align(&[], &sounds), None);
        assert_eq!(align(&[0; 5 * STEP], &sounds), None);
        assert_eq!(align(&[0; 100 * STEP], &[]), None);
        assert_eq!(align(&vec![0; 400_000 * STEP], &sounds), None);
    }

    #[test]
    fn silence_and_clicks_are_divided_too() {
        let sounds = sounds("m_a_m_a");
        for pcm in [vec![0; 16_000], vec![i16::MIN; 16_001]] {
            let found = align(&pcm, &sounds).unwrap();
            assert_eq!(found.last().unwrap().0, pcm.len());
        }
    }
}
