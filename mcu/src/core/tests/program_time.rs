//! The program's time goes on without a gap: through other settings, late ticks and the end.

use super::*;

#[test]
fn a_new_layout_size_and_frame_rate_do_not_break_the_time() {
    let first = spec(1280, 720);
    let mut senders: Vec<Sender> = (0..2).map(Sender::new).collect();
    let mut core = MixCore::new(&first, DELAY, None).unwrap();
    core.handle_scene(scene(&first, &senders));
    let mut frames = run(&mut core, &mut senders, 1_000_000);
    let mut second = spec(640, 360);
    if let Some(video) = &mut second.video {
        video.framerate = 30;
    }
    core.handle_spec(&second).unwrap();
    core.handle_scene(scene(&second, &senders));
    frames.extend(run(&mut core, &mut senders, 2_000_000));

    let pts = times(&frames, Track::Video);
    let steps: Vec<u64> = pts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        steps[..14].iter().all(|step| *step == 6_000) && steps[15..].iter().all(|step| *step == 3_000),
        "{steps:?}"
    );
    let pts = times(&frames, Track::Audio);
    assert!(pts.windows(2).all(|pair| pair[1] - pair[0] == 1_024));
    let frames_seen = decode(&frames);
    let last = frames_seen.last().unwrap();
    assert_eq!((last.width(), last.height()), (640, 360));
    let newest = frames.last().unwrap().header.video.clone().unwrap();
    assert_eq!((newest.width, newest.framerate), (640, 30));
}

#[test]
fn another_bitrate_changes_neither_header_nor_keyframes() {
    let mut spec = spec(320, 180);
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    let before = run(&mut core, &mut [], 1_000_000);
    if let Some(video) = &mut spec.video {
        video.bitrate_kbps = 300;
    }
    core.handle_spec(&spec).unwrap();
    let after = run(&mut core, &mut [], 1_900_000);
    assert!(after.iter().all(|frame| frame.header == before[0].header));
    assert!(!after.iter().any(|frame| frame.track == Track::Video && frame.is_key));
}

#[test]
fn other_audio_settings_lose_no_audio_and_begin_at_a_keyframe() {
    for (rate, channels) in [(44_100, 2), (48_000, 1), (8_000, 1)] {
        let mut spec = spec(320, 180);
        let mut senders = vec![Sender::new(0)];
        let mut core = MixCore::new(&spec, DELAY, None).unwrap();
        core.handle_scene(scene(&spec, &senders));
        let mut frames = run(&mut core, &mut senders, 2_500_000);
        spec.audio.sample_rate = rate;
        spec.audio.channels = channels;
        core.handle_spec(&spec).unwrap();
        frames.extend(run(&mut core, &mut senders, 4_000_000));

        let change = frames
            .iter()
            .position(|frame| frame.header.audio.sample_rate == rate && frame.header.audio.channels == channels)
            .unwrap();
        let first = &frames[change];
        assert!(
            first.track == Track::Video && first.is_key,
            "{rate}: the change begins with a keyframe"
        );
        let audio: Vec<&Arc<Frame>> = frames.iter().filter(|frame| frame.track == Track::Audio).collect();
        for pair in audio.windows(2) {
            let end = (pair[0].pts.ticks() + u64::from(pair[0].duration)) as f64 / f64::from(pair[0].pts.rate());
            let next = pair[1].pts.ticks() as f64 / f64::from(pair[1].pts.rate());
            assert!((next - end).abs() < 0.000_2, "{rate}: {end} {next}");
        }
        // The tone is there on both sides.
        for header in [&frames[0].header, &first.header] {
            let mut decoder = AacDecoder::new(&header.audio.config).unwrap();
            let mut pcm = Vec::new();
            for frame in audio.iter().filter(|frame| frame.header.audio == header.audio) {
                decoder.decode(&frame.data, &mut pcm).unwrap();
            }
            let second = usize::try_from(header.audio.sample_rate).unwrap() * usize::from(header.audio.channels);
            let middle = &pcm[pcm.len() - second..pcm.len() - second / 2];
            let loud = middle.iter().map(|sample| sample * sample).sum::<f32>() / middle.len() as f32;
            assert!(loud > 0.03, "{rate}: {loud}");
        }
    }
}

#[test]
fn an_empty_mix_runs_at_a_constant_rate() {
    let spec = spec(320, 180);
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    let frames = run(&mut core, &mut [], 3_000_000);
    assert_eq!(times(&frames, Track::Video).len(), 45);
    assert!(times(&frames, Track::Audio).len() >= 135);
    assert_eq!(core.figures().late_ticks, 0);
}

#[test]
fn a_tick_that_comes_late_is_counted_and_the_time_goes_on() {
    let spec = spec(320, 180);
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    for _ in 0..45 {
        let now = core.poll_timeout().max(1_000_000);
        core.handle_tick(now).unwrap();
    }
    let mut frames = Vec::new();
    while let Some(frame) = core.poll_frame() {
        frames.push(frame);
    }
    assert!(core.figures().late_ticks > 0);
    assert!(times(&frames, Track::Video).iter().all(|pts| pts % 6_000 == 0));
    assert!(
        times(&frames, Track::Audio)
            .windows(2)
            .all(|pair| pair[1] - pair[0] == 1_024)
    );
}

#[test]
fn the_audio_up_to_the_last_tick_comes_out_at_the_end() {
    let spec = spec(320, 180);
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    let mut frames = run(&mut core, &mut [], 2_000_000);
    core.handle_end().unwrap();
    while let Some(frame) = core.poll_frame() {
        frames.push(frame);
    }
    let pts = times(&frames, Track::Audio);
    assert!(pts.windows(2).all(|pair| pair[1] - pair[0] == 1_024));
    // The last tick was at 29/15 s.
    assert!(pts.last().unwrap() + 1_024 >= 29 * 48_000 / 15, "{pts:?}");
}

#[test]
fn an_adaptive_mix_on_a_quiet_network_plays_out_after_60_ms_and_loses_nothing() {
    let mut spec = spec(320, 180);
    spec.video = None;
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    core.adapt_play_out(DELAY);
    let user = crate::test_ids::member("ann");
    core.handle_scene(Scene {
        heard: vec![user.clone()],
        ..Scene::default()
    });
    let packet: Arc<[u8]> = OpusEncoder::new(1, 32)
        .unwrap()
        .encode(&[0.1; 960])
        .unwrap()
        .as_ref()
        .into();
    let mut sent = 0_u32;
    while core.poll_timeout() < 70_000_000 {
        let now = core.poll_timeout();
        while i64::from(sent) * 20_000 <= now {
            core.handle_sample(&Sample {
                source: user.track(TrackSource::Audio),
                stamp: Stamp {
                    generation: 0,
                    rtp: sent * 960,
                    // Up to 4 ms of jitter.
                    arrival: i64::from(sent) * 20_000 + i64::from(sent % 5) * 1_000,
                    report: None,
                },
                payload: Payload::Audio(packet.clone()),
            });
            sent += 1;
        }
        core.handle_tick(now).unwrap();
        while core.poll_frame().is_some() {}
    }
    assert_eq!(core.delay(), 60_000);
    assert_eq!(core.figures().late_audio, 0);
}
