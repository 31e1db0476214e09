//! Mixes all audio inputs in blocks of 10 ms, also when nobody speaks, and limits the sum.

use std::collections::HashMap;

use rotunda_media::codec::CodecError;
use rotunda_proto::ids::RoomUser;

use crate::audio_input::{AudioInput, CHANNELS, RATE, Timing};
use crate::limiter::{LOOK_AHEAD, Limiter};

/// Samples a channel in a block: 10 ms.
pub const BLOCK: usize = RATE as usize / 100;

/// An input whose packets come too late is logged this often, samples: 10 s.
const LOG_EVERY: i64 = 10 * RATE;

/// Mean square of speech: -40 dBFS.
const SPEECH: f32 = 1e-4;
/// Pauses between words, samples: half a second.
const SPEECH_HOLD: i64 = RATE / 2;

/// See the [module](self).
#[derive(Default)]
pub struct Mixer {
    inputs: HashMap<RoomUser, Entry>,
    /// Inputs of members who have left, until they have faded out.
    leaving: Vec<AudioInput>,
    limiter: Limiter,
    /// First sample of the next block on the mix clock.
    next: i64,
    /// First sample that the inputs have not been asked for yet: the limiter's look-ahead after `next`.
    taken: i64,
    /// Packets that came too late or too early to be heard, since the start.
    dropped: u64,
}

struct Entry {
    input: AudioInput,
    /// Packets dropped since it was last logged, and when that was.
    unlogged: u64,
    logged_at: Option<i64>,
    /// Sum and number of the mean squares of blocks since the levels were taken.
    energy: (f32, u16),
    /// When the member was last loud enough to be taken for speaking.
    spoke_at: Option<i64>,
}

impl Mixer {
    /// `first`: the first sample of the first block on the mix clock.
    pub fn starting_at(first: i64) -> Self {
        Self {
            next: first,
            taken: first,
            ..Self::default()
        }
    }

    /// Members not among `members` are heard no more.
    pub fn handle_heard(&mut self, members: &[RoomUser]) {
        let gone: Vec<RoomUser> = self
            .inputs
            .keys()
            .filter(|member| !members.contains(member))
            .cloned()
            .collect();
        for member in gone {
            if let Some(mut entry) = self.inputs.remove(&member) {
                entry.input.handle_mute();
                self.leaving.push(entry.input);
            }
        }
    }

    /// A packet of a member's audio that is to be heard at sample `at`.
    ///
    /// Errors: [`CodecError::SetUp`] of its decoder.
    pub fn handle_packet(&mut self, member: &RoomUser, packet: &[u8], at: i64) -> Result<(), CodecError> {
        let taken = self.taken;
        if !self.inputs.contains_key(member) {
            let entry = Entry {
                input: AudioInput::new()?,
                unlogged: 0,
                logged_at: None,
                energy: (0.0, 0),
                spoke_at: None,
            };
            self.inputs.insert(member.clone(), entry);
        }
        let Some(entry) = self.inputs.get_mut(member) else {
            return Ok(());
        };
        let timing = entry.input.handle_packet(packet, at, taken);
        if timing != Timing::InTime {
            self.dropped += 1;
            entry.unlogged += 1;
            if entry.logged_at.is_none_or(|logged| taken - logged >= LOG_EVERY) {
                tracing::warn!(%member, packets = entry.unlogged, ?timing, "audio is dropped, as it is not there at its time");
                entry.unlogged = 0;
                entry.logged_at = Some(taken);
            }
        }
        Ok(())
    }

    /// First sample of the next block.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether a member is heard to speak, or was half a second ago.
    pub fn speaks(&self, member: &RoomUser) -> bool {
        let spoke_at = self.inputs.get(member).and_then(|entry| entry.spoke_at);
        spoke_at.is_some_and(|at| self.taken - at < SPEECH_HOLD)
    }

    /// The mean square of each member's audio since the last call.
    pub fn take_levels(&mut self) -> impl Iterator<Item = (&RoomUser, f32)> {
        self.inputs.iter_mut().map(|(user, entry)| {
            let (sum, blocks) = std::mem::take(&mut entry.energy);
            (user, sum / f32::from(blocks.max(1)))
        })
    }

    /// Packets that came too late or too early to be heard, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Mixes the next block: [`BLOCK`] samples a channel, interleaved. `decodes` is told the member whose packet is decoded next, and
    /// `None` when no more is decoded.
    pub fn mix(&mut self, out: &mut Vec<f32>, mut decodes: impl FnMut(Option<&RoomUser>)) {
        self.next += BLOCK as i64;
        while self.taken < self.next + LOOK_AHEAD as i64 {
            out.clear();
            out.resize(BLOCK * CHANNELS, 0.0);
            let until = self.taken + BLOCK as i64;
            for (member, entry) in &mut self.inputs {
                let is_due = entry.input.is_due(until);
                if is_due {
                    decodes(Some(member));
                }
                if let Err(error) = entry.input.decode(self.taken, until) {
                    tracing::debug!(%member, %error, "a packet of audio is lost");
                }
                if is_due {
                    decodes(None);
                }
                let energy = entry.input.mix_into(self.taken, out);
                entry.energy = (entry.energy.0 + energy, entry.energy.1.saturating_add(1));
                if energy > SPEECH {
                    entry.spoke_at = Some(self.taken);
                }
            }
            for input in &mut self.leaving {
                input.mix_into(self.taken, out);
            }
            self.limiter.process(out);
            self.taken += BLOCK as i64;
        }
        self.leaving.clear();
    }
}

/// Whole blocks, so that the limiter's last output is the wanted block.
const _: () = assert!(LOOK_AHEAD.is_multiple_of(BLOCK));

#[cfg(test)]
mod tests {
    use rotunda_media::codec::OpusEncoder;

    use super::*;
    use crate::test_ids::member;

    struct Tone {
        encoder: OpusEncoder,
        hertz: f32,
        level: f32,
        at: usize,
    }

    impl Tone {
        fn new(hertz: f32) -> Self {
            Self::with_level(hertz, 0.3)
        }

        fn with_level(hertz: f32, level: f32) -> Self {
            Self {
                encoder: OpusEncoder::new(1, 96).unwrap(),
                hertz,
                level,
                at: 0,
            }
        }

        fn packet(&mut self) -> bytes::Bytes {
            let wave = |n: usize| (n as f32 * self.hertz * std::f32::consts::TAU / 48_000.0).sin() * self.level;
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
            mixer.mix(&mut block, |_| {});
            all.extend_from_slice(&block);
        }
        left(&all)
    }

    #[test]
    fn two_tones_are_both_in_the_mix() {
        let (mut low, mut high) = (Tone::new(440.0), Tone::new(1000.0));
        let (a, b) = (member("a"), member("b"));
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
    fn background_noise_goes_on_after_a_packet_that_says_that_nobody_speaks() {
        let user = member("a");
        let mut encoder = OpusEncoder::new(1, 64).unwrap();
        let (mut mixer, mut seed, mut configuration) = (Mixer::default(), 1_u32, 0);
        let mut mixed = Vec::new();
        for n in 0..50_i64 {
            let mut noise = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 16) as f32 / 32_768.0 - 1.0) * 0.01
            };
            let pcm: Vec<f32> = (0..960).map(|_| noise()).collect();
            let packet = encoder.encode(&pcm).unwrap();
            configuration = packet[0];
            mixer.handle_packet(&user, &packet, 16_800 + n * 960).unwrap();
            mixed.extend(mix_blocks(&mut mixer, 2));
        }
        // RFC 6716 §3.1: the same configuration, and one frame without bytes. The next such packet comes 400 ms later.
        let last = 16_800 + 50 * 960;
        mixer.handle_packet(&user, &[configuration & 0xfc], last).unwrap();
        mixed.extend(mix_blocks(&mut mixer, 80));
        let later = last as usize + 9_600;
        assert!(mixed[later..later + 4_800].iter().any(|sample| *sample != 0.0));
    }

    #[test]
    fn a_lost_packet_is_recovered_from_the_next_one() {
        // A tone that changes its frequency with every packet: concealment would go on with the old one.
        let mixed = |is_lost: fn(i64) -> bool, loss: u8| {
            let user = member("a");
            let mut encoder = OpusEncoder::new(1, 32).unwrap();
            encoder.set_expected_loss(loss).unwrap();
            let (mut mixer, mut phase) = (Mixer::default(), 0.0_f32);
            for n in 0..100_i64 {
                let hertz = 300.0 + 40.0 * (n % 10) as f32;
                let mut wave = || {
                    phase += hertz * std::f32::consts::TAU / 48_000.0;
                    phase.sin() * 0.3
                };
                let pcm: Vec<f32> = (0..960).map(|_| wave()).collect();
                let packet = encoder.encode(&pcm).unwrap();
                if !is_lost(n) {
                    mixer.handle_packet(&user, &packet, 4_800 + n * 960).unwrap();
                }
            }
            mix_blocks(&mut mixer, 190)
        };
        let error = |loss: u8| {
            let (whole, lossy) = (mixed(|_| false, loss), mixed(|n| n % 7 == 5 && n > 20, loss));
            let pairs = whole[24_000..].iter().zip(&lossy[24_000..]);
            let sum: f32 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
            sum / (whole.len() - 24_000) as f32
        };
        let (concealed, recovered) = (error(0), error(30));
        assert!(recovered * 3.0 < concealed, "{recovered} {concealed}");
    }

    #[test]
    fn a_lone_voice_near_full_scale_is_not_bent() {
        let mut tone = Tone::with_level(440.0, 0.95);
        let user = member("a");
        let mut mixer = Mixer::default();
        for n in 0..50 {
            mixer.handle_packet(&user, &tone.packet(), n * 960).unwrap();
        }
        let mixed = mix_blocks(&mut mixer, 100);
        let steady = &mixed[9_600..43_200];
        let fundamental = strength(steady, 440.0);
        let harmonics: f32 = (2..10).map(|n| strength(steady, 440.0 * n as f32).powi(2)).sum();
        let distortion = harmonics.sqrt() / fundamental;
        assert!(fundamental > 0.85, "{fundamental}");
        assert!(distortion < 0.003, "{distortion}");
    }

    #[test]
    fn audio_that_comes_too_late_is_counted_and_heard_again_soon() {
        let mut tone = Tone::new(440.0);
        let user = member("a");
        let mut mixer = Mixer::default();
        let mut mixed = Vec::new();
        for n in 0..200_i64 {
            let late = if n < 50 { 0 } else { 24_000 };
            mixer
                .handle_packet(&user, &tone.packet(), 4_800 + n * 960 - late)
                .unwrap();
            mixed.extend(mix_blocks(&mut mixer, 2));
        }
        assert!((20..40).contains(&mixer.dropped()), "{}", mixer.dropped());
        assert!(strength(&mixed[96_000..], 440.0) > 0.2);
    }

    #[test]
    fn a_member_speaks_while_loud_and_half_a_second_longer() {
        let mut tone = Tone::new(440.0);
        let (user, other) = (member("a"), member("b"));
        let mut mixer = Mixer::default();
        for n in 0..25 {
            mixer.handle_packet(&user, &tone.packet(), 4_800 + n * 960).unwrap();
        }
        mix_blocks(&mut mixer, 5);
        assert!(!mixer.speaks(&user));
        mix_blocks(&mut mixer, 35);
        assert!(mixer.speaks(&user) && !mixer.speaks(&other));
        mix_blocks(&mut mixer, 60);
        assert!(mixer.speaks(&user));
        mix_blocks(&mut mixer, 30);
        assert!(!mixer.speaks(&user));
    }

    #[test]
    fn silence_comes_at_the_same_rate_as_audio() {
        let mixed = mix_blocks(&mut Mixer::default(), 100);
        assert_eq!(mixed.len(), 48_000);
        assert!(mixed.iter().all(|sample| *sample == 0.0));
    }

    #[test]
    fn joining_leaving_and_a_gap_do_not_click() {
        let mut tone = Tone::new(440.0);
        let user = member("a");
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
        let user = member("a");
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
