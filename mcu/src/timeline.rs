//! From RTP time to the mix clock.
//!
//! A track's RTP time becomes capture time by its sender reports, and capture time becomes mix time by one offset a
//! person, shared by all of its tracks: so sound and picture of a person stay together. Before the first report (or
//! without any) the arrival times stand in. Nothing is derived from an own earlier estimate but the slew towards the
//! target.

/// Microseconds on the mix clock (0: the task's start) or on a sender's wall clock. Signed: a sender's may be anything.
pub type Micros = i64;

/// What a sender report says: at `ntp` the RTP clock showed `rtp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    pub ntp: Micros,
    pub rtp: u32,
}

/// One frame's times as they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub rtp: u32,
    /// Mix clock.
    pub arrival: Micros,
    /// The last report before the frame.
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

/// The least of what was measured in the last one to two [`WINDOW`]s.
#[derive(Debug, Clone, Copy, Default)]
struct LeastOf {
    before: Option<Micros>,
    current: Option<Micros>,
    since: Micros,
}

impl LeastOf {
    fn add(&mut self, now: Micros, value: Micros) -> Micros {
        if self.current.is_some() && now - self.since > WINDOW {
            self.before = self.current.take();
        }
        if self.current.is_none() {
            self.since = now;
        }
        let current = self.current.map_or(value, |least| least.min(value));
        self.current = Some(current);
        self.before.map_or(current, |least| least.min(current))
    }
}

/// A person's wall clock against the mix clock: least of (arrival - capture), so it includes the least way there.
#[derive(Debug, Default)]
pub struct PersonClock {
    least: LeastOf,
}

/// One track's time.
#[derive(Debug)]
pub struct TrackClock {
    /// RTP ticks a second.
    rate: u32,
    /// RTP time without wrap, ticks.
    unwrapped: Option<i64>,
    /// Mix time of RTP tick 0.
    shift: Option<Shift>,
    arrivals: LeastOf,
}

#[derive(Debug, Clone, Copy)]
struct Shift {
    value: Micros,
    moved_at: Micros,
}

impl TrackClock {
    pub fn new(rate: u32) -> Self {
        Self {
            rate: rate.max(1),
            unwrapped: None,
            shift: None,
            arrivals: LeastOf::default(),
        }
    }

    /// When the frame was captured, on the mix clock; the play-out delay is still to be added.
    pub fn mix_time(&mut self, person: &mut PersonClock, stamp: Stamp) -> Micros {
        let ticks = self.unwrap(stamp.rtp);
        let media = self.micros(ticks);
        let by_arrival = self.arrivals.add(stamp.arrival, stamp.arrival - media);
        let target = stamp.report.map_or(by_arrival, |report| {
            let since_report = i64::from(stamp.rtp.wrapping_sub(report.rtp) as i32);
            let captured = report.ntp + self.micros(since_report);
            let offset = person.least.add(stamp.arrival, stamp.arrival - captured);
            captured + offset - media
        });
        media + self.follow(target, stamp.arrival)
    }

    fn follow(&mut self, target: Micros, now: Micros) -> Micros {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn stamp(rtp: u32, arrival: Micros, report: Option<SenderReport>) -> Stamp {
        Stamp { rtp, arrival, report }
    }

    #[test]
    fn sound_and_picture_captured_together_get_one_mix_time() {
        let mut person = PersonClock::default();
        let (mut sound, mut picture) = (TrackClock::new(48_000), TrackClock::new(90_000));
        let ntp = 1_700_000_000 * SECOND;
        let (sound_report, picture_report) = (SenderReport { ntp, rtp: 5 }, SenderReport { ntp, rtp: 777 });
        for n in 0..100_u32 {
            let at = Micros::from(n) * 20_000;
            let s = sound.mix_time(&mut person, stamp(5 + n * 960, at + 30_000, Some(sound_report)));
            let p = picture.mix_time(&mut person, stamp(777 + n * 1800, at + 110_000, Some(picture_report)));
            assert!((s - p).abs() <= DEAD_BAND, "{n}: {s} {p}");
        }
    }

    #[test]
    fn the_mix_time_goes_on_over_the_wrap_of_rtp_time_on_either_side_of_a_report() {
        for report in [None, Some(u32::MAX - 4_000), Some(2_000)] {
            let mut person = PersonClock::default();
            let mut track = TrackClock::new(48_000);
            let report = report.map(|rtp| SenderReport { ntp: 7, rtp });
            let first = u32::MAX - 10_000;
            let times: Vec<Micros> = (0..30_u32)
                .map(|n| {
                    let arrival = Micros::from(n) * 20_000;
                    track.mix_time(&mut person, stamp(first.wrapping_add(n * 960), arrival, report))
                })
                .collect();
            assert!(
                times.windows(2).all(|pair| (pair[1] - pair[0] - 20_000).abs() <= 1),
                "{times:?}"
            );
        }
    }

    #[test]
    fn without_a_report_the_earliest_arrival_counts() {
        let mut person = PersonClock::default();
        let mut track = TrackClock::new(90_000);
        assert_eq!(track.mix_time(&mut person, stamp(0, 100_000, None)), 100_000);
        assert_eq!(track.mix_time(&mut person, stamp(9_000, 230_000, None)), 200_000);
    }

    #[test]
    fn a_report_that_comes_late_pulls_the_track_to_the_persons_clock() {
        let mut person = PersonClock::default();
        let (mut sound, mut picture) = (TrackClock::new(48_000), TrackClock::new(90_000));
        let report = SenderReport { ntp: 0, rtp: 0 };
        sound.mix_time(&mut person, stamp(0, 10_000, Some(report)));
        assert_eq!(picture.mix_time(&mut person, stamp(0, 130_000, None)), 130_000);
        assert_eq!(
            picture.mix_time(&mut person, stamp(3_000, 163_000, Some(report))),
            43_333
        );
    }

    #[test]
    fn a_small_change_is_followed_slowly() {
        let mut person = PersonClock::default();
        let mut track = TrackClock::new(1_000);
        let at = |n: u32, ntp: Micros| stamp(n * 1000, Micros::from(n) * SECOND, Some(SenderReport { ntp, rtp: 0 }));
        track.mix_time(&mut person, at(0, 0));
        let moved = track.mix_time(&mut person, at(1, 20_000)) - SECOND;
        assert!(moved.abs() <= 5_000, "{moved}");
    }
}
