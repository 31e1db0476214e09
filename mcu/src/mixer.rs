//! All voices together, in blocks of 10 ms, whether anybody speaks or not.

use std::collections::HashMap;

use rotunda_media::codec::CodecError;
use rotunda_proto::ids::UserId;

use crate::voice::{CHANNELS, RATE, Voice};

/// Samples a channel in a block: 10 ms.
pub const BLOCK: usize = RATE as usize / 100;

/// Above this loudness the mix is bent, so that it never clips hard.
const KNEE: f32 = 0.7;

/// See the [module](self).
#[derive(Default)]
pub struct Mixer {
    voices: HashMap<UserId, Voice>,
    /// Voices of those who have left, until they have faded.
    leaving: Vec<Voice>,
    /// First sample of the next block on the mix clock.
    next: i64,
}

impl Mixer {
    /// Members not among `users` are heard no more.
    pub fn handle_heard(&mut self, users: &[UserId]) {
        let gone: Vec<UserId> = self
            .voices
            .keys()
            .filter(|user| !users.contains(user))
            .cloned()
            .collect();
        for user in gone {
            if let Some(mut voice) = self.voices.remove(&user) {
                voice.handle_mute();
                self.leaving.push(voice);
            }
        }
    }

    /// A packet of a member's sound that is to be heard at sample `at`.
    ///
    /// Errors: what the voice's decoder says.
    pub fn handle_packet(&mut self, user: &UserId, packet: &[u8], at: i64) -> Result<(), CodecError> {
        let next = self.next;
        if !self.voices.contains_key(user) {
            self.voices.insert(user.clone(), Voice::new()?);
        }
        self.voices
            .get_mut(user)
            .map_or(Ok(()), |voice| voice.handle_packet(packet, at, next))
    }

    /// First sample of the next block.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Mixes the next block: [`BLOCK`] samples a channel, interleaved.
    pub fn mix(&mut self, out: &mut Vec<f32>) {
        out.clear();
        out.resize(BLOCK * CHANNELS, 0.0);
        for voice in self.voices.values_mut().chain(&mut self.leaving) {
            voice.mix_into(self.next, out);
        }
        self.leaving.clear();
        out.iter_mut().for_each(|sample| *sample = soft_clip(*sample));
        self.next += BLOCK as i64;
    }
}

/// Straight up to [`KNEE`], then bent towards 1.
fn soft_clip(sample: f32) -> f32 {
    let loud = sample.abs();
    if loud <= KNEE {
        return sample;
    }
    let room = 1.0 - KNEE;
    (KNEE + room * ((loud - KNEE) / room).tanh()).copysign(sample)
}

#[cfg(test)]
mod tests {
    use rotunda_media::codec::OpusEncoder;

    use super::*;

    struct Tone {
        encoder: OpusEncoder,
        hertz: f32,
        at: usize,
    }

    impl Tone {
        fn new(hertz: f32) -> Self {
            Self {
                encoder: OpusEncoder::new(1, 96).unwrap(),
                hertz,
                at: 0,
            }
        }

        fn packet(&mut self) -> bytes::Bytes {
            let wave = |n: usize| (n as f32 * self.hertz * std::f32::consts::TAU / 48_000.0).sin() * 0.3;
            let pcm: Vec<f32> = (self.at..self.at + 960).map(wave).collect();
            self.at += 960;
            self.encoder.encode(&pcm).unwrap()
        }
    }

    fn left(mixed: &[f32]) -> Vec<f32> {
        mixed.iter().step_by(CHANNELS).copied().collect()
    }

    /// Loudness of one frequency: 1 for a full sine.
    fn strength(pcm: &[f32], hertz: f32) -> f32 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in pcm.iter().enumerate() {
            let angle = n as f32 * hertz * std::f32::consts::TAU / 48_000.0;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        (re * re + im * im).sqrt() * 2.0 / pcm.len() as f32
    }

    fn biggest_step(pcm: &[f32]) -> f32 {
        pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    fn mix_blocks(mixer: &mut Mixer, blocks: usize) -> Vec<f32> {
        let (mut all, mut block) = (Vec::new(), Vec::new());
        for _ in 0..blocks {
            mixer.mix(&mut block);
            all.extend_from_slice(&block);
        }
        left(&all)
    }

    #[test]
    fn two_tones_are_both_in_the_mix() {
        let (mut low, mut high) = (Tone::new(440.0), Tone::new(1000.0));
        let (a, b): (UserId, UserId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut mixer = Mixer::default();
        for n in 0..50 {
            mixer.handle_packet(&a, &low.packet(), n * 960).unwrap();
            mixer.handle_packet(&b, &high.packet(), n * 960).unwrap();
        }
        let mixed = mix_blocks(&mut mixer, 100);
        let steady = &mixed[9_600..43_200];
        assert!(strength(steady, 440.0) > 0.2 && strength(steady, 1000.0) > 0.2);
        assert!(strength(steady, 700.0) < 0.02);
    }

    #[test]
    fn silence_comes_at_the_same_rate_as_sound() {
        let mixed = mix_blocks(&mut Mixer::default(), 100);
        assert_eq!(mixed.len(), 48_000);
        assert!(mixed.iter().all(|sample| *sample == 0.0));
    }

    #[test]
    fn joining_leaving_and_a_gap_do_not_click() {
        let mut tone = Tone::new(440.0);
        let user: UserId = "a".parse().unwrap();
        let mut mixer = Mixer::default();
        for n in (0..50).filter(|n| !(20..30).contains(n)) {
            mixer.handle_packet(&user, &tone.packet(), 5_000 + n * 960).unwrap();
        }
        let mut mixed = mix_blocks(&mut mixer, 80);
        mixer.handle_heard(&[]);
        mixed.extend(mix_blocks(&mut mixer, 10));
        assert!(strength(&mixed[9_600..19_200], 440.0) > 0.2);
        // A 440 Hz sine of 0.3 moves 0.0173 a sample; a click would be a multiple of it.
        assert!(biggest_step(&mixed) < 0.03, "{}", biggest_step(&mixed));
        assert!(mixed[mixed.len() - 4_000..].iter().all(|sample| *sample == 0.0));
    }

    #[test]
    fn a_sample_clock_that_is_off_by_500_ppm_neither_steps_nor_falls_behind() {
        let mut tone = Tone::new(440.0);
        let user: UserId = "a".parse().unwrap();
        let mut mixer = Mixer::default();
        let mut mixed = Vec::new();
        for n in 0..1_500_i64 {
            mixer
                .handle_packet(&user, &tone.packet(), 4_800 + n * 960 + n * 960 / 2_000)
                .unwrap();
            mixed.extend(mix_blocks(&mut mixer, 2));
        }
        let steady = &mixed[9_600..];
        assert!(biggest_step(steady) < 0.03, "{}", biggest_step(steady));
        assert!(steady.chunks_exact(4_800).all(|tenth| strength(tenth, 440.0) > 0.15));
    }
}
