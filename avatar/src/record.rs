//! `/record`: the avatar's program as `record.mp4`. A thread of its own writes fragments to `temp{sessionid}.mp4`, and at the end makes
//! an ordinary MP4 of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rotunda_media::mux::mp4::{self, Source};
use rotunda_media::mux::segmenter::{Lengths, Output, Segmenter};
use rotunda_media::mux::{MuxError, stored};
use rotunda_media::program::{Frame, Track};
use rotunda_media::time::{MediaTime, VIDEO_RATE};
use rotunda_proto::clock::Clock;
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// The documented name: the latest recording wins.
const NAME: &str = "record.mp4";
/// Frames that wait for the disk: 3 s.
const QUEUE: usize = 256;
/// Longest recording; then it ends by itself.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
const LENGTHS: Lengths = Lengths {
    segment: Duration::from_secs(1),
    chunk: Duration::from_secs(1),
};

/// Why there is no recording.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("make the MP4 file")]
    Mux(#[from] MuxError),
    #[error("start the recorder's thread")]
    Thread(#[source] std::io::Error),
}

/// A recording that runs. Dropping it finishes the file, too.
pub struct Recording {
    frames: SyncSender<Message>,
    is_losing: bool,
}

enum Message {
    Frame(Arc<Frame>),
    /// Frames before this one were lost.
    Loss(Arc<Frame>),
    End(oneshot::Sender<Result<(), String>>),
}

impl Recording {
    /// Makes the folder and the temporary file, so that what cannot be written is known now.
    pub fn start(directory: &Path, session: u32) -> Result<Self, RecordError> {
        let temporary = directory.join(format!("temp{session}.mp4"));
        let failed = |source| RecordError::Write {
            path: temporary.clone(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let file = File::create(&temporary).map_err(failed)?;
        let (frames, received) = sync_channel(QUEUE);
        let writer = Writer {
            file,
            finished: directory.join(NAME),
            unfinished: directory.join(format!("temp{session}.finished.mp4")),
            temporary,
            segmenter: Segmenter::new(LENGTHS, Clock.unix()),
            has_init: false,
            begun: Clock.unix(),
        };
        std::thread::Builder::new()
            .name(format!("record-{session}"))
            .spawn(move || writer.run(&received))
            .map_err(RecordError::Thread)?;
        Ok(Self {
            frames,
            is_losing: false,
        })
    }

    /// Never waits; what the disk is too slow for is lost. False: the recording has ended.
    pub fn write(&mut self, frame: Arc<Frame>) -> bool {
        let message = match self.is_losing {
            true => Message::Loss(frame),
            false => Message::Frame(frame),
        };
        match self.frames.try_send(message) {
            Ok(()) => {
                self.is_losing = false;
                true
            }
            Err(TrySendError::Full(_)) => {
                self.is_losing = true;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Finishes the file, and tells when it is there.
    pub fn finish(self, reply: oneshot::Sender<Result<(), String>>) {
        // A full queue is emptied by the thread.
        if let Err(error) = self.frames.send(Message::End(reply))
            && let Message::End(reply) = error.0
        {
            let _gone = reply.send(Err(
                "the recording has ended already; the server's log says why".to_owned()
            ));
        }
    }
}

struct Writer {
    file: File,
    temporary: PathBuf,
    unfinished: PathBuf,
    finished: PathBuf,
    segmenter: Segmenter,
    has_init: bool,
    begun: Duration,
}

impl Writer {
    fn run(mut self, received: &Receiver<Message>) {
        let mut reply = None;
        let mut result = Ok(());
        while result.is_ok() {
            let Ok(message) = received.recv() else { break };
            result = match message {
                Message::Frame(frame) => self.frame(frame),
                Message::Loss(frame) => {
                    warn!("the disk is too slow for the recording; frames are missing in it");
                    let lost = self.segmenter.handle_loss().map_err(RecordError::from);
                    lost.and_then(|()| self.frame(frame))
                }
                Message::End(asked) => {
                    reply = Some(asked);
                    break;
                }
            };
            if Clock.unix().saturating_sub(self.begun) > LONGEST {
                warn!("the recording is 4 hours long and ends");
                break;
            }
        }
        let result = result.and_then(|()| self.finish());
        let _removed = fs::remove_file(&self.temporary);
        let _moved = fs::remove_file(&self.unfinished);
        match &result {
            Ok(()) => info!(file = %self.finished.display(), "the recording is finished"),
            Err(error) => error!(error = error as &dyn std::error::Error, "the recording failed"),
        }
        if let Some(reply) = reply {
            let _gone = reply.send(result.map_err(|error| crate::reply::chain(&error)));
        }
    }

    fn frame(&mut self, frame: Arc<Frame>) -> Result<(), RecordError> {
        self.segmenter.handle_frame(frame)?;
        self.write()
    }

    fn write(&mut self) -> Result<(), RecordError> {
        while let Some(output) = self.segmenter.poll_output() {
            let bytes = match output {
                // The avatar's program never changes its header.
                Output::Begin(start) if !self.has_init => {
                    self.has_init = true;
                    start.init
                }
                Output::Chunk(chunk) => chunk.bytes,
                Output::Begin(_) | Output::End(_) => continue,
            };
            self.file.write_all(&bytes).map_err(|source| RecordError::Write {
                path: self.temporary.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), RecordError> {
        self.segmenter.finish()?;
        self.write()?;
        let mut samples = Vec::new();
        stored::scan(&self.temporary, 0, &mut samples)?;
        let ends = samples
            .iter()
            .filter(|sample| sample.track == Track::Video)
            .map(|sample| sample.decode_time + u64::from(sample.duration));
        let end = MediaTime::new(ends.max().ok_or(MuxError::Empty)?, VIDEO_RATE);
        let source = Source {
            tracks: &stored::read_init(&self.temporary)?,
            changes: &[],
            files: std::slice::from_ref(&self.temporary),
            samples: &samples,
            start: MediaTime::new(0, VIDEO_RATE),
            end,
        };
        mp4::write(&source, self.begun, &self.unfinished)?;
        fs::rename(&self.unfinished, &self.finished).map_err(|source| RecordError::Write {
            path: self.finished.clone(),
            source,
        })
    }
}
