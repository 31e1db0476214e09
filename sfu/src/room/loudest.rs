//! Chooses the microphones of a room that are heard if more may speak than there are audio slots: the loudest, without clipping a first
//! syllable and without flapping. Sans-IO: audio levels of packets come in, and the speakers who are heard come out.
//!
//! A free place goes to the next member who sends. When all places are taken, one changes hands in two ways alone. A member who
//! begins to talk gets the place of the member who has been silent longest, at once. Where nobody is silent, a member who is clearly
//! louder for a while gets the place of the quietest. Voices of equal loudness change nothing, and neither does silence.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_proto::ids::UserId;
use rotunda_proto::sfu::MEMBER_AUDIO_SLOTS;

/// A quieter packet is silence, dBov; the same as for the active speakers that members are told of.
const SILENCE: i8 = -50;
/// Loud packets, mostly of 20 ms, that count as talk: a click is shorter.
const ONSET: u8 = 2;
/// After so many quiet packets in a row the next loud ones are a new onset.
const MOST_RUN: u8 = 10;
/// A member who has not talked for so long is silent: it is longer than a pause between the words of a sentence.
const PAUSE: Duration = Duration::from_millis(700);
/// How much louder a member must be than the quietest one who talks, dB, and for how long.
const CLEARLY: f32 = 6.0;
const FOR_A_WHILE: Duration = Duration::from_millis(400);
/// A member who talks keeps the place for so long, however loud others are.
const DWELL: Duration = Duration::from_millis(1500);
/// Weight of the newest loud packet in the smoothed loudness: about 200 ms of 20 ms packets.
const SMOOTHING: f32 = 0.1;
/// Audio from before a place was given that is sent at most. More of it would make the listener's delay longer for a moment.
const PRE_ROLL: Duration = Duration::from_millis(300);
/// A first syllable begins before it is loud.
const LEAD: Duration = Duration::from_millis(60);
/// A member who has sent nothing for so long is forgotten, unless the member has a place.
const FORGET: Duration = Duration::from_secs(2);

/// The level of publishers who send none (RFC 6464 is not negotiated). They count as talking while they send more than comfort noise,
/// and as quieter than a normal voice, so that members who certainly talk come first.
pub const UNKNOWN_LEVEL: i8 = -40;
/// Opus frames of discontinuous transmission (RFC 6716 §3.1) are so short.
pub const COMFORT_NOISE: usize = 3;

#[derive(Debug, Default)]
pub struct Loudest {
    voices: HashMap<UserId, Voice>,
}

/// A member who is heard from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    pub user: UserId,
    /// The member's packets that came since then are to be sent, too.
    pub since: Instant,
    /// The member who had the place; None: it was free.
    pub instead_of: Option<UserId>,
}

#[derive(Debug)]
struct Voice {
    /// While talking, smoothed, dBov.
    loudness: f32,
    /// Loud packets less quiet ones, at least 0.
    run: u8,
    /// The first of the run.
    began_at: Instant,
    talked_at: Option<Instant>,
    sent_at: Instant,
    /// Clearly louder than the quietest member who is heard.
    louder_since: Option<Instant>,
    /// None: not heard.
    heard_since: Option<Instant>,
}

impl Loudest {
    /// A packet of a microphone came. `dbov`: 0 (loudest) to -127. Answers the member who is heard from now on, if that changes.
    pub fn handle_level(&mut self, now: Instant, user: &UserId, dbov: i8) -> Option<Entered> {
        match self.voices.get_mut(user) {
            Some(voice) => voice.handle_level(now, dbov),
            None => {
                self.voices.retain(|_, voice| {
                    voice.heard_since.is_some() || now.saturating_duration_since(voice.sent_at) < FORGET
                });
                self.voices.insert(user.clone(), Voice::new(now, dbov));
            }
        }
        let voice = self.voices.get(user)?;
        if voice.heard_since.is_some() {
            return None;
        }
        if self.heard().count() < MEMBER_AUDIO_SLOTS {
            return self.begin_hearing(now, user, None);
        }
        // Now, and not a moment ago: a member who pauses need not begin now.
        let (talks, loudness) = (voice.talked_at == Some(now), voice.loudness);
        let (weakest, other) = self.weakest(now)?;
        if talks && !other.talks(now) {
            let weakest = weakest.clone();
            self.end_hearing(&weakest);
            return self.begin_hearing(now, user, Some(weakest));
        }
        let settled = other
            .heard_since
            .is_some_and(|at| now.saturating_duration_since(at) >= DWELL);
        let (louder, weakest) = (talks && loudness >= other.loudness + CLEARLY, weakest.clone());
        let voice = self.voices.get_mut(user)?;
        voice.louder_since = voice.louder_since.or(Some(now)).filter(|_| louder);
        let since = voice.louder_since?;
        if !settled || now.saturating_duration_since(since) < FOR_A_WHILE {
            return None;
        }
        self.end_hearing(&weakest);
        self.begin_hearing(now, user, Some(weakest))
    }

    /// The member publishes no audio any more. Answers whether the member was heard.
    pub fn remove(&mut self, user: &UserId) -> bool {
        self.voices
            .remove(user)
            .is_some_and(|voice| voice.heard_since.is_some())
    }

    /// The members who are heard, in no order; at most as many as there are audio slots.
    pub fn heard(&self) -> impl Iterator<Item = &UserId> {
        let heard = self.voices.iter().filter(|(_, voice)| voice.heard_since.is_some());
        heard.map(|(user, _)| user)
    }

    /// The member who has to make room first: the one who has been silent longest, else the quietest.
    fn weakest(&self, now: Instant) -> Option<(&UserId, &Voice)> {
        let heard = self.voices.iter().filter(|(_, voice)| voice.heard_since.is_some());
        heard.min_by(|(a_user, a), (b_user, b)| {
            let by_worth = match (a.talks(now), b.talks(now)) {
                (false, false) => a.talked_at.cmp(&b.talked_at),
                (true, true) => a.loudness.total_cmp(&b.loudness),
                (talks, other) => talks.cmp(&other),
            };
            // A map has no order of its own.
            by_worth.then_with(|| a_user.cmp(b_user))
        })
    }

    fn begin_hearing(&mut self, now: Instant, user: &UserId, instead_of: Option<UserId>) -> Option<Entered> {
        let voice = self.voices.get_mut(user)?;
        voice.heard_since = Some(now);
        voice.louder_since = None;
        let earliest = now.checked_sub(PRE_ROLL).unwrap_or(now);
        let onset = voice.began_at.checked_sub(LEAD).unwrap_or(voice.began_at);
        let since = if voice.run > 0 { onset.max(earliest) } else { now };
        let user = user.clone();
        Some(Entered {
            user,
            since,
            instead_of,
        })
    }

    fn end_hearing(&mut self, user: &UserId) {
        if let Some(voice) = self.voices.get_mut(user) {
            voice.heard_since = None;
        }
    }
}

impl Voice {
    fn new(now: Instant, dbov: i8) -> Self {
        let mut voice = Self {
            loudness: f32::from(dbov),
            run: 0,
            began_at: now,
            talked_at: None,
            sent_at: now,
            louder_since: None,
            heard_since: None,
        };
        voice.handle_level(now, dbov);
        voice
    }

    fn handle_level(&mut self, now: Instant, dbov: i8) {
        self.sent_at = now;
        if dbov <= SILENCE {
            self.run = self.run.saturating_sub(1);
            return;
        }
        let level = f32::from(dbov);
        if self.run == 0 {
            self.began_at = now;
            self.loudness = level;
        }
        self.loudness += (level - self.loudness) * SMOOTHING;
        self.run = (self.run + 1).min(MOST_RUN);
        if self.run >= ONSET {
            self.talked_at = Some(now);
        }
    }

    /// Now, or within the pauses of talk.
    fn talks(&self, now: Instant) -> bool {
        self.talked_at
            .is_some_and(|at| now.saturating_duration_since(at) < PAUSE)
    }
}

#[cfg(test)]
mod tests;
