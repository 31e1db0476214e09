//! The thread of one single stream. It owns the core and writes the program; codecs must not block the runtime.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rotunda_media::codec::{CodecError, opus};
use rotunda_media::program::ProgramWriter;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{Source, TrackSource};
use rotunda_receiver::timeline::{Micros, PersonClock};
use rotunda_receiver::{Payload, Sample};
use tokio::sync::mpsc;

use crate::plan::Tracks;
use crate::stream::StreamCore;

/// Time between two looks at what has come and what is due. Nothing comes out before its delay anyway, and a thread that woke up for
/// each packet would spend more time on waking up than on its work.
const TICK: Duration = Duration::from_millis(40);
/// Streams work together, at multiples of this: what they write wakes the readers once.
const GRID: Duration = Duration::from_millis(10);
/// Frames between network and worker: some seconds.
pub const SAMPLES: usize = 1024;
/// RTP ticks per second.
const VIDEO_RATE: u32 = 90_000;
const AUDIO_RATE: u32 = 48_000;

/// Audio was captured earlier than its packets say, microseconds.
const AUDIO_LOOK_AHEAD: Micros = opus::LOOK_AHEAD as Micros * 1_000_000 / AUDIO_RATE as Micros;

/// Orders for a worker.
pub enum Order {
    Tracks(Tracks),
    /// The publisher is cut off.
    Leave,
    /// The publisher is back after an interruption.
    Return,
}

/// See the [module](self).
pub struct Worker {
    pub core: StreamCore,
    pub writer: ProgramWriter,
    pub origin: Instant,
    pub samples: Receiver<Sample>,
    /// The worker ends when this is closed.
    pub orders: mpsc::Receiver<Order>,
    pub key_requests: mpsc::Sender<Source>,
    /// The video of the stream.
    pub video: Source,
}

impl Worker {
    /// Runs until the orders are closed; then everything that was received is in the program.
    pub fn run(mut self) {
        let mut clock = PersonClock::default();
        let mut tick = Clock.now();
        loop {
            tick = Clock.shared_from(Clock.now().max(tick + TICK), GRID);
            Clock.block_until(tick);
            // Samples that arrive during this loop are handled at the next tick.
            for _ in 0..SAMPLES {
                let Ok(sample) = self.samples.try_recv() else { break };
                self.handle_sample(&mut clock, &sample);
            }
            let is_over = loop {
                match self.orders.try_recv() {
                    Ok(Order::Tracks(tracks)) => self.core.handle_tracks(tracks),
                    Ok(Order::Leave) => {
                        let result = self.core.handle_leave(self.now());
                        log(result);
                    }
                    Ok(Order::Return) => {
                        let result = self.core.handle_return(self.now());
                        log(result);
                    }
                    Err(mpsc::error::TryRecvError::Empty) => break false,
                    Err(mpsc::error::TryRecvError::Disconnected) => break true,
                }
            };
            let now = self.now();
            let result = match is_over {
                true => self.core.finish(now),
                false => self.core.handle_tick(now),
            };
            log(result);
            while let Some(frame) = self.core.poll_frame() {
                self.writer.write(frame);
            }
            while let Some(absence) = self.core.poll_absence() {
                self.writer.tell_absence(absence);
            }
            if is_over {
                return;
            }
            if self.core.take_key_request(now) {
                // A request that is lost is repeated.
                let _sent_or_repeated = self.key_requests.try_send(self.video.clone());
            }
        }
    }

    fn handle_sample(&mut self, clock: &mut PersonClock, sample: &Sample) {
        let rate = match sample.source.track {
            TrackSource::Audio => AUDIO_RATE,
            TrackSource::Camera | TrackSource::Screen => VIDEO_RATE,
        };
        let at = clock.mix_time(sample.source.track, rate, sample.stamp);
        match &sample.payload {
            Payload::Audio(packet) => self.core.handle_audio(at - AUDIO_LOOK_AHEAD, packet),
            Payload::Video(coded) => log(self.core.handle_video(at, coded)),
        }
    }

    fn now(&self) -> Micros {
        Clock.now().saturating_duration_since(self.origin).as_micros() as Micros
    }
}

fn log(result: Result<(), CodecError>) {
    if let Err(error) = result {
        metrics::counter!("rotunda_relay_codec_errors_total").increment(1);
        tracing::debug!(error = &error as &dyn std::error::Error, "a frame was left out");
    }
}
