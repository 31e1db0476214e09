use rotunda_proto::clock::Clock;

use super::*;

struct Thread {
    now: Instant,
    load: Load,
    reading: Arc<Reading>,
}

impl Thread {
    fn new(limit: f64) -> Self {
        let (now, reading) = (Clock.now(), Arc::new(Reading::default()));
        let load = Load::new(now, limit, Arc::clone(&reading), Gauge::noop());
        Self { now, load, reading }
    }

    /// Turns of 10 ms, of which it works for a share.
    fn works(&mut self, share: f64, milliseconds: u64) -> &mut Self {
        for _ in 0..milliseconds / 10 {
            let ended = self.now + Duration::from_millis(10).mul_f64(share);
            self.load.handle_turn(self.now, ended);
            self.now += Duration::from_millis(10);
        }
        self
    }

    fn is_full(&self) -> bool {
        self.reading.is_full()
    }
}

#[test]
fn the_share_of_time_that_the_thread_works_is_told() {
    let mut thread = Thread::new(0.85);
    thread.works(0.4, 10_000);
    assert_eq!(thread.reading.percent(), 40);
    thread.works(1.0, 10_000);
    assert!(thread.reading.percent() >= 99);
}

#[test]
fn past_the_limit_for_three_seconds_no_more_sessions_are_taken() {
    let mut thread = Thread::new(0.85);
    thread.works(0.84, 60_000);
    assert!(!thread.is_full());
    thread.works(0.95, 2_500);
    assert!(!thread.is_full(), "not yet");
    thread.works(0.95, 3_500);
    assert!(thread.is_full());
}

#[test]
fn a_burst_of_two_seconds_makes_nobody_full() {
    let mut thread = Thread::new(0.85);
    for _ in 0..20 {
        thread.works(0.3, 3_000).works(1.0, 2_000);
        assert!(!thread.is_full());
    }
}

#[test]
fn sessions_are_taken_again_when_it_is_clearly_less_for_three_seconds() {
    let mut thread = Thread::new(0.85);
    thread.works(0.95, 10_000);
    thread.works(0.80, 60_000);
    assert!(thread.is_full(), "within the margin");
    thread.works(0.5, 2_000);
    assert!(thread.is_full(), "not yet");
    thread.works(0.5, 4_000);
    assert!(!thread.is_full());
}

#[test]
fn without_a_limit_it_is_never_full() {
    let mut thread = Thread::new(1.0);
    assert!(!thread.works(1.0, 120_000).is_full());
}

#[test]
fn around_the_limit_it_does_not_flap() {
    let mut thread = Thread::new(0.85);
    let (mut changes, mut before) = (0, false);
    for second in 0..300 {
        thread.works(if second % 8 < 4 { 0.9 } else { 0.78 }, 1_000);
        changes += usize::from(thread.is_full() != before);
        before = thread.is_full();
    }
    assert!(changes <= 1, "{changes} changes");
}

#[test]
fn a_thread_that_is_woken_after_everybody_has_left_takes_sessions_again() {
    let mut thread = Thread::new(0.85);
    thread.works(1.0, 10_000);
    for _ in 0..8 {
        thread.now += Duration::from_secs(1);
        thread.load.handle_turn(thread.now, thread.now);
    }
    assert!(!thread.is_full());
    assert_eq!(thread.reading.percent(), 0);
}
