//! Video that stands still, with and without audio beside it.

use super::*;

/// The segments of the video alone.
fn video_segments(frames: Vec<Arc<Frame>>, lengths: Lengths) -> Vec<Segment> {
    let mut segmenter = Segmenter::of_video(lengths, CREATED);
    for frame in frames {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.finish().unwrap();
    collect(&mut segmenter)
}

/// A program of 16 s whose video stands still from 3.5 s on for this time.
fn still_for(still: f64) -> Vec<Arc<Frame>> {
    let mut frames = TestProgram::new().run(16.0, 2.0);
    let is_still = |frame: &Frame| (3.5..3.5 + still).contains(&frame.pts.duration().as_secs_f64());
    frames.retain(|frame| frame.track == Track::Audio || !is_still(frame));
    frames
}

#[test]
fn the_video_alone_has_no_audio_track_and_its_frames_last_while_it_stands_still() {
    let segments = video_segments(still_for(4.0), lengths(2));
    let disk = Disk::of(&segments);
    let tracks = stored::read_init(&disk.path("init.mp4")).unwrap();
    assert_eq!(
        tracks.iter().map(|track| track.track).collect::<Vec<_>>(),
        [Track::Video]
    );
    assert!(disk.samples.iter().flatten().all(|sample| sample.track == Track::Video));
    assert!(segments.iter().all(|one| !one.start.discontinuity));
    let whole: f64 = segments.iter().map(|one| one.duration.as_secs_f64()).sum();
    assert!((whole - 16.0).abs() < 0.1, "{whole}");
    let target = lengths(2).target_seconds() as f64;
    assert!(
        seconds(&segments).iter().all(|length| length.round() <= target),
        "{:?}",
        seconds(&segments)
    );
}

#[test]
fn a_longer_still_goes_on_with_its_next_frame_at_its_own_time() {
    // It ends 0.5 s after a keyframe.
    let segments = video_segments(still_for(9.0), lengths(2));
    let after = segments.iter().position(|one| one.start.discontinuity).unwrap();
    let (before, after) = (&segments[after - 1], &segments[after]);
    assert!(!after.start.independent, "no frame was lost");
    assert!((after.start.at.duration().as_secs_f64() - 12.5).abs() < 0.1);
    let target = lengths(2).target_seconds() as f64;
    assert_eq!(
        before.duration.as_secs_f64().round(),
        target,
        "it lasts as long as a segment may"
    );
    let again = segments.iter().filter(|one| one.start.discontinuity).count();
    assert_eq!(again, 1);
}

#[test]
fn a_still_at_the_end_lasts_as_long_as_the_audio() {
    let segments = video_segments(
        still_for(12.5)
            .into_iter()
            .filter(|frame| frame.pts.millis() < 6000)
            .collect(),
        lengths(2),
    );
    let last = segments.last().unwrap();
    let end = last.start.at.duration() + last.duration;
    assert!((end.as_secs_f64() - 6.0).abs() < 0.1, "{end:?}");
}

#[test]
fn a_camera_that_sends_nothing_keeps_no_audio_back() {
    let is_missing = |frame: &Frame| {
        let at = frame.pts.duration().as_secs_f64();
        frame.track == Track::Video && at > 3.5 && at < 15.0
    };
    let mut frames = TestProgram::new().run(20.0, 1.0);
    let audio = frames.iter().filter(|frame| frame.track == Track::Audio).count();
    frames.retain(|frame| !is_missing(frame));
    let segments = segment(frames, lengths(2));
    let target = lengths(2).target_seconds() as f64;
    assert!(
        seconds(&segments).iter().all(|length| length.round() <= target),
        "{:?}",
        seconds(&segments)
    );
    let most = segments
        .iter()
        .flat_map(|one| &one.chunks)
        .map(|chunk| chunk.duration)
        .max();
    assert!(most < Some(Duration::from_secs(3)), "{most:?}");
    assert!(segments.iter().all(|one| !one.start.discontinuity), "time goes on");
    for one in &segments {
        let at = one.start.at.duration().as_secs_f64();
        assert_eq!(one.start.independent, !(3.5..15.0).contains(&at), "at {at} s");
    }
    let samples = Disk::of(&segments).samples.concat();
    let heard = samples.iter().filter(|sample| sample.track == Track::Audio).count();
    assert_eq!(heard, audio);
}
