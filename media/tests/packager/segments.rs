//! Where segments begin and end.

use super::*;

#[test]
fn segments_end_at_the_first_keyframe_after_their_least_length() {
    let segments = segment(TestProgram::new().run(9.0, 1.0), lengths(4));
    assert_eq!(seconds(&segments), [4.0, 4.0, 1.0]);
    assert!(
        segments
            .iter()
            .all(|one| one.start.independent && !one.start.discontinuity)
    );
}

#[test]
fn a_keyframe_at_a_scene_cut_makes_no_segment_longer_than_the_target() {
    // A GOP of 5 s, and one keyframe more, shortly before the segment could end: 1.8 + 5 s would be too long.
    let mut program = TestProgram::new();
    let mut frames = Vec::new();
    for tick in 0..15 * FPS {
        let key = [0, 27, 27 + 5 * FPS, 27 + 10 * FPS].contains(&tick);
        frames.extend(program.tick(if key { ForceKey::Yes } else { ForceKey::No }));
    }
    let lengths = lengths(2);
    let segments = segment(frames, lengths);
    let longest = segments
        .iter()
        .map(|one| one.duration.as_secs_f64())
        .fold(0.0, f64::max);
    assert!(
        longest.round() as u64 <= lengths.target_seconds(),
        "{:?}",
        seconds(&segments)
    );
    assert!(segments.iter().all(|one| one.start.independent));
}

#[test]
fn a_keyframe_that_does_not_come_ends_no_segment_too_late() {
    let lengths = lengths(2);
    // The encoder makes keyframes of its own accord; here none is one.
    let frames = TestProgram::new().run(20.0, 100.0).into_iter().enumerate();
    let frames = frames.map(|(at, frame)| match frame.track {
        Track::Video if at > 0 => Arc::new(Frame {
            is_key: false,
            ..Frame::clone(&frame)
        }),
        _ => frame,
    });
    let segments = segment(frames.collect(), lengths);
    assert!(segments.len() > 2);
    assert!(
        seconds(&segments)
            .iter()
            .all(|seconds| seconds.round() as u64 <= lengths.target_seconds())
    );
    assert!(
        segments
            .iter()
            .skip(1)
            .all(|one| !one.start.independent && !one.start.discontinuity)
    );
    let lost = 20 * FPS as usize
        - Disk::of(&segments)
            .samples
            .iter()
            .flatten()
            .filter(|one| one.track == Track::Video)
            .count();
    assert_eq!(lost, 0);
}

#[test]
fn another_bitrate_changes_nothing() {
    let mut program = TestProgram::new();
    let mut frames = program.run(3.0, 1.0);
    program.set_bitrate(900);
    frames.extend(program.run(3.0, 1.0));
    let segments = segment(frames, lengths(2));
    assert_eq!(seconds(&segments), [2.0, 2.0, 2.0]);
    assert!(
        segments
            .iter()
            .all(|one| !one.start.discontinuity && one.start.init == segments[0].start.init)
    );
}

#[test]
fn another_size_is_a_discontinuity_where_no_audio_is_missing() {
    let mut program = TestProgram::new();
    let mut frames = program.run(3.0, 1.0);
    program.resize(96, 64);
    frames.extend(program.run(3.0, 1.0));
    let segments = segment(frames, lengths(2));
    let changes: Vec<bool> = segments.iter().map(|one| one.start.discontinuity).collect();
    assert_eq!(changes, [false, false, true, false]);
    assert_eq!(seconds(&segments), [2.0, 1.0, 2.0, 1.0]);
    let disk = Disk::of(&segments);
    let audio: Vec<u64> = disk
        .samples
        .iter()
        .flatten()
        .filter(|sample| sample.track == Track::Audio)
        .map(|sample| sample.decode_time)
        .collect();
    assert!(
        audio.windows(2).all(|pair| pair[1] - pair[0] == 1024),
        "no audio is missing"
    );
}

#[test]
fn after_a_loss_it_goes_on_at_its_own_time_with_a_keyframe() {
    let mut program = TestProgram::new();
    let mut segmenter = Segmenter::new(lengths(2), CREATED);
    for frame in program.run(2.5, 1.0) {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.handle_loss().unwrap();
    for frame in program.run(3.0, 1.0).into_iter().skip(10) {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.finish().unwrap();
    let segments = collect(&mut segmenter);
    let last = segments.last().unwrap();
    assert!(segments[2].start.discontinuity && segments[2].start.independent);
    let end = last.start.at.duration() + last.duration;
    assert!((end.as_secs_f64() - 5.5).abs() < 0.1, "{end:?}");
    let disk = Disk::of(&segments);
    let first = disk.samples[2]
        .iter()
        .find(|sample| sample.track == Track::Video)
        .unwrap();
    assert_eq!(first.decode_time, segments[2].start.at.ticks());
}

#[test]
fn a_time_without_any_frame_is_a_discontinuity_and_in_no_segment() {
    let frames = TestProgram::new().run(40.0, 1.0);
    let is_there = |frame: &Frame| {
        let at = frame.pts.duration().as_secs_f64();
        !(3.4..35.0).contains(&at)
    };
    let frames = frames.into_iter().filter(|frame| is_there(frame)).collect();
    let segments = segment(frames, lengths(2));
    let total: f64 = seconds(&segments).iter().sum();
    assert!((total - 8.4).abs() < 0.2, "{:?}", seconds(&segments));
    let changes: Vec<bool> = segments.iter().map(|one| one.start.discontinuity).collect();
    assert_eq!(changes, [false, false, true, false, false]);
    assert!(segments[2].start.independent);
}

#[test]
fn audio_alone_is_cut_without_keyframes() {
    let segments = segment(TestProgram::audio_only().run(7.0, 1.0), lengths(2));
    assert!(segments.len() >= 3);
    assert!(segments.iter().all(|one| one.start.independent));
    let samples = Disk::of(&segments).samples.concat();
    assert!(samples.iter().all(|sample| sample.track == Track::Audio));
    assert!(
        samples
            .windows(2)
            .all(|pair| pair[1].decode_time - pair[0].decode_time == 1024)
    );
}

#[test]
fn a_cut_segment_is_read_up_to_its_last_whole_chunk() {
    let segments = segment(TestProgram::new().run(3.0, 10.0), lengths(5));
    let disk = Disk::of(&segments);
    let whole: u64 = segments[0].chunks[..2]
        .iter()
        .map(|chunk| chunk.bytes.len() as u64)
        .sum();
    let bytes = std::fs::read(&disk.files[0]).unwrap();
    for cut in [whole, whole + 5, whole + 40, bytes.len() as u64 - 1] {
        let path = disk.path("cut.m4s");
        std::fs::write(&path, &bytes[..cut as usize]).unwrap();
        let mut samples = Vec::new();
        assert_eq!(stored::scan(&path, 0, &mut samples).unwrap(), whole, "cut at {cut}");
        assert!(samples.iter().filter(|sample| sample.track == Track::Video).count() >= 29);
    }
}
