//! The thread of one mix. It owns the core, ticks by deadline and writes the program.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rotunda_media::codec::CodecError;
use rotunda_media::picture::Picture;
use rotunda_media::program::ProgramWriter;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomUser, Source};
use rotunda_proto::mix::{Health, MixSpec, PictureId};
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_receiver::Sample;
use tokio::sync::{mpsc, oneshot};

use crate::core::{Figures, MixCore};
use crate::layout::Scene;
use crate::timeline::Micros;
use crate::video_input::Shape;

/// Samples handled between two ticks at most: all that wait, as their queue holds no more.
const BATCH: usize = 1024;
/// Ticks run in one go when late.
const TICKS: usize = 8;
const SECOND: Duration = Duration::from_secs(1);
/// A mix whose encoders fail at so many ticks in a row ends with an error: some seconds.
const MOST_FAILURES: u32 = 100;

/// Orders for a worker.
pub enum Order {
    Scene(Scene),
    /// A picture that layouts name, as it was uploaded.
    Picture {
        id: PictureId,
        file: Vec<u8>,
    },
    /// Both from the same frame on.
    Spec {
        spec: Box<MixSpec>,
        scene: Scene,
        done: oneshot::Sender<Result<(), String>>,
    },
}

/// Reports of a worker.
#[derive(Debug)]
pub enum Report {
    /// The program has its first frame.
    Begun,
    NeedsKey(Source),
    /// Its frames have a new shape.
    Shape(Source, Shape),
    Health(Health),
    /// Its frames have ended engines, and it is left out from now on.
    Barred(Source),
    /// This member speaks loudest now.
    Loudest(RoomUser),
    /// Frames show this layout from now on.
    Layout(ShownLayout),
    /// The encoders have failed again and again, and the worker has ended.
    Failed(String),
}

/// See the [module](self).
pub struct Worker {
    pub core: MixCore,
    pub writer: ProgramWriter,
    pub origin: Instant,
    pub samples: Receiver<Sample>,
    /// The worker ends when this is closed.
    pub orders: mpsc::Receiver<Order>,
    pub reports: mpsc::Sender<Report>,
}

impl Worker {
    /// Mixes until the orders are closed.
    pub fn run(mut self) {
        let mut health = HealthMeter::new(Clock.now());
        let mut begun = false;
        let mut failures = 0;
        loop {
            loop {
                match self.orders.try_recv() {
                    Ok(Order::Scene(scene)) => self.core.handle_scene(scene),
                    Ok(Order::Picture { id, file }) => self.take_picture(id, &file),
                    Ok(Order::Spec { spec, scene, done }) => {
                        let result = self.core.handle_spec(&spec);
                        if result.is_ok() {
                            self.core.handle_scene(scene);
                        }
                        let _caller_gave_up = done.send(result.map_err(|error| error.to_string()));
                    }
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return self.finish(),
                }
            }
            if let Err(error) = self.tick(&mut health, &mut failures) {
                let _task_is_gone = self.reports.blocking_send(Report::Failed(error.to_string()));
                return;
            }
            while let Some(frame) = self.core.poll_frame() {
                self.writer.write(frame);
                if !std::mem::replace(&mut begun, true) {
                    self.report(Report::Begun);
                }
            }
            while let Some(video) = self.core.poll_key_request() {
                self.report(Report::NeedsKey(video));
            }
            while let Some((video, shape)) = self.core.poll_shape() {
                self.report(Report::Shape(video, shape));
            }
            // A task that does not read now is told later.
            while let Ok(permit) = self.reports.try_reserve()
                && let Some(layout) = self.core.poll_layout()
            {
                self.writer.tell_layout(layout.clone());
                permit.send(Report::Layout(layout));
            }
            if let Some(user) = self.core.poll_loudest() {
                self.report(Report::Loudest(user));
            }
            if let Some(health) = health.poll(Clock.now(), &self.core) {
                self.report(Report::Health(health));
            }
            self.take_samples();
        }
    }

    fn take_picture(&mut self, id: PictureId, file: &[u8]) {
        let picture = Picture::decode(file);
        if let Err(error) = &picture {
            let error = error as &dyn std::error::Error;
            tracing::warn!(id = id.get(), error, "a picture cannot be shown");
        }
        self.core.handle_picture(id, picture.ok());
    }

    /// Writes what the encoders still hold.
    fn finish(mut self) {
        if let Err(error) = self.core.handle_end() {
            tracing::warn!(%error, "the end of the audio is lost");
        }
        while let Some(frame) = self.core.poll_frame() {
            self.writer.write(frame);
        }
    }

    /// Runs the ticks that are due. `failures`: those in a row up to now.
    ///
    /// Errors: the last of [`MOST_FAILURES`].
    fn tick(&mut self, health: &mut HealthMeter, failures: &mut u32) -> Result<(), CodecError> {
        for _ in 0..TICKS {
            let now = self.now();
            if self.core.poll_timeout() > now {
                break;
            }
            // Before each tick, also when several are due: the audio that has come is heard in its own place.
            for sample in self.samples.try_iter().take(BATCH) {
                self.core.handle_sample(&sample);
            }
            let began = Clock.now();
            match self.core.handle_tick(now) {
                Ok(()) => *failures = 0,
                Err(error) => {
                    *failures += 1;
                    if *failures == 1 {
                        tracing::warn!(%error, "an encoder failed and is made anew");
                    }
                    if *failures >= MOST_FAILURES {
                        return Err(error);
                    }
                }
            }
            health.handle_tick(Clock.now().saturating_duration_since(began));
        }
        Ok(())
    }

    /// Waits for samples until the next tick.
    fn take_samples(&mut self) {
        let wait = Duration::from_micros((self.core.poll_timeout() - self.now()).max(0) as u64);
        match self.samples.recv_timeout(wait) {
            Ok(sample) => {
                self.core.handle_sample(&sample);
                for sample in self.samples.try_iter().take(BATCH) {
                    self.core.handle_sample(&sample);
                }
            }
            // The task holds a sender for as long as it holds the orders.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn report(&self, report: Report) {
        // A task that does not read loses reports; keyframes are asked for again, and health comes each second.
        let _read_or_lost = self.reports.try_send(report);
    }

    fn now(&self) -> Micros {
        Clock.now().saturating_duration_since(self.origin).as_micros() as Micros
    }
}

/// Figures of the last second.
struct HealthMeter {
    since: Instant,
    before: Figures,
    longest: Duration,
}

impl HealthMeter {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            before: Figures::default(),
            longest: Duration::ZERO,
        }
    }

    fn handle_tick(&mut self, took: Duration) {
        self.longest = self.longest.max(took);
    }

    fn poll(&mut self, now: Instant, core: &MixCore) -> Option<Health> {
        let passed = now.saturating_duration_since(self.since);
        if passed < SECOND {
            return None;
        }
        let (figures, seconds) = (core.figures(), passed.as_secs_f32());
        let kbps = |bytes: u64| bytes as f32 * 8.0 / 1000.0 / seconds;
        let (inputs, live_videos) = core.inputs();
        let health = Health {
            inputs,
            live_videos,
            fps: (figures.video_frames - self.before.video_frames) as f32 / seconds,
            video_kbps: kbps(figures.video_bytes - self.before.video_bytes),
            audio_kbps: kbps(figures.audio_bytes - self.before.audio_bytes),
            tick_ms_max: self.longest.as_secs_f32() * 1000.0,
            late_ticks: figures.late_ticks,
            late_audio: figures.late_audio,
            shed_frames: figures.shed_frames,
            layout_revision: core.layout_revision(),
            encoder_failures: figures.encoder_failures,
            program_ms: (figures.program / 1000) as u64,
        };
        *self = Self {
            since: now,
            before: figures,
            longest: Duration::ZERO,
        };
        Some(health)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rotunda_media::codec::OpusEncoder;
    use rotunda_media::program::ProgramHub;
    use rotunda_proto::ids::{RoomId, RoomKey, RoomUser, SdkAppId, TrackSource};
    use rotunda_proto::mix::{AudioEncode, Layout, VideoEncode};
    use rotunda_receiver::Payload;

    use super::*;
    use crate::test_ids::member;
    use crate::timeline::Stamp;

    #[test]
    fn a_worker_that_is_behind_hears_the_audio_that_has_come_meanwhile() {
        let spec = MixSpec {
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
                width: 64,
                height: 64,
                bitrate_kbps: 100,
                framerate: 15,
                gop_seconds: 2,
                background_rgb: 0,
            }),
            layout: Layout::default(),
            record: None,
            push_urls: Vec::new(),
            task: None,
        };
        let users: Vec<RoomUser> = (0..16).map(|number| member(&format!("user{number}"))).collect();
        let mut core = MixCore::new(&spec, 100_000, None).unwrap();
        core.handle_scene(Scene {
            heard: users.clone(),
            ..Scene::default()
        });
        let (samples, received) = std::sync::mpsc::sync_channel(1024);
        let (orders, ordered) = mpsc::channel(8);
        let (reports, _reported) = mpsc::channel(256);
        let packet: Arc<[u8]> = OpusEncoder::new(1, 32)
            .unwrap()
            .encode(&[0.1; 960])
            .unwrap()
            .as_ref()
            .into();
        // A second of sixteen members waits for a worker that begins a second late.
        for (number, user) in (0..50_i64).flat_map(|number| users.iter().map(move |user| (number, user))) {
            let sample = Sample {
                source: user.track(TrackSource::Audio),
                stamp: Stamp {
                    generation: 0,
                    rtp: number as u32 * 960,
                    arrival: number * 20_000,
                    report: None,
                },
                payload: Payload::Audio(packet.clone()),
            };
            samples.send(sample).unwrap();
        }
        let writer = ProgramHub::new().open(&spec.stream()).unwrap();
        let mut worker = Worker {
            core,
            writer,
            origin: Clock.now().checked_sub(SECOND).unwrap(),
            samples: received,
            orders: ordered,
            reports,
        };
        let (mut health, mut failures) = (HealthMeter::new(Clock.now()), 0);
        while worker.core.poll_timeout() <= worker.now() {
            worker.tick(&mut health, &mut failures).unwrap();
        }
        assert!(worker.core.figures().program >= 900_000);
        assert_eq!(worker.core.figures().late_audio, 0);
        drop(orders);
    }
}
