//! Layouts that are told with the video, animated layouts, and the loudest member of a layout.

use super::*;

/// The layouts that the frames tell, with the number of the frame.
fn told_layouts(frames: &[Arc<Frame>]) -> Vec<(usize, serde_json::Value)> {
    let videos = frames.iter().filter(|frame| frame.track == Track::Video);
    let told = videos.enumerate().filter_map(|(number, frame)| {
        let (length, rest) = frame.data.split_first_chunk::<4>()?;
        let nal = &rest[..u32::from_be_bytes(*length) as usize];
        // JSON has no zeros, so nothing in it was kept apart.
        let begin = nal.windows(16).position(|part| part == sei::UUID)? + 16;
        let end = nal.iter().rposition(|byte| *byte == b'}')? + 1;
        Some((number, serde_json::from_slice(&nal[begin..end]).unwrap()))
    });
    told.collect()
}

#[test]
fn the_video_tells_its_layout_with_the_frame_that_shows_it_first() {
    let mut spec = spec(640, 360);
    spec.layout.style.sei = true;
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    let mut senders = vec![Sender::new(0), Sender::new(1)];
    core.handle_scene(Scene {
        revision: 1,
        ..scene(&spec, &senders)
    });
    let mut frames = run(&mut core, &mut senders, 1_000_000);
    let before = frames.iter().filter(|frame| frame.track == Track::Video).count();
    senders.push(Sender::new(2));
    core.handle_scene(Scene {
        revision: 2,
        ..scene(&spec, &senders)
    });
    frames.extend(run(&mut core, &mut senders, 2_000_000));
    let told = told_layouts(&frames);
    assert_eq!(told[0].0, 0);
    // Each half a second, and at once with a new layout.
    let revisions: Vec<(usize, u64)> = told
        .iter()
        .map(|(at, told)| (*at, told["revision"].as_u64().unwrap()))
        .collect();
    let first_of_second = revisions.iter().find(|(_, revision)| *revision == 2).unwrap();
    assert_eq!(first_of_second.0, before);
    // The application is told the time of that frame, once.
    let layouts: Vec<ShownLayout> = std::iter::from_fn(|| core.poll_layout()).collect();
    let shown: Vec<(u64, u64, usize)> = layouts
        .iter()
        .map(|layout| (layout.revision, layout.program_ms, layout.regions.len()))
        .collect();
    let at = times(&frames, Track::Video)[before] / 90;
    assert_eq!(shown, [(1, 0, 2), (2, at, 3)]);
    assert!(
        revisions
            .windows(2)
            .all(|pair| pair[1].0 - pair[0].0 <= 8 && pair[0].1 <= pair[1].1),
        "{revisions:?}"
    );
    let (_, last) = told.last().unwrap();
    assert_eq!(last["canvas"], serde_json::json!({ "w": 640, "h": 360 }));
    let regions = last["regions"].as_array().unwrap();
    let users: Vec<&str> = regions.iter().map(|region| region["uid"].as_str().unwrap()).collect();
    assert_eq!(users, ["u0", "u1", "u2"]);
    assert_eq!([&regions[1]["x"], &regions[1]["y"], &regions[1]["w"]], [320, 0, 320]);
    // A sine of 0.3 is at -13 dBFS.
    assert!((190..210).contains(&regions[0]["volume"].as_u64().unwrap()), "{last}");
    // Decoders pass over it.
    assert_eq!(
        decode(&frames).len(),
        frames.iter().filter(|frame| frame.track == Track::Video).count()
    );
}

#[test]
fn an_animated_layout_moves_cells_from_where_they_are_also_when_it_is_changed_on_the_way() {
    let spec = spec(1280, 720);
    let mut senders = [Sender::new(0)];
    let placed = |x: usize, y: usize| {
        let mut scene = scene(&spec, &[Sender::new(0)]);
        scene.style.animated = true;
        scene.placements[0].rect = Rect {
            x,
            y,
            width: 640,
            height: 360,
        };
        scene
    };
    let (first, second, third) = (placed(0, 0), placed(640, 0), placed(640, 360));
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    let mut frames = Vec::new();
    // The next layout comes two frames after the one before: before its animation is over.
    let mut expected = Vec::new();
    let mut animation = Animation::new(Vec::new(), first.placements.clone(), 0);
    for (scene, until) in [(first, 1_000_000), (second, 1_133_333), (third, 2_000_000)] {
        let from = core.poll_timeout();
        if from > 0 {
            animation = Animation::new(animation.placements(from), scene.placements.clone(), from);
        }
        core.handle_scene(scene);
        let mut at = from;
        while at < until {
            expected.push(animation.placements(at)[0].rect);
            let tick = core.poll_timeout();
            frames.extend(run(&mut core, &mut senders, tick + 1));
            at = core.poll_timeout();
        }
    }
    let seen = decode(&frames);
    assert_eq!(seen.len(), expected.len());
    let shows = |number: usize| mark::read(seen[number].y(), 1280, expected[number]).map(|mark| mark.id);
    // The first frames come after the play-out delay.
    let read: Vec<Option<u8>> = (8..seen.len()).map(shows).collect();
    assert!(read.iter().all(|id| *id == Some(0)), "{read:?}");
    let ways = expected.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(
        (5..=6).contains(&ways),
        "two on the first way and the rest on the second: {expected:?}"
    );
}

#[test]
fn the_loudest_member_is_told_when_the_layout_asks_for_it() {
    for asked in [None, Some(3)] {
        let mut spec = spec(320, 180);
        spec.layout.style.loudest_dwell = asked;
        let mut core = MixCore::new(&spec, DELAY, None).unwrap();
        let mut senders = [Sender::new(0), Sender::new(1)];
        core.handle_scene(scene(&spec, &senders));
        let (mut now, mut told) = (0, Vec::new());
        while now < 9_000_000 {
            now = core.poll_timeout();
            for (number, sender) in senders.iter_mut().enumerate() {
                for sample in sender.samples(now - 20_000) {
                    // One after the other.
                    let speaks = (number == 1) == (now > 4_000_000);
                    if matches!(sample.payload, Payload::Audio(_)) && speaks {
                        core.handle_sample(&sample);
                    }
                }
            }
            core.handle_tick(now).unwrap();
            told.extend(core.poll_loudest());
        }
        let expected = if asked.is_some() {
            vec![senders[0].id(), senders[1].id()]
        } else {
            Vec::new()
        };
        assert_eq!(told, expected);
    }
}
