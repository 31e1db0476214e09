//! Speech of the room's members: cuts the audio of each slot into utterances, by loudness. Sans-IO.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_media::codec::{CodecError, OpusDecoder};

use crate::audio::{RATE, Resampler, level_dbov, to_i16};

/// Louder than this is speech.
const SPEECH_DBOV: i8 = -40;
/// Speech for so long begins an utterance, silence for so long ends it.
const BEGIN_AFTER: Duration = Duration::from_millis(80);
const END_AFTER: Duration = Duration::from_millis(800);
/// Audio before the beginning that belongs to it, samples: 200 ms.
const LEAD: usize = RATE as usize / 5;
/// Shorter utterances are noise, longer ones are cut: 300 ms, 30 s.
const SHORTEST: usize = RATE as usize * 3 / 10;
const LONGEST: usize = 30 * RATE as usize;
/// Slots that are listened to.
const MOST_SLOTS: usize = 16;

/// Somebody's words, 16 kHz mono.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utterance {
    pub slot: usize,
    pub pcm: Vec<i16>,
}

struct Ear {
    decoder: OpusDecoder,
    resampler: Resampler,
    pcm: Vec<f32>,
    /// Since when it is loud without a pause, before the utterance begins.
    loud_since: Option<Instant>,
    /// When the utterance was last loud.
    speaking: Option<Instant>,
}

/// See the [module](self).
#[derive(Default)]
pub struct Ears {
    slots: HashMap<usize, Ear>,
}

impl Ears {
    /// An Opus packet of a slot. Answers with an utterance that it ends.
    ///
    /// Errors: [`CodecError`] for a packet that is none.
    pub fn handle_packet(&mut self, now: Instant, slot: usize, packet: &[u8]) -> Result<Option<Utterance>, CodecError> {
        if slot >= MOST_SLOTS {
            return Ok(None);
        }
        let ear = match self.slots.entry(slot) {
            std::collections::hash_map::Entry::Occupied(ear) => ear.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Ear::new()?),
        };
        let mut mono = Vec::new();
        ear.decoder.decode(Some(packet), &mut mono)?;
        let is_full = ear.hear(now, &mono)?;
        Ok(match is_full {
            true => ear.end(slot),
            false => None,
        })
    }

    /// Utterances that have ended: their slot has been silent, or sends nothing any more.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Utterance> {
        let is_over = |ear: &Ear| {
            ear.speaking
                .is_some_and(|loud| now.saturating_duration_since(loud) >= END_AFTER)
        };
        let over = self.slots.iter_mut().filter(|(_, ear)| is_over(ear));
        over.filter_map(|(slot, ear)| ear.end(*slot)).collect()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.slots
            .values()
            .filter_map(|ear| ear.speaking)
            .min()
            .map(|loud| loud + END_AFTER)
    }
}

impl Ear {
    fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: OpusDecoder::new(1)?,
            resampler: Resampler::continuous(48_000, RATE)?,
            pcm: Vec::new(),
            loud_since: None,
            speaking: None,
        })
    }

    /// Answers whether the utterance is as long as it may be.
    fn hear(&mut self, now: Instant, mono: &[f32]) -> Result<bool, CodecError> {
        self.resampler.run(mono, &mut self.pcm)?;
        let is_loud = level_dbov(mono) > SPEECH_DBOV;
        if is_loud {
            let since = *self.loud_since.get_or_insert(now);
            if self.speaking.is_some() || now.saturating_duration_since(since) >= BEGIN_AFTER {
                self.speaking = Some(now);
            }
        } else {
            self.loud_since = None;
        }
        if self.speaking.is_none() && self.loud_since.is_none() && self.pcm.len() > LEAD {
            self.pcm.drain(..self.pcm.len() - LEAD);
        }
        Ok(self.pcm.len() >= LONGEST)
    }

    fn end(&mut self, slot: usize) -> Option<Utterance> {
        self.loud_since = None;
        let was_speech = self.speaking.take().is_some();
        let pcm = std::mem::take(&mut self.pcm);
        (was_speech && pcm.len() >= SHORTEST).then(|| Utterance {
            slot,
            pcm: to_i16(&pcm).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_media::codec::OpusEncoder;
    use rotunda_proto::clock::Clock;

    struct Talk {
        ears: Ears,
        encoder: OpusEncoder,
        now: Instant,
        heard: Vec<Utterance>,
    }

    impl Talk {
        fn new() -> Self {
            Self {
                ears: Ears::default(),
                encoder: OpusEncoder::new(1, 32).unwrap(),
                now: Clock.now(),
                heard: Vec::new(),
            }
        }

        fn pass(&mut self, milliseconds: u32, level: f32) {
            for _ in 0..milliseconds / 20 {
                let pcm: Vec<f32> = (0..960)
                    .map(|at| level * (std::f32::consts::TAU * 500.0 * at as f32 / 48_000.0).sin())
                    .collect();
                let packet = self.encoder.encode(&pcm).unwrap();
                self.heard
                    .extend(self.ears.handle_packet(self.now, 1, &packet).unwrap());
                self.heard.extend(self.ears.handle_timeout(self.now));
                self.now += Duration::from_millis(20);
            }
        }
    }

    #[test]
    fn a_sentence_ends_with_the_pause_after_it() {
        let mut talk = Talk::new();
        talk.pass(2000, 0.0);
        talk.pass(1500, 0.3);
        talk.pass(400, 0.0);
        talk.pass(500, 0.3);
        assert!(talk.heard.is_empty(), "a short pause is inside of it");
        talk.pass(1000, 0.0);
        assert_eq!(talk.heard.len(), 1);
        let seconds = talk.heard[0].pcm.len() as f32 / RATE as f32;
        assert!((2.4..3.6).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn one_who_stops_sending_has_ended_too() {
        let mut talk = Talk::new();
        talk.pass(1000, 0.3);
        let due = talk.ears.poll_timeout().unwrap();
        assert_eq!(talk.ears.handle_timeout(due).len(), 1);
        assert_eq!(talk.ears.poll_timeout(), None);
    }

    #[test]
    fn noise_is_nothing_and_a_long_talk_is_cut() {
        let mut talk = Talk::new();
        talk.pass(3000, 0.002);
        talk.pass(40, 0.3);
        talk.pass(1500, 0.0);
        assert!(talk.heard.is_empty());
        talk.pass(31_000, 0.3);
        assert_eq!(talk.heard.len(), 1);
        assert!(talk.heard[0].pcm.len() <= LONGEST + 400);
    }
}
