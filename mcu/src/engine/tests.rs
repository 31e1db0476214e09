//! Engines as processes of this test binary, which meet frames that end or stop them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rotunda_media::codec::{ForceKey, H264EncoderConfig, VideoCodec, VpxCodec, VpxEncoder};
use rotunda_media::program::{ProgramHub, Track};
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, RoomKey, SdkAppId, Source};
use rotunda_proto::mix::{AudioEncode, Layout, MixSpec, RenderMode, VideoEncode};
use rotunda_receiver::{CodedVideo, Payload, Sample};
use tokio::sync::mpsc;

use super::child;
use super::host::Host;
use super::launcher::{EngineCommand, Launcher};
use super::messages::Delay;
use crate::layout::{Content, Placement, Scene};
use crate::test_ids::camera;
use crate::timeline::Stamp;
use crate::worker::Report;

/// For a machine that does ten other things.
const DEADLINE: Duration = Duration::from_secs(120);
const EVERY: Duration = Duration::from_millis(40);

#[test]
#[ignore = "the process of an engine, which the other tests start"]
fn runs_as_an_engine() {
    child::run_process(2048).unwrap();
}

fn this_binary() -> Launcher {
    let arguments = [
        "engine::tests::runs_as_an_engine",
        "--exact",
        "--ignored",
        "--test-threads=1",
    ];
    Launcher::process(EngineCommand {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.into_iter().map(Into::into).collect(),
    })
    .unwrap()
}

fn spec() -> MixSpec {
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
            width: 128,
            height: 64,
            bitrate_kbps: 200,
            framerate: 15,
            gop_seconds: 2,
            background_rgb: 0,
        }),
        layout: Layout::default(),
        record: None,
        push_urls: Vec::new(),
        task: None,
    }
}

/// Cells beside each other.
fn scene(users: &[&str]) -> Scene {
    let placements = users.iter().enumerate().map(|(number, user)| Placement {
        video: camera(user),
        content: Content::Live,
        rect: Rect {
            x: number * 32,
            y: 0,
            width: 32,
            height: 64,
        },
        z: 0,
        render_mode: RenderMode::Crop,
        placeholder: None,
    });
    Scene {
        placements: placements.collect(),
        ..Scene::default()
    }
}

/// Sends `ann`'s keyframes, and `frame` as a keyframe of each of `harmful`, for as long as they are taken.
async fn send(samples: mpsc::Sender<Sample>, origin: std::time::Instant, harmful: Vec<(&'static str, &'static [u8])>) {
    let config = H264EncoderConfig {
        width: 64,
        height: 64,
        bitrate_kbps: 100,
        framerate: 25,
        gop_frames: 25,
    };
    let mut encoder = VpxEncoder::new(VpxCodec::Vp8, config).unwrap();
    loop {
        let arrival = Clock.now().saturating_duration_since(origin).as_micros() as i64;
        let coded = encoder
            .encode(&VideoFrame::filled(64, 64, Yuv::BLACK), ForceKey::Yes)
            .unwrap();
        let frames = harmful.iter().copied().chain([("ann", &coded.data[..])]);
        for (user, data) in frames {
            let sample = Sample {
                source: camera(user),
                stamp: Stamp {
                    generation: 0,
                    rtp: (arrival * 9 / 100) as u32,
                    arrival,
                    report: None,
                },
                payload: Payload::Video(CodedVideo {
                    codec: VideoCodec::Vp8,
                    data: Arc::from(data),
                    is_key: true,
                    contiguous: true,
                    rotation: None,
                }),
            };
            if samples.send(sample).await.is_err() {
                return;
            }
        }
        Clock.sleep_until(Clock.now() + EVERY).await;
    }
}

/// Runs a mix of ann and of members whose frames do harm, until those are left out and ann is live; answers who was left out.
async fn left_out(harmful: Vec<(&'static str, &'static [u8])>) -> Vec<Source> {
    let users: Vec<&str> = harmful.iter().map(|(user, _)| *user).chain(["ann"]).collect();
    let hub = ProgramHub::new();
    let spec = spec();
    let (samples, received) = mpsc::channel(64);
    let (orders, ordered) = mpsc::channel(8);
    let (reports, mut reported) = mpsc::channel(256);
    let origin = Clock.now();
    let host = Host {
        launcher: this_binary(),
        spec: spec.clone(),
        scene: scene(&users),
        pictures: HashMap::new(),
        delay: Delay::Fixed(100_000),
        origin,
        writer: hub.open(&spec.stream()).unwrap(),
        samples: received,
        orders: ordered,
        reports,
    };
    let mut program = hub.subscribe(&spec.stream()).unwrap();
    let link = host.launch().await.unwrap();
    let running = tokio::spawn(host.run(link));
    let sending = tokio::spawn(send(samples, origin, harmful.clone()));
    let reading = tokio::spawn(async move {
        let mut last = None;
        while let Ok(frame) = program.next().await {
            if frame.track == Track::Video {
                assert!(last.is_none_or(|last| last < frame.pts.ticks()), "time goes on");
                last = Some(frame.pts.ticks());
            }
        }
        last
    });
    let mut barred = Vec::new();
    let wait = async {
        while let Some(report) = reported.recv().await {
            match report {
                Report::Barred(video) => barred.push(video),
                // An engine that has lived for a second, and shows ann.
                Report::Health(health) if barred.len() == harmful.len() && health.live_videos == 1 => return,
                Report::Failed(reason) => panic!("the mix has ended: {reason}"),
                _ => {}
            }
        }
        panic!("the host has ended");
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
    drop(orders);
    tokio::join!(running, async { while reported.recv().await.is_some() {} })
        .0
        .unwrap();
    sending.await.unwrap();
    assert!(reading.await.unwrap().is_some(), "there is a program");
    barred
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_crashes_every_engine_is_left_out_and_the_mix_goes_on() {
    assert_eq!(left_out(vec![("eve", b"abort")]).await, [camera("eve")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_hangs_every_engine_is_left_out_and_the_mix_goes_on() {
    assert_eq!(left_out(vec![("eve", b"hang")]).await, [camera("eve")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_are_several_one_after_the_other() {
    let mut barred = left_out(vec![("eve", b"abort"), ("fay", b"abort"), ("gus", b"hang")]).await;
    barred.sort_by(|a, b| a.user.as_str().cmp(b.user.as_str()));
    assert_eq!(barred, [camera("eve"), camera("fay"), camera("gus")]);
}
