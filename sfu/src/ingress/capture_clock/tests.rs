use super::*;
use str0m::media::{Frequency, MediaTime};

const HOUR: f64 = 3600.0;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn report(ssrc: u32, ntp: Option<f64>, rtp: u32, clock_rate: u32) -> SenderInfo {
    let rate = match clock_rate {
        48_000 => Frequency::FORTY_EIGHT_KHZ,
        _ => Frequency::NINETY_KHZ,
    };
    SenderInfo {
        ssrc: ssrc.into(),
        ntp_time: SystemTime::UNIX_EPOCH + Duration::from_secs_f64(ntp.unwrap_or(0.0)),
        rtp_time: MediaTime::new(rtp.into(), rate),
        sender_packet_count: 0,
        sender_octet_count: 0,
    }
}

/// One track of a publisher whose packets take `delay` to the server.
struct Source {
    ssrc: u32,
    clock_rate: u32,
    /// RTP time of the session's begin.
    first: u32,
    interval: Duration,
    delay: Duration,
}

const AUDIO: Source = Source {
    ssrc: 1,
    clock_rate: 48_000,
    first: 48_000,
    interval: Duration::from_millis(20),
    delay: Duration::from_millis(10),
};
const VIDEO: Source = Source {
    ssrc: 2,
    clock_rate: 90_000,
    first: u32::MAX - 90_000,
    interval: Duration::from_millis(40),
    delay: Duration::from_millis(60),
};

impl Source {
    fn rtp(&self, at: f64) -> u32 {
        self.first.wrapping_add((at * f64::from(self.clock_rate)) as u64 as u32)
    }
}

/// A report's NTP time, seconds, or none, and what is added to its RTP time, seconds.
struct Said(Option<f64>, f64);

/// The report of a correct publisher after `age` seconds of the session.
fn truth(age: f64) -> Said {
    Said(Some(1e9 + age), 0.0)
}

/// How far capture times of a track were from the truth: the capture and the publisher's least delay.
#[derive(Debug, Clone, Copy, Default)]
struct Error {
    most: f64,
    last: f64,
}

/// Runs both tracks for a minute, with a report of each every 2 s. Answers the errors of audio and of video from second `from` on.
fn run(from: f64, said: impl Fn(u32, f64) -> Said) -> [Error; 2] {
    let start = rotunda_proto::clock::Clock.now();
    let mut clock = CaptureClock::default();
    let mut errors = [Error::default(); 2];
    for step in 0..6000u32 {
        let at = ms(u64::from(step) * 10);
        let age = at.as_secs_f64();
        for (source, error) in [AUDIO, VIDEO].iter().zip(&mut errors) {
            if step > 0 && (step + source.ssrc * 50) % 200 == 0 {
                let Said(ntp, ahead) = said(source.ssrc, age);
                let info = report(source.ssrc, ntp, source.rtp(age + ahead), source.clock_rate);
                clock.handle_report(start + at + AUDIO.delay, &info);
            }
            if at.as_millis().is_multiple_of(source.interval.as_millis()) {
                let arrival = start + at + source.delay;
                let captured = clock.capture_time(source.ssrc.into(), source.rtp(age), source.clock_rate, arrival);
                assert!(captured <= arrival);
                error.last = seconds(start + at + AUDIO.delay, captured);
                if age >= from {
                    error.most = error.most.max(error.last.abs());
                }
            }
        }
    }
    errors
}

#[test]
fn audio_and_video_of_one_moment_get_one_capture_time() {
    let start = rotunda_proto::clock::Clock.now();
    let mut clock = CaptureClock::default();
    // The publisher's clock is far from ours and both tracks count from somewhere else.
    clock.handle_report(start, &report(1, Some(1e6), 48_000, 48_000));
    clock.handle_report(start, &report(2, Some(1e6), u32::MAX, 90_000));
    // One second later: audio took 10 ms to get here, video 60 ms.
    let audio = clock.capture_time(1.into(), 96_000, 48_000, start + ms(1010));
    let video = clock.capture_time(2.into(), 89_999, 90_000, start + ms(1060));
    let apart = video.max(audio) - video.min(audio);
    assert!(apart < ms(1), "{apart:?}");
    assert!(video <= start + ms(1060));
}

#[test]
fn without_a_report_the_arrival_is_all_there_is() {
    let now = rotunda_proto::clock::Clock.now();
    assert_eq!(CaptureClock::default().capture_time(1.into(), 7, 90_000, now), now);
}

#[test]
fn true_reports_keep_both_tracks_in_sync() {
    let [audio, video] = run(4.0, |_, age| truth(age));
    assert!(audio.most < 0.002 && video.most < 0.002, "{audio:?} {video:?}");
}

#[test]
fn a_publisher_without_a_wall_clock_is_dated_by_arrivals() {
    let [audio, video] = run(0.0, |_, _| Said(None, 0.0));
    assert!(audio.most < 0.002, "{audio:?}");
    assert!(video.most < 0.052, "only as late as it came: {video:?}");
}

#[test]
fn a_wall_clock_that_is_lost_half_way_moves_nothing() {
    let [audio, video] = run(4.0, |_, age| if age < 30.0 { truth(age) } else { Said(None, 0.0) });
    assert!(audio.most < 0.002 && video.most < 0.002, "{audio:?} {video:?}");
}

#[test]
fn a_step_of_the_wall_clock_in_any_direction_on_any_track_moves_nothing() {
    for step in [HOUR, -HOUR, 5.0, -5.0] {
        // Of both, and of one alone, as of a bridge that stamps tracks by two clocks.
        for stepping in [vec![1, 2], vec![1], vec![2]] {
            let said = |ssrc, age| {
                let steps = stepping.contains(&ssrc) && age > 30.0;
                Said(Some(1e9 + age + if steps { step } else { 0.0 }), 0.0)
            };
            let [audio, video] = run(4.0, said);
            assert!(
                audio.most < 0.002 && video.most < 0.002,
                "{step} s of {stepping:?}: {audio:?} {video:?}"
            );
        }
    }
}

#[test]
fn a_small_step_is_followed_within_one_report_interval() {
    // Less than what tells a step from a delay: lip-sync is off until the other track's report has stepped as well.
    let [audio, video] = run(34.0, |_, age| {
        Said(Some(1e9 + age + if age > 30.0 { 1.5 } else { 0.0 }), 0.0)
    });
    assert!(audio.most < 0.002 && video.most < 0.002, "{audio:?} {video:?}");
}

#[test]
fn reports_whose_rtp_time_runs_ahead_by_the_session_s_age_are_not_believed() {
    // GStreamer 1.22.
    let [audio, video] = run(6.0, |_, age| Said(Some(1e9 + age), age));
    assert!(audio.most < 0.002, "{audio:?}");
    assert!(video.most < 0.052, "only as late as it came: {video:?}");
}

#[test]
fn a_track_whose_reports_do_not_fit_leaves_the_other_one_alone() {
    let [audio, video] = run(0.0, |ssrc, age| {
        Said(Some(1e9 + age), if ssrc == 2 { 100.0 } else { 0.0 })
    });
    assert!(audio.most < 0.002, "{audio:?}");
    assert!(video.most < 0.052, "{video:?}");
}

#[test]
fn a_jump_of_the_rtp_clock_is_followed_at_once() {
    let start = rotunda_proto::clock::Clock.now();
    for jump in [900_000_u32, 0_u32.wrapping_sub(900_000)] {
        let mut clock = CaptureClock::default();
        for frame in 0..200_u32 {
            let arrival = start + ms(u64::from(frame) * 40);
            let rtp = (frame * 3600).wrapping_add(if frame < 100 { 0 } else { jump });
            let captured = clock.capture_time(2.into(), rtp, 90_000, arrival);
            assert!(arrival - captured < ms(5), "frame {frame}: {:?}", arrival - captured);
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_reports_leave_a_capture_time_near_the_arrival(
        reports in proptest::collection::vec((1u32..3, 0u64..u64::from(u32::MAX), 0u32..u32::MAX), 0..40),
    ) {
        let start = rotunda_proto::clock::Clock.now() + Duration::from_secs(1000);
        let mut clock = CaptureClock::default();
        for (index, (ssrc, ntp, rtp)) in (0u32..).zip(reports) {
            let arrival = start + ms(u64::from(index) * 20);
            clock.handle_report(arrival, &report(ssrc, Some(ntp as f64), rtp, 90_000));
            for ssrc in 1..3u32 {
                let captured = clock.capture_time(ssrc.into(), index * 1800, 90_000, arrival);
                let old = arrival.saturating_duration_since(captured).as_secs_f64();
                proptest::prop_assert!(captured <= arrival && old <= JUMP + APART, "{old} s");
            }
        }
    }
}
