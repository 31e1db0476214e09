use super::*;

const SECOND: Micros = 1_000_000;
const HOUR: Micros = 3_600 * SECOND;
const AUDIO: (TrackSource, u32) = (TrackSource::Audio, 48_000);
const VIDEO: (TrackSource, u32) = (TrackSource::Camera, 90_000);

fn stamp(rtp: u32, arrival: Micros, report: Option<SenderReport>) -> Stamp {
    Stamp {
        generation: 0,
        rtp,
        arrival,
        report,
    }
}

/// A person whose audio takes 20 ms and whose video takes 60 ms to arrive, with a sender report a second for each.
struct Person {
    clock: PersonClock,
    /// Added to the wall clock of the reports of each track.
    wall: fn(track: TrackSource, now: Micros) -> Micros,
    /// Added to the RTP time of the reports.
    ahead: fn(now: Micros) -> Micros,
    /// Added to the RTP time of reports and packets.
    jump: fn(track: TrackSource, now: Micros) -> Micros,
}

impl Default for Person {
    fn default() -> Self {
        Self {
            clock: PersonClock::default(),
            wall: |_, _| 1_700_000_000 * SECOND,
            ahead: |_| 0,
            jump: |_, _| 0,
        }
    }
}

impl Person {
    fn ticks(&self, (source, rate): (TrackSource, u32), captured: Micros) -> u32 {
        let jumped = captured + (self.jump)(source, captured);
        // A start that is not 0.
        ((jumped * i64::from(rate) / SECOND) as u32).wrapping_add(0x1000_0000)
    }

    /// The frame captured at `captured`: its mix time minus its capture time.
    fn lateness(&mut self, track: (TrackSource, u32), captured: Micros) -> Micros {
        let (delay, first_report) = if track == AUDIO {
            (20_000, 300_000)
        } else {
            (60_000, 700_000)
        };
        let arrival = captured + delay;
        let reported = (arrival - first_report).div_euclid(SECOND) * SECOND + first_report;
        let report = (reported >= 0).then(|| SenderReport {
            ntp: match (self.wall)(track.0, reported) {
                0 => 0,
                offset => reported + offset,
            },
            rtp: self
                .ticks(track, reported)
                .wrapping_add(((self.ahead)(reported) * i64::from(track.1) / SECOND) as u32),
        });
        let rtp = self.ticks(track, captured);
        self.clock.mix_time(track.0, track.1, stamp(rtp, arrival, report)) - captured
    }

    /// Lateness of the audio and video frame of every 20 ms.
    fn run(&mut self, seconds: i64) -> Vec<(Micros, Micros)> {
        (0..seconds * 50)
            .map(|frame| {
                (
                    self.lateness(AUDIO, frame * 20_000),
                    self.lateness(VIDEO, frame * 20_000),
                )
            })
            .collect()
    }
}

/// Neither track ever moves by more than 50 ms from where arrival alone would put it.
fn assert_undisturbed(lateness: &[(Micros, Micros)]) {
    for (frame, (audio, video)) in lateness.iter().enumerate() {
        assert!((15_000..=25_000).contains(audio), "audio frame {frame} is {audio} late");
        assert!((15_000..=65_000).contains(video), "video frame {frame} is {video} late");
    }
}

fn assert_in_sync(lateness: &[(Micros, Micros)]) {
    for (frame, (audio, video)) in lateness.iter().enumerate() {
        assert!((audio - video).abs() <= 2 * DEAD_BAND, "frame {frame}: {audio} {video}");
    }
}

#[test]
fn audio_and_video_captured_together_get_one_mix_time() {
    let lateness = Person::default().run(60);
    assert_undisturbed(&lateness);
    assert_in_sync(&lateness[100..]);
}

#[test]
fn a_wall_clock_that_steps_on_both_tracks_moves_nothing() {
    let ways: [fn(TrackSource, Micros) -> Micros; 4] = [
        |_, now| 1_700_000_000 * SECOND + if now < 20 * SECOND { 0 } else { HOUR },
        |_, now| 1_700_000_000 * SECOND - if now < 20 * SECOND { 0 } else { HOUR },
        |_, now| 1_700_000_000 * SECOND + if now < 20 * SECOND { 0 } else { SECOND / 2 },
        |_, now| 1_700_000_000 * SECOND - if now < 20 * SECOND { 0 } else { SECOND / 2 },
    ];
    for wall in ways {
        let lateness = Person {
            wall,
            ..Person::default()
        }
        .run(60);
        assert_undisturbed(&lateness);
        assert_in_sync(&lateness[25 * 50..]);
    }
}

#[test]
fn a_wall_clock_that_steps_on_one_track_moves_neither() {
    let ways: [fn(TrackSource, Micros) -> Micros; 4] = [
        |track, now| {
            HOUR + if track == TrackSource::Audio && now > 20 * SECOND {
                HOUR
            } else {
                0
            }
        },
        |track, now| {
            3 * HOUR
                - if track == TrackSource::Audio && now > 20 * SECOND {
                    HOUR
                } else {
                    0
                }
        },
        |track, now| {
            HOUR + if track == TrackSource::Camera && now > 20 * SECOND {
                HOUR
            } else {
                0
            }
        },
        |track, now| {
            3 * HOUR
                - if track == TrackSource::Camera && now > 20 * SECOND {
                    HOUR
                } else {
                    0
                }
        },
    ];
    for wall in ways {
        let lateness = Person {
            wall,
            ..Person::default()
        }
        .run(60);
        assert_undisturbed(&lateness);
        assert_in_sync(&lateness[100..]);
    }
}

#[test]
fn reports_without_a_wall_clock_move_nothing() {
    let ways: [fn(TrackSource, Micros) -> Micros; 3] = [
        |_, _| 0,
        |track, _| if track == TrackSource::Audio { 0 } else { HOUR },
        // Stands still.
        |_, now| HOUR - now,
    ];
    for wall in ways {
        assert_undisturbed(
            &Person {
                wall,
                ..Person::default()
            }
            .run(60),
        );
    }
}

#[test]
fn reports_whose_rtp_time_runs_ahead_by_the_age_of_the_session_are_not_believed() {
    // GStreamer 1.22.
    let person = Person {
        ahead: |now| now,
        ..Person::default()
    };
    assert_undisturbed(&{ person }.run(60));
}

#[test]
fn an_rtp_clock_that_jumps_is_followed_within_a_second() {
    let ways: [fn(TrackSource, Micros) -> Micros; 4] = [
        |track, now| {
            if track == TrackSource::Audio && now >= 20 * SECOND {
                100 * SECOND
            } else {
                0
            }
        },
        |track, now| {
            if track == TrackSource::Audio && now >= 20 * SECOND {
                -15 * SECOND
            } else {
                0
            }
        },
        |track, now| {
            if track == TrackSource::Camera && now >= 20 * SECOND {
                100 * SECOND
            } else {
                0
            }
        },
        |track, now| {
            if track == TrackSource::Camera && now >= 20 * SECOND {
                -15 * SECOND
            } else {
                0
            }
        },
    ];
    for jump in ways {
        let lateness = Person {
            jump,
            ..Person::default()
        }
        .run(60);
        assert_undisturbed(&lateness[..20 * 50]);
        assert_undisturbed(&lateness[21 * 50..]);
        assert_in_sync(&lateness[25 * 50..]);
    }
}

#[test]
fn an_rtp_clock_that_stood_still_while_muted_is_followed_at_once() {
    let mut clock = PersonClock::default();
    let mut mix_time = |rtp: u32, arrival: Micros| clock.mix_time(AUDIO.0, AUDIO.1, stamp(rtp, arrival, None));
    for n in 0..100_u32 {
        mix_time(n * 960, Micros::from(n) * 20_000);
    }
    let after = 62 * SECOND;
    assert_eq!(mix_time(100 * 960, after), after);
}

#[test]
fn another_generation_starts_at_its_own_arrival() {
    let mut clock = PersonClock::default();
    for n in 0..100_u32 {
        clock.mix_time(AUDIO.0, AUDIO.1, stamp(n * 960, Micros::from(n) * 20_000, None));
    }
    let again = Stamp {
        generation: 1,
        ..stamp(77, 2_010_000, None)
    };
    assert_eq!(clock.mix_time(AUDIO.0, AUDIO.1, again), 2_010_000);
}

#[test]
fn a_burst_after_a_stall_is_not_taken_for_a_jump() {
    let mut clock = PersonClock::default();
    let mut mix_time = |n: u32, arrival: Micros| clock.mix_time(AUDIO.0, AUDIO.1, stamp(n * 960, arrival, None));
    for n in 0..100 {
        mix_time(n, Micros::from(n) * 20_000);
    }
    // Nothing for 900 ms, then all at once.
    for n in 100..145 {
        assert_eq!(mix_time(n, 2_900_000), Micros::from(n) * 20_000);
    }
    assert_eq!(mix_time(146, 2_920_000), 2_920_000);
}

#[test]
fn the_mix_time_goes_on_over_the_wrap_of_rtp_time_on_either_side_of_a_report() {
    for report in [None, Some(u32::MAX - 4_000), Some(2_000)] {
        let mut clock = PersonClock::default();
        let report = report.map(|rtp| SenderReport { ntp: 7, rtp });
        let first = u32::MAX - 10_000;
        let times: Vec<Micros> = (0..30_u32)
            .map(|n| {
                let arrival = Micros::from(n) * 20_000;
                let stamp = stamp(first.wrapping_add(n * 960), arrival, report);
                clock.mix_time(AUDIO.0, AUDIO.1, stamp)
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
    let mut clock = PersonClock::default();
    assert_eq!(clock.mix_time(VIDEO.0, VIDEO.1, stamp(0, 100_000, None)), 100_000);
    assert_eq!(clock.mix_time(VIDEO.0, VIDEO.1, stamp(9_000, 230_000, None)), 200_000);
}

#[test]
fn reports_that_come_late_pull_the_track_to_the_persons_clock() {
    let mut clock = PersonClock::default();
    let report = |second: i64, rate: u32| {
        Some(SenderReport {
            ntp: second * SECOND,
            rtp: second as u32 * rate,
        })
    };
    for second in 1..=2 {
        let stamp = stamp(
            second as u32 * AUDIO.1,
            second * SECOND + 10_000,
            report(second, AUDIO.1),
        );
        clock.mix_time(AUDIO.0, AUDIO.1, stamp);
    }
    let mut video = |second: i64, report| {
        let stamp = stamp(second as u32 * VIDEO.1, second * SECOND + 130_000, report);
        clock.mix_time(VIDEO.0, VIDEO.1, stamp)
    };
    assert_eq!(video(1, None), SECOND + 130_000);
    assert_eq!(video(2, report(2, VIDEO.1)), 2 * SECOND + 130_000);
    assert_eq!(video(3, report(3, VIDEO.1)), 3 * SECOND + 10_000);
}

/// Eight hours, ten frames a second: lateness stays where it is, and the two tracks stay together.
fn assert_in_sync_for_eight_hours(jump: fn(track: TrackSource, now: Micros) -> Micros) {
    let mut person = Person {
        jump,
        ..Person::default()
    };
    for frame in 0..8 * 3_600 * 10 {
        let captured = frame * SECOND / 10;
        let (audio, video) = (person.lateness(AUDIO, captured), person.lateness(VIDEO, captured));
        if captured > 3 * SECOND {
            assert!((audio - video).abs() <= 40_000, "{captured}: {audio} {video}");
            assert!((0..=100_000).contains(&audio), "{captured}: {audio}");
        }
    }
}

#[test]
fn a_sample_clock_that_is_fast_by_500_ppm_keeps_lip_sync_for_eight_hours() {
    assert_in_sync_for_eight_hours(|track, now| if track == AUDIO.0 { now / 2_000 } else { 0 });
}

#[test]
fn a_sample_clock_that_is_slow_by_500_ppm_keeps_lip_sync_for_eight_hours() {
    assert_in_sync_for_eight_hours(|track, now| if track == AUDIO.0 { -now / 2_000 } else { 0 });
}

#[test]
fn clocks_of_audio_and_video_that_drift_apart_keep_lip_sync_for_eight_hours() {
    assert_in_sync_for_eight_hours(|track, now| if track == AUDIO.0 { now / 2_000 } else { -now / 2_000 });
}
