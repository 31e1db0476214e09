//! One running recording: reads a program and writes its segments.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rotunda_media::mux::segmenter::{Lengths, Output, Segmenter};
use rotunda_media::program::{Frame, ProgramHeader, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::GapReason;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::folder::{Folder, Manifest};
use crate::writer::{Notice, Writer};

/// Why a recording ended early.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("write the recording's folder")]
    Write(#[from] std::io::Error),
    #[error("a writing task ended")]
    Task(#[from] tokio::task::JoinError),
}

/// The program to record, its formats and its folder.
pub struct Recording {
    pub folder: Folder,
    pub manifest: Manifest,
    pub lengths: Lengths,
    pub longest_part: Duration,
    /// Only audio, even if the program has video.
    pub audio_only: bool,
    /// Receives the notices, with the recording's id.
    pub notices: mpsc::Sender<(String, Notice)>,
}

impl Recording {
    /// Records until the program ends or `stop`. Data written before an error is complete.
    pub async fn run(self, mut reader: ProgramReader, stop: CancellationToken) -> Result<(), RecordError> {
        let mut segmenter = Segmenter::new(self.lengths, Clock.unix());
        let mut audio = AudioOnly::default();
        let mut writer: Option<Writer> = None;
        loop {
            let read = tokio::select! {
                // Waiting frames are written before the recording ends.
                biased;
                read = reader.next() => read,
                () = stop.cancelled() => Err(ReadError::Ended),
            };
            let is_over = matches!(read, Err(ReadError::Ended));
            let cut = match read {
                Ok(frame) if self.audio_only => match audio.of(&frame) {
                    Some(frame) => segmenter.handle_frame(frame),
                    None => Ok(()),
                },
                Ok(frame) => segmenter.handle_frame(frame),
                Err(ReadError::Lagged(frames)) => {
                    warn!(
                        frames,
                        "the disk was too slow; the recording continues at the next keyframe"
                    );
                    counter!("rotunda_recorder_frames_lost_total").increment(frames);
                    if let Some(writer) = &mut writer {
                        writer.explain_gap(GapReason::DiskTooSlow);
                    }
                    segmenter.handle_loss()
                }
                Err(ReadError::Ended) => segmenter.finish(),
            };
            if let Err(error) = cut {
                counter!("rotunda_recorder_failed_total").increment(1);
                error!(error = &error as &dyn std::error::Error, "a segment could not be made");
            }
            let outputs: Vec<Output> = std::iter::from_fn(|| segmenter.poll_output()).collect();
            if !outputs.is_empty() {
                writer = self.write(writer, outputs).await?;
            }
            if is_over {
                break;
            }
        }
        if let Some(notice) = writer.as_mut().and_then(Writer::finish) {
            self.tell(notice).await;
        }
        Ok(())
    }

    async fn write(&self, writer: Option<Writer>, outputs: Vec<Output>) -> Result<Option<Writer>, RecordError> {
        let (folder, manifest, lengths, longest) = (
            self.folder.clone(),
            self.manifest.clone(),
            self.lengths,
            self.longest_part,
        );
        // Disk access blocks; the runtime's threads must not.
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer;
            let mut notices = Vec::new();
            for output in outputs {
                let open = match (&mut writer, &output) {
                    (Some(open), _) => open,
                    (None, Output::Begin(start)) => {
                        let zero = Clock.unix().saturating_sub(start.at.duration());
                        info!(recording = %manifest.recording_id, record = %manifest.prefix, "recording");
                        let created =
                            Writer::create(folder.clone(), manifest.clone(), lengths, longest, start.at, zero)?;
                        writer.insert(created)
                    }
                    (None, _) => continue,
                };
                notices.extend(open.write(output)?);
            }
            Ok::<_, std::io::Error>((writer, notices))
        });
        let (writer, notices) = written.await??;
        for notice in notices {
            self.tell(notice).await;
        }
        Ok(writer)
    }

    async fn tell(&self, notice: Notice) {
        // The receiver is gone only when the process ends; then the journal has the facts.
        let _told_or_ended = self.notices.send((self.manifest.recording_id.clone(), notice)).await;
    }
}

/// A program's audio as a program of its own.
#[derive(Default)]
struct AudioOnly {
    /// The program's header, and the header without video.
    headers: Option<(Arc<ProgramHeader>, Arc<ProgramHeader>)>,
}

impl AudioOnly {
    fn of(&mut self, frame: &Arc<Frame>) -> Option<Arc<Frame>> {
        if frame.track == Track::Video {
            return None;
        }
        let known = self
            .headers
            .as_ref()
            .filter(|(whole, _)| Arc::ptr_eq(whole, &frame.header));
        let header = match known {
            Some((_, audio)) => audio.clone(),
            None => {
                let audio = Arc::new(ProgramHeader {
                    video: None,
                    audio: frame.header.audio.clone(),
                });
                self.headers = Some((frame.header.clone(), audio.clone()));
                audio
            }
        };
        Some(Arc::new(Frame {
            header,
            ..Frame::clone(frame)
        }))
    }
}
