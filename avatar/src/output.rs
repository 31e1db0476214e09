//! Everything that goes out of an avatar: WebRTC peers and rooms, the program of recordings and pushes.

use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use metrics::counter;
use rotunda_client::source::Encoded;
use rotunda_media::codec::{CodecError, OpusEncoder, VideoCodec};
use rotunda_media::program::{Frame, ProgramWriter};
use rotunda_media::video_frame::VideoFrame;
use rotunda_proto::ids::TrackSource;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::audio::{RATE, Resampler, level_dbov, to_f32};
use crate::config::Config;
use crate::encode::Encoders;
use crate::program::Program;
use crate::record::{RecordError, Recording};
use crate::stage::Block;

const OUT_RATE: u32 = 48_000;
const OPUS_KBPS: u32 = 32;
/// Of a block.
const OPUS_TICKS: u64 = 960;
const VIDEO_TICKS: u64 = 1800;

/// Why an output does not begin.
#[derive(Debug, Error)]
pub enum OutputError {
    #[error("encode")]
    Codec(#[from] CodecError),
    #[error("record")]
    Record(#[from] RecordError),
}

struct Output {
    codec: VideoCodec,
    sink: mpsc::Sender<Encoded>,
    /// Its queue was full: it needs a keyframe before anything else.
    waits_for_key: bool,
}

/// See the [module](self).
pub struct Outputs {
    session: u32,
    directory: PathBuf,
    encoders: Encoders,
    outputs: Vec<Output>,
    resampler: Option<Resampler>,
    opus: Option<OpusEncoder>,
    program: Option<Program>,
    pushes: Vec<ProgramWriter>,
    recording: Option<Recording>,
    pcm: Vec<f32>,
}

impl Outputs {
    pub fn new(config: &Config, session: u32) -> Self {
        Self {
            session,
            directory: config.record_directory.clone(),
            encoders: Encoders::new(config.width, config.height, config.video_kbps),
            outputs: Vec::new(),
            resampler: None,
            opus: None,
            program: None,
            pushes: Vec::new(),
            recording: None,
            pcm: Vec::new(),
        }
    }

    pub fn add(&mut self, codec: VideoCodec, sink: mpsc::Sender<Encoded>) {
        self.encoders.force_key(codec);
        self.outputs.push(Output {
            codec,
            sink,
            waits_for_key: true,
        });
    }

    /// `piece`: the number of the next one.
    pub fn add_program(&mut self, sink: ProgramWriter, piece: u64) -> Result<(), OutputError> {
        self.begin_program(piece)?;
        self.pushes.push(sink);
        Ok(())
    }

    /// Where a recording runs it goes on.
    pub fn start_record(&mut self, piece: u64) -> Result<(), OutputError> {
        if self.recording.is_none() {
            self.begin_program(piece)?;
            self.recording = Some(Recording::start(&self.directory, self.session)?);
        }
        Ok(())
    }

    /// None: nothing is recorded. Else the end of the recording is told.
    pub fn end_record(&mut self) -> Option<oneshot::Receiver<Result<(), String>>> {
        let recording = self.recording.take()?;
        let (reply, finished) = oneshot::channel();
        recording.finish(reply);
        Some(finished)
    }

    /// All viewers get a keyframe next.
    pub fn force_key(&mut self) {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            self.encoders.force_key(codec);
        }
    }

    /// `due`: when the block begins.
    pub fn audio(&mut self, block: &Block, due: Instant) -> Result<(), CodecError> {
        self.outputs.retain(|output| !output.sink.is_closed());
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::continuous(RATE, OUT_RATE)?),
        };
        self.pcm.clear();
        let samples: Vec<f32> = to_f32(&block.piece.samples).collect();
        resampler.run(&samples, &mut self.pcm)?;
        if !self.outputs.is_empty() {
            let opus = match &mut self.opus {
                Some(opus) => opus,
                none => none.insert(OpusEncoder::new(1, OPUS_KBPS)?),
            };
            let data = opus.encode(&self.pcm)?;
            let encoded = Encoded {
                source: TrackSource::Audio,
                codec: VideoCodec::H264,
                data,
                ticks: block.number * OPUS_TICKS,
                captured: due,
                level_dbov: Some(level_dbov(&self.pcm)),
            };
            for output in &mut self.outputs {
                send(output, encoded.clone());
            }
        }
        if let Some(program) = &mut self.program {
            for frame in program.audio(&self.pcm, block.number)? {
                write(&self.pushes, &mut self.recording, frame);
            }
        }
        Ok(())
    }

    pub fn video(&mut self, frame: &VideoFrame, block: &Block, due: Instant) -> Result<(), CodecError> {
        if self.pushes.is_empty() && self.recording.is_none() {
            self.program = None;
        }
        let has_program = self.program.is_some();
        let outputs = &self.outputs;
        let is_wanted =
            |codec| (codec == VideoCodec::H264 && has_program) || outputs.iter().any(|output| output.codec == codec);
        self.encoders.keep(is_wanted);
        let wanted: Vec<VideoCodec> = [VideoCodec::H264, VideoCodec::Vp8]
            .into_iter()
            .filter(|codec| is_wanted(*codec))
            .collect();
        for codec in wanted {
            let waits = self
                .outputs
                .iter()
                .any(|output| output.codec == codec && output.waits_for_key);
            if waits {
                self.encoders.force_key(codec);
            }
            let encoded = self.encoders.encode(codec, frame)?;
            counter!("rotunda_avatar_frames_encoded_total").increment(1);
            let frame = |data: Bytes| Encoded {
                source: TrackSource::Camera,
                codec,
                data,
                ticks: block.number * VIDEO_TICKS,
                captured: due,
                level_dbov: None,
            };
            for output in self.outputs.iter_mut().filter(|output| output.codec == codec) {
                if encoded.is_key || !output.waits_for_key {
                    output.waits_for_key = false;
                    send(output, frame(encoded.data.clone()));
                }
            }
            if codec == VideoCodec::H264
                && let Some(program) = &mut self.program
                && let Some(frame) = program.video(&encoded, block.number)
            {
                write(&self.pushes, &mut self.recording, frame);
            }
        }
        Ok(())
    }

    fn begin_program(&mut self, piece: u64) -> Result<(), CodecError> {
        if self.program.is_none() {
            self.program = Some(Program::new(self.encoders.config(), piece)?);
        }
        // A recording or push begins with a keyframe.
        self.encoders.force_key(VideoCodec::H264);
        Ok(())
    }
}

fn send(output: &mut Output, encoded: Encoded) {
    if let Err(TrySendError::Full(lost)) = output.sink.try_send(encoded) {
        counter!("rotunda_avatar_frames_dropped_total").increment(1);
        if lost.source == TrackSource::Camera {
            output.waits_for_key = true;
        }
    }
}

fn write(pushes: &[ProgramWriter], recording: &mut Option<Recording>, frame: std::sync::Arc<Frame>) {
    for push in pushes {
        push.write(frame.clone());
    }
    if let Some(running) = recording
        && !running.write(frame)
    {
        *recording = None;
    }
}
