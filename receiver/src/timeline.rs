//! Maps RTP time to the mix clock.
//!
//! Arrival times carry every track: RTP time plus the least delay of the last seconds is its time on the mix clock. Sender reports
//! only say by how much the tracks of one person are apart on that person's wall clock, so that audio and video keep lip-sync. A
//! wall clock that is missing, steps, or does not fit its packets therefore moves nothing. Source: RFC 3550 §6.4.1.

use rotunda_proto::ids::TrackSource;

/// Microseconds on the mix clock (0: the task's start) or on a sender's wall clock. Signed: a sender's may be anything.
pub type Micros = i64;

/// A sender report: at `ntp` the RTP clock showed `rtp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SenderReport {
    pub ntp: Micros,
    pub rtp: u32,
}

/// One frame's times as they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Another number than before: the RTP clock is another one (the track was published anew, or came by another line).
    pub generation: u64,
    pub rtp: u32,
    /// Mix clock.
    pub arrival: Micros,
    /// The last report before the frame; None too when it has no wall clock.
    pub report: Option<SenderReport>,
}

/// A change of the target below this is measuring noise.
const DEAD_BAND: Micros = 5_000;
/// A track nearer to its target than this slews, one farther steps: slewing would leave it out of sync for seconds.
const STEP: Micros = 40_000;
/// Slew: 1/200, 5 ms a second.
const SLEW_DIVISOR: i64 = 200;
/// The least delay of this long counts; older ones are forgotten, as clocks drift.
const WINDOW: Micros = 10_000_000;
/// Packets that are this far off their clock, all of them for [`PATIENCE`], say that the RTP clock has jumped.
const JUMP: Micros = 1_000_000;
const PATIENCE: Micros = 500_000;
/// After this long without a packet a smaller jump is enough: senders stop the RTP clock while they are muted.
const PAUSE: Micros = 1_000_000;
const JUMP_AFTER_PAUSE: Micros = 250_000;
/// Two reports in a row agree when the wall clock and the RTP clock went equally far between them. Only then they are believed.
const AGREES: Micros = 50_000;
/// After so many reports in a row that are not believed, the track is no longer compared with others.
const MISFITS: u8 = 3;
/// Tracks of one person that seem farther apart than this are not compared: one of their wall clocks has stepped.
const APART: Micros = 1_000_000;
/// Tracks without a packet for this long are not compared.
const SILENT: Micros = 10_000_000;

/// The tracks of one person.
#[derive(Debug, Default)]
pub struct PersonClock {
    tracks: Vec<(TrackSource, TrackClock)>,
}

impl PersonClock {
    /// When the frame was captured, on the mix clock; the play-out delay is still to be added. `rate`: RTP ticks a second.
    pub fn mix_time(&mut self, source: TrackSource, rate: u32, stamp: Stamp) -> Micros {
        let index = match self.tracks.iter().position(|(known, _)| *known == source) {
            Some(index) => index,
            None => {
                self.tracks.push((source, TrackClock::new(rate, stamp.generation)));
                self.tracks.len() - 1
            }
        };
        let (_, track) = &mut self.tracks[index];
        if track.generation != stamp.generation {
            *track = TrackClock::new(rate, stamp.generation);
        }
        let media = track.handle(stamp);
        self.compare(index, stamp.arrival);
        media + self.tracks[index].1.follow(stamp.arrival)
    }

    /// Finds out how far a track is behind the fastest one of the person.
    fn compare(&mut self, index: usize, now: Micros) {
        let track = &self.tracks[index].1;
        let (Some(own), Some(wall)) = (track.wall_delay(), track.wall) else {
            return;
        };
        let (mut is_alone, mut fastest) = (true, None);
        for (other, (_, track)) in self.tracks.iter().enumerate() {
            let (Some(delay), Some(others)) = (track.wall_delay(), track.wall) else {
                continue;
            };
            if other == index || now - track.last_arrival >= SILENT {
                continue;
            }
            is_alone = false;
            // When the wall clock of one has stepped, the other is not compared before its reports can have said so.
            let is_comparable = others.newest >= wall.oldest && wall.newest >= others.oldest;
            if is_comparable && (delay - own).abs() <= APART {
                fastest = Some(fastest.map_or(delay, |fastest: Micros| fastest.min(delay)));
            }
        }
        let track = &mut self.tracks[index].1;
        match fastest {
            Some(fastest) => track.behind = own - own.min(fastest),
            None if is_alone => track.behind = 0,
            None => {}
        }
    }
}

/// One track's time.
#[derive(Debug)]
struct TrackClock {
    generation: u64,
    /// RTP ticks a second.
    rate: u32,
    /// RTP time without wrap, ticks.
    unwrapped: Option<i64>,
    /// Arrival minus RTP time.
    delay: LeastOf,
    last_arrival: Micros,
    /// Since when every packet has been late by more than [`JUMP`].
    late_since: Option<Micros>,
    /// The last report, believed or not, and the wall clock at RTP time 0 by it.
    report: Option<SenderReport>,
    candidate: Option<Micros>,
    /// When the candidate first came up.
    candidate_since: Micros,
    misfits: u8,
    wall: Option<Wall>,
    /// How much longer this track's packets take than those of the person's fastest track.
    behind: Micros,
    /// Mix time of RTP time 0.
    shift: Option<Shift>,
}

/// The wall clock of a track, by the reports that are believed.
#[derive(Debug, Clone, Copy)]
struct Wall {
    /// Wall clock at RTP time 0.
    at_zero: Micros,
    /// When the last of them came, and the first after the wall clock has stepped.
    newest: Micros,
    oldest: Micros,
}

#[derive(Debug, Clone, Copy)]
struct Shift {
    value: Micros,
    moved_at: Micros,
}

impl TrackClock {
    fn new(rate: u32, generation: u64) -> Self {
        Self {
            generation,
            rate: rate.max(1),
            unwrapped: None,
            delay: LeastOf::default(),
            last_arrival: 0,
            late_since: None,
            report: None,
            candidate: None,
            candidate_since: 0,
            misfits: 0,
            wall: None,
            behind: 0,
            shift: None,
        }
    }

    /// Takes a frame's times in and answers its RTP time.
    fn handle(&mut self, stamp: Stamp) -> Micros {
        let ticks = self.unwrap(stamp.rtp);
        let media = self.micros(ticks);
        if self.has_jumped(stamp.arrival, stamp.arrival - media) {
            self.delay = LeastOf::default();
            self.late_since = None;
            (self.wall, self.candidate) = (None, None);
            // It belongs to the RTP clock before the jump.
            self.report = stamp.report;
        }
        self.delay.add(stamp.arrival, stamp.arrival - media);
        self.last_arrival = stamp.arrival;
        if let Some(report) = stamp.report.filter(|report| self.report != Some(*report)) {
            let since = i64::from(report.rtp.wrapping_sub(stamp.rtp) as i32);
            self.handle_report(stamp.arrival, report, ticks + since);
        }
        media
    }

    fn has_jumped(&mut self, arrival: Micros, delay: Micros) -> bool {
        let Some(least) = self.delay.least() else { return false };
        let away = delay - least;
        if away < -JUMP || (away > JUMP_AFTER_PAUSE && arrival - self.last_arrival > PAUSE) {
            return true;
        }
        if away <= JUMP {
            self.late_since = None;
            return false;
        }
        arrival - *self.late_since.get_or_insert(arrival) >= PATIENCE
    }

    /// `ticks`: the report's RTP time without wrap.
    fn handle_report(&mut self, now: Micros, report: SenderReport, ticks: i64) {
        self.report = Some(report);
        let candidate = report.ntp - self.micros(ticks);
        let before = self.candidate.replace(candidate);
        if before.is_some_and(|before| (candidate - before).abs() <= AGREES) {
            self.wall = Some(Wall {
                at_zero: candidate,
                newest: now,
                oldest: self.candidate_since,
            });
            self.misfits = 0;
            return;
        }
        if before.is_none() {
            // The first one: no step came before it.
            self.candidate_since = Micros::MIN;
            return;
        }
        self.candidate_since = now;
        self.misfits = self.misfits.saturating_add(1);
        if self.misfits >= MISFITS {
            self.wall = None;
            self.behind = 0;
        }
    }

    /// Arrival minus capture by the sender's wall clock, for the fastest packets.
    fn wall_delay(&self) -> Option<Micros> {
        Some(self.delay.least()? - self.wall?.at_zero)
    }

    /// Mix time of RTP time 0, moved towards its target.
    fn follow(&mut self, now: Micros) -> Micros {
        let target = self.delay.least().unwrap_or(0) - self.behind;
        let shift = self.shift.get_or_insert(Shift {
            value: target,
            moved_at: now,
        });
        let (away, most) = (target - shift.value, (now - shift.moved_at).max(0) / SLEW_DIVISOR);
        shift.moved_at = shift.moved_at.max(now);
        shift.value += match away.abs() {
            0..=DEAD_BAND => 0,
            ..STEP => away.clamp(-most, most),
            _ => away,
        };
        shift.value
    }

    fn unwrap(&mut self, rtp: u32) -> i64 {
        let next = match self.unwrapped {
            None => i64::from(rtp),
            Some(last) => last + i64::from(rtp.wrapping_sub(last as u32) as i32),
        };
        self.unwrapped = Some(next);
        next
    }

    fn micros(&self, ticks: i64) -> Micros {
        (i128::from(ticks) * 1_000_000 / i128::from(self.rate)) as Micros
    }
}

/// The least value of the last one to two [`WINDOW`]s.
#[derive(Debug, Clone, Copy, Default)]
struct LeastOf {
    before: Option<Micros>,
    current: Option<Micros>,
    since: Micros,
}

impl LeastOf {
    fn add(&mut self, now: Micros, value: Micros) {
        if self.current.is_some() && now - self.since > WINDOW {
            self.before = self.current.take();
        }
        if self.current.is_none() {
            self.since = now;
        }
        self.current = Some(self.current.map_or(value, |least| least.min(value)));
    }

    fn least(&self) -> Option<Micros> {
        match (self.before, self.current) {
            (Some(before), Some(current)) => Some(before.min(current)),
            (before, current) => current.or(before),
        }
    }
}

#[cfg(test)]
mod tests;
