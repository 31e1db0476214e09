//! A core in virtual time: a [`Sender`] sends marked frames and a tone, and [`run`] returns the frames of the program. The tests
//! are in the files of the folder:
//!
//! - `cells`: what is seen of members
//! - `layouts`: what is told of a layout, and layouts that move
//! - `program_time`: the program's own time, through changes of its settings
//! - `sync`: audio and video through a lossy network
//! - `schedules`: members and callers who do anything at any time

mod cells;
mod layouts;
mod program_time;
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
