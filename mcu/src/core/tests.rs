mod schedules;
mod sync;

use rotunda_media::codec::{
    AacDecoder, ForceKey, H264Encoder, H264EncoderConfig, OpusEncoder, VideoCodec, VideoDecoder, VpxCodec, VpxEncoder,
    h264,
};
use rotunda_media::mark::{self, Mark};
use rotunda_media::rotate::rotate;
use rotunda_media::video_frame::{Rect, Rotation, VideoFrame, Yuv};
use rotunda_proto::ids::{RoomId, RoomKey, SdkAppId, TrackSource};
use rotunda_proto::mix::{AudioEncode, Layout, Template, VideoEncode};
use rotunda_proto::room::TrackState;
use rotunda_receiver::CodedVideo;

use super::*;
use crate::layout::animation::Animation;
use crate::layout::{Member, lay_out};
use crate::sei;
use crate::timeline::{SenderReport, Stamp};

const DELAY: Micros = 300_000;

fn spec(width: u16, height: u16) -> MixSpec {
    MixSpec {
        room: RoomKey {
            app: SdkAppId::try_from(1).unwrap(),
            room: RoomId::Number(7.try_into().unwrap()),
        },
        stream_id: "mix".parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 48_000,
            bitrate_kbps: 64,
            channels: 2,
        },
        video: Some(VideoEncode {
            width,
            height,
            bitrate_kbps: 1500,
            framerate: 15,
            gop_seconds: 2,
            background_rgb: 0,
        }),
        layout: Layout {
            template: Template::Grid,
            ..Layout::default()
        },
        record: None,
        push_urls: Vec::new(),
        task: None,
    }
}

enum Camera {
    H264(Box<H264Encoder>),
    Vpx(VideoCodec, VpxEncoder),
}

/// A member who sends marked frames at 15/s and a click-free tone, with its own clocks.
struct Sender {
    id: u8,
    room: u64,
    user: String,
    camera: Camera,
    microphone: OpusEncoder,
    sent_frames: u32,
    sent_packets: u32,
    /// The video is sent as this one.
    source: TrackSource,
    /// How the camera is held, by the number of the frame.
    rotation: fn(u32) -> Option<Rotation>,
}

impl Sender {
    fn new(id: u8) -> Self {
        let config = H264EncoderConfig {
            width: 640,
            height: 360,
            bitrate_kbps: 800,
            framerate: 15,
            gop_frames: 15,
        };
        let camera = match id % 3 {
            0 => Camera::H264(Box::new(H264Encoder::new(config).unwrap())),
            1 => Camera::Vpx(VideoCodec::Vp8, VpxEncoder::new(VpxCodec::Vp8, config).unwrap()),
            _ => Camera::Vpx(VideoCodec::Vp9, VpxEncoder::new(VpxCodec::Vp9, config).unwrap()),
        };
        Self {
            id,
            room: 7,
            user: format!("u{id}"),
            camera,
            microphone: OpusEncoder::new(1, 48).unwrap(),
            sent_frames: 0,
            sent_packets: 0,
            source: TrackSource::Camera,
            rotation: |_| None,
        }
    }

    fn id(&self) -> RoomUser {
        RoomUser {
            room: RoomKey {
                app: SdkAppId::try_from(1).unwrap(),
                room: RoomId::Number(self.room.try_into().unwrap()),
            },
            user: self.user.parse().unwrap(),
        }
    }

    fn member(&self) -> Member {
        Member {
            id: self.id(),
            audio: Some(TrackState::On),
            camera: (self.source == TrackSource::Camera).then_some(TrackState::On),
            screen: (self.source == TrackSource::Screen).then_some(TrackState::On),
        }
    }

    fn report(&self) -> Option<SenderReport> {
        Some(SenderReport {
            ntp: i64::from(self.id) * 1_000_000_000,
            rtp: 0,
        })
    }

    /// The frames captured until `now`.
    fn samples(&mut self, now: Micros) -> Vec<Sample> {
        let mut samples = Vec::new();
        while i64::from(self.sent_frames) * 1_000_000 / 15 <= now {
            let count = self.sent_frames;
            self.sent_frames += 1;
            let mut frame = VideoFrame::filled(640, 360, Yuv::from_rgb(0x60_6060));
            let whole = frame.rect();
            mark::draw(
                &mut frame,
                whole,
                Mark {
                    id: self.id,
                    count: count as u16,
                },
            );
            let (codec, coded) = match &mut self.camera {
                Camera::H264(encoder) => (VideoCodec::H264, encoder.encode(&frame, ForceKey::No).unwrap()),
                Camera::Vpx(codec, encoder) => (*codec, encoder.encode(&frame, ForceKey::No).unwrap()),
            };
            let (data, is_key) = (coded.data.as_ref().into(), coded.is_key);
            samples.push(Sample {
                source: self.id().track(self.source),
                stamp: Stamp {
                    generation: 0,
                    rtp: count * 6_000,
                    arrival: now + 20_000,
                    report: self.report(),
                },
                payload: Payload::Video(CodedVideo {
                    codec,
                    data,
                    is_key,
                    contiguous: true,
                    rotation: (self.rotation)(count),
                }),
            });
        }
        while i64::from(self.sent_packets) * 20_000 <= now {
            let wave = |n: usize| (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.3;
            let from = self.sent_packets as usize * 960;
            let pcm: Vec<f32> = (from..from + 960).map(wave).collect();
            samples.push(Sample {
                source: self.id().track(TrackSource::Audio),
                stamp: Stamp {
                    generation: 0,
                    rtp: self.sent_packets * 960,
                    arrival: now + 20_000,
                    report: self.report(),
                },
                payload: Payload::Audio(self.microphone.encode(&pcm).unwrap().as_ref().into()),
            });
            self.sent_packets += 1;
        }
        samples
    }
}

/// Runs the core in virtual time up to `until`.
fn run(core: &mut MixCore, senders: &mut [Sender], until: Micros) -> Vec<Arc<Frame>> {
    let mut frames = Vec::new();
    while core.poll_timeout() < until {
        let now = core.poll_timeout();
        for sample in senders.iter_mut().flat_map(|sender| sender.samples(now - 20_000)) {
            core.handle_sample(&sample);
        }
        core.handle_tick(now).unwrap();
        while let Some(frame) = core.poll_frame() {
            frames.push(frame);
        }
    }
    frames
}

fn scene(spec: &MixSpec, senders: &[Sender]) -> Scene {
    let members: Vec<Member> = senders.iter().map(Sender::member).collect();
    lay_out(&spec.room, &spec.layout, &members, spec.video.map(Canvas::of))
}

fn decode(frames: &[Arc<Frame>]) -> Vec<VideoFrame> {
    let mut decoder = VideoDecoder::new(VideoCodec::H264).unwrap();
    let mut frames_seen = Vec::new();
    for frame in frames.iter().filter(|frame| frame.track == Track::Video) {
        let mut unit = Vec::new();
        if frame.is_key {
            let header = frame.header.video.as_ref().unwrap();
            for set in [&header.sps, &header.pps] {
                unit.extend_from_slice(&[0, 0, 0, 1]);
                unit.extend_from_slice(set);
            }
        }
        unit.extend_from_slice(&h264::to_annex_b(&frame.data));
        frames_seen.extend(decoder.decode(&unit).unwrap());
    }
    frames_seen
}

fn times(frames: &[Arc<Frame>], track: Track) -> Vec<u64> {
    frames
        .iter()
        .filter(|frame| frame.track == track)
        .map(|frame| frame.pts.ticks())
        .collect()
}

fn quarter(n: usize) -> Rect {
    Rect {
        x: n % 2 * 640,
        y: n / 2 * 360,
        width: 640,
        height: 360,
    }
}

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
