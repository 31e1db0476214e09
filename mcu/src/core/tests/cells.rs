//! Members in their cells: at their time, muted, stopped, turned, and after a loss.

use super::*;

#[test]
fn four_members_are_seen_in_their_cells_at_their_time_and_heard() {
    let spec = spec(1280, 720);
    let mut senders: Vec<Sender> = (0..4).map(Sender::new).collect();
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    core.handle_scene(scene(&spec, &senders));
    let frames = run(&mut core, &mut senders, 2_000_000);

    let frames_seen = decode(&frames);
    assert_eq!(frames_seen.len(), 30);
    let last = &frames_seen[29];
    for n in 0..4 {
        let mark = mark::read(last.y(), last.width(), quarter(n)).unwrap();
        assert_eq!(usize::from(mark.id), n);
        // Shown 300 ms after it came in at the earliest: 4 to 6 frames_seen after it was taken.
        assert!((23..=25).contains(&mark.count), "{}", mark.count);
    }
    let pts = times(&frames, Track::Video);
    assert!(
        pts.iter().enumerate().all(|(n, pts)| *pts == n as u64 * 6_000),
        "{pts:?}"
    );
    let pts = times(&frames, Track::Audio);
    assert!(
        pts.iter().enumerate().all(|(n, pts)| *pts == n as u64 * 1_024),
        "{pts:?}"
    );

    let mut decoder = AacDecoder::new(&frames[0].header.audio.config).unwrap();
    let mut pcm = Vec::new();
    for frame in frames.iter().filter(|frame| frame.track == Track::Audio) {
        decoder.decode(&frame.data, &mut pcm).unwrap();
    }
    let loud = |audio: &[f32]| audio.iter().map(|s| s * s).sum::<f32>() / audio.len() as f32;
    assert!(loud(&pcm[..19_200]) < 0.000_1);
    assert!(loud(&pcm[pcm.len() - 48_000..]) > 0.05);
}

#[test]
fn members_of_one_name_in_two_rooms_are_two_inputs() {
    let mut spec = spec(640, 180);
    let mut senders = [Sender::new(0), Sender::new(1)];
    senders[1].room = 8;
    senders[1].user = senders[0].user.clone();
    spec.layout.guests = vec![senders[1].id()];
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    core.handle_scene(scene(&spec, &senders));
    assert_eq!(core.inputs().0, 2);
    run(&mut core, &mut senders, 2_000_000);
    assert_eq!(core.inputs(), (2, 2), "both are live");
}

#[test]
fn a_muted_camera_becomes_a_card_at_the_next_frame_and_a_member_who_leaves_is_gone() {
    let spec = spec(1280, 720);
    let mut senders: Vec<Sender> = (0..4).map(Sender::new).collect();
    let mut core = MixCore::new(&spec, DELAY, None).unwrap();
    core.handle_scene(scene(&spec, &senders));
    let mut frames = run(&mut core, &mut senders, 1_000_000);
    let mut members: Vec<Member> = senders.iter().map(Sender::member).collect();
    members[1].camera = Some(TrackState::Muted);
    members.remove(3);
    core.handle_scene(lay_out(&spec.room, &spec.layout, &members, spec.video.map(Canvas::of)));
    frames.extend(run(&mut core, &mut senders, 1_200_000));

    let frames_seen = decode(&frames);
    let seen =
        |frame: &VideoFrame| [0, 1, 2, 3].map(|n| mark::read(frame.y(), frame.width(), quarter(n)).map(|m| m.id));
    assert_eq!(seen(&frames_seen[14]), [Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!(seen(&frames_seen[15]), [Some(0), None, Some(2), None]);
}

#[test]
fn a_gap_freezes_the_frame_until_the_next_keyframe_and_asks_for_it() {
    let spec = spec(640, 360);
    let mut senders = vec![Sender::new(0)];
    let mut core = MixCore::new(&spec, 0, None).unwrap();
    core.handle_scene(scene(&spec, &senders));
    let mut asked = 0;
    let mut frames = Vec::new();
    for tick in 0..30_i64 {
        let now = core.poll_timeout();
        for (n, mut sample) in senders[0].samples(now).into_iter().enumerate() {
            if let Payload::Video(coded) = &mut sample.payload {
                coded.contiguous = n > 0 || tick != 7;
            }
            core.handle_sample(&sample);
        }
        core.handle_tick(now + 1).unwrap();
        while core.poll_key_request().is_some() {
            asked += i32::from(tick >= 7);
        }
        while let Some(frame) = core.poll_frame() {
            frames.push(frame);
        }
    }
    let counts: Vec<Option<u16>> = decode(&frames)
        .iter()
        .map(|frame| mark::read(frame.y(), frame.width(), frame.rect()).map(|mark| mark.count))
        .collect();
    assert!(
        counts[9..14].iter().all(|count| *count == counts[9] && count.is_some()),
        "{counts:?}"
    );
    assert!(counts[20] > counts[9], "{counts:?}");
    assert!(asked >= 1);
}

#[test]
fn a_slide_stays_until_the_screen_is_muted() {
    let spec = spec(640, 360);
    let mut senders = vec![Sender::new(0)];
    senders[0].source = TrackSource::Screen;
    let mut core = MixCore::new(&spec, 0, None).unwrap();
    core.handle_scene(scene(&spec, &senders));
    run(&mut core, &mut senders, 200_000);
    // A slide: nothing for a minute.
    let frames = run(&mut core, &mut [], 60_000_000);
    assert_eq!(core.inputs(), (1, 1));
    let mut members: Vec<Member> = senders.iter().map(Sender::member).collect();
    members[0].screen = Some(TrackState::Muted);
    core.handle_scene(lay_out(&spec.room, &spec.layout, &members, spec.video.map(Canvas::of)));
    let muted = run(&mut core, &mut [], 62_100_000);

    let ids = |frames: &[Arc<Frame>]| -> Vec<Option<u8>> {
        let from = frames
            .iter()
            .position(|frame| frame.track == Track::Video && frame.is_key);
        decode(&frames[from.unwrap()..])
            .iter()
            .map(|frame| mark::read(frame.y(), frame.width(), frame.rect()).map(|mark| mark.id))
            .collect()
    };
    assert!(ids(&frames).iter().all(|id| *id == Some(0)));
    assert!(ids(&muted).iter().all(Option::is_none));
}

#[test]
fn a_camera_that_has_stopped_is_dimmed_and_no_longer_counts_as_live() {
    let spec = spec(640, 360);
    let mut senders = vec![Sender::new(0)];
    let mut core = MixCore::new(&spec, 0, None).unwrap();
    core.handle_scene(scene(&spec, &senders));
    run(&mut core, &mut senders, 1_000_000);
    assert_eq!(core.inputs(), (1, 1));
    let mut frames = run(&mut core, &mut [], 5_500_000);
    assert_eq!(core.inputs(), (1, 1), "it is held for a while");
    frames.extend(run(&mut core, &mut [], 8_100_000));
    assert_eq!(core.inputs(), (1, 0));
    let from = frames
        .iter()
        .rposition(|frame| frame.track == Track::Video && frame.is_key);
    let frames_seen = decode(&frames[from.unwrap()..]);
    let last = frames_seen.last().unwrap();
    let brightest = last.y().iter().max().unwrap();
    assert!(*brightest < 150, "{brightest}");
}

#[test]
fn a_phone_that_is_turned_stands_upright_from_that_frame_on() {
    let spec = spec(640, 360);
    let mut senders = vec![Sender::new(0)];
    // Held upright for a second, told with the keyframe alone; then laid down.
    senders[0].rotation = |frame| match frame {
        0 | 1 => Some(Rotation::Clockwise90),
        15.. => Some(Rotation::None),
        _ => None,
    };
    let mut core = MixCore::new(&spec, 0, None).unwrap();
    let mut scene = scene(&spec, &senders);
    scene.placements[0].render_mode = rotunda_proto::mix::RenderMode::ScaleOnBlack;
    core.handle_scene(scene);
    let frames_seen = decode(&run(&mut core, &mut senders, 2_000_000));

    // Upright it is 202 wide in the middle; turned back in there, the mark is read.
    let upright = &frames_seen[10];
    assert!(upright.y()[180 * 640 + 20] < 20, "black beside the upright frame");
    let mut column = VideoFrame::filled(202, 360, Yuv::BLACK);
    let rect = Rect {
        x: 219 & !1,
        y: 0,
        width: 202,
        height: 360,
    };
    let whole = column.rect();
    rotunda_media::scale::scale_into(&mut column, whole, upright, rect);
    let lying = rotate(&column, Rotation::Clockwise270);
    assert!(mark::read(lying.y(), lying.width(), lying.rect()).is_some());
    let landscape = &frames_seen[25];
    assert!(mark::read(landscape.y(), 640, landscape.rect()).is_some());
}
